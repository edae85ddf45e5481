"""A sweep as one picture (SVG): a panel for each metric and setting, a line for each system."""

from collections.abc import Sequence
from html import escape
from typing import Any, Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.sweep.effects import main_effects

#: Okabe and Ito's colours, which most people with a colour deficiency can tell apart.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DASHES: Final = ("", "6 3", "2 2")

_WIDTH, _HEIGHT = 260, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 26, 30
_HEAD: Final = 34

#: Rows of panels; a page with more is no picture any more.
_MOST_ROWS: Final = 60
_MOST_SYSTEMS: Final = 21


def plot_svg(table: pl.DataFrame, names: Sequence[str], metrics: Sequence[Metric]) -> str:
    """Each metric (rows) against each setting (columns).

    Parameters
    ----------
    table : polars.DataFrame
        Of a :class:`~flexi_score.sweep.Sweep`.
    names : sequence of str
        Its settings.
    metrics : sequence of Metric
        For labels and units.

    Returns
    -------
    str
        An SVG document. A line is the mean over the other settings, the band around it their
        lowest and highest.
    """
    labels = {(m.scenario, m.name): f" ({m.unit})" if m.unit else "" for m in metrics}
    systems = table["system"].drop_nulls().unique(maintain_order=True).to_list()[:_MOST_SYSTEMS]
    shown = table.filter(pl.col("system").is_in(systems)).drop_nulls("value")
    rows = shown.select("scenario", "metric").unique(maintain_order=True).rows()[:_MOST_ROWS]
    effects = {
        name: dict(main_effects(shown, name).group_by(["scenario", "metric"], maintain_order=True))
        for name in names
    }
    width = max(len(names) * _WIDTH + 20, 360)
    height = len(rows) * _HEIGHT + _HEAD + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif" font-size="10">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_legend(systems, width),
    ]
    for i, key in enumerate(rows):
        for j, name in enumerate(names):
            title = f"{key[0]}.{key[1]}{labels.get(key, '')}"
            part = effects[name].get(key)
            if part is not None:
                out += _panel(part, name, title, systems, j * _WIDTH + 10, i * _HEIGHT + _HEAD)
    left_out = shown.select("scenario", "metric").n_unique() - len(rows)
    if left_out > 0:
        out.append(f'<text x="10" y="{height - 8}">{left_out} more metrics are in sweep.parquet'
                   "</text>")  # fmt: skip
    return "\n".join([*out, "</svg>"]) + "\n"


def _look(number: int) -> str:
    colour = COLOURS[number % len(COLOURS)]
    dash = DASHES[number // len(COLOURS) % len(DASHES)]
    return f'stroke="{colour}"' + (f' stroke-dasharray="{dash}"' if dash else "")


def _legend(systems: Sequence[str], width: int) -> list[str]:
    out, x = [], 12
    for number, system in enumerate(systems):
        text = system if len(system) <= 24 else system[:23] + "…"
        step = 34 + 6 * len(text)
        if x + step > width and number:
            out.append(f'<text x="{x}" y="20">…</text>')
            break
        out.append(f'<line x1="{x}" y1="16" x2="{x + 18}" y2="16" stroke-width="2" '
                   f"{_look(number)}/>")  # fmt: skip
        out.append(f'<text x="{x + 22}" y="20">{escape(text)}</text>')
        x += step
    return out


def _panel(
    part: pl.DataFrame, name: str, title: str, systems: Sequence[str], x0: int, y0: int
) -> list[str]:
    values = part[name].unique().sort().to_list()
    low, high = _range(part["low"].to_list() + part["high"].to_list())
    left, right = x0 + _LEFT, x0 + _WIDTH - _RIGHT
    top, bottom = y0 + _TOP, y0 + _HEIGHT - _BOTTOM
    place = _places(values, left, right)

    def y(value: float) -> float:
        return round(bottom - (value - low) / (high - low) * (bottom - top), 1)

    out = [
        f'<text x="{left}" y="{y0 + 16}" font-weight="600">{escape(title)}</text>',
        f'<path d="M{left} {top}V{bottom}H{right}" fill="none" stroke="#888888"/>',
    ]
    for value in (low, high):
        out.append(f'<text x="{left - 4}" y="{y(value) + 3}" text-anchor="end">{value:.4g}</text>')
    for value in {values[0]: 0, values[-1]: 0}:
        anchor = "start" if value == values[0] else "end"
        out.append(f'<text x="{place[value]}" y="{bottom + 12}" text-anchor="{anchor}">'
                   f"{escape(_shown(value))}</text>")  # fmt: skip
    out.append(f'<text x="{(left + right) / 2}" y="{bottom + 23}" text-anchor="middle" '
               f'fill="#555555">{escape(name)}</text>')  # fmt: skip
    for number, system in enumerate(systems):
        mine = part.filter(pl.col("system") == system)
        if not len(mine):
            continue
        at = [place[value] for value in mine[name]]
        above = [f"{x},{y(v)}" for x, v in zip(at, mine["high"], strict=True)]
        below = [f"{x},{y(v)}" for x, v in zip(at, mine["low"], strict=True)]
        line = [f"{x},{y(v)}" for x, v in zip(at, mine["value"], strict=True)]
        colour = COLOURS[number % len(COLOURS)]
        if above != below:
            out.append(f'<polygon points="{" ".join(above + below[::-1])}" fill="{colour}" '
                       'fill-opacity="0.1"/>')  # fmt: skip
        out.append(f'<polyline points="{" ".join(line)}" fill="none" stroke-width="1.6" '
                   f"{_look(number)}><title>{escape(system)}</title></polyline>")  # fmt: skip
        if len(line) <= 30:
            out += [f'<circle cx="{point.partition(",")[0]}" cy="{point.partition(",")[2]}" '
                    f'r="2" fill="{colour}"/>' for point in line]  # fmt: skip
    return out


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if high > low:
        return low, high
    return low - (abs(low) / 10 or 0.5), high + (abs(high) / 10 or 0.5)


def _places(values: Sequence[Any], left: int, right: int) -> dict[Any, float]:
    """Where each value stands: to scale if they are numbers, else evenly."""
    if len(values) == 1:
        return {values[0]: (left + right) / 2}
    numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if len(numbers) == len(values):
        span = numbers[-1] - numbers[0]
        return {v: round(left + (v - numbers[0]) / span * (right - left), 1) for v in numbers}
    step = (right - left) / (len(values) - 1)
    return {v: round(left + i * step, 1) for i, v in enumerate(values)}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
