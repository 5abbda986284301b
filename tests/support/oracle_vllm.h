/* oracle_vllm.h - the naive reference of preset VLLM: what the default policy of vLLM 0.33.0 does with a layer, and with
   the slots of the plan in force, in double precision and by looking at every item again at each step. Of equal groups
   and replicas the first comes first, as by a stable sort; vLLM leaves that open. Include after oracle.h. */
#ifndef ORACLE_VLLM_H
#define ORACLE_VLLM_H

#include <float.h>
#include <string.h>

/* Whether a double is one here, and not rounded to another width first. */
#define VLLM_ORACLE_IS_EXACT (FLT_EVAL_METHOD == 0 || FLT_EVAL_METHOD == 1)

static inline double *vllm_doubles(int32_t count) { return (double *)oracle_alloc(count, sizeof(double)); }

/* A row as NumPy sums it in float32: more than 128 numbers by halves of whole eights, others in eight sums. */
static inline float vllm_sum(const float *x, int32_t n)
{
    float eight[8] = {0}, sum = 0.0f;
    if (n > 128) {
        int32_t half = n / 2 / 8 * 8;
        return oracle_add(vllm_sum(x, half), vllm_sum(x + half, n - half));
    }
    int32_t i = 0;
    for (; i < n / 8 * 8; i++) eight[i % 8] = oracle_add(eight[i % 8], x[i]);
    for (int32_t step = 1; step < 8; step *= 2)
        for (int32_t j = 0; j < 8; j += 2 * step) eight[j] = oracle_add(eight[j], eight[j + step]);
    for (sum = eight[0]; i < n; i++) sum = oracle_add(sum, x[i]);
    return sum;
}

