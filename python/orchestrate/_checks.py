"""Checks of what a program gives to the writers: an error names the file, the argument and the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Optional, Sequence, Tuple

from ._errors import OrchestrateError, need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The label of all classes together in tables.
ALL = "all"


class Check:
    """Checks for one file, whose rows are the given images."""

    def __init__(self, file: str, images: Sequence[str]) -> None:
        self.file = file
        self.images = self.texts("images", images)
        seen = set()
        for name in self.images:
            if not name:
                raise self.error("an image has an empty name")
            if name in seen:
                raise self.error(f"two images are named `{name}`; every image needs its own name")
            seen.add(name)

    def error(self, message: str) -> OrchestrateError:
        """An error about the file."""
        return OrchestrateError(f"cannot write {self.file}: {message}")

    def texts(self, what: str, values: Sequence[Any]) -> List[str]:
        """Texts, as many as there are images, if those are known."""
        if isinstance(values, (str, bytes)):
            raise self.error(f"`{what}` is one text; give a list with one an image")
        texts = list(values)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise self.error(f"`{what}` must hold texts, but entry {row} is {text!r}")
        self.count(what, len(texts))
        # NumPy's texts are a class of their own.
        return [str(text) for text in texts]

    def count(self, what: str, number: int) -> None:
        """Checks the number of values of an argument."""
        images = getattr(self, "images", None)
        if images is not None and number != len(images):
            raise self.error(f"there are {len(images)} images, but `{what}` has {number}; give one an image")

    def classes(self, classes: Sequence[str]) -> List[str]:
        """Class names, each once."""
        if isinstance(classes, (str, bytes)):
            raise self.error("`classes` is one text; give a list of all class names, in the order of their indices")
        names = [str(name) if isinstance(name, str) else name for name in classes]
        for name in names:
            if not isinstance(name, str):
                raise self.error(f"`classes` must hold texts, but has {name!r}")
            if not name:
                raise self.error("a class has an empty name")
            if name == ALL:
                raise self.error(f"a class is named `{ALL}`, which tables call all classes together; rename it")
            if names.count(name) > 1:
                raise self.error(f"two classes are named `{name}`; every class needs its own name")
        return names

    def labels(self, what: str, labels: Sequence[Any], classes: Sequence[str]) -> List[str]:
        """Class names, given as such or as indices."""
        if isinstance(labels, (str, bytes)):
            raise self.error(f"`{what}` is one text; give a list with one an image")
        values = list(labels)
        self.count(what, len(values))
        names = []
        for image, value in zip(self.images, values):
            name = value
            if not isinstance(value, str):
                index = _index(value)
                if index is None:
                    raise self.error(f"`{what}` of image `{image}` is {value!r}, no class name or index")
                if not 0 <= index < len(classes):
                    raise self.error(f"`{what}` of image `{image}` is {index}, but there are {len(classes)} classes")
                name = classes[index]
            if name not in classes:
                raise self.error(f"`{what}` of image `{image}` is `{name}`; the classes are: {', '.join(classes)}")
            names.append(str(name))
        return names

    def array(self, what: str, values: Any, axes: Sequence[str]) -> NDArray[Any]:
        """An array with these axes, the first of them the images."""
        numpy = need("numpy", f"writing {self.file}")
        try:
            array: NDArray[Any] = numpy.asarray(values)
        except (TypeError, ValueError, RuntimeError) as error:
            help_text = "give a NumPy array, of a tensor `.detach().cpu().numpy()`"
            raise self.error(f"`{what}` cannot become an array ({error}); {help_text}") from error
        if array.ndim != len(axes):
            shape = ", ".join(axes)
            raise self.error(f"`{what}` has the shape {_shape(array.shape)}; it must be [{shape}]")
        if not (array.dtype == bool or array.dtype.kind in "iuf"):
            raise self.error(f"`{what}` holds values of type {array.dtype}; numbers were expected")
        self.count(what, array.shape[0])
        return array

    def floats(self, what: str, values: Any, axes: Sequence[str]) -> NDArray[np.float32]:
        """Finite numbers as f32."""
        numpy = need("numpy", f"writing {self.file}")
        given = self.array(what, values, axes)
        with numpy.errstate(over="ignore"):
            array: NDArray[np.float32] = numpy.ascontiguousarray(given, dtype=numpy.float32)
        finite = numpy.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if not finite.all():
            image = self.images[int(finite.argmin())]
            raise self.error(f"`{what}` of image `{image}` has a value that is not finite in float32 (NaN or infinite)")
        return array

    def probabilities(self, values: Any, classes: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities ``[image, class]``, which add up to 1."""
        array = self.floats("probabilities", values, ["image", "class"])
        if array.shape[1] != len(classes):
            raise self.error(f"`probabilities` has {array.shape[1]} columns, but there are {len(classes)} classes")
        for image, row in zip(self.images, array):
            if row.min(initial=0.0) < 0 or abs(float(row.sum()) - 1) > 0.01:
                listed = ", ".join(f"{value:.3g}" for value in row)
                raise self.error(f"`probabilities` of image `{image}` are {listed}; apply softmax, so they sum to 1")
        return array

    def levels(self, what: str, values: Any, highest: int) -> NDArray[np.uint8]:
        """Whole numbers from 0 to ``highest``, ``[image, height, width]``."""
        numpy = need("numpy", f"writing {self.file}")
        array = self.array(what, values, ["image", "height", "width"])
        found = array.astype(numpy.uint8) if array.dtype.kind == "f" else array
        same = (found == array) & (array >= 0) & (array <= highest)
        fine = same.all(axis=(1, 2))
        if not fine.all():
            row = int(fine.argmin())
            wrong = array[row][~same[row]].flat[0]
            expected = "0 and 1 (or False and True)" if highest == 1 else f"whole numbers from 0 to {highest}"
            raise self.error(f"`{what}` of image `{self.images[row]}` has the value {wrong}; {expected} were expected")
        levels: NDArray[np.uint8] = numpy.ascontiguousarray(array, dtype=numpy.uint8)
        return levels

    def numbers(self, what: str, values: Sequence[Any]) -> List[int]:
        """Whole numbers, one an image."""
        numbers = [_index(value) for value in values]
        self.count(what, len(numbers))
        for image, number, value in zip(self.images, numbers, values):
            if number is None:
                raise self.error(f"`{what}` of image `{image}` is {value!r}, no whole number")
        return [number for number in numbers if number is not None]

    def size(self, what: str, size: Tuple[int, int]) -> Tuple[int, int]:
        """Height and width."""
        sides = [_index(side) for side in size]
        if len(sides) != 2 or any(side is None or side < 1 for side in sides):
            raise self.error(f"`{what}` is {size!r}; it must be (height, width), in pixels")
        return sides[0] or 0, sides[1] or 0


def _index(value: Any) -> Optional[int]:
    """A whole number of whatever type, but no truth value."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    return int(value.__index__())


def _shape(shape: Tuple[int, ...]) -> str:
    return "[" + ", ".join(str(side) for side in shape) + "]"
