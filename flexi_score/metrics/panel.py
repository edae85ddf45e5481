"""Panels of events: metrics that are ratios of counts or sums, hidden where events are few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from flexi_score.metrics.reasons import Decision
from flexi_score.metrics.registry import score_rows
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import Structure


@dataclass(frozen=True)
class Events:
    """Events of one metric, by recording.

    Attributes
    ----------
    numerator, denominator : ndarray of float64, shape (n,)
    sentence : str
        How a value is explained; two ``{}`` stand for numerator and denominator.
    noun : str
        What the denominator counts.
    unreadable : ndarray of bool, shape (n,), optional
        Recordings whose annotations of these events cannot be read.
    problem : str
        What is wrong with them, and what was expected.
    always_shown : bool
        Whether the value is shown however few events there are: the denominator is a time.
    """

    numerator: Floats
    denominator: Floats
    sentence: str
    noun: str
    unreadable: Bools | None = None
    problem: str = ""
    always_shown: bool = False


def panel_rows(
    structure: Structure,
    rec: Ints,
    panel: Mapping[str, Events],
    min_events: int,
    setting: str,
    names: Sequence[str] | None = None,
) -> pl.DataFrame:
    """Score rows of a panel for the recordings ``rec``.

    Parameters
    ----------
    structure : Structure
    rec : ndarray of int64, shape (k,)
        Give all recordings of a system and scenario at once: ``min_events`` counts theirs.
    panel : mapping of str to Events
        By metric.
    min_events : int
        Values on fewer events per system and scenario are hidden.
    setting : str
        Name of the setting that holds ``min_events``, for the reason.
    names : sequence of str, optional
        Metrics in the order wanted; all by default.

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.schema.SCORES`. ``weight`` is the denominator. A recording without any
        event is ``not_applicable``; where the system has too few, the value is null and the status
        ``excluded``.
    """
    rows = structure.tracks.recordings.select("system", "scenario")[rec]
    silent = np.bincount(structure.model.ipus.rec, minlength=len(structure))[rec] == 0
    order = list(panel) if names is None else list(names)
    return pl.concat(
        _rows(structure, rec, rows, silent, name, panel[name], min_events, setting)
        for name in order
    )


def _rows(
    structure: Structure,
    rec: Ints,
    rows: pl.DataFrame,
    silent: Bools,
    name: str,
    events: Events,
    min_events: int,
    setting: str,
) -> pl.DataFrame:
    unreadable = np.zeros(len(rec), bool) if events.unreadable is None else events.unreadable[rec]
    least = 0 if events.always_shown else min_events
    table = (
        rows.with_columns(
            a=pl.Series(events.numerator[rec]),
            b=pl.Series(np.where(unreadable, 0.0, events.denominator[rec])),
            silent=pl.Series(silent),
            unreadable=pl.Series(unreadable),
        )
        .with_columns(total=pl.col("b").sum().over("system", "scenario"))
        .with_columns(some=pl.col("b") > 0, few=pl.col("total") < least)
    )
    shown = [pl.col(c).round(3).cast(pl.String).str.strip_suffix(".0") for c in ("a", "b", "total")]
    cells = table.select(
        value=pl.when(pl.col("some") & ~pl.col("few"))
        .then(pl.col("a") / pl.col("b"))
        .fill_null(np.nan),
        weight=pl.when("some").then("b").fill_null(np.nan),
        status=pl.when("unreadable")
        .then(pl.lit("excluded"))
        .when(~pl.col("some"))
        .then(pl.lit("not_applicable"))
        .when("few")
        .then(pl.lit("excluded"))
        .when("silent")
        .then(pl.lit("silent"))
        .otherwise(pl.lit("scored")),
        reason=pl.when("unreadable")
        .then(pl.lit(events.problem))
        .when(~pl.col("some"))
        .then(pl.lit(f"no {events.noun}"))
        .when("few")
        .then(
            pl.format(
                "hidden: {} has {} {} in scenario {}, and {} is {}",
                "system",
                shown[2],
                pl.lit(events.noun),
                "scenario",
                pl.lit(setting),
                pl.lit(str(min_events)),
            )
        )
        .otherwise(pl.format(events.sentence, shown[0], shown[1])),
        rule=pl.when("unreadable")
        .then(pl.lit("unreadable"))
        .when(~pl.col("some"))
        .then(pl.lit("no_events"))
        .when("few")
        .then(pl.lit("too_few"))
        .when("silent")
        .then(pl.lit("silent"))
        .otherwise(pl.lit("counted")),
    )
    return score_rows(
        structure.tracks.recordings,
        rec,
        name,
        cells["value"].to_numpy(),
        cells["status"],
        Decision(cells["rule"], cells["reason"]),
        weight=cells["weight"].to_numpy(),
        source="detected",
    )
