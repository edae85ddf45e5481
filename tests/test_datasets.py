"""Folders of further benchmarks and corpora, and offsets read from what recorders write."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile as sf
from conftest import SAMPLES, Cli, write_jsonl

from flexi_score.errors import InputError, ManifestError
from flexi_score.formats import read_words
from flexi_score.formats.layouts import detect_layout
from flexi_score.manifest import read_input


def write(path: Path, content: object = None, channels: int = 1) -> Path:
    """JSON, text as it is, or half a second of sound."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        sf.write(path, np.zeros((4000, channels)), 8000, format="WAV")
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def rows_of(manifest):
    return {row["recording"]: row for row in manifest.rows.to_dicts()}


def test_eva(tmp_path):
    for name in ("audio_user.wav", "audio_assistant.wav", "audio_mixed.wav"):
        write(tmp_path / "run" / "3" / name)
    write(tmp_path / "run" / "3" / "audit_log.json", [])
    write(tmp_path / "run" / "4" / "audio_user.wav")
    assert detect_layout(tmp_path) == "eva"
    manifest = read_input(tmp_path, system="s2s")
    (row,) = manifest.rows.to_dicts()
    assert row["recording"] == "run/3"
    assert row["user_audio"] == str(tmp_path / "run/3/audio_user.wav")
    assert row["model_audio"] == str(tmp_path / "run/3/audio_assistant.wav")
    assert json.loads(row["metadata"])["audit_log"].endswith("run/3/audit_log.json")
    assert "lacks audio_assistant.wav" in manifest.failures["reason"][0]
    assert manifest.warnings == []


def eva_logs(place: Path, user_late_s: float = 0.0) -> None:
    """Sound of the assistant from 0.2 s, of the user from 0.3 s; a tool from 0.35 to 0.4 s."""
    for party, start in (("assistant", 0.2), ("user", 0.3)):
        samples = np.zeros(4000)
        samples[round(start * 8000) :] = 0.25
        sf.write(place / f"audio_{party}.wav", samples, 8000)
    began = [("assistant", 0.2), ("simulated_user", 0.3 + user_late_s), ("assistant", 0.45)]
    events = [
        {"event_type": "audio_start", "user": who, "audio_timestamp": 1_764_000_000 + at}
        for who, at in began
    ]
    lines = "".join(json.dumps(e) + "\n" for e in [{"type": "connection_state"}, *events])
    write(place / "user_simulator_events.jsonl", lines)
    entries = [
        {"message_type": kind, "timestamp": str(1_764_000_000_000 + ms), "value": {"tool": tool}}
        for kind, ms, tool in (
            ("tool_call", 350, "find"),
            ("tool_response", 400, "find"),
            ("tool_call", 410, "book"),
            ("tool_response", 410, "book"),
            ("tool_call", 420, "unanswered"),
        )
    ]
    write(place / "audit_log.json", {"transcript": [{"value": "hi"}, *entries]})


def test_the_times_of_evas_tools_are_put_on_the_clock_of_the_audio(tmp_path):
    write(tmp_path / "3" / "audit_log.json", {})
    eva_logs(tmp_path / "3")
    manifest = read_input(tmp_path)
    (row,) = manifest.rows.to_dicts()
    assert row["tools"] == [{"start_ms": 350, "end_ms": 400}, {"start_ms": 410, "end_ms": 411}]
    assert manifest.warnings == []
    eva_logs(tmp_path / "3", user_late_s=0.75)
    manifest = read_input(tmp_path)
    assert manifest.rows["tools"].to_list() == [None]
    assert "left out: by the user the audio starts 0.8 s after where" in manifest.warnings[0]
    (tmp_path / "3" / "user_simulator_events.jsonl").unlink()
    assert "no log of audio_start" in read_input(tmp_path).warnings[0]


def test_tau2(tmp_path):
    place = tmp_path / "artifacts" / "task_7" / "sim_ab-1"
    write(place / "audio" / "both.wav", channels=2)
    write(place / "audio" / "user_labels.txt", "0.5\t1.0\thello\n")
    write(place / "audio" / "assistant_labels.txt", "1.5\t2.0\thi\n")
    run = {"id": "ab-1", "task_id": "7", "trial": 0, "reward_info": {"reward": 1.0}}
    results = {"info": {"agent_info": {"llm": "agent-x"}}, "simulations": [run]}
    write(tmp_path / "results.json", results)
    assert detect_layout(tmp_path) == "tau2"
    manifest = read_input(tmp_path)
    (row,) = manifest.rows.to_dicts()
    assert row["system"] == "agent-x"
    assert row["user_words"].endswith("user_labels.txt")
    assert row["model_words"].endswith("assistant_labels.txt")
    assert json.loads(row["metadata"]) == {"task_id": "7", "trial": 0, "reward": 1.0}
    assert row["roles"] == "assumed"
    assert any("who is on which channel" in warning for warning in manifest.warnings)
    write(tmp_path / "results.json", "{")
    assert any("results.json" in warning for warning in read_input(tmp_path).warnings)


