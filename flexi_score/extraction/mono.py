"""One-channel recordings: two roles estimated from one channel, as rows of the archive.

Each role gets a channel of its own, with the energy of the recording except where only the other
role talks: there its own channel is taken to be as quiet as the noise, so that boundaries are not
moved into the other's speech. These channels are marked ``estimated``, and all that is scored on
them carries that mark.
"""

from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.audio.decode import probe
from flexi_score.audio.levels import gain_db, measure_levels
from flexi_score.audio.signal import Signal
from flexi_score.config import ExtractSettings
from flexi_score.extraction.channels import channel_row
from flexi_score.extraction.diarize import Diarizer, assign_roles, two_voices
from flexi_score.schema import SPEAKERS, Row, Speaker

Quantised = NDArray[np.uint16]
Centi = NDArray[np.int16]

_HALF: Final = 32768
_FRAME_MS: Final = 32
_ENVELOPE_MS: Final = 10


def is_mono(row: Row) -> bool:
    """Whether a recording is one file of one channel, and its row asks for no special channels."""
    if row["audio"] is None or {row["user_channel"], row["model_channel"]} != {0, 1}:
        return False
    return probe(row["audio"], row.get("raw_audio")).n_channels == 1


def mono_channels(
    signal: Signal,
    path: str,
    diarizer: Diarizer,
    settings: ExtractSettings,
    raw_audio: str | None = None,
) -> tuple[Row, dict[Speaker, Row], float]:
    """Both roles of a one-channel recording.

    Returns, without keys, the row of ``tables.CHANNELS`` of either role and each role's of
    ``tables.FRAMES``; and the gain in dB, applied before detection.
    """
    levels = measure_levels(signal)
    gain = gain_db(levels, settings)
    roles = assign_roles(two_voices(diarizer, signal, gain), settings.mono_roles)
    row = channel_row(signal, path, raw_audio, levels, gain) | {
        # The rule stands beside the models: an archive may be scored under other settings.
        "detector": f"{diarizer.version}, {settings.mono_roles}",
        "estimated": True,
    }
    frames = {}
    for speaker, other in zip(SPEAKERS, reversed(SPEAKERS), strict=True):
        envelope = role_envelope(
            levels.envelope_cdb, roles[speaker], roles[other], row["noise_dbfs"]
        )
        frames[speaker] = {
            "probabilities": pl.Series(roles[speaker]),
            "envelope_cdb": pl.Series(envelope),
        }
    return row, frames, gain


def role_envelope(
    envelope_cdb: Centi, own: Quantised, other: Quantised, noise_dbfs: float
) -> Centi:
    """The energy, but not above the noise where the other role alone talks.

    ``envelope_cdb``: every 10 ms, in hundredths of a dBFS. ``own``, ``other``: probabilities of
    speech of the roles, every 32 ms.
    """
    if not len(own):
        return envelope_cdb
    middle = np.arange(len(envelope_cdb)) * _ENVELOPE_MS + _ENVELOPE_MS // 2
    at = np.minimum(middle // _FRAME_MS, len(own) - 1)
    foreign = (other[at] >= _HALF) & (own[at] < _HALF)
    quiet = np.minimum(envelope_cdb, np.int16(round(noise_dbfs * 100)))
    return np.where(foreign, quiet, envelope_cdb).astype(np.int16)
