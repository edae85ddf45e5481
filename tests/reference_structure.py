"""The structure of one recording, slowly and obviously: what the vectorised code must agree with.

Written from the definitions, with plain lists and one pass over the IPUs in the order of time.
"""

from dataclasses import dataclass, field

from factories import Dialogue

from flexi_score.config import Settings

Pair = tuple[int, int]


@dataclass
class Unit:
    """An IPU: its words, and what becomes of it."""

    speaker: str
    start: int
    end: int
    words: list[str] = field(default_factory=list)
    group: "Group | None" = None
    role: str = ""  # claim | backchannel | failed
    holder: str | None = None


@dataclass
class Group:
    """IPUs of one speaker, each close to the one before it."""

    speaker: str
    units: list[Unit]
    long: bool

    @property
    def start(self) -> int:
        return self.units[0].start

    @property
    def end(self) -> int:
        return self.units[-1].end


@dataclass
class Event:
    """A row of the event table."""

    speaker: str
    kind: str
    start: int
    end: int
    text: str | None = None
    n_words: int | None = None
    n_ipus: int | None = None
    success: bool | None = None
    latency: int | None = None

    def key(self) -> tuple[object, ...]:
        fields = (self.text, self.n_words, self.n_ipus, self.success, self.latency)
        return (self.start, self.kind, self.speaker, self.end, *(repr(v) for v in fields))


@dataclass
class Recording:
    """Structure of one recording."""

    duration: int
    units: dict[str, list[Unit]]
    groups: dict[str, list[Group]]
    known: dict[str, bool]
    events: list[Event]

    def of(self, kind: str, speaker: str | None = None) -> list[Event]:
        found = [e for e in self.events if e.kind == kind and speaker in (None, e.speaker)]
        return sorted(found, key=lambda e: (e.start, e.end))


OTHER = {"user": "model", "model": "user"}


def analyse(dialogue: Dialogue, settings: Settings) -> Recording:
    """Structure of one recording."""
    duration = dialogue.duration
    spoken = {"user": dialogue.user, "model": dialogue.model}
    words = {"user": dialogue.user_words, "model": dialogue.model_words}
    known = {name: words[name] is not None for name in spoken}
    units = {name: ipus(name, spans, duration, settings) for name, spans in spoken.items()}
    for name in units:
        place_words(units[name], words[name] or [], settings)
    groups = {
        name: group(name, units[name], units[OTHER[name]], known[name], settings) for name in units
    }
    floor = pass_the_floor(units, groups, settings)
    recording = Recording(duration, units, groups, known, [])
    recording.events = (
        list(held_turns(floor, known))
        + list(runs(units, "failed", "turn", known))
        + list(runs(units, "backchannel", "backchannel", known))
        + list(interruptions(units, known))
        + [event("ipu", [u], known) for name in units for u in units[name]]
        + silences_and_overlaps(units, floor, duration)
    )
    return recording


def ipus(speaker: str, spans: list[Pair], duration: int, settings: Settings) -> list[Unit]:
    """Bridge silences shorter than the limit, then drop runs shorter than the limit."""
    cut = sorted((max(a, 0), min(b, duration)) for a, b in spans if a < b)
    runs: list[list[int]] = []
    for a, b in cut:
        if a >= b:
            continue
        if runs and (a <= runs[-1][1] or a - runs[-1][1] < settings.ipu.min_silence_ms):
            runs[-1][1] = max(runs[-1][1], b)
        else:
            runs.append([a, b])
    return [Unit(speaker, a, b) for a, b in runs if b - a >= settings.ipu.min_speech_ms]


def place_words(units: list[Unit], words: list[tuple[int, int, str]], settings: Settings) -> None:
    """A word belongs to the IPU that holds its middle, else to the nearest within reach."""
    for a, b, text in sorted(words, key=lambda w: (w[0], w[1])):
        middle = (a + b) // 2
        best = None
        for unit in units:
            # Distance in whole milliseconds to the nearest millisecond of speech.
            away = max(unit.start - middle, middle - (unit.end - 1), 0)
            if away <= settings.ipu.word_reach_ms and (best is None or away < best[0]):
                best = (away, unit)
        if best is not None:
            best[1].words.append(text)


def container(unit: Unit, others: list[Unit]) -> Unit | None:
    """The other's IPU that a whole IPU lies inside."""
    return next((o for o in others if o.start <= unit.start and unit.end <= o.end), None)


def group(
    speaker: str, units: list[Unit], others: list[Unit], known: bool, settings: Settings
) -> list[Group]:
    """IPUs less than ``takeover.group_ms`` apart are one group; those inside an IPU of the other
    group only with those inside the same one."""
    parts: list[list[Unit]] = []
    for unit in units:
        before = parts[-1][-1] if parts else None
        if (
            before is not None
            and unit.start - before.end < settings.takeover.group_ms
            and container(unit, others) is container(before, others)
        ):
            parts[-1].append(unit)
        else:
            parts.append([unit])
    groups = []
    for part in parts:
        n_words = sum(len(unit.words) for unit in part) if known else 0
        long = part[-1].end - part[0].start > settings.backchannel.max_ms
        long = long or n_words > settings.backchannel.max_words
        groups.append(Group(speaker, part, long))
        for unit in part:
            unit.group = groups[-1]
    return groups


