"""Profiles voice-agent and eva, slowly and obviously, one recording at a time.

Written from the definitions in the modules' docstrings, over :mod:`reference_structure`.
"""

from dataclasses import dataclass, field

from factories import Dialogue
from reference_structure import Recording, Unit, analyse

from flexi_score.config import Settings


@dataclass
class Exchange:
    """A user turn and the model's IPUs (no backchannels) that start before the next one."""

    start: int
    end: int
    limit: int
    last: bool
    users: list[Unit]
    models: list[Unit] = field(default_factory=list)


def exchanges(found: Recording, apart: int, attempts: bool) -> list[Exchange]:
    """User turns in order, each with what the model says in it."""
    roles = ("claim", "failed") if attempts else ("claim",)
    users = [u for u in found.units["user"] if u.role in roles]
    models = [m for m in found.units["model"] if m.role != "backchannel"]
    runs: list[list[Unit]] = []
    for unit in users:
        before = runs[-1][-1] if runs else None
        answered = before is not None and any(before.end <= m.start <= unit.start for m in models)
        if before is None or answered or unit.start - before.end >= apart:
            runs.append([unit])
        else:
            runs[-1].append(unit)
    out = []
    for i, run in enumerate(runs):
        last = i + 1 == len(runs)
        limit = found.duration if last else runs[i + 1][0].start
        mine = [m for m in models if m.start >= run[0].start and (last or m.start < limit)]
        out.append(Exchange(run[0].start, run[-1].end, limit, last, run, mine))
    return out


def over(units: list[Unit], moment: int) -> Unit | None:
    """The IPU that starts before and ends after a moment."""
    return next((u for u in units if u.start < moment < u.end), None)


def voice_agent(dialogue: Dialogue, settings: Settings) -> dict[str, tuple[float, float]]:
    """Numerator and denominator of every metric of the panel."""
    found = analyse(dialogue, settings)
    silence = settings.voice_agent.silence_ms
    users, models = found.units["user"], found.units["model"]
    minutes = dialogue.duration / 60_000
    turns = unanswered = awkward = 0
    for e in exchanges(found, silence, attempts=False):
        missing = not any(m.role == "claim" for m in e.models)
        if missing and dialogue.duration - e.end < silence:
            continue
        turns += 1
        unanswered += missing
        after = [u.start for u in users + models if u.start >= e.end]
        quiet = min([*after, dialogue.duration]) - e.end
        awkward += quiet >= silence and over(models, e.end) is None
    false_starts = 0
    for cut in found.of("interruption", "user"):
        if not cut.success:
            continue
        model = over(models, cut.start)
        assert model is not None
        before = max((u.end for u in users if u.end <= model.start), default=None)
        own = max((m.end for m in models if m.end <= model.start and m is not model), default=None)
        if before is None or cut.start - before >= silence:
            continue
        false_starts += own is None or own <= before
    sounds = [(e.start, e.end) for e in found.of("backchannel", "user")]
    sounds += [
        (u.start, u.end)
        for u in users
        if found.known["user"] and not u.words and u.role != "backchannel"
    ]
    events = stops = resumed = 0
    for start, end in sounds:
        if over(models, start) is None:
            continue
        last = end + settings.user_backchannel.stop_window_ms
        stop = None
        for i, m in enumerate(models):
            later = models[i + 1].start if i + 1 < len(models) else None
            until = dialogue.duration if later is None else later
            if m.end > start and until - m.end >= settings.yield_.hold_ms:
                stop, again = m.end, later
                break
        first_end = min(m.end for m in models if m.end > start)
        if stop is not None and stop <= last:
            events, stops = events + 1, stops + 1
            resumed += again is not None and again - stop <= settings.user_backchannel.resume_ms
        elif first_end <= last and first_end > dialogue.duration - settings.yield_.hold_ms:
            continue
        else:
            events += 1
    inner = found.of("pause") + found.of("gap")
    long = sum(e.end - e.start for e in inner if e.end - e.start >= silence)
    everyone = users + models
    span = max(u.end for u in everyone) - min(u.start for u in everyone) if everyone else 0
    model_turns = [t.end - t.start for t in found.of("turn", "model")]
    out = {
        "unanswered_turns": (unanswered, turns),
        "awkward_silences": (awkward, turns),
        "awkward_silences_per_min": (awkward, minutes),
        "false_interruptions": (false_starts, turns),
        "false_interruptions_per_min": (false_starts, minutes),
        "false_stops": (stops, events),
        "false_stops_per_min": (stops, minutes),
        "resumptions": (resumed, stops),
        "longest_monologue": (max(model_turns, default=0) / 1000, bool(model_turns)),
        "dead_air": (long / 1000, span / 1000),
    }
    for name, own_units, others in (("model", models, users), ("user", users, models)):
        shared = sum(
            max(0, min(u.end, o.end) - max(u.start, o.start))
            for u in own_units
            if u.role != "backchannel"
            for o in others
            if o.start < u.start
        )
        out[f"{name}_talk_over_s_per_min"] = (shared / 1000, minutes)
        known = own_units if found.known[name] else []
        words = sum(len(u.words) for u in known)
        spoken = sum(u.end - u.start for u in known) / 60_000
        out[f"{name}_words_per_min"] = (words, spoken)
    wins = [c for c in found.of("interruption", "user") if c.success and found.known["model"]]
    said = 0
    for cut in wins:
        turn = [t for t in found.of("turn", "model") if t.start <= cut.start][-1]
        stop = cut.start + cut.latency
        said += sum(len(m.words) for m in models if turn.start <= m.start and m.end <= stop)
    out["words_before_cut"] = (said, len(wins))
    # Neither texts nor words outside speech are in these recordings.
    return out | {"user_word_errors": (0, 0), "unspoken_words": (0, 0)}


