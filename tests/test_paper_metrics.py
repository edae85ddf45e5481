"""Profile ``paper``: against the plain reference, and rule by rule on recordings made by hand."""

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
import reference_paper as plain
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings
from scipy.spatial.distance import jensenshannon

from flexi_score.config import Settings, load_settings
from flexi_score.metrics import profile_metrics, score_structure
from flexi_score.metrics.paper.model_backchannel import jensen_shannon
from flexi_score.schema import SCENARIOS, SCORES, STATUSES
from flexi_score.scoring.fill import fill_given
from flexi_score.segment.structure import build_structure

DEFAULTS = load_settings()
WITH_LATENCY = load_settings("paper", {"pause_handling.mean_latency_s": 0.5})
NONE = (None, "not_applicable")
TIMED = {
    "turn_taking",
    "pause_handling",
    "user_interrupt",
    "model_interrupt",
    "user_backchannel",
    "model_backchannel",
}


def scores_of(dialogues: list[Dialogue], chosen: Settings = DEFAULTS) -> pl.DataFrame:
    tracks = tracks_of(dialogues)
    scores = score_structure(build_structure(tracks, chosen), chosen)
    scores = fill_given(scores, tracks.recordings)
    # Conversations have statistics of their own, with a reference of their own.
    return scores.filter(pl.col("scenario") != "conversation")


def by_recording(frame: pl.DataFrame, n: int) -> list[dict[str, dict[str, Any]]]:
    found: list[dict[str, dict[str, Any]]] = [{} for _ in range(n)]
    for row in frame.iter_rows(named=True):
        scores = found[int(row["recording"][1:])]
        assert row["metric"] not in scores
        scores[row["metric"]] = row
    return found


def check_rows(frame: pl.DataFrame) -> None:
    """What holds for every score row."""
    assert frame.schema == SCORES
    assert set(frame["status"]) <= set(STATUSES)
    assert frame["reason"].null_count() == 0
    assert frame["rule"].null_count() == 0
    assert (frame["reason"].str.len_chars() > 0).all()
    no_value = frame.filter(pl.col("value").is_null())
    assert "scored" not in set(no_value["status"])
    valued = frame.filter(pl.col("value").is_not_null())
    assert set(valued["status"]) <= {"scored", "silent"}
    assert valued["value"].is_finite().all()
    assert (frame["margin_s"].drop_nulls() >= 0).all()
    assert set(frame["source"].drop_nulls()) <= {"annotation", "detected"}
    expected = {(m.scenario, m.name) for m in profile_metrics("paper")}
    assert set(frame.select("scenario", "metric").iter_rows()) <= expected


def check_reference(dialogues: list[Dialogue], chosen: Settings = DEFAULTS) -> pl.DataFrame:
    frame = scores_of(dialogues, chosen)
    check_rows(frame)
    found = by_recording(frame, len(dialogues))
    for dialogue, ours, theirs in zip(
        dialogues, found, plain.score_all(dialogues, chosen), strict=True
    ):
        assert ours.keys() == theirs.keys(), dialogue
        for metric, (value, status) in theirs.items():
            row = ours[metric]
            assert row["status"] == status, (dialogue, row)
            assert (row["value"] is None) == (value is None), (dialogue, row)
            if value is not None:
                assert row["value"] == pytest.approx(value, abs=1e-9), (dialogue, row)
    return frame


def random_batch(rng: np.random.Generator, n: int) -> list[Dialogue]:
    dialogues = []
    for k in range(n):
        dialogue = random_dialogue(rng, SCENARIOS[k % len(SCENARIOS)])
        dialogue.row["system"] = f"system {rng.integers(0, 3)}"
        dialogues.append(dialogue)
    return dialogues


batches = st.builds(
    lambda seed, n: random_batch(np.random.default_rng(seed), n),
    st.integers(0, 2**32 - 1),
    st.integers(1, 14),
)


