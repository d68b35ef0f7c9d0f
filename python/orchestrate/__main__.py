"""Runs the program: ``python -m orchestrate run SPEC``."""

import os
import sys

from ._errors import OrchestrateError
from ._program import find_program


def main() -> None:
    """Replaces this process by the program with the same arguments."""
    try:
        program = find_program()
        os.execv(program, [program, *sys.argv[1:]])
    except (OrchestrateError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
