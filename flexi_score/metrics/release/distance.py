"""Jensen-Shannon distance between backchannels and a reference, as the release computes it.

Natural logarithm, square root: at most sqrt(ln 2) = 0.8326. Bins of all recordings lie end to end
in one array; sums run in order inside each recording, so that a recording scores the same alone
and among others.
"""

import numpy as np
import polars as pl

from flexi_score.metrics.release.common import Runs
from flexi_score.segment.tracks import Bools, Floats, Ints, Tracks

_BIN_S = 0.2
_FLOOR = 1e-10


def reference_known(tracks: Tracks, rec: Ints) -> Bools:
    """Whether each recording has a reference distribution or reference positions; shape (k,)."""
    rows = tracks.recordings[rec].select(
        (pl.col("reference_distribution").list.len().fill_null(0) > 0)
        | (pl.col("reference_backchannels_ms").list.len().fill_null(0) > 0)
    )
    return np.asarray(rows.to_series().to_numpy(), bool)


def backchannel_distance(
    tracks: Tracks, rec: Ints, segments: Runs, listed: Bools, wanted: Bools
) -> Floats:
    """Distance of each recording's backchannels from its reference, 0 to 0.8326.

    NaN where not ``wanted``, and where the reference adds up to nothing.
    """
    at = np.flatnonzero(wanted)
    duration = tracks.duration_ms[rec[at]] / 1000
    bins = (duration / _BIN_S).astype(np.int64) + 1
    first = np.cumsum(bins) - bins
    rank = np.full(len(wanted), -1)
    rank[at] = np.arange(len(at))
    which = np.flatnonzero(listed & wanted[segments.owner])
    p = _histogram(rank[segments.owner[which]], segments.start[which], segments.end[which], bins)
    q = _reference(tracks, rec[at], bins)
    owner = np.repeat(np.arange(len(at)), bins)
    result = np.full(len(wanted), np.nan)
    result[at] = _distance(p, q, owner, len(first))
    return result


def _histogram(owner: Ints, start: Floats, end: Floats, bins: Ints) -> Floats:
    """Bins int(start / 0.2) .. int(end / 0.2) of each interval counted, plus 1e-10; flat."""
    first = np.cumsum(bins) - bins
    total = int(bins.sum())
    low = (start / _BIN_S).astype(np.int64)
    high = np.minimum((end / _BIN_S).astype(np.int64), bins[owner] - 1)
    ok = (low >= 0) & (low <= high)
    begins = np.bincount(first[owner[ok]] + low[ok], minlength=total + 1)
    # What closes one recording's last bin lands on the next one's first, where it belongs in a
    # running sum over all of them.
    closes = np.bincount(first[owner[ok]] + high[ok] + 1, minlength=total + 1)
    return np.cumsum(begins - closes)[:total] + _FLOOR


def _reference(tracks: Tracks, rec: Ints, bins: Ints) -> Floats:
    """Reference on each recording's own bins: the distribution stretched, or positions counted."""
    rows = tracks.recordings[rec]
    lists = rows["reference_distribution"]
    size = np.asarray(lists.list.len().fill_null(0).to_numpy(), np.int64)
    values = np.asarray(
        lists.filter(pl.Series(size > 0)).explode().cast(pl.Float64).to_numpy(), np.float64
    )
    left = np.cumsum(size) - size
    owner = np.repeat(np.arange(len(rec)), bins)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(bins) - bins, bins)
    x = step / np.maximum(bins - 1, 1)[owner] * np.maximum(size - 1, 0)[owner]
    below = np.minimum(x.astype(np.int64), np.maximum(size - 2, 0)[owner])
    above = np.minimum(below + 1, np.maximum(size - 1, 0)[owner])
    padded = np.append(values, 0.0)
    given = size[owner] > 0
    at = np.where(given, left[owner], len(values))
    low = padded[at + np.where(given, below, 0)]
    high = padded[at + np.where(given, above, 0)]
    stretched = low + (high - low) * (x - below)
    # The release ships distributions; a manifest may name positions instead, which are counted
    # as the script counts backchannels.
    positions = rows["reference_backchannels_ms"].list.drop_nulls()
    counts = np.asarray(positions.list.len().fill_null(0).to_numpy(), np.int64)
    time = positions.filter(pl.Series(counts > 0)).explode().cast(pl.Float64).to_numpy() / 1000
    whose = np.repeat(np.arange(len(rec)), counts)
    counted = _histogram(whose, time, time, bins)
    return np.asarray(np.where(given, stretched, counted), np.float64)


def _distance(p: Floats, q: Floats, owner: Ints, n: int) -> Floats:
    p = p / np.bincount(owner, p, n)[owner]
    with np.errstate(divide="ignore", invalid="ignore"):
        q = q / np.bincount(owner, q, n)[owner]
    m = (p + q) / 2
    divergence = np.bincount(owner, _relative(p, m) + _relative(q, m), n) / 2
    return np.asarray(np.sqrt(np.maximum(divergence, 0)), np.float64)


def _relative(p: Floats, m: Floats) -> Floats:
    """p log(p / m), 0 where p is 0, NaN where it is not a probability."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p == 0, 0.0, p * np.log(p / m)), np.float64)
