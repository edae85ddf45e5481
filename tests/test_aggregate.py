"""Intervals, summaries, comparisons and gates, against slow obvious references."""

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy import stats

from flexi_score.aggregate import (
    bootstrap_mean,
    check_gates,
    cluster_labels,
    compare_runs,
    compare_systems,
    holm,
    parse_gate,
    quantiles,
    summarize,
    wilson,
    with_failures,
)
from flexi_score.aggregate.difference import permutation_p, sign_flip_p
from flexi_score.aggregate.intervals import bootstrap_ratio, effective_size, generator
from flexi_score.config import SummarySettings
from flexi_score.errors import SettingsError
from flexi_score.metrics.registry import Metric
from flexi_score.schema import FAILURES, RECORDINGS, SCORES, SUMMARY

FAST = SummarySettings(resamples=400)


def metric(scenario, name, aggregate="rate", direction="up", judged=False):
    return Metric("paper", scenario, name, name, "", direction, aggregate, "", "", "", judged)


METRICS = [
    metric("turn_taking", "tor"),
    metric("turn_taking", "latency", "mean", "down"),
    metric("turn_taking", "floor_offset", "mean", "none"),
    metric("pause_handling", "tor", direction="down"),
    metric("user_interrupt", "tss", "mean", judged=True),
    metric("user_interrupt", "ttr"),
    metric("model_backchannel", "backchannels", "sum", "none"),
]


def score(recording, name, value, system="a", scenario="turn_taking", status="scored"):
    return {
        "recording": recording,
        "system": system,
        "scenario": scenario,
        "metric": name,
        "value": value,
        "status": status,
    }


def frame(rows):
    return pl.DataFrame(rows, schema=SCORES)


def failure(recording, system="a", scenario="turn_taking"):
    return {
        "recording": recording,
        "system": system,
        "scenario": scenario,
        "stage": "audio",
        "error": "AudioError",
        "reason": "x.wav: not audio",
    }


def recordings_of(metadata):
    base = dict.fromkeys(RECORDINGS.names())
    rows = [{**base, "recording": r, "metadata": m} for r, m in metadata.items()]
    return pl.DataFrame(rows, schema=RECORDINGS)


def wilson_textbook(k, n, z):
    p = k / n
    low = (2 * n * p + z * z - z * math.sqrt(z * z + 4 * n * p * (1 - p))) / (2 * (n + z * z))
    high = (2 * n * p + z * z + z * math.sqrt(z * z + 4 * n * p * (1 - p))) / (2 * (n + z * z))
    return low, high


# ---- intervals


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(5, 10, 0.2366, 0.7634), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_known_values(k, n, low, high):
    got = wilson([k], [n])
    assert got[0][0] == pytest.approx(low, abs=5e-5)
    assert got[1][0] == pytest.approx(high, abs=5e-5)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), min_size=1, max_size=20))
def test_wilson_is_the_textbook_formula(pairs):
    k = [min(a, b) for a, b in pairs]
    n = [b for _, b in pairs]
    low, high = wilson(k, n, 0.95)
    for i in range(len(k)):
        want = wilson_textbook(k[i], n[i], 1.959963984540054)
        assert low[i] == pytest.approx(want[0], abs=1e-12)
        assert high[i] == pytest.approx(want[1], abs=1e-12)
        assert 0 <= low[i] <= k[i] / n[i] <= high[i] <= 1


def test_wilson_of_nothing_is_nan():
    assert np.isnan(wilson([0], [0])).all()


def test_bootstrap_mean_is_scipys_bca():
    x = np.random.default_rng(1).gamma(1.5, 0.4, 40)
    ours = bootstrap_mean(x, ["g"] * 40, settings=SummarySettings(resamples=40_000))
    theirs = stats.bootstrap(
        (x,), np.mean, method="BCa", n_resamples=40_000, rng=np.random.default_rng(0)
    ).confidence_interval
    assert ours[0][0] == pytest.approx(theirs.low, abs=0.005)
    assert ours[1][0] == pytest.approx(theirs.high, abs=0.005)


