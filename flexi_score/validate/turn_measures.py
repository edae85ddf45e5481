"""Recall, false positives, latency, penalty and agreement of :mod:`flexi_score.validate.turns`."""

from typing import Final

import polars as pl

from flexi_score.aggregate.intervals import bootstrap_ratio
from flexi_score.config import SummarySettings
from flexi_score.schema import Row, make_schema
from flexi_score.validate.turns import TASKS

#: ``value`` is null where there is nothing to be right or wrong about.
TURNS: Final = make_schema(
    {
        "task": pl.String,
        "measure": pl.String,  # recall false_positive latency_p10 _p50 _p90 penalty agreed f1
        "value": pl.Float64,
        "unit": pl.String,
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "numerator": pl.Float64,
        "denominator": pl.Float64,
    }
)


def turn_measures(
    items: pl.DataFrame, agreement: pl.DataFrame, settings: SummarySettings
) -> pl.DataFrame:
    """Recall, false positives, latency, penalty and agreement (:data:`TURNS`)."""
    predicted = pl.col("predicted_ms").is_not_null()
    length = (pl.col("end_ms") - pl.col("start_ms")) / 1000
    late = (pl.col("predicted_ms") - pl.col("start_ms")) / 1000
    missed = pl.when("positive").then(length).otherwise(0.0)
    paid = pl.when("positive").then(late.abs()).otherwise(length)
    one = pl.lit(1.0)
    items = items.with_columns(late=late, cost=pl.when(predicted).then(paid).otherwise(missed))
    rows: list[Row] = []
    for task in TASKS:
        own, labels = items.filter(task=task), agreement.filter(task=task)
        events, spans = own.filter("positive"), own.filter(~pl.col("positive"))
        parts = [
            ("recall", "", events, predicted, one),
            ("false_positive", "", spans, predicted, one),
        ]
        if task == "interruption":
            parts.append(("penalty", "s", own, pl.col("cost"), one))
        parts.append(("agreed", "", labels, pl.col("agreed"), pl.col("labels")))
        parts.append(("f1", "", labels, pl.col("f1_sum"), pl.col("f1_pairs")))
        rows += [
            {"task": task, "measure": measure, "unit": unit}
            | _ratio(part.select("recording", top=top, bottom=bottom), settings)
            for measure, unit, part, top, bottom in parts
        ]
        times = events["late"].drop_nulls()
        rows += [
            {"task": task, "measure": f"latency_p{q}", "unit": "s", "denominator": len(times)}
            | {"value": times.quantile(q / 100, "linear")}
            for q in (10, 50, 90)
        ]
    return pl.DataFrame(rows, schema=TURNS).with_columns(pl.col(pl.Float64).fill_nan(None))


def _ratio(part: pl.DataFrame, settings: SummarySettings) -> dict[str, float | None]:
    """Sum over sum, with an interval over recordings."""
    top, bottom = (part[name].cast(pl.Float64) for name in ("top", "bottom"))
    a, b = float(top.sum()), float(bottom.sum())
    if not b:
        return {"numerator": a, "denominator": b}
    low, high = bootstrap_ratio(
        top, bottom, pl.Series(["all"]).new_from_index(0, len(part)), part["recording"], settings
    )
    limits = {"ci_low": float(low[0]), "ci_high": float(high[0])}
    return {"value": a / b, **limits, "numerator": a, "denominator": b}
