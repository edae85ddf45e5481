"""Worker processes: the same result as one process, whatever happens to them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import ROOT, SAMPLES, wait_until, write_jsonl
from test_resume import assert_equal, make_light, make_manifest

from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.cli.app import ModelOptions, chosen_settings
from flexi_score.config import load_settings
from flexi_score.errors import SettingsError
from flexi_score.extraction import workers
from flexi_score.extraction.workers import choose_workers
from flexi_score.scoring import pipeline

NEEDED = load_settings("paper", {"extract.asr_words": "needed"})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of good and bad recordings, and its archive as one process makes it."""
    folder = tmp_path_factory.mktemp("mixed")
    rows: list[dict[str, Any]] = [
        {"id": path.stem, "audio": str(path)} for path in sorted(SAMPLES.glob("*.flac"))[:1]
    ]
    rows.insert(1, {"id": "gone", "audio": "gone.wav"})
    manifest = write_jsonl(folder / "m.jsonl", rows)
    pipeline.extract(manifest, folder / "a", settings=NEEDED)
    return manifest, folder / "a"


def kill_workers(monkeypatch: pytest.MonkeyPatch, which: Callable[[str], bool]) -> list[str]:
    """SIGKILL every worker that is given such a recording; returns them as they fall."""
    give = workers._Pool.give
    killed: list[str] = []

    def give_and_kill(pool: Any, worker: Any, task: Any, n_attempts: int) -> None:
        if which(task.row["recording"]):
            os.kill(worker.process.pid, signal.SIGKILL)
            killed.append(task.row["recording"])
        give(pool, worker, task, n_attempts)

    monkeypatch.setattr(workers._Pool, "give", give_and_kill)
    return killed


def test_workers_find_what_one_process_finds_though_one_of_them_dies(
    tmp_path: Path, mixed: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, alone = mixed
    killed = kill_workers(monkeypatch, lambda recording: not killed)
    told: list[tuple[str, str | None]] = []
    pipeline.extract(
        manifest,
        tmp_path / "a",
        settings=NEEDED,
        workers=2,
        progress=lambda row, _, error: told.append((row["recording"], error)),
    )
    assert len(killed) == 1
    assert_equal(tmp_path / "a", alone)
    names = [*ArchiveReader(alone).recordings()["recording"], "gone"]
    assert sorted(name for name, _ in told) == sorted(names)
    assert [name for name, error in told if error] == ["gone"]
    assert pipeline.score(tmp_path / "a").scores.equals(pipeline.score(alone).scores)


def test_a_recording_that_kills_its_worker_twice_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = make_light(tmp_path, 40)
    killed = kill_workers(monkeypatch, lambda recording: recording == "r7")
    pipeline.extract(manifest, tmp_path / "a", workers=2)
    assert killed == ["r7", "r7"]
    assert len(ArchiveReader(tmp_path / "a").recordings()) == 39
    failure = ArchiveReader(tmp_path / "a").failures().row(0, named=True)
    assert (failure["recording"], failure["error"]) == ("r7", "WorkerDied")
    assert "SIGKILL" in failure["reason"]


def test_what_no_recording_is_to_blame_for_stops_the_run(tmp_path: Path) -> None:
    settings = load_settings("paper", {"extract.asr": "tinny.en"})
    with pytest.raises(SettingsError, match=r"did you mean 'tiny\.en'"):
        pipeline.extract(make_manifest(tmp_path, 2), tmp_path / "a", settings=settings, workers=2)


def test_an_interrupt_ends_the_workers_and_keeps_what_is_done(tmp_path: Path) -> None:
    manifest = make_light(tmp_path, 4000)
    command = [
        sys.executable,
        "-m",
        "flexi_score.cli",
        "extract",
        str(manifest),
        "--archive",
        str(tmp_path / "a"),
        "--workers",
        "2",
    ]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    # a worker beside another, or beside the tracker of resources
    wait_until(lambda: len(_children(process.pid)) >= 2)
    children = _children(process.pid)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does: the whole group
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "Traceback" not in errors
    wait_until(lambda: not any(map(_alive, children)))
    assert store.damaged_parts(tmp_path / "a") == []


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    manifest = make_light(tmp_path, 1500)
    command = [
        sys.executable,
        "-m",
        "flexi_score.cli",
        "extract",
        str(manifest),
        "--archive",
        str(tmp_path / "a"),
        "--workers",
        "2",
        "-q",
    ]
    process = subprocess.Popen(
        command,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: len(_children(process.pid)) >= 3)
    children = _children(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(_alive, children)))


def test_choosing_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "usable_cpus", lambda: 8)
    monkeypatch.setattr(workers, "count_gpus", lambda: 0)
    monkeypatch.setattr(workers, "_free_bytes", lambda: 64_000_000_000)
    assert choose_workers(0, 1000, 60.0) == 1  # little audio
    assert choose_workers(0, 1000, 36_000.0) == 8
    assert choose_workers(0, 3, 36_000.0) == 3
    assert choose_workers(5, 1000, 1.0) == 5  # as asked
    assert choose_workers(5, 2, 1.0) == 2
    monkeypatch.setattr(workers, "_free_bytes", lambda: 3_500_000_000)
    assert choose_workers(0, 1000, 36_000.0) == 2
    monkeypatch.setattr(workers, "count_gpus", lambda: 1)
    assert choose_workers(0, 1000, 36_000.0) == 1
    assert choose_workers(0, 1000, 36_000.0, "cpu") == 2


def test_needed_words_leave_every_timing_outcome_as_it_is(tmp_path: Path) -> None:
    rows = (SAMPLES / "manifest.jsonl").read_text("utf-8")
    names = ("calm_user_interrupt_1", "eager_model_backchannel_1")
    chosen = [line for line in rows.splitlines() if any(f'"{name}"' in line for name in names)]
    assert len(chosen) == 2
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(chosen).replace('"audio": "', f'"audio": "{SAMPLES}/'), "utf-8")
    runs = {}
    for which in ("all", "needed"):
        settings = load_settings("paper", {"extract.asr_words": which})
        runs[which] = pipeline.score(manifest, settings=settings, archive=tmp_path / which)
    every, needed = runs["all"], runs["needed"]
    assert every.scores.equals(needed.scores)
    timing = ["recording", "speaker", "kind", "start_ms", "end_ms", "success", "latency_ms"]
    assert every.events.select(timing).equals(needed.events.select(timing))
    assert "needed-1500ms" in needed.info["signature"]
    assert "needed-" not in every.info["signature"]
    # What was not heard is unknown, not empty.
    long = needed.events.filter(
        pl.col("kind") == "ipu", pl.col("end_ms") - pl.col("start_ms") > 1500
    )
    assert len(long) > 0
    assert long["n_words"].null_count() == len(long)
    for changes in ({"backchannel.max_ms": "2000"}, {}):
        profile = "paper" if changes else "release"
        with pytest.raises(SettingsError, match="--asr needed"):
            pipeline.score(tmp_path / "needed", settings=load_settings(profile, changes))


def test_needed_is_a_choice_of_the_command_line() -> None:
    chosen = chosen_settings("paper", [], ModelOptions(asr="needed:base").changes()).extract
    assert (chosen.asr, chosen.asr_words) == ("base", "needed")
    chosen = chosen_settings("paper", [], ModelOptions(asr="needed").changes()).extract
    assert (chosen.asr, chosen.asr_words) == ("tiny.en", "needed")


def _children(pid: int) -> list[int]:
    try:
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
