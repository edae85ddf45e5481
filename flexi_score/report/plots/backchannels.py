"""The model's backchannels: how many a minute, and where in the user's turn they fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from flexi_score.report.plots.draw import bars, dots, new_figure, panel, rules, write, x_axis
from flexi_score.report.plots.kinds import (
    MOST_SYSTEMS,
    Drawing,
    Floats,
    left_out,
    nice_ticks,
    scatter_of,
    sorted_by_system,
    thinned,
    values_by_system,
)
from flexi_score.report.plots.style import (
    INK,
    NAME,
    NAME_SIZE,
    NAMES_WIDTH,
    PERCENT,
    QUARTERS,
    RIGHT,
    SMALL,
    SOFT,
    WIDTH,
    labels,
    look,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Parts into which the user's turn is divided.
PARTS: Final = 20
_NUMBERS: Final = 64.0
_ROW: Final = 20.0
_DOTS: Final = 60


def backchannel_plots(
    scores: pl.DataFrame,
    systems: Sequence[str],
    events: pl.DataFrame | None = None,
    recordings: pl.DataFrame | None = None,
) -> list[Drawing]:
    """Backchannels a minute; and, of a run's events, where in the user's turn they begin.

    ``scores``: :data:`flexi_score.schema.SCORES`. ``events`` and ``recordings``: of all recordings;
    :data:`flexi_score.schema.EVENTS` and :data:`flexi_score.schema.RECORDINGS`.
    """
    plots = []
    rates = {s: v * 60 for s, v in values_by_system(scores, "model_backchannel", "bcr").items()}
    if rates:
        caption = (
            "Backchannels of the model per minute of recording; a dot is a recording, the line the "
            "mean." + left_out(systems)
        )
        plots.append(
            Drawing(
                "backchannel_rates",
                "Backchannels of the model",
                caption,
                "model_backchannel",
                tuple(systems),
                lambda: _draw_rates(rates, systems),
            )
        )
    if events is not None and recordings is not None:
        by_system, reference = positions(events, recordings)
        if by_system:
            caption = (
                f"Where in the user's speech the model's backchannels begin, in {PARTS} parts of "
                "it from its start to its end; black: the reference positions."
            )
            plots.append(
                Drawing(
                    "backchannel_positions",
                    "Where backchannels fall",
                    caption,
                    "model_backchannel",
                    tuple(systems),
                    lambda: _draw_positions(by_system, reference, systems),
                )
            )
    return plots


def positions(events: pl.DataFrame, recordings: pl.DataFrame) -> tuple[dict[str, Floats], Floats]:
    """Starts of the model's backchannels within the user's speech, as parts of it from 0 to 1.

    Returns ``by_system``: ascending; ``reference``: the reference positions, each recording's once
    for every system that has it.
    """
    talks = recordings.filter(pl.col("scenario") == "model_backchannel").unique("recording")
    user = (
        events.filter((pl.col("kind") == "ipu") & (pl.col("speaker") == "user"))
        .group_by("recording")
        .agg(first=pl.col("start_ms").min(), last=pl.col("end_ms").max())
    )
    share = (pl.col("at") - pl.col("first")) / (pl.col("last") - pl.col("first"))
    said = (
        events.filter((pl.col("kind") == "backchannel") & (pl.col("speaker") == "model"))
        .select("recording", at="start_ms")
        .join(talks.select("recording", "system"), on="recording")
    )
    noted = pl.DataFrame(schema={"recording": pl.String, "at": pl.Int64})
    if "reference_backchannels_ms" in talks.columns:
        noted = (
            talks.select("recording", at="reference_backchannels_ms").explode("at").drop_nulls("at")
        )
    placed = [
        part.join(user, on="recording")
        .filter(pl.col("last") > pl.col("first"))
        .with_columns(place=share)
        .filter(pl.col("place").is_between(0, 1))
        for part in (said, noted)
    ]
    reference = np.sort(placed[1]["place"].to_numpy().astype(np.float64))
    return sorted_by_system(placed[0]["system"], placed[0]["place"]), reference


def _draw_rates(rates: Mapping[str, Floats], systems: Sequence[str]) -> Figure:
    shown = [system for system in systems if system in rates][:MOST_SYSTEMS]
    top, body = 18.0, _ROW * len(shown)
    figure = new_figure(top + body + 34)
    axes = panel(figure, NAMES_WIDTH, top, WIDTH - NAMES_WIDTH - _NUMBERS, body)
    high = max(1.0, max(float(rates[system][-1]) for system in shown)) * 1.04
    axes.set_xlim(0, high)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    ticks = nice_ticks(0, high)
    x_axis(figure, axes, ticks, "per minute")
    rules(axes, [((tick, -0.5), (tick, len(shown) - 0.5)) for tick in ticks])
    names = labels(shown, NAME)
    for right, text in ((28, "mean"), (0, "n")):
        write(figure, RIGHT - right, top - 5, text, fontsize=SMALL, color=SOFT, ha="right")
    for row, system in enumerate(shown):
        seen = look(systems.index(system))
        values = rates[system][thinned(len(rates[system]), _DOTS)]
        spread = scatter_of(len(values)) * (0.3 if len(values) > 3 else 0.0)
        dots(axes, values, row + spread, seen, 3.2, 0.6)
        mean = float(np.mean(rates[system]))
        axes.plot([mean, mean], [row - 0.36, row + 0.36], color=INK, linewidth=1.8, zorder=4)
        y = top + _ROW * (row + 0.5) + 3.5
        write(figure, NAMES_WIDTH - 10, y, names[system], ha="right", fontsize=NAME_SIZE)
        write(figure, RIGHT - 28, y, f"{mean:.2f}", fontsize=SMALL, ha="right")
        write(figure, RIGHT, y, str(len(rates[system])), fontsize=SMALL, ha="right")
    return figure


def _draw_positions(
    by_system: Mapping[str, Floats], reference: Floats, systems: Sequence[str]
) -> Figure:
    shown = [system for system in systems if system in by_system][:MOST_SYSTEMS]
    rows = [(system, by_system[system], look(systems.index(system)).colour) for system in shown]
    if len(reference):
        rows.append(("reference", reference, INK))
    top, height = 6.0, 34.0
    body = height * len(rows)
    figure = new_figure(top + body + 34)
    axes = panel(figure, NAMES_WIDTH, top, WIDTH - NAMES_WIDTH - _NUMBERS, body)
    axes.set_xlim(0, 1)
    axes.set_ylim(len(rows), 0)
    x_axis(figure, axes, QUARTERS, "of the user's speech", PERCENT)
    rules(axes, [((0, row), (1, row)) for row in range(1, len(rows))])
    names = labels([name for name, *_ in rows], NAME)
    edges = np.linspace(0, 1, PARTS + 1)
    for row, (name, values, colour) in enumerate(rows):
        counts, _ = np.histogram(values, edges)
        tall = counts / max(1, int(counts.max())) * 0.82
        boxes = [(x, row + 1, 0.92 / PARTS, -h) for x, h in zip(edges[:-1], tall, strict=True)]
        bars(axes, [box for box in boxes if box[3]], colour)
        y = top + height * (row + 1) - 8
        write(figure, NAMES_WIDTH - 10, y, names[name], ha="right", fontsize=NAME_SIZE)
        write(figure, RIGHT, y, f"n {len(values)}", fontsize=SMALL, color=SOFT, ha="right")
    return figure
