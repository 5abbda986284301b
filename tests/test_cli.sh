# test_cli.sh - the program eplb from outside: what it prints, the plans it writes, what it reads, how it
# replays a trace, its pictures, and what it says of wrong files and arguments; and the generator of the
# sample.
. tests/check/check.sh

SAMPLE=examples/data/loads_58x256.csv
LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}

npy_write() {
    $RUN_ENV "$BUILD/npy_write" "$@"
}

# ---------------------------------------------------------------- the sample

cat >"$TMP/statistics.awk" <<'END'
# Statistics of loads, mean over rows: of the largest load / mean, of the shares of the top 1, 4, 8 and
# 32 experts and of the blocks of 32 experts, largest first, in percent.
BEGIN { FS = "," }
/^[0-9]/ {
    n = NF - 2; sum = 0; log1 = 0; log2 = 0
    split("", block)
    for (e = 0; e < n; e++) {
        load[e] = $(e + 3); sum += load[e]; block[int(e / 32)] += load[e]
        log1 += log(load[e]); log2 += log(load[e]) ^ 2
    }
    sd += sqrt(log2 / n - (log1 / n) ^ 2)
    for (i = 0; i < 32; i++) {
        for (e = i + 1; e < n; e++) if (load[e] > load[i]) { x = load[i]; load[i] = load[e]; load[e] = x }
        for (k = i; k < 32; k++) top[k] += 100 * load[i] / sum
    }
    for (i = 0; i < n / 32; i++) {
        for (k = i + 1; k < n / 32; k++)
            if (block[k] > block[i]) { x = block[i]; block[i] = block[k]; block[k] = x }
        share[i] += 100 * block[i] / sum
    }
    peak = load[0] * n / sum; peaks += peak; rows++
    if (peak > highest) highest = peak
    if (rows == 1 || peak < lowest) lowest = peak
}
function near(what, value, low, high) {
    if (value >= low && value <= high) return
    print what, value, "is not within", low, high; wrong = 1
}
END {
    near("rows", rows, 58, 58); near("experts", n, 256, 256)
    near("sd of log load", sd / rows, 0.63, 0.73)
    near("largest / mean", peaks / rows, 6.3, 7.3)
    near("lowest of it", lowest, 2.5, 4); near("highest of it", highest, 10, 14)
    near("top 1", top[0] / rows, 0.9 * 2.7, 1.1 * 2.7); near("top 4", top[3] / rows, 0.9 * 7.4, 1.1 * 7.4)
    near("top 8", top[7] / rows, 0.9 * 12.2, 1.1 * 12.2); near("top 32", top[31] / rows, 0.9 * 31, 1.1 * 31)
    split("18.6 15.1 13.3 12.1 11.3 10.3 10.1 9.2", want, " ")
    for (i = 0; i < 8; i++) near("block " i, share[i] / rows, want[i + 1] - 1.5, want[i + 1] + 1.5)
    exit wrong
}
END

$RUN_ENV "$BUILD/gen_loads" >"$TMP/generated.csv"
check 'gen_loads gives the sample again' cmp "$TMP/generated.csv" "$SAMPLE"
check 'the sample has the statistics of a large model' awk -f "$TMP/statistics.awk" "$SAMPLE"

$RUN_ENV "$BUILD/gen_loads" --layers 3 --experts 256 --steps 40 >"$TMP/steps.csv"
grep '^0,[0-2],' "$SAMPLE" >"$TMP/sample_head"
grep '^0,' "$TMP/steps.csv" >"$TMP/steps_head"
check 'more steps or fewer layers leave the rows as they were' cmp "$TMP/steps_head" "$TMP/sample_head"
variation() { # half the summed difference of neighbouring steps' shares, mean over steps and layers
    awk -F, '/^[0-9]/ { s = 0; d = 0
                        for (e = 3; e <= NF; e++) s += $e
                        for (e = 3; e <= NF; e++) {
                            x = $e / s - old[$2, e]; d += x < 0 ? -x : x; old[$2, e] = $e / s
                        }
                        if ($1 > 0) { sum += d / 2; n++ } }
             END { print sum / n; exit !(sum / n > 0.08 && sum / n < 0.10) }' "$1"
}
check 'steps drift by a total variation of about 0.09' variation "$TMP/steps.csv"
gen_fails() {
    $RUN_ENV "$BUILD/gen_loads" "$@" >"$TMP/nothing" && return 1
    [ $? -eq 2 ] && [ ! -s "$TMP/nothing" ]
}
check 'gen_loads refuses a number that is none' gen_fails --layers x
check 'gen_loads refuses an option without its value' gen_fails --seed
check 'gen_loads refuses what is no number of steps' gen_fails --wander 1.5
check 'gen_loads refuses an unknown option' gen_fails --unknown 1

# ---------------------------------------------------------------- the table, beside the plan and the loads

shape='--replicas 288 --gpus 32 --nodes 4 --groups 8'
eplb plan "$SAMPLE" $shape --json "$TMP/plan.json" --csv "$TMP/plan.csv" >"$TMP/table" 2>"$TMP/noise"
check 'plan of the sample ends well' test $? -eq 0
check 'plan says nothing on standard error' test ! -s "$TMP/noise"
rows() { # the layers' rows of a table
    awk '$1 ~ /^[0-9]+$/ && NF == 8' "$1"
}
rows "$TMP/table" >"$TMP/rows"
check 'the table has 58 layers in order' awk '$1 != NR - 1 { exit 1 } END { exit NR != 58 }' "$TMP/rows"
check 'every plan is better than none, none better than the bound' \
    awk '!($2 < $3 && $3 <= $4 && $4 <= 1 && $5 >= 0 && $6 > 1) { print; exit 1 }' "$TMP/rows"
check 'the gap is that of the bound' \
    awk '{ x = 100 * ($4 / $3 - 1) - $5; if (x * x > 0.03 * 0.03) { print; exit 1 } }' "$TMP/rows"
total() { # the total row: most replicas, sums of slots and times, balancedness within that of the layers
    awk 'FNR == NR { t += $8; twice += $7; if ($6 > most) most = $6
                     for (i = 2; i <= 4; i++) {
                         if (FNR == 1 || $i < low[i]) low[i] = $i
                         if ($i > high[i]) high[i] = $i
                     }
                     next }
         $1 == "total" { seen++; d = $8 - t; if ($6 != most || $7 != twice || d * d > 9) exit 1
                         for (i = 2; i <= 4; i++) if ($i < low[i] || $i > high[i]) exit 1 }
         END { if (seen != 1) exit 1 }' "$1" "$2"
}
check 'the total is that of the rows' total "$TMP/rows" "$TMP/table"
line='58 layers x 256 experts -> 288 replicas on 32 GPUs, 9 each; nodes 4, groups 8, samples 1'
check 'the head says what was planned' grep -F -x "$line" "$TMP/table"
check 'the head names preset, policy and seed' \
    grep -q '^preset default, effort [0-9]*, hierarchical policy, seed 0, [0-9]* bytes of scratch$' \
    "$TMP/table"

cat >"$TMP/balance.awk" <<'END'
# Balancedness before and after, the most replicas, and slots of an expert that its GPU has already, from
# the loads and a plan as CSV, against the table: files loads, plan, rows. GPUs and SLOTS per GPU are
# given with -v.
BEGIN { FS = "," }
FILENAME == ARGV[1] { if (/^[0-9]/) { E = NF - 2; for (e = 0; e < E; e++) load[$2, e] = $(e + 3) } next }
FILENAME == ARGV[2] { if (FNR > 1) { expert[$1, $2] = $5; count[$1, $5]++; gpu[$1, $2] = $4
    twice[$1] += (($1, $4, $5) in has); has[$1, $4, $5] } next }
{
    split($0, row, " "); l = row[1]; sum = 0; before = 0; after = 0; most = 0
    for (e = 0; e < E; e++) {
        sum += load[l, e]
        if (count[l, e] > most) most = count[l, e]
        if (!count[l, e]) exit bad = 1
    }
    for (g = 0; g < GPUS; g++) {
        a = 0; b = 0
        for (s = g * SLOTS; s < (g + 1) * SLOTS; s++) {
            if (gpu[l, s] != g) exit bad = 1
            a += load[l, expert[l, s]] / count[l, expert[l, s]]
            e = s % E; b += load[l, e] / (int(GPUS * SLOTS / E) + (e < GPUS * SLOTS % E))
        }
        if (a > after) after = a
        if (b > before) before = b
    }
    mean = sum / GPUS; x = row[2] - mean / before; y = row[3] - mean / after; seen++
    if (x * x > 1e-8 || y * y > 1e-8 || row[6] != most || row[7] != twice[l]) {
        print l, mean / before, mean / after, most, twice[l]
        exit bad = 1
    }
}
END { exit bad || seen != 58 }
END
check 'before, after, max replicas and twice are those of the loads and the plan' \
    awk -v GPUS=32 -v SLOTS=9 -f "$TMP/balance.awk" "$SAMPLE" "$TMP/plan.csv" "$TMP/rows"
eplb plan "$SAMPLE" --replicas 512 --gpus 4 --preset deepseek --csv "$TMP/twice.csv" \
    --json "$TMP/twice.json" >"$TMP/twice"
rows "$TMP/twice" >"$TMP/twice_rows"
check 'as they are of one with few GPUs' \
    awk -v GPUS=4 -v SLOTS=128 -f "$TMP/balance.awk" "$SAMPLE" "$TMP/twice.csv" "$TMP/twice_rows"
check 'where there are experts twice on a GPU' awk '{ n += $7 } END { exit n == 0 }' "$TMP/twice_rows"
awk '{ print $1, $7 }' "$TMP/twice_rows" >"$TMP/want"
sed -n 's/^{"layer":\([0-9]*\),.*"duplicates":\([0-9]*\),.*/\1 \2/p' "$TMP/twice.json" >"$TMP/got"
check 'the JSON has them as duplicates' cmp "$TMP/got" "$TMP/want"

