/* curve.c - how even plans are on the next window, by how many slots they change: for a trace, where there is one, and
   for generated loads of a large model that drift steadily. DEFAULT plans after the first window, and from then on each
   planner after each window from its own plan before; scored are the plans from the second on. Each is a point, or a
   curve over the price of a move or over a limit:
     stays            the first plan, for good
     fresh            made from the window alone
     relabelled       the same with the plan in force given, without price or limit
     price, moves, .. DEFAULT with the plan in force and a price of moves, or limits on them; those of a GPU are with
                      one move for each pair of GPUs
   on samples means that the steps of a window are planned for, elsewhere their sum is. Printed for each:
     changed  slots whose expert is another one, of all
     moves    experts that come over a link, of all slots
     sum      balancedness on the sum of the next window: mean / heaviest GPU, each summed over layers and windows
     steps    on each step of it
     exact    on its sum, with exact shares */
#include "migration.h"

#include <stdlib.h>
#include <string.h>

enum {
    STAYS,
    FRESH,
    FRESH_SAMPLES,
    FRESH_DEEPSEEK,
    RELABELLED,
    RELABELLED_SAMPLES,
    RELABELLED_DEEPSEEK,
    PRICE,
    PRICE_SAMPLES,
    MOVES,
    GPU_MOVES,
    GPU_MOVES_PRICE,
    NUM_SERIES
};
enum { ON_SUM, ON_STEPS, ON_SUM_EXACT, NUM_SCORES };
enum { MAX_WINDOWS = 4096, MAX_POINTS = 80, MAX_VALUES = 12 };

typedef struct curve_series {
    const char *name;
    int preset, follows, on_samples, is_curve;
    const char *colour;       /* "" = not drawn */
    double value[MAX_VALUES]; /* up to the first 0, but for the first */
} curve_series;

/* clang-format off */
static const curve_series series[NUM_SERIES] = {
    {"stays", EPLB_PRESET_DEFAULT, 0, 0, 0, "#555555", {0}},
    {"fresh", EPLB_PRESET_DEFAULT, 0, 0, 0, "#0072b2", {0}},
    {"fresh on samples", EPLB_PRESET_DEFAULT, 0, 1, 0, "#009e73", {0}},
    {"fresh deepseek", EPLB_PRESET_DEEPSEEK, 0, 0, 0, "#8c4a2f", {0}},
    {"relabelled", EPLB_PRESET_DEFAULT, 1, 0, 0, "#0072b2", {0}},
    {"relabelled on samples", EPLB_PRESET_DEFAULT, 1, 1, 0, "#009e73", {0}},
    {"relabelled deepseek", EPLB_PRESET_DEEPSEEK, 1, 0, 0, "#8c4a2f", {0}},
    {"price", EPLB_PRESET_DEFAULT, 1, 0, 1, "#0072b2",
     {0.08, 0.04, 0.03, 0.02, 0.015, 0.01, 0.005, 0.0025, 0.0018, 0.00125, 0.0005}},
    {"price on samples", EPLB_PRESET_DEFAULT, 1, 1, 1, "#009e73",
     {0.08, 0.04, 0.03, 0.02, 0.015, 0.01, 0.005, 0.0025, 0.0018, 0.00125, 0.0005}},
    {"moves", EPLB_PRESET_DEFAULT, 1, 0, 1, "#d55e00", {1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32}},
    {"moves of a GPU", EPLB_PRESET_DEFAULT, 1, 0, 1, "#cc79a7", {1, 2, 3, 4}},
    {"one of a GPU by price", EPLB_PRESET_DEFAULT, 1, 0, 1, "", {0.04, 0.02, 0.01, 0.005, 0.0025}},
};
/* clang-format on */

typedef struct curve_score { /* on a window */
    double mean[NUM_SCORES], most[NUM_SCORES];
} curve_score;

typedef struct curve_point {
    int series;
    double value;
    curve_score all;
    double changed, moves;              /* of all slots of all plans */
    double *window_changed;             /* [num_windows] by the plan made after it */
    double *window_balance[NUM_SCORES]; /* [num_windows] on the one after it */
} curve_point;

typedef struct curve_shape {
    eplb_problem problem; /* the loads' own counts aside */
    double bar_changed, bar_below;
} curve_shape;

