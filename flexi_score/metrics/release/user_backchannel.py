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

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.metrics.release import common as c
from flexi_score.metrics.release.common import Runs, first_where, take
from flexi_score.segment.tracks import Floats, Ints, Tracks

METRICS: Final = metric_table(
    "release",
    "user_backchannel",
    """
    ttr | TTR | rate | down
      with tau the start of the first user word more than 1.5 s after the one before it (else the
      first annotated backchannel): 1 where the model is silent for more than 1.5 s after a word
      that starts at or before tau, or whose predecessor ends by then; else 0
      null: no transcript, fewer than 2 user words, or no tau: the script skips the sample

    coherence | Coherence | mean | up |  | judged
      the judge's rating (0-5) of the words after that silence against those before; coherent if
      above 2
      null: not interrupted, or no rating
    """,
    "FLEXI release, user-backchannel script",
)


def score(tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies) -> pl.DataFrame:
    """``ttr coherence`` (:data:`flexi_score.metrics.release.Scorer`)."""
    model, user = c.runs_of(tracks.model_words, rec), c.runs_of(tracks.user_words, rec)
    detected = _isolated_word(user)
    # The script looks at annotated times only after its scan, and needs two words to scan.
    annotated = c.first_backchannel(tracks, rec, "start_ms")
    tau = np.where(user.count < 2, np.nan, np.where(np.isnan(detected), annotated, detected))
    cut = cut_at(model, tau)
    interrupted = cut >= 0
    stop, resume = c.take(model.end, cut), c.take(model.start, np.where(interrupted, cut + 1, -1))
    facts = {"tau": tau, "n": user.count, "stop": stop, "resume": resume, "silence": resume - stop}
    unusable = (
        *c.no_transcript(tracks, rec, "model", "user"),
        c.excluded(
            user.count < 2,
            "too_few_words",
            "the user says {n} words, and the release needs 2 to find a backchannel",
        ),
        c.excluded(
            np.isnan(tau),
            "no_backchannel",
            "no user word starts more than 1.5 s after the one before it, and no backchannel is "
            "annotated",
        ),
    )
    stops = "silent for {silence} s from {stop} s to {resume} s, backchannel at {tau} s"
    talks_on = "no silence longer than 1.5 s between two words up to the backchannel at {tau} s"
    ttr = (
        *unusable,
        c.silent(model.count == 0, "silent", f"{c.SILENT_MODEL}: it is not interrupted", 0),
        c.scored(interrupted, "stops", stops, 1),
        c.scored(True, "talks_on", talks_on, 0),
    )
    coherence = (
        *unusable,
        c.not_applicable(~interrupted, "not_interrupted", "not interrupted: nothing to rate"),
        c.NOT_JUDGED,
    )
    source = np.where(np.isnan(detected), "annotation", "detected")
    row = partial(c.decide, tracks, rec, facts, reference_s=tau)
    return pl.concat(
        [
            row(
                "ttr",
                ttr,
                decided_s=stop,
                source=pl.Series(source).set(pl.Series(np.isnan(tau)), None),
            ),
            row("coherence", coherence, decided_s=resume),
        ]
    )


def cut_at(words: Runs, tau: Floats) -> Ints:
    """Position of the word after which each model falls silent; -1 where none does."""
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
