/* service.c - one score for a whole service: iterations of a forward pass on generated load (traffic.c: what a chat's
   is like), from experts in order on. A planner plans every so many iterations from so many last ones, at first as soon
   as it has as many. A plan is put in force a layer in each iteration, from the next one on. The score is
     60 x mean over iterations and layers of (heaviest / mean GPU load) + 9.8e-5 x slots changed
   which a public competition has used, and less is better. Heaviest is with equal shares, or with exact ones in every
   fourth iteration. Compared are fresh plans by DEEPSEEK, whose interval is its window, also with a first plan after
   EARLY iterations already, and DEFAULT from the plan in force, for samples that are so many parts of the window. */
#include "migration.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 32, /* iterations that are summed at once: windows are multiples */
    MOST_WINDOW = 4096,
    MOST_BLOCKS = MOST_WINDOW / BLOCK,
    EARLY = 128,
    MOST_SAMPLES = 32,
    SHARED_EVERY = 4, /* iterations, for exact shares */
    SLOTS = 288,
    GPUS = 32,
    MOST_PLANNERS = 40
};

#define BALANCE_WEIGHT 60.0
#define SLOT_WEIGHT    9.8e-5

enum { FRESH, FRESH_EARLY, RELABELLED, FOLLOWS, FOR_EXACT, NUM_WAYS };
static const char *const way_names[NUM_WAYS] = {"fresh deepseek", "fresh deepseek, early", "relabelled deepseek",
                                                "default, price", "default for exact, price"};

typedef struct service_planner {
    int way, window, interval, num_samples;
    double price;
    eplb_options options;
    int32_t *in_force, *planned; /* [L, R] */
    float *inverse;              /* [L, E] of the replicas in force */
    int since;                   /* iterations since the plan was made; L or more: it is in force */
    int plans;
    double equal, exact; /* sums over iterations and layers of heaviest / mean */
    double changed, seconds;
} service_planner;

typedef struct service_run {
    eplb_problem problem;
    int iteration, num_shared; /* iterations scored with exact shares */
    int32_t *count;            /* [L, E] */
    float *block;              /* [MOST_BLOCKS, L, E] a ring of sums of BLOCK iterations */
    float *sample;             /* [MOST_SAMPLES, L, E] */
    int32_t *shared, *most;    /* [L, R], [L] */
    double *mean;              /* [L] tokens of a GPU */
    void *scratch;
    size_t scratch_bytes;
    int num_planners;
    service_planner planner[MOST_PLANNERS];
} service_run;

static size_t num_loads(const service_run *run)
{
    return (size_t)run->problem.num_layers * (size_t)run->problem.num_experts;
}

/* ---------------------------------------------------------------------------------------- plans */

/* The plan's layer takes the place of the one in force. */
static void put_in_force(const service_run *run, service_planner *p, ptrdiff_t layer)
{
    ptrdiff_t experts = run->problem.num_experts;
    int32_t *in_force = p->in_force + layer * SLOTS, *planned = p->planned + layer * SLOTS;
    float *inverse = p->inverse + layer * experts;
    for (ptrdiff_t e = 0; e < experts; e++) inverse[e] = 0;
    for (ptrdiff_t slot = 0; slot < SLOTS; slot++) {
        p->changed += in_force[slot] != planned[slot];
        in_force[slot] = planned[slot];
        inverse[in_force[slot]] += 1;
    }
    for (ptrdiff_t e = 0; e < experts; e++) inverse[e] = 1 / inverse[e];
}

static void take_block(service_run *run)
{
    size_t n = num_loads(run), block = (size_t)(run->iteration / BLOCK) % MOST_BLOCKS;
    float *sum = run->block + block * n;
    if (run->iteration % BLOCK == 0) memset(sum, 0, n * sizeof *sum);
    for (size_t i = 0; i < n; i++) sum[i] += (float)run->count[i];
}

