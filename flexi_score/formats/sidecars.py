"""When the two files of a recording began, from what recorders write beside or into their names.

- Daily, raw tracks: ``<recording start>-<participant>-cam-audio-<track start>``, in ms since 1970.
- LiveKit, egress of a participant or track: a JSON file beside the audio with ``started_at`` (ns
  since 1970), or one with ``file_results`` that name the files and their ``started_at``.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

#: Recording start and track start of a raw track of Daily.
_DAILY: Final = re.compile(r"(\d{13})-([0-9A-Za-z-]+)-cam-audio-(\d{13})(?:\..*)?")
#: A sidecar that does not name a start so near to its beginning is not parsed.
_HEAD_BYTES: Final = 65536
_STARTS: Final = ("started_at", "startedAt")
_RESULTS: Final = ("file_results", "fileResults")
#: Files of one session begin within this time; more is another session's start (s).
_MOST_APART_S: Final = 24 * 3600.0


def daily_track(name: str) -> tuple[str, str] | None:
    """Recording and participant of a raw track of Daily by its name; None where it is none."""
    match = _DAILY.fullmatch(name)
    return (match[1], match[2]) if match else None


def file_offsets(user: Path, model: Path) -> tuple[tuple[float, float], str] | None:
    """Where two files start on one clock, and what says so.

    Parameters
    ----------
    user, model : Path

    Returns
    -------
    ((float, float), str) or None
        Offsets in seconds, the earlier of them 0, and the source in words; None where nothing
        tells, or the starts are a day apart.
    """
    offsets = _daily(user, model) or _livekit(user, model)
    if offsets is None:
        return None
    (first, second), source = offsets
    if abs(first - second) > _MOST_APART_S:
        return None
    start = min(first, second)
    return (round(first - start, 3), round(second - start, 3)), source


def _daily(user: Path, model: Path) -> tuple[tuple[float, float], str] | None:
    names = [_DAILY.fullmatch(path.name) for path in (user, model)]
    if names[0] is None or names[1] is None or names[0][1] != names[1][1]:
        return None
    return (int(names[0][3]) / 1000, int(names[1][3]) / 1000), "the names of Daily's raw tracks"


def _livekit(user: Path, model: Path) -> tuple[tuple[float, float], str] | None:
    starts = [_livekit_start(path) for path in (user, model)]
    if starts[0] is None or starts[1] is None:
        return None
    return (starts[0], starts[1]), "LiveKit's started_at"


def _livekit_start(audio: Path) -> float | None:
    """Start (s) of a file by the JSON beside it."""
    beside = [audio.with_name(audio.name + ".json"), audio.with_suffix(".json")]
    for path in [*beside, *sorted(audio.parent.glob("EG_*.json"))]:
        content = _content(path)
        for key in _RESULTS:
            for item in content.get(key) or ():
                name = isinstance(item, dict) and item.get("filename")
                if isinstance(name, str) and Path(name).name == audio.name:
                    return _start(item)
        if path in beside and not any(content.get(key) for key in _RESULTS):
            start = _start(content)
            if start is not None:
                return start
    return None


def _content(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            if not any(name.encode() in head for name in (*_STARTS, *_RESULTS)):
                return {}
            content = json.loads(head + file.read())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _start(item: dict[str, Any]) -> float | None:
    value = next((item[name] for name in _STARTS if item.get(name)), None)
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).isdigit():
        return None
    return int(value) / 1e9
