"""How far outcomes are from flipping: the margin of a score.

The margin of an outcome is the smallest move of one boundary - the start or end of a model's IPU,
or a moment that the rule looks from - that makes it another one, all other boundaries staying where
they are. Thresholds that build IPUs are left out: IPUs are taken as they are. It is NaN where no
move of one boundary flips the outcome, as for a takeover that its number of words makes, or a model
that never speaks. Milliseconds on the common axis throughout.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec

import numpy as np

from flexi_score.config import Settings
from flexi_score.metrics.paper.cases import Cases, gaps_after
from flexi_score.metrics.registry import explained
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER
from flexi_score.segment.tracks import Bools, Floats, Ints

_P = ParamSpec("_P")


def if_explained(margin: Callable[_P, Floats]) -> Callable[_P, Floats]:
    """NaN in place of a margin where nobody asks why: margins cost more than the outcomes."""

    @wraps(margin)
    def asked(*args: _P.args, **kwargs: _P.kwargs) -> Floats:
        if explained():
            return margin(*args, **kwargs)
        cases: Any = args[0]
        return np.full(len(cases.rec), np.nan)

    return asked


@if_explained
def takeover_margin(cases: Cases, low: Floats, high: Floats, settings: Settings) -> Floats:
    """Margin of "a takeover starts in [low, high)", whichever way it came out.

    Parameters
    ----------
    cases : Cases
    low, high : ndarray of float64, shape (k,)
        Moments; infinite where that side has no limit, NaN where the outcome is not known.
    settings : Settings

    Returns
    -------
    ndarray of float64, shape (k,)
    """
    model, size = cases.structure.model, len(cases.structure)
    groups, rec = model.groups, model.groups.rec
    # An empty window where the outcome is not known.
    lo, hi = np.full(size, np.inf), np.full(size, -np.inf)
    unknown = np.isnan(low) | np.isnan(high)
    lo[cases.rec[~unknown]], hi[cases.rec[~unknown]] = low[~unknown], high[~unknown]
    start, length = groups.start.astype(np.float64), groups.end - groups.start
    inside = (start >= lo[rec]) & (start < hi[rec])
    won = model.long & inside
    count = np.bincount(rec[won], minlength=size)

    on, off = (np.full(size, np.inf) for _ in range(2))
    # A takeover outside comes in, or those inside go out, as the window's edge or its start moves.
    apart = np.where(start < lo[rec], lo[rec] - start, start - hi[rec])
    np.minimum.at(on, rec, np.where(model.long & ~inside, apart, np.inf))
    first, last = np.full(size, np.inf), np.full(size, -np.inf)
    np.minimum.at(first, rec[won], start[won])
    np.maximum.at(last, rec[won], start[won])
    with np.errstate(invalid="ignore"):
        off = np.fmin(off, np.fmin(hi - first, last - lo))
    # A group becomes long enough for a takeover, or too short for one.
    few = ~(model.group_words > settings.backchannel.max_words)
    longest = settings.backchannel.max_ms
    np.minimum.at(on, rec, np.where(inside & ~model.long, longest - length, np.inf))
    alone = won & (count[rec] == 1)
    np.minimum.at(off, rec, np.where(alone & few, length - longest, np.inf))
    # A short group that starts behind the window: its start, moved into it, lengthens it as well.
    before_it = np.append(-np.inf, groups.end[:-1])[: len(start)]
    before_it = np.where(np.diff(rec, prepend=-1) == 0, before_it, -np.inf)
    room = start - before_it - max(settings.takeover.group_ms, 1)
    reach = np.maximum(longest - length, start - hi[rec])
    drawn = ~inside & ~model.long & (start >= hi[rec]) & (reach < room)
    np.minimum.at(on, rec, np.where(drawn, reach, np.inf))
    # Two groups become one: that starts where the first did.
    merging, merged_long = _merges(cases, settings)
    joined = inside & ~model.long & merged_long
    np.minimum.at(on, rec, np.where(joined, merging, np.inf))
    before = np.append(np.inf, merging[:-1])[: len(merging)]  # an infinite one ends a recording
    out = alone & (np.append(-np.inf, start[:-1])[: len(start)] < lo[rec])
    np.minimum.at(off, rec, np.where(out, before, np.inf))
    # One group becomes two, the second of which starts afresh. The move that parts them may also
    # make one of them too short for a takeover, or take the second into the window or out of it.
    at, group, parting, head, tail = _splits(cases, settings)
    r = rec[group]
    comes = model.long[group] & ~inside[group] & (tail > 0) & (at < hi[r])
    with np.errstate(invalid="ignore"):
        into = np.maximum(parting, lo[r] - at)
        # A start that is moved into the window must leave enough for a takeover.
        comes &= (at >= lo[r]) | (tail > into)
        np.minimum.at(on, r, np.where(comes, into, np.inf))
        leaves = np.fmin(tail, np.where(at < hi[r], hi[r] - at, -np.inf))
    head, leaves = np.maximum(head, 0), np.maximum(leaves, 0)
    both = np.where(np.minimum(head, leaves) > 0, np.inf, np.maximum(head, leaves))
    np.minimum.at(off, r, np.where(alone[group], np.maximum(parting, both), np.inf))

    margin = np.round(np.where(count > 0, off, on)[cases.rec], 3)
    return np.where(unknown | ~np.isfinite(margin), np.nan, margin)


def _merges(cases: Cases, settings: Settings) -> tuple[Floats, Bools]:
    """How much closer each group's next one must come to be part of it (infinite without one),
    and whether both together are a takeover."""
    model = cases.structure.model
    groups, words = model.groups, np.nan_to_num(model.group_words)
    gap = np.full(len(groups), np.inf)
    together = np.zeros(len(groups), bool)
    if len(groups) > 1:
        near = np.diff(groups.rec) == 0
        gap[:-1] = np.where(near, groups.start[1:] - groups.end[:-1], np.inf)
        together[:-1] = groups.end[1:] - groups.start[:-1] > settings.backchannel.max_ms
        together[:-1] |= words[1:] + words[:-1] > settings.backchannel.max_words
    return gap - max(settings.takeover.group_ms, 1), together


def _splits(cases: Cases, settings: Settings) -> tuple[Floats, Ints, Floats, Floats, Floats]:
    """Places at which a group could part.

    Returns
    -------
    at, group
        Where its rest would start, and which group it is.
    parting
        How much further apart the two IPUs must be.
    head, tail
        By how much the head and the rest are too long for a backchannel: not positive where they
        are none too long, infinite where their words make them takeovers.
    """
    model, limits = cases.structure.model, settings.backchannel
    second = np.flatnonzero(np.diff(model.group, prepend=-1) == 0)
    group = model.group[second]
    ipus, groups = model.ipus, model.groups
    words = np.concatenate([[0.0], np.cumsum(np.nan_to_num(model.ipu_words))])
    heads = np.flatnonzero(np.diff(model.group, prepend=-1))
    said = words[second] - words[heads[group]]
    rest = np.nan_to_num(model.group_words)[group] - said
    head = (ipus.end[second - 1] - groups.start[group] - limits.max_ms).astype(np.float64)
    tail = (groups.end[group] - ipus.start[second] - limits.max_ms).astype(np.float64)
    head[said > limits.max_words] = np.inf
    tail[rest > limits.max_words] = np.inf
    gap = ipus.start[second] - ipus.end[second - 1]
    parting = (settings.takeover.group_ms - gap).astype(np.float64)
    return ipus.start[second].astype(np.float64), group, parting, head, tail


@if_explained
def yield_margin(cases: Cases, s: Ints, e: Ints, yielded: Bools, settings: Settings) -> Floats:
    """Margin of ttr of user_interrupt for interruptions [s, e] of a model that holds the turn.

    Parameters
    ----------
    cases : Cases
    s, e : ndarray of int64, shape (k,)
    yielded : ndarray of bool, shape (k,)
    settings : Settings
        Uses ``yield``.

    Returns
    -------
    ndarray of float64, shape (k,)
    """
    model, rules = cases.structure.model.ipus, settings.yield_
    latest = np.minimum(s + rules.late_window_ms, cases.end)
    at = axis.inside(model, e)
    speaking = at >= 0
    fell = axis.last_end(model, e, cases.origin - 1)  # before s, too
    again = np.minimum(axis.next_start(model, e, cases.end), cases.end)
    quiet = again - fell
    late_again, late_other = _late_stops(cases, e, latest, rules.late_hold_ms)
    none = np.full(len(s), np.inf)

    def when(condition: Bools, distance: Any) -> Floats:
        return np.where(condition, distance, none)

    began = model.start[at] if len(model) else s
    ends = model.end[at] if len(model) else s
    follows = np.append(model.start, NEVER)[at + 1]
    follows = np.minimum(follows, cases.end)
    # Silent at e, as required; unless the silence is moved away from s or e, or gets too short.
    in_time = fell > s
    after_e = (again - e >= rules.late_hold_ms) & (e <= latest)
    # Its end behind e, the silence is judged as a late one.
    too_late = np.maximum(e - fell, np.minimum(quiet - rules.late_hold_ms, latest - fell))
    early = ~speaking & yielded
    margin = when(early, quiet - rules.hold_ms)
    margin = np.fmin(margin, when(early & ~late_again, again - e))
    # Where the takeover ends, moving its end before s leaves nothing to interrupt.
    goes_on = quiet < settings.takeover.group_ms
    margin = np.fmin(margin, when(early & goes_on, fell - s))
    margin = np.fmin(margin, when(early & ~late_again, np.where(after_e, too_late, e - fell)))
    # Silent at e, but not long enough, or since before s.
    short = ~speaking & ~yielded
    margin = np.fmin(margin, when(short & in_time & (again < cases.end), rules.hold_ms - quiet))
    margin = np.fmin(margin, when(short & late_again, again - e))
    margin = np.fmin(margin, when(short & in_time & (late_again | after_e), e - fell))
    before = short & ~in_time & (fell > -NEVER) & (quiet >= rules.hold_ms)
    margin = np.fmin(margin, when(before, s - fell))
    # Speaking at e: it stops too late or for too short a time, or it had just begun again.
    late = speaking & yielded
    stop, hush = _first_late(cases, e, rules.late_hold_ms)
    margin = np.fmin(margin, when(late & ~late_other, hush - rules.late_hold_ms))
    margin = np.fmin(margin, when(late, latest - stop))
    # Silent at e after all, it may have been so for too short a time.
    margin = np.fmin(margin, when(late & (follows - e < rules.hold_ms), ends - e))
    since = (fell > s) & (e - fell >= rules.hold_ms)
    margin = np.fmin(margin, when(late & (began > s) & ~since, e - began))
    on = speaking & ~yielded
    margin = np.fmin(margin, when(on & since, e - began))
    margin = np.fmin(margin, when(on & (follows - e >= rules.hold_ms), ends - e))
    margin = np.fmin(margin, when(on, _nearest_stop(cases, e, latest, rules.late_hold_ms)))
    return np.where(np.isfinite(margin), margin, np.nan)


def _first_late(cases: Cases, e: Ints, hold_ms: int) -> tuple[Ints, Ints]:
    """First stop after each e with a silence of at least ``hold_ms``, and that silence."""
    model = cases.structure.model.ipus
    gaps = gaps_after(model, cases.structure.origin + cases.structure.duration_ms)
    held = gaps >= hold_ms
    stops, lengths = model.end[held], gaps[held]
    at = np.searchsorted(stops, e, "right")
    return np.append(stops, NEVER)[at], np.append(lengths, 0)[at]


def _late_stops(cases: Cases, e: Ints, latest: Ints, hold_ms: int) -> tuple[Bools, Bools]:
    """Whether one such stop, and whether a second one, comes by ``latest``."""
    model = cases.structure.model.ipus
    gaps = gaps_after(model, cases.structure.origin + cases.structure.duration_ms)
    stops = np.append(model.end[gaps >= hold_ms], [NEVER, NEVER])
    at = np.searchsorted(stops, e, "right")
    return stops[at] <= latest, stops[np.minimum(at + 1, len(stops) - 1)] <= latest


def _nearest_stop(cases: Cases, e: Ints, latest: Ints, hold_ms: int) -> Floats:
    """How much earlier a stop after e must come to be by ``latest`` and last ``hold_ms``."""
    return _nearest(cases, cases.rec, e, latest, hold_ms)


def _nearest(cases: Cases, rec: Ints, after: Ints, latest: Ints, hold_ms: int) -> Floats:
    """Smallest move of one stop after ``after`` that makes it early and long enough; infinite
    without any."""
    model, structure = cases.structure.model.ipus, cases.structure
    end_of = structure.origin + structure.duration_ms
    gaps = gaps_after(model, end_of)
    # Behind the first stop that is late but long enough, none is nearer.
    held = np.append(model.end[gaps >= hold_ms], NEVER)
    beyond = held[np.searchsorted(held, np.maximum(latest, after), "right")]
    who, at = _ends_between(cases, after, np.minimum(beyond, end_of[rec]) + 1)
    cost = np.maximum(model.end[at] - latest[who], hold_ms - gaps[at])
    nearest = np.full(len(rec), np.inf)
    np.minimum.at(nearest, who, np.maximum(cost, 0).astype(np.float64))
    return nearest


def _ends_between(cases: Cases, after: Ints, before: Ints) -> tuple[Ints, Ints]:
    """Every end of the model's IPUs in (after, before): whose it is, and the IPU."""
    ends = cases.structure.model.ipus.end
    first = np.searchsorted(ends, after, "right")
    count = np.maximum(np.searchsorted(ends, before, "left") - first, 0)
    who = np.repeat(np.arange(len(after)), count)
    return who, np.arange(len(who)) - np.repeat(np.cumsum(count) - count - first, count)


