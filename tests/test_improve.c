/* test_improve.c - the search that options.effort asks for: how near it comes to the bound, that it
   never loses to its start, keeps replicas of an expert apart, leaves no swap undone when it plans for
   many samples, and depends on nothing but its arguments.

   usage: test_improve [SEED [COUNT]]: random problem i has seed SEED + i */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

#include <math.h>

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

static eplb_options preset_options(int32_t preset)
{
    eplb_options options;
    CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset %d", (int)preset);
    return options;
}

/* Plan and evaluate with the same options: phy2log [L, R], report [L]. */
static void plan_and_report(const eplb_problem *problem, const eplb_options *options, const float *weight,
                            int32_t *phy2log, eplb_layer_report *report)
{
    size_t bytes = 0;
    eplb_plan plan = EPLB_ZERO_INIT;
    plan.phy2log = phy2log;
    CHECK(eplb_scratch_size(problem, options, &bytes) == EPLB_OK, "E %d", (int)problem->num_experts);
    void *scratch = test_alloc(bytes);
    eplb_result result = eplb_rebalance(problem, options, weight, &plan, scratch, bytes);
    CHECK(result == EPLB_OK, "rebalance: %s", eplb_result_name(result));
    result = eplb_evaluate(problem, options, weight, &plan, report, NULL, scratch, bytes);
    CHECK(result == EPLB_OK, "evaluate: %s", eplb_result_name(result));
    free(scratch);
}

/* ------------------------------------------------------------------------------ known problems */

/* The best replica counts and LPT give 196.7, the reference 232; the mean is 181.25. */
static void test_hard_case(void)
{
    static const float weight[8] = {600, 560, 120, 120, 20, 10, 10, 10};
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    eplb_layer_report report;
    int32_t phy2log[16];
    problem.num_layers = 1;
    problem.num_experts = 8;
    problem.num_replicas = 16;
    problem.num_gpus = 8;
    options.policy = EPLB_POLICY_GLOBAL;
    plan_and_report(&problem, &options, weight, phy2log, &report);
    printf("  hard case: largest GPU load %.2f\n", (double)report.max_load);
    CHECK(report.max_load <= 196.7f, "%g", (double)report.max_load);
    CHECK(report.num_duplicates == 0, "%d", (int)report.num_duplicates);
}

/* Lognormal with median 1; sd is that of the logarithm (Box and Muller 1958). */
static void draw_lognormal(uint64_t *state, double sd, float *weight, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        double u = ((double)(test_next(state) >> 11) + 0.5) * 0x1p-53;
        double angle = 6.283185307179586 * ((double)(test_next(state) >> 11) * 0x1p-53);
        weight[i] = (float)exp(sd * sqrt(-2.0 * log(u)) * cos(angle));
    }
}

enum { MODEL_LAYERS = 58, MODEL_EXPERTS = 256, MODEL_MOST_SLOTS = 320, SEEDS_PER_BAR = 3 };

typedef struct gap_bar {
    int32_t num_replicas, num_groups, num_nodes, num_gpus;
    double sd;  /* of the logarithm of the loads */
    double gap; /* percent by which the heaviest GPU may exceed the bound, mean over the layers */
} gap_bar;

static double model_gap(const gap_bar *bar, uint64_t seed)
{
    static float weight[MODEL_LAYERS * MODEL_EXPERTS];
    static int32_t phy2log[MODEL_LAYERS * MODEL_MOST_SLOTS];
    static eplb_layer_report report[MODEL_LAYERS];
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    double sum = 0;
    problem.num_layers = MODEL_LAYERS;
    problem.num_experts = MODEL_EXPERTS;
    problem.num_replicas = bar->num_replicas;
    problem.num_groups = bar->num_groups;
    problem.num_nodes = bar->num_nodes;
    problem.num_gpus = bar->num_gpus;
    draw_lognormal(&seed, bar->sd, weight, MODEL_LAYERS * MODEL_EXPERTS);
    plan_and_report(&problem, &options, weight, phy2log, report);
    for (int layer = 0; layer < MODEL_LAYERS; layer++) {
        CHECK(report[layer].num_duplicates == 0, "layer %d", layer);
        sum += (double)report[layer].max_load / (double)report[layer].lower_bound - 1;
    }
    return 100 * sum / MODEL_LAYERS;
}

