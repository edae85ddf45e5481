"""Audio of containers that libsndfile does not read, through PyAV: M4A, MP4, WebM, Matroska, AAC.

Samples stand where their time stamps put them. A call that was written with discontinuous
transmission has no packets while nobody speaks: a decoder's frames, one after the other, would
close these gaps, so they are filled with zeros here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flexi_score.audio.streams import breaks_off
from flexi_score.errors import AudioError

#: Demuxers that may open a file. None of them reads other files or addresses, as playlists do.
_DEMUXERS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,wav,aac,amr,mp3,flac,caf,asf,wv,ape,avi,flv,mpegts,"
    "ac3,eac3"
)
#: Containers whose header states the length of a stream; elsewhere it is an estimate.
_MATROSKA: Final = "matroska,webm"
_STATE_LENGTH: Final = ("mov,mp4,m4a,3gp,3g2,mj2", _MATROSKA, "asf")
#: A gap between packets counts from here: below it are rounded and jittered time stamps.
GAP_S: Final = 0.06
#: Time stamps may go back by this, as encoders' delays do.
_BACK_S: Final = 0.25
#: The header's length may exceed the packets' by this: encoders pad.
_SLACK_S: Final = 0.1
#: Full scale of integer samples, by sample format.
_INTEGER_SCALE: Final = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31}


@dataclass(frozen=True)
class Stream:
    """The one audio stream of a container."""

    #: container, encoding: in FFmpeg's words
    container: str
    encoding: str
    #: n_channels, sample_rate_hz: of the first frame that is decoded
    n_channels: int
    sample_rate_hz: int
    duration_s: float  # by the time stamps of all packets
    #: n_gaps, gaps_s: silence between packets that is filled with zeros
    n_gaps: int
    gaps_s: float
    start_s: float  # of the container's clock, at its first sample


def probe_stream(path: str) -> Stream:
    """The audio stream of a container, its packets looked at and not decoded."""
    av = _library(path)
    with open(path, "rb") as file, _opened(av, path, file) as container:
        stream = container.streams.audio[0]
        name = container.format.name
        zero = _zero(container, stream)
        try:
            end, n_packets, n_gaps, gaps_s, corrupt = _scan(container, stream, zero, path)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise AudioError(_damaged(path, name, str(error))) from error
        stated = None
        if name in _STATE_LENGTH:
            if stream.duration is not None:
                stated = float(stream.duration * stream.time_base)
            elif container.duration is not None:
                stated = container.duration / av.time_base
    if not n_packets:
        raise AudioError(f"{path}: the audio stream of this {name} holds no packets")
    if stated is not None and name == _MATROSKA:  # its length counts from 0 of its clock
        stated -= max(zero, 0.0)
    if stated is not None and end < stated - _SLACK_S:
        raise AudioError(
            f"{path}: truncated {name.partition(',')[0]}: the header promises {stated:.2f} s, the "
            f"packets end after {end:.2f} s; copy the file again from its source"
        )
    if corrupt or breaks_off(path):
        raise AudioError(_damaged(path, name, f"a packet breaks off after {end:.2f} s"))
    first = next(_frames(path), None)
    if first is None:
        raise AudioError(_damaged(path, name, "no frame can be decoded"))
    return Stream(
        container=name.partition(",")[0],
        encoding=stream.codec_context.name,
        n_channels=first[1].shape[1],
        sample_rate_hz=first[2],
        duration_s=end,
        n_gaps=n_gaps,
        gaps_s=gaps_s,
        start_s=zero if name in _STATE_LENGTH else 0.0,
    )


def stated_seconds(path: str) -> float:
    """Length that a container states, 0 where it states none or cannot be read."""
    try:
        av = _library(path)
        with open(path, "rb") as file, _opened(av, path, file) as container:
            return float(container.duration or 0) / float(av.time_base)
    except (AudioError, OSError):
        return 0.0


def decode_stream(path: str, n_channels: int, rate_hz: int) -> Iterator[NDArray[np.float32]]:
    """All samples, frame by frame (n, n_channels), gaps filled with zeros."""
    n_done = 0
    for at_s, samples, rate in _frames(path):
        if rate != rate_hz or samples.shape[1] != n_channels:
            raise AudioError(
                f"{path}: changes from {n_channels} channels at {rate_hz} Hz to "
                f"{samples.shape[1]} at {rate} Hz after {n_done / rate_hz:.2f} s; expected one "
                "format throughout. Convert it first (ffmpeg -i INPUT OUTPUT.flac)"
            )
        if at_s is not None:
            ahead = round(at_s * rate_hz) - n_done
            if ahead > GAP_S * rate_hz:
                for start in range(0, ahead, rate_hz):
                    yield np.zeros((min(rate_hz, ahead - start), n_channels), np.float32)
                n_done += ahead
        n_done += len(samples)
        yield samples


def _scan(
    container: Any, stream: Any, zero: float, path: str
) -> tuple[float, int, int, float, bool]:
    """End (s), packets, gaps, seconds of gaps, and whether the last packet breaks off."""
    end, n, n_gaps, gaps_s, corrupt = 0.0, 0, 0, 0.0, False
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        corrupt = bool(packet.is_corrupt)
        n += 1
        length = float((packet.duration or 0) * packet.time_base)
        if packet.pts is None:
            end += length
            continue
        at = float(packet.pts * packet.time_base) - zero
        if at < end - _BACK_S:
            raise AudioError(
                f"{path}: its time stamps go back from {end:.2f} s to {at:.2f} s; expected one "
                "recording. Where several were run together, give them as files of their own"
            )
        if at > end + GAP_S:
            n_gaps += 1
            gaps_s += at - end
        end = max(end, at + length)
    return end, n, n_gaps, gaps_s, corrupt


def _frames(path: str) -> Iterator[tuple[float | None, NDArray[np.float32], int]]:
    """Time (s), samples of shape (n, k), and rate of each decoded frame."""
    av = _library(path)
    with open(path, "rb") as file, _opened(av, path, file) as container:
        stream = container.streams.audio[0]
        zero = _zero(container, stream)
        at = 0.0
        try:
            for frame in container.decode(stream):
                time = None if frame.pts is None else float(frame.pts * frame.time_base) - zero
                at = at if time is None else time
                yield time, _samples(frame, path), int(frame.sample_rate)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise AudioError(
                _damaged(path, container.format.name, f"decoding stops after {at:.2f} s: {error}")
            ) from error


def _samples(frame: Any, path: str) -> NDArray[np.float32]:
    form = frame.format.name
    values = frame.to_ndarray()
    values = values.T if form.endswith("p") else values.reshape(-1, frame.layout.nb_channels)
    kind = form.removesuffix("p")
    if kind in ("flt", "dbl"):
        return np.ascontiguousarray(values, np.float32)
    if kind not in _INTEGER_SCALE:
        raise AudioError(f"{path}: samples in format {form}, which is not read; convert it first")
    scale = _INTEGER_SCALE[kind]
    whole = values.astype(np.float64) - (scale if kind == "u8" else 0)
    return np.ascontiguousarray(whole / scale, np.float32)


def _zero(container: Any, stream: Any) -> float:
    """The container's time at which the recording starts (s)."""
    if container.start_time is not None:
        return float(container.start_time) / 1_000_000
    return float(stream.start_time * stream.time_base) if stream.start_time else 0.0


