"""pyannote's segmentation-3.0 (PyanNet), from its checkpoint, in plain torch.

The network takes windows of up to 10 s and says for every 17 ms who of up to three *local* speakers
talks: sinc filters, two convolutions, a bidirectional LSTM, linear layers. Local speakers are
numbered anew in every window; :mod:`flexi_score.extraction.diarize` matches them across windows.

Why not pyannote.audio: it brings 50 packages more (lightning, OpenTelemetry, ...), its torchaudio
and torchcodec have to fit the installed torch or the import fails, it unpickles checkpoints, and
its pipelines need a token of the hub. Here the packaged weights run offline, and no pickled class
is built (``weights_only``). ``tests/test_pyannote.py`` compares both where pyannote.audio is
installed.

Conventions
-----------
Output frame j of a window is centred on its sample 495 + 270 j. Windows start at multiples of
270 samples, so that the frames of all windows lie on one grid.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.signal import Signal
from flexi_score.errors import PrerequisiteError
from flexi_score.extraction.weights import fetch
from flexi_score.version import install_command

Floats = NDArray[np.float32]

#: Name in ``models/weights.toml``.
SEGMENTATION: Final = "pyannote-segmentation-3.0"
#: Samples in a full window, and local speakers in one.
WINDOW: Final = 10 * SAMPLE_RATE_HZ
N_SPEAKERS: Final = 3
#: Samples from one frame to the next, and the middle of what frame 0 hears.
STEP: Final = 270
CENTRE: Final = 495

_KERNEL: Final = 251
_STRIDE: Final = 10
_FIELD: Final = 991  # samples that one frame hears
_LEAST_HZ: Final = 50.0
_BATCH: Final = 16
_SHORTEST: Final = SAMPLE_RATE_HZ

#: Which local speakers each output class stands for: none, each, each pair ("powerset").
_SETS: Final = [chosen for size in range(3) for chosen in combinations(range(N_SPEAKERS), size)]
#: Tensors by which the network is known.
_PARTS: Final = {
    "sincnet.conv1d.0.filterbank.low_hz_",
    "lstm.weight_hh_l0_reverse",
    "classifier.weight",
}
#: Classes that the checkpoint names; plain stand-ins are enough to read its numbers.
_NAMED: Final = ("Specifications", "Problem", "Resolution")


@dataclass(frozen=True)
class Segmenter:
    """A loaded segmentation network: ``sha256`` of its weights file, and its tensors."""

    sha256: str
    weights: dict[str, Any]


def load_segmenter(option: str, threads: int | None = None, path: Path | None = None) -> Segmenter:
    """The network of a checkpoint (the packaged one); messages name ``option``.

    Raises PrerequisiteError where torch or the weights are missing.
    """
    try:
        import torch
    except ImportError as error:
        raise PrerequisiteError(
            f"{option} needs {error.name}: {install_command('pyannote')}"
        ) from error
    if threads is not None:
        torch.set_num_threads(threads)
    path = path or fetch(SEGMENTATION)
    tensors = _read_checkpoint(path)
    if not set(tensors) >= _PARTS or len(tensors["classifier.weight"]) != len(_SETS):
        raise PrerequisiteError(f"{path}: weights of another network, expected {SEGMENTATION}")
    weights = {key: value.float() for key, value in tensors.items()}
    weights["sinc"] = _sinc_filters(weights)
    return Segmenter(hashlib.sha256(path.read_bytes()).hexdigest(), weights)


def segment(segmenter: Segmenter, samples: object) -> Any:
    """Probabilities of windows (b, n): of any speech, then of each local speaker, on axis 2."""
    return _probabilities(_run(segmenter.weights, samples))


def windows(n_samples: int, hop_frames: int) -> list[tuple[int, int]]:
    """First frame and length in samples of each window; the last one ends with the signal."""
    if n_samples <= WINDOW:
        return [(0, max(n_samples, _SHORTEST))]
    last = -(-(n_samples - WINDOW) // STEP)
    starts = [*range(0, last, hop_frames), last]
    return [(start, WINDOW) for start in starts]


def slide(
    segmenter: Segmenter, signal: Signal, gain_db: float, hop_frames: int
) -> Iterator[tuple[int, Floats]]:
    """Run the network over a signal, window by window; a long one is never whole in memory.

    Yields the window's first frame on the common grid, and what :func:`segment` says of it.
    """
    import torch

    factor = np.float32(10.0 ** (gain_db / 20))
    todo = windows(signal.n_samples, hop_frames)
    for at in range(0, len(todo), _BATCH):
        group = todo[at : at + _BATCH]
        batch = np.zeros((len(group), group[0][1]), np.float32)
        for row, (first, length) in zip(batch, group, strict=True):
            samples = signal.read(first * STEP, first * STEP + length)
            row[: len(samples)] = samples * factor
        with torch.inference_mode():
            result = segment(segmenter, torch.from_numpy(batch)).numpy()
        for (first, _), probabilities in zip(group, result, strict=True):
            yield first, probabilities


def average(parts: Iterator[tuple[int, Floats]], n_samples: int) -> Floats:
    """One track (frames, k) from overlapping windows, whose middles are trusted most."""
    total: Floats | None = None
    weight: Floats = np.zeros(max(n_samples, _SHORTEST) // STEP + 2, np.float32)
    for first, values in parts:
        if total is None:
            total = np.zeros((len(weight), values.shape[1]), np.float32)
        taper = trust(len(values))
        stop = min(first + len(values), len(weight))
        total[first:stop] += (values * taper[:, None])[: stop - first]
        weight[first:stop] += taper[: stop - first]
    assert total is not None
    used = max(int(np.count_nonzero(weight)), 1)
    mean: Floats = (total[:used] / np.maximum(weight[:used], 1e-9)[:, None]).astype(np.float32)
    return mean


def trust(frames: int) -> Floats:
    """Weights of a window's frames, lower towards its ends, where there is less to go by."""
    ramp = np.sin(np.pi * (np.arange(frames) + 0.5) / max(frames, 1)) ** 2
    weights: Floats = (0.02 + ramp).astype(np.float32)
    return weights