typedef struct curve_run { /* everything for one kind of traffic */
    const traffic *loads;
    eplb_problem problem;
    curve_shape shape;
    int32_t *first, *phy2log, *before; /* [L, R] */
    eplb_transfer *transfer;           /* [L R] */
    eplb_layer_report *report;         /* [L] */
    float *balance, *most;             /* [L] */
    void *scratch;
    size_t scratch_bytes;
    int num_points;
    curve_point point[MAX_POINTS];
} curve_run;

static size_t num_slots(const curve_run *run)
{
    return (size_t)run->problem.num_layers * (size_t)run->problem.num_replicas;
}

/* ---------------------------------------------------------------------------------------- plans */

static eplb_options options_of(const curve_run *run, int s, double value)
{
    eplb_options options = preset_options(series[s].preset);
    if (series[s].follows) options.previous_phy2log = run->before;
    if (s == PRICE || s == PRICE_SAMPLES || s == GPU_MOVES_PRICE) options.move_cost = (float)value;
    if (s == MOVES) options.max_moves = (int32_t)value;
    if (s == GPU_MOVES || s == GPU_MOVES_PRICE) {
        options.max_gpu_moves = s == GPU_MOVES ? (int32_t)value : 1;
        options.max_pair_moves = 1;
    }
    return options;
}

static void make_room_for(curve_run *run, const eplb_problem *problem, const eplb_options *options)
{
    size_t planning = 0, moving = 0, sharing = 0;
    if (eplb_scratch_size(problem, options, &planning) != EPLB_OK
        || eplb_transfers_scratch_size(problem, &moving) != EPLB_OK
        || eplb_share_scratch_size(problem, &sharing) != EPLB_OK)
        fail("the curve", "scratch cannot be measured");
    planning = planning > moving ? planning : moving;
    planning = planning > sharing ? planning : sharing;
    if (planning <= run->scratch_bytes) return;
    free(run->scratch);
    run->scratch = allocate(planning, 1);
    run->scratch_bytes = planning;
}

/* The loads of window w, and the problem with their number. */
static const float *window_loads(const curve_run *run, int w, int on_steps, eplb_problem *problem)
{
    size_t n = traffic_size(run->loads);
    *problem = run->problem;
    problem->num_samples = on_steps ? run->loads->steps : 1;
    return on_steps ? run->loads->step + (size_t)w * (size_t)run->loads->steps * n : run->loads->window + (size_t)w * n;
}

static void plan_window(curve_run *run, const eplb_options *options, int w, int on_samples)
{
    eplb_problem problem;
    const float *weight = window_loads(run, w, on_samples, &problem);
    eplb_plan plan = {run->phy2log, NULL, NULL, NULL, 0, NULL};
    eplb_result r;
    make_room_for(run, &problem, options);
    r = eplb_rebalance(&problem, options, weight, &plan, run->scratch, run->scratch_bytes);
    if (r != EPLB_OK) fail("eplb_rebalance", eplb_result_name(r));
}

/* --------------------------------------------------------------------------------------- scores */

static void count_changes(curve_run *run, curve_point *point, int w)
{
    size_t num = 0, changed = 0, moves = 0, slots = num_slots(run);
    double plans = run->loads->num_windows - 2;
    if (eplb_transfers(&run->problem, run->before, run->phy2log, NULL, run->transfer, slots, &num, run->scratch,
                       run->scratch_bytes)
        != EPLB_OK)
        fail("eplb_transfers", "refused a plan");
    for (size_t i = 0; i < num; i++)
        moves += run->transfer[i].kind == EPLB_TRANSFER_SAME_NODE || run->transfer[i].kind == EPLB_TRANSFER_OTHER_NODE;
    for (size_t slot = 0; slot < slots; slot++) changed += run->before[slot] != run->phy2log[slot];
    point->window_changed[w] = (double)changed / (double)slots;
    point->changed += (double)changed / (double)slots / plans;
    point->moves += (double)moves / (double)slots / plans;
}

