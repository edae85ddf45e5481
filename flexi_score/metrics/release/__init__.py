"""Profile ``release``: what the benchmark's published scripts report, quirks included.

Definitions: one module a scenario, each with its divergences from profile ``paper``.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.metrics.release import (
    model_backchannel,
    model_interrupt,
    pause_handling,
    turn_taking,
    user_backchannel,
    user_interrupt,
)
from flexi_score.segment.tracks import Tracks

#: What scores one scenario: ``score(tracks, rec, settings, latency_s)``. ``rec`` (int64, shape
#: (k,)) are the numbers of the recordings to score; ``latency_s`` is each system's L
#: (:func:`mean_latency_by_system`), which only pause_handling reads, and only where
#: ``pause_handling.mean_latency_s`` is not set. Returns rows of
#: :data:`flexi_score.schema.SCORES`.
Scorer = Callable[[Tracks, NDArray[np.int64], Settings, Mapping[str, float]], pl.DataFrame]

SCORERS: Final[dict[str, Scorer]] = {
    "turn_taking": turn_taking.score,
    "pause_handling": pause_handling.score,
    "user_interrupt": user_interrupt.score,
    "model_interrupt": model_interrupt.score,
    "user_backchannel": user_backchannel.score,
    "model_backchannel": model_backchannel.score,
}

METRICS: Final[tuple[Metric, ...]] = (
    *turn_taking.METRICS,
    *pause_handling.METRICS,
    *user_interrupt.METRICS,
    *model_interrupt.METRICS,
    *user_backchannel.METRICS,
    *model_backchannel.METRICS,
)

#: Decimals that the scripts keep where they print a folder's figure; the others print all.
PRINTED_DIGITS: Final[dict[tuple[str, str], int]] = {
    ("pause_handling", "tor"): 6,
    ("model_interrupt", "eds"): 2,
    ("model_backchannel", "tor"): 4,
    ("model_backchannel", "bcr"): 4,
    ("model_backchannel", "jsd"): 4,
}

_TURN_LATENCY = (pl.col("scenario") == "turn_taking") & (pl.col("metric") == "latency")


def mean_latency_by_system(scores: pl.DataFrame) -> dict[str, float]:
    """L of pause_handling: each system's mean turn_taking latency, in s.

    ``scores``: rows of :data:`flexi_score.schema.SCORES`, of this profile. Returns 0 for a system
    whose turn_taking recordings were scored without one latency, as the script prints it; systems
    without turn_taking recordings are left out.
    """
    usable = pl.col("status").is_in(["scored", "silent", "not_applicable"])
    means = (
        scores.filter(_TURN_LATENCY & usable)
        .group_by("system", maintain_order=True)
        .agg(pl.col("value").mean().fill_null(0.0))
    )
    return dict(zip(means["system"], means["value"], strict=True))


def printed(scores: pl.DataFrame) -> pl.DataFrame:
    """What the scripts print for a folder, from this profile's score rows.

    Returns ``system, scenario, metric, value``: the mean (or sum) over the rows that have a value,
    rounded as the scripts round; a turn_taking latency over none is 0, other means over none are
    null, where the scripts raise.
    """
    sums = pl.concat_str("scenario", "metric", separator=".").is_in(
        [f"{m.scenario}.{m.name}" for m in METRICS if m.aggregate == "sum"]
    )
    keys = ["system", "scenario", "metric"]
    digits = pl.DataFrame(
        [(*key, places) for key, places in PRINTED_DIGITS.items()],
        schema={"scenario": pl.String, "metric": pl.String, "digits": pl.Int64},
        orient="row",
    )
    figures = scores.group_by(keys, maintain_order=True).agg(
        pl.when(sums.first()).then(pl.col("value").sum()).otherwise(pl.col("value").mean())
    )
    scale = 10.0 ** pl.col("digits")
    return (
        figures.join(digits, on=["scenario", "metric"], how="left", maintain_order="left")
        .with_columns(
            pl.when(_TURN_LATENCY).then(pl.col("value").fill_null(0.0)).otherwise("value")
        )
        .with_columns(pl.coalesce((pl.col("value") * scale).round() / scale, "value"))
        .select(*keys, "value")
    )
