"""The archive: append-only, content-addressed, whole or absent whatever happens."""

import hashlib
import io
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from conftest import ROOT, SAMPLES, write_jsonl

import flexi_score
from flexi_score.archive import store, tables
from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import load_settings
from flexi_score.errors import ArchiveError
from flexi_score.scoring import pipeline

NO_WORDS = load_settings("paper", {"extract.asr": "none"})
GOOD = SAMPLES / "eager_turn_taking_2.flac"
OTHER = SAMPLES / "calm_turn_taking_1.flac"


def _recording(name: str) -> dict[str, object]:
    row = dict.fromkeys(tables.ARCHIVED.names())
    return row | {"recording": name, "system": "s", "scenario": "conversation", "duration_ms": 5}


def test_the_newer_row_of_a_key_wins(tmp_path: Path) -> None:
    folder = store.open_archive(tmp_path / "a", create=True)
    for end in (10, 20):
        rows = [{"key": "k", "segments": [{"start_ms": 0, "end_ms": end}]}]
        store.append(folder, "segments", rows)
    found = ArchiveReader(folder).read("segments", ["k", "absent"])
    assert found.to_dicts() == [
        {"key": "k", "segments": [{"start_ms": 0, "end_ms": 20}], "note": None}
    ]


def test_the_last_attempt_of_a_recording_counts(tmp_path: Path) -> None:
    folder = store.open_archive(tmp_path / "a", create=True)
    failure = {
        "recording": "x",
        "system": "s",
        "scenario": "conversation",
        "stage": "audio",
        "error": "AudioError",
        "reason": "gone",
    }
    store.append(folder, "recordings", [_recording("x"), _recording("y")])
    assert ArchiveReader(folder).recordings()["recording"].to_list() == ["x", "y"]
    store.append(folder, "failures", [failure])
    assert ArchiveReader(folder).recordings()["recording"].to_list() == ["y"]
    assert ArchiveReader(folder).failures()["reason"].to_list() == ["gone"]
    store.append(folder, "recordings", [_recording("x")])
    assert sorted(ArchiveReader(folder).recordings()["recording"]) == ["x", "y"]
    assert len(ArchiveReader(folder).failures()) == 0


def test_what_a_killed_writer_leaves_is_ignored(tmp_path: Path) -> None:
    folder = store.open_archive(tmp_path / "a", create=True)
    store.append(folder, "recordings", [_recording("x")])
    (folder / "recordings" / ".123.parquet.9.tmp").write_bytes(b"half a par")
    assert ArchiveReader(folder).recordings()["recording"].to_list() == ["x"]


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    folder = store.open_archive(tmp_path / "a", create=True)
    store.append(folder, "recordings", [_recording("x")])
    store.append(folder, "recordings", [_recording("y")])
    part = sorted((folder / "recordings").glob("*.parquet"))[1]
    part.write_bytes(part.read_bytes()[:-30])
    with pytest.raises(ArchiveError, match=part.name):
        ArchiveReader(folder).recordings()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("{", "cannot be read"),
        ('{"format": "x"}', "is not the label"),
        ('{"format": "flexi_score archive", "version": 99}', "version 99"),
    ],
)
def test_a_label_that_is_not_ours_is_refused(tmp_path: Path, label: str, words: str) -> None:
    (tmp_path / "archive.json").write_text(label)
    with pytest.raises(ArchiveError, match=words):
        store.open_archive(tmp_path)


def test_the_same_audio_under_two_names_is_extracted_once(tmp_path: Path) -> None:
    shutil.copy(GOOD, tmp_path / "one.flac")
    shutil.copy(GOOD, tmp_path / "two.flac")
    rows = [{"id": n, "audio": f"{n}.flac", "scenario": "turn_taking"} for n in ("one", "two")]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    run = flexi_score.score(manifest, settings=NO_WORDS, archive=tmp_path / "a")
    assert len(ArchiveReader(tmp_path / "a").read("channels", columns=["key"])) == 2
    by_name = run.scores.partition_by("recording", as_dict=True)
    one, two = (by_name[(n,)].drop("recording") for n in ("one", "two"))
    assert one.equals(two)


