"""Study design: power and levels of simulated studies, plans worked out on paper, the verb."""

import numpy as np
import polars as pl
import pytest
from factories import make_run, recording_rows
from scipy import stats

from flexi_score.aggregate import COMPARISON, compare_systems, plan_frame
from flexi_score.aggregate.difference import paired_difference, unpaired_difference
from flexi_score.aggregate.plan import look_level, surely
from flexi_score.aggregate.summary import cluster_key
from flexi_score.config import SummarySettings
from flexi_score.errors import SettingsError
from flexi_score.metrics import profile_metrics
from flexi_score.schema import SCORES
from flexi_score.scoring.compare import compare
from flexi_score.scoring.run import read_run

FAST = SummarySettings(resamples=100)


def frame(values, clusters=None):
    names = [f"r{i}" for i in range(len(values))]
    columns = {"recording": names, "value": values, "cluster": clusters or [None] * len(values)}
    return pl.DataFrame(columns, schema_overrides={"cluster": pl.String})


def paired(d, clusters=None):
    return paired_difference(
        frame(np.zeros(len(d)), clusters), frame(d, clusters), "recording", "n", FAST
    )


def test_standard_errors_worked_out_on_paper():
    # d = 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14, variance 14 / 3, over 4.
    assert paired([1.0, 2.0, 3.0, 6.0])["se"] == pytest.approx((14 / 3 / 4) ** 0.5)
    # In clusters {1, 2} and {3, 6}: sums 3 and 9, each 3 off from 6; 2 / 1 * 18 / 16.
    assert paired([1.0, 2.0, 3.0, 6.0], ["a", "a", "b", "b"])["se"] == pytest.approx(1.5)
    found = unpaired_difference(frame([0.0, 2.0]), frame([1.0, 2.0, 3.0]), "n", FAST)
    assert found["se"] == pytest.approx((2 / 2 + 1 / 3) ** 0.5)
    assert np.isnan(paired([1.0])["se"])


def comparison(**columns):
    row = dict.fromkeys(COMPARISON.names()) | {
        "baseline": "a",
        "candidate": "b",
        "scenario": "turn_taking",
        "metric": "latency",
        "test": "paired",
    }
    return pl.DataFrame([row | columns], schema=COMPARISON)


def test_plan_worked_out_on_paper():
    table = comparison(n_pairs=20, se=0.05, effect=-0.1)
    row = plan_frame(table, {}, 0.95).row(0, named=True)
    # 1.959964 + 0.841621 standard errors; (0.140079 / 0.1)^2 * 20 = 39.2.
    assert row["detectable"] == pytest.approx(0.140079, abs=1e-6)
    assert (row["n"], row["difference"], row["asked"], row["needed"]) == (20, 0.1, False, 40)
    asked = plan_frame(table, {"turn_taking.latency": 0.05}, 0.95).row(0, named=True)
    assert (asked["difference"], asked["asked"], asked["needed"]) == (0.05, True, 157)
    loose = comparison(n_baseline=30, n_candidate=20, se=0.05, effect=0.1, test="unpaired")
    assert plan_frame(loose, {}, 0.95).row(0, named=True)["n"] == 20
    for empty in ({"n_pairs": 1, "effect": 0.1}, {"n_pairs": 9, "se": 0.1, "effect": 0.0}):
        assert plan_frame(comparison(**empty), {}, 0.95)["needed"].to_list() == [None]
    with pytest.raises(SettingsError, match="'tor': not compared; expected one of turn_taking"):
        plan_frame(table, {"tor": 0.1}, 0.95)


