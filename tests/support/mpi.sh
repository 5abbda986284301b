# mpi.sh - ranks NUMBER PROGRAM [ARGUMENT..] runs as many processes on this machine, be they more than its cores, and
# as whoever it is; to be sourced. What waits for longer than a minute hangs.
: "${MPIRUN:=mpirun}"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe # before Open MPI 5, and from it on
export OMPI_MCA_mpi_yield_when_idle=1                    # whoever waits leaves its core to others
export OMPI_MCA_btl_vader_single_copy_mechanism=none     # which containers often forbid

ranks() { # number, program, arguments
    number=$1
    shift
    timeout 60 $MPIRUN -np "$number" "$@" </dev/null
}
