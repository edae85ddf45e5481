"""One channel with two voices in it, parted into two roles: an estimate, and marked as one.

Sliding windows of the segmentation network say when each of a few local speakers talks
(:mod:`flexi_score.extraction.pyannet`); an embedding of what each says alone
(:mod:`flexi_score.extraction.campplus`) tells which local speakers are the same voice. Two voices
are looked for: the embeddings are parted into two groups, the speakers of one window into
different ones unless they sound the same. Where both talk at once, both have speech. Where only
one voice is found, the other role is silent.

Which voice is the user is not in the signal. It is decided by a stated rule
(``extract.mono_roles``), which every result carries in its signature.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.signal import Signal
from flexi_score.extraction.campplus import FRAME_SAMPLES, Embedder, embed, load_embedder, log_mel
from flexi_score.extraction.pyannet import (
    CENTRE,
    SEGMENTATION,
    STEP,
    Segmenter,
    average,
    load_segmenter,
    slide,
    to_grid,
)
from flexi_score.extraction.voices import match_voices
from flexi_score.schema import SPEAKERS, Speaker

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Quantised = NDArray[np.uint16]
RoleRule = Literal["first_is_user", "first_is_model", "longest_is_model"]

#: Bumped when the same weights would give other roles.
_VERSION: Final = 1
_CELL: Final = 512  # samples a frame of the archive
_HOP: Final = 148  # frames from window to window: 2.5 s
_ACTIVE: Final = 0.5
#: A local speaker is cut where it pauses for so many frames, and into pieces of about so many.
_PAUSE: Final = 6
_CHUNK: Final = 118
#: An embedding is taken from this much of one voice alone, wrapped around where there is less.
_EMBED_FRAMES: Final = 150
_LEAST_FRAMES: Final = 20
#: A run of speech shorter than this does not decide who came first.
_FIRST_CELLS: Final = 6


@dataclass(frozen=True)
class Diarizer:
    """What parts a channel into two voices."""

    version: str  # for people, as ``pyannote-segmentation-3.0+CAM++``
    sha256: str  # of the weights, and of the way in which they are used
    #: segmenter, embedder: loaded networks
    segmenter: Segmenter
    embedder: Embedder


@dataclass(frozen=True)
class _Chunks:
    """Stretches in which one local speaker talks, one entry each, ordered by window and column."""

    #: window, column: shape (n,): which local speaker of which window
    window: Ints
    column: Ints
    #: first, last: shape (n,): its first and last frame, counted from the start of the window
    first: Ints
    last: Ints
    length: Ints  # shape (n,): 10 ms frames in which nobody else talks
    #: shape (n, 192): embedding of those, of unit length; zeros where there are too few
    vectors: Floats


def two_voices(diarizer: Diarizer, signal: Signal, gain_db: float) -> Floats:
    """Probability that each of two voices talks, shape (ceil(n_samples / 512), 2).

    The second column is zero where only one voice is found.
    """
    firsts: list[int] = []
    parts: list[NDArray[np.float16]] = []
    stretches: list[tuple[int, int, int, int, int]] = []
    vectors: list[Floats] = []
    for first, probabilities in slide(diarizer.segmenter, signal, gain_db, _HOP):
        activity = probabilities[:, 1:]
        cut, spectra = _cut(signal, first, activity, gain_db)
        stretches += [(len(parts), *chunk) for chunk in cut]
        vectors.append(_embedded(diarizer.embedder, spectra))
        firsts.append(first)
        parts.append(activity.astype(np.float16))
    table = np.array(stretches, np.int64).reshape(-1, 5)
    window, column, lo, hi, length = table.T
    chunks = _Chunks(window, column, lo, hi, length, np.concatenate(vectors))
    voice = match_voices(chunks.window, chunks.column, chunks.length, chunks.vectors)
    track = average(_parted(firsts, parts, chunks, voice), signal.n_samples)
    return np.stack([to_grid(track[:, k], signal.n_samples, _CELL) for k in (0, 1)], axis=1)


def _cut(
    signal: Signal, first: int, activity: Floats, gain_db: float
) -> tuple[list[tuple[int, int, int, int]], list[Floats]]:
    """Stretches of a window's speakers (column, first, last, length), and what each sounds like.

    The network may take two like voices for one; between them there is mostly a pause, so a local
    speaker is cut at its pauses, and each stretch is heard on its own.
    """
    on = activity > _ACTIVE
    start = first * STEP
    samples = signal.read(start, start + 2 * CENTRE + len(activity) * STEP)
    spectrum = log_mel(samples * np.float32(10 ** (gain_db / 20)))
    middle = FRAME_SAMPLES * np.arange(len(spectrum)) + 200
    at = np.clip(np.rint((middle - CENTRE) / STEP).astype(int), 0, len(activity) - 1)
    frame = np.arange(len(on))
    chunks, spectra = [], []
    for column in range(activity.shape[1]):
        alone = on[:, column] & (on.sum(axis=1) == 1)
        for lo, hi in _runs(on[:, column]):
            inside = (frame >= lo) & (frame <= hi)
            rows = spectrum[(alone & inside)[at]]
            chunks.append((column, lo, hi, len(rows)))
            spectra.append(rows)
    return chunks, spectra


def _runs(on: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last frame of each stretch; long ones are halved, short pauses do not part."""
    edges = np.flatnonzero(np.diff(on.astype(np.int8), prepend=0, append=0))
    begin, end = edges[::2], edges[1::2]
    apart = np.flatnonzero(begin[1:] - end[:-1] >= _PAUSE)
    begin = begin[np.concatenate([[0], apart + 1])] if len(begin) else begin
    end = end[np.concatenate([apart, [len(end) - 1]])] if len(end) else end
    runs = []
    for lo, hi in zip(begin.tolist(), end.tolist(), strict=True):
        n = max(1, round((hi - lo) / _CHUNK))
        runs += [(lo + (hi - lo) * i // n, lo + (hi - lo) * (i + 1) // n - 1) for i in range(n)]
    return runs


def _embedded(embedder: Embedder, spectra: list[Floats]) -> Floats:
    vectors = np.zeros((len(spectra), 192), np.float32)
    long = [i for i, rows in enumerate(spectra) if len(rows) >= _LEAST_FRAMES]
    wrapped = [np.resize(spectra[i], (_EMBED_FRAMES, spectra[i].shape[1])) for i in long]
    vectors[long] = embed(embedder, wrapped)
    return vectors


def _parted(
    firsts: list[int], parts: list[NDArray[np.float16]], chunks: _Chunks, voice: Ints
) -> Iterator[tuple[int, Floats]]:
    """Each window's activity by voice instead of by local speaker."""
    bounds = np.searchsorted(chunks.window, np.arange(len(parts) + 1))
    for w, (first, part) in enumerate(zip(firsts, parts, strict=True)):
        by_voice = np.zeros((len(part), 2), np.float32)
        inside = np.arange(bounds[w], bounds[w + 1])
        for column in np.unique(chunks.column[inside]):
            chosen = inside[chunks.column[inside] == column]
            # A frame between two stretches belongs to the nearer one.
            turn = (chunks.last[chosen[:-1]] + chunks.first[chosen[1:]] + 1) // 2
            of_frame = voice[chosen][np.searchsorted(turn, np.arange(len(part)), side="right")]
            track = part[:, column].astype(np.float32)
            for k in (0, 1):
                by_voice[:, k] = np.maximum(by_voice[:, k], np.where(of_frame == k, track, 0))
        yield first, by_voice


def assign_roles(voices: Floats, rule: RoleRule) -> dict[Speaker, Quantised]:
    """Give the voices of :func:`two_voices` their roles; a tie goes to the first column.

    Who talks first is who talks for at least 192 ms first. Returns probabilities of speech, p = q /
    65535.
    """
    on = voices >= _ACTIVE
    if rule == "longest_is_model":
        model = int(on[:, 1].sum() > on[:, 0].sum())
        user = 1 - model
    else:
        began = [_begins(on[:, k]) for k in (0, 1)]
        early = int(began[1] < began[0])
        user = early if rule == "first_is_user" else 1 - early
    quantised = np.rint(voices * 65535).astype(np.uint16)
    chosen = dict(zip(SPEAKERS, (user, 1 - user), strict=True))
    return {speaker: quantised[:, k].copy() for speaker, k in chosen.items()}


def _begins(on: NDArray[np.bool_]) -> int:
    """First frame of the first run that is long enough; past the end where there is none."""
    if len(on) < _FIRST_CELLS:
        return len(on)
    runs = np.lib.stride_tricks.sliding_window_view(on, _FIRST_CELLS).all(axis=1)
    return int(runs.argmax()) if runs.any() else len(on)


def load_diarizer(threads: int | None = None) -> Diarizer:
    """The packaged segmentation-3.0 and CAM++; PrerequisiteError where they are missing."""
    segmenter, embedder = load_segmenter("--mono diarize", threads), load_embedder()
    shape = [_VERSION, _HOP, segmenter.sha256, embedder.sha256]
    digest = hashlib.sha256(repr(shape).encode()).hexdigest()
    return Diarizer(f"{SEGMENTATION}+CAM++", digest, segmenter, embedder)
