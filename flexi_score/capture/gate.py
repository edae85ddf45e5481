"""Verdicts on how recordings were captured, from stored numbers: fine, warn or refuse.

Every check has a number, a unit, a limit for a warning and one for a refusal (settings
``health.<check>_warn...`` and ``health.<check>_refuse...``; null is never) and a remedy. What was
not measured, or cannot be said of a recording, has no row: a channel without speech has no SNR, an
archive from before a measurement was made does not hold it.
"""

from typing import Final

import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.checks import CHECKS, FINE, REFUSE, WARN
from flexi_score.capture.measures import gather_facts, measure
from flexi_score.config import HealthSettings, Settings
from flexi_score.schema import FAILURES, HEALTH, SPEAKERS
from flexi_score.segment.tracks import Tracks

_SETTINGS: Final = {
    (limit, name.split(f"_{limit}")[0]): name
    for name in HealthSettings.model_fields
    for limit in (WARN, REFUSE)
    if f"_{limit}" in name
}


def check_health(
    reader: ArchiveReader, rows: pl.DataFrame, tracks: Tracks, settings: Settings
) -> pl.DataFrame:
    """Verdicts on recordings.

    Parameters
    ----------
    reader : ArchiveReader
    rows : polars.DataFrame
        :data:`flexi_score.archive.tables.ARCHIVED` rows; those that are not in ``tracks`` are
        ignored.
    tracks : Tracks
        Of these rows, from :func:`~flexi_score.scoring.load.load_tracks`.
    settings : Settings
        Uses ``health``.

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.schema.HEALTH`, recording by recording.
    """
    facts = gather_facts(reader, rows, tracks)
    judged = judge(measure(facts, settings.health), settings.health)
    return pl.concat([find_dead(reader, rows, tracks), judged])


def find_dead(reader: ArchiveReader, rows: pl.DataFrame, tracks: Tracks) -> pl.DataFrame:
    """A row for every dead channel (:data:`flexi_score.schema.HEALTH`); the value is 1.

    A dead channel is no outcome of the gate: loading fails such a recording, unless its speech
    comes from a segment file or ``health.allow_dead`` declares it silent.
    """
    parts = []
    for speaker in SPEAKERS:
        keys = rows[f"{speaker}_key"]
        dead = reader.read("channels", keys.drop_nulls(), ["key", "dead"]).filter("dead")
        parts.append(
            rows.filter(keys.is_in(dead["key"].implode())).select(
                "recording", channel=pl.lit(speaker)
            )
        )
    loaded = pl.col("recording").is_in(tracks.recordings["recording"].implode())
    return (
        pl.concat(parts)
        .with_columns(
            check=pl.lit("dead"),
            value=pl.lit(1.0),
            unit=pl.lit(""),
            threshold=pl.lit(1.0),
            verdict=pl.when(loaded).then(pl.lit(WARN)).otherwise(pl.lit(REFUSE)),
            detail=pl.lit("all samples of the channel are equal: nothing was captured"),
            remedy=pl.lit(
                "capture it again, or, if that party truly sent nothing, set health.allow_dead=true"
            ),
        )
        .select(pl.col(name).cast(kind) for name, kind in HEALTH.items())
    )


def unsure_recordings(health: pl.DataFrame) -> pl.Series:
    """Recordings whose boundaries a leak leaves less sure, for
    :func:`flexi_score.aggregate.summarize`."""
    left = (pl.col("check") == "bleed_left") & (pl.col("verdict") != FINE)
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

    Parameters
    ----------
    measured : polars.DataFrame
        ``recording, check, channel, value, detail``, in any order.
    settings : HealthSettings
        The limits. A value at a limit is beyond it; a limit that is null is never reached.
    """
    limits = pl.DataFrame(
        [
            (
                check.name,
                check.unit,
                check.worse == "above",
                check.title,
                check.remedy,
                *(_limit(settings, limit, check.name) for limit in (WARN, REFUSE)),
            )
            for check in CHECKS
        ],
        schema={
            "check": pl.String,
            "unit": pl.String,
            "above": pl.Boolean,
            "title": pl.String,
            "remedy": pl.String,
            WARN: pl.Float64,
            REFUSE: pl.Float64,
        },
        orient="row",
    )

    def beyond(limit: str) -> pl.Expr:
        worse = (
            pl.when("above")
            .then(pl.col("value") >= pl.col(limit))
            .otherwise(pl.col("value") <= pl.col(limit))
        )
        return worse.fill_null(False)

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


def _limit(settings: HealthSettings, limit: str, check: str) -> float | None:
    value: float | None = getattr(settings, _SETTINGS[limit, check])
    return value
