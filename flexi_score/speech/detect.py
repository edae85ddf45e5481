"""From archived frames to speech intervals: one function for scoring and extraction."""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.archive.tables import ENVELOPE_MS, FRAME_MS
from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import Floats, Intervals
from flexi_score.speech.bleed import remove_leaks
from flexi_score.speech.frames import Frames
from flexi_score.speech.hysteresis import speech_segments
from flexi_score.speech.outline import outline_speech

#: Version of the way from frames to intervals. Raise it with every change that moves an interval:
#: archived intervals of another version are not used.
BOUNDARIES_VERSION: Final = 1


def detect_speech(channels: pl.DataFrame, settings: SpeechSettings) -> tuple[Intervals, Floats]:
    """Speech intervals of channels.

    Parameters
    ----------
    channels : polars.DataFrame
        One row per channel, those of a recording side by side: ``rec`` (recording), ``speaker``,
        ``offset_ms`` (where the channel starts in the recording), ``duration_ms``,
        ``probabilities``, ``envelope_cdb``, ``noise_dbfs``: without the crosstalk, where there is
        some and ``settings.bleed`` takes it off. Where it does, also ``raw_cdb`` (the envelope
        before), ``crosstalk_cdb`` and ``depth_db``; otherwise these are null.
    settings : SpeechSettings

    Returns
    -------
    intervals : Intervals
        Disjoint and sorted; ``rec`` is the row of ``channels``, times are the channel's own.
    doubt : ndarray of float64, shape (len(channels),)
        Share of the channel's speech that its crosstalk leaves in doubt; NaN where there is none.
    """
    lengths = channels["duration_ms"].to_numpy().astype(np.int64)
    probabilities = Frames.from_lists(channels["probabilities"], FRAME_MS)
    found = speech_segments(probabilities.values, probabilities.offsets, lengths, settings)
    doubt = np.full(len(channels), np.nan)
    if settings.bleed:
        found, channels = remove_leaks(channels, found, settings)
        doubt = channels["leak_doubt"].fill_null(float("nan")).to_numpy()
    envelope = Frames.from_lists(channels["envelope_cdb"], ENVELOPE_MS)
    intervals = outline_speech(
        found,
        probabilities.values,
        probabilities.offsets,
        envelope.values,
        envelope.offsets,
        lengths,
        channels["noise_dbfs"].to_numpy(),
        settings,
    )
    return intervals, doubt
