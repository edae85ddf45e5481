"""Input and archive in an object store: a real S3 server (moto's) on this machine."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SAMPLES, write_jsonl
from test_resume import contents, make_light

from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import load_settings
from flexi_score.errors import ArchiveError
from flexi_score.extraction.remote import mirror_archive, read_remote_manifest
from flexi_score.scoring import pipeline

s3fs = pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

NO_WORDS = load_settings("paper", {"extract.asr": "none"})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A server with an empty bucket ``calls``."""
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"http://{host}:{port}"
    running.stop()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[s3fs.S3FileSystem]:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("calls")
    yield system
    system.rm("calls", recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


def upload(system: s3fs.S3FileSystem, folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():
            system.put_file(str(path), f"calls/in/{path.name}")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flexi_score.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_command_extracts_from_s3_to_s3(tmp_path: Path, bucket: s3fs.S3FileSystem) -> None:
    manifest = make_light(tmp_path, 4)
    upload(bucket, tmp_path)
    want = tmp_path / "want"
    pipeline.extract(manifest, want, settings=NO_WORDS)
    command = ["extract", f"s3://calls/in/{manifest.name}", "--archive", "s3://calls/out", "-q"]
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "4 recordings; 0 failed" in done.stdout
    here = tmp_path / "here"
    bucket.get("calls/out/", str(here), recursive=True)
    assert store.damaged_parts(here) == []
    have, expected = contents(here), contents(want)
    assert have["segments"].equals(expected["segments"])
    scores = pipeline.score(here, settings=NO_WORDS).scores
    assert scores.equals(pipeline.score(want, settings=NO_WORDS).scores)
    # Nothing is extracted twice: what is there is fetched, and only hashes of files may be added.
    before = {path for path in bucket.find("calls/out") if "/files/" not in path}
    assert run(*command).returncode == 0
    assert {path for path in bucket.find("calls/out") if "/files/" not in path} == before


def test_audio_is_fetched_and_what_is_missing_fails_alone(
    tmp_path: Path, bucket: s3fs.S3FileSystem
) -> None:
    pytest.importorskip("silero_vad")
    sample = sorted(SAMPLES.glob("*.flac"))[0]
    bucket.put_file(str(sample), "calls/in/one.flac")
    rows = [{"id": "one", "audio": "one.flac"}, {"id": "gone", "audio": "gone.flac"}]
    bucket.put_file(str(write_jsonl(tmp_path / "m.jsonl", rows)), "calls/in/m.jsonl")
    found = read_remote_manifest("s3://calls/in/m.jsonl")
    assert found.rows["audio"].to_list() == ["s3://calls/in/one.flac", "s3://calls/in/gone.flac"]
    with mirror_archive("s3://calls/audio") as (folder, send):
        pipeline.extract(found, folder, settings=NO_WORDS, after_write=send)
    with mirror_archive("s3://calls/audio") as (folder, _):
        assert ArchiveReader(folder).recordings()["recording"].to_list() == ["one"]
        failure = ArchiveReader(folder).failures().row(0, named=True)
        assert failure["recording"] == "gone"
        assert "s3://calls/in/gone.flac" in failure["reason"]
        local = write_jsonl(tmp_path / "local.jsonl", [{"id": "one", "audio": str(sample)}])
        pipeline.extract(local, tmp_path / "want", settings=NO_WORDS)
        assert contents(folder)["channels"].equals(contents(tmp_path / "want")["channels"])


def test_a_bucket_that_is_not_there_is_named_and_not_made(bucket: s3fs.S3FileSystem) -> None:
    with pytest.raises(ArchiveError, match="s3://nowhere/out"), mirror_archive("s3://nowhere/out"):
        pass
    assert "nowhere" not in bucket.ls("")
