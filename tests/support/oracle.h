/* oracle.h - the naive reference: what every algorithm of eplb.h means, written to be read and
   checked by eye. It shares no function with eplb.h, only the structs and constants that both are
   asked with. It allocates, sorts by insertion and looks at every item again at each step.

   Arguments are taken to be valid, and loads to lie within 2^-40 .. 2^40 (or to be zero): the
   library's scaling of layers beyond that is not repeated here.

   Every float32 operation goes through oracle_add .. oracle_div, which round it by itself: a
   compiler that fuses a * b + c, or keeps more bits than 24, would make other plans. */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "eplb.h"

/* ----------------------------------------------------------------------------------- float32 */

static inline float oracle_add(float a, float b)
{
    volatile float x = a + b;
    return x;
}

static inline float oracle_sub(float a, float b)
{
    volatile float x = a - b;
    return x;
}

static inline float oracle_mul(float a, float b)
{
    volatile float x = a * b;
    return x;
}

static inline float oracle_div(float a, float b)
{
    volatile float x = a / b;
    return x;
}

/* ------------------------------------------------------------------------------------ memory */

static inline void *oracle_alloc(int32_t count, size_t bytes_each)
{
    void *p = calloc(count > 0 ? (size_t)count : 1, bytes_each);
    if (!p) {
        fprintf(stderr, "oracle: out of memory\n");
        exit(99);
    }
    return p;
}

static inline int32_t *oracle_ints(int32_t count) { return (int32_t *)oracle_alloc(count, sizeof(int32_t)); }

static inline float *oracle_floats(int32_t count) { return (float *)oracle_alloc(count, sizeof(float)); }

/* ---------------------------------------------------------------------------- random numbers */

/* Philox4x32-10 (Salmon et al. 2011). A round multiplies words 0 and 2 and mixes the halves of the
   products into the other words; the key grows by two constants between rounds. */
static inline void oracle_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

enum { ORACLE_STAGE_GROUPS = 0, ORACLE_STAGE_GPUS = 1 };

/* Which packing it is, for its noise: row is the layer for groups, layer * N + node for GPUs. */
typedef struct oracle_place {
    uint64_t seed;
    int32_t row;
    int32_t stage;
} oracle_place;

static inline float oracle_uniform(const oracle_place *place, int32_t candidate, int32_t item)
{
    uint32_t counter[4], word[4];
    counter[0] = (uint32_t)(item / 4);
    counter[1] = (uint32_t)candidate;
    counter[2] = (uint32_t)place->row;
    counter[3] = (uint32_t)place->stage;
    oracle_philox(place->seed, counter, word);
    return oracle_mul((float)(word[item % 4] >> 8), 1.0f / 16777216.0f);
}

/* The key by which a candidate sorts an item of load w; candidate 0 takes the load itself. */
static inline float oracle_key(const eplb_packing *how, const oracle_place *place, int32_t candidate, int32_t item,
                               float w)
{
    if (candidate == 0) return w;
    float s = how->noise_scale;
    float u = oracle_uniform(place, candidate, item);
    if (how->noise == EPLB_NOISE_CENTRED) {
        float lowest = oracle_sub(1.0f, oracle_div(s, 2.0f));
        return oracle_mul(w, oracle_add(lowest, oracle_mul(s, u)));
    }
    float s_c = oracle_div(oracle_mul(s, (float)candidate), (float)(how->num_candidates - 1));
    return oracle_add(w, oracle_mul(oracle_mul(u, w), s_c));
}

/* ----------------------------------------------------------------------------------- sorting */

/* order = the items by key, descending, the lower index first among equals. */
static inline void oracle_sort(const float *key, int32_t n, int32_t *order)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t j = i;
        while (j > 0 && key[order[j - 1]] < key[i]) {
            order[j] = order[j - 1];
            j--;
        }
        order[j] = i;
    }
}

static inline int32_t oracle_lightest(const float *load, int32_t m)
{
    int32_t best = 0;
    for (int32_t p = 1; p < m; p++)
        if (load[p] < load[best]) best = p;
    return best;
}

