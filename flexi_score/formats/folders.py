"""What every layout of a folder is made of: its files, and what was found in them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from flexi_score.errors import RowError
from flexi_score.formats.files import AUDIO_EXTENSIONS, load_json

#: Containers that people keep calls in and that cannot be decoded, to be named where found.
_UNDECODABLE: Final = frozenset({".m4a", ".mp4", ".aac", ".wma", ".webm", ".amr", ".sph"})


class Sample(NamedTuple):
    """One recording of a layout.

    `row` is in the manifest contract's own form, checked like a manifest's; `metadata` is kept
    as it is; `where` names the file or folder it came from.
    """

    where: str
    row: dict[str, Any]
    metadata: Mapping[str, Any]


class Problem(NamedTuple):
    """A recording that cannot be used: its id, its scenario if that is known, and why."""

    id: str
    scenario: str | None
    reason: str


class Found(NamedTuple):
    """All that a layout found in a folder."""

    samples: list[Sample]
    problems: list[Problem]
    warnings: list[str]


Layout = Callable[[Path], Found]


def list_files(folder: Path) -> dict[Path, list[str]]:
    """Files of each folder below (and including) this one, sorted; hidden ones are left out."""
    files: dict[Path, list[str]] = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__MACOSX")
        files[Path(place)] = sorted(name for name in names if not name.startswith("."))
    return files


def list_audio(folder: Path) -> list[Path]:
    """Audio files below a folder, relative to it."""
    return [
        (place / name).relative_to(folder)
        for place, names in list_files(folder).items()
        for name in names
        if is_audio(name)
    ]


def is_audio(name: str) -> bool:
    """Whether the name is that of audio that can be decoded."""
    return Path(name).suffix.lower() in AUDIO_EXTENSIONS


def undecodable(folder: Path) -> str:
    """A hint that names audio in containers that cannot be decoded; empty where there is none."""
    names = [
        name
        for names in list_files(folder).values()
        for name in names
        if Path(name).suffix.lower() in _UNDECODABLE
    ]
    if not names:
        return ""
    return f"; {len(names)} files like {names[0]} cannot be decoded, convert them to WAV or FLAC"


def json_file(path: Path) -> Any:
    """Content of a scenario's JSON file.

    Raises
    ------
    RowError
        Where it cannot be read.
    """
    return load_json(path, RowError)
