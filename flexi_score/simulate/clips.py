"""Clips: recordings of one voice, trimmed to their exact speech, with speech at a level of 1.

Conventions
-----------
Samples are float64 at 16 kHz. Speech is measured on the clean clip in steps of 1 ms: the RMS of a
5 ms window above -35 dB of the clip's active level, silences below 60 ms bridged, islands dropped
that are shorter than 40 ms or never louder than -20 dB (clicks and breaths). The active level is
the RMS of all that lies within 30 dB of the loudest millisecond.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ, probe, read_blocks
from flexi_score.config import hint
from flexi_score.errors import AudioError, InputError
from flexi_score.formats.files import AUDIO_EXTENSIONS

Signal = NDArray[np.float64]
Span = tuple[int, int]

MS: Final = SAMPLE_RATE_HZ // 1000
WINDOW_MS: Final = 5
FLOOR_DB: Final = -35.0
BREATH_DB: Final = -20.0
BRIDGE_MS: Final = 60
ISLAND_MS: Final = 40
FADE_MS: Final = 8

#: A channel this far below the loudest is silent, and channels less correlated than this hold
#: different voices: of the two-channel sample recordings none reaches 0.01.
_SILENT_DB: Final = -40.0
_LEAST_ALIKE: Final = 0.2

#: A clip cut at a moment goes on for at most this long, to end in clear speech.
CUT_SEARCH_MS: Final = 400


@dataclass(frozen=True)
class Clip:
    """Trimmed speech of one voice."""

    name: str  # path below the folder of clips, without extension
    #: of float64, shape (16 * duration in ms,): begins and ends with speech; active level 1
    audio: Signal = field(repr=False)
    speech: tuple[Span, ...]  # the first starts at 0, the last ends with the clip
    voice: str = ""  # who speaks: the folder that the clip lies in, empty at the top
    text: str = ""  # what is said, from ``NAME.txt`` beside the clip; empty where unknown

    @property
    def duration_ms(self) -> int:
        """How long the clip is."""
        return len(self.audio) // MS


@dataclass(frozen=True)
class Clips:
    """A library of clips by name, and the files that are none."""

    by_name: dict[str, Clip]
    rejected: dict[str, str] = field(default_factory=dict)  # why a file cannot be used
    root: str = "the clips"  # where they come from, for messages

    def __len__(self) -> int:
        return len(self.by_name)

    def __getitem__(self, name: str) -> Clip:
        """A clip by name."""
        if name in self.by_name:
            return self.by_name[name]
        if name in self.rejected:
            raise InputError(self.rejected[name])
        advice = hint(name, sorted(self.by_name), "there are")
        raise InputError(f"{self.root}: no clip {name!r}; {advice}")


def measure_speech(audio: Signal, level: float | None = None) -> list[Span]:
    """Where there is speech in a clean signal (see the module's conventions)."""
    rms = envelope(audio)
    active = active_level(audio) if level is None else level
    if active <= 0:
        return []
    spans = bridge(_runs(rms > active * 10 ** (FLOOR_DB / 20)), BRIDGE_MS)
    breath = active * 10 ** (BREATH_DB / 20)
    return [(a, b) for a, b in spans if b - a >= ISLAND_MS and rms[a:b].max() >= breath]


def envelope(audio: Signal) -> Signal:
    """RMS in a 5 ms window around each millisecond, shape (n // 16,)."""
    n_ms = len(audio) // MS
    if n_ms == 0:
        return np.zeros(0)
    total = np.concatenate([[0.0], np.cumsum(audio[: n_ms * MS] ** 2)])
    half = WINDOW_MS * MS // 2
    middle = np.arange(n_ms) * MS + MS // 2
    low, high = np.maximum(middle - half, 0), np.minimum(middle + half, n_ms * MS)
    # A running sum leaves rounding errors of either sign where the signal is zero.
    power = np.maximum(total[high] - total[low], 0.0) / (2 * half)
    power[power < total[-1] * 1e-15] = 0.0
    return np.asarray(np.sqrt(power), np.float64)


def active_level(audio: Signal) -> float:
    """RMS of all milliseconds within 30 dB of the loudest; 0 for silence."""
    level = envelope(audio)
    peak = level.max(initial=0.0)
    if peak <= 0:
        return 0.0
    return float(np.sqrt(np.mean(level[level > peak * 10**-1.5] ** 2)))


def make_clip(audio: Signal, name: str = "clip", *, voice: str = "", text: str = "") -> Clip:
    """A clip from a recording of one voice: trimmed to its speech, levelled to 1."""
    audio = np.asarray(audio, np.float64)
    level = active_level(audio)
    spans = measure_speech(audio, level)
    # Until it is measured to be all of the clip where it is placed on silence: what was around it
    # may have lifted its very edges over the threshold.
    pad = np.zeros(WINDOW_MS * MS)
    trimmed = audio[: len(audio) // MS * MS]
    while spans and (spans[0][0] > 0 or spans[-1][1] < len(trimmed) // MS):
        trimmed = trimmed[max(spans[0][0], 0) * MS : spans[-1][1] * MS]
        padded = measure_speech(np.concatenate([pad, trimmed, pad]), level)
        spans = [(a - WINDOW_MS, b - WINDOW_MS) for a, b in padded]
    if not spans:
        seconds = len(audio) / SAMPLE_RATE_HZ
        raise InputError(
            f"{name}: no speech in these {seconds:.2f} s (nothing of at least {ISLAND_MS} ms "
            "stands out); leave the file out, or record it louder"
        )
    inside = tuple((max(a, 0), min(b, len(trimmed) // MS)) for a, b in spans)
    return Clip(name, trimmed / level, inside, voice, text)


def cut_clip(clip: Clip, after_ms: int) -> Clip:
    """A clip that stops, with a fade of 8 ms, at the first clear speech from a moment on.

    A voice that stops is heard to its last moment only if it was speaking then, so the cut lies
    where the speech is within 12 dB of its level. What is heard of its text is not known.
    """
    if after_ms >= clip.duration_ms:
        raise InputError(
            f"{clip.name}: cannot be cut at {after_ms / 1000:.3f} s, it lasts "
            f"{clip.duration_ms / 1000:.3f} s; cut earlier or leave `cut` out"
        )
    level = envelope(clip.audio)
    from_ms = max(after_ms, clip.speech[0][0] + ISLAND_MS)
    inside = np.zeros(len(level), bool)
    for a, b in clip.speech:
        # Not at the very start of a span: what is left of it must be long enough to be speech.
        inside[min(a + ISLAND_MS, b) : b] = True
    clear = np.flatnonzero((level > 0.25) & inside)
    clear = clear[(clear >= from_ms) & (clear <= from_ms + CUT_SEARCH_MS)]
    if not len(clear):
        raise InputError(
            f"{clip.name}: no clear speech within {CUT_SEARCH_MS} ms of {after_ms / 1000:.3f} s "
            "to cut at; cut elsewhere"
        )
    end = int(clear[0]) + 1
    audio = clip.audio[: end * MS].copy()
    fade = min(FADE_MS, end) * MS
    # Steep only at its very end, so that the speech is measured to end where it is cut.
    audio[-fade:] *= np.cos(np.linspace(0, math.pi / 2, fade)) ** 0.5
    spans = tuple((a, min(b, end)) for a, b in clip.speech if a < end)
    return Clip(clip.name, audio, spans, clip.voice, "")


def read_clips(folder: str | Path) -> Clips:
    """All clips of a folder and its subfolders.

    A clip's name is its path without extension, its voice the subfolder, its text the content of
    a ``.txt`` file of the same name, where there is one. Channels of a file are averaged. Clips
    should be clean: noise less than 35 dB below the voice counts as speech.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a folder of clips (WAV, FLAC, ...)")
    paths = sorted(p for p in root.rglob("*") if p.suffix.lower() in AUDIO_EXTENSIONS)
    if not paths:
        raise InputError(
            f"{root}: holds no audio; expected clips of one voice each "
            f"({' '.join(sorted(AUDIO_EXTENSIONS))})"
        )
    clips: dict[str, Clip] = {}
    rejected: dict[str, str] = {}
    for path in paths:
        relative = path.relative_to(root)
        name = relative.with_suffix("").as_posix()
        if name in clips or name in rejected:
            rejected[relative.as_posix()] = (
                f"{path}: another clip has the name {name!r}; rename one"
            )
            continue
        try:
            voice = "" if relative.parent == Path() else relative.parent.as_posix()
            audio = _one_voice(path)
            clips[name] = make_clip(audio, str(path), voice=voice, text=_text_of(path))
        except (AudioError, InputError) as error:
            rejected[name] = str(error)
    named = {key: Clip(key, c.audio, c.speech, c.voice, c.text) for key, c in clips.items()}
    if not named:
        reason = next(iter(rejected.values()))
        raise InputError(
            f"{root}: none of its {len(rejected)} clips can be used; the first: {reason}"
        )
    return Clips(named, rejected, str(root))


def read_mono(path: str | Path) -> Signal:
    """Samples of a file at 16 kHz, its channels averaged. Raises AudioError."""
    channels = range(probe(path).n_channels)
    blocks = [block.mean(axis=1, dtype=np.float64) for block in read_blocks(path, channels)]
    return np.concatenate(blocks) if blocks else np.zeros(0)


def _one_voice(path: Path) -> Signal:
    """Samples of a clip, its channels averaged. Raises AudioError."""
    blocks = [
        block.astype(np.float64) for block in read_blocks(path, range(probe(path).n_channels))
    ]
    channels = np.concatenate(blocks) if blocks else np.zeros((0, 1))
    power = np.mean(channels**2, axis=0)
    loud = channels[:, power > power.max(initial=0.0) * 10 ** (_SILENT_DB / 10)]
    if loud.shape[1] > 1:
        # One voice before two microphones is much alike in both; two voices are not.
        alike = np.abs(np.corrcoef(loud, rowvar=False)).min()
        if alike < _LEAST_ALIKE:
            raise InputError(
                f"{path}: its channels hold different voices (correlation {alike:.2f}), expected a "
                "clip of one voice; save each channel as a file of its own"
            )
    return np.asarray(channels.mean(axis=1), np.float64)


def bridge(spans: Sequence[Span], shorter_than_ms: int) -> list[Span]:
    """Spans by time, joined where they overlap or the silence between is below a limit."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and (start <= joined[-1][1] or start - joined[-1][1] < shorter_than_ms):
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def seeded(*parts: object) -> np.random.Generator:
    """A generator that depends on these values alone, on any machine."""
    return np.random.default_rng([zlib.crc32(str(part).encode()) for part in parts])


def _runs(mask: NDArray[np.bool_]) -> list[Span]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _text_of(path: Path) -> str:
    beside = path.with_suffix(".txt")
    try:
        return " ".join(beside.read_text("utf-8").split())
    except (OSError, UnicodeDecodeError):
        return ""
