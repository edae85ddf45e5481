"""Packages that are named after their main function, and can be called as that function."""

import sys
from collections.abc import Callable
from types import ModuleType


def make_callable(package: str, function: Callable[..., object]) -> None:
    """Let a package be called: ``flexi_score.sweep(...)`` is ``flexi_score.sweep.sweep(...)``.

    Python binds an imported package to its name in the package above it, over a function of the
    same name; so the package itself has to be callable.
    """
    kind = type("Verb", (ModuleType,), {"__call__": staticmethod(function)})
    module = sys.modules[package]
    module.__class__ = kind
    module.__doc__ = module.__doc__ or function.__doc__
