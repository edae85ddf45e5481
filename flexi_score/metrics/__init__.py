"""Every metric of every profile: what it means, and how it is computed."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from flexi_score.config import PROFILES, Settings
from flexi_score.metrics import conversation, eva, fdb_v1, paper, people, release, tau, voice_agent
from flexi_score.metrics.registry import Latencies, Metric
from flexi_score.schema import SCENARIOS, SCORES
from flexi_score.segment.estimated import mark_estimated
from flexi_score.segment.narrow import narrow
from flexi_score.segment.tracks import Ints
from flexi_score.segment.types import Structure

METRICS: tuple[Metric, ...] = (
    *paper.METRICS,
    *release.METRICS,
    *fdb_v1.METRICS,
    *tau.METRICS,
    *voice_agent.METRICS,
    *eva.METRICS,
    *(replace(m, profile=profile) for profile in PROFILES for m in conversation.METRICS),
    *people.METRICS,
)

#: ``score(structure, rec, settings, latency_s)``: rows of :data:`flexi_score.schema.SCORES` of the
#: recordings ``rec``.
Scorer = Callable[[Structure, Ints, Settings, Latencies], pl.DataFrame]

#: Profiles whose metrics are the same in every scenario.
_PANELS: dict[str, Scorer] = {"tau": tau.score, "voice-agent": voice_agent.score, "eva": eva.score}


#: Groups of settings that the scorers of a scenario read, besides those that structure depends on:
#: their scores are the same wherever these are. ``*`` stands for every scenario of a profile.
SETTINGS_READ: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "paper": {
        "pause_handling": ("pause_handling",),
        "user_interrupt": ("yield_",),
        "model_interrupt": ("model_interrupt",),
        "user_backchannel": ("user_backchannel", "yield_"),
        "model_backchannel": ("model_backchannel",),
    },
    "release": {"pause_handling": ("pause_handling",)},
    "fdb-v1": {"user_interrupt": ("fdb",), "user_backchannel": ("fdb",)},
    "tau": {"*": ("tau",)},
    "voice-agent": {"*": ("user_backchannel", "voice_agent", "yield_")},
    "eva": {"*": ("eva",)},
}


def settings_read(profile: str, scenario: str) -> tuple[str, ...]:
    """Groups of settings that the scores of a scenario depend on, besides structure's."""
    read = SETTINGS_READ[profile]
    groups = read.get(scenario, ()) + read.get("*", ())
    return (*groups, "conversation") if scenario == "conversation" else groups


def profile_metrics(profile: str) -> tuple[Metric, ...]:
    """The metrics of one profile, in the order in which they are shown."""
    return tuple(metric for metric in METRICS if metric.profile == profile)


def score_structure(
    structure: Structure,
    settings: Settings,
    latency_s: Latencies | None = None,
    *,
    explain: bool = True,
) -> pl.DataFrame:
    """Scores of all recordings under the profile (:data:`flexi_score.schema.SCORES`).

    ``latency_s``: mean turn_taking latency of each system, from recordings that are not among
    these; by default that of these recordings (:func:`mean_latencies`). Without ``explain`` there
    are no reasons, which cost more than the numbers.
    """
    frames: list[pl.DataFrame] = []
    given = latency_s is not None
    latency_s = latency_s or {}
    for name, scorer, rec in scenario_scorers(
        structure.tracks.recordings, settings.profile, explain=explain
    ):
        frame = scorer(structure, rec, settings, latency_s)
        if name == "turn_taking" and not given:
            latency_s = mean_latencies(frame, settings.profile)
        frames.append(frame)
    scores = pl.concat(frames) if frames else SCORES.to_frame()
    return mark_estimated(scores, structure.tracks.recordings)


def scenario_scorers(
    recordings: pl.DataFrame, profile: str, *, explain: bool = True
) -> list[tuple[str, Scorer, Ints]]:
    """What scores each scenario, and the numbers of its recordings; turn_taking comes first."""
    scenario = recordings["scenario"]
    scorers = []
    for name, scorer in _scorers(profile, explain).items():
        rec: Ints = np.flatnonzero((scenario == name).to_numpy()).astype(np.int64)
        if len(rec):
            scorers.append((name, scorer, rec))
    return scorers


def _scorers(profile: str, explain: bool) -> dict[str, Scorer]:
    """Scorer of each scenario; conversations have the same statistics under every profile."""
    scorers: dict[str, Scorer] = {"conversation": conversation.score}
    if profile in _PANELS:
        scorers = dict.fromkeys(SCENARIOS, _PANELS[profile])
        scorers["conversation"] = _with_conversation(_PANELS[profile])
    elif profile in ("release", "fdb-v1"):
        of_words = release.SCORERS if profile == "release" else fdb_v1.SCORERS
        scorers = {name: _from_words(scorer) for name, scorer in of_words.items()} | scorers
    if not explain:
        scorers = {name: _silent(scorer) for name, scorer in scorers.items()}
    if profile == "paper":
        timed = {
            name: _narrowed(partial(module.score, explain=explain))
            for name, module in paper.MODULES.items()
        }
        scorers = timed | scorers
    return scorers


def _silent(scorer: Scorer) -> Scorer:
    """Without reasons: they are most of a table's size."""
    return lambda structure, rec, settings, latency_s: scorer(
        structure, rec, settings, latency_s
    ).with_columns(reason=pl.lit(None, pl.String))


def _with_conversation(scorer: Scorer) -> Scorer:
    """A panel, and the statistics of a conversation after it."""
    return lambda structure, rec, settings, latency_s: pl.concat(
        [
            scorer(structure, rec, settings, latency_s),
            conversation.score(structure, rec, settings, latency_s),
        ]
    )


def _narrowed(scorer: Scorer) -> Scorer:
    """With the speech of the scenario's own recordings: that of others only costs time."""
    return lambda structure, rec, settings, latency_s: scorer(
        narrow(structure, rec), rec, settings, latency_s
    )


def _from_words(scorer: release.Scorer) -> Scorer:
    """The published scripts look at transcripts alone, not at the structure."""
    return lambda structure, rec, settings, latency_s: scorer(
        structure.tracks, rec, settings, latency_s
    )


def mean_latencies(scores: pl.DataFrame, profile: str) -> dict[str, float]:
    """What pause_handling takes for each system's mean latency (s); empty where it takes none."""
    return _MEAN_LATENCY[profile](scores) if profile in _MEAN_LATENCY else {}


def mean_latency_s(scores: pl.DataFrame) -> dict[str, float]:
    """Mean turn_taking latency of each system that has one (s)."""
    latency = scores.filter((pl.col("scenario") == "turn_taking") & (pl.col("metric") == "latency"))
    means = latency.group_by("system").agg(pl.col("value").mean()).drop_nulls()
    return dict(means.iter_rows())


_MEAN_LATENCY: dict[str, Callable[[pl.DataFrame], dict[str, float]]] = {
    "paper": mean_latency_s,
    "release": release.mean_latency_by_system,
}
