"""One recording as a static figure: who spoke when, what of it counted, and the rule that decided.

Time runs in strips from left to right and top to bottom, as notes do; each has the user's channel
above and the model's below.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.archive.tables import ENVELOPE_MS
from flexi_score.report.plots.draw import bars, legend, new_figure, panel, rules, write
from flexi_score.report.plots.kinds import nice_step
from flexi_score.report.plots.style import (
    BOTH,
    FAINT,
    HUMAN,
    INK,
    LEFT,
    MODEL,
    RIGHT,
    RULE,
    SMALL,
    SOFT,
    USER,
    label,
    text_width,
)
from flexi_score.report.tables import plain, scenario_title
from flexi_score.report.timeline import REFERENCES, noted_spans
from flexi_score.schema import SPEAKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A strip is at most this long while there are few of them (ms).
STRIP_MS: Final = 20_000
MOST_STRIPS: Final = 8
#: Parts of a strip below which spans are drawn as one.
_FINEST: Final = 1500
#: Sentences on scores below a figure.
_MOST_RULES: Final = 10
#: Quieter energy is drawn as nothing.
_FLOOR_DB: Final = -60.0

_NAMES: Final = 44.0
_TINY: Final = 6.5
_LANE: Final = 36.0
#: Of a strip, in points from its top: where each of its rows begins.
_MOMENTS, _USER, _BETWEEN, _MODEL = (0.0, 9.0), 28.0, 84.0, 100.0
_NOTES, _AXIS, _STRIP = 157.0, 168.0, 194.0
_COLOURS: Final = {"user": USER, "model": MODEL, "both": BOTH, "none": FAINT}
_TOPS: Final = {"user": _USER, "model": _MODEL}
#: Shorter names of annotations, for where there is little room.
_SHORT: Final = {"a listener would answer": "ref."}


@dataclass(frozen=True)
class Scene:
    """What is drawn of one recording."""

    row: Mapping[str, Any]  # of :data:`flexi_score.schema.RECORDINGS`, with ``duration_ms``
    #: events, scores: its rows of :data:`flexi_score.schema.EVENTS` and
    #: :data:`flexi_score.schema.SCORES`
    events: Sequence[Mapping[str, Any]]
    scores: Sequence[Mapping[str, Any]]
    words: Mapping[str, Sequence[tuple[int, int, str]]] = field(default_factory=dict)
    #: energy of every 10 ms, in hundredths of a dB re full scale
    envelopes: Mapping[str, tuple[int, NDArray[np.int16]]] = field(default_factory=dict)
    labels: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def duration_ms(self) -> int:
        """Length; where the run does not say, the end of its last event."""
        known = self.row.get("duration_ms")
        return int(known or max((row["end_ms"] for row in self.events), default=0)) or 1

    @property
    def texts(self) -> tuple[str, ...]:
        """All text that is drawn."""
        said = [word[2] for words in self.words.values() for word in words]
        return (*said, *(str(self.row.get(name)) for name in ("recording", "system")))


@dataclass(frozen=True)
class Moment:
    """A marked moment: what a rule looks from (``reference``), or what decided."""

    at_ms: int
    kind: str
    text: str


def strips(duration_ms: int) -> list[tuple[int, int]]:
    """Start and end of each strip (ms); together they are the recording."""
    count = -(-duration_ms // STRIP_MS)
    if count > MOST_STRIPS:
        length = -(-duration_ms // MOST_STRIPS)
    else:
        length = -(-duration_ms // max(1, count))
    return [(a, min(a + length, duration_ms)) for a in range(0, duration_ms, length)]


def moments(scene: Scene) -> list[Moment]:
    """Moments by time, each once, named for what it is or for the metrics it decided."""
    labels: dict[tuple[int, str], dict[str, None]] = {}
    for row in scene.scores:
        name = scene.labels.get((row["scenario"], row["metric"]), plain(row["metric"]))
        if row["reference_ms"] is not None:
            text = REFERENCES.get(row["scenario"], "reference")
            labels.setdefault((row["reference_ms"], "reference"), {})[text] = None
        if row["decided_ms"] is not None and row["value"] is not None:
            labels.setdefault((row["decided_ms"], "decided"), {})[name] = None
    return [Moment(at, kind, ", ".join(names)) for (at, kind), names in sorted(labels.items())]


def sentences(scene: Scene) -> list[tuple[str, str]]:
    """Metrics with their values, and the rule that decided them in words; each sentence once."""
    said: dict[str, list[str]] = {}
    for row in scene.scores:
        name = scene.labels.get((row["scenario"], row["metric"]), plain(row["metric"]))
        value = "–" if row["value"] is None else f"{row['value']:.3f}".rstrip("0").rstrip(".")
        reason = plain(row["reason"]) if row["reason"] else plain(row["status"])
        said.setdefault(reason, []).append(f"{name} {value}")
    return [(", ".join(names), reason) for reason, names in said.items()][:_MOST_RULES]


def draw_timeline(scene: Scene) -> Figure:
    """The figure of a recording, within :func:`flexi_score.report.plots.style.drawing`."""
    parts = strips(scene.duration_ms)
    reasons = [(names, textwrap.wrap(reason, 102) or [""]) for names, reason in sentences(scene)]
    below = sum(13 + 11 * len(lines) for _, lines in reasons)
    head = 40.0
    figure = new_figure(head + _STRIP * len(parts) + below + 4)
    name = label(scene.row.get("recording"), 46)
    write(figure, LEFT, 12, name, fontsize=10.5, fontweight="bold")
    kind = f"{scenario_title(scene.row.get('scenario'))}, {scene.duration_ms / 1000:.2f} s"
    write(figure, RIGHT, 12, kind, ha="right", fontsize=SMALL, color=SOFT)
    system = label(scene.row.get("system"), 30)
    write(figure, LEFT, 24, system, fontsize=SMALL, color=SOFT)
    legend(figure, _key(scene), LEFT + max(150.0, text_width(system, SMALL) + 16), 24)
    widest = max(end - start for start, end in parts)
    for number, (start, end) in enumerate(parts):
        width = (RIGHT - _NAMES) * (end - start) / widest
        axes = panel(figure, _NAMES, head + _STRIP * number, width, _STRIP)
        axes.set_xlim(start, end)
        axes.set_ylim(_STRIP, 0)
        _strip(axes, scene, start, end, (end - start) / width)
    y = head + _STRIP * len(parts) + 4
    for names, lines in reasons:
        write(figure, LEFT, y + 8, names, fontsize=SMALL, fontweight="bold")
        for line in lines:
            y += 11
            write(figure, LEFT, y + 8, line, fontsize=SMALL, color=SOFT)
        y += 13
    return figure


def _key(scene: Scene) -> list[tuple[str, str]]:
    kinds = {row["kind"] for row in scene.events}
    entries = [(USER, "user"), (MODEL, "model")]
    entries += [(BOTH, "overlap")] * ("overlap" in kinds)
    entries += [(FAINT, "gap")] * ("gap" in kinds)
    entries += [(RULE, "pause")] * ("pause" in kinds)
    entries += [(HUMAN, "annotated")] * bool(_annotations(scene.row))
    return entries


def _strip(axes: Axes, scene: Scene, start: int, end: int, point: float) -> None:
    """One strip; ``point`` is how many ms a point of width is."""
    inside = [row for row in scene.events if row["end_ms"] > start and row["start_ms"] < end]
    for speaker in SPEAKERS:
        top = _TOPS[speaker]
        axes.text(
            start - 8 * point,
            top + _LANE / 2 + 3,
            speaker,
            ha="right",
            fontsize=SMALL,
            color=_COLOURS[speaker],
        )
        bars(axes, [(start, top + _LANE / 2 - 0.3, end - start, 0.6)], RULE, zorder=0.5)
        boxes = _boxes(inside, "ipu", speaker, start, end, top, _LANE)
        bars(axes, boxes, _COLOURS[speaker], zorder=0.6, alpha=0.22)
        _envelope(axes, scene.envelopes.get(speaker), speaker, start, end, point)
        _words(axes, scene.words.get(speaker, ()), top + _LANE, start, end, point)
        pauses = _boxes(inside, "pause", speaker, start, end, top + _LANE / 2 - 2, 4)
        bars(axes, pauses, RULE, zorder=0.7)
        _marks(axes, inside, speaker, start, end, point)
    bars(axes, _boxes(inside, "overlap", "both", start, end, _BETWEEN, 5), BOTH, zorder=1)
    bars(axes, _boxes(inside, "gap", "none", start, end, _BETWEEN + 1, 3), FAINT, zorder=1)
    _notes(axes, scene.row, start, end, point)
    _moments(axes, moments(scene), start, end, point)
    _time(axes, start, end, point)


def _boxes(
    rows: Sequence[Mapping[str, Any]],
    kind: str,
    speaker: str,
    start: int,
    end: int,
    top: float,
    height: float,
) -> list[tuple[float, float, float, float]]:
    spans = [
        (max(row["start_ms"], start), min(row["end_ms"], end))
        for row in rows
        if row["kind"] == kind and row["speaker"] == speaker
    ]
    joined: list[list[int]] = []
    for a, b in sorted(spans):
        if joined and a - joined[-1][1] < (end - start) / _FINEST:
            joined[-1][1] = max(joined[-1][1], b)
        elif b > a:
            joined.append([a, b])
    return [(a, top, b - a, height) for a, b in joined]


def _envelope(
    axes: Axes,
    envelope: tuple[int, NDArray[np.int16]] | None,
    speaker: str,
    start: int,
    end: int,
    point: float,
) -> None:
    """Energy as a shape around the middle of its lane, a step at most every half point."""
    from matplotlib.collections import PolyCollection

    if envelope is None:
        return
    first_ms, level = envelope
    a, b = (int(np.clip((t - first_ms) // ENVELOPE_MS, 0, len(level))) for t in (start, end))
    if b - a < 2:
        return
    every = max(1, int(point / 2 / ENVELOPE_MS))
    places = np.arange(a, b, every)
    loudest = np.maximum.reduceat(level[:b], places) / 100.0
    height = np.clip(1 - loudest / _FLOOR_DB, 0, 1) ** 1.5 * _LANE / 2
    time = first_ms + (places + every / 2) * ENVELOPE_MS
    middle = _TOPS[speaker] + _LANE / 2
    outline = np.concatenate(
        [np.column_stack([time, middle - height]), np.column_stack([time, middle + height])[::-1]]
    )
    shape = PolyCollection(
        [outline], facecolors=_COLOURS[speaker], linewidths=0, alpha=0.85, zorder=2
    )
    axes.add_collection(shape, autolim=False)


def _words(
    axes: Axes,
    words: Sequence[tuple[int, int, str]],
    top: float,
    start: int,
    end: int,
    point: float,
) -> None:
    """Words at their times, in two rows; a dot for one for which neither has room."""
    free = [float(start), float(start)]
    for at, _, text in sorted(words):
        if not start <= at < end:
            continue
        shown = plain(text)
        wide = text_width(shown, _TINY) * 0.9 * point
        row = 0 if at >= free[0] else 1
        if at < free[row] or at + wide > end + 10 * point:
            row, shown, wide = 1, "·", 2.5 * point
            if at < free[row]:
                continue
        axes.text(at, top + 8 + 7.5 * row, shown, fontsize=_TINY, color=SOFT)
        free[row] = at + wide + 2 * point


def _marks(
    axes: Axes, rows: Sequence[Mapping[str, Any]], speaker: str, start: int, end: int, point: float
) -> None:
    """Brackets over backchannels, arrows at interruptions, in the speaker's lane."""
    top = _TOPS[speaker]
    colour = _COLOURS[speaker]
    arrows: list[float] = []
    free = float(start)
    for row in sorted(rows, key=lambda row: row["start_ms"]):
        if row["speaker"] != speaker or not start <= row["start_ms"] < end:
            continue
        a, b = row["start_ms"], min(row["end_ms"], end)
        if row["kind"] == "backchannel":
            y = top - 1.5
            lines = [((a, y + 3), (a, y)), ((a, y), (b, y)), ((b, y), (b, y + 3))]
            rules(axes, lines, colour, 1.0)
            if a >= free:
                axes.text(
                    (a + b) / 2, y - 1.5, "bc", ha="center", fontsize=_TINY, color=colour, zorder=5
                )
                free = max(b, a + 8 * point)
        elif row["kind"] == "interruption":
            won = {True: "interrupts, wins", False: "interrupts, loses", None: "interrupts"}
            text = won[row["success"]]
            arrows.append(a + 2 * point)
            if a >= free:
                axes.text(a + 6 * point, top - 1.8, text, fontsize=_TINY, color=colour, zorder=5)
                free = a + (8 + text_width(text, _TINY) * 0.92) * point
    axes.plot(
        arrows,
        [top - 4] * len(arrows),
        linestyle="none",
        marker=">",
        markersize=4.5,
        color=colour,
        markeredgewidth=0,
        zorder=5,
    )


