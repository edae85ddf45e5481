"""Decode any recording to 16 kHz samples, one block at a time, channels kept apart.

Conventions
-----------
Samples are float32 with full scale at 1.0. Channels are counted from 0 and are never mixed.
Nothing here holds a whole recording: decoding and resampling both stream.

libsndfile reads what it can open; PyAV reads everything else. Before either, the structure of the
file says whether it is whole (:mod:`flexi_score.audio.faults`).
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from flexi_score.audio.faults import SLACK_S, Excerpt, Reading, check_mp3, examine, looks_like_text
from flexi_score.audio.libav import decode_stream, probe_stream, stated_seconds
from flexi_score.audio.streams import flac_files
from flexi_score.errors import AudioError
from flexi_score.formats.headerless import ENCODINGS, parse_headerless

Samples = NDArray[np.float32]

SAMPLE_RATE_HZ: Final = 16_000
MIN_DURATION_S: Final = 0.1
MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 384_000
#: Rates that recorders and codecs use; another may be a damaged header, and every time with it.
USUAL_RATES_HZ: Final = frozenset(
    base * factor // 2
    for base in (8_000, 11_025, 12_000)
    for factor in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
)

#: libsndfile's frame count for a stream whose header does not say how long it is.
_UNKNOWN_FRAMES: Final = 2**63 - 1
#: A lossy encoder may pad by this many samples more than the header's length.
_SLACK_FRAMES: Final = 1152
#: Time stamps that begin later than this are worth a note.
_LATE_S: Final = 0.1
#: Most samples (frames times channels) decoded at once, whatever the header claims.
_MAX_BLOCK_SAMPLES: Final = 4_000_000


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, after the checks of :func:`probe`."""

    path: str
    n_channels: int
    sample_rate_hz: int
    #: samples per channel; None where the container does not say (a FLAC from a pipe)
    n_frames: int | None
    #: as libsndfile names it (WAV, WAVEX, RF64, FLAC, OGG, MP3, ...), or FFmpeg (mov, matroska)
    container: str
    #: PCM_16, PCM_24, FLOAT, ULAW, ALAW, VORBIS, OPUS, MPEG_LAYER_III, ...; aac, opus, ...
    encoding: str
    note: str | None = None  # what is wrong with the file although it is used, in words
    #: how libsndfile reads it; None where PyAV does
    reading: Reading | None = field(default_factory=Reading)


def probe(path: str | Path, raw_audio: str | None = None) -> AudioInfo:
    """Header of an audio file, checked without decoding it.

    ``raw_audio``: what the bytes mean where the file has no header, as ``mulaw:8000:2``.
    """
    path = str(path)
    _check_file(path)
    stat = os.stat(path)
    return _probe(path, raw_audio, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns))


@lru_cache(maxsize=64)
def _probe(path: str, raw_audio: str | None, version: tuple[int, ...]) -> AudioInfo:
    """As :func:`probe`, read once a version of a file: Ogg and MP3 are gone through whole."""
    reading = Reading(headerless=parse_headerless(raw_audio)) if raw_audio else examine(path)
    info = _probe_libsndfile(path, reading) or _probe_libav(path)
    if not MIN_RATE_HZ <= info.sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{path}: sample rate {info.sample_rate_hz} Hz; expected {MIN_RATE_HZ} to "
            f"{MAX_RATE_HZ} Hz. The header is damaged, or the file must be resampled first"
        )
    if info.container.upper() == "MP3" and info.n_frames is not None:  # either library's name
        info = replace(info, note=check_mp3(path, info.n_frames))
    if info.sample_rate_hz not in USUAL_RATES_HZ and info.note is None:
        unusual = f"sample rate {info.sample_rate_hz} Hz is unusual: is its header damaged?"
        info = replace(info, note=unusual)
    if info.n_frames is not None:
        _check_length(info, info.n_frames)
    return info


def header_seconds(path: str) -> float:
    """Length by the header alone, for a progress bar: unchecked, and 0 where it does not say."""
    try:
        with sf.SoundFile(path) as handle:
            frames = int(handle.frames)
            return 0.0 if frames >= _UNKNOWN_FRAMES else frames / handle.samplerate
    except (sf.LibsndfileError, TypeError, ValueError, RuntimeError, OSError):
        return stated_seconds(path)


