# test_cli_formats.sh - the formats of engines that the program eplb reads and writes: what is written is read as the same
# plan or the same loads, and what is wrong is refused in one line. Plans for each step, dead GPUs, the shares of vLLM's
# rows, balancedness as engines have it, and the judge of the ADRS task, against a reading of their definitions in awk.
. tests/check/check.sh

LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}
npy_write() {
    $RUN_ENV "$BUILD/npy_write" "$@"
}
fails() { # the one line on standard error, arguments; nothing is left behind
    line=$1
    shift
    rm -f "$TMP/left"
    got=$(eplb "$@" --write array="$TMP/left" 2>&1 >"$TMP/fails.out" </dev/null)
    was=$?
    echo "status $was: $got"
    [ $was -eq 2 ] && [ "$got" = "$line" ] && [ ! -s "$TMP/fails.out" ] && [ ! -e "$TMP/left" ]
}
says() { # the same where the arguments say what to write
    line=$1
    shift
    rm -f "$TMP/left"
    got=$(eplb "$@" 2>&1 >"$TMP/fails.out" </dev/null)
    [ $? -eq 2 ] && [ "$got" = "$line" ] && [ ! -e "$TMP/left" ] || { echo "$got"; false; }
}
wrong_plan() { # what it is, printf format of the file, what is said after its name and a colon
    printf -- "$2" >"$TMP/wrong"
    check "refused: $1" fails "$TMP/wrong:$3" convert "$TMP/wrong"
}
wrong_whole() { # the same where the line starts with the program's name
    printf -- "$2" >"$TMP/wrong"
    check "refused: $1" fails "eplb: $TMP/wrong: $3" convert "$TMP/wrong"
}
equal_text() { # what it is, the text wanted, a command
    what=$1 want=$2
    shift 2
    "$@" >"$TMP/text" 2>"$TMP/noise"
    check "$what" test "$(cat "$TMP/text")" = "$want"
}

# ---------------------------------------------------------------- plans, there and back

printf 'layer,e0,e1,e2,e3,e4,e5\n3,9,4,4,1,3,2\n4,1,8,3,3,5,2\n5,2,2,9,9,1,1\n' >"$TMP/loads.csv"
shape='--replicas 8 --gpus 4'
eplb plan "$TMP/loads.csv" $shape --json "$TMP/plan.json" --write sglang="$TMP/sglang" --write ascend="$TMP/ascend" \
    --write trtllm="$TMP/trtllm" --write array="$TMP/array" --write npy="$TMP/npy" --write results="$TMP/results" \
    --write eplb="$TMP/eplb" --quiet >"$TMP/table" 2>"$TMP/noise"
check 'plan writes every format of plans' test -s "$TMP/eplb"
eplb convert "$TMP/plan.json" --write array="$TMP/want" 2>"$TMP/noise"
sed -n 's/.*"phy2log":\(\[[0-9,]*\]\).*/\1/p' "$TMP/plan.json" | tr '\n' ';' >"$TMP/rows"
equal_text 'an array of the plan is its phy2log' "$(cat "$TMP/rows")" sh -c "tr -d '\n' <'$TMP/want' | sed 's/^\[//; s/\]\$//; s/\],/];/g; s/\$/;/'"
formats='ascend array npy results eplb trtllm'
for from in $formats; do
    eplb convert "$TMP/$from" --write array="$TMP/got" 2>"$TMP/noise"
    check "$from is read as the plan that it was written from" cmp "$TMP/got" "$TMP/want"
    for to in $formats sglang; do
        eplb convert "$TMP/$from" --gpus 4 --write $to="$TMP/there" 2>"$TMP/noise"
        eplb convert "$TMP/there" --write array="$TMP/back" 2>"$TMP/noise"
        layers=$(wc -l <"$TMP/back")
        check "from $from to $to and back" sh -c "tail -n 3 '$TMP/back' | sed 's/^\[\[/[/' | tr -d '\n' >'$TMP/a'
            sed 's/^\[\[/[/' '$TMP/want' | tr -d '\n' >'$TMP/b'; cmp '$TMP/a' '$TMP/b' && test $layers -ge 3"
    done
    equal_text "score takes a plan as $from" "$(eplb score "$TMP/loads.csv" --map "$TMP/plan.json" --gpus 4 --quiet)" \
        eplb score "$TMP/loads.csv" --map "$TMP/$from" --gpus 4 --quiet
done
check 'score takes a plan as sglang, by the numbers of layers' sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/loads.csv' --gpus 4 \
    --map '$TMP/sglang' --quiet | tail -n 1 >'$TMP/a'; tail -n 1 '$TMP/text' | cmp - '$TMP/a'"
