"""Scenario model_interrupt: does the model speak up before the user has finished?"""

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import decide, rule
from flexi_score.metrics.registry import PENDING, metric_table, score_rows
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
    structure: Structure,
    rec: Ints,
    settings: Settings,
    latency_s: Mapping[str, float],
    *,
    explain: bool = True,
) -> pl.DataFrame:
    """Scores of the model_interrupt recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec)
    choose_rule = partial(decide, len(rec), explain=explain)
    end, source = c.user_turn_end(cases)
    start, _ = c.first_takeover(cases)
    took, known, silent = ~np.isnan(start), ~np.isnan(end), cases.silent
    lead = end - start
    least = settings.model_interrupt.min_lead_ms
    early = lead >= least
    start_ms = cases.own_ms(start)
    row = partial(
        score_rows,
        structure.tracks.recordings,
        rec,
        reference_ms=cases.own_ms(end),
        decided_ms=start_ms,
        source=source,
    )
    size = len(rec)
    said_nothing = rule(silent, "silent", c.SILENT)
    outcome = choose_rule(
        said_nothing,
        rule(~known, *c.NO_TURN_END),
        rule(~took, "backchannels_only", "the model says no more than a backchannel"),
        rule(
            early,
            "interrupts",
            "takes over at {} s, {} s before the user's turn ends",
            start_ms,
            lead,
        ),
        rule(
            lead >= 0,
            "too_late",
            "takes over at {} s, only {} s before the user's turn ends",
            start_ms,
            lead,
        ),
        rule(
            None,
            "after_turn_end",
            "takes over at {} s, {} s after the user's turn ends",
            start_ms,
            -lead,
        ),
    )
    tor = row(
        "tor",
        np.where(known, (took & early).astype(float), np.nan),
        c.statuses(known, silent & known),
        outcome,
        margin_s=c.window_margin(cases, np.full(size, -np.inf), end - least, settings) / 1000,
    )
    both = took & known
    leads = row("lead", np.where(both, lead, np.nan) / 1000, c.statuses(both, silent), outcome)
    eds = row(
        "eds",
        np.full(len(rec), np.nan),
        c.choose((silent, "not_applicable"), otherwise=PENDING),
        choose_rule(said_nothing, rule(None, "not_judged", c.ASK_A_JUDGE)),
    )
    return pl.concat([tor, leads, eds])
