"""Scenario turn_taking: does the model answer, when, and does it wait for the user to finish?"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.paper.margins import takeover_margin
from flexi_score.metrics.registry import Metric, score_rows
from flexi_score.segment.tracks import Ints
from flexi_score.segment.types import Structure

_metric = partial(Metric, profile="paper", scenario="turn_taking")

METRICS = (
    _metric(
        name="tor",
        label="TOR",
        unit="",
        direction="up",
        aggregate="rate",
        definition="1 if the model takes over at all: a group of its IPUs (less than "
        "takeover.group_ms apart) longer than backchannel.max_ms or of more than "
        "backchannel.max_words words; else 0 (silence or backchannels only)",
        source="FLEXI paper, eq. 7",
        null_means="never null for a usable recording",
    ),
    _metric(
        name="latency",
        label="Latency",
        unit="s",
        direction="down",
        aggregate="mean",
        definition="start of the first takeover minus end of the user's turn, for takeovers at or "
        "after it",
        source="FLEXI paper, section 2.2 (1)",
        null_means="no takeover, or one before the user's turn ended",
    ),
    _metric(
        name="floor_offset",
        label="Floor offset",
        unit="s",
        direction="none",
        aggregate="mean",
        definition="start of the first takeover minus end of the user's turn, signed",
        source="floor-transfer offset, Heldner & Edlund 2010",
        null_means="no takeover",
    ),
    _metric(
        name="jir",
        label="JIR",
        unit="",
        direction="down",
        aggregate="rate",
        definition="1 if the first takeover starts before the user's turn ends, else 0",
        source="FLEXI paper, table 2",
        null_means="the end of the user's turn is not known",
    ),
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the turn_taking recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec)
    end, source = c.user_turn_end(cases)
    start, length = c.first_takeover(cases)
    longest = c.longest_group_ms(cases)
    took, known = ~np.isnan(start), ~np.isnan(end)
    offset = start - end
    early = offset < 0
    end_ms, start_ms = cases.own_ms(end), cases.own_ms(start)
    row = partial(
        score_rows,
        structure.tracks.recordings,
        rec,
        reference_ms=end_ms,
        decided_ms=start_ms,
        source=source,
    )
    silent = cases.silent
    always = np.full(len(rec), np.inf)

    too_short = c.say("the model says no more than a backchannel (longest {} s)", longest)
    tor = row(
        "tor",
        took.astype(float),
        c.statuses(np.ones(len(rec), bool), silent),
        c.choose(
            (took, c.say("takes over at {} s, for {} s", start_ms, length)),
            (silent, c.SILENT),
            otherwise=too_short,
        ),
        margin_s=takeover_margin(cases, -always, always, settings) / 1000,
    )
    no_end = "the user never speaks and the manifest has no annotations.user_turn_end"
    none = c.choose((silent, c.SILENT), (~known, no_end), otherwise=too_short)
    after = c.say("takes over at {} s, {} s after the user's turn ends", start_ms, offset)
    before = c.say("takes over at {} s, {} s before the user's turn ends", start_ms, -offset)
    both = took & known
    told = c.choose((both & early, before), (both, after), otherwise=none)
    latency = row(
        "latency",
        np.where(both & ~early, offset, np.nan) / 1000,
        c.statuses(both & ~early, silent),
        told,
        margin_s=np.abs(offset) / 1000,
    )
    floor_offset = row(
        "floor_offset", np.where(both, offset, np.nan) / 1000, c.statuses(both, silent), told
    )
    jir = row(
        "jir",
        np.where(known, (took & early).astype(float), np.nan),
        c.statuses(known, silent & known),
        told,
        margin_s=takeover_margin(cases, -always, end, settings) / 1000,
    )
    return pl.concat([tor, latency, floor_offset, jir])
