"""Detection on real speech with human labels, beside Silero's own API; a script, not a test.

    python tests/bench/bench_real_speech.py [--data DIR] [--half even|odd] [--pyannote]

DIR (``../shared/data`` beside the project by default) holds ``real_speech/labels.jsonl``: channels
with the stretches of speech that people labelled. Each is measured as it is, and with noise, a
telephone line, a low level and crosstalk laid over it. One row per source, condition and detector:

- the product, and the product with each of its remedies switched off;
- ``get_speech_timestamps`` of silero-vad at its defaults;
- pyannote's segmentation, where its weights are installed (``--pyannote``).

False alarms and misses are in % of labelled speech. Labels of words leave the silences between
words open: silences below 200 ms are bridged on both sides. Labels of turns count their pauses as
speech, so that their misses compare detectors and nothing else. Boundary errors (ms, signed median
and 90th percentile of the absolute ones; late is positive) pair each labelled boundary with the
nearest detected one within 0.5 s. ``--half`` keeps every other recording: what was chosen on one
half is reported on the other.
"""

import argparse
import json
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from scipy import signal as dsp

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]

RATE_HZ = 16_000
BRIDGE_S = 0.2
NEAR_S = 0.5
OFF = {
    "product": {},
    "  no envelope": {"speech.boundaries": "false"},
    "  no crosstalk removal": {"speech.crosstalk": "false"},
    "  no level": {"extract.normalize": "false"},
}

Spans = list[list[float]]


def read(path: Path, channel: int) -> np.ndarray:
    audio, rate = sf.read(path, dtype="float64", always_2d=True)
    assert rate == RATE_HZ, f"{path}: {rate} Hz"
    return audio[:, channel]


