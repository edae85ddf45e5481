"""Timed entries of a transcript or segment file, as every reader of a format returns them."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import polars as pl

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import to_ms
from flexi_score.schema import INTERVALS, TIMED_WORDS


class Timed(NamedTuple):
    """One word or stretch of speech.

    `text` is None where the format has no words; `place` is where in its file it stands.
    """

    start_ms: int
    end_ms: int
    text: str | None = None
    place: str = ""


def timed(path: Path, where: str, start: object, end: object, text: str | None = None) -> Timed:
    """An entry from its times in seconds.

    Raises
    ------
    TranscriptError
        Naming the file and the place in it, where a time is none, or the end is before the start.
    """
    times = []
    for name, value in (("start", start), ("end", end)):
        try:
            times.append(to_ms(value))
        except ValueError as cause:
            raise TranscriptError(f"{path}, {where}: {name}: {cause}") from None
    if times[1] < times[0]:
        raise TranscriptError(f"{path}, {where}: ends at {end} s, before its start at {start} s")
    return Timed(times[0], times[1], text, where)


def words_frame(path: Path, entries: Iterable[Timed]) -> pl.DataFrame:
    """Entries as words, sorted; entries without duration stay.

    Raises
    ------
    TranscriptError
        Where the entries have no words.
    """
    rows = sorted(entries, key=lambda item: item[:2])
    if any(item.text is None for item in rows):
        raise TranscriptError(f"{path}: has times only, expected words; give it as speech instead")
    frame = pl.DataFrame(
        {
            "start_ms": [item.start_ms for item in rows],
            "end_ms": [item.end_ms for item in rows],
            "text": [_unicode(item.text or "") for item in rows],
        },
        schema=TIMED_WORDS,
    )
    return frame.with_columns(pl.col("text").str.strip_chars())


def segments_frame(entries: Iterable[Timed]) -> pl.DataFrame:
    """Entries as stretches of speech, sorted; those without duration are dropped, none merged."""
    rows = sorted(item[:2] for item in entries if item.end_ms > item.start_ms)
    return pl.DataFrame(rows, schema=INTERVALS, orient="row")


def _unicode(text: str) -> str:
    # JSON can spell half a surrogate pair, which no UTF-8 string can hold.
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
