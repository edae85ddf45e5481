"""Decoding: every format and rate keeps every sample; every fault is refused by name."""

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import correlate

from flexi_score.audio import decode
from flexi_score.audio.decode import SAMPLE_RATE_HZ, content_hash, decode_blocks, probe, read_blocks
from flexi_score.audio.faults import examine
from flexi_score.audio.signal import SampleCounts, Signal, open_signals, signal_from_array
from flexi_score.errors import AudioError

RATES = [8000, 11025, 12345, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000]
FORMATS = [
    ("wav", "WAV", "PCM_16", 1e-4),
    ("wav", "WAV", "PCM_24", 1e-6),
    ("wav", "WAV", "PCM_32", 1e-6),
    ("wav", "WAV", "FLOAT", 1e-7),
    ("wav", "WAV", "DOUBLE", 1e-7),
    ("wav", "WAV", "ULAW", 0.02),
    ("wav", "WAV", "ALAW", 0.02),
    ("flac", "FLAC", "PCM_16", 1e-4),
    ("flac", "FLAC", "PCM_24", 1e-6),
    ("ogg", "OGG", "VORBIS", 0.1),
    ("opus", "OGG", "OPUS", 0.1),
    ("mp3", "MP3", "MPEG_LAYER_III", 0.1),
]


def tones(rate_hz: int, duration_s: float) -> np.ndarray:
    """Left 440 Hz, right 600 Hz, so that a mix-up or a downmix shows."""
    time = np.arange(round(rate_hz * duration_s)) / rate_hz
    return np.stack([0.5 * np.sin(2 * np.pi * f * time) for f in (440, 600)], 1).astype(np.float32)


def read_all(path: Path, channels: list[int], block_s: float = 10.0) -> np.ndarray:
    return np.concatenate(list(read_blocks(path, channels, block_s)))


def write_tones(path: Path, rate_hz: int = 16000, duration_s: float = 1.0, **how: str) -> bytes:
    sf.write(path, tones(rate_hz, duration_s), rate_hz, **how)
    return path.read_bytes()


def refuse(path: Path, *causes: str) -> None:
    """The file is refused, at the latest while it is decoded, naming file and causes."""
    with pytest.raises(AudioError) as caught:
        read_all(path, [0])
    for part in (str(path), *causes):
        assert part in str(caught.value)


@pytest.mark.parametrize(("suffix", "container", "encoding", "tolerance"), FORMATS)
def test_every_format_keeps_samples_and_channels(tmp_path, suffix, container, encoding, tolerance):
    path = tmp_path / f"a.{suffix}"
    write_tones(path, duration_s=2.0, format=container, subtype=encoding)
    info = probe(path)
    assert (info.n_channels, info.sample_rate_hz, info.n_frames) == (2, 16000, 32000)
    assert info.encoding == encoding
    assert info.container.startswith(container)
    samples = read_all(path, [0, 1], block_s=0.3)
    assert samples.shape == (32000, 2)
    assert samples.dtype == np.float32
    inside = slice(800, -800)  # lossy codecs ring at the edges
    assert np.abs(samples - tones(16000, 2.0))[inside].max() < tolerance


@pytest.mark.parametrize("rate_hz", RATES)
def test_resampling_neither_drops_nor_delays(tmp_path, rate_hz):
    n = rate_hz * 2 + 7
    time = np.arange(n) / rate_hz
    clicks = np.stack([np.exp(-(((time - t) / 5e-4) ** 2)) for t in (0.9, 1.99)], 1)
    path = tmp_path / "clicks.wav"
    sf.write(path, clicks.astype(np.float32), rate_hz, subtype="FLOAT")
    samples = read_all(path, [0, 1], block_s=0.37)
    assert abs(len(samples) - round(n * SAMPLE_RATE_HZ / rate_hz)) <= 1
    at = np.arange(len(samples)) / SAMPLE_RATE_HZ
    expected = np.stack([np.exp(-(((at - t) / 5e-4) ** 2)) for t in (0.9, 1.99)], 1)
    for k in (0, 1):  # the second click lies in the last 10 ms
        lag = np.argmax(correlate(samples[:, k], expected[:, k])) - len(samples) + 1
        assert lag == 0
        assert np.abs(samples[:, k] - expected[:, k]).max() < 0.01


@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_block_size_changes_nothing(tmp_path, rate_hz):
    path = tmp_path / "a.wav"
    write_tones(path, rate_hz, 1.5)
    whole = read_all(path, [0, 1])
    np.testing.assert_array_equal(read_all(path, [0, 1], block_s=0.011), whole)


