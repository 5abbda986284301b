# test_cli_dumps.sh - what the program eplb makes of dumps of loads: arrays of NumPy, alone and in .npz, and
# JSON, by axes, keys and records, with memory for a sample; and of files of other libraries, which it names.
# Forms of the same loads must give the same plan; what cannot be read is refused in one line that names the
# cause.
. tests/check/check.sh

LC_ALL=C
export LC_ALL

eplb() {
    $RUN_ENV "$BUILD/eplb" "$@"
}
npy_write() {
    $RUN_ENV "$BUILD/npy_write" "$@"
}
zip_write() {
    $RUN_ENV "$BUILD/zip_write" "$@"
}

# The plan as JSON, without the layers' own numbers.
plan_of() { # options and files
    eplb plan --replicas 6 --gpus 3 "$@" --json - 2>"$TMP/noise" | sed 's/"layer":[0-9]*,//'
}
same() { # what it is, the file whose plan it must be, options and files
    what=$1
    want_of "$2"
    shift 2
    plan_of "$@" >"$TMP/got"
    check "$what" same_as_wanted
}
want_of() { # file: $want, where its plan is; those of the loads below, which stay as they are, are made once
    want=$TMP/want
    case $1 in "$TMP/two.json" | "$TMP/one.json" | "$TMP/single.json" | "$TMP/thin.json") want=$1.plan ;; esac
    [ "$want" != "$TMP/want" ] && [ -s "$want" ] || plan_of "$1" >"$want"
}
same_as_wanted() {
    test -s "$want" && cmp "$TMP/got" "$want" || { cat "$TMP/noise"; return 1; }
}
same_json() { # what it is, the file whose plan it must be, printf format of the file, options
    what=$1 want=$2
    printf -- "$3" >"$TMP/in.json"
    shift 3
    same "$what" "$want" "$TMP/in.json" "$@"
}
fails() { # the one line on standard error, arguments
    line=$1
    shift
    got=$(eplb "$@" 2>&1 >"$TMP/fails.out" </dev/null)
    was=$?
    echo "status $was: $got"
    [ $was -eq 2 ] && [ "$got" = "$line" ] && [ ! -s "$TMP/fails.out" ]
}
refused() { # what it is, the file, what is said after its name, options
    what=$1 file=$2 line=$3
    shift 3
    check "refused: $what" fails "$file$line" plan "$file" --replicas 6 --gpus 3 "$@"
}
refused_whole() { # the same where the line starts with the program's name
    what=$1 file=$2 line=$3
    shift 3
    check "refused: $what" fails "eplb: $file$line" plan "$file" --replicas 6 --gpus 3 "$@"
}
refused_json() { # what it is, printf format of the file, what is said after its name, options
    what=$1 line=$3
    printf -- "$2" >"$TMP/wrong.json"
    shift 3
    refused "$what" "$TMP/wrong.json" "$line" "$@"
}

# ---------------------------------------------------------------- the loads that all forms below have

printf '[[[5,6,1,40],[7,80,2,3],[9,1,1,2]],[[4,4,30,2],[1,2,3,90],[8,70,6,5]]]' >"$TMP/two.json" # [T, L, E]
printf '[[5,6,1,40],[7,80,2,3],[9,1,1,2]]' >"$TMP/one.json"                                     # [L, E]
printf '[[5,6,1,40]]' >"$TMP/single.json"
printf '[[[5,6,1,40]],[[4,4,30,2]]]' >"$TMP/thin.json" # [T, 1, E]
tr -d '[]' <"$TMP/two.json" >"$TMP/two.txt"
tr -d '[]' <"$TMP/one.json" >"$TMP/one.txt"
tr -d '[]' <"$TMP/single.json" >"$TMP/single.txt"
tr -d '[]' <"$TMP/thin.json" >"$TMP/thin.txt"

cat >"$TMP/permute.awk" <<'END'
# Numbers of an array with axes FROM and as many along each as DIMS says, in the order of the axes TO.
BEGIN { RS = "[,\n]"; n = split(DIMS, dim, "x"); for (i = 1; i <= n; i++) along[substr(FROM, i, 1)] = dim[i] }
{ value[count++] = $0 }
END {
    for (i = n; i >= 1; i--) { stride[substr(FROM, i, 1)] = step ? step : step = 1; step *= dim[i] }
    for (k = 0; k < count; k++) {
        rest = k; at = 0
        for (i = n; i >= 1; i--) {
            c = substr(TO, i, 1); at += rest % along[c] * stride[c]; rest = int(rest / along[c])
        }
        printf "%s%s", k ? "," : "", value[at]
    }
    print ""
}
END
cat >"$TMP/nest.awk" <<'END'
# Numbers as JSON of the shape DIMS.
BEGIN { RS = "[,\n]"; n = split(DIMS, dim, "x") }
{
    before = ""; step = 1
    for (i = n; i >= 1; i--) { step *= dim[i]; if (count % step == 0) before = before "[" }
    after = ""; step = 1; count++
    for (i = n; i >= 1; i--) { step *= dim[i]; if (count % step == 0) after = after "]" }
    printf "%s%s%s%s", (count > 1 ? "," : ""), before, $0, after
}
END
dims_of() { # axes: the shape of the loads in this order
    echo "$1" | sed 's/T/2x/; s/L/3x/; s/E/4x/; s/x$//'
}

# ---------------------------------------------------------------- NumPy: types, orders, versions

for type in u1 u2 u4 u8 i1 i2 i4 i8 f2 f4 f8; do
    for order in '<' '>' '='; do
        for index in C F; do
            npy_write "$order$type" $index 1 2x3x4 <"$TMP/two.txt" >"$TMP/in.npy"
            same "npy $order$type $index" "$TMP/two.json" "$TMP/in.npy"
        done
    done
    npy_write "<$type" C 2 3x4 <"$TMP/one.txt" >"$TMP/in.npy"
    same "npy $type [L, E]" "$TMP/one.json" "$TMP/in.npy"
    npy_write ">$type" C 3 4x <"$TMP/single.txt" >"$TMP/in.npy"
    same "npy $type [E]" "$TMP/single.json" "$TMP/in.npy"
done
for type in u1 i1; do
    npy_write "|$type" C 1 2x3x4 <"$TMP/two.txt" >"$TMP/in.npy"
    same "npy |$type" "$TMP/two.json" "$TMP/in.npy"
done
npy_write '<f4' C 1 2x3x4 <"$TMP/two.txt" >"$TMP/in.npy"
plan_of - <"$TMP/in.npy" >"$TMP/got"
plan_of "$TMP/two.json" >"$TMP/want"
check 'npy from standard input' cmp "$TMP/got" "$TMP/want"
cat "$TMP/in.npy" | plan_of - >"$TMP/got"
check 'and from a pipe' cmp "$TMP/got" "$TMP/want"

