/* migration.c - what it gains to plan from the plan in force.

     migration curve [--trace FILE] [--svg FILE]   balancedness over slots changed: curve.c
     migration service [--iterations N]            the score of a whole service: service.c
     migration rows [--trace FILE]                 what it costs that an engine shares by row: rows.c
   and with each [--csv FILE] [--seed N] [--quick]. What the host's part of a rebalance takes is a mode of the other
   benchmark: bench --transfers. */
#define EPLB_IMPLEMENTATION
#include "migration.h"

#include <stdlib.h>
#include <string.h>

enum { ITERATIONS = 6000, QUICK_ITERATIONS = 600 };

static void usage(void)
{
    fprintf(stderr, "usage: migration curve [--trace FILE] [--svg FILE] [--csv FILE] [--seed N] [--quick]\n"
                    "       migration service [--iterations N] [--csv FILE] [--seed N] [--quick]\n"
                    "       migration rows [--trace FILE] [--csv FILE] [--seed N] [--quick]\n");
    exit(2);
}

static FILE *open_output(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) fail(path, "cannot be written");
    return f;
}

static void close_output(FILE *f)
{
    if (f && fclose(f) != 0) fail("a file", "cannot be written");
}

static migration_settings read_arguments(int argc, char **argv)
{
    migration_settings set = {NULL, NULL, NULL, 1, ITERATIONS, 0};
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0) {
            set.quick = 1;
            set.iterations = QUICK_ITERATIONS;
            continue;
        }
        if (!*value) usage();
        if (strcmp(argv[i], "--trace") == 0) set.trace = value;
        else if (strcmp(argv[i], "--svg") == 0) set.svg = open_output(value);
        else if (strcmp(argv[i], "--csv") == 0) set.csv = open_output(value);
        else if (strcmp(argv[i], "--seed") == 0) set.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--iterations") == 0) set.iterations = atoi(value);
        else usage();
        i++;
    }
    return set;
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";
    int is_curve = strcmp(mode, "curve") == 0, is_service = strcmp(mode, "service") == 0;
    migration_settings set = read_arguments(argc, argv);
    if (!is_curve && !is_service && strcmp(mode, "rows") != 0) usage();
    if ((!is_curve && set.svg) || (is_service && (set.trace || set.iterations < 1))) usage();
    print_heading();
    if (is_curve) measure_curve(&set);
    else if (is_service) measure_service(&set);
    else measure_rows(&set);
    close_output(set.csv);
    close_output(set.svg);
    return 0;
}