eplb convert "$TMP/sglang" --write array="$TMP/got" 2>"$TMP/noise"
equal_text 'layers that SGLang has and the plan has not are trivial' '[[0,1,2,3,4,5,0,1],' head -n 1 "$TMP/got"
equal_text 'SGLang has a row for each layer up to the last' 6 sh -c "wc -l <'$TMP/got' | tr -d ' '"
equal_text 'and no other name' '{"physical_to_logical_map":[' head -n 1 "$TMP/sglang"
equal_text 'numbers of layers live on in trtllm' '  3: 4: 5:' sh -c "grep -o '^ *[345]:' '$TMP/trtllm' | tr -d '\n' | sed 's/  4/ 4/; s/  5/ 5/'"
equal_text 'and in this program'"'"'s JSON' 3 sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/trtllm' --write eplb=- | grep -c '\"layer\":[345],'"
eplb convert "$TMP/eplb" --write array="$TMP/got" 2>"$TMP/got_note"
check 'where they are lost, a note says so' grep -x 'eplb: note: format array does not number layers: 3-5 become rows 0-2' "$TMP/got_note"
check 'formats lists them' sh -c "$RUN_ENV '$BUILD/eplb' formats | grep -c '^[a-z-]* *\(plans\|loads\) *in' | grep -x 14"
check 'every line of formats is under 100 columns' sh -c "$RUN_ENV '$BUILD/eplb' formats | awk 'length(\$0) >= 100 { exit 1 }'"
check 'one output may be standard output' sh -c "$RUN_ENV '$BUILD/eplb' plan '$TMP/loads.csv' $shape --write trtllm=- 2>/dev/null | cmp - '$TMP/trtllm'"

# ---------------------------------------------------------------- what formats cannot hold

echo '[[0,1,-1,1],[1,0,0,1]]' >"$TMP/empty"
for format in sglang trtllm ascend; do
    check "$format has no empty slots" says "eplb: $TMP/empty: layer 0, slot 2 is empty, which format $format cannot hold" \
        convert "$TMP/empty" --gpus 2 --write $format="$TMP/left"
done
echo '[[0,1,1,0],[1,0,2,2]]' >"$TMP/twice"
check 'ascend has no expert twice on a GPU' says \
    "eplb: $TMP/twice: layer 1, slot 3 holds an expert that an earlier slot of its GPU has, too, which format ascend cannot hold" \
    convert "$TMP/twice" --gpus 2 --write ascend="$TMP/left"
check 'ascend needs GPUs' says \
    "eplb: format ascend has a list for each GPU: it needs --gpus; try 'eplb --help'" convert "$TMP/twice" --write ascend="$TMP/left"
printf '{"format":"eplb-plan","layers":[{"layer":5000000000,"phy2log":[0]}]}' >"$TMP/far"
check 'SGLang has rows for layers that there are' says \
    "eplb: $TMP/far: format sglang has a row for each layer up to the last, which is 5000000000" \
    convert "$TMP/far" --write sglang="$TMP/left"
echo '[[[0,1],[1,0]],[[1,1],[0,0]]]' >"$TMP/steps"
equal_text 'an array may have a plan for each step' "$(cat "$TMP/steps")" \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/steps' --write array=- | tr -d '\n'"
equal_text 'and so may npy' "$(cat "$TMP/steps")" sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/steps' --write npy='$TMP/s.npy' &&
    $RUN_ENV '$BUILD/eplb' convert '$TMP/s.npy' --write array=- | tr -d '\n'"
check 'others have one' says "eplb: $TMP/steps: 2 plans, one after the other, of which format eplb can hold one" \
    convert "$TMP/steps" --write eplb="$TMP/left"
check 'unknown formats are named' says "eplb: --write: there is no format 'sglan'; did you mean 'sglang'?" \
    convert "$TMP/twice" --write sglan="$TMP/left"
check 'or the list of them' says "eplb: --write: there is no format 'pickle'; try 'eplb formats'" convert "$TMP/twice" --write pickle="$TMP/left"
check 'formats that are read only' says \
    "eplb: --write: format 'megatron' is read only; \`eplb formats\` lists those that are written" convert "$TMP/twice" --write megatron="$TMP/left"
check 'plans and loads do not mix' says "eplb: --write: 'sglang' is of plans, and 'adrs' of loads" \
    convert "$TMP/twice" --write sglang="$TMP/left" --write adrs="$TMP/left"
check 'plan writes plans' says "eplb: --write: there is no format 'adrs'; try 'eplb formats'" \
    plan "$TMP/loads.csv" $shape --write adrs="$TMP/left"
check 'convert needs --write' says "eplb: convert needs --write; try 'eplb --help'" convert "$TMP/twice"
check '--format is of loads' says "eplb: --format: there is no format 'sglang'; try 'eplb formats'" \
    convert "$TMP/twice" --format sglang --write loads-csv="$TMP/left"

# ---------------------------------------------------------------- wrong plans

sglang='{"physical_to_logical_map":[[0,1],[1,0]]'
wrong_plan 'another name in SGLang'"'"'s' "$sglang,\"logical_count\":[]}" \
    "1:42: 'logical_count' beside physical_to_logical_map: SGLang 0.5.23 takes each other name for an argument that it does not have"
wrong_plan 'one before it' '{"note":1,"physical_to_logical_map":[[0]]}' \
    "1:2: 'note' beside physical_to_logical_map: SGLang 0.5.23 takes each other name for an argument that it does not have"
wrong_plan 'the map twice' "$sglang,\"physical_to_logical_map\":[[0]]}" '1:42: physical_to_logical_map stands there twice'
wrong_plan 'no array' '{"physical_to_logical_map":0}' '1:28: an array should begin here: [layers, slots]'
wrong_plan 'steps in SGLang'"'"'s' '{"physical_to_logical_map":[[[0]]]}' '1:30: an array for an expert: a plan is [layers, slots] or [slots]'
wrong_whole 'an empty slot in SGLang'"'"'s' '{"physical_to_logical_map":[[0,1],[1,-1]]}' \
    'layer 1, slot 1: -1, but SGLang has no empty slots: it would take it for the last expert'
