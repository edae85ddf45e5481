"""Every number and choice that changes a result, as one typed, immutable object.

A setting is named ``group.name``, with its unit in the name where it has one. The same names
work in :func:`apply_settings`, in ``--set group.name=value`` and in a profile file. Settings
under ``extract`` need the audio to take effect; every other one can be changed on an archive.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from flexi_score.errors import SettingsError

PROFILES: Final = ("paper", "release", "fdb-v1", "tau")


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _number(default: float, unit: str, text: str, source: str, ge: float, le: float) -> Any:
    extra: Any = {"unit": unit, "source": source}
    return Field(default, ge=ge, le=le, description=text, json_schema_extra=extra)


def _ms(default: int, text: str, source: str, ge: int = 0) -> Any:
    return _number(default, "ms", text, source, ge, 3_600_000)


def _choice(default: Any, text: str, source: str) -> Any:
    return Field(default, description=text, json_schema_extra={"unit": "", "source": source})


class ExtractSettings(_Group):
    """What the archive holds: changing one of these means reading the audio again."""

    normalize: bool = _choice(
        True, "bring each channel's speech to target_level_dbfs before detection", "flexi_score"
    )
    target_level_dbfs: float = _number(
        -23.0, "dBFS", "level of the loudest half second after normalisation", "EBU R 128", -60, 0
    )
    max_gain_db: float = _number(
        60.0, "dB", "most gain that normalisation may apply", "flexi_score", 0, 100
    )
    silence_dbfs: float = _number(
        -75.0,
        "dBFS",
        "a channel whose loudest half second is below this holds no speech and gets no gain",
        "flexi_score",
        -120,
        0,
    )
    vad: Literal["silero", "pyannote"] = _choice(
        "silero", "speech detector", "silero-vad 6.2; pyannote segmentation-3.0"
    )
    vad_model: str | None = _choice(
        None, "pyannote model in place of the packaged one: a path, or owner/name on the hub",
        "pyannote.audio",
    )  # fmt: skip
    mono: Literal["refuse", "diarize"] = _choice(
        "refuse", "one-channel files: refuse, or estimate who speaks when", "flexi_score"
    )
    mono_model: str | None = _choice(
        None,
        "pyannote pipeline in place of the packaged models: a path, or owner/name on the hub",
        "pyannote.audio",
    )
    mono_roles: Literal["first_is_user", "first_is_model", "longest_is_model"] = _choice(
        "first_is_user", "which voice of a one-channel file is whose", "flexi_score"
    )
    asr: str = _choice(
        "tiny.en",
        "recogniser: none, a packaged model's name, a Whisper name, or a path",
        "faster-whisper",
    )
    asr_words: Literal["all", "needed"] = _choice(
        "all", "words to recognise: all, or needed: those that timing looks at", "flexi_score"
    )
    asr_needed_max_ms: int = _ms(
        1500, "needed words are those of utterances of up to this", "backchannel.max_ms, with room"
    )
    language: str = _choice("en", "spoken language (ISO 639-1), or auto to detect it", "Whisper")
    beam_size: int = _number(1, "", "beams in recognition", "faster-whisper", 1, 20)
    compute_type: str = _choice("int8", "arithmetic of the recogniser", "CTranslate2")
    device: Literal["auto", "cpu", "cuda"] = _choice(
        "auto", "where the recogniser runs: auto takes a GPU where there is one", "CTranslate2"
    )


class SpeechSettings(_Group):
    """Speech probabilities to speech segments: hysteresis, as Silero's own post-processing."""

    threshold: float = _number(0.5, "probability", "speech starts at or above", "Silero", 0.0, 1.0)
    release: float = _number(0.35, "probability", "speech ends below", "Silero", 0.0, 1.0)
    min_silence_ms: int = _ms(0, "shorter silences inside speech are bridged", "Silero (100)")
    min_speech_ms: int = _ms(0, "shorter segments are dropped", "Silero (250)")
    pad_ms: int = _ms(0, "added on both sides of a segment", "Silero (30)")
    refine: bool = _choice(
        True, "move boundaries onto the 10 ms energy envelope (flexi_score)", "flexi_score"
    )
    refine_depth_db: float = _number(
        40.0, "dB", "speech reaches this far below its segment's level", "flexi_score", 6, 80
    )
    refine_margin_db: float = _number(
        4.5, "dB", "... but not below the noise around a boundary plus this", "flexi_score", 0, 40
    )
    refine_reach_ms: int = _ms(350, "a boundary moves at most this far outwards", "flexi_score")
    refine_split_ms: int = _ms(
        200, "a silence this long inside a segment parts it", "ipu.min_silence_ms", 60
    )
    bleed: bool = _choice(True, "drop speech that the other channel's leak explains", "flexi_score")
    bleed_margin_db: float = _number(
        6.0, "dB", "own speech rises this far above what is left of a leak", "flexi_score", 0, 40
    )

    @model_validator(mode="after")
    def _hysteresis(self) -> "SpeechSettings":
        if self.release > self.threshold:
            raise ValueError("speech.release must not exceed speech.threshold")
        return self


