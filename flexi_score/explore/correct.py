"""A boundary or an annotation that was dragged, as a correction of the archive."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.archive.corrections import MARKS, SPANS, add_correction
from flexi_score.errors import InputError
from flexi_score.explore.session import Session
from flexi_score.report.timeline import ANNOTATIONS
from flexi_score.schema import SPEAKERS
from flexi_score.scoring.corrected import channel_key

EDGES: Final = ("start", "end")
#: Labels of the timeline, and the columns of their starts and ends.
_COLUMNS: Final = {label: (start, end) for label, start, end in ANNOTATIONS}
_LISTS: Final = {"backchannel": SPANS, "a listener would answer": MARKS}


def save_correction(session: Session, r: int, body: Mapping[str, Any], changes: Any) -> None:
    """Save what was dragged: ``what``, ``edge``, ``from_ms`` and ``to_ms`` of a request.

    ``what`` is user or model, whose IPU begins or ends at ``from_ms``, or the label of an
    annotation that does. ``changes``: the settings under which it was seen. Raises InputError where
    nothing begins or ends there, or it cannot be moved to where it was dragged.
    """
    name = session.name(r)
    what, edge, start, end = (body.get(key) for key in ("what", "edge", "from_ms", "to_ms"))
    if edge not in EDGES or type(start) is not int or type(end) is not int:
        raise InputError("correction: expected edge (start or end), from_ms and to_ms")
    row = session.row(name)
    if not 0 <= end <= row["duration_ms"]:
        raise InputError(f"correction: {end} ms lies outside the recording")
    if what in SPEAKERS:
        line = _speech(session, row, what, edge, (start, end), changes)
    elif what in (*_COLUMNS, *_LISTS):
        line = {"annotations": _annotation(row, what, edge, start, end)}
    else:
        raise InputError(f"correction: found {what!r:.80}, expected a speaker or an annotation")
    add_correction(session.archive, {"recording": name, **line})
    session.begin()


def move_edge(
    speech: list[tuple[int, int]], edge: str, start: int, end: int
) -> list[tuple[int, int]]:
    """Speech with one of its edges moved: what lies between is speech now, or no longer.

    Examples
    --------
    >>> move_edge([(0, 100), (150, 300)], "end", 100, 80)
    [(0, 80), (150, 300)]
    >>> move_edge([(0, 100), (150, 300)], "end", 100, 160)
    [(0, 300)]
    """
    low, high = min(start, end), max(start, end)
    if (edge == "end") == (end > start):
        joined = [span for span in speech if span[0] <= high and span[1] >= low]
        others = [span for span in speech if span not in joined]
        whole = (min(low, *(a for a, _ in joined)), max(high, *(b for _, b in joined)))
        return sorted([*others, whole])
    pieces = [part for a, b in speech for part in ((a, min(b, low)), (max(a, high), b))]
    return [(a, b) for a, b in pieces if a < b]


def _speech(
    session: Session,
    row: Mapping[str, Any],
    speaker: Any,
    edge: str,
    moved: tuple[int, int],
    changes: Any,
) -> dict[str, Any]:
    """A channel's speech, with one edge moved."""
    tracks = session.stages.detect(session.settings(changes)).tracks
    at = np.flatnonzero((tracks.recordings["recording"] == row["recording"]).to_numpy())
    track = tracks.user_speech if speaker == "user" else tracks.model_speech
    own = track.take(np.isin(track.rec, at))
    ends = np.minimum(own.end_ms, row["duration_ms"])  # as the timeline shows them
    speech = list(zip(own.start_ms.tolist(), ends.tolist(), strict=True))
    key = pl.DataFrame([row], schema=session.stages.rows.schema).select(channel_key(speaker))
    if key.item() is None or moved[0] not in [span[EDGES.index(edge)] for span in speech]:
        raise InputError(f"correction: no speech of the {speaker} has its {edge} at {moved[0]} ms")
    spans = [[a, b] for a, b in move_edge(speech, edge, *moved)]
    return {"speaker": speaker, "key": key.item(), "speech_ms": spans}


def _annotation(
    row: Mapping[str, Any], label: Any, edge: str, start: int, end: int
) -> dict[str, Any]:
    """The annotation of a label that begins or ends at ``start``, moved to ``end``."""
    if label in _COLUMNS:
        column = _COLUMNS[label][EDGES.index(edge)]
        if column is None or row[column] != start:
            raise InputError(f"correction: no {label!r} has its {edge} at {start} ms")
        moved = {**row, column: end}
        first, last = _COLUMNS[label]
        if last is not None and not moved[first] < moved[last]:
            raise InputError(f"correction: {label!r} would end before it starts")
        return {column: end}
    name = _LISTS[label]
    if name == MARKS:
        marks = list(row[name] or [])
        if start not in marks:
            raise InputError(f"correction: no {label!r} at {start} ms")
        marks[marks.index(start)] = end
        return {name: sorted(marks)}
    spans = [[span["start_ms"], span["end_ms"]] for span in row[name] or []]
    hit = next((span for span in spans if span[EDGES.index(edge)] == start), None)
    if hit is None:
        raise InputError(f"correction: no {label!r} has its {edge} at {start} ms")
    hit[EDGES.index(edge)] = end
    return {name: spans}