device() { # the experts of devices, as the rest of a layer
    printf '"device_count":%d,"device_list":[' $#
    id=0
    for experts in "$@"; do
        printf '%s{"device_id":%d,"device_expert":[%s]}' "$([ $id -gt 0 ] && echo ,)" $id "$experts"
        id=$((id + 1))
    done
    printf ']'
}
two="$(device 0,1 1,2)"
wrong_plan 'layers out of their place' "{\"moe_layer_count\":1,\"layer_list\":[{\"layer_id\":1,$two}]}" \
    '1:48: layer 1 where 0 should be: vllm-ascend 0.23 goes by the order of the list'
wrong_plan 'devices out of their place' '{"moe_layer_count":1,"layer_list":[{"device_list":[{"device_id":2,"device_expert":[0]}]}]}' \
    '1:65: device 2 where 0 should be: vllm-ascend 0.23 goes by the order of the list'
wrong_plan 'devices of other lengths' "{\"moe_layer_count\":1,\"layer_list\":[{$(device 0,1 0)}]}" \
    '1:107: a device of 1 experts; those above have 2'
wrong_plan 'layers of other numbers of devices' "{\"moe_layer_count\":2,\"layer_list\":[{$(device 0 1 2 3)},{$two}]}" \
    '1:323: a layer of 2 devices; those above have 4'
wrong_plan 'a wrong count of layers' "{\"moe_layer_count\":2,\"layer_list\":[{$two}]}" \
    '1:20: moe_layer_count is 2, but layer_list has 1'
wrong_plan 'a wrong count of devices' '{"moe_layer_count":1,"layer_list":[{"device_count":3,"device_list":[{"device_expert":[0]}]}]}' \
    '1:52: device_count is 3, but device_list has 1'
wrong_plan 'no count of layers' "{\"layer_list\":[{$two}]}" '1:1: a plan without "moe_layer_count", which vllm-ascend 0.23 reads first'
wrong_plan 'a layer without devices' '{"moe_layer_count":1,"layer_list":[{"layer_id":0}]}' '1:36: a layer without "device_list"'
wrong_plan 'a device without experts' '{"moe_layer_count":1,"layer_list":[{"device_list":[{"device_id":0}]}]}' \
    '1:52: a device without "device_expert"'
printf "{\"moe_layer_count\":1,\"layer_list\":[{$two}]}" >"$TMP/ascend2"
check 'GPUs that are not those of the plan' fails "eplb: $TMP/ascend2: a plan for 2 GPUs, but --gpus is 4" \
    convert "$TMP/ascend2" --gpus 4

layers='initial_global_assignments:'
same_yaml() { # what it is, printf format of the file
    printf -- "$2" >"$TMP/yaml"
    equal_text "yaml: $1" '[[0,1,2,0],[2,1,0,1]]' sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/yaml' --write array=- | tr -d '\n'"
}
same_yaml 'lists in a line' "$layers\n  0: [0, 1, 2, 0]\n  1: [2,1,0,1]\nlayer_updates_per_iter: 0\nnum_slots: 4\n"
same_yaml 'in several lines' "num_slots: 4\n$layers\n  0: [0, 1,\n    2, 0]\n  1: [\n2\n,1, 0, 1,\n]\n"
same_yaml 'after dashes' "---\n$layers\n  0:\n  - 0\n  - 1\n  - 2\n  - 0\n  1:\n    - 2\n    - 1\n    - 0\n    - 1\n"
same_yaml 'among other things' "# a comment\nmoe_config:\n  backend: WIDEEP # another\n  load_balancer:\n    $layers # one more\n      0: [0, 1, 2, 0]\n\n      1: [2, 1, 0, 1]\n    num_slots: 4\nkv_cache: {a: 1}\n"
same_yaml 'with ends of lines of Windows' "$layers\r\n  0: [0, 1, 2, 0]\r\n  1: [2, 1, 0, 1]\r\n"
wrong_plan 'yaml: another number of slots' "$layers\n  3: [0, 1]\nnum_slots: 4\n" '3:12: num_slots is 4, but layers have 2'
wrong_plan 'yaml: no layers' "$layers\nnum_slots: 4\n" '2:12: a plan without layers after initial_global_assignments'
wrong_plan 'yaml: a layer that is no number' "$layers\n  three: [0]\n" "2:3: 'three' is no number of a layer"
wrong_plan 'yaml: no list' "$layers\n  3: 0\n" '2:6: a list should begin here'
wrong_plan 'yaml: an expert that is none' "$layers\n  3: [0, x]\n" "2:10: 'x' is no id of an expert"
wrong_plan 'yaml: an empty slot' "$layers\n  3: [0, -1]\n" "2:10: '-1' is no id of an expert"
wrong_plan 'yaml: an expert left out' "$layers\n  3: [0,, 1]\n" '2:9: an expert is missing here'
wrong_plan 'yaml: no comma' "$layers\n  3: [0 1]\n" "2:9: ',' or ']' should stand here"
wrong_plan 'yaml: a list without end' "$layers\n  3: [0, 1\n" '2:11: the file ends within a list'
wrong_plan 'yaml: more after a list' "$layers\n  3: [0, 1] 2\n" '2:12: the line goes on after its list'
wrong_plan 'yaml: layers of other lengths' "$layers\n  3: [0, 1]\n  4: [0]\n" '3:3: a layer of 1 slots; those above have 2'
wrong_plan 'yaml: a layer before the one above' "$layers\n  3: [0]\n  2: [0]\n" '3:3: layer 2 after layer 3: layers ascend in a plan'
wrong_plan 'yaml: an empty layer' "$layers\n  3: []\n" '2:3: a layer without slots'
wrong_plan 'yaml: a layer further to the right' "$layers\n  3: [0]\n    4: [0]\n" '3:5: a layer should stand below the one before it'

