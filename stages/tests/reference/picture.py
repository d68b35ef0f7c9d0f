"""Small picture files written and read by Pillow and tifffile, as a reference for the stage `dataset`.

Writes the files to picture/ beside this script, and picture.json.
"""

import io
import json
import pathlib
import struct
import zlib

import imagecodecs
import numpy as np
import PIL
import tifffile
from PIL import Image, ImageOps, PngImagePlugin

HEIGHT, WIDTH = 9, 13
here = pathlib.Path(__file__).parent
folder = here / "picture"
folder.mkdir(exist_ok=True)
random = np.random.default_rng(11)
y, x = np.mgrid[:HEIGHT, :WIDTH]
grey = (40 + 10 * x + 8 * y).astype(np.uint8)
colour = np.stack([grey, 255 - grey, random.integers(0, 256, grey.shape)], axis=2).astype(np.uint8)
smooth = np.stack([grey, grey // 2 + 20, grey // 3], axis=2)
deep = (random.integers(300, 4000, grey.shape)).astype(np.uint16)
disc = (y - 4) ** 2 + (x - 6) ** 2 < 12
files = []
image = Image.fromarray


def luma(pixels):
    return np.asarray(image(pixels).convert("L"))


def viewed(name):
    """Levels as a viewer shows them, in Pillow's mode L."""
    # From memory: Pillow 13 garbles a TIFF file of orientation 5 to 8 that it maps.
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO((folder / name).read_bytes()))).convert("L"))


def add(name, expected, mask=False, tolerance=0, page=None, depth="8 bits", channels=None):
    """Notes the values of a file: levels, deep values with null for none, or a mask of 0 and 1."""
    expected = np.asarray(expected)
    values = expected.astype(int if expected.dtype.kind in "ubi" else float).ravel().tolist()
    files.append(
        {
            "file": name,
            "height": expected.shape[0],
            "width": expected.shape[1],
            "mask": mask,
            "tolerance": tolerance,
            "page": page,
            "depth": depth,
            "channels": channels,
            "values": [None if value != value else value for value in values],
        }
    )


def save(name, picture, expected=None, mask=False, tolerance=0, depth="8 bits", channels=None, **options):
    picture.save(folder / name, **options)
    add(name, viewed(name) if expected is None else expected, mask, tolerance, None, depth, channels)


def tiff(name, pixels, expected=None, tolerance=0, depth="8 bits", channels=1, **options):
    """Writes and reads by tifffile, without its description; `expected` defaults to what tifffile reads."""
    path = folder / name
    tifffile.imwrite(path, pixels, metadata=None, software=False, **options)
    add(name, tifffile.imread(path) if expected is None else expected, False, tolerance, None, depth, channels)


save("grey.png", image(grey), grey, channels=1)
save("colour.png", image(colour), luma(colour), channels=3)
save("alpha.png", image(np.dstack([colour, grey])), luma(colour), channels=4)
save("grey-alpha.png", image(np.dstack([grey, grey])), grey, channels=2)
save("palette.png", image(grey).quantize(16), channels=1)
save("deep.png", image(deep), deep, depth="16 bits", channels=1)
save("grey.jpg", image(grey), quality=90, tolerance=1, channels=1)
save("colour.jpg", image(smooth), quality=95, subsampling=0, tolerance=2, channels=3)
save("grey.tif", image(grey), grey, channels=1)
save("lzw.tif", image(colour), luma(colour), compression="tiff_lzw", channels=3)
save("deep.tif", image(deep), deep, compression="tiff_deflate", depth="16 bits", channels=1)
save("mask-1-bit.png", image(disc), disc, mask=True, depth="1 bit")
save("mask-1-bit.tif", image(disc), disc, mask=True, depth="1 bit")
save("mask-255.png", image(disc.astype(np.uint8) * 255), disc, mask=True)
save("mask-0-1.png", image(disc.astype(np.uint8)), disc, mask=True)
save("mask-0-100.png", image(disc.astype(np.uint8) * 100), disc, mask=True)
save("mask-colour.png", image(np.dstack([disc.astype(np.uint8) * 255] * 3)), disc, mask=True)
save("mask-deep.png", image(disc.astype(np.uint16) * 65535), disc, mask=True, depth="16 bits")
save("mask.jpg", image(disc.astype(np.uint8) * 255), disc, mask=True, quality=95)
save("mask-empty.png", image(np.zeros_like(grey)), np.zeros_like(grey), mask=True)