def stop_margin(
    cases: Cases, rec: Ints, start: Ints, end: Ints, stop: Floats, settings: Settings
) -> Floats:
    """Margin of "the model stops at the backchannel" for each of the user's backchannels.

    Parameters
    ----------
    cases : Cases
    rec, start, end : ndarray of int64, shape (m,)
        Backchannels that start in the model's takeovers.
    stop : ndarray of float64, shape (m,)
        Where the model stops, NaN where it talks on.
    settings : Settings
        Uses ``yield.hold_ms`` and ``user_backchannel.stop_window_ms``.
    """
    model, structure = cases.structure.model.ipus, cases.structure
    hold = settings.yield_.hold_ms
    latest = end + settings.user_backchannel.stop_window_ms
    end_of = structure.origin + structure.duration_ms
    gaps = gaps_after(model, end_of)
    stops = np.append(model.end[gaps >= hold], [NEVER, NEVER])
    at = np.searchsorted(stops, start, "right")
    second = stops[np.minimum(at + 1, len(stops) - 1)] <= latest
    stopped = ~np.isnan(stop)
    p = np.where(stopped, stop, start).astype(np.int64)
    again = np.minimum(axis.next_start(model, p, end_of[rec]), end_of[rec])
    quiet = again - p
    before = np.where(quiet < settings.takeover.group_ms, p - start, np.inf)
    off = np.where(second, np.inf, np.fmin(quiet - hold, np.fmin(latest - p, before)))
    on = _nearest(cases, rec, start, latest, hold)
    # It fell silent just before the backchannel.
    fell = axis.last_end(model, start, structure.origin[rec] - 1)
    back = np.minimum(axis.next_start(model, start, end_of[rec]), end_of[rec])
    pausing = (axis.inside(model, start) < 0) & (fell > -NEVER) & (back - fell >= hold)
    on = np.fmin(on, np.where(pausing, start - fell, np.inf))
    margin = np.where(stopped, off, on)
    return np.where(np.isfinite(margin), margin, np.nan)