def test_extracting_again_adds_no_artefact(tmp_path: Path) -> None:
    first = flexi_score.score(GOOD, settings=NO_WORDS, archive=tmp_path / "a")
    again = flexi_score.score(GOOD, settings=NO_WORDS, archive=tmp_path / "a")
    assert len(list((tmp_path / "a" / "channels").glob("*.parquet"))) == 1
    assert again.events.equals(first.events)


def test_words_can_be_added_to_an_archive_that_had_none(tmp_path: Path) -> None:
    bare = flexi_score.score(GOOD, settings=NO_WORDS, archive=tmp_path / "a")
    assert bare.events["text"].drop_nulls().len() == 0
    spoken = flexi_score.score(GOOD, archive=tmp_path / "a")
    assert "garden" in " ".join(spoken.events["text"].drop_nulls())
    assert len(ArchiveReader(tmp_path / "a").read("channels", columns=["key"])) == 2


def test_an_archive_moves_without_its_audio(tmp_path: Path) -> None:
    shutil.copy(GOOD, tmp_path / "x.flac")
    here = flexi_score.score(tmp_path / "x.flac", settings=NO_WORDS, archive=tmp_path / "a")
    shutil.move(tmp_path / "a", tmp_path / "elsewhere")
    (tmp_path / "x.flac").unlink()
    there = flexi_score.score(tmp_path / "elsewhere", settings=NO_WORDS)
    assert there.events.equals(here.events)


