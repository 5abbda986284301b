# run.sh BUILD PROGRAM.. - run the test programs, then the test scripts, one summary line each, and end
# with "N passed, N failed" over all of them. RUN_ENV stands before each program (an emulator, say).
# A test that ends without its summary line counts as a failure, so a crash cannot pass.
build=$1
shift
passed=0
failed=0

count() { # output, exit status, name
    line=$(printf '%s\n' "$1" | grep '^[a-z_]*: [0-9]* passed, [0-9]* failed$' | tail -n 1)
    printf '%s\n' "$1"
    if [ -z "$line" ]; then
        echo "$3: ended with status $2 and no summary"
        failed=$((failed + 1))
        return
    fi
    set -- "$2" $(printf '%s\n' "$line" | sed 's/.*: \([0-9]*\) passed, \([0-9]*\) failed/\1 \2/')
    passed=$((passed + $2))
    failed=$((failed + $3))
    if [ "$1" -ne 0 ] && [ "$3" -eq 0 ]; then
        echo "$line, but the exit status was $1"
        failed=$((failed + 1))
    fi
}

for program in "$@"; do
    output=$($RUN_ENV "$program" 2>&1)
    count "$output" $? "$(basename "$program")"
done
for script in tests/test_*.sh; do
    output=$(sh "$script" "$build" 2>&1)
    count "$output" $? "$(basename "$script" .sh)"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
