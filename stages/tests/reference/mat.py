"""Small MATLAB v7.3 files in the layout of Cheng's brain tumour set, written by h5py, and what h5py reads from them.

Writes the files to mat/ beside this script, and mat.json. Those in mat_kinds/ have other types, layouts and names;
those in mat_refused/ cannot be used. Given the folder of real files that span 0..255, it adds one line per file: label,
patient, height, width and a checksum of image and mask.

    python mat.py [folder]
"""

import json
import pathlib
import sys

import h5py
import numpy as np
from scipy.io import savemat

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


kinds, refused = here / "mat_kinds", here / "mat_refused"
MARK = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, made by h5py".ljust(116) + bytes(8) + b"\x00\x02IM"
SMALL = np.array([[0, 1, 2], [700, -5, 40]])  # as MATLAB shows it: two rows, three columns
SPOT = np.array([[0, 0, 1], [0, 1, 1]], np.uint8)


def small(place, name, userblock=512, libver=("v108", "v108"), struct="cjdata", **fields):
    """Writes a file with fields as (values as HDF5 stores them, class of MATLAB, options), or as a function."""
    place.mkdir(exist_ok=True)
    usual = {"PID": text("p1"), "image": (SMALL.T.astype(np.int16), "int16"), "label": (np.ones((1, 1)), "double")}
    usual["tumorMask"] = (SPOT.T, "logical")
    lower = {field.lower() for field in fields}
    usual = {field: value for field, value in usual.items() if field.lower() not in lower}
    with h5py.File(place / name, "w", userblock_size=userblock, libver=libver) as file:
        group = file.create_group(struct)
        for field, value in (usual | fields).items():
            if callable(value):
                value(file, group)
            elif value is not None:
                values, matlab, *options = value
                dataset = group.create_dataset(field, data=values, **(options[0] if options else {}))
                if matlab:
                    dataset.attrs["MATLAB_class"] = np.bytes_(matlab)
    if userblock:
        with open(place / name, "r+b") as file:
            file.write(MARK)


def text(value, matlab="char", kind=np.uint16):
    units = np.frombuffer(value.encode("utf-16-le"), np.uint16)
    return units.astype(kind)[:, None], matlab


def number(value, kind, matlab):
    return np.array([[value]], kind), matlab


def cell(field, *values):
    """Makes a cell: references to arrays in the group `#refs#`."""

    def add(file, group):
        dataset = group.create_dataset(field, (len(values), 1), h5py.ref_dtype)
        dataset.attrs["MATLAB_class"] = np.bytes_("cell")
        for index, (value, matlab) in enumerate(values):
            target = file.create_dataset(f"#refs#/{field}{index}", data=value)
            target.attrs["MATLAB_class"] = np.bytes_(matlab)
            dataset[index, 0] = target.ref

    return add


def empty(field, matlab):
    def add(_, group):
        dataset = group.create_dataset(field, data=np.zeros(2, np.uint64))
        dataset.attrs["MATLAB_class"] = np.bytes_(matlab)
        dataset.attrs["MATLAB_empty"] = np.uint8(1)

    return add


def sparse(field):
    def add(_, group):
        inner = group.create_group(field)
        inner.attrs["MATLAB_sparse"] = np.uint64(2)
        inner.create_dataset("jc", data=np.zeros(4, np.uint64))

    return add


half = SMALL.T / 8
small(kinds, "pid_double.mat", PID=number(100360, np.float64, "double"), image=(half.astype("<f2"), "single"))
chunked = {"chunks": (2, 2)}
small(kinds, "pid_single.mat", PID=number(-7, np.float32, "single"), image=(half.astype(">f2"), None, chunked))
small(kinds, "pid_int32.mat", PID=number(65536, np.int32, "int32"), image=(half.astype("<f4"), "single"))
small(kinds, "pid_int64.mat", PID=number(2**53 + 1, np.int64, "int64"), image=(SMALL.T.astype(">i4"), "int32"))
small(kinds, "pid_uint64.mat", PID=number(2**64 - 1, np.uint64, "uint64"), image=(SMALL.T.astype("<i8"), "int64"))
small(kinds, "pid_uint16.mat", PID=number(112, np.uint16, "uint16"), image=(SMALL.T.astype(np.int8), "int8"))
small(kinds, "pid_uint16_without_class.mat", PID=number(112, np.uint16, None), label=number(3, np.uint8, "uint8"))
small(kinds, "pid_text_without_class.mat", PID=text("MR1", None), label=text("2"))
small(kinds, "pid_text_in_utf_16.mat", PID=text(" \u00c4\U0001f9e0\0"), label=text("Pituitary"))
small(kinds, "pid_text_of_bytes.mat", PID=text("oct", kind=np.uint8), label=number(2, np.float16, None))
small(kinds, "pid_row.mat", PID=(text("007")[0].T, "char"), label=cell("label", text("glioma")))
small(kinds, "pid_cell.mat", PID=cell("PID", text("100360")), tumorMask=(SPOT.T.astype(bool), None))
small(kinds, "pid_cell_of_number.mat", PID=cell("PID", number(100360, np.float64, "double")))
small(kinds, "pid_string.mat", PID=(np.array("s-\u00e9", dtype=h5py.string_dtype()), None))
small(kinds, "pid_string_fixed.mat", PID=(np.array([b"fixed"]), None), tumorMask=(SPOT.T * np.float32(255), "single"))
small(kinds, "pid_empty.mat", PID=empty("PID", "char"), image=(np.where(SMALL.T < 0, np.nan, SMALL.T), "double"))
other = {"pid": text("p2"), "IMAGE": (SMALL.T, "int64"), "Label": number(2, np.int8, "int8")}
small(kinds, "names_in_any_case.mat", struct="CJData", **other, TUMORMASK=(SPOT.T, "logical"))
small(kinds, "no_header.mat", userblock=0, libver=("earliest", "v108"))
small(kinds, "long_header.mat", userblock=2048)
tall = np.arange(1800).reshape(60, 30)
chunks = {"chunks": (8, 7), "compression": "gzip", "shuffle": True}
squeezed = (tall.astype(np.int16), "int16", chunks | {"fletcher32": True})
growing = chunks | {"maxshape": (None, 30)}
spot = np.zeros((60, 30), np.uint8)
spot[3:9, 20] = 1
small(kinds, "layout_4.mat", libver=("v114", "v114"), image=squeezed, tumorMask=(spot, "logical", growing))
single = (spot, None, {"chunks": (60, 30)})
small(kinds, "layout_4_single.mat", libver=("v114", "v114"), image=(tall, None, chunks), tumorMask=single)
lossless = {"chunks": (8, 7), "compression": "lzf"}
small(kinds, "filters.mat", image=(tall, None, {"chunks": (8, 7), "scaleoffset": 0}), tumorMask=(spot, None, lossless))

