# test_cli_reading.sh - what the program eplb makes of files of loads: the forms of CSV, what its header's
# names stand for, several files at a time, steps, axes, and memory. Forms of the same loads must give the
# same plan; what cannot be read is refused in one line that names the cause.
. tests/check/check.sh

LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}

# The plan as JSON, without the layers' own numbers.
plan_of() { # options and files
    eplb plan --replicas 6 --gpus 3 "$@" --json - 2>"$TMP/noise" | sed 's/"layer":[0-9]*,//'
}
same() { # what it is, the file whose plan it must be, options and files
    what=$1
    plan_of "$2" >"$TMP/want"
    shift 2
    plan_of "$@" >"$TMP/got"
    check "$what" sh -c "test -s '$TMP/want' && cmp '$TMP/got' '$TMP/want' || { cat '$TMP/noise'; exit 1; }"
}
same_csv() { # what it is, the file whose plan it must be, printf format of the file, options
    what=$1 want=$2
    printf -- "$3" >"$TMP/in.csv"
    shift 3
    same "$what" "$want" "$TMP/in.csv" "$@"
}
fails() { # the one line on standard error, arguments
    line=$1
    shift
    got=$(eplb "$@" 2>&1 >"$TMP/fails.out" </dev/null)
    was=$?
    echo "status $was: $got"
    [ $was -eq 2 ] && [ "$got" = "$line" ] && [ ! -s "$TMP/fails.out" ]
}
refused() { # what it is, printf format of the file, what is said after its name, options
    what=$1 line=$3
    printf -- "$2" >"$TMP/wrong.csv"
    shift 3
    check "refused: $what" fails "$TMP/wrong.csv:$line" plan "$TMP/wrong.csv" --replicas 6 --gpus 3 "$@"
}
refused_whole() { # the same of a file as a whole
    what=$1 line=$3
    printf -- "$2" >"$TMP/wrong.csv"
    shift 3
    check "refused: $what" fails "eplb: $TMP/wrong.csv$line" plan "$TMP/wrong.csv" --replicas 6 --gpus 3 "$@"
}

# ---------------------------------------------------------------- the loads that all forms below have

printf '[[[5,6,1,40],[7,80,2,3],[9,1,1,2]],[[4,4,30,2],[1,2,3,90],[8,70,6,5]]]' >"$TMP/two.json" # [T, L, E]
printf '[[5,6,1,40],[7,80,2,3],[9,1,1,2]]' >"$TMP/one.json"                                     # [L, E]
printf '5,6,1,40\n7,80,2,3\n9,1,1,2\n' >"$TMP/one.csv"
cat >"$TMP/two.csv" <<'END'
step,layer,e0,e1,e2,e3
0,0,5,6,1,40
0,1,7,80,2,3
0,2,9,1,1,2
1,0,4,4,30,2
1,1,1,2,3,90
1,2,8,70,6,5
END
rows=$(sed 1d "$TMP/two.csv") # step, layer, loads
one=$(cat "$TMP/one.csv")
same 'rows of numbers are layers' "$TMP/one.json" "$TMP/one.csv"
same 'steps are samples' "$TMP/two.json" "$TMP/two.csv"

# ---------------------------------------------------------------- names of columns of loads

for names in e0,e1,e2,e3 0,1,2,3 E1,E2,E3,E4 expert_7,expert_8,expert_9,expert_10 '"0","1","2","3"' \
             'expert 0,expert 1,expert 2,expert 3' '"e 0", "e 1" ,"e 2","e 3"' 'e[0],e[1],e[2],e[3]' \
             e00,e01,e02,e03 x.0.load,x.1.load,x.2.load,x.3.load \
             'f\303\251_0,f\303\251_1,f\303\251_2,f\303\251_3'; do
    same_csv "the header $names" "$TMP/one.json" "$names\n$one\n"
    same_csv "layer,$names" "$TMP/one.json" "layer,$names\n$(echo "$one" | awk '{ print NR - 1 "," $0 }')\n"
done
printf '[[1,2,3,4],[0,1,2,4]]' >"$TMP/loads.json"
same_csv 'a first row that runs from 1, and one that does not run, are loads' "$TMP/loads.json" \
    '1,2,3,4\n0,1,2,4\n'
printf '[[0,1,2,3.5]]' >"$TMP/loads.json"
same_csv 'so is one with a decimal' "$TMP/loads.json" '0,1,2,3.5\n'


# ---------------------------------------------------------------- names of columns that identify

for names in step,layer step_id,layer_id Step,Layer STEP_IDX,LAYER_INDEX stepid,layeridx 'Step Index,Layer ID' \
             '"step","layer"'; do
    same_csv "$names and loads" "$TMP/two.json" "$names,e0,e1,e2,e3\n$rows\n"
