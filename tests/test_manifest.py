"""Manifests: every fault has its message, costs only its row, and every format reads the same."""

import csv
import json
import re
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flexi_score.errors import InputError, ManifestError
from flexi_score.extraction.remote import read_remote_manifest
from flexi_score.formats.keys import KNOWN_KEYS
from flexi_score.formats.spelling import nearest
from flexi_score.manifest import check_annotations, read_input
from flexi_score.schema import FAILURES, RECORDINGS, SCENARIOS

#: Machines differ in speed; no example has a time limit.
unhurried = settings(deadline=None, max_examples=30)

GOOD = {"id": "good", "audio": "good.wav"}


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def jsonl(folder, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return write(folder, "m.jsonl", "\n".join(lines) + "\n")


def reason_of(folder, row):
    """The reason why a row fails, beside a good row that goes on."""
    manifest = read_input(jsonl(folder, GOOD, row))
    assert manifest.rows["recording"].to_list() == ["good"]
    assert manifest.failures.height == 1
    assert manifest.failures["stage"][0] == "manifest"
    assert manifest.failures["error"][0] == "RowError"
    reason = manifest.failures["reason"][0]
    assert reason.startswith(f"{folder / 'm.jsonl'}, line 2: ")
    return reason


def test_a_full_row_becomes_the_columns_of_the_schema(tmp_path):
    row = {
        "id": "a",
        "system": "calm",
        "scenario": "user_interrupt",
        "user_audio": "u.wav",
        "model_audio": "/elsewhere/m.wav",
        "user_offset": 0.25,
        "annotations": {
            "user_turn_end": 2.3205,
            "pause": [1, 2.5],
            "interrupt": [3.0, 4.0004],
            "backchannels": [[1, 1], [1.5, 2]],
            "reference_backchannels": [0.5, 0.5, 7],
        },
        "text": {"query": "q", "context": "c", "interrupt": "i", "statement": ""},
        "user_words": "u.json",
        "model_speech": "m.rttm",
        "rating": 4,
        "reference_distribution": [0, 0.5, 1],
        "session": 7,
        "age": {"b": 1, "a": [None]},
        "note": None,
    }
    manifest = read_input(jsonl(tmp_path, row))
    assert manifest.rows.schema == RECORDINGS
    assert manifest.failures.schema == FAILURES
    assert manifest.root == tmp_path
    assert manifest.rows.row(0, named=True) == {
        "recording": "a",
        "system": "calm",
        "scenario": "user_interrupt",
        "audio": None,
        "user_channel": None,
        "model_channel": None,
        "user_audio": str(tmp_path / "u.wav"),
        "model_audio": "/elsewhere/m.wav",
        "user_offset_ms": 250,
        "model_offset_ms": 0,
        "user_words": str(tmp_path / "u.json"),
        "model_words": None,
        "user_speech": None,
        "model_speech": str(tmp_path / "m.rttm"),
        "user_turn_end_ms": 2320,
        "pause_start_ms": 1000,
        "pause_end_ms": 2500,
        "interrupt_start_ms": 3000,
        "interrupt_end_ms": 4000,
        "backchannels": [{"start_ms": 1000, "end_ms": 1000}, {"start_ms": 1500, "end_ms": 2000}],
        "reference_backchannels_ms": [500, 500, 7000],
        "text_query": "q",
        "text_context": "c",
        "text_interrupt": "i",
        "text_statement": None,
        "rating": 4.0,
        "reference_distribution": [0.0, 0.5, 1.0],
        "tools": None,
        "raw_audio": None,
        "stated_duration_ms": None,
        "roles": "stated",
        "speakers": None,
        "metadata": '{"age": {"a": [null], "b": 1}, "session": 7}',
    }


def test_defaults(tmp_path):
    path = jsonl(tmp_path, GOOD, {"id": 7, "audio": "b.wav", "system": "own", "channels": None})
    rows = read_input(path).rows
    assert rows["recording"].to_list() == ["good", "7"]
    assert rows["system"].to_list() == ["model", "own"]
    assert rows["scenario"].to_list() == ["conversation"] * 2
    assert rows.select("user_channel", "model_channel").rows() == [(0, 1), (0, 1)]
    assert rows["metadata"].to_list() == ["{}", "{}"]
    assert read_input(path, system="eager").rows["system"].to_list() == ["eager", "own"]


def test_an_empty_list_of_backchannels_is_not_a_missing_one(tmp_path):
    rows = read_input(
        jsonl(tmp_path, {**GOOD, "annotations": {"backchannels": []}}, {**GOOD, "id": "b"})
    ).rows
    assert rows["backchannels"].to_list() == [[], None]


def test_transcripts_and_segment_files_are_enough(tmp_path):
    rows = read_input(
        jsonl(tmp_path, {"id": "a", "model_words": "a.json"}, {"id": "b", "user_speech": "b.rttm"})
    ).rows
    assert rows["audio"].to_list() == [None, None]
    assert rows["user_channel"].to_list() == [None, None]


# The manifest as a whole


@pytest.mark.parametrize(
    ("name", "text", "parts"),
    [
        ("m.jsonl", "", ["empty", "one row per recording"]),
        ("m.csv", " \n", ["empty"]),
        ("m.json", "[]", ["no rows"]),
        ("m.json", '[{"id": "a",\n "audio" "b"}]', ["not valid JSON", "line 2, column 10"]),
        ("m.json", '{"id": "a"}\n{"id": "b"}', ["line 2, column 1", "name the file .jsonl"]),
        ("m.json", '{"rows": []}', ["found an object with keys 'rows'", "expected a list of rows"]),
        ("m.json", "[" * 100_000, ["nested too deeply"]),
        ("m.yaml", "- id: a\n  audio: [b\n", ["not valid YAML", "line 3, column 1"]),
        ("m.yaml", "id: a", ["expected a list of rows"]),
        ("m.yaml", "- !!python/object/apply:os.getcwd []", ["not valid YAML", "line 1, column 3"]),
        ("m.csv", "id,id,audio\na,b,c\n", ["column 'id' is given twice"]),
        ("m.csv", "name,file\na,b\n", ["names no column of a manifest", "'name', 'file'"]),
        ("m.csv", 'id,audio\n"a,b\n', ["not valid CSV", "line 2"]),
        ("m.csv", "id,audio\n", ["no rows"]),
        ("m.parquet", "PAR1 nothing else", ["not a Parquet file"]),
        ("m.jsonl", '{"id": "a"}\n[]\n', ["none of 2 rows can be used", "line 1: no recording"]),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path, name, text, parts):
    path = write(tmp_path, name, text)
    with pytest.raises(ManifestError) as error:
        read_input(path)
    assert str(error.value).startswith(str(path))
    for part in parts:
        assert part in str(error.value)


def test_a_manifest_that_is_missing(tmp_path):
    with pytest.raises(ManifestError, match="no such file or folder"):
        read_input(tmp_path / "m.jsonl")


def test_a_manifest_that_is_not_utf8(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes("id,audio\na,grün.wav\n".encode("latin-1"))
    with pytest.raises(
        ManifestError, match=r"line 2: not text in UTF-8 \(byte 0xfc.*save the file"
    ):
        read_input(path)


def test_a_truncated_parquet_file(tmp_path):
    pl.DataFrame([GOOD]).write_parquet(tmp_path / "m.parquet")
    data = (tmp_path / "m.parquet").read_bytes()
    (tmp_path / "m.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(ManifestError, match="not a Parquet file that can be read"):
        read_input(tmp_path / "m.parquet")


def test_a_file_that_is_no_manifest(tmp_path):
    with pytest.raises(InputError, match=r"found \.docx, expected a manifest \(\.jsonl"):
        read_input(write(tmp_path, "m.docx", "x"))


def test_a_layout_for_a_file(tmp_path):
    with pytest.raises(InputError, match="layout 'flexi' is for folders"):
        read_input(jsonl(tmp_path, GOOD), layout="flexi")


def test_many_bad_rows_are_named_in_part(tmp_path):
    with pytest.raises(ManifestError, match=r"(?s)none of 9 rows.*line 5.*and 4 more") as error:
        read_input(jsonl(tmp_path, *[{"id": i} for i in range(9)]))
    assert "line 6" not in str(error.value)


# One row


def with_annotations(**annotations):
    return {"id": "x", "audio": "x.wav", "annotations": annotations}


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"audio": "x.wav"}, ["'id' is missing", "unique id"]),
        ({"Id": "x", "audio": "x.wav"}, ["'id' is missing (is 'Id' meant?)"]),
        ({"id": "", "audio": "x.wav"}, ["id: found ''", "not blank"]),
        ({"id": False, "audio": "x.wav"}, ["id: found false"]),
        ([1, 2], ["found [1, 2]", "expected an object"]),
        ("7", ["found 7", "expected an object"]),
        ('{"id": "x", "audio"}', ["not valid JSON at column 20"]),
        ('{"id": "x", "audio": "a", "audio": "b"}', ["key 'audio' is given twice"]),
        ('{"id": "x", "annotations": {"pause": [0, NaN]}}', ["annotations.pause[1]: found NaN"]),
        ('{"id": "x", "audio": "a", "gain": -Infinity}', ["gain: found -Infinity"]),
        ('{"id": "x", "audio": "a", "gain": 1e999}', ["gain: found Infinity"]),
        ('{"id": "x", "audio": "\\ud800"}', ["not valid Unicode"]),
        (
            {"id": "x", "audio": "x.wav", "scenario": "turn_takin"},
            ["unknown scenario 'turn_takin'", "did you mean 'turn_taking'?"],
        ),
        (
            {"id": "x", "audio": "x.wav", "scenario": "User-Interruption"},
            ["did you mean 'user_interrupt'?"],
        ),
        ({"id": "x", "audio": "x.wav", "scenario": "zzz"}, ["known: turn_taking, pause_handling"]),
        ({"id": "x", "audio": "x.wav", "scenario": 3}, ["unknown scenario 3"]),
        ({"id": "x", "audio": "x.wav", "system": ""}, ["system: found ''"]),
        ({"id": "x", "audio": "x.wav", "system": [1]}, ["system: found [1]"]),
        ({"id": "x", "audio": "x.wav", "anotations": {}}, ["'anotations'", "mean 'annotations'?"]),
        ({"id": "x", "user_audo": "x.wav"}, ["'user_audo'", "mean 'user_audio'?"]),
        ({"id": "x", "audio": "x.wav", "chanels": {}}, ["'chanels'", "mean 'channels'?"]),
        ({"id": "x", "audio": "x.wav", "Channels": {}}, ["'Channels'", "mean 'channels'?"]),
        ({"id": "x", "audio": "x.wav", "userWords": "w"}, ["'userWords'", "mean 'user_words'?"]),
        ({"id": "x", "aduio": "x.wav"}, ["'aduio'", "did you mean 'audio'?"]),
        (
            with_annotations(user_turn_edn=2),
            ["'annotations.user_turn_edn'", "did you mean 'annotations.user_turn_end'?"],
        ),
        (
            {"id": "x", "audio": "x.wav", "annotations.user_turn_edn": 2},
            ["'annotations.user_turn_edn'", "did you mean 'annotations.user_turn_end'?"],
        ),
        (
            {"id": "x", "audio": "x.wav", "anotation.pause": [1, 2]},
            ["'anotation.pause'", "did you mean 'annotations.pause'?"],
        ),
        (
            with_annotations(mood=2),
            ["'annotations.mood'", "known: user_turn_end, pause, interrupt"],
        ),
        (
            {"id": "x", "audio": "x.wav", "annotations": [1]},
            ["annotations: found [1]", "an object"],
        ),
        ({"id": "x", "audio": "x.wav", "text": "hello"}, ["text: found 'hello'", "query, context"]),
        ({"id": "x", "audio": "x.wav", "text": {"query": 3}}, ["text.query: found 3"]),
        (
            {"id": "x", "audio": "x.wav", "user_audio": "u.wav", "model_audio": "m.wav"},
            ["both 'audio' and 'user_audio'"],
        ),
        ({"id": "x", "user_audio": "u.wav"}, ["'user_audio' is given without 'model_audio'"]),
        ({"id": "x", "model_audio": "m.wav"}, ["'model_audio' is given without 'user_audio'"]),
        (
            {"id": "x", "user_audio_path": "u.wav"},
            ["no recording", "expected 'audio'", "other keys found: 'user_audio_path'"],
        ),
        ({"id": "x", "audio": ""}, ["audio: found ''", "path of a file"]),
        ({"id": "x", "audio": 3}, ["audio: found 3"]),
        ({"id": "x", "audio": "https://a.b/x.wav"}, ["a URL", "download the file"]),
        (
            {"id": "x", "audio": "x.wav", "channels": {"user": 0}},
            ["channels: found", '"model": 1}'],
        ),
        ({"id": "x", "audio": "x.wav", "channels": [0, 1]}, ["channels: found [0, 1]"]),
        (
            {"id": "x", "audio": "x.wav", "channels": {"user": 0, "model": -1}},
            ["whole numbers from 0"],
        ),
        (
            {"id": "x", "audio": "x.wav", "channels": {"user": 0.5, "model": 1}},
            ["whole numbers from 0"],
        ),
        (
            {"id": "x", "audio": "x.wav", "channels": {"user": True, "model": 0}},
            ["whole numbers from 0"],
        ),
        (
            {"id": "x", "audio": "x.wav", "channels": {"user": 1, "model": 1}},
            ["both channel 1", "expected two"],
        ),
        (
            {"id": "x", "audio": "x.wav", "channels": {"user": 0, "agent": 1}},
            ["'channels.agent'", "known: user, model"],
        ),
        (
            {
                "id": "x",
                "user_audio": "u.wav",
                "model_audio": "m.wav",
                "channels": {"user": 0, "model": 1},
            },
            ["'channels' is given without 'audio'"],
        ),
        (
            {"id": "x", "user_audio": "u", "model_audio": "m", "user_offset": -0.5},
            ["user_offset: found -0.5", "shift both offsets", "earlier file starts at 0"],
        ),
        (
            {"id": "x", "user_audio": "u", "model_audio": "m", "model_offset": "1"},
            ["model_offset: found '1'", "number of seconds"],
        ),
        (
            {"id": "x", "audio": "x.wav", "user_offset": 1},
            ["'user_offset' is given without 'user_audio'"],
        ),
        (
            with_annotations(user_turn_end="2.3"),
            ["user_turn_end: found '2.3'", "number of seconds"],
        ),
        (with_annotations(user_turn_end=-1), ["user_turn_end: found -1", "0 or more"]),
        (with_annotations(user_turn_end=True), ["user_turn_end: found true"]),
        (with_annotations(user_turn_end=1e12), ["another unit"]),
        (with_annotations(pause=[2, 1]), ["pause: ends at 1 s, before its start at 2 s"]),
        (with_annotations(pause=[2]), ["pause: found [2]", "expected [start, end]"]),
        (with_annotations(pause=2), ["pause: found 2", "expected [start, end]"]),
        (with_annotations(interrupt=[1, None]), ["interrupt[1]: found null"]),
        (with_annotations(backchannels=[1, 2]), ["backchannels[0]: found 1"]),
        (with_annotations(backchannels=3), ["backchannels: found 3", "[[start, end], ...]"]),
        (
            with_annotations(backchannels=[[3, 4], [1, 2]]),
            ["backchannels[1] starts before annotations.backchannels[0]", "sort them"],
        ),
        (
            with_annotations(backchannels=[[1, 3], [2, 4]]),
            ["backchannels[1] starts before annotations.backchannels[0] ends", "merge"],
        ),
        (
            with_annotations(reference_backchannels=[2, 1]),
            ["reference_backchannels[1] is before annotations.reference_backchannels[0]"],
        ),
        (with_annotations(reference_backchannels=[[1, 2]]), ["reference_backchannels[0]: found"]),
        ({"id": "x", "audio": "x.wav", "rating": 5.5}, ["rating: found 5.5", "from 0 to 5"]),
        ({"id": "x", "audio": "x.wav", "rating": "4"}, ["rating: found '4'", "from 0 to 5"]),
        (
            {"id": "x", "audio": "x", "reference_distribution": [1, -1]},
            ["distribution[1]: found -1"],
        ),
        ({"id": "x", "audio": "x", "reference_distribution": [0]}, ["nothing above 0"]),
        (
            {
                "id": "x",
                "audio": "x",
                "annotations": {"pause": [1, 2]},
                "annotations.pause": [1, 2],
            },
            ["'annotations.pause' is given twice"],
        ),
    ],
)
def test_a_bad_row_costs_itself_and_says_why(tmp_path, row, parts):
    reason = reason_of(tmp_path, row)
    for part in parts:
        assert part in reason


