/* bench.c - times every preset and the straightforward planner of baseline.cpp, and says how even
   their plans are; or the same over effort, with a chart.

     bench [--quick] [--shape NAME] [--csv FILE] [--reps N] [--limit SECONDS] [--samples T]
     bench --effort FILE.svg [--quick] [--shape NAME] [--csv FILE] [--reps N] [--limit SECONDS]

   For each shape all planners plan the same loads, one thread, in turn within each repetition, so
   that a slow spell of the machine hits them all. Loads are lognormal, sd 1 (over effort 1.5 too),
   and with T > 1 samples each expert's varies about that over time, lognormally too, with sd 0.26 and
   correlation 0.8 from one sample to the next: with less of it, planning for samples takes longer.
   Printed for each planner:
     time      microseconds per layer: median, and the quartiles as the spread
     balance   mean / maximum GPU load, mean over the layers, as eplb_evaluate reports it
     gap       maximum GPU load / lower bound - 1, mean over the layers, likewise
     vs base   median time / median time of the baseline
   All of them write all four arrays of a plan; log2phy is as wide as the widest of these plans needs.
   The baseline knows no samples: it plans on their mean, which it is given, free of charge.
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
    MAX_REPS      = 1001,
    MAX_SAMPLES   = 1024,
    MAX_PLANNERS  = 16,
    QUICK_REPS    = 3,
    QUICK_LAYERS  = 2,
    QUICK_EXPERTS = 256 /* a quick run leaves larger shapes out */
};

#define QUICK_LIMIT 0.05 /* seconds for one repetition of one planner */

typedef struct bench_shape {
    const char    *name; /* _g: global policy, _h: hierarchical */
    baseline_shape is;
    int            charted; /* over effort */
} bench_shape;

static const bench_shape shapes[] = {
    {"64x72x8_g", {16, 64, 72, 1, 1, 8}, 0},
    {"64x72x8_h", {16, 64, 72, 8, 2, 8}, 0},
    {"128x144x16_g", {48, 128, 144, 1, 1, 16}, 0},
    {"128x144x16_h", {48, 128, 144, 8, 4, 16}, 0},
    {"256x288x32_g", {58, 256, 288, 1, 1, 32}, 1},
    {"256x288x32_h", {58, 256, 288, 8, 4, 32}, 1},
    {"256x320x64_g", {58, 256, 320, 1, 1, 64}, 0},
    {"256x320x64_h", {58, 256, 320, 8, 8, 64}, 1},
    {"512x640x128_g", {16, 512, 640, 1, 1, 128}, 0},
    {"512x640x128_h", {16, 512, 640, 16, 16, 128}, 0},
    {"1024x2048x512_g", {4, 1024, 2048, 1, 1, 512}, 0},
    {"1024x2048x512_h", {4, 1024, 2048, 64, 64, 512}, 0},
};

static const int efforts[] = {0, 1, 2, 3, 5, 9, 17, 33, 65, 129, 257};
enum { NUM_EFFORTS = sizeof efforts / sizeof *efforts };

static const double charted_sds[] = {1.0, 1.5};
enum { NUM_CHARTED_SDS = sizeof charted_sds / sizeof *charted_sds };

typedef struct bench_planner {
    char         name[16];
    int          is_baseline;
    eplb_options options; /* but for the policy, which is the shape's */
} bench_planner;

typedef struct bench_curve { /* over effort; 0 where the effort was skipped */
    const bench_shape *shape;
    double             sd;
    double             gap[NUM_EFFORTS];
    double             time[NUM_EFFORTS]; /* over the baseline's */
} bench_curve;

typedef struct bench_settings {
    const char *only_shape; /* NULL = all */
    FILE       *csv;        /* NULL = none */
    FILE       *chart;      /* over effort; NULL = no chart, and presets instead of efforts */
    double      limit;      /* seconds for one repetition of one planner */
    int         samples;
    int         reps;
    int         quick;
} bench_settings;

