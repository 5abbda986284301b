/* linkage.h - the same small problem, planned by four translation units of one program: a C file with
   the extern functions, a C and a C++ file with static copies, and a C++ caller of the extern ones. */
#ifndef LINKAGE_H
#define LINKAGE_H

#include "eplb.h"
#include "eplb.h" /* including it twice must be harmless */

#ifdef __cplusplus
extern "C" {
#endif
void plan_by_static_copy(int32_t phy2log[32]); /* linkage_static.c */
#ifdef __cplusplus
}
#endif

/* Plans two layers of 12 experts on 16 slots with whatever eplb_rebalance is visible here. */
static inline void linkage_plan(int32_t phy2log[32])
{
    static const float load[24] = {90, 132, 40,  61, 104, 165, 39,  4,   73,  56, 183, 86,
                                   20, 107, 104, 64, 19,  197, 187, 157, 172, 86, 16,  27};
    unsigned char scratch[EPLB_SCRATCH_BOUND(12, 16, 8)];
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    int32_t i;

    problem.num_layers = 2;
    problem.num_experts = 12;
    problem.num_replicas = 16;
    problem.num_groups = 4;
    problem.num_nodes = 2;
    problem.num_gpus = 8;
    plan.phy2log = phy2log;
    for (i = 0; i < 32; i++) phy2log[i] = -1;
    if (eplb_rebalance(&problem, NULL, load, &plan, scratch, sizeof scratch) != EPLB_OK) phy2log[0] = -2;
}

#endif
