"""Two systems, or two runs of one: permutation tests, effects with intervals, verdicts.

Conventions
-----------
Recordings are *paired* where both sides have the same ones: by a metadata key where one is given,
else by id, else by id without the system's name in front (``calm-017`` and ``eager-017``). Sides
that share fewer than half of the smaller side's recordings of a scenario are compared unpaired,
and the table says so.

Effects are candidate minus baseline. Sums and ratios are compared a recording, every recording
counting the same: their values here are means over recordings, not the totals of a summary.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from flexi_score.aggregate.difference import paired_difference, unpaired_difference
from flexi_score.aggregate.intervals import holm
from flexi_score.aggregate.plan import surely
from flexi_score.aggregate.summary import cluster_key, metadata_labels
from flexi_score.config import SummarySettings
from flexi_score.errors import SettingsError
from flexi_score.metrics.registry import Metric
from flexi_score.schema import make_schema

#: One row per pair of sides, scenario and metric.
#:
#: ``test``: paired | unpaired; ``paired_by``: recording, "recording without system", or the
#: metadata key; null if unpaired. ``n_pairs``: pairs with a value on both sides, which alone enter
#: ``effect`` and ``p`` of a paired test. ``value_*``: means over all of a side's recordings.
#: ``p_holm``: corrected over the metrics of one pair of sides. ``verdict``, of the candidate:
#: better | worse | undecided; differs, for a metric without a better direction.
COMPARISON: Final = make_schema(
    {
        "baseline candidate scenario metric direction test paired_by": pl.String,
        "n_baseline n_candidate n_pairs": pl.Int64,
        "value_baseline value_candidate effect": pl.Float64,
        "se": pl.Float64,  # standard error of the effect, by clusters where there are
        "ci_low ci_high p p_holm": pl.Float64,
        "verdict": pl.String,
    }
)


class _Side(NamedTuple):
    name: str
    rows: pl.DataFrame  # recording, system, scenario, metric, value, key, stripped, cluster


def _side(rows: pl.DataFrame, system: str, run: str | None = None) -> _Side:
    name = system if run is None else f"{run}/{system}"
    return _Side(name, rows.filter(pl.col("system") == system))


def compare_systems(
    scores: pl.DataFrame,
    metrics: Sequence[Metric],
    settings: SummarySettings,
    systems: Sequence[tuple[str, str]] | None = None,
    *,
    recordings: pl.DataFrame | None = None,
    pair_by: str | None = None,
    look: tuple[int, int] | None = None,
) -> pl.DataFrame:
    """Compare the systems of one run (:data:`COMPARISON`).

    ``settings``: ``confidence`` also decides verdicts: p_holm < 1 - confidence. ``systems``: by
    default every pair, the earlier one as baseline. ``recordings``: needed for ``pair_by``, a
    metadata key that is equal for recordings of one item, and for ``settings.cluster``.
    """
    rows = _rows(scores, recordings, pair_by, settings)
    known = rows["system"].unique(maintain_order=True).drop_nulls().to_list()
    if systems is None:
        if len(known) < 2:
            raise SettingsError(
                f"nothing to compare: the run holds one system ({', '.join(known) or 'none'}); "
                "give a second run, or score two systems together"
            )
        systems = list(combinations(known, 2))
    for name in {name for pair in systems for name in pair} - set(known):
        raise SettingsError(f"no system {name!r} in the run; it holds {', '.join(known)}")
    tables = [
        _compare(_side(rows, a), _side(rows, b), metrics, settings, pair_by, look)
        for a, b in systems
    ]
    return pl.concat([COMPARISON.to_frame(), *tables])


def compare_runs(
    baseline: pl.DataFrame,
    candidate: pl.DataFrame,
    metrics: Sequence[Metric],
    settings: SummarySettings,
    *,
    names: tuple[str, str] = ("baseline", "candidate"),
    recordings: tuple[pl.DataFrame, pl.DataFrame] | None = None,
    pair_by: str | None = None,
    look: tuple[int, int] | None = None,
) -> pl.DataFrame:
    """Compare two runs: each system that both hold, or their only systems.

    As :func:`compare_systems`. ``names``: of the runs, for the columns ``baseline`` and
    ``candidate``: ``run/system``. ``recordings``: of both runs. Raises SettingsError where the runs
    share no system and one of them holds several.
    """
    of_a, of_b = recordings or (None, None)
    a = _rows(baseline, of_a, pair_by, settings)
    b = _rows(candidate, of_b, pair_by, settings)
    tables = [
        _compare(_side(a, x, names[0]), _side(b, y, names[1]), metrics, settings, pair_by, look)
        for x, y in match_systems(a, b, names)
    ]
    return pl.concat([COMPARISON.to_frame(), *tables])


def match_systems(
    baseline: pl.DataFrame,
    candidate: pl.DataFrame,
    names: tuple[str, str] = ("the baseline", "the candidate"),
) -> list[tuple[str, str]]:
    """Systems of two runs that are compared: those with one name, or the only one of each."""
    a = baseline["system"].unique(maintain_order=True).drop_nulls().to_list()
    b = candidate["system"].unique(maintain_order=True).drop_nulls().to_list()
    shared = [(name, name) for name in b if name in a]
    if shared:
        return shared
    if len(a) == 1 and len(b) == 1:
        return [(a[0], b[0])]
    raise SettingsError(
        f"{names[0]} and {names[1]} share no system: {', '.join(a) or 'none'} and "
        f"{', '.join(b) or 'none'}; give runs that share one, or runs of one system each"
    )


def _rows(
    scores: pl.DataFrame,
    recordings: pl.DataFrame | None,
    pair_by: str | None,
    settings: SummarySettings,
) -> pl.DataFrame:
    """Scores with the keys they may be paired by, and their cluster."""
    rows = scores.select(
        *(pl.col(name).cast(pl.String) for name in ("recording", "system", "scenario", "metric")),
        pl.col("value").cast(pl.Float64).fill_nan(None),
    ).with_columns(
        stripped=pl.col("recording")
        .str.strip_prefix(pl.col("system"))
        .str.strip_chars_start("-_/.:# ")
    )
    for column, key in (("key", pair_by), ("cluster", cluster_key(recordings, settings))):
        label = pl.lit(None, pl.String)
        if key is not None:
            if recordings is None:
                raise SettingsError(f"metadata key {key!r} needs the run's recordings")
            labels = metadata_labels(recordings, key).unique("recording", keep="first")
            rows = rows.join(labels, on="recording", how="left", maintain_order="left")
            label = pl.col("label")
        rows = rows.with_columns(label.alias(column)).drop("label", strict=False)
    return rows


def _pairing(a: pl.DataFrame, b: pl.DataFrame, pair_by: bool) -> str | None:
    """Column by which at least half of the smaller side's recordings have a partner."""
    small, large = sorted((a, b), key=lambda side: side["recording"].n_unique())
    for column in ("key",) if pair_by else ("recording", "stripped"):
        keys = small.unique("recording")[column]
        partnered = keys.is_in(large[column].drop_nulls().unique().implode())
        if 2 * (partnered.sum() or 0) >= len(keys):
            return column
    return None


