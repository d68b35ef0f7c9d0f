"""The program ``orchestrate``: where it lies, and calls of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import List, Sequence

from ._errors import OrchestrateError

NAME = "orchestrate"


def find_program() -> str:
    """Returns the path of the program.

    In this order: the environment variable ``ORCHESTRATE``, the scripts of this Python's environment, where the wheel
    puts it, and ``PATH``.
    """
    named = os.environ.get("ORCHESTRATE")
    if named:
        found = shutil.which(named)
        if found is None:
            raise OrchestrateError(f"ORCHESTRATE names `{named}`, which is no program that can be run")
        return found
    for folder in _script_folders():
        path = folder / NAME
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    found = shutil.which(NAME)
    if found is None:
        raise OrchestrateError(
            "the program `orchestrate` is not found; install the wheel in this environment, put the program on PATH, "
            "or name it by the environment variable ORCHESTRATE"
        )
    return found


def call(arguments: Sequence[str]) -> str:
    """Runs the program to its end, and returns its standard output.

    Its standard error is passed on. Raises :class:`OrchestrateError` with its message if it fails.
    """
    command = [find_program(), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    said = done.stderr.decode("utf-8", "replace")
    if done.returncode != 0:
        message = said.strip() or f"it ended with {done.returncode}"
        raise OrchestrateError(f"`{' '.join([NAME, *arguments])}`: {message[7:] if _is_error(message) else message}")
    if said:
        sys.stderr.write(said)
    return done.stdout.decode("utf-8")


def _is_error(message: str) -> bool:
    return message.startswith("error: ")


def _script_folders() -> List[Path]:
    # The wheel may be installed for all, or by `pip install --user`. A Python of a virtual environment that is run
    # without activating it has the scripts beside it.
    folders = [Path(sysconfig.get_path("scripts"))]
    user = f"{os.name}_user"
    if user in sysconfig.get_scheme_names():
        folders.append(Path(sysconfig.get_path("scripts", user)))
    if sys.executable:
        folders.append(Path(sys.executable).parent)
    return folders