extremes() { # type, numbers: they must be those of JSON
    echo "[[$2]]" >"$TMP/extremes.json"
    echo "$2" | npy_write "$1" C 1 >"$TMP/in.npy"
    same "npy $1 of $2" "$TMP/extremes.json" "$TMP/in.npy"
}
extremes '<u1' 0,255,128,1
extremes '>u2' 0,65535,32768,1
extremes '<u4' 0,4294967295,2147483648,16777217
extremes '>u8' 0,18446744073709549568,9223372036854775808,16777217
extremes '<i1' 0,127,64,1
extremes '>i8' 0,9223372036854774784,4503599627370497,1
extremes '<f2' 65504,0.00006103515625,0.000060975551605224609375,5.9604644775390625e-08
extremes '>f2' 0.333251953125,1024,2047,0

# ---------------------------------------------------------------- axes

for to in TLE TEL LTE LET ETL ELT; do
    awk -v FROM=TLE -v DIMS=2x3x4 -v TO=$to -f "$TMP/permute.awk" "$TMP/two.txt" >"$TMP/permuted.txt"
    shape=$(dims_of $to)
    for index in C F; do
        npy_write '<u2' $index 1 "$shape" <"$TMP/permuted.txt" >"$TMP/in.npy"
        same "npy $index --axes $to" "$TMP/two.json" "$TMP/in.npy" --axes $to
    done
    awk -v DIMS="$shape" -f "$TMP/nest.awk" "$TMP/permuted.txt" >"$TMP/in.json"
    same "JSON --axes $to" "$TMP/two.json" "$TMP/in.json" --axes $to
    for t in 0 1; do
        printf '%s\n' "$(sed 's/^\[\[\[/[[/; s/\]\]\]$/]]/; s/\]\],\[\[/]]\n[[/' "$TMP/two.json" |
            sed -n "$((t + 1))p")" >"$TMP/sample.json"
        same "--axes $to --steps $t of npy" "$TMP/sample.json" "$TMP/in.npy" --axes $to --steps $t
        same "--axes $to --steps $t of JSON" "$TMP/sample.json" "$TMP/in.json" --axes $to --steps $t
    done
done
npy_write '<i4' C 1 4x3 <"$TMP/one.txt" >"$TMP/in.npy" # not the loads, but a wrong shape of them
refused_whole 'axes of another number' "$TMP/in.npy" ': an array of 2 dimensions, but --axes TLE has 3 letters' \
    --axes TLE
npy_write '<i4' C 1 2x4 <"$TMP/thin.txt" >"$TMP/in.npy"
same 'npy --axes TE' "$TMP/thin.json" "$TMP/in.npy" --axes TE
same_json 'JSON --axes TE' "$TMP/thin.json" '[[5,6,1,40],[4,4,30,2]]' --axes TE
same_json 'JSON of a plain vector' "$TMP/single.json" '[5,6,1,40]'

# Loads of ranks: a half each, at every place of G.
tr , '\n' <"$TMP/two.txt" | awk '{ a = int($1 / 3); first = first sep a; rest = rest sep $1 - a; sep = "," }
                                 END { print first "," rest }' >"$TMP/ranks.txt"
for to in GTLE TGLE TLGE TLEG; do
    awk -v FROM=GTLE -v DIMS=2x2x3x4 -v TO=$to -f "$TMP/permute.awk" "$TMP/ranks.txt" >"$TMP/permuted.txt"
    shape=$(dims_of $to | sed 's/G/2x/; s/x$//')
    npy_write '<f4' C 1 "$shape" <"$TMP/permuted.txt" >"$TMP/in.npy"
    same "npy --axes $to sums ranks" "$TMP/two.json" "$TMP/in.npy" --axes $to
    awk -v DIMS="$shape" -f "$TMP/nest.awk" "$TMP/permuted.txt" >"$TMP/in.json"
    same "JSON --axes $to sums ranks" "$TMP/two.json" "$TMP/in.json" --axes $to
done
refused_whole 'four dimensions' "$TMP/in.npy" \
    ': an array of 4 dimensions: --axes should say what they are, as in TLGE'
refused_whole 'four dimensions of JSON' "$TMP/in.json" \
    ': an array of 4 dimensions: --axes should say what they are, as in TLGE'
npy_write '<f4' C 1 3x2x3 <"$TMP/two.txt" >"$TMP/in.npy"
slots_need=': counts of slots need --map PLAN, the plan they were counted under'
for axes in LGS GLS LSG; do
    refused_whole "--axes $axes without --map" "$TMP/in.npy" "$slots_need" --axes $axes
done
printf '[[[1,2],[3,4]]]' >"$TMP/slots.json"
refused_whole '--axes TLP without --map' "$TMP/slots.json" "$slots_need" --axes TLP
# Slots 0 to 5 of experts 0, 1, 2, 3, 2, 1, three a GPU, in two samples.
echo '[[0,1,2,3,2,1]]' >"$TMP/map.json"
printf '[[[2,6,4,5]],[[1,0,0,9]]]' >"$TMP/by_expert.json"
echo '2,4,1,5,3,2,1,0,0,9,0,0' >"$TMP/slots.txt"
for to in TLGS TLSG LTGS STLG; do
    awk -v FROM=TLGS -v DIMS=2x1x2x3 -v TO=$to -f "$TMP/permute.awk" "$TMP/slots.txt" >"$TMP/permuted.txt"
    shape=$(echo $to | sed 's/S/3x/; s/L/1x/; s/[TG]/2x/g; s/x$//')
    npy_write '<u2' C 1 "$shape" <"$TMP/permuted.txt" >"$TMP/in.npy"
    awk -v DIMS="$shape" -f "$TMP/nest.awk" "$TMP/permuted.txt" >"$TMP/in.json"
    for form in npy json; do
        plan_of "$TMP/by_expert.json" --map "$TMP/map.json" >"$TMP/want"
        plan_of "$TMP/in.$form" --map "$TMP/map.json" --axes $to >"$TMP/got"
        check "$form --axes $to --map" sh -c "test -s '$TMP/want' && cmp '$TMP/got' '$TMP/want'"
    done
done
printf '3e38,3e38' | npy_write '<f8' C 1 2x1 >"$TMP/in.npy"
refused_whole 'a sum beyond float32' "$TMP/in.npy" \
    ': sample 0, layer 0, column 0 adds up to more than float32 has' --axes GE

# ---------------------------------------------------------------- ids of routed experts

