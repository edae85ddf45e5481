"""Detection on real speech with human labels, beside Silero's own API; a script, not a test.

    python tests/bench/bench_real_speech.py [--data DIR] [--condition NAME]

DIR (``../shared/data`` beside the project by default) holds ``real_speech/labels.jsonl``: channels
with the stretches of speech that people labelled, and ``real_calls``. Each is measured as it is,
and with noise, a telephone line, a low level and crosstalk laid over it. One row per source,
condition and detector:

- the product, and the product with each of its remedies switched off;
- the product on the probabilities of pyannote's segmentation, where its weights are installed;
- ``get_speech_timestamps`` of silero-vad at its defaults.

False alarms and misses are in % of labelled speech. Labels of words leave the silences between
words open: silences below 200 ms are bridged on both sides. Labels of turns count pauses as speech:
silences below 1 s, which part no group of IPUs, are bridged on both sides. Boundary errors (ms,
signed median and 90th percentile of the absolute ones; late is positive) pair each labelled
boundary with the nearest detected one within 0.5 s.

Labels of words run through silences of up to 0.8 s, in which a headset records no more than its
noise. ``audible`` is false alarm + miss where nobody is taken to speak in them: stretches of a
label, 200 ms or longer, in which every 10 ms of the channel as it is lies less than
:data:`SILENT_DB` above its noise (the level that a tenth of its frames do not exceed). Detectors
have no part in that rule.

Rules are chosen on the voices of :data:`CHOSEN`, and reported on the others. Each headset channel
is one voice; the voices of a meeting were told apart by their speaker embeddings. ``both`` and
``audible`` are false alarm + miss of all voices, of the chosen half, and of the reported half.

``outcomes`` is how many binary scores of the scenarios change: of labelled recordings against those
of the labels, of calls without labels against those of the same detector on the call as it is.
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
TURN_BRIDGE_S = 1.0
NEAR_S = 0.5
SILENT_DB = 10.0
#: Channels of the first voice of each meeting and of every other pair: rules were chosen on these.
CHOSEN = {
    "ami-en2002b-bc-0859.example-user",
    "ami-en2002b-bc-1114.example-model",
    "ami-en2002b-take-0149.example-model",
    "ami-en2002b-take-0913.example-model",
    "ami-en2002b-take-1069.example-user",
    "ami-es2002a-bc-0687.example-user",
    "ami-es2002a-take-0677.example-model",
    "pya00-user",
    "pya00-model",
    "pya08-user",
    "pya08-model",
}
CALLS = "calls (no labels)"
SCENARIOS = {"yields": "user_interrupt", "keeps talking": "user_backchannel"}
OFF = {
    "product": {},
    "  no boundaries": {"speech.boundaries": "false"},
    "  no crosstalk removal": {"speech.crosstalk": "false"},
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


def audible(spans: Spans, audio: np.ndarray) -> Spans:
    """Labelled speech without its stretches of silence."""
    power = np.mean(audio[: len(audio) // 160 * 160].reshape(-1, 160) ** 2, axis=1)
    level = 10 * np.log10(power + 1e-12)
    silent = np.concatenate([[False], level < np.percentile(level, 10) + SILENT_DB, [False]])
    first, stop = np.flatnonzero(np.diff(silent.astype(int))).reshape(-1, 2).T / 100
    out: Spans = []
    for start, end in spans:
        for low, high in zip(np.maximum(first, start), np.minimum(stop, end), strict=True):
            if high - low >= BRIDGE_S:
                out.append([start, float(low)])
                start = float(high)
        out.append([start, end])
    return [[start, end] for start, end in out if end > start]


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

    def add(self, truth: Spans, kind: str, found: Spans, duration_s: float) -> None:
        gap_s = BRIDGE_S if kind == "words" else TURN_BRIDGE_S
        truth, found = bridged(truth, gap_s), bridged(found, gap_s)
        n = round(duration_s * 1000)
        said, detected = mask(truth, n), mask(found, n)
        self.false_ms += int((detected & ~said).sum())
        self.missed_ms += int((said & ~detected).sum())
        self.speech_ms += int(said.sum())
        for start, end in truth:
            if found and start > 0.05:
                self._pair(self.starts, [s - start for s, _ in found])
            if found and end < duration_s - 0.05:
                self._pair(self.ends, [e - end for _, e in found])

    def _pair(self, errors: list[float], away: list[float]) -> None:
        nearest = min(away, key=abs)
        if abs(nearest) < NEAR_S:
            errors.append(nearest * 1000)

    def both(self) -> float:
        return 100 * (self.false_ms + self.missed_ms) / self.speech_ms

    def row(self) -> str:
        def error(values: list[float]) -> str:
            if not values:
                return f"{'-':>12}"
            return f"{np.median(values):+6.0f} /{np.percentile(np.abs(values), 90):4.0f}"

        false = 100 * self.false_ms / self.speech_ms
        missed = 100 * self.missed_ms / self.speech_ms
        return f"{false:6.1f} {missed:6.1f}  {error(self.starts)}   {error(self.ends)}"


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
    channels: dict[str, np.ndarray],
    pairs: dict[str, tuple[str, str]],
    extracting: dict[str, str],
    scoring: dict[str, dict[str, str]],
) -> dict[str, dict[str, Spans]]:
    """Speech intervals of one extraction, under each of the ``scoring`` settings by title."""
    import flexi_score as fs
    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.speech.archived import read_speech

    settings = fs.load_settings("paper", {"extract.asr": "none", **extracting})
    result = {}
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
        names = recordings["recording"].to_list()
        for title, changes in scoring.items():
            speech = read_speech(reader, recordings, fs.load_settings("paper", changes).speech)
            sides = [
                pairs[names[rec]][0 if speaker == "user" else 1]
                for rec, speaker in speech.channels.select("rec", "speaker").iter_rows()
            ]
            found: dict[str, Spans] = {name: [] for name in channels}
            arrays = speech.intervals
            for channel, start, end in zip(arrays.rec, arrays.start_ms, arrays.end_ms, strict=True):
                found[sides[channel]].append([int(start) / 1000, int(end) / 1000])
            result[title] = found
    return result


def outcomes(
    found: dict[str, dict[str, Spans]], pairs: dict[str, tuple[str, str]], scenarios: dict[str, str]
) -> dict[str, dict[tuple[str, str], float | None]]:
    """Binary scores by detector: value by recording and metric, null where it does not apply."""
    import polars as pl

    import flexi_score as fs

    with tempfile.TemporaryDirectory() as temporary:
        rows = []
        for k, (detector, channels) in enumerate(found.items()):
            for recording, scenario in scenarios.items():
                row = {"id": f"{recording}/{k}", "system": detector, "scenario": scenario}
                for side, name in zip(("user", "model"), pairs[recording], strict=True):
                    path = Path(temporary) / f"{name}-{k}.json"
                    spans = [{"start": s, "end": e} for s, e in channels[name]]
                    path.write_text(json.dumps(spans))
                    row[f"{side}_speech"] = str(path)
                rows.append(row | {"duration": 60.0})
        scores = fs.score(rows, archive=Path(temporary) / "archive").scores
    binary = scores.filter(pl.col("metric").is_in(["tor", "ttr", "jir", "resumed"]))
    by_detector: dict[str, dict[tuple[str, str], float | None]] = {name: {} for name in found}
    for recording, detector, metric, value in binary.select(
        "recording", "system", "metric", "value"
    ).iter_rows():
        by_detector[detector][recording.rpartition("/")[0], metric] = value
    return by_detector


def changed(
    got: dict[tuple[str, str], float | None], want: dict[tuple[str, str], float | None]
) -> str:
    keys = [key for key in want if want[key] is not None or got.get(key) is not None]
    return f"{sum(got.get(key) != want[key] for key in keys)} of {len(keys)}"


def pyannote_is_installed() -> bool:
    from flexi_score.errors import PrerequisiteError
    from flexi_score.extraction.weights import fetch

    try:
        fetch("pyannote-segmentation-3.0")
    except PrerequisiteError as error:
        print(f"no rows of pyannote's segmentation: {error}")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--condition", action="append", default=[])
    given = parser.parse_args()
    folder = given.data / "real_speech"
    labels = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    clean = {label["id"]: read(folder / label["audio"], label["channel"]) for label in labels}
    sources = {label["id"]: label["source"].split(" (")[0] for label in labels}
    names = sorted({label["id"].rsplit("-", 1)[0] for label in labels})
    pairs = {name: (f"{name}-user", f"{name}-model") for name in names}
    scenarios = {n: "user_backchannel" if "-bc-" in n else "user_interrupt" for n in names}
    scenarios = {name: kind for name, kind in scenarios.items() if not name.startswith("pya")}
    folder = given.data / "real_calls"
    for line in (folder / "labels.jsonl").read_text().splitlines():
        call = json.loads(line)
        name = call["id"]
        pairs[name] = (f"{name}-user", f"{name}-model")
        scenarios[name] = SCENARIOS.get(call["a_good_agent"], "pause_handling")
        for side in ("user", "model"):
            clean[f"{name}-{side}"] = read(folder / call["audio"], call["channels"][side])
    truth = {label["id"]: label["speech"] for label in labels}
    heard = {name: audible(bridged(spans), clean[name]) for name, spans in truth.items()}
    labelled = {name: kind for name, kind in scenarios.items() if pairs[name][0] in truth}
    (right,) = outcomes({"labels": truth}, pairs, labelled).values()
    extractions = {
        "product": {},
        "  no level": {"extract.normalize": "false"},
        "  pyannote's segmentation": {"extract.vad": "pyannote"},
    }
    if not pyannote_is_installed():
        del extractions["  pyannote's segmentation"]
    halves = "   all chosen   rest"
    print(f"{'':66} both{'':17}audible")
    print(f"{'':34} false missed  start: med/p90   end: med/p90 {halves} {halves}  outcomes")
    as_it_is: dict[str, dict[tuple[str, str], float | None]] = {}
    for title, change in conditions(20_261_127).items():
        if given.condition and title not in given.condition:
            continue
        audio = {}
        for user, model in pairs.values():
            n = min(len(clean[user]), len(clean[model]))
            audio[user] = change(clean[user][:n], clean[model][:n])
            audio[model] = change(clean[model][:n], clean[user][:n])
        found: dict[str, dict[str, Spans]] = {}
        for name, changes in extractions.items():
            found |= product(audio, pairs, changes, OFF if name == "product" else {name: {}})
        found["silero-vad, its API"] = silero(audio)
        scored = outcomes(found, pairs, scenarios)
        as_it_is = as_it_is or scored
        for source in sorted(set(sources.values())):
            print(f"{title}: {source}")
            for name, by_channel in found.items():
                cells = []
                for spans in (truth, heard) if "AMI" in source else (truth,):
                    every, chosen, rest = Tally(), Tally(), Tally()
                    for label in labels:
                        channel, kind = label["id"], label["kind"]
                        if sources[channel] == source:
                            duration = len(audio[channel]) / RATE_HZ
                            for tally in (every, chosen if channel in CHOSEN else rest):
                                tally.add(spans[channel], kind, by_channel[channel], duration)
                    cells += [every.row()] * (spans is truth)
                    cells += [f"{t.both():6.1f}" for t in (every, chosen, rest)]
                flips = changed(scored[name], right) if "AMI" in source else ""
                print(f"    {name:28}{' '.join(cells)}  {flips}", flush=True)
        print(f"{title}: {CALLS}")
        for name, own in scored.items():
            calls = {key: v for key, v in as_it_is[name].items() if key[0] not in labelled}
            print(f"    {name:28}{'':77}{changed(own, calls)}", flush=True)


if __name__ == "__main__":
    main()
