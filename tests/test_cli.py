"""The command line as a process: run folder, exit codes, streams, help, README."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from conftest import ROOT, SAMPLES, SHARED_DATA, Cli, wait_until, write_jsonl
from test_resume import make_light

from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import setting_names
from flexi_score.metrics import METRICS, profile_metrics
from flexi_score.schema import EVENT_KINDS, EVENTS, SCORES, STATUSES, SUMMARY
from flexi_score.scoring.run import Run

VERBS = (
    "score",
    "init",
    "extract",
    "merge",
    "check",
    "compare",
    "agree",
    "sweep",
    "validate",
    "simulate",
    "report",
    "export",
    "formats",
    "doctor",
    "models",
    "metrics",
    "settings",
    "handbook",
    "demo",
    "explore",
    "turns",
    "naturalness",
)

#: Metric names that other tools rely on.
CONTRACT = {
    "turn_taking": ["tor", "latency", "floor_offset", "jir"],
    "pause_handling": ["tor"],
    "user_interrupt": ["ttr", "stop_latency", "response_latency", "tss"],
    "model_interrupt": ["tor", "lead", "eds"],
    "user_backchannel": ["ttr", "resumed", "coherence", "acceptable"],
    "model_backchannel": ["tor", "bcr", "backchannels", "jsd"],
}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, cli: Cli) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    done = cli("score", SAMPLES, "--asr", "none", "--out", folder / "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder / "run"


def test_a_run_folder_holds_what_the_contract_says(run_folder: Path) -> None:
    names = {path.name for path in run_folder.iterdir()}
    assert names >= {
        "scores.parquet",
        "events.parquet",
        "summary.parquet",
        "summary.json",
        "summary.md",
        "report.html",
        "run.json",
        "archive",
    }
    scores = pl.read_parquet(run_folder / "scores.parquet")
    assert scores.schema == SCORES
    assert scores.columns[:8] == [
        "recording",
        "system",
        "scenario",
        "metric",
        "value",
        "status",
        "rule",
        "reason",
    ]
    for scenario, wanted in CONTRACT.items():
        found = scores.filter(pl.col("scenario") == scenario)["metric"].unique().to_list()
        assert sorted(found) == sorted(wanted)
    assert set(scores["status"]) <= set(STATUSES)
    unscored = scores.filter(pl.col("status").is_in(["not_applicable", "excluded", "failed"]))
    assert unscored["value"].null_count() == len(unscored)
    events = pl.read_parquet(run_folder / "events.parquet")
    assert events.schema == EVENTS
    assert set(events["kind"]) == set(EVENT_KINDS)
    assert (events["end_ms"] > events["start_ms"]).all()
    summary = pl.read_parquet(run_folder / "summary.parquet")
    assert summary.schema == SUMMARY
    assert json.loads((run_folder / "summary.json").read_text()) == summary.to_dicts()


def test_every_count_adds_up_to_the_recordings(run_folder: Path) -> None:
    summary = pl.read_parquet(run_folder / "summary.parquet")
    recordings = pl.read_parquet(run_folder / "recordings.parquet")
    sizes = dict(
        recordings.group_by("system", "scenario")
        .len()
        .select(pl.concat_str("system", "scenario", separator="/"), "len")
        .iter_rows()
    )
    for row in summary.iter_rows(named=True):
        total = sum(row[status] for status in STATUSES)
        assert total == sizes[f"{row['system']}/{row['scenario']}"], row


def test_data_is_on_stdout_and_quiet_is_quiet(run_folder: Path, tmp_path: Path, cli: Cli) -> None:
    assert "Turn-taking" in (run_folder.parent / "stdout.txt").read_text()
    done = cli("score", run_folder / "archive", "--out", tmp_path / "r", "-q")
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_stored_run_is_read_back_with_its_settings(
    run_folder: Path, tmp_path: Path, cli: Cli
) -> None:
    done = cli(
        "score",
        run_folder / "archive",
        "--set",
        "ipu.min_silence_ms=350",
        "--set",
        "yield.hold_ms=400",
        "--out",
        tmp_path / "r",
    )
    assert done.returncode == 0, done.stderr
    stored = Run.open(tmp_path / "r")
    assert stored.settings.ipu.min_silence_ms == 350
    assert stored.settings.yield_.hold_ms == 400
    assert "ipu.min_silence_ms=350" in stored.info["signature"]
    first = Run.open(run_folder)
    assert first.settings.ipu.min_silence_ms == 200
    longer = [len(r.events.filter(pl.col("kind") == "ipu")) for r in (stored, first)]
    assert longer[0] < longer[1]


def test_compare_and_gates(run_folder: Path, tmp_path: Path, cli: Cli) -> None:
    done = cli("compare", run_folder, "--out", tmp_path / "table.csv")
    assert done.returncode == 0, done.stderr
    table = pl.read_csv(tmp_path / "table.csv")
    assert set(table["baseline"]) == {"calm"}
    assert set(table["candidate"]) == {"eager"}
    assert cli("compare", run_folder, "--fail-if", "turn_taking.latency > 5").returncode == 0
    tripped = cli("compare", run_folder, "--fail-if", "turn_taking.latency.p90 > 0.01")
    assert tripped.returncode == 3
    assert "turn_taking.latency.p90 > 0.01" in tripped.stderr
    same = cli("compare", run_folder, run_folder, "--fail-if", "latency.p90 > +0.0001")
    assert same.returncode == 0, same.stderr
    wrong = cli("compare", run_folder, "--fail-if", "latncy > 1")
    assert wrong.returncode == 2
    assert "latency" in wrong.stderr
    nowhere = cli("compare", tmp_path)
    assert nowhere.returncode == 2
    assert "run folder" in nowhere.stderr


def test_a_folder_without_a_manifest_is_scored_as_conversations(tmp_path: Path, cli: Cli) -> None:
    shutil.copy(SAMPLES / "calm_turn_taking_1.flac", tmp_path / "a call.flac")
    done = cli("score", tmp_path, "--asr", "none", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scores = pl.read_parquet(tmp_path / "run" / "scores.parquet")
    assert set(scores["scenario"]) == {"conversation"}
    assert set(scores["recording"]) == {"a call"}


def test_one_file_is_scored(tmp_path: Path, cli: Cli) -> None:
    audio = SAMPLES / "awkward_calm_turn_taking.wav"
    done = cli("score", audio, "--asr", "none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "awkward_calm_turn_taking.run" / "report.html").is_file()


def test_extract_then_score_from_the_archive(tmp_path: Path, cli: Cli) -> None:
    rows = [
        {"id": "x", "audio": str(SAMPLES / "eager_turn_taking_2.flac")},
        {"id": "y", "audio": "gone.wav"},
    ]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    done = cli("extract", manifest, "--archive", tmp_path / "a", "--asr", "none")
    assert done.returncode == 1
    assert "1 recording; 1 failed" in done.stdout
    assert "gone.wav" in done.stderr
    scored = cli("score", tmp_path / "a", "--out", tmp_path / "run")
    assert scored.returncode == 1
    assert set(pl.read_parquet(tmp_path / "run" / "failures.parquet")["recording"]) == {"y"}


def test_an_interrupt_exits_130_and_keeps_what_was_done(tmp_path: Path) -> None:
    manifest = make_light(tmp_path, 4000)
    command = [
        sys.executable,
        "-m",
        "flexi_score.cli",
        "extract",
        str(manifest),
        "--archive",
        str(tmp_path / "a"),
    ]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    wait_until(lambda: list(tmp_path.glob("a/recordings/*.parquet")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert 0 < len(ArchiveReader(tmp_path / "a").recordings()) < 4000


def test_debug_shows_the_traceback(cli: Cli) -> None:
    done = cli("--debug", "score", "nowhere.jsonl")
    assert done.returncode != 0
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_text(cli: Cli, verb: str) -> None:
    done = cli(verb, "--help")
    assert done.returncode == 0
    assert f"flexi-score {verb}" in done.stdout
    if verb in ("score", "extract", "compare", "models"):
        assert "Try:" in done.stdout


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("doctor", ("polars", "torch", "onnxruntime", "tiny.en", "silero", "MP3")),
        ("formats", ("flexi", "fdb", "pairs", "TextGrid")),
    ],
)
def test_what_there_is_is_named(cli: Cli, verb: str, words: tuple[str, ...]) -> None:
    done = cli(verb)
    assert done.returncode == 0, done.stderr
    for word in words:
        assert word in done.stdout


def test_metrics_list_one_page_and_define_what_is_named(cli: Cli) -> None:
    page = cli("metrics").stdout
    for metric in profile_metrics("paper"):
        assert re.search(rf"^  {metric.name}\b", page, flags=re.MULTILINE)
    assert len(page.splitlines()) < 70
    assert METRICS[0].definition not in page
    for asked in ("user_interrupt.ttr", "TTR", "user_interrupt"):
        shown = " ".join(cli("metrics", asked, "--profile", "paper").stdout.split())
        ttr = next(m for m in profile_metrics("paper") if m.name == "ttr")
        assert ttr.definition in shown
        assert f"source: {ttr.source}" in shown
    every = json.loads(cli("metrics", "--json").stdout)
    assert [(m["profile"], m["scenario"], m["name"]) for m in every] == [
        (m.profile, m.scenario, m.name) for m in METRICS
    ]
    assert all(m["definition"] and m["source"] and m["null_means"] for m in every)
    for scenario, wanted in CONTRACT.items():
        known = {m.name for m in profile_metrics("paper") if m.scenario == scenario}
        assert known == set(wanted)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (("metrics", "--profile", "papr"), "did you mean 'paper'?"),
        (("metrics", "stop_latncy"), "did you mean 'stop_latency'?"),
        (("settings", "yeild"), "did you mean 'yield'?"),
        (("settings", "--profile", "papr"), "did you mean 'paper'?"),
    ],
)
def test_an_unknown_name_is_an_error(arguments: tuple[str, ...], hint: str, cli: Cli) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert hint in done.stderr
    assert done.stdout == ""


def test_settings_list_groups_and_explain_what_is_named(cli: Cli) -> None:
    page = cli("settings").stdout
    groups = {name.partition(".")[0] for name in setting_names()}
    assert {line.split()[0] for line in page.splitlines()[: len(groups)]} == groups
    assert "Heldner" in cli("settings", "ipu").stdout
    rows = json.loads(cli("settings", "--json").stdout)
    assert [row["name"] for row in rows] == list(setting_names())
    assert all(row["meaning"] and row["source"] for row in rows)


def test_release_parity_through_the_command_line(tmp_path: Path, cli: Cli) -> None:
    data = SHARED_DATA / "release_parity"
    if not data.is_dir():
        pytest.skip("the parity data is not here")
    expected = json.loads((data / "expected.json").read_text())
    done = cli(
        "score",
        data,
        "--profile",
        "release",
        "--set",
        "pause_handling.mean_latency_s=1.0",
        "--out",
        tmp_path / "run",
        "-q",
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    value = {(row["scenario"], row["metric"]): row["value"] for row in summary}
    digits = {"pause_handling": 6, "model_backchannel": 4}
    for scenario, part in expected.items():
        if scenario == "about":
            continue
        for metric, want in part["all"].items():
            got = value[(scenario, metric)]
            places = 2 if metric == "eds" else digits.get(scenario)
            got = got if places is None else round(got, places)
            assert got == pytest.approx(want, abs=1e-6), (scenario, metric)


def test_profiles_held_against_each_other(run_folder: Path, tmp_path: Path, cli: Cli) -> None:
    release = tmp_path / "release"
    assert (
        cli(
            "score", run_folder / "archive", "--profile", "release", "--out", release, "-q"
        ).returncode
        == 0
    )
    done = cli("compare", run_folder, release)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d outcomes? differ", done.stdout)
    assert "the release" in done.stdout


def test_the_readme_names_only_what_exists() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for verb in re.findall(r"flexi-score ([a-z]+)", text):
        assert verb in VERBS, verb
    for name in re.findall(r"--set ([a-z_.]+)=", text):
        assert name in setting_names(), name
    commands = re.findall(r"^python3 .*$", text, flags=re.MULTILINE)
    assert len(commands) == 2
    assert "score sample_recordings" in commands[0]
    assert "pytest" in commands[1]


def test_the_librarys_verbs_stay_functions_whatever_has_been_imported() -> None:
    code = (
        "import flexi_score, importlib, pkgutil\n"
        "for m in pkgutil.iter_modules(flexi_score.__path__):\n"
        "    importlib.import_module('flexi_score.' + m.name)\n"
        "import flexi_score.extraction.run\n"
        "names = set(flexi_score.__all__) - {'__version__'}\n"
        "print(all(callable(getattr(flexi_score, n)) for n in names))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
