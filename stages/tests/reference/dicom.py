"""Small DICOM files by pydicom and highdicom, of made-up patients, and what pydicom reads from them.

Writes them to dicom/ beside this script, and dicom.json: for each image the levels, or the values after rescaling with
null for padding; for each segmentation the label values that belong to an image.

    python dicom.py
"""

import json
import pathlib
import shutil
import sys
import warnings

import highdicom
import imagecodecs
import numpy as np
import PIL
import pydicom
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.sr.coding import CodedConcept
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000,
    JPEG2000Lossless, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless,
)

warnings.simplefilter("ignore")
here = pathlib.Path(__file__).parent
folder = here / "dicom"
shutil.rmtree(folder, ignore_errors=True)
folder.mkdir()
rng = np.random.default_rng(11)
ROOT = "1.2.826.0.1.3680043.8.498.13."
CT, SECONDARY, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.4.1"
HEIGHT, WIDTH = 6, 8
ramp = np.add.outer(np.arange(HEIGHT) * 5, np.arange(WIDTH) * 3)
images, count = [], 0


def dataset(pixels, bits, photometric="MONOCHROME2", signed=False, sop_class=CT, **more):
    """Makes a data set of [frames,] rows, columns[, samples]; `bits` are allocated, stored."""
    global count
    count += 1
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, f"{ROOT}{count}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}1000", f"{ROOT}2000"
    ds.PatientID, ds.PatientName, ds.PatientBirthDate, ds.PatientSex = "MADE-UP-7", "Nobody^Known", "19010203", "O"
    ds.StudyID, ds.AccessionNumber, ds.StudyDate, ds.StudyTime = "1", "1", "20010101", "000000"
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.ReferringPhysicianName = "CT", 1, count, ""
    colour = photometric in ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
    ds.SamplesPerPixel = 3 if colour else 1
    if colour:
        ds.PlanarConfiguration = 0
    shape = pixels.shape[:-1] if colour else pixels.shape
    if len(shape) == 3:
        ds.NumberOfFrames = shape[0]
    ds.Rows, ds.Columns = shape[-2:]
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated, ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits[1] - 1, int(signed)
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def save(name, ds, syntax=ExplicitVRLittleEndian, data=None, meta=True):
    """Writes a data set with native or encapsulated bytes."""
    if data is not None:
        ds.PixelData = data
        ds["PixelData"].VR = "OB" if syntax.is_compressed and not syntax.is_deflated else "OW"
        if ds.BitsAllocated <= 8 and not syntax.is_compressed:
            ds["PixelData"].VR = "OB"
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    if meta:
        ds.save_as(folder / name, enforce_file_format=True)
    else:
        pydicom.dcmwrite(folder / name, ds_without_meta(ds), implicit_vr=True, little_endian=True)
    return pydicom.dcmread(folder / name, force=True)


def ds_without_meta(ds):
    copy = Dataset()
    for element in ds:
        copy.add(element)
    return copy


def rescaled(ds, frame):
    """Rescaled as pydicom does; it leaves the functional groups of frames to the caller."""
    array = ds.pixel_array if frame is None else ds.pixel_array[frame]
    source = ds
    for groups in [ds.get("SharedFunctionalGroupsSequence", []), ds.get("PerFrameFunctionalGroupsSequence", [])]:
        for index, group in enumerate(groups):
            if "PixelValueTransformationSequence" in group and (len(groups) == 1 or index == frame):
                source = group.PixelValueTransformationSequence[0]
    return array, apply_modality_lut(array, source).astype(np.float64)


