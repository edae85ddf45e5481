"""From archived artefacts to :class:`~flexi_score.segment.tracks.Tracks`: detection, no audio."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.confidence import MIN_CONFIDENCE, word_confidence
from flexi_score.capture.silent import dead_failures, find_dead, noisy_systems
from flexi_score.config import Settings
from flexi_score.formats.text import word_counts
from flexi_score.schema import FAILURES, RECORDINGS, SPEAKERS, Speaker
from flexi_score.scoring.corrected import replace_speech
from flexi_score.scoring.given import Fit, fit_given, inside_speech, on_clock, past_end
from flexi_score.segment.partial import heard_up_to
from flexi_score.segment.tracks import (
    Intervals,
    Tracks,
    Words,
    make_intervals,
    make_words,
    select_tracks,
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

    ``rows``: :data:`flexi_score.archive.tables.ARCHIVED` rows, as ``read_recordings`` returns them.
    ``settings``: uses ``speech``, ``health``, ``judge.mode`` and ``extract.asr`` (``none`` leaves
    recognised words out). ``noisy``: from :func:`flexi_score.capture.silent.noisy_systems`, where
    ``rows`` are only a share of the run; by default of these rows. Returns ``tracks``: in the order
    of ``rows``, without the recordings that failed; ``failures``:
    :data:`flexi_score.schema.FAILURES`: recordings whose artefacts the archive does not hold, or
    whose capture failed. Raises ArchiveError if a part of the archive is damaged.
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
    found = {s: _side(reader, rows, s, detected, settings) for s in SPEAKERS}
    words = {s: found[s].words for s in SPEAKERS}
    speech = {s: _speech_of_words(rows, s, found[s].speech, words[s]) for s in SPEAKERS}
    guessed = channels.filter(pl.col("estimated")).select("detector", user_key="key")
    recordings = rows.join(guessed, on="user_key", how="left", maintain_order="left").select(
        *RECORDINGS.names(),
        estimated_by="detector",
        **{f"{s}_given_note": found[s].notes for s in SPEAKERS},
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
    reason = pl.select(pl.coalesce(*(found[s].refusals.alias(s) for s in SPEAKERS)))["user"]
    if reason.is_null().all():
        return tracks, failures
    refused = rows.with_columns(
        reason=reason, stage=pl.lit("words"), error=pl.lit("TranscriptError")
    ).filter(reason.is_not_null())
    return (
        select_tracks(tracks, reason.is_null().to_numpy()),
        pl.concat([failures, refused.select(FAILURES.names())]),
    )


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


def _entries(
    reader: ArchiveReader, rows: pl.DataFrame, speaker: Speaker, kind: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Stored words or segments of one speaker, a row an entry, and the rows that hold them."""
    keys = rows[f"{speaker}_{kind}_key"]
    held = rows.select(pl.int_range(pl.len()).alias("rec"), key=keys).join(
        reader.read(kind, keys.drop_nulls()), on="key", how="inner", maintain_order="left"
    )
    flat = held.select("rec", kind).explode(kind).drop_nulls(kind).unnest(kind)
    return flat, held


def _detected(detected: ArchivedSpeech, speaker: Speaker) -> Intervals:
    """Detected speech of one speaker, in the recordings' own time."""
    found = detected.intervals
    own = (detected.channels["speaker"] == speaker).to_numpy()[found.rec]
    offset = detected.channels["offset_ms"].to_numpy()[found.rec]
    owner = detected.channels["rec"].to_numpy().astype(np.int64)[found.rec]
    return make_intervals(owner[own], (found.start_ms + offset)[own], (found.end_ms + offset)[own])


class _Side(NamedTuple):
    """What is known of one speaker of every recording.

    ``notes`` and ``refusals`` say how given files fit their audio, null where there is nothing to
    say.
    """

    speech: Intervals
    words: Words
    notes: pl.Series
    refusals: pl.Series


