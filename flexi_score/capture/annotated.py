"""Whether speech starts where the manifest's annotations say that it does.

A benchmark's annotated times are often padded: what is measured from them is off by the padding.
"""

import numpy as np
import polars as pl

from flexi_score.segment import axis
from flexi_score.segment.tracks import Floats, Tracks


def annotation_evidence(tracks: Tracks) -> tuple[Floats, pl.Series]:
    """How far the user's speech starts from the annotated starts, and the worst in words.

    In ms, shape (n,): the largest distance of an annotated interruption or backchannel from the
    nearest onset; the recording's length where the user never speaks; NaN without such an
    annotation, or where nothing is known of the user.
    """
    size, origin = len(tracks), axis.origins(tracks.duration_ms)
    starts = _annotated_starts(tracks)
    rec = starts["rec"].to_numpy().astype(np.int64)
    at = starts["start_ms"].to_numpy().astype(np.int64)
    onsets = axis.bridge(axis.place(tracks.user_speech, origin, tracks.duration_ms), 1)
    moment = at + origin[rec]
    after = np.searchsorted(onsets.start, moment, "left")
    away = np.full(len(rec), np.inf)
    nearest = np.zeros(len(rec))
    for index in (after - 1, after):
        inside = (index >= 0) & (index < len(onsets))
        safe = np.where(inside, index, 0)
        if len(onsets):
            inside &= onsets.rec[safe] == rec
            distance = np.abs(onsets.start[safe] - moment).astype(np.float64)
            nearer = inside & (distance < away)
            away = np.where(nearer, distance, away)
            nearest = np.where(nearer, onsets.start[safe] - origin[rec], nearest)
    never = np.isinf(away)
    away = np.where(never, tracks.duration_ms[rec], away)
    table = pl.DataFrame(
        {
            "rec": rec,
            "key": starts["key"],
            "at": at / 1000,
            "near": np.round(nearest / 1000, 3),
            "away": away,
            "never": never,
        }
    )
    worst = table.sort("rec", "away", descending=[False, True]).unique("rec", keep="first")
    evidence = (
        pl.when("never")
        .then(pl.format("annotations.{} starts at {} s, and the user never speaks", "key", "at"))
        .otherwise(
            pl.format(
                "annotations.{} starts at {} s; the user's nearest onset is at {} s",
                "key",
                "at",
                "near",
            )
        )
    )
    every = pl.DataFrame({"rec": np.arange(size)}).join(
        worst.select("rec", "away", evidence=evidence), on="rec", how="left", maintain_order="left"
    )
    value = np.asarray(every["away"].cast(pl.Float64).fill_null(np.nan).to_numpy(), np.float64)
    return value, every["evidence"]


def _annotated_starts(tracks: Tracks) -> pl.DataFrame:
    """``rec, key, start_ms``: one row per annotated start of a known user's speech."""
    numbered = tracks.recordings.select(
        pl.int_range(pl.len()).alias("rec"), "interrupt_start_ms", "backchannels"
    )
    if tracks.user_known is not None:
        numbered = numbered.filter(pl.Series(tracks.user_known))
    cuts = numbered.select(
        "rec", key=pl.lit("interrupt"), start_ms=pl.col("interrupt_start_ms")
    ).drop_nulls("start_ms")
    short = (
        numbered.select("rec", "backchannels")
        .explode("backchannels")
        .drop_nulls("backchannels")
        .select(
            "rec",
            key=pl.lit("backchannels"),
            start_ms=pl.col("backchannels").struct.field("start_ms"),
        )
    )
    return pl.concat([cuts, short])
