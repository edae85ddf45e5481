"""Levels, Silero's probabilities over many frames at once, and hysteresis in arrays."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flexi_score.audio.levels import gain_db, measure_levels
from flexi_score.audio.signal import Signal, open_signals, signal_from_array
from flexi_score.config import ExtractSettings, SpeechSettings
from flexi_score.errors import PrerequisiteError
from flexi_score.speech.hysteresis import speech_segments

CALLS = Path(__file__).parents[1].parent / "shared" / "data" / "real_calls"
SILERO = SpeechSettings(
    threshold=0.5, release=0.35, min_silence_ms=100, min_speech_ms=250, pad_ms=30
)
HYSTERESIS = SpeechSettings(
    threshold=0.5, release=0.35, min_silence_ms=0, min_speech_ms=0, pad_ms=0
)


# Levels


def level(samples: np.ndarray):
    with signal_from_array(samples.astype(np.float32)) as signal:
        return measure_levels(signal)


def sine(amplitude: float, duration_s: float = 1.0, frequency_hz: float = 1000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(16000 * duration_s) / 16000)


def test_level_of_a_sine():
    levels = level(sine(0.5))
    assert len(levels.envelope_cdb) == 100
    assert levels.envelope_cdb.dtype == np.int16
    assert levels.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert levels.active_dbfs == pytest.approx(-9.03, abs=0.05)
    assert np.abs(levels.envelope_cdb[1:] + 903).max() < 10
    assert not levels.is_dead


def test_active_level_is_that_of_the_loudest_half_second():
    quiet_then_loud = np.concatenate([sine(0.001, 3.0), sine(0.5, 0.5), np.zeros(16000)])
    assert level(quiet_then_loud).active_dbfs == pytest.approx(-9.03, abs=0.05)
    short = sine(0.5, 0.2)
    assert level(short).active_dbfs == pytest.approx(-9.03, abs=0.1)


def test_dc_and_rumble_are_not_energy():
    levels = level(sine(0.01) + 0.3)
    assert levels.active_dbfs == pytest.approx(-43.0, abs=0.1)
    assert levels.envelope_cdb[0] < -4000  # no ringing at the start
    assert levels.peak_dbfs == pytest.approx(20 * np.log10(0.31), abs=0.01)
    assert level(sine(0.1, frequency_hz=10)).active_dbfs < -35


def test_envelope_is_independent_of_the_block_it_was_read_in():
    noise = np.random.default_rng(0).standard_normal(16000 * 70 + 37) * 0.1
    from flexi_score.audio import levels as module

    whole = level(noise).envelope_cdb
    assert len(whole) == 7001
    assert module._BLOCK % 160 == 0
    assert len(noise) / 2 > module._BLOCK  # so the blocks' seams are in what follows
    pieces = noise[: 160 * 6000].reshape(-1, 160)
    plain = 1000 * np.log10((pieces**2).mean(axis=1))
    assert np.abs(whole[:6000] - plain).max() < 150  # the high-pass takes a little


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_a_dead_channel_is_reported(value):
    levels = level(np.full(16000, value))
    assert levels.is_dead
    assert levels.active_dbfs == -120
    assert (levels.envelope_cdb == -12000).all()
    assert levels.zero_share == (value == 0)
    assert gain_db(levels, ExtractSettings()) == 0


def test_gain_brings_the_active_level_to_the_target():
    settings_ = ExtractSettings()
    for amplitude in (0.5, 0.05, 0.005):
        gain = gain_db(level(sine(amplitude)), settings_)
        assert level(sine(amplitude) * 10 ** (gain / 20)).active_dbfs == pytest.approx(-23, abs=0.1)


def test_gain_has_limits():
    assert gain_db(level(sine(0.5)), ExtractSettings(normalize=False)) == 0
    assert gain_db(level(sine(3e-4)), ExtractSettings()) == pytest.approx(50.5, abs=0.1)
    assert gain_db(level(sine(1e-4)), ExtractSettings()) == 0  # -83 dBFS
    assert gain_db(level(sine(3000.0)), ExtractSettings()) == -40  # integers written as floats
    assert level(sine(1e6)).envelope_cdb.max() == pytest.approx(11700, abs=10)


# Hysteresis


def slow_segments(p, duration_ms, s):
    """Silero's rules for one channel, one frame at a time, in ms."""
    segments, start, end = [], None, None
    for i, value in enumerate(p):
        if value >= s.threshold:
            end = None
            if start is None:
                start = 32 * i
        elif value < s.release and start is not None:
            if end is None:
                end = 32 * i
            if 32 * i - end >= s.min_silence_ms:
                segments.append([start, end])
                start, end = None, None
    if start is not None:
        segments.append([start, duration_ms])
    segments = [[a, min(b, duration_ms)] for a, b in segments]
    segments = [[a, b] for a, b in segments if b - a > s.min_speech_ms]
    padded = [[a, b] for a, b in segments]
    for i, (a, b) in enumerate(segments):
        silence_before = a - segments[i - 1][1] if i else None
        silence_after = segments[i + 1][0] - b if i + 1 < len(segments) else None
        for side, silence in ((0, silence_before), (1, silence_after)):
            pad = s.pad_ms
            if silence is not None and silence < 2 * s.pad_ms:
                pad = silence // 2
            padded[i][side] += pad if side else -pad
    return [(max(a, 0), min(b, duration_ms)) for a, b in padded]


