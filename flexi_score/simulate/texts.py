"""Texts of the benchmark's scenarios, as the FLEXI release ships them.

Files are found by name (``turn_taking_text.json``, ``pause_handing_text.json``,
``user_interruption_text.json``, ...). A file is an object ``{"dialog_1": [{"text": ...}], ...}``
or a list ``[{"dialog_1": {...}}, ...]``; a dialog holds ``text``, with ``Pause1`` and ``Pause2``
(pause_handling: the parts before and after the pause; user_backchannel: ``Pause1`` is the
backchannel), or ``context`` and ``interrupt``.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flexi_score.errors import InputError
from flexi_score.formats.files import brief, load_json, name_some

#: What the user says in each scenario, in order, and the keys of the release.
PARTS: Final[dict[str, dict[str, str]]] = {
    "turn_taking": {"query": "text"},
    "pause_handling": {"before": "Pause1", "after": "Pause2"},
    "user_interrupt": {"context": "context", "interrupt": "interrupt"},
    "model_interrupt": {"statement": "text"},
    "user_backchannel": {"query": "text", "backchannel": "Pause1"},
    "model_backchannel": {"statement": "text"},
}

_FILE_NAMES: Final = {
    "turn_taking": r"turn.?taking",
    "pause_handling": r"pause",
    "user_interrupt": r"user.?interrupt",
    "model_interrupt": r"model.?interrupt",
    "user_backchannel": r"user.?backchannel",
    "model_backchannel": r"model.?backchannel",
}


@dataclass(frozen=True)
class Dialog:
    """What a user says in one recording."""

    id: str  # scenario and the dialog's name in its file
    scenario: str
    parts: dict[str, str]  # in the order of speaking: the keys of :data:`PARTS`


def read_texts(source: str | Path) -> list[Dialog]:
    """Dialogs of a file, or of all files of a folder."""
    source = Path(source)
    if source.is_dir():
        paths = sorted(p for p in source.glob("*.json") if _scenario_of(p))
        if not paths:
            names = ", ".join(f"{name}*.json" for name in PARTS)
            raise InputError(f"{source}: holds no texts; expected files such as {names}")
    else:
        paths = [source]
    dialogs = [dialog for path in paths for dialog in _read_file(path)]
    dialogs.sort(key=lambda d: list(PARTS).index(d.scenario))
    ids = [dialog.id for dialog in dialogs]
    twice = (
        sorted({name for name in ids if ids.count(name) > 1}) if len(set(ids)) < len(ids) else []
    )
    if twice:
        raise InputError(f"{source}: given twice: {name_some(twice)}; keep one file per scenario")
    return dialogs


def _scenario_of(path: Path) -> str | None:
    return next((s for s, name in _FILE_NAMES.items() if re.search(name, path.stem.lower())), None)


def _read_file(path: Path) -> list[Dialog]:
    scenario = _scenario_of(path)
    if scenario is None:
        raise InputError(f"{path}: no scenario in the name; expected one of {name_some(PARTS)}")
    value = load_json(path, InputError)
    if isinstance(value, list):
        pairs = [pair for item in value if isinstance(item, dict) for pair in item.items()]
        whole = all(isinstance(item, dict) for item in value)
    else:
        whole = isinstance(value, dict)
        pairs = list(value.items()) if isinstance(value, dict) else []
    if not whole or not pairs:
        raise InputError(f"{path}: found {brief(value)}, expected dialogs by name")
    return [_dialog(path, scenario, str(name), content) for name, content in pairs]


def _dialog(path: Path, scenario: str, name: str, content: object) -> Dialog:
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    if not isinstance(content, dict):
        raise InputError(f"{path}, {name}: found {brief(content)}, expected an object")
    parts = {}
    for part, key in PARTS[scenario].items():
        said = content.get(key)
        if not isinstance(said, str) or not said.strip():
            raise InputError(f"{path}, {name}: key {key!r}: found {brief(said)}, expected text")
        parts[part] = " ".join(said.split())
    number = re.search(r"(\d+)$", name)
    plain = f"{int(number.group(1)):04d}" if number else re.sub(r"[^A-Za-z0-9]+", "_", name)
    return Dialog(f"{scenario}_{plain}", scenario, parts)
