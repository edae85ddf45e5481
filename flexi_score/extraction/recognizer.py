"""Load a Whisper model: packaged, from a path, or by name; and say exactly which one it is."""

import difflib
import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flexi_score.config import ExtractSettings
from flexi_score.errors import PrerequisiteError, SettingsError
from flexi_score.extraction.machine import usable_cpus
from flexi_score.extraction.weights import fetch, list_weights
from flexi_score.version import install_command

#: Bumped when the same recogniser would give other words.
_VERSION = 1


@dataclass(frozen=True)
class Recognizer:
    """A loaded recogniser and what is known about it."""

    model: Any  # a ``faster_whisper.WhisperModel``
    language: str  # ISO 639-1 code, or ``auto``: detected in each channel
    beam_size: int
    identity: str  # one line that names every choice that changes the words


def load_recognizer(settings: ExtractSettings, threads: int = 0) -> Recognizer:
    """Load the Whisper model of ``settings.asr``.

    ``asr``: a packaged name (``tiny.en``, ``base``), another Whisper name (``small``, or
    ``owner/name``; faster-whisper downloads it or takes it from its cache), or the path of a folder
    with a Whisper model converted for CTranslate2. ``threads``: CPU threads; 0: as many as this
    process may use, at most 8. Raises SettingsError for a model, language or compute type that does
    not exist, or a language that the model does not know.
    """
    model, language, beam_size = settings.asr, settings.language, settings.beam_size
    compute_type, device = settings.compute_type, settings.device
    try:
        import faster_whisper
    except ImportError as error:
        raise PrerequisiteError(
            f"recognition needs the package {error.name}: {install_command('asr')}, or do "
            "without words: --asr none"
        ) from error
    code = _language_code(language)
    if model.endswith(".en"):
        code = "en" if code == "auto" else code
        if code != "en":
            raise SettingsError(_english_only(model, language))
    source = _model_source(model)
    try:
        loaded = faster_whisper.WhisperModel(
            str(source),
            device=device,
            compute_type=compute_type,
            cpu_threads=threads or min(usable_cpus(), 8),
        )
    except Exception as error:  # whatever CTranslate2, tokenizers or the hub's client raise
        raise _cannot_load(model, source, compute_type, device, error) from error
    if not loaded.model.is_multilingual and code not in ("en", "auto"):
        raise SettingsError(_english_only(model, language))
    code = code if loaded.model.is_multilingual else "en"
    if code != "auto" and code not in loaded.supported_languages:
        known = ", ".join(sorted(loaded.supported_languages))
        raise SettingsError(
            f"extract.language {language!r}: not a language of model {model!r}; known: auto, "
            f"{known}"
        )
    digest = _sha256(source, model)
    on = str(loaded.model.device)
    parts = [f"{Path(model).name if source is not model else model}@{digest[:12]}", code]
    parts += [f"beam{beam_size}", compute_type, f"faster-whisper-{version('faster-whisper')}"]
    parts += [f"packing-{_VERSION}"] + ([on] if on != "cpu" else [])
    return Recognizer(loaded, code, beam_size, ",".join(parts))


def _language_code(language: str) -> str:
    """``en`` of ``en``, ``EN`` or ``en-US``."""
    return language.strip().lower().replace("_", "-").partition("-")[0]


def _english_only(model: str, language: str) -> str:
    return (
        f"extract.language {language!r}: model {model!r} knows English only; take the packaged "
        f"multilingual model, --asr base ({install_command('asr-multilingual')}), or a "
        "larger one by name or path"
    )


def _packaged() -> list[str]:
    return [weight.name for weight in list_weights() if weight.role == "recognition"]


def _model_source(model: str) -> Path | str:
    """A verified folder for a packaged name or a path, else the name, for faster-whisper."""
    from faster_whisper import available_models

    if model in _packaged():
        return fetch(model)
    path = Path(model).expanduser()
    if path.exists() or path.is_absolute() or model.startswith((".", "~")):
        for name in ("model.bin", "config.json", "tokenizer.json"):
            if not (path / name).is_file():
                raise PrerequisiteError(
                    f"model {model!r}: {path / name} is missing; expected a folder with a Whisper "
                    "model converted for CTranslate2 (model.bin, config.json, tokenizer.json, "
                    "vocabulary.*)"
                )
        return path
    known = sorted({*_packaged(), *available_models()})
    if "/" not in model and model not in known:
        near = difflib.get_close_matches(model, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise SettingsError(
            f"extract.asr {model!r}: no such model; {hint}known: none, {', '.join(known)}, or the "
            "path of a folder"
        )
    return model


def _cannot_load(
    model: str, source: Path | str, compute_type: str, device: str, error: Exception
) -> PrerequisiteError | SettingsError:
    cause = " ".join(str(error).split()) or type(error).__name__
    if "compute type" in cause or "unsupported device" in cause:
        return SettingsError(
            f"extract.compute_type {compute_type!r} on device {device!r}: {cause}; int8 and "
            "float32 work on every CPU"
        )
    if isinstance(source, Path):
        return PrerequisiteError(f"model {model!r}: {source} cannot be loaded ({cause})")
    return PrerequisiteError(
        f"model {model!r} is not on this machine and could not be downloaded "
        f"({type(error).__name__}: {cause[:200]}); packaged models need no download: "
        f"{', '.join(_packaged())}; or give --asr the path of a model folder, or --asr none"
    )


def _sha256(source: Path | str, model: str) -> str:
    if isinstance(source, Path):
        path = source / "model.bin"
    else:
        from faster_whisper.utils import download_model

        path = Path(download_model(model, local_files_only=True)) / "model.bin"
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