static void test_gaps(void)
{
    static const gap_bar bars[] = {
        {288, 1, 1, 32, 0.5, 0.05}, {288, 1, 1, 32, 0.7, 0.05}, {288, 1, 1, 32, 1.0, 0.05}, {288, 1, 1, 32, 1.5, 0.05},
        {288, 8, 4, 32, 0.5, 0.1},  {288, 8, 4, 32, 0.7, 0.1},  {288, 8, 4, 32, 1.0, 0.1},  {288, 8, 4, 32, 1.5, 0.2},
        {320, 8, 8, 64, 0.5, 0.2},  {320, 8, 8, 64, 1.0, 0.3},  {320, 8, 8, 64, 1.5, 1.5},
    };
    for (size_t i = 0; i < sizeof bars / sizeof bars[0]; i++) {
        const gap_bar *bar = &bars[i];
        printf("  %d slots, %d nodes, %d GPUs, sd %.1f: gap", (int)bar->num_replicas, (int)bar->num_nodes,
               (int)bar->num_gpus, bar->sd);
        for (uint64_t seed = 1; seed <= SEEDS_PER_BAR; seed++) {
            double gap = model_gap(bar, 100 * i + seed);
            printf(" %.4f", gap);
            CHECK(gap <= bar->gap, "bar %d, seed %d: %g %%", (int)i, (int)seed, gap);
        }
        printf(" %%, bar %.2f %%\n", bar->gap);
    }
}

/* Percent by which the heaviest GPU exceeds the bound. */
static double planted_gap(const eplb_problem *problem, int32_t preset, const float *weight)
{
    enum { MOST_SLOTS = 72 };
    int32_t phy2log[MOST_SLOTS];
    eplb_layer_report report;
    eplb_options options = preset_options(preset);
    plan_and_report(problem, &options, weight, phy2log, &report);
    return 100 * ((double)report.max_load / (double)report.lower_bound - 1);
}

/* Two experts of 3.24 and 2.415 times the mean GPU load take so many of the spare replicas that they
   meet on some GPUs, and where they meet the GPU is too full, wherever the others go. One replica less
   of each makes room for both, if the light experts then fill the GPUs up. */
static void test_planted(void)
{
    enum { E = 64, NUM_SEEDS = 20 };
    double least_reference = 100, least_swapped = 100, most = 0;
    eplb_problem problem = EPLB_ZERO_INIT;
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = 72;
    problem.num_gpus = 8;
    for (uint64_t seed = 1; seed <= NUM_SEEDS; seed++) {
        uint64_t state = seed;
        float weight[E], light = 0;
        draw_lognormal(&state, 0.7, weight, E);
        for (int e = 2; e < E; e++) light += weight[e];
        weight[0] = 3.24f * light / (8 - 3.24f - 2.415f);
        weight[1] = 2.415f * light / (8 - 3.24f - 2.415f);
        double reference = planted_gap(&problem, EPLB_PRESET_DEEPSEEK, weight);
        double swapped = planted_gap(&problem, EPLB_PRESET_L2, weight);
        double gap = planted_gap(&problem, EPLB_PRESET_DEFAULT, weight);
        CHECK(reference > 10 && swapped > 5, "seed %d: %g %%, swaps %g %%", (int)seed, reference, swapped);
        CHECK(gap < 1, "seed %d: %g %%", (int)seed, gap);
        least_reference = reference < least_reference ? reference : least_reference;
        least_swapped = swapped < least_swapped ? swapped : least_swapped;
        most = gap > most ? gap : most;
    }
    printf("  planted: reference %.2f %% or more, with swaps %.2f %% or more, here %.2f %% or less\n", least_reference,
           least_swapped, most);
}

/* ------------------------------------------------------------------------------------ one layer */

enum { MOST_SAMPLES = 9 };

/* A layer of a problem as the policy sees it, with a plan, in double precision. */
typedef struct layer_view {
    int32_t num_experts, num_gpus;
    int32_t num_samples, sample[MOST_SAMPLES]; /* those that hold load in the layer: T of this view */
    int32_t num_nodes, node_gpus, gpu_slots;   /* one node under the global policy */
    const int32_t *phy2log;                    /* [R] */
    double *sample_weight;                     /* [T] beside the heaviest */
    double *share;                             /* [T, E] load of one replica */
    double *gpu_load;                          /* [T, G] */
} layer_view;

static int32_t problem_samples(const eplb_problem *problem) { return problem->num_samples ? problem->num_samples : 1; }

static int32_t nodes_under_policy(const eplb_problem *problem, int32_t policy)
{
    int32_t K = problem->num_groups ? problem->num_groups : 1;
    int32_t N = problem->num_nodes ? problem->num_nodes : 1;
    return policy == EPLB_POLICY_GLOBAL || K % N != 0 ? 1 : N;
}

static double *doubles(int32_t rows, int32_t width)
{
    size_t count = (size_t)rows * (size_t)width;
    double *a = (double *)test_alloc(count * sizeof(double));
    for (size_t i = 0; i < count; i++) a[i] = 0;
    return a;
}

static const float *layer_load(const random_problem *r, int32_t sample, int32_t layer)
{
    size_t row = (size_t)sample * (size_t)r->problem.num_layers + (size_t)layer;
    return r->weight + row * (size_t)r->problem.num_experts;
}

static int holds_load(const random_problem *r, int32_t sample, int32_t layer)
{
    const float *load = layer_load(r, sample, layer);
    for (int32_t e = 0; e < r->problem.num_experts; e++)
        if (load[e] > 0) return 1;
    return 0;
}

