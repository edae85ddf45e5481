"""The loaded models of an extraction, and the settings they run under."""

from dataclasses import dataclass
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


def load_extractor(
    settings: ExtractSettings, *, detect: bool, recognize: bool, threads: int = 0
) -> Extractor:
    """Load the models that are needed."""
    detector: Any = None
    recognizer = diarizer = None
    name = "none"
    if detect and settings.mono == "diarize":
        from flexi_score.extraction.diarize import load_diarizer

        diarizer = load_diarizer(threads or None)
    if detect and settings.vad == "pyannote":
        from flexi_score.extraction.pyannote_vad import load_pyannote_detector

        detector = load_pyannote_detector(threads or None)
    elif detect:
        from flexi_score.extraction.probabilities import load_detector

        detector = load_detector(threads or None)
    if recognize:
        from flexi_score.extraction.recognizer import load_recognizer

        recognizer = load_recognizer(
            settings.asr,
            language=settings.language,
            compute_type=settings.compute_type,
            beam_size=settings.beam_size,
            threads=threads,
            device=settings.device,
        )
        name = recognizer.identity
        if settings.asr_words == "needed":
            name = mark_partial(name, settings.asr_needed_max_ms)
    return Extractor(settings, detector, recognizer, name, diarizer)
