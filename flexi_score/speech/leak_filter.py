"""The filter from one channel into another, by weighted least squares.

Conventions
-----------
A *chunk* is a stretch of both channels, cut into *blocks*. ``rows`` holds for each chunk the
blocks of the source, shape (b, TAPS + BLOCK), which begin a filter's reach early, and those of
the target, shape (b, BLOCK). ``used`` says which of all blocks to learn from.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from flexi_score.audio.decode import SAMPLE_RATE_HZ

Floats = NDArray[np.float64]

BLOCK: Final = 2048
#: Length of a filter.
TAPS: Final = 1760
CHUNK: Final = 32 * BLOCK  # 4 s: estimated from so much at a time

_ROUNDS: Final = 3
#: Bins of a block's spectrum in which a leak shows on every line.
BAND: Final = slice(300 * BLOCK // SAMPLE_RATE_HZ, 3400 * BLOCK // SAMPLE_RATE_HZ)


def frames(x: Floats, y: Floats, delay: int) -> tuple[Floats, Floats]:
    """Blocks of the target, and of the delayed source with the taps' reach before each."""
    n = CHUNK // BLOCK
    base = len(y) - CHUNK
    padded = np.concatenate([x, np.zeros(max(-delay, 0))])
    starts = base - delay - TAPS + BLOCK * np.arange(n)
    blocks = padded[starts[:, None] + np.arange(TAPS + BLOCK)]
    return blocks, y[base:].reshape(n, BLOCK)


def first_estimate(rows: list[tuple[Floats, Floats]], used: NDArray[np.bool_]) -> Floats:
    """Filter that explains the target best, blocks with much of its own counting less."""
    size = TAPS + BLOCK
    parts = np.split(used, np.cumsum([len(y) for _, y in rows])[:-1])
    spectra = []
    for (x, y), mask in zip(rows, parts, strict=True):
        around = np.fft.rfft(x[mask])
        spectra.append(
            (around, around.conj() * _tail(x[mask, TAPS:]), around.conj() * _tail(y[mask]))
        )
    least = _least(np.concatenate([y for _, y in rows])[used])
    taps = np.zeros(TAPS)
    for _ in range(_ROUNDS):
        auto = np.zeros(size // 2 + 1, np.complex128)
        cross = np.zeros_like(auto)
        for (around, own, other), (_, y), mask in zip(spectra, rows, parts, strict=True):
            copy = np.fft.irfft(around * np.fft.rfft(taps, size), size)[:, TAPS:]
            weight = 1 / (((y[mask] - copy) ** 2).mean(axis=1) + least)
            auto += weight @ own
            cross += weight @ other
        r = np.fft.irfft(auto, size)[:TAPS]
        p = np.fft.irfft(cross, size)[:TAPS]
        r[0] *= 1 + 1e-4
        taps = linalg.solve_toeplitz(r, p)
    return np.asarray(taps, np.float64)


def least_squares(
    rows: list[tuple[Floats, Floats]], used: NDArray[np.bool_], taps: Floats, rounds: int
) -> Floats:
    """The filter by exact weighted least squares, from a first estimate.

    Neighbouring entries along a diagonal of the normal matrix differ only by what enters and
    leaves at the blocks' edges, so it is summed up along its diagonals from its first row.
    """
    x = np.concatenate([x for x, _ in rows])[used]
    y = np.concatenate([y for _, y in rows])[used]
    size = x.shape[1]
    around = np.fft.rfft(x)
    here, there = _tail(x[:, TAPS:]), _tail(y)
    # Row b: the samples one before the block (it enters), and its last ones (it leaves).
    enters, leaves = x[:, TAPS - 1 :: -1], x[:, size - 1 : size - 1 - TAPS : -1]
    least = _least(y)
    for _ in range(rounds):
        weight = 1 / (((y - filtered(x, taps)) ** 2).mean(axis=1) + least)
        weight /= weight.max()
        first = np.fft.irfft(weight @ (np.conj(around) * here), size)[:TAPS]
        right = np.fft.irfft(weight @ (np.conj(around) * there), size)[:TAPS]
        steps = (enters * weight[:, None]).T @ enters - (leaves * weight[:, None]).T @ leaves
        normal = np.empty((TAPS, TAPS))
        normal[0], normal[:, 0] = first, first
        for k in range(1, TAPS):
            normal[k, 1:] = normal[k - 1, :-1] + steps[k - 1, :-1]
        normal[np.diag_indices(TAPS)] += 1e-6 * first[0]
        taps = linalg.solve(normal, right, assume_a="pos")
    return np.asarray(taps, np.float64)


def _least(y: Floats) -> float:
    """Power below which a block's residual does not make it count for more: a line that codes
    silence as zeros would otherwise teach that there is no leak."""
    return float(1e-3 * np.median((y**2).mean(axis=1)) + 1e-14)


def _tail(blocks: Floats) -> NDArray[np.complex128]:
    """Spectra of blocks with as many zeros before them as there are taps."""
    return np.fft.rfft(np.pad(blocks, ((0, 0), (TAPS, 0))))


def filtered(x: Floats, taps: Floats) -> Floats:
    """What the filter makes of each block."""
    size = x.shape[1]
    spectrum = np.fft.rfft(x) * np.fft.rfft(taps, size)
    copy: Floats = np.fft.irfft(spectrum, size)[:, TAPS:]
    return copy


def removed_db(rows: list[tuple[Floats, Floats]], taps: Floats) -> Floats:
    """What subtraction takes off each block, in the mean over the speech band's bins, dB.

    Of levels, not of power: a hum that both channels carry fills few bins, speech nearly all.
    """
    parts = []
    for x, y in rows:
        after = y - filtered(x, taps)
        powers = [np.abs(np.fft.rfft(b)[:, BAND]) ** 2 + 1e-16 for b in (y, after)]
        parts.append(10 * np.log10(powers[0] / powers[1]).mean(axis=1))
    return np.concatenate(parts)
