# test_cli_moves.sh - `eplb transfers` and `eplb check` from outside: what they list, and say, and refuse.
. tests/check/check.sh

LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}

prints() { # exit status, the one line on standard output, arguments
    status=$1 line=$2
    shift 2
    got=$(eplb "$@" 2>&1 </dev/null)
    was=$?
    echo "status $was: $got"
    [ $was -eq "$status" ] && [ "$got" = "$line" ]
}
says() { # what is wrong, arguments
    line=$1
    shift
    check "eplb $* says what is wrong" prints 2 "eplb: $line" "$@"
}
finds() { # the fault, arguments
    line=$1
    shift
    check "eplb check $* finds it" prints 3 "$line" check "$@"
}

cd "$TMP" || exit 2
case $BUILD in /*) ;; *) BUILD=$OLDPWD/$BUILD ;; esac

# ---------------------------------------------------------------- transfers

echo '[0,0,1,1,1]' >old.json
echo '[0,0,0,0,0]' >new.json
cat >want <<'CSV'
layer,round,expert,from_slot,to_slot,from_gpu,to_gpu,kind
0,0,0,0,2,0,2,same_node
0,0,0,1,3,1,3,same_node
0,1,0,0,4,0,4,same_node
CSV
eplb transfers old.json new.json --gpus 5 --sources dealt --rounds one-peer --csv - >got 2>table
check 'transfers as CSV' cmp got want
check 'and their number on standard error' grep -q '^ total  *0  *3  *0  *0  *2  *2  *1$' table
eplb transfers old.json new.json --gpus 5 --sources dealt --rounds one-peer >table
check 'which is standard output without' grep -q '^     0  *0  *3  *0  *0  *2  *2  *1$' table
eplb transfers old.json new.json --gpus 5 --quiet >table
check 'only the total with --quiet' test "$(wc -l <table)" -eq 2

echo '{"format":"eplb-plan","version":1,"problem":{"num_experts":4},"layers":[
{"layer":3,"phy2log":[0,1,2,3]},{"layer":8,"phy2log":[0,1,2,-1]}]}' >old.json
echo '{"format":"eplb-plan","version":1,"problem":{"num_experts":4},"layers":[
{"layer":3,"phy2log":[1,2,3,0]},{"layer":8,"phy2log":[0,1,3,2]}]}' >new.json
cat >want <<'CSV'
layer,round,expert,from_slot,to_slot,from_gpu,to_gpu,kind
3,0,1,1,0,1,0,same_node
3,0,2,2,1,2,1,other_node
3,0,3,3,2,3,2,same_node
3,0,0,0,3,0,3,other_node
8,-1,3,-1,2,-1,2,lost
8,0,2,2,3,2,3,same_node
CSV
eplb transfers old.json new.json --gpus 4 --nodes 2 --csv got --json got.json --quiet >table
check 'layers have the numbers of the files' cmp got want
check 'and in JSON' test "$(sed -n 's/^{"layer":\([0-9]*\),"rounds":1,.*/\1/p' got.json | tr '\n' ' ')" = '3 8 '
check 'where a transfer is an object' \
    grep -qF '"transfers":[{"expert":3,"from_slot":-1,"to_slot":2,"kind":"lost","round":-1},{"expert":2,' got.json
eplb transfers old.json new.json --gpus 4 --max-per-round 1 --csv - 2>table | awk -F, 'NR > 1 && $2 >= 0 { print $1 $2 }' |
    sort | uniq -d >twice
check 'one in a round' test ! -s twice
eplb transfers old.json new.json --gpus 4 --in-place --csv - 2>table >got
check 'in place a ring has one step more, to a staging slot' grep -qx '3,0,1,1,5,1,1,same_gpu' got
check 'and from there' grep -qx '3,3,1,5,0,1,0,same_node' got
check 'which the table counts' grep -q '^     3 .* 1$' table
eplb transfers old.json old.json --gpus 4 >table 2>&1
check 'a plan twice is refused' grep -q 'stands there twice' table
cp old.json same.json
eplb transfers old.json same.json --gpus 4 --csv got >table
check 'nothing to do for the same plan' test "$(wc -l <got)" -eq 1

says "transfers needs two plans, the one in force and the next; try 'eplb --help'" transfers old.json --gpus 4
says "transfers needs --gpus; try 'eplb --help'" transfers old.json new.json
says "--sources is even or dealt, not 'odd'" transfers old.json new.json --gpus 4 --sources odd
says "--rounds is duplex or one-peer, not 'one_peer'" transfers old.json new.json --gpus 4 --rounds one_peer
says "'--in-place=1' takes no value" transfers old.json new.json --gpus 4 --in-place=1
says "plan has no option '--in-place', which is for transfers; try 'eplb --help'" plan old.json --in-place
says 'new.json: 4 slots in a layer are not a multiple of --gpus 3; 2 or 4 GPUs would divide them' \
    transfers old.json new.json --gpus 3
