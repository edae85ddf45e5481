"""Segments from STM (NIST): ``file channel speaker start end [<labels>] words ...``.

The words of a segment have no times of their own, and none are made up: read as words, a segment
is one entry of several words, with the segment's times.
"""

import re
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import read_text
from flexi_score.formats.timed import Timed, timed
from flexi_score.formats.whose import ANYONE, Whose, choose_label

#: What the scorer is told to leave out, which is no segment of a speaker.
_GAPS: Final = ("inter_segment_gap", "excluded_region")
_IGNORED: Final = "IGNORE_TIME_SEGMENT_IN_SCORING"


def read_stm(path: Path, whose: Whose = ANYONE) -> list[Timed]:
    """Segments of one speaker: of the speaker, channel or file so named, or the only one.

    Raises
    ------
    TranscriptError
        For a malformed line, or where it is open who is meant.
    """
    entries: list[Timed] = []
    columns: list[tuple[str, str, str]] = []
    for number, line in enumerate(read_text(path, TranscriptError).split("\n"), 1):
        if not line.strip() or line.lstrip().startswith(";;"):
            continue
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected file, channel, "
                "speaker, start, end, words"
            )
        text = fields[5] if len(fields) > 5 else ""
        text = re.sub(r"^<[^<>\s]*>(?=\s|$)", "", text).strip()
        if fields[2].lower() in _GAPS or text.upper() == _IGNORED:
            continue
        entries.append(timed(path, f"line {number}", fields[3], fields[4], text))
        columns.append((fields[2], fields[1], fields[0]))
    for labels in zip(*columns, strict=True):
        if any(whose.party_of(name) for name in labels):
            break
    else:
        # Speakers of several files or channels may share a name.
        labels = tuple(" ".join(reversed(row)) for row in columns)
    own = choose_label(path, "speakers", labels, whose)
    return [entry for entry, keep in zip(entries, own, strict=True) if keep]
