# oracle.sh - the tests that take longest, with as many random problems as it takes to be sure: what is fast
# equals what is simple in each build of eplb.h, as the Makefile has them. make test has fewer problems. The hashes
# of the same builds are plan-levels-gcc's.
ORACLE_PROBLEMS=8000
CUDA_PROBLEMS=800

oracle() { # build (test or plain), CFLAGS
    make -s "BUILD=$WORK" CC=gcc "CFLAGS=$2" "$WORK/tests/$1_oracle"
    "$WORK/tests/$1_oracle" 1 $ORACLE_PROBLEMS
}
gate oracle       gcc oracle test -O2
gate oracle-plain gcc oracle plain -O2

# The emulated kernels.
oracle_cuda() { # CXXFLAGS
    make -s "BUILD=$WORK" CXX=g++ "CXXFLAGS=$1" "$WORK/tests/test_cuda" "$WORK/tests/test_cuda_share" \
        "$WORK/tests/test_cuda_alone"
    "$WORK/tests/test_cuda" tests/golden/plans.txt $CUDA_PROBLEMS
    "$WORK/tests/test_cuda_share" $CUDA_PROBLEMS
    "$WORK/tests/test_cuda_alone" $CUDA_PROBLEMS
}
gate oracle-cuda g++ oracle_cuda -O2
