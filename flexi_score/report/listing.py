"""The page's table of recordings: which are listed, and their columns as JSON.

One list per column, and of the scores one sparse list per metric: a hundred thousand recordings
take some megabytes and no loop over them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.tables import STATUS_TITLES, metric_finder, plain, scenario_title
from flexi_score.report.timeline import KINDS, REFERENCES, WHO, clean, names_in
from flexi_score.report.wording import wording
from flexi_score.schema import HEALTH, SCENARIOS, STATUSES

_VERDICTS: Final = {"fine": 0, "warn": 1, "refuse": 2}


def closest_first(
    scores: pl.DataFrame, recordings: pl.DataFrame, failures: pl.DataFrame
) -> pl.DataFrame:
    """Every recording once, the closest decisions of each system and scenario first.

    Returns ``order`` (place in the run), ``recording, system, scenario, margin`` (seconds to the
    nearest threshold of any of its scores, null where none decided).
    """
    keys = ("recording", "system", "scenario")
    scored = scores.group_by("recording", maintain_order=True).agg(
        pl.col("system", "scenario").first(),
        margin=pl.col("margin_s").cast(pl.Float64).fill_nan(None).abs().min(),
    )
    all_of_them = pl.concat(
        [
            frame.select(pl.col(key).cast(pl.String) for key in keys)
            for frame in (recordings, scored, failures)
        ]
    ).unique("recording", keep="first", maintain_order=True)
    return (
        all_of_them.with_row_index("order")
        .join(
            scored.select("recording", "margin"), on="recording", how="left", maintain_order="left"
        )
        .with_columns(
            turn=pl.col("margin").fill_null(float("inf")).rank("ordinal").over("system", "scenario")
        )
        .sort("turn", "order")
        .drop("turn")
    )


def index_json(
    listed: pl.DataFrame,
    scores: pl.DataFrame,
    recordings: pl.DataFrame,
    failures: pl.DataFrame,
    metrics: Sequence[Metric],
    *,
    health: pl.DataFrame | None = None,
    said: Mapping[str, str] | None = None,
    near_s: float = 0.0,
    total: int = 0,
) -> str:
    """Columns of the table of recordings.

    ``listed``: as :func:`closest_first`; the table shows them by ``order``. ``scores``,
    ``recordings``, ``failures`` and ``health``: of the whole run. ``metrics``: of one profile.
    ``said``: words of a recording, to be searched. ``near_s``: outcomes no further than this from
    their threshold are near. ``total``: recordings of the run.
    """
    rows = listed.sort("order")
    names = rows["recording"]
    positions = pl.DataFrame(
        {"recording": names, "r": range(len(names))}, schema_overrides={"r": pl.Int64}
    )
    listed_scores = scores.join(positions, on="recording", how="inner", maintain_order="left")
    systems = rows["system"].unique(maintain_order=True).to_list()
    scenarios = _ordered(rows["scenario"].unique(maintain_order=True).to_list())
    described, columns = _score_columns(listed_scores, metrics)
    reasons = failures.select("recording", clean("reason")).filter(names_in("recording", names))
    data: dict[str, Any] = {
        "total": total,
        "near": near_s,
        "systems": [plain(system) for system in systems],
        "scenarios": [
            [plain(scenario), scenario_title(scenario), REFERENCES.get(scenario or "", "")]
            for scenario in scenarios
        ],
        "statuses": [[name, STATUS_TITLES[name]] for name in STATUSES],
        "kinds": KINDS,
        "who": WHO,
        "metrics": described,
        "id": rows.select(clean("recording"))["recording"].to_list(),
        "sys": _codes(rows["system"], systems),
        "sce": _codes(rows["scenario"], scenarios),
        "states": _states(listed_scores, positions, failures),
        "margin": rows["margin"].round(4).to_list(),
        "len": _seconds(positions, recordings),
        "health": _health(positions, health),
        "scores": columns,
        "failed": _sparse(positions, reasons, "reason"),
    }
    if said:
        words = pl.DataFrame({"recording": list(said), "said": list(said.values())})
        data["said"] = _sparse(positions, words, "said")
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _ordered(scenarios: list[str | None]) -> list[str | None]:
    """Known scenarios in the paper's order, then others."""
    known: list[str | None] = [name for name in SCENARIOS if name in scenarios]
    return known + [name for name in scenarios if name not in known]


def _codes(column: pl.Series, names: Sequence[str | None]) -> list[int]:
    table = pl.DataFrame(
        {"name": names, "code": range(len(names))}, schema={"name": pl.String, "code": pl.Int64}
    )
    joined = column.to_frame("name").join(
        table, on="name", how="left", maintain_order="left", nulls_equal=True
    )
    return joined["code"].to_list()


