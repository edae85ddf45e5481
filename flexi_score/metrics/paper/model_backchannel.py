"""Scenario model_backchannel: does the model listen actively without taking the floor?"""

from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.paper import cases as c
from flexi_score.metrics.reasons import Rule
from flexi_score.metrics.registry import Latencies, metric_table
from flexi_score.segment.tracks import Floats, Ints
from flexi_score.segment.types import MODEL, Structure

UNKNOWN_USER = "nothing is known of the user's side: give audio, user_words or user_speech"


METRICS: Final = metric_table(
    "paper",
    "model_backchannel",
    """
    tor | TOR | rate | down
      1 if a takeover starts before the user's turn ends, else 0
      source: FLEXI paper, section 2.2 (6)
      null: the end of the user's turn is not known

    bcr | BCR | mean | up | 1/s
      model backchannels / recording duration
      source: FLEXI paper, section 2.2 (6)
      null: never null for a usable recording

    backchannels | Backchannels | sum | none
      number of model backchannels
      source: FLEXI paper, section 2.1
      null: never null for a usable recording

    jsd | JSD | mean | down | 0-1
      Jensen-Shannon divergence, base 2, between the starts of the model's backchannels and the
      reference positions, on windows of model_backchannel.window_ms of absolute time; 1 where the
      model has no backchannel
      source: FLEXI paper, eq. 8
      null: the reference has no position
    """,
)


def score(
    structure: Structure, rec: Ints, settings: Settings, latency_s: Latencies, explain: bool = True
) -> pl.DataFrame:
    """Scores of the model_backchannel recordings ``rec`` (:data:`flexi_score.schema.SCORES`)."""
    cases = c.make_cases(structure, rec, explain)
    silent = cases.silent
    end, source = c.user_turn_end(cases)
    start, _ = c.first_takeover(cases)
    took, known = start < end, ~np.isnan(end)
    detected = structure.backchannels
    own = detected.spans.take(detected.speaker == MODEL)
    count = np.bincount(own.rec, minlength=len(structure))[rec]
    seconds = structure.duration_ms[rec] / 1000
    # Whether a short utterance is a backchannel hangs on what the user does meanwhile.
    user_known = structure.tracks.user_known
    counted = silent | (True if user_known is None else user_known[rec])
    facts = {
        "start": cases.seconds(start),
        "lead": (end - start) / 1000,
        "count": count,
        "seconds": seconds,
    }
    said_nothing = c.silent_rule(silent)
    before = "takes over at {start} s, {lead} s before the user's turn ends"
    tor = cases.row(
        "tor",
        np.where(known, took.astype(float), np.nan),
        c.statuses(known, silent & known),
        cases.decide(
            facts,
            c.no_turn_end(known),
            said_nothing,
            Rule(took, "before_turn_end", before),
            Rule(None, "waits", "no takeover before the user's turn ends"),
        ),
        reference_ms=cases.own_ms(end),
        decided_ms=np.where(took, cases.own_ms(start), np.nan),
        margin_s=c.window_margin(cases, np.full(len(rec), -np.inf), end - c.AT_MOST, settings)
        / 1000,
        source=source,
    )
    counts = (
        Rule(~counted, "unknown_user", UNKNOWN_USER),
        Rule(None, "counted", "backchannels: {count} in {seconds} s"),
    )
    numbered = cases.decide(facts, said_nothing, *counts)
    status = c.choose((silent, "silent"), (counted, "scored"), otherwise="excluded")
    rate = np.divide(count, seconds, out=np.full(len(rec), np.nan), where=counted & (seconds > 0))
    number = np.where(counted, count, np.nan)
    value, referenced, annotated = _divergence(cases, own.rec, own.start, settings)
    nothing = "no reference positions: annotations.reference_backchannels, or a judge"
    jsd = cases.row(
        "jsd",
        np.where(referenced & counted, value, np.nan),
        c.choose((~referenced, "excluded"), otherwise=status),
        cases.decide(
            facts,
            Rule(~referenced, "no_reference", nothing),
            said_nothing,
            Rule(counted & (count == 0), "no_backchannel", "the model has no backchannel"),
            *counts,
        ),
        source=c.choose((annotated, "annotation"), otherwise="detected"),
    )
    bcr = cases.row("bcr", rate, status, numbered, source="detected")
    backchannels = cases.row("backchannels", number, status, numbered, source="detected")
    return pl.concat([tor, bcr, backchannels, jsd])