def run(channels, durations_ms, s):
    lengths = [len(c) for c in channels]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = np.concatenate([np.empty(0, np.uint16), *channels])
    found = speech_segments(flat, offsets, np.array(durations_ms, np.int64), s)
    out = [[] for _ in channels]
    for rec, start, end in zip(found.rec, found.start_ms, found.end_ms, strict=True):
        out[rec].append((int(start), int(end)))
    return out


# Long runs of equal frames, so that every duration rule is met from both sides.
RUNS = st.lists(
    st.tuples(
        st.sampled_from([0, 20000, 22937, 22938, 30000, 32767, 32768, 65535]), st.integers(1, 12)
    ),
    max_size=12,
)


def frames(runs) -> np.ndarray:
    return np.array([v for v, n in runs for _ in range(n)], np.uint16)


@settings(max_examples=100, deadline=None)
@given(
    channels=st.lists(
        st.one_of(
            RUNS.map(frames),
            hnp.arrays(np.uint16, st.integers(0, 40), elements=st.integers(0, 65535)),
        ),
        max_size=5,
    ),
    cut_ms=st.integers(0, 31),
    s=st.builds(
        lambda high, low, silence, speech, pad: SpeechSettings(
            threshold=max(high, low),
            release=min(high, low),
            min_silence_ms=silence,
            min_speech_ms=speech,
            pad_ms=pad,
        ),
        st.sampled_from([0.0, 0.3, 0.5, 0.9, 1.0]),
        st.sampled_from([0.0, 0.2, 0.35, 0.5]),
        st.sampled_from([0, 31, 32, 64, 100, 500]),
        st.sampled_from([0, 31, 32, 90, 250]),
        st.sampled_from([0, 15, 16, 30, 200]),
    ),
)
def test_all_channels_at_once_equal_the_slow_loop(channels, cut_ms, s):
    durations = [max(len(c) * 32 - cut_ms, 0) for c in channels]
    expected = [slow_segments(c / 65535, d, s) for c, d in zip(channels, durations, strict=True)]
    assert run(channels, durations, s) == expected


