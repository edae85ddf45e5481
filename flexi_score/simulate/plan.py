"""Plans from files: scenes as YAML, JSON or JSON Lines, one scene a row."""

from pathlib import Path

from flexi_score.errors import InputError, ManifestError
from flexi_score.formats.files import find_fault
from flexi_score.formats.tables import READERS, read_table
from flexi_score.simulate.parse import parse_object
from flexi_score.simulate.scene import Scene

PLAN_EXTENSIONS = (".yaml", ".yml", ".json", ".jsonl")


def read_plan(path: str | Path) -> list[Scene]:
    """Scenes of a plan.

    Raises InputError: naming the file, the scene and the key: what was found, what is expected.
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
        scenes.append(parse_object(Scene, row.value, f"{path}, {row.where}"))
    seen: set[str] = set()
    for scene in scenes:
        if scene.id in seen:
            raise InputError(f"{path}: two scenes have the id {scene.id!r}; every id is used once")
        seen.add(scene.id)
    return scenes
