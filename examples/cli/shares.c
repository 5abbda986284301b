/* shares.c - how a layer's heaviest GPU fares in each sample by how its experts' replicas share their tokens: equally, as
   eplb_share has it, or as vLLM 0.33.0 does, by the row that a token has in its rank's batch. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------- exact shares */

static exact_shares make_exact_shares(const eplb_problem *problem, const eplb_options *options)
{
    exact_shares x;
    memset(&x, 0, sizeof x);
    x.one = *problem;
    x.one.num_layers = 1;
    x.one.num_samples = 1;
    check_result(&x.one, options, NULL, eplb_share_scratch_size(&x.one, &x.scratch_bytes));
    x.count = (int32_t *)allocate((size_t)problem->num_experts, sizeof(int32_t));
    x.slot_count = (int32_t *)allocate((size_t)problem->num_replicas, sizeof(int32_t));
    x.scratch = allocate(x.scratch_bytes, 1);
    return x;
}

static void free_exact_shares(exact_shares *x)
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
        if (tokens > INT32_MAX || floor(tokens) < tokens) return false;
        x->count[e] = (int32_t)tokens;
        sum += x->count[e];
    }
    return sum <= INT32_MAX;
}

static double heaviest_gpu(exact_shares *x, const int32_t *phy2log, const float *load)
{
    int32_t tokens = 0;
    float balancedness = 1, most = 0;
    eplb_result result;
    if (count_tokens(x, load))
        result = eplb_share(&x->one, phy2log, x->count, EPLB_SHARE_LEAST_MAX, x->slot_count, &tokens, x->scratch,
                            x->scratch_bytes);
    else result = eplb_evaluate_shares(&x->one, phy2log, load, &balancedness, &most, x->scratch, x->scratch_bytes);
    if (result != EPLB_OK) fail(STATUS_INPUT, "exact shares: %s", eplb_result_name(result));
    return tokens > 0 ? tokens : (double)most;
}

/* --------------------------------------------------------------------------------- vLLM's rows */

/* vLLM 0.33.0, model_executor/layers/fused_moe/router/base_router.py: replica number (row x 2654435769 mod 2^32) mod the
   number of replicas, which stand in order of their slots. */
void count_row_hits(int32_t rows, int32_t num_replicas, int32_t *hits)
{
    static const uint32_t KNUTH = 2654435769;
    memset(hits, 0, (size_t)num_replicas * sizeof *hits);
    for (int32_t row = 0; row < rows; row++)
        hits[(uint32_t)((uint64_t)row * KNUTH & UINT32_MAX) % (uint32_t)num_replicas]++;
}

/* Those of a number of replicas, counted once. */
static const int32_t *row_hits(share_ways *w, int32_t num_replicas)
{
    if (!w->hits[num_replicas]) {
        w->hits[num_replicas] = (int32_t *)allocate((size_t)num_replicas, sizeof(int32_t));
        count_row_hits(w->rows, num_replicas, w->hits[num_replicas]);
    }
    return w->hits[num_replicas];
}

/* --------------------------------------------------------------------------------------- ways */

share_ways make_share_ways(const settings *s, const eplb_problem *problem, const eplb_options *options)
{
    share_ways w;
    memset(&w, 0, sizeof w);
    memcpy(w.wanted, s->shares, sizeof w.wanted);
    w.rows = s->rows;
    w.one = *problem;
    w.one.num_layers = 1;
    w.one.num_samples = 1;
    if (w.wanted[SHARES_EXACT]) w.exact = make_exact_shares(problem, options);
    w.hits = (int32_t **)allocate((size_t)problem->num_replicas + 1, sizeof *w.hits);
    w.replicas = (int32_t *)allocate((size_t)problem->num_experts, sizeof *w.replicas);
    w.rank = (int32_t *)allocate((size_t)problem->num_experts, sizeof *w.rank);
    w.gpu = (double *)allocate((size_t)problem->num_gpus, sizeof *w.gpu);
    return w;
}

void free_share_ways(share_ways *w)
{
    for (int32_t count = 0; w->hits && count <= w->one.num_replicas; count++) free(w->hits[count]);
    free(w->hits);
    free(w->replicas);
    free(w->rank);
    free(w->gpu);
    free_exact_shares(&w->exact);
}

/* Sets gpu by equal shares or by rows. */
static void load_gpus(share_ways *w, int way, const int32_t *phy2log, const float *load)
{
    int32_t R = w->one.num_replicas, slots = R / w->one.num_gpus;
    memset(w->replicas, 0, (size_t)w->one.num_experts * sizeof *w->replicas);
    memset(w->rank, 0, (size_t)w->one.num_experts * sizeof *w->rank);
    memset(w->gpu, 0, (size_t)w->one.num_gpus * sizeof *w->gpu);
    for (int32_t slot = 0; slot < R; slot++) {
        if (phy2log[slot] >= 0) w->replicas[phy2log[slot]]++;
    }
    for (int32_t slot = 0; slot < R; slot++) {
        int32_t e = phy2log[slot];
        if (e < 0) continue;
        double part = 1.0 / w->replicas[e];
        if (way == SHARES_ROWS) part = (double)row_hits(w, w->replicas[e])[w->rank[e]++] / w->rows;
        w->gpu[slot / slots] += (double)load[e] * part;
    }
}

double share_heaviest(share_ways *w, int way, const int32_t *phy2log, const float *load)
{
    double most = 0;
    if (way == SHARES_EXACT) return heaviest_gpu(&w->exact, phy2log, load);
    load_gpus(w, way, phy2log, load);
    for (int32_t gpu = 0; gpu < w->one.num_gpus; gpu++) most = w->gpu[gpu] > most ? w->gpu[gpu] : most;
    return most;
}

double share_layer(share_ways *w, int way, const int32_t *phy2log, const float *load, size_t stride,
                   int32_t num_samples)
{
    double sum = 0;
    int32_t loaded = 0;
    for (int32_t t = 0; t < num_samples; t++, load += stride) {
        if (!holds_load(load, (size_t)w->one.num_experts)) continue;
        sum += share_heaviest(w, way, phy2log, load);
        loaded++;
    }
    return loaded > 0 ? sum / loaded : 0;
}