# Six tokens, two layers, two experts each; -1 is none.
tokens='0,1,3,2,1,0,3,3,2,0,0,3,0,-1,3,1,1,0,2,3,0,2,-1,-1'
echo "$tokens" >"$TMP/tokens.txt"
printf '[[6,3,2,0],[1,1,2,6]]' >"$TMP/routed.json"
printf '[[[3,2,1,0],[1,0,1,4]],[[3,1,1,0],[0,1,1,2]]]' >"$TMP/routed2.json" # three tokens a sample
printf '[[7,3,2,0],[3,1,2,6]]' >"$TMP/routed_first.json"                   # where 0 stands for none
for type in '<i1' '>i2' '<i4' '>i8'; do
    npy_write "$type" C 1 6x2x2 <"$TMP/tokens.txt" >"$TMP/in.npy"
    same "ids of type $type" "$TMP/routed.json" "$TMP/in.npy" --axes TLK
    npy_write "$type" F 1 6x2x2 <"$TMP/tokens.txt" >"$TMP/in.npy"
    same "ids of type $type, Fortran" "$TMP/routed.json" "$TMP/in.npy" --axes NLK
done
for type in '<u1' '>u2' '<u4' '>u8'; do
    sed 's/-1/0/g' "$TMP/tokens.txt" | npy_write "$type" C 1 6x2x2 >"$TMP/in.npy"
    same "ids of type $type" "$TMP/routed_first.json" "$TMP/in.npy" --axes TLK
done
npy_write '<i2' C 1 2x3x2x2 <"$TMP/tokens.txt" >"$TMP/in.npy"
same 'npy --axes TNLK' "$TMP/routed2.json" "$TMP/in.npy" --axes TNLK
awk -v DIMS=2x3x2x2 -f "$TMP/nest.awk" "$TMP/tokens.txt" >"$TMP/in.json"
same 'JSON --axes TNLK' "$TMP/routed2.json" "$TMP/in.json" --axes TNLK
sed 's/\]\]\],/]]]\n/; s/^\[//; s/\]$//' "$TMP/in.json" >"$TMP/lines.json"
same 'JSON, tokens of a sample a line' "$TMP/routed2.json" "$TMP/lines.json" --axes NLK
same 'which T may stand for' "$TMP/routed2.json" "$TMP/lines.json" --axes TLK
for to in NTLK LTKN KNLT; do
    awk -v FROM=TNLK -v DIMS=2x3x2x2 -v TO=$to -f "$TMP/permute.awk" "$TMP/tokens.txt" >"$TMP/permuted.txt"
    shape=$(echo $to | sed 's/N/3x/; s/[TLK]/2x/g; s/x$//')
    npy_write '<i1' C 1 "$shape" <"$TMP/permuted.txt" >"$TMP/in.npy"
    same "npy --axes $to" "$TMP/routed2.json" "$TMP/in.npy" --axes $to
    awk -v DIMS="$shape" -f "$TMP/nest.awk" "$TMP/permuted.txt" >"$TMP/in.json"
    same "JSON --axes $to" "$TMP/routed2.json" "$TMP/in.json" --axes $to
done
npy_write '<i1' C 1 1x2x3x2x2 <"$TMP/tokens.txt" >"$TMP/in.npy"
same 'npy of five dimensions, --axes GTNLK' "$TMP/routed2.json" "$TMP/in.npy" --axes GTNLK
printf '[[3,1,0,0,0,0]]' >"$TMP/six.json"
same_json '--experts where the last have no load' "$TMP/six.json" '[[0,1],[0,-1],[0,-1]]' --axes NK --experts 6
printf '0,1,0,-1,0,-1' | npy_write '<i4' C 1 3x2 >"$TMP/in.npy"
same 'of npy, too' "$TMP/six.json" "$TMP/in.npy" --axes NK --experts 6
refused 'an id beyond --experts' "$TMP/in.npy" ': byte 132: element [0, 1], 1, is beyond the last expert by --experts' \
    --axes NK --experts 1
printf '0,1,0,-2' | npy_write '<i4' C 1 2x2 >"$TMP/in.npy"
refused 'an id below -1' "$TMP/in.npy" \
    ': byte 140: element [1, 1], -2, is no id of an expert: they start at 0, and -1 is none' --axes TK
printf '0,65536' | npy_write '<u4' C 1 1x2 >"$TMP/in.npy"
refused 'an id that is none' "$TMP/in.npy" \
    ': byte 132: element [0, 1], 65536, is beyond 65535, more than ids of experts are without --experts' --axes TK
printf -- '-1,-1' | npy_write '<i4' C 1 1x2 >"$TMP/in.npy"
refused 'no ids' "$TMP/in.npy" ': byte 128: no token was routed to an expert: all ids are -1' --axes TK
printf '0,1' | npy_write '<f4' C 1 1x2 >"$TMP/in.npy"
refused 'ids that may have a fraction' "$TMP/in.npy" \
    ': byte 0: ids of experts should be of an integer type, not of f4' --axes TK
refused_json 'an id beyond --experts in JSON' '[[0,1],\n[4,0]]' \
    ":2:2: '4' is beyond the last expert by --experts" --axes TK --experts 4
for id in 1.0 1e1 x true 99999999999999999999 0x1; do
    refused_json "the id $id" "[[0,$id]]" ":1:5: '$id' is no id of an expert" --axes TK
done
refused_json 'the id -2' '[[0,-2]]' ":1:5: '-2' is no id of an expert: they start at 0, and -1 is none" --axes TK
printf '[[-1,-1]]' >"$TMP/wrong.json"
refused_whole 'no ids in JSON' "$TMP/wrong.json" ': no token was routed to an expert: all ids are -1' --axes TK

# ---------------------------------------------------------------- .npy that is refused

npy_write '<f4' C 1 4x <"$TMP/single.txt" >"$TMP/in.npy"
refused_whole '--key of npy' "$TMP/in.npy" ': --key a, but .npy has one array, without a name' --key a
npy_text() { # the header's dictionary of a file of version 1 without data
    printf "\\223NUMPY\\001\\000\\$(printf %03o ${#1})\\000%s" "$1" >"$TMP/wrong.npy"
}
types='only u1, u2, u4, u8, i1, i2, i4, i8, f2, f4 and f8'
for type in '<c8' '<f1' '<i3' '<u16' '<f16' '|V2' '<U3' '|S4' '<M8[ns]' f4 ''; do
    npy_text "{'descr': '$type', 'fortran_order': False, 'shape': (2, 3)}"
    refused "type '$type'" "$TMP/wrong.npy" \
        ": byte 20: numbers of type '$type' cannot be read: $types; a.astype('f4') makes such"
done
npy_text "{'descr': '|b1', 'fortran_order': False, 'shape': (2, 3)}"
refused 'booleans' "$TMP/wrong.npy" ": byte 20: true and false, type '|b1', are no loads"
npy_text "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}"
refused 'objects' "$TMP/wrong.npy" ": byte 20: objects of Python, type '|O', cannot be read: the array should \
be made of numbers, all of its rows of one length"
npy_text "{'descr': '|i2', 'fortran_order': False, 'shape': (2, 3)}"
refused 'no byte order' "$TMP/wrong.npy" \
    ": byte 20: type '|i2' gives no byte order: <, > or = should stand before it"
