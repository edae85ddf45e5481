"""Ends of turns and interruptions against human labels, as TurnBench scores them.

After TurnBench (arXiv 2608.25218; github.com/SesameAILabs/turnbench, eval/README.md), and of
SID-Bench (arXiv 2603.24144) the average penalty time.

Conventions
-----------
Labels of several annotators become *agreed* ones where a majority gives the same class with starts
and with ends within 0.2 s; the agreed time is their median. What no majority backs and no agreed
label overlaps is *disputed*: what is predicted there counts neither way. The classes are asked for
twice: does it claim the floor (ends of turns), and what is it (interruptions).

- *end of turn*: the end of a claim after which the other speaks first, or speaks already, or nobody
  speaks again. Where the same speaker goes on it is a *mid-turn pause*, a false positive if
  something fires there; it reaches to the first dispute, own other sound, or cut-in of the other.
- *interruption*: the start of a floor-taking interruption; false positives are backchannels and
  sounds without content. Attempts that do not take the floor count neither way.

A prediction at most 0.25 s before and 3 s after (but not after the speaker's next event) is a hit;
each event claims the earliest one that is left. A span is false from 0.25 s before its start on,
once at most, and never by what lies in a window of an event.

Divergences
-----------
Times are whole milliseconds. The penalty is of labels: a hit costs its distance, a missed
interruption its whole length, a backchannel that fires its own; SID-Bench cuts clips, and there the
clip's length counts.
"""

import bisect
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from flexi_score.errors import InputError, TranscriptError
from flexi_score.formats.datasets import turnbench
from flexi_score.formats.subtitles import read_subtitles
from flexi_score.schema import SPEAKERS, Row, make_schema
from flexi_score.scoring.run import Run
from flexi_score.segment.axis import Spans
from flexi_score.validate.match import match

TASKS: Final = ("end_of_turn", "interruption")
#: ms; all TurnBench, eval/gold.py
EARLY_MS, LATE_MS, NEAR_MS, SAME_MS = 250, 3000, 500, 200

#: Class of each label, in the view that asks what it is; others are not used.
CLASSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("Normal Turn", "Regular Turn", "Strong Floor Hold", "Bounded Response", "Filler"), "turn"
    ),
    "Overlap": "turn",
    **{
        f"Floor-taking {how} Interruption": "interruption" for how in ("Competitive", "Cooperative")
    },
    **{f"Non-floor Taking {how} Interruption": "attempt" for how in ("Competitive", "Cooperative")},
    **{
        f"{kind} Backchannel": "backchannel"
        for kind in ("Acknowledgement", "Continuer", "Reaction")
    },
    **dict.fromkeys(("Non-Speech Noise", "Channel Bleed", "Speech, Non-Linguistic"), "sound"),
    "Laughter": "laughter",
    "Awkward Silence": "silence",
}
_CLAIMS: Final = ("turn", "interruption")

LABELS: Final = make_schema(
    {
        "recording": pl.String,
        "speaker": pl.String,
        "annotator": pl.String,
        "start_ms": pl.Int64,
        "end_ms": pl.Int64,
        "label": pl.String,
    }
)
PREDICTIONS: Final = make_schema(
    {"recording": pl.String, "speaker": pl.String, "task": pl.String, "time_ms": pl.Int64}
)
#: One row per event that is to be found, or a span in which nothing is.
ITEMS: Final = make_schema(
    {
        "recording": pl.String,
        "speaker": pl.String,
        "task": pl.String,
        "positive": pl.Boolean,
        "start_ms": pl.Int64,
        "end_ms": pl.Int64,
        "predicted_ms": pl.Int64,  # of an event that was found, or of what fired in a span
    }
)


class Label(NamedTuple):
    """A labelled stretch (ms) and its class."""

    start: int
    end: int
    kind: str


def read_labels(folder: str | Path) -> pl.DataFrame:
    """Annotators' labels of a folder in TurnBench's layout (:data:`LABELS`)."""
    layout = turnbench(Path(folder))
    rows: list[Row] = []
    for sample in layout.samples:
        for key, file in sorted(sample.metadata.items()):
            speaker, _, annotator = key.partition("_annotation_")
            if speaker not in SPEAKERS or not annotator:
                continue
            try:
                entries = read_subtitles(Path(file))
            except TranscriptError as error:
                raise InputError(str(error)) from error
            for entry in entries:
                label = " ".join((entry.text or "").split())
                if label not in CLASSES:
                    raise InputError(
                        f"{file}: found the label {label!r}, expected one of {', '.join(CLASSES)}"
                    )
                times = {"start_ms": entry.start_ms, "end_ms": entry.end_ms, "label": label}
                who = {"recording": sample.row["id"], "speaker": speaker, "annotator": annotator}
                rows.append(who | times)
    if not rows:
        raise InputError(
            f"{folder}: holds no labels; expected folders with speaker_1_audio.wav and "
            "speaker_1_annotation_a.srt, as TurnBench has them"
        )
    return pl.DataFrame(rows, schema=LABELS)


