#!/bin/sh
# SGLang 0.5.23, sglang/srt/eplb/eplb_algorithms/deepseek.py: the loads of packs are added up in double precision (as
# lists of Python), though the file says of itself that it is copied from deepseek-ai/EPLB, where they are tensors of
# float32. vLLM 0.33.0 (policy/default.py) adds in double precision too. Where float32 rounds a pack's load, the three
# can choose different packs.
#
# Here: a layer of 8 experts, whole counts of tokens, the hottest two of some 16 million, packed on two GPUs. Seen:
# both put experts 0 3 5 6 on the first GPU and 1 2 4 7 on the second, which is what sums in double precision choose;
# the same rule with sums in float32 puts 0 3 5 7 and 1 2 4 6.
#
# Plans of the engines can be compared in every number with the reference's only where no sum is rounded.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps sglang==0.5.23 vllm==0.33.0
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
import numpy as np
import torch

packages = pathlib.Path(sysconfig.get_paths()["purelib"])
sys.modules["policy"] = types.ModuleType("policy")
sys.modules["policy.abstract"] = types.SimpleNamespace(AbstractEplbPolicy=object)


def module(path):
    made = types.ModuleType("policy.module")
    made.__package__ = "policy"
    exec(compile((packages / path).read_text(), path, "exec"), made.__dict__)
    return made


sglang = module("sglang/srt/eplb/eplb_algorithms/deepseek.py").balanced_packing
vllm = module("vllm/distributed/eplb/policy/default.py").DefaultEplbPolicy.balanced_packing


def by_rule(load, kind):
    """Hottest first, each onto the lightest of two packs with room, the first of equals; sums in this precision."""
    total, held, pack_of = [kind(0)] * 2, [0] * 2, [0] * len(load)
    for item in np.argsort(-load):
        pack = min((p for p in range(2) if held[p] < len(load) // 2), key=lambda p: total[p])
        pack_of[item] = pack
        total[pack] = kind(total[pack] + kind(load[item]))
        held[pack] += 1
    return pack_of


load = np.array([16777216, 16777214, 7, 6, 5, 4, 3, 2], np.float32)
packs = {"SGLang": sglang(torch.from_numpy(load)[None], 2)[0][0].tolist(), "vLLM": vllm(load[None], 2)[0][0].tolist(),
         "by the rule, double": by_rule(load, np.float64), "by the rule, float32": by_rule(load, np.float32)}
for who, pack_of in packs.items():
    print(who, "packs of experts 0 to 7:", *pack_of)
assert packs["SGLang"] == packs["vLLM"] == packs["by the rule, double"] != packs["by the rule, float32"]
END
echo 'SGLang 0.5.23, vLLM 0.33.0: packs are added up in double precision'
