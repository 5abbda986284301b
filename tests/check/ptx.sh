# ptx.sh FOLDER - what nvcc made of eplb_cuda.cu, by the PTX and the log of ptxas in the folder. No
# arithmetic of floats may be fused, approximate or flushed, and no sum of floats atomic, since plans would
# then differ from the CPU's; nothing may spill, and shared memory stays within 48 KiB.
. tests/check/check.sh

# A sum and a product that both have no rounding mode may be fused by ptxas: so sums of floats have one, and products of
# doubles, whose sums only reports are made of.
forbidden='(^|[[:space:];])((fma|mad)\.[a-z0-9.]*f(32|64)|(add|sub)\.(f32|sat)|mul\.f64|[a-z0-9.]*\.(approx|full|ftz)[a-z0-9.]*|(atom|red)\.[a-z0-9.]*f(16|32|64)[a-z0-9x]*)'

clean() { # file
    ! grep -nE "$forbidden" "$1"
}
found() { # an instruction that must not be
    printf '\t%s \t%%f1, %%f2, %%f3;\n' "$1" >"$TMP/one.ptx"
    ! clean "$TMP/one.ptx"
}

check 'the PTX has its kernels' sh -c "test \$(grep -c '[.]entry eplb_p_\|[.]entry _Z' '$BUILD/eplb_cuda.ptx') -ge 6"
check 'no arithmetic that could differ from the CPU' clean "$BUILD/eplb_cuda.ptx"
check 'decisions are rounded to nearest' grep -q 'div\.rn\.f32' "$BUILD/eplb_cuda.ptx"
for instruction in fma.rn.f32 fma.rn.ftz.f32 mad.f32 add.f32 sub.f32 add.ftz.f32 div.approx.f32 div.full.f32 \
    rcp.approx.ftz.f32 sqrt.approx.f32 mul.ftz.f32 fma.rn.f64 mul.f64 atom.global.add.f32 red.global.add.f32 atom.add.f64; do
    check "$instruction would be found" found "$instruction"
done

check 'ptxas has something to say' grep -q 'Used .* registers' "$BUILD/ptxas.log"
check 'nothing spills' sh -c "! grep -E '[1-9][0-9]* bytes spill' '$BUILD/ptxas.log'"
# What one thread does with the CPU's functions has their structs on its stack, of which they bound the depth.
stacks() { # most bytes where a layer is done by one thread; elsewhere none
    awk -v most="$1" '/Function properties for/ { alone = /eplb_p_([a-z]*_?alone|evaluate)_kernel/ }
                      / bytes (stack frame|lmem)/ && $1 > (alone ? most : 0) { print; found = 1 }
                      END { exit found }' "$BUILD/ptxas.log"
}
check 'no local memory but where a layer is done by one thread' stacks 8192
check 'static shared memory is none' sh -c "! grep -E '[1-9][0-9]* bytes smem' '$BUILD/ptxas.log'"
check 'registers for 256 threads' awk '/Used [0-9]+ registers/ { if ($5 > 255) exit 1 }' "$BUILD/ptxas.log"
report ptx
