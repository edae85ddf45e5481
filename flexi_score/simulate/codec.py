"""Telephone and lossy codecs as round trips: what a listener gets, on the same time axis."""

import io
from typing import Final

import numpy as np
import soundfile as sf
import soxr
from scipy import signal

from flexi_score.audio.decode import SAMPLE_RATE_HZ as RATE
from flexi_score.config import unknown_name
from flexi_score.errors import InputError, PrerequisiteError
from flexi_score.simulate.clips import Signal

TELEPHONE_RATE_HZ: Final = 8_000
TELEPHONE_BAND_HZ: Final = (300, 3400)

#: Of the codecs that keep 16 kHz: libsndfile's container and encoding.
_LOSSY: Final = {
    "opus": ("OGG", "OPUS"),
    "vorbis": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
#: G.711 on a telephone line; the file itself is 8 kHz in that encoding.
TELEPHONE: Final = {"ulaw": "ULAW", "alaw": "ALAW"}
CODECS: Final = (*TELEPHONE, *_LOSSY)


def check_codec(name: str) -> str:
    """The name, if there is such a codec."""
    if name not in CODECS:
        raise InputError(unknown_name("codec", name, CODECS))
    return name


def pass_codec(audio: Signal, name: str) -> Signal:
    """Channels, shape (k, n), as they come out of a codec, at the same moments.

    ``ulaw`` and ``alaw`` are G.711 at 8 kHz, from 300 to 3400 Hz: shape (k, n // 2).
    """
    check_codec(name)
    if name in TELEPHONE:
        # Forwards and backwards, so that the band filter delays nothing.
        band = signal.butter(6, TELEPHONE_BAND_HZ, "bandpass", fs=RATE, output="sos")
        narrow = soxr.resample(signal.sosfiltfilt(band, audio).T, RATE, TELEPHONE_RATE_HZ).T
        wanted = audio.shape[1] // 2
        return np.stack(
            [_round_trip(_fit(c, wanted), 8000, "WAV", TELEPHONE[name]) for c in narrow]
        )
    # Each channel alone: joint stereo would mix one into the other.
    return np.stack([_round_trip(channel, RATE, *_LOSSY[name]) for channel in audio])


def _round_trip(channel: Signal, rate: int, container: str, encoding: str) -> Signal:
    held = io.BytesIO()
    try:
        sf.write(held, np.clip(channel, -1, 1), rate, format=container, subtype=encoding)
        held.seek(0)
        decoded, _ = sf.read(held, dtype="float64")
    except (sf.LibsndfileError, ValueError) as error:
        raise PrerequisiteError(
            f"{encoding} cannot be encoded here ({error}); install a libsndfile with it "
            "(pip install --upgrade soundfile)"
        ) from error
    return _fit(decoded, len(channel))


def _fit(channel: Signal, n: int) -> Signal:
    return np.pad(channel[:n], (0, max(n - len(channel), 0)))
