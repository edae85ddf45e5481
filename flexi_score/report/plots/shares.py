"""Rows of stacked shares: what part of a system's recordings each outcome or rating has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from flexi_score.report.plots.draw import bars, panel, rules, write, x_axis
from flexi_score.report.plots.style import (
    NAME,
    NAME_SIZE,
    NAMES_WIDTH,
    PERCENT,
    QUARTERS,
    SMALL,
    SOFT,
    labels,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROW: Final = 18.0
HEAD: Final = 26.0


@dataclass(frozen=True)
class Block:
    """Rows under one heading: counts by system, as many as there are parts."""

    title: str
    detail: str
    rows: Mapping[str, Sequence[int]]


def body_height(blocks: Sequence[Block]) -> float:
    """Height of :func:`draw_shares`."""
    return sum(HEAD + ROW * len(block.rows) for block in blocks)


def draw_shares(
    figure: Figure,
    blocks: Sequence[Block],
    parts: Sequence[tuple[str, str]],
    top: float,
    width: float,
    beside: Callable[[int, str, float], None],
) -> None:
    """Draw a row for each system of each block.

    ``blocks``: every row with a count above 0. ``parts``: fill, and the colour of a count on it.
    ``beside``: gets the number of the block, the system and the base line of its row, to write what
    stands to the right of it.
    """
    body = body_height(blocks)
    axes = panel(figure, NAMES_WIDTH, top, width, body)
    axes.set_xlim(0, 1)
    axes.set_ylim(body, 0)
    x_axis(figure, axes, QUARTERS, labels=PERCENT)
    rules(axes, [[(x, 0), (x, body)] for x in QUARTERS])
    fills: list[list[tuple[float, float, float, float]]] = [[] for _ in parts]
    y = 0.0
    for number, block in enumerate(blocks):
        axes.text(0, y + 18, block.title, fontweight="bold")
        axes.text(
            (text_width(block.title) * 1.07 + 8) / width,
            y + 18,
            block.detail,
            fontsize=SMALL,
            color=SOFT,
        )
        y += HEAD
        names = labels(list(block.rows), NAME)
        for system, counts in block.rows.items():
            total, left = sum(counts), 0.0
            for boxes, count, (_, ink) in zip(fills, counts, parts, strict=True):
                share = count / total
                if not count:
                    continue
                boxes.append((left, y + 2, share, 13))
                if text_width(str(count), SMALL) + 4 < share * width:
                    axes.text(
                        left + share / 2, y + 12, str(count), ha="center", fontsize=SMALL, color=ink
                    )
                left += share
            at = top + y + 12
            write(figure, NAMES_WIDTH - 10, at, names[system], ha="right", fontsize=NAME_SIZE)
            beside(number, system, at)
            y += ROW
    for boxes, (fill, _) in zip(fills, parts, strict=True):
        bars(axes, boxes, fill)
