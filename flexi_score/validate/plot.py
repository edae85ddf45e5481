"""A validation as one picture (SVG): boundary errors as distributions, detection error as bars.

A row a group. Left, on one axis of milliseconds, the signed errors of starts (above) and ends
(below): a line from the 5th to the 95th percentile, a bar over the middle half, a mark at the
median. The axis is that of the square root, to show 5 ms and 500 ms at once. Right,
false alarm and miss in per cent of true speech, one after the other.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from flexi_score.validate.validation import Validation

_START, _END, _FALSE, _MISS = "#0b6fa4", "#d1690e", "#7a5195", "#b0a4c4"
_INK, _FAINT = "#222", "#ccc"
_ROW, _TOP, _LABEL, _LEFT, _GAP, _RIGHT = 34, 76, 230, 400, 60, 220
_MOST_ROWS: Final = 40
_QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_TICKS_MS: Final = (5, 25, 100, 250, 500, 1000, 2500, 5000)


def validation_svg(
    validation: "Validation",
    groups: Sequence[tuple[str, str]],
    title: Callable[[str, str], str],
) -> str:
    """The picture, as the text of an SVG file.

    Parameters
    ----------
    validation : Validation
    groups : sequence of (by, level)
        Rows; the first 40 are drawn.
    title : callable
        What a group is called.
    """
    shown = groups[:_MOST_ROWS]
    spread = _spread(validation)
    errors = _detection(validation)
    edges = [abs(q) for values in spread.values() for q in (values[0], values[-2])]
    far = max(edges, default=0.0)
    reach = next((tick for tick in _TICKS_MS[1:] if tick >= far), _TICKS_MS[-1])
    most = max((sum(errors[key][:2]) for key in shown if key in errors), default=0.0)
    top = _nice_percent(most)
    middle = _LABEL + _LEFT / 2
    right = _LABEL + _LEFT + _GAP
    width, height = right + _RIGHT + 110, _TOP + _ROW * len(shown) + 44
    bottom = _TOP + _ROW * len(shown)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" font-family="sans-serif" font-size="12" fill="{_INK}">',
        "<title>Boundary errors and detection error</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        _text(_LABEL, 20, "Boundary error (ms), late is right", weight="bold"),
        *_legend(_LABEL, 38, ((_START, "starts"), (_END, "ends"))),
        _text(right, 20, "Detection error (% of true speech; n recordings)", weight="bold"),
        *_legend(right, 38, ((_FALSE, "false alarm"), (_MISS, "miss"))),
    ]
    ticks = [tick for tick in _TICKS_MS if tick <= reach]
    for tick in [*(-t for t in reversed(ticks)), 0, *ticks]:
        x = middle + _root(tick / reach) * _LEFT / 2
        parts += [_line(x, _TOP - 8, x, bottom, _FAINT if tick else _INK)]
        parts += [_text(x, bottom + 18, f"{tick:+d}" if tick else "0", "middle")]
    for share in (0.0, 0.5, 1.0):
        x = right + share * _RIGHT
        parts += [_line(x, _TOP - 8, x, bottom, _INK if share == 0 else _FAINT)]
        parts += [_text(x, bottom + 18, f"{share * top:g}", "middle")]
    for number, key in enumerate(shown):
        y = _TOP + _ROW * number + _ROW / 2
        name = title(*key)
        parts.append(_text(_LABEL - 12, y + 4, name if len(name) < 34 else name[:33] + "…", "end"))
        for boundary, colour, dy in (("start", _START, -6), ("end", _END, 6)):
            if (values := spread.get((*key, boundary))) is not None:
                scaled = [middle + _root(q / reach) * _LEFT / 2 for q in values[:-1]]
                parts += _box(scaled, y + dy, colour, name, boundary, values)
        if key in errors:
            false, miss, n = errors[key]
            a, b = (_RIGHT * min(v, top) / top for v in (false, miss))
            label = f"{escape(name)}: false alarm {false:.2f} %, miss {miss:.2f} %, n {n}"
            parts += [
                f"<g><title>{label}</title>{_bar(right, y - 8, a, 16, _FALSE)}"
                f"{_bar(right + a, y - 8, b, 16, _MISS)}</g>",
                _text(right + a + b + 6, y + 4, f"{false + miss:.2f}  (n {n})"),
            ]
    if len(groups) > len(shown):
        parts.append(_text(_LABEL, height - 6, f"and {len(groups) - len(shown)} groups more"))
    return "\n".join([*parts, "</svg>", ""])


def _spread(validation: "Validation") -> dict[tuple[str, str, str], list[float]]:
    """Quantiles of the signed errors of every group and boundary, then their number."""
    error = pl.col("error_ms")
    table = (
        validation.boundaries.drop_nulls("error_ms")
        .join(validation.groups, on="recording")
        .group_by("by", "level", "boundary", maintain_order=True)
        .agg(*(error.quantile(q, "linear").alias(f"{q}") for q in _QUANTILES), n=pl.len())
    )
    return {row[:3]: [float(value) for value in row[3:]] for row in table.rows()}


def _detection(validation: "Validation") -> dict[tuple[str, str], tuple[float, float, int]]:
    own = validation.table.filter((pl.col("part") == "detection") & (pl.col("speaker") == "all"))
    values = {row[:3]: row[3:] for row in own.select("by", "level", "measure", "value", "n").rows()}
    found = {}
    for by, level, measure in values:
        false, n = values[by, level, "false_alarm"]
        miss, _ = values[by, level, "miss"]
        if measure == "miss" and false is not None and miss is not None:
            found[by, level] = (false, miss, n)
    return found


def _root(share: float) -> float:
    """Signed square root, within -1 and 1."""
    return float(np.sign(share) * min(1.0, abs(share)) ** 0.5)


def _nice_percent(value: float) -> float:
    return float(next((s for s in (1, 2, 5, 10, 20, 50, 100, 200) if s >= value), 500))


def _box(
    x: Sequence[float], y: float, colour: str, name: str, boundary: str, values: Sequence[float]
) -> list[str]:
    p5, p25, p50, p75, p95, n = np.round(values, 1).tolist()
    label = (
        f"{escape(name)}, {boundary}s: median {p50:g} ms, middle half {p25:g} to {p75:g}, "
        f"90 % {p5:g} to {p95:g}, n {n:g}"
    )
    return [
        f"<g><title>{label}</title>",
        _line(x[0], y, x[4], y, colour),
        _bar(x[1], y - 4, max(x[3] - x[1], 1), 8, colour),
        _bar(x[2] - 1, y - 5, 2, 10, "#000"),
        "</g>",
    ]


def _legend(x: float, y: float, entries: Sequence[tuple[str, str]]) -> list[str]:
    parts = []
    for colour, name in entries:
        parts += [_bar(x, y, 10, 10, colour), _text(x + 14, y + 9, name)]
        x += 30 + 7 * len(name)
    return parts


def _bar(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:g}" fill="{colour}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(text)}</text>"
    )
