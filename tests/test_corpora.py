"""Corpora of people's conversations and benchmarks of dialogues, each written by hand."""

import json
from pathlib import Path

import pytest
from test_datasets import write

from flexi_score.errors import InputError, TranscriptError
from flexi_score.formats import read_given, read_words
from flexi_score.formats.layouts import detect_layout
from flexi_score.formats.whose import Whose
from flexi_score.manifest import read_input

BOTH = {"user": 0, "model": 1}


def read(path: Path, speaker: str, kind: str = "words", **whose):
    return read_given(path, kind, Whose(speaker, **whose), has_audio=True).table.rows()


# Transcripts

SWITCHBOARD = """sw2001A-ms98-a-0001 0.000000 0.977625 [silence]
sw2001A-ms98-a-0002 0.977625 11.561375 hi um [laughter] yeah i'd [laughter-like] about_1 th[at]-

sw2001A-ms98-a-0003 11.561375 12.100000 [vocalized-noise] [noise]
"""
FISHER = """# fe_03_00001.sph
# Transcribed at the LDC

3.76 5.54 A: and (( i )) generally
5.81 6.30 B: [laughter] yeah
7.00 7.50 B: (( ))
8.00 8.40 A: [noise]
"""


def test_a_side_of_switchboard(tmp_path):
    path = tmp_path / "sw2001A-ms98-a-trans.text"
    path.write_text(SWITCHBOARD)
    said = [(978, 11561, "hi um yeah i'd like about th[at]-")]
    assert read(path, "user", shared=False) == said
    assert read(path, "user", shared=False, channels=BOTH) == said
    assert read(path, "user", shared=False, names={"a": "user", "b": "model"}) == said
    with pytest.raises(TranscriptError, match="is given for the model but has only sides"):
        read(path, "model", shared=False, channels=BOTH)
    path.write_text(SWITCHBOARD.replace("sw2001A-ms98-a-0003", "sw2002A-ms98-a-0003"))
    with pytest.raises(TranscriptError, match="found conversations 'sw2001', 'sw2002'"):
        read_words(path)
    path.write_text("sw2001A-ms98-a-0001 0.5 yes\n")
    with pytest.raises(TranscriptError, match="line 1: end: found 'yes', expected a number"):
        read_words(path)


def test_both_sides_of_fisher(tmp_path):
    path = tmp_path / "fe_03_00001.txt"
    path.write_text(FISHER)
    assert read(path, "user", shared=True, channels=BOTH) == [(3760, 5540, "and i generally")]
    assert read(path, "model", shared=True, channels=BOTH) == [
        (5810, 6300, "yeah"),
        (7000, 7500, ""),
    ]
    assert read(path, "model", "segments", shared=True, names={"a": "user", "b": "model"}) == [
        (5810, 6300),
        (7000, 7500),
    ]
    with pytest.raises(TranscriptError, match="found sides 'A', 'B', expected names"):
        read(path, "user", shared=True)
    path.write_text(FISHER.replace("8.00 8.40 A: [noise]", "8.00 A: well"))
    with pytest.raises(TranscriptError, match=r"line 7: found '8\.00 A: well', expected start"):
        read(path, "user", shared=True, channels=BOTH)


CHAT = """@UTF8
@Begin
@Participants:\tINV Ann Agent, PAR Participant
@ID:\teng|corpus|PAR|||||Participant|||
*INV:\thow are you (.) to(day) ? \x15700_1900\x15
%wor:\thow \x15700_900\x15 are \x15900_1000\x15 you \x151000_1200\x15 today \x151500_1900\x15 ?
*PAR:\t&-um &=laughs <I am> [/] I am fine@q
\tthank you . \x152040_4100\x15
*PAR:\t&=coughs . \x154200_4300\x15
*PAR:\t0 .
@End
"""


def test_chat_by_its_time_bullets(tmp_path):
    path = tmp_path / "a.cha"
    path.write_text(CHAT)
    names = {"par": "user"}
    assert read(path, "model", names=names, shared=True) == [
        (700, 900, "how"),
        (900, 1000, "are"),
        (1000, 1200, "you"),
        (1500, 1900, "today"),
    ]
    assert read(path, "model", "segments", names=names, shared=True) == [(700, 1900)]
    answer = [(2040, 4100, "um I am I am fine thank you")]
    assert read(path, "user", names=names, shared=True) == answer
    with pytest.raises(TranscriptError, match="found speakers 'Agent', 'PAR', expected names"):
        read(path, "user", shared=True)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("\x152040_4100\x15", ""), "line 7: .* has no time bullet; link the utterance"),
        (("\x152040_4100\x15", "\x154100_2040\x15"), "line 7: ends at 2040e-3 s, before its"),
        (("*", "%"), "found no utterance"),
    ],
)
def test_chat_without_times_is_refused(tmp_path, change, fault):
    path = tmp_path / "a.cha"
    path.write_text(CHAT.replace(*change))
    with pytest.raises(TranscriptError, match=fault):
        read(path, "user", names={"par": "user"}, shared=True)


