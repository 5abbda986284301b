/* test_switch.c - which layers of a new plan are worth their moves: loads, moves, gains, order and verdicts against a
   naive reading, layer by layer, of what eplb_evaluate, eplb_evaluate_shares and eplb_transfers say. Cases by hand,
   errors, scratch.

   usage: test_switch [FIRST COUNT]   random cases by their seeds */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "transfer_cases.h"
#include "switch_cases.h"
#include <float.h>
#include <math.h>

enum { NUM_CASES = 6000 };

/* -------------------------------------------------------------------------- a naive reading */

typedef struct naive_plan { /* of one layer */
    float max_load, balancedness;
} naive_plan;

static naive_plan naive_evaluate(const eplb_problem *one, const float *weight, int32_t *phy2log, int32_t shares)
{
    naive_plan n = {0, 0};
    eplb_layer_report report;
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes = 0;
    plan.phy2log = phy2log;
    int exact = shares == EPLB_PLAN_FOR_EXACT;
    int fine = (exact ? eplb_share_scratch_size(one, &bytes) : eplb_scratch_size(one, NULL, &bytes)) == EPLB_OK;
    void *scratch = test_alloc(bytes);
    if (exact)
        fine &= eplb_evaluate_shares(one, phy2log, weight, &n.balancedness, &n.max_load, scratch, bytes) == EPLB_OK;
    else fine &= eplb_evaluate(one, NULL, weight, &plan, &report, NULL, scratch, bytes) == EPLB_OK;
    free(scratch);
    if (!fine) exit(99);
    if (!exact) {
        n.max_load = report.max_load;
        n.balancedness = report.balancedness;
    }
    return n;
}

typedef struct naive_switch {
    int32_t moves, lost;
    naive_plan before, after;
    double gain, per_move, slack; /* slack: what rounding may make of per_move */
    int pays, doubtful;           /* before the limit on moves; doubtful: rounding may decide */
} naive_switch;

static int32_t naive_moves(const switch_case *c, const eplb_problem *one, ptrdiff_t layer)
{
    transfer_case t = {0, *one, c->before + layer * one->num_replicas, c->after + layer * one->num_replicas,
                       EPLB_ZERO_INIT};
    transfer_list list = transfer_with_library(&t);
    int32_t moves = 0;
    for (size_t i = 0; i < list.count; i++) moves += transfer_is_link(&list.at[i]);
    free(list.at);
    return moves;
}

static int near(double a, double b) { return fabs(a - b) < 1e-6; }

static void naive_verdict(const switch_case *c, ptrdiff_t layer, naive_switch *n)
{
    int scored = c->how.in_force_score != NULL, even = n->before.balancedness == n->after.balancedness;
    double fallen = scored ? (double)c->how.in_force_score[layer] - (double)n->before.balancedness : 0.0;
    double before = (double)n->before.max_load, after = (double)n->after.max_load;
    n->gain = even ? 0.0 : 1.0 - after / before;
    n->per_move = n->gain / (double)n->before.balancedness / (n->moves > 0 ? n->moves : 1);
    n->slack = 1e-6 / (double)n->before.balancedness / (n->moves > 0 ? n->moves : 1);
    n->pays = n->gain > 0.0 && n->gain >= (double)c->how.threshold && (!scored || fallen > (double)c->how.hysteresis);
    n->doubtful = !even
                  && (near(n->gain, 0.0) || near(n->gain, (double)c->how.threshold)
                      || (scored && near(fallen, (double)c->how.hysteresis)));
}