done
swapped=$(echo "$rows" | awk -F, 'BEGIN { OFS = "," } { x = $1; $1 = $2; $2 = x; print }')
same_csv 'layer before step' "$TMP/two.json" "layer,step,e0,e1,e2,e3\n$swapped\n"
same_csv 'rows in another order' "$TMP/two.json" "layer,step,e0,e1,e2,e3\n$(echo "$swapped" | sort -r)\n"
same_csv 'layers apart, comments between' "$TMP/two.json" "step,layer,e0,e1,e2,e3\n$(
    echo "$rows" | sort -t , -k 2,2n -k 1,1nr | sed 's/^/# next\n\n /')"
same_csv 'steps with other numbers' "$TMP/two.json" "step,layer,e0,e1,e2,e3\n$(
    echo "$rows" | sed 's/^1,/70000000000,/; s/^0,/-7,/')\n"
same_csv 'layers from 1' "$TMP/two.json" "step,layer,e0,e1,e2,e3\n$(
    echo "$rows" | awk -F, 'BEGIN { OFS = "," } { $2++; print }')\n"
same_csv 'every third layer from 3' "$TMP/two.json" "step,layer,e0,e1,e2,e3\n$(
    echo "$rows" | awk -F, 'BEGIN { OFS = "," } { $2 = 3 + 3 * $2; print }')\n"
same_csv 'layers without steps' "$TMP/one.json" 'layer_id,0,1,2,3\n2,9,1,1,2\n0,5,6,1,40\n1,7,80,2,3\n'
printf '[[[5,6,1,40]],[[4,4,30,2]]]' >"$TMP/thin.json"
same_csv 'steps without layers are of one' "$TMP/thin.json" 'step,e0,e1,e2,e3\n0,5,6,1,40\n1,4,4,30,2\n'

cat >"$TMP/ranks.csv" <<'END'
layer,rank,e0,e1,e2,e3
0,0,1,2,1,30
0,1,4,4,0,10
1,0,7,80,0,0
1,1,0,0,2,3
2,1,0,1,0,2
2,0,9,0,1,0
END
same 'rows of ranks are summed' "$TMP/one.json" "$TMP/ranks.csv"
sed 's/^\([0-9]\),1/\1,7/; s/^layer,rank/layer,Rank_ID/' "$TMP/ranks.csv" >"$TMP/ranks7.csv"
same 'whatever the numbers of the ranks' "$TMP/one.json" "$TMP/ranks7.csv"
same_csv 'ranks of one layer' "$TMP/thin.json" \
    'rank,step,e0,e1,e2,e3\n0,0,1,2,1,30\n1,0,4,4,0,10\n0,1,0,0,30,1\n1,1,4,4,0,1\n'

# ---------------------------------------------------------------- a row a count, or an activation

long() { # the loads as rows of their own; a header
    awk -F, -v header="$1" 'BEGIN { print header } NR > 1 {
        for (e = 3; e <= NF; e++) print $1 "," $2 "," e - 3 "," $e }' "$TMP/two.csv"
}
for name in count counts load loads tokens num_tokens weight value Count NUM_TOKENS '"count"'; do
    long "step,layer,expert,$name" >"$TMP/long.csv"
    same "step,layer,expert,$name" "$TMP/two.json" "$TMP/long.csv"
done
long step_id,LayerIdx,expert_index,count >"$TMP/long.csv"
same 'ids with other names' "$TMP/two.json" "$TMP/long.csv"
long step,layer,expert,count | awk -F, '$4 > 2 || NR == 1' >"$TMP/sparse.csv"
printf '[[[5,6,0,40],[7,80,0,3],[9,0,0,0]],[[4,4,30,0],[0,0,3,90],[8,70,6,5]]]' >"$TMP/sparse.json"
same 'pairs that are not there have no load' "$TMP/sparse.json" "$TMP/sparse.csv"
{ head -n 1 "$TMP/sparse.csv"; sed 1d "$TMP/sparse.csv" | sort -t , -k 4,4n; } >"$TMP/shuffled.csv"
same 'in whatever order' "$TMP/sparse.json" "$TMP/shuffled.csv"
same_csv 'layer,expert,count' "$TMP/one.json" 'layer_id,expert_id,count\n0,0,5\n0,1,6\n0,2,1\n0,3,40\n1,0,7
1,1,80\n1,2,2\n1,3,3\n2,0,9\n2,1,1\n2,2,1\n2,3,2\n'
same_csv 'expert,layer,count of layers 3, 5 and 9' "$TMP/one.json" 'expert,layer,count
0,3,5\n1,3,6\n2,3,1\n3,3,40
0,5,7\n1,5,80\n2,5,2\n3,5,3\n0,9,9\n1,9,1\n2,9,1\n3,9,2\n'
printf '[[5,6,1,40]]' >"$TMP/single.json"
same_csv 'expert,count' "$TMP/single.json" 'expert,count\n0,5\n1,6\n3,40\n2,1.0\n'
printf '[[5,6,1,40,0]]' >"$TMP/five.json"
same_csv '--experts where the last have no load' "$TMP/five.json" \
    'expert,count\n0,5\n1,6\n3,40\n2,1\n' --experts 5
