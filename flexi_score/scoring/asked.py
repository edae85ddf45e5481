"""What a judge would be asked about an archive, in memory that does not grow with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.archive import store
from flexi_score.config import Settings, load_settings
from flexi_score.judge.questions import Questions, build_questions
from flexi_score.schema import SPEAKERS
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
    settings, folder = settings or load_settings(), store.open_archive(archive)
    rows, where = store.read_recordings(folder), store.locate(folder)
    if only is not None:
        rows = rows.filter(pl.col("recording").is_in(only.implode()))
    found = [
        questions_of(folder, piece, settings, parts_of(piece, where))
        for piece in (rows[i : i + chunk] for i in range(0, max(len(rows), 1), chunk))
    ]
    asked, unasked = (pl.concat(tables) for tables in zip(*found, strict=True))
    return Questions(asked, unasked)


def questions_of(
    folder: Path, rows: pl.DataFrame, settings: Settings, parts: Mapping[str, Sequence[Path]]
) -> Questions:
    """The questions about some rows of an archive, of which these parts are read."""
    with store.reading_only(parts):
        tracks = prepare(folder, rows, settings).tracks
    return build_questions(build_structure(tracks, settings), settings)


def parts_of(rows: pl.DataFrame, where: pl.DataFrame) -> dict[str, list[Path]]:
    """Parts of the archive that hold anything of these recordings: those of a chunk, not all."""
    names = [f"{side}_{kind}" for side in SPEAKERS for kind in ("key", "words_key", "segments_key")]
    keys = pl.concat([rows[name].alias("key") for name in names]).drop_nulls().unique()
    found = where.filter(pl.col("key").is_in(keys.implode())).select("table", "part").unique()
    parts: dict[str, list[Path]] = {table: [] for table in where["table"].unique()}
    for table, part in found.sort("part").iter_rows():
        parts[table].append(Path(part))
    return parts
