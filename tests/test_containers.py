"""Containers: whole files are read whole, whatever their header says; the rest is refused."""

import io
import struct
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from flexi_score.audio.decode import decode_blocks, probe
from flexi_score.audio.streams import ogg_links
from flexi_score.errors import AudioError

av = pytest.importorskip("av")

RATE = 16000
FIRST_S, SECOND_S = 2.0, 1.5


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Two channels, the right one quieter, so that a mix-up shows."""
    x = np.random.default_rng(seed).uniform(-0.3, 0.3, (round(seconds * RATE), 2))
    return (x * [1.0, 0.25]).astype(np.float32)


def encoded(x: np.ndarray, **how: str) -> bytes:
    out = io.BytesIO()
    sf.write(out, x, RATE, **how)
    return out.getvalue()


def write_av(
    path: Path,
    x: np.ndarray,
    codec: str,
    rate: int = RATE,
    starts: tuple[float, ...] = (),
    options: dict[str, str] | None = None,
) -> None:
    """Encode with PyAV; `starts` are the times (s) of equal parts, one after the other if empty."""
    with av.open(str(path), "w", options=options or {}) as container:
        layout = "stereo" if x.shape[1] == 2 else "mono"
        stream = container.add_stream(codec, rate=rate, layout=layout)
        parts = np.array_split(x, len(starts) or 1)
        for n, part in enumerate(parts):
            at = round(starts[n] * rate) if starts else 0
            size = stream.codec_context.frame_size or 960
            for i in range(0, len(part) - size + 1 if starts else len(part), size):
                block = np.ascontiguousarray(part[i : i + size].T, np.float32)
                form = stream.codec_context.format.name
                if form[0] == "s":
                    kind = np.int16 if form.startswith("s16") else np.int32
                    block = (block * np.iinfo(kind).max).astype(kind)
                if not form.endswith("p"):
                    block = np.ascontiguousarray(block.T).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(block, format=form, layout=layout)
                frame.sample_rate, frame.pts = rate, at + i
                frame.time_base = Fraction(1, rate)
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def read(path: Path) -> np.ndarray:
    info = probe(path)
    return np.concatenate(list(decode_blocks(info, [0, 1][: info.n_channels])))


def refused(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


# A header that says less than the file holds


@pytest.mark.parametrize("size", [0, 0x7FFF_FF00, 0x8000_0000, 0xFFFF_FF00, 0xFFFF_FFFF])
@pytest.mark.parametrize("magic", [b"RIFF", b"RF64"])
def test_wav_from_a_pipe(tmp_path, magic, size):
    """A writer that cannot go back leaves sizes that mean nothing, in all places."""
    x = (noise(1.0) * 32767).astype("<i2")
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, RATE * 4, 4, 16)
    sizes = b"ds64" + struct.pack("<I28x", 28) if magic == b"RF64" else b""
    size = 0xFFFF_FFFF if magic == b"RF64" else size
    header = magic + struct.pack("<I", size) + b"WAVE" + sizes + form
    path = tmp_path / "a.wav"
    path.write_bytes(header + b"data" + struct.pack("<I", size) + x.tobytes())
    np.testing.assert_array_equal(read(path), x / np.float32(32768))


def test_wav_written_on_after_its_data_chunk_was_closed(tmp_path):
    raw = bytearray(encoded(noise(3.5), format="WAV", subtype="PCM_16"))
    at = raw.find(b"data") + 4
    raw[at : at + 4] = struct.pack("<I", round(FIRST_S * RATE) * 4)
    path = tmp_path / "a.wav"
    path.write_bytes(raw)
    assert len(read(path)) == 3.5 * RATE
    note = probe(path).note
    assert "2.00 s" in note
    assert "1.50 s" in note
    # The outer size says the same as the inner: nothing tells what the rest is.
    raw[4:8] = struct.pack("<I", at - 4 + round(FIRST_S * RATE) * 4)
    path.write_bytes(raw)
    assert "belong to no chunk" in refused(path)


@pytest.mark.parametrize("container", ["AIFF", "AU", "CAF", "NIST", "RF64", "W64"])
def test_other_headers_that_say_less_are_refused(tmp_path, container):
    raw = encoded(noise(FIRST_S), format=container, subtype="PCM_16")
    path = tmp_path / "a.wav"
    path.write_bytes(raw)
    assert len(read(path)) == FIRST_S * RATE
    path.write_bytes(raw + noise(0.5).tobytes())
    assert "2.00 s" in refused(path)
    path.write_bytes(raw + b"\0" * 40000)  # allocated beforehand, and never written
    assert len(read(path)) == FIRST_S * RATE
    assert probe(path).note is None


@pytest.mark.parametrize("container", ["WAV", "AIFF", "AU", "NIST"])
def test_two_files_run_together(tmp_path, container):
    raw = encoded(noise(FIRST_S), format=container, subtype="PCM_16")
    (tmp_path / "a.wav").write_bytes(raw + raw)
    assert "run together" in refused(tmp_path / "a.wav")


@pytest.mark.parametrize("tail", [b"LIST\x04\0\0\0INFO", b"TAG" + bytes(range(125)), b"ID3" * 999])
def test_chunks_and_tags_behind_the_samples_are_no_samples(tmp_path, tail):
    raw = encoded(noise(FIRST_S), format="WAV", subtype="PCM_16")
    (tmp_path / "a.wav").write_bytes(raw + tail)
    assert len(read(tmp_path / "a.wav")) == FIRST_S * RATE
    assert probe(tmp_path / "a.wav").note is None


def test_flac_with_more_frames_than_its_header_says(tmp_path):
    raw = bytearray(encoded(noise(FIRST_S), format="FLAC"))
    count = int.from_bytes(raw[18:26], "big")
    path = tmp_path / "a.flac"
    for declared, said in ((RATE, "1.00 s"), (4 * RATE, "decoding stops after 2.00 s")):
        raw[18:26] = (count >> 36 << 36 | declared).to_bytes(8, "big")
        path.write_bytes(raw)
        assert said in refused(path)
    path.write_bytes(encoded(noise(1), format="FLAC") + encoded(noise(2), format="FLAC"))
    assert "2 FLAC files run together" in refused(path)


# A header that says more


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF", "NIST"])
@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW"])
def test_cut_off(tmp_path, container, subtype):
    raw = encoded(noise(FIRST_S), format=container, subtype=subtype)
    path = tmp_path / "cut"
    path.write_bytes(raw[: round(len(raw) * 0.7)])
    message = refused(path)
    assert "truncated" in message
    assert "(2.00 s)" in message


def test_a_header_off_by_its_own_size_is_no_truncation(tmp_path):
    raw = bytearray(encoded(noise(FIRST_S), format="WAV", subtype="PCM_16"))
    at = raw.find(b"data") + 4
    raw[at : at + 4] = struct.pack("<I", len(raw))
    (tmp_path / "a.wav").write_bytes(raw)
    assert len(read(tmp_path / "a.wav")) == FIRST_S * RATE
    assert "44 bytes more" in probe(tmp_path / "a.wav").note


def test_sphere_compressed_with_shorten_is_refused_by_name(tmp_path):
    raw = encoded(noise(FIRST_S), format="NIST", subtype="PCM_16")
    coding = b"sample_coding -s26 pcm,embedded-shorten-v2.00\n"
    head = raw[:1024].replace(b"sample_coding -s3 pcm\n", coding)[:1024]
    (tmp_path / "a.sph").write_bytes(head + raw[1024:])
    assert "sph2pipe" in refused(tmp_path / "a.sph")


# Ogg


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_read_to_the_end(tmp_path, subtype):
    first, second = (
        encoded(noise(s, n), format="OGG", subtype=subtype)
        for n, s in enumerate((FIRST_S, SECOND_S))
    )
    path = tmp_path / "chained.ogg"
    path.write_bytes(first + second)
    assert [link.end - link.start for link in ogg_links(str(path))] == [len(first), len(second)]
    x = read(path)
    assert len(x) == (FIRST_S + SECOND_S) * RATE
    (tmp_path / "second.ogg").write_bytes(second)
    np.testing.assert_array_equal(x[round(FIRST_S * RATE) :], read(tmp_path / "second.ogg"))
    assert "2.00 s and 1.50 s" in probe(path).note
    path.write_bytes(first + second[: len(second) // 2])
    assert "truncated Ogg" in refused(path)
    mono = encoded(noise(1)[:, :1], format="OGG", subtype=subtype)
    path.write_bytes(first + mono)
    assert "2 channels" in refused(path)


def test_ogg_without_its_last_page_or_with_a_hole(tmp_path):
    raw = encoded(noise(4.0), format="OGG", subtype="OPUS")
    pages = [i for i in range(len(raw)) if raw[i : i + 4] == b"OggS"]
    path = tmp_path / "a.opus"
    path.write_bytes(raw[: pages[-1]])
    assert "no page says that it is the last" in refused(path)
    path.write_bytes(raw[: pages[3]] + raw[pages[4] :])
    assert "1 pages are missing" in refused(path)
    path.write_bytes(raw + b"TAG and more")
    assert len(read(path)) == 4.0 * RATE


# MP3


@pytest.mark.parametrize(
    "between", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10), b"TAG" + bytes(125)]
)
def test_joined_mp3_is_refused(tmp_path, between):
    raw = encoded(noise(3.0), format="MP3")
    (tmp_path / "a.mp3").write_bytes(raw)
    assert len(read(tmp_path / "a.mp3")) == 3.0 * RATE
    (tmp_path / "a.mp3").write_bytes(raw + between + raw)
    assert "would drop the rest" in refused(tmp_path / "a.mp3")


def test_an_mp3_without_a_length_that_breaks_off_is_told(tmp_path):
    write_av(tmp_path / "whole.mp3", noise(4.0), "libmp3lame", options={"write_xing": "0"})
    raw = (tmp_path / "whole.mp3").read_bytes()
    assert probe(tmp_path / "whole.mp3").note is None
    (tmp_path / "cut.mp3").write_bytes(raw[: len(raw) // 2 + 17])
    assert 1.8 < len(read(tmp_path / "cut.mp3")) / RATE < 2.2
    assert "breaks off" in probe(tmp_path / "cut.mp3").note


def test_mp3_in_wav_whose_length_is_a_few_frames_off(tmp_path):
    write_av(tmp_path / "a.wav", noise(3.0), "libmp3lame")
    x = read(tmp_path / "a.wav")
    assert abs(len(x) / RATE - 3.0) < 0.15  # with the encoder's padding at both ends
    raw = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(raw[: len(raw) // 2])
    assert "truncated WAV" in refused(tmp_path / "a.wav")


# Containers that PyAV reads


@pytest.mark.parametrize("name", ["a.webm", "a.mkv"])
def test_matroska_whose_clock_starts_late_is_whole(tmp_path, name):
    write_av(tmp_path / name, noise(2.0), "libopus", 48000, starts=(4.9,))
    assert abs(len(read(tmp_path / name)) / 48000 - 2.0 * RATE / 48000) < 0.1
    assert "time stamps begin at 4.9" in probe(tmp_path / name).note
    raw = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(raw[: len(raw) // 2])
    assert "truncated" in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.m4a", "aac", RATE),
        ("a.mp4", "aac", 48000),
        ("a.mkv", "libopus", 48000),
        ("a.webm", "libopus", 48000),
        ("a.aac", "aac", RATE),
        ("a.mka", "pcm_mulaw", 8000),
    ],
)
def test_containers_of_video_keep_channels_and_length(tmp_path, name, codec, rate):
    time = np.arange(3 * rate) / rate
    x = np.stack([0.4 * np.sin(2 * np.pi * f * time) for f in (400, 900)], 1).astype(np.float32)
    write_av(tmp_path / name, x, codec, rate)
    info = probe(tmp_path / name)
    assert (info.n_channels, info.sample_rate_hz) == (2, rate)
    y = read(tmp_path / name)
    assert abs(len(y) / rate - 3.0) < 0.13  # AAC without a container keeps its padding
    for channel, hz in enumerate((400, 900)):
        spectrum = np.abs(np.fft.rfft(y[:, channel]))
        assert abs(np.argmax(spectrum) * rate / len(y) - hz) < 2
    # A burst stays where it was, encoder delays included.
    x[:] = 0
    x[rate : rate + rate // 10, 1] = noise(1)[: rate // 10, 0]
    write_av(tmp_path / name, x, codec, rate)
    loud = np.flatnonzero(np.abs(read(tmp_path / name)[:, 1]) > 0.05)
    assert abs(loud[0] / rate - 1.0) < 0.07


def test_gaps_between_packets_are_silence_and_not_closed(tmp_path):
    x = noise(2.0)
    write_av(tmp_path / "dtx.mkv", x, "pcm_s16le", RATE, starts=(0.0, 4.0))
    y = read(tmp_path / "dtx.mkv")
    assert abs(len(y) / RATE - 5.0) < 0.1
    assert not y[round(1.2 * RATE) : round(3.9 * RATE)].any()
    assert np.abs(y[round(4.2 * RATE) : round(4.8 * RATE)]).max() > 0.2
    assert "1 gap" in probe(tmp_path / "dtx.mkv").note


@pytest.mark.parametrize("name", ["a.m4a", "a.mkv", "a.aac"])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_cut_containers_of_video(tmp_path, name, share):
    path = tmp_path / name
    write_av(path, noise(4.0), "aac")
    raw = path.read_bytes()
    path.write_bytes(raw[: round(len(raw) * share) + 7])
    refused(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [("a.webm", {"live": "1"}), ("a.mp4", {"movflags": "frag_keyframe+empty_moov"})],
)
def test_a_container_written_while_the_call_ran_and_cut_off(tmp_path, name, options):
    path = tmp_path / name
    write_av(path, noise(12.0), "libopus" if name == "a.webm" else "aac", 48000, options=options)
    read(path)
    raw = path.read_bytes()
    path.write_bytes(raw[: round(len(raw) * 0.6)])
    assert "truncated" in refused(path)


def test_amr_is_read(tmp_path):
    try:
        av.codec.Codec("libopencore_amrnb", "w")
    except ValueError:
        pytest.skip("this PyAV cannot write AMR")
    write_av(tmp_path / "a.amr", noise(2.0)[:, :1], "libopencore_amrnb", 8000)
    assert abs(len(read(tmp_path / "a.amr")) / 8000 - 4.0) < 0.1


def test_several_audio_streams_are_not_reduced_to_the_first(tmp_path):
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for stream in streams:
            block = (noise(1.0)[:, :1].T * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.pts = RATE, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert "has 2 audio streams" in refused(path)


def test_a_playlist_opens_no_other_file(tmp_path):
    write_av(tmp_path / "a.aac", noise(1.0), "aac")
    (tmp_path / "list.m4a").write_text("#EXTM3U\n#EXTINF:1,\na.aac\n#EXT-X-ENDLIST\n")
    refused(tmp_path / "list.m4a")
