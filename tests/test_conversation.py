"""Conversation statistics: the plain reference, identities, corpora added up, intervals."""

import math
import tracemalloc
from dataclasses import fields

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import reference_conversation as plain
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings
from polars.testing import assert_frame_equal

from flexi_score.aggregate import bootstrap_mean, bootstrap_ratio, metadata_labels, summarize
from flexi_score.aggregate.pooled import add_quantiles, clustered_quantiles
from flexi_score.config import SummarySettings, load_settings
from flexi_score.errors import SettingsError
from flexi_score.metrics.conversation import (
    HUMAN_REFERENCE,
    METRICS,
    OBSERVATIONS,
    OBSERVED,
    STATISTICS,
    observations,
    score,
    statistics_frame,
)
from flexi_score.metrics.conversation.statistics import COUNTED
from flexi_score.schema import SCORES, SUMMARY
from flexi_score.segment.structure import build_structure

DEFAULTS = load_settings()
FAST = SummarySettings(resamples=100)
seeds = st.integers(0, 2**32 - 1)


def structure_of(dialogues, chosen=DEFAULTS):
    return build_structure(tracks_of(dialogues), chosen)


def random_dialogues(seed, count):
    rng = np.random.default_rng(seed)
    return [random_dialogue(rng) for _ in range(count)]


def scored(dialogues, chosen=DEFAULTS):
    structure = structure_of(dialogues, chosen)
    return score(structure, np.arange(len(structure)), chosen, {})


def check_against_reference(dialogues, chosen):
    structure = structure_of(dialogues, chosen)
    table = statistics_frame(structure, chosen)
    assert table.schema == STATISTICS
    for row, dialogue in zip(table.iter_rows(named=True), dialogues, strict=True):
        want = plain.statistics(dialogue, chosen)
        assert {name: row[name] for name in want} == want
    events = observations(structure)
    assert events.schema == OBSERVATIONS
    names = structure.tracks.recordings["recording"].to_list()
    found = {
        key: part["value"].to_list()
        for key, part in events.group_by("recording", "metric", maintain_order=True)
    }
    want = {
        (name, metric): values
        for name, dialogue in zip(names, dialogues, strict=True)
        for metric, values in plain.observations(dialogue, chosen).items()
        if values
    }
    assert found == want


# ---- single recordings


def test_statistics_are_the_reference_on_random_recordings():
    check_against_reference(random_dialogues(1, 1000), DEFAULTS)


@settings(max_examples=30, deadline=None)
@given(st.lists(seeds, max_size=5), st.integers(0, 900), st.integers(0, 900))
def test_statistics_are_the_reference_under_any_levels(found, a, b):
    dialogues = [random_dialogue(np.random.default_rng(seed)) for seed in found]
    low, high = sorted((a, b))
    chosen = load_settings(
        changes={"conversation.level_1_ms": low, "conversation.level_2_ms": high}
    )
    check_against_reference(dialogues, chosen)


def test_identities_hold_exactly_on_random_recordings():
    table = statistics_frame(structure_of(random_dialogues(2, 2000)))
    c = pl.col
    ipus = c("user_ipu_ms") + c("model_ipu_ms")
    checks = table.select(
        time=ipus - c("overlap_ms") + c("silence_ms") == c("duration_ms"),
        silence=c("silence_ms") == c("pause_ms") + c("gap_ms") + c("edge_silence_ms"),
        edges=c("edge_silence_ms") >= 0,
        levels=c("model_level_1") + c("model_level_2") + c("model_level_3") == c("model_responses"),
        changes=c("user_floor_changes") + c("model_floor_changes")
        == (c("user_turns") + c("model_turns") - 1).clip(0),
        split=c("model_overlapped_starts") + c("model_responses") == c("model_floor_changes"),
        stops=c("model_stops") == c("user_interruptions_successful"),
        inside=c("longest_silence_ms").fill_null(0) <= c("longest_silence_overall_ms"),
    )
    assert checks.select(pl.all().all()).row(0) == (True,) * checks.width
    assert table["gaps"].sum() > 500  # not vacuous
    assert table["overlaps"].sum() > 500


def test_exchanging_the_channels_exchanges_the_sides():
    dialogues = random_dialogues(3, 300)
    dialogues = [d for d in dialogues if d.user_words == d.model_words == None]  # noqa: E711
    table = statistics_frame(structure_of(dialogues))
    swapped = statistics_frame(structure_of([d.swapped() for d in dialogues]))
    sides = {
        name: name.replace("model_", "user_")
        for name in table.columns
        if name.startswith("model_") and "level" not in name
    }
    sides |= {b: a for a, b in sides.items()}
    both = [name for name in table.columns if "level" not in name]
    assert_frame_equal(
        table.select(both), swapped.select(both).rename(sides), check_column_order=False
    )


