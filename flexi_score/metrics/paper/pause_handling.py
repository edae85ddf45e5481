"""Scenario pause_handling: does the model stay silent while the user thinks?"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.paper.margins import takeover_margin
from flexi_score.metrics.registry import Metric, score_rows
from flexi_score.segment import axis
from flexi_score.segment.tracks import Floats, Ints
from flexi_score.segment.types import Structure

METRICS = (
    Metric(
        profile="paper",
        scenario="pause_handling",
        name="tor",
        label="TOR",
        unit="",
        direction="down",
        aggregate="rate",
        definition="1 if a takeover starts inside [pause start, pause start + pause length + L], "
        "L = the same system's mean turn_taking latency in the same run, or "
        "pause_handling.mean_latency_s; else 0. A silent model scores 0",
        source="FLEXI paper, section 2.2 (2)",
        null_means="no pause is known, or no mean latency",
    ),
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the pause_handling recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec)
    found_start, found_end = longest_user_pause(cases)
    start, source = c.prefer(cases.annotated("pause_start_ms"), found_start)
    end, _ = c.prefer(cases.annotated("pause_end_ms"), found_end)
    extra_ms = _mean_latency_ms(cases, settings, latency_s)
    paused, timed = ~np.isnan(start), ~np.isnan(extra_ms)
    latest = end + np.nan_to_num(extra_ms)

    takeovers = structure.model.takeovers
    asked = np.where(paused, start, cases.end).astype(np.int64)
    took = c.moments(axis.next_start(takeovers, asked, cases.end))
    within = paused & (took <= latest)
    # A silent model is right whatever L is; nothing else can be said without it.
    usable = paused & (timed | np.isnan(took) | cases.silent)
    earlier = c.moments(axis.last_end(takeovers, asked, cases.origin))
    nearest = takeover_margin(
        cases, start, np.where(usable & timed, latest + c.AT_MOST, np.nan), settings
    )
    window = c.say("[{}, {}] s", cases.own_ms(start), cases.own_ms(latest))
    systems = cases.column("system")
    reason = c.choose(
        (~paused, "the user never pauses and the manifest has no annotations.pause"),
        (cases.silent, c.SILENT),
        (
            ~usable,
            "system " + systems + " has no turn_taking latency in this run and "
            "pause_handling.mean_latency_s is not set",
        ),
        (within, c.say("takes over at {} s, inside ", cases.own_ms(took)) + window),
        (
            np.isnan(took) & ~np.isnan(earlier),
            c.say("no takeover starts after {} s, inside ", cases.own_ms(start)) + window,
        ),
        (np.isnan(took), "no takeover inside " + window),
        otherwise=c.say("takes over at {} s, after ", cases.own_ms(took)) + window,
    )
    return score_rows(
        structure.tracks.recordings,
        rec,
        "tor",
        np.where(usable, within.astype(float), np.nan),
        c.choose(
            (~paused, "not_applicable"),
            (cases.silent, "silent"),
            (~usable, "excluded"),
            otherwise="scored",
        ),
        reason,
        reference_ms=cases.own_ms(start),
        decided_ms=cases.own_ms(took),
        margin_s=nearest / 1000,
        source=source,
    )


def longest_user_pause(cases: c.Cases) -> tuple[Floats, Floats]:
    """Start and end of the longest silence between two IPUs of the user (the first, on a tie).

    Whatever the model does meanwhile: a model that jumps into the pause must not hide it.
    """
    ipus, size = cases.structure.user.ipus, len(cases.structure)
    same = np.flatnonzero(np.diff(ipus.rec) == 0)
    start, end, rec = ipus.end[same], ipus.start[same + 1], ipus.rec[same]
    longest = np.zeros(size, np.int64)
    np.maximum.at(longest, rec, end - start)
    at = np.flatnonzero(end - start == longest[rec])
    at = at[np.diff(rec[at], prepend=-1) != 0]
    table = np.full((2, size), np.nan)
    table[:, rec[at]] = start[at], end[at]
    return table[0][cases.rec], table[1][cases.rec]


def _mean_latency_ms(cases: c.Cases, settings: Settings, latency_s: Mapping[str, float]) -> Floats:
    given = settings.pause_handling.mean_latency_s
    if given is not None:
        return np.full(len(cases.rec), given * 1000)
    systems = cases.column("system")
    mean = systems.replace_strict(
        dict(latency_s) or {"": None}, default=None, return_dtype=pl.Float64
    )
    return np.asarray(mean.fill_null(np.nan).to_numpy() * 1000, np.float64)
