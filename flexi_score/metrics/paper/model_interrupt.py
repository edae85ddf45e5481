"""Scenario model_interrupt: does the model speak up before the user has finished?"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import decide, rule
from flexi_score.metrics.registry import PENDING, Metric, score_rows
from flexi_score.segment.tracks import Ints
from flexi_score.segment.types import Structure

_metric = partial(Metric, profile="paper", scenario="model_interrupt")

METRICS = (
    _metric(
        name="tor",
        label="TOR",
        unit="",
        direction="up",
        aggregate="rate",
        definition="1 if a takeover starts at least model_interrupt.min_lead_ms before the user's "
        "turn ends, else 0",
        source="FLEXI paper, section 2.2 (4)",
        null_means="the end of the user's turn is not known",
    ),
    _metric(
        name="lead",
        label="Lead",
        unit="s",
        direction="none",
        aggregate="mean",
        definition="end of the user's turn minus start of the first takeover, signed",
        source="flexi_score",
        null_means="no takeover",
    ),
    _metric(
        name="eds",
        label="EDS",
        unit="0-5",
        direction="up",
        aggregate="mean",
        judged=True,
        definition="judge: does the response recognise the emergency (or the user's error) and act "
        "on it?",
        source="FLEXI paper, section 2.2 (4)",
        null_means="not judged, or the model said nothing",
    ),
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
