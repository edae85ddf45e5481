"""Conversation statistics, the tau panel and fdb-v1, slowly and obviously, one recording at a time.

Written from the definitions, over the events and IPUs of :mod:`reference_structure`.
"""

import math

from factories import Dialogue
from reference_structure import OTHER, Recording, Unit, analyse

from flexi_score.config import Settings

SIDES = ("user", "model")


def length(events) -> int:
    return sum(e.end - e.start for e in events)


def statistics(dialogue: Dialogue, settings: Settings) -> dict[str, int | None]:
    """A row of the statistics frame."""
    found = analyse(dialogue, settings)
    row: dict[str, int | None] = {"duration_ms": dialogue.duration}
    for side in SIDES:
        other = OTHER[side]
        turns = found.of("turn", side)
        offsets = [t.latency for t in turns if t.success and t.latency is not None]
        cuts = found.of("interruption", side)
        suffered = [c.latency for c in found.of("interruption", other) if c.success]
        row |= {
            f"{side}_ipus": len(found.of("ipu", side)),
            f"{side}_ipu_ms": length(found.of("ipu", side)),
            f"{side}_turns": sum(bool(t.success) for t in turns),
            f"{side}_floor_changes": len(offsets),
            f"{side}_floor_offset_ms": sum(offsets),
            f"{side}_overlapped_starts": sum(o < 0 for o in offsets),
            f"{side}_responses": sum(o >= 0 for o in offsets),
            f"{side}_response_ms": sum(o for o in offsets if o >= 0),
            f"{side}_interruptions": len(cuts),
            f"{side}_interruptions_successful": sum(bool(c.success) for c in cuts),
            f"{side}_stops": len(suffered),
            f"{side}_stop_ms": sum(suffered),
            f"{side}_backchannels": len(found.of("backchannel", side)),
        }
        if side == "model":
            levels = settings.conversation
            row["model_level_1"] = sum(0 <= o < levels.level_1_ms for o in offsets)
            row["model_level_2"] = sum(levels.level_1_ms <= o < levels.level_2_ms for o in offsets)
            row["model_level_3"] = sum(o >= levels.level_2_ms for o in offsets)
    for kind in ("pause", "gap", "overlap"):
        row[f"{kind}s"] = len(found.of(kind))
        row[f"{kind}_ms"] = length(found.of(kind))
    ipus = found.of("ipu")
    first = min((u.start for u in ipus), default=0)
    last = max((u.end for u in ipus), default=0)
    row["silence_ms"] = length(found.of("silence"))
    row["edge_silence_ms"] = first + dialogue.duration - last
    inner = [e.end - e.start for e in found.of("silence") if first <= e.start and e.end <= last]
    row["longest_silence_ms"] = max(inner, default=0) if ipus else None
    row["longest_silence_overall_ms"] = max(
        (e.end - e.start for e in found.of("silence")), default=0
    )
    return row


def observations(dialogue: Dialogue, settings: Settings) -> dict[str, list[float]]:
    """Events of each observed metric (s), in order of time."""
    found = analyse(dialogue, settings)
    out: dict[str, list[float]] = {}
    for side in SIDES:
        offsets = [
            t.latency / 1000 for t in found.of("turn", side) if t.success and t.latency is not None
        ]
        out[f"{side}_floor_offset"] = offsets
        out[f"{side}_response_latency"] = [o for o in offsets if o >= 0]
        out[f"{side}_stop_latency"] = [
            c.latency / 1000 for c in found.of("interruption", OTHER[side]) if c.success
        ]
    return out


def speaking(units: list[Unit], at: int) -> Unit | None:
    """The IPU that contains this moment."""
    for unit in units:
        if unit.start <= at < unit.end:
            return unit
    return None


def to_ignore(
    dialogue: Dialogue, found: Recording, noted: dict[str, list[tuple[int, int]]]
) -> dict[str, list[tuple[int, int]]]:
    """Events that the model should ignore, cut at the recording's end."""
    given = dialogue.row.get("backchannels")
    if given is None:
        told = [(e.start, e.end) for e in found.of("backchannel", "user")]
    else:
        told = [(b["start_ms"], b["end_ms"]) for b in given]
    kinds = {"backchannels": told, "vocal_tics": [], "non_directed": []} | noted
    return {
        kind: [(a, min(b, dialogue.duration)) for a, b in spans if a < dialogue.duration]
        for kind, spans in kinds.items()
    }