static inline int32_t oracle_heaviest(const float *load, int32_t m)
{
    int32_t best = 0;
    for (int32_t p = 1; p < m; p++)
        if (load[p] > load[best]) best = p;
    return best;
}

/* ---------------------------------------------------------------------------- one candidate */

/* One candidate of a packing of n items into m packs of n / m. */
typedef struct oracle_packs {
    int32_t n, m;
    const float *w; /* [n] true loads */
    int32_t *order; /* [n] items in the candidate's order */
    int32_t *pack;  /* [n] pack of each item */
    float *load;    /* [m] sum of its items in the candidate's order */
    float tiny;     /* what counts as no difference: a millionth of the mean pack load */
} oracle_packs;

static inline void oracle_sum_pack(oracle_packs *s, int32_t p)
{
    s->load[p] = 0.0f;
    for (int32_t i = 0; i < s->n; i++)
        if (s->pack[s->order[i]] == p) s->load[p] = oracle_add(s->load[p], s->w[s->order[i]]);
}

/* Longest processing time first: each item to the lightest pack with room. */
static inline void oracle_init_lpt(oracle_packs *s)
{
    int32_t *size = oracle_ints(s->m);
    for (int32_t p = 0; p < s->m; p++) s->load[p] = 0.0f;
    for (int32_t i = 0; i < s->n; i++) {
        int32_t item = s->order[i], to = -1;
        for (int32_t p = 0; p < s->m; p++)
            if (size[p] < s->n / s->m && (to < 0 || s->load[p] < s->load[to])) to = p;
        s->pack[item] = to;
        s->load[to] = oracle_add(s->load[to], s->w[item]);
        size[to]++;
    }
    free(size);
}

/* Packs 0, 1, .., m-1, m-1, .., 0, 0, 1, .. */
static inline void oracle_init_zigzag(oracle_packs *s)
{
    for (int32_t i = 0; i < s->n; i++) {
        int32_t sweep = i / s->m, step = i % s->m;
        s->pack[s->order[i]] = sweep % 2 == 0 ? step : s->m - 1 - step;
    }
    for (int32_t p = 0; p < s->m; p++) oracle_sum_pack(s, p);
}

static inline void oracle_set_tiny(oracle_packs *s)
{
    float sum = 0.0f;
    for (int32_t p = 0; p < s->m; p++) sum = oracle_add(sum, s->load[p]);
    s->tiny = oracle_mul(1e-6f, oracle_div(sum, (float)s->m));
}

/* ------------------------------------------------------------------------------------- swaps */

/* A swap of the items at places u and v of the candidate's order; u's pack is the heavier one. */
typedef struct oracle_swap {
    int32_t u, v;
    float gain; /* min(d, D - d); a swap helps when it is above 0 */
    float fall; /* d * (D - d): half of what the sum of squared pack loads falls by */
} oracle_swap;

static inline oracle_swap oracle_no_swap(void)
{
    oracle_swap none = {-1, -1, 0.0f, 0.0f};
    return none;
}

static inline oracle_swap oracle_weigh_swap(const oracle_packs *s, int32_t u, int32_t v)
{
    int32_t item_u = s->order[u], item_v = s->order[v];
    float d = oracle_sub(s->w[item_u], s->w[item_v]);
    float D = oracle_sub(s->load[s->pack[item_u]], s->load[s->pack[item_v]]);
    float rest = oracle_sub(D, d);
    oracle_swap swap = {u, v, d < rest ? d : rest, oracle_mul(d, rest)};
    return swap;
}

static inline void oracle_do_swap(oracle_packs *s, oracle_swap swap)
{
    int32_t item_u = s->order[swap.u], item_v = s->order[swap.v];
    int32_t a = s->pack[item_u], b = s->pack[item_v];
    s->pack[item_u] = b;
    s->pack[item_v] = a;
    oracle_sum_pack(s, a);
    oracle_sum_pack(s, b);
}

/* The swap of largest gain that takes an item of pack a to pack b, or to any other when b < 0.
   Places run upwards and only a larger gain replaces: ties go to the first u, then the first v. */
