/* test_follow.c - plans made from the plan in force. Without limits: the fresh plan's GPUs, in the places where the fewest
   experts move. With limits or a price: within them whoever sends, never worse than staying. In place, by any partition
   of the layers, with scratch anywhere.

   usage: test_follow [FIRST COUNT]   random problems by their seeds */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "transfer_cases.h"
#include "follow_oracle.h"
#include "follow_cases.h"

enum { NUM_FREE = 1000, NUM_LIMITED = 1000, NUM_ASSIGNMENTS = 2000, GUARD = 16 };

/* Among many random problems one where copies that could stay on one GPU must not outweigh a move to another. */
enum { COPIES_BESIDE_MOVES = 8089 };

/* ------------------------------------------------------------------------------- the oracle itself */

static void test_assignments(void)
{
    static follow_costs c;
    for (uint64_t seed = 1; seed <= NUM_ASSIGNMENTS; seed++) {
        uint64_t state = seed;
        int32_t most = test_range(&state, 0, 1) ? 3 : 1000;
        c.n = test_range(&state, 1, 6);
        for (int32_t i = 0; i < c.n; i++)
            for (int32_t j = 0; j < c.n; j++) c.at[i][j] = test_range(&state, -most, most);
        int64_t least = follow_least(&c), tried = follow_least_by_trying(&c, 0, 0);
        CHECK(least == tried, "seed %llu: %lld, not %lld", (unsigned long long)seed, (long long)least,
              (long long)tried);
    }
}

/* Two nodes of two GPUs with two slots each, experts 0 .. 5. */
static void test_counting(void)
{
    static const int32_t before[8] = {0, 1, 2, 0, /* node 1 */ 3, 0, 1, -1}, after[8] = {0, 4, 3, 3, 1, 0, 2, 5};
    eplb_problem p = EPLB_ZERO_INIT;
    eplb_options o = EPLB_ZERO_INIT;
    follow_use use;
    p.num_layers = 1;
    p.num_experts = 6;
    p.num_replicas = 8;
    p.num_nodes = 2;
    p.num_gpus = 4;
    o.policy = EPLB_POLICY_GLOBAL;
    follow_layer l = follow_layer_of(&p, &o, 0, before, after);
    follow_use_all(&l, &use); /* 3 to GPU 1 from 2, 1 to GPU 2 from 3, 2 to GPU 3 from 1; 4 and 5 were nowhere */
    CHECK(use.moves == 3 && follow_count_moves(&l) == 3 && follow_count_kept(&l) == 2, "%d moves", (int)use.moves);
    CHECK(use.into[0] == 0 && use.into[1] == 1 && use.into[2] == 1 && use.into[3] == 1, "into GPUs");
    CHECK(use.out_of[0] == 0 && use.out_of[1] == 1 && use.out_of[2] == 1 && use.out_of[3] == 1, "out of GPUs");
    CHECK(use.pair[2][1] == 1 && use.pair[3][2] == 1 && use.pair[1][3] == 1, "pairs");
    CHECK(use.into_node[0] == 1 && use.into_node[1] == 1 && use.out_of_node[0] == 1 && use.out_of_node[1] == 1,
          "nodes");
    o.max_node_moves = o.max_gpu_moves = o.max_pair_moves = 1;
    CHECK(!follow_use_fault(&use, &o), "within limits");
    o.max_moves = 2;
    CHECK(follow_use_fault(&use, &o), "one move too many");
    follow_layer same = follow_layer_of(&p, &o, 0, before, before);
    CHECK(follow_count_moves(&same) == 0 && follow_count_kept(&same) == 7 && !follow_kept_fault(&same),
          "nothing moves");
    CHECK(!follow_stays_fault(&same) && follow_stays_fault(&l), "whether it stays");
}

/* --------------------------------------------------------------------------------------- planning */

/* Outputs in one block, with guards around them. */
typedef struct guarded_plan {
    eplb_plan plan;
    int32_t *block;
    size_t at[4], count[4], total;
} guarded_plan;

static guarded_plan guarded_alloc(const eplb_problem *p)
{
    guarded_plan g;
    memset(&g, 0, sizeof g);
    g.plan.log2phy_width = plan_full_width(p);
    g.count[0] = g.count[1] = plan_slots(p);
    g.count[2] = plan_experts(p);
    g.count[3] = plan_experts(p) * (size_t)g.plan.log2phy_width;
    g.total = GUARD;
    for (int i = 0; i < 4; i++) {
        g.at[i] = g.total;
        g.total += g.count[i] + GUARD;
    }
    g.block = plan_ints(g.total);
    g.plan.phy2log = g.block + g.at[0];
    g.plan.phyrank = g.block + g.at[1];
    g.plan.logcnt = g.block + g.at[2];
    g.plan.log2phy = g.block + g.at[3];
    return g;
}