def tau(
    dialogue: Dialogue, settings: Settings, noted: dict[str, list[tuple[int, int]]]
) -> dict[str, tuple[float, int]]:
    """Total and number of events of every metric of the panel."""
    found, end_of = analyse(dialogue, settings), dialogue.duration
    ignored = to_ignore(dialogue, found, noted)
    user, model = found.units["user"], found.units["model"]

    def meant_for_nobody(start: int, end: int) -> bool:
        middle = (start + end) // 2
        return any(a <= middle < b for spans in ignored.values() for a, b in spans)

    speech = [m for m in model if m.role != "backchannel"]
    meant = [u for u in user if not meant_for_nobody(u.start, u.end)]
    turns: list[list[Unit]] = []
    for unit in meant:
        before = turns[-1][-1] if turns else None
        joins = before is not None and unit.start - before.end < settings.takeover.group_ms
        if joins and not any(before.end <= m.start <= unit.start for m in speech):
            turns[-1].append(unit)
        else:
            turns.append([unit])
    latencies: list[int | None] = []
    for number, turn in enumerate(turns):
        end = turn[-1].end
        if any(m.start < end < m.end for m in model):
            continue
        answer = min((m.start for m in speech if m.start >= end), default=math.inf)
        again = turns[number + 1][0].start if number + 1 < len(turns) else math.inf
        if answer == again == math.inf:
            continue
        latencies.append(answer - end if answer <= again else None)
    answered = [x for x in latencies if x is not None]

    window = settings.tau.yield_window_ms
    stops = [
        c.latency
        for c in found.of("interruption", "user")
        if not meant_for_nobody(c.start, c.end)
        and (c.latency >= window or c.start + c.latency < end_of)
    ]
    yields = [s for s in stops if s < window]
    panel = {
        "response_rate": (len(answered), len(latencies)),
        "response_latency": (sum(answered) / 1000, len(answered)),
        "yield_rate": (len(yields), len(stops)),
        "yield_latency": (sum(yields) / 1000, len(yields)),
        "agent_interruptions": (len(found.of("interruption", "model")), len(latencies)),
    }
    names = {
        "backchannels": "selectivity_backchannel",
        "vocal_tics": "selectivity_vocal_tic",
        "non_directed": "selectivity_non_directed",
    }
    for kind, name in names.items():
        outcomes = [ignores(model, a, b, end_of, kind, settings) for a, b in ignored[kind]]
        told = [o for o in outcomes if o is not None]
        panel[name] = (sum(told), len(told))
    panel["selectivity"] = tuple(sum(panel[name][i] for name in names.values()) for i in (0, 1))
    return panel


def ignores(
    model: list[Unit], start: int, end: int, end_of: int, kind: str, settings: Settings
) -> bool | None:
    """Whether the model rightly ignored an event; None where that cannot be told."""
    unit = speaking(model, start)
    if unit is not None:
        if unit.end - start >= settings.tau.stop_window_ms:
            return True
        return False if unit.end < end_of else None
    if kind == "backchannels":
        return None
    limit = end + settings.tau.response_window_ms
    if any(start <= m.start <= limit for m in model):
        return False
    return True if limit <= end_of else None


def joined(spans, gap: int, duration: int) -> list[list[int]]:
    """Segments of one side, joined where at most ``gap`` apart."""
    out: list[list[int]] = []
    for a, b in sorted((max(a, 0), min(b, duration)) for a, b in spans):
        if a >= b:
            continue
        if out and a - out[-1][1] <= gap:
            out[-1][1] = max(out[-1][1], b)
        else:
            out.append([a, b])
    return out


def fdb_takeover(words) -> tuple[float | None, float | None]:
    """TOR by words, and the first word's start; None without a transcript."""
    if words is None:
        return None, None
    chunks = sorted((a / 1000, b / 1000) for a, b, _ in words)
    if not chunks:
        return 0.0, None
    if chunks[-1][1] - chunks[0][0] < 1 and len(chunks) <= 3:
        return 0.0, chunks[0][0]
    return 1.0, chunks[0][0]