def _limit(default: float | None, unit: str, text: str, source: str = "flexi_score") -> Any:
    extra: Any = {"unit": unit, "source": source}
    return Field(default, ge=-1e6, le=1e6, description=text, json_schema_extra=extra)


class HealthSettings(_Group):
    """What a capture must show to be scored, and what is worth a warning; null is never.

    A recording beyond a ``refuse`` limit is left out of every score, one beyond a ``warn`` limit
    is scored and named.
    """

    gate: bool = _choice(True, "leave out what a refuse limit refuses", "flexi_score")
    allow_dead: bool = _choice(
        False,
        "score a channel whose samples are all equal as silence; else it is a failed capture",
        "flexi_score",
    )
    copied_warn: float | None = _limit(0.9, "", "likeness of the channels, |r|, at or above")
    copied_refuse: float | None = _limit(0.98, "", "likewise, and leaves it out")
    copied_gain_db: float = _number(
        12.0,
        "dB",
        "one channel that is alike but further below the other than this holds its leak",
        "flexi_score",
        0,
        120,
    )
    swapped_warn: float | None = _limit(
        0.5, "", "evidence for the other channel minus that for the channel named, at or above"
    )
    swapped_refuse: float | None = _limit(None, "", "likewise, and leaves it out")
    bleed_warn_db: float | None = _limit(-20.0, "dB", "leak against its source, at or above")
    bleed_refuse_db: float | None = _limit(None, "dB", "likewise, and leaves it out")
    clipping_warn: float | None = _limit(0.0005, "share", "clipped samples, at or above")
    clipping_refuse: float | None = _limit(None, "share", "likewise, and leaves it out")
    level_low_warn_dbfs: float | None = _limit(-60.0, "dBFS", "loudest half second, at or below")
    level_low_refuse_dbfs: float | None = _limit(None, "dBFS", "likewise, and leaves it out")
    level_high_warn_dbfs: float | None = _limit(-6.0, "dBFS", "loudest half second, at or above")
    level_high_refuse_dbfs: float | None = _limit(None, "dBFS", "likewise, and leaves it out")
    snr_warn_db: float | None = _limit(
        20.0, "dB", "loudest half second over the tenth percentile of 10 ms levels, at or below"
    )
    snr_refuse_db: float | None = _limit(None, "dB", "likewise, and leaves it out")
    band_warn_hz: float | None = _limit(
        4100.0,
        "Hz",
        "highest 250 Hz band within 40 dB of the strongest, at or below",
        "ITU-T G.711",
    )
    band_refuse_hz: float | None = _limit(None, "Hz", "likewise, and leaves it out")
    length_warn_ms: float | None = _limit(1000, "ms", "difference of a pair's ends, at or above")
    length_refuse_ms: float | None = _limit(None, "ms", "likewise, and leaves it out")
    offset_warn_ms: float | None = _limit(
        20, "ms", "a pair's leak comes before its source by this, at or above"
    )
    offset_refuse_ms: float | None = _limit(None, "ms", "likewise, and leaves it out")
    drift_warn_ms: float | None = _limit(
        20, "ms", "a pair's clocks part by this over the recording, at or above"
    )
    drift_refuse_ms: float | None = _limit(None, "ms", "likewise, and leaves it out")
    dropouts_warn_ms: float | None = _limit(
        20, "ms", "runs of 5 to 400 ms of exact zeros inside speech, in all, at or above"
    )
    dropouts_refuse_ms: float | None = _limit(None, "ms", "likewise, and leaves it out")
    short_warn_s: float | None = _limit(2.0, "s", "length of the recording, at or below")
    short_refuse_s: float | None = _limit(0.5, "s", "likewise, and leaves it out")
    truncated_warn_ms: float | None = _limit(
        30, "ms", "silence between a channel's last speech and its end, at or below"
    )
    truncated_refuse_ms: float | None = _limit(None, "ms", "likewise, and leaves it out")
    silent_warn_dbfs: float | None = _limit(
        -85.0, "dBFS", "a channel without speech that is this quiet may be muted, at or below"
    )
    silent_refuse_dbfs: float | None = _limit(None, "dBFS", "likewise, and leaves it out")


class IpuSettings(_Group):
    """Speech to inter-pausal units."""

    min_silence_ms: int = _ms(
        200, "shorter silences inside one channel are bridged", "dGSLM (Nguyen et al. 2022)"
    )
    min_speech_ms: int = _ms(90, "shorter runs are dropped", "Heldner & Edlund 2010")
    word_reach_ms: int = _ms(300, "a word this far outside every IPU still counts", "flexi_score")


