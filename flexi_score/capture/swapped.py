"""Whether user and model are on each other's channels: what is known of them against the audio.

A manifest that annotates the user's turn end, pause, interruption or backchannels, gives a
transcript, or says what the user says, names moments and words that must be on the user's channel.
Where they are not there but on the model's, the channels are swapped. Without any of these it
cannot be known, and nothing is said.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Floats, Ints, Tracks, Words

#: An annotated end agrees with speech that ends so near to it.
NEAR_MS: Final = 300
#: A text is compared where it has so many different words.
MIN_TOKENS: Final = 4

_TEXTS: Final = ("text_query", "text_interrupt", "text_statement")


def swap_evidence(tracks: Tracks) -> tuple[Floats, pl.Series]:
    """How much more the evidence fits the other channel, and the evidence in words.

    The mean over the kinds of evidence of the share that fits the other channel minus the share
    that fits the channel named: 1 where all of it is on the other, -1 where all is as it should be,
    NaN without evidence.
    """
    origin = axis.origins(tracks.duration_ms)
    sides = [
        axis.bridge(axis.place(speech, origin, tracks.duration_ms), 0)
        for speech in (tracks.user_speech, tracks.model_speech)
    ]
    evidence_of = [_moments(tracks, origin, sides), _words(tracks, origin, sides), _texts(tracks)]
    table = pl.concat(evidence_of).drop_nulls(["own", "other"])
    own, other = ((pl.col(c) * 100).round().cast(pl.Int64) for c in ("own", "other"))
    evidence = pl.format("{}: {} % on the channel named, {} % on the other", "kind", own, other)
    by_recording = (
        table.group_by("rec", maintain_order=True)
        .agg(value=(pl.col("other") - pl.col("own")).mean(), evidence=evidence.str.join("; "))
        .sort("rec")
    )
    every = pl.DataFrame({"rec": np.arange(len(tracks))}, schema={"rec": pl.Int64})
    joined = every.join(by_recording, on="rec", how="left", maintain_order="left")
    return joined["value"].fill_null(np.nan).to_numpy(), joined["evidence"]


def _row(rec: Ints, kind: str, own: Floats, other: Floats) -> pl.DataFrame:
    frame = pl.DataFrame({"rec": rec.astype(np.int64), "own": own, "other": other})
    return frame.select(
        "rec", pl.lit(kind).alias("kind"), pl.col("own", "other").cast(pl.Float64).fill_nan(None)
    )


def _moments(tracks: Tracks, origin: Ints, sides: list[Spans]) -> pl.DataFrame:
    """Annotations of the user: ends of speech, and spans that are mostly speech."""
    rows = tracks.recordings.with_columns(rec=pl.Series(np.arange(len(tracks)), dtype=pl.Int64))
    frames = []
    for kind, column in (("user_turn_end", "user_turn_end_ms"), ("pause", "pause_start_ms")):
        some = rows.drop_nulls(column)
        rec = some["rec"].to_numpy()
        at = some[column].to_numpy() + origin[rec]
        own, other = (_ends_near(side, at).astype(np.float64) for side in sides)
        # Where neither channel ends there, the annotation says nothing about which it is.
        own[(own == 0) & (other == 0)] = np.nan
        frames.append(_row(rec, kind, own, other))
    spans = {
        "interrupt": rows.select(
            "rec", start_ms="interrupt_start_ms", end_ms="interrupt_end_ms"
        ).drop_nulls(),
        "backchannels": rows.select("rec", "backchannels")
        .explode("backchannels")
        .drop_nulls("backchannels")
        .unnest("backchannels"),
    }
    for kind, some in spans.items():
        rec = some["rec"].to_numpy()
        start, end = (some[c].to_numpy() + origin[rec] for c in ("start_ms", "end_ms"))
        length = end - start
        own, other = (
            np.divide(
                axis.covered(side, start, end),
                length,
                out=np.full(len(length), np.nan),
                where=length > 0,
            )
            for side in sides
        )
        each = _row(rec, kind, own, other)
        frames.append(each.group_by("rec", "kind", maintain_order=True).mean())
    return pl.concat(frames)


def _words(tracks: Tracks, origin: Ints, sides: list[Spans]) -> pl.DataFrame:
    """Given transcripts: the share of their words that lie in each channel's speech."""
    frames = []
    for side, name in enumerate(("user", "model")):
        words: Words = getattr(tracks, f"{name}_words")
        given = tracks.recordings[f"{name}_words"].is_not_null().to_numpy()
        use = given[words.rec]
        rec = words.rec[use]
        middle = (words.start_ms[use] + words.end_ms[use]) // 2 + origin[rec]
        own, other = (
            (axis.inside(s, middle) >= 0).astype(np.float64) for s in (sides[side], sides[1 - side])
        )
        each = _row(rec, f"{name}_words", own, other)
        frames.append(each.group_by("rec", "kind", maintain_order=True).mean())
    return pl.concat(frames)


def _texts(tracks: Tracks) -> pl.DataFrame:
    """What the user is known to say: the share of its words that were recognised."""
    rows = tracks.recordings.with_columns(rec=pl.Series(np.arange(len(tracks)), dtype=pl.Int64))
    recognised = rows.select(
        (pl.col("user_words").is_null() & pl.col("model_words").is_null()).alias("recognised")
    )["recognised"].to_numpy()
    recognised = recognised & tracks.user_words.known & tracks.model_words.known
    texts = rows.filter(pl.Series(recognised)).select(
        "rec", text=pl.concat_list(pl.col(_TEXTS).fill_null("")).list.join(" ")
    )
    known = _tokens(texts)
    sides = []
    for words in (tracks.user_words, tracks.model_words):
        said = _tokens(pl.DataFrame({"rec": words.rec, "text": words.text}))
        sides.append(said.with_columns(pl.lit(1.0).alias("said")))
    table = known
    for name, said in zip(("own", "other"), sides, strict=True):
        table = table.join(said.rename({"said": name}), on=["rec", "token"], how="left")
    return (
        table.group_by("rec", maintain_order=True)
        .agg(pl.col("own", "other").fill_null(0.0).mean(), n=pl.len())
        .filter((pl.col("n") >= MIN_TOKENS) & (pl.max_horizontal("own", "other") > 0))
        .select("rec", pl.lit("text").alias("kind"), "own", "other")
    )


def _tokens(table: pl.DataFrame) -> pl.DataFrame:
    """Different words of each recording, without case and marks."""
    word = (
        pl.col("text")
        .str.to_lowercase()
        .str.replace_all("['’]", "")
        .str.extract_all(r"[\p{L}\p{N}]+")
    )
    return table.select("rec", token=word).explode("token").drop_nulls().unique(maintain_order=True)


def _ends_near(track: Spans, at: Ints) -> np.ndarray:
    """Whether speech ends within ``NEAR_MS`` of each moment."""
    ends = np.append(track.end, axis.NEVER)
    after = ends[np.searchsorted(track.end, at - NEAR_MS, "left")]
    near: np.ndarray = after <= at + NEAR_MS
    return near
