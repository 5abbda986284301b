/* fuzz_follow.c - plans from any plan in force, right or wrong, with any limits and price: an error is the one that a naive
   reading finds, and leaves everything as it was; all else holds as in tests/test_follow.c, and without vector
   instructions the plan is the same. */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "follow_oracle.h"
#include "follow_cases.h"
#include "fuzz.h"
#include "plain.h"
#include <float.h>

/* Groups on their nodes for the most part; now and then an expert from anywhere, an empty slot, or no expert at all. */
static void fuzz_fill_previous(fuzz_input *in, const eplb_problem *p, int wrong, int32_t *slots)
{
    int32_t N = p->num_nodes, R = p->num_replicas / N, E = p->num_experts / N;
    int32_t any = fuzz_range(in, 0, 3), empty = fuzz_range(in, 0, 3);
    for (int32_t i = 0; i < p->num_replicas; i++) {
        int32_t first = p->num_experts % N == 0 ? i / R * E : 0, count = p->num_experts % N == 0 ? E : p->num_experts;
        slots[i] = first + (i % R < count && fuzz_one_in(in, 2) ? i % R : fuzz_range(in, 0, count - 1));
        if (any == 0 && fuzz_one_in(in, 8)) slots[i] = fuzz_range(in, 0, p->num_experts - 1);
        if (empty == 0 && fuzz_one_in(in, 4)) slots[i] = -1;
        if (wrong && fuzz_one_in(in, 40)) slots[i] = fuzz_any_int(in);
    }
}

/* The plan of a time when GPUs were dead, as it was made then: groups that fitted nowhere whole are split, and by the
   policy nothing is wrong with it. Returns whether there is one, as there was room for all experts. */
