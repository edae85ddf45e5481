"""Panels of events: metrics that are ratios of counts or sums, hidden where events are few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from flexi_score.metrics.reasons import Rule, decide
from flexi_score.metrics.registry import Metric, score_rows
from flexi_score.schema import SCENARIOS
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import Structure


@dataclass(frozen=True)
class Events:
    """Events of one metric, by recording."""

    #: numerator, denominator: shape (n,)
    numerator: Floats
    denominator: Floats
    sentence: str  # how a value is explained; ``{a}`` and ``{b}`` are its two sides
    noun: str  # what the denominator counts
    #: shape (n,), optional: recordings whose annotations of these events cannot be read
    unreadable: Bools | None = None
    problem: str = ""  # what is wrong with them, and what was expected
    #: whether the value is shown however few events there are: the denominator is a time
    always_shown: bool = False


#: One of what sentences count: "1 user turns" is "1 user turn", but "0.1 minutes" stay.
_ONE: Final = (r"(^|[^.\d])1 ((?:[a-z]+ )?[a-z]{3,})s\b", "${1}1 ${2}")
#: Status that follows from the rule which decided.
STATUS: Final = {
    "unreadable": "excluded",
    "no_events": "not_applicable",
    "too_few": "excluded",
    "silent": "silent",
    "counted": "scored",
}


def panel_rows(
    structure: Structure,
    rec: Ints,
    metrics: Sequence[Metric],
    panel: Mapping[str, Events],
    min_events: int = 0,
    setting: str = "",
) -> pl.DataFrame:
    """Score rows of a panel for the recordings ``rec``; ``weight`` is the denominator.

    Values on fewer than ``min_events`` (of the setting named ``setting``) of a system and scenario
    are hidden, so give all of these at once. A recording without any event is ``not_applicable``;
    where the system has too few, the value is null and the status ``excluded``.
    """
    rows = structure.tracks.recordings.select("system", "scenario")[rec]
    silent = ~speaks(structure)[rec]
    frames = []
    for metric in metrics:
        events = panel[metric.name]
        unreadable = (
            np.zeros(len(rec), bool) if events.unreadable is None else events.unreadable[rec]
        )
        a, b = events.numerator[rec], np.where(unreadable, 0.0, events.denominator[rec])
        pooled = (
            rows.with_columns(b=pl.Series(b))
            .select(pl.col("b").sum().over("system", "scenario"))
            .to_series()
        )
        some, few = b > 0, (pooled < (0 if events.always_shown else min_events)).to_numpy()
        facts = {"a": shown(a), "b": shown(b), "pooled": shown(pooled), **rows.to_dict()}
        decision = decide(
            len(rec),
            facts,
            Rule(unreadable, "unreadable", events.problem),
            Rule(~some, "no_events", f"no {events.noun}"),
            Rule(
                few,
                "too_few",
                f"hidden: {{system}} has {{pooled}} {events.noun} in scenario {{scenario}}, "
                f"and {setting} is {min_events}",
            ),
            Rule(silent, "silent", events.sentence),
            Rule(None, "counted", events.sentence),
        )
        decision = replace(decision, reason=decision.reason.str.replace_all(*_ONE))
        frames.append(
            score_rows(
                structure.tracks.recordings,
                rec,
                metric.name,
                np.divide(a, b, out=np.full(len(rec), np.nan), where=some & ~few),
                decision.rule.replace_strict(STATUS),
                decision,
                weight=np.where(some, b, np.nan),
                source="detected",
            )
        )
    return pl.concat(frames)


def every_scenario(metrics: Sequence[Metric]) -> tuple[Metric, ...]:
    """A panel, once for every scenario."""
    return tuple(replace(metric, scenario=name) for name in SCENARIOS for metric in metrics)


def speaks(structure: Structure) -> Bools:
    """Whether the model speaks at all, shape (n,)."""
    return np.bincount(structure.model.ipus.rec, minlength=len(structure)) > 0


def shown(values: Floats | pl.Series) -> pl.Series:
    """Numbers as people write them: three decimals, none where they are whole."""
    return pl.Series(values).round(3).cast(pl.String).str.strip_suffix(".0")


def total(rec: Ints, n: int, values: Floats | None = None) -> Floats:
    """Number of events, or sum of their values, by recording, shape (n,)."""
    return np.bincount(rec, values, n).astype(np.float64)
