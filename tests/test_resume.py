"""Extraction that is interrupted, repeated, damaged or shared: the archive ends up the same."""

import hashlib
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from conftest import ROOT, SAMPLES, Cli, wait_until, write_jsonl

from flexi_score.archive import store, tables
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import load_settings
from flexi_score.errors import ArchiveError, InputError, SettingsError
from flexi_score.extraction import keys
from flexi_score.extraction.ledger import Writer, plan_tasks
from flexi_score.extraction.run import in_shard, parse_shard
from flexi_score.manifest import read_input
from flexi_score.scoring import pipeline
from flexi_score.scoring.merge import merge_archives

NO_WORDS = load_settings("paper", {"extract.asr": "none"})
GOOD = SAMPLES / "eager_turn_taking_2.flac"
COMMAND = [sys.executable, "-m", "flexi_score.cli"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def make_light(folder: Path, count: int, first: int = 0) -> Path:
    """A manifest of segment files: extracting it needs no model, so a process starts quickly."""
    rows = []
    for n in range(first, first + count):
        for side, start in (("user", 0.5), ("model", 2.5)):
            line = f"SPEAKER r{n} 1 {start + n % 7 / 10:.3f} 1.500 <NA> <NA> {side} <NA> <NA>\n"
            (folder / f"{n}.{side}.rttm").write_text(line, "utf-8")
        rows.append(
            {"id": f"r{n}", "user_speech": f"{n}.user.rttm", "model_speech": f"{n}.model.rttm"}
        )
    return write_jsonl(folder / f"light{first}_{count}.jsonl", rows)


def make_manifest(folder: Path, count: int, first: int = 0) -> Path:
    paths = sorted(SAMPLES.glob("*.flac"))[first : first + count]
    rows = [{"id": path.stem, "audio": str(path)} for path in paths]
    return write_jsonl(folder / f"m{first}_{count}.jsonl", rows)


def contents(archive: Path) -> dict[str, pl.DataFrame]:
    """All that scoring reads, in an order that does not depend on how it came about."""
    found = {
        name: ArchiveReader(archive).read(name).sort("key")
        for name, schema in tables.TABLES.items()
        if "key" in schema
    }
    found["recordings"] = ArchiveReader(archive).recordings()
    return found | {"failures": ArchiveReader(archive).failures()}


def assert_equal(one: Path, other: Path) -> None:
    a, b = contents(one), contents(other)
    for name, table in a.items():
        assert table.equals(b[name]), name


def parts(archive: Path) -> list[Path]:
    return sorted(archive.glob("*/*.parquet"))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of a recording with audio, and its archive."""
    folder = tmp_path_factory.mktemp("heard")
    manifest = make_manifest(folder, 1)
    pipeline.extract(manifest, folder / "a", settings=NO_WORDS)
    return manifest, folder / "a"


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A manifest of many recordings without audio, and its archive."""
    folder = tmp_path_factory.mktemp("light")
    manifest = make_light(folder, 600)
    pipeline.extract(manifest, folder / "a")
    return manifest, folder / "a"


def test_an_extraction_killed_at_random_moments_is_finished(
    tmp_path: Path, light: tuple[Path, Path]
) -> None:
    """``tests/bench/kill_test.py`` does so at twenty moments, with audio."""
    manifest, whole = light
    command = [*COMMAND, "extract", manifest, "--archive", tmp_path / "a", "-q"]
    draw = random.Random(5)
    held = []
    for _ in range(4):
        process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        count = len(held and ArchiveReader(tmp_path / "a").recordings())
        wanted = count // 32 + draw.randrange(1, 4)
        wait_until(
            lambda process=process, wanted=wanted: (
                process.poll() is not None
                or len(list(tmp_path.glob("a/recordings/*.parquet"))) > wanted
            )
        )
        time.sleep(draw.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        held.append(len(ArchiveReader(tmp_path / "a").recordings()))
    assert held == sorted(held)
    assert any(0 < count < 600 for count in held)
    assert store.damaged_parts(tmp_path / "a") == []
    pipeline.extract(manifest, tmp_path / "a")
    assert_equal(tmp_path / "a", whole)


def test_a_repeated_extraction_reads_no_file_and_writes_none(
    tmp_path: Path, heard: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, archive = heard
    before = parts(archive)
    monkeypatch.setattr("flexi_score.extraction.ledger.content_hash", None)
    pipeline.extract(manifest, archive, settings=NO_WORDS)
    assert parts(archive) == before


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    target = tmp_path / "x.flac"
    target.write_bytes(GOOD.read_bytes())
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"id": "x", "audio": "x.flac"}])
    pipeline.extract(manifest, tmp_path / "a", settings=NO_WORDS)
    # Just written, it might still change within a tick of the clock: its hash is not kept.
    assert ArchiveReader(tmp_path / "a").files().is_empty()
    os.utime(target, ns=(0, 0))
    first = ArchiveReader(tmp_path / "a").recordings()["user_key"].item()
    target.write_bytes((SAMPLES / "calm_turn_taking_1.flac").read_bytes())
    os.utime(target, ns=(0, 0))
    pipeline.extract(manifest, tmp_path / "a", settings=NO_WORDS)
    assert ArchiveReader(tmp_path / "a").recordings()["user_key"].item() != first