static layer_view view_layer(const random_problem *r, const int32_t *phy2log, int32_t layer)
{
    const eplb_problem *p = &r->problem;
    const float *weight = r->options.sample_weight;
    layer_view v;
    float heaviest = 0;
    v.num_experts = p->num_experts;
    v.num_gpus = p->num_gpus;
    v.num_samples = 0;
    v.num_nodes = nodes_under_policy(p, r->options.policy);
    v.node_gpus = p->num_gpus / v.num_nodes;
    v.gpu_slots = p->num_replicas / p->num_gpus;
    v.phy2log = phy2log + (size_t)layer * (size_t)p->num_replicas;
    v.sample_weight = doubles(problem_samples(p), 1);
    v.share = doubles(problem_samples(p), v.num_experts);
    v.gpu_load = doubles(problem_samples(p), v.num_gpus);
    for (int32_t t = 0; weight && t < problem_samples(p); t++)
        if (weight[t] > heaviest && holds_load(r, t, layer)) heaviest = weight[t];
    for (int32_t t = 0; t < problem_samples(p); t++) {
        const float *load = layer_load(r, t, layer);
        double *share = v.share + v.num_samples * v.num_experts;
        if (!holds_load(r, t, layer) || (heaviest > 0 && (double)weight[t] / (double)heaviest < 0x1p-30))
            continue; /* what counts for less is not seen */
        v.sample[v.num_samples] = t;
        v.sample_weight[v.num_samples] = heaviest > 0 ? (double)weight[t] / (double)heaviest : 1;
        for (int32_t e = 0; e < v.num_experts; e++)
            share[e] = (double)load[e] / plan_copies(v.phy2log, p->num_replicas, e);
        for (int32_t i = 0; i < p->num_replicas; i++)
            v.gpu_load[v.num_samples * v.num_gpus + i / v.gpu_slots] += share[v.phy2log[i]];
        v.num_samples++;
    }
    return v;
}

static void view_free(layer_view *v)
{
    free(v->sample_weight);
    free(v->share);
    free(v->gpu_load);
}

static int32_t copies_on(const layer_view *v, int32_t gpu, int32_t expert)
{
    return plan_copies(v->phy2log + gpu * v->gpu_slots, v->gpu_slots, expert);
}

/* What improve lowers: the squares of the loads, over GPUs and samples. */
static double view_squares(const layer_view *v)
{
    double sum = 0;
    for (int32_t t = 0; t < v->num_samples; t++)
        for (int32_t gpu = 0; gpu < v->num_gpus; gpu++) {
            double load = v->gpu_load[t * v->num_gpus + gpu];
            sum += v->sample_weight[t] * load * load;
        }
    return sum;
}

/* Slots less different experts, over the GPUs. */
static int32_t view_duplicates(const layer_view *v)
{
    int32_t duplicates = v->num_gpus * v->gpu_slots;
    for (int32_t gpu = 0; gpu < v->num_gpus; gpu++)
        for (int32_t e = 0; e < v->num_experts; e++) duplicates -= copies_on(v, gpu, e) > 0;
    return duplicates;
}

/* Slots whose expert is on their GPU once more while another GPU of the node is free of it. */
static int32_t view_avoidable_duplicates(const layer_view *v)
{
    int32_t avoidable = 0;
    for (int32_t i = 0; i < v->num_gpus * v->gpu_slots; i++) {
        int32_t gpu = i / v->gpu_slots, first = gpu - gpu % v->node_gpus, is_free = 0;
        if (copies_on(v, gpu, v->phy2log[i]) < 2) continue;
        for (int32_t g = first; g < first + v->node_gpus; g++) is_free |= copies_on(v, g, v->phy2log[i]) == 0;
        avoidable += is_free;
    }
    return avoidable;
}

/* ----------------------------------------------------------------------------- random problems */

/* A random problem with effort, and one time in three with more samples: the same experts under loads
   that vary about a mean of their own, counting differently. */
typedef struct improve_case {
    random_problem r;
    float sample_weight[MOST_SAMPLES];
} improve_case;

static void draw_samples(uint64_t *state, random_problem *r)
{
    int32_t T = test_range(state, 2, MOST_SAMPLES), rows = r->problem.num_layers, E = r->problem.num_experts;
    size_t n = (size_t)rows * (size_t)E;
    float *mean = random_loads(state, rows, E);
    float *weight = (float *)test_alloc((size_t)T * n * sizeof(float));
    for (size_t i = 0; i < (size_t)T * n; i++) weight[i] = mean[i % n] * (0.25f + random_unit(state));
    free(mean);
    free(r->weight);
    r->weight = weight;
    r->problem.num_samples = T;
}

/* Squares of sixteenths, of which the library's integer roots are exact; the first counts for 1. */
static void draw_sample_weights(uint64_t *state, improve_case *c)
{
    for (int32_t t = 0; t < MOST_SAMPLES; t++) {
        float root = t ? (float)test_range(state, 0, 16) / 16.0f : 1.0f;
        c->sample_weight[t] = root * root;
    }
    c->r.options.sample_weight = c->sample_weight;
}

