"""Interval kernels on the common axis: all recordings end to end on one integer time line.

Conventions
-----------
Recording i occupies ``[origin[i], origin[i] + duration_ms[i])``; between recordings lies a guard
longer than any time setting, so that one sorted search serves every recording at once and no
window reaches into a neighbour. ``start`` and ``end`` are int64 milliseconds on this axis,
intervals half-open; a *track* is sorted and its intervals are disjoint.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flexi_score.segment.tracks import Bools, Intervals, Ints, spread

#: Longer than the longest time setting (3 600 000 ms) on both sides.
GUARD_MS = 8_000_000

_T = TypeVar("_T", bound=np.generic)

#: A time after every recording: the answer to "when does it next ...?" where it never does.
NEVER = np.int64(2**62)


@dataclass(frozen=True)
class Spans:
    """Intervals on the common axis."""

    #: rec, start, end: shape (k,): recording number, start and end on the axis (ms)
    rec: Ints
    start: Ints
    end: Ints

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: Ints | Bools) -> "Spans":
        """The spans at these positions, or where this mask holds."""
        if which.dtype == np.bool_:  # a mask is looked through once, which costs more than taking
            which = np.flatnonzero(which)
        return Spans(self.rec.take(which), self.start.take(which), self.end.take(which))


@dataclass(frozen=True)
class Among:
    """Where the spans of one track stand among those of another."""

    place: Ints  # shape (k,): their places in the order of both
    #: before, upto: shape (k,): how many of the other start before each, and how many no later
    before: Ints
    upto: Ints


@dataclass(frozen=True)
class Interleaved:
    """Spans of two tracks by start, then end; the first track's first where both are the same."""

    spans: Spans
    speaker: Ints  # shape (k,): 0 for the first track, 1 for the second
    first: Among
    second: Among
    ties: Ints  # places of which the next one has the same start

    def join(self, first: NDArray[_T], second: NDArray[_T]) -> NDArray[_T]:
        """Values of the spans of both tracks, in the order of ``spans``."""
        joined = np.empty(len(self.speaker), first.dtype)
        joined[self.first.place], joined[self.second.place] = first, second
        return joined


def origins(duration_ms: Ints) -> Ints:
    """Start of every recording on the axis, shape (n,)."""
    steps = np.asarray(duration_ms, np.int64) + GUARD_MS
    return np.cumsum(steps) - steps + GUARD_MS


def place(intervals: Intervals, origin: Ints, duration_ms: Ints) -> Spans:
    """Intervals clipped to their recordings and put on the axis; what falls outside is dropped."""
    origin, length = origin[intervals.rec], duration_ms[intervals.rec]
    start = np.minimum(np.maximum(intervals.start_ms, 0), length)
    end = np.minimum(np.maximum(intervals.end_ms, 0), length)
    spans = Spans(intervals.rec, start + origin, end + origin)
    keep = end > start
    return spans if keep.all() else spans.take(keep)


def heads(ids: Ints) -> Ints:
    """Positions at which a list of numbers begins or changes."""
    first = np.ones(len(ids), bool)
    np.not_equal(ids[1:], ids[:-1], out=first[1:])
    return np.flatnonzero(first)


def interleave(first: Spans, second: Spans) -> Interleaved:
    """Two tracks, or lists of spans of which none holds a start twice, as one list."""
    # The speaker as the last bit: merging values is several times faster than an order of them.
    key = np.concatenate([first.start * 2, second.start * 2 + 1])
    key.sort(kind="stable")
    speaker, start = key & 1, key >> 1
    of_second = speaker.astype(np.bool_)
    places = [np.flatnonzero(~of_second), np.flatnonzero(of_second)]
    before = [position - np.arange(len(position)) for position in places]
    upto = [count.copy() for count in before]
    ties = np.flatnonzero(start[1:] == start[:-1])
    end, rec = np.empty_like(key), np.empty_like(key)
    for position, spans in zip(places, (first, second), strict=True):
        end[position], rec[position] = spans.end, spans.rec
    if len(ties):  # a span of the first, then one of the second
        nth = np.cumsum(of_second)
        upto[0][ties - nth[ties]] += 1
        before[1][nth[ties + 1] - 1] -= 1
        late = ties[end[ties + 1] < end[ties]]
        end[late], end[late + 1] = end[late + 1], end[late]
        speaker[late], speaker[late + 1] = 1, 0
        places[0][late - nth[late]] += 1
        places[1][nth[late + 1] - 1] -= 1
    return Interleaved(
        Spans(rec, start, end),
        speaker,
        Among(places[0], before[0], upto[0]),
        Among(places[1], before[1], upto[1]),
        ties,
    )


