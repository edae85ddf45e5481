"""What ``events.parquet`` and ``scores.parquet`` say of the same moment agrees, on any recording.

Nothing here knows how turns or takeovers are found: the two tables are read as a user reads them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from factories import Dialogue, random_dialogue, tracks_of
from hypothesis import given, settings

from flexi_score.config import load_settings
from flexi_score.metrics import score_structure
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure

DEFAULTS = load_settings()
HOLD, LATE_HOLD = DEFAULTS.yield_.hold_ms, DEFAULTS.yield_.late_hold_ms
Row = dict[str, Any]


@dataclass
class Case:
    """Events and scores of one recording."""

    row: Row
    duration: int
    events: list[Row]
    scores: dict[str, Row]

    def of(self, kind: str, speaker: str) -> list[Row]:
        return [e for e in self.events if e["kind"] == kind and e["speaker"] == speaker]

    def turn_end(self) -> int | None:
        """End of the user's turn: annotated, or of the last among the events."""
        ends = [t["end_ms"] for t in self.of("turn", "user")]
        return self.row.get("user_turn_end_ms", max(ends, default=None))

    def model_claims(self) -> list[Row]:
        """IPUs of the model outside its backchannels."""
        short = self.of("backchannel", "model")
        return [u for u in self.of("ipu", "model") if not any(within(u, b) for b in short)]

    def quiet_ms(self, at: int, units: list[Row]) -> int:
        """How long a party says nothing from a moment on, up to the recording's end."""
        later = [u["start_ms"] for u in units if u["start_ms"] >= at]
        return min([*later, self.duration]) - at

    def takes_over_at(self, at: int) -> bool:
        """An IPU of a model turn starts there, and it is no backchannel among the events."""
        starts = any(u["start_ms"] == at for u in self.model_claims())
        return starts and any(covers(t, at) for t in self.of("turn", "model"))


def within(inner: Row, outer: Row) -> bool:
    return outer["start_ms"] <= inner["start_ms"] and inner["end_ms"] <= outer["end_ms"]


def covers(event: Row, at: int) -> bool:
    return event["start_ms"] <= at < event["end_ms"]


def cases_of(dialogues: list[Dialogue]) -> list[Case]:
    structure = build_structure(tracks_of(dialogues), DEFAULTS)
    cases = [Case(d.row, d.duration, [], {}) for d in dialogues]
    for row in events_frame(structure).iter_rows(named=True):
        cases[int(row["recording"][1:])].events.append(row)
    for row in score_structure(structure, DEFAULTS).iter_rows(named=True):
        cases[int(row["recording"][1:])].scores[row["metric"]] = row
    return cases


def check_turn_taking(case: Case) -> None:
    tor, jir, offset = (case.scores[m] for m in ("tor", "jir", "floor_offset"))
    assert (tor["status"] == "silent") == (not case.of("ipu", "model"))
    assert jir["reference_ms"] == case.turn_end()
    if tor["value"] == 1:
        assert case.takes_over_at(tor["decided_ms"])
    else:
        assert not any(u["end_ms"] - u["start_ms"] > 1000 for u in case.of("ipu", "model"))
    if offset["value"] is not None:
        assert round(offset["value"] * 1000) == tor["decided_ms"] - case.turn_end()
        assert jir["value"] == (tor["decided_ms"] < case.turn_end())


def check_pause_handling(case: Case) -> None:
    tor, said = case.scores["tor"], case.of("ipu", "user")
    if "pause_start_ms" not in case.row:
        assert (tor["rule"] == "no_pause") == (len(said) < 2)
        if tor["rule"] != "no_pause":
            gaps = [(b["start_ms"] - a["end_ms"], -a["end_ms"]) for a, b in pairwise(said)]
            assert tor["reference_ms"] == -max(gaps)[1]
    if tor["value"] == 1:
        assert case.takes_over_at(tor["decided_ms"])
        before = tor["decided_ms"] < tor["reference_ms"]
        assert tor["rule"] == ("under_way" if before else "takes_pause")
    elif tor["value"] == 0 and tor["status"] == "scored":
        at = tor["reference_ms"]
        long = [u for u in case.of("ipu", "model") if u["end_ms"] - u["start_ms"] > 1000]
        assert not any(u["start_ms"] < at < u["end_ms"] for u in long)


def check_user_interrupt(case: Case) -> None:
    ttr, stop = case.scores["ttr"], case.scores["stop_latency"]
    answer, claims = case.scores["response_latency"], case.model_claims()
    if ttr["value"] == 1:
        at = ttr["decided_ms"]
        assert any(u["end_ms"] == at for u in claims)
        assert case.quiet_ms(at, claims) >= HOLD
        assert round(stop["value"] * 1000) == at - ttr["reference_ms"]
        if answer["value"] is not None:
            assert answer["decided_ms"] >= at
    if answer["value"] is not None:
        assert any(u["start_ms"] == answer["decided_ms"] for u in case.of("ipu", "model"))
    if "interrupt_start_ms" in case.row:
        return
    cuts = case.of("interruption", "user")
    assert (ttr["rule"] in ("no_interruption", "silent")) == (not cuts)
    if not cuts:
        return
    cut, won = cuts[0], cuts[0]["success"]
    assert ttr["reference_ms"] == cut["start_ms"]
    assert ttr["rule"] != "not_mid_turn"  # it starts inside an IPU of the model
    if won:  # then the model stopped when events say so, unless it went on at once
        at = cut["start_ms"] + cut["latency_ms"]
        quiet = case.quiet_ms(at, claims)
        if quiet >= HOLD:
            assert (ttr["value"], ttr["decided_ms"]) == (1, at)
        elif at + quiet == case.duration:
            assert ttr["value"] is None
    elif ttr["value"] == 1:  # it stopped for long, though it spoke again before the user ended
        at, end = ttr["decided_ms"], cut["end_ms"]
        quiet = case.quiet_ms(at, claims)
        assert quiet >= LATE_HOLD or at + quiet >= end