results='"phy2log":[[0,1,0]],"logcnt":[[2,1]],"log2phy":[[[0,2],[1,-1]]]'
printf "{$results}" >"$TMP/three"
equal_text 'three arrays that agree' '[[0,1,0]]' eplb convert "$TMP/three" --write array=-
wrong_results() { # what it is, the value of one of the three, which
    printf "{$(printf '%s' "$results" | sed "s/\"$3\":\[*[-0-9,]*\(\],\[[-0-9,]*\)*\]*/\"$3\":$2/")}" >"$TMP/wrong"
    check "refused: $1" fails "$TMP/wrong:$4" convert "$TMP/wrong"
}
wrong_results 'a count that is too high' '[[3,1]]' logcnt '1:33: logcnt has 3 replicas of expert 0 of layer 0, but phy2log has 2'
wrong_results 'a slot of another expert' '[[[0,1],[1,-1]]]' log2phy \
    '1:54: log2phy gives expert 0 of layer 0 slot 1, where phy2log does not have it'
wrong_results 'a slot that there is not' '[[[0,2],[1,3]]]' log2phy \
    '1:60: log2phy gives expert 1 of layer 0 slot 3, where phy2log does not have it'
wrong_results 'a slot twice' '[[[0,0],[1,-1]]]' log2phy '1:54: log2phy gives expert 0 of layer 0 slot 0 twice'
wrong_whole 'a slot left out' '{"phy2log":[[0,1,0]],"log2phy":[[[0],[1]]]}' 'log2phy has 2 slots, but phy2log has 3 with an expert'
wrong_whole 'a layer too many' '{"phy2log":[[0,1]],"logcnt":[[1,1],[0,0]]}' 'logcnt has 2 layers, but phy2log has 1'
wrong_plan 'no slots' '{"phy2log":0}' '1:12: an array should begin here, and each name stand there once'
wrong_plan 'slots twice' '{"phy2log":[0],"phy2log":[0]}' '1:26: an array should begin here, and each name stand there once'

# ---------------------------------------------------------------- dead GPUs, plans in time

printf '[[0,1,0,0,2,3],[3,2,0,0,1,0]]' >"$TMP/zeros"
check 'a GPU of zeros is pointed at' sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/zeros' --gpus 3 --write array=- 2>&1 >/dev/null |
    grep -F -x \"eplb: note: $TMP/zeros: all slots of GPU 1 hold expert 0, as those of a dead rank do in SGLang's plans: if it is dead, say so with --dead 1\""
equal_text '--dead empties its slots' '[[0,1,-1,-1,2,3],[3,2,-1,-1,1,0]]' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/zeros' --gpus 3 --dead 1 --write array=- 2>&1 | tr -d '\n'"
equal_text 'several' '[[-1,-1,0,0,-1,-1],[-1,-1,0,0,-1,-1]]' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/zeros' --gpus 3 --dead 0,2-2 --write array=- 2>&1 | tr -d '\n'"
check '--dead beyond the last' says "eplb: --dead needs numbers of GPUs below 3, such as 3 or 0,4-7, not '3'" \
    convert "$TMP/zeros" --gpus 3 --dead 3 --write array="$TMP/left"
check '--dead without GPUs' says "eplb: --dead needs --gpus; try 'eplb --help'" \
    convert "$TMP/zeros" --dead 1 --write array="$TMP/left"
printf '8,4,4,4\n4,4,4,8\n' >"$TMP/four.csv" # expert 0: one replica then, in layer 0
eplb score "$TMP/four.csv" --map "$TMP/zeros" --gpus 3 --dead 1 --csv - 2>"$TMP/noise" >"$TMP/got"
equal_text 'no token goes to them' '12,10,2' sh -c "sed -n 2p '$TMP/got' | cut -d, -f4,5,9"

# Two steps of slots under two plans: slot s of step t counted 10 t + s + 1.
printf '[[[1,2,3,4]],[[11,12,13,14]]]' >"$TMP/slots.json"
printf '[[[0,1,2,0]],[[2,2,1,0]]]' >"$TMP/each.json"
equal_text 'slots by a plan for each sample' 'step,layer,e0,e1,e2;0,0,5,2,3;1,0,14,13,23;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/slots.json' --axes TLP --map '$TMP/each.json' --write loads-csv=- 2>'$TMP/noise' | tr '\n' ';'"
check 'without a note' test ! -s "$TMP/noise"
equal_text '--steps picks its plan, too' 'step,layer,e0,e1,e2;1,0,14,13,23;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/slots.json' --steps 1 --axes TLP --map '$TMP/each.json' --write loads-csv=- | tr '\n' ';'"
printf '[[0,1,2,0]]' >"$TMP/one.json"
equal_text 'one plan for all is assumed' 'step,layer,e0,e1,e2;0,0,5,2,3;1,0,25,12,13;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/slots.json' --axes TLP --map '$TMP/one.json' --write loads-csv=- 2>'$TMP/noise' | tr '\n' ';'"
check 'and a note says so' grep -x 'eplb: note: one plan is assumed for all 2 samples of slots; where it changed between them, --map should have one for each sample, \[samples, layers, slots\]' "$TMP/noise"
printf '[[[0,1,2,0]],[[2,2,1,0]],[[2,2,1,0]]]' >"$TMP/three.json"
check 'plans for other samples' says "eplb: $TMP/slots.json has 2 samples, but --map $TMP/three.json has plans of 3 steps" \
    convert "$TMP/slots.json" --axes TLP --map "$TMP/three.json" --write loads-csv="$TMP/left"