def test_bootstrap_covers_about_as_often_as_it_says():
    rng = np.random.default_rng(5)
    runs, n = 400, 50
    x = rng.normal(1.0, 0.5, (runs, n))
    groups = np.repeat(np.arange(runs), n)
    low, high = bootstrap_mean(x.ravel(), groups, settings=SummarySettings(resamples=800))
    covered = np.mean((low <= 1.0) & (high >= 1.0))
    assert 0.90 <= covered <= 0.985


def test_clusters_widen_the_interval():
    rng = np.random.default_rng(2)
    session = np.repeat(np.arange(12), 20)
    x = rng.normal(0, 1, 12)[session] + rng.normal(0, 0.1, 240)
    plain = bootstrap_mean(x, ["g"] * 240)
    clustered = bootstrap_mean(x, ["g"] * 240, session)
    assert (clustered[1] - clustered[0])[0] > 3 * (plain[1] - plain[0])[0]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.floats(-5, 5), st.integers(0, 3)),
        min_size=1,
        max_size=30,
    ),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_intervals_ignore_other_groups_and_row_order(rows, shuffler, clustered):
    def run(rows):
        keys = [r[0] for r in rows]
        cl = [str(r[2]) for r in rows] if clustered else None
        low, high = bootstrap_mean(
            [r[1] for r in rows], keys, cl, settings=SummarySettings(resamples=100)
        )
        return {key: (low[i], high[i]) for i, key in enumerate(dict.fromkeys(keys))}

    whole = run(rows)
    mixed = list(rows)
    shuffler.shuffle(mixed)
    again = run(mixed)
    for key in {r[0] for r in rows}:
        alone = run([r for r in rows if r[0] == key])
        np.testing.assert_allclose(whole[key], alone[key], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(whole[key], again[key], rtol=1e-9, atol=1e-12)


def test_bootstrap_of_little():
    low, high = bootstrap_mean(
        [1.0, np.nan, 2.0, 2.0, 3.0], ["one", "none", "same", "same", "one2"]
    )
    np.testing.assert_array_equal(low, [np.nan, np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(high, [np.nan, np.nan, 2.0, np.nan])
    low, _ = bootstrap_mean([1.0, 2.0, 3.0], ["g"] * 3, ["same"] * 3)
    assert np.isnan(low).all()  # one cluster says nothing about others


def test_seed_changes_the_draws_and_only_them():
    x = np.random.default_rng(0).normal(size=30)
    a, b, c = (
        bootstrap_mean(x, ["g"] * 30, settings=SummarySettings(seed=s))[0][0] for s in (0, 0, 1)
    )
    assert a == b
    assert a != c
    assert generator(0, "x").random() != generator(0, "y").random()


def test_effective_size():
    same = np.repeat([0.0, 1.0], 20)  # two sessions that agree within themselves
    size = effective_size(same, ["g"] * 40, np.repeat(["s", "t"], 20))
    assert size[0] == pytest.approx(1.0)
    alternating = effective_size([0.0, 1.0] * 20, ["g"] * 40, np.repeat(np.arange(20), 2))
    assert alternating[0] == 40  # never more than there are


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=12))
def test_holm_is_the_loop(p):
    got = holm(p)
    known = sorted((v, i) for i, v in enumerate(p) if not math.isnan(v))
    highest = 0.0
    for rank, (value, i) in enumerate(known):
        highest = min(1.0, max(highest, value * (len(known) - rank)))
        assert got[i] == pytest.approx(highest)
    assert all(math.isnan(got[i]) for i, v in enumerate(p) if math.isnan(v))


# ---- permutation tests


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flips_are_the_enumeration(differences):
    d = np.array(differences, float) / 10
    signs = list(itertools.product([1, -1], repeat=len(d)))
    extreme = sum(
        abs(sum(s * v for s, v in zip(sign, d, strict=True))) >= abs(d.sum()) - 1e-9
        for sign in signs
    )
    want = extreme / len(signs)
    assert sign_flip_p(d, np.random.default_rng(0)) == pytest.approx(want)
    if np.count_nonzero(d) > 3:  # too many patterns for 7: drawn at random instead
        drawn = sign_flip_p(d, np.random.default_rng(0), 7)
        assert 1 / 8 <= drawn <= 1


def test_random_sign_flips_agree_with_the_exact_test():
    d = np.random.default_rng(4).normal(0.35, 1, 12)
    exact = sign_flip_p(d, np.random.default_rng(0), 10_000)
    drawn = sign_flip_p(d, np.random.default_rng(0), 4_000)
    assert drawn == pytest.approx(exact, abs=0.03)


def test_permutation_p_is_the_enumeration():
    a, b = np.array([0.1, 0.5, 0.4, 0.2]), np.array([0.6, 0.9, 0.3, 0.8, 0.7])
    pooled = np.concatenate([a, b])
    observed = abs(b.mean() - a.mean())
    extreme = total = 0
    for chosen in itertools.combinations(range(9), 4):
        left = pooled[list(chosen)]
        right = np.delete(pooled, chosen)
        total += 1
        extreme += abs(right.mean() - left.mean()) >= observed - 1e-12
    ones = (np.ones(4), np.ones(5))
    got = permutation_p((a, b), ones, np.random.default_rng(0), 20_000)
    assert got == pytest.approx(extreme / total, abs=0.01)


def test_p_values_of_nothing():
    rng = np.random.default_rng(0)
    none = np.empty(0)
    assert math.isnan(sign_flip_p(none, rng))
    assert sign_flip_p(np.zeros(5), rng) == 1.0
    assert math.isnan(permutation_p((none, np.ones(2)), (none, np.ones(2)), rng))


# ---- summary


def test_summary_rates_means_sums_and_statuses():
    scores = frame(
        [score(f"r{i}", "tor", float(i < 7)) for i in range(9)]
        + [score("r9", "tor", 0.0, status="silent"), score("r10", "tor", None, status="excluded")]
        + [score(f"r{i}", "latency", 0.1 * i) for i in range(7)]
        + [score(f"r{i}", "latency", None, status="not_applicable") for i in range(7, 10)]
        + [score(f"b{i}", "backchannels", 2.0, scenario="model_backchannel") for i in range(3)]
    )
    table = summarize(scores, METRICS, FAST)
    assert table.schema == SUMMARY
    tor, latency, count = table.rows(named=True)
    assert (tor["metric"], latency["metric"], count["metric"]) == ("tor", "latency", "backchannels")
    assert (tor["value"], tor["n"], tor["numerator"], tor["denominator"]) == (0.7, 10, 7.0, 10.0)
    low, high = wilson([7], [10])
    assert (tor["ci_low"], tor["ci_high"]) == (pytest.approx(low[0]), pytest.approx(high[0]))
    assert [tor[s] for s in ("scored", "silent", "not_applicable", "excluded", "failed")] == [
        9,
        1,
        0,
        1,
        0,
    ]
    assert latency["value"] == pytest.approx(0.3)
    assert (latency["n"], latency["not_applicable"]) == (7, 3)
    assert latency["ci_low"] < 0.3 < latency["ci_high"]
    assert (count["value"], count["numerator"], count["denominator"]) == (6.0, 6.0, 3.0)
    assert count["ci_low"] is None


def test_summary_keeps_unscored_metrics_and_never_says_zero():
    scores = frame([score("r", "tss", None, scenario="user_interrupt", status="failed")])
    (row,) = summarize(scores, METRICS, FAST).rows(named=True)
    assert row["value"] is None
    assert (row["ci_low"], row["n"], row["failed"]) == (None, 0, 1)


def test_summary_order_and_nan():
    scores = frame(
        [
            score("1", "ttr", 1.0, "z", "user_interrupt"),
            score("2", "tor", math.nan, "b"),
            score("3", "tor", 1.0, "z"),
            score("4", "unheard_of", 3.0, "z"),
            score("5", "latency", 0.4, "b"),
        ]
    )
    table = summarize(scores, METRICS, FAST)
    assert table.select("system", "metric").rows() == [
        ("z", "tor"),
        ("z", "ttr"),
        ("z", "unheard_of"),
        ("b", "tor"),
        ("b", "latency"),
    ]
    assert table["value"].to_list() == [1.0, 1.0, 3.0, None, 0.4]
    assert table["ci_low"].to_list()[4] is None  # one recording has no interval


def test_summary_of_no_scores():
    table = summarize(frame([]), METRICS, FAST)
    assert table.schema == SUMMARY
    assert table.is_empty()
    assert quantiles(frame([]), METRICS, FAST).is_empty()


def test_failures_count_under_each_metric_once():
    scores = frame(
        [
            score("r0", "tor", 1.0),
            score("r0", "latency", 0.2),
            score("r1", "tor", None, status="failed"),
        ]
    )
    failures = pl.DataFrame(
        [
            failure("r1"),
            failure("r2"),
            failure("r3", "new", "user_interrupt"),
            failure("r4", scenario="nonsense"),
            failure("r5", "new", None),
        ],
        schema=FAILURES,
    )
    table = summarize(scores, METRICS, FAST, failures=failures)
    counts = {(r["system"], r["metric"]): r["failed"] for r in table.iter_rows(named=True)}
    # tss needs a judge, and none was asked; floor_offset was not scored in this run.
    assert counts == {
        ("a", "tor"): 2,
        ("a", "latency"): 2,
        ("a", "recording"): 1,  # a scenario without metrics: counted all the same
        ("new", "ttr"): 1,
        ("new", "recording"): 1,
    }
    whole = with_failures(scores, failures, METRICS)
    assert_frame_equal(with_failures(whole, failures, METRICS), whole)
    assert whole.filter(pl.col("recording") == "r2")["reason"].to_list() == ["x.wav: not audio"] * 2


def test_two_profiles_at_once_are_refused():
    with pytest.raises(ValueError, match=r"turn_taking\.tor twice"):
        summarize(frame([score("r", "tor", 1.0)]), [METRICS[0], METRICS[0]], FAST)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["s", "t", "u"]),
            st.sampled_from(["tor", "latency"]),
            st.one_of(st.none(), st.sampled_from([0.0, 1.0])),
        ),
        max_size=40,
    )
)
def test_summary_is_the_loop(rows):
    scores = frame([score(f"r{i}", m, v, s) for i, (s, m, v) in enumerate(rows)])
    table = summarize(scores, METRICS, SummarySettings(resamples=100))
    assert table["system"].unique(maintain_order=True).to_list() == list(
        dict.fromkeys(r[0] for r in rows)
    )
    for row in table.iter_rows(named=True):
        mine = [v for s, m, v in rows if (s, m) == (row["system"], row["metric"])]
        known = [v for v in mine if v is not None]
        assert row["n"] == len(known)
        assert row["scored"] == len(mine)
        assert row["value"] == (pytest.approx(sum(known) / len(known)) if known else None)
        wants = bool(known) if row["metric"] == "tor" else len(known) > 1
        assert (row["ci_low"] is not None) == wants
        if row["ci_low"] is not None:
            assert row["ci_low"] - 1e-12 <= row["value"] <= row["ci_high"] + 1e-12


