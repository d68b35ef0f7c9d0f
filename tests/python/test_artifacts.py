"""Artifacts that the package writes survive its own readers, and errors say what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orchestrate
import pyarrow
import pytest
from orchestrate import OrchestrateError
from orchestrate._parquet import write

NAMES = ["b.png", "a.png", "c.png"]
CLASSES = ["z", "y", "x"]
PROBABILITIES = np.array([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.0, 1.0, 0.0]])
MAPS = np.arange(3 * 2 * 4, dtype=np.float64).reshape(3, 2, 4) / 3


def cams(**changes: object) -> dict[str, object]:
    given: dict[str, object] = {
        "images": NAMES,
        "labels": ["z", "x", "x"],
        "classes": CLASSES,
        "probabilities": PROBABILITIES,
        "maps": MAPS,
        "input_size": (20, 40),
    }
    return {**given, **changes}


def test_maps_survive_with_the_most_probable_class_as_predicted(tmp_path: Path) -> None:
    orchestrate.write_cams(tmp_path, **cams())
    read = orchestrate.read_cams(tmp_path)
    assert (read.names, read.labels, read.classes) == (NAMES, ["z", "x", "x"], CLASSES)
    assert read.predicted == ["z", "x", "y"]
    assert read.input_size == (20, 40)
    assert np.array_equal(read.maps, MAPS.astype(np.float32))
    assert np.array_equal(read.probabilities, PROBABILITIES.astype(np.float32))
    assert orchestrate.read_predictions(tmp_path).predicted == read.predicted


def test_classes_are_given_by_name_or_index(tmp_path: Path) -> None:
    given = cams(labels=np.array([0, 2, 2]), predicted=[2, np.int64(1), "z"])
    del given["maps"], given["input_size"]
    orchestrate.write_predictions(tmp_path, **given)
    read = orchestrate.read_predictions(tmp_path)
    assert (read.labels, read.predicted) == (["z", "x", "x"], ["x", "y", "z"])


def test_features_are_read_with_the_width_of_their_lists(tmp_path: Path) -> None:
    values = np.arange(3 * 4, dtype=np.float32).reshape(3, 4) / 3
    columns = [("image", NAMES, pyarrow.string()), ("features", list(values), pyarrow.list_(pyarrow.float32()))]
    write(tmp_path, "features.parquet", columns, {})
    read = orchestrate.read_features(tmp_path)
    assert read.names == NAMES and np.array_equal(read.values, values)
    ragged = [columns[0], ("features", [[1.0], [1.0], [1.0, 2.0]], columns[1][2])]
    write(tmp_path, "features.parquet", ragged, {})
    with pytest.raises(OrchestrateError, match="the lists of `features` have 2 values, not 1"):
        orchestrate.read_features(tmp_path)


def test_images_and_masks_survive(tmp_path: Path) -> None:
    pixels = np.arange(3 * 2 * 4).reshape(3, 2, 4)
    orchestrate.write_images(tmp_path, images=NAMES, pixels=pixels)
    orchestrate.write_masks(tmp_path, images=NAMES, masks=pixels % 3 == 0)
    assert np.array_equal(orchestrate.read_images(tmp_path).pixels, pixels)
    masks = orchestrate.read_masks(tmp_path / "masks.parquet")
    assert masks.names == NAMES and np.array_equal(masks.pixels, pixels % 3 == 0)


def test_labels_and_splits_survive_with_patients_and_columns(tmp_path: Path) -> None:
    patients = ["p1", None, "p2"]
    orchestrate.write_labels(
        tmp_path, images=NAMES, labels=["z", "x", "x"], patients=patients, columns={"site": ["A", "B", "A"]}
    )
    labels = orchestrate.read_labels(tmp_path)
    assert list(labels.image) == NAMES and list(labels.site) == ["A", "B", "A"]
    assert [None if patient != patient or patient is None else patient for patient in labels.patient] == patients
    assert labels.attrs == {"classes": ["x", "z"], "columns": ["site"]}
    orchestrate.write_split(tmp_path, images=NAMES, labels=[0, 2, 2], classes=CLASSES, folds=[1, 2, 1])
    split = orchestrate.read_split(tmp_path)
    assert list(split.fold) == [1, 2, 1] and split.attrs["classes"] == CLASSES


def test_tables_without_rows_survive(tmp_path: Path) -> None:
    none = np.zeros((0, 2, 4))
    orchestrate.write_cams(tmp_path, **cams(images=[], labels=[], probabilities=np.zeros((0, 3)), maps=none))
    orchestrate.write_images(tmp_path, images=[], pixels=none)
    assert orchestrate.read_cams(tmp_path).names == [] and orchestrate.read_images(tmp_path).names == []


def with_nan() -> np.ndarray:
    maps = MAPS.copy()
    maps[1, 0, 2] = np.nan
    return maps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": ["a", "b"]}, "there are 2 images, but `labels` has 3"),
        ({"images": ["a", "b", "a"]}, "two images are named `a`"),
        ({"images": "abc"}, "`images` is one text"),
        ({"images": ["a", "b", 3]}, "`images` must hold texts, but entry 2 is 3"),
        ({"labels": ["z", "w", "x"]}, "`labels` of image `a.png` is `w`; the classes are: z, y, x"),
        ({"labels": [0, 1, 3]}, "`labels` of image `c.png` is 3, but there are 3 classes"),
        ({"labels": [0, 1, 0.5]}, "`labels` of image `c.png` is 0.5, no class name or index"),
        ({"classes": ["x", "x", "y"]}, "two classes are named `x`"),
        ({"probabilities": PROBABILITIES[:, :2]}, "`probabilities` has 2 columns, but there are 3 classes"),
        ({"probabilities": PROBABILITIES * 3}, "apply softmax"),
        ({"maps": MAPS[0]}, "`maps` has the shape [2, 4]; it must be [image, height, width]"),
        ({"maps": MAPS[:2]}, "there are 3 images, but `maps` has 2"),
        ({"maps": with_nan()}, "`maps` of image `a.png` has a value that is not finite"),
        ({"maps": MAPS * 1e300}, "that is not finite in float32"),
        ({"maps": MAPS.astype(str)}, "`maps` holds values of type <U"),
        ({"maps": MAPS[:, :0]}, "must be (height, width)"),
        ({"input_size": (20,)}, "`input_size` is (20,); it must be (height, width), in pixels"),
        ({"predicted": [0, 1]}, "there are 3 images, but `predicted` has 2"),
    ],
)
def test_what_is_wrong_is_said_in_words(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(OrchestrateError) as error:
        orchestrate.write_cams(tmp_path, **cams(**changes))
    assert message in str(error.value) and str(error.value).startswith("cannot write cams.parquet: ")
    assert list(tmp_path.iterdir()) == []


def test_pixels_that_are_no_mask_or_no_grey_level_are_refused(tmp_path: Path) -> None:
    masks = np.zeros((3, 2, 4))
    masks[2, 1, 1] = 255
    with pytest.raises(OrchestrateError, match="`masks` of image `c.png` has the value 255.0; 0 and 1"):
        orchestrate.write_masks(tmp_path, images=NAMES, masks=masks)
    with pytest.raises(OrchestrateError, match="has the value 0.5; whole numbers from 0 to 255"):
        orchestrate.write_images(tmp_path, images=NAMES, pixels=masks / 510)
    with pytest.raises(OrchestrateError, match="has the value -1"):
        orchestrate.write_images(tmp_path, images=NAMES, pixels=masks.astype(int) - 1)


def test_wrong_folds_thresholds_and_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OrchestrateError, match="`folds` of image `a.png` is 0; folds count from 1"):
        orchestrate.write_split(tmp_path, images=NAMES, labels=["x"] * 3, folds=[1, 0, 2])
    with pytest.raises(OrchestrateError, match="is 256.0; it must be a grey level from 0 to 255"):
        orchestrate.write_thresholds(tmp_path, images=NAMES, thresholds=[1, 2, 256])
    with pytest.raises(OrchestrateError, match="`train_loss` of epoch 2 is not finite"):
        loss = [1.0, float("nan")]
        orchestrate.write_curve(
            tmp_path, learning_rate=[1, 1], train_loss=loss, validation_loss=[1, 1], validation_accuracy=[1, 1]
        )


def test_a_wrong_folder_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(OrchestrateError, match="there is no folder or file"):
        orchestrate.read_split(tmp_path / "none")
    (tmp_path / "index.csv").write_text("folder,fold\n0000,1\n0001,2\n")
    with pytest.raises(OrchestrateError, match="has no `split.parquet`, but index.csv; a gathered input"):
        orchestrate.read_split(tmp_path)
    items = orchestrate.read_index(tmp_path)
    assert [item.labels for item in items] == [{"fold": "1"}, {"fold": "2"}]
    assert items[1].folder == tmp_path / "0001"
    with pytest.raises(OrchestrateError, match="there is no folder .* to write masks.parquet to"):
        orchestrate.write_masks(tmp_path / "none", images=NAMES, masks=np.zeros((3, 1, 1)))
