/* bench.c - times every preset and the straightforward planner of baseline.cpp, and says how even
   their plans are; or the same over effort, with a chart; or one of the other modes.

     bench [--samples T | --torch] [--sd X,..]   presets
     bench --effort FILE.svg                     effort
     bench --stages                              where the time of a layer goes: stages.c
     bench --fits                                how the time of a layer grows: fits.c
     bench --shares                              exact shares of a step's tokens: shares.c
     bench --transfers                           all that the host does for a rebalance: transfers.c
     bench --against HEADER [--samples T] [--sd X,..]
                                                 eplb.h beside another copy of it, such as
                                                 git show REVISION:eplb.h writes: against.c
   and with any of them [--quick] [--csv FILE] [--reps N] [--limit SECONDS], but for the fits [--shape NAME].

   For each shape all planners plan the same loads, one thread, in turn within each repetition, so
   that a slow spell of the machine hits them all. Loads are lognormal, of sd 1 or each X (over effort 1 and
   1.5), and with T > 1 samples each expert's varies about that over time, lognormally too, with sd 0.26
   and correlation 0.8 from one sample to the next: with less of it, planning for samples takes longer.
   Printed for each planner:
     time      microseconds per layer: median, and the quartiles as the spread
     balance   mean / maximum GPU load, mean over the layers, as eplb_evaluate reports it
     gap       maximum GPU load / lower bound - 1, mean over the layers, likewise
     vs base   median time / median time of the baseline
   All of them write all four arrays of a plan; log2phy is as wide as the widest of these plans needs.
   The baseline knows no samples: it plans on their mean, which it is given, free of charge.
   A planner that would need more than the limit for one repetition is skipped, and that is said.
   With --torch the reference algorithm in PyTorch is among them (torch.c), timed after the others. */
#define EPLB_IMPLEMENTATION
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLANNERS = 16, QUICK_REPS = 3 };

#define QUICK_LIMIT 0.05 /* seconds for one repetition of one planner */

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
    char name[16];
    int is_baseline;
    eplb_options options;
} bench_planner;

typedef struct bench_curve { /* over effort; 0 where the effort was skipped */
    const bench_shape *shape;
    double sd;
    double gap[NUM_EFFORTS];
    double time[NUM_EFFORTS]; /* over the baseline's */
} bench_curve;

typedef struct bench_run { /* everything for one shape */
    bench_case at;
    double sd;   /* of the loads */
    float *mean; /* [L, E] over the samples; the baseline plans on it */
    bench_planner planner[MAX_PLANNERS];
    int num_planners; /* the last one is the baseline */
    int skipped[MAX_PLANNERS];
    bench_quality quality[MAX_PLANNERS];
    bench_times times[MAX_PLANNERS]; /* of one repetition */
} bench_run;

static void fill_mean(float *mean, const float *load, size_t n, int num_samples)
{
    for (size_t i = 0; i < n; i++) {
        double sum = 0.0;
        for (size_t t = 0; t < (size_t)num_samples; t++) sum += (double)load[t * n + i];
        mean[i] = (float)(sum / num_samples);
    }
}

/* ------------------------------------------------------------------------------------ planners */

static bench_planner *add_planner(bench_run *run)
{
    if (run->num_planners == MAX_PLANNERS) fail("planners", "too many");
    return &run->planner[run->num_planners++];
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
        planner->options = preset_options(EPLB_PRESET_DEFAULT);
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
    const eplb_plan *plan = &run->at.plan;
    baseline_shape shape = run->at.shape;
    baseline_arrays out = {plan->phy2log, plan->phyrank, plan->logcnt, plan->log2phy, plan->log2phy_width};
    if (!planner->is_baseline) {
        plan_case(&run->at, planner->name, &planner->options, num_layers);
        return;
    }
    shape.num_layers = num_layers;
    if (baseline_plan(&shape, run->mean, &out) != 0) fail(planner->name, "ran out of memory");
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
    const baseline_shape *is = &run->at.shape;
    const eplb_plan *plan = &run->at.plan;
    ptrdiff_t experts = is->num_experts, width = plan->log2phy_width;

    const int32_t *phy2log = plan->phy2log + l * is->num_replicas;
    const int32_t *phyrank = plan->phyrank + l * is->num_replicas;
    const int32_t *logcnt = plan->logcnt + l * experts;
    const int32_t *log2phy = plan->log2phy + l * experts * width;
    int32_t group_size = is->num_experts / is->num_groups, total = 0;
    int32_t slots_per_node = is->num_replicas / is->num_nodes;

    for (ptrdiff_t e = 0; e < experts; e++) {
        if (logcnt[e] < 1 || logcnt[e] > width) return "an expert has no slot";
        total += logcnt[e];
        for (ptrdiff_t i = logcnt[e]; i < width; i++) {
            if (log2phy[e * width + i] != -1) return "log2phy is not padded";
        }
    }
    if (total != is->num_replicas) return "the counts do not add up";
    for (int32_t s = 0; s < is->num_replicas; s++) {
        int32_t e = phy2log[s];
        if (e < 0 || e >= is->num_experts) return "a slot holds no expert";
        if (phyrank[s] < 0 || phyrank[s] >= logcnt[e] || log2phy[e * width + phyrank[s]] != s)
            return "log2phy is not the inverse of phy2log";
        int32_t first = e / group_size * group_size; /* its first slot tells the group's node */
        if (log2phy[first * width] / slots_per_node != s / slots_per_node) return "a group is on two nodes";
    }
    return NULL;
}

