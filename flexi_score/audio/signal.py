"""One role's 16 kHz samples, spooled so that no recording has to fit in memory.

A :class:`Signal` is written once, block by block, and read at random. It lives in memory while
it is short and in an unnamed temporary file (in ``TMPDIR``) beyond that.
"""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np

from flexi_score.audio.decode import SAMPLE_RATE_HZ, AudioInfo, Samples, decode_blocks, probe
from flexi_score.audio.decode import resample_blocks as resample
from flexi_score.audio.dropouts import ZeroRuns
from flexi_score.errors import AudioError, OutputError
from flexi_score.formats.roles import ASSUMED
from flexi_score.schema import SPEAKERS, Row, Speaker

#: A signal up to this size (four minutes) stays in memory.
MEMORY_BYTES: Final = 16 * 2**20

_BYTES: Final = 4  # a float32
_MONO: Final = (
    "has one channel, expected two: one of the user, one of the model. Export both channels; or, "
    "where each role has its own file, give user_audio and model_audio instead of audio; or, where "
    "both speak on this one channel, have it estimated who does when: --mono diarize"
)
#: Largest value that an encoding can hold, where that is below 1.
_FULL_SCALE: Final = {"ULAW": 32124 / 32768, "ALAW": 32256 / 32768}


class SampleCounts:
    """Running counts over one channel's samples as the file holds them, before resampling."""

    def __init__(self, encoding: str = "FLOAT", rate_hz: int = SAMPLE_RATE_HZ) -> None:
        self.n = 0
        self.n_zero = 0  # samples that are exactly 0
        self.n_clipped = 0  # at or beyond 99.9 % of the encoding's full scale
        self.n_zero_tail = 0  # zeros after the last sample that is not 0
        self.low, self.high = np.inf, -np.inf  # equal in a dead channel
        self.zeros = ZeroRuns(rate_hz)  # that may be lost packets
        self._n_low, self._n_high = 0, 0
        self._limit = 0.999 * _FULL_SCALE.get(encoding, 1.0)

    def add(self, block: Samples) -> None:
        """Count the samples of a block, shape (n,)."""
        if len(block) == 0:
            return
        self.n += len(block)
        self.n_zero += len(block) - int(np.count_nonzero(block))
        if block[-1]:
            self.n_zero_tail = 0
        elif block.any():
            self.n_zero_tail = int(np.argmax(block[::-1] != 0))
        else:
            self.n_zero_tail += len(block)
        low, high = float(block.min()), float(block.max())
        if max(-low, high) >= self._limit:
            self.n_clipped += int(np.count_nonzero(np.abs(block) >= self._limit))
        if low <= self.low:
            here = int(np.count_nonzero(block == low))
            self._n_low = here + (self._n_low if low == self.low else 0)
        if high >= self.high:
            here = int(np.count_nonzero(block == high))
            self._n_high = here + (self._n_high if high == self.high else 0)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.zeros.add(block)

    @property
    def n_extreme(self) -> int:
        """Samples at the lowest or the highest value: hardly any in what was never clipped."""
        if self.low >= self.high:  # all samples are equal
            return self._n_low
        return self._n_low + self._n_high


