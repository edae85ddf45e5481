"""Channels without crosstalk, as the archive keeps them."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.levels import ChannelLevels, measure_levels, noise_dbfs
from flexi_score.audio.signal import Signal
from flexi_score.config import ExtractSettings
from flexi_score.schema import SPEAKERS, Row, Speaker
from flexi_score.speech.crosstalk import CROSSTALK_VERSION, find_lags, separate

#: Frames of the detector (32 ms) in one of separation (64 ms).
_FRAMES: Final = 2


@dataclass(frozen=True)
class Cleaned:
    """One channel without crosstalk."""

    signal: Signal  # belongs to the stack given to :func:`clean_channels`
    levels: ChannelLevels
    probabilities: NDArray[np.uint16]  # speech probability of every 32 ms


def clean_channels(
    signals: Mapping[Speaker, Signal],
    levels: Mapping[Speaker, ChannelLevels],
    keys: Mapping[Speaker, str],
    offsets_ms: Mapping[Speaker, int],
    detector: Any,
    settings: ExtractSettings,
    opened: ExitStack,
) -> tuple[list[Row], list[Row], dict[Speaker, Cleaned]]:
    """Find crosstalk, take it out, and detect speech in what is left.

    Returns one row per channel of the tables ``crosstalk`` and ``frames`` (null where there is
    none), and the channels with crosstalk, whose signals ``opened`` closes.
    """
    from flexi_score.extraction.levelling import levelled_probabilities

    user, model = (signals[s] for s in SPEAKERS)
    cdb = [levels[s].envelope_cdb for s in SPEAKERS]
    model_at = (offsets_ms["model"] - offsets_ms["user"]) * SAMPLE_RATE_HZ // 1000
    lags = (
        find_lags(user, model, cdb[0], cdb[1], model_at),
        find_lags(model, user, cdb[1], cdb[0], -model_at),
    )
    separated = dict(zip(SPEAKERS, separate(user, model, lags, model_at), strict=True))
    for signal in (estimate[0] for estimate in separated.values() if estimate):
        opened.enter_context(signal)
    rows: list[Row] = []
    frames: list[Row] = []
    cleaned: dict[Speaker, Cleaned] = {}
    for s in SPEAKERS:
        rows.append({"key": keys[s], "algorithm": f"crosstalk-{CROSSTALK_VERSION}"})
        frames.append({"key": keys[s]})
        if (estimate := separated[s]) is None:
            continue
        signal, crosstalk = estimate
        now = measure_levels(signal)
        ((probabilities, _),) = levelled_probabilities(detector, [signal], [now], settings)
        cleaned[s] = Cleaned(signal, now, probabilities)
        speech = np.pad(probabilities, (0, -len(probabilities) % _FRAMES)).reshape(-1, _FRAMES)
        rows[-1] |= {
            "level_db": crosstalk.level_db,
            "lag_ms": crosstalk.lag_ms,
            "depth_db": crosstalk.depth_db,
            "doubt_share": crosstalk.doubt(speech.max(axis=1) >= 32768),
            "noise_dbfs": noise_dbfs(now),
        }
        frames[-1] |= {
            "probabilities": pl.Series(probabilities),
            "envelope_cdb": pl.Series(now.envelope_cdb),
        }
    return rows, frames, cleaned
