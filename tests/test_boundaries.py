"""Boundaries of speech: a plain reference, shapes made by hand, real files beside Silero's API."""

import itertools

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from flexi_score.config import setting_names
from flexi_score.segment.tracks import Intervals, make_intervals
from flexi_score.speech import boundaries as b
from flexi_score.speech.detect import BOUNDARIES_VERSION
from flexi_score.speech.frames import Frames

LOUD, QUIET = -20.0, -80.0


def test_the_setting_names_the_version_that_is_in_force():
    source = setting_names()["speech.boundaries"].json_schema_extra["source"]
    assert source.endswith(f" boundaries-{BOUNDARIES_VERSION}")


def frames_of(*channels):
    """Envelopes in dB, one list per channel."""
    values = np.concatenate([np.round(np.asarray(c, np.float64) * 100) for c in channels])
    offsets = np.cumsum([0, *(len(c) for c in channels)])
    return Frames(values.astype(np.int16), offsets.astype(np.int64), 10)


def placed(segments, envelope, duration_ms=None):
    """Boundaries of one channel as pairs of ms."""
    data = np.array(segments, np.int64).reshape(-1, 2)
    found = b.place_boundaries(
        make_intervals(np.zeros(len(data), np.int64), data[:, 0], data[:, 1]),
        frames_of(envelope),
        np.array([duration_ms or len(envelope) * 10]),
    )
    return list(zip(found.start_ms.tolist(), found.end_ms.tolist(), strict=True))


def loudest(levels):
    top = sorted(levels)[-5:]
    return sum(top) / len(top) if top else -np.inf


def quietest(levels):
    runs = [sum(levels[i : i + 5]) / 5 for i in range(len(levels) - 4)]
    return min(runs or levels, default=-120.0)


