"""From an archive to what can be scored: speech detected, captures checked, the rest set aside."""

from typing import NamedTuple

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.capture.gate import check_health, refusals
from flexi_score.capture.silent import dead_health, find_dead, noisy_systems
from flexi_score.config import Settings
from flexi_score.manifest import check_annotations
from flexi_score.schema import FAILURES
from flexi_score.scoring.corrected import corrected_health
from flexi_score.scoring.given import given_health
from flexi_score.scoring.load import load_tracks
from flexi_score.segment.estimated import estimated_health
from flexi_score.segment.tracks import Tracks, select_tracks


class Prepared(NamedTuple):
    """What of an archive can be scored (:func:`prepare`).

    ``failures`` and ``refused`` are :data:`flexi_score.schema.FAILURES`: what cannot be scored, and
    what the health gate leaves out; ``health`` has its verdicts.
    """

    tracks: Tracks
    failures: pl.DataFrame
    refused: pl.DataFrame
    health: pl.DataFrame


def prepare(
    reader: ArchiveReader,
    rows: pl.DataFrame,
    settings: Settings,
    noisy: frozenset[str] | None = None,
) -> Prepared:
    """Speech of archived recordings, without those that are not to be scored.

    ``noisy``: from :func:`flexi_score.capture.silent.noisy_systems`, where ``rows`` are only a
    share of the run; by default of these rows.
    """
    noisy = noisy_systems(reader, rows) if noisy is None else noisy
    rows, misplaced = _annotated_inside(rows)
    dead = find_dead(reader, rows, noisy, settings)
    tracks, lost = load_tracks(reader, rows, settings, dead)
    health = check_health(reader, rows, tracks, settings)
    health = pl.concat([dead_health(dead), health])
    noted = (estimated_health(tracks.recordings), given_health(tracks.recordings))
    health = pl.concat([health, *noted, corrected_health(reader, rows)])
    refused = FAILURES.to_frame()
    if settings.health.gate:
        refused = refusals(health, tracks.recordings)
    if len(refused):
        out = tracks.recordings["recording"].is_in(refused["recording"].implode())
        tracks = select_tracks(tracks, ~out.to_numpy())
    return Prepared(tracks, pl.concat([misplaced, lost]), refused, health)


def _annotated_inside(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split off the recordings whose annotations lie past their end."""
    messages = check_annotations(rows, rows["duration_ms"].to_numpy().astype(np.int64))
    reason = pl.Series("reason", messages, dtype=pl.String)
    failures = (
        rows.with_columns(reason, stage=pl.lit("manifest"), error=pl.lit("RowError"))
        .filter(reason.is_not_null())
        .select(FAILURES.names())
    )
    return rows.filter(reason.is_null()), failures
