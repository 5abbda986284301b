/* score.c - scoring: how even a plan that was made elsewhere is under loads, and how even any could be; and what engines
   would print of it. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------- balancedness by its name */

typedef struct pooled { /* of one way to share, [T], sums over layers */
    double *mean, *most, *ratio;
} pooled;

static pooled make_pooled(int32_t num_samples)
{
    pooled p;
    p.mean = (double *)allocate((size_t)num_samples * 3, sizeof(double));
    p.most = p.mean + num_samples;
    p.ratio = p.most + num_samples;
    return p;
}

/* Adds a layer, whose samples are as planning.weight has them. */
static void pool_layer(pooled *to, share_ways *w, int way, const int32_t *phy2log, const planning *p,
                       int32_t num_samples)
{
    static const double SGLANG_EPSILON = 1e-5;
    size_t E = (size_t)p->problem.num_experts;
    for (int32_t t = 0; t < num_samples; t++) {
        const float *load = p->weight + (size_t)t * E;
        double sum = 0, most = holds_load(load, E) ? share_heaviest(w, way, phy2log, load) : 0;
        for (size_t e = 0; e < E; e++) sum += (double)load[e];
        double mean = sum / p->problem.num_gpus;
        to->mean[t] += mean;
        to->most[t] += most;
        to->ratio[t] += (mean + SGLANG_EPSILON) / (most + SGLANG_EPSILON);
    }
}

/* Of one step, vLLM 0.33.0 logs sums over layers, _compute_eplb_load_stats of distributed/eplb/eplb_state.py: means of GPUs
   / maxima, 0.0 without load. SGLang 0.5.23 takes the mean over layers of (mean + 1e-5) / (max + 1e-5),
   compute_utilization_rate of srt/eplb/expert_distribution.py, which is 1.0 without. Here it is the mean of that over the
   samples with load. */
static void take_balances(planning *p, int way, const pooled *from, int32_t num_samples)
{
    double vllm = 0, sglang = 0;
    int32_t loaded = 0;
    for (int32_t t = 0; t < num_samples; t++) {
        if (!(from->mean[t] > 0)) continue;
        vllm += from->mean[t] / from->most[t];
        sglang += from->ratio[t] / p->num_layers;
        loaded++;
    }
    p->balance[BALANCE_VLLM][way] = loaded > 0 ? vllm / loaded : 0.0;
    p->balance[BALANCE_SGLANG][way] = loaded > 0 ? sglang / loaded : 1.0;
}

/* -------------------------------------------------------------------------------------- scores */

/* One layer under each of the shares asked for. */
static void score_layer(planning *p, share_ways *ways, pooled *pool, int32_t i, int32_t *phy2log, int32_t num_samples)
{
    layer_result *r = &p->result[i];
    r->after = evaluate_layer(p, phy2log, p->gpu_after + (size_t)i * (size_t)p->problem.num_gpus);
    for (int way = 0; way < NUM_SHARES; way++) {
        if (way != SHARES_EQUAL && p->shares[way])
            r->most[way] = share_layer(ways, way, phy2log, p->weight, (size_t)p->problem.num_experts, num_samples);
        if (p->shares[way] && pool[way].mean) pool_layer(&pool[way], ways, way, phy2log, p, num_samples);
    }
    for (int32_t slot = 0; slot < p->problem.num_replicas; slot++) r->num_empty += phy2log[slot] < 0;
}

planning make_score(const settings *s, feed *from, const plan_map *map)
{
    settings scored = *s; /* what --replicas may leave open, the plan says */
    scored.replicas = map->num_replicas;
    check_scored(&scored, from, map);
    planning p = begin_planning(&scored, from, NULL);
    int32_t L = from->num_layers;
    pooled pool[NUM_SHARES];
    p.scored = true;
    p.name = plain_name(map->name);
    memset(pool, 0, sizeof pool);
    memcpy(p.shares, s->shares, sizeof p.shares);
    memcpy(p.balances, s->balances, sizeof p.balances);
    p.shares[SHARES_EQUAL] = true;
    for (int32_t i = 0; i < p.num_layers; i++)
        (void)map_whole_slots_of(map, from->layer, L, p.first_layer + i, &p.problem);
    share_ways ways = make_share_ways(s, &p.problem, &p.options);
    loads table = read_all(from);
    for (int way = 0; way < NUM_SHARES && (s->balances[BALANCE_VLLM] || s->balances[BALANCE_SGLANG]); way++)
        pool[way] = make_pooled(table.num_samples);
    for (int32_t i = 0; i < p.num_layers; i++) {
        take_layer(&p, &table, p.first_layer + i);
        score_layer(&p, &ways, pool, i, map_slots_of(map, from->layer, L, p.first_layer + i), table.num_samples);
        progress_show("layer", (size_t)i + 1, (size_t)p.num_layers);
    }
    progress_clear();
    for (int way = 0; way < NUM_SHARES; way++) {
        if (pool[way].mean) take_balances(&p, way, &pool[way], table.num_samples);
        free(pool[way].mean);
    }
    free_share_ways(&ways);
    free_loads(&table);
    return p;
}
