"""The summary of a run on a terminal."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from flexi_score.aggregate.plan import POWER
from flexi_score.metrics.registry import Metric
from flexi_score.report.health import health_table
from flexi_score.report.tables import (
    DASH,
    FEW,
    STATUS_TITLES,
    Table,
    comparison_cells,
    counted,
    fraction,
    interval,
    metric_finder,
    near_note,
    number,
    paper_tables,
    plain,
    scenario_title,
)
from flexi_score.schema import STATUSES

#: A comparison is set closer on a terminal that is not this wide.
_COMPARISON_WIDTH = 100
#: Names up to this long are not broken over lines while other columns can be.
_WHOLE = 40
#: A column of sentences needs this much room.
_SENTENCE = 36
_VERDICTS = {"better": "green", "worse": "red", "differs": "yellow", "undecided": "dim"}


def print_summary(
    console: Console,
    summary: pl.DataFrame,
    metrics: Sequence[Metric],
    failures: pl.DataFrame,
    signature: str = "",
    *,
    few: int = 10,
    max_failures: int = 10,
    notes: Sequence[str] = (),
    health: pl.DataFrame | None = None,
    boundary_error_s: float | None = None,
) -> None:
    """Print the paper's tables, intervals and counts by status, failures and the signature.

    ``console``: where to; without a terminal rich prints no colours. ``summary`` and ``failures``:
    :data:`flexi_score.schema.SUMMARY` and :data:`flexi_score.schema.FAILURES`. ``metrics``: of one
    profile. ``few``: values on fewer recordings are marked. ``max_failures``: failures listed; the
    rest are counted. ``notes``: sentences on the run as a whole, printed before its tables.
    ``health``: :data:`flexi_score.schema.HEALTH`; nothing is printed where all is fine.
    ``boundary_error_s``: what stands behind the column ``within_error``.
    """
    for note in notes:
        console.print(Text(plain(note), style="yellow"))
    if summary.is_empty():
        console.print(Text("No metric was scored.", style="bold"))
    for table in paper_tables(summary, metrics, few):
        console.print(rich_table(table, console.width))
        for note in table.notes:
            console.print(Text(note, style="dim"))
        console.print()
    if len(summary):
        console.print(_details(summary, metrics, few))
        if (
            boundary_error_s is not None
            and "within_error" in summary.columns
            and (summary["within_error"].fill_null(0).sum())
        ):
            console.print(Text(near_note(boundary_error_s), style="dim"))
        console.print()
    if health is not None:
        print_table(console, health_table(health))
    _print_failures(console, failures, max_failures)
    if signature:
        console.print(Text(plain(signature), style="dim"), soft_wrap=True)


def print_table(console: Console, table: Table) -> None:
    """Print a table with its notes; nothing where it has no rows."""
    if not table.rows:
        return
    table, sentences = _with_sentences_below(table, console.width)
    console.print(rich_table(table, console.width))
    for line in sentences:
        console.print(Text(line))
    for note in table.notes:
        console.print(Text(note, style="dim"))
    console.print()


def print_plan(
    console: Console, plan: pl.DataFrame, metrics: Sequence[Metric], confidence: float
) -> None:
    """Print how many recordings a comparison needs (:data:`flexi_score.aggregate.PLAN`)."""
    known = metric_finder(metrics)
    for (a, b), rows in plan.group_by("baseline", "candidate", maintain_order=True):
        title = f"How many recordings: {plain(b)} against {plain(a)}"
        table = RichTable(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
        for name in ("Metric", "Now", "Finds", "Difference", "Needs"):
            table.add_column(name, justify="left" if name == "Metric" else "right", overflow="fold")
        for row in rows.iter_rows(named=True):
            metric = known(row["scenario"], row["metric"])
            sides = "" if row["test"] == "paired" else " a side"
            table.add_row(
                Text(f"{plain(row['scenario'])}.{plain(row['metric'])}"),
                f"{row['n']}{sides}",
                number(row["detectable"], metric),
                number(row["difference"], metric) + (" asked" if row["asked"] else ""),
                DASH if row["needed"] is None else f"{row['needed']}{sides}",
            )
        console.print(table)
    console.print(
        Text(
            f"Finds: the smallest difference that these find with power {POWER:.0%}, two-sided, "
            f"level {1 - confidence:.2g}. Needs: for the difference beside it, observed where none "
            "was asked for (--detect). For one metric, named before the data.",
            style="dim",
        )
    )


def print_comparison(
    console: Console, comparison: pl.DataFrame, metrics: Sequence[Metric], confidence: float = 0.95
) -> None:
    """Print a comparison, one table for each pair of sides.

    ``comparison``: :data:`flexi_score.aggregate.COMPARISON`. ``confidence``: of the intervals.
    """
    if comparison.is_empty():
        console.print(
            "Nothing to compare: the two sides share no scenario and metric with values. "
            "Compare runs of the same scenarios, or the systems of one run.",
            style="bold",
        )
        return
    known = metric_finder(metrics)
    narrow = console.width < _COMPARISON_WIDTH
    gap = "\n" if narrow else " "
    values = ("Base", "Cand.") if narrow else ("Baseline", "Candidate")
    for (a, b), rows in comparison.group_by("baseline", "candidate", maintain_order=True):
        console.print(Text(f"{plain(b)} against {plain(a)}", style="bold"), soft_wrap=True)
        console.print(Text(comparison_headline(rows, known)))
        flat = is_flat(rows)
        part = rows.filter(~flat)
        if flat.any() and not flat.all():
            none = pl.col("value_baseline").is_null()
            for title, which in (("Equal on both sides", ~none), ("No value on either side", none)):
                same = rows.filter(flat & which).select("scenario", "metric").rows()
                if names := ", ".join(f"{s}.{m}" for s, m in same):
                    console.print(Text(f"{title}: {plain(names)}", style="dim"))
        if part.is_empty():
            console.print()
            continue
        table = RichTable(
            box=box.SIMPLE_HEAD,
            title_justify="left",
            pad_edge=False,
            padding=(0, 0, 0, 1) if narrow else (0, 1),
        )
        table.add_column("Metric", overflow="fold", no_wrap=True)
        effect_title = f"Effect, {confidence:.0%}"
        for name in (*values, effect_title, "p" if narrow else "p (Holm)", "n"):
            table.add_column(name, justify="right", overflow="fold")
        table.add_column("Verdict", overflow="fold")
        before = None
        for row in part.iter_rows(named=True):
            cells = comparison_cells(row, known(row["scenario"], row["metric"]), gap)
            if row["scenario"] != before:
                table.add_section()
                table.add_row(Text(scenario_title(row["scenario"]), style="bold"))
            before = row["scenario"]
            table.add_row(
                Text(plain(row["metric"])),
                *map(Text, cells),
                Text(row["verdict"], style=_VERDICTS.get(row["verdict"], "")),
            )
        console.print(table)
        holm = "p: after Holm. " if narrow else ""
        by = ", ".join(part["paired_by"].drop_nulls().unique(maintain_order=True))
        paired = f"n: pairs (by {plain(by)}). " if by else ""
        loose = "n + n: not paired. " if (part["test"] == "unpaired").any() else ""
        console.print(
            Text(
                f"{holm}{paired}{loose}Effect: candidate minus baseline, a recording.", style="dim"
            )
        )
        console.print()


def is_flat(comparison: pl.DataFrame) -> pl.Series:
    """Whether each row's two sides have the same values, or none."""
    columns = ("value_baseline", "value_candidate", "effect", "ci_low", "ci_high")
    a, b, effect, low, high = (pl.col(name).fill_null(0.0) for name in columns)
    lost = pl.col("value_baseline").is_null() != pl.col("value_candidate").is_null()
    return comparison.select(
        flat=(a == b) & (effect == 0) & (low == 0) & (high == 0) & ~lost
    ).to_series()


