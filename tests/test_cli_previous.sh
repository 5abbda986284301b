# test_cli_previous.sh - plans from the plan in force, from outside: `eplb plan --previous`, what it says of moves, the
# transfers it writes, and replays whose plans start from the ones before.
. tests/check/check.sh

LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}
says() { # what is wrong, arguments
    line=$1
    shift
    check "eplb $* says what is wrong" refused "$line" "$@"
}
refused() {
    line=$1
    shift
    rm -f out.*
    got=$(eplb "$@" 2>&1 </dev/null)
    was=$?
    echo "status $was: $got"
    echo "not: $line"
    [ $was -eq 2 ] && [ "${got#eplb: }" = "$line" ] && ! ls out.* 2>/dev/null
}

cd "$TMP" || exit 2
case $BUILD in /*) ;; *) BUILD=$OLDPWD/$BUILD ;; esac

$RUN_ENV "$BUILD/gen_loads" --layers 3 --experts 16 --steps 16 >loads.csv
shape='--replicas 24 --gpus 6 --nodes 2'
outputs='--json out.json --csv out.csv --transfers-json out.moves.json --transfers-csv out.moves.csv'

# ---------------------------------------------------------------- plans

eplb plan loads.csv $shape --steps 0-3 --csv old.csv --json old.json --quiet >table
slots() { # plan as CSV: its layers as bare arrays
    awk -F, 'NR > 1 { printf "%s%s", (NR == 2 ? "[[" : $1 == last ? "," : "],["), $5; last = $1 } END { print "]]" }' "$1"
}

# By what moves are: an expert that a GPU gets, did not hold in any slot, and another did.
count_moves() { # the plan in force and the new one as CSV: a line `layer changed moves` a layer
    awk -F, 'FNR == 1 { file++; next }
        file == 1 { was[$1, $2] = $5; if ($5 >= 0) held[$1, $4, $5] = somebody[$1, $5] = 1; next }
        { changed[$1] += $5 != was[$1, $2]; moves[$1] += $5 >= 0 && !held[$1, $4, $5]++ && somebody[$1, $5] }
        END { for (layer = 0; layer < 3; layer++) if (layer in changed) print layer, changed[layer], moves[layer] }' \
        "$1" "$2"
}
of_table() { # the columns `changed` and `moves` of a table, a line a layer
    awk '/ empty  changed  moves    time us$/ { seen = 1 }
        seen && $1 ~ /^[0-9]+$/ { print $1, $(NF - 2), $(NF - 1) }' "$1"
}
of_csv() {
    awk -F, 'NR > 1 { changed[$1] += $7; moved[$1] += $8 }
        END { for (layer = 0; layer in changed; layer++) print layer, changed[layer], moved[layer] }' "$1"
}
of_json() {
    sed -n 's/^{"layer":\([0-9]*\),.*"changed":\([0-9]*\),"moves":\([0-9]*\),.*/\1 \2 \3/p' "$1"
}
of_transfers() { # the file, and the plan: slots that do not keep their expert, experts that come over links
    awk -F, 'NR == 1 { next } { changed[$1]++; moves[$1] += $8 ~ /_node$/ }
        END { for (layer = 0; layer < 3; layer++) print layer, changed[layer] + 0, moves[layer] + 0 }' "$1"
}

for limits in '' '--max-moves 4' '--max-moves -1' '--move-cost 0.05' \
    '--max-gpu-moves 1 --max-pair-moves 1 --max-node-moves 2'; do
    eplb plan loads.csv $shape --steps 4-7 --previous old.json $limits $outputs >table
    count_moves old.csv out.csv >want
    of_table table >got
    check "changes and moves in the table ($limits)" cmp got want
    case $limits in
    '') free=$(cat want) ;;
    '--max-moves 4')
        check 'moves within the limit' test -z "$(awk '$3 > 4' want)"
        check 'which would be more' test "$(cat want)" != "$free"
        ;;
    '--max-moves -1') check 'none where none may be' test "$(awk '{ print $2 + $3 }' want | sort -u)" = 0 ;;
    esac
    of_csv out.csv >got
    check "in the CSV ($limits)" cmp got want
    of_json out.json >got
    check "in the JSON ($limits)" cmp got want
    of_transfers out.moves.csv >got
    check "and in the transfers ($limits)" cmp got want
    check "the total is their sum ($limits)" test "$(awk '$1 == "total" { print $(NF - 2), $(NF - 1) }' table)" = \
        "$(awk '{ c += $2; m += $3 } END { print c, m }' want)"
    eplb transfers old.json out.json --gpus 6 --nodes 2 --json want.json --csv want.csv >table
    check "eplb transfers writes the same ($limits)" cmp out.moves.csv want.csv
    check "as JSON, too ($limits)" cmp out.moves.json want.json
    eplb check out.json --gpus 6 --nodes 2 --previous old.json $limits >said
    check "and eplb check finds it right ($limits)" test $? -eq 0
