"""A Parquet file as pandas writes it by default (snappy, Arrow schema, 64-bit numbers), for the test that reads it.

Writes pandas_file.parquet. Run: python pandas_file.py
"""

from pathlib import Path

import pandas as pd

cams = pd.DataFrame(
    {
        "image": ["a.png", "b.png"],
        "label": pd.Categorical(["glioma", "meningioma"]),
        "predicted": ["glioma", "glioma"],
        "probabilities": [[0.75, 0.25], [0.5, 0.5]],
        "height": 1,
        "width": 2,
        "input_height": 4,
        "input_width": 8,
        "map": [[1.0, 2.0], [-3.0, 4.5]],
    }
)
cams.to_parquet(Path(__file__).with_suffix(".parquet"))