static inline oracle_swap oracle_best_swap(const oracle_packs *s, int32_t a, int32_t b)
{
    oracle_swap best = oracle_no_swap();
    for (int32_t u = 0; u < s->n; u++) {
        if (s->pack[s->order[u]] != a) continue;
        for (int32_t v = 0; v < s->n; v++) {
            int32_t to = s->pack[s->order[v]];
            if (to == a || (b >= 0 && to != b)) continue;
            oracle_swap swap = oracle_weigh_swap(s, u, v);
            if (swap.gain > best.gain) best = swap;
        }
    }
    return best;
}

/* Each of these looks for one swap; u < 0 when there is none left to do. */

static inline oracle_swap oracle_find_max_min(const oracle_packs *s)
{
    int32_t a = oracle_heaviest(s->load, s->m), b = oracle_lightest(s->load, s->m);
    if (a == b || oracle_sub(s->load[a], s->load[b]) < s->tiny) return oracle_no_swap();
    return oracle_best_swap(s, a, b);
}

static inline oracle_swap oracle_find_pair_scan(const oracle_packs *s, int32_t heavy_packs)
{
    oracle_swap swap = oracle_no_swap();
    int32_t *by_load = oracle_ints(s->m);
    oracle_sort(s->load, s->m, by_load);
    int32_t heavy = heavy_packs == 0 || heavy_packs > s->m ? s->m : heavy_packs;
    for (int32_t i = 0; i < heavy && swap.u < 0; i++) {
        for (int32_t j = s->m - 1; j > i && swap.u < 0; j--) {
            int32_t a = by_load[i], b = by_load[j];
            if (oracle_sub(s->load[a], s->load[b]) >= s->tiny) swap = oracle_best_swap(s, a, b);
        }
    }
    free(by_load);
    return swap;
}

static inline oracle_swap oracle_find_max_to_any(const oracle_packs *s)
{
    oracle_swap swap = oracle_best_swap(s, oracle_heaviest(s->load, s->m), -1);
    return swap.gain > s->tiny ? swap : oracle_no_swap();
}

/* Two packs offer their best swap by gain; the pairs compete by how far the squares fall. */
static inline oracle_swap oracle_find_l2(const oracle_packs *s)
{
    oracle_swap best = oracle_no_swap();
    for (int32_t a = 0; a < s->m; a++) {
        for (int32_t b = 0; b < s->m; b++) {
            if (!(s->load[a] > s->load[b])) continue;
            oracle_swap swap = oracle_best_swap(s, a, b);
            int first = best.u < 0 || swap.u < best.u || (swap.u == best.u && swap.v < best.v);
            if (swap.u >= 0 && (swap.fall > best.fall || (swap.fall == best.fall && first))) best = swap;
        }
    }
    float enough = oracle_mul(s->tiny, s->tiny);
    return oracle_mul(2.0f, best.fall) > enough ? best : oracle_no_swap();
}

static inline void oracle_refine(oracle_packs *s, const eplb_packing *how)
{
    for (int32_t done = 0; done < how->max_swaps; done++) {
        oracle_swap swap = oracle_no_swap();
        if (how->refine == EPLB_REFINE_MAX_MIN) swap = oracle_find_max_min(s);
        else if (how->refine == EPLB_REFINE_PAIR_SCAN) swap = oracle_find_pair_scan(s, how->heavy_packs);
        else if (how->refine == EPLB_REFINE_MAX_TO_ANY) swap = oracle_find_max_to_any(s);
        else if (how->refine == EPLB_REFINE_L2) swap = oracle_find_l2(s);
        if (swap.u < 0) return;
        oracle_do_swap(s, swap);
    }
}

/* -------------------------------------------------------------------------- balanced packing */

static inline float oracle_spread(const oracle_packs *s)
{
    return oracle_sub(s->load[oracle_heaviest(s->load, s->m)], s->load[oracle_lightest(s->load, s->m)]);
}

static inline float oracle_variance(const oracle_packs *s)
{
    float sum = 0.0f, squares = 0.0f;
    for (int32_t p = 0; p < s->m; p++) sum = oracle_add(sum, s->load[p]);
    float mean = oracle_div(sum, (float)s->m);
    for (int32_t p = 0; p < s->m; p++) {
        float off = oracle_sub(s->load[p], mean);
        squares = oracle_add(squares, oracle_mul(off, off));
    }
    return squares;
}

