"""Response times: distribution functions above, each system's values, half and median below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.conversation import HUMAN_REFERENCE
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
    distribution,
    left_out,
    nice_ticks,
    scatter_of,
    sorted_by_system,
    thinned,
    values_by_system,
)
from flexi_score.report.plots.style import (
    FAINT,
    HUMAN,
    INK,
    LEVEL_1,
    LEVEL_2,
    NAME,
    NAME_SIZE,
    NAMES_WIDTH,
    RIGHT,
    SMALL,
    SOFT,
    WIDTH,
    labels,
    look,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Of each scenario, the first of these that a run scored is drawn.
SOURCES: Final = (
    (("turn_taking", "floor_offset"), ("turn_taking", "latency")),
    (("user_interrupt", "stop_latency"), ("user_interrupt", "latency")),
    (("user_interrupt", "response_latency"),),
    (("model_interrupt", "lead"),),
)
_WHAT: Final = {
    ("turn_taking", "floor_offset"): (
        "Response time",
        "Start of the model's turn minus end of the user's; below 0 it jumps in.",
    ),
    ("turn_taking", "latency"): ("Response time", "Start of the model's turn after the user's."),
    ("user_interrupt", "stop_latency"): (
        "Time to stop when interrupted",
        "From the start of the user's interruption until the model falls silent, where it does.",
    ),
    ("user_interrupt", "latency"): (
        "Latency after an interruption",
        "As the metric of this profile defines it.",
    ),
    ("user_interrupt", "response_latency"): (
        "Answer to an interruption",
        "From the end of the interruption until the model's next turn.",
    ),
    ("model_interrupt", "lead"): (
        "How early the model cuts in",
        "From the start of the model's turn to the end of the user's; larger is earlier.",
    ),
}
#: These begin at the end of somebody's turn: people's response times can stand beside them.
_RESPONSES: Final = (
    ("turn_taking", "floor_offset"),
    ("turn_taking", "latency"),
    ("user_interrupt", "response_latency"),
)

_NUMBERS: Final = 104.0
_ROW: Final = 22.0
_CURVES: Final = 128.0
#: Curves of more systems are a tangle.
_MOST_CURVES: Final = 8
#: Of fewer values the dots say as much.
_FEWEST: Final = 5


def latencies(
    scores: pl.DataFrame,
    systems: Sequence[str],
    settings: Settings,
    quantiles: pl.DataFrame | None = None,
) -> list[Drawing]:
    """The plots of all response times that a run scored.

    ``scores``: :data:`flexi_score.schema.SCORES`. ``systems``: in the order that gives each its
    look. ``settings``: for the levels of interaction, ``conversation.level_1_ms`` and
    ``level_2_ms``. ``quantiles``: :data:`flexi_score.aggregate.QUANTILES`: intervals of the
    medians.
    """
    rows = []
    for choices in SOURCES:
        for key in choices:
            values = values_by_system(scores, *key)
            if values:
                title, what = _WHAT[key]
                medians = {} if quantiles is None else _medians(quantiles, key)
                rows.append(
                    draw_times(
                        values,
                        systems,
                        settings,
                        name=f"latency_{'_'.join(key)}",
                        title=title,
                        what=what,
                        scenario=key[0],
                        human=key in _RESPONSES,
                        medians=medians,
                    )
                )
                break
    return rows


def floor_offsets(
    events: pl.DataFrame, recordings: pl.DataFrame, systems: Sequence[str], settings: Settings
) -> list[Drawing]:
    """Floor-transfer offsets of the model's turns in conversations, every turn a value.

    ``events``: :data:`flexi_score.schema.EVENTS` of all recordings. ``recordings``: with
    ``recording, system, scenario``.
    """
    values = offset_values(events, recordings)
    if not values:
        return []
    return [
        draw_times(
            values,
            systems,
            settings,
            name="floor_offsets",
            title="Floor-transfer offsets in conversation",
            what="Start of each turn of the model minus end of the user's turn before it; below 0 "
            "they overlap.",
            scenario="conversation",
            human=True,
            medians={},
        )
    ]


def offset_values(events: pl.DataFrame, recordings: pl.DataFrame) -> dict[str, Floats]:
    """Floor-transfer offsets (s) of the model in conversations, ascending, by system."""
    talks = recordings.filter(pl.col("scenario") == "conversation").unique("recording")
    turns = events.filter(
        (pl.col("kind") == "turn")
        & (pl.col("speaker") == "model")
        & pl.col("latency_ms").is_not_null()
    ).join(talks.select("recording", "system"), on="recording", maintain_order="left")
    return sorted_by_system(turns["system"], turns["latency_ms"] / 1000)


def draw_times(
    values: Mapping[str, Floats],
    systems: Sequence[str],
    settings: Settings,
    *,
    name: str,
    title: str,
    what: str,
    scenario: str,
    human: bool,
    medians: Mapping[str, tuple[float, float]],
) -> Drawing:
    """A plot of times in seconds, which must be in ascending order.

    ``human``: whether the levels of interaction and people's response times stand beside them.
    ``medians``: intervals of the medians.
    """
    shown = [system for system in systems if system in values][:MOST_SYSTEMS]
    levels = settings.conversation
    dots = "turn" if scenario == "conversation" else "recording"
    caption = f"{what} A dot is a {dots}, the bar the middle half, the line in it the median."
    caption += " What lies beyond the axis stands at its edge."
    if human:
        reference = HUMAN_REFERENCE["model_floor_offset"]
        caption += (
            f" Shaded: level 1 below {levels.level_1_ms} ms, level 2 below {levels.level_2_ms} ms "
            f"(FLEXI paper, section 1). People: {reference.low * 1000:.0f} to "
            f"{reference.high * 1000:.0f} ms ({reference.source})."
        )
    if any(len(values[system]) > MOST_DOTS for system in shown):
        caption += f" Of more than {MOST_DOTS} values, {MOST_DOTS} are drawn, at even ranks."
    caption += left_out([system for system in systems if system in values])
    return Drawing(
        name,
        title,
        caption,
        scenario,
        tuple(shown),
        lambda: _draw(values, shown, systems, settings, human, medians),
    )


def axis_range(values: Mapping[str, Floats], least: float = 0.6) -> tuple[float, float]:
    """From the 1st to the 99th percentile of all values, with 0 and ``least`` in it."""
    together = np.concatenate(list(values.values()))
    low, high = np.quantile(together, [0.01, 0.99])
    low, high = min(0.0, float(low)), max(least, float(high))
    room = 0.03 * (high - low)
    return (low - room if low < 0 else low), high + room


def _medians(quantiles: pl.DataFrame, key: tuple[str, str]) -> dict[str, tuple[float, float]]:
    rows = quantiles.filter(
        (pl.col("scenario") == key[0]) & (pl.col("metric") == key[1]) & (pl.col("q") == 0.5)
    ).drop_nulls(["ci_low", "ci_high"])
    return {row["system"]: (row["ci_low"], row["ci_high"]) for row in rows.iter_rows(named=True)}


def _draw(
    values: Mapping[str, Floats],
    shown: Sequence[str],
    systems: Sequence[str],
    settings: Settings,
    human: bool,
    medians: Mapping[str, tuple[float, float]],
) -> Figure:
    worthwhile = max(len(values[system]) for system in shown) >= _FEWEST
    curves = _CURVES if len(shown) <= _MOST_CURVES and worthwhile else 0.0
    top = 32.0 if human else 12.0
    below = top + curves + (8.0 if curves else 0.0)
    height = below + _ROW * len(shown) + 34
    figure = new_figure(height)
    width = WIDTH - NAMES_WIDTH - _NUMBERS
    low, high = axis_range({system: values[system] for system in shown})
    ticks = nice_ticks(low, high)
    if curves:
        above = panel(figure, NAMES_WIDTH, top, width, curves)
        above.set_xlim(low, high)
        above.set_ylim(0, 1.02)
        shares = (0, 0.25, 0.5, 0.75, 1)
        gap = 5 * (high - low) / width
        rules(above, [[(low, share), (high, share)] for share in shares])
        for share in shares:
            above.text(
                low - gap,
                share,
                f"{share:.0%}",
                ha="right",
                va="center",
                fontsize=SMALL,
                color=SOFT,
            )
        for system in shown:
            seen = look(systems.index(system))
            x, y = distribution(values[system])
            above.step(
                [low, *x, high], [0, *y, 1], where="post", color=seen.colour, linestyle=seen.dashes
            )
        if human:
            _bands(above, settings, low, high)
    rows = panel(figure, NAMES_WIDTH, below, width, _ROW * len(shown))
    rows.set_xlim(low, high)
    rows.set_ylim(len(shown) - 0.5, -0.5)
    x_axis(figure, rows, ticks, "seconds")
    if human:
        _bands(rows, settings, low, high)
        _bracket(figure, rows, low, high, width)
    if low < 0:
        for axes in figure.axes:
            end, start = axes.get_ylim()
            rules(axes, [((0.0, end), (0.0, start))], FAINT)
    names = labels(shown, NAME)
    for right, text in ((56, "median"), (28, "p90"), (0, "n")):
        write(figure, RIGHT - right, below - 4, text, fontsize=SMALL, color=SOFT, ha="right")
    for row, system in enumerate(shown):
        line = below + _ROW * (row + 0.5) + 3.5
        _row(rows, row, values[system], look(systems.index(system)), medians.get(system), high)
        write(figure, NAMES_WIDTH - 10, line, names[system], ha="right", fontsize=NAME_SIZE)
        count = len(values[system])
        p50, p90 = np.quantile(values[system], [0.5, 0.9]).tolist()
        for right, text in ((56, _seconds(p50)), (28, _seconds(p90)), (0, str(count))):
            write(figure, RIGHT - right, line, text, fontsize=SMALL, ha="right")
    return figure


def _row(
    axes: Axes,
    position: int,
    values: Floats,
    seen: Any,
    median: tuple[float, float] | None,
    high: float,
) -> None:
    """One system: dots, the middle half, the median and its interval."""
    low = axes.get_xlim()[0]
    few = values[thinned(len(values), MOST_DOTS)]
    spread = scatter_of(len(few)) * (0.28 if len(few) > 3 else 0.0)
    dots(axes, np.clip(few, low, high), position + spread, seen, 3.2, 0.6)
    p25, p50, p75 = np.clip(np.quantile(values, [0.25, 0.5, 0.75]), low, high)
    axes.plot(
        [p25, p75], [position, position], color=seen.colour, linewidth=7, alpha=0.35, zorder=2
    )
    if len(values) == 1:
        return
    if median is not None:
        ends = np.clip(median, low, high)
        axes.plot(ends, [position + 0.4] * 2, color=INK, linewidth=1, zorder=4)
    axes.plot([p50, p50], [position - 0.36, position + 0.4], color=INK, linewidth=1.8, zorder=5)


def _seconds(value: float) -> str:
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text


def _bands(axes: Axes, settings: Settings, low: float, high: float) -> None:
    one, two = (settings.conversation.level_1_ms / 1000, settings.conversation.level_2_ms / 1000)
    bottom, top = axes.get_ylim()
    for start, end, colour in ((0.0, one, LEVEL_1), (one, two, LEVEL_2)):
        if start < high and end > low:
            bars(axes, [(start, bottom, min(end, high) - start, top - bottom)], colour, zorder=0)


def _bracket(figure: Figure, axes: Axes, low: float, high: float, width: float) -> None:
    """Levels and people's range, named above the panels."""
    from matplotlib.lines import Line2D

    reference = HUMAN_REFERENCE["model_floor_offset"]
    whole_width, whole_height = figure.get_size_inches() * 72
    ends = [
        (NAMES_WIDTH + (min(value, high) - low) * width / (high - low)) / whole_width
        for value in (reference.low, reference.high)
    ]
    y = 1 - 25 / whole_height
    figure.add_artist(Line2D(ends, [y, y], color=HUMAN, linewidth=3.5))
    legend(figure, ((HUMAN, "people"), (LEVEL_1, "level 1"), (LEVEL_2, "level 2")), NAMES_WIDTH, 13)