eplb plan "$SAMPLE" $shape --quiet >"$TMP/quiet"
check '--quiet prints the total alone' \
    awk 'NR == 2 && $1 != "total" { exit 1 } END { exit NR != 2 }' "$TMP/quiet"
check '--opt=value and any order of arguments' eplb plan --gpus=32 --quiet --replicas=288 -- "$SAMPLE"

# ---------------------------------------------------------------- JSON and CSV

cat >"$TMP/json.awk" <<'END'
# Whether the file is one JSON value: names stand for tokens, and groups of them become values until
# one is left.
{ text = text $0 " " }
END {
    gsub(/"([^"\\]|\\["\\\/bfnrt])*"/, "S", text)
    gsub(/-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/, "V", text)
    gsub(/true|false|null/, "V", text)
    gsub(/[ \t]/, "", text)
    do {
        n  = gsub(/S:[SV]/, "P", text)
        n += gsub(/\{(P(,P)*)?\}/, "V", text)
        n += gsub(/\[([SV](,[SV])*)?\]/, "V", text)
    } while (n)
    if (text != "V") { print substr(text, 1, 60); exit 1 }
}
END
for wrong in '{"a":1,}' '[1 2' '{"a":nan}' '{"a":01}' '[1,,2]'; do
    printf '%s\n' "$wrong" >"$TMP/wrong.json"
    check "the JSON check sees that $wrong is wrong" sh -c "! awk -f '$TMP/json.awk' '$TMP/wrong.json'"
done
check 'the plan is JSON' awk -f "$TMP/json.awk" "$TMP/plan.json"
check 'the JSON has a line for each layer' \
    test "$(grep -c '^{"layer":[0-9]*,"balancedness_before":' "$TMP/plan.json")" -eq 58
check 'the JSON says what it is' \
    grep -q '^{"format":"eplb-plan","version":1,"library":"[0-9.]*","plan_version":[0-9]*,$' "$TMP/plan.json"
line='"problem":{"num_layers":58,"num_experts":256,"num_replicas":288,"num_groups":8,'
check 'the JSON has the problem' \
    grep -F -x "$line\"num_nodes\":4,\"num_gpus\":32,\"num_samples\":1}," "$TMP/plan.json"
line='"options":{"preset":"default","policy":"hierarchical","max_replicas":0,"effort":[0-9]*,"half_life":0,'
check 'the JSON has the options' grep -x "$line\"seed\":0}," "$TMP/plan.json"

