"""Rubrics, and what of a reply is believed: all of it or nothing."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexi_score.errors import ReplyError, SettingsError
from flexi_score.judge.rubrics import load_rubric, read_reply, rubric_names
from flexi_score.metrics.registry import BEHAVIOURS

METRICS = ("tss", "eds", "coherence", "rating", "reference_backchannels")
NAMES = (*METRICS, "behaviour", "release_tss", "release_eds", "release_coherence")
WORDS = {"words": [["So", 0.42], ["I", 0.5], ["left", 1.0], ["him", 12.345]]}

SURROGATE = '{"reason": "half: \\ud83d", "score": 3}'


@pytest.mark.parametrize("name", NAMES)
def test_every_judged_metric_has_a_rubric(name: str) -> None:
    rubric = load_rubric(name)
    metric = rubric.metric
    assert metric == name.removeprefix("release_")
    assert rubric.version.isdigit()
    assert set(rubric_names()) == set(NAMES)
    # Structured output wants every key required and none beyond them.
    assert rubric.schema["required"] == list(rubric.schema["properties"])
    assert rubric.schema["additionalProperties"] is False
    assert all(name in rubric.instructions for name in rubric.schema["properties"])
    assert "never instructions to you" in rubric.instructions
    if metric == "behaviour":
        assert all(f"\n{name}: " in rubric.instructions for name in BEHAVIOURS)
    elif metric != "reference_backchannels":
        assert all(f"\n{level}: " in rubric.instructions for level in range(6))


#: Version and hash of the text of every rubric.
TEXTS = {
    "behaviour": ("1", "4727300546e2"),
    "coherence": ("1", "08071471275c"),
    "eds": ("1", "aede44fa3ba3"),
    "rating": ("1", "2cf6d0301dcd"),
    "reference_backchannels": ("1", "56397e3af0ab"),
    "release_coherence": ("1", "282bf74839d1"),
    "release_eds": ("1", "b64fcf4e38f6"),
    "release_tss": ("1", "9ce660cf23f3"),
    "tss": ("1", "ebb88e9c8ef4"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_another_text_is_another_version(name: str) -> None:
    """Where this fails, the text has changed: give it a new version, and note its hash here."""
    rubric = load_rubric(name)
    text = hashlib.sha256(rubric.instructions.encode()).hexdigest()[:12]
    assert (rubric.version, text) == TEXTS[name]


def test_a_behaviour_is_one_of_four() -> None:
    for number, name in enumerate(BEHAVIOURS):
        raw = json.dumps({"reason": "so", "behaviour": name})
        assert read_reply(load_rubric("behaviour"), {}, raw).value == number
    with pytest.raises(ReplyError, match="behaviour: found 'Respond', expected one of respond"):
        read_reply(load_rubric("behaviour"), {}, json.dumps({"reason": "", "behaviour": "Respond"}))


def test_an_unknown_rubric_is_named() -> None:
    with pytest.raises(SettingsError, match=r"'\.\./tss'.*known: behaviour, coherence, eds"):
        load_rubric("../tss")


@pytest.mark.parametrize("score", [0, 3, 5, 5.0])
def test_scores_are_read(score: float) -> None:
    reading = read_reply(load_rubric("tss"), {}, json.dumps({"reason": "so", "score": score}))
    assert reading == (score, None, "so")


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ("", "not JSON"),
        ("5", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('[{"reason": "", "score": 5}]', "expected a JSON object"),
        ('{"reason": "good", "score": 5', "not JSON"),
        ('{"reason": "good", "score": 5} {"reason": "", "score": 0}', "not JSON"),
        ('```json\n{"reason": "good", "score": 5}\n```', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"reason": "", "score": 1, "score": 5}', "comes twice"),
        ('{"score": 5}', r"keys \['score'\]"),
        ('{"reason": "", "rating": 5}', "keys"),
        ('{"reason": "", "score": 5, "note": ""}', "keys"),
        ('{"reason": 4, "score": 5}', "reason: found 4"),
        ('{"reason": "", "score": 6}', "score: found 6"),
        ('{"reason": "", "score": -1}', "score: found -1"),
        ('{"reason": "", "score": 3.5}', "score: found 3.5"),
        ('{"reason": "", "score": "5"}', "score: found '5'"),
        ('{"reason": "", "score": true}', "score: found True"),
        ('{"reason": "", "score": null}', "score: found None"),
        ('{"reason": "", "score": [5]}', "score: found"),
        ('{"reason": "", "score": NaN}', "NaN"),
        ('{"reason": "", "score": Infinity}', "Infinity"),
        ('{"reason": "", "score": 1e999}', "score: found inf"),
        ('{"reason": "", "score": ' + "9" * 5000 + "}", "not JSON"),
        ('{"reason": "", "score": ' + "9" * 4000 + "}", "score: found 9"),
    ],
)
def test_what_breaks_the_rubric_is_no_score(raw: str, told: str) -> None:
    with pytest.raises(ReplyError, match=told) as caught:
        read_reply(load_rubric("tss"), {}, raw)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_a_reason_of_half_a_character_can_be_stored() -> None:
    reading = read_reply(load_rubric("tss"), {}, SURROGATE)
    assert reading.value == 3
    assert reading.reason.encode() == b"half: ?"


def test_positions_are_word_ends() -> None:
    rubric = load_rubric("reference_backchannels")

    def read(positions: Any) -> list[float] | None:
        reply = json.dumps({"reason": "", "positions_s": positions})
        return read_reply(rubric, WORDS, reply).positions_s

    assert read([]) == []
    assert read([12.345, 0.42, 1, 0.42]) == [0.42, 1.0, 12.345]
    for wrong in ([0.43], [0], [0.42, 99.0], ["0.42"], [True], [None], [[0.42]], "0.42", None, {}):
        with pytest.raises(ReplyError, match="positions_s"):
            read(wrong)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["score", "reason"]), inner),
    max_leaves=6,
)


@given(st.text() | JSON.map(json.dumps), st.sampled_from(METRICS))
def test_any_reply_is_read_whole_or_refused(raw: str, metric: str) -> None:
    try:
        reading = read_reply(load_rubric(metric), WORDS, raw)
    except ReplyError:
        return
    assert json.loads(raw).keys() == set(load_rubric(metric).schema["properties"])
    assert reading.value in (None, 0, 1, 2, 3, 4, 5)
    assert (reading.value is None) != (reading.positions_s is None)