def comparison_headline(
    comparison: pl.DataFrame, known: Callable[[str, str], Metric | None]
) -> str:
    """What came out of one pair of sides: what is better, worse and different, or nothing.

    Examples
    --------
    >>> row = {"scenario": "turn_taking", "metric": "latency", "verdict": "worse", "effect": 0.2}
    >>> comparison_headline(pl.DataFrame([row]), metric_finder([]))
    'Worse: turn_taking.latency (+0.2).'
    """
    changes = []
    for verdict in ("better", "worse", "differs"):
        rows = comparison.filter(pl.col("verdict") == verdict).iter_rows(named=True)
        named = []
        for row in rows:
            metric = known(row["scenario"], row["metric"])
            unit = f" {metric.unit}" if metric is not None and metric.unit else ""
            named.append(f"{row['scenario']}.{row['metric']} ({row['effect']:+.3g}{unit})")
        if named:
            changes.append(f"{verdict.capitalize()}: {', '.join(named)}")
    if changes:
        return plain(". ".join(changes)) + "."
    number = int((~is_flat(comparison)).sum()) if "value_baseline" in comparison.columns else 0
    if not number:
        return f"Nothing changed: {counted(len(comparison), 'metric')}, every value equal."
    verb = "differs" if number == 1 else "differ"
    return f"No difference is sure; {counted(number, 'metric')} {verb} within the intervals."


