/* test_golden.c - holds the library, and the oracle that other tests hold it against, to the plans
   that the published programs give and to answers worked out by hand.

   usage: test_golden [plans.txt] */
#include "eplb.h"
#include "test.h"
#include "oracle.h"
#include "planning.h"
#include "golden.h"
#include "random_problem.h"
#include "plan_hash.h"

/* Over the plans of all presets, those that the file does not know too, for each of its cases. */
static const uint64_t golden_hash = UINT64_C(0x638c797c8eecfd21);

enum { GOLDEN_CASES = 15, GOLDEN_PLANS = 9 * GOLDEN_CASES, GOLDEN_LAYERS = 36 };

/* ---------------------------------------------------------------------------------- comparing */

/* The presets whose published programs order slots within a GPU as the library does. */
static int ordered_alike(int32_t preset)
{
    return preset == EPLB_PRESET_DEEPSEEK || preset == EPLB_PRESET_ZIGZAG || preset == EPLB_PRESET_SWAP_MAX_ANY
           || preset == EPLB_PRESET_L2;
}

/* Whether every GPU holds the same experts, in whatever order. */
static int same_on_every_gpu(const eplb_problem *problem, const int32_t *a, const int32_t *b)
{
    int32_t slots_per_gpu = problem->num_replicas / problem->num_gpus;
    for (int32_t g = 0; g < problem->num_layers * problem->num_gpus; g++) {
        const int32_t *a_gpu = a + (size_t)g * (size_t)slots_per_gpu;
        const int32_t *b_gpu = b + (size_t)g * (size_t)slots_per_gpu;
        for (int32_t i = 0; i < slots_per_gpu; i++)
            if (plan_copies(a_gpu, slots_per_gpu, a_gpu[i]) != plan_copies(b_gpu, slots_per_gpu, a_gpu[i])) return 0;
    }
    return 1;
}

/* Whether wide is narrow with further columns of -1. */
static int same_but_wider(size_t num_rows, const eplb_plan *narrow, const eplb_plan *wide)
{
    for (size_t row = 0; row < num_rows; row++) {
        for (int32_t i = 0; i < wide->log2phy_width; i++) {
            int32_t expected = -1;
            if (i < narrow->log2phy_width) expected = narrow->log2phy[row * (size_t)narrow->log2phy_width + (size_t)i];
            if (wide->log2phy[row * (size_t)wide->log2phy_width + (size_t)i] != expected) return 0;
        }
    }
    return 1;
}

/* Holds a plan, with its log2phy as wide as the file's, to the golden one; returns whether it is
   equal in every number. The file has no phyrank; log2phy says the same. */
static int check_plan(const char *who, const golden_case *c, const char *plan_name, int32_t preset,
                      const eplb_plan *plan, const eplb_plan *golden)
{
    const eplb_problem *problem = &c->problem;
    size_t experts = plan_experts(problem);
    int same_slots = plan_same_ints(plan->phy2log, golden->phy2log, plan_slots(problem));
    int same_map = plan_same_ints(plan->log2phy, golden->log2phy, experts * (size_t)golden->log2phy_width);
    CHECK(plan_same_ints(plan->logcnt, golden->logcnt, experts), "%s: %s, %s", who, c->name, plan_name);
    CHECK(same_on_every_gpu(problem, plan->phy2log, golden->phy2log), "%s: %s, %s", who, c->name, plan_name);
    if (ordered_alike(preset)) {
        CHECK(same_slots, "%s: %s, %s", who, c->name, plan_name);
        CHECK(same_map, "%s: %s, %s", who, c->name, plan_name);
    }
    return same_slots && same_map;
}

/* ------------------------------------------------------------------------------ the golden file */

static int exact_by_oracle, exact_by_library;

static void check_oracle(const golden_case *c, const char *plan_name, int32_t preset, const eplb_plan *golden)
{
    eplb_options options;
    eplb_plan plan = plan_alloc(&c->problem, golden->log2phy_width);
    CHECK(oracle_preset(preset, &options), "%s", plan_name);
    options.fixup_steps = 0;
    options.seed = golden_seed;
    oracle_rebalance(&c->problem, &options, c->weight, &plan);
    exact_by_oracle += check_plan("oracle", c, plan_name, preset, &plan, golden);
    plan_free(&plan);
}

static void check_library(const golden_case *c, const char *plan_name, int32_t preset, const eplb_plan *golden)
{
    eplb_options options;
    eplb_plan plan = plan_alloc(&c->problem, golden->log2phy_width);
    eplb_plan wide = plan_alloc(&c->problem, golden->log2phy_width + 5);
    CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "%s", plan_name);
    options.fixup_steps = 0;
    options.seed = golden_seed;
    CHECK(plan_with_library(&c->problem, &options, c->weight, &plan) == EPLB_OK, "%s, %s", c->name, plan_name);
    exact_by_library += check_plan("library", c, plan_name, preset, &plan, golden);

    CHECK(plan_with_library(&c->problem, &options, c->weight, &wide) == EPLB_OK, "%s, %s", c->name, plan_name);
    CHECK(plan_same_ints(plan.phy2log, wide.phy2log, plan_slots(&c->problem)), "%s, %s", c->name, plan_name);
    CHECK(same_but_wider(plan_experts(&c->problem), &plan, &wide), "%s, %s", c->name, plan_name);
    plan_free(&plan);
    plan_free(&wide);
}

