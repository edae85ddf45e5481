"""The version of this package, as results name it."""

import importlib.metadata


def package_version() -> str:
    """Version of the installed package; ``unknown`` where it is used without being installed."""
    try:
        return importlib.metadata.version("flexi_score")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


__version__ = package_version()
