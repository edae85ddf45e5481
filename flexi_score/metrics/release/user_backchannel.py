"""user_backchannel as the release scores it.

Divergences from profile ``paper``
----------------------------------
1. Only silences longer than 1.5 s between two words count as a stop; a stop for good has no next
   word and does not count. Moves ``ttr`` down.
2. Such a silence counts however long before the backchannel it began, and however long after it,
   if the word before it started by then. Moves ``ttr`` up.
3. For the model's first word the script compares with the end of its last word (an index of -1).
   The start of the first word is smaller, so the outcome is that of the rule without it.
4. ``resumed`` has no counterpart: an interrupted model resumes by construction.
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
    Runs,
    decide,
    first_where,
    runs_of,
    take,
)
from flexi_score.segment.tracks import Floats, Ints, Tracks

_SOURCE = "FLEXI release, user-backchannel script"

METRICS: tuple[Metric, ...] = (
    Metric(
        "release",
        "user_backchannel",
        "ttr",
        "TTR",
        "",
        "down",
        "rate",
        "with tau the start of the first user word more than 1.5 s after the one before it (else "
        "the first annotated backchannel): 1 where the model is silent for more than 1.5 s after a "
        "word that starts at or before tau, or whose predecessor ends by then; else 0",
        _SOURCE,
        "no transcript, fewer than 2 user words, or no tau: the script skips the sample",
    ),
    Metric(
        "release",
        "user_backchannel",
        "coherence",
        "Coherence",
        "",
        "up",
        "mean",
        "the judge's rating (0-5) of the words after that silence against those before; coherent "
        "if above 2",
        _SOURCE,
        "not interrupted, or no rating",
        judged=True,
    ),
)


def score(
    tracks: Tracks, rec: NDArray[np.int64], settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """``ttr coherence`` of scenario user_backchannel.

    See :data:`flexi_score.metrics.release.Scorer`.
    """
    model, user = runs_of(tracks.model_words, rec), runs_of(tracks.user_words, rec)
    detected = _isolated_word(user)
    annotated = _first_backchannel(tracks, rec)
    # The script looks at annotated times only after its scan, and needs two words to scan.
    tau = np.where(user.count < 2, np.nan, np.where(np.isnan(detected), annotated, detected))
    cut = cut_at(model, tau)
    interrupted = cut >= 0
    follows = np.where(interrupted, cut + 1, -1)
    facts = {
        "tau": tau,
        "n": user.count,
        "stop": take(model.end, cut),
        "resume": take(model.start, follows),
        "silence": take(model.start, follows) - take(model.end, cut),
    }
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
            user.count < 2,
            np.nan,
            "excluded",
            "the user says {n} words, and the release needs 2 to find a backchannel",
            code="too_few_words",
        ),
        Case(
            np.isnan(tau),
            np.nan,
            "excluded",
            "no user word starts more than 1.5 s after the one before it, and no backchannel is "
            "annotated",
            code="no_backchannel",
        ),
    )
    ttr = decide(
        tracks,
        rec,
        "ttr",
        facts,
        [
            *unusable,
            Case(
                model.count == 0,
                0.0,
                "silent",
                f"{SILENT_MODEL}: it is not interrupted",
                code="silent",
            ),
            Case(
                interrupted,
                1.0,
                "scored",
                "silent for {silence} s from {stop} s to {resume} s, backchannel at {tau} s",
                code="stops",
            ),
            Case(
                True,
                0.0,
                "scored",
                "no silence longer than 1.5 s between two words up to the backchannel at {tau} s",
                code="talks_on",
            ),
        ],
        reference_s=tau,
        decided_s=facts["stop"],
    )
    annotated_tau, no_tau = pl.Series(np.isnan(detected)), pl.Series(np.isnan(tau))
    ttr = ttr.with_columns(
        source=pl.when(no_tau)
        .then(None)
        .when(annotated_tau)
        .then(pl.lit("annotation"))
        .otherwise(pl.lit("detected"))
    )
    coherence = decide(
        tracks,
        rec,
        "coherence",
        facts,
        [
            *unusable,
            Case(
                ~interrupted,
                np.nan,
                "not_applicable",
                "not interrupted: nothing to rate",
                code="not_interrupted",
            ),
            Case(True, np.nan, PENDING, NO_RATING, code="not_judged"),
        ],
        reference_s=tau,
        decided_s=facts["resume"],
    )
    return pl.concat([ttr, coherence])


def cut_at(words: Runs, tau: Floats) -> Ints:
    """Position of the word after which each model falls silent; -1 where none does.

    Parameters
    ----------
    words : Runs
        The model's words.
    tau : ndarray of float64, shape (k,)
        The backchannel in s; with NaN there is no cut.
    """
    position = np.arange(len(words.start))
    before = np.where(position == words.first[words.owner], words.last[words.owner], position - 1)
    follows = np.where(position == words.last[words.owner], -1, position + 1)
    silence = take(words.start, follows) - words.end
    earliest = np.minimum(words.start, words.end[before])
    return first_where(words, (silence > 1.5) & (earliest <= tau[words.owner]))


def _isolated_word(words: Runs) -> Floats:
    """Start in s of the first word more than 1.5 s after the one before it, NaN without one."""
    position = np.arange(len(words.start))
    before = np.where(position == words.first[words.owner], -1, position - 1)
    return take(words.start, first_where(words, words.start - take(words.end, before) > 1.5))


def _first_backchannel(tracks: Tracks, rec: Ints) -> Floats:
    first = tracks.recordings["backchannels"].gather(rec).list.first().struct.field("start_ms")
    return np.asarray(first.cast(pl.Float64).to_numpy(), np.float64) / 1000
