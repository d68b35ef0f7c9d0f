"""Small MATLAB v7.3 files in the layout of Cheng's brain tumour set, written by h5py, and what h5py reads from them.

Writes the files to mat/ beside this script, and mat.json. Given the folder of real files that span 0..255, it adds one
line per file: label, patient, height, width and a checksum of image and mask.

    python mat.py [folder]
"""

import json
import pathlib
import sys

import h5py
import numpy as np

HEIGHT, WIDTH = 24, 32
here = pathlib.Path(__file__).parent
folder = here / "mat"
folder.mkdir(exist_ok=True)
random = np.random.default_rng(3)
y, x = np.mgrid[:HEIGHT, :WIDTH]
picture = 20 * y + 7 * x + random.integers(0, 50, (HEIGHT, WIDTH))
disc = ((y - 8) ** 2 + (x - 20) ** 2 < 30).astype(np.uint8)


def write(name, label, patient, image, mask, libver=("earliest", "v108"), packed=None):
    """Writes `image` and `mask` (as MATLAB shows them) transposed, behind MATLAB's 512 bytes."""
    path = folder / name
    packed = packed or {}
    with h5py.File(path, "w", userblock_size=512, libver=libver) as file:
        group = file.create_group("cjdata")
        group.attrs["MATLAB_class"] = np.bytes_("struct")

        def add(field, values, matlab, **options):
            dataset = group.create_dataset(field, data=values, **options)
            dataset.attrs["MATLAB_class"] = np.bytes_(matlab)

        add("PID", np.frombuffer(patient.encode("utf-16-le"), np.uint16)[:, None], "char")
        add("image", image.T, str(image.dtype), **packed)
        add("label", np.array([[label]], np.float64), "double")
        add("tumorBorder", np.array([[1.5, 2.5, 3.5, 4.5]]).T, "double")
        add("tumorMask", mask.T, "logical" if mask.dtype == np.uint8 else str(mask.dtype), **packed)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, made by h5py".ljust(116) + bytes(8) + b"\x00\x02IM"
    with open(path, "r+b") as file:
        file.write(header)


deflate = {"chunks": (10, 9), "compression": "gzip", "compression_opts": 3}
write("1.mat", 1, "100360", picture.astype(np.int16) - 300, disc, packed=deflate)
write("2.mat", 2, "MR017260B", (picture % 251 + 2).astype(np.uint8), disc)
write("3.mat", 3, "97178", picture / 7.0 - 3.25, disc.astype(np.float64))
write("4.mat", 3, "p", (picture * 61).astype(np.uint16), disc * 3, packed=deflate | {"shuffle": True})
write("5.mat", 1, "q7", picture.astype(np.int16), disc, libver=("v110", "v110"), packed=deflate)
write("6.mat", 2, "r", np.full((HEIGHT, WIDTH), 9, np.int16), disc * 0, packed={"chunks": (32, 24)})


def scaled(pixels):
    pixels = pixels.astype(np.float64)
    low, high = pixels.min(), pixels.max()
    return np.floor((pixels - low) * 255 / (high - low) + 0.5) if high > low else np.zeros_like(pixels)


def read(path):
    with h5py.File(path) as file:
        label = int(file["cjdata/label"][0, 0])
        patient = file["cjdata/PID"][()].T.astype("<u2").tobytes().decode("utf-16-le")
        image, mask = file["cjdata/image"][()].T, file["cjdata/tumorMask"][()].T
    return label, patient, scaled(image).astype(int), (mask != 0).astype(int)


def weighted(pixels):
    total = 0
    for pixel in pixels.ravel().tolist():
        total = (total * 1_000_003 + pixel + 1) % (2**61 - 1)
    return total


files = []
for path in sorted(folder.glob("*.mat")):
    label, patient, image, mask = read(path)
    files.append(
        {
            "file": path.name,
            "label": label,
            "patient": patient,
            "height": HEIGHT,
            "width": WIDTH,
            "image": image.ravel().tolist(),
            "mask": mask.ravel().tolist(),
        }
    )
out = {"made_by": f"mat.py, h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}", "files": files}
if len(sys.argv) > 1:
    out["real"] = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.mat"), key=lambda path: int(path.stem)):
        label, patient, image, mask = read(path)
        assert image.min() == 0 and image.max() == 255
        out["real"][path.name] = [label, patient, *image.shape, weighted(image), weighted(mask)]
else:
    out["real"] = json.loads((here / "mat.json").read_text())["real"]
text = json.dumps(out).replace('{"file"', '\n{"file"').replace("], \"", "],\n\"")
(here / "mat.json").write_text(text + "\n")
