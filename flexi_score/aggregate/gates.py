"""Gates for continuous integration: ``latency.p90 > +0.1`` trips when p90 rose by more than 0.1.

Grammar: ``[scenario.]metric[.statistic] comparator [+|-]number``. The condition is what must not
be. A signed number is compared with the change since a baseline run, an unsigned one with the
value itself. The statistic is ``value`` (the default: as a summary adds the metric up),
``mean``, ``rate``, ``sum``, ``median``, ``min``, ``max``, ``n``, or ``p1`` to ``p99``. Without a
scenario the gate holds for every scenario that has the metric.
"""

import difflib
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from flexi_score.aggregate.compare import match_systems
from flexi_score.errors import SettingsError
from flexi_score.metrics.registry import Metric

STATISTICS: Final = ("value", "mean", "rate", "sum", "median", "min", "max", "n")
_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_FORM: Final = re.compile(
    r"\s*(?P<name>[A-Za-z_][\w.]*)\s*(?P<op>>=|<=|>|<)\s*"
    r"(?P<sign>[+-]?)\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*",
    re.ASCII,
)


@dataclass(frozen=True)
class Gate:
    """A condition that a run must not meet."""

    scenario: str | None  # None: every scenario that has the metric
    metric: str
    statistic: str
    comparator: str
    threshold: float  # in the metric's unit
    relative: bool  # whether the change since the baseline run is compared
    text: str  # as it was written


@dataclass(frozen=True)
class Tripped:
    """A gate that a system tripped; ``found`` and ``baseline`` are None where unscored."""

    gate: Gate
    system: str
    scenario: str
    found: float | None
    baseline: float | None
    message: str


