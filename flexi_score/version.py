"""The version of this package, as results name it, and how to install its optional parts."""

import functools
import importlib.metadata
import re
import tomllib
from pathlib import Path


@functools.cache
def package_version() -> str:
    """Version of the installed package; ``unknown`` where it is used without being installed."""
    try:
        return importlib.metadata.version("flexi_score")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


__version__ = package_version()


def install_command(extra: str) -> str:
    """What installs an optional part: its packages by name.

    ``flexi_score[extra]`` works only where flexi_score itself can be had by name; the packages can
    be had from a checkout, a wheel and an environment alike.

    Parameters
    ----------
    extra : str
        A key of ``[project.optional-dependencies]``.

    Examples
    --------
    >>> install_command("judge")
    "pip install 'openai>=2.0'"
    """
    return "pip install " + " ".join(f"'{name}'" for name in _requirements(extra))


def _requirements(extra: str) -> list[str]:
    """Requirements of an extra, with those of the extras that it names."""
    optional = _optional()
    requirements: list[str] = []
    for requirement in optional.get(extra, []):
        own = re.fullmatch(r"flexi[-_.]score\[(.+)\]", requirement)
        for name in own[1].split(",") if own else ():
            requirements += _requirements(name.strip())
        if not own:
            requirements.append(requirement)
    return list(dict.fromkeys(requirements))


def _optional() -> dict[str, list[str]]:
    """Requirements by extra: of the checkout that is used, else of what is installed."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    if project.is_file():
        declared = tomllib.loads(project.read_text("utf-8"))["project"]["optional-dependencies"]
        return {name: list(requirements) for name, requirements in declared.items()}
    optional: dict[str, list[str]] = {}
    for line in importlib.metadata.requires("flexi_score") or []:
        requirement, _, marker = line.partition(";")
        if named := re.search(r"""extra\s*==\s*['"]([^'"]+)""", marker):
            optional.setdefault(named[1], []).append(requirement.strip())
    return optional