def test_a_kept_hash_is_used_only_while_nothing_about_the_file_changed(tmp_path: Path) -> None:
    target = tmp_path / "x.flac"
    target.write_bytes(GOOD.read_bytes())
    row = {"id": "x", "audio": "x.flac"}
    manifest = read_input(write_jsonl(tmp_path / "m.jsonl", [row]))
    archive = store.open_archive(tmp_path / "a", create=True)
    found = target.stat()
    kept = {
        "path": str(target),
        "n_bytes": found.st_size,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "sha256": "kept",
    }
    store.append(archive, "files", [kept])
    (task,) = plan_tasks(manifest.rows, archive, retry_failed=False)
    assert task.hashes == {str(target): "kept"}
    while target.stat().st_ctime_ns == found.st_ctime_ns:  # which moves in steps
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))  # as if by cp -p
    (task,) = plan_tasks(manifest.rows, archive, retry_failed=False)
    assert task.hashes == {}


def test_a_failed_recording_is_tried_again_on_request_or_once_something_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no audio at all")
    manifest = write_jsonl(tmp_path / "m.jsonl", [{"id": "bad", "audio": "bad.wav"}])
    archive = tmp_path / "a"
    pipeline.extract(manifest, archive, settings=NO_WORDS)
    first = parts(archive)
    reason = ArchiveReader(archive).failures()["reason"].item()
    _, found = pipeline.extract(manifest, archive, settings=NO_WORDS)
    assert "--retry-failed" in found.warnings[-1]
    assert parts(archive) == first
    assert ArchiveReader(archive).failures()["reason"].item() == reason
    _, found = pipeline.extract(manifest, archive, settings=NO_WORDS, retry_failed=True)
    assert not any("--retry-failed" in warning for warning in found.warnings)
    with monkeypatch.context() as patch:
        patch.setattr(keys, "CROSSTALK_VERSION", -1)
        _, found = pipeline.extract(manifest, archive, settings=NO_WORDS)
        assert not any("--retry-failed" in warning for warning in found.warnings)
    assert len(list((archive / "failures").glob("*.parquet"))) == 3
    (tmp_path / "bad.wav").write_bytes((SAMPLES / "awkward_calm_turn_taking.wav").read_bytes())
    pipeline.extract(manifest, archive, settings=NO_WORDS)
    assert ArchiveReader(archive).failures().is_empty()
    assert ArchiveReader(archive).recordings()["recording"].to_list() == ["bad"]


@pytest.mark.parametrize("table", ["segments", "recordings"])
def test_a_damaged_part_is_refused_and_repaired(
    tmp_path: Path, light: tuple[Path, Path], table: str, cli: Cli
) -> None:
    manifest, whole = light
    merge_archives([whole], tmp_path / "a")
    part = next((tmp_path / "a" / table).glob("*.parquet"))
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1  # one bit
    part.unlink()  # it is a link to the fixture's
    part.write_bytes(data)
    done = cli("extract", manifest, "--archive", tmp_path / "a", "-q")
    assert done.returncode == 2
    assert part.name in done.stderr
    assert "--repair" in done.stderr
    pipeline.extract(manifest, tmp_path / "a", repair=True)
    assert part.with_name(part.name + ".damaged").exists()
    assert_equal(tmp_path / "a", whole)


