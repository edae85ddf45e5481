"""Scenes as data: who says which clip when; and their two clean channels with exact truth.

A moment is a number of seconds, or a point of another clip of the scene with an offset in seconds:
``"q.end+0.7"`` is 0.7 s after clip ``q`` ends, ``"q.pause2"`` the start of the second silence
inside it. All moments fall on whole milliseconds.
"""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import field
from typing import Any, Final, Literal

import numpy as np
from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from flexi_score.config import hint
from flexi_score.errors import InputError
from flexi_score.schema import SPEAKERS, Scenario, Speaker
from flexi_score.simulate.clips import BRIDGE_MS, MS, Clip, Clips, Signal, Span, bridge, cut_clip

_PLAN = ConfigDict(extra="forbid", allow_inf_nan=False)

#: Recordings last a multiple of this.
GRID_MS: Final = 20
MAX_DURATION_MS: Final = 4 * 3_600_000

Annotation = Literal[
    "user_turn_end", "pause", "interrupt", "backchannels", "reference_backchannels"
]
Moment = float | str


@dataclass(frozen=True, config=_PLAN)
class Say:
    """One clip of a scene."""

    who: Speaker
    name: str  # what the scene calls it; letters, digits and ``_``
    clip: str  # name of a clip of the library
    at: Moment  # the moment at which it starts
    #: the moment at which it stops, at the first clear speech from there on: how a model yields
    cut: Moment | None = None
    gain_db: float = 0.0  # louder or softer than the speaker's level in the scene


