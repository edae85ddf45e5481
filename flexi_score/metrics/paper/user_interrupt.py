"""Scenario user_interrupt: does the model stop when the user cuts in, and how soon?"""

from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import Rule
from flexi_score.metrics.registry import PENDING, Latencies, metric_table
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.structure import group_ids
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import USER, Structure

METRICS: Final = metric_table(
    "paper",
    "user_interrupt",
    """
    ttr | TTR | rate | up
      Interruption [s, e], the model mid-turn at s. 1 if the model, its backchannels left out,
      falls silent in (s, e] and that silence lasts to e and at least yield.hold_ms, or at least
      yield.late_hold_ms whatever follows; or, still speaking at e, falls silent by s +
      yield.late_window_ms for at least yield.late_hold_ms; else 0
      source: FLEXI paper, section 2.1 (b1 < b2) and 2.2 (3)
      null: no interruption, the model was not mid-turn when it began, or the recording ends
      before the silence could last

    stop_latency | Latency | mean | down | s
      start of that silence minus s, where ttr is 1
      source: FLEXI paper, section 2.2 (3), latency to termination
      null: the model did not yield

    response_latency | Response latency | mean | down | s
      start of the first takeover at or after the end of the interruption and, grouped afresh from
      there, the start of that silence, minus the end of the interruption
      source: tau-voice, response latency
      null: no interruption, or no answer

    tss | TSS | mean | up | 0-5 | judged
      judge: does the next response address the interrupting query? Judged only where the model
      yielded and answered
      source: FLEXI paper, section 2.2 (3)
      null: not judged, or the model did not yield and answer
    """,
)


@dataclass(frozen=True)
class Yields:
    """Whether and how the model yields, shape (k,)."""

    stop: Floats  # start of the silence that makes a yield, NaN without one
    quiet_ms: Floats  # its length
    late: Bools  # it began after the interruption had ended
    cut_short: Bools  # no yield, and the recording ends before a silence could last
    pending: Floats  # start of the silence that the recording cuts short, NaN without one


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies, explain: bool = True
) -> pl.DataFrame:
    """Scores of the user_interrupt recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec, explain)
    detected_start, detected_end = first_interruption(cases)
    start, source = c.prefer(cases.annotated("interrupt_start_ms"), detected_start)
    end, _ = c.prefer(cases.annotated("interrupt_end_ms"), detected_end)
    cut = ~np.isnan(start)
    s, e = (np.where(cut, moment, cases.origin).astype(np.int64) for moment in (start, end))
    mid_turn = cut & c.mid_turn(structure, s)
    silence = find_yields(cases, s, e, settings)
    yielded = mid_turn & ~np.isnan(silence.stop)
    unclear = mid_turn & ~yielded & silence.cut_short
    usable = mid_turn & ~unclear
    answer = _answer(cases, np.where(cut, end, np.nan), silence.stop, settings)
    answered = cut & ~np.isnan(answer)
    judgeable = yielded & answered
    facts = {
        "start": cases.seconds(start),
        "end": cases.seconds(end),
        "stop": cases.seconds(silence.stop),
        "after": (silence.stop - start) / 1000,
        "quiet": silence.quiet_ms / 1000,
        "pending": cases.seconds(silence.pending),
        "answer": cases.seconds(answer),
        "latency": (answer - end) / 1000,
    }
    none = "no interruption by the user is known to start in the model's speech"
    cut_short = "falls silent at {pending} s, and the recording ends before that silence could last"
    stops = "falls silent at {stop} s, {after} s after the interruption began, for {quiet} s"
    absent = (
        c.silent_rule(cases.silent),
        Rule(~cut, "no_interruption", none),
        Rule(~mid_turn, "not_mid_turn", "the model is not mid-turn at {start} s"),
        Rule(unclear, "cut_short", cut_short),
    )
    goes_on = Rule(None, "keeps_talking", "does not yield to the interruption [{start}, {end}] s")
    outcome = cases.decide(
        facts,
        Rule(yielded & silence.late, "yields_late", stops),
        Rule(yielded, "yields", stops),
        *absent,
        goes_on,
    )
    answers = "answers at {answer} s, {latency} s after the interruption ended"
    row = partial(cases.row, reference_ms=cases.own_ms(start), source=source)
    stop_ms = np.where(yielded, cases.own_ms(silence.stop), np.nan)
    ttr = row(
        "ttr",
        np.where(usable, yielded.astype(float), np.nan),
        c.statuses(usable),
        outcome,
        decided_ms=stop_ms,
        margin_s=np.where(usable, yield_margin(cases, s, e, silence, settings), np.nan) / 1000,
    )
    stop_latency = row(
        "stop_latency",
        np.where(yielded, silence.stop - start, np.nan) / 1000,
        c.statuses(yielded),
        outcome,
        decided_ms=stop_ms,
    )
    response = row(
        "response_latency",
        np.where(answered, answer - end, np.nan) / 1000,
        c.statuses(answered),
        cases.decide(
            facts,
            Rule(answered, "answers", answers),
            *absent[:2],
            Rule(None, "no_answer", "no takeover follows"),
        ),
        decided_ms=cases.own_ms(answer),
    )
    tss = row(
        "tss",
        np.full(len(rec), np.nan),
        c.choose((judgeable, PENDING), otherwise="not_applicable"),
        cases.decide(
            facts,
            Rule(judgeable, "not_judged", c.ASK_A_JUDGE),
            Rule(yielded, "no_answer", "yields, but no takeover follows"),
            *absent,
            goes_on,
        ),
        decided_ms=cases.own_ms(answer),
    )
    return pl.concat([ttr, stop_latency, response, tss])


def first_interruption(cases: c.Cases) -> tuple[Floats, Floats]:
    """Start and end of the user's first interruption in each recording, NaN without one."""
    cuts = cases.structure.interruptions
    user = cuts.spans.take(cuts.speaker == USER)
    at = np.searchsorted(user.start, cases.origin, "left")
    start, end = np.append(user.start, NEVER)[at], np.append(user.end, NEVER)[at]
    none = start >= cases.end
    return np.where(none, np.nan, start), np.where(none, np.nan, end)


