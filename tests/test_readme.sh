# test_readme.sh - the C of the pages and of the header's quick start compiles verbatim, that of the README in a folder
# that holds eplb.h and nothing else; the README's program prints what the README says it prints; links lead somewhere.
. tests/check/check.sh
CC=${CC:-cc}
pages='README.md examples/README.md examples/python/README.md tests/README.md tests/bench/README.md'
strict='-std=c99 -Wall -Wextra -Wpedantic -Werror'
compiled=0

# The lines of the n-th fenced block of a language under a heading of a page.
block() { # page, heading, language, n
    awk -v heading="## $2" -v fence="\`\`\`$3" -v want="${4:-1}" '
        /^## /      { under = $0 == heading }
        $0 == fence { inside = under && ++seen == want; next }
        /^```/      { inside = 0 }
        inside' "$1"
}

cp eplb.h "$TMP/"
block README.md 'Quick start' c >"$TMP/quick_start.c"
block README.md 'Quick start' text >"$TMP/expected"
check 'the README has a quick start' test -s "$TMP/quick_start.c"
check 'and says what it prints' test -s "$TMP/expected"
check 'the quick start compiles' $CC $strict -o "$TMP/quick_start" "$TMP/quick_start.c"
$RUN_ENV "$TMP/quick_start" >"$TMP/printed"
check 'it prints what the README says' diff "$TMP/expected" "$TMP/printed"
compiled=$((compiled + 1))

# The n-th C under a heading of examples/README.md, as the body of a function: declarations are all that it needs.
compiles() { # heading, n, header, what the function is given
    {
        echo '#include <stdlib.h>'
        echo "#include \"$3\""
        echo "void lines($4);"
        echo "void lines($4) {"
        echo 'size_t bytes; (void)bytes;'
        block examples/README.md "$1" c "$2" >"$TMP/block"
        cat "$TMP/block"
        echo '}'
    } >"$TMP/lines.c"
    check "lines $2 of '$1' are there" test -s "$TMP/block"
    check "lines $2 of '$1' compile" \
        $CC -std=c99 -Wall -Wextra -Werror -I. -Itests/emulated -c -o "$TMP/lines.o" "$TMP/lines.c"
    compiled=$((compiled + 1))
}
planning='eplb_problem problem, eplb_options options, eplb_plan plan, void *scratch'
compiles 'Collecting samples' 1 eplb.h "$planning, const float *weight, eplb_plan plan_in_force, const int32_t *slot_count, int32_t *expert_count"
compiles 'Exact shares' 1 eplb.h 'eplb_problem problem, const int32_t *phy2log, const int32_t *count,
    const int32_t *source_count, int32_t *slot_count, int32_t *quota, void *scratch'
compiles 'Following the load' 1 eplb.h "$planning, const int32_t *plan_in_force, const float *load, size_t scratch_bytes"
compiles 'Transfers' 1 eplb.h 'eplb_problem problem, eplb_options options, const int32_t *plan_in_force, const int32_t *phy2log,
    eplb_transfer *transfer, const uint8_t *gpu_lost, eplb_lost_expert *lost, size_t room, size_t num, const float *load,
    eplb_switch_options how, eplb_switch *layers, eplb_plan_fault fault, void *scratch'
compiles 'On the GPU' 1 eplb_cuda.h "$planning, const float *d_weight, cudaStream_t stream"
compiles 'On the GPU' 2 eplb_cuda.h 'eplb_problem problem, const int32_t *d_phy2log, const int32_t *d_count,
    const int32_t *d_source_count, int32_t *d_slot_count, int32_t *d_most, int32_t *d_quota, int32_t *d_status, void *scratch,
    cudaStream_t stream'
block examples/README.md 'Building with it' c >"$TMP/plan.c"
check 'the C that Rust calls compiles' $CC $strict -c -o "$TMP/plan.o" "$TMP/plan.c"
compiled=$((compiled + 1))
check 'no page has other C' test "$(cat $pages | grep -c '^```c$')" -eq "$compiled"

{
    echo '#include "eplb.h"'
    echo 'static const float load[2 * 12] = {1, 2, 3};'
    echo 'int main(void) {'
    sed -n '/^   QUICK START/,/^   MACROS/p' eplb.h | sed '1d;$d'
    echo 'return r; }'
} >"$TMP/header.c"
check "the header's quick start compiles, beside the C that Rust calls" $CC $strict -o "$TMP/header" "$TMP/header.c" "$TMP/plan.o"
check 'and succeeds' $RUN_ENV "$TMP/header"

# ---------------------------------------------------------------- links

anchors() { # page: as headings are linked to, in lower case, without punctuation, hyphens for spaces
    sed -n 's/^##* //p' "$1" | tr 'A-Z ' 'a-z-' | sed 's/[^-a-z0-9_]//g'
}
leads_somewhere() { # page, link
    file=${2%%#*}
    case $2 in *#*) anchor=${2#*#} ;; *) anchor= ;; esac
    [ -z "$file" ] && file=$1 || file=$(dirname "$1")/$file
    [ -e "$file" ] && { [ -z "$anchor" ] || anchors "$file" | grep -q -x -- "$anchor"; }
}
for page in $pages; do
    tr '\n' ' ' <"$page" | grep -o '\]([^) ]*)\|src="[^"]*"' | sed 's/^](//; s/^src="//; s/[)"]$//' >"$TMP/links"
    while read -r link; do
        case $link in http*) continue ;; esac
        check "$page: $link leads somewhere" leads_somewhere "$page" "$link"
    done <"$TMP/links"
done
report test_readme
