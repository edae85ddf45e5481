"""The formats of transcript, segment and export files, and which of them a file is in."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from flexi_score.errors import TranscriptError
from flexi_score.formats.audacity import read_audacity
from flexi_score.formats.chat import read_chat, read_chat_words
from flexi_score.formats.ctm import read_ctm
from flexi_score.formats.delimited import read_delimited, read_delimited_words
from flexi_score.formats.eaf import read_eaf, read_eaf_words
from flexi_score.formats.files import read_text
from flexi_score.formats.json_words import (
    read_json_lines_segments,
    read_json_lines_words,
    read_json_segments,
    read_json_words,
)
from flexi_score.formats.ldc import read_fisher, read_switchboard
from flexi_score.formats.rttm import read_rttm
from flexi_score.formats.stm import read_stm
from flexi_score.formats.subtitles import read_subtitle_words, read_subtitles
from flexi_score.formats.textgrid import read_textgrid, read_textgrid_words
from flexi_score.formats.timed import Timed
from flexi_score.formats.transcriber import read_transcriber
from flexi_score.formats.whose import Whose

_Reader = Callable[[Path, Whose], list[Timed]]


class Format(NamedTuple):
    """A file format.

    Attributes
    ----------
    extensions : tuple of str
    starts : str
        How its content starts (a regular expression), for files whose extension does not tell.
    segments, words : callable or None
        Its readers; None where it is only written.
    export : str or None
        What ``flexi-score export --format`` calls it; None where it is only read.
    holds : str
        What it holds of a recording.
    times : str
        Resolution of its times, as it is written and read.
    whose : str
        What of it says whose an entry is; "" where it is only written.
    """

    extensions: tuple[str, ...]
    starts: str
    segments: _Reader | None
    words: _Reader | None
    export: str | None
    holds: str
    times: str
    whose: str


_NUMBER: Final = r"[0-9.]+"
_MS: Final = "1 ms"
_STAMP: Final = r"(\d+:)?\d\d?:\d\d[.,]\d"
#: Known formats, by name: the one registry of what is read and written.
FORMATS: Final[dict[str, Format]] = {
    "JSON": Format(
        (".json",),
        r"\s*[\[{]",
        read_json_segments,
        read_json_words,
        None,
        "words, speech: FLEXI, WhisperX, faster-whisper, Whisper, NeMo, SegLST; services below",
        _MS,
        "speaker, speaker_id, speaker_name, role, participant, party, source or channel of an item",
    ),
    "JSON Lines": Format(
        (".jsonl", ".ndjson"),
        r"(?!)",
        read_json_lines_segments,
        read_json_lines_words,
        "jsonl",
        "every event, word, annotation and decided moment; NeMo manifests are read",
        _MS,
        "speaker or label of a line",
    ),
    "TextGrid": Format(
        (".textgrid",),
        r'\s*(File type = )?"ooTextFile"',
        read_textgrid,
        read_textgrid_words,
        "textgrid",
        "a tier each of speech, words, turns, pauses, ..., annotations, moments",
        _MS,
        "names of tiers",
    ),
    "ELAN": Format(
        (".eaf",),
        r"\s*(<\?xml[^>]*>\s*)?<ANNOTATION_DOCUMENT\b",
        read_eaf,
        read_eaf_words,
        "eaf",
        "a tier each of speech, words, turns, pauses, ..., annotations, moments",
        _MS,
        "names of tiers",
    ),
    "RTTM": Format(
        (".rttm",),
        r"\s*(SPEAKER|SPKR-INFO) ",
        read_rttm,
        read_rttm,
        "rttm",
        "speech",
        _MS,
        "the speaker's name",
    ),
    "Switchboard": Format(
        (".text",),
        r"\s*sw\d+[AB]-ms98-a-\d+\s",
        read_switchboard,
        read_switchboard,
        None,
        "speech, phrases or words of a side, as ISIP transcribed them",
        _MS,
        "the side, A (channel 0) or B",
    ),
    "Fisher": Format(
        (),
        rf"(#.*\n|\s*\n)*{_NUMBER} +{_NUMBER} +[AB]\d?:",
        read_fisher,
        read_fisher,
        None,
        "speech, phrases",
        "10 ms",
        "the side, A (channel 0) or B",
    ),
    "Transcriber": Format(
        (".trs",),
        r"\s*(<\?xml[^>]*>\s*)?<!DOCTYPE Trans\b",
        read_transcriber,
        read_transcriber,
        None,
        "speech, phrases",
        _MS,
        "the speaker's name or id",
    ),
    "CHAT": Format(
        (".cha",),
        r"@(UTF8|Begin|Window|Font|PID)\b",
        read_chat,
        read_chat_words,
        None,
        "speech, phrases with time bullets; words of the tier %wor",
        _MS,
        "the speaker's code, name or role in @Participants",
    ),
    "CTM": Format(
        (".ctm",),
        rf"\s*(;;|\S+[ \t]+\S+[ \t]+{_NUMBER}[ \t]+{_NUMBER}[ \t]+\S)",
        read_ctm,
        read_ctm,
        "ctm",
        "words",
        _MS,
        "the channel's or the file's name",
    ),
    "STM": Format(
        (".stm",),
        rf"\s*\S+[ \t]+\S+[ \t]+\S+[ \t]+{_NUMBER}[ \t]+{_NUMBER}([ \t]|$)",
        read_stm,
        read_stm,
        None,
        "speech, phrases",
        _MS,
        "the speaker's, channel's or file's name",
    ),
    "CSV or TSV": Format(
        (".csv", ".tsv"),
        r"[^\n]*\bstart\w*\b[^\n]*\bend",
        read_delimited,
        read_delimited_words,
        "csv",
        "every event, word, annotation and decided moment",
        _MS,
        "a column speaker, speaker_id, speaker_name, spk, role, party, participant, who or channel",
    ),
    "Audacity labels": Format(
        (),
        rf"\s*{_NUMBER}\t{_NUMBER}",
        read_audacity,
        read_audacity,
        "audacity",
        "a file each of speech, words and events",
        _MS,
        "the label, or a name and a colon before it",
    ),
    "WebVTT": Format(
        (".vtt",),
        r"WEBVTT",
        read_subtitles,
        read_subtitle_words,
        "webvtt",
        "speech, phrases",
        _MS,
        "voice tags, or a name and a colon before a cue",
    ),
    "SubRip": Format(
        (".srt",),
        rf"\s*\d+\s*\n\s*{_STAMP}",
        read_subtitles,
        read_subtitle_words,
        None,
        "speech, phrases",
        _MS,
        "a name and a colon before a cue",
    ),
    "pyannote": Format(
        (".rttm", ".uem"),
        r"(?!)",
        None,
        None,
        "pyannote",
        "speech, and what was annotated: RTTM and UEM, as pyannote.database loads them",
        _MS,
        "",
    ),
    "Lhotse": Format(
        (".jsonl.gz",),
        r"(?!)",
        None,
        None,
        "lhotse",
        "recordings; speech as supervisions, aligned with its words",
        _MS,
        "",
    ),
}

#: Formats whose entries are words, never labels of a segmentation.
OF_WORDS: Final = frozenset(
    {"JSON", "JSON Lines", "CTM", "Switchboard", "Fisher", "CHAT", "Transcriber"}
)
#: Formats with an entry per line, which can be cut without anything else in them being wrong.
OF_LINES: Final = frozenset(
    {"RTTM", "CTM", "STM", "CSV or TSV", "Audacity labels", "WebVTT", "SubRip"}
    | {"Switchboard", "Fisher", "CHAT"}
)


def format_of(path: Path) -> tuple[str, Format]:
    """Name and format of a file, by its extension, else by how its content starts.

    Raises
    ------
    TranscriptError
        Where it cannot be read, or is in none that is known.
    """
    suffix = path.suffix.lower()
    for name, known in FORMATS.items():
        if suffix in known.extensions:
            return name, known
    text = read_text(path, TranscriptError)
    if not text.strip() and suffix == ".txt":
        return "Audacity labels", FORMATS["Audacity labels"]
    for name, known in FORMATS.items():
        if re.match(known.starts, text):
            return name, known
    known_names = ", ".join(name for name, known in FORMATS.items() if known.words)
    raise TranscriptError(
        f"{path}: in no known format of transcripts or segments; known: {known_names}"
    )
