"""From archived artefacts to :class:`~flexi_score.segment.tracks.Tracks`: detection, no audio."""

from collections.abc import Mapping
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
    Bools,
    Envelope,
    Intervals,
    Ints,
    Tracks,
    Words,
    join_intervals,
    make_intervals,
    make_words,
    select_tracks,
    words_table,
)
from flexi_score.speech.archived import ArchivedSpeech, read_speech

_OF_CHANNELS: Final = ("key", "detector", "estimated")


def load_tracks(
    reader: ArchiveReader, rows: pl.DataFrame, settings: Settings, dead: pl.DataFrame | None = None
) -> tuple[Tracks, pl.DataFrame]:
    """Speech and words of archived recordings under these settings.

    ``rows``: :data:`flexi_score.archive.tables.ARCHIVED` rows, as ``read_recordings`` returns them.
    ``settings``: uses ``speech``, ``health``, ``judge.mode`` and ``extract.asr`` (``none`` leaves
    recognised words out). ``dead``: from :func:`flexi_score.capture.silent.find_dead`, where that
    is known, or ``rows`` are only a share of the run; by default of these rows. Returns ``tracks``:
    in the order of ``rows``, without the recordings that failed; ``failures``:
    :data:`flexi_score.schema.FAILURES`: recordings whose artefacts the archive does not hold, or
    whose capture failed. Raises ArchiveError if a part of the archive is damaged.
    """
    if dead is None:
        dead = find_dead(reader, rows, noisy_systems(reader, rows), settings)
    channels = reader.read("channels", _keys(rows, "key"), _OF_CHANNELS)
    rows, failures = _usable(reader, rows, channels, dead)
    detected = read_speech(reader, rows, settings.speech)
    if detected.missing.any():
        lost = np.unique(detected.channels["rec"].to_numpy()[detected.missing])
        failures = pl.concat([failures, _without_frames(reader.folder, rows[lost])])
        rows = rows.filter(~pl.int_range(pl.len()).is_in(pl.Series(lost).implode()))
        detected = read_speech(reader, rows, settings.speech)
    sides = _sides(reader, rows, detected, settings)
    words = {s: sides[s].words for s in SPEAKERS}
    speech = {s: _speech_of_words(rows, s, sides[s].speech, words[s]) for s in SPEAKERS}
    guessed = channels.filter(pl.col("estimated")).select("detector", user_key="key")
    recordings = rows.join(guessed, on="user_key", how="left", maintain_order="left").select(
        *RECORDINGS.names(),
        estimated_by="detector",
        **{f"{s}_given_note": sides[s].notes for s in SPEAKERS},
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
        model_envelope=_envelope(reader, rows) if settings.profile == "fdb-v1" else None,
    )
    reason = pl.select(pl.coalesce(*(sides[s].refusals.alias(s) for s in SPEAKERS)))["user"]
    if reason.is_null().all():
        return tracks, failures
    refused = rows.with_columns(
        reason=reason, stage=pl.lit("words"), error=pl.lit("TranscriptError")
    ).filter(reason.is_not_null())
    return (
        select_tracks(tracks, reason.is_null().to_numpy()),
        pl.concat([failures, refused.select(FAILURES.names())]),
    )


def _envelope(reader: ArchiveReader, rows: pl.DataFrame) -> Envelope:
    """Of the model's channels, as they were recorded."""
    frames = reader.read("frames", rows["model_key"].drop_nulls(), ["key", "envelope_cdb"])
    envelopes = rows.join(
        frames, left_on="model_key", right_on="key", how="left", maintain_order="left"
    )
    steps = envelopes["envelope_cdb"]
    return Envelope(
        steps.explode().drop_nulls().to_numpy(),
        np.append(0, steps.list.len().fill_null(0).cast(pl.Int64).cum_sum().to_numpy()),
        rows["model_offset_ms"].fill_null(0).to_numpy(),
    )


def _keys(rows: pl.DataFrame, kind: str) -> list[str]:
    return pl.concat([rows[f"{s}_{kind}"] for s in SPEAKERS]).drop_nulls().to_list()