def test_what_a_failure_still_knows_of_its_row(tmp_path):
    bad = {"id": "x", "system": "calm", "scenario": "pause_handling", "audio": 1}
    failures = read_input(jsonl(tmp_path, GOOD, bad, {"id": "y", "scenario": "?", "audio": "y"}))
    assert failures.failures.select("recording", "system", "scenario").rows() == [
        ("x", "calm", "pause_handling"),
        ("y", "model", None),
    ]


def test_a_duplicate_id_names_both_rows_and_keeps_the_first(tmp_path):
    rows = [{"id": "x", "audio": "1.wav"}, GOOD, {"id": "x", "audio": "2.wav"}]
    rows += [{"id": "x (line 3)", "audio": "3.wav"}, {"id": "x", "audio": "4.wav"}]
    manifest = read_input(jsonl(tmp_path, *rows))
    assert manifest.rows["audio"].to_list() == [
        str(tmp_path / n) for n in ("1.wav", "good.wav", "3.wav")
    ]
    assert manifest.failures["recording"].to_list() == ["x (line 3) (line 3)", "x (line 5)"]
    assert "line 3: id 'x' is already that of line 1" in manifest.failures["reason"][0]
    assert "line 5: id 'x' is already that of line 1" in manifest.failures["reason"][1]


