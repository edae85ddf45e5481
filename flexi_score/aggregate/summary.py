"""Scores of recordings added up: one row per system, scenario and metric.

A metric is a *rate* (mean of 0/1, Wilson interval), a *mean* (bootstrap interval), a *sum* (a
count, no interval) or a *ratio* (sum of value times weight over sum of weights, as events per
minute; bootstrap interval), as the registry says. Null is unscored: it enters no mean and no count
but that of its status.
"""

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from flexi_score.aggregate.intervals import (
    Floats,
    bootstrap_mean,
    bootstrap_ratio,
    effective_size,
    wilson,
)
from flexi_score.aggregate.pooled import clustered_quantiles
from flexi_score.aggregate.values import add_up, describe
from flexi_score.config import SummarySettings, hint
from flexi_score.errors import SettingsError
from flexi_score.metrics.registry import Metric
from flexi_score.schema import SCORES, SUMMARY, make_schema

_KEY: Final = ("system", "scenario", "metric")

#: Metadata keys that name what recordings belong to.
CLUSTER_KEYS: Final = ("conversation", "conversation_id", "session", "session_id")

#: Metric of the row of a failed recording whose scenario has no metrics.
UNSCORABLE: Final = "recording"

#: Quantiles of the metrics that are means, as :func:`quantiles` returns them.
QUANTILES: Final = make_schema(
    {
        "system scenario metric": pl.String,
        "q value": pl.Float64,
        "n": pl.Int64,
        "ci_low ci_high": pl.Float64,
    }
)


def summarize(
    scores: pl.DataFrame,
    metrics: Sequence[Metric],
    settings: SummarySettings,
    clusters: pl.Series | None = None,
    failures: pl.DataFrame | None = None,
    unsure: pl.Series | None = None,
) -> pl.DataFrame:
    """Value, numerator, denominator, interval and counts by status of every metric.

    A metric of ``scores`` that is not among ``metrics`` is treated as a mean and comes last. With
    ``clusters`` (:func:`cluster_labels`) means resample whole clusters, and rates take Wilson's
    interval at their effective number of recordings. ``failures`` count as ``failed`` under every
    metric of their scenario (:func:`with_failures`). The boundaries of the recordings ``unsure``
    are off by ``settings.crosstalk_error_s``. For a rate, ``numerator`` and ``denominator`` are the
    sum of 0/1 and ``n``; for a mean the sum and ``n``; for a sum the count and ``n``; for a ratio
    the sums of value times weight and of weights (a weight that is null is 1). ``within_error``
    counts the values whose margin is at most the error of boundaries; it is null where none has a
    margin. ``value`` and the interval are null where nothing was scored, the interval also for
    sums, and for means and ratios of fewer than two recordings.
    """
    unsure = pl.Series(dtype=pl.String) if unsure is None else unsure
    rows = _rows(scores, clusters, unsure)
    if failures is not None:
        lost = with_failures(scores, failures, metrics).slice(len(scores))
        rows = pl.concat([rows, _rows(lost, None, unsure)])
    described = describe(rows, metrics)
    table = add_up(described, _KEY)
    low, high = _intervals(table, described, settings, clustered=clusters is not None)
    systems = rows.select("system").unique(maintain_order=True).with_row_index("place")
    near = _within_error(described, settings)
    return (
        table.with_columns(
            ci_low=pl.Series(low, dtype=pl.Float64).fill_nan(None),
            ci_high=pl.Series(high, dtype=pl.Float64).fill_nan(None),
        )
        .join(near, on=_KEY, how="left", nulls_equal=True, maintain_order="left")
        .join(systems, on="system", how="left", nulls_equal=True, maintain_order="left")
        .sort("place", "order", maintain_order=True, nulls_last=True)
        .select(pl.col(name).cast(kind) for name, kind in SUMMARY.items())
    )


def _within_error(rows: pl.DataFrame, settings: SummarySettings) -> pl.DataFrame:
    """How many values of each metric are no further from flipping than boundaries may be off."""
    widest_s = max(settings.boundary_error_s, settings.crosstalk_error_s)
    error_s = pl.when("unsure").then(widest_s).otherwise(settings.boundary_error_s)
    decided = rows.filter(pl.col("value").is_not_null() & pl.col("margin_s").is_not_null())
    return decided.group_by(_KEY).agg(within_error=(pl.col("margin_s").abs() <= error_s).sum())


