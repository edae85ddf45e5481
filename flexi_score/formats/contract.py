"""What a manifest row may hold: checked, completed with defaults, and turned into a table row.

The keys, after the manifest contract: ``id``, ``system``, ``scenario``; ``audio`` with
``channels``, or ``user_audio`` and ``model_audio`` with ``user_offset`` and ``model_offset`` (s);
``annotations``; ``tools``; ``text``; ``user_words``, ``model_words``, ``user_speech``,
``model_speech``;
``rating`` and ``reference_distribution``, which benchmark folders bring. Anything else is
metadata, unless it is a near miss of one of these. Null is the same as absent.
"""

import difflib
import json
import math
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import InputError, RowError
from flexi_score.formats.files import Embedded, brief, find_fault, is_number, name_some, to_ms
from flexi_score.formats.headerless import parse_headerless
from flexi_score.formats.keys import (
    CHANNELS,
    KNOWN_KEYS,
    NESTED,
    PATHS,
    check_place,
    nested,
    undotted,
    without_nulls,
)
from flexi_score.formats.roles import ASSUMED, STATED, parse_channels
from flexi_score.formats.spelling import nearest
from flexi_score.formats.whose import parse_speakers
from flexi_score.schema import SCENARIOS

DEFAULT_SYSTEM: Final = "model"
DEFAULT_SCENARIO: Final = "conversation"

_NUMERIC: Final = ("user_offset", "model_offset", "duration", "rating", "reference_distribution")
_MAX_RATING: Final = 5.0


def is_cell_of_json(name: str, cell: str) -> bool:
    """Whether a table's text cell in this column holds JSON rather than plain text."""
    if name == "speakers":
        return cell.startswith("{")
    head, _, tail = name.partition(".")
    if name in _NUMERIC or (head in ("annotations", "channels") and tail):
        return True
    return (name in NESTED or name not in KNOWN_KEYS) and cell.startswith(("{", "["))


def row_id(row: object) -> str:
    """The id of a raw row, as text.

    Raises
    ------
    RowError
        Where the row is no object, or its id is missing, blank, or neither text nor a number.
    """
    if not isinstance(row, dict):
        raise RowError(f"found {brief(row)}, expected an object with keys 'id', 'audio', ...")
    value = row.get("id")
    if value is None:
        near = nearest("id", [key for key in row if key not in KNOWN_KEYS])
        hint = f" (is {near!r} meant?)" if near else ""
        raise RowError(f"key 'id' is missing{hint}; every row needs a unique id")
    return _name("id", value)


def row_system(row: Mapping[str, Any], default: str) -> str:
    """The system of a raw row, or the default.

    Raises
    ------
    RowError
        Where it is blank, or neither text nor a number.
    """
    value = row.get("system")
    return default if value is None else _name("system", value)


def row_scenario(row: Mapping[str, Any]) -> str:
    """The scenario of a raw row, or ``conversation``.

    Raises
    ------
    RowError
        For an unknown one (naming the nearest).
    """
    value = row.get("scenario")
    if value is None:
        return DEFAULT_SCENARIO
    if value in SCENARIOS:
        return str(value)
    plain = value.lower().replace("-", "_").replace(" ", "_") if isinstance(value, str) else ""
    near = difflib.get_close_matches(plain, SCENARIOS, n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(SCENARIOS)}"
    raise RowError(f"unknown scenario {brief(value)}{hint}")


