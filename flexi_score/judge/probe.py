"""How far to trust a judge: the same questions asked of another model, or put another way.

A judge's rating should not hang on what does not bear on the answer. Two probes ask the questions
of a run again: with words of no content after the answer (``padded``: longer is no better), and
with the fields in reverse order (``swapped``: nor is what comes last). The shift of the ratings is
the bias. Length and position bias of language models as judges: Zheng et al. 2023.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import polars as pl

from flexi_score.aggregate.agreement import MARKED
from flexi_score.aggregate.intervals import bootstrap_mean
from flexi_score.config import Settings
from flexi_score.judge.ask import ask, replay
from flexi_score.judge.ratings import QUESTIONS
from flexi_score.schema import make_schema

#: Fields that hold the assistant's answer.
_ANSWERS: Final = ("response", "after")
_PADDING: Final = (
    " I hope that this is of some help to you. If there is anything else that you would like to "
    "know, or anything that is not clear, please just let me know, and I will do my best to help."
)

PROBES: Final = make_schema(
    {
        "metric": pl.String,
        "probe": pl.String,  # padded | swapped
        "recordings": pl.Int64,  # rated both ways
        "plain": pl.Float64,  # mean rating as asked
        "probed": pl.Float64,
        "shift": pl.Float64,  # probed - plain
        "ci_low": pl.Float64,
        "ci_high": pl.Float64,
    }
)


def padded(question: dict[str, Any]) -> dict[str, Any]:
    """The question with words of no content after the answer."""
    return {k: v + _PADDING if k in _ANSWERS else v for k, v in question.items()}


def swapped(question: dict[str, Any]) -> dict[str, Any]:
    """The question with its fields in reverse order."""
    return dict(reversed(question.items()))


_PROBES: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "padded": padded,
    "swapped": swapped,
}


def rate_again(
    ratings: pl.DataFrame, store: Path, settings: Settings, model: str | None = None
) -> pl.DataFrame:
    """Ratings of a run's questions by a model; that of the settings if none is named."""
    chosen = settings.judge
    if model is not None:
        chosen = chosen.model_copy(update={"model": model})
    questions = ratings.filter(pl.col("question").is_not_null() & pl.col("rubric").is_not_null())
    questions = questions.select(QUESTIONS).unique(maintain_order=True)
    return (replay if chosen.mode == "replay" else ask)(questions, store, chosen)


def second_rater(
    ratings: pl.DataFrame, store: Path, settings: Settings, model: str
) -> pl.DataFrame:
    """Another model's ratings as labels: ``recording, metric, rater, value``; no positions."""
    other = rate_again(ratings, store, settings, model).filter(pl.col("metric") != MARKED)
    return _means(other).select("recording", "metric", rater=pl.lit(model), value="value")


def probe_table(ratings: pl.DataFrame, store: Path, settings: Settings) -> pl.DataFrame:
    """How far ratings shift under each probe (:data:`PROBES`); the mean of repeats counts."""
    plain = ratings.filter((pl.col("metric") != MARKED) & pl.col("question").is_not_null())
    rows = []
    for name, change in _PROBES.items():
        changed = [json.dumps(change(json.loads(q)), ensure_ascii=False) for q in plain["question"]]
        other = rate_again(
            plain.with_columns(question=pl.Series(changed, dtype=pl.String)), store, settings
        )
        both = _means(plain).join(_means(other), on=["recording", "metric"], suffix="_probed")
        both = both.with_columns(shift=pl.col("value_probed") - pl.col("value"))
        low, high = bootstrap_mean(both["shift"], both["metric"], None, settings.summary)
        parts = both.partition_by("metric", maintain_order=True)
        rows += [
            {"metric": part["metric"][0], "probe": name, "recordings": len(part)}
            | {"plain": part["value"].mean(), "probed": part["value_probed"].mean()}
            | {"shift": part["shift"].mean(), "ci_low": a, "ci_high": b}
            for part, a, b in zip(parts, low, high, strict=True)
        ]
    table = pl.DataFrame(rows, schema=PROBES)
    return table.with_columns(pl.col("ci_low", "ci_high").fill_nan(None))


def _means(ratings: pl.DataFrame) -> pl.DataFrame:
    """``recording, metric, value``: the mean of the repeats, where any is rated."""
    groups = ratings.group_by("recording", "metric", maintain_order=True)
    return groups.agg(pl.col("value").mean()).drop_nulls("value")
