"""Scoring the same recordings under many settings, each stage as seldom as it can be.

A stage depends on some groups of settings only: detection on how probabilities become speech,
structure on what an IPU and a backchannel are, the metrics on all others. Combinations are taken
in such an order that the expensive stages change least, and what did not change is kept: see
:mod:`flexi_score.sweep.shares`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import signature
from flexi_score.metrics import profile_metrics
from flexi_score.metrics.registry import Metric
from flexi_score.output import as_text, write_together
from flexi_score.scoring.processes import table_workers
from flexi_score.sweep.effects import flips, sensitivity
from flexi_score.sweep.grid import in_force, resolve
from flexi_score.sweep.plot import plot_svg
from flexi_score.sweep.shares import DETECTION, STRUCTURE, Share, score_share, stage_key

#: Recordings times combinations of other speech or structure from which on further processes save
#: more than they cost: each starts, reads the archive and does what combinations share for itself.
_ENOUGH: Final = 1_000_000


@dataclass(frozen=True)
class Sweep:
    """Values of every metric under every combination of settings.

    Attributes
    ----------
    table : polars.DataFrame
        One row per combination, system, scenario and metric: ``combination`` (its number, from 0),
        a column for each setting of ``names`` (its value in force), ``system``, ``scenario``,
        ``metric``, ``value`` (null where nothing was scored), ``n`` (recordings with a value).
    names : tuple of str
        Settings that are varied.
    metrics : tuple of Metric
    info : dict
        Archive, profile, number of combinations, signature of the settings that are not varied.
    """

    table: pl.DataFrame
    names: tuple[str, ...]
    metrics: tuple[Metric, ...]
    info: dict[str, Any]

    def _repr_html_(self) -> str:
        from flexi_score.report.notebook import frame_table, notebook_html

        facts = [
            f"{self.info['combinations']} combinations of {', '.join(self.names)}",
            f"profile {self.info['profile']}, archive {self.info['archive']}",
        ]
        moved = sensitivity(self.table, self.names).filter(pl.col("range") > 0)
        turned = flips(self.table, self.names, self.metrics)
        shown = turned.drop("from_combination", "to_combination")
        stirred = self.table.join(
            moved, on=["scenario", "metric"], how="semi", maintain_order="left"
        )
        return notebook_html(
            "flexi_score: sweep",
            facts,
            [frame_table("How far each metric moves", moved)],
            [frame_table("Orders of systems that turn", shown)],
            [plot_svg(stirred, self.names, self.metrics, page=True)] * bool(len(moved)),
        )


def sweep(
    archive: str | Path,
    changes: Sequence[Mapping[str, object]],
    *,
    profile: str = "paper",
    base: Mapping[str, object] | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Sweep:
    """Score every recording of an archive under every combination of settings.

    Parameters
    ----------
    archive : path
        Of :func:`flexi_score.extract`; neither audio nor models are touched.
    changes : sequence of mapping
        Combinations, ``{"ipu.min_silence_ms": 150, ...}`` (:func:`combinations` makes those of a
        grid).
    profile : str
    base : mapping, optional
        Settings that differ from the profile's in every combination.
    workers : int
        Processes, where there is enough for them to do. With more than one, the calling script must
        be importable (its work under ``if __name__ == "__main__":``), as always where Python starts
        processes.
    progress : callable, optional
        Called with the number of combinations done, and of all.

    Returns
    -------
    Sweep
        Values are those of :func:`flexi_score.score`, without intervals.

    Raises
    ------
    SettingsError
        For a setting that is unknown, cannot take its value, or needs the audio.
    ArchiveError, InputError
        If the archive cannot be read, or holds no recordings.
    """
    base = dict(base or {})
    settings = resolve(changes, profile, base)
    folder = store.open_archive(archive)
    # Detection first, then structure: what neighbours have in common is done once.
    keys = [stage_key(one, (*DETECTION, *STRUCTURE)) for one in settings]
    order = sorted(range(len(settings)), key=lambda i: (*keys[i], i))
    if len(set(keys)) * ArchiveReader(folder).count("recordings") < _ENOUGH:
        workers = 1
    shares = _shares(order, workers)
    jobs = [Share(str(folder), share, [settings[i] for i in share]) for share in shares]
    parts = list(_run(jobs, workers, progress or (lambda done, total: None)))
    varied = in_force(changes, settings)
    columns = pl.DataFrame({"combination": range(len(settings)), **varied})
    table = pl.concat(parts).join(
        columns.cast({"combination": pl.Int64}), on="combination", how="left", maintain_order="left"
    )
    metrics = profile_metrics(profile)
    info = {
        "archive": str(folder),
        "profile": profile,
        "combinations": len(settings),
        "settings": list(varied),
        "signature": signature(settings[0], {}, list(varied)),
    }
    return Sweep(_ordered(table, metrics, list(varied)), tuple(varied), metrics, info)


def write_sweep(result: Sweep, out: str | Path) -> Path:
    """Write ``sweep.parquet``, ``flips.parquet``, ``sensitivity.parquet``, ``sweep.svg`` and
    ``sweep.json`` into a folder; that one last, so that what has it is whole.

    Raises OutputError: naming the file that cannot be written.
    """
    folder = Path(out)
    changed = flips(result.table, result.names, result.metrics)
    files = {
        "sweep.parquet": result.table.write_parquet,
        "flips.parquet": changed.write_parquet,
        "sensitivity.parquet": sensitivity(result.table, result.names).write_parquet,
        "sweep.svg": as_text(plot_svg(result.table, result.names, result.metrics)),
    }
    facts = json.dumps(result.info, indent=1, default=str) + "\n"
    write_together(folder, files, label="sweep.json", describe=lambda _: facts)
    return folder


def _shares(order: list[int], workers: int) -> list[list[int]]:
    """Runs of neighbouring combinations, two for each worker so that none waits for long.

    Not more: what neighbours have in common is done once a run.
    """
    count = 1 if workers <= 1 else min(len(order), 2 * workers)
    size = -(-len(order) // count)
    return [order[i : i + size] for i in range(0, len(order), size)]


def _run(
    jobs: Sequence[Share], workers: int, progress: Callable[[int, int], None]
) -> Iterator[pl.DataFrame]:
    total = sum(len(job.numbers) for job in jobs)
    if len(jobs) == 1:
        yield score_share(jobs[0], lambda done: progress(done, total))
        return
    done = 0
    with table_workers(workers) as pool:
        for job, part in zip(jobs, pool.map(score_share, jobs), strict=True):
            done += len(job.numbers)
            progress(done, total)
            yield part


def _ordered(table: pl.DataFrame, metrics: Sequence[Metric], names: list[str]) -> pl.DataFrame:
    """By combination, system, and place of the metric in the registry."""
    listed = pl.DataFrame(
        {"scenario": [m.scenario for m in metrics], "metric": [m.name for m in metrics]}
    ).with_row_index("place")
    return (
        table.join(listed, on=["scenario", "metric"], how="left", maintain_order="left")
        .sort("combination", "system", "place", "scenario", "metric", nulls_last=True)
        .select("combination", *names, "system", "scenario", "metric", "value", "n")
    )
