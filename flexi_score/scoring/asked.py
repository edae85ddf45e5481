"""What a judge would be asked about an archive, in memory that does not grow with it."""

from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.silent import noisy_systems
from flexi_score.config import Settings, load_settings
from flexi_score.judge.questions import Questions, build_questions
from flexi_score.scoring.prepare import prepare
from flexi_score.segment.structure import build_structure

#: Recordings taken at a time; a process takes about 1 GB for as many of 20 s.
CHUNK: Final = 25_000


def find_questions(
    archive: str | Path,
    *,
    settings: Settings | None = None,
    only: pl.Series | None = None,
    chunk: int = CHUNK,
) -> Questions:
    """What a judge would be asked about the recordings of an archive; nobody is asked.

    Parameters
    ----------
    archive : path
    settings : Settings, optional
        Of the judge, none is needed.
    only : polars.Series, optional
        Ids of the recordings; by default all.
    chunk : int
        Recordings looked at at a time.

    Returns
    -------
    Questions
        What to ask (:data:`flexi_score.judge.questions.QUESTIONS`), and what cannot be asked
        (:data:`flexi_score.judge.questions.UNASKED`).
    """
    settings, reader = settings or load_settings(), ArchiveReader(archive)
    rows = reader.recordings()
    if only is not None:
        rows = rows.filter(pl.col("recording").is_in(only.implode()))
    noisy = noisy_systems(reader, rows)
    found = [
        questions_of(reader.limited_to(piece), piece, settings, noisy)
        for piece in (rows[i : i + chunk] for i in range(0, max(len(rows), 1), chunk))
    ]
    asked, unasked = (pl.concat(tables) for tables in zip(*found, strict=True))
    return Questions(asked, unasked)


def questions_of(
    reader: ArchiveReader, rows: pl.DataFrame, settings: Settings, noisy: frozenset[str]
) -> Questions:
    """The questions about some rows of an archive."""
    tracks = prepare(reader, rows, settings, noisy).tracks
    return build_questions(build_structure(tracks, settings), settings)
