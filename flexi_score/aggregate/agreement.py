"""Whether raters agree: Krippendorff's alpha, quadratically weighted kappa, mean absolute error.

Conventions
-----------
A *unit* is what is rated, a recording under one metric. Intervals are percentiles of bootstrap
resamples that draw whole units, all their ratings with them. NaN (null in tables) is not defined:
fewer than two ratings of any unit, or no variation at all, where agreement by chance is perfect.

References
----------
Krippendorff, "Computing Krippendorff's alpha-reliability" (2011); Cohen 1968, weighted kappa, with
squared differences of the values themselves as weights, for which any values will do.
"""

from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from flexi_score.aggregate.intervals import Floats, generator
from flexi_score.config import SummarySettings
from flexi_score.schema import make_schema
from flexi_score.segment.tracks import Ints

Level = Literal["nominal", "ordinal", "interval"]

#: Cells of one block of resampled weights or of coincidences: 4 million, 32 MB of floats.
_BLOCK: Final = 1 << 22

#: Metric whose ratings are marked word ends, not numbers.
MARKED: Final = "reference_backchannels"

#: Label of the rows that take all systems together.
ALL: Final = "all"

#: What :func:`agreement_table` returns. ``judge_mean`` and ``human_mean`` are over the pairs, and
#: ``human_alpha`` is that of the raters among themselves.
AGREEMENT: Final = make_schema(
    {
        "metric": pl.String,
        "system": pl.String,
        "recordings": pl.Int64,
        "labels": pl.Int64,  # pairs of a human's label and the judge's rating
        "raters": pl.Int64,
        "judge_mean": pl.Float64,
        "human_mean": pl.Float64,
        **{
            f"{name}{part}": pl.Float64
            for name in ("kappa", "alpha", "mae")
            for part in ("", "_low", "_high")
        },
        "human_alpha": pl.Float64,
    }
)


def krippendorff_alpha(units: ArrayLike, values: ArrayLike, level: Level = "ordinal") -> float:
    """Krippendorff's alpha of any number of raters: a unit and a value for each rating.

    1 is perfect agreement, 0 that of chance; NaN where it is not defined.
    """
    counts, categories = _counts(np.asarray(units), np.asarray(values, np.float64))
    whole = np.ones((1, len(counts)))
    return float(_alphas(_coincidences(counts, whole), categories, level)[0])


def _counts(units: Ints, values: Floats) -> tuple[Floats, Floats]:
    """How often each unit got each category: shape (units with two ratings, categories)."""
    _, unit = np.unique(units, return_inverse=True)
    categories, category = np.unique(values, return_inverse=True)
    size = unit.max(initial=-1) + 1
    cells = np.bincount(unit * len(categories) + category, minlength=size * len(categories))
    counts = cells.reshape(size, len(categories)).astype(np.float64)
    return counts[counts.sum(1) >= 2], categories


