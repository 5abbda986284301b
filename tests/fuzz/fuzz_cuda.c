/* fuzz_cuda.c - differential: valid problems, whose plans from the GPU's kernels, emulated, have to be
   those of the naive oracle; of an engine, which it does not know, those of the CPU. */
#include "eplb_cuda.h"
#include "test.h"
#include "oracle.h"
#include "planning.h"
#include "fuzz.h"

static void plan_on_cpu(const eplb_problem *p, const eplb_options *o, const float *weight, const eplb_plan *plan)
{
    size_t bytes = 0;
    FUZZ_HOLDS(eplb_scratch_size(p, o, &bytes) == EPLB_OK);
    void *scratch = test_alloc(bytes);
    FUZZ_HOLDS(eplb_rebalance(p, o, weight, plan, scratch, bytes) == EPLB_OK);
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = fuzz_begin(data, size);
    uint64_t order = fuzz_bits(&in); /* of threads and blocks */
    eplb_problem p = fuzz_problem(&in);
    eplb_options o = fuzz_options(&in, &p);
    int kind = fuzz_one_in(&in, 2) ? FUZZ_LOADS_SMALL : FUZZ_LOADS_MIDDLE;
    float *weight = fuzz_loads(&in, fuzz_samples(&p) * plan_experts(&p), kind);
    eplb_plan plan = plan_alloc(&p, plan_full_width(&p)), naive = plan_alloc(&p, plan_full_width(&p));
    size_t bytes = 0;

    o.effort = 0; /* the search is on neither */
    emulated_seed(order);
    FUZZ_HOLDS(eplb_cuda_scratch_size(&p, &o, &bytes) == EPLB_OK);
    fuzz_memory scratch = fuzz_scratch(&in, bytes);
    FUZZ_HOLDS(eplb_cuda_rebalance(&p, &o, weight, &plan, scratch.at, bytes, NULL) == EPLB_OK);
    FUZZ_HOLDS(cudaDeviceSynchronize() == cudaSuccess);
    if (o.engine == EPLB_ENGINE_NONE) oracle_rebalance(&p, &o, weight, &naive);
    else plan_on_cpu(&p, &o, weight, &naive);
    FUZZ_HOLDS(plan_difference(&p, &plan, &naive) == NULL);
    free(scratch.block);
    free(weight);
    plan_free(&plan);
    plan_free(&naive);
    return 0;
}
