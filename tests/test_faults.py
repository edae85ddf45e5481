"""Bad input: a clear message, exit code 1, and every other recording's result kept."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import soundfile as sf
from conftest import SAMPLES, Cli, write_jsonl

GOOD = SAMPLES / "eager_turn_taking_2.flac"


def _speech() -> tuple[np.ndarray, int]:
    data, rate = sf.read(GOOD, dtype="float32")
    return data, rate


def _faulty(folder: Path) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    """Manifest rows with one fault each, and what the message about it must say."""
    data, rate = _speech()
    shutil.copy(GOOD, folder / "good.flac")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("this is no audio\n" * 50)
    sf.write(folder / "whole.wav", data, rate)
    whole = (folder / "whole.wav").read_bytes()
    (folder / "truncated.wav").write_bytes(whole[: len(whole) // 2])
    sf.write(folder / "mono.wav", data[:, 0], rate)
    dead = data.copy()
    dead[:, 1] = 0
    sf.write(folder / "dead.wav", dead, rate)
    nan = data.copy()
    nan[5000:5010, 0] = np.nan
    sf.write(folder / "nan.wav", nan, rate, subtype="FLOAT")
    sf.write(folder / "zero.wav", data[:0], rate)
    sf.write(folder / "blip.wav", data[: int(0.05 * rate)], rate)
    (folder / "bad_words.json").write_text('{"text": "hi", "chunks": [{"text": "hi"}')
    tt = {"system": "s", "scenario": "turn_taking"}
    seconds = len(data) / rate
    return [
        ({"id": "missing", "audio": "missing.wav", **tt}, ("missing.wav", "no such file")),
        ({"id": "empty", "audio": "empty.wav", **tt}, ("empty.wav", "empty")),
        ({"id": "text", "audio": "text.wav", **tt}, ("text.wav",)),
        ({"id": "truncated", "audio": "truncated.wav", **tt}, ("truncated.wav",)),
        ({"id": "mono", "audio": "mono.wav", **tt}, ("mono.wav", "one channel", "expected two")),
        ({"id": "dead", "audio": "dead.wav", **tt}, ("dead.wav", "model channel is dead")),
        ({"id": "nan", "audio": "nan.wav", **tt}, ("nan.wav", "10")),
        ({"id": "zero", "audio": "zero.wav", **tt}, ("zero.wav",)),
        ({"id": "blip", "audio": "blip.wav", **tt}, ("blip.wav", "0.05")),
        ({"id": "scenario", "audio": "good.flac", "scenario": "turn_takng"}, ("'turn_taking'",)),
        ({"id": "key", "audio": "good.flac", "anotations": {}}, ("anotations", "annotations")),
        (
            {
                "id": "order",
                "audio": "good.flac",
                "scenario": "pause_handling",
                "annotations": {"pause": [3, 2]},
            },
            ("pause", "3", "2"),
        ),
        (
            {
                "id": "late",
                "audio": "good.flac",
                "annotations": {"user_turn_end": seconds + 9},
                **tt,
            },
            ("user_turn_end", f"{seconds:.2f}"[:4]),
        ),
        (
            {"id": "words", "audio": "good.flac", "user_words": "bad_words.json", **tt},
            ("bad_words.json", "line 1"),
        ),
    ]


def test_each_fault_costs_its_own_recording_and_no_other(tmp_path: Path, cli: Cli) -> None:
    faulty = _faulty(tmp_path)
    good = {"id": "good", "system": "s", "scenario": "turn_taking", "audio": "good.flac"}
    rows = [good, *(row for row, _ in faulty), {**good, "audio": "whole.wav"}]
    manifest = write_jsonl(tmp_path / "manifest.jsonl", rows)
    done = cli("score", manifest, "--asr", "none", "--out", tmp_path / "run", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    scores = pl.read_parquet(tmp_path / "run" / "scores.parquet")
    kept = scores.filter(pl.col("recording") == "good")
    assert dict(kept.select("metric", "value").iter_rows())["tor"] == 1.0
    assert set(kept["status"]) == {"scored"}
    report = (tmp_path / "run" / "summary.md").read_text("utf-8")
    for row, words in faulty:
        failed = scores.filter(pl.col("recording") == row["id"])
        assert len(failed), f"{row['id']} vanished"
        assert set(failed["status"]) == {"failed"}, row["id"]
        assert failed["value"].null_count() == len(failed)
        for word in words:
            assert word in failed["reason"][0], (row["id"], failed["reason"][0])
    # The second row of one id fails; the first keeps its place.
    twice = scores.filter(pl.col("reason").str.contains("duplicate|twice|already", strict=False))
    assert len(twice.filter(pl.col("status") == "failed"))
    assert "missing.wav" in report
    summary = pl.read_parquet(tmp_path / "run" / "summary.parquet")
    tor = summary.filter((pl.col("system") == "s") & (pl.col("metric") == "tor"))
    assert tor["n"][0] == 1
    assert (
        tor["failed"][0]
        == sum("scenario" in r and r["scenario"] == "turn_taking" for r, _ in faulty) + 1
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", '[{"id": "a", ]', ("line 1",)),
        ("manifest.jsonl", '{"id": "a", "audio": "x.wav"\n', ("line 1",)),
        ("manifest.yaml", "- id: [a\n  audio: x\n", ("line",)),
        ("manifest.csv", "", ("empty",)),
        ("manifest.json", "[]", ("manifest.json",)),
        ("manifest.json", '"x"', ("manifest.json",)),
    ],
)
def test_a_manifest_that_is_not_valid_stops_the_run(
    tmp_path: Path, cli: Cli, name: str, content: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    done = cli("score", path, "--asr", "none", cwd=tmp_path)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("score", "nowhere.jsonl"), ("nowhere.jsonl",)),
        (("score", "good.flac", "--profile", "papr"), ("papr", "'paper'")),
        (("score", "good.flac", "--set", "ipu.min_silence=3"), ("ipu.min_silence_ms",)),
        (("score", "good.flac", "--set", "ipu.min_silence_ms"), ("name=value",)),
        (("score", "good.flac", "--set", "ipu.min_silence_ms=-4"), ("ipu.min_silence_ms", "-4")),
        (("score", "good.flac", "--layout", "nonsense"), ("nonsense",)),
        (("score", "good.flac", "--asr", "no-such-model"), ("no-such-model", "tiny.en")),
        (("score", "good.flac", "--language", "de"), ("tiny.en", "base")),
        (("scor", "good.flac"), ("scor",)),
        (("score",), ("INPUT",)),
        (("score", "good.flac", "--no-such-option"), ("--no-such-option",)),
    ],
)
def test_wrong_usage_says_what_to_do_and_exits_2(
    tmp_path: Path, cli: Cli, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    shutil.copy(GOOD, tmp_path / "good.flac")
    done = cli(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_without_the_gate_a_dead_user_is_silent(tmp_path: Path, cli: Cli) -> None:
    data, rate = _speech()
    data[:, 0] = 0
    sf.write(tmp_path / "dead.wav", data, rate)
    rows = [{"id": "d", "scenario": "turn_taking", "audio": "dead.wav"}]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    done = cli("score", manifest, "--asr", "none", "--out", tmp_path / "run")
    assert done.returncode == 1, done.stderr
    assert "user channel is dead" in done.stdout + done.stderr
    done = cli("score", manifest, "--asr", "none", "--no-gate", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr


def test_a_model_of_zeros_is_a_silent_model(tmp_path: Path, cli: Cli) -> None:
    data, rate = _speech()
    data[:, 1] = 0
    sf.write(tmp_path / "dead.wav", data, rate)
    rows = [{"id": "d", "scenario": "turn_taking", "system": "mute", "audio": "dead.wav"}]
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    done = cli("score", manifest, "--asr", "none", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    note = json.loads((tmp_path / "run" / "run.json").read_text())["notes"][0]
    assert note.startswith("mute: in 1 of 1 recordings the model's channel holds only zeros")
    assert note[:40] in (tmp_path / "run" / "summary.md").read_text()
    health = pl.read_parquet(tmp_path / "run" / "health.parquet").filter(check="dead")
    assert health.select("channel", "verdict").rows() == [("model", "warn")]
    assert "holds only zeros" in health["detail"].item()
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())
    tor = next(row for row in rows if row["metric"] == "tor")
    assert (tor["value"], tor["silent"]) == (0.0, 1)
