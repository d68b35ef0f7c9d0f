"""The error of this package, and modules that are loaded when they are needed."""

from __future__ import annotations

import importlib
from types import ModuleType


class OrchestrateError(Exception):
    """An error in words: what is wrong, where, and what to do."""


def need(module: str, what: str) -> ModuleType:
    """Imports a module that only some functions need.

    A program of a ``command`` stage may run in an environment that lacks it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        help_text = f"run `pip install {package}` with {_python()}, the Python of this program"
        raise OrchestrateError(f"{what} needs {package}, which cannot be imported ({error}); {help_text}") from error


def _python() -> str:
    import sys

    return sys.executable or "python3"