says '--gpus 4 is not a multiple of --nodes 3; 2 or 4 nodes would divide them' transfers old.json new.json --gpus 4 --nodes 3
says 'old.json: layer 3, slot 3: expert 3, but there are 3 experts' transfers old.json new.json --gpus 4 --experts 3
echo '[[0,1,2,3,0,1],[0,1,2,3,0,1]]' >long.json
says 'long.json: 6 slots in a layer, but old.json has 4' transfers old.json long.json --gpus 2
sed 's/"layer":8/"layer":9/' new.json >other.json
says 'other.json: layers 3, 9, but old.json has 3, 8' transfers old.json other.json --gpus 4
echo '[[0,1,2,3]]' >one.json
says 'one.json: plans of 1 layer, but old.json has 2' transfers old.json one.json --gpus 4

# ---------------------------------------------------------------- check

echo '[[0,1,2,3],[0,1,2,3]]' >old.json
echo '[[0,1,2,3],[1,2,3,0]]' >new.json
check 'a plan may be put in force' prints 0 'new.json may be put in force' check new.json --gpus 4
check 'and after another' prints 0 'new.json may be put in force' check new.json --gpus 4 --previous old.json --max-moves 4
check 'or says nothing' prints 0 '' check new.json --gpus 4 --quiet
finds 'new.json, layer 1, slot 3: 4 moves, and 3 may be (moves)' new.json --gpus 4 --previous old.json --max-moves 3
finds 'new.json, layer 1, slot 0: 4 moves, and 0 may be (moves)' new.json --gpus 4 --previous old.json --max-moves -1
finds 'new.json, layer 1, slot 0: expert 1 stays on its GPU, where it was in slot 1 (not_kept)' new.json --gpus 2 \
    --previous old.json
echo '[0,1,2,-1]' >missing.json
finds 'missing.json, layer 0: no slot holds expert 3 (missing)' missing.json --gpus 4 --experts 4
finds 'new.json, layer 0, slot 3: there is no expert 3 (id)' new.json --gpus 4 --experts 3
finds 'new.json, layer 1, slot 2: expert 3 is on another node than its group, which slot 1 has an expert of (group)' \
    new.json --gpus 4 --nodes 2 --groups 2
echo '[0,0,1,2]' >twice.json
finds 'twice.json, layer 0, slot 1: expert 0 is in slot 0 of the GPU, too, while another GPU of its node has none (twice)' \
    twice.json --gpus 2
check 'without effort it may be' prints 0 'twice.json may be put in force' check twice.json --gpus 2 --preset deepseek
echo '[0,1,0,2,0,1]' >many.json
finds 'many.json, layer 0, slot 4: expert 0 has 3 replicas, and may have 2 (max_replicas)' many.json --gpus 6 --max-replicas 2
echo '[0,1,2,2,2,2]' >from.json
finds 'many.json, layer 0, slot 5: 2 moves into this GPU, and 1 may be (gpu_moves_in)' many.json --gpus 3 --previous \
    from.json --max-gpu-moves 1
eplb check twice.json --gpus 2 --csv - 2>said >got
check 'a fault as CSV' test "$(tail -n 1 got)" = 'twice,0,1,0,0,-1,-1'
eplb check twice.json --gpus 2 --json got.json --quiet
check 'exit status 3 with files, too' test $? -eq 3
check 'a fault as JSON' grep -qx '"reason":"twice","layer":0,"slot":1,"expert":0,"other":0,"count":null,"allowed":null}' got.json
eplb check new.json --gpus 4 --json - 2>said | tail -n 1 >got
check 'none as JSON' grep -qx '"reason":"none","layer":null,"slot":null,"expert":-1,"other":null,"count":null,"allowed":null}' got
says "check needs one plan, or - for standard input; try 'eplb --help'" check --gpus 4
says "check has no option '--replicas', which is for plan, score and replay; try 'eplb --help'" check new.json --replicas 4
says "the plan and --previous cannot both be '-', standard input" check - --gpus 4 --previous -
says '--max-moves needs a whole number from -1 to 2147483647, not '"'-2'" check new.json --gpus 4 --max-moves -2

says "--max-moves needs --previous, the plan in force; try 'eplb --help'" check new.json --gpus 4 --max-moves 3
says "--max-gpu-moves needs effort, and preset 'l2' makes none; with --effort 1 it would" check new.json --gpus 4 \
    --previous old.json --max-gpu-moves 1 --preset l2
says '--move-cost needs effort, and --effort is 0; 1 would do' check new.json --gpus 4 --previous old.json \
    --move-cost 0.1 --effort 0
for cost in -0.1 1e39 nan 0.1x ''; do
    says "--move-cost needs a number of mean GPU loads from 0 on, such as 0.02, not '$cost'" check new.json --gpus 4 \
        "--move-cost=$cost"
done

# A plan of this program's is right, and so is what it plans next.
$RUN_ENV "$BUILD/gen_loads" --layers 3 --experts 32 --steps 2 >loads.csv
eplb plan loads.csv --replicas 40 --gpus 8 --nodes 2 --groups 4 --steps 0 --json first.json --quiet >/dev/null
eplb plan loads.csv --replicas 40 --gpus 8 --nodes 2 --groups 4 --steps 1 --json second.json --quiet >/dev/null
check 'a plan of its own is right' prints 0 'first.json may be put in force' check first.json --gpus 8 --nodes 2 --groups 4
eplb transfers first.json second.json --gpus 8 --nodes 2 --quiet >table
check 'and leads to the next' grep -q '^ total' table
check 'from standard input' test "$(eplb check - --gpus 8 --nodes 2 --groups 4 <second.json)" = \
    "<stdin> may be put in force"

report test_cli_moves
