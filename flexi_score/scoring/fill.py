"""Ratings fill in what timing left pending: judged scores, and what follows from a reference.

A scorer leaves a score ``pending`` where a judge's rating would be its value, with the reason that
holds if none comes. Of several repeats the rating is their mean. Reference positions that a judge
marked take the place of annotated ones: all of theirs count, so that one which two of three repeats
mark weighs twice what one that a single repeat marks weighs.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from flexi_score.config import Settings
from flexi_score.judge.questions import BEHAVIOUR, NOT_JUDGED, REFERENCE, build_questions
from flexi_score.judge.rate import Verdicts, complete_ratings, find_ratings
from flexi_score.metrics import score_structure
from flexi_score.metrics.registry import FOLLOWER, FOLLOWERS, JUDGED_BEHAVIOURS, PENDING
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import Tracks, select_tracks
from flexi_score.segment.types import Structure

#: The metric that is measured against a reference.
REFERENCED: Final = "jsd"
#: Most characters of the judge's own words that the reason of a score quotes.
_QUOTED: Final = 240

#: The outcomes of the metric that follows from coherence, in words.
_FOLLOWING: Final = {
    FOLLOWER: "resumes within the limit, and coherently",
    "late": "does not resume within the limit",
    "incoherent": "resumes within the limit, but not coherently",
}
#: Coherence above this is coherent.
COHERENT: Final = 2.0

_KEY: Final = ["recording", "metric"]

#: Status of scores that no rating came for.
_UNRATED: Final = pl.when(pl.col("status") == PENDING).then(pl.lit("excluded")).otherwise("status")


def fill_ratings(scores: pl.DataFrame, verdicts: Verdicts) -> pl.DataFrame:
    """Scores with ratings in place of what was pending.

    Those rows are ``scored`` with the mean of the ratings, or ``excluded`` with the reason why
    there is none.
    """
    if not any(map(len, verdicts)):
        return scores.with_columns(status=_UNRATED)
    ratings, not_judged = (_sorted(table) for table in verdicts)
    replies = pl.concat([_replies(ratings), _not_judged(not_judged)])
    joined = scores.join(_with_followers(replies), on=_KEY, how="left", maintain_order="left")
    joined = joined.join(_resumed(scores), on="recording", how="left", maintain_order="left")
    pending = pl.col("status") == PENDING
    rated = pending & pl.col("rating").is_not_null()
    follows = rated & (pl.col("metric") == FOLLOWER)
    coherent = pl.col("rating") > COHERENT
    value = (
        pl.when(follows)
        .then((coherent & (pl.col("resumed") == 1)).cast(pl.Float64))
        .when(rated)
        .then("rating")
        .otherwise("value")
    )
    outcome = (
        pl.when(~follows)
        .then(pl.lit("rated"))
        .when(pl.col("resumed") != 1)
        .then(pl.lit("late"))
        .when(coherent)
        .then(pl.lit(FOLLOWER))
        .otherwise(pl.lit("incoherent"))
    )
    missing = value.is_null() & (pending | (pl.col("status") == "excluded"))
    text = (
        pl.when(follows)
        .then(outcome.replace_strict(_FOLLOWING, default=None))
        .when(rated)
        .then(_rated())
        .otherwise("reason")
    )
    reason = (
        pl.when(missing)
        .then(pl.coalesce("problem", "reason"))
        .otherwise(pl.coalesce(pl.concat_str(text, pl.lit(": "), "words"), text))
    )
    judged = pl.col("marked") & ~missing & (pl.col("source") != "estimated")
    return joined.with_columns(
        value=value,
        status=pl.when(rated).then(pl.lit("scored")).otherwise(_UNRATED),
        rule=pl.when(rated).then(outcome).otherwise("rule"),
        # A sweep scores without reasons: there are none to add to.
        reason=pl.when(pl.col("reason").is_not_null()).then(reason),
        source=pl.when(judged).then(pl.lit("judge")).otherwise("source"),
    ).select(scores.columns)


def fill_given(scores: pl.DataFrame, recordings: pl.DataFrame) -> pl.DataFrame:
    """Scores with the ratings that came with the recordings in place of what was pending.

    ``scores``: as in :func:`fill_ratings`. ``recordings``: :data:`flexi_score.schema.RECORDINGS`;
    ``rating`` is read.
    """
    of = ["recording", "scenario"]
    waiting = scores.filter(pl.col("status") == PENDING)
    if not len(waiting):
        return scores
    follows = (*FOLLOWERS, *JUDGED_BEHAVIOURS)
    pending = waiting.filter(~pl.col("metric").is_in(follows)).select(*of, "metric")
    given = recordings.select(*of, value="rating").drop_nulls("value").unique(of, keep="first")
    given = pending.join(given, on=of, how="inner")
    if not len(given):
        return scores.with_columns(status=_UNRATED)
    ratings = complete_ratings(given.with_columns(status=pl.lit("given")))
    return fill_ratings(scores, Verdicts(ratings, NOT_JUDGED.to_frame()))


def fill_kept(
    structure: Structure, scores: pl.DataFrame, settings: Settings, replies: Path
) -> pl.DataFrame:
    """Scores with ratings from kept replies in place of what was pending; nobody is asked."""
    questions = build_questions(structure, scores, settings)
    verdicts = find_ratings(questions, structure.tracks.recordings, replies, settings)
    if len(marked_recordings(verdicts.ratings)):
        scores = fill_references(scores, structure.tracks, verdicts.ratings, settings)
    return fill_ratings(scores, verdicts)


def fill_references(
    scores: pl.DataFrame, tracks: Tracks, ratings: pl.DataFrame, settings: Settings
) -> pl.DataFrame:
    """Scores with the distance from the reference positions that a judge marked."""
    marked = (
        ratings.filter(pl.col("metric") == REFERENCE)
        .explode("positions_s")
        .drop_nulls("positions_s")
        .group_by("recording", maintain_order=True)
        .agg(positions=(pl.col("positions_s") * 1000).round().cast(pl.Int64).sort())
    )
    wanted = tracks.recordings["recording"].is_in(marked["recording"].implode())
    tracks = select_tracks(tracks, wanted.to_numpy())
    if not len(tracks):
        return scores
    rows = tracks.recordings.join(marked, on="recording", how="left", maintain_order="left")
    rows = rows.with_columns(reference_backchannels_ms="positions").drop("positions")
    structure = build_structure(replace(tracks, recordings=rows), settings)
    references = score_structure(structure, settings, {}).filter(pl.col("metric") == REFERENCED)
    placed = scores.with_row_index("place")
    references = references.join(
        placed.select("place", *_KEY), on=_KEY, how="inner", maintain_order="left"
    )
    others = placed.join(references, on="place", how="anti", maintain_order="left")
    return pl.concat([others, references.select(placed.columns)]).sort("place").drop("place")


def marked_recordings(ratings: pl.DataFrame) -> pl.Series:
    """Ids of the recordings of which a judge has marked reference positions."""
    positions = pl.col("positions_s").list.len() > 0
    return ratings.filter((pl.col("metric") == REFERENCE) & positions)["recording"].unique()


def _sorted(table: pl.DataFrame) -> pl.DataFrame:
    """Ratings, or what was not judged, with a row a behaviour in place of the number of one."""
    one = table.filter(pl.col("metric") == BEHAVIOUR)
    if one.is_empty():
        return table
    parts = [
        one.with_columns(
            pl.lit(name).alias("metric"), (pl.col("^value$") == number).cast(pl.Float64)
        )
        for number, name in enumerate(JUDGED_BEHAVIOURS)
    ]
    return pl.concat([table.filter(pl.col("metric") != BEHAVIOUR), *parts])


def _with_followers(replies: pl.DataFrame) -> pl.DataFrame:
    """Replies, and those about coherence once more for what follows from it."""
    coherence = replies.filter(pl.col("metric") == "coherence")
    words = pl.lit(None, pl.String)
    return pl.concat([replies, coherence.with_columns(metric=pl.lit(FOLLOWER), words=words)])


def _resumed(scores: pl.DataFrame) -> pl.DataFrame:
    """``recording, resumed``: whether each stopped model resumed within the limit."""
    resumed = scores.filter(pl.col("metric") == "resumed")
    return resumed.select("recording", resumed="value").unique("recording", keep="first")


def _rated() -> pl.Expr:
    """``rated 4``; of coherence also whether that is coherent."""
    rating = pl.col("rating").round(2).cast(pl.String).str.strip_suffix(".0")
    outcome = (
        pl.when(pl.col("metric") != "coherence")
        .then(pl.lit(""))
        .when(pl.col("rating") > COHERENT)
        .then(pl.lit(", above 2: coherent"))
        .otherwise(pl.lit(", not above 2: not coherent"))
    )
    return pl.format("rated {}{}", rating, outcome)


def _replies(ratings: pl.DataFrame) -> pl.DataFrame:
    """What a judge replied about each score.

    Columns ``recording, metric, rating, words, problem``; ``marked`` where it marked a reference.
    """
    values = pl.col("value").drop_nulls()
    positions = pl.col("positions_s").drop_nulls()
    marked = pl.col("metric") == REFERENCE
    table = ratings.group_by(*_KEY, maintain_order=True).agg(
        rating=pl.col("value").mean(),
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
        metric=pl.when(marked).then(pl.lit(REFERENCED)).otherwise("metric"),
        rating=pl.when(~marked).then("rating"),
        words=pl.when(marked)
        .then(pl.format("judge's reference at {} s", "positions"))
        .otherwise(shown),
        problem=pl.coalesce(none, pl.format("the judge gave no rating: {}", "problem")),
        marked=marked,
    )


def _not_judged(table: pl.DataFrame) -> pl.DataFrame:
    return table.select(
        "recording",
        metric=pl.when(pl.col("metric") == REFERENCE).then(pl.lit(REFERENCED)).otherwise("metric"),
        rating=pl.lit(None, pl.Float64),
        words=pl.lit(None, pl.String),
        problem=pl.format("not judged: {}", "reason"),
        marked=pl.lit(False),
    )
