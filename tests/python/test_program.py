"""The package beside the program: results of a study, and artifacts that stages read.

`ORCHESTRATE` or the environment's scripts give the program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import orchestrate
import pandas as pd
import pytest
from orchestrate import OrchestrateError

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.toml"
#: A smaller quickstart, in which all images are scored.
SMALLER = [
    ("count = 300", "count = 60"),
    ("epochs = 12", "epochs = 1"),
    ('threshold = [200, 225, "q90", "q95", "otsu"]', 'threshold = [200, "q90"]'),
    ('kind = "score"', 'kind = "score"\nimages = "all"'),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study that has run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "orchestrate.toml").write_text("")
    text = QUICKSTART.read_text()
    for was, now in SMALLER:
        assert was in text
        text = text.replace(was, now)
    (folder / "spec.toml").write_text(text)
    call(folder, "run", "spec.toml")
    return folder


def call(folder: Path, *arguments: str) -> str:
    """Runs the program in a folder."""
    done = subprocess.run(
        [orchestrate.find_program(), *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_scores_of_the_store_are_those_that_were_published(study: Path) -> None:
    stored = orchestrate.scores(study / "spec.toml")
    published = orchestrate.scores(study / "results" / "quickstart")
    pd.testing.assert_frame_equal(stored, published)
    assert stored.attrs == published.attrs == {"classes": ["meningioma", "glioma", "pituitary"]}
    assert list(stored.columns[:4]) == ["model", "fold", "threshold", "image"]
    assert set(stored.threshold) == {"200", "q90"} and set(stored.fold) == {1, 2, 3, 4, 5}
    # 60 images at 2 models and 2 thresholds.
    assert len(stored) == 60 * 2 * 2
    part = orchestrate.scores(study / "spec.toml", "score[model=tiny,threshold=q90]")
    assert len(part) == 60 and set(part.model) == {"tiny"}


def test_tables_have_the_numbers_of_the_published_csv(study: Path) -> None:
    table = orchestrate.table("iou", study / "spec.toml")
    path = study / "results" / "quickstart" / "iou" / "table.csv"
    csv = pd.read_csv(path, dtype={"threshold": str}, float_precision="round_trip")
    assert list(table["mean"]) == list(csv["mean"]) and list(table.sd) == list(csv.sd)
    assert list(table.threshold) == list(csv.threshold) and list(table.n) == list(csv.n)
    pd.testing.assert_frame_equal(orchestrate.table(study / "results" / "quickstart" / "iou"), table)
    # By hand, from the scores: the mean over folds of the means over images.
    scores = orchestrate.scores(study / "spec.toml")
    folds = scores.groupby(["model", "threshold", "fold"]).iou.mean().groupby(["model", "threshold"]).mean()
    for row in table.itertuples():
        assert row.mean == pytest.approx(folds[row.model, row.threshold], abs=1e-12)


def test_heatmaps_are_those_of_export(study: Path, tmp_path: Path) -> None:
    node = "cam[model=tiny,fold=2]"
    heatmaps = orchestrate.heatmaps(node, study / "spec.toml")
    call(study, "export", "heatmaps", "spec.toml", node, "--to", str(tmp_path))
    exported = {path.stem: np.load(path) for path in tmp_path.glob("*.npy")}
    assert len(heatmaps) == 12 and set(heatmaps) == set(exported)
    for name, heatmap in heatmaps.items():
        assert heatmap.dtype == np.float32 and heatmap.shape == (64, 64)
        assert np.array_equal(heatmap, exported[name])
    assert len(orchestrate.heatmaps("cam[model=tiny]", study / "spec.toml")) == 60
    with pytest.raises(OrchestrateError, match="several nodes of `cam` have a heatmap of"):
        orchestrate.heatmaps("cam", study / "spec.toml")


def test_weights_have_names_and_shapes(study: Path) -> None:
    node = "train[model=tiny,fold=1]"
    weights = orchestrate.weights(node, study / "spec.toml")
    assert all(np.isfinite(array).all() for array in weights.values()) and len(weights) > 3
    (result,) = orchestrate.results(node, study / "spec.toml")
    again = orchestrate.weights(result.dir)
    assert all(np.array_equal(array, again[name]) for name, array in weights.items())
    with pytest.raises(OrchestrateError, match="has the weights of 5 trainings; name one node"):
        orchestrate.weights("train[model=tiny]", study / "spec.toml")


def test_results_are_read_only_files_with_the_point_in_order(study: Path) -> None:
    (result,) = orchestrate.results("score[model=tiny,fold=3,threshold=200]", study / "spec.toml")
    assert list(result.point.items()) == [("model", "tiny"), ("fold", 3), ("threshold", 200)]
    assert result.kind == "score" and result.outputs["scores"].files == [result.dir / "scores" / "scores.parquet"]
    assert result.dir.parts[-2:] == ("score", "model=tiny,fold=3,threshold=200")
    assert os.stat(result.outputs["scores"].files[0]).st_mode & 0o222 == 0
    folder = call(study, "path", "spec.toml", result.node).strip()
    assert folder == str(result.dir)
    assert len(call(study, "path", "spec.toml", "score").splitlines()) == 20


def test_native_maps_and_images_are_read_from_results(study: Path) -> None:
    (cams,) = orchestrate.results("cam[model=tiny,fold=1]", study / "spec.toml")
    maps = orchestrate.read_cams(cams.outputs["cams"].dir)
    assert maps.maps.shape[0] == len(maps.names) == 12 and maps.input_size == (64, 64)
    (images,) = orchestrate.results("images", study / "spec.toml")
    assert orchestrate.read_images(images.outputs["images"].dir).pixels.shape == (60, 64, 64)
    assert set(np.unique(orchestrate.read_masks(images.outputs["masks"].dir).pixels)) == {0, 1}


def test_errors_of_the_program_are_passed_on(study: Path, tmp_path: Path) -> None:
    with pytest.raises(OrchestrateError, match="scoer"):
        orchestrate.scores(study / "spec.toml", "scoer")
    with pytest.raises(OrchestrateError, match="the store lacks"):
        orchestrate.table("iou", study / "spec.toml", overrides=["stages.train.epochs=2"])
    with pytest.raises(OrchestrateError, match="has no output `table`, but"):
        orchestrate.table("score", study / "spec.toml")
    with pytest.raises(OrchestrateError, match="has no `scores.parquet` in it"):
        orchestrate.scores(tmp_path)


def test_the_module_runs_the_program() -> None:
    command = [sys.executable, "-m", "orchestrate", "--version"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout.startswith("orchestrate ")


#: A data set, maps and thresholds that are written by Python and read by stages.
WRITTEN = '''
[experiment]
name = "written"

[axes]
fold = { folds = 2 }

[stages.data]
kind = "command"
argv = [PYTHON, "{code}", "data", "{out.images}", "{out.labels}", "{out.masks}"]
outputs = ["images", "labels", "masks"]

[stages.split]
kind = "split"
inputs = { labels = "data" }

[stages.train]
kind = "train"
over = ["fold"]
inputs = { images = "data", split = "split" }
model = "tiny"
epochs = 1

[stages.maps]
kind = "command"
over = ["fold"]
inputs = { split = "split" }
argv = [PYTHON, "{code}", "maps", "{in.split}", "{fold}", "{out.cams}", "{out.predictions}", "{out.curve}"]
outputs = ["cams", "predictions", "curve"]

[stages.threshold]
kind = "threshold"
over = ["fold"]
inputs = { cams = "maps.cams" }
threshold = 100

[stages.score]
kind = "score"
over = ["fold"]
inputs = { cams = "maps.cams", thresholds = "threshold", masks = "data" }

[stages.levels]
kind = "command"
over = ["fold"]
inputs = { cams = "maps.cams" }
argv = [PYTHON, "{code}", "levels", "{in.cams}", "{out}"]

[stages.level-score]
kind = "score"
over = ["fold"]
inputs = { cams = "maps.cams", thresholds = "levels", masks = "data" }

[stages.predict]
kind = "command"
over = ["fold"]
inputs = { split = "split" }
argv = [PYTHON, "{code}", "predict", "{in.split}", "{fold}", "{out}"]

[stages.predicted-score]
kind = "score"
over = ["fold"]
inputs = { predicted = "predict", masks = "data" }

[stages.classify]
kind = "classify"
inputs = { predictions = "maps.predictions" }

[stages.report]
kind = "report"
inputs = { scores = "score", cams = "maps.cams", thresholds = "threshold", images = "data", masks = "data", \
curves = "maps.curve", splits = "split", confusions = "classify" }
'''

#: Squares of 4 × 4 in images of 16 × 16; the map of an image is its square, one column further right.
PROGRAM = '''
import sys
import numpy as np
import orchestrate

def square(number, shift=0):
    image = np.zeros((16, 16))
    image[4:8, number % 8 + shift:number % 8 + shift + 4] = 1
    return image

what, *args = sys.argv[1:]
names = [f"{number}.png" for number in range(20)]
if what == "data":
    squares = np.array([square(number) for number in range(20)])
    orchestrate.write_images(args[0], images=names, pixels=squares * 200)
    labels = ["odd" if number % 2 else "even" for number in range(20)]
    orchestrate.write_labels(args[1], images=names, labels=labels, patients=[f"p{number}" for number in range(20)])
    orchestrate.write_masks(args[2], images=names, masks=squares > 0)
elif what == "levels":
    cams = orchestrate.read_cams(args[0])
    orchestrate.write_thresholds(args[1], images=cams.names, thresholds=[100] * len(cams.names))
else:
    split = orchestrate.read_split(args[0])
    fold = split[split.fold == int(args[1])]
    maps = np.array([square(int(name[:-4]), 1) for name in fold.image])
    given = {"images": list(fold.image), "labels": list(fold.label), "classes": split.attrs["classes"]}
    if what == "predict":
        orchestrate.write_predicted_masks(args[2], masks=maps, **given)
    else:
        given["probabilities"] = np.tile([0.75, 0.25], (len(fold), 1))
        orchestrate.write_cams(args[2], maps=maps * 7, input_size=(16, 16), **given)
        orchestrate.write_predictions(args[3], **given)
        rate = [0.1, 0.05]
        orchestrate.write_curve(args[4], learning_rate=rate, train_loss=rate, validation_loss=rate,
                                validation_accuracy=[0.5, 0.5])
'''


def test_stages_read_what_python_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "orchestrate.toml").write_text("")
    (tmp_path / "program.py").write_text(PROGRAM)
    # A package beside the program, not installed, must be found too.
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(os.path.dirname(orchestrate.__file__)))
    more = 'code = ["program.py"]\nenv = ["PYTHONPATH"]\nargv = '
    spec = WRITTEN.replace("PYTHON", json.dumps(sys.executable)).replace("argv = ", more)
    (tmp_path / "spec.toml").write_text(textwrap.dedent(spec))
    call(tmp_path, "run", "spec.toml")
    # Of 16 pixels of each square 12 are common, and 20 are in either.
    for stage in ("score", "level-score", "predicted-score"):
        scores = orchestrate.scores(tmp_path / "spec.toml", stage)
        # All are predicted as even, and a score of maps counts the images classified correctly.
        assert len(scores) == (20 if stage == "predicted-score" else 10), stage
        assert scores.iou.to_numpy() == pytest.approx(12 / 20) and set(scores.truth_pixels) == {16}
    (classify,) = orchestrate.results("classify", tmp_path / "spec.toml")
    metrics = pd.read_parquet(classify.outputs["metrics"].dir / "metrics.parquet")
    assert set(metrics[metrics.metric == "accuracy"].value) == {0.5}
