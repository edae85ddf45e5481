"""Reading an archive: rows by key, the log of recordings, and readers of a share of the parts."""

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.archive.checks import find_fault
from flexi_score.archive.corrections import Corrections, read_corrections
from flexi_score.archive.parts import check_whole, explain_remedy, explain_unreadable, list_parts
from flexi_score.archive.store import open_archive
from flexi_score.archive.tables import ARCHIVED, ATTEMPTS, TABLES, artefact_keys
from flexi_score.errors import ArchiveError
from flexi_score.schema import FAILURES, make_schema

#: Tables that hold artefacts: addressed by content, one row per key.
ARTEFACTS: Final = tuple(name for name, schema in TABLES.items() if "key" in schema)


class ArchiveReader:
    """Reads the tables of an archive (:mod:`flexi_score.archive.store`).

    ``folder``: an archive. ``cached``: whether :meth:`read` answers repeated requests from memory.
    For work that goes over the same recordings many times while nothing is added.

    A reader can be pickled and passed to another process. Every method raises ArchiveError, naming
    the part, where one is damaged.
    """

    def __init__(self, folder: str | Path, *, cached: bool = False) -> None:
        self.folder = open_archive(folder)
        self._parts: dict[str, list[Path]] | None = None
        self._cache: dict[Hashable, pl.DataFrame] | None = {} if cached else None
        self._index: pl.DataFrame | None = None
        self._corrections: Corrections | None = None

    def __getstate__(self) -> dict[str, object]:
        """Everything but what can be read again."""
        cache: dict[str, object] | None = None if self._cache is None else {}
        return self.__dict__ | {"_cache": cache, "_index": None}

    def read(
        self,
        table: str,
        keys: Sequence[str] | pl.Series | None = None,
        columns: Sequence[str] | None = None,
    ) -> pl.DataFrame:
        """Rows of a table of artefacts, one per key: the newest; those with these keys, or all.

        A key that the table does not hold has no row.
        """
        columns = TABLES[table].names() if columns is None else list(columns)
        wanted = None if keys is None else pl.Series("key", keys, dtype=pl.String)
        if self._cache is None:
            return self._read(table, wanted, columns)
        which = None if wanted is None else wanted.hash().to_numpy().tobytes()
        request = (table, tuple(columns), which)
        if request not in self._cache:
            self._cache[request] = self._read(table, wanted, columns)
        return self._cache[request]

    def _read(self, table: str, wanted: pl.Series | None, columns: list[str]) -> pl.DataFrame:
        parts = self.parts(table)
        if not parts or (wanted is not None and not len(wanted)):
            return TABLES[table].to_frame().select(columns)
        wanted = None if wanted is None else wanted.unique().sort()
        read = list(dict.fromkeys(["key", *columns]))

        def query(rows: pl.LazyFrame) -> pl.LazyFrame:
            if wanted is not None:
                # pl.Series.implode: one list to look in, not one per row.
                rows = rows.filter(pl.col("key").is_in(wanted.implode()))
            return rows.select(read)

        rows = _collect(parts, query)
        if find_fault(table, rows) is not None:
            raise ArchiveError(_explain_fault(table, parts, query))
        return rows.unique("key", keep="last", maintain_order=True).select(columns)

    def keys(self, table: str) -> set[str]:
        """Keys that a table holds."""
        return set(self.read(table, columns=["key"])["key"])

    def count(self, table: str) -> int:
        """Number of rows of a table, older rows of the same key included."""
        parts = self.parts(table)
        return int(_collect(parts, lambda rows: rows.select(pl.len())).item()) if parts else 0

    def files(self) -> pl.DataFrame:
        """Hashes of files that extraction has read (:data:`~flexi_score.archive.tables.FILES`)."""
        parts = self.parts("files")
        return _collect(parts, lambda rows: rows) if parts else TABLES["files"].to_frame()

    def corrections(self) -> Corrections:
        """What was corrected by hand (:mod:`flexi_score.archive.corrections`)."""
        if self._cache is None:
            return read_corrections(self.folder)
        if self._corrections is None:
            self._corrections = read_corrections(self.folder)
        return self._corrections

    def recordings(self, names: pl.Series | None = None, *, corrected: bool = True) -> pl.DataFrame:
        """Recordings of the archive (:data:`~flexi_score.archive.tables.ARCHIVED`): every one, or
        those with these names.

        In the order of the manifest, not of the work, so that it does not depend on how the work
        was divided or interrupted. A recording that was added again has its newer row. Those whose
        last attempt failed are left out.
        """
        good, bad = self._log("recordings", names), self._log("failures", names)
        latest = bad.select("recording", pl.col("part").alias("failed_in"))
        rows = good.join(latest, on="recording", how="left", maintain_order="left")
        rows = rows.filter(pl.col("failed_in").is_null() | (pl.col("part") > pl.col("failed_in")))
        placed = rows["manifest_position"].is_not_null().any()
        order = ["manifest_position", "recording"] if placed else []
        rows = rows.sort(order, nulls_last=True, maintain_order=True) if order else rows
        rows = rows.select(ARCHIVED.names())
        annotations = self.corrections().annotations if corrected else pl.DataFrame()
        return rows.update(annotations, on="recording") if len(annotations) else rows

    def failures(self) -> pl.DataFrame:
        """Recordings whose last attempt failed (:data:`flexi_score.schema.FAILURES`)."""
        return self.attempts().select(FAILURES.names()).sort("recording")

    def attempts(self) -> pl.DataFrame:
        """Recordings whose last attempt failed, and what was tried (``tables.ATTEMPTS``)."""
        bad = self._log("failures")
        good = self._log("recordings", bad["recording"])
        latest = good.select("recording", pl.col("part").alias("done_in"))
        rows = bad.join(latest, on="recording", how="left", maintain_order="left")
        failed = pl.col("done_in").is_null() | (pl.col("part") > pl.col("done_in"))
        return rows.filter(failed).select(ATTEMPTS.names())

    def _log(self, table: str, names: pl.Series | None = None) -> pl.DataFrame:
        """The newest row of every recording, or of those with these names."""
        parts = self.parts(table)
        if not parts or (names is not None and not len(names)):
            return make_schema({**TABLES[table], "part": pl.String}).to_frame()

        def query(rows: pl.LazyFrame) -> pl.LazyFrame:
            return (
                rows if names is None else rows.filter(pl.col("recording").is_in(names.implode()))
            )

        rows = _collect(parts, query, include_file_paths="part")
        if find_fault(table, rows) is not None:
            raise ArchiveError(_explain_fault(table, parts, query))
        file = pl.col("part").str.split("/").list.last()
        return rows.with_columns(file).unique("recording", keep="last", maintain_order=True)

    def parts(self, table: str) -> list[Path]:
        """The parts of a table that this reader reads, oldest first."""
        if self._parts is not None and table in self._parts:
            return self._parts[table]
        return list_parts(self.folder, table)

    def limited_to(self, rows: pl.DataFrame) -> "ArchiveReader":
        """A reader of the parts that hold artefacts of some recordings, for a chunk of the work."""
        if self._index is None:
            self._index = self._locate()
        wanted = artefact_keys(rows).hash().unique()
        held = self._index.filter(pl.col("hash").is_in(wanted.implode()))
        limited = ArchiveReader(self.folder, cached=self._cache is not None)
        limited._parts = {table: [] for table in ARTEFACTS}
        for table, part in held.select("table", "part").unique().sort("part").iter_rows():
            limited._parts[table].append(self.folder / table / part)
        return limited

    def _locate(self) -> pl.DataFrame:
        """Which parts hold which keys: ``hash`` (of the key), ``table``, ``part`` (its name)."""
        schema = {"hash": pl.UInt64, "table": pl.String, "part": pl.String}
        located = [pl.DataFrame(schema=schema)]
        for table in ARTEFACTS:
            parts = self.parts(table)
            if not parts:
                continue
            rows = _collect(
                parts,
                lambda rows: rows.select(_own_key().hash().alias("hash"), "part"),
                include_file_paths="part",
                check=False,  # whoever is limited to a part checks it before its rows are read
            )
            name = pl.col("part").str.split("/").list.last()
            located.append(rows.select("hash", pl.lit(table).alias("table"), name))
        return pl.concat(located)


