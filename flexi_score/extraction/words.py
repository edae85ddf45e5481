"""Timed words of one channel: faster-whisper on the speech only, packed.

The words of a channel depend on that channel's audio and on the recogniser, and on nothing else
in the run: channels are never packed together, though that would save time on short recordings,
because then a word could cross from one speaker to the other, and an archive could not be keyed
by a channel's content.

Decoding is greedy (or a beam search) at temperature 0, so the same input gives the same words.
Where Whisper's own criteria say that a pack went wrong, its halves are heard separately, and a
half that still goes wrong once more with a wider beam, instead of sampling.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.extraction.packing import (
    Ints,
    Pack,
    divide_long,
    find_runs,
    halve,
    map_words,
    plan_packs,
    speech_between,
)
from flexi_score.extraction.recognizer import Recognizer
from flexi_score.schema import TIMED_WORDS, make_schema

Read = Callable[[int, int], NDArray[np.float32]]

#: What :func:`recognize` returns.
WORDS = make_schema({**TIMED_WORDS, "probability": pl.Float64})

_PER_MS = 16  # samples: Whisper hears 16 kHz
_QUIET_MS = 20
#: Languages that faster-whisper times by the character, because they are written without spaces.
_UNSPACED = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
#: Whisper's criteria for a failed decoding (Radford et al. 2022, section 4.5).
_MOST_COMPRESSION = 2.4
_LEAST_LOG_PROBABILITY = -1.0
#: More speech than this in one word, or after the last, means that something was passed over.
_MOST_SPEECH_MS = 1200
#: Each further hearing starts at least this much later, and there are no more than these.
_PROGRESS_MS = 200
_MOST_ROUNDS = 4


@dataclass(frozen=True)
class _Recognized:
    """Words in pack time, and whether Whisper's criteria find fault with them."""

    start_ms: Ints
    end_ms: Ints
    text: list[str]
    probability: list[float]
    language: str
    failed: bool


def recognize(
    recognizer: Recognizer,
    read: Read,
    speech: Sequence[tuple[int, int]],
    n_samples: int,
    gain_db: float,
) -> pl.DataFrame:
    """Words (:data:`WORDS`) of one channel, each inside one stretch of speech, none overlapping.

    ``read(start, end)``: 16 kHz samples, at most about 30 s at once. ``gain_db``: applied before.
    Nothing is recognised outside ``speech``. A language that is written without spaces has a row
    per character. ``probability`` is the mean over the word's tokens, 0 where Whisper's criteria
    still find fault with the text that the word is in.
    """
    duration_ms = n_samples // _PER_MS
    runs = divide_long(
        find_runs(speech, duration_ms), lambda start, end: _quietest(read, start, end)
    )
    scale = np.float32(10.0 ** (gain_db / 20.0))
    language = recognizer.language
    rows: list[tuple[int, int, str, float]] = []
    for pack in plan_packs(runs, duration_ms):
        language = _add_words(rows, recognizer, read, pack, scale, language)
    return pl.DataFrame(rows, schema=WORDS, orient="row")


def _add_words(
    rows: list[tuple[int, int, str, float]],
    recognizer: Recognizer,
    read: Read,
    pack: Pack,
    scale: np.float32,
    language: str,
    first: bool = True,
) -> str:
    """Append the words of a pack; returns its language (the channel's first pack decides)."""
    audio = _lay_out(read, pack, scale)
    recognized = _recognize_all(recognizer, audio, pack, language, recognizer.beam_size)
    if recognized.failed and first and len(pack.run_at_ms) > 1:
        for half in halve(pack):
            _add_words(rows, recognizer, read, half, scale, recognized.language, first=False)
        return recognized.language
    if recognized.failed:
        wider = max(5, recognizer.beam_size)
        again = _recognize_all(
            recognizer, audio, pack, recognized.language, wider, no_repeat_ngram_size=3
        )
        recognized = recognized if again.failed else again
    which, start, end = map_words(pack, recognized.start_ms, recognized.end_ms)
    for i, a, b in zip(which.tolist(), start.tolist(), end.tolist(), strict=True):
        rows.append(
            (a, b, recognized.text[i], 0.0 if recognized.failed else recognized.probability[i])
        )
    return recognized.language


