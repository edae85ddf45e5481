"""How the recordings were captured, for a reader: troubles by check, or recording by recording."""

import polars as pl

from flexi_score.report.tables import DASH, Column, Table, plain

_WORST_FIRST = {"refuse": 0, "warn": 1, "fine": 2}
_SHOWN = 3


def health_table(health: pl.DataFrame) -> Table:
    """Every check that warns or refuses: how many recordings, the worst number, what to do.

    ``health``: :data:`flexi_score.schema.HEALTH`. Returns without rows where all is fine. It is as
    long as there are kinds of trouble, however many recordings there are.
    """
    bad = _ranked(health.filter(pl.col("verdict") != "fine"))
    low = pl.col("value").first() < pl.col("threshold").first()
    groups = bad.group_by("rank", "verdict", "check", "channel", maintain_order=True).agg(
        pl.col("unit", "threshold", "remedy").first(),
        n=pl.col("recording").n_unique(),
        names=pl.col("recording").unique(maintain_order=True).head(_SHOWN),
        worst=pl.when(low).then(pl.col("value").min()).otherwise(pl.col("value").max()),
    )
    columns = (
        Column("Verdict", numeric=False),
        Column("Check", numeric=False),
        Column("Recordings"),
        Column("Worst"),
        Column("Limit"),
        Column("Which", numeric=False),
    )
    body = []
    for row in groups.sort("rank", maintain_order=True).iter_rows(named=True):
        names = ", ".join(plain(name) for name in row["names"])
        more = f" and {row['n'] - _SHOWN} more" if row["n"] > _SHOWN else ""
        body.append(
            (
                plain(row["verdict"]),
                _title(row["check"], row["channel"]),
                str(row["n"]),
                amount(row["worst"], row["unit"]),
                amount(row["threshold"], row["unit"]),
                names + more,
            )
        )
    return Table("Health of the recordings", columns, tuple(body), _remedies(bad))


def recordings_table(health: pl.DataFrame, most: int = 200) -> Table:
    """Every recording, problems first: its verdict, and what stands behind it."""
    ranked = _ranked(health)
    by_recording = (
        ranked.group_by("recording", maintain_order=True)
        .agg(
            rank=pl.col("rank").min(),
            verdict=pl.col("verdict").get(pl.col("rank").arg_min()),
            checks=pl.len(),
            detail=pl.struct(
                "verdict", "check", "channel", "value", "unit", "threshold", "detail"
            ).filter(pl.col("verdict") != "fine"),
        )
        .sort("rank", maintain_order=True)
    )
    columns = (
        Column("Recording", numeric=False),
        Column("Verdict", numeric=False),
        Column("Check", numeric=False),
        Column("Value"),
        Column("Limit"),
        Column("Evidence", numeric=False),
    )
    body: list[tuple[str, ...]] = []
    for row in by_recording.head(most).iter_rows(named=True):
        name = plain(row["recording"])
        if not row["detail"]:
            body.append((name, row["verdict"], f"all {row['checks']}", DASH, DASH, ""))
        for k, item in enumerate(row["detail"]):
            body.append(
                (
                    name if k == 0 else "",
                    item["verdict"],
                    _title(item["check"], item["channel"]),
                    amount(item["value"], item["unit"]),
                    amount(item["threshold"], item["unit"]),
                    plain(item["detail"]),
                )
            )
    left = len(by_recording) - most
    notes = (f"… and {left} more recordings, none of them worse",) if left > 0 else ()
    bad = ranked.filter(pl.col("verdict") != "fine")
    return Table("Health of the recordings", columns, tuple(body), (*notes, *_remedies(bad)))


def _remedies(bad: pl.DataFrame) -> tuple[str, ...]:
    """What to do, once for each check."""
    each = bad.unique("check", keep="first", maintain_order=True).sort("rank", maintain_order=True)
    return tuple(
        f"{_title(row['check'])}: {plain(row['remedy'])}." for row in each.iter_rows(named=True)
    )


def count_verdicts(health: pl.DataFrame) -> dict[str, int]:
    """Recordings by their worst verdict: ``fine``, ``warn``, ``refuse``."""
    worst = _ranked(health).group_by("recording").agg(pl.col("rank").min())["rank"]
    return {name: int((worst == rank).sum()) for name, rank in _WORST_FIRST.items()}


def amount(value: float | None, unit: str) -> str:
    """A number with its unit; shares as percentages."""
    if value is None:
        return DASH
    if unit == "share":
        return f"{value * 100:.3g} %"
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()


def _ranked(health: pl.DataFrame) -> pl.DataFrame:
    return health.with_columns(
        rank=pl.col("verdict").replace_strict(_WORST_FIRST, return_dtype=pl.Int64)
    )


def _title(check: str, channel: str | None = None) -> str:
    name = plain(check).replace("_", " ")
    return name if channel is None else f"{name} ({channel})"