static void test_golden_file(const char *path)
{
    FILE *file = fopen(path, "r");
    golden_case c = {"", {0}, NULL};
    char word[64];
    int cases = 0, plans = 0, layers = 0;
    uint64_t hash = HASH_START;
    eplb_options base = EPLB_ZERO_INIT;
    base.seed = golden_seed;
    CHECK(file != NULL, "cannot open %s", path);
    while (file && golden_word(file, word)) {
        if (strcmp(word, "case") == 0) {
            free(c.weight);
            c = golden_read_case(file);
            hash = hash_presets(hash, &c.problem, &base, c.weight, (uint64_t)cases);
            cases++;
            layers += c.problem.num_layers;
        } else if (strcmp(word, "plan") == 0 && c.weight && fscanf(file, "%63s", word) == 1) {
            int32_t preset = golden_preset(word);
            eplb_plan golden = golden_read_plan(file, &c.problem);
            CHECK(preset >= 0, "no preset %s", word);
            check_oracle(&c, word, preset, &golden);
            check_library(&c, word, preset, &golden);
            plan_free(&golden);
            plans++;
        } else {
            CHECK(0, "%s: unexpected %s", path, word);
            break;
        }
    }
    free(c.weight);
    if (file) fclose(file);
    CHECK(cases == GOLDEN_CASES && plans == GOLDEN_PLANS && layers == GOLDEN_LAYERS, "%d cases, %d plans, %d layers",
          cases, plans, layers);
    CHECK(hash == golden_hash, "the plans of all presets hash to %016llx", (unsigned long long)hash);
    printf("golden: of %d plans the oracle gives %d in every number, the library %d\n", plans, exact_by_oracle,
           exact_by_library);
}

/* ---------------------------------------------------------------------------- known by themselves */

/* The example of deepseek-ai/EPLB; it holds an exact tie, 172 / 2 = 86. */
static void test_design_example(void)
{
    static const float weight[24] = {90, 132, 40,  61, 104, 165, 39,  4,   73,  56, 183, 86,
                                     20, 107, 104, 64, 19,  197, 187, 157, 172, 86, 16,  27};
    static const int32_t expected[32] = {5, 6,  5, 7, 8, 4,  3, 4, 10, 9, 10, 2, 0, 1, 11, 1,
                                         7, 10, 6, 8, 6, 11, 8, 9, 2,  4, 5,  1, 5, 0, 3,  1};
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options;
    int32_t phy2log[32];
    eplb_plan plan = EPLB_ZERO_INIT;
    problem.num_layers = 2;
    problem.num_experts = 12;
    problem.num_replicas = 16;
    problem.num_groups = 4;
    problem.num_nodes = 2;
    problem.num_gpus = 8;
    plan.phy2log = phy2log;

    CHECK(eplb_options_preset(EPLB_PRESET_DEEPSEEK, &options) == EPLB_OK, "deepseek");
    CHECK(plan_with_library(&problem, &options, weight, &plan) == EPLB_OK, "design example");
    CHECK(plan_same_ints(phy2log, expected, 32), "library");

    oracle_preset(EPLB_PRESET_DEEPSEEK, &options);
    memset(phy2log, 0, sizeof phy2log);
    oracle_rebalance(&problem, &options, weight, &plan);
    CHECK(plan_same_ints(phy2log, expected, 32), "oracle");
}

static void check_counts(const float *load, int32_t num_log, int32_t num_phy, const int32_t *expected)
{
    int32_t phy2log[16], rank[16], cnt[16];
    size_t bytes = 0;
    CHECK(eplb_replicate_scratch_size(num_log, num_phy, &bytes) == EPLB_OK, "%d of %d", num_log, num_phy);
    void *scratch = test_alloc(bytes);
    CHECK(
        eplb_replicate_experts(load, 1, num_log, num_phy, EPLB_REPLICATE_DHONDT, 0, phy2log, rank, cnt, scratch, bytes)
            == EPLB_OK,
        "%d of %d", num_log, num_phy);
    CHECK(plan_same_ints(cnt, expected, (size_t)num_log), "library, %d of %d", num_log, num_phy);
    free(scratch);
    oracle_replicate(load, 1, num_log, num_phy, EPLB_REPLICATE_DHONDT, 0, phy2log, rank, cnt);
    CHECK(plan_same_ints(cnt, expected, (size_t)num_log), "oracle, %d of %d", num_log, num_phy);
}

static void test_replication(void)
{
    static const float uneven[5] = {10, 5, 2, 15, 8};
    static const int32_t uneven_counts[5] = {2, 1, 1, 3, 2};
    static const float exact[4] = {1, 4, 2, 1}; /* 8 slots make every replica carry 1 */
    static const int32_t exact_counts[4] = {1, 4, 2, 1};
    static const float zeros[4] = {0, 0, 0, 0};
    static const int32_t zeros_counts[4] = {2, 2, 1, 1};
    static const float one[3] = {0, 10, 0};
    static const int32_t one_counts[3] = {1, 2, 1};
    check_counts(uneven, 5, 9, uneven_counts);
    check_counts(exact, 4, 8, exact_counts);
    check_counts(zeros, 4, 6, zeros_counts);
    check_counts(one, 3, 4, one_counts);
}

int main(int argc, char **argv)
{
    test_golden_file(argc > 1 ? argv[1] : "tests/golden/plans.txt");
    test_design_example();
    test_replication();
    return test_report("test_golden");
}
