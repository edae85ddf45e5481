"""Speech from CSV or TSV with columns ``start`` and ``end`` (s), and perhaps more; and into CSV.

``start_s``, ``end_s``, and ``start_ms``, ``end_ms`` (milliseconds) are read too; a ``speaker``
column chooses rows, a ``word`` or ``text`` column makes them words. A ``kind`` column, as
:func:`csv_text` writes it, chooses them too: ``ipu`` for speech, ``word`` for words.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.lanes import clean
from flexi_score.formats.nonspeech import are_speech, as_word
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label, require_labels, split_prefixes
from flexi_score.schema import EVENT_KINDS

#: Kinds of rows of the tables that are exported: speech is read from one, words from another.
SPEECH: Final = "ipu"
WORD: Final = "word"
KINDS: Final = frozenset({*EVENT_KINDS, WORD, "annotation", "moment"})

#: A spreadsheet takes a cell that begins so for a formula, and runs it.
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
#: Columns of start and end, and how many of their units a second has; the first pair counts.
_PAIRS: Final = (
    ("start", "end", 1),
    ("start", "stop", 1),
    ("start_s", "end_s", 1),
    ("start_time", "end_time", 1),
    ("start_ms", "end_ms", 1000),
)
#: Columns that may say whose a row is, and what was said; the first of them counts.
_WHO: Final = (
    "speaker",
    "speaker_id",
    "speaker_label",
    "speaker_name",
    "spk",
    "role",
    "party",
    "participant",
    "channel",
    "who",
)
_SAID: Final = ("word", "text", "transcript", "utterance")


def read_delimited(path: Path, whose: Whose = ANYONE, *, words: bool = False) -> list[Timed]:
    """Rows of a table of segments; of a table with several kinds of rows, those wanted.

    Raises
    ------
    TranscriptError
        Where the header lacks start and end, or a row is malformed.
    """
    text = read_text(path, TranscriptError)
    delimiter = max(",;\t", key=text.lstrip().split("\n", 1)[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(c.strip() for c in cells)]
    except csv.Error as cause:
        raise TranscriptError(f"{path}, line {reader.line_num}: not valid CSV: {cause}") from None
    header = ["_".join(name.lower().split()) for name in lines[0][1]] if lines else []
    columns = next((pair for pair in _PAIRS if pair[0] in header and pair[1] in header), None)
    if columns is None:
        heading = name_some(header) if header else "an empty file"
        raise TranscriptError(
            f"{path}, line 1: found {heading}, expected columns 'start' and 'end'"
        )
    first, last, per_second = columns
    kinds = {
        row[header.index("kind")].strip()
        for _, row in lines[1:]
        if "kind" in header and len(row) == len(header)
    }
    wanted = wanted_kind(path, kinds, words)
    who = next((name for name in _WHO if name in header), None)
    entries: list[Timed] = []
    labels: list[str] = []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise TranscriptError(
                f"{path}, line {number}: found {len(cells)} cells, expected {len(header)} as in "
                "the header"
            )
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        if wanted is not None and row["kind"] != wanted:
            continue
        word = next((row[name] for name in _SAID if name in row), None)
        if wanted and word:
            word = as_word(word[1:] if word.startswith("'") and _FORMULA.match(word) else word)
        start, end = (_seconds(row[name], per_second) for name in (first, last))
        entries.append(timed(path, f"line {number}", start, end, word))
        label = row[who] if who else ""
        labels.append(f"channel {label}" if who == "channel" and label.isdecimal() else label)
    speech = are_speech(path, [entry.text for entry in entries])
    labels = [label for label, keep in zip(labels, speech, strict=True) if keep]
    entries = [entry for entry, keep in zip(entries, speech, strict=True) if keep]
    if not who:
        split = split_prefixes([entry.text or "" for entry in entries], whose)
        if split is None:
            require_labels(path, len(entries), whose, "no column 'speaker' says")
            return entries
        labels = split[0]
        entries = [e._replace(text=text) for e, text in zip(entries, split[1], strict=True)]
    own = choose_label(path, "speakers", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def read_delimited_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_delimited`, words rather than speech."""
    return read_delimited(path, whose, words=True)


def has_words(path: Path) -> bool:
    """Whether a table has words: rows of that kind, or else a column ``word``."""
    lines = read_text(path, TranscriptError).split("\n")
    header = [name.strip().lower() for name in re.split("[,;\t]", lines[0])]
    if "kind" in header:
        return any(WORD in re.split("[,;\t]", line) for line in lines[1:])
    return "word" in header


def wanted_kind(path: Path, kinds: Collection[str], words: bool) -> str | None:
    """The kind of rows to read of a table whose rows are of these kinds; None: it has none.

    Raises
    ------
    TranscriptError
        Where words are wanted of an exported table that has none: those of the recording are then
        not known, which is not the same as no words.
    """
    if not kinds or not set(kinds) <= KINDS:
        return None
    if words and WORD not in kinds:
        raise TranscriptError(
            f"{path}: has no rows of kind {WORD!r}, expected words; give it as speech instead"
        )
    return WORD if words else SPEECH


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV; null is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front, which
    :func:`read_delimited` takes away again.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)
    return out.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return str(value)
    text = clean(value)
    return "'" + text if _FORMULA.match(text) else text


def _seconds(cell: str, per_second: int) -> str:
    if per_second == 1:
        return cell
    try:
        return f"{Decimal(cell) / per_second:f}"
    except (InvalidOperation, ValueError):
        return cell  # for timed() to refuse
