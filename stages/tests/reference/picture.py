"""Small picture files written and read by Pillow, as a reference for the stage `dataset`.

Writes the files to picture/ beside this script, and picture.json.
"""

import json
import pathlib

import numpy as np
import PIL
from PIL import Image

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


def luma(pixels):
    return np.asarray(Image.fromarray(pixels).convert("L"))


def scaled(pixels):
    pixels = pixels.astype(np.float64)
    low, high = pixels.min(), pixels.max()
    return np.floor((pixels - low) * 255 / (high - low) + 0.5).astype(np.uint8)


def save(name, picture, expected=None, mask=False, tolerance=0, **options):
    picture.save(folder / name, **options)
    if expected is None:
        expected = np.asarray(Image.open(folder / name).convert("L"))
    files.append(
        {
            "file": name,
            "height": HEIGHT,
            "width": WIDTH,
            "mask": mask,
            "tolerance": tolerance,
            "pixels": np.asarray(expected).astype(int).ravel().tolist(),
        }
    )


image = Image.fromarray
save("grey.png", image(grey), grey)
save("colour.png", image(colour), luma(colour))
save("alpha.png", image(np.dstack([colour, grey])), luma(colour))
save("grey-alpha.png", image(np.dstack([grey, grey])), grey)
save("palette.png", image(grey).quantize(16))
save("deep.png", image(deep), scaled(deep))
save("grey.jpg", image(grey), quality=90, tolerance=1)
save("colour.jpg", image(smooth), quality=95, subsampling=0, tolerance=2)
save("grey.tif", image(grey), grey)
save("lzw.tif", image(colour), luma(colour), compression="tiff_lzw")
save("deep.tif", image(deep), scaled(deep), compression="tiff_deflate")
save("mask-1-bit.png", image(disc), disc, mask=True)
save("mask-1-bit.tif", image(disc), disc, mask=True)
save("mask-255.png", image(disc.astype(np.uint8) * 255), disc, mask=True)
save("mask-0-1.png", image(disc.astype(np.uint8)), disc, mask=True)
save("mask-colour.png", image(np.dstack([disc.astype(np.uint8) * 255] * 3)), disc, mask=True)
save("mask-deep.png", image(disc.astype(np.uint16) * 65535), disc, mask=True)
save("mask.jpg", image(disc.astype(np.uint8) * 255), disc, mask=True, quality=95)
save("mask-empty.png", image(np.zeros_like(grey)), np.zeros_like(grey), mask=True)
image(disc.astype(np.uint8) * 100).save(folder / "mask-0-100.png")

text = json.dumps({"made_by": f"picture.py, Pillow {PIL.__version__}", "files": files})
(here / "picture.json").write_text(text.replace('{"file"', '\n{"file"') + "\n")
