"""Transcripts and segments of recognisers and annotation tools, read as words and as speech."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from test_formats import error_of, segment_rows, word_rows, write

import flexi_score
from flexi_score.errors import TranscriptError
from flexi_score.formats import read_segments, read_words
from flexi_score.formats.layouts import detect_layout
from flexi_score.manifest import read_input

unhurried = settings(deadline=None)

# STM

STM = """;; CATEGORY "0" "" ""
call A user 0.50 2.00 <o,f0,female> hello there <unk>
call A inter_segment_gap 2.00 3.00
call A model 3.0 4.25 good morning
call A user 9 9.5 IGNORE_TIME_SEGMENT_IN_SCORING
call A user 5.5 6
"""


def test_stm_segments_are_speech_and_phrases(tmp_path):
    path = write(tmp_path, "a.stm", STM)
    assert word_rows(path, "user") == [(500, 2000, "hello there <unk>"), (5500, 6000, "")]
    assert segment_rows(path, "model") == [(3000, 4250)]


def test_gaps_between_segments_of_stm_are_no_speakers(tmp_path):
    path = write(tmp_path, "a.stm", STM.replace("user", "A").replace("model", "A"))
    assert len(segment_rows(path, "user")) == 3


@pytest.mark.parametrize("column", [0, 1, 2])
def test_stm_speakers_are_told_by_speaker_channel_or_file(tmp_path, column):
    rows = []
    for name, start in (("user", 1), ("model", 2)):
        fields = ["f", "c", "s", str(start), str(start + 1), name]
        fields[column] = name
        rows.append(" ".join(fields))
    path = write(tmp_path, "a.stm", "\n".join(rows))
    assert word_rows(path, "user") == [(1000, 2000, "user")]
    assert word_rows(path, "model") == [(2000, 3000, "model")]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("f 1 user 0 1 a\nf 1 user 2\n", "line 2: found 'f 1 user 2', expected file, channel"),
        ("f 1 user 0 x a\n", "line 1: end: found 'x'"),
        ("f 1 user 2 1 a\n", "line 1: ends at 1 s, before its start"),
        ("f 1 A 0 1 a\nf 1 B 0 1 b\n", "speakers 'f 1 A', 'f 1 B', expected names"),
    ],
)
def test_malformed_stm(tmp_path, text, part):
    assert part in error_of(word_rows, write(tmp_path, "a.stm", text), "user")


# JSON of recognisers


def segments(*speakers):
    return [
        {
            "start": i,
            "end": i + 1,
            "text": f" hello {i}",
            "speaker": who,
            "words": [
                {"word": "hello", "start": i, "end": i + 0.4, "score": 0.9, "speaker": who},
                {"word": f"{i}", "score": 0.1},
            ],
        }
        for i, who in enumerate(speakers)
    ]


def test_whisperx_speakers_choose_words_and_speech(tmp_path):
    path = write(tmp_path, "a.json", {"segments": segments("user", "model"), "word_segments": []})
    # What WhisperX could not align has neither times nor a speaker of its own.
    assert word_rows(path, "model") == [(1000, 1400, "hello"), (1400, 1400, "1")]
    assert segment_rows(path, "user") == [(0, 400)]


def test_a_word_of_whisperx_belongs_to_its_own_speaker_before_its_segments(tmp_path):
    items = segments("user", "user", "model")
    items[1]["words"][0]["speaker"] = "model"
    path = write(tmp_path, "a.json", {"segments": items})
    assert [text for *_, text in word_rows(path, "model")] == ["hello", "hello", "2"]
    assert [text for *_, text in word_rows(path, "user")] == ["hello", "0", "1"]


def test_whisperx_with_speakers_of_no_known_name_leaves_them_open(tmp_path):
    path = write(tmp_path, "a.json", {"segments": segments("SPEAKER_00", "SPEAKER_01")})
    message = error_of(word_rows, path, "user")
    assert "speakers 'SPEAKER_00', 'SPEAKER_01', expected names" in message
    alone = write(tmp_path, "b.json", {"segments": segments("SPEAKER_00", "SPEAKER_00")})
    assert len(word_rows(alone, "user")) == 4


def test_an_item_without_a_speaker_among_labelled_ones_is_named(tmp_path):
    items = segments("user", "model")
    del items[1]["speaker"], items[1]["words"][0]["speaker"]
    path = write(tmp_path, "a.json", {"segments": items})
    assert "segment 1, word 0 ('hello'): names no speaker" in error_of(word_rows, path, "user")


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"segments": s, "language": "en"}])
def test_faster_whisper_segments_with_words(tmp_path, wrap):
    # As dataclasses.asdict writes them, "words" null where word times were not asked for.
    segment = {
        "id": 1,
        "seek": 0,
        "start": 0.0,
        "end": 2.0,
        "text": " Hi you",
        "tokens": [1, 2],
        "avg_logprob": -0.1,
        "temperature": 0.0,
    }
    words = [
        {"start": 0.1, "end": 0.5, "word": " Hi", "probability": 0.9},
        {"start": 0.5, "end": 1.5, "word": " you", "probability": 0.9},
    ]
    path = write(tmp_path, "a.json", wrap([segment | {"words": words}]))
    assert word_rows(path) == [(100, 500, "Hi"), (500, 1500, "you")]
    assert segment_rows(path) == [(100, 500), (500, 1500)]
    bare = write(tmp_path, "b.json", {"segments": [segment | {"words": None}]})
    assert segment_rows(bare) == [(0, 2000)]
    assert "has no 'words'; recognise with word times" in error_of(word_rows, bare)


def test_nemo_diarized_transcript(tmp_path):
    content = {
        "status": "success",
        "session_id": "call",
        "transcription": "hi hello",
        "words": [
            {"word": "hi", "start_time": 0.5, "end_time": 0.75, "speaker_label": "user"},
            {"word": "hello", "start_time": 1.0, "end_time": 1.5, "speaker_label": "model"},
        ],
        "sentences": [],
    }
    path = write(tmp_path, "a.json", content)
    assert word_rows(path, "user") == [(500, 750, "hi")]
    assert segment_rows(path, "model") == [(1000, 1500)]


def test_nemo_hypothesis_timestamps(tmp_path):
    stamps = {
        "word": [
            {"word": "hi", "start_offset": 6, "end_offset": 9, "start": 0.48, "end": 0.72},
            {"word": "there", "start_offset": 9, "end_offset": 12, "start": 0.72, "end": 0.96},
        ],
        "segment": [{"segment": "hi there", "start": 0.48, "end": 0.96}],
        "char": [],
    }
    for content in ({"text": "hi there", "timestamp": stamps}, stamps):
        path = write(tmp_path, "a.json", content)
        assert word_rows(path) == [(480, 720, "hi"), (720, 960, "there")]
        assert segment_rows(path) == [(480, 960)]
    frames = [{"word": "hi", "start_offset": 6, "end_offset": 9}]
    path = write(tmp_path, "b.json", {"timestamp": {"word": frames}})
    assert "count frames of the model; expected start and end in seconds" in error_of(
        word_rows, path
    )


NEMO = [
    {"audio_filepath": "/a.wav", "offset": 0.5, "duration": 1.25, "label": "user", "text": "hi"},
    {"audio_filepath": "/a.wav", "offset": 3, "duration": 0.5, "label": "model", "text": "hello"},
]


@pytest.mark.parametrize("name", ["manifest.json", "manifest.jsonl"])
def test_nemo_manifest(tmp_path, name):
    path = write(tmp_path, name, "".join(json.dumps(row) + "\n" for row in NEMO))
    assert word_rows(path, "user") == [(500, 1750, "hi")]
    assert segment_rows(path, "model") == [(3000, 3500)]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"audio_filepath": "/b.wav"}, "found recordings '/a.wav', '/b.wav', expected one; split"),
        ({"label": "infer", "duration": None}, "line 2: a row without a result (label 'infer'"),
        ({"duration": "x"}, "line 2: duration: end: found 'x'"),
        ({"offset": -1}, "line 2: start: found -1"),
    ],
)
def test_nemo_manifests_that_cannot_be_used(tmp_path, change, part):
    rows = [NEMO[0], NEMO[1] | change]
    path = write(tmp_path, "m.json", "".join(json.dumps(row) + "\n" for row in rows))
    assert part in error_of(word_rows, path, "user")


SEGLST = [
    {
        "session_id": "s",
        "speaker": "user",
        "start_time": "0.5",
        "end_time": "2.125",
        "words": "hello there",
    },
    {"session_id": "s", "speaker": "model", "start_time": 3, "end_time": 4, "words": "hi"},
]


def test_seglst(tmp_path):
    path = write(tmp_path, "a.seglst.json", SEGLST)
    assert word_rows(path, "user") == [(500, 2125, "hello there")]
    assert segment_rows(path, "model") == [(3000, 4000)]
    two = write(tmp_path, "b.json", [SEGLST[0], SEGLST[1] | {"session_id": "t"}])
    assert "found recordings 's', 't', expected one" in error_of(word_rows, two, "user")


def test_flexi_json_still_has_no_speakers(tmp_path):
    chunks = [{"text": "a", "timestamp": [0, 1]}, {"text": "b", "timestamp": [1, 2]}]
    path = write(tmp_path, "output.json", {"text": "a b", "chunks": chunks})
    assert (
        word_rows(path, "user") == word_rows(path, "model") == [(0, 1000, "a"), (1000, 2000, "b")]
    )


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"start": 0, "end": 1}\n{"start": 1,\n', "line 2: not valid JSON at column"),
        ('{"start": 0, "end": 1}\n\n{"start": 0, "end": NaN}\n', "line 3: end: found NaN"),
        ('{"start": 0, "end": 1}\n{"start": 0, "start": 1}\n', "line 2: key 'start' is given"),
        ('{"start": 0, "end": 1}\n{"start": 2, "end": 1}\n', "line 2: ends at 1 s"),
        ('{"start": 0, "end": 1}\n7\n', "line 2: found 7"),
        ('{"kind": "ipu", "speaker": "user", "start_ms": 1.5, "end_ms": 2}\n', "line 1: found [1."),
        ('{"kind": "ipu", "speaker": "user", "start_ms": 3, "end_ms": 2}\n', "line 1: ends at"),
    ],
)
def test_malformed_json_lines(tmp_path, text, part):
    assert part in error_of(segment_rows, write(tmp_path, "a.jsonl", text), "user")


def test_json_lines_of_items(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"start": 0, "end": 1, "word": "a"}\n[1, 2]\n')
    assert segment_rows(path) == [(0, 1000), (1000, 2000)]
    assert word_rows(write(tmp_path, "b.jsonl", "")) == []


EXPORTED = [
    {"kind": "silence", "speaker": "none", "start_ms": 0, "end_ms": 100, "text": None},
    {"kind": "ipu", "speaker": "user", "start_ms": 100, "end_ms": 900, "text": "hi"},
]


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_an_exported_table_without_words_has_speech_only(tmp_path, suffix):
    lines = [json.dumps(row) for row in EXPORTED]
    if suffix == "csv":
        rows = [",".join(str(cell or 0) for cell in row.values()) for row in EXPORTED]
        lines = [",".join(EXPORTED[0]), *rows]
    path = write(tmp_path, f"a.{suffix}", "\n".join(lines))
    assert segment_rows(path, "user") == [(100, 900)]
    assert segment_rows(path, "model") == []
    assert "has no rows of kind 'word', expected words; give it as speech" in error_of(
        word_rows, path, "user"
    )


# WebVTT and SubRip

VTT = """WEBVTT - a call
Kind: captions