def to_grid(track: Floats, n_samples: int, cell: int) -> Floats:
    """Values at the middle of each cell of so many samples, shape (ceil(n_samples / cell),)."""
    at = np.arange(-(-n_samples // cell)) * cell + cell / 2
    cells: Floats = np.interp(at, CENTRE + STEP * np.arange(len(track)), track).astype(np.float32)
    return cells


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """The tensors of a checkpoint, none where it has no state."""
    import torch

    stand_ins: list[Any] = [
        (type(name, (_StandIn,), {}), f"pyannote.audio.core.task.{name}") for name in _NAMED
    ]
    try:
        with torch.serialization.safe_globals([*stand_ins, torch.torch_version.TorchVersion]):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises for a file that is none, or is not safe
        cause = " ".join(str(error).split())[:200]
        raise PrerequisiteError(
            f"{path}: cannot be read as a checkpoint of pyannote ({type(error).__name__}: "
            f"{cause}); expected its pytorch_model.bin"
        ) from error
    state = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
    return state if isinstance(state, dict) else {}


class _StandIn:
    """What a checkpoint's own class is read as: its arguments and attributes, nothing more."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments


def _probabilities(scores: Any) -> Any:
    """Of any speech and of each speaker, from the classifier's scores."""
    import torch

    odds = scores.softmax(2)
    each = [
        odds[..., [i for i, chosen in enumerate(_SETS) if k in chosen]].sum(2)
        for k in range(N_SPEAKERS)
    ]
    return torch.stack([1 - odds[..., 0], *each], 2)


def _run(weights: dict[str, Any], samples: Any) -> Any:
    """The classifier's scores, tensor (b, frames, classes), of windows (b, samples)."""
    import torch
    from torch.nn import functional

    def normed(x: object, name: str) -> Any:
        return functional.instance_norm(
            x, weight=weights[f"{name}.weight"], bias=weights[f"{name}.bias"]
        )

    x = normed(samples[:, None], "sincnet.wav_norm1d")
    for i in range(3):
        if i == 0:
            x = functional.conv1d(x, weights["sinc"], stride=_STRIDE).abs()
        else:
            name = f"sincnet.conv1d.{i}"
            x = functional.conv1d(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        x = functional.leaky_relu(normed(functional.max_pool1d(x, 3), f"sincnet.norm1d.{i}"))
    x = x.transpose(1, 2)

    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    layers = sum(key.startswith("lstm.weight_ih") for key in weights) // 2
    cells = [
        weights[f"lstm.{kind}_l{layer}{side}"]
        for layer in range(layers)
        for side in ("", "_reverse")
        for kind in kinds
    ]
    units = weights["lstm.weight_hh_l0"].shape[1]
    zeros = torch.zeros(layers * 2, len(x), units)
    x = torch.lstm(x, (zeros, zeros), cells, True, layers, 0.0, False, True, True)[0]

    i = 0
    while f"linear.{i}.weight" in weights:
        x = functional.leaky_relu(
            functional.linear(x, weights[f"linear.{i}.weight"], weights[f"linear.{i}.bias"])
        )
        i += 1
    return functional.linear(x, weights["classifier.weight"], weights["classifier.bias"])


def _sinc_filters(weights: dict[str, Any]) -> Any:
    """Band-pass filters, tensor (80, 1, 251), from their learned edges.

    Even filters are differences of two low-pass sincs, odd ones their quadrature; each is tapered
    by a Hamming window and scaled to a peak of one.
    """
    import torch

    low = _LEAST_HZ + weights["sincnet.conv1d.0.filterbank.low_hz_"].abs().double()
    band = weights["sincnet.conv1d.0.filterbank.band_hz_"].abs().double()
    high = (low + _LEAST_HZ + band).clamp(_LEAST_HZ, SAMPLE_RATE_HZ / 2)
    half = _KERNEL // 2
    t = torch.arange(1, half + 1, dtype=torch.float64) / SAMPLE_RATE_HZ
    phase = 2 * math.pi * t
    taper = torch.hamming_window(_KERNEL, periodic=False, dtype=torch.float64)[half + 1 :]
    scale = taper / (phase * (high - low))
    even = (torch.sin(high * phase) - torch.sin(low * phase)) * scale
    odd = (torch.cos(high * phase) - torch.cos(low * phase)) * scale
    middle = torch.ones(len(low), 1, dtype=torch.float64)
    filters = torch.cat(
        [torch.cat([even.flip(1), middle, even], 1), torch.cat([-odd.flip(1), 0 * middle, odd], 1)]
    )
    return filters.float()[:, None]