#: 0 s user - 2.0; gap 0.3; model 2.3 - 5.0, user "mhm" 3.0 - 3.3, user cuts in 4.6 - 6.6 and wins;
#: user pauses 6.6 - 7.0, ends at 8.0; model answers at 8.1, ends at 9.0. Recording of 12 s.
GOLDEN = Dialogue(
    12_000,
    user=[(0, 2000), (3000, 3300), (4600, 6600), (7000, 8000)],
    model=[(2300, 5000), (8100, 9000)],
)


def test_a_dialogue_made_by_hand():
    row = statistics_frame(structure_of([GOLDEN])).row(0, named=True)
    assert (row["user_ipus"], row["model_ipus"]) == (4, 2)
    assert (row["user_ipu_ms"], row["model_ipu_ms"]) == (5300, 3600)
    assert (row["overlaps"], row["overlap_ms"]) == (2, 700)
    assert (row["pauses"], row["pause_ms"], row["gaps"], row["gap_ms"]) == (1, 400, 2, 400)
    assert row["edge_silence_ms"] == 3000
    assert (row["longest_silence_ms"], row["longest_silence_overall_ms"]) == (400, 3000)
    assert row["user_backchannels"] == 1
    assert (row["user_interruptions"], row["user_interruptions_successful"]) == (1, 1)
    assert (row["model_stops"], row["model_stop_ms"]) == (1, 400)
    assert (row["model_responses"], row["model_level_1"], row["model_level_2"]) == (2, 1, 1)
    assert (row["user_floor_changes"], row["user_floor_offset_ms"]) == (1, -400)
    table = scored([GOLDEN])
    value = dict(table.select("metric", "value").iter_rows())
    assert value["ipu_per_min"] == pytest.approx(6 / 0.2)
    assert value["gap_s_per_min"] == pytest.approx(0.4 / 0.2)
    assert value["model_floor_offset"] == pytest.approx(0.2)
    assert value["model_level_1"] == 0.5
    assert value["model_stop_latency"] == pytest.approx(0.4)
    assert value["user_overlapped_starts"] == 1.0
    assert value["user_talk_share"] == pytest.approx(5.3 / 8.9)
    assert value["user_response_latency"] is None
    assert value["longest_silence"] == pytest.approx(0.4)
    reason = dict(table.select("metric", "reason").iter_rows())
    assert reason["ipu_per_min"] == "6 IPUs in 0.2 min"
    assert reason["user_response_latency"] == (
        "the user never takes the floor after the model has finished"
    )


def test_statuses_of_little():
    nothing = Dialogue(0)
    quiet = Dialogue(6000)
    alone = Dialogue(6000, user=[(1000, 2000), (2500, 3000)])
    table = scored([nothing, quiet, alone])
    assert table.schema == SCORES
    assert table["metric"].unique(maintain_order=True).to_list() == [m.name for m in METRICS]
    assert len(table) == 3 * len(METRICS)

    def of(recording, metric):
        row = table.filter(pl.col("recording") == recording, pl.col("metric") == metric)
        return row.select("value", "status", "weight").row(0)

    assert of("r0", "ipu_per_min") == (None, "not_applicable", None)
    assert of("r1", "ipu_per_min") == (0.0, "silent", 0.1)
    assert of("r1", "model_talk_share") == (None, "not_applicable", None)
    assert of("r1", "longest_silence") == (None, "not_applicable", None)
    assert of("r2", "model_talk_share") == (0.0, "silent", 1.5)
    assert of("r2", "pause_s_per_min") == (5.0, "silent", 0.1)
    assert of("r2", "longest_silence") == (0.5, "silent", None)
    assert of("r2", "model_floor_offset") == (None, "not_applicable", None)
    null = table.filter(pl.col("value").is_null())
    assert set(null["status"]) == {"not_applicable"}
    assert null["reason"].null_count() == 0
    assert scored([]).is_empty()


def test_only_the_recordings_asked_for_are_scored():
    dialogues = random_dialogues(4, 12)
    whole = scored(dialogues)
    structure = structure_of(dialogues)
    some = np.array([7, 2])
    part = score(structure, some, DEFAULTS, {})
    assert part["recording"].unique(maintain_order=True).to_list() == ["r7", "r2"]
    names = ["recording", "metric"]
    assert_frame_equal(
        part, whole.join(part.select(names), on=names, how="semi"), check_row_order=False
    )


