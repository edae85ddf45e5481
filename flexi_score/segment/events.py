"""The structure as a table of events (``events.parquet``)."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from flexi_score.schema import EVENT_KINDS, EVENTS, SPEAKERS
from flexi_score.segment.axis import Spans
from flexi_score.segment.estimated import estimated_recordings
from flexi_score.segment.tracks import Bools, Floats, Ints, Words
from flexi_score.segment.types import Speaker, Structure

_SPEAKERS: Final = ("both", "model", "none", "user")


def events_frame(structure: Structure, *, with_text: bool = True) -> pl.DataFrame:
    """All events of all recordings.

    Parameters
    ----------
    structure : Structure
    with_text : bool
        Whether to join the words of each event into ``text`` (the slowest part).

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.schema.EVENTS`, by recording (in manifest order), start and kind. Every
        silent interval is a ``silence`` row of speaker ``none``; those inside the conversation
        appear again as ``pause`` (of its speaker) or ``gap`` (``none``). ``n_words`` is null where
        the recording has no transcript, ``text`` also where it was not asked for.
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
        mine, hers = turns.speaker == label, cuts.speaker == label
        spoken = [
            _Table("ipu", name, side.ipus),
            _Table("turn", name, turns.spans.take(mine), turns.took_floor[mine],
                   turns.offset_ms[mine]),
            _Table("interruption", name, cuts.spans.take(hers), cuts.success[hers],
                   cuts.stop_ms[hers].astype(np.float64)),
            _Table("backchannel", name,
                   s.backchannels.spans.take(s.backchannels.speaker == label)),
        ]  # fmt: skip
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

    Flat arrays that are sorted once by one number: there are some seventy events a recording.
    """
    sizes = [len(table.spans) for table in tables]

    def join(column: str) -> Floats:
        found = [getattr(table, column) for table in tables]
        parts = [np.full(n, np.nan) if part is None else part
                 for part, n in zip(found, sizes, strict=True)]  # fmt: skip
        return np.concatenate(parts, dtype=np.float64)[order]

    rec = np.concatenate([table.spans.rec for table in tables])
    start = np.concatenate([table.spans.start for table in tables])
    end = np.concatenate([table.spans.end for table in tables])
    labels = [(EVENT_KINDS.index(t.kind), _SPEAKERS.index(t.speaker)) for t in tables]
    kind, speaker = (
        np.repeat(np.array(code, np.uint32), sizes) for code in zip(*labels, strict=True)
    )
    # Starts on the common axis grow with the recording; kind and speaker settle ties.
    key = (start * len(EVENT_KINDS) + kind) * len(_SPEAKERS) + speaker
    order = np.argsort(key, kind="stable")
    if (np.diff(key[order]) == 0).any():
        order = np.lexsort((end, key))
    rec = rec[order]
    origin = structure.origin[rec]
    none = pl.Series([None], dtype=pl.String)
    text = none.new_from_index(0, len(rec))
    if any(table.text is not None for table in tables):
        texts = [none.new_from_index(0, n) if table.text is None else table.text
                 for table, n in zip(tables, sizes, strict=True)]  # fmt: skip
        text = pl.concat(texts).gather(order)
    recordings = structure.tracks.recordings
    names = recordings["recording"]
    estimated = names.is_in(estimated_recordings(recordings)["recording"].implode())
    columns = {
        "recording": names[rec],
        "speaker": pl.Series(_SPEAKERS, dtype=pl.String)[speaker[order]],
        "kind": pl.Series(EVENT_KINDS, dtype=pl.String)[kind[order]],
        "start_ms": pl.Series(start[order] - origin),
        "end_ms": pl.Series(end[order] - origin),
        "text": text,
        "n_words": pl.Series(join("n_words"), nan_to_null=True),
        "n_ipus": pl.Series(join("n_ipus"), nan_to_null=True),
        "success": pl.Series(join("success"), nan_to_null=True),
        "latency_ms": pl.Series(join("latency_ms"), nan_to_null=True),
        "estimated": estimated[rec],
    }
    return pl.DataFrame([columns[name].cast(dtype).alias(name) for name, dtype in EVENTS.items()])


def _with_words(table: _Table, side: Speaker, words: Words, with_text: bool) -> _Table:
    """Add ``n_ipus``, ``n_words`` and ``text`` of the IPUs that lie inside each event."""
    spans = table.spans
    first = np.searchsorted(side.ipus.start, spans.start, "left")
    stop = np.searchsorted(side.ipus.end, spans.end, "right")
    known = words.known[spans.rec]
    # An IPU that was not heard leaves the words of what it belongs to unknown.
    unheard = np.concatenate([[0], np.cumsum(np.isnan(side.ipu_words))])
    known &= unheard[stop] == unheard[first]
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(side.ipu_words))])
    n_words: Floats = np.where(known, np.rint(total[stop] - total[first]), np.nan)
    text = None
    if with_text and known.any():
        none = pl.Series([None], dtype=pl.String).new_from_index(0, len(spans))
        text = _texts(first, stop, side, words).zip_with(pl.Series(known), none)
    return replace(table, n_ipus=stop - first, n_words=n_words, text=text)


def _texts(first: Ints, stop: Ints, side: Speaker, words: Words) -> pl.Series:
    """Words of the IPUs ``first`` to ``stop`` (exclusive) of each event, joined by spaces."""
    order = np.argsort(side.ipu_word, kind="stable")
    ipu_of = side.ipu_word[order]
    begin = np.searchsorted(ipu_of, first, "left")
    count = np.searchsorted(ipu_of, stop, "left") - begin
    event = np.repeat(np.arange(len(first)), count)
    ahead = np.cumsum(count) - count
    position = np.arange(len(event)) - np.repeat(ahead - begin, count)
    joined = (
        pl.DataFrame({"event": event, "text": words.text.gather(order[position])})
        .group_by("event", maintain_order=True)
        .agg(pl.col("text").str.join(" "))
    )
    every = pl.DataFrame({"event": np.arange(len(first))})
    return every.join(joined, on="event", how="left", maintain_order="left")["text"].fill_null("")
