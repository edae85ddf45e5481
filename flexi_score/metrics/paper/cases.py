"""What the scenario modules of profile ``paper`` share: the moments that the rules look from.

Moments are float64 milliseconds on the common axis (see :mod:`flexi_score.segment.axis`), NaN where
there is none. An annotation of the manifest wins over detection.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from flexi_score.metrics.registry import explained
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints
from flexi_score.segment.types import USER, Structure

#: Added to the last moment that counts, makes it the end of a half-open interval.
AT_MOST = 1e-6


@dataclass(frozen=True)
class Cases:
    """The recordings of one scenario.

    Attributes
    ----------
    structure : Structure
    rec : ndarray of int64, shape (k,)
        Their numbers.
    origin, end : ndarray of int64, shape (k,)
        Where they start and end on the common axis.
    silent : ndarray of bool, shape (k,)
        The model never speaks.
    """

    structure: Structure
    rec: Ints
    origin: Ints
    end: Ints
    silent: Bools

    def column(self, name: str) -> pl.Series:
        """A column of these recordings' manifest rows."""
        return self.structure.tracks.recordings[name][self.rec]

    def ratings(self) -> Floats:
        """Ratings of these recordings, NaN without one."""
        return np.asarray(self.column("rating").cast(pl.Float64).to_numpy(), np.float64)

    def annotated(self, column: str) -> Floats:
        """An annotation in ms as moments on the axis, NaN where the manifest has none."""
        values = self.column(column).cast(pl.Float64).to_numpy()  # null becomes NaN
        return np.asarray(values + self.origin, np.float64)

    def own_ms(self, at: Floats) -> Floats:
        """Moments on the axis as milliseconds of their own recording."""
        return at - self.origin


def make_cases(structure: Structure, rec: Ints) -> Cases:
    """Cases of the recordings with these numbers."""
    spoke = np.bincount(structure.model.ipus.rec, minlength=len(structure)) > 0
    origin = structure.origin[rec]
    return Cases(structure, rec, origin, origin + structure.duration_ms[rec], ~spoke[rec])


def moments(found: Ints) -> Floats:
    """Integer moments as floats; ``NEVER`` and ``-NEVER`` become NaN."""
    return np.where(np.abs(found) == NEVER, np.nan, found.astype(np.float64))


def first_takeover(cases: Cases) -> tuple[Floats, Floats]:
    """Start of the first takeover of each recording, and its length (ms)."""
    takeovers = cases.structure.model.takeovers
    start = axis.next_start(takeovers, cases.origin, cases.end)
    at = np.searchsorted(takeovers.start, cases.origin, "left")
    length = np.append(takeovers.end - takeovers.start, 0)[at]
    found = moments(start)
    return found, np.where(np.isnan(found), np.nan, length)


def longest_group_ms(cases: Cases) -> Floats:
    """Length of each recording's longest group of model IPUs, NaN for a silent model."""
    groups = cases.structure.model.groups
    longest = np.full(len(cases.structure), np.nan)
    np.fmax.at(longest, groups.rec, (groups.end - groups.start).astype(np.float64))
    return longest[cases.rec]


def user_turn_end(cases: Cases) -> tuple[Floats, pl.Series]:
    """End of the user's turn: annotated, else the end of the user's last turn; and which."""
    turns = cases.structure.turns
    mine = turns.speaker == USER
    last = np.full(len(cases.structure), -NEVER)
    np.maximum.at(last, turns.spans.rec[mine], turns.spans.end[mine])
    return prefer(cases.annotated("user_turn_end_ms"), moments(last[cases.rec]))


def prefer(annotated: Floats, detected: Floats) -> tuple[Floats, pl.Series]:
    """The annotated moment where there is one, else the detected; and which of them it is."""
    given = ~np.isnan(annotated)
    value = np.where(given, annotated, detected)
    which = np.where(np.isnan(value), 2, given.astype(np.uint32)).astype(np.uint32)
    return value, pl.Series(["detected", "annotation", None], dtype=pl.String)[which]


def say(template: str, *values: Floats | Ints) -> pl.Series:
    """A sentence a row: ``{}`` in the template stands for milliseconds, written in seconds.

    Null where nobody asks for reasons (:func:`flexi_score.metrics.registry.without_reasons`).
    """
    if not explained():
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(values[0]))
    frame = pl.DataFrame({str(i): np.asarray(v, np.float64) for i, v in enumerate(values)})
    shown = [
        (pl.col(name) / 1000).round(3).fill_nan(None).cast(pl.String).fill_null("-")
        for name in frame.columns
    ]
    return frame.select(pl.format(template, *shown)).to_series()


def choose(*choices: tuple[Bools, pl.Series | str], otherwise: pl.Series | str) -> pl.Series:
    """The text of the first condition that holds, row by row."""
    size = len(choices[0][0])
    if isinstance(otherwise, str) and all(isinstance(text, str) for _, text in choices):
        texts = pl.Series([otherwise, *(text for _, text in choices)], dtype=pl.String)
        which = np.zeros(size, np.uint32)
        for number, (condition, _) in reversed(list(enumerate(choices, 1))):
            which[condition] = number
        return texts[which]

    def column(text: pl.Series | str) -> pl.Series:
        return pl.Series([text]).new_from_index(0, size) if isinstance(text, str) else text

    result = column(otherwise)
    for condition, text in reversed(choices):
        result = column(text).zip_with(pl.Series(condition), result)
    return result


def statuses(scored: Bools, silent: Bools) -> pl.Series:
    """``silent`` where the model never spoke, else ``scored`` or ``not_applicable``."""
    return choose((silent, "silent"), (scored, "scored"), otherwise="not_applicable")


def gaps_after(track: Spans, end_of: Ints) -> Ints:
    """Silence after each interval of one speaker, up to their next or the recording's end."""
    following = np.append(track.start, NEVER)[1:]
    return np.minimum(following, end_of[track.rec]) - track.end


SILENT = "the model never speaks"
ASK_A_JUDGE = "needs a judge, and --judge is none"
