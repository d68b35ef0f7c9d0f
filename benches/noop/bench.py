#!/usr/bin/env python3
"""The cost of the engine when the work costs nothing: orchestrate beside ninja on the graph of a study.

See benches/README.md.

Needs Python 3.9 or later, ninja on the PATH, and the program, built by `just bench-noop`.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from spawn import spawn  # noqa: E402

MODELS = ["alexnet", "vgg16", "vgg19", "modified-alexnet", "modified-vgg16", "modified-vgg19"]
FOLDS = range(1, 6)


def node_count(thresholds):
    return 63 + 60 * thresholds


class Ours:
    """A project with the spec, in a folder of its own."""

    def __init__(self, program, folder, thresholds):
        self.program, self.folder = program, folder
        folder.mkdir(parents=True)
        (folder / "orchestrate.toml").touch()
        self.write(f'"1..={thresholds}"')

    def write(self, axis):
        spec = (HERE / "noop.toml").read_text()
        assert 'threshold = "1..=5"' in spec
        (self.folder / "spec.toml").write_text(spec.replace('threshold = "1..=5"', f"threshold = {axis}"))

    def run(self, *arguments):
        return spawn([self.program, "run", "spec.toml", *arguments], self.folder)

    def plan(self):
        return spawn([self.program, "plan", "spec.toml"], self.folder)

    def first_started_ms(self):
        """Returns the time of the first stage of the newest run. Reads no more, as a big process is slow to fork."""
        newest = max((self.folder / ".orchestrate" / "runs").iterdir())
        with open(newest / "events.jsonl") as lines:
            return next(json.loads(line)["at_ms"] for line in lines if '"node_started"' in line)


class Ninja:
    """The same graph for ninja: the command of every node makes its file."""

    def __init__(self, folder, thresholds):
        self.folder = folder
        folder.mkdir(parents=True)
        self.write(range(1, thresholds + 1))

    def write(self, thresholds, changed=()):
        lines = ["rule make", "  command = : > $out $note"]

        def node(output, *inputs, note=""):
            lines.append(f"build {output}: make {' '.join(inputs)}")
            if note:
                lines.append(f"  note = # {note}")

        node("images")
        node("split", "images")
        scores = []
        for model in MODELS:
            for fold in FOLDS:
                at = f"{model}-{fold}"
                node(f"train/{at}", "images", "split")
                node(f"cam/{at}", "images", f"train/{at}")
                for threshold in thresholds:
                    note = "changed" if threshold in changed else ""
                    node(f"threshold/{at}-{threshold}", f"cam/{at}", note=note)
                    scores.append(f"score/{at}-{threshold}")
                    node(scores[-1], f"cam/{at}", f"threshold/{at}-{threshold}", "images", note=note)
        node("table", *scores)
        lines.append("default table\n")
        (self.folder / "build.ninja").write_text("\n".join(lines))

    def run(self):
        return spawn(["ninja", "--quiet"], self.folder)


def median(values):
    return statistics.median(values)


def bench_size(program, scratch, thresholds, rounds, ratios):
    nodes = node_count(thresholds)
    ours = Ours(program, scratch / f"ours-{nodes}", thresholds)
    peer = Ninja(scratch / f"ninja-{nodes}", thresholds)
    first = ours.run()
    started = ours.first_started_ms()
    per_node = first.seconds / nodes * 1e6
    print(f"{nodes:>9} nodes  first run {first.seconds:.3f} s, {per_node:.1f} µs a node, {first.peak_mb:.0f} MB")
    print(f"{'':>9}        process start to first stage started {started - first.began_at * 1000:.1f} ms")
    peer_first = peer.run().seconds
    print(f"{'':>9}        ninja's first run {peer_first:.3f} s")
    ratios.append((f"first-run-{nodes}", peer_first / first.seconds))

    times, peaks, peer_times = [], [], []
    for _ in range(rounds):
        peer_times.append(peer.run().seconds)
        spent = ours.run()
        times.append(spent.seconds)
        peaks.append(spent.peak_mb)
    print(
        f"{'':>9}        no-op {median(times) * 1000:.1f} ms, {median(peaks):.0f} MB;"
        f" ninja {median(peer_times) * 1000:.1f} ms"
    )
    ratios.append((f"noop-{nodes}", median(peer_times) / median(times)))

    changed, peer_changed = [], []
    for round in range(min(rounds, 3)):
        peer.write(range(1, thresholds + 1), changed=set(range(1, round + 2)))
        peer_changed.append(peer.run().seconds)
        ours.write(f'["2..={thresholds}", {10_000_000 + round}]')
        changed.append(ours.run().seconds)
    print(
        f"{'':>9}        one threshold changed {median(changed) * 1000:.1f} ms;"
        f" ninja {median(peer_changed) * 1000:.1f} ms"
    )
    ratios.append((f"one-changed-{nodes}", median(peer_changed) / median(changed)))


def bench_node(program, scratch, thresholds, rounds, ratios):
    """Measures a light node that runs, durable once reported: first runs of both in turns, each in a new folder."""
    nodes, times, peer_times = node_count(thresholds), [], []
    for round in range(rounds):
        ours, peer = scratch / f"ours-{nodes}-{round}", scratch / f"ninja-{nodes}-{round}"
        peer_times.append(Ninja(peer, thresholds).run().seconds)
        times.append(Ours(program, ours, thresholds).run().seconds)
        shutil.rmtree(ours)
        shutil.rmtree(peer)
    per_node, peer_per_node = (median(values) / nodes * 1e6 for values in (times, peer_times))
    print(
        f"{nodes:>9} nodes  a light node that runs {per_node:.1f} µs;"
        f" ninja, with a process each, {peer_per_node:.1f} µs"
    )
    ratios.append((f"node-{nodes}", median(peer_times) / median(times)))


def plot_growth(points, path):
    """Draws seconds and megabytes by planned nodes, on logarithmic axes, so linear growth is a diagonal."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    nodes, seconds, peaks = zip(*points)
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3.5), layout="constrained")
    for axis, values, label in zip(axes, (seconds, peaks), ("seconds", "peak memory, MB")):
        linear = [values[-1] * count / nodes[-1] for count in nodes]
        axis.loglog(nodes, linear, "--", color="grey", label="linear")
        axis.loglog(nodes, values, "o-", label="plan, the whole process")
        axis.set(xlabel="nodes", ylabel=label)
        axis.legend()
    figure.savefig(path)


