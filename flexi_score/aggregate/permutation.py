"""Permutation tests of a difference: sign flips over pairs, relabelling without pairs."""

from typing import Final

import numpy as np

from flexi_score.aggregate.intervals import Floats

PERMUTATIONS: Final = 10_000
#: Cells of one block of permutations.
_BLOCK: Final = 1 << 22


def sign_flip_p(
    differences: Floats, rng: np.random.Generator, permutations: int = PERMUTATIONS
) -> float:
    """Two-sided p-value of the sign-flip test that differences are symmetric about 0.

    Exact where the differences that are not 0 have at most ``permutations`` sign patterns, else
    over random ones, the observed one counted in. NaN without any difference given.

    ``differences``: ndarray of float64, shape (n,).
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