def fdb_latency(words, end_ms: int | None) -> float | None:
    """First word after the end, a negative one as 0."""
    tor, first = fdb_takeover(words)
    if not tor or end_ms is None or first is None:
        return None
    return max(first - end_ms / 1000, 0.0)


def fdb_timing(dialogue: Dialogue, settings: Settings) -> tuple[list[int], list[int]]:
    """Overlaps and response gaps (ms), as the published timing script finds them."""
    user = joined(dialogue.user, settings.fdb.user_merge_ms, dialogue.duration)
    model = joined(dialogue.model, settings.fdb.model_merge_ms, dialogue.duration)
    stops = [
        min(u[1], m[1]) - max(u[0], m[0])
        for u in user
        for m in model
        if max(u[0], m[0]) < min(u[1], m[1])
    ]
    by_start: dict[int, int] = {}
    for _, end in user:
        later = [m[0] for m in model if m[0] > end]
        if later:
            by_start[min(later)] = max(end, by_start.get(min(later), 0))
    return stops, [start - end for start, end in by_start.items()]


def fdb_behaviour(
    dialogue: Dialogue, overlap: tuple[int, int] | None, settings: Settings
) -> str | None:
    """What the model does after the overlap; None where there is none to speak of."""
    model = joined(dialogue.model, settings.fdb.model_merge_ms, dialogue.duration)
    if overlap is None:
        return None
    if not model:
        return "unknown"
    start, end = overlap
    now = next((m for m in model if m[0] <= start < m[1]), None)
    if now is None:
        return None
    stops = now[1] <= end + settings.fdb.stop_window_ms and now[1] < dialogue.duration
    if not stops:
        return "resume" if now[1] > end else "unknown"
    later = next((m for m in model if m[0] > now[0]), None)
    if later is None:
        return "unknown"
    if later[0] < end:
        return "resume"
    return "respond" if later[1] - later[0] > settings.backchannel.max_ms else "uncertain"


def fdb_rate_change(dialogue: Dialogue, overlap, settings: Settings) -> float | None:
    """Words a second of the model's speech after the overlap, minus before it."""
    if overlap is None or dialogue.model_words is None:
        return None
    s, e = overlap
    before = after = 0
    for a, b in joined(dialogue.model, settings.fdb.model_merge_ms, dialogue.duration):
        before += sum(1 for ms in range(a, b) if ms < s)
        after += sum(1 for ms in range(a, b) if ms >= e)
    if not before or not after:
        return None
    middles = [(a + b) / 2 for a, b, _ in dialogue.model_words]
    early, late = sum(m < s for m in middles), sum(m >= e for m in middles)
    return 1000 * (late / after - early / before)


def fdb_intensity_change(dialogue: Dialogue, overlap, level) -> float | None:
    """Mean of the model's level (dB) where it speaks, after the overlap minus before it."""
    if overlap is None:
        return None
    late = dialogue.row.get("model_offset_ms") or 0
    before, after = [], []
    for k, cdb in enumerate(level):
        middle = late + 10 * k + 5
        if middle < dialogue.duration and any(a <= middle < b for a, b in dialogue.model):
            if middle < overlap[0]:
                before.append(cdb / 100)
            elif middle >= overlap[1]:
                after.append(cdb / 100)
    if not before or not after:
        return None
    return sum(after) / len(after) - sum(before) / len(before)


def fdb_tools(dialogue: Dialogue) -> tuple[float | None, float | None]:
    """Tool and task latency (s) of Full-Duplex-Bench v3, by timing."""
    end, tools = dialogue.row.get("user_turn_end_ms"), dialogue.row.get("tools") or []
    starts = sorted(a for a, _, _ in dialogue.model_words or [])
    if end is None or not tools or (starts and starts[0] < end):
        return None, None
    tool = (min(t["start_ms"] for t in tools) - end) / 1000
    told = [a for a in starts if a >= max(t["end_ms"] for t in tools)]
    return tool, (told[0] - end) / 1000 if told else None
