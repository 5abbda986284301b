# symbols.sh - what the header's object file defines and needs, by nm: public names only start
# with eplb_, nothing is writable, and no function is needed but the memory family that compilers
# call by themselves.

compile() { # name, then options; stands for a build without a libc
    object=$TMP/$1.o
    shift
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$TMP/eplb.c"
    $CC -std=c99 -ffreestanding -I. "$@" -c -o "$object" "$TMP/eplb.c"
}
none() { # object, pattern of symbol lines that must not be there
    ! nm "$TMP/$1.o" | grep -E "$2"
}
hosted_needs_no_more() {
    compile hosted -O2 -fhosted &&
        ! nm -u "$TMP/hosted.o" | grep -Ev " U (memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_)\$"
}

defines_and_needs() {
    for level in -O0 -Os; do # and -O2 where it is hosted
        check "compiles freestanding at $level" compile "o$level" "$level"
        check "$level: nothing undefined but memcpy, memmove, memset, memcmp" \
            sh -c "! nm -u '$TMP/o$level.o' | grep -Ev ' U (memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_)$'"
        check "$level: no writable data" none "o$level" ' [dDbBCsS] '
        check "$level: only eplb_ names are public" sh -c "! nm -g --defined-only '$TMP/o$level.o' | grep -v ' eplb_[a-z]'"
        check "$level: no private name is public" none "o$level" ' [A-Z] eplb_p_'
    done
    check 'a hosted build needs no more' hosted_needs_no_more
    check 'compiles as a static copy' compile static -O1 -DEPLB_STATIC -Wall -Wextra -Werror
    check 'a static copy has no public name' sh -c "! nm -g --defined-only '$TMP/static.o' | grep ."
    check 'without EPLB_IMPLEMENTATION there is no code' sh -c "
        printf '#include \"eplb.h\"\nint x;\n' >'$TMP/decl.c' && $CC -std=c99 -I. -c -o '$TMP/decl.o' '$TMP/decl.c' &&
        ! nm '$TMP/decl.o' | grep eplb"
    check 'private macros end with the implementation' sh -c "
        ! $CC -std=c99 -I. -DEPLB_IMPLEMENTATION -dM -E '$TMP/eplb.c' | grep EPLB_P_ | grep -Ev 'EPLB_P_(IMPLEMENTED|HD)'"
}

