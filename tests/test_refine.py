"""Boundaries on the energy envelope: against a slow reference, and against known truth."""

import contextlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flexi_score.config import SpeechSettings
from flexi_score.segment.tracks import make_intervals
from flexi_score.speech import outline, refine
from flexi_score.speech.hysteresis import speech_segments
from flexi_score.speech.outline import outline_speech
from flexi_score.speech.refine import refine_segments

SAMPLES = Path(__file__).parents[1] / "sample_recordings"
DEFAULT = SpeechSettings()


# A slow reference: one channel, one segment, one frame at a time


def db(power: float) -> float:
    return 10 * math.log10(power)


def mean_db(levels) -> float:
    return db(sum(10 ** (v / 10) for v in levels) / len(levels))


def slow_refine(segments, level, duration, noise, s):
    """Boundaries of one channel; `segments` [(start_ms, end_ms)], `level` dB of every frame."""
    n = len(level)
    out = [x for x in segments if min(x[0] // 10, n) >= min(-(-x[1] // 10), n)]
    segments = [x for x in segments if x not in out]
    first = [min(a // 10, n) for a, _ in segments]
    stop = [min(-(-b // 10), n) for _, b in segments]
    k = len(segments)
    strength, head, tail = [], [], []
    for i in range(k):
        own = level[first[i] : stop[i]]
        strength.append(mean_db([v for v in own if v >= max(own) - s.refine_active_db]))
        head.append(max(first[i] - s.refine_reach_ms // 10, 0))
        tail.append(min(stop[i] + s.refine_reach_ms // 10, n))
    for i in range(k - 1):
        middle = max((stop[i] + first[i + 1] + 1) // 2, stop[i])
        tail[i] = min(tail[i], middle)
        head[i + 1] = max(head[i + 1], middle)

    def at_boundary(i, low, high, hole):
        wide = s.refine_floor_ms // 10
        means = [mean_db(level[j : j + wide]) for j in range(low, high - wide + 1)]
        floor = min(means) if means else noise
        if hole:
            floor = min(floor, noise + s.refine_hole_db)
        floor = min(floor, strength[i])
        wanted = strength[i] - s.refine_depth_db
        summed = db(10 ** (wanted / 10) + 10 ** (floor / 10))
        return min(max(summed, floor + s.refine_margin_db), strength[i] - s.refine_headroom_db)

    frames = []  # (frame, owner, threshold)
    for i in range(k):
        before = max(stop[i - 1] if i else 0, first[i] - s.refine_floor_reach_ms // 10)
        after = min(first[i + 1] if i + 1 < k else n, stop[i] + s.refine_floor_reach_ms // 10)
        hole = i > 0 and first[i] - stop[i - 1] < max(s.refine_hole_ms // 10, 1)
        rise = at_boundary(i, before, first[i], hole)
        hole = i + 1 < k and first[i + 1] - stop[i] < max(s.refine_hole_ms // 10, 1)
        fall = at_boundary(i, stop[i], after, hole)
        for f in range(head[i], tail[i]):
            frames.append((f, i, rise if f < (first[i] + stop[i]) // 2 else fall))

    runs = []  # of positions in `frames`
    for p, (f, _, threshold) in enumerate(frames):
        if level[f] < threshold:
            continue
        if runs and f - frames[runs[-1][-1]][0] <= max(s.refine_bridge_ms // 10, 1):
            between = [frames[q][0] for q in range(runs[-1][-1], p + 1)]
            if between == list(range(between[0], between[0] + len(between))):
                runs[-1].append(p)
                continue
        runs.append([p])

    def is_speech(run):
        span = frames[run[0] : run[-1] + 1]
        peak = max(level[f] - strength[i] for f, i, _ in span)
        seen = any(first[i] <= f < stop[i] for f, i, _ in span)
        return len(span) >= s.refine_island_ms // 10 and peak >= -s.refine_breath_db and seen

    def moment(p, step):
        f, _, threshold = frames[p]
        other = level[min(max(f + step, 0), n - 1)]
        share = (level[f] - threshold) / max(level[f] - other, 1e-9)
        return min(max(round((f + 0.5 + step * min(max(share, 0), 1)) * 10), 0), duration)

    found = []  # start, end, first owner, last owner
    for run in filter(is_speech, runs):
        p, q = run[0], run[-1]
        a, b = frames[p][1], frames[q][1]
        start, end = moment(p, -1), moment(q, 1)
        noisy = frames[p][2] > strength[a] - s.refine_split_db
        if noisy:
            start = min(start, segments[a][0] + s.refine_early_ms)
        if frames[q][2] > strength[b] - s.refine_split_db:
            end = max(end, segments[b][1] - s.refine_late_ms)
        if p == 0 or frames[p - 1][0] != frames[p][0] - 1:
            start = segments[a][0]
        if q == len(frames) - 1 or frames[q + 1][0] != frames[q][0] + 1:
            end = segments[b][1]
        start = 0 if frames[p][0] == 0 else start
        end = duration if frames[q][0] == n - 1 else end
        close = bool(found) and start - found[-1][1] < s.refine_split_ms
        if found and found[-1][3] == a and (noisy or close):
            found[-1][1], found[-1][3] = end, b
        else:
            found.append([start, end, a, b])
    shown = {i for _, _, a, b in found for i in range(a, b + 1)}
    out += [(a, b) for a, b, _, _ in found]
    out += [x for i, x in enumerate(segments) if i not in shown]
    disjoint, reach = [], 0
    for a, b in sorted(x for x in out if x[1] > x[0]):
        if b > max(a, reach):
            disjoint.append((max(a, reach), b))
        reach = max(reach, b)
    return disjoint


def run(channels, s=DEFAULT):
    """Refine channels of (segments, envelope in cdB, duration, noise) together."""
    offsets = np.concatenate([[0], np.cumsum([len(c[1]) for c in channels])]).astype(np.int64)
    rows = [(i, a, b) for i, c in enumerate(channels) for a, b in c[0]]
    rec, start, end = np.array(rows, np.int64).reshape(-1, 3).T
    found = refine_segments(
        make_intervals(rec, start, end),
        np.concatenate([np.empty(0, np.int16), *[c[1] for c in channels]]),
        offsets,
        np.array([c[2] for c in channels], np.int64),
        np.array([c[3] for c in channels], np.float64),
        s,
    )
    out = [[] for _ in channels]
    for i, a, b in zip(found.rec, found.start_ms, found.end_ms, strict=True):
        out[i].append((int(a), int(b)))
    return out


@st.composite
def channels(draw):
    """Levels in runs, so that every duration rule is met; segments anywhere."""
    runs = draw(
        st.lists(
            st.tuples(st.sampled_from([-90, -75, -62, -55, -41, -30, -20]), st.integers(1, 25)),
            max_size=14,
        )
    )
    seed = draw(st.integers(0, 2**31))
    level = np.repeat([v for v, _ in runs], [n for _, n in runs]) * 100.0
    level = level + np.random.default_rng(seed).uniform(-150, 150, len(level))
    duration = max(len(level) * 10 - draw(st.integers(0, 9)), 0) if len(level) else 0
    cuts = draw(st.lists(st.integers(0, max(duration, 1)), max_size=10, unique=True).map(sorted))
    segments = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if b <= duration]
    return segments, level.astype(np.int16), duration, float(draw(st.sampled_from([-90, -76, -40])))


SETTINGS = st.builds(
    SpeechSettings,
    refine_depth_db=st.sampled_from([10, 25, 40]),
    refine_margin_db=st.sampled_from([0, 5]),
    refine_reach_ms=st.sampled_from([0, 60, 350]),
    refine_split_ms=st.sampled_from([60, 100, 200]),
    refine_split_db=st.sampled_from([12, 24]),
    refine_bridge_ms=st.sampled_from([0, 60]),
    refine_island_ms=st.sampled_from([0, 40, 80]),
    refine_breath_db=st.sampled_from([10, 24]),
    refine_active_db=st.sampled_from([10, 30]),
    refine_floor_ms=st.sampled_from([10, 50]),
    refine_floor_reach_ms=st.sampled_from([20, 600]),
    refine_hole_ms=st.sampled_from([0, 400]),
    refine_hole_db=st.sampled_from([0, 12]),
    refine_headroom_db=st.sampled_from([0, 6]),
    refine_early_ms=st.sampled_from([0, 60]),
    refine_late_ms=st.sampled_from([0, 90]),
)


@settings(max_examples=300, deadline=None)
@given(many=st.lists(channels(), max_size=4), s=SETTINGS)
def test_all_channels_at_once_equal_the_slow_loop(many, s):
    expected = [slow_refine(list(c[0]), (c[1] / 100).tolist(), c[2], c[3], s) for c in many]
    found = run(many, s)
    assert [len(c) for c in found] == [len(c) for c in expected]
    for a, b in zip(found, expected, strict=True):
        # Rounding of sums in another order may move a crossing by one ms.
        np.testing.assert_allclose(np.ravel(a), np.ravel(b), atol=1)


@settings(max_examples=200, deadline=None)
@given(many=st.lists(channels(), min_size=1, max_size=5), s=SETTINGS, block=st.integers(1, 400))
def test_segments_stay_in_order_and_company_does_not_matter(many, s, block):
    together = run(many, s)
    for channel, found in zip(many, together, strict=True):
        assert run([channel], s) == [found]
        reach = 0
        for start, end in found:
            assert reach <= start < end <= channel[2]
            reach = end
        assert bool(found) == bool(channel[0])
    size = refine._BLOCK_FRAMES
    refine._BLOCK_FRAMES = block
    try:
        assert run(many, s) == together
    finally:
        refine._BLOCK_FRAMES = size


# Rules, one by one


def envelope(*runs) -> np.ndarray:
    return np.concatenate([np.full(n, v * 100, np.int16) for v, n in runs])


def one(segments, levels, noise=-80.0, s=DEFAULT):
    return run([(segments, levels, len(levels) * 10, noise)], s)[0]


def test_edges_move_to_the_rise_and_the_fall():
    level = envelope((-80, 50), (-20, 60), (-80, 50))
    # 40 of the 60 dB between two frames' middles lie above the threshold
    assert one([(512, 1184)], level) == [(498, 1102)]
    assert one([(470, 1184)], level) == [(498, 1102)]


def test_noise_raises_the_threshold():
    fade = (-30, -35, -40, -45, -50, -55, -60)
    quiet = envelope((-80, 50), (-20, 60), *[(v, 3) for v in fade], (-80, 60))
    noisy = np.maximum(quiet, -5200).astype(np.int16)
    ((_, late),) = one([(512, 1216)], quiet)
    ((_, early),) = one([(512, 1216)], noisy, noise=-52)
    assert late > 1280
    assert 1180 < early < 1240


def test_a_soft_segment_has_its_own_threshold():
    level = envelope((-80, 50), (-20, 60), (-80, 60), (-50, 30), (-80, 40))
    assert one([(512, 1150), (1696, 2060)], level)[1] == (1696, 2004)


def test_a_real_silence_inside_parts_a_segment():
    for frames, n in ((25, 2), (15, 1)):
        level = envelope((-80, 50), (-20, 60), (-80, frames), (-20, 60), (-80, 50))
        assert len(one([(500, 1700 + 10 * frames)], level)) == n


def test_noise_parts_nothing():
    level = envelope((-40, 50), (-20, 60), (-40, 25), (-20, 60), (-40, 50))
    assert len(one([(500, 1950)], level, noise=-40)) == 1


def test_a_hole_without_silence_is_none():
    level = envelope((-80, 50), (-20, 60), (-45, 20), (-20, 60), (-80, 50))
    assert one([(512, 1120), (1312, 1980)], level) == [(498, 1902)]
    level = envelope((-80, 50), (-20, 60), (-75, 20), (-20, 60), (-80, 50))
    assert len(one([(512, 1120), (1312, 1980)], level)) == 2


def test_clicks_and_breaths_are_left_out():
    level = envelope((-80, 50), (-20, 2), (-80, 8), (-20, 60), (-80, 8), (-50, 10), (-80, 40))
    assert one([(490, 1420)], level) == [(598, 1202)]


def test_what_has_no_edge_in_reach_stays():
    level = np.full(300, -3000, np.int16)
    assert one([(1024, 1536)], level) == [(1024, 1536)]
    assert one([(0, 3000)], level) == [(0, 3000)]


def test_no_segments_and_no_channels():
    assert run([]) == []
    assert one([], envelope((-80, 10))) == []
    nothing = run([([], np.empty(0, np.int16), 0, -120.0)] * 2)
    assert nothing == [[], []]


# Accuracy


def bridged(intervals, gap=200):
    out = []
    for a, b in intervals:
        if out and a - out[-1][1] < gap:
            out[-1][1] = b
        else:
            out.append([a, b])
    return [x for x in out if x[1] - x[0] >= 90]


@pytest.fixture(scope="module")
def samples():
    """Probabilities, envelope and truth of both channels of the sample recordings."""
    pytest.importorskip("torch", reason="needs the vad extra")
    pytest.importorskip("silero_vad", reason="needs the vad extra")
    from flexi_score.audio.levels import gain_db, measure_levels, noise_dbfs
    from flexi_score.audio.signal import open_signals, signal_from_array
    from flexi_score.config import ExtractSettings
    from flexi_score.extraction.probabilities import load_detector, speech_probabilities

    truth = {r["id"]: r for r in map(json.loads, (SAMPLES / "truth.jsonl").open())}
    rows = [json.loads(line) for line in (SAMPLES / "manifest.jsonl").open()]
    audio, speech = [], []
    for row in rows:
        path = str(SAMPLES / row["audio"])
        for k, signal in enumerate(
            open_signals({"audio": path, "user_channel": 0, "model_channel": 1})
        ):
            with signal:
                audio.append(signal.read(0, signal.n_samples))
            speech.append(truth[row["id"]][("user_speech", "model_speech")[k]])
    detector = load_detector(threads=1)

    def extracted(change):
        signals = [signal_from_array(change(x).astype(np.float32)) for x in audio]
        levels = [measure_levels(x) for x in signals]
        gains = [gain_db(x, ExtractSettings()) for x in levels]
        found = speech_probabilities(detector, signals, gains)
        noise = [noise_dbfs(x) for x in levels]
        return found, [x.envelope_cdb for x in levels], [x.duration_ms for x in signals], noise

    extracted.audio = audio
    return speech, extracted


def accuracy(speech, found):
    """Boundary errors (ms), and false alarm and miss in percent of speech."""
    errors, false, miss, total = [], 0, 0, 0
    for truth, got in zip(map(bridged, speech), map(bridged, found), strict=True):
        last = max([b for _, b in truth + got], default=0)
        a, b = np.zeros(last, bool), np.zeros(last, bool)
        for mask, intervals in ((a, truth), (b, got)):
            for start, end in intervals:
                mask[start:end] = True
        false, miss, total = false + (b & ~a).sum(), miss + (a & ~b).sum(), total + a.sum()
        for side in (0, 1):
            ends = [x[side] for x in got] or [10**6]
            errors += [min(abs(e - x[side]) for e in ends) for x in truth]
    return np.array(errors), 100 * false / total, 100 * miss / total


def telephone(x):
    import soxr
    from scipy import signal

    sos = signal.butter(6, [300, 3400], "bandpass", fs=16000, output="sos")
    narrow = soxr.resample(signal.sosfiltfilt(sos, x), 16000, 8000)
    # mu-law's 8 bits, by its formula
    code = np.rint(np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256) * 127) / 127
    narrow = np.sign(code) * np.expm1(np.abs(code) * np.log(256)) / 255
    wide = soxr.resample(narrow, 8000, 16000)
    return np.resize(wide, len(x))


def quiet(x):
    """Speech at about -60 dBFS, in 16 bits."""
    return np.rint(x * 10 ** (-38 / 20) * 32768) / 32768


@pytest.mark.parametrize(
    ("change", "median", "within_15", "error"),
    [(lambda x: x, 5, 0.97, 1.0), (telephone, 5, 0.90, 1.5), (quiet, 6, 0.85, 1.5)],
    ids=["clean", "telephone", "quiet"],
)
def test_boundaries_of_the_samples(samples, change, median, within_15, error):
    speech, extracted = samples
    probabilities, envelopes, durations, noise = extracted(change)
    offsets = np.concatenate([[0], np.cumsum([len(p) for p in probabilities])]).astype(np.int64)
    raw = speech_segments(np.concatenate(probabilities), offsets, np.array(durations), DEFAULT)
    coarse = [[] for _ in durations]
    for i, a, b in zip(raw.rec, raw.start_ms, raw.end_ms, strict=True):
        coarse[i].append((int(a), int(b)))
    fine = run(list(zip(coarse, envelopes, durations, noise, strict=True)))
    errors, false, miss = accuracy(speech, fine)
    assert np.median(errors) <= median
    assert (errors <= 15).mean() >= within_15
    assert false + miss <= error
    before, _, _ = accuracy(speech, coarse)
    assert np.median(before) > 3 * np.median(errors)


class Noise:
    """Noise 15 dB below the speech, another stretch of it for every channel."""

    def __init__(self, kind, audio):
        from flexi_score.errors import InputError
        from flexi_score.simulate.clips import Clips, active_level, make_clip

        self.kind, self.number, clips = kind, 0, {}
        # A silent channel has as much noise as the other one.
        own = [active_level(x) for x in audio]
        self.levels = [max(x, own[i ^ 1] if x < own[i ^ 1] / 30 else 0) for i, x in enumerate(own)]
        for i, x in enumerate(audio):
            with contextlib.suppress(InputError):
                clips[str(i)] = make_clip(x.astype(np.float64))
        self.clips = Clips(clips)

    def __call__(self, x):
        from flexi_score.simulate.clips import seeded
        from flexi_score.simulate.noise import make_noise

        i, self.number = self.number, self.number + 1
        rng = seeded(self.kind, i)
        avoid = frozenset({str(i), str(i ^ 1)})
        noise = make_noise(self.kind, len(x), rng, clips=self.clips, avoid=avoid)
        return x + noise * self.levels[i] * 10 ** (-15 / 20)


@pytest.mark.parametrize(
    ("kind", "within_100", "error"),
    [("babble", 0.85, 7), ("traffic", 0.90, 6), ("ringing", 0.90, 6)],
)
def test_boundaries_of_the_samples_in_noise(samples, kind, within_100, error):
    speech, extracted = samples
    noise = Noise(kind, extracted.audio)
    probabilities, envelopes, durations, floors = extracted(noise)
    frames = np.concatenate([[0], np.cumsum([len(p) for p in probabilities])]).astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(e) for e in envelopes])]).astype(np.int64)
    chances, level = np.concatenate(probabilities), np.concatenate(envelopes)

    def accuracy_of(s):
        raw = speech_segments(chances, frames, np.array(durations), s)
        found = outline_speech(
            raw, chances, frames, level, offsets, np.array(durations), np.array(floors), s
        )
        spans = [[] for _ in durations]
        for i, a, b in zip(found.rec, found.start_ms, found.end_ms, strict=True):
            spans[i].append((int(a), int(b)))
        return accuracy(speech, spans)

    errors, false, miss = accuracy_of(DEFAULT)
    assert (errors <= 100).mean() >= within_100
    assert false + miss <= error
    believed, more, _ = accuracy_of(SpeechSettings(background=False, refine_busy_share=1))
    assert (believed <= 100).mean() < (errors <= 100).mean() - 0.1
    assert more > 2 * false


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels are outlined some at a time, in threads; what is found is the same."""
    rng = np.random.default_rng(5)
    n, frames = 9, 400
    sizes = rng.integers(0, frames, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    envelope = np.concatenate(
        [np.where(np.arange(k) % 97 < 40, -2500, -6500) + rng.integers(-900, 900, k) for k in sizes]
    ).astype(np.int16)
    heard = -(-sizes * 10 // 32)
    places = np.concatenate([[0], np.cumsum(heard)]).astype(np.int64)
    likely = np.concatenate(
        [
            np.where(np.arange(k) % 30 < 13, rng.random(k) * 0.5 + 0.5, rng.random(k) * 0.5)
            for k in heard
        ]
    )
    probabilities = (likely * 65535).astype(np.uint16)
    duration = sizes * 10
    segments = speech_segments(probabilities, places, duration, DEFAULT)
    assert len(segments) > n
    whole = outline.outline_speech(
        segments, probabilities, places, envelope, offsets, duration, np.full(n, -65.0), DEFAULT
    )
    monkeypatch.setattr(outline, "BLOCK_FRAMES", 300)
    parts = outline.outline_speech(
        segments, probabilities, places, envelope, offsets, duration, np.full(n, -65.0), DEFAULT
    )
    assert len(whole)
    for name in ("rec", "start_ms", "end_ms"):
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()
