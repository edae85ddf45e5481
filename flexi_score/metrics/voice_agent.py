"""Profile ``voice-agent``: what operators of voice agents look at, over every turn of a call.

Beside the statistics of any conversation (:mod:`flexi_score.metrics.conversation`: response latency
with p50, p90 and p95, interruptions won and lost by each side, stop latency, talk share, longest
silence), a panel of events. It needs no annotation and no scenario.

Conventions
-----------
A *user turn* is that of :mod:`flexi_score.metrics.exchanges` with ``voice_agent.silence_ms``: it
ends where the model claims the floor, or where the user is silent for that long. Ratios are pooled:
total over total. Rates on fewer than ``voice_agent.min_events`` events per system are hidden; what
is per minute, or a share of time, is always shown.
"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.exchanges import Exchanges, exchanges, silent_at_end
from flexi_score.metrics.panel import Events, every_scenario, panel_rows, total
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.metrics.words import PANEL, word_panel
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import BACKCHANNEL, MODEL, USER, Speaker, Structure

_PANEL: Final = metric_table(
    "voice-agent",
    "conversation",
    """
    unanswered_turns | Unanswered turns | ratio | down
      share of user turns that the model does not answer before the user speaks again after at
      least voice_agent.silence_ms, or before the recording ends, if it goes on for that long
      null: user turns: none, or fewer than voice_agent.min_events for this system

    awkward_silences | Awkward silences | ratio | down
      share of user turns after which nobody speaks for at least voice_agent.silence_ms
      null: user turns: none, or fewer than voice_agent.min_events for this system

    awkward_silences_per_min | Awkward silences per minute | ratio | down | 1/min
      such silences per minute of recording
      null: no duration

    false_interruptions | False interruptions | ratio | down
      events per user turn in which the model starts in a pause of the user, the user goes on
      within voice_agent.silence_ms of stopping, and the model then stops first
      null: user turns: none, or fewer than voice_agent.min_events for this system

    false_interruptions_per_min | False interruptions per minute | ratio | down | 1/min
      such events per minute of recording
      null: no duration

    false_stops | False stops | ratio | down
      share of the user's backchannels and wordless sounds during the model's speech at which the
      model stops: between the sound's start and user_backchannel.stop_window_ms after its end,
      for at least yield.hold_ms
      null: such sounds: none, or fewer than voice_agent.min_events for this system

    false_stops_per_min | False stops per minute | ratio | down | 1/min
      such stops per minute of recording
      null: no duration

    resumptions | Resumptions | ratio | up
      share of false stops after which the model speaks again within user_backchannel.resume_ms
      null: false stops: none, or fewer than voice_agent.min_events for this system

    model_talk_over_s_per_min | Model talks over the user | ratio | down | s/min
      seconds per minute in which the model speaks over the user: overlap of their IPUs that began
      with the model's, its backchannels left out
      null: no duration

    user_talk_over_s_per_min | User talks over the model | ratio | none | s/min
      the same with the roles exchanged
      null: no duration

    longest_monologue | Longest monologue | ratio | none | s
      length of the model's longest turn, mean over recordings
      null: the model has no turn

    dead_air | Dead air | ratio | down
      share of the time between the first IPU and the last that lies in silences of at least
      voice_agent.silence_ms
      null: nobody speaks

    model_words_per_min | Model words per minute | ratio | none | 1/min
      words of the model per minute of its IPUs
      null: no transcript, or the model never speaks

    user_words_per_min | User words per minute | ratio | none | 1/min
      words of the user per minute of the user's IPUs
      null: no transcript, or the user never speaks
    """,
    "flexi_score, after the dashboards of voice-agent platforms",
)
METRICS: Final = every_scenario((*_PANEL, *PANEL))


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies
) -> pl.DataFrame:
    """The panel for the recordings ``rec``, of any scenario.

    ``rec`` (shape (k,)): give all recordings of a system and scenario at once:
    ``voice_agent.min_events`` counts theirs. ``settings``: uses ``voice_agent``,
    ``user_backchannel`` and ``yield``. Returns
    :data:`flexi_score.schema.SCORES`, as :func:`flexi_score.metrics.panel.panel_rows` makes it.
    """
    panel, least = _panel(structure, settings), settings.voice_agent.min_events
    panel |= word_panel(structure)
    return panel_rows(structure, rec, (*_PANEL, *PANEL), panel, least, "voice_agent.min_events")


def _panel(structure: Structure, settings: Settings) -> dict[str, Events]:
    """Events of every metric, over all recordings."""
    n, silence_ms = len(structure), settings.voice_agent.silence_ms
    minutes = structure.duration_ms.astype(np.float64) / 60_000
    exchanged = exchanges(structure, silence_ms)
    counts, unanswered, awkward = _turns(structure, exchanged, silence_ms)
    turns = total(exchanged.user.rec[counts], n)
    false_starts = total(_false_interruptions(structure, silence_ms), n)
    sound_rec, stopped, resumed = _sounds(structure, settings)
    stops = total(sound_rec[stopped], n)
    stretches, edges = _silences(structure, silence_ms)
    panel = {
        "unanswered_turns": Events(
            total(exchanged.user.rec[counts & unanswered], n),
            turns,
            "{a} of {b} user turns unanswered",
            "user turns",
        ),
        "awkward_silences": Events(
            total(exchanged.user.rec[counts & awkward], n),
            turns,
            "{a} awkward silences after {b} user turns",
            "user turns",
        ),
        "false_interruptions": Events(
            false_starts, turns, "{a} false interruptions, {b} user turns", "user turns"
        ),
        "false_stops": Events(
            stops,
            total(sound_rec, n),
            "stops at {a} of {b} sounds (backchannels, or without words)",
            "backchannels and wordless sounds during the model's speech",
        ),
        "resumptions": Events(
            total(sound_rec[stopped & resumed], n),
            stops,
            "speaks again after {a} of {b} false stops",
            "false stops",
        ),
        "longest_monologue": Events(
            _longest_turn(structure) / 1000.0,
            np.minimum(total(structure.turns.spans.rec[structure.turns.speaker == MODEL], n), 1.0),
            "longest turn {a} s, {b} recording",
            "turn of the model",
            always_shown=True,
        ),
        "dead_air": Events(
            stretches / 1000, edges / 1000, "{a} s of {b} s", "speech", always_shown=True
        ),
    }
    for name in ("awkward_silences", "false_interruptions", "false_stops"):
        noun = name.replace("_", " ")
        panel[f"{name}_per_min"] = Events(
            panel[name].numerator,
            minutes,
            f"{{a}} {noun} in {{b}} min",
            "duration",
            always_shown=True,
        )
    for name, own, other in (
        ("model", structure.model, structure.user),
        ("user", structure.user, structure.model),
    ):
        panel[f"{name}_talk_over_s_per_min"] = Events(
            _talk_over(own, other, n) / 1000,
            minutes,
            "{a} s in {b} min",
            "duration",
            always_shown=True,
        )
        panel[f"{name}_words_per_min"] = _words_per_min(own, n)
    return panel


def _turns(
    structure: Structure, exchanged: Exchanges, silence_ms: int
) -> tuple[Bools, Bools, Bools]:
    """Of every user turn: whether it counts, is unanswered, is followed by an awkward silence.

    A turn that the end of the recording follows too soon to tell counts for nothing.
    """
    end, ends_at = (
        exchanged.user.end,
        (structure.origin + structure.duration_ms)[exchanged.user.rec],
    )
    unanswered = exchanged.n_claims == 0
    anyone = np.minimum(
        axis.next_start(structure.user.ipus, end, ends_at),
        axis.next_start(structure.model.ipus, end, ends_at),
    )
    quiet = np.minimum(anyone, ends_at) - end
    quiet = np.where(silent_at_end(structure, exchanged), quiet, 0)
    cut_short = unanswered & (ends_at - end < silence_ms)
    return ~cut_short, unanswered, quiet >= silence_ms


def _false_interruptions(structure: Structure, silence_ms: int) -> Ints:
    """Recording of every false interruption by the model."""
    cuts = structure.interruptions
    user, model = structure.user.ipus, structure.model.ipus
    resumed = cuts.spans.take((cuts.speaker == USER) & cuts.success)
    start = resumed.start
    of_model = axis.straddling(model, start)  # an interruption starts inside an IPU of the other
    model_start = model.start[of_model]
    before = np.append(user.end, -NEVER)[np.searchsorted(user.end, model_start, "right") - 1]
    own_before = np.append(model.end, -NEVER)[of_model - 1]
    own_before = np.where(of_model > 0, own_before, -NEVER)
    in_pause = (start - before < silence_ms) & (own_before <= before)
    return resumed.rec[in_pause]


def _sounds(structure: Structure, settings: Settings) -> tuple[Ints, Bools, Bools]:
    """Recording of every sound that should not stop the model; whether it did, and spoke again.

    Sounds are the user's backchannels, and the user's IPUs without a word where words are known.
    Those that the recording's end follows too soon to tell are left out.
    """
    user, model = structure.user, structure.model.ipus
    wordless = (user.ipu_words == 0) & (user.role != BACKCHANNEL)
    said = structure.backchannels.spans.take(structure.backchannels.speaker == USER)
    silent = user.ipus.take(wordless)
    order = np.argsort(np.concatenate([said.start, silent.start]), kind="stable")
    rec, start, end = (
        np.concatenate(pair)[order]
        for pair in ((said.rec, silent.rec), (said.start, silent.start), (said.end, silent.end))
    )
    over = axis.straddling(model, start) >= 0
    rec, start, end = rec[over], start[over], end[over]
    ends_at = (structure.origin + structure.duration_ms)[rec]
    last = end + settings.user_backchannel.stop_window_ms
    next_model = np.append(model.start, NEVER)[1:]
    quiet = (
        np.minimum(next_model, (structure.origin + structure.duration_ms)[model.rec]) - model.end
    )
    holds = quiet >= settings.yield_.hold_ms
    stops, quiet_after = model.end[holds], next_model[holds] - model.end[holds]
    at = np.searchsorted(stops, start, "right")
    stop = np.append(stops, NEVER)[at]
    stopped = stop <= np.minimum(last, ends_at - settings.yield_.hold_ms)
    resumed = np.append(quiet_after, NEVER)[at] <= settings.user_backchannel.resume_ms
    ended = np.append(model.end, NEVER)[np.searchsorted(model.end, start, "right")]
    # The model falls silent, and the recording ends before that silence could last.
    unclear = ~stopped & (ended <= last) & (ended > ends_at - settings.yield_.hold_ms)
    keep = ~unclear
    return rec[keep], stopped[keep], resumed[keep]


def _silences(structure: Structure, silence_ms: int) -> tuple[Floats, Floats]:
    """Time in long silences, and time between the first IPU and the last (ms), by recording."""
    n = len(structure)
    total = np.zeros(n)
    for spans in (structure.pauses.spans, structure.gaps):
        length = spans.end - spans.start
        long = length >= silence_ms
        total += np.bincount(spans.rec[long], length[long], n)
    first, last = np.full(n, NEVER), np.full(n, -NEVER)
    for side in (structure.user, structure.model):
        np.minimum.at(first, side.ipus.rec, side.ipus.start)
        np.maximum.at(last, side.ipus.rec, side.ipus.end)
    return total, np.maximum(last - first, 0).astype(np.float64)


def _talk_over(own: Speaker, other: Speaker, n: int) -> Floats:
    """Time (ms) in which ``own`` speaks over an IPU of ``other`` that began before."""
    shared = axis.intersect(own.speech, other.ipus)
    # The shared stretch begins with whoever came later.
    later = axis.straddling(other.ipus, shared.start) >= 0
    length = (shared.end - shared.start)[later]
    return np.bincount(shared.rec[later], length, n).astype(np.float64)


def _longest_turn(structure: Structure) -> Floats:
    """Length (ms) of the model's longest turn, by recording."""
    turns = structure.turns
    spans: Spans = turns.spans.take(turns.speaker == MODEL)
    longest = np.zeros(len(structure))
    np.maximum.at(longest, spans.rec, (spans.end - spans.start).astype(np.float64))
    return longest


def _words_per_min(side: Speaker, n: int) -> Events:
    known = ~np.isnan(side.ipu_words)
    rec = side.ipus.rec[known]
    words = np.bincount(rec, side.ipu_words[known], n)
    minutes = np.bincount(rec, (side.ipus.end - side.ipus.start)[known] / 60_000, n)
    return Events(
        words.astype(np.float64),
        minutes.astype(np.float64),
        "{a} words in {b} min of speech",
        "speech with known words",
        always_shown=True,
    )