typedef struct bench_run { /* everything for one shape */
    baseline_shape     shape;
    eplb_problem       problem;
    double             sd;       /* of the loads */
    float             *weight;   /* [T, L, E] */
    float             *mean;     /* [L, E] over the samples; the baseline plans on it */
    eplb_plan          plan;
    void              *scratch;
    size_t             scratch_bytes;
    eplb_layer_report *report;
    bench_planner      planner[MAX_PLANNERS];
    int                num_planners; /* the last one is the baseline */
    int                skipped[MAX_PLANNERS];
    double             balancedness[MAX_PLANNERS];
    double             gap[MAX_PLANNERS];
    double             seconds[MAX_PLANNERS][MAX_REPS]; /* of one repetition, sorted in the end */
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

/* Seconds of this thread's own, so that nothing is charged for what else the machine is doing. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
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

/* Standard normal, by Box and Muller 1958. */
static double next_normal(uint64_t *state)
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
    uint64_t     base_seed = 1, noise_seed = 2;

    for (size_t i = 0; i < n; i++) {
        double base = exp(sd * next_normal(&base_seed)), noise = 0.0;
        if (num_samples > 1)
            noise = noise_sd * next_normal(&noise_seed);
        for (size_t t = 0; t < (size_t)num_samples; t++) {
            load[t * n + i] = (float)(base * exp(noise));
            if (t + 1 < (size_t)num_samples)
                noise = memory * noise + fresh * next_normal(&noise_seed);
        }
    }
}

static void fill_mean(float *mean, const float *load, size_t n, int num_samples)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t t = 0; t < (size_t)num_samples; t++)
            sum += (double)load[t * n + i];
        mean[i] = (float)(sum / num_samples);
    }
}

/* ------------------------------------------------------------------------------------ planners */

static bench_planner *add_planner(bench_run *run)
{
    if (run->num_planners == MAX_PLANNERS)
        fail("planners", "too many");
    return &run->planner[run->num_planners++];
}

static eplb_options preset_options(int32_t preset)
{
    eplb_options options;
    eplb_result  r = eplb_options_preset(preset, &options);
    if (r != EPLB_OK)
        fail("eplb_options_preset", eplb_result_name(r));
    return options;
}

static void add_presets(bench_run *run)
{
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        bench_planner *planner = add_planner(run);
        snprintf(planner->name, sizeof planner->name, "%s", eplb_preset_name(preset));
        planner->options = preset_options(preset);
    }
}

static void add_efforts(bench_run *run)
{
    for (int i = 0; i < NUM_EFFORTS; i++) {
        bench_planner *planner = add_planner(run);
        snprintf(planner->name, sizeof planner->name, "effort %d", efforts[i]);
        planner->options        = preset_options(EPLB_PRESET_DEFAULT);
        planner->options.effort = efforts[i];
    }
}

static void add_baseline(bench_run *run)
{
    bench_planner *planner = add_planner(run);
    snprintf(planner->name, sizeof planner->name, "baseline");
    planner->is_baseline = 1;
}

/* Plans the first num_layers layers. */
static void plan_layers(const bench_run *run, const bench_planner *planner, int32_t num_layers)
{
    if (planner->is_baseline) {
        baseline_shape  shape = run->shape;
        baseline_arrays out = {run->plan.phy2log, run->plan.phyrank, run->plan.logcnt, run->plan.log2phy,
                               run->plan.log2phy_width};
        shape.num_layers = num_layers;
        if (baseline_plan(&shape, run->mean, &out) != 0)
            fail(planner->name, "ran out of memory");
    } else {
        eplb_result r = eplb_rebalance_layers(&run->problem, &planner->options, run->weight, &run->plan,
                                              run->scratch, run->scratch_bytes, 0, num_layers);
        if (r != EPLB_OK)
            fail(planner->name, eplb_result_name(r));
    }
}

