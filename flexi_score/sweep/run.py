"""Scoring the same recordings under many settings, each stage as seldom as it can be.

A stage depends on some groups of settings only: detection on how probabilities become speech,
structure on what an IPU and a backchannel are, the metrics on all others. Combinations are taken
in such an order that the expensive stages change least, and what did not change is kept.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from flexi_score import archive as store
from flexi_score.aggregate import values_of, with_failures
from flexi_score.config import Settings, signature
from flexi_score.errors import InputError
from flexi_score.metrics import profile_metrics, score_structure
from flexi_score.metrics.registry import Metric, without_reasons
from flexi_score.pipeline import Prepared, prepare
from flexi_score.report.write import write_whole
from flexi_score.segment.structure import build_structure
from flexi_score.sweep.effects import flips, sensitivity
from flexi_score.sweep.grid import in_force, resolve
from flexi_score.sweep.plot import plot_svg

#: Groups of settings that each stage depends on; metrics depend on all but ``summary``.
DETECTION: Final = ("extract", "health", "speech", "judge")
STRUCTURE: Final = ("ipu", "backchannel", "takeover")

#: Score rows that are added up in one go.
_BATCH_ROWS: Final = 400_000

#: Combinations below which further processes take longer to start than they save.
_FEW: Final = 100


@dataclass(frozen=True)
class Sweep:
    """Values of every metric under every combination of settings.

    Attributes
    ----------
    table : polars.DataFrame
        One row a combination, system, scenario and metric: ``combination`` (its number, from 0),
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


class _Job(NamedTuple):
    """A share of the combinations, for one process."""

    archive: str
    numbers: list[int]
    settings: list[Settings]


def sweep(
    archive: str | Path,
    changes: Sequence[Mapping[str, Any]],
    *,
    profile: str = "paper",
    base: Mapping[str, Any] | None = None,
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
        Processes. With more than one, the calling script must be importable (its work under
        ``if __name__ == "__main__":``), as always where Python starts processes.
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
    order = sorted(range(len(settings)), key=lambda i: (*_texts(settings[i]), i))
    shares = _shares(order, workers if len(order) > _FEW else 1)
    jobs = [_Job(str(folder), share, [settings[i] for i in share]) for share in shares]
    parts: list[pl.DataFrame] = []
    done = 0
    for part, share in zip(_run(jobs, workers), shares, strict=True):
        parts.append(part)
        done += len(share)
        if progress is not None:
            progress(done, len(order))
    varied = in_force(changes, settings)
    columns = pl.DataFrame({"combination": range(len(settings)), **varied})
    table = pl.concat(parts).join(
        columns.cast({"combination": pl.Int64}), on="combination", how="left",
        maintain_order="left",
    )  # fmt: skip
    metrics = profile_metrics(profile)
    info = {
        "archive": str(folder),
        "profile": profile,
        "combinations": len(settings),
        "settings": list(varied),
        "signature": _signature(settings[0], varied),
    }
    return Sweep(_ordered(table, metrics, list(varied)), tuple(varied), metrics, info)


def write_sweep(result: Sweep, out: str | Path) -> Path:
    """Write ``sweep.parquet``, ``flips.parquet``, ``sensitivity.parquet``, ``sweep.svg`` and
    ``sweep.json`` into a folder.

    Raises
    ------
    OutputError
        Naming the file that cannot be written.
    """
    folder = Path(out)
    picture = plot_svg(result.table, result.names, result.metrics)
    facts = json.dumps(result.info, indent=1, default=str) + "\n"
    write_whole(folder / "sweep.parquet", result.table.write_parquet)
    changed = flips(result.table, result.names, result.metrics)
    write_whole(folder / "flips.parquet", changed.write_parquet)
    moved = sensitivity(result.table, result.names)
    write_whole(folder / "sensitivity.parquet", moved.write_parquet)
    write_whole(folder / "sweep.svg", lambda path: path.write_text(picture, "utf-8"))
    write_whole(folder / "sweep.json", lambda path: path.write_text(facts, "utf-8"))
    return folder


def _signature(settings: Settings, varied: Mapping[str, Any]) -> str:
    parts = signature(settings, {}).split("|")
    return "|".join(part for part in parts if part.partition(":")[0] not in varied)


def _texts(settings: Settings) -> tuple[str, str]:
    """Texts that sort combinations by detection first, then by structure."""
    dumped = settings.model_dump()
    return tuple(  # type: ignore[return-value]
        json.dumps([dumped[group] for group in groups]) for groups in (DETECTION, STRUCTURE)
    )


def _shares(order: list[int], workers: int) -> list[list[int]]:
    """Runs of neighbouring combinations, a few for each worker so that none waits for long."""
    count = 1 if workers <= 1 else min(len(order), 4 * workers)
    size = -(-len(order) // count)
    return [order[i : i + size] for i in range(0, len(order), size)]


def _run(jobs: Sequence[_Job], workers: int) -> Iterator[pl.DataFrame]:
    if len(jobs) == 1:
        yield _score_share(jobs[0])
        return
    # Spawned, not forked: polars' threads do not survive a fork.
    with _one_thread_each(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(_score_share, jobs)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that start within it use one thread of polars: there is one a core already."""
    before = os.environ.get("POLARS_MAX_THREADS")
    os.environ["POLARS_MAX_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["POLARS_MAX_THREADS"]
        else:
            os.environ["POLARS_MAX_THREADS"] = before


def _score_share(job: _Job) -> pl.DataFrame:
    """Values of some combinations: ``combination, system, scenario, metric, value, n``."""
    folder = Path(job.archive)
    rows, failed = store.read_recordings(folder), store.read_failures(folder)
    if not len(rows) and not len(failed):
        raise InputError(f"{folder}: holds no recordings")
    metrics = profile_metrics(job.settings[0].profile)
    found, batch, size = [], [], 0
    ready: Prepared | None = None
    detected = built = None
    with store.remembering(), without_reasons():
        for number, settings in zip(job.numbers, job.settings, strict=True):
            key = tuple(getattr(settings, group) for group in DETECTION)
            if ready is None or key != detected:
                ready, detected, built = prepare(folder, rows, settings), key, None
                lost = pl.concat([failed, ready.failures])
            key = tuple(getattr(settings, group) for group in STRUCTURE)
            if key != built:
                structure, built = build_structure(ready.tracks, settings), key
            scores = score_structure(structure, settings)
            if len(ready.refused):
                scores = with_failures(scores, ready.refused, metrics, status="excluded")
            if len(lost):
                scores = with_failures(scores, lost, metrics)
            batch.append(scores.with_columns(combination=pl.lit(number, pl.Int64)))
            size += len(scores)
            if size > _BATCH_ROWS:
                found.append(values_of(pl.concat(batch), metrics, ["combination"]))
                batch, size = [], 0
    if batch:
        found.append(values_of(pl.concat(batch), metrics, ["combination"]))
    return pl.concat(found)


def _ordered(table: pl.DataFrame, metrics: Sequence[Metric], names: list[str]) -> pl.DataFrame:
    """By combination, system, and place of the metric in the registry."""
    place = {(m.scenario, m.name): i for i, m in enumerate(metrics)}
    listed = pl.DataFrame(
        [(*key, i) for key, i in place.items()],
        schema={"scenario": pl.String, "metric": pl.String, "place": pl.Int64},
        orient="row",
    )
    return (
        table.join(listed, on=["scenario", "metric"], how="left", maintain_order="left")
        .sort("combination", "system", "place", "scenario", "metric", nulls_last=True)
        .select("combination", *names, "system", "scenario", "metric", "value", "n")
    )
