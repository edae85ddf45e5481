"""Scoring archives again: seconds and memory by number of recordings, and a sweep.

``python tests/bench/bench_rescore.py [--sweep] [--audio] [sizes ...]``, by default of 1 000 to
1 000 000 recordings. Archives are made up: recordings of 20 s with
ten IPUs per channel, from segment files, or (``--audio``) with what extraction would keep of audio:
levels, speech intervals, and the frames they are detected from, which scoring never reads (a
``--sweep`` of other ``speech`` settings does). Every size is scored by the command line, as a
process of its own; its clock includes the start of Python. The last column is what each recording
costs above the size before: the same from size to size where cost grows linearly.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from flexi_score.archive import store  # noqa: E402
from flexi_score.archive.tables import ARCHIVED, ENVELOPE_MS, FRAME_MS  # noqa: E402
from flexi_score.config import SpeechSettings  # noqa: E402
from flexi_score.schema import SCENARIOS  # noqa: E402
from flexi_score.speech.archived import speech_version  # noqa: E402

IPUS = 10
DURATION_MS = 20_000
#: Recordings a part: what an extraction writes at a time is smaller, what merges keep is larger.
PART = 50_000


def build(folder: Path, size: int, audio: bool = False, seed: int = 0) -> Path:
    """An archive of ``size`` recordings of two systems, all six scenarios in turn."""
    store.open_archive(folder, create=True)
    rng = np.random.default_rng(seed)
    for first in range(0, size, PART):
        numbers = np.arange(first, min(first + PART, size))
        store.append(folder, "recordings", _recordings(numbers, audio))
        for side in ("user", "model"):
            start, end = _ipus(rng, len(numbers))
            names = pl.Series("key", [f"{side}{i}" for i in numbers])
            if audio:
                channels = _channels(names, start, end, rng)
                store.append(folder, "channels", channels)
                store.append(folder, "frames", channels)
                store.append(folder, "speech", _speech(names, start, end))
            else:
                store.append(folder, "segments", _segments(names, start, end))
    return folder


def _recordings(numbers: np.ndarray, audio: bool) -> pl.DataFrame:
    none = {
        name: pl.Series(name, [None], dtype=kind).new_from_index(0, len(numbers))
        for name, kind in ARCHIVED.items()
    }
    kind = "key" if audio else "segments_key"
    given = {
        "recording": pl.Series("recording", [f"r{i}" for i in numbers]),
        "system": pl.Series("system", np.array(["a", "b"])[numbers // 6 % 2]),
        "scenario": pl.Series("scenario", np.array(SCENARIOS[:6])[numbers % 6]),
        "duration_ms": pl.Series("duration_ms", np.full(len(numbers), DURATION_MS)),
        f"user_{kind}": pl.Series(f"user_{kind}", [f"user{i}" for i in numbers]),
        f"model_{kind}": pl.Series(f"model_{kind}", [f"model{i}" for i in numbers]),
    }
    return pl.DataFrame(list((none | given).values()))


def _ipus(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends, shape (n, IPUS)."""
    lengths = rng.integers(150, 1800, (n, IPUS))
    gaps = rng.integers(210, 2000, (n, IPUS))
    scale = DURATION_MS / (lengths + gaps).sum(1, keepdims=True)
    ends = (np.cumsum(lengths + gaps, 1) * scale).astype(np.int64)
    return ends - np.maximum((lengths * scale).astype(np.int64), 100), ends


def _segments(names: pl.Series, start: np.ndarray, end: np.ndarray) -> pl.DataFrame:
    flat = pl.DataFrame({"start_ms": start.ravel(), "end_ms": end.ravel()})
    return pl.DataFrame(
        [names, flat.to_struct("segments").reshape((len(names), IPUS)).arr.to_list()]
    )


def _speech(names: pl.Series, start: np.ndarray, end: np.ndarray) -> pl.DataFrame:
    """Speech intervals as extraction with default settings would keep them."""
    version = speech_version(SpeechSettings())
    spans = _segments(names, start, end).rename({"segments": "speech"})
    return spans.with_columns(key=pl.col("key") + f"#{version}")


