"""One table of four points as pandas merges them, for the tests of `stages/src/tables/tidy/`.

Writes tidy/N.parquet, one file per point, as a user's script may write it (snappy, zstd and no compression; categories,
an index, nested columns, no rows), and tidy.json: the rows from `concat` and `assign`. Run: python tidy.py
"""

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
FOLDER = HERE / "tidy"
FOLDER.mkdir(exist_ok=True)

points = [
    {"model": "a", "threshold": 200, "lr": 0.5, "fold": 1, "flip": True},
    {"model": "a", "threshold": "q90", "lr": 1, "fold": 2, "flip": True},
    {"model": "b", "threshold": 200, "lr": 0.5, "fold": 1, "flip": False},
    {"model": "b", "threshold": "q90", "lr": 1, "fold": 2, "flip": False},
]

full = pd.DataFrame(
    {
        "image": ["a.png", "b.png", "c.png"],
        "label": pd.Categorical(["glioma", "meningioma", "glioma"]),
        "iou": [0.1 + 0.2, None, 1.0],
        "count": [1, 2, 2**53],
        "correct": [True, False, True],
        "box": [[1.0, 2.5], [], [3.0]],
        "at": pd.to_datetime(["2021-02-15T10:00:00.25", None, "1969-12-31T00:00:00.0"]).astype("datetime64[us]"),
        # Named like an axis, with values of its own.
        "threshold": [200.0, 199.5, 200.0],
    }
)
# The index is a column, an integer column is a float one, and one column is missing.
indexed = pd.DataFrame({"image": ["d.png"], "count": [1.5], "label": ["pituitary"], "iou": [0.25]}, index=["row 1"])
indexed.index.name = "row"
empty = pd.DataFrame({"image": [], "iou": [], "weight": []}, dtype=object)
# Named like an axis, with its value in every row, so the column adds nothing.
last = pa.table(
    {
        "model": ["b", "b"],
        "image": pa.array(["e.png", "f.png"]).dictionary_encode(),
        "count": pa.array([7, 8], pa.int8()),
        "iou": pa.array([None, None]),
        "box": pa.array([[1], None], pa.list_(pa.int32())),
        "size": pa.array([{"high": 1, "wide": 2}, None]),
    }
)

full.to_parquet(FOLDER / "1.parquet")
indexed.to_parquet(FOLDER / "2.parquet", compression="zstd")
empty.to_parquet(FOLDER / "3.parquet", compression=None)
pq.write_table(last, FOLDER / "4.parquet", version="1.0")

tables = []
for number, axes in enumerate(points, start=1):
    table = pd.read_parquet(FOLDER / f"{number}.parquet").reset_index()
    table = table.drop(columns=["index"], errors="ignore")
    if number == 4:
        assert (table.pop("model") == axes["model"]).all()
    table = table.rename(columns={"threshold": "threshold_value"})
    # An axis of integers and texts becomes texts.
    tables.append(table.assign(**{**axes, "threshold": str(axes["threshold"])}))
merged = pd.concat(tables, ignore_index=True)
# The index comes after the columns of its file, as in Parquet.
columns = ["image", "label", "iou", "count", "correct", "box", "at", "threshold_value", "row", "weight", "size"]
assert set(columns) == set(merged.columns) - set(points[0]), merged.columns


def plain(value):
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.value // 1000
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [plain(inner) for inner in value] if isinstance(value, list) else value


merged = merged[[*points[0], *columns]]
rows = [[plain(value) for value in row] for row in merged.itertuples(index=False)]
out = {
    "made_by": f"tidy.py, pandas {pd.__version__}, pyarrow {pa.__version__}",
    "points": [list(axes.values()) for axes in points],
    "axes": list(points[0]),
    "columns": list(merged.columns),
    "rows": rows,
}
(HERE / "tidy.json").write_text(json.dumps(out, indent=1) + "\n")
