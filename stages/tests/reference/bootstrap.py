"""Reference values for bootstrap intervals (SciPy): percentile intervals of means, by image and by patient.

Writes bootstrap.json: values as [unit, value] and, for each end of the 95 % interval, mean and standard deviation over
200 runs of 2,000 resamples. To draw whole patients, scipy.stats.bootstrap gets the sum and the count of values of each,
paired. Run: python bootstrap.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import bootstrap


def ends(units, values):
    sums = np.bincount(units, weights=values)
    counts = np.bincount(units)

    def mean(sums, counts, axis):
        return sums.sum(axis=axis) / counts.sum(axis=axis)

    runs = [
        bootstrap((sums, counts), mean, paired=True, vectorized=True, n_resamples=2000, method="percentile",
                  confidence_level=0.95, rng=np.random.default_rng(run)).confidence_interval
        for run in range(200)
    ]
    return [[float(np.mean(end)), float(np.std(end, ddof=1))] for end in np.transpose(runs)]


rng = np.random.default_rng(3)
by_image = np.round(rng.random(60) ** 2, 4)
patients = np.sort(rng.integers(0, 15, 80))
patients = np.unique(patients, return_inverse=True)[1]
by_patient = np.round(rng.normal(size=15)[patients] + 0.3 * rng.normal(size=80), 4)
cases = {}
for name, units, values in [("by_image", np.arange(60), by_image), ("by_patient", patients, by_patient)]:
    low, high = ends(units, values)
    cases[name] = {"values": [[int(u), float(v)] for u, v in zip(units, values)], "low": low, "high": high}
result = {"made_by": "bootstrap.py", "versions": {"scipy": scipy.__version__, "numpy": np.__version__}, "cases": cases}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
