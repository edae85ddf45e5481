"""The rule of every metric, drawn on a made conversation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flexi_score.config import load_settings
from flexi_score.handbook.examples import write_examples
from flexi_score.metrics.registry import Metric
from flexi_score.report.figures import read_scenes
from flexi_score.report.plots.style import drawing
from flexi_score.report.plots.svg import save_figure
from flexi_score.report.plots.timeline import Scene, draw_timeline
from flexi_score.scoring.pipeline import score


def draw_rules(profiles: Sequence[str], out: Path) -> dict[tuple[str, str, str], str]:
    """Draw the rule of every metric that points to a moment, and each statistic's conversation.

    Parameters
    ----------
    profiles : sequence of str
    out : Path
        Folder of the figures, made where there is none.

    Returns
    -------
    dict of (profile, scenario, metric) to str
        The figure's file name. Statistics of conversations share one.
    """
    out.mkdir(parents=True, exist_ok=True)
    pictures = {}
    with TemporaryDirectory() as folder:
        manifest, archive = write_examples(Path(folder)), Path(folder) / "archive"
        score(manifest, archive=archive)
        for profile in profiles:
            run = score(archive, settings=load_settings(profile))
            names = run.recordings["recording"].to_list()
            scenes = read_scenes(run, names, archive)
            drawn: dict[str, str] = {}
            for metric, scene in _examples(run.metrics, scenes):
                moment = any(s["decided_ms"] or s["reference_ms"] for s in scene.scores)
                shown = scene if moment else replace(scene, scores=[])
                name = f"{profile}-{scene.row['recording']}"
                name += f"-{metric.name}" if moment else ""
                if name not in drawn:
                    drawn[name] = f"{name}.svg"
                    with drawing(shown.texts):
                        save_figure(draw_timeline(shown), out / drawn[name], "svg", name, name)
                pictures[profile, metric.scenario, metric.name] = drawn[name]
    return pictures


def _examples(metrics: Sequence[Metric], scenes: Sequence[Scene]) -> Iterator[tuple[Metric, Scene]]:
    """Each metric on the conversation that shows it best: one of outcome 1, or with a value."""
    seen: set[tuple[str, str]] = set()
    for metric in metrics:
        if (metric.name, metric.definition) in seen:
            continue
        seen.add((metric.name, metric.definition))
        best: tuple[float, Scene] | None = None
        for scene in scenes:
            for row in _rows(scene, metric):
                rank = -1.0 if row["value"] is None else float(row["value"] == 1)
                if best is None or rank > best[0]:
                    best = rank, replace(scene, scores=[row])
        if best is not None and best[0] >= 0:
            yield metric, best[1]


def _rows(scene: Scene, metric: Metric) -> list[Any]:
    key = (metric.scenario, metric.name)
    return [row for row in scene.scores if (row["scenario"], row["metric"]) == key]
