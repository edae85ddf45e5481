"""The files of a run folder, each written whole or not at all."""

import contextlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.aggregate import cluster_labels, quantiles, with_failures
from flexi_score.config import Settings
from flexi_score.errors import OutputError
from flexi_score.metrics.registry import Metric
from flexi_score.report.html import MAX_TIMELINES, render_html
from flexi_score.report.kept import read_kept
from flexi_score.report.listing import closest_first
from flexi_score.report.markdown import summary_md
from flexi_score.report.plots import report_plots
from flexi_score.report.sound import link_audio
from flexi_score.report.timeline import names_in

#: Recordings up to which a run's page has all plots. They take a second, as long as scoring some
#: thousands; of larger runs ``flexi-score report`` draws them.
_PLOTTED: Final = 2_000


def write_run(
    out: Path,
    scores: pl.DataFrame,
    events: pl.DataFrame,
    summary: pl.DataFrame,
    recordings: pl.DataFrame,
    failures: pl.DataFrame,
    run_info: Mapping[str, Any],
    metrics: Sequence[Metric],
    settings: Settings,
    *,
    statistics: pl.DataFrame | None = None,
    whole: Mapping[str, Callable[[Path], object]] | None = None,
    health: pl.DataFrame | None = None,
    ratings: pl.DataFrame | None = None,
    archive: Path | None = None,
) -> list[Path]:
    """Write the tables (Parquet), the summary (also JSON and Markdown), report.html and run.json.

    Parameters
    ----------
    out : Path
        The run folder; made where it does not exist.
    scores, events, summary, recordings, failures : polars.DataFrame
        The tables of :mod:`flexi_score.schema`. Failed recordings get their rows in
        ``scores.parquet``, if they have none yet.
    run_info : mapping
        What goes into run.json: settings, ``profile``, ``signature``, versions, model hashes.
        Values that JSON does not know are written as text.
    metrics : sequence of Metric
        Of one profile.
    settings : Settings
    statistics : polars.DataFrame, optional
        One row a recording, for ``statistics.parquet``.
    whole : mapping, optional
        What writes a file, by its name, in place of the table given: ``events`` may then be those
        of the recordings that the page draws.
    health : polars.DataFrame, optional
        :data:`flexi_score.schema.HEALTH`, for ``health.parquet``, the summary and the page.
    ratings : polars.DataFrame, optional
        :data:`flexi_score.schema.RATINGS`, for ``ratings.parquet`` and the page.
    archive : Path, optional
        Where the page's words and waveforms come from; run.json names it.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputError
        Naming the path that cannot be written. Files written before it stay.
    """
    shown = settings.summary
    scores = with_failures(scores, failures, metrics)
    clusters = None if shown.cluster is None else cluster_labels(scores, recordings, shown.cluster)
    spread = quantiles(scores, metrics, shown, clusters)
    signature = str(run_info.get("signature", ""))
    if archive is not None and archive.is_dir():
        run_info = {**run_info, "archive": _from(out, archive)}
    drawn = closest_first(scores, recordings, failures)["recording"].head(MAX_TIMELINES)
    plots = []
    if len(recordings) <= _PLOTTED:
        plots = report_plots(
            scores, summary, spread, metrics, settings, events=events, recordings=recordings
        )
    page = render_html(
        scores,
        events,
        summary,
        recordings,
        failures,
        run_info,
        metrics,
        settings,
        title=Path(out).resolve().name.removesuffix(".run"),
        quantiles=spread,
        plots=plots,
        health=health,
        ratings=ratings,
        kept=read_kept(archive, drawn, settings),
        links=link_audio(recordings.filter(names_in("recording", drawn)), out / "report.html"),
    )
    text = summary_md(
        summary,
        metrics,
        failures,
        signature,
        quantiles=spread,
        few=shown.few,
        notes=run_info.get("notes", ()),
        confidence=shown.confidence,
        health=health,
        boundary_error_s=shown.boundary_error_s,
    )
    files: dict[str, Callable[[Path], object]] = {
        "scores.parquet": scores.write_parquet,
        "events.parquet": events.write_parquet,
        "recordings.parquet": recordings.write_parquet,
        "failures.parquet": failures.write_parquet,
        "summary.parquet": summary.write_parquet,
        "summary.json": as_text(_json(summary.to_dicts())),
        "summary.md": as_text(text),
        "report.html": as_text(page),
        "run.json": as_text(_json(dict(run_info))),
    }
    if statistics is not None:
        files["statistics.parquet"] = statistics.write_parquet
    if health is not None:
        files["health.parquet"] = health.write_parquet
    if ratings is not None:
        files["ratings.parquet"] = ratings.write_parquet
    files.update(whole or {})
    return [write_whole(out / name, write) for name, write in files.items()]


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a temporary file beside ``path``, then put it in its place.

    Raises
    ------
    OutputError
        Where that is not possible.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); "
            "give a folder that is writable, with --out"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return path


def as_text(content: str) -> Callable[[Path], object]:
    """What :func:`write_whole` needs to write a text: UTF-8, lines end with a line feed."""
    return lambda path: path.write_text(content, encoding="utf-8", newline="\n")


def write_text(path: Path, content: str) -> Path:
    """Write a text file whole, or not at all.

    Raises
    ------
    OutputError
        Where that is not possible.
    """
    return write_whole(path, as_text(content))


def _finite(data: Any) -> Any:
    """The same with None for the numbers that JSON does not have."""
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _json(data: object) -> str:
    return json.dumps(_finite(data), indent=1, default=str, allow_nan=False) + "\n"


def _from(out: Path, archive: Path) -> str:
    """Path of the archive from the run folder; as it is, where there is none (another drive)."""
    try:
        return Path(os.path.relpath(archive, out)).as_posix()
    except ValueError:
        return str(archive)
