"""Transcript, segment and manifest files that users bring, one module a format.

:func:`read_words` and :func:`read_segments` choose the format by extension, else by content.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from flexi_score.errors import TranscriptError
from flexi_score.formats.audacity import read_audacity
from flexi_score.formats.ctm import read_ctm
from flexi_score.formats.delimited import read_delimited
from flexi_score.formats.eaf import read_eaf
from flexi_score.formats.files import read_text
from flexi_score.formats.json_words import read_json_segments, read_json_words
from flexi_score.formats.rttm import read_rttm
from flexi_score.formats.text import word_counts
from flexi_score.formats.textgrid import read_textgrid
from flexi_score.formats.timed import Timed, segments_frame, words_frame

__all__ = ["FORMATS", "read_segments", "read_words", "word_counts"]

_Reader = Callable[[Path, str | None], list[Timed]]


class Format(NamedTuple):
    """A file format: its extensions, how its content starts, and its readers."""

    extensions: tuple[str, ...]
    starts: str
    segments: _Reader
    words: _Reader


_NUMBER: Final = r"[0-9.]+"
#: Known formats, by name. ``starts`` is matched where the extension does not tell.
FORMATS: Final[dict[str, Format]] = {
    "JSON": Format((".json",), r"\s*[\[{]", read_json_segments, read_json_words),
    "TextGrid": Format(
        (".textgrid",), r'\s*(File type = )?"ooTextFile"', read_textgrid, read_textgrid
    ),
    "ELAN": Format((".eaf",), r"\s*(<\?xml[^>]*>\s*)?<ANNOTATION_DOCUMENT\b", read_eaf, read_eaf),
    "RTTM": Format((".rttm",), r"\s*(SPEAKER|SPKR-INFO) ", read_rttm, read_rttm),
    "CTM": Format(
        (".ctm",),
        rf"\s*(;;|\S+[ \t]+\S+[ \t]+{_NUMBER}[ \t]+{_NUMBER}[ \t]+\S)",
        read_ctm,
        read_ctm,
    ),
    "CSV or TSV": Format(
        (".csv", ".tsv"), r"[^\n]*\bstart\w*\b[^\n]*\bend", read_delimited, read_delimited
    ),
    "Audacity labels": Format((), rf"\s*{_NUMBER}\t{_NUMBER}", read_audacity, read_audacity),
}


def read_words(path: str | Path, speaker: str | None = None) -> pl.DataFrame:
    """Timed words of one speaker.

    Parameters
    ----------
    path : str or Path
        JSON of a recogniser, TextGrid, ELAN, CTM, CSV with a word column, or Audacity labels.
    speaker : {"user", "model"}, optional
        Whose words, where the file has several speakers' or tiers.

    Returns
    -------
    polars.DataFrame
        ``start_ms, end_ms, text``, sorted; one row an entry of the file, which may be a phrase
        or one character (:func:`flexi_score.formats.text.word_counts` says how many words).

    Raises
    ------
    TranscriptError
        Where the file is missing or malformed (naming the line or item), has no words, or leaves
        open whose they are.
    """
    path = Path(path)
    return words_frame(path, _format_of(path).words(path, speaker))


def read_segments(path: str | Path, speaker: str | None = None) -> pl.DataFrame:
    """Stretches of one speaker's speech.

    Parameters
    ----------
    path : str or Path
        RTTM, TextGrid, ELAN, CSV or TSV, Audacity labels, JSON, or a file of words, whose times
        serve.
    speaker : {"user", "model"}, optional
        Whose speech, where the file has several speakers or tiers.

    Returns
    -------
    polars.DataFrame
        ``start_ms, end_ms``, sorted; those without duration are dropped, none are merged.

    Raises
    ------
    TranscriptError
        As :func:`read_words`.
    """
    path = Path(path)
    return segments_frame(_format_of(path).segments(path, speaker))


def _format_of(path: Path) -> Format:
    suffix = path.suffix.lower()
    for known in FORMATS.values():
        if suffix in known.extensions:
            return known
    text = read_text(path, TranscriptError)
    if not text.strip() and suffix == ".txt":
        return FORMATS["Audacity labels"]
    for known in FORMATS.values():
        if re.match(known.starts, text):
            return known
    raise TranscriptError(
        f"{path}: in no known format of transcripts or segments; known: {', '.join(FORMATS)}"
    )
