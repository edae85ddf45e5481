"""How long a recording is, by an annotation file that says so: TextGrid and ELAN."""

from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.eaf import last_slot_ms
from flexi_score.formats.files import to_ms
from flexi_score.formats.textgrid import read_end


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
        try:
            return to_ms(read_end(path))
        except ValueError as cause:
            raise TranscriptError(f"{path}: xmax: {cause}") from None
    return last_slot_ms(path) if suffix == ".eaf" else None
