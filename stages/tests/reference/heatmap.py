"""Reference values for the heatmap: PyTorch for scale = "after", OpenCV for scale = "before".

Writes heatmap.json: random maps with their up-sampled values (PyTorch, f32), their grey levels after min-max, x 255 and
truncation (NumPy, f32), and the grey levels of the script of Zhou et al. 2016 (min-max at native size, then
OpenCV's resize of bytes). Run: python heatmap.py
"""

import json
from pathlib import Path

import cv2
import numpy as np
import torch

SIZES = [((3, 4), (7, 9)), ((7, 7), (20, 20)), ((13, 13), (30, 30)), ((5, 6), (3, 4)), ((6, 6), (6, 6))]


def grey_levels(values):
    values = values - values.min()
    return (values / values.max() * np.float32(255)).astype(np.uint8)


def case(rng, size, input_size):
    map_ = (rng.standard_normal(size) * 10).astype(np.float32)
    upsampled = torch.nn.functional.interpolate(
        torch.from_numpy(map_)[None, None], size=input_size, mode="bilinear", align_corners=False
    )[0, 0].numpy()
    height, width = input_size
    return {
        "size": size,
        "input_size": input_size,
        "map": [float(v) for v in map_.ravel()],
        "upsampled": [float(v) for v in upsampled.ravel()],
        "after": grey_levels(upsampled).ravel().tolist(),
        "before": cv2.resize(grey_levels(map_), (width, height)).ravel().tolist(),
    }


rng = np.random.default_rng(2021)
result = {
    "made_by": "heatmap.py",
    "versions": {"torch": torch.__version__, "numpy": np.__version__, "opencv": cv2.__version__},
    "cases": [case(rng, *sizes) for sizes in SIZES],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