def check_model_interrupt(case: Case) -> None:
    tor, lead = case.scores["tor"], case.scores["lead"]
    if lead["value"] is not None:
        assert case.takes_over_at(lead["decided_ms"])
        assert round(lead["value"] * 1000) == case.turn_end() - lead["decided_ms"]
        assert tor["value"] == (lead["value"] >= 0.5)


def check_user_backchannel(case: Case) -> None:
    ttr, resumed, said = case.scores["ttr"], case.scores["resumed"], case.of("ipu", "model")
    if ttr["value"] == 1:
        at = ttr["decided_ms"]
        assert any(u["end_ms"] == at for u in said)
        quiet = case.quiet_ms(at, said)
        assert quiet >= HOLD
        assert resumed["value"] == (quiet <= 1000 and at + quiet < case.duration)
    if case.row.get("backchannels") is not None:
        return
    heard = [
        b
        for b in case.of("backchannel", "user")
        if any(u["start_ms"] < b["start_ms"] < u["end_ms"] for u in said)
    ]
    if heard:  # the first short utterance is that one, or another before it
        assert ttr["rule"] not in ("not_mid_turn", "silent")
        assert ttr["reference_ms"] <= heard[0]["start_ms"]
    if ttr["reference_ms"] is not None:
        at = ttr["reference_ms"]
        assert any(u["start_ms"] == at for u in case.of("ipu", "user"))
        assert any(u["start_ms"] < at < u["end_ms"] for u in said)


def check_model_backchannel(case: Case) -> None:
    scores, count = case.scores, len(case.of("backchannel", "model"))
    assert scores["backchannels"]["value"] == count
    if case.duration:
        assert scores["bcr"]["value"] == pytest.approx(count / (case.duration / 1000))
    if scores["jsd"]["value"] is not None and not count:
        assert scores["jsd"]["value"] == 1
    if scores["tor"]["value"] == 1:
        assert case.takes_over_at(scores["tor"]["decided_ms"])
        assert scores["tor"]["decided_ms"] < case.turn_end()


def check_conversation(case: Case) -> None:
    scores, minutes = case.scores, case.duration / 60_000
    if not case.duration:
        return
    for who in ("user", "model"):
        cuts = case.of("interruption", who)
        for metric, events in (
            (f"{who}_interruptions_per_min", cuts),
            (f"{who}_backchannels_per_min", case.of("backchannel", who)),
        ):
            assert scores[metric]["value"] == pytest.approx(len(events) / minutes)
        success = scores[f"{who}_interruption_success"]["value"]
        assert (success is None) == (not cuts)
        if cuts:
            assert success == pytest.approx(np.mean([c["success"] for c in cuts]))
    silences = case.of("gap", "none") + case.of("pause", "user") + case.of("pause", "model")
    longest = max((e["end_ms"] - e["start_ms"] for e in silences), default=None)
    if longest is not None:
        assert scores["longest_silence"]["value"] == pytest.approx(longest / 1000)


CHECKS: dict[str, Callable[[Case], None]] = {
    "turn_taking": check_turn_taking,
    "pause_handling": check_pause_handling,
    "user_interrupt": check_user_interrupt,
    "model_interrupt": check_model_interrupt,
    "user_backchannel": check_user_backchannel,
    "model_backchannel": check_model_backchannel,
    "conversation": check_conversation,
}


def without_annotations(dialogue: Dialogue) -> Dialogue:
    dialogue.row = {"scenario": dialogue.row["scenario"]}
    return dialogue


def batch(seed: int, n: int, scenario: str) -> list[Dialogue]:
    rng = np.random.default_rng(seed)
    made = [random_dialogue(rng, scenario) for _ in range(n)]
    return [without_annotations(d) if k % 3 else d for k, d in enumerate(made)]


@pytest.mark.parametrize("scenario", CHECKS)
def test_three_hundred_recordings(scenario: str) -> None:
    cases = cases_of(batch(4, 300, scenario))
    for case in cases:
        CHECKS[scenario](case)
    if scenario != "conversation":  # otherwise nothing was shown
        binary = next(m for m in ("tor", "ttr") if m in cases[0].scores)
        assert {0.0, 1.0} <= {case.scores[binary]["value"] for case in cases}


@pytest.mark.parametrize("scenario", CHECKS)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 12))
@settings(max_examples=10, deadline=None)
def test_any_recordings(scenario: str, seed: int, n: int) -> None:
    for case in cases_of(batch(seed, n, scenario)):
        CHECKS[scenario](case)
