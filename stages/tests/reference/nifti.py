"""Small NIfTI files by nibabel, and the slices that nibabel gives of the closest canonical volume.

Writes them to nifti/ beside this script, and nifti.json: the shape of the canonical volume, and for each axis the
number of slices and the middle one, as a picture, row by row.

    python nifti.py
"""

import gzip
import json
import pathlib
import shutil
import sys

import nibabel as nib
import numpy as np

here = pathlib.Path(__file__).parent
folder = here / "nifti"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
rng = np.random.default_rng(12)
SHAPE = (5, 4, 3)
volume = np.arange(60).reshape(SHAPE)
files = []


def turned(angles, zooms=(1.0, 2.0, 3.0), flips=(1, 1, 1), order=(0, 1, 2)):
    """An affine of rotations in degrees about three axes, after a permutation and flips of the axes."""
    matrix = np.eye(3)[:, order] * flips
    for axis, angle in enumerate(np.radians(angles)):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        first, second = [i for i in range(3) if i != axis]
        turn[first, first], turn[first, second], turn[second, first], turn[second, second] = c, -s, s, c
        matrix = turn @ matrix
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = matrix * zooms, [-10, 5, 7]
    return affine


def expect(name, plain=False):
    image = nib.load(folder / name)
    affine, raw = image.affine, image
    if len(image.shape) < 3:
        raw = nib.Nifti1Image(np.asanyarray(image.dataobj)[..., None], affine, image.header)
    while len(raw.shape) > 3:
        raw = nib.funcs.squeeze_image(raw)
    canonical = nib.as_closest_canonical(raw)
    data = canonical.get_fdata() if canonical.get_data_dtype().fields is None else None
    if data is None:
        fields = np.asanyarray(canonical.dataobj)
        r, g, b = (fields[c].astype(np.int64) for c in "RGB")
        data = (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16
    middle = [length // 2 for length in data.shape]
    entry = {"file": name, "shape": list(data.shape), "plain": plain, "axes": {}}
    pictures = {
        "axial": (2, data[::-1, ::-1, middle[2]].T),
        "coronal": (1, data[::-1, middle[1], ::-1].T),
        "sagittal": (0, data[middle[0], ::-1, ::-1].T),
    }
    for axis, (index, picture) in pictures.items():
        entry["axes"][axis] = {
            "count": data.shape[index], "slice": middle[index], "height": picture.shape[0], "width": picture.shape[1],
            "values": [None if np.isnan(v) else float(v) for v in picture.ravel()],
        }
    entry["affine"] = canonical.affine[:3].tolist()
    files.append(entry)


def save(name, data, affine, kind=nib.Nifti1Image, plain=False, prepare=None):
    image = kind(data, affine, dtype=data.dtype)
    if prepare:
        prepare(image.header)
    image.to_filename(folder / name)
    expect(name, plain)


# Types of voxels, in both byte orders and versions.
for kind in ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"):
    values = (volume * 3 - (60 if kind[0] != "u" else 0)).astype(kind)
    save(f"{kind}.nii", values, turned((0, 0, 0)), plain=kind == "u1")
big = nib.Nifti1Image(volume.astype(">i2"), turned((0, 0, 0)), nib.Nifti1Header(endianness=">"))
big.to_filename(folder / "big.nii")
expect("big.nii")
save("second.nii", volume.astype(np.float32) / 7, turned((10, 20, 30)), nib.Nifti2Image)
big = nib.Nifti2Image(volume.astype(">u2"), turned((0, 0, 0)), nib.Nifti2Header(endianness=">"))
big.to_filename(folder / "second-big.nii.gz")
expect("second-big.nii.gz")
holes = volume.astype(np.float32)
holes[2, :, 1] = np.nan
save("holes.nii.gz", holes, turned((0, 0, 0)))
colour = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
colour["R"], colour["G"], colour["B"] = volume * 4, 255 - volume, (volume * 37) % 256
save("colour.nii", colour, turned((0, 0, 0)), plain=True)


# Scaling, and ranges for display.
def scaled(slope, inter):
    def prepare(header):
        header["scl_slope"], header["scl_inter"] = slope, inter
        header["cal_min"], header["cal_max"] = 10, 90
    return prepare


for name, slope, inter in [("scaled", 0.1, -3.5), ("slope-0", 0.0, 5.0), ("slope-nan", np.nan, 5.0)]:
    image = nib.Nifti1Image(volume.astype(np.int16), turned((0, 0, 0)))
    image.to_filename(folder / f"{name}.nii")
    raw = bytearray((folder / f"{name}.nii").read_bytes())
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()
    raw[124:132] = np.array([90, 10], "<f4").tobytes()
    (folder / f"{name}.nii").write_bytes(raw)
    expect(f"{name}.nii")

# Orientations: all orders and flips as sform, some oblique ones, as qform, and none.
index = 0
for order in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
    flips = [(1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, 1), (-1, 1, -1)][index % 6]
    save(f"order-{index}.nii", volume.astype(np.uint8), turned((0, 0, 0), flips=flips, order=order), plain=True)
    index += 1
OBLIQUE = [(12, -25, 40), (44, 10, -44), (45, 0, 0), (30, 60, 80), (100, -130, 170), (45, 45, 45)]
for index, angles in enumerate(OBLIQUE):
    save(f"oblique-{index}.nii", volume.astype(np.uint8), turned(angles), plain=True)
sheared = turned((10, 0, 0))
sheared[0, 1], sheared[1, 2] = 1.5, -2.0
save("sheared.nii", volume.astype(np.uint8), sheared, plain=True)


def only_qform(affine):
    def prepare(header):
        header.set_qform(affine, code=1)
        header.set_sform(None, code=0)
    return prepare


QFORMS = [((12, -25, 40), (1, 1, 1)), ((100, 20, 5), (1, 1, -1)), ((0, 0, 180), (1, 1, 1))]
for index, (angles, flips) in enumerate(QFORMS):
    affine = turned(angles, flips=flips)
    image = nib.Nifti1Image(volume.astype(np.uint8), affine)
    only_qform(affine)(image.header)
    image = nib.Nifti1Image(volume.astype(np.uint8), None, image.header)
    image.to_filename(folder / f"qform-{index}.nii")
    expect(f"qform-{index}.nii", plain=True)
image = nib.Nifti1Image(volume.astype(np.uint8), None)
image.header.set_zooms((2, 3, 4))
image.to_filename(folder / "no-form.nii")
expect("no-form.nii", plain=True)

# One picture, and axes of length 1 at the end.
save("picture.nii", volume[:, :, 0].astype(np.int16), turned((0, 0, 0)))
save("fourth.nii", volume.astype(np.int16)[..., None], turned((0, 0, 0)))

# Refused.
nib.Nifti1Image(np.zeros((3, 2, 2, 4), np.uint8), np.eye(4)).to_filename(folder / "refused-volumes.nii")
nib.Nifti1Image(np.zeros((3, 2, 2), np.complex64), np.eye(4)).to_filename(folder / "refused-complex.nii")
nib.Nifti1Pair(np.zeros((3, 2, 2), np.uint8), np.eye(4)).to_filename(folder / "refused-pair.hdr")
(folder / "refused-pair.img").unlink()
(folder / "refused-text.gz").write_bytes(gzip.compress(b"no volume", mtime=0))

versions = {module.__name__: module.__version__ for module in (nib, np)} | {"python": sys.version.split()[0]}
result = {"made_by": "nifti.py", "versions": versions, "files": files}
(here / "nifti.json").write_text(json.dumps(result) + "\n")
