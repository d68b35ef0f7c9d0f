"""Differences between PyTorch's gradients in 16 and in 32 bits: writes precision.json beside this file.

Random weights (He) on two 32x32 images of noise, as in the test that reads the file; 24 seeds. The trunk computes in 16
bits, pooling and the linear layer in f32; in f16 the loss is multiplied by 1024. A difference is the norm of the
difference of a tensor's gradients over the norm of the exact ones; the file has the largest over tensors and seeds. It
is large because in a rounded map another ReLU, or another pixel of a pooling window, sometimes wins.
"""

import copy
import json
from pathlib import Path

import torch
import torchvision
from torch import nn


def tiny():
    return nn.Sequential(
        nn.Conv2d(1, 32, 7, 4, 3), nn.ReLU(), nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, 1, 1), nn.ReLU(), nn.Conv2d(64, 64, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
    )


def squeezenet1_1():
    return torchvision.models.squeezenet1_1().features


def gradients(trunk, head, images, dtype):
    rounded, head = copy.deepcopy(trunk).to(dtype), copy.deepcopy(head)
    scale = 1024.0 if dtype == torch.float16 else 1.0
    pooled = rounded(images.to(dtype)).float().mean((2, 3))
    (head(pooled).sum() * 1e-4 * scale).backward()
    return [parameter.grad.float() / scale for parameter in rounded.parameters()]


def largest_difference(build, channels, features, dtype):
    largest = 0.0
    for seed in range(24):
        torch.manual_seed(seed)
        trunk, head = build(), nn.Linear(features, 3)
        for layer in trunk.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        images = torch.rand(2, channels, 32, 32) * 2 - 1
        exact = gradients(trunk, head, images, torch.float32)
        found = gradients(trunk, head, images, dtype)
        for a, b in zip(exact, found):
            largest = max(largest, float((a - b).norm() / a.norm()))
    return round(largest, 4)


torch.set_num_threads(1)
models = {"tiny": (tiny, 1, 64), "squeezenet1_1": (squeezenet1_1, 3, 512)}
types = {"bf16": torch.bfloat16, "f16": torch.float16}
largest = {
    model: {name: largest_difference(*arguments, dtype) for name, dtype in types.items()}
    for model, arguments in models.items()
}
versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
path = Path(__file__).with_suffix(".json")
path.write_text(json.dumps({"versions": versions, "largest": largest}, indent=1) + "\n")
