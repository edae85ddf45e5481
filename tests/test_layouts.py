"""Folders in known layouts: what is found, what is incomplete, and that nothing shifts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from flexi_score.errors import InputError
from flexi_score.formats import read_segments, read_words
from flexi_score.formats.layouts import LAYOUTS, detect_layout, pairs, read_layout
from flexi_score.manifest import read_input

SHARED = Path(__file__).parents[1].parent / "shared" / "data"
PARITY = SHARED / "release_parity"
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason="release_parity is not here")

WORDS = {"text": "a", "chunks": [{"text": "a", "timestamp": [0.5, 1.0]}]}
PAUSE = {"text": "[PAUSE]", "timestamp": [1.5, 3.0]}
TURN = [{"text": "[TURN-TAKING]", "timestamp": [2.5, 2.9]}]
INTERRUPT = [{"context": "plan", "interrupt": "wait", "timestamp": [5.5, 9.25]}]


def fill(folder, **content):
    """Files of a folder: JSON, text as it is, or None for half a second of sound."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in content.items():
        path = folder / name.replace("__", ".")
        if value is None:
            soundfile.write(path, np.zeros((4000, 2)), 8000)
        else:
            path.write_text(value if isinstance(value, str) else json.dumps(value), "utf-8")
    return folder


def only(manifest):
    assert manifest.failures["reason"].to_list() == []
    assert manifest.rows.height == 1
    return manifest.rows.row(0, named=True)


def only_failure(manifest):
    assert manifest.failures.height == 1
    return manifest.failures.row(0, named=True)


# Stereo, pairs, calls


def test_stereo_files_in_subfolders(tmp_path):
    fill(tmp_path / "b", x__wav=None)
    fill(tmp_path, a__flac=None, notes__txt="hello", labels__jsonl="{}")
    fill(tmp_path / ".cache", hidden__wav=None)
    fill(tmp_path / "__MACOSX", x__wav="no audio")
    (tmp_path / "b" / "._x.wav").touch()
    assert detect_layout(tmp_path) == "stereo"
    manifest = read_input(tmp_path, system="calm")
    assert manifest.rows["recording"].to_list() == ["a", "b/x"]
    assert manifest.rows["audio"].to_list() == [str(tmp_path / "a.flac"), str(tmp_path / "b/x.wav")]
    assert set(manifest.rows["scenario"]) == {"conversation"}
    assert set(manifest.rows["system"]) == {"calm"}


def test_two_files_of_one_stem_are_told_apart(tmp_path):
    fill(tmp_path, a__flac=None, a__wav=None)
    manifest = read_input(tmp_path)
    assert manifest.rows["audio"].to_list() == [str(tmp_path / "a.flac")]
    assert "a.wav: id 'a' is already that of a.flac" in only_failure(manifest)["reason"]


@pytest.mark.parametrize(
    ("user", "model", "name"),
    [
        ("x_user.wav", "x_model.wav", "x"),
        ("d/x-Caller.wav", "d/x-AGENT.flac", "d/x"),
        ("x.customer.wav", "x.assistant.wav", "x"),
        ("human_x.wav", "bot_x.wav", "x"),
        ("x/input.wav", "x/output.wav", "x"),
        ("input/x.wav", "system/x.wav", "x"),
        ("d/user/x.wav", "d/model/x.wav", "d/x"),
        ("user.wav", "model.wav", "recording"),
    ],
)
def test_pairs_by_name(tmp_path, user, model, name):
    for path in (user, model):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert detect_layout(tmp_path) == "pairs"
    row = only(read_input(tmp_path))
    assert row["recording"] == name
    assert row["user_audio"] == str(tmp_path / user)
    assert row["model_audio"] == str(tmp_path / model)
    assert row["audio"] is None


def test_pairs_that_are_incomplete_shift_no_other(tmp_path):
    fill(tmp_path, a_user__wav=None, b_user__wav=None, b_model__wav=None, c_model__wav=None)
    fill(tmp_path, d_user__wav=None, d_caller__wav=None, d_model__wav=None, mix__wav=None)
    manifest = read_input(tmp_path)
    assert only_names(manifest) == ["b"]
    assert manifest.rows["model_audio"].to_list() == [str(tmp_path / "b_model.wav")]
    reasons = dict(manifest.failures.select("recording", "reason").rows())
    assert "a_user.wav has no model file" in reasons["a"]
    assert "c_model.wav has no user file" in reasons["c"]
    assert "'d_caller.wav', 'd_user.wav' are the same side of 'd'" in reasons["d"]
    assert manifest.warnings == [f"{tmp_path}: in no pair and left out: 'mix.wav'"]


