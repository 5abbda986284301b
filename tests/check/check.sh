# check.sh - what the test scripts and the gates of many checks share; to be sourced. BUILD is the build folder
# ($1 of the script), TMP a folder that goes away at the end. A script calls `check WHAT COMMAND..` and ends with
# `report NAME`.
BUILD=${1:-build}
TMP=$(mktemp -d)
trap 'rm -rf "$TMP"' EXIT
passed=0
failed=0

check() { # what it is that holds, and a command that succeeds when it does
    what=$1
    shift
    if "$@" >"$TMP/check.out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $what"
        sed 's/^/    /' "$TMP/check.out" | head -n 5
    fi
}

report() {
    echo "$1: $passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}
