"""How right speech boundaries are, by condition and remedy; run it, it is not a test.

    python tests/bench/bench_boundaries.py [CONDITION ...]

The sample recordings are changed (telephone band, crosstalk through a small room, low level, noise
at an SNR of 15 dB), then extracted and segmented as ``flexi-score`` does, and compared with their
truth. Both sides are bridged at 200 ms first. Errors are absolute, of every true start and end
against the nearest found one; false alarm and miss are shares of true speech.

``audible`` is telephone compared with what is left of the truth in its band: speech as it is
measured on the band-limited channel, before the codec. The row ``band`` takes that for found and
compares it with the truth: what a weak fricative costs that no telephone carries.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
import soxr
from scipy import signal as dsp

if TYPE_CHECKING:
    from flexi_score.simulate.clips import Clip, Clips

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_recordings"
sys.path.insert(0, str(ROOT))

RATE_HZ = 16_000
MS = RATE_HZ // 1000
Audio = np.ndarray
Spans = list[list[int]]
SPEAKERS = ("user", "model")
NOISES = ("babble", "siren", "traffic", "barks", "ringing", "hum")


def crosstalk(audio: Audio, db: float, seed: int) -> Audio:
    """Each channel with the other in it: 5 to 100 ms late, through an exponential tail."""
    rng = np.random.default_rng(seed)
    lag = int(rng.integers(5, 100)) * MS
    tail = np.arange(80 * MS)
    room = rng.standard_normal((2, len(tail))) * np.exp(-tail / (rng.integers(4, 25) * MS))
    room[:, 0] += 4
    room *= 10 ** (db / 20) / np.sqrt(np.sum(room**2, axis=1, keepdims=True))
    n = audio.shape[1]
    late = np.pad(audio, ((0, 0), (lag, 0)))[:, :n]
    return audio + np.stack([dsp.oaconvolve(late[1 - k], room[k])[:n] for k in (0, 1)])


def quiet(audio: Audio, seed: int) -> Audio:
    """Both channels with their loudest half second at -60 dBFS."""
    power = np.mean(audio[:, : audio.shape[1] // 160 * 160].reshape(2, -1, 160) ** 2, axis=2)
    loudest = np.sort(power, axis=1)[:, -50:].mean(axis=1)
    # A channel without speech stays as far below the other one as it was.
    loudest = np.maximum(loudest, loudest.max() / 1000)
    return audio * (1e-6 / loudest[:, None]) ** 0.5


def band_limited(audio: Audio) -> Audio:
    """300 to 3400 Hz, without delay."""
    sos = dsp.butter(6, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    return dsp.sosfiltfilt(sos, audio)


def telephone(audio: Audio, seed: int) -> Audio:
    """300 to 3400 Hz, for 8 kHz mu-law."""
    return soxr.resample(band_limited(audio).T, RATE_HZ, 8000).T


def audible(row: dict) -> dict[str, Spans]:
    """What is left of a recording's speech on a telephone, where there is any."""
    from flexi_score.simulate.clips import measure_speech

    audio, _ = sf.read(SAMPLES / row["audio"], always_2d=True)
    heard = [measure_speech(channel) for channel in band_limited(audio.T)]
    return {f"{who}_speech": [list(s) for s in heard[k]] for k, who in enumerate(SPEAKERS)}


def noisy(kind: str) -> Callable[[Audio, int], Audio]:
    """Both channels in a noise of their own, 15 dB below the speech."""

    def change(audio: Audio, seed: int) -> Audio:
        from flexi_score.simulate.clips import active_level, seeded
        from flexi_score.simulate.noise import make_noise

        # A silent channel has as much noise as the other one.
        level = np.array([active_level(channel) for channel in audio])
        level = np.where(level < level[::-1] / 30, level[::-1], level)
        rows = [
            make_noise(kind, audio.shape[1], seeded(kind, seed, k), clips=voices(seed))
            for k in (0, 1)
        ]
        loud = audio + np.stack(rows) * level[:, None] * 10 ** (-15 / 20)
        return loud * min(1.0, 0.98 / np.abs(loud).max())

    return change


def voices(but: int) -> "Clips":
    """Speech of all channels but those of one recording, for babble."""
    from flexi_score.errors import InputError
    from flexi_score.simulate.clips import Clips, make_clip

    if not VOICES:
        for i, row in enumerate(manifest()):
            for k, channel in enumerate(sf.read(SAMPLES / row["audio"], always_2d=True)[0].T):
                with suppress(InputError):
                    VOICES[f"{i}/{k}"] = make_clip(channel, f"{i}/{k}")
    return Clips({name: c for name, c in VOICES.items() if not name.startswith(f"{but}/")})


def manifest() -> list[dict]:
    """The rows of the samples' manifest."""
    return [json.loads(line) for line in (SAMPLES / "manifest.jsonl").open()]