def _by_scenario(rows: pl.DataFrame, metrics: Sequence[Metric]) -> dict[str, list[Metric]]:
    """Metrics of every scenario; those of ``conversation`` may be scored in any of them."""
    scenarios = rows["scenario"].unique(maintain_order=True).drop_nulls().to_list()
    listed = {m.scenario: None for m in metrics} | dict.fromkeys(scenarios)
    out: dict[str, list[Metric]] = {}
    for scenario in listed:
        named = {m.name: m for m in metrics if m.scenario == "conversation"}
        named |= {m.name: m for m in metrics if m.scenario == scenario}
        out[scenario] = sorted(named.values(), key=metrics.index)
    return out


def _compare(
    a: _Side,
    b: _Side,
    metrics: Sequence[Metric],
    settings: SummarySettings,
    pair_by: str | None,
    look: tuple[int, int] | None,
) -> pl.DataFrame:
    rows = []
    for scenario, described in _by_scenario(a.rows, metrics).items():
        x, y = (side.rows.filter(pl.col("scenario") == scenario) for side in (a, b))
        if x.is_empty() or y.is_empty():
            continue
        column = _pairing(x, y, pair_by is not None)
        for metric in described:
            parts = [side.filter(pl.col("metric") == metric.name) for side in (x, y)]
            if any(part.is_empty() for part in parts):
                continue
            left, right = (part.drop_nulls("value") for part in parts)
            row: dict[str, object] = {
                "baseline": a.name,
                "candidate": b.name,
                "scenario": scenario,
                "metric": metric.name,
                "direction": metric.direction,
                "test": "unpaired" if column is None else "paired",
                "paired_by": {
                    None: None,
                    "key": pair_by,
                    "recording": "recording",
                    "stripped": "recording without system",
                }[column],
                "n_baseline": len(left),
                "n_candidate": len(right),
                "value_baseline": left["value"].mean(),
                "value_candidate": right["value"].mean(),
            }
            name = "\x1f".join((a.name, b.name, scenario, metric.name))
            row |= (
                unpaired_difference(left, right, name, settings)
                if column is None
                else paired_difference(left, right, column, name, settings)
            )
            rows.append(row)
    table = pl.DataFrame(
        rows, schema={k: v for k, v in COMPARISON.items() if k not in ("p_holm", "verdict")}
    )
    p = table["p"].fill_null(np.nan).to_numpy()
    sure = pl.Series(surely(p, 1 - settings.confidence, look))
    rises = pl.col("effect") > 0
    return (
        table.with_columns(pl.Series("p_holm", holm(p), pl.Float64))
        .with_columns(pl.col("se", "ci_low", "ci_high", "p", "p_holm").fill_nan(None))
        .with_columns(
            verdict=pl.when(~sure)
            .then(pl.lit("undecided"))
            .when(pl.col("direction") == "none")
            .then(pl.lit("differs"))
            .when(rises == (pl.col("direction") == "up"))
            .then(pl.lit("better"))
            .otherwise(pl.lit("worse"))
        )
        .select(COMPARISON.names())
    )
