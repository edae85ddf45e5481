"""Words of the sample recordings: packed speech against faster-whisper on whole channels.

    python tests/bench/bench_words.py [--model tiny.en] [--threads 1] [--limit N]

Prints, for one run on this machine: calls of the encoder's window are not counted, wall seconds
are. ``packed`` is :func:`flexi_score.extraction.words.recognize` on given segments (Silero's, found
beforehand and not timed; ``packed+silero`` adds that time); ``plain`` is Silero's chunk loop and
``transcribe`` on every whole channel; ``vad_filter`` lets faster-whisper find the speech itself.
WER is over all channels, empty references included (words in silence count as insertions);
``outside`` counts words that lie in silence by the truth, more than 0.3 s from speech.
"""

import argparse
import json
import re
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from silero_vad import get_speech_timestamps, load_silero_vad

from flexi_score.config import ExtractSettings
from flexi_score.extraction.recognizer import load_recognizer
from flexi_score.extraction.words import recognize

SAMPLES = Path(__file__).parents[2] / "sample_recordings"
RATE = 16_000
FAR_MS = 300


def plain_words(text):
    return re.findall(r"[a-z0-9']+", text.lower().replace("-", " "))


def word_errors(reference, found):
    row = list(range(len(found) + 1))
    for i, word in enumerate(reference, 1):
        previous, row[0] = row[0], i
        for j, other in enumerate(found, 1):
            best = min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
            previous, row[j] = row[j], best
    return row[-1]


def load_channels(limit):
    channels = []
    for line in (SAMPLES / "truth.jsonl").read_text("utf-8").splitlines()[:limit]:
        row = json.loads(line)
        path = SAMPLES / f"{row['id']}.flac"
        samples, rate = sf.read(path, dtype="float32") if path.is_file() else (None, RATE)
        if samples is None or rate != RATE or samples.ndim != 2:
            continue
        for i, speaker in enumerate(("user", "model")):
            text, speech = row[f"{speaker}_words_text"], row[f"{speaker}_speech"]
            channels.append((np.ascontiguousarray(samples[:, i]), speech, text))
    return channels


def detect(vad, samples):
    found = get_speech_timestamps(
        torch.from_numpy(samples), vad, min_speech_duration_ms=0, speech_pad_ms=30
    )
    return [(s["start"] * 1000 // RATE, s["end"] * 1000 // RATE) for s in found]


def whole(recognizer, samples, vad_filter):
    segments, _ = recognizer.model.transcribe(
        samples,
        language="en",
        beam_size=1,
        word_timestamps=True,
        condition_on_previous_text=False,
        vad_filter=vad_filter,
    )
    words = [word for segment in segments for word in segment.words]
    return [(round(w.start * 1000), round(w.end * 1000), w.word.strip()) for w in words]


def packed(recognizer, samples, speech):
    table = recognize(recognizer, lambda a, b: samples[a:b].copy(), speech, len(samples), 0.0)
    return list(table.select("start_ms", "end_ms", "text").iter_rows())


def outside(words, speech):
    return sum(
        not any(a - FAR_MS < end and start < b + FAR_MS for a, b in speech)
        for start, end, _ in words
    )


def report(name, channels, results, seconds):
    errors = reference = stray = count = 0
    for (_, speech, text), words in zip(channels, results, strict=True):
        errors += word_errors(plain_words(text), plain_words(" ".join(w for *_, w in words)))
        reference += len(plain_words(text))
        stray += outside(words, speech)
        count += len(words)
    audio = sum(len(samples) for samples, *_ in channels) / RATE
    print(
        f"{name:14} {seconds:7.1f} s  {audio / seconds:6.1f} xRT  {count:5} words  "
        f"WER {errors / reference:6.2%}  {stray:3} outside",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="tiny.en")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, default=None)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recognizer = load_recognizer(
        ExtractSettings(asr=options.model, language="en"), threads=options.threads
    )
    vad = load_silero_vad()
    channels = load_channels(options.limit)
    audio = sum(len(samples) for samples, *_ in channels) / RATE
    print(f"{recognizer.identity}, {len(channels)} channels, {audio:.0f} s")

    began = time.perf_counter()
    speech = [detect(vad, samples) for samples, *_ in channels]
    silero = time.perf_counter() - began
    began = time.perf_counter()
    results = [
        packed(recognizer, samples, spans)
        for (samples, *_), spans in zip(channels, speech, strict=True)
    ]
    seconds = time.perf_counter() - began
    report("packed", channels, results, seconds)
    report("packed+silero", channels, results, seconds + silero)
    for name, vad_filter in (("plain", False), ("vad_filter", True)):
        began = time.perf_counter()
        results = [whole(recognizer, samples, vad_filter) for samples, *_ in channels]
        seconds = time.perf_counter() - began
        report(name, channels, results, seconds + (0 if vad_filter else silero))


if __name__ == "__main__":
    main()
