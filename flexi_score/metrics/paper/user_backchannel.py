"""Scenario user_backchannel: does the model talk on when the user only says "yeah"?"""

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
from flexi_score.segment.tracks import Bools, Floats, Ints, spread
from flexi_score.segment.types import Structure

METRICS: Final = metric_table(
    "paper",
    "user_backchannel",
    """
    ttr | TTR | rate | down
      the model mid-turn at the backchannel's start: 1 if it stops between that start and
      user_backchannel.stop_window_ms after the backchannel's end and stays silent for at least
      yield.hold_ms, else 0
      source: FLEXI paper, section 2.2 (5)
      null: the model is not mid-turn at any backchannel of the user, or the recording ends before
      that silence could last

    resumed | Resumed | rate | up
      1 if the model speaks again within user_backchannel.resume_ms of stopping
      source: FLEXI paper, section 2.2 (5)
      null: the model did not stop

    coherence | Coh. | mean | up | 0-5 | judged
      judge: does what follows continue what was cut? Coherent if above 2
      source: FLEXI paper, section 2.2 (5)
      null: not judged, or the model did not stop and speak again

    acceptable | Acceptable | rate | up |  | judged
      an acceptable interruption: 1 if the model resumed and its coherence is above 2, else 0
      source: FLEXI paper, section 2.2 (5)
      null: not judged, or the model did not stop and speak again
    """,
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies, explain: bool = True
) -> pl.DataFrame:
    """Scores of the user_backchannel recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec, explain)
    spans, annotated = _backchannels(cases)
    spans = spans.take(c.mid_turn(structure, spans.start))
    stop, again, pending = _stops(cases, spans, settings)
    size = len(structure)
    met, stopped, unclear = (np.zeros(size, bool) for _ in range(3))
    met[spans.rec] = True
    stopped[spans.rec[~np.isnan(stop)]] = True
    unclear[spans.rec[~np.isnan(pending)]] = True
    met, stopped, unclear = met[rec], stopped[rec], unclear[rec]
    unclear &= ~stopped
    usable = met & ~unclear
    # The backchannel that decides: the first that stops the model, else the first.
    rank = np.where(~np.isnan(stop), 0, np.where(~np.isnan(pending), 1, 2))
    order = np.lexsort((spans.start, rank, spans.rec))
    order = order[axis.heads(spans.rec[order])]
    columns = np.full((5, size), np.nan)
    columns[:, spans.rec[order]] = np.stack([spans.start, spans.end, stop, again, pending])[
        :, order
    ]
    start, end, at, again_at, pending_at = columns[:, rec]
    resumed = again_at - at <= settings.user_backchannel.resume_ms
    judgeable = stopped & ~np.isnan(again_at)
    facts = {
        "start": cases.seconds(start),
        "end": cases.seconds(end),
        "stop": cases.seconds(at),
        "again": cases.seconds(again_at),
        "pending": cases.seconds(pending_at),
    }
    elsewhere = "the model is not mid-turn at any known backchannel of the user"
    cut_short = "falls silent at {pending} s, and the recording ends before that silence could last"
    absent = (
        c.silent_rule(cases.silent & ~met),
        Rule(~met, "not_mid_turn", elsewhere),
        Rule(unclear, "cut_short", cut_short),
    )
    talks_on = Rule(None, "talks_on", "talks on through the backchannel [{start}, {end}] s")
    stops = "stops at {stop} s, at the backchannel [{start}, {end}] s"
    for_good = f"{stops} and never speaks again"
    speaks_again = "stops at {stop} s and speaks again at {again} s"
    row = partial(
        cases.row,
        reference_ms=cases.own_ms(start),
        decided_ms=cases.own_ms(at),
        source=c.choose((annotated, "annotation"), otherwise="detected"),
    )
    ttr = row(
        "ttr",
        np.where(usable, stopped.astype(float), np.nan),
        c.statuses(usable),
        cases.decide(facts, Rule(stopped, "stops", stops), *absent, talks_on),
        margin_s=np.where(usable, _margin(cases, spans, stop, settings), np.nan) / 1000,
    )
    resumes = row(
        "resumed",
        np.where(stopped, resumed.astype(float), np.nan),
        c.statuses(stopped),
        cases.decide(
            facts,
            Rule(stopped & np.isnan(again_at), "never_resumes", for_good),
            Rule(stopped, "speaks_again", speaks_again),
            *absent,
            talks_on,
        ),
        margin_s=np.abs(again_at - at - settings.user_backchannel.resume_ms) / 1000,
    )
    judgement = cases.decide(
        facts,
        Rule(judgeable, "not_judged", c.ASK_A_JUDGE),
        Rule(stopped, "never_resumes", for_good),
        *absent,
        talks_on,
    )
    # What becomes of `acceptable` follows from the rating: see flexi_score.scoring.fill.
    status = c.choose((judgeable, PENDING), otherwise="not_applicable")
    unrated = np.full(len(rec), np.nan)
    judged = [row(name, unrated, status, judgement) for name in ("coherence", "acceptable")]
    return pl.concat([ttr, resumes, *judged])


def _backchannels(cases: c.Cases) -> tuple[Spans, Bools]:
    """The user's backchannels by start, and which rows annotate them.

    Where they are not annotated: the first short utterance of the user that starts while the model
    speaks, whatever the model does then. A short "stop" that silences the model is an interruption
    among the events, and this scenario's question all the same.
    """
    annotated = cases.column("backchannels")
    given = annotated.is_not_null().to_numpy()
    table = (
        pl.DataFrame({"rec": cases.rec, "origin": cases.origin})
        .with_columns(annotated)
        .explode("backchannels")
        .drop_nulls("backchannels")
        .unnest("backchannels")
    )
    origin = table["origin"].to_numpy()
    noted = Spans(
        table["rec"].to_numpy().astype(np.int64),
        table["start_ms"].to_numpy().astype(np.int64) + origin,
        table["end_ms"].to_numpy().astype(np.int64) + origin,
    )
    user, wanted = cases.structure.user, np.zeros(len(cases.structure), bool)
    wanted[cases.rec[~given]] = True
    short = user.groups.take(~user.long & wanted[user.groups.rec])
    short = short.take(axis.straddling(cases.structure.model.ipus, short.start) >= 0)
    detected = short.take(axis.heads(short.rec))
    joined = Spans(
        np.concatenate([noted.rec, detected.rec]),
        np.concatenate([noted.start, detected.start]),
        np.concatenate([noted.end, detected.end]),
    )
    return joined.take(np.argsort(joined.start, kind="stable")), given


def _stops(cases: c.Cases, spans: Spans, settings: Settings) -> tuple[Floats, Floats, Floats]:
    """For each backchannel: where the model stops, where it speaks again, and where it falls
    silent too shortly before the recording's end to tell. NaN for none."""
    structure, model = cases.structure, cases.structure.model.ipus
    ends_at = structure.origin + structure.duration_ms
    gaps = c.gaps_after(model, ends_at)
    holds = gaps >= settings.yield_.hold_ms
    latest = spans.end + settings.user_backchannel.stop_window_ms
    at = np.append(np.flatnonzero(holds), len(model))[
        np.searchsorted(model.end[holds], spans.start, "right")
    ]
    stop = np.append(model.end, NEVER)[at]
    inside = stop <= np.minimum(latest, ends_at[spans.rec])
    following = np.append(model.start, [NEVER, NEVER])[at + 1]
    again = np.where(following < ends_at[spans.rec], following, NEVER)
    cut = ~holds & (model.end + gaps == ends_at[model.rec])
    ending = np.append(model.end[cut], NEVER)[np.searchsorted(model.end[cut], spans.start, "right")]
    pending = ~inside & (ending <= np.minimum(latest, ends_at[spans.rec]))
    return (
        c.moments(np.where(inside, stop, NEVER)),
        c.moments(np.where(inside, again, NEVER)),
        c.moments(np.where(pending, ending, NEVER)),
    )


