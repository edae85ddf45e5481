"""Where speech is likely enough for loudness to be believed, for all channels at once.

The envelope shows where speech begins and ends as long as nothing else is loud. Where much is
loud that the detector is sure is no speech (a telephone that rings, a street), a boundary stays
near where the probability of speech rises and falls.

Conventions
-----------
Frame k of a channel's envelope covers [10 k, 10 k + 10) ms, frame k of its probabilities
[32 k, 32 k + 32) ms.
"""

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.speech.hysteresis import FRAME_MS as DETECTION_MS

FRAME_MS: Final = 10


def likely_frames(
    probabilities: NDArray[np.uint16],
    probability_offsets: Ints,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    noise_dbfs: Floats,
    settings: SpeechSettings,
) -> Bools:
    """Frames of the envelope in which what is loud may be speech.

    Parameters
    ----------
    probabilities : ndarray of uint16, shape (probability_offsets[-1],)
        p = q / 65535, channel after channel.
    probability_offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the detection frames [probability_offsets[i], probability_offsets[i + 1]).
    envelope_cdb : ndarray of int16, shape (offsets[-1],)
        Hundredths of a dB re full scale.
    offsets : ndarray of int64, shape (n + 1,)
        Likewise, of the envelope.
    noise_dbfs : ndarray of float64, shape (n,)
        Noise floor of each channel.
    settings : SpeechSettings
        refine_margin_db, refine_depth_db, refine_reach_ms and those named ``refine_busy_``.

    Returns
    -------
    ndarray of bool, shape (offsets[-1],)
        All true in channels that are not busy: in which less than ``refine_busy_share`` of the
        frames far from all speech is loud.
    """
    size = np.diff(offsets)
    runs = _high_runs(probabilities, probability_offsets, settings.refine_busy_probability)
    reach = settings.refine_reach_ms
    far = ~_within(*runs, reach, reach, offsets)
    held = np.flatnonzero(size)
    peak = np.zeros(len(size))
    if len(held):
        peak[held] = np.maximum.reduceat(envelope_cdb, offsets[held])
    loud = np.maximum(
        (noise_dbfs + settings.refine_margin_db) * 100, peak - settings.refine_depth_db * 100
    )
    loud = np.clip(np.ceil(loud), -32768, 32767).astype(np.int16)
    noisy = far & (envelope_cdb >= np.repeat(loud, size))
    busy = _count(noisy, offsets) >= np.maximum(
        settings.refine_busy_share * _count(far, offsets), 1
    )
    if not busy.any():
        return np.ones(len(envelope_cdb), np.bool_)
    near = _within(*runs, settings.refine_busy_lead_ms, settings.refine_busy_lag_ms, offsets)
    likely: Bools = near | ~np.repeat(busy, size)
    return likely


def _high_runs(
    probabilities: NDArray[np.uint16], offsets: Ints, threshold: float
) -> tuple[Ints, Ints, Ints]:
    """Channel, start and end (ms) of runs of detection frames at or above a probability."""
    high = probabilities >= math.ceil(threshold * 65535)
    rises, falls = high.copy(), high.copy()
    rises[1:] &= ~high[:-1]
    falls[:-1] &= ~high[1:]
    # A run ends where its channel does.
    first = offsets[:-1][np.diff(offsets) > 0]
    rises[first] = high[first]
    falls[first[1:] - 1] = high[first[1:] - 1]
    low, last = np.flatnonzero(rises), np.flatnonzero(falls)
    channel = np.searchsorted(offsets, low, side="right") - 1
    zero = offsets[channel]
    return channel, (low - zero) * DETECTION_MS, (last + 1 - zero) * DETECTION_MS


def _within(
    channel: Ints, start_ms: Ints, end_ms: Ints, lead_ms: int, lag_ms: int, offsets: Ints
) -> Bools:
    """Frames of the envelope that touch an interval made longer at both sides."""
    size = np.diff(offsets)[channel]
    first = np.clip((start_ms - lead_ms) // FRAME_MS, 0, size) + offsets[channel]
    stop = np.clip(-(-(end_ms + lag_ms) // FRAME_MS), 0, size) + offsets[channel]
    n = int(offsets[-1])
    change = np.bincount(first, minlength=n + 1) - np.bincount(stop, minlength=n + 1)
    return np.asarray(np.cumsum(change[:n], dtype=np.int32) > 0)


def _count(mask: Bools, offsets: Ints) -> Ints:
    """How many are true in each channel."""
    total = np.concatenate([[0], np.cumsum(mask)])
    counted: Ints = np.diff(total[offsets])
    return counted
