"""One recording after another from audio into the archive."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import polars as pl

from flexi_score.archive import tables
from flexi_score.archive.reader import ARTEFACTS, ArchiveReader
from flexi_score.audio.decode import header_seconds
from flexi_score.audio.signal import Signal, open_signals
from flexi_score.capture.audio_measures import measure_health
from flexi_score.errors import RecordingError, TranscriptError
from flexi_score.extraction.channels import extract_channels, hear_words
from flexi_score.extraction.extractor import Extractor
from flexi_score.extraction.keys import (
    channel_key,
    crosstalk_keys,
    given_key,
    hash_of,
    health_key,
    mono_key,
    words_key,
)
from flexi_score.formats import read_given
from flexi_score.formats.length import stated_length_ms
from flexi_score.formats.whose import Whose
from flexi_score.manifest import END_SLACK_MS
from flexi_score.schema import SPEAKERS, Row, Speaker

#: So many stretches of speech are not the same for both parties by chance.
_TWINS: Final = 2
#: Nor to within this much, as two recognisers of one signal put them.
_TWINS_MS: Final = 50
_MOMENTS: Final = ("user_turn_end_ms", "pause_end_ms", "interrupt_end_ms")


#: Key of each speaker's channel.
Keys = Mapping[Speaker, str]
#: Rows for the archive, table by table.
Made = dict[str, list[Row]]


@dataclass(frozen=True)
class Known:
    """What need not be made again; it grows with the work."""

    keys: dict[str, set[str]]  # keys of artefacts by table
    durations: dict[str, int]  # length of a channel (ms) by its key
    hashes: dict[str, str]  # SHA-256 of a file by its path

    def holds(self, key: str) -> bool:
        """Whether the archive holds a channel, or its crosstalk, with the frames."""
        held = key in self.keys["channels"] or key in self.keys["crosstalk"]
        return held and key in self.keys["frames"]

    def missing(
        self, keys: Keys, words: Mapping[Speaker, str | None]
    ) -> tuple[dict[Speaker, str], dict[Speaker, str]]:
        """Keys of the channels, and of the words, that are still to be made."""
        need = {s: keys[s] for s in SPEAKERS if not self.holds(keys[s])}
        return need, {s: w for s, w in words.items() if w and w not in self.keys["words"]}

    def add(
        self, keys: Keys, words: Mapping[Speaker, str | None], durations: Mapping[Speaker, int]
    ) -> None:
        """Note the channels and words of a recording."""
        self.keys["channels"].update(keys.values())
        self.keys["frames"].update(keys.values())
        self.keys["words"].update(key for key in words.values() if key)
        self.durations.update({keys[s]: durations[s] for s in SPEAKERS})


def read_known(archive: Path) -> Known:
    """What an archive holds already."""
    reader = ArchiveReader(archive)
    keys = {name: reader.keys(name) for name in ARTEFACTS}
    table = reader.read("channels", columns=["key", "duration_ms"])
    return Known(keys, dict(table.iter_rows()), {})


def extract_recording(row: Row, extractor: Extractor, known: Known, made: Made) -> Row:
    """Extract what is missing of one recording; returns its ``tables.LINKS``.

    What is made is added to ``made``, also where the recording fails in the end. Raises
    RecordingError if the recording cannot be used.
    """
    link: Row = dict.fromkeys(tables.LINKS.names())
    # Files that replace a model are read first: if one is malformed, the audio is not decoded.
    last_end_ms = _given_files(row, link, made, known)
    if row["audio"] is None and row["user_audio"] is None:
        return link | {"duration_ms": _length_ms(row, last_end_ms)}
    # Audio sets the length, whatever a transcript says.
    extract = _extract_mono if _is_mono(row, extractor) else _extract_pair
    keys, words = extract(row, link, extractor, known, made)
    for s in SPEAKERS:
        link[f"{s}_key"] = keys[s]
        link[f"{s}_words_key"] = link[f"{s}_words_key"] or words[s]
    ends = [known.durations[keys[s]] + (row[f"{s}_offset_ms"] or 0) for s in SPEAKERS]
    return link | {"duration_ms": max(ends)}


def describe_failure(row: Row, problem: Exception) -> Row:
    """A row of the failures of the archive."""
    stage = "words" if type(problem).__name__ == "TranscriptError" else "audio"
    return {
        "recording": row["recording"],
        "system": row["system"],
        "scenario": row["scenario"],
        "stage": stage,
        "error": type(problem).__name__,
        "reason": str(problem),
    }


def _extract_pair(
    row: Row, link: Row, extractor: Extractor, known: Known, made: Made
) -> tuple[Keys, Mapping[Speaker, str | None]]:
    """Both channels, their crosstalk, words and health; keys of the channels and their words."""
    keys = {s: channel_key(row, s, extractor, known.hashes) for s in SPEAKERS}
    crosstalk = crosstalk_keys(row, keys)
    words = {s: words_key(row, s, crosstalk[s], extractor) for s in SPEAKERS}
    need, hear = known.missing(keys, words)
    pair = health_key(row, keys)
    fresh = bool(need or hear) or not all(map(known.holds, crosstalk.values()))
    if fresh or pair not in known.keys["health"]:
        user, model = open_signals(row)
        with user, model:
            signals: dict[Speaker, Signal] = {"user": user, "model": model}
            health = measure_health(user, model, paired=row["audio"] is None)
            if fresh:
                extract_channels(row, signals, need, hear, crosstalk, extractor, made)
        made["health"].append({"key": pair} | health)
        known.keys["health"].add(pair)
        known.keys["crosstalk"].update(crosstalk.values())
        known.keys["frames"].update(crosstalk.values())
        known.add(keys, words, {s: signals[s].duration_ms for s in SPEAKERS})
    link |= {f"{s}_crosstalk_key": crosstalk[s] for s in SPEAKERS} | {"health_key": pair}
    return keys, words


def _is_mono(row: Row, extractor: Extractor) -> bool:
    if extractor.diarizer is None:
        return False
    from flexi_score.extraction.mono import is_mono

    return is_mono(row)


def _extract_mono(
    row: Row, link: Row, extractor: Extractor, known: Known, made: Made
) -> tuple[Keys, Mapping[Speaker, str | None]]:
    """Both roles from one channel, as an estimate, and their words; as :func:`_extract_pair`."""
    from flexi_score.audio.signal import open_mono
    from flexi_score.extraction.mono import mono_channels

    path, raw_audio = row["audio"], row.get("raw_audio")
    of_file = hash_of(path, known.hashes) + (raw_audio or "")
    keys = {s: mono_key(of_file, s, extractor) for s in SPEAKERS}
    words = {s: words_key(row, s, keys[s], extractor) for s in SPEAKERS}
    need, hear = known.missing(keys, words)
    if need or hear:
        with open_mono(path, raw_audio) as signal:
            channel, frames, gain = mono_channels(
                signal, path, extractor.diarizer, extractor.settings, raw_audio
            )
            made["channels"].extend(channel | {"key": key} for key in need.values())
            made["frames"].extend(frames[s] | {"key": key} for s, key in need.items())
            for s, key in hear.items():
                probabilities = frames[s]["probabilities"].to_numpy()
                recognised = hear_words(signal, probabilities, gain, extractor)
                made["words"].append({"key": key, **recognised})
            known.add(keys, words, dict.fromkeys(SPEAKERS, signal.duration_ms))
    return keys, words


def _length_ms(row: Row, last_end_ms: int) -> int:
    """How long a recording without audio is.

    By the manifest's ``duration``; else by what its files state (TextGrid, ELAN); else up to the
    last word, stretch of speech or annotation: nothing says that it ended before that.
    """
    stated = row["stated_duration_ms"]
    if stated is not None:
        if last_end_ms > stated + END_SLACK_MS:
            raise RecordingError(
                f"duration: found {stated / 1000} s, but its files hold speech up to "
                f"{last_end_ms / 1000} s; correct the duration, or leave it out"
            )
        return int(stated)
    paths = {row[f"{s}_{kind}"] for s in SPEAKERS for kind in ("words", "speech")} - {None}
    lengths = [stated_length_ms(path) or 0 for path in sorted(paths)]
    if max(lengths, default=0) > 0:
        return max(last_end_ms, *lengths)
    moments = [row[name] or 0 for name in _MOMENTS]
    moments += [span["end_ms"] for span in row["backchannels"] or ()]
    moments += row["reference_backchannels_ms"] or ()
    return max(last_end_ms, *moments)


def _given_files(row: Row, link: Row, made: Made, known: Known) -> int:
    """Read the transcripts and segment files of a recording; returns the last end (ms)."""
    ends = [0]
    has_audio = row["audio"] is not None or row["user_audio"] is not None
    kinds: tuple[tuple[Literal["words", "segments"], str], ...]
    kinds = ("words", "words"), ("segments", "speech")
    for kind, name in kinds:
        given: list[pl.DataFrame] = []
        for speaker in SPEAKERS:
            path = row[f"{speaker}_{name}"]
            if path is None:
                continue
            whose = _whose(row, speaker, path)
            reading = read_given(Path(path), kind, whose, has_audio=has_audio)
            given.append(reading.table)
            key = given_key(kind, hash_of(path, known.hashes), whose, has_audio)
            link[f"{speaker}_{kind}_key"] = key
            ends += reading.table["end_ms"].to_list()
            if key in known.keys[kind]:
                continue
            entry: Row = {"key": key, kind: reading.table.to_dicts()}
            entry["note"] = "; ".join(reading.notes) or None
            made[kind].append(entry | ({"source": "file"} if kind == "words" else {}))
            known.keys[kind].add(key)
        _refuse_twins(row, name, given)
    return max(ends)


def _whose(row: Row, speaker: Speaker, path: str) -> Whose:
    """Whose entries are wanted of a file of this row, and what the row says of its labels."""
    other = "model" if speaker == "user" else "user"
    channels = {s: row[f"{s}_channel"] for s in SPEAKERS}
    return Whose(
        speaker,
        json.loads(row["speakers"] or "{}"),
        None if None in channels.values() else channels,
        path in (row[f"{other}_words"], row[f"{other}_speech"]),
    )


def _refuse_twins(row: Row, name: str, given: list[pl.DataFrame]) -> None:
    """Refuse entries that are the same for both parties: one of them is the other's."""
    if len(given) < 2 or len(given[0]) != len(given[1]) or not len(given[0]):
        return
    first, second = (table.select("start_ms", "end_ms").to_numpy() for table in given)
    apart_ms = int(abs(first - second).max())
    same_words = given[0].equals(given[1]) and "text" in given[0].columns
    least = 1 if same_words else _TWINS
    if apart_ms <= _TWINS_MS and len(first) >= least:
        raise TranscriptError(
            f"{row[f'user_{name}']} and {row[f'model_{name}']}: user and model have the same "
            f"{len(given[0])} entries; give each party its own file"
        )


def recordings_seconds(rows: pl.DataFrame) -> Iterator[float]:
    """Duration of each recording's audio by its header (s), 0 where it cannot be read."""
    for row in rows.iter_rows(named=True):
        path = row["audio"] or row["user_audio"]
        yield header_seconds(path) if path else 0.0
