"""How likely what happened at each boundary of a scored run is under a turn-taking model.

A voice activity projection network (:mod:`flexi_score.extraction.vap`), trained on conversations
between people, hears both channels up to a boundary and gives the probability of what follows. What
did follow is a state of that network: who of the two is active in which part of the next 2 s.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.audio.signal import Signal, open_signals
from flexi_score.errors import RecordingError
from flexi_score.extraction.vap import (
    BINS_MS,
    EDGES_MS,
    FRAME,
    FRAME_MS,
    STATES,
    WINDOW_MS,
    Vap,
    next_speaker,
    probabilities,
)
from flexi_score.schema import SPEAKERS, make_schema
from flexi_score.scoring.run import Run
from flexi_score.segment import axis
from flexi_score.segment.tracks import make_intervals

#: One row per boundary. ``state``: what followed; null where the recording ends within 2 s.
#: ``log_likelihood``: natural logarithm of its probability; null as ``state``, or where nothing was
#: heard before. ``p_now`` and ``p_future``: share of the model in the expected activity of the next
#: 0.6 s, and of the 1.4 s after these.
NATURALNESS: Final = make_schema(
    {
        "recording system scenario boundary": pl.String,  # user_turn_end | model_turn_start
        "at_ms state": pl.Int64,
        "log_likelihood p_now p_future": pl.Float64,
    }
)
_HALF: Final = WINDOW_MS // 2


def boundaries(run: Run) -> pl.DataFrame:
    """Ends of the user's turns and starts of the model's, and what followed each.

    Returns the columns of :data:`NATURALNESS` up to ``state``, in the order of the recordings.
    """
    rows = run.recordings.select("recording", "system", "scenario", "duration_ms")
    rows = rows.with_row_index("rec").with_columns(pl.col("rec").cast(pl.Int64))
    events = run.events.join(rows, on="recording", maintain_order="left")
    user, model = (pl.col("speaker") == speaker for speaker in SPEAKERS)
    turns = events.filter(pl.col("kind") == "turn")
    names = pl.col("rec", "recording", "system", "scenario")
    table = pl.concat(
        [
            turns.filter(user).select(names, boundary=pl.lit("user_turn_end"), at_ms="end_ms"),
            turns.filter(model).select(
                names, boundary=pl.lit("model_turn_start"), at_ms="start_ms"
            ),
        ]
    ).sort("rec", "at_ms", maintain_order=True)
    duration = rows["duration_ms"].to_numpy()
    origin = axis.origins(duration)
    rec, at = (table[name].to_numpy() for name in ("rec", "at_ms"))
    state = np.zeros(len(table), np.int64)
    for party, own in enumerate((user, model)):
        ipus = events.filter(own, pl.col("kind") == "ipu")
        spans = make_intervals(*(ipus[name].to_numpy() for name in ("rec", "start_ms", "end_ms")))
        track = axis.bridge(axis.place(spans, origin, duration), 0)
        for k, length in enumerate(BINS_MS):
            start = origin[rec] + at + EDGES_MS[k]
            active = 2 * axis.covered(track, start, start + length) >= length
            state |= active.astype(np.int64) << (len(BINS_MS) * party + k)
    known = at + EDGES_MS[-1] <= duration[rec]
    followed = pl.when(pl.Series(known)).then(pl.Series(state))
    return table.drop("rec").with_columns(state=followed)


def naturalness(
    run: Run, vap: Vap, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[pl.DataFrame, list[str]]:
    """Hold every boundary of a run against a network.

    ``progress``: called with how many recordings of how many are done. Returns
    :data:`NATURALNESS`, and what recordings were left out, and why.
    """
    rows = {row["recording"]: row for row in run.recordings.iter_rows(named=True)}
    frames, problems = [NATURALNESS.to_frame()], []
    parts = boundaries(run).partition_by("recording", maintain_order=True)
    for done, part in enumerate(parts, 1):
        row = rows[part["recording"][0]]
        try:
            user, model = open_signals(row)
        except RecordingError as error:
            problems.append(f"{row['recording']}: {error}")
        else:
            with user, model:
                states = _heard(vap, row, (user, model), part["at_ms"].to_numpy())
            state = part["state"].fill_null(0).to_numpy()
            likelihood = pl.Series(np.log(states[np.arange(len(part)), state]))
            frames.append(
                part.with_columns(
                    log_likelihood=pl.when(pl.col("state").is_not_null()).then(likelihood),
                    p_now=pl.Series(next_speaker(states, 0, 1)),
                    p_future=pl.Series(next_speaker(states, 2, 3)),
                ).fill_nan(None)
            )
        progress(done, len(parts))
    return pl.concat(frames), problems


def _heard(
    vap: Vap, row: Mapping[str, Any], signals: tuple[Signal, Signal], at_ms: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities of the states at moments, shape (k, 256); NaN where nothing was heard.

    Windows of 20 s overlap by half: a moment is read in one that holds the 10 to 20 s before it, or
    all that there is.
    """
    frame = (at_ms + FRAME_MS // 2) // FRAME_MS
    window = np.maximum(-(-frame * FRAME_MS // _HALF) - 2, 0)
    states = np.full((len(at_ms), STATES), np.nan)
    for number in np.unique(window):
        here = np.flatnonzero((window == number) & (frame > 0))
        if not len(here):
            continue
        first = number * _HALF // FRAME_MS
        last = frame[here].max()
        samples = np.zeros((2, (last - first) * FRAME), np.float32)
        for speaker, signal, channel in zip(SPEAKERS, signals, samples, strict=True):
            shift = (row[f"{speaker}_offset_ms"] or 0) * FRAME // FRAME_MS
            lead = max(shift - first * FRAME, 0)
            read = signal.read(first * FRAME + lead - shift, last * FRAME - shift)
            channel[lead : lead + len(read)] = read[: max(len(channel) - lead, 0)]
        states[here] = probabilities(vap, samples)[frame[here] - first - 1]
    return states
