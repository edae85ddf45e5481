"""What every setting has: a default, a range, a unit, a description and a source."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Group(BaseModel):
    """Settings that belong together: immutable, and closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def number(default: float | None, unit: str, text: str, source: str, ge: float, le: float) -> Any:
    """A number in [ge, le]; None where the field may be unset."""
    extra: Any = {"unit": unit, "source": source}
    return Field(default, ge=ge, le=le, description=text, json_schema_extra=extra)


def ms(default: int, text: str, source: str, ge: int = 0) -> Any:
    """A number of milliseconds, from `ge` to an hour."""
    return number(default, "ms", text, source, ge, 3_600_000)


def choice(default: object, text: str, source: str) -> Any:
    """What is not a number."""
    return Field(default, description=text, json_schema_extra={"unit": "", "source": source})
