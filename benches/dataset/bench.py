#!/usr/bin/env python3
"""Measures time and memory of a data set that grows: the same images and masks again and again, as hard links.

See benches/README.md.

Needs Python 3.9 or later, a folder with `labels.csv`, images and masks, and the program, built by
`just bench-dataset`. With `--before PROGRAM`, an earlier program runs in turns with it.
"""

import argparse
import csv
import os
import shutil
import statistics
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
name = "dataset"

[stages.images]
kind = "dataset"
format = "manifest"
path = "labels.csv"
size = {size}
"""


def project(folder, source, count, size):
    """Makes a project of `count` images: links to the files of `source`, each copy in a folder of its own."""
    with open(source / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])
    folder.mkdir()
    (folder / "orchestrate.toml").touch()
    (folder / "spec.toml").write_text(SPEC.format(size=size))
    with open(folder / "labels.csv", "w", newline="") as file:
        out = csv.DictWriter(file, columns, lineterminator="\n")
        out.writeheader()
        for index in range(count):
            row = dict(rows[index % len(rows)])
            for column in ("image", "mask"):
                if row.get(column):
                    name = f"{index // len(rows):03}/{row[column]}"
                    path = folder / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    if not path.exists():
                        os.link(source / row[column], path)
                    row[column] = name
            out.writerow(row)
    # A file written a moment ago is read again in the next run, as a second write in the same tick would not show.
    time.sleep(2.1)


def stored(folder):
    """Names and sizes of the objects of a store; names are digests of the bytes."""
    objects = folder / ".orchestrate" / "objects"
    return sorted((path.name, path.stat().st_size) for path in objects.rglob("*") if path.is_file())


def main():
    parser = argparse.ArgumentParser(description="a data set that grows")
    parser.add_argument("data", type=Path, help="folder with labels.csv, images and masks")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "orchestrate")
    parser.add_argument("--before", type=Path, help="an earlier program, measured too")
    parser.add_argument("--images", type=int, nargs="+", default=[3064, 24_512, 112_120])
    parser.add_argument("--size", type=int, default=224, help="[default: 224]")
    parser.add_argument("--rounds", type=int, default=3, help="[default: 3]")
    arguments = parser.parse_args()
    if not (arguments.data / "labels.csv").is_file():
        sys.exit(f"skipped: there is no {arguments.data / 'labels.csv'}")
    programs = {"ours": arguments.program.resolve()}
    if arguments.before:
        programs["before"] = arguments.before.resolve()
    scratch = Path(tempfile.mkdtemp(prefix="dataset-", dir=ROOT / "target"))
    ratios = []
    try:
        # Links need one file system, so the files are copied once.
        source = scratch / "source"
        shutil.copytree(arguments.data, source)
        for count in arguments.images:
            folder = scratch / str(count)
            project(folder, source, count, arguments.size)
            spent, objects = {name: [] for name in programs}, {}
            for _ in range(arguments.rounds):
                for name, program in programs.items():
                    shutil.rmtree(folder / ".orchestrate", ignore_errors=True)
                    spent[name].append(spawn([program, "run", "spec.toml"], folder))
                    objects[name] = stored(folder)
            for name in programs:
                seconds, peak = (
                    statistics.median(getattr(run, field) for run in spent[name]) for field in ("seconds", "peak_mb")
                )
                print(f"{count} images, {name}: {seconds:.2f} s, {peak:.0f} MB", flush=True)
            if "before" in programs:
                equal = "equal" if objects["ours"] == objects["before"] else "DIFFERENT"
                print(f"    objects stored: {equal}")
                for field, what in (("seconds", "time"), ("peak_mb", "memory")):
                    before, ours = (
                        statistics.median(getattr(run, field) for run in spent[name]) for name in ("before", "ours")
                    )
                    ratios.append((f"{what}-{count}", before / ours))
            shutil.rmtree(folder)
    finally:
        shutil.rmtree(scratch)
    for what, ratio in ratios:
        print(f"ratio {what} {ratio:.2f}")


if __name__ == "__main__":
    main()
