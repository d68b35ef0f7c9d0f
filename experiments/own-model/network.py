"""The network: replace it by yours. `last` is the layer whose maps are weighted by Grad-CAM."""

import numpy as np
import torch
from torch import nn


class Network(nn.Module):
    """Three convolutions, global average pooling, one linear layer."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.last = nn.Conv2d(2 * channels, 4 * channels, 3, padding=1)
        self.linear = nn.Linear(4 * channels, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = nn.functional.max_pool2d(torch.relu(self.first(images)), 2)  # [image, channels, 32, 32]
        maps = nn.functional.max_pool2d(torch.relu(self.second(maps)), 2)  # [image, 2 channels, 16, 16]
        maps = torch.relu(self.last(maps))  # [image, 4 channels, 16, 16]
        return self.linear(maps.mean(dim=(2, 3)))


def as_input(pixels: np.ndarray) -> torch.Tensor:
    """Grey levels `[image, height, width]` as input `[image, 1, height, width]`, 0 to 1."""
    return torch.from_numpy(pixels.astype(np.float32) / 255)[:, None]
