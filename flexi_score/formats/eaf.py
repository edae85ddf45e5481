"""Speech and words from ELAN (``.eaf``): time-aligned annotations of one tier.

The file is read as a stream of XML events. A document type or an entity declaration ends the
reading: ELAN writes neither, and entities can multiply a file or reach for others.
"""

from pathlib import Path
from typing import Final
from xml.parsers import expat

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import MAX_SECONDS, brief, name_some, read_text
from flexi_score.formats.timed import Timed
from flexi_score.schema import SPEAKERS

_LATEST_MS: Final = MAX_SECONDS * 1000


def read_eaf(path: Path, speaker: str | None = None) -> list[Timed]:
    """Aligned annotations of the tier named after the speaker, or of the only tier that has any.

    An annotation without text counts as speech: in ELAN silence is where there is no annotation.

    Raises
    ------
    TranscriptError
        Where the file is malformed, declares entities, has an annotation without a time, or it is
        open which tier is meant.
    """
    found = _Reader(path)
    found.read(read_text(path, TranscriptError))
    named = [name for name in found.tiers if name.strip().lower() == speaker]
    other = any(name.strip().lower() in SPEAKERS for name in found.tiers)
    aligned = [name for name, entries in found.tiers.items() if entries]
    if len(named) == 1:
        return [_aligned(path, found.slots, *entry) for entry in found.tiers[named[0]]]
    if len(aligned) == 1 and (speaker is None or not other):
        return [_aligned(path, found.slots, *entry) for entry in found.tiers[aligned[0]]]
    tiers = f"tiers {name_some(found.tiers)}" if found.tiers else "no tier"
    wanted = f"one named {speaker!r}" if speaker else "one with time-aligned annotations"
    raise TranscriptError(f"{path}: found {tiers}, expected {wanted}; rename the tier in ELAN")


#: Line, annotation id, first and last time slot, text.
_Entry = tuple[int, str, str, str, str]


def _aligned(
    path: Path, slots: dict[str, int | None], line: int, name: str, first: str, last: str, text: str
) -> Timed:
    place = f"{path}, line {line} (annotation {brief(name)})"
    times = []
    for slot in (first, last):
        if slot not in slots:
            raise TranscriptError(
                f"{place}: time slot {brief(slot)} is not in the file's TIME_ORDER"
            )
        time_ms = slots[slot]
        if time_ms is None:
            raise TranscriptError(
                f"{place}: time slot {brief(slot)} has no TIME_VALUE; align the annotation in ELAN"
            )
        times.append(time_ms)
    if times[1] < times[0]:
        raise TranscriptError(f"{place}: ends at {times[1]} ms, before its start at {times[0]} ms")
    return Timed(times[0], times[1], text)


class _Reader:
    """Collects time slots and the aligned annotations of every tier."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.slots: dict[str, int | None] = {}
        self.tiers: dict[str, list[_Entry]] = {}
        self._tier: list[_Entry] | None = None
        self._entry: tuple[int, str, str, str] | None = None
        self._text: list[str] | None = None
        self._depth = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self, text: str) -> None:
        """Read the whole document."""
        try:
            # Decoded already: expat is told so, whatever the declaration says.
            self._parser.Parse(text, True)
        except expat.ExpatError as cause:
            reason = expat.errors.messages.get(cause.code, str(cause.code))
            raise TranscriptError(
                f"{self._path}, line {cause.lineno}: not valid XML ({reason}); "
                "save it again from ELAN"
            ) from None

    def _fault(self, text: str) -> TranscriptError:
        return TranscriptError(f"{self._path}, line {self._parser.CurrentLineNumber}: {text}")

    def _refuse(self, *_: object) -> None:
        raise self._fault("found a document type or entity declaration, which an .eaf never has")

    def _need(self, attributes: dict[str, str], name: str, element: str) -> str:
        if name not in attributes:
            raise self._fault(f"{element} has no {name}")
        return attributes[name]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and name != "ANNOTATION_DOCUMENT":
            raise self._fault(f"found <{brief(name)}>, expected <ANNOTATION_DOCUMENT> of ELAN")
        self._depth += 1
        if name == "HEADER" and attributes.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise self._fault(f"TIME_UNITS is {brief(attributes['TIME_UNITS'])}, expected "
                              "'milliseconds'")  # fmt: skip
        elif name == "TIME_SLOT":
            slot = self._need(attributes, "TIME_SLOT_ID", name)
            self.slots[slot] = self._time(attributes.get("TIME_VALUE"))
        elif name == "TIER":
            tier = self._need(attributes, "TIER_ID", name)
            if tier in self.tiers:
                raise self._fault(f"tier {brief(tier)} is given twice")
            self._tier = self.tiers[tier] = []
        elif name == "ALIGNABLE_ANNOTATION":
            self._entry = (
                self._parser.CurrentLineNumber,
                attributes.get("ANNOTATION_ID", "?"),
                self._need(attributes, "TIME_SLOT_REF1", name),
                self._need(attributes, "TIME_SLOT_REF2", name),
            )
            self._text = []

    def _end(self, name: str) -> None:
        self._depth -= 1
        if name == "ALIGNABLE_ANNOTATION" and self._entry is not None:
            if self._tier is None:
                raise self._fault("found an annotation outside of every TIER")
            self._tier.append((*self._entry, "".join(self._text or ()).strip()))
            self._entry = self._text = None
        elif name == "TIER":
            self._tier = None

    def _characters(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def _time(self, value: str | None) -> int | None:
        if value is None:
            return None
        if not (value.isascii() and value.isdecimal() and int(value[:20]) <= _LATEST_MS):
            raise self._fault(f"TIME_VALUE is {brief(value)}, expected milliseconds, 0 or more")
        return int(value)
