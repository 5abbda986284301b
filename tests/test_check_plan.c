/* test_check_plan.c - eplb_check_plan against a naive reading of its conditions, each by itself: on plans made by
   chance, with one thing wrong or nothing, and on those of every preset. Errors, scratch.

   usage: test_check_plan [FIRST COUNT]   random cases by their seeds */
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"
#include "transfer_cases.h"
#include "plan_check.h"

enum { NUM_CASES = 120000, NUM_PLANNED = 400 };

static long seen[EPLB_NUM_FAULTS];

static eplb_result check_with_library(const check_case *c, eplb_plan_fault *fault)
{
    size_t bytes = 0;
    eplb_result result = eplb_transfers_scratch_size(&c->problem, &bytes);
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    if (result == EPLB_OK) result = eplb_check_plan(&c->problem, &c->options, c->plan, fault, scratch, bytes);
    free(scratch);
    return result;
}

static void test_random(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        check_case c = check_case_make(seed);
        eplb_plan_fault want = check_expected(&c), got;
        memset(&got, 0xee, sizeof got);
        eplb_result result = check_with_library(&c, &got);
        CHECK(result == (want.reason == EPLB_FAULT_NONE ? EPLB_OK : EPLB_ERR_PLAN), "seed %llu: %s",
              (unsigned long long)seed, eplb_result_name(result));
        CHECK(memcmp(&got, &want, sizeof got) == 0,
              "seed %llu: %s, layer %d slot %d expert %d other %d count %d of %d; not %s, %d %d %d %d %d of %d",
              (unsigned long long)seed, eplb_fault_name(got.reason), got.layer, got.slot, got.expert, got.other,
              got.count, got.allowed, eplb_fault_name(want.reason), want.layer, want.slot, want.expert, want.other,
              want.count, want.allowed);
        seen[want.reason]++;
        check_case_free(&c);
    }
}

/* A plan keeps to the options that it was made with. */
static void test_planned(void)
{
    for (uint64_t seed = 1; seed <= NUM_PLANNED; seed++) {
        random_problem r = random_problem_make(seed);
        eplb_plan plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
        eplb_plan_fault fault;
        check_case c = {seed, r.problem, r.options, NULL, NULL};
        CHECK(plan_with_library(&r.problem, &r.options, r.weight, &plan) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
        c.plan = plan.phy2log;
        eplb_result result = check_with_library(&c, &fault);
        CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s, slot %d", RANDOM_ARGS(&r), eplb_fault_name(fault.reason),
              fault.slot);
        c.options.previous_phy2log = plan.phy2log; /* and nothing moves to where it is */
        c.options.max_moves = c.options.effort > 0 ? -1 : 0;
        result = check_with_library(&c, &fault);
        CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s, slot %d", RANDOM_ARGS(&r), eplb_fault_name(fault.reason),
              fault.slot);
        plan_free(&plan);
        random_problem_free(&r);
    }
}

static void test_names(void)
{
    for (int32_t a = 0; a < EPLB_NUM_FAULTS; a++) {
        CHECK(eplb_fault_name(a) && eplb_fault_name(a)[0], "%d has no name", a);
        for (int32_t b = 0; b < a && eplb_fault_name(a); b++)
            CHECK(strcmp(eplb_fault_name(a), eplb_fault_name(b)) != 0, "%d and %d have the same", a, b);
    }
    CHECK(!eplb_fault_name(-1) && !eplb_fault_name(EPLB_NUM_FAULTS), "a name for no reason");
}

static void test_errors(void)
{
    eplb_problem p = EPLB_ZERO_INIT;
    eplb_options o;
    int32_t plan[4] = {0, 1, 2, 0};
    eplb_plan_fault fault;
    unsigned char scratch[4096];
    size_t bytes = 0;
    p.num_layers = 1;
    p.num_experts = 3;
    p.num_replicas = 4;
    p.num_gpus = 2;
    eplb_options_preset(EPLB_PRESET_DEFAULT, &o);
    memset(&fault, 0xee, sizeof fault);
    CHECK(eplb_transfers_scratch_size(&p, &bytes) == EPLB_OK && bytes <= sizeof scratch, "%zu bytes", bytes);
    CHECK(eplb_check_plan(NULL, &o, plan, &fault, scratch, bytes) == EPLB_ERR_NULL, "problem");
    CHECK(eplb_check_plan(&p, &o, NULL, &fault, scratch, bytes) == EPLB_ERR_NULL, "phy2log");
    CHECK(eplb_check_plan(&p, &o, plan, NULL, scratch, bytes) == EPLB_ERR_NULL, "fault");
    CHECK(eplb_check_plan(&p, &o, plan, &fault, NULL, bytes) == EPLB_ERR_NULL, "scratch");
    CHECK(eplb_check_plan(&p, &o, plan, &fault, scratch, bytes - 1) == EPLB_ERR_SCRATCH_SIZE, "scratch_bytes");
    o.max_replicas = 1;
    CHECK(eplb_check_plan(&p, &o, plan, &fault, scratch, bytes) == EPLB_ERR_MAX_REPLICAS, "max_replicas");
    o.max_replicas = 0;
    o.policy = EPLB_NUM_POLICIES;
    CHECK(eplb_check_plan(&p, &o, plan, &fault, scratch, bytes) == EPLB_ERR_OPTION, "policy");
    o.policy = EPLB_POLICY_AUTO;
    for (int32_t i = 0; i < 4; i++) {
        eplb_options bad = o;
        *(i == 0   ? &bad.max_moves
          : i == 1 ? &bad.max_gpu_moves
          : i == 2 ? &bad.max_pair_moves
                   : &bad.max_node_moves) = i == 0 ? -2 : -1;
        CHECK(eplb_check_plan(&p, &bad, plan, &fault, scratch, bytes) == EPLB_ERR_OPTION, "limit %d", i);
    }
    CHECK(fault.reason == (int32_t)0xeeeeeeee && fault.allowed == (int32_t)0xeeeeeeee, "fault was written");
    eplb_options idle;
    eplb_options_preset(EPLB_PRESET_DEEPSEEK, &idle);
    idle.max_gpu_moves = 1;
    CHECK(eplb_check_plan(&p, &idle, plan, &fault, scratch, bytes) == EPLB_ERR_OPTION, "a limit without effort");
    CHECK(fault.reason == (int32_t)0xeeeeeeee, "fault was written");
    o.previous_phy2log = plan;
    CHECK(eplb_check_plan(&p, &o, plan, &fault, scratch, bytes) == EPLB_OK, "none of them");
    CHECK(fault.reason == EPLB_FAULT_NONE && fault.layer == -1 && fault.slot == -1 && fault.allowed == -1, "no fault");
    CHECK(eplb_check_plan(&p, NULL, plan, &fault, scratch, bytes) == EPLB_OK, "defaults");
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 2 ? (uint64_t)strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? (uint64_t)strtoull(argv[2], NULL, 10) : NUM_CASES;
    test_names();
    test_errors();
    test_random(first, count);
    if (argc <= 2)
        for (int32_t reason = 0; reason <= EPLB_FAULT_NODE_MOVES_OUT; reason++) /* later ones: test_cluster */
            CHECK(seen[reason] >= 20, "%s: only %ld cases", eplb_fault_name(reason), seen[reason]);
    test_planned();
    return test_report("test_check_plan");
}
