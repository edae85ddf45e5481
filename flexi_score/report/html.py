"""report.html: one file that opens offline and asks nothing of any network.

Everything that came from outside (ids, transcripts, reasons) is escaped by the template engine,
and a content security policy in the page lets only the page's own script run.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from itertools import groupby
from typing import Any, Final

import jinja2
import polars as pl
from markupsafe import Markup

from flexi_score.config import Settings
from flexi_score.metrics.registry import Metric
from flexi_score.report.tables import (
    FEW,
    SCENARIO_TITLES,
    STATUS_TITLES,
    Column,
    details_table,
    heading,
    metric_finder,
    number,
    paper_tables,
    plain,
    quantile_table,
    scenario_title,
)
from flexi_score.report.timeline import timelines
from flexi_score.report.timing import timing
from flexi_score.schema import STATUSES

#: Decisions closer than this to the threshold that would flip them are pointed out.
CLOSE_S: Final = 0.1


def render_html(
    scores: pl.DataFrame,
    events: pl.DataFrame,
    summary: pl.DataFrame,
    recordings: pl.DataFrame,
    failures: pl.DataFrame,
    run_info: Mapping[str, Any],
    metrics: Sequence[Metric],
    settings: Settings,
    *,
    quantiles: pl.DataFrame | None = None,
    max_timelines: int = 200,
    max_recordings: int = 2000,
) -> str:
    """The page of a run.

    Parameters
    ----------
    scores, events, summary, recordings, failures : polars.DataFrame
        The tables of :mod:`flexi_score.schema`.
    run_info : mapping
        What run.json holds; ``signature``, ``profile`` and ``created`` are shown at the top.
    metrics : sequence of Metric
        Of one profile.
    settings : Settings
    quantiles : polars.DataFrame, optional
        :data:`flexi_score.aggregate.QUANTILES`.
    max_timelines, max_recordings : int
        Recordings drawn, and recordings listed: the closest decisions of each system and scenario
        first. The page says what it leaves out.

    Returns
    -------
    str
    """
    few = settings.summary.few
    listed = closest_first(scores, recordings, failures)
    chosen = listed.head(max_recordings)
    labels = {(m.scenario, m.name): m.label for m in metrics}
    drawn = timelines(events, scores, chosen["recording"].head(max_timelines).to_list(), labels)
    script = _asset("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flexi_score", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["groupby_run"] = _runs
    # Our own files, and no user's text: the only strings that are not escaped.
    return environment.get_template("report.html.j2").render(
        css=Markup(_asset("report.css")),
        script=Markup(script),
        script_hash=digest,
        tables=paper_tables(summary, metrics, few),
        spread=None if quantiles is None else quantile_table(quantiles, metrics, few),
        details=_details(summary, metrics, few),
        statuses=STATUS_TITLES,
        timing=timing(scores, events, recordings),
        recordings=_recordings(chosen, scores, failures, metrics, drawn),
        systems=_distinct(chosen, "system"),
        scenarios=[(s, scenario_title(s)) for s in _distinct(chosen, "scenario")],
        count=len(listed),
        undrawn=len(chosen) - len(drawn),
        max_timelines=max_timelines,
        failures=failures.head(200).to_dicts(),
        failed=len(failures),
        facts=_facts(listed, failures, run_info, settings),
        signature=plain(run_info.get("signature", "")),
        notes=[plain(note) for note in run_info.get("notes", ())],
        run=json.dumps(dict(run_info), indent=2, default=str, ensure_ascii=False),
        glossary=[(scenario_title(m.scenario), heading(m), m) for m in metrics],
        confidence=f"{settings.summary.confidence:.0%}",
        close_s=CLOSE_S,
        few=few,
        few_mark=FEW,
        plain=plain,
    )


def _asset(name: str) -> str:
    return resources.files("flexi_score.report").joinpath(name).read_text("utf-8")


def _runs(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """Groups of neighbouring columns, with how many columns each has."""
    return [(group, len(list(run))) for group, run in groupby(columns, lambda c: c.group)]


def _distinct(frame: pl.DataFrame, column: str) -> list[str]:
    return frame.sort("order")[column].drop_nulls().unique(maintain_order=True).to_list()


def closest_first(
    scores: pl.DataFrame, recordings: pl.DataFrame, failures: pl.DataFrame
) -> pl.DataFrame:
    """Every recording once, the closest decisions of each system and scenario first."""
    keys = ("recording", "system", "scenario")
    all_of_them = pl.concat(
        [frame.select(pl.col(key).cast(pl.String) for key in keys)
         for frame in (recordings, scores, failures)]
    ).unique("recording", keep="first", maintain_order=True)  # fmt: skip
    margins = scores.group_by("recording").agg(
        margin=pl.col("margin_s").cast(pl.Float64).fill_nan(None).abs().min()
    )
    return (
        all_of_them.with_row_index("order")
        .join(margins, on="recording", how="left", maintain_order="left")
        .with_columns(
            turn=pl.col("margin").fill_null(float("inf")).rank("ordinal").over("system", "scenario")
        )
        .sort("turn", "order")
        .drop("turn")
    )


def _recordings(
    chosen: pl.DataFrame,
    scores: pl.DataFrame,
    failures: pl.DataFrame,
    metrics: Sequence[Metric],
    drawn: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """What the page says of each recording, in the run's order."""
    known = metric_finder(metrics)
    wanted = chosen["recording"].implode()
    of_scores: dict[str, list[dict[str, Any]]] = {}
    for row in scores.filter(pl.col("recording").is_in(wanted)).iter_rows(named=True):
        of_scores.setdefault(row["recording"], []).append(row)
    reasons = {row["recording"]: row["reason"] for row in failures.iter_rows(named=True)}
    out = []
    for entry in chosen.sort("order").iter_rows(named=True):
        name = entry["recording"]
        rows = [_line(row, known) for row in of_scores.get(name, [])]
        failure = reasons.get(name)
        states = list(dict.fromkeys(row["status"] for row in rows))
        if failure is not None and "failed" not in states:
            states.append("failed")
        margin = entry["margin"]
        spoken = (plain(t) for t in (name, entry["system"], scenario_title(entry["scenario"])))
        text = [*spoken, *states, *(row["reason"] for row in rows), failure or ""]
        out.append(
            {
                "id": plain(name),
                "system": plain(entry["system"]),
                "scenario": entry["scenario"] or "",
                "title": scenario_title(entry["scenario"]),
                "order": entry["order"],
                "margin": margin,
                "close": margin is not None and margin < CLOSE_S,
                "states": states,
                "rules": _rules(rows),
                "scores": rows,
                "failure": None if failure is None else plain(failure),
                "text": " ".join(text).casefold(),
                "timeline": drawn.get(name),
            }
        )
    return out