eplb score "$TMP/slots.json" --axes TLP --map "$TMP/each.json" --gpus 2 --steps 1 --csv - 2>"$TMP/last" >"$TMP/got"
equal_text 'the last of them is in force' 25 sh -c "sed -n 2p '$TMP/got' | cut -d, -f5"
check 'which a note says' grep -q 'of its 2 plans, one for each step, the last is the one in force$' "$TMP/last"
wrong_plan 'steps of other numbers of layers' '[[[0],[0]],[[0]]]' '1:16: a step of 1 layer; those above have 2'
wrong_plan 'a step of nothing' '[[[0]],[]]' '1:9: a step without layers'

# ---------------------------------------------------------------- loads, there and back

printf 'step,layer,e0,e1,e2\n7,3,1,2,3\n7,4,4,5,6\n9,3,0,0,1\n9,4,2,0,1.5\n' >"$TMP/in.csv"
eplb convert "$TMP/in.csv" --write loads-csv="$TMP/out.csv" --write loads-npy="$TMP/out.npy" --write adrs="$TMP/out.adrs" \
    --write sglang-counts="$TMP/out.sglang" 2>"$TMP/noise"
check 'CSV is written as it was' cmp "$TMP/out.csv" "$TMP/in.csv"
sed '1!s/^7,3/0,0/; s/^7,4/0,1/; s/^9,3/1,0/; s/^9,4/1,1/' "$TMP/in.csv" >"$TMP/want.csv"
for form in npy adrs sglang; do
    eplb convert "$TMP/out.$form" --write loads-csv="$TMP/got.csv" 2>"$TMP/noise"
    check "$form gives the same loads, without numbers" cmp "$TMP/got.csv" "$TMP/want.csv"
done
printf '0,3\n0,0\n2,3\n0,3\n' >"$TMP/events"
equal_text 'events without a header' 'layer,expert;0,0;0,3;0,3;2,3;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/events' --format llama --write llama=- | tr '\n' ';'"
printf '0,1\n0,1\n' >"$TMP/events2"
equal_text 'a first event of 0 and 1 is no header' 'step,layer,e0,e1;0,0,0,2;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/events2' --format llama --write loads-csv=- | tr '\n' ';'"
{ echo 'layer,expert'; cat "$TMP/events"; } >"$TMP/events3"
equal_text 'with a header' 'layer,expert;0,0;0,3;0,3;2,3;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/events3' --format llama --write llama=- | tr '\n' ';'"
check 'events are whole' says "eplb: format llama counts events: it cannot hold loads that are not whole, or above 2^24" \
    convert "$TMP/in.csv" --steps 9 --write llama="$TMP/left"
echo '[[[1,2]],[[3,4]]]' >"$TMP/whole.json"
check 'and of one sample' says 'eplb: 2 samples, of which format llama can hold one; --steps picks one' \
    convert "$TMP/whole.json" --write llama="$TMP/left"

