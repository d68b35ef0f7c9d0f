"""MATLAB files with a vector of folds: level 5 by scipy.io.savemat, plain and compressed, and v7.3 by h5py.

Writes them to cvind/ beside this script, and cvind.json with what SciPy and h5py read from them.

    python cvind.py
"""

import json
import pathlib

import h5py
import numpy as np
import scipy
from scipy.io import loadmat, savemat

here = pathlib.Path(__file__).parent
folder = here / "cvind"
folder.mkdir(exist_ok=True)
folds = np.random.default_rng(5).integers(1, 6, 12)
cell = np.array([1, "x"], dtype=object)
before = {"note": "five folds", "table": np.arange(6).reshape(2, 3), "s": {"a": 1.5}, "c": cell}

savemat(folder / "plain.mat", {"cvind": folds[:, None].astype(np.float64)})
savemat(folder / "row.mat", {"cvind": folds[None, :].astype(np.uint8)})
savemat(folder / "compressed.mat", before | {"cvind": folds[:, None].astype(np.int16)}, do_compression=True)
savemat(folder / "other.mat", before | {"cvind": folds[:, None].astype(np.float32)})
savemat(folder / "short.mat", {"cvind": folds[:3, None].astype(np.uint8)})
savemat(folder / "renamed.mat", {"folds": folds[:, None].astype(np.int32)})

with h5py.File(folder / "v73.mat", "w", userblock_size=512) as file:
    dataset = file.create_dataset("cvind", data=folds[None, :].astype(np.float64))
    dataset.attrs["MATLAB_class"] = np.bytes_("double")
header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, made by h5py".ljust(116) + bytes(8) + b"\x00\x02IM"
with open(folder / "v73.mat", "r+b") as file:
    file.write(header)


def read(path):
    if path.name == "v73.mat":
        with h5py.File(path) as file:
            return file["cvind"][()]
    variables = loadmat(path)
    return variables["folds" if path.name == "renamed.mat" else "cvind"]


out = {"made_by": f"cvind.py, scipy {scipy.__version__}, h5py {h5py.__version__}, numpy {np.__version__}"}
out["files"] = {path.name: read(path).ravel().astype(int).tolist() for path in sorted(folder.glob("*.mat"))}
(here / "cvind.json").write_text(json.dumps(out).replace("], ", "],\n") + "\n")