def only_names(manifest):
    return manifest.rows["recording"].to_list()


def test_pairs_by_patterns_of_ones_own(tmp_path):
    fill(tmp_path / "d", x_left__wav=None, x_right__wav=None, x_user__wav=None)
    row = only(read_input(tmp_path, layout="pairs:*_right, *_left"))
    assert row["recording"] == "d/x"
    assert row["user_audio"] == str(tmp_path / "d/x_right.wav")
    assert len(pairs(tmp_path, [("*_right", "*_left")]).samples) == 1
    with pytest.raises(InputError, match=r"expected two patterns with one \* each"):
        read_input(tmp_path, layout="pairs:left,*_right")


def test_calls_keep_what_stands_beside_them(tmp_path):
    fill(tmp_path, a__wav=None, b__wav=None, c__wav=None, d__wav=None)
    fill(
        tmp_path,
        a__json={"channels": {"caller": 1, "agent": 0}, "system": "v3", "channel": 2, "id": 9},
        b__json={"channels": 2, "text": "all of it"},
        c__json="{",
    )
    assert detect_layout(tmp_path) == "calls"
    manifest = read_input(tmp_path)
    rows = {row["recording"]: row for row in manifest.rows.to_dicts()}
    assert list(rows) == ["a", "b", "d"]
    assert (rows["a"]["user_channel"], rows["a"]["model_channel"]) == (1, 0)
    assert rows["a"]["system"] == "v3"
    assert json.loads(rows["a"]["metadata"]) == {"channel": 2, "id": 9}
    assert json.loads(rows["b"]["metadata"]) == {"channels": 2, "text": "all of it"}
    assert "c.json: not valid JSON at line 1, column 2" in only_failure(manifest)["reason"]
    bare, assumed = manifest.warnings
    assert bare == f"{tmp_path}: no JSON file beside 'd.wav'; no metadata for them"
    assert "nothing of 'b', 'd' says who is on which channel" in assumed


def test_a_sidecar_that_is_no_object(tmp_path):
    fill(tmp_path, a__wav=None, a__json=[1], b__wav=None, b__json={"channels": {"x": 0, "user": 1}})
    manifest = read_input(tmp_path, layout="calls")
    assert "a.json: found [1], expected an object" in only_failure(manifest)["reason"]
    assert json.loads(manifest.rows["metadata"][0]) == {"channels": {"user": 1, "x": 0}}


# Which layout


def test_a_folder_in_no_layout(tmp_path):
    fill(tmp_path, a__wma="x", b__txt="y")
    (tmp_path / "c").write_bytes(b"RIFF\x24\0\0\0WAVEfmt ")
    with pytest.raises(InputError) as error:
        read_input(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path}: no manifest and no known layout.")
    assert "not read under this extension: 'a.wma', 'c'; convert" in message
    assert "manifest.jsonl" in message
    for name, known in LAYOUTS.items():
        assert f"{name}: {known.about}" in message


def test_every_file_that_is_left_out_is_named(tmp_path):
    fill(tmp_path, a__flac=None, b__m4a="x", c__webm="x", d__oga="x", e__sph="x", f__wma="x")
    fill(tmp_path / "deep", g__gsm="x")
    manifest = read_input(tmp_path)
    assert only_names(manifest) == ["a", "b", "c", "d", "e"]
    (warning,) = (w for w in manifest.warnings if "left out" in w)
    assert "'f.wma', 'deep/g.gsm'" in warning


def test_audio_of_no_sample_is_named(tmp_path):
    fill(tmp_path / "1", input__wav=None, output__wav=None, turn_taking__json=TURN)
    fill(tmp_path / "1", mixed__wav=None)
    (warning,) = read_input(tmp_path).warnings
    assert "they belong to no recording of this layout: '1/mixed.wav'" in warning


def test_an_unknown_layout(tmp_path):
    with pytest.raises(InputError, match="unknown layout 'flexy'; known: auto, flexi, fdb, fdb2"):
        read_layout(tmp_path, "flexy")


