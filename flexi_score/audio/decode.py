"""Decode any recording to 16 kHz samples, one block at a time, channels kept apart.

Conventions
-----------
Samples are float32 with full scale at 1.0. Channels are counted from 0 and are never mixed.
Nothing here holds a whole recording: decoding and resampling both stream.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from flexi_score.audio.faults import (
    WavData,
    check_complete,
    looks_like_text,
    read_wav_data,
    with_open_end,
)
from flexi_score.errors import AudioError

Samples = NDArray[np.float32]

SAMPLE_RATE_HZ: Final = 16_000
MIN_DURATION_S: Final = 0.1
MIN_RATE_HZ: Final = 4_000
MAX_RATE_HZ: Final = 384_000

#: libsndfile's frame count for a stream whose header does not say how long it is.
_UNKNOWN_FRAMES: Final = 2**63 - 1
#: An MP3 may lose its last frame to the encoder's padding without being truncated.
_SLACK_FRAMES: Final = {"MP3": 1152}
#: Most samples (frames times channels) decoded at once, whatever the header claims.
_MAX_BLOCK_SAMPLES: Final = 4_000_000


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says, after the checks of :func:`probe`.

    Attributes
    ----------
    path : str
    n_channels : int
    sample_rate_hz : int
    n_frames : int or None
        Samples per channel; None where the container does not say (a FLAC from a pipe).
    container : str
        As libsndfile names it: WAV, WAVEX, RF64, FLAC, OGG, MP3, ...
    encoding : str
        PCM_16, PCM_24, FLOAT, ULAW, ALAW, VORBIS, OPUS, MPEG_LAYER_III, ...
    """

    path: str
    n_channels: int
    sample_rate_hz: int
    n_frames: int | None
    container: str
    encoding: str


def probe(path: str | Path) -> AudioInfo:
    """Header of an audio file, checked without decoding it.

    Raises
    ------
    AudioError
        If the file is missing, a folder, empty, not audio, truncated, without samples, shorter
        than 0.1 s, or has a sample rate outside 4 to 384 kHz.
    """
    path = str(path)
    _check_file(path)
    wav = read_wav_data(path)
    with _open(path, wav) as handle:
        info = AudioInfo(
            path=path,
            n_channels=int(handle.channels),
            sample_rate_hz=int(handle.samplerate),
            n_frames=None if handle.frames >= _UNKNOWN_FRAMES else int(handle.frames),
            container=str(handle.format),
            encoding=str(handle.subtype),
        )
        log = str(handle.extra_info)
    if not MIN_RATE_HZ <= info.sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{path}: sample rate {info.sample_rate_hz} Hz; expected {MIN_RATE_HZ} to "
            f"{MAX_RATE_HZ} Hz. The header is damaged, or the file must be resampled first"
        )
    check_complete(path, info.container, info.n_frames, wav, log)
    if info.n_frames is not None:
        _check_length(info, info.n_frames)
    return info


def decode_blocks(
    info: AudioInfo, channels: Sequence[int], block_s: float = 10.0
) -> Iterator[Samples]:
    """Samples of some channels at the file's own rate, in blocks.

    Parameters
    ----------
    info : AudioInfo
        From :func:`probe`.
    channels : sequence of int
        The k channels to keep, counted from 0, in this order.
    block_s : float
        Longest block.

    Yields
    ------
    ndarray of float32, shape (n, k)

    Raises
    ------
    AudioError
        If a channel does not exist, decoding stops before the length that the header declares,
        or samples are NaN or infinite (counted over the whole file).
    """
    missing = [c for c in channels if not 0 <= c < info.n_channels]
    if missing:
        raise AudioError(
            f"{info.path}: has {_counted(info.n_channels, 'channel')}, channel {missing[0]} was "
            f"asked for; channels are counted from 0, so expected 0 to {info.n_channels - 1}"
        )
    columns = list(channels)
    frames = max(1, int(min(block_s * info.sample_rate_hz, _MAX_BLOCK_SAMPLES / info.n_channels)))
    n_done, n_bad, first_bad = 0, 0, 0
    with _open(info.path, read_wav_data(info.path)) as handle:
        while True:
            try:
                block = handle.read(frames, dtype="float32", always_2d=True)
            except (sf.LibsndfileError, RuntimeError) as error:
                raise AudioError(_stops(info, n_done, str(error))) from error
            if len(block) == 0:
                break
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
    if declared is not None and n_done < declared - _SLACK_FRAMES.get(info.container, 0):
        raise AudioError(_stops(info, n_done, "the data ends"))
    _check_length(info, n_done)


def resample_blocks(blocks: Iterable[Samples], rate_hz: int) -> Iterator[Samples]:
    """Blocks at 16 kHz from blocks at `rate_hz`, as if resampled in one piece (soxr HQ).

    There is no delay and no lost tail: n samples become round(n * 16000 / rate_hz), within one.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (n, k)
    rate_hz : int

    Yields
    ------
    ndarray of float32, shape (m, k)
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
    """Samples of some channels at 16 kHz, in blocks.

    Parameters
    ----------
    path : str or Path
    channels : sequence of int
        The k channels to keep, counted from 0, in this order.
    block_s : float
        Longest block.

    Yields
    ------
    ndarray of float32, shape (n, k)

    Raises
    ------
    AudioError
        As :func:`probe` and :func:`decode_blocks`.
    """
    info = probe(path)
    return resample_blocks(decode_blocks(info, channels, block_s), info.sample_rate_hz)


def content_hash(path: str | Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal; an empty file has one, too.

    Raises
    ------
    AudioError
        If the file cannot be read.
    """
    # A segment file without a line is a party that never spoke.
    _check_file(str(path), may_be_empty=True)
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _ForwardOnly(sf.SoundFile):  # type: ignore[misc]
    """Never seeks: soundfile otherwise seeks after each block, which a piped FLAC cannot."""

    def seekable(self) -> bool:
        return False


def _open(path: str, wav: WavData | None) -> Any:
    # A data chunk of declared size 0 would be read as no samples at all.
    source: str | BinaryIO = path
    if wav is not None and wav.open_ended and wav.declared_bytes == 0:
        source = cast(BinaryIO, with_open_end(path, wav))
    try:
        return _ForwardOnly(source)
    except (sf.LibsndfileError, TypeError, ValueError, RuntimeError) as error:
        kind = "text" if looks_like_text(path) else "no audio that can be decoded"
        raise AudioError(
            f"{path}: holds {kind}; expected WAV, FLAC, Ogg Vorbis, Opus or MP3, whatever the "
            "name ends in. Convert other formats first (ffmpeg -i INPUT OUTPUT.flac)"
        ) from error


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
