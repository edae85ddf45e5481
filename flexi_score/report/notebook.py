"""How results show themselves in a notebook: the tables of a terminal as HTML, all text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

import polars as pl

from flexi_score.report.tables import (
    DASH,
    Column,
    Table,
    counted,
    details_table,
    paper_tables,
    plain,
)
from flexi_score.scoring.run import Run

#: Rows of a table that a notebook shows; the frames have all.
MOST_ROWS: Final = 60
_FAILURES: Final = 10

#: The colours are the notebook's own where it has some, so that its dark theme is followed.
_CSS: Final = """
.flexi-score { --ink: var(--jp-ui-font-color0, #1c1b1a); --soft: var(--jp-ui-font-color2, #66635e);
  --rule: var(--jp-border-color2, #e3e0da); --faint: var(--jp-ui-font-color3, #8f8b84);
  color: var(--ink); font-size: 13px; line-height: 1.4; max-width: 1100px; overflow-x: auto; }
.flexi-score table { border-collapse: collapse; margin: 4px 0 10px; font-size: 12.5px;
  font-variant-numeric: tabular-nums; }
.flexi-score th, .flexi-score td { padding: 2px 10px 2px 0; text-align: right; border: 0;
  background: none; white-space: nowrap; color: inherit; max-width: none; }
.flexi-score .t { text-align: left; white-space: normal; }
.flexi-score th { font-weight: 600; border-bottom: 1px solid var(--rule); vertical-align: bottom; }
.flexi-score caption { text-align: left; font-weight: 600; padding: 2px 0; color: inherit; }
.flexi-score p { margin: 2px 0; } .flexi-score .s { color: var(--soft); font-size: 12px; }
.flexi-score summary { cursor: pointer; }
"""


@dataclass(frozen=True)
class Shown:
    """HTML that a notebook shows as the value of a cell."""

    html: str

    def _repr_html_(self) -> str:
        return self.html


def notebook_html(
    title: str,
    facts: Sequence[str] = (),
    tables: Sequence[Table] = (),
    more: Sequence[Table] = (),
    pictures: Sequence[str] = (),
) -> str:
    """A heading, sentences, tables, and further tables that are folded away.

    ``facts``: plain text. ``tables`` and ``more``: those of ``more`` are folded away. Of each, the
    first :data:`MOST_ROWS` rows. ``pictures``: SVG of our own making, put in as it is.
    """
    parts = [f'<div class="flexi-score"><style>{_CSS}</style>', f"<p><b>{_text(title)}</b></p>"]
    parts += [f'<p class="s">{_text(fact)}</p>' for fact in facts]
    parts += [table_html(table) for table in tables if table.rows]
    parts += [f"<div>{picture}</div>" for picture in pictures]
    for table in more:
        if table.rows:
            name = f"{_text(table.title)} ({len(table.rows)})"
            parts.append(f"<details><summary>{name}</summary>{table_html(table)}</details>")
    return "\n".join([*parts, "</div>"])


def table_html(table: Table) -> str:
    """One table with its notes."""
    lines = [f"<table><caption>{_text(table.title)}</caption><thead>"]
    groups = [(group, len(list(run))) for group, run in groupby(c.group for c in table.columns)]
    if any(group for group, _ in groups):
        cells = [
            f'<th class="t" colspan="{count}">{_text(g) if g else ""}</th>' for g, count in groups
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    kinds = ["" if column.numeric else ' class="t"' for column in table.columns]
    heads = (
        f"<th{kind}>{_text(c.label)}</th>" for kind, c in zip(kinds, table.columns, strict=True)
    )
    lines.append(f"<tr>{''.join(heads)}</tr></thead><tbody>")
    for row in table.rows[:MOST_ROWS]:
        cells = [f"<td{kind}>{_text(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines.append("</tbody></table>")
    if len(table.rows) > MOST_ROWS:
        lines.append(f'<p class="s">and {len(table.rows) - MOST_ROWS} rows more</p>')
    lines += [f'<p class="s">{_text(note)}</p>' for note in table.notes]
    return "\n".join(lines)


def run_html(run: Run) -> str:
    """A scored run: the paper's tables; intervals, counts and failures folded away."""
    info, failures, few = run.info, run.failures, run.settings.summary.few
    name = "" if run.folder is None else run.name
    counts = f"{counted(info.get('recordings', 0), 'recording')} scored, {len(failures)} failed"
    excluded = info.get("excluded", 0)
    facts = [
        f"profile {info.get('profile', 'paper')}: {counts}"
        + (f", {excluded} left out by the health gate" if excluded else ""),
        *map(str, info.get("notes", ())),
    ]
    lost = Table(
        "Failures",
        tuple(Column(label, numeric=False) for label in ("Recording", "Stage", "Reason")),
        tuple(
            (plain(row["recording"]), plain(row["stage"]), plain(row["reason"]))
            for row in failures.head(_FAILURES).iter_rows(named=True)
        ),
        (f"and {len(failures) - _FAILURES} more",) if len(failures) > _FAILURES else (),
    )
    tables = paper_tables(run.summary, run.metrics, few)
    main, further = tables[:3], tables[3:]
    title = f"flexi_score: {name}" if name else "flexi_score"
    details = details_table(run.summary, run.metrics, few)
    return notebook_html(title, facts, main, [*further, details, lost])


def frame_table(title: str, frame: pl.DataFrame, digits: int = 3) -> Table:
    """A frame as a table of text cells."""
    columns = tuple(Column(name, numeric=kind.is_numeric()) for name, kind in frame.schema.items())
    body = tuple(tuple(_cell(value, digits) for value in row) for row in frame.iter_rows())
    return Table(title, columns, body)


def _cell(value: object, digits: int) -> str:
    if isinstance(value, float):
        return DASH if value != value else f"{value:.{digits}f}"
    return plain(value)


def _text(text: object) -> str:
    return escape(plain(text))