# JPEG: scans, subsampling, restarts, CMYK as Adobe writes it, RGB as it is.
save("progressive.jpg", image(smooth), quality=85, progressive=True, tolerance=2, channels=3)
save("progressive-grey.jpg", image(grey), quality=85, progressive=True, tolerance=2, channels=1)
save("restarts.jpg", image(grey), quality=85, restart_marker_blocks=1, tolerance=1, channels=1)
save("cmyk.jpg", image(smooth).convert("CMYK"), quality=95, tolerance=3, channels=3)
save("rgb.jpg", image(smooth), quality=95, keep_rgb=True, tolerance=2, channels=3)



def scans(name, channels):
    """Joins the scans of grey files to one file of three components, each in a scan of its own."""
    parts = []
    for index, channel in enumerate(channels):
        file = io.BytesIO()
        image(np.ascontiguousarray(channel)).save(file, "JPEG", quality=90)
        data = file.getvalue()
        start = data.index(b"\xff\xda")
        parts.append(b"\xff\xda\0\x08\x01" + bytes([index + 1, 0, 0, 63, 0]) + data[start + 10 : -2])
    frame = data.index(b"\xff\xc0")
    components = b"".join(bytes([index + 1, 0x11, 0]) for index in range(3))
    header = data[:frame] + b"\xff\xc0\0\x11\x08" + data[frame + 5 : frame + 9] + b"\x03" + components
    (folder / name).write_bytes(header + data[frame + 13 : start] + b"".join(parts) + b"\xff\xd9")
    add(name, viewed(name), tolerance=2, channels=3)


