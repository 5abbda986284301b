# coverage.sh - how much of eplb.h the tests reach: the lines and the branches that gcc emits for it at -O0,
# with vector instructions and without EPLB_ASSERT, and of these the ones that any C program of make test
# reaches, test_oracle on more problems and the replayed corpora of the fuzzers included. The program and the
# scripts do not count.
coverage() {
    top=$PWD
    for source in tests/test_*.c tests/fuzz/fuzz_api.c tests/fuzz/fuzz_oracle.c tests/fuzz/fuzz_share.c tests/fuzz/fuzz_transfers.c; do
        name=$(basename "$source" .c)
        replay=''
        arguments=''
        case $name in
        fuzz_*) replay='tests/fuzz/replay.c tests/fuzz/plain.c' ;;
        test_oracle) arguments="1 4000" ;;
        test_improve | test_properties) arguments='1 2000' ;;
        test_small) arguments='1 500' ;;
        esac
        mkdir "$WORK/$name"
        gcc -std=c99 -O0 --coverage "-I$top" "-I$top/tests/support" -dumpdir "$WORK/$name/" \
            -o "$WORK/$name/$name" "$top/$source" $replay -lm
        "$WORK/$name/$name" $arguments
        (cd "$WORK/$name" && gcov -b -c -s "$top" -r "$name.gcda" >gcov.log)
    done
    awk -v line=98 -v branch=95 -f tests/check/coverage.awk "$WORK"/*/eplb.h.gcov
}
gate coverage 'gcc gcov' coverage