def plain(segments, levels, duration):
    """As the module's docstring says it, one boundary after another."""
    n, out = len(levels), []
    for i, (start, end) in enumerate(segments):
        before = segments[i - 1][1] if i else 0
        after = segments[i + 1][0] if i + 1 < len(segments) else duration
        first, stop = min(start // 10, n), min(-(-end // 10), n)
        lowest = min(before // 10, first)
        highest = max(min(-(-after // 10), n), stop)

        speech = loudest(levels[first : min(first + 30, stop)])
        noise = quietest(levels[max(lowest, first - 35, 0) : max(first - 2, 0)])
        if start > 0 and speech - noise >= b.CLEAR_DB:
            low, high = max(lowest, first - 12), min(first + 6, stop - 1) + 1
            level = max(noise + b.MARGIN_DB, speech - b.DEPTH_DB)
            quiet = [levels[k] < level for k in range(low, high)]
            runs = [k for k in range(len(quiet) - 5) if all(quiet[k : k + 6])]
            loud = [k for k, q in enumerate(quiet) if not q]
            begin = (low + (runs[-1] + 6 if runs else loud[0] if loud else 0)) * 10
        else:
            lag = b.START_LAG_MS if end - start > b.END_LAG_MS else 0
            begin = max(start - lag, min(before, start)) if start > 0 else 0

        inner = max(stop - 6, first + 1)
        speech = loudest(levels[max(first, stop - 40) : inner])
        noise = quietest(levels[stop : min(highest, stop + 35)])
        if end >= duration:
            finish = end
        elif speech - noise >= b.CLEAR_DB:
            low = max(first + 1, stop - 15)
            high = max(min(stop + 5, highest), low)
            level = max(noise + b.MARGIN_DB, speech - b.DEPTH_DB)
            quiet = [levels[k] < level for k in range(low, high)]
            runs = [k for k in range(len(quiet) - 5) if all(quiet[k : k + 6])]
            loud = [k for k, q in enumerate(quiet) if not q]
            finish = (low + (runs[0] if runs else loud[-1] + 1 if loud else 0)) * 10
        else:
            finish = end - b.END_LAG_MS
        out.append([begin, min(finish, duration)])
    for one, two in itertools.pairwise(out):
        if two[0] < one[1]:
            one[1] = two[0] = (one[1] + two[0]) // 2
    return [(x, y) for x, y in out if y > x]


@st.composite
def channels(draw):
    """A channel: detected segments on the detector's grid, and an envelope."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = int(rng.integers(1, 400))
    cuts = np.unique(rng.integers(0, n * 10 // 32 + 1, 2 * int(rng.integers(0, 6)))) * 32
    cuts = cuts[: len(cuts) // 2 * 2].reshape(-1, 2)
    segments = [(int(s), min(int(e), n * 10)) for s, e in cuts if s < n * 10]
    levels = rng.uniform(-110, -60, n)
    for s, e in segments:
        levels[max(s // 10 - int(rng.integers(-5, 6)), 0) : e // 10] = rng.uniform(-50, -10)
    levels += rng.normal(0, draw(st.sampled_from([0.0, 3.0, 12.0])), n)
    return segments, np.clip(np.round(levels, 2), -120, 0).tolist()


@settings(max_examples=75, deadline=None)
@given(st.lists(channels(), min_size=1, max_size=4))
def test_the_kernel_equals_the_plain_reference(given_channels):
    rec = [i for i, (segments, _) in enumerate(given_channels) for _ in segments]
    flat = [span for segments, _ in given_channels for span in segments]
    data = np.array(flat, np.int64).reshape(-1, 2)
    durations = np.array([len(levels) * 10 for _, levels in given_channels])
    found = b.place_boundaries(
        make_intervals(np.array(rec, np.int64), data[:, 0], data[:, 1]),
        frames_of(*(levels for _, levels in given_channels)),
        durations,
    )
    for i, (segments, levels) in enumerate(given_channels):
        own = found.take(found.rec == i)
        got = list(zip(own.start_ms.tolist(), own.end_ms.tolist(), strict=True))
        assert got == plain(segments, levels, int(durations[i]))
        assert all(0 <= s < e <= durations[i] for s, e in got)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(got))


def test_clear_speech_begins_and_ends_where_the_envelope_does():
    levels = np.full(200, QUIET)
    levels[50:120] = LOUD
    # The detector is 28 ms late at the start and 80 ms at the end.
    assert placed([(528, 1280)], levels) == [(500, 1200)]


def test_in_noise_boundaries_are_the_detectors_less_its_lag():
    levels = np.full(200, -50.0)
    levels[50:120] = LOUD
    assert placed([(528, 1280)], levels) == [(488, 1220)]


def test_what_is_loud_further_off_than_the_detector_errs_does_not_count():
    levels = np.full(200, QUIET)
    levels[50:120] = LOUD
    levels[20:42] = LOUD  # a noise before the speech, and a silence of 80 ms
    assert placed([(528, 1280)], levels) == [(500, 1200)]


def test_a_pause_that_the_detector_found_stays():
    levels = np.full(300, QUIET)
    levels[20:100] = LOUD
    levels[100:140] = -64.0  # breath, 44 dB below the speech
    levels[140:200] = LOUD
    assert placed([(224, 1056), (1440, 2080)], levels) == [(200, 1000), (1400, 2000)]


def test_a_blip_of_the_detector_is_no_speech():
    levels = np.full(200, -50.0)
    assert placed([(640, 672)], levels) == []


def test_a_segment_that_runs_to_the_end_keeps_it():
    levels = np.full(100, LOUD)
    assert placed([(0, 1000)], levels) == [(0, 1000)]
    assert placed([(0, 995)], levels, 995) == [(0, 995)]


@pytest.mark.parametrize("shift", [0.0, -20.0, 15.0])
def test_a_change_of_level_moves_nothing(shift):
    rng = np.random.default_rng(1)
    levels = rng.uniform(-95, -75, 300)
    levels[60:200] = rng.uniform(-30, -20, 140)
    assert placed([(608, 2080)], levels + shift) == placed([(608, 2080)], levels)


def test_no_segments_and_no_frames():
    none = np.empty(0, np.int64)
    empty = Intervals(none, none, none)
    assert len(b.place_boundaries(empty, frames_of([]), np.array([0]))) == 0
    assert placed([(0, 30)], [], 30) == [(0, 30)]