def test_the_ticks_of_tau2_tell_what_to_ignore(tmp_path):
    # 0 user turn with a tic in it, while the agent is silent: none. 3 tic while nobody speaks.
    # 5 the agent speaks; 6 backchannel; 8 tic as speech; 10 side remark, two ticks; 13 the user
    # interrupts; 15, 16 two different remarks in a row; 18 the tick that ends the conversation.
    tic = {"type": "vocal_tic", "text": "um"}
    side, other = ({"type": "non_directed_phrase", "text": text} for text in ("one sec", "wait"))
    ticks = [{"user_chunk": None, "agent_chunk": None} for _ in range(19)]

    def user(i, speech, insert=None, action=None, where="speech_effects"):
        ticks[i]["user_chunk"] = {
            "contains_speech": speech,
            "turn_taking_action": action and {"action": action},
            where: {"speech_insert": insert},
        }

    user(0, True)
    user(1, True, tic)
    user(3, False, tic, where="source_effects")
    for i in range(5, 15):
        ticks[i]["agent_chunk"] = {"contains_speech": True}
    user(6, True, tic, "backchannel")
    user(8, True, tic)
    user(10, True, side)
    user(11, True)
    user(13, True, None, "generate_message")
    user(15, False, side)
    user(16, False, other)
    user(18, True, side, "backchannel")
    write(tmp_path / "artifacts" / "task_7" / "sim_a" / "audio" / "both.wav", channels=2)
    config = {"audio_native_config": {"tick_duration_ms": 100}}
    results = {"info": config, "simulations": [{"id": "a", "ticks": ticks}]}
    expected = ([(600, 700)], [[0.3, 0.4], [0.8, 0.9]], [[1.0, 1.2], [1.5, 1.6], [1.6, 1.7]])

    def read():
        (row,) = read_input(tmp_path).rows.to_dicts()
        metadata = json.loads(row["metadata"])
        told = [(span["start_ms"], span["end_ms"]) for span in row["backchannels"]]
        return told, metadata["vocal_tics"], metadata["non_directed"]

    write(tmp_path / "results.json", results)
    assert read() == expected
    write(tmp_path / "simulations" / "a.json", results["simulations"][0])
    write(tmp_path / "results.json", {"info": {}, "simulation_index": []})
    assert read()[1] == [[0.6, 0.8], [1.6, 1.8]], "200 ms where the length is not told"
    write(tmp_path / "simulations" / "a.json", {"id": "a", "ticks": [None, {"user_chunk": 3}]})
    assert read() == ([], [], [])
    config["audio_native_config"]["tick_duration_ms"] = "fast"
    write(tmp_path / "results.json", results)
    (warning,) = (w for w in read_input(tmp_path).warnings if "tick_duration_ms" in w)
    assert "found 'fast', expected ms above 0; its ticks are not used" in warning


def test_turnbench(tmp_path):
    place = tmp_path / "task1"
    for name in ("speaker_1_audio.wav", "speaker_2_audio.wav", "combined_audio.wav"):
        write(place / name)
    for speaker in (1, 2):
        for annotator in "abc":
            write(place / f"speaker_{speaker}_annotation_{annotator}.srt", "")
    write(place / "metadata.json", {"task_id": "task1", "conversation_type": "Instructional"})
    assert detect_layout(tmp_path) == "turnbench"
    manifest = read_input(tmp_path)
    (row,) = manifest.rows.to_dicts()
    assert row["user_audio"].endswith("speaker_1_audio.wav")
    metadata = json.loads(row["metadata"])
    assert metadata["conversation_type"] == "Instructional"
    assert metadata["model_annotation_c"].endswith("speaker_2_annotation_c.srt")
    assert len(manifest.warnings) == 1
    assert "speaker 1 is taken for the user" in manifest.warnings[0]