static naive_switch naive_layer(const switch_case *c, ptrdiff_t layer)
{
    naive_switch n;
    eplb_problem one = c->problem;
    ptrdiff_t E = one.num_experts, T = one.num_samples ? one.num_samples : 1;
    float *weight = (float *)test_alloc((size_t)(T * E) * sizeof(float));
    int32_t *before = c->before + layer * one.num_replicas, *after = c->after + layer * one.num_replicas;
    memset(&n, 0, sizeof n);
    one.num_layers = 1;
    for (ptrdiff_t t = 0; t < T; t++)
        memcpy(weight + t * E, c->weight + (t * c->problem.num_layers + layer) * E, (size_t)E * sizeof(float));
    n.moves = naive_moves(c, &one, layer);
    for (int32_t e = 0; e < E; e++) n.lost += plan_copies(before, one.num_replicas, e) == 0;
    n.after = naive_evaluate(&one, weight, after, c->how.shares);
    n.pays = 1;
    if (n.lost == 0) {
        n.before = naive_evaluate(&one, weight, before, c->how.shares);
        naive_verdict(c, layer, &n);
    }
    free(weight);
    return n;
}

static long seen_layers, seen_paying, seen_lost, seen_free, seen_over, seen_in_vain, seen_doubtful;

static void check_layer(const switch_case *c, const eplb_switch *s, const naive_switch *n)
{
    int forced = n->lost > 0, is_free = s->gain_per_move == FLT_MAX && !forced;
    CHECK(s->moves == n->moves && s->lost == n->lost, SWITCH_FORMAT ": layer %d: %d moves, not %d; %d lost, not %d",
          SWITCH_ARGS(c), s->layer, s->moves, n->moves, s->lost, n->lost);
    CHECK(s->after == n->after.max_load && s->balancedness == n->after.balancedness,
          SWITCH_FORMAT ": layer %d: after %g, %g", SWITCH_ARGS(c), s->layer, (double)s->after,
          (double)s->balancedness);
    CHECK(s->before == (forced ? FLT_MAX : n->before.max_load), SWITCH_FORMAT ": layer %d: before %g", SWITCH_ARGS(c),
          s->layer, (double)s->before);
    CHECK(!forced || s->gain_per_move == FLT_MAX, SWITCH_FORMAT ": layer %d lost experts", SWITCH_ARGS(c), s->layer);
    CHECK(!is_free || (s->moves == 0 && n->gain > -1e-6), SWITCH_FORMAT ": layer %d is free", SWITCH_ARGS(c), s->layer);
    CHECK(forced || is_free || fabs((double)s->gain_per_move - n->per_move) <= n->slack,
          SWITCH_FORMAT ": layer %d: %g for a move, not %g", SWITCH_ARGS(c), s->layer, (double)s->gain_per_move,
          n->per_move);
    CHECK(is_free || forced || s->moves > 0 || n->gain < 1e-6, SWITCH_FORMAT ": layer %d is not free", SWITCH_ARGS(c),
          s->layer);
    seen_lost += forced;
    seen_free += is_free;
}

/* Verdicts in order, as far as rounding decides none of them. */
static void check_verdicts(const switch_case *c, const eplb_switch *s, const naive_switch *n)
{
    int64_t most = c->how.max_moves, moves = 0;
    for (int32_t i = 0; i < c->problem.num_layers; i++) {
        const naive_switch *want = &n[s[i].layer];
        int fits = want->lost > 0 || most == 0 || moves + want->moves <= (most < 0 ? 0 : most);
        seen_doubtful += want->doubtful;
        if (want->doubtful && s[i].pays && !fits)
            CHECK(0, SWITCH_FORMAT ": layer %d is over the limit", SWITCH_ARGS(c), s[i].layer);
        if (!want->doubtful)
            CHECK(s[i].pays == (want->pays && fits), SWITCH_FORMAT ": layer %d, gain %g: pays %d", SWITCH_ARGS(c),
                  s[i].layer, want->gain, s[i].pays);
        moves += s[i].pays ? want->moves : 0;
        seen_layers++;
        seen_paying += s[i].pays;
        seen_over += want->pays && !fits;
        seen_in_vain += !want->pays && want->moves > 0;
    }
}

