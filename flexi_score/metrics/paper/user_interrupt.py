"""Scenario user_interrupt: does the model stop when the user cuts in, and how soon?"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.paper.margins import yield_margin
from flexi_score.metrics.registry import Metric, score_rows
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import USER, Structure

_metric = partial(Metric, profile="paper", scenario="user_interrupt")

METRICS = (
    _metric(
        name="ttr",
        label="TTR",
        unit="",
        direction="up",
        aggregate="rate",
        definition="Interruption [s, e], the model holding the turn at s. 1 if the model falls "
        "silent after s, is silent at e, and that silence lasts at least yield.hold_ms; or, still "
        "speaking at e, falls silent by s + yield.late_window_ms for at least yield.late_hold_ms; "
        "else 0",
        source="FLEXI paper, section 2.1 (b1 < b2) and 2.2 (3)",
        null_means="no interruption, or the model did not hold the turn when it began",
    ),
    _metric(
        name="stop_latency",
        label="Latency",
        unit="s",
        direction="down",
        aggregate="mean",
        definition="start of that silence minus s, where ttr is 1",
        source="FLEXI paper, section 2.2 (3), latency to termination",
        null_means="the model did not yield",
    ),
    _metric(
        name="response_latency",
        label="Response latency",
        unit="s",
        direction="down",
        aggregate="mean",
        definition="start of the first takeover at or after the end of the interruption, minus "
        "that end, whether or not the model held the turn",
        source="tau-voice, response latency",
        null_means="no interruption, or no answer",
    ),
    _metric(
        name="tss",
        label="TSS",
        unit="0-5",
        direction="up",
        aggregate="mean",
        judged=True,
        definition="judge: does the next response address the interrupting query? Judged only "
        "where the model yielded and answered",
        source="FLEXI paper, section 2.2 (3)",
        null_means="not judged, or the model did not yield and answer",
    ),
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the user_interrupt recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec)
    found_start, found_end = _first_interruption(cases)
    start, source = c.prefer(cases.annotated("interrupt_start_ms"), found_start)
    end, _ = c.prefer(cases.annotated("interrupt_end_ms"), found_end)
    cut = ~np.isnan(start)
    s, e = (np.where(cut, moment, cases.origin).astype(np.int64) for moment in (start, end))
    holding = cut & (axis.inside(structure.model.takeovers, s) >= 0)
    stop, quiet_ms, cut_short = _yield(cases, s, e, settings)
    yielded = holding & ~np.isnan(stop)
    unclear = holding & ~yielded & cut_short
    usable = holding & ~unclear
    answer = _next_takeover(cases, e, stop, cut, settings)
    answered = ~np.isnan(answer)

    row = partial(
        score_rows,
        structure.tracks.recordings,
        rec,
        reference_ms=cases.own_ms(start),
        source=source,
    )
    s_ms, e_ms = cases.own_ms(start), cases.own_ms(end)
    absent = c.choose(
        (cases.silent, c.SILENT),
        (~cut, "no user turn starts while the model holds the turn"),
        (~holding, c.say("the model does not hold the turn at {} s", s_ms)),
        otherwise=c.say("the recording ends before the model's silence at {} s lasts", e_ms),
    )
    stop_ms = cases.own_ms(stop)
    kept = c.say("keeps talking through the interruption [{}, {}] s", s_ms, e_ms)
    went = c.say(
        "falls silent at {} s, {} s after the interruption began, for {} s",
        stop_ms,
        stop - start,
        quiet_ms,
    )
    ttr = row(
        "ttr",
        np.where(usable, yielded.astype(float), np.nan),
        c.choose((usable, "scored"), otherwise="not_applicable"),
        c.choose((yielded, went), (usable, kept), otherwise=absent),
        decided_ms=stop_ms,
        margin_s=np.where(usable, yield_margin(cases, s, e, yielded, settings), np.nan) / 1000,
    )
    stop_latency = row(
        "stop_latency",
        np.where(yielded, stop - start, np.nan) / 1000,
        c.choose((yielded, "scored"), otherwise="not_applicable"),
        c.choose((yielded, went), (usable, kept), otherwise=absent),
        decided_ms=stop_ms,
    )
    answer_ms = cases.own_ms(answer)
    late = c.say("answers at {} s, {} s after the interruption ended", answer_ms, answer - end)
    response = row(
        "response_latency",
        np.where(answered, answer - end, np.nan) / 1000,
        c.choose((answered, "scored"), otherwise="not_applicable"),
        c.choose(
            (answered, late),
            (holding | (cut & ~cases.silent), "no takeover follows"),
            otherwise=absent,
        ),
        decided_ms=answer_ms,
    )
    rating = cases.ratings()
    asked = yielded & answered
    judged = asked & ~np.isnan(rating)
    tss = row(
        "tss",
        np.where(judged, rating, np.nan),
        c.choose((judged, "scored"), (asked, "excluded"), otherwise="not_applicable"),
        c.choose(
            (judged, "rated"),
            (asked, c.ASK_A_JUDGE),
            (usable & ~yielded, kept),
            (yielded, "yields, but no takeover follows"),
            otherwise=absent,
        ),
        decided_ms=answer_ms,
    )
    return pl.concat([ttr, stop_latency, response, tss])


def _first_interruption(cases: c.Cases) -> tuple[Floats, Floats]:
    """The first user turn that starts while the model holds the turn.

    One that starts while the model speaks, if there is one: in the model's pauses a breath or an
    "oh" is no interruption yet.
    """
    turns, model = cases.structure.turns, cases.structure.model
    user = turns.spans.take(turns.speaker == USER)
    over = user.take(axis.straddling(model.ipus, user.start) >= 0)
    over = over.take(axis.inside(model.takeovers, over.start) >= 0)
    during = user.take(axis.inside(model.takeovers, user.start) >= 0)
    start, end = _first_span(cases, during)
    over_start, over_end = _first_span(cases, over)
    loud = ~np.isnan(over_start)
    return np.where(loud, over_start, start), np.where(loud, over_end, end)


def _first_span(cases: c.Cases, spans: Spans) -> tuple[Floats, Floats]:
    """Start and end of each recording's first span, NaN without one."""
    at = np.searchsorted(spans.start, cases.origin, "left")
    start = np.append(spans.start, NEVER)[at]
    end = np.append(spans.end, NEVER)[at]
    none = start >= cases.end
    return np.where(none, np.nan, start), np.where(none, np.nan, end)