def test_levels_must_be_in_order():
    with pytest.raises(SettingsError, match="level_1_ms"):
        load_settings(changes={"conversation.level_1_ms": 500})


# ---- corpora


@settings(max_examples=12, deadline=None)
@given(seeds, st.integers(0, 12), st.integers(0, 12))
def test_a_corpus_of_two_is_pooled(seed, n_first, n_second):
    dialogues = random_dialogues(seed, n_first + n_second)
    parts = [
        summarize(scored(part), METRICS, FAST)
        for part in (dialogues[:n_first], dialogues[n_first:])
        if part
    ]
    if not parts:
        return
    whole = summarize(scored(dialogues), METRICS, FAST)
    assert whole["metric"].to_list() == [m.name for m in METRICS]
    ratios = [m.name for m in METRICS if m.aggregate == "ratio"]
    sums = (
        pl.concat(parts)
        .group_by("metric", maintain_order=True)
        .agg(pl.col("numerator", "denominator", "n").sum())
    )
    for row in whole.join(sums, on="metric", suffix="_parts").iter_rows(named=True):
        assert row["n"] == row["n_parts"]
        assert row["numerator"] == pytest.approx(row["numerator_parts"], abs=1e-9)
        assert row["denominator"] == pytest.approx(row["denominator_parts"])
        if row["metric"] in ratios and row["denominator"] > 0:
            pooled = row["numerator_parts"] / row["denominator_parts"]
            assert row["value"] == pytest.approx(pooled, abs=1e-9)
        if row["n"] == 0:
            assert row["value"] is None


def test_the_summary_is_total_over_total():
    dialogues = random_dialogues(8, 80)
    table = statistics_frame(structure_of(dialogues)).select(pl.col(COUNTED).sum())
    total = table.row(0, named=True)
    value = dict(summarize(scored(dialogues), METRICS, FAST).select("metric", "value").iter_rows())
    minutes = total["duration_ms"] / 60_000
    spoken = total["user_ipu_ms"] + total["model_ipu_ms"]
    assert value["gap_per_min"] == pytest.approx(total["gaps"] / minutes)
    assert value["ipu_s_per_min"] == pytest.approx(spoken / 1000 / minutes)
    assert value["model_talk_share"] == pytest.approx(total["model_ipu_ms"] / spoken)
    assert value["model_talk_share"] + value["user_talk_share"] == pytest.approx(1)
    assert value["model_interruption_success"] == pytest.approx(
        total["model_interruptions_successful"] / total["model_interruptions"]
    )
    assert sum(value[f"model_level_{k}"] for k in (1, 2, 3)) == pytest.approx(1)
    assert value["model_response_latency"] == pytest.approx(
        total["model_response_ms"] / 1000 / total["model_responses"]
    )


def test_a_minute_adds_up_to_sixty_seconds():
    dialogues = random_dialogues(9, 60)
    value = dict(summarize(scored(dialogues), METRICS, FAST).select("metric", "value").iter_rows())
    table = statistics_frame(structure_of(dialogues))
    edge = table["edge_silence_ms"].sum() / 1000 / (table["duration_ms"].sum() / 60_000)
    spoken = value["ipu_s_per_min"] - value["overlap_s_per_min"]
    assert spoken + value["pause_s_per_min"] + value["gap_s_per_min"] + edge == pytest.approx(60)


def test_the_human_bands_are_of_metrics_and_add_up_too():
    assert HUMAN_REFERENCE.keys() <= {m.name for m in METRICS}
    for band in HUMAN_REFERENCE.values():
        assert band.low <= band.high
        assert band.source
    typical = [HUMAN_REFERENCE[f"{k}_s_per_min"].low for k in ("ipu", "overlap", "pause", "gap")]
    assert typical[0] - typical[1] + typical[2] + typical[3] == pytest.approx(60, abs=0.5)


def test_every_metric_is_described():
    for metric in METRICS:
        for field in fields(metric):
            if field.name not in ("unit", "judged", "empty"):
                assert getattr(metric, field.name), (metric.name, field.name)
    assert len({m.name for m in METRICS}) == len(METRICS)
    assert set(OBSERVED) <= {m.name for m in METRICS}


# ---- intervals


