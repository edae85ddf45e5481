"""Detected boundaries moved to where the energy really rises and falls, for all channels at once.

The detector decides every 32 ms, a little early where speech starts and 60 to 90 ms late where
it ends. The envelope (10 ms) tells more exactly. Here a boundary is where the envelope crosses a
threshold that lies a fixed distance below the level of the segment, or, where noise reaches
higher, above the noise around that very boundary.

Conventions
-----------
Levels are dB. Frame k of a channel covers [10 k, 10 k + 10) ms. Each detected segment owns the
frames from half of the silence before it to half of the silence after it, at most
``refine_reach_ms`` outside. A frame is *loud* if it is at or above the segment's threshold at the
nearer boundary and speech is likely in it; runs of loud frames that are less than
``refine_bridge_ms`` apart are one run. Clicks and breaths (runs shorter than ``refine_island_ms``
or never within ``refine_breath_db`` of the segment's level) are not speech.
"""

from functools import cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, make_intervals, spread

FRAME_MS: Final = 10
#: Frames refined in one go; bounds the memory.
_BLOCK_FRAMES: Final = 4_000_000


def refine_segments(
    segments: Intervals,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    duration_ms: Ints,
    noise_dbfs: Floats,
    settings: SpeechSettings,
    likely: Bools | None = None,
) -> Intervals:
    """Segments with their boundaries on the energy envelope.

    A segment is never dropped. One that holds a silence of ``refine_split_ms`` or more is split
    there; two segments between which the energy never falls become one.

    Parameters
    ----------
    segments : Intervals
        Disjoint segments; ``rec`` is the channel's number.
    envelope_cdb : ndarray of int16, shape (offsets[-1],)
        Energy of every 10 ms in hundredths of a dB re full scale, channel after channel.
    offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the frames [offsets[i], offsets[i + 1]).
    duration_ms : ndarray of int64, shape (n,)
        Length of each channel.
    noise_dbfs : ndarray of float64, shape (n,)
        Noise floor of each channel, used where a segment has no silence beside it.
    settings : SpeechSettings
        The ``refine_`` settings are used.
    likely : ndarray of bool, shape (offsets[-1],), optional
        Frames in which what is loud may be speech
        (:func:`flexi_score.speech.likely.likely_frames`); all of them if not given.

    Returns
    -------
    Intervals
        Disjoint, sorted, inside their channels.
    """
    offsets = np.asarray(offsets, np.int64)
    duration_ms = np.asarray(duration_ms, np.int64)
    if likely is None:
        likely = np.ones(offsets[-1], np.bool_)
    pieces = []
    # Whole channels, as many at a time as fill a block.
    fills = np.searchsorted(offsets, np.arange(0, offsets[-1], _BLOCK_FRAMES), "right") - 1
    cuts = np.unique(np.concatenate([[0], fills, [len(offsets) - 1]]))
    for low, high in pairwise(cuts.tolist()):
        a, b = np.searchsorted(segments.rec, [low, high])
        if a == b:
            continue
        found = _refine(
            Intervals(segments.rec[a:b] - low, segments.start_ms[a:b], segments.end_ms[a:b]),
            envelope_cdb[offsets[low] : offsets[high]],
            offsets[low : high + 1] - offsets[low],
            duration_ms[low:high],
            np.asarray(noise_dbfs, np.float64)[low:high],
            likely[offsets[low] : offsets[high]],
            settings,
        )
        pieces.append(Intervals(found.rec + low, found.start_ms, found.end_ms))
    if not pieces:
        return segments
    return _disjoint(
        np.concatenate([p.rec for p in pieces]),
        np.concatenate([p.start_ms for p in pieces]),
        np.concatenate([p.end_ms for p in pieces]),
    )


