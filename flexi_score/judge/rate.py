"""From questions to scores: find the ratings, put them where the metrics look, say why.

A rating stands in the manifest row of its recording (``rating``), as one that came with it would,
and reference positions stand in ``reference_backchannels_ms``; so every profile's scorers do with
them what they do anyway. Of several repeats the rating is the mean, and the positions are all of
theirs: one that two of three mark weighs twice what one that one marks weighs.
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import polars as pl

from flexi_score.aggregate.agreement import repeat_agreement
from flexi_score.config import Settings
from flexi_score.judge.questions import (
    REFERENCE,
    UNASKED,
    Questions,
    build_questions,
    with_recordings,
)
from flexi_score.schema import RATINGS
from flexi_score.segment.types import Structure

#: File of an archive that keeps what judges replied.
REPLIES: Final = "judge.sqlite"

if TYPE_CHECKING:  # asking takes longer to import than a small archive takes to score
    from flexi_score.judge.asking import Progress

#: Told how asking gets on.
Judging: TypeAlias = Callable[["Progress"], None]

#: Most characters of the judge's own words that the reason of a score quotes.
_QUOTED: Final = 240


class Verdicts(NamedTuple):
    """What a judge found (:data:`RATINGS`), and what it could not be asked (:data:`UNASKED`)."""

    ratings: pl.DataFrame
    unasked: pl.DataFrame


def no_verdicts() -> Verdicts:
    """Nothing asked."""
    return Verdicts(RATINGS.to_frame(), UNASKED.to_frame())


def rate(
    structure: Structure, settings: Settings, store: Path | None, progress: Judging | None = None
) -> tuple[Structure, Verdicts]:
    """Have recordings judged: questions, answers, and the structure that holds them.

    Parameters are those of :func:`find_ratings`.
    """
    if settings.judge.mode == "none":
        return structure, no_verdicts()
    recordings = structure.tracks.recordings
    questions = build_questions(structure, settings)
    verdicts = find_ratings(questions, recordings, store, settings, progress)
    return with_ratings(structure, verdicts, settings), verdicts


def find_ratings(
    questions: Questions,
    recordings: pl.DataFrame,
    store: Path | None,
    settings: Settings,
    progress: Judging | None = None,
) -> Verdicts:
    """Have the questions answered, or find the answers that are kept.

    Parameters
    ----------
    questions : Questions
    recordings : polars.DataFrame
        :data:`flexi_score.schema.RECORDINGS`: in replay, a rating that came with a recording stands
        in for a reply that is not kept.
    store : path, optional
        Where replies are kept; None: nowhere, so there is nothing to replay, and what is asked is
        asked again the next time.
    settings : Settings
        ``judge.mode`` says how.
    progress : callable, optional

    Returns
    -------
    Verdicts
        One row a question and repeat.
    """
    mode, asked = settings.judge.mode, questions.asked
    if mode == "none":
        return no_verdicts()
    if not len(asked):
        ratings = RATINGS.to_frame()
    elif store is None:
        if mode != "replay":
            with tempfile.TemporaryDirectory(prefix="flexi_score-") as folder:
                return find_ratings(
                    questions, recordings, Path(folder) / REPLIES, settings, progress
                )
        ratings = _unanswered(asked, settings)
    elif mode == "replay":
        from flexi_score.judge.ask import replay

        ratings = replay(asked, store, settings.judge)
    else:
        from flexi_score.judge.ask import ask

        ratings = ask(asked, store, settings.judge, progress=progress or (lambda _: None))
    if mode == "replay":
        ratings = _with_given(ratings, questions, recordings)
    rated = ratings.select("recording", "metric").unique()
    unasked = questions.unasked.join(
        rated, on=["recording", "metric"], how="anti", maintain_order="left"
    )
    return Verdicts(ratings, unasked)


def _unanswered(asked: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """What replay finds where nothing is kept."""
    rows = asked.with_columns(
        repeat=pl.lit(0),
        model=pl.lit(settings.judge.model),
        status=pl.lit("missing"),
        problem=pl.lit("no archive, so no replies are kept"),
        attempts=pl.lit(0),
    )
    return _complete(rows)


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    absent = [pl.lit(None).alias(name) for name in RATINGS if name not in rows.columns]
    return rows.with_columns(absent).select(RATINGS.names()).cast(RATINGS)


def _with_given(
    ratings: pl.DataFrame, questions: Questions, recordings: pl.DataFrame
) -> pl.DataFrame:
    """Ratings that came with the recordings, where no reply is kept."""
    wanted = pl.concat(
        [
            questions.asked.select("recording", "metric", "question"),
            questions.unasked.select("recording", "metric", question=pl.lit(None, pl.String)),
        ]
    )
    kept = ratings.filter(pl.col("value").is_not_null()).select("recording", "metric")
    given = (
        wanted.filter(pl.col("metric") != REFERENCE)
        .join(kept, on=["recording", "metric"], how="anti", maintain_order="left")
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
    return pl.concat([left, _complete(given)])


def with_ratings(structure: Structure, verdicts: Verdicts, settings: Settings) -> Structure:
    """The structure with ratings and reference positions in the rows of its recordings."""
    found = verdicts.ratings.filter(pl.col("metric") != REFERENCE)
    ratings = found.group_by("recording").agg(judged=pl.col("value").mean())
    marked = (
        verdicts.ratings.filter(pl.col("metric") == REFERENCE)
        .explode("positions_s")
        .drop_nulls("positions_s")
        .group_by("recording", maintain_order=True)
        .agg(positions=(pl.col("positions_s") * 1000).round().cast(pl.Int64).sort())
    )
    recordings = structure.tracks.recordings
    # In any other mode, ratings that came with the recordings are not what was asked for.
    came = pl.col("rating") if settings.judge.mode == "replay" else pl.lit(None, pl.Float64)
    rows = (
        recordings.join(ratings, on="recording", how="left", maintain_order="left")
        .join(marked, on="recording", how="left", maintain_order="left")
        .with_columns(
            rating=pl.coalesce("judged", came),
            reference_backchannels_ms=pl.coalesce("positions", "reference_backchannels_ms"),
        )
        .select(recordings.columns)
    )
    return with_recordings(structure, rows)


def explain(scores: pl.DataFrame, verdicts: Verdicts) -> pl.DataFrame:
    """Scores with the judge's reasons: for its ratings, and for there being none.

    Parameters
    ----------
    scores : polars.DataFrame
        :data:`flexi_score.schema.SCORES`, of a structure :func:`with_ratings`.
    verdicts : Verdicts
    """
    told = pl.concat([_told(verdicts.ratings), _cannot(verdicts.unasked)])
    unscored = pl.col("value").is_null() & (pl.col("status") == "excluded")
    joined = scores.join(told, on=["recording", "metric"], how="left", maintain_order="left")
    added = pl.concat_str("reason", pl.lit(": "), "words")
    reason = (
        pl.when(unscored)
        .then(pl.coalesce("problem", "reason"))
        .otherwise(pl.coalesce(added, "reason"))
    )
    return joined.with_columns(
        # Without reasons (a sweep), there are none to add to.
        reason=pl.when(pl.col("reason").is_not_null()).then(reason),
        source=pl.when(pl.col("marked") & ~unscored & (pl.col("source") != "estimated"))
        .then(pl.lit("judge"))
        .otherwise("source"),
    ).select(scores.columns)


def _told(ratings: pl.DataFrame) -> pl.DataFrame:
    """``recording, metric, words, problem, marked`` of every score that a judge was asked about."""
    values = pl.col("value").drop_nulls()
    positions = pl.col("positions_s").drop_nulls()
    marked = pl.col("metric") == REFERENCE
    table = ratings.group_by("recording", "metric", maintain_order=True).agg(
        values=values.round(2).cast(pl.String).str.strip_suffix(".0").str.join(", "),
        n=values.len() + positions.len(),
        of=pl.len(),
        positions=positions.explode().drop_nulls().unique().sort().cast(pl.String).str.join(", "),
        words=pl.col("reason").drop_nulls().first(),
        problem=pl.col("problem").drop_nulls().first(),
    )
    words = pl.col("words").str.replace_all(r"\s+", " ").str.strip_chars()
    words = (
        pl.when(words.str.len_chars() > _QUOTED)
        .then(words.str.slice(0, _QUOTED) + "...")
        .otherwise(words)
    )
    some = (
        pl.when(pl.col("n") < pl.col("of"))
        .then(pl.format(" ({} of {} repeats)", "n", "of"))
        .otherwise(pl.lit(""))
    )
    repeats = pl.when(pl.col("of") > 1).then(pl.format("mean of {}{}: ", "values", some))
    shown = pl.format("{}{}", repeats.otherwise(pl.lit("")), words)
    none = pl.when(pl.col("n") > 0).then(pl.lit("the judge marks no position"))
    return table.select(
        "recording",
        metric=pl.when(marked).then(pl.lit("jsd")).otherwise("metric"),
        words=pl.when(marked)
        .then(pl.format("judge's reference at {} s", "positions"))
        .otherwise(shown),
        problem=pl.coalesce(none, pl.format("the judge gave no rating: {}", "problem")),
        marked=marked,
    )


def _cannot(unasked: pl.DataFrame) -> pl.DataFrame:
    return unasked.select(
        "recording",
        metric=pl.when(pl.col("metric") == REFERENCE).then(pl.lit("jsd")).otherwise("metric"),
        words=pl.lit(None, pl.String),
        problem=pl.format("not judged: {}", "reason"),
        marked=pl.lit(False),
    )


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
    """Sentences for readers of a summary: how far a judge that was asked again agreed with itself.

    ``info`` is that of :func:`judge_info`.
    """
    repeats = info.get("judge", {}).get("repeats", {})
    return [
        f"Judge: {metric} of {found['recordings']} recordings asked {found['repeats']} times: "
        + ("" if marked else f"mean standard deviation {found['spread']:.2f}, ")
        + f"Krippendorff's alpha ({'nominal, word by word' if marked else 'ordinal'}) "
        + ("not defined (no variation)" if found["alpha"] is None else f"{found['alpha']:.2f}")
        + ("; all positions count." if marked else "; the mean counts.")
        for metric, found in repeats.items()
        for marked in [metric == REFERENCE]
    ]
