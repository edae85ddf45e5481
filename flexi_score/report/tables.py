"""The tables of a report as plain text cells, for terminal, Markdown and HTML alike.

Cells are what a reader sees, not yet escaped for any of the three. ``–`` stands for null:
nothing was scored. ``†`` marks a number that rests on few recordings.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import polars as pl

from flexi_score.aggregate import UNSCORABLE
from flexi_score.metrics.conversation import HUMAN_REFERENCE
from flexi_score.metrics.registry import Metric
from flexi_score.schema import STATUSES

DASH: Final = "–"
FEW: Final = "†"
ARROWS: Final = {"up": "↑", "down": "↓", "none": ""}

SCENARIO_TITLES: Final = {
    "turn_taking": "Turn-taking",
    "pause_handling": "Pause handling",
    "user_interrupt": "User interrupt",
    "model_interrupt": "Model interrupt",
    "user_backchannel": "User backchannel",
    "model_backchannel": "Model backchannel",
    "conversation": "Conversation",
}

STATUS_TITLES: Final = {
    "scored": "scored",
    "silent": "silent",
    "not_applicable": "n/a",
    "excluded": "excluded",
    "failed": "failed",
}

#: Tables 2 to 4 of the FLEXI paper. Names that a profile does not have are left out: profile
#: paper has stop_latency where profile release has latency.
PAPER_TABLES: Final = (
    (
        "Turn-taking and pause handling",
        (("turn_taking", ("tor", "latency", "jir")), ("pause_handling", ("tor",))),
    ),
    (
        "User and model interrupt",
        (
            ("user_interrupt", ("ttr", "stop_latency", "latency", "tss")),
            ("model_interrupt", ("tor", "eds")),
        ),
    ),
    (
        "User and model backchannel",
        (("user_backchannel", ("ttr", "coherence")), ("model_backchannel", ("tor", "bcr", "jsd"))),
    ),
)

#: Control characters, and those that reorder text around them.
_QUANTILE: Final = re.compile(r"\.p[0-9.]+$")
UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Column:
    """Heading of a column; columns of one ``group`` stand under a common heading."""

    label: str
    group: str = ""
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """A table of text cells, each row as long as ``columns``."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def plain(text: object) -> str:
    """One line of text that cannot steer a terminal or reorder its neighbours."""
    return DASH if text is None else UNSEEN.sub(" ", str(text)).strip() or DASH


def counted(number: int, noun: str) -> str:
    """``1 recording``, ``2 recordings``.

    Examples
    --------
    >>> counted(1, "recording"), counted(1200, "recording")
    ('1 recording', '1 200 recordings')
    """
    return f"{number:,}".replace(",", " ") + f" {noun}" + ("" if number == 1 else "s")


def heading(metric: Metric) -> str:
    """Label, unit and direction of a metric: ``Latency (s, ↓)``."""
    marks = ", ".join(mark for mark in (metric.unit, ARROWS[metric.direction]) if mark)
    return f"{metric.label} ({marks})" if marks else metric.label


def metric_finder(metrics: Sequence[Metric]) -> Callable[[str, str], Metric | None]:
    """Function from scenario and metric to what is known of it.

    A metric of ``conversation`` may be scored in any scenario; a name such as ``latency.p90`` is a
    quantile of its metric, which is then a mean.
    """
    known = {(m.scenario, m.name): m for m in metrics}

    def find(scenario: str, name: str) -> Metric | None:
        metric = known.get((scenario, name)) or known.get(("conversation", name))
        if metric is None and _QUANTILE.search(name):
            base, _, quantile = name.rpartition(".p")
            metric = find(scenario, base)
            if metric is not None:
                label = f"{metric.label} p{quantile}"
                metric = replace(metric, name=name, label=label, aggregate="mean")
        return metric

    return find


def number(value: float | None, metric: Metric | None) -> str:
    """A value with the digits its metric deserves."""
    if value is None or value != value:
        return DASH
    if metric is not None and metric.aggregate == "sum":
        return f"{value:.0f}" if value == round(value) else f"{value:g}"
    digits = 2 if metric is not None and metric.unit == "0-5" else 3
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def comparison_cells(
    row: dict[str, Any], metric: Metric | None, gap: str = " "
) -> tuple[str, str, str, str, str]:
    """A row of a comparison: both values, effect and interval (``gap`` between), p, n.

    Counts are compared a recording, so that their means are not whole numbers.
    """
    shown = None if metric is not None and metric.aggregate == "sum" else metric
    effect = DASH if row["effect"] is None else f"{row['effect']:+.3f}"
    p = row["p_holm"]
    return (
        number(row["value_baseline"], shown),
        number(row["value_candidate"], shown),
        f"{effect}{gap}{interval(row, None)}".removesuffix(f"{gap}{DASH}"),
        DASH if p is None else f"{p:.4f}" if p >= 0.0001 else "<0.0001",
        str(row["n_pairs"])
        if row["test"] == "paired"
        else f"{row['n_baseline']} + {row['n_candidate']}",
    )


