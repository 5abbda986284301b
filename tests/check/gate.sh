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
    times >"$WORK/times"
    took="$(($(date +%s) - began)) s, $(cpu_seconds) s of a core"
    case $status in
    0) echo "$gate_name: passed ($took)" ;;
    "$SKIPPED") echo "$gate_name: skipped, $(tail -n 1 "$WORK/log")" ;;
    *)
        # In one write, so that gates side by side do not mix their lines.
        printf '%s\n' "$gate_name: FAILED ($took), $WORK/log ends:
$(tail -n 8 "$WORK/log" | sed 's/^/    /')" ;;
    esac
}

# What the gate's commands took, user and system: the second line of times.
cpu_seconds() {
    awk 'NR == 2 { split($1 " " $2, part, /[ms ]+/); printf "%.0f", 60 * (part[1] + part[3]) + part[2] + part[4] }' "$WORK/times"
}

skip() { # reason
    echo "$*"
    exit $SKIPPED
}

# Compile the named test for another machine or in another way, with the library in it, and run it.
build_and_run() { # run environment ('' for none), test, compiler and options
    run_env=$1
    source=tests/$2.c
    program=$WORK/$(basename "$2")
    shift 2
    "$@" -DEPLB_IMPLEMENTATION= -I. -Itests/support -o "$program" "$source" -lm
    $run_env "$program"
}

LIBRARIES=-lm # what programs are linked with besides

# The library, compiled once for all programs that know its public interface only.
build_library() { # compiler and options
    "$@" -I. -DEPLB_IMPLEMENTATION= -c -o "$WORK/eplb.o" -x c "$PWD/eplb.h" # in full, for gcov
}

# Whether a test looks inside, and so has the library in it.
is_insider() { # test
    grep -q '^#define EPLB_IMPLEMENTATION' "tests/$1.c"
}

link_test() { # test, compiler and options
    program=$1
    library=$WORK/eplb.o
    shift
    if is_insider "$program"; then library=''; fi
    "$@" -I. -Itests/support -o "$WORK/$program" "tests/$program.c" $library $LIBRARIES
}

build_fuzz_objects() { # compiler and options
    for name in plain replay; do
        "$@" -I. -Itests/support -c -o "$WORK/$name.o" tests/fuzz/$name.c
    done
}

link_fuzz() { # target, compiler and options
    program=fuzz_$1
    shift
    "$@" -I. -Itests/support -o "$WORK/$program" "tests/fuzz/$program.c" "$WORK/plain.o" "$WORK/replay.o" "$WORK/eplb.o" $LIBRARIES
}

# Programs that reach all of eplb.h, one after the other, fewer problems than in make test where they have
# a number of them.
run_some_tests() { # prefix of the command, compiler and options
    prefix=$1
    shift
    build_library "$@"
    for program in test_errors test_bound test_share test_exact test_golden test_window test_plan_hash; do
        link_test $program "$@"
        $prefix "$WORK/$program"
    done
    for program in test_evaluate test_oracle test_properties test_improve test_samples test_search test_small \
        test_transfers test_check_plan test_follow test_switch; do
        link_test $program "$@"
        $prefix "$WORK/$program" 1 $SOME_PROBLEMS
    done
    build_fuzz_objects "$@"
    for target in api oracle share transfers follow; do
        link_fuzz $target "$@"
        $prefix "$WORK/fuzz_$target"
    done
}

# Succeeds when the command fails; a plain `!` would not end a gate.
refuses() {
    if "$@"; then return 1; fi
}
