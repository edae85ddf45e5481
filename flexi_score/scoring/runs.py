"""Read back what a run folder holds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from flexi_score.archive import store
from flexi_score.config import Settings, load_settings, setting_names
from flexi_score.errors import InputError
from flexi_score.schema import SCORES


@dataclass(frozen=True)
class StoredRun:
    """A run folder: ``name`` to show it by, its tables, settings and ``run.json``."""

    name: str
    folder: Path
    scores: pl.DataFrame
    summary: pl.DataFrame
    events: pl.DataFrame
    recordings: pl.DataFrame
    failures: pl.DataFrame
    settings: Settings
    info: Mapping[str, Any]

    def _repr_html_(self) -> str:
        from flexi_score.metrics import profile_metrics
        from flexi_score.report.notebook import run_html

        metrics, few = profile_metrics(self.settings.profile), self.settings.summary.few
        return run_html(self.summary, metrics, self.failures, self.info, few, self.name)


def read_run(path: str | Path) -> StoredRun:
    """Read a run folder.

    Raises
    ------
    InputError
        Where it is none, naming the file that is missing or cannot be read.
    """
    folder = Path(path)
    tables = {}
    for name in ("scores", "summary", "events", "recordings", "failures"):
        file = folder / f"{name}.parquet"
        if not file.is_file():
            raise InputError(
                f"{file}: no such file; expected a run folder, as flexi-score score writes it"
            )
        try:
            tables[name] = pl.read_parquet(file, glob=False)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{file}: cannot be read ({error}); score again") from error
    missing = [name for name in SCORES.names() if name not in tables["scores"].columns]
    if missing:
        raise InputError(f"{folder / 'scores.parquet'}: has no column {missing[0]}; score again")
    file = folder / "run.json"
    try:
        info = json.loads(file.read_text("utf-8"))
        stored = dict(info["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is not the run.json of a run ({error})") from error
    known = setting_names()
    profile = stored.pop("profile", "paper")
    changes = {name: value for name, value in stored.items() if name in known}
    return StoredRun(
        name=folder.name or str(folder),
        folder=folder,
        settings=load_settings(profile, changes),
        info=info,
        **tables,
    )


def archive_of(run: StoredRun, given: str | Path | None = None) -> Path | None:
    """The archive behind a run: the one given, the one that was scored, or the folder's own.

    None where it is not there any more. ``run.json`` names the one that was scored by its path
    from the run folder, so that both can be moved together.
    """
    if given is not None:
        return Path(given)
    named = run.info.get("archive")
    places = [run.folder / named] if isinstance(named, str) else []
    return next((p for p in [*places, run.folder / "archive"] if store.is_archive(p)), None)
