"""The archive: what extraction measured, stored permanently, so that scoring needs no audio.

A folder of append-only tables, each a set of Parquet parts::

    archive.json              what this is, and its version
    channels/*.parquet        one row per channel: levels, length, detector
    frames/*.parquet          one row per channel: speech probabilities and energy envelope
    crosstalk/*.parquet       one row per channel beside another: crosstalk in it
    speech/*.parquet          one row per channel: speech intervals of the settings of extraction
    words/*.parquet           one row per transcript (recognised or given)
    segments/*.parquet        one row per segment file that replaces detection
    health/*.parquet          one row per pair of channels: how they were captured
    recordings/*.parquet      manifest rows, with the keys of what belongs to them
    failures/*.parquet        recordings that could not be used, and why
    files/*.parquet           hashes of files, so that they need not be read again: only a cache

Artefacts are addressed by content: their key is a hash of what they were made from, the version of
the algorithm and every setting that it used (:mod:`flexi_score.extraction.keys`). The same audio
under two names is extracted once. A part is written beside its place and renamed into it, so a part
is whole or absent, whenever the program is killed; its name carries the hash of its bytes. Where a
key occurs twice, the newer part wins.
"""

import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.archive.parts import is_whole, list_parts, write_whole
from flexi_score.archive.tables import TABLES
from flexi_score.errors import ArchiveError

FORMAT: Final = "flexi_score archive"
VERSION: Final = 2


def is_archive(path: str | Path) -> bool:
    """Whether a path is the folder of an archive."""
    return (Path(path) / "archive.json").is_file()


def open_archive(path: str | Path, *, create: bool = False) -> Path:
    """Check that a folder is an archive that this version reads, or make it one."""
    folder = Path(path)
    label = folder / "archive.json"
    if not label.is_file():
        if not create:
            raise ArchiveError(f"{folder}: {_no_archive(folder)}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"format": FORMAT, "version": VERSION}, indent=1)
            write_whole(label, text.encode())
        except OSError as error:
            raise ArchiveError(
                f"{folder}: cannot make an archive here ({error.strerror}); name a folder that is "
                "writable, on a disk with room"
            ) from error
        return folder
    try:
        content = json.loads(label.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{label}: cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArchiveError(f"{label}: is not the label of a {FORMAT}")
    if content.get("version") != VERSION:
        raise ArchiveError(
            f"{label}: version {content.get('version')!r}, this flexi_score reads {VERSION}; "
            "extract again into a new folder"
        )
    return folder


def _no_archive(folder: Path) -> str:
    """Why a folder is no archive, and which is, or how to make one."""
    if not folder.is_dir():
        return "no such folder; expected an archive, as flexi-score extract makes it"
    if (folder / "archive" / "archive.json").is_file():
        return f"a run folder, not an archive (no archive.json); name {folder / 'archive'}"
    return (
        "not an archive (it has no archive.json); make one of recordings with "
        f"flexi-score extract {folder} --archive DIR"
    )


def content_key(*parts: str | int | float | Mapping[str, Any]) -> str:
    """Hash of everything that shapes an artefact."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def append(
    archive: Path,
    table: str,
    rows: Sequence[Mapping[str, Any]] | pl.DataFrame,
    newest: int | None = None,
) -> int:
    """Add rows to a table of the archive, as one new part.

    ``newest``: stamp of the newest part, where it is known. Returns it as it is then.
    """
    newest = newest_stamp(archive) if newest is None else newest
    if not len(rows):
        return newest
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
        # Now (ns), or right after the newest attempt where the clock has been set back.
        newest = max(time.time_ns(), newest + 1)
        write_whole(folder / f"{newest:020d}-{digest}.parquet", data)
    except OSError as error:
        raise ArchiveError(
            f"{folder}: cannot add to the archive ({error.strerror}); what it holds is whole: make "
            "room or let it be written, then run the same command again, and only what is missing "
            "is extracted"
        ) from error
    return newest


def damaged_parts(archive: Path, tables: Iterable[str] = tuple(TABLES)) -> list[Path]:
    """Parts whose bytes do not match the hash in their name."""
    parts = [part for table in tables for part in list_parts(archive, table)]
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:  # hashing leaves the interpreter free
        whole = list(pool.map(is_whole, parts))
    return [part for part, good in zip(parts, whole, strict=True) if not good]


def newest_stamp(archive: Path) -> int:
    """When the newest attempt was written (ns); 0 where there is none."""
    names = [
        part.name for table in ("recordings", "failures") for part in list_parts(archive, table)
    ]
    newest = max((name.partition("-")[0] for name in names), default="")
    return int(newest) if newest.isdigit() else 0