def _coincidences(counts: Floats, weights: Floats) -> Floats:
    """Coincidence matrices, one a row of weights of the units: shape (rows, c, c)."""
    size = counts.shape[1]
    total = np.zeros((len(weights), size * size))
    step = max(_BLOCK // max(size * size, 1), 1)
    for begin in range(0, len(counts), step):
        part = counts[begin : begin + step]
        pairs = part[:, :, None] * part[:, None, :]
        pairs -= part[:, :, None] * np.eye(size)  # no rating is paired with itself
        pairs /= part.sum(1)[:, None, None] - 1
        total += weights[:, begin : begin + step] @ pairs.reshape(len(part), -1)
    return total.reshape(len(weights), size, size)


def _alphas(coincidences: Floats, categories: Floats, level: Level) -> Floats:
    """Alpha of each coincidence matrix."""
    margins = coincidences.sum(2)
    number = margins.sum(1)
    if level == "ordinal":
        # The ordinal difference is that of mean ranks.
        places = np.cumsum(margins, 1) - margins / 2
    else:
        places = np.broadcast_to(categories, margins.shape)
    apart = (places[:, :, None] - places[:, None, :]) ** 2
    if level == "nominal":
        apart = (apart > 0).astype(np.float64)
    observed = (coincidences * apart).sum((1, 2))
    expected = (margins[:, :, None] * margins[:, None, :] * apart).sum((1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        alpha = 1 - (number - 1) * observed / expected
    return np.where(expected > 0, alpha, np.nan)


def _moments(a: Floats, b: Floats) -> Floats:
    """What kappa and the error are sums of, by pair: shape (k, 7)."""
    return np.stack([np.ones_like(a), a, b, a * a, b * b, (a - b) ** 2, np.abs(a - b)], axis=1)


def _kappas(sums: Floats) -> Floats:
    """Kappa from sums of :func:`_moments`, shape (rows, 7)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        _, a, b, aa, bb, squared, _ = (sums / sums[:, :1]).T
        expected = aa + bb - 2 * a * b
        # What rounding leaves of a difference of equal numbers is no variation.
        return np.where(expected > 1e-12 * (aa + bb), 1 - squared / expected, np.nan)


def agreement_table(
    ratings: pl.DataFrame, labels: pl.DataFrame, settings: SummarySettings
) -> pl.DataFrame:
    """A judge's ratings (of repeats the mean) against human labels (:data:`AGREEMENT`).

    ``labels``: ``recording, metric, rater, value``. With more than one system, also a row for all
    of them. ``kappa`` and ``mae`` are over all pairs of a label and the rating of its recording;
    ``alpha`` (ordinal) takes the judge as one more rater. Labels without a rating are left out.
    """
    judged = ratings.group_by("recording", "metric", "system", maintain_order=True).agg(
        judge=pl.col("value").mean()
    )
    pairs = labels.join(
        judged.drop_nulls("judge"), on=["recording", "metric"], how="inner", maintain_order="right"
    )
    rows = []
    for (metric,), group in pairs.group_by("metric", maintain_order=True):
        parts = group.partition_by("system", as_dict=True, maintain_order=True)
        for (system,), part in parts.items():
            rows.append(_row(str(metric), str(system), part, settings))
        if len(parts) > 1:
            rows.append(_row(str(metric), ALL, group, settings))
    return pl.DataFrame(rows, schema=AGREEMENT).with_columns(pl.col(pl.Float64).fill_nan(None))


def _row(
    metric: str, system: str, pairs: pl.DataFrame, settings: SummarySettings
) -> dict[str, object]:
    unit = pairs["recording"].rank("dense").to_numpy().astype(np.int64) - 1
    human, judge = (pairs[name].to_numpy().astype(np.float64) for name in ("value", "judge"))
    size = int(unit.max()) + 1
    first = np.unique(unit, return_index=True)[1]
    counts, categories = _counts(
        np.concatenate([unit, unit[first]]), np.concatenate([human, judge[first]])
    )
    moments = np.zeros((size, 7))
    np.add.at(moments, unit, _moments(judge, human))
    whole = np.ones((1, size))
    statistics = _statistics(whole, moments, counts, categories)[:, 0]
    random = generator(settings.seed, f"{metric}\x1f{system}")
    step = max(_BLOCK // size, 1)
    drawn = [
        _statistics(weights, moments, counts, categories)
        for begin in range(0, settings.resamples, step)
        for weights in [
            random.multinomial(size, np.full(size, 1 / size), min(step, settings.resamples - begin))
        ]
    ]
    low, high = _percentiles(np.concatenate(drawn, 1), settings.confidence)
    if size < 2:
        low = high = np.full(3, np.nan)
    row: dict[str, object] = {
        "metric": metric,
        "system": system,
        "recordings": size,
        "labels": len(pairs),
        "raters": pairs["rater"].n_unique(),
        "judge_mean": float(judge.mean()),
        "human_mean": float(human.mean()),
        "human_alpha": krippendorff_alpha(unit, human),
    }
    for name, value, below, above in zip(
        ("kappa", "alpha", "mae"), statistics, low, high, strict=True
    ):
        row |= {name: float(value), f"{name}_low": float(below), f"{name}_high": float(above)}
    return row


def _statistics(
    weights: Floats | Ints, moments: Floats, counts: Floats, categories: Floats
) -> Floats:
    """Kappa, alpha and error under each row of weights of the units: shape (3, rows)."""
    sums = weights.astype(np.float64) @ moments
    alphas = _alphas(_coincidences(counts, weights.astype(np.float64)), categories, "ordinal")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([_kappas(sums), alphas, sums[:, 6] / sums[:, 0]])


def _percentiles(drawn: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Limits over the resamples for which a statistic is defined; NaN where none is."""
    low, high = np.full(len(drawn), np.nan), np.full(len(drawn), np.nan)
    for row, values in enumerate(drawn):
        defined = values[np.isfinite(values)]
        if len(defined):
            low[row], high[row] = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return low, high


def repeat_agreement(ratings: pl.DataFrame) -> pl.DataFrame:
    """How far a judge that was asked several times agrees with itself.

    ``metric, recordings, repeats, spread, alpha``, of the recordings with two ratings or more: the
    mean standard deviation of their ratings, and Krippendorff's alpha (ordinal; null where it is
    not defined). Of marked positions it is nominal, over the words that could be marked, and there
    is no spread.
    """
    marks = _marks(ratings)
    often = pl.concat([_twice(ratings.filter(pl.col("value").is_not_null())), marks])
    spread = (
        often.group_by("metric", "recording", maintain_order=True)
        .agg(repeats=pl.col("repeat").n_unique(), spread=pl.col("value").std())
        .group_by("metric", maintain_order=True)
        .agg(
            recordings=pl.len(),
            repeats=pl.col("repeats").max(),
            spread=pl.when(pl.col("metric").first() != MARKED).then(pl.col("spread").mean()),
        )
    )
    alphas = [
        krippendorff_alpha(
            part.select(pl.struct("recording", "word").rank("dense")).to_series().to_numpy(),
            part["value"].to_numpy(),
            "nominal" if part["metric"][0] == MARKED else "ordinal",
        )
        for part in often.partition_by("metric", maintain_order=True)
    ]
    return spread.with_columns(alpha=pl.Series(alphas, dtype=pl.Float64).fill_nan(None))


def _twice(rated: pl.DataFrame) -> pl.DataFrame:
    """``recording, metric, repeat, word, value`` of what was rated more than once."""
    often = rated.filter(pl.len().over("recording", "metric") > 1)
    return often.select("recording", "metric", "repeat", word=pl.lit(0, pl.Int64), value="value")


def _marks(ratings: pl.DataFrame) -> pl.DataFrame:
    """The same of marked positions: 1 for every word that was marked, 0 for those that were not."""
    marked = ratings.filter((pl.col("metric") == MARKED) & pl.col("positions_s").is_not_null())
    often = marked.filter(pl.len().over("recording") > 1)
    form = pl.Struct({"words": pl.List(pl.List(pl.String))})
    words = pl.col("question").str.json_decode(form).struct.field("words")
    ends = words.list.eval(pl.element().list.get(1).cast(pl.Float64))
    return (
        often.select("recording", "metric", "repeat", "positions_s", end=ends)
        .explode("end")
        .with_columns(word=pl.int_range(pl.len()).over("recording", "repeat"))
        .select(
            "recording",
            "metric",
            "repeat",
            "word",
            value=pl.col("positions_s").list.contains(pl.col("end")).cast(pl.Float64),
        )
    )
