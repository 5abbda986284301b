# shares.sh - exact shares against an independent solver: SciPy's HiGHS, where PYTHON has it.
: "${PYTHON:=python3}"
export PYTHON

shares_highs() {
    "$PYTHON" -c 'import scipy.optimize' 2>/dev/null || skip "$PYTHON has no scipy"
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/eplb.c"
    gcc -std=c99 -O2 -fPIC -shared -I. -o "$WORK/libeplb.so" "$WORK/eplb.c"
    "$PYTHON" tests/check/shares.py "$WORK/libeplb.so"
}
gate shares-highs "gcc $PYTHON" shares_highs
