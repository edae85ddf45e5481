"""Structure and scores of one recording given as plain lists, in seconds."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.config import Settings, load_settings
from flexi_score.errors import InputError, RowError
from flexi_score.formats.contract import parse_row
from flexi_score.formats.text import word_counts
from flexi_score.metrics import score_structure
from flexi_score.schema import RECORDINGS
from flexi_score.scoring.fill import fill_given
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Intervals, Tracks, Words, make_intervals, make_words

#: A stretch of speech: start and end in s.
Segment = tuple[float, float] | Sequence[float]
#: A word: text, start and end in s; or a mapping of these names (or of ``text, timestamp``).
Word = tuple[str, float, float] | Sequence[Any] | Mapping[str, Any]

_NAME: Final = "recording"


def structure(
    user: Sequence[Segment],
    model: Sequence[Segment],
    duration: float | None = None,
    *,
    user_words: Sequence[Word] | None = None,
    model_words: Sequence[Word] | None = None,
    settings: Settings | None = None,
) -> pl.DataFrame:
    """IPUs, turns, pauses, gaps, overlaps, backchannels and interruptions of one recording.

    Parameters
    ----------
    user, model : sequence of (start, end)
        Stretches of speech of each party, in s, in any order; those that overlap are joined.
    duration : float, optional
        Length of the recording in s; the last end by default.
    user_words, model_words : sequence of (text, start, end), optional
        Timed words, in s. Without them, what is a backchannel is decided by duration alone.
    settings : Settings, optional
        Uses ``ipu``, ``takeover`` and ``backchannel``.

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.schema.EVENTS`, by start: one row per event, times in ms.

    Raises
    ------
    InputError
        For a time that is no number, negative, past the duration, or an end before its start.

    Examples
    --------
    >>> import flexi_score as fs
    >>> events = fs.structure(user=[(0.7, 4.35)], model=[(5.04, 11.0)], duration=12.0)
    >>> events.filter(kind="gap").select("start_ms", "end_ms").rows()
    [(4350, 5040)]
    >>> events.filter(kind="turn").select("speaker", "start_ms", "latency_ms").rows()
    [('user', 700, None), ('model', 5040, 690)]
    """
    tracks = _tracks({}, user, model, duration, user_words, model_words)
    return events_frame(build_structure(tracks, settings or _defaults()))


def score_segments(
    user: Sequence[Segment],
    model: Sequence[Segment],
    duration: float | None = None,
    scenario: str = "conversation",
    annotations: Mapping[str, Any] | None = None,
    *,
    user_words: Sequence[Word] | None = None,
    model_words: Sequence[Word] | None = None,
    settings: Settings | None = None,
) -> pl.DataFrame:
    """Scores of one recording.

    Parameters
    ----------
    user, model, duration, user_words, model_words
        As in :func:`structure`.
    scenario : str
        ``turn_taking``, ``pause_handling``, ``user_interrupt``, ``model_interrupt``,
        ``user_backchannel``, ``model_backchannel`` or ``conversation``.
    annotations : mapping, optional
        Those of a manifest row, in s: ``user_turn_end``, ``pause``, ``interrupt``,
        ``backchannels``, ``reference_backchannels``. They win over what is detected.
    settings : Settings, optional
        The defaults of profile ``paper`` if not given.

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.schema.SCORES`: one row per metric of the scenario. ``value`` is null
        where it is unscored; ``status``, ``rule`` and ``reason`` say why.

    Raises
    ------
    InputError
        As :func:`structure`; for an unknown scenario or annotation, too.

    Examples
    --------
    >>> import flexi_score as fs
    >>> scores = fs.score_segments(
    ...     user=[(0.7, 4.35)], model=[(5.04, 11.0)], duration=12.0, scenario="turn_taking"
    ... )
    >>> scores.select("metric", "value").rows()
    [('tor', 1.0), ('latency', 0.69), ('floor_offset', 0.69), ('jir', 0.0)]
    """
    row = {"scenario": scenario, "annotations": dict(annotations or {})}
    tracks = _tracks(row, user, model, duration, user_words, model_words)
    chosen = settings or _defaults()
    scores = score_structure(build_structure(tracks, chosen), chosen)
    return fill_given(scores, tracks.recordings)


@cache
def _defaults() -> Settings:
    return load_settings()


def _tracks(
    row: Mapping[str, Any],
    user: Sequence[Segment],
    model: Sequence[Segment],
    duration: float | None,
    user_words: Sequence[Word] | None,
    model_words: Sequence[Word] | None,
) -> Tracks:
    """The tracks of one recording."""
    speech = _intervals("user", user), _intervals("model", model)
    words = _words("user_words", user_words), _words("model_words", model_words)
    last_ms = {
        name: int(timed.end_ms.max(initial=0))
        for name, timed in (
            ("user", speech[0]),
            ("model", speech[1]),
            ("user_words", words[0]),
            ("model_words", words[1]),
        )
    }
    length = max(last_ms.values()) if duration is None else _ms("duration", duration)
    for name, end in last_ms.items():
        if end > length:
            raise InputError(
                f"{name}: ends at {end / 1000} s, past the duration of {length / 1000} s; give "
                "times in s, or a longer duration"
            )
    try:
        # The source that a manifest row must have is the lists themselves.
        parsed = parse_row({"id": _NAME, "user_speech": _NAME, **row}, Path())
    except RowError as error:
        raise InputError(str(error)) from error
    recordings = pl.DataFrame([{**parsed, "user_speech": None}], schema=RECORDINGS)
    return Tracks(recordings, np.array([length], np.int64), *speech, *words)


def _intervals(name: str, given: Sequence[Segment]) -> Intervals:
    spans = []
    for i, item in enumerate(given):
        where = f"{name}[{i}]"
        if isinstance(item, str | bytes) or not hasattr(item, "__len__") or len(item) != 2:
            raise InputError(f"{where}: found {item!r:.80}, expected (start, end) in s")
        spans.append(_span(where, item[0], item[1]))
    data = np.array(spans, np.int64).reshape(-1, 2)
    return make_intervals(np.zeros(len(data), np.int64), data[:, 0], data[:, 1])


def _words(name: str, given: Sequence[Word] | None) -> Words:
    texts, spans = [], []
    for i, item in enumerate(given or ()):
        text, start, end = _word(f"{name}[{i}]", item)
        texts.append(text)
        spans.append(_span(f"{name}[{i}]", start, end))
    data = np.array(spans, np.int64).reshape(-1, 2)
    series = pl.Series(texts, dtype=pl.String)
    rec = np.zeros(len(data), np.int64)
    known = np.array([given is not None])
    return make_words(rec, data[:, 0], data[:, 1], series, word_counts(series), known)


def _word(where: str, item: Word) -> tuple[str, Any, Any]:
    expected = "expected (text, start, end) in s"
    if isinstance(item, Mapping):
        times = item.get("timestamp", (item.get("start"), item.get("end")))
        parts = [item.get("text", item.get("word")), *times]
    else:
        parts = list(item) if hasattr(item, "__len__") and not isinstance(item, str) else []
        if len(parts) == 3 and isinstance(parts[2], str):
            parts = [parts[2], *parts[:2]]
    if len(parts) != 3 or not isinstance(parts[0], str):
        raise InputError(f"{where}: found {item!r:.80}, {expected}")
    return parts[0], parts[1], parts[2]


def _span(where: str, start: Any, end: Any) -> tuple[int, int]:
    first, last = _ms(f"{where} start", start), _ms(f"{where} end", end)
    if last < first:
        raise InputError(f"{where}: ends at {end} s, before it starts at {start} s")
    return first, last


def _ms(where: str, value: Any) -> int:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if isinstance(value, bool | str) or not math.isfinite(seconds) or not 0 <= seconds < 1e7:
        raise InputError(f"{where}: found {value!r:.40}, expected seconds, 0 or more")
    return round(seconds * 1000)
