# test_cli_commands.sh - the program eplb from outside: plans that are read, scores, layers and samples by the
# file's numbers, samples without load, replays that are streamed, doubts, and what it says would do instead.
. tests/check/check.sh

SAMPLE=examples/data/loads_58x256.csv
LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}

fails() { # exit status, the one line on standard error, arguments
    status=$1 line=$2
    shift 2
    got=$(eplb "$@" 2>&1 >"$TMP/fails.out" </dev/null)
    was=$?
    echo "status $was: $got"
    [ $was -eq "$status" ] && [ "$got" = "$line" ] && [ ! -s "$TMP/fails.out" ]
}

rows() { # the layers' rows of a table: of a plan, or with 7 columns of a score
    awk -v columns="${2:-8}" '$1 ~ /^[0-9]+$/ && NF == columns' "$1"
}

# ---------------------------------------------------------------- layers by the file's numbers

# Layers 3, 4, 7 and 9 of two steps.
$RUN_ENV "$BUILD/gen_loads" --layers 4 --experts 32 --steps 2 |
    awk -F, 'BEGIN { OFS = ","; split("3 4 7 9", number, " ") } /^[0-9]/ { $2 = number[$2 + 1] } { print }' \
        >"$TMP/gaps.csv"
awk -F, 'BEGIN { OFS = "," } /^[0-9]/ { $2 = $2 == 3 ? 0 : $2 == 4 ? 1 : $2 == 7 ? 2 : 3 } { print }' \
    "$TMP/gaps.csv" >"$TMP/from_0.csv"
few='--replicas 40 --gpus 8'
eplb plan "$TMP/gaps.csv" $few --json "$TMP/gaps.json" --csv "$TMP/gaps_plan.csv" --svg "$TMP/gaps.svg" \
    --show 7 >"$TMP/gaps"
eplb plan "$TMP/from_0.csv" $few --csv "$TMP/from_0_plan.csv" >"$TMP/from_0"
numbers() {
    tr '\n' ' '
}
check 'the table has the numbers of the layers' test "$(rows "$TMP/gaps" | awk '{ print $1 }' | numbers)" = '3 4 7 9 '
check 'so has the CSV' \
    test "$(awk -F, 'NR > 1 { print $1 }' "$TMP/gaps_plan.csv" | uniq | numbers)" = '3 4 7 9 '
check 'so has the JSON' \
    test "$(sed -n 's/^{"layer":\([0-9]*\),.*/\1/p' "$TMP/gaps.json" | numbers)" = '3 4 7 9 '
check 'so has the picture' \
    test "$(sed -n 's/.*text-anchor="end">\([0-9]*\)<.*/\1/p' "$TMP/gaps.svg" | numbers)" = '3 4 7 9 3 4 7 9 '
check '--show takes such a number' grep -q '^layer 7, load of each GPU' "$TMP/gaps"
cut -d, -f2- "$TMP/gaps_plan.csv" >"$TMP/got"
cut -d, -f2- "$TMP/from_0_plan.csv" >"$TMP/want"
check 'the plan is that of layers numbered from 0' cmp "$TMP/got" "$TMP/want"
eplb plan "$TMP/gaps.csv" $few --layers 4-9 --csv - 2>"$TMP/nothing" | tail -n +2 >"$TMP/got"
awk -F, 'NR > 1 && $1 > 3' "$TMP/gaps_plan.csv" >"$TMP/want"
check '--layers takes such numbers' cmp "$TMP/got" "$TMP/want"
check '--layers beyond them is refused' fails 2 'eplb: --layers 7-10, but the layers are 3-4, 7, 9' \
    plan "$TMP/gaps.csv" $few --layers 7-10
check 'so is one between them' fails 2 'eplb: --layers 5, but the layers are 3-4, 7, 9' \
    plan "$TMP/gaps.csv" $few --layers 5
check 'so is one to show' fails 2 'eplb: --show 3, but the layers planned are 4, 7' \
    plan "$TMP/gaps.csv" $few --layers 4-7 --show 3

# ---------------------------------------------------------------- samples without load

# The samples of a trace with samples of zeros put in: AT says before which (as 0,0,3), all of them in layer 1.
$RUN_ENV "$BUILD/gen_loads" --layers 3 --experts 32 --steps 12 >"$TMP/busy.csv"
put_idle() { # where
    awk -F, -v at="$1" 'BEGIN { OFS = ","; n = split(at, where, ","); step = 0
                                for (i = 1; i <= n; i++) idle[where[i]]++ }
         function zeros(t,    k, l, e) {
             for (k = idle[t]; k > 0; k--) {
                 for (l = 0; l < 3; l++) { printf "%d,%d", step, l; for (e = 0; e < 32; e++) printf ",0"; print "" }
                 step++
             }
         }
         !/^[0-9]/ { print; next }
         $2 == 0 { zeros($1) }
         { $1 = step; print }
         $2 == 2 { step++ }
         END { zeros("end") }' "$TMP/busy.csv"
}
figures() { # a table without its times, and without what the number of samples is in
    awk '/^ *[0-9]+ / || /^ *total/ { NF--; print }'
}
for preset in default deepseek l2; do
    how="$few --half-life 2 --preset $preset"
    eplb plan "$TMP/busy.csv" $how --csv "$TMP/want.csv" | figures >"$TMP/want"
    for at in 0 end 0,0,3 2,5,5,5,11,end,end; do
        put_idle $at >"$TMP/idle.csv"
        rm -f "$TMP/got.csv"
        eplb plan "$TMP/idle.csv" $how --csv "$TMP/got.csv" | figures >"$TMP/got"
        check "samples without load at $at change no plan of $preset" cmp "$TMP/got.csv" "$TMP/want.csv"
        check "samples without load at $at change no figure of $preset" cmp "$TMP/got" "$TMP/want"
    done
done
check 'the test puts them in' test "$(grep -c ',0,0,0,0,0,0,0,0$' "$TMP/idle.csv")" -eq 21

# Whole windows of them change no score of a replay, wherever they are.
replay='--window 3 --history 5 --half-life 2 --preset deepseek,default'
eplb replay "$TMP/busy.csv" $few $replay --csv "$TMP/busy_replay.csv" >"$TMP/busy_replay"
cut -d, -f3-6 "$TMP/busy_replay.csv" >"$TMP/want"
for at in 0,0,0 3,3,3 3,3,3,3,3,3,9,9,9 end,end,end 0,0,0,6,6,6,end,end,end; do
    put_idle $at >"$TMP/idle.csv"
    eplb replay "$TMP/idle.csv" $few $replay --csv "$TMP/idle_replay.csv" >"$TMP/idle_replay"
    cut -d, -f3-6 "$TMP/idle_replay.csv" >"$TMP/got"
    check "windows without load at $at change no score" cmp "$TMP/got" "$TMP/want"
    windows=$(($(echo $at | tr , '\n' | wc -l) / 3))
    check "and are counted" grep -q "^$((windows + 4)) windows of 3 samples, $windows without load left out; " \
        "$TMP/idle_replay"