def quantiles(
    scores: pl.DataFrame,
    metrics: Sequence[Metric],
    settings: SummarySettings,
    clusters: pl.Series | None = None,
    qs: Sequence[float] = (0.5, 0.9, 0.95),
) -> pl.DataFrame:
    """Median and upper quantiles of the metrics that are means, as :data:`QUANTILES`.

    By system, then metrics in the registry's order, then ``qs`` (in [0, 1]). Null where nothing was
    scored; no interval of fewer than two recordings (or clusters).
    """
    rows = describe(_rows(scores, clusters), metrics).filter(pl.col("aggregate") == "mean")
    systems = scores["system"].unique(maintain_order=True).to_list()
    table: list[tuple[object, ...]] = []
    for key, part in rows.group_by(_KEY, maintain_order=True):
        known, missing = part.drop_nulls("value"), np.full((3, len(qs)), np.nan)
        name = "\x1f".join(str(k) for k in key)
        value, low, high = (
            clustered_quantiles(known["value"], known["cluster"], qs, settings, name)
            if len(known)
            else missing
        )
        position = systems.index(key[0]), part["order"][0]
        table += [
            (*position, *key, q, a, len(known), b, c)
            for q, a, b, c in zip(qs, value, low, high, strict=True)
        ]
    schema = {"place": pl.Int64, "order": pl.Int64} | dict(QUANTILES)
    return (
        pl.DataFrame(table, schema, orient="row")
        .with_columns(pl.col("value", "ci_low", "ci_high").fill_nan(None))
        .sort("place", "order", "q", maintain_order=True, nulls_last=True)
        .select(QUANTILES.names())
    )


def with_failures(
    scores: pl.DataFrame, failures: pl.DataFrame, metrics: Sequence[Metric], status: str = "failed"
) -> pl.DataFrame:
    """Scores with a ``failed`` row for every metric that a failed recording should have had.

    A failure whose scenario is unknown, or has no metrics, gets one row of metric ``recording``:
    what failed must not vanish from the counts. Judged metrics are added
    only where other recordings of the scenario were judged. Rows that are already there are not
    added again.

    ``scores`` and ``failures``: :data:`flexi_score.schema.SCORES` and
    :data:`flexi_score.schema.FAILURES`. ``status``: of the rows that are added: ``excluded`` for
    what was left out on purpose. Returns :data:`flexi_score.schema.SCORES`; the first rows are
    those of ``scores``, unchanged.
    """
    scores = _complete(scores)
    known = pl.DataFrame(
        {
            "scenario": [m.scenario for m in metrics],
            "metric": [m.name for m in metrics],
            "judged": [m.judged for m in metrics],
        },
        schema={"scenario": pl.String, "metric": pl.String, "judged": pl.Boolean},
    )
    seen = scores.select("scenario", "metric").unique().with_columns(seen=True)
    wanted = known.join(seen, on=["scenario", "metric"], how="left").filter(
        pl.col("seen").fill_null(False)
        | (~pl.col("judged") & ~pl.col("scenario").is_in(seen["scenario"].implode()))
    )
    # Only failed rows count as there: a row refused for a duplicate id shares it with a good one.
    already = scores.filter(pl.col("status") == status)
    unknown = ~pl.col("scenario").is_in(known["scenario"].implode()).fill_null(False)
    nameless = failures.filter(unknown)
    bare = nameless.select(pl.col("scenario").unique(), metric=pl.lit(UNSCORABLE))
    lost = (
        failures.unique("recording", keep="first", maintain_order=True)
        .join(
            pl.concat([wanted.select("scenario", "metric"), bare]),
            on="scenario",
            how="inner",
            nulls_equal=True,
            maintain_order="left_right",
        )
        .join(already, on=["recording", "metric"], how="anti", maintain_order="left")
        .with_columns(status=pl.lit(status), rule=pl.lit(status))
    )
    return pl.concat([scores, _complete(lost)])


def _complete(scores: pl.DataFrame) -> pl.DataFrame:
    """Score rows with every column of the schema; those that are missing are null."""
    return scores.select(
        (pl.col(name) if name in scores.columns else pl.lit(None).alias(name)).cast(kind)
        for name, kind in SCORES.items()
    )


