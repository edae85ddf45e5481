"""Margins of profile paper: distances of what decided to the nearest threshold of its rule."""

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
from flexi_score.capture.gate import FINE, REFUSE, WARN, unsure_recordings
from flexi_score.config import load_settings
from flexi_score.metrics import METRICS, profile_metrics, score_structure
from flexi_score.segment.structure import build_structure

SETTINGS = load_settings("paper", {"pause_handling.mean_latency_s": 0.7})
DURATION = 40_000
#: IPUs stay what they are: moves that would join, drop or reorder them say nothing of the rule.
APART_MS, LEAST_MS = 200, 90

BINARY = {(m.scenario, m.name) for m in METRICS if m.profile == "paper" and m.aggregate == "rate"}
SCENARIOS = sorted({scenario for scenario, _ in BINARY} - {"conversation"})


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


@hypothesis.settings(max_examples=37, deadline=None)
@hypothesis.given(st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_less_than_the_margin_does_not_flip_what_one_ipu_decides(scenario: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = random_case(rng, scenario)
    # Words well inside the IPU stay in it wherever its ends are moved.
    words = case.model_words and [w for w in case.model_words if w[1] <= case.model[0][1] - 90]
    dialogue = replace(case, model=case.model[:1], model_words=words)
    for row in scores_of([dialogue]).iter_rows(named=True):
        if row["value"] is None or row["margin_s"] is None:
            continue
        ms = round(row["margin_s"] * 1000) - 1
        assert ms >= -1
        moves = [
            moved(dialogue, index, sign * by)
            for index in (0, 1)
            for sign in (-1, 1)
            for by in {min(ms, 150), min(ms, 20)}
            if by > 0
        ]
        near = scores_of([d for d in moves if d is not None])
        values = near.filter(pl.col("metric") == row["metric"])["value"]
        assert set(values) <= {row["value"], None}, (row, dialogue)


@pytest.mark.parametrize(
    ("scenario", "metric", "model", "row", "margin_s"),
    [
        # takes over 1.1 s long: 0.1 s shorter it would be a backchannel
        ("turn_taking", "tor", [(3400, 4500)], {}, 0.1),
        ("turn_taking", "jir", [(3400, 6000)], {"user_turn_end_ms": 3000}, 0.4),
        ("turn_taking", "jir", [(2950, 6000)], {"user_turn_end_ms": 3000}, 0.05),
        (
            "pause_handling",
            "tor",
            [(5750, 9000)],
            {"pause_start_ms": 3000, "pause_end_ms": 5000},
            0.05,
        ),
        (
            "pause_handling",
            "tor",
            [(2900, 9000)],
            {"pause_start_ms": 3000, "pause_end_ms": 5000},
            0.1,
        ),
        ("model_interrupt", "tor", [(2480, 9000)], {"user_turn_end_ms": 3000}, 0.02),
        # yields, and answers 0.56 s later: 0.06 s earlier it would have been a breath
        (
            "user_interrupt",
            "ttr",
            [(0, 4600), (5160, 9000)],
            {"interrupt_start_ms": 3000, "interrupt_end_ms": 5100},
            0.06,
        ),
        # pauses for 0.48 s: 0.02 s longer it would have been a yield
        (
            "user_interrupt",
            "ttr",
            [(0, 4600), (5080, 9000)],
            {"interrupt_start_ms": 3000, "interrupt_end_ms": 5000},
            0.02,
        ),
        (
            "user_backchannel",
            "ttr",
            [(0, 4300), (4830, 9000)],
            {"backchannels": [{"start_ms": 3000, "end_ms": 3400}]},
            0.03,
        ),
        (
            "user_backchannel",
            "resumed",
            [(0, 4300), (5310, 9000)],
            {"backchannels": [{"start_ms": 3000, "end_ms": 3400}]},
            0.01,
        ),
    ],
)
def test_margins_worked_out_on_paper(
    scenario: str, metric: str, model: list[tuple[int, int]], row: dict[str, Any], margin_s: float
) -> None:
    dialogue = Dialogue(DURATION, [(0, 200)], model, None, None, {"scenario": scenario, **row})
    found = scores_of([dialogue]).filter(pl.col("metric") == metric)
    assert found["margin_s"].item() == pytest.approx(margin_s)


def test_every_scored_outcome_that_a_boundary_decides_has_a_margin() -> None:
    rng = np.random.default_rng(7)
    table = scores_of([random_case(rng, scenario) for scenario in SCENARIOS for _ in range(300)])
    decided = table.filter(pl.col("value").is_not_null() & (pl.col("status") == "scored"))
    assert (decided["margin_s"].drop_nulls() >= 0).all()
    share = decided.group_by("scenario", "metric").agg(
        known=pl.col("margin_s").is_not_null().mean()
    )
    timed = {key for key in BINARY if key[0] != "conversation" and key[1] != "acceptable"}
    assert {(s, m) for s, m in share.select("scenario", "metric").iter_rows()} == timed
    # None where words make a takeover, or no group is near.
    assert (share["known"] > 0.5).all(), share


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


def test_outcomes_beside_crosstalk_are_near_from_further_off() -> None:
    dialogues = [
        Dialogue(
            9000,
            [(0, 3000)],
            [(start, 6000)],
            None,
            None,
            {"scenario": "turn_taking", "recording": name},
        )
        for name, start in (("crosstalk", 3100), ("clear", 3100), ("far", 3200))
    ]
    scores = score_structure(build_structure(tracks_of(dialogues), SETTINGS), SETTINGS)
    warned = pl.DataFrame(
        [
            ("crosstalk", "crosstalk_left", WARN),
            ("clear", "crosstalk_left", FINE),
            ("clear", "crosstalk", WARN),
            ("far", "crosstalk_left", REFUSE),
        ],
        schema=["recording", "check", "verdict"],
        orient="row",
    )
    unsure = unsure_recordings(warned)
    assert sorted(unsure) == ["crosstalk", "far"]
    metrics = profile_metrics("paper")
    for names, near in ((None, 0), (unsure, 1)):
        table = summarize(scores, metrics, SETTINGS.summary, unsure=names)
        assert table.filter(pl.col("metric") == "jir")["within_error"].to_list() == [near]
    plain, other = (summarize(scores, metrics, SETTINGS.summary, unsure=u) for u in (None, unsure))
    assert plain.drop("within_error").equals(other.drop("within_error"))
