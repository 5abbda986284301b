# coverage.sh - how much of eplb.h the tests reach: the lines and the branches that gcc emits for it at -O0,
# with vector instructions and without EPLB_ASSERT, and of these the ones that any C program of make test
# reaches, test_oracle on more problems and the replayed corpora of the fuzzers included. The program and the
# scripts do not count. Nor does what the tests are made of, which is compiled to be fast where it can be.
FAST='gcc -std=c99 -O1'

count_reached() { # folder of a copy of the library, its name there: eplb.h.gcov
    (cd "$WORK/$1" && gcov -b -c -s "$top" -r "$2.gcda" >gcov.log)
}

reach() { # test program
    arguments=''
    case $1 in
    test_oracle) arguments='1 4000' ;;
    test_improve | test_properties) arguments='1 2000' ;;
    test_small) arguments='1 500' ;;
    esac
    if is_insider "$1"; then
        mkdir "$WORK/$1"
        gcc -std=c99 -O0 --coverage "-I$top" "-I$top/tests/support" -dumpdir "$WORK/$1/" -o "$WORK/$1/$1" "$top/tests/$1.c" -lm
        "$WORK/$1/$1" $arguments
        count_reached "$1" "$1"
    else
        link_test "$1" $FAST
        "$WORK/$1" $arguments
    fi
}

coverage() {
    top=$PWD
    LIBRARIES='-lm -lgcov'
    build_library gcc -std=c99 -O0 --coverage
    for source in tests/test_*.c; do
        reach "$(basename "$source" .c)"
    done
    build_fuzz_objects $FAST
    for target in api oracle share transfers follow; do
        link_fuzz $target $FAST
        "$WORK/fuzz_$target"
    done
    mkdir "$WORK/library"
    mv "$WORK"/eplb.gc* "$WORK/library"
    count_reached library eplb
    awk -v line=98 -v branch=95 -f tests/check/coverage.awk "$WORK"/*/eplb.h.gcov
}
gate coverage 'gcc gcov' coverage