static void check_case(const switch_case *c)
{
    static eplb_switch s[SWITCH_MOST_LAYERS];
    static naive_switch n[SWITCH_MOST_LAYERS];
    int32_t L = c->problem.num_layers, met[SWITCH_MOST_LAYERS] = {0}, all = 1;
    memset(s, 0xee, sizeof s);
    eplb_result result = switch_with_library(c, s);
    CHECK(result == EPLB_OK, SWITCH_FORMAT ": %s", SWITCH_ARGS(c), eplb_result_name(result));
    for (int32_t i = 0; i < L && result == EPLB_OK; i++) {
        all &= s[i].layer >= 0 && s[i].layer < L && !met[s[i].layer]++;
        if (!all) break;
        n[s[i].layer] = naive_layer(c, s[i].layer);
        check_layer(c, &s[i], &n[s[i].layer]);
        CHECK(i == 0 || s[i - 1].gain_per_move > s[i].gain_per_move
                  || (s[i - 1].gain_per_move == s[i].gain_per_move && s[i - 1].layer < s[i].layer),
              SWITCH_FORMAT ": layer %d is out of order", SWITCH_ARGS(c), s[i].layer);
    }
    CHECK(all, SWITCH_FORMAT ": not each layer once", SWITCH_ARGS(c));
    if (all && result == EPLB_OK) check_verdicts(c, s, n);
}

/* Loads of all kinds, which are not the same from every compiler. */
static void take_random_loads(switch_case *c)
{
    int32_t T = c->problem.num_samples ? c->problem.num_samples : 1;
    uint64_t state = c->seed;
    free(c->weight);
    c->weight = random_loads(&state, T * c->problem.num_layers, c->problem.num_experts);
}

static void test_random(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        switch_case c = switch_case_make(seed);
        c.how.in_force_score = seed % 2 ? c.score : NULL;
        if (seed % 4 < 2) take_random_loads(&c);
        check_case(&c);
        switch_case_free(&c);
    }
}

/* The cases above had what they are for. */
static void test_seen(void)
{
    CHECK(seen_paying > 1000 && seen_lost > 1000 && seen_free > 300 && seen_over > 300 && seen_in_vain > 1000,
          "%ld pay, %ld lost, %ld free, %ld over, %ld in vain", seen_paying, seen_lost, seen_free, seen_over,
          seen_in_vain);
    CHECK(seen_doubtful * 20 < seen_layers, "%ld of %ld are doubtful", seen_doubtful, seen_layers);
}

/* -------------------------------------------------------------------------- cases by hand */

enum { HAND_LAYERS = 5 };

/* 4 experts in 6 slots of 3 GPUs; a load of 24 in each layer, so 8 is the mean. */
static const float hand_weight[HAND_LAYERS * 4] = {12, 8, 2, 2, 12, 8, 2, 2, 12, 8, 2, 2, 12, 8, 2, 2, 0, 0, 0, 0};
static const int32_t hand_before[HAND_LAYERS * 6] = {0, 1, 2, 3, -1, -1, /* 20 4 0 */
                                                     0, 2, 1, 3, -1, -1, /* 14 10 0 */
                                                     0, 0, 1, 2, 3,  0,  /* 8 10 6 */
                                                     0, 2, 3, 3, -1, -1, /* 1 is lost */
                                                     0, 1, 2, 3, -1, -1};
static const int32_t hand_after[HAND_LAYERS * 6] = {
    0, 2,  1, 3, -1, -1,  /* 14 10 0: 6 less for 1 move; 2 comes to GPU 0, 1 to GPU 1: 2 moves */
    0, -1, 1, 3, 0,  2,   /* 6 10 8: 4 less for 2 moves */
    0, -1, 1, 2, 3,  0,   /* 6 10 8: nothing */
    0, -1, 1, 2, 3,  -1,  /* 12 10 2: 3 moves to GPU 2, 2 to GPU 1, 1 from elsewhere: 2 moves */
    0, 1,  2, 3, 0,  -1}; /* no load: 1 move for nothing */

static eplb_problem hand_problem(void)
{
    eplb_problem p = EPLB_ZERO_INIT;
    p.num_layers = HAND_LAYERS;
    p.num_experts = 4;
    p.num_replicas = 6;
    p.num_gpus = 3;
    return p;
}

