#!/usr/bin/env python3
"""Class activation maps without a network: blurred ground truth, shifted, with noise.

`maps.py MASKS SPLIT OUT FOLD SHIFT` writes OUT/cams.parquet, with the columns of a `cam` artifact, for a fold.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIDE = 14

# Values are multiples of this, so up-sampling 14 to 224 in f32 rounds nowhere, and results compare to the last bit.
STEP = 1 / 1024


def main(masks, split, out, fold, shift):
    split = pq.ParquetFile(Path(split) / "split.parquet").read()
    classes = json.loads(split.schema.metadata[b"classes"])
    wanted = np.asarray(split["fold"]) == int(fold)
    masks = pq.ParquetFile(Path(masks) / "masks.parquet").read()
    assert masks["image"].equals(split["image"])
    height, width = masks["height"][0].as_py(), masks["width"][0].as_py()
    rng = np.random.default_rng([int(fold), int(shift)])
    maps = []
    for row in np.flatnonzero(wanted):
        truth = np.frombuffer(masks["pixels"][int(row)].as_py(), np.uint8).reshape(height, width).astype(np.float32)
        truth = cv2.GaussianBlur(np.roll(truth, 3 * int(shift), (0, 1)), (0, 0), 18)
        small = cv2.resize(truth, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        noisy = small / max(small.max(), 1e-6) + rng.normal(0, 0.12, small.shape)
        maps.append((np.round(noisy / STEP) * STEP).astype(np.float32).ravel())
    names, labels = np.asarray(split["image"])[wanted], np.asarray(split["label"])[wanted]
    count = len(names)
    probabilities = np.stack([(labels == name).astype(np.float32) for name in classes], 1)
    lists = lambda rows: pa.array([row.tolist() for row in rows], pa.list_(pa.field("element", pa.float32(), False)))
    whole = lambda value: pa.array(np.full(count, value, np.int64))
    columns = {
        "image": pa.array(names.tolist()),
        "label": pa.array(labels.tolist()),
        "predicted": pa.array(labels.tolist()),
        "probabilities": lists(probabilities),
        "height": whole(SIDE),
        "width": whole(SIDE),
        "input_height": whole(height),
        "input_width": whole(width),
        "map": lists(maps),
    }
    table = pa.table(columns).replace_schema_metadata({"classes": json.dumps(classes)})
    pq.write_table(table, Path(out) / "cams.parquet", compression="zstd", use_dictionary=["label", "predicted"])


main(*sys.argv[1:])
