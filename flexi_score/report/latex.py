"""The paper's tables for LaTeX, with booktabs; every text in them is escaped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import polars as pl

from flexi_score.metrics.registry import Metric
from flexi_score.report.tables import Table, paper_tables, plain

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "'": r"\textquotesingle{}",
    "-": "{-}",
    # Behind the end of a row these would be its options.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"\textdagger{}",
    "–": r"\textendash{}",
    "…": r"\dots{}",
    "\N{MINUS SIGN}": r"$-$",
}
_NEGATIVE: Final = re.compile(r"-[0-9.]")
#: What is wider than its column is set smaller.
_FIT: Final = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"


def tables_tex(
    summary: pl.DataFrame, metrics: Sequence[Metric], few: int = 10, signature: str = ""
) -> str:
    """Tables 2 to 4 of the paper and what it does not show, each a ``table`` environment.

    Parameters
    ----------
    summary : polars.DataFrame
        :data:`flexi_score.schema.SUMMARY`.
    metrics : sequence of Metric
        Of one profile.
    few : int
        Values on fewer recordings are marked.
    signature : str
        Written as a comment above the tables.

    Returns
    -------
    str
        To be put in with ``\\input``; the document needs ``booktabs``, ``textcomp`` and
        ``graphicx``.
    """
    lines = [
        "% Needs \\usepackage{booktabs,graphicx,textcomp} and \\usepackage[T1]{fontenc}.",
        f"% {plain(signature).replace('%', ' ')}",
        "",
    ]
    for number, table in enumerate(paper_tables(summary, metrics, few), 1):
        lines += table_tex(table, f"tab:flexi-{number}")
    return "\n".join(lines)


def table_tex(table: Table, name: str) -> list[str]:
    """Lines of one ``table`` environment."""
    columns = "".join("r" if column.numeric else "l" for column in table.columns)
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        rf"\label{{{name}}}",
    ]
    lines += [r"\vspace{4pt}", r"\small", _FIT]
    lines += [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule"]
    groups = [(group, len(list(run))) for group, run in groupby(c.group for c in table.columns)]
    if any(group for group, _ in groups):
        cells, under, at = [], [], 1
        for group, count in groups:
            cells.append(rf"\multicolumn{{{count}}}{{c}}{{{escape(group)}}}" if group else "")
            if group:
                under.append(rf"\cmidrule(lr){{{at}-{at + count - 1}}}")
            at += count
        lines += [" & ".join(cells) + r" \\", "".join(under)]
    lines += [_line([column.label for column in table.columns]), r"\midrule"]
    lines += [_line(row) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}%", "}"]
    lines += [rf"\par\smallskip\footnotesize {escape(note)}" for note in table.notes]
    return [*lines, r"\end{table}", ""]


def escape(text: object) -> str:
    """Text that LaTeX sets as it is; letters that pdfLaTeX cannot set become their code point."""
    return "".join(_letter(letter) for letter in plain(text))


def _line(cells: Sequence[str]) -> str:
    return " & ".join(_cell(cell) for cell in cells) + r" \\"


def _cell(text: str) -> str:
    return f"$-${escape(text[1:])}" if _NEGATIVE.match(text) else escape(text)


def _letter(letter: str) -> str:
    if letter in _SPECIAL:
        return _SPECIAL[letter]
    if letter < "\x7f":
        return letter
    # Latin letters with accents are in T1; nothing else can be counted on.
    if letter < "\u0180" and unicodedata.category(letter) in ("Lu", "Ll"):
        return letter
    return rf"\texttt{{U+{ord(letter):04X}}}"