def parse_gate(text: str, metrics: Sequence[Metric]) -> Gate:
    """A gate from its text.

    ``text``: such as ``latency.p90 > +0.1`` or ``turn_taking.tor < 0.9``. ``metrics``: the
    registry's metrics of one profile. Raises SettingsError: for text that is no gate, or an unknown
    metric or statistic, naming the nearest.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise SettingsError(
            f"gate {text!r}: expected [scenario.]metric[.statistic] > number, "
            "as 'latency.p90 > +0.1' (signed: the change since the baseline run)"
        )
    parts = form["name"].split(".")
    scenarios = {m.scenario for m in metrics}
    scenario = parts.pop(0) if len(parts) > 1 and parts[0] in scenarios else None
    known = {m.name for m in metrics if scenario in (None, m.scenario)}
    metric, statistic = parts[0], ".".join(parts[1:]) or "value"
    if metric not in known:
        raise SettingsError(_nearest(text, "metric", form["name"], metric, metrics))
    if statistic not in STATISTICS and not re.fullmatch(r"p[1-9][0-9]?", statistic):
        near = difflib.get_close_matches(statistic, STATISTICS, n=1, cutoff=0.4)
        raise SettingsError(
            f"gate {text!r}: unknown statistic {statistic!r}; "
            + (f"did you mean {near[0]!r}? " if near else "")
            + f"known: {', '.join(STATISTICS)}, p1 to p99"
        )
    number = float(form["number"])
    return Gate(
        scenario,
        metric,
        statistic,
        form["op"],
        -number if form["sign"] == "-" else number,
        bool(form["sign"]),
        text.strip(),
    )


def check_gates(
    gates: Sequence[Gate],
    scores: pl.DataFrame,
    metrics: Sequence[Metric],
    baseline: pl.DataFrame | None = None,
) -> list[Tripped]:
    """Gates that a run trips, for each of its systems and scenarios.

    A gate that cannot be evaluated trips, saying so: no value where one is needed, or no
    recording with the metric at all. A relative gate without a value in either run does not.

    ``scores``: :data:`flexi_score.schema.SCORES` of the run. ``baseline``: scores of the run that
    relative gates compare with. Raises SettingsError: for a relative gate without a baseline, or
    one whose baseline shares no system.
    """
    tripped: list[Tripped] = []
    kinds = {(m.scenario, m.name): m.aggregate for m in metrics}
    partner: dict[str, str] = {}
    if baseline is not None and any(gate.relative for gate in gates):
        partner = {b: a for a, b in match_systems(baseline, scores)}
    for gate in gates:
        if gate.relative and baseline is None:
            raise SettingsError(
                f"gate {gate.text!r} compares with a baseline run: give one, "
                f"or write the threshold without a sign for an absolute one"
            )
        rows = _of(scores, gate)
        if rows.is_empty():
            tripped.append(
                Tripped(
                    gate,
                    "",
                    gate.scenario or "",
                    None,
                    None,
                    f"{gate.text}: no recording has {gate.metric}",
                )
            )
        for (system, scenario), part in rows.group_by("system", "scenario", maintain_order=True):
            if gate.relative and system not in partner:
                continue  # a system that the baseline does not know has not changed
            kind = kinds.get((str(scenario), gate.metric)) or kinds.get(
                ("conversation", gate.metric), "mean"
            )
            found = _statistic(part, gate.statistic, kind)
            before = None
            if gate.relative and baseline is not None:
                before = _statistic(
                    _of(baseline, gate).filter(
                        pl.col("system") == partner[str(system)], pl.col("scenario") == scenario
                    ),
                    gate.statistic,
                    kind,
                )
                if found is None and before is None:
                    continue
            message = _judge(gate, found, before)
            if message is not None:
                tripped.append(
                    Tripped(
                        gate,
                        str(system),
                        str(scenario),
                        found,
                        before,
                        f"{gate.text}: {system}, {scenario}: {message}",
                    )
                )
    return tripped


def _judge(gate: Gate, found: float | None, before: float | None) -> str | None:
    """What tripped, or None."""
    name = f"{gate.metric}.{gate.statistic}"
    if found is None:
        return f"{name} has no value"
    if not gate.relative:
        return f"{name} is {found:.4g}" if _met(gate, found) else None
    if before is None:
        return f"{name} is {found:.4g} and has no value in the baseline run"
    if _met(gate, found - before):
        return f"{name} went from {before:.4g} to {found:.4g} ({found - before:+.4g})"
    return None


def _met(gate: Gate, found: float) -> bool:
    # 1.1 - 1.0 is 0.10000000000000009: equal to the threshold for any reader.
    if abs(found - gate.threshold) <= 1e-9 * max(1.0, abs(found)):
        return "=" in gate.comparator
    return _COMPARE[gate.comparator](found, gate.threshold)


def _of(scores: pl.DataFrame, gate: Gate) -> pl.DataFrame:
    rows = scores.filter(pl.col("metric") == gate.metric)
    return rows if gate.scenario is None else rows.filter(pl.col("scenario") == gate.scenario)


def _statistic(rows: pl.DataFrame, statistic: str, kind: str) -> float | None:
    values = rows["value"].cast(pl.Float64).fill_nan(None).drop_nulls()
    if statistic == "n":
        return float(len(values))
    if values.is_empty():
        return None
    if statistic == "sum" or (statistic == "value" and kind == "sum"):
        return float(values.sum())
    if statistic == "value" and kind == "ratio" and "weight" in rows.columns:
        kept = rows.select("value", pl.col("weight").fill_null(1.0)).drop_nulls()
        weight = float(kept["weight"].sum())
        return float((kept["value"] * kept["weight"]).sum()) / weight if weight else None
    if statistic in ("value", "mean", "rate"):
        found = values.mean()
    elif statistic in ("min", "max"):
        found = values.min() if statistic == "min" else values.max()
    else:
        q = 0.5 if statistic == "median" else int(statistic[1:]) / 100
        found = values.quantile(q, "linear")
    return float(found) if isinstance(found, (int, float)) else None


def _nearest(text: str, what: str, name: str, metric: str, metrics: Sequence[Metric]) -> str:
    full = [f"{m.scenario}.{m.name}" for m in metrics]
    known = sorted({m.name for m in metrics})
    near = difflib.get_close_matches(name, full, n=1, cutoff=0.75) or difflib.get_close_matches(
        metric, known, n=1, cutoff=0.4
    )
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"gate {text!r}: unknown {what} {name!r}; {hint}"
