"""Processor time and peak memory of large inputs; run it, it is not a test.

    python tests/bench/bench_scale.py [ROW ...]

Each row is scored by the command line at half its size and at its size. Where nothing is quadratic
the second takes at most twice the first. Times are processor seconds of all processes; memory is
the largest process.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf

ROOT = Path(__file__).parents[2]
SPEECH = {"user": [(0.5, 2.1), (4.0, 4.6)], "model": [(2.6, 3.9), (5.1, 8.0)]}


def given(folder: Path, count: int, systems: int = 1, columns: int = 0) -> Path:
    """A manifest of recordings that share their segment files."""
    for who, spans in SPEECH.items():
        (folder / f"{who}.txt").write_text("".join(f"{a}\t{b}\tspeech\n" for a, b in spans))
    extra = {f"column_{i}": f"value {i}" for i in range(columns)}
    with (folder / "manifest.jsonl").open("w") as file:
        for i in range(count):
            row = {"id": f"r{i}", "system": f"s{i % systems}", "scenario": "turn_taking"}
            row |= {"user_speech": "user.txt", "model_speech": "model.txt", "duration": 9.0}
            file.write(json.dumps(row | extra) + "\n")
    return folder / "manifest.jsonl"


def tiny(folder: Path, count: int) -> Path:
    """Files of half a second, no two alike."""
    rng = np.random.default_rng(0)
    for i in range(count):
        samples = (rng.standard_normal((8_000, 2)) * 300).astype(np.int16)
        sf.write(folder / f"r{i}.wav", samples, 16_000)
    return folder


ROWS: dict[str, tuple[int, Callable[[Path, int], Path], tuple[str, ...]]] = {
    "manifest rows": (50_000, given, ()),
    "columns of metadata, 100 rows": (2_000, lambda f, n: given(f, 100, columns=n), ()),
    "systems, 10 000 rows": (200, lambda f, n: given(f, 10_000, systems=n), ()),
    "files of 0.5 s": (10_000, tiny, ("--channels", "user,model")),
}


def run(
    make: Callable[[Path, int], Path], size: int, options: tuple[str, ...]
) -> tuple[float, float]:
    """Processor seconds and megabytes of scoring one input."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "input")
        folder.mkdir()
        source = make(folder, size)
        command = [sys.executable, "-m", "flexi_score.cli", "score", str(source), "--asr", "none"]
        command += ["-q", "--out", f"{name}/a.run", *options]
        code = (
            "import resource, subprocess, sys\n"
            "code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)\n"
            "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
            "print(code, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    status, seconds, peak = map(float, done.stdout.split())
    if status not in (0, 1):
        raise SystemExit(f"{' '.join(command)} ended with {status:.0f}")
    return seconds, peak


def main() -> None:
    chosen = sys.argv[1:] or list(ROWS)
    print("| | size | s at half | s | ratio | MB at half | MB |\n|---|" + "---:|" * 6)
    for name in chosen:
        size, make, options = ROWS[name]
        half, before = run(make, size // 2, options)
        whole, peak = run(make, size, options)
        cells = (f"{half:.1f}", f"{whole:.1f}", f"{whole / half:.2f}", f"{before:.0f}")
        print(f"| {name} | {size} | {' | '.join(cells)} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
