"""Audio without a header: what its bytes mean, as a manifest or ``--raw`` says it."""

import re
from typing import Final, NamedTuple

from flexi_score.errors import RowError
from flexi_score.formats.files import brief

#: Encodings by the names that FFmpeg has for them; libsndfile's subtype and byte order.
ENCODINGS: Final = {
    "mulaw": ("ULAW", "FILE"),
    "alaw": ("ALAW", "FILE"),
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "f32le": ("FLOAT", "LITTLE"),
}
_FORM: Final = re.compile(rf"({'|'.join(ENCODINGS)}):([0-9]{{4,6}})(?::([0-9]{{1,2}}))?")


class Headerless(NamedTuple):
    """Encoding (a key of :data:`ENCODINGS`), sample rate and channels of audio without a header."""

    encoding: str
    sample_rate_hz: int
    n_channels: int


def parse_headerless(value: object) -> Headerless:
    """What ``encoding:rate`` or ``encoding:rate:channels`` says, as ``mulaw:8000`` (one channel).

    Raises
    ------
    RowError
        Where it says neither.

    Examples
    --------
    >>> parse_headerless("mulaw:8000:2")
    Headerless(encoding='mulaw', sample_rate_hz=8000, n_channels=2)
    """
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None or match[3] == "0":
        raise RowError(
            f"raw_audio: found {brief(value)}, expected ENCODING:RATE or ENCODING:RATE:CHANNELS, "
            f"as mulaw:8000 or mulaw:8000:2; encodings: {', '.join(ENCODINGS)}"
        )
    return Headerless(match[1], int(match[2]), int(match[3] or 1))
