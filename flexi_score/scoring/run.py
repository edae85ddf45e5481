"""The results of scoring, in memory or in a run folder."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from flexi_score.aggregate.people import PEOPLE
from flexi_score.archive import store
from flexi_score.config import Settings, load_settings, setting_names
from flexi_score.errors import InputError
from flexi_score.judge.questions import NOT_JUDGED
from flexi_score.metrics import profile_metrics
from flexi_score.metrics.registry import Metric
from flexi_score.schema import HEALTH, RATINGS, SCORES
from flexi_score.segment.tracks import Tracks

if TYPE_CHECKING:
    from flexi_score.report.notebook import Shown
    from flexi_score.report.show import RunPlots

#: The tables of a run; each is a Parquet file of its folder.
TABLES: Final = (
    "scores",
    "events",
    "summary",
    "recordings",
    "failures",
    "statistics",
    "health",
    "ratings",
    "not_judged",
    "people",
)
#: Tables that a folder of an earlier version may lack, as they are without a row.
_OPTIONAL: Final[Mapping[str, pl.Schema]] = {
    "statistics": pl.Schema({"recording": pl.String}),
    "health": HEALTH,
    "ratings": RATINGS,
    "not_judged": NOT_JUDGED,
    "people": PEOPLE,
}
#: The file that is written last, and names the others with their hashes.
LABEL: Final = "run.json"


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """Results of scoring.

    Each table is a property that reads it whole, once; :meth:`scan` gives it as a lazy frame, for
    runs that are larger than memory.

    Attributes
    ----------
    scores, events, summary, recordings, failures, health, ratings : polars.DataFrame
        See :mod:`flexi_score.schema`.
    statistics : polars.DataFrame
        Counts and durations of every recording's structure, whatever its scenario
        (:func:`flexi_score.metrics.conversation.statistics_frame`).
    not_judged : polars.DataFrame
        Ratings that the judge could not be asked for, and why
        (:data:`flexi_score.judge.questions.NOT_JUDGED`).
    people : polars.DataFrame
        How far each system's timing is from that of people, where a reference was given
        (:data:`flexi_score.aggregate.people.PEOPLE`).
    tables : mapping of str to polars.DataFrame or polars.LazyFrame
        All of these, by name.
    settings : Settings
    info : mapping
        ``run.json``: settings, signature, versions, models, counts.
    name : str
        To show it by.
    folder : Path or None
        The run folder it was read from.
    archive : Path or None
        The archive that was scored, while it is there: words and waveforms come from it.
    tracks : Tracks or None
        Speech and words as they were scored, of runs that were scored in one batch.

    Examples
    --------
    >>> run = Run.open("sample_recordings.run")  # doctest: +SKIP
    >>> run.summary.select("system", "scenario", "metric", "value")  # doctest: +SKIP
    >>> run.scan("events").filter(pl.col("kind") == "gap").collect()  # doctest: +SKIP
    """

    tables: Mapping[str, pl.DataFrame | pl.LazyFrame]
    settings: Settings
    info: Mapping[str, Any]
    name: str = "run"
    folder: Path | None = None
    archive: Path | None = None
    tracks: Tracks | None = None
    _read: dict[str, pl.DataFrame] = field(default_factory=dict)
    #: What holds the files of the tables, for as long as the run is in use.
    files: object = None

    @classmethod
    def open(cls, path: str | Path) -> "Run":
        """Read a run folder; its tables are read when they are first used.

        Raises
        ------
        InputError
            Where it is none, or is not whole, naming the file that is missing, cannot be read, or
            is not the one that ``run.json`` names.
        """
        folder = Path(path)
        tables: dict[str, pl.DataFrame | pl.LazyFrame] = {}
        for name in TABLES:
            file = folder / f"{name}.parquet"
            if file.is_file():
                tables[name] = pl.scan_parquet(file, glob=False)
            elif name in _OPTIONAL:
                tables[name] = _OPTIONAL[name].to_frame()
            else:
                raise InputError(
                    f"{file}: no such file; expected a run folder, as flexi-score score writes it"
                )
        info, settings = _read_label(folder)
        _check_files(folder, info)
        run = cls(
            tables, settings, info, folder.name or str(folder), folder, _archive(folder, info)
        )
        for name in ("scores", "summary", "failures"):
            run.table(name)  # to find out now what cannot be read
        missing = [column for column in SCORES.names() if column not in run.scores.columns]
        if missing:
            raise InputError(
                f"{folder / 'scores.parquet'}: has no column {missing[0]}; score again"
            )
        return run

    def write(self, folder: str | Path) -> Path:
        """Write the run folder: tables, summary.json, summary.md, report.html and run.json.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            Naming what cannot be written; a run that was there before is then still there.
        """
        import flexi_score  # which draws: results do not know how they are shown

        return flexi_score.write(self, folder)

    def with_tables(self, **tables: pl.DataFrame | pl.LazyFrame) -> "Run":
        """The same run with other tables in place of these."""
        return replace(self, tables={**self.tables, **tables}, _read={})

    def scan(self, table: str) -> pl.LazyFrame:
        """One of the tables, not yet read."""
        return self.tables[table].lazy()

    def table(self, name: str) -> pl.DataFrame:
        """One of the tables, whole.

        Raises
        ------
        InputError
            Where the file of a run folder cannot be read.
        """
        if name not in self._read:
            try:
                self._read[name] = self.scan(name).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                file = (self.folder or Path()) / f"{name}.parquet"
                raise InputError(f"{file}: cannot be read ({error}); score again") from error
        return self._read[name]

    @property
    def scores(self) -> pl.DataFrame:
        """One row per recording and metric (:data:`flexi_score.schema.SCORES`)."""
        return self.table("scores")

    @property
    def events(self) -> pl.DataFrame:
        """IPUs, turns, pauses, gaps, ... (:data:`flexi_score.schema.EVENTS`)."""
        return self.table("events")

    @property
    def summary(self) -> pl.DataFrame:
        """Values by system, scenario and metric (:data:`flexi_score.schema.SUMMARY`)."""
        return self.table("summary")

    @property
    def recordings(self) -> pl.DataFrame:
        """One row a scored recording (:data:`flexi_score.schema.RECORDINGS`, duration_ms)."""
        return self.table("recordings")

    @property
    def failures(self) -> pl.DataFrame:
        """Recordings that failed (:data:`flexi_score.schema.FAILURES`)."""
        return self.table("failures")

    @property
    def statistics(self) -> pl.DataFrame:
        """Counts and durations of every recording's structure."""
        return self.table("statistics")

    @property
    def health(self) -> pl.DataFrame:
        """Verdicts of the health gate (:data:`flexi_score.schema.HEALTH`)."""
        return self.table("health")

    @property
    def ratings(self) -> pl.DataFrame:
        """What the judge replied (:data:`flexi_score.schema.RATINGS`)."""
        return self.table("ratings")

    @property
    def not_judged(self) -> pl.DataFrame:
        """Ratings that could not be asked for (:data:`flexi_score.judge.questions.NOT_JUDGED`)."""
        return self.table("not_judged")

    @property
    def people(self) -> pl.DataFrame:
        """Distances from people's timing (:data:`flexi_score.aggregate.people.PEOPLE`)."""
        return self.table("people")

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The metrics of the profile."""
        return profile_metrics(self.settings.profile)

    @property
    def plot(self) -> "RunPlots":
        """Plots for a notebook: ``run.plot.latency()`` (:class:`flexi_score.RunPlots`)."""
        import flexi_score

        return flexi_score.RunPlots(self)

    def timeline(self, recording: str) -> "Shown":
        """The timeline of one recording, for a notebook (:func:`flexi_score.show_timeline`)."""
        import flexi_score

        return flexi_score.show_timeline(self, recording)

    def __repr__(self) -> str:
        where = "in memory" if self.folder is None else str(self.folder)
        return (
            f"<Run {self.name}: profile {self.settings.profile}, "
            f"{self.info.get('recordings', 0)} recordings, {len(self.failures)} failed, {where}>"
        )

    def _repr_html_(self) -> str:
        import flexi_score

        return flexi_score.run_html(self)


def read_run(path: str | Path) -> Run:
    """Read a run folder: :meth:`Run.open`."""
    return Run.open(path)


def find_archive(run: Run, given: str | Path | None = None) -> Path | None:
    """The archive behind a run: the one given, or its own; None where that is not there."""
    return run.archive if given is None else Path(given)


def hash_files(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of files of a folder, by name."""
    files = list(names)
    with ThreadPoolExecutor() as pool:  # hashing leaves the interpreter free
        hashes = pool.map(lambda name: _sha256(folder / name), files)
        return dict(zip(files, hashes, strict=True))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_label(folder: Path) -> tuple[dict[str, Any], Settings]:
    file = folder / LABEL
    if not file.is_file():
        raise InputError(
            f"{file}: no such file: this is no run, or writing it was interrupted; score again"
        )
    try:
        info = json.loads(file.read_text("utf-8"))
        stored = dict(info["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is not the run.json of a run ({error})") from error
    profile = stored.pop("profile", "paper")
    known = setting_names()
    changes = {name: value for name, value in stored.items() if name in known}
    return info, load_settings(profile, changes)


def _check_files(folder: Path, info: Mapping[str, Any]) -> None:
    """Raise where a table is not the one that was written with ``run.json``.

    Runs of versions that did not note hashes are taken as they are.
    """
    noted = info.get("files")
    if not isinstance(noted, dict):
        return
    names = [name for name in noted if name.removesuffix(".parquet") in TABLES]
    try:
        hashes = hash_files(folder, names)
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error}); score again") from error
    for name in names:
        if hashes[name] != noted[name]:
            raise InputError(
                f"{folder / name}: is not the file that {folder / LABEL} names: it was changed or "
                "damaged, or is of another run; score again"
            )


def _archive(folder: Path, info: Mapping[str, Any]) -> Path | None:
    """The archive that was scored, or the folder's own; None where neither is there.

    ``run.json`` names it by its path from the run folder, so that both can be moved together.
    """
    named = info.get("archive")
    places = [folder / named] if isinstance(named, str) else []
    return next((p for p in [*places, folder / "archive"] if store.is_archive(p)), None)
