"""Where speech begins and ends: the model ``boundaries-3``.

Silero decides every 32 ms, and late. Where the noise beside a boundary is at least
:data:`CLEAR_DB` below the speech, the 10 ms envelope tells more exactly, within the reach of the
detector's own error: speech begins and ends :data:`DEPTH_DB` below its level. In more noise than
that a boundary is the detector's, moved by its lag there, and a segment no longer than that lag is
no speech. Nothing else moves a boundary, joins two segments, or drops one.

The numbers here are the model's, not settings: they change together, with its version. The lags
are those of one half of the voices of meeting headsets, with noise laid over what is clear without
it; on the other half they are 10 to 25 ms shorter (``tests/bench/bench_real_speech.py``). The rest
was chosen on the even recordings of the samples and holds on the odd ones, on real calls and on
meeting headsets.

Conventions
-----------
Levels are dB. Frame k of a channel's envelope covers [10 k, 10 k + 10) ms.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, make_intervals
from flexi_score.speech.frames import Frames

#: By how much the detector is late in noise, in ms. On the chosen half (errors below 150 ms):
#: starts 44 in the mean, 30 in the median, ends 61 and 86; synthesised speech, which begins hard,
#: 15 and 60.
START_LAG_MS: Final = 40
END_LAG_MS: Final = 60
#: Speech this far above the noise beside a boundary is clear; it begins and ends this far below
#: its level, but no less than the margin above that noise (dB).
CLEAR_DB: Final = 40.0
DEPTH_DB: Final = 34.0
MARGIN_DB: Final = 6.0
#: How far the envelope may move a boundary from the detector's, outwards and inwards, in frames.
START_REACH: Final = (12, 6)
END_REACH: Final = (4, 15)
#: Quiet for this many frames: speech has not begun yet, or is over. Closures of stops are shorter.
QUIET_FRAMES: Final = 6

_FRAME_MS: Final = 10
#: Frames of speech and of noise beside a boundary that its levels are taken from.
_SPEECH: Final = 30
_NOISE: Final = 33
_LOUDEST: Final = 5
#: Segments worked on in one go; bounds the memory.
_BLOCK: Final = 200_000


def place_boundaries(segments: Intervals, envelope: Frames, duration_ms: Ints) -> Intervals:
    """Detected segments with their boundaries where speech begins and ends.

    Parameters
    ----------
    segments : Intervals
        Disjoint segments of :func:`flexi_score.speech.hysteresis.speech_segments`; ``rec`` is the
        channel's number.
    envelope : Frames
        Energy of every 10 ms in hundredths of a dB re full scale.
    duration_ms : ndarray of int64, shape (n,)
        Length of each channel.

    Returns
    -------
    Intervals
        Disjoint, sorted, inside their channels. A segment no longer than the detector's own lag is
        no speech, and dropped. One that runs to the channel's end keeps that end.
    """
    parts = [
        _place(segments, envelope, duration_ms, slice(low, low + _BLOCK))
        for low in range(0, len(segments), _BLOCK)
    ]
    if not parts:
        return segments
    start, end = (np.concatenate(side) for side in zip(*parts, strict=True))
    # Neighbours that would overlap meet in the middle.
    same = segments.rec[1:] == segments.rec[:-1]
    meet = (end[:-1] + start[1:]) // 2
    crossed = same & (start[1:] < end[:-1])
    start[1:][crossed], end[:-1][crossed] = meet[crossed], meet[crossed]
    return make_intervals(segments.rec, start, end)


def _place(
    segments: Intervals, envelope: Frames, duration_ms: Ints, part: slice
) -> tuple[Ints, Ints]:
    """Starts and ends of a part of the segments."""
    rec, start, end = segments.rec, segments.start_ms, segments.end_ms
    first_of_channel = np.ones(len(rec), bool)
    first_of_channel[1:] = rec[1:] != rec[:-1]
    before = np.where(first_of_channel, 0, np.append(0, end[:-1])[: len(rec)])
    last_of_channel = np.append(first_of_channel[1:], True)
    after = np.where(last_of_channel, duration_ms[rec], np.append(start[1:], 0)[: len(rec)])
    rec, start, end, before, after = (x[part] for x in (rec, start, end, before, after))

    levels, size = envelope.values, envelope.sizes[rec]
    origin = envelope.offsets[rec]
    first = np.minimum(start // _FRAME_MS, size)
    stop = np.minimum(-(-end // _FRAME_MS), size)
    lowest = np.minimum(before // _FRAME_MS, first)
    highest = np.maximum(np.minimum(-(-after // _FRAME_MS), size), stop)

    speech = _loudest(levels, origin, first, np.minimum(first + _SPEECH, stop))
    noise = _quietest(levels, origin, np.maximum(lowest, first - _NOISE - 2), first - 2)
    clear = (speech - noise >= CLEAR_DB) & (start > 0)
    low = np.maximum(lowest, first - START_REACH[0])
    high = np.minimum(first + START_REACH[1], stop - 1) + 1
    frame = _last_quiet(levels, origin, low, high, _threshold(speech, noise), QUIET_FRAMES)
    lag = np.where(end - start > END_LAG_MS, START_LAG_MS, 0)
    lagged = np.maximum(start - lag, np.minimum(before, start))
    begin = np.where(clear, frame * _FRAME_MS, np.where(start > 0, lagged, start))

    inner = np.maximum(stop - 6, first + 1)
    speech = _loudest(levels, origin, np.maximum(first, stop - _SPEECH - 10), inner)
    noise = _quietest(levels, origin, stop, np.minimum(highest, stop + _NOISE + 2))
    open_end = end >= duration_ms[rec]
    clear = (speech - noise >= CLEAR_DB) & ~open_end
    low = np.maximum(first + 1, stop - END_REACH[1])
    high = np.maximum(np.minimum(stop + END_REACH[0] + 1, highest), low)
    frame = _first_quiet(levels, origin, low, high, _threshold(speech, noise), QUIET_FRAMES)
    finish = np.where(clear, frame * _FRAME_MS, np.where(open_end, end, end - END_LAG_MS))
    finish = np.minimum(finish, duration_ms[rec])
    return begin, finish


def _threshold(speech: Floats, noise: Floats) -> Floats:
    return np.maximum(noise + MARGIN_DB, speech - DEPTH_DB)


def _stored(level: Floats) -> NDArray[np.int16]:
    """The least of the envelope's numbers at or above each level (dB)."""
    near = np.round(np.clip(level, -320, 320) * 100)
    least = near + (near / 100.0 < level) - ((near - 1) / 100.0 >= level)
    return least.astype(np.int16)


