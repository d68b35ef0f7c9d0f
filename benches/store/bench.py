#!/usr/bin/env python3
"""The cost of results that a run does not use: a no-op on stores of 10^3 to 10^7 other results.

See benches/README.md.

Needs Python 3.9 or later, the programs built by `just bench-store`, and some 8 GB of disk for ten million results.
"""

import argparse
import math
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from spawn import spawn  # noqa: E402


class Project:
    """A project with the spec of the benchmark `noop` and a store of its own."""

    def __init__(self, programs, folder):
        self.programs, self.folder, self.results = programs, folder, 0
        folder.mkdir(parents=True)
        (folder / "orchestrate.toml").touch()
        shutil.copy(ROOT / "benches" / "noop" / "noop.toml", folder / "spec.toml")
        self.run()

    def command(self, *arguments):
        return spawn([self.programs / "orchestrate-noop", *arguments], self.folder)

    def run(self):
        return self.command("run", "spec.toml")

    def fill(self, results):
        """Adds results of others until there are so many."""
        if results > self.results:
            bounds = [str(self.results), str(results)]
            spent = spawn([self.programs / "orchestrate-fill-store", ".orchestrate", *bounds], self.folder)
            self.results = results
            # The first run after so many sessions may merge index files.
            self.run()
            return spent
        return None


def measure(projects, rounds):
    """Runs no-ops of all projects in turns; returns median seconds, CPU seconds and peak MB of each."""
    spent = [[] for _ in projects]
    for _ in range(rounds):
        for project, times in zip(projects, spent):
            times.append(project.run())
    medians = []
    for times in spent:
        seconds = statistics.median(one.seconds for one in times)
        cpu = statistics.median(one.cpu_seconds for one in times)
        medians.append((seconds, cpu, max(one.peak_mb for one in times)))
    return medians


def plot(rows, path):
    """Draws time and memory against results, both relative to the empty store."""
    width, height, left, bottom = 560, 300, 60, 40
    exponents = [math.log10(row[0]) for row in rows]
    low, high = min(exponents), max(exponents)
    most = max(2.0, max(max(row[1], row[2]) for row in rows)) * 1.1

    def place(exponent, ratio):
        x = left + (exponent - low) / max(high - low, 1) * (width - left - 20)
        return f"{x:.1f},{height - bottom - ratio / most * (height - bottom - 20):.1f}"

    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif">']
    lines.append(f'<rect width="{width}" height="{height}" fill="white"/>')
    for ratio in range(int(most) + 1):
        ends = place(low, ratio), place(high, ratio)
        lines.append(f'<polyline points="{ends[0]} {ends[1]}" stroke="#ddd"/>')
        y = ends[0].split(",")[1]
        lines.append(f'<text x="{left - 8}" y="{y}" font-size="11" text-anchor="end" dy="4">{ratio} ×</text>')
    for exponent in exponents:
        x = place(exponent, 0).split(",")[0]
        label = f'10<tspan dy="-4" font-size="8">{exponent:.0f}</tspan>'
        lines.append(f'<text x="{x}" y="{height - 20}" font-size="11" text-anchor="middle">{label}</text>')
    for column, name, colour in [(1, "time", "#1f77b4"), (2, "memory", "#d62728")]:
        points = [place(exponent, row[column]) for exponent, row in zip(exponents, rows)]
        lines.append(f'<polyline points="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines.append(f'<text x="{left + 10}" y="{20 + 16 * column}" font-size="12" fill="{colour}">{name}</text>')
    middle = f'x="{width / 2}" y="{height - 4}" font-size="11" text-anchor="middle"'
    lines.append(f"<text {middle}>results in the store</text>")
    path.write_text("\n".join([*lines, "</svg>"]) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--most", type=int, default=10_000_000, help="results of the largest store")
    parser.add_argument("--rounds", type=int, default=30, help="no-ops of each store, in turns")
    parser.add_argument("--plot", type=Path, help="an SVG to write")
    parser.add_argument("--scratch", type=Path, help="a folder for the stores [default: a temporary one]")
    parser.add_argument("--programs", type=Path, default=ROOT / "target" / "release")
    arguments = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(dir=arguments.scratch))
    try:
        empty, filled = (Project(arguments.programs.resolve(), scratch / name) for name in ("empty", "filled"))
        rows, results = [], 1000
        while results <= arguments.most:
            filling = filled.fill(results)
            (base, base_cpu, base_mb), (seconds, cpu, peak_mb) = measure([empty, filled], arguments.rounds)
            rows.append((results, seconds / base, peak_mb / base_mb))
            print(
                f"{results:>10} results  no-op {seconds * 1000:.1f} ms, empty store {base * 1000:.1f} ms;"
                f" CPU {cpu * 1000:.1f} and {base_cpu * 1000:.1f} ms; {peak_mb:.0f} and {base_mb:.0f} MB;"
                f" filled in {filling.seconds:.0f} s",
                flush=True,
            )
            print(f"ratio noop-{results} {base / seconds:.2f}", flush=True)
            results *= 10
        for name, command in [
            ("store ls SPEC", ["store", "ls", "spec.toml"]),
            ("store verify --quick", ["store", "verify", "--quick"]),
            ("store gc within limits", ["store", "gc", "--max-size", "1TB", "--dry-run"]),
        ]:
            spent = filled.command(*command)
            print(f"{name:>24}  {spent.seconds * 1000:.0f} ms, {spent.peak_mb:.0f} MB", flush=True)
        if arguments.plot:
            plot(rows, arguments.plot)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
