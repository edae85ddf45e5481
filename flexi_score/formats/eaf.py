"""ELAN (``.eaf``): speech and words from time-aligned annotations; lanes into tiers.

The file is read as a stream of XML events. A document type or an entity declaration ends the
reading: ELAN writes neither, and entities can multiply a file or reach for others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import MAX_SECONDS, brief, name_some
from flexi_score.formats.lanes import (
    Lane,
    Tier,
    as_tiers,
    clean,
    is_points,
    label,
    names_speakers,
    own_tiers,
)
from flexi_score.formats.markup import XmlReader
from flexi_score.formats.timed import Timed
from flexi_score.formats.whose import ANYONE, Whose, require_labels

_LATEST_MS: Final = MAX_SECONDS * 1000
#: Ends the place of an entry of which a time was interpolated.
INTERPOLATED: Final = " (between slots with times)"


def read_eaf(path: Path, whose: Whose = ANYONE, *, words: bool = False) -> list[Timed]:
    """Aligned annotations of the tier named after the speaker, or of the only tier that has any.

    An annotation without text counts as speech: in ELAN silence is where there is no annotation.
    Where there is a tier ``user words`` as well as ``user``, words are read from it, and speech
    from the other. Annotations of a tier ``user words (points)`` are words without duration.

    Time slots without a time lie evenly between the neighbours in their tier that have one, as
    ELAN shows them.

    Raises
    ------
    TranscriptError
        Where the file is malformed, declares entities, has a time slot without a time and without
        such neighbours, or it is open which tier is meant.
    """
    document = _Reader(path).read()
    names = list(document.tiers)
    own = own_tiers(names, whose, words=words)
    aligned = [name for name, entries in document.tiers.items() if entries]
    if own is not None:
        return [entry for i in own for entry in _tier(path, document, names[i])]
    if len(aligned) == 1 and (whose.speaker is None or not names_speakers(names, whose)):
        require_labels(
            path, len(document.tiers[aligned[0]]), whose, f"its tier {aligned[0]!r} does not say"
        )
        return _tier(path, document, aligned[0])
    tiers = f"tiers {name_some(document.tiers)}" if document.tiers else "no tier"
    wanted = (
        f"one named {whose.speaker!r}" if whose.speaker else "one with time-aligned annotations"
    )
    raise TranscriptError(
        f"{path}: found {tiers}, expected {wanted}; rename the tier in ELAN, or say whose the "
        'tiers are with --speakers or the manifest\'s "speakers"'
    )


def tier_names(path: Path) -> list[str]:
    """Names of all tiers.

    Raises
    ------
    TranscriptError
        Where the file is malformed.
    """
    return list(_Reader(path).read().tiers)


def read_eaf_tiers(path: Path) -> list[Tier]:
    """All tiers and their aligned annotations.

    Raises
    ------
    TranscriptError
        As :func:`read_eaf`.
    """
    document = _Reader(path).read()
    return [Tier(name, _tier(path, document, name), is_points(name)) for name in document.tiers]


def last_slot_ms(path: Path) -> int | None:
    """The last time in the file; None where it has none.

    Raises
    ------
    TranscriptError
        Where the file is malformed.
    """
    document = _Reader(path).read()
    times = [time_ms for time_ms in document.slots.values() if time_ms is not None]
    return max(times) + max(document.origins_ms, default=0) if times else None


def read_eaf_words(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """As :func:`read_eaf`, words rather than speech."""
    return read_eaf(path, whose, words=True)


def eaf_text(
    lanes: Sequence[Lane], media: Sequence[str] = (), date: str = "1970-01-01T00:00:00+00:00"
) -> str:
    """Lanes as an ELAN document (EAF 3.0), one tier a lane.

    An entry with a blank text is labelled ``-``. What has no duration is 1 ms long, in a tier of
    its own: ELAN has no annotations without one.

    Parameters
    ----------
    lanes : sequence of Lane
    media : sequence of str
        Paths of the audio, which starts where the recording does.
    date : str
        Of the document, ISO 8601.
    """
    tiers = [tier for lane in lanes for tier in as_tiers(lane)]
    slots: list[int] = []
    body: list[str] = []
    for tier in tiers:
        attributes = f'LINGUISTIC_TYPE_REF="default-lt" TIER_ID={quoteattr(clean(tier.name))}'
        body.append(f"    <TIER {attributes}>")
        for start, end, text, *_ in tier.entries:
            first = len(slots) + 1
            slots += [start, start + 1 if tier.points else end]
            body += [
                "        <ANNOTATION>",
                f'            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a{first // 2 + 1}"'
                f' TIME_SLOT_REF1="ts{first}" TIME_SLOT_REF2="ts{first + 1}">',
                f"                <ANNOTATION_VALUE>{escape(label(text))}</ANNOTATION_VALUE>",
                "            </ALIGNABLE_ANNOTATION>",
                "        </ANNOTATION>",
            ]
        body.append("    </TIER>")
    order = sorted(range(len(slots)), key=lambda i: slots[i])
    times = [
        f'        <TIME_SLOT TIME_SLOT_ID="ts{i + 1}" TIME_VALUE="{slots[i]}"/>' for i in order
    ]
    return (
        "\n".join(
            [
                '<?xml version="1.0" encoding="UTF-8"?>',
                '<ANNOTATION_DOCUMENT AUTHOR="flexi_score"'
                f" DATE={quoteattr(clean(date))}"
                ' FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
                ' xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">',
                '    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">',
                *map(_descriptor, media),
                f'        <PROPERTY NAME="lastUsedAnnotationId">{len(slots) // 2}</PROPERTY>',
                "    </HEADER>",
                "    <TIME_ORDER>",
                *times,
                "    </TIME_ORDER>",
                *body,
                '    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="default-lt"'
                ' TIME_ALIGNABLE="true"/>',
                *(
                    f'    <CONSTRAINT DESCRIPTION="{what}" STEREOTYPE="{name}"/>'
                    for name, what in _CONSTRAINTS.items()
                ),
                "</ANNOTATION_DOCUMENT>",
            ]
        )
        + "\n"
    )


#: The stereotypes that every ELAN document declares, in words of our own.
_CONSTRAINTS: Final = {
    "Time_Subdivision": "Parts of the parent annotation in time, without gaps between them",
    "Symbolic_Subdivision": "Parts of the parent annotation in order, without times",
    "Symbolic_Association": "One annotation to each parent annotation",
    "Included_In": "Annotations in time within the parent annotation, gaps allowed",
}

_MIME_TYPES: Final = {".wav": "audio/x-wav", ".mp3": "audio/mpeg"}


def _descriptor(media: str) -> str:
    path = Path(media)
    url = quoteattr(clean(path.as_uri() if path.is_absolute() else path.as_posix()))
    kind = _MIME_TYPES.get(path.suffix.lower(), "unknown")
    return f'        <MEDIA_DESCRIPTOR MEDIA_URL={url} MIME_TYPE="{kind}"/>'


def _tier(path: Path, document: "_Reader", name: str) -> list[Timed]:
    if len(document.origins_ms) > 1:
        raise TranscriptError(
            f"{path}: its media start at different times (TIME_ORIGIN in ms: "
            f"{name_some(document.origins_ms)}), so it is open on whose clock the annotations are; "
            "keep the recording's own medium"
        )
    origin_ms = next(iter(document.origins_ms), 0)
    times = _interpolated(document.slots, document.tiers[name])
    entries = [_aligned(path, times, origin_ms, *entry) for entry in document.tiers[name]]
    if is_points(name):
        return [entry._replace(end_ms=entry.start_ms) for entry in entries]
    return entries


#: Line, annotation id, first and last time slot, text.
_Entry = tuple[int, str, str, str, str]


def _interpolated(
    slots: dict[str, int | None], entries: Sequence[_Entry]
) -> dict[str, tuple[int | None, bool]]:
    """Time of each slot, and whether it was interpolated; None where that is impossible.

    Annotations of a tier that share slots are a chain, of which the ends have times.
    """
    after = {first: last for _, _, first, last, _ in entries}
    before = {last: first for first, last in after.items()}
    times: dict[str, tuple[int | None, bool]] = {}
    for slot, time_ms in slots.items():
        times[slot] = (time_ms, False)
        if time_ms is not None:
            continue
        sides = []
        for step in (before, after):
            at, away = slot, 0
            while slots.get(at) is None and at in step and away <= len(entries):
                at, away = step[at], away + 1
            sides.append((slots.get(at), away))
        (left, behind), (right, ahead) = sides
        if left is not None and right is not None:
            times[slot] = (round(left + (right - left) * behind / (behind + ahead)), True)
    return times


def _aligned(
    path: Path,
    slots: dict[str, tuple[int | None, bool]],
    origin_ms: int,
    line: int,
    name: str,
    first: str,
    last: str,
    text: str,
) -> Timed:
    where = f"{path}, line {line} (annotation {brief(name)})"
    times = []
    guessed = False
    for slot in (first, last):
        if slot not in slots:
            raise TranscriptError(
                f"{where}: time slot {brief(slot)} is not in the file's TIME_ORDER"
            )
        time_ms, interpolated = slots[slot]
        if time_ms is None:
            raise TranscriptError(
                f"{where}: time slot {brief(slot)} has no TIME_VALUE, and no neighbours in its "
                "tier between which it could lie; align the annotation in ELAN"
            )
        times.append(time_ms + origin_ms)
        guessed |= interpolated
    if times[1] < times[0]:
        raise TranscriptError(f"{where}: ends at {times[1]} ms, before its start at {times[0]} ms")
    return Timed(times[0], times[1], text, f"line {line}" + INTERPOLATED * guessed)


class _Reader(XmlReader):
    """Collects time slots and the aligned annotations of every tier."""

    refused = "a document type or entity declaration, which an .eaf never has"
    advice = "save it again from ELAN"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._parser.StartDoctypeDeclHandler = self._refuse
        self.slots: dict[str, int | None] = {}
        self.tiers: dict[str, list[_Entry]] = {}
        #: Time in the media at which the annotations' clock starts.
        self.origins_ms: set[int] = set()
        self._tier: list[_Entry] | None = None
        self._entry: tuple[int, str, str, str] | None = None
        self._text: list[str] | None = None
        self._depth = 0

    def _need(self, attributes: dict[str, str], name: str, element: str) -> str:
        if name not in attributes:
            raise self._fault(f"{element} has no {name}")
        return attributes[name]

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and name != "ANNOTATION_DOCUMENT":
            raise self._fault(f"found <{brief(name)}>, expected <ANNOTATION_DOCUMENT> of ELAN")
        self._depth += 1
        if name == "HEADER" and attributes.get("TIME_UNITS", "milliseconds") != "milliseconds":
            raise self._fault(
                f"TIME_UNITS is {brief(attributes['TIME_UNITS'])}, expected 'milliseconds'"
            )
        elif name == "MEDIA_DESCRIPTOR":
            self.origins_ms.add(self._time(attributes.get("TIME_ORIGIN")) or 0)
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