/* The smaller the better. */
static inline float oracle_score(const oracle_packs *s, int32_t select)
{
    if (select == EPLB_SELECT_SPREAD) return oracle_spread(s);
    if (select == EPLB_SELECT_VARIANCE) return oracle_variance(s);
    return s->load[oracle_heaviest(s->load, s->m)];
}

/* rank = how many items of the same pack are heavier, or equal with a lower index. */
static inline void oracle_rank_items(const float *w, int32_t n, const int32_t *pack, int32_t *rank)
{
    for (int32_t i = 0; i < n; i++) {
        rank[i] = 0;
        for (int32_t j = 0; j < n; j++)
            if (pack[j] == pack[i] && (w[j] > w[i] || (w[j] == w[i] && j < i))) rank[i]++;
    }
}

/* Pack n items into m packs; w has no -0. */
static inline void oracle_pack_row(const float *w, int32_t n, int32_t m, const eplb_packing *how,
                                   const oracle_place *place, int32_t *pack, int32_t *rank)
{
    if (n == m) {
        for (int32_t i = 0; i < n; i++) {
            pack[i] = i;
            rank[i] = 0;
        }
        return;
    }
    oracle_packs s = {n, m, w, oracle_ints(n), oracle_ints(n), oracle_floats(m), 0.0f};
    float *key = oracle_floats(n);
    int32_t num_candidates = how->num_candidates == 0 ? 1 : how->num_candidates;
    float best_score = 0.0f;
    for (int32_t c = 0; c < num_candidates; c++) {
        for (int32_t i = 0; i < n; i++) key[i] = oracle_key(how, place, c, i, w[i]);
        oracle_sort(key, n, s.order);
        if (how->init == EPLB_INIT_ZIGZAG) oracle_init_zigzag(&s);
        else oracle_init_lpt(&s);
        oracle_set_tiny(&s);
        oracle_refine(&s, how);
        float score = oracle_score(&s, how->select);
        if (c == 0 || score < best_score) {
            best_score = score;
            for (int32_t i = 0; i < n; i++) pack[i] = s.pack[i];
        }
        if (oracle_spread(&s) < s.tiny) break;
    }
    oracle_rank_items(w, n, pack, rank);
    free(key);
    free(s.order);
    free(s.pack);
    free(s.load);
}

/* ------------------------------------------------------------------------------- replication */

static inline int oracle_may_grow(int32_t count, int32_t cap) { return cap == 0 || count < cap; }

/* The expert that a further replica goes to: largest load / divisor, lowest index on ties. */
static inline int32_t oracle_next_expert(const float *load, int32_t num_log, const int32_t *cnt, int32_t cap,
                                         int sainte_lague)
{
    int32_t best = -1;
    float best_score = 0.0f;
    for (int32_t e = 0; e < num_log; e++) {
        if (!oracle_may_grow(cnt[e], cap)) continue;
        int32_t divisor = sainte_lague ? 2 * cnt[e] - 1 : cnt[e];
        float score = oracle_div(load[e], (float)divisor);
        if (best < 0 || score > best_score) {
            best = e;
            best_score = score;
        }
    }
    return best;
}

/* The expert with the largest load per replica. */
static inline int32_t oracle_most_loaded(const float *load, int32_t num_log, const int32_t *cnt)
{
    int32_t best = 0;
    for (int32_t e = 1; e < num_log; e++)
        if (oracle_div(load[e], (float)cnt[e]) > oracle_div(load[best], (float)cnt[best])) best = e;
    return best;
}

/* The expert whose load per replica rises least when it loses one; -1 when none can. */
static inline int32_t oracle_donor(const float *load, int32_t num_log, const int32_t *cnt, int32_t receiver)
{
    int32_t best = -1;
    float best_rise = 0.0f;
    for (int32_t e = 0; e < num_log; e++) {
        if (cnt[e] < 2 || e == receiver) continue;
        float rise = oracle_sub(oracle_div(load[e], (float)(cnt[e] - 1)), oracle_div(load[e], (float)cnt[e]));
        if (best < 0 || rise < best_rise) {
            best = e;
            best_rise = rise;
        }
    }
    return best;
}