small(refused, "layout_5.mat", libver=("v200", "v200"), image=squeezed)
tree = (SMALL.T, None, {"chunks": (2, 2), "maxshape": (None, None)})
small(refused, "layout_4_tree.mat", libver=("v114", "v114"), image=tree)
small(kinds, "layout_3_tree.mat", image=tree)
small(refused, "pid_fraction.mat", PID=number(1.5, np.float64, "double"), image=empty("image", "double"))
small(refused, "pid_nan.mat", PID=number(np.nan, np.float64, "double"), image=(np.zeros((2, 2, 3)), "double"))
small(refused, "pid_too_large.mat", PID=number(2.0**60, np.float64, "double"), image=None)
small(refused, "pid_logical.mat", PID=number(1, np.uint8, "logical"), image=(SMALL.T * 1j, None))
small(refused, "pid_bool.mat", PID=(np.array([[True]]), None), image=cell("image", number(1, np.float64, "double")))
small(refused, "pid_numbers.mat", PID=(np.array([[1.0, 2.0]]), "double"), tumorMask=None)
small(refused, "pid_two_lines.mat", PID=(np.full((3, 2), 65, np.uint16), "char"), tumorMask=sparse("tumorMask"))
small(refused, "pid_cells.mat", PID=cell("PID", text("a"), text("b")), tumorMask=(SPOT.T * 2 + 1, "uint8"))
small(refused, "pid_object.mat", PID=(np.full((1, 6), 1, np.uint32), "string"), tumorMask=(SMALL.T, "int16"))
lone = np.array([[0xD800]], np.uint16)
small(refused, "pid_surrogate.mat", PID=(lone, "char"), tumorMask=(SPOT.T * np.nan, "double"))
small(refused, "pid_missing.mat", PID=None, tumorMask=(SPOT.T[:2], "logical"))
small(refused, "pid_twice.mat", **{"PID": None, "pid": text("a"), "Pid": text("b")})
small(refused, "label_4.mat", label=number(4, np.float64, "double"), tumorMask=empty("tumorMask", "logical"))
small(refused, "label_logical.mat", label=number(1, np.uint8, "logical"))
small(refused, "label_text.mat", label=text("tumour"))
small(refused, "label_empty.mat", label=empty("label", "double"))
small(refused, "no_struct.mat", struct="data")
for level in "4", "5":
    savemat(refused / f"level_{level}.mat", {"image": SMALL}, format=level)


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


def scalar(file, dataset):
    """Reads a text, or a number as text, without spaces; null if it is empty."""
    matlab, value = dataset.attrs.get("MATLAB_class"), dataset[()]
    if "MATLAB_empty" in dataset.attrs:
        return None
    if h5py.check_ref_dtype(dataset.dtype):
        return scalar(file, file[dataset[0, 0]])
    if dataset.dtype.kind in "OS":
        return dataset.asstr()[()].item() if dataset.shape else dataset.asstr()[()]
    if matlab == b"char" or (matlab is None and value.size > 1):
        return value.tobytes().decode("utf-8" if value.itemsize == 1 else "utf-16-le").strip(" \0")
    return str(int(value.item()))


def values(path):
    """Reads a file of mat_kinds/ as it is; NaN becomes null."""
    with h5py.File(path) as file:
        group = next(group for name, group in file.items() if not name.startswith("#"))
        fields = {name.lower(): dataset for name, dataset in group.items()}
        image, mask = fields["image"][()].T.astype(float), fields["tumormask"][()].T
        return {
            "label": scalar(file, fields["label"]),
            "patient": scalar(file, fields["pid"]),
            "height": mask.shape[0],
            "width": mask.shape[1],
            "image": [None if np.isnan(value) else value for value in image.ravel().tolist()],
            "mask": (mask != 0).astype(int).ravel().tolist(),
        }


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
out["kinds"] = {path.name: values(path) for path in sorted(kinds.glob("*.mat"))}
if len(sys.argv) > 1:
    out["real"] = {}
    for path in sorted(pathlib.Path(sys.argv[1]).glob("*.mat"), key=lambda path: int(path.stem)):
        label, patient, image, mask = read(path)
        assert image.min() == 0 and image.max() == 255
        out["real"][path.name] = [label, patient, *image.shape, weighted(image), weighted(mask)]
else:
    out["real"] = json.loads((here / "mat.json").read_text())["real"]
text = json.dumps(out).replace('{"file"', '\n{"file"').replace('}, "', '},\n"').replace("], \"", "],\n\"")
(here / "mat.json").write_text(text + "\n")
