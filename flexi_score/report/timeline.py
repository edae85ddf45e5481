"""Two-lane timelines of recordings, as shapes in per cent of the recording's length.

A page draws them at any width: lengths along time are per cent, heights are pixels, and text keeps
its size. What is longer than a page can show (hours) is thinned to a thousandth of its length.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.report.tables import plain

#: IPUs beyond which a timeline is thinned and loses its tooltips.
_MOST: Final = 300
_STEPS: Final = (100, 200, 500, 1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000,
                 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000)  # fmt: skip

#: What the reference moment of a scenario is.
REFERENCES: Final = {
    "turn_taking": "user turn ends",
    "pause_handling": "pause starts",
    "user_interrupt": "interruption starts",
    "model_interrupt": "user turn ends",
    "user_backchannel": "backchannel starts",
    "model_backchannel": "user turn ends",
}


@dataclass(frozen=True)
class Span:
    """A stretch of time: ``left`` and ``width`` in per cent, a class for its looks, a tooltip."""

    kind: str
    speaker: str
    left: float
    width: float
    tip: str


@dataclass(frozen=True)
class Moment:
    """A marked moment; ``label`` is empty where it would collide with its neighbour's."""

    kind: str  # reference | decided
    at: float
    label: str
    tip: str
    before: bool  # whether the label stands left of the moment
    roomy: bool  # whether the label needs a wide page


@dataclass(frozen=True)
class Timeline:
    """What is drawn of one recording."""

    duration_s: float
    spans: tuple[Span, ...]
    moments: tuple[Moment, ...]
    ticks: tuple[tuple[float, str], ...]
    transcript: tuple[tuple[str, str, str], ...]  # speaker, times, text
    untold: int  # turns left out of the transcript
    thinned: bool


def timelines(
    events: pl.DataFrame,
    scores: pl.DataFrame,
    recordings: Sequence[str],
    labels: Mapping[tuple[str, str], str],
    max_turns: int = 40,
) -> dict[str, Timeline]:
    """Timelines of the recordings that have any event.

    Parameters
    ----------
    events, scores : polars.DataFrame
        :data:`flexi_score.schema.EVENTS` and :data:`flexi_score.schema.SCORES`.
    recordings : sequence of str
        Those to draw.
    labels : mapping
        Label of each (scenario, metric).
    max_turns : int
        Turns of a transcript that are shown.
    """
    wanted = pl.Series(list(recordings), dtype=pl.String).implode()
    kept = events.filter(pl.col("recording").is_in(wanted)).sort("start_ms", "end_ms")
    moments = scores.filter(
        pl.col("recording").is_in(wanted)
        & (pl.col("reference_ms").is_not_null() | pl.col("decided_ms").is_not_null())
    )
    of_scores, of_events = _by_recording(moments), _by_recording(kept)
    drawn = {}
    for recording, rows in of_events.items():
        duration = max(row["end_ms"] for row in rows)
        if duration > 0:
            drawn[recording] = _timeline(
                rows, duration, of_scores.get(recording, []), labels, max_turns
            )
    return drawn


