"""Transcript, segment and manifest files that users bring, one module a format.

:func:`read_words` and :func:`read_segments` read a file of any format in
:data:`flexi_score.formats.registry.FORMATS`.
"""

from pathlib import Path
from typing import Literal, NamedTuple

import polars as pl

from flexi_score.errors import TranscriptError
from flexi_score.formats.eaf import INTERPOLATED
from flexi_score.formats.files import read_text, unended_line
from flexi_score.formats.nonspeech import are_speech, from_word
from flexi_score.formats.plausible import (
    check_order,
    check_spacing,
    refuse_odd_blanks,
    to_seconds,
    without_silence,
)
from flexi_score.formats.registry import OF_LINES, OF_WORDS, format_of
from flexi_score.formats.timed import segments_frame, words_frame
from flexi_score.formats.whose import Whose
from flexi_score.schema import Speaker

__all__ = ["Reading", "read_given", "read_segments", "read_words"]


class Reading(NamedTuple):
    """What was read of a file.

    Attributes
    ----------
    table : polars.DataFrame
        As :func:`read_words` or :func:`read_segments` returns it.
    notes : list of str
        What the user should know of how it was read.
    """

    table: pl.DataFrame
    notes: list[str]


def read_words(path: str | Path, speaker: Speaker | None = None) -> pl.DataFrame:
    """Timed words of one speaker.

    Parameters
    ----------
    path : str or Path
        JSON of a recogniser, TextGrid, ELAN, CTM, CSV with a word column, Audacity labels; or
        STM, SegLST, WebVTT or SubRip, whose entries are phrases.
    speaker : {"user", "model"}, optional
        Whose words, where the file has several speakers' or tiers.

    Returns
    -------
    polars.DataFrame
        ``start_ms, end_ms, text``, sorted; one row per entry of the file, which may be a phrase
        or one character (:func:`flexi_score.formats.text.word_counts` says how many words).

    Raises
    ------
    TranscriptError
        Where the file is missing or malformed (naming the line or item), has no words, or leaves
        open whose they are.
    """
    return read_given(Path(path), "words", Whose(speaker), has_audio=True).table


def read_segments(path: str | Path, speaker: Speaker | None = None) -> pl.DataFrame:
    """Stretches of one speaker's speech.

    Parameters
    ----------
    path : str or Path
        RTTM, TextGrid, ELAN, CSV or TSV, Audacity labels, JSON, STM, WebVTT or SubRip, or a file
        of words, whose times serve.
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
    return read_given(Path(path), "segments", Whose(speaker), has_audio=True).table


def read_given(
    path: Path, kind: Literal["words", "segments"], whose: Whose, *, has_audio: bool
) -> Reading:
    """Words or speech of a party, and what is odd about the file.

    ``has_audio``: whether the recording has audio, against which the clock of the file is checked
    later. Without it, times that cannot be seconds are converted here.

    Raises
    ------
    TranscriptError
        As :func:`read_words`, and where the times are not those of speech.
    """
    name, known = format_of(path)
    text = read_text(path, TranscriptError) if name in OF_LINES else ""
    refuse_odd_blanks(path, text)
    reader = known.words if kind == "words" else known.segments
    if reader is None:
        raise TranscriptError(f"{path}: in a format that is only written, not read")
    entries = reader(path, whose)
    labelled = name not in OF_WORDS
    speech = are_speech(path, [entry.text for entry in entries], labels=labelled)
    entries = [e for e, keep in zip(entries, speech, strict=True) if keep]
    entries = [e if e.text is None else e._replace(text=from_word(e.text)) for e in entries]
    entries, silence = without_silence(path, entries, labels=labelled and kind == "segments")
    notes = [*silence, *check_order(path, entries)]
    if between := [entry.place for entry in entries if entry.place.endswith(INTERPOLATED)]:
        notes.append(
            f"{between[0].removesuffix(INTERPOLATED)}: a time slot without a time was put evenly "
            f"between its neighbours in the tier, as ELAN shows it ({len(between)} annotations)"
        )
    if line := unended_line(text):
        notes.append(f"line {line}: is the last and has no line end; is the file cut short?")
    if entries and not any(entry.end_ms > entry.start_ms for entry in entries):
        notes.append("all its entries end where they start, so no speech is known from them")
        if not has_audio:
            raise TranscriptError(f"{path}: {notes[-1]}; expected durations")
    elif kind == "segments" and (empty := [e for e in entries if e.end_ms <= e.start_ms]):
        notes.append(f"{empty[0].place}: ends where it starts, so it is no speech ({len(empty)})")
    if not has_audio:
        entries, converted = to_seconds(path, entries)
        notes += [*converted, *check_spacing(entries)]
    table = words_frame(path, entries) if kind == "words" else segments_frame(entries)
    return Reading(table, [f"{path.name}: {note}" for note in notes])
