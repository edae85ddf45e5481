"""Conditions: what happens to clean channels on their way into files, with truth that follows.

In this order: crosstalk is added, through a room; noise is added; levels are set; loud
parts are clipped; a codec is passed; the clock runs fast, and the file lags; packets are lost.
Only clock and lag move the truth: it is always what is right in the time of the files.
"""

import dataclasses
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import soxr
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from scipy import signal as dsp

from flexi_score.audio.decode import SAMPLE_RATE_HZ as RATE
from flexi_score.config import unknown_name
from flexi_score.errors import InputError
from flexi_score.schema import SPEAKERS
from flexi_score.simulate.clips import MS, Clips, Signal, Span, read_mono, seeded
from flexi_score.simulate.codec import CODECS, TELEPHONE, TELEPHONE_RATE_HZ, check_codec, pass_codec
from flexi_score.simulate.noise import KINDS, NOISES, make_noise, room_response
from flexi_score.simulate.plan import parse_object
from flexi_score.simulate.scene import Facts, Mix

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, config=_STRICT)
class Channel:
    """What happens to one channel."""

    noise: str | None = None  # kind of noise (:func:`flexi_score.simulate.noise.make_noise`)
    snr_db: float = 15.0  # active level of the scene's speech over that of the noise
    #: level of the quiet room behind everything, dBFS before ``level_db``; None: digital silence
    floor_db: float | None = -75.0
    #: energy of the other channel's crosstalk over that of its source
    crosstalk_db: float | None = None
    #: crosstalk_lag_ms, crosstalk_room_s: how late it arrives; reverberation time (RT60) of its
    #: way, 0 for the direct sound alone
    crosstalk_lag_ms: Annotated[float, Field(ge=0, le=5000)] = 15.0
    crosstalk_room_s: Annotated[float, Field(ge=0, le=10)] = 0.0
    #: file with a measured response of that way, instead of a synthetic one
    crosstalk_response: str | None = None
    #: active level of the speech in the file, dBFS; the scene's own if not given
    level_db: float | None = None
    #: clipped at full scale, this much below the peak that it would have
    clip_db: Annotated[float | None, Field(ge=0)] = None
    #: share of packets that are lost (zeros), of ``loss_ms`` each
    loss: Annotated[float, Field(ge=0, le=1)] = 0.0
    loss_ms: Annotated[int, Field(ge=1, le=1000)] = 20
    #: how fast the clock runs: positive makes the file longer
    drift_ppm: Annotated[float, Field(ge=-20_000, le=20_000)] = 0.0
    #: how much later everything lies in the file, unknown to the manifest
    offset_ms: Annotated[int, Field(ge=-5000, le=5000)] = 0


@dataclass(frozen=True, config=_STRICT)
class Condition:
    """What happens to both channels, under a name."""

    name: str = "clean"
    user: Channel = Channel()
    model: Channel = Channel()
    codec: str | None = None  # one of :data:`flexi_score.simulate.codec.CODECS`
    files: Literal["stereo", "pair"] = "stereo"  # one two-channel file, or two mono files

    def as_dict(self) -> dict[str, Any]:
        """For the truth: what differs from a clean recording."""
        changes: dict[str, Any] = {"name": self.name, "files": self.files}
        changes |= {"codec": self.codec} if self.codec else {}
        for who in SPEAKERS:
            plain, own = asdict(Channel()), asdict(getattr(self, who))
            changed = {key: value for key, value in own.items() if value != plain[key]}
            if own["noise"]:
                changed["snr_db"] = own["snr_db"]
            if own["crosstalk_db"] is not None:
                changed["crosstalk_lag_ms"] = own["crosstalk_lag_ms"]
            changes |= {who: changed} if changed else {}
        return changes


CLEAN: Final = Condition()

#: Terms of a condition: default value, unit, meaning.
TERMS: Final[dict[str, tuple[float | None, str, str]]] = {
    "clean": (None, "", "nothing but a quiet room at -75 dBFS"),
    **dict.fromkeys(KINDS, (15.0, "dB SNR", "noise, synthesized")),
    "babble": (15.0, "dB SNR", "noise of seven voices, from the clips"),
    "files": (15.0, "dB SNR", "noise from a folder of recordings"),
    "floor": (-75.0, "dBFS", "level of the quiet room"),
    "crosstalk": (-20.0, "dB", "crosstalk of the other channel, direct sound only"),
    "echo": (-20.0, "dB", "crosstalk through a room (RT60 0.3 s)"),
    "lag": (15.0, "ms", "how late it arrives"),
    "room": (0.3, "s", "RT60 of the room it comes through"),
    "level": (-60.0, "dBFS", "level of the speech in the file"),
    "clip": (12.0, "dB", "clipped this far below the peak"),
    "loss": (5.0, "%", "packets of 20 ms lost, as zeros"),
    "drift": (100.0, "ppm", "clock of the model's file, or of the one named, runs fast"),
    "offset": (120.0, "ms", "the model's file, or the one named, lags unknown to the manifest"),
    **dict.fromkeys(CODECS, (None, "", "round trip through this codec")),
    "pair": (None, "", "two mono files instead of one with two channels"),
}


