"""pyannote annotations of a run's speech."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flexi_score.errors import PrerequisiteError
from flexi_score.exports.source import load_source
from flexi_score.schema import SPEAKERS
from flexi_score.scoring.run import Run


def to_pyannote(run: str | Path | Run, recordings: Sequence[str] | None = None) -> dict[str, Any]:
    """IPUs as pyannote annotations.

    Parameters
    ----------
    run : path or Run
        A run folder, or what :func:`flexi_score.score` returned.
    recordings : sequence of str, optional
        Ids of those wanted; all if not given.

    Returns
    -------
    dict of str to pyannote.core.Annotation
        By recording; labels are ``user`` and ``model``, times are in seconds, the URI is the name
        of the recording's exported files.

    Raises
    ------
    PrerequisiteError
        If pyannote.core is not installed.
    """
    try:
        from pyannote.core import Annotation, Segment
    except ImportError as error:
        raise PrerequisiteError(
            "pyannote.core is not installed: pip install pyannote.core (export in the format "
            "pyannote needs nothing: it writes RTTM and UEM)"
        ) from error
    found = {}
    for recording in load_source(run, recordings):
        annotation = Annotation(uri=recording.name)
        for speaker in SPEAKERS:
            for i, (start, end, *_) in enumerate(recording.spans("ipu", speaker)):
                annotation[Segment(start / 1000, end / 1000), f"{speaker}{i}"] = speaker
        found[recording.id] = annotation
    return found
