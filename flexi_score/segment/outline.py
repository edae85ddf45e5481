"""Detected segments to speech: without the background, boundaries on the energy envelope."""

import numpy as np
from numpy.typing import NDArray

from flexi_score.config import SpeechSettings
from flexi_score.segment.background import foreground_segments
from flexi_score.segment.likely import likely_frames
from flexi_score.segment.refine import refine_segments
from flexi_score.segment.tracks import Floats, Intervals, Ints, make_intervals


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
        From :func:`flexi_score.segment.detect.speech_segments`; ``rec`` is the channel's number.
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
