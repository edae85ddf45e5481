"""Leaks between channels: the filter that is found, what is left, and what survives."""

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as dsp

from flexi_score.audio.levels import measure_levels, noise_dbfs
from flexi_score.audio.signal import open_signals, signal_from_array
from flexi_score.config import ExtractSettings, SpeechSettings
from flexi_score.extraction.cleaned import clean_channels
from flexi_score.segment.tracks import make_intervals
from flexi_score.speech import bleed
from flexi_score.speech.bleed import doubtful_share, explained_frames, own_segments, remove_leaks
from flexi_score.speech.crosstalk import find_leaks, remove_leak
from flexi_score.speech.hysteresis import speech_segments
from flexi_score.speech.refine import refine_segments

SAMPLES = Path(__file__).parents[1] / "sample_recordings"
CALLS = Path(__file__).parents[1].parent / "shared" / "data" / "real_calls"
DEFAULT = SpeechSettings()
MS = 16


def sample(name: str) -> np.ndarray:
    row = {"audio": str(SAMPLES / f"{name}.flac"), "user_channel": 0, "model_channel": 1}
    user, model = open_signals(row)
    with user, model:
        return np.stack([s.read(0, s.n_samples) for s in (user, model)]).astype(np.float64)


def truth(name: str) -> list[list[list[int]]]:
    rows = map(json.loads, (SAMPLES / "truth.jsonl").open())
    (row,) = (r for r in rows if r["id"] == name)
    return [row["user_speech"], row["model_speech"]]


def room(db: float, lag_ms: int, decay_ms: float, seed: int) -> np.ndarray:
    """A path of the given power with an exponential tail of 80 ms."""
    rng = np.random.default_rng(seed)
    tail = np.arange(80 * MS)
    taps = rng.standard_normal(len(tail)) * np.exp(-tail / (decay_ms * MS))
    taps[0] += 4
    taps *= 10 ** (db / 20) / np.sqrt(np.sum(taps**2))
    return np.concatenate([np.zeros(lag_ms * MS), taps])


def leaked(audio: np.ndarray, db: float, lag_ms: int = 15, decay_ms: float = 12) -> np.ndarray:
    """Both channels, each with the other in it, in 16 bits."""
    n = audio.shape[1]
    copies = [dsp.oaconvolve(audio[1 - k], room(db, lag_ms, decay_ms, k))[:n] for k in (0, 1)]
    return np.rint((audio + np.stack(copies)) * 32768) / 32768


def leaks_of(audio: np.ndarray, model_at: int = 0):
    with signal_from_array(audio[0]) as user, signal_from_array(audio[1]) as model:
        return find_leaks(user, model, model_at)


# The path


def test_the_path_is_found():
    audio = sample("eager_user_interrupt_2")
    for db, lag_ms in ((-20.0, 15), (-10.0, 110), (-30.0, 0)):
        for leak in leaks_of(leaked(audio, db, lag_ms)):
            assert leak is not None
            assert leak.level_db == pytest.approx(db, abs=1.0)
            assert leak.lag_ms == pytest.approx(lag_ms, abs=0.1)
            assert leak.depth_db > 12


def test_a_leak_one_way_is_found_one_way():
    audio = sample("eager_user_interrupt_2")
    mixed = leaked(audio, -15)
    into_user, into_model = leaks_of(np.stack([audio[0], mixed[1]]))
    assert into_user is None
    assert into_model is not None
    assert into_model.level_db == pytest.approx(-15, abs=1)


def test_channels_of_unlike_levels():
    """The leak is louder than the channel's own speech."""
    audio = sample("eager_user_interrupt_2") * np.array([[1.0], [0.02]])
    _, into_model = leaks_of(leaked(audio, -20))
    assert into_model is not None
    assert into_model.level_db == pytest.approx(-20, abs=1)


def test_files_that_start_at_different_times():
    audio = leaked(sample("eager_user_interrupt_2"), -20)
    later = 3217
    whole, cut = leaks_of(audio), leaks_of_pair(audio[0], audio[1, later:], later)
    for a, b in zip(whole, cut, strict=True):
        assert b.lag_ms == pytest.approx(a.lag_ms, abs=0.1)
        assert b.level_db == pytest.approx(a.level_db, abs=0.5)
    with ExitStack() as opened:
        user, model = (
            opened.enter_context(signal_from_array(x)) for x in (audio[0], audio[1, later:])
        )
        clean, _ = remove_leak(model, user, cut[1], cut[0], source_at=-later)
        with clean:
            left = clean.read(0, clean.n_samples)
    own = sample("eager_user_interrupt_2")[1, later:]
    assert np.mean((left - own) ** 2) < 0.02 * np.mean((audio[1, later:] - own) ** 2)


