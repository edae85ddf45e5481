"""What of a recording survives each format: written, read again, compared.

``python tests/bench/formats_table.py [--recordings N]`` prints a Markdown table. Recordings are
random, with hostile texts: quotes, line breaks, markup, controls, right-to-left marks, blanks.
Words overlap and some have no duration. ``times`` counts the recordings of which every entry comes
back with the same times, ``texts`` those whose texts come back as the last column says. Formats
that are only read are written by this script, in the shape that their own tools write.
"""

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from flexi_score.exports.writers import json_line  # noqa: E402
from flexi_score.formats import read_segments, read_words  # noqa: E402
from flexi_score.formats.audacity import audacity_text  # noqa: E402
from flexi_score.formats.ctm import ctm_text  # noqa: E402
from flexi_score.formats.delimited import csv_text  # noqa: E402
from flexi_score.formats.eaf import eaf_text  # noqa: E402
from flexi_score.formats.lanes import Lane, clean  # noqa: E402
from flexi_score.formats.registry import FORMATS  # noqa: E402
from flexi_score.formats.rttm import rttm_text  # noqa: E402
from flexi_score.formats.subtitles import webvtt_text  # noqa: E402
from flexi_score.formats.textgrid import textgrid_text  # noqa: E402
from flexi_score.formats.timed import Timed  # noqa: E402

PIECES = (
    "hello",
    "a b",
    '"',
    "'",
    "\n",
    "\t",
    "<b>",
    "&amp;",
    "-->",
    "\u202e",
    "\u200f",
    "\x07",
    "你好",
    "=1+1",
    ";;",
    ",",
    "\\",
    "]]>",
    "user:",
    "\u2028",
    "",
    " ",
)
SPEAKERS = ("user", "model")
Spoken = Mapping[str, list[Timed]]


def text(rng: random.Random) -> str:
    """A word or something worse."""
    return "".join(rng.choices(PIECES, k=rng.randrange(4))).strip()


def recording(rng: random.Random) -> tuple[Spoken, Spoken]:
    """Speech and words of both speakers."""
    speech, words = {}, {}
    for speaker in SPEAKERS:
        cuts = sorted(rng.sample(range(60_000), 2 * rng.randrange(1, 8)))
        spans = zip(cuts[::2], cuts[1::2], strict=True)
        speech[speaker] = [Timed(a, b, text(rng)) for a, b in spans]
        starts = [rng.randrange(60_000) for _ in range(rng.randrange(1, 20))]
        words[speaker] = sorted(
            Timed(a, a + rng.choice((0, 1, 200, 400)), text(rng)) for a in starts
        )
    return speech, words


def lanes(speech: Spoken, words: Spoken) -> list[Lane]:
    """Tiers of both speakers."""
    return [lane for s in SPEAKERS for lane in (Lane(s, speech[s]), Lane(f"{s} words", words[s]))]


def rows(speech: Spoken, words: Spoken) -> list[dict[str, object]]:
    """Rows of a table."""
    return [
        {"kind": kind, "speaker": s, "start_ms": a, "end_ms": b, "text": label}
        for kind, spoken in (("ipu", speech), ("word", words))
        for s in SPEAKERS
        for a, b, label in spoken[s]
    ]


def seconds(entries: list[Timed], speaker: str, names: str) -> list[dict[str, object]]:
    """Entries as objects of start, end, text and speaker, under these names."""
    start, end, said, who = names.split()
    return [{start: a / 1000, end: b / 1000, said: t, who: speaker} for a, b, t in entries]


def items(spoken: Spoken, names: str = "start end word speaker") -> list[dict[str, object]]:
    """Entries of both speakers."""
    return [item for s in SPEAKERS for item in seconds(spoken[s], s, names)]


def stm(spoken: Spoken) -> str:
    """STM, which has no line breaks."""
    return "".join(
        f"call 1 {s} {a / 1000} {b / 1000} <o> {' '.join(clean(t or '').split())}\n"
        for s in SPEAKERS
        for a, b, t in spoken[s]
    )


def srt(entries: list[Timed], speaker: str) -> str:
    """SubRip of one speaker."""

    def stamp(ms: int) -> str:
        return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d},{ms % 1000:03d}"

    return "".join(
        f"{i}\n{stamp(a)} --> {stamp(b)}\n{speaker}: {' '.join(clean(t or '').split())}\n\n"
        for i, (a, b, t) in enumerate(entries, 1)
    )


def as_is(text: str) -> str:
    return text


def cleaned(text: str) -> str:
    return clean(text).strip()


def labelled(text: str) -> str:
    return cleaned(text) or "-"


def spaced(text: str) -> str:
    return " ".join(clean(text).split()) or "-"


class Trip(NamedTuple):
    """How to write speech and words of a speaker, and what is read of it.

    ``write`` takes speech and words of both speakers and the speaker in question; ``kinds`` are
    those to read; ``texts`` says what becomes of a text, and ``expect`` computes it.
    """

    suffix: str
    write: Callable[[Spoken, Spoken, str], str]
    kinds: tuple[str, ...]
    texts: str
    expect: Callable[[str], str]


