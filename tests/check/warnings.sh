# warnings.sh - no compiler has anything to say about eplb.h, in any language version, with any of its
# macros, alone, twice, before or after the implementation.

GCC_C_STRICT='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wcast-qual
    -Wdouble-promotion -Wfloat-equal -Wvla -Wmissing-prototypes -Wcast-align=strict -Werror'
GCC_CXX_STRICT='-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wcast-qual
    -Wdouble-promotion -Wfloat-equal -Wvla -Wmissing-declarations -Wcast-align=strict -Werror'
# Everything, but for what contradicts C99 or the interface:
#   padded                        the structs are what the interface says
#   declaration-after-statement   C99 has it; -Wvla and the rest stay
#   pre-c2x-compat, c++98-compat  eplb.h is C99 and C++11, and empty braces are how C++ zeroes a struct
#   old-style-cast                the same casts have to be C
#   zero-as-null-pointer-constant clang means NULL, too, which has to be C's
#   unsafe-buffer-usage           (clang 16 on) would have every array be a C++ container
#   switch-default                (clang 18 on) contradicts covered-switch-default
CLANG_STRICT='-Weverything -Werror -Wno-unknown-warning-option -Wno-padded -Wno-declaration-after-statement
    -Wno-pre-c2x-compat -Wno-unsafe-buffer-usage -Wno-switch-default'
CLANG_CXX_STRICT="$CLANG_STRICT -Wno-c++98-compat -Wno-c++98-compat-pedantic -Wno-old-style-cast
    -Wno-zero-as-null-pointer-constant"

# The shapes in which programs include the header, each as SHAPE.c and SHAPE.cpp in $WORK.
write_shapes() {
    declared='#include "eplb.h"'
    defined='#define EPLB_IMPLEMENTATION
#include "eplb.h"'
    for language in c cpp; do
        printf '%s\nextern int eplb_user;\n' "$declared"      >"$WORK/alone.$language"
        printf '%s\n%s\n' "$declared" "$declared"             >"$WORK/twice.$language"
        printf '%s\n' "$defined"                              >"$WORK/implementation.$language"
        printf '%s\n%s\n' "$declared" "$defined"              >"$WORK/before.$language"
        printf '%s\n%s\n' "$defined" "$declared"              >"$WORK/after.$language"
        printf '%s\n%s\n' "$defined" "$defined"               >"$WORK/implementation_twice.$language"
        printf '#define EPLB_STATIC\n%s\n' "$defined"         >"$WORK/static.$language"
        printf '#define EPLB_STATIC\n%s\n%s\n%s\n' "$declared" "$defined" "$declared" >"$WORK/static_between.$language"
    done
}

SHAPES='alone twice implementation before after implementation_twice static static_between'

# Each macro of the header's table that a compiler can be given, by itself; those two that make shapes
# are above. The last line is an insistent user under -ffast-math.
each_macro() { # language suffix, command
    suffix=$1
    shift
    for shape in implementation static; do
        file=$WORK/$shape.$suffix
        "$@" -DEPLB_NO_SIMD "$file"
        "$@" -DEPLB_SCRATCH_ALIGN=8 "$file"
        "$@" -DEPLB_SCRATCH_ALIGN=4096 "$file"
        "$@" -DEPLB_ALLOW_FAST_MATH "$file"
        "$@" "-DEPLB_ASSERT(x)=((void)sizeof(x))" "$file"
        "$@" -DEPLB_ALLOW_FAST_MATH -ffast-math "$file"
    done
    "$@" '-DEPLB_API=extern __attribute__((visibility("hidden")))' "$WORK/implementation.$suffix"
}

