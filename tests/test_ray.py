"""Extraction on a real local Ray of two actors, one of which is killed on the way."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SAMPLES, read_jsonl, write_jsonl
from test_resume import assert_equal, contents

from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import load_settings
from flexi_score.extraction.remote import mirror_archive, read_remote_manifest
from flexi_score.scoring import pipeline

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'flexi_score[ray]'")
NO_WORDS = load_settings("paper", {"extract.asr": "none"})


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a manifest and audio, and its archive as one process makes it."""
    folder = tmp_path_factory.mktemp("alone")
    rows: list[dict[str, Any]] = []
    for path in sorted(SAMPLES.glob("*.flac"))[:5]:
        (folder / path.name).write_bytes(path.read_bytes())
        rows.append({"id": path.stem, "audio": path.name})
    rows.insert(3, {"id": "gone", "audio": "gone.wav"})
    manifest = write_jsonl(folder / "manifest.jsonl", rows)
    pipeline.extract(manifest, folder / "a", settings=NO_WORDS)
    return manifest, folder / "a"


def actor_pids() -> list[int]:
    """Processes of ours that hold an actor of the extraction."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            if b"MapBatches" in command and os.getpid() in ancestors(int(process.name)):
                found.append(int(process.name))
        except OSError:
            continue
    return found


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid


def test_ray_finds_what_one_process_finds_though_an_actor_is_killed(
    tmp_path: Path, alone: tuple[Path, Path]
) -> None:
    manifest, want = alone
    killed: list[int] = []
    told: list[str] = []

    def progress(row: Mapping[str, Any], seconds: float, error: str | None) -> None:
        told.append(row["recording"])
        if not killed and (actors := actor_pids()):
            killed.append(actors[0])
            os.kill(actors[0], signal.SIGKILL)

    pipeline.extract(
        manifest, tmp_path / "a", settings=NO_WORDS, executor="ray", workers=2, progress=progress
    )
    assert len(killed) == 1
    assert len(told) == len(set(told)) == 6
    assert_equal(tmp_path / "a", want)


def test_input_and_archive_at_urls(tmp_path: Path, alone: tuple[Path, Path]) -> None:
    manifest, want = alone
    url = f"file://{tmp_path}/there/archive"
    found = read_remote_manifest(f"file://{manifest}")
    assert set(found.rows["audio"].str.slice(0, 7)) == {"file://"}
    with mirror_archive(url) as (folder, send):
        pipeline.extract(
            found, folder, settings=NO_WORDS, executor="ray", workers=2, after_write=send
        )
    there = store.open_archive(tmp_path / "there" / "archive")
    assert store.damaged_parts(there) == []
    have, expected = contents(there), contents(want)
    for name in ("channels", "health"):
        assert have[name].equals(expected[name]), name
    assert have["recordings"].drop("audio").equals(expected["recordings"].drop("audio"))
    assert have["failures"]["recording"].to_list() == ["gone"]
    assert "file://" in have["failures"]["reason"].item()
    # What is there is fetched again, and nothing is extracted twice.
    before = sorted(path.name for path in there.glob("*/*.parquet"))
    with mirror_archive(url) as (folder, send):
        pipeline.extract(found, folder, settings=NO_WORDS, executor="ray", after_write=send)
    names = [path.name for path in there.glob("[!f]*/*.parquet")]
    assert set(names) <= set(before)


def test_a_recording_that_is_lost_with_two_actors_fails_alone(
    tmp_path: Path, alone: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actors that end themselves at the first recording."""
    manifest, _ = alone
    rows = read_jsonl(manifest)[:2]
    light = write_jsonl(manifest.parent / "two.jsonl", rows)
    from flexi_score.extraction import ray_executor

    class Fragile(ray_executor._Actor):
        def _attempt(self, number: int, task: Any) -> Any:
            if task.row["recording"] == rows[0]["id"] and self._left(number):
                os._exit(1)
            return super()._attempt(number, task)

        def _left(self, number: int) -> bool:
            return int(ray.get(self._attempts.begin.remote(number))) <= 2

    monkeypatch.setattr(ray_executor, "_Actor", Fragile)
    pipeline.extract(light, tmp_path / "a", settings=NO_WORDS, executor="ray", workers=2)
    failure = ArchiveReader(tmp_path / "a").failures().row(0, named=True)
    assert (failure["recording"], failure["error"]) == (rows[0]["id"], "WorkerDied")
    assert ArchiveReader(tmp_path / "a").recordings()["recording"].to_list() == [rows[1]["id"]]