class TestReference:
    def test_three_thousand_recordings(self):
        frame = check_reference(random_batch(np.random.default_rng(11), 3000))
        # Every metric and every way to come about must have been met, or nothing was shown.
        met = set(frame.select("scenario", "metric", "status").iter_rows())
        for metric in profile_metrics("paper"):
            if metric.scenario in TIMED:
                assert (metric.scenario, metric.name, "scored") in met
        assert ("turn_taking", "tor", "silent") in met
        values = frame.filter((pl.col("metric") == "ttr") & (pl.col("status") == "scored"))
        assert {0.0, 1.0} == set(values["value"])

    @given(batches)
    @settings(max_examples=30, deadline=None)
    def test_any_recordings(self, dialogues):
        check_reference(dialogues)

    @pytest.mark.parametrize(
        "changes",
        [
            {"pause_handling.mean_latency_s": 1.25},
            {"takeover.group_ms": 250, "backchannel.max_ms": 600, "backchannel.max_words": 1},
            {"yield.hold_ms": 1000, "yield.late_window_ms": 500, "yield.late_hold_ms": 200},
            {"user_backchannel.stop_window_ms": 0, "user_backchannel.resume_ms": 3000},
            {"model_interrupt.min_lead_ms": 0, "model_backchannel.window_ms": 1000},
        ],
    )
    def test_under_other_settings(self, changes):
        dialogues = random_batch(np.random.default_rng(5), 600)
        check_reference(dialogues, load_settings("paper", changes))

    @given(batches, st.randoms(use_true_random=False))
    @settings(max_examples=30, deadline=None)
    def test_a_recording_alone_scores_as_among_others(self, dialogues, shuffler):
        """One missing recording shifts no other one."""
        together = by_recording(scores_of(dialogues, WITH_LATENCY), len(dialogues))
        order = list(range(len(dialogues)))
        shuffler.shuffle(order)
        kept = order[: max(len(order) - 1, 1)]
        apart = by_recording(scores_of([dialogues[i] for i in kept], WITH_LATENCY), len(kept))
        for place, i in enumerate(kept):
            assert apart[place].keys() == together[i].keys()
            for metric, row in apart[place].items():
                assert row | {"recording": None} == together[i][metric] | {"recording": None}

    def test_no_recordings_and_no_scenario(self):
        assert scores_of([]).schema == SCORES
        assert len(scores_of([Dialogue(5000, [(0, 2000)], [(2500, 4000)])])) == 0


# Golden cases: scenario, user, model, manifest row (and duration, words), expected scores. A span
# of three numbers has that many words.
YES = {"interrupt_start_ms": 3000, "interrupt_end_ms": 5000}
SHORT = {"interrupt_start_ms": 3000, "interrupt_end_ms": 4000}
PAUSED = [(0, 2000), (4000, 6000)]


def one(value: float, status: str = "scored") -> tuple[float, str]:
    return (value, status)


TURN_TAKING = {
    "answers after 0.4 s": (
        [(0, 3000)],
        [(3400, 6000)],
        {},
        {"tor": one(1), "latency": one(0.4), "floor_offset": one(0.4), "jir": one(0)},
    ),
    "answers at the very end of the turn": (
        [(0, 3000)],
        [(3000, 6000)],
        {},
        {"latency": one(0), "jir": one(0)},
    ),
    "a millisecond too early": (
        [(0, 3000)],
        [(2999, 6000)],
        {},
        {"tor": one(1), "latency": NONE, "floor_offset": one(-0.001), "jir": one(1)},
    ),
    "1000 ms is no takeover": (
        [(0, 3000)],
        [(3400, 4400)],
        {},
        {"tor": one(0), "latency": NONE, "floor_offset": NONE, "jir": one(0)},
    ),
    "1001 ms is one": ([(0, 3000)], [(3400, 4401)], {}, {"tor": one(1), "latency": one(0.4)}),
    "3 words are no takeover": ([(0, 3000, 5)], [(3400, 4300, 3)], {}, {"tor": one(0)}),
    "4 words are one": ([(0, 3000, 5)], [(3400, 4300, 4)], {}, {"tor": one(1)}),
    "two acknowledgements 10 s apart are no takeover": (
        [(0, 3000)],
        [(3400, 3800), (13800, 14200)],
        {},
        {"tor": one(0), "latency": NONE},
    ),
    "999 ms apart is one group": (
        [(0, 3000)],
        [(3400, 3800), (4799, 5100)],
        {},
        {"tor": one(1), "latency": one(0.4)},
    ),
    "1000 ms apart is two": ([(0, 3000)], [(3400, 3800), (4800, 5100)], {}, {"tor": one(0)}),
    "a takeover followed by yeah is a takeover": (
        [(0, 3000)],
        [(3400, 6000), (9000, 9300)],
        {},
        {"tor": one(1), "latency": one(0.4)},
    ),
    "a backchannel before the takeover is not it": (
        [(0, 3000), (3600, 6000)],
        [(3100, 3400), (6500, 9000)],
        {},
        {"tor": one(1), "latency": one(0.5), "jir": one(0)},
    ),
    "a silent model": (
        [(0, 3000)],
        [],
        {},
        {
            "tor": one(0, "silent"),
            "latency": (None, "silent"),
            "floor_offset": (None, "silent"),
            "jir": one(0, "silent"),
        },
    ),
    "an acknowledgement in the user's speech is not the head of the answer": (
        [(0, 5000)],
        [(4500, 4800), (5300, 8000)],
        {"user_turn_end_ms": 5000},
        {"tor": one(1), "latency": one(0.3), "jir": one(0)},
    ),
    "the annotation wins": (
        [(0, 3000)],
        [(3400, 6000)],
        {"user_turn_end_ms": 2500},
        {"latency": one(0.9), "jir": one(0)},
    ),
    "the annotation wins, and makes it early": (
        [(0, 3000)],
        [(3400, 6000)],
        {"user_turn_end_ms": 3500},
        {"latency": NONE, "floor_offset": one(-0.1), "jir": one(1)},
    ),
    "the user never speaks": (
        [],
        [(3400, 6000)],
        {},
        {"tor": one(1), "latency": NONE, "floor_offset": NONE, "jir": NONE},
    ),
    "nobody speaks": (
        [],
        [],
        {},
        {"tor": one(0, "silent"), "latency": (None, "silent"), "jir": NONE},
    ),
    "a backchannel of the user does not end the user's turn later": (
        [(0, 3000), (5000, 5400)],
        [(3400, 8000)],
        {},
        {"latency": one(0.4), "jir": one(0)},
    ),
}

