"""Runs of exact zeros in a channel's samples as the file holds them, before resampling.

A lost packet that was filled with zeros cuts speech off and lets it go on in mid-sound: the samples
on both sides of the run are as loud as speech is. A pause whose noise was gated away falls to its
zeros and rises from them softly, and does not count.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Shorter runs are quantisation; the shortest packets in use are 5 ms long.
MIN_RUN_MS: Final = 5.0
#: Longer runs are silence, however they begin: a player that is stopped falls silent at once.
MAX_RUN_MS: Final = 400.0
#: Next to a lost packet the loudest sample of so much time is that of speech.
EDGE_MS: Final = 5.0
#: A sample this far below the level of speech (its loudest half second) is still speech.
EDGE_DB: Final = -20.0
#: ... and is at least 8 steps of 16 bits: a very quiet channel rounds to runs of zeros.
EDGE_LEAST: Final = 8 / 32768


class ZeroRuns:
    """Candidate runs of one channel, found block by block."""

    def __init__(self, rate_hz: int) -> None:
        self._rate = rate_hz
        self._edge = max(1, round(EDGE_MS * rate_hz / 1000))
        self._least = round(MIN_RUN_MS * rate_hz / 1000)
        self._most = round(MAX_RUN_MS * rate_hz / 1000)
        # The end of what was seen: a run of a length that counts, and the edges around it.
        self._tail = np.empty(0, np.float32)
        self._lengths: list[NDArray[np.int64]] = []
        self._edges: list[NDArray[np.float32]] = []

    def add(self, block: NDArray[np.float32]) -> None:
        """Look at the next samples, shape (n,)."""
        n_before, data = len(self._tail), np.concatenate([self._tail, block])
        zero = np.concatenate([[False], data == 0, [False]])
        turn = np.flatnonzero(zero[1:] != zero[:-1])
        start, end = turn[::2], turn[1::2]
        length = end - start
        runs = (length >= self._least) & (length <= self._most) & (start >= self._edge)
        # A run is judged in the block in which its right edge is complete.
        runs &= (end + self._edge <= len(data)) & (end + self._edge > n_before)
        if runs.any():
            start, end = start[runs], end[runs]
            around = np.arange(self._edge)
            before = np.abs(data[start[:, None] - 1 - around]).max(axis=1)
            after = np.abs(data[end[:, None] + around]).max(axis=1)
            self._lengths.append(end - start)
            self._edges.append(np.minimum(before, after))
        self._tail = data[-(self._most + 2 * self._edge) :]

    def dropouts(self, active_dbfs: float) -> tuple[int, float]:
        """Number of runs inside speech, and their length in all (ms)."""
        if not self._lengths:
            return 0, 0.0
        least = max(10 ** ((active_dbfs + EDGE_DB) / 20), EDGE_LEAST)
        inside = np.concatenate(self._edges) >= least
        lengths = np.concatenate(self._lengths)[inside]
        return len(lengths), float(lengths.sum()) * 1000 / self._rate