npy_text "{'descr': '<i4', 'fortran_order': False, 'shape': ()}"
refused 'no dimension' "$TMP/wrong.npy" ': byte 60: the array is a single number, without a dimension'
npy_text "{'descr': '<i4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}"
refused 'nine dimensions' "$TMP/wrong.npy" ': byte 60: the shape has more than 8 dimensions'
printf '\223NUMPY\001\000\001\377%65281s' "" >"$TMP/wrong.npy"
refused 'a header that is none' "$TMP/wrong.npy" ": byte 65291: the header should have '{' here"
{ printf '\223NUMPY\002\000\001\000\001\000'; printf '%65537s' ''; } >"$TMP/wrong.npy"
refused 'a long header' "$TMP/wrong.npy" ': byte 8: a header of 65537 bytes is more than an array of numbers has'
printf '1,2,3,4,5,-6,7,8' | npy_write '<i1' C 1 1x2x2x2 >"$TMP/in.npy"
refused 'an element of four dimensions' "$TMP/in.npy" ': byte 133: element [0, 1, 0, 1] is negative' --axes TGLE
printf '1,nan' | npy_write '<f2' C 1 2x >"$TMP/in.npy"
refused 'a NaN of float16' "$TMP/in.npy" ': byte 130: element [1] is not a number'
printf -- '1,-inf' | npy_write '>f2' C 1 2x >"$TMP/in.npy"
refused 'an infinite float16' "$TMP/in.npy" ': byte 130: element [1] is infinite'
printf -- '1,-0.5' | npy_write '>f2' C 1 2x >"$TMP/in.npy"
refused 'a negative float16' "$TMP/in.npy" ': byte 130: element [1] is negative'
for type in '<i1' '>i2' '<i4' '>i8'; do
    printf -- '0,0,-100' | npy_write "$type" C 1 3x >"$TMP/in.npy"
    refused "a negative number of type $type" "$TMP/in.npy" \
        ": byte $((128 + 2 * $(echo "$type" | tr -d '<>i'))): element [2] is negative"
done

# ---------------------------------------------------------------- .npz

npy_write '<f4' C 1 2x3x4 <"$TMP/two.txt" >"$TMP/two.npy"
npy_write '<u1' F 1 3x4 <"$TMP/one.txt" >"$TMP/one.npy"
for option in '' -6; do
    zip_write $option arr_0.npy "$TMP/two.npy" >"$TMP/one.npz"
    same "npz $option of one array" "$TMP/two.json" "$TMP/one.npz"
    zip_write $option a.npy "$TMP/two.npy" b.npy "$TMP/one.npy" >"$TMP/more.npz"
    for key in a a.npy; do
        same "npz $option of several, --key $key" "$TMP/two.json" "$TMP/more.npz" --key $key
    done
    same "npz $option of several, --key b" "$TMP/one.json" "$TMP/more.npz" --key b
    zip_write $option notes.txt "$TMP/two.txt" x/a.npy "$TMP/two.npy" >"$TMP/mixed.npz"
    same "npz $option beside something else" "$TMP/two.json" "$TMP/mixed.npz"
done
plan_of "$TMP/two.json" >"$TMP/want"
cat "$TMP/one.npz" | plan_of - >"$TMP/got"
check 'npz from a pipe' cmp "$TMP/got" "$TMP/want"
{ head -c -2 "$TMP/one.npz"; printf '\005\000hello'; } >"$TMP/comment.npz"
same 'npz with a comment' "$TMP/two.json" "$TMP/comment.npz"
refused 'several arrays' "$TMP/more.npz" ': several arrays: --key should name one of a, b'
refused 'an array that is not there' "$TMP/more.npz" ": no array called 'c'; --key should name one of a, b" --key c
many=$(awk -v file="$TMP/one.npy" 'BEGIN { for (i = 0; i < 60; i++) printf "array%d.npy %s ", i, file }')
zip_write $many >"$TMP/many.npz"
refused 'many arrays' "$TMP/many.npz" ": several arrays: --key should name one of $(
    awk 'BEGIN { for (i = 0; length(list) + 44 < 256; i++) list = list (i ? ", " : "") "array" i
                 print list ", ..." }')"
zip_write -c 1 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
refused 'another CRC' "$TMP/wrong.npz" ': a.npy is damaged: its bytes have not the CRC that they should have'
zip_write -s 1 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
refused 'two sizes' "$TMP/wrong.npz" ': a.npy has two sizes, which a stored file cannot have'
zip_write -m 12 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
refused 'another way to pack' "$TMP/wrong.npz" \
    ': a.npy is packed in a way that NumPy does not; numpy.savez writes what is read'
zip_write -e a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
refused 'an encrypted array' "$TMP/wrong.npz" ': a.npy is encrypted'
zip_write notes.txt "$TMP/two.txt" >"$TMP/wrong.npz"
refused 'no array' "$TMP/wrong.npz" ': a zip file without an array of NumPy, a .npy, in it'
zip_write >"$TMP/wrong.npz"
refused 'an empty zip file' "$TMP/wrong.npz" ': a zip file without an array of NumPy, a .npy, in it'
head -c 200 "$TMP/one.npz" >"$TMP/wrong.npz"
refused 'a cut zip file' "$TMP/wrong.npz" \
    ': a zip file without its directory: it was cut short, or is still being written'
zip_write a.npy "$TMP/two.npy" >"$TMP/stored.npz"
{ printf 'PK\003\004'; cat "$TMP/stored.npz"; } >"$TMP/wrong.npz"
refused 'a moved zip file' "$TMP/wrong.npz" ': a damaged zip file: its directory has an entry that is none'
{ printf 'PK\003\004'; cat "$TMP/one.npz"; } >"$TMP/wrong.npz"
refused 'a moved zip file of 64 bits' "$TMP/wrong.npz" \
    ': a damaged zip file: its end of 64 bits is not where it should be'
{ printf 'PK\003\004\055'; tail -c +6 "$TMP/stored.npz" | head -c 20; printf '\377\177'
  tail -c +28 "$TMP/stored.npz"; } >"$TMP/wrong.npz"
refused 'an array beyond the end' "$TMP/wrong.npz" ': a.npy goes on after the end of the zip file'
zip_write a.npy "$TMP/two.txt" >"$TMP/wrong.npz"
refused 'another file by the name of an array' "$TMP/wrong.npz" \
    ': a.npy: byte 0: the file starts like .npy, but not with all of its magic'
head -c 200 "$TMP/two.npy" >"$TMP/cut.npy"
zip_write a.npy "$TMP/cut.npy" >"$TMP/wrong.npz"
refused 'a cut array' "$TMP/wrong.npz" ': a.npy: byte 200: the data should end at byte 224, but the file ends here'

