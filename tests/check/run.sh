# run.sh [--list | --one] [NAME..] - run the gates of the test matrix: those called NAME or NAME-something,
# all of them by default, JOBS at once, a line for each:
#
#     plan-s390x: passed (21 s, 20 s of a core)
#     plan-wasm: skipped, no node
#
# At the end come their numbers, and the names of those skipped and failed. What a gate prints goes to
# BUILD/check/GATE/log. --list only names the gates; --one runs the gate of exactly that name.
#
# The gates are in the *.sh files beside this one, which gate.sh tells how to write.
cd "$(dirname "$0")/../.." || exit 2
: "${BUILD:=build}" "${JOBS:=2}"
CHECK=tests/check
export BUILD
unset MAKEFLAGS MAKELEVEL CC CFLAGS CXX CXXFLAGS RUN_ENV # a gate says itself what it builds with
export WERROR=-Werror # where that is make, warnings are errors

mode=$1
case $mode in --list | --one) shift ;; esac
selected=$*

. $CHECK/gate.sh
for family in warnings symbols freestanding oracle plan scipy sanitize analyse fuzz coverage; do
    . $CHECK/$family.sh
done
case " $selected" in *' engines'*) . $CHECK/engines.sh ;; esac # only when they are asked for: they take downloads
case $mode in --list | --one) exit 0 ;; esac

# The longest begin first, so that at the end no core waits for one that began late.
LONGEST='sanitize-gcc sanitize-programs ptx analyse-clang-tidy sanitize-clang fuzz-api sanitize-cuda coverage
    plan-levels-clang plan-levels-gcc sanitize-valgrind sanitize-memory plan-cuda-emulated analyse-gcc fuzz-cuda oracle
    tests-i386 oracle-cuda warnings-gcc'
in_order() { # the names of gates, a line each
    awk -v longest="$LONGEST" 'BEGIN { n = split(longest, name, /[ \n]+/); for (i = 1; i <= n; i++) place[name[i]] = i }
        { print ($1 in place ? place[$1] : n + NR), $1 }' | sort -n | cut -d ' ' -f 2
}

results=$BUILD/check/results
mkdir -p "$BUILD/check"
sh $CHECK/run.sh --list $selected | in_order |
    xargs -n 1 -P "$JOBS" sh $CHECK/run.sh --one | tee "$results"
count() { grep -c "^[^ ]*: $1" "$results"; }
names() { sed -n "s/^\([^ ]*\): $1.*/ \1/p" "$results" | sort | tr -d '\n'; }
failed=$(count FAILED)
skipped=$(count skipped)
passed=$(count passed)
expected=$(sh $CHECK/run.sh --list $selected | wc -l)
[ "$skipped" -eq 0 ] || echo "skipped:$(names skipped)"
[ "$failed" -eq 0 ] || echo "FAILED:$(names FAILED)"
echo "gates: $passed passed, $failed failed, $skipped skipped"
[ "$expected" -gt 0 ] && [ "$failed" -eq 0 ] && [ $((passed + skipped)) -eq "$expected" ]
