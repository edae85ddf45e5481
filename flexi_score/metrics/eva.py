"""Profile ``eva``: the turn-taking score of ServiceNow's EVA, on any recording.

After EVA (MIT licence; docs/metrics/turn_taking.md and src/eva/metrics/experience/turn_taking.py).
Every exchange (a user turn and the model's answer) gets a score from 0 to 1:

- **latency**, where nobody interrupts: 0 at ``eva.early_ms``, rising to 1 at ``eva.prompt_ms``, 1
  up to ``eva.slow_ms``, falling to 0 at ``eva.late_ms``; with a tool call in the exchange the last
  two are ``eva.tool_slow_ms`` and ``eva.tool_late_ms``;
- **agent interrupts**: at most 0.5. The least of 0.5 * (1 - overlap / ``eva.overlap_ms``), 0.5 for
  one overlapping segment, 0.25 for two and 0 from three on, and the latency score of the answer
  that starts after the user has finished, where there is one;
- **user interrupts**: 1 - (time that the model talks on) / ``eva.yield_ms``, at least 0;
- both: the lesser of the two;
- **missed**, where the model never answers: 0.

A recording's score is the mean over its exchanges. What the model says before the user's first turn
(its greeting) is not scored.

Divergences from EVA
--------------------
1. EVA takes turns and interruptions from its own event log; here they are detected
   (:mod:`flexi_score.metrics.exchanges` with ``takeover.group_ms``), a model's segment is an IPU,
   and backchannels of either side are neither turns nor interruptions.
2. EVA leaves an exchange without an answer out, and zeroes the whole conversation if its last turn
   is missed. Here each missed turn is 0. A last turn after which the recording ends too soon for an
   answer to be late is left out.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.exchanges import Exchanges, answer_starts, exchanges
from flexi_score.metrics.panel import STATUS, Events, every_scenario, panel_rows, speaks, total
from flexi_score.metrics.reasons import Facts, Rule, decide
from flexi_score.metrics.registry import Latencies, metric_table, score_rows
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints, make_intervals, spread
from flexi_score.segment.types import Structure

#: Highest score of an exchange that the agent interrupts, and segments at which it is 0.
_INTERRUPT_TOP: Final = 0.5
_INTERRUPT_SEGMENTS: Final = 3

_SCORE, *_PANEL = metric_table(
    "eva",
    "conversation",
    """
    turn_taking | Turn-taking score | mean | up | 0-1
      mean score of the recording's exchanges: latency, interruptions by the agent, yielding to
      the user; a missed turn is 0
      null: the user has no turn that could be answered

    latency | Latency | ratio | down | s
      start of the answer minus end of the user turn, where nobody interrupts
      null: no such exchange

    latency_without_tools | Latency without tools | ratio | down | s
      the same less the tool time in between (manifest key tools)
      null: no such exchange

    on_time | On time | ratio | up
      share of these latencies from eva.on_time_ms to below the middle of the falling slope
      null: no such exchange

    early | Early | ratio | down
      share of them below eva.on_time_ms
      null: no such exchange

    late | Late | ratio | down
      share of them at or above the middle of the falling slope (2 750 ms, with a tool call 4 000
      ms)
      null: no such exchange

    agent_interruptions | Agent interrupts | ratio | down
      share of exchanges in which the model starts to speak over the user
      null: no exchange

    user_interruptions | User interrupts | ratio | none
      share of exchanges in which the user starts while the model speaks
      null: no exchange

    yield_time | Yield time | ratio | down | s
      how long the model talks on after the user has started, where the user interrupts
      null: the user never interrupts

    missed_turns | Missed turns | ratio | down
      share of exchanges without an answer
      null: no exchange
    """,
    "EVA (ServiceNow), docs/metrics/turn_taking.md",
)
METRICS: Final = every_scenario((_SCORE, *_PANEL))


@dataclass(frozen=True)
class Turns:
    """What is known of every exchange, shape (k,); NaN where it does not apply.

    ``score`` is NaN for an exchange that is left out. Times are ms.
    """

    rec: Ints
    score: Floats
    latency: Floats
    without_tools: Floats
    has_tool: Bools
    agent_interrupts: Bools
    user_interrupts: Bools
    yield_ms: Floats
    missed: Bools

    @property
    def scored(self) -> Bools:
        """Exchanges that are not left out."""
        return ~np.isnan(self.score)


def latency_score(latency: Floats, has_tool: Bools, settings: Settings) -> Floats:
    """Score of latencies (ms), shape (k,); NaN stays NaN."""
    rules = settings.eva
    slow = np.where(has_tool, rules.tool_slow_ms, rules.slow_ms)
    late = np.where(has_tool, rules.tool_late_ms, rules.late_ms)
    rising = (latency - rules.early_ms) / (rules.prompt_ms - rules.early_ms)
    falling = (late - latency) / (late - slow)
    scores: Floats = np.clip(np.minimum(rising, falling), 0.0, 1.0)
    return scores


def score_turns(structure: Structure, settings: Settings) -> Turns:
    """Score every exchange of all recordings at once.

    ``settings``: uses ``eva`` and ``takeover.group_ms``.
    """
    exchanged = exchanges(structure, settings.takeover.group_ms, attempts=True)
    rules, user = settings.eva, exchanged.user
    ends_at = (structure.origin + structure.duration_ms)[user.rec]
    answer = answer_starts(exchanged)
    answered = answer < NEVER
    tools = _tools(structure)
    until = np.where(answered, answer, user.end)
    has_tool = axis.covered(tools, user.start, until) > 0

    overlap_ms, segments = _interruptions(structure, exchanged)
    agent_interrupts = segments > 0
    at_start = axis.straddling(structure.model.ipus, user.start)
    user_interrupts = at_start >= 0
    stop = np.append(structure.model.ipus.end, 0)[at_start]
    yield_ms = np.where(user_interrupts, (stop - user.start).astype(np.float64), np.nan)

    # An answer that is under way when the user ends leaves no silence to measure.
    under_way = axis.straddling(structure.model.ipus, user.end) >= 0
    gap = np.where(answered & ~under_way, (answer - user.end).astype(np.float64), np.nan)
    tool_ms = axis.covered(tools, user.end, until).astype(np.float64)
    settled = latency_score(gap, has_tool, settings)
    agent = np.fmin(
        np.fmin(
            _INTERRUPT_TOP * np.maximum(1 - overlap_ms / rules.overlap_ms, 0),
            _INTERRUPT_TOP * np.maximum(1 - (segments - 1) / (_INTERRUPT_SEGMENTS - 1), 0),
        ),
        settled,
    )
    yielded = np.maximum(1 - yield_ms / rules.yield_ms, 0)
    score = np.where(agent_interrupts, agent, settled)
    score = np.where(user_interrupts, np.where(agent_interrupts, agent, yielded), score)
    score = np.where(user_interrupts & agent_interrupts, np.minimum(agent, yielded), score)

    late = np.where(has_tool, rules.tool_late_ms, rules.late_ms)
    unanswered = ~answered & ~agent_interrupts & ~user_interrupts
    too_soon = unanswered & exchanged.is_last & (ends_at - user.end < late)
    missed = unanswered & ~too_soon
    score = np.where(missed, 0.0, np.where(too_soon, np.nan, score))
    plain = answered & ~agent_interrupts & ~user_interrupts
    latency = np.where(plain, gap, np.nan)
    return Turns(
        rec=user.rec,
        score=score,
        latency=latency,
        without_tools=latency - np.where(plain, tool_ms, 0),
        has_tool=has_tool,
        agent_interrupts=agent_interrupts,
        user_interrupts=user_interrupts,
        yield_ms=yield_ms,
        missed=missed,
    )


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """Score and panel for the recordings ``rec``, of any scenario (rows of ``schema.SCORES``)."""
    turns = score_turns(structure, settings)
    n, scored = len(structure), turns.scored
    number = total(turns.rec[scored], n)[rec]
    summed = total(turns.rec[scored], n, turns.score[scored])[rec]
    facts: Facts = {"n": number.astype(np.int64), "total": pl.Series(summed).round(3)}
    sentence = "{n} exchanges, total score {total}"
    decision = decide(
        len(rec),
        facts,
        Rule(number == 0, "no_events", "the user has no turn that could be answered"),
        Rule(~speaks(structure)[rec], "silent", sentence),
        Rule(None, "counted", sentence),
    )
    head = score_rows(
        structure.tracks.recordings,
        rec,
        _SCORE.name,
        np.divide(summed, number, out=np.full(len(rec), np.nan), where=number > 0),
        decision.rule.replace_strict(STATUS),
        decision,
        source="detected",
    )
    return pl.concat([head, panel_rows(structure, rec, _PANEL, _panel(turns, n, settings))])


def _panel(turns: Turns, n: int, settings: Settings) -> dict[str, Events]:
    rules, scored = settings.eva, turns.scored
    plain = ~np.isnan(turns.latency)
    rec, latency, tool = turns.rec[plain], turns.latency[plain], turns.has_tool[plain]
    middle = np.where(
        tool, (rules.tool_slow_ms + rules.tool_late_ms) / 2, (rules.slow_ms + rules.late_ms) / 2
    )
    early, late = latency < rules.on_time_ms, latency >= middle
    cuts = turns.rec[scored & turns.user_interrupts]
    agent_cuts = turns.rec[scored & turns.agent_interrupts]
    answers, every = total(rec, n), total(turns.rec[scored], n)
    net, yields = turns.without_tools[plain], turns.yield_ms[scored & turns.user_interrupts]
    spoken_over = "the {} speaks over the {} in {{a}} of {{b}} exchanges"
    table = {
        "latency": (total(rec, n, latency) / 1000, answers, "{a} s over {b} answers"),
        "latency_without_tools": (total(rec, n, net) / 1000, answers, "{a} s over {b} answers"),
        "on_time": (total(rec[~early & ~late], n), answers, "{a} of {b} answers on time"),
        "early": (total(rec[early], n), answers, "{a} of {b} answers early"),
        "late": (total(rec[late], n), answers, "{a} of {b} answers late"),
        "agent_interruptions": (total(agent_cuts, n), every, spoken_over.format("model", "user")),
        "user_interruptions": (total(cuts, n), every, spoken_over.format("user", "model")),
        "missed_turns": (total(turns.rec[turns.missed], n), every, "{a} of {b} turns unanswered"),
    }
    panel = {
        name: Events(number, of, sentence, "answers" if of is answers else "exchanges")
        for name, (number, of, sentence) in table.items()
    }
    panel["yield_time"] = Events(
        total(cuts, n, yields) / 1000,
        total(cuts, n),
        "{a} s over {b} interruptions",
        "interruptions by the user",
    )
    return panel


def _interruptions(structure: Structure, exchanged: Exchanges) -> tuple[Floats, Ints]:
    """Overlap (ms) and number of the model's segments that start in an exchange over the user."""
    k = len(exchanged)
    user = structure.user.speech
    inside = exchanged.of_speech >= 0
    speech, owner = exchanged.speech.take(inside), exchanged.of_speech[inside]
    # The user's IPUs of the exchange itself: those before the exchange's limit.
    low = np.searchsorted(user.end, speech.start, "right")
    high = np.searchsorted(user.start, np.minimum(speech.end, exchanged.user.end[owner]), "left")
    at, piece = spread(low, np.maximum(high, low))
    shared = np.minimum(user.end[at], speech.end[piece]) - np.maximum(
        user.start[at], speech.start[piece]
    )
    overlap = np.bincount(owner[piece], shared, k).astype(np.float64)
    hit = np.bincount(piece, minlength=len(speech)) > 0
    return overlap, np.bincount(owner[hit], minlength=k).astype(np.int64)


def _tools(structure: Structure) -> Spans:
    """Tool time of all recordings (manifest key ``tools``), as a track on the common axis."""
    rows = structure.tracks.recordings
    none = np.empty(0, np.int64)
    if "tools" not in rows.columns:
        return Spans(none, none, none)
    table = (
        rows.select(pl.int_range(len(rows)).alias("rec"), "tools")
        .explode("tools")
        .drop_nulls("tools")
        .unnest("tools")
    )
    given = make_intervals(*(table[name].to_numpy() for name in ("rec", "start_ms", "end_ms")))
    return axis.bridge(axis.place(given, structure.origin, structure.duration_ms), 0)
