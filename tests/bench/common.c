/* common.c - see bench.h. */
#define _POSIX_C_SOURCE 200112L
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

void fail(const char *what, const char *why)
{
    fflush(stdout);
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

void *allocate(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p) fail("memory", "ran out");
    return p;
}

/* --------------------------------------------------------------------------------------- times */

double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void finish_times(bench_times *times, int reps)
{
    qsort(times->seconds, (size_t)reps, sizeof(double), compare_doubles);
    times->q1 = times->seconds[reps / 4];
    times->median = times->seconds[reps / 2];
    times->q3 = times->seconds[reps * 3 / 4];
}

/* --------------------------------------------------------------------------------------- loads */

double next_uniform(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return ((double)(z >> 11) + 1.0) * 0x1p-53;
}

double next_normal(uint64_t *state)
{
    const double two_pi = 6.283185307179586;
    double radius = sqrt(-2.0 * log(next_uniform(state)));
    return radius * cos(two_pi * next_uniform(state));
}

/* n loads for each sample. An expert's base is lognormal; with several samples the logarithm of its
   load varies about the base as an autoregressive process of order one. */
static void fill_loads(float *load, size_t n, int num_samples, double sd)
{
    const double noise_sd = 0.26, memory = 0.8; /* correlation of a sample's noise with the next one's */
    const double fresh = noise_sd * sqrt(1.0 - memory * memory);
    uint64_t base_seed = 1, noise_seed = 2;

    for (size_t i = 0; i < n; i++) {
        double base = exp(sd * next_normal(&base_seed)), noise = 0.0;
        if (num_samples > 1) noise = noise_sd * next_normal(&noise_seed);
        for (size_t t = 0; t < (size_t)num_samples; t++) {
            load[t * n + i] = (float)(base * exp(noise));
            if (t + 1 < (size_t)num_samples) noise = memory * noise + fresh * next_normal(&noise_seed);
        }
    }
}

/* ---------------------------------------------------------------------------------------- plans */

eplb_options preset_options(int32_t preset)
{
    eplb_options options;
    eplb_result r = eplb_options_preset(preset, &options);
    if (r != EPLB_OK) fail("eplb_options_preset", eplb_result_name(r));
    return options;
}

baseline_shape timed_shape(const bench_shape *shape, const bench_settings *set)
{
    baseline_shape is = shape->is;
    if (set->quick && is.num_layers > QUICK_LAYERS) is.num_layers = QUICK_LAYERS;
    return is;
}

bench_case open_case(const baseline_shape *shape, int num_samples, double sd)
{
    bench_case c = {0};
    size_t layers = (size_t)shape->num_layers, experts = (size_t)shape->num_experts;
    size_t replicas = (size_t)shape->num_replicas, width = replicas - experts + 1;

    c.shape = *shape;
    c.problem.num_layers = shape->num_layers;
    c.problem.num_experts = shape->num_experts;
    c.problem.num_replicas = shape->num_replicas;
    c.problem.num_groups = shape->num_groups;
    c.problem.num_nodes = shape->num_nodes;
    c.problem.num_gpus = shape->num_gpus;
    c.problem.num_samples = num_samples;
    c.weight = (float *)allocate((size_t)num_samples * layers * experts, sizeof(float));
    c.plan.phy2log = (int32_t *)allocate(layers * replicas, sizeof(int32_t));
    c.plan.phyrank = (int32_t *)allocate(layers * replicas, sizeof(int32_t));
    c.plan.logcnt = (int32_t *)allocate(layers * experts, sizeof(int32_t));
    c.plan.log2phy = (int32_t *)allocate(layers * experts * width, sizeof(int32_t));
    c.plan.log2phy_width = (int32_t)width;
    fill_loads(c.weight, layers * experts, num_samples, sd);
    return c;
}

void close_case(bench_case *c)
{
    free(c->scratch);
    free(c->weight);
    free(c->plan.phy2log);
    free(c->plan.phyrank);
    free(c->plan.logcnt);
    free(c->plan.log2phy);
}

void make_room(bench_case *c, const eplb_options *options)
{
    size_t bytes = 0;
    eplb_result r = eplb_scratch_size(&c->problem, options, &bytes);
    if (r != EPLB_OK) fail("eplb_scratch_size", eplb_result_name(r));
    make_room_of(c, bytes);
}

void make_room_of(bench_case *c, size_t bytes)
{
    if (bytes <= c->scratch_bytes) return;
    free(c->scratch);
    c->scratch = allocate(bytes, 1);
    c->scratch_bytes = bytes;
}

void plan_case(const bench_case *c, const char *name, const eplb_options *options, int32_t num_layers)
{
    eplb_result r =
        eplb_rebalance_layers(&c->problem, options, c->weight, &c->plan, c->scratch, c->scratch_bytes, 0, num_layers);
    if (r != EPLB_OK) fail(name, eplb_result_name(r));
}

bench_quality judge_case(const bench_case *c, const eplb_options *options)
{
    bench_quality quality = {0.0, 0.0};
    double layers = c->shape.num_layers;
    eplb_layer_report *report = (eplb_layer_report *)allocate((size_t)layers, sizeof *report);
    eplb_result r =
        eplb_evaluate(&c->problem, options, c->weight, &c->plan, report, NULL, c->scratch, c->scratch_bytes);
    if (r != EPLB_OK) fail("eplb_evaluate", eplb_result_name(r));
    for (ptrdiff_t l = 0; l < c->shape.num_layers; l++) {
        quality.balancedness += (double)report[l].balancedness / layers;
        quality.gap += ((double)report[l].max_load / (double)report[l].lower_bound - 1) / layers;
    }
    free(report);
    return quality;
}

int32_t width_needed(const bench_case *c)
{
    ptrdiff_t num_counts = (ptrdiff_t)c->shape.num_layers * c->shape.num_experts;
    int32_t width = 1;
    for (ptrdiff_t i = 0; i < num_counts; i++) width = c->plan.logcnt[i] > width ? c->plan.logcnt[i] : width;
    return width;
}
