"""Interval kernels on the common axis: all recordings end to end on one integer time line.

Conventions
-----------
Recording i occupies ``[origin[i], origin[i] + duration_ms[i])``; between recordings lies a guard
longer than any time setting, so that one sorted search serves every recording at once and no
window reaches into a neighbour. ``start`` and ``end`` are int64 milliseconds on this axis,
intervals half-open; a *track* is sorted and its intervals are disjoint.
"""

from dataclasses import dataclass

import numpy as np

from flexi_score.segment.tracks import Bools, Intervals, Ints

#: Longer than the longest time setting (3 600 000 ms) on both sides.
GUARD_MS = 8_000_000

#: A time after every recording: the answer to "when does it next ...?" where it never does.
NEVER = np.int64(2**62)


@dataclass(frozen=True)
class Spans:
    """Intervals on the common axis.

    Attributes
    ----------
    rec, start, end : ndarray of int64, shape (k,)
        Recording number, start and end on the axis (ms).
    """

    rec: Ints
    start: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: Ints | Bools) -> "Spans":
        """The spans at these positions, or where this mask holds."""
        return Spans(self.rec[which], self.start[which], self.end[which])


def origins(duration_ms: Ints) -> Ints:
    """Start of every recording on the axis, shape (n,)."""
    steps = np.asarray(duration_ms, np.int64) + GUARD_MS
    return np.cumsum(steps) - steps + GUARD_MS


def place(intervals: Intervals, origin: Ints, duration_ms: Ints) -> Spans:
    """Intervals clipped to their recordings and put on the axis; what falls outside is dropped."""
    start = np.clip(intervals.start_ms, 0, duration_ms[intervals.rec])
    end = np.clip(intervals.end_ms, 0, duration_ms[intervals.rec])
    spans = Spans(intervals.rec, start + origin[intervals.rec], end + origin[intervals.rec])
    return spans.take(end > start)


def bridge(spans: Spans, gap_ms: int) -> Spans:
    """Join sorted spans that overlap, touch, or lie less than ``gap_ms`` apart.

    Returns a track. With ``gap_ms=0`` it is the union.
    """
    if not len(spans):
        return spans
    reach = np.maximum.accumulate(spans.end)
    first = np.ones(len(spans), bool)
    first[1:] = spans.start[1:] - reach[:-1] >= max(gap_ms, 1)
    heads = np.flatnonzero(first)
    tails = np.append(heads[1:], len(spans)) - 1
    return Spans(spans.rec[heads], spans.start[heads], reach[tails])


def group_ids(spans: Spans, gap_ms: int) -> Ints:
    """Number of the group of each interval of a track: less than ``gap_ms`` apart is one group."""
    if not len(spans):
        return np.empty(0, np.int64)
    apart = spans.start[1:] - spans.end[:-1] >= max(gap_ms, 1)
    return np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)


def intersect(a: Spans, b: Spans) -> Spans:
    """What two tracks share, as a track."""
    first = np.searchsorted(b.end, a.start, "right")
    count = np.maximum(np.searchsorted(b.start, a.end, "left") - first, 0)
    left = np.repeat(np.arange(len(a)), count)
    ahead = np.cumsum(count) - count
    right = np.arange(len(left)) - np.repeat(ahead - first, count)
    return Spans(
        a.rec[left],
        np.maximum(a.start[left], b.start[right]),
        np.minimum(a.end[left], b.end[right]),
    )


def union(a: Spans, b: Spans) -> Spans:
    """Where either track is, as a track; touching pieces are joined."""
    start = np.concatenate([a.start, b.start])
    order = np.argsort(start, kind="stable")
    both = Spans(
        np.concatenate([a.rec, b.rec])[order],
        start[order],
        np.concatenate([a.end, b.end])[order],
    )
    return bridge(both, 0)


def complement(track: Spans, origin: Ints, duration_ms: Ints) -> Spans:
    """What a track leaves free in ``[0, duration)`` of every recording, as a track."""
    n = len(origin)
    start = np.sort(np.concatenate([origin, track.end]), kind="stable")
    end = np.sort(np.concatenate([track.start, origin + duration_ms]), kind="stable")
    rec = np.sort(np.concatenate([np.arange(n), track.rec]), kind="stable")
    return Spans(rec, start, end).take(end > start)


def inside(track: Spans, at: Ints) -> Ints:
    """Index of the interval that contains each moment, -1 where none does."""
    index = np.searchsorted(track.start, at, "right") - 1
    ends = np.append(track.end, -NEVER)  # index -1 reads the sentinel
    return np.where(at < ends[index], index, -1)


def straddling(track: Spans, at: Ints) -> Ints:
    """Index of the interval that starts before and ends after each moment, -1 where none does."""
    index = np.searchsorted(track.start, at, "left") - 1
    ends = np.append(track.end, -NEVER)
    return np.where(at < ends[index], index, -1)


def next_start(track: Spans, at: Ints, limit: Ints) -> Ints:
    """First start at or after each moment and before ``limit``; ``NEVER`` where there is none."""
    starts = np.append(track.start, NEVER)
    found = starts[np.searchsorted(track.start, at, "left")]
    return np.where(found < limit, found, NEVER)


def last_end(track: Spans, at: Ints, limit: Ints) -> Ints:
    """Last end at or before each moment and after ``limit``; ``-NEVER`` where there is none."""
    ends = np.append(track.end, -NEVER)
    found = ends[np.searchsorted(track.end, at, "right") - 1]
    return np.where(found > limit, found, -NEVER)