/* The first of the greatest. */
static inline int32_t vllm_first_greatest(const double *x, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Items onto packs, as many on each: the heaviest left to the lightest with room. Alone on its pack, in order. */
static inline void vllm_pack(const double *load, int32_t n, int32_t m, int32_t *pack, int32_t *rank)
{
    double *left = vllm_doubles(n), *less = vllm_doubles(m); /* minus the load of each pack */
    int32_t *fill = oracle_ints(m);
    memcpy(left, load, (size_t)n * sizeof *left);
    for (int32_t i = 0; i < n; i++) {
        int32_t item = vllm_first_greatest(left, n), p = vllm_first_greatest(less, m);
        pack[item] = p;
        rank[item] = fill[p]++;
        less[p] -= load[item];
        left[item] = -1.0;
        if (fill[p] == n / m) less[p] = -DBL_MAX;
    }
    for (int32_t i = 0; i < n && n == m; i++) {
        pack[i] = i;
        rank[i] = 0;
    }
    free(left);
    free(less);
    free(fill);
}

/* phy2log [num_phy] and count [num_log] of one node. cap: replicas of an expert, 0 = any number. */
static inline void vllm_replicate(const float *load, int32_t num_log, int32_t num_phy, int32_t cap, int32_t *phy2log,
                                  int32_t *count)
{
    double *bid = vllm_doubles(num_log);
    for (int32_t e = 0; e < num_log; e++) {
        phy2log[e] = e;
        count[e] = 1;
    }
    for (int32_t i = num_log; i < num_phy; i++) {
        for (int32_t e = 0; e < num_log; e++) bid[e] = count[e] == cap ? -1.0 : (double)load[e] / count[e];
        phy2log[i] = vllm_first_greatest(bid, num_log);
        count[phy2log[i]]++;
    }
    free(bid);
}

/* slot_expert [num_phy] of a node: which of its experts each slot holds. */
static inline void vllm_plan_node(const float *load, int32_t num_log, int32_t num_phy, int32_t num_gpus, int32_t cap,
                                  int32_t *slot_expert)
{
    int32_t *phy2log = oracle_ints(num_phy), *count = oracle_ints(num_log);
    int32_t *gpu = oracle_ints(num_phy), *rank = oracle_ints(num_phy);
    double *each = vllm_doubles(num_phy);
    vllm_replicate(load, num_log, num_phy, cap, phy2log, count);
    for (int32_t i = 0; i < num_phy; i++) each[i] = (double)load[phy2log[i]] / count[phy2log[i]];
    vllm_pack(each, num_phy, num_gpus, gpu, rank);
    for (int32_t i = 0; i < num_phy; i++) slot_expert[gpu[i] * (num_phy / num_gpus) + rank[i]] = phy2log[i];
    free(phy2log);
    free(count);
    free(gpu);
    free(rank);
    free(each);
}

/* phy2log [R] of a layer. */
static inline void vllm_plan_layer(const eplb_problem *problem, const eplb_options *options, const float *load,
                                   int32_t *phy2log)
{
    int32_t K, N;
    oracle_resolve_policy(problem, options->policy, &K, &N);
    int32_t size = problem->num_experts / K, num_log = problem->num_experts / N, num_phy = problem->num_replicas / N;
    int32_t *node = oracle_ints(K), *rank = oracle_ints(K), *expert = oracle_ints(problem->num_experts);
    double *group_load = vllm_doubles(K);
    float *node_load = oracle_floats(num_log);
    for (int32_t group = 0; group < K; group++) group_load[group] = (double)vllm_sum(load + group * size, size);
    vllm_pack(group_load, K, N, node, rank);
    for (int32_t e = 0; e < problem->num_experts; e++)
        expert[(node[e / size] * (K / N) + rank[e / size]) * size + e % size] = e;
    for (int32_t k = 0; k < N; k++) {
        for (int32_t i = 0; i < num_log; i++) node_load[i] = load[expert[k * num_log + i]];
        vllm_plan_node(node_load, num_log, num_phy, problem->num_gpus / N, options->max_replicas,
                       phy2log + k * num_phy);
        for (int32_t i = k * num_phy; i < (k + 1) * num_phy; i++) phy2log[i] = expert[k * num_log + phy2log[i]];
    }
    free(node);
    free(rank);
    free(expert);
    free(group_load);
    free(node_load);
}

/* The slots of one GPU, [S]: each that is in the plan in force takes the first new one of its expert that nobody has
   taken; what is left over goes to the others, both in order. */
static inline void vllm_keep_gpu(const int32_t *before, int32_t *slot, int32_t S)
{
    int32_t *fresh = oracle_ints(S), *taken = oracle_ints(S), *kept = oracle_ints(S), next = 0;
    memcpy(fresh, slot, (size_t)S * sizeof *fresh);
    for (int32_t i = 0; i < S; i++) {
        for (int32_t j = 0; j < S && !kept[i]; j++) {
            if (taken[j] || fresh[j] != before[i]) continue;
            taken[j] = kept[i] = 1;
            slot[i] = fresh[j];
        }
    }
    for (int32_t i = 0; i < S; i++) {
        if (kept[i]) continue;
        while (taken[next]) next++;
        slot[i] = fresh[next++];
    }
    free(fresh);
    free(taken);
    free(kept);
}

/* As eplb_rebalance with preset VLLM, replicas being numbered by slot. */
static inline void vllm_rebalance(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                  const eplb_plan *plan)
{
    int32_t E = problem->num_experts, R = problem->num_replicas, S = R / problem->num_gpus;
    float *load = oracle_floats(E);
    for (int32_t layer = 0; layer < problem->num_layers; layer++) {
        ptrdiff_t first = (ptrdiff_t)layer * R;
        int32_t *phy2log = plan->phy2log + first, *count = plan->logcnt + (ptrdiff_t)layer * E;
        oracle_layer_load(problem, weight, layer, load);
        vllm_plan_layer(problem, options, load, phy2log);
        for (int32_t gpu = 0; options->previous_phy2log && gpu < problem->num_gpus; gpu++)
            vllm_keep_gpu(options->previous_phy2log + first + gpu * S, phy2log + gpu * S, S);
        for (int32_t e = 0; e < E; e++) count[e] = 0;
        for (int32_t i = 0; i < R; i++) plan->phyrank[first + i] = count[phy2log[i]]++;
        oracle_invert(phy2log, plan->phyrank + first, E, R, NULL,
                      plan->log2phy + (ptrdiff_t)layer * E * plan->log2phy_width, plan->log2phy_width);
    }
    free(load);
}

#endif
