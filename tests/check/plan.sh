# plan.sh - one plan everywhere: tests/test_plan_hash.c hashes the plans of all presets on thousands of
# random problems and tests/test_golden.c those of the golden cases, and both hold the hash to the same
# constant on every machine, from every compiler, at every level; where the target has vector
# instructions, without them too. Both are one program, compiled once for a compiler, since what looks on takes
# as long to compile as a third of the library, which is compiled in each way.
#
# At -O2, as most build it, and with floats of 80 bits it is all of the random problems; elsewhere some, a quarter. Without
# vectors it is again at -O2 and -O3, and wherever the compiler may fuse what it finds on this machine. Some problems
# reach each line of eplb.h that all of them reach, and all branches but 2 of 2703; and where one kind of rounding is
# left out the hash of the first hundred differs already.
build_one_plan() { # compiler and options
    "$@" -I. -Itests/support -c -o "$WORK/one_plan.o" tests/check/one_plan.c
}

# After build_one_plan; the library as the options say.
run_one_plan() { # run environment, how many problems (test_plan_hash has the words), compiler and options
    run_env=$1
    size=$2
    shift 2
    echo "$* ($size)"
    build_library "$@"
    "$@" -o "$WORK/one_plan" "$WORK/one_plan.o" "$WORK/eplb.o" -lm
    $run_env "$WORK/one_plan" "$size"
}

has_vectors() { # compiler and options
    : >"$WORK/none.c"
    "$@" -dM -E -x c "$WORK/none.c" | grep -Eq '__SSE2__|__ARM_NEON'
}

plans_of() { # likewise
    run_one_plan "$@"
    run_env=$1
    size=$2
    shift 2
    if has_vectors "$@"; then run_one_plan "$run_env" "$size" "$@" -DEPLB_NO_SIMD; fi
}

one_plan() { # run environment, how many problems, compiler and options
    build_and_plan plans_of "$@"
}

build_and_plan() { # plans_of or run_one_plan, and as for one_plan
    plan_by=$1
    run_env=$2
    size=$3
    compiler=$4
    shift 4
    build_one_plan "$compiler" -std=c99 "$@"
    "$plan_by" "$run_env" "$size" "$compiler" -std=c99 "$@"
}

# Whether products and sums may be fused says nothing where no instruction does it; plan_march has that, and -O3 without
# vectors.
levels() { # compiler
    build_one_plan "$1" -std=c99 -O1
    for level in -O0 -Os '-O1 -DEPLB_SCRATCH_ALIGN=8' -O3; do
        run_one_plan '' some "$1" -std=c99 $level
    done
    plans_of '' all "$1" -std=c99 -O2
}
gate plan-levels-gcc   gcc   levels gcc
gate plan-levels-clang clang levels clang

# Processors that have an instruction for a * b + c, the least of them and this one, and compilers that may use it as they
# like.
runs_here() { # -march name: glibc's dynamic linker knows what the machine has
    [ "$1" = native ] || /lib64/ld-linux-x86-64.so.2 --help | grep -q "$1 (supported"
}
plan_march() { # compiler, processor
    runs_here "$2" || skip "the machine is no $2"
    case $2 in native) how=plans_of ;; *) how=run_one_plan ;; esac
    build_and_plan $how '' some "$1" -O3 "-march=$2" -ffp-contract=fast
}
for march in native x86-64-v3; do
    gate "plan-$march-gcc"   gcc   plan_march gcc "$march"
    gate "plan-$march-clang" clang plan_march clang "$march"
done

gate plan-lto-gcc   gcc            build_and_plan run_one_plan '' some gcc -O2 -flto
gate plan-lto-clang 'clang ld.lld' build_and_plan run_one_plan '' some clang -O2 -flto -fuse-ld=lld

# In C++, where the header is compiled by other rules.
plan_cxx() {
    for compiler in g++ clang++; do
        printf '#define EPLB_IMPLEMENTATION\n#include "tests/test_plan_hash.c"\n' >"$WORK/hash.cpp"
        "$compiler" -std=c++11 -O2 -I. -Itests/support -o "$WORK/hash" "$WORK/hash.cpp"
        "$WORK/hash" some
    done
}
gate plan-c++ 'g++ clang++' plan_cxx

gate plan-tcc  tcc      one_plan '' some tcc -Wall -Werror
gate plan-musl musl-gcc build_and_plan run_one_plan '' some musl-gcc -static -O2 # gcc, with another libc

# Other processors, emulated. Static programs, so that no libraries of theirs need be found at run time.
I686=i686-linux-gnu-gcc
# As gnu99 gcc keeps floats in registers of 80 bits across assignments and calls, as c99 it must not.
gate plan-i386-x87 "$I686" one_plan '' all "$I686" -static -O2 -mno-sse -mfpmath=387 -std=gnu99
gate plan-i386-sse "$I686" one_plan '' some "$I686" -static -O2 -msse2 -mfpmath=sse
# Sizes that do not fit 32 bits are errors of their own there, which no other machine here can show.
tests_i386() {
    SOME_PROBLEMS=300
    set -- "$I686" -static -std=c99 -O2 -mno-sse -mfpmath=387
    build_programs "$SOME_TESTS $FUZZ_TARGETS" "$@"
    run_programs "$SOME_TESTS $FUZZ_TARGETS" "$@"
}
gate tests-i386 "$I686" tests_i386

