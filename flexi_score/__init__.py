"""flexi_score: score recordings of full-duplex conversations, offline.

>>> import flexi_score as fs
>>> run = fs.score("manifest.jsonl")  # doctest: +SKIP
>>> run.summary  # doctest: +SKIP

What the command line can do, the library can. Names are imported when they are first used, so that
``flexi-score --help`` does not wait for polars.
"""

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flexi_score.config import Settings, load_settings
    from flexi_score.errors import FlexiScoreError
    from flexi_score.exports import Exported, export, to_pyannote
    from flexi_score.report.build import build_report
    from flexi_score.report.notebook import run_html
    from flexi_score.report.show import RunPlots, show_timeline
    from flexi_score.report.write import write
    from flexi_score.scoring.pipeline import check, extract, score, score_tracks
    from flexi_score.scoring.run import Run, read_run
    from flexi_score.scoring.segments import score_segments, structure
    from flexi_score.version import __version__

#: Where each public name is defined.
_HOMES: Final = {
    "Exported": "exports",
    "FlexiScoreError": "errors",
    "Run": "scoring.run",
    "RunPlots": "report.show",
    "Settings": "config",
    "__version__": "version",
    "build_report": "report.build",
    "check": "scoring.pipeline",
    "export": "exports",
    "extract": "scoring.pipeline",
    "load_settings": "config",
    "read_run": "scoring.run",
    "run_html": "report.notebook",
    "score": "scoring.pipeline",
    "score_segments": "scoring.segments",
    "score_tracks": "scoring.pipeline",
    "show_timeline": "report.show",
    "structure": "scoring.segments",
    "to_pyannote": "exports",
    "write": "report.write",
}

__all__ = [
    "Exported",
    "FlexiScoreError",
    "Run",
    "RunPlots",
    "Settings",
    "__version__",
    "build_report",
    "check",
    "export",
    "extract",
    "load_settings",
    "read_run",
    "run_html",
    "score",
    "score_segments",
    "score_tracks",
    "show_timeline",
    "structure",
    "to_pyannote",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flexi_score' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"flexi_score.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
