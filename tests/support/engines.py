"""engines.py - what the tests of examples/python/ share: its modules, PyTorch or what stands in for it, and modules of
the engines, from their published packages or small ones that stand in for them."""

import importlib
import pathlib
import sys
import types
import zipfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples" / "python"))


class Tensor:
    """What is used of a tensor, over NumPy."""

    device = "cpu"

    def __init__(self, array):
        self.array = array
        self.ndim, self.dtype, self.shape = array.ndim, array.dtype, array.shape

    def detach(self):
        return self

    cpu = detach

    def float(self):
        return Tensor(self.array.astype(np.float32, copy=False))

    def to(self, device, dtype=None):
        return Tensor(self.array if dtype is None else self.array.astype(dtype, copy=False))

    def numpy(self):
        return self.array


def torch_or_stand_in():
    try:
        return importlib.import_module("torch")
    except ImportError:
        print("no PyTorch; tensors are stood in for")
        return module("torch", Tensor=Tensor, from_numpy=Tensor, float32=np.float32, int32=np.int32)


def module(name, **members):
    """A module of this name with these members, and the packages that it is in."""
    for package in (name[:at] for at, letter in enumerate(name) if letter == "."):
        made = sys.modules.setdefault(package, types.ModuleType(package))
        made.__path__ = []
    made = sys.modules[name] = types.ModuleType(name)
    made.__dict__.update(members)
    made.__package__ = name.rpartition(".")[0]
    return made


def published(wheel, name, **members):
    """The module of this name out of a wheel; members stand there before its code runs."""
    made = module(name, **members)
    path = name.replace(".", "/") + ".py"
    exec(compile(zipfile.ZipFile(wheel).read(path), path, "exec"), made.__dict__)
    return made


class Tally:
    """What holds and what does not."""

    def __init__(self, name):
        self.name, self.passed, self.failed = name, 0, 0

    def check(self, what, holds):
        self.passed += bool(holds)
        self.failed += not holds
        if not holds:
            print(f"{self.name}: {what}")

    def end(self):
        print(f"{self.name}: {self.passed} passed, {self.failed} failed")
        sys.exit(self.failed != 0 or self.passed == 0)


def moves(old, new, num_gpus):
    """[L, G] experts that a GPU gets and did not hold: the maps are [L, slots]."""
    per_gpu = lambda plan: np.asarray(plan).reshape(len(plan), num_gpus, -1)
    return np.array([[len(set(n) - set(o) - {-1}) for o, n in zip(*layer)] for layer in zip(per_gpu(old).tolist(),
                                                                                        per_gpu(new).tolist())])
