"""Random scenes of all scenarios, with the timing of natural talk, for validation at scale.

Floor-transfer offsets have their mode at 200 ms, and about 40 % of them are overlaps (Heldner &
Edlund 2010). What the model does (answers, waits, yields, talks on, stays silent) is drawn a scene
at a time; what follows for the metrics is left to the profile that scores the true speech.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from flexi_score.config import unknown_name
from flexi_score.errors import InputError
from flexi_score.schema import SCENARIOS
from flexi_score.simulate.clips import Clip, Clips, cut_clip, seeded
from flexi_score.simulate.scene import Annotation, Moment, Say, Scene

#: Clips of turns are at least this long, so that a takeover is no backchannel by 0.3 s.
TURN_MS: Final = 1300
#: Clips of backchannels are at most this long; where there are none, a clip is cut.
BACKCHANNEL_MS: Final = 750

_MODE_S, _EARLY_S, _LATE_S = 0.2, 0.6, 0.5


def random_scenes(
    n: int,
    clips: Clips,
    seed: int = 0,
    scenario: str | Sequence[str] | None = None,
    *,
    system: str = "simulated",
    annotate: bool = True,
    levels_db: tuple[float, float] = (-32.0, -20.0),
) -> list[Scene]:
    """``n`` random scenes for :func:`flexi_score.simulate.write.write_scenes`.

    ``scenario``: one or some; the six of the benchmark in turn if not given. ``annotate``: whether
    the manifest gives the scenario's moments away. ``levels_db``: lowest and highest level of
    speech, dBFS, drawn for each channel. User and model have different voices where there are
    several.
    """
    wanted = [scenario] if isinstance(scenario, str) else list(scenario or SCENARIOS[:6])
    for name in wanted:
        if name not in SCENARIOS:
            raise InputError(unknown_name("scenario", name, SCENARIOS))
    if n < 1:
        raise InputError(f"found {n} scenes to make, expected 1 or more")
    _check_clips(clips)
    width = len(str(n))
    scenes = []
    for number in range(n):
        name = wanted[number % len(wanted)]
        draft = _Draft(clips, seeded("scene", seed, number, name))
        _WRITERS[name](draft)
        scenes.append(
            Scene(
                id=f"{name}_{number:0{width}d}",
                says=tuple(draft.says),
                scenario=name,  # type: ignore[arg-type]  # checked above
                system=system,
                levels_db=(draft.between(*levels_db), draft.between(*levels_db)),
                tail_s=draft.tail_s,
                annotate=_ANNOTATED[name] if annotate else _REFERENCES[name],
                **draft.marks,
            )
        )
    return scenes


def floor_offset_s(rng: np.random.Generator) -> float:
    """A floor-transfer offset of natural talk: two exponentials back to back."""
    early = rng.random() < _EARLY_S / (_EARLY_S + _LATE_S)
    spread = rng.exponential(_EARLY_S if early else _LATE_S)
    return round(float(np.clip(_MODE_S + (-spread if early else spread), -2.0, 3.0)), 3)


def _check_clips(clips: Clips) -> None:
    longest = max((clip.duration_ms for clip in clips.by_name.values()), default=0)
    if longest < TURN_MS:
        raise InputError(
            f"{clips.root}: the longest of {len(clips)} clips lasts {longest} ms; random scenes "
            f"need some of {TURN_MS} ms or more"
        )


class _Draft:
    """A scene while it is being written: clips are drawn, moments are in seconds from the start."""

    def __init__(self, clips: Clips, rng: np.random.Generator) -> None:
        self.rng = rng
        self.says: list[Say] = []
        self.marks: dict[str, Any] = {}
        self.tail_s = self.between(1.2, 2.2)
        self.turns: dict[str, list[Clip]] = {}
        self.calls: dict[str, list[Clip]] = {}
        voices = sorted({clip.voice for clip in clips.by_name.values()})
        order = [voices[i] for i in rng.permutation(len(voices))]
        everything = [clips.by_name[name] for name in sorted(clips.by_name)]
        for k, who in enumerate(("user", "model")):
            voice = order[k % len(order)]
            long = [c for c in everything if c.duration_ms >= TURN_MS]
            short = [c for c in everything if c.duration_ms <= BACKCHANNEL_MS]
            short = [c for c in short if len(c.text.split()) <= 3]
            self.turns[who] = [c for c in long if c.voice == voice] or long
            self.calls[who] = [c for c in short if c.voice == voice] or short
        self.ends: dict[str, float] = {}
        self.starts: dict[str, float] = {}

    def chance(self, p: float) -> bool:
        return bool(self.rng.random() < p)

    def between(self, low: float, high: float) -> float:
        return round(float(self.rng.uniform(low, max(low, high))), 3)

    def pick(self, clips: Sequence[Clip]) -> Clip:
        return clips[int(self.rng.integers(len(clips)))]

    def turn(self, who: str, name: str, at: float, least_s: float = 0.0) -> None:
        """Say a clip of a turn; the longest there is where none lasts ``least_s``."""
        fitting = [c for c in self.turns[who] if c.duration_ms >= least_s * 1000]
        longest = max(self.turns[who], key=lambda c: c.duration_ms)
        self.say(who, name, self.pick(fitting) if fitting else longest, at)

    def call(self, who: str, name: str, at: float) -> None:
        """Say a backchannel: a short clip, or the beginning of a long one."""
        if self.calls[who]:
            return self.say(who, name, self.pick(self.calls[who]), at, gain_db=-3.0)
        length = self.between(0.25, 0.5)
        self.say(
            who, name, self.pick(self.turns[who]), at, cut=f"{name}.start+{length}", gain_db=-3.0
        )
        self.ends[name] = at + length

    def say(
        self,
        who: str,
        name: str,
        clip: Clip,
        at: float,
        cut: Moment | None = None,
        gain_db: float = 0.0,
    ) -> None:
        at = round(max(at, 0.3), 3)
        self.says.append(Say(who, name, clip.name, at, cut, gain_db))  # type: ignore[arg-type]
        self.starts[name], self.ends[name] = at, at + clip.duration_ms / 1000

    def stop(self, name: str, at: float) -> None:
        """Cut a clip that is under way, if there is speech to cut at."""
        for k, say in enumerate(self.says):
            if say.name == name and self.starts[name] + 0.2 < at < self.ends[name]:
                end = self._cut_end(say, at)
                if end is not None:
                    cut = f"{name}.start+{round(at - self.starts[name], 3)}"
                    self.says[k] = Say(say.who, name, say.clip, say.at, cut, say.gain_db)
                    self.ends[name] = end

    def _cut_end(self, say: Say, at: float) -> float | None:
        clip = next(c for c in self.turns[say.who] if c.name == say.clip)
        try:
            cut = cut_clip(clip, round((at - self.starts[say.name]) * 1000))
        except InputError:
            return None
        return self.starts[say.name] + cut.duration_ms / 1000

    def length(self, name: str) -> float:
        return self.ends[name] - self.starts[name]


def _turn_taking(d: _Draft) -> None:
    d.turn("user", "q", d.between(0.4, 1.4))
    what = d.rng.random()
    if what < 0.85:
        d.turn("model", "r", d.ends["q"] + max(floor_offset_s(d.rng), 0.4 - d.length("q")))
    elif what < 0.95:
        d.call("model", "b", d.ends["q"] + d.between(0.1, 0.6))


def _pause_handling(d: _Draft) -> None:
    d.turn("user", "p", d.between(0.4, 1.4))
    pause = d.between(0.7, 2.6)
    d.turn("user", "q", d.ends["p"] + pause)
    what = d.rng.random()
    if what < 0.35:  # takes the pause for the end of the turn
        d.turn("model", "r", d.ends["p"] + d.between(0.15, pause - 0.1))
    else:
        if what < 0.55:
            d.call("model", "b", d.ends["p"] + d.between(0.1, 0.4))
        if what < 0.95:
            d.turn("model", "r", d.ends["q"] + abs(floor_offset_s(d.rng)))
    d.marks["pause"] = ("p", "q")


def _answered(d: _Draft, least_s: float) -> None:
    d.turn("user", "c", d.between(0.4, 1.2))
    d.turn("model", "a", d.ends["c"] + abs(floor_offset_s(d.rng)), least_s)


def _user_interrupt(d: _Draft) -> None:
    _answered(d, 3.0)
    latest = max(0.5, d.length("a") - 0.8)
    d.turn("user", "i", d.starts["a"] + d.between(min(1.0, latest), latest))
    what, held = d.rng.random(), "a"
    if what < 0.7:
        d.stop("a", d.starts["i"] + d.between(0.15, 1.3))
    else:  # talks on, past the interruption
        while d.ends[held] < d.ends["i"] + 0.4:
            before, held = held, held + "a"
            d.turn("model", held, d.ends[before] + d.between(0.05, 0.4))
    after = max(d.ends["i"], d.ends[held] + 0.3)
    if what < 0.6 or what > 0.85:
        d.turn("model", "r", after + abs(floor_offset_s(d.rng)))
    d.marks["interrupt"] = "i"


def _model_interrupt(d: _Draft) -> None:
    d.turn("user", "q", d.between(0.4, 1.2), 2.5)
    if d.chance(0.5):
        early = d.between(0.3, min(4.0, d.length("q") - 0.5))
        d.turn("model", "r", d.ends["q"] - early)
    elif d.chance(0.9):
        d.turn("model", "r", d.ends["q"] + abs(floor_offset_s(d.rng)))


def _user_backchannel(d: _Draft) -> None:
    _answered(d, 3.0)
    latest = max(0.5, d.length("a") - 1.0)
    d.call("user", "b", d.starts["a"] + d.between(min(0.8, latest), latest))
    d.tail_s = d.between(1.8, 2.6)  # so that a stop at the end lasts
    if d.chance(0.45):
        d.stop("a", d.starts["b"] + d.between(0.2, 0.9))
        if d.chance(0.7):
            back = max(d.ends["a"] + d.between(0.3, 2.4), d.ends["b"] + 0.05)
            d.turn("model", "r", back)
    d.marks["backchannels"] = ("b",)


def _model_backchannel(d: _Draft) -> None:
    d.turn("user", "p", d.between(0.4, 1.2), 2.0)
    d.turn("user", "q", d.ends["p"] + d.between(0.25, 0.7), 2.0)
    references: list[Moment] = []
    clock, number = d.starts["p"] + d.between(0.6, 2.0), 0
    while clock < d.ends["q"] - 0.9:
        if d.chance(0.7):
            number += 1
            d.call("model", f"b{number}", clock)
        # The reference agrees with the model by about half.
        references.append(round(clock + (0.0 if d.chance(0.5) else d.between(0.3, 0.9)), 3))
        clock += d.between(1.9, 3.6)
    if d.chance(0.2):
        after = max((end for name, end in d.ends.items() if name[0] == "b"), default=0.0)
        early = d.ends["q"] - d.between(0.3, 1.2)
        d.turn("model", "r", max(early, after + 1.05))
    elif d.chance(0.8):
        last = max((end for name, end in d.ends.items() if name[0] == "b"), default=0.0)
        d.turn("model", "r", max(d.ends["q"] + abs(floor_offset_s(d.rng)), last + 1.05))
    d.marks["references"] = tuple(sorted({r for r in references if isinstance(r, float)}))


def _conversation(d: _Draft) -> None:
    d.turn("user", "t0", d.between(0.4, 1.4))
    who, last = "user", "t0"
    for number in range(1, int(d.rng.integers(5, 13))):
        other = "model" if who == "user" else "user"
        if d.length(last) > 2.5 and d.chance(0.3):
            at = d.starts[last] + d.between(0.8, d.length(last) - 1.2)
            d.call(other, f"b{number}", at)
        name = f"t{number}"
        if d.chance(0.2):  # a pause; the same speaker goes on
            d.turn(who, name, d.ends[last] + d.between(0.25, 1.2))
        elif d.length(last) > 2.0 and d.chance(0.12):  # interrupted, and yields
            d.turn(other, name, d.starts[last] + d.between(1.0, d.length(last) - 0.6))
            d.stop(last, d.starts[name] + d.between(0.2, 0.5))
            who = other
        else:
            offset = max(floor_offset_s(d.rng), 0.5 - d.length(last))
            spoken = [d.ends[say.name] for say in d.says if say.who == other]
            d.turn(other, name, max(d.ends[last] + offset, max(spoken, default=0.0) + 0.1))
            who = other
        last = name


_WRITERS: Final[dict[str, Callable[[_Draft], None]]] = {
    "turn_taking": _turn_taking,
    "pause_handling": _pause_handling,
    "user_interrupt": _user_interrupt,
    "model_interrupt": _model_interrupt,
    "user_backchannel": _user_backchannel,
    "model_backchannel": _model_backchannel,
    "conversation": _conversation,
}

_ANNOTATED: Final[dict[str, tuple[Annotation, ...]]] = {
    "turn_taking": ("user_turn_end",),
    "pause_handling": ("pause", "user_turn_end"),
    "user_interrupt": ("interrupt",),
    "model_interrupt": ("user_turn_end",),
    "user_backchannel": ("backchannels",),
    "model_backchannel": ("user_turn_end", "reference_backchannels"),
    "conversation": (),
}
#: What detection cannot supply.
_REFERENCES: Final[dict[str, tuple[Annotation, ...]]] = {
    name: ("reference_backchannels",) if name == "model_backchannel" else () for name in _ANNOTATED
}
