# engines.sh - against the engines' own code, from their published packages. Their download takes hundreds of megabytes,
# so these gates run only when they are asked for: make check-engines. PYTHON needs NumPy.
: "${PYTHON:=python3}"
export PYTHON
VLLM=0.33.0
SGLANG=0.5.23
ASCEND=0.23.0

# Wheels stay in the build folder, for the next time. Only single modules and functions of them are read, which need NumPy
# and nothing else.
wheel() { # package, its name in a file, version: sets found
    wheels=$BUILD/check/wheels
    ls "$wheels/$2-$3-"*.whl 2>/dev/null ||
        "$PYTHON" -m pip download --quiet --no-deps --dest "$wheels" "$1==$3" ||
        skip "pip has no $1 $3"
    found=$(ls "$wheels/$2-$3-"*.whl | head -n 1)
}

engines_vllm() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "$PYTHON has no numpy"
    wheel vllm vllm "$VLLM"
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/eplb.c"
    gcc -std=c99 -O2 -fPIC -shared -I. -o "$WORK/libeplb.so" "$WORK/eplb.c"
    "$PYTHON" tests/check/engines_vllm.py "$WORK/libeplb.so" "$found"
}
gate engines-vllm "gcc $PYTHON" engines_vllm

# What the program writes for engines, and reads of theirs.
engines_formats() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "$PYTHON has no numpy"
    wheel vllm vllm "$VLLM"
    vllm=$found
    wheel sglang sglang "$SGLANG"
    sglang=$found
    wheel vllm-ascend vllm_ascend "$ASCEND"
    make -s "BUILD=$WORK" "$WORK/eplb"
    "$PYTHON" tests/check/engines_formats.py "$WORK/eplb" "$vllm" "$sglang" "$found"
}
gate engines-formats "gcc make $PYTHON" engines_formats
