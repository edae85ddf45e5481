"""The same conversation brought in every way that users bring it scores the same."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
import soxr
from conftest import SAMPLES, read_jsonl, write_jsonl

import flexi_score
from flexi_score.config import load_settings
from flexi_score.scoring.run import Run

NO_WORDS = load_settings("paper", {"extract.asr": "none"})
NAME = "calm_user_interrupt_1"
ROW = next(row for row in read_jsonl(SAMPLES / "manifest.jsonl") if row["id"] == NAME)


@pytest.fixture(scope="module")
def audio() -> tuple[np.ndarray, int]:
    data, rate = sf.read(SAMPLES / f"{NAME}.flac", dtype="float32")
    return data, rate


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _score(
        tmp_path_factory.mktemp("expected"), [{**ROW, "audio": str(SAMPLES / f"{NAME}.flac")}]
    )


def _score(folder: Path, rows: list[dict[str, object]]) -> Run:
    manifest = write_jsonl(folder / "m.jsonl", rows)
    return flexi_score.score(manifest, settings=NO_WORDS, archive=folder / "archive")


def _same(run: Run, expected: Run, slack_ms: int, shift_ms: int = 0) -> None:
    """IPUs of both speakers are the same to within a slack, and so is every outcome."""
    assert len(run.failures) == 0, run.failures["reason"].to_list()
    for speaker in ("user", "model"):
        found = [
            r.events.filter((pl.col("kind") == "ipu") & (pl.col("speaker") == speaker))
            .select("start_ms", "end_ms")
            .to_numpy()
            for r in (run, expected)
        ]
        assert found[0].shape == found[1].shape, speaker
        assert np.abs(found[0] - found[1] - shift_ms).max() <= slack_ms, speaker
    values = [dict(r.scores.select("metric", "value").iter_rows()) for r in (run, expected)]
    assert values[0]["ttr"] == values[1]["ttr"]
    assert values[0]["stop_latency"] == pytest.approx(values[1]["stop_latency"], abs=slack_ms / 500)


@pytest.mark.parametrize(
    ("name", "rate", "options", "slack_ms"),
    [
        ("a.wav", 16_000, {"subtype": "PCM_24"}, 1),
        ("a.wav", 16_000, {"subtype": "FLOAT"}, 1),
        ("a.wav", 48_000, {"subtype": "PCM_32"}, 10),
        ("a.wav", 44_100, {"subtype": "PCM_16"}, 10),
        ("a.wav", 22_050, {"subtype": "PCM_16"}, 10),
        ("a.wav", 12_345, {"subtype": "PCM_16"}, 15),
        ("a.wav", 8_000, {"subtype": "ULAW"}, 40),
        ("a.wav", 8_000, {"subtype": "ALAW"}, 40),
        ("a.ogg", 16_000, {"format": "OGG", "subtype": "VORBIS"}, 20),
        ("a.opus", 48_000, {"format": "OGG", "subtype": "OPUS"}, 20),
        ("a.mp3", 44_100, {"format": "MP3"}, 60),
    ],
)
def test_encodings_and_rates(
    tmp_path: Path,
    audio: tuple[np.ndarray, int],
    expected: Run,
    name: str,
    rate: int,
    options: dict[str, str],
    slack_ms: int,
) -> None:
    data, own = audio
    moved = data if rate == own else soxr.resample(data, own, rate)
    sf.write(tmp_path / name, np.clip(moved, -0.999, 0.999), rate, **options)
    _same(_score(tmp_path, [{**ROW, "audio": name}]), expected, slack_ms)


def test_any_channel_map(tmp_path: Path, audio: tuple[np.ndarray, int], expected: Run) -> None:
    data, rate = audio
    quiet = np.full(len(data), 1e-4, np.float32)
    sf.write(tmp_path / "four.wav", np.stack([quiet, data[:, 1], quiet, data[:, 0]], 1), rate)
    row = {**ROW, "audio": "four.wav", "channels": {"user": 3, "model": 1}}
    _same(_score(tmp_path, [row]), expected, 1)


def test_a_pair_of_files_with_offsets_and_unequal_length(
    tmp_path: Path, audio: tuple[np.ndarray, int], expected: Run
) -> None:
    data, rate = audio
    # The model's file starts 0.75 s later, in a stretch where the model is silent, and ends sooner.
    start = round(0.75 * rate)
    sf.write(tmp_path / "u.wav", data[:, 0], rate)
    sf.write(tmp_path / "m.wav", data[start:-1600, 1], rate)
    row = {key: value for key, value in ROW.items() if key not in {"audio", "channels"}}
    row |= {"user_audio": "u.wav", "model_audio": "m.wav", "model_offset": 0.75}
    run = _score(tmp_path, [row])
    _same(run, expected, 12)
    assert run.recordings["duration_ms"][0] == round(len(data) / rate * 1000)
    both = {**row, "user_offset": 2.0, "model_offset": 2.75}
    both["annotations"] = {}
    moved = _score(tmp_path, [{**both, "id": "moved"}])
    _same(moved, expected, 12, shift_ms=2000)


def test_segment_files_and_transcripts_replace_the_models(tmp_path: Path, expected: Run) -> None:
    ipus = expected.events.filter(pl.col("kind") == "ipu")
    for speaker in ("user", "model"):
        mine = ipus.filter(pl.col("speaker") == speaker).select("start_ms", "end_ms").rows()
        lines = [
            f"SPEAKER x 1 {a / 1000:.3f} {(b - a) / 1000:.3f} <NA> <NA> {speaker} <NA> <NA>"
            for a, b in mine
        ]
        (tmp_path / f"{speaker}.rttm").write_text("\n".join(lines) + "\n")
    words = {
        "text": "a b",
        "chunks": [{"text": "said", "timestamp": [a / 1000, b / 1000]} for a, b in mine],
    }
    (tmp_path / "model.json").write_text(json.dumps(words))
    row = {key: value for key, value in ROW.items() if key not in {"audio", "channels"}}
    row |= {"user_speech": "user.rttm", "model_speech": "model.rttm", "model_words": "model.json"}
    run = _score(tmp_path, [row])
    _same(run, expected, 0)
    said = run.events.filter((pl.col("kind") == "ipu") & (pl.col("speaker") == "model"))
    assert set(said["text"]) == {"said"}
    assert run.info["models"] == {"vad": "given", "asr": "file"}


def test_the_flexi_layout_with_audio_and_no_transcripts(
    tmp_path: Path, audio: tuple[np.ndarray, int]
) -> None:
    """Where audio is there and transcripts are not, they are made."""
    data, rate = audio
    sample = tmp_path / "user_interrupt" / "0001"
    sample.mkdir(parents=True)
    sf.write(sample / "input.wav", data[:, 0], rate)
    sf.write(sample / "output.wav", data[:, 1], rate)
    start, end = next(
        row["user_speech"][1] for row in read_jsonl(SAMPLES / "truth.jsonl") if row["id"] == NAME
    )
    interrupt = [{"context": "x", "interrupt": "y", "timestamp": [start / 1000, end / 1000]}]
    (sample / "interrupt.json").write_text(json.dumps(interrupt))
    for profile in ("paper", "release"):
        run = flexi_score.score(tmp_path, settings=load_settings(profile), archive=tmp_path / "a")
        assert run.recordings["scenario"].to_list() == ["user_interrupt"]
        values = dict(run.scores.select("metric", "value").iter_rows())
        assert values["ttr"] == 1.0, profile
        assert run.events["text"].drop_nulls().str.len_chars().sum() > 20
