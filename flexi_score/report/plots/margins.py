"""Sensitivity: how far outcomes are from the threshold that would flip them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import (
    bars,
    dots,
    legend,
    new_figure,
    panel,
    rules,
    write,
    x_axis,
)
from flexi_score.report.plots.kinds import (
    MOST_DOTS,
    MOST_SYSTEMS,
    Drawing,
    Floats,
    left_out,
    scatter_of,
    sorted_by_system,
    thinned,
)
from flexi_score.report.plots.legend import draw_legend, legend_lines
from flexi_score.report.plots.style import ERROR, FAINT, RIGHT, SMALL, SOFT, WIDTH, look
from flexi_score.report.tables import scenario_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Left end of the axis: boundaries are whole milliseconds.
LEAST_S: Final = 0.001
_NAMES: Final = 150.0
_NUMBERS: Final = 92.0
_ROW: Final = 26.0
_TICKS: Final = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)


def margin_plots(
    scores: pl.DataFrame, systems: Sequence[str], metrics: Sequence[Metric], settings: Settings
) -> list[Drawing]:
    """The plot of all margins, a row per metric; nothing where no threshold decides."""
    rows = margins(scores, metrics)
    if not rows:
        return []
    error = settings.summary.boundary_error_s
    caption = (
        "How far one boundary would have to move to flip an outcome, a dot per recording. Shaded: "
        f"no more than {error * 1000:g} ms, the error with which boundaries are measured "
        "(summary.boundary_error_s); the numbers count those within it."
    ) + left_out(systems)
    return [
        Drawing(
            "margins",
            "How close the decisions were",
            caption,
            None,
            tuple(systems),
            lambda: _draw(rows, list(systems[:MOST_SYSTEMS]), error),
        )
    ]


def margins(
    scores: pl.DataFrame, metrics: Sequence[Metric]
) -> list[tuple[Metric, dict[str, Floats]]]:
    """Metrics that a threshold decides, with their margins (s, ascending, unsigned) by system."""
    rows = scores.filter(pl.col("margin_s").is_finite() & pl.col("value").is_finite())
    parts = {
        (str(key[0]), str(key[1])): part
        for key, part in rows.select("scenario", "metric", "system", "margin_s").group_by(
            ["scenario", "metric"], maintain_order=True
        )
    }
    return [
        (m, sorted_by_system(part["system"], part["margin_s"].abs()))
        for m in metrics
        if (part := parts.get((m.scenario, m.name))) is not None and m.aggregate == "rate"
    ]


def within(values: Mapping[str, Floats], error_s: float) -> tuple[int, int]:
    """How many margins are within the error, and of how many."""
    counts = [np.searchsorted(margin, error_s, side="right") for margin in values.values()]
    return int(sum(counts)), sum(len(margin) for margin in values.values())


def _draw(
    rows: Sequence[tuple[Metric, dict[str, Floats]]], systems: Sequence[str], error: float
) -> Figure:
    several = len(systems) > 1
    top, body = 26.0 + (14.0 * legend_lines(systems) if several else 0.0), _ROW * len(rows)
    figure = new_figure(top + body + 34)
    axes = panel(figure, _NAMES, top, WIDTH - _NAMES - _NUMBERS, body)
    most = max(float(margin[-1]) for _, values in rows for margin in values.values())
    high = max(1.0, most) * 1.15
    axes.set_xscale("log")
    axes.set_xlim(LEAST_S * 0.85, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    ticks = [tick for tick in _TICKS if tick <= high]
    x_axis(figure, axes, ticks, "margin of the decision", [_tick(tick) for tick in ticks])
    end = max(error, LEAST_S)
    bars(axes, [(LEAST_S * 0.85, -0.5, end - LEAST_S * 0.85, len(rows))], ERROR, zorder=0)
    rules(axes, [((end, -0.5), (end, len(rows) - 0.5))], FAINT)
    legend(figure, ((ERROR, f"within {error * 1000:g} ms"),), _NAMES, top - 12)
    if several:
        draw_legend(figure, systems)
    write(figure, RIGHT, top - 12, "within", ha="right", fontsize=SMALL, color=SOFT)
    shown = {system: number for number, system in enumerate(systems)}
    height = 0.8 / max(1, len(shown))
    for position, (metric, values) in enumerate(rows):
        y = top + _ROW * (position + 0.5)
        write(figure, _NAMES - 10, y - 1, scenario_title(metric.scenario), ha="right")
        write(figure, _NAMES - 10, y + 9.5, metric.label, ha="right", fontsize=SMALL, color=SOFT)
        near, total = within(values, error)
        write(
            figure,
            RIGHT,
            y + 3.5,
            f"{near} of {total} ({near / total:.0%})",
            ha="right",
            fontsize=SMALL,
        )
        for system, margin in values.items():
            if system not in shown:
                continue
            seen = look(shown[system])
            few = np.maximum(margin[thinned(len(margin), MOST_DOTS)], LEAST_S)
            middle = position + (shown[system] - (len(shown) - 1) / 2) * height
            spread = scatter_of(len(few)) * height * (0.35 if len(few) > 4 else 0.0)
            dots(axes, few, middle + spread, seen, 3.2 if len(shown) < 4 else 2.4, 0.7)
    return figure


def _tick(value: float) -> str:
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"