# What savez_compressed wrote of [[5,6,1,40],[7,80,2,3],[9,1,1,2]] as uint8.
printf "$(tr -d '\n' <<'END'
\120\113\003\004\055\000\000\000\010\000\000\000\041\000\101\302\244\275\377\377\377\377\377\377\377\377
\011\000\024\000\141\162\162\137\060\056\156\160\171\001\000\020\000\214\000\000\000\000\000\000\000\122
\000\000\000\000\000\000\000\233\354\027\352\033\020\311\310\120\306\120\255\236\222\132\234\134\244\156
\245\240\136\123\152\250\256\243\240\236\226\137\124\122\224\230\027\237\137\224\222\012\022\167\113\314
\051\116\005\212\027\147\044\026\244\002\371\032\306\072\012\046\232\072\012\265\012\144\003\056\126\066
\106\015\366\000\046\146\116\106\106\046\000\120\113\001\002\055\003\055\000\000\000\010\000\000\000\041
\000\101\302\244\275\122\000\000\000\214\000\000\000\011\000\000\000\000\000\000\000\000\000\000\000\200
\001\000\000\000\000\141\162\162\137\060\056\156\160\171\120\113\005\006\000\000\000\000\001\000\001\000
\067\000\000\000\215\000\000\000\000\000
END
)" >"$TMP/deflated.npz"
zip_write -d arr_0.npy "$TMP/two.npy" >"$TMP/blocks.npz"
zip_write -d -6 arr_0.npy "$TMP/two.npy" >"$TMP/blocks64.npz"
no_zlib=' is deflated, and this program was built without zlib; numpy.savez instead of savez_compressed writes what it reads'
zlib=1
eplb plan "$TMP/deflated.npz" --replicas 6 --gpus 3 2>&1 | grep -q 'built without zlib;' && zlib=0
if [ $zlib = 0 ]; then
    refused 'a deflated array without zlib' "$TMP/deflated.npz" ": arr_0.npy$no_zlib"
else
    same 'npz of savez_compressed' "$TMP/one.json" "$TMP/deflated.npz"
    same 'npz, deflated in blocks' "$TMP/two.json" "$TMP/blocks.npz"
    same 'with sizes of 64 bits' "$TMP/two.json" "$TMP/blocks64.npz"
    plan_of "$TMP/two.json" >"$TMP/want"
    cat "$TMP/blocks.npz" | plan_of - >"$TMP/got"
    check 'deflated, from a pipe' cmp "$TMP/got" "$TMP/want"
    zip_write -d -s -1 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
    refused 'more bytes than said' "$TMP/wrong.npz" ': a.npy inflates to more bytes than the zip file says'
    zip_write -d -s 1 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
    refused 'fewer bytes than said' "$TMP/wrong.npz" ': a.npy inflates to fewer bytes than the zip file says'
    zip_write -d -s 1000000000 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
    refused 'far fewer bytes than said' "$TMP/wrong.npz" ': a.npy inflates to fewer bytes than the zip file says'
    zip_write -d -c 1 a.npy "$TMP/two.npy" >"$TMP/wrong.npz"
    refused 'another CRC of what is inflated' "$TMP/wrong.npz" \
        ': a.npy is damaged: its bytes have not the CRC that they should have'
    printf '\007not deflated' >"$TMP/undeflated"
    zip_write -m 8 a.npy "$TMP/undeflated" >"$TMP/wrong.npz"
    refused 'what cannot be inflated' "$TMP/wrong.npz" ': a.npy is damaged: it cannot be inflated'
fi
if [ -z "$RUN_ENV" ] && "${PYTHON:-python3}" -c 'import numpy' 2>"$TMP/nothing"; then
    "${PYTHON:-python3}" - "$TMP" <<'END'
import json, sys, numpy
folder = sys.argv[1]
a = numpy.array(json.load(open(folder + "/two.json")))
numpy.savez(folder + "/py.npz", a)
numpy.savez_compressed(folder + "/py_deflated.npz", x=a, load=a.astype("float16"))
numpy.save(folder + "/py.npy", a.transpose(1, 2, 0))
numpy.save(folder + "/py_fortran.npy", numpy.asfortranarray(a.astype(">u2")))
END
    same 'npz of numpy.savez' "$TMP/two.json" "$TMP/py.npz"
    [ $zlib = 0 ] ||
        same 'and of savez_compressed' "$TMP/two.json" "$TMP/py_deflated.npz" --key load
    same 'npy of numpy.save' "$TMP/two.json" "$TMP/py.npy" --axes LET
    same 'and in the order of Fortran' "$TMP/two.json" "$TMP/py_fortran.npy"
fi

# ---------------------------------------------------------------- JSON: keys

two=$(cat "$TMP/two.json")
same_json 'the only array of an object' "$TMP/two.json" "{\"load\":$two}"
same_json 'in objects in it' "$TMP/two.json" "{\"a\":1,\"b\":{\"c\":\"x\",\"d\":{\"e\":$two}},\"f\":[],\"g\":[{}],\"h\":null}"
several="{\"meta\":{\"shape\":[2,3,4]},\"a.b\":[1],\"a\":{\"b\":[[2]],\"load\":$two},\"é\":[[3]]}"
same_json '--key a.load' "$TMP/two.json" "$several" --key a.load
same_json '--key of a name with a point' "$TMP/two.json" "{\"x\":[1],\"a.b\":{\"c.d\":$two}}" --key a.b.c.d
same_json '--key with an escape in the file' "$TMP/two.json" \
    "{\"gr\\\\u00f6\\\\u00dfe\\\\\"\":$two,\"x\":[1]}" --key 'größe"'
same_json '--key with the number of an item' "$TMP/one.json" \
    "{\"x\":[[1],{\"y\":[[7]]},{\"y\":$(cat "$TMP/one.json")},3]}" --key x.2.y
same_json 'of an array outside' "$TMP/one.json" "[[1,2],{\"a\":2},$(cat "$TMP/one.json")]" --key 2
same_json '--key through each object of an array' "$TMP/one.json" \
    '{"x":[1],"layers":[{"load":[5,6,1,40]},{"n":[2],"load":[7,80,2,3]},{"load":[9,1,1,2]}]}' --key layers.load
same_json 'the only one there' "$TMP/one.json" \
    '{"layers":[{"layer":0,"load":[5,6,1,40]},{"load":[7,80,2,3],"layer":1},{"load":[9,1,1,2]}]}'
same_json 'strings with what ends arrays' "$TMP/one.json" \
    "{\"a\\\\\\\\\":\"]}\\\\\"[\",\"b\":$(cat "$TMP/one.json"),\"c\":[\"[\"]}"
refused_json 'several arrays in JSON' "$several" \
    ':1:1: several arrays of numbers: --key should name one of meta.shape, a.b, a.load, ??'
refused_json 'many arrays in JSON' '{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1],"f":[1],"g":[1],"h":[1]}' \
    ':1:1: several arrays of numbers: --key should name one of a, b, c, d, e, f, ...'
refused_json 'a key that is not there' "$several" \
    ":1:129: --key: there is no 'x' here; arrays of numbers are meta.shape, a.b, a.load, ??" --key a.x