/* The last window, cut into as many samples; blocks is how many of them there are by now. */
static void fill_samples(service_run *run, const service_planner *p)
{
    size_t n = num_loads(run), last = (size_t)run->iteration / BLOCK, each;
    size_t window = (size_t)p->window / BLOCK < last ? (size_t)p->window / BLOCK : last;
    each = window / (size_t)p->num_samples;
    memset(run->sample, 0, (size_t)p->num_samples * n * sizeof(float));
    for (size_t b = 0; b < each * (size_t)p->num_samples; b++) {
        const float *block = run->block + (last - 1 - b) % MOST_BLOCKS * n;
        float *sample = run->sample + b / each * n;
        for (size_t i = 0; i < n; i++) sample[i] += block[i];
    }
}

static void make_plan(service_run *run, service_planner *p)
{
    eplb_plan plan = {p->planned, NULL, NULL, NULL, 0, NULL};
    eplb_result r;
    double begun;
    fill_samples(run, p);
    run->problem.num_samples = p->num_samples;
    begun = now();
    r = eplb_rebalance(&run->problem, &p->options, run->sample, &plan, run->scratch, run->scratch_bytes);
    if (r != EPLB_OK) fail(way_names[p->way], eplb_result_name(r));
    p->seconds += now() - begun;
    p->plans++;
    p->since = 0;
}

/* A plan is due when the first window is full, or EARLY iterations are there, and then at each interval. */
static int is_due(const service_run *run, const service_planner *p)
{
    int first = p->way == FRESH_EARLY ? EARLY : p->window;
    if (run->iteration < first) return 0;
    if (run->iteration == first) return 1;
    return run->iteration % p->interval == 0;
}

/* --------------------------------------------------------------------------------------- scores */

static void score_equal(const service_run *run, service_planner *p)
{
    for (ptrdiff_t layer = 0; layer < run->problem.num_layers; layer++) {
        const int32_t *slot = p->in_force + layer * SLOTS, *count = run->count + layer * run->problem.num_experts;
        const float *inverse = p->inverse + layer * run->problem.num_experts;
        float most = 0;
        for (int gpu = 0; gpu < GPUS; gpu++) {
            float load = 0;
            for (int s = 0; s < SLOTS / GPUS; s++, slot++) load += (float)count[*slot] * inverse[*slot];
            most = load > most ? load : most;
        }
        p->equal += (double)most / run->mean[layer];
    }
}

static void score_exact(const service_run *run, service_planner *p)
{
    eplb_result r = eplb_share(&run->problem, p->in_force, run->count, EPLB_SHARE_LEAST_MAX, run->shared, run->most,
                               run->scratch, run->scratch_bytes);
    if (r != EPLB_OK) fail("eplb_share", eplb_result_name(r));
    for (ptrdiff_t layer = 0; layer < run->problem.num_layers; layer++) p->exact += run->most[layer] / run->mean[layer];
}

static void play_iteration(service_run *run, service_planner *p)
{
    if (p->since < run->problem.num_layers) put_in_force(run, p, p->since++);
    if (is_due(run, p)) make_plan(run, p); /* of the iterations before this one */
    score_equal(run, p);
    if (run->iteration % SHARED_EVERY == 0) score_exact(run, p);
}

static void find_means(service_run *run)
{
    for (ptrdiff_t layer = 0; layer < run->problem.num_layers; layer++) {
        const int32_t *count = run->count + layer * run->problem.num_experts;
        double sum = 0.0;
        for (ptrdiff_t e = 0; e < run->problem.num_experts; e++) sum += count[e];
        run->mean[layer] = sum / GPUS;
    }
}

static double total_of(const service_run *run, const service_planner *p, int exact)
{
    double cells = (double)(exact ? run->num_shared : run->iteration) * run->problem.num_layers;
    return BALANCE_WEIGHT * (exact ? p->exact : p->equal) / cells + SLOT_WEIGHT * p->changed;
}

/* ------------------------------------------------------------------------------------- planners */

