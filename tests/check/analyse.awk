# analyse.awk - one part of a C file, as .clang-format lays it out: the functions of part= and declarations of the others,
# each line where it was. A section begins a part, and so does every function behind most= others. Without part= it
# prints how many parts there are. What stands on one line is in all of them.
NR == 1 && part { print "#line 1 \"" FILENAME "\"" }
/^\/\* -----/ { begins = 1 }
/^[A-Za-z_].*\(/ && !/=/ { is_head = 1 }
/[;}]( *\/\*.*)?$/ { is_head = 0 }
is_head && /^\{/ {
    is_head = 0
    if (begins || parts == 0 || functions == most) {
        parts++
        functions = begins = 0
    }
    functions++
    left_out = parts != part
    if (left_out) {
        if (part) print ";"
        next
    }
}
part { print left_out ? "" : $0 }
/^\}/ { left_out = 0 }
END { if (!part) print parts + 0 }
