"""What a recording should score under profile ``paper``, from its truth, by plain rules.

Metrics that need a judge are left out. ``None`` means not applicable or not known. Times in are
integer ms, times out are seconds. Words play no part: durations alone decide.
"""

from collections import Counter
from math import log2

from flexi_score.config import Settings
from flexi_score.simulate.clips import Span, bridge
from flexi_score.simulate.scene import Facts

Outcome = dict[str, float | None]


def expected_outcome(
    scenario: str,
    facts: Facts,
    mean_latency_s: float | None = None,
    settings: Settings | None = None,
) -> Outcome:
    """Values of a recording's metrics (profile ``paper``) from its truth.

    Parameters
    ----------
    scenario : str
    facts : Facts
    mean_latency_s : float, optional
        L of pause_handling.
    settings : Settings, optional
        The defaults if not given.

    Returns
    -------
    dict of metric to value or None
        Empty for ``conversation``.
    """
    rules = settings or Settings()
    if scenario == "pause_handling":
        return _pause_handling(facts, mean_latency_s, rules)
    return _RULES[scenario](facts, rules) if scenario in _RULES else {}


def ipus(speech: list[Span], rules: Settings) -> list[Span]:
    """Speech to IPUs: short silences bridged, short runs dropped."""
    joined = bridge(speech, rules.ipu.min_silence_ms)
    return [(a, b) for a, b in joined if b - a >= rules.ipu.min_speech_ms]


def _groups(speech: list[Span], rules: Settings) -> list[Span]:
    return bridge(ipus(speech, rules), rules.takeover.group_ms)


def _takeovers(speech: list[Span], rules: Settings) -> list[Span]:
    return [(a, b) for a, b in _groups(speech, rules) if b - a > rules.backchannel.max_ms]


def _silences(facts: Facts, rules: Settings) -> list[Span]:
    """Model silences after its speech, up to the end of the recording."""
    said = ipus(facts.model, rules)
    starts = [a for a, _ in said[1:]] + [facts.duration_ms]
    return [(b, start) for (_, b), start in zip(said, starts, strict=True)]


def _turn_taking(f: Facts, rules: Settings) -> Outcome:
    taken = _takeovers(f.model, rules)
    if f.user_turn_end is None or not taken:
        jir = None if f.user_turn_end is None else 0
        return {"tor": int(bool(taken)), "latency": None, "floor_offset": None, "jir": jir}
    offset = (taken[0][0] - f.user_turn_end) / 1000
    latency = offset if offset >= 0 else None
    return {"tor": 1, "latency": latency, "floor_offset": offset, "jir": int(offset < 0)}


def _pause_handling(f: Facts, mean_latency_s: float | None, rules: Settings) -> Outcome:
    if f.pause is None:
        return {"tor": None}
    later = [a for a, _ in _takeovers(f.model, rules) if a >= f.pause[0]]
    if not later:
        return {"tor": 0}
    if mean_latency_s is None:
        return {"tor": None}
    return {"tor": int(later[0] <= f.pause[1] + mean_latency_s * 1000)}


def _user_interrupt(f: Facts, rules: Settings) -> Outcome:
    if f.interrupt is None:
        return {"ttr": None, "stop_latency": None, "response_latency": None}
    start, end = f.interrupt
    holding = any(a <= start < b for a, b in _takeovers(f.model, rules))
    said, limits = ipus(f.model, rules), rules.yield_
    speaking = any(a <= end < b for a, b in said)
    stop, unclear = None, False
    for a, b in _silences(f, rules):
        cut_off = b == f.duration_ms
        if not speaking and start < a <= end and (end < b or cut_off):
            stop = a if b - a >= limits.hold_ms else None
            unclear = stop is None and cut_off
        elif speaking and end < a <= start + limits.late_window_ms and stop is None:
            if b - a >= limits.late_hold_ms:
                stop = a
            else:
                unclear = unclear or cut_off
    unclear = unclear and stop is None
    # What a model that yielded says next is grouped afresh.
    rest = f.model if stop is None else [(a, b) for a, b in said if a >= end]
    answers = [a for a, _ in _takeovers(rest, rules) if a >= end]
    stopped = holding and stop is not None
    return {
        "ttr": int(stopped) if holding and not unclear else None,
        "stop_latency": (stop - start) / 1000 if stopped and stop is not None else None,
        "response_latency": (answers[0] - end) / 1000 if answers else None,
    }


