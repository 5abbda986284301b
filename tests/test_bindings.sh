# test_bindings.sh - the programs of examples/README.md in other languages, where their compilers are: they print the plan
# that the C program prints.
. tests/check/check.sh
. tests/support/unoptimised.sh
ZIG=${ZIG:-zig}
unset CC
unoptimised "$TMP/cc"

# The fenced block of the page whose first line is this.
snippet() { # first line
    awk -v first="$1" '/^```/ { inside = 0; next } $0 == first { inside = 1 } inside' examples/README.md
}
plan='10, 11, 10, 11, 5, 9, 5, 2, 1, 7, 4, 9, 0, 6, 8, 3'

mkdir -p "$TMP/rust/src" "$TMP/zig"
cp eplb.h "$TMP/rust/"
cp eplb.h examples/cmake/app/eplb.c "$TMP/zig/"
printf '[package]\nname = "plan"\nversion = "0.1.0"\nedition = "2021"\n' >"$TMP/rust/Cargo.toml"
snippet '// build.rs' >"$TMP/rust/build.rs"
snippet '/* plan.c */' >"$TMP/rust/plan.c"
snippet '// src/main.rs' >"$TMP/rust/src/main.rs"
snippet '// main.zig' >"$TMP/zig/main.zig"
check 'build.rs has 20 lines at most' test "$(wc -l <"$TMP/rust/build.rs")" -le 20

rust_prints_plan() {
    (cd "$TMP/rust" && CC="$TMP/cc" CARGO_TARGET_DIR="$TMP/target" cargo run --offline --quiet) | grep -x -F "0 [$plan]"
}
zig_prints_plan() {
    (cd "$TMP/zig" && "$ZIG" translate-c eplb.h >eplb.zig && "$ZIG" build-exe main.zig eplb.c -I. -lc && ./main 2>&1) |
        grep -x -F "0 { $plan }"
}
case "$RUN_ENV $CFLAGS" in
*sanitize*) echo 'Rust and Zig: skipped, no sanitizer is in what they build' ;;
[!\ ]*) echo 'Rust and Zig: skipped, programs run under an emulator' ;;
*)
    if cargo --version >/dev/null 2>&1; then check 'the Rust program prints the plan' rust_prints_plan
    else echo 'Rust: skipped, there is no cargo'; fi
    if "$ZIG" version >/dev/null 2>&1; then check 'the Zig program prints the plan' zig_prints_plan
    else echo "Zig: skipped, there is no $ZIG"; fi ;;
esac
report test_bindings