def _yield(cases: c.Cases, s: Ints, e: Ints, settings: Settings) -> tuple[Floats, Floats, Bools]:
    """Start and length of the silence that makes a yield, NaN without one.

    Also where the recording ended before the silence was long enough to tell.
    """
    model, rules = cases.structure.model.ipus, settings.yield_
    speaking = axis.inside(model, e) >= 0
    fell = axis.last_end(model, e, s)
    again = np.minimum(axis.next_start(model, e, cases.end), cases.end)
    early = ~speaking & (fell > -NEVER)
    long_enough = early & (again - fell >= rules.hold_ms)
    cut_short = early & ~long_enough & (again == cases.end)

    end_of = cases.structure.origin + cases.structure.duration_ms
    gaps = c.gaps_after(model, end_of)
    # The silence that runs to the end of the recording is a candidate however short it is.
    ending = (gaps >= rules.late_hold_ms) | (model.end + gaps == end_of[model.rec])
    stops, lengths = model.end[ending], gaps[ending]
    at = np.searchsorted(stops, e, "right")
    late_stop, length = np.append(stops, NEVER)[at], np.append(lengths, 0)[at]
    in_time = speaking & (late_stop <= np.minimum(s + rules.late_window_ms, cases.end))
    late = in_time & (length >= rules.late_hold_ms)
    cut_short |= in_time & ~late
    stop = np.where(long_enough, fell, np.where(late, late_stop, NEVER))
    quiet = np.where(long_enough, again - fell, length)
    found = c.moments(stop)
    return found, np.where(np.isnan(found), np.nan, quiet), cut_short


def _next_takeover(cases: c.Cases, e: Ints, stop: Floats, cut: Bools, settings: Settings) -> Floats:
    """Start of the first takeover at or after ``e``, NaN without one.

    What a model that yielded says next is grouped afresh: even if it answers within
    ``takeover.group_ms``, what it had been saying is not part of the answer. One that kept talking
    answers with a takeover of its own, not with the next breath.
    """
    structure, model = cases.structure, cases.structure.model
    since = np.full(len(structure), NEVER)
    yielded = ~np.isnan(stop)
    since[cases.rec[yielded]] = e[yielded]
    later = model.ipus.start >= since[model.ipus.rec]
    ipus, words = model.ipus.take(later), model.ipu_words[later]
    group = axis.group_ids(ipus, settings.takeover.group_ms)
    heads = np.flatnonzero(np.diff(group, prepend=-1))
    tails = np.append(heads[1:], len(ipus))[: len(heads)] - 1
    said = np.bincount(group, words, minlength=len(heads))
    long = ipus.end[tails] - ipus.start[heads] > settings.backchannel.max_ms
    long |= said > settings.backchannel.max_words
    fresh = Spans(ipus.rec[heads], ipus.start[heads], ipus.end[tails]).take(long)
    after_yield = axis.next_start(fresh, e, cases.end)
    otherwise = axis.next_start(model.takeovers, e, cases.end)
    return c.moments(np.where(cut, np.where(yielded, after_yield, otherwise), NEVER))