def test_a_layout_that_finds_nothing(tmp_path):
    with pytest.raises(InputError, match="no manifest and no known layout"):
        read_input(tmp_path, layout="stereo")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_takes_an_empty_folder(tmp_path, name):
    found = LAYOUTS[name].read(tmp_path)
    assert (found.samples, found.problems, found.warnings) == ([], [], [])


# FLEXI


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("turn_taking", "turn_taking"),
        ("smooth-turn-taking", "turn_taking"),
        ("pause_handing", "pause_handling"),
        ("Pause Handling", "pause_handling"),
        ("user_interruption", "user_interrupt"),
        ("model_interruption", "model_interrupt"),
        ("userbackchannel", "user_backchannel"),
        ("model_backchannels", "model_backchannel"),
    ],
)
def test_scenarios_by_the_names_of_folders(tmp_path, name, scenario):
    fill(
        tmp_path / name / "0001",
        input__json=WORDS,
        output__json=WORDS,
        turn_taking__json=TURN,
        pause__json=PAUSE,
        interrupt__json=INTERRUPT,
    )
    row = only(read_input(tmp_path, system="moshi"))
    assert (row["recording"], row["scenario"], row["system"]) == (
        f"{scenario}/0001",
        scenario,
        "moshi",
    )
    assert only(read_input(tmp_path / name))["recording"] == f"{scenario}/0001"


def test_two_systems_in_one_tree_keep_their_names(tmp_path):
    for system in ("a", "b"):
        sample = tmp_path / system / "turn_taking" / "1"
        fill(sample, output__json=WORDS, turn_taking__json=TURN)
    assert only_names(read_input(tmp_path)) == ["turn_taking/a/1", "turn_taking/b/1"]


@pytest.mark.parametrize(
    ("files", "scenario"),
    [
        ({"turn_taking__json": TURN}, "turn_taking"),
        ({"pause__json": PAUSE}, "pause_handling"),
        ({"interrupt__json": INTERRUPT}, "user_interrupt"),
        ({"source_statement__json": [{"user_statement": "s"}]}, "model_interrupt"),
        ({"metadata__json": {"user_backchannel_times": [1]}}, "user_backchannel"),
        ({"segments__json": {"duration": 3, "segments": []}}, "model_backchannel"),
        ({"reference__json": [0, 1]}, "model_backchannel"),
    ],
)
def test_scenarios_by_their_files(tmp_path, files, scenario):
    fill(tmp_path / "s1", input__json=WORDS, output__json=WORDS, **files)
    assert detect_layout(tmp_path) == "flexi"
    assert only(read_input(tmp_path))["recording"] == f"{scenario}/s1"


def test_what_the_files_of_a_sample_become(tmp_path):
    sample = fill(
        tmp_path / "user_interrupt" / "7",
        input__wav=None,
        output__flac=None,
        input__json=WORDS,
        output__json=WORDS,
        interrupt__json=INTERRUPT,
        rating__json={"rating": 4, "analysis": "fine"},
        metadata__json={"voice": "slt", "id": "own"},
    )
    row = only(read_input(tmp_path))
    assert row["user_audio"] == str(sample / "input.wav")
    assert row["model_audio"] == str(sample / "output.flac")
    assert row["user_words"] == str(sample / "input.json")
    assert row["model_words"] == str(sample / "output.json")
    assert (row["interrupt_start_ms"], row["interrupt_end_ms"]) == (5500, 9250)
    assert (row["text_context"], row["text_interrupt"]) == ("plan", "wait")
    assert row["rating"] == 4.0
    assert json.loads(row["metadata"]) == {"voice": "slt", "id": "own", "rating_analysis": "fine"}


@pytest.mark.parametrize("content", [PAUSE, [PAUSE], [PAUSE, {"timestamp": [7, 9]}]])
def test_pauses_as_an_object_or_a_list(tmp_path, content):
    fill(tmp_path / "1", input__json=WORDS, output__json=WORDS, pause__json=content)
    row = only(read_input(tmp_path))
    assert (row["pause_start_ms"], row["pause_end_ms"]) == (1500, 3000)
    several = isinstance(content, list) and len(content) > 1
    assert json.loads(row["metadata"]) == ({"pauses": content} if several else {})


