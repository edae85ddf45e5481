"""A validation as one picture: boundary errors as distributions, detection error as bars.

A row per group. Left, on one axis of milliseconds, the signed errors of starts (above) and ends
(below): a line from the 5th to the 95th percentile, a bar over the middle half, a mark at the
median. The axis is that of the square root, to show 5 ms and 500 ms at once. Right,
false alarm and miss in per cent of true speech, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from flexi_score.report.plots.draw import bars, legend, new_figure, panel, rules, write, x_axis
from flexi_score.report.plots.style import COLOURS, FAINT, INK, RULE, SMALL, SOFT, drawing, labels
from flexi_score.report.plots.svg import svg_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from flexi_score.validate.validation import Validation

_START, _END, _FALSE, _MISS = COLOURS[0], COLOURS[1], COLOURS[3], COLOURS[5]
_ROW, _TOP, _NAMES, _LEFT, _GAP, _RIGHT, _NUMBERS = 26.0, 48.0, 190.0, 320.0, 44.0, 160.0, 84.0
_WIDTH: Final = _NAMES + _LEFT + _GAP + _RIGHT + _NUMBERS
_MOST_ROWS: Final = 40
_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_TICKS_MS: Final = (5, 25, 100, 250, 500, 1000, 2500, 5000)


def validation_svg(
    validation: Validation,
    groups: Sequence[tuple[str, str]],
    title: Callable[[str, str], str],
    *,
    page: bool = False,
) -> str:
    """The picture, as the text of an SVG file; the first 40 groups are drawn."""
    shown = list(groups[:_MOST_ROWS])
    names = [title(*key) for key in shown]
    with drawing(names):
        figure = _draw(validation, shown, names, len(groups) - len(shown))
        return svg_text(
            figure,
            "validation",
            "Boundary errors and detection error",
            "Left: errors of starts and ends of speech; a line over nine tenths of them, a bar "
            "over the middle half, a mark at the median. Right: false alarm and miss.",
            page=page,
        )


def _draw(
    validation: Validation, shown: Sequence[tuple[str, str]], names: Sequence[str], more: int
) -> Figure:
    spread, errors = _spread(validation), _detection(validation)
    body = _ROW * max(1, len(shown))
    figure = new_figure(_TOP + body + 44, _WIDTH)
    right = _NAMES + _LEFT + _GAP
    for x, text, entries in (
        (_NAMES, "Boundary error: late is right", ((_START, "starts"), (_END, "ends"))),
        (right, "Detection error", ((_FALSE, "false alarm"), (_MISS, "miss"))),
    ):
        write(figure, x, 16, text, fontweight="bold")
        legend(figure, entries, x, 34, _WIDTH)
    short = labels(names, 32)
    for row, name in enumerate(names):
        y = _TOP + _ROW * (row + 0.5) + 3.5
        write(figure, _NAMES - 12, y, short[name], ha="right", fontsize=SMALL + 0.5)
    boundary = panel(figure, _NAMES, _TOP, _LEFT, body)
    _draw_boundaries(figure, boundary, spread, shown)
    detection = panel(figure, right, _TOP, _RIGHT, body)
    _draw_detection(figure, detection, errors, shown)
    if more > 0:
        write(
            figure, _NAMES, _TOP + body + 40, f"and {more} groups more", fontsize=SMALL, color=SOFT
        )
    return figure


def _draw_boundaries(
    figure: Figure,
    axes: Axes,
    spread: dict[tuple[str, str, str], list[float]],
    shown: Sequence[tuple[str, str]],
) -> None:
    far = max((abs(q) for values in spread.values() for q in (values[0], values[-2])), default=0.0)
    reach = next((tick for tick in _TICKS_MS[1:] if tick >= far), _TICKS_MS[-1])
    axes.set_xlim(-1, 1)
    axes.set_ylim(max(1, len(shown)), 0)
    end = axes.get_ylim()[0]
    ticks = [tick for tick in _TICKS_MS if tick <= reach]
    every = [*(-tick for tick in reversed(ticks)), 0, *ticks]
    at = [_root(tick / reach) for tick in every]
    rules(axes, [((x, 0), (x, end)) for x in at], RULE)
    rules(axes, [((0, 0), (0, end))], FAINT, 1.0)
    texts = [f"{tick:+d}".replace("-", "\N{MINUS SIGN}") if tick else "0" for tick in every]
    x_axis(figure, axes, at, "milliseconds", texts)
    for row, key in enumerate(shown):
        for boundary, colour, shift in (("start", _START, 0.3), ("end", _END, 0.7)):
            if (values := spread.get((*key, boundary))) is not None:
                y = row + shift
                p5, p25, p50, p75, p95 = (_root(q / reach) for q in values[:-1])
                rules(axes, [((p5, y), (p95, y))], colour, 1.2)
                bars(axes, [(p25, y - 0.13, max(p75 - p25, 0.004), 0.26)], colour)
                bars(axes, [(p50 - 0.004, y - 0.19, 0.008, 0.38)], INK, zorder=2)


def _draw_detection(
    figure: Figure,
    axes: Axes,
    errors: dict[tuple[str, str], tuple[float, float, int]],
    shown: Sequence[tuple[str, str]],
) -> None:
    highest = max((sum(errors[key][:2]) for key in shown if key in errors), default=0.0)
    top = float(next((x for x in (1, 2, 5, 10, 20, 50, 100, 200) if x >= highest), 500))
    axes.set_xlim(0, top)
    axes.set_ylim(max(1, len(shown)), 0)
    end = axes.get_ylim()[0]
    rules(axes, [((x, 0), (x, end)) for x in (0, top / 2, top)])
    x_axis(
        figure, axes, [0, top / 2, top], "% of true speech", [f"{x:g}" for x in (0, top / 2, top)]
    )
    for row, key in enumerate(shown):
        if key not in errors:
            continue
        false, miss, n = errors[key]
        a, b = min(false, top), min(miss, top)
        bars(axes, [(0, row + 0.24, a, 0.52)], _FALSE)
        bars(axes, [(a, row + 0.24, min(b, top - a), 0.52)], _MISS)
        text = f"{false + miss:.2f} (n {n})"
        axes.text(
            min(a + b, top) + 0.03 * top, row + 0.5, text, va="center_baseline", fontsize=SMALL
        )


def _spread(validation: Validation) -> dict[tuple[str, str, str], list[float]]:
    """Quantiles of the signed errors of every group and boundary, then their number."""
    error = pl.col("error_ms")
    table = (
        validation.boundaries.drop_nulls("error_ms")
        .join(validation.groups, on="recording")
        .group_by("by", "level", "boundary", maintain_order=True)
        .agg(*(error.quantile(q, "linear").alias(f"{q}") for q in _QUANTILES), n=pl.len())
    )
    return {row[:3]: [float(value) for value in row[3:]] for row in table.rows()}


def _detection(validation: Validation) -> dict[tuple[str, str], tuple[float, float, int]]:
    own = validation.table.filter((pl.col("part") == "detection") & (pl.col("speaker") == "all"))
    values = {row[:3]: row[3:] for row in own.select("by", "level", "measure", "value", "n").rows()}
    errors = {}
    for by, level, measure in values:
        false, n = values[by, level, "false_alarm"]
        miss, _ = values[by, level, "miss"]
        if measure == "miss" and false is not None and miss is not None:
            errors[by, level] = (false, miss, n)
    return errors


def _root(share: float) -> float:
    """Signed square root, within -1 and 1."""
    return float(np.sign(share) * min(1.0, abs(share)) ** 0.5)
