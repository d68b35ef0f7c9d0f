#!/usr/bin/env python3
"""Class activation maps beside PyTorch on the CPU. See benches/README.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "network"))

from bench import main  # noqa: E402

main("cam")