def _probe_libsndfile(path: str, reading: Reading) -> AudioInfo | None:
    """Header by libsndfile, or None where it cannot open the file."""
    infos: list[AudioInfo] = []
    for span in reading.spans or (None,):
        try:
            with _open(path, reading, span) as handle:
                if handle.format == "RAW" and reading.headerless is None:
                    return None  # a guess by the file's name (.au, .snd, .vox), not by a header
                frames = None if handle.frames >= _UNKNOWN_FRAMES else int(handle.frames)
                infos.append(
                    AudioInfo(
                        path=path,
                        n_channels=int(handle.channels),
                        sample_rate_hz=int(handle.samplerate),
                        n_frames=frames,
                        container=str(handle.format),
                        encoding=str(handle.subtype),
                        note=reading.note,
                        reading=reading,
                    )
                )
        except (sf.LibsndfileError, TypeError, ValueError, RuntimeError):
            return None
    first = infos[0]
    if len({(info.n_channels, info.sample_rate_hz) for info in infos}) > 1:
        formats = " and ".join(f"{i.n_channels} channels at {i.sample_rate_hz} Hz" for i in infos)
        raise AudioError(
            f"{path}: several streams run together, with {formats}; expected one format. Write "
            "them again as one file, or as a file each"
        )
    if len(infos) > 1:
        lengths = [info.n_frames or 0 for info in infos]
        seconds = " and ".join(f"{n / first.sample_rate_hz:.2f} s" for n in lengths)
        return replace(first, n_frames=sum(lengths), note=f"{first.note} ({seconds})")
    if first.container == "FLAC":  # the header's own number, which decoding does without
        with _ForwardOnly(path) as handle:
            n = int(handle.frames)
            return replace(first, n_frames=None if n >= _UNKNOWN_FRAMES else n)
    return first


def _probe_libav(path: str) -> AudioInfo:
    if looks_like_text(path):
        raise AudioError(f"{path}: holds text; expected audio. Is it a manifest or a transcript?")
    stream = probe_stream(path)
    note = None
    if stream.start_s > _LATE_S:
        note = (
            f"its time stamps begin at {stream.start_s:.2f} s, which was taken for its start; "
            "user_offset or model_offset put it elsewhere"
        )
    if stream.n_gaps:
        note = (
            f"{_counted(stream.n_gaps, 'gap')} between its packets, {stream.gaps_s:.2f} s in all; "
            "they were filled with silence"
        )
    return AudioInfo(
        path=path,
        n_channels=stream.n_channels,
        sample_rate_hz=stream.sample_rate_hz,
        n_frames=round(stream.duration_s * stream.sample_rate_hz),
        container=stream.container,
        encoding=stream.encoding,
        note=note,
        reading=None,
    )


def decode_blocks(
    info: AudioInfo, channels: Sequence[int], block_s: float = 10.0
) -> Iterator[Samples]:
    """Samples of the ``channels``, in this order, at the file's own rate, in blocks (n, k).

    ``channels``: counted from 0. ``block_s``: longest block. Raises AudioError for a channel that
    the file lacks, and where it cannot be decoded.
    """
    missing = [c for c in channels if not 0 <= c < info.n_channels]
    if missing:
        raise AudioError(
            f"{info.path}: has {_counted(info.n_channels, 'channel')}, channel {missing[0]} was "
            f"asked for; channels are counted from 0, so expected 0 to {info.n_channels - 1}"
        )
    columns = list(channels)
    n_done, n_bad, first_bad = 0, 0, 0
    for block in _all_channels(info, block_s):
        if columns != list(range(info.n_channels)):
            block = np.ascontiguousarray(block[:, columns])
        finite = np.isfinite(block)
        if not finite.all():
            bad = np.flatnonzero(~finite.all(axis=1))
            first_bad = first_bad if n_bad else n_done + int(bad[0])
            n_bad += int((~finite).sum())
        n_done += len(block)
        if n_bad == 0:  # once one is found, read on only to count them
            yield block
    if n_bad:
        raise AudioError(
            f"{info.path}: {_counted(n_bad, 'sample')} NaN or infinite, the first at "
            f"{first_bad / info.sample_rate_hz:.3f} s; expected finite numbers. Write the "
            "recording again from its source"
        )
    declared = info.n_frames
    slack = max(_SLACK_FRAMES, round(SLACK_S * info.sample_rate_hz))
    if declared is not None and n_done < declared - slack:
        raise AudioError(_stops(info, n_done, "the data ends"))
    if declared is not None and n_done > declared + slack:
        raise AudioError(
            f"{info.path}: the header accounts for {declared / info.sample_rate_hz:.2f} s and the "
            f"file holds {n_done / info.sample_rate_hz:.2f} s; expected one length. Write it again "
            "from its source (ffmpeg -i INPUT OUTPUT.wav)"
        )
    _check_length(info, n_done)


