"""CHAT (``.cha``, talkbank.org/manuals/CHAT.html): utterances by their time bullets.

A bullet, ``start_end`` in milliseconds between two control characters (U+0015), follows what it is
the time of. Words are read from the tier ``%wor`` where an utterance has one, which gives each word
a bullet; else an utterance is one entry of several words.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import brief, read_text
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label

_BULLET: Final = re.compile('\x15(?:%snd:"[^"]*"_)?(\\d+)_(\\d+)\x15')
#: What is no word: codes in brackets, events, pauses, linkers and terminators, omitted words.
_NO_WORDS: Final = re.compile(
    r"\[[^\]]*\]|&=\S+|\((?:\.+|[\d.:]+)\)|(?<!\S)(?:[+‡„,.?!;:]\S*|0\S*)(?!\S)|[<>‹›]"
)


def read_chat(path: Path, whose: Whose = ANYONE, *, words: bool = False) -> list[Timed]:
    """Utterances of a speaker: of the one whose code, name or role (``@Participants``) tells.

    Raises
    ------
    TranscriptError
        For an utterance without a time bullet, or where it is open who is meant.
    """
    entries: list[Timed] = []
    labels: list[str] = []
    known: dict[str, list[str]] = {}
    lines = list(_tiers(read_text(path, TranscriptError)))
    if not any(tier.startswith("*") for _, tier, _ in lines):
        raise TranscriptError(f"{path}: found no utterance (*CODE:), expected CHAT")
    for at, (number, tier, text) in enumerate(lines):
        if tier == "@Participants":
            known = {p.split()[0]: p.split() for p in text.split(",") if p.split()}
        if not tier.startswith("*"):
            continue
        code = tier[1:]
        of_words = next((t for _, name, t in _dependent(lines[at + 1 :]) if name == "%wor"), None)
        pieces = list(_pieces(path, number, text if of_words is None or not words else of_words))
        entries += pieces
        parties = [name for name in known.get(code, ()) if whose.party_of(name)]
        labels += [parties[0] if parties and not whose.party_of(code) else code] * len(pieces)
    own = choose_label(path, "speakers", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


def read_chat_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_chat`, words rather than speech."""
    return read_chat(path, whose, words=True)


def _tiers(text: str) -> Iterator[tuple[int, str, str]]:
    """Line, name and content of each header, utterance and dependent tier."""
    number, tier, content = 0, "", ""
    for at, line in enumerate([*text.split("\n"), "@End"], 1):
        if line.startswith(("\t", " ")) and tier:  # goes on from the line above
            content += " " + line.strip()
        elif line.strip():
            if tier:
                yield number, tier, content
            head, _, content = line.partition(":")
            number, tier = at, head.strip()


def _dependent(lines: list[tuple[int, str, str]]) -> Iterator[tuple[int, str, str]]:
    for line in lines:
        if not line[1].startswith("%"):
            return
        yield line


def _pieces(path: Path, number: int, text: str) -> Iterator[Timed]:
    """What of a tier is said, each piece with the times of the bullet after it."""
    at = 0
    for bullet in _BULLET.finditer(text):
        said, at = _said(text[at : bullet.start()]), bullet.end()
        if said:
            start, end = (f"{ms}e-3" for ms in bullet.groups())
            yield timed(path, f"line {number}", start, end, said)
    if rest := _said(text[at:]):
        raise TranscriptError(
            f"{path}, line {number}: {brief(rest)} has no time bullet; link the utterance to its "
            "audio in CLAN"
        )


def _said(text: str) -> str:
    plain = _NO_WORDS.sub(" ", text).replace("(", "").replace(")", "")
    return " ".join(re.sub(r"^&[-+~]|@\S*$", "", token) for token in plain.split())
