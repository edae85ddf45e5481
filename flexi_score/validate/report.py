"""A validation for readers: in the terminal, as Markdown, and as the files of a folder."""

import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from flexi_score.formats.files import name_some
from flexi_score.output import as_text, write_together
from flexi_score.report.markdown import escape, markdown_table
from flexi_score.report.notebook import notebook_html
from flexi_score.report.tables import counted, plain
from flexi_score.report.terminal import rich_table
from flexi_score.validate.plot import validation_svg
from flexi_score.validate.tables import LISTED, group_levels, group_title, validation_tables
from flexi_score.validate.validation import Validation


def coverage(validation: Validation) -> list[str]:
    """What was compared and what was not, in sentences."""
    info = validation.info
    unit = "IPUs" if info["level"] == "ipu" else "speech segments"
    lines = [
        f"{counted(info['compared'], 'recording')} compared on {unit}; boundaries up to "
        f"{info['boundary_collar_ms']} ms apart are matched, events up to {info['collar_ms']} ms."
    ]
    for key, text in (
        ("in_truth_not_in_run", "with truth but not in the run"),
        ("in_run_without_truth", "in the run without truth"),
        ("failed_in_run", "failed in the run: not counted as missed speech"),
        ("excluded_in_run", "left out by the run's health gate: not counted as missed speech"),
    ):
        if info[key]:
            lines.append(f"{len(info[key])} {text}: {plain(name_some(info[key]))}")
    if info["one_side_only"]:
        lines.append(
            f"{info['one_side_only']} with truth of one side only: no events and no metrics of them"
        )
    if info["lengths_differ"]:
        lines.append(f"{info['lengths_differ']} whose length in truth is another (by over 0.1 s)")
    if info["conditions_left_out"]:
        lines.append(
            f"too many levels, left out unless named with --by: "
            f"{plain(name_some(info['conditions_left_out']))}"
        )
    for failure in info["unreadable_truth"][:LISTED]:
        lines.append(f"truth not used: {plain(failure['reason'])}")
    if len(info["unreadable_truth"]) > LISTED:
        lines.append(f"and {len(info['unreadable_truth']) - LISTED} more")
    return lines


def print_validation(console: Console, validation: Validation) -> None:
    """Print the tables."""
    for table in validation_tables(validation, full=False):
        console.print(rich_table(table, console.width))
        for note in table.notes:
            console.print(Text(note, style="dim"))
        console.print()
    for line in coverage(validation):
        console.print(Text(line), soft_wrap=True)


def validation_md(validation: Validation) -> str:
    """The tables as GitHub-flavoured Markdown."""
    parts = ["# Validation", ""]
    for line in coverage(validation):
        parts += [f"- {escape(line)}"]
    parts += ["", "![Boundary errors and detection error by condition](validation.svg)", ""]
    for table in validation_tables(validation):
        parts += markdown_table(table)
    if validation.info["signature"]:
        parts += ["## Signature of the run", "", f"    {plain(validation.info['signature'])}", ""]
    return "\n".join(parts)


def write_validation(validation: Validation, out: str | Path) -> list[Path]:
    """Write a validation into a folder: the long table, what it was added up from, a picture.

    ``validation.json`` is written last, so that what has it is whole. Raises OutputError naming
    the path that cannot be written.
    """
    folder = Path(out)
    data = json.dumps(
        {"info": validation.info, "table": validation.table.fill_nan(None).to_dicts()}, indent=1
    )
    picture = validation_svg(validation, group_levels(validation), group_title)
    files: dict[str, Callable[[Path], object]] = {
        "validation.parquet": validation.table.write_parquet,
        "validation.md": as_text(validation_md(validation)),
        "validation.svg": as_text(picture),
        "validation_channels.parquet": validation.detection.write_parquet,
        "validation_boundaries.parquet": validation.boundaries.write_parquet,
        "validation_events.parquet": validation.events.write_parquet,
        "validation_outcomes.parquet": validation.outcomes.write_parquet,
    }
    return write_together(folder, files, label="validation.json", describe=lambda _: data + "\n")


def validation_html(validation: Validation) -> str:
    """A validation as a notebook shows it."""
    tables = validation_tables(validation, full=False)
    picture = validation_svg(validation, group_levels(validation), group_title, page=True)
    title = "flexi_score: validation"
    return notebook_html(title, coverage(validation), tables[:2], tables[2:], [picture])
