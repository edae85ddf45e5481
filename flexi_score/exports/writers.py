"""One recording in each format of one file (or a few) a recording: its files' suffixes and text."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from flexi_score.exports.source import Recording
from flexi_score.exports.timeline import COLUMNS, annotations, lanes, moments, rows
from flexi_score.formats.audacity import audacity_text
from flexi_score.formats.ctm import ctm_text
from flexi_score.formats.delimited import csv_text
from flexi_score.formats.eaf import eaf_text
from flexi_score.formats.lanes import seconds
from flexi_score.formats.rttm import rttm_text
from flexi_score.formats.subtitles import webvtt_text
from flexi_score.formats.textgrid import textgrid_text
from flexi_score.formats.timed import Timed
from flexi_score.schema import SPEAKERS, Speaker

#: Text of each file by its suffix; nothing where the recording lacks what the format holds.
Files = dict[str, str]
Writer = Callable[[Recording, str], Files]


def _eaf(recording: Recording, created: str) -> Files:
    row = recording.row
    media = [row["audio"]] if row["audio"] else []
    # ELAN shifts media by skipping their beginning only: a file that starts later is left out.
    media += [
        row[f"{s}_audio"] for s in SPEAKERS if row[f"{s}_audio"] and not row[f"{s}_offset_ms"]
    ]
    date = created or "1970-01-01T00:00:00+00:00"
    return {".eaf": eaf_text(lanes(recording), [str(Path(m).absolute()) for m in media], date)}


def _pyannote(recording: Recording, _: str) -> Files:
    whole = f"{recording.name} 1 0.000 {seconds(recording.duration_ms)}\n"
    return {".rttm": rttm_text(recording.name, _speech(recording)), ".uem": whole}


def _ctm(recording: Recording, _: str) -> Files:
    words = {s: said for s, said in recording.words.items() if said is not None}
    return {".ctm": ctm_text(recording.name, words)} if words else {}


def _audacity(recording: Recording, _: str) -> Files:
    files = {}
    for speaker, entries in _speech(recording).items():
        files[f".{speaker}.txt"] = audacity_text(entries)
        words = recording.words[speaker]
        if words is not None:
            files[f".{speaker}_words.txt"] = audacity_text(words)
    events = [
        Timed(e["start_ms"], e["end_ms"], f"{e['speaker']} {e['kind']}")
        for e in recording.events
        if e["kind"] != "ipu"
    ]
    events += [*annotations(recording), *moments(recording)]
    files[".events.txt"] = audacity_text(events, said=False)
    return files


def _webvtt(recording: Recording, _: str) -> Files:
    speech = _speech(recording).items()
    return {".vtt": webvtt_text([(speaker, cue) for speaker, cues in speech for cue in cues])}


#: Formats of files for each recording, by the name of ``--format``.
WRITERS: Final[Mapping[str, Writer]] = {
    "textgrid": lambda r, _: {".TextGrid": textgrid_text(lanes(r), r.duration_ms)},
    "eaf": _eaf,
    "rttm": lambda r, _: {".rttm": rttm_text(r.name, _speech(r))},
    "ctm": _ctm,
    "audacity": _audacity,
    "webvtt": _webvtt,
    "csv": lambda r, _: {".csv": csv_text(COLUMNS, rows(r))},
    "jsonl": lambda r, _: {".jsonl": "".join(json_line(row) for row in rows(r))},
    "pyannote": _pyannote,
}

#: Which files can be given as ``*_speech`` and as ``*_words``, in the order of preference.
SPEECH_FILES: Final = (".TextGrid", ".eaf", ".jsonl", ".csv", ".rttm", ".{}.txt", ".vtt")
WORDS_FILES: Final = (".TextGrid", ".eaf", ".jsonl", ".csv", ".ctm", ".{}_words.txt")


def as_words(files: Mapping[str, str], recording: Recording, speaker: Speaker) -> str | None:
    """The suffix of a file from which the words of a speaker can be read; None: of none."""
    words = recording.words[speaker]
    if words is None or recording.partial:
        return None
    # A table without a word in it does not say whether words were known.
    tables = any(recording.words[s] for s in SPEAKERS)
    return next(
        (
            suffix.format(speaker)
            for suffix in WORDS_FILES
            if suffix.format(speaker) in files and (tables or suffix not in (".jsonl", ".csv"))
        ),
        None,
    )


def as_speech(files: Mapping[str, str], recording: Recording, speaker: Speaker) -> str | None:
    """The suffix of a file from which the speech of a speaker can be read; None: of none."""
    if not recording.is_known(speaker):
        return None
    suffixes = (suffix.format(speaker) for suffix in SPEECH_FILES)
    return next((suffix for suffix in suffixes if suffix in files), None)


def json_line(row: Mapping[str, object]) -> str:
    """A row as a line of JSON; no character in it ends a line for any reader."""
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    for end in "\u0085\u2028\u2029":
        text = text.replace(end, f"\\u{ord(end):04x}")
    return text + "\n"


def _speech(recording: Recording) -> dict[Speaker, list[Timed]]:
    return {s: recording.spans("ipu", s) for s in SPEAKERS if recording.is_known(s)}