def test_a_bad_row_keeps_its_id_from_a_later_one(tmp_path):
    manifest = read_input(jsonl(tmp_path, GOOD, {"id": "x"}, {"id": "x", "audio": "x.wav"}))
    assert manifest.failures["recording"].to_list() == ["x", "x (line 3)"]


def test_names_of_recordings_are_unique_whatever_fails(tmp_path):
    rows = [GOOD, {}, {}, {"id": "(line 2)", "audio": "a"}, {"id": "good"}, {"id": "good"}, "nope"]
    manifest = read_input(jsonl(tmp_path, *rows))
    names = [*manifest.rows["recording"], *manifest.failures["recording"]]
    assert len(names) == len(set(names)) == 7


def test_blank_lines_do_not_shift_line_numbers(tmp_path):
    path = write(tmp_path, "m.jsonl", "\n" + json.dumps(GOOD) + "\n\n{}\r\n")
    assert "line 4: key 'id'" in read_input(path).failures["reason"][0]


def test_nan_in_a_json_list_costs_one_row(tmp_path):
    text = f'[{json.dumps(GOOD)}, {{"id": "x", "audio": "x", "gain": NaN}}]'
    manifest = read_input(write(tmp_path, "m.json", text))
    assert manifest.rows.height == 1
    assert "row 2: gain: found NaN" in manifest.failures["reason"][0]


