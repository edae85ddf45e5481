"""Quantiles of single events, pooled over the recordings of a system.

Events of one recording are not independent of each other, so whole recordings (or clusters, where
those are named) are resampled, never events.
"""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.aggregate.intervals import LARGE, Floats, generator
from flexi_score.config import SummarySettings
from flexi_score.metrics.conversation import OBSERVED
from flexi_score.schema import SUMMARY

_KEY = ["system", "scenario", "metric"]

#: Cells of one block of resampled counts.
_BLOCK = 1 << 22

#: Values repeat, as they are whole milliseconds. Where units times distinct values are fewer than
#: this many times the values, a resample adds up the units' histograms instead of its values.
_HISTOGRAM = 100


def add_quantiles(
    summary: pl.DataFrame,
    observations: pl.DataFrame,
    settings: SummarySettings,
    clusters: pl.DataFrame | None = None,
    qs: Sequence[float] = (0.5, 0.9, 0.95),
    metrics: Sequence[str] = OBSERVED,
) -> pl.DataFrame:
    """Summary rows ``<metric>.p50`` and so on, put after the row of their metric.

    ``clusters``: ``recording, label``; a recording without a label is a cluster of its own. Where
    the system has no event the quantiles are null. ``n`` is the number of recordings with an event,
    ``denominator`` the number of events; the counts by status are those of the metric.
    """
    pooled = observations.select(
        *(pl.col(name).cast(pl.String) for name in ("recording", *_KEY)),
        pl.col("value").cast(pl.Float64),
    ).with_columns(unit=pl.lit("recording:") + pl.col("recording"))
    if clusters is not None:
        labels = clusters.unique("recording", keep="first")
        pooled = pooled.join(labels, on="recording", how="left", maintain_order="left")
        pooled = pooled.with_columns(
            pl.coalesce(pl.lit("key:") + pl.col("label"), "unit").alias("unit")
        )
    table = summary.with_row_index("place")
    rows = table.filter(pl.col("metric").is_in(list(metrics)))
    # Most scenarios have none of these metrics: resampling their events would be for nothing.
    pooled = pooled.join(rows.select(_KEY).unique(), on=_KEY, how="semi", nulls_equal=True)
    entries: list[dict[str, object]] = []
    for key, part in pooled.sort("value").group_by(_KEY, maintain_order=True):
        value, low, high = clustered_quantiles(
            part["value"], part["unit"], qs, settings, "\x1f".join(str(k) for k in key)
        )
        entries += [
            dict(zip(_KEY, key, strict=True))
            | {"q": q, "value": v, "ci_low": a, "ci_high": b}
            | {"n": part["recording"].n_unique(), "denominator": float(len(part))}
            for q, v, a, b in zip(qs, value, low, high, strict=True)
        ]
    floats = ("q", "value", "ci_low", "ci_high", "denominator")
    schema: dict[str, type[pl.DataType]] = dict.fromkeys(_KEY, pl.String)
    schema |= dict.fromkeys(floats, pl.Float64) | {"n": pl.Int64}
    figures = pl.DataFrame(entries, schema=schema).with_columns(
        pl.col("value", "ci_low", "ci_high").fill_nan(None)
    )
    wanted = rows.drop("n", "value", "numerator", "denominator", "ci_low", "ci_high").join(
        pl.DataFrame({"q": list(qs)}, schema={"q": pl.Float64}), how="cross"
    )
    extra = (
        wanted.join(figures, on=[*_KEY, "q"], how="left", nulls_equal=True, maintain_order="left")
        .with_columns(
            pl.col("n", "denominator").fill_null(0),
            numerator=pl.lit(None, pl.Float64),
            within_error=pl.lit(None, pl.Int64),
            metric=pl.col("metric")
            + ".p"
            + (pl.col("q") * 100).round(4).cast(pl.String).str.strip_suffix(".0"),
        )
        .select("place", *(pl.col(name).cast(kind) for name, kind in SUMMARY.items()))
    )
    merged = pl.concat([table, extra], how="diagonal_relaxed")
    return merged.sort("place", maintain_order=True).select(SUMMARY.names())


def clustered_quantiles(
    values: pl.Series, units: pl.Series, qs: Sequence[float], settings: SummarySettings, key: str
) -> tuple[Floats, Floats, Floats]:
    """Quantiles (linear interpolation) and their percentile bootstrap intervals over units.

    A unit is resampled with all its values; ``key`` seeds the draws. Returns value, low and high,
    shape (len(qs),); limits are NaN for fewer than two units, and computed for many.
    """
    order = values.arg_sort()
    x = values.gather(order).to_numpy()
    q = np.asarray(qs, np.float64)
    value = np.quantile(x, q)
    codes = units.rank("dense").gather(order).to_numpy().astype(np.int64) - 1
    size = int(codes.max()) + 1
    if size < 2:
        return value, np.full(len(q), np.nan), np.full(len(q), np.nan)
    if size > LARGE:
        return value, *_computed(x, codes, q, value, settings.confidence)
    distinct, which = np.unique(x, return_inverse=True)
    below_each: Floats | None = None
    if size * len(distinct) < min(_HISTOGRAM * len(x), 4 * _BLOCK):
        cells = np.bincount(codes * len(distinct) + which, minlength=size * len(distinct))
        below_each = np.cumsum(cells.reshape(size, -1), axis=1).astype(np.float64)
        x = distinct
    rng = generator(settings.seed, key)
    drawn = np.empty((len(q), settings.resamples))
    step = max(1, _BLOCK // max(len(x), size))
    for begin in range(0, settings.resamples, step):
        rows = min(step, settings.resamples - begin)
        pick = rng.integers(0, size, (rows, size)) + np.arange(rows)[:, None] * size
        times = np.bincount(pick.ravel(), minlength=rows * size).reshape(rows, size)
        # How many of the drawn values are at or below each x.
        if below_each is None:
            upto = np.cumsum(times.astype(np.int32)[:, codes], axis=1, dtype=np.int32)
        else:
            upto = np.rint(times.astype(np.float64) @ below_each).astype(np.int32)
        # Rows one after another, each above the one before: one sorted list to search.
        total = upto[:, -1:].astype(np.int64)
        shift = np.arange(rows)[:, None] * (total.max() + 1)
        in_order, first = (upto + shift).ravel(), np.arange(rows)[:, None] * len(x)
        position = q * (total - 1)
        below = np.floor(position).astype(np.int64)
        at, after = (
            x[np.searchsorted(in_order, nth + shift, "right") - first]
            for nth in (below, np.minimum(below + 1, total - 1))
        )
        drawn[:, begin : begin + rows] = (at + (position - below) * (after - at)).T
    tail = (1 - settings.confidence) / 2
    return value, *np.quantile(drawn, [tail, 1 - tail], axis=1)


def _computed(
    x: Floats, codes: NDArray[np.int64], q: Floats, value: Floats, confidence: float
) -> tuple[Floats, Floats]:
    """Limits for many units without resampling (Woodruff 1952).

    The share of values up to the quantile is a ratio over units; its normal interval is read back
    through the distribution of the values. ``x`` is sorted, ``codes`` are its units.
    """
    n, z = len(x), NormalDist().inv_cdf((1 + confidence) / 2)
    size = np.bincount(codes)
    low, high = np.empty(len(q)), np.empty(len(q))
    for i, (share, at) in enumerate(zip(q, value, strict=True)):
        below = np.bincount(codes, x <= at, minlength=len(size))
        error = np.sqrt(np.sum((below - share * size) ** 2)) / n
        low[i], high[i] = np.quantile(x, np.clip([share - z * error, share + z * error], 0, 1))
    return low, high
