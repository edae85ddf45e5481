"""What a number comes from: the settings, versions, models and counts of run.json."""

import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from flexi_score.archive.reader import ArchiveReader
from flexi_score.config import Settings, flatten, signature
from flexi_score.segment.estimated import estimated_note, estimated_recordings
from flexi_score.speech.detect import BOUNDARIES_VERSION
from flexi_score.version import package_version


def run_info(
    settings: Settings, recordings: pl.DataFrame, failures: pl.DataFrame, facts: Mapping[str, str]
) -> dict[str, Any]:
    """What goes into run.json: settings, signature, versions, models, counts."""
    version = package_version()
    named = {**facts, "version": version}
    return {
        "signature": signature(settings, named),
        "profile": settings.profile,
        "settings": flatten(settings),
        "models": dict(facts),
        "versions": {
            "flexi_score": version,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "polars": pl.__version__,
        },
        "platform": sys.platform,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "recordings": len(recordings),
        "failed": len(failures),
        "estimated": len(estimated_recordings(recordings)),
        "notes": estimated_note(recordings),
    }


def model_facts(reader: ArchiveReader, rows: pl.DataFrame, asr: str) -> dict[str, str]:
    """Which detector and recogniser stand behind these recordings of an archive.

    With `asr` ``none``, words that were recognised are in the archive but not used.
    """
    detectors = _named(reader, "channels", "detector", rows, ("user_key", "model_key"))
    sources = _named(reader, "words", "source", rows, ("user_words_key", "model_words_key"))
    if asr == "none":
        sources = "+".join(source for source in sources.split("+") if source == "file")
    crosstalk = _named(
        reader, "crosstalk", "algorithm", rows, ("user_crosstalk_key", "model_crosstalk_key")
    )
    facts = {"vad": detectors or "given", "asr": sources or "none"}
    facts |= {"crosstalk": crosstalk} if crosstalk else {}
    return facts | ({"boundaries": f"boundaries-{BOUNDARIES_VERSION}"} if detectors else {})


def _named(
    reader: ArchiveReader, table: str, column: str, rows: pl.DataFrame, keys: tuple[str, str]
) -> str:
    """Every value of a column among what these recordings link to, joined by plus signs."""
    wanted = pl.concat([rows[key] for key in keys]).drop_nulls().unique()
    named = reader.read(table, columns=["key", column])
    values = named.filter(pl.col("key").is_in(wanted.implode()))[column]
    return "+".join(sorted(values.unique().drop_nulls()))


def health_counts(health: pl.DataFrame, refused: pl.DataFrame) -> dict[str, Any]:
    """What the gate found, for run.json: recordings left out, and warnings by check."""
    bad = health.filter(pl.col("verdict") != "fine")
    by_check = bad.group_by("check", "verdict", maintain_order=True).agg(
        n=pl.col("recording").n_unique()
    )
    return {
        "excluded": len(refused),
        "health": {f"{check}.{verdict}": n for check, verdict, n in by_check.iter_rows()},
    }
