"""The structure as a table of events (``events.parquet``)."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from flexi_score.schema import EVENT_KINDS, EVENTS, SPEAKERS
from flexi_score.segment.axis import Spans
from flexi_score.segment.estimated import estimated_recordings
from flexi_score.segment.tracks import Bools, Floats, Ints, Words, spread
from flexi_score.segment.types import Speaker, Structure

_SPEAKERS: Final = ("both", "model", "none", "user")


def events_frame(structure: Structure, *, with_text: bool = True) -> pl.DataFrame:
    """All events of all recordings (:data:`flexi_score.schema.EVENTS`).

    Every silent interval is a ``silence`` row of speaker ``none``; those inside the conversation
    appear again as ``pause`` (of its speaker) or ``gap`` (``none``). ``n_words`` is null where the
    recording has no transcript, ``text`` also without ``with_text`` (the slowest part).
    """
    turns, cuts, s = structure.turns, structure.interruptions, structure
    tables = [
        _Table("silence", "none", s.silences),
        _Table("gap", "none", s.gaps),
        _Table("overlap", "both", s.overlaps),
    ]
    words = (s.tracks.user_words, s.tracks.model_words)
    for label, (name, side) in enumerate(zip(SPEAKERS, (s.user, s.model), strict=True)):
        tables.append(_Table("pause", name, s.pauses.spans.take(s.pauses.speaker == label)))
        own, own_cuts = turns.speaker == label, cuts.speaker == label
        spoken = [
            _Table("ipu", name, side.ipus),
            _Table(
                "turn", name, turns.spans.take(own), turns.took_floor[own], turns.offset_ms[own]
            ),
            _Table(
                "interruption",
                name,
                cuts.spans.take(own_cuts),
                cuts.success[own_cuts],
                cuts.stop_ms[own_cuts].astype(np.float64),
            ),
            _Table("backchannel", name, s.backchannels.spans.take(s.backchannels.speaker == label)),
        ]
        tables += [_with_words(table, side, words[label], with_text) for table in spoken]
    return _frame(s, tables)


@dataclass(frozen=True)
class _Table:
    """Events of one kind and speaker; ``success`` to ``text`` are None where there is no such."""

    kind: str
    speaker: str
    spans: Spans
    success: Bools | None = None
    latency_ms: Floats | None = None
    n_ipus: Ints | None = None
    n_words: Floats | None = None
    text: pl.Series | None = None


def _frame(structure: Structure, tables: list[_Table]) -> pl.DataFrame:
    """All tables as one, in order.

    Each table is in order already, so it is enough to find the places of its rows among all. There
    are some seventy events a recording: columns are flat arrays, and sorted values are several
    times faster than an order of them.
    """
    codes = [
        EVENT_KINDS.index(t.kind) * len(_SPEAKERS) + _SPEAKERS.index(t.speaker) for t in tables
    ]
    tables = [table for _, table in sorted(zip(codes, tables, strict=True), key=lambda p: p[0])]
    codes.sort()
    stride = len(EVENT_KINDS) * len(_SPEAKERS)
    # Starts on the common axis grow with the recording; kind and speaker settle ties.
    parts = [table.spans.start * stride + code for table, code in zip(tables, codes, strict=True)]
    key = np.concatenate(parts)
    key.sort()
    start = key // stride
    code = (key - start * stride).astype(np.uint8)
    places = [np.flatnonzero(code == number) for number in codes]
    size = len(key)
    rec, end = np.empty(size, np.int64), np.empty(size, np.int64)
    for number, spans in enumerate(table.spans for table in tables):
        # Two events of one kind, speaker and start are in order of their end.
        if (np.diff(spans.start) == 0).any():
            places[number] = places[number][np.argsort(np.lexsort((spans.end, spans.start)))]
        rec[places[number]], end[places[number]] = spans.rec, spans.end

    def column(name: str) -> pl.Series:
        columns = [getattr(table, name) for table in tables]
        if all(part is None for part in columns):
            return pl.Series([None], dtype=pl.Float64).new_from_index(0, size)
        values = np.full(size, np.nan)
        for part, position in zip(columns, places, strict=True):
            if part is not None:
                values[position] = part
        return pl.Series(values, nan_to_null=True)

    origin = structure.origin[rec]
    recordings = structure.tracks.recordings
    names = recordings["recording"]
    estimated = names.is_in(estimated_recordings(recordings)["recording"].implode())
    kinds = pl.Series([kind for kind in EVENT_KINDS for _ in _SPEAKERS], dtype=pl.String)
    speakers = pl.Series(_SPEAKERS * len(EVENT_KINDS), dtype=pl.String)
    columns = {
        "recording": names[rec],
        "speaker": speakers[code],
        "kind": kinds[code],
        "start_ms": pl.Series(start - origin),
        "end_ms": pl.Series(end - origin),
        "text": _in_place([table.text for table in tables], places, size),
        "n_words": column("n_words"),
        "n_ipus": column("n_ipus"),
        "success": column("success"),
        "latency_ms": column("latency_ms"),
        "estimated": estimated[rec],
    }
    return pl.DataFrame([columns[name].cast(dtype).alias(name) for name, dtype in EVENTS.items()])


def _in_place(texts: list[pl.Series | None], places: list[Ints], size: int) -> pl.Series:
    """Texts of each table at their places among all, null elsewhere."""
    none = pl.Series([None], dtype=pl.String)
    if all(text is None for text in texts):
        return none.new_from_index(0, size)
    given = [
        none.new_from_index(0, len(position)) if text is None else text
        for text, position in zip(texts, places, strict=True)
    ]
    order = np.empty(size, np.int64)
    order[np.concatenate(places)] = np.arange(size)
    return pl.concat(given)[order]


def _with_words(table: _Table, side: Speaker, words: Words, with_text: bool) -> _Table:
    """Add ``n_ipus``, ``n_words`` and ``text`` of the IPUs that lie inside each event."""
    spans, ipus = table.spans, side.ipus
    if spans is ipus:
        first = np.arange(len(ipus))
        stop = first + 1
    else:
        first = np.searchsorted(ipus.start, spans.start, "left")
        stop = np.searchsorted(ipus.end, spans.end, "right")
    table = replace(table, n_ipus=stop - first)
    known = words.known[spans.rec]
    if not known.any():
        return table
    # An IPU that was not heard leaves the words of what it belongs to unknown.
    unheard = np.concatenate([[0], np.cumsum(np.isnan(side.ipu_words))])
    known &= unheard[stop] == unheard[first]
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(side.ipu_words))])
    n_words: Floats = np.where(known, np.rint(total[stop] - total[first]), np.nan)
    text = None
    if with_text and known.any():
        none = pl.Series([None], dtype=pl.String).new_from_index(0, len(spans))
        text = _texts(first, stop, side, words).zip_with(pl.Series(known), none)
    return replace(table, n_words=n_words, text=text)


def _texts(first: Ints, stop: Ints, side: Speaker, words: Words) -> pl.Series:
    """Words of the IPUs ``first`` to ``stop`` (exclusive) of each event, joined by spaces."""
    order = np.argsort(side.ipu_word, kind="stable")
    ipu_of = side.ipu_word[order]
    position, event = spread(
        np.searchsorted(ipu_of, first, "left"), np.searchsorted(ipu_of, stop, "left")
    )
    joined = (
        pl.DataFrame({"event": event, "text": words.text.gather(order[position])})
        .group_by("event", maintain_order=True)
        .agg(pl.col("text").str.join(" "))
    )
    every = pl.DataFrame({"event": np.arange(len(first))})
    return every.join(joined, on="event", how="left", maintain_order="left")["text"].fill_null("")
