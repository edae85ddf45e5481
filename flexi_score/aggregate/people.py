"""How far a system's timing is from people's: distances of distributions, and people's own.

The interval resamples whole conversations of the system and, where they are known, of the people.
A distance of samples is never 0: what people reach themselves, one half of their conversations
against the other, stands beside it (``ceiling``).
"""

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.aggregate.intervals import Floats, generator
from flexi_score.config import SummarySettings
from flexi_score.errors import InputError
from flexi_score.metrics.people import ABOVE_PEOPLE, KINDS, PUBLISHED, timings
from flexi_score.schema import SUMMARY

#: What is read of ``--reference``; ``conversation`` is null where it is not told.
REFERENCE: Final = pl.Schema({"conversation": pl.String, "kind": pl.String, "value_s": pl.Float64})

#: One row per system, kind of event and statistic (``ks``, ``wasserstein``: s).
PEOPLE: Final = pl.Schema(
    {
        "system": pl.String,
        "kind": pl.String,
        "statistic": pl.String,
        "value": pl.Float64,  # null: the system or the reference has no such event
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
        "ceiling": pl.Float64,  # people's own: half of the conversations against the other half
        "n_events": pl.Int64,
        "n_recordings": pl.Int64,
        "n_people": pl.Int64,  # events of the reference
        "n_conversations": pl.Int64,  # 0: the reference does not name them
    }
)

STATISTICS: Final = ("ks", "wasserstein")
_HALVINGS: Final = 100
#: Values times resamples; of more values, fewer resamples.
_CELLS: Final = 200_000_000
_FEWEST: Final = 200

Ints = NDArray[np.int64]


def read_reference(path: str | Path) -> pl.DataFrame:
    """Timing of people (:data:`REFERENCE`), from a run folder or a table.

    A run folder (both speakers are people), a Parquet file of its events, or a CSV or Parquet file
    of ``kind, value_s[, conversation]``.
    """
    file = reference_file(path)
    try:
        is_csv = file.suffix.lower() == ".csv"
        table = pl.read_csv(file) if is_csv else pl.read_parquet(file, glob=False)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file; expected a run folder, CSV or Parquet") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file}: cannot be read as CSV or Parquet ({error})") from error
    if {"recording", "start_ms", "latency_ms"} <= set(table.columns):
        table = timings(table).rename({"recording": "conversation"})
    elif absent := [name for name in ("kind", "value_s") if name not in table.columns]:
        raise InputError(
            f"{file}: has no column {absent[0]!r}; found {', '.join(table.columns)}, expected "
            "kind, value_s and, if known, conversation"
        )
    if "conversation" not in table.columns:
        table = table.with_columns(conversation=None)
    table = table.select(
        pl.col("conversation", "kind").cast(pl.String),
        text=pl.col("value_s").cast(pl.String),
        value_s=pl.col("value_s").cast(pl.Float64, strict=False),
    )
    known, finite = pl.col("kind").is_in(KINDS), pl.col("value_s").is_finite()
    wrong = table.with_row_index("row", 1).filter(~(known & finite).fill_null(False))
    for row in wrong.head(1).iter_rows(named=True):
        raise InputError(
            f"{file}, row {row['row']}: found kind {row['kind']!r}, value_s {row['text']!r}; "
            f"expected one of {', '.join(KINDS)} and seconds"
        )
    if table.is_empty():
        raise InputError(f"{file}: holds no event; expected kind and value_s of people's timing")
    return table.select(REFERENCE.names())


def reference_file(path: str | Path) -> Path:
    """The file that is read: of a run folder, its events."""
    return Path(path) / "events.parquet" if Path(path).is_dir() else Path(path)


def people_frame(
    values: pl.DataFrame, reference: pl.DataFrame, settings: SummarySettings
) -> pl.DataFrame:
    """Distances of every system's timing from people's (:data:`PEOPLE`).

    ``values``: ``system, recording, kind, value_s`` and ``unit``, what is resampled together. Where
    a conversation of the people is not named, the interval is the system's alone, and there is no
    ceiling. The interval is the percentile interval of the resampled distances without twice what
    resampling adds to a distance on average: once for the resamples, once for the value, which
    chance raises as much. A small distance may lie above its own interval. Null for one unit.
    """
    rows: list[dict[str, object]] = []
    for kind in KINDS:
        people = reference.filter(kind=kind).sort("value_s")
        y, y_code = people["value_s"].to_numpy(), _codes(people["conversation"])
        own = _ceiling(y, y_code, generator(settings.seed, f"people{kind}"))
        for system in values["system"].unique(maintain_order=True):
            own_values = values.filter(system=system, kind=kind).sort("value_s")
            x, x_code = own_values["value_s"].to_numpy(), _codes(own_values["unit"])
            rng = generator(settings.seed, f"{system}{kind}")
            limits = _distances(x, x_code, y, y_code, settings, rng)
            rows += [
                dict(zip(PEOPLE.names()[3:6], limit, strict=True))
                | {"system": system, "kind": kind, "statistic": name, "ceiling": ceiling}
                | {"n_events": len(x), "n_recordings": own_values["recording"].n_unique()}
                | {"n_people": len(y), "n_conversations": 0 if y_code is None else y_code.max() + 1}
                for name, limit, ceiling in zip(STATISTICS, limits, own, strict=True)
            ]
    return pl.DataFrame(rows, schema=PEOPLE).sort("system", maintain_order=True)


