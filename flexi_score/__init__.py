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
    from flexi_score.scoring.compare import compare
    from flexi_score.scoring.engine import Work
    from flexi_score.scoring.inputs import Recording
    from flexi_score.scoring.pipeline import check, extract, score, score_tracks
    from flexi_score.scoring.run import Run, read_run
    from flexi_score.scoring.segments import score_segments, structure
    from flexi_score.simulate import simulate
    from flexi_score.sweep import sweep
    from flexi_score.validate import read_truth, validate
    from flexi_score.validate.report import validation_html
    from flexi_score.version import __version__

#: Where each public name is defined.
_HOMES: Final = {
    "Exported": "exports",
    "FlexiScoreError": "errors",
    "Recording": "scoring.inputs",
    "Run": "scoring.run",
    "RunPlots": "report.show",
    "Settings": "config",
    "Work": "scoring.engine",
    "__version__": "version",
    "build_report": "report.build",
    "check": "scoring.pipeline",
    "compare": "scoring.compare",
    "export": "exports",
    "extract": "scoring.pipeline",
    "load_settings": "config",
    "read_run": "scoring.run",
    "read_truth": "validate",
    "run_html": "report.notebook",
    "score": "scoring.pipeline",
    "score_segments": "scoring.segments",
    "score_tracks": "scoring.pipeline",
    "show_timeline": "report.show",
    "simulate": "simulate",
    "structure": "scoring.segments",
    "sweep": "sweep",
    "to_pyannote": "exports",
    "validate": "validate",
    "validation_html": "validate.report",
    "write": "report.write",
}

__all__ = [
    "Exported",
    "FlexiScoreError",
    "Recording",
    "Run",
    "RunPlots",
    "Settings",
    "Work",
    "__version__",
    "build_report",
    "check",
    "compare",
    "export",
    "extract",
    "load_settings",
    "read_run",
    "read_truth",
    "run_html",
    "score",
    "score_segments",
    "score_tracks",
    "show_timeline",
    "simulate",
    "structure",
    "sweep",
    "to_pyannote",
    "validate",
    "validation_html",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flexi_score' has no attribute {name!r}")
    module = importlib.import_module(f"flexi_score.{_HOMES[name]}")
    if _HOMES[name] == name:  # a package that is called as its function
        return module
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
