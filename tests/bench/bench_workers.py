"""What a second worker brings: the same recordings extracted by one process and by two, in pairs.

``python tests/bench/bench_workers.py [--pairs 3] [--copies 6] [--words] [AUDIO ...]``. Without
AUDIO the samples are taken. Every one is extracted several times over, a sample of it
changed each time, so that no copy is found in the archive. Every run is a process of its own from
its start to its end: workers start and load their models within it. Pairs take turns, so that a
machine that is busy is busy for both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile as sf

ROOT = Path(__file__).parents[2]


def make_copies(paths: list[Path], folder: Path, copies: int) -> float:
    """Write the recordings, each copy another file; their seconds in all."""
    seconds = 0.0
    for path in paths:
        audio, rate_hz = sf.read(path, dtype="int16", always_2d=True)
        for copy in range(copies):
            audio[copy, 0] ^= 1
            sf.write(folder / f"{path.stem}_{copy}.flac", audio, rate_hz)
            seconds += len(audio) / rate_hz
    return seconds


def extract(folder: Path, archive: Path, workers: int, words: bool) -> float:
    """Seconds of one extraction."""
    asr = [] if words else ["--asr", "none"]
    command = [
        sys.executable,
        "-m",
        "flexi_score.cli",
        "extract",
        folder,
        "--layout",
        "stereo",
        "--archive",
        archive,
        "--workers",
        str(workers),
        "-q",
        *asr,
    ]
    began = time.perf_counter()
    subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("audio", nargs="*", type=Path)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--words", action="store_true")
    chosen = parser.parse_args()
    paths = chosen.audio or sorted((ROOT / "sample_recordings").glob("*.flac"))
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "audio"
        folder.mkdir()
        seconds = make_copies(paths, folder, chosen.copies)
        print(
            f"{len(paths) * chosen.copies} recordings, {seconds / 60:.1f} minutes, "
            f"{'with' if chosen.words else 'without'} words"
        )
        ratios = []
        for pair in range(chosen.pairs):
            took = [extract(folder, Path(place) / f"{pair}-{n}", n, chosen.words) for n in (1, 2)]
            ratios.append(took[0] / took[1])
            print(
                f"pair {pair + 1}: one worker {took[0]:.1f} s, two {took[1]:.1f} s, "
                f"{ratios[-1]:.2f} times as fast",
                flush=True,
            )
    print(f"median {statistics.median(ratios):.2f} times as fast")


if __name__ == "__main__":
    main()