def test_a_study_of_the_planned_size_has_the_power():
    # Clusters of four alike recordings: what a plan that took them for independent would miss.
    def study(rng, groups, shift):
        own = np.repeat(rng.normal(0, 0.8, groups), 4)
        d = shift + own + rng.normal(0, 0.6, 4 * groups)
        return d, [str(i // 4) for i in range(len(d))]

    pilot = paired(*study(np.random.default_rng(1), 600, 0.5))
    table = comparison(n_pairs=2400, se=pilot["se"], effect=0.4)
    needed = plan_frame(table, {}, 0.95)["needed"][0]
    assert needed == pytest.approx(
        4 * 36, rel=0.1
    )  # (2.8 * sqrt(0.64 + 0.36 / 4) / 0.4)^2 = 36 clusters
    hits = [
        paired(*study(np.random.default_rng(seed), needed // 4, 0.4))["p"] < 0.05
        for seed in range(100, 250)
    ]
    assert 0.7 <= np.mean(hits) <= 0.9


def test_boundaries_are_those_that_are_published():
    # Lan & DeMets' O'Brien-Fleming spending, five looks, two-sided 0.05: 4.877, 3.357, 2.680,
    # 2.290, 2.031 (Jennison & Turnbull 2000; R package ldbounds).
    bounds = [stats.norm.isf(look_level(k, 5) / 2) for k in range(1, 6)]
    assert bounds == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=2e-3)
    assert look_level(1, 1) == pytest.approx(0.05, abs=1e-4)
    for look, looks in ((0, 3), (4, 3)):
        with pytest.raises(SettingsError, match="expected the number of this look"):
            look_level(look, looks)


def test_looks_together_keep_the_level():
    rng, looks = np.random.default_rng(0), 4
    steps = rng.normal(size=(40_000, looks)).cumsum(1) / np.sqrt(np.arange(1, looks + 1))
    p = 2 * stats.norm.sf(np.abs(steps))
    peeking = (p < 0.05).any(1).mean()
    spent = (p < [look_level(k, looks) for k in range(1, looks + 1)]).any(1).mean()
    assert peeking > 0.12
    assert spent == pytest.approx(0.05, abs=0.005)


def test_several_metrics_are_decided_by_holms_steps():
    p = np.array([0.004, 0.03, np.nan, 0.012])
    assert surely(p, 0.05).tolist() == [True, True, False, True]  # 0.05 / 3, / 2, / 1
    assert surely(p, 0.05, (1, 2)).tolist() == [False] * 4  # a third of it, spent: below 0.001
    assert surely(np.array([0.0002, 0.04]), 0.05, (1, 2)).tolist() == [True, False]


def test_conversations_are_resampled_whole_where_the_manifest_names_them():
    def rows(*metadata):
        return recording_rows([{"metadata": text} for text in metadata])

    assert cluster_key(rows('{"session": "a"}', '{"session": "b"}'), FAST) == "session"
    assert cluster_key(rows('{"session": 1, "conversation": 2}', '{"conversation": 3}'), FAST) == (
        "conversation"
    )
    assert cluster_key(rows('{"session": "a"}', '{"session": "a"}'), FAST) is None
    assert cluster_key(rows(None, "{}"), FAST) is None
    assert cluster_key(None, FAST) is None
    assert cluster_key(rows("{}"), SummarySettings(cluster="speaker")) == "speaker"


@pytest.fixture(scope="module")
def two_systems(tmp_path_factory):
    rng = np.random.default_rng(0)
    base = np.repeat(rng.normal(1, 0.5, 12), 2)
    scores = [
        {"recording": f"{system}-{i}", "system": system, "scenario": "turn_taking"}
        | {"metric": "latency", "value": base[i] + shift + rng.normal(0, 0.2), "status": "scored"}
        for system, shift in (("calm", 0.0), ("eager", 0.1))
        for i in range(24)
    ]
    rows = [
        {"recording": r["recording"], "system": r["system"], "scenario": r["scenario"]}
        | {"metadata": f'{{"session": {int(r["recording"].split("-")[1]) // 2}}}'}
        for r in scores
    ]
    run = make_run(
        pl.DataFrame(scores, schema=SCORES), recordings=recording_rows(rows), info={"signature": ""}
    )
    return run.write(tmp_path_factory.mktemp("plan") / "run")


def test_plans_and_looks_at_the_command_line(cli, two_systems):
    told = cli("compare", two_systems, "--plan", "--detect", "latency=0.05", "--look", "1/3")
    assert told.returncode == 0, told.stderr
    table, run = compare(two_systems), read_run(two_systems)
    alone = compare_systems(run.scores, profile_metrics("paper"), run.settings.summary)
    assert alone["se"][0] != pytest.approx(table["se"][0])  # by sessions, which the manifest names
    needed = plan_frame(table, {"latency": 0.05}, 0.95)["needed"][0]
    assert str(needed) in told.stdout
    assert "Look 1/3" in told.stdout
    assert compare(two_systems, look=(1, 3))["verdict"].to_list() == ["undecided"]
    wrong = cli("compare", two_systems, "--look", "2")
    assert wrong.returncode == 2
    assert "expected K/N" in wrong.stderr