def test_backchannels_are_points_and_ratings_have_two_names(tmp_path):
    fill(
        tmp_path / "user_backchannel" / "1",
        input__json=WORDS,
        output__json=WORDS,
        metadata__json={"user_backchannel_times": [1.5, 4]},
        rating__json={"accuracy_score": 2.5, "rating": 1},
    )
    row = only(read_input(tmp_path))
    assert row["backchannels"] == [
        {"start_ms": 1500, "end_ms": 1500},
        {"start_ms": 4000, "end_ms": 4000},
    ]
    assert row["rating"] == 2.5


@pytest.mark.parametrize(
    ("rating", "part"),
    [
        ("{", "not valid JSON"),
        ([], "expected an object"),
        ({"score": 3}, "expected 'rating' or 'accuracy_score'"),
        ({"rating": "5"}, "rating: found '5', expected a number from 0 to 5"),
        ({"rating": 50}, "rating: found 50"),
        ({"rating": None}, "rating: found null"),
    ],
)
def test_a_bad_rating_costs_the_rating_only(tmp_path, rating, part):
    fill(tmp_path / "1", output__json=WORDS, interrupt__json=INTERRUPT, rating__json=rating)
    manifest = read_input(tmp_path)
    row = only(manifest)
    assert row["rating"] is None
    problem = json.loads(row["metadata"])["rating_problem"]
    assert problem.startswith(str(tmp_path / "1" / "rating.json"))
    assert part in problem
    assert manifest.warnings == [f"{problem}; the recording goes on without a rating"]


@pytest.mark.parametrize(
    ("scenario", "files", "part"),
    [
        ("turn_taking", {"turn_taking__json": TURN}, "lacks output.wav or output.json"),
        ("turn_taking", {"output__json": WORDS}, "lacks turn_taking.json"),
        ("pause_handling", {"output__json": WORDS}, "lacks input.wav or input.json and pause.json"),
        ("pause_handling", {}, "lacks output.wav or output.json and input.wav or input.json"),
        ("user_interrupt", {"output__json": WORDS}, "lacks interrupt.json"),
        ("user_interrupt", {"output__json": WORDS, "metadata__json": {}}, "lacks interrupt.json"),
        ("user_interrupt", {"output__wav": None, "interrupt__json": INTERRUPT}, "lacks input.wav"),
        ("model_interrupt", {"output__json": WORDS}, "lacks input.wav or input.json"),
        (
            "turn_taking",
            {"output__json": WORDS, "turn_taking__json": "[{]"},
            "turn_taking.json: not valid JSON at line 1, column 3",
        ),
        (
            "turn_taking",
            {"output__json": WORDS, "turn_taking__json": []},
            "turn_taking.json: found [], expected a list of objects",
        ),
        (
            "turn_taking",
            {"output__json": WORDS, "turn_taking__json": [{"timestamp": None}]},
            "turn_taking.json: timestamp: found null, expected [start, end]",
        ),
        (
            "turn_taking",
            {"output__json": WORDS, "turn_taking__json": [{"timestamp": [-1, 2]}]},
            "turn_taking.json: timestamp[0]: found -1",
        ),
        (
            "user_interrupt",
            {"output__json": WORDS, "interrupt__json": [{"timestamp": [3, 2]}]},
            "annotations.interrupt: ends at 2 s, before its start at 3 s",
        ),
        (
            "user_backchannel",
            {"output__json": WORDS, "input__json": WORDS, "metadata__json": [1]},
            "metadata.json: found [1], expected an object",
        ),
        (
            "user_backchannel",
            {
                "output__json": WORDS,
                "input__json": WORDS,
                "metadata__json": {"user_backchannel_times": 4},
            },
            "user_backchannel_times: found 4, expected a list",
        ),
        (
            "model_interrupt",
            {"output__json": WORDS, "input__json": WORDS, "source_statement__json": [{}]},
            "source_statement.json: found an empty object, expected 'user_statement'",
        ),
        (
            "model_backchannel",
            {"output__json": WORDS, "segments__json": {"segments": []}},
            "segments.json: duration: found null",
        ),
        (
            "model_backchannel",
            {"output__json": WORDS, "segments__json": {"duration": 0}},
            "segments.json: duration: found 0",
        ),
        (
            "model_backchannel",
            {"output__json": WORDS, "reference__json": [0.1, -1]},
            "reference_distribution[1]: found -1",
        ),
        (
            "model_backchannel",
            {"output__wav": None, "output__flac": None},
            "output.flac and output.wav are both the output",
        ),
    ],
)
def test_an_incomplete_sample_names_what_it_lacks_and_shifts_no_other(
    tmp_path, scenario, files, part
):
    whole = {
        "input__json": WORDS,
        "output__json": WORDS,
        "turn_taking__json": TURN,
        "pause__json": PAUSE,
        "interrupt__json": INTERRUPT,
    }
    for name in ("0001", "0003"):
        fill(tmp_path / scenario / name, **whole)
    fill(tmp_path / scenario / "0002", **files)
    manifest = read_input(tmp_path, layout="flexi")
    assert only_names(manifest) == [f"{scenario}/0001", f"{scenario}/0003"]
    assert manifest.rows["model_words"].to_list() == [
        str(tmp_path / scenario / name / "output.json") for name in ("0001", "0003")
    ]
    failure = only_failure(manifest)
    assert (failure["recording"], failure["scenario"]) == (f"{scenario}/0002", scenario)
    assert str(tmp_path / scenario / "0002") in failure["reason"].replace(", ", "/")
    assert part in failure["reason"]