megatron() { # step, block, layer, tokens
    printf '{"step": %d, "stage": "pre_dispatch", "block": "%s", "layer": %d, "rank": 0, "num_tokens": %d, "topk": 2, "top_indices": [%s]}\n' \
        "$1" "$2" "$3" "$(printf '%s' "$4" | tr -cd '[' | wc -c)" "$4"
}
{
    megatron 0 decoder 3 '[0, 1], [3, 1]'
    megatron 0 decoder 5 '[0, 2], [3, 2], [1, 0]'
    megatron 0 mtp 5 '[7, 6]'
    megatron 2 decoder 3 '[0, 3]'
    megatron 2 decoder 3 '[3, 0], [3, 2]'
} >"$TMP/trace"
want='step,layer,e0,e1,e2,e3;0,3,1,2,0,1;0,5,2,1,2,1;2,3,2,0,1,3;2,5,0,0,0,0;'
equal_text 'a routing trace of Megatron' "$want" \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/trace' --write loads-csv=- 2>'$TMP/noise' | tr '\n' ';'"
check 'its other blocks are left out, and a note says so' grep -q "1 lines of other blocks than 'decoder' left out" "$TMP/noise"
equal_text 'or picked' 'step,layer,e0,e1,e2,e3,e4,e5,e6,e7;0,5,0,0,0,0,0,0,1,1;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/trace' --format megatron --key mtp --write loads-csv=- 2>/dev/null | tr '\n' ';'"
grep -v mtp "$TMP/trace" | sed 's/"rank": 0/"rank": 1/' >"$TMP/trace1"
equal_text 'traces of ranks are summed' 'step,layer,e0,e1,e2,e3;0,3,2,4,0,2;0,5,4,2,4,2;2,3,4,0,2,6;2,5,0,0,0,0;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/trace' '$TMP/trace1' --write loads-csv=- 2>/dev/null | tr '\n' ';'"
wrong_trace() { # what it is, sed script on a line, what is said
    megatron 0 decoder 3 '[0, 1], [3, 1]' | sed "$2" >"$TMP/wrong"
    check "refused: $1" says "$TMP/wrong:$3" convert "$TMP/wrong" --format megatron --write loads-csv="$TMP/left"
}
wrong_trace 'fewer tokens than it says' 's/, \[3, 1\]//' '1:1: num_tokens is 2, but top_indices has 1'
wrong_trace 'another number of experts than it says' 's/\[0, 1\], \[3, 1\]/[0], [3]/' '1:1: topk is 2, but a token of top_indices has 1'
wrong_trace 'tokens of other lengths' 's/\[3, 1\]/[3]/' '1:133: a token of 1 experts; those above have 2'
wrong_trace 'no layer' 's/"layer": 3, //' '1:1: a line without "layer"'
wrong_trace 'a word for a step' 's/"step": 0/"step": "a"/' "1:10: 'a' is no step, which is a whole number from 0 on"
wrong_trace 'an expert below -1' 's/\[3, 1\]/[3, -2]/' "1:137: '-2' is no id of an expert: they start at 0, and -1 is none"
megatron 0 encoder 3 '[0, 1]' >"$TMP/wrong"
check 'refused: no line of the block' says "eplb: $TMP/wrong: no line of block 'decoder'; --key may name another" \
    convert "$TMP/wrong" --write loads-csv="$TMP/left"

# Tokens [3, layers 3, 2] of vLLM: layer 0 has no experts.
printf '0,0,1,2,3,1\n0,0,2,0,1,0\n0,0,0,1,2,3\n' | npy_write '|u1' C 1 3x3x2 >"$TMP/routed.npy"
equal_text 'routed experts of vLLM, a layer without experts' 'step,layer,e0,e1,e2,e3;0,0,0,0,0,0;0,1,2,2,2,0;0,2,1,2,1,2;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/routed.npy' --format vllm-routed --write loads-csv=- 2>'$TMP/noise' | tr '\n' ';'"
check 'which a note names' grep -q 'all tokens of layers 0 went to expert 0 alone' "$TMP/noise"
ring='[[[0,0]],[[1,2]],[[0,0]],[[3,4]],[[0,0]]]'
printf "{\"rank\":0,\"logical_count\":$ring,\"average_utilization_rate_over_window\":null}" >"$TMP/ring.json"
equal_text 'rows of zeros of SGLang are left out' 'step,layer,e0,e1;1,0,1,2;3,0,3,4;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/ring.json' --write loads-csv=- 2>'$TMP/noise' | tr '\n' ';'"
check 'and a note says that their order is not known' grep -q \
    '3 of 5 rows hold no load and are left out; as some stand before others that do, the order' "$TMP/noise"
printf '0,0\n1,2\n3,4\n' | npy_write '<i4' C 1 3x1x2 >"$TMP/ring.npy"
equal_text 'so with .npy when asked for' 'step,layer,e0,e1;1,0,1,2;2,0,3,4;' \
    sh -c "$RUN_ENV '$BUILD/eplb' convert '$TMP/ring.npy' --format sglang-counts --write loads-csv=- 2>/dev/null | tr '\n' ';'"
printf '{"logical_count":[[0,0]]}' >"$TMP/wrong"
check 'a ring of nothing' says "eplb: $TMP/wrong: no row holds load" convert "$TMP/wrong" --write loads-csv="$TMP/left"

# ---------------------------------------------------------------- shares by rows

