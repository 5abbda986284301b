# test_cli_cluster.sh - clusters whose GPUs are not alike, from the command line: what is planned, and what is refused.
. tests/check/check.sh

LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}

refuses() { # the one line on standard error, arguments
    line=$1
    shift
    eplb "$@" >"$TMP/out" 2>"$TMP/err"
    test $? -eq 2 && printf '%s\n' "$line" | cmp - "$TMP/err"
}

slots_of_gpu() { # GPU, slots of each: those of all layers in plan.json hold nothing
    sed -n 's/.*"phy2log":\[\([^]]*\)\].*/\1/p' "$TMP/plan.json" |
        awk -F, -v gpu="$1" -v each="$2" '{ for (i = gpu * each + 1; i <= (gpu + 1) * each; i++) if ($i != -1) bad = 1 }
            END { exit bad || NR == 0 }'
}

"$BUILD/gen_loads" --layers 3 --experts 32 --seed 7 >"$TMP/loads.csv" 2>/dev/null ||
    awk 'BEGIN { srand(7); for (l = 0; l < 3; l++) { for (e = 0; e < 32; e++) printf "%s%d", e ? "," : "", 1 + 1000 * rand() ^ 3; print "" } }' >"$TMP/loads.csv"
set -- "$TMP/loads.csv" --replicas 48 --gpus 8 --quiet

check 'a plan around a dead GPU' eplb plan "$@" --dead 5 --json "$TMP/plan.json"
check 'leaves its slots empty' slots_of_gpu 5 6
check 'and says so in the plan' grep -q '"gpu_slots":\[6,6,6,6,6,0,6,6\]' "$TMP/plan.json"
check 'ranges' eplb plan "$@" --dead 6-7
check 'fewer slots, unequal speeds and nodes' eplb plan "$@" --gpu-slots 6,6,5,6,0,6,6,6 --gpu-speed 1,1,1,1,0.8,0.8,0.8,0.8 \
    --nodes 3 --gpu-node 0,0,0,1,1,2,2,2 --groups 8 --policy hierarchical
printf '6 6 6\n6, 6, 6\n6 0\n' >"$TMP/slots"
check 'a list from a file' eplb plan "$@" --gpu-slots "@$TMP/slots"
check 'survival' eplb plan "$@" --survive gpu --json "$TMP/plan.json"
check 'which the check agrees with' eplb check "$TMP/plan.json" --gpus 8 --survive gpu
check 'a plan from the one in force' eplb plan "$@" --previous "$TMP/plan.json" --dead 5 --max-moves 4 --json "$TMP/next.json"
check 'its transfers' eplb transfers "$TMP/plan.json" "$TMP/next.json" --gpus 8 --dead 5 --quiet
check 'its score' eplb score "$TMP/loads.csv" --map "$TMP/next.json" --gpus 8 --dead 5 --quiet

# Nodes with slots for six whole groups of eight: how many groups of four experts, on GPUs of six slots and nodes of
# two GPUs, are on several nodes, from the plan itself, and in how many layers.
split_groups() {
    sed -n 's/.*"phy2log":\[\([^]]*\)\].*/\1/p' "$TMP/plan.json" | awk -F, '{
        split("", home); split("", apart)
        for (i = 1; i <= NF; i++) if ($i >= 0) {
            k = int($i / 4); n = int((i - 1) / 12)
            if (k in home && home[k] != n) apart[k] = 1
            home[k] = n
        }
        for (k in apart) split_here[NR]++
        for (k in apart) all++
    } END { for (l in split_here) layers++; printf "%d groups with experts on several nodes, in %d layers\n", all, layers }'
}

says_split_groups() {
    split_groups >"$TMP/want"
    tail -n 1 "$TMP/out" | cmp - "$TMP/want" &&
        test "$(grep -o '"split_groups":[0-9]*' "$TMP/plan.json" | awk -F: '{ n += $2 } END { print n }')" = "$(cut -d ' ' -f 1 "$TMP/want")"
}