def expect(name, ds, frame=None, tolerance=0, windowed=None):
    entry = {"file": name, "frame": frame, "height": ds.Rows, "width": ds.Columns, "tolerance": tolerance}
    photometric = ds.PhotometricInterpretation
    if ds.SamplesPerPixel == 3:
        array = ds.pixel_array if frame is None else ds.pixel_array[frame]
        if array.dtype == np.uint8:
            entry["levels"] = np.asarray(Image.fromarray(array).convert("L")).ravel().tolist()
        else:
            r, g, b = (array[..., c].astype(np.int64) for c in range(3))
            entry["values"] = ((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16).ravel().tolist()
    elif photometric == "PALETTE COLOR":
        array = apply_color_lut(ds.pixel_array, ds)
        array = (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array
        entry["levels"] = np.asarray(Image.fromarray(array).convert("L")).ravel().tolist()
    else:
        array, values = rescaled(ds, frame)
        padding = np.zeros(values.shape, bool)
        if "PixelPaddingValue" in ds:
            ends = sorted([ds.PixelPaddingValue, ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue)])
            padding = (array >= ends[0]) & (array <= ends[1])
        if ds.BitsStored == 8 and ds.PixelRepresentation == 0 and np.array_equal(values, array):
            levels = 255 - array if photometric == "MONOCHROME1" else array
            entry["levels"] = np.where(padding, 0, levels).ravel().tolist()
        else:
            flat = zip(values.ravel().tolist(), padding.ravel().tolist())
            entry["values"] = [None if hidden else value for value, hidden in flat]
            entry["inverted"] = photometric == "MONOCHROME1"
    if windowed is not None:
        # pydicom maps a window to the range of the stored bits after rescaling; here it becomes 0..255.
        shown = apply_windowing(values, ds).astype(np.float64)
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        least = (-(2 ** (ds.BitsStored - 1)) if ds.PixelRepresentation else 0) * slope + intercept
        most = (2 ** (ds.BitsStored - ds.PixelRepresentation) - 1) * slope + intercept
        level = (shown - least) / (most - least) * 255
        level = 255 - level if photometric == "MONOCHROME1" else level
        entry["windowed"] = [0 if p else int(np.floor(v + 0.5)) for v, p in zip(level.ravel(), padding.ravel())]
    images.append(entry)


def grey(name, array, bits, syntax=ExplicitVRLittleEndian, signed=False, windowed=None, **more):
    ds = dataset(array, bits, signed=signed, **more)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    data = array.astype(np.dtype(array.dtype).newbyteorder(order)).tobytes()
    expect(name, save(name, ds, syntax, data + b"\0" * (len(data) % 2)), windowed=windowed)


# Values: sign, unused bits, rescaling, padding, inversion, windows.
signed = (ramp * 40 - 900).astype(np.int16)
signed[0, :3] = [-2000, -1998, -1996]
rescale = {"RescaleSlope": "1", "RescaleIntercept": "-1024"}
window = {"WindowCenter": ["-1500", "40"], "WindowWidth": ["1200", "400"]}
grey("ct.dcm", signed, (16, 16), signed=True, PixelPaddingValue=-2000, windowed=True, **rescale, **window)
grey("range.dcm", signed, (16, 16), signed=True, PixelPaddingValue=-1996, PixelPaddingRangeLimit=-2000, **rescale)
grey("implicit.dcm", (ramp * 50).astype(np.uint16), (16, 12), ImplicitVRLittleEndian, BurnedInAnnotation="YES")
grey("unused.dcm", ((ramp * 50) | 0xA000).astype(np.uint16), (16, 12))
grey("big.dcm", signed, (16, 16), ExplicitVRBigEndian, signed=True, RescaleSlope="0.5", RescaleIntercept="3")
grey("deflated.dcm", (ramp * 50).astype(np.uint16), (16, 12), DeflatedExplicitVRLittleEndian)
grey("twelve.dcm", ((ramp * 90 - 2000) & 0xFFF).astype(np.uint16), (16, 12), signed=True)
grey("eight.dcm", (ramp * 4).astype(np.uint8), (8, 8))
grey("int8.dcm", (ramp - 30).astype(np.int8), (8, 8), signed=True)
grey("thirty-two.dcm", (ramp * 50_000_000).astype(np.uint32), (32, 32))
grey("rescaled-eight.dcm", (ramp * 4).astype(np.uint8), (8, 8), RescaleSlope="2", RescaleIntercept="-5")
grey("mono1-eight.dcm", (ramp * 4).astype(np.uint8), (8, 8), PixelPaddingValue=12, photometric="MONOCHROME1")
mono1 = {"photometric": "MONOCHROME1", "windowed": True}
grey("mono1.dcm", (ramp * 60).astype(np.uint16), (16, 12), WindowCenter="1500", WindowWidth="2000", **mono1)
for function in ("LINEAR_EXACT", "SIGMOID"):
    more = {"WindowCenter": "1500", "WindowWidth": "1000", "VOILUTFunction": function}
    grey(f"{function.lower()}.dcm", (ramp * 60).astype(np.uint16), (16, 12), windowed=True, **more)

table = Dataset()
table.LUTDescriptor, table.ModalityLUTType = [20, 10, 16], "US"
table.add_new("LUTData", "US", [int(v) for v in np.linspace(60000, 100, 20)])
grey("modality-lut.dcm", (ramp * 1).astype(np.uint16), (16, 12), ModalityLUTSequence=Sequence([table]))

for kind, name in [("f4", "FloatPixelData"), ("f8", "DoubleFloatPixelData")]:
    ds = dataset(ramp, (int(kind[1]) * 8, 16), sop_class="1.2.840.10008.5.1.4.1.1.30")
    del ds.BitsStored, ds.HighBit, ds.PixelRepresentation
    values = (ramp / 7 - 1).astype(kind)
    setattr(ds, name, values.tobytes())
    ds = save(f"float-{kind}.dcm", ds)
    flat = ds.pixel_array.astype(np.float64).ravel().tolist()
    images.append({"file": f"float-{kind}.dcm", "frame": None, "height": HEIGHT, "width": WIDTH, "tolerance": 0,
                   "values": flat, "inverted": False})

ds = dataset((ramp * 50).astype(np.uint16), (16, 12))
save("no-header.dcm", ds, ImplicitVRLittleEndian, (ramp * 50).astype(np.uint16).tobytes(), meta=False)
bare = pydicom.dcmread(folder / "no-header.dcm", force=True)
bare.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
expect("no-header.dcm", bare)

# The value lies in bits 4..15; pydicom does not move it, so that the expected values are those written.
ds = dataset(ramp, (16, 12), HighBit=15)
save("high-bit.dcm", ds, data=((ramp * 50) << 4 | 5).astype(np.uint16).tobytes())
images.append({"file": "high-bit.dcm", "frame": None, "height": HEIGHT, "width": WIDTH, "tolerance": 0,
               "values": (ramp * 50).ravel().tolist(), "inverted": False})

# Colours.
rgb = np.stack([ramp * 4, 255 - ramp * 3, (ramp * 37) % 256], axis=-1).astype(np.uint8)
expect("rgb.dcm", save("rgb.dcm", dataset(rgb, (8, 8), "RGB"), data=rgb.tobytes()))
planar = dataset(rgb, (8, 8), "RGB", PlanarConfiguration=1)
expect("rgb-planar.dcm", save("rgb-planar.dcm", planar, data=rgb.transpose(2, 0, 1).tobytes()))
rgb16 = rgb.astype(np.uint16) * 200
expect("rgb-16.dcm", save("rgb-16.dcm", dataset(rgb16, (16, 16), "RGB"), data=rgb16.tobytes()))
ybr = np.asarray(Image.fromarray(rgb).convert("YCbCr"))
expect("ybr.dcm", save("ybr.dcm", dataset(ybr, (8, 8), "YBR_FULL"), data=ybr.tobytes()))
half = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
expect("ybr-422.dcm", save("ybr-422.dcm", dataset(ybr, (8, 8), "YBR_FULL_422"), data=half.tobytes()))
for bits in (8, 16):
    palette = np.stack([np.arange(64) * 4, 255 - np.arange(64) * 3, (np.arange(64) * 29) % 256])
    palette = palette.astype(np.uint8) if bits == 8 else (palette * 257).astype(np.uint16)
    more = {}
    for index, colour in enumerate(("Red", "Green", "Blue")):
        more[f"{colour}PaletteColorLookupTableDescriptor"] = [64, 3, bits]
        more[f"{colour}PaletteColorLookupTableData"] = palette[index].tobytes()
    ds = dataset(ramp, (8, 8), "PALETTE COLOR", **more)
    expect(f"palette-{bits}.dcm", save(f"palette-{bits}.dcm", ds, data=ramp.astype(np.uint8).tobytes()))

# Codecs.
deep, shallow = (ramp * 60).astype(np.uint16), (ramp * 4).astype(np.uint8)
noise = rng.integers(0, 1 << 16, (HEIGHT, WIDTH)).astype(np.uint16)


def coded(name, array, bits, syntax, frames, photometric="MONOCHROME2", tolerance=0, frame=None, fragments=1, **more):
    ds = dataset(array, bits, photometric, **more)
    ds = save(name, ds, syntax, encapsulate(frames, fragments_per_frame=fragments))
    expect(name, ds, frame, tolerance)


ljpeg = imagecodecs.ljpeg_encode
coded("jpeg-lossless-sv1.dcm", deep, (16, 12), JPEGLosslessSV1, [ljpeg(deep, bitspersample=12)])
coded("jpeg-lossless-16.dcm", noise, (16, 16), JPEGLossless, [ljpeg(noise, bitspersample=16)])
coded("jpeg-lossless-8.dcm", shallow, (8, 8), JPEGLosslessSV1, [ljpeg(shallow, bitspersample=8)])
baseline = imagecodecs.jpeg8_encode(shallow, level=95)
coded("jpeg.dcm", shallow, (8, 8), JPEGBaseline8Bit, [baseline], tolerance=1)
coded("jpeg-fragments.dcm", shallow, (8, 8), JPEGBaseline8Bit, [baseline], tolerance=1, fragments=3)
colour = imagecodecs.jpeg8_encode(rgb, level=95, colorspace="RGB", outcolorspace="YCBCR", subsampling="444")
coded("jpeg-ybr.dcm", rgb, (8, 8), JPEGBaseline8Bit, [colour], "YBR_FULL", tolerance=1)
for name, syntax, level in [("lossless", JPEG2000Lossless, 0), ("lossy", JPEG2000, 40)]:
    code = imagecodecs.jpeg2k_encode(deep, level=level, codecformat="J2K", bitspersample=12, reversible=level == 0)
    coded(f"jpeg2000-{name}.dcm", deep, (16, 12), syntax, [code], tolerance=1 if level else 0)
code = imagecodecs.jpeg2k_encode(signed, level=0, codecformat="J2K", reversible=True)
coded("jpeg2000-signed.dcm", signed, (16, 16), JPEG2000Lossless, [code], signed=True, **rescale)
code = imagecodecs.jpeg2k_encode(rgb, level=0, codecformat="J2K", reversible=True, mct=True)
coded("jpeg2000-rgb.dcm", rgb, (8, 8), JPEG2000Lossless, [code], "YBR_RCT")
for name, array, bits, photometric in [("16", noise, (16, 16), "MONOCHROME2"), ("rgb", rgb, (8, 8), "RGB")]:
    ds = dataset(array, bits, photometric)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.PixelData = array.tobytes()
    ds["PixelData"].VR = "OW"
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.save_as(folder / f"rle-{name}.dcm", enforce_file_format=True)
    expect(f"rle-{name}.dcm", pydicom.dcmread(folder / f"rle-{name}.dcm"))

# Frames.
frames = np.stack([shallow, shallow[::-1], shallow[:, ::-1]])
ds = save("frames.dcm", dataset(frames, (8, 8), sop_class=SECONDARY), data=frames.tobytes())
for frame in range(3):
    expect("frames.dcm", ds, frame)
coded("frames-lossless.dcm", frames, (8, 8), JPEGLosslessSV1, [ljpeg(f, bitspersample=8) for f in frames], frame=2)
several = dataset(frames, (8, 8), sop_class=SECONDARY)
data, offsets, lengths = encapsulate_extended([ljpeg(f, bitspersample=8) for f in frames])
several.ExtendedOffsetTable, several.ExtendedOffsetTableLengths = offsets, lengths
expect("frames-extended.dcm", save("frames-extended.dcm", several, JPEGLosslessSV1, data), 1)
no_table = dataset(frames, (8, 8), sop_class=SECONDARY)
data = encapsulate([imagecodecs.jpeg8_encode(f, level=95) for f in frames], fragments_per_frame=2, has_bot=False)
expect("frames-no-table.dcm", save("frames-no-table.dcm", no_table, JPEGBaseline8Bit, data), 1, tolerance=1)
odd = rng.integers(0, 2, (3, 5, 7)).astype(np.uint8)
ds = save("bits.dcm", dataset(odd, (1, 1), sop_class=SECONDARY),
          data=np.packbits(odd.ravel(), bitorder="little").tobytes() + b"\0" * (-(-odd.size // 8) % 2))
for frame in range(3):
    expect("bits.dcm", ds, frame)

mr = np.stack([ramp * 20, ramp * 30]).astype(np.uint16)
ds = dataset(mr, (16, 12), sop_class=ENHANCED_MR)
per_frame = []
for index in range(2):
    group, transform, voi, plane = Dataset(), Dataset(), Dataset(), Dataset()
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = str(index + 1.5), str(index), "US"
    voi.WindowCenter, voi.WindowWidth = str(100 * (index + 1)), "300"
    plane.ImagePositionPatient = ["0", "0", str(index)]
    group.PixelValueTransformationSequence, group.FrameVOILUTSequence = Sequence([transform]), Sequence([voi])
    group.PlanePositionSequence = Sequence([plane])
    per_frame.append(group)
shared, orientation = Dataset(), Dataset()
orientation.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
shared.PlaneOrientationSequence = Sequence([orientation])
ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = Sequence([shared]), Sequence(per_frame)
enhanced = ds = save("enhanced.dcm", ds, data=mr.tobytes())
for frame in range(2):
    expect("enhanced.dcm", ds, frame)

# Refused.
coded_ls = dataset(deep, (16, 12))
save("refused-jpeg-ls.dcm", coded_ls, JPEGLSLossless, encapsulate([imagecodecs.jpegls_encode(deep)]))
coded_12 = dataset(deep, (16, 12))
extended = imagecodecs.jpeg_encode(deep, level=95, bitspersample=12)
save("refused-jpeg-12.dcm", coded_12, JPEGExtended12Bit, encapsulate([extended]))

# Segmentations of a series of three slices and of an enhanced image.
slices = []
for index in range(3):
    ds = dataset(signed, (16, 16), signed=True, ImagePositionPatient=["0", "0", str(index * 2)],
                 ImageOrientationPatient=["1", "0", "0", "0", "1", "0"], PixelSpacing=["1", "1"], SliceThickness="2",
                 FrameOfReferenceUID=f"{ROOT}3000", PositionReferenceIndicator="", **rescale)
    slices.append(save(f"slice-{index}.dcm", ds, data=signed.tobytes()))
other = dataset(signed, (16, 16), signed=True)
other.SeriesInstanceUID = f"{ROOT}2001"
save("other.dcm", other, data=signed.tobytes())
algorithm = AlgorithmIdentificationSequence("made up", CodedConcept("123109", "DCM", "Manual Processing"), "1")
concept = CodedConcept("85756007", "SCT", "Tissue")
masks = []


def segments(numbers):
    kind = SegmentAlgorithmTypeValues.MANUAL
    return [SegmentDescription(n, f"s{n}", concept, concept, kind) for n in numbers]


def segmentation(name, array, kind, numbers, more=None, **options):
    ds = highdicom.seg.Segmentation(
        source_images=slices, pixel_array=array, segmentation_type=kind, segment_descriptions=segments(numbers),
        series_instance_uid=f"{ROOT}4000", series_number=2, sop_instance_uid=f"{ROOT}{5000 + len(masks)}",
        instance_number=1, manufacturer="none", manufacturer_model_name="none", software_versions="1",
        device_serial_number="1", **options)
    ds.ContentDate, ds.ContentTime = "20010101", "000000"
    ds.InstanceCreationDate, ds.InstanceCreationTime = "20010101", "000000"
    for item in ds.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = "20010101000000"
    for item in [*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence]:
        item.DimensionOrganizationUID = f"{ROOT}6000"
    if more:
        more(ds)
    ds.save_as(folder / name, enforce_file_format=True)


def labels(name, per_slice):
    for index, wanted in enumerate(per_slice):
        flat = np.asarray(wanted).astype(int).ravel().tolist()
        masks.append({"mask": name, "image": f"slice-{index}.dcm", "labels": flat})


planes = np.zeros((3, HEIGHT, WIDTH, 2), np.uint8)
planes[0, 1:3, 1:5, 0] = planes[0, 2:5, 3:7, 1] = planes[2, 0, :, 1] = 1
segmentation("seg-binary.dcm", planes, SegmentationTypeValues.BINARY, [1, 2])
labels("seg-binary.dcm", (planes * [1, 2]).max(axis=-1))
fraction = np.zeros((3, HEIGHT, WIDTH), np.float32)
fraction[1] = ramp / ramp.max()
segmentation("seg-fractional.dcm", fraction, SegmentationTypeValues.FRACTIONAL, [1], max_fractional_value=100)
labels("seg-fractional.dcm", np.round(fraction * 100) > 50)
plain = np.zeros((3, HEIGHT, WIDTH), np.uint8)
plain[0, 1:3], plain[1, :, 2:4] = 1, 2
segmentation("seg-labelmap.dcm", plain, SegmentationTypeValues.LABELMAP, [1, 2])
labels("seg-labelmap.dcm", plain)


def without_sources(ds):
    for group in ds.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence


segmentation("seg-by-place.dcm", planes, SegmentationTypeValues.BINARY, [1, 2], without_sources)
labels("seg-by-place.dcm", (planes * [1, 2]).max(axis=-1))


def with_all_sources(ds):
    """A resampled segmentation names all slices in each frame."""
    sources = [g.DerivationImageSequence[0].SourceImageSequence[0] for g in ds.PerFrameFunctionalGroupsSequence]
    for group in ds.PerFrameFunctionalGroupsSequence:
        group.DerivationImageSequence[0].SourceImageSequence = Sequence(sources)


segmentation("seg-all-sources.dcm", planes, SegmentationTypeValues.BINARY, [1, 2], with_all_sources)
labels("seg-all-sources.dcm", (planes * [1, 2]).max(axis=-1))



def of_frames(ds):
    """The first slices become the frames of the enhanced image."""
    groups = ds.PerFrameFunctionalGroupsSequence
    for group in groups:
        source, place = group.DerivationImageSequence[0].SourceImageSequence[0], group.PlanePositionSequence[0]
        index = int(place.ImagePositionPatient[2]) // 2
        source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber = enhanced.SOPInstanceUID, index + 1
        place.ImagePositionPatient = ["0", "0", str(index)]


segmentation("seg-frames.dcm", planes, SegmentationTypeValues.BINARY, [1, 2], of_frames)
for frame in range(2):
    flat = (planes * [1, 2]).max(axis=-1)[frame].ravel().tolist()
    masks.append({"mask": "seg-frames.dcm", "image": "enhanced.dcm", "frame": frame, "labels": flat})

versions = {module.__name__: module.__version__ for module in (pydicom, highdicom, imagecodecs, np, PIL)}
versions["python"] = sys.version.split()[0]
result = {"made_by": "dicom.py", "versions": versions, "images": images, "masks": masks}
(here / "dicom.json").write_text(json.dumps(result) + "\n")
