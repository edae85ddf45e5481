"""Scenario user_backchannel: does the model talk on when the user only says "yeah"?"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.paper.margins import if_explained, resumed_margin, stop_margin
from flexi_score.metrics.registry import Metric, score_rows
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import USER, Structure

_metric = partial(Metric, profile="paper", scenario="user_backchannel")

METRICS = (
    _metric(
        name="ttr",
        label="TTR",
        unit="",
        direction="down",
        aggregate="rate",
        definition="1 if the model's speech under way at a backchannel stops between its start and "
        "user_backchannel.stop_window_ms after its end and stays silent for at least "
        "yield.hold_ms, else 0",
        source="FLEXI paper, section 2.2 (5)",
        null_means="no backchannel of the user falls into the model's speech",
    ),
    _metric(
        name="resumed",
        label="Resumed",
        unit="",
        direction="up",
        aggregate="rate",
        definition="1 if the model speaks again within user_backchannel.resume_ms of stopping",
        source="FLEXI paper, section 2.2 (5)",
        null_means="the model did not stop",
    ),
    _metric(
        name="coherence",
        label="Coh.",
        unit="0-5",
        direction="up",
        aggregate="mean",
        judged=True,
        definition="judge: does what follows continue what was cut? Coherent if above 2",
        source="FLEXI paper, section 2.2 (5)",
        null_means="not judged, or the model did not stop and speak again",
    ),
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Mapping[str, float]
) -> pl.DataFrame:
    """Scores of the user_backchannel recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec)
    spans, given = _backchannels(cases)
    model = structure.model
    spans = spans.take(axis.inside(model.takeovers, spans.start) >= 0)
    end_of = structure.origin + structure.duration_ms
    gaps = c.gaps_after(model.ipus, end_of)
    stop = _first_stop(model.ipus, gaps, spans, settings)

    # One row a recording: the first backchannel that stopped the model, else the first of all.
    order = np.lexsort((spans.start, np.where(np.isnan(stop), 1, 0), spans.rec))
    first = order[np.diff(spans.rec[order], prepend=-1) != 0]
    place = np.full(len(structure), -1)
    place[spans.rec[first]] = first
    chosen = place[cases.rec]
    met = chosen >= 0
    said = np.append(spans.start, 0)[chosen]
    said_end = np.append(spans.end, 0)[chosen]
    at = np.where(met, np.append(stop, np.nan)[chosen], np.nan)
    stopped = ~np.isnan(at)
    asked = np.where(stopped, at, cases.origin).astype(np.int64)
    again = c.moments(axis.next_start(model.ipus, asked, cases.end))
    again = np.where(stopped, again, np.nan)
    resumed = again - at <= settings.user_backchannel.resume_ms

    source = c.choose((given, "annotation"), otherwise="detected")
    row = partial(
        score_rows,
        structure.tracks.recordings,
        rec,
        reference_ms=np.where(met, said - cases.origin, np.nan),
        decided_ms=cases.own_ms(at),
        source=source,
    )
    none = c.choose(
        (cases.silent, c.SILENT),
        otherwise="no backchannel of the user falls into the model's speech",
    )
    own = cases.own_ms(said.astype(np.float64)), cases.own_ms(said_end.astype(np.float64))
    stops = c.say("stops at {} s, at the backchannel [{}, {}] s", cases.own_ms(at), *own)
    goes_on = c.say("talks on through the backchannel [{}, {}] s", *own)
    told = c.choose((stopped, stops), (met, goes_on), otherwise=none)
    ttr = row(
        "ttr",
        np.where(met, stopped.astype(float), np.nan),
        c.choose((met, "scored"), otherwise="not_applicable"),
        told,
        margin_s=_margin(cases, spans, stop, settings) / 1000,
    )
    back = c.say("stops at {} s and speaks again at {} s", cases.own_ms(at), cases.own_ms(again))
    resumed_rows = row(
        "resumed",
        np.where(stopped, resumed.astype(float), np.nan),
        c.choose((stopped, "scored"), otherwise="not_applicable"),
        c.choose(
            (stopped & np.isnan(again), stops + " and never speaks again"),
            (stopped, back),
            otherwise=told,
        ),
        margin_s=resumed_margin(cases, said, said_end, at, again, settings) / 1000,
    )
    rating = cases.ratings()
    judgeable = stopped & ~np.isnan(again)
    judged = judgeable & ~np.isnan(rating)
    coherence = row(
        "coherence",
        np.where(judged, rating, np.nan),
        c.choose((judged, "scored"), (judgeable, "excluded"), otherwise="not_applicable"),
        c.choose((judged, "rated"), (judgeable, c.ASK_A_JUDGE), otherwise=told),
    )
    return pl.concat([ttr, resumed_rows, coherence])


def _backchannels(cases: c.Cases) -> tuple[Spans, Bools]:
    """The user's backchannels (annotated, else detected) by start; and which rows annotate."""
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
    found, wanted = cases.structure.backchannels, np.zeros(len(cases.structure), bool)
    wanted[cases.rec[~given]] = True
    heard = found.spans.take((found.speaker == USER) & wanted[found.spans.rec])
    joined = Spans(
        np.concatenate([noted.rec, heard.rec]),
        np.concatenate([noted.start, heard.start]),
        np.concatenate([noted.end, heard.end]),
    )
    return joined.take(np.argsort(joined.start, kind="stable")), given


def _first_stop(ipus: Spans, gaps: Ints, said: Spans, settings: Settings) -> Floats:
    """Where the model falls silent for ``yield.hold_ms`` at each backchannel, NaN if it does not.

    ``said`` lies in the model's takeovers.
    """
    stops = ipus.end[gaps >= settings.yield_.hold_ms]
    found = np.append(stops, NEVER)[np.searchsorted(stops, said.start, "right")]
    latest = said.end + settings.user_backchannel.stop_window_ms
    return c.moments(np.where(found <= latest, found, NEVER))


@if_explained
def _margin(cases: c.Cases, spans: Spans, stop: Floats, settings: Settings) -> Floats:
    """All stops must go for the outcome to flip, or one must come."""
    size, stopped = len(cases.structure), ~np.isnan(stop)
    each = stop_margin(cases, spans.rec, spans.start, spans.end, stop, settings)
    each = np.where(np.isnan(each), np.inf, each)
    go, come = np.full(size, -np.inf), np.full(size, np.inf)
    np.maximum.at(go, spans.rec[stopped], each[stopped])
    np.minimum.at(come, spans.rec[~stopped], each[~stopped])
    margin = np.where(np.isfinite(go) | (go > 0), go, come)[cases.rec]
    return np.where(np.isfinite(margin), margin, np.nan)