# An expert of three replicas on three GPUs: the shares that a test of vLLM's own kernel gave.
printf '[[0,0,0]]' >"$TMP/three_replicas"
echo 240 >"$TMP/240.csv"
for rows in 2:2 8:4 16:7; do
    most=$((240 * ${rows#*:} / ${rows%:*}))
    equal_text "three replicas of ${rows%:*} rows" $most sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/240.csv' --map '$TMP/three_replicas' \
        --gpus 3 --shares vllm --rows ${rows%:*} --csv - 2>/dev/null | awk -F, 'NR == 2 { printf \"%.0f\n\", 80 / \$3 }'"
done
# A plan at random against a reading of the rule, row by row.
awk 'BEGIN { srand(5); for (l = 0; l < 3; l++) { for (e = 0; e < 12; e++) printf "%s%d", e ? "," : "", int(1000 * rand() ^ 3); print "" } }' >"$TMP/random.csv"
eplb plan "$TMP/random.csv" --replicas 24 --gpus 6 --json "$TMP/random.json" --quiet >"$TMP/noise"
eplb convert "$TMP/random.json" --write array="$TMP/random.array"
for rows in 1 5 64 1000; do
    eplb score "$TMP/random.csv" --map "$TMP/random.json" --gpus 6 --shares equal,exact,vllm --rows $rows --csv "$TMP/got.csv" \
        --balancedness sglang,vllm --json "$TMP/got.json" >"$TMP/got.table"
    tr -d '[]' <"$TMP/random.array" | sed 's/,$//' | paste -d' ' - "$TMP/random.csv" | awk -v rows=$rows '
        { R = split($1, slot, ","); E = split($2, load, ","); split("", count); split("", rank); split("", gpu)
          for (s = 1; s <= R; s++) count[slot[s]]++
          for (s = 1; s <= R; s++) {
              e = slot[s]; k = rank[e]++; hits = 0
              for (row = 0; row < rows; row++) { h = row * 40503; low = h % 65536 # the product in two halves
                  p = row * 2654435769; p -= int(p / 4294967296) * 4294967296
                  hits += p % count[e] == k }
              gpu[int((s - 1) / 4)] += load[e + 1] * hits / rows }
          most = sum = 0; for (g in gpu) { sum += gpu[g]; most = gpu[g] > most ? gpu[g] : most }
          printf "%.5f\n", sum / 6 / most; means += sum / 6; mosts += most; ratio += (sum / 6 + 1e-5) / (most + 1e-5) }
        END { printf "%.5f\n%.5f\n", means / mosts, ratio / NR }' >"$TMP/want"
    awk -F, 'NR > 1 { printf "%.5f\n", $4 }' "$TMP/got.csv" >"$TMP/got"
    sed -n 's/.*"vllm":{[^}]*"vllm":\([0-9.]*\)}.*"sglang":{[^}]*"vllm":\([0-9.]*\)}.*/\1 \2/p' "$TMP/got.json" |
        awk '{ printf "%.5f\n%.5f\n", $1, $2 }' >>"$TMP/got"
    check "shares by $rows rows, and both engines' balancedness of them" cmp "$TMP/got" "$TMP/want"
done
check 'each way to share has its column' grep -q '^ layer  balancedness    exact     vllm    bound' "$TMP/got.table"
check 'and balancedness its rows' sh -c "grep -q '^as engines have it  *equal  *exact  *vllm$' '$TMP/got.table' && grep -q '^sglang  *0' '$TMP/got.table'"
check '--shares vllm needs --rows' says \
    "eplb: --shares vllm needs --rows, how many tokens a rank has in a step; try 'eplb --help'" \
    score "$TMP/random.csv" --map "$TMP/random.json" --gpus 6 --shares vllm
check '--rows has an end' says 'eplb: --rows 1048577 is beyond 1048576; shares of so many rows are even' \
    score "$TMP/random.csv" --map "$TMP/random.json" --gpus 6 --shares vllm --rows 1048577
check '--balancedness is a name' says "eplb: there is no balancedness 'vlm'; did you mean 'vllm'?" \
    score "$TMP/random.csv" --map "$TMP/random.json" --gpus 6 --balancedness vlm

# Without load in any sample, and in some: those count for nothing.
printf '0,0,0,0\n0,0,0,0\n' >"$TMP/nothing.csv"
printf '[[0,1,2,3],[0,1,2,3]]' >"$TMP/four.json"
equal_text 'no load: 0 for vLLM, 1 for SGLang' 'vllm 0.0000 sglang 1.0000' sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/nothing.csv' \
    --map '$TMP/four.json' --gpus 2 --balancedness vllm,sglang --quiet | tail -n 2 | tr -s ' \n' ' ' | sed 's/ \$//'"
printf 'step,layer,e0,e1,e2,e3\n0,0,3,1,0,0\n0,1,1,1,1,1\n1,0,0,0,0,0\n1,1,0,0,0,0\n2,0,1,1,1,1\n2,1,0,0,0,0\n' >"$TMP/some.csv"
equal_text 'samples without load count for nothing, layers without it as engines have it' 'vllm 0.8333 sglang 0.8750' \
    sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/some.csv' --map '$TMP/four.json' --gpus 2 --balancedness vllm,sglang --quiet |
        tail -n 2 | tr -s ' \n' ' ' | sed 's/ \$//'"

# Windows: the mean over its samples is what score has.
"$BUILD/gen_loads" --layers 2 --experts 12 --steps 12 >"$TMP/steps.csv"
eplb replay "$TMP/steps.csv" --replicas 24 --gpus 6 --window 4 --preset deepseek --shares equal,vllm --rows 3 \
    --csv "$TMP/replay.csv" --svg "$TMP/replay.svg" >"$TMP/replay"
equal_text 'replay has the rows, too' window,first_step,preset,own,next,vllm_own,vllm_next,bound,microseconds head -n 1 "$TMP/replay.csv"
check 'in its table' grep -q '^all windows  *own  *next  *vllm own  *vllm next' "$TMP/replay"
check 'and its picture' grep -q "vLLM's shares of 3 rows by dashes and dots" "$TMP/replay.svg"
eplb plan "$TMP/steps.csv" --steps 0-3 --replicas 24 --gpus 6 --preset deepseek --json "$TMP/window0.json" --quiet >"$TMP/noise"
want=$(eplb score "$TMP/steps.csv" --steps 4-7 --map "$TMP/window0.json" --gpus 6 --shares vllm --rows 3 --quiet | awk '/total/ { print $3 }')
equal_text 'as score has it on the next window' "$want" awk -F, '$1 == 0 && $3 == "deepseek" { printf "%.4f\n", $7 }' "$TMP/replay.csv"

# ---------------------------------------------------------------- the judge of the ADRS task

judge() { # a reading of the evaluator in awk: plan as an array, loads of one workload; prints both balances
    tr -d '[]' <"$1" | sed 's/,$//' | paste -d' ' - "$2" | awk -v G="$3" '
        { R = split($1, slot, ","); split($2, load, ","); split("", count); split("", gpu); top = 0
          for (s = 1; s <= R; s++) count[slot[s]]++
          for (s = 1; s <= R; s++) { x = load[slot[s] + 1] / count[slot[s]]; sum += x; top = x > top ? x : top
              gpu[int((s - 1) / (R / G))] += x }
          tops += top; top = 0; for (g in gpu) top = gpu[g] > top ? gpu[g] : top; gtops += top }
        END { printf "%.6f %.6f\n", sum / R / tops, sum / G / gtops }'
}
adrs() { # arguments: both balances
    eplb score "$@" --adrs --json "$TMP/adrs.json" | awk 'NR == 3 { print $1, $2 }'
}
equal_text 'both balances of a plan' "$(judge "$TMP/random.array" "$TMP/random.csv" 6)" adrs "$TMP/random.csv" --map "$TMP/random.json" --gpus 6
check 'in the words of the task' grep -q '"valid":true,"balancedness_score_gpu":0.[0-9]*,"balancedness_score_expert":0.[0-9]*,"error":null}$' "$TMP/adrs.json"

# Windows of 5 samples of 12: workloads of 5, 5 and 2, and a plan for each of the first two.
awk -F, 'NR > 1 && !/^#/ && $1 ~ /^[0-9]+$/' "$TMP/steps.csv" >"$TMP/rows"
workload() { # its first step and the step behind its last
    awk -F, -v a="$1" -v b="$2" '$1 >= a && $1 < b { for (i = 3; i <= NF; i++) sum[$2 "," i] += $i; n = NF }
        END { for (l = 0; l < 2; l++) for (i = 3; i <= n; i++) printf "%d%s", sum[l "," i], i < n ? "," : "\n" }' "$TMP/rows"
}
for i in 0 1; do
    eplb plan "$TMP/steps.csv" --steps $((5 * i))-$((5 * i + 4)) --replicas 24 --gpus 6 --preset deepseek --write array="$TMP/plan$i" --quiet >"$TMP/noise"
done
{ echo '['; cat "$TMP/plan0"; echo ','; cat "$TMP/plan1"; echo ']'; } >"$TMP/plans"
workload 5 10 >"$TMP/work1"
workload 10 12 >"$TMP/work2"
want=$({ judge "$TMP/plan0" "$TMP/work1" 6; judge "$TMP/plan1" "$TMP/work2" 6; } | awk '{ a += $1; b += $2 } END { printf "%.5f %.5f", a / 2, b / 2 }')
equal_text 'plans in time, each on the workload after its own' "$want" sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/steps.csv' --map '$TMP/plans' \
    --gpus 6 --adrs --window 5 | awk 'NR == 3 { printf \"%.5f %.5f\n\", \$1, \$2 }'"
check 'there must be one for each workload but the last' says "eplb: $TMP/plans: plans of 2 steps, but --window 6 makes 2 workloads of the 12 samples: there should be a plan for each but the last" \
    score "$TMP/steps.csv" --map "$TMP/plans" --gpus 6 --adrs --window 6

broken() { # what it is, the plan, what is said, more arguments
    what=$1 plan=$2 line=$3
    shift 3
    printf '%s' "$plan" >"$TMP/broken"
    check "not valid: $what" sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/four.csv' --map '$TMP/broken' --gpus 2 --adrs $* >'$TMP/got'; test \$? -eq 3 &&
        tail -n 2 '$TMP/got' | tr -s ' \n' ' ' | sed 's/ \$//' | grep -x '0.000000 0.000000 not valid: $line'"
}
broken 'an empty slot' '[[0,1,2,3,-1,0],[0,1,2,3,0,1]]' 'layer 0: 5 replicas of all experts, not 6'
broken 'an expert with load and no replica' '[[0,1,2,3],[0,1,1,3]]' 'layer 1: expert 2 has load, but no replica'
broken 'another number of slots' '[[0,1,2,3],[0,1,2,3]]' '4 slots in a layer, not 6' --replicas 6
broken 'an expert that there is not' '[[0,1,2,3,4,0],[0,1,2,3,0,1]]' 'layer 0: slot 4 has expert 4, but the loads have 4 experts'
printf '8,4,0,4\n4,4,0,8\n' >"$TMP/idle.csv"
printf '[[0,1,0,3],\n[0,1,1,3]]\n' >"$TMP/idle"
equal_text 'an expert without load needs no replica' "$(judge "$TMP/idle" "$TMP/idle.csv" 2)" adrs "$TMP/idle.csv" --map "$TMP/idle" --gpus 2
equal_text 'no load at all' '0.000000 0.000000' adrs "$TMP/nothing.csv" --map "$TMP/four.json" --gpus 2
check '--window is of --adrs' says "eplb: score needs --window with --adrs only; try 'eplb --help'" \
    score "$TMP/four.csv" --map "$TMP/four.json" --gpus 2 --window 2
check '--adrs has no table' says 'eplb: score --adrs has two figures, without --csv, --svg, --layers, --show and --balancedness' \
    score "$TMP/four.csv" --map "$TMP/four.json" --gpus 2 --adrs --csv "$TMP/left"

report test_cli_formats
