"""Settings of extraction, and of speech detection on an archive."""

from typing import Literal

from pydantic import model_validator

from flexi_score.config.fields import Group, choice, ms, number


class ExtractSettings(Group):
    """What the archive holds: changing one of these means reading the audio again."""

    normalize: bool = choice(
        True, "bring each channel's speech to target_level_dbfs before detection", "flexi_score"
    )
    target_level_dbfs: float = number(
        -23.0, "dBFS", "level of the loudest half second after normalisation", "EBU R 128", -60, 0
    )
    max_gain_db: float = number(
        60.0, "dB", "most gain that normalisation may apply", "flexi_score", 0, 100
    )
    silence_dbfs: float = number(
        -75.0,
        "dBFS",
        "a channel whose loudest half second is below this holds no speech and gets no gain",
        "flexi_score",
        -120,
        0,
    )
    vad: Literal["silero", "pyannote"] = choice(
        "silero", "speech detector", "silero-vad 6.2; pyannote segmentation-3.0"
    )
    vad_model: str | None = choice(
        None,
        "pyannote model in place of the packaged one: a path, or owner/name on the hub",
        "pyannote.audio",
    )
    mono: Literal["refuse", "diarize"] = choice(
        "refuse", "one-channel files: refuse, or estimate who speaks when", "flexi_score"
    )
    mono_model: str | None = choice(
        None,
        "pyannote pipeline in place of the packaged models: a path, or owner/name on the hub",
        "pyannote.audio",
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
    """Speech probabilities to speech segments: hysteresis, as Silero's own post-processing."""

    threshold: float = number(0.5, "probability", "speech starts at or above", "Silero", 0.0, 1.0)
    release: float = number(0.35, "probability", "speech ends below", "Silero", 0.0, 1.0)
    min_silence_ms: int = ms(0, "shorter silences inside speech are bridged", "Silero (100)")
    min_speech_ms: int = ms(0, "shorter segments are dropped", "Silero (250)")
    pad_ms: int = ms(0, "added on both sides of a segment", "Silero (30)")
    refine: bool = choice(
        True, "move boundaries onto the 10 ms energy envelope (flexi_score)", "flexi_score"
    )
    refine_depth_db: float = number(
        40.0, "dB", "speech reaches this far below its segment's level", "flexi_score", 6, 80
    )
    refine_margin_db: float = number(
        4.5, "dB", "... but not below the noise around a boundary plus this", "flexi_score", 0, 40
    )
    refine_reach_ms: int = ms(350, "a boundary moves at most this far outwards", "flexi_score")
    refine_split_ms: int = ms(
        200, "a silence this long inside a segment parts it", "ipu.min_silence_ms", 60
    )
    refine_split_db: float = number(
        24.0,
        "dB",
        "... where noise leaves the threshold at least this far below the segment's level: "
        "under louder noise weak speech looks like silence, and the detector knows better",
        "flexi_score",
        0,
        80,
    )
    refine_bridge_ms: int = ms(
        60, "loud runs closer than this are one: the closure of a stop is no silence", "flexi_score"
    )
    refine_island_ms: int = ms(40, "a shorter loud run is a click", "flexi_score")
    refine_breath_db: float = number(
        24.0,
        "dB",
        "a run further than this below its segment's level is a breath",
        "flexi_score",
        0,
        80,
    )
    refine_active_db: float = number(
        30.0,
        "dB",
        "frames within this of the loudest make up a segment's level",
        "flexi_score",
        0,
        120,
    )
    refine_floor_ms: int = ms(
        50, "noise around a boundary is the quietest stretch of this length", "flexi_score", 10
    )
    refine_floor_reach_ms: int = ms(
        600, "... outside speech and within this of the boundary", "flexi_score"
    )
    refine_hole_ms: int = ms(
        400,
        "in a shorter silence within speech there is breath rather than noise ...",
        "flexi_score",
    )
    refine_hole_db: float = number(
        12.0,
        "dB",
        "... which counts as noise up to this far above the noise of the channel",
        "flexi_score",
        0,
        80,
    )
    refine_headroom_db: float = number(
        6.0,
        "dB",
        "however loud the noise, a threshold lies this far below the segment's level",
        "flexi_score",
        0,
        80,
    )
    refine_early_ms: int = ms(
        60, "under such noise a start moves inwards by at most this", "Silero: p90 of its starts"
    )
    refine_late_ms: int = ms(
        90, "... and an end by at most this", "Silero: p90 of its ends, roughly"
    )
    refine_busy_share: float = number(
        0.04,
        "share",
        "a channel is busy if this much of what is far from speech is loud; then "
        "boundaries stay near ...",
        "flexi_score: clean speech 0, a street 0.08 or more",
        0,
        1,
    )
    refine_busy_probability: float = number(
        0.2, "probability", "... where the probability of speech passes this", "flexi_score", 0, 1
    )
    refine_busy_lead_ms: int = ms(
        60, "starts: at most this far before", "flexi_score: 99 % of starts in noise"
    )
    refine_busy_lag_ms: int = ms(
        0, "ends: at most this far after", "flexi_score: best of 0 to 60 on noises"
    )
    refine_busy_late_ms: int = ms(
        75, "... where noise hides the end: this far before", "flexi_score: median over noises"
    )
    background: bool = choice(
        True, "drop what does not rise clear of voices and noises behind the speaker", "flexi_score"
    )
    background_unsure_share: float = number(
        0.05,
        "share",
        "channels with at least so many frames of doubt have a background",
        "flexi_score: 0.035 at most in 95 % of clean channels",
        0,
        1,
    )
    background_unsure_probability: float = number(
        0.1, "probability", "a frame is in doubt from this on ...", "flexi_score", 0, 1
    )
    background_sure_probability: float = number(
        0.8, "probability", "... and below this", "flexi_score", 0, 1
    )
    background_far_ms: int = ms(
        100, "the background is what is at least this far from frames not in doubt", "flexi_score"
    )
    background_least_ms: int = ms(500, "... if there is this much of it", "flexi_score")
    background_percentile: float = number(
        90.0, "%", "... up to this percentile of its levels", "flexi_score", 0, 100
    )
    background_depth_db: float = number(
        30.0, "dB", "... and not further below the channel's active level", "flexi_score", 0, 120
    )
    background_steady_db: float = number(
        7.0,
        "dB",
        "... and if the median of its levels is no further below that: what is there "
        "at times may be speech that is hard to make out",
        "flexi_score: simulated crowds 3, of a few talkers more than 5",
        0,
        120,
    )
    background_edge_db: float = number(
        0.0, "dB", "speech begins and ends this far above it ...", "flexi_score", -20, 40
    )
    background_margin_db: float = number(
        3.0, "dB", "... and rises at least this far above it", "flexi_score", 0, 40
    )
    background_clear_ms: int = ms(50, "... for at least this long", "flexi_score")
    background_hole_ms: int = ms(
        150, "a shorter dip into the background does not part speech", "flexi_score"
    )
    background_crowd_share: float = number(
        0.9,
        "share",
        "where this much is detected, it may be a crowd: no voice pauses so little",
        "flexi_score",
        0,
        1,
    )
    background_crowd_db: float = number(
        8.0,
        "dB",
        "... if its levels (5 to 95 %) vary by less: nobody speaks in front of it",
        "flexi_score",
        0,
        80,
    )
    background_crowd_rise_db: float = number(
        4.5,
        "dB",
        "... otherwise, what is this far above the 10 % weakest of it is background ...",
        "flexi_score: 90 % of babble is",
        0,
        80,
    )
    background_crowd_weak_ms: int = ms(
        600, "... if it stays below that for this long", "flexi_score: one voice does for 510 ms"
    )
    background_crowd_ms: int = ms(5000, "... and there is at least this much of it", "flexi_score")
    background_faint_db: float = number(
        15.0,
        "dB",
        "a segment further than this below its channel's active level is none ...",
        "flexi_score",
        0,
        120,
    )
    background_faint_probability: float = number(
        0.8, "probability", "... if on average its probability is below this", "flexi_score", 0, 1
    )
    crosstalk: bool = choice(
        True, "detect without the other party's sound in this channel", "flexi_score"
    )

    @model_validator(mode="after")
    def _hysteresis(self) -> "SpeechSettings":
        if self.release > self.threshold:
            raise ValueError("speech.release must not exceed speech.threshold")
        return self
