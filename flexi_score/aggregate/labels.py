"""What agreement is measured on: the ratings of a run, and human labels from a file."""

from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.errors import InputError
from flexi_score.schema import RATINGS

#: Highest rating.
TOP: Final = 5


def read_ratings(run: str | Path) -> pl.DataFrame:
    """Ratings of a run folder (:data:`flexi_score.schema.RATINGS`)."""
    file = Path(run) / "ratings.parquet"
    try:
        ratings = pl.read_parquet(file, glob=False)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file; score again with --judge") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file}: cannot be read ({error}); score again") from error
    absent = [name for name in RATINGS if name not in ratings.columns]
    if absent:
        raise InputError(f"{file}: has no column {absent[0]}; score again")
    if not ratings["value"].count():
        raise InputError(f"{file}: holds no ratings; score with --judge openai or replay")
    return ratings.select(RATINGS.names())


def read_labels(path: str | Path) -> pl.DataFrame:
    """Human labels from a CSV file: ``recording, metric, rater, value``."""
    file, names = Path(path), ["recording", "metric", "rater", "value"]
    try:
        table = pl.read_csv(file, infer_schema=False)
    except FileNotFoundError as error:
        raise InputError(f"{file}: no such file") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InputError(f"{file}: cannot be read as CSV ({error})") from error
    absent = [name for name in names if name not in table.columns]
    if absent:
        raise InputError(
            f"{file}: has no column {absent[0]!r}; found {', '.join(table.columns)}, expected "
            f"{', '.join(names)}"
        )
    text = pl.col("value").str.strip_chars()
    table = table.select(
        *(pl.col(name).str.strip_chars() for name in names[:3]),
        value=text.cast(pl.Float64, strict=False),
        text=pl.col("value"),
        line=pl.int_range(pl.len()) + 2,
    )
    empty = table.filter(pl.any_horizontal(pl.col(names[:3]).fill_null("") == ""))
    for row in empty.head(1).iter_rows(named=True):
        raise InputError(f"{file}, line {row['line']}: recording, metric or rater is empty")
    wrong = table.filter(~pl.col("value").is_between(0, TOP).fill_null(False))
    for row in wrong.head(1).iter_rows(named=True):
        raise InputError(
            f"{file}, line {row['line']}: value: found {row['text']!r}, expected a number from 0 "
            f"to {TOP}"
        )
    twice = table.filter(pl.struct(names[:3]).is_duplicated())
    for row in twice.tail(1).iter_rows(named=True):
        raise InputError(
            f"{file}, line {row['line']}: {row['rater']!r} labels {row['metric']} of "
            f"{row['recording']!r} twice; keep one"
        )
    if not len(table):
        raise InputError(f"{file}: holds no labels")
    return table.select(names)
