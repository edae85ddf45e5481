"""What the header of an uncompressed container promises, and what the file holds.

WAV (RIFF, RIFX, RF64, BW64), Wave64, AIFF, CAF, AU and NIST SPHERE say in their header how many
bytes of samples follow. That number is wrong where a recording was cut off, streamed, or written
on after its header was closed, and libsndfile passes over most of it in silence.
"""

import math
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from flexi_score.errors import AudioError

#: Sizes that writers leave in the header when they cannot go back to correct it (pipes).
_PLACEHOLDERS: Final = ((0, 0), (0x7FFF_F000, 0x8000_0100), (0xFFFF_FF00, 0xFFFF_FFFF))
_UNKNOWN_AU_SIZE: Final = 0xFFFF_FFFF
#: What other files, and tags that are no samples, begin with.
_FILE_MAGIC: Final = (b"RIFF", b"RIFX", b"RF64", b"FORM", b".snd", b"NIST_1A", b"OggS", b"fLaC")
_TAG_MAGIC: Final = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS", b"<?xml", b"<")
_PCM_TAGS: Final = (1, 3)  # integers, floats
_EXTENSIBLE_TAG: Final = 0xFFFE  # the tag proper is in the extension
_RIFF: Final = (b"RIFF", b"RIFX", b"RF64", b"BW64")
_W64_GUID_BYTES: Final = 16
#: How the name of every chunk of Wave64 ends.
_W64_NAME_END: Final = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_NIST_HEADER_BYTES: Final = 1024


@dataclass(frozen=True)
class Contents:
    """The samples of an uncompressed container, in bytes."""

    container: str  # WAV, W64, AIFF, CAF, AU or SPHERE
    data_at: int  # position of the first sample
    #: length of the samples by the header; None where the writer streamed and could not know
    declared_bytes: int | None
    available_bytes: int  # what the file holds from `data_at` on
    bytes_per_s: float  # by the header; 0 where it does not say
    #: bytes behind the declared samples that belong to no chunk and are no tag
    excess_bytes: int = 0
    joined: bool = False  # whether that excess is a file of its own
    covered: bool = False  # whether the container's outer size counts the excess in
    #: position of the field of four bytes that holds `declared_bytes` (RIFF)
    size_at: int | None = None
    coding: str = ""  # of SPHERE: its ``sample_coding``; else empty

    def seconds(self, n_bytes: int) -> float | None:
        """Bytes of samples as seconds, or None where the header does not tell."""
        return n_bytes / self.bytes_per_s if self.bytes_per_s else None


