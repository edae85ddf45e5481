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
from flexi_score.metrics.panel import shown
from flexi_score.metrics.reasons import Rule, decide
from flexi_score.metrics.registry import Latencies, Metric, metric_table, score_rows
from flexi_score.schema import SPEAKERS
from flexi_score.segment.tracks import Bools, Ints
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


@dataclass(frozen=True)
class Reference:
    """What human conversations show; ``low`` equals ``high`` where one typical value is known."""

    low: float
    high: float
    source: str


_FISHER: Final = "Fisher telephone conversations, as tabled by dGSLM (Nguyen et al. 2022)"
_HELDNER: Final = "Heldner & Edlund 2010: about 40 % of speaker changes"
_STIVERS: Final = "Stivers et al. 2009: means of ten languages, answers to polar questions"

#: Human bands by metric, to be shown beside a system's values.
HUMAN_REFERENCE: Final[dict[str, Reference]] = {
    "ipu_s_per_min": Reference(53.5, 53.5, _FISHER),
    "pause_s_per_min": Reference(5.5, 5.5, _FISHER),
    "gap_s_per_min": Reference(4.4, 4.4, _FISHER),
    "overlap_s_per_min": Reference(3.6, 3.6, _FISHER),
    "model_floor_offset": Reference(0.007, 0.470, _STIVERS),
    "user_floor_offset": Reference(0.007, 0.470, _STIVERS),
    "model_overlapped_starts": Reference(0.4, 0.4, _HELDNER),
    "user_overlapped_starts": Reference(0.4, 0.4, _HELDNER),
}


_OTHER: Final = {"user": "model", "model": "user"}

#: Number and time of one kind of interval.
_PER_MINUTE: Final = """
    {kind}_per_min | Number of {label} | ratio | none | 1/min
      number of {what} per minute
      source: dGSLM (Nguyen et al. 2022), turn-taking statistics
      null: no duration

    {kind}_s_per_min | Time in {label} | ratio | none | s/min
      cumulated seconds of {what} per minute
      source: dGSLM (Nguyen et al. 2022), turn-taking statistics
      null: no duration
"""

#: What each side is described by, in the order in which it is shown.
_SIDE: Final = """
    {side}_talk_share | {title} talk share | ratio | none
      IPU time of the {side} / IPU time of both (overlaps count for both)
      source: flexi_score
      null: nobody speaks

    {side}_floor_offset | {title} floor offset | ratio | none | s
      start of a turn of the {side} minus end of the {other}'s turn before it, signed: above 0 a
      gap, below 0 an overlap
      source: floor-transfer offset, Heldner & Edlund 2010
      null: the {side} never takes the floor from the {other}

    {side}_response_latency | {title} response latency | ratio | {less} | s
      the floor offsets of the {side} that are not negative
      source: Heldner & Edlund 2010
      null: the {side} never takes the floor after the {other} has finished

    {side}_overlapped_starts | {title} overlapped starts | ratio | none
      share of the {side}'s floor changes that begin before the {other} has ended
      source: Heldner & Edlund 2010
      null: the {side} never takes the floor from the {other}

    {side}_interruptions_per_min | {title} interruptions | ratio | none | 1/min
      interruptions by the {side} per minute: IPUs, no backchannels, that start inside an IPU of
      the {other} while the {side} does not hold the turn
      source: FLEXI paper, eq. 6
      null: no duration

    {side}_interruption_success | {title} interruptions won | ratio | none
      share of the {side}'s interruptions after which the {other} stops first and stays silent
      meanwhile
      source: FLEXI paper, section 2.1 (b1 < b2)
      null: the {side} never interrupts

    {side}_stop_latency | {title} stop latency | ratio | {less} | s
      time that the {side} talks on once the {other} has begun a successful interruption
      source: FLEXI paper, section 2.2 (3), latency to termination
      null: the {other} never interrupts with success

    {side}_backchannels_per_min | {title} backchannels | ratio | none | 1/min
      backchannels of the {side} per minute
      source: FLEXI paper, section 2.1
      null: no duration
"""

_LEVELS: Final = """
    model_level_1 | Level 1 | ratio | up
      share of the model's responses (floor offsets from 0 on) below conversation.level_1_ms
      null: the model never takes the floor after the user has finished

    model_level_2 | Level 2 | ratio | none
      share of the model's responses (floor offsets from 0 on) from conversation.level_1_ms to
      below conversation.level_2_ms
      null: the model never takes the floor after the user has finished

    model_level_3 | Level 3 | ratio | down
      share of the model's responses (floor offsets from 0 on) of conversation.level_2_ms or more
      null: the model never takes the floor after the user has finished
"""

_LONGEST: Final = """
    longest_silence | Longest silence | mean | none | s
      longest pause or gap: silence between the first IPU and the last
      source: flexi_score
      null: nobody speaks
"""