def metadata_labels(recordings: pl.DataFrame, key: str) -> pl.DataFrame:
    """Value of a metadata key for every recording, as text.

    ``recordings``: :data:`flexi_score.schema.RECORDINGS`. Returns ``recording, label``; label is
    null where a recording lacks the key.
    """
    path = f"$[{json.dumps(key, ensure_ascii=False)}]"
    labels = recordings.select(
        "recording", label=pl.col("metadata").cast(pl.String).str.json_path_match(path)
    )
    if len(labels) and labels["label"].null_count() == len(labels):
        keys = {k for text in recordings["metadata"].drop_nulls() for k in json.loads(text)}
        raise SettingsError(f"no recording has the metadata key {key!r}; {hint(key, sorted(keys))}")
    return labels


def cluster_key(recordings: pl.DataFrame | None, settings: SummarySettings) -> str | None:
    """Metadata key of what is resampled together: the one that is set, or the first that is there.

    Of ``auto`` none where all recordings have the same value: there would be no interval.
    """
    if settings.cluster != "auto":
        return settings.cluster
    if recordings is None or recordings.is_empty():
        return None
    metadata = recordings["metadata"].cast(pl.String)
    for key in CLUSTER_KEYS:
        if metadata.str.json_path_match(f"$.{key}").drop_nulls().n_unique() > 1:
            return key
    return None


def cluster_labels(scores: pl.DataFrame, recordings: pl.DataFrame, key: str) -> pl.Series:
    """One cluster label a row of ``scores``, from a metadata key (``summary.cluster``).

    A recording without the key is a cluster of its own.

    Raises SettingsError where no recording has the key.
    """
    labels = metadata_labels(recordings, key).unique("recording", keep="first")
    return (
        scores.select(pl.col("recording").cast(pl.String))
        .join(labels, on="recording", how="left", maintain_order="left")
        .select(
            cluster=pl.coalesce(
                pl.lit("key:") + pl.col("label"), pl.lit("recording:") + pl.col("recording")
            )
        )
        .to_series()
    )


def _rows(
    scores: pl.DataFrame, clusters: pl.Series | None, unsure: pl.Series | None = None
) -> pl.DataFrame:
    """The columns of scores that are added up, with a cluster (the recording without one)."""
    return scores.select(
        *(pl.col(name).cast(pl.String) for name in (*_KEY, "status")),
        pl.col("value").cast(pl.Float64).fill_nan(None),
        pl.col("weight").cast(pl.Float64).fill_null(1.0)
        if "weight" in scores.columns
        else pl.lit(1.0).alias("weight"),  # a run from before there were ratios
        pl.col("margin_s").cast(pl.Float64).fill_nan(None)
        if "margin_s" in scores.columns
        else pl.lit(None, pl.Float64).alias("margin_s"),
        (
            pl.col("recording").cast(pl.String) if clusters is None else clusters.cast(pl.String)
        ).alias("cluster"),
        unsure=pl.lit(False)
        if unsure is None or unsure.is_empty()
        else pl.col("recording").cast(pl.String).is_in(unsure.implode()).fill_null(False),
    )


def _keys(rows: pl.DataFrame) -> pl.Series:
    """One text a row that names its system, scenario and metric."""
    return rows.select(pl.concat_str(_KEY, separator="\x1f", ignore_nulls=True)).to_series()


def _intervals(
    table: pl.DataFrame, rows: pl.DataFrame, settings: SummarySettings, clustered: bool
) -> tuple[Floats, Floats]:
    """Limits of every row of the table; NaN where there are none."""
    keys = _keys(rows)
    rate, mean, ratio = (
        (table["aggregate"] == kind).to_numpy() for kind in ("rate", "mean", "ratio")
    )
    size = table["denominator"].to_numpy()
    share = table["value"].fill_null(np.nan).to_numpy()
    if clustered:
        size = effective_size(rows["value"], keys, rows["cluster"])
    low, high = np.full(len(table), np.nan), np.full(len(table), np.nan)
    score_low, score_high = wilson(share * size, size, settings.confidence)
    low[rate], high[rate] = score_low[rate], score_high[rate]
    # Only the means are resampled; their keys keep the table's order.
    resampled = keys.is_in(_keys(table.filter(pl.Series(mean))).implode())
    low[mean], high[mean] = bootstrap_mean(
        rows["value"].filter(resampled),
        keys.filter(resampled),
        rows["cluster"].filter(resampled) if clustered else None,
        settings,
    )
    pooled = keys.is_in(_keys(table.filter(pl.Series(ratio))).implode())
    parts = rows.filter(pooled)
    low[ratio], high[ratio] = bootstrap_ratio(
        parts["value"] * parts["weight"],
        parts["weight"],
        keys.filter(pooled),
        parts["cluster"] if clustered else None,
        settings,
    )
    return low, high