static int guards_hold(const guarded_plan *g)
{
    size_t from = 0;
    for (int i = 0; i < 4; i++) {
        if (!plan_is_unwritten(g->block + from, g->at[i] - from)) return 0;
        from = g->at[i] + g->count[i];
    }
    return plan_is_unwritten(g->block + from, g->total - from);
}

/* Scratch of exactly the size at some address, and what lies around it stays. */
typedef struct lone_scratch {
    unsigned char *block;
    size_t offset, bytes;
} lone_scratch;

static lone_scratch scratch_for(const eplb_problem *p, const eplb_options *o, size_t offset)
{
    lone_scratch s = {NULL, offset, 0};
    eplb_result result = eplb_scratch_size(p, o, &s.bytes);
    CHECK(result == EPLB_OK, "%s", eplb_result_name(result));
    s.block = (unsigned char *)test_alloc(offset + s.bytes + 1);
    memset(s.block, 0xa5, offset + s.bytes + 1);
    test_forget(s.block + offset, s.bytes);
    return s;
}

static int scratch_done(lone_scratch *s)
{
    int fine = s->block[s->offset + s->bytes] == 0xa5;
    for (size_t i = 0; i < s->offset; i++) fine &= s->block[i] == 0xa5;
    free(s->block);
    return fine;
}

static eplb_result plan_from(const follow_case *c, const eplb_options *o, const eplb_plan *plan)
{
    lone_scratch s = scratch_for(&c->r.problem, o, (size_t)(c->r.seed % 64));
    eplb_result result = eplb_rebalance(&c->r.problem, o, c->r.weight, plan, s.block + s.offset, s.bytes);
    CHECK(scratch_done(&s), FOLLOW_FORMAT ": wrote beside scratch", FOLLOW_ARGS(c));
    return result;
}

/* Into other memory, and the plan in force is left as it is. */
static void plan_apart(const follow_case *c, const guarded_plan *g)
{
    int32_t *copy = plan_ints(plan_slots(&c->r.problem));
    memcpy(copy, c->previous, plan_slots(&c->r.problem) * sizeof *copy);
    eplb_result result = plan_from(c, &c->r.options, &g->plan);
    CHECK(result == EPLB_OK, FOLLOW_FORMAT ": %s", FOLLOW_ARGS(c), eplb_result_name(result));
    CHECK(guards_hold(g), FOLLOW_FORMAT ": wrote beside the plan", FOLLOW_ARGS(c));
    CHECK(plan_same_ints(copy, c->previous, plan_slots(&c->r.problem)), FOLLOW_FORMAT ": wrote to the plan in force",
          FOLLOW_ARGS(c));
    const char *fault = result == EPLB_OK ? follow_ranks_fault(&c->r.problem, &g->plan) : NULL;
    CHECK(!fault, FOLLOW_FORMAT ": %s", FOLLOW_ARGS(c), fault);
    free(copy);
}

/* Over the plan in force, some layers at a time. */
static void test_in_place(const follow_case *c, const guarded_plan *whole)
{
    guarded_plan g = guarded_alloc(&c->r.problem);
    eplb_options o = c->r.options;
    uint64_t state = c->r.seed;
    lone_scratch s = scratch_for(&c->r.problem, &o, (size_t)test_range(&state, 0, 63));
    int32_t layer = 0, L = c->r.problem.num_layers;
    memcpy(g.plan.phy2log, c->previous, plan_slots(&c->r.problem) * sizeof(int32_t));
    o.previous_phy2log = g.plan.phy2log;
    while (layer < L) {
        int32_t count = test_range(&state, 1, L - layer);
        eplb_result result =
            eplb_rebalance_layers(&c->r.problem, &o, c->r.weight, &g.plan, s.block + s.offset, s.bytes, layer, count);
        CHECK(result == EPLB_OK, FOLLOW_FORMAT ": layer %d: %s", FOLLOW_ARGS(c), (int)layer, eplb_result_name(result));
        layer += count;
    }
    const char *other = plan_difference(&c->r.problem, &g.plan, &whole->plan);
    CHECK(!other, FOLLOW_FORMAT ": another %s in place", FOLLOW_ARGS(c), other);
    CHECK(scratch_done(&s) && guards_hold(&g), FOLLOW_FORMAT ": wrote elsewhere in place", FOLLOW_ARGS(c));
    free(g.block);
}