@settings(max_examples=25, deadline=None)
@given(
    n_channels=st.integers(2, 5),
    rate_hz=st.sampled_from([16000, 8000]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_any_channel_map_selects_and_swaps_exactly(
    tmp_path_factory, n_channels, rate_hz, seed, data
):
    user, model = data.draw(
        st.lists(st.integers(0, n_channels - 1), min_size=2, max_size=2, unique=True)
    )
    noise = np.random.default_rng(seed).uniform(-1, 1, (rate_hz // 4, n_channels))
    path = tmp_path_factory.mktemp("map") / "a.wav"
    sf.write(path, noise.astype(np.float32), rate_hz, subtype="FLOAT")
    row = {"audio": str(path), "user_channel": user, "model_channel": model}
    swapped = {**row, "user_channel": model, "model_channel": user}
    u, m = (s.read(0, s.n_samples) for s in open_signals(row))
    m2, u2 = (s.read(0, s.n_samples) for s in open_signals(swapped))
    np.testing.assert_array_equal(u, u2)
    np.testing.assert_array_equal(m, m2)
    np.testing.assert_array_equal(u, read_all(path, [user])[:, 0])
    if rate_hz == SAMPLE_RATE_HZ:
        np.testing.assert_array_equal(u, noise[:, user].astype(np.float32))


def test_content_hash_is_sha256_of_the_bytes(tmp_path):
    data = write_tones(tmp_path / "a.wav")
    assert content_hash(tmp_path / "a.wav") == hashlib.sha256(data).hexdigest()
    with pytest.raises(AudioError, match=r"none\.wav: no such file"):
        content_hash(tmp_path / "none.wav")


# Streamed files: the header could not be corrected, the samples are all there.


@pytest.mark.parametrize("riff", [0, 36, 0xFFFFFFFF])
@pytest.mark.parametrize("data", [0, 0xFFFFFFFF, 0x7FFFF000])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT"])
def test_wav_from_a_pipe_runs_to_the_end(tmp_path, riff, data, subtype):
    path = tmp_path / "piped.wav"
    raw = bytearray(write_tones(path, subtype=subtype))
    at = raw.find(b"data")
    raw[at + 4 : at + 8] = struct.pack("<I", data)
    raw[4:8] = struct.pack("<I", riff)
    whole = read_all(path, [0, 1])
    path.write_bytes(raw)
    assert probe(path).n_frames == 16000
    np.testing.assert_array_equal(read_all(path, [0, 1]), whole)


def test_wav_of_no_samples_with_a_chunk_behind_is_not_taken_for_a_pipe(tmp_path):
    path = tmp_path / "none.wav"
    raw = bytearray(write_tones(path))
    at = raw.find(b"data")
    path.write_bytes(bytes(raw[: at + 4]) + struct.pack("<I", 0) + b"LIST\x04\0\0\0INFO")
    refuse(path, "holds no samples")


def test_flac_from_a_pipe_has_no_declared_length(tmp_path):
    path = tmp_path / "piped.flac"
    raw = bytearray(write_tones(path))
    raw[21] &= 0xF0  # the number of samples in STREAMINFO
    raw[22:26] = bytes(4)
    path.write_bytes(raw)
    assert probe(path).n_frames is None
    assert len(read_all(path, [0, 1])) == 16000


# Faults


def test_no_file_folder_and_empty_file(tmp_path):
    refuse(tmp_path / "none.wav", "no such file")
    (tmp_path / "folder.wav").mkdir()
    refuse(tmp_path / "folder.wav", "is a folder")
    (tmp_path / "empty.wav").touch()
    refuse(tmp_path / "empty.wav", "empty file (0 bytes)")
    refuse(tmp_path / "nul\0.wav", "no such file")


@pytest.mark.parametrize("name", ["notes.wav", "notes.mp3", "notes.raw", "notes"])
def test_text_is_not_audio_whatever_its_name(tmp_path, name):
    (tmp_path / name).write_text("this is not audio\n" * 100)
    refuse(tmp_path / name, "holds text", "expected audio")


def test_bytes_that_are_no_audio(tmp_path):
    (tmp_path / "noise.wav").write_bytes(bytes(range(256)) * 20)
    refuse(tmp_path / "noise.wav", "no audio that can be decoded")
    raw = write_tones(tmp_path / "a.wav")
    (tmp_path / "head.wav").write_bytes(raw[:20])
    refuse(tmp_path / "head.wav", "no audio that can be decoded")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW"])
@pytest.mark.parametrize("share", [0.9, 0.6])
def test_truncated_wav(tmp_path, subtype, share):
    path = tmp_path / "cut.wav"
    raw = write_tones(path, duration_s=2.0, subtype=subtype)
    path.write_bytes(raw[: int(len(raw) * share)])
    refuse(path, "truncated WAV", "promises", "(2.00 s)", "copy the file again")


@pytest.mark.parametrize("container", ["RF64", "AIFF", "AU", "W64"])
def test_truncated_relatives_of_wav(tmp_path, container):
    path = tmp_path / "cut"
    raw = write_tones(path, format=container)
    path.write_bytes(raw[: int(len(raw) * 0.6)])
    refuse(path, "truncated")


def test_wav_of_a_header_only(tmp_path):
    path = tmp_path / "head.wav"
    raw = write_tones(path)
    path.write_bytes(raw[: raw.find(b"data") + 8])
    refuse(path, "truncated WAV", "holds 0")


@pytest.mark.parametrize(
    ("suffix", "how"),
    [("flac", {}), ("ogg", {}), ("mp3", {}), ("opus", {"format": "OGG", "subtype": "OPUS"})],
)
@pytest.mark.parametrize("share", [0.93, 0.5])
def test_truncated_compressed_files(tmp_path, suffix, how, share):
    path = tmp_path / f"cut.{suffix}"
    raw = write_tones(path, 48000, 5.0, **how)
    path.write_bytes(raw[: int(len(raw) * share)])
    refuse(path, "truncated")


def test_mp3_whose_length_is_a_guess_is_refused_rather_than_cut(tmp_path):
    path = tmp_path / "guess.mp3"
    sf.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, (96000, 2)), 48000)
    raw = path.read_bytes()
    whole = probe(path).n_frames
    path.write_bytes(raw[raw.find(b"\xff\xfb", 4) :])  # without the frame that holds the length
    with sf.SoundFile(path) as file:
        assert file.frames < whole * 0.9  # what would be lost
    refuse(path, "would drop the rest", "-c copy")
    path.write_bytes(raw + raw)  # two files run together
    refuse(path, "would drop the rest")


def test_no_samples_and_too_short(tmp_path):
    for n, cause in ((0, "no samples"), (1, "too short"), (800, "too short: 0.050 s")):
        path = tmp_path / f"{n}.wav"
        sf.write(path, np.zeros((n, 2)), 16000)
        refuse(path, cause)
    refuse(path, "at least 0.1 s")
    sf.write(path, np.zeros((1600, 2)), 16000)
    assert len(read_all(path, [0])) == 1600


def test_absurd_sample_rate(tmp_path):
    path = tmp_path / "fast.wav"
    raw = bytearray(write_tones(path))
    raw[24:28] = struct.pack("<I", 2_000_000_000)
    path.write_bytes(raw)
    refuse(path, "2000000000 Hz", "expected numbers that agree")
    raw[24:32] = struct.pack("<II", 1_000_000, 1_000_000 * 4)
    path.write_bytes(raw)
    refuse(path, "sample rate 1000000 Hz", "4000 to 384000")


def test_an_unusual_sample_rate_is_said(tmp_path):
    path = tmp_path / "odd.au"
    sf.write(path, np.zeros((16_002, 2)), 16_002, "PCM_16", format="AU")
    assert "16002 Hz is unusual" in probe(path).note


def test_a_name_alone_makes_no_audio(tmp_path):
    """libsndfile takes any bytes in a file of this name for 8 kHz mu-law."""
    path = tmp_path / "noise.au"
    path.write_bytes(bytes(range(256)) * 100)
    refuse(path, "holds no audio")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_counted_and_placed(tmp_path, bad):
    samples = np.zeros((48000, 2), np.float32)
    samples[[24000, 24001, 47000], 1] = bad
    path = tmp_path / "nan.wav"
    sf.write(path, samples, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"nan\.wav: 3 samples NaN or infinite.* at 1\.500 s"):
        list(decode_blocks(probe(path), [0, 1], block_s=0.25))
    assert len(read_all(path, [0])) == 48000  # only in the other channel


# Roles


def row(**changes: object) -> dict[str, object]:
    keys = ("recording", "audio", "user_audio", "model_audio")
    return {**dict.fromkeys(keys), "user_channel": 0, "model_channel": 1, **changes}


def test_one_channel_where_two_are_needed(tmp_path):
    path = tmp_path / "mono.wav"
    sf.write(path, np.zeros(16000), 16000)
    with pytest.raises(AudioError) as caught:
        open_signals(row(audio=str(path)))
    for part in (str(path), "has one channel, expected two", "user_audio"):
        assert part in str(caught.value)
    with pytest.raises(AudioError, match=r"mono\.wav: has 1 channel, channel -1 was asked for"):
        read_all(path, [-1])


def test_both_roles_on_one_channel(tmp_path):
    write_tones(tmp_path / "a.wav")
    with pytest.raises(AudioError, match=r"a\.wav: .*channel 1 as both user and model"):
        open_signals(row(audio=str(tmp_path / "a.wav"), user_channel=1))


def test_a_pair_of_mono_files_of_unlike_length_and_rate(tmp_path):
    user, model = tmp_path / "u.wav", tmp_path / "m.flac"
    sf.write(user, tones(8000, 1.0)[:, 0], 8000)
    sf.write(model, tones(48000, 2.0)[:, 1], 48000)
    u, m = open_signals(row(user_audio=str(user), model_audio=str(model)))
    with u, m:
        assert (u.n_samples, m.n_samples) == (16000, 32000)
        assert (u.duration_ms, m.duration_ms) == (1000, 2000)
        inside = slice(500, -500)
        assert np.abs(m.read(0, 32000) - tones(16000, 2.0)[:, 1])[inside].max() < 1e-3


def test_faults_of_pairs(tmp_path):
    mono, stereo = tmp_path / "mono.wav", tmp_path / "stereo.wav"
    sf.write(mono, np.zeros(16000), 16000)
    write_tones(stereo)
    with pytest.raises(
        AudioError, match=r"stereo\.wav: has 2 channels, model_audio must be a mono"
    ):
        open_signals(row(user_audio=str(mono), model_audio=str(stereo)))
    with pytest.raises(AudioError, match=r"mono\.wav: is both user_audio and model_audio"):
        open_signals(row(user_audio=str(mono), model_audio=str(mono)))
    with pytest.raises(AudioError, match=r"'x': has no model_audio"):
        open_signals(row(recording="x", user_audio=str(mono)))


# Signal


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 300), max_size=6),
    cuts=st.tuples(st.integers(-50, 2000), st.integers(-50, 2000)),
    memory=st.sampled_from([1, 500, 10**6]),
)
def test_signal_reads_back_what_was_written(sizes, cuts, memory):
    parts = [np.random.default_rng(n).standard_normal(n).astype(np.float32) for n in sizes]
    whole = np.concatenate([np.empty(0, np.float32), *parts])
    with Signal("a", memory_bytes=memory) as signal:
        for part in parts:
            signal.append(part)
        assert signal.n_samples == len(whole)
        start, stop = cuts
        np.testing.assert_array_equal(
            signal.read(start, stop), whole[max(start, 0) : max(start, stop, 0)]
        )
        blocks = list(signal.blocks(7))
        np.testing.assert_array_equal(np.concatenate([whole[:0], *blocks]), whole)


