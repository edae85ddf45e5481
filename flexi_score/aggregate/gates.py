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
from flexi_score.config import hint
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
    """A gate from its text, as ``latency.p90 > +0.1`` or ``turn_taking.tor < 0.9``."""
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
        raise SettingsError(f"gate {text!r}: {_unknown(form['name'], metric, metrics)}")
    if statistic not in STATISTICS and not re.fullmatch(r"p[1-9][0-9]?", statistic):
        raise SettingsError(
            f"gate {text!r}: unknown statistic {statistic!r}; "
            f"{hint(statistic, [*STATISTICS, 'p1 to p99'])}"
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

    A gate that cannot be evaluated trips, saying so: no value where one is needed, or no recording
    with the metric at all. A relative gate without a value in either run does not.
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
            message = f"{gate.text}: no recording has {gate.metric}"
            tripped.append(Tripped(gate, "", gate.scenario or "", None, None, message))
        for (system, scenario), part in rows.group_by("system", "scenario", maintain_order=True):
            if gate.relative and system not in partner:
                continue  # a system that the baseline does not know has not changed
            general = kinds.get(("conversation", gate.metric), "mean")
            kind = kinds.get((str(scenario), gate.metric), general)
            value = _statistic(part, gate.statistic, kind)
            before = None
            if gate.relative and baseline is not None:
                earlier = _of(baseline, gate).filter(system=partner[str(system)], scenario=scenario)
                before = _statistic(earlier, gate.statistic, kind)
                if value is None and before is None:
                    continue
            if reason := _message(gate, value, before):
                message = f"{gate.text}: {system}, {scenario}: {reason}"
                tripped.append(Tripped(gate, str(system), str(scenario), value, before, message))
    return tripped


def _message(gate: Gate, value: float | None, before: float | None) -> str | None:
    """What tripped, or None."""
    name = f"{gate.metric}.{gate.statistic}"
    if value is None:
        return f"{name} has no value"
    if not gate.relative:
        return f"{name} is {value:.4g}" if _met(gate, value) else None
    if before is None:
        return f"{name} is {value:.4g} and has no value in the baseline run"
    if _met(gate, value - before):
        return f"{name} went from {before:.4g} to {value:.4g} ({value - before:+.4g})"
    return None


def _met(gate: Gate, value: float) -> bool:
    # 1.1 - 1.0 is 0.10000000000000009: equal to the threshold for any reader.
    if abs(value - gate.threshold) <= 1e-9 * max(1.0, abs(value)):
        return "=" in gate.comparator
    return _COMPARE[gate.comparator](value, gate.threshold)


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
        weighted = rows.select("value", pl.col("weight").fill_null(1.0)).drop_nulls()
        weight = float(weighted["weight"].sum())
        return float((weighted["value"] * weighted["weight"]).sum()) / weight if weight else None
    if statistic in ("value", "mean", "rate"):
        value = values.mean()
    elif statistic in ("min", "max"):
        value = values.min() if statistic == "min" else values.max()
    else:
        q = 0.5 if statistic == "median" else int(statistic[1:]) / 100
        value = values.quantile(q, "linear")
    return float(value) if isinstance(value, (int, float)) else None


def _unknown(name: str, metric: str, metrics: Sequence[Metric]) -> str:
    full = [f"{m.scenario}.{m.name}" for m in metrics]
    for near in difflib.get_close_matches(name, full, n=1, cutoff=0.75):
        return f"unknown metric {name!r}; did you mean {near!r}?"
    return f"unknown metric {name!r}; {hint(metric, sorted({m.name for m in metrics}))}"
