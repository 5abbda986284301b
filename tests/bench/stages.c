/* stages.c - where the time of a layer goes.

   The planning of eplb_rebalance_layers is written out below so that stages can be left out: in the same
   scratch and with the same functions. A stage takes what planning with it takes,
   less what planning without it takes; the table of stages says what else is done in both. So a stage
   meets the loads and the caches that it meets in earnest, and the processor overlaps it with its
   neighbours as it does there. The sum of the stages is printed beside the time of eplb_rebalance_layers;
   that planning with all of them gives the library's plan is checked.

   Stages of candidates are those of all candidates together. A short stage that the processor hides behind
   its neighbours may come to nothing, or a little less. Each stage is timed over all layers, with
   and without it one after the other, the stages and the whole in turn within each repetition; median and
   quartiles are those of the differences over the repetitions. */
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "bench.h"

#include <stdlib.h>
#include <string.h>

enum { /* in the order of the work */
       STAGE_CHECK,
       STAGE_WEIGH,
       STAGE_GROUPS,
       STAGE_REPLICATE,
       STAGE_SHARE,
       STAGE_SORT,
       STAGE_PERTURB,
       STAGE_PACK,
       STAGE_REFINE,
       STAGE_SELECT,
       STAGE_RANK,
       STAGE_PLACE,
       STAGE_STORE,
       NUM_STAGES
};

#define ONLY(stage)  (1u << (stage))
#define UP_TO(stage) (2u * ONLY(stage) - 1u)
#define FIRST_PACKED (UP_TO(STAGE_PACK) & ~ONLY(STAGE_PERTURB)) /* one candidate, not refined */

/* Each stage, and the stages before it that are done in both plannings whose times are compared. The last
   three depend little on what they are given, so they are compared where all else is short. */
static const struct {
    const char *name;
    unsigned before;
} stages[NUM_STAGES] = {
    {"check loads", 0},                      /* and arguments */
    {"weigh", UP_TO(STAGE_CHECK)},           /* the mean over samples, scaled where need be */
    {"groups to nodes", UP_TO(STAGE_WEIGH)}, /* under the global policy only the order of experts */
    {"replicate", UP_TO(STAGE_GROUPS)},
    {"share loads", UP_TO(STAGE_REPLICATE)}, /* experts and replicas to slots with loads */
    {"sort", UP_TO(STAGE_SHARE)},            /* these slots */
    {"perturb", UP_TO(STAGE_SORT)},          /* the orders of later candidates: noise and sort */
    {"pack", UP_TO(STAGE_PERTURB)},          /* LPT */
    {"refine", UP_TO(STAGE_PACK)},
    {"select", UP_TO(STAGE_PACK)},
    {"rank", FIRST_PACKED}, /* places within a GPU, where packing did not tell */
    {"place slots", FIRST_PACKED | ONLY(STAGE_RANK)},
    {"store plan", FIRST_PACKED | ONLY(STAGE_RANK) | ONLY(STAGE_PLACE)}, /* the inverse map included */
};

static const int32_t staged_presets[] = {EPLB_PRESET_DEEPSEEK, EPLB_PRESET_HILL_CLIMB, EPLB_PRESET_L2,
                                         EPLB_PRESET_RESTARTS, EPLB_PRESET_ENSEMBLE};
enum { NUM_STAGED = sizeof staged_presets / sizeof *staged_presets };

/* From one thing timed to the next, among the stages and the whole: far enough that the whole, which comes
   after the stages, does not find the plan in the cache that its last stage had to fetch. A prime that does
   not divide their number, so that all come in turn. */
enum { STRIDE = 5 };
typedef char stride_reaches_all[(NUM_STAGES + 1) % STRIDE != 0 ? 1 : -1];

const char stages_csv_head[] = "shape,layers,experts,replicas,groups,nodes,gpus,preset,stage,repetitions,"
                               "us_per_layer,us_per_layer_q1,us_per_layer_q3,share\n";

typedef struct staged_preset {
    const char *name;
    eplb_options options;
    int skipped;
    bench_times whole; /* of eplb_rebalance_layers */
    bench_times stage[NUM_STAGES];
} staged_preset;

typedef struct stages_run {
    bench_case at;
    staged_preset preset[NUM_STAGED];
} stages_run;

/* ------------------------------------------------------------------------------------ planning */

/* In these, `todo` has a bit for each stage that is done. */
static int does(unsigned todo, int stage) { return (todo & ONLY(stage)) != 0; }

