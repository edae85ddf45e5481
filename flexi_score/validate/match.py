"""One-to-one matching of timed things, closest pairs first, for all recordings at once."""

import numpy as np

from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Ints, spread


def match(truth: Spans, predicted: Spans, collar_ms: int) -> tuple[Ints, Ints]:
    """Pair spans whose starts and whose ends are both at most ``collar_ms`` apart.

    Pairs are taken in the order of |start error| + |end error|, each span at most once; of equal
    ones the one that is found late goes first, then the earlier. Both on one axis, sorted by start;
    recordings lie further apart than the collar. Returns the positions of the pairs in ``truth``,
    ascending, and in ``predicted``.
    """
    first = np.searchsorted(predicted.start, truth.start - collar_ms, "left")
    right, left = spread(first, np.searchsorted(predicted.start, truth.start + collar_ms, "right"))
    near = np.abs(predicted.end[right] - truth.end[left]) <= collar_ms
    left, right = left[near], right[near]
    late = predicted.start[right] - truth.start[left]
    end_late = predicted.end[right] - truth.end[left]
    error = np.abs(late) + np.abs(end_late)
    order = np.lexsort((right, left, late + end_late < 0, error))
    left, right = left[order], right[order]
    pairs = []
    # Each round takes every pair that is the best one left for both of its sides: the same as
    # taking them one by one. The error grows from round to round, so rounds are few.
    while len(left):
        best_left = np.zeros(len(left), bool)
        best_right = np.zeros(len(left), bool)
        best_left[np.unique(left, return_index=True)[1]] = True
        best_right[np.unique(right, return_index=True)[1]] = True
        best = best_left & best_right
        pairs.append((left[best], right[best]))
        rest = ~(np.isin(left, left[best]) | np.isin(right, right[best]))
        left, right = left[rest], right[rest]
    if not pairs:
        none = np.empty(0, np.int64)
        return none, none
    taken, given = (np.concatenate(side) for side in zip(*pairs, strict=True))
    by_truth = np.argsort(taken)
    return taken[by_truth], given[by_truth]
