"""What users do wrong, as a process: the message names what was found and what to do."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from conftest import ROOT, SAMPLES, Cli, write_jsonl
from test_figures import made_run

from flexi_score.cli.app import app
from flexi_score.version import install_command

SAMPLE = SAMPLES / "calm_user_interrupt_1.flac"


def test_a_mono_file_where_two_channels_are_expected(tmp_path: Path, cli: Cli) -> None:
    audio, rate = soundfile.read(SAMPLE)
    soundfile.write(tmp_path / "mono.wav", audio[:, 0], rate)
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"id": "m", "audio": "mono.wav"}])
    done = cli("score", manifest, "--asr", "none", "--out", tmp_path / "run", "-q")
    assert done.returncode == 1
    text = " ".join(done.stdout.split())
    assert "mono.wav: has one channel, expected two" in text
    assert "user_audio and model_audio" in text
    assert "--mono diarize" in text


@pytest.mark.parametrize("verb", ["score", "extract", "sweep"])
def test_a_file_where_a_folder_is_written(verb: str, tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "taken"
    file.write_text("mine")
    arguments = {
        "score": ["score", SAMPLE, "--out", file],
        "extract": ["extract", SAMPLE, "--archive", file],
        "sweep": ["sweep", tmp_path, "--grid", "yield.hold_ms=1,2", "--out", file],
    }
    done = cli(*arguments[verb])
    assert done.returncode == 2
    assert f"{file}: is a file, expected a folder" in done.stderr
    assert "Errno" not in done.stderr
    assert file.read_text() == "mine"


def test_a_layout_that_the_folder_is_not_in(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    (folder / "a.flac").write_bytes(SAMPLE.read_bytes())
    done = cli("score", folder, "--layout", "fdb", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "nothing here is in layout fdb" in done.stderr
    assert "it is in layout stereo" in done.stderr
    done = cli("score", folder, "--layout", "sterio", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert "did you mean 'stereo'?" in done.stderr


def test_recordings_or_a_run_where_an_archive_is_expected(tmp_path: Path, cli: Cli) -> None:
    grid = ("--grid", "yield.hold_ms=400,500", "--out", tmp_path / "sweep")
    done = cli("sweep", SAMPLES, *grid)
    assert done.returncode == 2
    assert f"flexi-score extract {SAMPLES} --archive" in done.stderr
    (tmp_path / "run" / "archive").mkdir(parents=True)
    (tmp_path / "run" / "archive" / "archive.json").write_text("{}")
    done = cli("sweep", tmp_path / "run", *grid)
    assert done.returncode == 2
    assert f"name {tmp_path / 'run' / 'archive'}" in done.stderr


def test_milliseconds_where_seconds_are_expected(tmp_path: Path, cli: Cli) -> None:
    rows = [
        {"id": "ms", "audio": str(SAMPLE), "annotations": {"interrupt": [6147, 8187]}},
        {"id": "late", "audio": str(SAMPLE), "annotations": {"user_turn_end": 99_999}},
    ]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    done = cli("score", manifest, "--asr", "none", "--out", tmp_path / "run", "-q")
    assert done.returncode == 1
    failures = pl.read_parquet(tmp_path / "run" / "failures.parquet")
    reasons = dict(failures.select("recording", "reason").iter_rows())
    assert reasons["ms"].endswith("in milliseconds? Write seconds: 8.187")
    assert "in milliseconds?" not in reasons["late"]  # 99.999 s would be past the end, too


def test_clips_of_two_voices_are_refused(tmp_path: Path, cli: Cli) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    audio, rate = soundfile.read(SAMPLE)
    soundfile.write(clips / "two.wav", audio, rate)
    done = cli("simulate", "random", "2", "--clips", clips, "--out", tmp_path / "made", "-q")
    assert done.returncode == 2
    assert "its channels hold different voices" in done.stderr
    assert "save each channel as a file of its own" in done.stderr
    # One voice in stereo, a little louder at one side, is one voice.
    voice = audio[:, :1] * np.array([[1.0, 0.7]])
    soundfile.write(clips / "two.wav", voice, rate)
    done = cli("simulate", "random", "2", "--clips", clips, "--out", tmp_path / "made", "-q")
    assert "different voices" not in done.stderr


def test_runs_without_a_common_metric_say_so(tmp_path: Path, cli: Cli) -> None:
    for name, scenario in (("a", "turn_taking"), ("b", "conversation")):
        made_run(tmp_path / name, ["one"], scenarios=[scenario])
    done = cli("compare", tmp_path / "a", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    assert "Nothing to compare" in done.stdout
    same = cli("compare", tmp_path / "a", tmp_path / "a")
    assert "Nothing changed" in same.stdout
    assert "turn_taking.tor" not in same.stdout  # a table of equal values tells nothing


def test_a_sweep_that_moves_nothing_says_so(tmp_path: Path, cli: Cli) -> None:
    archive = tmp_path / "archive"
    done = cli("extract", SAMPLE, "--archive", archive, "--asr", "none", "-q")
    assert done.returncode == 0, done.stderr
    done = cli("sweep", archive, "--grid", "yield.hold_ms=500,501", "--out", tmp_path / "s", "-q")
    assert done.returncode == 0, done.stderr
    assert "Nothing changed" in done.stdout
    assert "do not change within this sweep" in (tmp_path / "s" / "sweep.svg").read_text()


def test_what_is_missing_can_be_installed_as_advised(cli: Cli) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for extra in project["optional-dependencies"]:
        command = install_command(extra)
        assert "flexi_score" not in command  # not to be had by name
        assert re.fullmatch(r"pip install( '[\w.\[\]-]+(,?[<>=!~]=?[\w.]+)*')+", command), command
    assert "pip install 'flexi_score" not in cli("doctor").stdout


def verbs(command=app, name=""):
    for key in command:
        verb = command[key]
        if verb.default_command is not None:
            yield f"{name} {key}".strip(), verb
        elif not key.startswith("-"):
            yield from verbs(verb, f"{name} {key}")


def test_help_is_wrapped_once_and_its_examples_fit() -> None:
    for name, verb in verbs():
        paragraphs = (verb.help or "").split("\n\n")
        assert len(paragraphs) > 1 or len(paragraphs[0]) < 300, name
        for text in paragraphs:
            if text.startswith(" "):
                assert max(map(len, text.splitlines())) <= 80, (name, text)
            else:
                assert "\n" not in text, (name, text)


def test_completion_is_installed_for_a_shell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flexi_score", "--install-completion", "--shell", "bash"],
        capture_output=True,
        text=True,
        env=os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (script,) = [path for path in tmp_path.rglob("flexi-score") if path.is_file()]
    assert "score" in script.read_text()
