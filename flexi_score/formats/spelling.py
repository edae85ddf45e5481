"""Telling a misspelt key from a key of the user's own."""

import difflib
import re
from collections.abc import Iterable
from functools import lru_cache


def nearest(name: object, known: Iterable[str]) -> str | None:
    """The known name that this one is a misspelling of, or None for a name of its own.

    Strict on purpose: ``annotator`` or ``system_id`` are metadata, ``anotations`` is not.
    """
    return _nearest(str(name), tuple(known))


@lru_cache(maxsize=4096)  # the rows of a manifest share their keys
def _nearest(name: str, known: tuple[str, ...]) -> str | None:
    plain = _plain(name)
    candidates = {_plain(item): item for item in known}
    if plain in candidates:
        return candidates[plain]
    for near in difflib.get_close_matches(plain, candidates, n=1, cutoff=0.85):
        return candidates[near]
    for item, spelled in candidates.items():
        if len(item) > 4 and _one_edit_apart(plain, item):
            return spelled
    return None


def _plain(name: str) -> str:
    spelled = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
    return re.sub(r"[\s_-]+", "_", spelled.strip()).lower()


def _one_edit_apart(a: str, b: str) -> bool:
    """Whether one insertion, deletion, replacement or swap of neighbours makes one the other."""
    if abs(len(a) - len(b)) > 1:
        return False
    start = 0
    while start < min(len(a), len(b)) and a[start] == b[start]:
        start += 1
    x, y = a[start:], b[start:]
    return x[1:] == y or x == y[1:] or x[1:] == y[1:] or (x[:2] == y[1::-1] and x[2:] == y[2:])
