"""Silero's speech probabilities, a thousand frames a call.

The package silero-vad ships its network (6.2, 16 kHz) for runs of frames as well: each frame is 512
new samples with the 64 before them, the state of its LSTM goes from call to call. The probabilities
are those of its own chunk-by-chunk API to 2e-6, at several times the speed.

Conventions
-----------
Frame i covers samples [512 i, 512 i + 512); the last one is padded with zeros. Probabilities
are kept as uint16, p = q / 65535.
"""

import hashlib
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.signal import Signal
from flexi_score.errors import PrerequisiteError
from flexi_score.extraction.pyannote_vad import PyannoteDetector, pyannote_probabilities
from flexi_score.version import install_command

Quantised = NDArray[np.uint16]

FRAME_SAMPLES: Final = 512
FRAME_MS: Final = FRAME_SAMPLES * 1000 // SAMPLE_RATE_HZ

_CONTEXT: Final = 64
_UNITS: Final = 128
_BLOCK_FRAMES: Final = 1024  # in one call: bounds the memory
_WEIGHTS: Final = "silero_vad_16k_sequence.onnx"


@dataclass(frozen=True)
class Detector:
    """A loaded network."""

    version: str  # of the package that the weights came from, as ``silero-6.2.3``
    sha256: str  # of the weights file
    session: Any


def load_detector(threads: int | None = None) -> Detector:
    """Silero's network, from the installed silero-vad package."""
    path = weights_path()
    try:
        import onnxruntime
    except ImportError as error:
        raise PrerequisiteError(f"speech detection needs onnxruntime: {_install()}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    try:
        weights = path.read_bytes()
        session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        shapes = [tuple(node.shape[1:]) for node in session.get_inputs()]
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise PrerequisiteError(f"{path}: cannot be loaded ({error}): {_install()}") from error
    if shapes != [(_CONTEXT + FRAME_SAMPLES,), (1, _UNITS), (1, _UNITS)]:
        raise PrerequisiteError(
            f"{path}: weights of another network (inputs {shapes}); expected those of silero-vad "
            "6.2.3: pip install silero-vad==6.2.3"
        )
    return Detector(
        version=f"silero-{importlib.metadata.version('silero-vad')}",
        sha256=hashlib.sha256(weights).hexdigest(),
        session=session,
    )


def weights_path() -> Path:
    """The weights file of the installed silero-vad package, found without importing it."""
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError(f"speech detection needs silero-vad: {_install()}")
    path = Path(spec.submodule_search_locations[0]) / "data" / _WEIGHTS
    if not path.is_file():
        raise PrerequisiteError(
            f"{path}: no such file; expected the weights of silero-vad 6.2.3 or later: {_install()}"
        )
    return path


def speech_probabilities(
    detector: Detector | PyannoteDetector,
    signals: Sequence[Signal],
    gains_db: Sequence[float],
    limits: Sequence[float | None] | None = None,
) -> list[Quantised]:
    """Probability of speech in every frame of every channel, p = q / 65535.

    ``gains_db``: applied before detection. ``limits``: largest sample after the gain; None for
    none. Returns one array per channel, shape (ceil(n_samples / 512),).
    """
    if not isinstance(detector, Detector):
        return pyannote_probabilities(detector, signals, gains_db)
    given = [None] * len(signals) if limits is None else limits
    return [
        _channel(detector, signal, gain, limit)
        for signal, gain, limit in zip(signals, gains_db, given, strict=True)
    ]


def _channel(detector: Detector, signal: Signal, gain_db: float, limit: float | None) -> Quantised:
    """Probabilities of one channel, block by block."""
    n = -(-signal.n_samples // FRAME_SAMPLES)
    result = np.empty(n, np.uint16)
    names = [node.name for node in detector.session.get_inputs()]
    hidden = cell = np.zeros((1, 1, _UNITS), np.float32)
    factor = np.float32(10.0 ** (gain_db / 20))
    for first in range(0, n, _BLOCK_FRAMES):
        frames = min(_BLOCK_FRAMES, n - first)
        samples = _samples(signal, first, frames) * factor
        if limit is not None:
            np.clip(samples, -limit, limit, out=samples)
        framed = np.lib.stride_tricks.sliding_window_view(samples, _CONTEXT + FRAME_SAMPLES)
        inputs = (np.ascontiguousarray(framed[::FRAME_SAMPLES]), hidden, cell)
        outputs, hidden, cell = detector.session.run(None, dict(zip(names, inputs, strict=True)))
        result[first : first + frames] = np.rint(outputs.reshape(-1) * 65535.0)
    return result


def _samples(signal: Signal, first_frame: int, frames: int) -> NDArray[np.float32]:
    """Samples of some frames with the 64 before them, zeros outside; shape (64 + 512 n,)."""
    start = first_frame * FRAME_SAMPLES - _CONTEXT
    out = np.zeros(_CONTEXT + frames * FRAME_SAMPLES, np.float32)
    samples = signal.read(start, start + len(out))
    skip = max(0, -start)
    out[skip : skip + len(samples)] = samples
    return out


def _install() -> str:
    return f"install the detector ({install_command('vad')})"