def paper_tables(summary: pl.DataFrame, metrics: Sequence[Metric], few: int = 10) -> list[Table]:
    """Tables 2 to 4 of the paper, systems as rows, and one of what the paper does not show.

    ``summary``: :data:`flexi_score.schema.SUMMARY`. ``metrics``: of one profile. ``few``: values on
    fewer recordings are marked. Returns without the tables none of whose scenarios was run.
    """
    rows = rows_by_key(summary)
    systems = systems_of(summary)
    present = set(summary["scenario"].to_list())
    known = {(m.scenario, m.name): m for m in metrics}
    tables: list[Table] = []
    shown: set[tuple[str, str]] = set()
    for title, groups in PAPER_TABLES:
        keys = [(s, name) for s, names in groups for name in names if (s, name) in known]
        shown.update(keys)
        if not keys or not present & {scenario for scenario, _ in groups}:
            continue
        columns = [Column("System", numeric=False)]
        columns += [Column(heading(known[key]), SCENARIO_TITLES[key[0]]) for key in keys]
        body = tuple(
            (plain(system), *(_cell(rows.get((system, *key)), known[key], few) for key in keys))
            for system in systems
        )
        tables.append(Table(title, tuple(columns), body, _few_note(body, few)))
    more = [_beside_humans(rows, systems, known, few)]
    more.append(_further(summary, rows, systems, metrics, shown, few))
    return tables + [table for table in more if table.rows]


def details_table(summary: pl.DataFrame, metrics: Sequence[Metric], few: int = 10) -> Table:
    """Every row of the summary: value, interval, numerator and denominator, counts by status."""
    known = metric_finder(metrics)
    columns = (
        Column("System", numeric=False),
        Column("Scenario", numeric=False),
        Column("Metric", numeric=False),
        Column("Value"),
        Column("Interval"),
        Column("Sum / n"),
        Column("Near"),
        *(Column(STATUS_TITLES[status], "Recordings") for status in STATUSES),
    )
    body = tuple(
        (
            plain(row["system"]),
            scenario_title(row["scenario"]),
            plain(row["metric"]),
            _cell(row, known(row["scenario"], row["metric"]), few),
            interval(row, known(row["scenario"], row["metric"])),
            fraction(row, known(row["scenario"], row["metric"])),
            near(row),
            *(str(row[status]) for status in STATUSES),
        )
        for row in summary.iter_rows(named=True)
    )
    return Table("Intervals and counts", columns, body, _few_note(body, few))


def quantile_table(quantiles: pl.DataFrame, metrics: Sequence[Metric], few: int = 10) -> Table:
    """Quantiles of the metrics in seconds, from :func:`flexi_score.aggregate.quantiles`."""
    known = metric_finder(metrics)
    qs = quantiles["q"].unique().sort().to_list()
    columns = [Column(name, numeric=False) for name in ("System", "Scenario", "Metric")]
    columns += [Column("n"), *(Column(f"p{q * 100:g}") for q in qs)]
    by_row: dict[tuple[str, str, str], list[str]] = {}
    for row in quantiles.iter_rows(named=True):
        metric = known(row["scenario"], row["metric"])
        if metric is not None and metric.unit == "s" and row["n"]:
            key = (plain(row["system"]), scenario_title(row["scenario"]), plain(row["metric"]))
            cell = f"{_cell(row, metric, few)} {interval(row, metric)}".removesuffix(f" {DASH}")
            by_row.setdefault(key, [str(row["n"])]).append(cell)
    body = tuple((*key, *cells) for key, cells in by_row.items())
    return Table("Quantiles (s)", tuple(columns), body, _few_note(body, few))


def scenario_title(scenario: str | None) -> str:
    """Scenario as a reader is shown it; an unknown one as it is."""
    return SCENARIO_TITLES.get(scenario or "", plain(scenario))


def interval(row: dict[str, Any], metric: Metric | None) -> str:
    """``[low, high]`` of a summary row, or a dash."""
    if row["ci_low"] is None or row["ci_high"] is None:
        return DASH
    return f"[{number(row['ci_low'], metric)}, {number(row['ci_high'], metric)}]"