done
check 'there is something to count' test "$(wc -l <want)" -eq 3
eplb plan loads.csv $shape --steps 4-7 --previous old.json --max-moves 4 --move-cost 0.05 --json out.json >table
check 'the summary names the limits' grep -qx 'from old.json, max moves 4, move cost 0.05' table
check 'the plan before is that in force' \
    grep -qx 'balancedness before (old.json), after, and its bound for any plan' table
check 'the JSON has the limits' grep -qx '"previous":"old.json","limits":{"max_moves":4,"max_gpu_moves":0,'\
'"max_pair_moves":0,"max_node_moves":0,"move_cost":0.0500000007},' out.json

# The same plan in each form that plans are read in.
eplb plan loads.csv $shape --steps 4-7 --previous old.json --max-moves 4 --csv want.csv >table
slots old.csv >bare.json
for form in bare.json -; do
    eplb plan loads.csv $shape --steps 4-7 --previous $form --max-moves 4 --csv out.csv >table <bare.json
    check "a plan in force from $form" cmp out.csv want.csv
done
check 'standard input by name' grep -qx 'from standard input, max moves 4' table

# Empty slots and experts that nobody holds any more: loaded, and no moves.
awk -F, -v OFS=, 'NR > 1 && ($1 == 0 && $2 == spare || $1 == 1 && $5 == 7) { $5 = -1 } 1' \
    spare="$(awk -F, '$1 < 1 && $6 == 1 { print $2; exit }' old.csv)" old.csv >holes.csv
slots holes.csv >holes.json
eplb plan loads.csv $shape --steps 4-7 --previous holes.json --csv out.csv --transfers-csv out.moves.csv \
    >table 2>said
count_moves holes.csv out.csv >want
of_table table >got
check 'moves from a plan with empty slots' cmp got want
of_csv out.csv >got
check 'and in the CSV' cmp got want
check 'an expert that is lost is loaded' grep -q '^1,-1,7,-1,[0-9]*,-1,[0-9]*,lost$' out.moves.csv
check 'and compared with no plan, which is said' grep -qx "eplb: note: holes.json: layer 1: no slot holds expert\
 7, so that the plan is compared with the experts in order" said
check 'nor is it in the table' grep -q '^balancedness before (experts in order), ' table

# Where none may move, empty slots stay empty, but for the expert that is loaded.
eplb plan loads.csv $shape --steps 4-7 --previous holes.json --max-moves -1 --csv out.csv --json out.json >table 2>said
count_moves holes.csv out.csv >want
of_table table >got
check 'moves from a plan with empty slots to one' cmp got want
check 'of which there are none' test "$(awk '{ print $3 }' want | sort -u)" = 0
awk -F, 'NR > 1 { empty[$1] += $5 == -1 && $6 == -1; slots[$1]++ }
    END { for (layer = 0; layer < 3; layer++) print layer, empty[layer] }' out.csv >want
awk '/^ *[0-9]+  .*[0-9]\.[0-9]$/ { print $1, $(NF - 3) }' table >got
check 'slots that stay empty' cmp got want
check 'of which there are some' grep -q '^0 1$' want
sed -n 's/^{"layer":\([0-9]*\),.*"empty":\([0-9]*\),.*/\1 \2/p' out.json >got
check 'are in the JSON' cmp got want
check 'which lists no slot for them' test "$(sed -n 's/.*"log2phy"://p' out.json | tr -dc '0-9,[]' | tr -s '[],' '\n' |
    grep -c .)" -eq $((72 - $(awk '{ n += $2 } END { print n }' want)))
check 'and can be scored' test "$(eplb score loads.csv --map out.json --gpus 6 --nodes 2 --quiet | wc -l)" -eq 2

