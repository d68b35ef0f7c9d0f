#!/usr/bin/env python3
"""Writes a miniature of a real layout: a folder a class, patients in the names, a mask beside each picture.

    scans.py DIR

24 grey pictures of 48 × 48 of 12 patients, `DIR/glioma/P01_1.png` with `P01_1_mask.png`; needs numpy alone.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np

SIDE = 48
CLASSES = ["glioma", "meningioma"]
PATIENTS = 6  # of each class
SLICES = 2  # of each patient


def png(pixels: np.ndarray) -> bytes:
    """A PNG file of 8-bit grey levels, `[height, width]`."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def main(folder: Path) -> None:
    random = np.random.default_rng(7)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for patient in range(PATIENTS):
            for slice_ in range(SLICES):
                # Each class has its place; a lesion is a bright disc.
                row, column = random.integers(12, 36, 2) if number else (14 + random.integers(0, 4), 14)
                disc = (y - row) ** 2 + (x - column) ** 2 < (5 + 3 * number) ** 2
                levels = random.normal(70, 12, (SIDE, SIDE)) + 110 * disc
                stem = folder / name / f"P{number * PATIENTS + patient + 1:02}_{slice_ + 1}"
                Path(f"{stem}.png").write_bytes(png(levels.clip(0, 255).astype(np.uint8)))
                Path(f"{stem}_mask.png").write_bytes(png(np.where(disc, 255, 0).astype(np.uint8)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