cat >"$TMP/agree.awk" <<'END'
# Whether the maps of each JSON layer agree with each other and with the plan as CSV: files CSV, JSON.
function list(name,    text) { # of the line at hand, without the brackets around it
    text = substr($0, index($0, "\"" name "\":[") + length(name) + 4)
    return name == "log2phy" ? substr(text, 1, index(text, "]]")) : substr(text, 1, index(text, "]") - 1)
}
FILENAME == ARGV[1] {
    if (FNR > 1) { split($0, c, ","); csv[c[1], c[2]] = c[5]; rank[c[1], c[2]] = c[6]; slots++ }
    next
}
/^\{"layer":/ {
    l = $0; sub(/^\{"layer":/, "", l); sub(/,.*/, "", l)
    R = split(list("phy2log"), phy2log, ","); split(list("phyrank"), phyrank, ",")
    E = split(list("logcnt"), logcnt, ",")
    seen += R
    for (s = 1; s <= R; s++)
        if (phy2log[s] != csv[l, s - 1] || phyrank[s] != rank[l, s - 1]) { print l, s; exit bad = 1 }
    if (split(list("log2phy"), lists, /\],?/) != E + 1) { print l, "lists"; exit bad = 1 }
    for (e = 1; e <= E; e++) {
        n = split(substr(lists[e], 2), slot, ",")
        if (n != logcnt[e]) { print l, e, n; exit bad = 1 }
        for (r = 1; r <= n; r++) {
            s = slot[r] + 1
            if (phy2log[s] != e - 1 || phyrank[s] != r - 1) { print l, e, r; exit bad = 1 }
        }
    }
}
END { exit bad || seen != slots || slots == 0 }
END
check 'the JSON maps agree with each other and with the CSV' \
    awk -f "$TMP/agree.awk" "$TMP/plan.csv" "$TMP/plan.json"
check 'the CSV gives node and GPU of each slot' \
    awk -F, 'NR > 1 && ($4 != int($2 / 9) || $3 != int($4 / 8)) { exit 1 }
             END { exit NR != 58 * 288 + 1 }' "$TMP/plan.csv"
check 'the CSV has its header' test "$(head -n 1 "$TMP/plan.csv")" = layer,slot,node,gpu,expert,replica

eplb plan "$SAMPLE" $shape --csv - >"$TMP/stdout.csv" 2>"$TMP/stderr"
check '--csv - writes the plan to standard output' cmp "$TMP/stdout.csv" "$TMP/plan.csv"
check 'the table then goes to standard error' test "$(rows "$TMP/stderr" | wc -l)" -eq 58
eplb plan "$SAMPLE" $shape --json - >"$TMP/stdout.json" 2>"$TMP/stderr"
check '--json - writes the plan to standard output' cmp "$TMP/stdout.json" "$TMP/plan.json"

seed_of() {
    eplb plan "$SAMPLE" $shape --layers 0 --seed "$1" --json - 2>"$TMP/nothing" |
        sed -n 's/.*"seed":\([^}]*\)}.*/\1/p'
}
check 'a seed that a double holds is a number' test "$(seed_of 9007199254740992)" = 9007199254740992
check 'a larger seed is a string' test "$(seed_of 18446744073709551615)" = '"18446744073709551615"'

eplb plan "$SAMPLE" $shape --layers 7-9 --csv "$TMP/part.csv" >"$TMP/part"
awk -F, '$1 >= 7 && $1 <= 9' "$TMP/plan.csv" >"$TMP/want.csv"
tail -n +2 "$TMP/part.csv" >"$TMP/got.csv"
check '--layers 7-9 gives the plan of these layers' cmp "$TMP/got.csv" "$TMP/want.csv"
rows "$TMP/part" | awk '{ NF = 7; print }' >"$TMP/got"
sed -n 8,10p "$TMP/rows" | awk '{ NF = 7; print }' >"$TMP/want"
check '--layers 7-9 prints the rows of these layers' cmp "$TMP/got" "$TMP/want"
eplb plan "$SAMPLE" $shape --layers 57 >"$TMP/part"
check '--layers 57 prints one row' test "$(rows "$TMP/part" | awk '{ print $1 }')" = 57

# Noise is drawn by absolute layer, so a part of a noisy plan is that part of the whole.
noisy="$shape --preset ensemble --seed 5"
eplb plan "$SAMPLE" $noisy --csv - 2>"$TMP/nothing" | awk -F, '$1 == 40' >"$TMP/want.csv"
eplb plan "$SAMPLE" $noisy --csv - --layers 40 2>"$TMP/nothing" | tail -n +2 >"$TMP/got.csv"
check 'a part of a noisy plan is that part of the whole' cmp "$TMP/got.csv" "$TMP/want.csv"

# ---------------------------------------------------------------- presets, policies, the golden example

eplb presets >"$TMP/presets"
for preset in default deepseek zigzag swap_max_min hill_climb swap_max_any multi_start restarts ensemble \
              hybrid l2 best vllm; do
    check "presets lists $preset" grep -q "^$preset " "$TMP/presets"
done
check 'presets shows what ensemble does' \
    grep -q '^ensemble  *LPT  *max-min  *20  *64  *ramp 0.2  *max load  *-  *D.Hondt *$' "$TMP/presets"
check 'presets shows what hybrid does' \
    grep -q '^hybrid  *LPT  *max-min  *1, 2  *1  *-  *-  *-  *hybrid, fix-up 1$' "$TMP/presets"
check 'presets shows what vllm does' \
    grep -q "^vllm  *LPT  *none  *-  *1  *-  *-  *-  *D'Hondt, as vLLM$" "$TMP/presets"
check 'presets shows what multi_start does' \
    grep -q '^multi_start  *LPT  *pair-scan(3)  *30  *2  *centred 0.15  *spread  *-  *D.Hondt *$' \
    "$TMP/presets"
check 'presets shows the effort of default' \
    grep -q '^default .*  *[1-9][0-9]*  *D.Hondt *$' "$TMP/presets"
check 'presets names every number' sh -c "! grep -q '?' '$TMP/presets'"
plans_with() {
    eplb plan "$SAMPLE" $shape --layers 0-3 --preset "$1" | grep "^preset $1, "
}
for preset in $(awk '$2 == "LPT" || $2 == "zigzag" { print $1 }' "$TMP/presets"); do
    check "preset $preset plans" plans_with "$preset"
done

after() { # balancedness of the plan of a few layers with the options given
    eplb plan "$SAMPLE" $shape --layers 0-3 --quiet "$@" | awk '$1 == "total" { print $3 }'
}
effort_of() {
    eplb plan "$SAMPLE" $shape --layers 0 "$@" --json - 2>"$TMP/nothing" |
        sed -n 's/.*"effort":\([0-9]*\),.*/\1/p'
}
check '--effort takes the place of what the preset has' test "$(effort_of --effort 3)" = 3
check 'and improves the plan' \
    awk "BEGIN { exit !($(after --preset deepseek --effort 1) > $(after --preset deepseek)) }"
check '--effort 0 does not' \
    test "$(after --preset deepseek --effort 0)" = "$(after --preset deepseek)"

printf '90,132,40,61,104,165,39,4,73,56,183,86\n20,107,104,64,19,197,187,157,172,86,16,27\n' >"$TMP/two.csv"
two='--replicas 16 --gpus 8 --nodes 2 --groups 4'
experts() { # the experts of each layer's slots, a line a layer
    awk -F, 'NR > 1 { line[$1] = line[$1] " " $5; last = $1 }
             END { for (l = 0; l <= last; l++) print substr(line[l], 2) }'
}
eplb plan "$TMP/two.csv" $two --preset deepseek --csv - 2>"$TMP/nothing" | experts >"$TMP/got"
printf '%s\n' '5 6 5 7 8 4 3 4 10 9 10 2 0 1 11 1' '7 10 6 8 6 11 8 9 2 4 5 1 5 0 3 1' >"$TMP/want"
check 'preset deepseek gives the plan of the two-layer example' cmp "$TMP/got" "$TMP/want"

policy_line() {
    eplb plan "$TMP/two.csv" --replicas 16 --gpus 8 "$@" | grep -o '[a-z]* policy'
}
check 'the policy is hierarchical when nodes divide groups' \
    test "$(policy_line --nodes 2 --groups 4)" = 'hierarchical policy'
check 'the policy is global when they do not' test "$(policy_line --nodes 2 --groups 3)" = 'global policy'
check 'the policy may be chosen' test "$(policy_line --nodes 2 --groups 4 --policy global)" = 'global policy'
eplb plan "$TMP/two.csv" --replicas 24 --gpus 8 --max-replicas 2 --csv - 2>"$TMP/nothing" >"$TMP/capped.csv"
check '--max-replicas caps the replicas' \
    awk -F, 'NR > 1 && $6 > 1 { exit 1 } END { exit NR != 49 }' "$TMP/capped.csv"

# ---------------------------------------------------------------- what CSV may look like

same_plan() { # a file that must give the plan of two.csv; "-" reads $2
    eplb plan "$1" $two --csv - 2>"$TMP/nothing" <"${2:-/dev/null}" >"$TMP/got.csv" &&
        cmp "$TMP/got.csv" "$TMP/two_plan.csv"
}
eplb plan "$TMP/two.csv" $two --csv "$TMP/two_plan.csv" >"$TMP/nothing"
awk '{ print (NR == 1 ? "# comment\n\n  \n" : "\t# comment\n") $0 }' "$TMP/two.csv" >"$TMP/comments.csv"
awk '{ gsub(/,/, " ,\t"); print "  " $0 " \r" }' "$TMP/two.csv" >"$TMP/blanks.csv"
{ printf '\357\273\277'; cat "$TMP/two.csv"; } >"$TMP/mark.csv"
{ echo 'e0,e1,e2,e3,e4,e5,e6,e7,e8,e9,e10,e11'; cat "$TMP/two.csv"; } >"$TMP/names.csv"
awk -F, 'BEGIN { OFS = "," }
         { for (i = 1; i <= NF; i++) $i = sprintf(i % 3 ? "%.3f" : "+%.9E", $i); print }' \
    "$TMP/two.csv" >"$TMP/decimals.csv"
awk 'BEGIN { print "step,layer,e0,e1,e2,e3,e4,e5,e6,e7,e8,e9,e10,e11" } { line[NR] = "-3," NR - 1 "," $0 }
     END { print line[2]; print line[1] }' "$TMP/two.csv" >"$TMP/trace.csv"
printf '%s' "$(cat "$TMP/two.csv")" >"$TMP/unended.csv"
for form in comments blanks mark names decimals trace unended; do
    check "CSV with $form gives the same plan" same_plan "$TMP/$form.csv"
done
check '- reads standard input' same_plan - "$TMP/two.csv"

# A trace of two steps: the same numbers as samples in .npy files below.
$RUN_ENV "$BUILD/gen_loads" --layers 3 --experts 16 --steps 2 --seed 9 >"$TMP/trace2.csv"
trace='--replicas 24 --gpus 4 --nodes 2 --groups 4'
eplb plan "$TMP/trace2.csv" $trace --csv "$TMP/trace2_plan.csv" >"$TMP/trace2_table"
check 'the steps of a trace are samples' grep -q '^3 layers .*, samples 2$' "$TMP/trace2_table"
awk '/^[0-9]/ { n++; row[n] = $0; next } { print } END { for (i = n; i > 0; i--) print row[i] }' \
    "$TMP/trace2.csv" >"$TMP/backwards.csv"
eplb plan "$TMP/backwards.csv" $trace --csv "$TMP/got.csv" >"$TMP/got_table"
check 'the rows of a trace may come in any order' cmp "$TMP/got.csv" "$TMP/trace2_plan.csv"
awk '{ NF = 7; print }' "$TMP/trace2_table" | sed 's/bytes.*//' >"$TMP/want"
awk '{ NF = 7; print }' "$TMP/got_table" | sed 's/bytes.*//' >"$TMP/got"
check 'and give the same table' cmp "$TMP/got" "$TMP/want"

# ---------------------------------------------------------------- NumPy files

sed -n 's/^[0-9]*,[0-9]*,//p' "$TMP/trace2.csv" >"$TMP/rows6.csv" # [2 samples, 3 layers, 16 experts]
head -n 3 "$TMP/rows6.csv" >"$TMP/rows3.csv"
eplb plan "$TMP/rows3.csv" $trace --csv "$TMP/rows3_plan.csv" >"$TMP/nothing"
file_plan() { # input, plan wanted
    eplb plan "$1" $trace --csv - 2>"$TMP/nothing" >"$TMP/got.csv" && cmp "$TMP/got.csv" "$2"
}
for type in f4 f8 i4 i8; do
    for order in '<' '>' '='; do
        for index in C F; do
            npy_write "$order$type" $index 1 <"$TMP/rows3.csv" >"$TMP/two.npy"
            check "npy $order$type $index [L, E]" file_plan "$TMP/two.npy" "$TMP/rows3_plan.csv"
            npy_write "$order$type" $index 1 2 <"$TMP/rows6.csv" >"$TMP/three.npy"
            check "npy $order$type $index [T, L, E]" file_plan "$TMP/three.npy" "$TMP/trace2_plan.csv"
        done
    done
done
for major in 2 3; do
    npy_write '>f8' F $major 2 <"$TMP/rows6.csv" >"$TMP/three.npy"
    check "npy of version $major" file_plan "$TMP/three.npy" "$TMP/trace2_plan.csv"
done
npy_write '<f4' C 1 <"$TMP/rows3.csv" >"$TMP/two.npy"
eplb plan - $trace --csv - <"$TMP/two.npy" 2>"$TMP/nothing" >"$TMP/got.csv"
check 'npy from standard input' cmp "$TMP/got.csv" "$TMP/rows3_plan.csv"

# ---------------------------------------------------------------- JSON files

json_rows() { # rows between commas as JSON: [rows, E], or with how many layers a sample has, [T, L, E]
    awk -v layers="${1:-0}" '
        { first = layers && NR % layers == 1 % layers; last = layers && NR % layers == 0 }
        { row = (NR > 1 ? "," : "[") "\n" (first ? "[" : "") "[" $0 "]" (last ? "]" : ""); printf "%s", row }
        END { print "]" }'
}
json_rows <"$TMP/rows3.csv" >"$TMP/two.json"
json_rows 3 <"$TMP/rows6.csv" >"$TMP/three.json"
check 'the test writes JSON of two dimensions' awk -f "$TMP/json.awk" "$TMP/two.json"
check 'and of three' awk -f "$TMP/json.awk" "$TMP/three.json"
check 'JSON [L, E]' file_plan "$TMP/two.json" "$TMP/rows3_plan.csv"
check 'JSON [T, L, E]' file_plan "$TMP/three.json" "$TMP/trace2_plan.csv"
json_rows 1 <"$TMP/rows3.csv" >"$TMP/thin.json" # three samples of one layer
npy_write '<f8' C 1 3 <"$TMP/rows3.csv" >"$TMP/thin.npy"
eplb plan "$TMP/thin.npy" $trace --csv "$TMP/thin_plan.csv" >"$TMP/nothing"
check 'JSON of one layer' file_plan "$TMP/thin.json" "$TMP/thin_plan.csv"
{ printf '\357\273\277 \t\r\n'; sed 's/[],[]/ \t&\r /g' "$TMP/three.json"; echo; } >"$TMP/blanks.json"
check 'JSON after a mark, with blanks' file_plan "$TMP/blanks.json" "$TMP/trace2_plan.csv"
tr -d '\n' <"$TMP/three.json" >"$TMP/line.json"
check 'JSON in one line without end' file_plan "$TMP/line.json" "$TMP/trace2_plan.csv"
sed 's/[0-9][0-9]*/&.0E+00/g' "$TMP/two.json" >"$TMP/decimals.json"
check 'JSON with decimals' file_plan "$TMP/decimals.json" "$TMP/rows3_plan.csv"
for shape_of in two three; do
    want=$TMP/rows3_plan.csv
    [ $shape_of = two ] || want=$TMP/trace2_plan.csv
    eplb plan - $trace --csv - <"$TMP/$shape_of.json" 2>"$TMP/nothing" >"$TMP/got.csv"
    check "JSON of $shape_of dimensions from standard input" cmp "$TMP/got.csv" "$want"
done

same_numbers() { # loads of a layer, which must give one plan as CSV and as JSON, and the expert of slot 2
    echo "$1" >"$TMP/numbers.csv"
    echo "[[$1]]" >"$TMP/numbers.json"
    for form in csv json; do
        eplb plan "$TMP/numbers.$form" --replicas 3 --gpus 3 --json "$TMP/numbers_$form.plan" \
            --csv "$TMP/numbers_$form.csv" >"$TMP/nothing" || return 1
    done
    cmp "$TMP/numbers_json.csv" "$TMP/numbers_csv.csv" &&
        cmp "$TMP/numbers_json.plan" "$TMP/numbers_csv.plan" &&
        [ "$(awk -F, 'NR > 1 && $6 == 1 { print $5 }' "$TMP/numbers_json.csv")" = "$2" ]
}
# Just above the middle of two floats, which a double would round to it, and so to a tie.
check 'JSON numbers are rounded once, as those of CSV' same_numbers '1,1.00000005960464477540' 1
check 'JSON has -0, and more digits than float32' same_numbers '-0,0.1000000000000000055511151231257827e0' 1
check 'JSON has the largest and the smallest load' same_numbers '1e-45,3.4028235E+38' 1

# ---------------------------------------------------------------- replay

# 40 samples called 100, 102, .. and windows of 6: six, and four samples left over.
$RUN_ENV "$BUILD/gen_loads" --layers 3 --experts 64 --steps 40 |
    awk -F, 'BEGIN { OFS = "," } /^[0-9]/ { $1 = 100 + 2 * $1 } { print }' >"$TMP/steps.csv"
steps='--replicas 72 --gpus 8 --nodes 2 --groups 4'
replay="$steps --window 6 --history 9 --half-life 4 --preset deepseek,default"
eplb replay "$TMP/steps.csv" $replay --csv "$TMP/replay.csv" --svg "$TMP/replay.svg" >"$TMP/replay" \
    2>"$TMP/noise"
check 'replay ends well' test $? -eq 0
check 'replay says nothing on standard error' test ! -s "$TMP/noise"
line='6 windows of 6 samples, the last 4 samples not used; plans of the last 9 samples, half-life 4'
check 'the head of replay says which samples are used' grep -F -x "$line" "$TMP/replay"
check 'the CSV of replay has its header' \
    test "$(head -n 1 "$TMP/replay.csv")" = window,first_step,preset,own,next,bound,microseconds
check 'and a row a window and series' \
    awk -F, 'BEGIN { split("in order,deepseek,default", name, ",") }
             NR > 1 { i = int((NR - 2) / 3); series = (NR - 2) % 3 + 1
                      if ($1 != i || $2 != 100 + 12 * i || $3 != name[series]) { print; exit bad = 1 }
                      if (!(0 < $4 && $4 <= $6 && 0 < $5 && $5 <= $6 && $6 <= 1)) { print; exit bad = 1 }
                      if (($3 == "in order") != ($7 == 0)) { print; exit bad = 1 } }
             END { exit bad || NR != 16 }' "$TMP/replay.csv"

cat >"$TMP/score.awk" <<'END'
# Sums of means and of largest GPU loads over the layers and the samples FIRST .. FIRST + 5 of a trace,
# under a plan as CSV: files trace, plan.
BEGIN { FS = "," }
FILENAME == ARGV[1] { if (/^[0-9]/) for (e = 3; e <= NF; e++) load[($1 - 100) / 2, $2, e - 3] = $e; next }
FNR > 1 { slots++; layer[slots] = $1; gpu[slots] = $4; expert[slots] = $5; count[$1, $5]++ }
END {
    for (t = FIRST; t < FIRST + 6; t++) {
        split("", sum)
        for (i = 1; i <= slots; i++) {
            l = layer[i]; x = load[t, l, expert[i]] / count[l, expert[i]]
            sum[l, gpu[i]] += x; mean += x / 8
        }
        for (l = 0; l < 3; l++) {
            x = 0
            for (g = 0; g < 8; g++) if (sum[l, g] > x) x = sum[l, g]
            most += x
        }
    }
    printf "%.12g %.12g\n", mean, most
}
END
cut_out() { # the samples $1 .. $2 of the trace
    awk -F, -v first="$1" -v last="$2" '
        /^[0-9]/ { t = ($1 - 100) / 2; if (t < first || t > last) next } { print }' "$TMP/steps.csv"
}
# The same again with eplb plan on what is known at the end of each window: preset own next, of sums.
for preset in deepseek default; do
    for i in 0 1 2 3 4; do
        last=$((6 * i + 5)) first=$((6 * i - 3))
        [ $i -gt 0 ] || first=0
        cut_out $first $last >"$TMP/cut.csv"
        eplb plan "$TMP/cut.csv" $steps --half-life 4 --preset $preset --csv - >"$TMP/cut_plan.csv" \
            2>"$TMP/nothing"
        own=$(awk -v FIRST=$((6 * i)) -f "$TMP/score.awk" "$TMP/steps.csv" "$TMP/cut_plan.csv")
        next=$(awk -v FIRST=$((6 * i + 6)) -f "$TMP/score.awk" "$TMP/steps.csv" "$TMP/cut_plan.csv")
        echo "$i $preset $own $next"
    done
done >"$TMP/scores"
check 'own and next are those of the plans on what is known' \
    awk 'function far(x, y) { x -= y; return x * x > 1e-12 }
         FNR == NR { own[$1, $2] = $3 / $4; next_one[$1, $2] = $5 / $6; n++; next }
         { split($0, c, ","); k = c[1] SUBSEP c[3] }
         k in own { seen++; if (far(own[k], c[4]) || far(next_one[k], c[5])) { print; exit bad = 1 } }
         END { exit bad || n != 10 || seen != 10 }' "$TMP/scores" "$TMP/replay.csv"
check 'the totals are of sums over all windows' \
    awk 'function far(x, y) { x -= y; return x * x > 0.000051 ^ 2 }
         FNR == NR { a[$2] += $3; b[$2] += $4; c[$2] += $5; d[$2] += $6; next }
         /^all windows/ { on = 1; next }
         on && $1 in a { seen++
                         if (far(a[$1] / b[$1], $2) || far(c[$1] / d[$1], $3)) { print; exit bad = 1 } }
         END { exit bad || seen != 2 }' "$TMP/scores" "$TMP/replay"
for i in 0 3; do # in order and the bound, as plan says of the next window
    cut_out $((6 * i + 6)) $((6 * i + 11)) >"$TMP/cut.csv"
    eplb plan "$TMP/cut.csv" $steps --quiet | awk '/total/ { print $2, $4 }' >"$TMP/want"
    awk -F, -v i=$i '$1 == i && $3 == "in order" { printf "%.4f %.4f\n", $5, $6 }' "$TMP/replay.csv" \
        >"$TMP/got"
    check "in order and the bound after window $i" cmp "$TMP/got" "$TMP/want"
done
check 'the table is that of the CSV' \
    awk 'FNR == NR { split($0, c, ","); i = c[1]; row[i] = row[i] sprintf(" %.4f", c[5]); bound[i] = c[6]
                     next }
         /^all windows/ { exit }
         /^     [0-4] / { i = $1; $1 = ""; seen++
                       if ($0 != row[i] sprintf(" %.4f", bound[i])) { print; exit bad = 1 } }
         END { exit bad || seen != 5 }' "$TMP/replay.csv" "$TMP/replay"
