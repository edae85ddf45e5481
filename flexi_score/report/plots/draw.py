"""The few things that plots are made of: axes, bars, rules, dots, and text at a place.

Shapes of one colour are one path each: small files, and far less work than an artist for every
mark. Lengths on a figure are points from its upper left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flexi_score.report.plots.style import FAINT, RIGHT, RULE, SMALL, SOFT, WIDTH, Look, text_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Codes of matplotlib's paths: move, line, close.
_CLOSED: Final = (1, 2, 2, 2, 79)
_STRAIGHT: Final = (1, 2)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of this size (pt)."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / 72, height / 72), dpi=72)


def panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at this place of a figure, as bare as can be: :func:`x_axis` draws what it needs.

    matplotlib's own ticks and spines cost more time than everything else on a small plot.
    """
    whole_width, whole_height = figure.get_size_inches() * 72
    axes = figure.add_axes(
        (
            left / whole_width,
            1 - (top + height) / whole_height,
            width / whole_width,
            height / whole_height,
        )
    )
    axes.set_axis_off()
    return axes


def x_axis(
    figure: Figure,
    axes: Axes,
    ticks: Sequence[float],
    title: str = "",
    labels: Sequence[str] | None = None,
) -> None:
    """Line, ticks, their labels and the axis's name below axes whose limits are set."""
    box, height = axes.get_position(), figure.get_size_inches()[1] * 72
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    point = (bottom - top) / (box.height * height)  # what a point is on this axis, downwards
    lines = [((tick, bottom), (tick, bottom + 3 * point)) for tick in ticks]
    rules(axes, [((left, bottom), (right, bottom)), *lines], FAINT, clip=False)
    if labels is None:
        labels = tick_labels(ticks)
    for tick, text in zip(ticks, labels, strict=True):
        axes.text(tick, bottom + 12 * point, text, ha="center", fontsize=SMALL, color=SOFT)
    if title:
        middle = box.x0 + box.width / 2
        figure.text(
            middle,
            box.y0 - 25 / height,
            title,
            ha="center",
            va="baseline",
            fontsize=SMALL,
            color=SOFT,
        )


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """Numbers with as many decimals as the ticks between them need."""
    step = min((b - a for a, b in pairwise(ticks)), default=1.0)
    digits = next((d for d in range(6) if abs(round(step, d) - step) < 1e-9), 6)
    return [f"{tick:.{digits}f}".replace("-", "\N{MINUS SIGN}") for tick in ticks]


def write(figure: Figure, x: float, y: float, text: str, **look: Any) -> Any:
    """Text at a place of a figure, its baseline at ``y`` from the top."""
    width, height = figure.get_size_inches() * 72
    return figure.text(x / width, 1 - y / height, text, **{"va": "baseline", **look})


def bars(
    axes: Axes,
    boxes: Sequence[tuple[float, float, float, float]],
    colour: str,
    zorder: float = 1.0,
    alpha: float | None = None,
) -> None:
    """Filled boxes as one shape, each (left, top, width, height) in the units of the axes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(boxes):
        return
    x, y, w, h = (np.array([box[k] for box in boxes], np.float64) for k in range(4))
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h, x, y], axis=1).reshape(-1, 2)
    codes = np.tile(_CLOSED, len(boxes))
    shape = PathPatch(
        Path(corners, codes), facecolor=colour, linewidth=0, zorder=zorder, alpha=alpha
    )
    axes.add_artist(shape)


def rules(
    axes: Axes, lines: Sequence[Any], colour: str = RULE, width: float = 0.7, clip: bool = True
) -> None:
    """Straight lines as one shape behind others, each ((x, y), (x, y)) in units of the axes."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(lines):
        return
    ends = np.array(lines, np.float64).reshape(-1, 2)
    codes = np.tile(_STRAIGHT, len(lines))
    shape = PathPatch(
        Path(ends, codes),
        fill=False,
        edgecolor=colour,
        linewidth=width,
        capstyle="butt",
        zorder=0.4,
    )
    axes.add_artist(shape)
    shape.set_clip_on(clip)


def dots(
    axes: Axes,
    x: Sequence[float] | Any,
    y: Sequence[float] | Any,
    seen: Look,
    size: float = 3.0,
    alpha: float | None = None,
) -> None:
    """Dots as one shape, ``size`` points wide, in axes whose limits are set.

    Round and square ones are strokes of next to no length with wide ends: a hundred times less to
    write than a marker each.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    figure: Any = axes.figure
    caps = {"o": "round", "s": "projecting"}
    if not len(x):
        return
    if seen.marker not in caps:
        axes.scatter(
            x,
            y,
            s=(1.15 * size) ** 2,
            marker=seen.marker,
            color=seen.colour,
            linewidth=0,
            alpha=alpha,
            clip_on=False,
            zorder=3,
        )
        return
    inches = axes.transData.transform(np.column_stack([x, y])) / 72
    half = np.array([0.0004, 0.0])
    ends = np.stack([inches - half, inches + half], axis=1).reshape(-1, 2)
    shape = PathPatch(
        Path(ends, np.tile(_STRAIGHT, len(inches))),
        fill=False,
        edgecolor=seen.colour,
        linewidth=size * (0.9 if seen.marker == "s" else 1.0),
        capstyle=caps[seen.marker],
        alpha=alpha,
        zorder=3,
        transform=figure.dpi_scale_trans,
        snap=False,
    )
    axes.add_artist(shape)
    shape.set_clip_on(False)


def legend(
    figure: Figure, entries: Sequence[tuple[str, str]], left: float, y: float, right: float = RIGHT
) -> float:
    """Swatches with their names in rows from ``left`` on; returns where the next row would be."""
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches() * 72
    x = left
    for colour, name in entries:
        step = 13 + text_width(name, SMALL) * 0.93 + 12
        if x + step - 12 > right and x > left:
            x, y = left, y + 14
        figure.add_artist(
            Rectangle((x / width, 1 - y / height), 8 / width, 8 / height, facecolor=colour)
        )
        write(figure, x + 12, y, name, fontsize=SMALL, color=SOFT)
        x += step
    return y + 14