TRS = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE Trans SYSTEM "trans-14.dtd">
<Trans audio_filename="a"><Speakers>
<Speaker id="spk1" name="agent"/><Speaker id="spk2" name="Mary"/></Speakers>
<Episode><Section type="report" startTime="0" endTime="9">
<Turn startTime="0" endTime="0.5"><Sync time="0"/>
</Turn>
<Turn speaker="spk1" startTime="0.5" endTime="3"><Sync time="0.5"/>
hello <Event desc="breath" type="noise"/>
there
<Sync time="1.25"/>

<Sync time="2"/>
Mary
</Turn>
<Turn speaker="spk2 spk1" startTime="3" endTime="4.5"><Sync time="3"/>
<Who nb="1"/>
hi
<Who nb="2"/>
mhm
</Turn></Section></Episode></Trans>
"""


def test_turns_of_transcriber(tmp_path):
    path = tmp_path / "a.trs"
    path.write_text(TRS)
    names = {"mary": "user"}
    assert read(path, "model", names=names, shared=True) == [
        (500, 1250, "hello there"),
        (2000, 3000, "Mary"),
        (3000, 4500, "mhm"),
    ]
    assert read(path, "user", "segments", names=names, shared=True) == [(3000, 4500)]
    assert read(path, "user", names={"spk2": "user"}, shared=True) == [(3000, 4500, "hi")]
    with pytest.raises(TranscriptError, match="found speakers 'agent', 'Mary', expected names"):
        read(path, "user", shared=True)
    unnamed = tmp_path / "a"
    path.rename(unnamed)
    assert read(unnamed, "user", names=names, shared=True) == [(3000, 4500, "hi")]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('<Who nb="1"/>', ""), "'hi': its turn names 2 speakers, and no <Who/>"),
        (('nb="2"', 'nb="3"'), "nb is '3', expected 1 to 2"),
        (('"spk1" startTime', '"" startTime'), "its turn names 0 speakers"),
        (('time="1.25"', 'time="late"'), "line 8: end: found 'late', expected a number"),
        (("</Turn></Section>", "</Section>"), "not valid XML"),
        (('.dtd">', '.dtd" [<!ENTITY a "b">]>'), "line 2: found an entity declaration"),
    ],
)
def test_a_malformed_transcriber_file_is_named(tmp_path, change, fault):
    path = tmp_path / "a.trs"
    path.write_text(TRS.replace(*change, 1))
    with pytest.raises(TranscriptError, match=fault):
        read(path, "user", names={"mary": "user"}, shared=True)


# Folders


def one(folder: Path, layout: str):
    assert detect_layout(folder) == layout
    manifest = read_input(folder)
    assert manifest.failures.is_empty(), manifest.failures.to_dicts()
    return manifest.rows.to_dicts(), manifest.warnings


AWS = {
    "results": {
        "channel_labels": {
            "channels": [
                {
                    "channel_label": f"ch_{n}",
                    "items": [
                        {
                            "start_time": at,
                            "end_time": str(float(at) + 0.5),
                            "alternatives": [{"content": word}],
                            "type": "pronunciation",
                        }
                    ],
                }
                for n, at, word in ((0, "1.5", "hi"), (1, "0.5", "hello"))
            ]
        },
        "items": [],
    }
}
TURNS = """turn_id,speaker,start,stop,utterance,interval,delta
0,5f,0.5,1.0,hello,,0.5
1,9a,1.5,2.0,hi,0.5,0.5
"""


def test_files_that_only_look_like_a_corpus_are_read_as_what_they_are(tmp_path):
    for name in ("test-1_input.wav", "test-1_output.wav"):
        write(tmp_path / "pairs" / name)
    assert detect_layout(tmp_path / "pairs") == "pairs"
    for name in ("input.wav", "output.wav", "output_16k.wav", "transcription.json"):
        write(tmp_path / "fdb" / "smooth_turn_taking" / "1" / name, {} if "json" in name else None)
    assert detect_layout(tmp_path / "fdb") == "fdb"
    for name in ("A.wav", "B.wav"):
        write(tmp_path / "Daily" / "calls" / "1" / name, channels=2)
    assert detect_layout(tmp_path / "Daily") == "stereo"
    labels = tmp_path / "labels.txt"
    labels.write_text("0.5\t1.0\tA: hi\n1.5\t2.0\tB: yes\n")
    with pytest.raises(TranscriptError, match="found labels 'A', 'B', expected names"):
        read(labels, "user", channels=BOTH, shared=True)


def test_candor(tmp_path):
    place = tmp_path / "0020a0c5"
    write(place / "processed" / "0020a0c5.mp3", channels=2)
    write(place / "processed" / "channel_map.json", {"L": "9a", "R": "5f"})
    write(place / "transcription" / "transcript_cliffhanger.csv", TURNS)
    (row,), warnings = one(tmp_path, "candor")
    assert (row["user_channel"], row["model_channel"], row["user_words"]) == (0, 1, None)
    assert warnings == [
        f"{tmp_path}: both parties are people: the left channel is taken for the user, the other "
        "for the model"
    ]
    write(place / "transcription" / "transcribe_output.json", AWS)
    (row,), _ = one(tmp_path, "candor")
    names = json.loads(row["speakers"]) if isinstance(row["speakers"], str) else row["speakers"]
    assert row["user_words"].endswith("transcribe_output.json")
    assert row["user_speech"] is None
    whose = {"names": names, "channels": BOTH, "shared": True}
    assert read(Path(row["user_words"]), "user", **whose) == [(1500, 2000, "hi")]


def test_candors_transcripts_alone(tmp_path, monkeypatch):
    place = tmp_path / "0020a0c5"
    speakers = [{"user_id": "9a", "channel": "L"}, {"user_id": "5f", "channel": "R"}]
    write(place / "metadata.json", {"speakers": speakers})
    write(place / "transcription" / "transcript_audiophile.csv", TURNS)
    (row,), _ = one(tmp_path, "candor")
    names = json.loads(row["speakers"]) if isinstance(row["speakers"], str) else row["speakers"]
    path = Path(row["user_speech"])
    assert read(path, "user", "segments", names=names, shared=True) == [(1500, 2000)]
    assert read(path, "model", "segments", names=names, shared=True) == [(500, 1000)]
    for folder in (place, place / "transcription"):
        assert read_input(folder).rows["recording"].to_list() == ["0020a0c5"]
    monkeypatch.chdir(place)
    assert read_input(Path()).rows["recording"].to_list() == ["0020a0c5"]
    write(place / "metadata.json", {"speakers": speakers[:1]})
    with pytest.raises(InputError, match="expected the participants of channels L and R"):
        read_input(tmp_path)


def test_switchboard_and_fisher(tmp_path):
    write(tmp_path / "audio" / "sw02001.wav", channels=2)
    write(tmp_path / "audio" / "fe_03_00001.wav", channels=2)
    for side in "AB":
        text = SWITCHBOARD.replace("2001A", f"2001{side}")
        write(tmp_path / "20" / f"sw2001{side}-ms98-a-trans.text", text)
        write(tmp_path / "20" / f"sw2001{side}-ms98-a-word.text", text)
    write(tmp_path / "trans" / "fe_03_00001.txt", FISHER)
    write(tmp_path / "trans" / "fe_03_00002.txt", FISHER)
    (fisher, alone, swb), warnings = one(tmp_path, "telephone")
    assert swb["recording"] == "sw2001"
    assert swb["user_words"].endswith("sw2001A-ms98-a-word.text")
    assert swb["model_words"].endswith("sw2001B-ms98-a-word.text")
    assert fisher["audio"].endswith("fe_03_00001.wav")
    assert fisher["user_words"] is None
    assert alone["user_speech"].endswith("fe_03_00002.txt")
    assert "side A is taken for the user" in warnings[0]
    assert "(1 calls, as fe_03_00001): words are recognised" in warnings[1]


def test_full_duplex_bench_v2(tmp_path):
    place = tmp_path / "Safety" / "Safety.privacy.026"
    for name in ("A.wav", "B.wav"):
        write(place / name)
    for name in ("A.json", "B.json"):
        write(place / name, {"text": "hi", "chunks": [{"text": "hi", "timestamp": [0.1, 0.3]}]})
    write(place / "transcripts.json", [])
    (row,), warnings = one(tmp_path, "fdb2")
    assert row["recording"] == "Safety/Safety.privacy.026"
    assert row["user_audio"].endswith("A.wav")
    assert row["model_words"].endswith("B.json")
    assert json.loads(row["metadata"])["fdb_task"] == "Safety"
    assert warnings == []
    assert read_input(place).rows["recording"].to_list() == ["Safety.privacy.026"]
    (place / "B.wav").unlink()
    with pytest.raises(InputError, match=r"lacks B\.wav"):
        read_input(tmp_path)


def test_full_duplex_bench_v3(tmp_path):
    place = tmp_path / ("travel_01_" + "5" * 24)
    for name in ("input.wav", "output_grok.wav", "output_gpt_realtime.wav"):
        write(place / name)
    write(place / "metadata.json", {"domain": "travel_identity", "difficulty": "easy"})
    call = {"function": "f", "timestamp_start": 0.21, "timestamp_end": 0.3}
    result = {"user_speech_end_rel": 0.2, "actual_tool_calls": [call, {"function": "g"}]}
    write(place / "result_grok.json", result | {"stream_start_time": 1764.5})
    (gpt, grok), _ = one(tmp_path, "fdb3")
    assert (gpt["system"], grok["system"]) == ("gpt_realtime", "grok")
    assert gpt["scenario"] == "turn_taking"
    assert (gpt["user_turn_end_ms"], grok["user_turn_end_ms"]) == (None, 200)
    assert grok["tools"] == [{"start_ms": 210, "end_ms": 300}]
    assert json.loads(grok["metadata"])["difficulty"] == "easy"
    write(place / "result_grok.json", result)
    (_, grok), _ = one(tmp_path, "fdb3")
    assert grok["tools"] is None
    write(place / "result_grok.json", {"user_speech_end_rel": "late"})
    assert "user_speech_end_rel: found 'late'" in read_input(tmp_path).failures["reason"][0]


def test_humdial(tmp_path):
    for name in ("in/test-17.wav", "out/test/test-17_output.wav", "out/clean/clean-3_output.wav"):
        write(tmp_path / name)
    assert detect_layout(tmp_path) == "humdial"
    manifest = read_input(tmp_path)
    (row,) = manifest.rows.to_dicts()
    assert row["user_audio"].endswith("in/test-17.wav")
    assert row["model_audio"].endswith("test-17_output.wav")
    assert "clean-3 has 0 questions, expected one" in manifest.failures["reason"][0]
    assert "do not say a sample's scenario" in manifest.warnings[0]


def test_humdial_by_scenario(tmp_path):
    stretches = {"speech_segments": [{"xmin": 0.5, "xmax": 3.0}, {"xmin": 8.0, "xmax": 9.5}]}
    for kind in ("ask", "backchannel", "Pause_Handling", "talk_to_others"):
        place = tmp_path / "en_test_nondev" / kind
        write(place / "0001_0002.wav")
        write(place / "0001_0002_output.wav")
        write(place / "0001_0002.json", stretches)
        write(place / "0001_0002_timestamp.json", {"chunks": []})
    write(place / "clean_0001_0002.wav")
    write(place / "clean_0001_0002_output.wav")
    write(tmp_path / "cn_test_nondev/ask/0001_0002.wav")
    assert detect_layout(tmp_path) == "humdial"
    manifest = read_input(tmp_path)
    assert not len(manifest.failures)
    rows = {
        row["recording"].removeprefix("en_test_nondev/"): row for row in manifest.rows.to_dicts()
    }
    assert {name: row["scenario"] for name, row in rows.items()} == {
        "ask/0001_0002": "user_interrupt",
        "backchannel/0001_0002": "user_backchannel",
        "Pause_Handling/0001_0002": "pause_handling",
        "talk_to_others/0001_0002": "conversation",
        "talk_to_others/clean_0001_0002": "conversation",
    }
    ask = rows["ask/0001_0002"]
    assert (ask["interrupt_start_ms"], ask["interrupt_end_ms"]) == (8000, 9500)
    assert ask["user_words"].endswith("0001_0002_timestamp.json")
    assert "en_test_nondev" in ask["user_audio"]
    assert not any("do not say" in warning for warning in manifest.warnings), manifest.warnings
    # Answers in a folder of their own are paired by scenario and name; which of two is open.
    for kind in ("ask", "backchannel"):
        (tmp_path / "out" / kind).mkdir(parents=True)
        old = tmp_path / "en_test_nondev" / kind / "0001_0002_output.wav"
        old.rename(tmp_path / "out" / kind / old.name)
    manifest = read_input(tmp_path)
    assert "out/backchannel/0001_0002" in manifest.rows["recording"].to_list()
    assert "has 2 questions, expected one" in manifest.failures["reason"][0]