@pytest.mark.parametrize(
    "name", ["annotator", "system_id", "scenario_id", "uid", "test", "context", "studio", "user_id"]
)
def test_names_of_ones_own_are_metadata(name):
    assert nearest(name, KNOWN_KEYS) is None


@unhurried
@given(st.sampled_from(KNOWN_KEYS[3:]), st.data())
def test_one_typing_error_is_seen(key, data):
    at = data.draw(st.integers(0, len(key) - 2))
    kind = data.draw(st.sampled_from(["drop", "double", "swap", "replace", "case"]))
    typed = {
        "drop": key[:at] + key[at + 1 :],
        "double": key[:at] + key[at] + key[at:],
        "swap": key[:at] + key[at + 1] + key[at] + key[at + 2 :],
        "replace": key[:at] + "q" + key[at + 1 :],
        "case": key.upper(),
    }[kind]
    if typed in KNOWN_KEYS or len(key) <= 4:
        return
    assert nearest(typed, KNOWN_KEYS) is not None


# Tables and YAML


def test_csv_with_dotted_columns_json_cells_and_empty_ones(tmp_path):
    text = (
        "\ufeffid,audio,channels.user,channels.model,annotations.user_turn_end,annotations,text.query,age\n"
        '007,a.wav,1,0,2.5,"{""pause"": [1, 2]}",how,30\n'
        "\n"
        "b,b.wav,,,,,,\n"
    )
    manifest = read_input(write(tmp_path, "m.csv", text))
    assert manifest.failures.height == 0
    rows = manifest.rows
    assert rows["recording"].to_list() == ["007", "b"]
    assert rows.select("user_channel", "model_channel").rows() == [(1, 0), (0, 1)]
    assert rows["user_turn_end_ms"].to_list() == [2500, None]
    assert rows["pause_end_ms"].to_list() == [2000, None]
    assert rows["text_query"].to_list() == ["how", None]
    assert rows["metadata"].to_list() == ['{"age": "30"}', "{}"]


