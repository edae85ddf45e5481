"""Which rule decided a score, as a code and as a sentence.

A scorer lists the rules of a metric in order of precedence. The first that applies to a recording
decides: its code goes into the column ``rule``, and its sentence, rendered last and only where
sentences are wanted, into ``reason``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.segment.tracks import Bools, Ints

#: What sentences may quote, by recording, shape (k,): floats are seconds, written to the
#: millisecond, with ``-`` for NaN; integers and series are written as they are.
Facts: TypeAlias = Mapping[str, NDArray[np.number] | pl.Series]

_NAME: Final = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Rule:
    """One way in which a metric comes about."""

    applies: Bools | None  # shape (k,): to which recordings; None: to all that are left
    code: str  # what ``rule`` says: stable, lower case, ``takes_over``
    sentence: str  # what ``reason`` says; it may name facts in braces


@dataclass(frozen=True)
class Decision:
    """Columns ``rule`` and ``reason`` of a metric; ``reason`` is null where not wanted."""

    rule: pl.Series
    reason: pl.Series


def decide(size: int, facts: Facts, *rules: Rule, explain: bool = True) -> Decision:
    """The first rule that applies to each recording.

    ``size``: number of recordings, k. ``*rules``: in order of precedence; the last one applies to
    all that are left. ``explain``: whether to render sentences; else ``reason`` is null.

    Examples
    --------
    >>> import numpy as np
    >>> late = Rule(np.array([True, False]), "late", "answers {delay} s late")
    >>> on_time = Rule(None, "on_time", "answers on time")
    >>> decide(2, {"delay": np.array([1.5, 0.0])}, late, on_time).reason.to_list()
    ['answers 1.5 s late', 'answers on time']
    """
    chosen = np.full(size, len(rules) - 1)
    left = np.ones(size, bool)
    for number, rule in enumerate(rules):
        hit = left if rule.applies is None else left & rule.applies
        chosen[hit] = number
        left &= ~hit
    codes = pl.Series([rule.code for rule in rules], dtype=pl.String)[chosen.astype(np.uint32)]
    if not explain:
        return Decision(codes, pl.Series([None], dtype=pl.String).new_from_index(0, size))
    places = [np.flatnonzero(chosen == number) for number in range(len(rules))]
    order = np.argsort(np.concatenate(places), kind="stable").astype(np.uint32)
    parts = [_render(rule.sentence, facts, at) for rule, at in zip(rules, places, strict=True)]
    return Decision(codes, pl.concat(parts)[order])


def _render(sentence: str, facts: Facts, at: Ints) -> pl.Series:
    """The sentence for the recordings at these positions."""
    names = _NAME.findall(sentence)
    if not names or not len(at):
        return pl.Series([sentence], dtype=pl.String).new_from_index(0, len(at))
    columns = {}
    for name in names:
        fact = facts[name]
        values = pl.Series(fact[at.astype(np.uint32)])
        if values.dtype.is_float() and not isinstance(fact, pl.Series):
            values = values.round(3).fill_nan(None)
        columns[name] = values.cast(pl.String).fill_null("-")
    return pl.DataFrame(columns).select(pl.format(_NAME.sub("{}", sentence), *names)).to_series()