def _windows(
    levels: NDArray[np.int16], origin: Ints, low: Ints, high: Ints
) -> tuple[NDArray[np.int16], Bools]:
    """Frames [low, high) of each channel as rows of one matrix, and which cells hold one."""
    across = np.arange(max(int(np.max(high - low, initial=1)), 1), dtype=np.int32)
    inside = across < (high - low)[:, None]
    inside &= across >= -low[:, None]
    if not len(levels):
        return np.full(inside.shape, -12000, np.int16), np.zeros_like(inside)
    return levels.take((low + origin)[:, None] + across, mode="clip"), inside


def _loudest(levels: NDArray[np.int16], origin: Ints, low: Ints, high: Ints) -> Floats:
    """Mean of the loudest frames of each window, -inf of an empty one."""
    cells, inside = _windows(levels, origin, low, high)
    values = np.where(inside, cells / 100.0, -np.inf)
    n = min(_LOUDEST, values.shape[1])
    top = np.partition(values, values.shape[1] - n, axis=1)[:, -n:]
    held = np.isfinite(top)
    total = np.where(held, top, 0).sum(axis=1)
    count = held.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), -np.inf)


def _quietest(levels: NDArray[np.int16], origin: Ints, low: Ints, high: Ints) -> Floats:
    """Level of the quietest 50 ms of each window; of its quietest frame where it is shorter.

    -120 dB where there is no window: nothing but the segment itself.
    """
    cells, inside = _windows(levels, origin, low, high)
    values = np.where(inside, cells / 100.0, np.inf)
    alone = values.min(axis=1)
    if values.shape[1] >= _LOUDEST:
        total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
        with np.errstate(invalid="ignore"):
            runs = (total[:, _LOUDEST:] - total[:, :-_LOUDEST]) / _LOUDEST
        runs = np.where(np.isfinite(runs), runs, np.inf).min(axis=1)
        alone = np.where(np.isfinite(runs), runs, alone)
    return np.where(np.isfinite(alone), alone, -120.0)


def _last_quiet(
    levels: NDArray[np.int16], origin: Ints, low: Ints, high: Ints, threshold: Floats, n: int
) -> Ints:
    """Frame behind the last run of ``n`` quiet frames; the first loud one where there is none."""
    cells, inside = _windows(levels, origin, low, high)
    quiet = inside & (cells < _stored(threshold)[:, None])
    runs = _runs(quiet, n)
    width = runs.shape[1]
    last = width - 1 - np.argmax(runs[:, ::-1], axis=1)
    loud = inside & ~quiet
    first_loud = np.where(loud.any(axis=1), np.argmax(loud, axis=1), 0)
    frame: Ints = low + np.where(runs.any(axis=1), last + n, first_loud)
    return frame


def _first_quiet(
    levels: NDArray[np.int16], origin: Ints, low: Ints, high: Ints, threshold: Floats, n: int
) -> Ints:
    """First frame of the first run of ``n`` quiet frames; else of those quiet up to ``high``."""
    cells, inside = _windows(levels, origin, low, high)
    quiet = inside & (cells < _stored(threshold)[:, None])
    runs = _runs(quiet, n)
    loud = inside & ~quiet
    width = loud.shape[1]
    behind_last_loud = np.where(loud.any(axis=1), width - np.argmax(loud[:, ::-1], axis=1), 0)
    frame: Ints = low + np.where(runs.any(axis=1), np.argmax(runs, axis=1), behind_last_loud)
    return frame


def _runs(quiet: Bools, n: int) -> Bools:
    """Where a run of ``n`` quiet frames begins."""
    runs = quiet.copy()
    for shift in range(1, n):
        runs[:, :-shift] &= quiet[:, shift:]
        runs[:, -shift:] = False
    return runs
