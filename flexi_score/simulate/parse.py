"""Dataclasses of plans and conditions from decoded values, and what is wrong with them."""

from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from flexi_score.errors import InputError
from flexi_score.formats.files import brief
from flexi_score.formats.spelling import nearest

_T = TypeVar("_T")


def parse_object(kind: type[_T], value: Any, where: str) -> _T:
    """A dataclass of a plan from decoded values.

    Raises InputError: naming every key that is wrong.
    """
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {brief(value)}, expected an object")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        told = []
        for item in error.errors()[:5]:
            place = ".".join(str(p) for p in item["loc"])
            if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                near = nearest(str(item["loc"][-1]), _names_of(kind))
                hint = f"; did you mean {near!r}?" if near else ""
                told.append(f"unknown key {place!r}{hint}")
            elif item["type"] in ("missing", "missing_argument"):
                told.append(f"key {place!r} is missing")
            else:
                told.append(f"key {place!r}: {item['msg']} (found {brief(item['input'])})")
        raise InputError(f"{where}: {'; '.join(told)}") from None


def _names_of(kind: Any) -> list[str]:
    """Keys of a dataclass and of those inside it."""
    found: list[str] = []
    for name, hint in get_type_hints(kind).items():
        found.append(name)
        for part in _parts(hint):
            if is_dataclass(part):
                found += _names_of(part)
    return found


def _parts(hint: Any) -> list[Any]:
    """A type, and the types that it is made of."""
    return [hint, *(part for inside in get_args(hint) for part in _parts(inside))]
