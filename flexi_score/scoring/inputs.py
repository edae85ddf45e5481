"""What :func:`flexi_score.score` takes: paths, frames, rows, or arrays with a sample rate."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
import soundfile as sf
from numpy.typing import ArrayLike, NDArray

from flexi_score.errors import InputError
from flexi_score.manifest import Manifest, read_input
from flexi_score.output import write_text

#: Keys of a manifest row that are paths, relative to the working directory where rows are given.
_PATHS: Final = (
    "audio",
    *(f"{side}_{what}" for side in ("user", "model") for what in ("audio", "words", "speech")),
)


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording in memory.

    Attributes
    ----------
    user, model : array of shape (n,)
        Samples of each channel from the same start: floats in [-1, 1], or integers of full scale.
        The shorter one is filled up with silence.
    rate : int
        Sample rate in Hz.
    id, system, scenario : str
        As in a manifest.
    annotations, text : mapping
        As in a manifest; times in seconds.
    metadata : mapping
        Further keys of the manifest row, as ``user_words``.

    Examples
    --------
    >>> import numpy as np
    >>> import flexi_score as fs
    >>> silence = np.zeros(16_000)
    >>> call = fs.Recording(user=silence, model=silence, rate=16_000, id="call-1", system="a")
    >>> fs.score(call)  # doctest: +SKIP
    """

    user: ArrayLike
    model: ArrayLike
    rate: int
    id: str = "recording"
    system: str = "model"
    scenario: str = "conversation"
    annotations: Mapping[str, Any] = field(default_factory=dict)
    text: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)


#: What can be scored.
Source: TypeAlias = (
    str
    | Path
    | Manifest
    | pl.DataFrame
    | Recording
    | Sequence[str | Path | Recording | Mapping[str, Any]]
)


def read_source(source: Source, folder: Path, layout: str = "auto") -> Manifest:
    """The manifest of what is to be scored.

    ``source``: a manifest, a folder of recordings or an audio file; rows of a manifest, as a frame
    or as mappings; recordings in memory, which are written into ``folder``; or a list of audio
    files, rows and recordings.
    """
    if isinstance(source, Manifest):
        return source
    if isinstance(source, str | Path):
        return read_input(source, layout)
    if isinstance(source, pl.DataFrame):
        rows = [_absolute(_without_nulls(row)) for row in source.to_dicts()]
    elif isinstance(source, Recording):
        rows = [_stored(source, folder, 0)]
    elif isinstance(source, Sequence):
        rows = [_row(item, folder, number) for number, item in enumerate(source)]
    else:
        raise InputError(
            f"cannot score {type(source).__name__}: expected a path, a frame of manifest rows, a "
            "flexi_score.Recording, or a list of these"
        )
    if not rows:
        raise InputError("nothing to score: the list of recordings is empty")
    manifest = folder / "manifest.jsonl"
    lines = [json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in rows]
    return read_input(write_text(manifest, "".join(lines)))


def _row(item: object, folder: Path, number: int) -> dict[str, Any]:
    if isinstance(item, Recording):
        return _stored(item, folder, number)
    if isinstance(item, Mapping):
        return _absolute(dict(item))
    if isinstance(item, str | Path):
        return {"id": Path(item).stem, "audio": os.path.abspath(item)}
    raise InputError(
        f"item {number}: cannot score {type(item).__name__}: expected an audio file, a manifest "
        "row or a flexi_score.Recording"
    )


def _without_nulls(row: Mapping[str, Any]) -> dict[str, Any]:
    """A frame has null where a row has no such key."""
    return {key: value for key, value in row.items() if value is not None}


def _absolute(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        key: os.path.abspath(row[key])
        for key in _PATHS
        if isinstance(row.get(key), str | Path) and "://" not in str(row[key])
    }


def _stored(recording: Recording, folder: Path, number: int) -> dict[str, Any]:
    """The manifest row of a recording in memory, whose samples are written into a file."""
    channels = [_samples(recording, side) for side in ("user", "model")]
    length = max(len(channel) for channel in channels)
    both = np.zeros((length, 2), np.float32)
    for column, channel in enumerate(channels):
        both[: len(channel), column] = channel
    path = folder / f"{number}.wav"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(path, both, recording.rate, subtype="FLOAT")
    except (OSError, sf.SoundFileError, TypeError, ValueError) as error:
        raise InputError(
            f"recording {recording.id!r}: cannot be written as audio ({error}); rate: found "
            f"{recording.rate!r}, expected a sample rate in Hz"
        ) from error
    row = {
        "id": recording.id,
        "system": recording.system,
        "scenario": recording.scenario,
        "audio": str(path),
        "annotations": dict(recording.annotations),
        "text": dict(recording.text),
    }
    return _absolute(dict(recording.metadata)) | {k: v for k, v in row.items() if v != {}}


def _samples(recording: Recording, side: str) -> NDArray[np.float32]:
    """Samples of one channel, full scale 1."""
    samples = np.asarray(getattr(recording, side))
    where = f"recording {recording.id!r}, {side}"
    if samples.ndim != 1 or samples.dtype.kind not in "fiu":
        raise InputError(
            f"{where}: found an array of shape {samples.shape} and type {samples.dtype}, expected "
            "numbers of shape (n,): one channel"
        )
    if samples.dtype.kind == "f":
        if not np.isfinite(samples).all():
            raise InputError(f"{where}: holds samples that are not finite; expected -1 to 1")
        if len(samples) and np.abs(samples).max() > 8:  # a little over full scale is clipping
            raise InputError(
                f"{where}: found samples up to {np.abs(samples).max():g}, expected -1 to 1; divide "
                "by the full scale, or give integers of their own type (int16)"
            )
        return samples.astype(np.float32)
    limits = np.iinfo(samples.dtype)
    middle = 0 if samples.dtype.kind == "i" else (limits.max + 1) / 2
    return ((samples.astype(np.float64) - middle) / (limits.max + 1 - middle)).astype(np.float32)