same_csv 'counts of ranks are summed' "$TMP/single.json" \
    'rank,expert,count\n0,0,2\n1,0,3\n0,1,6\n1,3,20\n0,3,20\n0,2,1\n'

printf '[[[1,2,0],[0,0,1]],[[1,0,0],[0,0,0]]]' >"$TMP/events.json"
same_csv 'a row an activation' "$TMP/events.json" \
    'step,layer,expert\n0,2,1\n0,2,0\n0,2,1\n0,4,2\n3,2,0\n'
same_csv 'of ranks, in another order' "$TMP/events.json" \
    'rank,step,layer_id,expert_id\n1,3,2,0\n0,0,2,1\n0,0,4,2\n5,0,2,0\n3,0,2,1\n'
printf '[[2,0,1]]' >"$TMP/events.json"
same_csv 'a column of ids alone' "$TMP/events.json" 'expert_id\n0\n2\n0\n'
awk 'BEGIN { print "expert"; for (i = 0; i < 300000; i++) print i % 3 == 0 ? 1 : i % 2 }' >"$TMP/many.csv"
printf '[[100000,200000]]' >"$TMP/many.json"
same 'many activations' "$TMP/many.json" "$TMP/many.csv"

# ---------------------------------------------------------------- refused headers and rows

none='is none of step, layer, expert, rank, and not of loads, such as e0'
uncounted='is none of step, layer, expert, rank, and not called count'
index='; a data frame should be written without its index'
refused 'names without a number' 'a,b,c\n1,2,3\n' "1:1: column 'a' $none"
refused 'one name without a number' 'e0,x\n1,2\n' "1:4: column 'x' $none"
refused 'an unknown id' 'pid,e0\n1,2\n' "1:1: column 'pid' $none"
refused 'another word for steps' 'iteration,layer,e0\n1,2,3\n' \
    "1:1: column 'iteration' $none; if it is one of steps, call it step"
refused 'another word for ranks' 'layer,GPU_id,e0\n1,2,3\n' \
    "1:7: column 'GPU_id' $none; if it is one of ranks, call it rank"
refused 'another word for counts' 'layer,expert,freq\n1,2,3\n' \
    "1:14: column 'freq' $uncounted; if it is one of counts, call it count"
refused 'a column of slots' 'layer,slot_id,count\n1,2,3\n' \
    "1:7: column 'slot_id' $none; slots are told by --axes, and called expert"
refused 'the index of a data frame' ',e0,e1\n0,2,3\n' "1:1: column '' $none$index"
refused 'the index before numbers' ',0,1,2\n0,5,6,7\n' "1:1: column '' $none$index"
refused 'the index before ids' ',layer,expert,count\n0,1,1,6\n' "1:1: column '' $none$index"
refused 'the index read again' 'Unnamed: 0,layer,e0\n0,2,3\n' "1:1: column 'Unnamed: 0' $none$index"
refused 'an unnamed column among the loads' 'e0,,e2\n0,2,3\n' "1:4: column '' $none$index"
refused 'semicolons' 'layer;expert;count\n0;1;5\n' \
    "1:1: column 'layer;expert;count' $none; columns should stand between commas"
refused 'a number left out' 'layer,e0,e2\n0,1,2\n' \
    "1:10: column 'e2' where 'e1' should follow: columns of loads run by one"
refused 'a number twice' 'e0,e1,e1\n1,1,1\n' \
    "1:7: column 'e1' where 'e2' should follow: columns of loads run by one"
refused 'a second stem' 'step,e0,x1\n0,1,2\n' \
    "1:9: column 'x1' where 'e1' should follow: columns of loads run by one"
refused 'an id after the loads' 'e0,e1,layer\n1,2,0\n' "1:7: 'layer' should stand before the columns of loads"
refused 'an id after the count' 'expert,count,layer\n1,2,0\n' \
    "1:14: 'layer' should stand before the columns of loads"
refused 'an id twice' 'layer,step,Layer_Id,e0\n1,2,0,1\n' "1:12: 'Layer_Id' is the second column of that kind"
refused 'counts of no expert' 'layer,count\n0,5\n' \
    "1:7: 'count' is of counts, so a column expert should stand before it"
refused 'two counts' 'expert,count,load\n0,5,6\n' "1:14: 'load' is the second column of counts"
refused 'loads beside an expert' 'layer,expert,e0,e1\n0,5,6,7\n' \
    "1:14: 'e0' after a column expert, where there should be one called count or none"
refused 'ids alone' 'step,layer\n0,5\n' '1:11: no experts after step,layer'
refused 'columns of layers' 'layer_0,layer_1\n5,6\n' \
    "1:1: column 'layer_0' is not of an expert: --axes should say what the columns are"
refused 'columns of slots' 'layer,slot0,slot1\n0,5,6\n' \
    "1:7: column 'slot0' is not of an expert: --axes should say what the columns are"