def _recognize_all(
    recognizer: Recognizer,
    audio: NDArray[np.float32],
    pack: Pack,
    language: str,
    beam_size: int,
    no_repeat_ngram_size: int = 0,
) -> _Recognized:
    """Hear a pack, and hear again what Whisper passed over.

    Now and then Whisper ends its text in the middle of a sentence, or leaves something out, and
    stretches a word over the rest. The detector knows better: from a word that holds more speech
    than a word can, or from the end of the last word, the rest is heard on its own.
    """
    recognized = _recognize_once(recognizer, audio, language, beam_size, no_repeat_ngram_size)
    since = 0
    for _ in range(_MOST_ROUNDS):
        keep, at = _passed_over(pack, recognized, since)
        if at < 0:
            break
        rest = audio[at * _PER_MS :]
        news = _recognize_once(
            recognizer, rest, recognized.language, beam_size, no_repeat_ngram_size
        )
        if not news.text:
            break
        recognized = _Recognized(
            np.append(recognized.start_ms[:keep], news.start_ms + at),
            np.append(recognized.end_ms[:keep], news.end_ms + at),
            recognized.text[:keep] + news.text,
            recognized.probability[:keep] + news.probability,
            recognized.language,
            recognized.failed or news.failed,
        )
        since = at
    return recognized


def _passed_over(pack: Pack, recognized: _Recognized, since: int) -> tuple[int, int]:
    """How many words to keep, and the moment from which to hear again (pack time), or -1."""
    if not recognized.text:
        return 0, -1
    start = np.append(recognized.start_ms, recognized.end_ms[-1])
    end = np.append(recognized.end_ms, pack.length_ms)
    speech = speech_between(pack, start, end)
    overlooked = (speech > _MOST_SPEECH_MS) & (start >= since + _PROGRESS_MS)
    if not overlooked.any():
        return 0, -1
    keep = int(overlooked.argmax())
    return keep, int(start[keep])


def _lay_out(read: Read, pack: Pack, scale: np.float32) -> NDArray[np.float32]:
    audio = np.zeros(pack.length_ms * _PER_MS, np.float32)
    for start, end, at in zip(
        pack.piece_start_ms.tolist(),
        pack.piece_end_ms.tolist(),
        pack.piece_at_ms.tolist(),
        strict=True,
    ):
        cut = read(start * _PER_MS, end * _PER_MS)
        audio[at * _PER_MS : at * _PER_MS + len(cut)] = cut
    audio *= scale
    return audio


def _recognize_once(
    recognizer: Recognizer,
    audio: NDArray[np.float32],
    language: str,
    beam_size: int,
    no_repeat_ngram_size: int = 0,
) -> _Recognized:
    segments, info = recognizer.model.transcribe(
        audio,
        language=None if language == "auto" else language,
        beam_size=beam_size,
        no_repeat_ngram_size=no_repeat_ngram_size,
        temperature=0.0,
        condition_on_previous_text=False,
        word_timestamps=True,
        vad_filter=False,
    )
    spaced = info.language not in _UNSPACED
    start: list[int] = []
    end: list[int] = []
    text: list[str] = []
    odds: list[list[float]] = []
    failed = False
    for segment in segments:
        failed |= segment.compression_ratio > _MOST_COMPRESSION
        failed |= segment.avg_logprob < _LEAST_LOG_PROBABILITY
        for i, word in enumerate(segment.words or ()):
            # faster-whisper starts a new word at every hyphen or point inside one ("mm-hmm",
            # "5.99"); in a language with spaces only a space does.
            if spaced and i and text and not word.word.startswith(" "):
                end[-1] = round(float(word.end) * 1000)
                text[-1] += word.word.strip()
                odds[-1].append(float(word.probability))
            elif word.word.strip():
                start.append(round(float(word.start) * 1000))
                end.append(round(float(word.end) * 1000))
                text.append(word.word.strip())
                odds.append([float(word.probability)])
    return _Recognized(
        np.asarray(start, np.int64),
        np.asarray(end, np.int64),
        text,
        [sum(tokens) / len(tokens) for tokens in odds],
        str(info.language),
        failed,
    )


def _quietest(read: Read, start_ms: int, end_ms: int) -> int:
    """Middle of the quietest 20 ms (ms)."""
    samples = read(start_ms * _PER_MS, end_ms * _PER_MS)
    size = _QUIET_MS * _PER_MS
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    energy = np.einsum("ij,ij->i", frames, frames, dtype=np.float64)
    return start_ms + int(energy.argmin()) * _QUIET_MS + _QUIET_MS // 2
