/* exact.c - plans under exact shares: in each sample, how a layer's heaviest GPU fares when its experts' replicas
   share their tokens as eplb_share has it. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

exact_shares make_exact_shares(const eplb_problem *problem, const eplb_options *options)
{
    exact_shares x;
    memset(&x, 0, sizeof x);
    x.one             = *problem;
    x.one.num_layers  = 1;
    x.one.num_samples = 1;
    check_result(&x.one, options, NULL, eplb_share_scratch_size(&x.one, &x.scratch_bytes));
    x.count      = (int32_t *)allocate((size_t)problem->num_experts, sizeof(int32_t));
    x.slot_count = (int32_t *)allocate((size_t)problem->num_replicas, sizeof(int32_t));
    x.scratch    = allocate(x.scratch_bytes, 1);
    return x;
}

void free_exact_shares(exact_shares *x)
{
    free(x->count);
    free(x->slot_count);
    free(x->scratch);
}

/* Sets count, if loads are whole tokens and no more than eplb_share takes; else returns false. */
static bool count_tokens(exact_shares *x, const float *load)
{
    int64_t sum = 0;
    for (int32_t e = 0; e < x->one.num_experts; e++) {
        double tokens = (double)load[e];
        if (tokens > INT32_MAX || floor(tokens) < tokens)
            return false;
        x->count[e] = (int32_t)tokens;
        sum += x->count[e];
    }
    return sum <= INT32_MAX;
}

static double heaviest_gpu(exact_shares *x, const int32_t *phy2log, const float *load)
{
    int32_t     tokens       = 0;
    float       balancedness = 1, most = 0;
    eplb_result result;
    if (count_tokens(x, load))
        result = eplb_share(&x->one, phy2log, x->count, EPLB_SHARE_LEAST_MAX, x->slot_count, &tokens, x->scratch,
                            x->scratch_bytes);
    else
        result = eplb_evaluate_shares(&x->one, phy2log, load, &balancedness, &most, x->scratch, x->scratch_bytes);
    if (result != EPLB_OK)
        fail(STATUS_INPUT, "exact shares: %s", eplb_result_name(result));
    return tokens > 0 ? tokens : (double)most;
}

double exact_layer(exact_shares *x, const int32_t *phy2log, const float *load, size_t stride, int32_t num_samples)
{
    double  sum    = 0;
    int32_t loaded = 0;
    for (int32_t t = 0; t < num_samples; t++, load += stride) {
        if (!holds_load(load, (size_t)x->one.num_experts))
            continue;
        sum += heaviest_gpu(x, phy2log, load);
        loaded++;
    }
    return loaded > 0 ? sum / loaded : 0;
}
