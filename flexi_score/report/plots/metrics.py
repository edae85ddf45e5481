"""Systems side by side: a dot and an interval for each metric and system."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from flexi_score.metrics.conversation import HUMAN_REFERENCE
from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import dots, new_figure, panel, rules, write, x_axis
from flexi_score.report.plots.kinds import MOST_SYSTEMS, Drawing, left_out, nice_ticks
from flexi_score.report.plots.legend import draw_legend, legend_lines
from flexi_score.report.plots.style import HUMAN, LEFT, SMALL, SOFT, WIDTH, look
from flexi_score.report.tables import ARROWS, PAPER_TABLES, rows_by_key, scenario_title, systems_of
from flexi_score.schema import SCENARIOS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Further metrics that are worth a row, beside those of the paper's tables.
_FURTHER: Final = (
    ("user_interrupt", "response_latency"),
    ("model_interrupt", "lead"),
    ("user_backchannel", "resumed"),
    ("conversation", "model_floor_offset"),
    ("conversation", "model_response_latency"),
    ("conversation", "model_overlapped_starts"),
    ("conversation", "model_level_1"),
    ("conversation", "model_interruption_success"),
    ("conversation", "model_backchannels_per_min"),
    ("conversation", "overlap_s_per_min"),
    ("conversation", "gap_s_per_min"),
)
#: Units that share an axis, its name, and where it ends whatever the values are.
_AXES: Final = (
    (("", "0-1"), "share, or score from 0 to 1", (0.0, 1.0)),
    (("s",), "seconds", None),
    (("0-5",), "rating from 0 to 5", (0.0, 5.0)),
    (("1/s",), "per second", None),
    (("1/min",), "per minute", None),
    (("s/min",), "seconds per minute", None),
)
_NAMES: Final = 212.0
_STEP: Final = 7.0
#: Of more systems only the metrics of the paper's tables are drawn, and they stand closer.
_MANY: Final = 8
_CLOSE: Final = 4.6

Row = tuple[Metric, dict[str, dict[str, Any]]]


def metric_plots(summary: pl.DataFrame, metrics: Sequence[Metric]) -> list[Drawing]:
    """The plot of the summary's main metrics, those of the paper's tables first.

    ``summary``: :data:`flexi_score.schema.SUMMARY`. ``metrics``: of one profile.
    """
    rows = shown_metrics(summary, metrics)
    if not rows:
        return []
    systems = systems_of(summary)
    caption = "Values with their intervals, as in the summary."
    human = [key for m, _ in rows if (key := m.name) in HUMAN_REFERENCE]
    if human:
        sources = dict.fromkeys(HUMAN_REFERENCE[name].source for name in human)
        caption += f" Green: people ({'; '.join(sources)})."
    return [
        Drawing(
            "systems",
            "Systems side by side",
            caption + left_out(systems),
            None,
            tuple(systems),
            lambda: _draw(rows, systems[:MOST_SYSTEMS]),
        )
    ]


def shown_metrics(summary: pl.DataFrame, metrics: Sequence[Metric]) -> list[Row]:
    """Metrics that have a value, each with the rows of its systems."""
    known = {(m.scenario, m.name): m for m in metrics}
    keys = [(s, name) for _, groups in PAPER_TABLES for s, names in groups for name in names]
    if not any(key in known for key in keys):
        keys = list(known)
    places: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for (system, scenario, name), row in rows_by_key(summary).items():
        if _known(row["value"]):
            places.setdefault((scenario, name), {})[system] = row
    units = {unit for units, _, _ in _AXES for unit in units}
    further = _FURTHER if len(systems_of(summary)) <= _MANY else ()
    return [
        (known[key], places[key])
        for key in dict.fromkeys([*keys, *further])
        if key in places
        and key in known
        and known[key].unit in units
        and known[key].aggregate != "sum"
    ]


def _draw(rows: Sequence[Row], systems: Sequence[str]) -> Figure:
    rows = sorted(rows, key=lambda row: SCENARIOS.index(row[0].scenario))
    row_height = max(20.0, _step(systems) * len(systems) + 6)
    groups = [
        (title, ends, [row for row in rows if row[0].unit in units]) for units, title, ends in _AXES
    ]
    groups = [group for group in groups if group[2]]
    lines = legend_lines(systems)
    top = 8.0 + 14 * lines
    height = top + sum(len(part) * row_height + 44 for _, _, part in groups)
    figure = new_figure(height)
    draw_legend(figure, systems)
    for title, ends, part in groups:
        _group(figure, top, title, ends, part, systems, row_height)
        top += len(part) * row_height + 44
    return figure


def _group(
    figure: Figure,
    top: float,
    title: str,
    ends: tuple[float, float] | None,
    rows: Sequence[Row],
    systems: Sequence[str],
    row_height: float,
) -> None:
    axes = panel(figure, _NAMES, top, WIDTH - _NAMES - 12, len(rows) * row_height)
    low, high = ends or _range(rows, systems)
    axes.set_xlim(low, high)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    x_axis(figure, axes, nice_ticks(low, high, 6), title)
    rules(
        axes, [[(low, position + 0.5), (high, position + 0.5)] for position in range(len(rows) - 1)]
    )
    points: dict[int, list[tuple[float, float, float, float]]] = {}
    before = ""
    for position, (metric, by_system) in enumerate(rows):
        y = top + row_height * (position + 0.5) + 3.5
        if metric.scenario != before:
            title = scenario_title(metric.scenario)
            write(figure, LEFT, y, title, fontsize=SMALL, color=SOFT)
        before = metric.scenario
        name = f"{metric.label} {ARROWS[metric.direction]}".strip()
        write(figure, _NAMES - 10, y, name, ha="right", fontsize=SMALL + 0.5)
        if metric.name in HUMAN_REFERENCE:
            band = HUMAN_REFERENCE[metric.name]
            axes.plot(
                [band.low, band.high],
                [position] * 2,
                color=HUMAN,
                alpha=0.35,
                zorder=0.8,
                linewidth=row_height - 6,
                solid_capstyle="butt",
            )
            if band.low == band.high:
                axes.plot(
                    [band.low] * 2, [position - 0.4, position + 0.4], color=HUMAN, linewidth=2
                )
        for number, system in enumerate(systems):
            if system in by_system:
                shift = (number - (len(systems) - 1) / 2) * _step(systems) / row_height
                row = by_system[system]
                a, b = (row[k] if _known(row[k]) else row["value"] for k in ("ci_low", "ci_high"))
                points.setdefault(number, []).append((row["value"], position + shift, a, b))
    for number, cells in points.items():
        seen = look(number)
        rules(axes, [[(a, y), (b, y)] for _, y, a, b in cells if b > a], seen.colour, 1.4)
        dots(
            axes,
            [x for x, *_ in cells],
            [y for _, y, *_ in cells],
            seen,
            4.8 if len(systems) <= _MANY else 3.6,
        )


def _known(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _step(systems: Sequence[str]) -> float:
    return _STEP if len(systems) <= _MANY else _CLOSE


def _range(rows: Sequence[Row], systems: Sequence[str]) -> tuple[float, float]:
    values = [
        row[key]
        for metric, by_system in rows
        for system, row in by_system.items()
        for key in ("value", "ci_low", "ci_high")
        if _known(row[key]) and system in systems
    ]
    bands = [HUMAN_REFERENCE[m.name] for m, _ in rows if m.name in HUMAN_REFERENCE]
    values += [end for band in bands for end in (band.low, band.high)]
    low, high = min([0.0, *values]), max(values, default=1.0)
    high = high if high > low else low + 1.0
    room = 0.04 * (high - low)
    return (low - room if low < 0 else low), high + room
