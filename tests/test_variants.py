"""One content spelt in many ways: the same numbers are read of each, or an error; never others."""

import json
import random
import re
from pathlib import Path

import pytest
import test_services as services

from flexi_score.errors import TranscriptError
from flexi_score.formats import read_given
from flexi_score.formats.eaf import eaf_text
from flexi_score.formats.lanes import Lane
from flexi_score.formats.textgrid import textgrid_text
from flexi_score.formats.timed import Timed
from flexi_score.formats.whose import Whose, parse_speakers

#: What is said: more than three words, and times that are whole milliseconds but not seconds.
USER = [(700, 960, "hi"), (1000, 1250, "there")]
MODEL = [(5040, 5400, "hello")]
PARTIES = {"user": USER, "model": MODEL}

words = [
    {"word": w, "start": a / 1000, "end": b / 1000, "speaker": s}
    for s, said in PARTIES.items()
    for a, b, w in said
]
JSON = {
    "words": {"words": words},
    "list": words,
    "segments": {"segments": [{"start": w["start"], "end": w["end"], "words": [w]} for w in words]},
    "chunks": {
        "chunks": [
            {"text": w["word"], "timestamp": [w["start"], w["end"]], "speaker": w["speaker"]}
            for w in words
        ]
    },
    "deepgram": services.DEEPGRAM,
    "aws": services.AWS,
    "google": services.GOOGLE,
    "azure ticks": services.azure("ticks"),
    "azure iso": services.azure("iso"),
    "azure fast": services.AZURE_FAST,
    "scribe": services.SCRIBE,
    "scribe speakers": services.SCRIBE_SPEAKERS,
    "assemblyai": services.ASSEMBLYAI,
    "assemblyai channels": services.ASSEMBLYAI_CHANNELS,
    "aws speakers": services.AWS_SPEAKERS,
    "retell": services.RETELL,
    "whisper.cpp": services.WHISPER_CPP,
    "vosk": services.VOSK,
    "openai": services.OPENAI,
}
OF_ONE = ("whisper.cpp", "vosk", "openai")
#: Speech of a file whose stretches are longer than its words.
STRETCHES = [(700, 1250)]
NAMES = parse_speakers("speaker_0=user,speaker_1=model,A=user,B=model,spk_0=user,spk_1=model")


def shuffled(rng, items):
    return rng.sample(items, len(items))


def respelt(rng, value):
    """The same values in another order, numbers as text, and keys that say nothing."""
    if isinstance(value, dict):
        items = {k: respelt(rng, v) for k, v in shuffled(rng, [*value.items()])}
        return items | ({"note": None} if rng.random() < 0.5 else {})
    if isinstance(value, list):
        return [respelt(rng, v) for v in value]
    if isinstance(value, int | float) and rng.random() < 0.25:
        return str(value)
    return float(value) if isinstance(value, int) and rng.random() < 0.25 else value


def leaves(value, path=()):
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from leaves(inner, (*path, key))
        else:
            yield (*path, key)


def without(value, path):
    """A copy whose value at a path is null."""
    if not path:
        return None
    if isinstance(value, dict):
        return {k: without(v, path[1:]) if k == path[0] else v for k, v in value.items()}
    return [without(v, path[1:]) if i == path[0] else v for i, v in enumerate(value)]