def fraction(row: dict[str, Any], metric: Metric | None) -> str:
    """``numerator / denominator`` of a summary row; a dash for what there is not."""
    kind = "mean" if metric is None else metric.aggregate
    top, bottom = row["numerator"], row["denominator"]
    if not row["n"]:
        return f"{DASH} / 0"
    above = f"{top:.0f}" if kind in ("rate", "sum") and top is not None else number(top, metric)
    return f"{above} / {bottom:.1f}" if kind == "ratio" else f"{above} / {bottom:.0f}"


def near(row: dict[str, Any]) -> str:
    """Outcomes of a summary row within the measurement error; a dash where no threshold decides."""
    count = row.get("within_error")
    return DASH if count is None else str(count)


def interval_note(summary: pl.DataFrame, metrics: Sequence[Metric], confidence: float) -> str:
    """How the intervals of a summary are made, for what is in it.

    ``summary``: :data:`flexi_score.schema.SUMMARY`. ``metrics``: of one profile.
    """
    find = metric_finder(metrics)
    known = [find(*key) for key in summary.select("scenario", "metric").unique().iter_rows()]
    kinds = {metric.aggregate for metric in known if metric is not None}
    how = {
        "rate": "Wilson for rates",
        "mean": "bootstrap (BCa) for means",
        "ratio": "bootstrap over whole recordings for totals over totals and quantiles of events",
    }
    return f"{confidence:.0%} intervals: {', '.join(t for k, t in how.items() if k in kinds)}."


def near_note(boundary_error_s: float) -> str:
    """What the column of :func:`near` counts."""
    return (
        f"Near: outcomes that would flip if a boundary were off by {boundary_error_s * 1000:g} ms "
        "or less, the error with which boundaries are measured (summary.boundary_error_s; "
        "summary.crosstalk_error_s where the health check crosstalk_left warns)."
    )


def _beside_humans(
    rows: dict[tuple[str, str, str], dict[str, Any]],
    systems: list[str],
    known: dict[tuple[str, str], Metric],
    few: int,
) -> Table:
    """Conversations beside what people do, where that is known, and who found it."""
    columns = [Column("Metric", numeric=False), *(Column(plain(system)) for system in systems)]
    columns += [Column("Human"), Column("Source", numeric=False)]
    body = []
    for name, band in HUMAN_REFERENCE.items():
        summaries = [rows.get((system, "conversation", name)) for system in systems]
        if not any(summaries):
            continue
        metric = known[("conversation", name)]
        human = f"{band.low:g}" if band.low == band.high else f"{band.low:g} to {band.high:g}"
        cells = [_cell(row, metric, few) for row in summaries]
        body.append((heading(metric), *cells, human, band.source))
    title = "Conversation, beside human conversation"
    return Table(title, tuple(columns), tuple(body), _few_note(tuple(body), few))


def _further(
    summary: pl.DataFrame,
    rows: dict[tuple[str, str, str], dict[str, Any]],
    systems: list[str],
    metrics: Sequence[Metric],
    shown: set[tuple[str, str]],
    few: int,
) -> Table:
    """Metrics as rows: there may be many of them."""
    known = metric_finder(metrics)
    keys = summary.select("scenario", "metric").unique(maintain_order=True).rows()
    keys = [key for key in keys if key not in shown and key[1] != UNSCORABLE]
    columns = [Column("Scenario", numeric=False), Column("Metric", numeric=False)]
    columns += [Column(plain(system)) for system in systems]
    body = []
    for scenario, name in keys:
        metric = known(scenario, name)
        cells = (_cell(rows.get((system, scenario, name)), metric, few) for system in systems)
        label = heading(metric) if metric is not None else plain(name)
        body.append((scenario_title(scenario), label, *cells))
    return Table("Further measures", tuple(columns), tuple(body), _few_note(tuple(body), few))


def _cell(row: dict[str, Any] | None, metric: Metric | None, few: int) -> str:
    if row is None or row["value"] is None:
        return DASH
    return number(row["value"], metric) + (FEW if row["n"] < few else "")


def _few_note(body: Sequence[tuple[str, ...]], few: int) -> tuple[str, ...]:
    marked = any(FEW in cell for row in body for cell in row[1:])
    return (f"{FEW} on fewer than {few} recordings",) if marked else ()


def rows_by_key(summary: pl.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Rows of a summary by system, scenario and metric."""
    rows = summary.iter_rows(named=True)
    return {(row["system"], row["scenario"], row["metric"]): row for row in rows}


def systems_of(summary: pl.DataFrame) -> list[str]:
    """Systems in the order of the summary; a system's number gives its look in every plot."""
    return summary["system"].drop_nulls().unique(maintain_order=True).to_list()
