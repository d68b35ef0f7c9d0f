"""Parquet files as artifacts have them: columns without missing values, and notes about the whole table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Tuple

from ._errors import OrchestrateError, need

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from ._nodes import PathLike

#: Bytes of a row group of images: a reader holds one at a time.
_GROUP_BYTES = 32 << 20


class Rows:
    """The columns of a Parquet file, read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        parquet = need("pyarrow.parquet", "reading Parquet files")
        pyarrow = need("pyarrow", "reading Parquet files")
        try:
            self._file = parquet.ParquetFile(path)
        except (OSError, pyarrow.ArrowException) as error:
            raise OrchestrateError(f"`{path}` is no readable Parquet file: {error}") from error
        self.count: int = self._file.metadata.num_rows
        self.names: List[str] = list(self._file.schema_arrow.names)

    def error(self, message: str) -> OrchestrateError:
        """An error about this file."""
        return OrchestrateError(f"`{self.path}`: {message}")

    def note(self, key: str) -> Optional[List[str]]:
        """The list of texts noted under a key."""
        text = (self._file.metadata.metadata or {}).get(key.encode())
        if text is None:
            return None
        values = json.loads(text)
        if not isinstance(values, list):
            raise self.error(f"note `{key}` is no list")
        return [str(value) for value in values]

    def column(self, name: str) -> Any:
        """A column as Arrow has it."""
        if name not in self.names:
            raise self.error(f"there is no column `{name}`; the columns are: {', '.join(self.names)}")
        return self._file.read([name]).column(name)

    def texts(self, name: str) -> List[str]:
        """A column of texts."""
        values: List[str] = self.column(name).to_pylist()
        return values

    def constant(self, name: str) -> int:
        """The value that a column has in every row; 0 without rows."""
        values = set(self.column(name).to_pylist())
        if len(values) > 1:
            raise self.error(f"column `{name}` has both {min(values)} and {max(values)}; all rows must agree")
        return int(values.pop()) if values else 0

    def classes(self, *columns: str) -> List[str]:
        """Class names in order: as noted, else those of the columns, sorted."""
        noted = self.note("classes")
        return noted if noted is not None else sorted({text for name in columns for text in self.texts(name)})

    def grids(self) -> NDArray[np.uint8]:
        """The column ``pixels``, ``[image, height, width]``."""
        numpy = need("numpy", "reading pixels")
        height, width = self.constant("height"), self.constant("width")
        pixels = numpy.empty((self.count, height * width), dtype=numpy.uint8)
        row = 0
        for batch in self._file.iter_batches(batch_size=256, columns=["pixels"]):
            for value in batch.column(0):
                read = numpy.frombuffer(value.as_buffer(), dtype=numpy.uint8)
                if read.size != height * width:
                    raise self.error(f"`pixels` of row {row} has {read.size} bytes, not {height} × {width}")
                pixels[row] = read
                row += 1
        shaped: NDArray[np.uint8] = pixels.reshape(self.count, height, width)
        return shaped

    def lists(self, name: str, width: Optional[int] = None) -> NDArray[np.float32]:
        """A column of lists of so many floats, or else as many as the first has, ``[row, width]``."""
        numpy = need("numpy", "reading lists of numbers")
        parts = []
        for chunk in self.column(name).chunks:
            lengths = chunk.value_lengths().to_pylist()
            if width is None and lengths:
                width = lengths[0]
            others = sorted(set(lengths) - {width})
            if others:
                raise self.error(f"the lists of `{name}` have {others[0]} values, not {width}")
            parts.append(chunk.flatten().to_numpy(zero_copy_only=False).astype(numpy.float32))
        flat = numpy.concatenate(parts) if parts else numpy.empty(0, dtype=numpy.float32)
        shaped: NDArray[np.float32] = flat.reshape(self.count, width or 0)
        return shaped

    def frame(self) -> pd.DataFrame:
        """All columns; the notes ``classes`` and ``columns`` are in ``attrs``."""
        need("pandas", "reading a table as a DataFrame")
        frame: pd.DataFrame = self._file.read().to_pandas()
        for key in ("classes", "columns"):
            values = self.note(key)
            if values is not None:
                frame.attrs[key] = values
        return frame


def find(folder: PathLike, name: str) -> Path:
    """Returns the path of an artifact's file, given its folder or the file itself."""
    path = Path(os.fspath(folder))
    if path.is_file():
        return path
    if (path / name).is_file():
        return path / name
    if not path.is_dir():
        raise OrchestrateError(f"there is no folder or file `{path}`")
    found = ", ".join(sorted(file.name for file in path.iterdir())) or "nothing"
    gathered = "; a gathered input has a folder an item, which `read_index` lists" if "index.csv" in found else ""
    raise OrchestrateError(f"`{path}` has no `{name}`, but {found}{gathered}")


def write(
    folder: PathLike, name: str, columns: Sequence[Tuple[str, Any, Any]], notes: Dict[str, str], row_bytes: int = 0
) -> Path:
    """Writes columns (name, values, Arrow type; a type that is a pair with None may miss values); returns the path.

    ``row_bytes`` is the size of the pixels of a row: they are neither compressed nor in a dictionary, so that programs
    read single images from the file.
    """
    pyarrow = need("pyarrow", f"writing {name}")
    parquet = need("pyarrow.parquet", f"writing {name}")
    fields, arrays = [], []
    for column, values, kind in columns:
        optional = isinstance(kind, tuple)
        kind = kind[0] if optional else kind
        fields.append(pyarrow.field(column, kind, nullable=optional))
        arrays.append(values if isinstance(values, pyarrow.Array) else pyarrow.array(values, type=kind))
    schema = pyarrow.schema(fields, metadata=notes)
    table = pyarrow.Table.from_arrays(arrays, schema=schema)
    path = Path(os.fspath(folder)) / name
    if not path.parent.is_dir():
        raise OrchestrateError(f"there is no folder `{path.parent}` to write {name} to; a program gets one as {{out}}")
    raw = [column for column, _, _ in columns if column == "pixels" and row_bytes]
    parquet.write_table(
        table,
        path,
        compression={column: "none" if column in raw else "zstd" for column, _, _ in columns},
        use_dictionary=[column for column in table.column_names if column not in ("pixels", "map", "image")],
        write_statistics=False,
        row_group_size=max(1, _GROUP_BYTES // row_bytes) if row_bytes else None,
        write_batch_size=16 if row_bytes else 1024,
    )
    return path


def list_note(values: Sequence[str]) -> str:
    """A list of texts as a note."""
    return json.dumps(list(values), ensure_ascii=False)