def test_csv_rows_of_another_length_and_bad_cells(tmp_path):
    text = (
        "id;audio;annotations.user_turn_end;\n"
        'a;a.wav;1;\nb;b.wav\n"c\nc";c.wav;1,5;\nd;d.wav;;x\n;e.wav;;\n'
    )
    manifest = read_input(write(tmp_path, "m.csv", text))
    assert manifest.rows["recording"].to_list() == ["a", "d"]
    assert manifest.failures["recording"].to_list() == ["b", "c\nc", "(line 7)"]
    reasons = manifest.failures["reason"].to_list()
    assert "line 3: found 2 cells, expected 4 as in the header" in reasons[0]
    assert "line 4: annotations.user_turn_end: found '1,5', expected a number" in reasons[1]
    assert "line 7: key 'id' is missing" in reasons[2]
    assert manifest.warnings[0] == f"{tmp_path / 'm.csv'}: the column without a name is left out"
    assert "who is on which channel" in manifest.warnings[1]


def test_yaml_reads_ids_as_written_and_refuses_repeated_keys(tmp_path):
    text = (
        "- &base {id: 0010, audio: a.wav, since: 2024-01-02}\n"
        "- {<<: *base, id: 1:30}\n"
        "- {id: x, audio: a, audio: b}\n"
        "- {id: y, audio: a, gain: .nan}\n"
        "- {id: 1e3, audio: a}\n"
        "- just text\n"
    )
    manifest = read_input(write(tmp_path, "m.yaml", text))
    assert manifest.rows["recording"].to_list() == ["0010", "1:30", "1e3"]
    assert manifest.rows["metadata"][1] == '{"since": "2024-01-02"}'
    reasons = manifest.failures["reason"].to_list()
    assert "row 3: key 'audio' is given twice" in reasons[0]
    assert "row 4: gain: found NaN" in reasons[1]
    assert "row 6: found 'just text', expected an object" in reasons[2]


def test_yaml_aliases_cannot_multiply_without_bound(tmp_path):
    """Ten levels of ten aliases would be ten thousand million values, in any key."""
    levels = ["bomb0: &b0 [x]"]
    levels += [f"bomb{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 10)}]" for i in range(1, 11)]
    text = "- {id: good, audio: good.wav}\n- " + "\n  ".join(["id: bomb", *levels]) + "\n"
    text += "- {id: *b10, audio: a}\n- *b10\n- {id: s, audio: a, scenario: *b10}\n"
    text += "- &self {id: self, audio: a, x: [*self, *self]}\n"
    manifest = read_input(write(tmp_path, "m.yaml", text))
    assert manifest.rows["recording"].to_list() == ["good"]
    reasons = manifest.failures["reason"].to_list()
    assert "row 2: more than 200000 values" in reasons[0]
    assert "row 3: id: found [[[" in reasons[1]
    assert "row 4: found [[[" in reasons[2]
    assert "row 5: more than 200000 values" in reasons[3]
    assert "nested more than 50 deep" in reasons[4]


