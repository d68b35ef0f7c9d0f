"""Small state dicts as torch.save writes them, and malformed files, for stages/networks/src/model/state_dict/tests.rs.

Run: python state_dict.py (torch 2.9.1, safetensors 0.8.0), writes the folder state_dict.
"""

import os
import pickle
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn

import formula

here = pathlib.Path("state_dict")
here.mkdir(exist_ok=True)


def tensor(name, *shape):
    return torch.from_numpy(formula.tensor(name, shape))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2))
        self.classifier = nn.Linear(2, 4)


net = Net()
formula.fill(net.state_dict())
state = net.state_dict()
state["features.2.weight"] = tensor("features.2.weight", 5, 4).T.contiguous().T  # not contiguous
state["features.3.weight"] = tensor("features.3.weight", 4, 2).half()
state["features.4.weight"] = tensor("features.4.weight", 4, 2).bfloat16()
state["features.5.weight"] = tensor("features.5.weight", 4, 2).double()
torch.save(state, here / "zip.pth")
torch.save(state, here / "legacy.pth", _use_new_zipfile_serialization=False)
save_file({name: values.contiguous() for name, values in state.items()}, here / "same.safetensors")

torch.save({"features.0.weight": torch.zeros(1).expand(2**28)}, here / "huge.pth")
torch.save({"features.0.weight": torch.zeros(2, dtype=torch.int64)}, here / "integers.pth")
torch.save({"features.denseblock1.denselayer2.norm.1.weight": torch.ones(1)}, here / "densenet.pth")


class Program:
    def __reduce__(self):
        return os.mkdir, ("executed",)


torch.save({"features.0.weight": torch.ones(1), "other": Program()}, here / "program.pth")
(here / "program.pickle").write_bytes(pickle.dumps(Program(), protocol=2))