static void score_equal(curve_run *run, curve_score *score, int w, int on_steps)
{
    eplb_problem problem;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    const float *weight = window_loads(run, w, on_steps, &problem);
    eplb_plan plan = {run->phy2log, NULL, NULL, NULL, 0, NULL};
    make_room_for(run, &problem, &options);
    if (eplb_evaluate(&problem, &options, weight, &plan, run->report, NULL, run->scratch, run->scratch_bytes)
        != EPLB_OK)
        fail("eplb_evaluate", "refused a plan");
    for (ptrdiff_t l = 0; l < problem.num_layers; l++) {
        score->mean[on_steps ? ON_STEPS : ON_SUM] += (double)run->report[l].mean_load;
        score->most[on_steps ? ON_STEPS : ON_SUM] += (double)run->report[l].max_load;
    }
}

/* After its sum has been scored with equal shares, which leaves its means in the reports. */
static void score_exact(curve_run *run, curve_score *score, int w)
{
    eplb_problem problem;
    const float *weight = window_loads(run, w, 0, &problem);
    if (eplb_evaluate_shares(&problem, run->phy2log, weight, run->balance, run->most, run->scratch, run->scratch_bytes)
        != EPLB_OK)
        fail("eplb_evaluate_shares", "refused a plan");
    for (ptrdiff_t l = 0; l < problem.num_layers; l++) {
        score->mean[ON_SUM_EXACT] += (double)run->report[l].mean_load;
        score->most[ON_SUM_EXACT] += (double)run->most[l];
    }
}

static void score_next(curve_run *run, curve_point *point, int w)
{
    curve_score score;
    memset(&score, 0, sizeof score);
    score_equal(run, &score, w + 1, 0);
    score_exact(run, &score, w + 1);
    score_equal(run, &score, w + 1, 1);
    for (int k = 0; k < NUM_SCORES; k++) {
        point->window_balance[k][w] = score.mean[k] / score.most[k];
        point->all.mean[k] += score.mean[k];
        point->all.most[k] += score.most[k];
    }
}

static double balance_of(const curve_point *point, int score)
{
    return point->all.mean[score] / point->all.most[score];
}

static void measure_point(curve_run *run, int s, double value)
{
    curve_point *point = &run->point[run->num_points++];
    eplb_options options = options_of(run, s, value);
    size_t windows = (size_t)run->loads->num_windows, bytes = num_slots(run) * sizeof(int32_t);

    point->series = s;
    point->value = value;
    point->window_changed = (double *)allocate(windows, sizeof(double));
    for (int k = 0; k < NUM_SCORES; k++) point->window_balance[k] = (double *)allocate(windows, sizeof(double));
    memcpy(run->phy2log, run->first, bytes);
    for (int w = 1; w < run->loads->num_windows - 1; w++) {
        memcpy(run->before, run->phy2log, bytes);
        if (s != STAYS) plan_window(run, &options, w, series[s].on_samples);
        count_changes(run, point, w);
        score_next(run, point, w);
    }
}

/* ------------------------------------------------------------------------------------- printing */

static void print_point(const curve_run *run, const curve_point *point, FILE *csv)
{
    const curve_series *s = &series[point->series];
    char value[32] = "";
    if (s->is_curve) snprintf(value, sizeof value, "%g", point->value);
    printf("%-27s %8s %8.2f%% %8.2f%%  %8.4f %8.4f %8.4f\n", s->name, value, point->changed * 100, point->moves * 100,
           balance_of(point, ON_SUM), balance_of(point, ON_STEPS), balance_of(point, ON_SUM_EXACT));
    if (!csv) return;
    fprintf(csv, "%s,%s,%s,all,%.6f,%.6f,%.6f,%.6f,%.6f\n", run->loads->name, s->name, value, point->changed,
            point->moves, balance_of(point, ON_SUM), balance_of(point, ON_STEPS), balance_of(point, ON_SUM_EXACT));
    for (int w = 1; w < run->loads->num_windows - 1; w++)
        fprintf(csv, "%s,%s,%s,%d,%.6f,,%.6f,%.6f,%.6f\n", run->loads->name, s->name, value, w,
                point->window_changed[w], point->window_balance[ON_SUM][w], point->window_balance[ON_STEPS][w],
                point->window_balance[ON_SUM_EXACT][w]);
}

/* The first point of a series with the value; NULL where it was not measured. */
static const curve_point *find_point(const curve_run *run, int s, double value)
{
    for (int i = 0; i < run->num_points; i++) {
        if (run->point[i].series == s && run->point[i].value <= value && run->point[i].value >= value)
            return &run->point[i];
    }
    return NULL;
}

