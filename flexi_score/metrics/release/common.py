"""What the six ``release`` scorers share: words as float seconds, and rules as tables of cases.

The published scripts read decimal seconds and compare them as floats, so ``4.3 - 1.3 > 3`` is
false there and true in thousandths. To reproduce them, every time is ``ms / 1000`` (the nearest
float, hence the very number the scripts parse) and the arithmetic follows theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from flexi_score.metrics import reasons
from flexi_score.metrics.reasons import Facts, Rule
from flexi_score.metrics.registry import PENDING, score_rows
from flexi_score.segment.tracks import Bools, Floats, Intervals, Ints, Tracks, Words, spread

SILENT_MODEL: Final = "the model says no word"


@dataclass(frozen=True)
class Runs:
    """Words or segments of the recordings scored, laid end to end, in float seconds."""

    #: shape (m,): which of the recordings scored each entry belongs to, 0..k-1, ascending
    owner: Ints
    #: start, end: shape (m,)
    start: Floats
    end: Floats
    #: first, last: shape (k,): position of each recording's first and last entry, -1 where it has
    #: none
    first: Ints
    last: Ints
    count: Ints  # shape (k,)


@dataclass(frozen=True)
class Case:
    """One line of a rule: what a recording scores where it holds, the rule's code, and why.

    ``reason`` may name facts (:data:`flexi_score.metrics.reasons.Facts`) in braces.
    """

    status: str
    where: ArrayLike
    code: str
    reason: str
    value: ArrayLike = np.nan


failed = partial(Case, "failed")
excluded = partial(Case, "excluded")
not_applicable = partial(Case, "not_applicable")
silent = partial(Case, "silent")
scored = partial(Case, "scored")

NOT_JUDGED: Final = Case(PENDING, True, "not_judged", "no judge's rating came with this recording")


def no_transcript(tracks: Tracks, rec: Ints, *sides: Literal["model", "user"]) -> list[Case]:
    """The cases of a missing transcript."""
    words = {"model": tracks.model_words, "user": tracks.user_words}
    return [
        failed(
            ~words[side].known[rec],
            f"no_{side}_transcript",
            f"the {side} channel has no transcript, and the release scores word times only",
        )
        for side in sides
    ]


def no_annotation(unknown: Bools, event: str) -> Case:
    """The case of Full-Duplex-Bench without the annotation that a metric looks at."""
    missing = f"Full-Duplex-Bench needs an annotated {event}, and there is none"
    return excluded(unknown, "no_annotation", missing)


def runs_of(entries: Words | Intervals, rec: Ints) -> Runs:
    """The entries of the recordings ``rec`` (shape (k,), any order, each at most once)."""
    left = np.searchsorted(entries.rec, rec, "left")
    right = np.searchsorted(entries.rec, rec, "right")
    at, owner = spread(left, right)
    count = right - left
    first = np.cumsum(count) - count
    return Runs(
        owner,
        entries.start_ms[at] / 1000,
        entries.end_ms[at] / 1000,
        np.where(count > 0, first, -1),
        np.where(count > 0, first + count - 1, -1),
        count,
    )


def first_where(runs: Runs, flag: Bools) -> Ints:
    """Position of each recording's first flagged entry, -1 where none is; shape (k,)."""
    return _pick(runs, np.flatnonzero(flag))


def last_where(runs: Runs, flag: Bools) -> Ints:
    """Position of each recording's last flagged entry, -1 where none is; shape (k,)."""
    return _pick(runs, np.flatnonzero(flag)[::-1])


def _pick(runs: Runs, hits: Ints) -> Ints:
    """The first of the positions ``hits`` in each recording."""
    owners, at = np.unique(runs.owner[hits], return_index=True)
    picked = np.full(len(runs.count), -1)
    picked[owners] = hits[at]
    return picked


def count_where(runs: Runs, flag: Bools) -> Ints:
    """How many of each recording's entries are flagged; shape (k,)."""
    return np.bincount(runs.owner[flag], minlength=len(runs.count))


def take(values: Floats, at: Ints, default: float = np.nan) -> Floats:
    """``values[at]``, ``default`` where ``at`` is -1."""
    return np.append(values, default)[at]


def annotation_s(tracks: Tracks, rec: Ints, name: str) -> Floats:
    """A millisecond column of the recordings as seconds, NaN where null; shape (k,)."""
    column = tracks.recordings[name].gather(rec).cast(pl.Float64)
    return np.asarray(column.to_numpy(), np.float64) / 1000


def first_backchannel(tracks: Tracks, rec: Ints, field: str) -> Floats:
    """``start_ms`` or ``end_ms`` of the first annotated backchannel in s, NaN without one."""
    first = tracks.recordings["backchannels"][rec].list.first().struct.field(field)
    return np.asarray(first.cast(pl.Float64).to_numpy(), np.float64) / 1000


def decide(
    tracks: Tracks,
    rec: Ints,
    facts: Facts,
    metric: str,
    cases: Sequence[Case],
    *,
    reference_s: Floats | None = None,
    decided_s: Floats | None = None,
    margin_s: Floats | None = None,
    source: pl.Series | str | None = None,
) -> pl.DataFrame:
    """Score rows of one metric: the first case that holds decides, the last must hold everywhere.

    ``facts``: what the reasons may quote. Moments and margin are stored only in rows that are
    scored or silent, or wait for a rating.
    """
    where = [np.broadcast_to(np.asarray(case.where, bool), rec.shape) for case in cases]
    values = [np.broadcast_to(np.asarray(case.value, np.float64), rec.shape) for case in cases]
    rules = [Rule(at, case.code, case.reason) for at, case in zip(where, cases, strict=True)]
    status = np.select(where, [case.status for case in cases], "")
    decided = np.isin(status, ("scored", "silent", PENDING))

    return score_rows(
        tracks.recordings,
        rec,
        metric,
        np.select(where, values, np.nan),
        status,
        reasons.decide(len(rec), facts, *rules),
        reference_ms=_ms(reference_s, decided),
        decided_ms=_ms(decided_s, decided),
        margin_s=None if margin_s is None else np.where(decided, margin_s, np.nan),
        source=source,
    )


def _ms(time_s: Floats | None, where: Bools) -> Floats | None:
    return None if time_s is None else np.where(where, np.rint(time_s * 1000), np.nan)
