"""Models and pipelines of pyannote: packaged, by path, or by their name on the hub.

A segmentation model of pyannote's usual architecture runs here in plain torch
(:mod:`flexi_score.extraction.pyannet`). Another architecture, and a whole pipeline, run in
pyannote.audio itself; it unpickles what it loads, so name only models that you trust. Its usage
reports are switched off: nothing that is scored here leaves the machine.

The hub's token is taken from the environment (``HF_TOKEN``), handed to the hub's client and
nowhere else.
"""

import hashlib
import importlib.metadata
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.errors import PrerequisiteError, SettingsError
from flexi_score.extraction.pyannet import CENTRE, STEP, Segmenter, frame_count, load_pyannet
from flexi_score.extraction.weights import fetch
from flexi_score.version import install_command

#: Names in ``models/weights.toml``.
SEGMENTATION: Final = "pyannote-segmentation-3.0"
EMBEDDING: Final = "campplus"

_CHECKPOINT: Final = "pytorch_model.bin"
_CONFIG: Final = "config.yaml"
_HUB_NAME: Final = re.compile(r"[\w.-]+/[\w.-]+(@[\w.-]+)?")
_INSTALL: Final = install_command("pyannote")

Turns = Iterator[tuple[float, float, str]]


def use_torch(option: str, threads: int | None) -> None:
    """Import torch for an option, and set its threads where a number is given.

    Raises
    ------
    PrerequisiteError
        If torch is missing.
    """
    try:
        import torch
    except ImportError as error:
        raise PrerequisiteError(f"{option} needs {error.name}: {_INSTALL}") from error
    if threads is not None:
        torch.set_num_threads(threads)


def load_segmenter(model: str | None) -> Segmenter:
    """A segmentation network.

    Parameters
    ----------
    model : str or None
        The path of a checkpoint or of a folder that holds ``pytorch_model.bin``; a name on the
        hub (``owner/name``, with ``@revision`` if one is wanted); None: the packaged
        segmentation-3.0.

    Raises
    ------
    PrerequisiteError
        Where torch, the weights, the hub or its token is missing; the message says what to do.
    SettingsError
        For what is neither a path nor a hub's name.
    """
    if model is None:
        found = load_pyannet(fetch(SEGMENTATION), SEGMENTATION)
        assert found is not None
        return found
    path = _local(model, "extract.vad_model")
    if path is None:
        path, name = _download(model, _CHECKPOINT), model.replace("/", "-")
    else:
        name = path.stem if path.is_file() else path.name
        path = path if path.is_file() else path / _CHECKPOINT
    if not path.is_file():
        raise PrerequisiteError(f"extract.vad_model {model!r}: {path} is missing")
    return load_pyannet(path, name) or _own_model(path, name)


def load_pipeline(model: str) -> tuple[str, str, Callable[[NDArray[np.float32]], Turns]]:
    """A diarization pipeline of pyannote's own.

    Parameters
    ----------
    model : str
        The path of a ``config.yaml`` or of its folder, or a name on the hub.

    Returns
    -------
    name : str
        With pyannote.audio's version.
    sha256 : str
        Of its configuration.
    run : callable
        Samples (float32, 16 kHz, shape (n,)) to turns (start_s, end_s, label) of two speakers.

    Raises
    ------
    PrerequisiteError, SettingsError
        As :func:`load_segmenter`.
    """
    path = _local(model, "extract.mono_model")
    repository, _, revision = model.partition("@")
    config = _download(model, _CONFIG) if path is None else path
    config = config / _CONFIG if config.is_dir() else config
    if not config.is_file():
        raise PrerequisiteError(f"extract.mono_model {model!r}: {config} is missing")
    pyannote = _import_pyannote()
    import torch

    try:
        pipeline = pyannote.Pipeline.from_pretrained(
            repository if path is None else str(path), revision=revision or None, token=_token()
        )
    except Exception as error:  # whatever the hub, yaml or the models of the pipeline raise
        raise PrerequisiteError(_refused(model, error)) from error
    if pipeline is None:
        raise PrerequisiteError(_refused(model, None))

    def run(samples: NDArray[np.float32]) -> Turns:
        waveform = torch.from_numpy(np.ascontiguousarray(samples, np.float32))[None]
        given = {"waveform": waveform, "sample_rate": SAMPLE_RATE_HZ}
        result = pipeline(given, num_speakers=2)
        annotation = getattr(result, "speaker_diarization", result)
        for segment, _, label in annotation.itertracks(yield_label=True):
            yield float(segment.start), float(segment.end), str(label)

    name = repository.replace("/", "-") if path is None else config.parent.name
    version = importlib.metadata.version("pyannote.audio")
    digest = hashlib.sha256(config.read_bytes() + version.encode() + revision.encode()).hexdigest()
    return f"{name} (pyannote.audio {version})", digest, run


