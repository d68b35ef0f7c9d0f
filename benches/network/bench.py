"""Networks beside PyTorch on the CPU: the common part of `benches/train/bench.py` and `benches/cam/bench.py`.

See benches/README.md.

Needs the program, built by the recipe, and a Python with torch and torchvision: `--python`, or the one that runs this.
"""

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Model, pixels, images in a batch, and steps of each run.
CASES = {
    "tiny": (96, 32, 8),
    "squeezenet1_1": (224, 8, 4),
    "resnet18": (224, 8, 5),
    "vgg16": (224, 8, 1),
    "unet-vgg16": (96, 8, 3),
}
# A U-Net has no class activation maps.
ONLY_TRAINED = ["unet-vgg16"]


def run(command):
    """Returns the milliseconds of each step, and the peak memory in MB."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stderr}")
    *times, peak = map(float, done.stdout.split())
    return times, peak


def main(mode):
    parser = argparse.ArgumentParser(description=f"{mode} beside PyTorch")
    parser.add_argument("--program", type=Path, default=ROOT / "target" / "release" / "orchestrate-network")
    parser.add_argument("--python", default=sys.executable, help="a Python with torch and torchvision")
    models = [model for model in CASES if mode == "train" or model not in ONLY_TRAINED]
    parser.add_argument("--models", nargs="+", choices=models, default=models, help="[default: all]")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="[default: 1 2]")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns [default: 3]")
    arguments = parser.parse_args()
    ask = "import torch, torchvision; print('torch', torch.__version__, 'torchvision', torchvision.__version__)"
    said = subprocess.run([arguments.python, "-c", ask], check=True, capture_output=True, text=True)
    print(said.stdout.strip(), flush=True)
    ratios = []
    for model in arguments.models:
        size, batch, steps = CASES[model]
        for threads in arguments.threads:
            case = [mode, model, size, batch, threads, steps]
            ours, theirs, peaks, their_peaks = [], [], [], []
            for _ in range(arguments.rounds):
                times, peak = run([arguments.python, HERE / "peer.py", *case])
                theirs += times
                their_peaks.append(peak)
                times, peak = run([arguments.program, *case])
                ours += times
                peaks.append(peak)
            mine, peers = statistics.median(ours), statistics.median(theirs)
            print(
                f"{mode} {model}, {threads} thread{'s' * (threads > 1)}: {mine:.1f} ms a batch of {batch},"
                f" {batch / mine * 1000:.2f} images/s, {max(peaks):.0f} MB;"
                f" PyTorch {peers:.1f} ms, {batch / peers * 1000:.2f} images/s, {max(their_peaks):.0f} MB",
                flush=True,
            )
            ratios.append((f"{mode}-{model}-{threads}", peers / mine))
            ratios.append((f"{mode}-{model}-{threads}-memory", max(their_peaks) / max(peaks)))
    for what, ratio in ratios:
        print(f"ratio {what} {ratio:.2f}")