_KINDS: Final = {
    "ipu": ("IPUs", "inter-pausal units of both speakers"),
    "pause": ("pauses", "silences between two IPUs of one speaker"),
    "gap": ("gaps", "silences between IPUs of different speakers"),
    "overlap": ("overlaps", "stretches in which both speak"),
}
_table = partial(metric_table, "paper", "conversation")


def _of_side(side: str) -> tuple[Metric, ...]:
    less = "down" if side == "model" else "none"
    return _table(_SIDE.format(side=side, other=_OTHER[side], title=side.title(), less=less))


METRICS: Final[tuple[Metric, ...]] = (
    *(
        metric
        for kind, (label, what) in _KINDS.items()
        for metric in _table(_PER_MINUTE.format(kind=kind, label=label, what=what))
    ),
    *_of_side("model"),
    *_table(_LEVELS, "FLEXI paper, section 1, levels of interaction"),
    *_of_side("user"),
    *_table(_LONGEST),
)

_MINUTES: Final = pl.col("duration_ms") / 60_000


def _ratios() -> dict[str, tuple[pl.Expr, pl.Expr, str]]:
    """Of each metric that is a ratio: both its sides, over STATISTICS, and how to say them."""
    col = pl.col
    ipu_ms = col("user_ipu_ms") + col("model_ipu_ms")
    ratios: dict[str, tuple[pl.Expr, pl.Expr, str]] = {}
    for kind, (label, _) in _KINDS.items():
        number = col("user_ipus") + col("model_ipus") if kind == "ipu" else col(f"{kind}s")
        time = ipu_ms if kind == "ipu" else col(f"{kind}_ms")
        ratios[f"{kind}_per_min"] = number, _MINUTES, f"{{a}} {label} in {{b}} min"
        ratios[f"{kind}_s_per_min"] = time / 1000, _MINUTES, f"{{a}} s of {label} in {{b}} min"
    for level in (1, 2, 3):
        name = f"model_level_{level}"
        says = f"{{a}} of {{b}} responses at level {level}"
        ratios[name] = col(name), col("model_responses"), says
    for side in SPEAKERS:
        changes, cuts = col(f"{side}_floor_changes"), col(f"{side}_interruptions")
        responses, stops = col(f"{side}_responses"), col(f"{side}_stops")
        of_side = {
            "talk_share": (col(f"{side}_ipu_ms") / 1000, ipu_ms / 1000, "{a} s of {b} s spoken"),
            "floor_offset": (
                col(f"{side}_floor_offset_ms") / 1000,
                changes,
                "{a} s in all; floor changes: {b}",
            ),
            "response_latency": (
                col(f"{side}_response_ms") / 1000,
                responses,
                "{a} s in all; responses: {b}",
            ),
            "overlapped_starts": (
                col(f"{side}_overlapped_starts"),
                changes,
                "{a} of {b} floor changes in overlap",
            ),
            "interruptions_per_min": (cuts, _MINUTES, "interruptions: {a} in {b} min"),
            "interruption_success": (
                col(f"{side}_interruptions_successful"),
                cuts,
                "{a} of {b} interruptions won",
            ),
            "stop_latency": (col(f"{side}_stop_ms") / 1000, stops, "{a} s in all; stops: {b}"),
            "backchannels_per_min": (
                col(f"{side}_backchannels"),
                _MINUTES,
                "backchannels: {a} in {b} min",
            ),
        }
        ratios |= {f"{side}_{name}": ratio for name, ratio in of_side.items()}
    return ratios


_RATIOS: Final = _ratios()


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """Scores of the conversation recordings ``rec`` (any recording will do)."""
    table = statistics_frame(structure, settings)[rec]
    silent = (table["model_ipus"] == 0).to_numpy()
    row = partial(score_rows, structure.tracks.recordings, rec, source="detected")

    def status(known: Bools) -> pl.Series:
        which = np.where(known, np.where(silent, 1, 2), 0).astype(np.uint32)
        return pl.Series(["not_applicable", "silent", "scored"])[which]

    frames = []
    for metric in METRICS:
        if metric.name not in _RATIOS:
            continue
        *sides, says = _RATIOS[metric.name]
        a, b = (table.select(side.cast(pl.Float64)).to_series().to_numpy() for side in sides)
        known = b > 0
        none = "the recording has no duration" if sides[1] is _MINUTES else metric.null_means
        decision = decide(
            len(rec),
            {"a": shown(a), "b": shown(b)},
            Rule(known, "counted", says),
            Rule(None, "no_events", none),
        )
        weight = np.where(known, b, np.nan)
        frames.append(row(metric.name, a / weight, status(known), decision, weight=weight))
    longest = (table["longest_silence_ms"] / 1000).fill_null(np.nan).to_numpy()
    decision = decide(
        len(rec),
        {"longest": shown(longest)},
        Rule(np.isnan(longest), "no_events", "nobody speaks"),
        Rule(longest > 0, "counted", "longest pause or gap {longest} s"),
        Rule(None, "counted", "no pause and no gap"),
    )
    frames.append(row("longest_silence", longest, status(~np.isnan(longest)), decision))
    return pl.concat(frames)
