"""What verbs print and write in the same way."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console


def plain_console() -> "Console":
    """A console that leaves long lines to the terminal: names and paths are for copying."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_rows(
    console: "Console",
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str | None = None,
    whole: Collection[str] = (),
    right: Collection[str] = (),
) -> None:
    """Print rows of text; the columns ``whole`` are never folded, those ``right`` are numbers."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, box=None, title_justify="left", pad_edge=False)
    for heading in headings:
        table.add_column(
            heading,
            overflow="fold",
            no_wrap=heading in whole,
            justify="right" if heading in right else "left",
        )
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def write_table(table: "pl.DataFrame", out: Path | None) -> None:
    """Write a table as Parquet or CSV, by the name's ending, where that was asked for."""
    from flexi_score.output import write_whole

    if out is not None:
        write_whole(out, table.write_parquet if out.suffix == ".parquet" else table.write_csv)


def split_names(values: Iterable[str], known: Collection[str] = ()) -> list[str]:
    """Names given one by one or by commas; one that is known as it is stays whole."""
    parts = ([value] if value in known else value.split(",") for value in values)
    return [name.strip() for part in parts for name in part if name.strip()]
