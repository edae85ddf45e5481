"""flexi_score: score recordings of full-duplex conversations, offline.

>>> import flexi_score
>>> run = flexi_score.score("manifest.jsonl")  # doctest: +SKIP
>>> run.summary  # doctest: +SKIP

What the command line can do, the library can: :func:`extract`, :func:`score`, :func:`write`,
:func:`build_report`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flexi_score.config import Settings, load_settings
    from flexi_score.errors import FlexiScoreError
    from flexi_score.exports import Exported, export, to_pyannote
    from flexi_score.report.build import build_report
    from flexi_score.scoring.pipeline import Run, check, extract, score, score_tracks, write

__all__ = [
    "Exported",
    "FlexiScoreError",
    "Run",
    "Settings",
    "build_report",
    "check",
    "export",
    "extract",
    "load_settings",
    "score",
    "score_tracks",
    "to_pyannote",
    "write",
]

_HOMES = {
    "Exported": "flexi_score.exports",
    "export": "flexi_score.exports",
    "to_pyannote": "flexi_score.exports",
    "build_report": "flexi_score.report.build",
    "FlexiScoreError": "flexi_score.errors",
    "Settings": "flexi_score.config",
    "load_settings": "flexi_score.config",
    "Run": "flexi_score.scoring.pipeline",
    "check": "flexi_score.scoring.pipeline",
    "extract": "flexi_score.scoring.pipeline",
    "score": "flexi_score.scoring.pipeline",
    "score_tracks": "flexi_score.scoring.pipeline",
    "write": "flexi_score.scoring.pipeline",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use, so that `flexi-score --help` does not wait for polars.
    if name not in _HOMES:
        raise AttributeError(f"module 'flexi_score' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
