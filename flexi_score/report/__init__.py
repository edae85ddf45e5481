"""What a run shows: tables, the terminal, summary.md, report.html, and the files of a run."""

from flexi_score.report.html import render_html
from flexi_score.report.markdown import summary_md
from flexi_score.report.tables import Column, Table, paper_tables
from flexi_score.report.terminal import print_comparison, print_summary
from flexi_score.report.write import write_run

__all__ = [
    "Column",
    "Table",
    "paper_tables",
    "print_comparison",
    "print_summary",
    "render_html",
    "summary_md",
    "write_run",
]