def test_clusters_from_metadata():
    scores = frame([score(f"r{i}", "tor", float(i < 4)) for i in range(8)])
    meta = {f"r{i}": f'{{"ses.s\\"ion": {i // 4}}}' for i in range(7)} | {"r7": None}
    recordings = recordings_of(meta)
    labels = cluster_labels(scores, recordings, 'ses.s"ion')
    assert labels.to_list() == ["key:0"] * 4 + ["key:1"] * 3 + ["recording:r7"]
    plain = summarize(scores, METRICS, FAST).row(0, named=True)
    clustered = summarize(scores, METRICS, FAST, labels).row(0, named=True)
    assert clustered["value"] == plain["value"]
    assert clustered["ci_high"] - clustered["ci_low"] > plain["ci_high"] - plain["ci_low"]
    with pytest.raises(SettingsError, match="did you mean"):
        cluster_labels(scores, recordings, "session")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 9)), st.sampled_from([0.0, 0.5, 2.0])),
        min_size=1,
        max_size=12,
    )
)
def test_a_ratio_is_total_over_total(rows):
    per_minute = metric("conversation", "per_minute", "ratio", "none")
    scores = frame(
        [score(f"r{i}", "per_minute", v) | {"weight": w} for i, (v, w) in enumerate(rows)]
    )
    (row,) = summarize(scores, [per_minute], FAST).rows(named=True)
    known = [(v, w) for v, w in rows if v is not None]
    total, weight = sum(v * w for v, w in known), sum(w for _, w in known)
    assert row["denominator"] == pytest.approx(weight)
    assert row["value"] == (pytest.approx(total / weight) if weight else None)
    assert (row["ci_low"] is not None) == (sum(w > 0 for _, w in known) > 1)
    gate = parse_gate("per_minute.value >= 4", [per_minute])
    trips = bool(check_gates([gate], scores, [per_minute]))
    if weight and abs(total / weight - 4) > 1e-6:
        assert trips == (total / weight > 4)


