"""Names of systems beside how each is drawn, in as many lines as they need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from flexi_score.report.plots.draw import write
from flexi_score.report.plots.style import LEFT, SMALL, WIDTH, labels, look, text_width

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE: Final = 14.0


def legend_lines(systems: Sequence[str], width: float = WIDTH) -> int:
    """How many lines of a figure of this width the names take."""
    return 1 + max((line for _, line, _ in _places(systems, width)), default=0)


def draw_legend(
    figure: Figure, systems: Sequence[str], width: float = WIDTH, *, lines: bool = False
) -> None:
    """Write the names at the top of a figure, each behind its marker, or its line."""
    from matplotlib.lines import Line2D

    whole_width, whole_height = figure.get_size_inches() * 72
    for number, (x, line, name) in enumerate(_places(systems, width)):
        seen, y = look(number), 12 + _LINE * line
        ends = [x / whole_width, (x + 11) / whole_width] if lines else [(x + 5) / whole_width]
        figure.add_artist(
            Line2D(
                ends,
                [1 - (y - 3) / whole_height] * len(ends),
                linestyle=seen.dashes if lines else "none",
                marker=None if lines else seen.marker,
                markersize=5,
                color=seen.colour,
                markeredgewidth=0,
            )
        )
        write(figure, x + 14, y, name, fontsize=SMALL)


def _places(systems: Sequence[str], width: float) -> list[tuple[float, int, str]]:
    """Where each name stands, and in which line."""
    places, x, line = [], LEFT, 0
    for name in labels(systems, 24).values():
        step = 15 + text_width(name, SMALL) * 0.95 + 14
        if x + step > width and x > LEFT:
            x, line = LEFT, line + 1
        places.append((x, line, name))
        x += step
    return places