refused 'a word for an id' 'layer,expert,count\nx,0,5\n' "2:1: 'x' is not a layer"
refused 'a negative expert' 'layer,expert,count\n0,-1,5\n' "2:3: '-1' is not an expert"
refused 'a fraction of a rank' 'rank,e0\n0.0,5\n' "2:1: '0.0' is not a rank"
refused 'a row without expert' 'layer,expert,count\n0\n' '2:2: the row has no expert'
refused 'a row without count' 'layer,expert,count\n0,1\n' '2:4: the row has no count'
refused 'an empty count' 'layer,expert,count\n0,1,\n' '2:5: a load is missing here'
refused 'a negative count' 'layer,expert,count\n0,1,-1\n' "2:5: '-1' is a negative load"
refused 'more than a count' 'layer,expert,count\n0,1,5,6\n' '2:7: more than the 3 columns of the header'
refused 'more than ids' 'layer,expert\n0,1,5\n' '2:5: more than the 2 columns of the header'
refused 'more loads than names' 'layer,e0\n0,1,5\n' '2:5: more than the 1 loads of the rows above'
refused 'an expert beyond --experts' 'layer,expert,count\n0,3,5\n0,4,5\n' \
    '3:3: expert 4, but --experts says that there are fewer' --experts 4
refused 'a far expert' 'expert\n65535\n65536\n' \
    '3:1: expert 65536: without --experts there are no more than 65536 of a layer'
refused 'a pair twice' 'layer,expert,count\n0,1,5\n1,1,5\n0,2,2\n0,1,6\n' \
    '5:1: layer 0, expert 1 is in line 2 already'
refused 'a pair of a step twice' 'step,layer,expert,count\n0,0,1,5\n2,0,1,5\n1,0,1,5\n2,0,1,5\n' \
    '5:1: step 2, layer 0, expert 1 is in line 3 already'
refused 'a pair of a rank twice' 'layer,expert,rank,count\n0,1,0,5\n0,1,1,5\n0,1,0,5\n' \
    '4:1: layer 0, rank 0, expert 1 is in line 2 already'
refused 'a layer twice' 'layer,e0\n4,1\n3,1\n4,1\n' '4:1: layer 4 is in line 2 already'
refused 'a layer of a rank twice' 'layer,rank,e0\n4,0,1\n4,1,1\n4,0,1\n' \
    '4:1: layer 4, rank 0 is in line 2 already'
refused 'a step without a layer' 'step,layer,e0\n0,3,1\n0,5,1\n2,3,1\n1,5,1\n1,3,1\n' \
    '4:1: step 2 has no row for layer 5'
refused 'a layer twice in the place of another' 'step,layer,e0\n0,3,1\n0,5,1\n1,5,1\n1,5,1\n' \
    '5:1: step 1, layer 5 is in line 4 already'
refused 'a layer without a rank' 'layer,rank,e0\n0,0,1\n0,1,1\n1,1,1\n' \
    '4:1: the file has no row for layer 1, rank 0'
refused 'a step without a rank' 'step,layer,rank,e0\n0,3,0,1\n0,3,2,1\n1,3,2,1\n' \
    '4:1: step 1 has no row for layer 3, rank 0'
refused_whole 'sums beyond float32' 'rank,e0\n0,3e38\n1,3e38\n' \
    ': the sum for layer 0, expert 0 is beyond the range of float32'
refused_whole 'a key' '1,2\n' ': --key x, but CSV has no arrays with names' --key x
refused_whole 'another number of experts' '5,6\n' ' has 2 experts in a layer, but --experts is 3' --experts 3

# ---------------------------------------------------------------- axes of CSV

same_csv '--axes LE' "$TMP/one.json" '5,6,1,40\n7,80,2,3\n9,1,1,2\n' --axes LE
same_csv '--axes TLE of steps' "$TMP/two.json" "step,layer,e0,e1,e2,e3\n$rows\n" --axes TLE
same_csv '--axes EL' "$TMP/one.json" '5,7,9\n6,80,1\n1,2,1\n40,3,2\n' --axes EL
same_csv '--axes EL with names' "$TMP/one.json" \
    'layer_3,layer_4,layer_5\n5,7,9\n6,80,1\n1,2,1\n40,3,2\n' --axes EL
same_csv '--axes TE' "$TMP/thin.json" '5,6,1,40\n4,4,30,2\n' --axes TE
same_csv '--axes GE' "$TMP/single.json" '1,2,1,30\n4,4,0,10\n' --axes GE
same_csv '--axes EG' "$TMP/single.json" '1,4\n2,4\n0,1\n30,10\n' --axes EG
same_csv '--axes E of a row' "$TMP/single.json" '5,6,1,40\n' --axes E
same_csv '--axes E of a column' "$TMP/single.json" '5\n6\n1\n40\n' --axes E
same_csv '--axes LEG of ids' "$TMP/one.json" "$(cat "$TMP/ranks.csv")" --axes LEG
printf '[[2,1,0,1],[1,0,2,0]]' >"$TMP/routed.json"
same_csv '--axes LNK: rows are tokens' "$TMP/routed.json" \
    'layer,k0,k1\n0,0,1\n1,2,-1\n0,0,3\n1,0,2\n' --axes LNK
