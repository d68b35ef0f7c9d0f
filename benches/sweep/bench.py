#!/usr/bin/env python3
"""A sweep over thresholds: orchestrate beside the loop in peer.py, with the same scores. See benches/README.md.

Needs Python 3.9 or later with NumPy, OpenCV, scikit-image and pyarrow, and the program, built by `just bench-sweep`.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ONE_FOLD = ["--set", 'axes.model=[{ name = "a", shift = 0 }]', "--set", "axes.fold=[1]"]
SIZES = {
    5: ["200", "225", "q90", "q95", "otsu"],
    51: [str(5 * step) for step in range(52) if step != 50],
    256: [str(level) for level in range(256)],
}
METRICS = ["iou", "dice", "precision", "recall"]


def spawn(command, cwd):
    """Runs a command; returns wall-clock seconds, CPU seconds with children, and its output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, done.stdout + done.stderr


def read(path):
    """Reads a Parquet table, without columns for the names of its folders."""
    return pq.ParquetFile(path).read()


def size_mb(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


class Project:
    """The study with its maps in the store."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "orchestrate.toml").touch()
        (folder / "spec.toml").write_text((HERE / "sweep.toml").read_text().replace("{PYTHON}", sys.executable))
        shutil.copy(HERE / "maps.py", folder)

    def run(self, *arguments):
        return spawn([self.program, "run", "spec.toml", *arguments], self.folder)

    def sweep(self, values, *arguments):
        return spawn([self.program, "sweep", "spec.toml", f"threshold={values}", *arguments], self.folder)

    def copy(self, folder):
        """Copies the project as it is now; objects never change and are linked."""
        def link(source, target):
            (os.link if "objects" in Path(source).parts else shutil.copy2)(source, target)
        shutil.copytree(self.folder, folder, copy_function=link, ignore=shutil.ignore_patterns("published", "results"))
        return Project(self.program, folder)

    def arrays(self, folder):
        """Writes maps and ground truth of the fold for the peer."""
        point = "model=a,fold=1"
        cams = read(self.folder / "published" / "cam" / point / "cams.parquet")
        masks = read(self.folder / "published" / "images" / "masks" / "masks.parquet")
        rows = {name: row for row, name in enumerate(masks["image"].to_pylist())}
        side, size = cams["height"][0].as_py(), cams["input_height"][0].as_py()
        maps = np.array(cams["map"].to_pylist(), np.float32).reshape(-1, side, side)
        truth = [np.frombuffer(masks["pixels"][rows[name]].as_py(), np.uint8) for name in cams["image"].to_pylist()]
        np.save(folder / "maps.npy", maps)
        np.save(folder / "truth.npy", np.array(truth).reshape(-1, size, size).astype(bool))
        return len(maps)


def peer(scratch, metrics, thresholds):
    command = [sys.executable, HERE / "peer.py", scratch / "maps.npy", scratch / "truth.npy", scratch, metrics]
    return float(spawn([*command, *thresholds], scratch)[2].split()[-1])


def compare(scratch, project, thresholds):
    """Compares every score of every image and threshold, to the last bit."""
    values = ", ".join(text if text.isdigit() else f'"{text}"' for text in thresholds)
    project.run(*ONE_FOLD, "--set", f"axes.threshold=[{values}]", "--until", "score")
    theirs = {metric: np.load(scratch / f"{metric}.npy") for metric in METRICS}
    for index, threshold in enumerate(thresholds):
        point = f"model=a,fold=1,threshold={threshold}"
        scores = read(project.folder / "published" / "score" / point / "scores.parquet")
        for metric in METRICS:
            ours = np.array(scores[metric].to_pylist())
            unequal = np.flatnonzero(ours != theirs[metric][:, index])
            if len(unequal):
                image = unequal[0]
                sys.exit(f"{metric} at {threshold} of image {image}: {ours[image]} and {theirs[metric][image, index]}")
    shutil.rmtree(project.folder / "published")


def bench_size(base, scratch, count, images, rounds, ratios):
    thresholds = SIZES[count]
    values = "0..=255" if count == 256 else ",".join(thresholds)
    ours, cpus, theirs, theirs_iou = [], [], [], []
    for turn in range(rounds):
        theirs_iou.append(peer(scratch, "iou", thresholds))
        theirs.append(peer(scratch, "all", thresholds))
        project = base.copy(scratch / f"sweep-{count}-{turn}")
        seconds, cpu, _ = project.sweep(values, *ONE_FOLD)
        ours.append(seconds)
        cpus.append(cpu)
        if turn == 0:
            compare(scratch, project, thresholds)
        shutil.rmtree(project.folder)
    median = statistics.median
    speed = lambda times: images * count / median(times)
    print(
        f"{count:>4} thresholds  {median(ours) * 1000:7.1f} ms"
        f" ({median(cpus) * 1000:.0f} ms of CPU, {speed(ours) / 1e6:.2f} M image-thresholds/s);"
        f" peer {median(theirs) * 1000:.0f} ms ({speed(theirs) / 1e6:.3f} M),"
        f" IoU alone {median(theirs_iou) * 1000:.0f} ms; equal to the last bit"
    )
    ratios.append((f"sweep-{count}", median(theirs) / median(ours)))
    ratios.append((f"sweep-{count}-iou-alone", median(theirs_iou) / median(ours)))


def bench_study(base, scratch):
    project = base.copy(scratch / "study")
    before = size_mb(project.folder / ".orchestrate")
    seconds, cpu, said = project.sweep("0..=255", "--nested")
    print(said.split("\n\n")[1])
    stored = size_mb(project.folder / ".orchestrate") - before
    print(f"6 models × 5 folds × 256 thresholds: {seconds:.2f} s ({cpu:.2f} s of CPU), {stored:.0f} MB stored")
    again = statistics.median(project.sweep("0..=255", "--nested")[0] for _ in range(3))
    print(f"the same again: {again:.2f} s")
    one_more = statistics.median(
        project.sweep("0..=255," + ",".join(f"{step}.5" for step in range(turn + 1)))[0] for turn in range(3)
    )
    print(f"one threshold more: {one_more:.2f} s")
    shutil.rmtree(project.folder)


def main():
    parser = argparse.ArgumentParser(description="orchestrate sweep beside a loop in Python")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "orchestrate")
    sizes = list(SIZES)
    parser.add_argument("--thresholds", type=int, nargs="+", default=sizes, choices=sizes, help="sizes [default: all]")
    parser.add_argument("--rounds", type=int, default=5, help="of each, in turns [default: 5]")
    parser.add_argument("--scratch", type=Path, help="keep images and maps in this folder; use those it has")
    parser.add_argument("--no-study", action="store_true", help="leave out the 7,680 points of six models, five folds")
    arguments = parser.parse_args()
    scratch = arguments.scratch or Path(tempfile.mkdtemp(prefix="sweep-", dir=ROOT / "target"))
    scratch.mkdir(exist_ok=True)
    ratios = []
    try:
        base = Project(arguments.program.resolve(), scratch / "base")
        base.run("--until", "cam", *(ONE_FOLD if arguments.no_study else []))
        images = base.arrays(scratch)
        print(f"{images} images in the fold")
        for count in arguments.thresholds:
            bench_size(base, scratch, count, images, arguments.rounds, ratios)
        if not arguments.no_study:
            bench_study(base, scratch)
    finally:
        if not arguments.scratch:
            shutil.rmtree(scratch)
    for what, ratio in ratios:
        print(f"ratio {what} {ratio:.2f}")


if __name__ == "__main__":
    main()