def bridge(spans: Spans, gap_ms: int) -> Spans:
    """Join sorted spans that overlap, touch, or lie less than ``gap_ms`` apart: 0 is the union."""
    return blocks(spans, gap_ms)[0]


def blocks(spans: Spans, gap_ms: int) -> tuple[Spans, Ints]:
    """As :func:`bridge`; also which of the joined spans each span went into."""
    if not len(spans):
        return spans, np.empty(0, np.int64)
    reach = np.maximum.accumulate(spans.end)
    first = np.ones(len(spans), bool)
    first[1:] = spans.start[1:] - reach[:-1] >= max(gap_ms, 1)
    if first.all():
        return spans, np.arange(len(spans))
    begin = np.flatnonzero(first)
    last = np.append(begin[1:], len(spans)) - 1
    return Spans(spans.rec[begin], spans.start[begin], reach[last]), np.cumsum(first) - 1


def intersect(a: Spans, b: Spans) -> Spans:
    """What two tracks share, as a track."""
    first = np.searchsorted(b.end, a.start, "right")
    right, left = spread(first, np.maximum(np.searchsorted(b.start, a.end, "left"), first))
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
        np.concatenate([a.rec, b.rec])[order], start[order], np.concatenate([a.end, b.end])[order]
    )
    return bridge(both, 0)


def complement(track: Spans, origin: Ints, duration_ms: Ints) -> Spans:
    """What a track leaves free in ``[0, duration)`` of every recording, as a track."""
    n = len(origin)
    # Sorted already, but for where the bounds of the recordings stand among the track.
    bounds = np.cumsum(np.bincount(track.rec, minlength=n)) + np.arange(n)
    starts, ends = (np.empty(len(track) + n, np.int64) for _ in range(2))
    position = np.arange(len(track)) + track.rec
    starts[position + 1], ends[position] = track.end, track.start
    starts[np.append(0, bounds[:-1] + 1)[:n]], ends[bounds] = origin, origin + duration_ms
    rec = np.repeat(np.arange(n), np.diff(bounds, prepend=-1))
    return Spans(rec, starts, ends).take(ends > starts)


def covered(track: Spans, start: Ints, end: Ints) -> Ints:
    """How much (ms) of each interval a track covers; 0 for an empty one."""
    before = np.concatenate([[0], np.cumsum(track.end - track.start)])
    ends = np.append(track.end, -NEVER)

    def upto(at: Ints) -> Ints:
        k = np.searchsorted(track.start, at, "right")
        spoken: Ints = before[k] - np.where(k > 0, np.maximum(ends[k - 1] - at, 0), 0)
        return spoken

    length: Ints = np.maximum(upto(end) - upto(start), 0)
    return length


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
    next_at = starts[np.searchsorted(track.start, at, "left")]
    return np.where(next_at < limit, next_at, NEVER)


def last_end(track: Spans, at: Ints, limit: Ints) -> Ints:
    """Last end at or before each moment and after ``limit``; ``-NEVER`` where there is none."""
    ends = np.append(track.end, -NEVER)
    last_at = ends[np.searchsorted(track.end, at, "right") - 1]
    return np.where(last_at > limit, last_at, -NEVER)