/* Of the points that change no more slots than the bar allows, the most even one. */
static void print_bar(const curve_run *run, int s)
{
    const curve_point *best = NULL, *fresh = find_point(run, FRESH, 0);
    double least = balance_of(fresh, ON_SUM) - run->shape.bar_below;
    for (int i = 0; i < run->num_points; i++) {
        const curve_point *point = &run->point[i];
        if (point->series == s && point->changed <= run->shape.bar_changed
            && (!best || balance_of(point, ON_SUM) > balance_of(best, ON_SUM)))
            best = point;
    }
    if (best)
        printf("bar of %g%%, %.4f: %s %g has %.4f with %.2f%%: %s\n", run->shape.bar_changed * 100, least,
               series[s].name, best->value, balance_of(best, ON_SUM), best->changed * 100,
               balance_of(best, ON_SUM) >= least ? "reached" : "missed");
    else
        printf("bar of %g%%, %.4f: %s: no point changes so little\n", run->shape.bar_changed * 100, least,
               series[s].name);
}

/* How near fresh plans one move into a GPU and one out of it gets. */
static void print_windows(const curve_run *run)
{
    const curve_point *fresh = find_point(run, FRESH, 0), *one = find_point(run, GPU_MOVES, 1);
    const curve_point *stays = find_point(run, STAYS, 0);
    if (!one) return;
    printf(
        "one move into and out of each GPU, one a pair, window by window:\nwindow changed   stays   moves   fresh\n");
    for (int w = 1; w < run->loads->num_windows - 1; w++)
        printf("%6d %6.2f%%  %.4f  %.4f  %.4f\n", w, one->window_changed[w] * 100, stays->window_balance[ON_SUM][w],
               one->window_balance[ON_SUM][w], fresh->window_balance[ON_SUM][w]);
}

/* ------------------------------------------------------------------------------------- picture

   For each kind of traffic, left the curves, right window by window. */

enum {
    PANEL_TOP = 96,
    PANEL_HEIGHT = 300,
    PANEL_STEP = 400,
    CURVE_LEFT = 70,
    CURVE_WIDTH = 560,
    TIME_LEFT = 730,
    TIME_WIDTH = 320,
    PICTURE_WIDTH = 1080
};

static const double changed_ticks[] = {0, 1, 2, 5, 10, 20, 30, 50, 75, 100};
enum { NUM_CHANGED_TICKS = sizeof changed_ticks / sizeof *changed_ticks };

static void fit_panel(plot *p, const curve_run *run)
{
    p->low = 1.0;
    p->high = 0.0;
    for (int i = 0; i < run->num_points; i++) {
        double y = balance_of(&run->point[i], ON_SUM);
        if (!*series[run->point[i].series].colour) continue;
        p->low = y < p->low ? y : p->low;
        p->high = y > p->high ? y : p->high;
    }
    p->low -= 0.05 * (p->high - p->low) + 0.001;
    p->high += 0.05 * (p->high - p->low) + 0.001;
}

/* The corner that the bar asks for. */
static void draw_bar(FILE *svg, const plot *p, const curve_run *run)
{
    double x = plot_x(p, run->shape.bar_changed * 100);
    double y = plot_y(p, balance_of(find_point(run, FRESH, 0), ON_SUM) - run->shape.bar_below);
    fprintf(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"#f0f4e8\"/>\n", p->left, p->top,
            x - p->left, y - p->top);
}

static void draw_series(FILE *svg, const plot *p, const curve_run *run, int s)
{
    double x[MAX_VALUES], y[MAX_VALUES];
    int n = 0;
    for (int i = 0; i < run->num_points && n < MAX_VALUES; i++) {
        if (run->point[i].series != s) continue;
        x[n] = run->point[i].changed * 100;
        y[n] = balance_of(&run->point[i], ON_SUM);
        n++;
    }
    if (n > 1) plot_curve(svg, p, x, y, n, series[s].colour, "none");
    for (int i = 0; i < n; i++) plot_mark(svg, plot_x(p, x[i]), plot_y(p, y[i]), series[s].colour, series[s].is_curve);
    if (s == STAYS || s == FRESH || s == RELABELLED)
        plot_text(svg, plot_x(p, x[0]) + (s == STAYS ? 10 : -9), plot_y(p, y[0]) + 4, s == STAYS ? "start" : "end",
                  "font-size=\"11\" fill=\"#555555\"", series[s].name);
}