static void case_make(improve_case *c, uint64_t seed)
{
    uint64_t state = ~seed;
    c->r = random_problem_make(seed);
    c->r.options.effort = test_range(&state, 1, 20);
    c->r.options.allow_duplicates = test_range(&state, 0, 2) == 0;
    if (test_range(&state, 0, 2) == 0) draw_samples(&state, &c->r);
    if (test_range(&state, 0, 1)) draw_sample_weights(&state, c);
}

/* A problem's plan and its figures. */
typedef struct planned {
    eplb_plan plan;
    eplb_layer_report *report; /* [L] */
} planned;

static planned plan_case(const random_problem *r, const eplb_options *options)
{
    planned p;
    size_t bytes = 0;
    eplb_result result;
    p.plan = plan_alloc(&r->problem, plan_full_width(&r->problem));
    p.report = (eplb_layer_report *)test_alloc((size_t)r->problem.num_layers * sizeof *p.report);
    CHECK(eplb_scratch_size(&r->problem, options, &bytes) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(r));
    void *scratch = test_alloc(bytes);
    result = eplb_rebalance(&r->problem, options, r->weight, &p.plan, scratch, bytes);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(r), eplb_result_name(result));
    result = eplb_evaluate(&r->problem, options, r->weight, &p.plan, p.report, NULL, scratch, bytes);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(r), eplb_result_name(result));
    free(scratch);
    return p;
}

static void planned_free(planned *p)
{
    plan_free(&p->plan);
    free(p->report);
}

/* ------------------------------------------------------------------------ valid, and kept apart */

static void check_counts(const random_problem *r, const planned *p, int32_t layer)
{
    size_t E = (size_t)r->problem.num_experts, R = (size_t)r->problem.num_replicas;
    int32_t cap = r->options.max_replicas;
    for (size_t e = 0; e < E; e++) {
        int32_t count = p->plan.logcnt[(size_t)layer * E + e];
        int32_t copies = plan_copies(p->plan.phy2log + (size_t)layer * R, (int32_t)R, (int32_t)e);
        CHECK(count >= 1 && count == copies && (cap == 0 || count <= cap),
              RANDOM_FORMAT ": layer %d: expert %d counts %d, has %d, cap %d", RANDOM_ARGS(r), (int)layer, (int)e,
              (int)count, (int)copies, (int)cap);
    }
}

/* Groups stay whole, and each node has equally many. */
static void check_groups(const random_problem *r, const layer_view *v)
{
    int32_t K = v->num_nodes > 1 ? r->problem.num_groups : 1, node_slots = v->node_gpus * v->gpu_slots;
    int32_t *seen = plan_ints((size_t)v->num_nodes * (size_t)K);
    for (int32_t i = 0; i < v->num_nodes * node_slots; i++)
        seen[i / node_slots * K + v->phy2log[i] / (v->num_experts / K)] = 1;
    for (int32_t node = 0; node < v->num_nodes; node++)
        CHECK(plan_copies(seen + node * K, K, 1) == K / v->num_nodes, RANDOM_FORMAT ": node %d has parts of %d groups",
              RANDOM_ARGS(r), (int)node, (int)plan_copies(seen + node * K, K, 1));
    free(seen);
}

/* Whether no expert need be twice on a GPU, as it must where there are more slots than that leaves room for. */
static int could_keep_apart(const layer_view *v) { return v->gpu_slots <= v->num_experts / v->num_nodes; }

static int kept_apart(const random_problem *r, const layer_view *v)
{
    return !r->options.allow_duplicates && could_keep_apart(v);
}

static void check_duplicates(const random_problem *r, const planned *p, const layer_view *v, int32_t layer)
{
    int32_t avoidable = view_avoidable_duplicates(v);
    CHECK(p->report[layer].num_duplicates == view_duplicates(v), RANDOM_FORMAT ": layer %d: %d, not %d", RANDOM_ARGS(r),
          (int)layer, (int)p->report[layer].num_duplicates, (int)view_duplicates(v));
    CHECK(!kept_apart(r, v) || avoidable == 0, RANDOM_FORMAT ": layer %d: %d slots beside a replica of their expert",
          RANDOM_ARGS(r), (int)layer, (int)avoidable);
}

/* ------------------------------------------------------------------------------------ never worse */

/* The options whose plan improve starts from, with one sample. An expert with more replicas than its
   node has GPUs would be twice on one of them. */
static eplb_options start_options(const random_problem *r)
{
    eplb_options options = r->options;
    int32_t N = nodes_under_policy(&r->problem, options.policy), node_gpus = r->problem.num_gpus / N;
    options.effort = 0;
    if (r->problem.num_replicas / r->problem.num_gpus <= r->problem.num_experts / N)
        options.max_replicas = options.max_replicas ? smaller(options.max_replicas, node_gpus) : node_gpus;
    return options;
}