def test_bootstrap_ratio_is_plain_resampling():
    rng = np.random.default_rng(8)
    minutes = rng.uniform(0.2, 3, 50)
    count = rng.poisson(4 * minutes).astype(float)
    low, high = bootstrap_ratio(
        count, minutes, ["g"] * 50, settings=SummarySettings(resamples=8_000)
    )
    drawn = []
    for _ in range(8_000):
        pick = rng.integers(0, 50, 50)
        drawn.append(count[pick].sum() / minutes[pick].sum())
    want = np.quantile(drawn, [0.025, 0.975])
    assert low[0] == pytest.approx(want[0], abs=0.06)
    assert high[0] == pytest.approx(want[1], abs=0.06)


def test_quantiles():
    scores = frame(
        [score(f"r{i}", "latency", float(i)) for i in range(101)]
        + [score(f"r{i}", "tor", 1.0) for i in range(101)]
    )
    table = quantiles(scores, METRICS, FAST)
    assert table["q"].to_list() == [0.5, 0.9, 0.95]
    assert table["value"].to_list() == [50.0, 90.0, 95.0]
    assert (table["ci_low"] < table["value"]).all()
    assert (table["ci_high"] > table["value"]).all()


# ---- comparison


def two_systems(n=40, shift=0.5, ids=("{s}-{i}", "{s}-{i}"), seed=0):
    rng = np.random.default_rng(seed)
    base = rng.gamma(2, 0.5, n)
    rows = []
    for system, form, move in zip(("calm", "eager"), ids, (0.0, shift), strict=True):
        for i in range(n):
            name = form.format(s=system, i=i)
            rows.append(score(name, "latency", base[i] + move + rng.normal(0, 0.05), system))
            rows.append(score(name, "floor_offset", base[i] + move, system))
            rows.append(score(name, "tor", float(i % 4 > 0), system))
    return frame(rows)


