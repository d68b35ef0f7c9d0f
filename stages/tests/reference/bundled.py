"""The files that pydicom and nibabel bring along for their own tests, as they read them.

Writes to a folder the values of every picture, little-endian float64, and index.json. A test of the crate runs it where
Python has both packages, and compares.

    python bundled.py FOLDER
"""

import json
import logging
import pathlib
import sys
import warnings

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels import apply_color_lut, apply_modality_lut

LOSSY = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.91")


def luma(rgb):
    """Grey as Pillow mixes it."""
    if rgb.dtype == np.uint8:
        return np.asarray(Image.fromarray(rgb).convert("L"))
    r, g, b = (rgb[..., channel].astype(np.int64) for channel in range(3))
    return (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16


def groups_of(ds, frame):
    """The functional groups of a frame, its own first."""
    frames = ds.get("PerFrameFunctionalGroupsSequence", [])
    own = [frames[frame or 0]] if len(frames) > (frame or 0) else []
    return own + list(ds.get("SharedFunctionalGroupsSequence", []))


def picture(ds, array, frame=None):
    """Returns values of a frame, and where they are padding; levels if they have 8 bits without rescaling."""
    padding = np.zeros(array.shape[:2], bool)
    if ds.SamplesPerPixel == 3:
        return luma(array), padding, array.dtype == np.uint8
    if ds.PhotometricInterpretation == "PALETTE COLOR":
        rgb = apply_color_lut(array, ds)
        return luma((rgb >> 8).astype(np.uint8) if rgb.dtype == np.uint16 else rgb), padding, True
    source = ds
    for group in groups_of(ds, frame):
        if "PixelValueTransformationSequence" in group:
            source = group.PixelValueTransformationSequence[0]
            break
    values = apply_modality_lut(array, source).astype(np.float64)
    if "PixelPaddingValue" in ds:
        ends = sorted([ds.PixelPaddingValue, ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue)])
        padding = (array >= ends[0]) & (array <= ends[1])
    plain = ds.get("BitsStored") == 8 and ds.PixelRepresentation == 0 and np.array_equal(values, array)
    if plain and ds.PhotometricInterpretation == "MONOCHROME1":
        values = 255 - values
    return np.where(padding, 0 if plain else np.nan, values), padding, plain


def pictures_of_dicom(path):
    ds = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in ds.file_meta and "PixelData" in ds:
        implicit = ds.original_encoding[0]
        ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    array = ds.pixel_array
    count = int(ds.get("NumberOfFrames") or 1)
    tolerance = 2 if ds.file_meta.TransferSyntaxUID in LOSSY else 0
    return [picture(ds, array[f] if count > 1 else array, f)[0] for f in range(count)], tolerance


def pictures_of_nifti(path):
    image = nib.load(path)
    if len(image.shape) > 3 and max(image.shape[3:]) > 1:
        raise ValueError("several volumes")
    data = nib.as_closest_canonical(image).get_fdata()
    return [data[::-1, ::-1, k].T for k in range(data.shape[2])], 0


def main(out):
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    dicom = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    nifti = pathlib.Path(nib.__file__).parent / "tests" / "data"
    files = [(p, pictures_of_dicom) for p in sorted(dicom.rglob("*")) if p.suffix == ".dcm" or p.name == "DICOMDIR"]
    files += [(p, pictures_of_nifti) for p in sorted(nifti.glob("*.nii*"))]
    index = []
    for path, read in files:
        entry = {"file": str(path), "pictures": [], "tolerance": 0, "error": None}
        try:
            pictures, entry["tolerance"] = read(path)
        except Exception as error:
            pictures, entry["error"] = [], f"{type(error).__name__}: {error}"
        for values in pictures:
            name = f"{sum(len(other['pictures']) for other in index) + len(entry['pictures'])}.f64"
            (out / name).write_bytes(np.asarray(values, "<f8").tobytes())
            entry["pictures"].append({"data": name, "height": values.shape[0], "width": values.shape[1]})
        index.append(entry)
    (out / "index.json").write_text(json.dumps(index))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
