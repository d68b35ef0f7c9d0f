#!/usr/bin/env python3
"""The peer of orchestrate-network, with the same output: `peer.py train|cam MODEL SIZE BATCH THREADS STEPS`.

`DEVICE` may follow (`cuda`), and `amp` for channels_last and automatic mixed precision in bfloat16.
"""

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
    network = getattr(torchvision.models, model)(weights=None)
    if model.startswith("resnet"):
        # All but global average pooling and the linear layer.
        return nn.Sequential(*list(network.children())[:-2]), 3, network.fc.in_features
    return network.features, 3, 512


class Unet(nn.Module):
    """A U-Net for one class with VGG-16 as encoder, as segmentation_models_pytorch builds it."""

    def __init__(self):
        super().__init__()
        self.encoder = torchvision.models.vgg16(weights=None).features
        self.center = nn.Sequential(*self.block(512, 512), *self.block(512, 512))
        channels, blocks = 512, []
        for skip, units in [(512, 256), (512, 128), (256, 64), (128, 32), (0, 16)]:
            blocks.append(nn.Sequential(*self.block(channels + skip, units), *self.block(units, units)))
            channels = units
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Conv2d(channels, 1, 3, padding=1)

    @staticmethod
    def block(channels, units):
        convolution = nn.Conv2d(channels, units, 3, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(units), nn.ReLU(inplace=True)]

    def forward(self, images):
        skips, features = [], images
        for layer in self.encoder:
            if isinstance(layer, nn.MaxPool2d):
                skips.append(features)
            features = layer(features)
        features = self.center(features)
        for block, skip in zip(self.blocks, [*reversed(skips[1:]), None]):
            features = nn.functional.interpolate(features, scale_factor=2, mode="nearest")
            features = block(features if skip is None else torch.cat([features, skip], 1))
        return self.head(features)


def dice(logits, truth):
    """The loss of a batch, as the stage `segment` computes it by default."""
    predicted = logits.sigmoid()
    return 1 - 2 * (predicted * truth).sum() / (predicted.sum() + truth.sum()).clamp_min(1e-7)


def main():
    mode, model, *rest = sys.argv[1:]
    size, batch, threads, steps = map(int, rest[:4])
    device = rest[4] if len(rest) > 4 else "cpu"
    form = torch.channels_last if "amp" in rest[5:] else torch.contiguous_format
    autocast = torch.autocast(device, torch.bfloat16, enabled="amp" in rest[5:])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    segments = model == "unet-vgg16"
    features, channels, units = (Unet(), 3, 0) if segments else trunk(model)
    head = nn.Identity() if segments else nn.Linear(units, CLASSES)
    features, head = features.to(device, memory_format=form), head.to(device)
    images = (torch.rand(batch, channels, size, size) * 2 - 1).to(device, memory_format=form)
    labels = torch.arange(batch, device=device) % CLASSES
    masks = (images[:, :1] > 0).float()
    optimizer = torch.optim.Adam([*features.parameters(), *head.parameters()], lr=1e-4)

    def loss_of_batch():
        if segments:
            return dice(features(images), masks)
        return nn.functional.cross_entropy(head(features(images).mean((2, 3))), labels)

    def train():
        optimizer.zero_grad()
        with autocast:
            loss = loss_of_batch()
        loss.backward()
        optimizer.step()
        return loss.item()

    @torch.no_grad()
    def cam():
        with autocast:
            maps = features(images)
            probability = head(maps.mean((2, 3))).softmax(1).max().item()
            cams = torch.einsum("nk,nkhw->nhw", head.weight[labels], maps)
        return probability + cams.cpu().numel()

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
