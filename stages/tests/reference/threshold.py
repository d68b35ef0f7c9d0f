"""Reference values for thresholds: percentiles (NumPy, linear) and Otsu's method (scikit-image) of u8 pictures.

Writes threshold.json: each picture as its histogram, a list of (grey level, pixels). Run: python threshold.py
"""

import json
from pathlib import Path

import numpy as np
import skimage
from scipy.ndimage import zoom
from skimage.filters import threshold_otsu

QS = [0.1, 2.5, 25, 50, 75, 90, 95, 97.5, 99.9]


def heatmap(rng, side, target):
    values = zoom(rng.standard_normal((side, side)), target / side, order=1)
    values -= values.min()
    return (values / values.max() * 255).astype(np.uint8)


def pictures():
    rng = np.random.default_rng(1979)
    for side in (6, 7, 13, 14):
        yield heatmap(rng, side, 224)
    for side, target in ((2, 5), (3, 16), (7, 33), (4, 96)):
        yield heatmap(rng, side, target)
    yield rng.integers(0, 256, 1000).astype(np.uint8)
    yield np.array([0, 0, 10, 10], np.uint8)
    yield np.array([0, 255], np.uint8)
    yield np.array([42], np.uint8)
    yield np.repeat([10, 20, 30], [1000, 1, 1000]).astype(np.uint8)
    # Mirror images: the best level is a tie that only rounding decides.
    half = rng.integers(0, 128, 20000)
    yield np.concatenate([half, 255 - half]).astype(np.uint8)
    yield np.repeat(np.arange(256), 173).astype(np.uint8)


def case(picture):
    levels, counts = np.unique(picture, return_counts=True)
    return {
        "counts": [(int(level), int(count)) for level, count in zip(levels, counts)],
        "percentiles": [float(np.percentile(picture, q)) for q in QS],
        "otsu": float(threshold_otsu(picture)),
    }


result = {
    "made_by": "threshold.py",
    "versions": {"numpy": np.__version__, "scikit-image": skimage.__version__},
    "qs": QS,
    "cases": [case(picture) for picture in pictures()],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
