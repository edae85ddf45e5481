"""Silero's speech probabilities, over many frames and channels at once.

The network (silero-vad 6.2, 16 kHz) hears 512 new samples a frame with the 64 before them: a
short-time spectrum, four convolutions, an LSTM, a sigmoid. All but the LSTM looks at one frame
alone, so it runs here over thousands of frames a call, and the LSTM in one call over a block of
frames of up to 32 channels, its state carried from block to block. The weights are Silero's, read
from the ONNX file in its package that it made for runs of frames. (The safetensors file beside
it, in 6.2.3, holds an earlier network: its probabilities differ by up to 0.6.)

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
from flexi_score.extraction.onnx_weights import read_onnx_weights
from flexi_score.extraction.pyannote_vad import PyannoteDetector, pyannote_probabilities
from flexi_score.version import install_command

Quantised = NDArray[np.uint16]

FRAME_SAMPLES: Final = 512
FRAME_MS: Final = FRAME_SAMPLES * 1000 // SAMPLE_RATE_HZ

_CONTEXT: Final = 64
_WINDOW: Final = 256
_HOP: Final = 128
_UNITS: Final = 128
_MAX_CHANNELS: Final = 32  # along the LSTM's batch axis
_BLOCK_FRAMES: Final = 4096  # in one block, over all its channels: bounds the memory
_ENCODE_FRAMES: Final = 512  # in one call of the encoder: its activations stay in cache

_WEIGHTS: Final = "silero_vad_16k_sequence.onnx"
_INSTALL: Final = f"install the detector ({install_command('vad')})"
#: Stride of each convolution of the encoder; kernels are 3 wide, padded by 1.
_STRIDES: Final = (1, 2, 2, 1)
_SHAPES: Final = {
    "stft.forward_basis_buffer": (2 * (_WINDOW // 2 + 1), 1, _WINDOW),
    "encoder.0.weight": (128, 129, 3),
    "encoder.0.bias": (128,),
    "encoder.1.weight": (64, 128, 3),
    "encoder.1.bias": (64,),
    "encoder.2.weight": (64, 64, 3),
    "encoder.2.bias": (64,),
    "encoder.3.weight": (128, 64, 3),
    "encoder.3.bias": (128,),
    "lstm.input": (1, 4 * _UNITS, _UNITS),
    "lstm.hidden": (1, 4 * _UNITS, _UNITS),
    "lstm.bias": (1, 8 * _UNITS),
    "output.weight": (1, _UNITS, 1),
    "output.bias": (1,),
}


@dataclass(frozen=True)
class Detector:
    """Loaded weights.

    Attributes
    ----------
    version : str
        Of the package that the weights came from, as ``silero-6.2.3``.
    sha256 : str
        Of the weights file.
    weights : dict of str to torch.Tensor
    window : torch.Tensor, shape (256,)
        Hann window of the spectrum.
    """

    version: str
    sha256: str
    weights: dict[str, Any]
    window: Any


def load_detector(threads: int | None = None) -> Detector:
    """Silero's weights, from the installed silero-vad package.

    Parameters
    ----------
    threads : int, optional
        CPU threads of torch in this process; None leaves torch's own choice.

    Raises
    ------
    PrerequisiteError
        If torch, safetensors or silero-vad is missing, or the weights are of another network.
    """
    path = weights_path()
    try:
        import torch
    except ImportError as error:
        raise PrerequisiteError(f"speech detection needs {error.name}: {_INSTALL}") from error
    if threads is not None:
        torch.set_num_threads(threads)
    arrays = _read_weights(path)
    return Detector(
        version=f"silero-{importlib.metadata.version('silero-vad')}",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        weights={name: torch.from_numpy(array) for name, array in arrays.items()},
        window=torch.hann_window(_WINDOW),
    )


def weights_path() -> Path:
    """The weights file of the installed silero-vad package, found without importing it.

    Raises
    ------
    PrerequisiteError
        If the package or the file is missing.
    """
    spec = importlib.util.find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise PrerequisiteError(f"speech detection needs silero-vad: {_INSTALL}")
    path = Path(spec.submodule_search_locations[0]) / "data" / _WEIGHTS
    if not path.is_file():
        raise PrerequisiteError(
            f"{path}: no such file; expected the weights of silero-vad 6.2.3 or later: {_INSTALL}"
        )
    return path


def speech_probabilities(
    detector: Detector | PyannoteDetector, signals: Sequence[Signal], gains_db: Sequence[float]
) -> list[Quantised]:
    """Probability of speech in every frame of every channel.

    Channels of like length share their LSTM calls, so many at once are faster than one by one;
    the result for a channel does not depend on its company beyond rounding.

    Parameters
    ----------
    detector : Detector or PyannoteDetector
        From :func:`load_detector`, or from
        :func:`~flexi_score.extraction.pyannote_vad.load_pyannote_detector`.
    signals : sequence of Signal
        One a channel.
    gains_db : sequence of float
        Gain for each before detection (:func:`flexi_score.audio.levels.gain_db`).

    Returns
    -------
    list of ndarray of uint16
        In the order of `signals`, shape (ceil(n_samples / 512),) each; p = q / 65535.
    """
    if not isinstance(detector, Detector):
        return pyannote_probabilities(detector, signals, gains_db)
    import torch

    results = [np.empty(-(-s.n_samples // FRAME_SAMPLES), np.uint16) for s in signals]
    # Longest first: channels that have ended are then the tail of the batch, and drop out.
    order = sorted(range(len(signals)), key=lambda i: -len(results[i]))
    with torch.inference_mode():
        for first in range(0, len(order), _MAX_CHANNELS):
            group = [i for i in order[first : first + _MAX_CHANNELS] if len(results[i])]
            if group:
                _run_group(
                    detector,
                    [signals[i] for i in group],
                    [float(gains_db[i]) for i in group],
                    [results[i] for i in group],
                )
    return results


def _run_group(
    detector: Detector, signals: list[Signal], gains: list[float], results: list[Quantised]
) -> None:
    """Fill `results` for channels sorted from long to short."""
    import torch

    lengths = np.array([len(r) for r in results])
    factors = torch.tensor([10.0 ** (gain / 20) for gain in gains], dtype=torch.float32)
    hidden = torch.zeros(1, len(signals), _UNITS)
    cell = torch.zeros(1, len(signals), _UNITS)
    at = 0
    while at < lengths[0]:
        n = int(np.count_nonzero(lengths > at))
        frames = int(min(max(_BLOCK_FRAMES // n, 1), lengths[0] - at))
        samples = torch.from_numpy(_gather(signals[:n], at, frames)) * factors[:n, None]
        # (channels, frames, 64 + 512): each frame with the end of the one before it
        framed = samples.unfold(1, _CONTEXT + FRAME_SAMPLES, FRAME_SAMPLES)
        encoded = _encode(detector, framed.reshape(n * frames, -1)).view(n, frames, _UNITS)
        # Contiguous copies: the state must not share memory with the larger batch before it.
        state = (hidden[:, :n].contiguous(), cell[:, :n].contiguous())
        probabilities, (hidden, cell) = _decode(detector, encoded, state)
        quantised = np.rint(probabilities.numpy() * 65535.0).astype(np.uint16)
        for k in range(n):
            results[k][at : at + frames] = quantised[k, : lengths[k] - at]
        at += frames


def _gather(signals: list[Signal], first_frame: int, frames: int) -> NDArray[np.float32]:
    """Samples of some frames with the 64 before them, zeros outside, (channels, 64 + 512 n)."""
    start = first_frame * FRAME_SAMPLES - _CONTEXT
    out = np.zeros((len(signals), _CONTEXT + frames * FRAME_SAMPLES), np.float32)
    for row, signal in zip(out, signals, strict=True):
        found = signal.read(start, start + len(row))
        skip = max(0, -start)
        row[skip : skip + len(found)] = found
    return out


def _encode(detector: Detector, framed: Any) -> Any:
    """Features of frames, (n, 576) to (n, 128)."""
    import torch
    from torch.nn import functional

    weights = detector.weights
    parts = []
    for frames in framed.split(_ENCODE_FRAMES):
        padded = functional.pad(frames, (0, _WINDOW // 4), mode="reflect")
        windows = padded.unfold(1, _WINDOW, _HOP) * detector.window
        x = torch.fft.rfft(windows).abs().transpose(1, 2)
        for i, stride in enumerate(_STRIDES):
            kernel, bias = weights[f"encoder.{i}.weight"], weights[f"encoder.{i}.bias"]
            x = functional.conv1d(x, kernel, bias, stride=stride, padding=1).relu_()
        parts.append(x.squeeze(-1))
    return torch.cat(parts)


def _decode(detector: Detector, encoded: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
    """Probabilities of (channels, frames, 128) features, and the LSTM's state after them."""
    import torch

    weights = detector.weights
    cell = [weights[f"lstm.{n}"] for n in ("input", "hidden", "input_bias", "hidden_bias")]
    out, hidden, memory = torch.lstm(
        encoded.transpose(0, 1), state, cell, True, 1, 0.0, False, False, False
    )
    logits = out.relu() @ weights["output.weight"][0, :, 0] + weights["output.bias"]
    return logits.sigmoid().T, (hidden, memory)