PAUSE_HANDLING = {  # the pause is [2.0, 4.0], L = 0.5
    "takeover at the start of the pause": (PAUSED, [(2000, 3500)], {}, {"tor": one(1)}),
    "takeover under way when it starts": (PAUSED, [(1999, 3500)], {}, {"tor": one(1)}),
    "talks through it": (
        [(0, 4000), (6000, 8000)],
        [(2000, 9000)],
        {"pause_start_ms": 4000, "pause_end_ms": 6000},
        {"tor": one(1)},
    ),
    "a takeover that ends as it starts": (PAUSED, [(500, 2000)], {}, {"tor": one(0)}),
    "takeover at the last moment": (PAUSED, [(4500, 6500)], {}, {"tor": one(1)}),
    "takeover a millisecond later": (PAUSED, [(4501, 6500)], {}, {"tor": one(0)}),
    "a backchannel in the pause": (PAUSED, [(2500, 2900)], {}, {"tor": one(0)}),
    "a silent model": (PAUSED, [], {}, {"tor": one(0, "silent")}),
    "the annotation wins": (
        PAUSED,
        [(2100, 3500)],
        {"pause_start_ms": 1000, "pause_end_ms": 1500},
        {"tor": one(0)},
    ),
    "and its end is counted from": (
        PAUSED,
        [(2000, 3500)],
        {"pause_start_ms": 1000, "pause_end_ms": 1500},
        {"tor": one(1)},
    ),
    "the longest pause is meant": (
        [(0, 2000), (2600, 4000), (6000, 8000)],
        [(2200, 3800)],
        {},
        {"tor": one(0)},
    ),
    "no pause": ([(0, 6000)], [(6400, 9000)], {}, {"tor": NONE}),
    "no pause, silent model": ([(0, 6000)], [], {}, {"tor": NONE}),
}

