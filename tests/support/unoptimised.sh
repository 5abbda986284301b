# unoptimised.sh - unoptimised PROGRAM makes it a compiler that is CC, but does not optimise, whatever it is told: what plans
# for a moment takes far longer to compile than to run. To be sourced after check.sh.
unoptimised() { # program
    printf '#!/bin/sh\nexec %s "$@" -O0\n' "${CC:-cc}" >"$1"
    chmod +x "$1"
}
