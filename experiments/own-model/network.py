"""The network: replace it by yours. `last` is the layer whose maps are weighted by Grad-CAM."""

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    """Four convolutions, global average pooling, one linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 7, stride=2, padding=3)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.third = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.last = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.linear = nn.Linear(2 * channels, classes)
        for convolution in (self.first, self.second, self.third, self.last):
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            nn.init.zeros_(convolution.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.first(images))  # [image, channels, 32, 32]
        maps = nn.functional.max_pool2d(torch.relu(self.second(maps)), 2)  # [image, channels, 16, 16]
        maps = torch.relu(self.last(torch.relu(self.third(maps))))  # [image, 2 channels, 16, 16]
        return self.linear(maps.mean(dim=(2, 3)))


def as_input(pixels: np.ndarray) -> torch.Tensor:
    """Grey levels `[image, height, width]` as input `[image, 1, height, width]`, centred on 0."""
    return torch.from_numpy((pixels.astype(np.float32) - 64) / 64)[:, None]
