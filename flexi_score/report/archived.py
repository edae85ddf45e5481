"""What an archive has of the recordings that the page draws: words, and the shape of the sound.

No audio is read: the envelope is the energy of every 10 ms that extraction found.
"""

import base64
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.archive.tables import ENVELOPE_MS
from flexi_score.config import Settings
from flexi_score.errors import ArchiveError
from flexi_score.report.timeline import names_in
from flexi_score.schema import SPEAKERS
from flexi_score.scoring.load import load_word_table

#: Energy that is drawn as nothing; a byte of an envelope counts up from it to full scale.
FLOOR_DB: Final = -90.0
#: Most points of one channel's envelope: of a minute every 10 ms, of ten minutes every 100 ms.
_POINTS: Final = 6000

_MISSING: Final = "Waveforms and the times of words are missing"


@dataclass(frozen=True)
class Archived:
    """Words (:data:`flexi_score.schema.WORDS`), and envelopes by recording.

    ``problem`` says why there are none.
    """

    words: pl.DataFrame | None = None
    envelopes: dict[str, dict[str, Any]] = field(default_factory=dict)
    problem: str | None = None


def read_archived(archive: Path | None, recordings: pl.Series, settings: Settings) -> Archived:
    """Read from an archive what is drawn of these recordings.

    An archive that is not there, or is damaged, costs the waveforms and the times of words, never
    the page: ``problem`` then says what happened.

    ``settings``: uses ``extract.asr`` (``none`` leaves recognised words out).
    """
    if archive is None:
        return Archived(problem=f"{_MISSING}: the run has no archive.")
    try:
        reader = ArchiveReader(archive)
        rows = reader.recordings(recordings)
        reader = reader.limited_to(rows)
        keys = pl.concat([rows[f"{s}_key"] for s in SPEAKERS]).drop_nulls()
        envelopes = reader.read("frames", keys, ["key", "envelope_cdb"])
        words = load_word_table(reader, rows, settings)
    except ArchiveError as error:
        return Archived(problem=f"{_MISSING}: {error}.")
    return Archived(words, _encoded(rows, envelopes))


def _encoded(rows: pl.DataFrame, table: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """``{"user": {"t": first ms, "step": ms, "e": base64}, "model": ...}`` of each recording."""
    keys = pl.concat([rows[f"{s}_key"] for s in SPEAKERS]).drop_nulls()
    table = table.filter(names_in("key", keys))
    flat = table["envelope_cdb"].explode().drop_nulls().to_numpy()
    sizes = table["envelope_cdb"].list.len().fill_null(0).to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    where = {
        key: (end - size, end)
        for key, size, end in zip(
            table["key"].to_list(), sizes.tolist(), ends.tolist(), strict=True
        )
    }
    envelopes: dict[str, dict[str, Any]] = {}
    columns = ["recording"]
    columns += [f"{s}_{name}" for s in SPEAKERS for name in ("key", "offset_ms")]
    for row in rows.select(columns).iter_rows(named=True):
        for speaker in SPEAKERS:
            span = where.get(row[f"{speaker}_key"])
            if span is not None and span[1] > span[0]:
                drawn = encode_envelope(flat[span[0] : span[1]])
                drawn["t"] = row[f"{speaker}_offset_ms"] or 0
                envelopes.setdefault(row["recording"], {})[speaker] = drawn
    return envelopes


def encode_envelope(envelope_cdb: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The loudest of every few steps, one byte each, base64.

    ``envelope_cdb`` (shape (n,)): energy of every 10 ms, in hundredths of a dB re full scale.
    Returns ``step`` in ms, and ``e``; a byte b stands for ``FLOOR_DB * (1 - b / 255)`` dB.
    """
    every = max(1, -(-len(envelope_cdb) // _POINTS))
    starts = np.arange(0, len(envelope_cdb), every)
    loudest = np.maximum.reduceat(envelope_cdb, starts) / 100
    level = np.rint(np.clip(1 - loudest / FLOOR_DB, 0, 1) * 255).astype(np.uint8)
    return {"step": every * ENVELOPE_MS, "e": base64.b64encode(level.tobytes()).decode()}
