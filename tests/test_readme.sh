# test_readme.sh - the code of the README and of the header's quick start compiles verbatim, in a folder
# that holds eplb.h and nothing else; the README's program prints what the README says it prints.
. tests/check/check.sh
CC=${CC:-cc}
strict='-std=c99 -Wall -Wextra -Wpedantic -Werror'

# The lines of the n-th fenced block of a language in the README.
block() { # language, n
    awk -v fence="\`\`\`$1" -v want="$2" '
        $0 == fence { inside = ++seen == want; next }
        /^```/      { inside = 0 }
        inside' README.md
}

cp eplb.h "$TMP/"
block c 1 >"$TMP/quick_start.c"
block text 1 >"$TMP/expected"
check 'the README has a quick start' test -s "$TMP/quick_start.c"
check 'and says what it prints' test -s "$TMP/expected"
check 'the quick start compiles' $CC $strict -o "$TMP/quick_start" "$TMP/quick_start.c"
$RUN_ENV "$TMP/quick_start" >"$TMP/printed"
check 'it prints what the README says' diff "$TMP/expected" "$TMP/printed"

{
    echo '#include <stdlib.h>'
    echo '#define EPLB_IMPLEMENTATION'
    echo '#include "eplb.h"'
    echo 'int collect(eplb_problem problem, eplb_plan plan_in_force, eplb_plan plan, const int32_t *slot_count,'
    echo '            int32_t *expert_count, void *scratch) {'
    echo 'eplb_options options; const float *weight; size_t bytes;'
    block c 2
    echo 'return 0; }'
} >"$TMP/window.c"
check 'the lines about windows compile' $CC -std=c99 -Wall -Wextra -Werror -c -o "$TMP/window.o" "$TMP/window.c"

{
    echo '#define EPLB_IMPLEMENTATION'
    echo '#include "eplb.h"'
    echo 'void share(eplb_problem problem, const int32_t *phy2log, const int32_t *count, const int32_t *source_count,'
    echo '           int32_t *slot_count, int32_t *quota, void *scratch) {'
    echo 'size_t bytes;'
    block c 3
    echo '}'
} >"$TMP/shares.c"
check 'the lines about exact shares compile' \
    $CC -std=c99 -Wall -Wextra -Werror -c -o "$TMP/shares.o" "$TMP/shares.c"

{
    echo '#define EPLB_IMPLEMENTATION'
    echo '#include "eplb.h"'
    echo 'void follow(eplb_problem problem, eplb_options options, const int32_t *plan_in_force, const float *load,'
    echo '            eplb_plan plan, void *scratch, size_t scratch_bytes) {'
    block c 4
    echo '}'
} >"$TMP/follow.c"
check 'the lines about following the load compile' \
    $CC -std=c99 -Wall -Wextra -Werror -c -o "$TMP/follow.o" "$TMP/follow.c"

{
    echo '#define EPLB_IMPLEMENTATION'
    echo '#include "eplb.h"'
    echo 'void move(eplb_problem problem, eplb_options options, const int32_t *plan_in_force, const int32_t *phy2log,'
    echo '          eplb_transfer *transfer, const uint8_t *gpu_lost, eplb_lost_expert *lost,'
    echo '          size_t room, const float *load, eplb_switch_options how, eplb_switch *layers, void *scratch) {'
    echo 'size_t bytes, num; eplb_plan_fault fault;'
    block c 5
    echo '}'
} >"$TMP/moves.c"
check 'the lines about transfers compile' $CC -std=c99 -Wall -Wextra -Werror -c -o "$TMP/moves.o" "$TMP/moves.c"

{
    echo '#include "eplb_cuda.h"'
    echo 'void plan(eplb_problem problem, const float *d_weight, eplb_plan plan, cudaStream_t stream) {'
    echo 'eplb_options options; void *scratch; size_t bytes;'
    block c 6
    echo '}'
} >"$TMP/gpu.c"
check 'the lines about the GPU compile' \
    $CC -std=c99 -Wall -Wextra -Werror -I. -Itests/emulated -c -o "$TMP/gpu.o" "$TMP/gpu.c"

{
    echo '#define EPLB_IMPLEMENTATION'
    echo '#include "eplb.h"'
    echo 'static const float load[2 * 12] = {1, 2, 3};'
    echo 'int main(void) {'
    sed -n '/^   QUICK START/,/^   MACROS/p' eplb.h | sed '1d;$d'
    echo 'return r; }'
} >"$TMP/header.c"
check "the header's quick start compiles" $CC $strict -o "$TMP/header" "$TMP/header.c"
check 'and succeeds' $RUN_ENV "$TMP/header"
report test_readme