/* Move one replica from a donor to the most loaded expert; 0 when that would not help. */
static inline int oracle_fixup(const float *load, int32_t num_log, int32_t num_phy, int32_t cap, int32_t *phy2log,
                               int32_t *rank, int32_t *cnt)
{
    int32_t receiver = oracle_most_loaded(load, num_log, cnt);
    int32_t donor = oracle_donor(load, num_log, cnt, receiver);
    if (donor < 0 || !oracle_may_grow(cnt[receiver], cap)) return 0;
    float before = oracle_div(load[receiver], (float)cnt[receiver]);
    cnt[donor]--;
    cnt[receiver]++;
    int32_t top = oracle_most_loaded(load, num_log, cnt);
    if (!(oracle_div(load[top], (float)cnt[top]) < before)) {
        cnt[donor]++;
        cnt[receiver]--;
        return 0;
    }
    /* counts are already new: the donor's last rank was cnt[donor], the receiver's new one is
       cnt[receiver] - 1 */
    for (int32_t i = 0; i < num_phy; i++) {
        if (phy2log[i] == donor && rank[i] == cnt[donor]) {
            phy2log[i] = receiver;
            rank[i] = cnt[receiver] - 1;
            break;
        }
    }
    return 1;
}

/* Replicate the experts of one node; load has no -0. */
static inline void oracle_replicate_row(const float *load, int32_t num_log, int32_t num_phy, int32_t replication,
                                        int32_t fixup_steps, int32_t cap, int32_t *phy2log, int32_t *rank, int32_t *cnt)
{
    int32_t extras = num_phy - num_log;
    int32_t last = 0; /* of the extras, those given by Sainte-Lague */
    if (replication == EPLB_REPLICATE_HYBRID && extras > 0) last = (extras + 9) / 10;
    for (int32_t i = 0; i < num_phy; i++) {
        if (i < num_log) {
            phy2log[i] = i;
            rank[i] = 0;
            cnt[i] = 1;
        } else {
            int32_t e = oracle_next_expert(load, num_log, cnt, cap, i >= num_phy - last);
            phy2log[i] = e;
            rank[i] = cnt[e]++;
        }
    }
    if (replication == EPLB_REPLICATE_HYBRID)
        for (int32_t step = 0; step < fixup_steps; step++)
            if (!oracle_fixup(load, num_log, num_phy, cap, phy2log, rank, cnt)) break;
}

/* -------------------------------------------------------------------------------- the loads */

/* Copy n loads, -0 as 0; a row of zeros as a row of ones. */
static inline void oracle_clean_row(const float *weight, int32_t n, float *load)
{
    int any = 0;
    for (int32_t i = 0; i < n; i++) {
        load[i] = weight[i] == 0.0f ? 0.0f : weight[i];
        any |= load[i] > 0.0f;
    }
    for (int32_t i = 0; i < n && !any; i++) load[i] = 1.0f;
}

/* The load of a layer's experts: the mean over the samples that hold any. */
static inline void oracle_layer_load(const eplb_problem *problem, const float *weight, int32_t layer, float *load)
{
    size_t L = (size_t)problem->num_layers, E = (size_t)problem->num_experts;
    int32_t T = problem->num_samples == 0 ? 1 : problem->num_samples;
    float *mean = oracle_floats(problem->num_experts);
    int32_t loaded = 0;
    for (size_t t = 0; t < (size_t)T; t++) {
        const float *row = weight + (t * L + (size_t)layer) * E;
        size_t e = 0;
        while (e < E && !(row[e] > 0.0f)) e++;
        loaded += e < E;
    }
    for (size_t e = 0; e < E; e++) {
        for (size_t t = 0; t < (size_t)T; t++) mean[e] = oracle_add(mean[e], weight[(t * L + (size_t)layer) * E + e]);
        if (loaded > 1) mean[e] = oracle_div(mean[e], (float)loaded);
    }
    oracle_clean_row(mean, problem->num_experts, load);
    free(mean);
}

/* -------------------------------------------------------------------------- one layer's plan */

