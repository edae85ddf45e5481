"""What became of every recording: shares of outcomes by scenario and system, with their counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.plots.draw import legend, new_figure, write
from flexi_score.report.plots.kinds import MOST_SYSTEMS, Drawing, left_out
from flexi_score.report.plots.shares import Block, body_height, draw_shares
from flexi_score.report.plots.style import (
    LEFT,
    NAMES_WIDTH,
    ON_DARK,
    ON_LIGHT,
    RIGHT,
    SMALL,
    SOFT,
    WIDTH,
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
_COUNT: Final = 34.0
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
            f"outcomes_{metric.scenario}",
            f"Outcomes: {scenario_title(metric.scenario)}",
            note,
            metric.scenario,
            [metric],
            counts,
            systems,
        )
        for metric in found
    ]


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
    name: str,
    title: str,
    caption: str,
    scenario: str | None,
    metrics: list[Metric],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
    systems: Sequence[str],
) -> Drawing:
    return Drawing(
        name, title, caption, scenario, tuple(systems), lambda: _draw(metrics, counts, systems)
    )


def _draw(
    metrics: Sequence[Metric],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
    systems: Sequence[str],
) -> Figure:
    used = {kind for block in counts.values() for one in block.values() for kind in one}
    entries = [(fill, name) for kind, name, fill, _ in OUTCOMES if kind in used]
    blocks = [_block(metric, counts[metric.scenario], systems) for metric in metrics]
    top = 24.0
    figure = new_figure(top + body_height(blocks) + 26)
    legend(figure, entries, LEFT if len(entries) > 4 else NAMES_WIDTH, 14)

    def beside(number: int, system: str, at: float) -> None:
        total = sum(blocks[number].rows[system])
        write(figure, RIGHT, at, f"n {total}", ha="right", fontsize=SMALL, color=SOFT)

    parts = [(fill, ink) for *_, fill, ink in OUTCOMES]
    draw_shares(figure, blocks, parts, top, WIDTH - NAMES_WIDTH - _COUNT, beside)
    return figure


def _block(
    metric: Metric, counts: Mapping[str, Mapping[str, int]], systems: Sequence[str]
) -> Block:
    says = _SAYS.get((metric.scenario, metric.name), "")
    detail = f"{metric.label} {ARROWS[metric.direction]}".strip() + (f": {says}" if says else "")
    shown = [system for system in systems if system in counts][:MOST_SYSTEMS]
    rows = {system: [counts[system].get(kind, 0) for kind, *_ in OUTCOMES] for system in shown}
    return Block(scenario_title(metric.scenario), detail, rows)
