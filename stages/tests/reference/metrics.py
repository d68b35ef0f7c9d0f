"""Reference values for classification: accuracy, macro and per-class precision, recall, F1, confusion (scikit-learn).

Writes metrics.json. Classes are 0, 1, 2; some cases have a class that is never true, never predicted, or neither.
Run: python metrics.py
"""

import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support

CLASSES = [0, 1, 2]


def case(true, predicted):
    macro = precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)[:3]
    each = precision_recall_fscore_support(true, predicted, labels=CLASSES, average=None, zero_division=0)
    return {
        "true": [int(c) for c in true],
        "predicted": [int(c) for c in predicted],
        "accuracy": float(accuracy_score(true, predicted)),
        "macro": [float(value) for value in macro],
        "each": [[float(value) for value in values] for values in each[:3]],
        "n": [int(count) for count in each[3]],
        "confusion": confusion_matrix(true, predicted, labels=CLASSES).tolist(),
    }


def cases():
    rng = np.random.default_rng(1958)
    true = rng.choice(CLASSES, 200, p=[0.23, 0.47, 0.3])
    yield true, np.where(rng.random(200) < 0.8, true, rng.choice(CLASSES, 200))
    yield rng.choice(CLASSES, 30), rng.choice([0, 1], 30)
    yield rng.choice([0, 2], 30), rng.choice(CLASSES, 30)
    yield rng.choice([1, 2], 30), rng.choice([1, 2], 30)
    yield np.zeros(5, int), np.ones(5, int)
    yield np.ones(4, int), np.ones(4, int)


warnings.simplefilter("ignore")
result = {
    "made_by": "metrics.py",
    "versions": {"scikit-learn": sklearn.__version__, "numpy": np.__version__},
    "cases": [case(*pair) for pair in cases()],
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