refused_json 'a key that is nowhere' '{"a":3}' \
    ":1:7: --key: there is no 'b' here; there is no array of numbers either" --key b
refused_json 'a key into numbers' '[[1,2]]' ":1:3: --key: there is no 'a' here, where no object is" --key a
refused_json 'a key into a string' '{"a":"x"}' ":1:6: --key: there is no 'b' here, where no object is" --key a.b
refused_json 'a key of a number' '{"a":3}' ':1:6: an array should begin here' --key a
refused_json 'a key of a string' '{"a":"3"}' ':1:6: a string where a load should be' --key a
refused_json 'a key of an object' '{"a":{"b":[1]}}' \
    ':1:6: an object where a load should be; --key may go on into it' --key a
refused_json 'a key of an item that is not there' '{"a":[[1],[2]]}' \
    ':1:14: --key: there is no item 2 here, but 2 of them' --key a.2
refused_json 'a name twice' '{"a":[1],"a":[2]}' ":1:10: the name 'a' stands there twice" --key a
refused_json 'no array in an object' '\n{"a":1,"b":["x"]}' \
    ':2:1: no array of numbers in this object; rows of single numbers can be read as CSV'
refused_json 'rows of single numbers' '[{"layer":0,"expert":1,"count":5}]' \
    ':1:2: no array of numbers in this object; rows of single numbers can be read as CSV'
for wrong in "{\"a\" [1]}/1:6: ':' should stand here" '{"a":}/1:6: a value is missing here' \
    '{"a":[1],}/1:10: a name between quotes should stand here' \
    '{a:[1]}/1:2: a name between quotes should stand here' \
    "{\"a\":[1] \"b\":2}/1:10: ',' or '}' should stand here" '{"a":[1]/1:9: the file ends within an object' \
    '{"a/1:2: the file ends within this string' '{"a\n":1}/1:2: the line ends within this string' \
    '{"a\t":1}/1:2: a control character stands in this string' \
    '{"a\\x":1}/1:2: the string has a backslash before what needs none' \
    '{"\\u12g":1}/1:7: four hexadecimal digits should follow \u' \
    "{\"b\":[1,,2],\"a\":[1]}/1:9: a value is missing here" "{\"b\":[1}/1:8: ',' or ']' should stand here"; do
    refused_json "the object ${wrong%%/*}" "${wrong%%/*}" ":${wrong#*/}" --key a
done
long=$(printf '%01024d' 0 | tr 0 1)
refused_json 'a number without end' "[$long]" \
    ":1:2: '11111111111111111111111111111111...' is longer than a number may be, 1023 characters"
refused_json 'names without end' "{\"$long\":[1]}" ':1:2: names of more than 254 characters in each other'
refused_json 'eight dimensions' '[[[[[[[[1]]]]]]]]' ':1:8: more than 7 arrays in each other, which are an axis each'

# ---------------------------------------------------------------- JSON: records

one0='[[5,6,1,40],[7,80,2,3],[9,1,1,2]]' one1='[[4,4,30,2],[1,2,3,90],[8,70,6,5]]'
same_json 'an array a line' "$TMP/two.json" "$one0\n$one1\n"
same_json 'arrays one after the other' "$TMP/two.json" "$one0 $one1"
same_json 'an object a line' "$TMP/two.json" "{\"load\":$one0}\n{\"load\":$one1}\n"
same_json 'by --key' "$TMP/two.json" "{\"a\":[1],\"b\":{\"c\":$one0}}\r\n{\"b\":{\"c\":$one1},\"a\":[]}" --key b.c
same_json 'objects in an array' "$TMP/two.json" "[{\"load\":$one0},\n{\"load\":$one1}]"
same_json 'by --key' "$TMP/two.json" "[{\"a\":[1],\"b\":$one0},{\"a\":[1],\"b\":$one1}]" --key b
same_json 'a vector a line is a sample' "$TMP/thin.json" '[5,6,1,40]\n[4,4,30,2]\n'
same_json 'or a layer by --axes LE' "$TMP/one.json" '[5,6,1,40]\n[7,80,2,3]\n[9,1,1,2]\n' --axes LE
same_json 'several samples a line' "$TMP/two.json" "[$one0][$one1]"
same_json 'ranks a line by --axes GLE' "$TMP/one.json" \
    '[[1,2,1,40],[7,0,2,3],[0,1,1,0]]\n[[4,4,0,0],[0,80,0,0],[9,0,0,2]]' --axes GLE
same_json 'steps in any order' "$TMP/two.json" "{\"step\":12,\"load\":$one1}\n{\"load\":$one0,\"step\":-3}\n"
printf '{"step":12,"load":%s}\n{"load":%s,"Step_ID":-3}\n' "$one1" "$one0" >"$TMP/steps.json"
printf '[%s]' "$one1" >"$TMP/sample.json"
same '--steps takes their numbers' "$TMP/sample.json" "$TMP/steps.json" --steps 1-20
printf '%s' "$one0" >"$TMP/sample.json"
same 'negative ones, too' "$TMP/sample.json" "$TMP/steps.json" --steps -3
rows='{"step":1,"layer":5,"l":[9,1,1,2]}\n{"layer":3,"l":[5,6,1,40],"step":1}\n{"step":2,"layer":4,"l":[1,2,3,90]}\n'
rows=$rows'{"step":1,"layer":4,"l":[7,80,2,3]}\n{"step":2,"layer":5,"l":[8,70,6,5]}\n{"step":2,"layer":3,"l":[4,4,30,2]}'
same_json 'a line for each step and layer' "$TMP/two.json" "$rows"
same_json 'whose letters --axes may have' "$TMP/two.json" "$rows" --axes TLE
same_json 'or not' "$TMP/two.json" "$rows" --axes E
same_json 'objects in an array of them' "$TMP/two.json" "[$(printf "$rows" | tr '\n' ,)]"
same_json 'layers alone' "$TMP/one.json" \
    '[{"layer_idx":7,"l":[9,1,1,2]},{"layer_idx":1,"l":[5,6,1,40]},{"layer_idx":4,"l":[7,80,2,3]}]'
same_json 'ranks of each step and layer' "$TMP/two.json" "$(printf "$rows" | awk '
    { print "{\"rank\":9," substr($0, 2); gsub(/[0-9]+[],]/, "&"); split($0, part, "[][]"); n = split(part[2], x, ",")
      zero = ""; for (i = 1; i <= n; i++) zero = zero (i > 1 ? "," : "") 0
      sub(/\[[^]]*\]/, "[" zero "]"); print "{\"rank\":2," substr($0, 2) }')"
same_json 'ranks alone' "$TMP/one.json" \
    '{"rank":1,"l":[[1,2,1,40],[7,0,2,3],[0,1,1,0]]}\n{"rank":0,"l":[[4,4,0,0],[0,80,0,0],[9,0,0,2]]}'