def read_contents(path: str) -> Contents | None:
    """Header and size of an uncompressed container; None for any other file, or a broken header.

    Raises AudioError if the header contradicts itself.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(16)
        try:
            if head[:4] in _RIFF and head[8:12] == b"WAVE":
                return _read_riff(file, head, size)
            if head[:4] == b"FORM" and head[8:11] == b"AIF":
                return _read_aiff(file, size)
            if head[:4] == b"riff" and head[4:6] == b"\x2e\x91":
                return _read_w64(file, size)
            if head[:4] == b"caff":
                return _read_caf(file, size)
            if head[:4] in (b".snd", b"dns."):
                return _read_au(file, size, ">" if head[:4] == b".snd" else "<")
            if head[:7] == b"NIST_1A":
                return _read_sphere(file, size)
        except (struct.error, OverflowError, OSError):  # it breaks off, or points past all files
            return None
    return None


def _read_riff(file: BinaryIO, head: bytes, size: int) -> Contents | None:
    order = ">" if head[:4] == b"RIFX" else "<"
    outer = struct.unpack(f"{order}I", head[4:8])[0] + 8
    size64, bytes_per_s = 0, 0
    for name, at, length in _chunks(file, 12, size, f"{order}4sI"):
        if name == b"data":
            if length == 0xFFFF_FFFF and size64:
                length = size64
            available = max(size - at, 0)
            streamed = any(low <= length <= high for low, high in _PLACEHOLDERS)
            if length == 0:
                after = _excess(file, at, size, f"{order}4sI")
                streamed = available > 0 and after > 0
            if streamed:
                return Contents("WAV", at, None, available, bytes_per_s, size_at=at - 4)
            end = at + length + length % 2
            excess = _excess(file, end, size, f"{order}4sI")
            return Contents(
                "WAV",
                at,
                length,
                available,
                bytes_per_s,
                excess,
                _is_file(file, end),
                # Up to a byte of padding; a size field of a stream says nothing.
                end < outer and outer >= size - 1 and outer not in (0xFFFF_FFFF + 8, 8),
                at - 4,
            )
        body = _body(file, at, 28)
        if name == b"ds64":
            outer = struct.unpack("<Q", body[:8])[0] + 8
            size64 = struct.unpack("<Q", body[8:16])[0]
        if name == b"fmt ":
            bytes_per_s = _check_format(file.name, body, order)
    return None


def _check_format(path: str, body: bytes, order: str) -> int:
    """Bytes per second of a ``fmt `` chunk, whose numbers say the same twice where it is PCM."""
    tag, n_channels, rate, bytes_per_s, frame, bits = struct.unpack(f"{order}HHIIHH", body[:16])
    if tag == _EXTENSIBLE_TAG and len(body) >= 26:
        tag = struct.unpack(f"{order}H", body[24:26])[0]
    agree = frame == n_channels * -(-bits // 8) and bytes_per_s in (0, rate * frame)
    if tag in _PCM_TAGS and not agree:
        raise AudioError(
            f"{path}: its header states {n_channels} channels of {bits} bits at {rate} Hz, but "
            f"{frame} bytes per frame and {bytes_per_s} per second; expected numbers that agree. "
            "Copy the file again from its source, or write its header again "
            "(sox INPUT OUTPUT.wav)"
        )
    return int(bytes_per_s)


def _read_aiff(file: BinaryIO, size: int) -> Contents | None:
    bytes_per_s, chunk = 0.0, None
    for name, at, length in _chunks(file, 12, size, ">4sI"):
        if name == b"COMM":
            n_channels, _, bits = struct.unpack(">hIh", _body(file, at, 8))
            bytes_per_s = n_channels * -(-bits // 8) * _extended(_body(file, at + 8, 10))
        if name == b"SSND":
            end = at + length + length % 2
            chunk = (at + 8, max(length - 8, 0), max(size - at - 8, 0), end)
    if chunk is None:
        return None
    at, declared, available, end = chunk
    excess = _excess(file, end, size, ">4sI")
    return Contents(
        "AIFF", at, declared, available, bytes_per_s, excess, _is_file(file, end) and excess > 0
    )


def _read_w64(file: BinaryIO, size: int) -> Contents | None:
    at, bytes_per_s = 2 * _W64_GUID_BYTES + 8, 0
    while at + 24 <= size:
        name, length = struct.unpack("<4s12xQ", _body(file, at, 24))
        if name == b"fmt ":
            bytes_per_s = _check_format(file.name, _body(file, at + 24, 28), "<")
        if name == b"data":
            end = at + length + -length % 8
            tail = 0 if _body(file, end + 4, 12) == _W64_NAME_END else _unexplained(file, end, size)
            held = max(size - at - 24, 0)
            return Contents("W64", at + 24, max(length - 24, 0), held, bytes_per_s, tail)
        if length < 24:
            return None
        at += length + -length % 8
    return None


def _read_caf(file: BinaryIO, size: int) -> Contents | None:
    bytes_per_s = 0.0
    for name, at, length in _chunks(file, 8, size, ">4sq"):
        if name == b"desc":
            rate, _, _, packet, frames = struct.unpack(">d4sIII", _body(file, at, 24))
            bytes_per_s = rate * packet / frames if frames else 0.0
        if name == b"data":
            available = max(size - at - 4, 0)  # four bytes count edits
            if length < 0:
                return Contents("CAF", at + 4, None, available, bytes_per_s)
            excess = _excess(file, at + length, size, ">4sq")
            return Contents("CAF", at + 4, length - 4, available, bytes_per_s, excess)
    return None


def _read_au(file: BinaryIO, size: int, order: str) -> Contents:
    at, length, encoding, rate, n_channels = struct.unpack(f"{order}5I", _body(file, 4, 20))
    width = {1: 1, 27: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8}.get(encoding, 0)
    available = max(size - at, 0)
    declared = None if length == _UNKNOWN_AU_SIZE else length
    excess = 0 if declared is None else _unexplained(file, at + declared, size)
    joined = declared is not None and _is_file(file, at + declared)
    return Contents("AU", at, declared, available, float(width * rate * n_channels), excess, joined)


def _read_sphere(file: BinaryIO, size: int) -> Contents:
    file.seek(0)
    text = file.read(_NIST_HEADER_BYTES * 16).decode("latin-1")
    lines = text.split("\n")
    length = int(lines[1]) if len(lines) > 1 and lines[1].strip().isdigit() else _NIST_HEADER_BYTES
    fields: dict[str, str] = {}
    for line in lines[2:]:
        if line.startswith("end_head"):
            break
        name, *rest = line.split(None, 2) if line.strip() else [""]
        if len(rest) == 2:
            fields[name] = rest[1].strip()
    numbers = {
        name: int(fields[name]) if fields.get(name, "").isdigit() else None
        for name in ("channel_count", "sample_rate", "sample_n_bytes", "sample_count")
    }
    frame = (numbers["channel_count"] or 1) * (numbers["sample_n_bytes"] or 0)
    available = max(size - length, 0)
    coding = fields.get("sample_coding", "pcm")
    count = numbers["sample_count"]
    if not frame or count is None or "shorten" in coding:
        return Contents("SPHERE", length, None, available, 0, coding=coding)
    declared = count * frame
    return Contents(
        "SPHERE",
        length,
        declared,
        available,
        float(frame * (numbers["sample_rate"] or 0)),
        _unexplained(file, length + declared, size),
        _is_file(file, length + declared),
        coding=coding,
    )


def _chunks(file: BinaryIO, at: int, end: int, form: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and length of the body of each chunk."""
    width = struct.calcsize(form)
    while at + width <= end:
        name, length = struct.unpack(form, _body(file, at, width))
        yield name, at + width, length
        if length < 0:
            return
        at += width + length + (length % 2 if width == 8 else 0)


