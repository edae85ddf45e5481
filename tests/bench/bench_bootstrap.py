"""Time of the intervals of a run: ``python tests/bench/bench_bootstrap.py``.

Prints seconds; asserts nothing. One mean over 1 200 recordings, the same in clusters, its median,
and a whole summary of 1 200 recordings in six scenarios.
"""

import time
from collections.abc import Callable

import numpy as np
import polars as pl

from flexi_score.aggregate import bootstrap_mean, summarize
from flexi_score.config import SummarySettings
from flexi_score.metrics.registry import Metric

RESAMPLES = 10_000
RECORDINGS = 1_200


def _metric(scenario: str, name: str, aggregate: str) -> Metric:
    return Metric("paper", scenario, name, name, "", "up", aggregate, "", "", "")  # type: ignore[arg-type]


def _run() -> tuple[pl.DataFrame, list[Metric]]:
    rng = np.random.default_rng(0)
    scenarios = [f"s{i}" for i in range(6)]
    metrics = [_metric(s, f"rate{j}", "rate") for s in scenarios for j in range(2)]
    metrics += [_metric(s, f"mean{j}", "mean") for s in scenarios for j in range(2)]
    each = RECORDINGS // len(scenarios)
    scores = pl.concat(
        pl.DataFrame(
            {
                "recording": [f"{m.scenario}-{i}" for i in range(each)],
                "system": "one",
                "scenario": m.scenario,
                "metric": m.name,
                "value": (rng.random(each) < 0.5).astype(float)
                if m.aggregate == "rate"
                else rng.gamma(2, 0.4, each),
                "status": "scored",
                "reason": "",
                "reference_ms": 0,
                "decided_ms": 0,
                "margin_s": 0.0,
                "source": "detected",
            }
        )
        for m in metrics
    )
    return scores, metrics


def _time(name: str, work: Callable[[], object], repeats: int = 3) -> None:
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begin)
    print(f"{name:<58} {min(seconds):7.3f} s")


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    values = rng.gamma(2, 0.4, RECORDINGS)
    group = pl.Series(["all"]).new_from_index(0, RECORDINGS)
    clusters = pl.Series(rng.integers(0, 150, RECORDINGS).astype(str))
    scores, metrics = _run()
    what = f"{RESAMPLES} resamples of {RECORDINGS} recordings"
    _time(
        f"mean, {what}",
        lambda: bootstrap_mean(values, group, settings=SummarySettings(resamples=RESAMPLES)),
    )
    _time(
        "  the same in 150 clusters",
        lambda: bootstrap_mean(
            values, group, clusters, settings=SummarySettings(resamples=RESAMPLES)
        ),
    )
    settings = SummarySettings(resamples=RESAMPLES)
    _time(
        f"summary of {RECORDINGS} recordings, {len(metrics)} metrics",
        lambda: summarize(scores, metrics, settings),
    )


if __name__ == "__main__":
    main()
