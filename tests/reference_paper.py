"""Profile ``paper``, one recording at a time, as section 2 of the definitions says it.

Each scenario is a function of the plain structure and the manifest row; it returns
``{metric: (value, status)}``, times in seconds, None for no value.
"""

import itertools
import math
from collections import Counter
from typing import Any

from factories import Dialogue
from reference_structure import Recording, Unit, analyse, group

from flexi_score.config import Settings

Score = tuple[float | None, str]
Row = dict[str, Any]


def score_all(dialogues: list[Dialogue], settings: Settings) -> list[dict[str, Score]]:
    """Scores of every recording; turn_taking first, for pause_handling needs its latencies."""
    recordings = [analyse(d, settings) for d in dialogues]
    scores: list[dict[str, Score]] = [{} for _ in dialogues]
    latencies: dict[str, list[float]] = {}
    for number, (dialogue, rec) in enumerate(zip(dialogues, recordings, strict=True)):
        if dialogue.row["scenario"] == "turn_taking":
            scores[number] = turn_taking(rec, dialogue.row)
            value = scores[number]["latency"][0]
            if value is not None:
                latencies.setdefault(dialogue.row.get("system", "model"), []).append(value)
    for number, (dialogue, rec) in enumerate(zip(dialogues, recordings, strict=True)):
        row = dialogue.row
        scenario = row["scenario"]
        if scenario == "pause_handling":
            known = latencies.get(row.get("system", "model"))
            mean = sum(known) / len(known) if known else None
            if settings.pause_handling.mean_latency_s is not None:
                mean = settings.pause_handling.mean_latency_s
            scores[number] = pause_handling(rec, row, mean)
        elif scenario in OTHERS:
            scores[number] = OTHERS[scenario](rec, row, settings)
    return scores


def silent(rec: Recording) -> bool:
    return not rec.units["model"]


def takeovers(rec: Recording) -> list[tuple[int, int]]:
    return [(g.start, g.end) for g in rec.groups["model"] if g.long]


def user_turn_end(rec: Recording, row: Row) -> int | None:
    if row.get("user_turn_end_ms") is not None:
        return row["user_turn_end_ms"]
    return max((t.end for t in rec.of("turn", "user")), default=None)


def status(value: float | None, quiet: bool) -> str:
    if quiet:
        return "silent"
    return "not_applicable" if value is None else "scored"


def turn_taking(rec: Recording, row: Row) -> dict[str, Score]:
    end, taken, quiet = user_turn_end(rec, row), takeovers(rec), silent(rec)
    offset = (taken[0][0] - end) / 1000 if taken and end is not None else None
    latency = offset if offset is not None and offset >= 0 else None
    jir = None if end is None else float(offset is not None and offset < 0)
    tor = float(bool(taken))
    return {
        "tor": (tor, status(tor, quiet)),
        "latency": (latency, status(latency, quiet)),
        "floor_offset": (offset, status(offset, quiet)),
        "jir": (jir, status(jir, quiet and end is not None)),
    }


def pause_handling(rec: Recording, row: Row, mean_latency: float | None) -> dict[str, Score]:
    if row.get("pause_start_ms") is not None:
        start, end = row["pause_start_ms"], row["pause_end_ms"]
    else:
        said = rec.units["user"]
        pauses = [(a.end, b.start) for a, b in itertools.pairwise(said)]
        if not pauses:
            return {"tor": (None, "not_applicable")}
        start, end = max(pauses, key=lambda p: (p[1] - p[0], -p[0]))
    if silent(rec):
        return {"tor": (0.0, "silent")}
    later = [a for a, _ in takeovers(rec) if a >= start]
    if not later:
        return {"tor": (0.0, "scored")}
    if mean_latency is None:
        return {"tor": (None, "excluded")}
    return {"tor": (float(later[0] <= end + mean_latency * 1000), "scored")}


def speaking(units: list[Unit], at: int) -> bool:
    return any(u.start <= at < u.end for u in units)


def silences_after(units: list[Unit], duration: int) -> list[tuple[int, int]]:
    """Where the speaker falls silent, and for how long."""
    nexts = [u.start for u in units[1:]] + [duration]
    return [(u.end, nexts[k] - u.end) for k, u in enumerate(units)]


