/* heading.c - what the times are of: the processor as its maker names it, the compilers and their flags. */
#define _POSIX_C_SOURCE 200809L
#include "bench.h"

#include <string.h>

enum { MAX_LINE = 1024, MAX_FIELD = 128 };

/* Where there is no /proc/cpuinfo, or no name in it. */
#define NAMED_BY_SYSCTL "sysctl -n machdep.cpu.brand_string 2>/dev/null || sysctl -n hw.model 2>/dev/null"

typedef struct bench_processor { /* "" where it is not known */
    char name[MAX_FIELD], family[MAX_FIELD], model[MAX_FIELD];
} bench_processor;

const char bench_flags[] = BENCH_FLAGS;

/* The value in a line "name : value", of the first processor that has one. */
static void take_field(char *value, const char *line, const char *name)
{
    size_t length = strlen(name);
    if (*value || strncmp(line, name, length) != 0) return;
    line += length + strspn(line + length, " \t");
    if (*line++ != ':') return; /* the name of a longer field */
    line += strspn(line, " ");
    snprintf(value, MAX_FIELD, "%.*s", (int)strcspn(line, "\n"), line);
}

static void read_cpuinfo(bench_processor *processor)
{
    char line[MAX_LINE];
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return;
    while (fgets(line, sizeof line, f)) {
        take_field(processor->name, line, "model name");
        take_field(processor->family, line, "cpu family");
        take_field(processor->model, line, "model");
    }
    fclose(f);
}

static void ask_sysctl(bench_processor *processor)
{
    FILE *f = popen(NAMED_BY_SYSCTL, "r");
    if (!f) return;
    if (fgets(processor->name, sizeof processor->name, f)) processor->name[strcspn(processor->name, "\n")] = '\0';
    pclose(f);
}

void print_heading(void)
{
    bench_processor is = {"", "", ""};
    read_cpuinfo(&is);
    if (!*is.name) ask_sysctl(&is);
    printf("processor: %s", *is.name ? is.name : "unknown");
    if (*is.family && *is.model) printf(", family %s, model %s", is.family, is.model);
    printf("\ncompiler:  %s %s; of the baseline: %s\n\n", COMPILER, bench_flags, baseline_compiler);
}

void print_shape(const bench_shape *shape, const baseline_shape *is, int num_samples, double sd)
{
    printf("%s: %d layers, %d experts, %d slots, %d groups, %d nodes, %d GPUs, T = %d, sd %g\n", shape->name,
           (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups, (int)is->num_nodes,
           (int)is->num_gpus, num_samples, sd);
}