USER_INTERRUPT = {  # interrupted in [3.0, 5.0]
    "yields and answers": (
        [(3000, 5000)],
        [(0, 3600), (5700, 8000)],
        YES | {"rating": 4.0},
        {"ttr": one(1), "stop_latency": one(0.6), "response_latency": one(0.7), "tss": one(4)},
    ),
    "yields, and nobody rated the answer": (
        [(3000, 5000)],
        [(0, 3600), (5700, 8000)],
        YES,
        {"ttr": one(1), "tss": (None, "excluded")},
    ),
    "yields and never answers": (
        [(3000, 5000)],
        [(0, 3600)],
        YES | {"rating": 4.0},
        {"ttr": one(1), "stop_latency": one(0.6), "response_latency": NONE, "tss": NONE},
    ),
    "yields and says hm": (
        [(3000, 5000)],
        [(0, 3600), (5700, 6000)],
        YES | {"rating": 4.0},
        {"ttr": one(1), "response_latency": NONE, "tss": NONE},
    ),
    "a silence of 500 ms over its end": (
        [(3000, 5000)],
        [(0, 4600), (5100, 9000)],
        YES,
        {"ttr": one(1), "stop_latency": one(1.6), "response_latency": one(0.1)},
    ),
    "of 499 ms": (
        [(3000, 5000)],
        [(0, 4600), (5099, 9000)],
        YES,
        {"ttr": one(0), "stop_latency": NONE},
    ),
    "falls silent for 999 ms and is back before its end": (
        [(3000, 5000)],
        [(0, 3600), (4599, 9000)],
        YES,
        {"ttr": one(0), "stop_latency": NONE},
    ),
    "falls silent for 1000 ms and is back before its end": (
        [(3000, 5000)],
        [(0, 3600), (4600, 9000)],
        YES,
        {"ttr": one(1), "stop_latency": one(0.6)},
    ),
    "stopped for 2.5 s and barged in (real meeting speech)": (
        [(3000, 8000)],
        [(0, 3740), (6270, 9000)],
        {"interrupt_start_ms": 3000, "interrupt_end_ms": 7800},
        {"ttr": one(1), "stop_latency": one(0.74)},
    ),
    "its backchannel does not move the stop (real dGSLM)": (
        [(4200, 15000)],
        [(0, 4760), (14300, 14600)],
        {"interrupt_start_ms": 4200, "interrupt_end_ms": 15000},
        {"ttr": one(1), "stop_latency": one(0.56)},
    ),
    "an answer never precedes the yield": (
        [(4800, 4900)],
        [(0, 5000), (5300, 6700), (8000, 9500)],
        {"interrupt_start_ms": 4800, "interrupt_end_ms": 4900},
        {"ttr": one(1), "stop_latency": one(1.9), "response_latency": one(3.1)},
    ),
    "breathing between two IPUs of one group is mid-turn": (
        [(3000, 5000)],
        [(0, 2800), (3200, 5300)],
        YES,
        {"ttr": one(0)},
    ),
    "falls silent exactly at its end": (
        [(3000, 5000)],
        [(0, 5000)],
        YES,
        {"ttr": one(1), "stop_latency": one(2.0)},
    ),
    "talks straight through": (
        [(3000, 5000)],
        [(0, 9000)],
        YES | {"rating": 5.0},
        {"ttr": one(0), "stop_latency": NONE, "response_latency": NONE, "tss": NONE},
    ),
    "late yield at the last moment": (
        [(3000, 4000)],
        [(0, 5000), (7000, 9000)],
        SHORT,
        {"ttr": one(1), "stop_latency": one(2.0), "response_latency": one(3.0)},
    ),
    "late yield a millisecond later": ([(3000, 4000)], [(0, 5001)], SHORT, {"ttr": one(0)}),
    "late yield held 1000 ms": (
        [(3000, 4000)],
        [(0, 4500), (5500, 9000)],
        SHORT,
        {"ttr": one(1), "stop_latency": one(1.5), "response_latency": one(1.5)},
    ),
    "held 999 ms": ([(3000, 4000)], [(0, 4500), (5499, 9000)], SHORT, {"ttr": one(0)}),
    "the model does not hold the turn": (
        [(3000, 5000)],
        [(5600, 9000)],
        YES,
        {"ttr": NONE, "stop_latency": NONE, "response_latency": one(0.6), "tss": NONE},
    ),
    "the model stopped as the interruption began": (
        [(3000, 5000)],
        [(0, 3000)],
        YES,
        {"ttr": NONE, "stop_latency": NONE},
    ),
    "a short utterance is speech as well": (
        [(3000, 5000)],
        [(2500, 3400)],
        YES,
        {"ttr": one(1), "stop_latency": one(0.4)},
    ),
    "detected: in the second, short IPU of the model": (
        [(4600, 8000)],
        [(0, 3000), (4200, 5000)],
        {},
        {"ttr": one(1), "stop_latency": one(0.4)},
    ),
    "detected: none starts in the model's speech": (
        [(4300, 5400)],
        [(0, 4000), (4900, 5500)],
        {},
        {"ttr": NONE},
    ),
    "a silent model": (
        [(3000, 5000)],
        [],
        YES,
        dict.fromkeys(("ttr", "stop_latency", "response_latency"), NONE),
    ),
    "silence to the end of the recording": (
        [(3000, 5000)],
        [(0, 4000)],
        YES | {"duration": 5000},
        {"ttr": one(1), "stop_latency": one(1.0)},
    ),
    "a recording that ends too soon to tell": (
        [(3000, 4100)],
        [(0, 4000)],
        {"interrupt_start_ms": 3000, "interrupt_end_ms": 4100, "duration": 4300},
        {"ttr": NONE},
    ),
    "detected: the first user turn inside the model's speech": (
        [(0, 1000), (4000, 6000)],
        [(1200, 4500), (6400, 9000)],
        {},
        {"ttr": one(1), "stop_latency": one(0.5), "response_latency": one(0.4)},
    ),
    "detected: a backchannel is no interruption": (
        [(0, 1000), (3000, 3300)],
        [(1200, 6000)],
        {},
        {"ttr": NONE},
    ),
    "the annotation wins over what is detected": (
        [(0, 1000), (4000, 6000)],
        [(1200, 4500), (6400, 9000)],
        {"interrupt_start_ms": 7000, "interrupt_end_ms": 7500},
        {"ttr": one(1)} | {"stop_latency": one(2.0)},
    ),
}

MODEL_INTERRUPT = {
    "exactly 0.5 s before": (
        [(0, 6000)],
        [(5500, 8000)],
        {"rating": 3.0},
        {"tor": one(1), "lead": one(0.5), "eds": one(3)},
    ),
    "0.499 s before": ([(0, 6000)], [(5501, 8000)], {}, {"tor": one(0), "lead": one(0.499)}),
    "after": (
        [(0, 6000)],
        [(6400, 8000)],
        {},
        {"tor": one(0), "lead": one(-0.4), "eds": (None, "excluded")},
    ),
    "a backchannel only": ([(0, 6000)], [(3000, 3400)], {}, {"tor": one(0), "lead": NONE}),
    "the annotation wins": (
        [(0, 6000)],
        [(5500, 8000)],
        {"user_turn_end_ms": 5900},
        {"tor": one(0), "lead": one(0.4)},
    ),
    "a silent model": (
        [(0, 6000)],
        [],
        {},
        {"tor": one(0, "silent"), "lead": (None, "silent"), "eds": NONE},
    ),
    "the user never speaks": ([], [(0, 6000)], {}, {"tor": NONE, "lead": NONE}),
}

