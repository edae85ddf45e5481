"""Profile ``fdb-v1``: Full-Duplex-Bench v1, and what timing can tell of v1.5 and v3.

The v1 rules (Lin et al. 2025, arXiv 2503.04721; scripts ``eval_smooth_turn_taking.py``,
``eval_pause_handling.py``, ``eval_user_interruption.py``, ``eval_backchannel.py``) are the
ancestors of profile ``release`` and share its takeover by words and its backchannel scan.

Divergences from profile ``release``
------------------------------------
1. turn_taking: a latency below 0 counts as 0 instead of being left out; there is no ``jir``.
2. pause_handling: any takeover counts, wherever it lies: there is no window and no mean latency,
   and nothing is skipped. A silent model scores 0.
3. user_interrupt: ``tor`` asks whether the model speaks at all, not whether it yields; ``latency``
   runs from the interruption's end to the model's first word, and below 0 counts as 0.

v1.5 (arXiv 2507.23159) adds four behaviours after an overlap, which its ``eval_behavior.py`` asks
an LLM to tell from the transcripts, and stop and response latencies (``get_timing.py``). The
latencies are reproduced from the speech segments. The behaviours ``respond`` to ``unknown`` rest on
timing alone, which cannot know what is said: a model that stops and then takes up its old sentence
counts as responding. ``judged_respond`` to ``judged_unknown`` are a judge's, who is asked once.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.fdb_change import CHANGES, speech_changes
from flexi_score.metrics.fdb_v3 import TEXT, tool_rows
from flexi_score.metrics.reasons import Rule, decide
from flexi_score.metrics.registry import (
    JUDGED_BEHAVIOURS,
    Latencies,
    Metric,
    metric_table,
    score_rows,
)
from flexi_score.metrics.release import Scorer
from flexi_score.metrics.release import common as c
from flexi_score.metrics.release import model_backchannel as release_backchannel
from flexi_score.metrics.release import turn_taking as release_turn_taking
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Floats, Intervals, Ints, Tracks

_WORDS_TOR: Final = """
      0 without model words, or where there are at most 3 and less than 1 s from the first start
      to the last end; else 1
      null: no transcript of the model
"""
#: v1.5, of scenarios user_interrupt and user_backchannel.
_OVERLAP: Final = f"""
    respond | Respond | rate | none
      of the annotated interruption or first backchannel [s, e]: 1 if the model stops by e +
      fdb.stop_window_ms and next speaks after e, for longer than backchannel.max_ms
      null: the overlap is not annotated, or the model does not speak when it begins

    resume | Resume | rate | none
      of the annotated interruption or first backchannel [s, e]: 1 if the model talks on, or stops
      and speaks again before e
      null: the overlap is not annotated, or the model does not speak when it begins

    uncertain | Uncertain | rate | none
      of the annotated interruption or first backchannel [s, e]: 1 if the model stops and next
      speaks after e, but no longer than backchannel.max_ms
      null: the overlap is not annotated, or the model does not speak when it begins

    unknown | Unknown | rate | none
      of the annotated interruption or first backchannel [s, e]: 1 if the model stops and never
      speaks again, or never speaks at all
      null: the overlap is not annotated, or the model does not speak when it begins

    judged_respond | Respond (judged) | rate | none | | judged
      judge: of the overlap, does the model take up what was said over it?
      null: as of respond, or no rating

    judged_resume | Resume (judged) | rate | none | | judged
      judge: does it go on with what it was saying?
      null: as of respond, or no rating

    judged_uncertain | Uncertain (judged) | rate | none | | judged
      judge: does it ask back, apologise or hesitate?
      null: as of respond, or no rating

    judged_unknown | Unknown (judged) | rate | none | | judged
      judge: none of these
      null: as of respond, or no rating

    {CHANGES}

    stop_latency | Stop latency | ratio | down | s
      length of every stretch in which both speak; segments at most fdb.user_merge_ms (user) and
      fdb.model_merge_ms (model) apart are one
      source: Full-Duplex-Bench v1.5, get_timing.py
      null: both never speak at once

    response_latency | Response latency | ratio | down | s
      end of a user segment to the next start of a model segment; of several user segments before
      one start, the last
      source: Full-Duplex-Bench v1.5, get_timing.py
      null: no model segment starts after a user segment
