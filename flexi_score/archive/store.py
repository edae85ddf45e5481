"""The archive: what extraction found, kept for ever, so that scoring never needs the audio again.

A folder of append-only tables, each a set of Parquet parts::

    archive.json              what this is, and its version
    channels/*.parquet        one row a channel: speech probabilities, energy envelope, levels
    words/*.parquet           one row a transcript (recognised or given)
    segments/*.parquet        one row a segment file that replaces detection
    leaks/*.parquet           one row a channel beside another: what is left without its leak
    health/*.parquet          one row a pair of channels: how they were captured
    recordings/*.parquet      manifest rows, with the keys of what belongs to them
    failures/*.parquet        recordings that could not be used, and why
    files/*.parquet           hashes of files, so that they need not be read again: only a cache

Artefacts are addressed by content: the key of a channel is a hash of the audio file's bytes, the
channel number, the detector's weights and the settings that shaped it. The same audio under two
names is extracted once. A part is written beside its place and renamed into it, so a part is whole
or absent, whenever the program is killed; its name carries the hash of its bytes. Where a key
occurs twice, the newer part wins.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.archive.parts import (
    blame,
    check_whole,
    explain_damage,
    is_whole,
    set_aside,
    write_whole,
)
from flexi_score.archive.tables import (
    ARCHIVED,
    ATTEMPTS,
    CHANNELS,
    ENVELOPE_MS,
    FILES,
    FRAME_MS,
    HEALTH,
    LEAKS,
    LINKS,
    SEGMENTS,
    TABLES,
    WORDS,
)
from flexi_score.errors import ArchiveError
from flexi_score.schema import FAILURES, make_schema

__all__ = [  # the tables of archive_tables are reached from here
    "ARCHIVED",
    "ATTEMPTS",
    "CHANNELS",
    "ENVELOPE_MS",
    "FILES",
    "FORMAT",
    "FRAME_MS",
    "HEALTH",
    "LEAKS",
    "LINKS",
    "SEGMENTS",
    "TABLES",
    "VERSION",
    "WORDS",
    "append",
    "content_key",
    "count",
    "damaged_parts",
    "explain_damage",
    "is_archive",
    "keeping",
    "known_keys",
    "leak_key",
    "locate",
    "open_archive",
    "read_attempts",
    "read_columns",
    "read_failures",
    "read_recordings",
    "read_rows",
    "reading_only",
    "remembering",
    "set_aside",
]

FORMAT: Final = "flexi_score archive"
VERSION: Final = 1


def is_archive(path: str | Path) -> bool:
    """Whether a path is the folder of an archive."""
    return (Path(path) / "archive.json").is_file()


def open_archive(path: str | Path, *, create: bool = False) -> Path:
    """Check that a folder is an archive that this version reads, or make it one.

    Raises
    ------
    ArchiveError
        Not an archive, not readable, or of another version.
    """
    folder = Path(path)
    label = folder / "archive.json"
    if not label.is_file():
        if not create:
            raise ArchiveError(f"{folder}: not an archive (it has no archive.json)")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"format": FORMAT, "version": VERSION}, indent=1)
            write_whole(label, text.encode())
        except OSError as error:
            raise ArchiveError(f"{folder}: cannot make an archive here: {error}") from error
        return folder
    try:
        found = json.loads(label.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{label}: cannot be read: {error}") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ArchiveError(f"{label}: is not the label of a {FORMAT}")
    if found.get("version") != VERSION:
        raise ArchiveError(
            f"{label}: version {found.get('version')!r}, this flexi_score reads {VERSION}; "
            "extract again into a new folder"
        )
    return folder


def content_key(*parts: str | int | float | Mapping[str, Any]) -> str:
    """Hash of everything that shapes an artefact."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def leak_key(target: str, source: str, target_ms: int, source_ms: int) -> str:
    """Key of the row of :data:`LEAKS` of a channel beside another that starts at another time."""
    return f"{target}<{source}@{source_ms - target_ms}"


