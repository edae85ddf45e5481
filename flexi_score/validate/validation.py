"""A run against truth, in one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from flexi_score.errors import SettingsError
from flexi_score.scoring.run import Run
from flexi_score.segment.tracks import Tracks
from flexi_score.validate.detection import boundary_frame, detection_frame
from flexi_score.validate.events import event_counts
from flexi_score.validate.measures import (
    aggregate_measures,
    boundary_measures,
    detection_measures,
    event_measures,
    metric_measures,
    outcome_measures,
)
from flexi_score.validate.outcomes import aggregate_frame, outcome_frame, truth_scores
from flexi_score.validate.paired import groups_of, pair
from flexi_score.validate.truth import Truth

#: Wider collars would pair what has nothing to do with each other.
MOST_COLLAR_MS = 5000


@dataclass(frozen=True)
class Validation:
    """How far a run is from the truth.

    Attributes
    ----------
    table : polars.DataFrame
        :data:`flexi_score.validate.measures.VALIDATION`, every measure by group.
    detection, boundaries, events, outcomes, aggregates : polars.DataFrame
        What it was added up from, a row per channel, boundary, recording and kind, recording and
        metric, or value of the summary.
    groups : polars.DataFrame
        ``recording, by, level``.
    info : dict
        What was compared and how: counts, names of what is missing, collars, the run's signature.
    """

    table: pl.DataFrame
    detection: pl.DataFrame
    boundaries: pl.DataFrame
    events: pl.DataFrame
    outcomes: pl.DataFrame
    aggregates: pl.DataFrame
    groups: pl.DataFrame
    info: dict[str, Any]

    def _repr_html_(self) -> str:
        import flexi_score  # which draws: results do not know how they are shown

        return flexi_score.validation_html(self)

    def value(
        self, part: str, measure: str, item: str, speaker: str = "all", level: str = "all"
    ) -> float | None:
        """One value of the table; None where it was not measured."""
        rows = self.table.filter(
            part=part, measure=measure, item=item, speaker=speaker, level=level
        )
        return None if rows.is_empty() else rows["value"][0]


def validate(
    run: Run,
    truth: Truth,
    *,
    by: Sequence[str] | None = None,
    collar_ms: int = 200,
    boundary_collar_ms: int = 500,
    speech: Tracks | None = None,
) -> Validation:
    """Compare a run with truth.

    Parameters
    ----------
    run : Run
    truth : Truth
        From :func:`flexi_score.validate.read_truth`.
    by : sequence of str, optional
        What to group by, see :func:`flexi_score.validate.paired.groups_of`; all keys of the
        truth's ``condition`` if not given.
    collar_ms : int
        Events are the same if both their starts and their ends are at most this far apart.
    boundary_collar_ms : int
        Boundaries further apart are not matched.
    speech : Tracks, optional
        The run's speech before bridging (``run.tracks``). Detection and boundaries are
        then compared on speech, with nothing bridged or dropped on either side. If not given,
        on IPUs: the run's against those that its settings make of the true speech.

    Returns
    -------
    Validation
        Over the recordings that both have. Recordings that failed, or that the health gate left
        out, are not counted as missed speech: they are listed in ``info``.

    Raises
    ------
    InputError
        Where run and truth share no recording.
    SettingsError
        For a collar out of range or a key that no recording has.
    """
    for name, collar in (("collar", collar_ms), ("boundary collar", boundary_collar_ms)):
        if not 0 <= collar <= MOST_COLLAR_MS:
            raise SettingsError(f"{name}: found {collar} ms, expected 0 to {MOST_COLLAR_MS} ms")
    settings = run.settings
    paired = pair(run, truth, speech)
    groups, left_out = groups_of(paired, truth, None if by is None else list(by))
    detection = detection_frame(paired, settings)
    boundaries = boundary_frame(paired, settings, boundary_collar_ms)
    events = event_counts(paired, run.events, settings, collar_ms)
    wanted = truth_scores(paired, truth, settings)
    outcomes = outcome_frame(run.scores, wanted, settings)
    aggregates = aggregate_frame(run.scores, wanted, settings)
    table = pl.concat(
        [
            detection_measures(detection, groups),
            boundary_measures(boundaries, groups),
            event_measures(events, groups),
            outcome_measures(outcomes, groups),
            metric_measures(outcomes, groups),
            aggregate_measures(aggregates),
        ]
    )
    info = {
        "compared": len(paired.truth),
        "one_side_only": int((~paired.both).sum()),
        "in_truth_not_in_run": paired.missing,
        "in_run_without_truth": paired.extra,
        "failed_in_run": paired.failed,
        "excluded_in_run": paired.excluded,
        "unreadable_truth": truth.failures.to_dicts(),
        "lengths_differ": paired.lengths_differ,
        "conditions_left_out": left_out,
        "level": "speech" if speech is not None else "ipu",
        "collar_ms": collar_ms,
        "boundary_collar_ms": boundary_collar_ms,
        "profile": settings.profile,
        "ipu.min_silence_ms": settings.ipu.min_silence_ms,
        "ipu.min_speech_ms": settings.ipu.min_speech_ms,
        "signature": str(getattr(run, "info", {}).get("signature", "")),
    }
    return Validation(table, detection, boundaries, events, outcomes, aggregates, groups, info)
