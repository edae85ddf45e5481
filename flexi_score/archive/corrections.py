"""What a listener has corrected: ``corrections.jsonl`` of an archive, read wherever it is scored.

One JSON object a line, in the order in which they were made::

    {"recording": "calm-017", "speaker": "user", "key": "3f0c...", "speech_ms": [[300, 1740]]}
    {"recording": "calm-017", "annotations": {"user_turn_end_ms": 1740}}

The first replaces all speech of a channel, as a segment file does: other settings of detection then
do not move it. ``key`` is that of the channel (or of its segment file), so that a correction is not
applied to other audio under the same name. The second replaces annotations. Later lines count;
removing a line undoes it. What is applied is in the signature, in the notes of a run and in its
health table (check ``corrected``).
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl

from flexi_score.archive.parts import write_whole
from flexi_score.errors import ArchiveError
from flexi_score.output import locked
from flexi_score.schema import INTERVAL, RECORDINGS, SPEAKERS, make_schema

#: File of an archive that holds corrections.
FILE: Final = "corrections.jsonl"
#: Annotations of :data:`flexi_score.schema.RECORDINGS` that are moments, and those that are lists.
MOMENTS: Final = (
    "user_turn_end_ms",
    "pause_start_ms",
    "pause_end_ms",
    "interrupt_start_ms",
    "interrupt_end_ms",
)
SPANS: Final = "backchannels"
MARKS: Final = "reference_backchannels_ms"
#: Speech that replaces what was detected, one row per channel.
SPEECH: Final = make_schema(
    {"recording": pl.String, "speaker": pl.String, "key": pl.String, "speech": pl.List(INTERVAL)}
)
ANNOTATIONS: Final = make_schema(
    {name: RECORDINGS[name] for name in ("recording", *MOMENTS, SPANS, MARKS)}
)


class Corrections(NamedTuple):
    """Corrections in force: :data:`SPEECH`, and :data:`ANNOTATIONS` (null: not corrected)."""

    speech: pl.DataFrame
    annotations: pl.DataFrame


def read_lines(archive: Path) -> list[dict[str, Any]]:
    """Every correction, oldest first; none where there is no file.

    Raises ArchiveError: naming the line that is no correction.
    """
    file = archive / FILE
    try:
        text = file.read_text("utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise ArchiveError(f"{file}: cannot be read: {error}") from error
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            check_line(entry)
        except (ValueError, ArchiveError) as error:
            raise ArchiveError(
                f"{file}, line {number}: {error}; correct the line, or remove it"
            ) from error
        lines.append(entry)
    return lines


def check_line(line: Any) -> None:
    """Raise ArchiveError where a line is no correction."""
    if not isinstance(line, dict) or not isinstance(line.get("recording"), str):
        raise ArchiveError("expected an object with the key 'recording'")
    if "annotations" in line:
        _check_annotations(line["annotations"])
        return
    if line.get("speaker") not in SPEAKERS or not isinstance(line.get("key"), str):
        raise ArchiveError("expected 'annotations', or 'speaker' (user or model) and 'key'")
    _check_spans("speech_ms", line.get("speech_ms"))


def _check_annotations(annotated: Any) -> None:
    if not isinstance(annotated, dict) or not annotated:
        raise ArchiveError(f"annotations: found {annotated!r:.80}, expected an object")
    for name, value in annotated.items():
        if name in MOMENTS:
            _check_moments(name, [value])
        elif name == SPANS:
            _check_spans(name, value)
        elif name == MARKS:
            _check_moments(name, value)
        else:
            known = ", ".join((*MOMENTS, SPANS, MARKS))
            raise ArchiveError(f"annotations: found {name!r:.80}, expected one of {known}")


def _check_moments(name: str, value: Any) -> None:
    if not isinstance(value, list) or any(type(at) is not int or at < 0 for at in value):
        raise ArchiveError(f"{name}: found {value!r:.80}, expected whole milliseconds from 0")


def _check_spans(name: str, value: Any) -> None:
    if not isinstance(value, list) or any(
        not isinstance(span, list) or len(span) != 2 or any(type(at) is not int for at in span)
        for span in value
    ):
        raise ArchiveError(f"{name}: found {value!r:.80}, expected [[start, end], ...] in ms")
    ends = [at for span in value for at in span]
    if ends != sorted(ends) or ends[:1] < [0] * len(ends[:1]) or any(a == b for a, b in value):
        raise ArchiveError(f"{name}: expected disjoint spans in order, from 0")


def read_corrections(archive: Path) -> Corrections:
    """The corrections of an archive that are in force, the last of each.

    Raises ArchiveError: naming a line that is none.
    """
    speech: dict[tuple[str, str], dict[str, Any]] = {}
    noted: dict[str, dict[str, Any]] = {}
    for line in read_lines(archive):
        name = line["recording"]
        if "annotations" in line:
            noted.setdefault(name, {"recording": name}).update(line["annotations"])
            continue
        speech[name, line["speaker"]] = {
            **{key: line[key] for key in ("recording", "speaker", "key")},
            "speech": _intervals(line["speech_ms"]),
        }
    for row in noted.values():
        if SPANS in row:
            row[SPANS] = _intervals(row[SPANS])
    return Corrections(
        pl.DataFrame(list(speech.values()), schema=SPEECH),
        pl.DataFrame(list(noted.values()), schema=ANNOTATIONS),
    )


def _intervals(spans: list[list[int]]) -> list[dict[str, int]]:
    return [{"start_ms": start, "end_ms": end} for start, end in spans]


def add_correction(archive: Path, line: Mapping[str, Any]) -> None:
    """Add a correction, the last one.

    Raises ArchiveError where it is none, or cannot be written.
    """
    check_line(line)
    with locked(archive / FILE):
        _write_lines(archive, [*read_lines(archive), line])


def take_corrections(archive: Path, lines: Sequence[dict[str, Any]]) -> None:
    """Add those corrections of another archive that are not there."""
    with locked(archive / FILE):
        present = read_lines(archive)
        if fresh := [line for line in lines if line not in present]:
            _write_lines(archive, present + fresh)


def undo_correction(archive: Path, recording: str) -> bool:
    """Remove the last correction of a recording; False where it has none."""
    with locked(archive / FILE):
        lines = read_lines(archive)
        at = [k for k, line in enumerate(lines) if line["recording"] == recording]
        if at:
            _write_lines(archive, [*lines[: at[-1]], *lines[at[-1] + 1 :]])
    return bool(at)


def _write_lines(archive: Path, lines: Sequence[Any]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    try:
        write_whole(archive / FILE, text.encode())
    except OSError as error:
        raise ArchiveError(f"{archive / FILE}: cannot be written: {error}") from error
