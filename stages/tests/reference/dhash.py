"""Reference values of dHash: Pillow reduces, NumPy compares. Run: python3 dhash.py > dhash.json"""

import json

import numpy
import PIL
from PIL import Image

random = numpy.random.default_rng(7)
cases = []
for height, width in [(8, 9), (16, 18), (31, 40), (7, 5), (60, 33)]:
    y, x = numpy.mgrid[:height, :width]
    waves = 128 + 60 * numpy.sin(x / 3 + height) + 50 * numpy.cos(y / 4)
    pixels = numpy.clip(waves + random.normal(0, 8, (height, width)), 0, 255).astype(numpy.uint8)
    reduced = numpy.asarray(Image.fromarray(pixels).resize((9, 8), Image.BILINEAR)).astype(int)
    bits = (reduced[:, 1:] > reduced[:, :-1]).ravel()
    value = int("".join("1" if bit else "0" for bit in bits), 2)
    case = {"height": height, "width": width, "hash": f"{value:016x}", "pixels": pixels.ravel().tolist()}
    cases.append(case)
print(json.dumps({"versions": {"numpy": numpy.__version__, "Pillow": PIL.__version__}, "cases": cases}))