def _own_model(path: Path, name: str) -> Segmenter:
    """A model of another architecture, run by pyannote.audio, its frames moved onto our grid."""
    pyannote = _import_pyannote()
    import torch

    try:
        model = pyannote.Model.from_pretrained(str(path)).eval()
        told = model.specifications
        field = model.receptive_field
        window = round(float(told.duration) * SAMPLE_RATE_HZ)
        n = len(told.classes)
        powerset = told.powerset
    except Exception as error:  # whatever it takes to build a model from a file
        raise PrerequisiteError(_refused(str(path), error)) from error
    if powerset:
        from pyannote.audio.utils.powerset import Powerset

        mapping = Powerset(n, told.powerset_max_classes).mapping.float()

    def forward(samples: Any) -> Any:
        scores = model(samples[:, None])
        if powerset:
            each = scores.exp() @ mapping
            speech = 1 - scores[..., :1].exp()
        else:
            each, speech = scores, scores.amax(2, keepdim=True)
        found = torch.cat([speech, each], 2).numpy()
        middle = field.start + field.duration / 2 + field.step * np.arange(found.shape[1])
        at = (CENTRE + STEP * np.arange(frame_count(samples.shape[1]))) / SAMPLE_RATE_HZ
        moved = [
            [np.interp(at, middle, found[b, :, k]) for k in range(n + 1)] for b in range(len(found))
        ]
        return torch.from_numpy(np.asarray(moved, np.float32).transpose(0, 2, 1))

    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Segmenter(name, digest, window, n, forward)


def _import_pyannote() -> Any:
    """pyannote.audio, silenced towards the network."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "false"
    try:
        import pyannote.audio
    except ImportError as error:
        raise PrerequisiteError(
            f"this model runs in pyannote.audio, which needs {error.name}: {_INSTALL}"
        ) from error
    except Exception as error:  # a torchaudio that does not fit torch fails as it likes
        import torch

        cause = " ".join(str(error).split())[:200]
        raise PrerequisiteError(
            f"pyannote.audio cannot be imported ({type(error).__name__}: {cause}); mostly its "
            f"torchaudio was built for another torch than {torch.__version__}: install a matching "
            "pair, both for CPU or both for CUDA. The packaged segmentation-3.0 needs neither"
        ) from error
    return pyannote.audio


def _local(model: str, setting: str) -> Path | None:
    """The path that a model's name is, or None for a name on the hub."""
    path = Path(model).expanduser()
    if path.exists():
        return path
    if path.is_absolute() or model.startswith((".", "~")):
        raise PrerequisiteError(f"{setting} {model!r}: no such file or folder")
    if not _HUB_NAME.fullmatch(model):
        raise SettingsError(
            f"{setting} {model!r}: expected the path of a model, or its name on the hub as "
            "owner/name or owner/name@revision"
        )
    return None


def _token() -> str | None:
    return os.environ.get("HF_TOKEN") or None


def _download(model: str, file: str) -> Path:
    """A file of a model on the hub, from the client's cache where it is there already."""
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise PrerequisiteError(
            f"model {model!r} is on the hub, which needs {error.name}: {_INSTALL}; or give the "
            "path of a local copy"
        ) from error
    repository, _, revision = model.partition("@")
    try:
        found = hf_hub_download(repository, file, revision=revision or None, token=_token())
        return Path(found)
    except Exception as error:  # the hub's client raises dozens of kinds
        raise PrerequisiteError(_refused(model, error)) from error


def _refused(model: str, error: Exception | None) -> str:
    """Why a model could not be had, without the token in it."""
    cause = "access was refused"
    if error is not None:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if token := _token():
        cause = cause.replace(token, "***")
        hint = f"check that HF_TOKEN may read it (https://huggingface.co/{model.partition('@')[0]})"
    else:
        hint = (
            "no token is set: published models of pyannote want their conditions accepted on their "
            "page of the hub, and a token of that account in HF_TOKEN"
        )
    return (
        f"model {model!r} could not be loaded ({cause}); {hint}; or give the path of a local copy"
    )
