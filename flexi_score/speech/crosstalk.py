"""How one channel leaks into the other, and the channel without it.

Where a headset's sound reaches its microphone, or lines lie side by side, each channel carries a
copy of the other: later, softer, coloured, with a room's tail. That copy is a linear filter of
the other channel. The filter is estimated where only the other party speaks, checked on stretches
it was not estimated from, and its output subtracted.

Conventions
-----------
The *source* x leaks into the *target* y = own + h * x. Blocks are 128 ms. ``level_db`` is the
power of h * x against that of x, ``lag_ms`` the delay of the filter's strongest tap, and
``depth_db`` how far subtraction brings the leak down (the median of blocks).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal as dsp

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.levels import measure_levels
from flexi_score.audio.signal import Signal
from flexi_score.speech.leak_filter import (
    BAND,
    BLOCK,
    CHUNK,
    TAPS,
    filtered,
    first_estimate,
    frames,
    least_squares,
    removed_db,
)

Floats = NDArray[np.float64]
#: Taps, and how many samples late the first of them is.
Filter = tuple[Floats, int]

#: Version of finding and removing crosstalk. Raise it with every change that may move a number.
CROSSTALK_VERSION: Final = 1
#: Longest delay that is looked for.
MAX_LAG_MS: Final = 1000
#: A leak whose source is the other channel cannot come earlier than this (resampling blurs it).
MIN_LAG_MS: Final = -2
#: A block counts where the source is this far above its quietest blocks.
ACTIVE_DB: Final = 15.0
#: ... or, in noise, half as far as the loudest one is, but at least so far.
LEAST_ACTIVE_DB: Final = 6.0
#: A leak is one if subtraction takes this much off ...
FOUND_DB: Final = 1.5
#: ... in so many blocks, and this share of those in which the source dominates, when tried on
#: blocks that it was not learned from.
FOUND_BLOCKS: Final = 3
FOUND_SHARE: Final = 0.05
#: A leak is at least so much louder where its source speaks than where that is quietest; what
#: both channels carry all the time (a hum) is none.
CONTRAST_DB: Final = 8.0
#: A copy as loud as its source, at no delay, is one signal on both channels, not a leak.
COPY_DB: Final = -3.0
COPY_LAG_MS: Final = 2.0
#: No leak is estimated from less than this.
MIN_BLOCKS: Final = 6

_EARLY: Final = 320  # taps before the estimated lag
_LAGS: Final = SAMPLE_RATE_HZ * MAX_LAG_MS // 1000
_HEAD: Final = _LAGS + 2 * TAPS + BLOCK  # before each chunk: the longest lag, and both filters
_MOST: Final = 40  # chunks to estimate from, spread over the recording
_FOLD: Final = 3  # blocks in a stretch of either half
_EXACT_ROUNDS: Final = 2
_PRE_EMPHASIS: Final = 0.95
#: What undoes it in the spectrum of a block, within the speech band.
_LEVEL: Final = 1 / np.abs(np.fft.rfft([1, -_PRE_EMPHASIS], BLOCK)[BAND]) ** 2
_SPAN: Final = 30 * SAMPLE_RATE_HZ  # cleaned in one go
_ECHOES: Final = 3  # passes round both paths that are undone
#: ... with at most this gain at any frequency: no path is learned where nothing is said (below
#: 60 Hz), and a loop above 1 would ring on for ever.
LOUDEST_LOOP: Final = 0.9


@dataclass(frozen=True)
class Leak:
    """The path from one channel into the other.

    Attributes
    ----------
    level_db, lag_ms, depth_db : float
        See the module's conventions.
    taps : ndarray of float64, shape (n,)
        Filter; its first tap is `delay` samples late (early where negative).
    delay : int
    """

    level_db: float
    lag_ms: float
    depth_db: float
    taps: Floats
    delay: int


def find_leaks(user: Signal, model: Signal, model_at: int = 0) -> tuple[Leak | None, Leak | None]:
    """Leaks of a recording's two channels.

    Parameters
    ----------
    user, model : Signal
    model_at : int
        Sample of the user's channel at which the model's begins.

    Returns
    -------
    into_user, into_model : Leak or None
        None where there is none to be found.
    """
    pairs = _chunks(user, model, model_at)
    if not pairs:
        return None, None
    into_user = _find([(m, u) for u, m in pairs], rough=True)
    into_model = _find(pairs, rough=True)
    # Again, with each source freed of the target's leak into it: then it is heard more clearly
    # where the source speaks alone. Once more if that shows a leak for the first time.
    for _ in range(2):
        a, b = into_user, into_model
        if not (a or b):
            return None, None
        into_user = _find([(_less(m, u, b, a) if b else m, u) for u, m in pairs]) or a
        into_model = _find([(_less(u, m, a, b) if a else u, m) for u, m in pairs]) or b
        if (into_user is None, into_model is None) == (a is None, b is None):
            break
    if into_user and into_model and abs(into_user.lag_ms + into_model.lag_ms) < COPY_LAG_MS:
        # One likeness seen from both sides: its source is the louder channel. Two true paths
        # without delay differ from it in that neither gains.
        if into_user.level_db > COPY_DB:
            into_user = None
        if into_model.level_db > COPY_DB:
            into_model = None
    return into_user, into_model


def remove_leak(
    target: Signal, source: Signal, leak: Leak, back: Leak | None = None, source_at: int = 0
) -> tuple[Signal, NDArray[np.int16]]:
    """The target without the leak, and the envelope of what was taken off.

    Parameters
    ----------
    target, source : Signal
    leak : Leak
        From source into target.
    back : Leak, optional
        From target into source: subtraction of the source then also brings in the target's own
        echo, by both paths, which is removed too.
    source_at : int
        Sample of the target at which the source begins.

    Returns
    -------
    clean : Signal
        To be closed by the caller.
    leak_cdb : ndarray of int16
        Energy of what was taken off, every 10 ms, in hundredths of a dBFS, as measured by
        :func:`~flexi_score.audio.levels.measure_levels`.
    """
    taken = Signal(target.name)
    clean = Signal(target.name, target.counts)
    from_source, from_target = _separation(leak, back)
    with taken:
        for start in range(0, target.n_samples, _SPAN):
            stop = min(start + _SPAN, target.n_samples)
            own = _apply(target, from_target, start, stop)
            own += _apply(source, from_source, start - source_at, stop - source_at)
            clean.append(own.astype(np.float32))
            taken.append((target.read(start, stop) - own).astype(np.float32))
        return clean, measure_levels(taken).envelope_cdb


def _separation(leak: Leak, back: Leak | None) -> tuple[Filter, Filter]:
    """Filters of source and target whose sum is the target's own sound."""
    from_source = (-leak.taps, leak.delay)
    from_target = (np.ones(1), 0)
    if back is not None:
        # target - leak * source = own - leak * back * own: undone by the series 1 + g + g^2 ...
        loop = _bounded(_chain((leak.taps, leak.delay), (back.taps, back.delay)))
        series = power = loop
        for _ in range(_ECHOES - 1):
            power = _chain(power, loop)
            series = _plus(series, power)
        series = _plus((np.ones(1), 0), series)
        from_source, from_target = _chain(from_source, series), series
    return from_source, from_target


