"""Every metric, described once: what ``flexi-score metrics`` prints and what the scorers return."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from flexi_score.config import Settings
from flexi_score.metrics.reasons import Decision
from flexi_score.schema import SCORES
from flexi_score.segment.tracks import Floats

#: Status of a score that a judge's rating will decide, until ratings are filled in; no run has it.
PENDING: Final = "pending"
#: The metric that follows from the rating of another (coherence): nobody is asked for it.
FOLLOWER: Final = "acceptable"
#: What a judge sorts behaviour after an overlap into, and the metrics that share its one answer.
BEHAVIOURS: Final = ("respond", "resume", "uncertain", "unknown")
JUDGED_BEHAVIOURS: Final = tuple(f"judged_{name}" for name in BEHAVIOURS)
#: Judged metrics that nobody is asked for by themselves.
FOLLOWERS: Final = (FOLLOWER, *JUDGED_BEHAVIOURS[1:])

#: Values of an optional column of scores: one each, or one for all.
Column: TypeAlias = ArrayLike | pl.Series | str | None
#: Mean turn_taking latency of each system (s).
Latencies: TypeAlias = Mapping[str, float]
Direction = Literal["up", "down", "none"]
#: rate: mean of 0/1 with a Wilson interval; mean: of values, bootstrap; sum: a count; ratio: sum of
#: value times weight over sum of weight, bootstrap.
Aggregate = Literal["rate", "mean", "sum", "ratio"]


@dataclass(frozen=True)
class Metric:
    """One metric of one scenario under one profile."""

    #: profile, scenario, name: together they are the key
    profile: str
    scenario: str
    name: str
    label: str  # column heading, as in the paper's tables
    unit: str  # empty for rates and scores without a unit
    direction: Direction  # {"up", "down", "none"}: which way is better
    aggregate: Aggregate  # {"rate", "mean", "sum", "ratio"}: how recordings are added up
    #: definition, source, null_means: in words; ``source`` names paper section, equation or script
    definition: str
    source: str
    null_means: str
    judged: bool = False  # whether it needs a judge's rating
    #: summary value over no recordings: None but for scripts that print one all the same
    empty: float | None = None


_AGGREGATES: Final[dict[str, Aggregate]] = {name: name for name in get_args(Aggregate)}
_DIRECTIONS: Final[dict[str, Direction]] = {name: name for name in get_args(Direction)}


def metric_table(profile: str, scenario: str, text: str, source: str = "") -> tuple[Metric, ...]:
    """Metrics of one scenario, written as a table; a blank line parts them.

    The first line of each is ``name | label | aggregate | direction | unit | flags``; the last two
    may be left out, and flags are ``judged`` and ``empty: 0``. Then follow its definition, a line
    ``source:`` where it is not ``source``, and a line ``null:`` with what null means.
    """
    metrics = []
    for block in re.split(r"\n\s*\n", text.strip()):
        head, *lines = (line.strip() for line in block.splitlines())
        name, label, aggregate, direction, unit, flags, *_ = (
            cell.strip() for cell in (*head.split("|"), "", "")
        )
        definition, *notes = re.split(r"\n(source|null): ", "\n".join(lines))
        note = dict(zip(notes[::2], notes[1::2], strict=True))
        metrics.append(
            Metric(
                profile,
                scenario,
                name,
                label,
                unit,
                _DIRECTIONS[direction],
                _AGGREGATES[aggregate],
                definition.replace("\n", " "),
                note.get("source", source).replace("\n", " "),
                note["null"].replace("\n", " "),
                "judged" in flags,
                0.0 if "empty: 0" in flags else None,
            )
        )
    return tuple(metrics)


def mean_latency_of(systems: pl.Series, settings: Settings, latency_s: Latencies) -> Floats:
    """L of pause_handling (s) by recording: the setting, else its system's; NaN without either."""
    given = settings.pause_handling.mean_latency_s
    if given is not None:
        return np.full(len(systems), given)
    known: dict[str, float | None] = {"": None, **latency_s}
    mean = systems.replace_strict(known, default=None, return_dtype=pl.Float64)
    return np.asarray(mean.fill_null(np.nan).to_numpy(), np.float64)


def score_rows(
    recordings: pl.DataFrame,
    rec: ArrayLike,
    metric: str,
    value: ArrayLike,
    status: ArrayLike | str,
    decision: Decision,
    **columns: Column,
) -> pl.DataFrame:
    """Rows of :data:`flexi_score.schema.SCORES` for one metric; NaN becomes null.

    ``rec``: numbers of the recordings scored. ``weight`` is the denominator of a ratio.
    """
    rows = np.asarray(rec, np.int64)
    given: dict[str, object] = {
        "metric": metric,
        "value": np.asarray(value, np.float64),
        "status": status,
        "rule": decision.rule,
        "reason": decision.reason,
        **columns,
    }
    names = SCORES.names()
    if unknown := given.keys() - set(names):
        raise TypeError(f"scores have no column {min(unknown)!r}")

    def column(name: str, data: object) -> pl.Series:
        kind = SCORES[name]
        if data is None or isinstance(data, str):
            return pl.Series(name, [data], dtype=kind).new_from_index(0, len(rows))
        if isinstance(data, pl.Series):
            return data.cast(kind).alias(name)
        array = np.asarray(data)
        if array.dtype.kind in "OU":
            return pl.Series(name, array.tolist(), dtype=kind)
        return pl.Series(name, array, nan_to_null=True).cast(kind)

    # Made of series, not of expressions: a query has a price, and there are many metrics. (That is
    # also why rows are taken by subscript: `gather` is a query.)
    return pl.DataFrame(
        [
            *(recordings[name][rows] for name in names[:3]),
            *(column(name, given.get(name)) for name in names[3:]),
        ]
    )