same_json 'a step beside all of them says nothing' "$TMP/two.json" "{\"step\":1000,\"load\":$two}"
same_json 'nor does a layer' "$TMP/one.json" "{\"layer\":61,\"load\":$one0}"
same_json 'ids of tokens of each step' "$TMP/routed2.json" \
    '{"step":1,"ids":[[[0,-1],[3,1]],[[1,0],[2,3]],[[0,2],[-1,-1]]]}
{"step":0,"ids":[[[0,1],[3,2]],[[1,0],[3,3]],[[2,0],[0,3]]]}' --axes TLK
refused_json 'a step twice' '{"step":3,"l":[[1]]}\n{"step":4,"l":[[1]]}\n{"step":3,"l":[[1]]}' \
    ':3:1: step 3 is in line 1 already'
refused_json 'a layer twice' '[{"step":3,"layer":1,"l":[1]},\n {"layer":1,"step":3,"l":[1]}]' \
    ':2:2: step 3, layer 1 is in line 1 already'
refused_json 'a step in some' '{"step":3,"l":[[1]]}\n{"l":[[1]]}' \
    ':2:1: this object has no step, unlike those before'
refused_json 'a layer in some' '{"step":3,"l":[1]}\n{"step":4,"layer":2,"l":[1]}' \
    ':2:1: this object has a layer, unlike those before'
refused_json 'a step that is none' '{"step":0.5,"l":[[1]]}' ":1:9: '0.5' is not a step"
refused_json 'a name for a layer' '{"layer":"moe.3","l":[[1]]}' ":1:10: 'moe.3' is not a layer"
refused_json 'two names of a step' '{"step":1,"step_id":1,"l":[[1]]}' \
    ':1:21: the number of a step stands there twice'
refused_json 'an expert' '[{"expert":0,"l":[1,2]},{"expert":1,"l":[3,4]}]' \
    ':1:12: the number of an expert beside an array is not read; CSV may have one in each row'
refused_json 'layers of an inner array in another order' \
    '{"layers":[{"layer":1,"l":[5,6]},{"layer":0,"l":[7,8]}]}' \
    ':1:21: 1 does not number this object in its array, and only outermost ones may be in any order'
refused_json 'another name in the second record' '{"a":[[1]]}\n{"b":[[1]]}' \
    ":2:11: this object has no 'a', as that before it has"
refused_json 'another shape in the second record' '{"a":[[1,2]]}\n{"a":[[1]]}' \
    ':2:9: only 1 loads; the rows above have 2'
refused_json 'fewer layers in the second record' '[[1],[2]]\n[[1]]' ':2:5: only 1 rows; the samples above have 2'
refused_json 'an array after an object' '{"a":[[1]]}\n[[1]]' ":2:3: --key: there is no 'a' here, where no object is"
refused_json 'an object after an array' '[[1]]\n{"a":[[1]]}' ':2:1: an object where a load should be'
refused_json 'a comma between records' '{"a":[[1]]},\n{"a":[[1]]}' ':1:12: the file goes on after its array'
refused_json 'a number among records' '[{"a":[[1]]},2]' ':1:14: an object should begin here, as before'
refused_json 'records without end' '[{"a":[[1]]}' ':1:13: the file ends within an array'
refused_json 'records without comma' '[{"a":[[1]]}{"a":[[1]]}]' ":1:13: ',' or ']' should stand here"
refused_json 'more after the records' '[{"a":[[1]]}]{"a":[[1]]}' ':1:14: the file goes on after its array'
for wrong in '{"step":0,"l":[[[1]]]}\n{"step":1,"l":[[[1]]]}/3 dimensions beside the number of a step: --axes should say what they are, without T' \
    '{"layer":0,"l":[[1]]}\n{"layer":1,"l":[[1]]}/2 dimensions beside the number of a layer: --axes should say what they are, without T and L'; do
    printf "${wrong%/*}" >"$TMP/wrong.json"
    refused_whole "${wrong#*/}" "$TMP/wrong.json" ": an array of ${wrong#*/}"
done
printf '{"step":0,"layer":0,"l":[1]}\n{"step":0,"layer":1,"l":[1]}\n{"step":1,"layer":0,"l":[1]}' >"$TMP/wrong.json"
refused_whole 'a step without a layer' "$TMP/wrong.json" \
    ': the objects are not those of the same layers and ranks in each step'
printf '[[[1]],[[2]]]\n[[[3]],[[4]]]' >"$TMP/wrong.json"
refused_whole 'T within records' "$TMP/wrong.json" \
    ': of several arrays, T can only be the first axis, not as in --axes LTE' --axes LTE

# ---------------------------------------------------------------- files of other libraries

torch_to="import torch, numpy; x = torch.load('%s', map_location='cpu'); x = x if isinstance(x, dict) else \
{'loads': torch.stack(x) if isinstance(x, list) else x}; numpy.savez('loads.npz', \
**{str(k): v.detach().double().numpy() for k, v in x.items() if torch.is_tensor(v)})"
foreign_to() { # the file's name, printf format of its first bytes, what it is, what converts it with %s for it
    printf "$2" >"$TMP/$1"
    refused_whole "$3 ($1)" "$TMP/$1" " is $3, which is not read: $(printf "$4" "$TMP/$1")"
}
python() { # a line of Python and what it writes
    printf 'python3 -c "%s" writes %s' "$1" "$2"
}
pickle_to=$(python "import pickle, numpy; numpy.save('loads.npy', numpy.asarray(pickle.load(open('%s', 'rb'))))" \
    'loads.npy, if it is one of yours: a pickle may run any program')
for start in '\200\002}' '\200\003]' '\200\004\225' '\200\005\225' 'cnumpy.core' '(lp0\n'; do
    foreign_to loads.pkl "$start" 'a Python pickle' "$pickle_to"
done
foreign_to loads.pt '\200\002\212\012\154\374\234\106\371\040\152\250\120\031.' 'a file of torch.save' \
    "$(python "$torch_to" loads.npz)"
{ printf 'sys_info%0249d' 0; printf 'ustar\000'; } >"$TMP/old.tar"
refused_whole 'a tar archive' "$TMP/old.tar" " is a tar archive, such as early versions of torch.save wrote, \
which is not read: $(printf "$(python "$torch_to" loads.npz)" "$TMP/old.tar")"
zip_write archive/data.pkl "$TMP/two.txt" archive/version "$TMP/two.txt" >"$TMP/zip.pt"
refused_whole 'torch.save' "$TMP/zip.pt" \
    " is a file of torch.save, which is not read: $(printf "$(python "$torch_to" loads.npz)" "$TMP/zip.pt")"
excel_to=$(python "import pandas; pandas.read_excel('%s', header=None).to_csv('loads.csv', header=False, index=False)" \
    loads.csv)