typedef struct hand_want {
    int32_t layer, moves, lost, pays;
    float before, after, balancedness, gain_per_move;
} hand_want;

static void expect_hand(const char *what, const eplb_switch_options *how, float unit, const hand_want *want)
{
    eplb_problem p = hand_problem();
    eplb_switch s[HAND_LAYERS];
    float weight[HAND_LAYERS * 4];
    unsigned char scratch[4096];
    for (int32_t i = 0; i < HAND_LAYERS * 4; i++) weight[i] = unit * hand_weight[i];
    eplb_result result = eplb_weigh_switch(&p, weight, hand_before, hand_after, how, s, scratch, sizeof scratch);
    CHECK(result == EPLB_OK, "%s: %s", what, eplb_result_name(result));
    for (int32_t i = 0; i < HAND_LAYERS && result == EPLB_OK; i++) {
        const hand_want *w = &want[i];
        CHECK(s[i].layer == w->layer && s[i].moves == w->moves && s[i].lost == w->lost && s[i].pays == w->pays,
              "%s, number %d: layer %d moves %d lost %d pays %d", what, i, s[i].layer, s[i].moves, s[i].lost,
              s[i].pays);
        CHECK(s[i].before == (w->lost ? w->before : unit * w->before) && s[i].after == unit * w->after,
              "%s, layer %d: %g to %g", what, s[i].layer, (double)s[i].before, (double)s[i].after);
        CHECK(s[i].balancedness == w->balancedness, "%s, layer %d: %g", what, s[i].layer, (double)s[i].balancedness);
        CHECK(w->gain_per_move == FLT_MAX ? s[i].gain_per_move == FLT_MAX
                                          : fabs((double)s[i].gain_per_move - (double)w->gain_per_move) < 1e-6,
              "%s, layer %d: %g for a move", what, s[i].layer, (double)s[i].gain_per_move);
    }
}

/* Equal shares: layer 0 gains 6 / 8 for 2 moves, layer 1 4 / 8 for 2; 2 nothing for none, 4 nothing for one. */
static void test_by_hand(void)
{
    hand_want want[HAND_LAYERS] = {{3, 2, 1, 1, FLT_MAX, 12, 8.0f / 12, FLT_MAX},
                                   {0, 2, 0, 1, 20, 14, 8.0f / 14, 0.375f},
                                   {1, 2, 0, 1, 14, 10, 0.8f, 0.25f},
                                   {2, 0, 0, 0, 10, 10, 0.8f, 0},
                                   {4, 1, 0, 0, 0, 0, 1, 0}};
    const float score[HAND_LAYERS] = {0.5f, 8.0f / 14, 1, 1, 1};
    eplb_switch_options how = EPLB_ZERO_INIT;
    expect_hand("zeroed", NULL, 1, want);
    expect_hand("in another unit", NULL, 1.0f / 1024, want);
    expect_hand("in a large one", NULL, 1024.0f * 1024 * 1024 * 1024, want);
    how.max_moves = 4;
    want[2].pays = 0;
    expect_hand("room for two", &how, 1, want);
    how.max_moves = -1;
    want[1].pays = 0;
    expect_hand("no room, but for what was lost", &how, 1, want);
    how.max_moves = 0;
    how.threshold = 0.29f;
    want[1].pays = 1;
    expect_hand("20 to 14 is 0.3, 14 to 10 is 0.286", &how, 1, want);
    how.threshold = 0;
    how.in_force_score = score;
    expect_hand("0.4 has fallen below 0.5; what is as it was has not fallen", &how, 1, want);
    how.hysteresis = 0.125f;
    want[1].pays = 0;
    expect_hand("not by so much", &how, 1, want);
}

