# compile_once.sh FOLDER COMPILER ARGUMENT.. - what the compiler makes of one source, with -o among the arguments; or what
# it made of the same text before, which the folder keeps. The text is made anew each time, from whatever headers are
# found, and so are lists of these: only what would be compiled again is not. CMake has it as a launcher.
folder=$1
shift
object='' before=''
for argument in "$@"; do
    [ "$before" != -o ] || object=$argument
    before=$argument
done
[ -n "$object" ] && "$@" -E -P || exec "$@"
kept=$folder/$(sha256sum <"$object" | cut -d ' ' -f 1).o
[ -e "$kept" ] || { "$@" && cp "$object" "$kept"; } || exit
cp "$kept" "$object"
