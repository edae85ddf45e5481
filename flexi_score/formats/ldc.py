"""Transcripts of telephone speech from the Linguistic Data Consortium: Switchboard and Fisher.

- Switchboard (ISIP, ``sw2001A-ms98-a-trans.text``, ``-word.text``): a file per side,
  ``sw2001A-ms98-a-0001 0.000000 0.977625 [silence]``
- Fisher (``fe_03_00001.txt``): ``84.86 87.33 A: who turned me onto this``

Side A is on channel 0 of the audio, B on channel 1. Marks of noises inside an utterance are left
out; ``(( ))``, speech that could not be understood, is speech without words.
"""

import re
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label

_SWITCHBOARD: Final = re.compile(
    r"(?P<name>sw\d+)(?P<side>[AB])-ms98-a-\d+\s+(?P<start>\S+)\s+(?P<end>\S+)(?:\s+(?P<text>.*))?"
)
_FISHER: Final = re.compile(
    r"(?P<start>[\d.]+)\s+(?P<end>[\d.]+)\s+(?P<side>[AB])\d?:\s*(?P<text>.*)(?P<name>)"
)
#: Marks of what is no word; words said laughing (``[laughter-yes]``) and alternatives are not.
_NOISE: Final = re.compile(r"\[(?!laughter-)[^\]/]*\]|<[^>]*>")
_LAUGHING: Final = re.compile(r"\[laughter-(.+)\]")


def read_switchboard(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Utterances or words of a side of Switchboard.

    Raises
    ------
    TranscriptError
        For a malformed line, several conversations, or where it is open which side is meant.
    """
    expected = "sw2001A-ms98-a-0001, start, end and text"
    return _read(path, whose, _SWITCHBOARD, expected)


def read_fisher(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Utterances of a side of Fisher.

    Raises
    ------
    TranscriptError
        For a malformed line, or where it is open which side is meant.
    """
    return _read(path, whose, _FISHER, "start, end, A: or B: and text")


def _read(path: Path, whose: Whose, line_of: re.Pattern[str], expected: str) -> list[Timed]:
    entries: list[Timed] = []
    labels: list[str] = []
    names: set[str] = set()
    for number, line in enumerate(read_text(path, TranscriptError).split("\n"), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = line_of.fullmatch(line.strip())
        if match is None:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected {expected}"
            )
        text = _said(match["text"] or "")
        entries.append(timed(path, f"line {number}", match["start"], match["end"], text))
        side, names = match["side"], names | {match["name"]}
        stated = side.casefold() in whose.names or not whose.channels
        labels.append(side if stated else f"channel {'AB'.index(side)}")
    if len(names) > 1:
        raise TranscriptError(
            f"{path}: found conversations {name_some(sorted(names))}, expected one; split the file"
        )
    own = choose_label(path, "sides", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def _said(text: str) -> str:
    """The words of an utterance; where it has only noises, one mark of them."""
    tokens = text.replace("((", " ").replace("))", " ").split()
    words = [_word(token) for token in tokens if not _NOISE.fullmatch(token)]
    return "[noise]" if tokens and not words else " ".join(words)


def _word(token: str) -> str:
    laughing = _LAUGHING.fullmatch(token)
    return re.sub(r"_\d$", "", laughing[1] if laughing else token).strip("{}")
