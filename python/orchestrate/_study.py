"""Results of a study as pandas tables and NumPy arrays."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence

from ._errors import OrchestrateError, need
from ._nodes import PathLike, Result, Value, arguments, results
from ._parquet import Rows
from ._program import call

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def scores(
    study: PathLike,
    stage: str = "score",
    *,
    overrides: Sequence[str] = (),
    store: Optional[PathLike] = None,
) -> pd.DataFrame:
    """Returns a row for each image and point: the axes, `image`, `label`, `predicted`, `iou`, `dice` and so on.

    - ``study``: a spec, whose recorded results are read from the store; or a published folder, either that of the stage
      or the one above it
    - ``stage``: the stage of kind `score` in the spec, or a part of it, such as ``"score[model=tiny]"``

    An axis of numbers is a column of numbers, a mixed one of texts. An image without ground truth has no IoU.
    """
    return _tables(study, stage, "scores", overrides, store)


def table(
    node: PathLike,
    study: Optional[PathLike] = None,
    *,
    overrides: Sequence[str] = (),
    store: Optional[PathLike] = None,
) -> pd.DataFrame:
    """Returns the cells of a `table` or `compare` in tidy form: its rows and columns, `mean`, `sd`, `n` and so on.

    - ``node``: the stage or node, or its published folder
    - ``study``: the spec; by default that of the latest run with such a node
    """
    if os.path.isdir(node):
        return _tables(node, "", "table", overrides, store)
    return _join(results(os.fspath(node), study, overrides=overrides, store=store), "table")


def heatmaps(
    node: str,
    study: Optional[PathLike] = None,
    *,
    overrides: Sequence[str] = (),
    store: Optional[PathLike] = None,
) -> Dict[str, NDArray[np.float32]]:
    """Returns the heatmap of each image, ``[height, width]`` at the network's input size, grey levels from 0 to 255.

    - ``node``: of a `cam`, `threshold` or `score`; or several without an image in common, such as all folds of a model
    """
    numpy = need("numpy", "reading heatmaps")
    found: Dict[str, NDArray[np.float32]] = {}
    with tempfile.TemporaryDirectory(prefix="orchestrate-") as folder:
        words = ["export", "heatmaps", *arguments(node, study, overrides, store), "--to", folder, "--json"]
        for line in map(json.loads, call(words).splitlines()):
            image = line["image"]
            if image in found:
                raise OrchestrateError(f"several nodes of `{node}` have a heatmap of `{image}`; name one of them")
            found[image] = numpy.load(line["file"])
    return found


def weights(
    node: PathLike,
    study: Optional[PathLike] = None,
    *,
    overrides: Sequence[str] = (),
    store: Optional[PathLike] = None,
) -> Dict[str, NDArray[Any]]:
    """Returns the weights of a training by name; `bf16` becomes float32.

    - ``node``: of a `train` or `segment`; or a folder with its files
    """
    if os.path.isdir(node):
        found = sorted(Path(os.fspath(node)).rglob("*.safetensors"))
    else:
        nodes = results(os.fspath(node), study, overrides=overrides, store=store)
        files = [file for result in nodes for output in result.outputs.values() for file in output.files]
        found = [file for file in files if file.suffix == ".safetensors"]
    if len(found) != 1:
        what = "no weights" if not found else f"the weights of {len(found)} trainings"
        raise OrchestrateError(f"`{os.fspath(node)}` has {what}; name one node of a `train` or `segment`")
    return _safetensors(found[0])


def _tables(
    study: PathLike, node: str, output: str, overrides: Sequence[str], store: Optional[PathLike]
) -> pd.DataFrame:
    path = Path(os.fspath(study))
    if not path.is_dir():
        return _join(results(node, study, overrides=overrides, store=store), output)
    name = f"{output}.parquet"
    inside = [path / name] if (path / name).is_file() else sorted(path.glob(f"*/{name}"))
    if len(inside) != 1:
        found = "no" if not inside else "several files"
        listed = "".join(f"; {file}" for file in inside)
        help_text = f"name the published folder of one stage{listed}"
        raise OrchestrateError(f"`{path}` has {found} `{name}` in it or in a folder in it; {help_text}")
    return Rows(inside[0]).frame()


def _join(nodes: List[Result], output: str) -> pd.DataFrame:
    """Joins the tables of nodes, the axes first."""
    pandas = need("pandas", "reading a table as a DataFrame")
    frames = []
    columns = {axis: _column([node.point[axis] for node in nodes]) for axis in nodes[0].point}
    for index, node in enumerate(nodes):
        if output not in node.outputs:
            has = ", ".join(node.outputs)
            raise OrchestrateError(f"`{node.node}` of kind {node.kind} has no output `{output}`, but {has}")
        frame = Rows(node.outputs[output].dir / f"{output}.parquet").frame()
        for position, axis in enumerate(node.point):
            if axis in frame.columns:
                # A table may have a column of an axis that it varies over.
                frame = frame.drop(columns=axis)
            frame.insert(position, axis, [columns[axis][index]] * len(frame))
        frames.append(frame)
    attrs = dict(frames[0].attrs)
    for frame in frames:
        # pandas compares these, and lists have no single truth value.
        frame.attrs = {}
    joined: pd.DataFrame = pandas.concat(frames, ignore_index=True)
    joined.attrs = attrs
    return joined


def _column(values: List[Value]) -> List[Value]:
    """The values of an axis as a column: numbers or truth values if all are, else texts."""
    if all(isinstance(value, bool) for value in values):
        return values
    if any(isinstance(value, (bool, str)) for value in values):
        return [_label(value) for value in values]
    if any(isinstance(value, float) for value in values):
        return [float(value) for value in values]
    return values


def _label(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        # Never with an exponent, as nodes are named.
        numpy = need("numpy", "reading a table")
        return str(numpy.format_float_positional(value, trim="-"))
    return str(value)


#: Types of numbers in a safetensors file.
_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def _safetensors(path: Path) -> Dict[str, NDArray[Any]]:
    """Reads a safetensors file: a length, a header in JSON, then the numbers."""
    numpy = need("numpy", "reading weights")
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, facts in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + length + offset for offset in facts["data_offsets"])
        if facts["dtype"] == "BF16":
            halves = numpy.frombuffer(data[start:end], dtype="<u2").astype(numpy.uint32)
            values = (halves << 16).view(numpy.float32)
        elif facts["dtype"] in _TYPES:
            values = numpy.frombuffer(data[start:end], dtype=_TYPES[facts["dtype"]])
        else:
            raise OrchestrateError(f"`{path}`: the weights `{name}` are of the unknown type {facts['dtype']}")
        arrays[name] = values.reshape(facts["shape"]).copy()
    return arrays