def user_interrupt(rec: Recording, row: Row, settings: Settings) -> dict[str, Score]:
    rules, said = settings.yield_, rec.units["model"]
    none: Score = (None, "not_applicable")
    scores = dict.fromkeys(("ttr", "stop_latency", "response_latency", "tss"), none)
    held = takeovers(rec)
    if row.get("interrupt_start_ms") is not None:
        s, e = row["interrupt_start_ms"], row["interrupt_end_ms"]
    else:
        cuts = [t for t in rec.of("turn", "user") if any(a <= t.start < b for a, b in held)]
        if not cuts:
            return scores
        over = [t for t in cuts if any(u.start < t.start < u.end for u in said)]
        s, e = (over or cuts)[0].start, (over or cuts)[0].end
    holding = any(a <= s < b for a, b in held)

    stop = None
    unclear = False
    if speaking(said, e):
        for at, long in silences_after(said, rec.duration):
            if at > e and long >= rules.late_hold_ms:
                stop = at if at <= s + rules.late_window_ms else None
                break
            if at > e and at + long == rec.duration and at <= s + rules.late_window_ms:
                unclear = True
    else:
        for at, long in silences_after(said, rec.duration):
            if s < at <= e < at + long or (s < at <= e and at + long == rec.duration):
                if long >= rules.hold_ms:
                    stop = at
                elif at + long == rec.duration:
                    unclear = True
    if holding and not unclear:
        scores["ttr"] = (float(stop is not None), "scored")
    if holding and stop is not None:
        scores["stop_latency"] = ((stop - s) / 1000, "scored")

    if stop is not None:  # what it says after it fell silent is a new group
        rest = [Unit("model", u.start, u.end, u.words) for u in said if u.start >= e]
        groups = group("model", rest, rec.known["model"], settings)
    else:
        groups = rec.groups["model"]
    answers = [g.start for g in groups if g.long and g.start >= e]
    if answers:
        scores["response_latency"] = ((answers[0] - e) / 1000, "scored")
    if holding and stop is not None and answers:
        rating = row.get("rating")
        scores["tss"] = (None, "excluded") if rating is None else (rating, "scored")
    return scores


def model_interrupt(rec: Recording, row: Row, settings: Settings) -> dict[str, Score]:
    end, taken, quiet = user_turn_end(rec, row), takeovers(rec), silent(rec)
    tor = lead = None
    if end is not None:
        if taken:
            lead = (end - taken[0][0]) / 1000
        tor = float(bool(taken) and end - taken[0][0] >= settings.model_interrupt.min_lead_ms)
    rating = row.get("rating")
    unrated = "not_applicable" if quiet else "excluded"
    return {
        "tor": (tor, status(tor, quiet and end is not None)),
        "lead": (lead, status(lead, quiet)),
        "eds": (None, unrated) if rating is None else (rating, "scored"),
    }


def user_backchannel(rec: Recording, row: Row, settings: Settings) -> dict[str, Score]:
    rules, said = settings.user_backchannel, rec.units["model"]
    none: Score = (None, "not_applicable")
    scores = dict.fromkeys(("ttr", "resumed", "coherence"), none)
    if row.get("backchannels") is not None:
        heard = [(b["start_ms"], b["end_ms"]) for b in row["backchannels"]]
    else:
        heard = [(b.start, b.end) for b in rec.of("backchannel", "user")]
    heard = [b for b in heard if any(x <= b[0] < y for x, y in takeovers(rec))]
    if not heard:
        return scores
    scores["ttr"] = (0.0, "scored")
    lasting = [
        at for at, long in silences_after(said, rec.duration) if long >= settings.yield_.hold_ms
    ]
    for a, b in sorted(heard, key=lambda pair: pair[0]):
        stops = [at for at in lasting if a < at <= b + rules.stop_window_ms]
        if stops:
            again = [u.start for u in said if u.start >= stops[0]]
            back = bool(again) and again[0] - stops[0] <= rules.resume_ms
            scores["ttr"] = (1.0, "scored")
            scores["resumed"] = (float(back), "scored")
            if again:
                rating = row.get("rating")
                scores["coherence"] = (None, "excluded") if rating is None else (rating, "scored")
            break
    return scores


def model_backchannel(rec: Recording, row: Row, settings: Settings) -> dict[str, Score]:
    end, taken, quiet = user_turn_end(rec, row), takeovers(rec), silent(rec)
    heard = rec.of("backchannel", "model")
    tor = None if end is None else float(bool(taken) and taken[0][0] < end)
    always = "silent" if quiet else "scored"
    rate = len(heard) / (rec.duration / 1000) if rec.duration else None
    reference = row.get("reference_backchannels_ms") or []
    width = settings.model_backchannel.window_ms
    jsd: Score = (None, "excluded")
    if reference:
        p = Counter(b.start // width for b in heard)
        q = Counter(at // width for at in reference)
        jsd = (jensen_shannon(p, q) if heard else 1.0, always)
    return {
        "tor": (tor, status(tor, quiet and end is not None)),
        "bcr": (rate, always),
        "backchannels": (float(len(heard)), always),
        "jsd": jsd,
    }


def jensen_shannon(p: Counter[int], q: Counter[int]) -> float:
    """Paper eq. 8: half of both divergences from the mean, base 2."""
    result = 0.0
    for window in p.keys() | q.keys():
        a, b = p[window] / p.total(), q[window] / q.total()
        middle = (a + b) / 2
        result += sum(x * math.log2(x / middle) / 2 for x in (a, b) if x)
    return result


OTHERS = {
    "user_interrupt": user_interrupt,
    "model_interrupt": model_interrupt,
    "user_backchannel": user_backchannel,
    "model_backchannel": model_backchannel,
}