/* Plans once, unmeasured: the plan is checked and its quality kept. */
static void judge(bench_run *run, int p)
{
    const bench_planner *planner = &run->planner[p];
    plan_layers(run, planner, run->at.shape.num_layers);
    for (ptrdiff_t l = 0; l < run->at.shape.num_layers; l++) {
        const char *fault = layer_fault(run, l);
        if (fault) fail(planner->name, fault);
    }
    run->quality[p] = judge_case(&run->at, &planner->options);
}

/* ------------------------------------------------------------------------------------- running */

/* The planners have been added to a run that is zero otherwise. */
static void prepare(bench_run *run, const baseline_shape *shape, int num_samples, double sd)
{
    size_t layers = (size_t)shape->num_layers, experts = (size_t)shape->num_experts;
    run->at = open_case(shape, num_samples, sd);
    run->sd = sd;
    run->mean = (float *)allocate(layers * experts, sizeof(float));
    fill_mean(run->mean, run->at.weight, layers * experts, num_samples);
    for (int p = 0; p < run->num_planners; p++) make_room(&run->at, &run->planner[p].options);
}

static void release(bench_run *run)
{
    close_case(&run->at);
    free(run->mean);
}

/* Skips what is too slow, by the time of one layer; returns the width that the others' plans need. */
static int32_t probe(bench_run *run, double limit)
{
    int32_t width = 1;
    for (int p = 0; p < run->num_planners; p++) {
        const bench_planner *planner = &run->planner[p];
        double estimate = time_layers(run, planner, 1) * run->at.shape.num_layers;
        run->skipped[p] = estimate > limit && !planner->is_baseline;
        if (run->skipped[p]) {
            printf("%-13s skipped: about %.3g s for one repetition\n", planner->name, estimate);
            continue;
        }
        plan_layers(run, planner, run->at.shape.num_layers);
        int32_t needed = width_needed(&run->at);
        width = needed > width ? needed : width;
    }
    return width;
}

static void print_row(const bench_run *run, const bench_shape *shape, const bench_settings *set, const char *name,
                      const bench_times *times, const bench_quality *quality)
{
    const baseline_shape *is = &run->at.shape;
    double us = 1e6 / is->num_layers;
    double ratio = times->median / run->times[run->num_planners - 1].median;
    printf("%-13s %10.2f %10.2f %10.2f %9.4f %7.3f%% %9.3f\n", name, times->median * us, times->q1 * us, times->q3 * us,
           quality->balancedness, quality->gap * 100, ratio);
    if (!set->csv) return;
    fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%d,%g,%s,%d,%.3f,%.3f,%.3f,%.6f,%.6f,%.4f\n", shape->name,
            (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups, (int)is->num_nodes,
            (int)is->num_gpus, set->samples, run->sd, name, set->reps, times->median * us, times->q1 * us,
            times->q3 * us, quality->balancedness, quality->gap, ratio);
}

/* The reference in PyTorch gives DEEPSEEK's plans, so it is as good as that. */
static void bench_torch(bench_run *run, const bench_shape *shape, const bench_settings *set)
{
    bench_times *times = (bench_times *)allocate(1, sizeof *times);
    const char *missing = "its plan is deepseek's, which is skipped";
    if (!run->skipped[EPLB_PRESET_DEEPSEEK]) {
        plan_layers(run, &run->planner[EPLB_PRESET_DEEPSEEK], run->at.shape.num_layers);
        missing = time_torch(&run->at, set->reps, times);
    }
    if (missing) printf("%-13s skipped: %s\n", "torch", missing);
    else print_row(run, shape, set, "torch", times, &run->quality[EPLB_PRESET_DEEPSEEK]);
    free(times);
}