STYLE
::cue { color: lime }

NOTE about
the call

intro
00:00.500 --> 00:02.000 align:start position:0%
<v.loud user>Hello &lt;you&gt; &amp; <i>all</i></v>

01:00:03.000 --> 01:00:04.250
<v Model>Good
morning.</v>
"""

SRT = """1
00:00:00,500 --> 00:00:02,000
user: {\\an8}<i>Hello</i> <3 & you

2
01:00:03,000 --> 01:00:04,250
[Model]: Good
morning.
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_webvtt(tmp_path, newline):
    path = write(tmp_path, "a.vtt", VTT.replace("\n", newline))
    assert word_rows(path, "user") == [(500, 2000, "Hello <you> & all")]
    assert word_rows(path, "model") == [(3603000, 3604250, "Good\nmorning.")]
    assert segment_rows(path, "user") == [(500, 2000)]


def test_srt(tmp_path):
    path = write(tmp_path, "a.srt", SRT)
    assert word_rows(path, "user") == [(500, 2000, "Hello <3 & you")]
    assert segment_rows(path, "model") == [(3603000, 3604250)]
    no_voices = write(tmp_path, "b.srt", SRT.replace("user: ", "").replace("[Model]: ", ""))
    assert len(word_rows(no_voices, "user")) == 2


