# follow.sh - plans from the plan in force against an independent assignment: SciPy's, where PYTHON has it.
: "${PYTHON:=python3}"
export PYTHON

follow_scipy() {
    "$PYTHON" -c 'import scipy.optimize' 2>/dev/null || skip "$PYTHON has no scipy"
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/eplb.c"
    gcc -std=c99 -O2 -fPIC -shared -I. -o "$WORK/libeplb.so" "$WORK/eplb.c"
    "$PYTHON" tests/check/follow.py "$WORK/libeplb.so"
}
gate follow-scipy "gcc $PYTHON" follow_scipy