def _bounded(loop: Filter) -> Filter:
    """A filter with its gain held down where it is above ``LOUDEST_LOOP``."""
    taps, delay = loop
    size = 1 << int(np.ceil(np.log2(2 * len(taps))))
    spectrum = np.fft.rfft(taps, size)
    spectrum *= np.minimum(1, LOUDEST_LOOP / (np.abs(spectrum) + 1e-12))
    return np.fft.irfft(spectrum, size)[: len(taps)], delay


def _chain(a: Filter, b: Filter) -> Filter:
    """One filter after another."""
    return dsp.fftconvolve(a[0], b[0]), a[1] + b[1]


def _plus(a: Filter, b: Filter) -> Filter:
    """Two filters side by side."""
    first = min(a[1], b[1])
    out = np.zeros(max(len(f[0]) + f[1] for f in (a, b)) - first)
    for taps, delay in (a, b):
        out[delay - first : delay - first + len(taps)] += taps
    return out, first


def _apply(signal: Signal, filter_: Filter, start: int, stop: int) -> Floats:
    """Samples [start, stop) of a filtered signal."""
    taps, delay = filter_
    around = _read(signal, start - delay - len(taps) + 1, stop - delay)
    out: Floats = dsp.oaconvolve(around, taps, "valid")
    return out