def test_parquet_nan_is_missing_metadata_but_no_annotation(tmp_path):
    frame = pl.DataFrame(
        {
            "id": [1, 2],
            "audio": ["a.wav", "b.wav"],
            "age": [float("nan"), 30.0],
            "annotations.user_turn_end": [1.5, float("nan")],
        }
    )
    frame.write_parquet(tmp_path / "m.parquet")
    manifest = read_input(tmp_path / "m.parquet")
    assert manifest.rows["metadata"].to_list() == ["{}"]
    assert manifest.rows["user_turn_end_ms"].to_list() == [1500]
    assert "row 2: annotations.user_turn_end: found NaN" in manifest.failures["reason"][0]


def test_a_folder_is_read_through_its_manifest(tmp_path):
    write(tmp_path, "manifest.csv", "id,audio\na,a.wav\n")
    (tmp_path / "b.wav").touch()
    assert read_input(tmp_path).rows["recording"].to_list() == ["a"]
    assert read_input(tmp_path, layout="stereo").rows["recording"].to_list() == ["b"]
    write(tmp_path, "manifest.json", "[]")
    with pytest.raises(ManifestError, match=r"several manifests \(manifest.json, manifest.csv\)"):
        read_input(tmp_path)


def test_one_file_is_a_conversation(tmp_path):
    (tmp_path / "call.v2.FLAC").touch()
    manifest = read_input(tmp_path / "call.v2.FLAC")
    row = manifest.rows.row(0, named=True)
    assert (row["recording"], row["system"], row["scenario"]) == (
        "call.v2",
        "model",
        "conversation",
    )
    assert row["audio"] == str(tmp_path / "call.v2.FLAC")


# Every format says the same

seconds = st.integers(0, 600_000).map(lambda ms: ms / 1000)
spans = st.tuples(seconds, seconds).map(sorted)
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1
).filter(lambda text: text == text.strip() and not text.startswith(("{", "[")))


@st.composite
def rows(draw):
    row = {"id": draw(words)}
    row |= draw(st.fixed_dictionaries({}, optional={"system": words}))
    row |= draw(st.fixed_dictionaries({}, optional={"scenario": st.sampled_from(SCENARIOS)}))
    if draw(st.booleans()):
        row["audio"] = draw(words.filter(lambda name: "://" not in name))
        if draw(st.booleans()):
            row["channels"] = {"user": draw(st.integers(1, 5)), "model": 0}
    else:
        row |= {"user_audio": "u.wav", "model_audio": "m.wav", "user_offset": draw(seconds)}
    annotations = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "user_turn_end": seconds,
                "pause": spans,
                "reference_backchannels": st.lists(seconds).map(sorted),
                "backchannels": st.lists(seconds, unique=True, max_size=4)
                .map(sorted)
                .map(lambda t: [list(pair) for pair in zip(t[::2], t[1::2], strict=False)]),
            },
        )
    )
    if annotations:
        row["annotations"] = annotations
    text = draw(st.fixed_dictionaries({}, optional={"query": words, "statement": words}))
    if text:
        row["text"] = text
    row |= draw(st.fixed_dictionaries({}, optional={"rating": st.floats(0, 5), "age": words}))
    return row


