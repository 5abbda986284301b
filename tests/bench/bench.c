/* bench.c - times every preset and the straightforward planner of baseline.cpp, and says how even
   their plans are.

     bench [--quick] [--shape NAME] [--csv FILE] [--reps N] [--limit SECONDS]

   For each shape all planners plan the same loads (lognormal, sd 1), one thread, in turn within each
   repetition, so that a slow spell of the machine hits them all. Printed for each planner:
     time      microseconds per layer: median, and the quartiles as the spread
     balance   mean / maximum GPU load, mean over the layers
     gap       maximum GPU load / lower bound - 1, mean over the layers
     vs base   median time / median time of the baseline
   All of them write all four arrays of a plan; log2phy is as wide as the widest of these plans needs.
   A planner that would need more than the limit for one repetition is skipped, and that is said. */
#define _POSIX_C_SOURCE 200112L
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "baseline.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BASELINE     = EPLB_NUM_PRESETS, /* planners below it are presets */
    NUM_PLANNERS = EPLB_NUM_PRESETS + 1,
    MAX_REPS     = 1001,
    QUICK_REPS   = 3,
    QUICK_LAYERS = 2,
    QUICK_EXPERTS = 256 /* a quick run leaves larger shapes out */
};

#define QUICK_LIMIT 0.05 /* seconds for one repetition of one planner */

typedef struct bench_shape {
    const char    *name; /* _g: global policy, _h: hierarchical */
    baseline_shape is;
} bench_shape;

static const bench_shape shapes[] = {
    {"64x72x8_g", {16, 64, 72, 1, 1, 8}},
    {"64x72x8_h", {16, 64, 72, 8, 2, 8}},
    {"128x144x16_g", {48, 128, 144, 1, 1, 16}},
    {"128x144x16_h", {48, 128, 144, 8, 4, 16}},
    {"256x288x32_g", {58, 256, 288, 1, 1, 32}},
    {"256x288x32_h", {58, 256, 288, 8, 4, 32}},
    {"256x320x64_g", {58, 256, 320, 1, 1, 64}},
    {"256x320x64_h", {58, 256, 320, 8, 8, 64}},
    {"512x640x128_g", {16, 512, 640, 1, 1, 128}},
    {"512x640x128_h", {16, 512, 640, 16, 16, 128}},
    {"1024x2048x512_g", {4, 1024, 2048, 1, 1, 512}},
    {"1024x2048x512_h", {4, 1024, 2048, 64, 64, 512}},
};

typedef struct bench_settings {
    const char *only_shape; /* NULL = all */
    FILE       *csv;        /* NULL = none */
    double      limit;      /* seconds for one repetition of one planner */
    int         reps;
    int         quick;
} bench_settings;

typedef struct bench_run { /* everything for one shape */
    baseline_shape     shape;
    eplb_problem       problem;
    float             *weight;
    eplb_plan          plan;
    void              *scratch;
    size_t             scratch_bytes;
    eplb_layer_report *report;
    int                skipped[NUM_PLANNERS];
    double             balancedness[NUM_PLANNERS];
    double             gap[NUM_PLANNERS];
    double             seconds[NUM_PLANNERS][MAX_REPS]; /* of one repetition, sorted in the end */
} bench_run;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p)
        fail("memory", "ran out");
    return p;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --------------------------------------------------------------------------------------- loads */

/* splitmix64 (Steele, Lea, Flood 2014), in (0, 1]. */
static double next_uniform(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return ((double)(z >> 11) + 1.0) * 0x1p-53;
}

/* Lognormal with sd 1 of the logarithm; normal numbers by Box and Muller 1958. */
static void fill_lognormal(float *load, size_t n, uint64_t seed)
{
    const double two_pi = 6.283185307179586;
    for (size_t i = 0; i < n; i++) {
        double radius = sqrt(-2.0 * log(next_uniform(&seed)));
        load[i] = (float)exp(radius * cos(two_pi * next_uniform(&seed)));
    }
}

/* ------------------------------------------------------------------------------------ planners */

