"""Margins of profile paper: a boundary moved by less never flips the outcome, by more it does."""

import itertools
from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import polars as pl
import pytest
from factories import Dialogue, tracks_of
from hypothesis import strategies as st

from flexi_score.aggregate import summarize
from flexi_score.capture.checks import FINE, REFUSE, WARN
from flexi_score.capture.gate import unsure_recordings
from flexi_score.config import load_settings
from flexi_score.metrics import METRICS, profile_metrics, score_structure
from flexi_score.segment.structure import build_structure

SETTINGS = load_settings("paper", {"pause_handling.mean_latency_s": 0.7})
DURATION = 40_000
#: IPUs stay what they are: moves that would join, drop or reorder them say nothing of the rule.
APART_MS, LEAST_MS = 200, 90

BINARY = {(m.scenario, m.name) for m in METRICS if m.profile == "paper" and m.aggregate == "rate"}
SCENARIOS = sorted({scenario for scenario, _ in BINARY} - {"conversation"})

Move = tuple[str, int]


def scores_of(dialogues: list[Dialogue]) -> pl.DataFrame:
    rows = [replace(d, row=d.row | {"recording": f"{i:05}"}) for i, d in enumerate(dialogues)]
    structure = build_structure(tracks_of(rows), SETTINGS)
    return score_structure(structure, SETTINGS).filter(
        pl.struct("scenario", "metric").is_in(
            [{"scenario": s, "metric": m} for s, m in sorted(BINARY)]
        )
    )


def spoken(rng: np.random.Generator, count: int) -> list[tuple[int, int]]:
    clock, spans = int(rng.integers(0, 4000)), []
    for _ in range(count):
        end = (
            clock
            + int(rng.choice([150, 400, 700, 980, 1020, 1600, 3000]))
            + int(rng.integers(0, 60))
        )
        if end > DURATION - 500:
            break
        spans.append((clock, end))
        gap = int(rng.choice([230, 480, 520, 960, 990, 1040, 1300, 2500]))
        clock = end + gap + int(rng.integers(0, 40))
    return spans


def random_case(rng: np.random.Generator, scenario: str) -> Dialogue:
    """A model that decides at close quarters; the user's moments are annotated."""
    model = spoken(rng, int(rng.integers(1, 9)))
    words = None
    if rng.random() < 0.4:
        words = [
            (a + 10 * k, a + 10 * k + 5, "w")
            for a, b in model
            for k in range(int(rng.integers(0, 4)))
        ]
    edges = [t for span in model for t in span]
    near = int(rng.choice(edges)) + int(rng.integers(-600, 600))
    at = min(max(near, 300), DURATION - 4000)
    length = int(rng.choice([300, 900, 1800]))
    row: dict[str, Any] = {
        "scenario": scenario,
        "user_turn_end_ms": at,
        "pause_start_ms": at,
        "pause_end_ms": at + length,
        "interrupt_start_ms": at,
        "interrupt_end_ms": at + length,
        "backchannels": [{"start_ms": at, "end_ms": at + 300}],
    }
    return Dialogue(DURATION, [(0, 200)], model, None, words, row)


def moved(dialogue: Dialogue, index: int, by: int) -> Dialogue | None:
    """One boundary of the model moved; None where IPUs would no longer be the same."""
    edges = [t for span in dialogue.model for t in span]
    edges[index] += by
    model = list(zip(edges[::2], edges[1::2], strict=True))
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(model)]
    if model[0][0] < 0 or model[-1][1] > DURATION or min([APART_MS, *gaps]) < APART_MS:
        return None
    if min(b - a for a, b in model) < LEAST_MS:
        return None
    return replace(dialogue, model=model)


def stays_apart(dialogue: Dialogue, by: int) -> bool:
    """Whether any boundary may be moved by this much, the IPUs staying what they are."""
    short = min(b - a for a, b in dialogue.model) - by < LEAST_MS
    gaps = [b[0] - a[1] for a, b in itertools.pairwise(dialogue.model)]
    return not short and min([APART_MS + by, *gaps]) - by >= APART_MS


def reference_moved(dialogue: Dialogue, key: str, by: int) -> Dialogue | None:
    """The moment that the rule looks from, moved."""
    row = dict(dialogue.row)
    if key == "backchannels":
        (span,) = row[key]
        row[key] = [{"start_ms": span["start_ms"], "end_ms": span["end_ms"] + by}]
        good = row[key][0]["end_ms"] > row[key][0]["start_ms"]
    elif key == "backchannels_start":
        (span,) = row["backchannels"]
        row["backchannels"] = [{"start_ms": span["start_ms"] + by, "end_ms": span["end_ms"]}]
        good = 0 <= span["start_ms"] + by < span["end_ms"]
    else:
        row[key] += by
        good = 0 <= row[key] <= DURATION
    good &= row["pause_start_ms"] < row["pause_end_ms"]
    good &= row["interrupt_start_ms"] < row["interrupt_end_ms"]
    return replace(dialogue, row=row) if good else None


REFERENCES = {
    "turn_taking": ("user_turn_end_ms",),
    "model_interrupt": ("user_turn_end_ms",),
    "model_backchannel": ("user_turn_end_ms",),
    "pause_handling": ("pause_start_ms", "pause_end_ms"),
    "user_interrupt": ("interrupt_start_ms", "interrupt_end_ms"),
    "user_backchannel": ("backchannels", "backchannels_start"),
}