def _excess(file: BinaryIO, at: int, end: int, form: str) -> int:
    """Bytes from `at` to the end that are neither whole chunks nor a tag."""
    start = at
    for name, body, length in _chunks(file, at, end, form):
        if name.startswith(_FILE_MAGIC) or not all(32 <= byte < 127 for byte in name):
            break
        at = body + max(length, 0) + length % 2
        if at >= end:
            return 0 if at <= end + 1 else _unexplained(file, start, end)
    return 0 if at >= end else _unexplained(file, at, end)


def _unexplained(file: BinaryIO, at: int, end: int) -> int:
    """Bytes from `at` to the end, unless they are a tag or zeros of a preallocated file."""
    if at >= end or _body(file, at, 16).startswith(_TAG_MAGIC):
        return 0
    file.seek(at)
    while block := file.read(2**20):
        if block.strip(b"\0"):
            return end - at
    return 0


def _is_file(file: BinaryIO, at: int) -> bool:
    return _body(file, at, 16).startswith(_FILE_MAGIC)


def _body(file: BinaryIO, at: int, n: int) -> bytes:
    if at >= 2**62:  # a damaged length points past all files
        return b""
    file.seek(at)
    return file.read(n)


def _extended(data: bytes) -> float:
    """A number of 80 bits, as AIFF writes its sample rate."""
    exponent, mantissa = struct.unpack(">HQ", data)
    return math.ldexp(mantissa, (exponent & 0x7FFF) - 16383 - 63)
