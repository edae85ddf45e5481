"""Scenario turn_taking: does the model answer, when, and does it wait for the user to finish?"""

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import Rule
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.segment.tracks import Ints
from flexi_score.segment.types import Structure

METRICS: Final = metric_table(
    "paper",
    "turn_taking",
    """
    tor | TOR | rate | up
      1 if the model takes over at all: a group of its IPUs (less than takeover.group_ms apart)
      longer than backchannel.max_ms or of more than backchannel.max_words words; else 0 (silence
      or backchannels only)
      source: FLEXI paper, eq. 7
      null: never null for a usable recording

    latency | Latency | mean | down | s
      start of the first takeover minus end of the user's turn, for takeovers at or after it
      source: FLEXI paper, section 2.2 (1)
      null: no takeover, or one before the user's turn ended

    floor_offset | Floor offset | mean | none | s
      start of the first takeover minus end of the user's turn, signed
      source: floor-transfer offset, Heldner & Edlund 2010
      null: no takeover

    jir | JIR | rate | down
      1 if the first takeover starts before the user's turn ends, else 0
      source: FLEXI paper, table 2
      null: the end of the user's turn is not known
    """,
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies, explain: bool = True
) -> pl.DataFrame:
    """Scores of the turn_taking recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec, explain)
    end, source = c.user_turn_end(cases)
    start, length = c.first_takeover(cases)
    took, known, silent = ~np.isnan(start), ~np.isnan(end), cases.silent
    offset = start - end
    early, both = offset < 0, took & known
    always = np.full(len(rec), np.inf)
    facts = {
        "start": cases.seconds(start),
        "length": length / 1000,
        "longest": c.longest_group_ms(cases) / 1000,
        "early": -offset / 1000,
        "late": offset / 1000,
    }
    said_nothing = c.silent_rule(silent)
    too_short = Rule(
        None, "backchannels_only", "the model says no more than a backchannel (longest {longest} s)"
    )
    before = "takes over at {start} s, {early} s before the user's turn ends"
    after = "takes over at {start} s, {late} s after the user's turn ends"
    timing = cases.decide(
        facts,
        Rule(both & early, "before_turn_end", before),
        Rule(both, "after_turn_end", after),
        said_nothing,
        c.no_turn_end(known),
        too_short,
    )
    row = partial(
        cases.row, reference_ms=cases.own_ms(end), decided_ms=cases.own_ms(start), source=source
    )
    tor = row(
        "tor",
        took.astype(float),
        c.statuses(np.ones(len(rec), bool), silent),
        cases.decide(
            facts,
            Rule(took, "takes_over", "takes over at {start} s, for {length} s"),
            said_nothing,
            too_short,
        ),
        margin_s=c.window_margin(cases, -always, always, settings) / 1000,
    )
    latency = row(
        "latency",
        np.where(both & ~early, offset, np.nan) / 1000,
        c.statuses(both & ~early, silent),
        timing,
        margin_s=np.abs(offset) / 1000,
    )
    floor_offset = row(
        "floor_offset", np.where(both, offset, np.nan) / 1000, c.statuses(both, silent), timing
    )
    jir = row(
        "jir",
        np.where(known, (took & early).astype(float), np.nan),
        c.statuses(known, silent & known),
        timing,
        margin_s=c.window_margin(cases, -always, end - c.AT_MOST, settings) / 1000,
    )
    return pl.concat([tor, latency, floor_offset, jir])