def _own_key() -> pl.Expr:
    """The key that a recording refers to: of speech, without algorithm and settings."""
    return pl.col("key").str.split_exact("#", 1).struct.field("field_0")


def _collect(
    parts: Sequence[Path],
    query: Callable[[pl.LazyFrame], pl.LazyFrame],
    include_file_paths: str | None = None,
    *,
    check: bool = True,
) -> pl.DataFrame:
    """The answer to a query over parts of one table, each checked by its hash before it is read."""
    if check:
        check_whole(parts)
    # A part that was written before a column was thought of has nulls there.
    rows = pl.scan_parquet(
        list(parts),
        glob=False,
        include_file_paths=include_file_paths,
        schema=TABLES[parts[0].parent.name],
        missing_columns="insert",
        extra_columns="ignore",
    )
    try:
        return query(rows).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        if len(parts) > 1:  # one of them alone says which it is
            for part in parts:
                _collect([part], query, include_file_paths, check=check)
        raise ArchiveError(explain_unreadable(parts[0], error)) from error


def _explain_fault(
    table: str, parts: Sequence[Path], query: Callable[[pl.LazyFrame], pl.LazyFrame]
) -> str:
    """Which part holds a row that cannot be so."""
    for part in parts:
        fault = find_fault(table, _collect([part], query))
        if fault is not None:
            return f"{part}: holds what cannot be: {fault}; {explain_remedy(part)}"
    return f"{parts[0].parent}: holds what cannot be"
