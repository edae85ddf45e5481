"""From archived artefacts to :class:`~flexi_score.segment.tracks.Tracks`: detection, no audio."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.confidence import MIN_CONFIDENCE, word_confidence
from flexi_score.capture.silent import dead_failures, find_dead, noisy_systems
from flexi_score.config import Settings
from flexi_score.formats.text import word_counts
from flexi_score.schema import FAILURES, RECORDINGS, SPEAKERS, Speaker
from flexi_score.segment.partial import heard_up_to
from flexi_score.segment.tracks import (
    Intervals,
    Ints,
    Tracks,
    Words,
    make_intervals,
    make_words,
    words_table,
)
from flexi_score.speech.archived import ArchivedSpeech, read_speech

_OF_CHANNELS: Final = ("key", "detector", "estimated")


def load_tracks(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    settings: Settings,
    noisy: frozenset[str] | None = None,
) -> tuple[Tracks, pl.DataFrame]:
    """Speech and words of archived recordings under these settings.

    Parameters
    ----------
    reader : ArchiveReader
    rows : polars.DataFrame
        :data:`flexi_score.archive.tables.ARCHIVED` rows, as ``read_recordings`` returns them.
    settings : Settings
        Uses ``speech``, ``health``, ``judge.mode`` and ``extract.asr`` (``none`` leaves recognised
        words out).

    noisy : frozenset of str, optional
        From :func:`flexi_score.capture.silent.noisy_systems`, where ``rows`` are only a share of
        the run; by default of these rows.

    Returns
    -------
    tracks : Tracks
        In the order of ``rows``, without the recordings that failed.
    failures : polars.DataFrame
        :data:`flexi_score.schema.FAILURES`: recordings whose artefacts the archive does not hold,
        or whose capture failed.

    Raises
    ------
    ArchiveError
        If a part of the archive is damaged.
    """
    noisy = noisy_systems(reader, rows) if noisy is None else noisy
    channels = reader.read("channels", _keys(rows, "key"), _OF_CHANNELS)
    rows, failures = _usable(reader, rows, channels, noisy, settings)
    detected = read_speech(reader, rows, settings.speech)
    if detected.missing.any():
        lost = np.unique(detected.channels["rec"].to_numpy()[detected.missing])
        failures = pl.concat([failures, _without_frames(reader.folder, rows[lost])])
        rows = rows.filter(~pl.int_range(pl.len()).is_in(pl.Series(lost).implode()))
        detected = read_speech(reader, rows, settings.speech)
    speech = _speech(reader, rows, detected)
    words = {s: load_words(reader, rows, s, settings) for s in SPEAKERS}
    for speaker in SPEAKERS:
        speech[speaker] = _speech_of_words(rows, speaker, speech[speaker], words[speaker])
    guessed = channels.filter(pl.col("estimated")).select("detector", user_key="key")
    recordings = rows.join(guessed, on="user_key", how="left", maintain_order="left").select(
        *RECORDINGS.names(), estimated_by="detector"
    )
    if settings.judge.mode != "replay":
        recordings = recordings.with_columns(pl.lit(None, pl.Float64).alias("rating"))
    tracks = Tracks(
        recordings,
        rows["duration_ms"].to_numpy().astype(np.int64),
        speech["user"],
        speech["model"],
        words["user"],
        words["model"],
        user_known=rows.select(_known("user")).to_series().to_numpy(),
    )
    return tracks, failures


def _keys(rows: pl.DataFrame, kind: str) -> list[str]:
    return pl.concat([rows[f"{s}_{kind}"] for s in SPEAKERS]).drop_nulls().to_list()


def _usable(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    channels: pl.DataFrame,
    noisy: Iterable[str],
    settings: Settings,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split off recordings without artefacts, and those of which a channel was not captured."""
    have = channels.select("key")
    table = rows
    for speaker in SPEAKERS:
        side = have.rename({"key": f"{speaker}_key"})
        side = side.with_columns(pl.lit(True).alias(f"{speaker}_found"))
        table = table.join(side, on=f"{speaker}_key", how="left", maintain_order="left")
    unknown = "nothing is known of the model: give its audio, model_words or model_speech"
    reason: pl.Expr = pl.when(~_known("model")).then(pl.lit(unknown))
    for speaker in SPEAKERS:
        lost = pl.col(f"{speaker}_key").is_not_null() & pl.col(f"{speaker}_found").is_null()
        reason = (
            pl.when(lost)
            .then(
                pl.lit(
                    f"{reader.folder}: the archive does not hold the {speaker} channel of this "
                    "recording; extract it again"
                )
            )
            .otherwise(reason)
        )
    table = table.with_columns(reason=reason)
    failures = (
        table.filter(pl.col("reason").is_not_null())
        .with_columns(stage=pl.lit("audio"), error=pl.lit("AudioError"))
        .select(FAILURES.names())
    )
    rows = rows.filter(table["reason"].is_null())
    failed = dead_failures(find_dead(reader, rows, noisy, settings))
    alive = ~pl.col("recording").is_in(failed["recording"].implode())
    return rows.filter(alive), pl.concat([failures, failed])


