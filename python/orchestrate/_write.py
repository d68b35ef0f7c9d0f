"""Writers of artifacts, for a program of a ``command`` stage: each writes one file to the folder of an output.

The files are those that the kinds of stages read. A stage of one output fits every port, such as `cams` of `threshold`;
with several outputs, name each as the port that reads it (`outputs = ["cams", "curve"]`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from ._checks import Check
from ._errors import need
from ._parquet import list_note, write

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ._nodes import PathLike

_Columns = List[Tuple[str, Any, Any]]


def write_cams(
    folder: PathLike,
    *,
    images: Sequence[str],
    labels: Sequence[Any],
    classes: Sequence[str],
    probabilities: ArrayLike,
    maps: ArrayLike,
    input_size: Tuple[int, int],
    predicted: Optional[Sequence[Any]] = None,
) -> Path:
    """Writes ``cams.parquet``: a class activation map and a prediction an image, for ``threshold`` and ``score``.

    - ``images``: names, as in the data set and in its order
    - ``labels``: the true class of each, by name or as an index into ``classes``
    - ``probabilities``: ``[image, class]``, which add up to 1
    - ``maps``: ``[image, height, width]`` at any scale and size; they are scaled up to the input, and to 0 to 255
    - ``input_size``: height and width of the network's input, in pixels
    - ``predicted``: the class whose map it is; by default the most probable one
    """
    check = Check("cams.parquet", images)
    columns, notes = _predictions(check, labels, classes, probabilities, predicted)
    array = check.floats("maps", maps, ["image", "height", "width"])
    height, width = check.size("size of maps", array.shape[1:])
    input_height, input_width = check.size("input_size", input_size)
    sizes = (("height", height), ("width", width), ("input_height", input_height), ("input_width", input_width))
    pyarrow = need("pyarrow", "writing cams.parquet")
    rows = len(check.images)
    columns += [(name, [size] * rows, pyarrow.int64()) for name, size in sizes]
    columns.append(("map", _lists(array.reshape(rows, height * width)), pyarrow.list_(pyarrow.float32())))
    return write(folder, check.file, columns, notes)


def write_predictions(
    folder: PathLike,
    *,
    images: Sequence[str],
    labels: Sequence[Any],
    classes: Sequence[str],
    probabilities: ArrayLike,
    predicted: Optional[Sequence[Any]] = None,
) -> Path:
    """Writes ``predictions.parquet``: a prediction an image, for ``classify``; see :func:`write_cams`."""
    check = Check("predictions.parquet", images)
    columns, notes = _predictions(check, labels, classes, probabilities, predicted)
    return write(folder, check.file, columns, notes)


def write_masks(folder: PathLike, *, images: Sequence[str], masks: ArrayLike) -> Path:
    """Writes ``masks.parquet``: the ground truth of each image, ``[image, height, width]``, 1 where the tumour is."""
    check = Check("masks.parquet", images)
    columns, _ = _grids(check, "masks", masks, 1)
    return write(folder, check.file, columns, {})


def write_predicted_masks(
    folder: PathLike, *, images: Sequence[str], labels: Sequence[Any], classes: Sequence[str], masks: ArrayLike
) -> Path:
    """Writes ``predicted-masks.parquet``: masks that a network predicts, for the port ``predicted`` of ``score``."""
    check = Check("predicted-masks.parquet", images)
    pyarrow = need("pyarrow", f"writing {check.file}")
    names = check.classes(classes)
    columns, _ = _grids(check, "masks", masks, 1)
    columns.append(("label", check.labels("labels", labels, names), pyarrow.string()))
    return write(folder, check.file, columns, {"classes": list_note(names)})


def write_images(folder: PathLike, *, images: Sequence[str], pixels: ArrayLike) -> Path:
    """Writes ``images.parquet``: grey images of one size, ``[image, height, width]``, 0 to 255."""
    check = Check("images.parquet", images)
    columns, row_bytes = _grids(check, "pixels", pixels, 255)
    return write(folder, check.file, columns, {}, row_bytes)


def write_labels(
    folder: PathLike,
    *,
    images: Sequence[str],
    labels: Sequence[Any],
    classes: Optional[Sequence[str]] = None,
    patients: Optional[Sequence[Optional[str]]] = None,
    columns: Optional[Dict[str, Sequence[str]]] = None,
) -> Path:
    """Writes ``labels.parquet``: class and patient of each image, for ``split``.

    - ``classes``: all classes in the order of their indices; by default those of the labels, sorted
    - ``patients``: None where unknown
    - ``columns``: further columns of texts, such as one for ``folds_from``
    """
    check = Check("labels.parquet", images)
    written, notes = _labels(check, labels, classes, patients)
    pyarrow = need("pyarrow", f"writing {check.file}")
    extra = columns or {}
    for name, values in extra.items():
        if name in ("image", "label", "patient"):
            raise check.error(f"`columns` has a `{name}`, a column that it has already; give it another name")
        written.append((name, check.texts(f"columns[{name!r}]", values), pyarrow.string()))
    notes["columns"] = list_note(list(extra))
    return write(folder, check.file, written, notes)


def write_split(
    folder: PathLike,
    *,
    images: Sequence[str],
    labels: Sequence[Any],
    folds: Sequence[int],
    classes: Optional[Sequence[str]] = None,
    patients: Optional[Sequence[Optional[str]]] = None,
) -> Path:
    """Writes ``split.parquet``: the fold, from 1 on, in which each image is in the validation set."""
    check = Check("split.parquet", images)
    columns, notes = _labels(check, labels, classes, patients)
    pyarrow = need("pyarrow", f"writing {check.file}")
    numbers = check.numbers("folds", folds)
    for image, fold in zip(check.images, numbers):
        if fold < 1:
            raise check.error(f"`folds` of image `{image}` is {fold}; folds count from 1")
    columns.append(("fold", numbers, pyarrow.int64()))
    return write(folder, check.file, columns, notes)


def write_thresholds(
    folder: PathLike, *, images: Sequence[str], thresholds: ArrayLike, scale: str = "after"
) -> Path:
    """Writes ``thresholds.parquet``: the grey level of each heatmap above which a pixel is foreground, for ``score``.

    - ``images``: in the order of the maps
    - ``thresholds``: 0 to 255
    - ``scale``: ``"after"`` or ``"before"`` up-sampling, the step at which maps are scaled to grey levels
    """
    check = Check("thresholds.parquet", images)
    numpy, pyarrow = need("numpy", f"writing {check.file}"), need("pyarrow", f"writing {check.file}")
    if scale not in ("after", "before"):
        raise check.error(f"`scale` is {scale!r}; it is \"after\" or \"before\"")
    levels = check.array("thresholds", thresholds, ["image"]).astype(numpy.float64)
    for image, level in zip(check.images, levels):
        if not 0 <= level <= 255:
            raise check.error(f"`thresholds` of image `{image}` is {level}; it must be a grey level from 0 to 255")
    columns = [("image", check.images, pyarrow.string()), ("threshold", levels, pyarrow.float64())]
    return write(folder, check.file, columns, {"scale": scale})


def write_curve(
    folder: PathLike,
    *,
    learning_rate: Sequence[float],
    train_loss: Sequence[float],
    validation_loss: Sequence[float],
    validation_accuracy: Sequence[float],
) -> Path:
    """Writes ``curve.parquet``: a value an epoch, for the port ``curves`` of ``report``."""
    epochs = [str(epoch + 1) for epoch in range(len(learning_rate))]
    check = Check("curve.parquet", epochs)
    numpy, pyarrow = need("numpy", f"writing {check.file}"), need("pyarrow", f"writing {check.file}")
    values = {
        "learning_rate": learning_rate,
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "validation_accuracy": validation_accuracy,
    }
    columns: _Columns = [("epoch", list(range(1, len(epochs) + 1)), pyarrow.int64())]
    for name, figures in values.items():
        if len(figures) != len(epochs):
            raise check.error(
                f"`{name}` has {len(figures)} values, `learning_rate` has {len(epochs)}; give one an epoch"
            )
        array = check.array(name, figures, ["epoch"]).astype(numpy.float64)
        if not numpy.isfinite(array).all():
            epoch = int(numpy.isfinite(array).argmin()) + 1
            raise check.error(f"`{name}` of epoch {epoch} is not finite; the training has diverged")
        columns.append((name, array, pyarrow.float64()))
    return write(folder, check.file, columns, {})


def _predictions(
    check: Check,
    labels: Sequence[Any],
    classes: Sequence[str],
    probabilities: ArrayLike,
    predicted: Optional[Sequence[Any]],
) -> Tuple[_Columns, Dict[str, str]]:
    pyarrow = need("pyarrow", f"writing {check.file}")
    names = check.classes(classes)
    true = check.labels("labels", labels, names)
    array = check.probabilities(probabilities, names)
    most = array.argmax(axis=1) if predicted is None else predicted
    columns: _Columns = [
        ("image", check.images, pyarrow.string()),
        ("label", true, pyarrow.string()),
        ("predicted", check.labels("predicted", most, names), pyarrow.string()),
        ("probabilities", _lists(array), pyarrow.list_(pyarrow.float32())),
    ]
    return columns, {"classes": list_note(names)}


def _labels(
    check: Check,
    labels: Sequence[Any],
    classes: Optional[Sequence[str]],
    patients: Optional[Sequence[Optional[str]]],
) -> Tuple[_Columns, Dict[str, str]]:
    pyarrow = need("pyarrow", f"writing {check.file}")
    names = check.classes(sorted(set(check.texts("labels", labels))) if classes is None else classes)
    known: List[Optional[str]] = [None] * len(check.images) if patients is None else list(patients)
    check.count("patients", len(known))
    for image, patient in zip(check.images, known):
        if patient is not None and not isinstance(patient, str):
            raise check.error(f"`patients` of image `{image}` is {patient!r}; it must be a text, or None if unknown")
    columns: _Columns = [
        ("image", check.images, pyarrow.string()),
        ("label", check.labels("labels", labels, names), pyarrow.string()),
        ("patient", known, (pyarrow.string(), None)),
    ]
    return columns, {"classes": list_note(names)}


def _grids(check: Check, what: str, values: ArrayLike, highest: int) -> Tuple[_Columns, int]:
    pyarrow = need("pyarrow", f"writing {check.file}")
    levels = check.levels(what, values, highest)
    rows, height, width = levels.shape
    columns: _Columns = [
        ("image", check.images, pyarrow.string()),
        ("height", [height] * rows, pyarrow.int64()),
        ("width", [width] * rows, pyarrow.int64()),
        ("pixels", [row.tobytes() for row in levels], pyarrow.binary()),
    ]
    return columns, height * width


def _lists(array: Any) -> Any:
    """Rows as lists, without a Python object a number."""
    numpy, pyarrow = need("numpy", "writing lists of numbers"), need("pyarrow", "writing lists of numbers")
    rows, width = array.shape
    offsets = pyarrow.array(numpy.arange(rows + 1, dtype=numpy.int64) * width, type=pyarrow.int32())
    return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(array.ravel(), type=pyarrow.float32()))