zip_write '[Content_Types].xml' "$TMP/two.txt" xl/workbook.xml "$TMP/two.txt" >"$TMP/new.xlsx"
refused_whole 'Excel' "$TMP/new.xlsx" \
    " is an Excel file, which is not read: $(printf "$excel_to" "$TMP/new.xlsx")"
foreign_to old.xls '\320\317\021\340\241\261\032\341' 'an Excel file' "$excel_to"
foreign_to a.safetensors '\040\000\000\000\000\000\000\000{"a":{"dtype":"F32","shape":[1]}}' 'a safetensors file' \
    "$(python "import numpy; from safetensors.numpy import load_file; numpy.savez('loads.npz', **load_file('%s'))" \
        loads.npz)"
foreign_to loads.h5 '\211HDF\r\n\032\n' 'an HDF5 file' \
    "$(python "import h5py, numpy; d = {}; h5py.File('%s').visititems(lambda k, v: d.update({k: v[()]} if \
isinstance(v, h5py.Dataset) else {})); numpy.savez('loads.npz', **d)" loads.npz)"
frame() { # the reader of pandas
    python "import pandas; pandas.$1('%s').to_csv('loads.csv', index=False)" loads.csv
}
foreign_to loads.parquet 'PAR1\025' 'a Parquet file' "$(frame read_parquet)"
foreign_to loads.arrow 'ARROW1\000\000' 'an Arrow or Feather file' "$(frame read_feather)"
foreign_to loads.feather 'FEA1\000' 'a Feather file' "$(frame read_feather)"
foreign_to loads.gz '\037\213\010' 'a file packed by gzip' "gzip -dc '%s' | eplb plan - reads it"
foreign_to loads.zst '\050\265\057\375' 'a file packed by zstd' "zstd -dc '%s' | eplb plan - reads it"
foreign_to loads.xz '\3757zXZ\000' 'a file packed by xz' "xz -dc '%s' | eplb plan - reads it"
foreign_to loads.bz2 'BZh91AY&SY' 'a file packed by bzip2' "bzip2 -dc '%s' | eplb plan - reads it"
foreign_to utf16.csv '\377\3761\000,\0002\000' 'text in UTF-16' "iconv -f UTF-16 -t UTF-8 '%s' | eplb plan - reads it"
foreign_to utf16be.csv '\376\377\0001\000,\0002' 'text in UTF-16' \
    "iconv -f UTF-16 -t UTF-8 '%s' | eplb plan - reads it"
printf 'PAR1\025' >"$TMP/it's.parquet"
check 'refused: a name that cannot stand between quotes' fails \
    "eplb: $TMP/it's.parquet is a Parquet file, which is not read: $(printf "$(frame read_parquet)" FILE)" \
    plan "$TMP/it's.parquet" --replicas 6 --gpus 3
got=$(printf 'PAR1\025' | eplb plan - --replicas 6 --gpus 3 2>&1)
check 'refused: a Parquet file from standard input' test "$got" = \
    "eplb: <stdin> is a Parquet file, which is not read: $(printf "$(frame read_parquet)" FILE)"

# ---------------------------------------------------------------- memory

# Samples that do not stand together are read as many at a time as some megabytes hold, here half of them.
awk 'BEGIN { for (i = 0; i < 8320; i++) print (i * 7919 + int(i / 32) * 104729) % 4000 }' >"$TMP/many.txt"
awk -v FROM=TLNK -v DIMS=130x16x2x2 -v TO=NLTK -f "$TMP/permute.awk" "$TMP/many.txt" >"$TMP/permuted.txt"
npy_write '<u2' C 1 130x16x2x2 <"$TMP/many.txt" >"$TMP/in_order.npy"
npy_write '<u2' C 1 2x16x130x2 <"$TMP/permuted.txt" >"$TMP/apart.npy"
awk -v DIMS=2x16x130x2 -f "$TMP/nest.awk" "$TMP/permuted.txt" >"$TMP/apart.json"
wide='--experts 4000 --replicas 4000 --gpus 4 --preset deepseek --csv -'
eplb plan "$TMP/in_order.npy" --axes TLNK $wide >"$TMP/want" 2>"$TMP/nothing"
for file in apart.npy apart.json; do
    eplb plan "$TMP/$file" --axes NLTK $wide >"$TMP/got" 2>"$TMP/noise"
    check "$file has the samples that stand together elsewhere" cmp "$TMP/got" "$TMP/want"
done

# Samples of 32 layers x 128 experts: 10 MB of numbers of NumPy and 12 MB of JSON, for neither of which there
# is room.
limit() { # kilobytes of address space, command
    (ulimit -v "$1" && shift && "$@")
}
if [ -z "$RUN_ENV" ] && limit 9000 "$BUILD/eplb" --version >"$TMP/nothing" 2>&1; then
    awk 'BEGIN { for (i = 0; i < 100003; i++) printf "%d,", (i * 7919 + int(i / 128) * 104729) % 65521; print "" }' |
        tr , '\n' | grep . >"$TMP/numbers.txt"
    npy_write '<u4' C 1 600x32x128 <"$TMP/numbers.txt" >"$TMP/large.npy"
    zip_write -6 load.npy "$TMP/large.npy" >"$TMP/large.npz"
    zip_write -d load.npy "$TMP/large.npy" >"$TMP/large_deflated.npz"
    awk '{ x[n++] = $0 }
         END { for (t = 0; t < 500; t++) {
                   printf "{\"step\":%d,\"load\":[", t
                   for (l = 0; l < 32; l++) {
                       printf "%s[", l ? "," : ""
                       for (e = 0; e < 128; e++) printf "%s%d", e ? "," : "", x[(t * 4096 + l * 128 + e) % n]
                       printf "]"
                   }
                   print "]}" } }' "$TMP/numbers.txt" >"$TMP/large.json"
    part='--replicas 144 --gpus 16 --preset deepseek --csv -'
    tail -n +$((400 * 4096 % 100003 + 1)) "$TMP/numbers.txt" | head -n 8192 >"$TMP/part.txt"
    npy_write '<u4' C 1 2x32x128 <"$TMP/part.txt" >"$TMP/part.npy"
    eplb plan "$TMP/part.npy" $part >"$TMP/want" 2>"$TMP/nothing"
    for file in large.npy large.npz large.json large_deflated.npz; do
        limit 9000 "$BUILD/eplb" plan "$TMP/$file" $part --steps 400-401 >"$TMP/got" 2>"$TMP/noise"
        [ "$zlib $file" = '0 large_deflated.npz' ] ||
            check "$file needs memory for a sample" \
                sh -c "cmp '$TMP/got' '$TMP/want' || { cat '$TMP/noise'; exit 1; }"
    done
    for file in large.npy large.json; do
        cat "$TMP/$file" | limit 9000 "$BUILD/eplb" plan - $part --steps 400-401 >"$TMP/got" 2>"$TMP/noise"
        check "$file from a pipe, too" cmp "$TMP/got" "$TMP/want"
    done
fi

report test_cli_dumps
