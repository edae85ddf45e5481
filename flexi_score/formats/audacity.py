"""Labels from Audacity's label track: ``start<TAB>end<TAB>label``, in seconds."""

from collections.abc import Sequence
from pathlib import Path

from flexi_score.errors import TranscriptError
from flexi_score.formats.files import read_text
from flexi_score.formats.lanes import one_line, seconds
from flexi_score.formats.timed import Timed, choose_label, timed
from flexi_score.schema import SPEAKERS


def read_audacity(path: Path, speaker: str | None = None) -> list[Timed]:
    """Labelled stretches. Where every label is ``user`` or ``model``, the labels are speakers.

    Raises
    ------
    TranscriptError
        For a malformed line.
    """
    entries = []
    for number, line in enumerate(read_text(path, TranscriptError).split("\n"), 1):
        # A backslash starts the frequency range of the label above.
        if not line.strip() or line.startswith("\\"):
            continue
        fields = line.split("\t", 2)
        if len(fields) < 2:
            raise TranscriptError(
                f"{path}, line {number}: found {line.strip()[:60]!r}, expected start, end and "
                "label, separated by tabs"
            )
        text = fields[2] if len(fields) > 2 else ""
        entries.append(timed(path, f"line {number}", fields[0], fields[1], text))
    labels = [entry.text or "" for entry in entries]
    if labels and all(label.strip().lower() in SPEAKERS for label in labels):
        own = choose_label(path, "labels", labels, speaker)
        return [entry for entry, keep in zip(entries, own, strict=True) if keep]
    return entries


def audacity_text(entries: Sequence[Timed]) -> str:
    """Entries as one label track, sorted; a label is one line, and ``-`` where it is blank."""
    return "".join(
        f"{seconds(entry.start_ms)}000\t{seconds(entry.end_ms)}000\t{one_line(entry.text)}\n"
        for entry in sorted(entries, key=lambda e: e[:2])
    )