def test_samples_whose_scenario_is_open(tmp_path):
    fill(tmp_path / "1", output__json=WORDS, turn_taking__json=TURN)
    fill(tmp_path / "2", input__json=WORDS, output__json=WORDS)
    fill(tmp_path / "3", output__json=WORDS, turn_taking__json=TURN, pause__json=PAUSE)
    manifest = read_input(tmp_path)
    assert only_names(manifest) == ["turn_taking/1"]
    assert manifest.failures["recording"].to_list() == ["2", "3"]
    assert "lacks the JSON file of its scenario" in manifest.failures["reason"][0]
    assert "pause.json and turn_taking.json belong to different" in manifest.failures["reason"][1]


def test_audio_without_a_partner_leaves_the_transcripts(tmp_path):
    sample = tmp_path / "1"
    fill(sample, output__wav=None, output__json=WORDS, interrupt__json=INTERRUPT)
    manifest = read_input(tmp_path)
    row = only(manifest)
    assert (row["model_audio"], row["user_audio"]) == (None, None)
    assert row["model_words"] == str(sample / "output.json")
    assert manifest.warnings == [
        f"{sample / 'output.wav'}: has no partner and is left out; the transcripts are used"
    ]


@needs_parity
def test_the_parity_data_reads_whole():
    manifest = read_input(PARITY)
    assert detect_layout(PARITY) == "flexi"
    assert manifest.failures.height == 0
    assert manifest.warnings == []
    assert dict(manifest.rows["scenario"].value_counts().rows()) == dict.fromkeys(
        [
            "turn_taking",
            "pause_handling",
            "user_interrupt",
            "model_interrupt",
            "user_backchannel",
            "model_backchannel",
        ],
        60,
    )
    for row in manifest.rows.to_dicts():
        sample = PARITY / row["recording"]
        assert row["model_words"] == str(sample / "output.json")
        chunks = json.loads((sample / "output.json").read_text())["chunks"]
        words = read_words(row["model_words"], "model")
        assert words.rows() == [
            (*(round(t * 1000) for t in c["timestamp"]), c["text"].strip()) for c in chunks
        ]
        rating = sample / "rating.json"
        if rating.exists():
            content = json.loads(rating.read_text())
            assert row["rating"] == content.get("rating", content.get("accuracy_score"))
        else:
            assert row["rating"] is None
        if row["scenario"] == "model_backchannel":
            content = json.loads((sample / "segments.json").read_text())
            assert row["stated_duration_ms"] == round(content["duration"] * 1000)
            assert row["reference_distribution"] == json.loads(
                (sample / "reference.json").read_text()
            )
            assert read_segments(row["model_speech"]).height == len(content["segments"])
        if row["scenario"] == "turn_taking":
            content = json.loads((sample / "turn_taking.json").read_text())
            assert row["user_turn_end_ms"] == round(content[0]["timestamp"][0] * 1000)


@needs_parity
def test_a_missing_file_of_the_parity_data_costs_one_sample(tmp_path):
    folder = tmp_path / "pause_handling"
    shutil.copytree(PARITY / "pause_handling", folder, copy_function=shutil.copyfile)
    for place in [folder, *folder.iterdir()]:
        place.chmod(0o755)
    (folder / "0007" / "input.json").unlink()
    manifest = read_input(folder)
    assert manifest.rows.height == 59
    failure = only_failure(manifest)
    assert failure["recording"] == "pause_handling/0007"
    assert "lacks input.wav or input.json" in failure["reason"]


