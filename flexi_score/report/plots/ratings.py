"""Ratings of a judge: how many recordings got each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import bars, legend, new_figure, panel, rules, write, x_axis
from flexi_score.report.plots.kinds import (
    MOST_SYSTEMS,
    Drawing,
    Floats,
    left_out,
    values_by_system,
)
from flexi_score.report.plots.style import (
    NAME,
    NAME_SIZE,
    ON_DARK,
    ON_LIGHT,
    PERCENT,
    QUARTERS,
    RIGHT,
    SMALL,
    SOFT,
    WIDTH,
    labels,
    text_width,
)
from flexi_score.report.tables import scenario_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Fills of 0 to 5: cividis, which keeps its order in grey and for all kinds of sight.
FILLS: Final = ("#00336f", "#39486b", "#5f6071", "#8a8879", "#bcae6c", "#f2d84b")
_INKS: Final = (ON_DARK, ON_DARK, ON_DARK, ON_LIGHT, ON_LIGHT, ON_LIGHT)
_NAMES: Final = 132.0
_NUMBERS: Final = 74.0
_ROW: Final = 18.0
_HEAD: Final = 26.0


def rating_plots(
    scores: pl.DataFrame, systems: Sequence[str], metrics: Sequence[Metric]
) -> list[Drawing]:
    """The plot of all ratings from 0 to 5; nothing where nothing was judged."""
    judged = [metric for metric in metrics if metric.unit == "0-5"]
    every = [(m, values_by_system(scores, m.scenario, m.name)) for m in judged]
    found = [(metric, values) for metric, values in every if values]
    if not found:
        return []
    caption = (
        "Share of the judged recordings by rating, to the nearest whole one, with counts; beside "
        "them the mean. What was not judged is in no share."
    ) + left_out(systems)
    return [
        Drawing(
            "ratings", "What the judge found", caption, None, tuple(systems),
            lambda: _draw(found, systems),
        )
    ]  # fmt: skip


def rating_counts(values: Floats) -> list[int]:
    """How many ratings are nearest to 0, 1, ... 5 (halves count up)."""
    nearest = np.clip(np.floor(values + 0.5), 0, 5).astype(int)
    return [int(count) for count in np.bincount(nearest, minlength=6)]


def _draw(found: Sequence[tuple[Metric, Mapping[str, Floats]]], systems: Sequence[str]) -> Figure:
    blocks = [
        (metric, values, [s for s in systems if s in values][:MOST_SYSTEMS])
        for metric, values in found
    ]
    width = WIDTH - _NAMES - _NUMBERS
    top = 20.0
    body = sum(len(shown) * _ROW + _HEAD for *_, shown in blocks)
    figure = new_figure(top + body + 26)
    legend(figure, list(zip(FILLS, "012345", strict=True)), _NAMES, 14)
    write(figure, RIGHT - 34, 14, "mean", ha="right", fontsize=SMALL, color=SOFT)
    write(figure, RIGHT, 14, "n", ha="right", fontsize=SMALL, color=SOFT)
    axes = panel(figure, _NAMES, top, width, body)
    axes.set_xlim(0, 1)
    axes.set_ylim(body, 0)
    x_axis(figure, axes, QUARTERS, labels=PERCENT)
    fills: list[list[tuple[float, float, float, float]]] = [[] for _ in FILLS]
    y = 0.0
    for metric, values, shown in blocks:
        title = scenario_title(metric.scenario)
        axes.text(0, y + 18, title, fontweight="bold")
        axes.text((text_width(title) * 1.07 + 8) / width, y + 18, metric.label, fontsize=SMALL,
                  color=SOFT)  # fmt: skip
        y += _HEAD
        names = labels(shown, NAME)
        for system in shown:
            counts, left = rating_counts(values[system]), 0.0
            for number, count in enumerate(counts):
                share = count / len(values[system])
                if not count:
                    continue
                fills[number].append((left, y + 2, share, 13))
                if text_width(str(count), SMALL) + 4 < share * width:
                    axes.text(left + share / 2, y + 12, str(count), ha="center", fontsize=SMALL,
                              color=_INKS[number])  # fmt: skip
                left += share
            at = top + y + 12
            write(figure, _NAMES - 10, at, names[system], ha="right", fontsize=NAME_SIZE)
            mean = f"{float(np.mean(values[system])):.2f}"
            write(figure, RIGHT - 34, at, mean, ha="right", fontsize=SMALL)
            write(figure, RIGHT, at, str(len(values[system])), ha="right", fontsize=SMALL)
            y += _ROW
    for boxes, fill in zip(fills, FILLS, strict=True):
        bars(axes, boxes, fill)
    rules(axes, [[(x, 0), (x, body)] for x in QUARTERS])
    return figure
