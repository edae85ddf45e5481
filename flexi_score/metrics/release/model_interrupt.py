"""model_interrupt as the release scores it.

Divergences from profile ``paper``
----------------------------------
1. The turn ends with the user's last word, not at an annotation.
2. Any first word counts, an acknowledgement too. Moves ``tor`` up.
3. ``eds`` is the mean of the ratings present, whether or not the model interrupted.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import Settings
from flexi_score.metrics.registry import PENDING, Metric
from flexi_score.metrics.release.common import (
    NO_MODEL_TRANSCRIPT,
    NO_RATING,
    NO_USER_TRANSCRIPT,
    SILENT_MODEL,
    Case,
    decide,
    runs_of,
    take,
)
from flexi_score.segment.tracks import Tracks

_SOURCE = "FLEXI release, model-interruption script"
_EARLY = (
    "1 where the first model word starts more than 0.5 s before the user's last word ends, else 0"
)

METRICS: tuple[Metric, ...] = (
    Metric(
        "release",
        "model_interrupt",
        "tor",
        "TOR",
        "",
        "up",
        "rate",
        _EARLY,
        _SOURCE,
        "no transcript, or the user says no word",
    ),
    Metric(
        "release",
        "model_interrupt",
        "interruptions",
        "Interruptions",
        "",
        "up",
        "sum",
        f"{_EARLY}; added up, as the script prints it",
        _SOURCE,
        "no transcript, or the user says no word: adds nothing",
    ),
    Metric(
        "release",
        "model_interrupt",
        "lead",
        "Lead",
        "s",
        "up",
        "mean",
        "end of the user's last word minus start of the model's first",
        _SOURCE,
        "one of the two says no word",
    ),
    Metric(
        "release",
        "model_interrupt",
        "eds",
        "EDS",
        "",
        "up",
        "mean",
        "the judge's rating (0-5), over all samples that have one",
        _SOURCE,
        "no rating",
        judged=True,
    ),
)


def score(
    tracks: Tracks, rec: NDArray[np.int64], settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """``tor interruptions lead eds`` of scenario model_interrupt.

    See :data:`flexi_score.metrics.release.Scorer`.
    """
    model, user = runs_of(tracks.model_words, rec), runs_of(tracks.user_words, rec)
    first, last = take(model.start, model.first), take(user.end, user.last)
    silent = model.count == 0
    offset = first - last
    facts = {"first": first, "last": last, "lead": -offset}
    unusable = (
        Case(
            ~tracks.model_words.known[rec],
            np.nan,
            "failed",
            NO_MODEL_TRANSCRIPT,
            code="no_model_transcript",
        ),
        Case(
            ~tracks.user_words.known[rec],
            np.nan,
            "failed",
            NO_USER_TRANSCRIPT,
            code="no_user_transcript",
        ),
        Case(
            user.count == 0,
            np.nan,
            "excluded",
            "the user says no word, so there is no turn end to interrupt",
            code="no_user_word",
        ),
    )
    cases = (
        *unusable,
        Case(silent, 0.0, "silent", f"{SILENT_MODEL}: no interruption", code="silent"),
        Case(
            offset < -0.5,
            1.0,
            "scored",
            "first word at {first} s, {lead} s before the user's last word ends at {last} s",
            code="interrupts",
        ),
        Case(
            True,
            0.0,
            "scored",
            "first word at {first} s, not more than 0.5 s before the user's last word ends at "
            "{last} s",
            code="not_early",
        ),
    )
    interrupted = [
        decide(
            tracks,
            rec,
            metric,
            facts,
            cases,
            reference_s=last,
            decided_s=first,
            margin_s=np.abs(offset + 0.5),
            source="detected",
        )
        for metric in ("tor", "interruptions")
    ]
    lead = decide(
        tracks,
        rec,
        "lead",
        facts,
        [
            *unusable,
            Case(silent, np.nan, "not_applicable", f"{SILENT_MODEL}: no lead", code="silent"),
            Case(
                True,
                -offset,
                "scored",
                "first word at {first} s, user's last word ends at {last} s",
                code="timed",
            ),
        ],
        reference_s=last,
        decided_s=first,
        source="detected",
    )
    eds = decide(
        tracks, rec, "eds", facts, [Case(True, np.nan, PENDING, NO_RATING, code="not_judged")]
    )
    return pl.concat([*interrupted, lead, eds])
