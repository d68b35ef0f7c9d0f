"""Checks a graphics card: values beside the CPU's, speed beside PyTorch, memory, start, and a part of a real study.

See check.sh, which starts it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PEER = ROOT / "benches" / "network" / "peer.py"

# Network and precisions, the most important first.
PARITY = [
    ("squeezenet1_1", ["f32", "bf16", "f16"]),
    ("vgg16", ["f32", "bf16"]),
    ("resnet50", ["f32"]),
    ("unet-vgg16", ["f32"]),
    ("tiny", ["f32", "bf16", "f16"]),
    ("modified-vgg16", ["f32"]),
    ("densenet121", ["f32"]),
    ("alexnet", ["f32"]),
    ("vgg16", ["f16"]),
    ("vgg19", ["f32"]),
]
SPEED = [("squeezenet1_1", True), ("vgg16", True), ("resnet50", False), ("unet-vgg16", False)]

CLASSIFIER = """
[experiment]
name = "check"
seed = 7

[axes]
fold = {{ folds = 2 }}

[stages.images]
kind = "dataset"
format = "phantom"
count = {count}
size = {size}

[stages.split]
kind = "split"
inputs = {{ labels = "images" }}

[stages.train]
kind = "train"
over = ["fold"]
inputs = {{ images = "images", split = "split" }}
model = "{network}"
precision = "{precision}"
epochs = {epochs}
batch_size = {batch}
learning_rate = 1e-5
resources = {{ gpu = {gpu} }}

[stages.cam]
kind = "cam"
inputs = {{ images = "images", split = "split", weights = "train" }}
precision = "{precision}"

[stages.threshold]
kind = "threshold"
threshold = "q90"
inputs = {{ cams = "cam" }}

[stages.score]
kind = "score"
inputs = {{ cams = "cam", thresholds = "threshold", masks = "images" }}

[stages.table]
kind = "table"
inputs = {{ scores = "score" }}
value = "iou"
"""

UNET = """
[experiment]
name = "check"
seed = 7

[stages.images]
kind = "dataset"
format = "phantom"
count = {count}
size = {size}

[stages.split]
kind = "split"
folds = 2
inputs = {{ labels = "images" }}

[stages.segment]
kind = "segment"
fold = 1
inputs = {{ images = "images", masks = "images", split = "split" }}
encoder = "vgg16"
epochs = {epochs}
batch_size = {batch}
learning_rate = 1e-5

[stages.predict-masks]
kind = "predict-masks"
inputs = {{ images = "images", split = "split", weights = "segment" }}

[stages.score]
kind = "score"
inputs = {{ predicted = "predict-masks", masks = "images" }}

