"""What became of every recording: shares of outcomes by scenario and system, with their counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import bars, legend, new_figure, panel, rules, write, x_axis
from flexi_score.report.plots.kinds import MOST_SYSTEMS, Drawing, left_out
from flexi_score.report.plots.style import (
    LEFT,
    NAME,
    NAME_SIZE,
    ON_DARK,
    ON_LIGHT,
    PERCENT,
    QUARTERS,
    RIGHT,
    SMALL,
    SOFT,
    WIDTH,
    labels,
    text_width,
)
from flexi_score.report.tables import ARROWS, scenario_title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Outcomes in the order in which they are stacked: key, name, fill, text on it.
OUTCOMES: Final = (
    ("good", "as wanted", "#74c7ab", ON_LIGHT),
    ("bad", "not as wanted", "#ee9d68", ON_LIGHT),
    ("silent", "model silent", "#9fb3c8", ON_LIGHT),
    ("not_applicable", "not applicable", "#dad7d1", ON_LIGHT),
    ("excluded", "excluded", "#c5b3dc", ON_LIGHT),
    ("failed", "failed", "#7c2f38", ON_DARK),
)
#: What the value 1 of a metric says.
_SAYS: Final = {
    ("turn_taking", "tor"): "takes over",
    ("pause_handling", "tor"): "takes over in the pause",
    ("user_interrupt", "ttr"): "yields",
    ("model_interrupt", "tor"): "interrupts",
    ("user_backchannel", "ttr"): "yields to a backchannel",
    ("model_backchannel", "tor"): "takes over from the user",
}
_NAMES: Final = 132.0
_COUNT: Final = 34.0
_ROW: Final = 18.0
_HEAD: Final = 26.0
#: With more systems each scenario has a figure of its own.
_TOGETHER: Final = 8


def outcome_plots(
    scores: pl.DataFrame,
    systems: Sequence[str],
    metrics: Sequence[Metric],
    *,
    together: bool | None = None,
) -> list[Drawing]:
    """The outcomes of each scenario's first rate, in one plot or in one a scenario.

    Parameters
    ----------
    scores : polars.DataFrame
        :data:`flexi_score.schema.SCORES`.
    systems : sequence of str
    metrics : sequence of Metric
        Of one profile.
    together : bool, optional
        Whether one plot shows all scenarios; by default if there are few systems.
    """
    chosen: dict[str, Metric] = {}
    for metric in metrics:
        if metric.aggregate == "rate" and metric.scenario != "conversation":
            chosen.setdefault(metric.scenario, metric)
    counts = outcome_counts(scores, list(chosen.values()))
    found = [metric for metric in chosen.values() if metric.scenario in counts]
    if not found:
        return []
    note = (
        "Recordings by what became of them. “As wanted” is the better value of the metric named. A "
        "silent model is a result; what is not applicable, excluded or failed is in no rate."
    ) + left_out(systems)
    if (len(systems) <= _TOGETHER) if together is None else together:
        return [_drawing("outcomes", "Outcomes by scenario", note, None, found, counts, systems)]
    return [
        _drawing(
            f"outcomes_{metric.scenario}", f"Outcomes: {scenario_title(metric.scenario)}", note,
            metric.scenario, [metric], counts, systems,
        )
        for metric in found
    ]  # fmt: skip


def outcome_counts(
    scores: pl.DataFrame, metrics: Sequence[Metric]
) -> dict[str, dict[str, dict[str, int]]]:
    """Recordings by scenario, system and outcome (keys of :data:`OUTCOMES`).

    A value between 0 and 1 does not occur in a rate of recordings; one that is null although
    scored counts as not applicable.
    """
    wanted = pl.DataFrame(
        [(m.scenario, m.name, 0.0 if m.direction == "down" else 1.0) for m in metrics],
        schema={"scenario": pl.String, "metric": pl.String, "wanted": pl.Float64},
        orient="row",
    )
    scored = pl.col("status") == "scored"
    outcome = (
        pl.when(scored & (pl.col("value") == pl.col("wanted")))
        .then(pl.lit("good"))
        .when(scored & pl.col("value").is_finite())
        .then(pl.lit("bad"))
        .when(scored)
        .then(pl.lit("not_applicable"))
        .otherwise("status")
    )
    rows = (
        scores.select("scenario", "metric", "system", "status", "value")
        .join(wanted, on=["scenario", "metric"])
        .group_by("scenario", "system", outcome=outcome)
        .len()
    )
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for scenario, system, kind, n in rows.iter_rows():
        counts.setdefault(scenario, {}).setdefault(system, {})[kind] = n
    return counts


def _drawing(
    name: str, title: str, caption: str, scenario: str | None, metrics: list[Metric],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]], systems: Sequence[str],
) -> Drawing:  # fmt: skip
    return Drawing(
        name, title, caption, scenario, tuple(systems), lambda: _draw(metrics, counts, systems)
    )


def _draw(
    metrics: Sequence[Metric],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
    systems: Sequence[str],
) -> Figure:
    blocks = [
        (metric, [s for s in systems if s in counts[metric.scenario]][:MOST_SYSTEMS])
        for metric in metrics
    ]
    used = {kind for block in counts.values() for one in block.values() for kind in one}
    entries = [(fill, name) for kind, name, fill, _ in OUTCOMES if kind in used]
    width = WIDTH - _NAMES - _COUNT
    rows = sum(len(shown) for _, shown in blocks)
    top = 24.0
    height = top + rows * _ROW + len(blocks) * _HEAD + 26
    figure = new_figure(height)
    legend(figure, entries, LEFT if len(entries) > 4 else _NAMES, 14)
    body = height - top - 26
    axes = panel(figure, _NAMES, top, width, body)
    axes.set_xlim(0, 1)
    axes.set_ylim(body, 0)
    x_axis(figure, axes, QUARTERS, labels=PERCENT)
    rules(axes, [[(x, 0), (x, body)] for x in QUARTERS])
    fills: dict[str, list[tuple[float, float, float, float]]] = {}
    y = 0.0
    for metric, shown in blocks:
        says = _SAYS.get((metric.scenario, metric.name), "")
        arrow = ARROWS[metric.direction]
        detail = f"{metric.label} {arrow}".strip() + (f": {says}" if says else "")
        title = scenario_title(metric.scenario)
        axes.text(0, y + 18, title, fontweight="bold")
        axes.text((text_width(title) * 1.07 + 8) / width, y + 18, detail, fontsize=SMALL,
                  color=SOFT)  # fmt: skip
        y += _HEAD
        names = labels(shown, NAME)
        for system in shown:
            found = counts[metric.scenario][system]
            total, left = sum(found.values()), 0.0
            for kind, _, _, ink in OUTCOMES:
                share = found.get(kind, 0) / total
                if not share:
                    continue
                fills.setdefault(kind, []).append((left, y + 2, share, 13))
                text = str(found[kind])
                if text_width(text, SMALL) + 4 < share * width:
                    axes.text(left + share / 2, y + 12, text, ha="center", fontsize=SMALL,
                              color=ink)  # fmt: skip
                left += share
            at = top + y + 12
            write(figure, _NAMES - 10, at, names[system], ha="right", fontsize=NAME_SIZE)
            write(figure, RIGHT, at, f"n {total}", ha="right", fontsize=SMALL, color=SOFT)
            y += _ROW
    for kind, _, fill, _ in OUTCOMES:
        if kind in fills:
            bars(axes, fills[kind], fill)
    return figure
