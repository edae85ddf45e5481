"""What is known of every recording: archived measurements, and detected speech."""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.annotated import annotation_evidence
from flexi_score.capture.confidence import word_confidence
from flexi_score.capture.swapped import swap_evidence
from flexi_score.capture.timeline import timeline_evidence
from flexi_score.schema import SPEAKERS
from flexi_score.segment.tracks import Intervals, Ints, Tracks, select_tracks

_OF_ROWS: Final = (
    "audio",
    "user_audio",
    "user_key",
    "model_key",
    "user_crosstalk_key",
    "model_crosstalk_key",
    "user_words_key",
    "model_words_key",
    "health_key",
    "user_offset_ms",
    "model_offset_ms",
)
_OF_CHANNELS: Final = (
    "key",
    "duration_ms",
    "active_dbfs",
    "noise_dbfs",
    "peak_dbfs",
    "zero_share",
    "zero_tail_ms",
    "clipped_share",
    "dead",
    "note",
)
_OF_CROSSTALK: Final = ("key", "level_db", "lag_ms", "depth_db", "doubt_share")


def gather_facts(
    reader: ArchiveReader, rows: pl.DataFrame, tracks: Tracks, *, recognised: bool = True
) -> pl.DataFrame:
    """One row per recording: all stored numbers, and what is known of its speech.

    ``recognised`` says whether recognised words are used. Columns of a channel begin with
    ``user_`` or ``model_``; null is not measured.
    """
    rows = rows.unique("recording", keep="last").select("recording", *_OF_ROWS)
    table = tracks.recordings.select("recording").join(
        rows, on="recording", how="left", maintain_order="left"
    )
    keys = pl.concat([table[f"{s}_key"] for s in SPEAKERS]).drop_nulls()
    channels = reader.read("channels", keys, _OF_CHANNELS)
    measured = reader.read("health", table["health_key"].drop_nulls())
    facts = table.select(
        "recording",
        "user_key",
        "model_key",
        "user_crosstalk_key",
        "model_crosstalk_key",
        "health_key",
        "user_offset_ms",
        "model_offset_ms",
        paired=pl.col("user_audio").is_not_null() & pl.col("audio").is_null(),
        span_ms=pl.Series(tracks.duration_ms),
    ).join(measured, left_on="health_key", right_on="key", how="left", maintain_order="left")
    for speaker in SPEAKERS:
        side = channels.rename({name: f"{speaker}_{name}" for name in channels.columns})
        facts = facts.join(side, on=f"{speaker}_key", how="left", maintain_order="left")
        keys = facts[f"{speaker}_crosstalk_key"].drop_nulls()
        crosstalk = reader.read("crosstalk", keys, _OF_CROSSTALK)
        side = crosstalk.rename({name: f"{speaker}_crosstalk_{name}" for name in crosstalk.columns})
        facts = facts.join(side, on=f"{speaker}_crosstalk_key", how="left", maintain_order="left")
        spoken = _spoken(getattr(tracks, f"{speaker}_speech"), len(tracks))
        facts = facts.with_columns(
            spoken[c].alias(f"{speaker}_{c}") for c in ("speech_ms", "last_ms")
        )
    confidence = word_confidence(reader, table if recognised else table.clear())
    annotation_ms, annotation_words = annotation_evidence(tracks)
    facts = facts.with_columns(
        row=pl.int_range(pl.len()),
        word_confidence=confidence if recognised else pl.lit(None, pl.Float64),
        annotation_ms=pl.Series(annotation_ms).fill_nan(None),
        annotation_evidence=annotation_words,
    )
    evidence = _of_both(tracks, facts.drop_nulls(["user_key", "model_key"]))
    return facts.join(evidence, on="row", how="left", maintain_order="left").drop("row")


def _of_both(tracks: Tracks, pairs: pl.DataFrame) -> pl.DataFrame:
    """What only two channels show, of the recordings with both: whether they fit each other."""
    with_both = np.isin(np.arange(len(tracks)), pairs["row"].to_numpy())
    tracks = tracks if with_both.all() else select_tracks(tracks, with_both)
    user, model = (_span(pairs, speaker) for speaker in SPEAKERS)
    paired = pairs["paired"].fill_null(False).to_numpy()
    ended = _closed_ms(pairs, "model")
    timeline, timeline_words = timeline_evidence(tracks, paired, user, model, ended)
    swapped, swapped_words = swap_evidence(tracks)
    return pairs.select(
        "row",
        swapped=pl.Series(swapped).fill_nan(None),
        swapped_evidence=swapped_words,
        timeline=pl.Series(timeline).fill_nan(None),
        timeline_evidence=timeline_words,
    )


def _span(facts: pl.DataFrame, speaker: str) -> tuple[Ints, Ints]:
    """Start and end of a channel on the recording's axis (ms); an end of -1 where it has none."""
    start = facts[f"{speaker}_offset_ms"].fill_null(0)
    end = (start + facts[f"{speaker}_duration_ms"]).fill_null(-1)
    return start.to_numpy(), end.to_numpy()


def _closed_ms(facts: pl.DataFrame, speaker: str) -> Ints:
    """Zeros at the end of a channel that has hardly any before them; 0 where it has, or no audio.

    A line that carries noise and then nothing was closed; one that sends zeros between words was
    not.
    """
    tail, length = pl.col(f"{speaker}_zero_tail_ms"), pl.col(f"{speaker}_duration_ms")
    before = pl.col(f"{speaker}_zero_share") * length - tail
    closed = pl.when(before <= 0.02 * (length - tail)).then(tail).fill_null(0)
    return facts.select(closed).to_series().to_numpy()


def _spoken(speech: Intervals, size: int) -> pl.DataFrame:
    """Speech of each recording in all, and where the last of it ends (null without any)."""
    length = np.bincount(speech.rec, speech.end_ms - speech.start_ms, minlength=size)
    last = np.full(size, -1, np.int64)
    np.maximum.at(last, speech.rec, speech.end_ms)
    return pl.DataFrame({"speech_ms": length.astype(np.int64), "last_ms": last}).with_columns(
        pl.when(pl.col("last_ms") >= 0).then("last_ms")
    )