[stages.table]
kind = "table"
inputs = {{ scores = "score" }}
value = "dice"
"""


class Check:
    """One check; each part adds rows to `found`, which is written after each."""

    def __init__(self, options):
        self.options = options
        self.program = options.program.resolve()
        if not self.program.is_file():
            sys.exit(f"there is no program {options.program}")
        self.device = options.device
        self.out = options.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "orchestrate.toml").touch()
        self.began = time.monotonic()
        self.found = {"device": self.device, "rehearsal": options.rehearsal}

    def left(self):
        """Returns the seconds that are left."""
        return self.options.seconds - (time.monotonic() - self.began)

    def run(self, *arguments, seconds=None):
        """Runs the program; returns its exit code, output, errors and seconds. The code is None if time ran out."""
        limit = max(1.0, min(seconds or self.left(), self.left()))
        command = [str(self.program), *map(str, arguments)]
        began = time.monotonic()
        try:
            done = subprocess.run(command, cwd=self.out, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            return None, "", f"stopped after {limit:.0f} s", time.monotonic() - began
        return done.returncode, done.stdout, done.stderr, time.monotonic() - began

    def keep(self, part, value):
        self.found[part] = value
        self.found["seconds"] = round(time.monotonic() - self.began, 1)
        (self.out / "check.json").write_text(json.dumps(self.found, indent=1) + "\n")

    def devices(self):
        code, out, error, _ = self.run("devices", "--json")
        listed = [json.loads(line) for line in out.splitlines()]
        self.keep("devices", listed)
        if self.device is None:
            gpus = [found["device"] for found in listed if found["kind"] not in ("cpu", "software")]
            if not gpus:
                sys.exit(f"there is no GPU; a rehearsal names a driver in software\n{out}{error}")
            self.device = self.found["device"] = gpus[0]
        mine = next((found for found in listed if found["device"] == self.device), None)
        if mine is None:
            sys.exit(f"there is no device {self.device}: {out}")
        self.precisions = mine["precisions"]
        facts = [mine["name"], mine["api"], f"driver {mine['driver']}", *self.precisions]
        print(f"{self.device}: {', '.join(facts)}", flush=True)

    def start(self):
        """Seconds until a process has opened the device, beside one that opens none."""
        opened = [self.run("devices", self.device, "--json")[3] for _ in range(3)]
        none = [self.run("devices", "cpu", "--json")[3] for _ in range(3)]
        value = {"device": statistics.median(opened), "cpu": statistics.median(none)}
        self.keep("worker_start_seconds", value)
        device, cpu = value["device"], value["cpu"]
        print(f"a worker starts in {device:.2f} s on {self.device}, {cpu:.2f} s on the CPU", flush=True)

    def spec(self, name, network, precision="f32", gpu=1, **sizes):
        """Writes a spec; returns its name."""
        text = UNET if network == "unet-vgg16" else CLASSIFIER
        text = text.format(network=network, precision=precision, gpu=gpu, **sizes)
        (self.out / f"{name}.toml").write_text(text)
        return f"{name}.toml"

    def parity(self, seconds):
        """The largest differences between the device and the CPU, of equal studies."""
        sizes = {"count": 8, "size": 32, "epochs": 1, "batch": 4}
        if not self.options.rehearsal:
            sizes = {"count": 24, "size": 64, "epochs": 2, "batch": 8}
        until, rows = time.monotonic() + seconds, []
        cases = [(network, precision) for network, precisions in PARITY for precision in precisions]
        if self.options.rehearsal:
            cases = [("tiny", "f32"), ("tiny", "f16"), ("tiny", "bf16"), ("squeezenet1_1", "f32")]
        for network, precision in cases:
            row = {"network": network, "precision": precision}
            rows.append(row)
            if precision not in self.precisions:
                row["skipped"] = "the device lacks this precision"
                continue
            if time.monotonic() > until:
                row["skipped"] = "no time was left"
                continue
            name = f"parity-{network}-{precision}"
            spec, store = self.spec(name, network, precision, **sizes), f"{name}-store"
            code, _, error, row["cpu_seconds"] = self.run("run", spec, "--store", store, "--device", "cpu")
            if code == 0:
                verify = ["verify-results", spec, "--store", store, "--device", self.device, "--json"]
                code, out, error, row["device_seconds"] = self.run(*verify, seconds=max(30.0, until - time.monotonic()))
            if code not in (0, 1) or not out:
                row["failed"] = error[-2000:]
            else:
                row.update(differences(out))
            print(line(row), flush=True)
            self.keep("parity", rows)
        self.keep("parity", rows)

    def speed(self, seconds):
        """Images a second, and peak memory of the device, beside PyTorch's."""
        until, rows = time.monotonic() + seconds, []
        networks = [("tiny", True)] if self.options.rehearsal else SPEED
        for network, is_in_16_bits in networks:
            wanted = ["f32", "bf16", "f16"] if is_in_16_bits else ["f32"]
            for precision in [known for known in wanted if known in self.precisions]:
                row = {"network": network, "precision": precision}
                rows.append(row)
                if time.monotonic() > until:
                    row["skipped"] = "no time was left"
                    continue
                with Memory() as memory:
                    bench = ["devices", self.device, "--benchmark", network, "--precision", precision, "--json"]
                    code, out, error, _ = self.run(*bench, seconds=60)
                found = json.loads(out) if out else {"error": error[-500:], "benchmark": None}
                row["error"], row["peak_mb"] = found["error"], memory.peak
                row.update(found["benchmark"] or {})
                print(line(row), flush=True)
                self.keep("speed", rows)
        for network, _ in networks:
            for amp in ([], ["amp"]):
                row = {"network": network, "precision": "PyTorch" + (", channels_last, amp" if amp else ", eager")}
                rows.append(row)
                if time.monotonic() > until:
                    row["skipped"] = "no time was left"
                    continue
                row.update(self.peer(network, amp))
                print(line(row), flush=True)
                self.keep("speed", rows)

    def peer(self, network, amp):
        size, batch = (96, 32) if network == "tiny" else (224, 8)
        where = "cpu" if self.options.rehearsal else "cuda"
        row = {}
        modes = ["train"] if network == "unet-vgg16" else ["train", "cam"]
        for mode in modes:
            command = [sys.executable, PEER, mode, network, size, batch, os.cpu_count() or 1, 20, where, *amp]
            with Memory() as memory:
                try:
                    limit = max(1, min(60, self.left()))
                    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=limit)
                except subprocess.TimeoutExpired:
                    return {"failed": "stopped"}
            if done.returncode != 0:
                return {"failed": (done.stderr.strip().splitlines() or ["no reason"])[-1]}
            *times, _ = map(float, done.stdout.split())
            name = "trained" if mode == "train" else "mapped"
            # The first steps choose kernels.
            row[f"{name}_images_per_second"] = batch / statistics.median(times[5:]) * 1000
            row["peak_mb"] = max(row.get("peak_mb") or 0, memory.peak or 0) or None
        return row

    def two_folds(self):
        """Seconds of two trainings on one card, one after the other and side by side."""
        sizes = {"count": 60, "size": 224, "epochs": 3, "batch": 8}
        if self.options.rehearsal:
            sizes = {"count": 12, "size": 32, "epochs": 1, "batch": 4}
        network = "tiny" if self.options.rehearsal else "squeezenet1_1"
        row = {}
        for name, gpu in [("alone", 1), ("together", 0.5)]:
            spec = self.spec(f"folds-{name}", network, gpu=gpu, **sizes)
            arguments = ["run", spec, "--store", f"folds-{name}-store", "--until", "train", "--device", self.device]
            code, _, error, row[f"{name}_seconds"] = self.run(*arguments, seconds=90)
            if code != 0:
                row["failed"] = error[-2000:]
        self.keep("two_folds", row)
        print(f"two folds: {line(row)}", flush=True)

    def study(self):
        """As much of the paper's study on real slices as the time left allows; the same store goes on another time."""
        data, left = self.options.data, self.left() - 20
        if data is None or left < 30:
            self.keep("study", {"skipped": "no data were named" if data is None else "no time was left"})
            return
        spec = ROOT / "experiments" / "paper.toml"
        sets = ['stages.images.format="manifest"', f'stages.images.path="{data.resolve() / "labels.csv"}"']
        settings = [part for text in sets + self.options.set for part in ("--set", text)]
        first = ["--only", "train[model=modified-vgg16]", "--only", "cam[model=modified-vgg16]"]
        how = ["--device", self.device, "--deadline", f"{int(left)}s", "--store", self.out / "paper-store"]
        code, _, error, seconds = self.run("run", spec, *settings, *first, *how, seconds=left + 15)
        lines = [text for text in error.splitlines() if " s  " in text or "nodes" in text]
        self.keep("study", {"exit": code, "seconds": seconds, "lines": lines[-40:], "error": error[-1500:]})
        print("\n".join(lines[-6:]), flush=True)