/* In layer 1 a threshold that is just met: 16 to 8. */
static void test_threshold_met(void)
{
    const float weight[4] = {8, 8, 0, 0};
    const int32_t before[4] = {0, 1, 2, 3}, after[4] = {0, 2, 1, 3};
    eplb_problem p = hand_problem();
    eplb_switch_options how = EPLB_ZERO_INIT;
    eplb_switch s;
    unsigned char scratch[4096];
    const struct {
        float threshold;
        int32_t pays;
    } thresholds[] = {{0.5f, 1}, {0.50001f, 0}, {0.49999f, 1}, {1e30f, 0}};
    p.num_layers = 1;
    p.num_replicas = 4;
    p.num_gpus = 2;
    for (size_t i = 0; i < sizeof thresholds / sizeof *thresholds; i++) {
        how.threshold = thresholds[i].threshold;
        CHECK(eplb_weigh_switch(&p, weight, before, after, &how, &s, scratch, sizeof scratch) == EPLB_OK
                  && s.pays == thresholds[i].pays,
              "threshold %g: %d", (double)how.threshold, s.pays);
    }
}

/* Under exact shares expert 0's replicas serve what evens the GPUs out, so the same plans gain less, or more. */
static void test_exact_by_hand(void)
{
    const float weight[3] = {12, 6, 2};
    const int32_t before[4] = {0, 1, 2, -1}, after[4] = {0, 1, 2, 0};
    eplb_problem p = hand_problem();
    eplb_switch_options how = EPLB_ZERO_INIT;
    eplb_switch s;
    unsigned char scratch[4096];
    p.num_layers = 1;
    p.num_experts = 3;
    p.num_replicas = 4;
    p.num_gpus = 2;
    CHECK(eplb_weigh_switch(&p, weight, before, after, &how, &s, scratch, sizeof scratch) == EPLB_OK && s.before == 18
              && s.after == 12 && s.moves == 1,
          "equal: %g to %g", (double)s.before, (double)s.after);
    how.shares = EPLB_PLAN_FOR_EXACT;
    CHECK(eplb_weigh_switch(&p, weight, before, after, &how, &s, scratch, sizeof scratch) == EPLB_OK && s.moves == 1
              && fabs((double)s.before - 18) < 1e-5 && fabs((double)s.after - 10) < 1e-5,
          "exact: %g to %g", (double)s.before, (double)s.after);
}

/* ----------------------------------------------------------------------------------- errors */

typedef struct world { /* a call that is right, and what it writes to */
    eplb_problem problem;
    float weight[2 * 2 * 3], score[2];
    int32_t before[8], after[8];
    eplb_switch_options how;
    eplb_switch layers[2];
    size_t scratch_bytes;
    unsigned char scratch[4096];
} world;

static world world_make(void)
{
    world w;
    memset(&w, 0, sizeof w);
    w.problem.num_layers = 2;
    w.problem.num_experts = 3;
    w.problem.num_replicas = 4;
    w.problem.num_gpus = 2;
    w.problem.num_samples = 2;
    for (int32_t i = 0; i < 12; i++) w.weight[i] = (float)i;
    for (int32_t i = 0; i < 8; i++) {
        w.before[i] = i % 4 - 1; /* one is empty */
        w.after[i] = i % 3;
    }
    memset(w.layers, 0xee, sizeof w.layers);
    (void)eplb_weigh_switch_scratch_size(&w.problem, &w.scratch_bytes);
    return w;
}

static void expect_result(const world *call, eplb_result want, const char *what)
{
    world w = *call;
    w.how.in_force_score = w.score;
    eplb_result got =
        eplb_weigh_switch(&w.problem, w.weight, w.before, w.after, &w.how, w.layers, w.scratch, w.scratch_bytes);
    CHECK(got == want, "%s: %s", what, eplb_result_name(got));
    CHECK((memcmp(w.layers, call->layers, sizeof w.layers) == 0) == (want != EPLB_OK), "%s: written or not", what);
}