def parse_row(
    raw: Mapping[Any, Any],
    root: Path,
    system: str = DEFAULT_SYSTEM,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A raw row as a row of :data:`flexi_score.schema.RECORDINGS`.

    Parameters
    ----------
    raw : mapping
        Decoded JSON, YAML or cells.
    root : Path
        Folder that relative paths start from.
    system : str
        System of a row that names none.
    metadata : mapping, optional
        More metadata, taken as it is (a layout's own).

    Raises
    ------
    RowError
        For the first thing that breaks the contract.
    """
    if fault := find_fault(raw) or find_fault(metadata or {}):
        raise RowError(fault)
    row = without_nulls(undotted(raw))
    extra = {str(key): value for key, value in row.items() if key not in KNOWN_KEYS}
    for key in extra:
        check_place(key, extra[key])
    extra |= metadata or {}
    parsed: dict[str, Any] = {
        "recording": row_id(row),
        "system": row_system(row, system),
        "scenario": row_scenario(row),
        "speakers": _speakers(row["speakers"]) if "speakers" in row else None,
        **{key: _path(key, row[key], root) if key in row else None for key in PATHS},
    }
    parsed |= _sources(row, extra)
    parsed |= _annotations(nested(row, "annotations"))
    for key, value in nested(row, "text").items():
        if not isinstance(value, str):
            raise RowError(f"text.{key}: found {brief(value)}, expected text")
        parsed[f"text_{key}"] = value or None
    parsed["rating"] = parse_rating(row["rating"]) if "rating" in row else None
    parsed["reference_distribution"] = (
        _distribution(row["reference_distribution"]) if "reference_distribution" in row else None
    )
    parsed["raw_audio"] = None
    if "raw_audio" in row:
        parse_headerless(row["raw_audio"])
        parsed["raw_audio"] = row["raw_audio"]
    parsed["tools"] = _spans("tools", row["tools"]) if "tools" in row else None
    parsed["stated_duration_ms"] = (
        _seconds("duration", row["duration"]) if "duration" in row else None
    )
    if parsed["stated_duration_ms"] == 0:
        raise RowError("duration: found 0, expected seconds, more than 0")
    parsed["metadata"] = json.dumps(extra, sort_keys=True, ensure_ascii=False, default=str)
    return parsed


def parse_rating(value: object) -> float:
    """A judge's rating, a number from 0 to 5.

    Raises
    ------
    RowError
        For anything else.
    """
    if is_number(value) and 0 <= float(value) <= _MAX_RATING:
        return float(value)
    raise RowError(f"rating: found {brief(value)}, expected a number from 0 to 5")


def _sources(row: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """Which files and channels hold the recording; the rules that tie these keys together."""
    pair = [key for key in ("user_audio", "model_audio") if key in row]
    if "audio" in row and pair:
        raise RowError(f"both 'audio' and {pair[0]!r} are given; keep one kind")
    if len(pair) == 1:
        other = "model_audio" if pair[0] == "user_audio" else "user_audio"
        raise RowError(f"{pair[0]!r} is given without {other!r}; a pair needs both")
    if not any(key in row for key in PATHS):
        others = f" (other keys found: {name_some(extra)})" if extra else ""
        raise RowError(
            "no recording: expected 'audio', or 'user_audio' and 'model_audio', or transcripts or "
            f"segment files ('user_words', 'model_speech', ...){others}"
        )
    parsed: dict[str, Any] = {"user_channel": None, "model_channel": None, "roles": None}
    if pair:
        parsed["roles"] = STATED
    if "channels" in row and pair:
        raise RowError("'channels' is given without 'audio'; mono files have no channels to choose")
    if "audio" in row or "channels" in row:  # of audio, or of the labels of transcripts
        channels = _channels(row) if "channels" in row else {"user": 0, "model": 1}
        if set(channels) != set(CHANNELS) or not all(
            isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1024
            for n in channels.values()
        ):
            raise RowError(
                f"channels: found {brief(json.dumps(channels, default=str))}, expected whole "
                'numbers from 0, as {"user": 0, "model": 1}'
            )
        if channels["user"] == channels["model"]:
            raise RowError(
                f"channels: user and model are both channel {channels['user']}; expected two"
            )
        parsed = {
            "user_channel": channels["user"],
            "model_channel": channels["model"],
            "roles": STATED if "channels" in row else ASSUMED,
        }
    for key in ("user_offset", "model_offset"):
        parsed[f"{key}_ms"] = 0
        if key not in row:
            continue
        if is_number(row[key]) and row[key] < 0:
            raise RowError(
                f"{key}: found {row[key]}, expected 0 or more; shift both offsets so that the "
                "earlier file starts at 0"
            )
        parsed[f"{key}_ms"] = _seconds(key, row[key])
        if parsed[f"{key}_ms"] and not pair:
            raise RowError(f"{key!r} is given without 'user_audio' and 'model_audio'")
    return parsed


def _speakers(value: Any) -> str:
    """Parties of labels, ``{"agent": "model"}`` or ``"agent=model"``, as JSON."""
    try:
        if isinstance(value, dict):
            value = ",".join(f"{label}={party}" for label, party in value.items())
        speakers = parse_speakers(value) if isinstance(value, str) else None
    except InputError as error:
        raise RowError(str(error)) from None
    if speakers is None:
        raise RowError(
            f"speakers: found {brief(value)}, expected labels and parties, as "
            '{"agent": "model", "customer": "user"}'
        )
    return json.dumps(speakers, sort_keys=True, ensure_ascii=False)


def _channels(row: Mapping[str, Any]) -> dict[str, Any]:
    """The value of ``channels``: an object, or the parties' names channel by channel."""
    value = row["channels"]
    named = isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(name, str) for name in value)
    )
    if not named:
        return nested(row, "channels")
    try:
        return {str(speaker): n for speaker, n in parse_channels(value).items()}
    except InputError as error:
        raise RowError(str(error)) from None


