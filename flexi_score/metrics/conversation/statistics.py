"""What every conversation adds up to: counts and times of each recording, and its single events.

Conventions
-----------
Counts and sums are integers (milliseconds), so that recordings can be added up exactly: a corpus is
the sum of its recordings, and the identities of the structure hold to the millisecond::

    user_ipu_ms + model_ipu_ms - overlap_ms + pause_ms + gap_ms + edge_silence_ms = duration_ms
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import ConversationSettings, Settings
from flexi_score.schema import SPEAKERS
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import MODEL, USER, Structure

#: Columns of :func:`statistics_frame` that add up over recordings.
COUNTED: Final = (
    "duration_ms",
    *(
        f"{side}_{name}"
        for side in SPEAKERS
        for name in (
            "ipus",
            "ipu_ms",
            "turns",
            "floor_changes",
            "floor_offset_ms",
            "overlapped_starts",
            "responses",
            "response_ms",
            "interruptions",
            "interruptions_successful",
            "stops",
            "stop_ms",
            "backchannels",
        )
    ),
    *(f"{kind}{part}" for kind in ("pause", "gap", "overlap") for part in ("s", "_ms")),
    "silence_ms",
    "edge_silence_ms",
    "model_level_1",
    "model_level_2",
    "model_level_3",
)

STATISTICS: Final = pl.Schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        **dict.fromkeys(COUNTED, pl.Int64),
        "longest_silence_ms": pl.Int64,  # between the first IPU and the last; null without IPUs
        "longest_silence_overall_ms": pl.Int64,  # edges included; 0 without silence
    }
)

#: Single events, pooled over recordings for quantiles.
OBSERVATIONS: Final = pl.Schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "value": pl.Float64,  # s
    }
)

#: Metrics that have single events.
OBSERVED: Final = tuple(
    f"{side}_{name}"
    for name in ("floor_offset", "response_latency", "stop_latency")
    for side in reversed(SPEAKERS)
)


def statistics_frame(structure: Structure, settings: Settings | None = None) -> pl.DataFrame:
    """Counts and times of every recording, whatever its scenario.

    ``settings``: uses the group ``conversation``; the defaults if not given. Returns
    :data:`STATISTICS`, one row per recording in manifest order. ``<side>_turns`` counts turns that
    took the floor. ``<side>_floor_changes`` are those that followed a turn of the other,
    ``<side>_floor_offset_ms`` the sum of their floor-transfer offsets; those below 0 are
    ``<side>_overlapped_starts``, the others ``<side>_responses`` with ``<side>_response_ms``.
    ``<side>_stops`` counts how often the side was interrupted with success, ``<side>_stop_ms`` sums
    the times it took to stop.
    """
    rules = ConversationSettings() if settings is None else settings.conversation
    s, n = structure, len(structure)
    data: dict[str, Ints] = {"duration_ms": s.duration_ms}
    for label, (side, speaker) in enumerate(zip(SPEAKERS, (s.user, s.model), strict=True)):
        data[f"{side}_ipus"], data[f"{side}_ipu_ms"] = _sums(speaker.ipus, n)
        turns = s.turns
        data[f"{side}_turns"] = _count(
            turns.spans.rec, (turns.speaker == label) & turns.took_floor, n
        )
        rec, offset = _offsets(s, label)
        every = np.ones(len(rec), bool)
        data[f"{side}_floor_changes"] = _count(rec, every, n)
        data[f"{side}_floor_offset_ms"] = _total(rec, offset, n)
        data[f"{side}_overlapped_starts"] = _count(rec, offset < 0, n)
        data[f"{side}_responses"] = _count(rec, offset >= 0, n)
        data[f"{side}_response_ms"] = _total(rec, np.maximum(offset, 0), n)
        if label == MODEL:
            first = (offset >= 0) & (offset < rules.level_1_ms)
            second = (offset >= rules.level_1_ms) & (offset < rules.level_2_ms)
            data["model_level_1"] = _count(rec, first, n)
            data["model_level_2"] = _count(rec, second, n)
            data["model_level_3"] = _count(rec, offset >= rules.level_2_ms, n)
        cuts, own = s.interruptions, s.interruptions.speaker == label
        data[f"{side}_interruptions"] = _count(cuts.spans.rec, own, n)
        data[f"{side}_interruptions_successful"] = _count(cuts.spans.rec, own & cuts.success, n)
        rec, stop = _stops(s, label)
        data[f"{side}_stops"] = _count(rec, np.ones(len(rec), bool), n)
        data[f"{side}_stop_ms"] = _total(rec, stop, n)
        said = s.backchannels
        data[f"{side}_backchannels"] = _count(said.spans.rec, said.speaker == label, n)
    for kind, spans in (("pause", s.pauses.spans), ("gap", s.gaps), ("overlap", s.overlaps)):
        data[f"{kind}s"], data[f"{kind}_ms"] = _sums(spans, n)
    data["silence_ms"] = _sums(s.silences, n)[1]
    data["edge_silence_ms"] = data["silence_ms"] - data["pause_ms"] - data["gap_ms"]
    inside = np.maximum(_longest(s.pauses.spans, n), _longest(s.gaps, n))
    spoken = data["user_ipus"] + data["model_ipus"] > 0
    return (
        s.tracks.recordings.select("recording", "system", "scenario")
        .with_columns(
            *(pl.Series(name, data[name], pl.Int64) for name in COUNTED),
            pl.when(pl.Series(spoken)).then(pl.Series(inside)).alias("longest_silence_ms"),
            pl.Series("longest_silence_overall_ms", _longest(s.silences, n), pl.Int64),
        )
        .select(pl.col(name).cast(kind) for name, kind in STATISTICS.items())
    )


def observations(structure: Structure) -> pl.DataFrame:
    """Floor-transfer offsets, response latencies and stop latencies, one row per event.

    Returns :data:`OBSERVATIONS`, by recording, metric (:data:`OBSERVED`) and time, in s.
    ``<side>_floor_offset``: start of the side's turn minus end of the other's, signed;
    ``<side>_response_latency``: those that are not negative; ``<side>_stop_latency``: from the
    start of a successful interruption by the other to the side's stop.
    """
    parts: dict[str, tuple[Ints, Floats]] = {}
    for label, side in enumerate(SPEAKERS):
        rec, offset = _offsets(structure, label)
        parts[f"{side}_floor_offset"] = rec, offset
        parts[f"{side}_response_latency"] = rec[offset >= 0], offset[offset >= 0]
        parts[f"{side}_stop_latency"] = _stops(structure, label)
    sizes = [len(parts[name][0]) for name in OBSERVED]
    rec = np.concatenate([parts[name][0] for name in OBSERVED])
    which = np.repeat(np.arange(len(OBSERVED)), sizes)
    value = np.concatenate([parts[name][1] for name in OBSERVED]) / 1000
    order = np.lexsort((which, rec))  # stable: events stay in order of time
    names = pl.Series(OBSERVED, dtype=pl.String)
    rows = structure.tracks.recordings.select("recording", "system", "scenario")[rec[order]]
    return rows.with_columns(
        metric=names.gather(which[order]), value=pl.Series(value[order], dtype=pl.Float64)
    ).select(pl.col(name).cast(kind) for name, kind in OBSERVATIONS.items())


def _offsets(structure: Structure, label: int) -> tuple[Ints, Floats]:
    """Recording and floor-transfer offset (ms) of the turns with which a speaker took over."""
    turns = structure.turns
    taken = (turns.speaker == label) & ~np.isnan(turns.offset_ms)
    return turns.spans.rec[taken], turns.offset_ms[taken]


def _stops(structure: Structure, label: int) -> tuple[Ints, Floats]:
    """Recording and time (ms) that a speaker took to stop, where the other cut in with success."""
    cuts, other = structure.interruptions, USER if label == MODEL else MODEL
    hit = (cuts.speaker == other) & cuts.success
    return cuts.spans.rec[hit], cuts.stop_ms[hit].astype(np.float64)


def _count(rec: Ints, which: Bools, n: int) -> Ints:
    return np.bincount(rec[which], minlength=n).astype(np.int64)


def _total(rec: Ints, values: Floats, n: int) -> Ints:
    # Whole milliseconds below 2**53 add up exactly in floats.
    return np.rint(np.bincount(rec, values, minlength=n)).astype(np.int64)


def _sums(spans: Spans, n: int) -> tuple[Ints, Ints]:
    """Number and total length (ms) of each recording's spans."""
    length = (spans.end - spans.start).astype(np.float64)
    return np.bincount(spans.rec, minlength=n).astype(np.int64), _total(spans.rec, length, n)


def _longest(spans: Spans, n: int) -> Ints:
    longest = np.zeros(n, np.int64)
    np.maximum.at(longest, spans.rec, spans.end - spans.start)
    return longest
