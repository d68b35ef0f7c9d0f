#!/usr/bin/env python3
"""Summarises gathered scores with pandas: the mean IoU of each model at each threshold, and a histogram of the images.

A `command` stage starts it as

    summary.py SCORES OUT [--bins N]

SCORES is the folder of a gathered input. `index.csv` names a folder for each point of the sweep, with the labels of its
axes. Each folder holds the `scores.parquet` of a `score` stage: a row per image, `iou` among its columns. It writes

    OUT/summary.csv    by model and threshold: folds, images, mean and sd (ddof = 1) of the folds' mean IoU
    OUT/histogram.csv  by model and threshold: images of all folds in each of N equal bins of IoU over [0, 1]
"""

import argparse
from pathlib import Path

import numpy
import pandas

POINT = ["model", "threshold"]


def read_scores(folder: Path) -> pandas.DataFrame:
    """Reads one row per image with an IoU, with the labels of its point."""
    # Labels are texts: `200` and `q90` are values of one axis.
    index = pandas.read_csv(folder / "index.csv", dtype=str)
    tables = []
    for row in index.to_dict("records"):
        table = pandas.read_parquet(folder / row.pop("folder") / "scores.parquet", columns=["iou"])
        tables.append(table.assign(**row))
    # Images without a tumour in their ground truth have no IoU.
    return pandas.concat(tables, ignore_index=True).dropna(subset=["iou"])


def summary(scores: pandas.DataFrame) -> pandas.DataFrame:
    """Averages over folds, which weigh the same however many images each has."""
    folds = scores.groupby([*POINT, "fold"], sort=False)["iou"].agg(["mean", "size"]).reset_index()
    points = folds.groupby(POINT)
    return points.agg(
        folds=("fold", "size"),
        images=("size", "sum"),
        iou_mean=("mean", "mean"),
        iou_sd=("mean", "std"),
    ).reset_index()


def histogram(scores: pandas.DataFrame, bins: int) -> pandas.DataFrame:
    """Counts images by bin; the last bin includes 1."""
    edges = numpy.linspace(0, 1, bins + 1)
    tables = []
    for point, group in scores.groupby(POINT):
        images, _ = numpy.histogram(group["iou"], edges)
        table = pandas.DataFrame({"iou_min": edges[:-1], "iou_max": edges[1:], "images": images})
        tables.append(table.assign(**dict(zip(POINT, point)))[[*POINT, *table.columns]])
    return pandas.concat(tables, ignore_index=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scores", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bins", type=int, default=20)
    arguments = parser.parse_args()

    scores = read_scores(arguments.scores)
    summary(scores).to_csv(arguments.out / "summary.csv", index=False, float_format="%.4f")
    histogram(scores, arguments.bins).to_csv(arguments.out / "histogram.csv", index=False)


if __name__ == "__main__":
    main()
