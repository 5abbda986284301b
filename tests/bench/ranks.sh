# ranks.sh PROGRAM NUMBER.. - how long mpi_rebalance plans 94 layers of 512 experts on 640 slots of 128 GPUs, by the
# number of its processes, for one sample and for eight: medians of ROUNDS runs, those of all numbers interleaved.
. tests/support/mpi.sh
program=$1
shift
: "${ROUNDS:=9}"
times=$(mktemp)
trap 'rm -f "$times"' EXIT

for samples in 1 8; do
    for round in $(seq "$ROUNDS"); do
        for number in "$@"; do
            ranks "$number" "$program" 94 512 640 128 8 "$samples" |
                sed -n "s/.* experts: \\([0-9.]*\\) ms .* after \\([0-9.]*\\) ms\$/$samples $number \\1 \\2/p" >>"$times"
        done
    done
done

median() { # samples, number, column
    awk -v s="$1" -v n="$2" -v c="$3" '$1 == s && $2 == n { print $c }' "$times" | sort -n | sed -n "$(((ROUNDS + 1) / 2))p"
}
echo "94 layers of 512 experts on 640 slots of 128 GPUs, $ROUNDS runs, $(nproc) cores"
echo 'samples  ranks  ms of a core, busiest rank  ms until all have the plan'
for samples in 1 8; do
    for number in "$@"; do
        printf '%7d  %5d  %26s  %26s\n' "$samples" "$number" "$(median $samples "$number" 3)" "$(median $samples "$number" 4)"
    done
done
