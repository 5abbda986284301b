/* plain.h - a second copy of the library, without vector instructions, and what is inside it beside naive programs. */
#ifndef PLAIN_H
#define PLAIN_H

eplb_result plain_rebalance(const eplb_problem *problem, const eplb_options *options, const float *weight,
                            const eplb_plan *plan, void *scratch, size_t scratch_bytes);
eplb_result plain_evaluate(const eplb_problem *problem, const eplb_options *options, const float *weight,
                           const eplb_plan *plan, eplb_layer_report *report, float *gpu_load, void *scratch,
                           size_t scratch_bytes);

/* Whether its search makes the decisions of the naive one, see search_oracle.h. */
int plain_searches_naively(const eplb_problem *problem, const eplb_options *options, const float *weight);

#endif
