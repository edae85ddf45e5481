"""Values for readers: no more digits than there is evidence for."""

from collections.abc import Mapping
from math import copysign
from typing import Any

from flexi_score.metrics.registry import Metric
from flexi_score.report.tables import DASH


def brief(value: float, metric: Metric) -> str:
    """A value in no more digits than a reader remembers; shares in per cent, without the sign.

    Examples
    --------
    >>> from flexi_score.metrics import profile_metrics
    >>> latency = profile_metrics("paper")[1]
    >>> brief(0.695, latency), brief_with_unit(0.695, latency)
    ('0.70', '0.70 s')
    """
    if metric.aggregate == "sum":
        return f"{value:.0f}"
    if not metric.unit and metric.aggregate in ("rate", "ratio"):
        return f"{value * 100:.0f}"
    digits = 1 if metric.unit in ("0-5", "1/min", "s/min") else 2
    # Halves go up, as on paper: 0.695, which is stored a little below, is 0.70.
    text = f"{value + copysign(1e-9, value):.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def brief_with_unit(value: float, metric: Metric) -> str:
    """As :func:`brief`, with its unit."""
    if not metric.unit and metric.aggregate in ("rate", "ratio"):
        return f"{brief(value, metric)} %"
    unit = {"0-5": "of 5", "0-1": ""}.get(metric.unit, metric.unit.replace("1/", "/"))
    return f"{brief(value, metric)} {unit}".strip()


def value_cells(row: Mapping[str, Any] | None, metric: Metric, few: int) -> tuple[str, str]:
    """A value without and with its interval, in no more digits than stand on evidence.

    Of fewer than ``few`` outcomes a count (``1 of 2``), not a rate.

    Examples
    --------
    >>> from flexi_score.metrics import profile_metrics
    >>> tor = profile_metrics("paper")[0]
    >>> row = {"value": 0.5, "n": 2, "numerator": 1.0, "denominator": 2.0}
    >>> value_cells(row | {"ci_low": 0.09, "ci_high": 0.91}, tor, 10)
    ('1 of 2', '1 of 2')
    >>> row = {"value": 0.5, "n": 20, "numerator": 10.0, "denominator": 20.0}
    >>> value_cells(row | {"ci_low": 0.3, "ci_high": 0.7}, tor, 10)
    ('50 %', '50 % [30, 70]')
    """
    if row is None or row["value"] is None:
        return DASH, DASH
    value, top, bottom = row["value"], row["numerator"], row["denominator"]
    share = not metric.unit and metric.aggregate in ("rate", "ratio")
    if share and bottom and bottom < few and _whole(top) and _whole(bottom):
        text = f"{top:.0f} of {bottom:.0f}"
        return text, text
    text = brief_with_unit(value, metric)
    if row["ci_low"] is None or row["ci_high"] is None or row["n"] < few:
        return text, text
    low, high = (brief(row[end], metric) for end in ("ci_low", "ci_high"))
    return text, f"{text} [{low}, {high}]"


def _whole(number: float | None) -> bool:
    return number is not None and abs(number - round(number)) < 1e-9
