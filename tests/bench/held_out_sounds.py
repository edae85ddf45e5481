"""Noises and rooms that nothing was tuned on, for ``bench_held_out.py``.

They differ in kind, not only in seed, from those of :mod:`flexi_score.simulate.noise`, which
development used: babble of other languages at unequal distances, a fast wail and a three-tone horn,
a motorcycle, tyres and a reversing lorry, dogs made of pulses and formants, struck bells and
ringback tones, the buzz of a rectifier beside a fan. Rooms are boxes with image sources and a
small loudspeaker's colour, not decaying noise.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy import signal as dsp

RATE_HZ = 16_000
SECONDS = 40
VARIANTS = 3
Audio = np.ndarray
Rng = np.random.Generator

_T = np.arange(SECONDS * RATE_HZ) / RATE_HZ


def band(x: Audio, low_hz: float, high_hz: float, order: int = 2) -> Audio:
    """A band of a signal."""
    return dsp.sosfilt(
        dsp.butter(order, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos"), x
    )


def saw(pitch_hz: Audio) -> Audio:
    """A sawtooth of changing pitch."""
    return 2 * (np.cumsum(pitch_hz) / RATE_HZ % 1) - 1


def siren(rng: Rng) -> Audio:
    """A yelp of 4 Hz, or a horn of three tones, echoed by the houses of a street."""
    if rng.random() < 0.5:
        pitch = 650 + 900 * np.abs(dsp.sawtooth(2 * np.pi * rng.uniform(3, 4.5) * _T, 0.8))
    else:
        pitch = np.array([392.0, 494.0, 392.0, 587.0])[(_T * rng.uniform(1.5, 2.2)).astype(int) % 4]
    passing = 1 / np.hypot(1, (_T % 18 - rng.uniform(6, 12)) / 3)
    near = band(saw(pitch), 500, 3000) * passing
    return near + 0.4 * np.roll(near, round(0.13 * RATE_HZ))


def traffic(rng: Rng) -> Audio:
    """Tyres on a wet road, a motorcycle that changes gear, and a lorry's reversing beeper."""
    wet = band(rng.standard_normal(len(_T)), 600, 3500) * (0.5 + 0.5 * np.sin(_T * 0.8) ** 2)
    turns = 35 + 60 * (_T % rng.uniform(3, 5)) / 4
    engine = dsp.lfilter([1], [1, -0.9], np.maximum(saw(turns) - 0.8, 0) * 5)
    engine *= 1 + 0.3 * rng.standard_normal(len(_T))
    beeps = (np.sin(2 * np.pi * 1150 * _T) > 0) * ((_T % 1.0) < 0.5) * ((_T % 14) > 9)
    return wet / wet.std() + 0.8 * engine / engine.std() + 0.6 * beeps


def barks(rng: Rng) -> Audio:
    """A large dog and a small one: pulses through two formants."""
    made = np.zeros(len(_T))
    for low, high, every in ((110, 240, 2.2), (420, 900, 1.7)):
        at = rng.uniform(0, 1)
        while at < SECONDS - 1:
            n = int(rng.uniform(0.08, 0.28) * RATE_HZ)
            x = np.linspace(0, 1, n)
            pitch = low + (high - low) * np.sin(np.pi * x**0.6)
            source = np.maximum(saw(pitch) - 0.6, 0) + 0.1 * rng.standard_normal(n)
            throat = band(source, 500, 1100) + 0.6 * band(source, 1600, 2600)
            start = int(at * RATE_HZ)
            made[start : start + n] += throat * np.sin(np.pi * x) ** 0.4
            at += rng.choice([0.25, 0.4, every])
    return made


