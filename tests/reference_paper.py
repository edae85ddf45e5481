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
    window = (mean_latency or 0.0) * 1000
    inside = any(start <= a <= end + window for a, _ in takeovers(rec))
    under_way = any(a < start < b for a, b in takeovers(rec))
    return {"tor": (float(inside or under_way), "scored")}


def speaking(units: list[Unit], at: int) -> bool:
    return any(u.start <= at < u.end for u in units)


def silences_after(units: list[Unit], duration: int) -> list[tuple[int, int]]:
    """Where the speaker falls silent, and for how long."""
    nexts = [u.start for u in units[1:]] + [duration]
    return [(u.end, nexts[k] - u.end) for k, u in enumerate(units)]


def mid_turn(rec: Recording, at: int) -> bool:
    """Inside a model IPU, or in the silence between two successive IPUs of one group."""
    said = rec.units["model"]
    breath = any(a.end <= at < b.start and a.group is b.group for a, b in itertools.pairwise(said))
    return speaking(said, at) or breath


def user_interrupt(rec: Recording, row: Row, settings: Settings) -> dict[str, Score]:
    rules, none = settings.yield_, (None, "not_applicable")
    scores: dict[str, Score] = dict.fromkeys(
        ("ttr", "stop_latency", "response_latency", "tss"), none
    )
    if row.get("interrupt_start_ms") is not None:
        s, e = row["interrupt_start_ms"], row["interrupt_end_ms"]
    else:
        cuts = rec.of("interruption", "user")
        if not cuts:
            return scores
        s, e = cuts[0].start, cuts[0].end
    # The model's turn does not go on with a "yeah".
    said = [u for u in rec.units["model"] if u.role != "backchannel"]
    stop, unclear = None, False
    for at, long in silences_after(said, rec.duration):
        if s < at <= e:
            enough = long >= rules.late_hold_ms or (at + long >= e and long >= rules.hold_ms)
        elif e < at <= s + rules.late_window_ms and speaking(said, e):
            enough = long >= rules.late_hold_ms
        else:
            continue
        if enough:
            stop = at
            break
        unclear = unclear or at + long == rec.duration
    fell_silent = stop
    if not mid_turn(rec, s):
        stop, unclear = None, True
    if stop is not None:
        scores["ttr"] = (1.0, "scored")
        scores["stop_latency"] = ((stop - s) / 1000, "scored")
    elif not unclear:
        scores["ttr"] = (0.0, "scored")

    if fell_silent is None:  # what it goes on saying is no answer
        groups = [g for g in rec.groups["model"] if g.start >= e]
    else:
        since = max(e, fell_silent)
        said = [u for u in rec.units["model"] if u.start >= since]
        rest = [Unit("model", u.start, u.end, u.words) for u in said]
        groups = group("model", rest, rec.units["user"], rec.known["model"], settings)
    answers = [g.start for g in groups if g.long]
    if answers:
        scores["response_latency"] = ((answers[0] - e) / 1000, "scored")
    if stop is not None and answers:
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
    rating = None if quiet else row.get("rating")  # who says nothing cannot be rated
    unrated = "not_applicable" if quiet else "excluded"
    return {
        "tor": (tor, status(tor, quiet and end is not None)),
        "lead": (lead, status(lead, quiet)),
        "eds": (None, unrated) if rating is None else (rating, "scored"),
    }


def user_backchannel(rec: Recording, row: Row, settings: Settings) -> dict[str, Score]:
    rules, said, none = settings.user_backchannel, rec.units["model"], (None, "not_applicable")
    scores: dict[str, Score] = dict.fromkeys(("ttr", "resumed", "coherence", "acceptable"), none)
    if row.get("backchannels") is not None:
        spans = sorted((b["start_ms"], b["end_ms"]) for b in row["backchannels"])
    else:  # the first short utterance that starts while the model speaks
        spans = [
            (g.start, g.end)
            for g in rec.groups["user"]
            if not g.long and any(u.start < g.start < u.end for u in said)
        ][:1]
    spans = [b for b in spans if mid_turn(rec, b[0])]
    if not spans:
        return scores
    unclear = False
    for a, b in spans:
        for at, long in silences_after(said, rec.duration):
            if not a < at <= b + rules.stop_window_ms:
                continue
            if long >= settings.yield_.hold_ms:
                again = [u.start for u in said if u.start >= at]
                back = bool(again) and again[0] - at <= rules.resume_ms
                scores["ttr"] = (1.0, "scored")
                scores["resumed"] = (float(back), "scored")
                if again:
                    rating = row.get("rating")
                    unrated: Score = (None, "excluded")
                    scores["coherence"] = unrated if rating is None else (rating, "scored")
                    fine = rating is not None and back and rating > 2
                    scores["acceptable"] = unrated if rating is None else (float(fine), "scored")
                return scores
            unclear = unclear or at + long == rec.duration
    if not unclear:
        scores["ttr"] = (0.0, "scored")
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