static double time_layers(const bench_run *run, const bench_planner *planner, int32_t num_layers)
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
static void judge(bench_run *run, int p)
{
    const bench_planner *planner = &run->planner[p];
    plan_layers(run, planner, run->shape.num_layers);
    for (ptrdiff_t l = 0; l < run->shape.num_layers; l++) {
        const char *fault = layer_fault(run, l);
        if (fault)
            fail(planner->name, fault);
    }
    eplb_result r = eplb_evaluate(&run->problem, &planner->options, run->weight, &run->plan, run->report,
                                  NULL, run->scratch, run->scratch_bytes);
    if (r != EPLB_OK)
        fail("eplb_evaluate", eplb_result_name(r));
    for (ptrdiff_t l = 0; l < run->shape.num_layers; l++) {
        const eplb_layer_report *report = &run->report[l];
        double                   layers = run->shape.num_layers;
        run->balancedness[p] += (double)report->balancedness / layers;
        run->gap[p] += ((double)report->max_load / (double)report->lower_bound - 1) / layers;
    }
}

/* ------------------------------------------------------------------------------------- running */

/* The planners have been added to a run that is zero otherwise. */
static void prepare(bench_run *run, const baseline_shape *shape, int num_samples, double sd)
{
    run->shape = *shape;
    run->sd    = sd;
    run->problem.num_layers   = shape->num_layers;
    run->problem.num_experts  = shape->num_experts;
    run->problem.num_replicas = shape->num_replicas;
    run->problem.num_groups   = shape->num_groups;
    run->problem.num_nodes    = shape->num_nodes;
    run->problem.num_gpus     = shape->num_gpus;
    run->problem.num_samples  = num_samples;
    for (int p = 0; p < run->num_planners; p++) {
        eplb_options *options = &run->planner[p].options;
        size_t        bytes = 0;
        options->policy = shape->num_nodes > 1 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
        eplb_result r = eplb_scratch_size(&run->problem, options, &bytes);
        if (r != EPLB_OK)
            fail("eplb_scratch_size", eplb_result_name(r));
        if (bytes > run->scratch_bytes)
            run->scratch_bytes = bytes;
    }
    size_t layers = (size_t)shape->num_layers, experts = (size_t)shape->num_experts;
    size_t replicas = (size_t)shape->num_replicas, width = replicas - experts + 1;
    run->scratch      = allocate(run->scratch_bytes, 1);
    run->weight       = (float *)allocate((size_t)num_samples * layers * experts, sizeof(float));
    run->mean         = (float *)allocate(layers * experts, sizeof(float));
    run->report       = (eplb_layer_report *)allocate(layers, sizeof(eplb_layer_report));
    run->plan.phy2log = (int32_t *)allocate(layers * replicas, sizeof(int32_t));
    run->plan.phyrank = (int32_t *)allocate(layers * replicas, sizeof(int32_t));
    run->plan.logcnt  = (int32_t *)allocate(layers * experts, sizeof(int32_t));
    run->plan.log2phy = (int32_t *)allocate(layers * experts * width, sizeof(int32_t));
    run->plan.log2phy_width = (int32_t)width;
    fill_loads(run->weight, layers * experts, num_samples, sd);
    fill_mean(run->mean, run->weight, layers * experts, num_samples);
}