class BackchannelSettings(_Group):
    """What is too short to take the floor."""

    max_ms: int = _ms(1000, "longest backchannel, first start to last end", "Full-Duplex-Bench")
    max_words: int = _number(3, "words", "most words of a backchannel", "Full-Duplex-Bench", 0, 100)
    max_pause_ms: int = _ms(
        2000,
        "an utterance that starts after the holder of the turn has been silent longer than this "
        "claims the floor, however short it is",
        "flexi_score",
    )


class TakeoverSettings(_Group):
    """The group of model IPUs that counts as taking the floor (paper eq. 7)."""

    group_ms: int = _ms(1000, "IPUs closer than this form one group", "flexi_score", 1)


class YieldSettings(_Group):
    """When the model has yielded."""

    hold_ms: int = _ms(500, "shortest silence that counts as a yield", "paper (b1 < b2)")
    late_window_ms: int = _ms(
        2000, "after a short interruption, the model must fall silent within this", "tau-voice"
    )
    late_hold_ms: int = _ms(1000, "shortest silence of such a late yield", "VAP")


class PauseHandlingSettings(_Group):
    """Scenario pause_handling."""

    mean_latency_s: float | None = Field(
        None,
        ge=0,
        le=600,
        description="L, added to the pause; unset: the same system's mean turn_taking latency",
        json_schema_extra={"unit": "s", "source": "paper section 2.2"},
    )


class ModelInterruptSettings(_Group):
    """Scenario model_interrupt."""

    min_lead_ms: int = _ms(500, "a takeover this long before the turn end interrupts", "release")


class UserBackchannelSettings(_Group):
    """Scenario user_backchannel."""

    stop_window_ms: int = _ms(
        1000, "a stop up to this long after the backchannel counts", "paper section 2.2"
    )
    resume_ms: int = _ms(1000, "resumed if it speaks again within this", "paper section 2.2")


class ModelBackchannelSettings(_Group):
    """Scenario model_backchannel."""

    window_ms: int = _ms(200, "window of the backchannel distributions", "paper eq. 8", 1)


class ConversationSettings(_Group):
    """Scenario conversation: the paper's levels of interaction."""

    level_1_ms: int = _ms(150, "a response below this is level 1", "FLEXI paper, section 1")
    level_2_ms: int = _ms(400, "one below this is level 2, others 3", "FLEXI paper, section 1")

    @model_validator(mode="after")
    def _ordered(self) -> "ConversationSettings":
        if self.level_1_ms > self.level_2_ms:
            raise ValueError("conversation.level_1_ms must not exceed conversation.level_2_ms")
        return self


class FdbSettings(_Group):
    """Profile fdb-v1: segments of Full-Duplex-Bench v1.5's timing script."""

    user_merge_ms: int = _ms(
        600, "user segments at most this far apart are one", "Full-Duplex-Bench v1.5, get_timing.py"
    )
    model_merge_ms: int = _ms(
        500, "model segments, likewise", "Full-Duplex-Bench v1.5, get_timing.py"
    )
    stop_window_ms: int = _ms(
        1000, "the model stops for the overlap up to this long after its end", "flexi_score"
    )


class TauSettings(_Group):
    """Profile tau: windows of the tau-voice panel."""

    yield_window_ms: int = _ms(2000, "the model yields if it stops within this", "tau-voice")
    stop_window_ms: int = _ms(
        1000, "the model talks through what it should ignore if it does not stop within this",
        "tau-voice",
    )  # fmt: skip
    response_window_ms: int = _ms(
        2000, "it leaves that unanswered if it does not start within this of its end", "tau-voice"
    )
    min_events: int = _number(10, "events", "rates on fewer are hidden", "tau-voice", 0, 1_000_000)


class JudgeSettings(_Group):
    """What timing cannot tell."""

    mode: Literal["none", "replay"] = _choice(
        "none", "none, or replay: ratings that came with the recordings", "flexi_score"
    )


class SummarySettings(_Group):
    """How recordings are added up."""

    confidence: float = _number(0.95, "", "level of the intervals", "convention", 0.5, 0.9999)
    resamples: int = _number(2000, "", "bootstrap resamples for means", "Efron", 100, 1_000_000)
    seed: int = _number(0, "", "seed of the bootstrap", "flexi_score", 0, 2**31 - 1)
    few: int = _number(10, "recordings", "rows on fewer are marked", "tau-voice", 0, 10_000)
    boundary_error_s: float = _number(
        0.025,
        "s",
        "outcomes no further than this from their threshold are counted as near",
        "flexi_score validate on the sample recordings: all 232 boundaries are off by less, 90 % "
        "of them by 7 ms or less; leaves room for noise and leaks",
        0,
        60,
    )
    cluster: str | None = _choice(
        None, "metadata key whose recordings are resampled together (a session)", "flexi_score"
    )


