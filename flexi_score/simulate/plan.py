"""Plans from files: scenes as YAML, JSON or JSON Lines, one scene a row."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from flexi_score.errors import InputError, ManifestError
from flexi_score.formats.files import brief, find_fault
from flexi_score.formats.spelling import nearest
from flexi_score.formats.tables import READERS, read_table
from flexi_score.simulate.scene import Scene

_T = TypeVar("_T")

PLAN_EXTENSIONS = (".yaml", ".yml", ".json", ".jsonl")


def read_plan(path: str | Path) -> list[Scene]:
    """Scenes of a plan.

    Raises
    ------
    InputError
        Naming the file, the scene and the key: what was found, what is expected.
    """
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
        scenes.append(validate(Scene, row.value, f"{path}, {row.where}"))
    seen: set[str] = set()
    for scene in scenes:
        if scene.id in seen:
            raise InputError(f"{path}: two scenes have the id {scene.id!r}; every id is used once")
        seen.add(scene.id)
    return scenes


def validate(kind: type[_T], value: Any, where: str) -> _T:
    """A dataclass of a plan from decoded values.

    Raises
    ------
    InputError
        Naming every key that is wrong.
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
    from flexi_score.simulate.channel import Channel, Condition
    from flexi_score.simulate.scene import Say

    families: dict[Any, tuple[Any, ...]] = {Scene: (Scene, Say), Condition: (Condition, Channel)}
    inside = families.get(kind, (kind,))
    return [name for part in inside for name in part.__dataclass_fields__]
