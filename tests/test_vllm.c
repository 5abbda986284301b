/* test_vllm.c - preset VLLM and the naive oracle of vLLM's policy agree in every number, on random problems without ties
   and with them, from a plan in force or not; its arithmetic in integers is the processor's in double precision; and what
   it refuses. tests/check/engines_vllm_preset.py sets it beside the published policy.

   usage: test_vllm [SEED [COUNT]]: problem i has seed SEED + i, so that one that failed is repeated alone with COUNT 1. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "oracle.h"
#include "oracle_vllm.h"
#include "planning.h"
#include "random_problem.h"

/* ------------------------------------------------------------------------------------ arithmetic */

static uint64_t bits_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static double of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Any float that is 0 or more, and of those often one with few bits: quotients and sums of these tie when rounded. */
static float any_load(uint64_t *state)
{
    static const uint32_t masks[] = {0x7FFFFFFF, 0x7FFFFFFF, 0x7FFF0000, 0x7F800001, 0x007FFFFF, 0};
    float x;
    uint32_t bits = (uint32_t)test_next(state) & masks[test_range(state, 0, 5)];
    if (bits >= 0x7F800000) bits &= 0x3FFFFFFF;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static int32_t any_count(uint64_t *state)
{
    return test_range(state, 0, 3) ? test_range(state, 1, 40)
                                   : (int32_t)(test_next(state) >> test_range(state, 33, 62)) | 1;
}

/* A double a few binary places from another, whose sum with it may lie between two. */
static uint64_t near_double(uint64_t *state, uint64_t bits)
{
    uint64_t mantissa = test_next(state) >> 12, mask = ~(((uint64_t)1 << test_range(state, 0, 52)) - 1);
    int64_t exponent = (int64_t)(bits >> 52) + test_range(state, -70, 70);
    return (uint64_t)(exponent < 800 ? 800 : exponent) << 52 | (mantissa & mask);
}

static void test_arithmetic(void)
{
    uint64_t state = 1;
    for (int i = 0; i < 200000; i++) {
        float load = any_load(&state);
        int32_t count = any_count(&state);
        uint64_t each = eplb_p_wide_bid(load, count), other = near_double(&state, each);
        double divided = (double)load / count, sum = of_bits(each) + of_bits(other);
        CHECK(each == bits_of(divided), "%.9g / %d is %a", (double)load, (int)count, divided);
        CHECK(eplb_p_wide_sum(each, other) == bits_of(sum) && eplb_p_wide_sum(other, each) == bits_of(sum),
              "%a + %a is %a", of_bits(each), of_bits(other), sum);
    }
    CHECK(eplb_p_wide_sum(0, 0) == 0, "0 + 0");
}

static void test_sums(void)
{
    enum { MOST = 3000 };
    uint64_t state = 2;
    float x[MOST];
    for (int32_t i = 0; i < MOST; i++) x[i] = random_lognormal(&state);
    for (int32_t n = 1; n <= MOST; n += n < 1200 ? 1 : 97)
        CHECK(eplb_p_bits(eplb_p_pairwise_sum(x, n)) == eplb_p_bits(vllm_sum(x, n)), "%d numbers", (int)n);
}

/* ------------------------------------------------------------------------------------ plans */

/* No two experts tie by their loads over so many replicas as they have or could have, nor groups by their loads. */
static int is_free_of_ties(const eplb_problem *problem, const eplb_options *options, const float *load,
                           const int32_t *phy2log)
{
    int32_t E = problem->num_experts, K, N, size, ties = 0;
    int32_t *count = oracle_ints(E);
    oracle_resolve_policy(problem, options->policy, &K, &N);
    size = E / K;
    for (int32_t i = 0; i < problem->num_replicas; i++) count[phy2log[i]]++;
    for (int32_t a = 0; a < E; a++)
        for (int32_t b = a + 1; b < E; b++)
            ties += (double)load[a] * count[b] >= (double)load[b] * count[a]
                    && (double)load[a] * count[b] <= (double)load[b] * count[a]; /* exact */
    for (int32_t a = 0; a < K; a++)
        for (int32_t b = a + 1; b < K; b++)
            ties += eplb_p_bits(vllm_sum(load + a * size, size)) == eplb_p_bits(vllm_sum(load + b * size, size));
    free(count);
    return ties == 0;
}

/* A plan in force that is near: some slots of a plan have changed places, others hold any expert, or nothing. */
static int32_t *draw_plan_in_force(uint64_t *state, const eplb_problem *problem, const int32_t *phy2log)
{
    int32_t R = problem->num_replicas, often = test_range(state, 1, 8);
    int32_t *before = plan_ints(plan_slots(problem));
    memcpy(before, phy2log, plan_slots(problem) * sizeof *before);
    for (int32_t i = 0; i < problem->num_layers * R; i++) {
        int32_t layer = i / R * R, other = layer + test_range(state, 0, R - 1), expert = before[i];
        if (test_range(state, 0, often) > 0) continue;
        before[i] = before[other];
        before[other] = expert;
        if (test_range(state, 0, 2) == 0) before[i] = test_range(state, -1, problem->num_experts - 1);
    }
    return before;
}

static random_problem vllm_problem(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    int32_t policy = r.options.policy, cap = r.options.max_replicas;
    CHECK(eplb_options_preset(EPLB_PRESET_VLLM, &r.options) == EPLB_OK, "preset");
    r.options.policy = policy;
    r.options.max_replicas = cap;
    return r;
}

/* Whether the problem was without ties. */
static int check_as_vllm(uint64_t seed)
{
    uint64_t state = ~seed;
    random_problem r = vllm_problem(seed);
    size_t layers = (size_t)(r.problem.num_samples ? r.problem.num_samples : 1) * (size_t)r.problem.num_layers;
    eplb_plan expected = plan_alloc(&r.problem, plan_full_width(&r.problem));
    eplb_plan plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
    int32_t *before = NULL, free_of_ties = 1;
    float *load = oracle_floats(r.problem.num_experts);
    for (size_t i = 0; i < layers * (size_t)r.problem.num_experts && seed % 3; i++)
        r.weight[i] = random_lognormal(&state);
    vllm_rebalance(&r.problem, &r.options, r.weight, &expected);
    if (seed % 2) {
        before = draw_plan_in_force(&state, &r.problem, expected.phy2log);
        r.options.previous_phy2log = before;
        vllm_rebalance(&r.problem, &r.options, r.weight, &expected);
    }
    eplb_result result = plan_with_library(&r.problem, &r.options, r.weight, &plan);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), eplb_result_name(result));
    for (int32_t l = 0; l < r.problem.num_layers; l++) {
        oracle_layer_load(&r.problem, r.weight, l, load);
        free_of_ties &=
            is_free_of_ties(&r.problem, &r.options, load, expected.phy2log + (ptrdiff_t)l * r.problem.num_replicas);
    }
    const char *difference = plan_difference(&r.problem, &plan, &expected);
    CHECK(difference == NULL, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), difference);
    if (before) { /* which may be where the plan goes */
        plan_free(&plan);
        plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
        memcpy(plan.phy2log, before, plan_slots(&r.problem) * sizeof *before);
        r.options.previous_phy2log = plan.phy2log;
        CHECK(plan_with_library(&r.problem, &r.options, r.weight, &plan) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
        CHECK(plan_difference(&r.problem, &plan, &expected) == NULL, RANDOM_FORMAT ", in place", RANDOM_ARGS(&r));
    }
    free(before);
    free(load);
    plan_free(&expected);
    plan_free(&plan);
    random_problem_free(&r);
    return free_of_ties;
}