def test_systems_of_one_run_are_paired_by_id_without_the_name():
    table = compare_systems(two_systems(), METRICS, FAST)
    rows = {r["metric"]: r for r in table.iter_rows(named=True)}
    assert set(table["test"]) == {"paired"}
    assert set(table["paired_by"]) == {"recording without system"}
    latency = rows["latency"]
    assert (latency["baseline"], latency["candidate"]) == ("calm", "eager")
    assert latency["effect"] == pytest.approx(0.5, abs=0.03)
    assert latency["ci_low"] < latency["effect"] < latency["ci_high"]
    assert latency["p"] == pytest.approx(1 / 10_001)
    assert latency["p_holm"] == pytest.approx(3 * latency["p"])
    assert latency["verdict"] == "worse"  # latency is better when lower
    assert rows["floor_offset"]["verdict"] == "differs"
    assert rows["tor"]["verdict"] == "undecided"
    assert rows["tor"]["p"] == 1.0
    back = compare_systems(two_systems(), METRICS, FAST, [("eager", "calm")])
    assert dict(zip(back["metric"], back["verdict"], strict=True))["latency"] == "better"


def test_unpaired_where_ids_have_nothing_in_common():
    scores = two_systems(ids=("x{i}", "y{i}"))
    table = compare_systems(scores, METRICS, FAST)
    assert set(table["test"]) == {"unpaired"}
    assert table["paired_by"].null_count() == len(table)
    row = table.filter(pl.col("metric") == "latency").row(0, named=True)
    assert row["effect"] == pytest.approx(row["value_candidate"] - row["value_baseline"])
    paired = compare_systems(two_systems(), METRICS, FAST)
    assert row["p"] > paired.filter(pl.col("metric") == "latency")["p"].item()


