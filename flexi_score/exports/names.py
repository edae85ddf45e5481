"""File names for recordings, whose ids are anyone's text."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

#: Kept short enough that every file system takes the name with a suffix (255 bytes).
_MOST_BYTES: Final = 120
#: Names that Windows keeps for devices.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$", re.IGNORECASE)


def safe_names(ids: Sequence[str], taken: Collection[str] = ()) -> list[str]:
    """A file name, without extension, for each id.

    Letters, digits, ``-``, ``_`` and ``.`` stay, all else becomes ``_``. Names have no white
    space, do not begin with a dot or a dash, are at most 120 bytes long, and differ even where a
    file system does not tell upper from lower case: those that would not end in a part of their
    id's SHA-256.

    ``ids``: unique. ``taken``: names that are not to be given, in lower case.
    """
    plain = [_plain(name) for name in ids]
    count = Counter(_folded(name) for name in plain)
    names = [
        _marked(name, key, 8) if count[_folded(name)] > 1 or _folded(name) in taken else name
        for name, key in zip(plain, ids, strict=True)
    ]
    # A name may look like one with a mark; the whole hash settles that.
    count = Counter(_folded(name) for name in names)
    return [
        _marked(name, key, 64) if count[_folded(name)] > 1 else name
        for name, key in zip(names, ids, strict=True)
    ]


def _plain(text: str) -> str:
    name = re.sub(r"[^\w.-]", "_", unicodedata.normalize("NFC", text))
    name = re.sub(r"\.\.+", "_", name).lstrip(".-").rstrip(".")
    name = _cut(name, _MOST_BYTES) or "_"
    return f"_{name}" if _DEVICES.match(name) else name


def _cut(name: str, size: int) -> str:
    return name.encode()[:size].decode(errors="ignore").rstrip(".")


def _marked(name: str, key: str, size: int) -> str:
    mark = hashlib.sha256(key.encode()).hexdigest()[:size]
    return f"{_cut(name, _MOST_BYTES - size - 1)}-{mark}"


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
