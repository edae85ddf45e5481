"""Sound for the page: links to files that are there, or a small copy inside the page."""

import base64
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flexi_score.audio.decode import SAMPLE_RATE_HZ, read_blocks
from flexi_score.errors import AudioError
from flexi_score.schema import SPEAKERS

#: Bytes of all embedded sound (before base64, which adds a third).
MOST_BYTES: Final = 24_000_000
#: Opus as libsndfile counts it, from 256 (0) to 6 kbit/s (1) a channel: here 47 for two voices.
_COMPRESSION: Final = 0.93


def link_audio(recordings: pl.DataFrame, page: Path) -> dict[str, list[dict[str, Any]]]:
    """Where the page finds each recording's sound, as it lies beside the recordings.

    ``recordings``: :data:`flexi_score.schema.RECORDINGS`; without columns of audio nothing is
    linked. ``page``: the file that the links are in. Returns by recording: ``[{"src": relative URL,
    "t": first ms}]``, one file or one a speaker; recordings whose files are not there are absent.
    """
    linked = {}
    for row in recordings.iter_rows(named=True):
        files = [(row.get("audio"), 0)]
        if not row.get("audio"):
            files = [(row.get(f"{s}_audio"), row.get(f"{s}_offset_ms") or 0) for s in SPEAKERS]
        links = [(_relative(file, page), offset) for file, offset in files if file]
        if links and all(url is not None for url, _ in links):
            linked[row["recording"]] = [{"src": url, "t": offset} for url, offset in links]
    return linked


def _relative(file: str, page: Path) -> str | None:
    try:
        if not os.path.isfile(file):
            return None
        path = os.path.relpath(os.path.abspath(file), os.path.abspath(page.parent))
    except (OSError, ValueError):  # another drive, or no name of a file at all
        return None
    # With "./" no name of a folder can be taken for a scheme ("javascript:...").
    return "./" + quote(Path(path).as_posix(), errors="surrogateescape")


def embed_audio(
    recordings: Iterable[Mapping[str, Any]], most_bytes: int = MOST_BYTES
) -> tuple[dict[str, str], list[str]]:
    """Small copies of recordings, to be put into the page.

    ``recordings``: rows of :data:`flexi_score.schema.RECORDINGS`, in the order of their importance.
    ``most_bytes``: of all copies together; what would go beyond is left out. Returns ``sounds``:
    base64 of Ogg Opus by recording: user left, model right, from the recording's start;
    ``problems``: what could not be embedded, and why.
    """
    sounds: dict[str, str] = {}
    problems: list[str] = []
    used = 0
    for row in recordings:
        name = row["recording"]
        try:
            data = _opus(_stereo(row))
        except (AudioError, RuntimeError, OSError) as error:
            problems.append(f"{name}: {error}")
            continue
        if used + len(data) > most_bytes:
            problems.append(
                f"{name}: its sound ({len(data) / 1e6:.1f} MB) would bring the page's beyond "
                f"{most_bytes / 1e6:.0f} MB; embed fewer recordings"
            )
            continue
        used += len(data)
        sounds[name] = base64.b64encode(data).decode()
    return sounds, problems


def _stereo(row: Mapping[str, Any]) -> NDArray[np.float32]:
    """A recording at 16 kHz, shape (n, 2): user, model."""
    if row.get("audio"):
        second = row.get("model_channel")
        channels = [int(row.get("user_channel") or 0), 1 if second is None else int(second)]
        return np.concatenate([*read_blocks(row["audio"], channels), np.empty((0, 2), np.float32)])
    sides = []
    for speaker in SPEAKERS:
        file = row.get(f"{speaker}_audio")
        blocks = [*read_blocks(file, [0])] if file else []
        samples = np.concatenate([block[:, 0] for block in blocks] or [np.empty(0, np.float32)])
        shift = (row.get(f"{speaker}_offset_ms") or 0) * SAMPLE_RATE_HZ // 1000
        lead = np.zeros(max(shift, 0), np.float32)
        sides.append(np.concatenate([lead, samples[max(-shift, 0) :]]))
    if not any(map(len, sides)):
        raise AudioError("the recording has no audio")
    both = np.zeros((max(map(len, sides)), 2), np.float32)
    for column, side in enumerate(sides):
        both[: len(side), column] = side
    return both


def _opus(samples: NDArray[np.float32]) -> bytes:
    import soundfile as sf

    buffer = io.BytesIO()
    with sf.SoundFile(
        buffer, "w", SAMPLE_RATE_HZ, 2, format="OGG", subtype="OPUS", compression_level=_COMPRESSION
    ) as file:
        # In blocks: libsndfile's Opus encoder takes long ones onto the stack.
        for start in range(0, len(samples), SAMPLE_RATE_HZ):
            file.write(samples[start : start + SAMPLE_RATE_HZ])
    return buffer.getvalue()