BOTH = ("speech", "words")
PHRASES = ("speech", "phrases")
COLUMNS = ("kind", "speaker", "start_ms", "end_ms", "text")
LABEL = "blank is -, controls are U+FFFD"
TRIPS: Mapping[str, Trip] = {
    "JSON (FLEXI)": Trip(
        "json",
        lambda s, w, who: json.dumps(
            {
                "text": "",
                "chunks": [{"text": t, "timestamp": [a / 1000, b / 1000]} for a, b, t in w[who]],
            }
        ),
        ("words",),
        "as it is",
        as_is,
    ),
    "JSON (WhisperX)": Trip(
        "json",
        lambda s, w, who: json.dumps(
            {"segments": [{"start": 0, "end": 60, "text": "", "words": items(w)}]}
        ),
        ("words",),
        "as it is",
        as_is,
    ),
    "JSON (faster-whisper)": Trip(
        "json",
        lambda s, w, who: json.dumps(
            [{"start": 0, "end": 60, "text": "", "words": seconds(w[who], who, "start end word x")}]
        ),
        ("words",),
        "as it is",
        as_is,
    ),
    "JSON (NeMo)": Trip(
        "json",
        lambda s, w, who: json.dumps({"words": items(w, "start_time end_time word speaker_label")}),
        ("words",),
        "as it is",
        as_is,
    ),
    "JSON (SegLST)": Trip(
        "json",
        lambda s, w, who: json.dumps(items(s, "start_time end_time words speaker")),
        PHRASES,
        "as it is",
        as_is,
    ),
    "JSON Lines": Trip(
        "jsonl", lambda s, w, who: "".join(map(json_line, rows(s, w))), BOTH, "as it is", as_is
    ),
    "TextGrid": Trip(
        "TextGrid", lambda s, w, who: textgrid_text(lanes(s, w), 60_000), BOTH, LABEL, labelled
    ),
    "ELAN": Trip("eaf", lambda s, w, who: eaf_text(lanes(s, w)), BOTH, LABEL, labelled),
    "RTTM": Trip("rttm", lambda s, w, who: rttm_text("call", s), ("speech",), "", as_is),
    "CTM": Trip(
        "ctm",
        lambda s, w, who: ctm_text("call", w),
        ("words",),
        f"white space is _, {LABEL}",
        lambda t: spaced(t).replace(" ", "_"),
    ),
    "STM": Trip(
        "stm",
        lambda s, w, who: stm(s),
        PHRASES,
        "white space is one space",
        lambda t: " ".join(clean(t).split()),
    ),
    "CSV or TSV": Trip(
        "csv", lambda s, w, who: csv_text(COLUMNS, rows(s, w)), BOTH, "controls are U+FFFD", cleaned
    ),
    "Audacity labels": Trip(
        "txt",
        lambda s, w, who: audacity_text(w[who]),
        ("words",),
        f"white space is one space, {LABEL}",
        spaced,
    ),
    "WebVTT": Trip(
        "vtt",
        lambda s, w, who: webvtt_text([(x, e) for x in SPEAKERS for e in s[x]]),
        PHRASES,
        f"line breaks are spaces, {LABEL}",
        lambda t: labelled(t).replace("\n", " "),
    ),
    "SubRip": Trip(
        "srt", lambda s, w, who: srt(s[who], who), ("speech",), "tags are left out", as_is
    ),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recordings", type=int, default=200)
    count = parser.parse_args().recordings
    rng = random.Random(0)
    made = [recording(rng) for _ in range(count)]
    print(
        f"| format | written as | resolution | holds | times ({count}) | texts ({count}) | a text |"
    )
    print("|---|---|---|---|---|---|---|")
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, way in TRIPS.items():
            known = FORMATS[name.partition(" (")[0]]
            for kind in way.kinds:
                times, texts = trip(Path(folder), way, kind, made)
                lost += count - times + (count - texts if kind != "speech" else 0)
                cells = [name, known.export or "", known.times, kind, str(times)]
                cells += ["", ""] if kind == "speech" else [str(texts), way.texts]
                print("|", " | ".join(cells), "|")
    return 1 if lost else 0


def trip(folder: Path, way: Trip, kind: str, made: list[tuple[Spoken, Spoken]]) -> tuple[int, int]:
    """Of how many recordings the times come back, and of how many the texts."""
    path = folder / f"call.{way.suffix}"
    good_times = good_texts = 0
    for speech, words in made:
        times = texts = True
        for speaker in SPEAKERS:
            path.write_bytes(way.write(speech, words, speaker).encode())
            wanted = (words if kind == "words" else speech)[speaker]
            reader = read_segments if kind == "speech" else read_words
            found = sorted(reader(path, speaker).rows())
            times &= [row[:2] for row in found] == sorted((a, b) for a, b, _ in wanted)
            if kind != "speech":
                texts &= found == sorted((a, b, way.expect(t or "")) for a, b, t in wanted)
        good_times, good_texts = good_times + times, good_texts + texts
    return good_times, good_texts


if __name__ == "__main__":
    raise SystemExit(main())
