"""The distribution of response times, as shapes in per cent of an axis."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.report.tables import plain

#: Levels of interaction of the FLEXI paper (s): below the first is level 1, below the second 2.
LEVELS_S: Final = (0.150, 0.400)
_BINS_S: Final = (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
#: The first of these that a run scored is shown.
_SOURCES: Final = (
    ("turn_taking", "floor_offset", "Start of the model's turn after the end of the user's turn"),
    ("turn_taking", "latency", "Start of the model's turn after the end of the user's turn"),
    ("user_interrupt", "response_latency", "Start of the answer after an interruption"),
    ("user_interrupt", "latency", "Latency after an interruption"),
)


@dataclass(frozen=True)
class Timing:
    """Response times of the systems of a run on one axis."""

    caption: str
    signed: bool
    bands: tuple[tuple[str, str, float, float], ...]  # class, label, left, width
    ticks: tuple[tuple[float, str], ...]
    rows: tuple[dict[str, Any], ...]
    bin_s: float


def timing(scores: pl.DataFrame, events: pl.DataFrame, recordings: pl.DataFrame) -> Timing | None:
    """The response times of a run: turn_taking's, or the model's floor transfers in any dialogue.

    Returns
    -------
    Timing or None
        None where nothing was measured.
    """
    values, caption = _values(scores, events, recordings)
    if values.is_empty():
        return None
    x = values["value"].to_numpy()
    low = min(0.0, float(np.quantile(x, 0.01)))
    high = max(0.6, float(np.quantile(x, 0.99)))
    size = next((b for b in _BINS_S if (high - low) / b <= 48), _BINS_S[-1])
    first, last = int(np.floor(low / size)), int(np.ceil(high / size + 1e-9))
    first, last = max(first, -500), min(last, 500)
    low, high = first * size, last * size
    bins = last - first

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 3)

    edges = (
        ("jump", "jump-in", low, 0.0),
        ("one", "level 1", 0.0, LEVELS_S[0]),
        ("two", "level 2", LEVELS_S[0], LEVELS_S[1]),
        ("three", "level 3", LEVELS_S[1], high),
    )
    bands = tuple(
        (name, label, at(a), round(at(b) - at(a), 3))
        for name, label, a, b in edges
        if at(b) > at(a)
    )
    counted = {
        str(key[0]): part["value"].to_numpy()
        for key, part in values.group_by("system", maintain_order=True)
    }
    rows = []
    for system, of_system in counted.items():
        place = np.clip(np.floor(of_system / size + 1e-9).astype(int) - first, 0, bins - 1)
        heights = np.bincount(place, minlength=bins)
        rows.append(_row(system, of_system, heights, at))
    step = next(
        (s for s in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if (high - low) / s <= 9), 500
    )
    marks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    ticks = tuple((at(float(m)), f"{m:g} s") for m in np.round(marks, 3) if at(float(m)) <= 97)
    return Timing(caption, low < 0, bands, ticks, tuple(rows), size)


def _row(system: str, x: Any, heights: Any, at: Any) -> dict[str, Any]:
    width = 100 / len(heights)
    top = max(1, int(heights.max()))
    p50, p90 = np.quantile(x, [0.5, 0.9]).tolist()
    shares = [
        float(np.mean(x < 0)),
        float(np.mean((x >= 0) & (x < LEVELS_S[0]))),
        float(np.mean((x >= LEVELS_S[0]) & (x < LEVELS_S[1]))),
        float(np.mean(x >= LEVELS_S[1])),
    ]
    return {
        "system": plain(system),
        "n": len(x),
        "p50": p50,
        "p90": p90,
        "at50": at(p50),
        "at90": at(p90),
        "shares": shares,
        "bars": [
            (round(i * width, 3), round(width, 3), round(100 * int(h) / top, 2), int(h))
            for i, h in enumerate(heights)
            if h
        ],
    }


def _values(
    scores: pl.DataFrame, events: pl.DataFrame, recordings: pl.DataFrame
) -> tuple[pl.DataFrame, str]:
    for scenario, metric, caption in _SOURCES:
        found = scores.filter(
            (pl.col("scenario") == scenario)
            & (pl.col("metric") == metric)
            & pl.col("value").is_finite()
        ).select("system", "value")
        if len(found):
            return found, caption
    turns = (
        events.filter(
            (pl.col("kind") == "turn")
            & (pl.col("speaker") == "model")
            & pl.col("latency_ms").is_not_null()
        )
        .join(
            recordings.select("recording", "system").unique("recording"), on="recording", how="left"
        )
        .select(pl.col("system").fill_null("all recordings"), value=pl.col("latency_ms") / 1000)
    )
    return turns, "Start of each turn of the model after the user's turn before it"
