"""Weights and images from a formula, as in stages/networks/src/model/reference.rs, so only results are committed."""

import numpy as np

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform(name, count):
    """Draws numbers in [-1, 1): SplitMix64 from the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + GOLDEN * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return 2.0 * (z >> np.uint64(11)).astype(np.float64) / 2.0**53 - 1.0


def tensor(name, shape):
    """He-uniform for tensors of two or more axes; scales 0.5 to 1.5, variances 1 to 2, other vectors ±0.1.

    Variances in the residual blocks of ResNet are four times that, or the values would double from block to block.
    """
    middle, bound = 0.0, 0.1
    if len(shape) > 1:
        bound = np.sqrt(6.0 / int(np.prod(shape[1:])))
    elif name.endswith("weight"):
        middle, bound = 1.0, 0.5
    elif name.endswith("running_var"):
        middle, bound = (6.0, 2.0) if name.startswith("layer") else (1.5, 0.5)
    return (middle + uniform(name, int(np.prod(shape))) * bound).astype(np.float32).reshape(shape)


def image(name, height, width):
    """Returns grey levels 0..=255."""
    return np.floor((uniform(name, height * width) + 1.0) * 128.0).astype(np.uint8).reshape(height, width)


def fill(state_dict):
    """Replaces every tensor of a state dict in place, except the counters of batch normalisation."""
    import torch

    for name, values in state_dict.items():
        if values.dim() > 0:
            values.copy_(torch.from_numpy(tensor(name, tuple(values.shape))))
