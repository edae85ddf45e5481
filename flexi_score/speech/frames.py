"""Frames of many channels end to end: probabilities, envelopes."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.segment.tracks import Ints


@dataclass(frozen=True)
class Frames:
    """A number for every step of time, of many channels end to end.

    Attributes
    ----------
    values : ndarray, shape (offsets[-1],)
        Frame k of channel i is ``values[offsets[i] + k]`` and covers
        ``[k * step_ms, (k + 1) * step_ms)``.
    offsets : ndarray of int64, shape (n + 1,)
        Channel i owns the frames ``[offsets[i], offsets[i + 1])``.
    step_ms : int

    Examples
    --------
    >>> import numpy as np
    >>> frames = Frames(np.array([1, 2, 3]), np.array([0, 2, 3]), 10)
    >>> len(frames), frames.sizes.tolist(), frames.channel.tolist()
    (2, [2, 1], [0, 0, 1])
    """

    values: NDArray[Any]
    offsets: Ints
    step_ms: int

    @classmethod
    def from_lists(cls, lists: pl.Series, step_ms: int) -> "Frames":
        """Frames of a column of lists, one per channel; a null list is an empty one."""
        sizes = lists.list.len().fill_null(0).cast(pl.Int64).to_numpy()
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return cls(lists.explode().drop_nulls().to_numpy(), offsets, step_ms)

    @classmethod
    def single(cls, values: NDArray[Any], step_ms: int) -> "Frames":
        """Frames of one channel."""
        return cls(values, np.array([0, len(values)], np.int64), step_ms)

    def __len__(self) -> int:
        """Number of channels."""
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The values of one channel after another."""
        return (self.values[low:high] for low, high in pairwise(self.offsets.tolist()))

    @property
    def sizes(self) -> Ints:
        """Number of frames of each channel, shape (n,)."""
        return np.diff(self.offsets)

    @property
    def channel(self) -> Ints:
        """The channel of each frame, shape (offsets[-1],)."""
        return np.repeat(np.arange(len(self)), self.sizes)

    def part(self, low: int, high: int) -> "Frames":
        """The channels [low, high), numbered anew."""
        inside = slice(self.offsets[low], self.offsets[high])
        return Frames(
            self.values[inside], self.offsets[low : high + 1] - inside.start, self.step_ms
        )
