# analyse.sh - what is found in the source without running it. eplb.h itself is the file, so that its
# functions count as the program's own and not as somebody's header; the program and the examples one by one, without
# the implementation, which need not be analysed with each of them.
ANALYSED_EXAMPLES='examples/cli/*.c examples/gen_loads.c examples/minimal.c examples/threads.c examples/route.c'

analysed_examples() { # copies
    for source in $ANALYSED_EXAMPLES; do
        sed '/define EPLB_IMPLEMENTATION/d' "$source" >"$WORK/$(basename "$source")"
        echo "$WORK/$(basename "$source")"
    done
}

# gcc follows calls, and gives the rest of a file up where the states that it comes to are too many: of eplb.h at once it
# begins with a thirtieth of the functions. So a file is analysed in parts, and what is outside of one is only declared
# there, whatever its linkage; a part that is given up fails. Unoptimised: the same paths, in a fifth of the time that they
# take when calls are inlined into each other.
analyse_parts() { # source, options of gcc
    source=$1
    shift
    parts=$(awk -v most=12 -f tests/check/analyse.awk "$source")
    for part in $(seq "$parts"); do
        awk -v most=12 -v "part=$part" -f tests/check/analyse.awk "$source" >"$WORK/part.c"
        gcc -std=c99 -O0 -fanalyzer -Werror --param analyzer-bb-explosion-factor=100 -Wanalyzer-too-complex \
            -Wno-error=analyzer-too-complex -Dstatic= -Dinline= "$@" -c -o "$WORK/part.o" "$WORK/part.c" \
            2>"$WORK/said" || {
            cat "$WORK/said"
            return 1
        }
        refuses grep after-snode "$WORK/said"
    done
}

# What one element of an array owns, gcc takes for lost when it comes to the next: leaks of memory are the address
# sanitizer's to find.
analyse_gcc() {
    analyse_parts eplb.h -DEPLB_IMPLEMENTATION
    for source in $(analysed_examples); do
        analyse_parts "$source" -I. -Iexamples/cli -Wno-analyzer-malloc-leak
    done
}
gate analyse-gcc gcc analyse_gcc

# cppcheck knows neither compiler nor libc, so it is told what eplb.h asks of them.
analyse_cppcheck() {
    find_with='cppcheck --quiet --std=c99 --language=c --enable=warning,performance,portability
        --error-exitcode=1 -D__GNUC__ -DFLT_RADIX=2 -DFLT_MANT_DIG=24 -DDBL_MANT_DIG=53 -D__STDC_HOSTED__=1'
    $find_with -DEPLB_IMPLEMENTATION -DFLT_EVAL_METHOD=0 -D__SSE2__ -D__x86_64__ eplb.h
    $find_with -DEPLB_IMPLEMENTATION -DFLT_EVAL_METHOD=2 -DEPLB_NO_SIMD eplb.h
    $find_with $ANALYSED_EXAMPLES
}
gate analyse-cppcheck cppcheck analyse_cppcheck

# .clang-tidy says what is looked for, and what not, and why. An assertion is a fact to it. A function's paths are followed
# for so many steps; five times as many take four times as long, and found nothing more.
STEPS='-Xclang -analyzer-config -Xclang max-nodes=45000'
analyse_clang() {
    fact='-DEPLB_ASSERT(x)=((x)?(void)0:__builtin_unreachable())'
    clang-tidy --quiet eplb.h -- -x c -std=c99 -DEPLB_IMPLEMENTATION $STEPS "$fact"
    for source in $(analysed_examples); do
        clang-tidy --quiet --config-file=.clang-tidy "$source" -- -std=c99 -I. -Iexamples/cli "$fact"
    done
}
gate analyse-clang-tidy clang-tidy analyse_clang

# All C is laid out as .clang-format says, by the version that says it: others differ in places.
FORMAT_VERSION=14
c_files() {
    echo eplb.h eplb_cuda.h eplb_cuda.cu
    find examples tests -name '*.[ch]' -o -name '*.cpp' -o -name '*.cu'
}
analyse_format() {
    clang-format --version | grep -q "version $FORMAT_VERSION\." || skip "clang-format is not version $FORMAT_VERSION"
    clang-format --dry-run -Werror $(c_files)
}
gate analyse-format clang-format analyse_format