"""
_table = partial(metric_table, "fdb-v1")
_behaviour = partial(
    _table, text=_OVERLAP, source="Full-Duplex-Bench v1.5, eval_behavior.py (an LLM's label there)"
)

METRICS: Final[tuple[Metric, ...]] = (
    *_table(
        "turn_taking",
        f"""
    tor | TOR | rate | up
    {_WORDS_TOR.strip()}

    latency | Latency | mean | down | s
      first model word's start minus the user's turn end, 0 if that is negative, where tor is 1
      null: no takeover, or no annotated turn end
        """,
        "Full-Duplex-Bench v1, eval_smooth_turn_taking.py",
    ),
    *_table("turn_taking", TEXT, "Full-Duplex-Bench v3"),
    *_table(
        "pause_handling",
        f"tor | TOR | rate | down{_WORDS_TOR}",
        "Full-Duplex-Bench v1, eval_pause_handling.py",
    ),
    *_table(
        "user_interrupt",
        f"""
    tor | TOR | rate | up
    {_WORDS_TOR.strip()}

    latency | Latency | mean | down | s
      first model word's start minus the interruption's end, 0 if that is negative, where tor is 1
      null: no takeover, or no annotated interruption

    rating | GPT-4o | mean | up | 0-5 | judged
      judge: is the model's response related to the interruption? Asked where tor is 1
      null: no takeover, or no rating
        """,
        "Full-Duplex-Bench v1, eval_user_interruption.py",
    ),
    *_behaviour("user_interrupt"),
    *_behaviour("user_backchannel"),
    *(
        replace(metric, profile="fdb-v1", source="Full-Duplex-Bench v1, eval_backchannel.py")
        for metric in release_backchannel.METRICS
    ),
)


def score_turn_taking(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """Scores of the turn_taking recordings ``rec``: v1's, then those of v3."""
    end = c.annotation_s(tracks, rec, "user_turn_end_ms")
    tor = score_pause_handling(tracks, rec, settings, latency_s)
    latency = _latency(tracks, rec, end, "turn", "turn end")
    return pl.concat([tor, latency, *tool_rows(tracks, rec, end)])


