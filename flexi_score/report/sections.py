"""The parts of the page that are tables: results, systems side by side, sensitivity, judge."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from flexi_score.aggregate import UNSCORABLE
from flexi_score.metrics.registry import Metric
from flexi_score.report.tables import (
    PAPER_TABLES,
    SCENARIO_TITLES,
    STATUS_TITLES,
    Table,
    fraction,
    heading,
    interval,
    metric_finder,
    number,
    paper_tables,
    plain,
    scenario_title,
)
from flexi_score.report.timeline import rating_rows
from flexi_score.schema import STATUSES

#: Distances to the threshold (s) within which outcomes are counted, beside the run's own.
_WITHIN_S: Final = (0.05, 0.1, 0.2)
#: Systems that a forest of intervals shows of each metric; the tables have all.
_MOST_SYSTEMS: Final = 60


def result_tables(
    summary: pl.DataFrame, metrics: Sequence[Metric], few: int
) -> tuple[list[dict[str, Any]], list[Table]]:
    """Tables 2 to 4 with intervals, and the further tables.

    Returns
    -------
    paper : list of dict
        ``title``, ``groups`` (label, span), ``columns`` and ``rows`` (system, cells); a cell has
        ``value``, ``interval``, ``n`` and ``few``.
    further : list of Table
        What the paper does not show.
    """
    rows = {(r["system"], r["scenario"], r["metric"]): r for r in summary.iter_rows(named=True)}
    known = {(m.scenario, m.name): m for m in metrics}
    present = set(summary["scenario"].to_list())
    systems = summary["system"].unique(maintain_order=True).to_list()
    tables = []
    titles = []
    for title, groups in PAPER_TABLES:
        titles.append(title)
        keys = [(s, name) for s, names in groups for name in names if (s, name) in known]
        if not keys or not present & {scenario for scenario, _ in groups}:
            continue
        spans: dict[str, int] = {}
        for scenario, _ in keys:
            spans[scenario] = spans.get(scenario, 0) + 1
        body = [
            (plain(s), [_cell(rows.get((s, *key)), known[key], few) for key in keys])
            for s in systems
        ]
        tables.append(
            {
                "title": title,
                "groups": [(SCENARIO_TITLES[s], span) for s, span in spans.items()],
                "columns": [
                    {
                        "label": heading(known[key]),
                        "text": known[key].definition,
                        "first": k == 0 or keys[k - 1][0] != key[0],
                    }
                    for k, key in enumerate(keys)
                ],
                "rows": body,
                "few": any(cell["few"] for _, cells in body for cell in cells),
            }
        )
    further = [t for t in paper_tables(summary, metrics, few) if t.title not in titles]
    return tables, further


def _cell(row: Mapping[str, Any] | None, metric: Metric, few: int) -> dict[str, Any]:
    if row is None or row["value"] is None:
        return {"value": None, "interval": "", "n": 0 if row is None else row["n"], "few": False}
    return {
        "value": number(row["value"], metric),
        "interval": interval(dict(row), metric).replace("–", ""),
        "n": row["n"],
        "few": row["n"] < few,
    }


def side_by_side(
    summary: pl.DataFrame, metrics: Sequence[Metric], few: int
) -> list[dict[str, Any]]:
    """Every row of the summary, by scenario and metric, systems below each other.

    Returns
    -------
    list of dict
        ``title`` of the scenario and ``metrics``: each has ``heading``, ``text``, ``ticks`` and
        ``rows`` with ``system, value, interval, fraction, counts`` and the places, in per cent of
        the metric's own axis, of the value (``at``), its interval (``from``, ``to``) and 0.
    """
    known = metric_finder(metrics)
    shown = summary.filter(pl.col("metric") != UNSCORABLE)
    by_metric: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in shown.iter_rows(named=True):
        by_metric.setdefault(row["scenario"], {}).setdefault(row["metric"], []).append(row)
    out = []
    for scenario, found in by_metric.items():
        blocks = []
        for name, rows in found.items():
            metric = known(scenario, name)
            low, high = _domain(metric, rows)
            blocks.append(
                {
                    "heading": plain(name) if metric is None else heading(metric),
                    "name": plain(name),
                    "text": "" if metric is None else metric.definition,
                    "low": number(low, metric),
                    "high": number(high, metric),
                    "rows": [_row(row, metric, low, high, few) for row in rows[:_MOST_SYSTEMS]],
                    "more": max(0, len(rows) - _MOST_SYSTEMS),
                }
            )
        out.append({"title": scenario_title(scenario), "metrics": blocks})
    return out


def _row(
    row: dict[str, Any], metric: Metric | None, low: float, high: float, few: int
) -> dict[str, Any]:
    def at(value: float | None) -> float | None:
        return None if value is None else round(100 * (value - low) / (high - low), 2)

    counts = [(status, STATUS_TITLES[status], row[status]) for status in STATUSES]
    total = sum(count for *_, count in counts)
    left = 0.0
    bars = []
    for status, title, count in counts:
        width = 100 * count / total if total else 0.0
        bars.append((status, title, count, round(left, 2), round(width, 2)))
        left += width
    summed = metric is not None and metric.aggregate == "sum"
    return {
        "system": plain(row["system"]),
        "value": number(row["value"], metric) if row["value"] is not None else None,
        "few": row["value"] is not None and row["n"] < few,
        "interval": interval(row, metric),
        "fraction": fraction(row, metric),
        "bars": bars,
        "total": total,
        "said": ", ".join(f"{count} {title}" for _, title, count in counts if count) or "none",
        "at": None if summed else at(row["value"]),
        "from": at(row["ci_low"]),
        "to": at(row["ci_high"]),
        "zero": at(0.0) if low < 0 < high else None,
    }


def _domain(metric: Metric | None, rows: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Axis of a metric's intervals, common to all systems."""
    if metric is not None and metric.aggregate == "rate":
        return 0.0, 1.0
    if metric is not None and metric.unit == "0-5":
        return 0.0, 5.0
    values = [row[key] for row in rows for key in ("value", "ci_low", "ci_high")]
    found = [value for value in values if value is not None and abs(value) < float("inf")]
    low, high = min([0.0, *found]), max([0.0, *found])
    return (low, high) if high > low else (0.0, 1.0)


