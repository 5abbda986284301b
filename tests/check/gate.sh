# gate.sh - what the gates share; run.sh sources it, then the files of gates. A gate is
#
#     gate NAME 'TOOL..' COMMAND [ARGUMENT..]
#
# where COMMAND is a function of the file, which runs from the top of the repository under `set -e`, so that
# the first command that fails ends and fails it. $WORK is an empty folder of its own. It is skipped
# where a TOOL is not on PATH, or when it calls `skip REASON`.

SKIPPED=77 # exit status of a gate that skipped itself

gate() { # name, tools, command
    gate_name=$1
    gate_tools=$2
    shift 2
    case $mode in
    --list)
        for name in ${selected:-$gate_name}; do
            case $gate_name in "$name" | "$name"-*) echo "$gate_name"; return ;; esac
        done ;;
    --one)
        [ "$selected" != "$gate_name" ] || run_gate "$@" ;;
    esac
}

run_gate() { # command
    for tool in $gate_tools; do
        command -v "$tool" >/dev/null || {
            echo "$gate_name: skipped, no $tool"
            return
        }
    done
    WORK=$BUILD/check/$gate_name
    rm -rf "$WORK"
    mkdir -p "$WORK"
    began=$(date +%s)
    (set -e; "$@") >"$WORK/log" 2>&1
    status=$?
    took=$(($(date +%s) - began))
    case $status in
    0) echo "$gate_name: passed ($took s)" ;;
    "$SKIPPED") echo "$gate_name: skipped, $(tail -n 1 "$WORK/log")" ;;
    *)
        # In one write, so that gates side by side do not mix their lines.
        printf '%s\n' "$gate_name: FAILED ($took s), $WORK/log ends:
$(tail -n 8 "$WORK/log" | sed 's/^/    /')" ;;
    esac
}

skip() { # reason
    echo "$*"
    exit $SKIPPED
}

# Compile the named test for another machine or in another way, and run it, with arguments or without.
build_and_run_with() { # arguments, run environment ('' for none), test, compiler and options
    arguments=$1
    run_env=$2
    program=$3
    shift 3
    "$@" -I. -Itests/support -o "$WORK/$program" "tests/$program.c" -lm
    $run_env "$WORK/$program" $arguments
}
build_and_run() {
    build_and_run_with '' "$@"
}

# Programs that reach all of eplb.h, one after the other, fewer problems than in make test where they have
# a number of them.
run_some_tests() { # prefix of the command, compiler and options
    prefix=$1
    shift
    for program in test_errors test_evaluate test_bound test_share test_exact test_golden test_window test_plan_hash; do
        build_and_run "$prefix" $program "$@"
    done
    for program in test_oracle test_properties test_improve test_samples test_search test_small test_transfers test_check_plan; do
        build_and_run_with "1 $SOME_PROBLEMS" "$prefix" $program "$@"
    done
    for target in api oracle share transfers; do
        "$@" -I. -Itests/support -o "$WORK/fuzz_$target" tests/fuzz/fuzz_$target.c tests/fuzz/plain.c \
            tests/fuzz/replay.c -lm
        $prefix "$WORK/fuzz_$target"
    done
}

# Succeeds when the command fails; a plain `!` would not end a gate.
refuses() {
    if "$@"; then return 1; fi
}