static void add_planner(service_run *run, int way, int window, int interval, int num_samples, double price)
{
    service_planner *p = &run->planner[run->num_planners++];
    size_t slots = (size_t)run->problem.num_layers * SLOTS, bytes = 0;
    p->way = way;
    p->window = window;
    p->interval = interval;
    p->num_samples = num_samples;
    p->price = price;
    p->in_force = (int32_t *)allocate(slots, sizeof(int32_t));
    p->planned = (int32_t *)allocate(slots, sizeof(int32_t));
    p->inverse = (float *)allocate(num_loads(run), sizeof(float));
    p->options = preset_options(way >= FOLLOWS ? EPLB_PRESET_DEFAULT : EPLB_PRESET_DEEPSEEK);
    if (way >= RELABELLED) p->options.previous_phy2log = p->in_force;
    if (way == FOR_EXACT) p->options.shares = EPLB_PLAN_FOR_EXACT;
    p->options.move_cost = (float)price;
    for (size_t slot = 0; slot < slots; slot++)
        p->in_force[slot] = p->planned[slot] = (int32_t)(slot % SLOTS) % run->problem.num_experts;
    for (ptrdiff_t layer = 0; layer < run->problem.num_layers; layer++) put_in_force(run, p, layer);
    p->since = run->problem.num_layers;
    run->problem.num_samples = num_samples;
    if (eplb_scratch_size(&run->problem, &p->options, &bytes) != EPLB_OK)
        fail(way_names[way], "scratch cannot be measured");
    run->scratch_bytes = bytes > run->scratch_bytes ? bytes : run->scratch_bytes;
}

static void add_planners(service_run *run, const migration_settings *set)
{
    static const int windows[] = {128, 256, 512, 1024, 2048, 4096};
    static const double prices[] = {0.001, 0.002, 0.004, 0.008, 0.016};
    int num_windows = set->quick ? 2 : 6, num_prices = set->quick ? 1 : 5;
    for (int w = 0; w < num_windows; w++) add_planner(run, FRESH, windows[w], windows[w], 1, 0);
    for (int w = 0; w < num_windows; w++) add_planner(run, FRESH_EARLY, windows[w], windows[w], 1, 0);
    add_planner(run, RELABELLED, 128, 512, 1, 0);
    for (int i = 0; i < num_prices; i++) add_planner(run, FOLLOWS, 128, 128, 1, prices[i]);
    for (int i = 0; i < num_prices; i++) add_planner(run, FOLLOWS, 128, 128, 4, prices[i]);
    for (int i = 1; i < num_prices; i++) add_planner(run, FOLLOWS, 64, 64, 2, prices[i]);
    for (int i = 2; i < num_prices; i++) add_planner(run, FOLLOWS, 64, 64, 1, prices[i]);
    for (int i = 2; i < num_prices; i++) add_planner(run, FOLLOWS, 256, 128, 8, prices[i]);
    add_planner(run, FOR_EXACT, 64, 64, 2, 0.004);
}

/* ------------------------------------------------------------------------------------------ runs */

static void print_planner(const service_run *run, const service_planner *p, FILE *csv)
{
    double equal = p->equal / run->iteration / run->problem.num_layers;
    double exact = p->exact / run->num_shared / run->problem.num_layers;
    double ms = p->plans > 0 ? p->seconds * 1e3 / p->plans : 0;
    printf("%-25s %6d %8d %7d %7g %5d %8.0f %8.2f  %7.4f %7.4f %8.3f %8.3f\n", way_names[p->way], p->window,
           p->interval, p->num_samples, p->price, p->plans, p->changed, ms, equal, exact, total_of(run, p, 0),
           total_of(run, p, 1));
    if (csv)
        fprintf(csv, "\"%s\",%d,%d,%d,%g,%d,%.0f,%.3f,%.5f,%.5f,%.4f,%.4f\n", way_names[p->way], p->window, p->interval,
                p->num_samples, p->price, p->plans, p->changed, ms, equal, exact, total_of(run, p, 0),
                total_of(run, p, 1));
}