emulated() { # name, emulator, compiler and options
    name=$1
    emulator=qemu-$2-static
    shift 2
    gate "plan-$name" "$1 $emulator" one_plan "$emulator" some "$@" -static
}
emulated armhf   arm     arm-linux-gnueabihf-gcc -O2
emulated riscv64 riscv64 riscv64-linux-gnu-gcc -O2
emulated ppc64   ppc64   powerpc64-linux-gnu-gcc -O2
emulated s390x   s390x   s390x-linux-gnu-gcc -O2
# What contracts by default and has the instruction for it.
emulated aarch64-fused aarch64 aarch64-linux-gnu-gcc -O3 -ffp-contract=fast
gate plan-aarch64 'aarch64-linux-gnu-gcc qemu-aarch64-static' \
    build_and_plan run_one_plan qemu-aarch64-static some aarch64-linux-gnu-gcc -O2 -static

# WebAssembly without a libc: a module with one function, which node calls.
NOLIBC=tests/check/nolibc
plan_wasm() {
    clang --target=wasm32 -O2 -DHASH_SIZE=HASH_SOME -std=c99 -ffreestanding -fno-builtin -nostdlib -isystem $NOLIBC -I. \
        -Wl,--no-entry -Wl,--export=plan_hash_differs -Wl,-z,stack-size=65536 -o "$WORK/hash.wasm" \
        $NOLIBC/plan_hash.c $NOLIBC/nolibc.c $NOLIBC/wasm.c examples/embedded/memory.c
    node -e 'const bytes = require("fs").readFileSync(process.argv[1]);
        WebAssembly.instantiate(bytes).then(m => process.exit(m.instance.exports.plan_hash_differs()))' \
        "$WORK/hash.wasm"
}
gate plan-wasm 'clang wasm-ld node' plan_wasm

# Microcontrollers, soft and hard float, in the emulator of a whole board: the few problems, of which the
# largest need some RAM.
plan_cortex_m() { # board, processor options
    board=$1
    shift
    arm-none-eabi-gcc -mthumb "$@" $BARE_METAL -O2 -DHASH_SIZE=HASH_FEW -isystem $NOLIBC -Iexamples/embedded -T examples/embedded/cortex_m.ld \
        -Wl,--defsym=RAM_BYTES=4M -o "$WORK/hash.elf" $NOLIBC/cortex_m.c $NOLIBC/plan_hash.c $NOLIBC/nolibc.c \
        examples/embedded/memory.c examples/embedded/cortex_m.c -lgcc
    emulate_board "$board" "$WORK/hash.elf"
}
gate plan-cortex-m0  'arm-none-eabi-gcc qemu-system-arm' plan_cortex_m mps2-an385 $CORTEX_M0
gate plan-cortex-m4f 'arm-none-eabi-gcc qemu-system-arm' plan_cortex_m mps2-an386 $CORTEX_M4F

# The GPU's kernels: each of their plans is compared with the CPU's, which the gates above hold to the hash. On
# the host with fused arithmetic allowed, and on a GPU where there is one.
plan_cuda_emulated() {
    build_library gcc -std=c99 -O2
    for compiler in g++ clang++; do
        "$compiler" -std=c++17 -O2 -march=native -ffp-contract=fast -I. -Itests/support -Itests/emulated -o "$WORK/test_cuda" \
            tests/test_cuda.cpp tests/emulated/cuda_runtime.cpp "$WORK/eplb.o" -x c++ eplb_cuda.cu
        "$WORK/test_cuda" tests/golden/plans.txt 300
    done
}
plan_cuda() {
    nvidia-smi -L | grep -q GPU || skip 'no GPU'
    make test-cuda BUILD="$WORK"
}
gate plan-cuda-emulated 'g++ clang++'     plan_cuda_emulated
gate plan-cuda          'nvcc nvidia-smi' plan_cuda

# The code that nvcc makes: for one architecture of the three that make cuda has, each of which takes a minute and more.
ptx() {
    of_make_test eplb.o
    make -s "BUILD=$BUILD" CUDA_ARCHS=90 cuda
}
gate ptx 'nvcc cc flock' ptx

# -ffast-math is refused, in words; who insists loses equal plans, but bad loads are refused all the same.
fast_math() { # compiler
    printf '#define EPLB_IMPLEMENTATION\n#include "eplb.h"\n' >"$WORK/fast.c"
    refuses "$1" -std=c99 -O2 -ffast-math -I. -c -o "$WORK/fast.o" "$WORK/fast.c"
    "$1" -std=c99 -O2 -ffast-math -I. -c -o "$WORK/fast.o" "$WORK/fast.c" 2>&1 | grep 'error.*EPLB_ALLOW_FAST_MATH'
    build_and_run '' test_errors "$1" -std=c99 -O3 -march=native -ffast-math -DEPLB_ALLOW_FAST_MATH
}
gate plan-fast-math-gcc   gcc   fast_math gcc
gate plan-fast-math-clang clang fast_math clang
