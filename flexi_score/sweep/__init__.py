"""One archive under many settings: what each metric owes to a choice of numbers."""

from flexi_score.sweep.effects import flips, main_effects, sensitivity
from flexi_score.sweep.grid import combinations, parse_grid, read_list
from flexi_score.sweep.run import Sweep, sweep, write_sweep
from flexi_score.verbs import make_callable

__all__ = [
    "Sweep",
    "combinations",
    "flips",
    "main_effects",
    "parse_grid",
    "read_list",
    "sensitivity",
    "sweep",
    "write_sweep",
]

make_callable(__name__, sweep)
