"""Keys of a manifest row: how they nest, and where those belong that stand in the wrong place."""

import re
from collections.abc import Mapping
from typing import Any, Final

from flexi_score.errors import RowError
from flexi_score.formats.files import brief
from flexi_score.formats.spelling import nearest

ANNOTATIONS: Final = (
    "user_turn_end",
    "pause",
    "interrupt",
    "backchannels",
    "reference_backchannels",
)
TEXTS: Final = ("query", "context", "interrupt", "statement")
CHANNELS: Final = ("user", "model")
#: Keys whose value is an object, and what it may hold; in tables also as dotted columns.
NESTED: Final[dict[str, tuple[str, ...]]] = {
    "channels": CHANNELS,
    "annotations": ANNOTATIONS,
    "text": TEXTS,
}
PATHS: Final = (
    "audio",
    "user_audio",
    "model_audio",
    "user_words",
    "model_words",
    "user_speech",
    "model_speech",
)
KNOWN_KEYS: Final = (
    "id",
    "system",
    "scenario",
    *PATHS,
    "channels",
    "user_offset",
    "model_offset",
    "annotations",
    "text",
    "tools",
    "raw_audio",
    "duration",
    "speakers",
    "rating",
    "reference_distribution",
)

#: Keys of :data:`NESTED` and names of the package's own tables, which people write one level too
#: high: where they belong.
_MISPLACED: Final[Mapping[str, str]] = {
    **{name: f"annotations.{name}" for name in ANNOTATIONS if name != "interrupt"},
    **{name: f"text.{name}" for name in TEXTS if name != "interrupt"},
    "interrupt": "annotations.interrupt (its [start, end]) or text.interrupt (its words)",
    **{f"{name}_channel": f"channels.{name}" for name in CHANNELS},
    **{f"text_{name}": f"text.{name}" for name in TEXTS},
    **{f"{name}_transcript": f"{name}_words" for name in CHANNELS},
    **{f"{name}_segments": f"{name}_speech" for name in CHANNELS},
    **{f"{name}_offset_ms": f"{name}_offset, in seconds" for name in CHANNELS},
    "user_turn_end_ms": "annotations.user_turn_end, in seconds",
    "reference_backchannels_ms": "annotations.reference_backchannels, in seconds",
    **{
        f"{name}_{side}_ms": f"annotations.{name}: [start, end], in seconds"
        for name in ("pause", "interrupt")
        for side in ("start", "end")
    },
}
#: Those of them that nobody has in metadata of their own, where they are one level too low.
_TELLING: Final = ("user_turn_end", "reference_backchannels", "user_channel", "model_channel")
#: Names of users' own that are one letter from a key.
_OWN: Final = ("speaker",)
#: So deep in an object of the user's are keys of the contract looked for.
_DEEP: Final = 4


def undotted(raw: Mapping[Any, Any]) -> dict[Any, Any]:
    """The row with dotted keys (``annotations.pause``) moved into their objects.

    Raises
    ------
    RowError
        Where such a key is misspelt, or given twice.
    """
    row = dict(raw)
    for key in raw:
        head, dot, tail = key.partition(".") if isinstance(key, str) else ("", "", "")
        if not dot:
            continue
        if head not in NESTED:
            near = nearest(head, tuple(NESTED))
            if near and (tail in NESTED[near] or nearest(tail, NESTED[near])):
                raise RowError(f"unknown key {key!r}; did you mean {near + '.' + tail!r}?")
            continue
        value = row.pop(key)
        if value is None:
            continue
        inner = row.get(head) or {}
        if not isinstance(inner, dict):
            raise RowError(f"both {head!r} and {key!r} are given, and {head!r} is no object")
        if inner.get(tail) is not None:
            raise RowError(f"{key!r} is given twice, in {head!r} and by its own name; keep one")
        row[head] = {**inner, tail: value}
    return row


def without_nulls(row: Mapping[Any, Any]) -> dict[Any, Any]:
    """The row without keys whose value is null, also in its objects."""
    return {
        key: {k: v for k, v in value.items() if v is not None}
        if key in NESTED and isinstance(value, dict)
        else value
        for key, value in row.items()
        if value is not None
    }


def nested(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object at a key of :data:`NESTED`; an empty one where there is none.

    Raises
    ------
    RowError
        Where it is no object, or holds an unknown key.
    """
    value = row.get(key, {})
    known = NESTED[key]
    if not isinstance(value, dict):
        raise RowError(f"{key}: found {brief(value)}, expected an object with {', '.join(known)}")
    for name in value:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean '{key}.{near}'?" if near else f"known: {', '.join(known)}"
            if not near and (right_key := _place_of(name)):
                hint = f"its place is {right_key}"
            raise RowError(f"unknown key '{key}.{name}'; {hint}")
    return value


def check_place(key: str, value: Any) -> None:
    """Refuse a key of the user's that is one of the contract's, misspelt or in the wrong place.

    Raises
    ------
    RowError
        Naming the key that is meant, or its place.
    """
    if key in _OWN:
        return
    if near := nearest(key, KNOWN_KEYS):
        raise RowError(f"unknown key {key!r}; did you mean {near!r}?")
    if near := nearest(key, _MISPLACED) or _under_other_name(key):
        raise RowError(f"unknown key {key!r}; its place is {_MISPLACED[near]}")
    if isinstance(value, dict | list):
        _check_inside(value, key, 1)


def _under_other_name(key: str) -> str | None:
    """An annotation's name behind another: ``meta.user_turn_end``, ``annotations_pause``."""
    plain = re.sub(r"[\W_]+", "_", key.strip().lower())
    head, _, rest = plain.partition("_")
    if head.startswith("annotation") and rest in ANNOTATIONS:
        return rest
    return next((name for name in _TELLING if plain.endswith(f"_{name}")), None)


def _check_inside(value: Any, path: str, depth: int) -> None:
    """Refuse what is the contract's, by its name or contents, inside objects of the user's."""
    if isinstance(value, list):
        value = value[0] if value and isinstance(value[0], dict | list) else {}
    if isinstance(value, list) or depth > _DEEP:
        return
    for name, inner in value.items():
        where = _MISPLACED[name] if name in _TELLING else None
        if isinstance(inner, dict) and inner:
            annotates = name == "annotations" and set(inner) <= set(ANNOTATIONS)
            numbers = all(isinstance(n, int) for n in inner.values())
            if annotates or (name == "channels" and set(inner) == set(CHANNELS) and numbers):
                where = _place_of(name)
        if where:
            raise RowError(f"unknown key '{path}.{name}'; its place is {where}")
        if isinstance(inner, dict | list):
            _check_inside(inner, f"{path}.{name}", depth + 1)


def _place_of(name: str) -> str | None:
    """Where a key belongs that stands inside an object of the row; None where it is no key."""
    if name in KNOWN_KEYS:
        return f"{name}, at the top of the row"
    return _MISPLACED.get(name)
