/* fuzz_oracle.c - differential: valid problems, whose plans have to be those of the naive oracle, and with effort
   those of the library without vector instructions, whose search has to be the naive one. */
#include "eplb.h"
#include "test.h"
#include "oracle.h"
#include "oracle_vllm.h"
#include "planning.h"
#include "fuzz.h"
#include "plain.h"

static int fuzz_usual_loads(fuzz_input *in) /* within the oracle's range */
{
    return fuzz_one_in(in, 2) ? FUZZ_LOADS_SMALL : FUZZ_LOADS_MIDDLE;
}

static void fuzz_plans(fuzz_input *in)
{
    eplb_problem p = fuzz_problem(in);
    eplb_options o = fuzz_options(in, &p);
    float *weight = fuzz_loads(in, fuzz_samples(&p) * plan_experts(&p), fuzz_usual_loads(in));
    eplb_plan plan = plan_alloc(&p, plan_full_width(&p)), other = plan_alloc(&p, plan_full_width(&p));
    eplb_options without_effort = o; /* as the oracle does not improve */
    size_t bytes = 0, plain_bytes = 0;

    without_effort.effort = 0;
    FUZZ_HOLDS(eplb_scratch_size(&p, &o, &bytes) == EPLB_OK);
    FUZZ_HOLDS(eplb_scratch_size(&p, &without_effort, &plain_bytes) == EPLB_OK);
    bytes = plain_bytes > bytes ? plain_bytes : bytes;
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_rebalance(&p, &o, weight, &plan, scratch.at, bytes) == EPLB_OK);
    FUZZ_HOLDS(plain_rebalance(&p, &o, weight, &other, scratch.at, bytes) == EPLB_OK);
    FUZZ_HOLDS(plan_difference(&p, &plan, &other) == NULL);

    FUZZ_HOLDS(eplb_rebalance(&p, &without_effort, weight, &plan, scratch.at, bytes) == EPLB_OK);
    if (o.engine == EPLB_ENGINE_VLLM) vllm_rebalance(&p, &o, weight, &other);
    else oracle_rebalance(&p, &without_effort, weight, &other);
    FUZZ_HOLDS(plan_difference(&p, &plan, &other) == NULL);
    free(scratch.block);
    free(weight);
    plan_free(&plan);
    plan_free(&other);
}

static void fuzz_searches(fuzz_input *in)
{
    eplb_problem p = fuzz_problem(in);
    p.num_layers = 1; /* the naive search is slow */
    eplb_options o = fuzz_options(in, &p);
    float *weight = fuzz_loads(in, fuzz_samples(&p) * plan_experts(&p), fuzz_usual_loads(in));

    o.engine = EPLB_ENGINE_NONE;
    o.shares = EPLB_PLAN_FOR_EQUAL;
    o.effort = fuzz_range(in, 1, 8);
    FUZZ_HOLDS(plain_searches_naively(&p, &o, weight));
    free(weight);
}

static void fuzz_packings(fuzz_input *in)
{
    int32_t rows = fuzz_range(in, 1, 2), m = fuzz_range(in, 1, 12), n = m * fuzz_range(in, 1, 10);
    eplb_packing how = fuzz_packing(in);
    size_t count = (size_t)rows * (size_t)n, bytes = 0;
    uint64_t seed = fuzz_bits(in);
    float *weight = fuzz_loads(in, count, fuzz_usual_loads(in));
    int32_t *out[4];
    for (int i = 0; i < 4; i++) out[i] = plan_ints(count);

    FUZZ_HOLDS(eplb_packing_scratch_size(n, m, &how, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(eplb_balanced_packing(weight, rows, n, m, &how, seed, out[0], out[1], scratch.at, bytes) == EPLB_OK);
    oracle_packing(weight, rows, n, m, &how, seed, out[2], out[3]);
    FUZZ_HOLDS(plan_same_ints(out[0], out[2], count));
    FUZZ_HOLDS(plan_same_ints(out[1], out[3], count));
    free(scratch.block);
    free(weight);
    for (int i = 0; i < 4; i++) free(out[i]);
}

static void fuzz_replication(fuzz_input *in)
{
    int32_t rows = fuzz_range(in, 1, 2), num_log = fuzz_range(in, 1, 40);
    int32_t num_phy = num_log + fuzz_range(in, 0, 60), rule = fuzz_range(in, 0, EPLB_NUM_REPLICATIONS - 1);
    int32_t fixup_steps = fuzz_range(in, 0, 4);
    size_t phys = (size_t)rows * (size_t)num_phy, logs = (size_t)rows * (size_t)num_log, bytes = 0;
    float *weight = fuzz_loads(in, logs, fuzz_usual_loads(in));
    int32_t *phy2log = plan_ints(phys), *rank = plan_ints(phys), *cnt = plan_ints(logs);
    int32_t *naive_phy2log = plan_ints(phys), *naive_rank = plan_ints(phys), *naive_cnt = plan_ints(logs);

    FUZZ_HOLDS(eplb_replicate_scratch_size(num_log, num_phy, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(in, bytes);
    FUZZ_HOLDS(
        eplb_replicate_experts(weight, rows, num_log, num_phy, rule, fixup_steps, phy2log, rank, cnt, scratch.at, bytes)
        == EPLB_OK);
    oracle_replicate(weight, rows, num_log, num_phy, rule, fixup_steps, naive_phy2log, naive_rank, naive_cnt);
    FUZZ_HOLDS(plan_same_ints(phy2log, naive_phy2log, phys));
    FUZZ_HOLDS(plan_same_ints(rank, naive_rank, phys));
    FUZZ_HOLDS(plan_same_ints(cnt, naive_cnt, logs));
    free(scratch.block);
    free(weight);
    free(phy2log);
    free(rank);
    free(cnt);
    free(naive_phy2log);
    free(naive_rank);
    free(naive_cnt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = fuzz_begin(data, size);
    switch (fuzz_range(&in, 0, 7)) {
    case 0: fuzz_packings(&in); break;
    case 1: fuzz_replication(&in); break;
    case 2: fuzz_searches(&in); break;
    case 3: fuzz_searches(&in); break;
    default: fuzz_plans(&in); break;
    }
    return 0;
}
