"""Writing a run folder: its tables, the summary, the page, and run.json with their hashes."""

import json
import math
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.aggregate import cluster_key, cluster_labels, quantiles
from flexi_score.output import as_text, write_text, write_together
from flexi_score.report.archived import read_archived
from flexi_score.report.html import MAX_TIMELINES, render_html
from flexi_score.report.listing import closest_first
from flexi_score.report.markdown import summary_md
from flexi_score.report.plots import report_plots
from flexi_score.report.sound import link_audio
from flexi_score.report.timeline import names_in
from flexi_score.scoring.run import LABEL, TABLES, Run, hash_files

#: Recordings up to which a run's page has all plots. They take a second, as long as scoring some
#: thousands; of larger runs ``flexi-score report`` draws them.
_PLOTTED: Final = 2_000
#: Recordings up to which a page is made from the whole tables.
_WHOLE: Final = 50_000


def write_run(run: Run, out: str | Path) -> list[Path]:
    """Write the tables (Parquet), the summary (also JSON and Markdown), report.html and run.json.

    All files are written aside and put in place together, run.json last: a folder that has one is
    the run that was there before or the new one, never a mix.

    ``out``: the run folder; made where it does not exist. Other files in it stay. Returns what was
    written. Raises OutputError naming the path that cannot be written, and what to do.
    """
    folder = Path(out)
    info = dict(run.info)
    if run.archive is not None and run.archive.is_dir():
        info["archive"] = _relative(run.archive, folder)
    view, ranked = page_view(run)
    spread = run_quantiles(view)
    drawn = ranked["recording"].head(MAX_TIMELINES)
    n = len(view.recordings)
    page = render_html(
        view,
        ranked=ranked,
        title=folder.resolve().name.removesuffix(".run"),
        quantiles=spread,
        plots=report_plots(view, spread) if n <= _PLOTTED else (),
        archived=read_archived(view.archive, drawn, run.settings),
        links=link_audio(
            view.recordings.filter(names_in("recording", drawn)), folder / "report.html"
        ),
    )
    files: dict[str, Callable[[Path], object]] = {
        f"{name}.parquet": _table_writer(run, name) for name in TABLES
    }
    files |= {
        "summary.json": as_text(_json(run.summary.to_dicts())),
        "summary.md": as_text(summary_md(view, spread)),
        "report.html": as_text(page),
    }
    return write_together(
        folder,
        files,
        label=LABEL,
        describe=lambda aside: _json({**info, "files": hash_files(aside, files)}),
    )


def write(run: Run, out: str | Path) -> Path:
    """Write the run folder (:func:`write_run`), and return it."""
    write_run(run, out)
    return Path(out)


def note_file(run_folder: Path, name: str) -> None:
    """Note in run.json the hash of a file that was written anew."""
    label = run_folder / LABEL
    info = json.loads(label.read_text("utf-8"))
    if "files" in info:
        info["files"] |= hash_files(run_folder, [name])
        write_text(label, _json(info))  # in place of the old one: a run without it is none


def run_quantiles(run: Run) -> pl.DataFrame:
    """Median and upper quantiles of a run (:data:`flexi_score.aggregate.QUANTILES`)."""
    shown = run.settings.summary
    key = cluster_key(run.recordings, shown)
    clusters = None if key is None else cluster_labels(run.scores, run.recordings, key)
    return quantiles(run.scores, run.metrics, shown, clusters)


def page_view(run: Run) -> tuple[Run, pl.DataFrame]:
    """What a page shows of a run; of a large one, reasons and events only where they are drawn.

    Also returns all recordings, the closest decisions first (:func:`closest_first`).
    """
    recordings = run.scan("recordings").select("recording").collect()
    if len(recordings) <= _WHOLE:
        return run, closest_first(run.scores, run.recordings, run.failures)
    scores = run.scan("scores").with_columns(reason=pl.lit(None, pl.String)).collect()
    names = "^(recording|system|scenario|metadata|estimated_by|duration_ms)$"
    rows = run.scan("recordings").select(pl.col(names)).collect()
    ranked = closest_first(scores, rows, run.failures)
    shown = names_in("recording", ranked["recording"].head(MAX_TIMELINES))
    more = run.scan("recordings").filter(shown).select("recording", pl.exclude(rows.columns))
    view = run.with_tables(
        scores=pl.concat([run.scan("scores").filter(shown).collect(), scores.filter(~shown)]),
        recordings=rows.join(more.collect(), on="recording", how="left", maintain_order="left"),
        events=run.scan("events").filter(shown).collect(),
        ratings=run.scan("ratings").filter(shown).collect(),
    )
    return view, ranked


def _table_writer(run: Run, name: str) -> Callable[[Path], object]:
    # Level 1 takes four fifths of the time of polars' own 3, for files that are 7 % larger.
    return partial(run.scan(name).sink_parquet, compression="zstd", compression_level=1)


def _finite(data: Any) -> Any:
    """The same with None for the numbers that JSON does not have."""
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def _json(data: object) -> str:
    return json.dumps(_finite(data), indent=1, default=str, allow_nan=False) + "\n"


def _relative(archive: Path, folder: Path) -> str:
    """Path of the archive from the run folder; as it is, where there is none (another drive)."""
    try:
        return Path(os.path.relpath(archive, folder)).as_posix()
    except ValueError:
        return str(archive)
