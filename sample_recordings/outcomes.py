"""What every recording should score, from its truth, in plain Python.

The rules are those of the profile ``paper``, with the values that silence earns; the metrics that
need a judge are left out. ``None`` means not applicable. Times in are integer ms, times out are s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import jensenshannon

BIN_MS = 200

Intervals = list[tuple[int, int]]
Outcome = dict[str, float | None]


def bridge(spans: Intervals, shorter_than: int) -> Intervals:
    """Join spans whose distance is below a limit."""
    joined: Intervals = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] < shorter_than:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


@dataclass
class Facts:
    """What the outcomes are derived from, all in ms."""

    user: Intervals
    model: Intervals
    duration: int
    words: list[tuple[int, int]]
    pause: tuple[int, int] | None
    interrupt: tuple[int, int] | None
    backchannels: Intervals
    references: list[int]

    def groups(self) -> Intervals:
        """Model speech joined over silences below 1 s."""
        return bridge(self.model, 1000)

    def is_takeover(self, group: tuple[int, int]) -> bool:
        """Say whether a group lasts more than 1 s or has more than 3 words."""
        said = sum(n for start, n in self.words if group[0] <= start < group[1])
        return group[1] - group[0] > 1000 or said > 3

    def takeovers(self) -> list[int]:
        """Return when each takeover starts."""
        return [g[0] for g in self.groups() if self.is_takeover(g)]

    def silences(self, after: int) -> Intervals:
        """Model silences that start after a moment."""
        ends = [b for _, b in self.model]
        starts = [a for a, _ in self.model[1:]] + [self.duration]
        return [(x, y) for x, y in zip(ends, starts, strict=True) if x > after]


def turn_taking(f: Facts) -> Outcome:
    """Compare the first takeover with the end of the user's turn."""
    turn_end = f.user[-1][1]
    started = f.takeovers()
    if not started:
        return {"tor": 0, "latency": None, "floor_offset": None, "jir": 0}
    offset = (started[0] - turn_end) / 1000
    latency = offset if offset >= 0 else None
    return {"tor": 1, "latency": latency, "floor_offset": offset, "jir": int(offset < 0)}


def pause_handling(f: Facts, mean_latency: float) -> Outcome:
    """Look for a takeover in the pause or within the mean latency (s) after it."""
    until = f.pause[1] + mean_latency * 1000
    return {"tor": int(any(f.pause[0] <= t <= until for t in f.takeovers()))}


def user_interrupt(f: Facts) -> Outcome:
    """Look for the silence by which the model yields, and for its next takeover."""
    start, end = f.interrupt
    holding = any(a <= start < b for a, b in f.model)
    stop = None
    for x, y in f.silences(start):
        if x <= end < y:
            stop = x if y - x >= 500 else None
            break
        if end < x <= start + 2000 and y - x >= 1000:
            stop = x
            break
    later = [t for t in f.takeovers() if t >= end]
    return {
        "ttr": int(stop is not None) if holding else None,
        "stop_latency": None if stop is None else (stop - start) / 1000,
        "response_latency": (later[0] - end) / 1000 if later else None,
    }


def model_interrupt(f: Facts) -> Outcome:
    """Measure how long before the end of the user's turn the model takes over."""
    started = f.takeovers()
    lead = (f.user[-1][1] - started[0]) / 1000 if started else None
    return {"tor": int(lead is not None and lead >= 0.5), "lead": lead}


def user_backchannel(f: Facts) -> Outcome:
    """Look for model speech that stops at a backchannel, and for its return within 1 s."""
    for start, end in f.backchannels:
        for x, y in f.silences(start):
            if x <= end + 1000 and y - x >= 500:
                return {"ttr": 1, "resumed": int(y - x <= 1000 and y < f.duration)}
    return {"ttr": 0, "resumed": None}


def model_backchannel(f: Facts) -> Outcome:
    """Count the model's backchannels; compare their 0.2 s windows with the references."""
    turn_end = f.user[-1][1]
    calls = [g for g in f.groups() if not f.is_takeover(g) and g[0] < turn_end]
    bins = -(-f.duration // BIN_MS)
    said, wanted = np.zeros(bins), np.zeros(bins)
    for start, _ in calls:
        said[start // BIN_MS] += 1
    for t in f.references:
        wanted[t // BIN_MS] += 1
    jsd = float(jensenshannon(said, wanted, base=2) ** 2) if calls else 1.0
    return {
        "tor": int(any(t < turn_end for t in f.takeovers())),
        "bcr": round(len(calls) / (f.duration / 1000), 6),
        "backchannels": len(calls),
        "jsd": round(jsd, 6),
    }


OUTCOMES = {
    "turn_taking": turn_taking,
    "user_interrupt": user_interrupt,
    "model_interrupt": model_interrupt,
    "user_backchannel": user_backchannel,
    "model_backchannel": model_backchannel,
}