/* The first fault that eplb_check_plan finds with these options. */
static int32_t check_reason(const eplb_problem *p, const eplb_options *o, const int32_t *phy2log)
{
    size_t bytes = 0;
    eplb_plan_fault fault;
    memset(&fault, 0xee, sizeof fault);
    CHECK(eplb_transfers_scratch_size(p, &bytes) == EPLB_OK, "scratch");
    void *scratch = test_alloc(bytes);
    eplb_result result = eplb_check_plan(p, o, phy2log, &fault, scratch, bytes);
    CHECK(result == EPLB_OK || result == EPLB_ERR_PLAN, "%s", eplb_result_name(result));
    free(scratch);
    return fault.reason;
}

/* ----------------------------------------------------------------------------------- without limits */

static void test_free_plan(const follow_case *c)
{
    const eplb_problem *p = &c->r.problem;
    eplb_options none = c->r.options;
    eplb_plan fresh = plan_alloc(p, plan_full_width(p));
    guarded_plan g = guarded_alloc(p);
    none.previous_phy2log = NULL;
    CHECK(plan_with_library(p, &none, c->r.weight, &fresh) == EPLB_OK, FOLLOW_FORMAT, FOLLOW_ARGS(c));
    plan_apart(c, &g);
    for (int32_t layer = 0; layer < p->num_layers; layer++) {
        follow_layer l = follow_layer_of(p, &c->r.options, layer, c->previous, g.plan.phy2log);
        const char *fault = follow_free_fault(&l, fresh.phy2log + (ptrdiff_t)layer * p->num_replicas);
        CHECK(!fault, FOLLOW_FORMAT ", layer %d: %s", FOLLOW_ARGS(c), (int)layer, fault);
    }
    int32_t reason = check_reason(p, &c->r.options, g.plan.phy2log);
    CHECK(reason == EPLB_FAULT_NONE, FOLLOW_FORMAT ": %s", FOLLOW_ARGS(c), eplb_fault_name(reason));
    test_in_place(c, &g);
    plan_free(&fresh);
    free(g.block);
}

static void test_free(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        follow_case c = follow_case_make(seed, FOLLOW_FREE);
        test_free_plan(&c);
        follow_case_free(&c);
    }
}

/* -------------------------------------------------------------------------------------- with limits */

static long num_planned, num_refused, num_moved, num_stayed, num_bound;
static long num_split, num_joined; /* groups: in the plan in force, and of these whole again */
static double sum_ratio;
static long num_ratios;

/* An expert on two nodes, or one that there is not. */
static void test_refused(const follow_case *c, int32_t layer)
{
    guarded_plan g = guarded_alloc(&c->r.problem);
    lone_scratch s = scratch_for(&c->r.problem, &c->r.options, 1);
    eplb_diagnosis d;
    eplb_result result = plan_from(c, &c->r.options, &g.plan);
    CHECK(result == EPLB_ERR_PLAN && plan_is_unwritten(g.block, g.total), FOLLOW_FORMAT ": %s", FOLLOW_ARGS(c),
          eplb_result_name(result));
    memset(&d, 0x55, sizeof d);
    result = eplb_diagnose(&c->r.problem, &c->r.options, c->r.weight, &g.plan, s.block + s.offset, s.bytes, &d);
    CHECK(result == EPLB_ERR_PLAN && d.result == EPLB_ERR_PLAN && strcmp(d.field, "options.previous_phy2log") == 0,
          FOLLOW_FORMAT ": %s, \"%s\"", FOLLOW_ARGS(c), eplb_result_name(result), d.field);
    CHECK(d.layer == layer && d.sample == -1, FOLLOW_FORMAT ": layer %d, not %d", FOLLOW_ARGS(c), (int)d.layer,
          (int)layer);
    CHECK(d.item >= -1 && d.item < c->r.problem.num_replicas, FOLLOW_FORMAT ": slot %d", FOLLOW_ARGS(c), (int)d.item);
    CHECK(scratch_done(&s), FOLLOW_FORMAT, FOLLOW_ARGS(c));
    free(g.block);
}

