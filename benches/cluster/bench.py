#!/usr/bin/env python3
"""The cost of a node on a cluster when the work costs nothing: orchestrate beside Snakemake on one Slurm.

See benches/README.md.

Needs Python 3.9 or later, Slurm's daemons, the program, built by `just bench-cluster`, and a Snakemake with its plugin:
`pip install snakemake snakemake-executor-plugin-slurm` in an environment of its own, which `--snakemake` names.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from spawn import spawn  # noqa: E402

SPEC = """
[experiment]
name = "nodes"

[axes]
k = "1..={nodes}"

[stages.node]
kind = "command"
over = ["k"]
argv = ["sh", "-c", 'echo "$1" > "$2/text"', "sh", "{{k}}", "{{out}}"]
"""
PROJECT = '[cluster]\nkind = "slurm"\nmemory = "300MB"\nthreads = 1\ntime = "10m"\n'
SNAKEFILE = """
rule all:
    input: expand("out/{{k}}", k=range(1, {nodes} + 1))

rule node:
    output: "out/{{k}}"
    resources: mem_mb=300, runtime=10
    shell: "echo {{wildcards.k}} > {{output}}"
"""


class Cluster:
    """Three virtual nodes of 8 CPUs, as the tests start them. They stop when this process ends."""

    def __init__(self, port):
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        # The peer submits many jobs at once.
        (self.folder / "more.conf").write_text("MaxArraySize=10001\nMaxJobCount=20000\n")
        script = ["bash", ROOT / "tests/cluster/slurm.sh", self.folder, str(port)]
        self.script = subprocess.Popen(
            script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        if self.script.stdout.readline() != "ready\n":
            sys.exit("Slurm does not start")
        os.environ["SLURM_CONF"] = str(self.folder / "slurm.conf")

    def stop(self):
        self.script.stdin.close()
        self.script.wait()


def jobs():
    """Returns the number of jobs and tasks that Slurm has seen."""
    listed = subprocess.run(["squeue", "-h", "-r", "-t", "all", "-o", "%F"], capture_output=True, text=True, check=True)
    ids = listed.stdout.split()
    return len(set(ids)), len(ids)


def ours(program, folder, nodes):
    folder.mkdir()
    (folder / "orchestrate.toml").write_text(PROJECT)
    (folder / "spec.toml").write_text(SPEC.format(nodes=nodes))
    command = [program, "run", "spec.toml", "--on", "slurm"]
    first, again = spawn(command, folder), spawn(command, folder)
    return first, again


def changed(program, folder):
    """Runs all nodes anew, whose durations are known now, so that a task does many."""
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace("echo", "echo again"))
    command = [program, "run", "spec.toml", "--on", "slurm"]
    return spawn(command, folder), spawn(command, folder)


def peer(snakemake, folder, nodes, as_arrays):
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE.format(nodes=nodes))
    command = [snakemake, "--executor", "slurm", "--jobs", "10000", "--slurm-no-account", "--slurm-status-command"]
    command += ["squeue", "--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
    command += ["--default-resources", "slurm_partition=cpu", "--latency-wait", "30"]
    command += ["--slurm-array-jobs", "all"] if as_arrays else []
    first = spawn(command, folder)
    again = spawn(command, folder)
    made = sorted(int((folder / "out" / str(k)).read_text()) for k in range(1, nodes + 1))
    assert made == list(range(1, nodes + 1))
    return first, again


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=2000, help="number of nodes (default: 2000)")
    parser.add_argument("--peer-nodes", type=int, default=200, help="the same for Snakemake (default: 200)")
    parser.add_argument("--snakemake", default="snakemake", help="path of Snakemake, or an empty text for none")
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/orchestrate")
    parser.add_argument("--port", type=int, default=19000, help="first of eight free ports (default: 19000)")
    arguments = parser.parse_args()

    cluster = Cluster(arguments.port)
    work = Path(tempfile.mkdtemp(prefix="bench-cluster-"))
    # Jobs of Snakemake start it from the PATH, and an `srun`, whose configuration it has taken away.
    step = work / "bin" / "srun"
    step.parent.mkdir()
    step.write_text(f'#!/bin/sh\nSLURM_CONF="{os.environ["SLURM_CONF"]}" exec {shutil.which("srun")} "$@"\n')
    step.chmod(0o755)
    folders = [str(step.parent), os.path.dirname(arguments.snakemake), os.environ["PATH"]]
    os.environ["PATH"] = ":".join(folder for folder in folders if folder)
    before = (0, 0)

    def report(name, nodes, first, again):
        nonlocal before
        now = jobs()
        submitted, before = (now[0] - before[0], now[1] - before[1]), now
        print(
            f"{name:24} {nodes:6} nodes  {first.seconds:7.1f} s  {1000 * first.seconds / nodes:7.1f} ms a node  "
            f"{1000 * first.cpu_seconds / nodes:6.1f} ms of the head's CPU  {first.peak_mb:5.0f} MB  "
            f"{submitted[0]} jobs, {submitted[1]} tasks; again {again.seconds:.2f} s",
            flush=True,
        )
        return first.seconds / nodes

    try:
        began = time.monotonic()
        mine = report("orchestrate", arguments.nodes, *ours(arguments.program, work / "ours", arguments.nodes))
        report("orchestrate, changed", arguments.nodes, *changed(arguments.program, work / "ours"))
        if arguments.snakemake:
            for name, as_arrays in [("jobs", False), ("arrays", True)]:
                count = arguments.peer_nodes
                theirs = peer(arguments.snakemake, work / name, count, as_arrays)
                theirs = report(f"snakemake, {name}", count, *theirs)
                print(f"ratio cluster-{name} {theirs / mine:.2f}", flush=True)
        print(f"{time.monotonic() - began:.0f} s in all")
    finally:
        cluster.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
