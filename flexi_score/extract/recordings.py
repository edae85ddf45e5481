"""One recording after another from audio into the archive."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score import archive as store
from flexi_score.audio import content_hash, probe
from flexi_score.config import ExtractSettings, SpeechSettings
from flexi_score.errors import RecordingError
from flexi_score.extract.cleaned import Cleaned, clean_channels, own_speech
from flexi_score.extract.health import measure_health
from flexi_score.extract.levels import gain_db, measure_levels, noise_dbfs
from flexi_score.extract.needed import needed_speech
from flexi_score.extract.signal import Signal, open_signals
from flexi_score.formats import read_segments, read_words
from flexi_score.schema import SPEAKERS, WORD, Speaker
from flexi_score.segment.detect import speech_segments
from flexi_score.segment.partial import mark_partial

#: Recognition hears all that this finds, whatever the scoring thresholds will be: the words of an
#: archive must not depend on settings that can be changed later.
HEARD: Final = SpeechSettings(min_silence_ms=100, pad_ms=30, refine=False, bleed=False)

Row = Mapping[str, Any]

_MOMENTS: Final = ("user_turn_end_ms", "pause_end_ms", "interrupt_end_ms")


@dataclass(frozen=True)
class Extractor:
    """Loaded models and the settings they run under; a part that is not needed is None."""

    settings: ExtractSettings
    detector: Any = None
    recognizer: Any = None
    recognizer_id: str = "none"
    diarizer: Any = None


@dataclass
class Batch:
    """Rows for the archive, table by table."""

    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {name: [] for name in store.TABLES}
    )


@dataclass(frozen=True)
class Known:
    """What need not be made again; it grows with the work.

    Attributes
    ----------
    keys : dict of str to set of str
        Keys of artefacts by table.
    durations : dict of str to int
        Length of a channel (ms) by its key.
    hashes : dict of str to str
        SHA-256 of a file by its path.
    """

    keys: dict[str, set[str]]
    durations: dict[str, int]
    hashes: dict[str, str]


def load_extractor(
    settings: ExtractSettings, *, detect: bool, recognize: bool, threads: int = 0
) -> Extractor:
    """Load the models that are needed.

    Raises
    ------
    PrerequisiteError
        If a package or a weight is missing; the message says what to install.
    SettingsError
        For a recogniser or language that cannot be.
    """
    detector: Any = None
    recognizer = diarizer = None
    name = "none"
    if detect and settings.mono == "diarize":
        from flexi_score.extract.diarize import load_diarizer

        diarizer = load_diarizer(settings.mono_model, threads or None)
    if detect and settings.vad == "pyannote":
        from flexi_score.extract.pyannote_vad import load_pyannote_detector

        detector = load_pyannote_detector(settings.vad_model, threads or None)
    elif detect:
        from flexi_score.extract.speech import load_detector

        detector = load_detector(threads or None)
    if recognize:
        from flexi_score.extract.recognizer import load_recognizer

        recognizer = load_recognizer(
            settings.asr,
            language=settings.language,
            compute_type=settings.compute_type,
            beam_size=settings.beam_size,
            threads=threads,
            device=settings.device,
        )
        name = recognizer.identity
        if settings.asr_words == "needed":
            name = mark_partial(name, settings.asr_needed_max_ms)
    return Extractor(settings, detector, recognizer, name, diarizer)


def read_known(archive: Path) -> Known:
    """What an archive holds already."""
    keys = {
        name: store.known_keys(archive, name)
        for name, schema in store.TABLES.items()
        if "key" in schema
    }
    return Known(keys, _known_durations(archive, keys["channels"]), {})


def extract_recording(row: Row, extractor: Extractor, known: Known, batch: Batch) -> dict[str, Any]:
    """Extract what is missing of one recording.

    Parameters
    ----------
    row : mapping
        A row of :data:`flexi_score.schema.RECORDINGS`.
    extractor : Extractor
    known : Known
        What is not made again; what is made is added.
    batch : Batch
        What is made is added, also where the recording fails in the end.

    Returns
    -------
    dict
        Its links (:data:`flexi_score.archive.LINKS`).

    Raises
    ------
    RecordingError
        If the recording cannot be used.
    """
    return _extract_one(row, extractor, batch, known.keys, known.durations, known.hashes)


def describe_failure(row: Row, problem: Exception) -> dict[str, Any]:
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


def _known_durations(archive: Path, keys: set[str]) -> dict[str, int]:
    if not keys:
        return {}
    table = store.read_columns(archive, "channels", ["key", "duration_ms"])
    return dict(table.iter_rows())


def _extract_one(
    row: Row,
    extractor: Extractor,
    batch: Batch,
    known: dict[str, set[str]],
    durations: dict[str, int],
    hashes: dict[str, str],
) -> dict[str, Any]:
    """Extract what is missing of one recording; returns its links (``archive.LINKS``)."""
    link: dict[str, Any] = dict.fromkeys(store.LINKS.names())
    # Files that replace a model are read first: if one is malformed, the audio is not decoded.
    ends = [_given_files(row, speaker, link, batch, known, hashes) for speaker in SPEAKERS]
    has_audio = row["audio"] is not None or row["user_audio"] is not None
    if _is_mono(row, extractor):
        ends = [_extract_mono(row, link, extractor, batch, known, durations, hashes)]
    elif has_audio:
        keys = {s: _channel_key(row, s, extractor, hashes) for s in SPEAKERS}
        leaks = _leak_keys(row, keys)
        wanted = {s: _words_key(row, s, leaks[s], extractor) for s in SPEAKERS}
        need = [s for s in SPEAKERS if keys[s] not in known["channels"]]
        hear = [s for s in SPEAKERS if wanted[s] and wanted[s] not in known["words"]]
        pair = f"{keys['user']}+{keys['model']}"
        fresh = bool(need or hear) or leaks["user"] not in known["leaks"]
        if fresh or pair not in known["health"]:
            user, model = open_signals(row)
            with user, model:
                signals: dict[Speaker, Signal] = {"user": user, "model": model}
                health = measure_health(
                    user, model, user_key=keys["user"], model_key=keys["model"],
                    paired=row["audio"] is None,
                )  # fmt: skip
                if fresh:
                    _extract_channels(row, signals, keys, wanted, need, hear, extractor, batch)
            batch.rows["health"].append(health)
            known["health"].add(pair)
            for s in SPEAKERS:
                durations[keys[s]] = signals[s].duration_ms
                known["channels"].add(keys[s])
                known["leaks"].add(leaks[s])
                if wanted[s]:
                    known["words"].add(str(wanted[s]))
        for s in SPEAKERS:
            link[f"{s}_key"] = keys[s]
            link[f"{s}_words_key"] = link[f"{s}_words_key"] or wanted[s]
            ends.append(durations[keys[s]] + (row[f"{s}_offset_ms"] or 0))
        # Audio sets the length; what a transcript says past it is clipped with the speech.
        ends = ends[len(SPEAKERS) :]
    link["duration_ms"] = max(ends) if has_audio else max(_stated_ms(row), *ends)
    return link


def _is_mono(row: Row, extractor: Extractor) -> bool:
    if extractor.diarizer is None:
        return False
    from flexi_score.extract.mono import is_mono

    return is_mono(row)


def _extract_mono(
    row: Row,
    link: dict[str, Any],
    extractor: Extractor,
    batch: Batch,
    known: dict[str, set[str]],
    durations: dict[str, int],
    hashes: dict[str, str],
) -> int:
    """Both roles from one channel, as an estimate; fills in the links, returns the length (ms)."""
    from flexi_score.extract.mono import mono_channels, mono_key
    from flexi_score.extract.signal import open_mono

    path, found = row["audio"], _hash(row["audio"], hashes)
    keys = {s: mono_key(found, s, extractor.diarizer, extractor.settings) for s in SPEAKERS}
    wanted = {s: _words_key(row, s, keys[s], extractor) for s in SPEAKERS}
    need = [s for s in SPEAKERS if keys[s] not in known["channels"]]
    hear = [s for s in SPEAKERS if wanted[s] and wanted[s] not in known["words"]]
    if need or hear:
        with open_mono(path) as signal:
            rows, roles, gain = mono_channels(signal, path, extractor.diarizer, extractor.settings)
            batch.rows["channels"].extend(rows[s] | {"key": keys[s]} for s in need)
            for s in hear:
                words = _recognise(signal, roles[s], gain, extractor)
                batch.rows["words"].append(
                    {"key": wanted[s], "source": extractor.recognizer_id, "words": words}
                )
            durations.update(dict.fromkeys(keys.values(), signal.duration_ms))
        known["channels"].update(keys.values())
        known["words"].update(key for key in wanted.values() if key)
    for s in SPEAKERS:
        link[f"{s}_key"] = keys[s]
        link[f"{s}_words_key"] = link[f"{s}_words_key"] or wanted[s]
    return max(durations[key] for key in keys.values())


def _stated_ms(row: Row) -> int:
    """How long a recording without audio is, by its metadata (``duration_s``) and annotations.

    Without audio nothing says where it ends, so an annotation past the last word is no fault.
    """
    stated = json.loads(row["metadata"] or "{}").get("duration_s")
    usable = isinstance(stated, int | float) and not isinstance(stated, bool)
    seconds = stated if usable and 0 < stated < 1e6 else 0
    moments = [row[name] or 0 for name in _MOMENTS]
    moments += [span["end_ms"] for span in row["backchannels"] or ()]
    moments += row["reference_backchannels_ms"] or ()
    # A stated length is believed: what is annotated beyond it is a fault of the manifest.
    return round(seconds * 1000) if seconds else max(moments)


def _hash(path: str, hashes: dict[str, str]) -> str:
    if path not in hashes:
        hashes[path] = content_hash(path)
    return hashes[path]


def _channel_key(row: Row, speaker: Speaker, extractor: Extractor, hashes: dict[str, str]) -> str:
    path = row["audio"] or row[f"{speaker}_audio"]
    channel = row[f"{speaker}_channel"] if row["audio"] else 0
    s = extractor.settings
    shape = [s.normalize, s.target_level_dbfs, s.max_gain_db, s.silence_dbfs]
    return store.content_key(
        "channel", 1, _hash(path, hashes), channel or 0, extractor.detector.sha256, *shape
    )


def _offsets_ms(row: Row) -> dict[Speaker, int]:
    return {s: row[f"{s}_offset_ms"] or 0 for s in SPEAKERS}


def _leak_keys(row: Row, keys: Mapping[Speaker, str]) -> dict[Speaker, str]:
    at = _offsets_ms(row)
    user, model = SPEAKERS
    return {
        user: store.leak_key(keys[user], keys[model], at[user], at[model]),
        model: store.leak_key(keys[model], keys[user], at[model], at[user]),
    }


def _words_key(row: Row, speaker: Speaker, leak_key: str, extractor: Extractor) -> str | None:
    if row[f"{speaker}_words"] is not None or extractor.recognizer is None:
        return None
    # Words are heard without the leak, so they depend on the other channel.
    return store.content_key("words", 2, leak_key, extractor.recognizer_id)


def _given_files(
    row: Row,
    speaker: Speaker,
    link: dict[str, Any],
    batch: Batch,
    known: dict[str, set[str]],
    hashes: dict[str, str],
) -> int:
    """Read a transcript and a segment file that come with the recording; returns the last end."""
    last = 0
    for kind, read in (("words", read_words), ("segments", read_segments)):
        path = row[f"{speaker}_{'words' if kind == 'words' else 'speech'}"]
        if path is None:
            continue
        table = read(path, speaker)
        key = store.content_key(kind, 1, _hash(path, hashes), speaker)
        link[f"{speaker}_{kind}_key"] = key
        last = max([last, *table["end_ms"]])
        if key in known[kind]:
            continue
        items = table.select(*[n for n in ("start_ms", "end_ms", "text") if n in table.columns])
        entry: dict[str, Any] = {"key": key, kind: items.to_dicts()}
        batch.rows[kind].append(entry | ({"source": "file"} if kind == "words" else {}))
        known[kind].add(key)
    return last


def _extract_channels(
    row: Row,
    signals: Mapping[Speaker, Signal],
    keys: Mapping[Speaker, str],
    wanted: Mapping[Speaker, str | None],
    need: list[Speaker],
    hear: list[Speaker],
    extractor: Extractor,
    batch: Batch,
) -> None:
    from flexi_score.extract.speech import speech_probabilities

    levels = {s: measure_levels(signals[s]) for s in SPEAKERS}
    gains = {s: gain_db(levels[s], extractor.settings) for s in SPEAKERS}
    # Both channels at once, always the same two: the result depends on nothing else in the run.
    found = speech_probabilities(
        extractor.detector, [signals[s] for s in SPEAKERS], [gains[s] for s in SPEAKERS]
    )
    probabilities = dict(zip(SPEAKERS, found, strict=True))
    info = {s: probe(row["audio"] or row[f"{s}_audio"]) for s in SPEAKERS}
    for s in need:
        batch.rows["channels"].append(
            {
                "key": keys[s],
                "duration_ms": signals[s].duration_ms,
                "probabilities": pl.Series(probabilities[s]),
                "envelope_cdb": pl.Series(levels[s].envelope_cdb),
                "active_dbfs": levels[s].active_dbfs,
                "noise_dbfs": noise_dbfs(levels[s]),
                "peak_dbfs": levels[s].peak_dbfs,
                "gain_db": gains[s],
                "zero_share": levels[s].zero_share,
                "clipped_share": levels[s].clipped_share,
                "dead": levels[s].is_dead,
                "detector": extractor.detector.version,
                "sample_rate_hz": info[s].sample_rate_hz,
                "encoding": f"{info[s].container} {info[s].encoding}",
            }
        )
    with ExitStack() as opened:
        rows, cleaned = clean_channels(
            signals, keys, _offsets_ms(row), extractor.detector, extractor.settings, opened
        )
        batch.rows["leaks"].extend(rows)
        for s in hear:
            if s in cleaned:
                words = _recognise(cleaned[s].signal, cleaned[s].probabilities,
                                   cleaned[s].gain_db, extractor, cleaned[s])  # fmt: skip
            else:
                words = _recognise(signals[s], probabilities[s], gains[s], extractor)
            batch.rows["words"].append(
                {"key": wanted[s], "source": extractor.recognizer_id, "words": words}
            )


def _recognise(
    signal: Signal,
    probabilities: Any,
    gain: float,
    extractor: Extractor,
    cleaned: Cleaned | None = None,
) -> list[dict[str, Any]]:
    from flexi_score.extract.words import recognize

    spans = speech_segments(
        probabilities,
        np.array([0, len(probabilities)], np.int64),
        np.array([signal.duration_ms], np.int64),
        HEARD,
    )
    if extractor.settings.asr_words == "needed":
        levels, max_ms = measure_levels(signal), extractor.settings.asr_needed_max_ms
        spans = needed_speech(spans, probabilities, levels, signal.duration_ms, max_ms)
    if cleaned is not None:
        spans = own_speech(spans, cleaned)
    speech = list(zip(spans.start_ms.tolist(), spans.end_ms.tolist(), strict=True))
    table = recognize(extractor.recognizer, signal.read, speech, signal.n_samples, gain)
    names = [f.name for f in WORD.fields]
    return table.select(names).to_dicts()


def recordings_seconds(rows: pl.DataFrame) -> Iterator[float]:
    """Duration of each recording's audio by its header (s), 0 where it cannot be read."""
    for row in rows.iter_rows(named=True):
        path = row["audio"] or row["user_audio"]
        try:
            info = probe(path) if path else None
        except RecordingError:
            info = None
        yield (info.n_frames or 0) / info.sample_rate_hz if info else 0.0
