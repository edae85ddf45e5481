"""Speech and words of many recordings at once, as flat arrays.

Conventions
-----------
Recordings are numbered 0..n-1 in the order of ``Tracks.recordings``. Every array of intervals
carries its recording's number in ``rec`` and is sorted by ``(rec, start_ms)``. Times are int64
milliseconds from the start of the recording, intervals half-open.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.schema import WORDS, Speaker

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Intervals:
    """Intervals of one speaker over all recordings, sorted by ``(rec, start_ms)``."""

    #: rec, start_ms, end_ms: shape (k,)
    rec: Ints
    start_ms: Ints
    end_ms: Ints

    def __len__(self) -> int:
        return len(self.rec)

    def take(self, which: Ints | Bools) -> "Intervals":
        """The intervals at these positions, or where this mask holds."""
        return Intervals(self.rec[which], self.start_ms[which], self.end_ms[which])


def spread(first: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Every position of ranges [first, stop), one range after another, and the range of each."""
    count = stop - first
    owner = np.repeat(np.arange(len(first)), count)
    at = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count - first, count)
    return at, owner


@dataclass(frozen=True)
class Words:
    """Timed words of one speaker over all recordings, sorted by ``(rec, start_ms)``."""

    #: rec, start_ms, end_ms: shape (k,)
    rec: Ints
    start_ms: Ints
    end_ms: Ints
    text: pl.Series
    #: shape (k,): how many words each entry stands for: 1, or a fraction for one character of a
    #: language that is written without spaces
    count: Floats
    #: shape (n,): whether the recording has a transcript at all; without one, rules use duration
    #: alone
    known: Bools
    #: shape (n,), or None: the transcript holds the words of IPUs of up to this length only; 0, or
    #: None, of all
    heard_ms: Ints | None = None
    #: Given words that lie outside the speech of the audio, in their recordings' own time; and,
    #: shape (n,), of which recordings given words were held against audio. None: of none
    outside: Intervals | None = None
    checked: Bools | None = None


@dataclass(frozen=True)
class Envelope:
    """Energy of one speaker's channels, every 10 ms, one recording after another."""

    cdb: Ints  # shape (m,): in hundredths of a dBFS
    first: Ints  # shape (n + 1,): where each recording's begin; the last is where all end
    start_ms: Ints  # shape (n,): when the first step begins, in the recording's time


@dataclass(frozen=True)
class Tracks:
    """All that segmentation and metrics look at."""

    recordings: pl.DataFrame  # rows of :data:`flexi_score.schema.RECORDINGS`; row i is recording i
    duration_ms: Ints  # shape (n,)
    #: user_speech, model_speech: detected (or given) speech, before IPUs are built
    user_speech: Intervals
    model_speech: Intervals
    user_words: Words
    model_words: Words
    #: shape (n,), or None: whether anything is known of the user's side (audio, segments or words);
    #: None: of all. A side of which nothing is known is not a silent one
    user_known: Bools | None = None
    model_envelope: Envelope | None = None  # where a metric needs it

    def __len__(self) -> int:
        return len(self.duration_ms)


def words_table(recordings: pl.Series, speaker: Speaker, words: Words) -> pl.DataFrame:
    """Words of one speaker as :data:`flexi_score.schema.WORDS`; ``recordings``: their ids."""
    return pl.DataFrame(
        {
            "recording": recordings.gather(words.rec),
            "speaker": pl.repeat(speaker, len(words.rec), dtype=pl.String, eager=True),
            "start_ms": words.start_ms,
            "end_ms": words.end_ms,
            "text": words.text,
        },
        schema=WORDS,
    )


def select_tracks(tracks: Tracks, keep: Bools) -> Tracks:
    """The recordings where ``keep`` (shape (n,)) holds, numbered anew."""
    keep = np.asarray(keep, np.bool_)
    number = np.cumsum(keep) - 1

    def intervals(all_: Intervals) -> Intervals:
        selected = all_.take(keep[all_.rec])
        return Intervals(number[selected.rec], selected.start_ms, selected.end_ms)

    def words(all_: Words) -> Words:
        use = np.flatnonzero(keep[all_.rec])
        return Words(
            number[all_.rec[use]],
            all_.start_ms[use],
            all_.end_ms[use],
            all_.text.gather(use),
            all_.count[use],
            all_.known[keep],
            None if all_.heard_ms is None else all_.heard_ms[keep],
            None if all_.outside is None else intervals(all_.outside),
            None if all_.checked is None else all_.checked[keep],
        )

    def envelope(all_: Envelope) -> Envelope:
        sizes = np.diff(all_.first)
        first = np.concatenate([[0], np.cumsum(sizes[keep])])
        return Envelope(all_.cdb[np.repeat(keep, sizes)], first, all_.start_ms[keep])

    return Tracks(
        tracks.recordings.filter(keep),
        tracks.duration_ms[keep],
        intervals(tracks.user_speech),
        intervals(tracks.model_speech),
        words(tracks.user_words),
        words(tracks.model_words),
        None if tracks.user_known is None else tracks.user_known[keep],
        None if tracks.model_envelope is None else envelope(tracks.model_envelope),
    )


def make_intervals(rec: Ints, start_ms: Ints, end_ms: Ints) -> Intervals:
    """Intervals from unsorted arrays; empty and negative ones are dropped."""
    rec, start_ms, end_ms = (np.asarray(a, np.int64) for a in (rec, start_ms, end_ms))
    keep = end_ms > start_ms
    if not keep.all():
        rec, start_ms, end_ms = rec[keep], start_ms[keep], end_ms[keep]
    later = np.diff(rec)
    # Mostly they are in order already, and seeing that is much faster than sorting.
    if ((later > 0) | ((later == 0) & (np.diff(start_ms) > 0))).all():
        return Intervals(rec, start_ms, end_ms)
    order = np.lexsort((end_ms, start_ms, rec))
    return Intervals(rec[order], start_ms[order], end_ms[order])


def join_intervals(*parts: Intervals) -> Intervals:
    """Intervals of several parts, which may overlap, as one list."""
    columns = zip(*((part.rec, part.start_ms, part.end_ms) for part in parts), strict=True)
    return make_intervals(*(np.concatenate(column) for column in columns))


def make_words(
    rec: Ints,
    start_ms: Ints,
    end_ms: Ints,
    text: pl.Series,
    count: Floats,
    known: Bools,
    heard_ms: Ints | None = None,
) -> Words:
    """Words from unsorted arrays; zero-length words are kept."""
    order = np.lexsort((end_ms, start_ms, rec))
    return Words(
        np.asarray(rec, np.int64)[order],
        np.asarray(start_ms, np.int64)[order],
        np.asarray(end_ms, np.int64)[order],
        text.gather(order),
        np.asarray(count, np.float64)[order],
        known,
        heard_ms,
    )
