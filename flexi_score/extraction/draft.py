"""A manifest of a folder, drafted from what is found there and from the headers of its audio."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flexi_score.audio.decode import probe
from flexi_score.errors import AudioError, InputError
from flexi_score.formats.contract import DEFAULT_SYSTEM
from flexi_score.formats.layouts import read_layout
from flexi_score.manifest import said_channels
from flexi_score.schema import SPEAKERS, Row


def draft_manifest(
    folder: str | Path,
    layout: str = "auto",
    system: str | None = None,
    *,
    channels: str | Sequence[str] | None = None,
    source: str | None = None,
) -> tuple[list[Row], list[str]]:
    """Rows of a manifest of a folder, to be written and edited, and what to look at before.

    The parameters are those of :func:`flexi_score.manifest.read_input`. ``channels`` is left out
    where it has to be filled in: files of one channel, or of more than two.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of recordings")
    said = said_channels(channels, source)
    listed = read_layout(folder, layout)
    rows, assumed = [], 0
    notes = [*listed.warnings, *(f"left out: {problem.reason}" for problem in listed.problems)]
    for sample in listed.samples:
        row = {"system": system or DEFAULT_SYSTEM, "scenario": "conversation", **sample.row}
        row = {"id": row.pop("id"), **{key: _below(row[key], folder) for key in row}}
        if "audio" in row and "channels" not in row:
            try:
                n = probe(folder / row["audio"]).n_channels
            except AudioError as error:
                notes.append(str(error))
                n = 0
            if said is not None:
                row["channels"] = dict(said[0])
            elif n == len(SPEAKERS):
                row["channels"] = {"user": 0, "model": 1}
                assumed += 1
            elif n:
                notes.append(
                    f"{row['audio']}: has {n} channel{'s' if n > 1 else ''}; fill in 'channels', "
                    'as {"user": 1, "model": 2}, or user_audio and model_audio'
                )
        rows.append({**row, **{key: v for key, v in sample.metadata.items() if key not in row}})
    if assumed:
        notes.append(
            f"nothing said who is on which channel (rows: {assumed}): the user is taken to be on "
            "channel 0 (left); listen to one, and exchange the numbers if it is the model"
        )
    return rows, notes


def _below(value: object, folder: Path) -> Any:
    """A path inside the folder as relative to it; anything else as it is."""
    if isinstance(value, str) and value.startswith(str(folder.absolute())):
        return Path(value).relative_to(folder.absolute()).as_posix()
    return value