done
put_idle 3,3,3 >"$TMP/idle.csv"
eplb replay "$TMP/idle.csv" $few $replay --csv "$TMP/idle_replay.csv" >"$TMP/idle_replay"
check 'the other windows keep their numbers' \
    test "$(awk -F, 'NR > 1 { print $1 }' "$TMP/idle_replay.csv" | uniq | numbers)" = '0 2 3 '
check 'and their steps' test "$(awk -F, 'NR > 1 { print $2 }' "$TMP/idle_replay.csv" | uniq | numbers)" = '0 6 9 '
check 'the table has the same' test "$(awk '/^ +[0-9]/ { print $1 }' "$TMP/idle_replay" | numbers)" = '0 2 3 '
# A sample of zeros in the place of one counts for nothing within its window, and is in no history.
awk -F, 'BEGIN { OFS = "," } $1 == 4 { for (e = 3; e <= NF; e++) $e = 0 } { print }' "$TMP/busy.csv" \
    >"$TMP/hole.csv"
eplb replay "$TMP/hole.csv" $few --window 3 --history 2 --preset deepseek --csv "$TMP/hole_replay.csv" >"$TMP/nothing"
awk -F, '/^#/ || /^step/ || $1 == 3 || $1 == 5' "$TMP/busy.csv" >"$TMP/known.csv"
eplb plan "$TMP/known.csv" $few --preset deepseek --quiet | awk '/total/ { print $3 }' >"$TMP/want"
awk -F, '$1 == 1 && $3 == "deepseek" { printf "%.4f\n", $4 }' "$TMP/hole_replay.csv" >"$TMP/got"
check 'a sample without load is in no history and no score' cmp "$TMP/got" "$TMP/want"
awk -F, 'BEGIN { OFS = "," } /^[0-9]/ { for (e = 3; e <= NF; e++) $e = 0 } { print }' "$TMP/busy.csv" \
    >"$TMP/zeros.csv"
need='but one is needed to plan on and one to score on'
check 'a replay without load says so' fails 2 "eplb: of the 4 windows none holds load, $need" \
    replay "$TMP/zeros.csv" $few --window 3
for step in 1 11; do
    awk -F, -v step=$step 'BEGIN { OFS = "," }
        /^[0-9]/ && $1 != step { for (e = 3; e <= NF; e++) $e = 0 } { print }' "$TMP/busy.csv" >"$TMP/one.csv"
    check "so does one with load in step $step alone" fails 2 "eplb: of the 4 windows only one holds load, $need" \
        replay "$TMP/one.csv" $few --window 3
done
eplb plan "$TMP/zeros.csv" $few --half-life 2 >"$TMP/zeros"
check 'loads that are all zero can be planned for' \
    awk '/total/ { exit !($2 == 1 && $3 == 1 && $4 == 1 && $5 == 0) }' "$TMP/zeros"

# ---------------------------------------------------------------- replays in little memory

# Some 40 MB of CSV: steps of 58 layers of 256 experts. What is told of them must not need them all.
awk -F, '/^[0-9]/' "$SAMPLE" >"$TMP/step"
long_trace() { # steps
    echo 'step,layer,'$(awk 'BEGIN { for (e = 0; e < 256; e++) printf "%se%d", e ? "," : "", e }')
    i=0
    while [ $i -lt "$1" ]; do
        sed "s/^[0-9]*,/$i,/" "$TMP/step"
        i=$((i + 1))
    done
}
limited() { # kilobytes, arguments
    (ulimit -v "$1" && shift && eplb "$@")
}
long="--replicas 288 --gpus 32 --window 100 --history 20 --preset deepseek"
if limited 30000 --version >"$TMP/nothing" 2>&1; then
    size=$(wc -c <"$TMP/step")
    steps=$((40000000 / size))
    long_trace $steps >"$TMP/long.csv"
    check 'the long trace has its length' test "$(wc -c <"$TMP/long.csv")" -gt 35000000
    check 'a replay of 40 MB runs in 30 MB' limited 30000 replay "$TMP/long.csv" $long --csv "$TMP/long_replay.csv"
    eplb replay "$TMP/long.csv" $long --csv "$TMP/free_replay.csv" >"$TMP/nothing"
    cut -d, -f1-6 "$TMP/long_replay.csv" >"$TMP/got"
    cut -d, -f1-6 "$TMP/free_replay.csv" >"$TMP/want"
    check 'and gives what it gives without a limit' cmp "$TMP/got" "$TMP/want"
    check 'which is something' test "$(wc -l <"$TMP/want")" -ge 5
    rm "$TMP/long.csv"
else
    echo 'test_cli_commands: memory is not limited here, so that replays in little of it are not tested'
fi

# ---------------------------------------------------------------- plans that are read

two='90,132,40,61,104,165,39,4,73,56,183,86\n20,107,104,64,19,197,187,157,172,86,16,27\n'
printf "$two" >"$TMP/two.csv"
shape='--replicas 16 --gpus 8 --nodes 2 --groups 4'
eplb plan "$TMP/two.csv" $shape --preset deepseek --json "$TMP/two.json" --csv "$TMP/two_plan.csv" >"$TMP/two"
row_0='5,6,5,7,8,4,3,4,10,9,10,2,0,1,11,1' row_1='7,10,6,8,6,11,8,9,2,4,5,1,5,0,3,1'
echo "[[$row_0],[$row_1]]" >"$TMP/bare.json"
printf '\357\273\277 [ [%s ]\n,\r\n\t[ %s] ]\n\n' "$row_0" "$row_1" >"$TMP/blanks.json"
score="--gpus 8 --nodes 2 --groups 4"
eplb score "$TMP/two.csv" --map "$TMP/two.json" $score >"$TMP/score" 2>"$TMP/noise"
check 'score ends well' test $? -eq 0
check 'score says nothing on standard error' test ! -s "$TMP/noise"
rows "$TMP/two" | awk '{ print $1, $3, $4, $5, $6, $7, 0 }' >"$TMP/want"
rows "$TMP/score" 7 | awk '{ $1 = $1; print }' >"$TMP/got"
check 'score has the figures that plan has of its plan' cmp "$TMP/got" "$TMP/want"
awk '$1 == "total" { print $1, $3, $4, $5, $6, $7, 0 }' "$TMP/two" >"$TMP/want"
awk '$1 == "total" { $1 = $1; print }' "$TMP/score" >"$TMP/got"
check 'and its total' cmp "$TMP/got" "$TMP/want"
check 'the heading of score says what its numbers are' \
    grep -F -x 'balancedness of two.json, and its bound for any plan' "$TMP/score"
