# test_examples.sh - the small examples run, and print what they should.
. tests/check.sh

prints() { # program, the line that it must print
    $RUN_ENV "$1" | grep -F -x -- "$2"
}

minimal_plan='layer 0: |  5  6 |  5  7 |  8  4 |  3  4 | 10  9 | 10  2 |  0  1 | 11  1 |  balancedness 0.828, largest GPU load 156.0, at least 146.7'
check 'minimal prints the plan of the two-layer example' prints "$BUILD/minimal" "$minimal_plan"
check 'minimal uses no allocation' sh -c "! nm '$BUILD/minimal' | grep -E ' U (malloc|calloc|realloc)'"
check 'threads give the plan of one call' prints "$BUILD/threads" 'the plan is the same as from one call'
check 'cplusplus reports each preset' prints "$BUILD/cplusplus" 'deepseek: largest GPU load 232, expert 0 has 5 replicas'
check 'cplusplus turns an error into an exception' prints "$BUILD/cplusplus" '15 replicas on 8 GPUs: EPLB_ERR_DIVIDE'
check 'embedded prints the plan of the two-layer example' prints "$BUILD/embedded" \
    'layer 0: | 5 6 | 5 7 | 8 4 | 3 4 | 10 9 | 10 2 | 0 1 | 11 1 | balancedness 0.827'
for source in examples/minimal.c examples/threads.c examples/cplusplus.cpp; do
    check "$source is under 80 lines" test "$(wc -l <"$source")" -lt 80
done
check 'the benchmark runs' $RUN_ENV "$BUILD/bench/bench" --quick
report test_examples