static void test_bad_ints(void)
{
    world w = world_make();
    const struct {
        int32_t *field;
        int32_t value;
        eplb_result want;
    } bad[] = {
        {&w.problem.num_layers, 2, EPLB_OK},
        {&w.problem.num_groups, 5, EPLB_OK}, /* it is not read */
        {&w.problem.num_layers, 0, EPLB_ERR_COUNT},
        {&w.problem.num_experts, 0, EPLB_ERR_COUNT},
        {&w.problem.num_replicas, -4, EPLB_ERR_COUNT},
        {&w.problem.num_gpus, 0, EPLB_ERR_COUNT},
        {&w.problem.num_nodes, -1, EPLB_ERR_COUNT},
        {&w.problem.num_samples, -1, EPLB_ERR_COUNT},
        {&w.problem.num_experts, 5, EPLB_ERR_TOO_FEW},
        {&w.problem.num_gpus, 3, EPLB_ERR_DIVIDE},
        {&w.problem.num_nodes, 3, EPLB_ERR_DIVIDE},
        {&w.how.shares, -1, EPLB_ERR_OPTION},
        {&w.how.shares, EPLB_NUM_PLAN_FORS, EPLB_ERR_OPTION},
        {&w.before[7], 3, EPLB_ERR_PLAN},
        {&w.before[0], -2, EPLB_ERR_PLAN},
        {&w.before[1], -1, EPLB_OK},
        {&w.after[7], 3, EPLB_ERR_PLAN},
        {&w.after[4], INT32_MIN, EPLB_ERR_PLAN},
        {&w.after[1], 0, EPLB_ERR_PLAN}, /* expert 1 is in no slot */
        {&w.after[7], -1, EPLB_OK},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t right = *bad[i].field;
        char what[32];
        snprintf(what, sizeof what, "value %d", (int)i);
        *bad[i].field = bad[i].value;
        expect_result(&w, bad[i].want, what);
        *bad[i].field = right;
    }
    w.how.max_moves = -2;
    expect_result(&w, EPLB_ERR_OPTION, "max_moves");
    w.how.max_moves = INT64_MIN;
    expect_result(&w, EPLB_ERR_OPTION, "max_moves");
    w.how.max_moves = INT64_MAX;
    expect_result(&w, EPLB_OK, "max_moves");
}

static void test_bad_floats(void)
{
    world w = world_make();
    float *options[] = {&w.how.threshold, &w.how.hysteresis, &w.score[0], &w.score[1]};
    const struct {
        float value;
        eplb_result load;
    } bad[] = {{(float)NAN, EPLB_ERR_NAN},
               {(float)INFINITY, EPLB_ERR_INFINITE},
               {-(float)INFINITY, EPLB_ERR_INFINITE},
               {-1e-30f, EPLB_ERR_NEGATIVE},
               {-0.0f, EPLB_OK}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t k = 0; k < sizeof options / sizeof *options; k++) {
            *options[k] = bad[i].value;
            expect_result(&w, bad[i].load == EPLB_OK ? EPLB_OK : EPLB_ERR_OPTION, "an option");
            *options[k] = 0;
        }
        for (size_t k = 0; k < 12; k += 11) {
            float right = w.weight[k];
            w.weight[k] = bad[i].value;
            expect_result(&w, bad[i].load, "a load");
            w.weight[k] = right;
        }
    }
}