@if_explained
def resumed_margin(
    cases: Cases, start: Ints, end: Ints, stop: Floats, again: Floats, settings: Settings
) -> Floats:
    """Margin of "the model speaks again soon" after it stopped at a backchannel [start, end].

    It speaks again earlier or later, or the stop is another one, after which it does otherwise.

    Parameters
    ----------
    cases : Cases
    start, end : ndarray of int64, shape (k,)
    stop, again : ndarray of float64, shape (k,)
        When it stopped and spoke again, NaN where it did not.
    settings : Settings
        Uses ``yield.hold_ms`` and ``user_backchannel``.
    """
    model, structure, rec = cases.structure.model.ipus, cases.structure, cases.rec
    hold, soon = settings.yield_.hold_ms, settings.user_backchannel.resume_ms
    stopped = ~np.isnan(stop)
    p = np.where(stopped, stop, start).astype(np.int64)
    resumed = again - stop <= soon
    margin = np.where(np.isnan(again), np.inf, np.abs(again - stop - soon))
    end_of = structure.origin + structure.duration_ms
    gaps = gaps_after(model, end_of)
    silence = np.fmin(np.where(np.isnan(again), end_of[rec], again) - stop - hold, p - start)
    # The next stop in the window comes in, if this one is no stop any more ...
    held = np.append(gaps >= hold, True)
    later = np.flatnonzero(held)[np.searchsorted(model.end[gaps >= hold], p, "right")]
    next_stop, next_gap = np.append(model.end, NEVER)[later], np.append(gaps, 0)[later]
    other = (next_gap <= soon) & (next_stop + next_gap < end_of[rec])
    counts = next_stop <= end + settings.user_backchannel.stop_window_ms
    margin = np.fmin(margin, np.where(counts & (other != resumed), silence, np.inf))
    # ... or one before it, which was too short, and is short enough to be no more than a breath.
    who, at = _ends_between(cases, start, p)
    earlier = np.full(len(rec), np.inf)
    ok = ~resumed[who] & stopped[who] & (hold <= soon)
    ok &= model.end[at] + gaps[at] < end_of[rec[who]]
    np.minimum.at(earlier, who, np.where(ok, hold - gaps[at], np.inf))
    margin = np.fmin(margin, earlier)
    fell = axis.last_end(model, start, structure.origin[rec] - 1)
    back = np.minimum(axis.next_start(model, start, end_of[rec]), end_of[rec])
    pausing = (axis.inside(model, start) < 0) & (fell > -NEVER) & (back - fell >= hold)
    pausing &= ((back - fell <= soon) & (back < end_of[rec])) != resumed
    margin = np.fmin(margin, np.where(pausing, start - fell, np.inf))
    return np.where(stopped & np.isfinite(margin), margin, np.nan)
