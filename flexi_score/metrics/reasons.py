"""Which rule decided a score, as a code and as a sentence.

A scorer lists the rules of a metric in order of precedence. The first that applies to a recording
decides: its code goes into the column ``rule``, and its sentence, rendered last and only where
sentences are wanted, into ``reason``.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from flexi_score.segment.tracks import Bools


@dataclass(frozen=True)
class Rule:
    """One way in which a metric comes about."""

    applies: Bools | None  # shape (k,), or None: to which recordings; None: to all that are left
    code: str  # what ``rule`` says: stable, lower case, ``takes_over``
    sentence: str  # what ``reason`` says; each ``{}`` stands for a value
    #: milliseconds of shape (k,), written in seconds; or a polars Series, written as it is
    values: tuple[ArrayLike | pl.Series, ...] = ()


@dataclass(frozen=True)
class Decision:
    """Columns ``rule`` and ``reason`` of a metric; ``reason`` is null where not wanted."""

    rule: pl.Series
    reason: pl.Series


def rule(applies: Bools | None, code: str, sentence: str, *values: ArrayLike | pl.Series) -> Rule:
    """A :class:`Rule`, its values as further arguments."""
    return Rule(applies, code, sentence, values)


def decide(size: int, *rules: Rule, explain: bool = True) -> Decision:
    """The first rule that applies to each recording.

    ``size``: number of recordings, k. ``*rules``: in order of precedence; the last one applies to
    all that are left. ``explain``: whether to render sentences; else ``reason`` is null.

    Examples
    --------
    >>> import numpy as np
    >>> late = np.array([True, False])
    >>> decide(2, rule(late, "late", "answers {} s late", np.array([1500.0, 0.0])),
    ...        rule(None, "on_time", "answers on time")).reason.to_list()
    ['answers 1.5 s late', 'answers on time']
    """
    chosen = np.full(size, len(rules) - 1)
    left = np.ones(size, bool)
    for number, one in enumerate(rules):
        hit = left if one.applies is None else left & one.applies
        chosen[hit] = number
        left &= ~hit
    codes = pl.Series([one.code for one in rules], dtype=pl.String)[chosen.astype(np.uint32)]
    if not explain:
        return Decision(codes, pl.Series([None], dtype=pl.String).new_from_index(0, size))
    parts, rows = [], []
    for number, one in enumerate(rules):
        at = np.flatnonzero(chosen == number)
        if len(at):
            parts.append(_sentences(one, at))
            rows.append(at)
    if not parts:
        return Decision(codes, pl.Series([], dtype=pl.String))
    order = np.argsort(np.concatenate(rows), kind="stable")
    return Decision(codes, pl.concat(parts)[order.astype(np.uint32)])


def _sentences(one: Rule, at: np.ndarray) -> pl.Series:
    """The sentence of a rule for the recordings at these positions."""
    if not one.values:
        return pl.Series([one.sentence], dtype=pl.String).new_from_index(0, len(at))
    columns, shown = {}, []
    for i, value in enumerate(one.values):
        name = str(i)
        if isinstance(value, pl.Series):
            columns[name] = value[at.astype(np.uint32)].cast(pl.String)
            shown.append(pl.col(name).fill_null("-"))
        else:
            columns[name] = pl.Series(np.asarray(value, np.float64)[at])
            seconds = (pl.col(name) / 1000).round(3).fill_nan(None)
            shown.append(seconds.cast(pl.String).fill_null("-"))
    return pl.DataFrame(columns).select(pl.format(one.sentence, *shown)).to_series()
