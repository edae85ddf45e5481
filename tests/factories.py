"""Small builders of tracks for tests: what a recording is, in as few words as possible."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from flexi_score.aggregate import summarize, with_failures
from flexi_score.aggregate.people import PEOPLE
from flexi_score.config import Settings, flatten
from flexi_score.judge.questions import NOT_JUDGED
from flexi_score.metrics import profile_metrics
from flexi_score.schema import EVENTS, FAILURES, HEALTH, RATINGS, RECORDINGS, SCORES
from flexi_score.scoring.run import Run
from flexi_score.segment.tracks import Intervals, Tracks, Words, make_intervals, make_words

Spans = Sequence[tuple[int, int]]
Timed = Sequence[tuple[int, int, str]]


def recording_rows(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows of RECORDINGS from partial dicts."""
    full = []
    for number, row in enumerate(rows):
        base = dict.fromkeys(RECORDINGS.names())
        base |= {"recording": f"r{number}", "system": "model", "scenario": "conversation"}
        full.append(base | row)
    return pl.DataFrame(full, schema=RECORDINGS)


def make_tracks(
    user: Sequence[Spans],
    model: Sequence[Spans],
    duration_ms: Sequence[int],
    *,
    user_words: Sequence[Timed | None] | None = None,
    model_words: Sequence[Timed | None] | None = None,
    rows: Sequence[dict[str, Any]] | None = None,
) -> Tracks:
    """Tracks from lists of (start_ms, end_ms) per recording; words None means no transcript."""
    n = len(duration_ms)
    return Tracks(
        recording_rows(rows if rows is not None else [{}] * n),
        np.array(duration_ms, np.int64),
        _intervals(user),
        _intervals(model),
        _words(user_words or [None] * n),
        _words(model_words or [None] * n),
    )


def make_run(
    scores: pl.DataFrame | None = None,
    settings: Settings | None = None,
    info: dict[str, Any] | None = None,
    **tables: pl.DataFrame,
) -> Run:
    """A run in memory of these tables; the others are empty, the summary is that of the scores."""
    settings = settings or Settings()
    scores = SCORES.to_frame() if scores is None else scores
    metrics = profile_metrics(settings.profile)
    if "failures" in tables:
        scores = with_failures(scores, tables["failures"], metrics)
    empty = {
        "events": EVENTS.to_frame(),
        "recordings": RECORDINGS.to_frame(),
        "failures": FAILURES.to_frame(),
        "statistics": pl.DataFrame(),
        "health": HEALTH.to_frame(),
        "ratings": RATINGS.to_frame(),
        "not_judged": NOT_JUDGED.to_frame(),
        "people": PEOPLE.to_frame(),
    }
    if "summary" not in tables:
        tables["summary"] = summarize(scores, metrics, settings.summary)
    info = {"settings": flatten(settings), **(info or {})}
    return Run(empty | tables | {"scores": scores}, settings, info)


def _intervals(lists: Sequence[Spans]) -> Intervals:
    flat = [(r, a, b) for r, spans in enumerate(lists) for a, b in spans]
    data = np.array(flat, np.int64).reshape(-1, 3)
    return make_intervals(data[:, 0], data[:, 1], data[:, 2])


def _words(lists: Sequence[Timed | None]) -> Words:
    flat = [(r, a, b, t) for r, words in enumerate(lists) for a, b, t in words or ()]
    numbers = np.array([row[:3] for row in flat], np.int64).reshape(-1, 3)
    return make_words(
        numbers[:, 0],
        numbers[:, 1],
        numbers[:, 2],
        pl.Series([row[3] for row in flat], dtype=pl.String),
        np.ones(len(flat)),
        np.array([words is not None for words in lists], bool),
    )