static void test_null_arguments(void)
{
    world w = world_make();
    eplb_switch *out = w.layers;
    size_t n = w.scratch_bytes, bytes = 77;
    const eplb_problem *p = &w.problem;
    CHECK(eplb_weigh_switch(NULL, w.weight, w.before, w.after, &w.how, out, w.scratch, n) == EPLB_ERR_NULL, "problem");
    CHECK(eplb_weigh_switch(p, NULL, w.before, w.after, &w.how, out, w.scratch, n) == EPLB_ERR_NULL, "weight");
    CHECK(eplb_weigh_switch(p, w.weight, NULL, w.after, &w.how, out, w.scratch, n) == EPLB_ERR_NULL, "previous");
    CHECK(eplb_weigh_switch(p, w.weight, w.before, NULL, &w.how, out, w.scratch, n) == EPLB_ERR_NULL, "phy2log");
    CHECK(eplb_weigh_switch(p, w.weight, w.before, w.after, &w.how, NULL, w.scratch, n) == EPLB_ERR_NULL, "layers");
    CHECK(eplb_weigh_switch(p, w.weight, w.before, w.after, &w.how, out, NULL, n) == EPLB_ERR_NULL, "scratch");
    CHECK(eplb_weigh_switch(p, w.weight, w.before, w.after, &w.how, out, w.scratch, n - 1) == EPLB_ERR_SCRATCH_SIZE,
          "bytes");
    for (size_t i = 0; i < sizeof w.layers; i++) CHECK(((unsigned char *)w.layers)[i] == 0xee, "written at %zu", i);
    CHECK(eplb_weigh_switch(p, w.weight, w.before, w.after, NULL, out, w.scratch, n) == EPLB_OK, "how");
    CHECK(eplb_weigh_switch_scratch_size(NULL, &bytes) == EPLB_ERR_NULL && bytes == 77, "size of no problem");
    CHECK(eplb_weigh_switch_scratch_size(p, NULL) == EPLB_ERR_NULL, "size to nowhere");
    w.problem.num_experts = 0;
    CHECK(eplb_weigh_switch_scratch_size(p, &bytes) == EPLB_ERR_COUNT && bytes == 77, "size of a bad problem");
}

/* Arrays that no memory has room for. */
static void test_overflow(void)
{
    world w = world_make();
    size_t bytes = 77;
    w.problem.num_layers = w.problem.num_samples = INT32_MAX;
    CHECK(eplb_weigh_switch_scratch_size(&w.problem, &bytes) == EPLB_ERR_OVERFLOW && bytes == 77, "loads");
    expect_result(&w, EPLB_ERR_OVERFLOW, "loads");
}

/* ------------------------------------------------------------------------------------ scratch */

/* Scratch may lie anywhere and hold anything, nothing beyond it is written, and it is no more than is said. */
static void test_scratch(void)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        switch_case c = switch_case_make(seed);
        eplb_switch want[SWITCH_MOST_LAYERS], got[SWITCH_MOST_LAYERS];
        eplb_problem *p = &c.problem;
        size_t bytes = 0, offset = (size_t)(seed % 67);
        size_t said = 4 * (10 * (size_t)p->num_experts + 16 * (size_t)p->num_replicas + 20 * (size_t)p->num_gpus);
        CHECK(eplb_weigh_switch_scratch_size(p, &bytes) == EPLB_OK && bytes <= said + 64 * 45, "%zu bytes", bytes);
        unsigned char *memory = (unsigned char *)test_alloc(bytes + 200);
        memset(memory, (int)(seed * 37 % 256), bytes + 200);
        CHECK(switch_with_library(&c, want) == EPLB_OK
                  && eplb_weigh_switch(p, c.weight, c.before, c.after, &c.how, got, memory + offset, bytes) == EPLB_OK,
              SWITCH_FORMAT, SWITCH_ARGS(&c));
        CHECK(memcmp(want, got, (size_t)p->num_layers * sizeof *got) == 0, SWITCH_FORMAT, SWITCH_ARGS(&c));
        for (size_t i = 0; i < bytes + 200; i++)
            if (i < offset || i >= offset + bytes)
                CHECK(memory[i] == (unsigned char)(seed * 37 % 256), "offset %zu: %zu is written", offset, i);
        free(memory);
        switch_case_free(&c);
    }
}

int main(int argc, char **argv)
{
    int by_seed = argc > 2;
    test_random(by_seed ? strtoull(argv[1], NULL, 10) : 1, by_seed ? strtoull(argv[2], NULL, 10) : NUM_CASES);
    if (!by_seed) test_seen();
    test_by_hand();
    test_threshold_met();
    test_exact_by_hand();
    test_bad_ints();
    test_bad_floats();
    test_null_arguments();
    test_overflow();
    test_scratch();
    return test_report("test_switch");
}
