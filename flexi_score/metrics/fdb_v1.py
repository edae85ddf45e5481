"""Profile ``fdb-v1``: Full-Duplex-Bench v1, and what timing can tell of v1.5.

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
latencies are reproduced from the speech segments. The behaviours here rest on timing alone, which
cannot know what is said: a model that stops and then takes up its old sentence counts as
responding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.reasons import Decision
from flexi_score.metrics.registry import PENDING, Metric, score_rows
from flexi_score.metrics.release import model_backchannel as release_backchannel
from flexi_score.metrics.release import turn_taking as release_turn_taking
from flexi_score.metrics.release.common import (
    NO_MODEL_TRANSCRIPT,
    NO_RATING,
    SILENT_MODEL,
    Case,
    annotation_s,
    decide,
    runs_of,
    take,
)
from flexi_score.segment import axis
from flexi_score.segment.axis import Spans
from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, Tracks

Scorer = Callable[[Tracks, Ints, Settings, Mapping[str, float]], pl.DataFrame]

_V1: Final = "Full-Duplex-Bench v1, "
_TIMING: Final = "Full-Duplex-Bench v1.5, get_timing.py"
_BEHAVIOUR: Final = "Full-Duplex-Bench v1.5, eval_behavior.py (an LLM's label there, timing here)"
_WORDS_TOR: Final = (
    "0 without model words, or where there are at most 3 and less than 1 s from the first start to "
    "the last end; else 1"
)
_OVERLAPPED: Final = ("user_interrupt", "user_backchannel")

_metric = partial(Metric, "fdb-v1")


def _overlap_metrics(scenario: str) -> tuple[Metric, ...]:
    no_event = "the overlap is not annotated, or the model does not speak when it begins"
    of_event = "of the annotated interruption or first backchannel [s, e]"
    return (
        _metric(
            scenario,
            "respond",
            "Respond",
            "",
            "none",
            "rate",
            f"{of_event}: 1 if the model stops by e + fdb.stop_window_ms and next speaks after e, "
            "for longer than backchannel.max_ms",
            _BEHAVIOUR,
            no_event,
        ),
        _metric(
            scenario,
            "resume",
            "Resume",
            "",
            "none",
            "rate",
            f"{of_event}: 1 if the model talks on, or stops and speaks again before e",
            _BEHAVIOUR,
            no_event,
        ),
        _metric(
            scenario,
            "uncertain",
            "Uncertain",
            "",
            "none",
            "rate",
            f"{of_event}: 1 if the model stops and next speaks after e, but no longer than "
            "backchannel.max_ms",
            _BEHAVIOUR,
            no_event,
        ),
        _metric(
            scenario,
            "unknown",
            "Unknown",
            "",
            "none",
            "rate",
            f"{of_event}: 1 if the model stops and never speaks again, or never speaks at all",
            _BEHAVIOUR,
            no_event,
        ),
        _metric(
            scenario,
            "stop_latency",
            "Stop latency",
            "s",
            "down",
            "ratio",
            "length of every stretch in which both speak; segments at most fdb.user_merge_ms "
            "(user) and fdb.model_merge_ms (model) apart are one",
            _TIMING,
            "both never speak at once",
        ),
        _metric(
            scenario,
            "response_latency",
            "Response latency",
            "s",
            "down",
            "ratio",
            "end of a user segment to the next start of a model segment; of several user segments "
            "before one start, the last",
            _TIMING,
            "no model segment starts after a user segment",
        ),
    )


METRICS: Final[tuple[Metric, ...]] = (
    _metric(
        "turn_taking",
        "tor",
        "TOR",
        "",
        "up",
        "rate",
        _WORDS_TOR,
        _V1 + "eval_smooth_turn_taking.py",
        "no transcript of the model",
    ),
    _metric(
        "turn_taking",
        "latency",
        "Latency",
        "s",
        "down",
        "mean",
        "first model word's start minus the user's turn end, 0 if that is negative, where tor is 1",
        _V1 + "eval_smooth_turn_taking.py",
        "no takeover, or no annotated turn end",
    ),
    _metric(
        "pause_handling",
        "tor",
        "TOR",
        "",
        "down",
        "rate",
        _WORDS_TOR,
        _V1 + "eval_pause_handling.py",
        "no transcript of the model",
    ),
    _metric(
        "user_interrupt",
        "tor",
        "TOR",
        "",
        "up",
        "rate",
        _WORDS_TOR,
        _V1 + "eval_user_interruption.py",
        "no transcript of the model",
    ),
    _metric(
        "user_interrupt",
        "latency",
        "Latency",
        "s",
        "down",
        "mean",
        "first model word's start minus the interruption's end, 0 if that is negative, where tor "
        "is 1",
        _V1 + "eval_user_interruption.py",
        "no takeover, or no annotated interruption",
    ),
    _metric(
        "user_interrupt",
        "rating",
        "GPT-4o",
        "0-5",
        "up",
        "mean",
        "judge: is the model's response related to the interruption? Asked where tor is 1",
        _V1 + "eval_user_interruption.py",
        "no takeover, or no rating",
        judged=True,
    ),
    *_overlap_metrics("user_interrupt"),
    *_overlap_metrics("user_backchannel"),
    *(
        replace(metric, profile="fdb-v1", source=_V1 + "eval_backchannel.py")
        for metric in release_backchannel.METRICS
    ),
)


def score_turn_taking(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the turn_taking recordings ``rec``: ``tor latency``."""
    end = annotation_s(tracks, rec, "user_turn_end_ms")
    return pl.concat([_tor(tracks, rec, settings), _latency(tracks, rec, end, "turn", "turn end")])


