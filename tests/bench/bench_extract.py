"""Speed and memory of extraction without recognition; run it, it is not a test.

    python tests/bench/bench_extract.py [--memory [--crosstalk]] [--seconds S] [AUDIO ...]

Extraction is all of it: hash, decoding, levels, health, detection, crosstalk. Beside it runs
Silero's own API (``get_speech_timestamps``) on the same files, with one thread each. Without AUDIO
(two-channel files) the sample recordings and the real calls beside the checkout are strung together
into one 48 kHz file, and into 24 clips of 5 to 20 s; then the same with crosstalk of -20 dB in both
channels. ``--memory`` measures instead the peak memory of a three-hour 48 kHz stereo file (2 GB in
a temporary folder, deleted afterwards).
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

sys.path.insert(0, str(Path(__file__).parents[2]))

ROOT = Path(__file__).parents[2]
SOURCES = (ROOT / "sample_recordings", ROOT.parent / "shared" / "data" / "real_calls")
RATE_HZ = 48_000
REPEATS = 2
LATE_S, LEVEL_DB = 0.02, -20.0


def speech(rate_hz: int) -> Iterator[np.ndarray]:
    """Samples and real calls, one after the other, for ever."""
    paths = [p for folder in SOURCES for kind in ("*.flac", "*.wav") for p in folder.glob(kind)]
    calls = []
    for path in sorted(p for p in paths if "awkward" not in p.name):
        samples, rate = sf.read(path, dtype="float32")
        calls.append(soxr.resample(samples, rate, rate_hz))
    while True:
        yield from calls


def with_crosstalk(block: np.ndarray, rate_hz: int) -> np.ndarray:
    """Each channel with the other in it, through a path of two reflections."""
    out = block.copy()
    for late_s, level_db in ((LATE_S, LEVEL_DB), (1.5 * LATE_S, LEVEL_DB - 6)):
        late = round(late_s * rate_hz)
        out[late:] += 10 ** (level_db / 20) * block[:-late, ::-1]
    return 0.9 * out


def write_speech(
    path: Path, duration_s: float, rate_hz: int = RATE_HZ, skip: int = 0, crosstalk: bool = False
) -> Path:
    """A two-channel 16-bit WAV, written block by block."""
    blocks = speech(rate_hz)
    for _ in range(skip):
        next(blocks)
    left = round(duration_s * rate_hz)
    with sf.SoundFile(path, "w", rate_hz, 2, "PCM_16") as file:
        while left > 0:
            block = next(blocks)[:left]
            file.write(with_crosstalk(block, rate_hz) if crosstalk and len(block) > 9999 else block)
            left -= len(block)
    return path


def load() -> object:
    """What extraction without recognition needs, with one thread."""
    from flexi_score.config import load_settings
    from flexi_score.extraction.extractor import Setup, load_extractor

    settings = load_settings("paper", {"extract.asr": "none"}).extract
    return load_extractor(Setup(settings, Path(), True, False, 1))


def extract_speech(paths: Sequence[Path], extractor: object) -> int:
    """Extract recordings; returns in how many channels there was crosstalk."""
    from flexi_score.archive.tables import TABLES
    from flexi_score.extraction.recordings import Known, extract_recording
    from flexi_score.schema import RECORDINGS

    made: dict[str, list[dict]] = {name: [] for name in TABLES}
    known = Known({name: set() for name in TABLES}, {}, {})
    for path in paths:
        row = dict.fromkeys(RECORDINGS.names()) | {
            "recording": path.stem,
            "audio": str(path),
            "user_channel": 0,
            "model_channel": 1,
        }
        extract_recording(row, extractor, known, made)
    return sum(row.get("level_db") is not None for row in made["crosstalk"])


def chunk_loop(paths: Sequence[Path], model: object) -> int:
    """Silero as its users call it: whole file, resampled, one channel after the other."""
    import torch
    from silero_vad import get_speech_timestamps

    n = 0
    for path in paths:
        samples, rate_hz = sf.read(path, dtype="float32")
        samples = soxr.resample(samples, rate_hz, 16_000)
        for k in (0, 1):
            channel = torch.from_numpy(np.ascontiguousarray(samples[:, k]))
            n += len(get_speech_timestamps(channel, model))
    return n


def best_s(work: Callable[[], int]) -> tuple[float, float]:
    """Shortest wall time, and shortest CPU time over all threads, of a few runs, in s."""
    times = []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return min(t[0] for t in times), min(t[1] for t in times)


def speeds(audio_s: float, work: Callable[[], int]) -> tuple[float, float]:
    """Seconds of audio per second of wall time, and per second of CPU time."""
    wall_s, cpu_s = best_s(work)
    return audio_s / wall_s, audio_s / cpu_s


def compare(sets: dict[str, list[Path]]) -> None:
    """Print both side by side; audio seconds are of recordings, each with two channels."""
    import torch
    from silero_vad import load_silero_vad

    extractor, model = load(), load_silero_vad()
    torch.set_num_threads(1)
    print("seconds of two-channel audio per second of wall time | of CPU time (best of 2)")
    print(f"{'files':<38}{'crosstalk':>10}{'extraction':>14}{'Silero API':>14}{'ratio':>14}")
    for name, paths in sets.items():
        audio_s = sum(sf.info(path).duration for path in paths)
        channels = extract_speech(paths, extractor)
        ours = speeds(audio_s, lambda p=paths: extract_speech(p, extractor))
        theirs = speeds(audio_s, lambda p=paths: chunk_loop(p, model))
        ratio = (ours[0] / theirs[0], ours[1] / theirs[1])
        cells = [f"{a:.0f} | {b:.0f}" for a, b in (ours, theirs)]
        cells.append(f"{ratio[0]:.1f} | {ratio[1]:.1f}")
        of = f"{channels} of {2 * len(paths)}"
        print(f"{name:<38}{of:>10}" + "".join(f"{c:>14}" for c in cells), flush=True)
        parts(paths, extractor)


def parts(paths: Sequence[Path], extractor: object) -> None:
    """Print what the parts of extraction take, in CPU ms per minute of two-channel audio."""
    from flexi_score.audio.levels import measure_levels
    from flexi_score.audio.signal import open_signals
    from flexi_score.capture.audio_measures import measure_health
    from flexi_score.extraction.probabilities import speech_probabilities
    from flexi_score.speech.crosstalk import find_lags

    spent = dict.fromkeys(("decoding", "health", "levels", "detection, one pass", "question"), 0.0)
    audio_s = 0.0
    for path in paths:
        start = time.process_time()
        pair = open_signals({"audio": str(path), "user_channel": 0, "model_channel": 1})
        audio_s += pair[0].n_samples / 16_000
        spent["decoding"] += time.process_time() - start
        cdb = [measure_levels(signal).envelope_cdb for signal in pair]
        work: dict[str, Callable[[], object]] = {
            "health": lambda p=pair: measure_health(*p, paired=False),
            "levels": lambda p=pair: [measure_levels(signal) for signal in p],
            "detection, one pass": lambda p=pair: speech_probabilities(
                extractor.detector, p, [0.0, 0.0]
            ),
            "question": lambda p=pair, c=cdb: [
                find_lags(p[k], p[1 - k], c[k], c[1 - k]) for k in (0, 1)
            ],
        }
        for name, part in work.items():
            start = time.process_time()
            part()
            spent[name] += time.process_time() - start
        for signal in pair:
            signal.close()
    told = ", ".join(f"{name} {60_000 * s / audio_s:.0f}" for name, s in spent.items())
    print(f"    CPU ms per minute: {told}", flush=True)


def measure_memory(crosstalk: bool, duration_s: float = 3 * 3600) -> int:
    """Peak resident bytes of a fresh process that extracts one long recording."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_speech(Path(folder) / "long.wav", duration_s, crosstalk=crosstalk)
        print(f"{path.stat().st_size / 1e9:.2f} GB, {duration_s / 3600:g} h, {RATE_HZ} Hz, stereo")
        start = time.perf_counter()
        command = [sys.executable, __file__, "--child", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peak, channels = map(int, done.split())
        wall_s = time.perf_counter() - start
    print(
        f"peak RSS {peak / 1e6:.0f} MB, {wall_s:.1f} s with imports ({duration_s / wall_s:.0f} x); "
        f"crosstalk in {channels} channels"
    )
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=240, help="length of the long file")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--crosstalk", action="store_true", help="with --memory")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        channels = extract_speech(given.audio, load())
        unit = 1 if sys.platform == "darwin" else 1024
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, channels)
    elif given.memory:
        measure_memory(given.crosstalk)
    elif given.audio:
        compare({"given": given.audio})
    else:
        with tempfile.TemporaryDirectory() as folder:
            sets = {}
            for crosstalk in (False, True):
                here, title = Path(folder) / str(crosstalk), ", crosstalk" if crosstalk else ""
                here.mkdir()
                long = write_speech(here / "long.wav", given.seconds, crosstalk=crosstalk)
                sets[f"one of {given.seconds} s, 48 kHz{title}"] = [long]
                sets[f"24 of 5 to 20 s, 24 kHz{title}"] = [
                    write_speech(here / f"{i}.wav", 5 + i % 16, 24_000, i, crosstalk)
                    for i in range(24)
                ]
            compare(sets)


if __name__ == "__main__":
    main()