def add_people(summary: pl.DataFrame, people: pl.DataFrame, language: str) -> pl.DataFrame:
    """The summary with how far each system is from people, after its conversations' rows.

    ``language``: whose published median floor offsets are held against
    (:data:`flexi_score.metrics.people.PUBLISHED`). ``n`` counts recordings with such an event,
    ``denominator`` events; the counts by status are those of the floor offsets.
    """
    median, _ = PUBLISHED.get(language, PUBLISHED[""])
    table = summary.with_row_index("place")
    of_talk = table.filter(scenario="conversation")
    last = of_talk.group_by("system").agg(place=pl.col("place").max())
    base = of_talk.filter(metric="model_floor_offset.p50").drop("place").join(last, on="system")
    shifted = base.with_columns(
        pl.lit(ABOVE_PEOPLE.name).alias("metric"), pl.col("value", "ci_low", "ci_high") - median
    )
    far = people.select(
        "system",
        "value",
        "ci_low",
        "ci_high",
        metric=pl.format("model_{}_{}", "kind", "statistic"),
        n="n_recordings",
        denominator=pl.col("n_events").cast(pl.Float64),
    )
    far = base.drop("metric", "value", "ci_low", "ci_high", "n", "denominator").join(
        far, on="system", maintain_order="left_right"
    )
    merged = pl.concat([table, shifted, far], how="diagonal_relaxed")
    return merged.sort("place", maintain_order=True).select(SUMMARY.names())


def people_notes(people: pl.DataFrame, reference: str | None) -> list[str]:
    """What people reach themselves, for the notes of a run."""
    own = people.filter(statistic="ks").unique("kind", maintain_order=True)
    parts = [
        f"{kind.replace('_', ' ')} {ceiling:.2f}"
        for kind, ceiling in own.select("kind", "ceiling").drop_nulls().iter_rows()
    ]
    if not parts:
        return []
    return [
        f"People of {Path(reference or '').name} against themselves, one half of the conversations "
        f"from the other (Kolmogorov-Smirnov): {', '.join(parts)}."
    ]


def _codes(units: pl.Series) -> Ints | None:
    """Numbers of the units, from 0; None where one of them is not known, or there are none."""
    if units.is_empty() or units.null_count():
        return None
    return units.rank("dense").to_numpy().astype(np.int64) - 1


def _statistics(
    x_at: Ints, y_at: Ints, steps: Floats, x_weight: Floats | None, y_weight: Floats | None
) -> tuple[float, float]:
    """Kolmogorov-Smirnov and Wasserstein-1 distance of values at places of one grid."""
    size = len(steps) + 1
    below = [
        np.cumsum(np.bincount(at, weight, size)) / (len(at) if weight is None else weight.sum())
        for at, weight in ((x_at, x_weight), (y_at, y_weight))
    ]
    apart = np.abs(below[0] - below[1])
    return float(apart.max()), float(apart[:-1] @ steps)


def _distances(
    x: Floats,
    x_code: Ints | None,
    y: Floats,
    y_code: Ints | None,
    settings: SummarySettings,
    rng: np.random.Generator,
) -> list[tuple[float | None, float | None, float | None]]:
    """Value and limits of each statistic."""
    none = (None, None, None)
    if not len(x) or not len(y):
        return [none, none]
    grid, at = np.unique(np.concatenate([x, y]), return_inverse=True)
    x_at, y_at, steps = at[: len(x)], at[len(x) :], np.diff(grid)
    value = _statistics(x_at, y_at, steps, None, None)
    if x_code is None or x_code.max() < 1:
        return [(v, None, None) for v in value]
    resamples = max(_FEWEST, min(settings.resamples, _CELLS // len(at)))
    drawn = np.array(
        [
            _statistics(x_at, y_at, steps, _drawn(x_code, rng), _drawn(y_code, rng))
            for _ in range(resamples)
        ]
    )
    tail = (1 - settings.confidence) / 2
    limits = np.quantile(drawn, [tail, 1 - tail], axis=0) - 2 * (drawn.mean(axis=0) - value)
    low, high = np.clip(limits, 0.0, [1.0, np.inf])
    return [(v, float(a), float(b)) for v, a, b in zip(value, low, high, strict=True)]


def _drawn(code: Ints | None, rng: np.random.Generator) -> Floats | None:
    """How often each value is drawn with its unit."""
    if code is None:
        return None
    size = int(code.max()) + 1
    return np.bincount(rng.integers(0, size, size), minlength=size).astype(np.float64)[code]


def _ceiling(
    y: Floats, code: Ints | None, rng: np.random.Generator
) -> tuple[float | None, float | None]:
    """Median distance of one half of the conversations from the other, over seeded halvings."""
    if code is None or code.max() < 1:
        return None, None
    grid, at = np.unique(y, return_inverse=True)
    steps, size = np.diff(grid), int(code.max()) + 1
    distances = []
    for _ in range(_HALVINGS):
        first = (rng.permutation(size) < size // 2)[code]
        distances.append(_statistics(at[first], at[~first], steps, None, None))
    ks, wasserstein = np.median(distances, axis=0)
    return float(ks), float(wasserstein)