static const char *planner_name(int planner)
{
    return planner == BASELINE ? "baseline" : eplb_preset_name(planner);
}

static eplb_options planner_options(const bench_run *run, int planner)
{
    eplb_options options = EPLB_ZERO_INIT;
    if (planner != BASELINE && eplb_options_preset(planner, &options) != EPLB_OK)
        fail(planner_name(planner), "no such preset");
    options.policy = run->shape.num_nodes > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    return options;
}

/* Plans the first num_layers layers. */
static void plan_layers(const bench_run *run, int planner, int32_t num_layers)
{
    if (planner == BASELINE) {
        baseline_shape  shape = run->shape;
        baseline_arrays out = {run->plan.phy2log, run->plan.phyrank, run->plan.logcnt, run->plan.log2phy,
                               run->plan.log2phy_width};
        shape.num_layers = num_layers;
        if (baseline_plan(&shape, run->weight, &out) != 0)
            fail("baseline", "ran out of memory");
    } else {
        eplb_options options = planner_options(run, planner);
        eplb_result  r = eplb_rebalance_layers(&run->problem, &options, run->weight, &run->plan,
                                               run->scratch, run->scratch_bytes, 0, num_layers);
        if (r != EPLB_OK)
            fail(planner_name(planner), eplb_result_name(r));
    }
}

static double time_layers(const bench_run *run, int planner, int32_t num_layers)
{
    double start = now();
    plan_layers(run, planner, num_layers);
    return now() - start;
}

/* NULL when the plan of layer l is valid, else what is wrong with it. */
static const char *layer_fault(const bench_run *run, ptrdiff_t l)
{
    const baseline_shape *is = &run->shape;
    ptrdiff_t      experts = is->num_experts, width = run->plan.log2phy_width;
    const int32_t *phy2log = run->plan.phy2log + l * is->num_replicas;
    const int32_t *phyrank = run->plan.phyrank + l * is->num_replicas;
    const int32_t *logcnt  = run->plan.logcnt + l * experts;
    const int32_t *log2phy = run->plan.log2phy + l * experts * width;
    int32_t        group_size = is->num_experts / is->num_groups, total = 0;
    int32_t        slots_per_node = is->num_replicas / is->num_nodes;

    for (ptrdiff_t e = 0; e < experts; e++) {
        if (logcnt[e] < 1 || logcnt[e] > width)
            return "an expert has no slot";
        total += logcnt[e];
        for (ptrdiff_t i = logcnt[e]; i < width; i++) {
            if (log2phy[e * width + i] != -1)
                return "log2phy is not padded";
        }
    }
    if (total != is->num_replicas)
        return "the counts do not add up";
    for (int32_t s = 0; s < is->num_replicas; s++) {
        int32_t e = phy2log[s];
        if (e < 0 || e >= is->num_experts)
            return "a slot holds no expert";
        if (phyrank[s] < 0 || phyrank[s] >= logcnt[e] || log2phy[e * width + phyrank[s]] != s)
            return "log2phy is not the inverse of phy2log";
        int32_t first = e / group_size * group_size; /* its first slot tells the group's node */
        if (log2phy[first * width] / slots_per_node != s / slots_per_node)
            return "a group is on two nodes";
    }
    return NULL;
}

/* Plans once, unmeasured: the plan is checked and its quality kept. */
static void judge(bench_run *run, int planner)
{
    eplb_options options = planner_options(run, planner);
    plan_layers(run, planner, run->shape.num_layers);
    for (ptrdiff_t l = 0; l < run->shape.num_layers; l++) {
        const char *fault = layer_fault(run, l);
        if (fault)
            fail(planner_name(planner), fault);
    }
    eplb_result r = eplb_evaluate(&run->problem, &options, run->weight, &run->plan, run->report, NULL,
                                  run->scratch, run->scratch_bytes);
    if (r != EPLB_OK)
        fail("eplb_evaluate", eplb_result_name(r));
    for (ptrdiff_t l = 0; l < run->shape.num_layers; l++) {
        const eplb_layer_report *report = &run->report[l];
        double                   layers = run->shape.num_layers;
        run->balancedness[planner] += (double)report->balancedness / layers;
        run->gap[planner] += ((double)report->max_load / (double)report->lower_bound - 1) / layers;
    }
}