/* With one sample. Where duplicates of the start had to go, the plan may be worse than that. */
static void check_never_worse(const random_problem *r, const planned *p)
{
    eplb_options options = start_options(r);
    planned start = plan_case(r, &options);
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++) {
        layer_view v = view_layer(r, start.plan.phy2log, layer);
        if (!kept_apart(r, &v) || view_avoidable_duplicates(&v) == 0)
            CHECK(p->report[layer].max_load <= start.report[layer].max_load * 1.00001f,
                  RANDOM_FORMAT ": layer %d: %.9g, was %.9g", RANDOM_ARGS(r), (int)layer,
                  (double)p->report[layer].max_load, (double)start.report[layer].max_load);
        view_free(&v);
    }
    planned_free(&start);
}

/* Each further start is kept only if it is better, so the best of 33 is no worse than the best of 9. */
static void check_more_effort(const random_problem *r)
{
    eplb_options less = r->options, more = r->options;
    less.effort = 9;
    more.effort = 33;
    planned a = plan_case(r, &less), b = plan_case(r, &more);
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++)
        CHECK(b.report[layer].max_load <= a.report[layer].max_load * 1.000001f,
              RANDOM_FORMAT ": layer %d: %.9g, with less effort %.9g", RANDOM_ARGS(r), (int)layer,
              (double)b.report[layer].max_load, (double)a.report[layer].max_load);
    planned_free(&a);
    planned_free(&b);
}

/* Where a node has few slots, or must put experts twice on a GPU, one search may end in a worse valley
   than the one the reference happens to start in; elsewhere only a little. */
static double most_above_reference(const layer_view *v)
{
    int32_t node_slots = v->node_gpus * v->gpu_slots, node_experts = v->num_experts / v->num_nodes;
    return node_slots < 16 || v->gpu_slots > node_experts ? 1.1 : 1.02;
}

static long compared_layers, layers_above; /* with the reference; those whose squares are above its */
static double most_above;

/* With several samples, all alike, the start cannot be had from outside, so the plan is compared with
   the reference's for the same groups on nodes, unless that has duplicates which had to go. */
static void check_reference(const random_problem *r, const planned *p)
{
    eplb_options options = r->options, reference_options = preset_options(EPLB_PRESET_DEEPSEEK);
    reference_options.policy = options.policy;
    reference_options.max_replicas = options.max_replicas;
    reference_options.group_packing = options.group_packing;
    reference_options.seed = options.seed;
    planned reference = plan_case(r, &reference_options);
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++) {
        layer_view a = view_layer(r, p->plan.phy2log, layer);
        layer_view b = view_layer(r, reference.plan.phy2log, layer);
        double squares = view_squares(&a), reference_squares = view_squares(&b);
        if (reference_squares > 0 && (options.allow_duplicates || view_avoidable_duplicates(&b) == 0)) {
            double ratio = squares / reference_squares;
            CHECK(ratio <= most_above_reference(&a), RANDOM_FORMAT ": layer %d: %g of the reference", RANDOM_ARGS(r),
                  (int)layer, ratio);
            compared_layers++;
            layers_above += ratio > 1.000001;
            most_above = ratio > most_above ? ratio : most_above;
        }
        view_free(&a);
        view_free(&b);
    }
    planned_free(&reference);
}

/* ----------------------------------------------------------------------------------- swap-optimal */

/* Swaps that lower the objective by a smaller part of the squares of the mean GPU loads are left, in
   the library by half of it as it counts half of the fall. */
#define PART_LEFT 0x1p-13

/* How far loads may be off, times the root of the sample's weight. The library counts in integers, of
   which the heaviest sample of a layer has 2^(bits - 1) or more. Loads are rounded once and cut off, and
   so are shares: the load of a GPU is off by less than 2 for each slot, and a difference of two GPUs, or
   of two experts, by less than 4 for each slot. */
static double load_error(const random_problem *r, const layer_view *v, int32_t layer)
{
    int32_t E = v->num_experts, sample_bits = 0;
    double largest = 0;
    while ((1 << sample_bits) < v->num_samples) sample_bits++;
    for (int32_t t = 0; t < v->num_samples; t++) {
        const float *load = layer_load(r, v->sample[t], layer);
        double sum = 0;
        for (int32_t e = 0; e < E; e++) sum += (double)load[e] * sqrt(v->sample_weight[t]);
        largest = sum > largest ? sum : largest;
    }
    double integers = ldexp(1, 29 - sample_bits);
    return largest * (4.0 * v->gpu_slots / integers + 0x1p-22);
}

/* What a swap of slots i and j takes off the objective, less what it may for rounding. */
static double swap_fall(const layer_view *v, int32_t i, int32_t j, double error)
{
    int32_t a = i / v->gpu_slots, b = j / v->gpu_slots;
    double fall = 0;
    for (int32_t t = 0; t < v->num_samples; t++) {
        const double *share = v->share + t * v->num_experts, *load = v->gpu_load + t * v->num_gpus;
        double d = share[v->phy2log[i]] - share[v->phy2log[j]], rest = load[a] - load[b] - d;
        double weight = v->sample_weight[t], root = sqrt(weight);
        fall += 2 * (weight * d * rest - (root * (fabs(d) + fabs(rest)) + error) * error);
    }
    return fall;
}

