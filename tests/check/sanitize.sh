# sanitize.sh - the tests under the sanitizers, which end a program at the first thing that they find.

ADDRESS='-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all'

# With gcc the programs that reach all of eplb.h, and the emulated kernels; with clang, which sees other things, the same
# programs, and all that the scripts run. Most tests run for a moment: they take longer to compile than to run.
build_sanitized() { # compiler and options
    build_programs "$TRYING_TESTS" "$@"
    build_programs "$OTHER_TESTS $FUZZ_TARGETS" "$@" -O0
}

sanitize_gcc() {
    SOME_PROBLEMS=300
    build_sanitized gcc -std=c99 $ADDRESS
    run_programs "$SOME_TESTS $FUZZ_TARGETS" gcc -std=c99 $ADDRESS
    SOME_PROBLEMS=100 # unoptimised, which is compiled in a third of the time
    run_programs "$VECTOR_TESTS" gcc -std=c99 $ADDRESS -O0 -DEPLB_NO_SIMD
}
gate sanitize-gcc gcc sanitize_gcc

# Those that run what is built here: others build with flags of their own, or read. clang, since it takes half as long to
# compile the library into each of so many programs, and they begin sooner.
SANITIZED_SCRIPTS='tests/test_cli*.sh tests/test_examples.sh tests/test_ranks.sh tests/test_python.sh'
sanitize_programs() {
    unoptimised="-O0 ${ADDRESS#-O1}" # many programs that run for a moment: they take longer to compile than to run
    make -s "BUILD=$WORK" WERROR= CC=clang CXX=clang++ "CFLAGS=$unoptimised" "CXXFLAGS=$unoptimised" "SCRIPTS=$SANITIZED_SCRIPTS" \
        test-programs
}
gate sanitize-programs 'clang clang++' sanitize_programs

sanitize_cuda() {
    make -s "BUILD=$WORK" CC=gcc CXX=g++ CFLAGS=-O2 "CXXFLAGS=$ADDRESS" "$WORK/tests/test_cuda" "$WORK/tests/test_cuda_share" \
        "$WORK/tests/test_cuda_alone"
    oracle_cuda "$WORK/tests" 200
}
gate sanitize-cuda 'gcc g++' sanitize_cuda

# Besides what is undefined, what the language allows but a slip might be: unsigned numbers that wrap, conversions that
# lose something. The list has the places where that is meant.
sanitize_clang() {
    SOME_PROBLEMS=300
    set -- clang -std=c99 $ADDRESS -fsanitize=float-divide-by-zero,local-bounds,nullability \
        -fsanitize=integer,implicit-conversion -fsanitize-ignorelist=tests/check/integer_meant.txt
    build_sanitized "$@"
    run_programs "$SOME_TESTS $FUZZ_TARGETS" "$@"
}
gate sanitize-clang clang sanitize_clang

# Nothing is read that was not written: scratch counts as not written when a call begins.
sanitize_memory() {
    SOME_PROBLEMS=200
    set -- clang -std=c99 -O1 -g1 -fsanitize=memory -fno-sanitize-recover=all
    build_sanitized "$@"
    run_programs "$SOME_TESTS $FUZZ_TARGETS" "$@"
}
gate sanitize-memory clang sanitize_memory

# Layers over threads share nothing that is written.
sanitize_thread() {
    for how in gcc 'clang -DEPLB_NO_SIMD'; do
        $how -std=c99 -O1 -g -fsanitize=thread -I. -pthread -o "$WORK/threads" examples/threads.c
        TSAN_OPTIONS=halt_on_error=1 "$WORK/threads"
    done
}
gate sanitize-thread 'gcc clang' sanitize_thread

# The compiled code as it is, without a compiler's help.
sanitize_valgrind() {
    gcc -std=c99 -O2 -g -I. -o "$WORK/minimal" examples/minimal.c
    names='test_oracle test_properties test_errors test_window'
    build_programs "$names" gcc -std=c99 -O2 -g
    build_inside gcc -std=c99 -O2 -g
    for program in $names; do
        link_program "$program" gcc
    done
    memcheck='valgrind --quiet --error-exitcode=9 --leak-check=full'
    $memcheck "$WORK/minimal"
    $memcheck "$WORK/test_oracle" 1 100
    $memcheck "$WORK/test_properties" 1 5
    $memcheck "$WORK/test_errors"
    $memcheck "$WORK/test_window"
}
gate sanitize-valgrind 'gcc valgrind' sanitize_valgrind
