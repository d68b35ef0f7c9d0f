"""experiments/own-model.toml from end to end, with a Python that has torch and pytorch-grad-cam."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import orchestrate
import pytest

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
#: Less of it.
SMALL = ["stages.images.count=90", "stages.train.params.epochs=2", "axes.fold={ folds = 2 }"]


def with_torch() -> str:
    """Returns a Python with torch: that of TORCH_PYTHON, or the one on PATH; skips without one."""
    python = shutil.which(os.environ.get("TORCH_PYTHON", "python3"))
    if python is None:
        pytest.skip("there is no python3 on PATH")
    check = [python, "-c", "import numpy, pandas, pyarrow, pytorch_grad_cam, torch"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"{python}: {done.stderr.strip().splitlines()[-1]} (TORCH_PYTHON names another Python)")
    return python


def test_a_network_of_ones_own_gives_maps_that_all_stages_read(tmp_path: Path) -> None:
    python = with_torch()
    shutil.copytree(EXPERIMENTS, tmp_path / "experiments")
    (tmp_path / "orchestrate.toml").write_text("")
    environment = {
        **os.environ,
        "PATH": os.path.dirname(python) + os.pathsep + os.environ["PATH"],
        # The package as this test has it: that Python need not have it installed.
        "PYTHONPATH": os.path.dirname(os.path.dirname(orchestrate.__file__)),
    }
    for variable in ("ORCHESTRATE_STORE",):
        environment.pop(variable, None)

    def call(*arguments: str) -> str:
        sets = [word for override in SMALL for word in ("--set", override)]
        command = [orchestrate.find_program(), *arguments, "experiments/own-model.toml", *sets]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    # 2 models, 2 folds, 3 thresholds.
    expected = 2 + 2 * 2 * (2 + 2 * 3) + 2 + 2 + 1
    assert f"{expected} nodes: {expected} ran" in call("run")
    assert f"{expected} nodes: {expected} hit" in call("run")
    scores = orchestrate.scores(tmp_path / "results" / "own-model")
    assert set(scores.model) == {"narrow", "wide"} and scores.iou.between(0, 1).all() and len(scores) > 0
    table = orchestrate.table(tmp_path / "results" / "own-model" / "classification")
    assert set(table[table.metric == "accuracy"].n) == {90}
    page = (tmp_path / "results" / "own-model" / "report" / "report.html").read_text()
    assert "A network of one" in page and "validation" in page

    # A change of a program reruns what it makes, and what follows from that.
    cams = tmp_path / "experiments" / "own-model" / "cams.py"
    cams.write_text(cams.read_text().replace("GradCAM", "GradCAMPlusPlus"))
    planned = call("plan")
    assert "train" in planned and "4 hit" in planned and "4 miss" in planned