static int fuzz_fill_from_less(fuzz_input *in, const follow_case *c)
{
    eplb_problem p = c->r.problem;
    eplb_options o = c->r.options;
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes = 0;
    int32_t slots[64], S = p.num_replicas / p.num_gpus, sum = 0;
    for (int32_t g = 0; g < p.num_gpus; g++) {
        slots[g] = fuzz_one_in(in, 3) ? fuzz_range(in, 0, S) : S;
        sum += slots[g];
    }
    if (sum < p.num_experts) return 0;
    p.gpu_slots = slots;
    o.previous_phy2log = NULL;
    o.max_replicas = 0;
    plan.phy2log = c->previous;
    FUZZ_HOLDS(eplb_scratch_size(&p, &o, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_rebalance(&p, &o, c->r.weight, &plan, scratch.at, bytes) == EPLB_OK);
    free(scratch.block);
    return 1;
}

static int32_t fuzz_limit(fuzz_input *in, int32_t lowest) { return fuzz_one_in(in, 3) ? fuzz_range(in, lowest, 6) : 0; }

static follow_case fuzz_follow_case(fuzz_input *in, int *from_less)
{
    follow_case c;
    eplb_problem *p = &c.r.problem;
    int wrong = fuzz_one_in(in, 8), limits = fuzz_one_in(in, 2);
    memset(&c, 0, sizeof c);
    *p = fuzz_problem(in);
    c.r.options = fuzz_options(in, p);
    c.r.options.engine = EPLB_ENGINE_NONE; /* which has a way of its own to keep slots */
    c.r.weight = fuzz_loads(in, fuzz_samples(p) * plan_experts(p), fuzz_range(in, 0, FUZZ_LOADS_FINITE));
    c.previous = plan_ints(plan_slots(p));
    for (int32_t layer = 0; layer < p->num_layers; layer++)
        fuzz_fill_previous(in, p, wrong, c.previous + layer * p->num_replicas);
    if (limits) {
        c.r.options.max_moves = fuzz_limit(in, -1);
        c.r.options.max_gpu_moves = fuzz_limit(in, 0);
        c.r.options.max_pair_moves = fuzz_limit(in, 0);
        c.r.options.max_node_moves = fuzz_limit(in, 0);
        c.r.options.move_cost = fuzz_one_in(in, 3) ? (float)fuzz_range(in, 0, 255) / 1024.0f : 0.0f;
        c.r.options.effort += c.r.options.effort == 0;
    }
    if (c.r.options.effort > 0 && fuzz_one_in(in, 5)) c.r.options.shares = EPLB_PLAN_FOR_EXACT;
    if (fuzz_one_in(in, 4)) *from_less = fuzz_fill_from_less(in, &c);
    c.r.options.previous_phy2log = c.previous;
    return c;
}

static eplb_result fuzz_plan(fuzz_input *in, const follow_case *c, const eplb_options *o, const eplb_plan *plan)
{
    size_t bytes = 0;
    FUZZ_HOLDS(eplb_scratch_size(&c->r.problem, o, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    eplb_result result = eplb_rebalance(&c->r.problem, o, c->r.weight, plan, scratch.at, bytes);
    free(scratch.block);
    return result;
}

/* slot -1: any may be named */
static void fuzz_refused(fuzz_input *in, const follow_case *c, int32_t layer, int32_t slot)
{
    eplb_plan plan = plan_alloc(&c->r.problem, plan_full_width(&c->r.problem));
    eplb_diagnosis d;
    size_t bytes = 0;
    FUZZ_HOLDS(fuzz_plan(in, c, &c->r.options, &plan) == EPLB_ERR_PLAN);
    FUZZ_HOLDS(plan_is_unwritten(plan.phy2log, plan_slots(&c->r.problem)));
    FUZZ_HOLDS(plan_is_unwritten(plan.logcnt, plan_experts(&c->r.problem)));
    FUZZ_HOLDS(eplb_scratch_size(&c->r.problem, &c->r.options, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_diagnose(&c->r.problem, &c->r.options, c->r.weight, &plan, scratch.at, bytes, &d) == EPLB_ERR_PLAN);
    FUZZ_HOLDS(strcmp(d.field, "options.previous_phy2log") == 0 && d.layer == layer && (slot < 0 || d.item == slot));
    free(scratch.block);
    plan_free(&plan);
}

static void fuzz_free(fuzz_input *in, const follow_case *c, const eplb_plan *plan)
{
    const eplb_problem *p = &c->r.problem;
    eplb_plan fresh = plan_alloc(p, plan_full_width(p));
    eplb_options none = c->r.options;
    none.previous_phy2log = NULL;
    FUZZ_HOLDS(fuzz_plan(in, c, &none, &fresh) == EPLB_OK);
    for (int32_t layer = 0; layer < p->num_layers; layer++) {
        follow_layer l = follow_layer_of(p, &c->r.options, layer, c->previous, plan->phy2log);
        FUZZ_HOLDS(!follow_free_fault(&l, fresh.phy2log + layer * p->num_replicas));
    }
    plan_free(&fresh);
}

static void fuzz_limited(fuzz_input *in, const follow_case *c, const eplb_plan *plan)
{
    const eplb_problem *p = &c->r.problem;
    const eplb_options *o = &c->r.options;
    eplb_plan stay = plan_alloc(p, plan_full_width(p));
    eplb_options none = *o;
    none.max_moves = -1;
    none.max_gpu_moves = none.max_pair_moves = none.max_node_moves = 0;
    FUZZ_HOLDS(fuzz_plan(in, c, &none, &stay) == EPLB_OK);
    for (int32_t layer = 0; layer < p->num_layers; layer++) {
        follow_layer l = follow_layer_of(p, o, layer, c->previous, plan->phy2log);
        follow_layer staying = follow_layer_of(p, o, layer, c->previous, stay.phy2log);
        follow_use use;
        follow_use_all(&l, &use);
        FUZZ_HOLDS(!follow_coverage_fault(&l) && !follow_use_fault(&use, o) && !follow_kept_fault(&l));
        FUZZ_HOLDS(!follow_groups_fault(&l));
        FUZZ_HOLDS(!follow_coverage_fault(&staying) && !follow_stays_fault(&staying));
        FUZZ_HOLDS(o->max_moves >= 0 || !follow_stays_fault(&l));
        if (follow_has_all(p, l.before))
            FUZZ_HOLDS(follow_score_to_keep(p, o, c->r.weight, layer, c->previous, plan->phy2log)
                       <= follow_score_to_keep(p, o, c->r.weight, layer, c->previous, c->previous) * 1.00001);
    }
    plan_free(&stay);
}

/* The same without vector instructions, and over the plan in force. */
static void fuzz_again(fuzz_input *in, const follow_case *c, const eplb_plan *plan)
{
    const eplb_problem *p = &c->r.problem;
    eplb_plan other = plan_alloc(p, plan_full_width(p));
    eplb_options o = c->r.options;
    size_t bytes = 0;
    FUZZ_HOLDS(eplb_scratch_size(p, &o, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    memcpy(other.phy2log, c->previous, plan_slots(p) * sizeof(int32_t));
    o.previous_phy2log = other.phy2log;
    FUZZ_HOLDS(plain_rebalance(p, &o, c->r.weight, &other, scratch.at, bytes) == EPLB_OK);
    FUZZ_HOLDS(plan_difference(p, plan, &other) == NULL);
    free(scratch.block);
    plan_free(&other);
}

/* What eplb_weigh_switch says of each layer, whatever the loads: in order, as eplb_evaluate has it, within the limit. */
static void fuzz_pays(fuzz_input *in, const follow_case *c, const eplb_plan *plan)
{
    const eplb_problem *p = &c->r.problem;
    size_t L = (size_t)p->num_layers, bytes = 0;
    eplb_layer_report *report = (eplb_layer_report *)test_alloc(L * sizeof *report);
    eplb_switch *s = (eplb_switch *)test_alloc(L * sizeof *s);
    eplb_switch_options how = EPLB_ZERO_INIT;
    int64_t moves = 0;
    how.max_moves = fuzz_range(in, -1, 30);
    FUZZ_HOLDS(eplb_weigh_switch_scratch_size(p, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_weigh_switch(p, c->r.weight, c->previous, plan->phy2log, &how, s, scratch.at, bytes) == EPLB_OK);
    free(scratch.block);
    FUZZ_HOLDS(eplb_scratch_size(p, &c->r.options, &bytes) == EPLB_OK);
    scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_evaluate(p, &c->r.options, c->r.weight, plan, report, NULL, scratch.at, bytes) == EPLB_OK);
    free(scratch.block);
    for (size_t i = 0; i < L; i++) {
        FUZZ_HOLDS(s[i].layer >= 0 && s[i].layer < p->num_layers && s[i].moves >= 0 && s[i].lost >= 0);
        FUZZ_HOLDS(s[i].after == report[s[i].layer].max_load && s[i].balancedness == report[s[i].layer].balancedness);
        FUZZ_HOLDS(i == 0 || s[i - 1].gain_per_move > s[i].gain_per_move
                   || (s[i - 1].gain_per_move == s[i].gain_per_move && s[i - 1].layer < s[i].layer));
        FUZZ_HOLDS(s[i].lost == 0 || (s[i].pays && s[i].before == FLT_MAX && s[i].gain_per_move == FLT_MAX));
        FUZZ_HOLDS(!s[i].pays || (s[i].gain_per_move > 0 && s[i].after <= s[i].before));
        moves += s[i].pays ? s[i].moves : 0;
        FUZZ_HOLDS(s[i].lost > 0 || !s[i].pays || s[i].moves == 0 || how.max_moves == 0 || moves <= how.max_moves);
    }
    free(report);
    free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = fuzz_begin(data, size);
    int from_less = 0;
    follow_case c = fuzz_follow_case(&in, &from_less);
    int32_t layer = 0, slot = -1;
    eplb_plan plan = plan_alloc(&c.r.problem, plan_full_width(&c.r.problem));
    if (follow_is_refused(&c, &layer, &slot)) {
        FUZZ_HOLDS(!from_less);
        fuzz_refused(&in, &c, layer, slot);
    } else {
        FUZZ_HOLDS(fuzz_plan(&in, &c, &c.r.options, &plan) == EPLB_OK);
        FUZZ_HOLDS(!follow_ranks_fault(&c.r.problem, &plan));
        if (follow_minds_moves(&c.r.options)) fuzz_limited(&in, &c, &plan);
        else fuzz_free(&in, &c, &plan);
        fuzz_again(&in, &c, &plan);
        fuzz_pays(&in, &c, &plan);
    }
    plan_free(&plan);
    follow_case_free(&c);
    return 0;
}
