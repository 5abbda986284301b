/* plan.c - plans one layer, and prints the experts of each slot. */
#include <stdio.h>

#include "eplb.h"

int main(void)
{
    static const float load[12] = {90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
    static unsigned char scratch[EPLB_SCRATCH_BOUND(12, 16, 8)];
    static int32_t phy2log[16];
    eplb_result r;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    problem.num_layers = 1, problem.num_experts = 12, problem.num_replicas = 16, problem.num_gpus = 8;
    plan.phy2log = phy2log;
    r = eplb_rebalance(&problem, NULL, load, &plan, scratch, sizeof scratch);
    printf("%s:", eplb_result_name(r));
    if (r != EPLB_OK) return 1;
    for (int slot = 0; slot < 16; slot++) printf(" %d", (int)phy2log[slot]);
    printf("\n");
    return 0;
}
