"""What the rows of an archive's tables must hold: ranges, lengths, order of intervals.

A part whose bytes were changed and hashed anew passes the check of its hash. What it then holds is
checked when it is read, so that it cannot end in numbers that look sound.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import polars as pl

from flexi_score.archive.tables import ENVELOPE_MS, FRAME_MS

#: Longest recording, and latest moment, that an archive holds.
MAX_MS: Final = 1_000_000_000
#: What no level, gain or energy lies beyond (dB), whatever the samples are.
MAX_DB: Final = 1_000.0
_LISTS: Final = ("speech", "segments", "words")


def find_fault(table: str, rows: pl.DataFrame) -> str | None:
    """What is wrong with the first row that cannot be so, in words; None where all is well."""
    for text, bad in _faults(table, rows):
        faulty = rows.filter(bad.fill_null(False))
        if len(faulty):
            return _name(faulty) + text
    for column in _LISTS:
        if column in rows.columns:
            row = _ill_timed(rows[column], disjoint=column == "speech")
            if row is not None:
                order = " sorted and disjoint" if column == "speech" else ""
                return _name(rows[row]) + f"{column} are no{order} intervals"
    return None


def _name(rows: pl.DataFrame) -> str:
    for name in ("key", "recording"):
        if name in rows.columns:
            return f"{name} {rows[name][0]!r}: "
    return ""


def _faults(table: str, rows: pl.DataFrame) -> Iterator[tuple[str, pl.Expr]]:
    """Pairs of a description and an expression that is true in rows that it fits."""
    columns = set(rows.columns)
    for column in sorted({"key", "recording"} & columns):
        yield f"{column} is missing", pl.col(column).is_null()
    for column in columns:
        kind = rows.schema[column]
        if column.endswith("_share") or column == "silent_frames":
            yield f"{column} is not in 0 to 1", ~pl.col(column).is_between(0, 1)
        elif column.endswith(("_dbfs", "_db")):
            yield f"{column} is no level", ~pl.col(column).is_between(-MAX_DB, MAX_DB)
        elif kind.is_float():
            yield f"{column} is no number", ~pl.col(column).is_finite()
        elif column == "duration_ms":
            yield f"{column} is not in 0 to {MAX_MS}", ~pl.col(column).is_between(0, MAX_MS)
        elif column.endswith("_offset_ms"):
            yield f"{column} is out of range", ~pl.col(column).is_between(-MAX_MS, MAX_MS)
    if table == "frames" and {"probabilities", "envelope_cdb"} <= columns:
        yield "probabilities and envelope are of different lengths", _lengths_differ()


def _lengths_differ() -> pl.Expr:
    """The last frame of either may be part of a step, and no more."""
    first = pl.col("probabilities").list.len().cast(pl.Int64) * FRAME_MS
    second = pl.col("envelope_cdb").list.len().cast(pl.Int64) * ENVELOPE_MS
    return (first - second).abs() > 2 * FRAME_MS


def _ill_timed(lists: pl.Series, *, disjoint: bool) -> int | None:
    """The first row with an interval that lacks a time, ends before it starts, or lies past all
    time; with `disjoint`, also one that is empty or starts before the one before it has ended."""
    sizes = lists.list.len().fill_null(0).to_numpy()
    flat = lists.explode().drop_nulls() if sizes.any() else lists.head(0).explode()
    owner = np.repeat(np.arange(len(lists)), sizes)
    times = flat.struct.unnest().select("start_ms", "end_ms")
    if len(flat) != len(owner) or any(times.null_count().row(0)):
        return 0
    start, end = (times[name].to_numpy() for name in times.columns)
    bad = (start > end) | (start < -MAX_MS) | (end > MAX_MS)
    if disjoint:
        bad |= (start == end) | (start < 0)
        bad[1:] |= (owner[1:] == owner[:-1]) & (start[1:] < end[:-1])
    return int(owner[bad.argmax()]) if bad.any() else None
