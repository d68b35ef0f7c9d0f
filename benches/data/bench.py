#!/usr/bin/env python3
"""Measures the cost of data: checking files for changes, decoding them, writing and reading the image table.

See benches/README.md.

Needs Python 3.9 or later with NumPy and OpenCV, and the programs, built by `just bench-data`.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from spawn import spawn  # noqa: E402

SIDE, SIZE = 512, 224

SPEC = """
[experiment]
name = "data"

[stages.images]
kind = "dataset"
format = "manifest"
path = "labels.csv"
{size}
"""


def project(folder, size=None):
    """Makes a project whose data set has the files of `folder/images`, in the order of their names."""
    (folder / "orchestrate.toml").touch()
    (folder / "spec.toml").write_text(SPEC.format(size=f"size = {size}" if size else ""))
    names = sorted(path.name for path in (folder / "images").iterdir())
    rows = [f"images/{name},{'ab'[index % 2]},{index % 200}" for index, name in enumerate(names)]
    (folder / "labels.csv").write_text("\n".join(["image,label,patient", *rows]) + "\n")
    # A file written a moment ago is read again in the next run, as a second write in the same tick would not show.
    time.sleep(2.1)
    return names


def slices(folder, count):
    """Writes grey JPEGs like those of hospitals: a head on black, smooth with some noise."""
    folder.mkdir(parents=True)
    random = numpy.random.default_rng(7)
    y, x = numpy.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    for index in range(count):
        level = numpy.where(x**2 / 0.5 + y**2 / 0.8 < 1, 90 + 60 * numpy.cos(9 * x + index) * numpy.cos(7 * y), 0)
        level += cv2.GaussianBlur(random.normal(0, 30, (SIDE, SIDE)), (5, 5), 0) * (level != 0)
        cv2.imwrite(str(folder / f"{index:05}.jpg"), level.clip(0, 255).astype(numpy.uint8))


def peer_decodes(folder, names):
    """Decodes in a process of its own: a forked child would count the memory of its parent."""
    with multiprocessing.Pool(1) as pool:
        return pool.apply(decode_all, (folder, names))


def decode_all(folder, names):
    began = time.perf_counter()
    images = [cv2.imread(str(folder / "images" / name), cv2.IMREAD_GRAYSCALE) for name in names]
    stack = numpy.stack([cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for image in images])
    assert stack.shape == (len(names), SIZE, SIZE)
    return time.perf_counter() - began


def peer_stats(folder, names):
    began = time.perf_counter()
    for name in names:
        os.stat(folder / "images" / name)
    return time.perf_counter() - began


def bench_decoding(programs, scratch, count, rounds, ratios):
    folder = scratch / "decoding"
    slices(folder / "images", count)
    names = project(folder, SIZE)
    ours, peers = [], []
    for _ in range(rounds):
        shutil.rmtree(folder / ".orchestrate", ignore_errors=True)
        peers.append(peer_decodes(folder, names))
        ours.append(spawn([programs / "orchestrate", "run", "spec.toml"], folder))
    seconds = statistics.median(run.seconds for run in ours)
    busy = statistics.median(run.cpu_seconds for run in ours) / seconds
    peak = statistics.median(run.peak_mb for run in ours)
    print(
        f"{count} JPEGs of {SIDE} px to one table of {SIZE} px:"
        f" {seconds:.2f} s, {busy:.2f} cores busy, {peak:.0f} MB;"
    )
    print(f"    imread and resize in a loop of Python, not stored: {statistics.median(peers):.2f} s")
    ratios.append(("decode-and-store", statistics.median(peers) / seconds))
    return folder


def bench_table(programs, folder, rounds, ratios):
    table = max((folder / ".orchestrate" / "objects").rglob("*"), key=lambda path: path.stat().st_size)
    copy, written = folder / "copy", folder / "written.parquet"
    reads, writes, copies = [], [], []
    for _ in range(rounds):
        copies.append(spawn(["cp", table, copy], folder).seconds)
        said = subprocess.run(
            [programs / "orchestrate-image-table", table, written, "1"], check=True, capture_output=True, text=True
        )
        took = json.loads(said.stdout)
        reads.append(took["read"])
        writes.append(took["write"])
        assert written.stat().st_size == table.stat().st_size
    size, raw = table.stat().st_size / 1e6, took["pixels"] / 1e6
    read, write, cp = (statistics.median(values) for values in (reads, writes, copies))
    print(
        f"the image table, {size:.0f} MB for {raw:.0f} MB of pixels:"
        f" read {read:.3f} s, written {write:.3f} s; cp {cp:.3f} s"
    )
    ratios += [("table-read", cp / read), ("table-write", cp / write)]


def bench_recheck(programs, scratch, count, rounds, ratios):
    """Measures the cost of a file: a run with nothing to do, less the same over a single file."""
    large, small = scratch / f"recheck-{count}", scratch / f"recheck-{count}-1"
    picture = cv2.imencode(".png", numpy.zeros((8, 8), numpy.uint8))[1].tobytes()
    for folder, files in ((large, count), (small, 1)):
        (folder / "images").mkdir(parents=True)
        for index in range(files):
            (folder / "images" / f"{index:06}.png").write_bytes(picture)
        names = project(folder)
        for _ in range(2):
            spawn([programs / "orchestrate", "run", "spec.toml"], folder)
        if folder == large:
            all_names = names
    ours, base, peers = [], [], []
    for _ in range(rounds):
        peers.append(peer_stats(large, all_names))
        ours.append(spawn([programs / "orchestrate", "run", "spec.toml"], large))
        base.append(spawn([programs / "orchestrate", "run", "spec.toml"], small).seconds)
    seconds = statistics.median(run.seconds for run in ours)
    peak = statistics.median(run.peak_mb for run in ours)
    own, peer = seconds - statistics.median(base), statistics.median(peers)
    print(
        f"{count} unchanged files: {seconds * 1000:.1f} ms, {peak:.0f} MB, {own / count * 1e6:.2f} µs a file;"
        f" a loop of os.stat {peer / count * 1e6:.2f} µs a file"
    )
    ratios.append((f"recheck-{count}", peer / own))


def main():
    parser = argparse.ArgumentParser(description="the cost of data")
    parser.add_argument("--programs", type=Path, default=ROOT / "target" / "release", help="folder of the programs")
    parser.add_argument("--images", type=int, default=3064, help="JPEGs to decode [default: 3064]")
    parser.add_argument("--files", type=int, nargs="+", default=[3064, 100_000], help="[default: 3064 100000]")
    parser.add_argument("--rounds", type=int, default=5, help="[default: 5]")
    arguments = parser.parse_args()
    programs, rounds = arguments.programs.resolve(), arguments.rounds
    scratch = Path(tempfile.mkdtemp(prefix="data-", dir=ROOT / "target"))
    ratios = []
    try:
        folder = bench_decoding(programs, scratch, arguments.images, rounds, ratios)
        bench_table(programs, folder, rounds, ratios)
        for count in arguments.files:
            bench_recheck(programs, scratch, count, rounds, ratios)
    finally:
        shutil.rmtree(scratch)
    for what, ratio in ratios:
        print(f"ratio {what} {ratio:.2f}")


if __name__ == "__main__":
    main()