def _score_columns(
    scores: pl.DataFrame, metrics: Sequence[Metric]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The metrics, those of the profile first, and where each has values."""
    find = metric_finder(metrics)
    keys = [(m.scenario, m.name) for m in metrics]
    general = {m.name for m in metrics if m.scenario == "conversation"}
    codes = {name: number for number, name in enumerate(STATUSES)}
    grouped = (
        scores.select(
            "scenario",
            "metric",
            "r",
            pl.col("value").cast(pl.Float64).fill_nan(None).round(4),
            pl.col("status").replace_strict(codes, default=len(codes) - 1, return_dtype=pl.Int64),
        )
        .group_by("scenario", "metric", maintain_order=True)
        .agg("r", "value", "status")
    )
    index = {key: k for k, key in enumerate(keys)}
    described = [_described(m) for m in metrics]
    columns: list[dict[str, Any]] = []
    for row in grouped.iter_rows(named=True):
        key = (row["scenario"], row["metric"])
        if key not in index:
            metric = find(*key)
            described.append(
                {
                    "scenario": plain(key[0]),
                    "name": plain(key[1]),
                    "label": plain(key[1]),
                    "words": plain(key[1]),
                    "unit": "",
                    "kind": "mean",
                }
                if metric is None
                else _described(metric) | {"scenario": plain(key[0])}
            )
            index[key] = len(described) - 1
        if key[0] != "conversation" and key[1] in general and (key not in keys):
            continue  # statistics of any dialogue: too many for a row, and in statistics.parquet
        states = row["status"] if any(row["status"]) else 0  # all scored
        columns.append({"m": index[key], "r": row["r"], "v": row["value"], "s": states})
    return described, columns


def _described(metric: Metric) -> dict[str, Any]:
    unit = "" if metric.unit in ("0-5", "0-1") else metric.unit  # a range, not a unit
    words = wording(metric.scenario, metric.name, metric)
    return {
        "scenario": metric.scenario,
        "name": metric.name,
        "label": metric.label,
        "unit": unit,
        "kind": "rating" if metric.unit == "0-5" else metric.aggregate,
        "text": metric.definition,
        "direction": metric.direction,
        "words": words.full,
        "yes": words.yes or "1",
        "no": words.no or "0",
    }


def _states(scores: pl.DataFrame, positions: pl.DataFrame, failures: pl.DataFrame) -> list[int]:
    """Statuses of each recording's scores, one bit each."""
    bits = {name: 1 << number for number, name in enumerate(STATUSES)}
    bit = pl.col("status").replace_strict(bits, default=bits["failed"], return_dtype=pl.Int64)
    states = scores.select("r", bit=bit).group_by("r").agg(pl.col("bit").unique().sum())
    lost = failures.select("recording", lost=pl.lit(True)).unique("recording")
    table = positions.join(states, on="r", how="left", maintain_order="left").join(
        lost, on="recording", how="left", maintain_order="left"
    )
    failed = pl.when(pl.col("lost").fill_null(False)).then(bits["failed"]).otherwise(0)
    # A bit that both have must not carry into the next.
    return table.select(pl.col("bit").fill_null(0).or_(failed))["bit"].to_list()


def _seconds(positions: pl.DataFrame, recordings: pl.DataFrame) -> list[float | None]:
    if "duration_ms" not in recordings.columns:
        return []
    known = recordings.select("recording", s=pl.col("duration_ms") / 1000).unique("recording")
    return positions.join(known, on="recording", how="left", maintain_order="left")["s"].to_list()


def _health(positions: pl.DataFrame, health: pl.DataFrame | None) -> dict[str, int]:
    """Worst verdict of each recording that is not fine."""
    bad = (HEALTH.to_frame() if health is None else health).filter(pl.col("verdict") != "fine")
    rank = pl.col("verdict").replace_strict(_VERDICTS, default=1, return_dtype=pl.Int64)
    worst = bad.select("recording", rank=rank).group_by("recording").agg(pl.col("rank").max())
    return _sparse(positions, worst, "rank")


def _sparse(positions: pl.DataFrame, table: pl.DataFrame, column: str) -> dict[str, Any]:
    """``{place: value}`` of the recordings that have one."""
    known = table.unique("recording", keep="first", maintain_order=True)
    known_rows = positions.join(known, on="recording", how="inner", maintain_order="left")
    return {str(r): value for r, value in known_rows.select("r", column).iter_rows()}
