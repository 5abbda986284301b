# coverage.awk - what part of eplb.h was reached, over the eplb.h.gcov of several programs (gcov -b -c), each
# of which has a copy of its own. A line or a branch counts once, and is reached when any program reached it.
# Prints those not reached, then the two shares; limits are given as line= and branch=, in per cent, and functions that
# do not count as left_out=.
BEGIN {
    n = split(left_out, name, /[ \n]+/)
    for (i = 1; i <= n; i++) is_left_out[name[i]] = 1
}
/^function / { skips = $2 in is_left_out }
skips { next }
/^ *[^:]*: *[0-9]+:/ {
    split($0, field, ":")
    count = field[1]
    at = field[2] + 0
    gsub(/ /, "", count)
    branch_of_line = 0
    text[at] = substr($0, length(field[1]) + length(field[2]) + 3)
    if (at > 0 && count != "-") {
        lines[at] = 1
        if (count !~ /^[#=]/) line_reached[at] = 1
    }
}
/^branch / {
    key = at " " branch_of_line++
    branches[key] = 1
    if ($3 == "taken" && $4 + 0 > 0) branch_reached[key] = 1
}
END {
    for (at in lines) {
        num_lines++
        if (at in line_reached) reached_lines++
        else print "line " at ": " text[at] | "sort -k2n"
    }
    for (key in branches) {
        num_branches++
        split(key, field, " ")
        if (key in branch_reached) reached_branches++
        else if (field[1] in line_reached)
            print "branch " field[1] " (" field[2] "): " text[field[1]] | "sort -k2n"
    }
    close("sort -k2n")
    line_share = num_lines ? 100 * reached_lines / num_lines : 0
    branch_share = num_branches ? 100 * reached_branches / num_branches : 0
    printf "eplb.h: %.2f %% of %d lines, %.2f %% of %d branches\n", line_share, num_lines, branch_share,
        num_branches
    exit !(line_share >= line && branch_share >= branch)
}