def leaks_of_pair(user: np.ndarray, model: np.ndarray, model_at: int):
    with signal_from_array(user) as a, signal_from_array(model) as b:
        return find_leaks(a, b, model_at)


def test_one_signal_on_both_channels_is_no_leak():
    """A copy is a fault of the capture; taking it out would leave nothing."""
    audio = sample("calm_turn_taking_1")
    both = audio.sum(axis=0)
    assert leaks_of(np.stack([both, both])) == (None, None)


def test_silence_and_noise_leak_nothing():
    rng = np.random.default_rng(0)
    assert leaks_of(np.zeros((2, 100_000))) == (None, None)
    assert leaks_of(rng.standard_normal((2, 200_000)) * 0.01) == (None, None)
    assert leaks_of(np.zeros((2, 10))) == (None, None)


def test_a_hum_on_both_channels_is_no_leak():
    for name in ("calm_turn_taking_1", "eager_user_interrupt_2", "eager_pause_handling_1"):
        audio = sample(name)
        t = np.arange(audio.shape[1]) / 16000
        hum = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 9))
        assert leaks_of(audio + 0.005 * hum) == (None, None)


@pytest.mark.parametrize("source", ["samples", "calls"])
def test_nothing_is_found_where_nothing_leaks(source):
    if source == "calls":
        if not CALLS.is_dir():
            pytest.skip("the real calls are not in this checkout")
        paths = sorted(CALLS.glob("*.wav"))
    else:
        paths = [p for p in sorted(SAMPLES.glob("*.flac")) if not p.name.startswith("awkward")]
    assert len(paths) >= 8
    for path in paths:
        row = {"audio": str(path), "user_channel": 0, "model_channel": 1}
        user, model = open_signals(row)
        with user, model:
            assert find_leaks(user, model) == (None, None), path.name


def test_both_ways_are_undone():
    """Own speech comes back through both paths; that echo goes too."""
    audio = sample("eager_user_interrupt_2")
    mixed = leaked(audio, -10, 60)
    found = leaks_of(mixed)
    for k in (0, 1):
        with ExitStack() as opened:
            own, other = (opened.enter_context(signal_from_array(mixed[i])) for i in (k, 1 - k))
            clean, leak_cdb = remove_leak(own, other, found[k], found[1 - k])
            with clean:
                left = clean.read(0, clean.n_samples) - audio[k]
        taken = mixed[k] - audio[k]
        assert 10 * np.log10(np.mean(left**2) / np.mean(taken**2)) < -18
        with signal_from_array(taken) as copy:
            expected = measure_levels(copy).envelope_cdb
        loud = expected > -5000
        assert np.median(np.abs(leak_cdb[loud] - expected[loud])) < 100


# Explained frames and own segments


def slow_own(segments, explained):
    """One channel; `segments` [(start_ms, end_ms)]."""
    out = []
    for start, end in segments:
        runs = []
        for f in range(start // 10, min(-(-end // 10), len(explained))):
            if explained[f]:
                continue
            if runs and runs[-1][1] == f:
                runs[-1][1] = f + 1
            else:
                runs.append([f, f + 1])
        groups = []
        for a, b in runs:
            if b - a < bleed.RUN_FRAMES:
                continue
            if groups and a - groups[-1][1] < bleed.HOLE_FRAMES:
                groups[-1][1], groups[-1][2] = b, groups[-1][2] + b - a
            else:
                groups.append([a, b, b - a])
        for a, b, n in groups:
            if n >= bleed.OWN_FRAMES:
                out.append((max(a * 10, start), min(b * 10, end)))
    return out


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_own_segments_equal_the_slow_loop(data):
    masks, cuts = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        runs = data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 30)), max_size=10))
        mask = np.array([v for v, n in runs for _ in range(n)], bool)
        ends = st.integers(0, len(mask) * 10)
        edges = sorted(data.draw(st.lists(ends, max_size=8, unique=True)))
        masks.append(mask)
        cuts.append(list(zip(edges[::2], edges[1::2], strict=False)))
    offsets = np.concatenate([[0], np.cumsum([len(m) for m in masks])]).astype(np.int64)
    rows = np.array([(i, a, b) for i, c in enumerate(cuts) for a, b in c], np.int64).reshape(-1, 3)
    found = own_segments(
        make_intervals(*rows.T),
        np.concatenate(masks),
        offsets,
        np.array([len(m) * 10 for m in masks], np.int64),
        DEFAULT,
    )
    for i, (mask, segments) in enumerate(zip(masks, cuts, strict=True)):
        mine = found.rec == i
        got = list(zip(found.start_ms[mine].tolist(), found.end_ms[mine].tolist(), strict=True))
        assert got == slow_own(segments, mask)


