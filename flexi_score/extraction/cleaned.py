"""Channels freed of what leaks in from the other, as the archive keeps them."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.levels import gain_db, measure_levels, noise_dbfs
from flexi_score.audio.signal import Signal
from flexi_score.config import ExtractSettings, SpeechSettings
from flexi_score.schema import SPEAKERS, Speaker
from flexi_score.segment.tracks import Intervals
from flexi_score.speech.bleed import explained_frames, own_segments
from flexi_score.speech.crosstalk import Leak, find_leaks, remove_leak

OTHER: Mapping[Speaker, Speaker] = {"user": "model", "model": "user"}


@dataclass(frozen=True)
class Cleaned:
    """One channel without its leak.

    Attributes
    ----------
    signal : Signal
        Belongs to the stack given to :func:`clean_channels`.
    probabilities : ndarray of uint16
        Speech probability of every 32 ms.
    gain_db : float
        Gain before detection.
    envelope_cdb, leak_cdb : ndarray of int16
        Energy every 10 ms of the signal and of what was taken off it.
    depth_db : float
        How far subtraction brought the leak down.
    """

    signal: Signal
    probabilities: NDArray[np.uint16]
    gain_db: float
    envelope_cdb: NDArray[np.int16]
    leak_cdb: NDArray[np.int16]
    depth_db: float


def clean_channels(
    signals: Mapping[Speaker, Signal],
    keys: Mapping[Speaker, str],
    offsets_ms: Mapping[Speaker, int],
    detector: Any,
    settings: ExtractSettings,
    opened: ExitStack,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[Speaker, Cleaned]]:
    """Find leaks, subtract them, and detect speech in what is left.

    Parameters
    ----------
    signals, keys : mapping
        Of both channels: samples, and the keys of their rows in the table ``crosstalk``.
    offsets_ms : mapping
        When each channel starts in the recording.
    detector : Detector
    settings : ExtractSettings
    opened : ExitStack
        Closes the cleaned signals.

    Returns
    -------
    rows : list of dict
        :data:`flexi_score.archive.tables.CROSSTALK`, one for each channel.
    frames : list of dict
        :data:`flexi_score.archive.tables.FRAMES`, one for each channel; without lists where
        nothing leaks in.
    cleaned : dict
        The channels that something leaks into.
    """
    from flexi_score.extraction.probabilities import speech_probabilities

    model_at = (offsets_ms["model"] - offsets_ms["user"]) * SAMPLE_RATE_HZ // 1000
    starts: dict[Speaker, int] = {"user": model_at, "model": -model_at}
    found = find_leaks(signals["user"], signals["model"], model_at)
    leaks: dict[Speaker, Leak | None] = dict(zip(SPEAKERS, found, strict=True))
    rows: list[dict[str, Any]] = []
    frames: list[dict[str, Any]] = []
    cleaned: dict[Speaker, Cleaned] = {}
    for s in SPEAKERS:
        leak, other = leaks[s], OTHER[s]
        row: dict[str, Any] = {"key": keys[s]}
        rows.append(row)
        if leak is None:
            frames.append({"key": keys[s]})
            continue
        signal, leak_cdb = remove_leak(
            signals[s], signals[other], leak, leaks[other], source_at=starts[s]
        )
        opened.enter_context(signal)
        levels = measure_levels(signal)
        gain = gain_db(levels, settings)
        (probabilities,) = speech_probabilities(detector, [signal], [gain])
        cleaned[s] = Cleaned(
            signal, probabilities, gain, levels.envelope_cdb, leak_cdb, leak.depth_db
        )
        row |= {
            "level_db": leak.level_db,
            "lag_ms": leak.lag_ms,
            "depth_db": leak.depth_db,
            "noise_dbfs": noise_dbfs(levels),
        }
        frames.append(
            {
                "key": keys[s],
                "probabilities": pl.Series(probabilities),
                "envelope_cdb": pl.Series(levels.envelope_cdb),
                "crosstalk_cdb": pl.Series(leak_cdb),
            }
        )
    return rows, frames, cleaned


def own_speech(segments: Intervals, cleaned: Cleaned) -> Intervals:
    """Segments of one cleaned channel without what the rest of the leak explains."""
    offsets = np.array([0, len(cleaned.envelope_cdb)], np.int64)
    settings = SpeechSettings()
    explained = explained_frames(
        cleaned.envelope_cdb,
        cleaned.leak_cdb,
        offsets,
        np.array([cleaned.depth_db]),
        settings.bleed_margin_db,
    )
    length_ms = np.array([cleaned.signal.duration_ms], np.int64)
    return own_segments(segments, explained, offsets, length_ms, settings)