def rich_table(table: Table, width: int = 80) -> RichTable:
    """A table for a terminal of this width: closer together where it would not fit otherwise."""
    heads = _headings(table, split=False)
    if _width(heads, table.rows, between=3) > width:
        heads = _headings(table, split=True)
        between = 2
    else:
        between = 3
    shown = RichTable(
        title=Text(table.title, style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
        padding=(0, 1) if between == 3 else (0, 0, 0, 1),
    )
    tall = max((len(lines) for lines in heads), default=0)
    for column_number, (column, lines) in enumerate(zip(table.columns, heads, strict=True)):
        longest = max(map(cell_len, [*lines, *(row[column_number] for row in table.rows)]))
        shown.add_column(
            Text("\n".join([""] * (tall - len(lines)) + lines)),
            justify="right" if column.numeric else "left",
            overflow="fold",
            # Names are for looking up and copying: other columns give way first.
            no_wrap=column_number == 0
            and not column.numeric
            and longest <= min(_WHOLE, width // 2),
        )
    for row in table.rows:
        shown.add_row(*(Text(cell) for cell in row))
    return shown


def _with_sentences_below(table: Table, width: int) -> tuple[Table, list[str]]:
    """Without the last column, if it holds sentences for which there is no room; they follow."""
    heads = _headings(table, split=True)
    longest = max(cell_len(row[-1]) for row in table.rows)
    rest = _width(heads[:-1], [row[:-1] for row in table.rows], between=2)
    if table.columns[-1].numeric or longest < _SENTENCE or rest + _SENTENCE <= width:
        return table, []
    names, lines = "", []
    for row in table.rows:
        names = row[0] or names
        said = [
            names,
            *(
                cell
                for cell, column in zip(row[1:-1], table.columns[1:-1], strict=True)
                if not column.numeric
            ),
        ]
        if row[-1]:
            lines.append(f"{', '.join(cell for cell in said if cell)}: {row[-1]}")
    cut = replace(table, columns=table.columns[:-1], rows=tuple(row[:-1] for row in table.rows))
    return cut, lines


def _headings(table: Table, *, split: bool) -> list[list[str]]:
    """Lines of each heading, the group's name above its first column; units on their own line."""
    heads, group = [], ""
    for column in table.columns:
        label, _, unit = column.label.partition(" (")
        lines = [label, f"({unit}"] if split and unit else [column.label]
        if column.group and column.group != group:
            lines = [column.group] + [""] * (split and not unit) + lines
        group = column.group
        heads.append(lines)
    return heads


def _width(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], between: int) -> int:
    widths = [
        max(map(cell_len, [*lines, *(row[column] for row in rows)]))
        for column, lines in enumerate(heads)
    ]
    return sum(widths) + between * (len(widths) - 1) + 2


def _details(summary: pl.DataFrame, metrics: Sequence[Metric], few: int) -> RichTable:
    """Value, interval, fraction, and the recordings that were not simply scored."""
    known = metric_finder(metrics)
    several = summary["system"].n_unique() > 1
    table = RichTable(
        title=Text("Intervals and counts", style="bold"),
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    # Names are for looking up and copying; the intervals give way first.
    table.add_column("Metric", no_wrap=True)
    for name in ("Value", "Interval", "Sum / n"):
        table.add_column(name, justify="right", overflow="fold")
    table.add_column("Recordings", overflow="fold")
    for (system,), of_system in summary.group_by("system", maintain_order=True):
        if several:
            table.add_section()
            table.add_row(Text(plain(system), style="bold underline"))
        before = None
        for row in of_system.iter_rows(named=True):
            metric = known(row["scenario"], row["metric"])
            mark = FEW if row["value"] is not None and row["n"] < few else ""
            if row["scenario"] != before:
                table.add_row(Text(scenario_title(row["scenario"]), style="bold"))
            table.add_row(
                Text(plain(row["metric"])),
                number(row["value"], metric) + mark,
                Text(interval(row, metric)),
                fraction(row, metric),
                _counts(row),
            )
            before = row["scenario"]
    return table


def _counts(row: dict[str, Any]) -> Text:
    text = Text()
    for status in STATUSES:
        if row[status]:
            text.append(", " if text else "")
            text.append(
                f"{row[status]} {STATUS_TITLES[status]}", style="red" if status == "failed" else ""
            )
    if row.get("within_error"):
        text.append(f"; {row['within_error']} near", style="yellow")
    return text


def _print_failures(console: Console, failures: pl.DataFrame, most: int) -> None:
    if failures.is_empty():
        return
    count = len(failures)
    console.print(Text(f"{count} recording{'s' if count > 1 else ''} failed", style="bold red"))
    for row in failures.head(most).iter_rows(named=True):
        line = Text("  ")
        line.append(plain(row["recording"]), style="bold")
        line.append(f": {plain(row['reason'])}")
        console.print(line, soft_wrap=True)
    if count > most:
        console.print(f"  … and {count - most} more, see scores.parquet")
    console.print()