def _read(signal: Signal, start: int, stop: int) -> Floats:
    """Samples [start, stop), zeros outside the signal."""
    out = np.zeros(stop - start)
    found = signal.read(max(start, 0), max(stop, 0))
    skip = max(-start, 0)
    out[skip : skip + len(found)] = found
    return out


def _chunks(user: Signal, model: Signal, model_at: int) -> list[tuple[Floats, Floats]]:
    """Stretches of both channels, spread evenly, with room for the longest lag before each."""
    n = min(user.n_samples, model.n_samples + model_at)
    count = n // CHUNK + (n % CHUNK >= CHUNK // 2)
    which = np.unique(np.linspace(0, max(count - 1, 0), min(max(count, 0), _MOST)).astype(int))
    pairs = []
    for k in which.tolist():
        start = k * CHUNK
        stop = start + CHUNK
        head = start - _HEAD
        both = [
            dsp.lfilter([1, -_PRE_EMPHASIS], [1], _read(s, head - at, stop - at))
            for s, at in ((user, 0), (model, model_at))
        ]
        pairs.append((both[0], both[1]))
    return pairs


def _less(target: Floats, source: Floats, leak: Leak, back: Leak | None) -> Floats:
    """A stretch of the target without the leak of the source."""
    from_source, from_target = _separation(leak, back)
    return _shifted(target, from_target) + _shifted(source, from_source)


def _shifted(x: Floats, filter_: Filter) -> Floats:
    """A filtered stretch, as long as it was; what lies outside is taken for zeros."""
    taps, delay = filter_
    whole = dsp.oaconvolve(x, taps)
    out = np.zeros(len(x))
    late, early = max(delay, 0), max(-delay, 0)
    found = whole[early : early + len(x) - late]
    out[late : late + len(found)] = found
    return out


def _find(pairs: list[tuple[Floats, Floats]], *, rough: bool = False) -> Leak | None:
    """Leak of the first of each pair into the second, roughly where a second look follows."""
    weights = _dominant([(x[-CHUNK:], y[-CHUNK:]) for x, y in pairs])
    if sum(int(w.sum()) for w in weights) < MIN_BLOCKS:
        return None
    lag = _lag(pairs, weights)
    if lag is None:
        return None
    delay = lag - _EARLY
    rows = [frames(x, y, delay) for x, y in pairs]
    before = np.concatenate([(y**2).mean(axis=1) for _, y in rows])
    used = np.concatenate(weights)
    # Every other stretch: what is learned from one half is tried on the other.
    half = np.cumsum(used) // _FOLD % 2
    removed = np.empty(len(used))
    for k in (0, 1):
        taps = first_estimate(rows, used & (half != k))
        removed[half == k] = removed_db(rows, taps)[half == k]
    found = np.count_nonzero(removed[used] >= FOUND_DB)
    if found < max(FOUND_BLOCKS, FOUND_SHARE * np.count_nonzero(used)):
        return None
    taps = least_squares(rows, used, first_estimate(rows, used), 1 if rough else _EXACT_ROUNDS)
    copy = [filtered(x, taps) for x, _ in rows]
    # A long room: the same again for the tail, in what the first filter leaves.
    late = [
        (frames(x, y, delay + TAPS)[0], row[1] - c)
        for (x, y), row, c in zip(pairs, rows, copy, strict=True)
    ]
    tail = np.zeros(TAPS) if rough else least_squares(late, used, np.zeros(TAPS), 1)
    copy = [c + filtered(x, tail) for (x, _), c in zip(late, copy, strict=True)]
    left = np.concatenate(
        [((y - c) ** 2).mean(axis=1) for (_, y), c in zip(rows, copy, strict=True)]
    )
    taps = np.concatenate([taps, tail])
    # Of what is left, the noise is no remainder of the leak; at least half is taken for one.
    remainder = np.maximum(left - np.quantile(left, 0.05), left / 2)
    taken = 10 * np.log10((before + 1e-20) / (remainder + 1e-20))
    source = np.concatenate([(x[:, TAPS:] ** 2).mean(axis=1) for x, _ in rows])
    leaked = np.concatenate([(c**2).mean(axis=1) for c in copy])
    if _contrast_db(copy, rows, used) < CONTRAST_DB:
        return None
    level_db = float(10 * np.log10(leaked[used].sum() / source[used].sum()))
    lag_ms = (delay + int(np.argmax(np.abs(taps)))) * 1000 / SAMPLE_RATE_HZ
    if not MIN_LAG_MS <= lag_ms <= MAX_LAG_MS or (level_db > COPY_DB and lag_ms < COPY_LAG_MS):
        return None
    # How well it works is read where the leak is loud: elsewhere noise hides it.
    loud = used & (leaked >= np.quantile(leaked[used], 0.5))
    depth_db = float(np.quantile(taken[loud], 0.7))
    return Leak(level_db, lag_ms, max(depth_db, 0.0), taps, delay)