static void print_results(bench_run *run, const bench_shape *shape, const bench_settings *set)
{
    printf("%-13s %10s %10s %10s %9s %8s %9s\n", "planner", "us/layer", "quartile 1", "quartile 3", "balance", "gap",
           "vs base");
    for (int p = 0; p < run->num_planners; p++) {
        if (!run->skipped[p]) print_row(run, shape, set, run->planner[p].name, &run->times[p], &run->quality[p]);
    }
    if (set->torch) bench_torch(run, shape, set);
    printf("\n");
}

/* Times and judges the run's planners, prints what came of it, and leaves it in the run. */
static void bench_one(bench_run *run, const bench_shape *shape, double sd, const bench_settings *set)
{
    baseline_shape is = timed_shape(shape, set);
    print_shape(shape, &is, set->samples, sd);
    prepare(run, &is, set->samples, sd);
    run->at.plan.log2phy_width = probe(run, set->limit);
    for (int p = 0; p < run->num_planners; p++) {
        if (!run->skipped[p]) judge(run, p);
    }
    for (int rep = 0; rep < set->reps; rep++) {
        for (int i = 0; i < run->num_planners; i++) {
            int p = (i + rep) % run->num_planners; /* nobody always follows the same one */
            if (!run->skipped[p]) run->times[p].seconds[rep] = time_layers(run, &run->planner[p], is.num_layers);
        }
    }
    for (int p = 0; p < run->num_planners; p++) finish_times(&run->times[p], set->reps);
    print_results(run, shape, set);
    release(run);
}

static void bench_presets(const bench_shape *shape, double sd, const bench_settings *set)
{
    bench_run *run = (bench_run *)allocate(1, sizeof *run);
    add_presets(run);
    add_baseline(run);
    bench_one(run, shape, sd, set);
    free(run);
}

static bench_curve bench_efforts(const bench_shape *shape, double sd, const bench_settings *set)
{
    bench_curve curve;
    bench_run *run = (bench_run *)allocate(1, sizeof *run);
    add_efforts(run);
    add_baseline(run);
    bench_one(run, shape, sd, set);
    curve.shape = shape;
    curve.sd = sd;
    for (int i = 0; i < NUM_EFFORTS; i++) { /* a skipped planner has neither gap nor time */
        curve.gap[i] = run->quality[i].gap;
        curve.time[i] = run->times[i].median / run->times[run->num_planners - 1].median;
    }
    free(run);
    return curve;
}

/* --------------------------------------------------------------------------------------- chart

   Two panels over one axis of effort: the gap above, the time below. Lengths are in pixels. */

enum {
    MAX_CURVES = 6,
    CHART_WIDTH = 900,
    CHART_HEIGHT = 520,
    PANEL_LEFT = 58,
    PANEL_RIGHT = 700,
    PANEL_INSET = 16, /* from a panel's sides to the first and last effort */
    LEGEND_LEFT = 720
};

#define LEAST_GAP 0.001 /* percent; smaller gaps are drawn as this one, as a logarithm cannot show 0 */
#define GREY      "#555555"

static const char *const curve_colours[MAX_CURVES / NUM_CHARTED_SDS] = {"#0072b2", "#d55e00", "#009e73"};
static const char *const curve_dashes[NUM_CHARTED_SDS] = {"none", "5 3"};

typedef struct chart_panel {
    const char *title;
    int is_time; /* else gap */
    double top, bottom;
    int first_tick, last_tick;
} chart_panel;

/* Tick k of a logarithmic axis: .., 0.1, 0.2, 0.5, 1, 2, 5, 10, ..; k = 0 is 1. */
static double tick_value(int k)
{
    static const double digit[] = {1, 2, 5};
    int place = (k % 3 + 3) % 3;
    return digit[place] * pow(10, (k - place) / 3);
}

