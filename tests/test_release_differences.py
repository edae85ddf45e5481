"""Where profiles ``paper`` and ``release`` part, and the causes named."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from reference_release import Pair, Sample, build_tracks

from flexi_score.config import load_settings
from flexi_score.metrics import paper
from flexi_score.metrics.release import METRICS, SCORERS
from flexi_score.metrics.release.differences import (
    CAUSES,
    DIFFERENCES,
    FALLBACK,
    PAPER_NAMES,
    explain_differences,
)
from flexi_score.schema import SCORES
from flexi_score.segment.structure import build_structure
from flexi_score.segment.tracks import make_intervals

LATENCY = {"pause_handling.mean_latency_s": 1.0}


def words(start: int, end: int, length: int = 250) -> list[Pair]:
    """Words without a silence between them."""
    return [(a, min(a + length, end)) for a in range(start, end, length)]


def both(*samples: Sample) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Scores under both profiles; speech is where the words (or the given segments) are."""
    tracks = build_tracks(samples)
    user, model = tracks.user_words, tracks.model_words
    tracks = replace(tracks, user_speech=make_intervals(user.rec, user.start_ms, user.end_ms))
    if not len(tracks.model_speech):
        tracks = replace(
            tracks, model_speech=make_intervals(model.rec, model.start_ms, model.end_ms)
        )
    structure = build_structure(tracks, load_settings("paper", LATENCY))
    found: tuple[list[pl.DataFrame], list[pl.DataFrame]] = ([], [])
    for scenario in dict.fromkeys(sample.scenario for sample in samples):
        rec = np.flatnonzero((tracks.recordings["scenario"] == scenario).to_numpy())
        by_paper, by_release = paper.MODULES[scenario].score, SCORERS[scenario]
        found[0].append(by_paper(structure, rec, load_settings("paper", LATENCY), {}))
        found[1].append(by_release(tracks, rec, load_settings("release", LATENCY), {}))
    return pl.concat(found[0]), pl.concat(found[1])


def why(sample: Sample, metric: str) -> tuple[float | None, float | None, str]:
    rows = explain_differences(*both(sample)).filter(metric=metric)
    return rows.select("paper", "release", "why").row(0)


USER = words(0, 4000)
REFERENCE = [0.0] * 50 + [1.0] + [0.0] * 50  # of 20 s: a backchannel at 10 s
KNOWN = [
    (
        Sample("pause_handling", user=USER, pause=(1000, 2000), turn_end=4000),
        "tor",
        0.0,
        None,
        "the release skips a silent model",
    ),
    (
        Sample("pause_handling", user=USER, model=words(1500, 1900), pause=(1000, 2000)),
        "tor",
        0.0,
        1.0,
        "an acknowledgement too",
    ),
    (
        Sample("turn_taking", user=USER, model=[(4200, 4500), (15_000, 15_300)], turn_end=4000),
        "tor",
        0.0,
        1.0,
        "short acknowledgements, however far apart",
    ),
    (
        Sample("turn_taking", user=USER, turn_end=4000, model=[(1500, 1700), *words(5000, 9000)]),
        "jir",
        0.0,
        1.0,
        "also one that does not take the floor",
    ),
    (
        Sample(
            "user_interrupt",
            user=words(5000, 6500),
            interrupt=(5000, 6500),
            model=[*words(3000, 7500), *words(9000, 11_000)],
        ),
        "ttr",
        0.0,
        1.0,
        "talks straight through",
    ),
    (
        Sample(
            "user_interrupt",
            user=words(5000, 6500),
            interrupt=(5000, 6500),
            model=words(9000, 11_000),
        ),
        "ttr",
        None,
        1.0,
        "says nothing during the interruption",
    ),
    (
        Sample(
            "user_interrupt",
            user=words(5000, 6500),
            interrupt=(5000, 6500),
            model=[*words(6000, 6250), *words(9000, 11_000)],
        ),
        "ttr",
        None,
        1.0,
        "does not hold the turn",
    ),
    (
        Sample(
            "user_interrupt",
            user=words(5000, 6500),
            interrupt=(5000, 6500),
            model=words(3000, 5500),
        ),
        "ttr",
        1.0,
        0.0,
        "no word of it starts more than 1 s later",
    ),
    (
        Sample(
            "user_interrupt",
            user=words(5000, 9500),
            interrupt=(5000, 9500),
            model=[*words(3000, 8500), *words(11_000, 13_000)],
        ),
        "ttr",
        1.0,
        0.0,
        "3 s or more of overlapping words",
    ),
    (
        Sample(
            "user_interrupt",
            user=words(5000, 6500),
            interrupt=(5000, 6500),
            rating=4.0,
            model=[*words(3000, 5500), (7000, 7300)],
        ),
        "tss",
        None,
        0.0,
        "a yield without a reply as 0",
    ),
    (
        Sample("model_interrupt", user=USER, model=[(1000, 1300)], turn_end=4000),
        "tor",
        0.0,
        1.0,
        "any first word",
    ),
    (
        Sample(
            "user_backchannel",
            user=[(0, 300), (9000, 9300)],
            backchannels=[(9000, 9300)],
            model=[*words(1000, 3000), *words(6000, 14_000)],
        ),
        "ttr",
        0.0,
        1.0,
        "began before the backchannel",
    ),
    (
        Sample(
            "user_backchannel",
            user=[(0, 300), (9000, 9300)],
            backchannels=[(9000, 9300)],
            model=words(6000, 9600),
        ),
        "ttr",
        1.0,
        0.0,
        "nor one for good",
    ),
    (
        Sample(
            "model_backchannel",
            user=words(0, 18_000),
            turn_end=18_000,
            model_speech=[(3000, 5500), (9000, 9300)],
            reference=REFERENCE,
        ),
        "tor",
        1.0,
        0.0,
        "the last segment alone decides",
    ),
    (
        Sample(
            "model_backchannel",
            user=words(0, 18_000),
            turn_end=18_000,
            model_speech=[(5000, 5300), (10_000, 10_300)],
            reference=REFERENCE,
        ),
        "jsd",
        None,
        None,
        "distance in natural log",
    ),
]