def check(rng, path: Path, text: str, parties, *, shared: bool, stretches=None) -> None:
    """That of each party the same is read, or an error that names the file."""
    text = text.replace("\n", rng.choice(["\n", "\r\n", "\r"]))
    how = rng.choice(["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
    path.write_bytes((b"\xfe\xff" if how == "utf-16-be" else b"") + text.encode(how))
    for speaker, said in parties.items():
        whose = Whose(speaker, NAMES, channels={"user": 0, "model": 1}, shared=shared)
        for kind in ("words", "segments"):
            try:
                found = read_given(path, kind, whose, has_audio=False).table.rows()
            except TranscriptError as error:
                assert str(error).startswith(str(path))  # noqa: PT017
                continue
            spans = stretches or [entry[:2] for entry in said]
            assert found == (said if kind == "words" else spans), text


@pytest.mark.parametrize("name", JSON)
def test_json_spelt_in_many_ways(tmp_path, name):
    rng = random.Random(name)
    for _ in range(20):
        content = respelt(rng, JSON[name])
        if rng.random() < 0.5:
            told = [p for p in leaves(content) if p[-1] != "type"]
            content = without(content, rng.choice(told))
        text = json.dumps(content, indent=rng.choice([None, 2]))
        parties = {"user": USER} if name in OF_ONE else PARTIES
        stretches = STRETCHES if name == "whisper.cpp" else None
        both = name not in OF_ONE
        check(rng, tmp_path / "a.json", text, parties, shared=both, stretches=stretches)


def lanes(rng):
    own = [
        Lane(name, [Timed(*entry) for entry in said])
        for s, said in PARTIES.items()
        for name in (s, f"{s} words")
    ]
    empty = [Lane(name, []) for name in rng.choice([(), ("notes",), ("notes", "x")])]
    return shuffled(rng, [*own, *empty])


@pytest.mark.parametrize("change", ["none", "short", "exponents", "padded", "comment"])
def test_textgrids_spelt_in_many_ways(tmp_path, change):
    rng = random.Random(change)
    for _ in range(12):
        text = textgrid_text(lanes(rng), 8500)
        if change == "short":
            kept = re.findall(r'"(?:[^"]|"")*"|(?<!\S)[\d.]+(?!\S)|<exists>', text)
            text = 'File type = "ooTextFile"\n' + "\n".join(kept[1:])
        elif change == "exponents":
            text = re.sub(r"(?<= = )(\d+\.\d{3})", lambda m: f"{float(m[1]) * 100:.1f}e-2", text)
        elif change == "padded":
            text = re.sub(r"(?<= = )(\d+\.\d{3})", r"\g<1>000000", text)
        elif change == "comment":
            text = text.replace("\n\n", "\n! saved by hand\n\n", 1)
        check(rng, tmp_path / "a.TextGrid", text, PARTIES, shared=True)


@pytest.mark.parametrize("change", ["none", "swapped", "untimed", "quotes", "origin"])
def test_elan_documents_spelt_in_many_ways(tmp_path, change):
    rng = random.Random(change)
    for _ in range(12):
        text = eaf_text(lanes(rng), ["/a/b.wav"])
        slots = re.findall(r" *<TIME_SLOT .*\n", text)
        head, tail = text.split(slots[0])[0], text.split(slots[-1])[-1]
        text = head + "".join(shuffled(rng, slots)) + tail
        if change == "swapped":
            text = re.sub(r'(TIME_SLOT_ID="\w+") (TIME_VALUE="\w+")', r"\2 \1", text)
        elif change == "untimed":
            text = re.sub(r' TIME_VALUE="\d+"', "", text, count=1)
        elif change == "quotes":
            text = re.sub(r'TIME_VALUE="(\d+)"', r"TIME_VALUE='\1'", text)
        elif change == "origin":
            text = text.replace("<MEDIA_DESCRIPTOR ", '<MEDIA_DESCRIPTOR TIME_ORIGIN="0" ')
        check(rng, tmp_path / "a.eaf", text, PARTIES, shared=True)


CHAIN = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"/><TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="a" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="b"/>
<TIME_SLOT TIME_SLOT_ID="c"/><TIME_SLOT TIME_SLOT_ID="d" TIME_VALUE="{end}"/></TIME_ORDER>
<TIER TIER_ID="user">{annotations}</TIER></ANNOTATION_DOCUMENT>"""


def annotation(first: str, last: str) -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="x{first}" TIME_SLOT_REF1="{first}" '
        f'TIME_SLOT_REF2="{last}"><ANNOTATION_VALUE>{first}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def test_elan_slots_without_a_time_lie_evenly_between_their_neighbours(tmp_path):
    path = tmp_path / "a.eaf"
    chain = "".join(annotation(a, b) for a, b in ("ab", "bc", "cd"))
    path.write_text(CHAIN.format(end=4000, annotations=chain))
    reading = read_given(path, "words", Whose("user"), has_audio=False)
    assert reading.table.rows() == [(1000, 2000, "a"), (2000, 3000, "b"), (3000, 4000, "c")]
    assert reading.notes == [
        "a.eaf: line 5: a time slot without a time was put evenly between its neighbours in the "
        "tier, as ELAN shows it (3 annotations)"
    ]


@pytest.mark.parametrize("pairs", [("ab", "cd"), ("bc",), ("ab", "bb"), ("bc", "cb")])
def test_elan_slots_without_neighbours_that_have_a_time_are_refused(tmp_path, pairs):
    path = tmp_path / "a.eaf"
    chain = "".join(annotation(a, b) for a, b in pairs)
    path.write_text(CHAIN.format(end=4000, annotations=chain))
    with pytest.raises(TranscriptError, match="no neighbours in its tier between which"):
        read_given(path, "words", Whose("user"), has_audio=False)


def test_a_tier_of_two_words_that_take_turns_is_no_segmentation(tmp_path):
    said = [Timed(i * 300, i * 300 + 300, word) for i, word in enumerate(("no", "yes", "no"))]
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid_text([Lane("user words", said)], 900))
    found = read_given(path, "words", Whose("user"), has_audio=True).table["text"]
    assert found.to_list() == ["no", "yes", "no"]
