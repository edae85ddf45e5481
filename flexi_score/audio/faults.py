"""Faults of audio files that decoders pass over in silence, found in the bytes of the container.

A recording that is scored on half of its audio looks like a silent model. So a file that breaks
off is refused; what can be read although its header is wrong is read whole, and named.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flexi_score.audio.containers import Contents, read_contents
from flexi_score.audio.streams import (
    MP3_SLACK_FRAMES,
    begins_with,
    flac_without_count,
    mp3_frames,
    ogg_links,
)
from flexi_score.errors import AudioError
from flexi_score.formats.headerless import Headerless

#: Seconds by which a header may be wrong about the length: nothing that is measured ends there.
SLACK_S: Final = 0.1
#: Bytes by which a header may be wrong where it does not say how many make a second.
_SLACK_BYTES: Final = 256


@dataclass(frozen=True)
class Reading:
    """How a file is to be read so that none of it is lost."""

    #: bytes of the files within it, to be decoded one after the other; empty: all at once
    spans: tuple[tuple[int, int], ...] = ()
    #: bytes of the header to be read in the place of what stands there, by position
    patches: Mapping[int, bytes] = field(default_factory=dict)
    headerless: Headerless | None = None  # what the bytes mean where the file has no header
    note: str | None = None  # what is wrong with the file although it is used


def examine(path: str) -> Reading:
    """How to read a file, from the structure of its container.

    Raises AudioError if bytes that the container promises are missing, or what is behind its
    samples cannot be told.
    """
    contents = read_contents(path)
    if contents is not None:
        return _examine_contents(path, contents)
    if begins_with(path, b"OggS"):
        return _examine_ogg(path)
    if begins_with(path, b"fLaC"):
        # Decoded to the end whatever the header declares, and compared with that afterwards.
        return Reading(patches=flac_without_count(path))
    return Reading()


def check_mp3(path: str, n_frames: int) -> str | None:
    """Refuse an MP3 that holds more than libsndfile will deliver.

    Returns what is wrong with it although it is used.
    """
    frames = mp3_frames(path)
    if frames is None:
        return None
    if frames.n_samples > n_frames + MP3_SLACK_FRAMES * frames.per_frame:
        raise AudioError(
            f"{path}: MP3 whose header accounts for {n_frames} samples while its frames hold "
            f"{frames.n_samples}; decoding would drop the rest. Rewrite its header "
            "(ffmpeg -i INPUT.mp3 -c copy OUTPUT.mp3)"
        )
    return None if frames.whole else "its last frame breaks off: was the recording cut off?"


def looks_like_text(path: str) -> bool:
    """Whether a file begins with printable text."""
    with open(path, "rb") as file:
        head = file.read(512)
    return bool(head) and all(byte >= 32 or byte in b"\t\n\r\f" for byte in head)


def _examine_contents(path: str, contents: Contents) -> Reading:
    if "shorten" in contents.coding:
        raise AudioError(
            f"{path}: SPHERE compressed with shorten ({contents.coding}), which is not read; "
            "expand it first (sph2pipe -f rif INPUT.sph OUTPUT.wav)"
        )
    to_the_end = {} if contents.size_at is None else {contents.size_at: b"\xff" * 4}
    is_64 = begins_with(path, b"RF64") or begins_with(path, b"BW64")
    if to_the_end and is_64 and contents.available_bytes < 2**32:
        to_the_end[0] = b"RIFF"  # or libsndfile goes by the size in another chunk
    if contents.declared_bytes is None and contents.container == "SPHERE":
        return Reading(note="its header does not say how many samples it holds; all were used")
    if contents.declared_bytes is None:
        return Reading(patches=to_the_end if contents.container == "WAV" else {})
    missing = contents.declared_bytes - contents.available_bytes
    if missing > 0:
        promised = _length(contents, contents.declared_bytes)
        held = _length(contents, contents.available_bytes)
        if contents.available_bytes <= 0 or not _is_slight(contents, missing):
            raise AudioError(
                f"{path}: truncated {contents.container}: the header promises {promised}, the file "
                f"holds {held}; copy the file again from its source, or, if the rest is lost and "
                "what is left may be scored, rewrite its header "
                f"(ffmpeg -i {Path(path).name} OUTPUT.wav)"
            )
        return Reading(
            note=f"its header promises {promised}, {missing} bytes more than the file holds; what "
            "is there was used"
        )
    if not contents.excess_bytes or _is_slight(contents, contents.excess_bytes):
        # Of these two libsndfile reads on whatever follows.
        end = contents.data_at + contents.declared_bytes
        return Reading(spans=((0, end),) if contents.container in ("W64", "SPHERE") else ())
    held = _length(contents, contents.excess_bytes)
    declared = _length(contents, contents.declared_bytes)
    if contents.joined:
        raise AudioError(
            f"{path}: two files run together: the header accounts for {declared}, and another file "
            f"of {held} follows; expected one recording. Write them again as one, or as a file each"
        )
    if contents.container == "WAV" and contents.covered and to_the_end:
        return Reading(
            patches=to_the_end,
            note=f"its data chunk accounts for {declared}, the file goes on for {held}, which its "
            "outer size counts in; all of it was used",
        )
    raise AudioError(
        f"{path}: the header of this {contents.container} accounts for {declared} of samples, and "
        f"{held} follow that belong to no chunk; expected one length. If they are samples, write "
        "its header again (sox --ignore-length INPUT OUTPUT.wav); if not, cut them off"
    )


def _is_slight(contents: Contents, n_bytes: int) -> bool:
    seconds = contents.seconds(n_bytes)
    return n_bytes <= _SLACK_BYTES if seconds is None else seconds <= SLACK_S


def _length(contents: Contents, n_bytes: int) -> str:
    seconds = contents.seconds(n_bytes)
    return f"{n_bytes} bytes" + ("" if seconds is None else f" ({seconds:.2f} s)")


def _examine_ogg(path: str) -> Reading:
    links = ogg_links(path)
    if not links:
        return Reading()
    for link in links:
        if not link.whole:
            raise AudioError(
                f"{path}: truncated Ogg: its last page is incomplete; expected a whole one. Copy "
                "the file again from its source"
            )
        if link.lost_pages:
            raise AudioError(
                f"{path}: damaged Ogg: {link.lost_pages} pages are missing on the way; what "
                "follows them would be heard too early. Copy the file again from its source"
            )
        if not link.ended:
            raise AudioError(
                f"{path}: truncated Ogg: no page says that it is the last, so the recording was "
                "cut off, or never closed by its writer. Copy the file again from its source, or, "
                "if it is known to be whole, close it (ffmpeg -i INPUT -c copy OUTPUT)"
            )
    if len(links) == 1:
        return Reading()
    return Reading(
        spans=tuple((link.start, link.end) for link in links),
        note=f"{len(links)} Ogg streams run together; they were read one after the other",
    )


class Excerpt(io.RawIOBase):
    """Part of a file as a file of its own, some of its bytes replaced.

    ``span``: first byte, and the one behind the last; all of the file if not given. ``patches``: by
    position in the file.
    """

    def __init__(
        self, path: str, span: tuple[int, int] | None = None, patches: Mapping[int, bytes] = {}
    ) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 - closed in close()
        self._start, end = span or (0, None)
        self._end = self._file.seek(0, io.SEEK_END) if end is None else end
        self._patches = dict(patches)
        self.seek(0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: self._start, io.SEEK_CUR: self._file.tell(), io.SEEK_END: self._end}[
            whence
        ]
        return self._file.seek(max(origin + offset, self._start)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, buffer: Any) -> int:
        start = self._file.tell()
        view = memoryview(buffer).cast("B")
        n = self._file.readinto(view[: max(0, min(len(view), self._end - start))])
        for at, data in self._patches.items():
            for i in range(max(at, start), min(at + len(data), start + n)):
                view[i - start] = data[i - at]
        return n

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()
