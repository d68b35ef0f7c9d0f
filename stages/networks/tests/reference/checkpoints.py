"""Checkpoints as training programs write them, and files that are none, for stages/networks/src/model/state_dict.

Run: python checkpoints.py (Python 3.11, numpy 2.4.6, safetensors 0.8.0), adds to the folder state_dict. PyTorch is not
needed: pickles are made by Python's pickle, with classes under the names that torch.save writes, and zipfile.
`python checkpoints.py check` compares that with a pickle by PyTorch, densenet.pth.
"""

import collections
import io
import pathlib
import pickle
import pickletools
import sys
import types
import zipfile

import numpy as np
from safetensors.numpy import save_file

import formula

here = pathlib.Path("state_dict")


def place(name, **members):
    """Makes a module with these members, so that pickles name them as PyTorch does."""
    module = sys.modules.setdefault(name, types.ModuleType(name))
    for key, member in members.items():
        member.__module__, member.__qualname__, member.__name__ = name, key, key
        setattr(module, key, member)


class Storage:
    def __init__(self, values):
        self.values = values


class Tensor:
    """A view of a storage, pickled as torch.Tensor is."""

    def __init__(self, values, storage=None, offset=0):
        self.values = values
        self.storage = storage or Storage(values.ravel())
        self.offset = offset

    def __reduce__(self):
        strides = tuple(stride // self.values.itemsize for stride in self.values.strides)
        hooks = collections.OrderedDict()
        return rebuild, (self.storage, self.offset, self.values.shape, strides, False, hooks)


def rebuild(*args):
    raise NotImplementedError



KINDS = {"float32": "FloatStorage", "float64": "DoubleStorage", "int64": "LongStorage"}
STORAGES = {kind: type(name, (), {}) for kind, name in KINDS.items()}
place("torch", **{KINDS[kind]: storage for kind, storage in STORAGES.items()})
place("torch._utils", _rebuild_tensor_v2=rebuild)


class Sequential:
    """A network, pickled whole with its __dict__, as torch.nn.Module is."""

    def __init__(self, parameters, modules=()):
        self.training = False
        self._parameters = collections.OrderedDict(parameters)
        self._buffers = collections.OrderedDict()
        self._non_persistent_buffers_set = set()
        self._forward_hooks = collections.OrderedDict()
        self._modules = collections.OrderedDict(modules)


place("torch.nn.modules.container", Sequential=Sequential)


class Scripted:
    """The root of a TorchScript archive."""


place("__torch__", Net=Scripted)


def save(content, path, entries=()):
    """Writes the layout of torch.save since PyTorch 1.6."""
    data, storages = io.BytesIO(), {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            key = storages.setdefault(id(value), (str(len(storages)), value))[0]
            return "storage", STORAGES[str(value.values.dtype)], key, "cpu", value.values.size

    Pickler(data, protocol=2).dump(content)
    root = path.stem
    with zipfile.ZipFile(path, "w") as archive:
        def write(name, content):
            archive.writestr(zipfile.ZipInfo(f"{root}/{name}"), content)

        write("data.pkl", data.getvalue())
        write("byteorder", "little")
        for key, storage in storages.values():
            write(f"data/{key}", storage.values.tobytes())
        write("version", "3\n")
        for name, text in entries:
            write(name, text)


def tensor(name, *shape):
    return formula.tensor(name, shape)


SHAPES = {"features.0.weight": (2, 3, 3, 3), "features.0.bias": (2,), "features.3.weight": (4, 2)}


def state_dict(prefix):
    """The tensors of SHAPES; the two of layer 0 lie in one storage."""
    weight, bias = (tensor(name, *SHAPES[name]) for name in ("features.0.weight", "features.0.bias"))
    shared = Storage(np.concatenate([weight.ravel(), bias]))
    state = collections.OrderedDict()
    state[prefix + "features.0.weight"] = Tensor(weight, shared)
    state[prefix + "features.0.bias"] = Tensor(bias, shared, weight.size)
    state[prefix + "features.1.num_batches_tracked"] = Tensor(np.array(7))
    double = tensor("features.3.weight", 4, 2).astype(np.float64)
    state[prefix + "features.3.weight"] = Tensor(double)
    state[prefix + "classifier.weight"] = Tensor(tensor("classifier.weight", 4, 2))
    return state


def write():
    adam = {"state": {0: {"step": 3, "exp_avg": Tensor(tensor("exp_avg", 2))}}, "param_groups": [{"lr": 0.001}]}
    save(
        {"epoch": 3, "state_dict": state_dict("model."), "optimizer_states": [adam], "hyper_parameters": {"lr": 1e-3}},
        here / "lightning.ckpt",
    )
    save({"model_state_dict": state_dict("module."), "optimizer": adam}, here / "parallel.pth")
    save({"model": state_dict(""), "epoch": 1}, here / "model.pth")
    save(collections.OrderedDict(state_dict("model.")), here / "prefix.pth")

    layer = {name.split(".")[2]: Tensor(tensor(name, *SHAPES[name])) for name in list(SHAPES)[:2]}
    last = Sequential({"weight": Tensor(tensor("features.3.weight", 4, 2))})
    features = Sequential({}, {"0": Sequential(layer), "3": last})
    save(Sequential({}, {"features": features}), here / "whole.pth")

    plain = {name: tensor(name, *shape) for name, shape in SHAPES.items()}
    save_file({f"_orig_mod.backbone.{name}": values for name, values in plain.items()}, here / "compiled.safetensors")

    save({"model": state_dict(""), "state_dict": state_dict("")}, here / "two.pth")
    save({"epoch": 3, "args": {"lr": 0.1}}, here / "settings.pth")
    odd = {f"features.{layer}.bias": Tensor(np.array([np.nan, 1, np.inf], np.float32)) for layer in range(24)}
    odd["features.99.bias"] = Tensor(np.array([1e300, 0.0]))
    save(odd, here / "nan.pth")

    scripted = Scripted()
    scripted.weight = Tensor(tensor("features.3.weight", 4, 2))
    code = [("code/__torch__.py", "class Net(Module):\n"), ("constants.pkl", b"\x80\x02).")]
    save(scripted, here / "script.pt", code)
    (here / "arrays.pkl").write_bytes(pickle.dumps({"features.0.bias": tensor("features.0.bias", 2)}, protocol=4))
    with zipfile.ZipFile(here / "document.zip", "w") as archive:
        archive.writestr(zipfile.ZipInfo("word/document.xml"), "<w:document/>")


def opcodes(path, entry):
    with zipfile.ZipFile(path) as archive:
        data = archive.read(entry)
    # Where an object is kept for later use differs with the Python that wrote the file.
    return [(op.name, arg) for op, arg, _ in pickletools.genops(data) if "PUT" not in op.name and "GET" not in op.name]


def check():
    """Compares the pickle of one tensor with the same one by PyTorch."""
    save({"features.denseblock1.denselayer2.norm.1.weight": Tensor(np.ones(1, np.float32))}, pathlib.Path("check.pth"))
    ours, theirs = opcodes("check.pth", "check/data.pkl"), opcodes(here / "densenet.pth", "densenet/data.pkl")
    pathlib.Path("check.pth").unlink()
    assert ours == theirs, (ours, theirs)


check() if sys.argv[1:] == ["check"] else write()