def ringing(rng: Rng) -> Audio:
    """Two struck gongs, a ringback tone, or a tune of struck bars."""
    kind = rng.integers(3)
    if kind == 0:
        struck = np.zeros(len(_T))
        struck[:: RATE_HZ // 22] = rng.uniform(0.7, 1, len(struck[:: RATE_HZ // 22]))
        decay = np.exp(-_T[:RATE_HZ] * 9)
        gong = sum(np.sin(2 * np.pi * f * _T[:RATE_HZ]) for f in (1430, 1610, 2750, 3870))
        made = dsp.oaconvolve(struck, gong * decay)[: len(_T)] * (_T % 5 < 2.4)
    elif kind == 1:
        made = (np.sin(2 * np.pi * 440 * _T) + np.sin(2 * np.pi * 480 * _T)) * (_T % 6 < 2)
    else:
        made = np.zeros(len(_T))
        for k, at in enumerate(np.arange(0, SECONDS - 1, 0.16)):
            if at % 6 > 3.5:
                continue
            f = 523.25 * 2 ** ([0, 4, 7, 12, 7, 4, 2, 9][k % 8] / 12)
            n = round(0.5 * RATE_HZ)
            start = round(at * RATE_HZ)
            bar = np.sin(2 * np.pi * f * _T[:n]) + 0.3 * np.sin(2 * np.pi * 3.9 * f * _T[:n])
            made[start : start + n] += bar * np.exp(-_T[:n] * 11)
    return made + 1e-3 * rng.standard_normal(len(_T))


def hum(rng: Rng) -> Audio:
    """A rectifier's pulses at twice the mains' frequency, swelling slowly, and a fan."""
    mains = float(rng.choice([50, 60]))
    pulses = dsp.lfilter([1], [1, -0.7], np.maximum(saw(np.full(len(_T), 2 * mains)) - 0.9, 0))
    fan = band(rng.standard_normal(len(_T)), 90, 900, 1)
    fan *= 1 + 0.2 * np.sin(2 * np.pi * 23 * _T)
    swell = 1 + 0.25 * np.sin(2 * np.pi * 0.07 * _T)
    return swell * (pulses - pulses.mean()) / pulses.std() + 0.35 * fan / fan.std()


def babble(talks: list[Audio], rng: Rng) -> Audio:
    """Five talkers, some nearer than others, in a room."""
    made = np.zeros(len(_T))
    for k in range(5):
        at = -int(rng.integers(0, 3 * RATE_HZ))
        while at < len(made):
            talk = talks[(k + int(rng.integers(len(talks)))) % len(talks)]
            low, high = max(at, 0), min(at + len(talk), len(made))
            if low < high:
                made[low:high] += talk[low - at : high - at] * (1.0, 0.8, 0.6, 0.4, 0.4)[k]
            at += len(talk) + int(rng.integers(RATE_HZ))
    return dsp.oaconvolve(made, room(rng))[: len(made)]


def room(rng: Rng) -> Audio:
    """From a small loudspeaker to a microphone in a box of a room, by image sources (0.4 s)."""
    size = rng.uniform([2.8, 2.2, 2.3], [6.5, 4.5, 3.0])
    mouth = size * rng.uniform(0.2, 0.8, 3)
    ear = np.clip(mouth + rng.uniform(-0.7, 0.7, 3), 0.2, size - 0.2)
    wall = rng.uniform(0.55, 0.8)  # of the pressure comes back
    reach = np.arange(-9, 10)
    n = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    out = np.zeros(round(0.4 * RATE_HZ) + 2)
    for flip in np.ndindex(2, 2, 2):
        image = 2 * n * size + np.where(flip, -mouth, mouth)
        far = np.linalg.norm(image - ear, axis=1)
        bounces = np.abs(2 * n - np.array(flip)).sum(axis=1)
        when = far / 343 * RATE_HZ
        near = when < len(out) - 2
        whole = when[near].astype(int)
        part, gain = when[near] - whole, wall ** bounces[near] / far[near]
        np.add.at(out, whole, gain * (1 - part))
        np.add.at(out, whole + 1, gain * part)
    # What comes straight sets the start; how late the whole is, the condition says.
    first = int(np.argmax(np.abs(out) > 0.2 * np.abs(out).max()))
    return band(out[first:], 220, 6500, 1)


def headset(rng: Rng) -> Audio:
    """From a headset's earpiece to its microphone: coloured, a few milliseconds long."""
    taps = rng.standard_normal(60) * np.exp(-np.arange(60) / rng.uniform(5, 14))
    taps[0] += 2
    return band(taps, 350, 5000, 1)


NOISES: dict[str, Callable[[Rng], Audio]] = {
    "siren": siren,
    "traffic": traffic,
    "barks": barks,
    "ringing": ringing,
    "hum": hum,
}


def write_sounds(folder: Path, talks: list[Audio], seed: int) -> None:
    """Noises as ``KIND/N.flac``, ways of crosstalk as ``room_N.wav`` and ``headset_N.wav``."""
    for kind in (*NOISES, "babble"):
        for k in range(VARIANTS):
            rng = np.random.default_rng([seed, k, *kind.encode()])
            made = babble(talks, rng) if kind == "babble" else NOISES[kind](rng)
            (folder / kind).mkdir(parents=True, exist_ok=True)
            sf.write(folder / kind / f"{k}.flac", 0.5 * made / np.abs(made).max(), RATE_HZ)
    for way, name in ((room, "room"), (headset, "headset")):
        for k in range(2):
            taps = way(np.random.default_rng([seed, k, *name.encode()]))
            taps = np.pad(taps, (0, max(RATE_HZ // 5 - len(taps), 0)))  # a file is not that short
            sf.write(folder / f"{name}_{k}.wav", 0.5 * taps / np.abs(taps).max(), RATE_HZ, "FLOAT")
