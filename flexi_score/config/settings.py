"""All settings together: by name, from a profile, as one line."""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

from pydantic import Field, ValidationError

from flexi_score.config import scoring
from flexi_score.config.detection import ExtractSettings, SpeechSettings
from flexi_score.config.fields import Group, choice
from flexi_score.config.health import HealthSettings, limit_fields
from flexi_score.config.judge import ANSWER_SETTINGS, OPTIONAL_SETTINGS, JudgeSettings
from flexi_score.config.summary import SummarySettings
from flexi_score.errors import SettingsError

#: Names that a message lists.
_LISTED: Final = 30

PROFILES: Final = ("paper", "release", "fdb-v1", "tau", "voice-agent", "eva")


class Settings(Group):
    """All settings. ``profile`` chooses the definitions, the groups hold their numbers."""

    profile: Literal["paper", "release", "fdb-v1", "tau", "voice-agent", "eva"] = choice(
        "paper", "set of definitions", "flexi_score"
    )
    extract: ExtractSettings = ExtractSettings()
    health: HealthSettings = HealthSettings()
    speech: SpeechSettings = SpeechSettings()
    ipu: scoring.IpuSettings = scoring.IpuSettings()
    backchannel: scoring.BackchannelSettings = scoring.BackchannelSettings()
    takeover: scoring.TakeoverSettings = scoring.TakeoverSettings()
    yield_: scoring.YieldSettings = Field(scoring.YieldSettings(), alias="yield")
    pause_handling: scoring.PauseHandlingSettings = scoring.PauseHandlingSettings()
    model_interrupt: scoring.ModelInterruptSettings = scoring.ModelInterruptSettings()
    user_backchannel: scoring.UserBackchannelSettings = scoring.UserBackchannelSettings()
    model_backchannel: scoring.ModelBackchannelSettings = scoring.ModelBackchannelSettings()
    conversation: scoring.ConversationSettings = scoring.ConversationSettings()
    fdb: scoring.FdbSettings = scoring.FdbSettings()
    tau: scoring.TauSettings = scoring.TauSettings()
    voice_agent: scoring.VoiceAgentSettings = scoring.VoiceAgentSettings()
    eva: scoring.EvaSettings = scoring.EvaSettings()
    judge: JudgeSettings = JudgeSettings()
    summary: SummarySettings = SummarySettings()


@cache
def setting_names() -> Mapping[str, Any]:
    """Name of every setting, as ``--set`` takes it, and its pydantic field.

    The limits of a health check are two names: ``health.CHECK.warn`` and ``health.CHECK.refuse``.
    """
    names: dict[str, Any] = {}
    for group_name, group in Settings.model_fields.items():
        label = group.alias or group_name
        if isinstance(group.default, Group):
            for name, field in type(group.default).model_fields.items():
                if name == "checks":
                    names |= limit_fields()
                else:
                    names[f"{label}.{name}"] = field
        else:
            names[label] = group
    return names


def flatten(settings: Settings) -> dict[str, Any]:
    """Settings as ``{"group.name": value}``, in a fixed order."""
    flat: dict[str, Any] = {}
    for key, value in settings.model_dump(by_alias=True).items():
        if isinstance(value, dict):
            checks = value.pop("checks", {})
            flat.update({f"{key}.{name}": inner for name, inner in value.items()})
            for check, limits in checks.items():
                flat.update({f"{key}.{check}.{limit}": x for limit, x in limits.items()})
        else:
            flat[key] = value
    return flat


def load_settings(profile: str = "paper", changes: Mapping[str, object] | None = None) -> Settings:
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
        raise SettingsError(unknown_name("profile", profile, PROFILES))
    text = resources.files("flexi_score.profiles").joinpath(f"{profile}.toml").read_text("utf-8")
    nested: dict[str, Any] = tomllib.loads(text)
    nested["profile"] = profile
    known = [name for name in setting_names() if name != "profile"]
    for name, value in (changes or {}).items():
        if name not in known:
            raise SettingsError(unknown_name("setting", name, known))
        group, *middle, leaf = name.split(".")
        node = nested.setdefault(group, {})
        for check in middle:
            node = node.setdefault("checks", {}).setdefault(check, {})
        node[leaf] = _none_if_said(value)
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise SettingsError(_explain(error)) from error


