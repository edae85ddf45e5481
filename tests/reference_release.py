"""Profile ``release``, one sample at a time, in plain Python: slow, obvious, for tests only.

Times are float seconds and words ``(start, end)`` pairs, as the published scripts see them. None
stands for a number that the sample does not add to.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from flexi_score.schema import RECORDINGS
from flexi_score.segment.tracks import Tracks, Words, make_intervals, make_words

Pair = tuple[int, int]
Numbers = dict[str, float | None]


@dataclass
class Sample:
    """One recording; times in integer milliseconds, ``None`` words for no transcript."""

    scenario: str
    recording: str = "r"
    system: str = "s"
    duration: int = 20_000
    user: Sequence[Pair] | None = ()
    model: Sequence[Pair] | None = ()
    model_speech: Sequence[Pair] = ()
    turn_end: int | None = None
    pause: Pair | None = None
    interrupt: Pair | None = None
    backchannels: list[Pair] = field(default_factory=list)
    reference: list[float] | None = None
    reference_positions: list[int] | None = None
    rating: float | None = None


def build_tracks(samples: Sequence[Sample]) -> Tracks:
    """The flat tables that the scorers read."""
    rows = []
    for sample in samples:
        row = dict.fromkeys(RECORDINGS.names())
        pause, interrupt = sample.pause or (None, None), sample.interrupt or (None, None)
        row |= {
            "recording": sample.recording,
            "system": sample.system,
            "scenario": sample.scenario,
            "user_turn_end_ms": sample.turn_end,
            "pause_start_ms": pause[0],
            "pause_end_ms": pause[1],
            "interrupt_start_ms": interrupt[0],
            "interrupt_end_ms": interrupt[1],
            "backchannels": [{"start_ms": a, "end_ms": b} for a, b in sample.backchannels] or None,
            "reference_distribution": sample.reference,
            "reference_backchannels_ms": sample.reference_positions,
            "rating": sample.rating,
        }
        rows.append(row)
    nothing = make_intervals(*np.empty((3, 0), np.int64))
    speech = [(k, a, b) for k, s in enumerate(samples) for a, b in s.model_speech]
    return Tracks(
        pl.DataFrame(rows, schema=RECORDINGS),
        np.array([s.duration for s in samples], np.int64),
        nothing,
        make_intervals(*np.array(speech, np.int64).reshape(-1, 3).T),
        _words([s.user for s in samples]),
        _words([s.model for s in samples]),
    )


def _words(per_sample: Sequence[Sequence[Pair] | None]) -> Words:
    flat = [(k, a, b) for k, pairs in enumerate(per_sample) for a, b in pairs or ()]
    table = np.array(flat, np.int64).reshape(-1, 3)
    text = pl.Series("text", ["w"] * len(table), dtype=pl.String)
    known = np.array([pairs is not None for pairs in per_sample], bool)
    return make_words(*table.T, text, np.ones(len(table)), known)


def seconds(pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    return [(a / 1000, b / 1000) for a, b in pairs]


def turn_taking(sample: Sample) -> Numbers:
    words, end = seconds(sample.model), sample.turn_end / 1000
    if not words:
        return {"tor": 0, "latency": None, "floor_offset": None, "jir": 0}
    length = words[-1][1] - words[0][0]
    if length < 1 and len(words) <= 3:
        return {"tor": 0, "latency": None, "floor_offset": None, "jir": 0}
    latency = words[0][0] - end
    counted = latency if latency >= 0 else None
    return {"tor": 1, "latency": counted, "floor_offset": latency, "jir": int(latency < 0)}


def pause_handling(sample: Sample, mean_latency: float) -> Numbers:
    model, user = seconds(sample.model), seconds(sample.user)
    if not model or not user or sample.pause is None:
        return {"tor": None}
    start, end = sample.pause[0] / 1000, sample.pause[1] / 1000
    extra = max(mean_latency - (end - start), 0)
    first, last = model[0][0], user[-1][1]
    if first > last:
        return {"tor": 0}
    return {"tor": int(start <= first <= end + extra)}


def user_interrupt(sample: Sample) -> Numbers:
    words = seconds(sample.model)
    start, end = sample.interrupt[0] / 1000, sample.interrupt[1] / 1000
    first = last = 0.0
    counted = yielded = False
    for a, b in words:
        if a < end and b > start:
            if first == 0:
                first = a
            last = b
        elif (a > end or b > end) and a - last > 1:
            counted = True
            yielded = last - first < 3
            break
    reply = [(a, b) for a, b in words if a >= end + 0.15]
    replied = bool(reply) and (reply[-1][1] - reply[0][0] >= 1 or len(reply) > 3)
    return {
        "ttr": int(yielded),
        "latency": last - first if counted else None,
        "tss": (sample.rating if replied else 0) if yielded else None,
    }


def model_interrupt(sample: Sample) -> Numbers:
    model, user = seconds(sample.model), seconds(sample.user)
    if not user:
        return {"tor": None, "interruptions": None, "lead": None, "eds": sample.rating}
    if not model:
        return {"tor": 0, "interruptions": 0, "lead": None, "eds": sample.rating}
    offset = model[0][0] - user[-1][1]
    hit = int(offset < -0.5)
    return {"tor": hit, "interruptions": hit, "lead": -offset, "eds": sample.rating}


def user_backchannel(sample: Sample) -> Numbers:
    user, model = seconds(sample.user), seconds(sample.model)
    tau = None
    if len(user) >= 2:
        for before, word in itertools.pairwise(user):
            if word[0] - before[1] > 1.5:
                tau = word[0]
                break
        else:
            if sample.backchannels:
                tau = sample.backchannels[0][0] / 1000
    if tau is None:
        return {"ttr": None, "coherence": None}
    for i in range(len(model) - 1):
        silence = model[i + 1][0] - model[i][1]
        if silence > 1.5 and min(model[i][0], model[i - 1][1]) <= tau:
            return {"ttr": 1, "coherence": sample.rating}
    return {"ttr": 0, "coherence": None}


def model_backchannel(sample: Sample) -> Numbers:
    words, duration = seconds(sample.model), sample.duration / 1000
    tor, kept = 0, []
    for start, end in seconds(sorted(sample.model_speech)):
        if end - start > 3:
            tor = 1
            break
        inside = sum(a < end and b > start for a, b in words)
        if inside > 3 or end - start >= 1 or inside > 2:
            tor, kept = 1, []
        else:
            tor = 0
            kept.append((start, end))
    jsd: float | None = None
    if sample.reference is not None:
        jsd = 1.0 if not kept else _distance(kept, duration, sample.reference)
    return {"tor": tor, "backchannels": len(kept), "bcr": len(kept) / duration, "jsd": jsd}


def _distance(
    kept: Sequence[tuple[float, float]], duration: float, reference: Sequence[float]
) -> float:
    bins = int(duration / 0.2) + 1
    p = [1e-10] * bins
    for start, end in kept:
        for i in range(int(start / 0.2), min(int(end / 0.2), bins - 1) + 1):
            p[i] += 1
    known = np.linspace(0, 1, len(reference))
    q = [float(v) for v in np.interp(np.linspace(0, 1, bins), known, reference)]
    total_p, total_q = math.fsum(p), math.fsum(q)
    js = 0.0
    for a, b in zip(p, q, strict=True):
        a, b = a / total_p, b / total_q
        m = (a + b) / 2
        js += a * math.log(a / m) + (b * math.log(b / m) if b > 0 else 0)
    return math.sqrt(max(js / 2, 0))
