"""Transcriber (``.trs``, trans-14.dtd): turns, cut into stretches by their ``<Sync/>``.

A stretch lasts to the next ``<Sync/>`` or the end of its turn; one without text is silence. Where
two speak in a turn, ``<Who nb="2"/>`` says whose the text after it is.
"""

from pathlib import Path

from flexi_score.formats.files import brief
from flexi_score.formats.markup import XmlReader
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label


def read_transcriber(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Stretches of a speaker, recognised by the name or the id in ``<Speakers>``.

    Raises
    ------
    TranscriptError
        Where the file is malformed, or leaves open who speaks or who is meant.
    """
    document = _Reader(path).read()
    entries: list[Timed] = []
    labels: list[str] = []
    for entry, speaker in document.entries:
        name = document.names.get(speaker) or speaker
        entries.append(entry)
        labels.append(speaker if whose.party_of(speaker) else name)
    own = choose_label(path, "speakers", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]


class _Reader(XmlReader):
    """Collects the names of speakers and what each says."""

    refused = "an entity declaration, which a .trs never has"
    advice = "save it again"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.names: dict[str, str] = {}
        self.entries: list[tuple[Timed, str]] = []
        self._speakers: list[str] | None = None  # of the turn that is open
        self._from = self._to = ""
        self._who: int | None = None
        self._said: dict[int | None, str] = {}
        self._line = 0
        self._root = ""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._root and name != "Trans":
            raise self._fault(f"found <{brief(name)}>, expected <Trans> of Transcriber")
        self._root = "Trans"
        if name == "Speaker":
            self.names[attributes.get("id", "")] = attributes.get("name", "").strip()
        elif name == "Turn":
            self._speakers = attributes.get("speaker", "").split()
            self._open(attributes.get("startTime", ""))
            self._to = attributes.get("endTime", "")
        elif name == "Sync" and self._speakers is not None:
            self._close(attributes.get("time", ""))
            self._open(attributes.get("time", ""))
        elif name == "Who" and self._speakers is not None:
            number = attributes.get("nb", "")
            if not number.isdecimal() or not 1 <= int(number) <= len(self._speakers):
                raise self._fault(f"nb is {brief(number)}, expected 1 to {len(self._speakers)}")
            self._who = int(number) - 1

    def _end(self, name: str) -> None:
        if name == "Turn":
            self._close(self._to)
            self._speakers = None

    def _characters(self, data: str) -> None:
        if self._speakers is not None:
            self._said[self._who] = self._said.get(self._who, "") + data

    def _open(self, start: str) -> None:
        self._from, self._said, self._line = start, {}, self._parser.CurrentLineNumber
        self._who = 0 if self._speakers is not None and len(self._speakers) == 1 else None

    def _close(self, end: str) -> None:
        for number, text in self._said.items():
            said = " ".join(text.split())
            if not said:
                continue
            if number is None or self._speakers is None:
                raise self._fault(
                    f"{brief(said)}: its turn names {len(self._speakers or ())} speakers, and no "
                    "<Who/> says whose it is"
                )
            entry = timed(self._path, f"line {self._line}", self._from, end, said)
            self.entries.append((entry, self._speakers[number]))
