"""Tasks of an extraction, and the one writer that adds their results to the archive.

A recording is attempted by :func:`attempt`, in this process or in any other, and its
:class:`Outcome` is handed to the one :class:`Writer` of the run. So a process that dies costs the
recording that it held, and the process that writes, at most what came in since the last part.

Failed attempts are kept. One is not repeated while nothing that it depended on has changed: the
manifest row, the bytes of its files, the models and settings, the versions of flexi_score and of
its algorithms.
"""

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.archive import store, tables
from flexi_score.archive.reader import ARTEFACTS, ArchiveReader
from flexi_score.audio.decode import content_hash
from flexi_score.errors import AudioError, FlexiScoreError, RecordingError
from flexi_score.extraction.extractor import Extractor
from flexi_score.extraction.keys import algorithm_versions
from flexi_score.extraction.recordings import Known, Made, describe_failure, extract_recording
from flexi_score.extraction.remote import PATHS as _PATHS
from flexi_score.extraction.remote import staged
from flexi_score.schema import RECORDINGS, Row

#: Results are written at least this often.
_FLUSH_S: Final = 20.0
_FLUSH_RECORDINGS: Final = 32
#: A file that changed this short a time before it was hashed may change again unnoticed, because
#: file systems stamp times in steps of up to 2 s; its hash is not kept.
_SETTLED_NS: Final = 2_500_000_000
_MEASURED: Final = ("channels", "crosstalk", "health")
#: Leftovers of killed writers are cleared away after this long: until then they may be at work.
_STALE_S: Final = 86_400.0


@dataclass(frozen=True)
class Task:
    """One recording to attempt."""

    #: :data:`flexi_score.schema.RECORDINGS`, and ``manifest_position``: its place, counted from 0
    row: Row
    #: SHA-256 of those of its files that have not been touched since they were read
    hashes: Mapping[str, str] = field(default_factory=dict)
    failed_as: str | None = None  # ``source_hash`` of a failed attempt that is not to be repeated


@dataclass(frozen=True)
class Outcome:
    """What came of a task."""

    task: Task
    #: rows for the archive by table, of ``recordings`` or ``failures`` among them
    rows: dict[str, list[Row]]
    seconds: float = 0.0  # length of the recording
    error: str | None = None
    skipped: bool = False  # it failed before in the same way, and was not tried again


def attempt(
    task: Task,
    extractor: Extractor,
    known: Known,
    began: Callable[[str], None] = lambda source_hash: None,
) -> Outcome:
    """Extract one recording; a fault of the recording becomes part of the outcome.

    ``began`` is called first, with the hash of everything that the attempt depends on. Raises
    FlexiScoreError for faults that are not the recording's, such as a missing package.
    """
    made = _no_rows()
    try:
        with staged(task.row) as local:
            return _attempt(task, local, made, extractor, known, began)
    except AudioError as problem:  # a URL that cannot be fetched
        return _failed(task, made, problem, None, {})


def _attempt(
    task: Task,
    local: Mapping[str, str],
    made: Made,
    extractor: Extractor,
    known: Known,
    began: Callable[[str], None],
) -> Outcome:
    known.hashes.clear()
    known.hashes.update(task.hashes)
    row = {
        name: local.get(value, value) if name in _PATHS else value
        for name, value in task.row.items()
    }
    files = _hash_files(row, known.hashes)
    made["files"] += [] if local else files
    hashes = dict(known.hashes)
    hashes |= {url: hashes[path] for url, path in local.items() if path in hashes}
    source = _source_hash(task.row, extractor, hashes)
    if source == task.failed_as:
        return Outcome(task, made, skipped=True)
    began(source)
    try:
        link = extract_recording(row, extractor, known, made)
    except Exception as problem:
        if isinstance(problem, FlexiScoreError) and not isinstance(problem, RecordingError):
            raise
        return _failed(task, made, problem, source, local)
    for table in _MEASURED:
        made[table] = [_rounded(measured) for measured in made[table]]
    made["recordings"].append(link | dict(task.row))
    return Outcome(task, made, seconds=link["duration_ms"] / 1000)


def _no_rows() -> Made:
    return {name: [] for name in tables.TABLES}


def _rounded(row: Row) -> Row:
    """Measurements to six decimals: sums in another order, by more threads, end elsewhere."""
    return {
        name: round(value, 6) + 0.0 if isinstance(value, float) else value
        for name, value in row.items()
    }


def _failed(
    task: Task, made: Made, problem: Exception, source: str | None, local: Mapping[str, str]
) -> Outcome:
    failure = describe_failure(task.row, problem) | {"source_hash": source}
    if not isinstance(problem, RecordingError):
        where = traceback.extract_tb(problem.__traceback__)[-1]
        failure["reason"] = (
            f"a fault of flexi-score itself ({type(problem).__name__}: {problem}, in "
            f"{Path(where.filename).name} line {where.lineno}); please report it"
        )
    for url, path in local.items():
        failure["reason"] = failure["reason"].replace(path, url)
    made["failures"].append(failure)
    return Outcome(task, made, error=failure["reason"])