def parse_condition(text: str) -> Condition:
    """A condition from terms joined by ``+``: ``crosstalk:-20+babble:15+ulaw``.

    A term is a name of :data:`TERMS` with an optional number; ``user.`` or ``model.`` before it
    means that channel alone (of crosstalk: the one that receives it).
    """
    changes: dict[str, dict[str, Any]] = {"user": {}, "model": {}}
    whole: dict[str, Any] = {"name": text.strip() or "clean"}
    for term in text.split("+"):
        head, colon, number = term.strip().partition(":")
        side, dot, name = head.rpartition(".")
        if name not in TERMS:
            raise InputError(f"condition {text!r}: {unknown_name('term', name, TERMS)}")
        if dot and side not in SPEAKERS:
            raise InputError(
                f"condition {text!r}: {side!r} before {name!r}; expected user or model"
            )
        default, unit, _ = TERMS[name]
        try:
            value = float(number) if colon else default
        except ValueError:
            value = float("nan")
        if (colon and default is None) or (value is not None and not np.isfinite(value)):
            wants = f"a number ({unit})" if unit else "no value"
            raise InputError(f"condition {text!r}: {name!r} takes {wants}, found {number!r}")
        if name in CODECS:
            whole["codec"] = name
        elif name == "pair":
            whole["files"] = "pair"
        elif name != "clean":
            both = ("model",) if name in ("drift", "offset") else SPEAKERS
            for who in (side,) if side else both:
                changes[who] |= _channel_change(name, value or 0.0)
        if name in ("drift", "offset"):
            whole["files"] = "pair"
    return make_condition(whole | {w: c for w, c in changes.items() if c})


def _channel_change(name: str, value: float) -> dict[str, Any]:
    if name in NOISES:
        return {"noise": name, "snr_db": value}
    if name == "echo":
        return {"crosstalk_db": value, "crosstalk_room_s": 0.3}
    key, change = {
        "floor": ("floor_db", value),
        "crosstalk": ("crosstalk_db", value),
        "lag": ("crosstalk_lag_ms", value),
        "room": ("crosstalk_room_s", value),
        "level": ("level_db", value),
        "clip": ("clip_db", value),
        "loss": ("loss", value / 100),
        "drift": ("drift_ppm", value),
        "offset": ("offset_ms", round(value)),
    }[name]
    return {key: change}


def make_condition(value: "str | dict[str, Any] | Condition") -> Condition:
    """A condition from terms, from an object of a plan, or as it is."""
    if isinstance(value, Condition):
        return value
    if isinstance(value, str):
        return parse_condition(value)
    condition = parse_object(Condition, value, "condition")
    if condition.codec is not None:
        check_codec(condition.codec)
    for kind in filter(None, (condition.user.noise, condition.model.noise)):
        if kind not in NOISES:
            advice = unknown_name("noise", kind, NOISES)
            raise InputError(f"condition {condition.name!r}: {advice}")
    return condition


@dataclasses.dataclass(frozen=True)
class Capture:
    """What files hold after a condition, and what is true of it."""

    audio: tuple[Signal, Signal]  # float64, shape (n_user,) and (n_model,)
    rate_hz: int
    facts: Facts  # in the time of the files
    condition: dict[str, Any]  # for the truth


def apply_condition(
    mix: Mix,
    condition: Condition = CLEAN,
    seed: int = 0,
    *,
    clips: Clips | None = None,
    noises: str | Path | None = None,
) -> Capture:
    """Put clean channels through a condition; ``seed`` and the scene's id decide what is random.

    Raises InputError where the condition cannot be met: babble without clips, an offset longer than
    the silence at the recording's edge.
    """
    described = condition.as_dict()
    scene = mix.scene
    avoid = frozenset(say.clip for say in scene.says)
    made = []
    for k, who in enumerate(SPEAKERS):
        channel: Channel = getattr(condition, who)
        audio = mix.audio[k].copy()
        if channel.crosstalk_db is not None:
            audio += _crosstalk(mix.audio[1 - k], channel, seeded(seed, scene.id, who, "room"))
        if channel.noise is not None:
            noise = make_noise(
                channel.noise,
                len(audio),
                seeded(seed, scene.id, who, channel.noise),
                clips=clips,
                avoid=avoid,
                folder=noises,
            )
            audio += noise * 10 ** ((scene.levels_db[k] - channel.snr_db) / 20)
        if channel.floor_db is not None:
            quiet = make_noise("roomtone", len(audio), seeded(seed, scene.id, who, "floor"))
            audio += quiet * 10 ** (channel.floor_db / 20)
        if channel.level_db is not None:
            audio *= 10 ** ((channel.level_db - scene.levels_db[k]) / 20)
        audio, down_db = _limit(audio, channel.clip_db)
        if down_db:
            described[who] = {**described.get(who, {}), "turned_down_db": round(down_db, 2)}
        made.append(audio)
    pair, rate = np.stack(made), RATE
    if condition.codec is not None:
        pair = pass_codec(pair, condition.codec)
        rate = TELEPHONE_RATE_HZ if condition.codec in TELEPHONE else RATE
    finished = []
    for k, who in enumerate(SPEAKERS):
        channel = getattr(condition, who)
        timed = _clock(pair[k], rate, channel, mix, k)
        finished.append(_lose(timed, rate, channel, seeded(seed, scene.id, who, "loss")))
    if condition.files == "stereo":
        n = min(len(audio) for audio in finished)
        finished = [audio[:n] for audio in finished]
    duration_ms = max(len(audio) for audio in finished) * 1000 // rate
    facts = _moved(mix.facts, condition, duration_ms)
    return Capture((finished[0], finished[1]), rate, facts, described)