def _read_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """The network's arrays, checked, with the LSTM's gates in torch's order."""
    try:
        onnx = read_onnx_weights(path)
    except ValueError as error:
        raise PrerequisiteError(f"{error}: {_INSTALL}") from error
    found = dict(onnx.tensors)
    for operator, inputs in onnx.nodes:
        if operator == "LSTM":
            for name, given in zip(("input", "hidden", "bias"), inputs[1:4], strict=True):
                if given in found:
                    found[f"lstm.{name}"] = found.pop(given)
    wrong = [n for n, shape in _SHAPES.items() if n not in found or found[n].shape != shape]
    if not wrong and not _is_fourier(found["stft.forward_basis_buffer"]):
        wrong = ["stft.forward_basis_buffer"]
    if wrong:
        raise PrerequisiteError(
            f"{path}: weights of another network ({', '.join(wrong)}); expected those of "
            "silero-vad 6.2.3: pip install silero-vad==6.2.3"
        )
    # ONNX has the gates as input, output, forget, cell; torch as input, forget, cell, output.
    for name in ("input", "hidden"):
        i, o, f, c = found[f"lstm.{name}"][0].reshape(4, _UNITS, _UNITS)
        found[f"lstm.{name}"] = np.concatenate([i, f, c, o])
    gates = found.pop("lstm.bias").reshape(2, 4, _UNITS)[:, (0, 2, 3, 1)]
    found["lstm.input_bias"], found["lstm.hidden_bias"] = gates.reshape(2, -1).copy()
    return found


def _is_fourier(stft: NDArray[np.float32]) -> bool:
    """Whether the spectrum's kernels are a Hann-windowed Fourier basis, to rounding.

    They are in silero-vad 6.2; an FFT then stands in for that convolution, at a fifth of its cost.
    """
    time = np.arange(_WINDOW)
    phase = 2 * np.pi * np.outer(np.arange(_WINDOW // 2 + 1), time) / _WINDOW
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / _WINDOW)
    basis = np.concatenate([np.cos(phase), -np.sin(phase)]) * hann
    return bool(np.abs(stft[:, 0] - basis).max() < 1e-5)
