"""Interval kernels, each against a boolean grid of milliseconds."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import make_intervals

Pair = tuple[int, int]
pairs = st.tuples(st.integers(-5, 60), st.integers(-5, 60)).map(lambda p: (min(p), max(p)))
many = st.lists(pairs, max_size=8)
recordings = st.lists(st.tuples(st.integers(0, 50), many, many), min_size=1, max_size=4)
moments = st.integers(-3, 60)


def grid(spans: list[Pair], duration: int) -> np.ndarray:
    """Where the spans are, one cell a millisecond."""
    cells = np.zeros(duration, bool)
    for a, b in spans:
        cells[max(a, 0) : max(b, 0)] = True
    return cells


def runs(cells: np.ndarray) -> list[Pair]:
    """Maximal runs of true cells."""
    found, start = [], None
    for at, cell in enumerate([*cells, False]):
        if cell and start is None:
            start = at
        elif not cell and start is not None:
            found.append((start, at))
            start = None
    return found


def placed(lists: list[list[Pair]], duration: np.ndarray) -> Spans:
    """Raw spans of several recordings on the common axis, sorted."""
    flat = np.array([(r, a, b) for r, spans in enumerate(lists) for a, b in spans], np.int64)
    intervals = make_intervals(*flat.reshape(-1, 3).T)
    return axis.place(intervals, axis.origins(duration), duration)


def own(spans: Spans, duration: np.ndarray) -> list[list[Pair]]:
    """Spans of each recording in its own time."""
    origin = axis.origins(duration)
    found: list[list[Pair]] = [[] for _ in duration]
    for rec, start, end in zip(spans.rec, spans.start, spans.end, strict=True):
        found[rec].append((int(start - origin[rec]), int(end - origin[rec])))
    return found


@pytest.fixture
def nothing() -> Spans:
    return Spans(*(np.empty(0, np.int64) for _ in range(3)))


@given(recordings, st.integers(0, 12))
@settings(max_examples=25, deadline=None)
def test_bridge_joins_what_is_less_than_the_gap_apart(recs, gap):
    duration = np.array([d for d, _, _ in recs])
    joined = axis.bridge(placed([a for _, a, _ in recs], duration), gap)
    for found, (d, spans, _) in zip(own(joined, duration), recs, strict=True):
        cells = grid(spans, d)
        for a, b in runs(~cells):
            inner = a > 0 and b < d
            if inner and b - a < gap:
                cells[a:b] = True
        assert found == runs(cells)


@given(recordings)
@settings(max_examples=30, deadline=None)
def test_intersect_union_complement(recs):
    duration = np.array([d for d, _, _ in recs])
    a = axis.bridge(placed([x for _, x, _ in recs], duration), 0)
    b = axis.bridge(placed([y for _, _, y in recs], duration), 0)
    both = own(axis.intersect(a, b), duration)
    either = own(axis.union(a, b), duration)
    free = own(axis.complement(a, axis.origins(duration), duration), duration)
    for i, (d, x, y) in enumerate(recs):
        in_a, in_b = grid(x, d), grid(y, d)
        assert np.array_equal(grid(both[i], d), in_a & in_b)
        assert all(u < v for u, v in both[i])
        assert sum(v - u for u, v in both[i]) == int((in_a & in_b).sum())  # disjoint
        assert either[i] == runs(in_a | in_b)
        assert free[i] == runs(~in_a)


@given(recordings, st.lists(moments, min_size=1, max_size=6))
@settings(max_examples=30, deadline=None)
def test_searches_answer_for_the_own_recording_alone(recs, asked):
    duration = np.array([d for d, _, _ in recs])
    origin = axis.origins(duration)
    track = axis.bridge(placed([x for _, x, _ in recs], duration), 0)
    mine = own(track, duration)
    rec = np.repeat(np.arange(len(recs)), len(asked))
    at = origin[rec] + np.tile(asked, len(recs))
    got = {
        "inside": axis.inside(track, at),
        "straddling": axis.straddling(track, at),
        "next": axis.next_start(track, at, origin[rec] + duration[rec]),
        "last": axis.last_end(track, at, origin[rec]),
    }
    for i, r in enumerate(rec):
        t, spans, limit = asked[i % len(asked)], mine[r], duration[r]
        first = sum(len(m) for m in mine[:r])
        holding = [first + k for k, (a, b) in enumerate(spans) if a <= t < b]
        across = [first + k for k, (a, b) in enumerate(spans) if a < t < b]
        assert got["inside"][i] == (holding[0] if holding else -1)
        assert got["straddling"][i] == (across[0] if across else -1)
        starts = [a for a, _ in spans if t <= a < limit]
        ends = [b for _, b in spans if 0 < b <= t]
        assert got["next"][i] == (min(starts) + origin[r] if starts else NEVER)
        assert got["last"][i] == (max(ends) + origin[r] if ends else -NEVER)


def test_limits_of_the_searches_are_open():
    track = Spans(np.zeros(2, np.int64), np.array([10, 30]), np.array([20, 40]))
    assert axis.next_start(track, np.array([15]), np.array([30]))[0] == NEVER
    assert axis.next_start(track, np.array([15]), np.array([31]))[0] == 30
    assert axis.last_end(track, np.array([25]), np.array([20]))[0] == -NEVER
    assert axis.last_end(track, np.array([25]), np.array([19]))[0] == 20


def test_nothing_in_nothing_out(nothing):
    at = np.array([5])
    assert len(axis.bridge(nothing, 200)) == 0
    assert len(axis.intersect(nothing, nothing)) == 0
    assert len(axis.union(nothing, nothing)) == 0
    assert axis.inside(nothing, at)[0] == -1
    assert axis.straddling(nothing, at)[0] == -1
    assert axis.next_start(nothing, at, at + 5)[0] == NEVER
    assert axis.last_end(nothing, at, at - 5)[0] == -NEVER
    duration = np.array([0, 7])
    free = axis.complement(nothing, axis.origins(duration), duration)
    assert own(free, duration) == [[], [(0, 7)]]


def test_place_cuts_at_both_ends_and_drops_what_is_outside():
    duration = np.array([100, 0])
    spans = placed([[(-20, 10), (90, 300), (100, 200), (-9, 0)], [(0, 50)]], duration)
    assert own(spans, duration) == [[(0, 10), (90, 100)], []]


@given(recordings)
def test_interleave_orders_two_tracks_and_counts_across_them(recs):
    duration = np.array([r[0] for r in recs], np.int64)
    sides = [axis.bridge(placed([r[k] for r in recs], duration), 0) for k in (1, 2)]
    rows = [
        (start, end, who, rec, place)
        for who, side in enumerate(sides)
        for place, (rec, start, end) in enumerate(zip(side.rec, side.start, side.end, strict=True))
    ]
    rows.sort()
    both = axis.interleave(*sides)
    found = zip(both.spans.start, both.spans.end, both.speaker, both.spans.rec, strict=True)
    assert [tuple(map(int, row)) for row in found] == [row[:4] for row in rows]
    for who, among in enumerate((both.first, both.second)):
        assert among.place.tolist() == [p for p, row in enumerate(rows) if row[2] == who]
        start, theirs = sides[who].start, sides[1 - who].start
        assert among.before.tolist() == [int((theirs < at).sum()) for at in start]
        assert among.upto.tolist() == [int((theirs <= at).sum()) for at in start]
    ties = [p for p in range(len(rows) - 1) if rows[p][0] == rows[p + 1][0]]
    assert both.ties.tolist() == ties
    joined = both.join(*(np.arange(len(side)) for side in sides))
    assert joined.tolist() == [row[4] for row in rows]


@given(recordings, st.integers(0, 12))
def test_blocks_say_what_went_where(recs, gap):
    duration = np.array([r[0] for r in recs], np.int64)
    spans = placed([r[1] for r in recs], duration)
    joined, block = axis.blocks(spans, gap)
    assert (joined.rec[block] == spans.rec).all()
    assert (joined.start[block] <= spans.start).all()
    assert (joined.end[block] >= spans.end).all()
    assert set(block.tolist()) == set(range(len(joined)))


@given(recordings, st.lists(st.tuples(moments, moments), max_size=8))
def test_covered_counts_cells(made: list[tuple[int, list[Pair], list[Pair]]], asked) -> None:
    duration = np.array([d for d, _, _ in made])
    track = axis.bridge(placed([spans for _, spans, _ in made], duration), 0)
    for r, (d, spans, _) in enumerate(made):
        start, end = (np.array([pair[k] for pair in asked], np.int64) for k in (0, 1))
        origin = axis.origins(duration)[r]
        cells = grid(spans, d)
        expected = [int(cells[max(a, 0) : max(b, 0)].sum()) for a, b in asked]
        assert axis.covered(track, start + origin, end + origin).tolist() == expected
