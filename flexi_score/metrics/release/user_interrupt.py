"""user_interrupt as the release scores it.

The script scans the model's words in order. Words that overlap the interruption give A, the start
of the first of them, and B, the end of the latest; both are 0 before there is one. The scan stops
at the first word beyond the interruption that starts more than 1 s after B.

Divergences from profile ``paper``
----------------------------------
1. A model that talks straight through a short interruption scores as yielded, as long as it pauses
   for 1 s at any time later. Moves ``ttr`` up.
2. A model that stays silent during the interruption has A = B = 0 and scores as yielded, with a
   latency of 0. Moves ``ttr`` up and ``latency`` down.
3. A model that stops and never speaks again scores as not yielded. Moves ``ttr`` down.
4. ``latency`` runs from the model's first overlapping word, not from the interruption's start, and
   its mean includes samples that did not yield.
5. A yield without a reply counts 0 in ``tss``.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.config import Settings
from flexi_score.metrics.registry import PENDING, Metric
from flexi_score.metrics.release.common import (
    NO_MODEL_TRANSCRIPT,
    NO_RATING,
    SILENT_MODEL,
    Case,
    Runs,
    annotation_s,
    count_where,
    decide,
    first_where,
    last_where,
    runs_of,
    take,
)
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

_SOURCE = "FLEXI release, user-interruption script"

#: What reasons say of the two quirks that need a word beyond the interruption.
NO_OVERLAPPING_WORD: Final = "no word during the interruption"
NO_LATER_WORD: Final = "no later word starts more than 1 s after"

METRICS: tuple[Metric, ...] = (
    Metric(
        "release",
        "user_interrupt",
        "ttr",
        "TTR",
        "",
        "up",
        "rate",
        "A = start of the first model word that overlaps the interruption, B = end of the last, "
        "both 0 without one: 1 where a word beyond the interruption starts more than 1 s after B "
        "and B - A < 3 s, else 0",
        _SOURCE,
        "no transcript of the model, or no annotated interruption",
    ),
    Metric(
        "release",
        "user_interrupt",
        "latency",
        "Latency",
        "s",
        "down",
        "mean",
        "B - A, wherever such a later word exists, yielded or not",
        _SOURCE,
        "no word starts more than 1 s after B; the script raises for a mean of none",
    ),
    Metric(
        "release",
        "user_interrupt",
        "tss",
        "TSS",
        "",
        "up",
        "mean",
        "over the samples that yielded: the judge's rating (0-5), or 0 where the words from 0.15 s "
        "after the interruption on are at most 3 and span less than 1 s",
        _SOURCE,
        "not yielded, or no rating; the script raises where none yielded",
        judged=True,
    ),
)


def score(
    tracks: Tracks, rec: NDArray[np.int64], settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """``ttr latency tss`` of scenario user_interrupt.

    See :data:`flexi_score.metrics.release.Scorer`.
    """
    words = runs_of(tracks.model_words, rec)
    start = annotation_s(tracks, rec, "interrupt_start_ms")
    end = annotation_s(tracks, rec, "interrupt_end_ms")
    a, b, stop = scan(words, start, end)
    counted = stop >= 0
    yielded = counted & (b - a < 3)
    replied, n_reply, reply_s = _reply(words, end)
    facts = {
        "start": start,
        "end": end,
        "a": a,
        "b": b,
        "length": b - a,
        "n": n_reply,
        "reply": reply_s,
        "next": take(words.start, stop),
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
            np.isnan(start) | np.isnan(end),
            np.nan,
            "excluded",
            "the release needs interrupt, and there is none",
            code="no_interruption",
        ),
    )
    silent = words.count == 0
    quiet = f"{NO_OVERLAPPING_WORD} [{{start}}, {{end}}] s, next word at {{next}} s"
    overlapping = (
        "overlapping words from {a} s to {b} s, interruption [{start}, {end}] s, next word after "
        "more than 1 s at {next} s"
    )
    never = (
        "overlapping words end at {b} s, interruption [{start}, {end}] s, and "
        f"{NO_LATER_WORD} that"
    )
    # Without an overlapping word B is 0, the start of the recording.
    never_quiet = (
        f"{NO_OVERLAPPING_WORD} [{{start}}, {{end}}] s, and {NO_LATER_WORD} the recording's start"
    )
    heard = b > 0
    ttr = decide(
        tracks,
        rec,
        "ttr",
        facts,
        [
            *unusable,
            Case(
                silent,
                0.0,
                "silent",
                f"{SILENT_MODEL}: the release says not yielded",
                code="silent",
            ),
            Case(
                ~counted & ~heard, 0.0, "scored", f"{never_quiet}: not yielded", code="never_quiet"
            ),
            Case(~counted, 0.0, "scored", f"{never}: not yielded", code="never_stops"),
            Case(~heard, 1.0, "scored", f"{quiet}: the release says yielded", code="quiet_before"),
            Case(
                yielded, 1.0, "scored", f"{overlapping}: {{length}} s < 3 s, yielded", code="yields"
            ),
            Case(
                True,
                0.0,
                "scored",
                f"{overlapping}: {{length}} s, not less than 3 s",
                code="keeps_talking",
            ),
        ],
        reference_s=start,
        decided_s=np.where(heard, b, np.nan),
        margin_s=np.where(counted, np.abs(3 - (b - a)), np.nan),
        source="annotation",
    )
    latency = decide(
        tracks,
        rec,
        "latency",
        facts,
        [
            *unusable,
            Case(silent, np.nan, "not_applicable", SILENT_MODEL, code="silent"),
            Case(~counted & ~heard, np.nan, "not_applicable", never_quiet, code="never_quiet"),
            Case(~counted, np.nan, "not_applicable", never, code="never_stops"),
            Case(~heard, b - a, "scored", f"{quiet}: 0 s", code="quiet_before"),
            Case(True, b - a, "scored", overlapping, code="timed"),
        ],
        reference_s=start,
        decided_s=np.where(heard, b, np.nan),
        source="annotation",
    )
    tss = decide(
        tracks,
        rec,
        "tss",
        facts,
        [
            *unusable,
            Case(
                ~yielded,
                np.nan,
                "not_applicable",
                "not yielded: nothing to rate",
                code="not_yielded",
            ),
            Case(
                ~replied,
                0.0,
                "scored",
                "yielded without a reply ({n} words over {reply} s): the release counts 0",
                code="no_reply",
            ),
            Case(True, np.nan, PENDING, NO_RATING, code="not_judged"),
        ],
        reference_s=end,
        source="annotation",
    )
    return pl.concat([ttr, latency, tss])


def scan(words: Runs, start: Floats, end: Floats) -> tuple[Floats, Floats, Ints]:
    """A, B and the position of the word that stops the scan, for all recordings at once.

    Parameters
    ----------
    words : Runs
        The model's words.
    start, end : ndarray of float64, shape (k,)
        The interruptions, in s.

    Returns
    -------
    a, b : ndarray of float64, shape (k,)
        In s, 0 where no word overlaps before the scan stops.
    stop : ndarray of int64, shape (k,)
        Position in ``words``, -1 where no word stops the scan.
    """
    start_of, end_of = start[words.owner], end[words.owner]
    overlaps = (words.start < end_of) & (words.end > start_of)
    latest_b = _latest(words, overlaps)
    beyond = (words.start > end_of) | (words.end > end_of)
    stop = first_where(words, ~overlaps & beyond & (words.start - latest_b > 1))
    position = np.arange(len(words.start))
    seen = overlaps & ((stop < 0)[words.owner] | (position < stop[words.owner]))
    b = take(words.end, last_where(words, seen), 0.0)
    # A word that starts at exactly 0 leaves A at "not set", so the next overlapping word sets it.
    a = take(words.start, first_where(words, seen & (words.start != 0)), 0.0)
    return a, b, stop


def _latest(words: Runs, flag: Bools) -> Floats:
    """End of the latest flagged word up to each word of the same recording, 0 before the first."""
    at = np.maximum.accumulate(np.where(flag, np.arange(len(flag)), -1))
    return np.where(at >= words.first[words.owner], take(words.end, at, 0.0), 0.0)


def _reply(words: Runs, end: Floats) -> tuple[Bools, Ints, Floats]:
    """Whether a reply exists, its number of words and its length in s; shape (k,) each."""
    after = words.start >= end[words.owner] + 0.15
    count = count_where(words, after)
    first = take(words.start, first_where(words, after))
    last = take(words.end, last_where(words, after))
    return (last - first >= 1) | (count > 3), count, np.where(count > 0, last - first, 0.0)