VOICES: "dict[str, Clip]" = {}
CONDITIONS: dict[str, Callable[[Audio, int], Audio]] = {
    "clean": lambda audio, seed: audio,
    "telephone": telephone,
    "quiet -60 dBFS": quiet,
    "crosstalk -20 dB": lambda audio, seed: crosstalk(audio, -20, seed),
    "crosstalk -10 dB": lambda audio, seed: crosstalk(audio, -10, seed),
    **{f"{kind} 15 dB": noisy(kind) for kind in NOISES},
}
REMEDIES = {
    "none": dict.fromkeys(("speech.boundaries", "speech.crosstalk"), "false"),
    "boundaries": {"speech.crosstalk": "false"},
    "all": {},
}


def write(condition: str, rows: list[dict], folder: Path) -> Path:
    """The recordings under a condition, and a manifest of them."""
    lines = []
    for seed, row in enumerate(rows):
        audio, _ = sf.read(SAMPLES / row["audio"], always_2d=True)
        changed = CONDITIONS[condition](audio.T, seed)
        narrow = condition == "telephone"
        name = f"{row['id']}.wav"
        sf.write(
            folder / name, changed.T, 8000 if narrow else RATE_HZ, "ULAW" if narrow else "PCM_16"
        )
        lines.append(json.dumps({"id": row["id"], "system": "s", "audio": name}))
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(lines))
    return path


def bridged(spans: Spans) -> Spans:
    """Spans less than 200 ms apart joined, those under 90 ms dropped."""
    out: Spans = []
    for start, end in spans:
        if out and start - out[-1][1] < 200:
            out[-1][1] = end
        else:
            out.append([start, end])
    return [s for s in out if s[1] - s[0] >= 90]


def compare(pairs: list[tuple[Spans, Spans]]) -> str:
    """A row of the table."""
    errors, false, miss, total = [], 0, 0, 0
    for want, got in pairs:
        last = max([end for _, end in want + got], default=0)
        a, b = np.zeros(last, bool), np.zeros(last, bool)
        for mask, spans in ((a, want), (b, got)):
            for start, end in spans:
                mask[start:end] = True
        false, miss, total = false + (b & ~a).sum(), miss + (a & ~b).sum(), total + a.sum()
        for side in (0, 1):
            errors += [min((abs(g[side] - w[side]) for g in got), default=10**4) for w in want]
    e = np.array(errors)
    return (
        f"{len(e):5d} {np.median(e):7.1f} {np.percentile(e, 90):8.1f} {100 * np.mean(e <= 15):7.1f}"
        f" {100 * np.mean(e <= 25):7.1f} {100 * false / total:7.2f} {100 * miss / total:7.2f}"
    )


def main() -> None:
    """Print the table."""

    from flexi_score.archive.reader import ArchiveReader
    from flexi_score.config import load_settings
    from flexi_score.scoring.load import load_tracks
    from flexi_score.scoring.pipeline import extract

    rows = manifest()
    truth = {t["id"]: t for t in map(json.loads, (SAMPLES / "truth.jsonl").open())}
    head = ("ends", "median", "p90", "<=15 ms", "<=25 ms", "FA %", "miss %")
    print(f"{'condition':15} {'remedy':14} {head[0]:>5}", *(f"{h:>7}" for h in head[1:]))
    for condition in sys.argv[1:] or CONDITIONS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            settings = load_settings("paper", {"extract.asr": "none"})
            archive, _ = extract(
                write(condition, rows, folder), folder / "archive", settings=settings
            )
            recordings = ArchiveReader(archive).recordings()
            heard = {r["id"]: audible(r) for r in rows} if condition == "telephone" else truth
            for remedy, changes in REMEDIES.items():
                settings = load_settings("paper", {"extract.asr": "none", **changes})
                tracks, failed, *_ = load_tracks(ArchiveReader(archive), recordings, settings)
                pairs, limited = [], []
                for speaker in SPEAKERS:
                    speech = getattr(tracks, f"{speaker}_speech")
                    for i, rid in enumerate(tracks.recordings["recording"]):
                        mine = speech.take(speech.rec == i)
                        got = np.stack([mine.start_ms, mine.end_ms], axis=1).tolist()
                        want = [list(s) for s in truth[rid][f"{speaker}_speech"]]
                        pairs.append((bridged(want), bridged(got)))
                        limited.append(bridged(heard[rid][f"{speaker}_speech"] if want else []))
                lost = f"  ({len(failed)} failed)" if len(failed) else ""
                print(f"{condition:15} {remedy:14} {compare(pairs)}{lost}", flush=True)
                if condition == "telephone" and remedy == "all":
                    band = [(w, h) for (w, _), h in zip(pairs, limited, strict=True)]
                    left = [(h, g) for (_, g), h in zip(pairs, limited, strict=True)]
                    print(f"{condition:15} {'band':14} {compare(band)}", flush=True)
                    print(f"{condition:15} {'all, audible':14} {compare(left)}", flush=True)


if __name__ == "__main__":
    main()
