"""What the tables of an archive hold (:mod:`flexi_score.archive.store`): schemas, units, keys."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from flexi_score.schema import FAILURES, INTERVAL, RECORDINGS, WORD, make_schema

#: Step of speech probabilities.
FRAME_MS: Final = 32
#: Step of energy envelopes.
ENVELOPE_MS: Final = 10

#: One row per channel, as captured.
CHANNELS: Final = make_schema(
    {
        "key": pl.String,
        "duration_ms": pl.Int64,
        "active_dbfs": pl.Float64,
        "noise_dbfs": pl.Float64,
        "peak_dbfs": pl.Float64,
        "gain_db": pl.Float64,
        "zero_share": pl.Float64,
        "zero_tail_ms": pl.Int64,  # exact zeros at the channel's end
        "clipped_share": pl.Float64,
        "silent_frames": pl.Float64,  # share of 10 ms frames that are digital silence
        "dead": pl.Boolean,  # all samples are equal
        "detector": pl.String,
        "estimated": pl.Boolean,  # one of two voices of a one-channel file; null: no
        "sample_rate_hz": pl.Int64,
        "encoding": pl.String,
        "note": pl.String,  # what is wrong with the file although it is used; null: nothing
    }
)
#: What speech is detected from, under the key of a channel or, of a channel without its crosstalk,
#: of a row of :data:`CROSSTALK` (its lists are null where there is no crosstalk). Scoring reads it
#: only where :data:`SPEECH` has no row.
FRAMES: Final = make_schema(
    {
        "key": pl.String,
        "probabilities": pl.List(pl.UInt16),  # of speech, every 32 ms: q / 65535
        "envelope_cdb": pl.List(pl.Int16),  # energy every 10 ms, hundredths of a dB re full scale
    }
)
#: One row per channel beside another: crosstalk from the other party
#: (:mod:`flexi_score.speech.crosstalk`). Numbers are null where there is no crosstalk.
CROSSTALK: Final = make_schema(
    {
        "key": pl.String,
        "algorithm": pl.String,  # that looked for it, as crosstalk-3
        "level_db": pl.Float64,
        "lag_ms": pl.Float64,
        "depth_db": pl.Float64,
        "doubt_share": pl.Float64,  # of the channel's speech: not clear of what may be left of it
        "noise_dbfs": pl.Float64,  # noise floor of the channel without it
    }
)
#: Speech intervals (:func:`flexi_score.speech.detect.detect_speech`). The key is that of the
#: channel (or of its row in :data:`CROSSTALK`), ``#``, and a hash of algorithm and settings.
SPEECH: Final = make_schema(
    {
        "key": pl.String,
        "speech": pl.List(INTERVAL),  # in the channel's own time
    }
)
#: One row per transcript. ``confidence`` is the mean probability that the recogniser gives its
#: words, ``n_words`` their number; null where the transcript is a file.
WORDS: Final = make_schema(
    {
        "key": pl.String,
        "source": pl.String,
        "words": pl.List(WORD),
        "confidence": pl.Float64,
        "n_words": pl.Int64,
        "note": pl.String,  # what is odd about a file that was given; null: nothing
    }
)
SEGMENTS: Final = make_schema({"key": pl.String, "segments": pl.List(INTERVAL), "note": pl.String})
#: How a pair of channels was captured
#: (:func:`flexi_score.capture.audio_measures.measure_health`). Null is not measured.
HEALTH: Final = make_schema(
    {
        "key": pl.String,
        "user_dropouts": pl.Int64,
        "user_dropout_ms user_flat_share user_band_hz": pl.Float64,
        "model_dropouts": pl.Int64,
        "model_dropout_ms model_flat_share model_band_hz copy_r copy_lag_ms": pl.Float64,
        "copy_gain_db mixed_db lag_into_model_ms lag_into_user_ms drift_ppm": pl.Float64,
        "drift_lags": pl.Int64,
    }
)
#: Which artefacts belong to a recording; null where it has none of that kind.
LINKS: Final = pl.Schema(
    {
        "user_key": pl.String,
        "model_key": pl.String,
        "user_crosstalk_key": pl.String,
        "model_crosstalk_key": pl.String,
        "health_key": pl.String,
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
    {"path": pl.String, "n_bytes mtime_ns ctime_ns": pl.Int64, "sha256": pl.String}
)

TABLES: Final[Mapping[str, pl.Schema]] = {
    "channels": CHANNELS,
    "frames": FRAMES,
    "crosstalk": CROSSTALK,
    "speech": SPEECH,
    "words": WORDS,
    "segments": SEGMENTS,
    "health": HEALTH,
    "recordings": ARCHIVED,
    "failures": ATTEMPTS,
    "files": FILES,
}


#: Columns of :data:`LINKS` that hold keys.
KEYS: Final = tuple(name for name in LINKS if name.endswith("_key"))


def artefact_keys(rows: pl.DataFrame) -> pl.Series:
    """Keys that recordings (:data:`ARCHIVED`) refer to; those of :data:`SPEECH` begin with one."""
    return pl.concat([rows[name].alias("key") for name in KEYS]).drop_nulls().unique()
