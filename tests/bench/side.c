/* side.c - see side.h. It is no part of the benchmark's program: against.c compiles it for each of two
   copies of the header, by the same command, into a library of its own. */
#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "side.h"

int32_t side_plan(int32_t preset, const baseline_shape *shape, int32_t num_samples, int32_t num_layers,
                  const float *weight, const baseline_arrays *plan, void *scratch, size_t *scratch_bytes)
{
    eplb_problem problem = {0};
    eplb_plan out = {0};
    eplb_options options;
    eplb_result r = eplb_options_preset(preset, &options);

    if (r != EPLB_OK) return r;
    problem.num_layers = shape->num_layers;
    problem.num_experts = shape->num_experts;
    problem.num_replicas = shape->num_replicas;
    problem.num_groups = shape->num_groups;
    problem.num_nodes = shape->num_nodes;
    problem.num_gpus = shape->num_gpus;
    problem.num_samples = num_samples;
    if (!plan) return eplb_scratch_size(&problem, &options, scratch_bytes);
    out.phy2log = plan->phy2log;
    out.phyrank = plan->phyrank;
    out.logcnt = plan->logcnt;
    out.log2phy = plan->log2phy;
    out.log2phy_width = plan->log2phy_width;
    return eplb_rebalance_layers(&problem, &options, weight, &out, scratch, *scratch_bytes, 0, num_layers);
}
