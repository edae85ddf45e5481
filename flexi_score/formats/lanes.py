"""Lanes of a timeline as tiers of an annotation file, there and back.

A recording is annotated in lanes: ``user`` (its IPUs), ``user words``, ``gaps``, ... A tier of
TextGrid or ELAN holds no two entries that overlap and none without duration, words may be both.
So what does not fit a lane's tier goes into further ones, ``user words (2)``, and what has no
duration into ``user words (points)``; readers put the tiers of a lane together again.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from flexi_score.formats.nonspeech import as_word
from flexi_score.formats.timed import Timed
from flexi_score.formats.whose import Whose
from flexi_score.schema import SPEAKERS

#: Stands for speech without words where a blank label is silence; it counts as no word.
WORDLESS: Final = "-"

#: What XML, and most programs, cannot hold: control characters other than tab and newline.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_FURTHER: Final = re.compile(r"\s*\((?:[0-9]+|points(?: [0-9]+)?)\)$")


class Lane(NamedTuple):
    """A lane: its name and its entries, in any order."""

    name: str
    entries: Sequence[Timed]


class Tier(NamedTuple):
    """A tier: its name and its entries, sorted; `points` where they have no duration."""

    name: str
    entries: list[Timed]
    points: bool = False


def as_tiers(lane: Lane) -> list[Tier]:
    """The tiers of a lane, at least one; of each, no two entries overlap.

    Points that fall on the same moment are in different tiers, too.
    """
    spans: list[list[Timed]] = [[]]
    points: list[list[Timed]] = []
    said = any(is_lane(lane.name, own) for s in SPEAKERS for own in (s, f"{s} words"))
    for entry in sorted(lane.entries, key=lambda e: e[:2]):
        if said:
            entry = entry._replace(text=as_word(label(entry.text)))
        if entry.end_ms > entry.start_ms:
            tier = next((t for t in spans if not t or t[-1].end_ms <= entry.start_ms), None)
            into = spans
        else:
            tier = next((t for t in points if t[-1].start_ms < entry.start_ms), None)
            into = points
        if tier is None:
            into.append([entry])
        else:
            tier.append(entry)
    if points and not spans[0]:
        spans = []
    tiers = [
        Tier(lane.name if i == 1 else f"{lane.name} ({i})", entries)
        for i, entries in enumerate(spans, 1)
    ]
    return tiers + [
        Tier(f"{lane.name} (points)" if i == 1 else f"{lane.name} (points {i})", entries, True)
        for i, entries in enumerate(points, 1)
    ]


def is_points(name: str) -> bool:
    """Whether a tier of this name holds the points of a lane."""
    match = _FURTHER.search(name.strip().lower())
    return match is not None and "points" in match[0]


def is_lane(name: str, lane: str) -> bool:
    """Whether a tier of this name holds entries of a lane."""
    return _FURTHER.sub("", name.strip().lower()) == lane


def own_tiers(names: Sequence[str], whose: Whose, *, words: bool) -> list[int] | None:
    """Which tiers are a party's, by their names.

    Parameters
    ----------
    names : sequence of str
        Of all tiers: ``user``, ``user words``, ``agent - words`` (MFA), ...
    whose : Whose
    words : bool
        Whether words are wanted (``user words`` before ``user``) or speech (the other way).

    Returns
    -------
    list of int or None
        None where the names do not tell: no tier is named after the speaker, or two are alike.
    """
    speaker = whose.speaker
    if speaker is None:
        return None
    lanes = [_lane(name, whose) for name in names]
    wanted = [f"{speaker} words", speaker] if words else [speaker, f"{speaker} words"]
    for lane in wanted:
        tiers = [i for i, name in enumerate(lanes) if name == lane]
        if tiers:
            alike = len({_FURTHER.sub("", names[i].strip().lower()) for i in tiers}) > 1
            alike |= len({names[i].strip().lower() for i in tiers}) < len(tiers)
            return None if alike else tiers
    return None


def names_speakers(names: Sequence[str], whose: Whose) -> bool:
    """Whether any tier is named after a party."""
    lanes = {_lane(name, whose) for name in names}
    return any(s in lanes or f"{s} words" in lanes for s in SPEAKERS)


def _lane(name: str, whose: Whose) -> str:
    """The lane of a tier: a party, ``party words``, or else its name in lower case."""
    plain = _FURTHER.sub("", name.strip().lower())
    head = re.fullmatch(r"(.*?)[\s_:.-]+words?", plain)
    party = whose.party_of(head[1] if head else plain)
    if party is not None:
        return f"{party} words" if head else party
    return " ".join(plain.replace("_", " ").replace("-", " ").split())


def clean(text: str) -> str:
    """Text as every format can hold it: no control characters, lines ended by ``\\n`` alone."""
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str | None) -> str:
    """Clean text with each run of white space as one space; :data:`WORDLESS` where it is blank."""
    return " ".join(clean(text or "").split()) or WORDLESS


def label(text: str | None) -> str:
    """Clean text, or :data:`WORDLESS` where it is blank."""
    text = clean(text or "").strip()
    return text or WORDLESS


def seconds(ms: int) -> str:
    """Milliseconds as a decimal number of seconds, exactly."""
    return f"{ms // 1000}.{ms % 1000:03d}"