class Settings(_Group):
    """All settings. ``profile`` chooses the definitions, the groups hold their numbers."""

    profile: Literal["paper", "release", "fdb-v1", "tau"] = _choice(
        "paper", "set of definitions", "flexi_score"
    )
    extract: ExtractSettings = ExtractSettings()
    health: HealthSettings = HealthSettings()
    speech: SpeechSettings = SpeechSettings()
    ipu: IpuSettings = IpuSettings()
    backchannel: BackchannelSettings = BackchannelSettings()
    takeover: TakeoverSettings = TakeoverSettings()
    yield_: YieldSettings = Field(YieldSettings(), alias="yield")
    pause_handling: PauseHandlingSettings = PauseHandlingSettings()
    model_interrupt: ModelInterruptSettings = ModelInterruptSettings()
    user_backchannel: UserBackchannelSettings = UserBackchannelSettings()
    model_backchannel: ModelBackchannelSettings = ModelBackchannelSettings()
    conversation: ConversationSettings = ConversationSettings()
    fdb: FdbSettings = FdbSettings()
    tau: TauSettings = TauSettings()
    judge: JudgeSettings = JudgeSettings()
    summary: SummarySettings = SummarySettings()


def setting_names() -> dict[str, Any]:
    """Name of every setting and its pydantic field (description, default, unit, source)."""
    names: dict[str, Any] = {}
    for group_name, group in Settings.model_fields.items():
        label = group.alias or group_name
        if isinstance(group.default, _Group):
            for name, field in type(group.default).model_fields.items():
                names[f"{label}.{name}"] = field
        else:
            names[label] = group
    return names


def flatten(settings: Settings) -> dict[str, Any]:
    """Settings as ``{"group.name": value}``, in a fixed order."""
    flat: dict[str, Any] = {}
    for key, value in settings.model_dump(by_alias=True).items():
        if isinstance(value, dict):
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
        else:
            flat[key] = value
    return flat


def load_settings(profile: str = "paper", changes: Mapping[str, Any] | None = None) -> Settings:
    """Settings of a profile, with changes by name.

    Parameters
    ----------
    profile : str
        One of :data:`PROFILES`.
    changes : mapping, optional
        ``{"ipu.min_silence_ms": 180, ...}``; values may be strings, as from the command line.

    Raises
    ------
    SettingsError
        For an unknown profile or setting (naming the nearest), or a value it cannot take.
    """
    if profile not in PROFILES:
        raise SettingsError(_unknown("profile", profile, PROFILES))
    text = resources.files("flexi_score.profiles").joinpath(f"{profile}.toml").read_text("utf-8")
    nested: dict[str, Any] = tomllib.loads(text)
    nested["profile"] = profile
    known = setting_names()
    for name, value in (changes or {}).items():
        if name not in known or name == "profile":
            raise SettingsError(_unknown("setting", name, [k for k in known if k != "profile"]))
        group, _, leaf = name.partition(".")
        nested.setdefault(group, {})[leaf] = _none_if_said(value)
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """``["a.b=1", ...]`` as a dict.

    Raises
    ------
    SettingsError
        For an item without ``=``.
    """
    parsed: dict[str, str] = {}
    for item in assignments:
        name, equals, value = item.partition("=")
        if not equals:
            raise SettingsError(f"--set {item!r}: expected name=value, as ipu.min_silence_ms=180")
        parsed[name.strip()] = value.strip()
    return parsed


def signature(settings: Settings, facts: Mapping[str, str]) -> str:
    """One line that names every choice that changes a number (after sacrebleu).

    Parameters
    ----------
    settings : Settings
        The settings in force.
    facts : mapping
        What is not a setting: models and versions, ``{"vad": "silero-6.2.3"}``.
    """
    flat = flatten(settings)
    parts = [f"profile:{flat.pop('profile')}"]
    parts += [f"{name}:{_plain(value)}" for name, value in flat.items() if _counts(name, value)]
    parts += [f"{name}:{value}" for name, value in facts.items()]
    return "|".join(parts)


def _counts(name: str, value: Any) -> bool:
    """Whether a setting can change a number: a warning cannot, nor a limit that is not set."""
    return not name.startswith("health.") or ("_warn" not in name and value is not None)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _none_if_said(value: Any) -> Any:
    return None if isinstance(value, str) and value.lower() in {"", "null"} else value


def _unknown(what: str, found: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(found, known, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
    return f"unknown {what} {found!r}{hint}"


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        name = ".".join(str(part) for part in item["loc"])
        lines.append(f"setting {name or '(group)'}: {item['msg']} (found {item['input']!r})")
    return "; ".join(lines)
