/* fuzz_transfers.c - transfers, steps in place and checks of any two plans, right or wrong, with any options and limits:
   an error is the one that a naive reading finds, and leaves everything as it was; all else holds as in
   tests/test_transfers.c and tests/test_check_plan.c. */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "transfer_cases.h"
#include "plan_check.h"
#include "fuzz.h"

typedef struct fuzz_plans {
    transfer_case c;
    check_case check; /* of the same plans */
} fuzz_plans;

static int32_t fuzz_limit(fuzz_input *in, int32_t lowest) { return fuzz_one_in(in, 2) ? 0 : fuzz_range(in, lowest, 4); }

static void fuzz_fill_plan(fuzz_input *in, const eplb_problem *p, int32_t *slots, int wrong)
{
    int32_t lowest = fuzz_range(in, -1, 0);
    for (int32_t i = 0; i < p->num_replicas; i++) {
        slots[i] = i < p->num_experts && fuzz_one_in(in, 2) ? i : fuzz_range(in, lowest, p->num_experts - 1);
        if (wrong && fuzz_one_in(in, 40)) slots[i] = fuzz_any_int(in);
    }
}

/* Mostly what plans may be, the second often near the first. */
static fuzz_plans fuzz_begin_plans(fuzz_input *in)
{
    fuzz_plans f;
    eplb_problem p = fuzz_problem(in);
    int wrong = fuzz_one_in(in, 8);
    memset(&f, 0, sizeof f);
    f.c = transfer_case_alloc(0, p.num_layers, p.num_experts, p.num_replicas, p.num_nodes, p.num_gpus);
    f.c.how.sources = fuzz_range(in, 0, EPLB_NUM_SOURCES - 1 + wrong);
    f.c.how.rounds = fuzz_range(in, 0, EPLB_NUM_ROUNDS - 1);
    f.c.how.max_per_round = fuzz_limit(in, wrong ? -1 : 0);
    for (int32_t l = 0; l < p.num_layers; l++) {
        int32_t R = p.num_replicas, *before = f.c.before + l * R, *after = f.c.after + l * R;
        fuzz_fill_plan(in, &p, before, wrong);
        if (fuzz_one_in(in, 3)) fuzz_fill_plan(in, &p, after, wrong);
        else memcpy(after, before, (size_t)R * sizeof *after);
        for (int32_t times = fuzz_range(in, 0, 6); times > 0; times--) {
            int32_t a = fuzz_range(in, 0, R - 1), b = fuzz_range(in, 0, R - 1), held = after[a];
            after[a] = after[b];
            after[b] = held;
        }
    }
    f.check.problem = p;
    f.check.options = fuzz_options(in, &p);
    f.check.previous = fuzz_one_in(in, 4) ? NULL : f.c.before;
    f.check.plan = f.c.after;
    f.check.options.previous_phy2log = f.check.previous;
    f.check.options.max_moves = fuzz_limit(in, -1);
    f.check.options.max_gpu_moves = fuzz_limit(in, 0);
    f.check.options.max_pair_moves = fuzz_limit(in, 0);
    f.check.options.max_node_moves = fuzz_limit(in, wrong ? -1 : 0);
    return f;
}

static int fuzz_is_plan(const eplb_problem *p, const int32_t *phy2log)
{
    for (size_t i = 0; i < plan_slots(p); i++)
        if (phy2log[i] < -1 || phy2log[i] >= p->num_experts) return 0;
    return 1;
}

static int fuzz_refuses_limits(const eplb_options *o)
{
    int any = o->max_moves != 0 || o->max_gpu_moves != 0 || o->max_pair_moves != 0 || o->max_node_moves != 0;
    return o->max_node_moves < 0 || (any && o->effort == 0);
}

static void fuzz_check(fuzz_input *in, const check_case *c, size_t bytes)
{
    eplb_plan_fault got, want;
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    memset(&got, 0xee, sizeof got);
    eplb_result result = eplb_check_plan(&c->problem, &c->options, c->plan, &got, scratch.at, bytes);
    if (fuzz_refuses_limits(&c->options)) {
        FUZZ_HOLDS(result == EPLB_ERR_OPTION && got.reason == (int32_t)0xeeeeeeee);
    } else {
        want = check_expected(c);
        FUZZ_HOLDS(result == (want.reason == EPLB_FAULT_NONE ? EPLB_OK : EPLB_ERR_PLAN));
        FUZZ_HOLDS(memcmp(&got, &want, sizeof got) == 0);
    }
    free(scratch.block);
}

static void fuzz_refused(fuzz_input *in, const transfer_case *c, eplb_result expected, size_t bytes)
{
    size_t num = 12345, room = plan_slots(&c->problem) * 2;
    int32_t staging[3] = {PLAN_UNWRITTEN, PLAN_UNWRITTEN, PLAN_UNWRITTEN};
    eplb_transfer one, *t = (eplb_transfer *)test_alloc(room * sizeof *t);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    memset(&one, 0xee, sizeof one);
    for (size_t i = 0; i < room; i++) t[i] = one;
    FUZZ_HOLDS(eplb_transfers(&c->problem, c->before, c->after, &c->how, t, room, &num, scratch.at, bytes) == expected);
    FUZZ_HOLDS(
        eplb_transfers_in_place(&c->problem, c->before, c->after, &c->how, t, room, &num, staging, scratch.at, bytes)
        == expected);
    for (size_t i = 0; i < room; i++) FUZZ_HOLDS(memcmp(&t[i], &one, sizeof one) == 0);
    FUZZ_HOLDS(num == 12345 && plan_is_unwritten(staging, 3));
    free(scratch.block);
    free(t);
}

static void fuzz_moves(const transfer_case *c)
{
    int32_t staging[3];
    transfer_list list = transfer_with_library(c), steps = steps_with_library(c, staging);
    for (int32_t l = 0; l < c->problem.num_layers; l++) {
        size_t begin = transfer_layer(&list, l), count = transfer_layer(&list, l + 1) - begin, num_aside;
        size_t first = transfer_layer(&steps, l), end = transfer_layer(&steps, l + 1);
        FUZZ_HOLDS(!transfers_fault(c, l, list.at + begin, count));
        FUZZ_HOLDS(!rounds_fault(c, list.at + begin, count));
        FUZZ_HOLDS(!steps_fault(c, l, steps.at + first, end - first, staging[l], &num_aside));
        FUZZ_HOLDS(end - first == count + num_aside);
    }
    free(list.at);
    free(steps.at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = fuzz_begin(data, size);
    fuzz_plans f = fuzz_begin_plans(&in);
    const eplb_problem *p = &f.c.problem;
    eplb_result expected = EPLB_OK;
    size_t bytes = 0;
    FUZZ_HOLDS(eplb_transfers_scratch_size(p, &bytes) == EPLB_OK);
    if (!fuzz_is_plan(p, f.c.before) || !fuzz_is_plan(p, f.c.after)) expected = EPLB_ERR_PLAN;
    if (f.c.how.sources >= EPLB_NUM_SOURCES || f.c.how.max_per_round < 0) expected = EPLB_ERR_OPTION;
    if (expected == EPLB_OK) fuzz_moves(&f.c);
    else fuzz_refused(&in, &f.c, expected, bytes);
    fuzz_check(&in, &f.check, bytes);
    transfer_case_free(&f.c);
    return 0;
}
