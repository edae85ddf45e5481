"""How long a recording is, by an annotation file that says so: TextGrid and ELAN."""

import re
from pathlib import Path
from typing import Final

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import read_text

#: The first number after ``xmax`` of the long form, or the second number of the short one.
_XMAX: Final = re.compile(r"^\s*xmax\s*=\s*([\d.]+)\s*$", re.MULTILINE)
_SHORT: Final = re.compile(r"^\s*[\d.]+\s*\n\s*([\d.]+)\s*\n\s*<exists>", re.MULTILINE)
_SLOT: Final = re.compile(r"<TIME_SLOT\b[^>]*\bTIME_VALUE\s*=\s*[\"'](\d{1,9})[\"']")


def stated_length_ms(path: str | Path) -> int | None:
    """Length that a file states, in ms; None where it states none.

    Parameters
    ----------
    path : path
        A TextGrid (its ``xmax``) or an ELAN file (its last time slot). Other formats state none.

    Raises
    ------
    TranscriptError
        If the file cannot be read.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".textgrid":
        text = read_text(path, TranscriptError)
        found = _XMAX.search(text) or _SHORT.search(text)
        return round(float(found.group(1)) * 1000) if found else None
    if suffix == ".eaf":
        slots = _SLOT.findall(read_text(path, TranscriptError))
        return max(map(int, slots), default=None)
    return None
