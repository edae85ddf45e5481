"""What the audio of a recording says about how it was captured: numbers, no verdicts.

Verdicts are made when a recording is scored (:mod:`flexi_score.capture.gate`), from these
numbers and those of the channels, so a threshold can be changed on an archive. Everything here is
measured on at most 160 s, spread over the recording; dropouts alone are counted over all of it.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import scipy  # its modules are loaded when they are first used: that takes a second
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.signal import Signal
from flexi_score.schema import Row

Floats = NDArray[np.float64]

#: Version of these measurements: raise it with every change that may move a stored number.
HEALTH_VERSION: Final = 3
CHUNK_S: Final = 4
MAX_CHUNKS: Final = 40
#: A copy of a channel is looked for at lags up to this, on both sides.
COPY_LAG_MS: Final = 100
#: A frame holds one sound in both channels from this correlation on, at a lag of at most so much:
#: sound that goes through the air comes later. Of loud frames at least this share are such.
SAME_R: Final = 0.85
SAME_LAG_MS: Final = 1.0
SAME_SHARE: Final = 0.1
#: Crosstalk of one file in the other is looked for at lags up to this.
CROSSTALK_LAG_MS: Final = 1000
#: The likeness of two channels at one lag, over what chance makes of it at others.
CROSSTALK_SIGMAS: Final = 8.0
#: Lags that belong to one straight line lie this close to it.
LINE_MS: Final = 2.0
#: A drift is told from at least so many lags, over at least so long a time.
MIN_LAGS: Final = 4
MIN_SPAN_S: Final = 20.0
#: A band holds speech where it is this far below the strongest.
BAND_DB: Final = -40.0
BAND_HZ: Final = 250.0

_CHUNK: Final = CHUNK_S * SAMPLE_RATE_HZ
_FRAME: Final = 512
_BINS: Final = round(BAND_HZ * _FRAME / SAMPLE_RATE_HZ)
#: Frames that make up half a second: their level stands for that of speech.
_LOUDEST: Final = 16
_ACTIVE_DB: Final = -30.0
_PRE_EMPHASIS: Final = 0.95
_TINY: Final = 1e-20


def measure_health(user: Signal, model: Signal, *, paired: bool) -> Row:
    """:data:`flexi_score.archive.tables.HEALTH` without its key; None where not measurable.

    ``paired``: the channels come from two files, so that their clocks may differ.
    """
    starts, chunks = _chunks(user, model)
    row: Row = {}
    for name, signal, side in (("user", user, 0), ("model", model, 1)):
        frames = _frames([pair[side] for pair in chunks])
        power = (frames**2).mean(axis=1)
        level = float(np.sort(power)[-_LOUDEST:].mean()) if len(power) else 0.0
        count, total_ms = signal.counts.zeros.dropouts(10 * np.log10(level + _TINY))
        row[f"{name}_dropouts"] = count
        row[f"{name}_dropout_ms"] = total_ms
        # Of a constant channel, every sample is both the lowest and the highest.
        row[f"{name}_flat_share"] = min(signal.counts.n_extreme / max(signal.counts.n, 1), 1.0)
        row[f"{name}_band_hz"] = band_hz(frames[power > level * 10 ** (_ACTIVE_DB / 10)])
    row |= dict(zip(("copy_r", "copy_lag_ms", "copy_gain_db"), likeness(chunks), strict=True))
    row["mixed_db"] = mixed_db(chunks, row["copy_lag_ms"])
    names = ("lag_into_model_ms", "lag_into_user_ms", "drift_ppm", "drift_lags")
    lags = crosstalk_lags(starts, chunks) if paired else (None, None, None, 0)
    return row | dict(zip(names, lags, strict=True))


def band_hz(frames: Floats) -> float | None:
    """Upper edge (Hz) of the highest 250 Hz band with speech of frames (n, 512); None without."""
    if not len(frames):
        return None
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_FRAME))) ** 2
    bands = spectrum.mean(axis=0)[1:].reshape(-1, _BINS).mean(axis=1)
    if bands.max() <= 0:
        return None
    strong = np.flatnonzero(bands >= bands.max() * 10 ** (BAND_DB / 10))
    return float((strong[-1] + 1) * BAND_HZ)


def likeness(
    chunks: Sequence[tuple[Floats, Floats]],
) -> tuple[float | None, float | None, float | None]:
    """How alike two channels are at their best lag: correlation, lag (ms), gain (dB).

    The gain is that of the second channel against the first; the lag how much later it is. None
    where a channel has no sound.
    """
    reach = COPY_LAG_MS * SAMPLE_RATE_HZ // 1000
    size = scipy.fft.next_fast_len(_CHUNK + reach, real=True)
    cross = np.zeros(size // 2 + 1, np.complex128)
    first = second = 0.0
    for x, y in chunks:
        x, y = _flattened(x), _flattened(y)
        first += float(x @ x)
        second += float(y @ y)
        cross += np.conj(scipy.fft.rfft(x, size)) * scipy.fft.rfft(y, size)
    if min(first, second) <= _TINY:
        return None, None, None
    r = scipy.fft.irfft(cross, size) / np.sqrt(first * second)
    r = np.concatenate([r[-reach:], r[: reach + 1]])
    best = int(np.argmax(np.abs(r)))
    gain_db = 10 * float(np.log10(second / first))
    return float(r[best]), (best - reach) * 1000 / SAMPLE_RATE_HZ, gain_db


def mixed_db(chunks: Sequence[tuple[Floats, Floats]], lag_ms: float | None) -> float | None:
    """How loud one party is in the other's channel where it was mixed into both, in dB.

    Unlike crosstalk through the air, a mix is the same sound in both channels, without delay. 0 dB
    is one channel copied, or a channel that holds both parties; separate lines are some -20 dB or
    less apart, and None where they hold nothing in common.
    """
    if lag_ms is None or abs(lag_ms) > SAME_LAG_MS:
        return None
    late = round(lag_ms * SAMPLE_RATE_HZ / 1000)
    x, y = (
        _frames([np.roll(_flattened(c[k]), shift) for c in chunks])
        for k, shift in ((0, 0), (1, -late))
    )
    px, py, both = (x**2).sum(axis=1), (y**2).sum(axis=1), (x * y).sum(axis=1)
    loud = np.maximum(px, py) > np.maximum(px.max(), py.max()) * 10 ** (_ACTIVE_DB / 10)
    same = loud & (np.abs(both) >= SAME_R * np.sqrt(px * py)) & (np.minimum(px, py) > _TINY)
    difference_db = 10 * np.log10(py[same] / px[same])
    # Of the user's sound in the model's channel, and the other way round.
    levels = [d[d <= 0] for d in (difference_db, -difference_db)]
    least = SAME_SHARE * np.count_nonzero(loud)
    return max((float(np.median(d)) for d in levels if len(d) >= max(least, 1)), default=None)


def crosstalk_lags(
    starts: Sequence[int], chunks: Sequence[tuple[Floats, Floats]]
) -> tuple[float | None, float | None, float | None, int]:
    """Lags (ms) at which each of two files is heard in the other, and how they drift apart.

    Where one party alone speaks and is heard in the other's file, the lag of that crosstalk is that
    of its path, never negative, plus the misalignment of the files. Also how fast the model's clock
    runs against the user's (positive: slow), and from how many lags that was measured.
    """
    when = np.array(starts, np.float64) / SAMPLE_RATE_HZ + CHUNK_S / 2
    loud = np.array([[float(c @ c) for c in pair] for pair in chunks]).reshape(-1, 2)
    lag = np.array([_crosstalk_lag(x, y) for x, y in chunks])
    lines = []
    for side, sign in ((0, 1.0), (1, -1.0)):
        # The louder channel is the source; with equal ones nobody can tell.
        louder = (loud[:, side] > 2 * loud[:, 1 - side]) & ~np.isnan(lag)
        lines.append(_line(when[louder], sign * lag[louder]))
    middle = float(when.mean()) if len(when) else 0.0
    at = [None if line is None else line[0] + line[1] * middle for line in lines]
    best = max(
        (line for line in lines if line is not None and line[3] >= MIN_SPAN_S),
        key=lambda line: line[2],
        default=None,
    )
    if best is None:
        return at[0], at[1], None, 0
    sign = 1.0 if best is lines[0] else -1.0
    return at[0], at[1], sign * best[1] * 1000, int(best[2])


def _line(when: Floats, lag: Floats) -> tuple[float, float, int, float] | None:
    """Straight line (Theil-Sen) through lags: at 0 s, slope (ms/s), how many on it, over how long.

    None where fewer than ``MIN_LAGS``, or fewer than 60 % of the lags, lie on one.
    """
    if len(lag) < MIN_LAGS:
        return None
    i, j = np.triu_indices(len(lag), 1)
    slope = float(np.median((lag[j] - lag[i]) / (when[j] - when[i])))
    base = float(np.median(lag - slope * when))
    near = np.abs(lag - base - slope * when) <= LINE_MS
    if near.sum() < max(MIN_LAGS, 0.6 * len(lag)):
        return None
    slope, base = (float(v) for v in np.polyfit(when[near], lag[near], 1))
    return base, slope, int(near.sum()), float(np.ptp(when[near]))


def _crosstalk_lag(x: Floats, y: Floats) -> float:
    """Lag of the second behind the first (ms) by phase transform; NaN where there is none."""
    reach = CROSSTALK_LAG_MS * SAMPLE_RATE_HZ // 1000
    size = scipy.fft.next_fast_len(_CHUNK + reach, real=True)
    cross = np.conj(scipy.fft.rfft(_flattened(x), size)) * scipy.fft.rfft(_flattened(y), size)
    size_of = np.abs(cross)
    if size_of.max() <= _TINY:
        return float("nan")
    r = scipy.fft.irfft(cross / (size_of + 1e-3 * size_of.max()), size)
    r = np.concatenate([r[-reach:], r[: reach + 1]])
    best = int(np.argmax(np.abs(r)))
    if abs(r[best]) < CROSSTALK_SIGMAS * float(np.std(r)):
        return float("nan")
    return (best - reach) * 1000 / SAMPLE_RATE_HZ


def _flattened(x: Floats) -> Floats:
    """Without offset and hum, which any two channels may share."""
    out: Floats = scipy.signal.lfilter([1, -_PRE_EMPHASIS], [1], x - x.mean())
    out[0] = 0.0
    return out


def _frames(chunks: Sequence[Floats]) -> Floats:
    whole = [c[: len(c) // _FRAME * _FRAME].reshape(-1, _FRAME) for c in chunks]
    return np.concatenate(whole) if whole else np.empty((0, _FRAME))


def _chunks(user: Signal, model: Signal) -> tuple[list[int], list[tuple[Floats, Floats]]]:
    """Stretches of both channels, spread evenly; the shorter channel goes on in silence."""
    n = max(user.n_samples, model.n_samples)
    count = min(max(-(-n // _CHUNK), 1), MAX_CHUNKS)
    last = max(n - _CHUNK, 0)
    starts = [round(k * last / max(count - 1, 1)) for k in range(count)]
    if n <= MAX_CHUNKS * _CHUNK:  # all of it, the last chunk padded
        starts = [k * _CHUNK for k in range(count)]
    return starts, [(_padded(user, start), _padded(model, start)) for start in starts]


def _padded(signal: Signal, start: int) -> Floats:
    out = np.zeros(_CHUNK)
    samples = signal.read(start, start + _CHUNK)
    out[: len(samples)] = samples
    return out