BACK = [(0, 500), (3000, 3400)]  # a greeting, then a backchannel in [3.0, 3.4]


def heard(*spans: tuple[int, int]) -> dict[str, Any]:
    return {"backchannels": [{"start_ms": a, "end_ms": b} for a, b in spans]}


USER_BACKCHANNEL = {
    "talks on": (
        BACK,
        [(600, 8000)],
        {"rating": 5.0},
        {"ttr": one(0), "resumed": NONE, "coherence": NONE},
    ),
    "stops at the last moment and resumes": (
        BACK,
        [(600, 4400), (4900, 8000)],
        {"rating": 3.0},
        {"ttr": one(1), "resumed": one(1), "coherence": one(3)},
    ),
    "resumes, and nobody rated it": (
        BACK,
        [(600, 4400), (4900, 8000)],
        {},
        {"coherence": (None, "excluded")},
    ),
    "stops a millisecond later": (
        BACK,
        [(600, 4401), (4901, 8000)],
        {},
        {"ttr": one(0), "resumed": NONE},
    ),
    "a stop of 499 ms is a breath": (BACK, [(600, 4000), (4499, 8000)], {}, {"ttr": one(0)}),
    "had stopped as the backchannel began": (BACK, [(600, 3000), (3600, 8000)], {}, {"ttr": NONE}),
    "annotated in a breath of the model": (
        BACK,
        [(600, 3000), (3600, 8000)],
        heard((3000, 3400)),
        {"ttr": one(0)},
    ),
    "in the second, short IPU of the model": (
        [(4400, 4700)],
        [(0, 3000), (4200, 5000), (6000, 8000)],
        {},
        {"ttr": one(1), "resumed": one(1)},
    ),
    "a recording that ends before the silence could last": (
        BACK,
        [(600, 4000)],
        {"duration": 4499},
        {"ttr": NONE, "resumed": NONE},
    ),
    "a recording that ends when it has lasted": (
        BACK,
        [(600, 4000)],
        {"duration": 4500},
        {"ttr": one(1), "resumed": one(0)},
    ),
    "resumes incoherently": (
        BACK,
        [(600, 4400), (4900, 8000)],
        {"rating": 2.0},
        {"resumed": one(1), "coherence": one(2), "acceptable": one(0)},
    ),
    "resumes coherently": (
        BACK,
        [(600, 4400), (4900, 8000)],
        {"rating": 3.0},
        {"resumed": one(1), "coherence": one(3), "acceptable": one(1)},
    ),
    "resumes coherently, but late": (
        BACK,
        [(600, 4400), (5401, 8000)],
        {"rating": 5.0},
        {"resumed": one(0), "acceptable": one(0)},
    ),
    "nobody rated it, so nobody knows": (
        BACK,
        [(600, 4400), (4900, 8000)],
        {},
        {"acceptable": (None, "excluded")},
    ),
    "resumes after exactly 1 s": (
        BACK,
        [(600, 4000), (5000, 8000)],
        {},
        {"ttr": one(1), "resumed": one(1)},
    ),
    "resumes a millisecond later": (
        BACK,
        [(600, 4000), (5001, 8000)],
        {"rating": 2.0},
        {"ttr": one(1), "resumed": one(0), "coherence": one(2)},
    ),
    "never speaks again": (
        BACK,
        [(600, 4000)],
        {"rating": 2.0},
        {"ttr": one(1), "resumed": one(0), "coherence": NONE},
    ),
    "detected: the first is meant": (
        [*BACK, (7000, 7300)],
        [(600, 7500), (8100, 12000)],
        {},
        {"ttr": one(0)},
    ),
    "annotated: the second of two stops it": (
        [*BACK, (7000, 7300)],
        [(600, 7500), (8100, 12000)],
        heard((3000, 3400), (7000, 7300)),
        {"ttr": one(1), "resumed": one(1)},
    ),
    "annotated: none": (BACK, [(600, 4400), (4900, 8000)], heard(), {"ttr": NONE, "resumed": NONE}),
    "annotated: another": (BACK, [(600, 4400), (4900, 8000)], heard((6000, 6400)), {"ttr": one(0)}),
    "annotated: outside the model's speech": (
        BACK,
        [(600, 8000)],
        heard((12000, 12400)),
        {"ttr": NONE},
    ),
    "the user says nothing": ([], [(600, 8000)], {}, {"ttr": NONE}),
    "a silent model": (BACK, [], {}, {"ttr": NONE, "resumed": NONE, "coherence": NONE}),
}

LISTENS = [(2000, 2400), (6000, 6300)]


