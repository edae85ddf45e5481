"""Two groups of speaker embeddings: which stretches of speech are the same voice.

Spherical k-means with two middles, started from several unlike pairs, with one thing that is
known beside the embeddings: the local speakers of one window of the segmentation network are
different voices, unless they sound the same.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

#: From this much on it is trusted to tell whether a second voice is there.
_SURE_FRAMES: Final = 100
#: How much the other stretches of its local speaker count for a stretch, beside its own.
_LOYALTY: Final = 0.5
#: Local speakers of one window more alike than this may be one voice.
_ALIKE: Final = 0.6
#: Two groups of stretches are one voice if these are more alike than this between the groups, in
#: the mean. In two-party calls of real and of synthetic voices it was up to 0.53; between halves
#: of one voice 0.58 and more (synthetic), 0.51 to 0.66 (telephone). A call has two parties, so the
#: doubtful is two.
_ONE_VOICE: Final = 0.55
#: A stretch counts by its length, up to this much (10 ms frames).
_FULL_FRAMES: Final = 150
_ROUNDS: Final = 20
_STARTS: Final = 8


def match_voices(window: Ints, column: Ints, length: Ints, vectors: Floats) -> Ints:
    """Which of two voices (0, 1) talks in each stretch; all 0 where there is no second voice.

    ``window`` and ``column``: the local speaker, ascending. ``length``: 10 ms frames that the
    embedding is made of. ``vectors``: of unit length; zeros where there is none.
    """
    one = np.zeros(len(window), np.int64)
    weight = np.where(vectors.any(axis=1), np.sqrt(length), 0.0)
    sure = np.flatnonzero((weight > 0) & (length >= _SURE_FRAMES))
    if len(sure) < 2:
        sure = np.flatnonzero(weight > 0)
    if len(sure) < 2:
        return one
    speaker = np.cumsum((np.diff(window, prepend=-1) != 0) | (np.diff(column, prepend=-1) != 0)) - 1
    best, middles = -np.inf, None
    for a, b in _starts(vectors[sure], weight[sure]):
        score, settled = _settle(window, speaker, weight, vectors, vectors[sure[[a, b]]])
        if score > best:
            best, middles = score, settled
    if middles is None:
        return one
    voice, _ = _assign(window, speaker, weight, vectors, middles)
    return voice if _are_two(window, speaker, length, vectors, voice) else one


def _are_two(window: Ints, speaker: Ints, length: Ints, vectors: Floats, voice: Ints) -> bool:
    """Whether two groups of stretches are two voices, and not one parted by chance.

    Where both have long stretches, these must be unlike between the groups. Where one has short
    ones only (backchannels), an embedding says little; then it is a voice if most of it comes
    from local speakers that the network itself kept apart from the other group's.
    """
    usable = vectors.any(axis=1)
    long = usable & (length >= _SURE_FRAMES)
    if all((long & (voice == k)).any() for k in (0, 1)):
        sums = []
        for k in (0, 1):
            w = np.where(long & (voice == k), np.minimum(length, _FULL_FRAMES), 0)
            sums.append((vectors * w[:, None]).sum(axis=0) / w.sum())
        return bool(sums[0] @ sums[1] <= _ONE_VOICE)
    few = int(not (long & (voice == 1)).any())
    few = few if (voice == few).any() else 1 - few
    sparse = usable & (voice == few)
    apart = (
        sparse & ~np.isin(speaker, speaker[voice != few]) & np.isin(window, window[voice != few])
    )
    return bool(2 * length[apart].sum() > length[sparse].sum())


def _starts(vectors: Floats, weight: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs of unlike embeddings to start from: long ones, each with the one least like it."""
    order = np.argsort(-weight, kind="stable")[:_STARTS]
    return [(int(a), int(np.argmin(vectors @ vectors[a]))) for a in order]


def _settle(
    window: Ints, speaker: Ints, weight: NDArray[np.float64], vectors: Floats, middles: Floats
) -> tuple[float, Floats]:
    """Move two middles to where what is assigned to them lies, until that stands still."""
    score = -np.inf
    voice: Ints | None = None
    for _ in range(_ROUNDS):
        now, gained = _assign(window, speaker, weight, vectors, middles)
        if voice is not None and np.array_equal(now, voice):
            break
        voice, score = now, gained
        sums = [(vectors * (weight * (now == k))[:, None]).sum(axis=0) for k in (0, 1)]
        sizes = [float(np.linalg.norm(total)) for total in sums]
        if min(sizes) == 0:
            break
        middles = np.stack([t / s for t, s in zip(sums, sizes, strict=True)]).astype(np.float32)
    return score, middles


def _assign(
    window: Ints, speaker: Ints, weight: NDArray[np.float64], vectors: Floats, middles: Floats
) -> tuple[Ints, float]:
    """The voice of each stretch, and how well the whole fits.

    A stretch goes to the nearer middle, by its own embedding and by those of the same local
    speaker. The two local speakers who talk most in a window are two voices, unless they sound
    the same.
    """
    if not len(window):
        return np.empty(0, np.int64), 0.0
    likeness = (vectors @ middles.T).astype(np.float64)
    n = int(speaker[-1]) + 1
    gain = weight * (likeness[:, 1] - likeness[:, 0])
    total = np.bincount(speaker, weight, n)
    drift = np.bincount(speaker, gain, n)
    mean = drift / np.maximum(total, 1e-9)
    own = likeness[:, 1] - likeness[:, 0]
    voice = (own + _LOYALTY * mean[speaker] > 0).astype(np.int64)
    heads = np.flatnonzero(np.diff(speaker, prepend=-1))
    home = window[heads]
    for w in np.flatnonzero(np.bincount(home) > 1):
        inside = np.flatnonzero(home == w)
        a, b = inside[np.argsort(-total[inside], kind="stable")[:2]]
        same = drift[a] * drift[b] > 0 or min(total[a], total[b]) == 0
        if same and _alike(vectors, weight, speaker, int(a), int(b)) < _ALIKE:
            weak, strong = (a, b) if abs(drift[a]) < abs(drift[b]) else (b, a)
            voice[speaker == weak] = int(drift[strong] < 0)
    rows = np.arange(len(voice))
    return voice, float((weight * likeness[rows, voice]).sum())


def _alike(vectors: Floats, weight: NDArray[np.float64], speaker: Ints, a: int, b: int) -> float:
    """Cosine between the mean embeddings of two local speakers; 0 where one has none."""
    means = [(vectors * (weight * (speaker == k))[:, None]).sum(axis=0) for k in (a, b)]
    size = float(np.linalg.norm(means[0]) * np.linalg.norm(means[1]))
    return float(means[0] @ means[1]) / size if size else 0.0