odd() {
    eplb "$@" --gpus 8 --nodes 4 --groups 8 --gpu-slots 6,5,3,0,6,5,6,5 >"$TMP/out"
}

check 'nodes without slots for all groups' odd plan "$TMP/loads.csv" --replicas 48 --json "$TMP/plan.json"
check 'where some are split, and the plan says how many' says_split_groups
check 'of which there are some' grep -q '^[3-9] groups with experts on several nodes, in 3 layers$' "$TMP/out"
check 'in total, too' odd plan "$TMP/loads.csv" --replicas 48 --quiet
check 'as many' says_split_groups
check 'and in a score' odd score "$TMP/loads.csv" --map "$TMP/plan.json"
check 'as many again' says_split_groups

# Once all GPUs are back: nodes had slots for seven whole groups.
back() {
    eplb "$@" --gpus 8 --nodes 4 --groups 8 >"$TMP/out"
}
check 'a plan for fewer slots' back plan "$TMP/loads.csv" --replicas 48 --gpu-slots 6,5,4,3,6,5,6,5 --json "$TMP/odd.json"
check 'where some are split' grep -q '^3 groups with experts on several nodes, in 3 layers$' "$TMP/out"
check 'few moves from there' back plan "$TMP/loads.csv" --replicas 48 --previous "$TMP/odd.json" --max-moves 1 \
    --json "$TMP/plan.json"
check 'leave some split' says_split_groups
check 'which the check excuses' back check "$TMP/plan.json" --previous "$TMP/odd.json" --max-moves 1
back check "$TMP/plan.json"
check 'and only with the plan in force' grep -q '(group)$' "$TMP/out"
check 'without limits none is' test -z "$(eplb plan "$@" --nodes 4 --groups 8 --previous "$TMP/odd.json" | grep several)"
check 'whole groups' eplb plan "$@" --nodes 4 --groups 8 --json "$TMP/plan.json"
check 'are not told of' test -z "$(eplb plan "$@" --nodes 4 --groups 8 | grep several; grep split_groups "$TMP/plan.json")"

check 'too few slots' refuses \
    'eplb: 30 slots may be used, fewer than the 32 experts of a layer; 7 on each of 5 GPUs would do, which is --replicas 56' \
    plan "$@" --dead 0-2
check 'none at all' refuses 'eplb: none of the 8 GPUs has a slot that may be used' plan "$@" --dead 0-7
check 'too many slots' refuses 'eplb: --gpu-slots: GPU 1 has 7, but 48 replicas on 8 GPUs are 6 on each' \
    plan "$@" --gpu-slots 6,7,6,6,6,6,6,6
check 'too short a list' refuses 'eplb: --gpu-speed: 2 numbers for 8 GPUs; it needs one for each' plan "$@" --gpu-speed 1,2
check 'a speed that is none' refuses "eplb: --gpu-speed: GPU 1 needs a number above 0, such as 0.8, not '0'" \
    plan "$@" --gpu-speed 1,0,1,1,1,1,1,1
check 'a speed in words' refuses "eplb: --gpu-speed: GPU 0 needs a number above 0, such as 0.8, not 'fast'" plan "$@" --gpu-speed fast
check 'a node that there is not' refuses "eplb: --gpu-node: GPU 7 needs a whole number from 0 to 1, not '2'" \
    plan "$@" --nodes 2 --gpu-node 0,0,0,0,1,1,1,2
check 'nodes out of order' refuses 'eplb: --gpu-node: GPU 1 is on node 0, but GPU 0 on node 1; nodes have GPUs in order' \
    plan "$@" --nodes 2 --gpu-node 1,0,0,0,1,1,1,1
check 'a dead GPU that there is not' refuses "eplb: --dead needs numbers of GPUs below 8, such as 3 or 0,4-7, not '8'" \
    plan "$@" --dead 8
report test_cli_cluster
