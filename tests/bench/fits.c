/* fits.c - how the time of a layer grows with the shape: for each series of shapes, along which one thing
   changes and the others stay, the exponent b of time ~ x^b, by least squares of log time over log x, its
   standard error, and the points. Global policy, lognormal loads of sd 1. Each point is the median time of
   planning all layers, over their number; all of them are timed in turn within each repetition. A point
   that would need more than the limit for one repetition is left out, and shown as "-". Where the standard
   error is large, time does not follow a power: searches end when nothing is left to gain, and that comes
   sooner on some shapes than on others. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>

enum {
    MAX_POINTS = 6,
    FIT_LAYERS = 16, /* where they do not change: enough to even out what single layers take */
    WARM_UP = 2      /* layers planned before the clock starts, so that what ran before does not show */
};

typedef struct fit_series {
    const char *x_name, *fixed;
    struct {
        double x;
        int32_t layers, experts, replicas, gpus;
    } point[MAX_POINTS]; /* layers 0: FIT_LAYERS; replicas 0: no point */
} fit_series;

/* clang-format off */
static const fit_series series[] = {
    {"E", "R/E = 1.125, 9 slots per GPU",
     {{64, 0, 64, 72, 8},
      {128, 0, 128, 144, 16},
      {256, 0, 256, 288, 32},
      {512, 0, 512, 576, 64},
      {1024, 0, 1024, 1152, 128},
      {2048, 0, 2048, 2304, 256}}},
    {"R/E", "E = 256, G = 32",
     {{1, 0, 256, 256, 32},
      {1.375, 0, 256, 352, 32},
      {2, 0, 256, 512, 32},
      {2.875, 0, 256, 736, 32},
      {4, 0, 256, 1024, 32}}},
    {"G", "E = 256, R = 512",
     {{8, 0, 256, 512, 8},
      {16, 0, 256, 512, 16},
      {32, 0, 256, 512, 32},
      {64, 0, 256, 512, 64},
      {128, 0, 256, 512, 128},
      {256, 0, 256, 512, 256}}},
    {"L", "E = 256, R = 288, G = 32; 0 means that layers do not hinder each other",
     {{2, 2, 256, 288, 32},
      {8, 8, 256, 288, 32},
      {32, 32, 256, 288, 32},
      {64, 64, 256, 288, 32},
      {128, 128, 256, 288, 32}}},
};
/* clang-format on */
enum { NUM_SERIES = sizeof series / sizeof *series };

static const int32_t fitted_presets[] = {EPLB_PRESET_DEEPSEEK, EPLB_PRESET_L2, EPLB_PRESET_DEFAULT};
enum { NUM_FITTED = sizeof fitted_presets / sizeof *fitted_presets };

const char fits_csv_head[] = "along,x,layers,experts,replicas,gpus,preset,repetitions,"
                             "us_per_layer,us_per_layer_q1,us_per_layer_q3,exponent,standard_error\n";

typedef struct fit_point {
    bench_case at;
    int skipped[NUM_FITTED];
    bench_times times[NUM_FITTED]; /* of one repetition over all layers */
} fit_point;

typedef struct line_fit {
    double slope, standard_error;
} line_fit;

