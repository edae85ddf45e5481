"""Noises, synthesized from a seed: plausible enough to disturb a detector, and free of licences.

Every function returns float64 samples at 16 kHz whose active level
(:func:`flexi_score.simulate.clips.active_level`) is 1.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from flexi_score.audio.decode import SAMPLE_RATE_HZ as RATE
from flexi_score.config import unknown_name
from flexi_score.errors import InputError
from flexi_score.formats.files import AUDIO_EXTENSIONS
from flexi_score.simulate.clips import MS, Clips, Signal, active_level, read_mono

Rng = np.random.Generator

#: Voices that speak at once in babble.
N_BABBLE: Final = 7


def make_noise(
    kind: str,
    n: int,
    rng: Rng,
    *,
    clips: Clips | None = None,
    avoid: frozenset[str] = frozenset(),
    folder: str | Path | None = None,
) -> Signal:
    """Noise of a kind (:data:`NOISES`), shape (n,), at active level 1.

    Babble leaves out the clips of ``avoid`` where it can; ``files`` draws one of ``folder`` and
    repeats it to length.
    """
    if kind == "babble":
        made = _babble(n, rng, clips, avoid)
    elif kind == "files":
        made = _from_files(n, rng, folder)
    elif kind in KINDS:
        made = KINDS[kind](n, rng)
    else:
        raise InputError(unknown_name("noise", kind, NOISES))
    level = active_level(made)
    return made / level if level > 0 else made


def white(n: int, rng: Rng) -> Signal:
    """Equal power at all frequencies."""
    return rng.standard_normal(n)


def pink(n: int, rng: Rng) -> Signal:
    """Power falling by 3 dB an octave."""
    return _shaped(n, rng, lambda f: 1 / np.sqrt(np.maximum(f, 20.0)))


def roomtone(n: int, rng: Rng) -> Signal:
    """A quiet room: more power below 500 Hz, none below 60 Hz."""
    return _shaped(n, rng, lambda f: np.where(f < 60, 0.0, 0.3 + 1 / np.hypot(1, f / 300)))


def hum(n: int, rng: Rng) -> Signal:
    """Mains hum: 50 or 60 Hz and its harmonics, steady."""
    mains = 50.0 if rng.random() < 0.5 else 60.0
    t = np.arange(n) / RATE
    made = np.zeros(n)
    for k in range(1, 13):
        weight = (1.0 if k % 2 else 0.5) / k**0.8
        made += weight * np.sin(2 * np.pi * k * mains * t + rng.uniform(0, 2 * np.pi))
    return made + 0.02 * rng.standard_normal(n)


def siren(n: int, rng: Rng) -> Signal:
    """An emergency vehicle, coming and going: two tones or a wail, with harmonics."""
    t = np.arange(n) / RATE
    if rng.random() < 0.5:
        pitch = np.where((t * rng.uniform(0.8, 1.2)) % 1 < 0.5, 435.0, 580.0)
        pitch = np.convolve(pitch, np.ones(160) / 160, "same")
    else:
        pitch = 900 + 450 * np.sin(2 * np.pi * rng.uniform(0.2, 0.35) * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    made = sum(np.sin(k * phase) / k for k in range(1, 6))
    passing = 0.55 + 0.45 * np.sin(2 * np.pi * t / rng.uniform(12, 20) + rng.uniform(0, 6.28))
    return np.asarray(made * passing, np.float64)


def traffic(n: int, rng: Rng) -> Signal:
    """A street: low rumble, swelling as vehicles pass, and a horn now and then."""
    rumble = _shaped(n, rng, lambda f: 1 / np.hypot(1, f / 120) ** 1.5)
    rumble /= np.sqrt(np.mean(rumble**2)) or 1.0
    t = np.arange(n) / RATE
    swell = np.full(n, 0.4)
    for at in _times(n, rng, 3.5):
        swell += rng.uniform(0.4, 1.2) * np.exp(-(((t - at) / rng.uniform(0.6, 1.6)) ** 2))
    made = rumble * swell
    for at in _times(n, rng, 9.0):
        length = rng.uniform(0.25, 0.7)
        on = ((t >= at) & (t < at + length)).astype(float)
        made += 0.35 * on * sum(np.sin(2 * np.pi * f * t) for f in (370.0, 466.0, 740.0))
    return np.asarray(made, np.float64)


def barks(n: int, rng: Rng) -> Signal:
    """A dog: bursts of one to four barks, each a falling harsh tone."""
    made = np.zeros(n)
    for at in _times(n, rng, 2.5):
        clock, pitch = at, rng.uniform(350, 650)
        for _ in range(int(rng.integers(1, 5))):
            length = rng.uniform(0.09, 0.2)
            t = np.arange(int(length * RATE)) / RATE
            sweep = pitch * (1.25 - 0.6 * t / length)
            phase = 2 * np.pi * np.cumsum(sweep) / RATE
            voice = sum(np.sin(k * phase) / np.sqrt(k) for k in range(1, 8))
            harsh = voice + 0.8 * rng.standard_normal(len(t))
            _add(made, int(clock * RATE), harsh * np.sin(np.pi * t / length) ** 0.5)
            clock += length + rng.uniform(0.12, 0.3)
    return made


def ringing(n: int, rng: Rng) -> Signal:
    """A telephone in the room: 2 s of warble, 2 to 4 s of silence."""
    made = np.zeros(n)
    clock = rng.uniform(0, 1.5)
    low, high = rng.uniform(700, 900), rng.uniform(1000, 1300)
    while clock * RATE < n:
        t = np.arange(2 * RATE) / RATE
        pitch = np.where((t * 20) % 1 < 0.5, low, high)
        phase = 2 * np.pi * np.cumsum(pitch) / RATE
        edge = np.minimum(1, np.minimum(t, 2 - t) / 0.01)
        _add(made, int(clock * RATE), edge * (np.sin(phase) + 0.3 * np.sin(3 * phase)))
        clock += 2 + rng.uniform(2, 4)
    return made


def _babble(n: int, rng: Rng, clips: Clips | None, avoid: frozenset[str]) -> Signal:
    if clips is None or not len(clips):
        raise InputError("noise 'babble' is made of voices: give a folder of clips")
    names = sorted(set(clips.by_name) - avoid) or sorted(clips.by_name)
    made = np.zeros(n)
    for _ in range(N_BABBLE):
        clock = -int(rng.integers(0, 2 * RATE))
        while clock < n:
            clip = clips.by_name[names[int(rng.integers(len(names)))]]
            _add(made, clock, clip.audio)
            clock += len(clip.audio) + int(rng.integers(0, RATE // 2))
    return made


def _from_files(n: int, rng: Rng, folder: str | Path | None) -> Signal:
    if folder is None:
        raise InputError("noise 'files' needs a folder of noise recordings (--noises DIR)")
    paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in AUDIO_EXTENSIONS)
    if not paths:
        raise InputError(f"{folder}: holds no audio; expected recordings of noise")
    path = paths[int(rng.integers(len(paths)))]
    audio = read_mono(path)
    if not np.any(audio):
        raise InputError(f"{path}: holds only silence; expected noise")
    start = int(rng.integers(len(audio)))
    return np.resize(np.roll(audio, -start), n)


def _times(n: int, rng: Rng, every_s: float) -> list[float]:
    """Moments (s) at random distances; at least one."""
    seconds, clock = n / RATE, rng.uniform(0, min(1.0, n / RATE / 2))
    times = []
    while clock < seconds:
        times.append(float(clock))
        clock += rng.uniform(0.5, 1.5) * every_s
    return times


def _add(onto: Signal, at: int, part: Signal) -> None:
    low, high = max(at, 0), min(at + len(part), len(onto))
    if low < high:
        onto[low:high] += part[low - at : high - at]


def _shaped(n: int, rng: Rng, gain: Callable[[Signal], Signal]) -> Signal:
    size = int(2 ** np.ceil(np.log2(max(n, 2))))
    spectrum = np.fft.rfft(rng.standard_normal(size))
    frequency = np.asarray(np.fft.rfftfreq(size, 1 / RATE), np.float64)
    return np.asarray(np.fft.irfft(spectrum * gain(frequency), size)[:n], np.float64)


def room_response(rt60_s: float, rng: Rng, lag_ms: float = 0.0) -> Signal:
    """A synthetic room of energy 1: the direct sound, then noise that decays exponentially."""
    lag = round(lag_ms * MS)
    tail = rng.standard_normal(max(round(rt60_s * RATE), 1))
    tail *= 10 ** (-3 * np.arange(len(tail)) / max(len(tail), 1))
    energy = float(np.sum(tail[1:] ** 2))
    # Direct sound and reverberation carry equal energy, as a step away from a loudspeaker.
    response = np.concatenate([np.zeros(lag), tail])
    response[lag] = np.sqrt(energy) if energy > 0 else 1.0
    return np.asarray(response / np.sqrt(np.sum(response**2)), np.float64)


KINDS: Final[dict[str, Callable[[int, Rng], Signal]]] = {
    "white": white,
    "pink": pink,
    "roomtone": roomtone,
    "hum": hum,
    "siren": siren,
    "traffic": traffic,
    "barks": barks,
    "ringing": ringing,
}
#: Names of all noises: those that are synthesized, voices of the clips, and a folder's recordings.
NOISES: Final = (*KINDS, "babble", "files")