/* One GPU: the first copy stays, so that the second is the one that goes on. */
static void test_copies(void)
{
    static const float load[3] = {5, 3, 2};
    static const int32_t before[4] = {0, 2, 2, 1}, kept[4] = {0, 2, 0, 1};
    eplb_problem problem = {1, 3, 4, 1, 1, 1, 1, ALIKE};
    eplb_options options;
    int32_t phy2log[4];
    eplb_plan plan = EPLB_ZERO_INIT;
    plan.phy2log = phy2log;
    eplb_options_preset(EPLB_PRESET_VLLM, &options);
    options.previous_phy2log = before;
    CHECK(plan_with_library(&problem, &options, load, &plan) == EPLB_OK, "plan");
    CHECK(plan_same_ints(phy2log, kept, 4), "%d %d %d %d", phy2log[0], phy2log[1], phy2log[2], phy2log[3]);
}

/* For a cluster as it is vLLM has no plan: it is DEEPSEEK's. */
static void test_cluster_as_it_is(void)
{
    static const int32_t slots[4] = {3, 4, 0, 4};
    static const float speed[4] = {1, 2, 1, 1};
    for (uint64_t seed = 1; seed <= 100; seed++) {
        uint64_t state = seed;
        eplb_problem problem = {
            2, 9, 16, 3, 1, 4, 1, slots, seed % 2 ? speed : NULL, NULL, NULL, (int32_t)seed % 3 / 2};
        float *load = random_loads(&state, 2, 9);
        int32_t *before = plan_ints(32);
        eplb_plan plan[2];
        for (int32_t i = 0; i < 32; i++) before[i] = test_range(&state, -1, 8);
        for (int i = 0; i < 2; i++) {
            eplb_options options;
            eplb_options_preset(i ? EPLB_PRESET_DEEPSEEK : EPLB_PRESET_VLLM, &options);
            options.previous_phy2log = seed % 5 ? NULL : before;
            plan[i] = plan_alloc(&problem, plan_full_width(&problem));
            CHECK(plan_with_library(&problem, &options, load, &plan[i]) == EPLB_OK, "seed %d", (int)seed);
        }
        CHECK(plan_difference(&problem, &plan[0], &plan[1]) == NULL, "seed %d", (int)seed);
        plan_free(&plan[0]);
        plan_free(&plan[1]);
        free(before);
        free(load);
    }
}

