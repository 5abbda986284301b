#!/bin/sh
# vLLM 0.33.0, vllm/model_executor/layers/fused_moe/router/base_router.py: which replica of an expert serves a token
# depends on the token's row in the batch alone: row x 2654435769 modulo 2^32, modulo the number of replicas. The
# multiplier is odd and 1 modulo 8, so two, four and eight replicas take turns row by row; other numbers do not.
#
# Here: batches whose every row chooses the same expert, with the kernel as published under Triton's interpreter.
# Seen, tokens of the replicas in ascending order of slots: three replicas have 2 0 0 of 2 rows, 4 1 3 of 8 and 7 4 5
# of 16; six have 3 1 2 3 1 2 of 12. Two, four and eight have equal shares of all multiples of themselves.
#
# Of small batches, as in decoding, the replicas of an expert have unequal shares, and the same ones in each layer and
# step: of three, the one in the lowest slot has most in all batches above. Plans that count on equal shares are less
# even there than they look.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps vllm==0.33.0
TRITON_INTERPRET=1 "$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig
from unittest.mock import MagicMock
import torch, triton
import triton.language as tl
from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

# The module from its file, which Triton reads too, with stand-ins for the rest of the engine.
for name in ("", ".distributed", ".distributed.eplb", ".distributed.eplb.eplb_state", ".platforms", ".model_executor",
             ".model_executor.layers", ".model_executor.layers.fused_moe", ".model_executor.layers.fused_moe.router",
             ".model_executor.layers.fused_moe.router.fused_moe_router", ".v1", ".v1.worker", ".v1.worker.ubatching"):
    sys.modules["vllm" + name] = MagicMock(__path__=[])
sys.modules["vllm.model_executor.layers.fused_moe.router.fused_moe_router"].FusedMoERouter = object
sys.modules["vllm.triton_utils"] = MagicMock(tl=tl, triton=triton)
router = pathlib.Path(sysconfig.get_paths()["purelib"], "vllm/model_executor/layers/fused_moe/router")
sys.path.insert(0, str(router))
import base_router

# Triton 3.9.0's interpreter has the mask of this addition as int32, which it does not take.
add = InterpreterBuilder.create_atomic_rmw
InterpreterBuilder.create_atomic_rmw = lambda self, op, at, value, mask, *rest: add(
    self, op, at, value, TensorHandle(mask.data.astype(bool), tl.int1), *rest)


def tokens(replicas, rows):
    """Of each replica of an expert that all rows choose; its slots are 0, 1, .."""
    load = torch.zeros(replicas, dtype=torch.int32)
    base_router.eplb_map_to_physical_and_record(
        topk_ids=torch.zeros(rows, 1, dtype=torch.int32), expert_load_view=load,
        logical_to_physical_map=torch.arange(replicas)[None], logical_replica_count=torch.tensor([replicas]),
        record_enabled=torch.tensor(True), num_unpadded_tokens=None)
    return load.tolist()


for replicas, rows, want in ((3, 2, [2, 0, 0]), (3, 8, [4, 1, 3]), (3, 16, [7, 4, 5]), (6, 12, [3, 1, 2, 3, 1, 2])):
    got = tokens(replicas, rows)
    print(f"{replicas} replicas, {rows} rows:", *got)
    assert got == want
for replicas in (2, 4, 8):
    assert all(tokens(replicas, rows) == [rows // replicas] * replicas for rows in range(replicas, 65, replicas))
END
echo 'vLLM 0.33.0: the row alone chooses the replica'