same_csv '--axes TLK: so are they' "$TMP/routed.json" 'layer,k0,k1\n0,0,1\n1,2,-1\n0,0,3\n1,0,2\n' --axes TLK
same_csv '--axes LK: a layer a row' "$TMP/routed.json" '0,1,0,3\n2,2,0,-1\n' --axes LK
printf '[[2,1,0,1]]' >"$TMP/routed.json"
same_csv '--axes TK' "$TMP/routed.json" '0,1\n3,0\n' --axes TK
refused_whole 'three letters for rows and columns' '5,6\n' \
    ': rows and columns are 2 dimensions, but --axes TLE has 3 letters' --axes TLE
refused_whole 'samples in columns' '5,6\n' ': --axes ET, but samples of CSV are rows' --axes ET
refused_whole 'axes that leave an id out' 'step,layer,e0\n0,0,5\n' \
    ': --axes LE does not have a letter for each of the columns that identify: TL' --axes LE
refused_whole 'axes with more than the ids' 'layer,e0\n0,5\n' \
    ': --axes TLE does not have a letter for each of the columns that identify: L' --axes TLE
refused_whole 'several rows of one axis' '5,6\n7,8\n' ': 2 rows, but --axes E is a single one' --axes E
refused_whole 'no id at all' '-1,-1\n' ': no id of an expert; --experts should say how many there are' --axes NK
refused 'a routed id beyond --experts' '0,4\n' '1:3: expert 4, but --experts says that there are fewer' \
    --axes NK --experts 4
for axes in LP P LGS; do
    header=layer,
    [ $axes = P ] && header=
    [ $axes = LGS ] && header=layer,rank,
    ids=$(echo "$header" | sed 's/[a-z][a-z]*/0/g')
    refused_whole "--axes $axes without a map" "${header}s0,s1\n${ids}5,6\n" \
        ': counts of slots need --map PLAN, the plan they were counted under' --axes $axes
done
axes_refused() { # letters, what is said
    check "refused: --axes $1" fails "eplb: --axes $1: $2" plan "$TMP/one.csv" --replicas 6 --gpus 3 --axes "$1"
}
axes_refused tle 'the letters are T, L, E, G, S, P, K and N'
axes_refused TLLE 'each letter may stand there once'
axes_refused TL 'one of E, P, S and K must be there'
axes_refused LEP 'one of E, P, S and K must be there'
axes_refused LS 'S, slots of a GPU, needs G beside it'
axes_refused LGP 'P has the slots of all GPUs, so that G cannot stand beside it'
axes_refused NE 'N, tokens, needs K beside it'

# ---------------------------------------------------------------- steps

cat >"$TMP/steps.csv" <<'END'
step,layer,e0,e1,e2,e3
90,0,5,5,1,1
100,0,5,6,1,40
110,0,4,4,30,2
120,0,7,80,2,3
END
same '--steps A-B' "$TMP/thin.json" "$TMP/steps.csv" --steps 100-110
same '--steps A-B between steps' "$TMP/thin.json" "$TMP/steps.csv" --steps 91-119
same '--steps A' "$TMP/single.json" "$TMP/steps.csv" --steps 100
sed 's/^\([0-9]\)/-\1/' "$TMP/steps.csv" >"$TMP/negative.csv"
printf '[[[4,4,30,2]],[[5,6,1,40]]]' >"$TMP/backwards.json"
same '--steps of negative numbers' "$TMP/backwards.json" "$TMP/negative.csv" --steps -110--100
printf '[[[1,1,1,1]],[[5,6,1,40]],[[4,4,30,2]],[[9,9,9,9]]]' >"$TMP/four.json"
same '--steps counts from 0 where there are no numbers' "$TMP/thin.json" "$TMP/four.json" --steps 1-2
steps_refused() { # what is said, options
    line=$1
    shift
    check "refused: $*" fails "$line" plan --replicas 6 --gpus 3 "$@"
}
steps_refused "eplb: $TMP/steps.csv: --steps 101-109 has none of its steps, which are 90 to 120" \
    "$TMP/steps.csv" --steps 101-109
steps_refused "eplb: $TMP/four.json: --steps 4-9 has none of its steps, which are 0 to 3" \
    "$TMP/four.json" --steps 4-9
for steps in '' - 1- x 3-1 1-2-3 1.5; do
    steps_refused "eplb: --steps needs a step or a range such as 100-199, not '$steps'" "--steps=$steps" x.csv
done

# ---------------------------------------------------------------- several files

