"""Faults of audio containers that libsndfile passes over in silence.

It reads a truncated WAV or Ogg file up to where it breaks off and says nothing, and an MP3
without a length header up to an estimate. A recording that is scored on half of its audio looks
like a silent model, so each of these is refused here, from the bytes of the container.
"""

import io
import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flexi_score.errors import AudioError

#: Sizes that writers leave in the header when they cannot go back to correct it (pipes).
_PLACEHOLDER_SIZES: Final = (0, 0x7FFF_F000, 0x7FFF_FFFF, 0xFFFF_FFFF)
_MAX_OGG_PAGE: Final = 27 + 255 + 255 * 255

# MPEG audio, layer III: kbit/s by index, for version 1 and for versions 2 and 2.5.
_MP3_KBPS_V1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBPS_V2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATE_HZ: Final = {
    3: (44100, 48000, 32000),  # version 1
    2: (22050, 24000, 16000),  # version 2
    0: (11025, 12000, 8000),  # version 2.5
}
#: Frames by which an MP3's declared length may differ from its frame count (padding, delay).
_MP3_SLACK: Final = 4


@dataclass(frozen=True)
class WavData:
    """Where a WAV keeps its samples, and how many bytes its header promises.

    Attributes
    ----------
    size_at : int
        Position of the data chunk's size field.
    declared_bytes, available_bytes : int
        What the header says, and what the file holds from there on.
    bytes_per_s : int
        From the format chunk; 0 where there is none.
    open_ended : bool
        The writer streamed and could not know: samples run to the end of the file.
    """

    size_at: int
    declared_bytes: int
    available_bytes: int
    bytes_per_s: int
    open_ended: bool