class Signal:
    """16 kHz float32 samples of one role; close it, or use it in a ``with`` statement.

    ``name`` is the file and channel, for messages; ``counts`` are those of the samples before they
    were resampled.
    """

    def __init__(
        self, name: str, counts: SampleCounts | None = None, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self.name = name
        self.n_samples = 0
        self.counts = counts if counts is not None else SampleCounts()
        self._spool = tempfile.SpooledTemporaryFile(max_size=memory_bytes)  # noqa: SIM115

    @property
    def duration_ms(self) -> int:
        """Length in ms, rounded."""
        return round(self.n_samples * 1000 / SAMPLE_RATE_HZ)

    def append(self, block: Samples) -> None:
        """Add samples, shape (n,), at the end."""
        try:
            self._spool.seek(self.n_samples * _BYTES)
            self._spool.write(np.ascontiguousarray(block, np.float32).tobytes())
        except OSError as error:
            raise OutputError(
                f"{self.name}: no room for decoded samples in {tempfile.gettempdir()} ({error}); "
                "a three-hour recording needs 1.4 GB there: free space, or set TMPDIR"
            ) from error
        self.n_samples += len(block)

    def read(self, start: int, stop: int) -> Samples:
        """Samples [start, stop), clipped to those that exist; a fresh float32 array."""
        start = min(max(start, 0), self.n_samples)
        stop = min(max(stop, start), self.n_samples)
        self._spool.seek(start * _BYTES)
        data = self._spool.read((stop - start) * _BYTES)
        return np.frombuffer(bytearray(data), np.float32)

    def blocks(self, n: int) -> Iterator[Samples]:
        """All samples in order, n at a time (the last block may be shorter)."""
        for start in range(0, self.n_samples, n):
            yield self.read(start, start + n)

    def close(self) -> None:
        """Free the memory or the temporary file."""
        self._spool.close()

    def __enter__(self) -> "Signal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def zero_tail_ms(signal: Signal, rate_hz: int) -> int:
    """Length of the exact zeros at a signal's end, from counts at the file's own rate."""
    return round(signal.counts.n_zero_tail * 1000 / rate_hz)


def signal_from_array(samples: Samples, name: str = "samples") -> Signal:
    """A signal of samples that are in memory already (16 kHz, full scale 1.0)."""
    signal = Signal(name)
    block = np.asarray(samples, np.float32)
    signal.counts.add(block)
    signal.append(block)
    return signal


def open_signals(row: Row) -> tuple[Signal, Signal]:
    """Decode the user's and the model's channel of one recording, to be closed by the caller.

    A two-channel file is decoded in one pass. Offsets of a pair of files are left to the caller.
    """
    if row.get("audio") is not None:
        return _open_one_file(row)
    files = {}
    for speaker in SPEAKERS:
        key = f"{speaker}_audio"
        if row.get(key) is None:
            raise AudioError(
                f"recording {row.get('recording')!r}: has no {key}; expected audio (a two-channel "
                "file), or user_audio and model_audio"
            )
        info = probe(row[key], row.get("raw_audio"))
        if info.n_channels != 1:
            raise AudioError(
                f"{info.path}: has {info.n_channels} channels, {key} must be a mono file; if one "
                f"file holds both roles, give it as audio with channels, else keep the channel of "
                f"the {speaker} (ffmpeg -i INPUT -af pan=mono|c0=c0 OUTPUT.wav keeps the first)"
            )
        files[speaker] = info
    if os.path.samefile(files["user"].path, files["model"].path):
        raise AudioError(
            f"{files['user'].path}: is both user_audio and model_audio; expected one file each"
        )
    with ExitStack() as opened:
        user, model = (opened.enter_context(_decode(files[s], {s: 0})[s]) for s in SPEAKERS)
        opened.pop_all()
    return user, model


def open_mono(path: str, raw_audio: str | None = None) -> Signal:
    """Decode a one-channel file, to be closed by the caller."""
    info = probe(path, raw_audio)
    if info.n_channels != 1:
        raise AudioError(f"{info.path}: has {info.n_channels} channels, expected one")
    return _decode(info, {"user": 0})["user"]


def _open_one_file(row: Row) -> tuple[Signal, Signal]:
    info = probe(row["audio"], row.get("raw_audio"))
    channels: dict[Speaker, int] = {"user": row["user_channel"], "model": row["model_channel"]}
    if row.get("roles") == ASSUMED and info.n_channels > len(SPEAKERS):
        raise AudioError(
            f"{info.path}: has {info.n_channels} channels, and nothing says which are the user's "
            'and the model\'s; name them: "channels": {"user": 1, "model": 2} in the manifest, or '
            "--channels mix,user,model (what is on channel 0, 1, ...)"
        )
    for speaker, channel in channels.items():
        if not 0 <= channel < info.n_channels:
            if info.n_channels == 1:
                raise AudioError(f"{info.path}: {_MONO}")
            raise AudioError(
                f"{info.path}: has {info.n_channels} channels, the manifest asks for channel "
                f"{channel} as {speaker} (counted from 0); correct channels, as "
                '{"user": 0, "model": 1}'
            )
    if channels["user"] == channels["model"]:
        raise AudioError(
            f"{info.path}: channels gives channel {channels['user']} as both user and model; "
            'expected two different channels, as {"user": 0, "model": 1}'
        )
    signals = _decode(info, channels)
    return signals["user"], signals["model"]


def _decode(info: AudioInfo, channels: Mapping[Speaker, int]) -> dict[Speaker, Signal]:
    counts = [SampleCounts(info.encoding, info.sample_rate_hz) for _ in channels]
    signals = {
        speaker: Signal(f"{Path(info.path).name} channel {channel}", counts[k])
        for k, (speaker, channel) in enumerate(channels.items())
    }
    with ExitStack() as opened:
        for signal in signals.values():
            opened.enter_context(signal)
        raw = _count(decode_blocks(info, list(channels.values())), counts)
        for block in resample(raw, info.sample_rate_hz):
            for k, signal in enumerate(signals.values()):
                signal.append(block[:, k])
        opened.pop_all()
    return signals


def _count(blocks: Iterable[Samples], counts: list[SampleCounts]) -> Iterator[Samples]:
    for block in blocks:
        for k, channel in enumerate(counts):
            channel.add(block[:, k])
        yield block