def score_pause_handling(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """Scores of the pause_handling recordings ``rec``: ``tor``, as of all words of turn_taking."""
    rows = release_turn_taking.score(tracks, rec, settings, {})
    return rows.filter(metric="tor").with_columns(reference_ms=pl.lit(None, pl.Int64))


def score_user_interrupt(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """Scores of the user_interrupt recordings ``rec``: v1's, then those of v1.5."""
    start, end = (c.annotation_s(tracks, rec, f"interrupt_{side}_ms") for side in ("start", "end"))
    tor = score_pause_handling(tracks, rec, settings, latency_s)
    took = (tor["value"] == 1).fill_null(False).to_numpy()
    rating = (
        *c.no_transcript(tracks, rec, "model"),
        c.not_applicable(~took, "no_takeover", "no takeover: nothing to rate"),
        c.NOT_JUDGED,
    )
    return pl.concat(
        [
            tor,
            _latency(tracks, rec, end, "interruption", "interruption's end"),
            c.decide(tracks, rec, {}, "rating", rating),
            _overlap(tracks, rec, start, end, settings),
        ]
    )


def score_user_backchannel(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """Scores of the user_backchannel recordings ``rec``: v1.5's behaviours and latencies."""
    start, end = (c.first_backchannel(tracks, rec, side) for side in ("start_ms", "end_ms"))
    return _overlap(tracks, rec, start, end, settings)


SCORERS: Final[dict[str, Scorer]] = {
    "turn_taking": score_turn_taking,
    "pause_handling": score_pause_handling,
    "user_interrupt": score_user_interrupt,
    "user_backchannel": score_user_backchannel,
    "model_backchannel": release_backchannel.score,
}


def _latency(tracks: Tracks, rec: Ints, end: Floats, event: str, name: str) -> pl.DataFrame:
    """First word minus the end of the event, at least 0, where the words are a takeover."""
    words = c.runs_of(tracks.model_words, rec)
    first, last = c.take(words.start, words.first), c.take(words.end, words.last)
    length = last - first
    short = (length < 1) & (words.count <= 3)
    timed = f"first word at {{first}} s, {name} at {{end}} s"
    acknowledged = "{n} words within {length} s: an acknowledgement, no takeover"
    cases = (
        *c.no_transcript(tracks, rec, "model"),
        c.not_applicable(words.count == 0, "silent", f"{c.SILENT_MODEL}: no takeover"),
        c.not_applicable(short, "acknowledgement", acknowledged),
        c.no_annotation(np.isnan(end), event),
        c.scored(first < end, "before_event", f"{timed}: before it, which counts as 0 s", 0),
        c.scored(True, "timed", timed, first - end),
    )
    facts = {"first": first, "end": end, "n": words.count, "length": length}
    return c.decide(
        tracks, rec, facts, "latency", cases, reference_s=end, decided_s=first, source="annotation"
    )


@dataclass(frozen=True)
class _Segments:
    """Speech segments of both sides on the common axis, joined as the timing script joins them."""

    user: Spans
    model: Spans
    origin: Ints
    end: Ints


def _segments(tracks: Tracks, settings: Settings) -> _Segments:
    origin = axis.origins(tracks.duration_ms)

    def joined(speech: Intervals, gap_ms: int) -> Spans:
        # The script joins at exactly the gap too.
        return axis.bridge(axis.place(speech, origin, tracks.duration_ms), gap_ms + 1)

    return _Segments(
        joined(tracks.user_speech, settings.fdb.user_merge_ms),
        joined(tracks.model_speech, settings.fdb.model_merge_ms),
        origin,
        origin + tracks.duration_ms,
    )


def _overlap(
    tracks: Tracks, rec: Ints, start_s: Floats, end_s: Floats, settings: Settings
) -> pl.DataFrame:
    """v1.5: behaviour after the annotated overlap, and latencies of the whole recording."""
    segments = _segments(tracks, settings)
    return pl.concat(
        [
            *_behaviours(tracks, rec, segments, start_s, end_s, settings),
            *speech_changes(tracks, rec, segments.model, segments.origin, (start_s, end_s)),
            _timing(tracks, rec, "stop_latency", _overlaps(segments), "overlaps"),
            _timing(tracks, rec, "response_latency", _response_gaps(segments), "responses"),
        ]
    )


def _behaviours(
    tracks: Tracks,
    rec: Ints,
    segments: _Segments,
    start_s: Floats,
    end_s: Floats,
    settings: Settings,
) -> list[pl.DataFrame]:
    model, origin = segments.model, segments.origin[rec]
    known = ~(np.isnan(start_s) | np.isnan(end_s))
    s, e = (
        np.rint(np.where(known, time, 0) * 1000).astype(np.int64) + origin
        for time in (start_s, end_s)
    )
    at = axis.inside(model, s)
    speaking = known & (at >= 0)
    stop = np.append(model.end, 0)[at]
    again = np.append(model.start, [0, 0])[at + 1]
    length = np.append(model.end, [0, 0])[at + 1] - again
    speaks_again = np.append(model.rec, [-1, -1])[at + 1] == rec
    in_time = (stop <= e + settings.fdb.stop_window_ms) & (stop < segments.end[rec])
    stopped = speaking & in_time
    through = speaking & ~stopped & (stop > e)
    resume = through | (stopped & speaks_again & (again < e))
    after = stopped & speaks_again & (again >= e)
    long = length > settings.backchannel.max_ms
    silent = known & (np.bincount(model.rec, minlength=len(tracks))[rec] == 0)
    behaviours = {
        "respond": after & long,
        "resume": resume,
        "uncertain": after & ~long,
        "unknown": silent | (speaking & ~resume & ~after),
    }
    facts = {
        "s": start_s,
        "e": end_s,
        "stop": (stop - origin) / 1000,
        "again": (again - origin) / 1000,
        "length": length / 1000,
    }
    event = "the overlap [{s}, {e}] s"
    idle = "the model does not speak when the overlap begins at {s} s"
    resumes = f"stops at {{stop}} s, speaks again at {{again}} s for {{length}} s, {event}"
    row = partial(
        c.decide,
        tracks,
        rec,
        facts,
        reference_s=start_s,
        decided_s=np.where(speaking, facts["stop"], np.nan),
        source="annotation",
    )
    return [
        row(
            name,
            (
                c.no_annotation(~known, "overlap"),
                c.silent(silent, "silent", "the model never speaks", value),
                c.not_applicable(~speaking, "not_speaking", idle),
                c.scored(through, "talks_on", f"talks on through {event}, until {{stop}} s", value),
                c.scored(stopped & speaks_again, "stops_and_resumes", resumes, value),
                c.scored(True, "stops", f"stops at {{stop}} s for good, {event}", value),
            ),
        )
        for name, value in behaviours.items()
    ] + [
        row(
            name,
            (
                c.no_annotation(~known, "overlap"),
                c.not_applicable(silent, "silent", "the model never speaks"),
                c.not_applicable(~speaking, "not_speaking", idle),
                *c.no_transcript(tracks, rec, "model"),
                c.NOT_JUDGED,
            ),
        )
        for name in JUDGED_BEHAVIOURS
    ]


def _timing(
    tracks: Tracks, rec: Ints, metric: str, events: tuple[Ints, Ints], what: str
) -> pl.DataFrame:
    """A recording's mean over its events; their number is the weight."""
    whose, length_ms = events
    number = np.bincount(whose, minlength=len(tracks))[rec]
    total_ms = np.bincount(whose, length_ms.astype(np.float64), len(tracks))[rec]
    some = number > 0
    weight = np.where(some, number, np.nan)
    return score_rows(
        tracks.recordings,
        rec,
        metric,
        total_ms / 1000 / weight,
        pl.Series(["not_applicable", "scored"])[some.astype(np.uint32)],
        decide(
            len(rec),
            {"n": number, "s": total_ms / 1000},
            Rule(some, "counted", f"{{n}} {what}, {{s}} s in all"),
            Rule(None, "no_events", f"no {what}"),
        ),
        weight=weight,
        source="detected",
    )


def _overlaps(segments: _Segments) -> tuple[Ints, Ints]:
    """Recording and length (ms) of every stretch in which both speak."""
    both = axis.intersect(segments.user, segments.model)
    return both.rec, both.end - both.start


def _response_gaps(segments: _Segments) -> tuple[Ints, Ints]:
    """Recording and length (ms) of the gap before every answering model segment."""
    user = segments.user
    # The script asks for a start after the end, not at it.
    start = axis.next_start(segments.model, user.end + 1, segments.end[user.rec])
    answered = start < axis.NEVER
    rec, start, end = user.rec[answered], start[answered], user.end[answered]
    last = np.append(np.diff(start) != 0, [True])[: len(start)]
    return rec[last], (start - end)[last]