def test_counts_are_of_the_file_and_not_of_the_resampled_samples(tmp_path):
    samples = np.full((48000, 2), 0.25, np.float32)
    samples[:4800, 0] = 0.0
    samples[-480:, 0] = 1.0
    sf.write(tmp_path / "a.wav", samples, 48000)
    user, model = open_signals(row(audio=str(tmp_path / "a.wav")))
    with user, model:
        assert (user.counts.n, user.counts.n_zero, user.counts.n_clipped) == (48000, 4800, 480)
        assert model.counts.low == model.counts.high  # constant: dead, whatever resampling does
        assert user.counts.low < user.counts.high


def test_clipping_is_seen_in_companded_files(tmp_path):
    square = np.sign(np.sin(np.arange(16000) / 20) + 1e-9) * 1.0
    for subtype in ("ULAW", "ALAW", "PCM_16"):
        sf.write(tmp_path / "a.wav", np.stack([square, square / 2], 1), 16000, subtype=subtype)
        user, model = open_signals(row(audio=str(tmp_path / "a.wav")))
        with user, model:
            assert user.counts.n_clipped == 16000
            assert model.counts.n_clipped == 0


def test_counts_of_nothing():
    counts = SampleCounts()
    counts.add(np.empty(0, np.float32))
    assert (counts.n, counts.n_zero) == (0, 0)
    with signal_from_array(np.empty(0, np.float32)) as signal:
        assert list(signal.blocks(10)) == []
        assert signal.duration_ms == 0


def test_a_file_is_examined_once_a_version_of_it(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros(8000), 8000)
    examined = []

    def spy(name):
        examined.append(name)
        return examine(name)

    monkeypatch.setattr(decode, "examine", spy)
    assert [probe(path).n_frames for _ in range(3)] == [8000] * 3
    assert examined == [str(path)]
    sf.write(path, np.zeros(4000), 8000)
    assert probe(path).n_frames == 4000
    assert len(examined) == 2
