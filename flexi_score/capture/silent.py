"""Channels of exact zeros: a capture that failed, or a model that never spoke.

A user's channel of zeros is a failed capture. A model that never answers sends nothing, so its
channel of zeros is a result: it is scored as silent, with a warning. Unless the same system's other
recordings carry noise between their words: then its line is never digitally silent, and zeros are a
capture that failed. A channel that is constant, but not zero, is a failed capture always.
"""

from collections.abc import Iterable
from typing import Final

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings
from flexi_score.schema import FAILURES, HEALTH, SPEAKERS, Row

#: A line is digitally silent between words where this share of its 10 ms frames is exact zeros
#: (median over the system's recordings): noise of a single bit leaves none.
SILENT_FRAMES: Final = 0.01
#: A note comes first where more than this share of a system's recordings has a silent model.
MOST: Final = 0.5

_COLUMNS: Final = ("key", "dead", "peak_dbfs", "silent_frames")
#: Peak of a channel of zeros, or below.
_ZERO_DBFS: Final = -119.0


def noisy_systems(reader: ArchiveReader, rows: pl.DataFrame) -> frozenset[str]:
    """Systems whose model channels carry noise between words, of those with a dead one.

    ``rows``: every recording of the run, also where it is scored chunk by chunk.
    """
    dead = reader.read("channels", columns=["key", "dead"]).filter("dead")
    held = pl.col("model_key").is_in(dead["key"].implode())
    systems = rows.filter(held)["system"].unique()
    if not len(systems):
        return frozenset()
    some = rows.filter(pl.col("system").is_in(systems.implode())).select("system", "model_key")
    channels = reader.read("channels", some["model_key"].drop_nulls(), _COLUMNS)
    share = (
        some.join(channels.filter(~pl.col("dead")), left_on="model_key", right_on="key")
        .group_by("system")
        .agg(pl.col("silent_frames").median())
    )
    return frozenset(share.filter(pl.col("silent_frames") < SILENT_FRAMES)["system"])


def find_dead(
    reader: ArchiveReader, rows: pl.DataFrame, noisy: Iterable[str], settings: Settings
) -> pl.DataFrame:
    """One row per dead channel, and whether it is a failed capture; none is without the gate.

    Returns ``recording, system, scenario, channel, where, zeros, failed, detail, remedy``.
    """
    parts = []
    for speaker in SPEAKERS:
        keys = rows[f"{speaker}_key"].drop_nulls()
        dead = reader.read("channels", keys, _COLUMNS).filter("dead")
        side = rows.join(dead, left_on=f"{speaker}_key", right_on="key", maintain_order="left")
        # A segment file of the channel says what was in it, whatever the capture is like.
        given = pl.col(f"{speaker}_segments_key").is_not_null()
        parts.append(
            side.select(
                "recording",
                "system",
                "scenario",
                channel=pl.lit(speaker),
                where=pl.coalesce(f"{speaker}_audio", "audio").fill_null("audio"),
                zeros=pl.col("peak_dbfs") <= _ZERO_DBFS,
                given=given,
            )
        )
    dead_channels = pl.concat(parts)
    noisy_line = pl.col("system").is_in(pl.Series(list(noisy), dtype=pl.String).implode())
    silent = pl.col("zeros") & (pl.col("channel") == "model") & ~noisy_line
    failed = ~silent & ~pl.col("given") & settings.health.gate
    detail = (
        pl.when(~pl.col("zeros"))
        .then(pl.lit("all samples of the channel are equal: nothing was captured"))
        .when(silent)
        .then(pl.lit("the channel holds only zeros: taken as a model that said nothing"))
        .when(pl.col("channel") == "model")
        .then(
            pl.lit(
                "the channel holds only zeros, and other recordings of this system carry noise "
                "between words: nothing was captured"
            )
        )
        .otherwise(pl.lit("the channel holds only zeros: nothing was captured"))
    )
    remedy = (
        pl.when(silent)
        .then(pl.lit("leave the recording out of the manifest if its capture failed"))
        .otherwise(pl.lit("capture it again; --no-gate (health.gate=false) scores it as silence"))
    )
    return dead_channels.with_columns(failed=failed, detail=detail, remedy=remedy)


def dead_failures(dead: pl.DataFrame) -> pl.DataFrame:
    """Failed captures (:func:`find_dead`) as :data:`flexi_score.schema.FAILURES`."""
    return (
        dead.filter("failed")
        .unique("recording", keep="first", maintain_order=True)
        .with_columns(
            stage=pl.lit("audio"),
            error=pl.lit("AudioError"),
            reason=pl.format(
                "{}: the {} channel is dead ({}): the capture failed; {}",
                "where",
                "channel",
                "detail",
                "remedy",
            ),
        )
        .select(FAILURES.names())
    )


def dead_health(dead: pl.DataFrame) -> pl.DataFrame:
    """Verdicts on dead channels (:func:`find_dead`) as :data:`flexi_score.schema.HEALTH`."""
    return dead.with_columns(
        check=pl.lit("dead"),
        value=pl.lit(1.0),
        unit=pl.lit(""),
        threshold=pl.lit(1.0),
        verdict=pl.when("failed").then(pl.lit("refuse")).otherwise(pl.lit("warn")),
    ).select(pl.col(name).cast(kind) for name, kind in HEALTH.items())


def silent_notes(health: pl.DataFrame, recordings: pl.DataFrame) -> list[str]:
    """What a run says first: systems most of whose recordings have a model channel of zeros."""
    zeros = health.filter(
        (pl.col("check") == "dead") & (pl.col("channel") == "model") & (pl.col("verdict") == "warn")
    )["recording"]
    if not len(zeros):
        return []
    counts = recordings.group_by("system", maintain_order=True).agg(
        n=pl.len(), silent=pl.col("recording").is_in(zeros.implode()).sum()
    )
    most: list[Row] = counts.filter(pl.col("silent") > MOST * pl.col("n")).to_dicts()
    return [
        f"{row['system'] or 'the system'}: in {row['silent']} of {row['n']} recordings the model's "
        "channel holds only zeros. They are scored as a model that said nothing; if the capture "
        "failed, its numbers mean nothing."
        for row in most
    ]
