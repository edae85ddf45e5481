"""Crosstalk between channels: what is found, what is left, and what must never raise."""

import json
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal as dsp

from flexi_score.archive.tables import FRAMES
from flexi_score.audio.levels import gain_db, measure_levels, noise_dbfs
from flexi_score.audio.signal import Signal, open_signals, signal_from_array
from flexi_score.config import ExtractSettings, SpeechSettings
from flexi_score.extraction.cleaned import clean_channels
from flexi_score.simulate.noise import pink
from flexi_score.speech import separation
from flexi_score.speech.crosstalk import Crosstalk, find_lags, separate
from flexi_score.speech.detect import detect_speech

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_recordings"
CALLS = ROOT.parent / "shared" / "data" / "real_calls"
MEETINGS = ROOT.parent / "shared" / "data" / "real_speech"
MS = 16


def read(path: Path) -> np.ndarray:
    user, model = open_signals({"audio": str(path), "user_channel": 0, "model_channel": 1})
    with user, model:
        return np.stack([s.read(0, s.n_samples) for s in (user, model)]).astype(np.float64)


def sample(name: str) -> np.ndarray:
    return read(SAMPLES / f"{name}.flac")


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


def with_crosstalk(audio: np.ndarray, db: float, lag_ms: int = 15, decay_ms: float = 12):
    """Both channels, each with the other in it, in 16 bits."""
    n = audio.shape[1]
    copies = [dsp.oaconvolve(audio[1 - k], room(db, lag_ms, decay_ms, k))[:n] for k in (0, 1)]
    return np.rint((audio + np.stack(copies)) * 32768) / 32768


def suspect(user: Signal, model: Signal, model_at: int = 0) -> tuple[int | None, int | None]:
    cdb = [measure_levels(s).envelope_cdb for s in (user, model)]
    return (
        find_lags(user, model, cdb[0], cdb[1], model_at),
        find_lags(model, user, cdb[1], cdb[0], -model_at),
    )


def clean(
    channels, model_at: int = 0, lags: tuple[int | None, int | None] | None = None
) -> tuple[list[np.ndarray], list[Crosstalk | None]]:
    """Both channels without crosstalk, and what it was; `lags` are asked for unless given."""
    with ExitStack() as opened:
        user, model = (opened.enter_context(signal_from_array(x)) for x in channels)
        done = separate(user, model, lags or suspect(user, model, model_at), model_at)
        out = []
        for signal, result in zip((user, model), done, strict=True):
            left = opened.enter_context(result[0]) if result else signal
            out.append(left.read(0, left.n_samples).astype(np.float64))
    return out, [result[1] if result else None for result in done]


def crosstalk_of(channels, model_at: int = 0) -> list[Crosstalk | None]:
    return clean(channels, model_at)[1]


