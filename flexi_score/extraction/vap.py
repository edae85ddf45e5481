"""Voice activity projection (VAP), from its published state dict, in plain torch.

The network hears both parties up to a moment and says how probable each of 256 *states* of the next
two seconds is: four bins of 0.2, 0.4, 0.6 and 0.8 s for each party, speech in at least half of the
bin or not. A state is a number; its bit ``4 c + b`` is bin b of party c (0 user, 1 model).

Source: Ekstedt and Skantze, "Voice Activity Projection" (Interspeech 2022, arXiv:2205.09812); the
stereo network of github.com/ErikEkstedt/VoiceActivityProjection: a CPC encoder (five convolutions
and an LSTM, 100 frames/s), a causal convolution to 50 frames/s, layers of causal attention with
linear biases (ALiBi), first on each channel, then on both with cross-attention.

No package brings its weights: they have to be given. No pickled class is built (``weights_only``).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.errors import PrerequisiteError
from flexi_score.version import install_command

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]

#: Lengths of the four bins; where each begins and ends, after the moment (ms).
BINS_MS: Final = (200, 400, 600, 800)
EDGES_MS: Final = np.cumsum((0, *BINS_MS))
STATES: Final = 2 ** (2 * len(BINS_MS))
#: What the published network was trained on: windows of 20 s, a frame every 20 ms.
WINDOW_MS: Final = 20_000
FRAME_MS: Final = 20
FRAME: Final = FRAME_MS * SAMPLE_RATE_HZ // 1000  # samples
#: SHA-256 of ``VAP_3mmz3t0u_50Hz_ad20s_134-epoch9-val_2.56.pt``, as others who fetched it pin it.
PUBLISHED: Final = "043f2800bb95a7c27ad4271b1034fe2c1b70766f20e3b4ff91fe76ee9dc2360e"

#: Stride and padding of the encoder's convolutions.
_CONVOLUTIONS: Final = ((5, 3), (4, 2), (2, 1), (2, 1), (2, 1))


@dataclass(frozen=True)
class Vap:
    """A loaded network: ``sha256`` of its weights file, and its tensors."""

    sha256: str
    weights: dict[str, Any]


def load_vap(path: Path, threads: int = 0) -> Vap:
    """The network of a state dict (``torch.save``); its sizes are those of the tensors.

    ``threads``: CPU threads of torch in this process; 0 leaves torch's own choice. Raises
    PrerequisiteError where torch is missing, or the file is no such state dict.
    """
    try:
        import torch
    except ImportError as error:
        raise PrerequisiteError(f"--weights needs torch: {install_command('pyannote')}") from error
    if threads:
        torch.set_num_threads(threads)
    expected = "expected the state dict of a stereo VAP network (VapGPT, 256 states)"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever torch raises for a file that is none, or is not safe
        cause = " ".join(str(error).split())[:200]
        raise PrerequisiteError(
            f"{path}: cannot be read ({type(error).__name__}: {cause}); {expected}"
        ) from error
    tensors = content.items() if isinstance(content, dict) else ()
    weights = {key: value.float() for key, value in tensors if torch.is_tensor(value)}
    vap = Vap(hashlib.sha256(path.read_bytes()).hexdigest(), weights)
    try:
        states = probabilities(vap, np.zeros((2, 2 * FRAME), np.float32))
    except KeyError as error:
        raise PrerequisiteError(f"{path}: has no tensor {error}; {expected}") from error
    except (RuntimeError, IndexError) as error:
        cause = " ".join(str(error).split())[:200]
        raise PrerequisiteError(f"{path}: tensors do not fit ({cause}); {expected}") from error
    if states.shape[1] != STATES:
        raise PrerequisiteError(f"{path}: knows {states.shape[1]} states; {expected}")
    return vap


def probabilities(vap: Vap, samples: Floats) -> Floats:
    """Probability of each state after each frame, shape (n / 320, 256).

    ``samples``: user and model at 16 kHz, shape (2, n); n a multiple of 320, a frame. A row goes by
    what is heard up to the end of its frame, and by nothing later.
    """
    import torch

    with torch.inference_mode():
        scores = _run(vap.weights, torch.from_numpy(np.ascontiguousarray(samples, np.float32)))
        states: Floats = scores.double().softmax(1).numpy()
    return states


def next_speaker(states: Floats, first: int, last: int) -> Floats:
    """Share of the model in the expected activity of bins ``first`` to ``last``.

    ``states``: probabilities, shape (k, 256). VAP calls it p_now for bins 0 to 1, p_future for 2
    to 3.
    """
    bits = np.arange(STATES)[:, None] >> np.arange(2 * len(BINS_MS)) & 1
    user, model = (
        states @ bits[:, 4 * party + first : 4 * party + last + 1].sum(1) for party in (0, 1)
    )
    share: Floats = model / (user + model)
    return share


def _run(weights: dict[str, Any], samples: Any) -> Any:
    """Scores of the states, shape (frames, 256)."""
    from torch.nn import functional

    x = _layers(weights, "ar_channel", _encode(weights, samples))
    x = _layers(weights, "ar", x)
    joint = sum(
        functional.gelu(_normed(weights, "ar.combinator.ln", side @ weights[name].T))
        for side, name in zip(
            x, ("ar.combinator.h0_a.weight", "ar.combinator.h0_b.weight"), strict=True
        )
    )
    return functional.linear(joint, weights["vap_head.weight"], weights["vap_head.bias"])


def _encode(weights: dict[str, Any], samples: Any) -> Any:
    """Features of each channel, 50 a second: shape (2, frames, dim)."""
    import torch
    from torch.nn import functional

    x = samples[:, None]
    for i, (stride, padding) in enumerate(_CONVOLUTIONS):
        name = f"encoder.encoder.gEncoder.conv{i}"
        x = functional.conv1d(
            x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding
        )
        x = (x - x.mean(1, keepdim=True)) * torch.rsqrt(x.var(1, keepdim=True) + 1e-5)
        name = f"encoder.encoder.gEncoder.batchNorm{i}"
        x = functional.relu(x * weights[f"{name}.weight"] + weights[f"{name}.bias"])
    name = "encoder.encoder.gAR.baseNet"
    units = weights[f"{name}.weight_hh_l0"].shape[1]
    depth = sum(key.startswith(f"{name}.weight_hh") for key in weights)
    cells = [
        weights[f"{name}.{kind}_l{layer}"]
        for layer in range(depth)
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    zeros = torch.zeros(depth, len(x), units)
    x = x.transpose(1, 2)
    x = torch.lstm(x, (zeros, zeros), cells, True, depth, 0.0, False, False, True)[0]
    kernel = weights["encoder.downsample.1.weight"]
    x = functional.pad(x.transpose(1, 2), (kernel.shape[2] - 1, 0))
    x = functional.conv1d(x, kernel, weights["encoder.downsample.1.bias"], 2)
    return functional.gelu(_normed(weights, "encoder.downsample.2.ln", x.transpose(1, 2)))


def _layers(weights: dict[str, Any], name: str, x: Any) -> Any:
    """Transformer layers, normalised before each step; those with cross-attention hear the other
    channel as it came into the layer."""
    from torch.nn import functional

    layer = 0
    while f"{name}.layers.{layer}.mha.m" in weights:
        at = f"{name}.layers.{layer}"
        other = x.flip(0)
        z = _normed(weights, f"{at}.ln_self_attn", x)
        x = x + _attend(weights, f"{at}.mha", z, z)
        if f"{at}.mha_cross.m" in weights:
            z = _normed(weights, f"{at}.ln_src_attn", x)
            x = x + _attend(weights, f"{at}.mha_cross", z, other)
        z = _normed(weights, f"{at}.ln_ffnetwork", x) @ weights[f"{at}.ffnetwork.0.weight"].T
        x = x + functional.gelu(z) @ weights[f"{at}.ffnetwork.3.weight"].T
        layer += 1
    return x


def _attend(weights: dict[str, Any], name: str, x: Any, source: Any) -> Any:
    """Attention of each frame to frames of ``source`` up to its own; later ones weigh more."""
    import torch
    from torch.nn import functional

    slopes = weights[f"{name}.m"]
    channels, n, dim = x.shape

    def heads(of: Any, what: str) -> Any:
        split = (of @ weights[f"{name}.{what}.weight"].T).view(channels, n, len(slopes), -1)
        return split.transpose(1, 2)

    bias = slopes[:, None, None] * torch.arange(n) + torch.full((n, n), -torch.inf).triu(1)
    # Scaled by the whole width, not by that of a head, as the published network is.
    attended = functional.scaled_dot_product_attention(
        heads(x, "query"), heads(source, "key"), heads(source, "value"), bias, scale=dim**-0.5
    )
    return attended.transpose(1, 2).reshape(channels, n, dim) @ weights[f"{name}.proj.weight"].T


def _normed(weights: dict[str, Any], name: str, x: Any) -> Any:
    from torch.nn import functional

    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return functional.layer_norm(x, weight.shape, weight, bias)