def test_kaldi(tmp_path):
    write(tmp_path / "audio" / "c1.wav", channels=2)
    write(tmp_path / "audio" / "c2.wav", channels=2)
    lines = [
        "c1-agent audio/c1.wav",
        "c1-customer audio/c1.wav",
        "c2-A sph2pipe -f wav -p -c 1 audio/c2.wav |",
        "c2-B sph2pipe -f wav -p -c 2 audio/c2.wav |",
        "c3 rm -rf / |",
    ]
    write(tmp_path / "wav.scp", "\n".join(lines))
    write(
        tmp_path / "reco2file_and_channel",
        "c1-agent audio/c1.wav A\nc1-customer audio/c1.wav B\nbroken\n",
    )
    write(tmp_path / "segments", "u1 c1-agent 0 1\n")
    assert detect_layout(tmp_path) == "kaldi"
    manifest = read_input(tmp_path)
    rows = rows_of(manifest)
    assert set(rows) == {"c1", "c2"}
    assert (rows["c1"]["user_channel"], rows["c1"]["model_channel"]) == (1, 0)
    assert rows["c1"]["roles"] == "stated"
    assert rows["c2"]["roles"] == "assumed"
    assert rows["c2"]["audio"] == str(tmp_path / "audio" / "c2.wav")
    reasons = " ".join(manifest.failures["reason"])
    assert "is a command, which is not run" in reasons
    assert "expected RECORDING FILE A or B" in reasons
    assert any("segments is not used" in warning for warning in manifest.warnings)


def test_retells_transcript_beside_a_call_is_its_words(tmp_path):
    words = {
        "agent": [{"word": "hello", "start": 0.1, "end": 0.4}],
        "user": [{"word": "hi", "start": 0.6, "end": 0.8}],
    }
    turns = [{"role": role, "content": "x", "words": said} for role, said in words.items()]
    write(tmp_path / "call.wav", channels=2)
    write(tmp_path / "call.json", {"call_id": "c", "transcript_object": turns})
    manifest = read_input(tmp_path)
    (row,) = manifest.rows.to_dicts()
    assert json.loads(row["metadata"]) == {"call_id": "c"}
    assert read_words(row["user_words"], "user")["text"].to_list() == ["hi"]
    assert read_words(row["model_words"], "model")["text"].to_list() == ["hello"]


# Audio inside Parquet


def parquet(path: Path, rows: list[dict]) -> Path:
    kind = pl.Struct({"bytes": pl.Binary, "path": pl.String})
    columns = ("audio", "user_audio", "model_audio")
    schema = {name: kind for name in columns if any(name in row for row in rows)}
    pl.DataFrame(rows, schema_overrides=schema).write_parquet(path)
    return path


