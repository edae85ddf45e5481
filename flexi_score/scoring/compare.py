"""Runs against each other: systems of one run, or further runs with the first."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from flexi_score.aggregate import compare_runs, compare_systems
from flexi_score.errors import SettingsError
from flexi_score.scoring.run import Run


def compare(
    first: str | Path | Run,
    *others: str | Path | Run,
    systems: Sequence[tuple[str, str]] | None = None,
    pair_by: str | None = None,
    look: tuple[int, int] | None = None,
) -> pl.DataFrame:
    """Compare the systems of one run, or every further run with the first.

    Paired permutation tests on the recordings that both sides have, effects with intervals, Holm's
    correction over the metrics.

    Parameters
    ----------
    first, *others : path or Run
        Runs of one profile.
    systems : sequence of (str, str), optional
        Of one run: baselines and candidates; by default every pair.
    pair_by : str, optional
        Metadata key that pairs recordings of different ids.
    look : (int, int), optional
        Where a comparison is looked at while recordings still come in: the number of this look, and
        of all that are planned, equally spaced. Verdicts then spend alpha over the looks
        (:func:`flexi_score.aggregate.plan.look_level`).

    Returns
    -------
    polars.DataFrame
        :data:`flexi_score.aggregate.COMPARISON`.

    Raises
    ------
    SettingsError
        For runs of different profiles, or a system or key that no recording has.
    InputError
        For a folder that is no run.

    Examples
    --------
    >>> import flexi_score as fs
    >>> fs.compare("baseline.run", "candidate.run")  # doctest: +SKIP
    """
    runs = [run if isinstance(run, Run) else Run.open(run) for run in (first, *others)]
    base = runs[0]
    for run in runs[1:]:
        if run.settings.profile != base.settings.profile:
            raise SettingsError(
                f"{base.name} is of profile {base.settings.profile}, {run.name} of "
                f"{run.settings.profile}: score both with the same --profile"
            )
    shown = base.settings.summary
    if len(runs) == 1:
        pairs = None if systems is None else list(systems)
        return compare_systems(
            base.scores,
            base.metrics,
            shown,
            pairs,
            recordings=base.recordings,
            pair_by=pair_by,
            look=look,
        )
    names = _names(runs)
    return pl.concat(
        compare_runs(
            base.scores,
            run.scores,
            base.metrics,
            shown,
            names=(names[0], name),
            recordings=(base.recordings, run.recordings),
            pair_by=pair_by,
            look=look,
        )
        for name, run in zip(names[1:], runs[1:], strict=True)
    )


def _names(runs: Sequence[Run]) -> list[str]:
    """Names of the runs, by their folders; the whole path where two are called the same."""
    names = [run.name for run in runs]
    if len(set(names)) == len(names):
        return names
    return [str(run.folder or f"{run.name} {k}") for k, run in enumerate(runs, 1)]
