"""Reference values for sweeps: scores along an axis, the best value, and the choice on other folds (pandas, NumPy).

Writes sweep.json. Some images have no score, and one fold of one model has no image with a score. Run: python sweep.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

MODELS, FOLDS, THRESHOLDS = ["a", "b", "c"], ["1", "2", "3", "4"], ["0", "64", "128", "192", "q90", "otsu"]


def scores():
    rng = np.random.default_rng(2010)
    for model in MODELS:
        for fold in FOLDS:
            images = int(rng.integers(3, 8))
            offset = rng.integers(0, 32)
            for place, threshold in enumerate(THRESHOLDS):
                iou = (offset + 20 - 5 * abs(place - 2 - int(fold) % 2) + rng.integers(-4, 5, images)).clip(0, 64) / 64
                iou[rng.random(images) < 0.15] = np.nan
                if (model, fold) == ("c", "3"):
                    iou[:] = np.nan
                yield from ((model, fold, threshold, image, value) for image, value in enumerate(iou))


def expected(frame):
    by_fold = frame.groupby(["threshold", "fold"], sort=False).iou.mean().unstack("fold").loc[THRESHOLDS, FOLDS]
    means = by_fold.mean(axis=1)
    best = THRESHOLDS[int(np.argmax(means.to_numpy()))]
    nested = []
    for fold in FOLDS:
        value = THRESHOLDS[int(np.argmax(by_fold.drop(columns=fold).mean(axis=1).to_numpy()))]
        nested.append((value, by_fold.loc[value, fold]))
    left_out = pd.Series([score for _, score in nested])
    number = lambda value: None if np.isnan(value) else float(value)
    return {
        "means": means.tolist(),
        "sds": by_fold.std(axis=1).tolist(),
        "n": frame.groupby("threshold", sort=False).iou.count().loc[THRESHOLDS].tolist(),
        "best": best,
        "equals": [value for value in THRESHOLDS if means[value] == means[best]],
        "empty_folds": [fold for fold in FOLDS if np.isnan(by_fold.loc[best, fold])],
        "nested_values": [value for value, _ in nested],
        "nested_scores": [number(score) for _, score in nested],
        "nested_mean": float(left_out.mean()),
        "nested_sd": float(left_out.std()),
    }


frame = pd.DataFrame(scores(), columns=["model", "fold", "threshold", "image", "iou"])
points = frame.groupby(["model", "fold", "threshold"], sort=False)
result = {
    "made_by": "sweep.py",
    "versions": {"pandas": pd.__version__, "numpy": np.__version__},
    "scores": [
        {"model": model, "fold": fold, "threshold": threshold, "iou": [None if np.isnan(v) else v for v in group.iou]}
        for (model, fold, threshold), group in points
    ],
    "expected": {model: expected(frame[frame.model == model]) for model in MODELS},
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