static double panel_value(const chart_panel *panel, const bench_curve *curve, int i)
{
    if (panel->is_time) return curve->time[i];
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
            if (!is_measured(&curves[c], i)) continue;
            least = value < least ? value : least;
            most = value > most ? value : most;
        }
    }
    if (most == 0) fail("the chart", "nothing was measured");
    panel->first_tick = 3 * (int)floor(log10(least));
    while (tick_value(panel->first_tick + 1) <= least) panel->first_tick++;
    panel->last_tick = panel->first_tick + 1;
    while (tick_value(panel->last_tick) < most) panel->last_tick++;
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
    if (!panel->is_time) draw_text(svg, x - 5, panel->top + 12, "end", "fill=\"" GREY "\"", name);
}

static void draw_dot(FILE *svg, double x, double y, int c)
{
    const char *colour = curve_colours[c / NUM_CHARTED_SDS];
    const char *inside = c % NUM_CHARTED_SDS == 0 ? colour : "#ffffff";
    fprintf(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" stroke-width=\"1.5\" stroke=\"%s\" fill=\"%s\"/>\n", x, y,
            colour, inside);
}

static void open_curve(FILE *svg, int c)
{
    fprintf(svg,
            "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"%s\" "
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
        if (is_measured(curve, i)) draw_dot(svg, chart_x(efforts[i]), chart_y(panel, panel_value(panel, curve, i)), c);
    }
}

static void draw_legend(FILE *svg, const chart_panel *panel, const bench_curve *curves, int num_curves)
{
    static const char *const notes[] = {"experts x slots x GPUs", "_g: global policy", "_h: hierarchical policy",
                                        "sd: of the loads' logarithm"};
    double y = panel->top + 8;
    char label[64];
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
    fprintf(svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n",
            CHART_WIDTH, CHART_HEIGHT, CHART_WIDTH, CHART_HEIGHT);
    fprintf(svg, "<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", CHART_WIDTH, CHART_HEIGHT);
    draw_text(svg, PANEL_LEFT, 30, "start", "font-size=\"18\"", "Gap to the lower bound over effort");
    for (int p = 0; p < 2; p++) {
        fit_ticks(&panels[p], curves, num_curves);
        draw_axes(svg, &panels[p]);
        draw_preset(svg, &panels[p], EPLB_PRESET_DEFAULT, "DEFAULT");
        draw_preset(svg, &panels[p], EPLB_PRESET_BEST, "BEST");
        for (int c = 0; c < num_curves; c++) draw_curve(svg, &panels[p], &curves[c], c);
    }
    draw_legend(svg, &panels[0], curves, num_curves);
    draw_text(svg, (PANEL_LEFT + PANEL_RIGHT) / 2.0, CHART_HEIGHT - 9, "middle", "font-weight=\"bold\"",
              "Effort: searches for each node's plan");
    fprintf(svg, "</svg>\n");
}

/* ---------------------------------------------------------------------------------- arguments */

