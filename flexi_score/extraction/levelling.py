"""Speech probabilities at a level that suits the detector: normalised by speech.

The detector hears each channel as it is first, and that is almost always enough: how sure it is
hardly depends on level between -10 and -45 dBFS. It hears the channel once more where its speech
is quieter than that, or where something else is much louder: tones, music and clicks deafen it to
the quiet speech after them. Then the level of the speech itself, never of the loudest half second,
is brought to :data:`TARGET_DBFS`, and what is more than :data:`HEADROOM_DB` above it is clipped.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.levels import SILENCE_DBFS, ChannelLevels
from flexi_score.audio.signal import Signal
from flexi_score.config import ExtractSettings
from flexi_score.extraction.probabilities import FRAME_MS, speech_probabilities

#: Level of speech in a second pass (dBFS), and how far above it the signal may reach (dB).
TARGET_DBFS: Final = -32.0
HEADROOM_DB: Final = 12.0
#: Speech below this is quiet; a channel without any is, if its loudest half second is below it.
QUIET_DBFS: Final = -45.0
#: A loudest half second this far above the speech (dB) is something else.
LOUDER_DB: Final = 15.0

_SPEECH: Final = 32768  # p >= 0.5
_LEAST_FRAMES: Final = 10  # of 10 ms: less speech has no level
_STEP_MS: Final = 10


def levelled_probabilities(
    detector: Any,
    signals: Sequence[Signal],
    levels: Sequence[ChannelLevels],
    settings: ExtractSettings,
) -> list[tuple[NDArray[np.uint16], float]]:
    """Probabilities of every channel, and the gain (dB) before; quiet channels are raised.

    Probabilities are those of :func:`~flexi_score.extraction.probabilities.speech_probabilities`.
    """
    first = speech_probabilities(detector, signals, [0.0] * len(signals))
    levelled = [(probabilities, 0.0) for probabilities in first]
    if not settings.normalize:
        return levelled
    for i, (signal, own) in enumerate(zip(signals, levels, strict=True)):
        gain, limit = second_pass(own, first[i])
        if gain is not None:
            (again,) = speech_probabilities(detector, [signal], [gain], [limit])
            levelled[i] = again, gain
    return levelled


def second_pass(
    levels: ChannelLevels, probabilities: NDArray[np.uint16]
) -> tuple[float | None, float | None]:
    """Gain (dB) and limit (largest sample) of a second pass; None where none is needed."""
    if levels.is_dead or levels.active_dbfs < SILENCE_DBFS:
        return None, None
    speech = speech_dbfs(levels, probabilities)
    if speech is None:
        if levels.active_dbfs >= QUIET_DBFS:
            return None, None
        return TARGET_DBFS - levels.active_dbfs, None
    if speech >= QUIET_DBFS and levels.active_dbfs - speech <= LOUDER_DB:
        return None, None
    return TARGET_DBFS - speech, 10 ** ((TARGET_DBFS + HEADROOM_DB) / 20)


def speech_dbfs(levels: ChannelLevels, probabilities: NDArray[np.uint16]) -> float | None:
    """Mean power of a channel's speech (p >= 0.5) in dBFS, None for less than 0.1 s of it."""
    if not len(probabilities):
        return None
    frame = np.arange(len(levels.envelope_cdb)) * _STEP_MS // FRAME_MS
    speech = probabilities[np.minimum(frame, len(probabilities) - 1)] >= _SPEECH
    if np.count_nonzero(speech) < _LEAST_FRAMES:
        return None
    power = 10.0 ** (levels.envelope_cdb[speech] / 1000.0)
    return float(10 * np.log10(max(power.mean(), 1e-12)))
