"""Figures and tables of a run as files, for papers and slides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings
from flexi_score.errors import InputError, SettingsError
from flexi_score.output import write_text, writing_together
from flexi_score.report.latex import tables_tex
from flexi_score.report.listing import closest_first
from flexi_score.report.plots import run_drawings
from flexi_score.report.plots.kinds import Drawing
from flexi_score.report.plots.style import drawing
from flexi_score.report.plots.svg import FORMATS, save_figure
from flexi_score.report.plots.timeline import Scene, draw_timeline
from flexi_score.report.tables import scenario_title
from flexi_score.report.write import run_quantiles
from flexi_score.schema import SPEAKERS
from flexi_score.scoring.load import load_word_table
from flexi_score.scoring.run import Run, find_archive

#: Timelines drawn where nobody says which: one of each system and scenario, of at most so many.
MOST_TIMELINES: Final = 24


def write_figures(
    run: str | Path | Run,
    out: str | Path,
    *,
    formats: Sequence[str] = ("svg", "pdf", "png"),
    recordings: Sequence[str] | None = None,
    archive: str | Path | None = None,
) -> list[Path]:
    """Write every plot of a run, timelines of recordings, and its tables for LaTeX.

    ``run``: a run folder, or what :func:`flexi_score.score` returned. ``out``: folder of the
    figures, made where it does not exist. ``formats``: sequence of {"svg", "pdf", "png"}.
    ``recordings``: whose timelines to draw; by default the closest decision of each system and
    scenario. ``archive``: for envelopes and words of timelines; by default the run folder's own.
    Without one they are drawn from the events alone. Returns what was written, ``tables.tex`` and
    ``captions.txt`` last: a folder without the latter is unfinished. Raises SettingsError for a
    format there is not. Raises InputError if the run cannot be read, or has no recording of a name.
    Raises OutputError where they cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise SettingsError(f"format {name!r}: expected one of {', '.join(FORMATS)}")
    stored = run if isinstance(run, Run) else Run.open(run)
    folder = Path(out)
    names = _chosen(stored, recordings)
    drawings = run_drawings(stored, run_quantiles(stored))
    used: set[str] = set()
    scenes = read_scenes(stored, names, archive)
    drawings += [timeline_drawing(scene, used) for scene in scenes]
    captions = "".join(f"{one.name}: {one.title}\n{one.caption}\n\n" for one in drawings)
    few, signature = stored.settings.summary.few, str(stored.info.get("signature", ""))
    tex = tables_tex(stored.summary, stored.metrics, few, signature)
    files = [f"{one.name}.{kind}" for one in drawings for kind in dict.fromkeys(formats)]
    with writing_together(folder, "captions.txt") as aside:
        for one in drawings:
            with drawing(one.texts):
                figure = one.make()
                for kind in dict.fromkeys(formats):
                    path = aside / f"{one.name}.{kind}"
                    save_figure(figure, path, kind, one.name, one.title, one.caption)
        write_text(aside / "tables.tex", tex)
        write_text(aside / "captions.txt", captions)
    return [folder / name for name in [*files, "tables.tex", "captions.txt"]]


def read_scenes(run: Run, names: Sequence[str], archive: str | Path | None = None) -> list[Scene]:
    """What the timelines of these recordings show."""
    wanted = pl.col("recording").is_in(pl.Series(list(names), dtype=pl.String).implode())
    rows = {r["recording"]: r for r in run.recordings.filter(wanted).iter_rows(named=True)}
    events = _by_recording(run.events.filter(wanted).sort("start_ms").iter_rows(named=True))
    scores = _by_recording(run.scores.filter(wanted).iter_rows(named=True))
    labels = {(m.scenario, m.name): m.label for m in run.metrics}
    folder = find_archive(run, archive)
    words: dict[str, dict[str, Any]] = {}
    envelopes: dict[str, dict[str, Any]] = {}
    if folder is not None:
        words, envelopes = _kept(ArchiveReader(folder), names, run.settings)
    return [
        Scene(
            rows[name],
            events.get(name, []),
            scores.get(name, []),
            words.get(name, {}),
            envelopes.get(name, {}),
            labels,
        )
        for name in names
    ]


def _chosen(run: Run, names: Sequence[str] | None) -> list[str]:
    known = set(run.recordings["recording"])
    if names is not None:
        for name in names:
            if name not in known:
                raise InputError(
                    f"{run.folder or run.name}: has no scored recording {name!r}; "
                    "recordings.parquet lists them"
                )
        return list(dict.fromkeys(names))
    ranked = closest_first(run.scores, run.recordings, run.failures)
    first = ranked.filter(pl.col("recording").is_in(run.recordings["recording"].implode()))
    one_each = first.unique(["system", "scenario"], keep="first", maintain_order=True)
    return one_each.sort("order")["recording"].head(MOST_TIMELINES).to_list()


def timeline_drawing(scene: Scene, used: set[str]) -> Drawing:
    """A timeline to draw, under a file name that is not among ``used``, and is added."""
    name = str(scene.row["recording"])
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._")[:80] or "recording"
    file = f"timeline_{safe}"
    number = 2
    # File systems that do not tell case apart would lose one of two.
    while file.casefold() in used:
        file = f"timeline_{safe}_{number}"
        number += 1
    used.add(file.casefold())
    title = f"{scenario_title(scene.row['scenario'])}: {name}"
    caption = (
        "User above, model below: energy (where the archive has it), IPUs, words where there is "
        "room; pauses, gaps and overlaps between them; bc: backchannel. Dashed: where the rule "
        "looks from; full line: what decided. Green: annotated."
    )
    return Drawing(
        file, title, caption, str(scene.row["scenario"]), scene.texts, partial(draw_timeline, scene)
    )


def _by_recording(rows: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    by_recording: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_recording.setdefault(row["recording"], []).append(row)
    return by_recording


def _kept(
    reader: ArchiveReader, names: Sequence[str], settings: Settings
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Words and envelopes of recordings, by recording and speaker."""
    rows = reader.recordings(pl.Series(list(names), dtype=pl.String))
    reader = reader.limited_to(rows)
    words: dict[str, dict[str, Any]] = {}
    for name, speaker, *word in load_word_table(reader, rows, settings).iter_rows():
        words.setdefault(name, {}).setdefault(speaker, []).append(tuple(word))
    keys = pl.concat([rows[f"{speaker}_key"] for speaker in SPEAKERS]).drop_nulls()
    channels = reader.read("frames", keys, ["key", "envelope_cdb"])
    levels = dict(zip(channels["key"], channels["envelope_cdb"], strict=True))
    envelopes: dict[str, dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        for speaker in SPEAKERS:
            level = levels.get(row[f"{speaker}_key"])
            if level is not None and len(level):
                by_speaker = envelopes.setdefault(row["recording"], {})
                by_speaker[speaker] = (
                    row[f"{speaker}_offset_ms"] or 0,
                    np.asarray(level, np.int16),
                )
    return words, envelopes
