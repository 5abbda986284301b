# test_ranks.sh - examples/mpi_rebalance.c with 1, 2 and 4 processes, where there is MPI, and no emulator.
. tests/check/check.sh
. tests/support/mpi.sh
export ASAN_OPTIONS=detect_leaks=0 # MPI's own

check 'mpi_rebalance.c is under 200 lines' test "$(wc -l <examples/mpi_rebalance.c)" -lt 200

hashes() { # number of ranks
    sed -n "s/.* is\\(.*\\) on $1 of $1 ranks\$/\\1/p; s/.* are\\(.*\\) on $1 of $1 ranks\$/\\1/p" "$TMP/ranks.$1"
}
verified() { # number of ranks, shape: two hashes on all of them
    ranks "$1" "$BUILD/mpi_rebalance" --verify ${2:-} >"$TMP/ranks.$1" && test "$(hashes "$1" | wc -w)" -eq 2
}
same_for_all() { # other numbers of ranks than one: their hashes are those of one
    for number in "$@"; do
        test "$(hashes "$number")" = "$(hashes 1)" || return 1
    done
}
shares_gain() { # exact shares are more even than equal ones
    awk '/^a step later: balancedness/ { found = $5 <= 1 && $9 <= 1 && $9 > $5 } END { exit !found }' "$TMP/ranks.2"
}
refuses() { # what it says, number of ranks, arguments
    says=$1
    number=$2
    shift 2
    ! ranks "$number" "$BUILD/mpi_rebalance" "$@" >"$TMP/refused" 2>&1 && grep "$says" "$TMP/refused"
}

if [ -n "$RUN_ENV" ]; then
    echo 'mpi_rebalance: skipped, programs run under an emulator'
elif [ "$HAVE_MPI" != 1 ]; then
    echo 'mpi_rebalance: skipped, there is no mpicc that makes programs'
elif ! command -v $MPIRUN >/dev/null; then
    echo "mpi_rebalance: skipped, no $MPIRUN"
else
    for number in 1 2 4; do
        check "the plan of $number ranks is that of one alone, and their quotas are the same" verified $number
    done
    check 'the plan and the quotas are the same for any number of ranks' same_for_all 2 4
    check 'exact shares are more even than equal ones' shares_gain
    check 'ranks may be without a layer, and without a GPU' verified 4 '3 16 18 3 1 1'
    check 'a shape that is none ends all ranks' refuses 'rank [01]: EPLB_ERR_DIVIDE' 2 4 16 18 4 1 1
    check 'arguments that are none do too' refuses 'rank 0: takes ' 1 4 16
fi
report test_ranks