def _all_channels(info: AudioInfo, block_s: float) -> Iterator[Samples]:
    """All samples of a file in blocks, shape (n, n_channels)."""
    if info.reading is None:
        yield from decode_stream(info.path, info.n_channels, info.sample_rate_hz)
        return
    frames = max(1, int(min(block_s * info.sample_rate_hz, _MAX_BLOCK_SAMPLES / info.n_channels)))
    n_done = 0
    for span in info.reading.spans or (None,):
        with _open(info.path, info.reading, span) as handle:
            while True:
                try:
                    block = handle.read(frames, dtype="float32", always_2d=True)
                except (sf.LibsndfileError, RuntimeError) as error:
                    n_files = flac_files(info.path) if info.container == "FLAC" else 1
                    cause = f"{n_files} FLAC files run together" if n_files > 1 else str(error)
                    raise AudioError(_stops(info, n_done, cause)) from error
                if len(block) == 0:
                    break
                n_done += len(block)
                yield block


def resample_blocks(blocks: Iterable[Samples], rate_hz: int) -> Iterator[Samples]:
    """Blocks at 16 kHz from blocks at `rate_hz`, as if resampled in one piece (soxr HQ).

    There is no delay and no lost tail: n samples become round(n * 16000 / rate_hz), within one.
    """
    if rate_hz == SAMPLE_RATE_HZ:
        yield from blocks
        return
    stream: Any = None
    k = 0
    for block in blocks:
        if stream is None:
            k = block.shape[1]
            stream = soxr.ResampleStream(rate_hz, SAMPLE_RATE_HZ, k, dtype="float32", quality="HQ")
        resampled = stream.resample_chunk(block)
        if len(resampled):
            yield resampled
    if stream is not None:
        tail = stream.resample_chunk(np.empty((0, k), np.float32), last=True)
        if len(tail):
            yield tail


def read_blocks(
    path: str | Path, channels: Sequence[int], block_s: float = 10.0
) -> Iterator[Samples]:
    """Samples of the ``channels``, in this order, at 16 kHz, in blocks of shape (n, k).

    Raises AudioError: as :func:`probe` and :func:`decode_blocks`.
    """
    info = probe(path)
    return resample_blocks(decode_blocks(info, channels, block_s), info.sample_rate_hz)


def content_hash(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal; an empty file has one, too.

    Raises AudioError where the file cannot be read.
    """
    # A segment file without a line is a party that never spoke.
    _check_file(str(path), may_be_empty=True)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _ForwardOnly(sf.SoundFile):  # type: ignore[misc]
    """Never seeks: soundfile otherwise seeks after each block, which a piped FLAC cannot."""

    def seekable(self) -> bool:
        return False


@contextmanager
def _open(path: str, reading: Reading, span: tuple[int, int] | None) -> Iterator[Any]:
    """The file, or a part of it, in libsndfile."""
    if reading.headerless is not None:
        encoding, rate, n_channels = reading.headerless
        subtype, endian = ENCODINGS[encoding]
        with _ForwardOnly(
            path, format="RAW", subtype=subtype, endian=endian, samplerate=rate, channels=n_channels
        ) as handle:
            yield handle
        return
    if span is None and not reading.patches:
        with _ForwardOnly(path) as handle:
            yield handle
        return
    with closing(Excerpt(path, span, reading.patches)) as source, _ForwardOnly(source) as handle:
        yield handle


def _check_file(path: str, *, may_be_empty: bool = False) -> None:
    file = Path(path)
    try:
        if file.is_dir():
            raise AudioError(f"{path}: is a folder; expected an audio file")
        if not file.exists():
            raise AudioError(
                f"{path}: no such file; check the path (paths are relative to the manifest)"
            )
        if not file.is_file():
            raise AudioError(f"{path}: not a regular file; expected an audio file")
        with open(file, "rb") as handle:
            if not handle.read(1) and not may_be_empty:
                raise AudioError(f"{path}: empty file (0 bytes); expected audio. Record it again")
    except (OSError, ValueError) as error:
        raise AudioError(f"{path}: cannot be read ({error}); check name and permissions") from error


def _check_length(info: AudioInfo, n_frames: int) -> None:
    if n_frames == 0:
        raise AudioError(f"{info.path}: holds no samples (0 s); expected a recording")
    duration_s = n_frames / info.sample_rate_hz
    if duration_s < MIN_DURATION_S:
        raise AudioError(
            f"{info.path}: too short: {duration_s:.3f} s of audio; expected at least "
            f"{MIN_DURATION_S} s. Leave it out of the manifest, or record it again"
        )


def _stops(info: AudioInfo, n_done: int, cause: str) -> str:
    declared = "" if info.n_frames is None else f" of {info.n_frames / info.sample_rate_hz:.2f} s"
    return (
        f"{info.path}: truncated or damaged {info.container}: decoding stops after "
        f"{n_done / info.sample_rate_hz:.2f} s{declared} ({cause.rstrip('. ')}); copy the file "
        "again from its source"
    )


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