static void usage(void)
{
    fprintf(stderr, "usage: bench [--samples T | --torch] [--sd X,..] | --effort FILE.svg | --stages | --fits\n"
                    "             | --shares | --transfers | --against HEADER [--samples T] [--sd X,..]\n"
                    "             [--quick] [--shape NAME] [--csv FILE] [--reps N] [--limit SECONDS]\n"
                    "shapes:");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) fprintf(stderr, " %s", shapes[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static FILE *open_output(const char *path)
{
    FILE *f = fopen(path, "w");
    if (!f) fail(path, "cannot be written");
    return f;
}

/* An option without a value: returns whether it is one. */
static int read_switch(bench_settings *set, const char *option)
{
    if (strcmp(option, "--quick") == 0) {
        set->quick = 1;
        set->reps = QUICK_REPS;
        set->limit = QUICK_LIMIT;
    } else if (strcmp(option, "--stages") == 0) {
        set->mode = BENCH_STAGES;
    } else if (strcmp(option, "--fits") == 0) {
        set->mode = BENCH_FITS;
    } else if (strcmp(option, "--shares") == 0) {
        set->mode = BENCH_SHARES;
    } else if (strcmp(option, "--transfers") == 0) {
        set->mode = BENCH_TRANSFERS;
    } else if (strcmp(option, "--torch") == 0) {
        set->torch = 1;
    } else {
        return 0;
    }
    return 1;
}

/* Numbers with commas between them; returns how many, 0 for anything else. */
static int read_sds(double *sd, const char *list)
{
    for (int n = 0; n < MAX_SDS; list++) {
        char *end;
        sd[n] = strtod(list, &end);
        if (end == list || !(sd[n++] >= 0)) return 0;
        if (*end == '\0') return n;
        if (*end != ',') return 0;
        list = end;
    }
    return 0;
}

static const char *csv_head(int mode)
{
    if (mode == BENCH_STAGES) return stages_csv_head;
    if (mode == BENCH_FITS) return fits_csv_head;
    if (mode == BENCH_AGAINST) return against_csv_head;
    if (mode == BENCH_SHARES) return shares_csv_head;
    if (mode == BENCH_TRANSFERS) return transfers_csv_head;
    return "shape,layers,experts,replicas,groups,nodes,gpus,samples,sd,planner,repetitions,"
           "us_per_layer,us_per_layer_q1,us_per_layer_q3,balancedness,gap,time_vs_baseline\n";
}

static bench_settings read_arguments(int argc, char **argv)
{
    bench_settings set = {BENCH_PRESETS, NULL, NULL, NULL, NULL, 2.0, 1, {1.0}, 1, 11, 0, 0};
    const char *csv_path = NULL, *chart_path = NULL;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (read_switch(&set, argv[i])) {
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
        } else if (strcmp(argv[i], "--sd") == 0) {
            set.num_sds = read_sds(set.sd, value);
        } else if (strcmp(argv[i], "--against") == 0) {
            set.mode = BENCH_AGAINST;
            set.other = value;
        } else if (strcmp(argv[i], "--effort") == 0) {
            set.mode = BENCH_EFFORTS;
            chart_path = value;
        } else {
            usage();
        }
        i++;
    }
    if (set.reps < 1 || set.reps > MAX_REPS || !(set.limit > 0)) usage();
    if (set.samples < 1 || set.samples > MAX_SAMPLES || set.num_sds < 1) usage();
    if (set.mode != BENCH_PRESETS && set.mode != BENCH_AGAINST
        && (set.samples != 1 || set.num_sds != 1 || set.sd[0] != 1.0))
        usage(); /* with several samples all effort above 1 is the same */
    if (set.torch && (set.mode != BENCH_PRESETS || set.samples != 1)) usage();
    if (set.mode == BENCH_FITS && set.only_shape) usage();
    if (set.other && (set.mode != BENCH_AGAINST || !*set.other)) usage();
    if (csv_path) {
        set.csv = open_output(csv_path);
        fputs(csv_head(set.mode), set.csv);
    }
    if (set.mode == BENCH_EFFORTS) set.chart = open_output(chart_path);
    return set;
}

static int wanted(const bench_shape *shape, const bench_settings *set)
{
    if (set->only_shape) return strcmp(set->only_shape, shape->name) == 0;
    if (set->mode == BENCH_EFFORTS) return shape->charted;
    return !set->quick || shape->is.num_experts <= QUICK_EXPERTS;
}

/* What is wanted of all shapes; the curves over effort make one chart. */
static void bench_shapes(const bench_settings *set)
{
    bench_sides *sides = set->mode == BENCH_AGAINST ? open_sides(set->other) : NULL;
    bench_curve curves[MAX_CURVES];
    int matched = 0, num_curves = 0;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        if (!wanted(&shapes[i], set)) continue;
        matched = 1;
        for (int k = 0; set->mode == BENCH_PRESETS && k < set->num_sds; k++) bench_presets(&shapes[i], set->sd[k], set);
        for (int k = 0; set->mode == BENCH_AGAINST && k < set->num_sds; k++)
            bench_against(sides, &shapes[i], set->sd[k], set);
        if (set->mode == BENCH_STAGES) bench_stages(&shapes[i], set);
        if (set->mode == BENCH_SHARES) bench_shares(&shapes[i], set);
        if (set->mode == BENCH_TRANSFERS) bench_transfers(&shapes[i], set);
        for (int k = 0; set->mode == BENCH_EFFORTS && k < NUM_CHARTED_SDS && num_curves < MAX_CURVES; k++)
            curves[num_curves++] = bench_efforts(&shapes[i], charted_sds[k], set);
    }
    if (!matched) usage();
    if (set->mode == BENCH_EFFORTS) draw_chart(set->chart, curves, num_curves);
    if (sides) close_sides(sides);
}

int main(int argc, char **argv)
{
    bench_settings set = read_arguments(argc, argv);
    print_heading();
    if (set.mode == BENCH_FITS) bench_fits(&set);
    else bench_shapes(&set);
    if (set.csv && fclose(set.csv) != 0) fail("the CSV file", "cannot be written");
    if (set.chart && fclose(set.chart) != 0) fail("the chart", "cannot be written");
    return 0;
}