def _refine(
    segments: Intervals,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    duration_ms: Ints,
    noise: Floats,
    likely: Bools,
    settings: SpeechSettings,
) -> Intervals:
    rec = segments.rec
    size = np.diff(offsets)
    # Frames that hold any of the segment; one beyond the envelope's end has none.
    first = np.minimum(segments.start_ms // FRAME_MS, size[rec]) + offsets[rec]
    stop = np.minimum(-(-segments.end_ms // FRAME_MS), size[rec]) + offsets[rec]
    # A last, padded detection frame may lie past the envelope: what is only there stays.
    bare = stop <= first
    beyond = segments.take(bare)
    segments, first, stop, rec = segments.take(~bare), first[~bare], stop[~bare], rec[~bare]
    if not len(segments):
        return beyond

    level, power = envelope_cdb.astype(np.float64) / 100, _power(envelope_cdb)
    strength = _strength(level, power, first, stop, settings.refine_active_db)
    before, after = _thresholds(segments, power, offsets, first, stop, strength, noise, settings)
    head, tail = _territory(segments, offsets, first, stop, settings.refine_reach_ms)

    at, owner = spread(head, tail)
    middle = (first + stop) // 2
    threshold = np.where(at < middle[owner], before[owner], after[owner])
    loud = (level[at] >= threshold) & likely[at]
    # A territory that touches the next one shares its runs: the hole between them is none.
    new_part = np.ones(len(at), np.bool_)
    new_part[1:] = (at[1:] != at[:-1] + 1) | (rec[owner[1:]] != rec[owner[:-1]])
    part = np.cumsum(new_part) - 1

    lo, hi = _runs(loud, part, _frames(settings.refine_bridge_ms))
    if len(lo):
        relative = np.maximum.reduceat(
            np.append(level[at] - strength[owner], -np.inf), np.stack([lo, hi], 1).ravel()
        )[::2]
        speech = hi - lo >= _frames(settings.refine_island_ms)
        speech &= relative >= -settings.refine_breath_db
        lo, hi = lo[speech], hi[speech]
    # Runs outside every detected frame are sounds that the detector took for something else.
    inside = (at >= first[owner]) & (at < stop[owner])
    seen = np.concatenate([[0], np.cumsum(inside)])
    heard = seen[hi] > seen[lo]
    lo, hi = lo[heard], hi[heard]

    found = _assemble(
        segments,
        offsets,
        duration_ms,
        owner,
        at,
        lo,
        hi,
        threshold,
        strength,
        level,
        likely,
        part,
        settings,
    )
    return Intervals(
        np.concatenate([found.rec, beyond.rec]),
        np.concatenate([found.start_ms, beyond.start_ms]),
        np.concatenate([found.end_ms, beyond.end_ms]),
    )


def _frames(duration_ms: int) -> int:
    """Whole frames of a duration, at least one."""
    return max(duration_ms // FRAME_MS, 1)


def _disjoint(rec: Ints, start_ms: Ints, end_ms: Ints) -> Intervals:
    """Sorted intervals, each cut to what those before it in its channel leave."""
    found = make_intervals(rec, start_ms, end_ms)
    shift = found.rec << 40
    reach = np.maximum.accumulate(np.concatenate([[0], (found.end_ms + shift)[:-1]]))
    start = np.maximum(found.start_ms + shift, reach[: len(found)]) - shift
    return make_intervals(found.rec, start, found.end_ms)


@cache
def _powers() -> Floats:
    """Power of every level that an envelope can have: looking up costs a tenth of computing."""
    return np.asarray(10.0 ** (np.arange(-(1 << 15), 1 << 15) / 100 / 10))


def _power(envelope_cdb: NDArray[np.int16]) -> Floats:
    return _powers()[envelope_cdb.astype(np.int64) + (1 << 15)]


def _strength(level: Floats, power: Floats, first: Ints, stop: Ints, active_db: float) -> Floats:
    """Level of each segment while it is active: its frames within `active_db` of the loudest."""
    edges = np.stack([first, stop], 1).ravel()
    padded = np.append(level, -np.inf)
    peak = np.maximum.reduceat(padded, edges)[::2]
    at, owner = spread(first, stop)
    active = level[at] >= peak[owner] - active_db
    total = np.bincount(owner, power[at] * active, len(first))
    mean: Floats = 10.0 * np.log10(total / np.bincount(owner, active, len(first)))
    return mean


def _thresholds(
    segments: Intervals,
    power: Floats,
    offsets: Ints,
    first: Ints,
    stop: Ints,
    strength: Floats,
    noise: Floats,
    settings: SpeechSettings,
) -> tuple[Floats, Floats]:
    """Level at which each segment starts, and at which it ends."""
    rec = segments.rec
    same = rec[1:] == rec[:-1]
    gap_from, gap_to = offsets[rec].copy(), offsets[rec + 1].copy()
    gap_from[1:] = np.where(same, stop[:-1], gap_from[1:])
    gap_to[:-1] = np.where(same, first[1:], gap_to[:-1])
    reach = _frames(settings.refine_floor_reach_ms)
    gap_from = np.maximum(gap_from, first - reach)
    gap_to = np.minimum(gap_to, stop + reach)
    frames = _frames(settings.refine_floor_ms)
    # No running total: it would drown what is quiet, and depend on the channels before it.
    total = power[: max(len(power) - frames + 1, 0)].copy()
    for shift in range(1, frames):
        total += power[shift : shift + len(total)]
    mean = np.append(total / frames, np.inf)
    thresholds = []
    short = same & (first[1:] - stop[:-1] < _frames(settings.refine_hole_ms))
    holes = (np.append(False, short), np.append(short, False))
    for low, high, hole in zip((gap_from, stop), (first, gap_to), holes, strict=True):
        floor = _quietest(mean, low, high, noise[rec], frames)
        floor = np.where(hole, np.minimum(floor, noise[rec] + settings.refine_hole_db), floor)
        floor = np.minimum(floor, strength)
        wanted = strength - settings.refine_depth_db
        # Noise adds to speech: the sum crosses where the speech alone would cross `wanted`.
        summed = 10.0 * np.log10(10.0 ** (wanted / 10) + 10.0 ** (floor / 10))
        at = np.maximum(summed, floor + settings.refine_margin_db)
        thresholds.append(np.minimum(at, strength - settings.refine_headroom_db))
    return thresholds[0], thresholds[1]


def _quietest(mean: Floats, low: Ints, high: Ints, otherwise: Floats, frames: int) -> Floats:
    """Least mean power of so many neighbouring frames in [low, high), dB; `mean` from each on."""
    wide = high - low >= frames
    result = otherwise.copy()
    if wide.any():
        edges = np.stack([low[wide], high[wide] - frames + 1], 1).ravel()
        result[wide] = 10.0 * np.log10(np.minimum.reduceat(mean, edges)[::2])
    return result


def _territory(
    segments: Intervals, offsets: Ints, first: Ints, stop: Ints, reach_ms: int
) -> tuple[Ints, Ints]:
    """First frame that each segment owns, and the first after them."""
    rec = segments.rec
    reach = reach_ms // FRAME_MS
    head = np.maximum(first - reach, offsets[rec])
    tail = np.minimum(stop + reach, offsets[rec + 1])
    same = rec[1:] == rec[:-1]
    # Segments that meet inside a frame share it; the earlier one has it.
    middle = np.maximum((stop[:-1] + first[1:] + 1) // 2, stop[:-1])
    tail[:-1] = np.where(same, np.minimum(tail[:-1], middle), tail[:-1])
    head[1:] = np.where(same, np.maximum(head[1:], middle), head[1:])
    return head, np.maximum(tail, head)


def _runs(loud: Bools, part: Ints, bridge: int) -> tuple[Ints, Ints]:
    """Runs [lo, hi) of True within each part; holes of less than `bridge` frames are closed."""
    here = np.flatnonzero(loud)
    if not len(here):
        return here, here
    apart = (np.diff(here) - 1 >= bridge) | (part[here[1:]] != part[here[:-1]])
    apart |= np.diff(here) <= 0
    lo = here[np.concatenate([[True], apart])]
    hi = here[np.concatenate([apart, [True]])] + 1
    return lo, hi


def _crossing(level: Floats, edge: Ints, threshold: Floats, step: int) -> Floats:
    """Moment (ms on the envelope's axis) at which the energy crosses a threshold.

    Each frame's level holds at its middle, and changes linearly to that of the next.
    """
    here = level[edge]
    beyond = level[np.clip(edge + step, 0, len(level) - 1)]
    share = np.clip((here - threshold) / np.maximum(here - beyond, 1e-9), 0.0, 1.0)
    moment: Floats = (edge + 0.5 + step * share) * FRAME_MS
    return moment


def _assemble(
    segments: Intervals,
    offsets: Ints,
    duration_ms: Ints,
    owner: Ints,
    at: Ints,
    lo: Ints,
    hi: Ints,
    threshold: Floats,
    strength: Floats,
    level: Floats,
    likely: Bools,
    part: Ints,
    settings: SpeechSettings,
) -> Intervals:
    """Runs as intervals; those of one segment less than ``refine_split_ms`` apart are one."""
    from_segment, to_segment = owner[lo], owner[hi - 1]
    rec = segments.rec[from_segment]
    n = len(at)
    # Where the frames that a segment may claim end, nothing is known of a rise or a fall: at the
    # channel's own edge speech was cut there, elsewhere the detector's boundary stands.
    opens = (lo == 0) | (part[np.maximum(lo - 1, 0)] != part[lo])
    closes = (hi == n) | (part[np.minimum(hi, n - 1)] != part[hi - 1])
    zero = offsets[rec]
    start = _crossing(level, at[lo], threshold[lo], -1) - zero * FRAME_MS
    end = _crossing(level, at[hi - 1], threshold[hi - 1], 1) - zero * FRAME_MS
    # Noise that is loud beyond where there may be speech hides the rise or the fall: what the
    # detector usually errs by is taken off.
    before, after = np.maximum(at[lo] - 1, 0), np.minimum(at[hi - 1] + 1, len(level) - 1)
    drowned = ~opens & ~likely[before] & (level[before] >= threshold[lo])
    start = np.where(drowned, (at[lo] - zero) * FRAME_MS + settings.refine_busy_lead_ms, start)
    drowned = ~closes & ~likely[after] & (level[after] >= threshold[hi - 1])
    lag = settings.refine_busy_lag_ms + settings.refine_busy_late_ms
    end = np.where(drowned, (at[hi - 1] + 1 - zero) * FRAME_MS - lag, end)
    start = np.where(opens, segments.start_ms[from_segment], np.rint(start).astype(np.int64))
    end = np.where(closes, segments.end_ms[to_segment], np.rint(end).astype(np.int64))
    start = np.where(at[lo] == zero, 0, start)
    end = np.where(at[hi - 1] + 1 == offsets[rec + 1], duration_ms[rec], end)
    start = np.clip(start, 0, duration_ms[rec])
    end = np.clip(end, 0, duration_ms[rec])

    # Under loud noise the weak ends of speech do not show: no further in than the detector errs.
    noisy_rise = threshold[lo] > strength[from_segment] - settings.refine_split_db
    noisy_fall = threshold[hi - 1] > strength[to_segment] - settings.refine_split_db
    late = segments.start_ms[from_segment] + settings.refine_early_ms
    start = np.where(noisy_rise & ~opens, np.minimum(start, late), start)
    early = segments.end_ms[to_segment] - settings.refine_late_ms
    end = np.where(noisy_fall & ~closes, np.maximum(end, early), end)

    joined = to_segment[:-1] == from_segment[1:]
    joined &= noisy_rise[1:] | (start[1:] - end[:-1] < settings.refine_split_ms)
    first = np.concatenate([[True], ~joined])[: len(lo)]
    last = np.concatenate([~joined, [True]])[: len(lo)]
    # What the energy does not show at all stays as it was detected.
    runs = np.bincount(from_segment, minlength=len(segments) + 1)
    runs -= np.bincount(to_segment + 1, minlength=len(segments) + 1)
    covered = np.cumsum(runs)[:-1] > 0
    covered[to_segment] = True
    rest = segments.take(~covered)
    return Intervals(
        np.concatenate([rec[first], rest.rec]),
        np.concatenate([start[first], rest.start_ms]),
        np.concatenate([end[last], rest.end_ms]),
    )