def other_goes_on(
    short: Group, groups: dict[str, list[Group]], others: list[Unit], settings: Settings
) -> bool:
    """Whether the other speaks on after a short utterance: over its end, or again, soon enough
    after the other's own last end and before the listener says anything more."""
    if any(o.start < short.end < o.end for o in others):
        return True
    before = [o.end for o in others if o.start < short.end]
    after = [o.start for o in others if o.start >= short.end]
    if not before or not after:
        return False
    more = [g.start for g in groups[short.speaker] if g.start > short.start]
    if more and min(more) <= min(after):
        return False
    return min(after) - max(before) <= settings.backchannel.max_pause_ms


def pass_the_floor(
    units: dict[str, list[Unit]], groups: dict[str, list[Group]], settings: Settings
) -> list[Unit]:
    """Go through all IPUs by time; return those that take or keep the floor, in that order."""
    everything = sorted(units["user"] + units["model"], key=lambda u: (u.start, u.end))
    holder: str | None = None
    floor = []
    for unit in everything:
        others = units[OTHER[unit.speaker]]
        tied = any((o.start, o.end) == (unit.start, unit.end) for o in others)
        assert unit.group is not None
        # The other began before and talks on over this IPU.
        drowned = any(o.start < unit.start and unit.end <= o.end for o in others)
        backchannel = not unit.group.long and other_goes_on(unit.group, groups, others, settings)
        unit.holder = holder
        if holder == unit.speaker:
            unit.role = "claim"
        elif holder == OTHER[unit.speaker] and backchannel:
            unit.role = "backchannel"
        elif tied or drowned:
            unit.role = "failed"
        else:
            unit.role = "claim"
        if unit.role == "claim":
            holder = unit.speaker
            floor.append(unit)
    return floor


def event(kind: str, members: list[Unit], known: dict[str, bool]) -> Event:
    """An event made of IPUs of one speaker."""
    name = members[0].speaker
    words = [text for unit in members for text in unit.words]
    return Event(
        name,
        kind,
        members[0].start,
        max(unit.end for unit in members),
        " ".join(words) if known[name] else None,
        len(words) if known[name] else None,
        len(members),
    )


def held_turns(floor: list[Unit], known: dict[str, bool]) -> list[Event]:
    """Turns: what one speaker says until the other takes the floor."""
    found: list[list[Unit]] = []
    for unit in floor:
        if found and found[-1][-1].speaker == unit.speaker:
            found[-1].append(unit)
        else:
            found.append([unit])
    turns = [event("turn", members, known) for members in found]
    for number, turn in enumerate(turns):
        turn.success = True
        turn.latency = turn.start - turns[number - 1].end if number else None
    return turns


def runs(units: dict[str, list[Unit]], role: str, kind: str, known: dict[str, bool]) -> list[Event]:
    """Successive IPUs of one role within one group."""
    found: list[list[Unit]] = []
    for name in units:
        before = None
        for unit in units[name]:
            if unit.role == role:
                if before and before.role == role and before.group is unit.group:
                    found[-1].append(unit)
                else:
                    found.append([unit])
            before = unit
    events = [event(kind, members, known) for members in found]
    if kind == "turn":
        for one in events:
            one.success = False
    return events


def interruptions(units: dict[str, list[Unit]], known: dict[str, bool]) -> list[Event]:
    """IPUs that are no backchannels, of one who does not hold the turn, inside one of the other."""
    found = []
    for name in units:
        others = units[OTHER[name]]
        for unit in units[name]:
            cut = [o for o in others if o.start < unit.start < o.end]
            if unit.role == "backchannel" or unit.holder == name or not cut:
                continue
            stop = cut[0].end
            back = any(stop <= o.start < unit.end for o in others if o.role != "backchannel")
            one = event("interruption", [unit], known)
            one.success = stop < unit.end and not back
            one.latency = stop - unit.start
            found.append(one)
    return found


def silences_and_overlaps(
    units: dict[str, list[Unit]], floor: list[Unit], duration: int
) -> list[Event]:
    """Silences, pauses, gaps and overlaps."""
    found = []
    for u in units["user"]:
        for m in units["model"]:
            if max(u.start, m.start) < min(u.end, m.end):
                found.append(Event("both", "overlap", max(u.start, m.start), min(u.end, m.end)))
    everyone = units["user"] + units["model"]
    clock = 0
    for start, end in [*sorted((u.start, u.end) for u in everyone), (duration, duration)]:
        if start > clock:
            found.append(Event("none", "silence", clock, start))
            before = {u.speaker for u in everyone if u.end == clock}
            after = {u.speaker for u in everyone if u.start == start}
            if before and after:
                same = before & after
                if len(same) == 2:
                    held = [u.speaker for u in floor if u.start < clock]
                    same = {held[-1]} if held else set()
                if same:
                    found.append(Event(next(iter(same)), "pause", clock, start))
                else:
                    found.append(Event("none", "gap", clock, start))
        clock = max(clock, end)
    return found