check 'the heading of plan says what its numbers are' \
    grep -F -x 'balancedness before (experts in order), after, and its bound for any plan' "$TMP/two"
for form in bare blanks; do
    eplb score "$TMP/two.csv" --map "$TMP/$form.json" $score >"$TMP/got"
    rows "$TMP/got" 7 >"$TMP/got_rows"
    rows "$TMP/score" 7 >"$TMP/want"
    check "a plan may be $form arrays" cmp "$TMP/got_rows" "$TMP/want"
done
eplb score "$TMP/two.csv" --map - $score <"$TMP/two.json" >"$TMP/got"
rows "$TMP/got" 7 >"$TMP/got_rows"
check 'a plan may come from standard input' cmp "$TMP/got_rows" "$TMP/want"
printf '%s\n' "$row_0" "$row_1" >"$TMP/rows.csv"
for type in '<i4' '>i8'; do
    for index in C F; do
        $RUN_ENV "$BUILD/npy_write" "$type" $index 1 <"$TMP/rows.csv" >"$TMP/bare.npy"
        eplb score "$TMP/two.csv" --map "$TMP/bare.npy" $score >"$TMP/got"
        rows "$TMP/got" 7 >"$TMP/got_rows"
        check "a plan may be npy $type $index" cmp "$TMP/got_rows" "$TMP/want"
    done
done
head -n 1 "$TMP/two.csv" >"$TMP/one.csv"
echo "[$row_0]" >"$TMP/one.json"
eplb score "$TMP/one.csv" --map "$TMP/one.json" $score >"$TMP/got"
rows "$TMP/got" 7 >"$TMP/got_rows"
rows "$TMP/score" 7 | head -n 1 >"$TMP/want"
check 'a plan of one layer may be one array' cmp "$TMP/got_rows" "$TMP/want"

# Balancedness, the most replicas, duplicates and empty slots, from the loads and the plan itself.
echo '[[0,1,2,3,-1,4,5,5,6,7,8,9,10,11,0,-1],[11,11,11,0,1,2,3,4,5,6,7,8,9,-1,10,-1]]' >"$TMP/holes.json"
eplb score "$TMP/two.csv" --map "$TMP/holes.json" --gpus 4 --csv "$TMP/holes.csv" --json "$TMP/holes_score.json" \
    --svg "$TMP/holes.svg" --show 1 >"$TMP/holes"
tr -d '[ ]' <"$TMP/holes.json" | sed 's/,/ /g' >"$TMP/slots"
cat >"$TMP/holes.awk" <<'AWK'
# From two layers of loads, and of slots in one line: layer balancedness max replicas duplicates empty.
FNR == NR { n = split($0, c, ","); for (e = 1; e <= n; e++) load[FNR - 1, e - 1] = c[e]; next }
{
    n = split($0, slot, " ")
    for (l = 0; l < 2; l++) {
        split("", count); split("", has); most = 0; sum = 0; largest = 0; twice = 0; empty = 0
        for (s = 1; s <= 16; s++) count[slot[16 * l + s]]++
        for (e = 0; e < 12; e++) { sum += load[l, e]; if (count[e] > most) most = count[e] }
        for (g = 0; g < 4; g++) {
            x = 0
            for (s = 4 * g + 1; s <= 4 * g + 4; s++) {
                e = slot[16 * l + s]
                if (e < 0) { empty++; continue }
                x += load[l, e] / count[e]; twice += ((g, e) in has); has[g, e]
            }
            if (x > largest) largest = x
        }
        printf "%d %.4f %d %d %d\n", l, sum / 4 / largest, most, twice, empty
    }
}
AWK
awk '{ gsub(/\],\[/, "\n"); gsub(/[][]/, ""); print }' "$TMP/holes.json" >"$TMP/holes_rows.csv"
$RUN_ENV "$BUILD/npy_write" '<i4' F 1 <"$TMP/holes_rows.csv" >"$TMP/holes.npy"
eplb score "$TMP/two.csv" --map "$TMP/holes.npy" --gpus 4 >"$TMP/got"
rows "$TMP/got" 7 >"$TMP/got_rows"
rows "$TMP/holes" 7 >"$TMP/want"
check 'empty slots of .npy are those of JSON' cmp "$TMP/got_rows" "$TMP/want"
awk -f "$TMP/holes.awk" "$TMP/two.csv" "$TMP/slots" >"$TMP/want"
rows "$TMP/holes" 7 | awk '{ print $1, $2, $5, $6, $7 }' >"$TMP/got"
check 'score counts loads, replicas, duplicates and empty slots' cmp "$TMP/got" "$TMP/want"
check 'where there are some of all' awk '{ n += $4 > 0; m += $5 > 0 } END { exit !(n && m == 2) }' "$TMP/want"
awk -F, 'NR > 1 { printf "%d %.4f %d %d %d\n", $1, $2, $7, $8, $9 }' "$TMP/holes.csv" >"$TMP/got"
check 'its CSV has the same' cmp "$TMP/got" "$TMP/want"
check 'and a header' test "$(head -n 1 "$TMP/holes.csv")" = \
    layer,balancedness,bound,max_load,mean_load,lower_bound,max_replicas,duplicates,empty
sed -n 's/^{"layer":\([0-9]*\),"balancedness":\([0-9.]*\),.*"max_replicas":\(.*\),"duplicates":\(.*\),"empty":\([0-9]*\)}.*/\1 \2 \3 \4 \5/p' \
    "$TMP/holes_score.json" | awk '{ printf "%d %.4f %d %d %d\n", $1, $2, $3, $4, $5 }' >"$TMP/got"
check 'its JSON has the same' cmp "$TMP/got" "$TMP/want"
check 'and says what it is' grep -q '^{"format":"eplb-score","version":1,"library":"[0-9.]*",$' "$TMP/holes_score.json"
check 'the picture of a score has one panel' test "$(grep -c 'balancedness' "$TMP/holes.svg")" -eq 1
check 'and the bars one column' grep -q '^  GPU  balancedness [0-9.]*$' "$TMP/holes"
eplb score "$TMP/two.csv" --map "$TMP/holes.json" --gpus 4 --quiet >"$TMP/quiet"
check 'score --quiet prints the total alone' \
    awk 'NR == 2 && $1 != "total" { exit 1 } END { exit NR != 2 }' "$TMP/quiet"
