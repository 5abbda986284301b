/* minimal.c - plan two layers with static scratch and no allocation, and print where experts go. */
#include <stdio.h>

#define EPLB_IMPLEMENTATION
#include "eplb.h"

enum { LAYERS = 2, EXPERTS = 12, REPLICAS = 16, GPUS = 8 };

/* Tokens routed to each expert in each layer. */
static const float load[LAYERS * EXPERTS] = {
    90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86, 20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27,
};

int main(void)
{
    static unsigned char scratch[EPLB_SCRATCH_BOUND(EXPERTS, REPLICAS, GPUS)];
    static int32_t phy2log[LAYERS * REPLICAS];
    eplb_layer_report report[LAYERS];
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    eplb_result r;
    int layer, slot;

    problem.num_layers = LAYERS;
    problem.num_experts = EXPERTS;
    problem.num_replicas = REPLICAS;
    problem.num_groups = 4; /* experts 0-2, 3-5, 6-8, 9-11: a group stays on one node */
    problem.num_nodes = 2;
    problem.num_gpus = GPUS;
    plan.phy2log = phy2log;

    r = eplb_rebalance(&problem, NULL, load, &plan, scratch, sizeof scratch);
    if (r == EPLB_OK) r = eplb_evaluate(&problem, NULL, load, &plan, report, NULL, scratch, sizeof scratch);
    if (r != EPLB_OK) {
        fprintf(stderr, "minimal: %s\n", eplb_result_name(r));
        return 1;
    }
    for (layer = 0; layer < LAYERS; layer++) {
        printf("layer %d:", layer);
        for (slot = 0; slot < REPLICAS; slot++)
            printf("%s%2d", slot % (REPLICAS / GPUS) == 0 ? " | " : " ", (int)phy2log[layer * REPLICAS + slot]);
        printf(" |  balancedness %.3f, largest GPU load %.1f, at least %.1f\n", (double)report[layer].balancedness,
               (double)report[layer].max_load, (double)report[layer].lower_bound);
    }
    return 0;
}
