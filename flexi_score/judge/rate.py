"""From questions to ratings: kept replies, ratings that came with the recordings, or the judge."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import polars as pl

from flexi_score.aggregate.agreement import repeat_agreement
from flexi_score.config import Settings
from flexi_score.judge.questions import BEHAVIOUR, NOT_JUDGED, REFERENCE, Questions
from flexi_score.schema import RATINGS

#: File of an archive that keeps what judges replied.
REPLIES: Final = "judge.sqlite"

if TYPE_CHECKING:  # asking takes longer to import than a small archive takes to score
    from flexi_score.judge.dispatch import Progress

#: Called with the progress of the judge.
Judging: TypeAlias = Callable[["Progress"], None]


class Verdicts(NamedTuple):
    """Ratings (:data:`RATINGS`), and what could not be asked for (:data:`NOT_JUDGED`)."""

    ratings: pl.DataFrame
    not_judged: pl.DataFrame


def no_verdicts() -> Verdicts:
    """Nothing asked."""
    return Verdicts(RATINGS.to_frame(), NOT_JUDGED.to_frame())


def find_ratings(
    questions: Questions,
    recordings: pl.DataFrame,
    store: Path | None,
    settings: Settings,
    progress: Judging | None = None,
) -> Verdicts:
    """Have the questions answered, or find the answers that are kept.

    In replay, a rating that came with a recording stands in for a reply that is not kept. Without a
    ``store`` nothing is replayed, and what is asked is asked again the next time.
    """
    mode, rows = settings.judge.mode, questions.rows
    if mode == "none":
        return no_verdicts()
    if not len(rows):
        ratings = RATINGS.to_frame()
    elif store is None and mode != "replay":
        with tempfile.TemporaryDirectory(prefix="flexi_score-") as folder:
            return find_ratings(questions, recordings, Path(folder) / REPLIES, settings, progress)
    elif store is None:
        ratings = complete_ratings(
            rows.with_columns(
                repeat=pl.lit(0),
                model=pl.lit(settings.judge.model),
                status=pl.lit("missing"),
                problem=pl.lit("no archive, so no replies are kept"),
                attempts=pl.lit(0),
            )
        )
    elif mode == "replay":
        from flexi_score.judge.ask import replay

        ratings = replay(rows, store, settings.judge)
    else:
        from flexi_score.judge.ask import ask

        ratings = ask(rows, store, settings.judge, progress=progress or (lambda _: None))
    if mode == "replay":
        ratings = _with_given(ratings, questions, recordings)
    rated = ratings.select("recording", "metric").unique()
    not_judged = questions.not_judged.join(
        rated, on=["recording", "metric"], how="anti", maintain_order="left"
    )
    return Verdicts(ratings, not_judged)


def complete_ratings(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of :data:`RATINGS` from some of their columns; the others are null."""
    absent = [pl.lit(None).alias(name) for name in RATINGS if name not in rows.columns]
    return rows.with_columns(absent).select(RATINGS.names()).cast(RATINGS)


def _with_given(
    ratings: pl.DataFrame, questions: Questions, recordings: pl.DataFrame
) -> pl.DataFrame:
    """Ratings that came with the recordings, where no reply is kept."""
    wanted = pl.concat(
        [
            questions.rows.select("recording", "metric", "question"),
            questions.not_judged.select("recording", "metric", question=pl.lit(None, pl.String)),
        ]
    )
    answered = ratings.filter(pl.col("value").is_not_null()).select("recording", "metric")
    given = (
        wanted.filter(~pl.col("metric").is_in([REFERENCE, BEHAVIOUR]))
        .join(answered, on=["recording", "metric"], how="anti", maintain_order="left")
        .join(recordings, on="recording", how="inner", maintain_order="left")
        .filter(pl.col("rating").is_not_null())
        .with_columns(
            repeat=pl.lit(0),
            value=pl.col("rating"),
            status=pl.lit("given"),
            attempts=pl.lit(0),
            reason=pl.coalesce(
                pl.col("metadata").cast(pl.String).str.json_path_match("$.rating_analysis"),
                pl.lit("came with the recording"),
            ),
        )
    )
    left = ratings.join(given, on=["recording", "metric"], how="anti", maintain_order="left")
    return pl.concat([left, complete_ratings(given)])


def judge_facts(ratings: pl.DataFrame, settings: Settings) -> dict[str, str]:
    """Which rubrics stand behind the scores, for the signature; empty without a judge."""
    if settings.judge.mode == "none":
        return {}
    rated = ratings.filter(pl.col("status") == "rated")
    names = rated.select(pl.format("{}-{}", "rubric", "rubric_version")).to_series().unique().sort()
    given = ["given"] if (ratings["status"] == "given").any() else []
    return {"rubrics": "+".join([*names, *given]) or "none"}


def judge_info(ratings: pl.DataFrame, not_asked: int, settings: Settings) -> dict[str, Any]:
    """What the judge did, for run.json; empty without a judge."""
    if settings.judge.mode == "none":
        return {}
    counts = ratings.group_by("status").agg(pl.len()).sort("status")
    rubrics = ratings.drop_nulls("rubric").select("rubric", "rubric_version").unique()
    answered = ratings.drop_nulls("server").select("server", "answered_by", "fingerprint").unique()
    return {
        "judge": {
            "mode": settings.judge.mode,
            "model": settings.judge.model,
            "rubrics": dict(rubrics.sort("rubric").iter_rows()),
            "answered": answered.sort(pl.all()).to_dicts(),
            "ratings": dict(counts.iter_rows()),
            "attempts": int(ratings.unique("key")["attempts"].sum()),
            "not_asked": not_asked,
            "repeats": {
                row.pop("metric"): row for row in repeat_agreement(ratings).iter_rows(named=True)
            },
        }
    }


def judge_notes(info: Mapping[str, Any]) -> list[str]:
    """How far a judge that was asked again agreed with itself, of :func:`judge_info`."""
    repeats = info.get("judge", {}).get("repeats", {})
    return [
        f"Judge: {metric} of {row['recordings']} recordings asked {row['repeats']} times: "
        + ("" if marked else f"mean standard deviation {row['spread']:.2f}, ")
        + f"Krippendorff's alpha ({'nominal, word by word' if marked else 'ordinal'}) "
        + ("not defined (no variation)" if row["alpha"] is None else f"{row['alpha']:.2f}")
        + ("; all positions count." if marked else "; the mean counts.")
        for metric, row in repeats.items()
        for marked in [metric == REFERENCE]
    ]