static void release(bench_run *run)
{
    free(run->scratch);
    free(run->weight);
    free(run->mean);
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
    for (int p = 0; p < run->num_planners; p++) {
        const bench_planner *planner = &run->planner[p];
        double estimate = time_layers(run, planner, 1) * run->shape.num_layers;
        run->skipped[p] = estimate > limit && !planner->is_baseline;
        if (run->skipped[p]) {
            printf("%-13s skipped: about %.3g s for one repetition\n", planner->name, estimate);
            continue;
        }
        plan_layers(run, planner, run->shape.num_layers);
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

static double median(const bench_run *run, int p, int reps) { return run->seconds[p][reps / 2]; }

static void print_results(const bench_run *run, const bench_shape *shape, const bench_settings *set)
{
    const baseline_shape *is = &run->shape;
    double base = median(run, run->num_planners - 1, set->reps);
    printf("%-13s %10s %10s %10s %9s %8s %9s\n", "planner", "us/layer", "quartile 1", "quartile 3",
           "balance", "gap", "vs base");
    for (int p = 0; p < run->num_planners; p++) {
        if (run->skipped[p])
            continue;
        const char *name = run->planner[p].name;
        double us = 1e6 / is->num_layers, middle = median(run, p, set->reps);
        double q1 = run->seconds[p][set->reps / 4], q3 = run->seconds[p][set->reps * 3 / 4];
        printf("%-13s %10.2f %10.2f %10.2f %9.4f %7.3f%% %9.3f\n", name, middle * us, q1 * us, q3 * us,
               run->balancedness[p], run->gap[p] * 100, middle / base);
        if (set->csv) {
            fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%d,%.1f,%s,%d,%.3f,%.3f,%.3f,%.6f,%.6f,%.4f\n",
                    shape->name, (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas,
                    (int)is->num_groups, (int)is->num_nodes, (int)is->num_gpus, set->samples, run->sd, name,
                    set->reps, middle * us, q1 * us, q3 * us, run->balancedness[p], run->gap[p],
                    middle / base);
        }
    }
    printf("\n");
}

/* Times and judges the run's planners, prints what came of it, and leaves it in the run. */
static void bench_one(bench_run *run, const bench_shape *shape, double sd, const bench_settings *set)
{
    baseline_shape is = shape->is;
    if (set->quick && is.num_layers > QUICK_LAYERS)
        is.num_layers = QUICK_LAYERS;
    printf("%s: %d layers, %d experts, %d slots, %d groups, %d nodes, %d GPUs, T = %d, sd %.1f\n",
           shape->name, (int)is.num_layers, (int)is.num_experts, (int)is.num_replicas, (int)is.num_groups,
           (int)is.num_nodes, (int)is.num_gpus, set->samples, sd);

    prepare(run, &is, set->samples, sd);
    run->plan.log2phy_width = probe(run, set->limit);
    for (int p = 0; p < run->num_planners; p++) {
        if (!run->skipped[p])
            judge(run, p);
    }
    for (int rep = 0; rep < set->reps; rep++) {
        for (int i = 0; i < run->num_planners; i++) {
            int p = (i + rep) % run->num_planners; /* nobody always follows the same one */
            if (!run->skipped[p])
                run->seconds[p][rep] = time_layers(run, &run->planner[p], is.num_layers);
        }
    }
    for (int p = 0; p < run->num_planners; p++)
        qsort(run->seconds[p], (size_t)set->reps, sizeof(double), compare_doubles);
    print_results(run, shape, set);
    release(run);
}

static void bench_presets(const bench_shape *shape, const bench_settings *set)
{
    bench_run *run = (bench_run *)allocate(1, sizeof *run);
    add_presets(run);
    add_baseline(run);
    bench_one(run, shape, 1.0, set);
    free(run);
}

static bench_curve bench_efforts(const bench_shape *shape, double sd, const bench_settings *set)
{
    bench_curve curve;
    bench_run  *run = (bench_run *)allocate(1, sizeof *run);
    add_efforts(run);
    add_baseline(run);
    bench_one(run, shape, sd, set);
    curve.shape = shape;
    curve.sd    = sd;
    for (int i = 0; i < NUM_EFFORTS; i++) { /* a skipped planner has neither gap nor time */
        curve.gap[i]  = run->gap[i];
        curve.time[i] = median(run, i, set->reps) / median(run, run->num_planners - 1, set->reps);
    }
    free(run);
    return curve;
}

/* --------------------------------------------------------------------------------------- chart

   Two panels over one axis of effort: the gap above, the time below. Lengths are in pixels. */

enum {
    MAX_CURVES   = 6,
    CHART_WIDTH  = 900,
    CHART_HEIGHT = 520,
    PANEL_LEFT   = 58,
    PANEL_RIGHT  = 700,
    PANEL_INSET  = 16, /* from a panel's sides to the first and last effort */
    LEGEND_LEFT  = 720
};

#define LEAST_GAP 0.001 /* percent; smaller gaps are drawn as this one, as a logarithm cannot show 0 */
#define GREY      "#555555"

static const char *const curve_colours[MAX_CURVES / NUM_CHARTED_SDS] = {"#0072b2", "#d55e00", "#009e73"};
static const char *const curve_dashes[NUM_CHARTED_SDS] = {"none", "5 3"};

typedef struct chart_panel {
    const char *title;
    int         is_time; /* else gap */
    double      top, bottom;
    int         first_tick, last_tick;
} chart_panel;

/* Tick k of a logarithmic axis: .., 0.1, 0.2, 0.5, 1, 2, 5, 10, ..; k = 0 is 1. */
static double tick_value(int k)
{
    static const double digit[] = {1, 2, 5};
    int                 place = (k % 3 + 3) % 3;
    return digit[place] * pow(10, (k - place) / 3);
}

static double panel_value(const chart_panel *panel, const bench_curve *curve, int i)
{
    if (panel->is_time)
        return curve->time[i];
    return curve->gap[i] * 100 > LEAST_GAP ? curve->gap[i] * 100 : LEAST_GAP;
}

static int is_measured(const bench_curve *curve, int i) { return curve->time[i] > 0; }

/* The closest ticks that all values lie between. */
static void fit_ticks(chart_panel *panel, const bench_curve *curves, int num_curves)
{
    double least = HUGE_VAL, most = 0;
    for (int c = 0; c < num_curves; c++) {
        for (int i = 0; i < NUM_EFFORTS; i++) {
            double value = panel_value(panel, &curves[c], i);
            if (!is_measured(&curves[c], i))
                continue;
            least = value < least ? value : least;
            most  = value > most ? value : most;
        }
    }
    if (most == 0)
        fail("the chart", "nothing was measured");
    panel->first_tick = 3 * (int)floor(log10(least));
    while (tick_value(panel->first_tick + 1) <= least)
        panel->first_tick++;
    panel->last_tick = panel->first_tick + 1;
    while (tick_value(panel->last_tick) < most)
        panel->last_tick++;
}

static double chart_y(const chart_panel *panel, double value)
{
    double least = tick_value(panel->first_tick), most = tick_value(panel->last_tick);
    return panel->bottom - (panel->bottom - panel->top) * log(value / least) / log(most / least);
}

/* Logarithmic from 1 on, with 0 as far to the left of 1 as 2 is to the right. */
static double chart_x(int effort)
{
    double first = PANEL_LEFT + PANEL_INSET, last = PANEL_RIGHT - PANEL_INSET;
    double octaves = effort == 0 ? 0 : 1 + log2(effort);
    return first + (last - first) * octaves / (1 + log2(efforts[NUM_EFFORTS - 1]));
}

static void draw_line(FILE *svg, double x1, double y1, double x2, double y2, const char *style)
{
    fprintf(svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" %s/>\n", x1, y1, x2, y2, style);
}

static void draw_text(FILE *svg, double x, double y, const char *anchor, const char *style, const char *text)
{
    fprintf(svg, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>%s</text>\n", x, y, anchor, style, text);
}

static void draw_axes(FILE *svg, const chart_panel *panel)
{
    char label[32];
    draw_text(svg, PANEL_LEFT, panel->top - 8, "start", "font-weight=\"bold\"", panel->title);
    for (int k = panel->first_tick; k <= panel->last_tick; k++) {
        double y = chart_y(panel, tick_value(k));
        draw_line(svg, PANEL_LEFT, y, PANEL_RIGHT, y, k == 0 ? "stroke=\"#aaaaaa\"" : "stroke=\"#e4e4e4\"");
        snprintf(label, sizeof label, "%g", tick_value(k));
        draw_text(svg, PANEL_LEFT - 6, y + 4, "end", "fill=\"" GREY "\"", label);
    }
    for (int i = 0; i < NUM_EFFORTS; i++) {
        double x = chart_x(efforts[i]);
        draw_line(svg, x, panel->bottom, x, panel->bottom + 4, "stroke=\"" GREY "\"");
        snprintf(label, sizeof label, "%d", efforts[i]);
        draw_text(svg, x, panel->bottom + 17, "middle", "fill=\"" GREY "\"", label);
    }
    draw_line(svg, PANEL_LEFT, panel->bottom, PANEL_RIGHT, panel->bottom, "stroke=\"" GREY "\"");
}

/* A guide at the effort of a preset; the curves of the gap leave room for its name, those of time do not. */
static void draw_preset(FILE *svg, const chart_panel *panel, int32_t preset, const char *name)
{
    double x = chart_x(preset_options(preset).effort);
    draw_line(svg, x, panel->top, x, panel->bottom, "stroke=\"" GREY "\" stroke-dasharray=\"2 3\"");
    if (!panel->is_time)
        draw_text(svg, x - 5, panel->top + 12, "end", "fill=\"" GREY "\"", name);
}

static void draw_dot(FILE *svg, double x, double y, int c)
{
    const char *colour = curve_colours[c / NUM_CHARTED_SDS];
    const char *inside = c % NUM_CHARTED_SDS == 0 ? colour : "#ffffff";
    fprintf(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" stroke-width=\"1.5\" stroke=\"%s\" fill=\"%s\"/>\n",
            x, y, colour, inside);
}

static void open_curve(FILE *svg, int c)
{
    fprintf(svg, "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"%s\" "
                 "stroke-dasharray=\"%s\" points=\"",
            curve_colours[c / NUM_CHARTED_SDS], curve_dashes[c % NUM_CHARTED_SDS]);
}

static void draw_curve(FILE *svg, const chart_panel *panel, const bench_curve *curve, int c)
{
    open_curve(svg, c);
    for (int i = 0; i < NUM_EFFORTS; i++) {
        if (is_measured(curve, i))
            fprintf(svg, "%.1f,%.1f ", chart_x(efforts[i]), chart_y(panel, panel_value(panel, curve, i)));
    }
    fprintf(svg, "\"/>\n");
    for (int i = 0; i < NUM_EFFORTS; i++) {
        if (is_measured(curve, i))
            draw_dot(svg, chart_x(efforts[i]), chart_y(panel, panel_value(panel, curve, i)), c);
    }
}

static void draw_legend(FILE *svg, const chart_panel *panel, const bench_curve *curves, int num_curves)
{
    static const char *const notes[] = {"experts x slots x GPUs", "_g: global policy",
                                        "_h: hierarchical policy", "sd: of the loads' logarithm"};
    double y = panel->top + 8;
    char   label[64];
    for (int c = 0; c < num_curves; c++, y += 21) {
        open_curve(svg, c);
        fprintf(svg, "%d,%.1f %d,%.1f\"/>\n", LEGEND_LEFT, y, LEGEND_LEFT + 30, y);
        draw_dot(svg, LEGEND_LEFT + 15, y, c);
        snprintf(label, sizeof label, "%s, sd %.1f", curves[c].shape->name, curves[c].sd);
        draw_text(svg, LEGEND_LEFT + 37, y + 4, "start", "", label);
    }
    y += 8;
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++, y += 17)
        draw_text(svg, LEGEND_LEFT, y, "start", "fill=\"" GREY "\"", notes[i]);
}

static void draw_chart(FILE *svg, const bench_curve *curves, int num_curves)
{
    chart_panel panels[2] = {
        {"Heaviest GPU above the lower bound, percent (mean over the layers)", 0, 66, 308, 0, 0},
        {"Time of a layer, as a multiple of the straightforward planner's", 1, 358, 474, 0, 0},
    };
    fprintf(svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
                 "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
            CHART_WIDTH, CHART_HEIGHT, CHART_WIDTH, CHART_HEIGHT);
    fprintf(svg, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", CHART_WIDTH, CHART_HEIGHT);
    draw_text(svg, PANEL_LEFT, 30, "start", "font-size=\"18\"", "Gap to the lower bound over effort");
    for (int p = 0; p < 2; p++) {
        fit_ticks(&panels[p], curves, num_curves);
        draw_axes(svg, &panels[p]);
        draw_preset(svg, &panels[p], EPLB_PRESET_DEFAULT, "DEFAULT");
        draw_preset(svg, &panels[p], EPLB_PRESET_BEST, "BEST");
        for (int c = 0; c < num_curves; c++)
            draw_curve(svg, &panels[p], &curves[c], c);
    }
    draw_legend(svg, &panels[0], curves, num_curves);
    draw_text(svg, (PANEL_LEFT + PANEL_RIGHT) / 2.0, CHART_HEIGHT - 9, "middle", "font-weight=\"bold\"",
              "Effort: searches for each node's plan");
    fprintf(svg, "</svg>\n");
}

/* ---------------------------------------------------------------------------------- arguments */

static void usage(void)
{
    fprintf(stderr, "usage: bench [--quick] [--shape NAME] [--csv FILE] [--reps N] [--limit SECONDS]\n"
                    "             [--samples T | --effort FILE.svg]\n"
                    "shapes:");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        fprintf(stderr, " %s", shapes[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static FILE *open_output(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f)
        fail(path, "cannot be written");
    return f;
}

static bench_settings read_arguments(int argc, char **argv)
{
    bench_settings set = {NULL, NULL, NULL, 2.0, 1, 11, 0};
    const char    *csv_path = NULL, *chart_path = NULL;
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
        } else if (strcmp(argv[i], "--samples") == 0) {
            set.samples = atoi(value);
        } else if (strcmp(argv[i], "--effort") == 0) {
            chart_path = value;
        } else {
            usage();
        }
        i++;
    }
    if (set.reps < 1 || set.reps > MAX_REPS || !(set.limit > 0))
        usage();
    if (set.samples < 1 || set.samples > MAX_SAMPLES || (chart_path && set.samples != 1))
        usage(); /* with several samples all effort above 1 is the same */
    if (csv_path) {
        set.csv = open_output(csv_path);
        fprintf(set.csv, "shape,layers,experts,replicas,groups,nodes,gpus,samples,sd,planner,repetitions,"
                         "us_per_layer,us_per_layer_q1,us_per_layer_q3,balancedness,gap,time_vs_baseline\n");
    }
    if (chart_path)
        set.chart = open_output(chart_path);
    return set;
}

static int wanted(const bench_shape *shape, const bench_settings *set)
{
    if (set->only_shape)
        return strcmp(set->only_shape, shape->name) == 0;
    if (set->chart)
        return shape->charted;
    return !set->quick || shape->is.num_experts <= QUICK_EXPERTS;
}

int main(int argc, char **argv)
{
    bench_settings set = read_arguments(argc, argv);
    bench_curve    curves[MAX_CURVES];
    int            matched = 0, num_curves = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!wanted(&shapes[i], &set))
            continue;
        matched = 1;
        if (!set.chart)
            bench_presets(&shapes[i], &set);
        for (int k = 0; set.chart && k < NUM_CHARTED_SDS && num_curves < MAX_CURVES; k++)
            curves[num_curves++] = bench_efforts(&shapes[i], charted_sds[k], &set);
    }
    if (!matched)
        usage();
    if (set.chart)
        draw_chart(set.chart, curves, num_curves);
    if (set.csv && fclose(set.csv) != 0)
        fail("the CSV file", "cannot be written");
    if (set.chart && fclose(set.chart) != 0)
        fail("the chart", "cannot be written");
    return 0;
}