def read_predictions(path: str | Path) -> pl.DataFrame:
    """Predictions (:data:`PREDICTIONS`) of a run folder or of a submission to TurnBench (JSON).

    Of a run: where its turns that took the floor end, and where its interruptions that won start.
    """
    file = Path(path)
    if file.is_dir():
        events = Run.open(file).scan("events").filter("success")
        kinds = {"turn": ("end_of_turn", "end_ms"), "interruption": ("interruption", "start_ms")}
        return pl.concat(
            events.filter(pl.col("kind") == kind).select(
                "recording", "speaker", task=pl.lit(task), time_ms=edge
            )
            for kind, (task, edge) in kinds.items()
        ).collect()
    try:
        content = json.loads(file.read_text("utf-8"))
        rows = [
            {"recording": str(one["conversation_id"]), "speaker": speaker, "task": task}
            | {"time_ms": round(float(time) * 1000)}
            for one in content["predictions"]
            for number, speaker in enumerate(SPEAKERS, 1)
            for key, task in (("eot", TASKS[0]), ("interruption", TASKS[1]))
            for time in one[f"speaker_{number}"][key]
        ]
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file}: is no submission to TurnBench ({type(error).__name__}: {error}); expected "
            '{"predictions": [{"conversation_id", "speaker_1": {"eot", "interruption"}, ...}]}'
        ) from error
    return pl.DataFrame(rows, schema=PREDICTIONS)


def agreed_labels(tracks: Sequence[Sequence[Label]]) -> tuple[list[Label], list[Label], int]:
    """What a majority of annotators agrees on, what is disputed, and how many labels are agreed."""
    used: set[tuple[int, int]] = set()
    agreed: list[Label] = []
    for i, track in enumerate(tracks):
        for k, own in enumerate(track):
            if (i, k) in used:
                continue
            group = [(i, k)]
            for j in range(i + 1, len(tracks)):
                near = [
                    (abs(other.start - own.start), at)
                    for at, other in enumerate(tracks[j])
                    if (j, at) not in used and other.kind == own.kind
                ]
                if near and min(near)[0] <= NEAR_MS:
                    group.append((j, min(near)[1]))
            backed = _largest(tracks, group)
            if 2 * len(backed) > len(tracks):
                used.update(backed)
                start = median(tracks[a][b].start for a, b in backed)
                end = median(tracks[a][b].end for a, b in backed)
                agreed.append(Label(round(start), round(end), own.kind))
    agreed.sort()
    alone = sorted(
        label
        for i, track in enumerate(tracks)
        for k, label in enumerate(track)
        if (i, k) not in used
        and not any(a.start < label.end and label.start < a.end for a in agreed)
    )
    disputed: list[Label] = []
    for label in alone:
        if disputed and label.start <= disputed[-1].end:
            disputed[-1] = disputed[-1]._replace(end=max(disputed[-1].end, label.end))
        else:
            disputed.append(label._replace(kind="disputed"))
    return agreed, disputed, len(used)


def _largest(
    tracks: Sequence[Sequence[Label]], group: Sequence[tuple[int, int]]
) -> Sequence[tuple[int, int]]:
    """The most of a group, its first in it, whose starts and whose ends are alike."""
    for size in range(len(group) - 1, 0, -1):
        for others in combinations(group[1:], size):
            starts = [tracks[a][b].start for a, b in (group[0], *others)]
            ends = [tracks[a][b].end for a, b in (group[0], *others)]
            if max(max(x) - min(x) for x in (starts, ends)) <= SAME_MS:
                return (group[0], *others)
    return group[:1]


class _Views(NamedTuple):
    """Agreed and disputed labels of one speaker: of claims of the floor, and of classes."""

    claims: list[Label]
    claims_disputed: list[Label]
    labels: list[Label]
    labels_disputed: list[Label]


def _wanted(own: _Views, other: _Views) -> dict[str, tuple[list[Label], list[Label], list[Label]]]:
    """Of each task: the events, the spans in which nothing is to fire, what is not counted."""
    ends, pauses = set(), set()
    own_starts, other_starts = ([c.start for c in v.claims] for v in (own, other))
    for claim in own.claims:
        at = claim.end
        if any(c.start < at < c.end for c in own.claims):
            continue
        resumed, answered = _after(own_starts, at), _after(other_starts, at)
        passed = resumed is None or (answered is not None and answered < resumed)
        if passed or any(c.start < at < c.end for c in other.claims):
            ends.add(Label(at, at, "end"))
        elif resumed is not None:
            pauses.add(_pause(at, resumed, own, other))
    firing = [x for x in own.labels if x.kind == "interruption"]
    silent = [x for x in own.labels if x.kind in ("backchannel", "sound")]
    open_ = own.labels_disputed + [x for x in own.labels if x.kind == "attempt"]
    return {
        "end_of_turn": (
            sorted(ends),
            sorted(p for p in pauses if p.start < p.end),
            own.claims_disputed,
        ),
        "interruption": (firing, silent, open_),
    }


