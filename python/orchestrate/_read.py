"""Readers of artifacts: inputs of a ``command`` stage, files of `results`, published folders.

Each takes the folder of an artifact, such as ``{in.images}`` of a command, or the file itself.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from ._errors import OrchestrateError
from ._parquet import Rows, find

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ._nodes import PathLike


@dataclass(frozen=True)
class Item:
    """One artifact of a gathered input."""

    labels: Dict[str, str]
    """The label of each gathered axis."""
    folder: Path
    """Its files."""


@dataclass(frozen=True)
class Images:
    """Images or masks of one size."""

    names: List[str]
    pixels: NDArray[np.uint8]
    """``[image, height, width]``: grey levels from 0 to 255, or masks of 0 and 1."""


@dataclass(frozen=True)
class Features:
    """Pooled features of images."""

    names: List[str]
    values: NDArray[np.float32]
    """``[image, feature]``."""


@dataclass(frozen=True)
class Predictions:
    """A prediction an image."""

    names: List[str]
    labels: List[str]
    """The true class of each image."""
    predicted: List[str]
    """The predicted class of each image."""
    classes: List[str]
    """All classes, in the order of ``probabilities``."""
    probabilities: NDArray[np.float32]
    """``[image, class]``."""


@dataclass(frozen=True)
class Maps(Predictions):
    """A class activation map and a prediction an image."""

    maps: NDArray[np.float32]
    """``[image, height, width]`` at native size, any scale."""
    input_size: Tuple[int, int]
    """Height and width of the network's input."""


def read_index(folder: PathLike) -> List[Item]:
    """Returns the items of a gathered input, in order; an input that is not gathered is one item without labels."""
    path = Path(os.fspath(folder))
    index = path / "index.csv"
    if not path.is_dir():
        raise OrchestrateError(f"there is no folder `{path}`")
    if not index.is_file():
        return [Item({}, path)]
    with index.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    # `pop` leaves the labels.
    folders = [path / row.pop("folder") for row in rows]
    return [Item(dict(row), folder) for row, folder in zip(rows, folders)]


def read_images(folder: PathLike) -> Images:
    """Reads ``images.parquet`` of a ``dataset``."""
    return _grids(folder, "images.parquet")


def read_masks(folder: PathLike) -> Images:
    """Reads ``masks.parquet`` of a ``dataset``: the ground truth, 1 where the tumour is."""
    return _grids(folder, "masks.parquet")


def read_labels(folder: PathLike) -> pd.DataFrame:
    """Reads ``labels.parquet``: `image`, `label`, `patient` and columns of the manifest; ``attrs["classes"]``."""
    return Rows(find(folder, "labels.parquet")).frame()


def read_split(folder: PathLike) -> pd.DataFrame:
    """Reads ``split.parquet``: `image`, `label`, `patient`, and the `fold` in which an image is validated.

    All classes are in ``attrs["classes"]``. The images to train on for a fold are those of all others:
    ``split[split.fold != fold]``.
    """
    frame = Rows(find(folder, "split.parquet")).frame()
    if "classes" not in frame.attrs:
        frame.attrs["classes"] = sorted(set(frame["label"]))
    return frame


def read_scores(folder: PathLike) -> pd.DataFrame:
    """Reads ``scores.parquet`` of a ``score``: a row an image; `iou` is missing without ground truth."""
    return Rows(find(folder, "scores.parquet")).frame()


def read_predictions(folder: PathLike) -> Predictions:
    """Reads ``predictions.parquet``, or the predictions in ``cams.parquet``."""
    path = Path(os.fspath(folder))
    name = "predictions.parquet" if (path / "predictions.parquet").is_file() else "cams.parquet"
    return Predictions(**_predictions(Rows(find(folder, name))))


def read_features(folder: PathLike) -> Features:
    """Reads ``features.parquet`` of a ``features``."""
    rows = Rows(find(folder, "features.parquet"))
    return Features(rows.texts("image"), rows.lists("features"))


def read_cams(folder: PathLike) -> Maps:
    """Reads ``cams.parquet`` of a ``cam``: maps at native size."""
    rows = Rows(find(folder, "cams.parquet"))
    height, width = rows.constant("height"), rows.constant("width")
    maps = rows.lists("map", height * width).reshape(rows.count, height, width)
    return Maps(
        **_predictions(rows), maps=maps, input_size=(rows.constant("input_height"), rows.constant("input_width"))
    )


def _grids(folder: PathLike, name: str) -> Images:
    rows = Rows(find(folder, name))
    return Images(rows.texts("image"), rows.grids())


def _predictions(rows: Rows) -> Dict[str, Any]:
    classes = rows.classes("label", "predicted")
    return {
        "names": rows.texts("image"),
        "labels": rows.texts("label"),
        "predicted": rows.texts("predicted"),
        "classes": classes,
        "probabilities": rows.lists("probabilities", len(classes)),
    }