static void draw_windows(FILE *svg, const curve_run *run, int row)
{
    static const int drawn[] = {STAYS, GPU_MOVES, PRICE, FRESH};
    int n = run->loads->num_windows - 2;
    double x[MAX_WINDOWS], ticks[3] = {1, (n + 1) / 2, n};
    plot p = {TIME_LEFT, PANEL_TOP + row * PANEL_STEP, TIME_WIDTH, PANEL_HEIGHT, 1, n, 1, 0, 0};
    for (int i = 0; i < n; i++) x[i] = i + 1;
    for (int k = 0; k < 4; k++) {
        const curve_point *point = find_point(run, drawn[k], drawn[k] == GPU_MOVES ? 1 : drawn[k] == PRICE ? 0.01 : 0);
        for (int i = 1; point && i <= n; i++) {
            double y = point->window_balance[ON_SUM][i];
            p.low = y < p.low ? y : p.low;
            p.high = y > p.high ? y : p.high;
        }
    }
    plot_vertical_axis(svg, &p, "By window: price 0.01; dashed: fresh; grey: stays");
    plot_horizontal_axis(svg, &p, ticks, 3, "window that the plan is made after");
    for (int k = 0; k < 4; k++) {
        const curve_point *point = find_point(run, drawn[k], drawn[k] == GPU_MOVES ? 1 : drawn[k] == PRICE ? 0.01 : 0);
        if (point)
            plot_curve(svg, &p, x, point->window_balance[ON_SUM] + 1, n, series[drawn[k]].colour,
                       drawn[k] == FRESH ? "5 3" : "none");
    }
}

/* Of what was measured: curves, and below them what rings are of that have no name beside them. */
static void draw_legend(FILE *svg, const plot *p, const curve_run *run)
{
    static const struct {
        int series;
        const char *text;
    } rings[] = {{FRESH, "DEFAULT"}, {FRESH_SAMPLES, "DEFAULT on samples"}, {FRESH_DEEPSEEK, "DEEPSEEK"}};
    double x = p->left + p->width - 196, y = p->top + p->height - 122;
    for (int s = 0; s < NUM_SERIES; s++) {
        if (!series[s].is_curve || !*series[s].colour || !find_point(run, s, series[s].value[0])) continue;
        fprintf(svg, "<path d=\"M%.1f %.1fh26\" stroke-width=\"1.8\" stroke=\"%s\"/>\n", x, y - 4, series[s].colour);
        plot_mark(svg, x + 13, y - 4, series[s].colour, 1);
        plot_text(svg, x + 34, y, "start", "", series[s].name);
        y += 18;
    }
    for (size_t i = 0; i < sizeof rings / sizeof *rings; i++) {
        if (!find_point(run, rings[i].series, 0)) continue;
        plot_mark(svg, x + 13, y - 4, series[rings[i].series].colour, 0);
        plot_text(svg, x + 34, y, "start", "", rings[i].text);
        y += 18;
    }
}

static void draw_run(FILE *svg, const curve_run *run, int row)
{
    plot p = {CURVE_LEFT, PANEL_TOP + row * PANEL_STEP, CURVE_WIDTH, PANEL_HEIGHT, 0, 100, 1, 0, 1};
    char title[160];
    fit_panel(&p, run);
    draw_bar(svg, &p, run);
    snprintf(title, sizeof title, "Balancedness on the next window: %s, %d layers × %d experts, %d slots on %d GPUs",
             run->loads->name, (int)run->problem.num_layers, (int)run->problem.num_experts,
             (int)run->problem.num_replicas, (int)run->problem.num_gpus);
    plot_vertical_axis(svg, &p, title);
    plot_horizontal_axis(svg, &p, changed_ticks, NUM_CHANGED_TICKS, "slots that change, percent");
    for (int s = 0; s < NUM_SERIES; s++) {
        if (*series[s].colour) draw_series(svg, &p, run, s);
    }
    draw_legend(svg, &p, run);
    draw_windows(svg, run, row);
}

/* ------------------------------------------------------------------------------------------ runs */

