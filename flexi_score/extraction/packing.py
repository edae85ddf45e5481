"""Laying a channel's speech end to end for recognition, and bringing word times back.

Whisper works on windows of 30 s and costs the same for a full one as for an empty one, so the
speech of a channel is packed into as few windows as it fills: each stretch of speech keeps a
little of the audio around it, and what lies between stretches is replaced by a short silence.

Conventions
-----------
*Recording time* counts from the start of the recording, *pack time* from the start of a pack;
both in int64 milliseconds. A *run* is a maximal stretch of speech whose inner silences are
shorter than :data:`BRIDGE_MS`. A *piece* is one contiguous cut of the recording: a run with its
margins, or several runs whose margins touch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

#: Silences shorter than this do not divide a word's speech (dGSLM's bound between two IPUs).
BRIDGE_MS = 200
#: Audio kept on either side of a run.
MARGIN_MS = 400
#: Silence put between two pieces.
JOINT_MS = 0
#: Longest pack, margins and joints included: Whisper's window is 30 s.
PACK_MS = 29_000
#: Longer runs are divided at their quietest point.
LONGEST_RUN_MS = 28_000
#: A word outside speech is moved into the nearest run up to this far away, else dropped.
REACH_MS = 300
#: Where words are pressed together, their starts stay this far apart while there is room.
STEP_MS = 20


@dataclass(frozen=True)
class Pack:
    """Pieces of one channel, each with a run of speech in it."""

    #: shape (r,): what to cut out of the recording
    piece_start_ms: Ints
    piece_end_ms: Ints
    piece_at_ms: Ints  # shape (r,): where each piece starts in the pack
    #: shape (r,): speech, in recording time
    run_start_ms: Ints
    run_end_ms: Ints

    @property
    def run_at_ms(self) -> Ints:
        """Where each run starts in the pack."""
        return self.piece_at_ms + self.run_start_ms - self.piece_start_ms

    @property
    def length_ms(self) -> int:
        """Up to the end of the last piece."""
        return int(self.piece_at_ms[-1] + self.piece_end_ms[-1] - self.piece_start_ms[-1])

    def part(self, which: slice) -> "Pack":
        """Some of its pieces, as a pack of their own."""
        at = self.piece_at_ms[which]
        return Pack(
            self.piece_start_ms[which],
            self.piece_end_ms[which],
            at - at[0],
            self.run_start_ms[which],
            self.run_end_ms[which],
        )


def find_runs(speech: Sequence[tuple[int, int]], duration_ms: int) -> list[tuple[int, int]]:
    """Speech segments, clipped to the recording, with silences below `BRIDGE_MS` bridged."""
    runs: list[tuple[int, int]] = []
    for start, end in sorted((int(a), int(b)) for a, b in speech):
        start, end = max(start, 0), min(end, duration_ms)
        if end <= start:
            continue
        if runs and start - runs[-1][1] < BRIDGE_MS:
            runs[-1] = (runs[-1][0], max(runs[-1][1], end))
        else:
            runs.append((start, end))
    return runs


def divide_long(
    runs: Sequence[tuple[int, int]], quietest: Callable[[int, int], int]
) -> list[tuple[int, int]]:
    """Runs of at most `LONGEST_RUN_MS`; longer ones are cut where they are quietest.

    ``quietest(start_ms, end_ms)``: the quietest moment in between (ms).
    """
    divided: list[tuple[int, int]] = []
    for start, end in runs:
        while end - start > LONGEST_RUN_MS:
            # Looking only at the last part keeps the pieces long, and never further than a pack.
            limit = start + LONGEST_RUN_MS
            cut = min(max(quietest(start + LONGEST_RUN_MS // 2, limit), start + 1), limit)
            divided.append((start, cut))
            start = cut
        divided.append((start, end))
    return divided


def plan_packs(runs: Sequence[tuple[int, int]], duration_ms: int) -> list[Pack]:
    """Runs in order, in as few packs as hold them; a pack ends between two runs.

    ``runs``: sorted, disjoint (they may touch), none longer than `LONGEST_RUN_MS`.
    """
    if not runs:
        return []
    start, end = np.asarray(runs, np.int64).T
    # A margin never reaches into the neighbour's half of the silence between two runs.
    half = (start[1:] - end[:-1]) // 2
    before = np.minimum(MARGIN_MS, np.concatenate([start[:1], half]))
    after = np.minimum(MARGIN_MS, np.append(half, duration_ms - end[-1]))
    cut_start, cut_end = start - before, end + after
    touching = np.append(False, start[1:] - end[:-1] <= 2 * MARGIN_MS)
    # Halves of an odd silence leave one millisecond between them.
    cut_end[:-1] = np.where(touching[1:], cut_start[1:], cut_end[:-1])

    packs: list[Pack] = []
    first, at = 0, [0]
    for i in range(1, len(runs) + 1):
        if i < len(runs):
            joint = 0 if touching[i] else JOINT_MS
            next_at = at[-1] + int(cut_end[i - 1] - cut_start[i - 1]) + joint
            if next_at + int(cut_end[i] - cut_start[i]) <= PACK_MS:
                at.append(next_at)
                continue
        which = slice(first, i)
        placed = np.asarray(at, np.int64)
        packs.append(Pack(cut_start[which], cut_end[which], placed, start[which], end[which]))
        first, at = i, [0]
    return packs


def halve(pack: Pack) -> tuple[Pack, Pack]:
    """A pack of two or more runs, divided between two runs near its middle."""
    middle = pack.run_at_ms[0] + pack.run_at_ms[-1]
    cut = max(int(np.searchsorted(2 * pack.run_at_ms, middle, side="right")), 1)
    return pack.part(slice(0, cut)), pack.part(slice(cut, None))


def speech_between(pack: Pack, start_ms: Ints, end_ms: Ints) -> Ints:
    """Milliseconds of speech in each interval of pack time, shape (w,)."""
    until = pack.run_at_ms + pack.run_end_ms - pack.run_start_ms
    low = np.maximum(start_ms[:, None], pack.run_at_ms)
    high = np.minimum(end_ms[:, None], until)
    return np.asarray(np.maximum(high - low, 0).sum(axis=1), np.int64)


def assign_words(pack: Pack, start_ms: Ints, end_ms: Ints) -> Ints:
    """The run that each word belongs to, or -1 where none is near.

    A word belongs to the run that holds most of it (the earlier one where two hold the same); a
    word outside every run to the nearest, up to `REACH_MS` away. Times are the pack's.
    """
    if not len(start_ms) or not len(pack.run_at_ms):
        return np.full(len(start_ms), -1, np.int64)
    at = pack.run_at_ms
    until = at + pack.run_end_ms - pack.run_start_ms
    # Positive: milliseconds inside the run; otherwise minus the distance to it.
    inside = np.minimum(end_ms[:, None], until) - np.maximum(start_ms[:, None], at)
    best = inside.argmax(axis=1)
    held = inside[np.arange(len(best)), best]
    return np.where(held >= -REACH_MS, best, -1)


def map_words(pack: Pack, start_ms: Ints, end_ms: Ints) -> tuple[Ints, Ints, Ints]:
    """Words in recording time, each inside the run it belongs to.

    The words are in pack time, in the order in which they were said. Returns which are left, and
    their starts (strictly increasing) and ends; no two overlap.
    """
    run = assign_words(pack, start_ms, end_ms)
    # Words are said in order, so a word never belongs to an earlier run than the one before it.
    run = np.where(run >= 0, np.maximum.accumulate(run), -1)
    which = np.flatnonzero(run >= 0)
    run = run[which]
    room = pack.run_end_ms - pack.run_start_ms
    _, first, size = np.unique(run, return_index=True, return_counts=True)
    rank = np.arange(len(run)) - np.repeat(first, size)
    # No run holds more words than milliseconds.
    fits = rank < room[run]
    which, run, rank = which[fits], run[fits], rank[fits]
    if not len(which):
        return which, which, which
    _, first, size = np.unique(run, return_index=True, return_counts=True)

    shift = pack.run_start_ms[run] - pack.run_at_ms[run]
    low, high = pack.run_start_ms[run], pack.run_end_ms[run]
    count = np.repeat(size, size)
    step = np.minimum(STEP_MS, (high - low) // count)
    # Starts at least a step apart: first push words later, then pull the last ones back in.
    start = np.clip(start_ms[which] + shift, low, high - step)
    start = np.maximum.accumulate(start - step * rank + _barrier(first, size)) + (
        step * rank - _barrier(first, size)
    )
    start = np.minimum(start, high - step * (count - rank))
    end = np.clip(end_ms[which] + shift, start + 1, high)
    last = np.append(run[1:] != run[:-1], True)
    end = np.where(last, end, np.minimum(end, np.append(start[1:], 0)))
    return which, start, end


def _barrier(first: Ints, size: Ints) -> Ints:
    """A height that grows from run to run, so that one accumulation serves all of them."""
    return np.repeat(np.arange(len(first), dtype=np.int64) << 40, size)
