"""Intervals and corrections: Wilson, bootstrap of means and ratios, Holm.

Conventions
-----------
A *group* is one summary row's recordings. Each group draws from a generator seeded by the run's
seed and a hash of the group's own key, and its values are sorted first: an interval depends on
neither the other groups nor the order of the rows.

A *cluster* is a set of recordings that belong together (one session, one speaker). Where clusters
are given, whole clusters are resampled, so that the interval does not pretend that recordings of
one session are independent.
"""

import hashlib
from collections.abc import Iterator
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from flexi_score.config import SummarySettings

Floats = NDArray[np.float64]

#: scipy.special has these too, and takes longer to import than a small run takes to score.
_NORMAL: Final = NormalDist()

#: Units beyond which intervals are computed, not resampled.
LARGE: Final = 2_000

#: Cells of one block of resampled indices: 4 million, 32 MB of floats.
_BLOCK = 1 << 22


def wilson(
    numerator: ArrayLike, denominator: ArrayLike, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Wilson score interval of a proportion (1927; without continuity correction).

    Successes and trials, shape (n,); trials need not be whole (an effective sample size). Returns
    low and high, shape (n,), in [0, 1]; NaN where there are no trials.
    """
    k, n = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    z2 = _NORMAL.inv_cdf(0.5 + confidence / 2) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        p = k / n
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = np.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At 0 and n successes the bound is exactly 0 and 1; rounding would leave 1e-17.
    low = np.where(k == 0, 0.0, np.clip(centre - half, 0.0, 1.0))
    high = np.where(k == n, 1.0, np.clip(centre + half, 0.0, 1.0))
    empty = n == 0
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def bootstrap_mean(
    values: ArrayLike | pl.Series,
    groups: ArrayLike | pl.Series,
    clusters: ArrayLike | pl.Series | None = None,
    settings: SummarySettings | None = None,
) -> tuple[Floats, Floats]:
    """BCa bootstrap interval of each group's mean (Efron 1987).

    One value, group and (optionally) cluster each; NaN and null are left out, and values of a
    cluster are resampled together. The text of a group's key seeds its generator. Returns low and
    high, shape (groups,), in order of first appearance; NaN where a group has fewer than two values
    (or clusters). Of more than :data:`LARGE` the limits are computed in closed form: they differ
    from resampled ones by less than those differ among themselves.
    """
    keys, frame = _grouped(values, groups, clusters)
    return _limits(keys, frame, settings or SummarySettings())


def bootstrap_ratio(
    numerators: ArrayLike | pl.Series,
    denominators: ArrayLike | pl.Series,
    groups: ArrayLike | pl.Series,
    clusters: ArrayLike | pl.Series | None = None,
    settings: SummarySettings | None = None,
) -> tuple[Floats, Floats]:
    """BCa interval of each group's sum of numerators over sum of denominators.

    A recording's numerator and denominator are drawn together. Entries whose numerator is null or
    NaN are left out, as are those whose denominator is not above 0. Else as :func:`bootstrap_mean`.
    """
    above = _series(denominators).cast(pl.Float64)
    keys, frame = _grouped(_series(numerators).cast(pl.Float64), groups, clusters, above)
    return _limits(keys, frame, settings or SummarySettings())


def _limits(
    keys: list[object], frame: pl.DataFrame, settings: SummarySettings
) -> tuple[Floats, Floats]:
    """Limits of each group's sum of totals over sum of counts."""
    low, high = np.full(len(keys), np.nan), np.full(len(keys), np.nan)
    for row, total, count in _units(keys, frame):
        if len(total) > LARGE:
            low[row], high[row] = _computed(total, count, settings.confidence)
        elif len(total) >= 2:
            means = resampled_means(
                total, count, settings.resamples, generator(settings.seed, keys[row])
            )
            low[row], high[row] = _bca(means, total, count, settings.confidence)
    return low, high


def effective_size(
    values: ArrayLike | pl.Series, groups: ArrayLike | pl.Series, clusters: ArrayLike | pl.Series
) -> Floats:
    """Number of independent recordings that each group of clustered 0/1 values is worth.

    The number of values divided by the design effect, the variance of the rate between clusters
    over that of independent draws, taken as at least 1 (Korn and Graubard 1998). Shape (groups,);
    NaN where there are fewer than two clusters.
    """
    keys, frame = _grouped(values, groups, clusters)
    size = np.full(len(keys), np.nan)
    for row, total, count in _units(keys, frame):
        m, n = len(total), float(count.sum())
        if m >= 2:
            p = total.sum() / n
            spread = m / (m - 1) * float(np.sum((total - p * count) ** 2))
            size[row] = n if p in (0.0, 1.0) else n / max(1.0, spread / (n * p * (1 - p)))
    return size


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjustment of p-values; NaN stays NaN and is not counted."""
    p = np.asarray(p, float)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if len(order) else scaled
    return out


def generator(seed: int, key: object) -> np.random.Generator:
    """A random generator that depends on the seed and the text of the key alone."""
    digest = hashlib.sha256(str(key).encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, "<u4").tolist()])


def resampled_means(
    total: Floats, count: Floats, resamples: int, rng: np.random.Generator
) -> Floats:
    """Means of resampled units, each with the sum and the number of its values."""
    size = len(total)
    alike = bool((count == count[0]).all())
    out = np.empty(resamples)
    step = max(1, _BLOCK // size)
    for begin in range(0, resamples, step):
        pick = rng.integers(0, size, (min(step, resamples - begin), size), dtype=np.uint32)
        weight = size * count[0] if alike else count[pick].sum(axis=1)
        out[begin : begin + step] = total[pick].sum(axis=1) / weight
    return out


def _bca(means: Floats, total: Floats, count: Floats, confidence: float) -> tuple[float, float]:
    """BCa limits of resampled means of units."""
    resamples = len(means)
    estimate = total.sum() / count.sum()
    below = np.mean(means < estimate) + np.mean(means == estimate) / 2
    least = 1 / (resamples + 1)
    bias = _NORMAL.inv_cdf(min(max(float(below), least), 1 - least))
    jackknife = (total.sum() - total) / (count.sum() - count)
    d = jackknife.mean() - jackknife
    # Scaled to unit size first: cubes of tiny deviations would underflow.
    d = d / max(float(np.abs(d).max()), np.finfo(float).tiny)
    spread = float(np.sum(d**2))
    skew = float(np.sum(d**3)) / (6 * spread**1.5) if spread > 0 else 0.0
    levels = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = bias + _NORMAL.inv_cdf(tail)
        levels.append(_NORMAL.cdf(bias + z / max(1 - skew * z, 1e-3)))
    low, high = np.quantile(means, levels)
    return float(low), float(high)


def _computed(total: Floats, count: Floats, confidence: float) -> tuple[float, float]:
    """The BCa limits that ever more resamples of many units tend to, in closed form.

    The resampled mean is then normal but for its skewness (Cornish-Fisher), which is also its bias
    and its acceleration (DiCiccio and Efron 1996, "Bootstrap confidence intervals").
    """
    estimate = total.sum() / count.sum()
    d = (total - estimate * count) / count.sum()
    spread = float(np.sqrt(np.sum(d**2)))
    if spread == 0:
        return float(estimate), float(estimate)
    skew = float(np.sum((d / spread) ** 3)) / 6
    limits = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        z = skew + _NORMAL.inv_cdf(tail)
        z = skew + z / max(1 - skew * z, 1e-3)
        limits.append(float(estimate + spread * (z + skew * (z * z - 1))))
    return limits[0], limits[1]


def _grouped(
    values: ArrayLike | pl.Series,
    groups: ArrayLike | pl.Series,
    clusters: ArrayLike | pl.Series | None,
    weights: pl.Series | None = None,
) -> tuple[list[object], pl.DataFrame]:
    """Keys by first appearance, and the usable values sorted by group and value."""
    frame = pl.DataFrame({"group": _series(groups), "value": _series(values).cast(pl.Float64)})
    frame = frame.with_columns((pl.lit(1.0) if weights is None else weights).alias("weight"))
    if clusters is not None:
        frame = frame.with_columns(_series(clusters).cast(pl.String).alias("cluster"))
    keys = frame["group"].unique(maintain_order=True).to_list()
    usable = pl.col("value").is_not_null() & pl.col("value").is_not_nan() & (pl.col("weight") > 0)
    return keys, frame.filter(usable).sort("value", "weight")


def _series(data: ArrayLike | pl.Series) -> pl.Series:
    return data if isinstance(data, pl.Series) else pl.Series(np.asarray(data).tolist())


def _units(keys: list[object], frame: pl.DataFrame) -> Iterator[tuple[int, Floats, Floats]]:
    """What is resampled: values, or clusters, with the sum and weight of their values."""
    number = {key: row for row, key in enumerate(keys)}
    for key, part in frame.group_by("group", maintain_order=True):
        units = part.select(pl.col("^cluster$"), total="value", count="weight")
        if "cluster" in units.columns:
            units = units.group_by("cluster", maintain_order=True).sum()
        units = units.sort("total", "count")
        yield number[key[0]], units["total"].to_numpy(), units["count"].to_numpy()
