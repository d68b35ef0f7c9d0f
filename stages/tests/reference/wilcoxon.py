"""Reference values for Wilcoxon's signed-rank test: scipy.stats.wilcoxon with its defaults.

The defaults are: two-sided, zeros dropped, "auto". Writes wilcoxon.json: differences, the statistic and p. The cases
are on both sides of each limit at which SciPy changes the distribution: exact up to 50 without ties and zeros, over all
signs up to 13 with them, else normal. Run: python wilcoxon.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
from scipy.stats import wilcoxon

rng = np.random.default_rng(11)


def plain(n, shift=0.3):
    return np.round(rng.normal(shift, 1, n), 6)


def tied(n, shift=1):
    return rng.integers(-4, 6, n) + shift - 1.0


cases = {
    "one": plain(1),
    "five": plain(5),
    "plain_13": plain(13),
    "plain_50": plain(50),
    "plain_51": plain(51),
    "tied_13": tied(13),
    "tied_14": tied(14),
    "zeros_of_13": np.concatenate([plain(11), [0.0, 0.0]]),
    "zero_of_14": np.concatenate([plain(13), [0.0]]),
    "zeros_of_60": np.concatenate([plain(45), np.zeros(15)]),
    "symmetric": np.array([-1.0, 1.0, -2.0, 2.0]),
    "tied_120": tied(120, 2),
    "far_tail_150": plain(150, 0.9),
}
result = {"made_by": "wilcoxon.py", "versions": {"scipy": scipy.__version__, "numpy": np.__version__}, "cases": {}}
for name, differences in cases.items():
    test = wilcoxon(differences)
    result["cases"][name] = {"differences": differences.tolist(), "w": float(test.statistic), "p": float(test.pvalue)}
Path(__file__).with_suffix(".json").write_text(json.dumps(result) + "\n")