/* eplb_p_pack, for packs of several items. */
static void pack_slots(unsigned todo, eplb_p_packer *p, uint64_t seed)
{
    int32_t candidates = does(todo, STAGE_PERTURB) ? p->how->num_candidates : 1;

    eplb_p_start_packing(p);
    if (candidates <= 1) p->packs.pack_of = p->pack_index;
    for (int32_t c = 0; c == 0 || c < candidates; c++) {
        if (c > 0) eplb_p_perturb_order(p, seed, EPLB_P_DRAW_GPUS, c);
        if (does(todo, STAGE_PACK)) eplb_p_pack_initially(p);
        if (does(todo, STAGE_REFINE)) eplb_p_refine(p);
        if (does(todo, STAGE_SELECT) && candidates > 1 && eplb_p_select(p, p->packs.load, c)) break;
    }
    if (does(todo, STAGE_RANK) && !eplb_p_is_plain_lpt(p->how)) eplb_p_rank_items(p);
}

/* eplb_p_place_experts. */
static void place_experts(unsigned todo, eplb_p_planner *p, int32_t k)
{
    const eplb_p_shape *shape = p->layer.shape;
    const eplb_options *o = &shape->options;
    eplb_p_node_part part = eplb_p_node_part_of(&p->layer, k);
    eplb_p_node *node = &p->node;

    eplb_p_enter_phase(&p->shared, p->node_bytes);
    node->packer.row = (uint32_t)p->layer.index * (uint32_t)shape->num_nodes + (uint32_t)k;
    node->replicas.load = p->layer.mlog_load + part.first_expert;
    eplb_p_replicate(&node->replicas, o->replication, o->fixup_steps, eplb_p_cap_start(&p->layer, &part));
    if (does(todo, STAGE_SHARE)) eplb_p_share_load(node, &p->layer, &part);
    if (does(todo, STAGE_SORT)) eplb_p_order_items(&node->packer);
    if (does(todo, STAGE_PACK) && part.gpu_slots == 1) eplb_p_pack(&node->packer, o->seed, EPLB_P_DRAW_GPUS);
    else if (does(todo, STAGE_PACK)) pack_slots(todo, &node->packer, o->seed);
    if (does(todo, STAGE_PLACE)) eplb_p_place_slots(node, &p->layer, &part);
}

/* eplb_p_plan_layer without effort, and what eplb_rebalance_layers does with its plan. */
static void plan_layer(unsigned todo, const bench_case *c, eplb_p_planner *p, int32_t layer)
{
    eplb_p_weigh_layer(&p->layer, c->weight, layer);
    if (does(todo, STAGE_GROUPS)) eplb_p_place_groups(p);
    for (int32_t k = 0; k < p->layer.shape->num_nodes && does(todo, STAGE_REPLICATE); k++) place_experts(todo, p, k);
    eplb_p_leave_phases(&p->shared);
    if (does(todo, STAGE_STORE) && eplb_p_check_width(&p->layer, &c->plan, NULL) == EPLB_OK)
        eplb_p_store_layer(&p->layer, &c->plan);
}

/* eplb_rebalance_layers for all layers. */
static void plan_stages(unsigned todo, const bench_case *c, const staged_preset *preset)
{
    eplb_p_call call = eplb_p_call_of(&c->problem, &preset->options, c->weight, &c->plan, c->scratch, c->scratch_bytes);
    eplb_p_planning all;
    eplb_result r;

    if (!does(todo, STAGE_CHECK)) return;
    r = eplb_p_prepare(&call, &all);
    if (r != EPLB_OK) fail(preset->name, eplb_result_name(r));
    for (int32_t layer = 0; layer < c->shape.num_layers && does(todo, STAGE_WEIGH); layer++)
        plan_layer(todo, c, &all.planner, layer);
}

/* Whether there is such a stage at all. */
static int has_stage(const eplb_options *options, int stage)
{
    const eplb_packing *how = &options->gpu_packing;
    switch (stage) {
    case STAGE_PERTURB:
    case STAGE_SELECT: return how->num_candidates > 1;
    case STAGE_REFINE: return how->refine != EPLB_REFINE_NONE;
    case STAGE_RANK: return !eplb_p_is_plain_lpt(how);
    default: return 1;
    }
}

/* -------------------------------------------------------------------------------------- timing */

static double time_whole(const bench_case *c, const staged_preset *preset)
{
    double start = now();
    plan_case(c, preset->name, &preset->options, c->shape.num_layers);
    return now() - start;
}

static double time_stages(unsigned todo, const bench_case *c, const staged_preset *preset)
{
    double start = now();
    plan_stages(todo, c, preset);
    return now() - start;
}

static double time_stage(int stage, const bench_case *c, const staged_preset *preset)
{
    double without = time_stages(stages[stage].before, c, preset);
    return time_stages(stages[stage].before | ONLY(stage), c, preset) - without;
}

