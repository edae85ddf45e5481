"""Scenario turn_taking: does the model answer, when, and does it wait for the user to finish?"""

from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import decide, rule
from flexi_score.metrics.registry import metric_table, score_rows
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
    structure: Structure,
    rec: Ints,
    settings: Settings,
    latency_s: Mapping[str, float],
    *,
    explain: bool = True,
) -> pl.DataFrame:
    """Scores of the turn_taking recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec)
    choose_rule = partial(decide, len(rec), explain=explain)
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
    silent, size = cases.silent, len(rec)
    always = np.full(size, np.inf)
    took_over = rule(took, "takes_over", "takes over at {} s, for {} s", start_ms, length)
    said_nothing = rule(silent, "silent", c.SILENT)
    too_short = rule(
        None,
        "backchannels_only",
        "the model says no more than a backchannel (longest {} s)",
        longest,
    )
    tor = row(
        "tor",
        took.astype(float),
        c.statuses(np.ones(size, bool), silent),
        choose_rule(took_over, said_nothing, too_short),
        margin_s=c.window_margin(cases, -always, always, settings) / 1000,
    )
    both = took & known
    timing = choose_rule(
        rule(
            both & early,
            "before_turn_end",
            "takes over at {} s, {} s before the user's turn ends",
            start_ms,
            -offset,
        ),
        rule(
            both,
            "after_turn_end",
            "takes over at {} s, {} s after the user's turn ends",
            start_ms,
            offset,
        ),
        said_nothing,
        rule(~known, *c.NO_TURN_END),
        too_short,
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
