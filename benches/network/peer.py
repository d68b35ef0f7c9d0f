#!/usr/bin/env python3
"""The peer of orchestrate-network, with the same output: `peer.py train|cam MODEL SIZE BATCH THREADS STEPS`."""

import resource
import sys
import time

import torch
import torchvision
from torch import nn

CLASSES = 3


def conv(channels, units, kernel=3, stride=1, padding=1):
    return [nn.Conv2d(channels, units, kernel, stride, padding), nn.ReLU(inplace=True)]


def trunk(model):
    """Returns the layers, the channels of an image and those of the feature map."""
    if model == "tiny":
        first = conv(1, 32, 7, 4, 3) + conv(32, 32) + [nn.MaxPool2d(2)]
        return nn.Sequential(*first, *conv(32, 64), *conv(64, 64), nn.MaxPool2d(2)), 1, 64
    return getattr(torchvision.models, model)(weights=None).features, 3, 512


def main():
    mode, model, *numbers = sys.argv[1:]
    size, batch, threads, steps = map(int, numbers)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    features, channels, units = trunk(model)
    head = nn.Linear(units, CLASSES)
    images = torch.rand(batch, channels, size, size) * 2 - 1
    labels = torch.arange(batch) % CLASSES
    optimizer = torch.optim.Adam([*features.parameters(), *head.parameters()], lr=1e-4)

    def train():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(head(features(images).mean((2, 3))), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def cam():
        maps = features(images)
        probability = head(maps.mean((2, 3))).softmax(1).max().item()
        cams = torch.einsum("nk,nkhw->nhw", head.weight[labels], maps)
        return probability + cams.numel()

    step = {"train": train, "cam": cam}[mode]
    times = []
    for _ in range(steps + 1):
        began = time.perf_counter()
        step()
        times.append((time.perf_counter() - began) * 1000)
    for elapsed in times[1:]:
        print(f"{elapsed:.3f}")
    print(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000:.0f}")


if __name__ == "__main__":
    main()
