"""The first screen of a run: at most forty lines of eighty columns, in words."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import polars as pl
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from flexi_score.config import Settings
from flexi_score.metrics.registry import FOLLOWERS, Metric
from flexi_score.report.numbers import value_cells
from flexi_score.report.tables import (
    DASH,
    counted,
    metric_finder,
    plain,
    scenario_title,
    systems_of,
)
from flexi_score.report.wording import wording
from flexi_score.scoring.run import Run

#: Lines of the screen, and of these: rows of values at least, notes at most, one note at most.
MOST_LINES: Final = 40
_FEWEST_ROWS: Final = 6
_MOST_NOTES: Final = 12
_NOTE_LINES: Final = 4
#: A column of values is not made narrower than this; systems without room are counted.
_NARROWEST: Final = 9
_FAILURES: Final = 3
_LABEL: Final = 8


@dataclass(frozen=True)
class Row:
    """A line of values: which scenario, what the model does, the better direction, one cell each.

    ``cells`` has a short and a long form a system: without and with an interval.
    """

    scenario: str
    label: str
    better: str
    cells: tuple[tuple[str, str], ...]
    human: str = ""


@dataclass(frozen=True)
class _Card:
    """A line on conversations: its metric, in words, and what people do."""

    metric: str
    label: str
    human: str = ""


_CARD: Final = (
    _Card("model_response_latency.p50", "answers after, median", "0.2 s"),
    _Card("model_response_latency.p90", "nine in ten answers within"),
    _Card("model_overlapped_starts", "starts before the user ends", "40 %"),
    _Card("model_stop_latency.p50", "interrupted, it stops after"),
    _Card("user_interruption_success", "user's interruptions that win"),
    _Card("model_interruptions_per_min", "interrupts the user"),
    _Card("model_backchannels_per_min", "backchannels"),
    _Card("model_talk_share", "model's share of the talking"),
    _Card("overlap_s_per_min", "both speak", "3.6 s/min"),
    _Card("gap_s_per_min", "nobody speaks, between turns", "4.4 s/min"),
    _Card("longest_silence", "longest silence, mean"),
)
_PEOPLE: Final = "people: Heldner & Edlund 2010 (timing); dGSLM, Fisher telephone calls (s/min)"


def print_screen(
    console: Console,
    run: Run,
    *,
    name: str,
    folder: Path,
    archive: Path,
    elapsed_s: float | None = None,
) -> None:
    """Print what a run found, what it lacks, what to do next and how to cite it.

    At 80 columns it takes at most :data:`MOST_LINES` lines, unless names of systems need several:
    values that have no room are counted, long reasons are cut, and ``--details`` has them all.

    ``name``: what was scored. ``folder`` and ``archive``: the run folder, and the archive to score
    again. ``elapsed_s``: how long it took.
    """
    summary, metrics, settings, info = run.summary, run.metrics, run.settings, run.info
    systems = systems_of(summary)
    rows = scenario_rows(summary, metrics, settings.summary.few)
    card = conversation_rows(summary, metrics, settings.summary.few)
    notes = [
        *_troubles(run.failures, info, run.health),
        *_cautions(summary, settings, rows + card),
        *_gaps(summary, metrics, settings),
    ]
    below = [line for mark, text in notes for line in _note_lines(console, mark, text)]
    most = _MOST_NOTES - (4 if rows and card else 0)
    if len(below) > most:
        below = [*below[: most - 1], Text("   … summary.md and --details say more")]
    steps = _next_steps(systems, folder, archive, info, judged=_unasked(summary, metrics) > 0)
    # The title, a heading, the sentence on what has no room, and a line between the parts.
    room = MOST_LINES - 6 - len(below) - len(steps) - (len(card) + 2 if card else 0)
    shown = rows[: max(room, _FEWEST_ROWS)]
    _print_title(console, name, systems, info, elapsed_s)
    if shown:
        _print_rows(console, systems, shown)
    if card:
        _print_rows(console, systems, card, people=True)
        console.print(Text(_PEOPLE, style="dim"))
    if not rows and not card:
        console.print(Text("No metric was scored.", style="bold"))
    if len(rows) > len(shown):
        left_out = counted(len(rows) - len(shown), "more value")
        console.print(Text(f"{left_out} in the details", style="dim"))
    console.print()
    for line in below:
        console.print(line, soft_wrap=True)
    if below:
        console.print()
    for label, text in steps:
        line = Text(label.ljust(_LABEL), style="bold").append(text, style="not bold")
        console.print(line, soft_wrap=True)


def scenario_rows(summary: pl.DataFrame, metrics: Sequence[Metric], few: int) -> list[Row]:
    """A row per metric of the six scenarios that has a better direction and any value."""
    find = metric_finder(metrics)
    systems = systems_of(summary)
    part = summary.filter(pl.col("scenario") != "conversation")
    by_key = {(r["scenario"], r["metric"], r["system"]): r for r in part.iter_rows(named=True)}
    rows = []
    for scenario, name in part.select("scenario", "metric").unique(maintain_order=True).rows():
        metric = find(scenario, name)
        of_systems = [by_key.get((scenario, name, system)) for system in systems]
        if metric is None or metric.direction == "none" or ".p" in name:
            continue
        if not any(row and row["n"] for row in of_systems):
            continue
        rows.append(
            Row(
                scenario_title(scenario),
                plain(wording(scenario, name, metric).full),
                metric.direction,
                tuple(value_cells(row, metric, few) for row in of_systems),
            )
        )
    return rows


def conversation_rows(summary: pl.DataFrame, metrics: Sequence[Metric], few: int) -> list[Row]:
    """The card of conversations: how it answers, stops and interrupts, beside what people do."""
    find = metric_finder(metrics)
    systems = systems_of(summary)
    part = summary.filter(pl.col("scenario") == "conversation")
    by_key = {(r["metric"], r["system"]): r for r in part.iter_rows(named=True)}
    rows = []
    for line in _CARD:
        summaries = [by_key.get((line.metric, system)) for system in systems]
        metric = find("conversation", line.metric)
        if metric is None or not any(summaries):
            continue
        cells = tuple(value_cells(row, metric, few) for row in summaries)
        rows.append(Row("Conversation", line.label, "", cells, line.human))
    valued = any(cell != DASH for row in rows for cell, _ in row.cells)
    return rows if valued else []


def _print_title(
    console: Console,
    name: str,
    systems: Sequence[str],
    info: Mapping[str, Any],
    elapsed_s: float | None,
) -> None:
    number = info.get("recordings", 0) + info.get("failed", 0) + info.get("excluded", 0)
    title = (
        f"{plain(name)}: {counted(number, 'recording')}, {counted(len(systems), 'system')}, "
        f"profile {plain(info.get('profile', ''))}"
    )
    line = Text(title, style="bold")
    if elapsed_s is not None:
        minutes, seconds = divmod(round(elapsed_s), 60)
        took = f"{minutes}:{seconds:02d}"
        room = min(console.width, 100) - cell_len(title) - len(took)
        line.append(" " * max(room, 2) + took, style="not bold dim")
    console.print(line, soft_wrap=True)
    console.print()


def _print_rows(
    console: Console, systems: Sequence[str], rows: Sequence[Row], people: bool = False
) -> None:
    first = max(cell_len(row.scenario) for row in rows)
    second = max(cell_len(row.label) for row in rows)
    better = max(len(row.better) for row in rows)
    right = max((len(row.human) for row in rows), default=0) if people else 0
    right = max(right, len("people")) + 2 if people else 0
    left = first + 2 + second + 2 + better
    room = max(console.width - left - right, _NARROWEST + 2)
    number = max(1, min(len(systems), room // (_NARROWEST + 2)))
    each = room // number - 2
    long = max(cell_len(cell[1]) for row in rows for cell in row.cells[:number])
    short = max(cell_len(cell[0]) for row in rows for cell in row.cells[:number])
    form, least = (1, long) if long <= each else (0, short)
    names = [plain(system) for system in systems[:number]]
    width = min(each, max(least, *map(cell_len, names), _NARROWEST - 2))
    heads = [_folded(name, width) for name in names]
    tall = max(map(len, heads))
    for k in range(tall):
        line = " " * left
        for head in heads:
            lines = [""] * (tall - len(head)) + head
            line += "  " + _right(lines[k], width)
        if people:
            line += "  " + ("people" if k == tall - 1 else "").rjust(right - 2)
        console.print(Text(line.rstrip(), style="bold"), soft_wrap=True)
    for scenario, part in groupby(rows, key=lambda row: row.scenario):
        for k, row in enumerate(part):
            text = Text()
            text.append(_left(scenario if k == 0 else "", first), style="bold")
            text.append("  " + _left(row.label, second))
            text.append("  " + row.better.ljust(better), style="dim")
            for cell in row.cells[:number]:
                text.append("  " + _right(cell[form], width))
            if people:
                text.append("  " + row.human.rjust(right - 2), style="dim")
            text.rstrip()
            console.print(text, soft_wrap=True)
    if number < len(systems):
        left_out = counted(len(systems) - number, "more system")
        console.print(Text(f"{left_out} in the details, a wider window and the page", style="dim"))


def _folded(name: str, width: int) -> list[str]:
    """Lines of a name, broken after a separator where there is one."""
    lines = [""]
    for part in re.split(r"(?<=[-_./ ])", name):
        if cell_len(lines[-1] + part) <= width:
            lines[-1] += part
        else:
            lines += chop_cells(part, width)
    return [line for line in lines if line]


def _left(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _troubles(
    failures: pl.DataFrame, info: Mapping[str, Any], health: pl.DataFrame
) -> list[tuple[str, str]]:
    """What failed, what was left out, what was captured badly."""
    notes = []
    for row in failures.head(_FAILURES).iter_rows(named=True):
        notes.append(("x", f"{plain(row['recording'])} failed: {plain(row['reason'])}"))
    if len(failures) > _FAILURES:
        more = counted(len(failures) - _FAILURES, "more recording")
        notes.append(("x", f"{more} failed: --details, or failures.parquet, has the reasons"))
    for verdict, meaning in (
        ("refuse", "left out by the health gate (--no-gate scores them)"),
        ("warn", "captured with flaws (flexi-score check says what to do)"),
    ):
        bad = health.filter(pl.col("verdict") == verdict)
        if bad.is_empty():
            continue
        by_check = bad.group_by("check").agg(n=pl.col("recording").n_unique()).sort("n", "check")
        checks = [f"{check.replace('_', ' ')} {n}" for check, n in by_check.reverse().iter_rows()]
        more = f", {counted(len(checks) - 4, 'more check')}" if len(checks) > 4 else ""
        number = counted(bad["recording"].n_unique(), "recording")
        notes.append(("!", f"{number} {meaning}: {', '.join(checks[:4])}{more}"))
    return notes + [("!", plain(note)) for note in info.get("notes", ())]


def _cautions(
    summary: pl.DataFrame, settings: Settings, rows: Sequence[Row]
) -> list[tuple[str, str]]:
    """How far the values can be trusted."""
    notes = []
    few, valued = settings.summary.few, summary.filter(pl.col("n") > 0)
    thin = int((valued["n"] < few).sum())
    if thin and rows:
        which = "every value" if thin == len(valued) else f"{thin} of {len(valued)} values"
        notes.append(("!", f"Fewer than {few} recordings behind {which}: examples, not rates."))
    near = int(summary["within_error"].fill_null(0).sum())
    if near:
        error = f"{settings.summary.boundary_error_s * 1000:g} ms"
        verb = "hangs" if near == 1 else "hang"
        notes.append(
            ("!", f"{counted(near, 'outcome')} {verb} on less than the measurement error, {error}.")
        )
    silent = summary.group_by("system", "scenario").agg(pl.col("silent").max())["silent"].sum()
    if silent:
        notes.append(
            ("-", f"The model never speaks in {counted(int(silent), 'recording')}: they count.")
        )
    return notes


def _unasked(summary: pl.DataFrame, metrics: Sequence[Metric]) -> int:
    """Ratings that nobody was asked for, without those of recordings that the gate left out."""
    judged = [(m.scenario, m.name) for m in metrics if m.judged and m.name not in FOLLOWERS]
    if not judged or summary.is_empty():
        return 0
    keys = pl.DataFrame(judged, schema=["scenario", "metric"], orient="row")
    gate = summary.group_by("system", "scenario").agg(left_out=pl.col("excluded").min())
    rows = summary.join(keys, on=["scenario", "metric"]).join(gate, on=["system", "scenario"])
    return int((rows["excluded"] - rows["left_out"]).sum())


def _gaps(
    summary: pl.DataFrame, metrics: Sequence[Metric], settings: Settings
) -> list[tuple[str, str]]:
    """What was not asked, and why."""
    number = _unasked(summary, metrics)
    if not number:
        return []
    verb = "was" if number == 1 else "were"
    if settings.judge.mode == "none":
        why = "no judge (--dry-run shows what it would cost)"
    else:
        why = "no reply is kept for them, or nothing was said; ratings.parquet has the reasons"
    return [("-", f"{counted(number, 'question')} {verb} not asked: {why}")]


def _note_lines(console: Console, mark: str, text: str) -> list[Text]:
    """A note under its mark, cut after a few lines."""
    style = {"x": "red", "!": "yellow"}.get(mark, "dim")
    lines = [line.plain.rstrip() for line in Text(text).wrap(console, max(console.width - 3, 20))]
    if len(lines) > _NOTE_LINES:
        lines = [*lines[: _NOTE_LINES - 1], lines[_NOTE_LINES - 1][: console.width - 5] + " …"]
    return [Text(f"{mark if k == 0 else ' '}  {line}", style=style) for k, line in enumerate(lines)]


def _next_steps(
    systems: Sequence[str], folder: Path, archive: Path, info: Mapping[str, Any], *, judged: bool
) -> list[tuple[str, str]]:
    """What to do next, and how to cite."""
    run, stored = shlex.quote(str(folder)), shlex.quote(str(archive))
    lines = [("Look", f"flexi-score report {run} --open")]
    if len(systems) > 1:
        lines.append(("Compare", f"flexi-score compare {run}"))
    if judged:
        lines.append(("Judge", f"flexi-score score {stored} --judge openai --dry-run"))
    return [
        *lines,
        ("Rescore", f"flexi-score score {stored} --set NAME=VALUE"),
        ("More", f"{run}/summary.md, or --details"),
        ("Cite", plain(str(info.get("signature", "")))),
    ]
