"""What the scenario modules of profile ``paper`` share: the moments that the rules look from.

Moments are float64 milliseconds on the common axis (see :mod:`flexi_score.segment.axis`), NaN where
there is none. An annotation of the manifest wins over detection.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from flexi_score.config import Settings
from flexi_score.metrics.panel import speaks
from flexi_score.metrics.reasons import Decision, Facts, Rule, decide
from flexi_score.metrics.registry import Column, score_rows
from flexi_score.segment import axis
from flexi_score.segment.axis import NEVER, Spans
from flexi_score.segment.tracks import Bools, Floats, Ints, spread
from flexi_score.segment.types import USER, Structure

#: Added to the last moment that counts, makes it the end of a half-open interval.
AT_MOST = 1e-6


@dataclass(frozen=True)
class Cases:
    """The recordings of one scenario."""

    structure: Structure
    rec: Ints  # shape (k,): their numbers
    #: origin, end: shape (k,): where they start and end on the common axis
    origin: Ints
    end: Ints
    silent: Bools  # shape (k,): the model never speaks
    explain: bool  # whether scores have reasons

    def column(self, name: str) -> pl.Series:
        """A column of these recordings' manifest rows."""
        return self.structure.tracks.recordings[name][self.rec]

    def annotated(self, column: str) -> Floats:
        """An annotation in ms as moments on the axis, NaN where the manifest has none."""
        values = self.column(column).cast(pl.Float64).to_numpy()  # null becomes NaN
        return np.asarray(values + self.origin, np.float64)

    def own_ms(self, at: Floats) -> Floats:
        """Moments on the axis as milliseconds of their own recording."""
        return at - self.origin

    def seconds(self, at: Floats) -> Floats:
        """Moments on the axis as seconds of their own recording."""
        return (at - self.origin) / 1000

    def decide(self, facts: Facts, *rules: Rule) -> Decision:
        """As :func:`flexi_score.metrics.reasons.decide`."""
        return decide(len(self.rec), facts, *rules, explain=self.explain)

    def row(
        self, metric: str, value: Floats, status: pl.Series, decision: Decision, **columns: Column
    ) -> pl.DataFrame:
        """As :func:`flexi_score.metrics.registry.score_rows`."""
        recordings = self.structure.tracks.recordings
        return score_rows(recordings, self.rec, metric, value, status, decision, **columns)


def make_cases(structure: Structure, rec: Ints, explain: bool = True) -> Cases:
    """Cases of the recordings with these numbers."""
    origin = structure.origin[rec]
    silent = ~speaks(structure)[rec]
    return Cases(structure, rec, origin, origin + structure.duration_ms[rec], silent, explain)


def moments(moment: Ints) -> Floats:
    """Integer moments as floats; ``NEVER`` and ``-NEVER`` become NaN."""
    return np.where(np.abs(moment) == NEVER, np.nan, moment.astype(np.float64))


def first_takeover(cases: Cases) -> tuple[Floats, Floats]:
    """Start of the first takeover of each recording, and its length (ms)."""
    takeovers = cases.structure.model.takeovers
    start = axis.next_start(takeovers, cases.origin, cases.end)
    at = np.searchsorted(takeovers.start, cases.origin, "left")
    length = np.append(takeovers.end - takeovers.start, 0)[at]
    moment = moments(start)
    return moment, np.where(np.isnan(moment), np.nan, length)


def longest_group_ms(cases: Cases) -> Floats:
    """Length of each recording's longest group of model IPUs, NaN for a silent model."""
    groups = cases.structure.model.groups
    longest = np.full(len(cases.structure), np.nan)
    np.fmax.at(longest, groups.rec, (groups.end - groups.start).astype(np.float64))
    return longest[cases.rec]


def user_turn_end(cases: Cases) -> tuple[Floats, pl.Series]:
    """End of the user's turn: annotated, else the end of the user's last turn; and which."""
    turns = cases.structure.turns
    of_user = turns.speaker == USER
    last = np.full(len(cases.structure), -NEVER)
    np.maximum.at(last, turns.spans.rec[of_user], turns.spans.end[of_user])
    return prefer(cases.annotated("user_turn_end_ms"), moments(last[cases.rec]))


def prefer(annotated: Floats, detected: Floats) -> tuple[Floats, pl.Series]:
    """The annotated moment where there is one, else the detected; and which of them it is."""
    given = ~np.isnan(annotated)
    value = np.where(given, annotated, detected)
    which = np.where(np.isnan(value), 2, given.astype(np.uint32)).astype(np.uint32)
    return value, pl.Series(["detected", "annotation", None], dtype=pl.String)[which]


def choose(*choices: tuple[Bools, str], otherwise: str | pl.Series) -> pl.Series:
    """The text of the first condition that holds, row by row."""
    size = len(choices[0][0])
    which = np.zeros(size, np.uint32)
    for number, (condition, _) in reversed(list(enumerate(choices, 1))):
        which[condition] = number
    first = "" if isinstance(otherwise, pl.Series) else otherwise
    chosen = pl.Series([first, *(text for _, text in choices)], dtype=pl.String)[which]
    if isinstance(otherwise, str):
        return chosen
    return chosen.zip_with(pl.Series(which > 0), otherwise)


