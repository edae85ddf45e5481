"""How right speech boundaries are, by condition and remedy; run it, it is not a test.

    python tests/bench/bench_boundaries.py [CONDITION ...]

The sample recordings are changed (telephone band, leaks through a small room, low level), then
extracted and segmented as ``flexi-score`` does, and compared with their truth. Both sides are
bridged at 200 ms first. Errors are absolute, of every true start and end against the nearest found
one; false alarm and miss are shares of true speech.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
from scipy import signal as dsp

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_recordings"
sys.path.insert(0, str(ROOT))

RATE_HZ = 16_000
MS = RATE_HZ // 1000
Audio = np.ndarray
Spans = list[list[int]]
SPEAKERS = ("user", "model")


def leak(audio: Audio, db: float, seed: int) -> Audio:
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


def telephone(audio: Audio, seed: int) -> Audio:
    """300 to 3400 Hz, for 8 kHz mu-law."""
    sos = dsp.butter(6, [300, 3400], "bandpass", fs=RATE_HZ, output="sos")
    return soxr.resample(dsp.sosfiltfilt(sos, audio).T, RATE_HZ, 8000).T


CONDITIONS: dict[str, Callable[[Audio, int], Audio]] = {
    "clean": lambda audio, seed: audio,
    "telephone": telephone,
    "quiet -60 dBFS": quiet,
    "bleed -20 dB": lambda audio, seed: leak(audio, -20, seed),
    "bleed -10 dB": lambda audio, seed: leak(audio, -10, seed),
}
REMEDIES = {
    "none": {"speech.refine": "false", "speech.bleed": "false"},
    "refine": {"speech.refine": "true", "speech.bleed": "false"},
    "refine, bleed": {"speech.refine": "true", "speech.bleed": "true"},
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
    from flexi_score import archive as store
    from flexi_score.config import load_settings
    from flexi_score.pipeline import extract
    from flexi_score.segment.load import load_tracks

    rows = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").open()]
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
            recordings = store.read_recordings(archive)
            for remedy, changes in REMEDIES.items():
                settings = load_settings("paper", {"extract.asr": "none", **changes})
                tracks, failed, *_ = load_tracks(archive, recordings, settings)
                pairs = []
                for speaker in SPEAKERS:
                    speech = getattr(tracks, f"{speaker}_speech")
                    for i, rid in enumerate(tracks.recordings["recording"]):
                        mine = speech.take(speech.rec == i)
                        got = np.stack([mine.start_ms, mine.end_ms], axis=1).tolist()
                        want = [list(s) for s in truth[rid][f"{speaker}_speech"]]
                        pairs.append((bridged(want), bridged(got)))
                lost = f"  ({len(failed)} failed)" if len(failed) else ""
                print(f"{condition:15} {remedy:14} {compare(pairs)}{lost}", flush=True)


if __name__ == "__main__":
    main()