def test_a_ratio_of_equal_weights_has_the_interval_of_a_mean():
    x = np.random.default_rng(0).gamma(2, 1, 40)
    groups, clusters = ["g"] * 40, [f"c{i % 9}" for i in range(40)]
    for labels in (None, clusters):
        mean = bootstrap_mean(x, groups, labels)
        ratio = bootstrap_ratio(x * 4, np.full(40, 4.0), groups, labels)
        np.testing.assert_allclose(ratio, mean, rtol=1e-9)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_interval_of_a_ratio_is_plain_resampling(clustered):
    rng = np.random.default_rng(1)
    below = rng.uniform(1, 20, 120)
    above = below * rng.normal(2.0, 0.3, 120)
    labels = np.arange(120) // (4 if clustered else 1)
    low, high = bootstrap_ratio(
        above,
        below,
        ["g"] * 120,
        labels if clustered else None,
        settings=SummarySettings(resamples=8000),
    )
    drawn = []
    for _ in range(1200):
        picked = rng.integers(0, labels.max() + 1, labels.max() + 1)
        rows = np.concatenate([np.flatnonzero(labels == k) for k in picked])
        drawn.append(above[rows].sum() / below[rows].sum())
    want = np.quantile(drawn, [0.025, 0.975])
    assert low[0] == pytest.approx(want[0], abs=0.025)
    assert high[0] == pytest.approx(want[1], abs=0.025)


def two_systems():
    rng = np.random.default_rng(11)
    dialogues = [random_dialogue(rng) for _ in range(60)]
    for number, dialogue in enumerate(dialogues):
        dialogue.row = {
            "scenario": "conversation",
            "system": "ab"[number % 2],
            "metadata": f'{{"session": {number // 6}}}',
        }
    return dialogues


def test_a_system_alone_has_the_row_it_has_among_others():
    structure = structure_of(two_systems())
    rec, events = np.arange(60), observations(structure)
    scores = score(structure, rec, DEFAULTS, {})
    whole = add_quantiles(summarize(scores, METRICS, FAST), events, FAST)
    for system in "ab":
        mine = pl.col("system") == system
        alone = summarize(scores.filter(mine).reverse(), METRICS, FAST)
        alone = add_quantiles(alone, events.filter(mine).reverse(), FAST)
        assert_frame_equal(whole.filter(mine), alone, abs_tol=1e-9)


def test_quantiles_are_numpys_and_follow_their_metric():
    structure = structure_of(two_systems())
    scores = score(structure, np.arange(60), DEFAULTS, {})
    summary, events = summarize(scores, METRICS, FAST), observations(structure)
    table = add_quantiles(summary, events, FAST)
    assert table.schema == SUMMARY
    names = table.filter(pl.col("system") == "a")["metric"].to_list()
    at = names.index("model_floor_offset")
    assert names[at : at + 5] == [
        "model_floor_offset",
        "model_floor_offset.p50",
        "model_floor_offset.p90",
        "model_floor_offset.p95",
        "model_response_latency",
    ]
    assert_frame_equal(table.filter(~pl.col("metric").str.contains(r"\.p\d+$")), summary)
    base = {(r["system"], r["metric"]): r for r in table.iter_rows(named=True)}
    for (system, metric), part in events.group_by("system", "metric"):
        values = part["value"].to_numpy()
        mean = base[system, metric]
        assert mean["value"] == pytest.approx(values.mean())
        assert mean["denominator"] == len(values)
        for name, q in (("p50", 0.5), ("p90", 0.9), ("p95", 0.95)):
            row = base[system, f"{metric}.{name}"]
            assert row["value"] == pytest.approx(np.quantile(values, q))
            assert row["denominator"] == len(values)
            assert row["n"] == part["recording"].n_unique() == mean["n"]
            assert row["scored"] == mean["scored"]
            if row["n"] > 1:
                assert row["ci_low"] <= row["ci_high"]
            else:
                assert row["ci_low"] is None


def test_quantiles_of_nothing_are_null():
    quiet = structure_of([Dialogue(5000, row={"system": "quiet"}), GOLDEN])
    scores = score(quiet, np.arange(2), DEFAULTS, {})
    table = add_quantiles(summarize(scores, METRICS, FAST), observations(quiet), FAST)
    row = table.filter(
        pl.col("metric") == "model_floor_offset.p90", pl.col("system") == "quiet"
    ).row(0, named=True)
    assert (row["value"], row["n"], row["denominator"], row["ci_low"]) == (None, 0, 0.0, None)
    assert row["not_applicable"] == 1
    alone = table.filter(
        pl.col("metric") == "model_floor_offset.p90", pl.col("system") == "model"
    ).row(0, named=True)
    assert alone["value"] == pytest.approx(0.28)
    assert alone["ci_low"] is None  # one recording says nothing about others


