"""Tables of the batches of a run: in memory where there is one batch, else as files of a folder."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import polars as pl

Tables: TypeAlias = Mapping[str, pl.DataFrame]


class Spool:
    """Where batches put their tables, each under the number of its batch.

    ``folder``: a folder for files of its own, deleted with the spool; None keeps the tables in
    memory. Only a spool with a folder can be passed to another process, whose copy never deletes
    it.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self._owned: tempfile.TemporaryDirectory[str] | None = None
        self.folder: Path | None = None
        if folder is not None:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self._owned = tempfile.TemporaryDirectory(prefix=".batches-", dir=folder)
            self.folder = Path(self._owned.name)
        self._held: dict[str, dict[int, pl.DataFrame]] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"_owned": None, "folder": self.folder, "_held": {}}

    def put(self, number: int, tables: Tables) -> None:
        """Keep tables of a batch, in place of those it put under the same names before."""
        for name, table in tables.items():
            if self.folder is None:
                self._held.setdefault(name, {})[number] = table
                continue
            part = self.folder / name
            part.mkdir(exist_ok=True)
            file = part / f"{number:06d}.parquet"
            new = file.with_suffix(".part")
            table.write_parquet(new, compression="lz4", statistics=False)
            new.replace(file)

    def get(self, name: str, numbers: Iterable[int]) -> pl.DataFrame:
        """A table of some batches, in the order of their numbers."""
        if self.folder is None:
            return pl.concat(self._held[name][number] for number in sorted(numbers))
        files = [self.folder / name / f"{number:06d}.parquet" for number in sorted(numbers)]
        return pl.concat(pl.read_parquet(file, glob=False) for file in files)

    def scan(self, name: str) -> pl.LazyFrame:
        """A table of all batches, in the order of their numbers."""
        if self.folder is None:
            return pl.concat(table for _, table in sorted(self._held[name].items())).lazy()
        files = sorted((self.folder / name).glob("*.parquet"))
        return pl.scan_parquet(files, glob=False)

    def table(self, name: str) -> pl.DataFrame | pl.LazyFrame:
        """A table of all batches for a run: a frame where it is in memory, else a lazy one."""
        scanned = self.scan(name)
        return scanned.collect() if self.folder is None else scanned