def bench_growth(program, scratch, plot):
    print("planning alone, by the number of nodes (nothing stored):")
    points = []
    for thresholds in (16, 166, 1_666, 16_666):
        ours = Ours(program, scratch / f"growth-{thresholds}", thresholds)
        runs = [ours.plan() for _ in range(3)]
        seconds, nodes = median([run.seconds for run in runs]), node_count(thresholds)
        peak = median([run.peak_mb for run in runs])
        print(f"{nodes:>9} nodes  {seconds * 1000:>8.1f} ms  {seconds / nodes * 1e6:>6.2f} µs a node  {peak:>5.0f} MB")
        points.append((nodes, seconds, peak))
    if plot:
        plot_growth(points, plot)


def main():
    parser = argparse.ArgumentParser(description="orchestrate beside ninja, both doing nothing")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "orchestrate-noop")
    parser.add_argument("--thresholds", type=int, nargs="+", default=[5, 51, 1666], help="sizes [default: 5 51 1666]")
    parser.add_argument("--rounds", type=int, default=7, help="no-op runs of each, in turns [default: 7]")
    parser.add_argument("--scratch", type=Path, help="keep all files in this folder, which must not exist")
    parser.add_argument("--node", action="store_true", help="only the cost of a light node that runs")
    parser.add_argument("--plot", type=Path, help="draw the growth to this SVG; needs matplotlib")
    parser.add_argument("--no-growth", action="store_true", help="leave out plans of up to a million nodes")
    arguments = parser.parse_args()
    scratch = arguments.scratch or Path(tempfile.mkdtemp(prefix="noop-", dir=ROOT / "target"))
    version = subprocess.run(["ninja", "--version"], capture_output=True, text=True, check=True)
    print(version.stdout.strip(), "is ninja's version")
    ratios = []
    # A copy lies in one piece, as an installed program does. The page cache holds a freshly linked one in small pieces,
    # and it starts more slowly.
    program = Path(shutil.copy(arguments.program, Path(tempfile.mkdtemp(prefix="noop-program-", dir=ROOT / "target"))))
    try:
        for thresholds in arguments.thresholds:
            bench = bench_node if arguments.node else bench_size
            bench(program, scratch, thresholds, arguments.rounds, ratios)
        if not (arguments.no_growth or arguments.node):
            bench_growth(program, scratch, arguments.plot)
    finally:
        shutil.rmtree(program.parent)
        if not arguments.scratch:
            shutil.rmtree(scratch)
    for what, ratio in ratios:
        print(f"ratio {what} {ratio:.2f}")


if __name__ == "__main__":
    main()
