# test_python.sh - what libeplb.so exports, and examples/python/, where there is NumPy and the library is one that
# Python can load: not another machine's, nor a sanitizer's.
. tests/check/check.sh

sed -n 's/^EPLB_API .*[ *]\(eplb_[a-z_0-9]*\)(.*/\1/p' eplb.h | sort -u >"$TMP/public"
nm -D --defined-only "$BUILD/libeplb.so" | awk '$3 !~ /^_/ { print $3 }' | sort -u >"$TMP/exported"
check 'the header declares functions' test -s "$TMP/public"
check 'libeplb.so exports the public functions and nothing else' diff "$TMP/public" "$TMP/exported"

python=${PYTHON:-python3}
case "$RUN_ENV $CFLAGS" in
*sanitize*) why='a sanitizer is in the library' ;;
[!\ ]*) why='the library is for another machine' ;;
*) "$python" -c 'import numpy' 2>"$TMP/nothing" || why="$python has no NumPy" ;;
esac
if [ -n "$why" ]; then
    echo "test_python.py, test_engines.py: skipped, $why"
else
    {
        echo '#include "eplb.h"'
        echo '#include <stdio.h>'
        echo 'int main(void) {'
        sed -n 's/^} eplb_\([a-z_]*\);.*/    printf("%s=%d\\n", "\1", (int)sizeof(eplb_\1));/p' eplb.h | grep -v eplb_p_
        echo '}'
    } >"$TMP/sizes.c"
    "${CC:-cc}" -I. -o "$TMP/sizes" "$TMP/sizes.c" && sizes=$("$TMP/sizes" | tr '\n' ' ')
    EPLB_SIZES=$sizes EPLB_LIBRARY=$(realpath "$BUILD/libeplb.so")
    export EPLB_SIZES EPLB_LIBRARY
    for script in test_python test_engines; do
        "$python" tests/$script.py >"$TMP/$script.out" 2>&1
        cat "$TMP/$script.out"
        line=$(tail -n 1 "$TMP/$script.out" | grep "^$script.py: [0-9]* passed, [0-9]* failed\$")
        check "$script.py ends with a summary" test -n "$line"
        set -- $(echo "$line" | sed 's/.*: \([0-9]*\) passed, \([0-9]*\) failed/\1 \2/')
        passed=$((passed + ${1:-0}))
        failed=$((failed + ${2:-0}))
    done
fi
report test_python
