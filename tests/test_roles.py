"""Who is who: stated, said for all files, known of a source, or assumed and told."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from conftest import SAMPLES, Cli, write_jsonl

import flexi_score
from flexi_score.audio.signal import open_signals
from flexi_score.config import load_settings
from flexi_score.errors import AudioError, InputError
from flexi_score.extraction.draft import draft_manifest
from flexi_score.formats.roles import SOURCES, parse_channels, source_channels
from flexi_score.manifest import read_input

RATE = 8000


def audio(path: Path, n_channels: int) -> Path:
    """One second of noise; channel k has a level of its own."""
    x = np.random.default_rng(0).uniform(-1, 1, (RATE, n_channels))
    sf.write(path, x * 0.5 ** np.arange(1, n_channels + 1), RATE, format="WAV")
    return path


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("model,user", {"user": 1, "model": 0}),
        ("Customer, Agent", {"user": 0, "model": 1}),
        ("mix,caller,bot", {"user": 1, "model": 2}),
        (["assistant", "-", "human"], {"user": 2, "model": 0}),
    ],
)
def test_channels_by_the_names_of_the_parties(names, expected):
    assert parse_channels(names) == expected


@pytest.mark.parametrize("names", ["user", "user,user", "a,b", "", "user,model,agent"])
def test_names_that_leave_a_party_open_are_refused(names):
    with pytest.raises(InputError, match="one of them the user and one the model"):
        parse_channels(names)


def test_sources_keep_the_parties_apart():
    assert source_channels("livekit") == {"user": 1, "model": 0}
    assert source_channels("Twilio") == {"user": 0, "model": 1}
    for name, source in SOURCES.items():
        if source.channels is None:
            with pytest.raises(InputError, match="promises no order"):
                source_channels(name)
        else:
            assert sorted(source_channels(name).values()) == [0, 1]
    with pytest.raises(InputError, match="did you mean 'livekit'"):
        source_channels("livkit")


def test_a_folder_is_told_who_is_where(tmp_path):
    for name in ("a.wav", "b.wav"):
        audio(tmp_path / name, 2)
    assumed = read_input(tmp_path)
    assert assumed.rows["roles"].to_list() == ["assumed"] * 2
    (warning,) = assumed.warnings
    assert "no recording says who is on which channel" in warning
    assert "--channels model,user" in warning
    for said in ({"channels": "model,user"}, {"source": "livekit"}):
        manifest = read_input(tmp_path, system="mine", **said)
        assert manifest.warnings == []
        assert manifest.rows["user_channel"].to_list() == [1, 1]
        assert manifest.rows["model_channel"].to_list() == [0, 0]
        assert manifest.rows["system"].to_list() == ["mine"] * 2


def test_a_row_that_says_it_keeps_its_word(tmp_path):
    rows = [
        {"id": "own", "audio": "a.wav", "channels": {"user": 0, "model": 1}},
        {"id": "named", "audio": "a.wav", "channels": ["mix", "agent", "caller"]},
        {"id": "text", "audio": "a.wav", "channels": "agent,caller"},
        {"id": "none", "audio": "a.wav"},
        {"id": "pair", "user_audio": "u.wav", "model_audio": "m.wav"},
        {"id": "wrong", "audio": "a.wav", "channels": ["left", "right"]},
    ]
    manifest = read_input(write_jsonl(tmp_path / "m.jsonl", rows), source="livekit")
    found = manifest.rows.select("recording", "user_channel", "model_channel", "roles").rows()
    assert found == [
        ("own", 0, 1, "stated"),
        ("named", 2, 1, "stated"),
        ("text", 1, 0, "stated"),
        ("none", 1, 0, "source"),
        ("pair", None, None, "stated"),
    ]
    assert "expected what is on channel 0, 1" in manifest.failures["reason"][0]
    assert manifest.warnings == []


def test_the_first_two_of_three_channels_are_never_taken(tmp_path):
    audio(tmp_path / "three.wav", 3)
    (row,) = read_input(tmp_path / "three.wav").rows.to_dicts()
    with pytest.raises(AudioError) as caught:
        open_signals(row)
    for part in ("three.wav", "has 3 channels", "--channels mix,user,model", '"channels"'):
        assert part in str(caught.value)
    (row,) = read_input(tmp_path / "three.wav", channels="mix,user,model").rows.to_dicts()
    user, model = open_signals(row)
    with user, model:
        assert user.counts.high == pytest.approx(0.25, rel=0.01)
        assert model.counts.high == pytest.approx(0.125, rel=0.01)


def test_tools_are_intervals_sorted_by_their_start(tmp_path):
    row = {"id": "a", "audio": "a.wav", "tools": [[4.5, 6], [1.25, 2.5]]}
    bad = [{**row, "id": str(n), "tools": value} for n, value in enumerate(([[2, 1]], 3, [[1]]))]
    manifest = read_input(write_jsonl(tmp_path / "m.jsonl", [row, *bad]))
    assert manifest.rows["tools"].to_list() == [
        [{"start_ms": 1250, "end_ms": 2500}, {"start_ms": 4500, "end_ms": 6000}]
    ]
    for reason, part in zip(
        manifest.failures["reason"],
        ("tools[0]: ends at 1 s", "tools: found 3", "tools[0]: found [1]"),
        strict=True,
    ):
        assert part in reason


@pytest.mark.parametrize(
    ("encoding", "subtype", "endian"),
    [("mulaw", "ULAW", None), ("s16le", "PCM_16", "LITTLE"), ("s16be", "PCM_16", "BIG")],
)
def test_audio_without_a_header_is_what_the_row_says(tmp_path, encoding, subtype, endian):
    audio(tmp_path / "a.wav", 2)
    x, _ = sf.read(tmp_path / "a.wav")
    file = tmp_path / "a.raw"
    sf.write(file, x, RATE, format="RAW", subtype=subtype, endian=endian)
    rows = [
        {"id": "a", "audio": "a.raw", "raw_audio": f"{encoding}:{RATE}:2"},
        {"id": "bad", "audio": "a.raw", "raw_audio": "gsm:8000"},
    ]
    manifest = read_input(write_jsonl(tmp_path / "m.jsonl", rows))
    assert "expected ENCODING:RATE" in manifest.failures["reason"][0]
    by_option = read_input(file, raw_audio=f"{encoding}:{RATE}:2").rows.to_dicts()
    for row in (*manifest.rows.to_dicts(), *by_option):
        user, model = open_signals(row)
        with user, model:
            assert user.duration_ms == model.duration_ms == 1000
            assert user.counts.high == pytest.approx(0.5, rel=0.03)
            assert model.counts.high == pytest.approx(0.25, rel=0.03)
    with pytest.raises(InputError, match="mulaw:8000"):
        read_input(file, raw_audio="mulaw")


def test_a_draft_reads_back_as_what_the_folder_is(tmp_path):
    audio(tmp_path / "a.wav", 2)
    (tmp_path / "deep").mkdir()
    audio(tmp_path / "deep" / "three.wav", 3)
    (tmp_path / "x.wma").write_text("x")
    rows, notes = draft_manifest(tmp_path, system="mine")
    assert rows[0] == {
        "id": "a",
        "system": "mine",
        "scenario": "conversation",
        "audio": "a.wav",
        "channels": {"user": 0, "model": 1},
    }
    assert rows[1]["audio"] == "deep/three.wav"
    assert "channels" not in rows[1]
    text = "\n".join(notes)
    for part in (
        "deep/three.wav: has 3 channels",
        "'x.wma'",
        "nothing said who is on which channel (rows: 1)",
    ):
        assert part in text
    rows, notes = draft_manifest(tmp_path, channels="mix,user,model")
    assert [row["channels"] for row in rows] == [{"user": 1, "model": 2}] * 2


def test_init_writes_a_manifest_that_scores(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    (folder / "a.flac").write_bytes((SAMPLES / "calm_turn_taking_1.flac").read_bytes())
    done = cli("init", folder, "--source", "vapi", "--system", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "manifest.jsonl: 1 recording" in done.stdout
    (row,) = map(json.loads, (folder / "manifest.jsonl").read_text("utf-8").splitlines())
    assert (row["system"], row["channels"]) == ("mine", {"user": 0, "model": 1})
    again = cli("init", folder, cwd=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr
    assert read_input(folder).rows["recording"].to_list() == ["a"]


@pytest.mark.parametrize(("apart_ms", "refused"), [(0, True), (30, True), (400, False)])
def test_what_both_parties_have_alike_is_one_party_s(tmp_path, apart_ms, refused):
    spans = [(700, 4344), (5044, 8325)]
    for name, late in (("user", 0), ("model", apart_ms)):
        lines = [f"{(a + late) / 1000},{(b + late) / 1000}\n" for a, b in spans]
        (tmp_path / f"{name}.csv").write_text("start,end\n" + "".join(lines))
    row = {"id": "a", "user_speech": "user.csv", "model_speech": "model.csv"}
    settings = load_settings("paper", {"extract.asr": "none"})
    run = flexi_score.score(write_jsonl(tmp_path / "m.jsonl", [row]), settings=settings)
    reasons = run.failures["reason"].to_list()
    assert ["give each party its own file" in reason for reason in reasons] == [True] * refused
