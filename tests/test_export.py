"""Export: every format round-trips, files are safe, and what is corrected goes back in."""

import csv
import gzip
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from conftest import SAMPLES, Cli, read_jsonl, write_jsonl
from factories import make_tracks
from hypothesis import given, settings
from hypothesis import strategies as st
from made_archives import make_archive

import flexi_score
from flexi_score.config import load_settings
from flexi_score.errors import ArchiveError, InputError, OutputError
from flexi_score.exports.folder import EXPORTS
from flexi_score.exports.source import safe_names
from flexi_score.exports.writers import WRITERS, json_line
from flexi_score.formats import read_segments, read_words
from flexi_score.formats.audacity import audacity_text
from flexi_score.formats.ctm import ctm_text
from flexi_score.formats.delimited import csv_text
from flexi_score.formats.eaf import eaf_text
from flexi_score.formats.lanes import Lane, clean
from flexi_score.formats.registry import FORMATS
from flexi_score.formats.rttm import rttm_text
from flexi_score.formats.subtitles import webvtt_text
from flexi_score.formats.textgrid import read_tiers, textgrid_text
from flexi_score.formats.timed import Timed
from flexi_score.manifest import read_input
from flexi_score.schema import FAILURES
from flexi_score.scoring.pipeline import score_tracks

unhurried = settings(deadline=None, max_examples=25)
ASR_NONE = load_settings("paper", {"extract.asr": "none"})

# Lanes, there and back

HOSTILE = (
    'say "hi"',
    "a\nb",
    "a\r\nb\rc",
    "<script>&amp;</script>",
    "-->",
    "]]>",
    "\u202eabc\u202c",
    "",
    "  ",
    "a\tb",
    "=1+1",
    "'=1",
    "''-x",
    "-",
    "@x",
    "\\",
    "\x00\x07",
    "\x85",
    "\u2028",
    "\ufffe",
    "user: hi",
    "<v model>",
    "00:00:01.000 --> 00:00:02.000",
    "&lt;",
    ";; x",
    "你好",
    "é\u0301",
)
#: Words that look like marks of silence or sound, alone or beside few others.
MARKS = (
    *("#", "S", "s", "n", "NS", "0", "1", "sil", "sp", "pause", "Music", "silence"),
    *("[Music]", "(laughs)", "♪ la", "<p>", "\\#", "\\\\pause", " # "),
)
texts = st.one_of(st.sampled_from(HOSTILE), st.sampled_from(MARKS), st.text(max_size=8))
# Few enough that words often fall on each other.
times = st.tuples(st.integers(0, 5) | st.integers(0, 5000), st.just(0) | st.integers(0, 400))
words_of = st.lists(st.tuples(times, texts), max_size=8).map(
    lambda items: [Timed(a, a + n, text) for (a, n), text in items]
)


