"""Verdicts on how recordings were captured, from stored numbers: fine, warn or refuse.

Every check (:data:`flexi_score.config.health.CHECKS`) has a number, a unit, a limit for a warning
and one for a refusal (``health.CHECK.warn``, ``health.CHECK.refuse``) and a remedy. What was
not measured, or cannot be said of a recording, has no row: a channel without speech has no SNR, an
archive from before a measurement was made does not hold it.
"""

from typing import Final

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.facts import gather_facts
from flexi_score.capture.measures import measure
from flexi_score.config import HealthSettings, Settings
from flexi_score.config.health import CHECKS
from flexi_score.schema import FAILURES, HEALTH
from flexi_score.segment.tracks import Tracks

FINE: Final = "fine"
WARN: Final = "warn"
REFUSE: Final = "refuse"


def check_health(
    reader: ArchiveReader, rows: pl.DataFrame, tracks: Tracks, settings: Settings
) -> pl.DataFrame:
    """Verdicts on the recordings in ``tracks`` (:data:`flexi_score.schema.HEALTH`)."""
    facts = gather_facts(reader, rows, tracks, recognised=settings.extract.asr != "none")
    return judge(measure(facts, settings.health), settings.health)


def unsure_recordings(health: pl.DataFrame) -> pl.Series:
    """Recordings whose boundaries crosstalk leaves less sure, for
    :func:`flexi_score.aggregate.summarize`."""
    left = (pl.col("check") == "crosstalk_left") & (pl.col("verdict") != FINE)
    return health.filter(left)["recording"].unique(maintain_order=True)


def refusals(health: pl.DataFrame, recordings: pl.DataFrame) -> pl.DataFrame:
    """What is refused, and why: :data:`flexi_score.schema.FAILURES` rows of stage ``health``."""
    reasons = (
        health.filter(pl.col("verdict") == REFUSE)
        .group_by("recording", maintain_order=True)
        .agg(reason=_sentence().str.join(" "))
    )
    return (
        recordings.join(reasons, on="recording", how="inner", maintain_order="left")
        .with_columns(
            reason=pl.format(
                "refused by the health gate: {} --no-gate (health.gate=false) scores "
                "it all the same",
                "reason",
            ),
            stage=pl.lit("health"),
            error=pl.lit("Refused"),
        )
        .select(FAILURES.names())
    )


def _sentence() -> pl.Expr:
    return pl.concat_str(
        pl.lit("the ") + pl.col("channel") + " channel: ",
        "detail",
        pl.lit("; "),
        "remedy",
        pl.lit("."),
        ignore_nulls=True,
    )


def judge(measured: pl.DataFrame, settings: HealthSettings) -> pl.DataFrame:
    """Verdicts on measured numbers (:data:`flexi_score.schema.HEALTH`).

    ``measured``: ``recording, check, channel, value, detail``. A value at a limit is beyond it; a
    limit that is null is never reached.
    """
    limits = pl.DataFrame(
        {
            "check": [check.name for check in CHECKS],
            "unit": [check.unit for check in CHECKS],
            "above": [check.worse == "above" for check in CHECKS],
            "title": [check.title for check in CHECKS],
            "remedy": [check.remedy for check in CHECKS],
            WARN: [settings.limit(check.name, "warn") for check in CHECKS],
            REFUSE: [settings.limit(check.name, "refuse") for check in CHECKS],
        },
        schema_overrides={WARN: pl.Float64, REFUSE: pl.Float64},
    )

    def beyond(limit: str) -> pl.Expr:
        over = (pl.col("value") - pl.col(limit)) * pl.when("above").then(1).otherwise(-1)
        return (over >= 0).fill_null(False)

    verdict = (
        pl.when(beyond(REFUSE))
        .then(pl.lit(REFUSE))
        .when(beyond(WARN))
        .then(pl.lit(WARN))
        .otherwise(pl.lit(FINE))
    )
    judged = measured.join(limits, on="check", how="left", maintain_order="left").with_columns(
        verdict=verdict
    )
    crossed = pl.when(pl.col("verdict") == REFUSE).then(REFUSE).otherwise(pl.coalesce(WARN, REFUSE))
    bad = pl.col("verdict") != FINE
    return judged.with_columns(
        threshold=crossed,
        detail=pl.when(bad)
        .then(pl.col("title") + " (" + pl.col("detail") + ")")
        .otherwise("detail"),
        remedy=pl.when(bad).then("remedy"),
    ).select(pl.col(name).cast(kind) for name, kind in HEALTH.items())
