/* route.c - one step's tokens all the way: counted, shared out over the replicas exactly, and sent to slots. Each of
   8 GPUs counts what its own tokens want; after an all-reduce all of them solve the same shares by themselves. */
#include <stdio.h>

#define EPLB_IMPLEMENTATION
#include "eplb.h"

enum { EXPERTS = 24, REPLICAS = 40, GPUS = 8, NODES = 2, TOKENS = 600 };
enum { SLOTS = REPLICAS / GPUS, MOST = REPLICAS - EXPERTS + 1 }; /* on a GPU; of an expert */

static int32_t wanted[GPUS][TOKENS]; /* the expert that each token's router chose */
static int32_t source_count[GPUS][EXPERTS], count[EXPERTS];
static int32_t slot_count[REPLICAS], quota[GPUS][REPLICAS], arrived[REPLICAS];
static int32_t phy2log[REPLICAS], logcnt[EXPERTS], log2phy[EXPERTS][MOST];

/* Stands for the router: lower experts are chosen more often, and others on each GPU. */
static void choose_experts(void)
{
    uint32_t x = 1, low;
    for (int gpu = 0; gpu < GPUS; gpu++) {
        for (int token = 0; token < TOKENS; token++) {
            x = x * 1664525u + 1013904223u;
            low = (x >> 16) % EXPERTS * ((x >> 8) % EXPERTS) / EXPERTS;
            wanted[gpu][token] = (int32_t)((low + 2u * (uint32_t)gpu) % EXPERTS);
            source_count[gpu][wanted[gpu][token]]++;
        }
    }
}

/* On one GPU: the k-th of its tokens for an expert goes to the first slot of the expert up to which quotas sum to more
   than k. Prefix sums of the quotas, by rank of the slot, are all that a token needs to find its way. */
static void send_tokens(int gpu)
{
    int32_t sent[EXPERTS] = {0}, end[EXPERTS][MOST];
    for (int e = 0; e < EXPERTS; e++)
        for (int32_t rank = 0, sum = 0; rank < logcnt[e]; rank++) end[e][rank] = sum += quota[gpu][log2phy[e][rank]];
    for (int token = 0; token < TOKENS; token++) {
        int32_t e = wanted[gpu][token], k = sent[e]++, rank = 0;
        while (k >= end[e][rank]) rank++;
        arrived[log2phy[e][rank]]++;
    }
}

int main(void)
{
    static unsigned char scratch[EPLB_SCRATCH_BOUND(EXPERTS, REPLICAS, GPUS)];
    float last_window[EXPERTS];
    int32_t most, kept = 0, wrong = 0;
    size_t bytes;
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    problem.num_layers = 1, problem.num_experts = EXPERTS, problem.num_replicas = REPLICAS;
    problem.num_gpus = GPUS, problem.num_nodes = NODES;
    plan.phy2log = phy2log, plan.logcnt = logcnt, plan.log2phy = log2phy[0], plan.log2phy_width = MOST;
    for (int e = 0; e < EXPERTS; e++) last_window[e] = (float)(EXPERTS + (e * 7) % 13); /* some time ago */
    if (eplb_rebalance(&problem, NULL, last_window, &plan, scratch, sizeof scratch) != EPLB_OK) return 1;

    choose_experts();
    for (int gpu = 0; gpu < GPUS; gpu++)
        for (int e = 0; e < EXPERTS; e++) count[e] += source_count[gpu][e]; /* the all-reduce */
    if (eplb_share_scratch_size(&problem, &bytes) != EPLB_OK || bytes > sizeof scratch) return 1;
    if (eplb_share(&problem, phy2log, count, EPLB_SHARE_FAIR, slot_count, &most, scratch, bytes) != EPLB_OK) return 1;
    if (eplb_share_sources(&problem, phy2log, *source_count, slot_count, *quota, scratch, bytes) != EPLB_OK) return 1;
    for (int gpu = 0; gpu < GPUS; gpu++) send_tokens(gpu);
    for (int gpu = 0; gpu < GPUS; gpu++) {
        int32_t equal = 0, exact = 0;
        for (int slot = gpu * SLOTS; slot < (gpu + 1) * SLOTS; slot++) {
            equal += count[phy2log[slot]] / logcnt[phy2log[slot]];
            exact += arrived[slot];
            kept += quota[gpu][slot];
            wrong += arrived[slot] != slot_count[slot];
        }
        printf("GPU %d: %d tokens; with equal shares it would have %d\n", gpu, (int)exact, (int)equal);
    }
    printf("heaviest GPU %d, mean %d, %d tokens stay on their GPU\n", (int)most, TOKENS, (int)kept);
    printf("every slot got %s\n", wrong ? "SOMETHING ELSE than its share" : "its share");
    return wrong != 0;
}
