"""What a sweep shows: how far each setting moves a metric, and which orders of systems turn."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.schema import make_schema

_KEY: Final = ["scenario", "metric", "system"]
#: What stands for all settings together, and for a list of rows that differ in several.
ALL: Final = "(all)"
SEVERAL: Final = "(list)"

#: Orders of two systems that turn (:func:`flips`).
FLIPS: Final = make_schema(
    {
        "scenario": pl.String,
        "metric": pl.String,
        "system": pl.String,
        "other": pl.String,
        "setting": pl.String,
        "low": pl.String,  # the last value of the setting with one order ...
        "high": pl.String,  # ... and the first with the other
        "before": pl.String,  # who is better at the low value (the higher, where neither way is)
        "after": pl.String,
        "times": pl.Int64,  # under how many choices of the other settings
        "of": pl.Int64,
        "from_combination": pl.Int64,  # the first such pair
        "to_combination": pl.Int64,
    }
)

#: How far metrics move (:func:`sensitivity`).
SENSITIVITY: Final = make_schema(
    {
        "scenario": pl.String,
        "metric": pl.String,
        "system": pl.String,
        "setting": pl.String,  # ALL: over the whole sweep
        "low": pl.Float64,
        "high": pl.Float64,
        "range": pl.Float64,  # of a setting: mean over the choices of the others
        "max_range": pl.Float64,
    }
)


def main_effects(table: pl.DataFrame, setting: str) -> pl.DataFrame:
    """Each metric against one setting: mean (``value``), lowest and highest over the others."""
    return (
        table.group_by([*_KEY, setting], maintain_order=True)
        .agg(value=pl.col("value").mean(), low=pl.col("value").min(), high=pl.col("value").max())
        .join(_places(table), on=_KEY, how="left", nulls_equal=True, maintain_order="left")
        .sort("place", setting, maintain_order=True)
        .drop("place")
    )


def sensitivity(table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """How far each metric of each system moves, over the sweep and with each setting alone.

    ``range`` of a setting is the difference between the highest and the lowest value while all
    others stay, averaged over the others; ``max_range`` the largest. A setting that never varies
    alone (in a list) has no row.
    """
    value = pl.col("value")
    overall = table.group_by(_KEY, maintain_order=True).agg(
        setting=pl.lit(ALL),
        low=value.min(),
        high=value.max(),
        range=value.max() - value.min(),
        max_range=value.max() - value.min(),
    )
    parts = [overall]
    for name in names:
        others = [other for other in names if other != name]
        alone = (
            table.group_by([*_KEY, *others], maintain_order=True)
            .agg(
                low=value.min(),
                high=value.max(),
                range=value.max() - value.min(),
                values=pl.col(name).n_unique(),
            )
            .filter(pl.col("values") > 1)
        )
        parts.append(
            alone.group_by(_KEY, maintain_order=True).agg(
                setting=pl.lit(name),
                low=pl.col("low").min(),
                high=pl.col("high").max(),
                range=pl.col("range").mean(),
                max_range=pl.col("range").max(),
            )
        )
    names_of = pl.DataFrame({"setting": [ALL, *names]}).with_row_index("turn")
    return (
        pl.concat(parts)
        .join(_places(table), on=_KEY, how="left", nulls_equal=True)
        .join(names_of, on="setting", how="left")
        .sort("place", "turn")
        .select(pl.col(name).cast(kind) for name, kind in SENSITIVITY.items())
    )


def flips(table: pl.DataFrame, names: Sequence[str], metrics: Sequence[Metric]) -> pl.DataFrame:
    """Pairs of systems whose order under a metric turns as one setting changes (:data:`FLIPS`).

    Values at which both are equal, or one has none, are passed over. In a list of combinations in
    which no setting varies alone, neighbouring rows are compared.
    """
    pairs = _pairs(table, names, metrics)
    turns = [
        _turns(pairs, [other for other in names if other != name], name, name)
        for name in names
        if _varies_alone(table, names, name)
    ]
    if not turns and names:
        turns = [_turns(pairs, [], "combination", SEVERAL)]
    places = table.select("scenario", "metric").unique(maintain_order=True).with_row_index("place")
    return (
        pl.concat([FLIPS.to_frame(), *turns])
        .join(places, on=["scenario", "metric"], how="left", maintain_order="left")
        .sort("place", pl.col("times") * -1, "system", "other", "setting", maintain_order=True)
        .select(FLIPS.names())
    )


def _places(table: pl.DataFrame) -> pl.DataFrame:
    """Metrics in the table's order, systems within each."""
    systems = table.select("system").unique(maintain_order=True).with_row_index("s")
    listed = table.select("scenario", "metric").unique(maintain_order=True).with_row_index("m")
    return (
        table.select(_KEY)
        .unique()
        .join(systems, on="system", nulls_equal=True)
        .join(listed, on=["scenario", "metric"], nulls_equal=True)
        .sort("m", "s")
        .select(*_KEY, place=pl.int_range(pl.len()))
    )


def _varies_alone(table: pl.DataFrame, names: Sequence[str], name: str) -> bool:
    others = [other for other in names if other != name]
    rows = table.select(names).unique()
    if not others:
        return len(rows) > 1
    return bool((rows.group_by(others).len()["len"] > 1).any())


def _pairs(table: pl.DataFrame, names: Sequence[str], metrics: Sequence[Metric]) -> pl.DataFrame:
    """Every two systems under every combination and metric, and which of them is better."""
    down = pl.DataFrame(
        [(m.scenario, m.name, -1 if m.direction == "down" else 1) for m in metrics],
        schema={"scenario": pl.String, "metric": pl.String, "way": pl.Int64},
        orient="row",
    )
    key = ["combination", "scenario", "metric"]
    rows = table.drop_nulls("value")
    both = rows.join(
        rows.select(*key, other="system", rival="value"), on=key, how="inner", maintain_order="left"
    ).filter(pl.col("system") < pl.col("other"))
    return (
        both.join(down, on=["scenario", "metric"], how="left", maintain_order="left")
        .with_columns(
            sign=(pl.col("value") - pl.col("rival")).sign().cast(pl.Int64)
            * pl.col("way").fill_null(1)
        )
        .filter(pl.col("sign") != 0)
        .select(*key, "system", "other", *names, "sign")
    )


def _turns(pairs: pl.DataFrame, others: list[str], along: str, setting: str) -> pl.DataFrame:
    """Where the sign changes as ``along`` grows and the others stay."""
    pair = ["scenario", "metric", "system", "other"]
    stays = [*pair, *others]
    chain = pairs.sort(along, "combination", maintain_order=True).with_columns(
        before=pl.col("sign").shift(1).over(stays),
        low=pl.col(along).shift(1).over(stays),
        origin=pl.col("combination").shift(1).over(stays),
    )
    chains = chain.group_by(pair).agg(of=pl.struct(others).n_unique() if others else pl.lit(1))

    def better(sign: str) -> pl.Expr:
        return pl.when(pl.col(sign) > 0).then("system").otherwise("other")

    return (
        chain.filter(pl.col("sign") != pl.col("before"))
        .group_by([*pair, "low", along, "before", "sign"], maintain_order=True)
        .agg(
            times=pl.len(),
            from_combination=pl.col("origin").first(),
            to_combination=pl.col("combination").first(),
        )
        .join(chains, on=pair, how="left", maintain_order="left")
        .with_columns(
            setting=pl.lit(setting),
            high=pl.col(along),
            before=better("before"),
            after=better("sign"),
        )
        .select(pl.col(name).cast(kind) for name, kind in FLIPS.items())
    )