def _contrast_db(
    copy: list[Floats], rows: list[tuple[Floats, Floats]], used: NDArray[np.bool_]
) -> float:
    """How much louder the leak is where the source speaks than where it is quietest."""
    leaked = np.concatenate([_speech_power(c) for c in copy])
    source = np.concatenate([_speech_power(x[:, TAPS:]) for x, _ in rows])
    rest = leaked[source <= np.quantile(source, 0.1)]
    return float(10 * np.log10((np.median(leaked[used]) + 1e-20) / (np.median(rest) + 1e-20)))


def _dominant(pairs: list[tuple[Floats, Floats]]) -> list[NDArray[np.bool_]]:
    """Blocks in which the source speaks and the target probably does not.

    The ratio of the two powers is highest there, whatever their levels: it is the leak's, or
    that of speech to noise.
    """
    power = [[_speech_power(s.reshape(-1, BLOCK)) for s in p] for p in pairs]
    x, y = (10 * np.log10(np.concatenate([p[k] for p in power])) for k in (0, 1))
    floor, top = np.quantile(x, 0.05), x.max()
    # In noise the speech stands less high over the quietest blocks.
    active = x >= floor + np.clip((top - floor) / 2, LEAST_ACTIVE_DB, ACTIVE_DB)
    active &= x >= top - 30.0
    if not active.any():
        return [np.zeros(len(p[0]), np.bool_) for p in power]
    talking = active | (y >= y.max() - 30.0)
    ratio = x - y
    low, high = np.quantile(ratio[talking], [0.05, 0.95])
    used = active & (ratio >= (low + high) / 2)
    return list(np.split(used, np.cumsum([len(p[0]) for p in power])[:-1]))


def _speech_power(blocks: Floats) -> Floats:
    """Power of each block within the speech band, with pre-emphasis undone."""
    spectrum = np.abs(np.fft.rfft(blocks)[:, BAND]) ** 2
    power: Floats = (spectrum * _LEVEL).sum(axis=1) / BLOCK**2 + 1e-13
    return power


def _lag(pairs: list[tuple[Floats, Floats]], used: list[NDArray[np.bool_]]) -> int | None:
    """Delay (samples) at which the target is most like the source, where the source dominates.

    Generalised cross-correlation with phase transform, block by block: a vowel's few strong lines
    then count no more than a fricative's many weak ones.
    """
    early = -MIN_LAG_MS * SAMPLE_RATE_HZ // 1000
    size = 1 << int(np.ceil(np.log2(_LAGS + early + 2 * BLOCK)))
    total = np.zeros(size // 2 + 1, np.complex128)
    for (x, y), blocks in zip(pairs, used, strict=True):
        first = len(y) - CHUNK
        for b in np.flatnonzero(blocks):
            start = first + b * BLOCK
            around = x[start - _LAGS : start + BLOCK + early]
            here = y[start : start + BLOCK]
            cross = np.fft.rfft(around, size) * np.conj(np.fft.rfft(here, size))
            height = np.abs(cross)
            total += cross / (height + 1e-3 * height.max() + 1e-30)
    likeness = np.fft.irfft(total, size)[: _LAGS + early]
    return _LAGS - int(np.argmax(np.abs(likeness)))