def _annotations(row: Mapping[str, Any]) -> list[tuple[int, int | None, str]]:
    """Start, end (None: a moment) and name of what the manifest says, by start."""
    noted = [(start, end, _SHORT.get(name, name)) for name, start, end in noted_spans(row)]
    return sorted(noted, key=lambda note: note[0])


def _notes(axes: Axes, row: Mapping[str, Any], start: int, end: int, point: float) -> None:
    """Annotations of the manifest below the lanes, named where there is room."""
    free = float(start)
    for at, until, name in _annotations(row):
        if not at < end or (until or at) < start:
            continue
        left, right = max(at, start), min(until or at, end)
        if until is not None:
            bars(axes, [(left, _NOTES + 1, right - left, 3)], HUMAN, zorder=1)
        else:
            rules(axes, [((at, _NOTES - 1), (at, _NOTES + 5))], HUMAN, 1.6)
        begin = (right if until is not None else at) + 3 * point
        wide = text_width(name, _TINY) * 0.92 * point
        if begin + wide > end:
            begin = left - wide - 3 * point
        if begin >= free:
            axes.text(begin, _NOTES + 5, name, fontsize=_TINY, color=HUMAN)
        free = max(free, right, begin + wide if begin >= free else free) + 4 * point


def _moments(axes: Axes, drawn: Sequence[Moment], start: int, end: int, point: float) -> None:
    """A dashed line where a rule looks from, a full one at what decided it, named above."""
    free = dict.fromkeys(_MOMENTS, start - _NAMES * point)
    for moment in drawn:
        if not start <= moment.at_ms <= end:
            continue
        decided = moment.kind == "decided"
        axes.plot(
            [moment.at_ms] * 2,
            [_USER - 9, _NOTES + 6],
            color=INK if decided else SOFT,
            linewidth=1.3 if decided else 0.9,
            linestyle="solid" if decided else (0, (3, 2)),
            zorder=4,
            clip_on=False,
        )
        wide = text_width(moment.text, _TINY) * 0.92 * point
        left = moment.at_ms if moment.at_ms + wide <= end else moment.at_ms - wide
        row = next((row for row in _MOMENTS if left >= free[row]), None)
        if row is None:
            continue
        axes.text(
            moment.at_ms,
            row + 8,
            moment.text,
            fontsize=_TINY,
            ha="left" if left == moment.at_ms else "right",
            color=INK if decided else SOFT,
            fontweight="bold" if decided else "normal",
        )
        free[row] = left + wide + 4 * point


def _time(axes: Axes, start: int, end: int, point: float) -> None:
    step = nice_step((end - start) / 1000, 8) * 1000
    ticks = np.arange(np.ceil(start / step) * step, end + 1, step)
    rules(
        axes,
        [((start, _AXIS), (end, _AXIS)), *(((t, _AXIS), (t, _AXIS + 3)) for t in ticks)],
        FAINT,
    )
    for tick in ticks[ticks <= end - 8 * point]:
        seconds = f"{tick / 1000:g} s"
        axes.text(tick, _AXIS + 11, seconds, ha="center", fontsize=SMALL - 1, color=SOFT)
