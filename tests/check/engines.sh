# engines.sh - against the engines' own code, from their published packages, and the reference in PyTorch. Their download
# takes gigabytes, so these gates run only when they are asked for: make check-engines. PYTHON needs NumPy.
: "${PYTHON:=python3}"
export PYTHON
VLLM=0.33.0 SGLANG=0.5.23 ASCEND=0.23.0

# Of each package a few modules are read out of the wheel, which stays in the build folder for the next time.
fetch() { # package, version
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "$PYTHON has no numpy"
    wheels=$BUILD/check/wheels
    mkdir -p "$wheels"
    set -- "$1" "$2" "$wheels/$(echo "$1" | tr - _)-$2-"
    ls "$3"*.whl 2>/dev/null || "$PYTHON" -m pip download --quiet --no-deps --dest "$wheels" "$1==$2" || skip "pip has no $1 $2"
    wheel=$(ls "$3"*.whl | head -n 1)
}

# A Python with PyTorch: PYTHON, or one in the build folder, which the first gate makes while others wait.
with_torch() {
    python=$PYTHON
    ! "$PYTHON" -c 'import numpy, torch' 2>/dev/null || return 0
    python=$BUILD/check/torch/bin/python
    exec 9>"$BUILD/check/torch.lock"
    flock 9
    "$python" -c 'import numpy, torch' 2>/dev/null || make_torch
    exec 9>&-
}

make_torch() {
    "$PYTHON" -m venv "$BUILD/check/torch" || skip "$PYTHON has neither PyTorch nor venv"
    "$python" -m pip install --quiet numpy torch && "$python" -c 'import numpy, torch' || skip 'pip has no PyTorch that runs here'
}

library() {
    gcc -std=c99 -O2 -fPIC -shared -DEPLB_IMPLEMENTATION -I. -o "$WORK/libeplb.so" -x c eplb.h
    EPLB_LIBRARY=$(realpath "$WORK/libeplb.so")
    PYTHONDONTWRITEBYTECODE=1
    export EPLB_LIBRARY PYTHONDONTWRITEBYTECODE
}

engines_vllm() {
    fetch vllm "$VLLM"
    library
    "$PYTHON" tests/check/engines_vllm.py "$WORK/libeplb.so" "$wheel"
    "$PYTHON" tests/check/engines_vllm_policy.py "$wheel"
    "$PYTHON" tests/check/engines_vllm_preset.py "$wheel"
}
gate engines-vllm "gcc $PYTHON" engines_vllm

engine_in_torch() { # package, version, script
    fetch "$1" "$2"
    with_torch
    library
    "$python" "tests/check/$3" "$wheel"
}
gate engines-sglang "gcc flock $PYTHON" engine_in_torch sglang "$SGLANG" engines_sglang.py
gate engines-ascend "gcc flock $PYTHON" engine_in_torch vllm-ascend "$ASCEND" engines_ascend.py

engines_reference() {
    with_torch
    library
    "$python" tests/check/engines_reference.py
}
gate engines-reference "gcc flock $PYTHON" engines_reference

# What the program writes for engines, and reads of theirs.
engines_formats() {
    fetch vllm "$VLLM"
    vllm=$wheel
    fetch sglang "$SGLANG"
    sglang=$wheel
    fetch vllm-ascend "$ASCEND"
    make -s "BUILD=$WORK" "$WORK/eplb"
    "$PYTHON" tests/check/engines_formats.py "$WORK/eplb" "$vllm" "$sglang" "$wheel"
}
gate engines-formats "gcc make $PYTHON" engines_formats