/* The transfers that are made of it keep to the limits too. */
static void test_transfers(const follow_case *c, int32_t *phy2log, int32_t layer)
{
    transfer_case t = {c->r.seed, c->r.problem, c->previous, phy2log, EPLB_ZERO_INIT};
    transfer_list list = transfer_with_library(&t);
    follow_layer l = follow_layer_of(&c->r.problem, &c->r.options, layer, c->previous, phy2log);
    follow_use use, most;
    memset(&use, 0, sizeof use);
    follow_use_all(&l, &most);
    for (size_t i = 0; i < list.count; i++) {
        const eplb_transfer *a = &list.at[i];
        if (a->layer != layer || !transfer_is_link(a)) continue;
        int32_t from = transfer_gpu(&t.problem, a->from_slot), to = transfer_gpu(&t.problem, a->to_slot);
        use.moves++;
        use.into[to]++;
        use.out_of[from]++;
        use.pair[from][to]++;
        use.into_node[transfer_node(&t.problem, to)] += a->kind == EPLB_TRANSFER_OTHER_NODE;
        use.out_of_node[transfer_node(&t.problem, from)] += a->kind == EPLB_TRANSFER_OTHER_NODE;
    }
    const char *fault = follow_use_fault(&use, &c->r.options);
    CHECK(!fault, FOLLOW_FORMAT ", layer %d: transfers: %s", FOLLOW_ARGS(c), (int)layer, fault);
    CHECK(use.moves == most.moves && memcmp(use.into, most.into, sizeof use.into) == 0
              && memcmp(use.into_node, most.into_node, sizeof use.into_node) == 0,
          "the oracle's moves are others");
    for (int32_t g = 0; g < FOLLOW_MOST_GPUS; g++)
        CHECK(use.out_of[g] <= most.out_of[g], "a GPU sends what it may not have to");
    free(list.at);
}

/* Reasons that the new plan has against it and the old one had not. */
static void test_reasons(const follow_case *c, const int32_t *phy2log)
{
    eplb_options limits = c->r.options, none = c->r.options;
    limits.max_replicas = 0;
    limits.allow_duplicates = 1;
    int32_t reason = check_reason(&c->r.problem, &limits, phy2log);
    CHECK(reason == EPLB_FAULT_NONE, FOLLOW_FORMAT ": %s", FOLLOW_ARGS(c), eplb_fault_name(reason));
    none.previous_phy2log = NULL;
    int32_t old = check_reason(&c->r.problem, &none, c->previous);
    reason = check_reason(&c->r.problem, &c->r.options, phy2log);
    CHECK(reason == EPLB_FAULT_NONE || old != EPLB_FAULT_NONE,
          FOLLOW_FORMAT ": %s, though the plan in force has no fault", FOLLOW_ARGS(c), eplb_fault_name(reason));
}

/* Where nobody's experts are lost, staying has a score. */
static void test_limited_layer(const follow_case *c, const int32_t *phy2log, int32_t layer)
{
    const eplb_problem *p = &c->r.problem;
    const eplb_options *o = &c->r.options;
    follow_layer l = follow_layer_of(p, o, layer, c->previous, phy2log);
    follow_use use;
    follow_use_all(&l, &use);
    const char *fault = follow_coverage_fault(&l);
    if (!fault) fault = follow_use_fault(&use, o);
    if (!fault) fault = follow_kept_fault(&l);
    if (!fault) fault = follow_groups_fault(&l);
    if (!fault && o->max_moves < 0) fault = follow_stays_fault(&l);
    CHECK(!fault, FOLLOW_FORMAT ", layer %d: %s", FOLLOW_ARGS(c), (int)layer, fault);
    if (fault) return;
    if (follow_has_all(p, l.before)) {
        double score = follow_score_to_keep(p, o, c->r.weight, layer, c->previous, phy2log);
        double staying = follow_score_to_keep(p, o, c->r.weight, layer, c->previous, c->previous);
        CHECK(score <= staying * 1.00001, FOLLOW_FORMAT ", layer %d: score %.9g, of staying %.9g", FOLLOW_ARGS(c),
              (int)layer, score, staying);
    }
    num_moved += use.moves > 0;
    num_stayed += use.moves == 0;
    num_bound += o->max_moves > 0 && use.moves == o->max_moves;
    for (int32_t k = 0; k < l.K; k++) {
        int split = follow_is_split(&l, l.before, k);
        num_split += split;
        num_joined += split && follow_is_whole(&l, l.after, k);
    }
}

