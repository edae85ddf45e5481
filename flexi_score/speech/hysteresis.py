"""Speech probabilities to speech segments, for all channels at once.

The rules are those of Silero's ``get_speech_timestamps`` without a longest segment: speech
starts at a frame at or above ``threshold``; a candidate end is the first frame below ``release``
since then; it stands once a later frame below ``release`` is at least ``min_silence_ms`` after
it with no frame at or above ``threshold`` between. Segments not longer than ``min_speech_ms``
are dropped, the rest padded, neighbours that would overlap meeting in the middle.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Bools, Intervals, Ints, make_intervals

FRAME_MS: Final = 32


def speech_segments(
    probabilities: NDArray[np.uint16], offsets: Ints, duration_ms: Ints, settings: SpeechSettings
) -> Intervals:
    """Speech segments of every channel by hysteresis.

    Parameters
    ----------
    probabilities : ndarray of uint16, shape (offsets[-1],)
        p = q / 65535, a frame every 32 ms, channel after channel.
    offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the frames [offsets[i], offsets[i + 1]).
    duration_ms : ndarray of int64, shape (n,)
        Length of each channel; a segment that is open there ends there.
    settings : SpeechSettings
        threshold, release, min_silence_ms, min_speech_ms and pad_ms are used.

    Returns
    -------
    Intervals
        ``rec`` is the channel's number.
    """
    offsets = np.asarray(offsets, np.int64)
    duration_ms = np.asarray(duration_ms, np.int64)
    is_high = probabilities >= math.ceil(settings.threshold * 65535)
    is_low = probabilities < math.ceil(settings.release * 65535)
    low, high = np.flatnonzero(is_low), np.flatnonzero(is_high)
    lows_before = np.concatenate([[0], np.cumsum(is_low)])
    channel = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))[high]

    # Between a high frame and the next one of its channel (or the channel's end) there is an end
    # of speech iff low frames there lie far enough apart; it is the first of them.
    is_last = np.ones(len(high), np.bool_)
    is_last[:-1] = channel[1:] != channel[:-1]
    bound = offsets[channel + 1]
    bound[:-1] = np.where(is_last[:-1], bound[:-1], high[1:])
    first = lows_before[high]
    last = lows_before[bound] - 1
    splits = first <= last
    at = np.flatnonzero(splits)
    span_ms = (low[last[at]] - low[first[at]]) * FRAME_MS
    splits[at] = span_ms >= settings.min_silence_ms

    # A segment runs from a high frame that follows a split to the next split.
    opens = np.ones(len(high), np.bool_)
    opens[1:] = splits[:-1] | is_last[:-1]
    closes = splits | is_last
    rec = channel[opens]
    start_ms = (high[opens] - offsets[rec]) * FRAME_MS
    end_ms = duration_ms[rec]
    ended = splits[closes]
    end_ms[ended] = (low[first[closes][ended]] - offsets[rec[ended]]) * FRAME_MS
    end_ms = np.minimum(end_ms, duration_ms[rec])  # a last, padded frame may begin past the end

    keep = end_ms - start_ms > settings.min_speech_ms
    rec, start_ms, end_ms = rec[keep], start_ms[keep], end_ms[keep]
    return _pad(rec, start_ms, end_ms, duration_ms, settings.pad_ms)


def _pad(rec: Ints, start_ms: Ints, end_ms: Ints, duration_ms: Ints, pad_ms: int) -> Intervals:
    same: Bools = rec[1:] == rec[:-1]
    silence = start_ms[1:] - end_ms[:-1]
    # A silence too short for two pads is shared out, so that neighbours touch.
    share = np.where(same & (silence < 2 * pad_ms), silence // 2, pad_ms)
    before = np.full(len(rec), pad_ms, np.int64)
    after = before.copy()
    before[1:], after[:-1] = share, share
    start_ms = np.maximum(start_ms - before, 0)
    end_ms = np.minimum(end_ms + after, duration_ms[rec])
    return make_intervals(rec, start_ms, end_ms)