@pytest.mark.parametrize(("sample", "metric", "by_paper", "by_release", "says"), KNOWN)
def test_known_differences_are_named(sample, metric, by_paper, by_release, says):
    values = why(sample, metric)
    if metric != "jsd":
        assert values[:2] == (by_paper, by_release)
    assert says in values[2].split(" (paper: ")[0]


def test_every_row_differs_and_gives_both_reasons():
    samples = [replace(case[0], recording=f"r{n}") for n, case in enumerate(KNOWN)]
    by_paper, by_release = both(*samples)
    found = explain_differences(by_paper, by_release)
    assert found.schema == DIFFERENCES
    assert found.filter(pl.col("paper").eq_missing(pl.col("release"))).is_empty()
    assert found["why"].str.contains(r" \(paper: .+; release: .+\)$").all()
    assert not found.select("recording", "metric").is_duplicated().any()
    # Nothing that differs in more than boundaries is left out.
    keys = ["recording", "metric"]
    rest = by_paper.join(found, on=keys, how="anti").join(by_release, on=keys)
    assert rest.filter((pl.col("value") - pl.col("value_right")).abs() > 0.1).is_empty()
    assert rest.filter(pl.col("value").is_null() != pl.col("value_right").is_null()).is_empty()


def _row(metric: str, value: float | None, scenario: str = "turn_taking") -> pl.DataFrame:
    row = dict.fromkeys(SCORES.names()) | {
        "recording": "r",
        "system": "s",
        "scenario": scenario,
        "metric": metric,
        "value": value,
        "status": "scored",
    }
    return pl.DataFrame([row], schema=SCORES)


def test_times_within_the_tolerance_are_no_change_of_outcome():
    near, far = _row("latency", 0.55), _row("latency", 0.75)
    assert explain_differences(_row("latency", 0.5), near).is_empty()
    assert len(explain_differences(_row("latency", 0.5), far)) == 1
    assert len(explain_differences(_row("latency", 0.5), near, tolerance_s=0.01)) == 1
    assert explain_differences(_row("tor", 1.0), _row("tor", 1.0)).is_empty()


def test_an_unknown_difference_is_not_given_a_cause():
    rows = explain_differences(_row("tor", 1.0, "other"), _row("tor", 0.0, "other"))
    assert rows["why"].to_list() == [
        f"{FALLBACK} (paper: no reason given; release: no reason given)"
    ]


def test_causes_name_metrics_of_both_profiles():
    by_release = {(m.scenario, PAPER_NAMES.get((m.scenario, m.name), m.name)) for m in METRICS}
    by_paper = {(m.scenario, m.name) for m in paper.METRICS}
    named = {(cause.scenario, metric) for cause in CAUSES for metric in cause.metrics}
    assert {pair for pair in named if pair[0]} <= by_release & by_paper