/* With limits that do not bind the plan is as good as a fresh one. */
static void test_generous(const follow_case *c)
{
    const eplb_problem *p = &c->r.problem;
    eplb_options o = c->r.options;
    eplb_plan fresh = plan_alloc(p, plan_full_width(p)), plan = plan_alloc(p, plan_full_width(p));
    o.max_gpu_moves = o.max_pair_moves = o.max_node_moves = 0;
    o.move_cost = 0.0f;
    o.max_moves = p->num_replicas;
    CHECK(plan_with_library(p, &o, c->r.weight, &plan) == EPLB_OK, FOLLOW_FORMAT, FOLLOW_ARGS(c));
    o.previous_phy2log = NULL;
    CHECK(plan_with_library(p, &o, c->r.weight, &fresh) == EPLB_OK, FOLLOW_FORMAT, FOLLOW_ARGS(c));
    for (int32_t layer = 0; layer < p->num_layers; layer++) {
        double ratio = follow_score(p, &o, c->r.weight, layer, plan.phy2log, plan.phy2log)
                       / follow_score(p, &o, c->r.weight, layer, fresh.phy2log, fresh.phy2log);
        CHECK(ratio <= 1.00001, FOLLOW_FORMAT ", layer %d: %.6f of the fresh plan's load", FOLLOW_ARGS(c), (int)layer,
              ratio);
        sum_ratio += ratio;
        num_ratios++;
    }
    plan_free(&fresh);
    plan_free(&plan);
}

static void test_limited_plan(const follow_case *c)
{
    const eplb_problem *p = &c->r.problem;
    eplb_options none = c->r.options;
    guarded_plan g = guarded_alloc(p);
    eplb_plan stay = plan_alloc(p, plan_full_width(p));
    none.max_moves = -1;
    none.max_gpu_moves = none.max_pair_moves = none.max_node_moves = 0;
    none.move_cost = 0.0f;
    eplb_result result = plan_with_library(p, &none, c->r.weight, &stay);
    CHECK(result == EPLB_OK, FOLLOW_FORMAT ": staying: %s", FOLLOW_ARGS(c), eplb_result_name(result));
    plan_apart(c, &g);
    for (int32_t layer = 0; layer < p->num_layers && result == EPLB_OK; layer++) {
        follow_layer l = follow_layer_of(p, &c->r.options, layer, c->previous, stay.phy2log);
        const char *fault = follow_coverage_fault(&l);
        if (!fault) fault = follow_stays_fault(&l);
        CHECK(!fault, FOLLOW_FORMAT ", layer %d: staying: %s", FOLLOW_ARGS(c), (int)layer, fault);
        test_limited_layer(c, g.plan.phy2log, layer);
        test_transfers(c, g.plan.phy2log, layer);
    }
    test_reasons(c, g.plan.phy2log);
    test_in_place(c, &g);
    if (c->r.seed % 4 == 0) test_generous(c);
    plan_free(&stay);
    free(g.block);
}

static void test_limited(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        follow_case c = follow_case_make(seed, FOLLOW_LIMITED);
        int32_t layer, slot;
        if (follow_is_refused(&c, &layer, &slot)) {
            test_refused(&c, layer);
            num_refused++;
        } else {
            test_limited_plan(&c);
            num_planned++;
        }
        follow_case_free(&c);
    }
    printf("  limits: %ld planned, %ld refused; layers: %ld move, %ld do not, %ld at max_moves; generous: %.4f of "
           "fresh; of %ld groups that were split %ld are whole\n",
           num_planned, num_refused, num_moved, num_stayed, num_bound,
           num_ratios ? sum_ratio / (double)num_ratios : 0.0, num_split, num_joined);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 2 ? (uint64_t)strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? (uint64_t)strtoull(argv[2], NULL, 10) : 0;
    test_assignments();
    test_counting();
    uint64_t num_free = count, num_limited = count;
    if (count == 0) {
        num_free = NUM_FREE;
        num_limited = NUM_LIMITED;
    }
    test_free(COPIES_BESIDE_MOVES, 1);
    test_free(first, num_free);
    test_limited(first, num_limited);
    if (count == 0)
        CHECK(num_refused >= 10 && num_moved >= 500 && num_stayed >= 500 && num_bound >= 50 && num_split >= 300
                  && num_joined >= 100,
              "too few of a kind");
    return test_report("test_follow");
}
