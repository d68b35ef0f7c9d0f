"""Results of nodes as files, through ``orchestrate path --json``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Union

from ._program import call

#: A path of a file or folder.
PathLike = Union[str, "os.PathLike[str]"]
#: The value of an axis: a number, a truth value or a text.
Value = Union[int, float, bool, str]


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    dir: Path
    """Its folder."""
    files: List[Path]
    """Its files."""


@dataclass(frozen=True)
class Result:
    """The recorded result of a node, as read-only files."""

    node: str
    """The node, as the command line writes it: ``train[model=tiny,fold=1]``."""
    stage: str
    kind: str
    point: Dict[str, Value]
    """The value of each axis, in the order of the spec."""
    key: str
    """The digest of all that the result follows from."""
    dir: Path
    """The folder that holds those of the outputs."""
    outputs: Dict[str, Output]


def results(
    node: str, study: Optional[PathLike] = None, *, overrides: Sequence[str] = (), store: Optional[PathLike] = None
) -> List[Result]:
    """Returns the results of one node, or of all nodes of a stage or a part of it.

    - ``node``: such as ``"train[model=tiny,fold=1]"``, ``"train[model=tiny]"`` or ``"train"``
    - ``study``: the spec; by default that of the latest run with such a node
    - ``overrides``: values as after ``--set``
    - ``store``: the folder of the store; by default as the program finds it

    Raises :class:`OrchestrateError` if the store lacks one of them.
    """
    lines = call(["path", *arguments(node, study, overrides, store), "--json"]).splitlines()
    return [_result(json.loads(line)) for line in lines]


def arguments(
    node: str, study: Optional[PathLike], overrides: Sequence[str], store: Optional[PathLike]
) -> List[str]:
    """Returns ``[SPEC] NODE`` with its options."""
    words = [] if study is None else [os.fspath(study)]
    words.append(node)
    # A text is a sequence of letters; here it is one override.
    for override in [overrides] if isinstance(overrides, str) else overrides:
        words += ["--set", override]
    if store is not None:
        words += ["--store", os.fspath(store)]
    return words


def _result(line: Dict[str, object]) -> Result:
    outputs = line["outputs"]
    assert isinstance(outputs, dict)
    line["outputs"] = {
        name: Output(Path(output["dir"]), [Path(file) for file in output["files"]]) for name, output in outputs.items()
    }
    line["dir"] = Path(str(line["dir"]))
    names = Result.__dataclass_fields__
    # A later program may say more.
    return Result(**{name: value for name, value in line.items() if name in names})  # type: ignore[arg-type]