def curve(latency: float, tool: bool, settings: Settings) -> float:
    """EVA's latency curve."""
    rules = settings.eva
    slow, late = (
        (rules.tool_slow_ms, rules.tool_late_ms) if tool else (rules.slow_ms, rules.late_ms)
    )
    if latency <= rules.early_ms or latency >= late:
        return 0.0
    if latency < rules.prompt_ms:
        return (latency - rules.early_ms) / (rules.prompt_ms - rules.early_ms)
    return 1.0 if latency <= slow else (late - latency) / (late - slow)


def eva(
    dialogue: Dialogue, settings: Settings, tools: list[tuple[int, int]]
) -> list[tuple[float, str, float | None]]:
    """Score, kind and latency of every exchange that counts."""
    found = analyse(dialogue, settings)
    models = found.units["model"]
    rules = settings.eva
    out: list[tuple[float, str, float | None]] = []
    for e in exchanges(found, settings.takeover.group_ms, attempts=True):
        answer = min((m.start for m in e.models if m.start >= e.end), default=None)
        until = e.end if answer is None else answer
        tool = any(a < until and b > e.start for a, b in tools if a < b)
        cutting = [m for m in e.models if any(m.start < u.end and u.start < m.end for u in e.users)]
        under_way = over(models, e.end) is not None
        gap = None if answer is None or under_way else answer - e.end
        spoken_over = over(models, e.start)
        agent = user = None
        if cutting:
            overlap = sum(
                max(0, min(m.end, u.end) - max(m.start, u.start)) for m in e.models for u in e.users
            )
            agent = min(
                0.5 * max(0.0, 1 - overlap / rules.overlap_ms),
                {1: 0.5, 2: 0.25}.get(len(cutting), 0),
            )
            if gap is not None:
                agent = min(agent, curve(gap, tool, settings))
        if spoken_over is not None:
            user = max(0.0, 1 - (spoken_over.end - e.start) / rules.yield_ms)
        if agent is not None and user is not None:
            out.append((min(agent, user), "both", None))
        elif agent is not None:
            out.append((agent, "agent", None))
        elif user is not None:
            out.append((user, "user", None))
        elif answer is not None:
            assert gap is not None
            out.append((curve(gap, tool, settings), "latency", gap))
        else:
            late = rules.tool_late_ms if tool else rules.late_ms
            if not (e.last and dialogue.duration - e.end < late):
                out.append((0.0, "missed", None))
    return out
