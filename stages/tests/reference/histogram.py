"""Counts in bins of 0.05 for `stages/src/pages/report/histogram.rs`, by NumPy; the output has its version.

    python3 histogram.py > histogram.json
"""

import json

import numpy as np

generator = np.random.default_rng(7)
values = np.concatenate([generator.beta(0.4, 2.0, 60).round(6), np.arange(21) / 20, [0.049999, 0.950001]])
counts, _ = np.histogram(values, bins=np.arange(21) / 20)
print(json.dumps({"numpy": np.__version__, "values": values.tolist(), "counts": counts.tolist()}))
