#!/bin/sh
# vLLM 0.33.0, vllm/distributed/eplb/policy/default.py, preserve_intragpu_slots: experts that stay on a rank are to
# keep their slot, "only when the slots per GPU remain the same" as its comment says, but no width is compared: the
# map in force is read with the new map's slots per rank.
#
# Here: four ranks of two slots in the new map, of which ranks 1 and 2 get experts 3 2 and 4 5. In a map in force with
# three slots for each of four ranks, rank 1 holds 4 5 3 and rank 2 holds 0 1 6. It is read as if it had two: 2 4 for
# rank 1 and 5 3 for rank 2. Seen: 2 3 and 5 4, so that each has an expert moved to another slot for the sake of one
# it never held. A map with one slot for each of four ranks raises IndexError.
#
# A rebalance that changes the number of slots is to start without a map in force, or to cut it by ranks first.
#
# Run with Python 3.11 on x86-64 Linux; installs 1 GB into a temporary folder that it removes.
set -eu
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
python3 -m venv "$TMP/venv"
"$TMP/venv/bin/pip" install --quiet --no-compile numpy==2.4.6
"$TMP/venv/bin/pip" install --quiet --no-compile --no-deps vllm==0.33.0
"$TMP/venv/bin/python" - <<'END'
import pathlib, sys, sysconfig, types
from unittest.mock import MagicMock
import numpy as np

# The policy's file alone; PyTorch is named in it, and not used for this.
sys.modules["torch"] = MagicMock()
sys.modules["policy"] = types.ModuleType("policy")
sys.modules["policy.abstract"] = types.SimpleNamespace(AbstractEplbPolicy=object)
default = types.ModuleType("policy.default")
default.__package__ = "policy"
path = pathlib.Path(sysconfig.get_paths()["purelib"], "vllm/distributed/eplb/policy/default.py")
exec(compile(path.read_text(), str(path), "exec"), default.__dict__)
keep = default.DefaultEplbPolicy.preserve_intragpu_slots

new = np.array([[0, 1, 3, 2, 4, 5, 6, 7]])  # ranks hold 0 1, 3 2, 4 5, 6 7
same = np.array([[1, 0, 4, 5, 2, 3, 6, 7]])
wider = np.array([[0, 1, 2, 4, 5, 3, 0, 1, 6, 7, 2, 3]])  # ranks hold 0 1 2, 4 5 3, 0 1 6, 7 2 3
for name, old in (("same width", same), ("wider", wider)):
    print(name, old[0].tolist(), "gives", keep(new, 4, old)[0].tolist())
assert keep(new, 4, same)[0].tolist() == [1, 0, 3, 2, 4, 5, 6, 7]
assert keep(new, 4, wider)[0].tolist() == [0, 1, 2, 3, 5, 4, 6, 7]
try:
    keep(new, 4, np.array([[0, 1, 2, 3]]))
    raise SystemExit("a narrower map is taken")
except IndexError as error:
    print("narrower: IndexError,", error)
END
echo 'vLLM 0.33.0: slots are kept by position, whatever the width'