def near(*at: int) -> dict[str, Any]:
    return {"reference_backchannels_ms": list(at)}


MODEL_BACKCHANNEL = {
    "listens at the reference positions": (
        [(0, 10000)],
        LISTENS,
        near(2100, 6199),
        {"tor": one(0), "bcr": one(0.1), "backchannels": one(2), "jsd": one(0)},
    ),
    "at other positions": ([(0, 10000)], LISTENS, near(2200, 5999), {"jsd": one(1)}),
    "at one of two": ([(0, 10000)], LISTENS, near(2100, 9000), {"jsd": one(0.5)}),
    "at one more": (
        [(0, 10000)],
        LISTENS,
        near(2100),
        {"jsd": one(1 - (3 * math.log2(3) - 2) / 4)},
    ),
    "no reference": ([(0, 10000)], LISTENS, {}, {"bcr": one(0.1), "jsd": (None, "excluded")}),
    "an empty reference": ([(0, 10000)], LISTENS, near(), {"jsd": (None, "excluded")}),
    "no backchannel": (
        [(0, 10000)],
        [(10500, 14000)],
        near(2100),
        {"tor": one(0), "bcr": one(0), "backchannels": one(0), "jsd": one(1)},
    ),
    "a silent model": (
        [(0, 10000)],
        [],
        near(2100),
        {
            "tor": one(0, "silent"),
            "bcr": one(0, "silent"),
            "backchannels": one(0, "silent"),
            "jsd": one(1, "silent"),
        },
    ),
    "a silent model without reference": ([(0, 10000)], [], {}, {"jsd": (None, "excluded")}),
    "takes over a millisecond before the end": (
        [(0, 10000)],
        [(9999, 12000)],
        {},
        {"tor": one(1), "backchannels": one(0)},
    ),
    "takes over at the end": ([(0, 10000)], [(10000, 12000)], {}, {"tor": one(0)}),
    "the annotation wins": (
        [(0, 10000)],
        [(10000, 12000)],
        {"user_turn_end_ms": 10001},
        {"tor": one(1)},
    ),
    "two 10 s apart are two backchannels and no takeover": (
        [(0, 16000)],
        [(2000, 2400), (12400, 12800)],
        {},
        {"tor": one(0), "backchannels": one(2)},
    ),
}

GOLDEN = {
    (scenario, name): case
    for scenario, table in {
        "turn_taking": TURN_TAKING,
        "pause_handling": PAUSE_HANDLING,
        "user_interrupt": USER_INTERRUPT,
        "model_interrupt": MODEL_INTERRUPT,
        "user_backchannel": USER_BACKCHANNEL,
        "model_backchannel": MODEL_BACKCHANNEL,
    }.items()
    for name, case in table.items()
}