def test_pairing_by_metadata():
    scores = two_systems(ids=("x{i}", "y{i}"))
    recordings = recordings_of(
        {f"{side}{i}": f'{{"item": "q{i}"}}' for side in "xy" for i in range(40)}
    )
    table = compare_systems(scores, METRICS, FAST, recordings=recordings, pair_by="item")
    assert set(table["paired_by"]) == {"item"}
    assert set(table["n_pairs"]) == {40}
    with pytest.raises(SettingsError, match="did you mean 'item'"):
        compare_systems(scores, METRICS, FAST, recordings=recordings, pair_by="itme")
    with pytest.raises(SettingsError, match="recordings"):
        compare_systems(scores, METRICS, FAST, pair_by="item")


def test_runs_are_paired_by_recording_and_only_on_shared_values():
    a = two_systems().filter(pl.col("system") == "calm")
    b = a.with_columns(
        value=pl.when((pl.col("metric") == "latency") & (pl.col("recording") != "calm-0"))
        .then(pl.col("value") - 0.2)
        .when(pl.col("metric") == "tor")
        .then("value")
    )
    table = compare_runs(a, b, METRICS, FAST, names=("old", "new"))
    row = table.filter(pl.col("metric") == "latency").row(0, named=True)
    assert (row["baseline"], row["candidate"]) == ("old/calm", "new/calm")
    assert (row["n_baseline"], row["n_candidate"], row["n_pairs"]) == (40, 39, 39)
    assert row["effect"] == pytest.approx(-0.2)
    assert row["verdict"] == "better"
    gone = table.filter(pl.col("metric") == "floor_offset").row(0, named=True)
    assert (gone["n_pairs"], gone["effect"], gone["p"], gone["verdict"]) == (
        0,
        None,
        None,
        "undecided",
    )


def test_clusters_are_flipped_together():
    scores = two_systems()
    recordings = recordings_of(
        {f"{s}-{i}": f'{{"session": {i // 10}}}' for s in ("calm", "eager") for i in range(40)}
    )
    settings = SummarySettings(resamples=400, cluster="session")
    table = compare_systems(scores, METRICS, settings, recordings=recordings)
    row = table.filter(pl.col("metric") == "latency").row(0, named=True)
    assert row["p"] == pytest.approx(2 / 2**4)  # four sessions cannot say more
    assert row["verdict"] == "undecided"


def test_a_comparison_does_not_depend_on_the_other_metrics():
    scores = two_systems(shift=0.02)
    whole = compare_systems(scores, METRICS, FAST)
    part = compare_systems(scores.filter(pl.col("metric") == "latency"), METRICS, FAST)
    columns = ["effect", "ci_low", "ci_high", "p"]
    assert_frame_equal(
        whole.filter(pl.col("metric") == "latency").select(columns), part.select(columns)
    )


def test_same_system_twice_finds_nothing_often_enough():
    p = [
        compare_systems(two_systems(20, 0.0, seed=s), METRICS[:2], FAST)
        .filter(pl.col("metric") == "latency")["p"]
        .item()
        for s in range(40)
    ]
    assert np.mean(np.array(p) < 0.05) <= 0.2
    assert 0.2 < np.mean(p) < 0.8


def test_comparisons_that_cannot_be():
    one = frame([score("r", "tor", 1.0)])
    with pytest.raises(SettingsError, match="one system"):
        compare_systems(one, METRICS, FAST)
    with pytest.raises(SettingsError, match="no system 'zz'"):
        compare_systems(two_systems(4), METRICS, FAST, [("calm", "zz")])
    with pytest.raises(SettingsError, match="share no system"):
        compare_runs(two_systems(4), one, METRICS, FAST)
    renamed = compare_runs(one, one.with_columns(system=pl.lit("b")), METRICS, FAST)
    assert renamed["test"].to_list() == ["paired"]


# ---- gates