static int keeps_apart(const layer_view *v, int32_t i, int32_t j)
{
    return copies_on(v, i / v->gpu_slots, v->phy2log[j]) == 0 && copies_on(v, j / v->gpu_slots, v->phy2log[i]) == 0;
}

/* With several samples the search ends where no swap is left, but for those that make duplicates: even where these
   are allowed, the plan may be the one that does without. No problem here is so large that its
   bound on swaps comes first. */
static void check_swaps(const random_problem *r, const layer_view *v, int32_t layer, int32_t node)
{
    int32_t first = node * v->node_gpus * v->gpu_slots, last = first + v->node_gpus * v->gpu_slots;
    double left = 0, most = 0, error = load_error(r, v, layer);
    for (int32_t t = 0; t < v->num_samples; t++) {
        double mean = 0;
        for (int32_t gpu = node * v->node_gpus; gpu < (node + 1) * v->node_gpus; gpu++)
            mean += v->gpu_load[t * v->num_gpus + gpu] / v->node_gpus;
        left += v->sample_weight[t] * mean * mean * PART_LEFT;
    }
    for (int32_t i = first; i < last; i++)
        for (int32_t j = i - i % v->gpu_slots + v->gpu_slots; j < last; j++) {
            double fall = swap_fall(v, i, j, error);
            if (fall > most && (!could_keep_apart(v) || keeps_apart(v, i, j))) most = fall;
        }
    CHECK(most <= left, RANDOM_FORMAT ": layer %d, node %d: a swap is left that gains %g; %g may be", RANDOM_ARGS(r),
          (int)layer, (int)node, most, left);
}

/* --------------------------------------------------------------------------------- sample weights */

static void check_same_plan(const random_problem *r, const eplb_plan *plan, const eplb_options *options,
                            const char *what)
{
    eplb_plan other = plan_alloc(&r->problem, plan->log2phy_width);
    eplb_result result = plan_with_library(&r->problem, options, r->weight, &other);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(r), eplb_result_name(result));
    const char *difference = plan_difference(&r->problem, plan, &other);
    CHECK(difference == NULL, RANDOM_FORMAT ": %s: %s", RANDOM_ARGS(r), what, difference);
    plan_free(&other);
}

/* Sample weights count relative to each other, and none at all are all alike. */
static void check_sample_weights(const random_problem *r, const eplb_plan *plan)
{
    float changed[MOST_SAMPLES];
    const float *weight = r->options.sample_weight;
    eplb_options options = r->options;
    options.sample_weight = changed;
    for (int t = 0; t < MOST_SAMPLES; t++) changed[t] = weight ? 4 * weight[t] : 1;
    check_same_plan(r, plan, &options, "sample weights");
}

/* ------------------------------------------------------------------------------------------- all */

static void check_case(uint64_t seed)
{
    improve_case c;
    case_make(&c, seed);
    const random_problem *r = &c.r;
    planned p = plan_case(r, &r->options);
    for (int32_t layer = 0; layer < r->problem.num_layers; layer++) {
        layer_view v = view_layer(r, p.plan.phy2log, layer);
        check_counts(r, &p, layer);
        check_groups(r, &v);
        check_duplicates(r, &p, &v, layer);
        for (int32_t node = 0; node < v.num_nodes && v.num_samples > 1; node++) check_swaps(r, &v, layer, node);
        view_free(&v);
    }
    check_sample_weights(r, &p.plan);
    if (problem_samples(&r->problem) == 1) {
        check_never_worse(r, &p);
        check_more_effort(r);
    } else if (!r->options.sample_weight) {
        check_reference(r, &p);
    }
    planned_free(&p);
    random_problem_free(&c.r);
}

/* A layer whose only load is in the oldest sample of a long window, which counts for next to nothing,
   is still planned for that load. */
static void test_faint_sample(void)
{
    enum { E = 64, R = 80, T = 40 };
    static float weight[T * E];
    float sample_weight[T];
    int32_t phy2log[R];
    eplb_layer_report packed, improved;
    uint64_t state = 1;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_gpus = 8;
    problem.num_samples = T;
    draw_lognormal(&state, 1.0, weight, E);
    sample_weight[T - 1] = 1;
    for (int t = T - 1; t > 0; t--) sample_weight[t - 1] = 0.5f * sample_weight[t];
    options.sample_weight = sample_weight;
    plan_and_report(&problem, &options, weight, phy2log, &improved);
    options.effort = 0;
    plan_and_report(&problem, &options, weight, phy2log, &packed);
    CHECK(improved.balancedness >= 0.99f * packed.balancedness, "balancedness %g, packed %g",
          (double)improved.balancedness, (double)packed.balancedness);
}

/* A sample that counts for too little to be seen by the search is as if it held no load, also where its
   loads are such that the others vanish beside them. */