@dataclass
class Dialogue:
    """One recording: what each speaker says, and its manifest row."""

    duration: int
    user: list[tuple[int, int]] = field(default_factory=list)
    model: list[tuple[int, int]] = field(default_factory=list)
    user_words: list[tuple[int, int, str]] | None = None
    model_words: list[tuple[int, int, str]] | None = None
    row: dict[str, Any] = field(default_factory=dict)

    def swapped(self) -> "Dialogue":
        """The same with user and model exchanged."""
        return Dialogue(
            self.duration, self.model, self.user, self.model_words, self.user_words, self.row
        )

    def shifted(self, by: int) -> "Dialogue":
        """The same, ``by`` ms later (speech cut to the recording first)."""
        spans = [
            [(max(a, 0) + by, min(b, self.duration) + by) for a, b in s if b > 0 and a < b]
            for s in (self.user, self.model)
        ]
        words = [
            None if w is None else [(a + by, b + by, t) for a, b, t in w]
            for w in (self.user_words, self.model_words)
        ]
        return Dialogue(self.duration + by, spans[0], spans[1], words[0], words[1], self.row)


def tracks_of(dialogues: Sequence[Dialogue]) -> Tracks:
    """Tracks of several recordings."""
    return make_tracks(
        [d.user for d in dialogues],
        [d.model for d in dialogues],
        [d.duration for d in dialogues],
        user_words=[d.user_words for d in dialogues],
        model_words=[d.model_words for d in dialogues],
        rows=[d.row for d in dialogues],
    )


def random_dialogue(rng: np.random.Generator, scenario: str = "conversation") -> Dialogue:
    """A recording of any sort: on a coarse grid as often as not, so that ties and limits occur."""
    grid = int(rng.choice([1, 10, 50, 100, 250]))
    duration = int(rng.choice([0, 40, 1000, 4000, 9000, 20000]))
    shape = rng.choice(["both", "both", "both", "both", "user", "model", "none"])
    sides = [
        _random_speech(rng, duration, grid) if shape in ("both", name) else []
        for name in ("user", "model")
    ]
    if rng.random() < 0.2:  # simultaneous intervals
        sides[1] += [span for span in sides[0] if rng.random() < 0.4]
    words = [_random_words(rng, spans, grid) if rng.random() < 0.6 else None for spans in sides]
    row = {"scenario": scenario} | _random_annotations(rng, duration, grid)
    return Dialogue(duration, sides[0], sides[1], words[0], words[1], row)


def _random_speech(rng: np.random.Generator, duration: int, grid: int) -> list[tuple[int, int]]:
    count = int(rng.integers(0, 12))
    if rng.random() < 0.15:  # unordered, overlapping, past both ends
        starts = rng.integers(-500, duration + 500, count) // grid * grid
        return [(int(a), int(a + rng.integers(0, 3000) // grid * grid)) for a in starts]
    clock, spans = int(rng.integers(0, 3000)) // grid * grid, []
    longest = int(rng.choice([400, 1500, 4000]))
    for _ in range(count):
        length = int(rng.integers(0, longest)) // grid * grid
        spans.append((clock, clock + length))
        clock += length + int(rng.choice([0, 150, 199, 200, 600, 999, 1000, 1500, 2500]))
        clock += int(rng.integers(0, 300)) // grid * grid
    return spans


def _random_words(
    rng: np.random.Generator, spans: Spans, grid: int
) -> list[tuple[int, int, str]] | None:
    words = []
    for a, b in spans:
        for _ in range(int(rng.integers(0, 6))):
            start = int(rng.integers(a - 400, max(b, a) + 400)) // grid * grid
            words.append((start, start + int(rng.integers(0, 500)), f"w{len(words)}"))
    return words


def _random_annotations(rng: np.random.Generator, duration: int, grid: int) -> dict[str, Any]:
    def moment() -> int:
        return int(rng.integers(0, duration + 1)) // grid * grid

    row: dict[str, Any] = {}
    for start, end in (
        ("pause_start_ms", "pause_end_ms"),
        ("interrupt_start_ms", "interrupt_end_ms"),
    ):
        if rng.random() < 0.5:
            row[start], row[end] = sorted((moment(), moment()))
    if rng.random() < 0.5:
        row["user_turn_end_ms"] = moment()
    if rng.random() < 0.5:
        pairs = [sorted((moment(), moment())) for _ in range(int(rng.integers(0, 4)))]
        row["backchannels"] = [{"start_ms": a, "end_ms": b} for a, b in sorted(pairs)]
    if rng.random() < 0.5:
        row["reference_backchannels_ms"] = sorted(moment() for _ in range(int(rng.integers(0, 5))))
    if rng.random() < 0.5:
        row["rating"] = float(rng.integers(0, 6))
    return row