/* ------------------------------------------------------------------------------------- running */

static void prepare(bench_run *run, const baseline_shape *shape)
{
    memset(run, 0, sizeof *run);
    run->shape = *shape;
    run->problem.num_layers   = shape->num_layers;
    run->problem.num_experts  = shape->num_experts;
    run->problem.num_replicas = shape->num_replicas;
    run->problem.num_groups   = shape->num_groups;
    run->problem.num_nodes    = shape->num_nodes;
    run->problem.num_gpus     = shape->num_gpus;
    for (int p = 0; p < EPLB_NUM_PRESETS; p++) {
        eplb_options options = planner_options(run, p);
        size_t       bytes = 0;
        eplb_result  r = eplb_scratch_size(&run->problem, &options, &bytes);
        if (r != EPLB_OK)
            fail("eplb_scratch_size", eplb_result_name(r));
        if (bytes > run->scratch_bytes)
            run->scratch_bytes = bytes;
    }
    size_t layers = (size_t)shape->num_layers, experts = (size_t)shape->num_experts;
    size_t replicas = (size_t)shape->num_replicas, width = replicas - experts + 1;
    run->scratch      = allocate(run->scratch_bytes, 1);
    run->weight       = (float *)allocate(layers * experts, sizeof(float));
    run->report       = (eplb_layer_report *)allocate(layers, sizeof(eplb_layer_report));
    run->plan.phy2log = (int32_t *)allocate(layers * replicas, sizeof(int32_t));
    run->plan.phyrank = (int32_t *)allocate(layers * replicas, sizeof(int32_t));
    run->plan.logcnt  = (int32_t *)allocate(layers * experts, sizeof(int32_t));
    run->plan.log2phy = (int32_t *)allocate(layers * experts * width, sizeof(int32_t));
    run->plan.log2phy_width = (int32_t)width;
    fill_lognormal(run->weight, layers * experts, 1);
}

static void release(bench_run *run)
{
    free(run->scratch);
    free(run->weight);
    free(run->report);
    free(run->plan.phy2log);
    free(run->plan.phyrank);
    free(run->plan.logcnt);
    free(run->plan.log2phy);
}