def left_db(result: np.ndarray, mixed: np.ndarray, own: np.ndarray) -> float:
    """What is left where the other party alone is heard, against what was there."""
    before, after, level = (
        np.square(x[: len(x) // 160 * 160]).reshape(-1, 160).mean(axis=1)
        for x in (mixed - own, result - own, own)
    )
    alone = (before > before.max() * 1e-3) & (level < before / 100)
    return 10 * float(np.log10(after[alone].sum() / before[alone].sum()))


# What is found


def test_the_path_is_found():
    audio = sample("eager_user_interrupt_2")
    for db, lag_ms in ((-20.0, 15), (-10.0, 110), (-30.0, 0)):
        for found in crosstalk_of(with_crosstalk(audio, db, lag_ms)):
            assert found is not None
            # Within the speech band, where the path is up to 3 dB from its mean.
            assert found.level_db == pytest.approx(db, abs=4.0)
            assert found.lag_ms == pytest.approx(lag_ms, abs=0.2)
            assert found.depth_db > 9


def test_crosstalk_one_way_is_found_one_way():
    audio = sample("eager_user_interrupt_2")
    into_user, into_model = crosstalk_of([audio[0], with_crosstalk(audio, -15)[1]])
    assert into_user is None
    assert into_model is not None


def test_channels_of_unlike_levels():
    """Crosstalk is louder than the channel's own speech."""
    audio = sample("eager_user_interrupt_2") * np.array([[1.0], [0.02]])
    _, into_model = crosstalk_of(with_crosstalk(audio, -20))
    assert into_model is not None
    assert into_model.level_db == pytest.approx(-20, abs=4)


@pytest.mark.parametrize("later", [3217, -5003])
def test_files_that_start_at_different_times(later):
    audio = sample("eager_user_interrupt_2")
    mixed = with_crosstalk(audio, -20)
    cut = [x[:, max(later, 0) :] if k else x for k, x in enumerate((mixed, mixed))]
    user, model = mixed[0][max(-later, 0) :], cut[1][1]
    whole, parts = crosstalk_of(mixed), clean([user, model], later)
    for a, b in zip(whole, parts[1], strict=True):
        assert b.lag_ms == pytest.approx(a.lag_ms, abs=0.1)
        assert b.level_db == pytest.approx(a.level_db, abs=1)
    own = audio[0][max(-later, 0) :], audio[1][max(later, 0) :]
    for k, mixed_in in enumerate((user, model)):
        assert len(parts[0][k]) == len(mixed_in)
        assert left_db(parts[0][k], mixed_in, own[k]) < -20


def test_one_signal_on_both_channels_is_no_crosstalk():
    """A copy is a fault of the capture; taking it out would leave nothing."""
    both = sample("calm_turn_taking_1").sum(axis=0)
    assert crosstalk_of([both, both]) == [None, None]


def test_a_hum_on_both_channels_is_no_crosstalk():
    for name in ("calm_turn_taking_1", "eager_user_interrupt_2", "eager_pause_handling_1"):
        audio = sample(name)
        t = np.arange(audio.shape[1]) / 16000
        hum = sum(np.sin(2 * np.pi * 50 * k * t + k) / k for k in range(1, 9))
        assert crosstalk_of(audio + 0.005 * hum) == [None, None]


@pytest.mark.parametrize("db", [0, 5, 15])
def test_a_noise_that_both_channels_hear_is_no_crosstalk(db):
    """A filter that explains the noise would put the other party's speech into the channel."""
    if not MEETINGS.is_dir():
        pytest.skip("the real recordings are not in this checkout")
    paths = sorted(MEETINGS.glob("ami*"))
    assert len(paths) >= 7
    for path in paths:
        audio = read(path)
        noise = pink(audio.shape[1], np.random.default_rng(1))
        level = audio.std(axis=1, keepdims=True) / noise.std() * 10 ** (-db / 20)
        assert crosstalk_of(audio + level * noise) == [None, None], path.name


@pytest.mark.parametrize("source", ["samples", "calls"])
def test_nothing_is_found_where_there_is_none(source):
    if source == "calls":
        if not CALLS.is_dir():
            pytest.skip("the real calls are not in this checkout")
        paths = sorted(CALLS.glob("*.wav"))
    else:
        paths = [p for p in sorted(SAMPLES.glob("*.flac")) if not p.name.startswith("awkward")]
    assert len(paths) >= 8
    for path in paths:
        assert crosstalk_of(read(path)) == [None, None], path.name


# What is left


@pytest.mark.parametrize("db", [-20, -10])
def test_both_ways_are_undone(db):
    """Own speech comes back through both paths; that echo goes too."""
    audio = sample("eager_user_interrupt_2")
    mixed = with_crosstalk(audio, db, 60)
    done, _ = clean(mixed)
    for k in (0, 1):
        assert left_db(done[k], mixed[k], audio[k]) < -25
        # Own speech stays as it was.
        loud = np.abs(audio[k]) > 0.05 * np.abs(audio[k]).max()
        assert np.mean((done[k] - audio[k])[loud] ** 2) < 0.01 * np.mean(audio[k][loud] ** 2)


def test_a_long_recording_is_separated_in_spans(monkeypatch):
    audio = sample("eager_user_interrupt_2")
    mixed = with_crosstalk(audio, -15)
    monkeypatch.setattr(separation, "SPAN", 80)
    done, found = clean(mixed)
    assert all(found)
    for k in (0, 1):
        assert len(done[k]) == mixed.shape[1]
        assert left_db(done[k], mixed[k], audio[k]) < -18


def test_a_gated_line_gets_no_crosstalk_in_its_pauses():
    audio = sample("eager_user_interrupt_2")
    mixed = with_crosstalk(audio, -15)
    mixed[0, 3000 * MS : 5000 * MS] = 0  # the model speaks
    done, found = clean(mixed)
    assert found[0] is not None
    assert np.abs(done[0][3100 * MS : 4900 * MS]).max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_frames_give_the_samples_back(seed, frames):
    x = np.random.default_rng(seed).standard_normal((frames + 1) * 1024).astype(np.float32)
    for size in (separation.FRAME, separation.SHORT):
        out = separation.synthesise(separation.analyse(x, size))
        np.testing.assert_allclose(out, x[size // 2 : size // 2 + len(out)], atol=1e-5)


def test_doubt_is_the_share_of_speech_that_is_not_clear():
    own, removed = np.array([-20.0, -20, -60, -60]), np.array([-30.0, 0, -100, -50])
    found = Crosstalk(-20.0, 0.0, 10.0, own, removed)
    # Left of it: -40, -10, -110, -60 dB; clear from 18 dB above.
    assert found.doubt(np.ones(4, bool)) == 0.5
    assert found.doubt(np.array([True, False, True, False])) == 0.0
    assert found.doubt(np.array([False, True])) == 1.0
    assert found.doubt(np.zeros(4, bool)) is None


# What must never raise


def gated(x: np.ndarray) -> np.ndarray:
    """Digital zeros where it is quiet."""
    return np.where(np.convolve(np.abs(x), np.ones(1600) / 1600, "same") > 0.005, x, 0)


def made() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    a, b = sample("eager_user_interrupt_2")[:, : 5 * 16000]
    n = len(a)
    noise = 0.01 * rng.standard_normal((2, n))
    late = np.pad(a, (800, 0))[:n]
    return {
        "zeros": [np.zeros(n), np.zeros(n)],
        "zeros and speech": [np.zeros(n), a],
        "constants": [np.full(n, 0.3), np.full(n, -0.2)],
        "a constant and speech": [np.full(n, 0.3), a],
        "one sample": [np.ones(1), np.ones(1)],
        "one sample and speech": [np.ones(1), a],
        "no samples": [np.zeros(0), np.zeros(0)],
        "short": [a[:1600], b[:1600]],
        "a copy": [a, a],
        "a late copy": [a, late],
        "an inverted copy": [a, -a],
        "a copy of a copy, gated": [a + b, gated(a + b)],
        "clipped": [np.clip(20 * (a + 0.3 * b), -1, 1), np.clip(20 * (b + 0.3 * a), -1, 1)],
        "gated": [gated(a), gated(b + 0.1 * late)],
        "noise": list(noise),
        "noise and digital silence": [noise[0], np.zeros(n)],
        "tones": [np.sin(np.arange(n) * 0.3), np.sin(np.arange(n) * 0.3 + 1)],
        "clicks": [np.eye(1, n, 5000)[0], np.eye(1, n, 7000)[0]],
        "far too loud": [1e6 * a, 1e6 * (b + 0.1 * late)],
        "far too quiet": [1e-6 * a, 1e-6 * (b + 0.1 * late)],
        "lengths apart": [a[: n // 5], b + 0.1 * late],
        "square": [np.sign(a), np.sign(b)],
    }


@pytest.mark.parametrize("name", made())
def test_nothing_raises(name):
    channels = made()[name]
    n = [len(x) for x in channels]
    for model_at in (0, -4321, 10**7):
        with np.errstate(all="raise", under="ignore"):
            done, _ = clean(channels, model_at)
        assert [len(x) for x in done] == n
        assert all(np.isfinite(x).all() for x in done)
    # ... nor where crosstalk was suspected and there is none
    for lags in ((0, 0), (None, 900), (-30, 16000)):
        with np.errstate(all="raise", under="ignore"):
            done, _ = clean(channels, lags=lags)
        assert [len(x) for x in done] == n
        assert all(np.isfinite(x).all() for x in done)


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

    names, series = ("user", "model"), ("probabilities", "envelope_cdb")
    with ExitStack() as opened:
        signals = {
            s: opened.enter_context(signal_from_array(x)) for s, x in zip(names, audio, strict=True)
        }
        levels = {s: measure_levels(x) for s, x in signals.items()}
        gains = [gain_db(x, ExtractSettings()) for x in levels.values()]
        found = speech_probabilities(detector, list(signals.values()), gains)
        frames = {
            s: {
                "probabilities": p,
                "envelope_cdb": levels[s].envelope_cdb,
                "noise_dbfs": noise_dbfs(levels[s]),
            }
            for s, p in zip(names, found, strict=True)
        }
        if treat:
            rows, lists, _ = clean_channels(
                signals,
                levels,
                {s: s for s in names},
                dict.fromkeys(names, 0),
                detector,
                ExtractSettings(),
                opened,
            )
            for row, given in zip(rows, lists, strict=True):
                if "level_db" in row:
                    frames[row["key"]] |= given | {"noise_dbfs": row["noise_dbfs"]}
    lists = {n: pl.Series([list(f[n]) for f in frames.values()], dtype=FRAMES[n]) for n in series}
    channels = pl.DataFrame(
        {
            "rec": [0, 0],
            "speaker": names,
            "offset_ms": [0, 0],
            "duration_ms": [len(x) // MS for x in audio],
            **lists,
            "noise_dbfs": [f["noise_dbfs"] for f in frames.values()],
        }
    )
    speech = detect_speech(channels, SpeechSettings())
    out = [[], []]
    for i, a, b in zip(speech.rec, speech.start_ms, speech.end_ms, strict=True):
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
def test_speech_of_channels_with_crosstalk(detector, db, within_25, error):
    names = (
        "calm_turn_taking_1",
        "eager_user_interrupt_2",
        "eager_model_interrupt_1",
        "calm_user_backchannel_1",
        "eager_model_backchannel_2",
    )
    errors, false, miss, total, untreated = [], 0, 0, 0, 0
    for i, name in enumerate(names):
        audio = with_crosstalk(sample(name), db, (15, 0, 40, 90, 5)[i], (12, 3, 20, 8, 15)[i])
        expected = truth(name)
        length = audio.shape[1] // MS + 1
        e, f, m, t = compare(expected, detect(detector, audio), length)
        errors, false, miss, total = errors + e, false + f, miss + m, total + t
        untreated += compare(expected, detect(detector, audio, treat=False), length)[1]
    assert np.mean(np.array(errors) <= 25) >= within_25
    assert 100 * (false + miss) / total <= error
    assert 100 * untreated / total > 30


def test_a_soft_backchannel_under_crosstalk_survives(detector):
    """The user says "okay" 10 dB softer than the source of crosstalk is at that moment."""
    name = "calm_user_backchannel_1"
    audio = sample(name) * np.array([[0.4], [1.0]])
    user, _ = detect(detector, with_crosstalk(audio, -20))
    expected = truth(name)[0]
    assert len(user) == len(expected)
    for (a, b), (start, end) in zip(expected, user, strict=True):
        assert abs(start - a) <= 40
        assert abs(end - b) <= 60


def test_without_crosstalk_the_segments_are_the_same_to_the_bit(detector):
    for name in ("calm_turn_taking_1", "eager_user_backchannel_2"):
        audio = sample(name)
        assert detect(detector, audio) == detect(detector, audio, treat=False)


def test_meeting_headsets_of_nine_seconds(detector):
    """Labels by hand, of words: each microphone also hears the other party."""
    if not MEETINGS.is_dir():
        pytest.skip("the real recordings are not in this checkout")
    labels: dict[str, dict[int, list]] = {}
    for row in map(json.loads, (MEETINGS / "labels.jsonl").open()):
        if row["audio"].startswith("ami"):
            spans = [[round(1000 * t) for t in span] for span in row["speech"]]
            labels.setdefault(row["audio"], {})[row["channel"]] = spans
    false, untreated, total = 0, 0, 0
    for name, speech in labels.items():
        audio = read(MEETINGS / name)
        expected, length = [speech[0], speech[1]], audio.shape[1] // MS + 1
        _, f, _, t = compare(expected, detect(detector, audio), length)
        false, total = false + f, total + t
        untreated += compare(expected, detect(detector, audio, treat=False), length)[1]
    assert len(labels) >= 7
    assert false < 0.7 * untreated
    assert 100 * false / total < 6
