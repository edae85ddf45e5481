"""From archived frames to speech intervals: one function for scoring and extraction."""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.archive.tables import ENVELOPE_MS, FRAME_MS
from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Intervals
from flexi_score.speech.boundaries import place_boundaries
from flexi_score.speech.frames import Frames
from flexi_score.speech.hysteresis import speech_segments

#: Version of the way from frames to intervals. Raise it with every change that moves an interval:
#: archived intervals of another version are not used.
BOUNDARIES_VERSION: Final = 3  # boundaries-3


def detect_speech(channels: pl.DataFrame, settings: SpeechSettings) -> Intervals:
    """Speech intervals of channels.

    Parameters
    ----------
    channels : polars.DataFrame
        One row per channel, those of a recording side by side: ``rec`` (recording), ``speaker``,
        ``offset_ms`` (where the channel starts in the recording), ``duration_ms``,
        ``probabilities``, ``envelope_cdb``, ``noise_dbfs``: without crosstalk, where there is some
        and ``settings.crosstalk`` takes it off.
    settings : SpeechSettings

    Returns
    -------
    Intervals
        Disjoint and sorted; ``rec`` is the row of ``channels``, times are the channel's own.
    """
    lengths = channels["duration_ms"].to_numpy().astype(np.int64)
    probabilities = Frames.from_lists(channels["probabilities"], FRAME_MS)
    segments = speech_segments(probabilities.values, probabilities.offsets, lengths, settings)
    if not settings.boundaries:
        return segments
    envelope = Frames.from_lists(channels["envelope_cdb"], ENVELOPE_MS)
    return place_boundaries(segments, envelope, lengths)
