"""What the tables of an archive hold (:mod:`flexi_score.archive.store`): schemas, units, keys."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from flexi_score.schema import FAILURES, INTERVAL, RECORDINGS, SPEAKERS, WORD, Speaker, make_schema

#: Speech probability of every 32 ms frame, as 16-bit fractions of one.
FRAME_MS: Final = 32
#: Energy of every 10 ms, in hundredths of a dB re full scale.
ENVELOPE_MS: Final = 10

CHANNELS: Final = make_schema(
    {
        "key": pl.String,
        "duration_ms": pl.Int64,
        "probabilities": pl.List(pl.UInt16),
        "envelope_cdb": pl.List(pl.Int16),
        "active_dbfs": pl.Float64,
        "noise_dbfs": pl.Float64,
        "peak_dbfs": pl.Float64,
        "gain_db": pl.Float64,
        "zero_share": pl.Float64,
        "clipped_share": pl.Float64,
        "dead": pl.Boolean,
        "detector": pl.String,
        "estimated": pl.Boolean,  # one of two voices of a one-channel file; null: no
        "sample_rate_hz": pl.Int64,
        "encoding": pl.String,
    }
)
WORDS: Final = make_schema({"key": pl.String, "source": pl.String, "words": pl.List(WORD)})
#: Which channel is freed of which (:func:`leak_key`), and speech probabilities and envelope
#: without the leak (:mod:`flexi_score.speech.crosstalk`). All else is null where nothing leaks.
LEAKS: Final = make_schema(
    {
        "key": pl.String,
        "level_db": pl.Float64,
        "lag_ms": pl.Float64,
        "depth_db": pl.Float64,
        "probabilities": pl.List(pl.UInt16),
        "envelope_cdb": pl.List(pl.Int16),
        "leak_cdb": pl.List(pl.Int16),
        "noise_dbfs": pl.Float64,
    }
)
SEGMENTS: Final = make_schema({"key": pl.String, "segments": pl.List(INTERVAL)})
#: How a pair of channels was captured, as
#: :func:`flexi_score.capture.audio_measures.measure_health` returns it. The key is those of both
#: channels, joined by a plus sign. Null is not measured.
HEALTH: Final = make_schema(
    {
        "key": pl.String,
        "user_dropouts": pl.Int64,
        "user_dropout_ms": pl.Float64,
        "user_flat_share": pl.Float64,
        "user_band_hz": pl.Float64,
        "model_dropouts": pl.Int64,
        "model_dropout_ms": pl.Float64,
        "model_flat_share": pl.Float64,
        "model_band_hz": pl.Float64,
        "copy_r": pl.Float64,
        "copy_lag_ms": pl.Float64,
        "copy_gain_db": pl.Float64,
        "lag_into_model_ms": pl.Float64,
        "lag_into_user_ms": pl.Float64,
        "drift_ppm": pl.Float64,
        "drift_lags": pl.Int64,
    }
)
#: Which artefacts belong to a recording; null where it has none of that kind.
LINKS: Final = pl.Schema(
    {
        "user_key": pl.String,
        "model_key": pl.String,
        "user_words_key": pl.String,
        "model_words_key": pl.String,
        "user_segments_key": pl.String,
        "model_segments_key": pl.String,
        "duration_ms": pl.Int64,
        "manifest_position": pl.Int64,  # counted from 0
    }
)
ARCHIVED: Final = pl.Schema({**RECORDINGS, **LINKS})
#: Attempts that failed: a recording is not tried again while ``source_hash`` stays the same.
ATTEMPTS: Final = make_schema({**FAILURES, "source_hash": pl.String})
#: Hash of a file that has not been touched since; of use where all but the hash still hold.
FILES: Final = make_schema(
    {
        "path": pl.String,
        "n_bytes": pl.Int64,
        "mtime_ns": pl.Int64,
        "ctime_ns": pl.Int64,
        "sha256": pl.String,
    }
)

TABLES: Final[Mapping[str, pl.Schema]] = {
    "channels": CHANNELS,
    "words": WORDS,
    "segments": SEGMENTS,
    "leaks": LEAKS,
    "health": HEALTH,
    "recordings": ARCHIVED,
    "failures": ATTEMPTS,
    "files": FILES,
}


def leak_key(target: str, source: str, target_ms: int, source_ms: int) -> str:
    """Key of a channel beside another that starts at another time: a row of :data:`LEAKS`."""
    return f"{target}<{source}@{source_ms - target_ms}"


def leak_keys(speaker: Speaker) -> pl.Expr:
    """:func:`leak_key` of one speaker's channel, for every row of :data:`ARCHIVED`."""
    other = SPEAKERS[1 - SPEAKERS.index(speaker)]
    own_ms, other_ms = (pl.col(f"{s}_offset_ms").fill_null(0) for s in (speaker, other))
    return pl.format("{}<{}@{}", f"{speaker}_key", f"{other}_key", other_ms - own_ms)


def pair_keys() -> pl.Expr:
    """Key of a pair of channels (:data:`HEALTH`), for every row of :data:`ARCHIVED`."""
    return pl.format("{}+{}", "user_key", "model_key")


def artefact_keys(rows: pl.DataFrame) -> pl.Series:
    """Keys of everything that the archive may hold of these recordings (:data:`ARCHIVED`)."""
    names = [f"{s}_{kind}" for s in SPEAKERS for kind in ("key", "words_key", "segments_key")]
    keys = [pl.col(name) for name in names] + [leak_keys(s) for s in SPEAKERS] + [pair_keys()]
    return pl.concat([rows.select(key=key)["key"] for key in keys]).drop_nulls().unique()
