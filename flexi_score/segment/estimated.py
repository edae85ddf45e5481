"""Which recordings have roles that were estimated from one channel, and saying so."""

from typing import Final

import polars as pl

from flexi_score.schema import HEALTH

CHECK: Final = "roles_estimated"
_REMEDY: Final = (
    "record each party on its own channel; from one channel, who speaks when is an estimate, and "
    "which voice is the user a rule (extract.mono_roles)"
)


def estimated_recordings(recordings: pl.DataFrame) -> pl.DataFrame:
    """Recordings whose roles are estimates: ``estimated_by`` names the models and the rule."""
    if "estimated_by" not in recordings.columns:
        return recordings.clear()
    return recordings.filter(pl.col("estimated_by").is_not_null())


def mark_estimated(scores: pl.DataFrame, recordings: pl.DataFrame) -> pl.DataFrame:
    """Scores with ``source: estimated`` wherever the roles are, whatever they look at."""
    names = estimated_recordings(recordings)["recording"]
    if not len(names):
        return scores
    own = pl.col("recording").is_in(names.implode())
    return scores.with_columns(source=pl.when(own).then(pl.lit("estimated")).otherwise("source"))


def estimated_health(recordings: pl.DataFrame) -> pl.DataFrame:
    """A warning for each such recording (:data:`flexi_score.schema.HEALTH`)."""
    estimated = estimated_recordings(recordings)
    if not len(estimated):
        return HEALTH.to_frame()
    return estimated.select(
        "recording",
        check=pl.lit(CHECK),
        channel=pl.lit(None, pl.String),
        value=pl.lit(None, pl.Float64),
        unit=pl.lit(""),
        threshold=pl.lit(None, pl.Float64),
        verdict=pl.lit("warn"),
        detail=pl.format("one channel, roles by {}", "estimated_by"),
        remedy=pl.lit(_REMEDY),
    ).cast(HEALTH)


def estimated_note(recordings: pl.DataFrame) -> list[str]:
    """A sentence for readers of a summary; none where nothing was estimated."""
    estimated = estimated_recordings(recordings)
    if not len(estimated):
        return []
    by = "; ".join(sorted(set(estimated["estimated_by"])))
    return [
        f"Estimated: {len(estimated)} of {len(recordings)} recordings have one channel. Who speaks "
        f"when, and who of the two is the user, was estimated ({by}); their values are estimates "
        "(source: estimated in scores.parquet)."
    ]
