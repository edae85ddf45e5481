"""Errors added up by group into one long table.

Shares are taken of sums over recordings, never means of shares. Null is not measured (nothing to
be right or wrong about), never 0.
"""

from typing import Final

import polars as pl

from flexi_score.schema import make_schema

VALIDATION: Final = make_schema(
    {
        "by": pl.String,  # all, or the key of a condition
        "level": pl.String,
        "part": pl.String,  # detection | boundary | event | outcome | metric | aggregate
        "speaker": pl.String,  # user | model | both | none; all: together
        "item": pl.String,  # start, end; kind of event; scenario.metric
        "measure": pl.String,
        "value": pl.Float64,
        "unit": pl.String,
        "n": pl.Int64,  # recordings (detection, metrics), boundaries or events behind the value
        "numerator": pl.Float64,
        "denominator": pl.Float64,
    }
)

#: A boundary counts as right within these.
WITHIN_MS: Final = (5, 15, 25, 100)

_GROUP: Final = ["by", "level"]
_KEY: Final = ("by", "level", "speaker", "item")


def _rows(
    table: pl.DataFrame,
    part: str,
    measure: str,
    unit: str,
    n: str,
    value: pl.Expr,
    numerator: pl.Expr | None = None,
    denominator: pl.Expr | None = None,
) -> pl.DataFrame:
    """One measure of every group, as rows of :data:`VALIDATION`."""
    none = pl.lit(None, pl.Float64)
    return table.select(
        *_KEY,
        part=pl.lit(part),
        measure=pl.lit(measure),
        value=value.cast(pl.Float64),
        unit=pl.lit(unit),
        n=pl.col(n).cast(pl.Int64),
        numerator=(none if numerator is None else numerator).cast(pl.Float64),
        denominator=(none if denominator is None else denominator).cast(pl.Float64),
    ).select(VALIDATION.names())


def _share(
    table: pl.DataFrame, part: str, measure: str, n: str, top: pl.Expr, bottom: pl.Expr
) -> pl.DataFrame:
    percent = pl.when(bottom > 0).then(100 * top / bottom)
    return _rows(table, part, measure, "%", n, percent, top, bottom)


def _with_all(table: pl.DataFrame) -> pl.DataFrame:
    """The rows again, with the speakers together."""
    return pl.concat([table, table.with_columns(speaker=pl.lit("all"))])


