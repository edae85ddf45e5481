"""Reading text and JSON files that users bring, and turning their seconds into milliseconds."""

import json
import math
import re
import reprlib
from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, TypeGuard
from urllib.parse import quote, urlencode

from flexi_score.errors import FlexiScoreError

#: Extensions of audio files that libsndfile decodes.
_SNDFILE_EXTENSIONS: Final = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf"}
    | {".w64", ".rf64", ".sph"}
)
#: Extensions of audio that PyAV decodes, those of video included.
_LIBAV_EXTENSIONS: Final = frozenset(
    {".m4a", ".m4b", ".mp4", ".mov", ".3gp", ".webm", ".weba", ".mkv", ".mka", ".aac", ".amr"}
)
AUDIO_EXTENSIONS: Final = _SNDFILE_EXTENSIONS | _LIBAV_EXTENSIONS

#: Later than this is a mistake of units, and would overflow nothing only by luck (31 years).
MAX_SECONDS: Final = 1_000_000_000

#: A manifest row of more values, or nested deeper, is not one: YAML aliases can multiply values
#: without bound, and hold themselves.
MAX_VALUES: Final = 200_000
MAX_DEPTH: Final = 50

#: Shows a few items of a few levels, however many aliases there are.
_SHORT: Final = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)


class Embedded(str):
    """Where audio lies in a Parquet file (:func:`embedded_at`), as only this program writes it."""


EMBEDDED_SCHEME: Final = "parquet://"


def embedded_at(path: Path, column: str, row: int, name: str) -> Embedded:
    """The address of audio in a Parquet file.

    Parameters
    ----------
    path : Path
    column : str
        A struct with the field ``bytes``, as Hugging Face's datasets have it.
    row : int
        Counted from 0.
    name : str
        The audio's own name, for its extension; it may be empty.
    """
    suffix = Path(name).suffix
    query = urlencode({"column": column, "row": row, "suffix": suffix})
    return Embedded(f"{EMBEDDED_SCHEME}{quote(str(path.absolute()))}?{query}")


class RepeatedKey:
    """Stands in a decoded object for a key that the text gives twice."""


REPEATED: Final = RepeatedKey()


def read_text(path: Path, error: type[FlexiScoreError]) -> str:
    """Text of a UTF-8 or UTF-16 file, without its byte order mark.

    Raises
    ------
    error
        Where the file is missing, is no file, cannot be read, or is not text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder, expected a file") from None
    except (OSError, ValueError) as cause:
        raise error(f"{path}: cannot be read ({cause})") from cause
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as cause:
        line = data.count(b"\n", 0, cause.start) + 1
        raise error(
            f"{path}, line {line}: not text in UTF-8 (byte 0x{data[cause.start]:02x} at offset "
            f"{cause.start}); save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def unended_line(text: str) -> int | None:
    """Number of the last line of a file's text where it has no line end; None where it has one."""
    return None if not text or text.endswith("\n") else text.count("\n") + 1


def decode_json(text: str) -> Any:
    """JSON as Python values; a key given twice leaves :data:`REPEATED` in its object.

    NaN and Infinity, which are not JSON, come out as floats for :func:`find_fault` to name, so
    that in a list of rows they cost only their own row.

    Raises
    ------
    ValueError
        Where the text is not JSON (its message says line and column).
    """
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as cause:
        raise ValueError(
            f"not valid JSON at line {cause.lineno}, column {cause.colno}: {cause.msg}"
        ) from None
    except RecursionError:
        raise ValueError("JSON nested too deeply to be read") from None


def load_json(path: Path, error: type[FlexiScoreError]) -> Any:
    """Content of a JSON file without NaN, Infinity or repeated keys.

    Raises
    ------
    error
        Where it cannot be read or is not such JSON.
    """
    text = read_text(path, error)
    if not text.strip():
        raise error(f"{path}: the file is empty, expected JSON")
    try:
        value = decode_json(text)
    except ValueError as cause:
        raise error(f"{path}: {cause}") from None
    # Without aliases a file cannot multiply, so a long transcript is no fault.
    if fault := find_fault(value, most_values=None):
        raise error(f"{path}: {fault}")
    return value


def find_fault(value: Any, most_values: int | None = MAX_VALUES) -> str | None:
    """What in decoded values breaks JSON or UTF-8, in words; None where nothing does."""
    todo: list[tuple[str, int, Any]] = [("", 0, value)]
    seen = 0
    while todo:
        where, depth, item = todo.pop()
        seen += 1
        if most_values is not None and seen > most_values:
            return f"more than {most_values} values; expected those of one recording"
        if depth > MAX_DEPTH:
            return f"{where[:40]}...: nested more than {MAX_DEPTH} deep"
        if isinstance(item, dict):
            if REPEATED in item:
                return f"key {_join(where, item[REPEATED])!r} is given twice; keep one"
            todo.extend((_join(where, key), depth + 1, inner) for key, inner in item.items())
            todo.extend((where, depth, key) for key in item if isinstance(key, str))
        elif isinstance(item, list | tuple):
            todo.extend((f"{where}[{i}]", depth + 1, inner) for i, inner in enumerate(item))
        elif isinstance(item, float) and not math.isfinite(item):
            text = "NaN" if math.isnan(item) else "Infinity" if item > 0 else "-Infinity"
            return f"{where or 'value'}: found {text}, expected a finite number or null"
        elif isinstance(item, str) and not item.isascii() and not _is_unicode(item):
            return f"{where or 'value'}: text with an unpaired surrogate, not valid Unicode"
    return None


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a decoded value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def scaled(value: Any, exponent: int) -> Any:
    """A number, or text that is one, times a power of ten, as text; anything else as it is."""
    text = str(value).strip()
    return f"{text}e{exponent}" if _NUMBER.fullmatch(text) else value


def to_ms(value: object) -> int:
    """Seconds as integer milliseconds, rounded half to even from the decimal that was written.

    Parameters
    ----------
    value : str, int, float or Decimal
        Seconds; text is a plain decimal number.

    Raises
    ------
    ValueError
        Where it is no number, not finite, negative, or beyond :data:`MAX_SECONDS`.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        raise ValueError(f"found {brief(value)}, expected a number of seconds")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError(f"found {brief(value)}, expected a number of seconds")
    try:
        seconds = Decimal(value.strip() if isinstance(value, str) else str(value))
    except (InvalidOperation, ValueError):
        raise ValueError(f"found {brief(value)}, expected a number of seconds") from None
    if not seconds.is_finite():
        raise ValueError(f"found {brief(value)}, expected a finite number of seconds")
    if seconds < 0:
        raise ValueError(f"found {brief(value)}, expected seconds from the start, 0 or more")
    if seconds > MAX_SECONDS:
        raise ValueError(f"found {brief(value)}, expected seconds (is it in another unit?)")
    return int((seconds * 1000).to_integral_value(ROUND_HALF_EVEN))


def brief(value: object, limit: int = 60) -> str:
    """A value as a message shows it: JSON-like, on one line, cut short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"an object with keys {name_some(value)}" if value else "an empty object"
    text = _SHORT.repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def name_some(names: Iterable[object], limit: int = 6) -> str:
    """Up to `limit` names, quoted, and how many more there are."""
    listed = [repr(str(name)) for name in names]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + more


def _object(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    decoded: dict[Any, Any] = dict(pairs)
    if len(decoded) < len(pairs):
        names = [name for name, _ in pairs]
        decoded[REPEATED] = next(name for name in names if names.count(name) > 1)
    return decoded


def _join(where: str, key: object) -> str:
    return f"{where}.{key}" if where else str(key)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
