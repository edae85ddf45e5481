"""Speech from RTTM (NIST): ``SPEAKER file channel start duration <NA> <NA> label <NA> <NA>``."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.lanes import seconds
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label
from flexi_score.schema import Speaker

#: A line with spaces in the names of its file or speaker: two ``<NA>`` stand between them.
_SPACED: Final = re.compile(
    r"SPEAKER\s+(\S.*?)\s+(\S+)\s+([0-9.]+)\s+([0-9.]+)\s+(<NA>)\s+(<NA>)\s+"
    r"(\S.*?)(?:\s+(?:<NA>|[0-9.]+)){0,2}"
)


#: Types of line that say nothing about who speaks when (NIST RT-09 evaluation plan).
_OTHER_LINES: Final = frozenset(
    [
        "SEGMENT",
        "NOSCORE",
        "NO_RT_METADATA",
        "LEXEME",
        "NON-LEX",
        "NON-SPEECH",
        "FILLER",
        "EDIT",
        "SU",
        "IP",
        "CB",
        "A/P",
        "SPKR-INFO",
    ]
)


def read_rttm(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Segments of one speaker of one file. An empty file is one without speech.

    Raises
    ------
    TranscriptError
        For a malformed line, several files, or labels that leave the speaker open.
    """
    entries, labels, files = _read_lines(path)
    if len(set(files)) > 1:
        raise TranscriptError(
            f"{path}: found files {name_some(dict.fromkeys(files))}, expected one; split the RTTM "
            "into one a recording"
        )
    own = choose_label(path, "speakers", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def read_rttm_files(path: Path, speaker: Speaker) -> dict[str, list[Timed]]:
    """Segments of one speaker in every file that an RTTM speaks of, by the file's name.

    Raises
    ------
    TranscriptError
        As :func:`read_rttm`, each file looked at alone.
    """
    entries, labels, files = _read_lines(path)
    by_file: dict[str, list[Timed]] = {}
    places: dict[str, list[int]] = {}
    for number, name in enumerate(files):
        places.setdefault(name, []).append(number)
    for name, numbers in places.items():
        whose = Whose(speaker, shared=True)
        own = choose_label(path, f"speakers of {name!r}", [labels[i] for i in numbers], whose)
        by_file[name] = [entries[i] for i, keep in zip(numbers, own, strict=True) if keep]
    return by_file


def rttm_text(name: str, speech: Mapping[Speaker, Sequence[Timed]]) -> str:
    """Speech of each speaker as RTTM, sorted by start. `name` and speakers have no white space."""
    rows = sorted((e.start_ms, e.end_ms, who) for who, entries in speech.items() for e in entries)
    return "".join(
        f"SPEAKER {name} 1 {seconds(start)} {seconds(end - start)} <NA> <NA> {who} <NA> <NA>\n"
        for start, end, who in rows
    )


def _read_lines(path: Path) -> tuple[list[Timed], list[str], list[str]]:
    """Segments of an RTTM, their speakers' labels and their files."""
    entries, labels, files = [], [], []
    for number, line in enumerate(read_text(path, TranscriptError).split("\n"), 1):
        fields = line.split()
        if not fields or fields[0].startswith(";"):
            continue
        if fields[0] in _OTHER_LINES:
            continue
        spaced = _SPACED.fullmatch(line.strip()) if len(fields) > 10 else None
        if spaced:  # names with spaces in them
            fields = ["SPEAKER", *spaced.groups()]
        if fields[0] != "SPEAKER" or not 8 <= len(fields) <= 10:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected SPEAKER, file, "
                "channel, start, duration, <NA>, <NA>, label"
            )
        start, end = add_duration(path, number, fields[3], fields[4])
        entries.append(timed(path, f"line {number}", start, end))
        files.append(fields[1])
        labels.append(fields[7])
    return entries, labels, files


def add_duration(path: Path, number: int, start: str, duration: str) -> tuple[str, str]:
    """Start and end, as text, from start and duration; exact.

    Raises
    ------
    TranscriptError
        Where the duration is negative or one of the two is no number.
    """
    try:
        length = Decimal(duration)
        end = Decimal(start) + length
        if length < 0 or not end.is_finite():
            raise InvalidOperation
    except InvalidOperation:
        raise TranscriptError(
            f"{path}, line {number}: found start {start!r} and duration {duration!r}, expected "
            "seconds, 0 or more"
        ) from None
    return start, f"{end:f}"
