"""The health check of annotated starts: the nearest onset, in words."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from factories import Dialogue, tracks_of

from flexi_score.capture.annotated import annotation_evidence
from flexi_score.capture.gate import judge
from flexi_score.config import load_settings


def evidence(*dialogues: Dialogue) -> list[tuple[float | None, str | None]]:
    value, told = annotation_evidence(tracks_of(dialogues))
    return [
        (None if np.isnan(v) else float(v), t) for v, t in zip(value, told.to_list(), strict=True)
    ]


def test_padded_starts_are_named_with_the_nearest_onset() -> None:
    user = [(0, 1000), (4760, 6000)]
    row = {"interrupt_start_ms": 4200, "interrupt_end_ms": 6200}
    (found,) = evidence(Dialogue(9000, user, [(0, 5000)], row=row))
    assert found == (
        560.0,
        "annotations.interrupt starts at 4.2 s; the user's nearest onset is at 4.76 s",
    )


@pytest.mark.parametrize(("start", "away"), [(4760, 0.0), (4700, 60.0), (5000, 240.0)])
def test_the_distance_is_to_the_nearest_onset(start: int, away: float) -> None:
    row = {"interrupt_start_ms": start, "interrupt_end_ms": 6200}
    ((value, _),) = evidence(Dialogue(9000, [(0, 1000), (4760, 6000)], [], row=row))
    assert value == away


def test_the_worst_of_several_backchannels_counts_in_its_own_recording() -> None:
    heard = [{"start_ms": 1000, "end_ms": 1300}, {"start_ms": 5000, "end_ms": 5200}]
    found = evidence(
        Dialogue(9000, [(1010, 1300)], [], row={"backchannels": heard}),
        Dialogue(9000, [(1000, 1300), (5000, 5200)], [], row={"backchannels": heard}),
        Dialogue(9000, [(1000, 1300)], []),
    )
    assert [value for value, _ in found] == [3990.0, 0.0, None]
    assert "annotations.backchannels starts at 5.0 s" in str(found[0][1])


def test_a_user_that_never_speaks() -> None:
    row = {"interrupt_start_ms": 2000, "interrupt_end_ms": 3000}
    ((value, told),) = evidence(Dialogue(9000, [], [(0, 5000)], row=row))
    assert value == 9000
    assert told == "annotations.interrupt starts at 2.0 s, and the user never speaks"


def test_nothing_is_said_of_a_user_of_whom_nothing_is_known() -> None:
    row = {"interrupt_start_ms": 2000, "interrupt_end_ms": 3000}
    tracks = tracks_of([Dialogue(9000, [], [(0, 5000)], row=row)] * 2)
    known = replace(tracks, user_known=np.array([False, True]))
    value, told = annotation_evidence(known)
    assert np.isnan(value[0])
    assert value[1] == 9000
    assert told[0] is None


def test_no_recordings() -> None:
    assert evidence() == []


@pytest.mark.parametrize(
    ("start", "verdict"), [(4460, "fine"), (4459, "warn"), (5060, "fine"), (5061, "warn")]
)
def test_an_annotated_start_within_300_ms_of_speech_is_right(start: int, verdict: str) -> None:
    row = {"interrupt_start_ms": start, "interrupt_end_ms": 6200}
    ((value, told),) = evidence(Dialogue(9000, [(0, 1000), (4760, 6000)], [], row=row))
    measured = {"recording": "a", "check": "annotation", "channel": "user"}
    judged = judge(
        pl.DataFrame([measured | {"value": value, "detail": told}]), load_settings("paper").health
    )
    assert judged["verdict"].to_list() == [verdict]