def _divergence(
    cases: c.Cases, rec: Ints, start: Ints, settings: Settings
) -> tuple[Floats, np.ndarray, np.ndarray]:
    """JSD of each recording; whether it has a reference; whether that is annotated positions.

    Windows are counted from the start of the recording, so nothing is stretched. A distribution
    that came with the recording stands in where there are no positions.
    """
    structure, size = cases.structure, len(cases.structure)
    window = settings.model_backchannel.window_ms
    table = pl.DataFrame({"rec": cases.rec}).with_columns(
        cases.column("reference_backchannels_ms").alias("at"),
        cases.column("reference_distribution").alias("share"),
    )
    annotated = (table["at"].list.len().fill_null(0) > 0).to_numpy()
    points = table.select("rec", "at").explode("at").drop_nulls()
    spread = (
        table.filter(~pl.Series(annotated))
        .select("rec", "share", pl.int_ranges(pl.col("share").list.len()).alias("bin"))
        .drop_nulls()
        # The published distributions are smoothed; a flat one marks no position at all.
        .filter(pl.col("share").list.max() > pl.col("share").list.min() * 2)
        .explode("share", "bin")
    )
    q_rec = np.concatenate([points["rec"].to_numpy(), spread["rec"].to_numpy()]).astype(np.int64)
    q_bin = np.concatenate(
        [points["at"].to_numpy() // window, spread["bin"].to_numpy() * 200 // window]
    ).astype(np.int64)
    q_mass = np.concatenate([np.ones(len(points)), spread["share"].to_numpy()])
    p_bin = (start - structure.origin[rec]) // window
    value = jensen_shannon(rec, p_bin, np.ones(len(rec)), q_rec, q_bin, q_mass, size)
    referenced = np.bincount(q_rec, minlength=size)[cases.rec] > 0
    return value[cases.rec], referenced, annotated


def jensen_shannon(
    p_rec: Ints, p_bin: Ints, p_mass: Floats, q_rec: Ints, q_bin: Ints, q_mass: Floats, size: int
) -> Floats:
    """Jensen-Shannon divergence, base 2, of two sparse distributions per recording.

    ``p_rec``, ``p_bin``, ``q_rec`` and ``q_bin``: recording and window of each unit of mass.
    ``size``: number of recordings. Returns shape (size,): in [0, 1]; 1 where one side has no mass.
    """
    stride = np.int64(max(p_bin.max(initial=0), q_bin.max(initial=0)) + 1)
    key = np.concatenate([p_rec * stride + p_bin, q_rec * stride + q_bin])
    cells, cell = np.unique(key, return_inverse=True)
    rec = cells // stride
    n_p = len(p_rec)

    def share(index: Ints, mass: Floats) -> Floats:
        total = np.bincount(index, mass, minlength=len(cells))
        whole = np.bincount(rec, total, minlength=size)[rec]
        # bincount of nothing is an array of integers
        return np.divide(total, whole, out=np.zeros(len(total)), where=whole > 0)

    p, q = share(cell[:n_p], p_mass), share(cell[n_p:], q_mass)
    middle = (p + q) / 2

    def part(x: Floats) -> Floats:
        ratio = np.divide(x, middle, out=np.ones_like(x), where=x > 0)
        return x * np.log2(ratio)

    divergence = np.bincount(rec, (part(p) + part(q)) / 2, minlength=size)
    both = (np.bincount(rec, p, minlength=size) > 0) & (np.bincount(rec, q, minlength=size) > 0)
    return np.where(both, np.clip(divergence, 0.0, 1.0), 1.0)
