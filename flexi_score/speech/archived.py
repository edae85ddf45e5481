"""Speech of archived channels: read where the archive holds it, else detected from frames.

The archive holds the speech intervals of the settings that it was made with. Scoring under the same
``speech`` settings reads them; other settings detect anew from the archived frames.
"""

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.archive.store import content_key
from flexi_score.archive.tables import FRAME_MS, SPEECH
from flexi_score.config import SpeechSettings
from flexi_score.errors import ArchiveError
from flexi_score.schema import SPEAKERS
from flexi_score.segment.tracks import Bools, Intervals, make_intervals
from flexi_score.speech.detect import BOUNDARIES_VERSION, detect_speech

_FRAMES: Final = ("key", "probabilities", "envelope_cdb")


class ArchivedSpeech(NamedTuple):
    """Speech of channels.

    Attributes
    ----------
    channels : polars.DataFrame
        One row per channel that has audio: ``rec`` (row of the recording), ``speaker``,
        ``offset_ms`` (where it starts in the recording), ``given`` (its speech is that of a
        segment file, and what is detected only shows whether the file belongs to the audio).
    intervals : Intervals
        ``rec`` is the row of ``channels``, times are the channel's own.
    missing : ndarray of bool, shape (len(channels),)
        The archive holds neither its speech nor the frames to detect it from.
    """

    channels: pl.DataFrame
    intervals: Intervals
    missing: Bools


def speech_version(settings: SpeechSettings) -> str:
    """What speech intervals depend on beside the frames: the algorithm and its settings."""
    return content_key("speech", BOUNDARIES_VERSION, settings.model_dump())[:12]


def read_speech(
    reader: ArchiveReader, rows: pl.DataFrame, settings: SpeechSettings
) -> ArchivedSpeech:
    """Speech detected in every channel of these recordings that has audio.

    Parameters
    ----------
    reader : ArchiveReader
    rows : polars.DataFrame
        :data:`flexi_score.archive.tables.ARCHIVED`.
    settings : SpeechSettings
    """
    channels = _channels(rows, settings)
    stored = reader.read("speech", channels["speech_key"])
    held = channels.join(
        stored, left_on="speech_key", right_on="key", how="left", maintain_order="left"
    ).with_row_index("channel")
    given = (
        held.select("channel", "speech")
        .filter(pl.col("speech").list.len() > 0)
        .explode("speech")
        .unnest("speech")
    )
    parts = [[given[name].to_numpy() for name in ("channel", "start_ms", "end_ms")]]
    fresh = held.filter(pl.col("speech").is_null())
    missing = held["speech"].is_null().to_numpy(writable=True)
    if len(fresh):
        detected = _with_frames(reader, fresh, settings)
        detected_speech = detect_speech(detected, settings)
        row = detected["channel"].to_numpy().astype(np.int64)
        parts.append([row[detected_speech.rec], detected_speech.start_ms, detected_speech.end_ms])
        missing[row] = False
    rec, start, end = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    missing &= ~channels["given"].to_numpy()
    table = channels.select("rec", "speaker", "offset_ms", "given")
    return ArchivedSpeech(table, make_intervals(rec, start, end), missing)


def missing_speech(
    reader: ArchiveReader, rows: pl.DataFrame, settings: SpeechSettings
) -> pl.DataFrame:
    """Speech that the archive does not hold of these recordings under these settings.

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.archive.tables.SPEECH`, to be added to the archive.
    """
    channels = _channels(rows, settings).unique("speech_key", keep="first", maintain_order=True)
    held = reader.read("speech", channels["speech_key"], ["key"])
    lost = channels.join(held, left_on="speech_key", right_on="key", how="anti")
    if not len(lost):
        return SPEECH.to_frame()
    detected = _with_frames(reader, lost.with_row_index("channel"), settings)
    speech = detect_speech(detected, settings)
    spans = (
        pl.DataFrame({"row": speech.rec, "start_ms": speech.start_ms, "end_ms": speech.end_ms})
        .group_by("row", maintain_order=True)
        .agg(speech=pl.struct("start_ms", "end_ms"))
    )
    return (
        detected.select(pl.int_range(pl.len()).alias("row"), key="speech_key")
        .join(spans, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("speech").fill_null([]))
        .select(pl.col(name).cast(kind) for name, kind in SPEECH.items())
    )


def _channels(rows: pl.DataFrame, settings: SpeechSettings) -> pl.DataFrame:
    """One row per channel with audio, a recording's side by side."""
    version = speech_version(settings)
    parts = []
    for speaker in SPEAKERS:
        alone = pl.coalesce(f"{speaker}_crosstalk_key", f"{speaker}_key")
        part = rows.select(
            pl.int_range(pl.len()).alias("rec"),
            pl.lit(speaker).alias("speaker"),
            pl.col(f"{speaker}_offset_ms").fill_null(0).alias("offset_ms"),
            pl.col(f"{speaker}_segments_key").is_not_null().alias("given"),
            pl.col(f"{speaker}_key").alias("key"),
            pl.col(f"{speaker}_crosstalk_key").alias("crosstalk_key"),
            speech_key=alone + f"#{version}",
        )
        parts.append(part.filter(pl.col("key").is_not_null()))
    return pl.concat(parts).sort("rec", maintain_order=True)


def _with_frames(
    reader: ArchiveReader, channels: pl.DataFrame, settings: SpeechSettings
) -> pl.DataFrame:
    """What :func:`~flexi_score.speech.detect.detect_speech` takes of these channels.

    Channels whose frames the archive does not hold are left out.
    """
    scalars = reader.read("channels", channels["key"], ["key", "duration_ms", "noise_dbfs"])
    frames = reader.read("frames", channels["key"], _FRAMES)
    with_frames = channels.join(scalars, on="key", how="inner", maintain_order="left").join(
        frames, on="key", how="inner", maintain_order="left"
    )
    _check_lengths(reader, with_frames)
    if not settings.crosstalk:
        return with_frames
    keys = channels["crosstalk_key"].drop_nulls()
    names = ("probabilities", "envelope_cdb", "noise_dbfs")
    clean = reader.read("crosstalk", keys, ["key", "noise_dbfs"]).join(
        reader.read("frames", keys, _FRAMES), on="key", how="inner", maintain_order="left"
    )
    clean = clean.rename({"key": "crosstalk_key"} | {n: f"clean_{n}" for n in names})
    return (
        with_frames.join(
            clean.with_columns(searched=pl.lit(True)),
            on="crosstalk_key",
            how="left",
            maintain_order="left",
        )
        .filter(pl.col("searched").fill_null(False) | pl.col("crosstalk_key").is_null())
        .with_columns(pl.coalesce(f"clean_{n}", n).alias(n) for n in names)
        .drop("searched", *(f"clean_{n}" for n in names))
    )


def _check_lengths(reader: ArchiveReader, channels: pl.DataFrame) -> None:
    """Raise where frames are those of a channel of another length."""
    off = pl.col("probabilities").list.len().cast(pl.Int64) * FRAME_MS - pl.col("duration_ms")
    wrong = channels.filter(off.abs() > 2 * FRAME_MS)
    if len(wrong):
        raise ArchiveError(
            f"{reader.folder / 'frames'}: frames of channel {wrong['key'][0]!r} are not as long "
            "as the channel; the archive was changed by something else: extract again into a new "
            "folder"
        )