def sensitivity(
    scores: pl.DataFrame, metrics: Sequence[Metric], error_s: float
) -> tuple[list[str], list[dict[str, Any]]]:
    """How many outcomes would flip if a boundary were off by so much.

    Returns
    -------
    limits : list of str
        In ms; the first is the error with which boundaries are measured.
    rows : list of dict
        ``scenario, metric, system, n`` (outcomes that a threshold decides) and ``counts``, one a
        limit.
    """
    limits = [error_s, *(limit for limit in _WITHIN_S if limit > error_s)]
    known = metric_finder(metrics)
    margin = pl.col("margin_s").cast(pl.Float64).abs()
    found = (
        scores.filter(pl.col("margin_s").is_not_null() & margin.is_not_nan())
        .group_by("scenario", "metric", "system", maintain_order=True)
        .agg(
            pl.len().alias("n"),
            *((margin <= limit).sum().alias(f"w{k}") for k, limit in enumerate(limits)),
        )
    )
    rows = []
    for row in found.iter_rows(named=True):
        metric = known(row["scenario"], row["metric"])
        rows.append(
            {
                "scenario": scenario_title(row["scenario"]),
                "metric": plain(row["metric"]) if metric is None else metric.label,
                "system": plain(row["system"]),
                "n": row["n"],
                "counts": [row[f"w{k}"] for k in range(len(limits))],
            }
        )
    return [f"{limit * 1000:g} ms" for limit in limits], rows


def judged(ratings: pl.DataFrame | None, metrics: Sequence[Metric], most: int) -> dict[str, Any]:
    """What a judge was asked and answered: those without a rating first.

    Returns
    -------
    dict
        ``total``, ``counts`` by status, ``models``, and ``rows``: ``recording, label, asked``
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