def find_yields(cases: c.Cases, s: Ints, e: Ints, settings: Settings) -> Yields:
    """The first silence of the model that makes a yield to each interruption [s, e].

    ``s`` and ``e``: shape (k,). ``settings``: uses ``yield``. The model's backchannels are
    no speech here: its turn does not go on with a "yeah".
    """
    rules, who, stop, again = settings.yield_, *c.stops_between(cases, s, _window(s, e, settings))
    size, end_of = len(s), cases.end[who]
    quiet = again - stop
    late = stop > e[who]
    possible = ~late | (axis.inside(cases.structure.model.speech, e) >= 0)[who]
    lasts_to_e = again >= e[who]
    holds = (quiet >= rules.late_hold_ms) | (~late & lasts_to_e & (quiet >= rules.hold_ms))
    holds &= possible
    cut = possible & ~holds & (again == end_of)
    chosen, pending = np.full(size, NEVER), np.full(size, NEVER)
    np.minimum.at(chosen, who[holds], stop[holds])
    np.minimum.at(pending, who[cut], stop[cut])
    quiet_ms = np.full(size, np.nan)
    first = holds & (stop == chosen[who])
    quiet_ms[who[first]] = quiet[first]
    return Yields(
        c.moments(chosen),
        quiet_ms,
        (chosen > e) & (chosen < NEVER),
        (chosen == NEVER) & (pending < NEVER),
        c.moments(pending),
    )


def _window(s: Ints, e: Ints, settings: Settings) -> Ints:
    """Last moment at which the model may fall silent."""
    return np.maximum(e, s + settings.yield_.late_window_ms)


def _answer(cases: c.Cases, end: Floats, stop: Floats, settings: Settings) -> Floats:
    """Start of the first takeover after each interruption, NaN without one.

    Where the model fell silent: at or after that and the interruption's end, grouped afresh from
    there, because what it had been saying is no part of its answer, however soon that follows. A
    model that kept talking answers with a takeover of its own, not with its next breath.
    """
    structure, model = cases.structure, cases.structure.model
    stopped = ~np.isnan(stop) & ~np.isnan(end)
    since = np.where(stopped, np.fmax(end, stop), cases.end).astype(np.int64)
    earliest = np.full(len(structure), NEVER)
    earliest[cases.rec] = since
    later = model.ipus.start >= earliest[model.ipus.rec]
    ipus, words = model.ipus.take(later), model.ipu_words[later]
    group = group_ids(ipus, structure.user.ipus, settings.takeover.group_ms)
    heads = axis.heads(group)
    tails = np.append(heads[1:], len(ipus))[: len(heads)] - 1
    said = np.bincount(group, words, minlength=len(heads))
    long = ipus.end[tails] - ipus.start[heads] > settings.backchannel.max_ms
    long |= said > settings.backchannel.max_words
    fresh = Spans(ipus.rec[heads], ipus.start[heads], ipus.end[tails]).take(long)
    ended = np.where(np.isnan(end), cases.end, end).astype(np.int64)
    own = axis.next_start(model.takeovers, ended, cases.end)
    return c.moments(np.where(stopped, axis.next_start(fresh, since, cases.end), own))


def yield_margin(cases: c.Cases, s: Ints, e: Ints, yields: Yields, settings: Settings) -> Floats:
    """Distance of each outcome to the nearest threshold (ms), NaN without one.

    A yield: of its silence to the shortest that counts, and of its start to s and to the last
    moment at which it may begin. None: how much the nearest silence is too short or too late. A
    small margin tells that timing alone cannot tell a breath from a yield answered at once.
    """
    rules, size = settings.yield_, len(s)
    yielded = ~np.isnan(yields.stop)
    enough = yields.quiet_ms - rules.late_hold_ms
    early = np.fmin(yields.quiet_ms - rules.hold_ms, yields.stop + yields.quiet_ms - e)
    spare = np.where(yields.late, enough, np.fmax(enough, early))
    by_now = np.where(yields.quiet_ms >= rules.late_hold_ms, _window(s, e, settings), e)
    in_time = np.where(yields.late, s + rules.late_window_ms, by_now) - yields.stop
    sure = np.fmin(spare, np.fmin(yields.stop - s, in_time))
    who, stop, again = c.stops_between(cases, s, cases.end)
    quiet, late = again - stop, stop > e[who]
    lasts_to_e = ~late & (again >= e[who])
    lacks = np.where(lasts_to_e, rules.hold_ms, rules.late_hold_ms) - quiet
    too_late = np.where(late, stop - (s + rules.late_window_ms)[who], 0)
    missed = np.full(size, np.inf)
    np.minimum.at(missed, who, np.maximum(np.maximum(lacks, too_late), 0).astype(np.float64))
    margin = np.where(yielded, sure, missed)
    return np.where(np.isfinite(margin), margin, np.nan)