@pytest.mark.skipif(not (SHARED / "real_calls").is_dir(), reason="real_calls is not here")
def test_real_calls_are_a_folder_of_stereo_files():
    manifest = read_input(SHARED / "real_calls")
    assert manifest.rows.height == len(list((SHARED / "real_calls").glob("*.wav")))
    assert read_input(SHARED / "real_calls" / "labels.jsonl").rows.height == manifest.rows.height


# Full-Duplex-Bench


def test_full_duplex_bench_v1(tmp_path):
    fill(tmp_path / "candor_pause_handling" / "1", input__wav=None, output__wav=None)
    sample = fill(
        tmp_path / "candor_pause_handling" / "1",
        pause__json=[PAUSE],
        transcription__json=[{"text": "a", "timestamp": [0, 1]}],
    )
    fill(
        tmp_path / "synthetic_pause_handling" / "1",
        input__wav=None,
        output__wav=None,
        pause__json=[PAUSE],
        transcription__json="not words",
    )
    fill(tmp_path / "icc_backchannel" / "9", input__wav=None, output__wav=None)
    assert detect_layout(tmp_path) == "fdb"
    manifest = read_input(tmp_path)
    assert manifest.failures["reason"].to_list() == []
    assert only_names(manifest) == [
        "pause_handling/candor_pause_handling/1",
        "model_backchannel/9",
        "pause_handling/synthetic_pause_handling/1",
    ]
    row = manifest.rows.row(0, named=True)
    assert row["user_words"] == str(sample / "transcription.json")
    assert row["user_audio"] == str(sample / "input.wav")
    assert row["pause_end_ms"] == 3000
    assert json.loads(row["metadata"]) == {"fdb_task": "candor_pause_handling"}
    assert manifest.rows["user_words"][2] is None
    assert "left out as a transcript" in manifest.warnings[0]
    assert "not valid JSON" in manifest.warnings[0]


def test_full_duplex_bench_v1_5(tmp_path):
    more = {"context_text": "plan", "current_turn_text": "wait", "timestamps": [4.5, 6.25]}
    for task in ("user_interruption", "user_backchannel", "talking_to_other", "background_speech"):
        fill(
            tmp_path / task / "3",
            input__wav=None,
            output__wav=None,
            clean_input__wav=None,
            clean_output__wav=None,
            clean_output__json=WORDS,
            metadata__json=more,
        )
    assert detect_layout(tmp_path) == "fdb"
    manifest = read_input(tmp_path)
    assert manifest.failures["reason"].to_list() == []
    rows = {row["recording"]: row for row in manifest.rows.to_dicts()}
    assert list(rows) == [
        "conversation/background_speech/3",
        "conversation/talking_to_other/3",
        "user_backchannel/3",
        "user_interrupt/3",
    ]
    cut = rows["user_interrupt/3"]
    sample = tmp_path / "user_interruption" / "3"
    assert cut["user_audio"] == str(sample / "input.wav")
    assert (cut["interrupt_start_ms"], cut["interrupt_end_ms"]) == (4500, 6250)
    assert (cut["text_context"], cut["text_interrupt"]) == ("plan", "wait")
    assert json.loads(cut["metadata"]) == {
        "clean_input": str(sample / "clean_input.wav"),
        "clean_output": str(sample / "clean_output.wav"),
        "clean_output_words": str(sample / "clean_output.json"),
        "fdb_task": "user_interruption",
    }
    assert rows["user_backchannel/3"]["backchannels"] == [{"start_ms": 4500, "end_ms": 6250}]
    side = [row for row in rows.values() if row["scenario"] == "conversation"]
    assert len(side) == 2
    assert all(json.loads(row["metadata"])["overlap_s"] == [4.5, 6.25] for row in side)


def test_full_duplex_bench_without_its_interval(tmp_path):
    fill(tmp_path / "user_interruption" / "1", input__wav=None, output__wav=None)
    fill(tmp_path / "user_interruption" / "1", metadata__json={"context_text": "plan"})
    fill(tmp_path / "user_interruption" / "2", input__wav=None, output__wav=None)
    fill(tmp_path / "user_interruption" / "2", metadata__json={"timestamps": [1, 2]})
    manifest = read_input(tmp_path, layout="fdb")
    assert only_names(manifest) == ["user_interrupt/2"]
    assert "lacks interrupt.json" in only_failure(manifest)["reason"]
