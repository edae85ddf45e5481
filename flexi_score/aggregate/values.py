"""Values of metrics over recordings, without intervals: what summaries and sweeps share."""

from collections.abc import Sequence

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.schema import STATUSES


def values_of(scores: pl.DataFrame, metrics: Sequence[Metric], by: Sequence[str]) -> pl.DataFrame:
    """Value of every metric, as :func:`flexi_score.aggregate.summarize` gives it.

    ``scores``: :data:`flexi_score.schema.SCORES`, with the further columns ``by``. ``metrics``: of
    one profile. ``by``: columns whose values are kept apart. Returns ``*by, system, scenario,
    metric, value, n``: n recordings have a value; null where none.
    """
    key = [*by, "system", "scenario", "metric"]
    rows = scores.select(*key, "status", "value", "weight")
    return add_up(describe(rows, metrics), key).select(*key, "value", pl.col("n").cast(pl.Int64))


def add_up(described: pl.DataFrame, key: Sequence[str]) -> pl.DataFrame:
    """Counts, numerator, denominator and value of each group of rows of :func:`describe`."""
    return (
        described.group_by(key, maintain_order=True)
        .agg(
            pl.col("aggregate", "order", "empty").first(),
            n=pl.col("value").count(),
            numerator=(pl.col("value") * pl.col("weight")).sum(),
            denominator=pl.col("weight").filter(pl.col("value").is_not_null()).sum(),
            **{status: (pl.col("status") == status).sum() for status in STATUSES},
        )
        .with_columns(
            value=pl.when(pl.col("denominator") > 0)
            .then(
                pl.when(pl.col("aggregate") == "sum")
                .then("numerator")
                .otherwise(pl.col("numerator") / pl.col("denominator"))
            )
            .when(pl.sum_horizontal(pl.col(STATUSES[:-1])) > 0)  # not where all of them failed
            .then("empty")
        )
    )


def describe(rows: pl.DataFrame, metrics: Sequence[Metric]) -> pl.DataFrame:
    """Rows with how their metric is aggregated, its place in the registry, and their weight.

    A metric of the scenario ``conversation`` describes the same name in any other scenario.
    """
    text, number = pl.String, pl.Float64
    listed = pl.DataFrame(
        [(m.scenario, m.name, m.aggregate, m.empty, i) for i, m in enumerate(metrics)],
        {"scenario": text, "metric": text, "aggregate": text, "empty": number, "order": pl.Int64},
        orient="row",
    )
    twice = listed.filter(pl.struct("scenario", "metric").is_duplicated())
    if len(twice):
        scenario, metric = twice.row(0)[:2]
        raise ValueError(f"metric {scenario}.{metric} twice: give the metrics of one profile")
    general = listed.filter(pl.col("scenario") == "conversation").drop("scenario")
    return (
        rows.join(listed, on=["scenario", "metric"], how="left", maintain_order="left")
        .join(general, on="metric", how="left", suffix="_any", maintain_order="left")
        .with_columns(
            aggregate=pl.coalesce("aggregate", "aggregate_any", pl.lit("mean")),
            order=pl.coalesce("order", pl.col("order_any") + len(metrics), pl.lit(1 << 30)),
        )
        .drop("aggregate_any", "order_any")
        .with_columns(
            weight=pl.when(pl.col("aggregate") == "ratio")
            .then(pl.col("weight").fill_null(1.0))
            .otherwise(1.0)
        )
    )
