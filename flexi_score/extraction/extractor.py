"""The loaded models of an extraction, and the settings they run under."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flexi_score.config import ExtractSettings
from flexi_score.segment.partial import mark_partial


@dataclass(frozen=True)
class Extractor:
    """Loaded models and the settings they run under; a part that is not needed is None."""

    settings: ExtractSettings
    detector: Any = None
    recognizer: Any = None
    recognizer_id: str = "none"
    diarizer: Any = None


@dataclass(frozen=True)
class Setup:
    """What a process needs to load its models."""

    settings: ExtractSettings
    archive: Path  # it is only read: what it holds is not made again
    #: detect, recognize: which models are needed
    detect: bool
    recognize: bool
    #: CPU threads of each model; 0: the machine's, divided by the number of workers
    threads: int = 0


def load_extractor(setup: Setup) -> Extractor:
    """Load the models that are needed; their packages are imported here.

    Raises PrerequisiteError where a package or weight is missing, SettingsError for a recogniser or
    language that cannot be.
    """
    settings, threads = setup.settings, setup.threads
    detector: Any = None
    recognizer = diarizer = None
    name = "none"
    if setup.detect and settings.mono == "diarize":
        from flexi_score.extraction.diarize import load_diarizer

        diarizer = load_diarizer(threads or None)
    if setup.detect and settings.vad == "pyannote":
        from flexi_score.extraction.pyannote_vad import load_pyannote_detector

        detector = load_pyannote_detector(threads or None)
    elif setup.detect:
        from flexi_score.extraction.probabilities import load_detector

        detector = load_detector(threads or None)
    if setup.recognize:
        from flexi_score.extraction.recognizer import load_recognizer

        recognizer = load_recognizer(settings, threads)
        name = recognizer.identity
        if settings.asr_words == "needed":
            name = mark_partial(name, settings.asr_needed_max_ms)
    return Extractor(settings, detector, recognizer, name, diarizer)
