"""Recordings per second of segmentation and of profile ``paper``, from segments.

Run with the repository root on the path: ``python tests/bench/bench_segment.py [sizes ...]``. If
pyannote.core is installed, IPUs, silences, overlaps, gaps and pauses are also computed with its
Timeline, one recording at a time, and the totals are compared.
"""

import cProfile
import pstats
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from flexi_score.config import load_settings
from flexi_score.metrics import score_structure
from flexi_score.schema import RECORDINGS, SCENARIOS
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Intervals, Tracks, Words, make_intervals, make_words
from flexi_score.segment.types import Structure

SETTINGS = load_settings()
Times = tuple[float, float]
IPUS = 10
DURATION_MS = 20_000


def make_corpus(n: int, words: bool = True, seed: int = 0) -> Tracks:
    """Recordings of 20 s, ten IPUs a channel (of two words), all six scenarios in turn."""
    rng = np.random.default_rng(seed)
    user, user_words = _channel(rng, n)
    model, model_words = _channel(rng, n)
    if not words:
        none = np.empty(0, np.int64)
        text = pl.Series([], dtype=pl.String)
        user_words = make_words(none, none, none, text, np.empty(0), np.zeros(n, bool))
        model_words = user_words
    scenario = np.array(SCENARIOS[:6])[np.arange(n) % 6]
    columns = {
        name: pl.Series(name, [None], dtype=kind).new_from_index(0, n)
        for name, kind in RECORDINGS.items()
    }
    columns |= {
        "recording": pl.Series("recording", [f"r{i}" for i in range(n)]),
        "system": pl.Series("system", np.array(["a", "b"])[np.arange(n) // 6 % 2]),
        "scenario": pl.Series("scenario", scenario),
    }
    rows = pl.DataFrame(list(columns.values()))
    return Tracks(rows, np.full(n, DURATION_MS), user, model, user_words, model_words)


def _channel(rng: np.random.Generator, n: int) -> tuple[Intervals, Words]:
    lengths = rng.integers(150, 1800, (n, IPUS))
    gaps = rng.integers(210, 2000, (n, IPUS))
    scale = DURATION_MS / (lengths + gaps).sum(1, keepdims=True)
    ends = (np.cumsum(lengths + gaps, 1) * scale).astype(np.int64)
    starts = ends - np.maximum((lengths * scale).astype(np.int64), 100)
    rec = np.repeat(np.arange(n), IPUS)
    start, end = starts.ravel(), ends.ravel()
    middle = (start + end) // 2
    words = make_words(
        np.repeat(rec, 2),
        np.stack([start, middle], 1).ravel(),
        np.stack([middle, end], 1).ravel(),
        pl.Series(["word"], dtype=pl.String).new_from_index(0, 2 * len(rec)),
        np.ones(2 * len(rec)),
        np.ones(n, bool),
    )
    return make_intervals(rec, start, end), words


def seconds(work: Callable[[], Any], repeats: int = 3) -> Times:
    """Best of a few runs: by the clock, and of the processor (what a busy machine leaves alone)."""
    best = (float("inf"), float("inf"))
    for _ in range(repeats):
        began = time.perf_counter(), time.process_time()
        work()
        took = time.perf_counter() - began[0], time.process_time() - began[1]
        best = min(best[0], took[0]), min(best[1], took[1])
    return best


def totals(structure: Structure) -> dict[str, int]:
    """Milliseconds of each kind over all recordings."""
    s = structure
    kinds = {
        "ipu": (s.user.ipus, s.model.ipus),
        "silence": (s.silences,),
        "overlap": (s.overlaps,),
        "gap": (s.gaps,),
        "pause": (s.pauses.spans,),
    }
    return {name: int(sum((p.end - p.start).sum() for p in parts)) for name, parts in kinds.items()}


def with_pyannote(tracks: Tracks) -> dict[str, int] | None:
    """The same totals with pyannote.core, one recording at a time; None where it is missing."""
    try:
        from pyannote.core import Segment, Timeline
    except ImportError:
        return None
    found = dict.fromkeys(("ipu", "silence", "overlap", "gap", "pause"), 0)
    sides = []
    for speech in (tracks.user_speech, tracks.model_speech):
        cuts = np.searchsorted(speech.rec, np.arange(len(tracks) + 1))
        sides.append((speech.start_ms.tolist(), speech.end_ms.tolist(), cuts.tolist()))
    for i in range(len(tracks)):
        ipus = []
        for start, end, cuts in sides:
            spans = zip(start[cuts[i] : cuts[i + 1]], end[cuts[i] : cuts[i + 1]], strict=True)
            # Milliseconds as they are: support() bridges up to and including the collar.
            joined = Timeline(Segment(a, b) for a, b in spans).support(collar=199.5)
            ipus.append(Timeline(s for s in joined if s.duration >= 90))
        user, model = ipus
        overlap = user.crop(model, mode="intersection")
        union = user.union(model).support()
        free = union.gaps(support=Segment(0, int(tracks.duration_ms[i])))
        ends = [{s.end: 1 for s in t} for t in ipus]
        starts = [{s.start: 1 for s in t} for t in ipus]
        for silence in free:
            before = {k for k in (0, 1) if silence.start in ends[k]}
            after = {k for k in (0, 1) if silence.end in starts[k]}
            if before and after:
                found["pause" if before & after else "gap"] += int(silence.duration)
        found["ipu"] += int(user.duration() + model.duration())
        found["silence"] += int(sum(s.duration for s in free))
        found["overlap"] += int(overlap.duration())
    return found


def main() -> None:
    """Print a table, a comparison and a profile."""
    sizes = [int(a) for a in sys.argv[1:]] or [1_000, 10_000, 100_000, 300_000]
    print("recordings per second by the clock / per second of processor time")
    head = (
        "recordings",
        "from segments",
        "+words: structure",
        "score",
        "both",
        "events",
        "events+text",
    )
    print(head[0].rjust(10), *(h.rjust(17) for h in head[1:]))
    for n in sizes:
        plain = make_corpus(n, words=False)
        alone = seconds(lambda t=plain: score_structure(build_structure(t, SETTINGS), SETTINGS))
        tracks = make_corpus(n)
        structure = build_structure(tracks, SETTINGS)
        times = [
            seconds(lambda tracks=tracks: build_structure(tracks, SETTINGS)),
            seconds(lambda structure=structure: score_structure(structure, SETTINGS)),
            seconds(lambda s=structure: events_frame(s, with_text=False), 1),
            seconds(lambda s=structure: events_frame(s), 1),
        ]
        times.insert(0, alone)
        times.insert(3, (times[1][0] + times[2][0], times[1][1] + times[2][1]))
        shown = (f"{n / wall:9,.0f}/{n / cpu:7,.0f}" for wall, cpu in times)
        print(f"{n:10,}", *(text.rjust(17) for text in shown), flush=True)

    compare_with_pyannote(make_corpus(1_000))
    tracks = make_corpus(50_000)
    profile = cProfile.Profile()
    profile.runcall(lambda: score_structure(build_structure(tracks, SETTINGS), SETTINGS))
    print("\nWhere the time goes (50 000 recordings):")
    pstats.Stats(profile).sort_stats("tottime").print_stats(18)


def compare_with_pyannote(tracks: Tracks) -> None:
    """Print both speeds on the same recordings, and whether the totals agree."""
    theirs: list[dict[str, int] | None] = []
    clock, processor = seconds(lambda: theirs.append(with_pyannote(tracks)), 1)
    if theirs[0] is None:
        print("\npyannote.core is not installed: no comparison")
        return
    ours = totals(build_structure(tracks, SETTINGS))
    own = seconds(lambda: totals(build_structure(tracks, SETTINGS)))
    n = len(tracks)
    print(f"\nIPUs, silences, overlaps, gaps, pauses of {n:,} recordings, recordings/s:")
    print(f"pyannote.core {n / clock:,.0f} (processor {n / processor:,.0f})")
    print(f"flexi_score   {n / own[0]:,.0f} (processor {n / own[1]:,.0f})")
    print("totals equal" if ours == theirs[0] else f"totals differ: {ours} != {theirs[0]}")


if __name__ == "__main__":
    main()