def test_time_stamps_between_words_of_a_cue_are_taken_and_no_others_are_made_up(tmp_path):
    text = "WEBVTT\n\n00:01.000 --> 00:04.000\nwell<00:01.500><c> I think</c><00:03.000> so\n"
    path = write(tmp_path, "a.vtt", text)
    assert word_rows(path) == [(1000, 1500, "well"), (1500, 3000, "I think"), (3000, 4000, "so")]
    assert segment_rows(path) == [(1000, 4000)]
    plain = write(tmp_path, "b.vtt", "WEBVTT\n\n00:01.000 --> 00:04.000\nwell I think so\n")
    assert word_rows(plain) == [(1000, 4000, "well I think so")]


def test_two_voices_of_one_cue(tmp_path):
    text = "WEBVTT\n\n00:01.000 --> 00:04.000\n<v user>yes</v> <v model>no</v>\n"
    path = write(tmp_path, "a.vtt", text)
    assert word_rows(path, "user") == [(1000, 4000, "yes")]
    assert word_rows(path, "model") == [(1000, 4000, "no")]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        (
            "a.vtt",
            "00:01.000 --> 00:02.000\nhi\n",
            "line 1: found '00:01.000 --> 00:02.', expected",
        ),
        ("a.vtt", "WEBVTT\n\nhi\n", "line 3: found 'hi', expected the times of a cue"),
        ("a.vtt", "WEBVTT\n\nid\nhi\n", "line 3: found 'id', expected the times"),
        ("a.vtt", "WEBVTT\n\n00:01 --> 00:02\nhi\n", "line 3: found '00:01 --> 00:02'"),
        ("a.vtt", "WEBVTT\n\n00:61.000 --> 00:62.000\nhi\n", "line 3: found 0:00:61"),
        ("a.vtt", "WEBVTT\n\n00:60:00.000 --> 01:00:01.000\nhi\n", "line 3: found 00:60:00"),
        ("a.vtt", "WEBVTT\n\n00:03.000 --> 00:02.000\nhi\n", "line 3: ends at 2.000 s, before"),
        (
            "a.vtt",
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<v A>x\n\n00:01.000 --> 00:02.000\n<v B>y\n",
            "voices 'A', 'B', expected names that say",
        ),
        ("a.srt", "1\n00:00:01,0 --> 00:00:02,000\nhi\n", "line 2: found '00:00:01,0 -->"),
    ],
)
def test_malformed_subtitles(tmp_path, name, text, part):
    assert part in error_of(word_rows, write(tmp_path, name, text), "user")