def _without_frames(folder: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """Failures of recordings of which the archive holds neither speech nor frames."""
    reason = (
        f"{folder}: the archive does not hold the frames from which the speech of this recording "
        "is detected; extract it again"
    )
    return rows.with_columns(
        stage=pl.lit("audio"), error=pl.lit("ArchiveError"), reason=pl.lit(reason)
    ).select(FAILURES.names())


def _known(speaker: Speaker) -> pl.Expr:
    """Whether a recording has audio, segments or words of a speaker."""
    kinds = ("key", "segments_key", "words_key")
    return pl.any_horizontal(pl.col(f"{speaker}_{kind}").is_not_null() for kind in kinds)


def _given_speech(reader: ArchiveReader, rows: pl.DataFrame, speaker: Speaker) -> pl.DataFrame:
    """Intervals of one speaker's segment files: ``rec, start_ms, end_ms``."""
    keys = rows[f"{speaker}_segments_key"]
    files = reader.read("segments", keys.drop_nulls())
    return (
        rows.select(pl.int_range(pl.len()).alias("rec"), key=keys)
        .join(files, on="key", how="inner", maintain_order="left")
        .explode("segments")
        .drop_nulls("segments")
        .unnest("segments")
    )


def _speech(
    reader: ArchiveReader, rows: pl.DataFrame, detected: ArchivedSpeech
) -> dict[Speaker, Intervals]:
    """Detected or given speech of both speakers, in the recording's own time."""
    found = detected.intervals
    offset = detected.channels["offset_ms"].to_numpy()[found.rec]
    owner = detected.channels["rec"].to_numpy().astype(np.int64)
    speech: dict[Speaker, Intervals] = {}
    for speaker in SPEAKERS:
        side = (detected.channels["speaker"] == speaker).to_numpy()
        own = side[found.rec]
        given = _given_speech(reader, rows, speaker)
        speech[speaker] = make_intervals(
            np.concatenate([owner[found.rec[own]], given["rec"].to_numpy()]),
            np.concatenate([(found.start_ms + offset)[own], given["start_ms"].to_numpy()]),
            np.concatenate([(found.end_ms + offset)[own], given["end_ms"].to_numpy()]),
        )
    return speech


def load_words(
    reader: ArchiveReader, rows: pl.DataFrame, speaker: Speaker, settings: Settings
) -> Words:
    """Words of one speaker of archived recordings, in the recordings' own time.

    Parameters
    ----------
    reader, rows, settings
        As in :func:`load_tracks`.
    speaker : {"user", "model"}

    Returns
    -------
    Words
        Recognised words of a recording whose words the recogniser is not sure of are left out, as
        if there were no transcript: rules use duration alone there.
    """
    n = len(rows)
    keys = rows[f"{speaker}_words_key"]
    stored = reader.read("words", keys.drop_nulls())
    recognised = pl.col("source") != "file"
    if settings.extract.asr == "none":
        stored = stored.filter(~recognised)
    else:
        sure = word_confidence(reader, rows) >= MIN_CONFIDENCE
        unsure = pl.Series("key", keys).filter(~sure.fill_null(True)).drop_nulls()
        stored = stored.filter(~(recognised & pl.col("key").is_in(unsure.implode())))
    table = rows.select(
        pl.int_range(n).alias("rec"), key=keys, offset=pl.col(f"{speaker}_offset_ms").fill_null(0)
    ).join(stored, on="key", how="inner", maintain_order="left")
    known = np.zeros(n, bool)
    known[table["rec"].to_numpy()] = True
    heard_ms = np.zeros(n, np.int64)
    heard_ms[table["rec"].to_numpy()] = heard_up_to(table["source"], settings)
    # Recognised words are timed within their file, given ones within the recording.
    shift = pl.when(pl.col("source") == "file").then(0).otherwise(pl.col("offset"))
    flat = (
        table.with_columns(shift.alias("offset"))
        .explode("words")
        .drop_nulls("words")
        .unnest("words")
    )
    offset: Ints = flat["offset"].to_numpy()
    return make_words(
        flat["rec"].to_numpy(),
        flat["start_ms"].to_numpy() + offset,
        flat["end_ms"].to_numpy() + offset,
        flat["text"],
        word_counts(flat["text"]),
        known,
        heard_ms,
    )


def load_word_table(reader: ArchiveReader, rows: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Words of both speakers of archived recordings (:data:`flexi_score.schema.WORDS`).

    Parameters
    ----------
    reader, rows, settings
        As in :func:`load_tracks`.
    """
    return pl.concat(
        words_table(rows["recording"], s, load_words(reader, rows, s, settings)) for s in SPEAKERS
    )


def _speech_of_words(
    rows: pl.DataFrame, speaker: Speaker, speech: Intervals, words: Words
) -> Intervals:
    """Where there is neither audio nor a segment file, the words themselves are the speech."""
    bare = rows.select(
        pl.col(f"{speaker}_key").is_null() & pl.col(f"{speaker}_segments_key").is_null()
    ).to_series()
    use = bare.to_numpy()[words.rec]
    if not use.any():
        return speech
    return make_intervals(
        np.concatenate([speech.rec, words.rec[use]]),
        np.concatenate([speech.start_ms, words.start_ms[use]]),
        np.concatenate([speech.end_ms, words.end_ms[use]]),
    )
