# fuzz.sh - the targets of tests/fuzz under libFuzzer and the address and undefined-behaviour sanitizers,
# FUZZ_SECONDS each from the kept corpus on. What they find lies in the gate's folder: `fuzz_api FILE`
# repeats it. With KEEP=1 the corpus becomes the fewest inputs that reach as much as all of them, besides
# those called found_*, which once showed a mistake.
: "${FUZZ_SECONDS:=8}" "${KEEP:=0}"
export FUZZ_SECONDS KEEP
MOST_BYTES=300 # of an input: what is behind them comes from their hash, and readers need no more

zlib=
if printf '#include <zlib.h>\n' | clang -E - >/dev/null 2>&1; then # for deflated .npz
    zlib='-DEPLB_CLI_ZLIB -lz'
fi

SANITIZE='-g1 -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all'

# The library and its plain copy, which take far longer to compile than a target, for all targets: made by the first
# gate that comes, while others wait.
fuzz_objects() { # sets objects
    objects=$BUILD/check/fuzz
    mkdir -p "$objects"
    exec 9>"$objects/lock"
    flock 9
    if [ -z "$(find "$objects/made" -newer eplb.h -newer tests/fuzz/plain.c -newer tests/support/search_oracle.h -newer tests/check/fuzz.sh 2>/dev/null)" ]; then
        clang -std=c99 $SANITIZE -I. -DEPLB_IMPLEMENTATION= -c -o "$objects/eplb.o" -x c eplb.h
        clang -std=c99 $SANITIZE -O0 -I. -Itests/support -c -o "$objects/plain.o" tests/fuzz/plain.c # as in build_programs
        touch "$objects/made"
    fi
    exec 9>&-
}

fuzz() { # target
    corpus=tests/fuzz/corpus/$1
    mkdir -p "$WORK/found"
    fuzz_objects
    if [ "$1" = cuda ]; then # C beside the emulation, which is C++
        clang -std=c99 $SANITIZE -I. -Itests/support -Itests/emulated -c -o "$WORK/target.o" tests/fuzz/fuzz_cuda.c
        clang++ -std=c++17 $SANITIZE -I. -Itests/emulated -o "$WORK/fuzz_cuda" "$WORK/target.o" "$objects/eplb.o" \
            tests/emulated/cuda_runtime.cpp -x c++ eplb_cuda.cu
    else
        clang -std=c99 $SANITIZE $zlib -I. -Itests/support -o "$WORK/fuzz_$1" "tests/fuzz/fuzz_$1.c" \
            "$objects/eplb.o" "$objects/plain.o" -lm
    fi
    # What libFuzzer exits with by itself, 77, is that of a gate which was skipped.
    "$WORK/fuzz_$1" "-max_total_time=$FUZZ_SECONDS" "-max_len=$MOST_BYTES" -timeout=20 -print_final_stats=1 \
        -error_exitcode=1 "-artifact_prefix=$WORK/" "$WORK/found" "$corpus"
    if [ "$KEEP" = 1 ]; then
        rm -rf "$WORK/merged"
        mkdir "$WORK/merged"
        "$WORK/fuzz_$1" -merge=1 -use_counters=0 "-max_len=$MOST_BYTES" "$WORK/merged" "$WORK/found" "$corpus"
        find "$corpus" -type f ! -name 'found_*' -exec rm {} +
        mv "$WORK"/merged/* "$corpus"
    fi
}
for fuzz_target in api oracle share transfers follow cli cuda; do
    gate "fuzz-$fuzz_target" 'clang clang++ flock' fuzz "$fuzz_target"
done