@dataclass(frozen=True, config=_PLAN)
class Scene:
    """One recording."""

    #: names its files: letters, digits and ``. _ -``
    id: str
    says: tuple[Say, ...]
    scenario: Scenario = "conversation"
    system: str = "simulated"
    #: active level of the user's and the model's speech, dBFS RMS
    levels_db: tuple[float, float] = (-26.0, -26.0)
    tail_s: float = 1.0  # silence after the last speech
    pause: tuple[str, str] | None = None  # the user's clips before and after the pause
    interrupt: str | None = None  # the user's clip that interrupts
    backchannels: tuple[str, ...] = ()  # the user's clips that are backchannels
    references: tuple[Moment, ...] = ()  # where a backchannel of the model would be welcome
    #: the annotations that the manifest gives away; the others are left to detection
    annotate: tuple[Annotation, ...] = ()
    text: dict[str, str] = field(default_factory=dict)  # ``text`` of the manifest row
    metadata: dict[str, Any] = field(default_factory=dict)  # further keys of the manifest row
    #: its own condition (:func:`flexi_score.simulate.channel.make_condition`)
    condition: str | dict[str, Any] | None = None


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is true of a recording, all in ms: speech, and the moments a scenario turns on."""

    duration_ms: int
    user: list[Span]
    model: list[Span]
    user_turn_end: int | None = None
    pause: Span | None = None
    interrupt: Span | None = None
    backchannels: list[Span] = field(default_factory=list)
    references: list[int] = field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Mix:
    """A scene on two clean channels."""

    scene: Scene
    #: of float64, shape (2, 16 * duration in ms): user and model, each with nothing but its speech
    audio: Signal
    facts: Facts
    said: dict[Speaker, str]  # the texts of the clips, where known
    voices: dict[Speaker, str]


_MOMENT = re.compile(
    r"\s*(?:(\w+)\.(start|end|pause)(\d*)\s*)?(?:([+-]?)\s*(\d+(?:\.\d*)?|\.\d+))?\s*", re.ASCII
)
_NAME = re.compile(r"\w[\w.-]*", re.ASCII)


def mix_scene(scene: Scene, clips: Clips) -> Mix:
    """The clean channels of a scene, and the truth about them."""
    try:
        return _mix(scene, clips)
    except InputError as error:
        raise InputError(f"scene {scene.id!r}: {error}") from None


def _mix(scene: Scene, clips: Clips) -> Mix:
    _check_names(scene)
    line = _Timeline(scene, clips)
    spans = {name: line.span(name) for name in line.says}
    early = [name for name, (start, _) in spans.items() if start < 0]
    if early:
        at = spans[early[0]][0] / 1000
        raise InputError(f"{early[0]!r} starts at {at:.3f} s, before the recording; start later")
    last = max((end for _, end in spans.values()), default=0) + round(scene.tail_s * 1000)
    duration_ms = -(-max(last, 500) // GRID_MS) * GRID_MS
    if duration_ms > MAX_DURATION_MS:
        raise InputError(f"lasts {duration_ms / 3_600_000:.1f} h, expected at most 4 h")
    audio = np.zeros((2, duration_ms * MS))
    speech: dict[Speaker, list[Span]] = {"user": [], "model": []}
    for name, say in line.says.items():
        channel = SPEAKERS.index(say.who)
        clip, at = line.clip(name), line.start(name)
        gain = 10 ** ((scene.levels_db[channel] + say.gain_db) / 20)
        audio[channel, at * MS : at * MS + len(clip.audio)] += gain * clip.audio
        speech[say.who] += [(at + a, at + b) for a, b in clip.speech]
    user, model = (bridge(speech[who], BRIDGE_MS) for who in SPEAKERS)
    answered = set(scene.backchannels)
    turns = [spans[n][1] for n, s in line.says.items() if s.who == "user" and n not in answered]
    facts = Facts(
        duration_ms,
        user,
        model,
        user_turn_end=max(turns, default=None),
        pause=scene.pause and (spans[scene.pause[0]][1], spans[scene.pause[1]][0]),
        interrupt=spans[scene.interrupt] if scene.interrupt else None,
        backchannels=sorted(spans[name] for name in scene.backchannels),
        references=sorted(line.moment(when) for when in scene.references),
    )
    order = sorted(line.says.values(), key=lambda say: spans[say.name])
    said: dict[Speaker, str] = {}
    voices: dict[Speaker, str] = {}
    for who in SPEAKERS:
        spoken = [line.clip(say.name) for say in order if say.who == who]
        said[who] = " ".join(clip.text for clip in spoken if clip.text)
        voices[who] = "+".join(sorted({clip.voice for clip in spoken if clip.voice}))
    return Mix(scene, audio, facts, said, voices)


def _check_names(scene: Scene) -> None:
    if not _NAME.fullmatch(scene.id) or len(scene.id) > 150:
        raise InputError("the id names files: letters, digits and . _ - only, at most 150 of them")
    if not scene.says:
        raise InputError("`says` is empty; expected at least one clip")
    names = [say.name for say in scene.says]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two clips are called {name!r}; every name is used once")
        if not re.fullmatch(r"\w+", name, re.ASCII):
            raise InputError(f"clip name {name!r}: letters, digits and _ only")
    users = [say.name for say in scene.says if say.who == "user"]
    named = [*(scene.pause or ()), *scene.backchannels, *filter(None, [scene.interrupt])]
    for name in named:
        if name not in users:
            advice = hint(name, users, "the user says")
            raise InputError(f"the user says no {name!r}; {advice}")


class _Timeline:
    """When the clips of a scene start and end; moments are looked up as they are asked for."""

    def __init__(self, scene: Scene, clips: Clips) -> None:
        self.says = {say.name: say for say in scene.says}
        self.whole = {say.name: clips[say.clip] for say in scene.says}
        self.known: dict[str, int] = {}
        self.cuts: dict[str, Clip] = {}
        self.pending: list[str] = []  # moments that are being looked up

    def moment(self, when: Moment) -> int:
        if isinstance(when, int | float):
            return round(when * 1000)
        match = _MOMENT.fullmatch(when)
        if not match or not when.strip():
            raise InputError(
                f"moment {when!r}: expected seconds, or a point of another clip as q.end+0.7, "
                "q.start, q.pause2-0.1"
            )
        name, point, number, sign, digits = match.groups()
        ms = round(float(digits or 0) * 1000) * (-1 if sign == "-" else 1)
        if name is None:
            return ms
        if digits and not sign:
            raise InputError(f"moment {when!r}: + or - is missing before {digits}")
        if name not in self.says:
            advice = hint(name, self.says, "there are")
            raise InputError(f"moment {when!r}: no clip is called {name!r}; {advice}")
        if point == "start":
            return self.start(name) + ms
        if point == "end":
            return self.start(name) + self.clip(name).duration_ms + ms
        silences = self.whole[name].speech[:-1]
        which = int(number or 1) - 1
        if not 0 <= which < len(silences):
            raise InputError(f"moment {when!r}: clip {name!r} has {len(silences)} silences inside")
        return self.start(name) + silences[which][1] + ms

    def start(self, name: str) -> int:
        if name not in self.known:
            with self._looking_up(f"{name} starts"):
                self.known[name] = self.moment(self.says[name].at)
        return self.known[name]

    def clip(self, name: str) -> Clip:
        """A clip as it is heard, cut off where the scene says so."""
        cut = self.says[name].cut
        if cut is None:
            return self.whole[name]
        if name not in self.cuts:
            with self._looking_up(f"{name} is cut"):
                self.cuts[name] = cut_clip(self.whole[name], self.moment(cut) - self.start(name))
        return self.cuts[name]

    def span(self, name: str) -> Span:
        return self.start(name), self.start(name) + self.clip(name).duration_ms

    @contextmanager
    def _looking_up(self, what: str) -> Iterator[None]:
        """Notices moments that refer to themselves."""
        if what in self.pending:
            raise InputError(f"moments go in a circle: when {', when '.join(self.pending)}")
        self.pending.append(what)
        yield
        self.pending.pop()
