"""Runs in the formats of other tools, and back: see :func:`export`."""

from flexi_score.exports.folder import Exported, export, to_pyannote

__all__ = ["Exported", "export", "to_pyannote"]