def _spans(name: str, value: Any) -> list[dict[str, int]]:
    """Intervals, sorted by their start."""
    items = _list(name, value, "[[start, end], ...]")
    spans = sorted(_interval(f"{name}[{i}]", item) for i, item in enumerate(items))
    return [{"start_ms": start, "end_ms": end} for start, end in spans]


def _annotations(annotations: Mapping[str, Any]) -> dict[str, Any]:
    parsed: dict[str, Any] = {
        "user_turn_end_ms": None,
        "backchannels": None,
        "reference_backchannels_ms": None,
    }
    if "user_turn_end" in annotations:
        parsed["user_turn_end_ms"] = _seconds(
            "annotations.user_turn_end", annotations["user_turn_end"]
        )
    for key in ("pause", "interrupt"):
        start, end = (
            _interval(f"annotations.{key}", annotations[key])
            if key in annotations
            else (None, None)
        )
        parsed |= {f"{key}_start_ms": start, f"{key}_end_ms": end}
    if "backchannels" in annotations:
        name = "annotations.backchannels"
        spans = [
            _interval(f"{name}[{i}]", item)
            for i, item in enumerate(
                _list(name, annotations["backchannels"], "[[start, end], ...]")
            )
        ]
        for i, (before, after) in enumerate(pairwise(spans), 1):
            if after[0] < before[0]:
                raise RowError(f"{name}[{i}] starts before {name}[{i - 1}]; sort them by start")
            if after[0] < before[1]:
                raise RowError(f"{name}[{i}] starts before {name}[{i - 1}] ends; merge the two")
        parsed["backchannels"] = [{"start_ms": start, "end_ms": end} for start, end in spans]
    if "reference_backchannels" in annotations:
        name = "annotations.reference_backchannels"
        items = _list(name, annotations["reference_backchannels"], "[seconds, ...]")
        times = [_seconds(f"{name}[{i}]", item) for i, item in enumerate(items)]
        for i, (first, second) in enumerate(pairwise(times), 1):
            if second < first:
                raise RowError(f"{name}[{i}] is before {name}[{i - 1}]; sort them")
        parsed["reference_backchannels_ms"] = times
    return parsed


def _name(key: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if is_number(value):
        return str(value)
    raise RowError(f"{key}: found {brief(value)}, expected text that is not blank, or a number")


def _path(key: str, value: object, root: Path) -> str:
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        raise RowError(f"{key}: found {brief(value)}, expected the path of a file")
    if isinstance(value, Embedded):
        return str(value)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", value):
        raise RowError(f"{key}: found {brief(value)}, a URL; download the file and give its path")
    return str((root / value).absolute())


def _seconds(key: str, value: object) -> int:
    if not is_number(value):
        raise RowError(f"{key}: found {brief(value)}, expected a number of seconds")
    try:
        return to_ms(value)
    except ValueError as cause:
        raise RowError(f"{key}: {cause}") from None


def _interval(key: str, value: object) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise RowError(f"{key}: found {brief(value)}, expected [start, end] in seconds")
    start, end = _seconds(f"{key}[0]", value[0]), _seconds(f"{key}[1]", value[1])
    if end < start:
        raise RowError(f"{key}: ends at {value[1]} s, before its start at {value[0]} s")
    return start, end


def _list(key: str, value: object, expected: str) -> list[Any]:
    if not isinstance(value, list):
        raise RowError(f"{key}: found {brief(value)}, expected a list {expected}")
    return value


def _distribution(value: object) -> list[float]:
    numbers = _list("reference_distribution", value, "of numbers, one a window")
    for i, item in enumerate(numbers):
        if not is_number(item) or item < 0 or not math.isfinite(item):
            raise RowError(
                f"reference_distribution[{i}]: found {brief(item)}, expected a number, 0 or more"
            )
    if not any(numbers):
        raise RowError("reference_distribution: nothing above 0, expected weights of windows")
    return [float(item) for item in numbers]
