"""Corrections of listeners where archived recordings are scored, and where a run names them."""

import hashlib
from typing import Final

import numpy as np
import polars as pl

from flexi_score.archive.corrections import FILE
from flexi_score.archive.reader import ArchiveReader
from flexi_score.schema import SPEAKERS, Speaker
from flexi_score.segment.tracks import Intervals, join_intervals

#: Name of the check in the health table.
CHECK: Final = "corrected"
_REMEDY: Final = f"correct this recording again, or remove its line from the archive's {FILE}"
#: Ids that a note names.
_NAMED: Final = 5


def _speech(reader: ArchiveReader, rows: pl.DataFrame) -> pl.DataFrame:
    """Corrected speech of these recordings; ``own``: made on the audio that they have now."""
    keys = pl.concat(
        rows.select(
            "recording",
            pl.lit(speaker).alias("speaker"),
            rec=pl.int_range(pl.len(), dtype=pl.Int64),
            held=channel_key(speaker),
        )
        for speaker in SPEAKERS
    )
    corrected = keys.join(reader.corrections().speech, on=["recording", "speaker"])
    return corrected.with_columns(own=pl.col("held").eq_missing(pl.col("key")))


def channel_key(speaker: Speaker) -> pl.Expr:
    """What a correction of a channel's speech belongs to; null where it cannot be corrected."""
    return pl.coalesce(f"{speaker}_key", f"{speaker}_segments_key")


def replace_speech(
    reader: ArchiveReader, rows: pl.DataFrame, speaker: Speaker, speech: Intervals
) -> Intervals:
    """Speech of one speaker with that of corrected channels in place of theirs.

    ``rows``: :data:`flexi_score.archive.tables.ARCHIVED`; ``speech.rec`` counts them.
    """
    corrected = _speech(reader, rows).filter(pl.col("own") & (pl.col("speaker") == speaker))
    if not len(corrected):
        return speech
    others = speech.take(~np.isin(speech.rec, corrected["rec"].to_numpy()))
    flat = corrected.filter(pl.col("speech").list.len() > 0).explode("speech").unnest("speech")
    own = Intervals(*(flat[name].to_numpy() for name in ("rec", "start_ms", "end_ms")))
    return join_intervals(others, own)


def corrected_health(reader: ArchiveReader, rows: pl.DataFrame) -> pl.DataFrame:
    """A row for each correction (:data:`flexi_score.schema.HEALTH`).

    A warning where it is not applied: it is of other audio under the same name.
    """
    speech = _speech(reader, rows)
    noted = reader.corrections().annotations.join(rows, on="recording", how="semi")
    which = pl.concat_list(
        pl.when(pl.col(name).is_not_null()).then(pl.lit(name.removesuffix("_ms")))
        for name in noted.columns[1:]
    )
    listed = which.list.drop_nulls().list.join(", ")
    parts = (
        speech.select(
            "recording",
            channel="speaker",
            verdict=pl.when("own").then(pl.lit("fine")).otherwise(pl.lit("warn")),
            detail=pl.when("own")
            .then(pl.format("speech of the {} corrected by hand", "speaker"))
            .otherwise(pl.format("a correction of the {} is of other audio: not used", "speaker")),
            remedy=pl.when(~pl.col("own")).then(pl.lit(_REMEDY)),
        ),
        noted.select(
            "recording",
            channel=pl.lit(None, pl.String),
            verdict=pl.lit("fine"),
            detail=pl.format("annotations corrected by hand: {}", listed),
            remedy=pl.lit(None, pl.String),
        ),
    )
    return pl.concat(parts).select(
        "recording",
        pl.lit(CHECK).alias("check"),
        "channel",
        pl.lit(None, pl.Float64).alias("value"),
        pl.lit("").alias("unit"),
        pl.lit(None, pl.Float64).alias("threshold"),
        *("verdict", "detail", "remedy"),
    )


def corrected_facts(reader: ArchiveReader, rows: pl.DataFrame) -> dict[str, str]:
    """How many of these recordings are corrected, and a hash of how; empty where none is."""
    speech = _speech(reader, rows).filter("own").select("recording", "speaker", "speech")
    noted = reader.corrections().annotations.join(rows, on="recording", how="semi")
    names = pl.concat([speech["recording"], noted["recording"]]).unique()
    if not len(names):
        return {}
    tables = (speech.sort("recording", "speaker"), noted.sort("recording"))
    text = "".join(table.write_json() for table in tables)
    return {"corrected": f"{len(names)}@{hashlib.sha256(text.encode()).hexdigest()[:8]}"}


def corrected_notes(health: pl.DataFrame) -> list[str]:
    """What a run says of its corrections; none where there are none."""
    used = health.filter((pl.col("check") == CHECK) & (pl.col("verdict") == "fine"))
    names = used["recording"].unique(maintain_order=True)
    if not len(names):
        return []
    more = ", ..." if len(names) > _NAMED else ""
    return [
        f"Corrected by hand: {len(names)} recording{'' if len(names) == 1 else 's'} "
        f"({', '.join(names.head(_NAMED))}{more}); {FILE} of the archive says how."
    ]