printf 'step,layer,e0,e1,e2,e3\n4,3,1,2,1,30\n5,3,4,0,30,1\n' >"$TMP/rank0.csv"
printf 'layer,step,e0,e1,e2,e3\n3,5,0,4,0,1\n3,4,4,4,0,9.5\n' >"$TMP/rank1.csv"
printf 'step,layer,expert,count\n4,3,3,0.5\n5,3,0,0\n' >"$TMP/rank2.csv"
same 'several files are summed' "$TMP/thin.json" "$TMP/rank0.csv" "$TMP/rank1.csv" "$TMP/rank2.csv"
same 'in any order' "$TMP/thin.json" "$TMP/rank2.csv" "$TMP/rank1.csv" "$TMP/rank0.csv"
plan_of "$TMP/rank0.csv" - "$TMP/rank2.csv" <"$TMP/rank1.csv" >"$TMP/got"
plan_of "$TMP/thin.json" >"$TMP/want"
check 'one may come from standard input' cmp "$TMP/got" "$TMP/want"
printf '[[[1,2,1,30]],[[4,0,30,1]]]' >"$TMP/rank0.json"
printf '[[[4,4,0,10]],[[0,4,0,1]]]' >"$TMP/rank1.json"
same 'files of another format' "$TMP/thin.json" "$TMP/rank0.json" "$TMP/rank1.json"
printf 'expert\n0\n1\n1\n' >"$TMP/ids0.csv"
printf 'expert\n0\n3\n' >"$TMP/ids1.csv"
printf '[[2,2,0,1]]' >"$TMP/ids.json"
same 'where ids tell only the largest, all files do' "$TMP/ids.json" "$TMP/ids0.csv" "$TMP/ids1.csv"
printf '[[0,0,0,0]]' >"$TMP/zero.json"
same 'or another file' "$TMP/ids.json" "$TMP/ids0.csv" "$TMP/zero.json" "$TMP/ids1.csv"
printf 'step,layer,e0,e1,e2,e3\n3,3,9,9,9,9\n4,3,4,4,0,10\n5,3,0,4,0,1\n' >"$TMP/longer.csv"
same '--steps may make files agree' "$TMP/thin.json" "$TMP/rank0.csv" "$TMP/longer.csv" --steps 4-5
disagree() { # what is said, a file beside rank0.csv as printf format
    printf -- "$2" >"$TMP/beside.csv"
    check "refused: $1" fails "eplb: $TMP/beside.csv has $1" \
        plan "$TMP/rank0.csv" "$TMP/beside.csv" --replicas 6 --gpus 3
}
disagree "1 samples, but $TMP/rank0.csv has 2" 'layer,e0,e1,e2,e3\n3,1,1,1,1\n'
disagree "step 6 where $TMP/rank0.csv has step 5" 'step,layer,e0,e1,e2,e3\n4,3,1,2,1,30\n6,3,4,0,30,1\n'
disagree "2 layers, but $TMP/rank0.csv has 1" \
    'step,layer,e0,e1,e2,e3\n4,3,1,2,1,30\n5,3,4,0,30,1\n4,4,1,2,1,30\n5,4,4,0,30,1\n'
disagree "layer 2 where $TMP/rank0.csv has layer 3" 'step,layer,e0,e1,e2,e3\n4,2,1,2,1,30\n5,2,4,0,30,1\n'
disagree "5 experts in a layer, but $TMP/rank0.csv has 4" 'step,layer,expert\n4,3,4\n5,3,1\n' 
printf '[[[1,2,1]],[[4,0,30]]]' >"$TMP/narrow.json"
check 'refused: fewer experts in another file' \
    fails "eplb: $TMP/narrow.json has 3 experts in a layer, but $TMP/rank0.json has 4" \
    plan "$TMP/rank0.json" "$TMP/narrow.json" --replicas 6 --gpus 3
printf '1,2,3,x\n1,1,1,1\n1,1,1,1\n' >"$TMP/wrong.csv"
check 'refused: a wrong second file' fails "$TMP/wrong.csv:1:7: 'x' is not a number" \
    plan "$TMP/one.csv" "$TMP/wrong.csv" --replicas 6 --gpus 3
printf '[[3e38,1]]' >"$TMP/large0.json"
printf '[[3e38, 1]]' >"$TMP/large1.json"
check 'refused: sums of files beyond float32' \
    fails 'eplb: step 0: the sum for layer 0, expert 0 is beyond the range of float32' \
    plan "$TMP/large0.json" "$TMP/large1.json" --replicas 6 --gpus 3
check 'refused: a file twice' fails "eplb: the file '$TMP/rank0.csv' stands there twice" \
    plan "$TMP/rank0.csv" "$TMP/rank0.csv" --replicas 6 --gpus 3

# ---------------------------------------------------------------- counts of slots