eplb score "$TMP/two.csv" --map "$TMP/holes.json" --gpus 4 --replicas 16 --layers 1 >"$TMP/got"
check 'score --layers prints these layers' test "$(rows "$TMP/got" 7 | awk '{ print $1 }')" = 1
eplb score "$SAMPLE" --map "$TMP/none.json" --gpus 32 2>"$TMP/got"
check 'a map that is not there is named' grep -q "$TMP/none.json: No such file or directory" "$TMP/got"
# A plan without groups, under the bound that groups have.
eplb plan "$SAMPLE" --replicas 288 --gpus 32 --layers 0-1 --json "$TMP/global.json" >"$TMP/nothing"
eplb score "$SAMPLE" --map "$TMP/global.json" --gpus 32 --nodes 4 --groups 8 --layers 0-1 >"$TMP/got"
check 'a plan that does not keep to the policy may be better than its bound' \
    awk '$1 == "total" { exit !($2 > $3 && $4 < 0) }' "$TMP/got"

# The plan in force in the place of the experts in order.
eplb plan "$TMP/two.csv" $shape --map "$TMP/bare.json" --json "$TMP/after.json" --svg "$TMP/after.svg" >"$TMP/after"
rows "$TMP/score" 7 | awk '{ print $1, $2 }' >"$TMP/want"
rows "$TMP/after" | awk '{ print $1, $2 }' >"$TMP/got"
check 'plan --map has the score of the plan in force as before' cmp "$TMP/got" "$TMP/want"
check 'its heading says so' \
    grep -F -x 'balancedness before (bare.json), after, and its bound for any plan' "$TMP/after"
check 'its JSON says so' grep -x '"before":"bare.json",' "$TMP/after.json"
check 'its JSON has the scores' awk -v want="$(awk 'NR == 1 { print $2 }' "$TMP/want")" \
    'sub(/^{"layer":0,"balancedness_before":/, "") { sub(/,.*/, ""); exit sprintf("%.4f", $0) != want }' "$TMP/after.json"
check 'its picture says so' grep -q '>before, bare.json: balancedness ' "$TMP/after.svg"
check 'without --map the experts are in order' grep -x '"before":"experts in order",' "$TMP/two.json"
eplb plan "$TMP/two.csv" $shape --json "$TMP/plain.json" >"$TMP/nothing"
sed -n 's/.*"phy2log"/"phy2log"/p' "$TMP/plain.json" >"$TMP/want"
sed -n 's/.*"phy2log"/"phy2log"/p' "$TMP/after.json" >"$TMP/got"
check 'the new plan does not depend on it' cmp "$TMP/got" "$TMP/want"

# Layers of this program's plans are found by their numbers, whichever of them there are.
eplb plan "$TMP/gaps.csv" $few --layers 4-7 --json "$TMP/some.json" >"$TMP/some"
eplb score "$TMP/gaps.csv" --map "$TMP/some.json" --gpus 8 --layers 4-7 >"$TMP/got"
rows "$TMP/some" | awk '{ print $1, $3 }' >"$TMP/want"
rows "$TMP/got" 7 | awk '{ print $1, $2 }' >"$TMP/got_rows"
check 'a plan of some layers scores these' cmp "$TMP/got_rows" "$TMP/want"
check 'a layer that a plan does not have is named' \
    fails 2 "eplb: $TMP/some.json: no plan of layer 3; the layers are 4, 7" score "$TMP/gaps.csv" \
    --map "$TMP/some.json" --gpus 8
sed -n 's/.*"phy2log":\(\[[^]]*\]\),.*/\1/p' "$TMP/gaps.json" | paste -s -d, - | sed 's/.*/[&]/' >"$TMP/rows.json"
eplb score "$TMP/gaps.csv" --map "$TMP/rows.json" --gpus 8 >"$TMP/got"
rows "$TMP/gaps" | awk '{ print $1, $3 }' >"$TMP/want"
rows "$TMP/got" 7 | awk '{ print $1, $2 }' >"$TMP/got_rows"
check 'bare arrays of as many layers are these' cmp "$TMP/got_rows" "$TMP/want"
sed -n 's/.*"phy2log":\(\[[^]]*\]\),.*/[\1]/p' "$TMP/gaps.json" | head -n 1 >"$TMP/row.json"
check 'bare arrays of fewer are not' \
    fails 2 "eplb: $TMP/row.json: plans of 1 layer, but the loads are of 4" score "$TMP/gaps.csv" \
    --map "$TMP/row.json" --gpus 8

# Counts of slots, [layers, GPUs, slots of a GPU], under the plan in force: slots share what their experts have.
awk '{ n = split($0, c, ","); for (e = 1; e <= n; e++) load[FNR - 1, e - 1] = c[e] * 6 }
     END { plan[0] = "'$row_0'"; plan[1] = "'$row_1'"
           for (l = 0; l < 2; l++) {
               n = split(plan[l], slot, ","); split("", count)
               for (s = 1; s <= n; s++) count[slot[s]]++
               for (s = 1; s <= n; s++) {
                   printf "%s%s%s%g", s == 1 ? (l ? ",\n[" : "[[") : "", s % 2 ? (s > 1 ? ",[" : "[") : ",", "",
                       load[l, slot[s]] / count[slot[s]]
                   if (s % 2 == 0) printf "]"
               }
               printf "]"
           }
           print "]" }' "$TMP/two.csv" >"$TMP/by_slot.json"
eplb score "$TMP/by_slot.json" --axes LGS --map "$TMP/two.json" $score >"$TMP/got"
rows "$TMP/got" 7 >"$TMP/got_rows"
rows "$TMP/score" 7 >"$TMP/want"
check 'score takes counts of slots' cmp "$TMP/got_rows" "$TMP/want"
eplb plan "$TMP/by_slot.json" --axes LGS --map "$TMP/bare.json" $shape --json "$TMP/by_slot_plan.json" >"$TMP/got"
sed -n 's/.*"phy2log"/"phy2log"/p' "$TMP/by_slot_plan.json" >"$TMP/got_maps"
sed -n 's/.*"phy2log"/"phy2log"/p' "$TMP/plain.json" >"$TMP/want"
check 'plan takes counts of slots' cmp "$TMP/got_maps" "$TMP/want"
rows "$TMP/got" | awk '{ print $1, $2 }' >"$TMP/got_rows"
rows "$TMP/score" 7 | awk '{ print $1, $2 }' >"$TMP/want"
check 'and compares with the plan that they were counted under' cmp "$TMP/got_rows" "$TMP/want"
eplb plan "$TMP/by_slot.json" --axes LGS --map "$TMP/bare.json" --replicas 24 --gpus 8 >"$TMP/got"
check 'unless another number of slots is asked for' \
    grep -F -x 'balancedness before (experts in order), after, and its bound for any plan' "$TMP/got"
check 'which score cannot be' fails 2 "eplb: $TMP/bare.json: 16 slots in a layer, but --replicas is 24" \
    score "$TMP/by_slot.json" --axes LGS --map "$TMP/bare.json" --replicas 24 --gpus 8