def _line(row: dict[str, Any], known: Callable[[str, str], Metric | None]) -> dict[str, Any]:
    metric = known(row["scenario"], row["metric"])
    unit = "" if metric is None else metric.unit
    unit = "" if unit in ("0-5", "0-1") else unit  # a range, not a unit
    value = number(row["value"], metric)
    if metric is not None and metric.aggregate == "rate" and row["value"] in (0.0, 1.0):
        value = f"{row['value']:.0f}"
    return {
        "label": metric.label if metric is not None else plain(row["metric"]),
        "name": plain(row["metric"]),
        "value": value,
        "unit": unit if row["value"] is not None else "",
        "status": row["status"] if row["status"] in STATUSES else "failed",
        "reason": "" if row["reason"] is None else plain(row["reason"]),
        "margin": row["margin_s"],
        "source": row["source"] or "",
    }


def _rules(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each distinct reason once, with the metrics that it decided."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        if row["reason"]:
            labels.setdefault(row["reason"], []).append(row["label"])
    return [(", ".join(names), reason) for reason, names in labels.items()]


def _details(
    summary: pl.DataFrame, metrics: Sequence[Metric], few: int
) -> dict[str, list[dict[str, Any]]]:
    """The summary's rows by system, each with its cells and where its interval is drawn."""
    known = metric_finder(metrics)
    tops = {
        (row["scenario"], row["metric"]): row
        for row in summary.group_by("scenario", "metric")
        .agg(
            low=pl.min_horizontal("value", "ci_low").min(),
            high=pl.max_horizontal("value", "ci_high").max(),
        )
        .iter_rows(named=True)
    }
    cells = details_table(summary, metrics, few).rows
    out: dict[str, list[dict[str, Any]]] = {}
    before = None
    for row, shown in zip(summary.iter_rows(named=True), cells, strict=True):
        metric = known(row["scenario"], row["metric"])
        extent = tops[row["scenario"], row["metric"]]
        low, high = _domain(metric, extent["low"], extent["high"])
        key = (row["system"], row["scenario"])

        def at(value: float | None, low: float = low, high: float = high) -> float | None:
            return None if value is None else round(100 * (value - low) / (high - low), 2)

        out.setdefault(plain(row["system"]), []).append(
            {
                "scenario": shown[1] if key != before else "",
                "heading": heading(metric) if metric is not None else shown[2],
                "name": shown[2],
                "value": shown[3],
                "interval": shown[4],
                "fraction": shown[5],
                "counts": [(status, row[status]) for status in STATUSES],
                "at": None
                if metric is not None and metric.aggregate == "sum"
                else at(row["value"]),
                "from": at(row["ci_low"]),
                "to": at(row["ci_high"]),
                "zero": at(0.0) if low < 0 < high else None,
            }
        )
        before = key
    return out


def _domain(metric: Metric | None, low: float | None, high: float | None) -> tuple[float, float]:
    """Axis of a metric's intervals, common to all systems."""
    if metric is not None and metric.aggregate == "rate":
        return 0.0, 1.0
    if metric is not None and metric.unit == "0-5":
        return 0.0, 5.0
    bottom, top = min(0.0, low or 0.0), max(0.0, high or 0.0)
    return (bottom, top) if top > bottom else (0.0, 1.0)


def _facts(
    listed: pl.DataFrame, failures: pl.DataFrame, run_info: Mapping[str, Any], settings: Settings
) -> list[tuple[str, str]]:
    """The few facts at the top of the page."""
    systems = [plain(s) for s in _distinct(listed, "system")]
    scenarios = [s for s in _distinct(listed, "scenario") if s in SCENARIO_TITLES]
    facts = [
        ("recordings", f"{len(listed):,}"),
        ("systems" if len(systems) != 1 else "system",
         f"{len(systems)}" if len(systems) != 1 else systems[0]),
        ("scenarios" if len(scenarios) != 1 else "scenario", f"{len(scenarios)}"
         if len(scenarios) != 1 else SCENARIO_TITLES[scenarios[0]]),
        ("failed", f"{failures['recording'].n_unique():,}"),
        ("profile", plain(run_info.get("profile", settings.profile))),
    ]  # fmt: skip
    if run_info.get("estimated"):
        facts.append(("estimated roles", f"{run_info['estimated']:,}"))
    if run_info.get("created"):
        facts.append(("made on", plain(run_info["created"])[:16].replace("T", " ")))
    return facts