@settings(max_examples=37, deadline=None)
@given(runs=RUNS, s=st.sampled_from([SILERO, HYSTERESIS]), cut_ms=st.integers(0, 31))
def test_the_rules_are_silero_s(runs, s, cut_ms):
    silero = pytest.importorskip("silero_vad.utils_vad", reason="needs the vad extra")
    p = frames(runs)
    duration_ms = max(len(p) * 32 - cut_ms, 0)
    expected = silero.get_speech_timestamps_from_probs(
        list(p / 65535),
        threshold=s.threshold,
        neg_threshold=s.release,
        min_silence_duration_ms=s.min_silence_ms,
        min_speech_duration_ms=s.min_speech_ms,
        speech_pad_ms=s.pad_ms,
        audio_length_samples=duration_ms * 16,
    )
    assert run([p], [duration_ms], s) == [[(e["start"] // 16, e["end"] // 16) for e in expected]]


def test_no_channels_and_no_frames():
    assert run([], [], SILERO) == []
    none = np.empty(0, np.uint16)
    one = np.array([65535], np.uint16)
    assert run([none, one, none], [0, 20, 0], HYSTERESIS) == [[], [(0, 20)], []]


def test_speech_does_not_run_on_into_the_next_channel():
    loud = np.full(10, 65535, np.uint16)
    quiet = np.zeros(10, np.uint16)
    expected = [[(0, 320)], [], [(0, 320)], [(0, 320)]]
    assert run([loud, quiet, loud, loud], [320] * 4, HYSTERESIS) == expected


# Probabilities


@pytest.fixture(scope="module")
def detector():
    pytest.importorskip("silero_vad", reason="needs the vad extra")
    from flexi_score.extraction.probabilities import load_detector

    return load_detector(threads=1)


@pytest.fixture(scope="module")
def calls() -> list[np.ndarray]:
    """Both channels of the real calls."""
    if not CALLS.is_dir():
        pytest.skip("the real calls are not in this checkout")
    channels = []
    for path in sorted(CALLS.glob("*.wav")):
        for signal in open_signals({"audio": str(path), "user_channel": 0, "model_channel": 1}):
            with signal:
                channels.append(signal.read(0, signal.n_samples))
    assert len(channels) == 16
    return channels


def probabilities(detector, channels, gains=None):
    from flexi_score.extraction.probabilities import speech_probabilities

    signals = [signal_from_array(c) for c in channels]
    found = speech_probabilities(detector, signals, gains or [0.0] * len(signals))
    for signal in signals:
        signal.close()
    return found


def silero_probabilities(model, samples) -> np.ndarray:
    import torch

    model.reset_states()
    padded = np.pad(samples, (0, -len(samples) % 512))
    chunks = torch.from_numpy(padded).view(-1, 512)
    return np.array([model(chunk, 16000).item() for chunk in chunks])


def test_probabilities_equal_silero_s_chunk_loop(detector, calls):
    """Largest difference seen: 3.2e-5, of which the uint16 may make up 0.8e-5."""
    from silero_vad import load_silero_vad

    model = load_silero_vad()
    cut = [*calls[:6], calls[6][:70_001], calls[7][:513], calls[8][:100]]
    largest = 0.0
    for found, samples in zip(probabilities(detector, cut), cut, strict=True):
        expected = silero_probabilities(model, samples)
        assert found.dtype == np.uint16
        assert found.shape == expected.shape
        largest = max(largest, float(np.abs(found / 65535 - expected).max()))
    assert largest <= 1e-4


def test_segments_equal_silero_s_on_real_calls(detector, calls):
    import torch
    from silero_vad import get_speech_timestamps, load_silero_vad

    model = load_silero_vad()
    found = run(probabilities(detector, calls), [round(len(c) / 16) for c in calls], SILERO)
    n = 0
    for segments, samples in zip(found, calls, strict=True):
        expected = get_speech_timestamps(torch.from_numpy(samples), model)
        assert len(segments) == len(expected)
        for (start_ms, end_ms), segment in zip(segments, expected, strict=True):
            assert abs(start_ms - segment["start"] / 16) <= 1
            assert abs(end_ms - segment["end"] / 16) <= 1
        n += len(segments)
    assert n == 30  # so that empty lists do not pass


def test_company_does_not_matter(detector, calls):
    """Alone, and among channels of other lengths."""
    many = [c[: len(c) - 1111 * i] for i, c in enumerate(calls[:6])]
    together = probabilities(detector, many)
    for i in (0, 5):
        np.testing.assert_array_equal(together[i], probabilities(detector, [many[i]])[0])


def test_blocks_carry_state_and_context(detector, calls, monkeypatch):
    from flexi_score.extraction import probabilities as speech

    expected = probabilities(detector, calls[:3])
    monkeypatch.setattr(speech, "_BLOCK_FRAMES", 48)
    for found, whole in zip(probabilities(detector, calls[:3]), expected, strict=True):
        assert np.abs(found.astype(int) - whole).max() <= 4


def test_gain_is_a_factor(detector, calls):
    quiet = calls[1] * np.float32(0.001)
    found = probabilities(detector, [quiet], [60.0])[0]
    expected = probabilities(detector, [calls[1]])[0]
    assert np.abs(found.astype(int) - expected).max() <= 20
    assert (found > 32768).sum() > (probabilities(detector, [quiet])[0] > 32768).sum()


def test_channels_of_no_samples(detector):
    none = np.empty(0, np.float32)
    found = probabilities(detector, [none, np.zeros(700, np.float32), none])
    assert [len(f) for f in found] == [0, 2, 0]
    assert found[1].max() < 6554
    assert probabilities(detector, []) == []


def test_detector_says_where_its_weights_are_from(detector):
    from flexi_score.extraction.probabilities import weights_path

    assert detector.version.startswith("silero-6")
    assert len(detector.sha256) == 64
    assert weights_path().name.endswith(".onnx")


def test_other_weights_are_refused(detector, tmp_path, monkeypatch):
    from flexi_score.extraction import probabilities as speech

    data = speech.weights_path().read_bytes()
    for name, content in (("cut.onnx", data[: len(data) // 2]), ("text.onnx", b"no network")):
        path = tmp_path / name
        path.write_bytes(content)
        monkeypatch.setattr(speech, "weights_path", lambda path=path: path)
        with pytest.raises(PrerequisiteError, match=rf"{name}: cannot be loaded"):
            speech.load_detector()


def test_a_limit_clips_what_is_louder(detector, calls):
    from flexi_score.extraction.probabilities import speech_probabilities

    loud = np.clip(calls[1] * 30, -1, 1)
    with signal_from_array(loud) as own, signal_from_array(np.clip(loud, -0.1, 0.1)) as clipped:
        found = speech_probabilities(detector, [own], [0.0], [0.1])[0]
        expected = speech_probabilities(detector, [clipped], [0.0])[0]
    np.testing.assert_array_equal(found, expected)


def test_a_missing_package_is_a_missing_prerequisite(monkeypatch):
    from flexi_score.extraction import probabilities as speech

    monkeypatch.setattr(speech.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match=r"needs silero-vad: install the detector \(.*vad"):
        speech.load_detector()


def test_signal_is_read_in_bounded_pieces(detector):
    """Memory is bounded by the block, whatever the length of the recording."""
    from flexi_score.extraction.probabilities import speech_probabilities

    largest = 0

    class Watched(Signal):
        def read(self, start, stop):
            nonlocal largest
            largest = max(largest, stop - start)
            return super().read(start, stop)

    signal = Watched("long")
    for _ in range(20):
        signal.append(np.zeros(16000 * 20, np.float32))
    with signal:
        measure_levels(signal)
        (found,) = speech_probabilities(detector, [signal], [0.0])
    assert len(found) == 12500
    assert largest < 16000 * 180