def _opened(av: Any, path: str, file: Any) -> Any:
    """The container; a file object, so that no name is taken for an address."""
    try:
        container = av.open(file, options={"format_whitelist": _DEMUXERS})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise AudioError(
            f"{path}: holds no audio that can be decoded ({error}); expected WAV, FLAC, Ogg "
            "Vorbis, Opus, MP3, AIFF, SPHERE, M4A, MP4, WebM, Matroska or AAC, whatever the name "
            "ends in. Convert other formats first (ffmpeg -i INPUT OUTPUT.flac; samples without a "
            "header: ffmpeg -f mulaw -ar 8000 -ac 1 -i INPUT OUTPUT.wav), and copy a file that was "
            "cut off again from its source"
        ) from error
    n = len(container.streams.audio)
    if n != 1:
        container.close()
        raise AudioError(
            f"{path}: has no audio stream; expected one"
            if not n
            else f"{path}: has {n} audio streams; expected one. Where they are the parties, give "
            "each as a file of its own (ffmpeg -i INPUT -map 0:a:0 first.flac -map 0:a:1 "
            "second.flac) and name them user_audio and model_audio"
        )
    return container


def _damaged(path: str, container: str, cause: str) -> str:
    return (
        f"{path}: truncated or damaged {container.partition(',')[0]} ({cause.rstrip('. ')}); copy "
        "the file again from its source"
    )


def _library(path: str) -> Any:
    try:
        import av
    except ImportError as error:
        raise AudioError(
            f"{path}: holds no audio that libsndfile decodes; M4A, MP4, WebM, Matroska, AAC and "
            "others need PyAV (pip install 'flexi_score[containers]'), or convert the file first "
            "(ffmpeg -i INPUT OUTPUT.flac)"
        ) from error
    return av