def test_what_is_left_of_a_leak_rings_on():
    leak = np.full(60, -9000, np.int16)
    leak[10:20] = -3000
    level = np.full(60, -6000, np.int16)
    found = explained_frames(level, leak, np.array([0, 60]), np.array([20.0]), 6.0)
    # 14 dB above the level at the leak's end, and 1.2 dB less with every frame
    np.testing.assert_array_equal(np.flatnonzero(found), np.arange(10, 20 + 13))
    both = explained_frames(
        np.tile(level, 2),
        np.append(np.full(60, -9000), leak),
        np.array([0, 60, 120]),
        np.array([0.0, 20.0]),
        6.0,
    )
    assert not both[:60].any()
    np.testing.assert_array_equal(both[60:], found)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_share_in_doubt_is_that_of_frames(data):
    masks, cuts = [], []
    for _ in range(data.draw(st.integers(1, 4))):
        masks.append(np.array(data.draw(st.lists(st.booleans(), max_size=60)), bool))
        ends = st.integers(0, len(masks[-1]) * 10)
        edges = sorted(data.draw(st.lists(ends, max_size=6, unique=True)))
        cuts.append(list(zip(edges[::2], edges[1::2], strict=False)))
    offsets = np.concatenate([[0], np.cumsum([len(m) for m in masks])]).astype(np.int64)
    rows = np.array([(i, a, b) for i, c in enumerate(cuts) for a, b in c], np.int64).reshape(-1, 3)
    found = doubtful_share(make_intervals(*rows.T), np.concatenate(masks), offsets)
    for share, mask, segments in zip(found, masks, cuts, strict=True):
        inside = [f for a, b in segments for f in range(a // 10, -(-b // 10))]
        if inside:
            assert share == pytest.approx(sum(mask[f] for f in inside) / len(inside))
        else:
            assert np.isnan(share)


def test_channels_without_a_leak_stay_as_they_are():
    heard = pl.DataFrame(
        {
            "envelope_cdb": [[-2000] * 50, [-2000] * 50],
            "noise_dbfs": [-80.0, -80.0],
            "duration_ms": [500, 500],
            "crosstalk_cdb": pl.Series([None, None], dtype=pl.List(pl.Int16)),
            "depth_db": pl.Series([None, None], dtype=pl.Float64),
            "raw_cdb": pl.Series([None, None], dtype=pl.List(pl.Int16)),
        }
    ).with_columns(pl.col("envelope_cdb").cast(pl.List(pl.Int16)))
    segments = make_intervals(np.array([0, 1]), np.array([0, 32]), np.array([32, 480]))
    same, rows = remove_leaks(heard, segments, DEFAULT)
    assert same is segments
    assert rows.drop("leak_doubt").equals(heard)
    assert rows["leak_doubt"].to_list() == [None, None]
    one = heard.with_columns(
        crosstalk_cdb=pl.Series([None, [-1000] * 50], dtype=pl.List(pl.Int16)),
        depth_db=pl.Series([None, 0.0]),
        raw_cdb=pl.Series([None, [-2000] * 50], dtype=pl.List(pl.Int16)),
    )
    left, rows = remove_leaks(one, segments, DEFAULT)
    assert (left.rec.tolist(), left.end_ms.tolist()) == ([0], [32])
    assert rows["envelope_cdb"].to_list() == [[-2000] * 50, [-8000] * 50]
    assert rows.columns == [*one.columns, "leak_doubt"]
    assert rows["leak_doubt"].to_list() == [None, None]  # of no own speech nothing is in doubt


# Accuracy


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("torch", reason="needs the vad extra")
    pytest.importorskip("silero_vad", reason="needs the vad extra")
    from flexi_score.extraction.probabilities import load_detector

    return load_detector(threads=1)


def detect(detector, audio, treat=True):
    """Speech of both channels, by the parts that extraction and scoring are made of."""
    from flexi_score.extraction.probabilities import speech_probabilities

    with ExitStack() as opened:
        signals = dict(
            zip(
                ("user", "model"),
                (opened.enter_context(signal_from_array(x)) for x in audio),
                strict=True,
            )
        )
        levels = [measure_levels(s) for s in signals.values()]
        gains = [-23.0 - x.active_dbfs for x in levels]
        found = speech_probabilities(detector, list(signals.values()), gains)
        rows = [
            {
                "probabilities": p,
                "envelope_cdb": x.envelope_cdb,
                "noise_dbfs": noise_dbfs(x),
                "duration_ms": audio.shape[1] // MS,
                "crosstalk_cdb": None,
                "depth_db": None,
                "raw_cdb": x.envelope_cdb,
            }
            for p, x in zip(found, levels, strict=True)
        ]
        if treat:
            leaks, frames, _ = clean_channels(
                signals,
                {"user": "a", "model": "b"},
                {"user": 0, "model": 0},
                detector,
                ExtractSettings(),
                opened,
            )
            for row, leak in zip(rows, leaks, strict=True):
                row |= {k: v for k, v in leak.items() if k in row}
                for one in frames:
                    if one["key"] == leak["key"]:
                        row |= {k: v for k, v in one.items() if k in row}
    lists = {
        "probabilities": pl.UInt16,
        "envelope_cdb": pl.Int16,
        "crosstalk_cdb": pl.Int16,
        "raw_cdb": pl.Int16,
    }
    heard = pl.DataFrame(
        {
            k: pl.Series(k, [r[k] if r[k] is None else list(r[k]) for r in rows], pl.List(v))
            for k, v in lists.items()
        }
        | {
            k: pl.Series(k, [r[k] for r in rows], v)
            for k, v in (
                ("noise_dbfs", pl.Float64),
                ("duration_ms", pl.Int64),
                ("depth_db", pl.Float64),
            )
        }
    )

    def flat(name):
        sizes = heard[name].list.len().to_numpy().astype(np.int64)
        return heard[name].explode().to_numpy(), np.concatenate([[0], np.cumsum(sizes)])

    lengths = heard["duration_ms"].to_numpy()
    segments = speech_segments(*flat("probabilities"), lengths, DEFAULT)
    segments, heard = remove_leaks(heard, segments, DEFAULT)
    segments = refine_segments(
        segments, *flat("envelope_cdb"), lengths, heard["noise_dbfs"].to_numpy(), DEFAULT
    )
    out = [[], []]
    for i, a, b in zip(segments.rec, segments.start_ms, segments.end_ms, strict=True):
        if out[i] and a - out[i][-1][1] < 200:
            out[i][-1][1] = int(b)
        else:
            out[i].append([int(a), int(b)])
    return out


def compare(expected, found, length):
    """Absolute boundary errors (ms); false alarm and missed ms; ms of speech."""
    errors, false, miss, total = [], 0, 0, 0
    for want, got in zip(expected, found, strict=True):
        a, b = np.zeros(length, bool), np.zeros(length, bool)
        for mask, intervals in ((a, want), (b, got)):
            for start, end in intervals:
                mask[start:end] = True
        false, miss, total = false + (b & ~a).sum(), miss + (a & ~b).sum(), total + a.sum()
        for side in (0, 1):
            errors += [min(abs(g[side] - w[side]) for g in got or [[10**6] * 2]) for w in want]
    return errors, false, miss, total


@pytest.mark.parametrize(("db", "within_25", "error"), [(-20, 0.95, 2.0), (-10, 0.90, 3.0)])
def test_speech_of_leaking_channels(detector, db, within_25, error):
    names = (
        "calm_turn_taking_1",
        "eager_user_interrupt_2",
        "eager_model_interrupt_1",
        "calm_user_backchannel_1",
        "eager_model_backchannel_2",
    )
    errors, false, miss, total, untreated = [], 0, 0, 0, 0
    for i, name in enumerate(names):
        audio = leaked(sample(name), db, (15, 0, 40, 90, 5)[i], (12, 3, 20, 8, 15)[i])
        expected = truth(name)
        length = audio.shape[1] // MS + 1
        e, f, m, t = compare(expected, detect(detector, audio), length)
        errors, false, miss, total = errors + e, false + f, miss + m, total + t
        untreated += compare(expected, detect(detector, audio, treat=False), length)[1]
    assert np.mean(np.array(errors) <= 25) >= within_25
    assert 100 * (false + miss) / total <= error
    assert 100 * untreated / total > 30


def test_a_soft_backchannel_under_a_leak_survives(detector):
    """The user says "okay" 10 dB softer than the leak's source is at that moment."""
    name = "calm_user_backchannel_1"
    audio = sample(name) * np.array([[0.4], [1.0]])
    user, _ = detect(detector, leaked(audio, -20))
    expected = truth(name)[0]
    assert len(user) == len(expected)
    for (a, b), (start, end) in zip(expected, user, strict=True):
        assert abs(start - a) <= 40
        assert abs(end - b) <= 60


def test_without_a_leak_the_segments_are_the_same_to_the_bit(detector):
    for name in ("calm_turn_taking_1", "eager_user_backchannel_2"):
        audio = sample(name)
        assert detect(detector, audio) == detect(detector, audio, treat=False)
