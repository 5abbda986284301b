/* test_plan_hash.c - one hash over the plans of every preset on random problems. It must be the same
   from every compiler, on every processor and at every optimisation level; when it changes on purpose,
   EPLB_PLAN_VERSION rises and the constant below follows.

   Shapes and options come from random_problem.h, which takes them from integers; the loads are made
   here, from integers too, since floating point in a test may come out otherwise elsewhere. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

static const uint64_t expected_hash = UINT64_C(0x7b80b3b6308ae827);
enum { EXPECTED_VERSION = 1, NUM_PROBLEMS = 1500 };

/* FNV-1a over the integers of an array. */
static uint64_t hash_ints(uint64_t hash, const int32_t *a, size_t count)
{
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ (uint32_t)a[i]) * UINT64_C(1099511628211);
    return hash;
}

/* Few values with many ties, token counts, or magnitudes far apart: all exact in float32. */
static void fill_loads(random_problem *r)
{
    uint64_t state = r->seed;
    size_t   T = r->problem.num_samples ? (size_t)r->problem.num_samples : 1;
    int      kind = test_range(&state, 0, 2);
    for (size_t i = 0; i < T * plan_experts(&r->problem); i++) {
        int32_t load = test_range(&state, 0, (1 << 24) - 1);
        if (kind == 0)
            load %= 7;
        else if (kind == 1)
            load >>= test_range(&state, 8, 14);
        else
            load >>= test_range(&state, 0, 20);
        r->weight[i] = (float)load;
    }
}

static uint64_t hash_problem(uint64_t hash, uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    fill_loads(&r);
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options options;
        eplb_plan    plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
        CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset %d", (int)preset);
        options.policy = r.options.policy;
        options.max_replicas = r.options.max_replicas;
        options.seed = r.options.seed;
        eplb_result result = plan_with_library(&r.problem, &options, r.weight, &plan);
        CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), eplb_result_name(result));
        hash = hash_ints(hash, plan.phy2log, plan_slots(&r.problem));
        hash = hash_ints(hash, plan.phyrank, plan_slots(&r.problem));
        hash = hash_ints(hash, plan.logcnt, plan_experts(&r.problem));
        plan_free(&plan);
    }
    random_problem_free(&r);
    return hash;
}

int main(void)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (uint64_t seed = 1; seed <= NUM_PROBLEMS; seed++)
        hash = hash_problem(hash, seed);
    printf("  plan hash %016llx, plan version %d\n", (unsigned long long)hash, EPLB_PLAN_VERSION);
    CHECK(hash == expected_hash, "expected %016llx", (unsigned long long)expected_hash);
    CHECK(EPLB_PLAN_VERSION == EXPECTED_VERSION, "a new plan version needs a new hash here");
    return test_report("test_plan_hash");
}