@pytest.mark.parametrize("text", [VTT, SRT, STM])
def test_content_tells_the_format(tmp_path, text):
    assert (
        len(
            segment_rows(
                write(tmp_path, "file.data", text.partition("\n")[2] if text is STM else text),
                "model",
            )
        )
        == 1
    )


# Tiers


def grid(*names):
    """A TextGrid whose tiers each have one interval, labelled with the tier's name."""
    body = "".join(
        f'"IntervalTier"\n"{name}"\n0\n9\n1\n{i}\n{i + 1}\n"{name}"\n'
        for i, name in enumerate(names)
    )
    return f'"ooTextFile"\n"TextGrid"\n0\n9\n<exists>\n{len(names)}\n{body}'


@pytest.mark.parametrize(
    ("names", "speech", "words"),
    [
        (["user"], "user", "user"),
        (["user", "user words"], "user", "user words"),
        (["User_Words", "USER"], "USER", "User_Words"),
        (["user-words", "model"], "user-words", "user-words"),
        (["user turns", "user", "gaps"], "user", "user"),
    ],
)
def test_words_and_speech_come_from_their_own_tiers(tmp_path, names, speech, words):
    path = write(tmp_path, "a.TextGrid", grid(*names))
    at = names.index(speech)
    assert segment_rows(path, "user") == [(at * 1000, (at + 1) * 1000)]
    assert [text for *_, text in word_rows(path, "user")] == [words]


def test_further_tiers_of_a_lane_belong_to_it(tmp_path):
    path = write(tmp_path, "a.TextGrid", grid("user words (2)", "user words", "user (copy)"))
    assert [t for *_, t in word_rows(path, "user")] == ["user words (2)", "user words"]


def test_two_tiers_of_the_same_name_leave_it_open(tmp_path):
    path = write(tmp_path, "a.TextGrid", grid("user", "User"))
    assert "tiers 'user', 'User', expected one named 'user'" in error_of(segment_rows, path, "user")


# Folders of annotation files


def files_of(folder, **files):
    for name, content in files.items():
        write(folder, name.replace("__", "."), content)
    return folder


RTTM = "SPEAKER r 1 0 1 <NA> <NA> user <NA> <NA>\nSPEAKER r 1 2 1 <NA> <NA> model <NA> <NA>\n"


