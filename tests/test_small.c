/* test_small.c - layers so small that every slot matters: the default plan beside the best there is, beside those of all
   published presets that keep its rule about duplicates, and beside itself with leave to break the rule.

   usage: test_small [first seed [count]] */
#include "eplb.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "exact.h"

enum { MOST_EXPERTS = 10, MOST_SLOTS = 14, MOST_GPUS = 4 };

typedef struct small_layer {
    eplb_problem problem;
    float load[MOST_EXPERTS];
} small_layer;

static float small_load(uint64_t *state, int kind)
{
    switch (kind) {
    case 0: return (float)test_range(state, 0, 30);
    case 1: return (float)test_range(state, 1, 300);
    case 2: return (float)((int32_t)1 << test_range(state, 0, 12));
    default: return (float)(test_range(state, 1, 9) * test_range(state, 1, 9) * test_range(state, 1, 90));
    }
}

static small_layer small_layer_make(uint64_t seed)
{
    small_layer layer = EPLB_ZERO_INIT;
    uint64_t state = seed;
    int32_t S, G;
    do {
        G = test_range(&state, 2, MOST_GPUS);
        S = test_range(&state, 2, MOST_SLOTS / G);
        layer.problem.num_experts = test_range(&state, 6, MOST_EXPERTS);
    } while (S * G < layer.problem.num_experts);
    layer.problem.num_layers = 1;
    layer.problem.num_replicas = S * G;
    layer.problem.num_gpus = G;
    int kind = test_range(&state, 0, 3);
    for (int32_t e = 0; e < layer.problem.num_experts; e++) layer.load[e] = small_load(&state, kind);
    return layer;
}

static int holds(const eplb_problem *p, const int32_t *phy2log, int32_t gpu, int32_t e)
{
    int32_t S = p->num_replicas / p->num_gpus;
    for (int32_t i = gpu * S; i < (gpu + 1) * S; i++)
        if (phy2log[i] == e) return 1;
    return 0;
}

/* Whether no expert is twice on a GPU while another is free of it. */
static int keeps_rule(const eplb_problem *p, const int32_t *phy2log)
{
    int32_t S = p->num_replicas / p->num_gpus;
    for (int32_t i = 0; i < p->num_replicas; i++)
        for (int32_t j = i - i % S; j < i; j++)
            for (int32_t gpu = 0; phy2log[i] == phy2log[j] && gpu < p->num_gpus; gpu++)
                if (!holds(p, phy2log, gpu, phy2log[i])) return 0;
    return 1;
}

/* The heaviest GPU of a plan by these options; and whether it keeps the rule. */
static float heaviest(const small_layer *layer, const eplb_options *options, int *kept)
{
    static unsigned char scratch[EPLB_SCRATCH_BOUND(MOST_EXPERTS, MOST_SLOTS, MOST_GPUS)];
    int32_t phy2log[MOST_SLOTS];
    eplb_plan plan = EPLB_ZERO_INIT;
    eplb_layer_report report;
    plan.phy2log = phy2log;
    CHECK(eplb_rebalance(&layer->problem, options, layer->load, &plan, scratch, sizeof scratch) == EPLB_OK, "plan");
    CHECK(eplb_evaluate(&layer->problem, options, layer->load, &plan, &report, NULL, scratch, sizeof scratch)
              == EPLB_OK,
          "evaluate");
    *kept = keeps_rule(&layer->problem, phy2log);
    return report.max_load;
}

static int is_behind(const small_layer *layer, float load)
{
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options options;
        int kept;
        eplb_options_preset(preset, &options);
        if (options.effort == 0 && heaviest(layer, &options, &kept) * 1.000001f < load && kept) return 1;
    }
    return 0;
}

/* By how much a load is above the least that any plan by this rule has, in parts of that. */
static double gap(const small_layer *layer, float load, int rule)
{
    const eplb_problem *p = &layer->problem;
    int32_t whole[MOST_EXPERTS];
    exact_problem exact = {p->num_experts, p->num_replicas, p->num_gpus, 1, 1, 0, rule, whole};
    for (int32_t e = 0; e < p->num_experts; e++) whole[e] = (int32_t)layer->load[e];
    double least = (double)exact_optimum(&exact) / EXACT_UNIT;
    return least > 0.0 ? (double)load / least - 1.0 : 0.0;
}

typedef struct small_gaps { /* over many layers */
    double sum, largest;
    int above;
} small_gaps;

static void add_gap(small_gaps *all, double gap, uint64_t seed)
{
    CHECK(gap > -1e-6, "seed %llu: %g below the optimum", (unsigned long long)seed, -gap);
    if (gap < 1e-6) return;
    all->sum += gap;
    all->largest = gap > all->largest ? gap : all->largest;
    all->above++;
}

static void check_gaps(const char *what, const small_gaps *all, uint64_t count)
{
    double mean = all->sum / (double)count;
    printf("  %s: above the optimum in %d of %llu, by %.4f %% on average, %.3f %% at most\n", what, all->above,
           (unsigned long long)count, 100.0 * mean, 100.0 * all->largest);
    CHECK(mean <= 0.0005, "%s: %g", what, mean);
}

static void check_layer(uint64_t seed, small_gaps *tight, small_gaps *free_to_double)
{
    small_layer layer = small_layer_make(seed);
    eplb_options options;
    int kept, any, can_keep = layer.problem.num_replicas / layer.problem.num_gpus <= layer.problem.num_experts;
    eplb_options_preset(EPLB_PRESET_DEFAULT, &options);
    float load = heaviest(&layer, &options, &kept);
    CHECK(kept || !can_keep, "seed %llu: an expert is twice on a GPU while another is free of it",
          (unsigned long long)seed);
    CHECK(!is_behind(&layer, load), "seed %llu: behind some published preset", (unsigned long long)seed);
    options.allow_duplicates = 1;
    float loose = heaviest(&layer, &options, &any);
    CHECK(loose <= load * 1.000001f, "seed %llu: %g with leave for duplicates, %g without", (unsigned long long)seed,
          (double)loose, (double)load);
    add_gap(tight, gap(&layer, load, can_keep ? EXACT_APART : EXACT_DUPLICATES), seed);
    add_gap(free_to_double, gap(&layer, loose, EXACT_DUPLICATES), seed);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 2000;
    small_gaps tight = EPLB_ZERO_INIT, free_to_double = EPLB_ZERO_INIT;

    for (uint64_t seed = first; seed < first + count; seed++) check_layer(seed, &tight, &free_to_double);
    check_gaps("no expert twice on a GPU", &tight, count);
    check_gaps("with leave for that", &free_to_double, count);
    return test_report("test_small");
}