def _after(starts: Sequence[int], at: int) -> int | None:
    index = bisect.bisect_right(starts, at)
    return starts[index] if index < len(starts) else None


def _pause(start: int, end: int, own: _Views, other: _Views) -> Label:
    """A mid-turn pause, up to the first sign that it is none."""
    cuts = [
        x.start
        for view in (own, other)
        for x in view.claims_disputed + view.labels_disputed
        if x.start < end and x.end > start
    ]
    cuts += [x.start for x in own.labels if x.kind != "turn" and start < x.start < end]
    cut_in = ("interruption", "attempt")
    cuts += [x.start for x in other.labels if x.kind in cut_in and start < x.start < end]
    return Label(start, max(start, min([end, *cuts])), "pause")


def find_items(
    events: Sequence[Label], spans: Sequence[Label], times: Iterable[int]
) -> tuple[list[int | None], list[int | None]]:
    """What was predicted of each event, and what fired in each span (ms; None: nothing)."""
    left = sorted(times)
    nexts = [b.start for a, b in pairwise([*events, Label(1 << 62, 0, "")])]
    windows = [
        (event.start - EARLY_MS, min(event.start + LATE_MS, after))
        for event, after in zip(events, nexts, strict=True)
    ]
    hits: list[int | None] = []
    for low, high in windows:
        at = bisect.bisect_left(left, low)
        hits.append(left.pop(at) if at < len(left) and left[at] <= high else None)
    stray = [t for t in left if not any(low <= t <= high for low, high in windows)]
    fired = []
    for span in spans:
        at = bisect.bisect_left(stray, span.start - EARLY_MS)
        fired.append(stray[at] if at < len(stray) and stray[at] <= span.end else None)
    return hits, fired


def turn_items(
    labels: pl.DataFrame, predictions: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events and spans with what was predicted (:data:`ITEMS`), and how annotators agree.

    The second frame is ``recording, task, agreed, labels, f1_sum, f1_pairs``.
    """
    given = {
        key: part["time_ms"].to_list()
        for key, part in predictions.group_by("recording", "speaker", "task")
    }
    items: list[Row] = []
    agreement: list[Row] = []
    for (recording,), part in labels.group_by("recording", maintain_order=True):
        views = {}
        annotators = sorted(part["annotator"].unique())
        for speaker in SPEAKERS:
            own = part.filter(speaker=speaker).sort("start_ms", "end_ms")
            tracks = [
                [Label(a, b, CLASSES[text]) for a, b, text in rows.rows()]
                for name in annotators
                for rows in [own.filter(annotator=name).select("start_ms", "end_ms", "label")]
            ]
            collected = []
            for task in TASKS:
                seen = tracks if task == "interruption" else [_claiming(t) for t in tracks]
                agreed, disputed, number = agreed_labels(seen)
                collected += [agreed, disputed]
                agreement.append(
                    {"recording": recording, "task": task, "agreed": number}
                    | {"labels": sum(map(len, seen)), **_pairwise_f1(seen)}
                )
            views[speaker] = _Views(*collected)
        for speaker, other in (SPEAKERS, SPEAKERS[::-1]):
            for task, (events, spans, open_) in _wanted(views[speaker], views[other]).items():
                times = [
                    t
                    for t in given.get((recording, speaker, task), ())
                    if not any(x.start <= t <= x.end for x in open_)
                ]
                hits = find_items(events, spans, times)
                for part_of, outcome, positive in zip(
                    (events, spans), hits, (True, False), strict=True
                ):
                    who = {"recording": recording, "speaker": speaker, "task": task}
                    items += [
                        who
                        | {"positive": positive, "start_ms": x.start, "end_ms": x.end}
                        | {"predicted_ms": t}
                        for x, t in zip(part_of, outcome, strict=True)
                    ]
    return pl.DataFrame(items, schema=ITEMS), pl.DataFrame(agreement)


def _claiming(track: Sequence[Label]) -> list[Label]:
    return [label._replace(kind="claim") for label in track if label.kind in _CLAIMS]


def _pairwise_f1(tracks: Sequence[Sequence[Label]]) -> dict[str, float]:
    """Sum and number of F1 over pairs of annotators: same class, both edges within 0.2 s."""
    kinds = sorted({label.kind for track in tracks for label in track})
    sides = []
    for track in tracks:
        # A class is a stretch of its own: labels of two are never near.
        moved = [kinds.index(x.kind) << 40 for x in track]
        at = sorted((x.start + by, x.end + by) for x, by in zip(track, moved, strict=True))
        start, end = np.array(at, np.int64).reshape(-1, 2).T
        sides.append(Spans(np.zeros(len(at), np.int64), start, end))
    pairs = [(a, b) for a, b in combinations(sides, 2) if len(a) + len(b)]
    f1 = [2 * len(match(a, b, SAME_MS)[0]) / (len(a) + len(b)) for a, b in pairs]
    return {"f1_sum": float(sum(f1)), "f1_pairs": float(len(f1))}