static void test_unseen_sample(void)
{
    enum { E = 12, R = 16, T = 2 };
    float weight[T * E] = {0}, sample_weight[T] = {1e-20f, 1};
    int32_t without[R], with[R];
    eplb_layer_report report;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    problem.num_layers = 1;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_gpus = 4;
    problem.num_samples = T;
    options.sample_weight = sample_weight;
    for (int e = 0; e < E; e++) weight[E + e] = (float)(e + 1) * 1e-6f;
    plan_and_report(&problem, &options, weight, without, &report);
    for (int e = 0; e < E; e++) weight[e] = 1e38f;
    plan_and_report(&problem, &options, weight, with, &report);
    CHECK(memcmp(with, without, sizeof with) == 0, "another plan");
}

static void test_random(uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) check_case(first + i);
    printf("  several samples: %ld of %ld layers above the reference, by a factor of %.4f at most\n", layers_above,
           compared_layers, most_above);
    CHECK(layers_above * 50 <= compared_layers, "%ld of %ld", layers_above, compared_layers);
}

/* ---------------------------------------------------------------------------------------- errors */

enum { ERROR_E = 12, ERROR_R = 16, ERROR_T = 3 };

static float float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The call is refused for the field, and writes nothing. */
static void check_refused(const eplb_options *options, const char *field, int32_t sample)
{
    static unsigned char scratch[EPLB_SCRATCH_BOUND_SAMPLES(ERROR_E, ERROR_R, 4, ERROR_T)];
    static float weight[ERROR_T * ERROR_E];
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_layer_report report;
    eplb_diagnosis why;
    size_t bytes = 77;
    problem.num_layers = 1;
    problem.num_experts = ERROR_E;
    problem.num_replicas = ERROR_R;
    problem.num_gpus = 4;
    problem.num_samples = ERROR_T;
    eplb_plan plan = plan_alloc(&problem, plan_full_width(&problem));
    CHECK(eplb_scratch_size(&problem, options, &bytes) == EPLB_ERR_OPTION && bytes == 77, "%s", field);
    CHECK(eplb_rebalance(&problem, options, weight, &plan, scratch, sizeof scratch) == EPLB_ERR_OPTION, "%s", field);
    CHECK(eplb_diagnose(&problem, options, weight, &plan, scratch, sizeof scratch, &why) == EPLB_ERR_OPTION
              && why.result == EPLB_ERR_OPTION,
          "%s", field);
    CHECK(strcmp(why.field, field) == 0, "%s, not %s", why.field, field);
    CHECK(why.sample == sample && why.layer == -1 && why.item == -1, "%s: sample %d", field, (int)why.sample);
    CHECK(plan_is_unwritten(plan.phy2log, ERROR_R) && plan_is_unwritten(plan.phyrank, ERROR_R)
              && plan_is_unwritten(plan.logcnt, ERROR_E)
              && plan_is_unwritten(plan.log2phy, ERROR_E * (size_t)plan.log2phy_width),
          "%s", field);
    for (int i = 0; i < ERROR_R; i++) plan.phy2log[i] = i % ERROR_E;
    report.max_logcnt = PLAN_UNWRITTEN;
    CHECK(eplb_evaluate(&problem, options, weight, &plan, &report, NULL, scratch, sizeof scratch) == EPLB_ERR_OPTION
              && report.max_logcnt == PLAN_UNWRITTEN,
          "%s", field);
    plan_free(&plan);
}

static void test_errors(void)
{
    const float bad[] = {float_of_bits(0x7FC00000u), float_of_bits(0xFFC00000u), float_of_bits(0x7F800001u),
                         float_of_bits(0x7F800000u), float_of_bits(0xFF800000u), -1.0f,
                         float_of_bits(0x80000001u)};
    float sample_weight[ERROR_T];
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    options.sample_weight = sample_weight;
    for (int32_t i = 0; i < (int32_t)(sizeof bad / sizeof bad[0]) * ERROR_T; i++) {
        for (int t = 0; t < ERROR_T; t++) sample_weight[t] = 1;
        sample_weight[i % ERROR_T] = bad[i / ERROR_T];
        check_refused(&options, "options.sample_weight", i % ERROR_T);
    }
    for (int t = 0; t < ERROR_T; t++) sample_weight[t] = t == 1 ? -0.0f : 0.0f;
    check_refused(&options, "options.sample_weight", -1);

    options = preset_options(EPLB_PRESET_DEFAULT);
    options.effort = -1;
    check_refused(&options, "options.effort", -1);
    options.effort = INT32_MIN;
    check_refused(&options, "options.effort", -1);
    options = preset_options(EPLB_PRESET_DEEPSEEK);
    options.allow_duplicates = 2;
    check_refused(&options, "options.allow_duplicates", -1);
    options.allow_duplicates = -1;
    check_refused(&options, "options.allow_duplicates", -1);
}

/* --------------------------------------------------------------------------------------- scratch */