def test_rescoring_imports_no_model_library(tmp_path: Path) -> None:
    flexi_score.score(GOOD, settings=NO_WORDS, archive=tmp_path / "a")
    code = (
        "import sys; from flexi_score.cli import main\n"
        f"try: main(['score', {str(tmp_path / 'a')!r}, '--out', {str(tmp_path / 'r')!r}])\n"
        "except SystemExit as done: assert done.code == 0, done.code\n"
        "heavy = {'torch', 'onnxruntime', 'faster_whisper', 'silero_vad'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_was_written_last_counts_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store.open_archive(tmp_path / "a", create=True)
    newest = store.append(folder, "recordings", [_recording("x") | {"system": "first"}])
    monkeypatch.setattr("time.time_ns", lambda: 1_000)
    for known, system in ((None, "second"), (newest + 1, "third")):
        store.append(folder, "recordings", [_recording("x") | {"system": system}], known)
        assert ArchiveReader(folder).recordings()["system"].to_list() == [system]


def test_a_flipped_bit_that_can_be_read_is_noticed(tmp_path: Path) -> None:
    """Not every damage makes a part unreadable; its hash tells all the same."""
    folder = store.open_archive(tmp_path / "a", create=True)
    for name in ("x", "y"):
        store.append(folder, "segments", [{"key": name, "segments": []}])
    store.append(folder, "recordings", [_recording("x")])
    part = sorted((folder / "segments").glob("*.parquet"))[0]
    # The same rows, written otherwise: they can be read, and are not what was kept.
    pl.read_parquet(part).write_parquet(part, compression="lz4")
    with pytest.raises(ArchiveError, match=f"{part.name}.*--repair"):
        ArchiveReader(folder).read("segments", ["y"])


def test_a_limited_reader_reads_only_the_parts_of_its_recordings(tmp_path):
    folder = store.open_archive(tmp_path / "a", create=True)
    for name in ("x", "y"):
        store.append(folder, "segments", [{"key": name, "segments": []}])
        row = _recording(name) | {"user_segments_key": name}
        store.append(folder, "recordings", [row])
    reader = ArchiveReader(folder)
    rows = reader.recordings()
    limited = pickle.loads(pickle.dumps(reader.limited_to(rows.filter(recording="y"))))
    assert len(limited.parts("segments")) == 1
    assert limited.read("segments", ["x", "y"])["key"].to_list() == ["y"]
    assert limited.read("words", ["y"]).is_empty()


def test_a_cached_reader_reads_once(tmp_path):
    folder = store.open_archive(tmp_path / "a", create=True)
    store.append(folder, "segments", [{"key": "x", "segments": []}])
    cached, fresh = ArchiveReader(folder, cached=True), ArchiveReader(folder)
    assert cached.read("segments", ["x", "y"]).equals(fresh.read("segments", ["x", "y"]))
    store.append(folder, "segments", [{"key": "y", "segments": []}])
    assert len(cached.read("segments", ["x", "y"])) == 1
    assert len(fresh.read("segments", ["x", "y"])) == 2


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one recording with audio."""
    folder = tmp_path_factory.mktemp("spoken")
    rows = [{"id": "x", "audio": str(GOOD), "scenario": "turn_taking"}]
    manifest = write_jsonl(folder / "m.jsonl", rows)
    pipeline.extract(manifest, folder / "a", settings=NO_WORDS)
    return folder / "a"


def test_speech_of_the_settings_of_extraction_is_read_and_not_detected(
    spoken: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    shutil.copytree(spoken, folder)
    assert len(ArchiveReader(folder).read("speech")) == 2
    whole = pipeline.score(folder, settings=NO_WORDS)
    shutil.rmtree(folder / "frames")
    other = load_settings("paper", {"extract.asr": "none", "ipu.min_silence_ms": 400})
    expected = pipeline.score(spoken, settings=other)
    for settings, want in ((NO_WORDS, whole), (other, expected)):
        again = pipeline.score(folder, settings=settings)
        assert again.scores.equals(want.scores)
        assert again.events.equals(want.events)


def test_other_speech_settings_are_detected_anew(spoken: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(spoken, folder)
    other = load_settings("paper", {"extract.asr": "none", "speech.pad_ms": 100})
    detected = pipeline.score(folder, settings=other)
    shutil.rmtree(folder / "speech")
    assert pipeline.score(folder, settings=other).events.equals(detected.events)
    assert not pipeline.score(folder, settings=NO_WORDS).events.equals(detected.events)
    shutil.rmtree(folder / "frames")
    failed = pipeline.score(folder, settings=other).failures
    assert "does not hold the frames" in failed["reason"].item()


def test_an_extraction_adds_the_speech_of_new_settings_without_audio(
    spoken: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "a"
    shutil.copytree(spoken, folder)
    other = load_settings("paper", {"extract.asr": "none", "speech.pad_ms": 100})
    before = ArchiveReader(folder).count("frames")
    pipeline.extract(spoken.parent / "m.jsonl", folder, settings=other)
    assert ArchiveReader(folder).count("frames") == before
    assert ArchiveReader(folder).count("speech") == 4


def _rewritten(folder: Path, table: str, change: pl.Expr) -> Path:
    """Change a column of a table's first part, and hash the part anew."""
    old = min((folder / table).glob("*.parquet"))
    buffer = io.BytesIO()
    pl.read_parquet(old).with_columns(change).write_parquet(buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:16]
    part = old.with_name(f"{old.stem.split('-')[0]}-{digest}.parquet")
    old.unlink()
    part.write_bytes(buffer.getvalue())
    return part


_BACKWARDS = pl.element().struct.with_fields(end_ms=pl.field("start_ms") - 5)
_TWICE = pl.col("speech").list.concat(pl.col("speech"))


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        ("speech", pl.col("speech").list.eval(_BACKWARDS), "sorted and disjoint"),
        ("speech", _TWICE.alias("speech"), "sorted and disjoint"),
        ("channels", pl.lit(1.5).alias("zero_share"), "zero_share is not in 0 to 1"),
        ("speech", pl.lit("x").alias("speech"), "cannot be read as a table"),
        ("channels", pl.lit(-5, pl.Int64).alias("duration_ms"), "duration_ms"),
        ("channels", pl.lit(float("nan")).alias("noise_dbfs"), "noise_dbfs"),
        ("channels", pl.lit(None, pl.String).alias("key"), "key is missing"),
        ("frames", pl.col("probabilities").list.head(3), "different lengths"),
        ("recordings", pl.lit(-(10**12)).alias("duration_ms"), "duration_ms"),
    ],
)
def test_what_cannot_be_in_a_part_is_named_though_its_hash_is_right(
    spoken: Path, tmp_path: Path, table: str, change: pl.Expr, words: str
) -> None:
    folder = tmp_path / "a"
    shutil.copytree(spoken, folder)
    part = _rewritten(folder, table, change)
    settings = NO_WORDS
    if table == "frames":
        settings = load_settings("paper", {"extract.asr": "none", "speech.pad_ms": 50})
    with pytest.raises(ArchiveError, match=words) as caught:
        pipeline.score(folder, settings=settings)
    assert part.name in str(caught.value)
