# freestanding.sh - eplb.h without a libc, and without the headers of one: only the compiler's own.

BARE_METAL='-std=c99 -ffreestanding -fno-builtin -fno-tree-loop-distribute-patterns -nostdlib
    -Wall -Wextra -Werror -I.'
EMBEDDED=examples/embedded
CORTEX_M0='-mcpu=cortex-m0 -mfloat-abi=soft'
CORTEX_M4F='-mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16'

# A compiler with no headers but its own.
without_libc() { # compiler, options
    own=$("$1" -print-file-name=include)
    "$@" -nostdinc -isystem "$own"
}

emulate_board() { # board, program
    timeout 300 qemu-system-arm -M "$1" -semihosting -nographic -kernel "$2" 2>&1
}

# Whether a program's output, but for its line on the stack, is what the same program prints with a libc.
as_on_host() { # output
    if [ ! -e "$WORK/host.out" ]; then
        cc -std=c99 -O0 -I. -o "$WORK/host" $EMBEDDED/plan.c $EMBEDDED/host.c
        "$WORK/host" >"$WORK/host.out"
    fi
    grep -v '^stack' "$1" | diff "$WORK/host.out" -
}

build_for_linux() { # compiler, level
    without_libc "$1" $BARE_METAL "$2" -static -o "$WORK/plan" $EMBEDDED/plan.c $EMBEDDED/memory.c \
        $EMBEDDED/linux_x86_64.c
}

freestanding_linux() { # compiler
    [ "$(uname -m)" = x86_64 ] || skip 'the machine is no x86-64'
    for level in -O0 -O2; do
        build_for_linux "$1" "$level"
        "$WORK/plan" >"$WORK/plan.out"
        as_on_host "$WORK/plan.out"
    done
}
gate freestanding-linux 'gcc cc' freestanding_linux gcc

# The start, the vectors and the memory map are those of examples/embedded; the micro:bit has 16 KiB of RAM.
build_for_board() { # output, options
    output=$1
    shift
    without_libc arm-none-eabi-gcc -mthumb $BARE_METAL "$@" -T $EMBEDDED/cortex_m.ld -o "$output" \
        $EMBEDDED/plan.c $EMBEDDED/memory.c $EMBEDDED/cortex_m.c -lgcc
}

MOST_STACK=4096 # bytes that planning and evaluating took of the stack, where it was painted before

painted_stack() { # output
    awk '/^stack/ { print $2 }' "$1"
}

freestanding_board() { # board, processor options
    board=$1
    shift
    for level in -Os -O2; do
        build_for_board "$WORK/plan.elf" "$@" $level
        emulate_board "$board" "$WORK/plan.elf" >"$WORK/plan.out"
        as_on_host "$WORK/plan.out"
        test "$(painted_stack "$WORK/plan.out")" -le $MOST_STACK
    done
}
gate freestanding-cortex-m0  'arm-none-eabi-gcc qemu-system-arm cc' freestanding_board microbit $CORTEX_M0
gate freestanding-cortex-m4f 'arm-none-eabi-gcc qemu-system-arm cc' freestanding_board mps2-an386 $CORTEX_M4F

# Sizes, as tests/README.md has them: code of the whole header, of what eplb_rebalance calls, the largest stack frame that
# the compiler reports, and the stack that planning and evaluating took. The gate compiles what it holds to a limit, and
# leaves the stack to those above; `make sizes` has all of it (SIZES=all).
MOST_CODE=95232  # bytes on a Cortex-M4 at -Os, of all that the header has,
MOST_PLANNER=66048 # and of what eplb_rebalance calls: a linker leaves out what is not called
: "${SIZES:=held}"

code_bytes() { # prefix of the tools, options
    prefix=$1
    shift
    printf '#define EPLB_SCRATCH_ALIGN 8\n#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/eplb.c"
    "${prefix}gcc" $BARE_METAL "$@" -fstack-usage -c -o "$WORK/eplb.o" "$WORK/eplb.c"
    "${prefix}size" "$WORK/eplb.o" | awk 'NR == 2 { print $1 }'
}

planner_bytes() { # likewise
    prefix=$1
    shift
    {
        printf '#define EPLB_SCRATCH_ALIGN 8\n#define EPLB_STATIC\n#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n'
        printf 'eplb_result (*const rebalance)(const eplb_problem *, const eplb_options *, const float *,\n'
        printf '                               const eplb_plan *, void *, size_t) = eplb_rebalance;\n'
    } >"$WORK/planner.c"
    "${prefix}gcc" $BARE_METAL "$@" -c -o "$WORK/planner.o" "$WORK/planner.c"
    "${prefix}size" "$WORK/planner.o" | awk 'NR == 2 { print $1 }'
}

largest_frame() { # after code_bytes: none may depend on data
    refuses grep 'dynamic$' "$WORK/eplb.su"
    awk '{ if ($2 > most) most = $2 } END { print most }' "$WORK/eplb.su"
}

sizes() {
    printf '%-12s %-4s %8s %8s %8s %8s\n' target level code planner frame stack
    for level in -Os -O2; do
        for target in cortex-m0 cortex-m4f x86-64; do
            [ "$SIZES" = all ] || [ "$target$level" = cortex-m4f-Os ] || continue
            case $target in
            cortex-m0) prefix=arm-none-eabi- board=microbit options="-mthumb $CORTEX_M0" ;;
            cortex-m4f) prefix=arm-none-eabi- board=mps2-an386 options="-mthumb $CORTEX_M4F" ;;
            x86-64) prefix='' board='' options='' ;;
            esac
            code=$(code_bytes "$prefix" $options $level)
            frame=$(largest_frame)
            planner=$(planner_bytes "$prefix" $options $level)
            stack=-
            if [ "$SIZES" = all ]; then
                if [ "$board" ]; then
                    build_for_board "$WORK/plan.elf" $options $level
                    emulate_board "$board" "$WORK/plan.elf" >"$WORK/plan.out"
                else
                    build_for_linux gcc $level
                    "$WORK/plan" >"$WORK/plan.out"
                fi
                stack=$(painted_stack "$WORK/plan.out")
            fi
            printf '%-12s %-4s %8d %8s %8d %8s\n' "$target" "$level" "$code" "$planner" "$frame" "$stack"
            if [ "$target$level" = cortex-m4f-Os ]; then
                test "$code" -le $MOST_CODE
                test "$planner" -le $MOST_PLANNER
            fi
        done
    done
    cc -std=c99 -O0 -I. -o "$WORK/host" $EMBEDDED/plan.c $EMBEDDED/host.c
    "$WORK/host" | grep scratch
}
gate freestanding-sizes 'arm-none-eabi-gcc qemu-system-arm gcc cc' sizes