check 'and names the series' grep -q '^window  in order  deepseek   default   bound$' "$TMP/replay"
check 'the total of time is a median' \
    awk 'function least_of_three(x, y, z) { return x < y ? (x < z ? x : z) : (y < z ? y : z) }
         FNR == NR { split($0, c, ","); if (c[3] == "deepseek") t[n++] = c[7]; next }
         /^all windows/ { on = 1 }
         on && $1 == "deepseek" {
             for (i = 0; i < n; i++) { low += t[i] < $5; high += t[i] > $5 }
             seen = n == 5 && low <= 2 && high <= 2 }
         END { exit !seen }' "$TMP/replay.csv" "$TMP/replay"
eplb replay "$TMP/steps.csv" $replay --quiet >"$TMP/quiet"
awk '/^all windows/ { on = 1 } on { NF--; print }' "$TMP/replay" >"$TMP/want"
awk '{ NF--; print }' "$TMP/quiet" >"$TMP/got"
check 'replay --quiet prints the totals alone' cmp "$TMP/got" "$TMP/want"

without_time() {
    awk -F, 'BEGIN { OFS = "," } { if (NR > 1) $2 = 6 * $1; NF = 6; print }'
}
sed -n 's/^[0-9]*,[0-9]*,//p' "$TMP/steps.csv" | npy_write '<f4' C 1 40 >"$TMP/steps.npy"
eplb replay - $replay --csv - <"$TMP/steps.npy" >"$TMP/npy.csv" 2>"$TMP/table"
without_time <"$TMP/replay.csv" >"$TMP/want"
cut -d , -f 1-6 "$TMP/npy.csv" >"$TMP/got"
check 'an .npy trace counts its samples from 0, and gives the same scores' cmp "$TMP/got" "$TMP/want"
sed -n 's/^[0-9]*,[0-9]*,//p' "$TMP/steps.csv" | json_rows 3 >"$TMP/steps.json"
eplb replay "$TMP/steps.json" $replay --csv "$TMP/json.csv" >"$TMP/nothing"
cut -d , -f 1-6 "$TMP/json.csv" >"$TMP/got"
check 'so does a JSON trace' cmp "$TMP/got" "$TMP/want"
check 'replay --csv - leaves the table to standard error' grep -q '^all windows ' "$TMP/table"
eplb replay "$TMP/steps.csv" $steps --window 6 --csv "$TMP/as_window.csv" >"$TMP/table"
eplb replay "$TMP/steps.csv" $steps --window 6 --history 6 --preset default --csv - >"$TMP/six.csv" \
    2>"$TMP/nothing"
without_time <"$TMP/as_window.csv" >"$TMP/want"
without_time <"$TMP/six.csv" >"$TMP/got"
check 'a history is as long as the window unless given' cmp "$TMP/got" "$TMP/want"
check 'no half-life is named where there is none' grep -q 'plans of the last 6 samples$' "$TMP/table"
eplb replay "$TMP/steps.csv" $steps --window 20 --history 99 --effort 0 --csv "$TMP/two.out" >"$TMP/table"
check 'two windows suffice' test "$(wc -l <"$TMP/two.out")" -eq 3
check 'a longer history than the trace is what is known' grep -q 'plans of the last 20 samples$' "$TMP/table"
check '--effort is told' grep -q '^effort 0, hierarchical policy, seed 0$' "$TMP/table"
every=$(awk '$2 == "LPT" || $2 == "zigzag" { printf "%s%s", n++ ? "," : "", $1 }' "$TMP/presets")
eplb replay "$TMP/steps.csv" $steps --window 20 --effort 0 --preset "$every" --svg "$TMP/every.svg" \
    >"$TMP/table"