def test_gate_grammar():
    gate = parse_gate("latency.p90 > +0.1", METRICS)
    assert (gate.scenario, gate.metric, gate.statistic) == (None, "latency", "p90")
    assert (gate.comparator, gate.threshold, gate.relative) == (">", 0.1, True)
    gate = parse_gate(" turn_taking.tor<0.9 ", METRICS)
    assert (gate.scenario, gate.statistic, gate.threshold, gate.relative) == (
        "turn_taking",
        "value",
        0.9,
        False,
    )
    assert parse_gate("tor <= -.05", METRICS).threshold == -0.05


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("latencey.p90 > 1", "did you mean 'latency'"),
        ("turn_taking.latensy > 1", "did you mean 'turn_taking.latency'"),
        ("turn_taking.ttr > 1", "unknown metric"),
        ("latency.meen > 1", "did you mean 'mean'"),
        ("latency.p0 > 1", "p1 to p99"),
        ("latency = 1", "expected"),
        ("latency > nan", "expected"),
        ("", "expected"),
        ("latency > 1 and more", "expected"),
    ],
)
def test_bad_gates(text, hint):
    with pytest.raises(SettingsError, match=hint):
        parse_gate(text, METRICS)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=12),
    st.sampled_from(["mean", "median", "p10", "p90", "min", "max", "n"]),
    st.sampled_from([">", ">=", "<", "<="]),
    st.floats(0, 3),
)
def test_absolute_gates_are_numpy(values, statistic, comparator, threshold):
    scores = frame([score(f"r{i}", "latency", v) for i, v in enumerate(values)])
    x = np.array(values)
    want = {
        "mean": x.mean(),
        "median": np.median(x),
        "p10": np.quantile(x, 0.1),
        "p90": np.quantile(x, 0.9),
        "min": x.min(),
        "max": x.max(),
        "n": len(x),
    }[statistic]
    number = f"{threshold:.6f}"
    gate = parse_gate(f"latency.{statistic} {comparator} {number}", METRICS)
    trips = bool(check_gates([gate], scores, METRICS))
    if abs(want - float(number)) > 1e-6:
        assert trips == ((want > float(number)) == (">" in comparator))


def test_relative_gates():
    old = frame([score(f"r{i}", "latency", 0.5) for i in range(4)])
    new = old.with_columns(value=pl.lit(0.6))
    gates = [
        parse_gate("latency.mean > +0.1", METRICS),
        parse_gate("latency >= +0.1", METRICS),
        parse_gate("latency > +0.05", METRICS),
        parse_gate("latency < -0.05", METRICS),
    ]
    tripped = check_gates(gates, new, METRICS, old)
    assert [t.gate.text for t in tripped] == ["latency >= +0.1", "latency > +0.05"]
    assert "went from 0.5 to 0.6 (+0.1)" in tripped[0].message
    assert check_gates(gates, old, METRICS, old) == []
    with pytest.raises(SettingsError, match="baseline"):
        check_gates(gates, new, METRICS)


def test_a_gate_that_cannot_be_evaluated_trips():
    gate = parse_gate("latency > 5", METRICS)
    empty = frame([score("r", "latency", None, status="failed")])
    assert "has no value" in check_gates([gate], empty, METRICS)[0].message
    assert "no recording" in check_gates([gate], frame([]), METRICS)[0].message
    relative = parse_gate("latency > +5", METRICS)
    assert check_gates([relative], empty, METRICS, empty) == []
    known = frame([score("r", "latency", 1.0)])
    assert "no value" in check_gates([relative], known, METRICS, empty)[0].message


def test_gates_cover_every_system_and_scenario():
    scores = frame(
        [
            score("1", "tor", 0.0, "a"),
            score("2", "tor", 1.0, "b"),
            score("3", "tor", 0.0, "b", "pause_handling"),
        ]
    )
    found = check_gates([parse_gate("tor < 0.5", METRICS)], scores, METRICS)
    assert {(t.system, t.scenario) for t in found} == {
        ("a", "turn_taking"),
        ("b", "pause_handling"),
    }
    counts = frame(
        [score(str(i), "backchannels", 2.0, scenario="model_backchannel") for i in range(3)]
    )
    assert check_gates([parse_gate("backchannels > 5", METRICS)], counts, METRICS)
