# test_cuda_sources.sh - the GPU companion as others meet it: its header is plain C, its object adds seven
# names to a program, its example runs (on the emulation, and so it prints what a GPU would).
. tests/check/check.sh
CC=${CC:-cc}
strict='-Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -I. -Itests/emulated'

cat >"$TMP/header.c" <<'END'
#include "eplb_cuda.h"
#include "eplb_cuda.h"
size_t bytes_needed(const eplb_problem *problem, const eplb_options *options)
{
    size_t bytes = 0;
    return eplb_cuda_scratch_size(problem, options, &bytes) == EPLB_OK ? bytes : 0;
}
END
for standard in c99 c11; do
    check "eplb_cuda.h compiles as $standard" $CC -std=$standard $strict -c -o "$TMP/header.o" "$TMP/header.c"
done
check 'beside a static copy of eplb.h too' \
    $CC -std=c99 $strict -DEPLB_STATIC -DEPLB_IMPLEMENTATION -c -o "$TMP/header.o" "$TMP/header.c"

object=$BUILD/tests/emulated_eplb_cuda.o
check 'seven functions are public' \
    sh -c "test \"\$(nm -g --defined-only '$object' | awk '\$2 == \"T\" { printf \"%s \", \$3 }')\" = 'eplb_cuda_evaluate eplb_cuda_evaluate_scratch_size eplb_cuda_rebalance eplb_cuda_scratch_size eplb_cuda_share eplb_cuda_share_scratch_size eplb_cuda_share_sources '"
check 'nothing is writable' sh -c "! nm '$object' | grep -v ' [a-zA-Z] _*\(DW\|asan\|odr\|ubsan\)' | grep -E ' [dDbBC] '"

prints() { # program, the line that it must print
    $RUN_ENV "$1" | grep -F -x -- "$2"
}
check 'cuda_graph plans and shares in a captured graph' prints "$BUILD/emulated_cuda_graph" \
    'tokens of each GPU:  486  485  521  521  521  521  521  520'
check 'and sends each slot its share' prints "$BUILD/emulated_cuda_graph" 'every slot got its share'
check 'make cuda says so where there is no nvcc' \
    sh -c "env -u MAKEFLAGS -u MAKELEVEL make cuda NVCC=no-such-nvcc BUILD='$TMP/none' | grep -F 'cuda: skipped, there is no no-such-nvcc'"
check 'cuda_graph.cu is under 125 lines' test "$(wc -l <examples/cuda_graph.cu)" -lt 125
report test_cuda_sources