/* The plan depends neither on where the scratch is nor on what was in it. */
static void check_scratch(const eplb_problem *problem, const eplb_options *options, const float *weight)
{
    enum { MOST_OFFSET = 71 };
    static const size_t offsets[] = {0, 1, 4, 8, 31, 63, MOST_OFFSET};
    static const int fills[] = {0x00, 0xFF, 0x7F, 0x80, 0x5A};
    size_t bytes = 0;
    int32_t width = plan_full_width(problem);
    eplb_plan plan = plan_alloc(problem, width);
    CHECK(eplb_scratch_size(problem, options, &bytes) == EPLB_OK, "T %d", (int)problem->num_samples);
    CHECK(plan_with_library(problem, options, weight, &plan) == EPLB_OK, "T %d", (int)problem->num_samples);
    unsigned char *block = (unsigned char *)test_alloc(bytes + MOST_OFFSET);
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0] * (sizeof fills / sizeof fills[0]); i++) {
        size_t offset = offsets[i % (sizeof offsets / sizeof offsets[0])];
        int fill = fills[i / (sizeof offsets / sizeof offsets[0])];
        eplb_plan other = plan_alloc(problem, width);
        memset(block, fill, bytes + MOST_OFFSET);
        eplb_result result = eplb_rebalance(problem, options, weight, &other, block + offset, bytes);
        const char *difference = plan_difference(problem, &plan, &other);
        CHECK(result == EPLB_OK && difference == NULL, "T %d, offset %d, filled with %d: %s", (int)problem->num_samples,
              (int)offset, fill, difference);
        plan_free(&other);
    }
    free(block);
    plan_free(&plan);
}

static void test_scratch_address(void)
{
    enum { L = 2, E = 48, MOST_T = 7 };
    static const int32_t samples[] = {1, MOST_T};
    static float weight[MOST_T * L * E];
    uint64_t state = 1;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
    draw_lognormal(&state, 1.0, weight, MOST_T * L * E);
    problem.num_layers = L;
    problem.num_experts = E;
    problem.num_replicas = 72;
    problem.num_groups = 4;
    problem.num_gpus = 12;
    for (int i = 0; i < 4; i++) {
        problem.num_samples = samples[i % 2];
        problem.num_nodes = i / 2 + 1;
        check_scratch(&problem, &options, weight);
    }
}

/* Scratch of a shape, which the constant bound is not below. */
static size_t check_scratch_bound(const eplb_problem *problem, const eplb_options *options)
{
    size_t bytes = 0, bound = EPLB_SCRATCH_BOUND_SAMPLES(problem->num_experts, problem->num_replicas, problem->num_gpus,
                                                         problem->num_samples);
    eplb_result result = eplb_scratch_size(problem, options, &bytes);
    CHECK(result == EPLB_OK && bytes >= 1 && bytes <= bound,
          "E %d R %d K %d N %d G %d T %d policy %d effort %d: %s: %d bytes, bound %d", (int)problem->num_experts,
          (int)problem->num_replicas, (int)problem->num_groups, (int)problem->num_nodes, (int)problem->num_gpus,
          (int)problem->num_samples, (int)options->policy, (int)options->effort, eplb_result_name(result), (int)bytes,
          (int)bound);
    return bytes;
}

/* The constant bound is one, and more samples never take less. */
static void test_scratch_bound(void)
{
    static const int32_t group_sizes[] = {1, 3, 32}, groups_per_node[] = {1, 2, 8}, nodes[] = {1, 2, 5};
    static const int32_t gpus_per_node[] = {1, 4, 33}, spare[] = {0, 1, 7}, samples[] = {1, 2, 5, 16, 130};
    for (int i = 0; i < 243 * 2; i++) { /* all of these, without and with effort */
        eplb_problem problem = EPLB_ZERO_INIT;
        eplb_options options = preset_options(EPLB_PRESET_DEFAULT);
        int32_t N = nodes[i / 9 % 3], K = N * groups_per_node[i / 3 % 3];
        size_t before = 0;
        problem.num_layers = 1;
        problem.num_nodes = N;
        problem.num_groups = K;
        problem.num_gpus = N * gpus_per_node[i / 27 % 3];
        problem.num_experts = K * group_sizes[i % 3];
        int32_t room = (problem.num_experts + problem.num_gpus - 1) / problem.num_gpus + spare[i / 81 % 3];
        problem.num_replicas = room * problem.num_gpus;
        options.effort = i / 243 ? 17 : 0;
        for (size_t j = 0; j < sizeof samples / sizeof samples[0]; j++) {
            problem.num_samples = samples[j];
            options.policy = EPLB_POLICY_GLOBAL;
            check_scratch_bound(&problem, &options);
            options.policy = EPLB_POLICY_AUTO;
            size_t bytes = check_scratch_bound(&problem, &options);
            CHECK(bytes >= before, "E %d R %d T %d: %d bytes", (int)problem.num_experts, (int)problem.num_replicas,
                  (int)problem.num_samples, (int)bytes);
            before = bytes;
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000;
    test_hard_case();
    test_gaps();
    test_planted();
    test_faint_sample();
    test_unseen_sample();
    test_errors();
    test_scratch_bound();
    test_scratch_address();
    test_random(first, count);
    return test_report("test_improve");
}