def append(archive: Path, table: str, rows: Sequence[Mapping[str, Any]] | pl.DataFrame) -> None:
    """Add rows to a table of the archive, as one new part.

    Raises
    ------
    ArchiveError
        If the part cannot be written; nothing is then added.
    """
    if not len(rows):
        return
    schema = TABLES[table]
    frame = rows if isinstance(rows, pl.DataFrame) else pl.DataFrame(rows, schema=schema)
    absent = [pl.lit(None, kind).alias(n) for n, kind in schema.items() if n not in frame.columns]
    buffer = io.BytesIO()
    frame.with_columns(absent).select(schema.names()).cast(schema).write_parquet(
        buffer, compression="zstd"
    )
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()[:16]
    folder = archive / table
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / f"{_next_stamp(archive):020d}-{digest}.parquet", data)
    except OSError as error:
        raise ArchiveError(
            f"{folder}: cannot add to the archive: {error}; what it holds is whole: make room, "
            "then run the same command again, and only what is missing is extracted"
        ) from error


def read_columns(archive: Path, table: str, columns: Sequence[str]) -> pl.DataFrame:
    """Some columns of all rows of a table.

    Raises
    ------
    ArchiveError
        If a part is damaged, naming it.
    """
    parts = _parts(archive, table)
    if not parts:
        return TABLES[table].to_frame().select(columns)
    try:
        return _scan(parts).select(columns).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArchiveError(blame(parts, error)) from error


def count(archive: str | Path, table: str) -> int:
    """Number of rows of a table, older ones of the same key included."""
    parts = _parts(Path(archive), table)
    return int(_scan(parts).select(pl.len()).collect().item()) if parts else 0


def known_keys(archive: Path, table: str) -> set[str]:
    """Keys that a table holds."""
    return set(read_columns(archive, table, ["key"])["key"])


#: Rows that were read within :func:`remembering`, by what was asked for.
_REMEMBERED: ContextVar[dict[tuple[str, str, int], pl.DataFrame] | None] = ContextVar(
    "remembered", default=None
)


@contextmanager
def remembering() -> Iterator[None]:
    """Within it, :func:`read_rows` reads what it is asked for again from memory.

    For work that goes over the same recordings many times, and adds nothing meanwhile.
    """
    token = _REMEMBERED.set({})
    try:
        yield
    finally:
        _REMEMBERED.reset(token)


#: Where rows that are read within :func:`keeping` go: table, columns, what was read.
_KEPT: ContextVar[tuple[str, Sequence[str], list[pl.DataFrame]] | None] = ContextVar(
    "kept", default=None
)


@contextmanager
def keeping(table: str, columns: Sequence[str]) -> Iterator[list[pl.DataFrame]]:
    """Within it, these columns of whatever :func:`read_rows` reads of a table are kept as well.

    For work that knows only afterwards of which rows it needs them: no other part is read.
    """
    found: list[pl.DataFrame] = []
    token = _KEPT.set((table, columns, found))
    try:
        yield found
    finally:
        _KEPT.reset(token)