def _crosstalk(source: Signal, channel: Channel, rng: np.random.Generator) -> Signal:
    """Crosstalk at exactly the level asked for over the whole recording."""
    if channel.crosstalk_response is not None:
        given = read_mono(channel.crosstalk_response)
        response = np.concatenate([np.zeros(round(channel.crosstalk_lag_ms * MS)), given])
    else:
        response = room_response(channel.crosstalk_room_s, rng, channel.crosstalk_lag_ms)
    crosstalk = np.asarray(dsp.oaconvolve(source, response)[: len(source)], np.float64)
    energy, wanted = float(np.sum(crosstalk**2)), float(np.sum(source**2))
    if energy <= 0 or channel.crosstalk_db is None:
        return np.zeros_like(source)
    gain = float(np.sqrt(wanted / energy)) * 10 ** (channel.crosstalk_db / 20)
    return crosstalk * gain


def _limit(audio: Signal, clip_db: float | None) -> tuple[Signal, float]:
    """Clip where that is asked for; else turn down what would clip. Also by how much (dB)."""
    peak = float(np.abs(audio).max(initial=0.0))
    if clip_db is not None and peak > 0:
        return np.clip(audio * 10 ** (clip_db / 20) / peak, -1, 1), 0.0
    if peak > 0.98:
        return audio * (0.98 / peak), 20 * float(np.log10(peak / 0.98))
    return audio, 0.0


def _lose(audio: Signal, rate: int, channel: Channel, rng: np.random.Generator) -> Signal:
    if channel.loss <= 0:
        return audio
    size = channel.loss_ms * rate // 1000
    lost = np.repeat(rng.random(-(-len(audio) // size)) < channel.loss, size)[: len(audio)]
    return np.where(lost, 0.0, audio)


def _clock(audio: Signal, rate: int, channel: Channel, mix: Mix, k: int) -> Signal:
    if channel.drift_ppm:
        audio = soxr.resample(audio, 1e6, 1e6 + channel.drift_ppm, quality="VHQ")
    if channel.offset_ms:
        # What is behind the last speech comes before the first, or the other way round: so the
        # background goes on without a seam that a detector could see.
        spans = [mix.facts.user, mix.facts.model][k]
        room = mix.facts.duration_ms - spans[-1][1] if spans else mix.facts.duration_ms
        ahead = spans[0][0] if spans else mix.facts.duration_ms
        if not -ahead <= channel.offset_ms <= room:
            raise InputError(
                f"scene {mix.scene.id!r}: an offset of {channel.offset_ms} ms cuts its speech; "
                f"expected {-ahead} to {room} ms, or a longer tail_s"
            )
        audio = np.roll(audio, channel.offset_ms * rate // 1000)
    whole_ms = len(audio) * 1000 // rate
    return np.asarray(audio[: whole_ms * rate // 1000], np.float64)


def _moved(facts: Facts, condition: Condition, duration_ms: int) -> Facts:
    """Facts in the time of the files; annotations belong to the user's channel."""

    def at(t: int, channel: Channel) -> int:
        return min(round(t * (1 + channel.drift_ppm * 1e-6)) + channel.offset_ms, duration_ms)

    def all_of(spans: list[Span], channel: Channel) -> list[Span]:
        return [(at(a, channel), at(b, channel)) for a, b in spans]

    def one(span: Span | None) -> Span | None:
        return span and all_of([span], condition.user)[0]

    end = facts.user_turn_end
    return Facts(
        duration_ms,
        all_of(facts.user, condition.user),
        all_of(facts.model, condition.model),
        None if end is None else at(end, condition.user),
        one(facts.pause),
        one(facts.interrupt),
        all_of(facts.backchannels, condition.user),
        [at(t, condition.user) for t in facts.references],
    )
