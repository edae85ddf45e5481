"""Ratings of a judge: how many recordings got each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import legend, new_figure, write
from flexi_score.report.plots.kinds import MOST_SYSTEMS, Drawing, Floats, left_out, values_by_system
from flexi_score.report.plots.shares import Block, body_height, draw_shares
from flexi_score.report.plots.style import NAMES_WIDTH, ON_DARK, ON_LIGHT, RIGHT, SMALL, SOFT, WIDTH
from flexi_score.report.tables import scenario_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fills of 0 to 5: cividis, which keeps its order in grey and for all kinds of sight.
FILLS: Final = ("#00336f", "#39486b", "#5f6071", "#8a8879", "#bcae6c", "#f2d84b")
_INKS: Final = (ON_DARK, ON_DARK, ON_DARK, ON_LIGHT, ON_LIGHT, ON_LIGHT)
_NUMBERS: Final = 74.0


def rating_plots(
    scores: pl.DataFrame, systems: Sequence[str], metrics: Sequence[Metric]
) -> list[Drawing]:
    """The plot of all ratings from 0 to 5; nothing where nothing was judged."""
    judged = [metric for metric in metrics if metric.unit == "0-5"]
    every = [(m, values_by_system(scores, m.scenario, m.name)) for m in judged]
    drawn = [(metric, values) for metric, values in every if values]
    if not drawn:
        return []
    caption = (
        "Share of the judged recordings by rating, to the nearest whole one, with counts; beside "
        "them the mean. What was not judged is in no share."
    ) + left_out(systems)
    return [
        Drawing(
            "ratings",
            "What the judge found",
            caption,
            None,
            tuple(systems),
            lambda: _draw(drawn, systems),
        )
    ]


def rating_counts(values: Floats) -> list[int]:
    """How many ratings are nearest to 0, 1, ... 5 (halves count up)."""
    nearest = np.clip(np.floor(values + 0.5), 0, 5).astype(int)
    return [int(count) for count in np.bincount(nearest, minlength=6)]


def _draw(drawn: Sequence[tuple[Metric, Mapping[str, Floats]]], systems: Sequence[str]) -> Figure:
    blocks = [
        Block(
            scenario_title(metric.scenario),
            metric.label,
            {s: rating_counts(values[s]) for s in _shown(systems, values)},
        )
        for metric, values in drawn
    ]
    top = 20.0
    figure = new_figure(top + body_height(blocks) + 26)
    legend(figure, list(zip(FILLS, "012345", strict=True)), NAMES_WIDTH, 14)
    write(figure, RIGHT - 34, 14, "mean", ha="right", fontsize=SMALL, color=SOFT)
    write(figure, RIGHT, 14, "n", ha="right", fontsize=SMALL, color=SOFT)

    def beside(number: int, system: str, at: float) -> None:
        values = drawn[number][1][system]
        write(figure, RIGHT - 34, at, f"{float(np.mean(values)):.2f}", ha="right", fontsize=SMALL)
        write(figure, RIGHT, at, str(len(values)), ha="right", fontsize=SMALL)

    parts = list(zip(FILLS, _INKS, strict=True))
    draw_shares(figure, blocks, parts, top, WIDTH - NAMES_WIDTH - _NUMBERS, beside)
    return figure


def _shown(systems: Sequence[str], values: Mapping[str, Floats]) -> list[str]:
    return [system for system in systems if system in values][:MOST_SYSTEMS]
