"""pyannote's segmentation network as a speech detector, in place of Silero's.

It tells speakers apart before it says that anybody talks, so it keeps to speech where there is
music or noise, at about a tenth of Silero's speed. The network hears windows of 10 s that overlap
by half; where two windows disagree, the one whose middle is nearer counts more.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.signal import Signal
from flexi_score.extraction.pyannet import (
    SEGMENTATION,
    WINDOW,
    Segmenter,
    average,
    load_segmenter,
    slide,
    to_grid,
)

Quantised = NDArray[np.uint16]

#: Samples in a frame of the archive, which is Silero's.
FRAME_SAMPLES: Final = 512

#: Bumped when the same weights would give other probabilities.
_VERSION: Final = 1
_HOP: Final = 296  # frames from window to window: 5 s


@dataclass(frozen=True)
class PyannoteDetector:
    """A loaded detector, with the attributes of Silero's that extraction uses."""

    version: str  # for people, as ``pyannote-segmentation-3.0``
    sha256: str  # of the weights and of the way in which they are used
    segmenter: Segmenter


def load_pyannote_detector(threads: int | None = None) -> PyannoteDetector:
    """The segmentation network as a detector; PrerequisiteError where it is missing."""
    segmenter = load_segmenter("--vad pyannote", threads)
    shape = repr([_VERSION, _HOP, WINDOW, segmenter.sha256])
    return PyannoteDetector(SEGMENTATION, hashlib.sha256(shape.encode()).hexdigest(), segmenter)


def pyannote_probabilities(
    detector: PyannoteDetector, signals: Sequence[Signal], gains_db: Sequence[float]
) -> list[Quantised]:
    """As :func:`flexi_score.extraction.probabilities.speech_probabilities`.

    The network's frames (17 ms) are read off at the middle of each frame of the archive.
    """
    return [
        _probabilities(detector.segmenter, signal, float(gain))
        for signal, gain in zip(signals, gains_db, strict=True)
    ]


def _probabilities(segmenter: Segmenter, signal: Signal, gain_db: float) -> Quantised:
    if not signal.n_samples:
        return np.empty(0, np.uint16)
    speech = ((first, values[:, :1]) for first, values in slide(segmenter, signal, gain_db, _HOP))
    track = average(speech, signal.n_samples)[:, 0]
    cells = to_grid(track, signal.n_samples, FRAME_SAMPLES)
    return np.rint(np.clip(cells, 0, 1) * 65535).astype(np.uint16)
