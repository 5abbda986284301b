#!/bin/sh
# SGLang 0.5.23, sglang/srt/eplb/eplb_algorithms/deepseek_vec.py: where two experts are the hottest of a sample and
# equally hot, every replica of that round goes to expert 0, however cold it is.
#
# It gives a replica where that lowers the sum over samples of the hottest score most. Where another expert is as hot
# the sum falls for no expert, and the first of equals wins. Against this a ten-thousandth of the expert's number is
# added to each load; in float32, which the load becomes, that is lost from some thousands of tokens on.
#
# Here: 8 experts, of which expert 0 is the coldest and 5 and 6 are the hottest, on 16 slots. Seen, replicas in the
# order of experts: with loads of some ten tokens 1 1 1 1 1 5 5 1, with those times 10^4 9 1 1 1 1 1 1 1, in one
# sample and in four.
#
# Counts of tokens in a window are thousands and more, so ties among hot experts are rare but cost a whole window.
#
# Run with Python 3.11 on x86-64 Linux; installs some 6 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6 torch==2.15.0
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps sglang==0.5.23
"$TMP/venv/bin/python" - <<'END'
import pathlib, sysconfig, types
import torch

algorithm = types.ModuleType("deepseek_vec")
path = pathlib.Path(sysconfig.get_paths()["purelib"], "sglang/srt/eplb/eplb_algorithms/deepseek_vec.py")
exec(compile(path.read_text(), str(path), "exec"), algorithm.__dict__)


def replicas(load, samples=1):
    tokens = torch.tensor(load)[None, None].repeat(samples, 1, 1)
    return algorithm.rebalance_experts(tokens, 16, 4, None, 1, False)[2][0].tolist()


few = [1, 2, 3, 4, 5, 60, 60, 6]
many = [tokens * 10_000 for tokens in few]
for load, samples, want in ((few, 1, [1, 1, 1, 1, 1, 5, 5, 1]), (many, 1, [9] + 7 * [1]), (many, 4, [9] + 7 * [1])):
    got = replicas(load, samples)
    print(f"{load}, {samples} samples: replicas", *got)
    assert got == want
END
echo 'SGLang 0.5.23: equal maxima send all replicas to expert 0'