def died(task: Task, how: str, source_hash: str | None = None) -> Outcome:
    """The outcome of a recording at which two processes in a row came to their end."""
    reason = (
        f"{task.row['audio'] or task.row['user_audio'] or task.row['recording']}: the process that "
        f"extracted it ended unexpectedly ({how}), twice; it may have run out of memory: try fewer "
        "--workers with --retry-failed"
    )
    failure = describe_failure(task.row, RecordingError(reason))
    failure |= {"error": "WorkerDied", "source_hash": source_hash}
    return Outcome(task, _no_rows() | {"failures": [failure]}, error=reason)


def plan_tasks(rows: pl.DataFrame, archive: Path, *, retry_failed: bool) -> list[Task]:
    """A task for every row, with what is known of its files and failed attempts."""
    attempts = ArchiveReader(archive).attempts().select("recording", "source_hash")
    failed = {} if retry_failed else dict(attempts.iter_rows())
    cache = _read_cache(archive)
    return [
        Task(row, _still_valid(row, cache), failed.get(row["recording"]))
        for row in rows.iter_rows(named=True)
    ]


def keep_refused(archive: Path, refused: pl.DataFrame) -> None:
    """Keep the manifest's rows that could not be read, so that scoring counts them, too."""
    attempts = ArchiveReader(archive).attempts()
    news = refused.join(attempts, on=refused.columns, how="anti", nulls_equal=True)
    store.append(archive, "failures", news)


class Writer:
    """Writes outcomes into the archive, in parts of some recordings each."""

    def __init__(self, archive: Path, after_write: Callable[[], None] = lambda: None) -> None:
        self._archive = archive
        self._after_write = after_write
        self._made = _no_rows()
        self._since = time.monotonic()
        self._newest = store.newest_stamp(archive)
        reader = ArchiveReader(archive)
        self._keys = {name: reader.keys(name) for name in ARTEFACTS}
        rows = reader.recordings(corrected=False).iter_rows(named=True)
        self._archived = {row["recording"]: _digest(row) for row in rows}
        _clear_leftovers(archive)

    def add(self, outcome: Outcome) -> None:
        """Take an outcome; what the archive holds already is not written again."""
        for table, rows in outcome.rows.items():
            fresh = rows
            if table in self._keys:
                fresh = [row for row in rows if row["key"] not in self._keys[table]]
                self._keys[table].update(row["key"] for row in fresh)
            elif table == "recordings":
                fresh = [r for r in rows if self._archived.get(r["recording"]) != _digest(r)]
            self._made[table] += fresh
        waiting = len(self._made["recordings"]) + len(self._made["failures"])
        if waiting >= _FLUSH_RECORDINGS or time.monotonic() - self._since > _FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting: artefacts first, then the recordings that refer to them."""
        for table, rows in self._made.items():
            self._newest = store.append(self._archive, table, rows, self._newest)
            rows.clear()
        self._after_write()
        self._since = time.monotonic()


def _digest(row: Row) -> int:
    return hash(repr([row.get(name) for name in tables.ARCHIVED.names()]))


def _paths(row: Row) -> Iterator[str]:
    for name in _PATHS:
        if row[name] is not None:
            yield row[name]


def _hash_files(row: Row, hashes: dict[str, str]) -> list[Row]:
    """Hash the files without a known hash; returns rows to store (:data:`tables.FILES`)."""
    rows = []
    for path in _paths(row):
        if path in hashes:
            continue
        began = time.time_ns()
        before = _stat(path)
        try:
            hashes[path] = content_hash(path)
        except (FlexiScoreError, OSError):
            continue  # whoever needs the file will say what is wrong with it
        if before is not None and before == _stat(path) and began - before[2] > _SETTLED_NS:
            names = ("n_bytes", "mtime_ns", "ctime_ns")
            rows.append(
                {"path": path, "sha256": hashes[path]} | dict(zip(names, before, strict=True))
            )
    return rows


def _stat(path: str) -> tuple[int, int, int] | None:
    """Size, and when content and anything about the file last changed (ns).

    Programs may set the first of these times, so that an equal size and time would prove little;
    the second is the file system's own.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _read_cache(archive: Path) -> dict[str, tuple[tuple[int, int, int], str]]:
    table = ArchiveReader(archive).files().select(tables.FILES.names())
    return {path: ((n, mtime, ctime), sha) for path, n, mtime, ctime, sha in table.iter_rows()}


def _still_valid(row: Row, cache: Mapping[str, tuple[tuple[int, int, int], str]]) -> dict[str, str]:
    hits = {path: cache[path] for path in _paths(row) if path in cache}
    return {path: sha for path, (stat, sha) in hits.items() if _stat(path) == stat}


def _source_hash(row: Row, extractor: Extractor, hashes: Mapping[str, str]) -> str:
    """Hash of all that an attempt depends on."""
    return store.content_key(
        "source",
        1,
        {"versions": algorithm_versions()},
        {name: row[name] for name in RECORDINGS.names()},
        {path: hashes.get(path) for path in _paths(row)},
        extractor.settings.model_dump(),
        getattr(extractor.detector, "sha256", "none"),
        extractor.recognizer_id,
    )


def _clear_leftovers(archive: Path) -> None:
    for leftover in archive.glob("*/.*.tmp"):
        try:
            if time.time() - leftover.stat().st_mtime > _STALE_S:
                leftover.unlink()
        except OSError:
            continue  # another process cleared it away
