# symbols.sh - what object files define and need, by nm.
symbols() { BUILD=$WORK CC=$1 sh tests/test_symbols.sh "$WORK"; }
gate symbols-gcc   'gcc nm'   symbols gcc
gate symbols-clang 'clang nm' symbols clang
gate symbols-musl 'musl-gcc nm' symbols musl-gcc
