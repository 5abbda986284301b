# sanitize.sh - the tests under the sanitizers, which end a program at the first thing that they find.

ADDRESS='-O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all'

# With gcc every program of make test, scripts that run them too, and the emulated kernels; with clang, which sees other
# things, the programs that reach all of eplb.h. Tests run for a moment, so only those are optimised that try all plans
# of a layer.
TRYING_TESTS='test_bound test_exact test_golden test_share'
build_sanitized() { # compiler and options
    build_programs "$SOME_TESTS $FUZZ_TARGETS" "$@" -O0
    build_programs "$TRYING_TESTS" "$@"
}

sanitize_gcc() {
    SOME_PROBLEMS=300
    build_sanitized gcc -std=c99 $ADDRESS
    run_programs "$SOME_TESTS $FUZZ_TARGETS" gcc -std=c99 $ADDRESS
    run_programs "$VECTOR_TESTS" gcc -std=c99 $ADDRESS -DEPLB_NO_SIMD
}
gate sanitize-gcc gcc sanitize_gcc

# Those that run what is built here: others build with flags of their own, or read.
SANITIZED_SCRIPTS='tests/test_cli*.sh tests/test_examples.sh tests/test_ranks.sh tests/test_python.sh'
sanitize_programs() {
    unoptimised="-O0 ${ADDRESS#-O1}" # many programs that run for a moment: they take longer to compile than to run
    make -s "BUILD=$WORK" CC=gcc CXX=g++ "CFLAGS=$unoptimised" "CXXFLAGS=$unoptimised" "SCRIPTS=$SANITIZED_SCRIPTS" \
        test-programs
}
gate sanitize-programs 'gcc g++' sanitize_programs

sanitize_cuda() {
    CUDA_PROBLEMS=200
    oracle_cuda "$ADDRESS"
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
    build_programs "$SOME_TESTS $FUZZ_TARGETS" "$@"
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