eplb plan "$TMP/by_slot.json" --replicas 16 --gpus 8 --quiet 2>"$TMP/got" >"$TMP/nothing"
check 'such counts without --axes are doubted' \
    grep -q '^eplb: note: 2 experts have room on each of the 8 GPUs: .* --axes LGS and --map PLAN$' "$TMP/got"

# A plan that stays in force, in a replay.
eplb plan "$TMP/busy.csv" $few --json "$TMP/busy.json" >"$TMP/nothing"
eplb replay "$TMP/busy.csv" $few --window 3 --map "$TMP/busy.json" --svg "$TMP/stays.svg" --csv "$TMP/stays.csv" \
    >"$TMP/stays"
for i in 0 2; do
    awk -F, -v first=$((3 * i + 3)) '/^#/ || /^step/ || ($1 >= first && $1 < first + 3)' "$TMP/busy.csv" >"$TMP/cut.csv"
    eplb score "$TMP/cut.csv" --map "$TMP/busy.json" --gpus 8 --quiet | awk '/total/ { print $2 }' >"$TMP/want"
    awk -F, -v i=$i '$1 == i && $3 == "map" { printf "%.4f\n", $5 }' "$TMP/stays.csv" >"$TMP/got"
    check "the plan in force is scored on the window after window $i" cmp "$TMP/got" "$TMP/want"
done
check 'replay calls it map' grep -q '^window  *map  *default  *bound$' "$TMP/stays"
check 'and in the chart' grep -q '>Beside the bound and the plan in force<' "$TMP/stays.svg"

# ---------------------------------------------------------------- exact shares

# A plan by hand: expert 0 on both GPUs, 1 and 2 on one each. Steps of 12 tokens, 13 tokens, and loads that are no
# tokens, idle in between.
cat >"$TMP/hand.csv" <<'END'
step,layer,e0,e1,e2
0,0,4,6,2
1,0,5,6,2
2,0,0,0,0
3,0,2.5,3,1
END
echo '[[0,1,0,2]]' >"$TMP/hand.json"
exact_of() { # steps
    eplb score "$TMP/hand.csv" --map "$TMP/hand.json" --gpus 2 --steps "$1" --shares exact --csv - 2>"$TMP/table" |
        awk -F, 'NR == 1 { print $2, $3 } NR == 2 { printf "%.6f %.6f\n", $2, $3 }' | tr '\n' ' '
}
heads='balancedness exact_balancedness'
check 'exact shares of tokens that divide' test "$(exact_of 0)" = "$heads 0.750000 1.000000 "
check 'whole tokens of those that do not' test "$(exact_of 1)" = "$heads 0.764706 0.928571 "
check 'the table has both' \
    awk '$1 == 0 && NF == 8 && $2 == "0.7647" && $3 == "0.9286" { rows++ } END { exit rows != 1 }' "$TMP/table"
check 'parts of loads that are no tokens' test "$(exact_of 3)" = "$heads 0.764706 1.000000 "
check 'means over the samples with load' test "$(exact_of 0-3)" = "$heads 0.759036 0.969231 "
sed 's/^0,0,.*/0,0,2e9,1e9,5e8/' "$TMP/hand.csv" >"$TMP/got" && mv "$TMP/got" "$TMP/hand.csv"
check 'more tokens than 2^31 are shared all the same' test "$(exact_of 0)" = "$heads 0.875000 1.000000 "
eplb score "$TMP/hand.csv" --map "$TMP/hand.json" --gpus 2 --steps 1 --shares equal,exact --json - 2>"$TMP/table" |
    sed -n 's/.*"\(balancedness\)":[0-9.]*,"\(exact_balancedness\)":\([0-9.]*\),.*/\1 \2 \3/p' >"$TMP/got"
printf 'balancedness exact_balancedness 0.928571403\n%.0s' 1 2 >"$TMP/want"
check 'the JSON has both, of layers and of all' cmp "$TMP/got" "$TMP/want"

# Side by side in a replay; each alone; what --shares equal gives is what there is without it.
replay="$few --window 3 --preset deepseek,default"
for shares in equal exact equal,exact exact,equal; do
    eplb replay "$TMP/busy.csv" $replay --shares $shares --csv "$TMP/$shares.csv" --svg "$TMP/$shares.svg" \
        >"$TMP/$shares.txt"
done
eplb replay "$TMP/busy.csv" $replay --csv "$TMP/plain.csv" --svg "$TMP/plain.svg" >"$TMP/nothing"
cut -d, -f1-6 "$TMP/plain.csv" >"$TMP/want"
cut -d, -f1-6 "$TMP/equal.csv" >"$TMP/got"
check '--shares equal is what there is without it' cmp "$TMP/got" "$TMP/want"
check 'in the chart too' cmp "$TMP/equal.svg" "$TMP/plain.svg"
cut -d, -f1-5,8 "$TMP/equal,exact.csv" >"$TMP/got"
check 'with exact ones, equal shares stay as they are' cmp "$TMP/got" "$TMP/want"
cut -d, -f1-3,6-8 "$TMP/equal,exact.csv" >"$TMP/got"
cut -d, -f1-6 "$TMP/exact.csv" >"$TMP/want"
check 'and exact ones as without equal ones' cmp "$TMP/got" "$TMP/want"
check 'which say what they are' \
    grep -q '^window,first_step,preset,own,next,exact_own,exact_next,bound,microseconds$' "$TMP/equal,exact.csv"
check 'the order of the two is nothing' cmp "$TMP/equal,exact.svg" "$TMP/exact,equal.svg"
check 'both are better than equal ones by more than nothing' awk -F, 'NR > 1 && $3 != "in order" {
    if ($6 <= $4 || $7 <= $5) exit 1; rows++ } END { exit rows != 6 }' "$TMP/equal,exact.csv"
check 'the table of totals has both' \
    grep -q '^all windows  *own  *next  *exact own  *exact next  *bound  *time us$' "$TMP/equal,exact.txt"
check 'and that of windows' \
    grep -q '^window  in order  in order exact  deepseek  deepseek exact  *default  default exact  *bound$' \
        "$TMP/equal,exact.txt"
awk '/^ +[0-9]/ { print $1, $2, $3, $4, $5, $6, $7 }' "$TMP/equal,exact.txt" >"$TMP/got"
awk -F, 'NR > 1 { if ($3 == "in order") printf "%s%d", (NR > 2 ? "\n" : ""), $1; printf " %.4f %.4f", $5, $7 }
         END { print "" }' "$TMP/equal,exact.csv" >"$TMP/want"
