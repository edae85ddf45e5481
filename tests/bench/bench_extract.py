"""Speed and memory of decoding plus speech detection; run it, it is not a test.

    python tests/bench/bench_extract.py [--memory] [--seconds S] [AUDIO ...]

Without AUDIO (two-channel files) the real calls beside the checkout are strung together into one
48 kHz file, and into 24 clips of 5 to 20 s. ``--memory`` measures instead the
peak memory of a three-hour 48 kHz stereo file (2 GB in a temporary folder, deleted afterwards).
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

CALLS = Path(__file__).parents[2].parent / "shared" / "data" / "real_calls"
RATE_HZ = 48_000
REPEATS = 2


def speech(rate_hz: int) -> Iterator[np.ndarray]:
    """The real calls, one after the other, for ever."""
    calls = [sf.read(path, dtype="float32")[0] for path in sorted(CALLS.glob("*.wav"))]
    if not calls:
        sys.exit(f"{CALLS} is not there: give two-channel files as arguments")
    calls = [soxr.resample(call, 16_000, rate_hz) for call in calls]
    while True:
        yield from calls


def write_speech(path: Path, duration_s: float, rate_hz: int = RATE_HZ, skip: int = 0) -> Path:
    """A two-channel 16-bit WAV of the real calls, written block by block."""
    blocks = speech(rate_hz)
    for _ in range(skip):
        next(blocks)
    left = round(duration_s * rate_hz)
    with sf.SoundFile(path, "w", rate_hz, 2, "PCM_16") as file:
        while left > 0:
            block = next(blocks)[:left]
            file.write(block)
            left -= len(block)
    return path


def extract_speech(paths: Sequence[Path], detector: object, batch: int = 16) -> int:
    """Decode, measure, detect, as extraction does; returns the number of frames."""
    from flexi_score.audio.levels import gain_db, measure_levels
    from flexi_score.audio.signal import open_signals
    from flexi_score.config import ExtractSettings
    from flexi_score.extraction.probabilities import speech_probabilities

    n = 0
    for first in range(0, len(paths), batch):
        signals = []
        for path in paths[first : first + batch]:
            row = {"audio": str(path), "user_channel": 0, "model_channel": 1}
            signals += open_signals(row)
        gains = [gain_db(measure_levels(s), ExtractSettings()) for s in signals]
        n += sum(map(len, speech_probabilities(detector, signals, gains)))
        for signal in signals:
            signal.close()
    return n


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
    """Print both ways side by side; audio seconds are of recordings, each with two channels."""
    import torch
    from silero_vad import load_silero_vad

    from flexi_score.audio.levels import measure_levels
    from flexi_score.audio.signal import open_signals
    from flexi_score.extraction.probabilities import load_detector, speech_probabilities

    print("seconds of two-channel audio per second of wall time | of CPU time (best of 2)")
    print(f"{'files':<26}{'threads':>8}{'ours':>14}{'Silero loop':>14}{'ratio':>14}")
    for name, paths in sets.items():
        audio_s = sum(sf.info(path).duration for path in paths)
        for threads in (1, 2):
            detector, model = load_detector(threads), load_silero_vad()
            torch.set_num_threads(threads)  # loading Silero's model sets it to 1
            extract_speech(paths[:1], detector)
            ours = speeds(audio_s, lambda d=detector, p=paths: extract_speech(p, d))
            theirs = speeds(audio_s, lambda m=model, p=paths: chunk_loop(p, m))
            ratio = (ours[0] / theirs[0], ours[1] / theirs[1])
            cells = [f"{a:.0f} | {b:.0f}" for a, b in (ours, theirs)]
            cells.append(f"{ratio[0]:.1f} | {ratio[1]:.1f}")
            print(f"{name:<26}{threads:>8}" + "".join(f"{c:>14}" for c in cells), flush=True)
    path = next(iter(sets.values()))[0]
    row = {"audio": str(path), "user_channel": 0, "model_channel": 1}
    audio_s = sf.info(path).duration

    def decode() -> int:
        for signal in open_signals(row):
            signal.close()
        return 0

    signals = open_signals(row)
    parts = {
        "decode, resample, spool": decode,
        "levels": lambda: len([measure_levels(s) for s in signals]),
    }
    detector = load_detector(1)
    parts["probabilities, 1 thread"] = lambda: len(
        speech_probabilities(detector, signals, [0.0, 0.0])
    )
    print(f"\nparts, first file ({audio_s:.0f} s), both channels:")
    for name, work in parts.items():
        wall, cpu = speeds(audio_s, work)
        print(f"  {name:<26}{f'{wall:.0f} | {cpu:.0f}':>14}", flush=True)
    for signal in signals:
        signal.close()


def measure_memory(duration_s: float = 3 * 3600) -> int:
    """Peak resident bytes of a fresh process that detects speech in one long recording."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_speech(Path(folder) / "long.wav", duration_s)
        print(f"{path.stat().st_size / 1e9:.2f} GB, {duration_s / 3600:g} h, {RATE_HZ} Hz, stereo")
        start = time.perf_counter()
        command = [sys.executable, __file__, "--child", str(path)]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        wall_s = time.perf_counter() - start
    print(
        f"peak RSS {peak / 1e6:.0f} MB, {wall_s:.1f} s with imports ({duration_s / wall_s:.0f} x)"
    )
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", nargs="*", type=Path)
    parser.add_argument("--seconds", type=int, default=240, help="length of the long file")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        from flexi_score.extraction.probabilities import load_detector

        extract_speech(given.audio, load_detector(2))
        unit = 1 if sys.platform == "darwin" else 1024
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
    elif given.memory:
        measure_memory()
    elif given.audio:
        compare({"given": given.audio})
    else:
        with tempfile.TemporaryDirectory() as folder:
            long = write_speech(Path(folder) / "long.wav", given.seconds)
            clips = [
                write_speech(Path(folder) / f"{i}.wav", 5 + i % 16, 24_000, i) for i in range(24)
            ]
            compare({f"one of {given.seconds} s, 48 kHz": [long], "24 of 5 to 20 s, 24 kHz": clips})


if __name__ == "__main__":
    main()