/* Skips what is too slow, by the time of one layer; returns the width that the others' plans need. */
static int32_t probe(bench_run *run, double limit)
{
    int32_t width = 1;
    for (int p = 0; p < NUM_PLANNERS; p++) {
        double estimate = time_layers(run, p, 1) * run->shape.num_layers;
        run->skipped[p] = estimate > limit && p != BASELINE;
        if (run->skipped[p]) {
            printf("%-13s skipped: about %.3g s for one repetition\n", planner_name(p), estimate);
            continue;
        }
        plan_layers(run, p, run->shape.num_layers);
        for (ptrdiff_t i = 0; i < (ptrdiff_t)run->shape.num_layers * run->shape.num_experts; i++)
            width = run->plan.logcnt[i] > width ? run->plan.logcnt[i] : width;
    }
    return width;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_results(const bench_run *run, const bench_shape *shape, const bench_settings *set)
{
    const baseline_shape *is = &run->shape;
    double base = run->seconds[BASELINE][set->reps / 2];
    printf("%-13s %10s %10s %10s %9s %8s %9s\n", "planner", "us/layer", "quartile 1", "quartile 3",
           "balance", "gap", "vs base");
    for (int p = 0; p < NUM_PLANNERS; p++) {
        if (run->skipped[p])
            continue;
        const double *sorted = run->seconds[p];
        double us = 1e6 / is->num_layers;
        double median = sorted[set->reps / 2], q1 = sorted[set->reps / 4], q3 = sorted[set->reps * 3 / 4];
        printf("%-13s %10.2f %10.2f %10.2f %9.4f %7.3f%% %9.3f\n", planner_name(p), median * us, q1 * us,
               q3 * us, run->balancedness[p], run->gap[p] * 100, median / base);
        if (set->csv) {
            fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%s,%d,%.3f,%.3f,%.3f,%.6f,%.6f,%.4f\n", shape->name,
                    (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups,
                    (int)is->num_nodes, (int)is->num_gpus, planner_name(p), set->reps, median * us, q1 * us,
                    q3 * us, run->balancedness[p], run->gap[p], median / base);
        }
    }
    printf("\n");
}

static void bench_one(const bench_shape *shape, const bench_settings *set)
{
    baseline_shape is = shape->is;
    if (set->quick && is.num_layers > QUICK_LAYERS)
        is.num_layers = QUICK_LAYERS;
    printf("%s: %d layers, %d experts, %d slots, %d groups, %d nodes, %d GPUs\n", shape->name,
           (int)is.num_layers, (int)is.num_experts, (int)is.num_replicas, (int)is.num_groups,
           (int)is.num_nodes, (int)is.num_gpus);

    bench_run *run = (bench_run *)allocate(1, sizeof *run);
    prepare(run, &is);
    run->plan.log2phy_width = probe(run, set->limit);
    for (int p = 0; p < NUM_PLANNERS; p++) {
        if (!run->skipped[p])
            judge(run, p);
    }
    for (int rep = 0; rep < set->reps; rep++) {
        for (int i = 0; i < NUM_PLANNERS; i++) {
            int p = (i + rep) % NUM_PLANNERS; /* nobody always follows the same one */
            if (!run->skipped[p])
                run->seconds[p][rep] = time_layers(run, p, is.num_layers);
        }
    }
    for (int p = 0; p < NUM_PLANNERS; p++)
        qsort(run->seconds[p], (size_t)set->reps, sizeof(double), compare_doubles);
    print_results(run, shape, set);
    release(run);
    free(run);
}

static void usage(void)
{
    fprintf(stderr, "usage: bench [--quick] [--shape NAME] [--csv FILE] [--reps N] [--limit SECONDS]\n"
                    "shapes:");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        fprintf(stderr, " %s", shapes[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static bench_settings read_arguments(int argc, char **argv)
{
    bench_settings set = {NULL, NULL, 2.0, 11, 0};
    const char    *csv_path = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--quick") == 0) {
            set.quick = 1;
            set.reps  = QUICK_REPS;
            set.limit = QUICK_LIMIT;
            continue;
        } else if (strcmp(argv[i], "--shape") == 0) {
            set.only_shape = value;
        } else if (strcmp(argv[i], "--csv") == 0) {
            csv_path = value;
        } else if (strcmp(argv[i], "--reps") == 0) {
            set.reps = atoi(value);
        } else if (strcmp(argv[i], "--limit") == 0) {
            set.limit = atof(value);
        } else {
            usage();
        }
        i++;
    }
    if (set.reps < 1 || set.reps > MAX_REPS || !(set.limit > 0))
        usage();
    if (csv_path) {
        set.csv = fopen(csv_path, "w");
        if (!set.csv)
            fail(csv_path, "cannot be written");
        fprintf(set.csv, "shape,layers,experts,replicas,groups,nodes,gpus,planner,repetitions,us_per_layer,"
                         "us_per_layer_q1,us_per_layer_q3,balancedness,gap,time_vs_baseline\n");
    }
    return set;
}

int main(int argc, char **argv)
{
    bench_settings set = read_arguments(argc, argv);
    int            matched = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int wanted = set.only_shape ? strcmp(set.only_shape, shapes[i].name) == 0
                                    : !set.quick || shapes[i].is.num_experts <= QUICK_EXPERTS;
        if (wanted) {
            matched = 1;
            bench_one(&shapes[i], &set);
        }
    }
    if (set.csv && fclose(set.csv) != 0)
        fail("the CSV file", "cannot be written");
    if (!matched)
        usage();
    return 0;
}