scans("scans.jpg", [grey, smooth[:, :, 1] // 2 + 64, smooth[:, :, 2] // 2 + 64])

# Orientation in Exif, XMP and TIFF; for each, Pillow applies what a viewer shows.
exif = Image.Exif()
exif[274] = 6
save("turned-6.jpg", image(grey), exif=exif, quality=90, tolerance=1)
xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><d tiff:Orientation="3"/></x:xmpmeta>'
save("turned-3-xmp.jpg", image(grey), xmp=xmp, quality=90, tolerance=1)
exif[274] = 8
save("turned-8.png", image(grey), exif=exif)
text = PngImagePlugin.PngInfo()
text.add_itxt("XML:com.adobe.xmp", xmp.decode())
save("turned-3-xmp.png", image(grey), pnginfo=text)
text = PngImagePlugin.PngInfo()
digits = exif.tobytes().hex()
text.add_text("Raw profile type exif", f"\nexif\n{len(digits) // 2:8}\n{digits}\n", zip=True)
save("turned-8-text.png", image(grey), pnginfo=text)
for orientation in (3, 5):
    tifffile.imwrite(
        folder / f"turned-{orientation}.tif", grey, metadata=None, software=False,
        extratags=[(274, 3, 1, orientation, True)],
    )
    add(f"turned-{orientation}.tif", viewed(f"turned-{orientation}.tif"))


def png(name, expected, color, bits, rows, extra=(), late=(), interlaced=False, **facts):
    """Writes kinds of PNG that Pillow cannot: `rows` are lists of packed rows, one list a pass."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, bits, color, 0, 0, interlaced)
    data = zlib.compress(b"".join(b"\0" + row for one in rows for row in one))
    chunks = [(b"IHDR", header), *extra, (b"IDAT", data), *late, (b"IEND", b"")]
    (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*pair) for pair in chunks))
    add(name, expected, **facts)


def packed(pixels):
    return [row.astype(pixels.dtype.newbyteorder(">")).tobytes() for row in pixels]


PASSES = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
adam = [packed(grey[top::down, left::right]) for top, down, left, right in PASSES]
png("interlaced.png", grey, 0, 8, adam, interlaced=True)
assert (viewed("interlaced.png") == grey).all()
png("turned-8-late.png", np.rot90(grey), 0, 8, [packed(grey)], late=[(b"eXIf", exif.tobytes()[6:])])
assert (viewed("turned-8-late.png") == np.rot90(grey)).all()
deep_colour = random.integers(0, 65536, (HEIGHT, WIDTH, 3)).astype(np.uint16)
weights = np.array([19595, 38470, 7471], np.uint64)
deep_luma = ((deep_colour * weights).sum(axis=2) + 0x8000) >> 16
png("deep-colour.png", deep_luma, 2, 16, [packed(deep_colour)], depth="16 bits", channels=3)
four = random.integers(0, 16, (HEIGHT, WIDTH + 1)).astype(np.uint8)
four[:, -1] = 0
rows = [(row[::2] << 4 | row[1::2]).tobytes() for row in four]
png("4-bit.png", four[:, :WIDTH] * 17, 0, 4, [rows], [(b"gAMA", struct.pack(">I", 100000))], depth="4 bits")
assert (viewed("4-bit.png") == four[:, :WIDTH] * 17).all()
png("transparent-level.png", grey, 0, 8, [packed(grey)], [(b"tRNS", struct.pack(">H", 80))], channels=2)

# TIFF: types, compressions, layouts.
wave = np.sin(x / 3) * np.cos(y / 2) * 1000
tiff("float32.tif", wave.astype(np.float32), depth="float32")
tiff("float64.tif", wave, depth="float64")
tiff("float16.tif", wave.astype(np.float16), depth="float16")
tiff("int8.tif", (wave / 8).astype(np.int8), depth="int8")
tiff("int16.tif", (wave * 8).astype(np.int16), depth="int16")
tiff("int32.tif", (wave * 1e6).astype(np.int32), depth="int32")
tiff("uint32.tif", (wave * 1e6 + 2e9).astype(np.uint32), depth="uint32")
tiff("big.tif", deep, bigtiff=True, depth="16 bits")
tiff("big-endian.tif", deep, byteorder=">", depth="16 bits")
tiff("zstd.tif", deep, compression="zstd", depth="16 bits")
tiff("packbits.tif", grey, compression="packbits")
tiff("predictor.tif", deep, compression="lzw", predictor=True, depth="16 bits")
tiff("predictor-colour.tif", colour, luma(colour), compression="zlib", predictor=True, channels=3)
tiff("predictor-float.tif", wave.astype(np.float32), compression="zlib", predictor=True, depth="float32")
wide = np.tile(wave.astype(np.float32), (2, 2))
tiff("tiles.tif", wide, tile=(16, 16), compression="zlib", predictor=True, depth="float32")
tiff("tiles-colour.tif", colour, luma(colour), tile=(16, 16), compression="zlib", channels=3)
planes = np.moveaxis(colour, 2, 0)
tiff("planes.tif", planes, luma(colour), planarconfig="separate", photometric="rgb", channels=3)
tiff("planes-strips.tif", planes, luma(colour), planarconfig="separate", photometric="rgb", rowsperstrip=4, channels=3)
tiff("white-is-zero.tif", grey, 255 - grey, photometric="miniswhite")
tiff("white-is-zero-16.tif", deep, 65535 - deep, photometric="miniswhite", depth="16 bits")
tiff("alpha.tif", np.dstack([colour, grey]), luma(colour), extrasamples=["unassalpha"], channels=4)
shades = np.stack([np.arange(256), np.arange(256)[::-1], np.arange(256) // 2]).astype(np.uint16) * 257
tiff("palette.tif", grey, shades.T[:, :][grey].astype(int) // 257 @ [0, 0, 0], photometric="palette", colormap=shades)
files[-1]["values"], files[-1]["channels"] = viewed("palette.tif").astype(int).ravel().tolist(), 3
tiff("float-colour.tif", colour / np.float32(255), colour / np.float32(255) @ np.array([0.299, 0.587, 0.114]),
     photometric="rgb", depth="float32", channels=3, tolerance=1e-6)
no_data = np.where(disc, -9999, wave).astype(np.float32)
tiff("no-data.tif", no_data, np.where(disc, np.nan, no_data), depth="float32",
     extratags=[(42113, 2, 0, "-9999", True)])
tiff("jpeg.tif", grey, tolerance=1, compression="jpeg", compressionargs={"level": 90})
tiff("jpeg-colour.tif", smooth, luma(tifffile.imread(folder / "jpeg.tif")) * 0, compression="jpeg",
     photometric="rgb", compressionargs={"level": 95}, tolerance=3, channels=3)
files[-1]["values"] = luma(tifffile.imread(folder / "jpeg-colour.tif")).astype(int).ravel().tolist()
save("jpeg-tables.tif", image(grey), compression="jpeg", quality=90, tolerance=1, channels=1)
save("jpeg-tables-colour.tif", image(smooth), compression="jpeg", quality=95, tolerance=3, channels=3)
save("group4.tif", image(disc), compression="group4", depth="1 bit", channels=1)
save("white-is-zero-1-bit.tif", image(disc), tiffinfo={262: 0}, depth="1 bit", channels=1)
save("cmyk.tif", image(smooth).convert("CMYK"), channels=3)

# Masks that have more levels than they mean, of 24 x 24 pixels, and one of three levels.
v, u = np.mgrid[:96, :96]
large = image(((v - 44) ** 2 + (u - 50) ** 2 < 900).astype(np.uint8) * 255)
round_mask = large.resize((24, 24), Image.Resampling.NEAREST)
for quality in (50, 75, 90):
    round_mask.save(folder / f"mask-q{quality}.jpg", quality=quality)
round_mask.save(folder / "mask-progressive.jpg", quality=75, progressive=True)
large.resize((24, 24), Image.Resampling.LANCZOS).save(folder / "mask-lanczos.png")
large.resize((24, 24), Image.Resampling.BILINEAR).save(folder / "mask-bilinear.png")
three = np.asarray(round_mask).copy()
three[8:16, 8:16] = 128
image(three).save(folder / "mask-three-levels.jpg", quality=75)

# Pages: three, of which one must be named; a thumbnail and a mask are none.
with tifffile.TiffWriter(folder / "pages.tif") as writer:
    for page in (grey, grey // 2, grey.T.copy()):
        writer.write(page, metadata=None, software=False)
for page in range(3):
    add("pages.tif", tifffile.imread(folder / "pages.tif", key=page), page=page)
with tifffile.TiffWriter(folder / "thumbnail.tif") as writer:
    writer.write(grey[::2, ::2].copy(), subfiletype=1, metadata=None, software=False)
    writer.write(grey, metadata=None, software=False)
    writer.write(disc, subfiletype=4, metadata=None, software=False)
add("thumbnail.tif", grey)

# Kinds that are refused.
def refused(name, pixels, **options):
    tifffile.imwrite(folder / f"refused-{name}.tif", pixels, metadata=None, software=False, **options)


refused("lzma", grey, compression="lzma")
refused("jpeg-2000", grey, compression="jpeg2000")
refused("uint64", deep.astype(np.uint64))
refused("complex", wave.astype(np.complex64))
refused("channels", np.dstack([grey] * 5), photometric="minisblack", planarconfig="contig")
tifffile.imwrite(folder / "refused-imagej.tif", np.stack([grey] * 3), imagej=True, truncate=True)
refused("12-bit", np.frombuffer(imagecodecs.packints_encode(deep, 12), np.uint8).reshape(1, -1))
patched = bytearray((folder / "refused-12-bit.tif").read_bytes())
with tifffile.TiffFile(folder / "refused-12-bit.tif") as file:
    tags = file.pages[0].tags
    for tag, value in ((256, WIDTH), (257, HEIGHT), (258, 12), (278, HEIGHT)):
        struct.pack_into("<H" if tags[tag].dtype == 3 else "<I", patched, tags[tag].valueoffset, value)
(folder / "refused-12-bit.tif").write_bytes(patched)
image(np.dstack([np.full_like(grey, 255), disc.astype(np.uint8) * 255])).save(folder / "refused-alpha-mask.png")
lossy = imagecodecs.jpeg8_encode(deep, bitspersample=12)
(folder / "refused-12-bit.jpg").write_bytes(lossy)
(folder / "refused-lossless.jpg").write_bytes(imagecodecs.ljpeg_encode(deep, bitspersample=12))

text = json.dumps(
    {
        "made_by": f"picture.py, Pillow {PIL.__version__}, tifffile {tifffile.__version__}, "
        f"imagecodecs {imagecodecs.__version__}",
        "files": files,
    }
)
(here / "picture.json").write_text(text.replace('{"file"', '\n{"file"') + "\n")
