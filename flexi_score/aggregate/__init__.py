"""Recordings added up: intervals, summaries, comparisons of systems, gates."""

from flexi_score.aggregate.compare import COMPARISON, compare_runs, compare_systems
from flexi_score.aggregate.gates import Gate, Tripped, check_gates, parse_gate
from flexi_score.aggregate.intervals import bootstrap_mean, bootstrap_ratio, holm, wilson
from flexi_score.aggregate.plan import PLAN, plan_frame
from flexi_score.aggregate.summary import (
    QUANTILES,
    UNSCORABLE,
    cluster_key,
    cluster_labels,
    metadata_labels,
    quantiles,
    summarize,
    with_failures,
)
from flexi_score.aggregate.values import values_of

__all__ = [
    "COMPARISON",
    "PLAN",
    "QUANTILES",
    "UNSCORABLE",
    "Gate",
    "Tripped",
    "bootstrap_mean",
    "bootstrap_ratio",
    "check_gates",
    "cluster_key",
    "cluster_labels",
    "compare_runs",
    "compare_systems",
    "holm",
    "metadata_labels",
    "parse_gate",
    "plan_frame",
    "quantiles",
    "summarize",
    "values_of",
    "wilson",
    "with_failures",
]
