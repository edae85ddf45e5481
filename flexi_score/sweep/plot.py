"""A sweep as one picture: a panel for each metric and setting, a line for each system."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import new_figure, panel, rules, write, x_axis
from flexi_score.report.plots.legend import draw_legend, legend_lines
from flexi_score.report.plots.style import LEFT, SMALL, SOFT, WIDTH, drawing, look, text_width
from flexi_score.report.plots.svg import svg_text
from flexi_score.sweep.effects import main_effects

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PANEL_WIDTH, _PANEL_HEIGHT = 252.0, 132.0
_INNER_LEFT, _INNER_RIGHT, _INNER_TOP, _INNER_BOTTOM = 48.0, 12.0, 24.0, 36.0

#: Rows of panels; a page with more is no picture any more.
_MOST_ROWS: Final = 60
_MOST_SYSTEMS: Final = 21
#: Values of a setting beyond which lines carry no dots.
_MOST_DOTS: Final = 30
#: Points of a line of notes, and of one of its characters.
_LINE: Final = 11.0
_CHARACTER: Final = 4.6


def plot_svg(
    table: pl.DataFrame, names: Sequence[str], metrics: Sequence[Metric], *, page: bool = False
) -> str:
    """Each metric (rows) against each setting (columns), as SVG.

    A line is the mean over the other settings, the band around it their lowest and highest.
    """
    systems = table["system"].drop_nulls().unique(maintain_order=True).to_list()[:_MOST_SYSTEMS]
    shown = table.filter(pl.col("system").is_in(systems)).drop_nulls("value")
    description = (
        "Each metric against each setting, a line for each system: the mean over the other "
        "settings, the band around it their lowest and highest."
    )
    with drawing(systems):
        figure = _draw(shown, names, metrics, systems)
        return svg_text(figure, "sweep", "Sweep of settings", description, page=page)


def _draw(
    shown: pl.DataFrame, names: Sequence[str], metrics: Sequence[Metric], systems: Sequence[str]
) -> Figure:
    units = {(m.scenario, m.name): f" ({m.unit})" if m.unit else "" for m in metrics}
    moving = (
        shown.group_by("scenario", "metric", "system", maintain_order=True)
        .agg(moves=pl.col("value").max() > pl.col("value").min())
        .group_by("scenario", "metric", maintain_order=True)
        .agg(pl.col("moves").any())
    )
    every = moving.filter("moves").select("scenario", "metric").rows()
    rows = every[:_MOST_ROWS]
    notes = []
    if len(every) > len(rows):
        notes.append(f"{len(every) - len(rows)} more metrics are in sweep.parquet")
    still = [f"{key[0]}.{key[1]}" for key in moving.filter(~pl.col("moves")).iter_rows()]
    if still:
        count = f"{len(still)} of {len(moving)} metrics do not change within this sweep"
        notes.append(f"{count}: {', '.join(still)}")
    effects = {
        name: dict(main_effects(shown, name).group_by(["scenario", "metric"], maintain_order=True))
        for name in names
    }
    width = max(len(names) * _PANEL_WIDTH + 2 * LEFT, WIDTH)
    top = 12.0 + 14 * legend_lines(systems, width)
    lines = [line for note in notes for line in textwrap.wrap(note, int(width / _CHARACTER))]
    figure = new_figure(top + len(rows) * _PANEL_HEIGHT + 18 + _LINE * len(lines[1:]), width)
    draw_legend(figure, systems, width, lines=True)
    for i, key in enumerate(rows):
        for j, name in enumerate(names):
            part = effects[name].get(key)
            if part is not None:
                corner = (LEFT + j * _PANEL_WIDTH, top + i * _PANEL_HEIGHT)
                _panel(
                    figure, corner, part, name, f"{key[0]}.{key[1]}{units.get(key, '')}", systems
                )
    for number, line in enumerate(lines):
        bottom = top + len(rows) * _PANEL_HEIGHT + 10 + _LINE * number
        write(figure, LEFT, bottom, line, fontsize=SMALL, color=SOFT)
    return figure


def _panel(
    figure: Figure,
    corner: tuple[float, float],
    part: pl.DataFrame,
    name: str,
    title: str,
    systems: Sequence[str],
) -> None:
    left, top = corner[0] + _INNER_LEFT, corner[1] + _INNER_TOP
    width = _PANEL_WIDTH - _INNER_LEFT - _INNER_RIGHT
    height = _PANEL_HEIGHT - _INNER_TOP - _INNER_BOTTOM
    values = part[name].unique().sort().to_list()
    at = _places(values)
    low, high = _range(part["low"].to_list() + part["high"].to_list())
    write(figure, left, corner[1] + 16, title, fontweight="bold", fontsize=SMALL + 0.5)
    axes = panel(figure, left, top, width, height)
    room = 0.03 * ((at[values[-1]] - at[values[0]]) or 1.0)
    axes.set_xlim(at[values[0]] - room, at[values[-1]] + room)
    rise = 0.07 * (high - low)
    axes.set_ylim(low - rise, high + rise)
    start, end = axes.get_xlim()
    gap = 5 * (end - start) / width
    rules(axes, [((start, low), (end, low)), ((start, high), (end, high))])
    for value in (low, high):
        axes.text(
            start - gap, value, f"{value:.4g}", ha="right", va="center", fontsize=SMALL, color=SOFT
        )
    ticks = _ticks(values, [_shown(value) for value in values], width)
    x_axis(figure, axes, [at[value] for value in ticks], name, [_shown(value) for value in ticks])
    for number, system in enumerate(systems):
        line = part.filter(pl.col("system") == system)
        if not len(line):
            continue
        seen, x = look(number), [at[value] for value in line[name]]
        if (line["low"] != line["high"]).any():
            axes.fill_between(
                x, line["low"], line["high"], color=seen.colour, alpha=0.12, linewidth=0
            )
        axes.plot(
            x,
            line["value"],
            color=seen.colour,
            linestyle=seen.dashes,
            clip_on=False,
            marker=seen.marker if len(x) <= _MOST_DOTS else None,
            markersize=3.5,
            markeredgewidth=0,
            linewidth=1.4,
        )


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high > low:
        return low, high
    return low - (abs(low) / 10 or 0.5), high + (abs(high) / 10 or 0.5)


def _places(values: Sequence[Any]) -> dict[Any, float]:
    """Where each value stands: to scale if they are numbers, else evenly."""
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        return {value: float(value) for value in values}
    return {value: float(i) for i, value in enumerate(values)}


def _ticks(values: Sequence[Any], texts: Sequence[str], width: float) -> list[Any]:
    """All values where there is room for their names, else the first and the last."""
    wide = max(text_width(text, SMALL) for text in texts) + 6
    if wide * len(values) <= width and len(values) <= 8:
        at = _places(values)
        point = (at[values[-1]] - at[values[0]]) / width
        gaps = [at[b] - at[a] for a, b in pairwise(values)]
        if not gaps or min(gaps) >= wide * point:
            return list(values)
    return list(dict.fromkeys([values[0], values[-1]]))


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
