"""The difference of two sides: over pairs of recordings, or of means, with interval and p.

The tests of significance are permutation tests: sign flips over pairs, relabelling without pairs.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.aggregate.intervals import Floats, bootstrap_mean, generator, resampled_means
from flexi_score.config import SummarySettings

PERMUTATIONS: Final = 10_000
#: Cells of one block of permutations.
_BLOCK: Final = 1 << 22


def paired_difference(
    left: pl.DataFrame, right: pl.DataFrame, column: str, name: str, settings: SummarySettings
) -> dict[str, object]:
    """Effect, interval and p over pairs; several recordings of one key are averaged first."""
    sides = [
        side.drop_nulls(column)
        .group_by(column, maintain_order=True)
        .agg(pl.col("value").mean(), pl.col("cluster").first())
        for side in (left, right)
    ]
    pairs = sides[0].join(sides[1], on=column, how="inner", suffix="_b").sort(column)
    pairs = pairs.with_columns(
        d=pl.col("value_b") - pl.col("value"), unit=pl.coalesce("cluster", "cluster_b", column)
    )
    d = pairs["d"].to_numpy()
    low, high = bootstrap_mean(
        pairs["d"], pl.Series([name]).new_from_index(0, len(pairs)), pairs["unit"], settings
    )
    units = pairs.group_by("unit").agg(pl.col("d").sum(), n=pl.len()).sort("unit")
    flipped, size = units["d"].to_numpy(), units["n"].to_numpy().astype(np.float64)
    return {
        "n_pairs": len(d),
        "effect": float(d.mean()) if len(d) else None,
        "se": _variance(flipped, size) ** 0.5,
        "ci_low": float(low[0]) if len(low) else None,
        "ci_high": float(high[0]) if len(high) else None,
        "p": sign_flip_p(flipped, generator(settings.seed, f"flip{name}")),
    }


def unpaired_difference(
    left: pl.DataFrame, right: pl.DataFrame, name: str, settings: SummarySettings
) -> dict[str, object]:
    """Difference of the two means, with each side resampled on its own."""
    units = [
        side.with_columns(unit=pl.coalesce("cluster", "recording"))
        .group_by("unit")
        .agg(total=pl.col("value").sum(), count=pl.len().cast(pl.Float64))
        .sort("total", "count")
        for side in (left, right)
    ]
    total: tuple[Floats, ...] = tuple(u["total"].to_numpy() for u in units)
    count: tuple[Floats, ...] = tuple(u["count"].to_numpy() for u in units)
    low = high = effect = None
    if all(len(t) for t in total):
        effect = float(total[1].sum() / count[1].sum() - total[0].sum() / count[0].sum())
    if all(len(t) >= 2 for t in total):
        means = [
            resampled_means(t, c, settings.resamples, generator(settings.seed, f"{i}{name}"))
            for i, (t, c) in enumerate(zip(total, count, strict=True))
        ]
        tail = (1 - settings.confidence) / 2
        low, high = (float(v) for v in np.quantile(means[1] - means[0], [tail, 1 - tail]))
    p = permutation_p(
        (total[0], total[1]), (count[0], count[1]), generator(settings.seed, f"permute{name}")
    )
    se = sum(_variance(t, c) for t, c in zip(total, count, strict=True)) ** 0.5
    return {"n_pairs": 0, "se": se, "effect": effect, "ci_low": low, "ci_high": high, "p": p}


def _variance(total: Floats, count: Floats) -> float:
    """Variance of the mean of units, each with the sum and number of its values; NaN for one."""
    m = len(total)
    if m < 2:
        return float("nan")
    off = total - total.sum() / count.sum() * count
    return float(m / (m - 1) * np.sum(off**2) / count.sum() ** 2)


def sign_flip_p(
    differences: Floats, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> float:
    """Two-sided p-value of the sign-flip test that differences are symmetric about 0.

    Exact where the differences that are not 0 have at most ``permutations`` sign patterns, else
    over random ones, the observed one counted in. NaN without any difference given.
    """
    if not len(differences):
        return float("nan")
    d = differences[differences != 0]
    if not len(d):
        return 1.0
    n, total = len(d), float(d.sum())
    least = abs(total) - 1e-9 * float(np.abs(d).sum())
    if n < 63 and 2**n <= permutations:
        bits = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        return float(np.mean(np.abs(2 * (bits @ d) - total) >= least))
    extreme = 0
    step = max(1, _BLOCK // n)
    for begin in range(0, permutations, step):
        rows = min(step, permutations - begin)
        flips = np.frombuffer(rng.bytes(rows * ((n + 7) // 8)), np.uint8).reshape(rows, -1)
        signs = np.unpackbits(flips, axis=1, count=n).astype(np.float64)
        extreme += int(np.count_nonzero(np.abs(2 * (signs @ d) - total) >= least))
    return (extreme + 1) / (permutations + 1)


def permutation_p(
    total: tuple[Floats, Floats],
    count: tuple[Floats, Floats],
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
) -> float:
    """Two-sided p-value of the difference of two means under relabelling of the units.

    ``total`` and ``count``: sum and number of each unit's values, of both sides; units are
    recordings (count 1) or clusters. Returns NaN where a side has no unit.
    """
    first = len(total[0])
    if not first or not len(total[1]):
        return float("nan")
    t, c = np.concatenate(total), np.concatenate(count)
    observed = abs(total[1].sum() / count[1].sum() - total[0].sum() / count[0].sum())
    least = observed - 1e-9 * float(np.abs(t).sum()) / float(c.sum())
    extreme = 0
    step = max(1, _BLOCK // len(t))
    for begin in range(0, permutations, step):
        rows = min(step, permutations - begin)
        order = rng.permuted(np.tile(np.arange(len(t), dtype=np.uint32), (rows, 1)), axis=1)
        left = order[:, :first]
        a, a_count = t[left].sum(axis=1), c[left].sum(axis=1)
        shift = (t.sum() - a) / (c.sum() - a_count) - a / a_count
        extreme += int(np.count_nonzero(np.abs(shift) >= least))
    return (extreme + 1) / (permutations + 1)
