/* plain.c - see plain.h. */
#define EPLB_NO_SIMD
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "search_oracle.h"
#include "plain.h"

eplb_result plain_rebalance(const eplb_problem *problem, const eplb_options *options, const float *weight,
                            const eplb_plan *plan, void *scratch, size_t scratch_bytes)
{
    return eplb_rebalance(problem, options, weight, plan, scratch, scratch_bytes);
}

eplb_result plain_evaluate(const eplb_problem *problem, const eplb_options *options, const float *weight,
                           const eplb_plan *plan, eplb_layer_report *report, float *gpu_load, void *scratch,
                           size_t scratch_bytes)
{
    return eplb_evaluate(problem, options, weight, plan, report, gpu_load, scratch, scratch_bytes);
}

int plain_searches_naively(const eplb_problem *problem, const eplb_options *options, const float *weight)
{
    int32_t layer, node;
    return search_same(problem, options, weight, &layer, &node);
}
