"""summary.md: the tables of the paper, intervals, counts by status, failures, the signature."""

import re
from typing import Final

import polars as pl

from flexi_score.report.health import health_table
from flexi_score.report.tables import (
    Table,
    details_table,
    interval_note,
    near_note,
    paper_tables,
    plain,
    quantile_table,
)
from flexi_score.scoring.run import Run

_SPECIAL: Final = re.compile(r"([\\`*|\[\]~])")


def summary_md(run: Run, quantiles: pl.DataFrame | None = None, *, max_failures: int = 200) -> str:
    """The summary of a run as GitHub-flavoured Markdown.

    ``quantiles``: :data:`flexi_score.aggregate.QUANTILES`. ``max_failures``: failures listed; the
    rest are counted.
    """
    summary, failures, metrics, shown = run.summary, run.failures, run.metrics, run.settings.summary
    signature, few = str(run.info.get("signature", "")), shown.few
    parts = ["# Summary", ""]
    for note in run.info.get("notes", ()):
        parts += [f"> {escape(note)}", ""]
    tables = paper_tables(summary, metrics, few)
    if summary.is_empty():
        parts += ["No metric was scored.", ""]
    for table in tables:
        parts += markdown_table(table)
    if quantiles is not None and len(quantiles):
        spread = quantile_table(quantiles, metrics, few)
        if spread.rows:
            parts += markdown_table(spread)
    if len(summary):
        parts += markdown_table(details_table(summary, metrics, few))
        parts += [
            f"{interval_note(summary, metrics, shown.confidence)} "
            "A dash is a value that could not be scored; it is never 0.",
            "",
        ]
        if "within_error" in summary.columns:
            parts += [escape(near_note(shown.boundary_error_s)), ""]
    troubles = health_table(run.health)
    if troubles.rows:
        parts += markdown_table(troubles)
    else:
        count = run.health["recording"].n_unique()
        parts += [f"## {troubles.title}", "", f"All fine ({count} checked).", ""]
    parts += ["## Failures", ""]
    if failures.is_empty():
        parts += ["None.", ""]
    else:
        for row in failures.head(max_failures).iter_rows(named=True):
            parts.append(
                f"- **{escape(row['recording'])}** ({escape(row['stage'])}): "
                f"{escape(row['reason'])}"
            )
        if len(failures) > max_failures:
            parts.append(f"- … and {len(failures) - max_failures} more, see scores.parquet")
        parts.append("")
    if signature:
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", signature)), default=0))
        parts += ["## Signature", "", fence, plain(signature), fence, ""]
    return "\n".join(parts)


def markdown_table(table: Table) -> list[str]:
    """Lines of a table with its title and notes; a group stands before its columns' labels."""
    heads, group = [], ""
    for column in table.columns:
        new = column.group and column.group != group
        heads.append(escape(f"{column.group}: {column.label}" if new else column.label))
        group = column.group
    rules = ["---:" if column.numeric else "---" for column in table.columns]
    lines = [f"## {escape(table.title)}", "", _line(heads), _line(rules)]
    lines += [_line([escape(cell) for cell in row]) for row in table.rows]
    return [*lines, "", *(line for note in table.notes for line in (escape(note), ""))]


def escape(text: object) -> str:
    """Text that Markdown shows as it is, on one line."""
    safe = _SPECIAL.sub(r"\\\1", plain(text))
    return safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