same_slots() { # what it is, the file of experts' loads whose plan it must be, the map, options and files
    what=$1 map=$3
    plan_of "$2" --map "$map" >"$TMP/want" # which is where both plans start from
    shift 3
    plan_of "$@" --map "$map" >"$TMP/got"
    check "$what" sh -c "test -s '$TMP/want' && cmp '$TMP/got' '$TMP/want' || { cat '$TMP/noise'; exit 1; }"
}
slots_csv() { # what it is, the file of experts' loads, the map, printf format of the file of slots', options
    what=$1 want=$2 map=$3
    printf -- "$4" >"$TMP/in.csv"
    shift 4
    same_slots "$what" "$want" "$map" "$TMP/in.csv" "$@"
}
echo '[[0,1,2,3,3,1],[1,1,0,2,3,1],[0,-1,3,1,2,0]]' >"$TMP/map.json"
slots='4,1,3,20,20,2\n50,20,9,2,1,10\n2,77,5,70,6,6\n' # of the loads below; slot 1 of layer 2 is empty
printf '[[4,3,3,40],[9,80,2,1],[8,70,6,5]]' >"$TMP/experts.json"
slots_csv '--axes LP' "$TMP/experts.json" "$TMP/map.json" "$slots" --axes LP
slots_csv 'columns of slots' "$TMP/experts.json" "$TMP/map.json" "layer,slot0,slot1,slot2,slot3,slot4,slot5\n$(
    printf "$slots" | awk '{ print NR - 1 "," $0 }')\n" --axes LP
slots_csv 'rows of GPUs, columns of their slots' "$TMP/experts.json" "$TMP/map.json" \
    'layer,rank,s0,s1,s2\n0,0,4,1,3\n0,1,20,20,2\n1,0,50,20,9\n1,1,2,1,10\n2,0,2,77,5\n2,1,70,6,6\n' \
    --axes LGS
slots_csv 'whatever the order of the letters' "$TMP/experts.json" "$TMP/map.json" \
    'rank,layer,s0,s1,s2\n0,0,4,1,3\n1,0,20,20,2\n0,1,50,20,9\n1,1,2,1,10\n0,2,2,77,5\n1,2,70,6,6\n' \
    --axes SGL
slots_csv 'a row a slot' "$TMP/experts.json" "$TMP/map.json" 'layer,expert,count
0,0,4\n0,1,1\n0,2,3\n0,3,20\n0,4,20\n0,5,2
1,0,50\n1,1,20\n1,2,9\n1,3,2\n1,4,1\n1,5,10\n2,0,2\n2,1,77\n2,2,5\n2,3,70\n2,4,6\n2,5,6\n' \
    --axes LP
slots_csv 'a row a slot of a GPU' "$TMP/experts.json" "$TMP/map.json" 'layer,rank,expert,count
0,0,0,4\n0,0,1,1\n0,0,2,3\n0,1,0,20
0,1,1,20\n0,1,2,2\n1,0,0,50\n1,0,1,20\n1,0,2,9\n1,1,0,2\n1,1,1,1\n1,1,2,10\n2,0,0,2\n2,0,1,77\n2,0,2,5\n2,1,0,70
2,1,1,6\n2,1,2,6\n' --axes LGS
printf '[[2,6,4,5]]' >"$TMP/lone.json"
echo '[[0,1,2,3,2,1]]' >"$TMP/lone_map.json"
slots_csv '--axes P' "$TMP/lone.json" "$TMP/lone_map.json" '2,4,1,5,3,2\n' --axes P
slots_csv '--axes GS' "$TMP/lone.json" "$TMP/lone_map.json" '2,4,1\n5,3,2\n' --axes GS
slots_csv '--axes SG' "$TMP/lone.json" "$TMP/lone_map.json" '2,5\n4,3\n1,2\n' --axes SG
printf '[[[2,6,4,5]],[[1,0,0,9]]]' >"$TMP/lone2.json"
slots_csv '--axes TP' "$TMP/lone2.json" "$TMP/lone_map.json" '2,4,1,5,3,2\n1,0,0,9,0,0\n' --axes TP
printf '2,4,1,5,3,2\n' >"$TMP/slots0.csv"
printf '1,0,0,9,0,0\n' >"$TMP/slots1.csv"
printf '[[3,6,4,14]]' >"$TMP/lone3.json"
same_slots 'several files of slots' "$TMP/lone3.json" "$TMP/lone_map.json" "$TMP/slots0.csv" "$TMP/slots1.csv" \
    --axes P

# A plan of this program as the map, of layers 3 and 5, and counts that differ from slot to slot.
printf 'layer,e0,e1,e2,e3\n3,4,9,5,6\n5,7,1,90,2\n' >"$TMP/numbered.csv"
eplb plan "$TMP/numbered.csv" --replicas 6 --gpus 3 --json "$TMP/force.json" \
    --csv "$TMP/force.csv" >"$TMP/nothing"
awk -F, 'NR > 1 { print $1 "," $2 "," 10 * $5 + $6 + 1 }' "$TMP/force.csv" |
    { echo layer,expert,count; cat; } >"$TMP/by_slot.csv"