def at_snr(audio: np.ndarray, noise: np.ndarray, db: float) -> np.ndarray:
    power = np.sort(audio.reshape(-1)[: len(audio) // 160 * 160].reshape(-1, 160).std(axis=1))
    speech = np.sqrt((power[len(power) // 2 :] ** 2).mean())
    return audio + noise / noise.std() * speech * 10 ** (-db / 20)


def telephone(audio: np.ndarray) -> np.ndarray:
    band = dsp.butter(4, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    narrow = dsp.sosfilt(band, audio)
    mu = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log1p(255)
    mu = np.round(mu * 127) / 127
    return np.sign(mu) * ((256 ** np.abs(mu)) - 1) / 255


def conditions(seed: int) -> dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """What happens to a channel, given the other channel of its recording."""
    from flexi_score.simulate.noise import pink, traffic

    def noisy(make: Any, db: float) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
        # Of its own in each channel; see shared().
        def add(own: np.ndarray, other: np.ndarray) -> np.ndarray:
            rng = np.random.default_rng([seed, zlib.crc32(own.tobytes())])
            return at_snr(own, make(len(own), rng), db)

        return add

    def shared(own: np.ndarray, other: np.ndarray) -> np.ndarray:
        return at_snr(own, pink(len(own), np.random.default_rng(seed)), 5)

    def crosstalk(own: np.ndarray, other: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(seed)
        room = rng.standard_normal(1600) * np.exp(-np.arange(1600) / 400)
        room[:32] = 0
        echo = dsp.fftconvolve(other, room / np.sqrt((room**2).sum()))[: len(own)]
        return own + 10 ** (-20 / 20) * echo

    return {
        "as it is": lambda own, other: own,
        "pink noise, 15 dB": noisy(pink, 15),
        "pink noise, 5 dB": noisy(pink, 5),
        "pink noise, 5 dB, heard by both": shared,
        "traffic, 10 dB": noisy(traffic, 10),
        "telephone": lambda own, other: telephone(own),
        "30 dB lower": lambda own, other: np.round(own * 10**-1.5 * 32768) / 32768,
        "crosstalk, -20 dB": crosstalk,
    }


def bridged(spans: Sequence[Sequence[float]], gap_s: float = BRIDGE_S) -> Spans:
    out: Spans = []
    for start, end in sorted(map(tuple, spans)):
        if out and start - out[-1][1] < gap_s:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out


def mask(spans: Spans, n: int) -> np.ndarray:
    hit = np.zeros(n, bool)
    for start, end in spans:
        hit[round(start * 1000) : round(end * 1000)] = True
    return hit


class Tally:
    """Errors of one detector, added up."""

    def __init__(self) -> None:
        self.false_ms = self.missed_ms = self.speech_ms = 0
        self.starts: list[float] = []
        self.ends: list[float] = []

    def add(self, label: dict[str, Any], found: Spans, duration_s: float) -> None:
        truth = label["speech"]
        if label["kind"] == "words":
            truth, found = bridged(truth), bridged(found)
        n = round(duration_s * 1000)
        said, detected = mask(truth, n), mask(found, n)
        self.false_ms += int((detected & ~said).sum())
        self.missed_ms += int((said & ~detected).sum())
        self.speech_ms += int(said.sum())
        near = bridged(found)
        for start, end in bridged(truth):
            if near and start > 0.05:
                self._pair(self.starts, [s - start for s, _ in near])
            if near and end < duration_s - 0.05:
                self._pair(self.ends, [e - end for _, e in near])

    def _pair(self, errors: list[float], away: list[float]) -> None:
        nearest = min(away, key=abs)
        if abs(nearest) < NEAR_S:
            errors.append(nearest * 1000)

    def row(self) -> str:
        def error(values: list[float]) -> str:
            if not values:
                return f"{'-':>12}"
            return f"{np.median(values):+6.0f} /{np.percentile(np.abs(values), 90):4.0f}"

        false = 100 * self.false_ms / self.speech_ms
        missed = 100 * self.missed_ms / self.speech_ms
        return (
            f"{false:6.1f} {missed:6.1f} {false + missed:6.1f}   {error(self.starts)}   "
            f"{error(self.ends)}"
        )


def silero(channels: dict[str, np.ndarray]) -> dict[str, Spans]:
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    torch.set_num_threads(1)
    model = load_silero_vad()
    return {
        name: [
            [part["start"] / RATE_HZ, part["end"] / RATE_HZ]
            for part in get_speech_timestamps(torch.from_numpy(audio.astype(np.float32)), model)
        ]
        for name, audio in channels.items()
    }


def product(
    channels: dict[str, np.ndarray], pairs: dict[str, tuple[str, str]], changes: dict[str, str]
) -> dict[str, Spans]:
    """IPU-building is left out: the speech intervals that the archive holds."""
    import polars as pl

    import flexi_score as fs
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.speech.archived import read_speech

    settings = fs.load_settings("paper", {"extract.asr": "none", **changes})
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = []
        for recording, (user, model) in pairs.items():
            for side in (user, model):
                sf.write(folder / f"{side}.wav", channels[side], RATE_HZ, subtype="FLOAT")
            rows.append(
                {"id": recording, "user_audio": f"{user}.wav", "model_audio": f"{model}.wav"}
            )
        manifest = folder / "manifest.jsonl"
        manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
        fs.extract(manifest, folder / "archive", settings=settings, threads=1)
        reader = ArchiveReader(folder / "archive")
        recordings = reader.recordings()
        speech = read_speech(reader, recordings, settings.speech)
    names = recordings["recording"].to_list()
    table = speech.channels.with_row_index("channel")
    sides = [
        pairs[names[rec]][0 if speaker == "user" else 1]
        for rec, speaker in table.select("rec", "speaker").iter_rows()
    ]
    found: dict[str, Spans] = {name: [] for name in channels}
    spans = pl.DataFrame(
        {
            "channel": speech.intervals.rec,
            "start": speech.intervals.start_ms,
            "end": speech.intervals.end_ms,
        }
    )
    for channel, start, end in spans.iter_rows():
        found[sides[channel]].append([start / 1000, end / 1000])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--half", choices=("even", "odd"))
    parser.add_argument("--pyannote", action="store_true")
    parser.add_argument("--condition", action="append", default=[])
    given = parser.parse_args()
    folder = given.data / "real_speech"
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    names = sorted({label["id"].rsplit("-", 1)[0] for label in labels})
    if given.half:
        names = names[0 if given.half == "even" else 1 :: 2]
    labels = [label for label in labels if label["id"].rsplit("-", 1)[0] in names]
    clean = {label["id"]: read(folder / label["audio"], label["channel"]) for label in labels}
    pairs = {name: (f"{name}-user", f"{name}-model") for name in names}
    sources = {label["id"]: label["source"].split(" (")[0] for label in labels}
    detectors: dict[str, Callable[[dict[str, np.ndarray]], dict[str, Spans]]] = {
        title: (lambda audio, changes=changes: product(audio, pairs, changes))
        for title, changes in OFF.items()
    }
    detectors["silero-vad, its API"] = silero
    if given.pyannote:
        detectors["pyannote segmentation"] = lambda audio: product(
            audio, pairs, {"extract.vad": "pyannote"}
        )
    print(f"{'':46}  false missed   both    start: median/p90   end: median/p90")
    for title, change in conditions(20_261_127).items():
        if given.condition and title not in given.condition:
            continue
        audio = {}
        for user, model in pairs.values():
            n = min(len(clean[user]), len(clean[model]))
            audio[user] = change(clean[user][:n], clean[model][:n])
            audio[model] = change(clean[model][:n], clean[user][:n])
        found = {name: detect(audio) for name, detect in detectors.items()}
        for source in sorted(set(sources.values())):
            print(f"{title}: {source}")
            for name, by_channel in found.items():
                tally = Tally()
                for label in labels:
                    if sources[label["id"]] == source:
                        duration = len(audio[label["id"]]) / RATE_HZ
                        tally.add(label, by_channel[label["id"]], duration)
                print(f"    {name:42}{tally.row()}", flush=True)


if __name__ == "__main__":
    main()
