# test_symbols.sh - what the header's object file defines and needs, by nm: public names only start
# with eplb_, nothing is writable, and no function is needed but the memory family that compilers
# call by themselves.
. tests/check.sh
CC=${CC:-cc}

compile() { # name, then options; stands for a build without a libc
    object=$TMP/$1.o
    shift
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$TMP/eplb.c"
    $CC -std=c99 -ffreestanding -I. "$@" -c -o "$object" "$TMP/eplb.c"
}
none() { # object, pattern of symbol lines that must not be there
    ! nm "$TMP/$1.o" | grep -E "$2"
}

for level in -O0 -O2 -Os; do
    check "compiles freestanding at $level" compile "o$level" "$level"
    check "$level: nothing undefined but memcpy, memmove, memset, memcmp" \
        sh -c "! nm -u '$TMP/o$level.o' | grep -Ev ' U (memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_)$'"
    check "$level: no writable data" none "o$level" ' [dDbBCsS] '
    check "$level: only eplb_ names are public" sh -c "! nm -g --defined-only '$TMP/o$level.o' | grep -v ' eplb_[a-z]'"
    check "$level: no private name is public" none "o$level" ' [A-Z] eplb_p_'
done
hosted() { # name, then options; only functions of the memory family and these may be undefined
    allowed=$1
    shift
    compile hosted -O2 -fhosted "$@" &&
        ! nm -u "$TMP/hosted.o" | grep -Ev " U (memcpy|memmove|memset|memcmp|_GLOBAL_OFFSET_TABLE_|$allowed)\$"
}
check 'a hosted build may ask about the processor, and for nothing else' hosted __cpu_model
check 'not even that with EPLB_NO_DISPATCH' hosted none -DEPLB_NO_DISPATCH
check 'compiles as a static copy' compile static -O2 -DEPLB_STATIC -Wall -Wextra -Werror
check 'a static copy has no public name' sh -c "! nm -g --defined-only '$TMP/static.o' | grep ."
check 'without EPLB_IMPLEMENTATION there is no code' sh -c "
    printf '#include \"eplb.h\"\nint x;\n' >'$TMP/decl.c' && $CC -std=c99 -I. -c -o '$TMP/decl.o' '$TMP/decl.c' &&
    ! nm '$TMP/decl.o' | grep eplb"
check '-ffast-math is refused' sh -c "! $CC -std=c99 -I. -ffast-math -DEPLB_IMPLEMENTATION -x c -c -o '$TMP/fast.o' eplb.h"
check '-ffast-math is accepted when insisted on' \
    $CC -std=c99 -I. -ffast-math -DEPLB_ALLOW_FAST_MATH -DEPLB_IMPLEMENTATION -x c -c -o "$TMP/fast.o" eplb.h
check 'EPLB_SCRATCH_ALIGN must be a power of two' \
    sh -c "! $CC -std=c99 -I. -DEPLB_SCRATCH_ALIGN=48 -x c -c -o '$TMP/align.o' eplb.h"
report test_symbols
