"""The page of a run folder, built again: other recordings drawn, or with their sound inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from flexi_score.errors import InputError
from flexi_score.output import write_text
from flexi_score.report.archived import read_archived
from flexi_score.report.html import MAX_RECORDINGS, MAX_TIMELINES, render_html
from flexi_score.report.listing import closest_first
from flexi_score.report.plots import report_plots
from flexi_score.report.sound import embed_audio, link_audio
from flexi_score.report.timeline import names_in
from flexi_score.report.write import note_file, run_quantiles
from flexi_score.scoring.run import Run, find_archive


@dataclass(frozen=True)
class Report:
    """A page that was written: where, its size, recordings with a timeline, with sound, and
    what could not be put into it."""

    path: Path
    n_bytes: int
    drawn: int
    embedded: int
    problems: tuple[str, ...]


def build_report(
    run_folder: str | Path,
    out: str | Path | None = None,
    *,
    archive: str | Path | None = None,
    embed: int | Sequence[str] = 0,
    max_timelines: int = MAX_TIMELINES,
    max_recordings: int = MAX_RECORDINGS,
) -> Report:
    """Write report.html of a run folder anew.

    Parameters
    ----------
    run_folder : path
        As ``flexi-score score`` writes it.
    out : path, optional
        The page; the run folder's own if not given.
    archive : path, optional
        Where words and waveforms come from; the run folder's own if not given.
    embed : int or sequence of str
        Whose sound is put into the page: so many recordings, the closest decisions first, or
        those named. The sound of others is linked where its files are there.
    max_timelines, max_recordings : int
        Recordings drawn, and listed.

    Raises
    ------
    InputError
        No run folder, or a recording that the run does not have.
    OutputError
        The page cannot be written.
    """
    run = Run.open(run_folder)
    page = Path(out) if out is not None else Path(run_folder) / "report.html"
    ranked = closest_first(run.scores, run.recordings, run.failures)
    listed = ranked.head(max_recordings)
    chosen = _chosen(embed, listed["recording"].to_list(), run)
    rows = pl.DataFrame({"recording": chosen}, schema={"recording": pl.String}).join(
        run.recordings, on="recording", how="inner", maintain_order="left"
    )
    sounds, problems = embed_audio(rows.iter_rows(named=True))
    wanted = pl.Series([*chosen, *listed["recording"].head(max_timelines)], dtype=pl.String)
    spread = run_quantiles(run)
    html = render_html(
        run,
        ranked=ranked,
        quantiles=spread,
        plots=report_plots(run, spread),
        archived=read_archived(find_archive(run, archive), wanted, run.settings),
        links=link_audio(run.recordings.filter(names_in("recording", wanted)), page),
        sounds=sounds,
        max_timelines=max_timelines,
        max_recordings=max_recordings,
    )
    write_text(page, html)
    if page.resolve() == (Path(run_folder) / "report.html").resolve():
        note_file(Path(run_folder), page.name)
    return Report(
        page, len(html.encode()), html.count('class="detail" data-r='), len(sounds), tuple(problems)
    )


def _chosen(embed: int | Sequence[str], listed: list[str], run: Run) -> list[str]:
    if isinstance(embed, int):
        return listed[: max(embed, 0)]
    known = set(run.recordings["recording"])
    for name in embed:
        if name not in known:
            raise InputError(f"{run.folder}: has no recording {name!r} whose sound could be put in")
    return list(dict.fromkeys(embed))
