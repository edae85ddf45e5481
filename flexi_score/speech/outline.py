"""Detected segments to speech: without the background, boundaries on the energy envelope."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Floats, Intervals, Ints, make_intervals
from flexi_score.speech.background import foreground_segments
from flexi_score.speech.likely import likely_frames
from flexi_score.speech.refine import refine_segments

#: Frames of the envelope that are worked on in one go: few enough to stay near the processor.
BLOCK_FRAMES: Final = 500_000


def outline_speech(
    segments: Intervals,
    probabilities: NDArray[np.uint16],
    probability_offsets: Ints,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    duration_ms: Ints,
    noise_dbfs: Floats,
    settings: SpeechSettings,
) -> Intervals:
    """What of detected segments is speech, from where to where.

    Parameters
    ----------
    segments : Intervals
        From :func:`flexi_score.speech.hysteresis.speech_segments`; ``rec`` is the channel's number.
    probabilities : ndarray of uint16, shape (probability_offsets[-1],)
        p = q / 65535, a frame every 32 ms, channel after channel.
    probability_offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the detection frames [probability_offsets[i], probability_offsets[i + 1]).
    envelope_cdb : ndarray of int16, shape (offsets[-1],)
        Energy of every 10 ms in hundredths of a dB re full scale.
    offsets : ndarray of int64, shape (n + 1,)
        Likewise, of the envelope.
    duration_ms : ndarray of int64, shape (n,)
    noise_dbfs : ndarray of float64, shape (n,)
        Noise floor of each channel.
    settings : SpeechSettings
        ``background`` and ``refine``, and what belongs to them.

    Returns
    -------
    Intervals
        Disjoint, sorted, inside their channels.
    """
    blocks = _blocks(offsets)
    if len(blocks) == 1:
        return _outline(
            segments,
            probabilities,
            probability_offsets,
            envelope_cdb,
            offsets,
            duration_ms,
            noise_dbfs,
            settings,
        )

    def outline(block: tuple[int, int]) -> Intervals:
        low, high = block
        a, b = np.searchsorted(segments.rec, block)
        frames = slice(probability_offsets[low], probability_offsets[high])
        steps = slice(offsets[low], offsets[high])
        found = _outline(
            Intervals(segments.rec[a:b] - low, segments.start_ms[a:b], segments.end_ms[a:b]),
            probabilities[frames],
            probability_offsets[low : high + 1] - frames.start,
            envelope_cdb[steps],
            offsets[low : high + 1] - steps.start,
            duration_ms[low:high],
            noise_dbfs[low:high],
            settings,
        )
        return Intervals(found.rec + low, found.start_ms, found.end_ms)

    # numpy leaves the interpreter free while it works on arrays.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = list(pool.map(outline, blocks))
    return Intervals(
        np.concatenate([part.rec for part in parts]),
        np.concatenate([part.start_ms for part in parts]),
        np.concatenate([part.end_ms for part in parts]),
    )


def _blocks(offsets: Ints) -> list[tuple[int, int]]:
    """Channels [low, high) of some ``BLOCK_FRAMES`` each; at least one block."""
    fills = np.searchsorted(offsets, np.arange(0, offsets[-1], BLOCK_FRAMES), "right") - 1
    cuts = np.unique(np.concatenate([[0], fills, [len(offsets) - 1]])).tolist()
    return list(pairwise(cuts)) or [(0, len(offsets) - 1)]


def _outline(
    segments: Intervals,
    probabilities: NDArray[np.uint16],
    probability_offsets: Ints,
    envelope_cdb: NDArray[np.int16],
    offsets: Ints,
    duration_ms: Ints,
    noise_dbfs: Floats,
    settings: SpeechSettings,
) -> Intervals:
    doubtful = np.zeros(len(duration_ms), np.bool_)
    if settings.background:
        segments, doubtful = foreground_segments(
            segments, probabilities, probability_offsets, envelope_cdb, offsets, settings
        )
    if not settings.refine:
        return segments
    # Under a background that passes for speech, neither probability nor envelope tells more.
    done = doubtful[segments.rec]
    rest, ready = segments.take(~done), segments.take(done)
    likely = likely_frames(
        probabilities, probability_offsets, envelope_cdb, offsets, noise_dbfs, settings
    )
    rest = refine_segments(rest, envelope_cdb, offsets, duration_ms, noise_dbfs, settings, likely)
    return make_intervals(
        np.concatenate([rest.rec, ready.rec]),
        np.concatenate([rest.start_ms, ready.start_ms]),
        np.concatenate([rest.end_ms, ready.end_ms]),
    )