def _usable(
    reader: ArchiveReader, rows: pl.DataFrame, channels: pl.DataFrame, dead: pl.DataFrame
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
    failed = dead_failures(dead.join(rows, on="recording", how="semi", maintain_order="left"))
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
    stored: pl.DataFrame, rows: pl.DataFrame, speaker: Speaker, kind: str
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Stored words or segments of one speaker, a row per entry, and the rows that hold them."""
    keys = rows.select(pl.int_range(pl.len()).alias("rec"), key=f"{speaker}_{kind}_key")
    held = keys.join(stored, on="key", how="inner", maintain_order="left")
    return held.select("rec", kind).explode(kind).drop_nulls(kind).unnest(kind), held


def _detected(detected: ArchivedSpeech, speaker: Speaker) -> Intervals:
    """Detected speech of one speaker, in the recordings' own time."""
    intervals = detected.intervals
    own = (detected.channels["speaker"] == speaker).to_numpy()[intervals.rec]
    offset = detected.channels["offset_ms"].to_numpy()[intervals.rec]
    owner = detected.channels["rec"].to_numpy().astype(np.int64)[intervals.rec]
    return make_intervals(
        owner[own], (intervals.start_ms + offset)[own], (intervals.end_ms + offset)[own]
    )


class _Side(NamedTuple):
    """What is known of one speaker of every recording.

    ``notes`` and ``refusals`` say how given files fit their audio, null where there is nothing to
    say.
    """

    speech: Intervals
    words: Words
    notes: pl.Series
    refusals: pl.Series


def _sides(
    reader: ArchiveReader, rows: pl.DataFrame, detected: ArchivedSpeech, settings: Settings
) -> dict[Speaker, _Side]:
    """Detected or given speech of both speakers, and their words, in the recordings' own time."""
    stored = {kind: reader.read(kind, _keys(rows, f"{kind}_key")) for kind in ("segments", "words")}
    unsure = np.zeros(len(rows), bool)
    if settings.extract.asr != "none":
        sure = word_confidence(reader, rows) >= MIN_CONFIDENCE
        unsure = (~sure.fill_null(True)).to_numpy()
    speech = {s: _detected(detected, s) for s in SPEAKERS}
    shared = (stored, detected, speech, unsure, settings)
    return {s: _side(reader, rows, s, *shared) for s in SPEAKERS}


def _side(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    speaker: Speaker,
    stored: Mapping[str, pl.DataFrame],
    detected: ArchivedSpeech,
    speech_of: Mapping[Speaker, Intervals],
    unsure: Bools,
    settings: Settings,
) -> _Side:
    """Detected or given speech of one speaker, and its words, in the recordings' own time."""
    n = len(rows)
    duration = rows["duration_ms"].to_numpy().astype(np.int64)
    offset = rows[f"{speaker}_offset_ms"].fill_null(0).to_numpy().astype(np.int64)
    has_audio = rows[f"{speaker}_key"].is_not_null().to_numpy()
    own, other = speech_of[speaker], speech_of["model" if speaker == "user" else "user"]
    notes: list[pl.DataFrame] = []

    def fitted(given: Intervals, held: pl.DataFrame, name: str) -> Fit:
        checked = np.zeros(n, bool)
        checked[held["rec"].to_numpy()] = True
        checked &= has_audio
        path = rows[f"{speaker}_{name}"]
        fit = fit_given(given, own, other, duration, offset, checked, path)
        notes.append(held.select("rec", "note"))
        notes.append(pl.DataFrame({"rec": np.arange(n), "note": fit.note}))
        return fit

    flat, held = _entries(stored["segments"], rows, speaker, "segments")
    raw = make_intervals(*(flat[c].to_numpy() for c in ("rec", "start_ms", "end_ms")))
    fit_of_speech = fitted(raw, held, "speech")
    given = on_clock(raw, fit_of_speech)
    channels = detected.channels
    side = (channels["speaker"] == speaker).to_numpy()
    owner = channels["rec"].to_numpy().astype(np.int64)
    replaced = np.zeros(n, bool)
    replaced[owner[side & channels["given"].to_numpy()]] = True
    speech = join_intervals(own.take(~replaced[own.rec]), given)
    speech = replace_speech(reader, rows, speaker, speech)
    flat, held = _entries(stored["words"], rows, speaker, "words")
    recognised = pl.col("source") != "file"
    left_out = pl.lit(True) if settings.extract.asr == "none" else pl.Series(unsure[held["rec"]])
    held = held.filter(~(recognised & left_out))
    known, of_file = np.zeros(n, bool), np.zeros(n, bool)
    heard_ms = np.zeros(n, np.int64)
    at = held["rec"].to_numpy()
    known[at] = True
    of_file[at] = (held["source"] == "file").to_numpy()
    heard_ms[at] = heard_up_to(held["source"], settings)
    flat = flat.filter(pl.Series(known[flat["rec"]]))
    raw = Intervals(*(flat[c].to_numpy().astype(np.int64) for c in ("rec", "start_ms", "end_ms")))
    given_word = of_file[raw.rec]
    fit = fitted(raw.take(given_word), held.filter(~recognised), "words")
    # Recognised words are timed within their audio file, given ones within the recording.
    moved = on_clock(raw, fit)
    shift = np.where(given_word, 0, offset[raw.rec])
    placed = Intervals(
        raw.rec,
        np.where(given_word, moved.start_ms, raw.start_ms + shift),
        np.where(given_word, moved.end_ms, raw.end_ms + shift),
    )

    def counted(count: Ints, name: str, template: str, *more: pl.Expr) -> None:
        at = np.flatnonzero((count > 0) & has_audio)
        table = pl.DataFrame({"rec": at, "count": count[at], "s": duration[at] / 1000})
        table = table.with_columns(path=rows[f"{speaker}_{name}"].gather(at))
        notes.append(table.select("rec", note=pl.format(template, "path", "count", *more)))

    for name, entries in (("speech", given), ("words", placed.take(given_word))):
        late = "{}: {} of its entries end after the recording, which is {} s long"
        counted(past_end(entries, duration), name, late, pl.col("s"))
    stays = ~given_word | ~has_audio[raw.rec]
    look = np.flatnonzero(~stays)
    stays[look] = inside_speech(placed.take(look), speech, duration)
    count = np.bincount(raw.rec[~stays], minlength=n)
    beside = f"{{}}: {{}} of its words are outside the {speaker}'s speech, and are not counted"
    counted(count, "words", beside)
    outside = make_intervals(raw.rec[~stays], placed.start_ms[~stays], placed.end_ms[~stays])
    placed = placed.take(stays)
    text = flat["text"].filter(pl.Series(stays))
    words = make_words(
        placed.rec, placed.start_ms, placed.end_ms, text, word_counts(text), known, heard_ms
    )
    words = replace(words, outside=outside, checked=of_file & has_audio)
    refusal = pl.select(pl.coalesce(fit_of_speech.refusal, fit.refusal)).to_series()
    return _Side(speech, words, _joined(notes, n), refusal)


def _joined(notes: list[pl.DataFrame], n: int) -> pl.Series:
    """Different notes (``rec, note``) of each recording as one text, null without any; length n."""
    said = pl.concat(part.drop_nulls("note").cast({"rec": pl.Int64}) for part in notes)
    texts = pl.Series([None], dtype=pl.String).new_from_index(0, n)
    if len(said):
        by_rec = said.unique(maintain_order=True).group_by("rec").agg(pl.col("note").str.join("; "))
        texts.scatter(by_rec["rec"], by_rec["note"])
    return texts


def load_words(
    reader: ArchiveReader, rows: pl.DataFrame, settings: Settings
) -> dict[Speaker, Words]:
    """Words of both speakers of archived recordings, in the recordings' own time.

    ``reader``, ``rows`` and ``settings``: as in :func:`load_tracks`. Recognised words of a
    recording whose words the recogniser is not sure of are left out, as if there were no
    transcript: rules use duration alone there.
    """
    detected = read_speech(reader, rows, settings.speech)
    sides = _sides(reader, rows, detected, settings)
    return {speaker: side.words for speaker, side in sides.items()}


def load_word_table(reader: ArchiveReader, rows: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Words of both speakers of archived recordings (:data:`flexi_score.schema.WORDS`).

    ``reader``, ``rows`` and ``settings``: as in :func:`load_tracks`.
    """
    words = load_words(reader, rows, settings)
    return pl.concat(words_table(rows["recording"], s, words[s]) for s in SPEAKERS)


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
    return join_intervals(speech, Intervals(words.rec[use], words.start_ms[use], words.end_ms[use]))