class Memory:
    """The peak of the memory that processes use on the first NVIDIA card, in MB; None without `nvidia-smi`."""

    def __enter__(self):
        self.peak, self.over = None, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()
        return self

    def watch(self):
        query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]
        while not self.over.wait(0.2):
            try:
                used = subprocess.run(query, capture_output=True, text=True, check=True, timeout=5).stdout
                self.peak = max(self.peak or 0, int(used))
            except (OSError, subprocess.SubprocessError, ValueError):
                return

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(timeout=6)


def differences(out):
    """Returns the largest differences of weights, maps, probabilities, scores and tables."""
    largest = {}
    for text in out.splitlines():
        for column in json.loads(text)["columns"]:
            kind, _, name = column["name"].partition(" ")
            kind = {"cams": name, "table": "table"}.get(kind, kind)
            if kind in ("weights", "map", "probabilities", "table") and column["largest"] is not None:
                largest[kind] = max(largest.get(kind, 0.0), column["largest"])
    return {"largest": largest}


def line(row):
    cells = []
    for name, value in row.items():
        if isinstance(value, dict):
            value = ", ".join(f"{inner} {number:.1e}" for inner, number in value.items())
        elif isinstance(value, float):
            value = f"{value:.1f}"
        if value not in (None, ""):
            cells.append(f"{name.replace('_', ' ')} {value}")
    return "  ".join(cells).replace("network ", "", 1).replace("precision ", "", 1)


def main():
    parser = argparse.ArgumentParser(description="checks a graphics card")
    parser.add_argument("program", type=Path)
    parser.add_argument("device", nargs="?", help="[default: the first GPU]")
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="[default: gpu-check]")
    parser.add_argument("--seconds", type=float, default=450, help="for all of it [default: 450]")
    parser.add_argument("--data", type=Path, help="a folder with labels.csv, images and masks for the paper's study")
    parser.add_argument("--set", action="append", default=[], help="overrides of the paper's study")
    parser.add_argument("--rehearsal", action="store_true", help="small sizes, for a driver in software")
    check = Check(parser.parse_args())
    check.devices()
    check.start()
    share = check.options.seconds
    check.parity(share * 0.35)
    check.speed(share * 0.3)
    check.two_folds()
    check.study()
    print(f"{check.out / 'check.json'}: {time.monotonic() - check.began:.0f} s")


if __name__ == "__main__":
    main()