def write_csv(path, items, dotted):
    def cell(value):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    flat = []
    for item in items:
        row = {}
        for key, value in item.items():
            if dotted and isinstance(value, dict):
                row |= {f"{key}.{name}": cell(inner) for name, inner in value.items()}
            else:
                row[key] = cell(value)
        flat.append(row)
    names = list(dict.fromkeys(name for row in flat for name in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(flat)


@unhurried
@given(st.lists(rows(), min_size=1, max_size=5, unique_by=lambda row: row["id"]))
@example([{"id": "0E0", "audio": "a.wav"}])
@example([{"id": "x", "user_audio": "u.wav", "model_audio": "m.wav", "user_offset": 1e-05}])
def test_all_formats_read_the_same(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("formats")
    expected = read_input(jsonl(folder, *items))
    assert expected.failures.height == 0
    assert expected.rows["recording"].to_list() == [row["id"] for row in items]
    write(folder, "m.json", json.dumps(items))
    write(folder, "m.yaml", yaml.safe_dump(items, allow_unicode=True))
    write_csv(folder / "m.csv", items, dotted=False)
    write_csv(folder / "dotted.csv", items, dotted=True)
    pl.DataFrame(items, infer_schema_length=None, strict=False).write_parquet(folder / "m.parquet")
    for name in ("m.json", "m.yaml", "m.csv", "dotted.csv", "m.parquet"):
        found = read_input(folder / name)
        assert found.failures["reason"].to_list() == []
        assert_frame_equal(found.rows, expected.rows)


@unhurried
@given(st.lists(rows(), min_size=1, max_size=4, unique_by=lambda row: row["id"]))
def test_a_row_says_what_the_table_says(tmp_path_factory, items):
    """An independent, plain reading of the rows."""
    table = read_input(jsonl(tmp_path_factory.mktemp("plain"), *items)).rows.to_dicts()
    for item, row in zip(items, table, strict=True):
        notes = item.get("annotations", {})
        end = notes.get("user_turn_end")
        assert row["user_turn_end_ms"] == (None if end is None else round(end * 1000))
        start, end = notes.get("pause", (None, None))
        assert row["pause_start_ms"] == (None if start is None else round(start * 1000))
        assert row["pause_end_ms"] == (None if end is None else round(end * 1000))
        spoken = notes.get("backchannels")
        assert row["backchannels"] == (
            None
            if spoken is None
            else [{"start_ms": round(s * 1000), "end_ms": round(e * 1000)} for s, e in spoken]
        )
        assert row["user_channel"] == (
            item.get("channels", {"user": 0})["user"] if "audio" in item else None
        )
        assert row["user_offset_ms"] == round(item.get("user_offset", 0) * 1000)
        assert row["rating"] == item.get("rating")
        assert json.loads(row["metadata"]) == ({"age": item["age"]} if "age" in item else {})


@unhurried
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "ignore")))
def test_no_content_raises_anything_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    for suffix in ("jsonl", "json", "yaml", "csv", "parquet"):
        path = folder / f"m.{suffix}"
        path.write_bytes(data)
        message = str(path)
        try:
            read_input(path)
        except ManifestError as error:
            message = str(error)
        assert message.startswith(str(path))


# Annotations past the end


def slow_check(row, duration):
    ends = {
        "user_turn_end": row["user_turn_end_ms"],
        "pause": row["pause_end_ms"],
        "interrupt": row["interrupt_end_ms"],
        "backchannels": max((b["end_ms"] for b in row["backchannels"] or []), default=None),
        "reference_backchannels": max(row["reference_backchannels_ms"] or [], default=None),
    }
    return [name for name, end in ends.items() if end is not None and end > duration + 20]


@unhurried
@given(st.lists(rows(), min_size=1, max_size=5, unique_by=lambda row: row["id"]), st.data())
def test_annotations_past_the_end(tmp_path_factory, items, data):
    table = read_input(jsonl(tmp_path_factory.mktemp("past"), *items)).rows
    size = {"min_size": len(items), "max_size": len(items)}
    durations = np.array(data.draw(st.lists(st.integers(0, 600_000), **size)))
    for row, duration, found in zip(
        table.to_dicts(), durations, check_annotations(table, durations), strict=True
    ):
        late = slow_check(row, duration)
        assert (found is None) == (not late)
        if found is not None:
            assert found.startswith(f"annotations.{late[0]} ")


def test_the_message_of_an_annotation_past_the_end(tmp_path):
    item = with_annotations(pause=[1, 10.021], interrupt=[1, 20])
    table = read_input(
        jsonl(tmp_path, item, {**with_annotations(pause=[1, 10.02]), "id": "y"})
    ).rows
    assert check_annotations(table, np.array([10_000, 10_000])) == [
        "annotations.pause ends at 10.021 s, past the end of the recording at 10.0 s",
        None,
    ]
    assert check_annotations(table.head(0), np.array([], np.int64)) == []


def test_paths_keep_what_the_user_wrote(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path, {"id": "a", "audio": "../x.wav"})
    assert read_input("m.jsonl").rows["audio"].to_list() == [str(Path(tmp_path, "../x.wav"))]


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("user_turn_end", 3.0, "annotations.user_turn_end"),
        ("User Turn End", 3.0, "annotations.user_turn_end"),
        ("user_turnend", 3.0, "annotations.user_turn_end"),
        ("pause", [1, 2], "annotations.pause"),
        ("interrupt", [1, 2], "annotations.interrupt"),
        ("user_channel", 1, "channels.user"),
        ("text_query", "x", "text.query"),
        ("user_turn_end_ms", 3000, "annotations.user_turn_end, in seconds"),
        ("labels", {"user_turn_end": 3.0}, "annotations.user_turn_end"),
        ("annotations", {"channels": {"user": 1, "model": 0}}, "channels, at the top of the row"),
        ("annotations", {"user_channel": 1}, "channels.user"),
    ],
)
def test_a_key_in_the_wrong_place_is_an_error_with_the_right_one(tmp_path, key, value, place):
    row = {"id": "a", "audio": "a.wav", key: value}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(ManifestError, match=rf"unknown key .*; its place is {re.escape(place)}"):
        read_input(tmp_path / "m.jsonl")


