"""Words and speech from Praat TextGrids, long and short text format.

As in Praat, a text file's values are its quoted strings (a quote inside is doubled), its
free-standing numbers and its ``<flags>``; all other words are decoration. So one reader serves
both formats.
"""

import re
from pathlib import Path
from typing import NamedTuple

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.timed import Timed, timed
from flexi_score.schema import SPEAKERS

_VALUE = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|(?<!\S)(?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(?<!\S)<(?P<flag>\w+)>(?!\S)"
    r"|(?<!\S)!.*"
)


class Tier(NamedTuple):
    """One interval tier: its name and its labelled intervals, blank ones left out."""

    name: str
    entries: list[Timed]


def read_textgrid(path: Path, speaker: str | None = None) -> list[Timed]:
    """Labelled intervals of the tier named after the speaker, or of the only interval tier.

    Raises
    ------
    TranscriptError
        Where the file is malformed, or it is open which tier is meant.
    """
    tiers = read_tiers(path)
    named = [tier for tier in tiers if tier.name.strip().lower() == speaker]
    other = any(tier.name.strip().lower() in SPEAKERS for tier in tiers)
    if len(named) == 1:
        return named[0].entries
    if len(tiers) == 1 and (speaker is None or not other):
        return tiers[0].entries
    found = f"tiers {name_some(tier.name for tier in tiers)}" if tiers else "no tier"
    wanted = f"one named {speaker!r}" if speaker else "one"
    raise TranscriptError(f"{path}: found interval {found}, expected {wanted}; rename the tier")


def read_tiers(path: Path) -> list[Tier]:
    """All interval tiers of a TextGrid.

    Raises
    ------
    TranscriptError
        Where the file is malformed.
    """
    values = _Values(path, read_text(path, TranscriptError))
    kind, content = values.text(), values.text()
    if kind != "ooTextFile" or content != "TextGrid":
        raise TranscriptError(
            f"{path}: found {kind!r} {content!r}, expected a TextGrid saved as text "
            '("ooTextFile" "TextGrid")'
        )
    values.number(), values.number()
    if values.flag() != "exists":
        return []
    tiers = []
    for _ in range(values.count()):
        tier_class, name = values.text(), values.text()
        values.number(), values.number()
        size = values.count()
        if tier_class == "IntervalTier":
            tiers.append(Tier(name, _intervals(path, values, name, size)))
        elif tier_class == "TextTier":
            for _ in range(size):
                values.number(), values.text()
        else:
            raise TranscriptError(
                f"{path}, line {values.line}: found tier class {tier_class!r}, expected "
                "'IntervalTier' or 'TextTier'"
            )
    return tiers


def _intervals(path: Path, values: "_Values", name: str, size: int) -> list[Timed]:
    entries = []
    for i in range(1, size + 1):
        start, end, text = values.number(), values.number(), values.text()
        place = f"line {values.line} (tier {name!r}, interval {i})"
        entry = timed(path, place, start, end, text)
        if text.strip():
            entries.append(entry)
    return entries


class _Values:
    """The values of a TextGrid in order, each asked for by its kind."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._source = text
        self._found = _VALUE.finditer(text)
        self._at = 0

    @property
    def line(self) -> int:
        """Line of the value last read, from 1."""
        return self._source.count("\n", 0, self._at) + 1

    def text(self) -> str:
        """The next value, a quoted string."""
        return self._next("text", "quoted text").replace('""', '"')

    def number(self) -> str:
        """The next value, a number, as text."""
        return self._next("number", "a number")

    def flag(self) -> str:
        """The next value, a flag, without its brackets."""
        return self._next("flag", "<exists>")

    def count(self) -> int:
        """The next value, a whole number of things."""
        number = self.number()
        if not number.isdecimal():
            raise TranscriptError(
                f"{self._path}, line {self.line}: found {number}, expected a count"
            )
        return int(number)

    def _next(self, kind: str, expected: str) -> str:
        match = next((m for m in self._found if m.lastgroup), None)
        if match is None:
            raise TranscriptError(
                f"{self._path}: ends before {expected} that a TextGrid has there; is it cut short?"
            )
        self._at = match.start()
        if match.lastgroup != kind:
            raise TranscriptError(
                f"{self._path}, line {self.line}: found {match[0][:60]}, expected {expected}"
            )
        return match[kind]
