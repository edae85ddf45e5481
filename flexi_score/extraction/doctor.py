"""What is installed on this machine, and what to do about what is missing.

Packages are looked up by their metadata and weights by their files, so that asking is quick and
works where a package is broken: no model library is imported.
"""

import ctypes
import importlib.metadata
import os
import platform
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flexi_score.config import load_settings
from flexi_score.extraction.machine import usable_cpus
from flexi_score.extraction.weights import cache_dir, find_weight, list_weights, verify
from flexi_score.version import install_command

#: What each extra is for, in the order shown; extras that only bundle others are left out.
_PURPOSE = {
    "": "",
    "vad": "speech detection",
    "asr": "recognition",
    "asr-multilingual": "recognition in other languages",
    "pyannote": "the second detector, one-channel files",
    "formats": "TextGrid and ELAN files",
    "judge": "the judge",
}
_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str  # what was looked at
    ok: bool  # false where something is missing, even if it is optional; ``found`` says which
    found: str  # version, path or count; or that it is missing
    advice: str  # what to do where it is not ok, else empty


def diagnose() -> list[Check]:
    """Look at Python, packages, weights, codecs, processors and the cache folder."""
    return [
        _python(),
        *_packages(),
        _judge_key(),
        *_weights(),
        *_codecs(),
        _processors(),
        _graphics(),
        _cache(),
    ]


def _python() -> Check:
    ok = sys.version_info >= _OLDEST_PYTHON
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    text = f"{platform.python_version()} ({sys.executable})"
    return Check("python", ok, text, "" if ok else f"install Python {wanted} or later")


def _packages() -> Iterator[Check]:
    seen: set[str] = set()
    for extra, requirement in _requirements():
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        if name in seen:
            continue
        seen.add(name)
        wanted = requirement[len(name) :].strip()
        role = f"optional, {_PURPOSE[extra]}" if extra else "required"
        install = install_command(extra) if extra else f"pip install '{requirement}'"
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Check(name, False, f"not installed ({role})", install)
            continue
        ok = _satisfies(version, wanted)
        text = f"{version} ({role})" if ok else f"{version}, expected {wanted} ({role})"
        yield Check(name, ok, text, "" if ok else f"pip install '{requirement}'")


def _judge_key() -> Check:
    """Whether there is a key, and nothing of the key."""
    name = load_settings().judge.key_variable
    if os.environ.get(name, "").strip():
        return Check("judge's key", True, f"{name} is set", "")
    advice = f"set {name} for --judge openai; other servers (--base-url) may need none"
    return Check("judge's key", False, f"{name} is not set (optional, the judge)", advice)


def _requirements() -> Iterator[tuple[str, str]]:
    """Extra (empty: required) and requirement of each package, in the order of `_PURPOSE`."""
    pyproject = Path(__file__).parents[2] / "pyproject.toml"
    if pyproject.is_file() and (pyproject.parent / "models" / "weights.toml").is_file():
        # A source checkout: what it says is newer than the metadata of an editable install.
        project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
        listed = [("", line) for line in project["dependencies"]]
        for extra, lines in project["optional-dependencies"].items():
            listed += [(extra, line) for line in lines]
    else:
        try:
            lines = importlib.metadata.requires("flexi_score") or []
        except importlib.metadata.PackageNotFoundError:
            lines = []
        listed = []
        for line in lines:
            requirement, _, marker = line.partition(";")
            extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)", marker)
            listed.append((extra.group(1) if extra else "", requirement.strip()))
    for wanted in _PURPOSE:
        for extra, requirement in listed:
            if extra == wanted and not requirement.startswith("flexi_score"):
                yield extra, requirement


def _satisfies(version: str, wanted: str) -> bool:
    """Whether a version is one of those wanted; yes where that cannot be told."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
        from packaging.version import InvalidVersion
    except ImportError:
        return True
    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return True


def _weights() -> Iterator[Check]:
    for weight in list_weights():
        state = verify(weight.name)
        text = f"{state.status}: {state.found}" if not state.ok else state.found
        # Joining happens by itself when the model is first loaded.
        ok = state.ok or state.status == "unassembled"
        advice = "" if ok else f"{state.advice} (extra {find_weight(weight.name).extra})"
        yield Check(f"weights: {weight.name} ({weight.role})", ok, text, advice)


def _codecs() -> Iterator[Check]:
    try:
        import soundfile
    except (ImportError, OSError) as error:
        yield Check("audio codecs", False, str(error), "pip install --force-reinstall soundfile")
        return
    library = f"libsndfile {soundfile.__libsndfile_version__}"
    present = {
        "MP3": "MP3" in soundfile.available_formats(),
        "Opus": "OPUS" in soundfile.available_subtypes("OGG"),
        "FLAC": "FLAC" in soundfile.available_formats(),
    }
    for codec, ok in present.items():
        advice = f"pip install --upgrade soundfile, or convert {codec} files to WAV or FLAC"
        text = library if ok else f"not in {library}"
        yield Check(f"codec: {codec}", ok, text, "" if ok else advice)


def _processors() -> Check:
    total = os.cpu_count() or 1
    text = f"{usable_cpus()} of {total} CPUs usable"
    if threads := os.environ.get("OMP_NUM_THREADS"):
        text += f", OMP_NUM_THREADS={threads}"
    return Check("processors", True, text, "")


def _graphics() -> Check:
    """CUDA devices, asked of the driver; none is fine."""
    count = 0
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        number = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(number)) == 0:
            count = number.value
    except (OSError, AttributeError):
        pass
    return Check("CUDA devices", True, str(count) if count else "none: models run on the CPU", "")


def _cache() -> Check:
    """Whether weights could be written; nothing is created to find out."""
    folder = cache_dir()
    there = next((path for path in (folder, *folder.parents) if path.exists()), folder)
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Check("cache folder", True, f"{folder} can be written", "")
    advice = "set FLEXI_SCORE_CACHE to a folder that can be written"
    return Check("cache folder", False, f"{folder} cannot be written", advice)