def read_rows(
    archive: Path, table: str, keys: Sequence[str] | pl.Series, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Rows of a table with these keys, one a key; keys it does not hold are absent.

    ``columns`` (``key`` among them) spares reading the others.

    Raises
    ------
    ArchiveError
        If a part is damaged, naming it.
    """
    wanted = pl.Series("key", keys, dtype=pl.String).unique().sort()
    remembered = _REMEMBERED.get()
    if remembered is None or columns is not None:
        return _read_rows(archive, table, wanted, columns)
    asked = (str(archive), table, hash(tuple(wanted)))
    if asked not in remembered:
        remembered[asked] = _read_rows(archive, table, wanted)
    return remembered[asked]


def _read_rows(
    archive: Path, table: str, wanted: pl.Series, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    parts = _parts(archive, table)
    columns = TABLES[table].names() if columns is None else columns
    if not parts or not len(wanted):
        return TABLES[table].to_frame().select(columns)
    try:
        # pl.Series.implode: one list to look in, not one a row.
        rows = _scan(parts).filter(pl.col("key").is_in(wanted.implode()))
        found = rows.select(columns).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArchiveError(blame(parts, error)) from error
    found = found.unique("key", keep="last", maintain_order=True)
    kept = _KEPT.get()
    if kept is not None and kept[0] == table:
        kept[2].append(found.select(kept[1]))
    return found


def read_recordings(archive: Path) -> pl.DataFrame:
    """Every recording of the archive (:data:`ARCHIVED`), in the order of their manifest.

    The order is that of the manifest, not that of the work, so that it does not depend on how the
    work was divided or interrupted. A recording that was added again has its newer row. Those that
    last failed are left out.
    """
    good = _read_log(archive, "recordings")
    bad = _read_log(archive, "failures")
    latest = bad.select("recording", pl.col("part").alias("failed_in"))
    rows = good.join(latest, on="recording", how="left", maintain_order="left")
    rows = rows.filter(pl.col("failed_in").is_null() | (pl.col("part") > pl.col("failed_in")))
    placed = rows["manifest_position"].is_not_null().any()
    order = ["manifest_position", "recording"] if placed else []
    rows = rows.sort(order, nulls_last=True, maintain_order=True) if order else rows
    return rows.select(ARCHIVED.names())


def read_failures(archive: Path) -> pl.DataFrame:
    """Recordings whose last attempt failed (:data:`flexi_score.schema.FAILURES`)."""
    return read_attempts(archive).select(FAILURES.names()).sort("recording")


def read_attempts(archive: Path) -> pl.DataFrame:
    """Recordings whose last attempt failed, and what was tried (:data:`ATTEMPTS`)."""
    good = _read_log(archive, "recordings")
    bad = _read_log(archive, "failures")
    latest = good.select("recording", pl.col("part").alias("done_in"))
    rows = bad.join(latest, on="recording", how="left", maintain_order="left")
    return rows.filter(pl.col("done_in").is_null() | (pl.col("part") > pl.col("done_in"))).select(
        ATTEMPTS.names()
    )


def _read_log(archive: Path, table: str) -> pl.DataFrame:
    parts = _parts(archive, table)
    schema = make_schema({**TABLES[table], "part": pl.String})
    if not parts:
        return schema.to_frame()
    try:
        rows = _scan(parts, include_file_paths="part").collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ArchiveError(blame(parts, error)) from error
    names = pl.col("part").str.split("/").list.last()
    return rows.with_columns(names).unique("recording", keep="last", maintain_order=True)


def damaged_parts(archive: Path, tables: Iterable[str] = tuple(TABLES)) -> list[Path]:
    """Parts whose bytes do not match the hash in their name."""
    parts = [part for table in tables for part in _parts(archive, table)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing leaves the interpreter free
        whole = list(pool.map(is_whole, parts))
    return [part for part, good in zip(parts, whole, strict=True) if not good]


#: Parts that are read within :func:`reading_only`, by table.
_ONLY: ContextVar[Mapping[str, Sequence[Path]] | None] = ContextVar("only", default=None)


@contextmanager
def reading_only(parts: Mapping[str, Sequence[Path]]) -> Iterator[None]:
    """Within it, only these parts of the tables that are named are read."""
    token = _ONLY.set(parts)
    try:
        yield
    finally:
        _ONLY.reset(token)


def locate(archive: Path) -> pl.DataFrame:
    """In which parts the artefacts of each channel are: ``key, table, part``.

    Artefacts of two channels (``health``, ``leaks``) are found under the first one's key.
    """
    found = []
    for table in ("channels", "words", "segments", "leaks", "health"):
        parts = _parts(archive, table)
        if not parts:
            continue
        try:
            keys = _scan(parts, include_file_paths="part").select("key", "part").collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise ArchiveError(blame(parts, error)) from error
        if table in ("leaks", "health"):
            keys = keys.with_columns(pl.col("key").str.extract("^([^<+]*)"))
        found.append(keys.with_columns(table=pl.lit(table)))
    schema = {"key": pl.String, "part": pl.String, "table": pl.String}
    return pl.concat([pl.DataFrame(schema=schema), *found]).select("key", "table", "part")


def _parts(archive: Path, table: str) -> list[Path]:
    only = _ONLY.get()
    if only is not None and table in only:
        return list(only[table])
    return sorted((archive / table).glob("*.parquet"))


def _scan(parts: Sequence[Path], include_file_paths: str | None = None) -> pl.LazyFrame:
    check_whole(parts)
    # A part that was written before a column was thought of has nulls there.
    return pl.scan_parquet(
        list(parts),
        glob=False,
        include_file_paths=include_file_paths,
        schema=TABLES[parts[0].parent.name],
        missing_columns="insert",
        extra_columns="ignore",
    )


def _next_stamp(archive: Path) -> int:
    """Now (ns), or right after the newest attempt where the clock has been set back."""
    names = [part.name for table in ("recordings", "failures") for part in _parts(archive, table)]
    newest = max((name.partition("-")[0] for name in names), default="")
    return max(time.time_ns(), int(newest) + 1 if newest.isdigit() else 0)
