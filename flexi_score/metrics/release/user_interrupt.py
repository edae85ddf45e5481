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

from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.metrics.release import common as c
from flexi_score.metrics.release.common import Runs, count_where, first_where, last_where, take
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

METRICS: Final = metric_table(
    "release",
    "user_interrupt",
    """
    ttr | TTR | rate | up
      A = start of the first model word that overlaps the interruption, B = end of the last, both
      0 without one: 1 where a word beyond the interruption starts more than 1 s after B and B - A
      < 3 s, else 0
      null: no transcript of the model, or no annotated interruption

    latency | Latency | mean | down | s
      B - A, wherever such a later word exists, yielded or not
      null: no word starts more than 1 s after B; the script raises for a mean of none

    tss | TSS | mean | up |  | judged
      over the samples that yielded: the judge's rating (0-5), or 0 where the words from 0.15 s
      after the interruption on are at most 3 and span less than 1 s
      null: not yielded, or no rating; the script raises where none yielded
    """,
    "FLEXI release, user-interruption script",
)


def score(tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies) -> pl.DataFrame:
    """``ttr latency tss`` (:data:`flexi_score.metrics.release.Scorer`)."""
    words = c.runs_of(tracks.model_words, rec)
    start = c.annotation_s(tracks, rec, "interrupt_start_ms")
    end = c.annotation_s(tracks, rec, "interrupt_end_ms")
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
        *c.no_transcript(tracks, rec, "model"),
        c.excluded(
            np.isnan(start) | np.isnan(end),
            "no_interruption",
            "the release needs interrupt, and there is none",
        ),
    )
    wordless = words.count == 0
    no_word = "no word during the interruption [{start}, {end}] s"
    quiet = f"{no_word}, next word at {{next}} s"
    overlapping = (
        "overlapping words from {a} s to {b} s, interruption [{start}, {end}] s, next word after "
        "more than 1 s at {next} s"
    )
    no_later = "and no later word starts more than 1 s after"
    never = (
        f"overlapping words end at {{b}} s, interruption [{{start}}, {{end}}] s, {no_later} that"
    )
    # Without an overlapping word B is 0, the start of the recording.
    never_quiet = f"{no_word}, {no_later} the recording's start"
    overlapped = b > 0
    yields = f"{overlapping}: {{length}} s < 3 s, yielded"
    keeps = f"{overlapping}: {{length}} s, not less than 3 s"
    ttr = (
        *unusable,
        c.silent(wordless, "silent", f"{c.SILENT_MODEL}: the release says not yielded", 0),
        c.scored(~counted & ~overlapped, "never_quiet", f"{never_quiet}: not yielded", 0),
        c.scored(~counted, "never_stops", f"{never}: not yielded", 0),
        c.scored(~overlapped, "quiet_before", f"{quiet}: the release says yielded", 1),
        c.scored(yielded, "yields", yields, 1),
        c.scored(True, "keeps_talking", keeps, 0),
    )
    latency = (
        *unusable,
        c.not_applicable(wordless, "silent", c.SILENT_MODEL),
        c.not_applicable(~counted & ~overlapped, "never_quiet", never_quiet),
        c.not_applicable(~counted, "never_stops", never),
        c.scored(~overlapped, "quiet_before", f"{quiet}: 0 s", b - a),
        c.scored(True, "timed", overlapping, b - a),
    )
    no_reply = "yielded without a reply ({n} words over {reply} s): the release counts 0"
    tss = (
        *unusable,
        c.not_applicable(~yielded, "not_yielded", "not yielded: nothing to rate"),
        c.scored(~replied, "no_reply", no_reply, 0),
        c.NOT_JUDGED,
    )
    row = partial(c.decide, tracks, rec, facts, source="annotation")
    timed_row = partial(row, reference_s=start, decided_s=np.where(overlapped, b, np.nan))
    margin_s = np.where(counted, np.abs(3 - (b - a)), np.nan)
    return pl.concat(
        [
            timed_row("ttr", ttr, margin_s=margin_s),
            timed_row("latency", latency),
            row("tss", tss, reference_s=end),
        ]
    )


def scan(words: Runs, start: Floats, end: Floats) -> tuple[Floats, Floats, Ints]:
    """A, B (s) and the position of the word that stops the scan, for all recordings at once.

    A and B are 0 where no word overlaps before the scan stops; the position is -1 where none stops
    it.
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
