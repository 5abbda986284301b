/* threads.c - split the layers of one problem over threads, a scratch for each, and show that the
   plan is the same as from one call. Layers are independent, so nothing is shared but the inputs. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EPLB_IMPLEMENTATION
#include "eplb.h"

enum { LAYERS = 58, EXPERTS = 256, REPLICAS = 288, GPUS = 32, THREADS = 4 };

typedef struct job {
    const eplb_problem *problem;
    const float *load;
    const eplb_plan *plan;
    int32_t first_layer, num_layers;
    eplb_result result;
    unsigned char scratch[EPLB_SCRATCH_BOUND(EXPERTS, REPLICAS, GPUS)];
} job;

static void *plan_some_layers(void *argument)
{
    job *j = argument;
    j->result = eplb_rebalance_layers(j->problem, NULL, j->load, j->plan, j->scratch, sizeof j->scratch, j->first_layer,
                                      j->num_layers);
    return NULL;
}

int main(void)
{
    static float load[LAYERS * EXPERTS];
    static int32_t together[LAYERS * REPLICAS], apart[LAYERS * REPLICAS];
    static job jobs[THREADS];
    pthread_t thread[THREADS];
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    int i;

    problem.num_layers = LAYERS;
    problem.num_experts = EXPERTS;
    problem.num_replicas = REPLICAS;
    problem.num_gpus = GPUS;
    for (i = 0; i < LAYERS * EXPERTS; i++) load[i] = (float)(1 + (i * 7919) % 1009); /* any load will do */

    plan.phy2log = apart;
    for (i = 0; i < THREADS; i++) {
        int32_t first = LAYERS * i / THREADS, next = LAYERS * (i + 1) / THREADS;
        jobs[i].problem = &problem;
        jobs[i].load = load;
        jobs[i].plan = &plan;
        jobs[i].first_layer = first;
        jobs[i].num_layers = next - first;
        if (pthread_create(&thread[i], NULL, plan_some_layers, &jobs[i]) != 0) return 1;
    }
    for (i = 0; i < THREADS; i++) {
        if (pthread_join(thread[i], NULL) != 0 || jobs[i].result != EPLB_OK) return 1;
        printf("thread %d planned layers %d to %d\n", i, (int)jobs[i].first_layer,
               (int)(jobs[i].first_layer + jobs[i].num_layers - 1));
    }

    plan.phy2log = together;
    if (eplb_rebalance(&problem, NULL, load, &plan, jobs[0].scratch, sizeof jobs[0].scratch) != EPLB_OK) return 1;
    printf("the plan is %s as from one call\n",
           memcmp(together, apart, sizeof apart) == 0 ? "the same" : "NOT the same");
    return memcmp(together, apart, sizeof apart) != 0;
}
