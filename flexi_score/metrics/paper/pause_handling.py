"""Scenario pause_handling: does the model stay silent while the user thinks?"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import Facts, Rule
from flexi_score.metrics.registry import Latencies, mean_latency_of, metric_table
from flexi_score.segment import axis
from flexi_score.segment.tracks import Floats, Ints
from flexi_score.segment.types import Structure

METRICS: Final = metric_table(
    "paper",
    "pause_handling",
    """
    tor | TOR | rate | down
      1 if a takeover starts inside [pause start, pause start + pause length + L], L = the same
      system's mean turn_taking latency in the same run, or pause_handling.mean_latency_s, or 0
      where there is neither; or if one that began earlier is under way when the pause starts;
      else 0. A silent model scores 0
      source: FLEXI paper, section 2.2 (2)
      null: no pause is known
    """,
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies, explain: bool = True
) -> pl.DataFrame:
    """Scores of the pause_handling recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec, explain)
    detected_start, detected_end = longest_user_pause(cases)
    start, source = c.prefer(cases.annotated("pause_start_ms"), detected_start)
    end, _ = c.prefer(cases.annotated("pause_end_ms"), detected_end)
    latency_ms = mean_latency_of(cases.column("system"), settings, latency_s) * 1000
    paused, timed = ~np.isnan(start), ~np.isnan(latency_ms)
    latest = end + np.nan_to_num(latency_ms)

    model, takeovers = structure.model, structure.model.takeovers
    at = np.where(paused, start, cases.end).astype(np.int64)
    talking = axis.straddling(takeovers, at)
    under_way = paused & (talking >= 0)
    began, ends = (
        np.append(side, 0)[talking].astype(np.float64) for side in (takeovers.start, takeovers.end)
    )
    took = c.moments(axis.next_start(takeovers, at, cases.end))
    within = paused & (took <= latest)
    earlier = c.moments(axis.last_end(takeovers, at, cases.origin))
    margin = c.window_margin(cases, start, np.where(paused, latest, np.nan), settings)
    by_words = np.append(model.group_words[model.long] > settings.backchannel.max_words, True)
    too_long = np.where(by_words[talking], np.inf, ends - began - settings.backchannel.max_ms)
    through = np.fmin(np.fmin(at - began, ends - at), too_long)
    # The last group before the pause, drawn out into it.
    before = np.searchsorted(model.groups.start, at, "left") - 1
    same = np.append(model.groups.rec, -1)[before] == cases.rec
    length = np.append(model.groups.end - model.groups.start, 0)[before]
    lacks = np.where(np.append(model.long, True)[before], 0, settings.backchannel.max_ms - length)
    drawn_out = np.maximum(lacks, at - np.append(model.groups.end, 0)[before]).astype(np.float64)
    waits = ~within & same
    margin = np.where(waits, np.fmin(margin, drawn_out), margin)
    margin = np.where(under_way, through, margin)
    without_latency = (
        "; L = 0, because system "
        + cases.column("system")
        + " has no turn_taking latency in this run and pause_handling.mean_latency_s is not set"
    )
    how = pl.Series([""]).new_from_index(0, len(rec)).zip_with(pl.Series(timed), without_latency)
    facts: Facts = {
        "start": cases.seconds(start),
        "latest": cases.seconds(latest),
        "took": cases.seconds(took),
        "began": cases.seconds(began),
        "ends": cases.seconds(ends),
        "how": how,
    }
    window = "[{start}, {latest}] s{how}"
    unknown = "no pause of the user is known and the manifest has no annotations.pause"
    under = "took over at {began} s, before the pause starts at {start} s, and talks on to {ends} s"
    no_later = f"no takeover starts after {{start}} s, inside {window}"
    outcome = cases.decide(
        facts,
        Rule(~paused, "no_pause", unknown),
        c.silent_rule(cases.silent),
        Rule(under_way, "under_way", under),
        Rule(within, "takes_pause", f"takes over at {{took}} s, inside {window}"),
        Rule(np.isnan(took) & ~np.isnan(earlier), "took_over_before", no_later),
        Rule(np.isnan(took), "waits", f"no takeover inside {window}"),
        Rule(None, "takes_over_after", f"takes over at {{took}} s, after {window}"),
    )
    return cases.row(
        "tor",
        np.where(paused, (within | under_way).astype(float), np.nan),
        c.choose((~paused, "not_applicable"), (cases.silent, "silent"), otherwise="scored"),
        outcome,
        reference_ms=cases.own_ms(start),
        decided_ms=cases.own_ms(np.where(under_way, began, took)),
        margin_s=margin / 1000,
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