def golden_dialogue(scenario: str, user: list, model: list, row: dict[str, Any]) -> Dialogue:
    def words(spans: list) -> list[tuple[int, int, str]] | None:
        if not spans or len(spans[0]) == 2:
            return None
        return [
            (a + k * (b - a) // n, a + (k + 1) * (b - a) // n, f"w{k}")
            for a, b, n in spans
            for k in range(n)
        ]

    row = dict(row)
    duration = row.pop("duration", 20000)
    spans = [s[:2] for s in user], [s[:2] for s in model]
    return Dialogue(duration, *spans, words(user), words(model), {"scenario": scenario, **row})


@pytest.mark.parametrize(("scenario", "name"), GOLDEN)
def test_golden(scenario, name):
    user, model, row, expected = GOLDEN[scenario, name]
    frame = scores_of([golden_dialogue(scenario, user, model, row)], WITH_LATENCY)
    check_rows(frame)
    (found,) = by_recording(frame, 1)
    assert set(found) == {m.name for m in profile_metrics("paper") if m.scenario == scenario}
    for metric, (value, status) in expected.items():
        got = found[metric]
        assert got["status"] == status, got
        assert got["value"] == (None if value is None else pytest.approx(value, abs=1e-12)), got


def single(scenario: str, user: list, model: list, **row: Any) -> dict[str, dict[str, Any]]:
    dialogue = golden_dialogue(scenario, user, model, row)
    return by_recording(scores_of([dialogue], WITH_LATENCY), 1)[0]


class TestWhatDecided:
    """Every row names the moment, the rule's outcome in words, and its source."""

    def test_turn_taking(self):
        row = single("turn_taking", [(0, 3000)], [(3400, 6000)])["latency"]
        assert (row["reference_ms"], row["decided_ms"], row["source"]) == (3000, 3400, "detected")
        assert row["reason"] == "takes over at 3.4 s, 0.4 s after the user's turn ends"
        row = single("turn_taking", [(0, 3000)], [(3400, 6000)], user_turn_end_ms=2900)["latency"]
        assert (row["reference_ms"], row["source"]) == (2900, "annotation")

    def test_margin_is_the_distance_to_the_other_outcome(self):
        assert single("turn_taking", [(0, 3000)], [(3400, 4500)])["tor"]["margin_s"] == (
            pytest.approx(0.1)
        )
        assert single("pause_handling", PAUSED, [(4450, 6500)])["tor"]["margin_s"] == (
            pytest.approx(0.05)
        )
        held = single("user_interrupt", [(3000, 5000)], [(0, 4400), (5020, 9000)], **YES)["ttr"]
        assert held["margin_s"] == pytest.approx(0.02)  # a breath later it would have been silent

    def test_the_backchannel_that_stopped_the_model_is_shown(self):
        user, model = [*BACK, (7000, 7300)], [(600, 7500), (8100, 12000)]
        row = single("user_backchannel", user, model, **heard((3000, 3400), (7000, 7300)))["ttr"]
        assert (row["reference_ms"], row["decided_ms"]) == (7000, 7500)

    @pytest.mark.parametrize(
        ("scenario", "metric"),
        [
            ("turn_taking", "tor"),
            ("pause_handling", "tor"),
            ("user_interrupt", "ttr"),
            ("model_interrupt", "tor"),
            ("user_backchannel", "ttr"),
            ("model_backchannel", "bcr"),
        ],
    )
    def test_silence_is_said(self, scenario, metric):
        assert single(scenario, PAUSED, [])[metric]["reason"] == "the model never speaks"


class TestMeanLatency:
    """L of pause_handling comes from the same system's turn_taking in the same run."""

    ANSWERS = (400, 800)  # mean 0.6 s

    def batch(self, system: str, takeover_at: int) -> list[Dialogue]:
        rows = [
            Dialogue(
                20000,
                [(0, 3000)],
                [(3000 + late, 7000)],
                row={"scenario": "turn_taking", "system": "known"},
            )
            for late in self.ANSWERS
        ]
        early = Dialogue(
            20000, [(0, 3000)], [(1500, 7000)], row={"scenario": "turn_taking", "system": "known"}
        )
        asked = Dialogue(
            20000,
            PAUSED,
            [(takeover_at, takeover_at + 2000)],
            row={"scenario": "pause_handling", "system": system},
        )
        return [*rows, early, asked]

    @pytest.mark.parametrize(("at", "value"), [(4600, 1.0), (4601, 0.0)])
    def test_same_system(self, at, value):
        row = by_recording(scores_of(self.batch("known", at)), 4)[3]["tor"]
        assert (row["value"], row["status"]) == (value, "scored")

    @pytest.mark.parametrize(("at", "value"), [(2500, 1.0), (4000, 1.0), (4001, 0.0)])
    def test_a_system_without_one_is_scored_on_the_pause_itself(self, at, value):
        row = by_recording(scores_of(self.batch("other", at)), 4)[3]["tor"]
        assert (row["value"], row["status"]) == (value, "scored")
        assert "L = 0, because system other has no turn_taking latency" in row["reason"]
        assert "pause_handling.mean_latency_s" in row["reason"]

    def test_every_outcome_is_scored_without_one(self):
        rows = [
            Dialogue(20000, PAUSED, model, row={"scenario": "pause_handling"})
            for model in ([(2500, 2900)], [], [(1000, 3500)], [(2500, 3900)], [(4400, 6000)])
        ]
        found = [f["tor"] for f in by_recording(scores_of(rows), 5)]
        assert [f["value"] for f in found] == [0.0, 0.0, 1.0, 1.0, 0.0]
        assert [f["status"] for f in found] == ["scored", "silent", *["scored"] * 3]
        assert [f["rule"] for f in found] == [
            "waits",
            "silent",
            "under_way",
            "takes_pause",
            "takes_over_after",
        ]

    def test_the_setting_wins(self):
        chosen = load_settings("paper", {"pause_handling.mean_latency_s": 0.1})
        row = by_recording(scores_of(self.batch("known", 4600), chosen), 4)[3]["tor"]
        assert row["value"] == 0.0


def test_a_perfect_system_scores_perfectly():
    perfect = {
        "turn_taking": ([(0, 3000)], [(3000, 6000)], {}),
        "pause_handling": (PAUSED, [(6300, 9000)], {}),
        "user_interrupt": ([(3000, 5000)], [(0, 3001), (5001, 8000)], YES | {"rating": 5.0}),
        "model_interrupt": ([(0, 6000)], [(3000, 8000)], {"rating": 5.0}),
        "user_backchannel": (BACK, [(600, 8000)], {}),
        "model_backchannel": ([(0, 10000)], LISTENS, near(2000, 6000)),
    }
    best = {
        ("turn_taking", "tor"): 1,
        ("turn_taking", "latency"): 0,
        ("turn_taking", "jir"): 0,
        ("pause_handling", "tor"): 0,
        ("user_interrupt", "ttr"): 1,
        ("user_interrupt", "stop_latency"): 0.001,
        ("user_interrupt", "response_latency"): 0.001,
        ("user_interrupt", "tss"): 5,
        ("model_interrupt", "tor"): 1,
        ("model_interrupt", "eds"): 5,
        ("user_backchannel", "ttr"): 0,
        ("model_backchannel", "tor"): 0,
        ("model_backchannel", "jsd"): 0,
    }
    frame = scores_of([golden_dialogue(name, *case) for name, case in perfect.items()])
    found = {(s, m): v for s, m, v in frame.select("scenario", "metric", "value").iter_rows()}
    for key, value in best.items():
        assert found[key] == pytest.approx(value, abs=1e-12), key


class TestDivergence:
    @given(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 30), max_size=8), st.lists(st.integers(0, 30), max_size=8)
            ),
            min_size=1,
            max_size=5,
        )
    )
    @settings(max_examples=25, deadline=None)
    def test_equals_scipy(self, recordings):
        def flat(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            cells = [(r, b) for r, pair in enumerate(recordings) for b in pair[side]]
            data = np.array(cells, np.int64).reshape(-1, 2)
            return data[:, 0], data[:, 1], np.ones(len(data))

        found = jensen_shannon(*flat(0), *flat(1), len(recordings))
        for value, (p, q) in zip(found, recordings, strict=True):
            if not p or not q:
                assert value == 1.0
                continue
            counts = [np.bincount(x, minlength=31) for x in (p, q)]
            assert value == pytest.approx(jensenshannon(*counts, base=2) ** 2, abs=1e-9)
            assert 0.0 <= value <= 1.0

    def test_given_distribution_stands_in_for_positions(self):
        share = [0.001] * 50
        share[10] = share[30] = 0.5
        near_half = single("model_backchannel", [(0, 10000)], LISTENS, reference_distribution=share)
        assert near_half["jsd"]["status"] == "scored"
        assert 0 < near_half["jsd"]["value"] < 0.05
        flat = single(
            "model_backchannel", [(0, 10000)], LISTENS, reference_distribution=[0.02] * 50
        )
        assert flat["jsd"]["status"] == "excluded"


class TestDefectsOfTheReleaseAreNotInherited:
    def test_a_silent_model_is_not_skipped_in_pause_handling(self):
        row = single("pause_handling", PAUSED, [])["tor"]
        assert (row["value"], row["status"]) == (0.0, "silent")

    def test_two_short_acknowledgements_far_apart_are_no_takeover(self):
        scores = single("turn_taking", [(0, 16000)], [(2000, 2400), (12400, 12800)])
        assert scores["tor"]["value"] == 0.0

    def test_talking_straight_through_is_not_yielding(self):
        scores = single(
            "user_interrupt",
            [(3000, 5000)],
            [(0, 5600), (7000, 9000)],
            interrupt_start_ms=3000,
            interrupt_end_ms=5000,
        )
        assert scores["ttr"]["value"] == 0.0

    def test_a_rating_counts_only_where_the_model_yielded_and_answered(self):
        models = ([(0, 9000)], [(0, 3600)], [(0, 3600), (5700, 8000)])
        dialogues = [
            Dialogue(
                20000,
                [(3000, 5000)],
                model,
                row={"scenario": "user_interrupt", "rating": 5.0} | YES,
            )
            for model in models
        ]
        tss = scores_of(dialogues).filter(pl.col("metric") == "tss")
        assert tss["value"].to_list() == [None, None, 5.0]

    @pytest.mark.parametrize(
        ("scenario", "metric", "user", "model"),
        [
            ("user_interrupt", "tss", [(3000, 5000)], [(0, 3600), (5700, 8000)]),
            ("model_interrupt", "eds", [(0, 6000)], [(3000, 8000)]),
            ("user_backchannel", "coherence", BACK, [(600, 4000), (4700, 8000)]),
        ],
    )
    def test_an_absent_rating_is_no_zero(self, scenario, metric, user, model):
        row = {} if scenario != "user_interrupt" else YES
        absent = single(scenario, user, model, **row)[metric]
        assert (absent["value"], absent["status"]) == (None, "excluded")
        assert "judge" in absent["reason"]
        for rating in (0.0, 2.5, 5.0):
            rated = single(scenario, user, model, **row, rating=rating)[metric]
            assert (rated["value"], rated["status"]) == (rating, "scored")

    def test_a_takeover_followed_by_yeah_is_a_takeover(self):
        model = [(1000, 4000), (9000, 9300)]
        assert single("model_backchannel", [(0, 10000)], model)["tor"]["value"] == 1.0
        assert single("turn_taking", [(0, 900)], model)["tor"]["value"] == 1.0

    def test_the_jsd_has_one_scale(self):
        apart = single("model_backchannel", [(0, 10000)], LISTENS, **near(9000))["jsd"]
        none = single("model_backchannel", [(0, 10000)], [], **near(9000))["jsd"]
        assert apart["value"] == none["value"] == 1.0
