# engines_formats.py EPLB VLLM SGLANG ASCEND - what the program EPLB writes for engines, as their own functions take it, and
# what theirs write, as it reads it; and balancedness by name beside theirs. The last three are their packages, of which
# single functions are taken, with NumPy in the place of PyTorch where that is all they use.
import ast
import json
import os
import subprocess
import sys
import tempfile
import types
import zipfile
from pathlib import Path

import numpy as np

EPLB, VLLM, SGLANG, ASCEND = sys.argv[1:5]
LAYERS, EXPERTS, SLOTS, GPUS = 7, 24, 32, 8
CASES = 200
random = np.random.default_rng(23)


class Tensor(np.ndarray):
    """What the functions below use of a tensor."""

    def mean(self, dim=None, **kw):
        return np.asarray(self).mean(axis=dim, **kw).view(Tensor) if dim is not None else np.asarray(self).mean(**kw)

    def max(self, dim=None, **kw):
        most = np.asarray(self).max(axis=dim, **kw)
        return types.SimpleNamespace(values=most.view(Tensor)) if dim is not None else most

    def float(self):
        return self.astype(np.float32)


def tensor(data, dtype=None):
    return np.array(data, dtype).view(Tensor)


class Torch(types.ModuleType):
    Tensor, int32, tensor = Tensor, np.int32, staticmethod(tensor)


def reduce(x, pattern, how):
    """einops.reduce over the last axis."""
    return np.asarray(x).max(axis=-1) if how == "max" else np.asarray(x).mean(axis=-1, dtype=np.float32)


def function(wheel, path, name, **globals_):
    """One function, or method, of a module in a package."""
    tree = ast.parse(zipfile.ZipFile(wheel).read(path))
    found = next(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name)
    module = {"torch": Torch("torch"), "json": json, "Path": Path, "Any": object, **globals_}
    found.decorator_list, found.returns = [], None
    for argument in found.args.args:
        argument.annotation = None
    exec(compile(ast.Module([found], []), path, "exec"), module)
    return module[name]


def eplb(*arguments):
    return subprocess.run([EPLB, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


def plan(twice):
    """[L, R] at random, each expert somewhere; on a GPU twice or not."""
    rows = []
    while len(rows) < LAYERS:
        row = random.permutation(np.concatenate([np.arange(EXPERTS), random.integers(0, EXPERTS, SLOTS - EXPERTS)]))
        gpus = row.reshape(GPUS, -1)
        if twice or all(len(set(gpu)) == len(gpu) for gpu in gpus):
            rows.append(row)
    return np.array(rows)


def check_ascend(folder):
    read = function(ASCEND, "vllm_ascend/eplb/core/eplb_utils.py", "expert_file_to_tensor", logger=None)
    write = function(ASCEND, "vllm_ascend/eplb/adaptor/vllm_adaptor.py", "_export_tensor_to_file")
    for _ in range(CASES):
        p = plan(False)
        (folder / "array").write_text(json.dumps(p.tolist()))
        eplb("convert", folder / "array", "--gpus", GPUS, "--write", f"ascend={folder / 'ascend'}")
        for layer in range(LAYERS):
            placement, count = read(folder / "ascend", layer)
            assert count == SLOTS and (placement.reshape(-1) == p[layer]).all()
        maps = np.full((LAYERS, GPUS, EXPERTS), -1, np.int32)
        for layer, gpu, slot in np.ndindex(LAYERS, GPUS, SLOTS // GPUS):
            maps[layer, gpu, p[layer, gpu * (SLOTS // GPUS) + slot]] = slot
        write(types.SimpleNamespace(rank_id=0), maps, folder / "theirs")
        back = json.loads(eplb("convert", folder / "theirs", "--write", "array=-"))
        assert (np.array(back) == p).all()
    print(f"vllm-ascend: {CASES} expert maps read and written as by its functions")


def check_sglang(folder):
    taken = {}
    metadata = types.SimpleNamespace(
        init_by_mapping=lambda model_config, physical_to_logical_map, moe_ep_rank=None: taken.update(map=physical_to_logical_map),
        init_by_eplb=lambda model_config, logical_count, **kw: taken.update(count=logical_count))
    where = types.SimpleNamespace(moe=types.SimpleNamespace(init_expert_location=None))
    read = function(SGLANG, "sglang/srt/eplb/expert_location.py", "compute_initial_expert_location_metadata",
                    ExpertLocationMetadata=metadata, get_exec=lambda: where, logger=types.SimpleNamespace(info=lambda text: None))
    for _ in range(CASES):
        p = plan(True)
        (folder / "array").write_text(json.dumps(p.tolist()))
        eplb("convert", folder / "array", "--write", f"sglang={folder / 'plan.json'}")
        where.moe.init_expert_location = str(folder / "plan.json")
        read(None, 0)
        assert (np.array(taken["map"]) == p).all()
    loads = random.integers(0, 100, (3, LAYERS, EXPERTS))
    (folder / "loads").write_text(json.dumps(loads.tolist()))
    eplb("convert", folder / "loads", "--write", f"sglang-counts={folder / 'counts.json'}")
    where.moe.init_expert_location = str(folder / "counts.json")
    read(None, 0)
    assert (np.array(taken["count"]) == loads).all()
    (folder / "more.json").write_text(json.dumps({"physical_to_logical_map": p.tolist(), "note": 1}))
    where.moe.init_expert_location = str(folder / "more.json")
    for refuses in (lambda: read(None, 0), lambda: eplb("convert", folder / "more.json", "--write", "array=-")):
        try:
            refuses()
        except (TypeError, subprocess.CalledProcessError):
            continue
        raise AssertionError("another name was taken")
    print(f"SGLang: {CASES} plans, and counts, taken as they were meant; another name beside a plan is refused by both")


def check_balancedness(folder):
    vllm = function(VLLM, "vllm/distributed/eplb/eplb_state.py", "_compute_eplb_load_stats")
    sglang = function(SGLANG, "sglang/srt/eplb/expert_distribution.py", "compute_utilization_rate",
                      einops=types.SimpleNamespace(reduce=reduce))
    for case in range(CASES):
        p = plan(True)
        loads = random.integers(0, 1000, (LAYERS, EXPERTS)) * (random.random((LAYERS, 1)) < 0.8)
        if case == 0:
            loads[:] = 0
        counts = np.array([np.bincount(row, minlength=EXPERTS) for row in p])
        gpus = np.take_along_axis(loads / counts, p, 1).reshape(LAYERS, GPUS, -1).sum(2).view(Tensor)
        mean, most = vllm(gpus)
        want = {"vllm": mean / most if most > 0 else 0.0, "sglang": float(np.mean(sglang(gpus)))}
        (folder / "array").write_text(json.dumps(p.tolist()))
        (folder / "loads").write_text(json.dumps(loads.tolist()))
        got = json.loads(eplb("score", folder / "loads", "--map", folder / "array", "--gpus", GPUS, "--balancedness",
                              "vllm,sglang", "--json", "-"))["engines"]
        for name in want:
            assert abs(got[name]["equal"] - want[name]) < 1e-6, (case, name, got, want)
    print(f"balancedness: {CASES} scores within 1e-6 of vLLM's and SGLang's functions, without load too")


with tempfile.TemporaryDirectory() as name:
    check_ascend(Path(name))
    check_sglang(Path(name))
    check_balancedness(Path(name))