# What each macro of the header's table adds or takes away. A check that something is gone stands beside one
# that it was there, so that a macro misspelt here fails.
hosted() { # name, then options: with vector instructions, but none of the compiler's own making
    object=$TMP/$1.o
    shift
    $CC -std=c99 -O0 -I. "$@" -c -o "$object" "$TMP/eplb.c"
}
says() { # program, options: what it prints
    $CC -std=c99 -I. $2 -o "$TMP/says" "$1" && $RUN_ENV "$TMP/says"
}
vectors='(addps|subps|minps|maxps|mulps|paddd|pcmpgtd|ymm|(add|sub|min|max|cmgt)[[:space:]]+v[0-9]+\.(4s|2d))'
macros() {
    echo 'void told(void);' >"$TMP/told.h"
    check 'compiles with a libc' hosted hosted
    check 'compiles with EPLB_NO_SIMD' hosted plain -DEPLB_NO_SIMD
    if $CC -dM -E -x c "$TMP/eplb.c" -I. | grep -Eq '__SSE2__|__ARM_NEON'; then
        check 'there are vector instructions' sh -c "${OBJDUMP:-objdump} -d '$TMP/hosted.o' | grep -E '$vectors'"
        check 'EPLB_NO_SIMD leaves none' sh -c "! ${OBJDUMP:-objdump} -d '$TMP/plain.o' | grep -E '$vectors'"
    fi
    check 'a misspelt EPLB_NO_SIMD changes nothing' sh -c "
        $CC -std=c99 -O0 -I. -DEPLB_NO_SMID -c -o '$TMP/misspelt.o' '$TMP/eplb.c' && cmp '$TMP/misspelt.o' '$TMP/hosted.o'"

    check 'EPLB_ASSERT is called when set' sh -c "
        $CC -std=c99 -I. -O0 '-DEPLB_ASSERT(x)=((x)?(void)0:told())' -include '$TMP/told.h' -c -o '$TMP/told.o' '$TMP/eplb.c' &&
        nm -u '$TMP/told.o' | grep -w told"
    check 'and not otherwise' sh -c "! nm -u '$TMP/hosted.o' | grep -w told"
    check 'EPLB_API is the linkage of the functions' sh -c "
        $CC -std=c99 -I. '-DEPLB_API=extern __attribute__((weak))' -c -o '$TMP/weak.o' '$TMP/eplb.c' &&
        nm '$TMP/weak.o' | grep ' W eplb_rebalance' && ! nm '$TMP/weak.o' | grep ' T '"
    check 'which is extern by default' sh -c "nm '$TMP/hosted.o' | grep ' T eplb_rebalance'"
    cat >"$TMP/bound.c" <<'END'
#include <stdio.h>
#include "eplb.h"
int main(void) { return printf("%d\n", (int)EPLB_SCRATCH_BOUND(64, 80, 8)) < 0; }
END
    check 'EPLB_SCRATCH_ALIGN rounds blocks of scratch' \
        test "$(says "$TMP/bound.c" -DEPLB_SCRATCH_ALIGN=8)" -lt "$(says "$TMP/bound.c" -DEPLB_SCRATCH_ALIGN=64)"
    check 'to 64 unless set' test "$(says "$TMP/bound.c" '')" = "$(says "$TMP/bound.c" -DEPLB_SCRATCH_ALIGN=64)"
    printf '#include "eplb.h"\nint main(void) { return eplb_result_name(0)[0] != 69; }\n' >"$TMP/caller.c"
    check 'EPLB_IMPLEMENTATION makes a program whole' says "$TMP/caller.c" -DEPLB_IMPLEMENTATION
    check 'misspelt it does not' sh -c "! $CC -std=c99 -I. -DEPLB_IMPLEMENTION -o '$TMP/caller' '$TMP/caller.c'"
}

refusals() {
    check '-ffast-math is refused' sh -c "! $CC -std=c99 -I. -ffast-math -DEPLB_IMPLEMENTATION -x c -c -o '$TMP/fast.o' eplb.h"
    check '-ffast-math is accepted when insisted on' \
        $CC -std=c99 -I. -ffast-math -DEPLB_ALLOW_FAST_MATH -DEPLB_IMPLEMENTATION -x c -c -o "$TMP/fast.o" eplb.h
    check 'EPLB_SCRATCH_ALIGN must be a power of two' \
        sh -c "! $CC -std=c99 -I. -DEPLB_SCRATCH_ALIGN=48 -x c -c -o '$TMP/align.o' eplb.h"
}

# No macro without its row in the table, and none there without a check here.
macro_table() {
    table=$(sed -n '/^   MACROS/,/^   GUARANTEES/s/^     \(EPLB_[A-Z_]*\).*/\1/p' eplb.h)
    for macro in $table; do
        check "$macro is checked here" grep -q "$macro" tests/check/symbols.sh
    done
    for macro in $(grep -E '^ *#(if|elif|ifdef|ifndef)' eplb.h | grep -o 'EPLB_[A-Z_]*' | grep -v '^EPLB_P_\|^EPLB_H$' | sort -u); do
        check "$macro is in the header's table" sh -c "echo '$table' | grep -qx $macro"
    done
}

symbols() { # compiler
    CC=$1
    set -- "$WORK"
    . tests/check/check.sh
    defines_and_needs
    macros
    refusals
    macro_table
    report symbols
}
gate symbols-gcc   'gcc nm'   symbols gcc
gate symbols-clang 'clang nm' symbols clang