/* The groups and nodes that count under the policy in force: one of each under the global one. */
static inline void oracle_resolve_policy(const eplb_problem *problem, int32_t policy, int32_t *num_groups,
                                         int32_t *num_nodes)
{
    int32_t K = problem->num_groups == 0 ? 1 : problem->num_groups;
    int32_t N = problem->num_nodes == 0 ? 1 : problem->num_nodes;
    int hierarchical = policy == EPLB_POLICY_HIERARCHICAL || (policy == EPLB_POLICY_AUTO && K % N == 0);
    *num_groups = hierarchical ? K : 1;
    *num_nodes = hierarchical ? N : 1;
}

/* mlog2log[i] = the expert at place i when the experts stand node by node, group by group. */
static inline void oracle_order_experts(const float *load, int32_t num_log, int32_t num_groups, int32_t num_nodes,
                                        const eplb_options *options, int32_t layer, int32_t *mlog2log)
{
    int32_t group_size = num_log / num_groups, groups_per_node = num_groups / num_nodes;
    float *group_load = oracle_floats(num_groups);
    int32_t *node = oracle_ints(num_groups), *rank = oracle_ints(num_groups);
    oracle_place place = {options->seed, layer, ORACLE_STAGE_GROUPS};
    for (int32_t e = 0; e < num_log; e++) group_load[e / group_size] = oracle_add(group_load[e / group_size], load[e]);
    oracle_pack_row(group_load, num_groups, num_nodes, &options->group_packing, &place, node, rank);
    for (int32_t e = 0; e < num_log; e++) {
        int32_t g = e / group_size;
        mlog2log[(node[g] * groups_per_node + rank[g]) * group_size + e % group_size] = e;
    }
    free(group_load);
    free(node);
    free(rank);
}

/* Plan a node: which of its experts, and which replica of it, each of its slots holds. */
static inline void oracle_plan_node(const float *load, int32_t num_log, int32_t num_phy, int32_t num_gpus,
                                    const eplb_options *options, const oracle_place *place, int32_t *slot_expert,
                                    int32_t *slot_rank)
{
    int32_t slots_per_gpu = num_phy / num_gpus;
    int32_t *phy2log = oracle_ints(num_phy), *rank = oracle_ints(num_phy), *cnt = oracle_ints(num_log);
    int32_t *gpu = oracle_ints(num_phy), *rank_in_gpu = oracle_ints(num_phy);
    float *phy_load = oracle_floats(num_phy);
    oracle_replicate_row(load, num_log, num_phy, options->replication, options->fixup_steps, options->max_replicas,
                         phy2log, rank, cnt);
    for (int32_t i = 0; i < num_phy; i++) phy_load[i] = oracle_div(load[phy2log[i]], (float)cnt[phy2log[i]]);
    oracle_pack_row(phy_load, num_phy, num_gpus, &options->gpu_packing, place, gpu, rank_in_gpu);
    for (int32_t i = 0; i < num_phy; i++) {
        int32_t slot = gpu[i] * slots_per_gpu + rank_in_gpu[i];
        slot_expert[slot] = phy2log[i];
        slot_rank[slot] = rank[i];
    }
    free(phy2log);
    free(rank);
    free(cnt);
    free(gpu);
    free(rank_in_gpu);
    free(phy_load);
}

/* Fill phy2log and phyrank, [R] each, of one layer. */
static inline void oracle_plan_layer(const eplb_problem *problem, const eplb_options *options, const float *load,
                                     int32_t layer, int32_t *phy2log, int32_t *phyrank)
{
    int32_t num_groups, num_nodes;
    oracle_resolve_policy(problem, options->policy, &num_groups, &num_nodes);
    int32_t num_log = problem->num_experts / num_nodes, num_phy = problem->num_replicas / num_nodes;
    int32_t *mlog2log = oracle_ints(problem->num_experts);
    float *node_load = oracle_floats(num_log);
    oracle_order_experts(load, problem->num_experts, num_groups, num_nodes, options, layer, mlog2log);
    for (int32_t k = 0; k < num_nodes; k++) {
        oracle_place place = {options->seed, layer * num_nodes + k, ORACLE_STAGE_GPUS};
        const int32_t *expert = mlog2log + k * num_log;
        int32_t *slot_expert = phy2log + k * num_phy;
        for (int32_t i = 0; i < num_log; i++) node_load[i] = load[expert[i]];
        oracle_plan_node(node_load, num_log, num_phy, problem->num_gpus / num_nodes, options, &place, slot_expert,
                         phyrank + k * num_phy);
        for (int32_t i = 0; i < num_phy; i++) slot_expert[i] = expert[slot_expert[i]];
    }
    free(mlog2log);
    free(node_load);
}

