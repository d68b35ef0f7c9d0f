"""Runs a program and measures it; shared by the benchmarks of whole processes."""

import os
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple


class Spent(NamedTuple):
    """Time and memory of one process."""

    seconds: float  # on the wall clock
    cpu_seconds: float  # of all its threads, and of children it waited for
    peak_mb: float  # of its memory
    began_at: float  # seconds since 1970


def scratch():
    """Opens an empty file for the output of a process; in memory, as creating files is slow after mass deletions."""
    return open(os.memfd_create("said"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


def spawn(command, cwd):
    """Runs a command to its end; one that fails ends this program."""
    with scratch() as said:
        began_at, began = time.time(), time.perf_counter()
        child = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            said.seek(0)
            sys.exit(f"{' '.join(map(str, command))} failed:\n{said.read().decode(errors='replace')}")
    return Spent(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000, began_at)