def read_wav_data(path: str) -> WavData | None:
    """The data chunk of a RIFF, RIFX or RF64 file; None for any other file."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64") or head[8:12] != b"WAVE":
            return None
        order = ">" if head[:4] == b"RIFX" else "<"
        size64, bytes_per_s, at = 0, 0, 12
        while at + 8 <= size:
            file.seek(at)
            name, length = struct.unpack(f"{order}4sI", file.read(8))
            if name == b"data":
                if length == 0xFFFF_FFFF and size64:
                    length = size64
                available = size - at - 8
                streamed = length in _PLACEHOLDER_SIZES or 0xFFFF_FF00 <= length <= 0xFFFF_FFFF
                if length == 0:
                    streamed = available > 0 and not _only_chunks(file, at + 8, size, order)
                return WavData(at + 4, length, available, bytes_per_s, streamed)
            body = file.read(16)
            if name == b"ds64" and len(body) == 16:
                size64 = struct.unpack("<Q", body[8:16])[0]
            if name == b"fmt " and len(body) == 16:
                bytes_per_s = struct.unpack(f"{order}I", body[8:12])[0]
            at += 8 + length + length % 2
    return None


def with_open_end(path: str, wav: WavData) -> "_OpenEnded":
    """The file as a stream whose data chunk claims to run to the end."""
    return _OpenEnded(path, wav)


def looks_like_text(path: str) -> bool:
    """Whether a file begins with printable text."""
    with open(path, "rb") as file:
        head = file.read(512)
    return bool(head) and all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)


def check_complete(
    path: str, container: str, n_frames: int | None, wav: WavData | None, log: str
) -> None:
    """Refuse a file that breaks off, or whose length header cannot be trusted.

    Parameters
    ----------
    path, container : str
    n_frames : int or None
        Samples per channel that libsndfile will deliver.
    wav : WavData or None
        From :func:`read_wav_data`.
    log : str
        libsndfile's account of the header, for containers that are not parsed here.

    Raises
    ------
    AudioError
        If bytes that the container promises are missing.
    """
    if wav is not None:
        _check_wav(path, wav)
    elif container == "OGG":
        _check_ogg(path)
    elif container == "MP3" and n_frames is not None:
        _check_mp3(path, n_frames)
    else:
        found = re.search(r"(?:SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", log)
        if found and int(found[2]) < int(found[1]):
            _raise_truncated(path, container, f"{found[1]} bytes", f"{found[2]}")


def _check_wav(path: str, wav: WavData) -> None:
    if wav.open_ended or wav.declared_bytes <= wav.available_bytes:
        return
    promised, held = f"{wav.declared_bytes} bytes", f"{wav.available_bytes}"
    if wav.bytes_per_s:
        promised += f" ({wav.declared_bytes / wav.bytes_per_s:.2f} s)"
        held += f" ({wav.available_bytes / wav.bytes_per_s:.2f} s)"
    _raise_truncated(path, "WAV", promised, held)


def _check_ogg(path: str) -> None:
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(0, size - 2 * _MAX_OGG_PAGE))
        tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0:
        return
    header = tail[at : at + 27]
    lengths = tail[at + 27 : at + 27 + header[26]] if len(header) == 27 else b""
    page = 27 + len(lengths) + sum(lengths)
    broken = len(header) < 27 or len(lengths) < header[26] or at + page > len(tail)
    if broken or tail.endswith((b"O", b"Og", b"Ogg", b"OggS")):
        _raise_truncated(path, "Ogg", "a complete last page", "part of one")


def _check_mp3(path: str, n_frames: int) -> None:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        counted = _mp3_samples(data)
    if counted is None:
        return
    total, per_frame = counted
    if total > n_frames + _MP3_SLACK * per_frame:
        # libsndfile would drop everything past the declared or estimated length.
        raise AudioError(
            f"{path}: MP3 whose header accounts for {n_frames} samples while its frames hold "
            f"{total}; decoding would drop the rest. Rewrite its header "
            "(ffmpeg -i INPUT.mp3 -c copy OUTPUT.mp3)"
        )


def _mp3_samples(data: mmap.mmap) -> tuple[int, int] | None:
    """Samples per channel by counting layer III frames, and samples a frame; None if unclear."""
    at, size = 0, len(data)
    if data[:3] == b"ID3" and size > 10:
        a, b, c, d = data[6:10]
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
    n, per_frame = 0, 0
    while at + 4 <= size:
        head = int.from_bytes(data[at : at + 4], "big")
        version, bitrate, rate = head >> 19 & 3, head >> 12 & 15, head >> 10 & 3
        layer_3 = head >> 21 == 0x7FF and head >> 17 & 3 == 1
        if not layer_3 or version == 1 or rate == 3 or bitrate in (0, 15):
            if n:  # a tag after the last frame, or damage that the decoder reports
                break
            found = data.find(b"\xff", at + 1, at + 65536)
            if found < 0:
                return None
            at = found
            continue
        kbps = (_MP3_KBPS_V1 if version == 3 else _MP3_KBPS_V2)[bitrate]
        per_frame = 1152 if version == 3 else 576
        length = per_frame // 8 * kbps * 1000 // _MP3_RATE_HZ[version][rate]
        at += length + (head >> 9 & 1)
        n += 1
    return (n * per_frame, per_frame) if n > _MP3_SLACK else None


def _raise_truncated(path: str, container: str, promised: str, held: str) -> None:
    raise AudioError(
        f"{path}: truncated {container}: the header promises {promised}, the file holds {held}; "
        "copy the file again from its source, or, if the rest is lost and what is left may be "
        f"scored, rewrite its header (ffmpeg -i {Path(path).name} OUTPUT.wav)"
    )


def _only_chunks(file: io.BufferedReader, at: int, end: int, order: str) -> bool:
    """Whether the bytes in [at, end) are whole RIFF chunks and not samples."""
    while at + 8 <= end:
        file.seek(at)
        name, length = struct.unpack(f"{order}4sI", file.read(8))
        if not all(32 <= byte < 127 for byte in name):
            return False
        at += 8 + length + length % 2
    return end <= at <= end + 1


class _OpenEnded(io.RawIOBase):
    """A file with the size field of its data chunk replaced by "until the end"."""

    def __init__(self, path: str, wav: WavData) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed in close()
        self._at = wav.size_at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        start = self._file.tell()
        view = memoryview(buffer).cast("B")
        n = self._file.readinto(view)
        for i in range(max(0, self._at - start), min(n, self._at + 4 - start)):
            view[i] = 0xFF
        return n

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