static const service_planner *best_planner(const service_run *run, int first_way, int last_way, int exact)
{
    const service_planner *best = NULL;
    for (int i = 0; i < run->num_planners; i++) {
        const service_planner *p = &run->planner[i];
        if (p->way >= first_way && p->way <= last_way
            && (!best || total_of(run, p, exact) < total_of(run, best, exact)))
            best = p;
    }
    return best;
}

static void print_bar(const service_run *run)
{
    double late = total_of(run, best_planner(run, FRESH, FRESH, 0), 0);
    double early = total_of(run, best_planner(run, FRESH, FRESH_EARLY, 0), 0);
    double equal = total_of(run, best_planner(run, FOLLOWS, NUM_WAYS - 1, 0), 0);
    double exact = total_of(run, best_planner(run, FOLLOWS, NUM_WAYS - 1, 1), 1);
    printf("best fresh plans, equal shares: %.3f, with an early first plan %.3f\n", late, early);
    printf("best from the plan in force: %.3f with equal shares, %.1f%% and %.1f%% below; %.3f with exact ones, %.1f%% "
           "and %.1f%%\n\n",
           equal, (1 - equal / late) * 100, (1 - equal / early) * 100, exact, (1 - exact / late) * 100,
           (1 - exact / early) * 100);
}

static void open_run(service_run *run, const migration_settings *set)
{
    size_t layers, bytes = 0;
    run->problem.num_layers = set->quick ? 2 : 58;
    run->problem.num_experts = 256;
    run->problem.num_replicas = SLOTS;
    run->problem.num_gpus = GPUS;
    layers = (size_t)run->problem.num_layers;
    run->count = (int32_t *)allocate(num_loads(run), sizeof(int32_t));
    run->block = (float *)allocate(MOST_BLOCKS * num_loads(run), sizeof(float));
    run->sample = (float *)allocate(MOST_SAMPLES * num_loads(run), sizeof(float));
    run->shared = (int32_t *)allocate(layers * SLOTS, sizeof(int32_t));
    run->most = (int32_t *)allocate(layers, sizeof(int32_t));
    run->mean = (double *)allocate(layers, sizeof(double));
    add_planners(run, set);
    if (eplb_share_scratch_size(&run->problem, &bytes) != EPLB_OK) fail("eplb_share_scratch_size", "refused the shape");
    run->scratch_bytes = bytes > run->scratch_bytes ? bytes : run->scratch_bytes;
    run->scratch = allocate(run->scratch_bytes, 1);
}

static void close_run(service_run *run)
{
    for (int i = 0; i < run->num_planners; i++) {
        free(run->planner[i].in_force);
        free(run->planner[i].planned);
        free(run->planner[i].inverse);
    }
    free(run->count);
    free(run->block);
    free(run->sample);
    free(run->shared);
    free(run->most);
    free(run->mean);
    free(run->scratch);
    free(run);
}

void measure_service(const migration_settings *set)
{
    service_run *run = (service_run *)allocate(1, sizeof *run);
    chat load;
    open_run(run, set);
    load = open_chat(run->problem.num_layers, run->problem.num_experts, set->seed);
    if (set->csv)
        fputs("planner,window,interval,samples,price,plans,slots_changed,ms,equal,exact,score_equal,score_exact\n",
              set->csv);
    for (; run->iteration < set->iterations; run->iteration++) {
        next_iteration(&load, run->count);
        find_means(run);
        for (int i = 0; i < run->num_planners; i++) play_iteration(run, &run->planner[i]);
        take_block(run);
        run->num_shared += run->iteration % SHARED_EVERY == 0;
    }
    printf("service of %d iterations, %d layers, 256 experts, %d slots, %d GPUs\n", run->iteration,
           (int)run->problem.num_layers, SLOTS, GPUS);
    printf("%-25s %6s %8s %7s %7s %5s %8s %8s  %7s %7s %8s %8s\n", "planner", "window", "interval", "samples", "price",
           "plans", "changed", "ms", "equal", "exact", "score", "exact");
    for (int i = 0; i < run->num_planners; i++) print_planner(run, &run->planner[i], set->csv);
    print_bar(run);
    close_chat(&load);
    close_run(run);
}
