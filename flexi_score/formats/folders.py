"""What every layout of a folder is made of: its files, and what was found in them."""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from flexi_score.errors import RowError
from flexi_score.formats.files import AUDIO_EXTENSIONS, brief, load_json, name_some, to_ms

#: Audio and lists of audio that are not read, to be named where found.
_UNREAD: Final = re.compile(
    r"\.(wma|spx|gsm|vox|raw|pcm|ulaw|ul|alaw|al|dss|ra|ape|wv|tta|ac3|avi|ts|mpg|m3u8|mpd|shn)"
)
#: How audio files begin, whatever they are called.
_AUDIO_MAGIC: Final = (
    *(b"RF64", b"FORM", b".snd", b"NIST_1A", b"OggS", b"fLaC", b"ID3"),
    b"\x1a\x45\xdf\xa3",
)
#: How many files that are left out a warning names.
_NAMED: Final = 20


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
    for subfolder, folders, names in os.walk(folder):
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n != "__MACOSX")
        files[Path(subfolder)] = sorted(name for name in names if not name.startswith("."))
    return files


def list_audio(folder: Path) -> list[Path]:
    """Audio files below a folder, relative to it."""
    return [
        (subfolder / name).relative_to(folder)
        for subfolder, names in list_files(folder).items()
        for name in names
        if is_audio(name)
    ]


def is_audio(name: str) -> bool:
    """Whether the name is that of audio that can be decoded."""
    return Path(name).suffix.lower() in AUDIO_EXTENSIONS


def name_below(path: Path, folder: Path) -> str:
    """A folder's path below the one that is read, which itself goes by its own name."""
    below = path.relative_to(folder).as_posix()
    return path.resolve().name if below == "." else below


def left_out(folder: Path, contents: Found) -> list[str]:
    """Warnings that name the audio of a folder which is part of no recording, and why.

    Parameters
    ----------
    folder : Path
    contents : Found
        What a layout found in it.
    """
    used = json.dumps([[s.where, s.row, s.metadata] for s in contents.samples], default=str)
    said = " ".join([*contents.warnings, *(problem.reason for problem in contents.problems)])
    faulty = tuple(problem.id for problem in contents.problems)
    unread, unused = [], []
    for subfolder, names in list_files(folder).items():
        for name in names:
            path = subfolder / name
            below = path.relative_to(folder).as_posix()
            if not is_audio(name):
                if _is_unread_audio(path):
                    unread.append(below)
            elif not (
                json.dumps(below)[1:-1] in used
                or below in said
                or str(path) in said
                or below.startswith(faulty)
            ):
                unused.append(below)
    warnings = []
    if unread:
        warnings.append(
            f"{folder}: left out, because audio is not read under this extension: "
            f"{name_some(unread, _NAMED)}; convert it to WAV or FLAC, or name it after what it is"
        )
    if unused:
        warnings.append(
            f"{folder}: left out, because they belong to no recording of this layout: "
            f"{name_some(unused, _NAMED)}; --layout or a manifest says what they are"
        )
    return warnings


def _is_unread_audio(path: Path) -> bool:
    if _UNREAD.fullmatch(path.suffix.lower()):
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith(_AUDIO_MAGIC) or head[8:] == b"WAVE" or head[4:8] == b"ftyp"


def json_file(path: Path) -> Any:
    """Content of a scenario's JSON file.

    Raises
    ------
    RowError
        Where it cannot be read.
    """
    return load_json(path, RowError)


def json_object(path: Path) -> dict[str, Any]:
    """As :func:`json_file`, of a file that holds an object."""
    content = json_file(path)
    if not isinstance(content, dict):
        raise RowError(f"{path}: found {brief(content)}, expected an object")
    return content


def checked_seconds(path: Path, key: str, value: Any) -> Any:
    """The value of a file's key as it is; RowError where it is no time in seconds."""
    try:
        to_ms(value)
    except ValueError as cause:
        raise RowError(f"{path}: {key}: {cause}") from None
    return value
