"""Profile ``tau``: the interaction panel of tau-voice, on any recording.

After the definitions of tau-voice (Ray et al. 2026; tau2-bench, docs/interaction-metrics.md and
src/tau2/metrics/voice_interaction_metrics.py). Every metric is a ratio over events of all
recordings of a system; where a system has fewer than ``tau.min_events`` of them, nothing is shown.

Conventions
-----------
A *user turn* is a run of user IPUs less than ``takeover.group_ms`` apart with no start of the model
in between. Backchannels, and what the manifest says was not meant for the model, are none: an IPU
whose middle lies inside an entry of ``annotations.backchannels`` (or a detected backchannel, where
the manifest has none), or of the metadata ``vocal_tics`` or ``non_directed``, each a list
``[[s, s], ...]`` of starts and ends in seconds.

Divergences from tau-voice
--------------------------
1. tau-voice knows from its simulator what the user does; here it is annotated (layout ``tau2``:
   from its ticks) or detected.
2. Its clock ticks every 200 ms; here times are milliseconds, so a yield latency can be shorter.
3. A user turn is any stretch of user speech there; here silences below ``takeover.group_ms`` are
   bridged, as people pause. Otherwise every breath would be a turn without a response.
4. A model's backchannel is neither a response nor an interruption.
5. An event that the end of the recording cuts short is left out.
6. ``selectivity`` pools all events; tau-voice's board takes the mean of the three kinds, and only
   where all are there. The three kinds are shown as well.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.panel import Events, every_scenario, panel_rows, total
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import MODEL, USER, Structure

_PANEL: Final = metric_table(
    "tau",
    "conversation",
    """
    response_rate | R_R | ratio | up
      share of user turns that the model answers before the user speaks again; turns that end
      while the model speaks, and a last turn that nothing follows, are left out
      null: user turns: none, or fewer than tau.min_events for this system

    response_latency | L_R | ratio | down | s
      start of the answer minus end of the user turn, over answered turns
      null: answered turns: none, or fewer than tau.min_events for this system

    yield_rate | R_Y | ratio | up
      share of user interruptions after whose start the model stops in less than
      tau.yield_window_ms
      null: user interruptions: none, or fewer than tau.min_events for this system

    yield_latency | L_Y | ratio | down | s
      time from the start of a user interruption to the model's stop, where it yields
      null: yields: none, or fewer than tau.min_events for this system

    agent_interruptions | I_A | ratio | down
      interruptions by the model / user turns of response_rate; above 1 where it interrupts a turn
      more than once
      null: user turns: none, or fewer than tau.min_events for this system

    selectivity | S | ratio | up
      share of user backchannels (during the model's speech), vocal tics and speech not meant for
      the model that it rightly ignored: it did not stop within tau.stop_window_ms of the event's
      start, or, if it was silent then, did not start within tau.response_window_ms of its end
      null: such events: none, or fewer than tau.min_events for this system

    selectivity_backchannel | S_BC | ratio | up
      selectivity over backchannels alone: it did not stop within tau.stop_window_ms of the
      event's start, or, if it was silent then, did not start within tau.response_window_ms of its
      end
      null: backchannels: none, or fewer than tau.min_events for this system

    selectivity_vocal_tic | S_VT | ratio | up
      selectivity over annotated vocal tics alone: it did not stop within tau.stop_window_ms of
      the event's start, or, if it was silent then, did not start within tau.response_window_ms of
      its end
      null: vocal tics: none, or fewer than tau.min_events for this system

    selectivity_non_directed | S_ND | ratio | up
      selectivity over annotated speech not meant for the model alone: it did not stop within
      tau.stop_window_ms of the event's start, or, if it was silent then, did not start within
      tau.response_window_ms of its end
      null: stretches of speech not meant for the model: none, or fewer than tau.min_events for
      this system
    """,
    "tau-voice (Ray et al. 2026), docs/interaction-metrics.md",
)
METRICS: Final = every_scenario(_PANEL)

#: Metadata keys of what the model should ignore, and the metrics of each.
_KINDS: Final = {
    "backchannels": "selectivity_backchannel",
    "vocal_tics": "selectivity_vocal_tic",
    "non_directed": "selectivity_non_directed",
}

_WORDS: Final = {"vocal_tics": "vocal tics", "non_directed": "remarks not meant for it"}

#: ``[[s, s], ...]`` and nothing else, as JSON.
_NUMBER: Final = r"\d{1,7}(?:\.\d{1,12})?"
_PAIR: Final = rf"\[\s*{_NUMBER}\s*,\s*{_NUMBER}\s*\]"
_PAIRS: Final = rf"^\s*\[\s*(?:{_PAIR}(?:\s*,\s*{_PAIR})*)?\s*\]\s*$"


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """The panel for the recordings ``rec``, of any scenario.

    ``rec`` (shape (k,)): give all recordings of a system and scenario at once: ``tau.min_events``
    counts theirs. ``settings``: uses the groups ``tau`` and ``takeover``.
    Returns :data:`flexi_score.schema.SCORES`. ``weight`` is the number of events; a recording
    without any is ``not_applicable``. Where the system has too few in the scenario, the values are
    null and the status is ``excluded``.
    """
    panel = _panel(structure, settings)
    return panel_rows(structure, rec, _PANEL, panel, settings.tau.min_events, "tau.min_events")


def _panel(structure: Structure, settings: Settings) -> dict[str, Events]:
    """Events of every metric, over all recordings."""
    n = len(structure)
    ignored, unreadable = _to_ignore(structure)
    addressed = structure.user.ipus.take(~_ignored(structure.user.ipus, ignored))
    speech, group_ms = structure.model.speech, settings.takeover.group_ms
    turn_rec, latency = _answers(structure, speech, addressed, group_ms)
    answered = ~np.isnan(latency)
    turns, answers = total(turn_rec, n), total(turn_rec[answered], n)

    cut_rec, stop_ms = _user_interruptions(structure, ignored, settings.tau.yield_window_ms)
    yields = stop_ms < settings.tau.yield_window_ms
    cuts = structure.interruptions
    agent = total(cuts.spans.rec[cuts.speaker == MODEL], n)
    panel = {
        "response_rate": Events(answers, turns, "{a} of {b} user turns answered", "user turns"),
        "response_latency": Events(
            total(turn_rec[answered], n, latency[answered]) / 1000,
            answers,
            "{a} s over {b} answers",
            "answered user turns",
        ),
        "yield_rate": Events(
            total(cut_rec[yields], n),
            total(cut_rec, n),
            "yields to {a} of {b} interruptions",
            "user interruptions",
        ),
        "yield_latency": Events(
            total(cut_rec[yields], n, stop_ms[yields]) / 1000,
            total(cut_rec[yields], n),
            "{a} s over {b} yields",
            "yields",
        ),
        "agent_interruptions": Events(
            agent, turns, "{a} interruptions by the model, {b} user turns", "user turns"
        ),
    }
    right, every = np.zeros(n), np.zeros(n)
    for kind, name in _KINDS.items():
        rec, correct = _ignores(structure, ignored[kind], settings, kind != "backchannels")
        what = _WORDS.get(kind, kind)
        panel[name] = Events(
            total(rec[correct], n),
            total(rec, n),
            f"{{a}} of {{b}} {what} ignored",
            what,
            unreadable.get(kind),
            f"metadata {kind}: expected [[start, end], ...] in seconds, each end after its start",
        )
        right += panel[name].numerator
        every += panel[name].denominator
    panel["selectivity"] = Events(
        right,
        every,
        "{a} of {b} events ignored",
        "backchannels, vocal tics and other such speech",
        np.logical_or.reduce(list(unreadable.values())),
        "metadata vocal_tics, non_directed: expected [[start, end], ...] in seconds",
    )
    return panel


def _answers(
    structure: Structure, speaks: Spans, ipus: Spans, group_ms: int
) -> tuple[Ints, Floats]:
    """Recording of every user turn that counts, and the time to its answer (ms), NaN without."""
    ends_at = structure.origin + structure.duration_ms
    starts_next = axis.next_start(speaks, ipus.end, ends_at[ipus.rec])
    following = np.append(ipus.start, NEVER)[1:]
    following = np.where(following < ends_at[ipus.rec], following, NEVER)
    apart = (following - ipus.end >= group_ms) | (starts_next <= following)
    end, rec, answer, again = (a[apart] for a in (ipus.end, ipus.rec, starts_next, following))
    open_end = axis.straddling(structure.model.ipus, end) < 0
    followed = (answer < NEVER) | (again < NEVER)
    counts = open_end & followed
    latency = np.where((answer <= again) & (answer < NEVER), answer - end, np.nan)
    return rec[counts], latency[counts]


def _user_interruptions(
    structure: Structure, ignored: dict[str, Spans], window_ms: int
) -> tuple[Ints, Floats]:
    """Recording and time until the model stops (ms) of every user interruption."""
    cuts = structure.interruptions
    by_user = cuts.speaker == USER
    spans, stop = cuts.spans.take(by_user), cuts.stop_ms[by_user].astype(np.float64)
    ends_at = (structure.origin + structure.duration_ms)[spans.rec]
    # Still talking when the recording ends, before the window does: who knows?
    decided = (spans.start + stop < ends_at) | (stop >= window_ms)
    keep = decided & ~_ignored(spans, ignored)
    return spans.rec[keep], stop[keep]


def _ignores(
    structure: Structure, events: Spans, settings: Settings, also_in_silence: bool
) -> tuple[Ints, Bools]:
    """Recording of every event to be ignored, and whether the model did."""
    model, rules = structure.model.ipus, settings.tau
    ends_at = (structure.origin + structure.duration_ms)[events.rec]
    at = axis.inside(model, events.start)
    speaking = at >= 0
    stop = np.append(model.end, NEVER)[at]
    through = stop - events.start >= rules.stop_window_ms
    answer = axis.next_start(model, events.start, ends_at)
    limit = events.end + rules.response_window_ms
    unanswered = answer > limit
    # A recording that ends inside the window tells only of what happened before.
    decided = np.where(speaking, through | (stop < ends_at), ~unanswered | (limit <= ends_at))
    keep = decided & (speaking | also_in_silence)
    return events.rec[keep], np.where(speaking, through, unanswered)[keep]


def _to_ignore(structure: Structure) -> tuple[dict[str, Spans], dict[str, Bools]]:
    """What the model should ignore, by kind; and where the metadata cannot be read."""
    rows, n = structure.tracks.recordings, len(structure)
    given = rows["backchannels"].is_not_null().to_numpy()
    noted = (
        rows.select(pl.int_range(n).alias("rec"), "backchannels")
        .explode("backchannels")
        .drop_nulls("backchannels")
        .unnest("backchannels")
    )
    detected = structure.backchannels
    by_user = detected.spans.take((detected.speaker == USER) & ~given[detected.spans.rec])
    annotated = _placed(structure, noted)
    spans = {
        "backchannels": _sorted(
            np.concatenate([annotated.rec, by_user.rec]),
            np.concatenate([annotated.start, by_user.start]),
            np.concatenate([annotated.end, by_user.end]),
        )
    }
    unreadable: dict[str, Bools] = {}
    for kind in ("vocal_tics", "non_directed"):
        spans[kind], unreadable[kind] = _metadata_spans(structure, kind)
    return spans, unreadable


def _metadata_spans(structure: Structure, key: str) -> tuple[Spans, Bools]:
    """Intervals of a metadata key, and the recordings where it holds something else."""
    n = len(structure)
    text = structure.tracks.recordings.select(
        pl.col("metadata").cast(pl.String).str.json_path_match(f"$.{key}")
    ).to_series()
    legible = text.str.contains(_PAIRS).fill_null(False)
    numbers = (
        pl.DataFrame({"rec": np.arange(n), "text": text})
        .filter(legible)
        .select("rec", pl.col("text").str.extract_all(_NUMBER).alias("s"))
        .explode("s")
        .drop_nulls("s")
    )
    ms = np.rint(numbers["s"].cast(pl.Float64).to_numpy() * 1000).astype(np.int64)
    pairs = pl.DataFrame(
        {"rec": numbers["rec"].to_numpy()[::2], "start_ms": ms[::2], "end_ms": ms[1::2]}
    )
    wrong = np.array(text.is_not_null() & ~legible)
    wrong[pairs.filter(pl.col("end_ms") <= pl.col("start_ms"))["rec"].to_numpy()] = True
    return _placed(structure, pairs.filter(~pl.Series(wrong[pairs["rec"].to_numpy()]))), wrong


def _placed(structure: Structure, table: pl.DataFrame) -> Spans:
    """Rows ``rec, start_ms, end_ms`` on the common axis; those past the recording are dropped."""
    rec = table["rec"].to_numpy().astype(np.int64)
    start, end = (table[name].to_numpy().astype(np.int64) for name in ("start_ms", "end_ms"))
    inside = (start >= 0) & (start < structure.duration_ms[rec])
    rec, start, end = rec[inside], start[inside], end[inside]
    end = np.minimum(end, structure.duration_ms[rec])
    return _sorted(rec, start + structure.origin[rec], end + structure.origin[rec])


def _sorted(rec: Ints, start: Ints, end: Ints) -> Spans:
    order = np.lexsort((end, start))
    return Spans(rec[order], start[order], end[order])


def _ignored(ipus: Spans, ignored: dict[str, Spans]) -> Bools:
    """Whether the middle of each IPU lies inside something to be ignored."""
    hit = np.zeros(len(ipus), bool)
    for spans in ignored.values():
        hit |= axis.inside(axis.bridge(spans, 0), (ipus.start + ipus.end) // 2) >= 0
    return hit