check 'with the figures of the CSV' cmp "$TMP/got" "$TMP/want"
lines() { # how many lines a chart has in its two plots, and of them dashed ones
    echo "$(grep -c '<polyline' "$1") $(grep '^<g .*stroke-dasharray' "$1" | wc -l)"
}
check 'the chart has a line for each' test "$(lines "$TMP/equal,exact.svg") $(lines "$TMP/exact.svg")" = '11 6 6 2'
check 'a legend for each' test "$(grep -c '>exact shares<' "$TMP/equal,exact.svg")" -eq 3
check 'and says how to tell them apart' grep -q '; equal shares dashed</text>' "$TMP/equal,exact.svg"

# ---------------------------------------------------------------- plans that are kept

$RUN_ENV "$BUILD/gen_loads" --layers 2 --experts 32 --steps 21 --wander 6 >"$TMP/wander.csv"
check 'loads that wander say so' grep -q '^# gen_loads --layers 2 --experts 32 --steps 21 --seed 3 --wander 6$' \
    "$TMP/wander.csv"
replay="$few --window 3 --preset deepseek --shares equal,exact"
for every in 1 2 never 6 100; do
    eplb replay "$TMP/wander.csv" $replay --every $every --csv "$TMP/every_$every.csv" --svg "$TMP/every_$every.svg" \
        >"$TMP/every_$every"
done
eplb replay "$TMP/wander.csv" $replay --csv "$TMP/got.csv" --svg "$TMP/got.svg" >"$TMP/nothing"
check '--every 1 is what there is without it' cmp "$TMP/got.svg" "$TMP/every_1.svg"
cut -d, -f1-8 "$TMP/got.csv" >"$TMP/got"
cut -d, -f1-8 "$TMP/every_1.csv" >"$TMP/want"
check 'without a column for the age' cmp "$TMP/got" "$TMP/want"
paste_near() { # files of two numbers each, which are the same but for what a pixel is
    paste "$1" "$2" | awk '{ print; apart = $1 - $2; if (!(apart * apart < 2e-6)) exit 1; near++ } END { exit near != 2 }'
}
ages() { # of a replay's plans
    awk -F, '$4 == "deepseek" { print $3 }' "$1" | numbers
}
check 'plans are kept for a window' test "$(ages "$TMP/every_2.csv")" = '0 1 0 1 0 1 '
check 'or to the end' test "$(ages "$TMP/every_never.csv")" = '0 1 2 3 4 5 '
check 'the table has their age' \
    test "$(awk '/^ +[0-9]+ +[0-9]+ / { print $2 }' "$TMP/every_2" | numbers)" = '0 1 0 1 0 1 '
for every in 6 100; do
    cut -d, -f1-9 "$TMP/every_$every.csv" >"$TMP/got"
    cut -d, -f1-9 "$TMP/every_never.csv" >"$TMP/want"
    check "every $every windows is never, of 7" cmp "$TMP/got" "$TMP/want"
done
check 'what is kept takes no time' awk -F, '$4 == "deepseek" && ($3 > 0) != ($NF == 0) { exit 1 }' "$TMP/every_2.csv"
awk -F, 'NR == 1 || $3 == 0' "$TMP/every_2.csv" | cut -d, -f1-2,4-9 >"$TMP/got"
awk -F, 'NR == 1 || $1 % 2 == 0' "$TMP/every_1.csv" | cut -d, -f1-8 >"$TMP/want"
check 'new ones are as ever' cmp "$TMP/got" "$TMP/want"
# The plan of the first window, as score has it later.
eplb plan "$TMP/wander.csv" $few --preset deepseek --steps 0-2 --json "$TMP/first.json" >"$TMP/nothing"
for i in 0 3 5; do
    first=$((3 * i + 3))
    eplb score "$TMP/wander.csv" --map "$TMP/first.json" --gpus 8 --steps $first-$((first + 2)) --quiet --shares exact |
        awk '/total/ { print $2, $3 }' >"$TMP/want"
    awk -F, -v i=$i '$1 == i && $4 == "deepseek" { printf "%.4f %.4f\n", $6, $8 }' "$TMP/every_never.csv" >"$TMP/got"
    check "the first plan is scored on the window after window $i" cmp "$TMP/got" "$TMP/want"
done
check 'a chart over ages has a point for each' \
    test "$(grep -c '<circle' "$TMP/every_2.svg") $(grep -c '<circle' "$TMP/every_never.svg")" = '14 42'
# The lowest and highest numbers beside the axis of a plot say where a value is, 4.5 pixels above their letters' feet;
# the last line, of exact shares, is drawn first.
awk -F'[" ,<>=]+' '/text-anchor="end">[01]/ && !high { low_y = low_y ? low_y : $6; if (low == "") low = $9; top = $9; top_y = $6 }
                   /<polyline/ && !high { high = top; for (i = 4; i < NF - 1; i += 2)
                       printf "%.3f\n", low + (top - low) * (low_y - 4.5 - $(i + 1)) / (low_y - top_y) }' \
    "$TMP/every_2.svg" >"$TMP/got"
awk -F, '$4 == "deepseek" { n[$3]++; most[$3] += 1 / $8 } END { for (i = 0; i < 2; i++) printf "%.3f\n", n[i] / most[i] }' \
    "$TMP/every_2.csv" >"$TMP/want"
check 'each of them is what all plans of that age come to' paste_near "$TMP/got" "$TMP/want"
check 'and says that it is one' grep -q '<title>Balancedness of plans on the next window, by their age</title>' \
    "$TMP/every_2.svg"
check 'the summary says how long' grep -q '; every 2 windows a plan of the last 3 samples$' "$TMP/every_2"
check 'or that there is one plan' grep -q '; one plan, of the first 3 samples$' "$TMP/every_never"
# Windows without load do not age a plan.
how="$few --window 3 --preset deepseek --every 2 --shares equal,exact"
eplb replay "$TMP/busy.csv" $how --csv - 2>"$TMP/nothing" | cut -d, -f3-9 >"$TMP/want"
put_idle 3,3,3,6,6,6 >"$TMP/idle.csv"
eplb replay "$TMP/idle.csv" $how --csv - 2>"$TMP/nothing" | cut -d, -f3-9 >"$TMP/got"
check 'windows without load age no plan' cmp "$TMP/got" "$TMP/want"
check 'the test has ages' test "$(cut -d, -f1 "$TMP/want" | uniq | numbers)" = 'age 0 1 0 '

# ---------------------------------------------------------------- wrong plans

