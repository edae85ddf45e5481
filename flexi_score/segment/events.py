"""The structure as a table of events (``events.parquet``)."""

import numpy as np
import polars as pl

from flexi_score.schema import EVENT_KINDS, EVENTS, SPEAKERS
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Floats, Ints, Words
from flexi_score.segment.types import Speaker, Structure

_KIND = pl.Enum(list(EVENT_KINDS))


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
        _table(s, s.silences, "silence", "none"),
        _table(s, s.gaps, "gap", "none"),
        _table(s, s.overlaps, "overlap", "both"),
    ]
    words = (s.tracks.user_words, s.tracks.model_words)
    for label, (name, side) in enumerate(zip(SPEAKERS, (s.user, s.model), strict=True)):
        tables.append(_table(s, s.pauses.spans.take(s.pauses.speaker == label), "pause", name))
        mine = turns.speaker == label
        turn_table = _table(s, turns.spans.take(mine), "turn", name).with_columns(
            success=pl.Series(turns.took_floor[mine]),
            latency_ms=pl.Series(turns.offset_ms[mine]).fill_nan(None).cast(pl.Int64),
        )
        hers = cuts.speaker == label
        cut_table = _table(s, cuts.spans.take(hers), "interruption", name).with_columns(
            success=pl.Series(cuts.success[hers]), latency_ms=pl.Series(cuts.stop_ms[hers])
        )
        spoken = [
            (_table(s, side.ipus, "ipu", name), side.ipus),
            (turn_table, turns.spans.take(mine)),
            (cut_table, cuts.spans.take(hers)),
        ]
        back = s.backchannels.spans.take(s.backchannels.speaker == label)
        spoken.append((_table(s, back, "backchannel", name), back))
        for table, spans in spoken:
            tables.append(_with_words(table, spans, side, words[label], with_text))
    events = pl.concat(tables, how="diagonal_relaxed").sort(
        "rec", "start_ms", pl.col("kind").cast(_KIND), "speaker", "end_ms"
    )
    names = s.tracks.recordings["recording"]
    return events.with_columns(recording=names.gather(events["rec"])).select(
        pl.col(name).cast(kind) for name, kind in EVENTS.items()
    )


def _table(structure: Structure, spans: Spans, kind: str, speaker: str) -> pl.DataFrame:
    origin = structure.origin[spans.rec]
    return pl.DataFrame(
        {"rec": spans.rec, "start_ms": spans.start - origin, "end_ms": spans.end - origin}
    ).with_columns(kind=pl.lit(kind), speaker=pl.lit(speaker))


def _with_words(
    table: pl.DataFrame, spans: Spans, side: Speaker, words: Words, with_text: bool
) -> pl.DataFrame:
    """Add ``n_ipus``, ``n_words`` and ``text`` of the IPUs that lie inside each event."""
    first = np.searchsorted(side.ipus.start, spans.start, "left")
    stop = np.searchsorted(side.ipus.end, spans.end, "right")
    known = words.known[spans.rec]
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(side.ipu_words))])
    n_words: Floats = np.where(known, np.rint(total[stop] - total[first]), np.nan)
    table = table.with_columns(
        n_ipus=pl.Series(stop - first),
        n_words=pl.Series(n_words).fill_nan(None).cast(pl.Int64),
    )
    if not with_text:
        return table.with_columns(text=pl.lit(None, pl.String))
    text = _texts(first, stop, side, words)
    return table.with_columns(text=pl.when(pl.Series(known)).then(text))


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
