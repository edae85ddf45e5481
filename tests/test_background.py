"""Speech before a background, and where loudness may be believed: references and rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import make_intervals
from flexi_score.speech.background import foreground_segments
from flexi_score.speech.hysteresis import speech_segments
from flexi_score.speech.likely import likely_frames
from flexi_score.speech.outline import outline_speech

DEFAULT = SpeechSettings()


# Slow references: one channel, one frame at a time


def db(power):
    return 10 * math.log10(power) if power > 0 else -math.inf


def percentile(values, percent):
    values = sorted(values)
    place = percent / 100 * (len(values) - 1)
    low = int(place)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (place - low)


def runs_of(mask):
    out = []
    for i, x in enumerate(mask):
        if x and out and out[-1][1] == i:
            out[-1][1] = i + 1
        elif x:
            out.append([i, i + 1])
    return out


def slow_foreground(segments, p, cdb, s):
    """Segments [(start_ms, end_ms)], probabilities q, levels; what is left, and if in doubt."""
    n = len(cdb)
    if not segments:
        return [], False
    power = [10 ** (v / 1000) for v in cdb]
    level = []
    for i in range(n):
        near = power[max(i - 5, 0) : min(i + 5, n)]
        level.append(db(sum(near) / len(near)))
    loudest = sorted(power)[-50:]
    active = db(sum(loudest) / len(loudest)) if loudest else -math.inf

    kept = []
    for a, b in segments:
        own = p[min(a // 32, len(p) - 1) : max(-(-b // 32), min(a // 32, len(p) - 1) + 1)]
        here = level[min(a // 10, n - 1) : max(-(-b // 10), min(a // 10, n - 1) + 1)]
        unsure = sum(map(int, own)) < s.background_faint_probability * 65535 * len(own)
        if not (unsure and max(here) < active - s.background_faint_db):
            kept.append((a, b))

    sure = math.ceil(s.background_sure_probability * 65535)
    doubt = sum(math.ceil(s.background_unsure_probability * 65535) <= q < sure for q in p)
    high = sum(q >= math.ceil(s.threshold * 65535) for q in p)
    if doubt < max(s.background_unsure_share * len(p), 1) and high < max(
        s.background_crowd_share * len(p), 1
    ):
        return kept, False
    fine = [p[min((10 * i + 5) // 32, len(p) - 1)] for i in range(n)]
    reach = s.background_far_ms // 10
    far = [
        level[i] for i in range(n) if all(q < sure for q in fine[max(i - reach, 0) : i + reach + 1])
    ]
    spoken = [q >= math.ceil(s.threshold * 65535) for q in fine]
    detected = [v for v, x in zip(level, spoken, strict=True) if x]
    background = -math.inf
    is_crowd = len(detected) >= max(s.background_crowd_share * n, s.background_crowd_ms // 10)
    alone = is_crowd and (
        percentile(detected, 95) < percentile(detected, 5) + s.background_crowd_db
    )
    if len(far) >= s.background_least_ms // 10:
        found = percentile(far, s.background_percentile)
        steady = found < percentile(far, 50) + s.background_steady_db
        if steady:
            background = found
    elif is_crowd:
        weak = percentile(detected, 10) + s.background_crowd_rise_db
        low = runs_of([x and v < weak for v, x in zip(level, spoken, strict=True)])
        if any(b - a >= s.background_crowd_weak_ms // 10 for a, b in low):
            background = weak
    if alone:
        background = math.inf
    if background <= active - s.background_depth_db:
        return kept, False

    out = []
    for a, b in kept:
        first, stop = min(a // 10, n), min(-(-b // 10), n)
        clear = []
        for x, y in runs_of([v > background + s.background_edge_db for v in level[first:stop]]):
            over = [v >= background + s.background_margin_db for v in level[first + x : first + y]]
            if sum(over) < s.background_clear_ms // 10:
                continue
            if clear and x - clear[-1][1] < s.background_hole_ms // 10:
                clear[-1][1] = y
            else:
                clear.append([x, y])
        out += [(max((first + x) * 10, a), min((first + y) * 10, b)) for x, y in clear]
    return out, True


def slow_likely(p, cdb, noise, s):
    n = len(cdb)
    high = [i for i, q in enumerate(p) if q >= math.ceil(s.refine_busy_probability * 65535)]

    def within(lead, lag):
        return [
            any(32 * h - lead < 10 * k + 10 and 10 * k < 32 * h + 32 + lag for h in high)
            for k in range(n)
        ]

    if not n:
        return []
    loud = max((noise + s.refine_margin_db) * 100, max(cdb) - s.refine_depth_db * 100)
    far = [not x for x in within(s.refine_reach_ms, s.refine_reach_ms)]
    noisy = sum(f and v >= loud for f, v in zip(far, cdb, strict=True))
    if noisy < max(s.refine_busy_share * sum(far), 1):
        return [True] * n
    return within(s.refine_busy_lead_ms, s.refine_busy_lag_ms)


def together(channels):
    """Arrays of channels (segments, probabilities, envelope, duration, noise) end to end."""
    frames = np.concatenate([[0], np.cumsum([len(c[1]) for c in channels])]).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(c[2]) for c in channels])]).astype(np.int64)
    rows = [(i, a, b) for i, c in enumerate(channels) for a, b in c[0]]
    rec, start, end = np.array(rows, np.int64).reshape(-1, 3).T
    p = np.concatenate([np.empty(0, np.uint16), *[c[1] for c in channels]])
    level = np.concatenate([np.empty(0, np.int16), *[c[2] for c in channels]])
    noise = np.array([c[4] for c in channels], np.float64)
    return make_intervals(rec, start, end), p, frames, level, offsets, noise


def listed(found, n):
    out = [[] for _ in range(n)]
    for i, a, b in zip(found.rec, found.start_ms, found.end_ms, strict=True):
        out[i].append((int(a), int(b)))
    return out


@st.composite
def channels(draw):
    """Levels and probabilities in runs of their own; segments as the detector finds them."""
    level = draw(
        st.lists(
            st.tuples(st.sampled_from([-90, -60, -45, -38, -30, -20]), st.integers(1, 60)),
            min_size=1,
            max_size=10,
        )
    )
    seed = draw(st.integers(0, 2**31))
    rng = np.random.default_rng(seed)
    cdb = np.repeat([v for v, _ in level], [k for _, k in level]) * 100.0
    cdb = (cdb + rng.uniform(-150, 150, len(cdb))).astype(np.int16)
    duration = len(cdb) * 10 - draw(st.integers(0, 9))
    n = -(-duration // 32)
    chance = draw(
        st.lists(
            st.tuples(st.sampled_from([0.01, 0.15, 0.5, 0.75, 0.95, 1.0]), st.integers(1, 20)),
            min_size=1,
            max_size=8,
        )
    )
    p = np.resize(np.repeat([v for v, _ in chance], [k for _, k in chance]), n)
    p = np.rint(np.clip(p + rng.uniform(-0.04, 0.04, n), 0, 1) * 65535).astype(np.uint16)
    found = speech_segments(p, np.array([0, n]), np.array([duration]), DEFAULT)
    segments = [
        (int(a), int(b)) for a, b in zip(found.start_ms, found.end_ms, strict=True) if b > a
    ]
    return segments, p, cdb, duration, float(draw(st.sampled_from([-90, -60, -40])))


SETTINGS = st.builds(
    SpeechSettings,
    background_unsure_share=st.sampled_from([0.0, 0.05, 0.5]),
    background_far_ms=st.sampled_from([0, 100]),
    background_least_ms=st.sampled_from([50, 500]),
    background_percentile=st.sampled_from([50, 90]),
    background_depth_db=st.sampled_from([12, 30, 100]),
    background_steady_db=st.sampled_from([2, 10]),
    background_edge_db=st.sampled_from([-2, 0]),
    background_clear_ms=st.sampled_from([10, 50]),
    background_hole_ms=st.sampled_from([10, 150]),
    background_crowd_share=st.sampled_from([0.3, 0.9]),
    background_crowd_db=st.sampled_from([4, 8, 30]),
    background_crowd_ms=st.sampled_from([100, 5000]),
    background_crowd_weak_ms=st.sampled_from([50, 600]),
    background_faint_db=st.sampled_from([5, 15]),
    background_faint_probability=st.sampled_from([0.7, 0.9]),
    refine_busy_share=st.sampled_from([0.0, 0.04, 0.5]),
    refine_busy_probability=st.sampled_from([0.1, 0.6]),
    refine_busy_lead_ms=st.sampled_from([0, 60]),
    refine_busy_lag_ms=st.sampled_from([0, 20]),
    refine_reach_ms=st.sampled_from([60, 350]),
)


@settings(max_examples=150, deadline=None)
@given(many=st.lists(channels(), max_size=4), s=SETTINGS)
def test_all_channels_at_once_equal_the_slow_loop(many, s):
    segments, p, frames, level, offsets, noise = together(many)
    found, doubtful = foreground_segments(segments, p, frames, level, offsets, s)
    expected = [slow_foreground(c[0], c[1].tolist(), c[2].tolist(), s) for c in many]
    assert listed(found, len(many)) == [x for x, _ in expected]
    for channel, flag, (_, wanted) in zip(many, doubtful, expected, strict=True):
        assert not channel[0] or flag == wanted
    likely = likely_frames(p, frames, level, offsets, noise, s)
    wanted = [x for c in many for x in slow_likely(c[1].tolist(), c[2].tolist(), c[4], s)]
    assert likely.tolist() == wanted


@settings(max_examples=100, deadline=None)
@given(many=st.lists(channels(), min_size=1, max_size=4), s=SETTINGS)
def test_outlines_are_disjoint_and_company_does_not_matter(many, s):
    def outlined(some):
        segments, p, frames, level, offsets, noise = together(some)
        durations = np.array([c[3] for c in some], np.int64)
        found = outline_speech(segments, p, frames, level, offsets, durations, noise, s)
        return listed(found, len(some))

    found = outlined(many)
    for channel, spans in zip(many, found, strict=True):
        assert outlined([channel]) == [spans]
        reach = 0
        for start, end in spans:
            assert reach <= start < end <= channel[3]
            reach = end


# Rules, one by one


def runs(*parts, per=1):
    return np.concatenate([np.full(round(ms / per), v) for v, ms in parts])


def channel(levels, chances, noise=-80.0):
    """A channel from runs of (dB, ms) and of (probability, ms)."""
    cdb = (runs(*levels, per=10) * 100).astype(np.int16)
    p = np.rint(runs(*chances, per=32) * 65535).astype(np.uint16)
    found = speech_segments(p, np.array([0, len(p)]), np.array([len(cdb) * 10]), DEFAULT)
    spans = list(zip(found.start_ms.tolist(), found.end_ms.tolist(), strict=True))
    return spans, p, cdb, len(cdb) * 10, noise


def outline(one, s=DEFAULT):
    segments, p, frames, level, offsets, noise = together([one])
    found = outline_speech(segments, p, frames, level, offsets, np.array([one[3]]), noise, s)
    return listed(found, 1)[0]


def test_voices_behind_a_voice_are_left_out():
    levels = ((-40, 2000), (-20, 2000), (-40, 2000), (-20, 1500), (-40, 2500))
    doubts = ((0.6, 1984), (1.0, 2016), (0.6, 1984), (1.0, 1504), (0.6, 2512))
    found = outline(channel(levels, doubts, noise=-41))
    assert len(found) == 2
    np.testing.assert_allclose(found, [(2000, 4000), (6000, 7500)], atol=60)
    kept = outline(channel(levels, doubts, noise=-41), SpeechSettings(background=False))
    assert sum(b - a for a, b in kept) > 9000


def test_a_detector_that_is_sure_of_a_crowd_is_not_believed():
    levels = ((-40, 2000), (-20, 2000), (-40, 2000), (-20, 1500), (-40, 2500))
    found = outline(channel(levels, ((1.0, 10_016),), noise=-41))
    np.testing.assert_allclose(found, [(2000, 4000), (6000, 7500)], atol=60)


def test_a_crowd_alone_is_nobody():
    assert outline(channel(((-30, 10_000),), ((0.97, 10_016),), noise=-31)) == []
    # ... but five seconds of it are asked for, not one utterance that fills a short file
    assert outline(channel(((-30, 2000),), ((0.97, 2016),), noise=-31)) == [(0, 2000)]


def test_quiet_speech_stays_and_a_bark_goes():
    levels = ((-80, 992), (-20, 2016), (-80, 992), (-38, 320), (-80, 1000))
    for sure, n in ((0.99, 2), (0.7, 1)):
        chances = ((0.01, 992), (1.0, 2016), (0.01, 992), (sure, 320), (0.01, 992))
        assert len(outline(channel(levels, chances))) == n


def test_noise_that_goes_on_does_not_move_an_end():
    start = 7010
    levels = ((-80, 3010), (-35, 2000), (-80, 2000), (-20, 1500), (-35, 300), (-80, 3000))
    chances = ((0.01, 7008), (1.0, 1568), (0.01, 3232))
    (found,) = outline(channel(levels, chances))
    assert abs(found[0] - start) <= 40
    assert abs(found[1] - (start + 1500)) <= 40
    (believed,) = outline(channel(levels, chances), SpeechSettings(refine_busy_share=1))
    assert believed[1] > start + 1500 + 200


def test_clean_channels_are_not_touched():
    one = channel(
        ((-80, 1984), (-45, 200), (-20, 1816), (-50, 100), (-80, 3000)),
        ((0.01, 2176), (1.0, 1888), (0.01, 3040)),
    )
    plain = SpeechSettings(background=False, refine_busy_share=1)
    assert outline(one) == outline(one, plain)
    assert outline(one)[0][0] == pytest.approx(1984, abs=10)


def test_no_channels_and_no_segments():
    nothing = ([], np.empty(0, np.uint16), np.empty(0, np.int16), 0, -120.0)
    segments, p, frames, level, offsets, noise = together([nothing, nothing])
    durations = np.zeros(2, np.int64)
    assert len(outline_speech(segments, p, frames, level, offsets, durations, noise, DEFAULT)) == 0
    segments, p, frames, level, offsets, noise = together([])
    none = np.zeros(0, np.int64)
    assert len(outline_speech(segments, p, frames, level, offsets, none, noise, DEFAULT)) == 0