def _by_recording(table: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Rows of each recording; plain ones, as hundreds of small tables take longer to handle."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in table.iter_rows(named=True):
        found.setdefault(row["recording"], []).append(row)
    return found


def _timeline(
    events: list[dict[str, Any]],
    duration: int,
    scores: list[dict[str, Any]],
    labels: Mapping[tuple[str, str], str],
    max_turns: int,
) -> Timeline:
    spans: list[Span] = []
    thinned = sum(row["kind"] == "ipu" for row in events) > _MOST
    # In drawing order: what lies below first.
    for kind in ("gap", "overlap", "pause", "ipu", "backchannel", "interruption"):
        parts: dict[str, list[dict[str, Any]]] = {}
        for row in events:
            if row["kind"] == kind:
                parts.setdefault(str(row["speaker"]), []).append(row)
        for speaker, part in parts.items():
            if thinned:
                spans += _thin(kind, speaker, part, duration)
            else:
                spans += [
                    Span(
                        kind + _outcome(row),
                        speaker,
                        _percent(row["start_ms"], duration),
                        _percent(row["end_ms"] - row["start_ms"], duration),
                        _tip(row),
                    )
                    for row in part
                ]
    turns = [row for row in events if row["kind"] == "turn" and row["text"] is not None]
    transcript = tuple(
        (
            row["speaker"],
            f"{row['start_ms'] / 1000:.2f}–{row['end_ms'] / 1000:.2f}",
            _short(row["text"], 400),
        )
        for row in turns[:max_turns]
        if row["text"].strip()
    )
    return Timeline(
        duration / 1000,
        tuple(spans),
        (
            *_moments(scores, "reference_ms", duration, labels),
            *_moments(scores, "decided_ms", duration, labels),
        ),
        _ticks(duration),
        transcript,
        max(0, len(turns) - max_turns),
        thinned,
    )


def _outcome(row: dict[str, Any]) -> str:
    return " won" if row["kind"] == "interruption" and row["success"] else ""


def _tip(row: dict[str, Any]) -> str:
    who = row["speaker"] if row["speaker"] in ("user", "model") else ""
    words = f" “{_short(row['text'], 200)}”" if row["text"] else ""
    ended = {True: " (took the floor)", False: " (did not take the floor)", None: ""}
    outcome = ended[row["success"]] if row["kind"] == "interruption" else ""
    length = (row["end_ms"] - row["start_ms"]) / 1000
    times = f"{row['start_ms'] / 1000:.2f}–{row['end_ms'] / 1000:.2f} s ({length:.2f} s)"
    kind = "IPU" if row["kind"] == "ipu" else row["kind"]
    return f"{who} {kind}{outcome} {times}{words}".strip()


def _thin(kind: str, speaker: str, part: list[dict[str, Any]], duration: int) -> list[Span]:
    """Spans joined where less than a thousandth of the recording lies between them."""
    start, end = (np.array([row[name] for row in part]) for name in ("start_ms", "end_ms"))
    reach = np.maximum.accumulate(end)
    new = np.concatenate([[True], start[1:] - reach[:-1] > duration / 1000])
    first = start[new]
    last = reach[np.concatenate([np.flatnonzero(new)[1:] - 1, [len(end) - 1]])]
    return [
        Span(kind, speaker, _percent(a, duration), _percent(b - a, duration), "")
        for a, b in zip(first.tolist(), last.tolist(), strict=True)
    ]


def _moments(
    scores: list[dict[str, Any]],
    column: str,
    duration: int,
    labels: Mapping[tuple[str, str], str],
) -> list[Moment]:
    """One mark a distinct moment, named for the metrics that look at it."""
    kind = column.removesuffix("_ms")
    found: dict[int, list[str]] = {}
    for row in scores:
        # What was not scored decided nothing.
        if row[column] is not None and (kind == "reference" or row["value"] is not None):
            name = labels.get((row["scenario"], row["metric"]), plain(row["metric"]))
            found.setdefault(row[column], []).append(name)
    moments: list[Moment] = []
    free = narrow = 0.0  # where the label before ends, on a wide and on a narrow page
    for time, names in sorted(found.items()):
        listed = ", ".join(dict.fromkeys(names))
        if kind == "reference" and len(found) == 1:
            label = REFERENCES.get(scores[0]["scenario"], "reference")
        else:
            label = listed if len(names) < 4 else f"{names[0]} and {len(names) - 1} more"
        at = min(max(_percent(time, duration), 0.0), 100.0)
        before = at > 75
        wide, phone = (len(label) * per_character + 2 for per_character in (0.75, 2.2))
        begin, begin_narrow = (at - wide, at - phone) if before else (at, at)
        fits, roomy = begin >= free, begin_narrow < narrow
        tip = f"{kind} of {listed}: {time / 1000:.2f} s"
        moments.append(Moment(kind, at, label if fits else "", tip, before, roomy))
        if fits:
            free = at if before else at + wide
            narrow = narrow if roomy else at if before else at + phone
    return moments


def _ticks(duration: int) -> tuple[tuple[float, str], ...]:
    step = next((s for s in _STEPS if duration / s <= 8), _STEPS[-1])
    times = range(0, duration + 1, step)
    if len(times) > 20:  # a recording of more than a day
        times = range(0, duration + 1, -(-duration // 8))
    # The last label must not run over the edge.
    return tuple((_percent(t, duration), _clock(t, step)) for t in times if t <= 0.97 * duration)


def _clock(time: int, step: int) -> str:
    if step < 1000:
        return f"{time / 1000:.1f} s"
    if step < 60_000:
        return f"{time // 1000} s"
    return (
        f"{time // 3_600_000}:{time // 60_000 % 60:02d} h"
        if step >= 600_000
        else (f"{time // 60_000} min")
    )


def _percent(time: int | float, duration: int) -> float:
    return round(100 * time / duration, 3)


def _short(text: str, most: int) -> str:
    text = plain(text)
    return text if len(text) <= most else text[: most - 1] + "…"