def test_two_processes_on_one_archive(tmp_path: Path, light: tuple[Path, Path]) -> None:
    manifest, whole = light
    half = tmp_path / "half.jsonl"
    half.write_text("".join(manifest.read_text("utf-8").splitlines(keepends=True)[200:]), "utf-8")
    half = half.rename(manifest.with_name("half.jsonl"))
    others = [manifest, half]
    command = [*COMMAND, "extract", "--archive", tmp_path / "a", "-q"]
    both = [
        subprocess.Popen([*command, other], env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        for other in others
    ]
    assert [process.wait() for process in both] == [0, 0]
    assert store.damaged_parts(tmp_path / "a") == []
    pipeline.extract(manifest, tmp_path / "a")
    assert_equal(tmp_path / "a", whole)


def _full(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path, light: tuple[Path, Path]) -> None:
    manifest, whole = light
    command = [*COMMAND, "extract", manifest, "--archive", tmp_path / "a", "-q"]
    done = subprocess.run(
        command,
        env=ENVIRONMENT | {"PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        check=False,
        capture_output=True,
        preexec_fn=lambda: _full(4000),
    )
    assert done.returncode == 2, done.stderr
    assert "cannot add to the archive" in done.stderr
    assert "Traceback" not in done.stderr
    assert store.damaged_parts(tmp_path / "a") == []
    assert list((tmp_path / "a").glob("*/.*.tmp")) == []
    ArchiveReader(tmp_path / "a").recordings()
    pipeline.extract(manifest, tmp_path / "a")
    assert_equal(tmp_path / "a", whole)


def test_shards_merge_into_the_whole(tmp_path: Path, light: tuple[Path, Path]) -> None:
    manifest, whole = light
    shards = [tmp_path / f"part{i}" for i in (1, 2)]
    for i, shard in enumerate(shards, start=1):
        pipeline.extract(manifest, shard, shard=(i, 2))
    added = merge_archives(shards, tmp_path / "a")
    assert added == sum(len(parts(shard)) for shard in shards)
    assert merge_archives(shards, tmp_path / "a") == 0
    assert_equal(tmp_path / "a", whole)
    scores = pipeline.score(tmp_path / "a").scores
    assert scores.equals(pipeline.score(whole).scores)


def test_every_recording_is_in_one_shard() -> None:
    table = pl.DataFrame({"recording": [f"r{i}" for i in range(500)]})
    shards = [in_shard(table, (i, 7)) for i in range(1, 8)]
    assert sum(shards[1:], start=shards[0].cast(pl.Int64)).to_list() == [1] * 500
    assert min(shard.sum() for shard in shards) > 40
    assert parse_shard("3/7") == (3, 7)
    for wrong in ("0/2", "3/2", "2", "a/b", "1/0"):
        with pytest.raises(SettingsError, match="expected i/n"):
            parse_shard(wrong)


def test_merging_refuses_what_is_damaged(tmp_path: Path, light: tuple[Path, Path]) -> None:
    _, whole = light
    merge_archives([whole], tmp_path / "a")
    part = parts(tmp_path / "a")[0]
    part.unlink()
    part.write_bytes(b"PAR1")
    with pytest.raises(ArchiveError, match=part.name):
        merge_archives([whole, tmp_path / "a"], tmp_path / "b")
    assert not (tmp_path / "b").exists()
    with pytest.raises(InputError, match="itself"):
        merge_archives([whole], whole)


def test_a_part_from_before_a_column_was_thought_of_is_read(tmp_path: Path) -> None:
    archive = store.open_archive(tmp_path / "a", create=True)
    row = dict.fromkeys(tables.ARCHIVED.names()) | {"recording": "x", "system": "s"}
    old = pl.DataFrame([row], schema=tables.ARCHIVED).drop("manifest_position")
    (archive / "recordings").mkdir()
    buffer = io.BytesIO()
    old.write_parquet(buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    (archive / "recordings" / f"{1:020d}-{digest}.parquet").write_bytes(buffer.getvalue())
    store.append(archive, "recordings", [row | {"recording": "y", "manifest_position": 0}])
    assert ArchiveReader(archive).recordings()["recording"].to_list() == ["y", "x"]


def test_leftovers_of_killed_writers_are_cleared_when_old(tmp_path: Path) -> None:
    archive = store.open_archive(tmp_path / "a", create=True)
    (archive / "words").mkdir()
    old, new = archive / "words" / ".1.parquet.9.tmp", archive / "words" / ".2.parquet.9.tmp"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (0, 0))
    Writer(archive)
    assert not old.exists()
    assert new.exists()


def test_rows_that_could_not_be_read_are_kept(tmp_path: Path) -> None:
    """Whoever scores the archive counts what the manifest's own score counted."""
    good = make_light(tmp_path, 3)
    broken = {"id": "bad", "user_speech": "0.user.rttm", "scenario": "no_such_scenario"}
    text = good.read_text("utf-8")
    manifest = tmp_path / "m.jsonl"
    manifest.write_text(text + json.dumps(broken) + "\n", "utf-8")
    archive = tmp_path / "a"
    first = pipeline.score(manifest, settings=NO_WORDS, archive=archive)
    assert first.failures["recording"].to_list() == ["bad"]
    again = pipeline.score(archive, settings=NO_WORDS)
    assert again.failures.equals(first.failures)
    assert again.scores.equals(first.scores)
    assert again.summary.equals(first.summary)

    before = len(list((archive / "failures").glob("*.parquet")))
    pipeline.score(manifest, settings=NO_WORDS, archive=archive)
    assert len(list((archive / "failures").glob("*.parquet"))) == before, "not written twice"

    # Put right, it is a recording like any other.
    mended = broken | {"scenario": "conversation", "model_speech": "0.model.rttm"}
    manifest.write_text(text + json.dumps(mended) + "\n", "utf-8")
    whole = pipeline.score(manifest, settings=NO_WORDS, archive=archive)
    assert len(whole.failures) == 0
    assert pipeline.score(archive, settings=NO_WORDS).scores.equals(whole.scores)
    assert "bad" in whole.scores["recording"].to_list()


def test_the_command_names_what_was_refused_once(tmp_path: Path, cli: Cli) -> None:
    good = make_light(tmp_path, 2)
    manifest = tmp_path / "m.jsonl"
    broken = {"id": "bad", "user_speech": "0.user.rttm", "scenario": "no_such_scenario"}
    manifest.write_text(good.read_text("utf-8") + json.dumps(broken) + "\n", "utf-8")
    for _ in range(2):
        done = cli("extract", str(manifest), "--archive", str(tmp_path / "a"), "-q")
        assert done.returncode == 1
        assert "2 recordings; 1 failed" in done.stdout
        assert done.stderr.count("bad: ") == 1
