# oracle.sh - the tests of random problems, with as many as it takes to be sure: what is fast equals what is simple in each
# build of eplb.h, as the Makefile has them. make test has fewer problems. The hashes of the same builds are
# plan-levels-gcc's.
ORACLE_PROBLEMS=8000
CUDA_PROBLEMS=800

oracle() {
    of_make_test test_oracle test_search test_properties test_improve test_samples test_evaluate test_follow \
        test_check_plan test_transfers test_share test_small test_cluster test_bound_cluster
    "$BUILD/tests/test_oracle" 1 $ORACLE_PROBLEMS
    "$BUILD/tests/test_search" 1 2000
    "$BUILD/tests/test_properties" 1 4000
    "$BUILD/tests/test_improve" 1 6000
    "$BUILD/tests/test_samples" 1 3000
    "$BUILD/tests/test_evaluate" 2 12000
    "$BUILD/tests/test_follow" 1 2500
    "$BUILD/tests/test_check_plan" 1 250000
    "$BUILD/tests/test_transfers" 1 8000
    "$BUILD/tests/test_share" 2000
    "$BUILD/tests/test_small" 1 3000
    "$BUILD/tests/test_cluster" 1 2400
    "$BUILD/tests/test_bound_cluster" 1 6000
}
gate oracle 'cc flock' oracle

# The same as machines without vector instructions have it.
oracle_plain() {
    make -s "BUILD=$WORK" CC=gcc CFLAGS=-O2 "$WORK/tests/plain_oracle"
    "$WORK/tests/plain_oracle" 1 $ORACLE_PROBLEMS
}
gate oracle-plain gcc oracle_plain

# The emulated kernels.
oracle_cuda() { # folder of the programs, problems
    "$1/test_cuda" tests/golden/plans.txt "$2"
    "$1/test_cuda_share" "$2"
    "$1/test_cuda_alone" $(($2 / 2)) # a warp for each layer is slow to emulate
}
oracle_cuda_as_built() {
    of_make_test test_cuda test_cuda_share test_cuda_alone
    oracle_cuda "$BUILD/tests" $CUDA_PROBLEMS
}
gate oracle-cuda 'cc c++ flock' oracle_cuda_as_built
