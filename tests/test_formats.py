"""Transcript and segment files: each format parses, round-trips, and names what is wrong in it."""

import json
import unicodedata
from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexi_score.errors import TranscriptError
from flexi_score.formats import read_segments, read_words
from flexi_score.formats.files import to_ms
from flexi_score.formats.text import SCRIPTS, word_counts

#: Machines differ in speed; no example has a time limit.
unhurried = settings(deadline=None)

LONG_GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 3.5
tiers? <exists>
size = 3
item []:
    item [1]:
        class = "IntervalTier"
        name = "user"
        xmin = 0
        xmax = 3.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.5
            text = "hello ""you"" 2 <p>"
        intervals [2]:
            xmin = 0.5
            xmax = 1.25
            text = "  "
        intervals [3]:
            xmin = 1.25
            xmax = 3.5
            text = "there"
    item [2]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = 3.5
        points: size = 1
        points [1]:
            number = 1.0
            mark = "x"
    item [3]:
        class = "IntervalTier"
        name = "Model"
        xmin = 0
        xmax = 3.5
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 3.5
            text = ""
"""

SHORT_GRID = """"ooTextFile"
"TextGrid"
0
2 ! the end
<exists>
1
"IntervalTier"
"speech"
0
2
2
0
1.0005
"mm
hm"
1.0005
2
""
"""


def write(folder, name, content, encoding="utf-8"):
    path = folder / name
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_bytes(text.encode(encoding))
    return path


def error_of(reader, path, *args):
    with pytest.raises(TranscriptError) as error:
        reader(path, *args)
    assert str(error.value).startswith(str(path))
    return str(error.value)


def word_rows(path, speaker=None):
    frame = read_words(path, speaker)
    assert frame.schema == {"start_ms": pl.Int64, "end_ms": pl.Int64, "text": pl.String}
    return frame.rows()


def segment_rows(path, speaker=None):
    frame = read_segments(path, speaker)
    assert frame.schema == {"start_ms": pl.Int64, "end_ms": pl.Int64}
    return frame.rows()


# Times


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [
        (0, 0),
        ("0.0005", 0),
        ("0.0015", 2),
        (1.0005, 1000),
        ("1e-1", 100),
        (" 2. ", 2000),
        (".5", 500),
    ],
)
def test_seconds_are_rounded_from_the_decimal_that_was_written(seconds, ms):
    assert to_ms(seconds) == ms


@given(st.integers(0, 10**9))
def test_milliseconds_survive_seconds(ms):
    assert to_ms(ms / 1000) == ms
    assert to_ms(str(Decimal(ms) / 1000)) == ms


@pytest.mark.parametrize(
    "value", [None, True, "", "1,5", "1_0", "nan", "١", float("nan"), "-1", -1, 1e10, []]
)
def test_what_is_no_time(value):
    with pytest.raises(ValueError, match=r"found .*expected"):
        to_ms(value)


# JSON


def test_flexi_words_are_words_and_speech(tmp_path):
    chunks = [
        {"text": " late ", "timestamp": [2.0, 2.5]},
        {"text": "so", "timestamp": [1, 1]},
        {"text": "", "timestamp": [3, 3.2]},
    ]
    path = write(tmp_path, "output.json", {"text": "so late", "chunks": chunks})
    assert word_rows(path) == [(1000, 1000, "so"), (2000, 2500, "late"), (3000, 3200, "")]
    assert segment_rows(path) == [(2000, 2500), (3000, 3200)]


@pytest.mark.parametrize(
    "content", [{"text": "", "chunks": []}, [], {"segments": []}, {"words": []}]
)
def test_a_transcript_without_words_is_silence_not_an_error(tmp_path, content):
    path = write(tmp_path, "a.json", content)
    assert word_rows(path) == []
    assert segment_rows(path) == []


def test_whisperx_words_and_those_it_could_not_align(tmp_path):
    segments = [
        {
            "start": 0.5,
            "end": 2,
            "words": [
                {"word": "$5", "score": 0.1},
                {"word": " in ", "start": 0.6, "end": 0.7},
                {"word": "2014"},
            ],
        },
        {"start": 3, "end": 4, "words": [{"word": "yes", "start": 3, "end": 3.5}]},
    ]
    path = write(tmp_path, "a.json", {"segments": segments, "word_segments": []})
    assert word_rows(path) == [
        (500, 500, "$5"),
        (600, 700, "in"),
        (700, 700, "2014"),
        (3000, 3500, "yes"),
    ]
    assert segment_rows(path) == [(600, 700), (3000, 3500)]


@pytest.mark.parametrize(
    "content",
    [
        [{"start": 1, "end": 2, "word": "a"}, {"start": 2, "end": 3, "text": "b"}],
        {"words": [{"start": 1, "end": 2, "word": "a"}, {"start": 2, "end": 3, "word": "b"}]},
        [{"timestamp": [1, 2], "text": "a"}, {"timestamp": [2, 3], "text": "b"}],
    ],
)
def test_lists_of_words(tmp_path, content):
    path = write(tmp_path, "a.json", content)
    assert word_rows(path) == [(1000, 2000, "a"), (2000, 3000, "b")]
    assert segment_rows(path) == [(1000, 2000), (2000, 3000)]


@pytest.mark.parametrize(
    "content",
    [
        [[1, 2], [1.5, 3], [4, 4]],
        [{"start": 1.5, "end": 3}, {"start": 1, "end": 2}],
        {"duration": 9.0, "segments": [{"start": 1, "end": 2}, {"start": 1.5, "end": 3}]},
    ],
)
def test_json_segments_are_sorted_and_not_merged(tmp_path, content):
    path = write(tmp_path, "segments.json", content)
    assert segment_rows(path) == [(1000, 2000), (1500, 3000)]
    assert "expected words" in error_of(read_words, path) or "'words'" in error_of(read_words, path)


def test_json_items_labelled_with_speakers(tmp_path):
    items = [
        {"start": 1, "end": 2, "word": "a", "speaker": "user"},
        {"start": 2, "end": 3, "word": "b", "speaker": "model"},
    ]
    path = write(tmp_path, "a.json", items)
    assert word_rows(path, "model") == [(2000, 3000, "b")]
    assert "speakers 'user', 'model', expected one of them" in error_of(read_words, path)
    foreign = write(
        tmp_path, "b.json", [{**items[0], "speaker": "S1"}, {**items[1], "speaker": "S2"}]
    )
    assert "speakers 'S1', 'S2', expected names that say who is the user" in error_of(
        read_words, foreign, "user"
    )


def test_half_a_surrogate_pair_is_refused(tmp_path):
    path = write(tmp_path, "a.json", '[{"start": 1, "end": 2, "word": "\\ud800"}]')
    assert "not valid Unicode" in error_of(read_words, path)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["is empty"]),
        ('{"chunks": [}', ["not valid JSON at line 1, column 13"]),
        ("3", ["found 3", '"chunks"']),
        ({"text": "hello"}, ["found an object with keys 'text'", '"chunks"']),
        ({"chunks": {}}, ["chunks: found an empty object", "expected a list"]),
        (
            {"chunks": [{"text": "a", "timestamp": [0, 1]}, {"text": "b", "timestamp": [1, None]}]},
            ["chunk 1 ('b'): end: found null", "expected a number of seconds"],
        ),
        ({"chunks": [{"text": "b", "timestamp": None}]}, ["chunk 0: timestamp: found null"]),
        ({"chunks": [{"text": "b"}]}, ["chunk 0 ('b'): found keys 'text'"]),
        ({"chunks": [{"text": 3, "timestamp": [0, 1]}]}, ["chunk 0: found 3", "expected text"]),
        ({"chunks": [7]}, ["chunk 0: found 7"]),
        ({"segments": [{"start": 0, "end": 1, "text": "a"}]}, ["segment 0", "has no 'words'"]),
        ({"segments": [{"words": ["a"]}]}, ["segment 0, word 0: found 'a'"]),
        (
            {"segments": [{"words": [{"word": "a", "start": 1, "end": None}]}]},
            ["segment 0, word 0 ('a'): end: found null"],
        ),
        ([{"start": 2, "end": 1, "word": "a"}], ["item 0 ('a'): ends at 1 s, before its start"]),
        ([{"start": -1, "end": 1, "word": "a"}], ["item 0 ('a'): start: found -1", "0 or more"]),
        ('[{"start": NaN, "end": 1, "word": "a"}]', ["[0].start: found NaN"]),
        ('[{"start": 1, "start": 2}]', ["'[0].start' is given twice"]),
        ("[" * 100_000, ["nested too deeply"]),
        ([[1, 2]], ["has times only, expected words"]),
    ],
)
def test_malformed_json(tmp_path, content, parts):
    message = error_of(read_words, write(tmp_path, "a.json", content))
    for part in parts:
        assert part in message


# RTTM and CTM


def test_rttm_of_one_speaker(tmp_path):
    text = (
        ";; made by hand\n"
        "SPKR-INFO rec 1 <NA> <NA> <NA> unknown spk <NA> <NA>\n"
        "SPEAKER rec 1 2.5 0.0005 <NA> <NA> spk <NA> <NA>\n"
        "SPEAKER rec 1 0.1 0.2 <NA> <NA> spk <NA> <NA>\n"
        "SPEAKER rec 1 0.2 1 <NA> <NA> spk <NA> <NA>\n\n"
    )
    path = write(tmp_path, "a.rttm", text)
    assert segment_rows(path, "user") == [(100, 300), (200, 1200)]
    assert "expected words" in error_of(read_words, path)


def test_rttm_labels_choose_the_speaker(tmp_path):
    line = "SPEAKER rec 1 {} 1 <NA> <NA> {} <NA> <NA>\n"
    path = write(tmp_path, "a.rttm", line.format(0, "User") + line.format(5, "model"))
    assert segment_rows(path, "user") == [(0, 1000)]
    assert segment_rows(path, "model") == [(5000, 6000)]
    assert "speakers 'User', 'model', expected one of them" in error_of(read_segments, path)
    silent = write(tmp_path, "b.rttm", line.format(0, "user"))
    assert segment_rows(silent, "model") == []
    others = write(tmp_path, "c.rttm", line.format(0, "A") + line.format(5, "B"))
    assert "speakers 'A', 'B', expected names that say" in error_of(read_segments, others, "model")


def test_an_empty_rttm_has_no_speech(tmp_path):
    assert segment_rows(write(tmp_path, "a.rttm", "")) == []


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("SPEAKER rec 1 0 1", ["line 2: found 'SPEAKER rec 1 0 1'", "expected SPEAKER, file"]),
        ("hello", ["line 2: found 'hello'"]),
        ("SPEAKER r 1 0 -1 <NA> <NA> s <NA> <NA>", ["line 2", "duration '-1'", "0 or more"]),
        ("SPEAKER r 1 x 1 <NA> <NA> s <NA> <NA>", ["line 2", "start 'x'"]),
        ("SPEAKER r 1 -2 1 <NA> <NA> s <NA> <NA>", ["line 2: start: found '-2'"]),
        ("SPEAKER r 1 inf 1 <NA> <NA> s <NA> <NA>", ["line 2", "start 'inf'"]),
        ("SPEAKER q 1 0 1 <NA> <NA> s <NA> <NA>", ["found files 'r', 'q'", "split the RTTM"]),
    ],
)
def test_malformed_rttm(tmp_path, line, parts):
    path = write(tmp_path, "a.rttm", f"SPEAKER r 1 0 1 <NA> <NA> s <NA> <NA>\n{line}\n")
    message = error_of(read_segments, path)
    for part in parts:
        assert part in message


def test_ctm(tmp_path):
    text = ";; comment\nrec A 1.10 0.20 hello 0.9\nrec A 0.5 0.1 well\nrec A 1.3 0 ,\n"
    path = write(tmp_path, "a.ctm", text)
    assert word_rows(path) == [(500, 600, "well"), (1100, 1300, "hello"), (1300, 1300, ",")]
    assert segment_rows(path) == [(500, 600), (1100, 1300)]


def test_ctm_channels_and_files_choose_the_speaker(tmp_path):
    by_channel = write(tmp_path, "a.ctm", "r user 0 1 a\nr model 1 1 b\n")
    by_file = write(tmp_path, "b.ctm", "user 1 0 1 a\nmodel 1 1 1 b\n")
    for path in (by_channel, by_file):
        assert word_rows(path, "user") == [(0, 1000, "a")]
        assert word_rows(path, "model") == [(1000, 2000, "b")]
    open_ = write(tmp_path, "c.ctm", "r A 0 1 a\nr B 1 1 b\n")
    assert "files and channels 'A', 'B', expected names" in error_of(read_words, open_, "user")
    two = write(tmp_path, "d.ctm", "r A 0 1 a\nq A 1 1 b\n")
    assert "'r A', 'q A'" in error_of(read_words, two, "user")


@pytest.mark.parametrize(
    ("line", "part"),
    [("r A 0 1", "line 1: found 'r A 0 1', expected file, channel"), ("r A a 1 x", "start 'a'")],
)
def test_malformed_ctm(tmp_path, line, part):
    assert part in error_of(read_words, write(tmp_path, "a.ctm", line))


# TextGrid


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_long_textgrid(tmp_path, encoding, newline):
    path = write(tmp_path, "a.TextGrid", LONG_GRID.replace("\n", newline), encoding)
    assert word_rows(path, "user") == [(0, 500, 'hello "you" 2 <p>'), (1250, 3500, "there")]
    assert segment_rows(path, "user") == [(0, 500), (1250, 3500)]
    assert segment_rows(path, "model") == []


def test_short_textgrid_and_its_only_tier(tmp_path):
    path = write(tmp_path, "a.textgrid", SHORT_GRID)
    for speaker in ("user", None):
        assert word_rows(path, speaker) == [(0, 1000, "mm\nhm")]


def test_textgrid_tiers_that_leave_the_speaker_open(tmp_path):
    grid = LONG_GRID.replace('"user"', '"A"').replace('"Model"', '"B"')
    path = write(tmp_path, "a.TextGrid", grid)
    assert "interval tiers 'A', 'B', expected one named 'user'" in error_of(
        read_words, path, "user"
    )
    assert "'A', 'B', expected one; rename" in error_of(read_words, path)
    path = write(tmp_path, "b.TextGrid", SHORT_GRID.replace("speech", "user"))
    assert "tiers 'user', expected one named 'model'" in error_of(read_segments, path, "model")
    path = write(tmp_path, "c.TextGrid", '"ooTextFile"\n"TextGrid"\n0\n1\n<absent>\n')
    assert "found interval no tier" in error_of(read_segments, path, "model")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("ooTextFile", "ooBinaryFile", "expected a TextGrid saved as text"),
        ("xmax = 0.5", 'xmax = "x"', 'line 17: found "x", expected a number'),
        ("xmax = 0.5", "xmax = -1", "line 18 (tier 'user', interval 1): end: found '-1'"),
        ("xmin = 1.25", "xmin = 4", "ends at 3.5 s, before its start at 4 s"),
        ("size = 3\nitem", "size = 4\nitem", "is it cut short?"),
        ("size = 3\nitem", "size = 3.5\nitem", "line 7: found 3.5, expected a count"),
        ('"TextTier"', '"PitchTier"', "found tier class 'PitchTier'"),
        ("<exists>", "exists", "line 7: found 3, expected <exists>"),
    ],
)
def test_malformed_textgrid(tmp_path, old, new, part):
    assert old in LONG_GRID
    path = write(tmp_path, "a.TextGrid", LONG_GRID.replace(old, new, 1))
    assert part in error_of(read_words, path, "user")


grid_labels = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


@st.composite
def tiles(draw):
    """Intervals as a TextGrid has them, without holes, and their labels."""
    cuts = sorted(draw(st.sets(st.integers(0, 5000), min_size=2, max_size=6)))
    # Numbered, so that no label is one of silence.
    labels = [(a, b, draw(grid_labels)) for a, b in pairwise(cuts)]
    return [(a, b, f"x{i} {t}" if t.strip() else t) for i, (a, b, t) in enumerate(labels)]


@unhurried
@given(tiles(), st.booleans(), st.sampled_from(["utf-8", "utf-16"]))
def test_textgrids_round_trip(tmp_path_factory, items, long, encoding):
    number, label = ("xmin = {}", "text = {}") if long else ("{}", "{}")
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n5\n<exists>\n1\n'
    head += f'"IntervalTier"\n"user"\n0\n5\n{len(items)}\n'
    body = ""
    for i, (start, end, text) in enumerate(items, 1):
        body += f"intervals [{i}]:\n" if long else ""
        body += number.format(start / 1000) + "\n" + number.format(end / 1000) + "\n"
        body += label.format('"' + text.replace('"', '""') + '"') + "\n"
    path = write(tmp_path_factory.mktemp("grid"), "a.TextGrid", head + body, encoding)
    expected = [(s, e) for s, e, text in items if text.strip()]
    assert segment_rows(path, "user") == expected
    found = [text for *_, text in word_rows(path, "user")]
    assert [t.split() for t in found] == [t.split() for *_, t in items if t.strip()]


# Tables of segments, Audacity labels


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "Start,End,note\n1.5,2,x\n0,1,\n"),
        ("a.tsv", "start\tend\n0\t1\n1.5\t2\n"),
        ("a.csv", "\ufeffstart_s;end_s\n0;1.0\n1.5;2\n"),
        ("a.csv", "id,start_ms,end_ms\na,0,1000\nb,1500,2000\n"),
        ("a.csv", "speaker,start,end\nuser,0,1\nmodel,7,8\nuser,1.5,2\n"),
        ("labels.txt", "0.0\t1.000000\tspeech\n1.5\t2.0\n\\\t20.0\t3000.0\n"),
        ("labels.txt", "0.0\t1\tuser\n1.5\t2\tuser\n4\t5\tmodel\n"),
    ],
)
def test_tables_of_segments(tmp_path, name, text):
    assert segment_rows(write(tmp_path, name, text), "user") == [(0, 1000), (1500, 2000)]


def test_tables_and_labels_with_words(tmp_path):
    csv = write(tmp_path, "a.csv", 'start,end,word\n0,1,"a, b"\n1.5,1.5,c\n')
    labels = write(tmp_path, "b.txt", "0\t1\ta, b\n1.5\t1.5\tc\n")
    for path in (csv, labels):
        assert word_rows(path) == [(0, 1000, "a, b"), (1500, 1500, "c")]
        assert segment_rows(path) == [(0, 1000)]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.csv", "", "line 1: found an empty file, expected columns 'start' and 'end'"),
        ("a.csv", "begin,end\n1,2\n", "line 1: found 'begin', 'end', expected columns"),
        ("a.csv", "start,end\n1\n", "line 2: found 1 cells, expected 2"),
        ("a.csv", "start,end\n1,x\n", "line 2: end: found 'x'"),
        ("a.csv", "start_ms,end_ms\n1,x\n", "line 2: end: found 'x'"),
        ("a.csv", "start,end\n2,1\n", "line 2: ends at 1 s"),
        ("a.csv", 'start,end\n"1,2\n', "line 2: not valid CSV"),
        ("a.csv", "speaker,start,end\nA,0,1\nB,1,2\n", "speakers 'A', 'B'"),
        ("a.txt", "0\t1\tx\n1 2 y\n", "line 2: found '1 2 y', expected start, end and label"),
        ("a.txt", "0\t1\tx\n1\t,5\ty\n", "line 2: end: found ',5'"),
        ("a.txt", "hello world\n", "in no known format"),
        ("a.bin", "", "in no known format"),
    ],
)
def test_malformed_tables(tmp_path, name, text, part):
    assert part in error_of(read_segments, write(tmp_path, name, text))


def test_csv_without_words_has_none(tmp_path):
    path = write(tmp_path, "a.csv", "start,end\n0,1\n")
    assert "has times only, expected words" in error_of(read_words, path)


@pytest.mark.parametrize(
    "text",
    [
        '[{"start": 0, "end": 1, "word": "a"}]',
        SHORT_GRID.replace("1.0005", "1").replace('"mm\nhm"', '"a"'),
        "rec A 0 1 a\n",
        "start\tend\tword\n0\t1\ta\n",
        "0\t1\ta\n",
    ],
)
def test_content_tells_the_format_where_the_name_does_not(tmp_path, text):
    assert word_rows(write(tmp_path, "file.data", text)) == [(0, 1000, "a")]


def test_rttm_by_content(tmp_path):
    path = write(tmp_path, "x.txt", "SPEAKER r 1 0 1 <NA> <NA> s <NA> <NA>\n")
    assert segment_rows(path) == [(0, 1000)]


def test_files_that_cannot_be_read(tmp_path):
    assert "no such file" in error_of(read_words, tmp_path / "a.json")
    (tmp_path / "b.json").mkdir()
    assert "is a folder" in error_of(read_words, tmp_path / "b.json")
    (tmp_path / "c.rttm").write_bytes(b"SPEAKER \xff")
    assert "line 1: not text in UTF-8 (byte 0xff at offset 8)" in error_of(
        read_segments, tmp_path / "c.rttm"
    )


entries = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 500)), max_size=8)


@unhurried
@given(entries)
def test_all_formats_of_speech_read_the_same(tmp_path_factory, items):
    folder = tmp_path_factory.mktemp("speech")
    spans = [(s / 1000, (s + d) / 1000) for s, d in items]
    texts = {
        "a.json": json.dumps(spans),
        "b.json": json.dumps(
            {"duration": 9, "segments": [{"start": s, "end": e} for s, e in spans]}
        ),
        "c.csv": "start,end\n" + "".join(f"{s},{e}\n" for s, e in spans),
        "d.txt": "".join(f"{s:.6f}\t{e:.6f}\tx\n" for s, e in spans),
        "e.rttm": "".join(
            f"SPEAKER r 1 {s / 1000} {d / 1000} <NA> <NA> s <NA> <NA>\n" for s, d in items
        ),
        "f.ctm": "".join(f"r 1 {s / 1000} {d / 1000} w\n" for s, d in items),
    }
    expected = sorted((s, s + d) for s, d in items if d)
    for name, text in texts.items():
        assert segment_rows(write(folder, name, text), "user") == expected


@unhurried
@given(
    st.binary(max_size=100)
    | st.sampled_from([LONG_GRID, SHORT_GRID]).flatmap(
        lambda grid: st.integers(0, len(grid)).map(lambda n: grid[:n].encode())
    )
)
def test_no_content_raises_anything_else(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    for suffix in ("json", "rttm", "ctm", "csv", "tsv", "txt", "TextGrid"):
        path = folder / f"m.{suffix}"
        path.write_bytes(data)
        for reader in (read_words, read_segments):
            message = str(path)
            try:
                reader(path, "user")
            except TranscriptError as error:
                message = str(error)
            assert message.startswith(str(path))


# Words of languages with and without spaces


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("hello", 1),
        (" twenty-one don't, 3! ", 3),
        ("... - ?!", 0),
        ("", 0),
        (None, 0),
        ("Größe élan", 2),
        ("안녕하세요 여러분", 2),
        ("привет мир", 2),
        ("नमस्ते दुनिया", 2),
        ("你好吗,我很好", 6 / 1.4),
        ("我用Python写", 3 / 1.4 + 1),
        ("はい", 1),
        ("そうですね。", 2.5),
        ("コーヒー", 1),
        ("東京タワーへ", 2 / 1.4 + 3 / 4 + 1 / 2),
        ("สวัสดี", 6 / 4),
        ("ສະບາຍດີ", 7 / 4),
        ("សួស្តី", 6 / 4.5),
        ("မင်္ဂလာပါ", 9 / 5),
        ("๒๕", 1),
    ],
)
def test_words_an_entry_stands_for(text, count):
    assert word_counts(pl.Series([text], dtype=pl.String)) == pytest.approx([count])


def slow_count(text):
    """One character at a time; scripts by their Unicode names."""
    names = {
        "CJK UNIFIED": "Han",
        "HIRAGANA LETTER": "Hiragana",
        "KATAKANA LETTER": "Katakana",
        "THAI": "Thai",
        "LAO": "Lao",
        "KHMER": "Khmer",
        "MYANMAR": "Myanmar",
    }
    total, rest = 0.0, ""
    for character in text:
        name = unicodedata.name(character, "")
        script = next((s for prefix, s in names.items() if name.startswith(prefix)), None)
        if script:
            total += 1 / SCRIPTS[script].characters_per_word
            rest += " "
        else:
            rest += character
    return total + sum(any(c.isalnum() for c in token) for token in rest.split())


pieces = st.text(st.sampled_from("abcé3 -.,'  是日本ひらカタไทยกินລາວខ្មែរမြန်မာ한글"), max_size=12)


@unhurried
@given(st.lists(pieces, max_size=6))
def test_word_counts_against_one_character_at_a_time(texts):
    found = word_counts(pl.Series("t", texts, dtype=pl.String))
    assert found.dtype == np.float64
    assert found.shape == (len(texts),)
    assert found == pytest.approx([slow_count(text) for text in texts])


@given(st.text(st.sampled_from("你好吗我很ひらがな"), max_size=20))
def test_one_entry_a_character_adds_up_to_one_entry_a_phrase(text):
    letters = word_counts(pl.Series("t", list(text), dtype=pl.String))
    assert letters.sum() == pytest.approx(word_counts(pl.Series([text]))[0])