def detection_measures(detection: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """False alarm and miss, as shares of true speech and of time.

    ``error`` is their sum. A share of no speech at all is null.
    """
    table = (
        _with_all(detection)
        .join(groups, on="recording")
        .group_by(*_GROUP, "speaker", maintain_order=True)
        .agg(
            pl.col("duration_ms", "truth_ms", "found_ms", "both_ms").sum(),
            n=pl.col("recording").n_unique(),
        )
        .with_columns(item=pl.lit("speech"))
    )
    extra = pl.col("found_ms") - pl.col("both_ms")
    lost = pl.col("truth_ms") - pl.col("both_ms")
    speech, time = pl.col("truth_ms"), pl.col("duration_ms")
    return pl.concat(
        [
            _share(table, "detection", "false_alarm", "n", extra, speech),
            _share(table, "detection", "miss", "n", lost, speech),
            _share(table, "detection", "error", "n", extra + lost, speech),
            _share(table, "detection", "false_alarm_of_time", "n", extra, time),
            _share(table, "detection", "miss_of_time", "n", lost, time),
            _rows(table, "detection", "truth_speech", "s", "n", speech / 1000),
            _rows(table, "detection", "found_speech", "s", "n", pl.col("found_ms") / 1000),
        ]
    )


def boundary_measures(boundaries: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Errors of starts, of ends, and of both together (``any``).

    Median (signed: late is positive), median and 90th percentile of the absolute error are of
    the matched boundaries. Shares within 5, 15, ... ms are of all true boundaries: one that was
    not found is within nothing.
    """
    named = boundaries.rename({"boundary": "item"})
    named = pl.concat([named, named.with_columns(item=pl.lit("any"))])
    error, distance = pl.col("error_ms"), pl.col("error_ms").abs()
    table = (
        _with_all(named)
        .join(groups, on="recording")
        .group_by(*_GROUP, "speaker", "item", maintain_order=True)
        .agg(
            matched=error.count(),
            truth=pl.col("truth_ms").count(),
            found=pl.col("found_ms").count(),
            median=error.median(),
            median_abs=distance.median(),
            p90_abs=distance.quantile(0.9, "linear"),
            **{f"within_{w}": (distance <= w).sum() for w in WITHIN_MS},
        )
    )
    parts = [
        _rows(table, "boundary", name, "ms", "matched", pl.col(name))
        for name in ("median", "median_abs", "p90_abs")
    ]
    parts += [
        _share(table, "boundary", f"within_{w}_ms", "truth", pl.col(f"within_{w}"), pl.col("truth"))
        for w in WITHIN_MS
    ]
    for side, name in (("truth", "unmatched_truth"), ("found", "unmatched_found")):
        alone = pl.col(side) - pl.col("matched")
        parts.append(_share(table, "boundary", name, side, alone, pl.col(side)))
    return pl.concat(parts)


def event_measures(counts: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Precision, recall and F1 of every kind of event, by speaker and together."""
    named = counts.rename({"kind": "item"})
    sided = named.filter(pl.col("speaker").is_in(["user", "model"]))
    together = sided.with_columns(speaker=pl.lit("all"))
    table = (
        pl.concat([named, together])
        .join(groups, on="recording")
        .group_by(*_GROUP, "speaker", "item", maintain_order=True)
        .agg(pl.col("truth", "found", "matched").sum())
        .with_columns(total=pl.col("truth") + pl.col("found"))
    )
    matched = pl.col("matched")
    return pl.concat(
        [
            _share(table, "event", "precision", "found", matched, pl.col("found")),
            _share(table, "event", "recall", "truth", matched, pl.col("truth")),
            _share(table, "event", "f1", "total", 2 * matched, pl.col("total")),
        ]
    )


def outcome_measures(outcomes: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Confusion of the binary metrics.

    ``truth_1_found_0`` counts recordings of which that holds, ``x`` being no value (not applicable
    or unscored). ``agreement`` is the share of the recordings with a value on either side that
    have the same on both.
    """
    binary = outcomes.filter(pl.col("binary")).join(groups, on="recording")
    one = binary.with_columns(item=pl.concat_str("scenario", pl.lit("."), "metric"))
    every = binary.with_columns(item=pl.lit("all"))
    cells = {
        f"truth_{a}_found_{b}": (_is("truth", a) & _is("found", b)).sum()
        for a in "01x"
        for b in "01x"
        if a + b != "xx"
    }
    table = (
        pl.concat([one, every])
        .group_by(*_GROUP, "item", maintain_order=True)
        .agg(
            same=(pl.col("truth") == pl.col("found")).sum(),
            n=(pl.col("truth").is_not_null() | pl.col("found").is_not_null()).sum(),
            **cells,
        )
        .with_columns(speaker=pl.lit("all"))
    )
    parts = [_share(table, "outcome", "agreement", "n", pl.col("same"), pl.col("n"))]
    parts += [_rows(table, "outcome", name, "recordings", "n", pl.col(name)) for name in cells]
    return pl.concat(parts)


def _is(side: str, what: str) -> pl.Expr:
    value = pl.col(side)
    return value.is_null() if what == "x" else (value == float(what)).fill_null(False)


def metric_measures(outcomes: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    """Errors (run minus truth) of the metrics that are numbers, where both have one.

    ``only_truth`` and ``only_run`` count recordings where one of them has none.
    """
    table = outcomes.filter(~pl.col("binary").fill_null(False)).join(groups, on="recording")
    error = pl.col("found") - pl.col("truth")
    has = {side: pl.col(side).is_not_null() for side in ("truth", "found")}
    either = has["truth"] | has["found"]
    table = (
        table.with_columns(item=pl.concat_str("scenario", pl.lit("."), "metric"))
        .group_by(*_GROUP, "item", maintain_order=True)
        .agg(
            pl.col("unit").first(),
            n=error.count(),
            either=either.sum(),
            bias=error.mean(),
            mae=error.abs().mean(),
            p90_abs=error.abs().quantile(0.9, "linear"),
            only_truth=(has["truth"] & ~has["found"]).sum(),
            only_run=(has["found"] & ~has["truth"]).sum(),
        )
        .with_columns(speaker=pl.lit("all"))
    )
    units = table.select("item", "unit").unique("item")
    parts = [
        _rows(table, "metric", name, "", "n", pl.col(name)) for name in ("bias", "mae", "p90_abs")
    ]
    exact = pl.concat(parts).drop("unit").join(units, on="item", how="left", maintain_order="left")
    counts = [
        _rows(table, "metric", name, "recordings", "either", pl.col(name))
        for name in ("only_truth", "only_run")
    ]
    return pl.concat([exact.select(VALIDATION.names()), *counts])


def aggregate_measures(aggregates: pl.DataFrame) -> pl.DataFrame:
    """Every value of the summary: from truth, from the run, and the difference."""
    table = aggregates.with_columns(
        by=pl.lit("system"),
        level=pl.col("system"),
        speaker=pl.lit("all"),
        item=pl.concat_str("scenario", pl.lit("."), "metric"),
        error=pl.col("found") - pl.col("truth"),
    )
    parts = []
    for name, n in (("truth", "n_truth"), ("found", "n_found"), ("error", "n_found")):
        rows = _rows(table, "aggregate", name, "", n, pl.col(name))
        parts.append(rows.with_columns(unit=table["unit"]))
    return pl.concat(parts)