awk -F, 'NR > 1 { print $1 "," $5 "," 10 * $5 + $6 + 1 }' "$TMP/force.csv" | awk -F, '
    { sum[$1 "," $2] += $3 } END { print "layer,expert,count"; for (k in sum) print k "," sum[k] }' \
    >"$TMP/by_expert.csv"
same_slots 'the map may be a plan of this program' "$TMP/by_expert.csv" "$TMP/force.json" "$TMP/by_slot.csv" \
    --axes LP
sed '/^3,/d' "$TMP/by_slot.csv" >"$TMP/by_slot5.csv"
sed '/^3,/d' "$TMP/by_expert.csv" >"$TMP/by_expert5.csv"
same_slots 'of which loads have some layers' "$TMP/by_expert5.csv" "$TMP/force.json" "$TMP/by_slot5.csv" \
    --axes LP
printf 'layer,expert,count\n4,0,1\n' >"$TMP/layer4.csv"
check 'refused: a layer that the map lacks' fails "eplb: $TMP/force.json: no plan of layer 4; the layers are 3, 5" \
    plan "$TMP/layer4.csv" --replicas 6 --gpus 3 --axes LP --map "$TMP/force.json"
refused_whole 'fewer slots than in the map' '2,4,1,5,3\n' \
    " has 5 slots in a layer, but --map $TMP/lone_map.json has 6" --axes P --map "$TMP/lone_map.json"
refused_whole 'more slots than in the map' 'expert,count\n6,1\n' \
    " has 7 slots in a layer, but --map $TMP/lone_map.json has 6" --axes P --map "$TMP/lone_map.json"
check 'refused: an expert of the map beyond --experts' \
    fails "eplb: --map $TMP/lone_map.json has expert 3, but --experts is 3" plan "$TMP/slots0.csv" \
    --replicas 6 --gpus 3 --axes P --map "$TMP/lone_map.json" --experts 3

# ---------------------------------------------------------------- memory

# 1200 steps of 32 layers x 128 experts: 40 MB of text and 20 MB of loads, for neither of which there is room.
limit() { # kilobytes of address space, command
    (ulimit -v "$1" && shift && "$@")
}
if [ -z "$RUN_ENV" ] && limit 9000 "$BUILD/eplb" --version >"$TMP/nothing" 2>&1; then
    awk 'BEGIN {
        for (l = 0; l < 32; l++) {
            row[l] = ""
            for (e = 0; e < 128; e++) row[l] = row[l] "," 10000 + (l * 7919 + e * 104729) % 8999999
        }
        printf "step,layer"
        for (e = 0; e < 128; e++) printf ",e%d", e
        print ""
        for (t = 0; t < 1200; t++) for (l = 0; l < 32; l++) print t "," l row[(l + t) % 32]
    }' >"$TMP/large.csv"
    { head -n 1 "$TMP/large.csv"; grep '^70[01],' "$TMP/large.csv"; } >"$TMP/part.csv"
    part="--replicas 144 --gpus 16 --preset deepseek --csv -"
    eplb plan "$TMP/part.csv" $part >"$TMP/want" 2>"$TMP/nothing"
    check 'a file larger than memory' \
        sh -c "test $(wc -c <"$TMP/large.csv") -gt 30000000 && test -s '$TMP/want'"
    limit 9000 "$BUILD/eplb" plan "$TMP/large.csv" $part --steps 700-701 >"$TMP/got" 2>"$TMP/noise"
    check 'gives two steps of it' cmp "$TMP/got" "$TMP/want"
    limit 9000 "$BUILD/eplb" plan - $part --steps 700-701 <"$TMP/large.csv" >"$TMP/got" 2>"$TMP/noise"
    check 'from standard input, too' cmp "$TMP/got" "$TMP/want"
    cat "$TMP/large.csv" | limit 9000 "$BUILD/eplb" plan - $part --steps 700-701 >"$TMP/got" 2>"$TMP/noise"
    check 'and from a pipe' cmp "$TMP/got" "$TMP/want"
    { head -n 1 "$TMP/large.csv"; grep '^[0-9],\|^[1-3][0-9],' "$TMP/large.csv"; } >"$TMP/part.csv"
    replay="--replicas 144 --gpus 16 --preset deepseek --window 10 --csv -"
    eplb replay "$TMP/part.csv" $replay 2>"$TMP/nothing" | cut -d , -f 1-6 >"$TMP/want"
    limit 9000 "$BUILD/eplb" replay "$TMP/large.csv" $replay >"$TMP/large_replay.csv" 2>"$TMP/noise"
    head -n 7 "$TMP/large_replay.csv" | cut -d , -f 1-6 >"$TMP/got"
    check 'replay needs memory for a window' cmp "$TMP/got" "$TMP/want"
    check 'of a whole trace' test "$(wc -l <"$TMP/large_replay.csv")" -eq 239
    check 'all of it needs more' sh -c \
        "! (ulimit -v 9000 && '$BUILD/eplb' plan '$TMP/large.csv' $part) >'$TMP/nothing' 2>&1"
fi

report test_cli_reading
