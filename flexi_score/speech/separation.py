"""Two channels without what each holds of the other, by filters in sub-bands.

To sub-bands of 8 Hz the path from one channel into the other is a filter of a few taps. Its taps
are those that explain most of the channel where its own sound is weak. Speech is sparse in time
and frequency, so there are such places also where both parties speak at once. Each channel is in
turn the source of the other, as far as it has been separated. What is left is then held down in
short frames, which keep the boundaries of speech sharp.

Conventions
-----------
Spectra have shape (bins, frames), with root-Hann frames that overlap by half. Frame j lies around
sample (j + 1) * size / 2. Samples are those of both channels' common time.

Sources
-------
Talmon, Cohen, Gannot: Relative transfer function identification using convolutive transfer
function approximation (2009): a filter of several taps in each sub-band.
Nakatani et al.: Speech dereverberation based on variance-normalized delayed linear prediction
(2010): least squares in which each time and frequency counts by the inverse of its own power.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import scipy  # its modules are loaded when they are first used: that takes a second
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ
from flexi_score.audio.signal import Signal

Floats = NDArray[np.float32]
Spectra = NDArray[np.complex64]

#: Band of speech on any line.
BAND_HZ: Final = (300, 3400)
#: Samples of a frame, and from one to the next.
FRAME: Final = 2048
HOP: Final = FRAME // 2
#: Frames that a filter is long (256 ms). Its first tap is one frame before the delay.
TAPS: Final = 4
#: Frames separated at once (33 s), each time with what was learned before at this weight.
SPAN: Final = 512
MEMORY: Final = 0.5
#: Rounds in which own power, and with it the filters, are estimated anew.
ROUNDS: Final = 3
#: A channel's own power is taken for at least this share of its mean in the sub-band.
LEAST_OWN: Final = 1e-2
#: Ridge, against the mean of the normal matrix's diagonal.
RIDGE: Final = 1e-3

#: What is left is held down in frames of 32 ms. It is taken for a share of the crosstalk, at most
#: this one, that is seen in the frames that hold least of anything else (a quantile) ...
SHORT: Final = 512
MOST_LEFT: Final = 0.1
LEFT_QUANTILE: Final = 0.2
#: ... while the crosstalk's frames ring on at this rate (7 dB in 256 ms) ...
RINGING: Final = 0.9
#: ... and bins are weighed against it so many times over, and whole frames so many times.
OVER: Final = 30.0
CLEAR: Final = 6.0
#: Frames this far below the channel's mean hold digital silence: they teach nothing.
SILENT: Final = 1e-7
#: Frames of less than this share of the crosstalk expected in them were gated.
GATED: Final = 0.1
#: Frames count where the source is within this of its loudest one.
ACTIVE: Final = 0.01
TINY: Final = 1e-12


class Span(NamedTuple):
    """A stretch of both channels, separated.

    Attributes
    ----------
    start : int
        First sample, from that at which the user's channel begins.
    samples : list of ndarray of float32
        Of the user's and the model's channel; empty where nothing was to be removed.
    powers : list of ndarray of float32, shape (4, hops)
        Of both channels by hops of 64 ms, within the speech band: of the source, of the channel,
        of its own sound and of the crosstalk.
    drops_db : list of ndarray of float32, shape (hops,)
        What separation takes off the level of each bin, in the mean.
    """

    start: int
    samples: list[Floats]
    powers: list[Floats]
    drops_db: list[Floats]


def separate_spans(
    signals: tuple[Signal, Signal], at: tuple[int, int], lags: tuple[int | None, int | None]
) -> Iterator[Span]:
    """Separate two channels, span by span.

    Parameters
    ----------
    signals : tuple of Signal
        The user's and the model's.
    at : tuple of int
        Sample at which each begins.
    lags : tuple of int or None
        Samples by which the other channel is late in each; None: nothing is removed from it.
    """
    first = min(at)
    stop = max(s.n_samples + a for s, a in zip(signals, at, strict=True))
    # Frames before and after a span, for the filters' reach.
    pad = TAPS + 1 + max(abs(lag) for lag in lags if lag is not None) // HOP
    memory: list[tuple[Spectra, Spectra] | None] = [None, None]
    for start in range(first, stop, SPAN * HOP):
        count = min(SPAN, -(-(stop - start) // HOP))
        head, size = start - (pad + 1) * HOP, (count + 2 * pad + 2) * HOP
        mixed = [
            analyse(read_padded(s, head - a, head - a + size))
            for s, a in zip(signals, at, strict=True)
        ]
        own, learned = list(mixed), list(memory)
        for _ in range(ROUNDS):
            for k in (0, 1):
                if (lag := lags[k]) is not None:
                    source = _delayed(own[1 - k], lag)
                    crosstalk, learned[k] = _explain(mixed[k], own[k], source, memory[k])
                    own[k] = mixed[k] - crosstalk
        memory = learned
        cut = slice(pad * HOP, (pad + count) * HOP)
        samples = [
            np.zeros(0, np.float32)
            if lags[k] is None
            else _suppress(synthesise(own[k]), synthesise(mixed[k]))[cut]
            for k in (0, 1)
        ]
        # A hop lies between the middles of two frames.
        inner = slice(pad, pad + count + 1)
        mixed, own = ([s[_band(FRAME), inner] for s in both] for both in (mixed, own))
        pairs = [(own[1 - k], mixed[k], own[k]) for k in (0, 1)]
        yield Span(
            start, samples, [_powers(*pair) for pair in pairs], [_drop_db(*p[1:]) for p in pairs]
        )


def _explain(
    mixed: Spectra, own: Spectra, source: Spectra, memory: tuple[Spectra, Spectra] | None
) -> tuple[Spectra, tuple[Spectra, Spectra]]:
    """What the source explains of a channel, and the normal equations of that.

    Parameters
    ----------
    mixed, own : ndarray of complex64, shape (bins, frames)
        The channel, and what is its own by the round before.
    source : ndarray of complex64, shape (bins, frames)
        Delayed.
    memory : tuple of ndarray, optional
        Normal equations of the spans before.
    """
    padded = np.pad(source, ((0, 0), (TAPS - 2, 1)))
    taps, conjugates = (
        np.lib.stride_tricks.sliding_window_view(p, mixed.shape[1], axis=1)
        for p in (padded, padded.conj())
    )  # (bins, TAPS, frames)
    taps = np.ascontiguousarray(taps)
    power = np.pad(_power(own), ((0, 0), (1, 1)))
    around = (power[:, :-2] + power[:, 1:-1] + power[:, 2:]) / 3
    weight = 1 / (around + LEAST_OWN * _power(mixed).mean(axis=1, keepdims=True) + TINY)
    frame = _power(mixed).mean(axis=0)
    weight = weight * (frame > SILENT * frame.mean())
    weighted = conjugates * weight[:, None]
    normal = weighted @ taps.transpose(0, 2, 1)
    right = weighted @ mixed[:, :, None]
    if memory is not None:
        normal, right = normal + MEMORY * memory[0], right + MEMORY * memory[1]
    level = np.trace(normal, axis1=1, axis2=2).real / TAPS
    # Never singular, whatever the channels hold.
    ridge = (RIDGE * level + TINY)[:, None, None] * np.eye(TAPS, dtype=np.float32)
    filters = np.linalg.solve(normal + ridge, right)
    explained: Spectra = (filters.transpose(0, 2, 1) @ taps)[:, 0]
    return explained, (normal, right)


def _suppress(own: Floats, mixed: Floats) -> Floats:
    """Own sound with what separation left of the crosstalk held down, by Wiener gains.

    A line that sends zeros in pauses carries no crosstalk there: it stays as it is.
    """
    spectra, before = analyse(own, SHORT), analyse(mixed, SHORT)
    left, removed = _power(spectra), _power(before - spectra)
    gated = _power(before).sum(axis=0) < GATED * removed.sum(axis=0)
    removed = scipy.signal.lfilter([1 - RINGING], [1, -RINGING], removed, axis=1).astype(np.float32)
    by_frame = removed[_band(SHORT)].sum(axis=0)
    active = by_frame > max(by_frame.max() * ACTIVE, TINY)
    gain = np.ones_like(left)
    if active.any():
        ratio = np.clip(left[_band(SHORT)].sum(axis=0) / (by_frame + TINY), 1e-6, 1e6)
        share = min(float(np.quantile(ratio[active], LEFT_QUANTILE)), MOST_LEFT)
        gain = left / (left + OVER * share * removed + TINY)
        gain *= ratio**2 / (ratio**2 + (CLEAR * share) ** 2)
    return np.pad(synthesise(np.where(gated, before, spectra * gain)), SHORT // 2)


def _powers(source: Spectra, mixed: Spectra, own: Spectra) -> Floats:
    powers = np.stack([_power(s).sum(axis=0) for s in (source, mixed, own, mixed - own)])
    hops: Floats = (powers[:, :-1] + powers[:, 1:]) / 2
    return hops


def _drop_db(mixed: Spectra, own: Spectra) -> Floats:
    drop = 10 * np.log10((_power(mixed) + TINY) / (_power(own) + TINY)).mean(axis=0)
    hops: Floats = (drop[:-1] + drop[1:]) / 2
    return hops


def _delayed(spectra: Spectra, lag: int) -> Spectra:
    """Spectra of the same samples, so much later; beyond the span there is nothing."""
    samples = np.pad(synthesise(np.pad(spectra, ((0, 0), (1, 1)))), abs(lag))
    return analyse(samples[abs(lag) - lag :][: (spectra.shape[1] + 1) * HOP])


def analyse(samples: Floats, size: int = FRAME) -> Spectra:
    """Spectra of samples, shape (size / 2 + 1, 2 len(samples) / size - 1)."""
    framed = np.lib.stride_tricks.sliding_window_view(samples, size)[:: size // 2]
    return np.ascontiguousarray(scipy.fft.rfft(framed * _window(size), axis=1).T)


def synthesise(spectra: Spectra) -> Floats:
    """Samples between the middles of the first and the last frame."""
    size = 2 * (len(spectra) - 1)
    framed = scipy.fft.irfft(spectra.T, size, axis=1) * _window(size)
    samples: Floats = (framed[:-1, size // 2 :] + framed[1:, : size // 2]).ravel()
    return samples


def read_padded(signal: Signal, start: int, stop: int) -> Floats:
    """Samples [start, stop), zeros outside the signal."""
    out = np.zeros(stop - start, np.float32)
    samples = signal.read(start, stop) if stop > 0 else out[:0]
    skip = max(-start, 0)
    out[skip : skip + len(samples)] = samples
    return out


def _window(size: int) -> Floats:
    window: Floats = np.sqrt(np.hanning(size + 1)[:-1]).astype(np.float32)
    return window


def _band(size: int) -> slice:
    return slice(*(hz * size // SAMPLE_RATE_HZ for hz in BAND_HZ))


def _power(spectra: Spectra) -> Floats:
    power: Floats = spectra.real**2 + spectra.imag**2
    return power