/* logcnt and log2phy of one layer follow from phy2log and phyrank; either may be NULL. */
static inline void oracle_invert(const int32_t *phy2log, const int32_t *phyrank, int32_t num_log, int32_t num_phy,
                                 int32_t *logcnt, int32_t *log2phy, int32_t width)
{
    for (int32_t e = 0; e < num_log && logcnt; e++) logcnt[e] = 0;
    for (int32_t i = 0; i < num_phy && logcnt; i++) logcnt[phy2log[i]]++;
    for (size_t i = 0; i < (size_t)num_log * (size_t)width && log2phy; i++) log2phy[i] = -1;
    for (int32_t i = 0; i < num_phy && log2phy; i++)
        log2phy[(size_t)phy2log[i] * (size_t)width + (size_t)phyrank[i]] = i;
}

/* ----------------------------------------------------------------------------------- presets */

/* The published presets as their table has them; what a preset has no use for is 0. */
typedef struct oracle_preset_row {
    int32_t preset, init, refine;
    int32_t group_swaps, gpu_swaps; /* at most, for groups onto nodes and for slots onto GPUs */
    int32_t heavy_packs;            /* 0 = all */
    int32_t replication, fixup_steps;
    int32_t num_candidates, noise;
    float noise_scale;
    int32_t select;
} oracle_preset_row;

static const oracle_preset_row oracle_presets[] = {
    {EPLB_PRESET_DEEPSEEK, EPLB_INIT_LPT, EPLB_REFINE_NONE, 0, 0, 0, EPLB_REPLICATE_DHONDT, 0, 1, 0, 0.0f, 0},
    {EPLB_PRESET_ZIGZAG, EPLB_INIT_ZIGZAG, EPLB_REFINE_MAX_MIN, 20, 20, 0, EPLB_REPLICATE_DHONDT, 0, 1, 0, 0.0f, 0},
    {EPLB_PRESET_SWAP_MAX_MIN, EPLB_INIT_LPT, EPLB_REFINE_MAX_MIN, 20, 20, 0, EPLB_REPLICATE_DHONDT, 0, 1, 0, 0.0f, 0},
    {EPLB_PRESET_HILL_CLIMB, EPLB_INIT_LPT, EPLB_REFINE_PAIR_SCAN, 100, 100, 0, EPLB_REPLICATE_DHONDT, 0, 1, 0, 0.0f,
     0},
    {EPLB_PRESET_SWAP_MAX_ANY, EPLB_INIT_LPT, EPLB_REFINE_MAX_TO_ANY, 50, 50, 0, EPLB_REPLICATE_DHONDT, 0, 1, 0, 0.0f,
     0},
    {EPLB_PRESET_MULTI_START, EPLB_INIT_LPT, EPLB_REFINE_PAIR_SCAN, 30, 30, 3, EPLB_REPLICATE_DHONDT, 0, 2,
     EPLB_NOISE_CENTRED, 0.15f, EPLB_SELECT_SPREAD},
    {EPLB_PRESET_RESTARTS, EPLB_INIT_LPT, EPLB_REFINE_PAIR_SCAN, 100, 100, 1, EPLB_REPLICATE_DHONDT, 0, 5,
     EPLB_NOISE_CENTRED, 0.1f, EPLB_SELECT_VARIANCE},
    {EPLB_PRESET_ENSEMBLE, EPLB_INIT_LPT, EPLB_REFINE_MAX_MIN, 20, 20, 0, EPLB_REPLICATE_DHONDT, 0, 64, EPLB_NOISE_RAMP,
     0.2f, EPLB_SELECT_MAX_LOAD},
    {EPLB_PRESET_HYBRID, EPLB_INIT_LPT, EPLB_REFINE_MAX_MIN, 1, 2, 0, EPLB_REPLICATE_HYBRID, 1, 1, 0, 0.0f, 0},
    {EPLB_PRESET_L2, EPLB_INIT_LPT, EPLB_REFINE_L2, 50, 50, 0, EPLB_REPLICATE_DHONDT, 0, 1, 0, 0.0f, 0},
};