def test_a_speaker_of_the_users_own_is_metadata(tmp_path):
    row = {"id": "a", "audio": "a.wav", "speaker": "anna"}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    assert json.loads(read_input(tmp_path / "m.jsonl").rows["metadata"][0]) == {"speaker": "anna"}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({"A": "user", "Bob": "model"}, {"a": "user", "bob": "model"}),
        ("A=user,B=none", {"a": "user", "b": "none"}),
    ],
)
def test_speakers_of_labels(tmp_path, value, stored):
    row = {"id": "a", "user_speech": "a.rttm", "model_speech": "a.rttm", "speakers": value}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    assert json.loads(read_input(tmp_path / "m.jsonl").rows["speakers"][0]) == stored
    said = read_input(tmp_path / "m.jsonl", speakers="C=user").rows["speakers"][0]
    assert json.loads(said) == stored  # the row's own counts


def test_channels_of_labels_without_audio(tmp_path):
    row = {"id": "a", "user_words": "a.json", "model_words": "a.json"}
    (tmp_path / "m.jsonl").write_text(json.dumps(row) + "\n")
    found = read_input(tmp_path / "m.jsonl", channels="model,user").rows.row(0, named=True)
    assert (found["user_channel"], found["model_channel"]) == (1, 0)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"info": {"annotations": {"user_turn_end": 3.0}}}, "info.annotations.*: annotations, at"),
        ({"a": {"b": {"user_turn_end": 3.0}}}, "a.b.user_turn_end.*annotations.user_turn_end"),
        ({"a": [{"user_turn_end": 3.0}]}, "a.user_turn_end.*annotations.user_turn_end"),
        ({"a": {"channels": {"user": 1, "model": 0}}}, "a.channels.*channels, at the top"),
        ({"meta.user_turn_end": 3.0}, "meta.user_turn_end.*annotations.user_turn_end"),
        ({"annotations/pause": [1, 2]}, "annotations/pause.*annotations.pause"),
        ({"annotations_interrupt": [1, 2]}, "annotations_interrupt.*annotations.interrupt"),
        ({"user_transcript": "a.json"}, "user_transcript.*its place is user_words"),
    ],
)
def test_keys_of_the_contract_inside_other_objects_are_refused(tmp_path, row, said):
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", "audio": "a.wav"} | row))
    with pytest.raises(ManifestError, match=said.replace(".*:", ".*")):
        read_input(tmp_path / "m.jsonl")


def test_names_of_users_own_inside_their_objects_stay(tmp_path):
    own = {"info": {"annotations": {"mood": 3}, "channels": {"user": "left"}, "pause": 1}}
    (tmp_path / "m.jsonl").write_text(json.dumps({"id": "a", "audio": "a.wav"} | own))
    (row,) = read_input(tmp_path / "m.jsonl").rows.to_dicts()
    assert json.loads(row["metadata"]) == own


@pytest.mark.parametrize("protocol", ["memory", "file", "http"])
def test_paths_beside_a_manifest_at_a_url(tmp_path, protocol):
    fsspec = pytest.importorskip("fsspec")
    named = {"a": "a.wav", "b": "sub dir/\u00e4 #1.wav", "c": "../other/c.wav"}
    (tmp_path / "calls").mkdir()
    lines = [json.dumps({"id": key, "audio": path}) for key, path in named.items()]
    (tmp_path / "calls/m.jsonl").write_text("\n".join([*lines, '{"id": "d"}']))
    below = {"a": "calls/a.wav", "b": "calls/sub dir/\u00e4 #1.wav", "c": "other/c.wav"}
    with ExitStack() as opened:
        if protocol == "http":
            pytest.importorskip("aiohttp")
            pytest.importorskip("requests")
            handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
            server = opened.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), handler))
            Thread(target=server.serve_forever, daemon=True).start()
            opened.callback(server.shutdown)
            base = f"http://127.0.0.1:{server.server_port}"
            below = {key: quote(path) for key, path in below.items()}
        elif protocol == "memory":
            base = f"memory://{tmp_path}"
            fsspec.filesystem("memory").put(str(tmp_path), str(tmp_path), recursive=True)
        else:
            base = f"file://{tmp_path}"
        found = read_remote_manifest(f"{base}/calls/m.jsonl")
    assert dict(found.rows.select("recording", "audio").iter_rows()) == {
        key: f"{base}/{path}" for key, path in below.items()
    }
    assert all("/calls" in text and "flexi_score-" not in text for text in found.warnings)
    assert "flexi_score-" not in found.failures["reason"][0]
