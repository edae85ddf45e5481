"""Level and health of one channel, measured in a single pass.

Conventions
-----------
dBFS is mean power against a constant signal at full scale: a full-scale sine is at -3.01 dBFS.
Energies are measured after a first-order high-pass at 60 Hz, which removes DC and rumble.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy  # its modules are loaded when they are first used: that takes a second
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.signal import Signal
from flexi_score.config import ExtractSettings

FRAME_MS: Final = 10
FLOOR_DB: Final = -120.0
#: The loudest half second stands for the level of speech.
ACTIVE_FRAMES: Final = 50
MIN_GAIN_DB: Final = -40.0
MAX_GAIN_DB: Final = 60.0
#: Level of the loudest half second before recognition (EBU R 128), and the lowest that is speech.
TARGET_DBFS: Final = -23.0
SILENCE_DBFS: Final = -75.0

_FRAME: Final = SAMPLE_RATE_HZ * FRAME_MS // 1000
_BLOCK: Final = _FRAME * 3000
_HIGH_PASS_HZ: Final = 60.0


@dataclass(frozen=True)
class ChannelLevels:
    """What one channel sounds like, before any gain."""

    #: of int16, shape (ceil(n_samples / 160),): energy of each 10 ms in hundredths of a dBFS, not
    #: below -12000. The last frame is averaged over the samples it has
    envelope_cdb: NDArray[np.int16]
    #: largest absolute sample of the plain signal, in dB re full scale; at least -120
    peak_dbfs: float
    #: mean power of the loudest 50 frames (0.5 s; all of them where there are fewer)
    active_dbfs: float
    #: zero_share, clipped_share: share of samples that are exactly 0, and at full scale, counted
    #: before resampling
    zero_share: float
    clipped_share: float
    #: all samples are equal: nothing was captured. A fault of the recording, not a silence
    is_dead: bool

    @property
    def silent_frames(self) -> float:
        """Share of the 10 ms frames that are digital silence."""
        return (
            float((self.envelope_cdb <= FLOOR_DB * 100).mean()) if len(self.envelope_cdb) else 1.0
        )


def measure_levels(signal: Signal) -> ChannelLevels:
    """Levels of a signal, in one streaming pass."""
    # One pole and a zero at DC; settled on the first sample so that an offset does not ring.
    b, a = scipy.signal.butter(1, _HIGH_PASS_HZ, "highpass", fs=SAMPLE_RATE_HZ)
    state = None
    peak = 0.0
    powers = []
    for block in signal.blocks(_BLOCK):
        if state is None:
            state = scipy.signal.lfilter_zi(b, a) * float(block[0])
        peak = max(peak, float(np.abs(block).max()))
        high, state = scipy.signal.lfilter(b, a, block.astype(np.float64), zi=state)
        np.square(high, out=high)
        whole = len(high) // _FRAME * _FRAME
        powers.append(high[:whole].reshape(-1, _FRAME).mean(axis=1))
        if whole < len(high):
            powers.append(high[whole:].mean(keepdims=True))
    power = np.concatenate(powers) if powers else np.empty(0)
    k = min(ACTIVE_FRAMES, len(power))
    active = float(np.partition(power, len(power) - k)[len(power) - k :].mean()) if k else 0.0
    counts = signal.counts
    n = max(counts.n, 1)
    return ChannelLevels(
        envelope_cdb=_centi_db(power),
        peak_dbfs=_db(peak * peak),
        active_dbfs=_db(active),
        zero_share=counts.n_zero / n,
        clipped_share=counts.n_clipped / n,
        is_dead=counts.low >= counts.high,
    )


def gain_db(levels: ChannelLevels, settings: ExtractSettings) -> float:
    """Gain, from -40 to 60 dB, that brings a channel to :data:`TARGET_DBFS` before recognition.

    0 where normalisation is off, and for a channel whose loudest half second is below
    :data:`SILENCE_DBFS`: its noise must not be raised to the level of speech.
    """
    if not settings.normalize or levels.active_dbfs < SILENCE_DBFS or levels.is_dead:
        return 0.0
    return float(min(max(TARGET_DBFS - levels.active_dbfs, MIN_GAIN_DB), MAX_GAIN_DB))


def noise_dbfs(levels: ChannelLevels) -> float:
    """Noise floor: the tenth percentile of the frames that are not digital silence, dBFS."""
    sounding = levels.envelope_cdb[levels.envelope_cdb > FLOOR_DB * 100]
    return float(np.percentile(sounding, 10)) / 100 if len(sounding) else FLOOR_DB


def _db(power: float) -> float:
    return max(FLOOR_DB, 10.0 * math.log10(power)) if power > 0 else FLOOR_DB


def _centi_db(power: NDArray[np.float64]) -> NDArray[np.int16]:
    floor = 10.0 ** (FLOOR_DB / 10)
    centi = np.rint(1000.0 * np.log10(np.maximum(power, floor)))
    clipped: NDArray[np.int16] = np.minimum(centi, 32767).astype(np.int16)
    return clipped
