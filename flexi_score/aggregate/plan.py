"""Study design: how many recordings a comparison needs, and looking at it before it is complete.

Conventions
-----------
A plan scales the standard error that was observed with the number of recordings: it holds for more
recordings of the same kind, paired and clustered as these are. It is for one metric, named before
the data: of several, Holm's correction asks for more.

A comparison that is looked at K times while recordings come in, and stopped when it is clear, is
wrong more often than its level says. Alpha spending (Lan & DeMets 1983) shares the level out over
the looks: here by the function of O'Brien and Fleming's kind, which hardly charges early looks, so
that the last one is nearly as sharp as if it were the only one. It needs the number of looks
beforehand; e-values, which do not, need more recordings for the same power, and would be a second
kind of number beside the p that is shown.
"""

import math
from collections.abc import Mapping
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
import polars as pl

from flexi_score.aggregate.intervals import Floats
from flexi_score.errors import SettingsError

#: Chance that a difference of the size is found (Cohen 1988).
POWER: Final = 0.8

#: One row per row of the comparison.
PLAN: Final = pl.Schema(
    {
        "baseline": pl.String,
        "candidate": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "test": pl.String,  # paired | unpaired
        "n": pl.Int64,  # pairs now; unpaired: recordings of the smaller side
        "detectable": pl.Float64,  # smallest difference that so many find; null: fewer than two
        "difference": pl.Float64,  # to be found: the one asked for, else the effect observed
        "asked": pl.Boolean,
        "needed": pl.Int64,  # pairs, or recordings per side; null without spread or difference
    }
)

_NORMAL: Final = NormalDist()
#: Fewer pairs than this never have a two-sided sign-flip p below 0.05.
_FEWEST: Final = 6
#: Grid of the Brownian motion that looks are of; its tails are below 1e-15.
_GRID: Final = np.linspace(-8, 8, 3201)


def plan_frame(
    comparison: pl.DataFrame, detect: Mapping[str, float], confidence: float
) -> pl.DataFrame:
    """How many recordings each metric of a comparison needs (:data:`PLAN`).

    ``detect``: the smallest differences worth finding, by metric (``latency`` or
    ``turn_taking.latency``). Normal approximation: (z(1 - alpha / 2) + z(power)) standard errors
    are found with the power.
    """
    names = comparison.select(full=pl.format("{}.{}", "scenario", "metric"), metric="metric")
    known = {*names["full"], *names["metric"]}
    for name in detect:
        if name not in known:
            raise SettingsError(
                f"--detect {name!r}: not compared; expected one of {', '.join(names['full'])}"
            )
    wanted = pl.Series(
        [detect.get(full, detect.get(metric)) for full, metric in names.rows()], dtype=pl.Float64
    )
    reach = _NORMAL.inv_cdf(0.5 + confidence / 2) + _NORMAL.inv_cdf(POWER)
    paired = pl.col("test") == "paired"
    return (
        comparison.with_columns(
            n=pl.when(paired)
            .then("n_pairs")
            .otherwise(pl.min_horizontal("n_baseline", "n_candidate")),
            detectable=reach * pl.col("se"),
            asked=wanted.is_not_null(),
            difference=pl.coalesce(wanted, "effect").abs(),
        )
        .with_columns(
            needed=pl.when((pl.col("difference") > 0) & (pl.col("se") > 0)).then(
                ((pl.col("detectable") / pl.col("difference")) ** 2 * pl.col("n")).ceil()
            )
        )
        .with_columns(pl.col("needed").clip(lower_bound=_FEWEST))
        .select(pl.col(name).cast(kind) for name, kind in PLAN.items())
    )


def look_level(look: int, looks: int, alpha: float = 0.05) -> float:
    """Level of p at one of equally spaced looks, so that all of them together keep ``alpha``.

    Two-sided; ``look`` counts from 1.

    References
    ----------
    Lan & DeMets 1983, each side spending 2 - 2 Phi(z(1 - alpha / 4) / sqrt(t)); boundaries by the
    recursion of Armitage, McPherson & Rowe 1969.

    Examples
    --------
    >>> [round(look_level(k, 5), 4) for k in (1, 3, 5)]
    [0.0, 0.0074, 0.0423]
    """
    if not 1 <= look <= looks:
        raise SettingsError(f"--look {look}/{looks}: expected the number of this look of all looks")
    return _levels(looks, alpha)[look - 1]


@cache
def _levels(looks: int, alpha: float) -> tuple[float, ...]:
    step, z = _GRID[1] - _GRID[0], _NORMAL.inv_cdf(1 - alpha / 4)
    sigma = 1 / math.sqrt(looks)
    kernel = np.exp(-0.5 * (_GRID / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi)) * step
    density, spent, levels = kernel / step, 0.0, []
    for k in range(1, looks + 1):
        if k > 1:
            density = np.convolve(density, kernel, mode="same")
        due = 4 * (1 - _NORMAL.cdf(z / math.sqrt(k / looks)))
        bound = _bound(density, step, due - spent)
        density = np.where(np.abs(_GRID) < bound, density, 0.0)
        spent = due
        levels.append(2 * (1 - _NORMAL.cdf(bound / math.sqrt(k / looks))))
    return tuple(levels)


def _bound(density: Floats, step: float, mass: float) -> float:
    """Where both tails of a density hold so much."""
    middle = len(_GRID) // 2
    tail = np.cumsum(density[: middle + 1]) * step - density[: middle + 1] * step / 2
    return float(-np.interp(mass / 2, tail, _GRID[: middle + 1]))


def surely(p: Floats, alpha: float, look: tuple[int, int] | None = None) -> np.ndarray:
    """Which of several p are below their level, by Holm's steps; NaN never is.

    With ``look`` (this one, of all), each step's share of alpha is spent over the looks (Ye, Li,
    Liu & Yao 2013).
    """
    sure = np.zeros(len(p), bool)
    known = np.flatnonzero(~np.isnan(p))
    for left, i in zip(range(len(known), 0, -1), known[np.argsort(p[known])], strict=True):
        level = alpha / left if look is None else look_level(*look, alpha / left)
        if not p[i] < level:
            break
        sure[i] = True
    return sure