/* ------------------------------------------------------------------------------------ refusals */

static void expect_refused(const eplb_options *options, const char *field)
{
    static const float load[4] = {4, 3, 2, 1};
    eplb_problem problem = {1, 4, 6, 1, 1, 2, 1, ALIKE};
    eplb_plan plan = plan_alloc(&problem, plan_full_width(&problem));
    eplb_diagnosis why;
    size_t bytes = 0;
    CHECK(eplb_scratch_size(&problem, options, &bytes) == EPLB_ERR_OPTION && bytes == 0, "%s", field);
    CHECK(eplb_diagnose(&problem, options, load, &plan, NULL, 0, &why) == EPLB_ERR_OPTION, "%s", field);
    CHECK(strcmp(why.field, field) == 0, "%s, not %s", why.field, field);
    CHECK(plan_is_unwritten(plan.phy2log, plan_slots(&problem)), "%s", field);
    plan_free(&plan);
}

static void test_refusals(void)
{
    eplb_options vllm, o;
    eplb_options_preset(EPLB_PRESET_VLLM, &vllm);
    o = vllm, o.engine = EPLB_NUM_ENGINES, expect_refused(&o, "options.engine");
    o = vllm, o.engine = -1, expect_refused(&o, "options.engine");
    o = vllm, o.effort = 1, expect_refused(&o, "options.effort");
    o = vllm, o.max_moves = 1, expect_refused(&o, "options.effort"); /* as with any preset that makes none */
    o = vllm, o.move_cost = 0.5f, expect_refused(&o, "options.effort");
    o = vllm, o.replication = EPLB_REPLICATE_HYBRID, expect_refused(&o, "options.replication");
    o = vllm, o.gpu_packing.init = EPLB_INIT_ZIGZAG, expect_refused(&o, "options.gpu_packing");
    o = vllm, o.gpu_packing.refine = EPLB_REFINE_L2, expect_refused(&o, "options.gpu_packing");
    o = vllm, o.gpu_packing.num_candidates = 2, expect_refused(&o, "options.gpu_packing");
    o = vllm, o.group_packing.init = EPLB_INIT_ZIGZAG, expect_refused(&o, "options.group_packing");
    o = vllm, o.group_packing.refine = EPLB_REFINE_MAX_MIN, expect_refused(&o, "options.group_packing");
    o = vllm, o.group_packing.num_candidates = 2, expect_refused(&o, "options.group_packing");
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 3000;
    int without_ties = 0;
    test_sums();
    test_copies();
    test_cluster_as_it_is();
    test_refusals();
    if (!VLLM_ORACLE_IS_EXACT) {
        printf("  doubles are wider here: the oracle is left out\n");
        return test_report("test_vllm");
    }
    test_arithmetic();
    for (uint64_t i = 0; i < count; i++) without_ties += check_as_vllm(first + i);
    printf("  %d of %d problems without ties\n", without_ties, (int)count);
    CHECK(argc > 1 || without_ties >= 1000, "%d", without_ties);
    return test_report("test_vllm");
}