def test_audio_inside_parquet_is_scored(tmp_path: Path, cli: Cli) -> None:
    data = (SAMPLES / "calm_turn_taking_1.flac").read_bytes()
    rows = [
        {"scenario": "turn_taking", "audio": {"bytes": data, "path": "one.flac"}},
        {"scenario": "turn_taking", "audio": {"bytes": None, "path": "two.flac"}},
        {"scenario": "turn_taking", "audio": {"bytes": data, "path": None}},
    ]
    file = parquet(tmp_path / "m.parquet", rows)
    done = cli("score", file, "--asr", "none", "--channels", "user,model", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    scores = pl.read_parquet(tmp_path / "m.run" / "scores.parquet")
    tor = scores.filter(pl.col("metric") == "tor").sort("recording")
    found = tor.select("recording", "value", "status").rows()
    assert found == [("one", 1.0, "scored"), ("row 3", 1.0, "scored"), ("two", None, "failed")]
    assert "row 2: audio holds no bytes" in tor["reason"][2]
    # An export holds the audio in files, with which it can be scored again.
    shutil.copytree(tmp_path / "m.run", tmp_path / "run")
    done = cli("export", tmp_path / "run", "--out", tmp_path / "out", "--format", "rttm,eaf")
    assert done.returncode == 0, done.stderr
    manifest = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").open()]
    assert [row.get("audio") for row in manifest] == ["one.audio.flac", "row_3.audio"]
    assert all((tmp_path / "out" / row["audio"]).read_bytes() == data for row in manifest)
    assert "out/one.audio.flac" in (tmp_path / "out" / "one.eaf").read_text()
    again = cli("export", tmp_path / "run", "--out", tmp_path / "out", "--format", "webvtt")
    assert "is there already" in again.stderr


def test_parquet_with_pairs_and_ids_of_its_own(tmp_path):
    sound = {"bytes": b"x", "path": "u.wav"}
    rows = [
        {"id": "a", "audio": None, "user_audio": sound, "model_audio": sound},
        {"id": "b", "audio": sound, "user_audio": None, "model_audio": None},
    ]
    manifest = read_input(parquet(tmp_path / "m.parquet", rows))
    assert manifest.failures["reason"].to_list() == []
    a, b = manifest.rows.to_dicts()
    assert a["audio"] is None
    assert a["user_audio"].startswith("parquet://")
    assert a["user_audio"] != a["model_audio"]
    assert "row=1" in b["audio"]


def test_a_manifest_cannot_point_into_a_parquet_file_itself(tmp_path):
    row = {"id": "a", "audio": "parquet:///etc/x.parquet?column=audio&row=0&suffix="}
    with pytest.raises(ManifestError, match="a URL; download the file"):
        read_input(write_jsonl(tmp_path / "m.jsonl", [row]))


# Offsets


@pytest.mark.parametrize("suffix", ["", ".webm"])
def test_offsets_of_dailys_raw_tracks_are_in_their_names(tmp_path, suffix):
    start = "1760988935484-52f7f48b-fbab-431f-9a50-87b9abfc8255-cam-audio-"
    user, model = f"{start}1760988937922{suffix}", f"{start}1760988935922{suffix}"
    row = {"id": "a", "user_audio": user, "model_audio": model}
    stated = {**row, "id": "b", "model_offset": 1.5}
    manifest = read_input(write_jsonl(tmp_path / "m.jsonl", [row, stated]))
    rows = rows_of(manifest)
    assert (rows["a"]["user_offset_ms"], rows["a"]["model_offset_ms"]) == (2000, 0)
    assert (rows["b"]["user_offset_ms"], rows["b"]["model_offset_ms"]) == (0, 1500)
    (warning,) = manifest.warnings
    assert "offsets of 1 recordings were read from the names of Daily's raw tracks" in warning
    other = model.replace("1760988935484", "1760988999999")
    row = {"id": "a", "user_audio": user, "model_audio": other}
    manifest = read_input(write_jsonl(tmp_path / "m.jsonl", [row]))
    assert manifest.rows["user_offset_ms"].to_list() == [0]  # another recording's clock


def test_raw_tracks_of_daily_are_not_paired_by_chance(tmp_path):
    start = "1760988935484-52f7f48b-fbab-431f-9a50-87b9abfc825"
    for name in (f"{start}5-cam-audio-1760988937922", f"{start}6-cam-audio-1760988935922"):
        write(tmp_path / name)
    assert detect_layout(tmp_path) == "daily"
    with pytest.raises(InputError, match=r"do not say which is the model's") as caught:
        read_input(tmp_path)
    assert f"{start}6-cam-audio-1760988935922" in str(caught.value)
    assert "user_audio" in str(caught.value)


@pytest.mark.parametrize("beside", ["each", "one"])
def test_offsets_of_livekits_egress(tmp_path, beside):
    starts = {"a_user.ogg": 1_700_000_003_250_000_000, "a_agent.ogg": 1_700_000_002_000_000_000}
    for name, at in starts.items():
        write(tmp_path / name)
        if beside == "each":
            write(tmp_path / f"{name}.json", {"egress_id": "EG_1", "started_at": at})
    if beside == "one":
        files = [{"filename": f"out/{n}", "started_at": str(at)} for n, at in starts.items()]
        write(tmp_path / "EG_1.json", {"started_at": 1, "file_results": files})
    manifest = read_input(tmp_path)
    (row,) = manifest.rows.to_dicts()
    assert (row["user_offset_ms"], row["model_offset_ms"]) == (1250, 0)
    assert any("LiveKit's started_at" in warning for warning in manifest.warnings)


@pytest.mark.parametrize("content", ["{", "[]", '{"started_at": true}', '{"started_at": "noon"}'])
def test_sidecars_that_say_nothing_leave_the_offsets_at_zero(tmp_path, content):
    for name in ("a_user.ogg", "a_agent.ogg"):
        write(tmp_path / name)
        write(tmp_path / f"{name}.json", content)
    (row,) = read_input(tmp_path, layout="pairs").rows.to_dicts()
    assert (row["user_offset_ms"], row["model_offset_ms"]) == (0, 0)


def test_a_manifest_at_a_url_is_scored(tmp_path: Path, cli: Cli) -> None:
    pytest.importorskip("fsspec")
    write(tmp_path / "in" / "a.csv", "start,end,speaker\n0.5,4.0,user\n4.7,6.5,model\n")
    row = {"id": "a", "scenario": "turn_taking", "user_speech": "a.csv", "model_speech": "a.csv"}
    write_jsonl(tmp_path / "in" / "manifest.jsonl", [row])
    (tmp_path / "here").mkdir()
    for url in (f"file://{tmp_path}/in", f"file://{tmp_path}/in/manifest.jsonl"):
        out = tmp_path / f"{url[-5:]}.run"
        done = cli("score", url, "--asr", "none", "--out", out, cwd=tmp_path / "here")
        assert done.returncode == 0, done.stderr
        scores = pl.read_parquet(out / "scores.parquet")
        assert scores.filter(pl.col("metric") == "latency")["value"].to_list() == [0.7]
    done = cli("score", f"file://{tmp_path}/none.jsonl", cwd=tmp_path / "here")
    assert done.returncode == 2
    assert "none.jsonl: cannot be fetched" in done.stderr
