"""Structure of compressed streams that decoders pass over in silence: Ogg pages, MP3 and FLAC.

libsndfile ends at the end of the first of several Ogg streams run together, at the number of
samples that a FLAC header gives, and at what an MP3's first frame says or lets expect.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

# MPEG audio, layer III: kbit/s by index, for version 1 and for versions 2 and 2.5.
_MP3_KBPS_V1: Final = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_KBPS_V2: Final = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATE_HZ: Final = {
    3: (44100, 48000, 32000),  # version 1
    2: (22050, 24000, 16000),  # version 2
    0: (11025, 12000, 8000),  # version 2.5
}
#: Frames by which an MP3's declared length may differ from its frame count (padding, delay).
MP3_SLACK_FRAMES: Final = 4
_MP3_SEARCH_BYTES: Final = 65536

_OGG_HEADER_BYTES: Final = 27
_OGG_FIRST, _OGG_LAST = 2, 4
#: Position in the file of the byte whose low half begins the 36 bits of the number of samples.
_FLAC_COUNT_AT: Final = 21


@dataclass(frozen=True)
class OggLink:
    """One of the streams that an Ogg file holds one after the other."""

    #: start, end: its bytes in the file
    start: int
    end: int
    ended: bool  # whether its last page says that it is the last
    whole: bool  # whether its last page is complete
    lost_pages: int  # numbers of pages that are skipped


def ogg_links(path: str) -> list[OggLink]:
    """The links of an Ogg file, in order; none where it does not begin with a page."""
    links: list[OggLink] = []
    with _mapped(path) as data:
        at, size = 0, len(data)
        start, streams, ended, lost = 0, {}, set(), 0  # type: ignore[var-annotated]
        opening, whole, seen = True, True, False

        def close(end: int) -> None:
            links.append(OggLink(start, end, ended >= set(streams), whole, lost))

        while at < size:
            if data[at : at + 4] != b"OggS":
                page_at = data.find(b"OggS", at)
                if not seen:
                    return []
                if page_at < 0:  # a tag behind the last page, or the first bytes of a page
                    whole = whole and not b"OggS".startswith(data[at : at + 3])
                    break
                at = page_at
                continue
            header = data[at : at + _OGG_HEADER_BYTES]
            if len(header) < _OGG_HEADER_BYTES:
                whole = False
                break
            lengths = data[at + _OGG_HEADER_BYTES : at + _OGG_HEADER_BYTES + header[26]]
            page = _OGG_HEADER_BYTES + header[26] + sum(lengths)
            if len(lengths) < header[26] or at + page > size:
                whole = False
                break
            kind, serial = header[5], bytes(header[14:18])
            number = int.from_bytes(header[18:22], "little")
            if kind & _OGG_FIRST:
                if seen and not opening:
                    close(at)
                    start, streams, ended, lost = at, {}, set(), 0
                opening = True
            else:
                opening = False
                lost += max(number - streams.get(serial, number) - 1, 0)
            streams[serial] = number
            if kind & _OGG_LAST:
                ended.add(serial)
            seen = True
            at += page
        if seen:
            close(size)
    return links


@dataclass(frozen=True)
class Mp3Frames:
    """Layer III frames of a file."""

    n_samples: int  # per channel, in all frames
    per_frame: int
    whole: bool  # whether the last frame is complete


def mp3_frames(path: str) -> Mp3Frames | None:
    """The frames of an MP3, counted; None if it is unclear which they are.

    Tags between frames, as files run together have them, are passed over.
    """
    with _mapped(path) as data:
        at, size = 0, len(data)
        n, per_frame = 0, 0
        while at + 4 <= size:
            if data[at : at + 3] == b"ID3" and at + 10 <= size:
                a, b, c, d = data[at + 6 : at + 10]
                at += 10 + (a << 21 | b << 14 | c << 7 | d)
                continue
            length, samples = _mp3_frame(data[at : at + 4])
            if not length:
                at = _next_mp3_frame(data, at + 1)
                if at < 0:
                    break
                continue
            per_frame = samples
            at += length
            n += 1
    return Mp3Frames(n * per_frame, per_frame, at <= size) if n > MP3_SLACK_FRAMES else None


def _next_mp3_frame(data: mmap.mmap, at: int) -> int:
    """Where the next two frames that follow each other begin, or a tag; -1 for nowhere near."""
    end = min(len(data), at + _MP3_SEARCH_BYTES)
    tag = data.find(b"ID3", at, end)
    while (at := data.find(b"\xff", at, end)) >= 0:
        if 0 <= tag < at:
            return tag
        length, _ = _mp3_frame(data[at : at + 4])
        if length and _mp3_frame(data[at + length : at + length + 4])[0]:
            return at
        at += 1
    return tag


def _mp3_frame(header: bytes) -> tuple[int, int]:
    """Bytes and samples of a layer III frame by its header; zeros where it is none."""
    if len(header) < 4:
        return 0, 0
    head = int.from_bytes(header, "big")
    version, bitrate, rate = head >> 19 & 3, head >> 12 & 15, head >> 10 & 3
    layer_3 = head >> 21 == 0x7FF and head >> 17 & 3 == 1
    if not layer_3 or version == 1 or rate == 3 or bitrate in (0, 15):
        return 0, 0
    kbps = (_MP3_KBPS_V1 if version == 3 else _MP3_KBPS_V2)[bitrate]
    samples = 1152 if version == 3 else 576
    length = samples // 8 * kbps * 1000 // _MP3_RATE_HZ[version][rate]
    return length + (head >> 9 & 1), samples


def flac_files(path: str) -> int:
    """How many FLAC files were run together in this one; reads all of it."""
    with _mapped(path) as data:
        # The magic, and a STREAMINFO block of 34 bytes, the last block or not.
        headers = re.findall(rb"fLaC[\x00\x80]\x00\x00\x22", data)
    return len(headers)


def flac_without_count(path: str) -> dict[int, bytes]:
    """Bytes to put in the place of others so that FLAC declares no number of samples."""
    at = _FLAC_COUNT_AT
    with open(path, "rb") as file:
        file.seek(at)
        first = file.read(1)
    return {at: bytes([first[0] & 0xF0]) + bytes(4)} if first else {}


def breaks_off(path: str) -> bool:
    """Whether the last element of a Matroska or MP4 file is cut.

    Files that are written while a call runs do not say how long they are, so this is all that
    tells.
    """
    with _mapped(path) as data:
        if data[:4] == _EBML:
            return _matroska_end(data) > len(data)
        if data[4:8] == b"ftyp":
            return _mp4_end(data) > len(data)
    return False


_EBML: Final = b"\x1a\x45\xdf\xa3"
#: Segment and Cluster hold others, and may be of unknown size.
_MATROSKA_HOLDERS: Final = (0x18538067, 0x1F43B675)


def _matroska_end(data: mmap.mmap) -> int:
    """Where the last element ends by its size."""
    at, size = 0, len(data)
    while at < size:
        name, at_size = _ebml_number(data, at, keep_marker=True)
        length, body = _ebml_number(data, at_size, keep_marker=False)
        if name is None or length is None:
            return size + 1
        at = body if name in _MATROSKA_HOLDERS else body + length
    return at


def _ebml_number(data: mmap.mmap, at: int, *, keep_marker: bool) -> tuple[int | None, int]:
    """A number of one to eight bytes, and where it ends; None where the file does before."""
    if at >= len(data) or not data[at]:
        return None, at
    width = 9 - data[at].bit_length()
    raw = data[at : at + width]
    if len(raw) < width:
        return None, at
    value = int.from_bytes(raw, "big")
    return (value if keep_marker else value & ~(1 << 7 * width)), at + width


def _mp4_end(data: mmap.mmap) -> int:
    """Where the last box ends by its size."""
    at, size = 0, len(data)
    while at + 8 <= size:
        length = int.from_bytes(data[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16], "big")
        if length < 8:  # 0 is to the end of the file
            return size
        at += length
    return at


@contextmanager
def _mapped(path: str) -> Iterator[mmap.mmap]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def begins_with(path: str, magic: bytes) -> bool:
    """Whether these are the first bytes of a file."""
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic
