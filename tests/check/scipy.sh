# scipy.sh - the library against independent solvers, SciPy's, where PYTHON has it: exact shares against HiGHS, plans
# from the plan in force against an assignment.
: "${PYTHON:=python3}"
export PYTHON

against_scipy() { # script
    "$PYTHON" -c 'import scipy.optimize' 2>/dev/null || skip "$PYTHON has no scipy"
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/eplb.c"
    gcc -std=c99 -O2 -fPIC -shared -I. -o "$WORK/libeplb.so" "$WORK/eplb.c"
    EPLB_LIBRARY=$(realpath "$WORK/libeplb.so") "$PYTHON" "tests/check/$1" "$WORK/libeplb.so"
}
gate shares-highs "gcc $PYTHON" against_scipy shares.py
gate follow-scipy "gcc $PYTHON" against_scipy follow.py
