"""Scenario model_interrupt: does the model speak up before the user has finished?"""

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import Rule
from flexi_score.metrics.registry import PENDING, Latencies, metric_table
from flexi_score.segment.tracks import Ints
from flexi_score.segment.types import Structure

METRICS: Final = metric_table(
    "paper",
    "model_interrupt",
    """
    tor | TOR | rate | up
      1 if a takeover starts at least model_interrupt.min_lead_ms before the user's turn ends,
      else 0
      source: FLEXI paper, section 2.2 (4)
      null: the end of the user's turn is not known

    lead | Lead | mean | none | s
      end of the user's turn minus start of the first takeover, signed
      source: flexi_score
      null: no takeover

    eds | EDS | mean | up | 0-5 | judged
      judge: does the response recognise the emergency (or the user's error) and act on it?
      source: FLEXI paper, section 2.2 (4)
      null: not judged, or the model said nothing
    """,
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies, explain: bool = True
) -> pl.DataFrame:
    """Scores of the model_interrupt recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec, explain)
    end, source = c.user_turn_end(cases)
    start, _ = c.first_takeover(cases)
    took, known, silent = ~np.isnan(start), ~np.isnan(end), cases.silent
    both, lead, least = took & known, end - start, settings.model_interrupt.min_lead_ms
    early = lead >= least
    facts = {"start": cases.seconds(start), "lead": lead / 1000, "late": -lead / 1000}
    said_nothing = c.silent_rule(silent)
    before = "takes over at {start} s, {lead} s before the user's turn ends"
    too_late = "takes over at {start} s, only {lead} s before the user's turn ends"
    after = "takes over at {start} s, {late} s after the user's turn ends"
    outcome = cases.decide(
        facts,
        said_nothing,
        c.no_turn_end(known),
        Rule(~took, "backchannels_only", "the model says no more than a backchannel"),
        Rule(early, "interrupts", before),
        Rule(lead >= 0, "too_late", too_late),
        Rule(None, "after_turn_end", after),
    )
    never = np.full(len(rec), -np.inf)
    row = partial(
        cases.row, reference_ms=cases.own_ms(end), decided_ms=cases.own_ms(start), source=source
    )
    tor = row(
        "tor",
        np.where(known, (took & early).astype(float), np.nan),
        c.statuses(known, silent & known),
        outcome,
        margin_s=c.window_margin(cases, never, end - least, settings) / 1000,
    )
    leads = row("lead", np.where(both, lead, np.nan) / 1000, c.statuses(both, silent), outcome)
    eds = row(
        "eds",
        np.full(len(rec), np.nan),
        c.choose((silent, "not_applicable"), otherwise=PENDING),
        cases.decide(facts, said_nothing, Rule(None, "not_judged", c.ASK_A_JUDGE)),
    )
    return pl.concat([tor, leads, eds])