wrong_map() { # what it is, printf format of the plan, place and what is said
    printf "$2" >"$TMP/wrong.json"
    check "plan: $1" fails 2 "$TMP/wrong.json:$3" score "$TMP/two.csv" --map "$TMP/wrong.json" --gpus 4 \
        --csv "$TMP/left.csv"
}
shape_of_plans='a plan is [layers, slots], [slots], or [steps, layers, slots]'
no_id='is no id of an expert: they start at 0, and -1 is none'
none='no plan begins here: it is JSON that `plan --json` wrote, arrays of experts in JSON or .npy, or a plan of an engine; `eplb formats` lists them'
no_format='an object without "format":"eplb-plan", which this program'"'"'s plans have, and none of those that `eplb formats` lists'
wrong_map 'empty file' '' "1:1: $none"
wrong_map 'a word' 'plan' "1:1: $none"
wrong_map 'CSV' 'layer,slot,node,gpu,expert,replica\n0,0,0,0,0,0\n' "1:1: $none"
wrong_map 'a number that is not whole' '[[0,\n 1.0]]' "2:2: '1.0' is not a whole number"
wrong_map 'a number that JSON does not have' '[[0,+1]]' "1:5: '+1' is not a whole number"
wrong_map 'a negative expert' '[[0,-2]]' "1:5: '-2' $no_id"
wrong_map 'an expert beyond all' '[[65536]]' \
    "1:3: '65536' is beyond 65535, more than ids of experts are without --experts"
wrong_map 'a word for an expert' '[[0,x]]' "1:5: 'x' is not a whole number"
wrong_map 'a string for an expert' '[[0,"1"]]' '1:5: a string where a number should be'
wrong_map 'no layers' '[]' '1:2: a layer without slots'
wrong_map 'a layer of no slots' '[[0],[]]' '1:7: a layer without slots'
wrong_map 'a slot left out' '[[0,,1]]' '1:5: a value is missing here'
wrong_map 'layers of other lengths' '[[0,1],\n[2]]' '2:3: a layer of 1 slots; those above have 2'
wrong_map 'four dimensions' '[[[[0]]]]' "1:4: an array for an expert: $shape_of_plans"
wrong_map 'an array after experts' '[0,[1]]' '1:4: an array where a number should be'
wrong_map 'an expert after arrays' '[[1],0]' "1:6: an array should begin here: $shape_of_plans"
wrong_map 'an end within an array' '[[0,1],' '1:8: the file ends within an array'
wrong_map 'an end after an expert' '[[0' '1:4: the file ends within an array'
wrong_map 'a brace for a bracket' '[[0}' "1:4: ',' or ']' should stand here"
wrong_map 'more after the plan' '[[0]]\n[[1]]' '2:1: the file goes on after its plan'
wrong_map 'a zero byte after it' '[[0]]\000' '1:6: the file goes on after its plan'
wrong_map 'an object of nothing' ' {}' "1:2: $no_format"
wrong_map 'another object' '{"a":[{"b":[1,{}]},"}"],"c":null}' "1:1: $no_format"
wrong_map 'a score' '{"format":"eplb-score","layers":[{"layer":0}]}' "1:1: $no_format"
wrong_map 'a string without end' '{"format' '1:2: the file ends within this string'
wrong_map 'a later version' '{"format":"eplb-plan","version":2}' \
    "1:33: '2' is no version of the format that can be read: only 1"
wrong_map 'no list of layers' '{"format":"eplb-plan","version":1}' '1:1: a plan without layers'
wrong_map 'a layer without number' '{"format":"eplb-plan","layers":[{"phy2log":[0]}]}' \
    '1:33: a layer without "layer"'
wrong_map 'a layer without slots' '{"format":"eplb-plan","layers":[\n{"layer":0}]}' '2:1: a layer without "phy2log"'
wrong_map 'bare arrays for layers' '{"format":"eplb-plan","layers":[[0]]}' \
    '1:33: an object should begin here: a layer with its "phy2log"'
wrong_map 'a layer given twice' \
    '{"format":"eplb-plan","layers":[{"layer":2,"phy2log":[0]},\n {"layer":2,"phy2log":[0]}]}' \
    '2:2: layer 2 after layer 2: layers ascend in a plan'
wrong_map 'a negative layer' '{"format":"eplb-plan","layers":[{"layer":-1,"phy2log":[0]}]}' "1:42: '-1' is not a layer"

wrong_npy() { # what it is, type, samples, rows, what is said
    printf "$4" | $RUN_ENV "$BUILD/npy_write" "$2" C 1 $3 >"$TMP/wrong.npy"
    check "npy plan: $1" fails 2 "$TMP/wrong.npy: byte $5" score "$TMP/two.csv" --map "$TMP/wrong.npy" --gpus 4
}
wrong_npy 'floats' '<f4' '' '0,1\n' '0: experts should be of an integer type, not of f4'
wrong_npy 'four dimensions' '<i4' 1x1x2x2 '0,1\n1,0\n' "0: 4 dimensions: $shape_of_plans"
wrong_npy 'a negative expert' '<i4' '' '0,1\n1,-2\n' "140: element [1, 1], -2, $no_id"
head -c 100 "$TMP/wrong.npy" >"$TMP/short.npy"
check 'npy plan: a short file' sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/two.csv' --map '$TMP/short.npy' --gpus 4 2>&1 |
    grep -q '^$TMP/short.npy: byte '"
printf '\200\004\225' >"$TMP/plan.pkl"
check 'a plan in a pickle is named as one' sh -c "$RUN_ENV '$BUILD/eplb' score '$TMP/two.csv' --map '$TMP/plan.pkl' --gpus 4 2>&1 |
    grep -q 'plan.pkl is a Python pickle, which is not read: '"

misfit() { # what it is, what is said, the plan, options
    what=$1 line=$2
    printf "$3" >"$TMP/wrong.json"
    shift 3
    check "plan: $what" fails 2 "eplb: $TMP/wrong.json: $line" score "$TMP/two.csv" --map "$TMP/wrong.json" "$@" \
        --csv "$TMP/left.csv"
}
twelve='0,1,2,3,4,5,6,7,8,9,10,11'
misfit 'an expert without load' 'layer 1, slot 12: expert 12, but the loads have 12 experts' \
    "[[$twelve,0],[$twelve,12]]" --gpus 1
misfit 'an expert left out' 'layer 1: no slot holds expert 11' \
    "[[$twelve,0],[0,1,2,3,4,5,6,7,8,9,10,-1,0]]" --gpus 1
misfit 'an expert left out of as many slots' \
    'layer 0: no slot holds expert 11; if the loads are counts of slots, say so with --axes (such as LP)' \
    '[[0,1,2,3,4,5,6,7,8,9,10,10],[0,1,2,3,4,5,6,7,8,9,10,10]]' --gpus 4
misfit 'fewer slots than experts' '11 slots in a layer, fewer than the 12 experts of the loads' \
    '[[0,1,2,3,4,5,6,7,8,9,10],[0,1,2,3,4,5,6,7,8,9,10]]' --gpus 1
misfit 'GPUs that do not divide the slots' \
    '12 slots in a layer are not a multiple of --gpus 5; 4 or 6 GPUs would divide them' \
    "[[$twelve],[$twelve]]" --gpus 5
