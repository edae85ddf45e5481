"""Tables on a terminal of 80 columns and in a pipe: whole names, no colours, nothing cut."""

import os
import re
import subprocess
import sys
from collections import Counter
from io import StringIO

import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from test_figures import made_run

from flexi_score.config import setting_names
from flexi_score.metrics import profile_metrics
from flexi_score.report.tables import Column, Table
from flexi_score.report.terminal import print_summary, print_table, rich_table
from flexi_score.scoring.run import Run

NAMES = ["a-system-with-a-long-name-v2", "another-one", "語音模型", "x" * 60]


def run_piped(*arguments) -> str:
    """What the command line writes into a pipe, where nobody says how wide it is."""
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "FORCE_COLOR")}
    done = subprocess.run(
        [sys.executable, "-m", "flexi_score.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("terminal") / "run", NAMES)


def summary_of(run_folder) -> str:
    run = Run.open(run_folder)
    console = Console(file=StringIO(), width=80)
    print_summary(console, run.summary, profile_metrics("paper"), run.failures)
    return console.file.getvalue()


@pytest.mark.parametrize("show", [summary_of, lambda run: run_piped("compare", run)])
def test_names_are_whole_in_a_pipe(run_folder, show) -> None:
    shown = show(run_folder)
    for name in NAMES[:3]:
        assert name in shown
    assert "…" not in shown
    names = {"response_latency", "stop_latency", "floor_offset"}
    assert names <= set(re.findall(r"\w+", shown))
    titles = [line for line in shown.splitlines() if " against " in line]
    tables = [line for line in shown.splitlines() if line not in titles and "|" not in line]
    assert max(map(len, tables)) <= 80


def test_settings_can_be_copied_from_a_pipe() -> None:
    shown = run_piped("settings", "speech", "yield").splitlines()
    wanted = {n for n in setting_names() if n.partition(".")[0] in ("speech", "yield")}
    assert {line.partition("=")[0] for line in shown if not line.startswith(" ")} == wanted
    assert max(map(len, shown)) <= 100


def test_paths_and_commands_of_doctor_are_whole() -> None:
    shown = run_piped("doctor")
    assert sys.executable in shown


def draw(table: Table, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(rich_table(table, width))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_tables_draw_together_where_there_is_little_room() -> None:
    columns = (
        Column("System", numeric=False),
        Column("TTR (↑)", "User interrupt"),
        Column("Latency (s, ↓)", "User interrupt"),
        Column("JIR"),
        Column("TOR (↓)", "Model backchannel"),
    )
    table = Table("t", columns, (("a", "1.000", "0.500†", "–", "2"),))
    wide, narrow = draw(table, 100), draw(table, 60)
    assert any("Latency (s, ↓)" in line for line in wide)
    assert not any("Latency (s, ↓)" in line for line in narrow)
    for lines in (wide, narrow):
        (row,) = [line for line in lines if line.startswith(" a ")]
        assert row.split() == ["a", "1.000", "0.500†", "–", "2"]
        assert any("User interrupt" in line and "Model backchannel" in line for line in lines)
    below = next(line for line in narrow if "(s, ↓)" in line)
    assert below.split() == ["System", "(↑)", "(s,", "↓)", "JIR", "(↓)"]


def test_sentences_follow_where_their_column_has_no_room() -> None:
    columns = tuple(
        Column(head, numeric=head == "Value") for head in ("Name", "Check", "Value", "Why")
    )
    why = "a telephone's band: nothing above 3.4 kHz"
    table = Table(
        "t",
        columns,
        (("one", "band", "3750 Hz", why), ("", "level", "-60", ""), ("", "snr", "3", why)),
    )
    shown = []
    for width in (52, 140):
        console = Console(file=StringIO(), width=width)
        print_table(console, table)
        shown.append(console.file.getvalue())
    assert f"one, band: {why}\none, snr: {why}\n" in shown[0]
    assert "Why" not in shown[0]
    assert "Why" in shown[1]
    assert f"one, band: {why}" not in shown[1]


letters = st.text("ab †é語", max_size=30).map(str.strip)


@given(
    st.integers(1, 6).flatmap(
        lambda n: st.tuples(
            st.lists(letters, min_size=n, max_size=n),
            st.lists(st.lists(letters, min_size=n, max_size=n), max_size=4),
        )
    ),
    st.integers(60, 160),
    st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_nothing_of_a_table_is_cut_off(content, width, numeric) -> None:
    heads, rows = content
    columns = tuple(Column(head, numeric=numeric and i > 0) for i, head in enumerate(heads))
    lines = draw(Table("", columns, tuple(map(tuple, rows))), width)
    assert all(cell_len(line) <= width for line in lines)
    found = Counter("".join(lines))
    for letter, count in Counter("".join(map("".join, [heads, *rows]))).items():
        assert letter == " " or found[letter] == count


def test_a_table_without_rows_or_columns_can_be_drawn() -> None:
    assert draw(Table("t", (Column("a"),), ()), 80)
    assert draw(Table("t", (), ()), 80)
