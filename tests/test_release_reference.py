"""Profile ``release``, vectorised, against the plain per-sample implementation.

Hypothesis draws seeds, each of which makes many samples: thresholds are met exactly only now and
then, so that numbers count for more than small counterexamples.
"""

import math

import numpy as np
import pytest
import reference_release as plain
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_release import Numbers, Pair, Sample, build_tracks

from flexi_score.config import load_settings
from flexi_score.metrics.release import SCORERS
from flexi_score.scoring.fill import fill_given

LATENCY = 0.9
seeds = st.integers(0, 2**32 - 1)


def spans(rng: np.random.Generator, grid: int, longest: int) -> list[Pair]:
    """Words or segments of one speaker in order, at times that are multiples of ``grid`` ms."""
    n = int(rng.choice([0, 1, 2, 3, 3, 4, 5, 8]))
    often_short = rng.choice([300, 1200, 2500])
    gaps = rng.integers(0, often_short // min(grid, 250) + 1, n) * min(grid, 250)
    lengths = rng.integers(1, longest // grid + 1, n) * grid
    if rng.random() < 0.3:
        gaps[:1] = 0
    if rng.random() < 0.1:
        lengths[:] = 0
    ends = np.cumsum(gaps + lengths)
    return list(zip((ends - lengths).tolist(), ends.tolist(), strict=True))


def random_sample(rng: np.random.Generator, scenario: str) -> Sample:
    """A sample of one scenario, on a grid coarse enough to meet thresholds exactly."""
    grid = int(rng.choice([1, 50, 250, 500]))

    def words() -> list[Pair] | None:
        return None if rng.random() < 0.05 else spans(rng, grid, int(rng.choice([500, 1000])))

    def moment() -> int:
        return int(rng.integers(0, 6000 // grid)) * grid

    def pair() -> Pair:
        start = moment()
        return start, start + int(rng.integers(0, 3000 // grid)) * grid

    speech = spans(rng, int(rng.choice([1, 100, 500])), int(rng.choice([1000, 3500])))
    return Sample(
        scenario,
        duration=int(rng.integers(1, 400)) * 50,
        user=words(),
        model=words(),
        model_speech=[(a, b) for a, b in speech if b > a],
        turn_end=moment(),
        pause=None if rng.random() < 0.1 else pair(),
        interrupt=pair(),
        backchannels=[pair() for _ in range(rng.integers(0, 3))],
        reference=None if rng.random() < 0.1 else rng.random(rng.integers(1, 40)).tolist(),
        rating=None if rng.random() < 0.2 else float(rng.integers(0, 11)) / 2,
    )


def batch(scenario: str, samples: list[Sample]) -> list[Numbers]:
    """Values by metric of each sample, scored together."""
    for number, one in enumerate(samples):
        one.recording = f"r{number}"
    rec = np.arange(len(samples))
    tracks = build_tracks(samples)
    scores = SCORERS[scenario](tracks, rec, load_settings("release"), {"s": LATENCY})
    scores = fill_given(scores, tracks.recordings)
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
@given(seed=seeds)
@settings(max_examples=12, deadline=None)
def test_equals_the_plain_implementation(scenario, seed):
    rng = np.random.default_rng(seed)
    samples = [random_sample(rng, scenario) for _ in range(300)]
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
@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_a_recording_scores_the_same_alone_and_among_others(scenario, seed):
    rng = np.random.default_rng(seed)
    samples = [random_sample(rng, scenario) for _ in range(40)]
    together = batch(scenario, samples)
    alone = [batch(scenario, [one])[0] for one in samples]
    assert together == alone
    assert batch(scenario, samples[::-1])[::-1] == together


def test_random_samples_reach_both_outcomes():
    """The comparison above means something only where the rules say yes and no."""
    rng = np.random.default_rng(0)
    for scenario, metric in [
        ("turn_taking", "tor"),
        ("turn_taking", "jir"),
        ("pause_handling", "tor"),
        ("user_interrupt", "ttr"),
        ("model_interrupt", "tor"),
        ("user_backchannel", "ttr"),
        ("model_backchannel", "tor"),
    ]:
        found = [n for _ in range(400) if (n := expected(random_sample(rng, scenario)))]
        values = [numbers[metric] for numbers in found]
        assert values.count(0) >= 10, (scenario, metric)
        assert values.count(1) >= 10, (scenario, metric)