def test_a_folder_of_annotations_is_told_and_read(tmp_path):
    files_of(
        tmp_path,
        a__TextGrid=grid("user", "user words", "model"),
        b__rttm=RTTM,
        b__ctm="b user 0 1 hi\nb model 2 1 yes\n",
        c__user__rttm=RTTM.replace("model", "user"),
        c__model__rttm=RTTM.replace("user", "model"),
        c__user__json=[{"start": 0, "end": 1, "word": "hi"}],
        d__json={"of": "something else"},
        e__vtt=VTT,
    )
    assert detect_layout(tmp_path) == "annotated"
    manifest = read_input(tmp_path)
    keys = ["user_speech", "model_speech", "user_words", "model_words"]
    names = {
        row["recording"]: [row[key] and Path(row[key]).name for key in keys]
        for row in manifest.rows.iter_rows(named=True)
    }
    assert names == {
        "a": ["a.TextGrid", "a.TextGrid", "a.TextGrid", None],
        "b": ["b.rttm", "b.rttm", "b.ctm", "b.ctm"],
        "c": ["c.user.rttm", "c.model.rttm", "c.user.json", None],
    }
    assert "subtitles are left out ('e.vtt')" in manifest.warnings[0]
    run = flexi_score.score(tmp_path)
    assert run.events.filter(kind="ipu", recording="b")["text"].to_list() == ["hi", "yes"]


def test_a_party_that_never_speaks_may_have_an_empty_file(tmp_path):
    for name, text in (("u.rttm", ""), ("m.txt", "1\t2\thello\n")):
        write(tmp_path, name, text)
    row = {"id": "r", "user_speech": "u.rttm", "model_speech": "m.txt"}
    run = flexi_score.score(write(tmp_path, "m.jsonl", json.dumps(row)))
    assert not len(run.failures)
    assert run.events.filter(kind="ipu")["speaker"].to_list() == ["model"]


def test_annotations_beside_audio_are_used_where_asked_for(tmp_path):
    for name in ("a.wav", "sub/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, np.zeros((8000, 2)), 8000)
    files_of(tmp_path, a__TextGrid=grid("user", "model"))
    plain = read_input(tmp_path)
    assert len(plain.rows) == 2
    assert plain.rows["user_speech"].is_null().all()
    assert (
        "1 annotation files like a.TextGrid are not used; --layout annotated" in plain.warnings[0]
    )
    used = read_input(tmp_path, layout="annotated")
    assert used.rows["recording"].to_list() == ["a"]
    assert used.rows["audio"].to_list() == [str(tmp_path / "a.wav")]
    assert used.rows["user_speech"].to_list() == [str(tmp_path / "a.TextGrid")]
    assert "no annotation file beside sub/b.wav: left out" in used.warnings[0]


def test_a_malformed_annotation_costs_its_own_recording(tmp_path):
    files_of(tmp_path, a__TextGrid="nothing", b__rttm=RTTM)
    manifest = read_input(tmp_path)
    assert manifest.rows["recording"].to_list() == ["b"]
    assert manifest.failures["recording"].to_list() == ["a"]
    assert "a.TextGrid" in manifest.failures["reason"][0]


# Anything at all


@unhurried
@given(
    st.sampled_from(
        [
            ".json",
            ".jsonl",
            ".vtt",
            ".srt",
            ".stm",
            ".ctm",
            ".rttm",
            ".csv",
            ".TextGrid",
            ".eaf",
            ".txt",
        ]
    ),
    st.one_of(
        st.text(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    "WEBVTT",
                    "\n",
                    "\n\n",
                    "00:00:01.000 --> 00:00:02.000",
                    "<v user>",
                    "-->",
                    " ",
                    "1",
                    "user",
                    '"',
                    "{",
                    "}",
                    "[",
                    "]",
                    '"words":',
                    ":",
                    ",",
                    "<00:00:01.5>",
                    "&amp;",
                    "\t",
                    "SPEAKER",
                    "call",
                    "0.5",
                    '{"start": 1, "end": 2, "word": "a"}',
                    "<",
                    ">",
                    "é",
                    "\x00",
                ]
            ),
            max_size=30,
        ).map("".join),
    ),
)
def test_whatever_a_file_holds_it_is_read_or_refused_by_name(tmp_path_factory, suffix, text):
    path = tmp_path_factory.mktemp("any") / f"a{suffix}"
    path.write_text(text, "utf-8")
    for reader in (read_words, read_segments):
        try:
            frame = reader(path, "user")
            message = str(path)
        except TranscriptError as error:
            frame, message = None, str(error)
        assert message.startswith(str(path))
        assert frame is None or (frame["end_ms"] >= frame["start_ms"]).all()