check 'every preset can be replayed' test "$(sed -n '/^all windows/,$p' "$TMP/table" | wc -l)" -eq \
    $(($(printf '%s\n' "$every" | tr , '\n' | wc -l) + 2))
eplb replay "$TMP/steps.csv" $steps --window 10 --effort 0 \
    --preset deepseek,swap_max_min,swap_max_any,multi_start,hill_climb,ensemble >"$TMP/table"
check 'six presets fit in 100 columns' awk 'length($0) > 100 { print; exit 1 }' "$TMP/table"

# Samples that count for nothing, for half and all alike.
cut_out 5 5 >"$TMP/last.csv"
cut_out 0 5 >"$TMP/six_steps.csv"
deepseek="$steps --preset deepseek"
weighted_as() { # half-life, the file of loads whose plan it must be
    eplb plan "$TMP/six_steps.csv" $deepseek --half-life "$1" --csv "$TMP/got.csv" >"$TMP/nothing" &&
        eplb plan "$2" $deepseek --csv "$TMP/want.csv" >"$TMP/nothing" &&
        cmp "$TMP/got.csv" "$TMP/want.csv"
}
awk -F, '/^[0-9]/ { for (e = 3; e <= NF; e++) sum[$2, e] += $e * 2 ^ (($1 - 110) / 4); n = NF; next }
         !/^#/ { print }
         END { for (l = 0; l < 3; l++) {
                   printf "0,%d", l
                   for (e = 3; e <= n; e++) printf ",%.9g", sum[l, e]
                   print "" } }' "$TMP/six_steps.csv" >"$TMP/halved.csv"
check 'a half-life of almost nothing leaves the last sample' weighted_as 1e-9 "$TMP/last.csv"
check 'a half-life of 2 halves every two samples back' weighted_as 2 "$TMP/halved.csv"
check 'an endless half-life lets all count alike' weighted_as 1e30 "$TMP/six_steps.csv"

# ---------------------------------------------------------------- pictures

