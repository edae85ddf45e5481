"""Scenario conversation: turn-taking statistics of any dialogue.

After dGSLM (Nguyen et al. 2022), Heldner & Edlund 2010 and the FLEXI paper's levels of interaction.
Every metric but one is a *ratio*: a recording's value is a total over a number of minutes, floor
changes or interruptions, that number is its ``weight``, and recordings are added up as total over
total, so that long conversations count for as much as they hold. The times of single events, for
p50, p90 and p95 over all recordings together, come from :func:`observations`.

The longest silence is the longest pause or gap: what precedes the first IPU and follows the last
depends on when somebody started and stopped the recorder. The longest of all, edges included, is in
:func:`statistics_frame`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.conversation.statistics import (
    OBSERVATIONS,
    OBSERVED,
    STATISTICS,
    observations,
    statistics_frame,
)
from flexi_score.metrics.reasons import Decision
from flexi_score.metrics.registry import Direction, Metric, score_rows
from flexi_score.segment.tracks import Ints
from flexi_score.segment.types import Structure

__all__ = [
    "HUMAN_REFERENCE",
    "METRICS",
    "OBSERVATIONS",
    "OBSERVED",
    "STATISTICS",
    "Reference",
    "observations",
    "score",
    "statistics_frame",
]

_DGSLM: Final = "dGSLM (Nguyen et al. 2022), turn-taking statistics"
_HELDNER: Final = "Heldner & Edlund 2010"


@dataclass(frozen=True)
class Reference:
    """What human conversations show; ``low`` equals ``high`` where one typical value is known."""

    low: float
    high: float
    source: str


_FISHER: Final = "Fisher telephone conversations, as tabled by dGSLM (Nguyen et al. 2022)"
_STIVERS: Final = "Stivers et al. 2009: means of ten languages, answers to polar questions"

#: Human bands by metric, to be shown beside a system's values.
HUMAN_REFERENCE: Final[dict[str, Reference]] = {
    "ipu_s_per_min": Reference(53.5, 53.5, _FISHER),
    "pause_s_per_min": Reference(5.5, 5.5, _FISHER),
    "gap_s_per_min": Reference(4.4, 4.4, _FISHER),
    "overlap_s_per_min": Reference(3.6, 3.6, _FISHER),
    "model_floor_offset": Reference(0.007, 0.470, _STIVERS),
    "user_floor_offset": Reference(0.007, 0.470, _STIVERS),
    "model_overlapped_starts": Reference(0.4, 0.4, f"{_HELDNER}: about 40 % of speaker changes"),
    "user_overlapped_starts": Reference(0.4, 0.4, f"{_HELDNER}: about 40 % of speaker changes"),
}


@dataclass(frozen=True)
class _Ratio:
    """A metric, its two sides as expressions over STATISTICS, and how to say them."""

    metric: Metric
    numerator: pl.Expr
    denominator: pl.Expr
    says: str  # two {}: numerator and denominator
    none: str  # why there is no value where the denominator is 0


_MINUTES: Final = pl.col("duration_ms") / 60_000
_IPU_MS: Final = pl.col("user_ipu_ms") + pl.col("model_ipu_ms")
_OTHER: Final = {"user": "model", "model": "user"}
_NO_DURATION: Final = "the recording has no duration"


def _metric(
    name: str,
    label: str,
    unit: str,
    definition: str,
    source: str,
    null_means: str,
    direction: Direction = "none",
) -> Metric:
    return Metric(
        "paper",
        "conversation",
        name,
        label,
        unit,
        direction,
        "ratio",
        definition,
        source,
        null_means,
    )


def _per_minute(kind: str, label: str, number: pl.Expr, ms: pl.Expr, what: str) -> list[_Ratio]:
    null = "no duration"
    return [
        _Ratio(
            _metric(
                f"{kind}_per_min",
                f"Number of {label}",
                "1/min",
                f"number of {what} per minute",
                _DGSLM,
                null,
            ),
            number,
            _MINUTES,
            f"{{}} {label} in {{}} min",
            _NO_DURATION,
        ),
        _Ratio(
            _metric(
                f"{kind}_s_per_min",
                f"Time in {label}",
                "s/min",
                f"cumulated seconds of {what} per minute",
                _DGSLM,
                null,
            ),
            ms / 1000,
            _MINUTES,
            f"{{}} s of {label} in {{}} min",
            _NO_DURATION,
        ),
    ]


def _of_side(side: str) -> list[_Ratio]:
    """What each side is described by, in the order in which it is shown."""
    other = _OTHER[side]
    col = partial(_column, side)
    changes, responses, cuts = col("floor_changes"), col("responses"), col("interruptions")
    no_change = f"the {side} never takes the floor from the {other}"
    title = side.capitalize()
    down: Direction = "down" if side == "model" else "none"
    return [
        _Ratio(
            _metric(
                f"{side}_talk_share",
                f"{title} talk share",
                "",
                f"IPU time of the {side} / IPU time of both (overlaps count for both)",
                "flexi_score",
                "nobody speaks",
            ),
            col("ipu_ms") / 1000,
            _IPU_MS / 1000,
            "{} s of {} s spoken",
            "nobody speaks",
        ),
        _Ratio(
            _metric(
                f"{side}_floor_offset",
                f"{title} floor offset",
                "s",
                f"start of a turn of the {side} minus end of the {other}'s turn before it, "
                "signed: above 0 a gap, below 0 an overlap",
                f"floor-transfer offset, {_HELDNER}",
                no_change,
            ),
            col("floor_offset_ms") / 1000,
            changes,
            "{} s over {} floor changes",
            no_change,
        ),
        _Ratio(
            _metric(
                f"{side}_response_latency",
                f"{title} response latency",
                "s",
                f"the floor offsets of the {side} that are not negative",
                _HELDNER,
                f"the {side} never takes the floor after the {other} has finished",
                down,
            ),
            col("response_ms") / 1000,
            responses,
            "{} s over {} responses",
            f"the {side} never takes the floor after the {other} has finished",
        ),
        _Ratio(
            _metric(
                f"{side}_overlapped_starts",
                f"{title} overlapped starts",
                "",
                f"share of the {side}'s floor changes that begin before the {other} has ended",
                _HELDNER,
                no_change,
            ),
            col("overlapped_starts"),
            changes,
            "{} of {} floor changes in overlap",
            no_change,
        ),
        _Ratio(
            _metric(
                f"{side}_interruptions_per_min",
                f"{title} interruptions",
                "1/min",
                f"interruptions by the {side} per minute: IPUs, no backchannels, that start "
                f"inside an IPU of the {other} while the {side} does not hold the turn",
                "FLEXI paper, eq. 6",
                "no duration",
            ),
            cuts,
            _MINUTES,
            "{} interruptions in {} min",
            _NO_DURATION,
        ),
        _Ratio(
            _metric(
                f"{side}_interruption_success",
                f"{title} interruptions won",
                "",
                f"share of the {side}'s interruptions after which the {other} stops first and "
                "stays silent meanwhile",
                "FLEXI paper, section 2.1 (b1 < b2)",
                f"the {side} never interrupts",
            ),
            col("interruptions_successful"),
            cuts,
            "{} of {} interruptions won",
            f"the {side} never interrupts",
        ),
        _Ratio(
            _metric(
                f"{side}_stop_latency",
                f"{title} stop latency",
                "s",
                f"time that the {side} talks on once the {other} has begun a successful "
                "interruption",
                "FLEXI paper, section 2.2 (3), latency to termination",
                f"the {other} never interrupts with success",
                down,
            ),
            col("stop_ms") / 1000,
            col("stops"),
            "{} s over {} stops",
            f"the {other} never interrupts with success",
        ),
        _Ratio(
            _metric(
                f"{side}_backchannels_per_min",
                f"{title} backchannels",
                "1/min",
                f"backchannels of the {side} per minute",
                "FLEXI paper, section 2.1",
                "no duration",
            ),
            col("backchannels"),
            _MINUTES,
            "{} backchannels in {} min",
            _NO_DURATION,
        ),
    ]


def _column(side: str, name: str) -> pl.Expr:
    return pl.col(f"{side}_{name}")


def _level(number: int, bounds: str, direction: Direction) -> _Ratio:
    none = "the model never takes the floor after the user has finished"
    return _Ratio(
        _metric(
            f"model_level_{number}",
            f"Level {number}",
            "",
            f"share of the model's responses (floor offsets from 0 on) {bounds}",
            "FLEXI paper, section 1, levels of interaction",
            none,
            direction,
        ),
        pl.col(f"model_level_{number}"),
        pl.col("model_responses"),
        f"{{}} of {{}} responses at level {number}",
        none,
    )


_RATIOS: Final = (
    *_per_minute(
        "ipu",
        "IPUs",
        pl.col("user_ipus") + pl.col("model_ipus"),
        _IPU_MS,
        "inter-pausal units of both speakers",
    ),
    *_per_minute(
        "pause",
        "pauses",
        pl.col("pauses"),
        pl.col("pause_ms"),
        "silences between two IPUs of one speaker",
    ),
    *_per_minute(
        "gap",
        "gaps",
        pl.col("gaps"),
        pl.col("gap_ms"),
        "silences between IPUs of different speakers",
    ),
    *_per_minute(
        "overlap",
        "overlaps",
        pl.col("overlaps"),
        pl.col("overlap_ms"),
        "stretches in which both speak",
    ),
    *_of_side("model"),
    _level(1, "below conversation.level_1_ms", "up"),
    _level(2, "from conversation.level_1_ms to below conversation.level_2_ms", "none"),
    _level(3, "of conversation.level_2_ms or more", "down"),
    *_of_side("user"),
)

_LONGEST: Final = Metric(
    "paper",
    "conversation",
    "longest_silence",
    "Longest silence",
    "s",
    "none",
    "mean",
    "longest pause or gap: silence between the first IPU and the last",
    "flexi_score",
    "nobody speaks",
)

METRICS: Final[tuple[Metric, ...]] = (*(ratio.metric for ratio in _RATIOS), _LONGEST)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the conversation recordings ``rec`` (any recording will do).

    Parameters
    ----------
    structure : Structure
    rec : ndarray of int64, shape (k,)
    settings : Settings
        Uses the group ``conversation``.
    latency_s : mapping
        Not used.

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.schema.SCORES`; ``weight`` is the denominator of each ratio.
    """
    table = statistics_frame(structure, settings)[rec]
    silent = table["model_ipus"] == 0
    row = partial(score_rows, structure.tracks.recordings, rec, source="detected")
    frames = []
    for ratio in _RATIOS:
        cells = table.select(
            a=ratio.numerator.cast(pl.Float64), b=ratio.denominator.cast(pl.Float64), silent=silent
        ).with_columns(known=pl.col("b") > 0)
        frames.append(
            row(
                ratio.metric.name,
                cells.select(pl.when("known").then(pl.col("a") / pl.col("b")).fill_null(np.nan))
                .to_series()
                .to_numpy(),
                cells.select(_status(pl.col("known"))).to_series(),
                Decision(
                    cells.select(_rule(pl.col("known"))).to_series(),
                    cells.select(
                        pl.when("known")
                        .then(pl.format(ratio.says, _shown("a"), _shown("b")))
                        .otherwise(pl.lit(ratio.none))
                    ).to_series(),
                ),
                weight=cells.select(pl.when("known").then("b").fill_null(np.nan))
                .to_series()
                .to_numpy(),
            )
        )
    longest = table.select(s=pl.col("longest_silence_ms") / 1000, silent=silent)
    frames.append(
        row(
            _LONGEST.name,
            longest["s"].fill_null(np.nan).to_numpy(),
            longest.select(_status(pl.col("s").is_not_null())).to_series(),
            Decision(
                longest.select(_rule(pl.col("s").is_not_null())).to_series(),
                longest.select(
                    pl.when(pl.col("s").is_null())
                    .then(pl.lit("nobody speaks"))
                    .when(pl.col("s") > 0)
                    .then(pl.format("longest pause or gap {} s", _shown("s")))
                    .otherwise(pl.lit("no pause and no gap"))
                ).to_series(),
            ),
        )
    )
    return pl.concat(frames)


def _rule(known: pl.Expr) -> pl.Expr:
    return pl.when(known).then(pl.lit("counted")).otherwise(pl.lit("no_events"))


def _status(known: pl.Expr) -> pl.Expr:
    return (
        pl.when(~known)
        .then(pl.lit("not_applicable"))
        .when("silent")
        .then(pl.lit("silent"))
        .otherwise(pl.lit("scored"))
    )


def _shown(name: str) -> pl.Expr:
    """A number as people write it: three decimals, none where it is whole."""
    return pl.col(name).round(3).cast(pl.String).str.strip_suffix(".0")
