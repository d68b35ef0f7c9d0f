"""Reference values for scores of masks: IoU, Dice, pixel precision and recall (scikit-learn, pixel by pixel).

Writes score.json: heatmaps (grey levels), ground truth, and (threshold, [iou, dice, precision, recall]).
Run: python score.py
"""

import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import f1_score, jaccard_score, precision_score, recall_score

THRESHOLDS = [0, 63.5, 128, 200, 225, 254.9, 255]


def case(rng, side, share):
    heatmap = rng.integers(0, 256, (side, side)).astype(np.uint8)
    truth = (rng.random((side, side)) < share).astype(np.uint8)
    truth[0, 0] = 1

    def scores(threshold):
        pair = truth.ravel(), (heatmap > threshold).astype(np.uint8).ravel()
        functions = jaccard_score, f1_score, precision_score, recall_score
        return [float(function(*pair, zero_division=0)) for function in functions]

    return {
        "heatmap": heatmap.ravel().tolist(),
        "truth": truth.ravel().tolist(),
        "scores": [(threshold, scores(threshold)) for threshold in THRESHOLDS],
    }


rng = np.random.default_rng(1912)
result = {
    "made_by": "score.py",
    "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "cases": [case(rng, side, share) for side, share in [(6, 0.1), (8, 0.5), (8, 0.95), (5, 0.0)]],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
