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

# What make test builds, in the build folder, where it is as a rule: one gate at a time makes what is missing.
of_make_test() { # names of programs and objects
    exec 9>"$BUILD/check/lock"
    flock 9
    make -s "BUILD=$BUILD" $(printf "$BUILD/tests/%s " "$@")
    exec 9>&-
}

# The library, as a program includes it.
build_library() { # compiler and options
    "$@" -I. -DEPLB_IMPLEMENTATION= -c -o "$WORK/eplb.o" -x c eplb.h
}

# Test programs and targets of the fuzzers are compiled once, and then linked with the library as each set of options
# makes it: the library takes longest by far. It comes with the tests that look inside it, of which only the mains
# are left to be made. The plain copy that targets compare with need not be fast.
FUZZ_TARGETS='fuzz_api fuzz_oracle fuzz_share fuzz_transfers fuzz_follow'

is_inside() { # test
    grep -q "define main $1_main" tests/check/insiders.c
}

build_program() { # name, compiler and options
    name=$1
    shift
    source=tests/$name.c
    case $name in fuzz_*) source=tests/fuzz/$name.c ;; esac
    if is_inside "$name"; then
        source=$WORK/$name.main.c
        printf 'int %s(int argc, char **argv);\nint main(int argc, char **argv) { return %s(argc, argv); }\n' \
            "${name}_main" "${name}_main" >"$source"
    fi
    "$@" -I. -Itests/support -c -o "$WORK/$name.o" "$source"
}

build_programs() { # names, compiler and options
    names=$1
    shift
    for program in $names; do
        build_program "$program" "$@"
    done
    case $names in *fuzz_*)
        "$@" -I. -Itests/support -c -o "$WORK/replay.o" tests/fuzz/replay.c
        "$@" -O0 -I. -Itests/support -c -o "$WORK/plain.o" tests/fuzz/plain.c ;;
    esac
}

build_inside() { # compiler and options
    "$@" "-I$PWD" -Itests/support -c -o "$WORK/inside.o" tests/check/insiders.c # in full, for gcov
}

link_program() { # name, compiler and options
    name=$1
    shift
    more=''
    case $name in fuzz_*) more="$WORK/replay.o $WORK/plain.o" ;; esac
    "$@" -o "$WORK/$name" "$WORK/$name.o" $more "$WORK/inside.o" $LIBRARIES
}
LIBRARIES=-lm # what programs are linked with besides

# Programs that reach all of eplb.h, and those that reach what vector instructions are for, which is a few loops
# in planning and evaluating: each of the latter reaches all that there is only without them.
TRYING_TESTS='test_bound test_exact test_golden test_share' # they try all plans of a layer, or many, by themselves
OTHER_TESTS='test_errors test_window test_plan_hash test_evaluate test_oracle test_properties test_improve test_samples
    test_search test_small test_transfers test_check_plan test_follow test_switch test_cluster test_share_cluster
    test_bound_cluster test_homes test_vllm'
SOME_TESTS="$TRYING_TESTS $OTHER_TESTS"
VECTOR_TESTS='test_cluster test_golden test_window test_plan_hash test_oracle test_properties test_improve test_samples test_search'

# Fewer problems than in make test where they have a number of them.
arguments_of() { # program
    case $1 in
    test_errors | test_bound | test_exact | test_golden | test_golden_steps | test_window | fuzz_*) ;;
    test_plan_hash) echo few ;;
    test_share | test_share_cluster) echo "$SOME_PROBLEMS" ;;
    *) echo "1 $SOME_PROBLEMS" ;;
    esac
}

# After build_programs, one after the other with the library that compiler and options make.
run_programs() { # names, compiler and options
    names=$1
    shift
    build_inside "$@"
    for program in $names; do
        link_program "$program" "$@"
        "$WORK/$program" $(arguments_of "$program")
    done
}

# Succeeds when the command fails; a plain `!` would not end a gate.
refuses() {
    if "$@"; then return 1; fi
}