# Some layers, by their numbers; nothing of all this without --previous.
eplb plan loads.csv $shape --steps 4-7 --previous old.json --layers 1-2 --csv out.csv \
    --transfers-csv out.moves.csv >table
awk -F, '$1 != 0' old.csv >some.csv
count_moves some.csv out.csv >want
of_table table >got
check 'the layers asked for have their moves' cmp got want
check 'the transfers have the numbers of the file' test "$(cut -d, -f1 out.moves.csv | sort -u | tr '\n' ' ')" = '1 2 layer '
eplb plan loads.csv $shape --steps 4-7 --json out.json --csv out.csv >table
check 'without a plan in force there are no moves' sh -c '! grep -q -e moves -e changed table out.json out.csv'

# What is wrong, with nothing written.
from="plan loads.csv $shape --previous"
says 'old.json: 24 slots in a layer, but --replicas is 30' plan loads.csv --replicas 30 --gpus 6 \
    --previous old.json $outputs
sed 's/7/16/' bare.json >wrong.json
at=$(awk -F, '$5 == 7 { print $1, $2; exit }' old.csv)
says "wrong.json: layer ${at% *}, slot ${at#* }: expert 16, but the loads have 16 experts" $from wrong.json $outputs
sed 's/"layer":2/"layer":5/' old.json >wrong.json
says 'wrong.json: no plan of layer 2; the layers are 0-1, 5' $from wrong.json $outputs
echo '[[0,1],[1,-2]]' >wrong.json
says "wrong.json:1:11: '-2' is no id of an expert: they start at 0, and -1 is none" $from wrong.json $outputs
says 'none.json: No such file or directory' $from none.json $outputs
for option in '--max-moves 4' '--max-gpu-moves 1' '--max-pair-moves 1' '--max-node-moves 1' '--move-cost 0.1' \
    '--transfers-json out.json' '--transfers-csv out.csv'; do
    says "${option% *} needs --previous, the plan in force; try 'eplb --help'" plan loads.csv $shape $option
done
echo '[[0,1,0,2,3,2],[0,1,0,2,1,3]]' >torn.json
echo '[[0,1,0,2,3,2],[0,1,2,3,2,3]]' >full.json
echo '[[4,3,2,1],[4,3,2,1]]' >four.json
torn='plan four.json --replicas 6 --gpus 2 --nodes 2 --groups 2 --previous torn.json'
full='plan four.json --replicas 6 --gpus 2 --nodes 2 --groups 2 --previous full.json'
may='with --policy global, or without limits, that may be'
says "torn.json: layer 1, slot 4: expert 1 is on another node than in slot 1; $may" $torn --max-moves 2 $outputs
says "full.json: layer 1, slot 4: expert 2 is on another node than in slot 2; $may" $full --move-cost 0.1 $outputs
check 'without limits' test "$(eplb $torn --quiet | wc -l)" -eq 2
check 'or groups' test "$(eplb $torn --max-moves 2 --policy global --quiet | wc -l)" -eq 2
says "--move-cost needs effort, and preset 'vllm' makes none; with --effort 1 'deepseek' would" $from old.json \
    --move-cost 0.1 --preset vllm
says "--effort 2: preset 'vllm' makes none, as vLLM does; 'deepseek' would" $from old.json --preset vllm --effort 2
check 'from the plan in force vllm plans' test "$(eplb $from old.json --preset vllm --quiet | wc -l)" -eq 2
says "--move-cost needs effort, and preset 'deepseek' makes none; with --effort 1 it would" $from old.json \
    --move-cost 0.1 --preset deepseek $outputs
check 'which it has' test "$(eplb $from old.json --max-moves 4 --preset deepseek --effort 1 --quiet | wc -l)" -eq 2
says "--max-moves needs a whole number from -1 to 2147483647, not '-2'" $from old.json --max-moves -2
says "--max-pair-moves needs a whole number from 0 to 2147483647, not '-1'" $from old.json --max-pair-moves -1
says "the loads and --previous cannot both be '-', standard input" plan - $shape --previous -
says "--map and --previous cannot both be '-', standard input" plan loads.csv $shape --previous - --map -
says "--json and --transfers-json cannot both be 'out.json'" $from old.json --json out.json --transfers-json out.json
says "score has no option '--previous', which is for plan and check; try 'eplb --help'" score loads.csv \
    --previous old.json
