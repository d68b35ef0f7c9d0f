#!/usr/bin/env python3
"""The usual loop with NumPy, OpenCV and scikit-image: `peer.py MAPS TRUTH OUT METRICS THRESHOLD…`

MAPS and TRUTH are .npy files, [image, height, width]. METRICS is `all` (IoU, Dice, precision and recall, as of a
`score` stage) or `iou`. Writes OUT/METRIC.npy, [image, threshold], and prints the seconds from loading the arrays to
the last score, without the start of Python, its imports, and writing.
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np
from skimage.filters import threshold_otsu


def resolve(threshold, heatmap):
    if threshold == "otsu":
        return threshold_otsu(heatmap)
    if isinstance(threshold, str):
        return np.percentile(heatmap, float(threshold[1:]))
    return threshold


def ratio(part, whole):
    return part / whole if whole else 0.0


def scores(maps, truths, thresholds, every):
    result = np.zeros((4 if every else 1, len(maps), len(thresholds)))
    for image, (values, truth) in enumerate(zip(maps, truths)):
        size = truth.shape[::-1]
        heatmap = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        heatmap = (heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())
        heatmap = (heatmap * 255).astype(np.uint8)
        for index, threshold in enumerate(thresholds):
            mask = heatmap > resolve(threshold, heatmap)
            both = np.logical_and(mask, truth).sum()
            either = np.logical_or(mask, truth).sum()
            result[0, image, index] = ratio(both, either)
            if every:
                in_mask, in_truth = mask.sum(), truth.sum()
                result[1:, image, index] = (
                    ratio(2 * both, in_mask + in_truth), ratio(both, in_mask), ratio(both, in_truth)
                )
    return result


def main(maps, truth, out, metrics, *thresholds):
    cv2.setNumThreads(1)
    thresholds = [int(text) if text.isdigit() else text for text in thresholds]
    began = time.perf_counter()
    found = scores(np.load(maps), np.load(truth), thresholds, metrics == "all")
    print(time.perf_counter() - began)
    for name, values in zip(["iou", "dice", "precision", "recall"], found):
        np.save(Path(out) / f"{name}.npy", values)


main(*sys.argv[1:])
