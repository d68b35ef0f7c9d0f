"""Resized grey pictures and masks by Pillow, as a reference for the stage `dataset`. Writes resize.json."""

import json
import pathlib

import numpy as np
import PIL
from PIL import Image

HEIGHT, WIDTH = 19, 26
random = np.random.default_rng(7)
noise = random.integers(0, 256, size=(HEIGHT, WIDTH))
ramp = np.add.outer(np.arange(HEIGHT) * 7, np.arange(WIDTH) * 5)
image = ((noise + 2 * ramp) // 3).clip(0, 255).astype(np.uint8)
y, x = np.mgrid[:HEIGHT, :WIDTH]
mask = ((y - 9) ** 2 / 30 + (x - 14) ** 2 / 60 < 1).astype(np.uint8)

cases = []
for height, width in [(8, 8), (7, 11), (19, 13), (24, 31), (1, 1)]:

    def resized(pixels, resample):
        return np.asarray(Image.fromarray(pixels).resize((width, height), resample))

    cases.append(
        {
            "height": height,
            "width": width,
            "nearest": resized(image, Image.Resampling.NEAREST).ravel().tolist(),
            "bilinear": resized(image, Image.Resampling.BILINEAR).ravel().tolist(),
            "bicubic": resized(image, Image.Resampling.BICUBIC).ravel().tolist(),
            "mask_nearest": resized(mask, Image.Resampling.NEAREST).ravel().tolist(),
            "mask_bilinear": (resized(mask * 255, Image.Resampling.BILINEAR) > 127).astype(int).ravel().tolist(),
        }
    )

out = {
    "made_by": f"resize.py, Pillow {PIL.__version__}",
    "height": HEIGHT,
    "width": WIDTH,
    "image": image.ravel().tolist(),
    "mask": mask.ravel().tolist(),
    "cases": cases,
}
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(out).replace('{"height"', '\n{"height"') + "\n")