def test_sessions_are_resampled_whole():
    structure = structure_of(two_systems())
    scores = score(structure, np.arange(60), DEFAULTS, {})
    summary, events = summarize(scores, METRICS, FAST), observations(structure)
    plain_rows = add_quantiles(summary, events, FAST)
    labels = metadata_labels(structure.tracks.recordings, "session")
    clustered = add_quantiles(summary, events, FAST, labels)
    assert clustered["value"].to_list() == plain_rows["value"].to_list()
    assert clustered["ci_low"].to_list() != plain_rows["ci_low"].to_list()


def test_clustered_quantiles_are_plain_resampling():
    rng = np.random.default_rng(21)
    units = np.repeat(np.arange(25), rng.integers(1, 9, 25))
    x = rng.normal(0, 0.3, 25)[units] + rng.normal(0, 0.2, len(units))
    shuffled = rng.permutation(len(x))
    value, low, high = clustered_quantiles(
        pl.Series(x[shuffled]),
        pl.Series(units[shuffled].astype(str)),
        (0.5, 0.9),
        SummarySettings(resamples=6000),
        "k",
    )
    np.testing.assert_allclose(value, np.quantile(x, [0.5, 0.9]))
    drawn = []
    for _ in range(3000):
        picked = rng.integers(0, 25, 25)
        drawn.append(np.quantile(np.concatenate([x[units == k] for k in picked]), [0.5, 0.9]))
    want = np.quantile(drawn, [0.025, 0.975], axis=0)
    np.testing.assert_allclose(low, want[0], atol=0.04)
    np.testing.assert_allclose(high, want[1], atol=0.04)


def test_histograms_draw_the_same_quantiles(monkeypatch):
    rng = np.random.default_rng(22)
    values = pl.Series(rng.integers(-40, 200, 900) / 1000)
    units = pl.Series(rng.integers(0, 12, 900).astype(str))
    runs = []
    for limit in (0, 1_000_000):
        monkeypatch.setattr("flexi_score.aggregate.pooled._HISTOGRAM", limit)
        runs.append(clustered_quantiles(values, units, (0.0, 0.5, 0.9, 1.0), FAST, "k"))
    for a, b in zip(*runs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-300, 300)), min_size=2, max_size=25),
    st.randoms(use_true_random=False),
)
def test_clustered_quantiles_ignore_order_and_bracket_the_values(rows, shuffler):
    chosen = SummarySettings(resamples=100)

    def run(found):
        values = pl.Series([v / 1000 for _, v in found])
        return clustered_quantiles(
            values, pl.Series([u for u, _ in found]), (0.0, 0.5, 1.0), chosen, "key"
        )

    mixed = list(rows)
    shuffler.shuffle(mixed)
    first, again = run(rows), run(mixed)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    value, low, high = first
    if len({u for u, _ in rows}) < 2:
        assert np.isnan(low).all()
    else:
        assert (low <= high).all()
        assert value[0] <= low[0]
        assert high[2] <= value[2]
    assert not math.isnan(value[1])


# ---- long sessions


def session(hours: int) -> Dialogue:
    """A call in which somebody speaks every few seconds."""
    rng = np.random.default_rng(hours)
    turns = hours * 1500
    starts = np.arange(turns) * 2400 + rng.integers(0, 400, turns)
    ends = starts + rng.integers(300, 2600, turns)
    sides = [
        [(int(a), int(b)) for a, b in zip(starts[k::2], ends[k::2], strict=True)] for k in (0, 1)
    ]
    return Dialogue(hours * 3_600_000, *sides)


def peak_of(hours: int) -> tuple[int, int]:
    structure = structure_of([session(hours)])
    tracemalloc.start()
    try:
        events = observations(structure)
        score(structure, np.arange(1), DEFAULTS, {})
        return tracemalloc.get_traced_memory()[1], len(events)
    finally:
        tracemalloc.stop()


def test_two_hours_are_the_sum_of_their_parts_and_memory_grows_with_length():
    whole = session(2)
    row = statistics_frame(structure_of([whole])).row(0, named=True)
    want = plain.statistics(
        Dialogue(
            600_000,
            [s for s in whole.user if s[1] < 600_000],
            [s for s in whole.model if s[1] < 600_000],
        ),
        DEFAULTS,
    )
    assert row["user_ipus"] + row["model_ipus"] > 2500
    per_hour = (row["gaps"] + row["overlaps"]) / 2
    assert per_hour == pytest.approx(6 * (want["gaps"] + want["overlaps"]), rel=0.15)
    peak_of(1)  # whatever is allocated once
    (small, few), (large, many) = peak_of(2), peak_of(16)
    assert many > 7 * few
    assert large < 12 * small  # 8 times the length; pairs of turns would be 64 times
