"""What every recording should have scored, beside what it did."""

from collections.abc import Sequence

import polars as pl

from flexi_score.aggregate import summarize
from flexi_score.config import Settings
from flexi_score.metrics import profile_metrics, score_structure
from flexi_score.metrics.registry import Metric
from flexi_score.schema import SCORES, make_schema
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import select_tracks
from flexi_score.validate.paired import Paired
from flexi_score.validate.truth import Truth

OUTCOMES = make_schema(
    {
        "recording": pl.String,
        "system": pl.String,
        "scenario": pl.String,
        "metric": pl.String,
        "binary": pl.Boolean,
        "unit": pl.String,
        "truth": pl.Float64,  # null: not applicable or unscored
        "found": pl.Float64,
        "truth_source": pl.String,  # stated | speech
        "margin_s": pl.Float64,  # of the run: how far from the threshold that would flip it
    }
)

AGGREGATES = make_schema(
    {
        "system scenario metric unit": pl.String,
        "truth found": pl.Float64,
        "n_truth n_found": pl.Int64,
    }
)

#: Profiles that score transcripts: true speech alone says nothing under them.
_OF_WORDS = ("release", "fdb-v1")


def truth_scores(paired: Paired, truth: Truth, settings: Settings) -> pl.DataFrame:
    """Scores that the truth earns (:data:`flexi_score.schema.SCORES`, and ``truth_source``).

    Stated outcomes count under profile ``paper``; all others are those of the true speech under
    the run's settings and annotations. Judged metrics are left out: truth has no judge.
    """
    use = paired.both
    if settings.profile in _OF_WORDS:
        use = use & paired.truth.user_words.known & paired.truth.model_words.known
    metrics = profile_metrics(settings.profile)
    judged = [metric.name for metric in metrics if metric.judged]
    scores = SCORES.to_frame()
    if use.any():
        tracks = select_tracks(paired.truth, use)
        scores = score_structure(build_structure(tracks, settings), settings)
        scores = scores.filter(~pl.col("metric").is_in(judged))
    scores = scores.with_columns(truth_source=pl.lit("speech"))
    if settings.profile != "paper":
        return scores
    stated = _stated(paired, truth, metrics)
    rest = scores.join(stated, on=["recording", "metric"], how="anti", maintain_order="left")
    weights = scores.select("recording", "metric", "weight")
    stated = stated.drop("weight").join(weights, on=["recording", "metric"], how="left")
    return pl.concat([rest, stated.select(rest.columns)])


def _listed(metrics: Sequence[Metric]) -> pl.DataFrame:
    """``scenario, metric, binary, unit, judged`` of metrics."""
    return pl.DataFrame(
        [(m.scenario, m.name, m.aggregate == "rate", m.unit, m.judged) for m in metrics],
        schema=["scenario", "metric", "binary", "unit", "judged"],
        orient="row",
    )


def _stated(paired: Paired, truth: Truth, metrics: Sequence[Metric]) -> pl.DataFrame:
    known = _listed(metrics).filter(~pl.col("judged")).select("scenario", "metric")
    rows = paired.truth.recordings.select("recording", "system", "scenario")
    stated = truth.outcomes.join(rows, on="recording").join(known, on=["scenario", "metric"])
    columns = {name: pl.lit(None, kind) for name, kind in SCORES.items() if name not in stated}
    return stated.with_columns(
        **columns
        | {
            "status": pl.when(pl.col("value").is_null())
            .then(pl.lit("not_applicable"))
            .otherwise(pl.lit("scored"))
        }
    ).select(*SCORES.names(), truth_source=pl.lit("stated"))


def outcome_frame(scores: pl.DataFrame, wanted: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Truth and run side by side, a row per recording and metric (:data:`OUTCOMES`)."""
    metrics = _listed(profile_metrics(settings.profile))
    predicted = scores.select("recording", "metric", "margin_s", found="value")
    return (
        wanted.select("recording", "system", "scenario", "metric", "truth_source", truth="value")
        .join(predicted, on=["recording", "metric"], how="left", maintain_order="left")
        .join(metrics, on=["scenario", "metric"], how="left", maintain_order="left")
        .select(pl.col(name).cast(kind) for name, kind in OUTCOMES.items())
    )


def aggregate_frame(scores: pl.DataFrame, wanted: pl.DataFrame, settings: Settings) -> pl.DataFrame:
    """Values of the summary from truth and from the run, over the same recordings."""
    metrics = profile_metrics(settings.profile)
    keys = ["recording", "metric"]
    same = scores.join(wanted.select(keys), on=keys, how="semi", maintain_order="left")
    # Intervals are not looked at: as few resamples as there may be.
    quick = settings.summary.model_copy(update={"resamples": 100})
    truth, predicted = (
        summarize(scored.select(SCORES.names()), metrics, quick) for scored in (wanted, same)
    )
    key = ["system", "scenario", "metric"]
    return (
        truth.select(*key, truth="value", n_truth="n")
        .join(
            predicted.select(*key, found="value", n_found="n"),
            on=key,
            how="left",
            maintain_order="left",
        )
        .join(_listed(metrics), on=["scenario", "metric"], how="left", maintain_order="left")
        .select(pl.col(name).cast(kind) for name, kind in AGGREGATES.items())
    )
