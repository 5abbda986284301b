# oracle.sh - the tests that take longest, with as many random problems as it takes to be sure: what is fast
# equals what is simple in each build of eplb.h, as the Makefile has them. make test has fewer problems, and
# test_oracle and test_plan_hash as they are alone.
ORACLE_PROBLEMS=8000
CUDA_PROBLEMS=1500

oracle() { # build (test or plain), CFLAGS
    make -s "BUILD=$WORK" CC=gcc "CFLAGS=$2" "$WORK/tests/$1_oracle" "$WORK/tests/$1_plan_hash"
    "$WORK/tests/$1_oracle" 1 $ORACLE_PROBLEMS
    "$WORK/tests/$1_plan_hash"
}
gate oracle       gcc oracle test -O2
gate oracle-plain gcc oracle plain -O2

# The emulated kernels.
oracle_cuda() { # CXXFLAGS
    make -s "BUILD=$WORK" CXX=g++ "CXXFLAGS=$1" "$WORK/tests/test_cuda" "$WORK/tests/test_cuda_share"
    "$WORK/tests/test_cuda" tests/golden/plans.txt $CUDA_PROBLEMS
    "$WORK/tests/test_cuda_share" $CUDA_PROBLEMS
}
gate oracle-cuda g++ oracle_cuda -O2