misfit 'other replicas than asked for' '12 slots in a layer, but --replicas is 16' "[[$twelve],[$twelve]]" --gpus 4 \
    --replicas 16
misfit 'fewer layers than the loads' 'plans of 1 layer, but the loads are of 2' "[[$twelve]]" --gpus 4
check 'a plan in force of other slots is refused' \
    fails 2 "eplb: $TMP/bare.json: 16 slots in a layer, but --replicas is 24" \
    plan "$TMP/two.csv" --replicas 24 --gpus 8 --map "$TMP/bare.json"
check 'none of these left a file' test ! -e "$TMP/left.csv"

# ---------------------------------------------------------------- doubts

notes() { # the line on standard error, or nothing, and arguments of plan
    line=$1
    shift
    got=$(eplb plan "$@" --quiet 2>&1 >"$TMP/notes.out")
    echo "$got"
    [ "$got" = "${line:+eplb: note: $line}" ] && [ -s "$TMP/notes.out" ]
}
spare='experts on as many replicas, so that none is spare: if these are counts of slots, say so with --axes (such as LP or TLP) and --map PLAN'
room='if this is [layers, GPUs, slots of a GPU], say so with --axes LGS and --map PLAN'
check 'as many experts as slots are doubted' notes "12 $spare" "$TMP/two.csv" --replicas 12 --gpus 4
check 'but not on one GPU' notes '' "$TMP/two.csv" --replicas 12 --gpus 1
check 'nor where --axes has said so' notes '' "$TMP/two.csv" --replicas 12 --gpus 4 --axes LE
check 'nor with the plan in force' sh -c "echo '[[$twelve],[$twelve]]' >'$TMP/map.json' &&
    $RUN_ENV '$BUILD/eplb' plan '$TMP/two.csv' --replicas 12 --gpus 4 --map '$TMP/map.json' 2>&1 >'$TMP/nothing' |
        cmp - /dev/null"
check 'every expert on every GPU is doubted' notes "12 experts have room on each of the 2 GPUs: $room" "$TMP/two.csv" \
    --replicas 24 --gpus 2
awk 'BEGIN { for (l = 0; l < 300; l++) print l % 7 + 1 "," l % 5 + 1 "," l % 3 + 1 }' >"$TMP/many.csv"
check 'more layers than models have are doubted' \
    notes '300 layers of loads: if these are samples, or [layers, samples, experts], say so with --axes (TE, LTE)' \
    "$TMP/many.csv" --replicas 4 --gpus 2
check 'a replay doubts as well' sh -c "$RUN_ENV '$BUILD/eplb' replay '$TMP/busy.csv' --replicas 32 --gpus 4 \
    --window 6 --quiet 2>&1 >'$TMP/nothing' | grep -F -x 'eplb: note: 32 $spare'"

# ---------------------------------------------------------------- what would do instead

says() { # the line after `eplb: `, arguments
    line=$1
    shift
    check "eplb $* says what would do" fails 2 "eplb: $line" "$@"
}
says '--replicas 257 is not a multiple of --gpus 6; 258 slots would divide' plan "$SAMPLE" --replicas 257 --gpus 6
says '--replicas 100 is less than the 256 experts of a layer; 280 would do' plan "$SAMPLE" --replicas 100 --gpus 40
says '--gpus 32 is not a multiple of --nodes 7; 4 or 8 nodes would divide them' \
    plan "$SAMPLE" --replicas 288 --gpus 32 --nodes 7
says '--gpus 2 is not a multiple of --nodes 4; 2 nodes would divide them' \
    plan "$SAMPLE" --replicas 288 --gpus 2 --nodes 4
says '--groups 7 does not divide the 256 experts of a layer; with 1 node 4 or 8 would' \
    plan "$SAMPLE" --replicas 288 --gpus 32 --groups 7
says '--groups 12 does not divide the 256 experts of a layer; with 3 nodes none would' \
    plan "$SAMPLE" --replicas 288 --gpus 36 --groups 12 --nodes 3
says '--max-replicas 2 leaves some of the 768 slots empty with 256 experts; 3 would do' \
    plan "$SAMPLE" --replicas 768 --gpus 32 --max-replicas 2
says "unknown option '--replica=3'; did you mean '--replicas'?" plan "$SAMPLE" --replica=3
says "unknown option '--preset-name'; try 'eplb --help'" plan "$SAMPLE" --preset-name l2
says "score has no option '--preset', which is for plan, replay and check; try 'eplb --help'" score "$SAMPLE" --preset l2
says "there is no preset 'defualt'; did you mean 'default'?" plan "$SAMPLE" --preset defualt
says "there is no preset 'l3'; did you mean 'l2'?" replay "$SAMPLE" --preset deepseek,l3
says "there are no shares 'exakt'; did you mean 'exact'?" replay "$SAMPLE" --shares equal,exakt
says "--shares is equal, exact, vllm or several between commas, not 'fair'" replay "$SAMPLE" --shares fair
says "--shares is equal, exact, vllm or several between commas, not 'exact,'" score "$SAMPLE" --shares exact,
says "--shares has 'exact' twice" replay "$SAMPLE" --shares exact,exact
says "plan has no option '--shares', which is for score and replay; try 'eplb --help'" plan "$SAMPLE" --shares exact
says "--every needs a whole number of windows from 1 to 2147483647, or never, not '0'" replay "$SAMPLE" --every 0
says "--every needs a whole number of windows from 1 to 2147483647, or never, not 'always'" \
    replay "$SAMPLE" --every always
says "score has no option '--every', which is for replay; try 'eplb --help'" score "$SAMPLE" --every 2
says "unknown command 'scores'; did you mean 'score'?" scores "$SAMPLE"
says "score needs --gpus; try 'eplb --help'" score "$SAMPLE" --map x.json
says "score needs --map; try 'eplb --help'" score "$SAMPLE" --gpus 4
says "the loads and --map cannot both be '-', standard input" score - --map - --gpus 4
says "'--quiet=yes' takes no value" plan "$SAMPLE" --quiet=yes
says 'replay needs samples in time, to plan on and to score on; the file has one' \
    replay "$SAMPLE" --replicas 288 --gpus 32 --window 1

# ---------------------------------------------------------------- help

eplb --help >"$TMP/help"
check '--help is under 100 columns' awk 'length($0) >= 100 { print; exit 1 }' "$TMP/help"
for option in $(sed -n '/OPTIONS\[\] = {/,/};/p' examples/cli/arguments.c | grep -o '"--[a-z-]*"' | tr -d '"'); do
    check "--help has $option" grep -q -e "^  $option " "$TMP/help"
done
eplb presets >"$TMP/presets"
check 'presets says how default packs groups' grep -q '^default  *LPT  *L2, none  *50, 0 ' "$TMP/presets"

report test_cli_commands