# Every shape in every language version and every macro in the first and the last, by the parser alone, and with code,
# since gcc has some warnings from the optimiser, which is the same for C and C++ (-O2: make test).
warnings() { # suffix, versions, levels, compiler and strict set
    suffix=$1
    versions=$2
    levels=$3
    shift 3
    write_shapes
    for version in $versions; do
        echo "$version"
        for shape in $SHAPES; do
            "$@" -I. "-std=$version" -fsyntax-only "$WORK/$shape.$suffix"
        done
        case $version in "${versions%% *}" | "${versions##* }")
            each_macro "$suffix" "$@" -I. "-std=$version" -fsyntax-only ;;
        esac
    done
    for level in $levels; do
        "$@" -I. "-std=${versions%% *}" $level -c -o "$WORK/code.o" "$WORK/implementation.$suffix"
    done
    "$@" -I. "-std=${versions%% *}" -O0 -c -o "$WORK/code.o" "$WORK/static.$suffix"
}

C_VERSIONS='c99 gnu99 c11 c17 c2x'
gate warnings-gcc     gcc     warnings c   "$C_VERSIONS" '-O3 -Os' gcc $GCC_C_STRICT
gate warnings-clang   clang   warnings c   "$C_VERSIONS" '-O0 -O2' clang $CLANG_STRICT
gate warnings-g++     g++     warnings cpp 'c++11 c++14 c++17 c++20 c++23' -O0 g++ $GCC_CXX_STRICT
gate warnings-clang++ clang++ warnings cpp 'c++11 c++14 c++17 c++20 c++2b' -O0 clang++ $CLANG_CXX_STRICT

# tcc has no -fsyntax-only and few warnings; it must compile all shapes all the same. plan-tcc runs its code.
warnings_tcc() {
    write_shapes
    for shape in $SHAPES; do
        tcc -Wall -Werror -I. -c -o "$WORK/$shape.o" "$WORK/$shape.c"
    done
}
gate warnings-tcc tcc warnings_tcc

warnings_musl() {
    musl-gcc -static -std=c99 -O2 $GCC_C_STRICT -Wno-float-equal -DEPLB_IMPLEMENTATION= -I. -Itests/support \
        -o "$WORK/hash" tests/test_plan_hash.c # which plan-musl runs
    build_and_run '' test_errors musl-gcc -static -std=c99 -O0 -Wall -Wextra -Werror
}
gate warnings-musl musl-gcc warnings_musl

# The host pass of a .cu file, whose warnings are those of cudafe++ and of the host compiler.
warnings_nvcc() {
    write_shapes
    for shape in $SHAPES; do
        nvcc -x cu -std=c++17 -Werror all-warnings -Xcompiler -Wall,-Wextra -I. -c -o "$WORK/$shape.o" "$WORK/$shape.cpp"
    done
}
gate warnings-nvcc nvcc warnings_nvcc

# Compiling for a machine takes no libc, so one clang stands for many: pointers of 16, 32 and 64 bits.
warnings_targets() {
    write_shapes
    for target in wasm32 riscv32-none-elf riscv64-none-elf thumbv6m-none-eabi thumbv7em-none-eabihf msp430 \
        powerpc-none-elf powerpc64le-none-elf s390x-none-elf mips-none-elf sparc-none-elf i686-pc-windows-msvc \
        x86_64-pc-windows-msvc; do
        echo "$target"
        for shape in implementation static; do
            clang "--target=$target" -ffreestanding -std=c99 -O0 $CLANG_STRICT -I. -S -o "$WORK/$shape.s" "$WORK/$shape.c"
        done
    done
    # A double of 32 bits, where reports could not be right.
    refuses clang --target=avr -ffreestanding -std=c99 -I. -c -o "$WORK/avr.o" "$WORK/static.c"
}
gate warnings-targets clang warnings_targets

# Static copies in C and C++ and one extern implementation in one program, with the compilers mixed.
# Unoptimised, so that no call that a linker must resolve is inlined; make test has them optimised.
linkage() { # C compiler, C++ compiler
    make -s "BUILD=$WORK" "CC=$1" "CXX=$2" CFLAGS=-O0 CXXFLAGS=-O0 "$WORK/tests/test_linkage"
    "$WORK/tests/test_linkage"
}
gate linkage-gcc   'gcc g++'       linkage gcc g++
gate linkage-clang 'clang clang++' linkage clang clang++
gate linkage-mixed 'gcc clang++'   linkage gcc clang++
