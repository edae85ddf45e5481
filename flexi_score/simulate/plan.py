"""Plans from files: scenes as YAML, JSON or JSON Lines, one scene per row."""

from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from flexi_score.errors import InputError, ManifestError
from flexi_score.formats.files import brief, find_fault
from flexi_score.formats.spelling import nearest
from flexi_score.formats.tables import READERS, read_table
from flexi_score.simulate.scene import Scene

_T = TypeVar("_T")
PLAN_EXTENSIONS = (".yaml", ".yml", ".json", ".jsonl")


def read_plan(path: str | Path) -> list[Scene]:
    """Scenes of a plan."""
    path = Path(path)
    if path.suffix.lower() not in PLAN_EXTENSIONS or path.suffix.lower() not in READERS:
        raise InputError(f"{path}: expected a plan ({' '.join(PLAN_EXTENSIONS)})")
    if not path.exists():
        raise InputError(f"{path}: no such file; expected a plan of scenes")
    scenes: list[Scene] = []
    for row in read_table(path).rows:
        fault = row.fault or find_fault(row.value)
        if fault:
            raise ManifestError(f"{path}, {row.where}: {fault}")
        scenes.append(parse_object(Scene, row.value, f"{path}, {row.where}"))
    seen: set[str] = set()
    for scene in scenes:
        if scene.id in seen:
            raise InputError(f"{path}: two scenes have the id {scene.id!r}; every id is used once")
        seen.add(scene.id)
    return scenes


def parse_object(kind: type[_T], value: object, where: str) -> _T:
    """A dataclass of a plan from decoded values; every key that is wrong is named."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: found {brief(value)}, expected an object")
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        faults = []
        for item in error.errors()[:5]:
            path = ".".join(str(p) for p in item["loc"])
            if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
                near = nearest(str(item["loc"][-1]), _names_of(kind))
                faults.append(
                    f"unknown key {path!r}" + (f"; did you mean {near!r}?" if near else "")
                )
            elif item["type"] in ("missing", "missing_argument"):
                faults.append(f"key {path!r} is missing")
            else:
                faults.append(f"key {path!r}: {item['msg']} (found {brief(item['input'])})")
        raise InputError(f"{where}: {'; '.join(faults)}") from None


def _names_of(kind: object) -> list[str]:
    """Keys of a dataclass and of those inside it."""
    names: list[str] = []
    for name, hint in get_type_hints(kind).items():
        names.append(name)
        for part in _parts(hint):
            if is_dataclass(part):
                names += _names_of(part)
    return names


def _parts(hint: object) -> list[Any]:
    """A type, and the types that it is made of."""
    return [hint, *(part for inside in get_args(hint) for part in _parts(inside))]
