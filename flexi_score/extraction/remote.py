"""Input and archives at fsspec URLs (``s3://``, ``gs://``, ``file://``, ...): staged on local disk.

Audio is fetched for one recording at a time, into a temporary folder of the process that extracts
it. An archive is mirrored in a local folder, and every part is sent to its URL once it is written.
"""

import atexit
import posixpath
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

import polars as pl

from flexi_score.archive import store, tables
from flexi_score.archive.parts import list_parts
from flexi_score.errors import ArchiveError, AudioError, InputError, PrerequisiteError
from flexi_score.formats.files import EMBEDDED_SCHEME
from flexi_score.manifest import MANIFEST_NAMES, Manifest, read_input
from flexi_score.schema import Row
from flexi_score.version import install_command

PATHS = (
    "audio",
    "user_audio",
    "model_audio",
    "user_words",
    "model_words",
    "user_speech",
    "model_speech",
)
#: They have no folders: to make the folder of a part is to make its bucket, which is the user's.
OBJECT_STORES: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"})


def is_url(path: str | Path) -> bool:
    """Whether a path is a URL, as ``s3://bucket/calls.jsonl``."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(path)) is not None


def read_remote_manifest(url: str, **reading: Any) -> Manifest:
    """A manifest at a URL, or that of the folder there; relative paths become URLs."""
    system, location = _open(url)
    try:
        if system.isdir(location):
            here = [n for n in MANIFEST_NAMES if system.exists(posixpath.join(location, n))]
            if len(here) != 1:
                raise InputError(
                    f"{url}: expected one of {', '.join(MANIFEST_NAMES)} in this folder"
                )
            location = posixpath.join(location, here[0])
        # Kept until the program ends: a Parquet file may hold the audio itself.
        temporary = tempfile.mkdtemp(prefix="flexi_score-")
        atexit.register(shutil.rmtree, temporary, ignore_errors=True)
        local = Path(temporary).resolve() / posixpath.basename(location)
        system.get_file(location, str(local))
        manifest = read_input(local, **reading)
        root = str(local.parent)
    except OSError as error:
        raise InputError(f"{url}: cannot be fetched: {error}") from error
    base = posixpath.dirname(location)

    def remote(path: str | None) -> str | None:
        if path is None or path.startswith(EMBEDDED_SCHEME):
            return path
        below = path.removeprefix(root)
        scheme, sep, there = base.rpartition("://")  # only the path of HTTP begins with a scheme
        below = quote(below) if sep else below
        return str(system.unstrip_protocol(scheme + sep + posixpath.normpath(there + below)))

    columns = [pl.col(name).map_elements(remote, return_dtype=pl.String) for name in PATHS]
    failures = manifest.failures.with_columns(
        pl.col("reason").str.replace_all(root, base, literal=True)
    )
    warnings = [warning.replace(root, base) for warning in manifest.warnings]
    rows = manifest.rows.with_columns(columns)
    return replace(manifest, rows=rows, failures=failures, warnings=warnings)


@contextmanager
def mirror_archive(url: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A local copy of the archive at a URL, and a function that sends new parts there."""
    system, location = _open(url)
    with tempfile.TemporaryDirectory(prefix="flexi_score-") as temporary:
        folder = Path(temporary)
        try:
            there = _fetch_parts(system, location, folder)
        except OSError as error:
            raise ArchiveError(f"{url}: cannot be fetched: {error}") from error

        def send() -> None:
            # Artefacts before the recordings that refer to them, as they were written.
            new = [folder / "archive.json"]
            new += [part for table in tables.TABLES for part in list_parts(folder, table)]
            for part in new:
                name = part.relative_to(folder).as_posix()
                if name in there or not part.exists():
                    continue
                try:
                    _send(system, part, posixpath.join(location, name))
                except OSError as error:
                    raise ArchiveError(f"{url}/{name}: cannot be sent: {error}") from error
                there.add(name)

        store.open_archive(folder, create=True)
        yield folder, send
        send()


@contextmanager
def staged(row: Row) -> Iterator[dict[str, str]]:
    """Local copies of a recording's files that are URLs: path by URL; AudioError without one."""
    urls = sorted({row[name] for name in PATHS if row[name] is not None and is_url(row[name])})
    if not urls:
        yield {}
        return
    with tempfile.TemporaryDirectory(prefix="flexi_score-") as temporary:
        local = {}
        for n, url in enumerate(urls):
            if url.startswith(EMBEDDED_SCHEME):
                local[url] = take_out(url, Path(temporary) / str(n))
                continue
            system, location = _open(url)
            local[url] = str(Path(temporary) / f"{n}-{posixpath.basename(location)}")
            try:
                system.get_file(location, local[url])
            except (OSError, ValueError) as error:
                raise AudioError(f"{url}: cannot be fetched: {error}") from error
        yield local


def take_out(url: str, location: Path) -> str:
    """Write audio that a Parquet file holds into a file of its own; returns its path.

    ``location``: that path; its last suffix becomes the audio's own. Raises AudioError where the
    Parquet file cannot be read or holds no audio there.
    """
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    path, column, row = unquote(parts.path), query["column"][0], int(query["row"][0])
    try:
        cell = (
            pl.scan_parquet(path, hive_partitioning=False)
            .select(pl.col(column).struct.field("bytes").alias("bytes"))
            .slice(row, 1)
            .collect()
        )
    except (pl.exceptions.PolarsError, OSError) as error:
        raise AudioError(f"{path}, row {row + 1}: {column} cannot be read: {error}") from error
    data = cell["bytes"][0] if len(cell) else None
    if not data:
        raise AudioError(
            f"{path}, row {row + 1}: {column} holds no bytes; expected embedded audio. Where it "
            "only names a file, write that name as the column's value"
        )
    named = location.with_suffix(query.get("suffix", [""])[0])
    named.write_bytes(data)
    return str(named)


def _open(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise PrerequisiteError(
            f"{url}: reading URLs needs the package fsspec ({install_command('ray')}) and "
            "the one for the protocol, as s3fs or gcsfs"
        ) from error
    try:
        system, location = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise PrerequisiteError(f"{url}: {error}") from error
    return system, str(location).rstrip("/")


def _fetch_parts(system: Any, location: str, folder: Path) -> set[str]:
    there = set()
    for name in ["archive.json", *tables.TABLES]:
        remote = posixpath.join(location, name)
        if not system.exists(remote):
            continue
        if name == "archive.json":
            paths = [remote]
        else:
            paths = [p for p in system.find(remote) if str(p).endswith(".parquet")]
            (folder / name).mkdir()
        for path in paths:
            below = name if name == "archive.json" else f"{name}/{posixpath.basename(str(path))}"
            system.get_file(path, str(folder / below))
            there.add(below)
    return there


def _send(system: Any, part: Path, location: str) -> None:
    """Send a part; object stores show it whole or not at all, a file system must be helped."""
    spoken = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    if spoken & OBJECT_STORES:
        system.put_file(str(part), location)
        return
    system.makedirs(posixpath.dirname(location), exist_ok=True)
    if "file" not in spoken:
        system.put_file(str(part), location)
        return
    beside = posixpath.join(posixpath.dirname(location), f".{posixpath.basename(location)}.tmp")
    system.put_file(str(part), beside)
    system.mv(beside, location)
