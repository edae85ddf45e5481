"""XML that users bring, read as a stream of events: what ELAN's and Transcriber's files share."""

from pathlib import Path
from typing import ClassVar, Self
from xml.parsers import expat

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import read_text


class XmlReader:
    """Calls the handlers of a subclass for what a file holds; names the file and line of a fault.

    An entity declaration ends the reading: entities can multiply a file or reach for others.
    """

    refused: ClassVar[str]  # what ends the reading
    advice: ClassVar[str]  # what to do about a file that is not valid XML

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.EntityDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters

    def read(self) -> Self:
        """Read the whole document."""
        text = read_text(self._path, TranscriptError)
        try:
            # Decoded already: expat is told so, whatever the declaration says.
            self._parser.Parse(text, True)
        except expat.ExpatError as cause:
            reason = expat.errors.messages.get(cause.code, str(cause.code))
            raise TranscriptError(
                f"{self._path}, line {cause.lineno}: not valid XML ({reason}); {self.advice}"
            ) from None
        return self

    def _fault(self, text: str) -> TranscriptError:
        return TranscriptError(f"{self._path}, line {self._parser.CurrentLineNumber}: {text}")

    def _refuse(self, *_: object) -> None:
        raise self._fault(f"found {self.refused}")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def _end(self, name: str) -> None:
        raise NotImplementedError

    def _characters(self, data: str) -> None:
        raise NotImplementedError
