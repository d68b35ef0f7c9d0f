"""Reads results of orchestrate as pandas tables and NumPy arrays, and writes artifacts in a ``command`` stage.

Results of a study, from a spec, a published folder, or a node::

    import orchestrate

    orchestrate.scores("experiments/quickstart.toml")    # a row an image and point, the axes as columns
    orchestrate.table("iou")                             # a table of the latest run
    orchestrate.heatmaps("cam[model=tiny,fold=1]")       # grey levels 0 to 255, by image
    orchestrate.weights("train[model=tiny,fold=1]")      # arrays by name

A program of a ``command`` stage reads its inputs by ``read_split``, ``read_images`` and the like, and writes what
``threshold``, ``score``, ``classify`` and ``report`` read by ``write_cams``, ``write_predictions`` and the like.
"""

from ._errors import OrchestrateError
from ._nodes import Output, Result, results
from ._program import call, find_program
from ._read import (
    Features,
    Images,
    Item,
    Maps,
    Predictions,
    read_cams,
    read_features,
    read_images,
    read_index,
    read_labels,
    read_masks,
    read_predictions,
    read_scores,
    read_split,
)
from ._study import heatmaps, scores, table, weights
from ._write import (
    write_cams,
    write_curve,
    write_images,
    write_labels,
    write_masks,
    write_predicted_masks,
    write_predictions,
    write_split,
    write_thresholds,
)

__all__ = [
    "Features",
    "Images",
    "Item",
    "Maps",
    "OrchestrateError",
    "Output",
    "Predictions",
    "Result",
    "call",
    "find_program",
    "heatmaps",
    "read_cams",
    "read_features",
    "read_images",
    "read_index",
    "read_labels",
    "read_masks",
    "read_predictions",
    "read_scores",
    "read_split",
    "results",
    "scores",
    "table",
    "weights",
    "write_cams",
    "write_curve",
    "write_images",
    "write_labels",
    "write_masks",
    "write_predicted_masks",
    "write_predictions",
    "write_split",
    "write_thresholds",
]
