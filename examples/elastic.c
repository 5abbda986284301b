/* elastic.c - a day in a cluster: 64 GPUs on 8 nodes under a load that drifts. GPU 17 dies, node 3 dies, both come back
   empty, and two slower GPUs join. At each event a plan is made from the one in force under limits of moves, experts that
   nobody holds any more come first, and in the steps between exact shares say who serves which tokens. */
#include <stdio.h>
#include <string.h>

#define EPLB_IMPLEMENTATION
#include "eplb.h"

enum { LAYERS = 4, EXPERTS = 256, GPUS = 64, NODES = 8, SLOTS = 5, REPLICAS = GPUS * SLOTS };
enum { STEPS = 48, EVERY = 4, TOKENS = 40000, MEMORY = 1 << 20 };

static float popular[LAYERS][EXPERTS], load[LAYERS][EXPERTS];
static int32_t in_force[LAYERS][REPLICAS], fresh[LAYERS][REPLICAS], slot_count[LAYERS][REPLICAS],
    count[LAYERS][EXPERTS];
static int32_t gpu_slots[GPUS];
static float gpu_speed[GPUS];
static eplb_transfer transfer[LAYERS * REPLICAS];
static unsigned char scratch[MEMORY];

static float uniform(void)
{
    static uint32_t x = 1;
    x = x * 1664525u + 1013904223u;
    return (float)(x >> 8) / 16777216.0f;
}

/* Experts of all degrees of popularity, which changes a little with every step. */
static void drift(int step)
{
    for (int l = 0; l < LAYERS; l++) {
        float sum = 0.0f;
        for (int e = 0; e < EXPERTS; e++) {
            float now = 0.1f + uniform() * uniform();
            popular[l][e] = step == 0 ? now : 0.97f * popular[l][e] + 0.03f * now;
            load[l][e] = popular[l][e] * (0.95f + 0.1f * uniform());
            sum += load[l][e];
        }
        for (int e = 0; e < EXPERTS; e++) count[l][e] = (int32_t)(TOKENS * load[l][e] / sum);
    }
}

/* What happens before a step; a GPU that has died, or joins, holds nothing. */
static const char *happen(int step)
{
    for (int g = 0; g < GPUS; g++) {
        int comes = (step == 24 && (g == 17 || g / 8 == 3)) || (step == 36 && g >= 62);
        int dies = (step == 8 && g == 17) || (step == 16 && g / 8 == 3);
        if (comes) gpu_slots[g] = SLOTS;
        if (dies) gpu_slots[g] = 0;
        for (int i = g * SLOTS; (comes || dies) && i < (g + 1) * SLOTS; i++)
            for (int l = 0; l < LAYERS; l++) in_force[l][i] = -1;
    }
    return step == 8    ? "GPU 17 dies"
           : step == 16 ? "node 3 dies"
           : step == 24 ? "both are back"
           : step == 36 ? "two more"
                        : "";
}

/* A plan near the one in force, and what has to be sent for it. */
static void follow(const eplb_problem *p, const char *event, int step)
{
    eplb_options o;
    eplb_plan plan = EPLB_ZERO_INIT;
    eplb_layer_report report[LAYERS];
    size_t moves = 0, lost = 0, num = 0;
    float least = 1.0f;
    eplb_options_preset(EPLB_PRESET_DEFAULT, &o);
    o.policy = EPLB_POLICY_GLOBAL; /* experts may be on any node; transfers come from the same one where they can */
    plan.phy2log = fresh[0];
    if (step > 0) {
        o.previous_phy2log = in_force[0];
        o.max_moves = *event ? 24 : 8; /* in a layer; what is lost has to be loaded in any case */
        o.max_gpu_moves = 4;
        o.move_cost = 0.001f;
    }
    if (eplb_rebalance(p, &o, load[0], &plan, scratch, sizeof scratch) != EPLB_OK) printf("no plan\n");
    if (step > 0)
        eplb_transfers(p, in_force[0], fresh[0], NULL, transfer, LAYERS * REPLICAS, &num, scratch, sizeof scratch);
    for (size_t i = 0; i < num; i++) { /* in a layer, those without a round stand first: what is lost among them */
        lost += transfer[i].kind == EPLB_TRANSFER_LOST;
        moves += transfer[i].round >= 0;
    }
    memcpy(in_force, fresh, sizeof fresh);
    eplb_evaluate(p, &o, load[0], &plan, report, NULL, scratch, sizeof scratch);
    for (int l = 0; l < LAYERS; l++) least = report[l].balancedness < least ? report[l].balancedness : least;
    printf("%4d  %-13s  %7.4f  %6.1f  %6.1f\n", step, event, (double)least, (double)moves / LAYERS,
           (double)lost / LAYERS);
}

int main(void)
{
    int served = 0, wrong = 0;
    eplb_problem p = EPLB_ZERO_INIT;
    p.num_layers = LAYERS, p.num_experts = EXPERTS, p.num_replicas = REPLICAS;
    p.num_nodes = NODES, p.num_gpus = GPUS;
    p.gpu_slots = gpu_slots, p.gpu_speed = gpu_speed;
    for (int g = 0; g < GPUS; g++) gpu_slots[g] = g < 62 ? SLOTS : 0, gpu_speed[g] = g < 62 ? 1.0f : 0.8f;

    printf("step  event          balance   moves    lost\n");
    for (int step = 0; step < STEPS; step++) {
        const char *event = happen(step);
        drift(step);
        if (step % EVERY == 0) follow(&p, event, step);
        if (eplb_share(&p, in_force[0], count[0], EPLB_SHARE_FAIR, slot_count[0], NULL, scratch, sizeof scratch)
            != EPLB_OK)
            wrong++; /* as when an expert is nowhere */
        for (int l = 0; l < LAYERS; l++)
            for (int i = 0; i < REPLICAS; i++) {
                served += slot_count[l][i];
                wrong += slot_count[l][i] > 0 && gpu_slots[i / SLOTS] == 0;
            }
    }
    printf("%d tokens served, %d by GPUs that are not there\n", served, wrong);
    return wrong != 0;
}
