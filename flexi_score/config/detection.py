"""Settings of extraction, and of speech detection on an archive."""

from typing import Literal

from pydantic import model_validator

from flexi_score.config.fields import Group, choice, ms, number


class ExtractSettings(Group):
    """What the archive holds: changing one of these means reading the audio again."""

    normalize: bool = choice(
        True, "raise quiet speech before detection, by its own level", "flexi_score"
    )
    vad: Literal["silero", "pyannote"] = choice(
        "silero", "speech detector", "silero-vad 6.2; pyannote segmentation-3.0"
    )
    mono: Literal["refuse", "diarize"] = choice(
        "refuse", "one-channel files: refuse, or estimate who speaks when", "flexi_score"
    )
    mono_roles: Literal["first_is_user", "first_is_model", "longest_is_model"] = choice(
        "first_is_user", "which voice of a one-channel file is whose", "flexi_score"
    )
    asr: str = choice(
        "tiny.en",
        "recogniser: none, a packaged model's name, a Whisper name, or a path",
        "faster-whisper",
    )
    asr_words: Literal["all", "needed"] = choice(
        "all", "words to recognise: all, or needed: those that timing looks at", "flexi_score"
    )
    asr_needed_max_ms: int = ms(
        1500, "needed words are those of utterances of up to this", "backchannel.max_ms, with room"
    )
    language: str = choice(
        "auto",
        "spoken language (ISO 639-1); auto: detected in each channel, English where a model knows "
        "nothing else",
        "Whisper",
    )
    beam_size: int = number(1, "", "beams in recognition", "faster-whisper", 1, 20)
    compute_type: str = choice("int8", "arithmetic of the recogniser", "CTranslate2")
    device: Literal["auto", "cpu", "cuda"] = choice(
        "auto", "where the recogniser runs: auto takes a GPU where there is one", "CTranslate2"
    )


class SpeechSettings(Group):
    """Speech probabilities to speech segments: Silero's own hysteresis, then boundaries."""

    threshold: float = number(0.5, "probability", "speech starts at or above", "Silero", 0.0, 1.0)
    release: float = number(0.35, "probability", "speech ends below", "Silero", 0.0, 1.0)
    min_silence_ms: int = ms(0, "shorter silences inside speech are bridged", "Silero (100)")
    min_speech_ms: int = ms(0, "shorter segments are dropped", "Silero (250)")
    pad_ms: int = ms(0, "added on both sides of a segment", "Silero (30)")
    boundaries: bool = choice(
        True,
        "take the detector's lag off, and place clear boundaries by the 10 ms envelope",
        "flexi_score: model boundaries-3",
    )
    crosstalk: bool = choice(
        True, "detect without the other party's sound in this channel", "flexi_score"
    )

    @model_validator(mode="after")
    def _hysteresis(self) -> "SpeechSettings":
        if self.release > self.threshold:
            raise ValueError("speech.release must not exceed speech.threshold")
        return self