def _side(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    speaker: Speaker,
    detected: ArchivedSpeech,
    settings: Settings,
) -> _Side:
    """Detected or given speech of one speaker, and its words, in the recordings' own time."""
    n = len(rows)
    duration = rows["duration_ms"].to_numpy().astype(np.int64)
    offset = rows[f"{speaker}_offset_ms"].fill_null(0).to_numpy().astype(np.int64)
    has_audio = rows[f"{speaker}_key"].is_not_null().to_numpy()
    heard = {s: _detected(detected, s) for s in SPEAKERS}
    own, other = heard[speaker], heard["model" if speaker == "user" else "user"]
    notes: list[list[str]] = [[] for _ in range(n)]
    refusals: list[str | None] = [None] * n

    def fitted(given: Intervals, held: pl.DataFrame, name: str) -> Fit:
        checked = has_audio.copy()
        checked[~np.isin(np.arange(n), held["rec"].to_numpy())] = False
        found = fit_given(given, own, other, duration, offset, checked, rows[f"{speaker}_{name}"])
        for rec, note in held.select("rec", "note").drop_nulls().iter_rows():
            notes[rec].append(note)
        for i in np.flatnonzero(checked):
            notes[i] += filter(None, [found.note[i]])
            refusals[i] = refusals[i] or found.refusal[i]
        return found

    flat, held = _entries(reader, rows, speaker, "segments")
    raw = make_intervals(*(flat[c].to_numpy() for c in ("rec", "start_ms", "end_ms")))
    given = on_clock(raw, fitted(raw, held, "speech"))
    channels = detected.channels
    side = (channels["speaker"] == speaker).to_numpy()
    owner = channels["rec"].to_numpy().astype(np.int64)
    replaced = np.zeros(n, bool)
    replaced[owner[side & channels["given"].to_numpy()]] = True
    use = own.take(~replaced[own.rec])
    speech = make_intervals(
        np.concatenate([use.rec, given.rec]),
        np.concatenate([use.start_ms, given.start_ms]),
        np.concatenate([use.end_ms, given.end_ms]),
    )
    speech = replace_speech(reader, rows, speaker, speech)
    flat, held = _entries(reader, rows, speaker, "words")
    recognised = pl.col("source") != "file"
    if settings.extract.asr == "none":
        held = held.filter(~recognised)
    else:
        sure = word_confidence(reader, rows) >= MIN_CONFIDENCE
        unsure = pl.Series(np.arange(n)).filter(~sure.fill_null(True))
        held = held.filter(~(recognised & pl.col("rec").is_in(unsure.implode())))
    flat = flat.filter(pl.col("rec").is_in(held["rec"].implode()))
    known, of_file = np.zeros(n, bool), np.zeros(n, bool)
    heard_ms = np.zeros(n, np.int64)
    at = held["rec"].to_numpy()
    known[at] = True
    of_file[at] = (held["source"] == "file").to_numpy()
    heard_ms[at] = heard_up_to(held["source"], settings)
    raw = Intervals(*(flat[c].to_numpy().astype(np.int64) for c in ("rec", "start_ms", "end_ms")))
    theirs = of_file[raw.rec]
    fit = fitted(raw.take(theirs), held.filter(pl.col("source") == "file"), "words")
    # Recognised words are timed within their audio file, given ones within the recording.
    moved = on_clock(raw, fit)
    shift = np.where(theirs, 0, offset[raw.rec])
    placed = Intervals(
        raw.rec,
        np.where(theirs, moved.start_ms, raw.start_ms + shift),
        np.where(theirs, moved.end_ms, raw.end_ms + shift),
    )
    for name, entries in (("speech", given), ("words", placed.take(theirs))):
        late = past_end(entries, duration)
        for i in np.flatnonzero((late > 0) & has_audio):
            notes[i].append(
                f"{rows[f'{speaker}_{name}'][int(i)]}: {late[i]} of its entries end after the "
                f"recording, which is {duration[i] / 1000} s long"
            )
    stays = ~theirs | ~has_audio[raw.rec] | inside_speech(placed, speech, duration)
    for i in np.unique(raw.rec[~stays]):
        count = int(np.count_nonzero(raw.rec[~stays] == i))
        notes[i].append(
            f"{rows[f'{speaker}_words'][int(i)]}: {count} of its words are outside the "
            f"{speaker}'s speech, and are not counted"
        )
    outside = make_intervals(raw.rec[~stays], placed.start_ms[~stays], placed.end_ms[~stays])
    placed = placed.take(stays)
    text = flat["text"].filter(pl.Series(stays))
    words = make_words(
        placed.rec, placed.start_ms, placed.end_ms, text, word_counts(text), known, heard_ms
    )
    words = replace(words, outside=outside, checked=of_file & has_audio)
    return _Side(
        speech,
        words,
        pl.Series(["; ".join(dict.fromkeys(found)) or None for found in notes], dtype=pl.String),
        pl.Series(refusals, dtype=pl.String),
    )


def load_words(
    reader: ArchiveReader, rows: pl.DataFrame, speaker: Speaker, settings: Settings
) -> Words:
    """Words of one speaker of archived recordings, in the recordings' own time.

    ``reader``, ``rows`` and ``settings``: as in :func:`load_tracks`. ``speaker``: {"user",
    "model"}. Recognised words of a recording whose words the recogniser is not sure of are
    left out, as if there were no transcript: rules use duration alone there.
    """
    detected = read_speech(reader, rows, settings.speech)
    return _side(reader, rows, speaker, detected, settings).words


def load_word_table(reader: ArchiveReader, rows: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Words of both speakers of archived recordings (:data:`flexi_score.schema.WORDS`).

    ``reader``, ``rows`` and ``settings``: as in :func:`load_tracks`.
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
