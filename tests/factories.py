"""Small builders of tracks for tests: what a recording is, in as few words as possible."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from flexi_score.schema import RECORDINGS
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