def _model_interrupt(f: Facts, rules: Settings) -> Outcome:
    taken = _takeovers(f.model, rules)
    if f.user_turn_end is None:
        return {"tor": None, "lead": None}
    lead_ms = f.user_turn_end - taken[0][0] if taken else None
    early = lead_ms is not None and lead_ms >= rules.model_interrupt.min_lead_ms
    return {"tor": int(early), "lead": None if lead_ms is None else lead_ms / 1000}


def _user_backchannel(f: Facts, rules: Settings) -> Outcome:
    holding = _takeovers(f.model, rules)
    heard = [(s, e) for s, e in f.backchannels if any(a <= s < b for a, b in holding)]
    if not heard:
        return {"ttr": None, "resumed": None}
    limits = rules.user_backchannel
    lasting = [(a, b) for a, b in _silences(f, rules) if b - a >= rules.yield_.hold_ms]
    for start, end in heard:
        for a, b in lasting:
            if start < a <= end + limits.stop_window_ms:
                again = b < f.duration_ms and b - a <= limits.resume_ms
                return {"ttr": 1, "resumed": int(again)}
    return {"ttr": 0, "resumed": None}


def _model_backchannel(f: Facts, rules: Settings) -> Outcome:
    taken = _takeovers(f.model, rules)
    calls = _model_backchannels(f, rules)
    width = rules.model_backchannel.window_ms
    jsd = None
    if f.references:
        said = Counter(at // width for at in calls)
        wanted = Counter(at // width for at in f.references)
        jsd = _divergence(said, wanted) if calls else 1.0
    tor = None
    if f.user_turn_end is not None:
        tor = int(bool(taken) and taken[0][0] < f.user_turn_end)
    return {
        "tor": tor,
        "bcr": len(calls) / (f.duration_ms / 1000),
        "backchannels": len(calls),
        "jsd": jsd,
    }


def _model_backchannels(f: Facts, rules: Settings) -> list[int]:
    """Starts of the model's backchannels: short, and said while the user holds the turn.

    The user holds it while speaking and in pauses that the user ends by speaking again before the
    model says anything longer, unless the model has taken it.
    """
    user, taken = ipus(f.user, rules), _takeovers(f.model, rules)
    found = []
    for a, b in _groups(f.model, rules):
        if b - a > rules.backchannel.max_ms:
            continue
        speaking = any(x <= a < y for x, y in user)
        # The model holds the turn while nobody but it has spoken, or since it took it.
        claims = [x for x, y in taken if x < a and not any(u <= x and y <= v for u, v in user)]
        before = [x for x, _ in user if x <= a]
        if not before or (claims and max(claims) > max(before)):
            continue
        ended = [y for _, y in user if y <= a]
        again = [x for x, _ in user if x >= a]
        longer = [x for x, _ in taken if x > a]
        resumes = again and (not longer or min(again) < min(longer))
        pausing = ended and a - max(ended) <= rules.backchannel.max_pause_ms and resumes
        if speaking or pausing:
            # IPUs of a group are one backchannel only while nothing parts them.
            found.append(a)
    return found


def _divergence(p: "Counter[int]", q: "Counter[int]") -> float:
    """Jensen-Shannon divergence, base 2 (paper eq. 8)."""
    total = 0.0
    for window in p.keys() | q.keys():
        a, b = p[window] / p.total(), q[window] / q.total()
        total += sum(x * log2(2 * x / (a + b)) / 2 for x in (a, b) if x)
    return total


def mean_latency(outcomes: list[Outcome]) -> float | None:
    """L: the mean of the latencies that turn_taking recordings of one system have."""
    values = [o["latency"] for o in outcomes if o.get("latency") is not None]
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


_RULES = {
    "turn_taking": _turn_taking,
    "user_interrupt": _user_interrupt,
    "model_interrupt": _model_interrupt,
    "user_backchannel": _user_backchannel,
    "model_backchannel": _model_backchannel,
}