static curve_run *open_run(const traffic *loads, const curve_shape *shape)
{
    curve_run *run = (curve_run *)allocate(1, sizeof *run);
    eplb_options fresh = preset_options(EPLB_PRESET_DEFAULT);
    size_t layers = (size_t)loads->num_layers, slots = layers * (size_t)shape->problem.num_replicas;

    run->loads = loads;
    run->shape = *shape;
    run->problem = shape->problem;
    run->problem.num_layers = loads->num_layers;
    run->problem.num_experts = loads->num_experts;
    run->first = (int32_t *)allocate(slots, sizeof(int32_t));
    run->phy2log = (int32_t *)allocate(slots, sizeof(int32_t));
    run->before = (int32_t *)allocate(slots, sizeof(int32_t));
    run->transfer = (eplb_transfer *)allocate(slots, sizeof(eplb_transfer));
    run->report = (eplb_layer_report *)allocate(layers, sizeof(eplb_layer_report));
    run->balance = (float *)allocate(layers, sizeof(float));
    run->most = (float *)allocate(layers, sizeof(float));
    if (loads->num_windows > MAX_WINDOWS) fail(loads->name, "too many windows");
    plan_window(run, &fresh, 0, 0);
    memcpy(run->first, run->phy2log, slots * sizeof(int32_t));
    return run;
}

static void close_run(curve_run *run)
{
    for (int i = 0; i < run->num_points; i++) {
        free(run->point[i].window_changed);
        for (int k = 0; k < NUM_SCORES; k++) free(run->point[i].window_balance[k]);
    }
    free(run->first);
    free(run->phy2log);
    free(run->before);
    free(run->transfer);
    free(run->report);
    free(run->balance);
    free(run->most);
    free(run->scratch);
    free(run);
}

static void measure_series(curve_run *run, int s, const migration_settings *set)
{
    if (series[s].on_samples && run->loads->steps == 1) return;
    for (int i = 0; i < MAX_VALUES && (i == 0 || series[s].value[i] > 0); i++) {
        if (set->quick && i > 1) break;
        measure_point(run, s, series[s].value[i]);
        print_point(run, &run->point[run->num_points - 1], set->csv);
        fflush(stdout);
    }
}

static void measure_traffic(const traffic *loads, const curve_shape *shape, const migration_settings *set, int row)
{
    curve_run *run = open_run(loads, shape);
    printf("%s: %d layers, %d experts, %d slots, %d GPUs; %d windows of %d\n", loads->name, (int)loads->num_layers,
           (int)loads->num_experts, (int)run->problem.num_replicas, (int)run->problem.num_gpus, loads->num_windows,
           loads->steps);
    printf("%-27s %8s %9s %9s  %8s %8s %8s\n", "planner", "value", "changed", "moves", "sum", "steps", "exact");
    for (int s = 0; s < NUM_SERIES; s++) measure_series(run, s, set);
    print_bar(run, PRICE);
    print_bar(run, PRICE_SAMPLES);
    print_bar(run, MOVES);
    print_bar(run, GPU_MOVES);
    print_windows(run);
    printf("\n");
    if (set->svg) draw_run(set->svg, run, row);
    close_run(run);
}

void measure_curve(const migration_settings *set)
{
    static const curve_shape small = {{0, 0, 80, 1, 1, 8, 1, NULL, NULL, NULL, NULL, 0}, 0.05, 0.003};
    static const curve_shape large = {{0, 0, 288, 1, 1, 32, 1, NULL, NULL, NULL, NULL, 0}, 0.08, 0.005};
    traffic generated = steady_traffic(set->quick ? 2 : 58, 256, 12, set->seed);

    if (set->csv) fputs("traffic,planner,value,window,changed,moves,on_sum,on_steps,on_sum_exact\n", set->csv);
    if (set->svg)
        open_picture(set->svg, PICTURE_WIDTH, PANEL_TOP + PANEL_STEP * (set->trace ? 2 : 1) - 40,
                     "What a plan gains by changing slots");
    if (set->trace) {
        traffic recorded = read_traffic(set->trace, 8);
        measure_traffic(&recorded, &small, set, 0);
        close_traffic(&recorded);
    }
    measure_traffic(&generated, &large, set, set->trace != NULL);
    if (set->svg) close_picture(set->svg);
    close_traffic(&generated);
}