says "replay has no option '--previous', which is for plan and check; try 'eplb --help'" replay loads.csv \
    --previous old.json

# ---------------------------------------------------------------- replays

trace="loads.csv $shape --window 4 --preset default,l2"
eplb replay $trace --csv plain.csv --svg plain.svg >plain
check 'without being asked a replay has no moves' sh -c '! grep -q -e moves -e hanged plain plain.csv plain.svg'
eplb replay $trace --from-previous --csv got.csv --svg got.svg >table
check 'with, the columns' test "$(head -n 1 got.csv)" = \
    'window,first_step,preset,own,next,bound,moves,changed_share,microseconds'
check 'and what it says' grep -qx 'each plan from the one before' table
check 'and a plot' grep -q '>Slots that a plan changed<' got.svg
check 'of a line a preset' test $(($(grep -c '<polyline' got.svg) - $(grep -c '<polyline' plain.svg))) -eq 2
check 'the first plan has none before it' test "$(grep -c '^0,0,[dl].*,,,[0-9.]*$' got.csv)" -eq 2
check 'what stays in force moves nothing' test "$(grep -c '^[0-9]*,[0-9]*,in order,.*,0,0,0\.0$' got.csv)" -eq 3

scores() { # of a replay: GPUs hold what they would, though their slots may add up in another order
    awk -F, 'NR > 1 { printf "%s %s %.5f %.5f %.5f\n", $1, $3, $4, $5, $6 }' "$1"
}
scores plain.csv >want
scores got.csv >got
check 'without limits plans are as good as fresh ones' cmp got want

# Window by window what plans one after the other are.
replayed() { # preset, limits
    eplb plan loads.csv $shape --preset $1 --steps 0-3 --json before.json >table
    for steps in 4-7 8-11; do
        eplb plan loads.csv $shape --preset $1 --steps $steps --previous before.json $2 --json after.json >table
        awk '$1 == "total" { printf "%.6f %.6f\n", $(NF - 1) / 3, $(NF - 2) / 72 }' table
        mv after.json before.json
    done
}
for how in 'default --from-previous' 'l2 --from-previous' 'default --max-moves 3' 'best --move-cost 0.05'; do
    preset=${how%% *} limits=${how#* }
    eplb replay loads.csv $shape --window 4 --preset $preset $limits --csv got.csv >replayed
    awk -F, -v preset=$preset 'NR > 1 && $1 > 0 && $3 == preset { printf "%.6f %.6f\n", $7, $8 }' got.csv >got
    replayed $preset "${limits#--from-previous}" >want
    check "a replay's moves are those of its plans ($how)" cmp got want
    awk -v preset=$preset '$1 == preset { print $(NF - 2), $(NF - 1) }' replayed >got
    awk '{ moves += $1; changed += $2 } END { printf "%.2f %.2f\n", moves / NR, 100 * changed / NR }' want >want2
    check "and the table has their mean ($how)" cmp got want2
done
check 'a replay says its limits' grep -qx 'each plan from the one before, move cost 0.05' replayed

eplb replay $trace --from-previous --every 2 --csv got.csv --svg got.svg >table
check 'a plan that is kept moves nothing' test "$(awk -F, '$3 == 1 && $4 != "in order" { print $8 $9 }' got.csv)" = "00
00"
check 'and what plans changed is not drawn by age' sh -c '! grep -q "Slots that a plan changed" got.svg'
eplb replay $trace --from-previous --every never >table
check 'one plan has no moves' test "$(awk '$1 == "l2" { print $(NF - 2), $(NF - 1) }' table)" = '- -'
eplb replay loads.csv $shape --window 4 --from-previous --shares equal,exact --csv got.csv --svg got.svg >table
check 'of exact shares, too' test "$(awk '/^all windows/ { print NF } $1 == "default" { print NF }' table | tr '\n' ' ')" = \
    '14 9 '

says "--max-moves needs effort, and preset 'l2' makes none; with --effort 1 it would" replay $trace --max-moves 3 \
    --csv out.csv
says "plan has no option '--from-previous', which is for replay; try 'eplb --help'" plan loads.csv $shape --from-previous

report test_cli_previous
