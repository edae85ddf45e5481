"""The first screen: forty lines of eighty columns, in words, with no more digits than evidence."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from conftest import ROOT, SAMPLES, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from test_figures import made_run
from test_terminal import NAMES

from flexi_score.metrics import METRICS, profile_metrics
from flexi_score.report.numbers import value_cells
from flexi_score.report.screen import MOST_LINES, print_screen
from flexi_score.report.wording import WORDING
from flexi_score.schema import FAILURES, HEALTH, SCENARIOS
from flexi_score.scoring.run import Run

TOR = next(m for m in METRICS if m.name == "tor")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, sample_archive: Path) -> tuple[Path, str]:
    """A run of the samples, and what an eighty-column terminal shows of it."""
    folder = tmp_path_factory.mktemp("screen")
    return folder / "run", shown_by("score", sample_archive, "--out", folder / "run")


def shown_by(*arguments: object, columns: str = "80") -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flexi_score", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": columns},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def width_of(lines: list[str]) -> int:
    """The longest line, without commands: those are for copying, and tests have long paths."""
    commands = ("Look", "Compare", "Judge", "Rescore", "More")
    return max(cell_len(line) for line in lines if not line.startswith(commands))


def test_a_run_is_shown_on_one_screen(scored: tuple[Path, str]) -> None:
    run, text = scored
    lines = text.splitlines()
    assert len(lines) <= 40
    assert width_of(lines) <= 80
    assert "27 recordings, 2 systems, profile paper" in lines[0]
    assert re.search(r"takes its turn \(TOR\) +up +\d of 2 +\d of 3", text)
    assert not re.search(r"\b[01]\.\d{3}\b", text)
    for command in ("report", "compare", "score"):
        assert re.search(rf"flexi-score {command} \S*(screen|sample_archive)", text)
    assert f"flexi-score report {run} --open" in text
    assert "flexi_score " in lines[-1]
    assert re.search(r"#[0-9a-f]{8}$", lines[-1])


def test_every_count_is_that_of_the_summary(scored: tuple[Path, str]) -> None:
    run, text = scored
    summary = pl.read_parquet(run / "summary.parquet")
    for name, label in (("ttr", "yields (TTR)"), ("tor", "speaks up in time (TOR)")):
        scenario = "user_interrupt" if name == "ttr" else "model_interrupt"
        found = summary.filter((pl.col("metric") == name) & (pl.col("scenario") == scenario))
        counts = [f"{a:.0f} of {b:.0f}" for a, b in found.select("numerator", "denominator").rows()]
        line = next(line for line in text.splitlines() if label in line)
        assert re.findall(r"\d+ of \d+", line) == counts


def test_what_was_not_asked_is_counted(scored: tuple[Path, str]) -> None:
    run, text = scored
    scores = pl.read_parquet(run / "scores.parquet")
    asked = scores.filter(
        pl.col("metric").is_in(["tss", "eds", "coherence"]) & (pl.col("status") == "excluded")
    )
    assert f"{len(asked)} questions were not asked: no judge" in text


def test_details_print_the_rest(
    scored: tuple[Path, str], sample_archive: Path, tmp_path: Path
) -> None:
    run, text = scored
    more = shown_by(
        "score", sample_archive, "--out", tmp_path / "r", "--details", "-q", columns="160"
    )
    assert "Intervals and counts" in more
    assert "Intervals and counts" not in text
    signature = Run.open(run).info["signature"]
    assert signature in more
    assert signature in " ".join(text.split())


def test_conversations_get_a_card_beside_people(tmp_path: Path) -> None:
    rows = [{"id": p.stem, "audio": str(p)} for p in sorted(SAMPLES.glob("*_interrupt_1.flac"))]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    text = shown_by("score", manifest, "--asr", "none", "--out", tmp_path / "run", "-q")
    lines = text.splitlines()
    assert len(lines) <= 40
    assert width_of(lines) <= 80
    assert "people" in text
    for label in ("answers after, median", "both speak", "longest silence"):
        assert label in text
    value = Run.open(tmp_path / "run").summary.filter(pl.col("metric") == "overlap_s_per_min")
    assert f"{value['value'][0]:.1f} s/min" in text


@pytest.mark.parametrize("width", [80, 140])
def test_many_systems_fit_and_those_left_out_are_counted(tmp_path: Path, width: int) -> None:
    names = NAMES[:3] + [f"s{k}" for k in range(9)]
    run = Run.open(made_run(tmp_path / "run", names))
    console = Console(file=StringIO(), width=width)
    print_screen(console, run, name="many", folder=Path("run"), archive=Path("archive"))
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 55  # two blocks, and names over several lines
    assert max(map(cell_len, lines)) <= width
    left_out = [int(n) for n in re.findall(r"(\d+) more systems", "\n".join(lines))]
    assert left_out
    assert all(0 < n < len(names) for n in left_out)


def test_whatever_goes_wrong_it_stays_one_screen(tmp_path: Path) -> None:
    run = Run.open(made_run(tmp_path / "run", ["one", "two"], scenarios=SCENARIOS))
    ill = dict.fromkeys(HEALTH.names()) | {"verdict": "warn"}
    health = [ill | {"recording": f"r{k}", "check": f"check_{k}"} for k in range(9)]
    lost = [
        (f"lost-{k}", "one", "turn_taking", "audio", "AudioError", "a long reason " * 30)
        for k in range(9)
    ]
    worse = replace(
        run.with_tables(
            health=pl.DataFrame(health, schema=HEALTH),
            failures=pl.DataFrame(lost, schema=FAILURES, orient="row"),
        ),
        info=run.info | {"notes": ["a sentence on the run as a whole " * 12] * 3},
    )
    console = Console(file=StringIO(), width=80)
    print_screen(console, worse, name="r", folder=Path("run"), archive=Path("archive"))
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= MOST_LINES
    assert max(map(cell_len, lines)) <= 80
    assert "lost-0 failed: a long reason" in "\n".join(lines)
    assert lines[-1].startswith("Cite")


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_a_rate_of_few_outcomes_is_a_count(outcomes: tuple[int, int]) -> None:
    top, bottom = outcomes
    row = {"value": top / bottom, "n": bottom, "numerator": top, "denominator": bottom}
    short, long = value_cells(row | {"ci_low": 0.0, "ci_high": 1.0}, TOR, 10)
    if bottom < 10:
        assert short == long == f"{top} of {bottom}"
    else:
        assert short.endswith(" %")
        assert abs(float(short[:-2]) - 100 * top / bottom) <= 0.5 + 1e-6
        assert long == f"{short} [0, 100]"


def test_null_is_a_dash_and_never_zero() -> None:
    row = {"value": None, "n": 0, "numerator": 0.0, "denominator": 0.0}
    assert value_cells(row | {"ci_low": None, "ci_high": None}, TOR, 10) == ("–", "–")


def test_every_rate_of_the_paper_has_words_for_both_outcomes() -> None:
    for metric in profile_metrics("paper"):
        if metric.scenario == "conversation":
            continue
        words = WORDING[(metric.scenario, metric.name)]
        assert bool(words.yes and words.no) == (metric.aggregate == "rate"), metric


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_moves_before_the_models_are_loaded(tmp_path: Path) -> None:
    import pty

    manifest = write_jsonl(
        tmp_path / "m.jsonl", [{"id": "x", "audio": str(SAMPLES / "calm_turn_taking_1.flac")}]
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "flexi_score", "score", str(manifest), "--asr", "none"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "80", "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert process.wait() == 0
    text = seen.decode("utf-8", "replace")
    frames = set(re.findall(r"loading models[^\r\n]*", text))
    assert len(frames) > 3, text  # it moves: each frame differs
    assert text.index("loading models") < text.index("1/1 recordings")
