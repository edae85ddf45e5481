"""Speech in the foreground told from voices and noises behind it, for all channels at once.

A detector of speech hears other people's talk, too. Where a channel's background keeps it in
doubt, the level of that background is measured on what it is not sure of, and speech is what
rises clear of it. A stretch that is both faint and doubtful (a bark, a clatter) is none, either.

Conventions
-----------
Envelopes are hundredths of a dB re full scale, 10 ms a frame; probabilities are uint16
(p = q / 65535), 32 ms a frame; channel after channel. A channel's *active level* is that of its
loudest half second. Levels are compared after smoothing over 100 ms.
"""

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, spread
from flexi_score.speech.hysteresis import FRAME_MS as DETECTION_MS

FRAME_MS: Final = 10
#: Frames that a level is smoothed over: a syllable is longer, a pitch period shorter.
SMOOTH_FRAMES: Final = 10
#: The loudest half second.
ACTIVE_FRAMES: Final = 50
_SCALE: Final = 65535


def foreground_segments(
    segments: Intervals,
    probabilities: NDArray[np.uint16],
    probability_offsets: Ints,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    settings: SpeechSettings,
) -> tuple[Intervals, Bools]:
    """Segments without what belongs to the background.

    Parameters
    ----------
    segments : Intervals
        Detected; ``rec`` is the channel's number.
    probabilities : ndarray of uint16, shape (probability_offsets[-1],)
    probability_offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the detection frames [probability_offsets[i], probability_offsets[i + 1]).
    envelope_cdb : ndarray of int16, shape (offsets[-1],)
    offsets : ndarray of int64, shape (n + 1,)
        Likewise, of the envelope.
    settings : SpeechSettings
        The ``background_`` settings are used.

    Returns
    -------
    segments : Intervals
        Parts of those given.
    doubtful : ndarray of bool, shape (n,)
        Channels whose background the detector takes for speech. The boundaries in them are where
        speech rises from it and sinks into it.
    """
    n = len(offsets) - 1
    doubtful = np.zeros(n, np.bool_)
    if not len(segments):
        return segments, doubtful
    segments = _without_faint(
        segments, probabilities, probability_offsets, envelope_cdb, offsets, settings
    )
    which = _in_doubt(probabilities, probability_offsets, settings)
    which = which[np.diff(offsets)[which] > 0]
    if not len(which):
        return segments, doubtful
    frames, channel = spread(offsets[which], offsets[which + 1])
    sizes = np.diff(offsets)[which]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    level = _smoothed(envelope_cdb[frames], edges, channel)
    number = frames - offsets[which][channel]
    heard = (number * FRAME_MS + FRAME_MS // 2) // DETECTION_MS
    last = np.diff(probability_offsets)[which] - 1
    heard = probability_offsets[which][channel] + np.minimum(heard, last[channel])
    active = _active_level(envelope_cdb[frames], edges, channel)
    found = background_level(level, probabilities[heard], edges, channel, active, settings)
    doubtful[which[found > -np.inf]] = True
    background = np.full(n, -np.inf)
    background[which] = found
    smooth = np.full(len(envelope_cdb), np.inf)
    smooth[frames] = level
    inside = doubtful[segments.rec]
    cut = _standing_out(segments.take(inside), smooth, offsets, background, settings)
    rest = segments.take(~inside)
    rec = np.concatenate([cut.rec, rest.rec])
    start = np.concatenate([cut.start_ms, rest.start_ms])
    end = np.concatenate([cut.end_ms, rest.end_ms])
    order = np.lexsort((start, rec))
    return Intervals(rec[order], start[order], end[order]), doubtful


def background_level(
    level: Floats,
    probabilities: NDArray[np.uint16],
    edges: Ints,
    channel: Ints,
    active: Floats,
    settings: SpeechSettings,
) -> Floats:
    """Level of the background of channels that may have one.

    Parameters
    ----------
    level : ndarray of float64, shape (edges[-1],)
        Smoothed, dB re full scale, 10 ms a frame.
    probabilities : ndarray of uint16, shape (edges[-1],)
        Of the same frames.
    edges : ndarray of int64, shape (n + 1,)
    channel : ndarray of int64, shape (edges[-1],)
        Which channel a frame belongs to.
    active : ndarray of float64, shape (n,)
        Active level of each channel, dB.
    settings : SpeechSettings

    Returns
    -------
    ndarray of float64, shape (n,)
        dB re full scale; -inf where there is none to speak of, +inf where nothing stands out
        from it: a crowd without anybody in front of it.
    """
    n = len(edges) - 1
    sure = probabilities >= math.ceil(settings.background_sure_probability * _SCALE)
    total = np.concatenate([[0], np.cumsum(sure)])
    reach = settings.background_far_ms // FRAME_MS
    at = np.arange(len(level))
    low = np.maximum(at - reach, edges[channel])
    high = np.minimum(at + reach + 1, edges[channel + 1])
    far = total[high] == total[low]
    percent = np.array([settings.background_percentile, 50.0])
    found, count = _percentiles(level[far], channel[far], n, percent)
    enough = count >= max(settings.background_least_ms // FRAME_MS, 1)
    # What is only there at times may be speech that is hard to make out.
    usable = found[:, 0] < found[:, 1] + settings.background_steady_db
    crowd = _crowd_level(level, probabilities, edges, channel, settings)
    level_db = np.where(usable, found[:, 0], -np.inf)
    background: Floats = np.where(enough & (crowd < np.inf), level_db, crowd)
    background[background <= active - settings.background_depth_db] = -np.inf
    return background


def _crowd_level(
    level: Floats,
    probabilities: NDArray[np.uint16],
    edges: Ints,
    channel: Ints,
    settings: SpeechSettings,
) -> Floats:
    """Level of voices behind a voice, or of voices alone (+inf), where all is detected."""
    n = len(edges) - 1
    spoken = probabilities >= math.ceil(settings.threshold * _SCALE)
    found, count = _percentiles(level[spoken], channel[spoken], n, np.array([5.0, 10.0, 95.0]))
    crowd = count >= np.maximum(
        settings.background_crowd_share * np.diff(edges),
        max(settings.background_crowd_ms // FRAME_MS, 1),
    )
    # One voice does not stay at its weakest: what does so lies behind it.
    weak = found[:, 1] + settings.background_crowd_rise_db
    here = np.flatnonzero(spoken & (level < weak[channel]))
    behind = np.zeros(n, np.bool_)
    if len(here):
        apart = (np.diff(here) > 1) | (np.diff(channel[here]) != 0)
        heads = np.flatnonzero(np.concatenate([[True], apart]))
        long = np.diff(np.append(heads, len(here))) >= max(
            settings.background_crowd_weak_ms // FRAME_MS, 1
        )
        behind[channel[here[heads[long]]]] = True
    # Nor does its level stay within so few dB.
    alone = found[:, 2] < found[:, 0] + settings.background_crowd_db
    return np.where(crowd & alone, np.inf, np.where(crowd & behind, weak, -np.inf))


def _in_doubt(probabilities: NDArray[np.uint16], offsets: Ints, settings: SpeechSettings) -> Ints:
    """Channels with many frames that the detector is not sure of, or with hardly any silence."""
    sure = math.ceil(settings.background_sure_probability * _SCALE)
    unsure = (probabilities < sure) & (
        probabilities >= math.ceil(settings.background_unsure_probability * _SCALE)
    )
    high = probabilities >= math.ceil(settings.threshold * _SCALE)
    size = np.diff(offsets)
    doubts = _counts(unsure, offsets) >= np.maximum(settings.background_unsure_share * size, 1)
    full = _counts(high, offsets) >= np.maximum(settings.background_crowd_share * size, 1)
    return np.flatnonzero(doubts | full)


def _counts(mask: Bools, offsets: Ints) -> Ints:
    """How many are true in each channel."""
    total = np.concatenate([[0], np.cumsum(mask)])
    counted: Ints = np.diff(total[offsets])
    return counted


def _without_faint(
    segments: Intervals,
    probabilities: NDArray[np.uint16],
    probability_offsets: Ints,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    settings: SpeechSettings,
) -> Intervals:
    """Segments but those that are both far below their channel's active level and doubtful."""
    rec = segments.rec
    size = np.diff(probability_offsets)[rec]
    first = np.minimum(segments.start_ms // DETECTION_MS, np.maximum(size - 1, 0))
    stop = np.clip(-(-segments.end_ms // DETECTION_MS), first + 1, np.maximum(size, 1))
    total = np.concatenate([[0], np.cumsum(probabilities, dtype=np.int64)])
    zero = probability_offsets[rec]
    held = (size > 0) & (np.diff(offsets)[rec] > 0)
    low, high = (np.where(held, zero + x, 0) for x in (first, stop))
    mean = total[high] - total[low]
    doubtful = np.flatnonzero(
        held & (mean < settings.background_faint_probability * _SCALE * (stop - first))
    )
    if not len(doubtful):
        return segments
    which = np.unique(rec[doubtful])
    frames, channel = spread(offsets[which], offsets[which + 1])
    edges = np.concatenate([[0], np.cumsum(np.diff(offsets)[which])])
    active = _active_level(envelope_cdb[frames], edges, channel)
    level = _smoothed(envelope_cdb[frames], edges, channel)
    own = np.searchsorted(which, rec[doubtful])
    width = np.diff(edges)[own]
    low = edges[own] + np.minimum(segments.start_ms[doubtful] // FRAME_MS, width - 1)
    high = edges[own] + np.clip(-(-segments.end_ms[doubtful] // FRAME_MS), 1, width)
    peak = np.maximum.reduceat(
        np.append(level, -np.inf), np.stack([low, np.maximum(high, low + 1)], 1).ravel()
    )[::2]
    keep = np.ones(len(segments), np.bool_)
    keep[doubtful] = peak >= active[own] - settings.background_faint_db
    return segments.take(keep)


def _standing_out(
    segments: Intervals, level: Floats, offsets: Ints, background: Floats, settings: SpeechSettings
) -> Intervals:
    """Stretches of segments above the background that somewhere rise clear of it."""
    rec = segments.rec
    size = np.diff(offsets)[rec]
    first = np.minimum(segments.start_ms // FRAME_MS, size) + offsets[rec]
    stop = np.minimum(-(-segments.end_ms // FRAME_MS), size) + offsets[rec]
    at, owner = spread(first, stop)
    over = level[at] - background[rec[owner]]
    here = np.flatnonzero(over > settings.background_edge_db)
    if not len(here):
        return segments.take(here)
    apart = (np.diff(here) > 1) | (np.diff(owner[here]) != 0)
    low = here[np.concatenate([[True], apart])]
    high = here[np.concatenate([apart, [True]])] + 1
    clear = np.concatenate([[0], np.cumsum(over >= settings.background_margin_db)])
    keep = clear[high] - clear[low] >= max(settings.background_clear_ms // FRAME_MS, 1)
    low, high = low[keep], high[keep]
    if not len(low):
        return segments.take(low)
    gap = max(settings.background_hole_ms // FRAME_MS, 1)
    apart = (low[1:] - high[:-1] >= gap) | (np.diff(owner[low]) != 0)
    low = low[np.concatenate([[True], apart])]
    high = high[np.concatenate([apart, [True]])]
    who = owner[low]
    zero = offsets[rec[who]]
    start = np.maximum((at[low] - zero) * FRAME_MS, segments.start_ms[who])
    end = np.minimum((at[high - 1] + 1 - zero) * FRAME_MS, segments.end_ms[who])
    return Intervals(rec[who], start, end)


@cache
def _powers() -> Floats:
    """Power of every level that an envelope can have: looking up costs a tenth of computing."""
    return np.asarray(10.0 ** (np.arange(-(1 << 15), 1 << 15) / 1000.0))


def _power(envelope_cdb: NDArray[np.int16]) -> Floats:
    return _powers()[envelope_cdb.astype(np.int64) + (1 << 15)]


def _smoothed(envelope_cdb: NDArray[np.int16], edges: Ints, channel: Ints) -> Floats:
    """Mean power over SMOOTH_FRAMES around each frame, within its channel, dB."""
    at = np.arange(len(envelope_cdb))
    # Channels apart by a window of silence, so that one addition serves all frames.
    place = at + SMOOTH_FRAMES * (channel + 1)
    padded = np.zeros(len(at) + SMOOTH_FRAMES * (len(edges) + 1))
    padded[place] = _power(envelope_cdb)
    size = len(padded) - SMOOTH_FRAMES
    total = padded[:size].copy()
    for shift in range(1, SMOOTH_FRAMES):
        total += padded[shift : shift + size]
    back, ahead = SMOOTH_FRAMES // 2, SMOOTH_FRAMES - SMOOTH_FRAMES // 2
    count = np.minimum(at + ahead, edges[channel + 1]) - np.maximum(at - back, edges[channel])
    level: Floats = 10.0 * np.log10(total[place - back] / np.maximum(count, 1))
    return level


def _active_level(envelope_cdb: NDArray[np.int16], edges: Ints, channel: Ints) -> Floats:
    """Mean power of the loudest ACTIVE_FRAMES of each channel, dB; -inf where it has none."""
    n = len(edges) - 1
    # The channel, then the louder first: sorting one number is much faster than two.
    key = (channel << 16) + ((1 << 15) - 1 - envelope_cdb.astype(np.int64))
    key = key.astype(np.uint32) if n < 1 << 16 else key
    key.sort()
    top, owner = spread(edges[:-1], np.minimum(edges[:-1] + ACTIVE_FRAMES, edges[1:]))
    loudest = (1 << 15) - 1 - (key[top].astype(np.int64) & 0xFFFF)
    total = np.bincount(owner, _power(loudest.astype(np.int16)), n)
    count = np.bincount(owner, minlength=n)
    with np.errstate(divide="ignore"):
        level: Floats = 10.0 * np.log10(total / np.maximum(count, 1))
    return level


def _sorted_within(values: Floats, count: Ints) -> Floats:
    """Values of one channel after another, sorted within each.

    As rows of tables, one for each order of magnitude of their numbers: rows are sorted many times
    faster than a list by two keys.
    """
    found = values.copy()
    first = np.cumsum(count) - count
    width = np.ceil(np.log2(np.maximum(count, 1))).astype(np.int64)
    for size in np.unique(width[count > 1]).tolist():
        rows = np.flatnonzero((width == size) & (count > 1))
        at, row = spread(first[rows], first[rows] + count[rows])
        column = at - first[rows][row]
        table = np.full((len(rows), 1 << size), np.inf)
        table[row, column] = values[at]
        table.sort(axis=1)
        found[at] = table[row, column]
    return found


def _percentiles(values: Floats, channel: Ints, n: int, percent: Floats) -> tuple[Floats, Ints]:
    """Percentiles of each channel's values, shape (n, k), linear between them; and how many."""
    count = np.bincount(channel, minlength=n).astype(np.int64)
    ranked = np.append(_sorted_within(values, count), -np.inf)
    first = np.cumsum(count) - count
    place = percent[None, :] / 100 * np.maximum(count - 1, 0)[:, None]
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0)[:, None])
    a = ranked[np.minimum(first[:, None] + below, len(values))]
    b = ranked[np.minimum(first[:, None] + above, len(values))]
    with np.errstate(invalid="ignore"):
        mixed: Floats = a + np.where(b == a, 0.0, (b - a) * (place - below))
    return np.where(count[:, None] > 0, mixed, -np.inf), count
