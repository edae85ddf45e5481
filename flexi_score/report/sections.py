"""The parts of the page that are tables: results, judge."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from flexi_score.aggregate import UNSCORABLE
from flexi_score.metrics.conversation import HUMAN_REFERENCE, Reference
from flexi_score.metrics.registry import Metric
from flexi_score.report.numbers import brief, brief_with_unit, value_cells
from flexi_score.report.tables import (
    STATUS_TITLES,
    fraction,
    interval,
    metric_finder,
    number,
    plain,
    scenario_title,
)
from flexi_score.report.timeline import rating_rows
from flexi_score.report.wording import WORDING, wording
from flexi_score.schema import STATUSES

#: Systems that a forest of intervals shows of each metric; the tables have all.
_MOST_SYSTEMS: Final = 60
_BETTER: Final = {"up": "higher is better", "down": "lower is better", "none": ""}


def results(
    summary: pl.DataFrame, scores: pl.DataFrame, metrics: Sequence[Metric], few: int
) -> list[dict[str, Any]]:
    """Every row of the summary, by scenario and metric, systems below each other.

    ``summary`` and ``scores``: :data:`flexi_score.schema.SUMMARY` and
    :data:`flexi_score.schema.SCORES`. ``metrics``: of one profile. ``few``: a rate of fewer
    recordings is shown as a count. Returns ``title`` of the scenario and ``metrics``: each has its
    words, its definition, what people do (``human``) and ``rows``: value, interval, counts by
    status, and the places, in per cent of the metric's own axis, of the value (``at``), its
    interval (``from``, ``to``) and 0.
    """
    known = metric_finder(metrics)
    shown = summary.filter(pl.col("metric") != UNSCORABLE)
    spread = scores.group_by("scenario", "metric").agg(
        low=pl.col("value").fill_nan(None).min(), high=pl.col("value").fill_nan(None).max()
    )
    ends = {(s, m): (low, high) for s, m, low, high in spread.iter_rows()}
    by_metric: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in shown.iter_rows(named=True):
        by_metric.setdefault(row["scenario"], {}).setdefault(row["metric"], []).append(row)
    out = []
    for scenario, metric_rows in by_metric.items():
        blocks = []
        # Of the many statistics of conversations, those that have words come first.
        for name, rows in sorted(
            metric_rows.items(), key=lambda kv: (scenario, kv[0]) not in WORDING
        ):
            metric = known(scenario, name)
            low, high = _domain(metric, rows, ends.get((scenario, name), ()))
            words = wording(scenario, name, metric)
            band = HUMAN_REFERENCE.get(name) if scenario == "conversation" else None
            blocks.append(
                {
                    "key": f"{plain(scenario)}.{plain(name)}",
                    "label": plain(words.full),
                    "spelled": words.name,
                    "unit": "" if metric is None else metric.unit,
                    "better": _BETTER["none" if metric is None else metric.direction],
                    "metric": metric,
                    "human": None if band is None or metric is None else _human(band, metric),
                    "source": "" if band is None else f"People: {band.source}",
                    "low": low,
                    "high": high,
                    "rows": [_row(row, metric, low, high, few) for row in rows[:_MOST_SYSTEMS]],
                    "more": max(0, len(rows) - _MOST_SYSTEMS),
                }
            )
        out.append({"title": scenario_title(scenario), "metrics": blocks})
    return out


def _human(band: Reference, metric: Metric) -> str:
    low = f"{brief(band.low, metric)} to " if band.low != band.high else ""
    return f"people: {low}{brief_with_unit(band.high, metric)}"


def _interval(row: Mapping[str, Any], metric: Metric | None) -> str:
    """As :func:`flexi_score.report.tables.interval`, in the digits and unit of the value."""
    if metric is None or row["ci_low"] is None or row["ci_high"] is None:
        return interval(dict(row), metric)
    share = " %" if not metric.unit and metric.aggregate in ("rate", "ratio") else ""
    return f"[{brief(row['ci_low'], metric)}, {brief(row['ci_high'], metric)}]{share}"


def _row(
    row: dict[str, Any], metric: Metric | None, low: float, high: float, few: int
) -> dict[str, Any]:
    def at(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / (high - low), 2)

    counts = [(k, STATUS_TITLES[s], row[s]) for k, s in enumerate(STATUSES) if row[s]]
    summed = metric is not None and metric.aggregate == "sum"
    share = None
    if metric is not None and metric.aggregate == "rate" and metric.direction != "none":
        share = ("good" if metric.direction == "up" else "bad", at(row["value"]))
    value = None
    if row["value"] is not None:
        value = number(row["value"], None) if metric is None else value_cells(row, metric, few)[0]
    return {
        "system": plain(row["system"]),
        "value": value,
        "exact": number(row["value"], metric),
        "few": row["value"] is not None and row["n"] < few,
        "interval": _interval(row, metric),
        "fraction": fraction(row, metric),
        "counts": counts,
        "at": None if summed else at(row["value"]),
        "from": at(row["ci_low"]),
        "to": at(row["ci_high"]),
        "zero": at(0.0) if low < 0 < high else None,
        "share": share,
    }


def _domain(
    metric: Metric | None, rows: Sequence[Mapping[str, Any]], ends: Sequence[float | None]
) -> tuple[float, float]:
    """Axis of a metric, common to all systems, their intervals and single recordings."""
    if metric is not None and metric.aggregate == "rate":
        return 0.0, 1.0
    if metric is not None and metric.unit == "0-5":
        return 0.0, 5.0
    values = [row[key] for row in rows for key in ("value", "ci_low", "ci_high")]
    finite = [v for v in (*values, *ends) if v is not None and abs(v) < float("inf")]
    low, high = min([0.0, *finite]), max([0.0, *finite])
    return (low, high) if high > low else (0.0, 1.0)


def judged(ratings: pl.DataFrame | None, metrics: Sequence[Metric], most: int) -> dict[str, Any]:
    """What a judge was asked and answered: those without a rating first.

    Returns ``total``, ``counts`` by status, ``models``, and ``rows``: ``recording, label, asked``
    (pairs of what the question says), ``reply, reason, value, status, problem, model, repeat``.
    """
    if ratings is None or ratings.is_empty():
        return {"total": 0, "rows": [], "counts": [], "models": []}
    known = {m.name: m.label for m in metrics if m.judged}
    shown = rating_rows(ratings.sort(pl.col("value").is_not_null(), maintain_order=True).head(most))
    rows = []
    for row in shown.iter_rows(named=True):
        rows.append(
            row
            | {
                "recording": plain(row["recording"]),
                "label": known.get(row["metric"], plain(row["metric"])),
                "asked": question_pairs(row["question"]),
                "model": "" if row["model"] is None else plain(row["model"]),
            }
        )
    counts = ratings["status"].value_counts(sort=True).iter_rows()
    return {
        "total": len(ratings),
        "rows": rows,
        "counts": [(plain(status), count) for status, count in counts],
        "models": [plain(m) for m in ratings["model"].drop_nulls().unique(maintain_order=True)],
    }


def question_pairs(question: str | None) -> list[tuple[str, str]]:
    """A question's parts, each under its name; what is no JSON object is one part."""
    try:
        parts = json.loads(question or "{}")
    except ValueError:
        parts = question
    if not isinstance(parts, dict):
        return [("question", str(parts))]
    return [
        (plain(key), part if isinstance(part, str) else json.dumps(part, ensure_ascii=False))
        for key, part in parts.items()
    ]
