"""Profile ``release``: what the benchmark's published scripts report, quirks included.

Definitions: one module a scenario, each with its divergences from profile ``paper``.
"""

from collections.abc import Callable
from typing import Final

import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, Metric
from flexi_score.metrics.release import (
    model_backchannel,
    model_interrupt,
    pause_handling,
    turn_taking,
    user_backchannel,
    user_interrupt,
)
from flexi_score.segment.tracks import Ints, Tracks

#: What scores one scenario: ``score(tracks, rec, settings, latency_s)``. ``rec`` (int64, shape
#: (k,)) are the numbers of the recordings to score; ``latency_s`` is each system's L
#: (:func:`mean_latency_by_system`), which only pause_handling reads, and only where
#: ``pause_handling.mean_latency_s`` is not set. Returns rows of
#: :data:`flexi_score.schema.SCORES`.
Scorer = Callable[[Tracks, Ints, Settings, Latencies], pl.DataFrame]

_MODULES: Final = {
    "turn_taking": turn_taking,
    "pause_handling": pause_handling,
    "user_interrupt": user_interrupt,
    "model_interrupt": model_interrupt,
    "user_backchannel": user_backchannel,
    "model_backchannel": model_backchannel,
}
SCORERS: Final[dict[str, Scorer]] = {name: module.score for name, module in _MODULES.items()}
METRICS: Final[tuple[Metric, ...]] = tuple(m for one in _MODULES.values() for m in one.METRICS)


def mean_latency_by_system(scores: pl.DataFrame) -> dict[str, float]:
    """L of pause_handling: each system's mean turn_taking latency, in s.

    ``scores``: rows of :data:`flexi_score.schema.SCORES`, of this profile. Returns 0 for a system
    whose turn_taking recordings were scored without one latency, as the script prints it; systems
    without turn_taking recordings are left out.
    """
    usable = pl.col("status").is_in(["scored", "silent", "not_applicable"])
    means = (
        scores.filter(usable, scenario="turn_taking", metric="latency")
        .group_by("system", maintain_order=True)
        .agg(pl.col("value").mean().fill_null(0.0))
    )
    return dict(zip(means["system"], means["value"], strict=True))