def statuses(scored: Bools, silent: Bools | None = None) -> pl.Series:
    """``silent`` where the model never spoke, else ``scored`` or ``not_applicable``."""
    never = np.zeros(len(scored), bool) if silent is None else silent
    return choose((never, "silent"), (scored, "scored"), otherwise="not_applicable")


def mid_turn(structure: Structure, at: Ints) -> Bools:
    """Whether the model is mid-turn at each moment.

    Inside one of its IPUs, or in the silence between two successive IPUs of one group: it was
    breathing, and goes on.
    """
    model = structure.model
    index = np.searchsorted(model.ipus.start, at, "right") - 1
    ends, group = np.append(model.ipus.end, -NEVER), np.append(model.group, -1)
    speaking = at < ends[index]
    following = np.append(group[1:], -1)[index]
    # A moment before the recording's first IPU lies behind the last one of another recording.
    breathing = (index >= 0) & (following == group[index]) & (group[index] >= 0)
    within: Bools = speaking | breathing
    return within


def stops_between(cases: Cases, after: Ints, latest: Ints) -> tuple[Ints, Ints, Ints]:
    """Where the model falls silent in ``(after, latest]``, its backchannels left out.

    ``after`` and ``latest`` (shape (k,)): moments of the recordings ``cases.rec``. Returns ``who``
    (shape (m,)): which of the k each stop belongs to; ``stop`` and ``again`` (shape (m,)): where
    the model falls silent, and where it speaks again or the recording ends.
    """
    structure, speech = cases.structure, cases.structure.model.speech
    ends_at = structure.origin + structure.duration_ms
    again = np.append(speech.start, NEVER)[1:]
    again = np.minimum(again, ends_at[speech.rec])
    at, who = spread(
        np.searchsorted(speech.end, after, "right"), np.searchsorted(speech.end, latest, "right")
    )
    inside = speech.rec[at] == cases.rec[who]
    at, who = at[inside], who[inside]
    return who, speech.end[at], again[at]


def gaps_after(track: Spans, end_of: Ints) -> Ints:
    """Silence after each interval of one speaker, up to their next or the recording's end."""
    following = np.append(track.start, NEVER)[1:]
    return np.minimum(following, end_of[track.rec]) - track.end


def window_margin(cases: Cases, low: Floats, high: Floats, settings: Settings) -> Floats:
    """Distance of "a takeover starts in [low, high]" to the nearest threshold (ms).

    Where one does: of its start to the ends of the window, and of its length to the longest
    backchannel, unless its words make it a takeover. Where none does: of the nearest takeover to
    the window, and of the longest short group in it to that length.

    ``low`` and ``high`` (shape (k,)): moments; infinite for no limit, NaN where the outcome is not
    known. ``settings``: uses ``backchannel``. Returns shape (k,): NaN where no threshold decides.
    """
    model, size = cases.structure.model, len(cases.structure)
    groups, rec = model.groups, model.groups.rec
    lo, hi = np.full(size, np.nan), np.full(size, np.nan)
    lo[cases.rec], hi[cases.rec] = low, high
    start, length = groups.start.astype(np.float64), groups.end - groups.start
    limits = settings.backchannel
    with np.errstate(invalid="ignore"):
        inside = (start >= lo[rec]) & (start <= hi[rec])
        away = np.fmin(start - lo[rec], hi[rec] - start)
        outside = np.where(start < lo[rec], lo[rec] - start, start - hi[rec])
    by_length = ~(model.group_words > limits.max_words)
    deciding = model.long & inside
    first = np.flatnonzero(deciding)
    first = first[axis.heads(rec[first])]
    on = np.full(size, np.nan)
    longer = np.where(by_length[first], length[first] - limits.max_ms, np.inf)
    on[rec[first]] = np.fmin(away[first], longer)
    off = np.full(size, np.inf)
    other = model.long & ~inside & ~np.isnan(outside)
    np.minimum.at(off, rec[other], outside[other])
    short = ~model.long & inside
    np.minimum.at(off, rec[short], (limits.max_ms - length[short]).astype(np.float64))
    margin = np.where(np.isnan(on), off, on)[cases.rec]
    # Rounded, so that it does not hang on where on the axis the recording lies.
    margin = np.round(np.where(np.isnan(low) | np.isnan(high), np.nan, margin), 3)
    return np.where(np.isfinite(margin), margin, np.nan)


ASK_A_JUDGE = "needs a judge, and --judge is none"


def silent_rule(silent: Bools) -> Rule:
    """The model never speaks."""
    return Rule(silent, "silent", "the model never speaks")


def no_turn_end(known: Bools) -> Rule:
    """Where the end of the user's turn is not known."""
    return Rule(
        ~known,
        "no_turn_end",
        "no turn of the user is known and the manifest has no annotations.user_turn_end",
    )
