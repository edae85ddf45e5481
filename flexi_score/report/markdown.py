"""summary.md: the tables of the paper, intervals, counts by status, failures, the signature."""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.health import health_table
from flexi_score.report.tables import (
    Table,
    details_table,
    near_note,
    paper_tables,
    plain,
    quantile_table,
)

_SPECIAL: Final = re.compile(r"([\\`*|\[\]~])")


def summary_md(
    summary: pl.DataFrame,
    metrics: Sequence[Metric],
    failures: pl.DataFrame,
    signature: str = "",
    *,
    quantiles: pl.DataFrame | None = None,
    few: int = 10,
    confidence: float = 0.95,
    max_failures: int = 200,
    notes: Sequence[str] = (),
    health: pl.DataFrame | None = None,
    boundary_error_s: float | None = None,
) -> str:
    """The summary of a run as GitHub-flavoured Markdown.

    Parameters
    ----------
    summary, failures : polars.DataFrame
        :data:`flexi_score.schema.SUMMARY` and :data:`flexi_score.schema.FAILURES`.
    metrics : sequence of Metric
        Of one profile.
    signature : str
        The line that names every choice that changes a number.
    quantiles : polars.DataFrame, optional
        :data:`flexi_score.aggregate.QUANTILES`.
    few, confidence
        Of :class:`flexi_score.config.SummarySettings`.
    max_failures : int
        Failures listed; the rest are counted.
    notes : sequence of str
        Sentences on the run as a whole, before its tables.
    health : polars.DataFrame, optional
        :data:`flexi_score.schema.HEALTH`.
    boundary_error_s : float, optional
        What stands behind the column ``within_error``.

    Returns
    -------
    str
    """
    parts = ["# Summary", ""]
    for note in notes:
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
            f"Intervals: {confidence:.0%}; Wilson for rates, bootstrap (BCa) for means. "
            "A dash is a value that could not be scored; it is never 0.",
            "",
        ]
        if boundary_error_s is not None and "within_error" in summary.columns:
            parts += [escape(near_note(boundary_error_s)), ""]
    if health is not None:
        troubles = health_table(health)
        if troubles.rows:
            parts += markdown_table(troubles)
        else:
            count = health["recording"].n_unique()
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
