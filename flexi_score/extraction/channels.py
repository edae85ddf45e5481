"""The two channels of a recording: what is heard in them, ready for the archive."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.audio.decode import probe
from flexi_score.audio.levels import ChannelLevels, gain_db, measure_levels, noise_dbfs
from flexi_score.audio.signal import Signal, zero_tail_ms
from flexi_score.config import SpeechSettings
from flexi_score.extraction.cleaned import Cleaned, clean_channels
from flexi_score.extraction.extractor import Extractor
from flexi_score.extraction.keys import offsets_ms
from flexi_score.extraction.short_speech import short_speech
from flexi_score.schema import SPEAKERS, TIMED_WORDS, Row, Speaker
from flexi_score.speech.hysteresis import speech_segments

#: Recognition hears all that this finds, whatever the scoring thresholds will be: the words of an
#: archive must not depend on settings that can be changed later.
HEARD: Final = SpeechSettings(min_silence_ms=100, pad_ms=30, boundaries=False, crosstalk=False)


def extract_channels(
    row: Row,
    signals: Mapping[Speaker, Signal],
    need: Mapping[Speaker, str],
    hear: Mapping[Speaker, str],
    crosstalk_keys: Mapping[Speaker, str],
    extractor: Extractor,
    rows: dict[str, list[Row]],
) -> None:
    """Add rows to the tables ``channels``, ``frames``, ``crosstalk`` and ``words``.

    ``need`` and ``hear``: keys of the channels and of the words that the archive lacks.
    """
    from flexi_score.extraction.levelling import levelled_probabilities

    levels = {s: measure_levels(signals[s]) for s in SPEAKERS}
    levelled = levelled_probabilities(
        extractor.detector,
        [signals[s] for s in SPEAKERS],
        [levels[s] for s in SPEAKERS],
        extractor.settings,
    )
    probabilities = {s: own for s, (own, _) in zip(SPEAKERS, levelled, strict=True)}
    gains = {s: gain for s, (_, gain) in zip(SPEAKERS, levelled, strict=True)}
    for s, key in need.items():
        path = row["audio"] or row[f"{s}_audio"]
        rows["channels"].append(
            {"key": key}
            | channel_row(signals[s], path, row.get("raw_audio"), levels[s], gains[s])
            | {"detector": extractor.detector.version}
        )
        rows["frames"].append(
            {
                "key": key,
                "probabilities": pl.Series(probabilities[s]),
                "envelope_cdb": pl.Series(levels[s].envelope_cdb),
            }
        )
    with ExitStack() as opened:
        crosstalk, frames, cleaned = clean_channels(
            signals,
            levels,
            crosstalk_keys,
            offsets_ms(row),
            extractor.detector,
            extractor.settings,
            opened,
        )
        rows["crosstalk"].extend(crosstalk)
        rows["frames"].extend(frames)
        for s, key in hear.items():
            own = cleaned.get(s, Cleaned(signals[s], levels[s], probabilities[s]))
            gain = gain_db(own.levels, extractor.settings)
            words = hear_words(own.signal, own.probabilities, gain, extractor, levels=own.levels)
            rows["words"].append({"key": key, **words})


def channel_row(
    signal: Signal, path: str, raw_audio: str | None, levels: ChannelLevels, gain: float
) -> Row:
    """:data:`flexi_score.archive.tables.CHANNELS`, without key and detector."""
    info = probe(path, raw_audio)
    return {
        "duration_ms": signal.duration_ms,
        "active_dbfs": levels.active_dbfs,
        "noise_dbfs": noise_dbfs(levels),
        "peak_dbfs": levels.peak_dbfs,
        "gain_db": gain,
        "zero_share": levels.zero_share,
        "zero_tail_ms": zero_tail_ms(signal, info.sample_rate_hz),
        "clipped_share": levels.clipped_share,
        "silent_frames": levels.silent_frames,
        "dead": levels.is_dead,
        "sample_rate_hz": info.sample_rate_hz,
        "encoding": f"{info.container} {info.encoding}",
        "note": info.note,
    }


def hear_words(
    signal: Signal,
    probabilities: Any,
    gain: float,
    extractor: Extractor,
    *,
    levels: ChannelLevels | None = None,
) -> Row:
    """Recognise one channel's speech: a row of ``tables.WORDS`` without its key."""
    from flexi_score.extraction.words import recognize

    spans = speech_segments(
        probabilities,
        np.array([0, len(probabilities)], np.int64),
        np.array([signal.duration_ms], np.int64),
        HEARD,
    )
    if extractor.settings.asr_words == "needed":
        spans = short_speech(
            spans,
            probabilities,
            levels or measure_levels(signal),
            signal.duration_ms,
            extractor.settings.asr_needed_max_ms,
        )
    speech = list(zip(spans.start_ms.tolist(), spans.end_ms.tolist(), strict=True))
    table = recognize(extractor.recognizer, signal.read, speech, signal.n_samples, gain)
    return {
        "source": extractor.recognizer_id,
        "words": table.select(TIMED_WORDS.names()).to_dicts(),
        "confidence": table["probability"].mean(),
        "n_words": len(table),
    }