def _margin(cases: c.Cases, spans: Spans, stop: Floats, settings: Settings) -> Floats:
    """Distance of each recording's outcome to the nearest threshold (ms), NaN without one.

    A stop: of its silence to ``yield.hold_ms``, of itself to the window's ends. None: how much the
    nearest silence is too short or too late.
    """
    structure, model = cases.structure, cases.structure.model.ipus
    hold = settings.yield_.hold_ms
    ends_at = structure.origin + structure.duration_ms
    gaps = np.append(c.gaps_after(model, ends_at), 0)
    latest = spans.end + settings.user_backchannel.stop_window_ms
    stopped = ~np.isnan(stop)
    moment = np.where(stopped, stop, 0).astype(np.int64)
    quiet = gaps[np.searchsorted(model.end, moment, "left")]
    sure = np.fmin(np.fmin(quiet - hold, latest - stop), stop - spans.start)
    per = np.full(len(structure), np.inf)
    np.minimum.at(per, spans.rec[stopped], sure[stopped])
    decided = np.isfinite(per)
    at, who = spread(
        np.searchsorted(model.end, spans.start, "right"),
        np.searchsorted(model.end, ends_at[spans.rec], "right"),
    )
    short = np.maximum(np.maximum(model.end[at] - latest[who], hold - gaps[at]), 0)
    missed = np.full(len(structure), np.inf)
    np.minimum.at(missed, spans.rec[who], short.astype(np.float64))
    margin = np.where(decided, per, missed)[cases.rec]
    return np.where(np.isfinite(margin), margin, np.nan)