/* All stages together give the library's plan, in every array. */
static void check_plan(const bench_case *c, const staged_preset *preset)
{
    size_t experts = (size_t)c->shape.num_layers * (size_t)c->shape.num_experts;
    size_t slots = (size_t)c->shape.num_layers * (size_t)c->shape.num_replicas;
    size_t width = (size_t)c->plan.log2phy_width, size = sizeof(int32_t);
    bench_case other = open_case(&c->shape, 1, 1.0); /* the same loads */

    make_room(&other, &preset->options);
    other.plan.log2phy_width = c->plan.log2phy_width;
    plan_case(c, preset->name, &preset->options, c->shape.num_layers);
    plan_stages(UP_TO(STAGE_STORE), &other, preset);
    if (memcmp(other.plan.phy2log, c->plan.phy2log, slots * size) != 0
        || memcmp(other.plan.phyrank, c->plan.phyrank, slots * size) != 0
        || memcmp(other.plan.logcnt, c->plan.logcnt, experts * size) != 0
        || memcmp(other.plan.log2phy, c->plan.log2phy, experts * width * size) != 0)
        fail(preset->name, "the stages do not give the library's plan");
    close_case(&other);
}

/* The width that the plans of all presets need, of those that are within the limit. */
static int32_t probe(stages_run *run, double limit)
{
    int32_t width = 1;
    for (int p = 0; p < NUM_STAGED; p++) {
        staged_preset *preset = &run->preset[p];
        double estimate = time_whole(&run->at, preset);
        int32_t needed = width_needed(&run->at);
        width = needed > width ? needed : width;
        preset->skipped = estimate > limit;
        if (preset->skipped) printf("%-13s skipped: about %.3g s for one repetition\n", preset->name, estimate);
    }
    return width;
}

static void print_stage(const stages_run *run, const bench_shape *shape, const bench_settings *set, const char *preset,
                        const char *name, const bench_times *times, double whole)
{
    const baseline_shape *is = &run->at.shape;
    double us = 1e6 / is->num_layers;
    printf("  %-23s %10.3f %10.3f %10.3f %7.1f%%\n", name, times->median * us, times->q1 * us, times->q3 * us,
           times->median / whole * 100);
    if (!set->csv) return;
    fprintf(set->csv, "%s,%d,%d,%d,%d,%d,%d,%s,%s,%d,%.4f,%.4f,%.4f,%.5f\n", shape->name, (int)is->num_layers,
            (int)is->num_experts, (int)is->num_replicas, (int)is->num_groups, (int)is->num_nodes, (int)is->num_gpus,
            preset, name, set->reps, times->median * us, times->q1 * us, times->q3 * us, times->median / whole);
}

static void print_preset(const stages_run *run, staged_preset *preset, const bench_shape *shape,
                         const bench_settings *set)
{
    double whole, sum = 0.0;
    finish_times(&preset->whole, set->reps);
    whole = preset->whole.median;
    printf("%-25s %10s %10s %10s %8s\n", preset->name, "us/layer", "quartile 1", "quartile 3", "share");
    for (int stage = 0; stage < NUM_STAGES; stage++) {
        if (!has_stage(&preset->options, stage)) continue;
        finish_times(&preset->stage[stage], set->reps);
        print_stage(run, shape, set, preset->name, stages[stage].name, &preset->stage[stage], whole);
        sum += preset->stage[stage].median;
    }
    printf("  %-23s %10.3f %10s %10s %7.1f%%\n", "sum of these", sum * 1e6 / run->at.shape.num_layers, "", "",
           sum / whole * 100);
    print_stage(run, shape, set, preset->name, "eplb_rebalance_layers", &preset->whole, whole);
}

void bench_stages(const bench_shape *shape, const bench_settings *set)
{
    stages_run *run = (stages_run *)allocate(1, sizeof *run);
    baseline_shape is = timed_shape(shape, set);

    printf("%s: %d layers, %d repetitions\n", shape->name, (int)is.num_layers, set->reps);
    run->at = open_case(&is, 1, 1.0);
    for (int p = 0; p < NUM_STAGED; p++) {
        run->preset[p].name = eplb_preset_name(staged_presets[p]);
        run->preset[p].options = preset_options(staged_presets[p]);
        make_room(&run->at, &run->preset[p].options);
    }
    run->at.plan.log2phy_width = probe(run, set->limit);
    for (int p = 0; p < NUM_STAGED; p++) {
        if (!run->preset[p].skipped) check_plan(&run->at, &run->preset[p]);
    }

    for (int rep = 0; rep < set->reps; rep++) {
        for (int p = 0; p < NUM_STAGED; p++) {
            staged_preset *preset = &run->preset[p];
            if (preset->skipped) continue;
            for (int i = 0; i <= NUM_STAGES; i++) {
                int stage = (i * STRIDE + rep) % (NUM_STAGES + 1);
                if (stage == NUM_STAGES) preset->whole.seconds[rep] = time_whole(&run->at, preset);
                else if (has_stage(&preset->options, stage))
                    preset->stage[stage].seconds[rep] = time_stage(stage, &run->at, preset);
            }
        }
    }
    for (int p = 0; p < NUM_STAGED; p++) {
        if (!run->preset[p].skipped) print_preset(run, &run->preset[p], shape, set);
    }
    printf("\n");
    close_case(&run->at);
    free(run);
}
