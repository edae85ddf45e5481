"""Speech from CSV or TSV with columns ``start`` and ``end`` (s), and perhaps more.

``start_s``, ``end_s``, and ``start_ms``, ``end_ms`` (milliseconds) are read too; a ``speaker``
column chooses rows, a ``word`` or ``text`` column makes them words.
"""

import csv
import io
from decimal import Decimal, InvalidOperation
from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.timed import Timed, choose_label, timed

_PAIRS = (("start", "end", 1), ("start_s", "end_s", 1), ("start_ms", "end_ms", 1000))


def read_delimited(path: Path, speaker: str | None = None) -> list[Timed]:
    """Rows of a table of segments.

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
    header = [name.strip().lower() for name in lines[0][1]] if lines else []
    columns = next((pair for pair in _PAIRS if pair[0] in header and pair[1] in header), None)
    if columns is None:
        found = name_some(header) if header else "an empty file"
        raise TranscriptError(f"{path}, line 1: found {found}, expected columns 'start' and 'end'")
    first, last, per_second = columns
    entries, labels = [], []
    for number, cells in lines[1:]:
        if len(cells) != len(header):
            raise TranscriptError(
                f"{path}, line {number}: found {len(cells)} cells, expected {len(header)} as in "
                "the header"
            )
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        word = row.get("word", row.get("text"))
        start, end = (_seconds(row[name], per_second) for name in (first, last))
        entries.append(timed(path, f"line {number}", start, end, word))
        labels.append(row.get("speaker", ""))
    own = choose_label(path, "speakers", labels, speaker)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def _seconds(cell: str, per_second: int) -> str:
    if per_second == 1:
        return cell
    try:
        return f"{Decimal(cell) / per_second:f}"
    except (InvalidOperation, ValueError):
        return cell  # for timed() to refuse
