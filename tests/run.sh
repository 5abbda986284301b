# run.sh BUILD PROGRAM.. - run the test programs and the test scripts, JOBS at once, and print a summary line
# for each and at the end "N passed, N failed" over all of them. RUN_ENV stands before each program (an emulator,
# say); SCRIPTS are all scripts unless set. A test that ends without its summary line counts as a failure, so a crash
# cannot pass.
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

if [ "$1" = --one ]; then # write what a program or a script prints, and how it ended, beside the build
    name=$(basename "$2" .sh)
    case $2 in
    *.sh) sh "$2" "$build" ;;
    *) $RUN_ENV "$2" ;;
    esac >"$build/run/$name.output" 2>&1
    echo $? >"$build/run/$name.status"
    exit 0
fi

rm -rf "$build/run"
mkdir -p "$build/run"
set -- "$@" ${SCRIPTS:-tests/test_*.sh}
printf '%s\n' "$@" | xargs -n 1 -P "${JOBS:-1}" sh tests/run.sh "$build" --one
for test in "$@"; do
    name=$(basename "$test" .sh)
    count "$(cat "$build/run/$name.output")" "$(cat "$build/run/$name.status")" "$name"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
