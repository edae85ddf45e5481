"""The library on plain lists: structure and scores of one recording, in seconds."""

import doctest

import numpy as np
import polars as pl
import pytest
from factories import Dialogue, random_dialogue, tracks_of

import flexi_score as fs
from flexi_score.errors import InputError
from flexi_score.metrics import score_structure
from flexi_score.schema import EVENTS, SCENARIOS, SCORES
from flexi_score.scoring import segments
from flexi_score.segment.events import events_frame
from flexi_score.segment.structure import build_structure

# Recordings worked out on paper (s): scenario, user, model, annotations, what holds.
WORKED = [
    ("pause_handling", [(0, 2), (4, 6)], [(2.5, 3.9)], {}, {"tor": 1}),
    ("user_interrupt", [(4.6, 8)], [(0, 3), (4.2, 5)], {}, {"ttr": 1, "stop_latency": 0.4}),
    ("user_interrupt", [(4.3, 5.4)], [(0, 4), (4.9, 5.5)], {}, {"ttr": None}),
    (
        "user_backchannel",
        [(4.4, 4.7)],
        [(0, 3), (4.2, 5), (6, 8)],
        {},
        {"ttr": 1, "resumed": 1, "acceptable": None},
    ),
    (
        "user_interrupt",
        [(4.8, 4.9)],
        [(0, 5), (5.3, 6.7), (8, 9.5)],
        {"interrupt": [4.8, 4.9]},
        {"ttr": 1, "response_latency": 3.1},
    ),
    (
        "turn_taking",
        [(0, 5)],
        [(4.5, 4.8), (5.3, 8)],
        {"user_turn_end": 5},
        {"jir": 0, "latency": 0.3},
    ),
    (
        "user_interrupt",
        [(3.0, 8.0)],
        [(0, 3.74), (6.27, 9.0)],
        {"interrupt": [3.0, 7.8]},
        {"ttr": 1, "stop_latency": 0.74},
    ),
    ("pause_handling", [(0, 4), (6, 8)], [(2, 9)], {"pause": [4, 6]}, {"tor": 1}),
    (
        "user_interrupt",
        [(4.2, 15)],
        [(0, 4.76), (14.3, 14.6)],
        {"interrupt": [4.2, 15]},
        {"ttr": 1, "stop_latency": 0.56},
    ),
]


@pytest.mark.parametrize(("scenario", "user", "model", "annotations", "expected"), WORKED)
def test_recordings_worked_out_on_paper(scenario, user, model, annotations, expected):
    scores = fs.score_segments(
        user=user, model=model, duration=20, scenario=scenario, annotations=annotations
    )
    assert scores.schema == SCORES
    values = dict(scores.select("metric", "value").iter_rows())
    for metric, value in expected.items():
        assert values[metric] == (None if value is None else pytest.approx(value)), metric


def test_an_interruption_is_its_ipu_and_won():
    events = fs.structure(user=[(2, 5), (5.5, 9)], model=[(0, 2.5), (7, 7.3)], duration=20)
    cuts = events.filter(kind="interruption").select("speaker", "start_ms", "end_ms", "success")
    assert cuts.rows() == [("user", 2000, 5000, True)]
    stop = fs.structure(user=[(2.0, 2.6)], model=[(0, 2.4)], duration=20)
    assert stop.filter(kind="interruption")["success"].to_list() == [True]
    assert stop.filter(kind="backchannel").is_empty()


def test_lists_score_as_tracks_do():
    rng = np.random.default_rng(3)
    for number in range(24):
        dialogue = random_dialogue(rng, SCENARIOS[number % len(SCENARIOS)])
        spans = [
            [(a / 1000, b / 1000) for a, b in side if 0 <= a < b <= dialogue.duration]
            for side in (dialogue.user, dialogue.model)
        ]
        words = [
            None
            if side is None
            else [(t, a / 1000, b / 1000) for a, b, t in side if 0 <= a <= b <= dialogue.duration]
            for side in (dialogue.user_words, dialogue.model_words)
        ]
        ms = [[(round(a * 1000), round(b * 1000)) for a, b in side] for side in spans]
        timed = [
            None
            if side is None
            else [(round(a * 1000), round(b * 1000), text) for text, a, b in side]
            for side in words
        ]
        whole = Dialogue(dialogue.duration, *ms, *timed)
        structure = build_structure(tracks_of([whole]), fs.load_settings())
        events = fs.structure(
            *spans, dialogue.duration / 1000, user_words=words[0], model_words=words[1]
        )
        assert events.schema == EVENTS
        assert events.drop("recording").equals(events_frame(structure).drop("recording"))
        scores = fs.score_segments(
            *spans, dialogue.duration / 1000, user_words=words[0], model_words=words[1]
        )
        same = score_structure(structure, fs.load_settings())
        assert scores["value"].equals(same["value"])


def test_words_in_the_shapes_that_recognisers_write():
    shapes = [
        [("oh", 5.1, 5.2), ("I", 5.2, 5.3), ("see", 5.3, 5.4), ("it", 5.4, 5.5)],
        [(5.1, 5.2, "oh"), (5.2, 5.3, "I"), (5.3, 5.4, "see"), (5.4, 5.5, "it")],
        [{"text": w, "start": 5.1, "end": 5.2} for w in ("oh", "I", "see", "it")],
        [{"text": w, "timestamp": [5.1, 5.2]} for w in ("oh", "I", "see", "it")],
    ]
    for words in shapes:
        scores = fs.score_segments([(0, 5)], [(5.1, 5.6)], 9, "turn_taking", model_words=words)
        assert scores.filter(metric="tor")["value"].item() == 1  # four words are a takeover
    without = fs.score_segments([(0, 5)], [(5.1, 5.6)], 9, "turn_taking")
    assert without.filter(metric="tor")["value"].item() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"user": [(2, 1)]}, r"user\[0\]: ends at 1 s, before it starts"),
        ({"user": [(0, 1), (2,)]}, r"user\[1\]: found \(2,\), expected \(start, end\)"),
        ({"model": [(0, float("nan"))]}, r"model\[0\] end: found nan"),
        ({"model": [(-1, 2)]}, r"model\[0\] start: found -1"),
        ({"model": [("0", 2)]}, r"model\[0\] start: found '0'"),
        ({"model": [(0, 2000)], "duration": 12}, "past the duration of 12.0 s"),
        ({"user_words": [("a", 1)]}, r"user_words\[0\]: found \('a', 1\)"),
        ({"scenario": "turn_takin"}, "did you mean 'turn_taking'"),
        ({"annotations": {"user_turn": 3}}, "user_turn"),
        ({"annotations": {"pause": [4, 3]}}, "pause"),
    ],
)
def test_what_is_wrong_is_named(given, message):
    arguments = {"user": [(0, 1)], "model": [(1, 2)], "duration": 12, **given}
    with pytest.raises(InputError, match=message):
        fs.score_segments(**arguments)


def test_nothing_said_and_no_duration():
    assert fs.structure([], []).is_empty()
    silent = fs.score_segments([(0, 3)], [], 9, "turn_taking")
    assert set(silent["status"]) == {"silent"}
    events = fs.structure([(0, 3)], [(4, 5)])
    assert events["end_ms"].max() == 5000


def test_numpy_arrays_and_frames_are_lists_too():
    spans = np.array([[0.0, 3.0]])
    frame = pl.DataFrame({"start": [4.0], "end": [6.0]})
    events = fs.structure(spans, frame.rows(), 9)
    assert events.filter(kind="turn").height == 2


def test_examples():
    failures, tried = doctest.testmod(segments)
    assert tried > 3
    assert failures == 0