/* The options of a published preset; 0 for a preset that is not one of them. */
static inline int oracle_preset(int32_t preset, eplb_options *options)
{
    eplb_options o = EPLB_ZERO_INIT;
    for (size_t i = 0; i < sizeof oracle_presets / sizeof *oracle_presets; i++) {
        const oracle_preset_row *row = &oracle_presets[i];
        if (row->preset != preset) continue;
        o.replication = row->replication;
        o.fixup_steps = row->fixup_steps;
        o.gpu_packing.init = row->init;
        o.gpu_packing.refine = row->refine;
        o.gpu_packing.max_swaps = row->gpu_swaps;
        o.gpu_packing.heavy_packs = row->heavy_packs;
        o.gpu_packing.num_candidates = row->num_candidates;
        o.gpu_packing.noise = row->noise;
        o.gpu_packing.noise_scale = row->noise_scale;
        o.gpu_packing.select = row->select;
        o.group_packing = o.gpu_packing;
        o.group_packing.max_swaps = row->group_swaps;
        *options = o;
        return 1;
    }
    return 0;
}

/* ------------------------------------------------------------------- what the library offers */

/* As eplb_rebalance; options is not NULL and log2phy_width is wide enough. */
static inline void oracle_rebalance(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                    const eplb_plan *plan)
{
    size_t E = (size_t)problem->num_experts, R = (size_t)problem->num_replicas;
    size_t width = (size_t)plan->log2phy_width;
    float *load = oracle_floats(problem->num_experts);
    int32_t *rank = oracle_ints(problem->num_replicas);
    for (int32_t layer = 0; layer < problem->num_layers; layer++) {
        size_t l = (size_t)layer;
        int32_t *phy2log = plan->phy2log + l * R;
        oracle_layer_load(problem, weight, layer, load);
        oracle_plan_layer(problem, options, load, layer, phy2log, rank);
        for (size_t i = 0; i < R && plan->phyrank; i++) plan->phyrank[l * R + i] = rank[i];
        oracle_invert(phy2log, rank, problem->num_experts, problem->num_replicas,
                      plan->logcnt ? plan->logcnt + l * E : NULL, plan->log2phy ? plan->log2phy + l * E * width : NULL,
                      plan->log2phy_width);
    }
    free(load);
    free(rank);
}

/* As eplb_balanced_packing; how and rank_in_pack are not NULL. */
static inline void oracle_packing(const float *weight, int32_t num_rows, int32_t num_items, int32_t num_packs,
                                  const eplb_packing *how, uint64_t seed, int32_t *pack_index, int32_t *rank_in_pack)
{
    float *load = oracle_floats(num_items);
    for (int32_t row = 0; row < num_rows; row++) {
        size_t at = (size_t)row * (size_t)num_items;
        oracle_place place = {seed, row, ORACLE_STAGE_GPUS};
        oracle_clean_row(weight + at, num_items, load);
        oracle_pack_row(load, num_items, num_packs, how, &place, pack_index + at, rank_in_pack + at);
    }
    free(load);
}

/* As eplb_replicate_experts; rank and logcnt are not NULL. */
static inline void oracle_replicate(const float *weight, int32_t num_rows, int32_t num_log, int32_t num_phy,
                                    int32_t replication, int32_t fixup_steps, int32_t *phy2log, int32_t *rank,
                                    int32_t *logcnt)
{
    float *load = oracle_floats(num_log);
    for (int32_t row = 0; row < num_rows; row++) {
        size_t log_at = (size_t)row * (size_t)num_log, phy_at = (size_t)row * (size_t)num_phy;
        oracle_clean_row(weight + log_at, num_log, load);
        oracle_replicate_row(load, num_log, num_phy, replication, fixup_steps, 0, phy2log + phy_at, rank + phy_at,
                             logcnt + log_at);
    }
    free(load);
}

#endif