/* Least squares; the standard error needs three points, and a slope two. */
static line_fit fit_line(const double *x, const double *y, int n)
{
    line_fit fit = {NAN, NAN};
    double mean_x = 0.0, mean_y = 0.0, xx = 0.0, xy = 0.0, residual = 0.0;
    if (n < 2) return fit;
    for (int i = 0; i < n; i++) {
        mean_x += x[i] / n;
        mean_y += y[i] / n;
    }
    for (int i = 0; i < n; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    fit.slope = xy / xx;
    for (int i = 0; i < n; i++) {
        double off = y[i] - mean_y - fit.slope * (x[i] - mean_x);
        residual += off * off;
    }
    if (n > 2) fit.standard_error = sqrt(residual / (n - 2) / xx);
    return fit;
}

static int num_points(const fit_series *along, const bench_settings *set)
{
    int n = 0;
    while (n < MAX_POINTS && along->point[n].replicas > 0 && !(set->quick && along->point[n].experts > QUICK_EXPERTS))
        n++;
    return n;
}

static double us_per_layer(const fit_point *point, double seconds)
{
    return seconds * 1e6 / point->at.shape.num_layers;
}

static line_fit fit_preset(const fit_series *along, const fit_point *points, int p, const bench_settings *set)
{
    double x[MAX_POINTS], y[MAX_POINTS];
    int n = 0;
    for (int i = 0; i < num_points(along, set); i++) {
        if (points[i].skipped[p]) continue;
        x[n] = log(along->point[i].x);
        y[n++] = log(us_per_layer(&points[i], points[i].times[p].median));
    }
    return fit_line(x, y, n);
}

static double time_point(const fit_point *point, int p)
{
    const char *name = eplb_preset_name(fitted_presets[p]);
    eplb_options options = preset_options(fitted_presets[p]);
    double start;
    plan_case(&point->at, name, &options, WARM_UP);
    start = now();
    plan_case(&point->at, name, &options, point->at.shape.num_layers);
    return now() - start;
}

static void open_point(fit_point *point, const fit_series *along, int i, const bench_settings *set)
{
    int32_t usual = set->quick ? QUICK_LAYERS : FIT_LAYERS, width = 1;
    baseline_shape shape = {along->point[i].layers > 0 ? along->point[i].layers : usual,
                            along->point[i].experts,
                            along->point[i].replicas,
                            1,
                            1,
                            along->point[i].gpus};
    point->at = open_case(&shape, 1, 1.0);
    for (int p = 0; p < NUM_FITTED; p++) {
        eplb_options options = preset_options(fitted_presets[p]);
        make_room(&point->at, &options);
        point->skipped[p] = time_point(point, p) > set->limit;
        width = width_needed(&point->at) > width ? width_needed(&point->at) : width;
    }
    point->at.plan.log2phy_width = width;
}

static void print_csv(const fit_series *along, const fit_point *points, int p, line_fit fit, const bench_settings *set)
{
    for (int i = 0; i < num_points(along, set); i++) {
        const baseline_shape *is = &points[i].at.shape;
        const bench_times *times = &points[i].times[p];
        if (points[i].skipped[p]) continue;
        fprintf(set->csv, "%s,%g,%d,%d,%d,%d,%s,%d,%.4f,%.4f,%.4f,%.4f,%.4f\n", along->x_name, along->point[i].x,
                (int)is->num_layers, (int)is->num_experts, (int)is->num_replicas, (int)is->num_gpus,
                eplb_preset_name(fitted_presets[p]), set->reps, us_per_layer(&points[i], times->median),
                us_per_layer(&points[i], times->q1), us_per_layer(&points[i], times->q3), fit.slope,
                fit.standard_error);
    }
}

static void print_series(const fit_series *along, const fit_point *points, const bench_settings *set)
{
    printf("time of a layer ~ %s^b: %s\n%-10s %7s %7s   us/layer at", along->x_name, along->fixed, "planner", "b",
           "+-");
    for (int i = 0; i < num_points(along, set); i++) printf(" %9g", along->point[i].x);
    printf("\n");
    for (int p = 0; p < NUM_FITTED; p++) {
        line_fit fit = fit_preset(along, points, p, set);
        printf("%-10s %7.3f %7.3f              ", eplb_preset_name(fitted_presets[p]), fit.slope, fit.standard_error);
        for (int i = 0; i < num_points(along, set); i++) {
            if (points[i].skipped[p]) printf(" %9s", "-");
            else printf(" %9.2f", us_per_layer(&points[i], points[i].times[p].median));
        }
        printf("\n");
        if (set->csv) print_csv(along, points, p, fit, set);
    }
    printf("\n");
}

static void time_all(fit_point points[NUM_SERIES][MAX_POINTS], int rep, const bench_settings *set)
{
    for (int k = 0; k < NUM_SERIES; k++) {
        for (int i = 0; i < num_points(&series[k], set); i++) {
            for (int p = 0; p < NUM_FITTED; p++) {
                if (!points[k][i].skipped[p]) points[k][i].times[p].seconds[rep] = time_point(&points[k][i], p);
            }
        }
    }
}

void bench_fits(const bench_settings *set)
{
    fit_point(*points)[MAX_POINTS] = (fit_point(*)[MAX_POINTS])allocate(NUM_SERIES, sizeof *points);

    for (int k = 0; k < NUM_SERIES; k++) {
        for (int i = 0; i < num_points(&series[k], set); i++) open_point(&points[k][i], &series[k], i, set);
    }
    for (int rep = 0; rep < set->reps; rep++) time_all(points, rep, set);
    for (int k = 0; k < NUM_SERIES; k++) {
        for (int i = 0; i < num_points(&series[k], set); i++) {
            for (int p = 0; p < NUM_FITTED; p++) finish_times(&points[k][i].times[p], set->reps);
        }
        print_series(&series[k], points[k], set);
        for (int i = 0; i < num_points(&series[k], set); i++) close_case(&points[k][i].at);
    }
    free(points);
}
