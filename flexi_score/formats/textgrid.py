"""Praat TextGrids: words and speech from both text formats; lanes into the long one.

As in Praat, a text file's values are its quoted strings (a quote inside is doubled), its
free-standing numbers and its ``<flags>``; all other words are decoration. So one reader serves
both formats.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import name_some, read_text
from flexi_score.formats.lanes import (
    Lane,
    Tier,
    as_tiers,
    clean,
    label,
    names_speakers,
    own_tiers,
    seconds,
)
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, require_labels

_VALUE = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"'
    r"|(?<!\S)(?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)(?!\S)"
    r"|(?<!\S)<(?P<flag>\w+)>(?!\S)"
    r"|(?<!\S)!.*"
)


def read_textgrid(path: Path, whose: Whose = ANYONE, *, words: bool = False) -> list[Timed]:
    """Labelled intervals of the tier named after the speaker, or of the only interval tier.

    Where there is a tier ``user words`` as well as ``user``, words are read from it, and speech
    from the other. Points of a tier ``user words (points)`` are words without duration.

    Raises
    ------
    TranscriptError
        Where the file is malformed, or it is open which tier is meant.
    """
    tiers = read_tiers(path)
    names = [tier.name for tier in tiers]
    own = own_tiers(names, whose, words=words)
    if own is not None:
        return [entry for i in own for entry in tiers[i].entries]
    intervals = [tier for tier in tiers if not tier.points]
    only = _unnamed_tier(intervals, names, whose)
    if only is not None:
        require_labels(path, len(only.entries), whose, f"its tier {only.name!r} does not say")
        return only.entries
    listed = f"tiers {name_some(tier.name for tier in intervals)}" if intervals else "no tier"
    wanted = f"one named {whose.speaker!r}" if whose.speaker else "one"
    raise TranscriptError(
        f"{path}: found interval {listed}, expected {wanted}; rename the tier, or say whose the "
        'tiers are with --speakers or the manifest\'s "speakers"'
    )


def _unnamed_tier(intervals: list[Tier], names: Sequence[str], whose: Whose) -> Tier | None:
    """The tier to read of a file whose tiers are not named after parties."""
    if whose.speaker is not None and names_speakers(names, whose):
        return None
    # The aligner's tiers of a file of one speaker (MFA): phones divide the words.
    plain = {tier.name.strip().lower(): tier for tier in intervals}
    if set(plain) == {"words", "phones"}:
        return plain["words"]
    return intervals[0] if len(intervals) == 1 else None


def read_textgrid_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_textgrid`, words rather than speech."""
    return read_textgrid(path, whose, words=True)


def textgrid_text(lanes: Sequence[Lane], end_ms: int) -> str:
    """Lanes as a TextGrid in the long text format.

    Intervals tile their tier, as Praat wants it: silence between two is an interval without a
    label. An entry with a blank text is labelled ``-``.

    Parameters
    ----------
    lanes : sequence of Lane
    end_ms : int
        End of the recording; the grid ends later where an entry does.
    """
    tiers = [tier for lane in lanes for tier in as_tiers(lane)]
    last = max([end_ms, 1, *(entry.end_ms for tier in tiers for entry in tier.entries)])
    span = ["xmin = 0 ", f"xmax = {seconds(last)} "]
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        *span,
        "tiers? <exists> ",
        f"size = {len(tiers)} ",
        "item []: ",
    ]
    for number, tier in enumerate(tiers, 1):
        kind = "TextTier" if tier.points else "IntervalTier"
        lines += [
            f"    item [{number}]:",
            f'        class = "{kind}" ',
            f"        name = {_quoted(tier.name)} ",
            *(f"        {line}" for line in span),
        ]
        lines += _points(tier.entries) if tier.points else _tiles(tier.entries, last)
    return "\n".join(lines) + "\n"


def _tiles(entries: Sequence[Timed], last: int) -> list[str]:
    tiles, at = [], 0
    for start, end, text, *_ in entries:
        if start > at:
            tiles.append((at, start, ""))
        tiles.append((start, end, label(text)))
        at = end
    if at < last:
        tiles.append((at, last, ""))
    lines = [f"        intervals: size = {len(tiles)} "]
    for number, (start, end, text) in enumerate(tiles, 1):
        lines += [
            f"        intervals [{number}]:",
            f"            xmin = {seconds(start)} ",
            f"            xmax = {seconds(end)} ",
            f"            text = {_quoted(text)} ",
        ]
    return lines


def _points(entries: Sequence[Timed]) -> list[str]:
    lines = [f"        points: size = {len(entries)} "]
    for number, (at, _, text, *_) in enumerate(entries, 1):
        lines += [
            f"        points [{number}]:",
            f"            number = {seconds(at)} ",
            f"            mark = {_quoted(label(text))} ",
        ]
    return lines


def _quoted(text: str) -> str:
    return '"' + clean(text).replace('"', '""') + '"'


def read_end(path: Path) -> str:
    """The ``xmax`` of a TextGrid, in seconds.

    Raises
    ------
    TranscriptError
        Where the file is malformed.
    """
    return _header(path)[1]


def _header(path: Path) -> tuple["_Values", str]:
    """The values of a TextGrid after its end, and its end."""
    values = _Values(path, read_text(path, TranscriptError))
    kind, content = values.text(), values.text()
    if kind != "ooTextFile" or content != "TextGrid":
        raise TranscriptError(
            f"{path}: found {kind!r} {content!r}, expected a TextGrid saved as text "
            '("ooTextFile" "TextGrid")'
        )
    values.number()
    return values, values.number()


def read_tiers(path: Path) -> list[Tier]:
    """All tiers of a TextGrid; intervals and points with a blank label are left out.

    Raises
    ------
    TranscriptError
        Where the file is malformed.
    """
    values, _ = _header(path)
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
            points = []
            for i in range(1, size + 1):
                at, text = values.number(), values.text()
                where = f"line {values.line} (tier {name!r}, point {i})"
                if text.strip():
                    points.append(timed(path, where, at, at, text))
            tiers.append(Tier(name, points, points=True))
        else:
            raise TranscriptError(
                f"{path}, line {values.line}: found tier class {tier_class!r}, expected "
                "'IntervalTier' or 'TextTier'"
            )
    values.expect_end()
    return tiers


def _intervals(path: Path, values: "_Values", name: str, size: int) -> list[Timed]:
    entries = []
    for i in range(1, size + 1):
        start, end, text = values.number(), values.number(), values.text()
        where = f"line {values.line} (tier {name!r}, interval {i})"
        entry = timed(path, where, start, end, text)
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

    def expect_end(self) -> None:
        """Raise where values follow the last tier: a size above them is wrong."""
        match = next((m for m in self._found if m.lastgroup), None)
        if match is not None:
            line = self._source.count("\n", 0, match.start()) + 1
            raise TranscriptError(
                f"{self._path}, line {line}: found {match[0][:60]} after the last tier, expected "
                "the end of the file; a size above it is too small, or lines were changed"
            )

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