@st.composite
def speech_of(draw):
    """Stretches that do not overlap, as IPUs are."""
    cuts = sorted(draw(st.sets(st.integers(0, 10**7), max_size=8)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    return [Timed(a, b, draw(st.none() | texts)) for a, b in pairs]


def spans(entries):
    return sorted((e.start_ms, e.end_ms) for e in entries)


def said(entries, blank="-", clean=clean):
    """Words as they are read back: stripped, ``-`` for nothing."""
    rows = ((e.start_ms, e.end_ms, clean(e.text or "").strip()) for e in entries)
    return sorted((a, b, text or blank) for a, b, text, *_ in rows)


def flat(rows, space):
    return sorted((a, b, space.join(text.split()) or "-") for a, b, text, *_ in rows)


def jsonl_text(_, rows):
    return "".join(map(json_line, rows))


def table(speech, words):
    """Rows as they are exported, with rows of other kinds between them."""
    rows = [{"kind": "silence", "speaker": "none", "start_ms": 0, "end_ms": 9, "text": None}]
    for kind, entries in (("ipu", speech), ("word", words)):
        for speaker, own in entries.items():
            rows += [
                {"kind": kind, "speaker": speaker, "start_ms": a, "end_ms": b, "text": text}
                for a, b, text, *_ in own
            ]
    return rows


def lanes_of(speech, words):
    return [
        lane
        for s in ("user", "model")
        for lane in (Lane(s, speech[s]), Lane(f"{s} words", words[s]))
    ] + [Lane("gaps", speech["user"])]


TIERS = {
    "TextGrid": lambda speech, words: textgrid_text(lanes_of(speech, words), 6000),
    "eaf": lambda speech, words: eaf_text(lanes_of(speech, words), ["/a b/<&>.wav"]),
}
TABLES = {"csv": csv_text, "jsonl": jsonl_text}
COLUMNS = ("kind", "speaker", "start_ms", "end_ms", "text")


@unhurried
@pytest.mark.parametrize("suffix", [*TIERS, *TABLES])
@given(data=st.data())
def test_speech_and_words_of_both_speakers_round_trip(tmp_path_factory, suffix, data):
    speech = {s: data.draw(speech_of()) for s in ("user", "model")}
    words = {s: data.draw(words_of) for s in ("user", "model")}
    path = tmp_path_factory.mktemp("trip") / f"a.{suffix}"
    if suffix in TIERS:
        content = TIERS[suffix](speech, words)
    else:
        content = TABLES[suffix](COLUMNS, table(speech, words))
    path.write_bytes(content.encode())
    blank = "-" if suffix in TIERS else ""
    for speaker in ("user", "model"):
        assert read_segments(path, speaker).rows() == spans(speech[speaker])
        if suffix in TIERS or any(words.values()):
            # Python strips more than white space: the separators U+001C to U+001F.
            found = sorted((a, b, t.strip()) for a, b, t in read_words(path, speaker).rows())
            assert found == said(words[speaker], blank, str if suffix == "jsonl" else clean)


@unhurried
@given(speech_of(), speech_of())
def test_rttm_round_trips(tmp_path_factory, user, model):
    path = tmp_path_factory.mktemp("trip") / "a.rttm"
    path.write_bytes(rttm_text("call", {"user": user, "model": model}).encode())
    if user or model:
        assert read_segments(path, "user").rows() == spans(user)
        assert read_segments(path, "model").rows() == spans(model)


@unhurried
@given(words_of, words_of)
def test_ctm_round_trips(tmp_path_factory, user, model):
    path = tmp_path_factory.mktemp("trip") / "a.ctm"
    path.write_bytes(ctm_text("call", {"user": user, "model": model}).encode())
    if user or model:
        for speaker, own in (("user", user), ("model", model)):
            assert sorted(read_words(path, speaker).rows()) == flat(said(own), "_")


@unhurried
@given(words_of)
def test_audacity_labels_round_trip(tmp_path_factory, words):
    path = tmp_path_factory.mktemp("trip") / "a.txt"
    path.write_bytes(audacity_text(words).encode())
    assert sorted(read_words(path).rows()) == flat(said(words), " ")
    assert all(line.count("\t") == 2 for line in path.read_text("utf-8").splitlines() if line)


@unhurried
@given(speech_of(), speech_of())
def test_webvtt_round_trips(tmp_path_factory, user, model):
    path = tmp_path_factory.mktemp("trip") / "a.vtt"
    path.write_bytes(
        webvtt_text([("user", e) for e in user] + [("model", e) for e in model]).encode()
    )
    if user or model:
        for speaker, own in (("user", user), ("model", model)):
            assert read_segments(path, speaker).rows() == spans(own)
            found = [(a, b, t.replace("\n", " ")) for a, b, t in said(own)]
            assert sorted(read_words(path, speaker).rows()) == found


@unhurried
@pytest.mark.parametrize("suffix", [*TIERS, "rttm", "ctm", "txt", "vtt"])
@given(data=st.data())
def test_what_was_read_is_written_the_same_again(tmp_path_factory, suffix, data):
    write = {
        **{
            s: lambda own, s=s: TIERS[s]({"user": own, "model": []}, {"user": own, "model": []})
            for s in TIERS
        },
        "rttm": lambda own: rttm_text("call", {"user": own}),
        "ctm": lambda own: ctm_text("call", {"user": own}),
        "txt": audacity_text,
        "vtt": lambda own: webvtt_text([("user", e) for e in own]),
    }[suffix]
    first = write(data.draw(speech_of()))
    path = tmp_path_factory.mktemp("trip") / f"a.{suffix}"
    path.write_bytes(first.encode())
    reader = read_segments if suffix == "rttm" else read_words
    entries = [Timed(*row) for row in reader(path, "user").rows()]
    assert write(entries) == first


@unhurried
@given(words_of, st.integers(0, 6000))
def test_intervals_of_a_textgrid_tile_their_tier(words, end_ms):
    text = textgrid_text([Lane("user words", words), Lane("model", [])], end_ms)
    last = max([end_ms, 1, *(w.end_ms for w in words)]) / 1000
    assert re.findall(r"^xmax = (\S+)", text, re.MULTILINE) == [f"{last:.3f}"]
    for block in re.split(r"\n {4}item \[\d+\]:", re.sub(r'"(?:[^"]|"")*"', '"x"', text))[1:]:
        edges = [float(x) for x in re.findall(r"\n {12}xm(?:in|ax) = (\S+)", block)]
        if edges:
            assert edges[0] == 0
            assert edges[-1] == last
            assert all(a < b for a, b in zip(edges[::2], edges[1::2], strict=True))
            assert edges[1:-1:2] == edges[2::2]
        else:
            points = [float(x) for x in re.findall(r"\n {12}number = (\S+)", block)]
            assert points
            assert all(a < b for a, b in pairwise(points))


EAF_ORDER = ("HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT")


def check_eaf(text):
    """What the EAF 3.0 schema asks for, of the parts that are written."""
    root = ET.fromstring(text)
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert root.get("FORMAT") == "3.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", root.get("DATE"))
    places = [EAF_ORDER.index(child.tag) for child in root]
    assert places == sorted(places)
    assert set(places) == set(range(len(EAF_ORDER))) - (
        set() if root.find("TIER") is not None else {2}
    )
    assert root.find("HEADER").get("TIME_UNITS") == "milliseconds"
    slots = {s.get("TIME_SLOT_ID"): int(s.get("TIME_VALUE")) for s in root.iter("TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    types = {t.get("LINGUISTIC_TYPE_ID") for t in root.iter("LINGUISTIC_TYPE")}
    tiers = [tier.get("TIER_ID") for tier in root.iter("TIER")]
    assert len(tiers) == len(set(tiers))
    names = [*slots]
    for tier in root.iter("TIER"):
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        ends = []
        for annotation in tier:
            (aligned,) = annotation
            assert aligned.tag == "ALIGNABLE_ANNOTATION"
            assert [child.tag for child in aligned] == ["ANNOTATION_VALUE"]
            start, end = (slots[aligned.get(f"TIME_SLOT_REF{i}")] for i in (1, 2))
            assert start < end
            ends += [start, end]
            names.append(aligned.get("ANNOTATION_ID"))
        assert ends == sorted(ends) or tier.get("TIER_ID").endswith(")")
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", name) for name in names)  # xsd:ID


@unhurried
@given(speech_of(), words_of)
def test_elan_documents_keep_to_the_schema(speech, words):
    check_eaf(eaf_text([Lane("user", speech), Lane("user words", words)], ["/a <b>&.wav"]))


# File names


@unhurried
@given(
    st.lists(
        st.one_of(st.text(min_size=1, max_size=300), st.text("aA./-_ \\é", min_size=1)),
        unique=True,
        max_size=12,
    )
)
def test_names_are_safe_unique_and_stay_in_their_folder(ids):
    names = safe_names(ids, ("index",))
    assert len({name.casefold() for name in names}) == len(ids)
    for name in names:
        assert Path(name).name == name
        assert re.fullmatch(r"[\w.-]+", name)
        assert not name.startswith((".", "-"))
        assert ".." not in name
        assert len(name.encode()) <= 130
        assert name.casefold() != "index"
    assert safe_names(list(reversed(ids)), ("index",)) == names[::-1]


def test_ordinary_ids_are_their_own_names():
    ids = ["call-17", "turn_taking_1", "v1.5", "Größe", "电话"]
    assert safe_names(ids) == ids
    assert safe_names(["turn_taking/12"]) == ["turn_taking_12"]


def test_names_that_would_meet_end_in_a_part_of_their_ids_hash():
    names = safe_names(["a/b", "a_b", "c", "Index"], ("index",))
    assert names[2] == "c"
    assert [re.sub("[0-9a-f]{8}$", "#", name) for name in names] == [
        "a_b-#",
        "a_b-#",
        "c",
        "Index-#",
    ]


@pytest.mark.parametrize("name", ["CON", "nul.txt", "com1", "LPT9"])
def test_names_of_devices_are_avoided(name):
    assert safe_names([name]) == [f"_{name}"]


# Whole runs


def made_run(folder, **options):
    archive = make_archive(folder / "archive", count=14)
    run = flexi_score.score(archive, **options)
    flexi_score.write(run, folder)
    return folder, run


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return made_run(tmp_path_factory.mktemp("made") / "run")[0]


@pytest.fixture(scope="module")
def exported(run_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "deep" / "er"
    return flexi_score.export(run_folder, out, EXPORTS)


def test_every_format_is_written_and_indexed(exported):
    index = json.loads((exported.folder / "index.json").read_text("utf-8"))
    there = {path.name for path in exported.folder.iterdir()}
    assert there == {path.name for path in exported.files}
    listed = {file for row in index["recordings"] for file in row["files"]}
    fixed = {"index.json", "manifest.jsonl", "recordings.jsonl.gz", "supervisions.jsonl.gz"}
    assert listed | fixed == there
    assert {row["recording"]: row["name"] for row in index["recordings"]} == exported.names
    assert len(index["recordings"]) == 14
    assert index["notes"] == exported.notes
    # Made without audio: lhotse has no recordings then, and the failed one is told of.
    assert any("what failed: 1 recording" in note for note in exported.notes)
    assert any(note.startswith("lhotse recordings: nothing to write") for note in exported.notes)


@pytest.mark.parametrize("format_", sorted(set(WRITERS) - {"pyannote"}))
def test_scored_again_from_its_files_a_run_is_the_same(run_folder, tmp_path, format_):
    flexi_score.export(run_folder, tmp_path / "out", format_)
    before = pl.read_parquet(run_folder / "events.parquet")
    rows = read_jsonl(tmp_path / "out" / "manifest.jsonl")
    if format_ == "ctm":  # words alone: speech is theirs
        assert all("user_speech" not in row and row["user_words"].endswith(".ctm") for row in rows)
        return
    after = flexi_score.score(
        tmp_path / "out" / "manifest.jsonl",
        settings=load_settings("paper", {"extract.asr": "none"}),
    )
    columns = ["recording", "speaker", "kind", "start_ms", "end_ms"]
    kinds = ["ipu", "pause", "gap", "overlap"]
    if format_ not in ("rttm", "webvtt"):  # whose files hold no words
        columns += ["text", "n_words", "success", "latency_ms"]
        kinds += ["turn", "backchannel", "interruption"]
    wanted = pl.col("kind").is_in(kinds)
    old = before.filter(wanted).select(columns).sort(columns)
    new = after.events.filter(wanted).select(columns).sort(columns)
    # Without audio a recording ends with its last event.
    assert new.equals(old)


def test_an_exported_manifest_gives_back_its_rows(tmp_path):
    rows = [
        {
            "id": "a/1",
            "system": "s",
            "scenario": "user_interrupt",
            "audio": "a.wav",
            "channels": {"user": 1, "model": 0},
            "annotations": {"interrupt": [1.001, 2.5]},
            "text": {"interrupt": "wait"},
            "tools": [[0.5, 1.25]],
            "snr": 5,
            "note": {"by": "me"},
        },
        {
            "id": "b",
            "user_audio": "u.wav",
            "model_audio": "m.wav",
            "model_offset": 0.25,
            "annotations": {
                "user_turn_end": 1.0,
                "pause": [0.1, 0.3],
                "backchannels": [[1, 1.2]],
                "reference_backchannels": [0.123, 2],
            },
            "rating": 3.5,
            "reference_distribution": [0.5, 0.5],
        },
    ]
    before = read_input(write_jsonl(tmp_path / "m.jsonl", rows)).rows
    tracks = make_tracks(
        [[(0, 1500)]] * 2, [[(1600, 2500)]] * 2, [3000] * 2, rows=before.to_dicts()
    )
    run = score_tracks(tracks, flexi_score.load_settings and FAILURES.to_frame(), load_settings())
    made = flexi_score.export(run, tmp_path / "out", "rttm")
    after = read_input(made.folder).rows
    paths = [f"{s}_speech" for s in ("user", "model")]
    assert after.drop(paths).equals(before.drop(paths))
    assert after["user_speech"].to_list() == [
        str(made.folder / "a_1.rttm"),
        str(made.folder / "b.rttm"),
    ]


HOSTILE_IDS = (
    "../../etc/passwd",
    "/abs",
    "a/b",
    "a_b",
    "A_B",
    "CON",
    "index",
    "manifest",
    "x" * 400,
    "\u202egnp.exe",
    "<script>alert(1)</script>",
    "=cmd()",
    "a\nb",
    "a b",
    "..",
    "recordings",
    "\U0001f600",
    "c:\\x",
    "~",
    "-rf",
    "é",
    "e\u0301",
)


def test_what_a_recording_is_shown_as(tmp_path):
    row = {
        "recording": "r",
        "scenario": "turn_taking",
        "metadata": "{}",
        "user_turn_end_ms": 2000,
        "pause_start_ms": 700,
        "pause_end_ms": 1100,
        "backchannels": [{"start_ms": 3000, "end_ms": 3000}],
        "reference_backchannels_ms": [5100],
    }
    tracks = make_tracks(
        [[(100, 700), (1100, 2000), (3000, 3300), (4800, 6000)]],
        [[(2500, 5000)]],
        [6500],
        rows=[row],
        user_words=[[(100, 700, "well"), (3000, 3300, "mhm"), (4800, 6000, "but no")]],
        model_words=[[]],
    )
    run = score_tracks(tracks, FAILURES.to_frame(), load_settings())
    flexi_score.export(run, tmp_path, ["textgrid", "jsonl", "audacity"])
    tiers = {t.name: [e[:3] for e in t.entries] for t in read_tiers(tmp_path / "r.TextGrid")}
    assert tiers == {
        "user": [
            (100, 700, "well"),
            (1100, 2000, "-"),
            (3000, 3300, "mhm"),
            (4800, 6000, "but no"),
        ],
        "user words": [(100, 700, "well"), (3000, 3300, "mhm"), (4800, 6000, "but no")],
        "model": [(2500, 5000, "-")],
        "model words": [],
        "user turns": [(100, 2000, "well"), (4800, 6000, "but no")],
        "model turns": [(2500, 5000, "turn")],
        "user pauses": [(700, 1100, "pause")],
        "model pauses": [],
        "user backchannels": [(3000, 3300, "mhm")],
        "model backchannels": [],
        "user interruptions": [(4800, 6000, "successful: but no")],
        "model interruptions": [],
        "gaps": [(2000, 2500, "gap")],
        "overlaps": [(3000, 3300, "overlap"), (4800, 5000, "overlap")],
        "silences": [
            (a, b, "silence") for a, b in ((0, 100), (700, 1100), (2000, 2500), (6000, 6500))
        ],
        "annotations": [(700, 1100, "pause")],
        "annotations (points)": [
            (2000, 2000, "user_turn_end"),
            (3000, 3000, "backchannel"),
            (5100, 5100, "reference_backchannel"),
        ],
        "moments (points)": [
            (2000, 2000, "tor reference; latency reference; floor_offset reference; jir reference"),
            (2500, 2500, "tor decided; latency decided; floor_offset decided; jir decided"),
        ],
    }
    rows = read_jsonl(tmp_path / "r.jsonl")
    assert [r["start_ms"] for r in rows] == sorted(r["start_ms"] for r in rows)
    found = [(r["name"], r["start_ms"], r["end_ms"]) for r in rows if r["kind"] == "annotation"]
    assert found == [
        ("pause", 700, 1100),
        ("user_turn_end", 2000, 2000),
        ("backchannel", 3000, 3000),
        ("reference_backchannel", 5100, 5100),
    ]
    scores = {r["metric"]: r for r in run.scores.iter_rows(named=True)}
    moments = {r["name"]: r for r in rows if r["kind"] == "moment"}
    latency = moments["latency decided"]
    assert (latency["value"], latency["status"], latency["start_ms"]) == (0.5, "scored", 2500)
    assert latency["text"] == scores["latency"]["reason"]
    assert len(moments) == 8
    events = [
        (r["kind"], r["speaker"], r["start_ms"], r["end_ms"])
        for r in rows
        if r["kind"] not in ("word", "annotation", "moment")
    ]
    assert sorted(events) == sorted(
        run.events.select("kind", "speaker", "start_ms", "end_ms").rows()
    )
    labels = (tmp_path / "r.events.txt").read_text().splitlines()
    assert "2.000000\t2.000000\tuser_turn_end" in labels
    assert "4.800000\t6.000000\tuser interruption" in labels
    assert any(line.startswith("2.500000\t2.500000\ttor decided; ") for line in labels)


def test_a_run_in_memory_is_written_as_its_folder_is(run_folder, tmp_path):
    formats = ["textgrid", "jsonl", "ctm"]
    flexi_score.export(run_folder, tmp_path / "stored", formats)
    flexi_score.export(flexi_score.score(run_folder / "archive"), tmp_path / "memory", formats)
    stored, memory = (sorted((tmp_path / name).iterdir()) for name in ("stored", "memory"))
    assert [path.name for path in stored] == [path.name for path in memory]
    for ours, theirs in zip(stored, memory, strict=True):
        if ours.name != "index.json":  # which names the run
            assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize(("offset", "longer"), [(0, 0), (0, 800), (0.25, 0)])
def test_lhotse_recordings_of_a_pair_of_files(tmp_path, offset, longer):
    for name, more in (("u.wav", 0), ("m.wav", longer)):
        soundfile.write(tmp_path / name, np.zeros(24_000 + more), 8000)
    row = {"id": "a b", "user_audio": "u.wav", "model_audio": "m.wav", "model_offset": offset}
    rows = read_input(write_jsonl(tmp_path / "m.jsonl", [row])).rows.to_dicts()
    tracks = make_tracks(
        [[(0, 1500)]],
        [[(1600, 2500)]],
        [3250],
        rows=rows,
        model_words=[[(1650, 2000, "hi")]],
        user_words=[[]],
    )
    run = score_tracks(tracks, FAILURES.to_frame(), load_settings())
    out = flexi_score.export(run, tmp_path / "out", ["lhotse", "eaf"]).folder

    def lines(name):
        with gzip.open(out / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    found = {row["id"]: row for row in lines("recordings")}
    user, model = lines("supervisions")
    assert model["custom"]["recording"] == "a b"
    (word,) = model["alignment"]["word"]
    if offset or longer:
        assert list(found) == ["a_b-user", "a_b-model"]
        assert (user["recording_id"], model["recording_id"]) == tuple(found)
        assert model["channel"] == 0
        assert model["start"] == 1.6 - offset
        assert word[:3] == ["hi", 1.65 - offset, 0.35]
        assert found["a_b-model"]["num_samples"] == 24_000 + longer
    else:
        assert [s["channels"] for s in found["a_b"]["sources"]] == [[0], [1]]
        assert (user["channel"], model["channel"]) == (0, 1)
        assert found["a_b"]["duration"] == 3.0
    # ELAN cannot show a file that starts later than the recording.
    media = re.findall('MEDIA_URL="([^"]*)"', (out / "a_b.eaf").read_text())
    assert [Path(url).name for url in media] == ["u.wav"] + ([] if offset else ["m.wav"])


def test_lhotse_recordings_of_audio_inside_a_parquet_file(tmp_path):
    soundfile.write(tmp_path / "call.wav", np.zeros((24_000, 2)), 8000)
    sound = {"bytes": (tmp_path / "call.wav").read_bytes(), "path": "call.wav"}
    pl.DataFrame([{"id": "call", "audio": sound}]).write_parquet(tmp_path / "m.parquet")
    rows = read_input(tmp_path / "m.parquet").rows.to_dicts()
    tracks = make_tracks([[(0, 1500)]], [[(1600, 2500)]], [3000], rows=rows)
    run = score_tracks(tracks, FAILURES.to_frame(), load_settings())
    out = flexi_score.export(run, tmp_path / "out", ["lhotse"]).folder
    with gzip.open(out / "recordings.jsonl.gz", "rt", encoding="utf-8") as file:
        (recording,) = [json.loads(line) for line in file]
    assert recording["duration"] == 3.0
    (source,) = recording["sources"]
    assert source["source"] == str(out / "call.audio.wav")
    assert (out / "call.audio.wav").read_bytes() == sound["bytes"]


def test_a_word_between_two_ipus_is_aligned_with_the_nearer_one(tmp_path):
    words = [(0, 100, "a"), (1000, 1400, "b"), (1700, 1900, "c"), (2900, 3000, "d")]
    tracks = make_tracks(
        [[(0, 1000), (2000, 2500)]],
        [[]],
        [3000],
        user_words=[words],
        rows=[{"recording": "r", "metadata": "{}"}],
    )
    run = score_tracks(tracks, FAILURES.to_frame(), load_settings())
    flexi_score.export(run, tmp_path, "lhotse")
    data = (tmp_path / "supervisions.jsonl.gz").read_bytes()
    assert data[4:8] == bytes(4)  # no time of writing: the same run gives the same bytes
    found = [json.loads(line) for line in gzip.decompress(data).splitlines()]
    aligned = [[item[0] for item in row["alignment"]["word"]] for row in found]
    assert aligned == [["a", "b"], ["c", "d"]]


def test_recordings_whose_roles_are_estimates_are_scored_without_their_audio(tmp_path):
    rows = [
        {
            "recording": "mono",
            "system": "s",
            "metadata": "{}",
            "audio": "/mono.wav",
            "user_channel": 0,
            "model_channel": 1,
        }
    ]
    run = score_tracks(
        make_tracks([[(0, 900)]], [[(1000, 2500)]], [3000], rows=rows),
        FAILURES.to_frame(),
        load_settings(),
    )
    marked = run.recordings.with_columns(estimated_by=pl.lit("a model"))
    for table, audio in ((run.recordings, "/mono.wav"), (marked, None)):
        out = tmp_path / str(audio).strip("/")
        flexi_score.export(run.with_tables(recordings=table), out, "rttm")
        (row,) = read_jsonl(out / "manifest.jsonl")
        assert row.get("audio") == audio
        assert row.get("duration") == (None if audio else 3.0)


def test_hostile_ids_and_transcripts_stay_in_their_files(tmp_path):
    n = len(HOSTILE_IDS)
    rows = [{"recording": name, "system": "=s", "metadata": "{}"} for name in HOSTILE_IDS]
    words = [[(0, 500, HOSTILE[i % len(HOSTILE)]), (500, 900, "x")] for i in range(n)]
    tracks = make_tracks(
        [[(0, 1500)]] * n,
        [[(1600, 2500)]] * n,
        [3000] * n,
        rows=rows,
        user_words=words,
        model_words=[[]] * n,
    )
    run = score_tracks(tracks, FAILURES.to_frame(), load_settings())
    made = flexi_score.export(run, tmp_path / "out", EXPORTS)
    assert {path.parent for path in made.files} == {tmp_path / "out"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(made.files) == len(set(made.files)) == len(list((tmp_path / "out").iterdir()))
    assert list(made.names) == list(HOSTILE_IDS)
    for name, stem in made.names.items():
        with open(made.folder / f"{stem}.csv", encoding="utf-8", newline="") as file:
            cells = list(csv.DictReader(file))
        assert {c["recording"].lstrip("'") for c in cells} == {clean(name).lstrip("'")}
        assert not any(cell[:1] in ("=", "+", "-", "@") for row in cells for cell in row.values())
        for line in (made.folder / f"{stem}.jsonl").read_text("utf-8").splitlines():
            assert json.loads(line)["recording"] == name
        check_eaf((made.folder / f"{stem}.eaf").read_text("utf-8"))
        assert read_segments(made.folder / f"{stem}.rttm", "user").rows() == [(0, 1500)]
    after = flexi_score.score(made.folder / "manifest.jsonl")
    assert after.recordings["recording"].to_list() == list(HOSTILE_IDS)


# What cannot be done is said


def test_without_an_archive_words_are_missed_by_name(run_folder, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for file in run_folder.iterdir():
        if file.is_file():
            (bare / file.name).write_bytes(file.read_bytes())
    made = flexi_score.export(bare, tmp_path / "out", "textgrid")
    assert any("has no archive, which holds the words" in note for note in made.notes)
    grid = (made.folder / "r0.TextGrid").read_text("utf-8")
    assert '"user words"' not in grid
    assert read_segments(made.folder / "r0.TextGrid", "user").height > 0
    with pytest.raises(InputError, match=r"ctm holds nothing but words.*--archive"):
        flexi_score.export(bare, tmp_path / "ctm", "ctm")
    assert not (tmp_path / "ctm").exists()
    found = flexi_score.export(bare, tmp_path / "ctm", "ctm", archive=run_folder / "archive")
    assert len(list(found.folder.glob("*.ctm"))) == 14
    with pytest.raises(ArchiveError, match="not an archive"):
        flexi_score.export(bare, tmp_path / "x", "ctm", archive=tmp_path)
    other = make_archive(tmp_path / "other", count=1, first=99)
    with pytest.raises(ArchiveError, match="holds none of the recordings"):
        flexi_score.export(bare, tmp_path / "x", "ctm", archive=other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"formats": "texgrid"}, "unknown format 'texgrid'; did you mean 'textgrid'"),
        ({"formats": ["doc"]}, "unknown format 'doc'; known: "),
        ({"formats": []}, "no format given; known: "),
        ({"recordings": ["r99"]}, "recording 'r99': not in this run; did you mean 'r9'"),
        ({"recordings": ["lost"]}, "recording 'lost': failed, so there is nothing to export: "),
    ],
)
def test_what_cannot_be_exported(run_folder, tmp_path, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        flexi_score.export(run_folder, tmp_path / "out", **{"formats": "rttm"} | options)
    assert not (tmp_path / "out").exists()


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected a run folder"):
        flexi_score.export(tmp_path, tmp_path / "out", "rttm")


@pytest.mark.parametrize(
    ("table", "change", "message"),
    [
        ("events", lambda t: t.drop("kind"), "events.parquet, column kind: found no such column"),
        ("events", lambda t: t.cast({"start_ms": pl.Float64}), "start_ms: found Float64, expected"),
        ("recordings", lambda t: pl.concat([t, t[:1]]), "a recording is in it twice"),
        (
            "scores",
            lambda t: t.with_columns(recording=pl.lit(None, pl.String)),
            "names no recording",
        ),
    ],
)
def test_tables_that_scoring_does_not_write_are_refused(
    run_folder, tmp_path, table, change, message
):
    bad = tmp_path / "bad"
    bad.mkdir()
    for file in run_folder.glob("*.*"):
        (bad / file.name).write_bytes(file.read_bytes())
    # As of a version that noted no hashes: those would tell of the change first.
    info = json.loads((bad / "run.json").read_text("utf-8"))
    (bad / "run.json").write_text(json.dumps(info | {"files": None}))
    change(pl.read_parquet(bad / f"{table}.parquet")).write_parquet(bad / f"{table}.parquet")
    with pytest.raises(InputError, match=re.escape(message)):
        flexi_score.export(bad, tmp_path / "out", "rttm")


def test_files_that_may_have_been_corrected_are_not_replaced(run_folder, tmp_path):
    made = flexi_score.export(run_folder, tmp_path, "textgrid", recordings=["r1", "r2"])
    assert list(made.names) == ["r1", "r2"]
    mended = tmp_path / "r1.TextGrid"
    mended.write_text("mine")
    (tmp_path / "index.json").unlink()
    (tmp_path / "manifest.jsonl").unlink()
    with pytest.raises(OutputError, match=r"r1\.TextGrid: is there already, perhaps corrected"):
        flexi_score.export(run_folder, tmp_path, ["rttm", "textgrid"], recordings=["r1"])
    assert mended.read_text() == "mine"
    assert not list(tmp_path.glob("*.rttm"))
    flexi_score.export(run_folder, tmp_path, "textgrid", recordings=["r1"], overwrite=True)
    assert mended.read_text() != "mine"
    (tmp_path / "manifest.jsonl").write_text("mine")
    with pytest.raises(OutputError, match=r"index\.json: is there already"):
        flexi_score.export(run_folder, tmp_path, "eaf")


def test_a_folder_that_cannot_be_written_is_named(run_folder, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"out.*cannot be written"):
        flexi_score.export(run_folder, tmp_path / "out", "rttm")


def test_words_of_short_utterances_only_are_not_given_as_a_transcript(tmp_path):
    tracks = make_tracks(
        [[(0, 1500)]], [[(1600, 2500)]], [3000], user_words=[[(0, 500, "hm")]], model_words=[[]]
    )
    short = replace(tracks.user_words, heard_ms=np.array([1500]))
    run = score_tracks(replace(tracks, user_words=short), FAILURES.to_frame(), load_settings())
    made = flexi_score.export(run, tmp_path, "textgrid")
    assert any("short utterances only" in note for note in made.notes)
    (row,) = read_jsonl(tmp_path / "manifest.jsonl")
    assert "user_words" not in row
    assert "user words" in (tmp_path / "r0.TextGrid").read_text()


# Other tools read it


@pytest.mark.parametrize("command", ["Save as text file...", "Save as short text file..."])
def test_praat_itself_reads_and_saves_the_same(tmp_path, command):
    praat = pytest.importorskip("parselmouth").praat
    words = [Timed(i * 100, i * 100 + (i % 5 and 150), text) for i, text in enumerate(HOSTILE)]
    speech = [Timed(0, 1000, 'a "b"'), Timed(1500, 2001)]
    lanes = [
        Lane("user", speech),
        Lane("user words", words),
        Lane("model", []),
        Lane("model words", [Timed(5, 5, "x"), Timed(5, 5, "y")]),
    ]
    ours, theirs = tmp_path / "ours.TextGrid", tmp_path / "theirs.TextGrid"
    ours.write_bytes(textgrid_text(lanes, 6000).encode())
    praat.call(praat.call("Read from file...", str(ours)), command, str(theirs))
    for speaker in ("user", "model"):
        for reader in (read_segments, read_words):
            assert reader(theirs, speaker).equals(reader(ours, speaker))
        assert read_words(theirs, speaker).height == {"user": len(words), "model": 2}[speaker]


def test_a_boundary_moved_in_praat_moves_that_event_alone(run_folder, tmp_path):
    praat = pytest.importorskip("parselmouth").praat
    made = flexi_score.export(run_folder, tmp_path, "textgrid", recordings=["r0"])
    before = flexi_score.score(made.folder).events
    path = made.folder / "r0.TextGrid"
    grid = praat.call("Read from file...", str(path))
    assert praat.call(grid, "Get tier name...", 1) == "user"
    start = praat.call(grid, "Get start time of interval...", 1, 2)
    praat.call(grid, "Insert boundary...", 1, start - 0.02)
    praat.call(grid, "Remove boundary at time...", 1, start)
    praat.call(grid, "Save as text file...", str(path))
    after = flexi_score.score(made.folder).events

    def ipus(events):
        return events.filter(kind="ipu").select("speaker", "start_ms", "end_ms", "text").rows()

    was = ipus(before)
    place = was.index(next(row for row in was if row[0] == "user"))
    speaker, begin, end, text = was[place]
    assert begin == round(start * 1000)
    assert sorted(ipus(after)) == sorted(
        [*was[:place], (speaker, begin - 20, end, text), *was[place + 1 :]]
    )


def test_praatio_reads_the_same(exported):
    pytest.importorskip("praatio")
    from praatio import textgrid

    for path in exported.folder.glob("*.TextGrid"):
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
        for speaker in ("user", "model"):
            found = [
                (round(e.start * 1000), round(e.end * 1000)) for e in grid.getTier(speaker).entries
            ]
            assert found == read_segments(path, speaker).rows()


def test_pympi_reads_the_same(exported):
    elan = pytest.importorskip("pympi").Elan
    for path in exported.folder.glob("*.eaf"):
        document = elan.Eaf(str(path))
        for speaker in ("user", "model"):
            found = sorted(a[:2] for a in document.get_annotation_data_for_tier(speaker))
            assert found == read_segments(path, speaker).rows()
            found = sorted(document.get_annotation_data_for_tier(f"{speaker} words"))
            assert [a[:3] for a in found] == read_words(path, speaker).rows()


def test_webvtt_py_reads_the_same(exported):
    webvtt = pytest.importorskip("webvtt")
    for path in exported.folder.glob("*.vtt"):
        cues = webvtt.read(str(path))
        found = [(round(c.start_in_seconds * 1000 + int(c.start[-3:])), c.voice) for c in cues]
        expected = [(a, s) for s in ("user", "model") for a, _ in read_segments(path, s).rows()]
        assert sorted(found) == sorted(expected)


def test_pyannote_holds_the_same(run_folder, exported, tmp_path):
    core = pytest.importorskip("pyannote.core")
    annotations = flexi_score.to_pyannote(run_folder)
    assert set(annotations) == set(exported.names)
    for name, annotation in annotations.items():
        assert isinstance(annotation, core.Annotation)
        stem = exported.names[name]
        assert annotation.uri == stem
        path = exported.folder / f"{stem}.rttm"
        lines = [line.split() for line in path.read_text().splitlines()]
        theirs = [line.split() for line in annotation.to_rttm().splitlines()]
        assert sorted((float(f[3]), float(f[4]), f[7]) for f in lines) == sorted(
            (float(f[3]), float(f[4]), f[7]) for f in theirs
        )
        assert (exported.folder / f"{stem}.uem").read_text() == f"{stem} 1 0.000 12.000\n"


def test_lhotse_reads_the_supervisions(exported):
    pytest.importorskip("lhotse")
    from lhotse import SupervisionSet

    found = SupervisionSet.from_jsonl(exported.folder / "supervisions.jsonl.gz")
    for name, stem in exported.names.items():
        for channel, speaker in enumerate(("user", "model")):
            mine = [s for s in found if s.recording_id == stem and s.speaker == speaker]
            spans = [(round(s.start * 1000), round(s.end * 1000)) for s in mine]
            path = exported.folder / f"{stem}.rttm"
            assert spans == read_segments(path, speaker).rows()
            words = [item for s in mine for item in s.alignment["word"]]
            found_words = [(round(w.start * 1000), round(w.end * 1000), w.symbol) for w in words]
            if mine:  # words are aligned with IPUs
                assert found_words == read_words(exported.folder / f"{stem}.ctm", speaker).rows()
            assert {s.channel for s in mine} <= {channel}
            assert {s.custom["recording"] for s in mine} <= {name}


# From the command line


def test_registry_and_writers_agree():
    assert set(EXPORTS) == {*WRITERS, "lhotse"}


def test_formats_are_listed(cli: Cli):
    done = cli("formats")
    assert done.returncode == 0
    assert all(name in done.stdout for name in FORMATS)


@pytest.fixture(scope="module")
def sample_run(tmp_path_factory, cli: Cli):
    """A sample recording, scored from audio."""
    folder = tmp_path_factory.mktemp("samples")
    rows = [r for r in read_jsonl(SAMPLES / "manifest.jsonl") if r["id"] == "calm_turn_taking_1"]
    for row in rows:
        row["audio"] = str(SAMPLES / row["audio"])
    write_jsonl(folder / "calls.jsonl", rows)
    done = cli("score", "calls.jsonl", "--asr", "none", "--out", "run", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_corrected_boundary_goes_back_in(sample_run, cli: Cli):
    done = cli(
        "export",
        "run",
        "--format",
        "textgrid,eaf",
        "--format",
        "lhotse",
        "--out",
        "grids",
        cwd=sample_run,
    )
    assert done.returncode == 0, done.stderr
    assert "holds no transcripts" in done.stderr
    path = sample_run / "grids" / "calm_turn_taking_1.TextGrid"
    before = pl.read_parquet(sample_run / "run" / "scores.parquet")
    events = pl.read_parquet(sample_run / "run" / "events.parquet")

    again = flexi_score.score(
        sample_run / "grids", archive=sample_run / "run" / "archive", settings=ASR_NONE
    )
    assert again.scores.equals(before)
    # An annotator hears the model begin 0.233 s earlier than the detector did.
    (start,) = events.filter(
        (pl.col("recording") == "calm_turn_taking_1")
        & (pl.col("speaker") == "model")
        & (pl.col("kind") == "turn")
    )["start_ms"].head(1)
    old, new = f"{start / 1000:.3f}", f"{(start - 233) / 1000:.3f}"
    text = path.read_text("utf-8")
    head, tier, rest = text.partition('name = "model" ')
    mended, tail = rest.split('name = "user turns" ')
    assert mended.count(old) == 2  # the end of silence and the start of speech
    path.write_text(head + tier + mended.replace(old, new) + 'name = "user turns" ' + tail, "utf-8")
    done = cli(
        "score",
        "grids",
        "--asr",
        "none",
        "--out",
        "mended",
        "--archive",
        "run/archive",
        cwd=sample_run,
    )
    assert done.returncode == 0, done.stderr
    after = pl.read_parquet(sample_run / "mended" / "scores.parquet")
    key = ["recording", "metric"]
    both = before.join(after, on=key, suffix="_after", validate="1:1")
    assert len(both) == len(before) == len(after)
    changed = both.filter(pl.col("value").ne_missing(pl.col("value_after")))
    assert set(changed["metric"]) == {"latency", "floor_offset"}
    assert set(changed["recording"]) == {"calm_turn_taking_1"}
    shift = (changed["value"] - changed["value_after"]).round(9).to_list()
    assert shift == [0.233, 0.233]


def test_lhotse_reads_recordings_and_their_audio(sample_run, cli: Cli):
    pytest.importorskip("lhotse")
    from lhotse import CutSet, RecordingSet, SupervisionSet

    done = cli(
        "export",
        "run",
        "--format",
        "lhotse",
        "--out",
        "cuts",
        "--recordings",
        "calm_turn_taking_1",
        "-q",
        cwd=sample_run,
    )
    assert done.returncode == 0, done.stderr
    recordings = RecordingSet.from_jsonl(sample_run / "cuts" / "recordings.jsonl.gz")
    supervisions = SupervisionSet.from_jsonl(sample_run / "cuts" / "supervisions.jsonl.gz")
    cuts = CutSet.from_manifests(recordings=recordings, supervisions=supervisions)
    (cut,) = list(cuts)
    assert cut.num_channels == 2
    assert cut.load_audio().shape == (2, cut.num_samples)
    assert {s.speaker for s in cut.supervisions} == {"user", "model"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "rttm", "--recordings", "calm"], "recording 'calm': not in this run"),
        (["--format", "ctm"], "ctm holds nothing but words"),
        ([], "format"),
    ],
)
def test_the_command_line_refuses_in_words(sample_run, cli: Cli, arguments, message):
    done = cli("export", "run", *arguments, "--out", "never", cwd=sample_run)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (sample_run / "never").exists()