cat >"$TMP/xml.awk" <<'END'
# Whether the file is one XML element: names match, attributes are quoted, no stray < or &.
{ text = text $0 "\n" }
END {
    sub(/^<\?xml [^?]*\?>[ \n]*/, "", text)
    while (match(text, /<[^>]*>/)) {
        before = substr(text, 1, RSTART - 1); tag = substr(text, RSTART, RLENGTH)
        text   = substr(text, RSTART + RLENGTH)
        gsub(/&(amp|lt|gt|quot|#[0-9]+);/, "", before)
        if (before ~ /[<>&]/ || (depth == 0 && before ~ /[^ \n]/)) { print "text:", before; exit bad = 1 }
        if (tag !~ /^<\/[a-zA-Z]+>$/ && tag !~ /^<[a-zA-Z]+( +[-a-zA-Z0-9]+="[^"<&]*")* *\/?>$/) {
            print "tag:", tag; exit bad = 1
        }
        name = tag; gsub(/^<\/?|[ \/>].*$/, "", name)
        if (depth == 0 && roots++ > 0) { print "second:", tag; exit bad = 1 }
        if (tag ~ /^<\//) {
            if (depth == 0 || open[depth] != name) { print "not open:", tag; exit bad = 1 }
            depth--
        } else if (tag !~ /\/>$/) {
            open[++depth] = name
        }
    }
    if (bad || depth || roots != 1 || text ~ /[^ \n]/) { print "depth", depth, "rest", text; exit 1 }
}
END
for wrong in '<a><b></a></b>' '<a>' '</a>' '<a/><b/>' '<a b=c/>' '<a>1 & 2</a>' '<a>x</a>y' '<a b="<"/>'; do
    printf '%s\n' "$wrong" >"$TMP/wrong.svg"
    check "the XML check sees that $wrong is wrong" sh -c "! awk -f '$TMP/xml.awk' '$TMP/wrong.svg'"
done
eplb plan "$SAMPLE" $shape --svg "$TMP/plan.svg" --csv "$TMP/beside.csv" >"$TMP/beside"
check '--svg and --csv together: the plan' cmp "$TMP/beside.csv" "$TMP/plan.csv"
for picture in plan replay every; do
    svg="$TMP/$picture.svg"
    check "the picture of $picture is XML" awk -f "$TMP/xml.awk" "$svg"
    if command -v xmllint >"$TMP/nothing"; then
        check "xmllint agrees on that of $picture" xmllint --noout --nonet "$svg"
    fi
    check "the picture of $picture has a view box" \
        grep -q '^<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 [0-9]*" width="1000" ' "$svg"
    check "the picture of $picture stands alone" \
        sh -c "! grep -i -e script -e href -e 'url(' -e font-face '$svg'"
    check "the picture of $picture has no number that is none" sh -c "! grep -i -w -e nan -e inf '$svg'"
done

cat >"$TMP/heat.awk" <<'END'
# Whether the cells of the panel after planning have the colours of the GPU loads: files loads, plan, SVG.
BEGIN { FS = ","; split("33 102 172 132 182 215 242 242 242 239 138 98 165 15 32", rgb, " ") }
FILENAME == ARGV[1] {
    if (/^[0-9]/) for (e = 3; e <= NF; e++) { load[$2, e - 3] = $e; mean[$2] += $e / 32 }
    next
}
FILENAME == ARGV[2] { if (FNR > 1) { n++; at[n] = $1 SUBSEP $4; of[n] = $1 SUBSEP $5; count[of[n]]++ } next }
/scale\(/ { panel++ }
panel == 2 && /^<path fill=/ {
    split($0, part, "\""); m = split(part[4], run, /[M hvz]+/) # each run: x, y, width, 1, -width
    for (i = 2; i + 4 <= m; i += 5)
        for (x = run[i]; x < run[i] + run[i + 2]; x++) { cells++; colour[run[i + 1], x] = part[2] }
}
END {
    for (i = 1; i <= n; i++) sum[at[i]] += load[of[i]] / count[of[i]]
    for (k in sum) {
        split(k, key, SUBSEP); x = sum[k] / mean[key[1]]
        if (x > 2) x = 2
        first = int(x * 2); if (first > 3) first = 3
        for (i = 1; i <= 3; i++) { # within what a level is away, and rounding
            a = rgb[3 * first + i]; b = rgb[3 * first + 3 + i]
            d = a + (b - a) * (x * 2 - first) - hex(substr(colour[k], 2 * i, 2))
            if (d * d > 5 * 5) { print k, x, colour[k], d; exit bad = 1 }
        }
        seen++
    }
    exit bad || seen != 58 * 32 || cells != seen
}
function hex(text,    digits) {
    digits = "0123456789abcdef"
    return (index(digits, substr(text, 1, 1)) - 1) * 16 + index(digits, substr(text, 2, 1)) - 1
}
END
check 'the heat map has the colours of the loads' \
    awk -f "$TMP/heat.awk" "$SAMPLE" "$TMP/plan.csv" "$TMP/plan.svg"
awk '$1 == "total" { print $2; print $3 }' "$TMP/beside" >"$TMP/want"
sed -n 's/.*balancedness \([0-9.]*\)<.*/\1/p' "$TMP/plan.svg" >"$TMP/got"
check 'and names the balancedness of the table' cmp "$TMP/got" "$TMP/want"
printf '0,1,1,2\n' >"$TMP/steep.csv"
eplb plan "$TMP/steep.csv" --replicas 4 --gpus 4 --svg - 2>"$TMP/table" >"$TMP/steep.svg"
check '--svg - draws to standard output' awk -f "$TMP/xml.awk" "$TMP/steep.svg"
check 'the table then goes to standard error' grep -q '^ total ' "$TMP/table"
check 'no load is blue' grep -q '^<path fill="#2166ac" d="M0 0h1v1h-1z"/>$' "$TMP/steep.svg"
check 'the mean is grey' grep -q '^<path fill="#f2f2f2" d="M1 0h2v1h-2z"/>$' "$TMP/steep.svg"
check 'twice the mean is red' grep -q '^<path fill="#a50f20" d="M3 0h1v1h-1z"/>$' "$TMP/steep.svg"
awk 'BEGIN { for (e = 0; e < 1000; e++) printf "%s%d", e ? "," : "", e % 7; print "" }' >"$TMP/wide.csv"
eplb plan "$TMP/wide.csv" --replicas 1000 --gpus 1000 --layers 0 --svg "$TMP/wide.svg" >"$TMP/nothing" 2>&1
check 'a thousand GPUs share cells' grep -q 'GPU, the most loaded of neighbours' "$TMP/wide.svg"
check 'and their picture is XML' awk -f "$TMP/xml.awk" "$TMP/wide.svg"

cat >"$TMP/chart.awk" <<'END'
# Whether the lines of the upper plot lie where its labels put the CSV's values: files CSV, SVG.
FILENAME == ARGV[1] { split($0, c, ","); if (FNR > 1) value[c[3], c[1]] = c[5]; next }
/^<g font-size="15"/ { plot++ }
plot == 1 && /text-anchor="end"/ {
    split($0, part, /"|>|</); labels++
    if (labels == 1) { low = part[9]; bottom = part[5] - 4.5 } else { high = part[9]; top = part[5] - 4.5 }
}
/^<polyline/ {
    lines[plot]++
    if (plot > 1) next
    name = lines[plot] == 1 ? "default" : "deepseek" # the first preset is drawn last
    n    = split($0, part, /[" ,]/)
    for (i = 0; i < 5; i++) {
        y = bottom + (top - bottom) * (value[name, i] - low) / (high - low)
        if ((y - part[4 + 2 * i]) ^ 2 > 0.1 ^ 2) { print name, i, y, part[4 + 2 * i]; exit bad = 1 }
        seen++
    }
}
END { exit bad || labels < 3 || lines[1] != 2 || lines[2] != 4 || seen != 10 }
END
check 'the lines of the chart lie where its scale says' \
    awk -f "$TMP/chart.awk" "$TMP/replay.csv" "$TMP/replay.svg"
awk 'NR == 2 { print "bound " $5; last = "in order " $4 } NR > 2 { print $1, $3 } END { print last }' \
    "$TMP/quiet" >"$TMP/want"
awk -F '[<>]' '/>all windows</ { on = 1; next }
               on && /^<text/ { if (n++ % 2) print name " " $3; else name = $3 }' "$TMP/replay.svg" \
    >"$TMP/got"
check 'its legend has the totals of the table' cmp "$TMP/got" "$TMP/want"
check 'its dashed lines are the bound and the experts in order' \
    test "$(grep -c '^<g .*stroke-dasharray' "$TMP/replay.svg")" -eq 2

# ---------------------------------------------------------------- wrong files

mkdir "$TMP/out"
echo before >"$TMP/out/plan.json"

fails() { # exit status, the one line on standard error, arguments
    status=$1 line=$2
    shift 2
    got=$(eplb "$@" 2>&1 >"$TMP/fails.out" </dev/null)
    was=$?
    echo "status $was: $got"
    [ $was -eq "$status" ] && [ "$got" = "$line" ] && [ ! -s "$TMP/fails.out" ]
}
out="--json $TMP/out/plan.json --csv $TMP/out/plan.csv"
wrong() { # what it is, the line after the file's name, the file
    check "$1" fails 2 "$3:$2" plan "$3" --replicas 8 --gpus 2 $out
}
wrong_csv() { # what it is, printf format of the file, line:column and what is said
    printf "$2" >"$TMP/wrong.csv"
    wrong "CSV: $1" "$3" "$TMP/wrong.csv"
}
wrong_csv 'empty file' '' '1:1: no row of loads'
wrong_csv 'comments alone' '# a\n\n#b' '3:1: no row of loads'
wrong_csv 'header alone' 'step,layer,e0,e1\n' '1:1: no row of loads'
wrong_csv 'a word' '1,2\n# c\n3, x4\n' "3:4: 'x4' is not a number"
wrong_csv 'a hexadecimal number' '0x10,2\n' "1:1: '0x10' is not a number"
wrong_csv 'half a number' '1,2e\n' "1:3: '2e' is not a number"
wrong_csv 'two numbers' '1,2 3\n' "1:3: '2 3' is not a number"
wrong_csv 'a semicolon' '1;2\n' "1:1: '1;2' is not a number"
wrong_csv 'a zero byte' '1,2\0003\n' "1:3: '2?3' is not a number"
wrong_csv 'a long word' '1,x%050d\n' "1:3: 'x0000000000000000000000000000000...' is not a number"
wrong_csv 'a negative load' '1,2\n3,-4.5\n' "2:3: '-4.5' is a negative load"
wrong_csv 'NaN' '1,2\r\n3,NaN\r\n' "2:3: 'NaN' is not a finite load"
wrong_csv 'NaN in the first row' 'nan,nan\n' "1:1: 'nan' is not a finite load"
wrong_csv 'infinity' '1,-inf\n' "1:3: '-inf' is not a finite load"
wrong_csv 'a number beyond float32' '1,3.5e38\n' "1:3: '3.5e38' is beyond the range of float32"
wrong_csv 'a number beyond double' '1,1e999\n' "1:3: '1e999' is beyond the range of float32"
wrong_csv 'an empty field' '1,,3\n' '1:3: a load is missing here'
wrong_csv 'a comma at the end' '1,2\n3,4,\n' '2:5: more than the 2 loads of the rows above'
wrong_csv 'a longer row' '1,2\n3,4 , 5\n' '2:7: more than the 2 loads of the rows above'
wrong_csv 'a shorter row' '1,2\n\n3\n' '3:2: only 1 loads; the rows above have 2'
wrong_csv 'names of another width' 'e0,e1,e2\n3,4\n' '2:4: only 2 loads; the rows above have 3'
wrong_csv 'no experts' 'step,layer\n0,0\n' '1:11: no experts after step,layer'
wrong_csv 'a step that is no integer' 'step,layer,e0\n0.5,0,3\n' "2:1: '0.5' is not a step"
wrong_csv 'a row without layer' 'step,layer,e0\n0\n' '2:2: the row has no layer'
wrong_csv 'a negative layer' 'step,layer,e0\n0,-1,3\n' "2:3: '-1' is not a layer"
wrong_csv 'a layer beyond int32' 'step,layer,e0\n0,2147483648,3\n' "2:3: '2147483648' is not a layer"
wrong_csv 'a short row of a trace' 'step,layer,e0,e1\n0,0,3\n' '2:6: only 1 loads; the rows above have 2'
wrong_csv 'a pair given twice' 'step,layer,e0\n0,0,3\n0,1,3\n1,0,3\n0,1,3\n' \
    '5:1: step 0, layer 1 is in line 3 already'
wrong_csv 'a step without the last layer' 'step,layer,e0\n0,0,3\n0,1,3\n1,0,3\n' \
    '4:1: step 1 has no row for layer 1'
wrong_csv 'an earlier step without it' 'step,layer,e0\n0,0,3\n1,0,3\n1,1,3\n' \
    '2:1: step 0 has no row for layer 1'

wrong_npy() { # what it is, what is said; the file is $TMP/wrong.npy
    wrong "npy: $1" " byte $2" "$TMP/wrong.npy"
}
npy_text() { # the header's dictionary of a file of version 1 without data
    printf "\\223NUMPY\\001\\000\\$(printf %03o ${#1})\\000%s" "$1" >"$TMP/wrong.npy"
}
npy_write '<f4' C 1 <"$TMP/rows3.csv" >"$TMP/right.npy" # 128 bytes of header, 192 of data
head -c 300 "$TMP/right.npy" >"$TMP/wrong.npy"
wrong_npy 'cut data' '300: the data should end at byte 320, but the file ends here'
{ cat "$TMP/right.npy"; echo; } >"$TMP/wrong.npy"
wrong_npy 'more data' '320: the data should end at byte 320, but the file goes on'
head -c 100 "$TMP/right.npy" >"$TMP/wrong.npy"
wrong_npy 'cut header' '8: a header of 118 bytes, but the file ends 90 bytes on'
head -c 7 "$TMP/right.npy" >"$TMP/wrong.npy"
wrong_npy 'cut magic' '7: the file ends within the header'
printf '\223NUMPX\001\000' >"$TMP/wrong.npy"
wrong_npy 'wrong magic' '0: the file starts like .npy, but not with all of its magic'
{ printf '\223NUMPY\004\000'; tail -c +9 "$TMP/right.npy"; } >"$TMP/wrong.npy"
wrong_npy 'unknown version' '6: version 4.0 of the format is not 1.0, 2.0 or 3.0'
printf '\223NUMPY\002\000\377\377\377\377{}' >"$TMP/wrong.npy"
wrong_npy 'absurd header' '8: a header of 4294967295 bytes, but the file ends 2 bytes on'
printf '\223NUMPY\003\000\001\000' >"$TMP/wrong.npy"
wrong_npy 'cut length' '10: the file ends within the header'
printf '90,nan\n' | npy_write '<f4' C 1 >"$TMP/wrong.npy"
wrong_npy 'NaN' '132: element [0, 1] is not a number'
printf '90,1\n5,inf\n' | npy_write '>f8' C 1 >"$TMP/wrong.npy"
wrong_npy 'infinity' '152: element [1, 1] is infinite'
printf '1,1e300\n' | npy_write '<f8' C 1 >"$TMP/wrong.npy"
wrong_npy 'a number beyond float32' '136: element [0, 1] is beyond the range of float32'
# The sixth number, after [1, 1, 0] and [0, 0, 1].
printf '1,2\n3,4\n5,-6\n7,8\n' | npy_write '>i4' F 1 2 >"$TMP/wrong.npy"
wrong_npy 'a negative load' '148: element [1, 0, 1] is negative'
printf '1,-2\n' | npy_write '<i8' C 1 >"$TMP/wrong.npy"
wrong_npy 'a negative 64-bit integer' '136: element [0, 1] is negative'
npy_text "{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3)}"
types='only u1, u2, u4, u8, i1, i2, i4, i8, f2, f4 and f8'
wrong_npy 'unknown type' "20: numbers of type '<c8' cannot be read: $types; a.astype('f4') makes such"
npy_text "{'descr': '|i4', 'fortran_order': False, 'shape': (2, 3)}"
wrong_npy 'no byte order' "20: type '|i4' gives no byte order: <, > or = should stand before it"
npy_text "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}"
wrong_npy 'records' \
    "20: records cannot be read: save one of their fields, as in numpy.save('loads.npy', a['load'])"
npy_text "{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3)}"
wrong_npy 'order that is none' '44: fortran_order should be True or False'
npy_text "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}"
wrong_npy 'no layers' '61: a dimension should be a whole number from 1 to 2147483647'
npy_text "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3)}"
wrong_npy 'negative dimension' '61: a dimension should be a whole number from 1 to 2147483647'
npy_text "{'descr': '<f8', 'fortran_order': False, 'shape': (2147483647, 2147483647, 1)}"
wrong_npy 'sizes that overflow' '88: the shape needs more bytes than can be counted'
npy_text "{'descr': '<f4', 'shape': (2, 3)}"
wrong_npy 'no order' '43: the header has no fortran_order'
npy_text "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}"
wrong_npy 'a key twice' "27: the header has 'descr' twice"
npy_text "{'descr': '<f4', 'colour': 3}"
wrong_npy 'unknown key' "27: the header has 'colour' as a key, which the format does not"
npy_text "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)} x"
wrong_npy 'more after the dictionary' '68: the header goes on after its dictionary'
npy_text "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)"
wrong_npy 'a dictionary without end' "66: the header should have '}' here"

wrong_json() { # what it is, printf format of the file, line:column and what is said
    printf "$2" >"$TMP/wrong.json"
    wrong "JSON: $1" "$3" "$TMP/wrong.json"
}
array='an array should begin here, as before'
deep='an array where a load should be'
ends='the file ends within an array'
goes_on='the file goes on after its array'
no_array='no array of numbers in this object; rows of single numbers can be read as CSV'
wrong_json 'an object after a mark' '\357\273\277{}' "1:1: $no_array"
wrong_json 'objects for rows' '[\n{"e0":1}]' "2:1: $no_array"
wrong_json 'an object for a load' '[[1,\n {}]]' \
    '2:2: an object where a load should be'
wrong_json 'a string' '[[1,2],\n[3,"4"]]' \
    '2:4: a string where a load should be'
wrong_json 'a string for a row' '["1,2"]' '1:2: a string where a load should be'
for word in true false null x 0x10 1e 1:2 1-2 -; do
    wrong_json "$word for a load" "[[1,2],\\n[3,$word]]" "2:4: '$word' is not a number"
done
wrong_json 'true for a row' '[[1],true]' "1:6: $array"
wrong_json 'a form feed' '[[1\f,2]]' "1:3: '1?' is not a number"
wrong_json 'a zero byte in a number' '[[1\0002]]' "1:3: '1?2' is not a number"
wrong_json 'a zero byte for a load' '[[\000]]' "1:3: '?' is not a number"
for number in 01 00 00.5 +1 .5 1. 1.e5 01e1 +.5 -00; do
    wrong_json "the number $number" "[[1,\\r\\n$number]]" "2:1: '$number' is not a number in JSON"
done
for number in NaN nan Infinity -Infinity inf; do
    wrong_json "the load $number" "[\\n\\n[$number]]" "3:2: '$number' is not a finite load"
done
wrong_json 'a number beyond float32' '[[1, 3.5e38]]' "1:6: '3.5e38' is beyond the range of float32"
wrong_json 'a number beyond double' '[[1],[1e999]]' "1:7: '1e999' is beyond the range of float32"
wrong_json 'a negative load' '[[1,2],\n[3,\t-4.5]]' "2:5: '-4.5' is a negative load"
wrong_json 'an empty array' '[]' '1:2: a load is missing here'
wrong_json 'an empty array of blanks' '[\n ]' '2:2: a load is missing here'
wrong_json 'an empty row' '[[]]' '1:3: a load is missing here'
wrong_json 'an empty second row' '[[1],\n[]]' '2:2: a load is missing here'
wrong_json 'an empty sample' '[[[1]],[]]' "1:9: $array"
wrong_json 'empty rows of a sample' '[[[]]]' '1:4: a load is missing here'
wrong_json 'a load left out' '[[1,,2]]' '1:5: a load is missing here'
wrong_json 'no first load' '[[,2]]' '1:3: a load is missing here'
wrong_json 'a brace for a load' '[[}]]' '1:3: a load is missing here'
wrong_json 'a comma after the last load' '[[1,2],[3,4,]]' '1:13: a load is missing here'
wrong_json 'two commas after it' '[[1,2],[3,4,,5]]' '1:13: a load is missing here'
wrong_json 'a comma after the last row' '[[1],\n[2],\n]' "3:1: $array"
wrong_json 'four dimensions of another row' '[[[1],[[2]]]]' "1:8: $deep"
wrong_json 'a row in a row' '[[1,2],\n[3,[4]]]' "2:4: $deep"
wrong_json 'samples after rows' '[[1],[[2]]]' "1:7: $deep"
wrong_json 'rows after samples' '[[[1]],\n[2]]' "2:2: $array"
wrong_json 'a load after rows' '[[1],2]' "1:6: $array"
wrong_json 'a shorter row' '[[1,2],\n[3 ]]' '2:4: only 1 loads; the rows above have 2'
wrong_json 'a longer row' '[[1,2],\n[3,4,5]]' '2:6: more than the 2 loads of the rows above'
wrong_json 'a shorter row of another sample' '[[[1,2]],[[3]]]' '1:13: only 1 loads; the rows above have 2'
wrong_json 'a longer row of another sample' '[[[1]],\n[[3,4]]]' '2:5: more than the 1 loads of the rows above'
wrong_json 'a sample of fewer rows' '[[[1],[2]],\n[[3]]]' '2:5: only 1 rows; the samples above have 2'
wrong_json 'a sample of more rows' '[[[1],[2]],\n[[3],[4],[5]]]' \
    '2:10: more than the 2 rows of the samples above'
wrong_json 'two numbers' '[[1 2]]' "1:5: ',' or ']' should stand here"
wrong_json 'an array after a number' '[[1[2]]]' "1:4: ',' or ']' should stand here"
wrong_json 'an object after a number' '[[1{}]]' "1:4: ',' or ']' should stand here"
wrong_json 'rows without comma' '[[1]\n[2]]' "2:1: ',' or ']' should stand here"
wrong_json 'a row ended by a brace' '[[1}]' "1:4: ',' or ']' should stand here"
wrong_json 'an open outer array' '[' "1:2: $ends"
wrong_json 'an open row' '[[1,2],\n[3' "2:3: $ends"
wrong_json 'an end after a comma' '[[1,' "1:5: $ends"
wrong_json 'a row that nothing follows' '[[1]\n' "2:1: $ends"
wrong_json 'many open arrays' "$(printf '%01000d' 0 | tr 0 '[')" \
    '1:65: more than 64 arrays and objects in each other'
wrong_json 'a bracket too many' '[[1]]]' "1:6: $goes_on"
wrong_json 'a number after it' '[[1]]\n2' "2:1: $goes_on"
wrong_json 'a comment at the end' '[[1]] # loads' "1:7: $goes_on"
wrong_json 'a zero byte at the end' '[[1]]\000' "1:6: $goes_on"
wrong_json 'a column after a mark' '\357\273\277[[1,x]]' "1:5: 'x' is not a number"
check 'wrong JSON from standard input' sh -c \
    "printf '[[1],\n [2,3]]' | $RUN_ENV '$BUILD/eplb' plan - --replicas 8 --gpus 2 2>&1 |
        grep -F -x '<stdin>:2:5: more than the 1 loads of the rows above'"
check 'JSON of one sample is too short for replay' \
    fails 2 'eplb: replay needs samples in time, to plan on and to score on; the file has one' \
    replay "$TMP/two.json" $trace --window 1

check 'an input that is not there' fails 2 "eplb: $TMP/none.csv: No such file or directory" \
    plan "$TMP/none.csv" --replicas 8 --gpus 2 --json "$TMP/out/plan.json"
check 'standard input has a name in messages' \
    fails 2 '<stdin>:1:1: no row of loads' plan - --replicas 8 --gpus 2

# ---------------------------------------------------------------- wrong arguments

hint="; try 'eplb --help'"
whole='needs a whole number from 1 to 2147483647, not'
refused() { # the line after `eplb: `, arguments of eplb plan on the two-layer example
    line=$1
    shift
    check "plan $* is refused" fails 2 "eplb: $line" plan "$TMP/two.csv" "$@" $out
}
refused "plan needs --replicas$hint" --gpus 8
refused "plan needs --gpus$hint" --replicas 16
refused "unknown option '--colour'$hint" --colour red
refused "unknown option '-q'$hint" -q
refused "unknown option '--gpus8'; did you mean '--gpus'?" --gpus8
refused "the file 'other.csv' stands there twice" other.csv other.csv
refused "--gpus $whole '0'" --replicas 16 --gpus 0
refused "--gpus $whole '-8'" --replicas 16 --gpus -8
refused "--gpus $whole '8x'" --replicas 16 --gpus=8x
refused "--gpus $whole ''" --replicas 16 --gpus=
refused "--replicas $whole '2147483648'" --replicas 2147483648 --gpus 8
refused "--replicas $whole '99999999999999999999'" --replicas 99999999999999999999 --gpus 8
refused "--replicas $whole '1.5'" --replicas 1.5 --gpus 8
refused "--replicas needs a value$hint" --replicas --gpus 8
refused "--seed needs a whole number from 0 to 18446744073709551615, not '-1'" --seed -1
refused "--seed needs a whole number from 0 to 18446744073709551615, not '18446744073709551616'" \
    --seed 18446744073709551616
refused "--policy is auto, hierarchical or global, not 'local'" --policy local
refused "there is no preset 'finest'; try 'eplb presets'" --preset finest
refused "--layers needs a layer or a range such as 3-7, not '1-'" --layers 1-
refused "--layers needs a layer or a range such as 3-7, not '3-1'" --layers 3-1
refused '--layers 1-2, but the layers are 0-1' --replicas 16 --gpus 8 --layers 1-2
refused '--show 1, but the layers planned are 0' --replicas 16 --gpus 8 --layers 0 --show 1
refused '--replicas 15 is not a multiple of --gpus 8; 16 slots would divide' --replicas 15 --gpus 8
refused '--gpus 8 is not a multiple of --nodes 3; 2 or 4 nodes would divide them' \
    --replicas 16 --gpus 8 --nodes 3
refused '--groups 3 is not a multiple of --nodes 2; 2 or 4 would do, and --policy global needs no multiple' \
    --replicas 16 --gpus 8 --nodes 2 --groups 3 --policy hierarchical
refused '--groups 8 does not divide the 12 experts of a layer; with 2 nodes 6 or 12 would' \
    --replicas 16 --gpus 8 --nodes 2 --groups 8
refused '--replicas 8 is less than the 12 experts of a layer; 16 would do' --replicas 8 --gpus 8
refused '--max-replicas 1 leaves some of the 16 slots empty with 12 experts; 2 would do' \
    --replicas 16 --gpus 8 --max-replicas 1
refused "--preset takes one preset here, not 'l2,l2': several are for replay" --preset l2,l2
refused "plan has no option '--window', which is for score and replay$hint" --window 3
refused "plan has no option '--history', which is for replay$hint" --history 3
refused "--effort needs a whole number from 0 to 2147483647, not '-1'" --effort -1
for half_life in 0 -1 1e999 nan inf 0x1 3x ''; do
    refused "--half-life needs a number of samples above 0, not '$half_life'" "--half-life=$half_life"
done
replay_refused() { # the line after `eplb: `, arguments of eplb replay on a trace of 40 samples
    line=$1
    shift
    check "replay $* is refused" fails 2 "eplb: $line" replay "$TMP/steps.csv" $steps "$@" \
        --csv "$TMP/out/plan.json" --svg "$TMP/out/replay.svg"
}
replay_refused "replay needs --window$hint"
replay_refused "--window $whole '0'" --window 0
replay_refused "--history $whole '0'" --window 2 --history 0
needs='samples, to plan on and to score on; the file has 40, so that 20 is the most'
replay_refused "--window 21 needs 42 $needs" --window 21
replay_refused "--window 2147483647 needs 4294967294 $needs" --window 2147483647
replay_refused "there is no preset 'best one'; try 'eplb presets'" --window 4 --preset 'l2,best one'
replay_refused "there is no preset ''; try 'eplb presets'" --window 4 --preset l2,
replay_refused "--preset has 'l2' twice" --window 4 --preset l2,deepseek,l2
replay_refused "replay has no option '--json', which is for plan, score, transfers and check$hint" --window 4 --json x.json
replay_refused "replay has no option '--show', which is for plan and score$hint" --window 4 --show 0
replay_refused "replay has no option '--layers', which is for plan and score$hint" --window 4 --layers 0
replay_refused '--replicas 72 is not a multiple of --gpus 7; 77 slots would divide' --window 4 --gpus 7
replay_refused \
    '--groups 3 is not a multiple of --nodes 2; 2 or 4 would do, and --policy global needs no multiple' \
    --window 4 --nodes 2 --groups 3 --policy hierarchical
check 'one file of replay for two outputs is refused' fails 2 "eplb: --csv and --svg cannot both be 'x'" \
    replay "$TMP/steps.csv" $steps --window 4 --csv x --svg x
check 'replay without a trace is refused' \
    fails 2 "eplb: replay needs a file of loads, or - for standard input$hint" replay --window 4
check 'a plan without loads is refused' \
    fails 2 "eplb: plan needs a file of loads, or - for standard input$hint" plan --replicas 16
check 'a last option without value is refused' fails 2 "eplb: --gpus needs a value$hint" plan x.csv --gpus
check 'two plans on standard output are refused' fails 2 "eplb: --json and --csv cannot both be '-'" \
    plan "$TMP/two.csv" --replicas 16 --gpus 8 --json - --csv -
check 'a plan and a picture there too' fails 2 "eplb: --json and --svg cannot both be '-'" \
    plan "$TMP/two.csv" --replicas 16 --gpus 8 --json - --svg -
check 'an unknown command is refused' fails 2 "eplb: unknown command 'pln'; did you mean 'plan'?" pln "$TMP/two.csv"
check 'an argument of presets is refused' fails 2 "eplb: unexpected 'x' after presets$hint" presets x

check 'none of these left a file or changed one' \
    test "$(ls "$TMP/out") $(cat "$TMP/out/plan.json")" = 'plan.json before'

# ---------------------------------------------------------------- output that cannot be written

run_two="plan $TMP/two.csv $two"
check 'a folder that is not there' \
    fails 1 "eplb: $TMP/none/plan.json: No such file or directory" $run_two --json "$TMP/none/plan.json"
check 'a folder in the place of a file' fails 1 "eplb: $TMP/out: Is a directory" $run_two --csv "$TMP/out"
check 'one wrong output stops the other' fails 1 "eplb: $TMP/none/plan.csv: No such file or directory" \
    $run_two --json "$TMP/out/plan.json" --csv "$TMP/none/plan.csv"
check 'a wrong third output stops two' fails 1 "eplb: $TMP/none/plan.svg: No such file or directory" \
    $run_two --json "$TMP/out/plan.json" --csv "$TMP/out/plan.csv" --svg "$TMP/none/plan.svg"
check 'so does one of replay' fails 1 "eplb: $TMP/none/replay.svg: No such file or directory" \
    replay "$TMP/steps.csv" $steps --window 9 --csv "$TMP/out/plan.json" --svg "$TMP/none/replay.svg"
limited() { # fails, with files of at most 8 blocks of 512 or 1024 bytes
    (trap '' XFSZ && ulimit -f 8 && fails "$@")
}
check 'a file that cannot be finished' \
    limited 1 "eplb: $TMP/out/plan.json: File too large" plan "$SAMPLE" $shape --json "$TMP/out/plan.json"
check 'a picture that cannot be finished' \
    limited 1 "eplb: $TMP/out/plan.json: File too large" plan "$SAMPLE" $shape --svg "$TMP/out/plan.json"
if [ -c /dev/full ]; then # reached through redirection alone: a fault must not replace the device
    full() {
        got=$(eplb "$@" 2>&1 >/dev/full)
        was=$?
        last=$(printf '%s\n' "$got" | tail -n 1)
        [ $was -eq 1 ] && [ "$last" = 'eplb: standard output: No space left on device' ]
    }
    check 'a full standard output under a table' full $run_two
    check 'a full standard output under a plan' full $run_two --json - --quiet
    check 'a full standard output under presets' full presets
fi
check 'none of these left a file or changed one' \
    test "$(ls "$TMP/out") $(cat "$TMP/out/plan.json")" = 'plan.json before'

eplb $run_two --json "$TMP/out/plan.json" --csv "$TMP/out/plan.csv" >"$TMP/nothing"
check 'a plan replaces the file that was there' grep -q '"format":"eplb-plan"' "$TMP/out/plan.json"
check 'and leaves nothing else' test "$(ls "$TMP/out" | tr '\n' ' ')" = 'plan.csv plan.json '
ln -s plan.csv "$TMP/out/link.csv"
echo before >"$TMP/out/plan.csv"
eplb $run_two --csv "$TMP/out/link.csv" >"$TMP/nothing"
check 'a link stays one' test -L "$TMP/out/link.csv"
check 'and what it leads to is written' cmp "$TMP/out/plan.csv" "$TMP/two_plan.csv"
mkfifo "$TMP/out/pipe"
cat "$TMP/out/pipe" >"$TMP/through_pipe" &
if eplb $run_two --csv "$TMP/out/pipe" >"$TMP/nothing" && [ -p "$TMP/out/pipe" ]; then
    wait
else
    kill $! # no writer will ever end cat
fi
check 'a pipe stays one' test -p "$TMP/out/pipe"
check 'and the plan goes through it' cmp "$TMP/through_pipe" "$TMP/two_plan.csv"

# ---------------------------------------------------------------- bars, help, version

eplb plan "$SAMPLE" $shape --layers 3 --show 3 >"$TMP/bars"
bars() { # the rows of a picture of $2 GPUs, of which the first and the last are $3 and $4
    awk -v want="$2" -v first="$3" -v last="$4" '
        /^layer 3, load of each GPU/ { on = 1; next }
        on && $2 ~ /^[0-9]+\.[0-9][0-9]$/ { if (++n == 1 && $1 != first) exit bad = 1; final = $1 }
        length($0) > 100 { exit bad = 1 }
        END { print n, final; exit bad || n != want || final != last }' "$1"
}
check '--show draws a bar for each GPU' bars "$TMP/bars" 32 0 31
check '--show draws plain bars where the locale is not UTF-8' \
    grep -q '^ *7   1\.97 ##*|##* *1\.12 ##*|##*$' "$TMP/bars"
(LC_ALL=en_GB.UTF-8 && eplb plan "$SAMPLE" $shape --layers 3 --show 3 >"$TMP/bars_utf8")
check '--show draws blocks where it is' \
    grep -q '^ *7   1\.97 █████.*│█████' "$TMP/bars_utf8"
eplb plan "$SAMPLE" --replicas 320 --gpus 160 --layers 3 --show 3 >"$TMP/bars"
check '--show draws several of many GPUs in a row' bars "$TMP/bars" 54 0-2 159

eplb --version >"$TMP/version"
header_version=$(sed -n 's/^#define EPLB_VERSION_STRING *"\(.*\)"/\1/p' eplb.h)
check '--version' grep -q "^eplb $header_version (plan version [0-9][0-9]*)$" "$TMP/version"
eplb --help >"$TMP/help"
check '--help names every option' \
    sh -c "for o in replicas gpus nodes groups preset effort policy max-replicas half-life seed layers json \
                 csv svg show window history quiet; do
    grep -q -e \"  --\$o\" '$TMP/help' || exit 1; done"
for words in 'help' '-h' 'plan --help' 'replay --help' 'plan x.csv --gpus 3 -h' 'presets --help'; do
    eplb $words >"$TMP/help2"
    check "eplb $words gives the same help" cmp "$TMP/help2" "$TMP/help"
done
usage() {
    eplb >"$TMP/nothing" 2>"$TMP/usage"
    [ $? -eq 2 ] && [ ! -s "$TMP/nothing" ] && grep -q '^usage: eplb plan' "$TMP/usage"
}
check 'eplb alone gives the usage and fails' usage

report test_cli
