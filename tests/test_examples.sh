# test_examples.sh - the small examples run, and print what they should.
. tests/check/check.sh
. tests/support/unoptimised.sh

prints() { # program, the line that it must print
    $RUN_ENV "$1" | grep -F -x -- "$2"
}

minimal_plan='layer 0: |  5  6 |  5  7 |  8  4 |  3  4 | 10  9 | 10  2 |  0  1 | 11  1 |  balancedness 0.828, largest GPU load 156.0, at least 146.7'
check 'minimal prints the plan of the two-layer example' prints "$BUILD/minimal" "$minimal_plan"
check 'minimal uses no allocation' sh -c "! nm '$BUILD/minimal' | grep -E ' U (malloc|calloc|realloc)'"
check 'threads give the plan of one call' prints "$BUILD/threads" 'the plan is the same as from one call'
check 'cplusplus reports each preset' prints "$BUILD/cplusplus" 'deepseek: largest GPU load 232, expert 0 has 5 replicas'
check 'cplusplus turns an error into an exception' prints "$BUILD/cplusplus" '15 replicas on 8 GPUs: EPLB_ERR_DIVIDE'
check 'route gives every slot its share' prints "$BUILD/route" 'every slot got its share'
check 'route makes all GPUs even' prints "$BUILD/route" 'GPU 2: 600 tokens; with equal shares it would have 781'
check 'elastic loses an expert when a node dies' sh -c "$RUN_ENV '$BUILD/elastic' | grep -E '^ +16 +node 3 dies +0[.][0-9]+ +[0-9.]+ +[1-9]'"
check 'elastic serves all tokens on GPUs that are there' prints "$BUILD/elastic" \
    '7655538 tokens served, 0 by GPUs that are not there'
check 'elastic is under 120 lines' test "$(wc -l <examples/elastic.c)" -lt 120
check 'embedded prints the plan of the two-layer example' prints "$BUILD/embedded" \
    'layer 0: | 5 6 | 5 7 | 8 4 | 3 4 | 10 9 | 10 2 | 0 1 | 11 1 | balancedness 0.827'
for source in examples/minimal.c examples/threads.c examples/route.c examples/cplusplus.cpp; do
    check "$source is under 80 lines" test "$(wc -l <"$source")" -lt 80
done

# Every mode of the benchmark, on small shapes, and its table.
bench_table() { # fields in each line of the table, arguments: runs, and all lines have them
    fields=$1
    shift
    $RUN_ENV "$BUILD/bench/bench" --quick --csv "$TMP/bench.csv" "$@" >"$TMP/bench.out" &&
        awk -F, -v fields="$fields" 'NF != fields || /nan/ { bad = 1 } END { exit bad || NR < 2 }' "$TMP/bench.csv"
}
has_column() { # column, values: each of them is in that column of the table
    column=$1
    shift
    for value in "$@"; do
        cut -d, -f"$column" "$TMP/bench.csv" | grep -q -x -- "$value" || return 1
    done
}
refuses() { # arguments, which it does not take
    $RUN_ENV "$BUILD/bench/bench" "$@" 2>&1 | grep '^usage: '
}
same_plans() { # the header beside itself: every line of the table says so, and nothing is left behind
    unoptimised "$TMP/cc" && mkdir "$TMP/compiled" "$TMP/objects" &&
        CC="sh tests/support/compile_once.sh $TMP/objects $TMP/cc" TMPDIR="$TMP/compiled" bench_table 19 --shape 64x72x8_g --against eplb.h &&
        rmdir "$TMP/compiled" &&
        test "$(grep -c ' the same$' "$TMP/bench.out")" -eq "$(($(wc -l <"$TMP/bench.csv") - 1))"
}
no_sides() { # header, why the benchmark cannot use it
    mkdir "$TMP/compiled" &&
        TMPDIR="$TMP/compiled" $RUN_ENV "$BUILD/bench/bench" --against "$1" 2>&1 | grep "^bench: $1: $2" &&
        rmdir "$TMP/compiled"
}
no_torch() {
    PYTHON="$TMP/no-python" bench_table 17 --torch --shape 64x72x8_h &&
        grep '^torch *skipped: ' "$TMP/bench.out"
}

check 'the benchmark runs' bench_table 17
check 'it times every preset and the baseline' has_column 10 default deepseek best baseline
check 'the benchmark times the stages' bench_table 14 --stages
check 'it has a row for each stage' has_column 9 'check loads' weigh 'groups to nodes' replicate 'share loads' \
    sort perturb pack refine select rank 'place slots' 'store plan'
check 'the stages are set beside the whole' has_column 9 eplb_rebalance_layers
check 'the benchmark times exact shares' bench_table 15 --shares
check 'both ways, and the baseline' has_column 9 least_max fair baseline
check 'the benchmark times what a rebalance takes' bench_table 16 --transfers
check 'each part, and all together' has_column 9 plan follow transfers_duplex transfers_one_peer all_duplex all_one_peer
check 'the benchmark fits how time grows' bench_table 13 --fits --limit 60 # else what is slow is left out, and a line is not fitted
check 'it does so along four sizes' has_column 1 E R/E G L
check 'the benchmark sets the header beside itself' same_plans
echo 'not C' >"$TMP/broken.h"
check 'it says that a header is not there' no_sides "$TMP/missing.h" 'cannot be read'
check 'it says that a header does not compile' no_sides "$TMP/broken.h" '.* does not make a library of it: .*error'
check 'the benchmark says that it leaves torch out' no_torch
migration_table() { # fields, mode, arguments: as bench_table, of the benchmark of migration
    fields=$1
    shift
    $RUN_ENV "$BUILD/bench/migration" "$@" --quick --csv "$TMP/bench.csv" >"$TMP/bench.out" &&
        awk -F, -v fields="$fields" '{ gsub(/"[^"]*"/, "") } NF != fields || /nan/ { bad = 1 } END { exit bad || NR < 2 }' "$TMP/bench.csv"
}
migration_curve() { # of a trace too, with a picture
    ! $RUN_ENV "$BUILD/bench/migration" curve --trace "$TMP/missing.csv" 2>"$TMP/bench.out" &&
        grep -q 'missing.csv: cannot be read' "$TMP/bench.out" &&
        migration_table 9 curve --svg "$TMP/curve.svg" && grep -q '</svg>' "$TMP/curve.svg"
}
check 'the benchmark of migration draws its curve' migration_curve
check 'it has the points and curves' has_column 2 stays fresh relabelled price moves 'moves of a GPU'
check 'it scores a whole service' migration_table 12 service
check 'it tells what rows cost' migration_table 8 rows
check 'and what helps' has_column 6 equal 'by row' 'GPUs in order' 'two replicas'
check 'the benchmark knows no samples but for presets' refuses --quick --fits --samples 2
report test_examples
