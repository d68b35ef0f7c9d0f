"""Reference values for tables (pandas): a mean per fold, then mean and sd (ddof = 1) over folds; pooled shares.

Writes table.json: scores of two models, three folds and two thresholds, and the figures of four tables as
[labels..., mean, sd, n, excluded, folds]. One class is missing from a fold, another from a model. Run: python table.py
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

CLASSES = ["meningioma", "glioma", "pituitary"]


def scores(rng):
    for model in ["tiny", "big"]:
        for fold in [1, 2, 3]:
            for threshold in ["200", "q90"]:
                for image in range(7):
                    label = CLASSES[image % 3]
                    if label == "pituitary" and (model == "big" or fold == 2):
                        continue
                    iou = None if image == 3 and fold == 1 else round(float(rng.random() ** 2), 4)
                    yield model, fold, threshold, f"{fold}-{image}", label, iou


def means(data, keys):
    folds = data.groupby([*keys, "fold"], observed=True).iou.mean()
    figures = folds.groupby(keys, observed=True).agg(["mean", "std", "count"])
    counts = data.groupby(keys, observed=True).iou.agg(n="count", rows="size")
    return [
        [*index, row["mean"], row["std"], int(counts.loc[index].n), int(counts.loc[index].rows - counts.loc[index].n),
         int(row["count"])]
        for index, row in figures.iterrows()
    ]


def shares(data, keys, bound):
    scored = data.dropna(subset="iou")
    shares = (scored.iou <= bound).groupby([scored[k] for k in keys]).mean()
    return [[*index, float(share)] for index, share in shares.items()]


data = pd.DataFrame(scores(np.random.default_rng(5)), columns=["model", "fold", "threshold", "image", "label", "iou"])
at_200 = data[data.threshold == "200"]
result = {
    "made_by": "table.py",
    "versions": {"pandas": pd.__version__, "numpy": np.__version__},
    "scores": [[None if pd.isna(value) else value for value in row] for row in data.itertuples(index=False)],
    "by_threshold": means(data, ["model", "threshold"]),
    "by_label": means(at_200, ["model", "label"]),
    "shares": shares(at_200, ["model", "label"], 0.1),
}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