def parse_assignments(assignments: Sequence[str]) -> dict[str, str]:
    """``["a.b=1", ...]`` as a dict."""
    parsed: dict[str, str] = {}
    for item in assignments:
        name, equals, value = item.partition("=")
        if not equals:
            raise SettingsError(f"--set {item!r}: expected name=value, as ipu.min_silence_ms=180")
        parsed[name.strip()] = value.strip()
    return parsed


def signature(settings: Settings, facts: Mapping[str, str], without: Sequence[str] = ()) -> str:
    """One line to quote beside a number: what stands behind it, and a hash of everything.

    ``settings``: the settings in force. Those that can change a number are named where they differ
    from the profile's own. ``facts``: what is not a setting: ``version``, ``vad``, ``boundaries``,
    ``crosstalk``, ``asr``, ``rubrics``. ``without``: settings that are neither named nor hashed, as
    those that a sweep varies. Returns version, profile, detector, recogniser, judge, what differs
    from the defaults, and the hash of every setting and fact: ``run.json`` holds them all.

    Examples
    --------
    >>> settings = load_settings("paper", {"ipu.min_silence_ms": 180})
    >>> facts = {"version": "0.2.0", "vad": "silero-6.2.3", "asr": "tiny.en@8adb,en"}
    >>> line, hash_mark, digest = signature(settings, facts).rpartition("#")
    >>> line
    'flexi_score 0.2.0 | paper | silero-6.2.3 | tiny.en | ipu.min_silence_ms=180 | '
    """
    flat = {
        name: value
        for name, value in flatten(settings).items()
        if name not in without and _counts(name, value, settings.judge.mode != "none")
    }
    usual = flatten(load_settings(settings.profile))
    named = {"profile", "extract.vad", "extract.asr", "judge.mode", "judge.model"}
    changed = [
        f"{name}={_plain(value)}"
        for name, value in flat.items()
        if value != usual[name] and name not in named
    ]
    detector = " ".join(facts[name] for name in ("vad", "boundaries") if facts.get(name))
    parts = [
        " ".join(["flexi_score", *filter(None, [facts.get("version")])]),
        settings.profile,
        *filter(None, [detector, _short_recognizer(facts.get("asr", ""))]),
    ]
    if "corrected" in facts:
        parts.append(f"corrected {facts['corrected'].partition('@')[0]}")
    if settings.judge.mode != "none":
        parts.append(f"{settings.judge.model} {facts.get('rubrics', '')}".rstrip())
    text = json.dumps([flat, dict(facts)], sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return " | ".join([*parts, *changed, f"#{digest}"])


def _short_recognizer(identity: str) -> str:
    """Names of recognisers without the hash and the settings that they carry."""
    shown = []
    for one in identity.split("+"):
        name, *rest = one.split(",")
        partial = [part for part in rest if part.startswith("needed-")]
        shown.append(" ".join([name.partition("@")[0], *partial]))
    return "+".join(shown)


def _counts(name: str, value: object, judged: bool) -> bool:
    """Whether a setting can change a number: a warning cannot, nor a limit that is not set."""
    group, _, leaf = name.partition(".")
    if group == "judge" and leaf != "mode":
        unset = leaf in OPTIONAL_SETTINGS and value is None
        return judged and leaf in ANSWER_SETTINGS and not unset
    return group != "health" or (not leaf.endswith(".warn") and value is not None)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _none_if_said(value: object) -> object:
    return None if isinstance(value, str) and value.lower() in {"", "null"} else value


def hint(name: str, known: Iterable[str], otherwise: str = "known:") -> str:
    """The nearest name, else those that there are, for a message on a name that there is not."""
    names = list(known)
    if near := difflib.get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {near[0]!r}?"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"{otherwise} {', '.join(names[:_LISTED]) or '-'}{more}"


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Message on a name that there is not."""
    return f"unknown {what} {name!r}; {hint(name, known)}"


def _explain(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        # As setting_names has it: a limit of a check is health.CHECK.LIMIT.
        name = ".".join(str(part) for part in item["loc"] if part != "checks")
        # Where a key may have been put by mistake, it is not repeated.
        secret = name in ("judge.base_url", "judge.key_variable")
        value = "" if secret else f" (found {item['input']!r})"
        lines.append(f"setting {name or '(group)'}: {item['msg']}{value}")
    return "; ".join(lines)
