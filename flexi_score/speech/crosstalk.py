"""Crosstalk: the other party in a channel, found, and taken out.

Where a headset's sound reaches its microphone, people sit in one room, or lines lie side by side,
each channel carries a copy of the other: later, softer, coloured, with a room's tail. First is
asked whether there is any, on few short segments, by the phase of their cross spectrum
(:func:`find_lags`); only then are the channels separated (:func:`separate`).

Conventions
-----------
The *source* x is heard in the *target* y = own + h * x. ``level_db`` is the power of h * x against
that of x where x is active, ``lag_ms`` the delay at which y is most like x, and ``depth_db`` how
far the target falls where crosstalk is most of it. All powers are of the band from 300 to 3400 Hz.

Source
------
Knapp, Carter: The generalized correlation method for estimation of time delay (1976): PHAT.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy  # its modules are loaded when they are first used: that takes a second
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.signal import Signal
from flexi_score.speech.separation import (
    ACTIVE,
    BAND_HZ,
    HOP,
    SILENT,
    TINY,
    Floats,
    read_padded,
    separate_spans,
)

#: Version of finding and removing crosstalk, with the constants here and in ``separation``. Raise
#: it with every change that may move a number.
CROSSTALK_VERSION: Final = 3

#: Longest delay of crosstalk. Where source and target lie exactly in step it is never negative;
#: resampling blurs it by a little.
MAX_LAG_MS: Final = 1000
MIN_LAG_MS: Final = -2
#: Crosstalk is suspected if so many segments agree on one delay, each of them with a correlation
#: so many times what chance makes of it at other delays: 3 of 1012 pairs of unrelated channels,
#: and all of 11 real ones (7.5 at least).
SEGMENTS: Final = 2
SEGMENT_SIGMAS: Final = 6.5
#: Segments to ask: the ones in which the source stands out most.
MOST_SEGMENTS: Final = 6
#: It is confirmed if separation takes this much off the level of each bin in the mean, and this
#: much off the target's power ...
FOUND_DB: Final = 2.0
FOUND_DEPTH_DB: Final = 3.0
#: ... in this share of the frames in which the source is active, and in at least so many.
FOUND_SHARE: Final = 0.05
FOUND_FRAMES: Final = 4
#: ... and if less than this share of the power removed goes beyond what the target holds. A noise
#: that both channels hear fits a filter that then puts the source's speech into the target: 8 to
#: 34 % on meetings with one noise laid over both, at most 4 % with crosstalk, real or simulated.
#: Held out (calls, samples and other meetings, in simulated rooms): at most 5 % in 227 channels
#: with crosstalk of -30 to -10 dB; over 6 % in 62 of 66 whose shared noise would else pass for it.
MOST_OVERSHOT: Final = 0.06
#: Two channels that are heard in each other at opposite delays (within 2 ms), one of them this
#: loud, are one signal: what would be left of it is chance.
COPY_DB: Final = -3.0
COPY_LAG: Final = 2 * SAMPLE_RATE_HZ // 1000
#: Own speech less than this above what may be left of the crosstalk is in doubt.
CLEAR_DB: Final = 18.0

_SEGMENT: Final = 8192
_LAGS: Final = SAMPLE_RATE_HZ * MAX_LAG_MS // 1000
_EARLY: Final = -SAMPLE_RATE_HZ * MIN_LAG_MS // 1000
_PRE_EMPHASIS: Final = 0.95


@dataclass(frozen=True)
class Crosstalk:
    """How one channel is heard in the other; see the module's conventions.

    Attributes
    ----------
    level_db, lag_ms, depth_db : float
    own_db, removed_db : ndarray of float32, shape (n,)
        Power of the target without crosstalk, and of what was taken off, by hops of 64 ms.
    """

    level_db: float
    lag_ms: float
    depth_db: float
    own_db: Floats
    removed_db: Floats

    def doubt(self, speech: NDArray[np.bool_]) -> float | None:
        """Share of speech that is not clear of what may be left of the crosstalk.

        Parameters
        ----------
        speech : ndarray of bool, shape (m,)
            Whether there is speech in each hop of 64 ms of the target.

        Returns
        -------
        float or None
            In [0, 1]; None without speech.
        """
        n = min(len(speech), len(self.own_db))
        own, left = self.own_db[:n][speech[:n]], self.removed_db[:n][speech[:n]] - self.depth_db
        return float(np.mean(own < left + CLEAR_DB)) if len(own) else None


def find_lags(
    target: Signal,
    source: Signal,
    target_cdb: NDArray[np.int16],
    source_cdb: NDArray[np.int16],
    source_at: int = 0,
) -> int | None:
    """Delay at which a source is heard in a target, if it seems to be.

    Parameters
    ----------
    target, source : Signal
    target_cdb, source_cdb : ndarray of int16
        Their envelopes (:func:`flexi_score.audio.levels.measure_levels`).
    source_at : int
        Sample of the target at which the source begins.

    Returns
    -------
    int or None
        In samples. None is the answer to most recordings, and cheap: a few transforms of 1.5 s.
    """
    starts = _loudest(target_cdb, source_cdb, source_at)
    if len(starts) < SEGMENTS:
        return None
    size = scipy.fft.next_fast_len(_SEGMENT + _LAGS + _EARLY, real=True)
    band = slice(*(hz * size // SAMPLE_RATE_HZ for hz in BAND_HZ))
    phases = np.zeros((len(starts), size // 2 + 1), np.complex64)
    for row, start in zip(phases, starts, strict=True):
        stop = start + _SEGMENT
        x = read_padded(source, start - source_at - _LAGS, stop - source_at + _EARLY)
        y = read_padded(target, start, stop)
        cross = (scipy.fft.rfft(_flat(x), size) * np.conj(scipy.fft.rfft(_flat(y), size)))[band]
        height = np.abs(cross)
        row[band] = cross / (height + 1e-3 * height.max() + TINY)
    likeness = scipy.fft.irfft(phases.sum(axis=0), size)[: _LAGS + _EARLY]
    best = int(np.argmax(np.abs(likeness)))
    turn = np.exp(2j * np.pi * best / size * np.arange(band.start, band.stop))
    each = (phases[:, band] @ turn).real * np.sign(likeness[best])
    # By Parseval: what the correlation is at a delay of no meaning.
    chance = np.sqrt((np.abs(phases) ** 2).sum(axis=1) / 2) + TINY
    agree = np.count_nonzero(each >= SEGMENT_SIGMAS * chance)
    return _LAGS - best if agree >= SEGMENTS else None


def separate(
    user: Signal, model: Signal, lags: tuple[int | None, int | None], model_at: int = 0
) -> tuple[tuple[Signal, Crosstalk] | None, tuple[Signal, Crosstalk] | None]:
    """The channels without crosstalk.

    Parameters
    ----------
    user, model : Signal
    lags : tuple of int or None
        Delay (samples) of the model in the user's channel, and of the user in the model's, from
        :func:`find_lags`; None where there is nothing to remove.
    model_at : int
        Sample of the user's channel at which the model's begins.

    Returns
    -------
    user, model : (Signal, Crosstalk) or None
        The signal is to be closed by the caller. None where the channel stays as it is: no
        crosstalk was suspected, or removing it was tried and changed too little.
    """
    if lags == (None, None) or not (user.n_samples and model.n_samples):
        return None, None
    signals, at = (user, model), (0, model_at)
    clean = [Signal(s.name, s.counts) for s in signals]
    powers: list[list[Floats]] = [[], []]
    drops: list[list[Floats]] = [[], []]
    for span in separate_spans(signals, at, lags):
        for k in (0, 1):
            # The spans' time begins with the earlier channel and ends with the later one.
            low, high = (max(at[k] + n - span.start, 0) for n in (0, signals[k].n_samples))
            clean[k].append(span.samples[k][low:high])
            hops = slice(low // HOP, -(-high // HOP))
            powers[k].append(span.powers[k][:, hops])
            drops[k].append(span.drops_db[k][hops])
    confirmed = [
        None
        if (lag := lags[k]) is None
        else _confirm(np.concatenate(powers[k], axis=1), np.concatenate(drops[k]), lag)
        for k in (0, 1)
    ]
    if None not in lags and abs(sum(lag for lag in lags if lag)) < COPY_LAG:
        loudest = max((f.level_db for f in confirmed if f), default=COPY_DB)
        confirmed = confirmed if loudest <= COPY_DB else [None, None]
    confirmed_lags = tuple(lag if f else None for lag, f in zip(lags, confirmed, strict=True))
    for signal, result in zip(clean, confirmed, strict=True):
        if result is None or confirmed_lags != lags:
            signal.close()
    if confirmed_lags != lags:  # one of two was none: without it the other comes out better
        return separate(user, model, (confirmed_lags[0], confirmed_lags[1]), model_at)
    done = [(s, f) if f else None for s, f in zip(clean, confirmed, strict=True)]
    return done[0], done[1]


def _loudest(
    target_cdb: NDArray[np.int16], source_cdb: NDArray[np.int16], source_at: int
) -> list[int]:
    """Samples of the target at which segments begin in which the source stands out most."""
    hop = SAMPLE_RATE_HZ // 100
    late = round(source_at / hop)
    first, stop = max(late, 0), min(len(target_cdb), len(source_cdb) + late)
    width = _SEGMENT // hop
    count = (stop - first) // width
    if count < SEGMENTS:
        return []
    x, y = (
        (10 ** (e[low : low + count * width].astype(np.float32) / 1000)).reshape(count, width)
        for e, low in ((source_cdb, first - late), (target_cdb, first))
    )
    loud, ratio = x.mean(axis=1), x.mean(axis=1) / (y.mean(axis=1) + TINY)
    # Where the target holds nothing at all, as in a gated pause, nothing can be heard in it.
    active = (loud >= loud.max() * ACTIVE) & (np.median(y, axis=1) > 2 * TINY)
    order = np.flatnonzero(active)[np.argsort(-ratio[active], kind="stable")][:MOST_SEGMENTS]
    return [int(first + k * width) * hop for k in order]


def _confirm(powers: Floats, drop_db: Floats, lag: int) -> Crosstalk | None:
    """What was removed, if it was crosstalk."""
    source, target, own, removed = powers
    active = (source >= source.max() * ACTIVE) & (target > SILENT * target.mean())
    hit = active & (drop_db >= FOUND_DB)
    if not source.max() > TINY or hit.sum() < max(FOUND_FRAMES, FOUND_SHARE * active.sum()):
        return None
    beyond = np.maximum(removed - target, 0)[active].sum()
    if beyond > MOST_OVERSHOT * removed[active].sum():
        return None
    depth_db = float(np.quantile(10 * np.log10((target[hit] + TINY) / (own[hit] + TINY)), 0.7))
    if depth_db < FOUND_DEPTH_DB:
        return None
    return Crosstalk(
        level_db=float(10 * np.log10(removed[active].sum() / source[active].sum())),
        lag_ms=lag * 1000 / SAMPLE_RATE_HZ,
        depth_db=depth_db,
        own_db=10 * np.log10(own + TINY),
        removed_db=10 * np.log10(removed + TINY),
    )


def _flat(x: Floats) -> Floats:
    """With pre-emphasis, so that hum and rumble do not spread over the spectrum."""
    out = x.copy()
    out[1:] -= _PRE_EMPHASIS * x[:-1]
    return out
