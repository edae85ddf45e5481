"""Profile ``release``, vectorised, against the plain per-sample implementation."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import reference_release as plain
from hypothesis import given, settings
from reference_release import Numbers, Pair, Sample, build_tracks

from flexi_score.config import load_settings
from flexi_score.metrics.release import SCORERS

LATENCY = 0.9


@st.composite
def spans(draw, longest: int = 12, most: int = 1500) -> list[Pair]:
    """Words of one speaker in order. A grid of 50 ms makes thresholds come up exactly."""
    grid = draw(st.sampled_from([1, 50]))
    clock, found = 0, []
    steps = st.tuples(st.integers(0, most // grid), st.integers(0, most // grid))
    gaps = draw(st.lists(st.tuples(steps, st.sampled_from([0, 1, 1, 1])), max_size=longest))
    for (gap, length), forward in gaps:
        start = max(clock + gap * grid * forward, 0)
        clock = start + length * grid
        found.append((start, clock))
    return found


moments = st.integers(0, 200).map(lambda k: 50 * k)
pairs = st.tuples(moments, moments).map(lambda p: (min(p), max(p)))
transcripts = st.one_of(st.none(), spans(), spans(), spans())
ratings = st.one_of(st.none(), st.sampled_from([0.0, 1.5, 2.0, 4.0, 5.0]))


@st.composite
def sample(draw, scenario: str, known: bool = False) -> Sample:
    words = spans() if known else transcripts
    reference = st.lists(st.floats(0.001, 1), min_size=1, max_size=40)
    return Sample(
        scenario,
        duration=draw(st.integers(1, 400).map(lambda k: 50 * k)),
        user=draw(words),
        model=draw(words),
        model_speech=[(a, b) for a, b in draw(spans(most=3200)) if b > a],
        turn_end=draw(moments),
        pause=draw(st.one_of(st.none(), pairs)),
        interrupt=draw(pairs),
        backchannels=draw(st.lists(pairs, max_size=2)),
        reference=draw(st.one_of(st.none(), reference)),
        rating=draw(ratings),
    )


def batch(scenario: str, samples: list[Sample]) -> list[Numbers]:
    """Values by metric of each sample, scored together."""
    for number, one in enumerate(samples):
        one.recording = f"r{number}"
    rec = np.arange(len(samples))
    scores = SCORERS[scenario](build_tracks(samples), rec, load_settings("release"), {"s": LATENCY})
    found: list[Numbers] = [{} for _ in samples]
    for recording, metric, value in scores.select("recording", "metric", "value").iter_rows():
        found[int(recording[1:])][metric] = value
    return found


def expected(one: Sample) -> Numbers | None:
    """What the plain implementation says; None where a transcript it reads is missing."""
    reads_user = one.scenario in ("pause_handling", "model_interrupt", "user_backchannel")
    if one.model is None or (reads_user and one.user is None):
        return None
    if one.scenario == "pause_handling":
        return plain.pause_handling(one, LATENCY)
    return getattr(plain, one.scenario)(one)


@pytest.mark.parametrize("scenario", SCORERS)
@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_equals_the_plain_implementation(scenario, data):
    samples = data.draw(st.lists(sample(scenario), min_size=1, max_size=6))
    for one, found in zip(samples, batch(scenario, samples), strict=True):
        numbers = expected(one)
        if numbers is None:
            assert all(value is None for name, value in found.items() if name != "eds")
            continue
        assert found.keys() == numbers.keys()
        for name, value in numbers.items():
            got = found[name]
            assert (got is None) == (value is None), (name, value, got, one)
            if value is not None:
                # The square root of a divergence of 1e-16 is 1e-8.
                assert math.isclose(got, value, rel_tol=1e-12, abs_tol=1e-7), (name, one)


@pytest.mark.parametrize("scenario", SCORERS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_recording_scores_the_same_alone_and_among_others(scenario, data):
    samples = data.draw(st.lists(sample(scenario), min_size=2, max_size=6))
    together = batch(scenario, samples)
    alone = [batch(scenario, [one])[0] for one in samples]
    assert together == alone
    assert batch(scenario, samples[::-1])[::-1] == together


@given(one=sample("user_interrupt", known=True), shift=st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_ratings_do_not_change_who_yielded(one, shift):
    rated = Sample(**{**vars(one), "rating": float(shift % 6)})
    first, second = batch("user_interrupt", [one, rated])
    assert (first["ttr"], first["latency"]) == (second["ttr"], second["latency"])