def _channels(
    names: pl.Series, start: np.ndarray, end: np.ndarray, rng: np.random.Generator
) -> pl.DataFrame:
    n = len(names)
    frames, steps = DURATION_MS // FRAME_MS, DURATION_MS // ENVELOPE_MS
    speech = _inside(start, end, frames, FRAME_MS)
    noise = rng.random((n, frames)) * 0.2
    probability = (np.where(speech, 0.99 - noise, noise) * 65535).astype(np.uint16)
    loud = _inside(start, end, steps, ENVELOPE_MS)
    level = np.where(loud, -2500, -7000) + rng.integers(-500, 500, (n, steps))
    table = pl.DataFrame(
        [
            names,
            pl.Series("duration_ms", np.full(n, DURATION_MS)),
            pl.Series("probabilities", probability).arr.to_list(),
            pl.Series("envelope_cdb", level.astype(np.int16)).arr.to_list(),
        ]
    )
    return table.with_columns(
        active_dbfs=pl.lit(-23.0),
        noise_dbfs=pl.lit(-70.0),
        peak_dbfs=pl.lit(-10.0),
        gain_db=pl.lit(0.0),
        zero_share=pl.lit(0.0),
        clipped_share=pl.lit(0.0),
        dead=pl.lit(False),
        detector=pl.lit("made-up"),
        sample_rate_hz=pl.lit(16_000),
        encoding=pl.lit("PCM_16"),
    )


def _inside(start: np.ndarray, end: np.ndarray, cells: int, step_ms: int) -> np.ndarray:
    """Whether each cell of time lies in an IPU, shape (n, cells)."""
    n = len(start)
    edges = np.zeros((n, cells + 1), np.int8)
    row = np.repeat(np.arange(n), IPUS)
    np.add.at(edges, (row, np.minimum(start.ravel() // step_ms, cells)), 1)
    np.add.at(edges, (row, np.minimum(end.ravel() // step_ms, cells)), -1)
    return np.cumsum(edges, 1)[:, :cells] > 0


def run(*arguments: str) -> tuple[float, float, float]:
    """Seconds by the clock, of the processor, and peak memory (GB) of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "flexi_score.cli", *arguments]
    peak = 0
    with tempfile.TemporaryFile() as told:
        running = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
        while running.poll() is None:
            peak = max(peak, sum(_held_kb(pid) for pid in _with_children(running.pid)))
            time.sleep(0.1)
        took = time.perf_counter() - began
        told.seek(0)
        if running.returncode != 0:
            sys.exit(told.read().decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, peak / 1e6


def _with_children(pid: int) -> list[int]:
    """A process and all below it (Linux)."""
    below: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in file.read_text().split()]
        except OSError:
            continue  # it has ended
        below += [one for child in children for one in _with_children(child)]
    return [pid, *below]


def _held_kb(pid: int) -> int:
    """Memory of a process, its share of what it shares with others; 0 once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def main() -> None:
    """Print the growth curve, and the sweep's time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[])
    parser.add_argument("--audio", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    chosen = parser.parse_args()
    usual = [1_000, 10_000, 100_000, 1_000_000]
    if chosen.sweep:
        bench_sweep(chosen.audio)
        return
    print("recordings    clock s   processor s   peak GB   ms of the processor a further recording")
    before: tuple[int, float] | None = None
    for size in chosen.sizes or usual:
        with tempfile.TemporaryDirectory() as place:
            folder = build(Path(place) / "archive", size, chosen.audio)
            took, cpu, memory = run("score", str(folder), "--out", str(Path(place) / "run"))
        further = "" if before is None else f"{(cpu - before[1]) / (size - before[0]) * 1000:.3f}"
        before = (size, cpu)
        print(f"{size:10,} {took:10.2f} {cpu:13.2f} {memory:9.2f} {further:>20}", flush=True)


def bench_sweep(audio: bool) -> None:
    """1 000 combinations over 1 200 recordings, whole process."""
    grid = [
        "ipu.min_silence_ms=100,130,160,190,220,250,280,310,340,370",
        "backchannel.max_ms=600,800,1000,1200",
        "yield.hold_ms=300,400,500,600,700",
        "speech.threshold=0.4,0.45,0.5,0.55,0.6",
    ]
    with tempfile.TemporaryDirectory() as place:
        folder = build(Path(place) / "archive", 1_200, audio)
        options = [word for text in grid for word in ("--grid", text)]
        took, cpu, memory = run("sweep", str(folder), *options, "--out", str(Path(place) / "sweep"))
    print(
        f"1 000 combinations over 1 200 recordings: {took:.1f} s by the clock, {cpu:.1f} s of "
        f"the processor, {memory:.2f} GB"
    )


if __name__ == "__main__":
    main()