def outcomes(dialogue: Dialogue, metric: str, by: int) -> set[float | None]:
    """What any one boundary moved by this much makes of the outcome."""
    scenario = dialogue.row["scenario"]
    moves = [
        moved(dialogue, i, sign * by) for i in range(2 * len(dialogue.model)) for sign in (-1, 1)
    ]
    moves += [
        reference_moved(dialogue, key, sign * by)
        for key in REFERENCES[scenario]
        for sign in (-1, 1)
    ]
    good = [d for d in moves if d is not None]
    table = scores_of([dialogue, *good]).filter(pl.col("metric") == metric)
    return set(table.sort("recording")["value"][1:].to_list())


@hypothesis.settings(max_examples=120, deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_less_than_the_margin_never_flips_and_more_does(scenario: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dialogue = random_case(rng, scenario)
    for row in scores_of([dialogue]).iter_rows(named=True):
        if row["value"] is None:
            continue
        margin = row["margin_s"]
        if margin is None:
            continue
        ms = round(margin * 1000)
        assert ms >= 0
        if ms > 1:
            found = outcomes(dialogue, row["metric"], min(ms - 1, 150))
            assert found <= {row["value"], None}, (row, dialogue)
        if ms <= 120 and stays_apart(dialogue, ms + 1):
            # Another outcome; or none any more, as of a model that no longer held the turn.
            found = outcomes(dialogue, row["metric"], ms + 1)
            assert found - {row["value"]}, (row, dialogue)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_outcome_without_a_margin_does_not_flip(scenario: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    dialogue = random_case(rng, scenario)
    for row in scores_of([dialogue]).iter_rows(named=True):
        if row["value"] is not None and row["margin_s"] is None:
            for by in (5, 40, 120):
                found = outcomes(dialogue, row["metric"], by)
                assert found <= {row["value"], None}, (row, by, dialogue)


def test_every_binary_outcome_has_a_margin_where_a_boundary_decides() -> None:
    rng = np.random.default_rng(7)
    table = scores_of([random_case(rng, scenario) for scenario in SCENARIOS for _ in range(300)])
    decided = table.filter(pl.col("value").is_not_null() & (pl.col("status") == "scored"))
    share = decided.group_by("scenario", "metric").agg(
        known=pl.col("margin_s").is_not_null().mean(), n=pl.len()
    )
    assert {(s, m) for s, m in share.select("scenario", "metric").iter_rows()} == {
        key for key in BINARY if key[0] != "conversation"
    }
    # What has none: takeovers by words, and outcomes that several boundaries make. Any of several
    # takeovers is enough for tor of turn_taking.
    many = (pl.col("scenario") == "turn_taking") & (pl.col("metric") == "tor")
    assert (share.filter(~many)["known"] > 0.7).all(), share
    assert (share.filter(many)["known"] > 0.2).all(), share


def test_the_summary_counts_outcomes_within_the_measurement_error() -> None:
    model = [(3010, 6000)], [(3030, 6000)], [(2980, 6000)], [(4000, 6000)]
    dialogues = [
        Dialogue(9000, [(0, 3000)], spans, None, None, {"scenario": "turn_taking"})
        for spans in model
    ]
    rows = [replace(d, row=d.row | {"recording": f"{i}"}) for i, d in enumerate(dialogues)]
    scores = score_structure(build_structure(tracks_of(rows), SETTINGS), SETTINGS)
    for error_s, near in ((0.025, 2), (0.0, 0), (0.05, 3), (60.0, 4)):
        settings = SETTINGS.summary.model_copy(update={"boundary_error_s": error_s})
        table = summarize(scores, profile_metrics("paper"), settings)
        counts = dict(table.select("metric", "within_error").iter_rows())
        assert counts["jir"] == near
        assert counts["tor"] == (4 if error_s == 60 else 0)
        assert counts["floor_offset"] is None


def test_outcomes_beside_a_leak_are_near_from_further_off() -> None:
    dialogues = [
        Dialogue(
            9000,
            [(0, 3000)],
            [(start, 6000)],
            None,
            None,
            {"scenario": "turn_taking", "recording": name},
        )
        for name, start in (("leaky", 3100), ("clear", 3100), ("far", 3200))
    ]
    scores = score_structure(build_structure(tracks_of(dialogues), SETTINGS), SETTINGS)
    warned = pl.DataFrame(
        [
            ("leaky", "bleed_left", WARN),
            ("clear", "bleed_left", FINE),
            ("clear", "bleed", WARN),
            ("far", "bleed_left", REFUSE),
        ],
        schema=["recording", "check", "verdict"],
        orient="row",
    )
    unsure = unsure_recordings(warned)
    assert sorted(unsure) == ["far", "leaky"]
    metrics = profile_metrics("paper")
    for names, near in ((None, 0), (unsure, 1)):
        table = summarize(scores, metrics, SETTINGS.summary, unsure=names)
        assert table.filter(pl.col("metric") == "jir")["within_error"].to_list() == [near]
    plain, other = (summarize(scores, metrics, SETTINGS.summary, unsure=u) for u in (None, unsure))
    assert plain.drop("within_error").equals(other.drop("within_error"))
