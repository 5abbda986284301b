# engines.sh - against the engines' own code, from their published packages. Their download takes hundreds of megabytes,
# so these gates run only when they are asked for: make check-engines. PYTHON needs NumPy.
: "${PYTHON:=python3}"
export PYTHON
VLLM=0.33.0

# The wheel stays in the build folder, for the next time. Only its scheduler is read, which needs NumPy and nothing else.
engines_vllm() {
    "$PYTHON" -c 'import numpy' 2>/dev/null || skip "$PYTHON has no numpy"
    wheels=$BUILD/check/wheels
    ls "$wheels/vllm-$VLLM-"*.whl 2>/dev/null ||
        "$PYTHON" -m pip download --quiet --no-deps --dest "$wheels" "vllm==$VLLM" ||
        skip "pip has no vllm $VLLM"
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/eplb.c"
    gcc -std=c99 -O2 -fPIC -shared -I. -o "$WORK/libeplb.so" "$WORK/eplb.c"
    "$PYTHON" tests/check/engines_vllm.py "$WORK/libeplb.so" "$wheels/vllm-$VLLM-"*.whl
}
gate engines-vllm "gcc $PYTHON" engines_vllm