def score_pause_handling(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the pause_handling recordings ``rec``: ``tor``."""
    return _tor(tracks, rec, settings)


def score_user_interrupt(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the user_interrupt recordings ``rec``.

    Rows: ``tor latency rating``, and of v1.5 ``respond resume uncertain unknown stop_latency
    response_latency``.
    """
    end = annotation_s(tracks, rec, "interrupt_end_ms")
    tor = _tor(tracks, rec, settings)
    took = (tor["value"] == 1).fill_null(False).to_numpy()
    judged = decide(
        tracks,
        rec,
        "rating",
        {},
        [
            Case(
                ~tracks.model_words.known[rec],
                np.nan,
                "failed",
                NO_MODEL_TRANSCRIPT,
                code="no_model_transcript",
            ),
            Case(
                ~took, np.nan, "not_applicable", "no takeover: nothing to rate", code="no_takeover"
            ),
            Case(True, np.nan, PENDING, NO_RATING, code="not_judged"),
        ],
    )
    start = annotation_s(tracks, rec, "interrupt_start_ms")
    late = _latency(tracks, rec, end, "interruption", "interruption's end")
    return pl.concat([tor, late, judged, _overlap(tracks, rec, start, end, settings)])


def score_user_backchannel(
    tracks: Tracks, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the user_backchannel recordings ``rec``: v1.5's behaviours and latencies."""
    first = tracks.recordings["backchannels"].gather(rec).list.first()
    start, end = (
        np.asarray(first.struct.field(name).cast(pl.Float64).to_numpy(), np.float64) / 1000
        for name in ("start_ms", "end_ms")
    )
    return _overlap(tracks, rec, start, end, settings)


SCORERS: Final[dict[str, Scorer]] = {
    "turn_taking": score_turn_taking,
    "pause_handling": score_pause_handling,
    "user_interrupt": score_user_interrupt,
    "user_backchannel": score_user_backchannel,
    "model_backchannel": release_backchannel.score,
}


def _tor(tracks: Tracks, rec: Ints, settings: Settings) -> pl.DataFrame:
    """Whether the words of the model are a takeover, wherever they lie."""
    rows = release_turn_taking.score(tracks, rec, settings, {})
    return rows.filter(pl.col("metric") == "tor").with_columns(
        pl.lit(None, pl.Int64).alias("reference_ms")
    )


def _latency(tracks: Tracks, rec: Ints, end: Floats, event: str, name: str) -> pl.DataFrame:
    """First word minus the end of the event, at least 0, where the words are a takeover."""
    words = runs_of(tracks.model_words, rec)
    first, last = take(words.start, words.first), take(words.end, words.last)
    short = (last - first < 1) & (words.count <= 3)
    offset = first - end
    told = f"first word at {{first}} s, {name} at {{end}} s"
    return decide(
        tracks,
        rec,
        "latency",
        {"first": first, "end": end, "n": words.count, "length": last - first},
        [
            Case(
                ~tracks.model_words.known[rec],
                np.nan,
                "failed",
                NO_MODEL_TRANSCRIPT,
                code="no_model_transcript",
            ),
            Case(
                words.count == 0,
                np.nan,
                "not_applicable",
                f"{SILENT_MODEL}: no takeover",
                code="silent",
            ),
            Case(
                short,
                np.nan,
                "not_applicable",
                "{n} words within {length} s: an acknowledgement, no takeover",
                code="acknowledgement",
            ),
            Case(
                np.isnan(end),
                np.nan,
                "excluded",
                f"Full-Duplex-Bench needs an annotated {event}, and there is none",
                code="no_annotation",
            ),
            Case(
                offset < 0,
                0.0,
                "scored",
                f"{told}: before it, which counts as 0 s",
                code="before_event",
            ),
            Case(True, offset, "scored", told, code="timed"),
        ],
        reference_s=end,
        decided_s=first,
        source="annotation",
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
    model, origin, over = segments.model, segments.origin[rec], segments.end[rec]
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
    stopped = speaking & (stop <= e + settings.fdb.stop_window_ms) & (stop < over)
    through = speaking & ~stopped & (stop > e)
    resume = through | (stopped & speaks_again & (again < e))
    after = stopped & speaks_again & (again >= e)
    long = length > settings.backchannel.max_ms
    silent = known & (np.bincount(model.rec, minlength=len(tracks))[rec] == 0)
    held: dict[str, Bools] = {
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
    rows = []
    for name, is_so in held.items():
        value = is_so.astype(np.float64)
        rows.append(
            decide(
                tracks,
                rec,
                name,
                facts,
                [
                    Case(
                        ~known,
                        np.nan,
                        "excluded",
                        "Full-Duplex-Bench needs an annotated overlap, and there is none",
                        code="no_annotation",
                    ),
                    Case(silent, value, "silent", "the model never speaks", code="silent"),
                    Case(
                        ~speaking,
                        np.nan,
                        "not_applicable",
                        "the model does not speak when the overlap begins at {s} s",
                        code="not_speaking",
                    ),
                    Case(
                        through,
                        value,
                        "scored",
                        f"talks on through {event}, until {{stop}} s",
                        code="talks_on",
                    ),
                    Case(
                        stopped & speaks_again,
                        value,
                        "scored",
                        "stops at {stop} s, speaks again at {again} s for {length} s, " + event,
                        code="stops_and_resumes",
                    ),
                    Case(
                        True,
                        value,
                        "scored",
                        f"stops at {{stop}} s for good, {event}",
                        code="stops",
                    ),
                ],
                reference_s=start_s,
                decided_s=np.where(speaking, facts["stop"], np.nan),
                source="annotation",
            )
        )
    return rows


def _timing(
    tracks: Tracks, rec: Ints, metric: str, found: tuple[Ints, Ints], what: str
) -> pl.DataFrame:
    """A recording's mean over its events; their number is the weight."""
    whose, length_ms = found
    number = np.bincount(whose, minlength=len(tracks))[rec].astype(np.float64)
    total = np.bincount(whose, length_ms.astype(np.float64), len(tracks))[rec] / 1000
    some = number > 0
    value = np.divide(total, number, out=np.full(len(rec), np.nan), where=some)
    cells = pl.DataFrame({"n": number.astype(np.int64), "s": total.round(3), "some": some}).select(
        status=pl.when("some").then(pl.lit("scored")).otherwise(pl.lit("not_applicable")),
        reason=pl.when("some")
        .then(pl.format(f"{{}} {what}, {{}} s in all", "n", "s"))
        .otherwise(pl.lit(f"no {what}")),
        rule=pl.when("some").then(pl.lit("counted")).otherwise(pl.lit("no_events")),
    )
    return score_rows(
        tracks.recordings,
        rec,
        metric,
        value,
        cells["status"],
        Decision(cells["rule"], cells["reason"]),
        weight=np.where(some, number, np.nan),
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
