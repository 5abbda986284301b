# coverage.sh - how much of eplb.h the tests reach: the lines and the branches that gcc emits for it at -O0,
# with vector instructions and without EPLB_ASSERT, and of these the ones that any C program of make test
# reaches on fewer problems, which reach no less, the replayed corpora of the fuzzers included. The program and the
# scripts do not count. Nor does what the tests are made of, which is compiled to be fast where it can be.
FAST='gcc -std=c99 -O1'

# What only the lanes of a warp call, which test_cuda_alone reaches on the emulation: it does not count either.
LANES='eplb_p_team_any eplb_p_team_each eplb_p_take_difference_by_lanes eplb_p_find_near_swaps eplb_p_try_swaps_by_team
    eplb_p_try_swaps_in_order eplb_p_settle_by_parts eplb_p_end_of_reach eplb_p_work_out_few eplb_p_value_gpus_by_team
    eplb_p_arrange_few'

count_reached() { # folder of a copy of the library, its name there: eplb.h.gcov
    (cd "$WORK/$1" && gcov -b -c -s "$top" -r "$2.gcda" >gcov.log)
}

# The test that counts the library's steps has a library of its own; all others share one.
count_bounded() {
    mkdir "$WORK/bounded"
    gcc -std=c99 -O0 --coverage "-I$PWD" "-I$PWD/tests/support" -dumpdir "$WORK/bounded/" -o "$WORK/bounded/test_bounded" \
        "$PWD/tests/test_bounded.c" -lm
    "$WORK/bounded/test_bounded"
    count_reached bounded test_bounded
}

coverage() {
    top=$PWD
    LIBRARIES='-lm -lgcov'
    programs="$(basename -s .c tests/test_*.c | grep -vx test_bounded) $FUZZ_TARGETS"
    build_programs "$programs" $FAST
    SOME_PROBLEMS=800
    run_programs "$programs" gcc -std=c99 -O0 --coverage
    mkdir "$WORK/library"
    mv "$WORK"/inside.gc* "$WORK/library"
    count_reached library inside
    count_bounded
    awk -v line=98 -v branch=95 -v left_out="$LANES" -f tests/check/coverage.awk "$WORK"/*/eplb.h.gcov
}
gate coverage 'gcc gcov' coverage
