"""model_interrupt as the release scores it.

Divergences from profile ``paper``
----------------------------------
1. The turn ends with the user's last word, not at an annotation.
2. Any first word counts, an acknowledgement too. Moves ``tor`` up.
3. ``eds`` is the mean of the ratings present, whether or not the model interrupted.
"""

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.metrics.release import common as c
from flexi_score.segment.tracks import Ints, Tracks

METRICS: Final = metric_table(
    "release",
    "model_interrupt",
    """
    tor | TOR | rate | up
      1 where the first model word starts more than 0.5 s before the user's last word ends, else 0
      null: no transcript, or the user says no word

    interruptions | Interruptions | sum | up
      1 where the first model word starts more than 0.5 s before the user's last word ends, else
      0; added up, as the script prints it
      null: no transcript, or the user says no word: adds nothing

    lead | Lead | mean | up | s
      end of the user's last word minus start of the model's first
      null: one of the two says no word

    eds | EDS | mean | up |  | judged
      the judge's rating (0-5), over all samples that have one
      null: no rating
    """,
    "FLEXI release, model-interruption script",
)


def score(tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies) -> pl.DataFrame:
    """``tor interruptions lead eds`` (:data:`flexi_score.metrics.release.Scorer`)."""
    model, user = c.runs_of(tracks.model_words, rec), c.runs_of(tracks.user_words, rec)
    first, last = c.take(model.start, model.first), c.take(user.end, user.last)
    wordless = model.count == 0
    offset = first - last
    facts = {"first": first, "last": last, "lead": -offset}
    unusable = (
        *c.no_transcript(tracks, rec, "model", "user"),
        c.excluded(
            user.count == 0,
            "no_user_word",
            "the user says no word, so there is no turn end to interrupt",
        ),
    )
    early = "first word at {first} s, {lead} s before the user's last word ends at {last} s"
    late = (
        "first word at {first} s, not more than 0.5 s before the user's last word ends at {last} s"
    )
    timed = "first word at {first} s, user's last word ends at {last} s"
    cases = (
        *unusable,
        c.silent(wordless, "silent", f"{c.SILENT_MODEL}: no interruption", 0),
        c.scored(offset < -0.5, "interrupts", early, 1),
        c.scored(True, "not_early", late, 0),
    )
    leads = (
        *unusable,
        c.not_applicable(wordless, "silent", f"{c.SILENT_MODEL}: no lead"),
        c.scored(True, "timed", timed, -offset),
    )
    row = partial(c.decide, tracks, rec, facts)
    timed_row = partial(row, reference_s=last, decided_s=first, source="detected")
    margin_s = np.abs(offset + 0.5)
    return pl.concat(
        [
            timed_row("tor", cases, margin_s=margin_s),
            timed_row("interruptions", cases, margin_s=margin_s),
            timed_row("lead", leads),
            row("eds", [c.NOT_JUDGED]),
        ]
    )
