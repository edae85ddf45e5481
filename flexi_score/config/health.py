"""Settings of the health gate: a table of checks, each with a limit to warn and one to refuse."""

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal

from pydantic import Field, field_validator
from pydantic.fields import FieldInfo

from flexi_score.config.fields import Group, choice


@dataclass(frozen=True)
class Check:
    """One check of how a recording was captured; ``checks.toml`` says what each key means."""

    name: str  # ``health.NAME.warn`` and ``health.NAME.refuse`` set its limits
    worse: Literal["above", "below"]
    warn: float | None
    refuse: float | None
    value: str
    title: str
    remedy: str
    evidence: str = ""
    unit: str = ""
    source: str = "flexi_score"


def _read_checks() -> tuple[Check, ...]:
    text = resources.files("flexi_score.config").joinpath("checks.toml").read_text("utf-8")
    checks = []
    for name, row in tomllib.loads(text).items():
        worse: Literal["above", "below"] = "above" if "above" in row else "below"
        warn, refuse = (None if limit == "never" else limit for limit in row.pop(worse))
        checks.append(Check(name, worse, warn, refuse, **row))
    return tuple(checks)


CHECKS: Final = _read_checks()

#: Below this mean probability of its words, a recording's recognised words are left out.
MIN_CONFIDENCE: Final = next(check.warn or 0.0 for check in CHECKS if check.name == "words")

Limit = Literal["warn", "refuse"]
LIMITS: Final[tuple[Limit, Limit]] = ("warn", "refuse")


class Limits(Group):
    """Limits of one check; None is never."""

    warn: float | None = Field(None, ge=-1e6, le=1e6)
    refuse: float | None = Field(None, ge=-1e6, le=1e6)


def _defaults() -> dict[str, Limits]:
    return {check.name: Limits(warn=check.warn, refuse=check.refuse) for check in CHECKS}


def limit_fields() -> dict[str, FieldInfo]:
    """Every limit as a field: ``{"health.snr.warn": ...}``."""
    effect = {"warn": "warns", "refuse": "leaves the recording out"}
    return {
        f"health.{check.name}.{limit}": Field(
            getattr(check, limit),
            ge=-1e6,
            le=1e6,
            description=f"{check.value}: at or {check.worse} this {effect[limit]}; null: never",
            json_schema_extra={"unit": check.unit, "source": check.source},
        )
        for check in CHECKS
        for limit in LIMITS
    }


class HealthSettings(Group):
    """What a capture must show to be scored, and what is worth a warning.

    A recording beyond a ``refuse`` limit is left out of every score, one beyond a ``warn`` limit
    is scored and named. ``health.CHECK.warn`` and ``health.CHECK.refuse`` set the limits of a
    check (:data:`CHECKS`); null is never.
    """

    gate: bool = choice(
        True,
        "leave out what a refuse limit refuses; without it a user's channel of zeros counts as "
        "silence, too",
        "flexi_score",
    )
    checks: dict[str, Limits] = Field(
        default_factory=_defaults,
        description="limits of each check: health.CHECK.warn and health.CHECK.refuse",
        json_schema_extra={"unit": "", "source": "flexi_score"},
    )

    @field_validator("checks", mode="before")
    @classmethod
    def _filled(cls, given: object) -> Any:
        """Given limits over the defaults: a limit that is not named keeps its value."""
        if not isinstance(given, dict):
            return given
        unknown = sorted(set(given) - {check.name for check in CHECKS})
        if unknown:
            known = ", ".join(check.name for check in CHECKS)
            raise ValueError(f"health has no check {unknown[0]!r}; known: {known}")
        filled = {name: limits.model_dump() for name, limits in _defaults().items()}
        for name, limits in given.items():
            own = limits.model_dump() if isinstance(limits, Limits) else limits
            filled[name] = filled[name] | own
        return filled

    def limit(self, check: str, limit: Limit) -> float | None:
        """One limit of one check; None is never."""
        value: float | None = getattr(self.checks[check], limit)
        return value
