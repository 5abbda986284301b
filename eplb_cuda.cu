/* eplb_cuda.cu - the kernels behind eplb_cuda.h, and their launches.

   The order is that of eplb.h, in which a layer's load flows: loads, replicate, pack (initial, refine,
   select), finish, calls. What decides where an expert goes is computed by functions of eplb.h.

     kernel     a block does                  from                     to
     layers     one layer                     weight                   load, group_load
     pack       one candidate of a packing    group_load or slot_load  its packs, or the finished packing
     select     one packing                   its candidates' packs    the finished packing
     replicate  one node of one layer         load, group_order        slot_load, slot_expert, slot_rank

   Groups are packed onto nodes by pack and select first, slots onto GPUs last. Finishing the former
   writes group_order, finishing the latter the plan. Each kernel takes one struct by value. */

#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#define EPLB_SCRATCH_ALIGN 256 /* of blocks in scratch, for coalesced access */
#include "eplb_cuda.h"

#include <cuda_runtime.h>

enum : int32_t {
    kWarp       = 32,
    kMaxThreads = 256, /* of a block, in all kernels */
    kMaxWarps   = kMaxThreads / kWarp,
    kManyBlocks = 1024, /* from so many candidates on the GPU is full, and small blocks waste less of it
                           while one warp packs */
    kFewThreads = 64,   /* of a block then */
    kPairLanes  = 8,    /* threads that look for a swap of one pair of packs in PAIR_SCAN */
    kTogether   = 8     /* L2: swaps that a lane looks at by itself while its warp looks at a pair together */
};

static constexpr uint32_t kAllLanes = 0xFFFFFFFFu;
static constexpr uint32_t kNone     = 0xFFFFFFFFu; /* behind every load's bits and every index */
static constexpr uint64_t kLast     = ~(uint64_t)0; /* a key behind every other */

static_assert(EPLB_NUM_REFINEMENTS == EPLB_REFINE_L2 + 1 && EPLB_NUM_INITS == EPLB_INIT_ZIGZAG + 1,
              "the kernels know every way to pack");

/* What a block may have without asking for more. An item takes 14 bytes in a candidate and 16 in
   replication, a pack 6; 512 cover what does not grow. */
static constexpr size_t kMaxShared = 48 * 1024;
static_assert(16 * EPLB_CUDA_MAX_ITEMS + 6 * EPLB_CUDA_MAX_PACKS + 512 <= kMaxShared,
              "shapes fit shared memory");

/* How a candidate came out. */
struct eplb_p_standing {
    float   score;
    int32_t is_even;
};

/* One of the two packings, over all rows: a row is a layer (groups) or a node of a layer (GPUs). */
struct eplb_p_cuda_packing {
    eplb_packing how;
    int32_t      stage; /* EPLB_P_DRAW_* */
    int32_t      n, m, room, rows, candidates;
    const float *load;          /* [rows, n] of the items */
    uint16_t    *placed;        /* [rows, candidates, n] item at each place, pack by pack */
    eplb_p_standing *standing;  /* [rows, candidates] */
};

/* The argument of every kernel. */
struct eplb_p_cuda_call {
    eplb_p_shape shape;
    int32_t by_dhondt; /* slots of a node up to this one are given by D'Hondt, later ones by Sainte-Lague */
    int32_t replicate_at_once; /* the kernel of the layers also replicates: one group, one node */
    const float *weight;
    eplb_plan plan;

    float    *load;        /* [L, E] mean over the samples, scaled */
    float    *group_load;  /* [L, K] */
    uint16_t *group_order; /* [L, K] groups in the order of mlog; NULL: as they are */
    float    *slot_load;   /* [L, R] of each slot, node by node, in the order in which slots are given */
    int32_t  *slot_expert; /* [L, R] */
    int32_t  *slot_rank;   /* [L, R] which replica of its expert */

    eplb_p_cuda_packing packing; /* the one at hand, in kernels of packings */
};

/* ----------------------------------------------------------------------------- warps and blocks */

extern __shared__ __align__(16) unsigned char eplb_p_shared[];

static __device__ __forceinline__ int32_t eplb_p_thread() { return (int32_t)threadIdx.x; }
static __device__ __forceinline__ int32_t eplb_p_threads() { return (int32_t)blockDim.x; }
static __device__ __forceinline__ int32_t eplb_p_lane() { return (int32_t)threadIdx.x % kWarp; }
static __device__ __forceinline__ int32_t eplb_p_warp() { return (int32_t)threadIdx.x / kWarp; }

static __device__ __forceinline__ uint64_t eplb_p_smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The smallest key of a warp, in all its lanes. */
static __device__ __forceinline__ uint64_t eplb_p_warp_min(uint64_t key)
{
    uint32_t high = (uint32_t)(key >> 32);
    uint32_t least_high = __reduce_min_sync(kAllLanes, high);
    uint32_t least_low = __reduce_min_sync(kAllLanes, high == least_high ? (uint32_t)key : kNone);
    return ((uint64_t)least_high << 32) | least_low;
}

/* Whether a lane has the lowest index of those that are in it. Mostly there is but one, and a vote shows. */
static __device__ __forceinline__ bool eplb_p_wins(bool is_in, uint32_t index)
{
    uint32_t all = __ballot_sync(kAllLanes, is_in);
    if ((all & (all - 1)) == 0) return is_in;
    return __reduce_min_sync(kAllLanes, is_in ? index : kNone) == index && is_in;
}

/* The smallest key of a block, in all its threads; reduce [kMaxWarps] is shared. */
static __device__ uint64_t eplb_p_block_min(uint64_t key, uint64_t *reduce)
{
    int32_t warp;

    key = eplb_p_warp_min(key);
    if (eplb_p_threads() == kWarp) return key;
    if (eplb_p_lane() == 0) reduce[eplb_p_warp()] = key;
    __syncthreads();
    for (warp = 0; warp < eplb_p_threads() / kWarp; warp++) key = eplb_p_smaller(key, reduce[warp]);
    __syncthreads();
    return key;
}

/* The largest of the bits of non-negative floats. */
static __device__ uint32_t eplb_p_block_max_bits(uint32_t bits, uint64_t *reduce)
{
    return ~(uint32_t)eplb_p_block_min(~bits, reduce);
}

/* The next block of shared memory, for count elements of the given size, aligned to 16; used is in
   bytes. Without a base it only counts. */
EPLB_P_HD void *eplb_p_take_shared(unsigned char *base, size_t *used, int32_t count, size_t size)
{
    void *block = base ? base + *used : NULL;
    *used += ((size_t)count * size + 15) & ~(size_t)15;
    return block;
}

/* --------------------------------------------------------------------------------------- loads */

/* What is wrong with the samples of a layer, as eplb_rebalance would say; the same in all threads. */
static __device__ eplb_result eplb_p_check_layer(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                                 uint64_t *reduce)
{
    enum { BAD, COUNTING, ZERO }; /* sample weights: one bad one spoils all, one that counts is enough */
    uint64_t first = kLast, i;
    int32_t t;

    if (s.weight) {
        uint64_t found = ZERO;
        for (t = eplb_p_thread(); t < s.num; t += eplb_p_threads()) {
            if (eplb_p_check_load(&s.weight[t]) != EPLB_OK)
                found = BAD;
            else if (s.weight[t] > 0.0f)
                found = eplb_p_smaller(found, COUNTING);
        }
        if (eplb_p_block_min(found, reduce) != COUNTING) return EPLB_ERR_OPTION;
    }
    for (i = (uint64_t)eplb_p_thread(); i < (uint64_t)s.num * (uint64_t)c.shape.num_experts;
         i += (uint64_t)eplb_p_threads()) {
        eplb_result r = eplb_p_check_load(&s.load[i / (uint64_t)c.shape.num_experts * s.stride +
                                                  i % (uint64_t)c.shape.num_experts]);
        if (r == EPLB_OK) continue;
        first = i << 8 | (uint64_t)-r; /* the thread's first one; its code rides along */
        break;
    }
    first = eplb_p_block_min(first, reduce);
    return first == kLast ? EPLB_OK : -(eplb_result)(first & 255);
}

/* The heaviest weight of a sample that holds load: eplb_p_samples.heaviest. */
static __device__ float eplb_p_heaviest_sample(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                               uint64_t *reduce)
{
    uint32_t heaviest = 0;
    int32_t t, e;

    for (t = 0; t < s.num; t++)
        for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads())
            if (s.weight[t] > eplb_p_from_bits(heaviest) && eplb_p_sample_load(&s, t, e) > 0.0f)
                heaviest = eplb_p_bits_at(&s.weight[t]);
    return eplb_p_from_bits(eplb_p_block_max_bits(heaviest, reduce));
}

/* The scale of the samples that count; 0 when they hold no load. */
static __device__ float eplb_p_layer_scale(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                           uint64_t *reduce)
{
    uint32_t largest = 0;
    int32_t t, e;

    for (t = 0; t < s.num; t++) {
        if (!(eplb_p_sample_share(&s, t) > 0.0f)) continue;
        for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads()) {
            uint32_t bits = eplb_p_bits(eplb_p_sample_load(&s, t, e));
            if (bits > largest) largest = bits;
        }
    }
    largest = eplb_p_block_max_bits(largest, reduce);
    return largest ? eplb_p_scale(largest) : 0.0f;
}

/* What the samples that count do so for together, in their order. */
static __device__ float eplb_p_count_samples(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                             uint64_t *reduce)
{
    float count = 0.0f;
    int32_t t, e;

    for (t = 0; t < s.num; t++) {
        uint32_t holds_load = 0;
        for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads())
            holds_load |= eplb_p_sample_load(&s, t, e) > 0.0f;
        if (eplb_p_block_max_bits(holds_load, reduce)) count = eplb_p_add(count, eplb_p_sample_share(&s, t));
    }
    return count;
}

/* The weighted mean of an expert over the samples, scaled, in the order of eplb_p_mean_load. */
static __device__ float eplb_p_mean_of_expert(const eplb_p_samples &s, float scale, float count, int32_t e)
{
    float load = 0.0f;
    int32_t t;

    if (!(scale > 0.0f)) return 1.0f;
    for (t = 0; t < s.num; t++) {
        float factor = eplb_p_mul(eplb_p_sample_share(&s, t), scale);
        load = eplb_p_add(load, eplb_p_mul(eplb_p_sample_load(&s, t, e), factor));
    }
    return s.num > 1 ? eplb_p_div(load, count) : load;
}

/* One layer: its loads are checked, and become one load for each expert and each group. */
static __device__ void eplb_p_load_layer(const eplb_p_cuda_call &c, int32_t layer)
{
    uint64_t *reduce = (uint64_t *)eplb_p_shared;
    float *load = c.load + eplb_p_at(layer, c.shape.num_experts, 0), scale = 0.0f, count = 1.0f;
    eplb_p_samples s;
    eplb_result result;
    int32_t i, group;

    s.load     = c.weight + eplb_p_at(layer, c.shape.num_experts, 0);
    s.stride   = (size_t)c.shape.num_layers * (size_t)c.shape.num_experts;
    s.num      = c.shape.num_samples;
    s.weight   = c.shape.options.sample_weight;
    s.heaviest = 0.0f;
    result = eplb_p_check_layer(c, s, reduce);
    if (result == EPLB_OK) {
        if (s.weight) s.heaviest = eplb_p_heaviest_sample(c, s, reduce);
        scale = eplb_p_layer_scale(c, s, reduce);
        if (s.num > 1) count = eplb_p_count_samples(c, s, reduce);
    }
    if (c.plan.layer_status && eplb_p_thread() == 0) c.plan.layer_status[layer] = result;
    for (i = eplb_p_thread(); i < c.shape.num_experts; i += eplb_p_threads())
        load[i] = eplb_p_mean_of_expert(s, scale, count, i);
    __syncthreads(); /* for sums of groups or for replicating, which takes over the shared memory */

    for (group = eplb_p_thread(); c.group_order && group < c.shape.num_groups; group += eplb_p_threads()) {
        float sum = 0.0f;
        for (i = 0; i < c.shape.group_size; i++) sum = eplb_p_add(sum, load[group * c.shape.group_size + i]);
        c.group_load[eplb_p_at(layer, c.shape.num_groups, group)] = sum;
    }
}

/* ----------------------------------------------------------------------------------- replicate */

/* The replicas of a node's experts, in shared memory; an expert is known by its place in mlog. Lane l of
   the one warp that gives slots owns experts l, l + 32, ..: their bids are for no other lane. */
struct eplb_p_cuda_replicas {
    int32_t   num_log, num_phy;
    float    *load;    /* [num_log] */
    int32_t  *count;   /* [num_log] */
    uint32_t *bid;     /* [num_log] */
    uint16_t *phy2log; /* [num_phy] */
    uint16_t *rank;    /* [num_phy] */
};

EPLB_P_HD size_t eplb_p_carve_cuda_replicas(unsigned char *base, int32_t num_log, int32_t num_phy,
                                            eplb_p_cuda_replicas *r)
{
    size_t used = 0;
    r->num_log = num_log;
    r->num_phy = num_phy;
    r->load    = (float *)eplb_p_take_shared(base, &used, num_log, sizeof(float));
    r->count   = (int32_t *)eplb_p_take_shared(base, &used, num_log, sizeof(int32_t));
    r->bid     = (uint32_t *)eplb_p_take_shared(base, &used, num_log, sizeof(uint32_t));
    r->phy2log = (uint16_t *)eplb_p_take_shared(base, &used, num_phy, sizeof(uint16_t));
    r->rank    = (uint16_t *)eplb_p_take_shared(base, &used, num_phy, sizeof(uint16_t));
    return used;
}

/* An expert's bid for the next slot, as an integer of the same order: 0 once it is at its cap. */
static __device__ uint32_t eplb_p_bid_bits(const eplb_p_cuda_replicas &r, int32_t e, int method,
                                           int32_t max_replicas)
{
    if (eplb_p_at_cap(r.count[e], max_replicas)) return 0;
    return eplb_p_bits(eplb_p_bid(r.load[e], r.count[e], method)) + 1;
}

/* The highest bid of a lane's experts, the first of them on ties. */
static __device__ uint32_t eplb_p_highest_of_lane(const eplb_p_cuda_replicas &r, uint32_t *expert)
{
    uint32_t highest = 0;
    int32_t e;

    *expert = kNone;
    for (e = eplb_p_lane(); e < r.num_log; e += kWarp) {
        if (r.bid[e] <= highest) continue;
        highest = r.bid[e];
        *expert = (uint32_t)e;
    }
    return highest;
}

/* Slots first .. last-1 go, one after the other, to the expert with the highest bid. By one warp. */
static __device__ void eplb_p_give_slots_by_warp(const eplb_p_cuda_replicas &r, int32_t first, int32_t last,
                                                 int method, int32_t max_replicas)
{
    uint32_t highest, expert;
    int32_t e, slot;

    for (e = eplb_p_lane(); e < r.num_log; e += kWarp) r.bid[e] = eplb_p_bid_bits(r, e, method, max_replicas);
    highest = eplb_p_highest_of_lane(r, &expert);
    for (slot = first; slot < last; slot++) {
        uint32_t highest_of_all = __reduce_max_sync(kAllLanes, highest);
        if (!eplb_p_wins(highest == highest_of_all, expert)) continue;
        e = (int32_t)expert;
        r.phy2log[slot] = (uint16_t)e;
        r.rank[slot]    = (uint16_t)r.count[e]++;
        r.bid[e]        = eplb_p_bid_bits(r, e, method, max_replicas);
        highest         = eplb_p_highest_of_lane(r, &expert);
    }
    __syncwarp(); /* what each lane counted, all lanes see */
}

/* The expert with the heaviest replicas, were there `extra` more replicas of expert `changed`, as
   eplb_p_heavy_first would have it. By one warp. */
static __device__ uint64_t eplb_p_heaviest_by_warp(const eplb_p_cuda_replicas &r, int32_t changed,
                                                   int32_t extra)
{
    uint64_t heaviest = kLast;
    int32_t e;

    for (e = eplb_p_lane(); e < r.num_log; e += kWarp) {
        float each = eplb_p_bid(r.load[e], r.count[e] + (e == changed ? extra : 0), EPLB_P_DHONDT);
        heaviest = eplb_p_smaller(heaviest, eplb_p_heavy_first(each, e));
    }
    return eplb_p_warp_min(heaviest);
}

/* eplb_p_fixup, by one warp. Returns whether a replica went from one expert to another. */
static __device__ bool eplb_p_fixup_by_warp(const eplb_p_cuda_replicas &r, int32_t max_replicas)
{
    uint64_t before = eplb_p_heaviest_by_warp(r, 0, 0), after, least = kLast;
    int32_t receiver = eplb_p_index(before), donor, e, slot;

    if (eplb_p_at_cap(r.count[receiver], max_replicas)) return false;
    for (e = eplb_p_lane(); e < r.num_log; e += kWarp)
        if (e != receiver && r.count[e] > 1)
            least = eplb_p_smaller(least, eplb_p_light_first(eplb_p_rise(r.load[e], r.count[e]), e));
    least = eplb_p_warp_min(least);
    if (least == kLast) return false;
    donor = eplb_p_index(least);
    __syncwarp(); /* all have read */
    if (eplb_p_lane() == 0) r.count[donor]--;
    __syncwarp();
    after = eplb_p_heaviest_by_warp(r, receiver, 1);
    __syncwarp();
    if (after >> 32 <= before >> 32) { /* no lighter: heavier loads have smaller keys */
        if (eplb_p_lane() == 0) r.count[donor]++; /* and there is no further step */
        return false;
    }
    for (slot = eplb_p_lane(); slot < r.num_phy; slot += kWarp) {
        if (r.phy2log[slot] != donor || r.rank[slot] != r.count[donor]) continue;
        r.phy2log[slot] = (uint16_t)receiver; /* there is one such slot */
        r.rank[slot]    = (uint16_t)r.count[receiver];
    }
    __syncwarp();
    if (eplb_p_lane() == 0) r.count[receiver]++;
    __syncwarp();
    return true;
}

/* The expert at a place of a node's mlog. */
static __device__ int32_t eplb_p_expert_at(const eplb_p_cuda_call &c, int32_t layer, int32_t node,
                                           int32_t place)
{
    int32_t mlog = node * c.shape.node_experts + place, group = mlog / c.shape.group_size;
    if (c.group_order) group = c.group_order[eplb_p_at(layer, c.shape.num_groups, group)];
    return group * c.shape.group_size + mlog % c.shape.group_size;
}

/* What the plan says of an expert by itself: its count, and no slots beyond it. */
static __device__ void eplb_p_store_count(const eplb_p_cuda_call &c, int32_t layer, int32_t expert,
                                          int32_t count)
{
    size_t at = eplb_p_at(layer, c.shape.num_experts, expert), width;
    int32_t rank;

    if (c.plan.logcnt) c.plan.logcnt[at] = count;
    if (!c.plan.log2phy) return;
    width = (size_t)(c.plan.log2phy_width > 0 ? c.plan.log2phy_width : 0);
    for (rank = count; rank < c.plan.log2phy_width; rank++) c.plan.log2phy[at * width + (size_t)rank] = -1;
    if (count > c.plan.log2phy_width && c.plan.layer_status)
        atomicCAS(&c.plan.layer_status[layer], EPLB_OK, EPLB_ERR_WIDTH);
}

/* One node of a layer: its experts in mlog order -> replicas -> the loads of its slots. */
static __device__ void eplb_p_replicate_node(const eplb_p_cuda_call &c, int32_t layer, int32_t node)
{
    const eplb_options &o = c.shape.options;
    size_t first_slot = eplb_p_at(layer, c.shape.num_replicas, node * c.shape.node_slots);
    eplb_p_cuda_replicas r;
    int32_t i, step;

    eplb_p_carve_cuda_replicas(eplb_p_shared, c.shape.node_experts, c.shape.node_slots, &r);
    for (i = eplb_p_thread(); i < r.num_log; i += eplb_p_threads()) {
        r.load[i]    = c.load[eplb_p_at(layer, c.shape.num_experts, eplb_p_expert_at(c, layer, node, i))];
        r.count[i]   = 1;
        r.phy2log[i] = (uint16_t)i;
        r.rank[i]    = 0;
    }
    __syncthreads();
    if (eplb_p_warp() == 0) {
        eplb_p_give_slots_by_warp(r, r.num_log, c.by_dhondt, EPLB_P_DHONDT, o.max_replicas);
        eplb_p_give_slots_by_warp(r, c.by_dhondt, r.num_phy, EPLB_P_SAINTE_LAGUE, o.max_replicas);
        for (step = 0; step < o.fixup_steps && eplb_p_fixup_by_warp(r, o.max_replicas); step++) {}
    }
    __syncthreads();
    for (i = eplb_p_thread(); i < r.num_phy; i += eplb_p_threads()) {
        int32_t mlog = r.phy2log[i];
        c.slot_load[first_slot + (size_t)i]   = eplb_p_bid(r.load[mlog], r.count[mlog], EPLB_P_DHONDT);
        c.slot_expert[first_slot + (size_t)i] = eplb_p_expert_at(c, layer, node, mlog);
        c.slot_rank[first_slot + (size_t)i]   = r.rank[i];
    }
    for (i = eplb_p_thread(); i < r.num_log; i += eplb_p_threads())
        eplb_p_store_count(c, layer, eplb_p_expert_at(c, layer, node, i), r.count[i]);
}

/* Block b does layer b. */
static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_layers_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    int32_t layer = (int32_t)blockIdx.x;
    eplb_p_load_layer(c, layer);
    if (c.replicate_at_once) eplb_p_replicate_node(c, layer, 0);
}

/* Block b does node b % N of layer b / N. */
static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_replicate_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    eplb_p_replicate_node(c, (int32_t)blockIdx.x / c.shape.num_nodes,
                          (int32_t)blockIdx.x % c.shape.num_nodes);
}

/* --------------------------------------------------------------------------------------- finish */

/* An item of a packing has its place for good: place idx, pack by pack. */
static __device__ void eplb_p_finish_item(const eplb_p_cuda_call &c, int32_t row, int32_t idx, int32_t item)
{
    int32_t layer = row / c.shape.num_nodes, expert, rank;
    int32_t slot = row % c.shape.num_nodes * c.shape.node_slots + idx;
    size_t at;

    if (c.packing.stage == EPLB_P_DRAW_GROUPS) {
        c.group_order[eplb_p_at(row, c.packing.n, idx)] = (uint16_t)item;
        return;
    }
    at     = eplb_p_at(row, c.shape.node_slots, item);
    expert = c.slot_expert[at];
    rank   = c.slot_rank[at];
    at     = eplb_p_at(layer, c.shape.num_replicas, slot);
    c.plan.phy2log[at] = expert;
    if (c.plan.phyrank) c.plan.phyrank[at] = rank;
    if (!c.plan.log2phy || rank >= c.plan.log2phy_width) return;
    at = eplb_p_at(layer, c.shape.num_experts, expert) * (size_t)c.plan.log2phy_width + (size_t)rank;
    c.plan.log2phy[at] = slot;
}

/* ---------------------------------------------------------------------------------------- pack

   One candidate, in shared memory. An item is known by its position in the candidate's order; place
   pack * room + r is the r-th of a pack, which lists its positions in ascending order. */

struct eplb_p_cuda_candidate {
    int32_t n, m, room;
    uint32_t *key;       /* [n, up to a whole warp] bits of what the items are ordered by */
    float    *held_load; /* [m, room] true load at each place; where key was */
    float    *load;      /* [n] true load at each position */
    float    *pack_load; /* [m] sum of held_load in its order */
    float    *tiny;      /* [1] a difference of pack loads below it counts as none */
    uint64_t *reduce;    /* [kMaxWarps] */
    uint16_t *order;     /* [n] item at each position */
    uint16_t *held;      /* [m, room] position at each place */
    uint16_t *place;     /* [n] place of each position */
    uint16_t *by_load;   /* [m] PAIR_SCAN: packs, heaviest first */
};

EPLB_P_HD int32_t eplb_p_whole_warps(int32_t n) { return (n + kWarp - 1) / kWarp * kWarp; }

EPLB_P_HD size_t eplb_p_carve_candidate(unsigned char *base, int32_t n, int32_t m, eplb_p_cuda_candidate *p)
{
    size_t used = 0;
    p->n         = n;
    p->m         = m;
    p->room      = n / m;
    p->key       = (uint32_t *)eplb_p_take_shared(base, &used, eplb_p_whole_warps(n), sizeof(uint32_t));
    p->held_load = (float *)p->key;
    p->load      = (float *)eplb_p_take_shared(base, &used, n, sizeof(float));
    p->pack_load = (float *)eplb_p_take_shared(base, &used, m, sizeof(float));
    p->tiny      = (float *)eplb_p_take_shared(base, &used, 1, sizeof(float));
    p->reduce    = (uint64_t *)eplb_p_take_shared(base, &used, kMaxWarps, sizeof(uint64_t));
    p->order     = (uint16_t *)eplb_p_take_shared(base, &used, n, sizeof(uint16_t));
    p->held      = (uint16_t *)eplb_p_take_shared(base, &used, n, sizeof(uint16_t));
    p->place     = (uint16_t *)eplb_p_take_shared(base, &used, n, sizeof(uint16_t));
    p->by_load   = (uint16_t *)eplb_p_take_shared(base, &used, m, sizeof(uint16_t));
    return used;
}

/* pack: initial */

/* What candidate c orders each item by; zeros, which order behind, up to a whole warp. A thread draws
   the random words of four items at once. */
static __device__ void eplb_p_make_keys(const eplb_p_cuda_candidate &p, const eplb_packing *how,
                                        const float *item_load, uint64_t seed, int32_t row, int32_t stage,
                                        int32_t candidate)
{
    uint32_t word[4] = {0, 0, 0, 0};
    int32_t quad, i;

    for (quad = eplb_p_thread(); 4 * quad < eplb_p_whole_warps(p.n); quad += eplb_p_threads()) {
        if (candidate > 0) eplb_p_draw(seed, stage, (uint32_t)row, candidate, (uint32_t)quad, word);
        for (i = 0; i < 4; i++) {
            int32_t item = 4 * quad + i;
            float load = item < p.n ? item_load[item] : 0.0f;
            if (candidate > 0 && item < p.n) load = eplb_p_perturbed(load, word[i], how, candidate);
            p.key[item] = eplb_p_bits(load);
        }
    }
}

/* How many of four items go before one whose bits are `mine`, all of a lower index (at least as heavy)
   or all of a higher one (heavier). */
static __device__ __forceinline__ int32_t eplb_p_count_before(uint4 four, uint32_t mine, bool lower_index)
{
    if (lower_index)
        return (int32_t)(four.x >= mine) + (int32_t)(four.y >= mine) + (int32_t)(four.z >= mine) +
               (int32_t)(four.w >= mine);
    return (int32_t)(four.x > mine) + (int32_t)(four.y > mine) + (int32_t)(four.z > mine) +
           (int32_t)(four.w > mine);
}

/* The position of item i in the order of eplb_p_heavy_first: how many go before it. Items of other warps
   are read four at a time, in the same order by all lanes. */
static __device__ int32_t eplb_p_rank_of_item(const eplb_p_cuda_candidate &p, int32_t i)
{
    const uint4 *fours = (const uint4 *)p.key;
    int32_t own_warp = i / kWarp * kWarp, rank = 0, j;
    uint32_t mine = p.key[i];

    for (j = 0; j < own_warp / 4; j++) rank += eplb_p_count_before(fours[j], mine, true);
    for (j = own_warp; j < own_warp + kWarp; j++)
        rank += p.key[j] > mine || (p.key[j] == mine && j < i);
    for (j = (own_warp + kWarp) / 4; j < eplb_p_whole_warps(p.n) / 4; j++)
        rank += eplb_p_count_before(fours[j], mine, false);
    return rank;
}

static __device__ void eplb_p_order_candidate(const eplb_p_cuda_candidate &p, const float *item_load)
{
    int32_t i;
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        int32_t position = eplb_p_rank_of_item(p, i);
        p.order[position] = (uint16_t)i;
        p.load[position]  = item_load[i];
    }
}

/* LPT by one warp: lane l owns packs l, l + 32, .., whose loads it holds as bits, kNone once full. What a
   step waits for from the one before is kept short: a minimum over the warp and a vote. What becomes of a
   lane's lightest pack if it is the one is worked out meanwhile, by all lanes. */
template <int32_t kPerLane> static __device__ void eplb_p_lpt_by_warp(const eplb_p_cuda_candidate &p)
{
    uint32_t bits[(size_t)kPerLane];
    int32_t next_place[(size_t)kPerLane], lane = eplb_p_lane(), position, k;
    float next = p.load[0];

#pragma unroll
    for (k = 0; k < kPerLane; k++) {
        bits[k]       = k * kWarp + lane < p.m ? 0 : kNone;
        next_place[k] = (k * kWarp + lane) * p.room;
    }
    for (position = 0; position < p.n; position++) {
        uint32_t lightest = bits[0], lightest_of_all;
        int32_t which = 0, place = next_place[0], pack;
        float load = next, sum;
        bool wins, fills;

        if (position + 1 < p.n) next = p.load[position + 1];
#pragma unroll
        for (k = 1; k < kPerLane; k++) lightest = bits[k] < lightest ? bits[k] : lightest;
        lightest_of_all = __reduce_min_sync(kAllLanes, lightest);
#pragma unroll
        for (k = kPerLane - 1; k >= 0; k--) { /* the first of them last */
            if (bits[k] != lightest) continue;
            which = k;
            place = next_place[k];
        }
        pack  = which * kWarp + lane;
        sum   = eplb_p_add(eplb_p_from_bits(lightest), load);
        fills = place + 1 == (pack + 1) * p.room;
        wins  = eplb_p_wins(lightest == lightest_of_all, (uint32_t)pack);
        if (wins) p.held[place] = (uint16_t)position;
        if (wins && fills) p.pack_load[pack] = sum;
#pragma unroll
        for (k = 0; k < kPerLane; k++) {
            bool changes = wins && k == which;
            bits[k] = !changes ? bits[k] : fills ? kNone : eplb_p_bits(sum);
            next_place[k] += changes;
        }
    }
}

static __device__ float eplb_p_sum_pack(const eplb_p_cuda_candidate &p, int32_t pack)
{
    float sum = 0.0f;
    int32_t r;
    for (r = 0; r < p.room; r++) sum = eplb_p_add(sum, p.held_load[pack * p.room + r]);
    return sum;
}

/* Every turn gives each pack one item. */
static __device__ void eplb_p_zigzag_by_block(const eplb_p_cuda_candidate &p)
{
    int32_t position;
    for (position = eplb_p_thread(); position < p.n; position += eplb_p_threads())
        p.held[eplb_p_zigzag(position, p.m) * p.room + position / p.m] = (uint16_t)position;
}

/* What goes with held: the loads at places, the place of each position; pack loads after zigzag. */
static __device__ void eplb_p_index_places(const eplb_p_cuda_candidate &p, int32_t init)
{
    int32_t i;

    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        p.held_load[i]     = p.load[p.held[i]];
        p.place[p.held[i]] = (uint16_t)i;
    }
    __syncthreads();
    if (init == EPLB_INIT_ZIGZAG)
        for (i = eplb_p_thread(); i < p.m; i += eplb_p_threads()) p.pack_load[i] = eplb_p_sum_pack(p, i);
    __syncthreads();
    if (eplb_p_thread() == 0) *p.tiny = eplb_p_tiny(p.pack_load, p.m);
    __syncthreads();
}

/* pack: refine

   A swap is a key, eplb_p_heavy_first of what it is worth and its two positions: so the smallest key is
   the swap that goes before all others, kLast is none, and any way to find the smallest will do. */

static __device__ uint64_t eplb_p_swap_key(const eplb_p_cuda_candidate &p, float worth, int32_t u, int32_t v)
{
    return eplb_p_heavy_first(worth, (int32_t)p.held[u] << 16 | (int32_t)p.held[v]);
}

static __device__ float eplb_p_key_worth(uint64_t swap) { return eplb_p_from_bits(~(uint32_t)(swap >> 32)); }

/* The gain of the swap of places u and v, where D is by how much the pack of u is heavier. */
static __device__ float eplb_p_gain_at(const eplb_p_cuda_candidate &p, int32_t u, int32_t v, float D)
{
    return eplb_p_swap_gain(eplb_p_sub(p.held_load[u], p.held_load[v]), D);
}

static __device__ float eplb_p_heavier_by(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light)
{
    return eplb_p_sub(p.pack_load[heavy], p.pack_load[light]);
}

/* The best of swaps first, first + step, .. of two packs. */
static __device__ uint64_t eplb_p_best_swap_of(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light,
                                               int32_t first, int32_t step)
{
    float D = eplb_p_heavier_by(p, heavy, light);
    uint64_t best = kLast;
    int32_t i;

    for (i = first; i < p.room * p.room; i += step) {
        int32_t u = heavy * p.room + i / p.room, v = light * p.room + i % p.room;
        float gain = eplb_p_gain_at(p, u, v, D);
        if (gain > 0.0f) best = eplb_p_smaller(best, eplb_p_swap_key(p, gain, u, v));
    }
    return best;
}

/* The best swap of two packs, by one warp. */
static __device__ uint64_t eplb_p_best_swap_by_warp(const eplb_p_cuda_candidate &p, int32_t heavy,
                                                    int32_t light)
{
    return eplb_p_warp_min(eplb_p_best_swap_of(p, heavy, light, eplb_p_lane(), kWarp));
}

/* The heaviest or the lightest pack, the lower index on ties. */
static __device__ int32_t eplb_p_extreme_pack_by_warp(const eplb_p_cuda_candidate &p, bool heaviest)
{
    uint64_t first = kLast;
    int32_t pack;

    for (pack = eplb_p_lane(); pack < p.m; pack += kWarp) {
        float load = p.pack_load[pack];
        uint64_t key = heaviest ? eplb_p_heavy_first(load, pack) : eplb_p_light_first(load, pack);
        first = eplb_p_smaller(first, key);
    }
    return eplb_p_index(eplb_p_warp_min(first));
}

static __device__ int32_t eplb_p_heaviest_pack_by_warp(const eplb_p_cuda_candidate &p)
{
    return eplb_p_extreme_pack_by_warp(p, true);
}

static __device__ int32_t eplb_p_lightest_pack_by_warp(const eplb_p_cuda_candidate &p)
{
    return eplb_p_extreme_pack_by_warp(p, false);
}

/* Each warp finds the same, which costs less than telling the others. */
static __device__ uint64_t eplb_p_max_min_by_warps(const eplb_p_cuda_candidate &p)
{
    int32_t heavy = eplb_p_heaviest_pack_by_warp(p), light = eplb_p_lightest_pack_by_warp(p);
    if (eplb_p_heavier_by(p, heavy, light) < *p.tiny) return kLast;
    return eplb_p_best_swap_by_warp(p, heavy, light);
}

/* by_load, by counting for each pack those before it. */
static __device__ void eplb_p_order_packs(const eplb_p_cuda_candidate &p)
{
    int32_t pack, other;
    for (pack = eplb_p_thread(); pack < p.m; pack += eplb_p_threads()) {
        uint64_t key = eplb_p_heavy_first(p.pack_load[pack], pack);
        int32_t rank = 0;
        for (other = 0; other < p.m; other++) rank += eplb_p_heavy_first(p.pack_load[other], other) < key;
        p.by_load[rank] = (uint16_t)pack;
    }
    __syncthreads();
}

/* Whether any of a thread's share of the swaps of two packs helps. */
static __device__ bool eplb_p_some_swap_helps(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light)
{
    float D = eplb_p_heavier_by(p, heavy, light);
    int32_t i;

    if (D < *p.tiny) return false;
    for (i = eplb_p_thread() % kPairLanes; i < p.room * p.room; i += kPairLanes)
        if (eplb_p_gain_at(p, heavy * p.room + i / p.room, light * p.room + i % p.room, D) > 0.0f)
            return true;
    return false;
}

/* Pairs are numbered in the order in which they are tried: number i * m + m-1-j is the i-th heaviest pack
   and the j-th. A round gives one to each kPairLanes threads. As long as none is found, the block confers
   after twice as many rounds as before: mostly one of the first pairs has a swap, else likely none. */
static __device__ uint64_t eplb_p_pair_scan_by_block(const eplb_p_cuda_candidate &p, int32_t heavy_packs)
{
    int32_t tried = heavy_packs > 0 && heavy_packs < p.m ? heavy_packs : p.m, last = tried * p.m;
    int32_t round = eplb_p_threads() / kPairLanes, rounds = 1, start, end, number, i, j;

    eplb_p_order_packs(p);
    for (start = 0, end = round; start < last; start = end, end += rounds * round) {
        uint64_t found = kLast;
        rounds *= 2;
        for (number = start + eplb_p_thread() / kPairLanes; number < end && number < last; number += round) {
            i = number / p.m;
            j = p.m - 1 - number % p.m;
            if (j <= i || !eplb_p_some_swap_helps(p, p.by_load[i], p.by_load[j])) continue;
            found = (uint64_t)number;
            break;
        }
        found = eplb_p_block_min(found, p.reduce);
        if (found == kLast) continue;
        i = (int32_t)found / p.m;
        j = p.m - 1 - (int32_t)found % p.m;
        return eplb_p_best_swap_by_warp(p, p.by_load[i], p.by_load[j]);
    }
    return kLast;
}

/* Thread t tries places t, t + threads, .. of other packs with every item of the heaviest. */
static __device__ uint64_t eplb_p_max_to_any_by_block(const eplb_p_cuda_candidate &p)
{
    int32_t heavy = eplb_p_heaviest_pack_by_warp(p), u, v;
    uint64_t best = kLast;

    for (v = eplb_p_thread(); v < p.n; v += eplb_p_threads()) {
        float D = eplb_p_heavier_by(p, heavy, v / p.room);
        if (!(D > 0.0f)) continue; /* the heaviest itself, or as heavy */
        for (u = heavy * p.room; u < (heavy + 1) * p.room; u++) {
            float gain = eplb_p_gain_at(p, u, v, D);
            if (gain > 0.0f) best = eplb_p_smaller(best, eplb_p_swap_key(p, gain, u, v));
        }
    }
    best = eplb_p_block_min(best, p.reduce);
    return best != kLast && eplb_p_key_worth(best) > *p.tiny ? best : kLast;
}

struct eplb_p_cuda_pair { /* of packs */
    int32_t heavy, light;
    float   D; /* by how much */
};

static __device__ eplb_p_cuda_pair eplb_p_cuda_pair_of(const eplb_p_cuda_candidate &p, int32_t a, int32_t b)
{
    eplb_p_cuda_pair pair = {a, b, 0.0f};
    if (p.pack_load[b] > p.pack_load[a]) pair = {b, a, 0.0f};
    pair.D = eplb_p_heavier_by(p, pair.heavy, pair.light);
    return pair;
}

/* Pairs a < b have number a * m + b; others stand for a pack with itself, which has no swap. */
static __device__ eplb_p_cuda_pair eplb_p_numbered_pair(const eplb_p_cuda_candidate &p, int32_t number)
{
    int32_t a = number / p.m, b = number % p.m;
    return a < b && a < p.m ? eplb_p_cuda_pair_of(p, a, b) : eplb_p_cuda_pair_of(p, 0, 0);
}

/* The best swap of a pair, by the fall in squares that it is worth. */
static __device__ uint64_t eplb_p_by_fall(const eplb_p_cuda_pair &pair, uint64_t swap)
{
    if (swap == kLast) return kLast;
    return eplb_p_heavy_first(eplb_p_swap_fall(eplb_p_key_worth(swap), pair.D), eplb_p_index(swap));
}

/* Whether a pair may have a swap that falls as far as the best one so far. */
static __device__ bool eplb_p_may_fall_further(const eplb_p_cuda_pair &pair, uint64_t best)
{
    return pair.D > 0.0f && (best == kLast || !(eplb_p_largest_fall(pair.D) < eplb_p_key_worth(best)));
}

/* The best swap of the 32 pairs from a number on, or the one from before; all by one warp. Each lane
   judges a pair by its loads. Those that may have it are looked at one after the other by the warp
   together when they are few, which they mostly are, and else each by its lane. */
static __device__ uint64_t eplb_p_l2_of_pairs(const eplb_p_cuda_candidate &p, int32_t start, uint64_t best)
{
    eplb_p_cuda_pair pair = eplb_p_numbered_pair(p, start + eplb_p_lane());
    bool may = eplb_p_may_fall_further(pair, best);
    uint32_t promising = __ballot_sync(kAllLanes, may);
    uint64_t swap;

    if (kTogether * __popc(promising) > p.room * p.room) {
        swap = may ? eplb_p_best_swap_of(p, pair.heavy, pair.light, 0, 1) : kLast;
        return eplb_p_warp_min(eplb_p_smaller(best, eplb_p_by_fall(pair, swap)));
    }
    for (; promising; promising &= promising - 1) {
        pair = eplb_p_numbered_pair(p, start + __ffs((int)promising) - 1);
        if (!eplb_p_may_fall_further(pair, best)) continue;
        swap = eplb_p_best_swap_by_warp(p, pair.heavy, pair.light);
        best = eplb_p_smaller(best, eplb_p_by_fall(pair, swap));
    }
    return best;
}

/* The heaviest and the lightest pack first, for most other pairs cannot fall as far as those two do. */
static __device__ uint64_t eplb_p_l2_by_block(const eplb_p_cuda_candidate &p)
{
    int32_t heavy = eplb_p_heaviest_pack_by_warp(p), light = eplb_p_lightest_pack_by_warp(p), start;
    uint64_t swap = eplb_p_best_swap_by_warp(p, heavy, light);
    uint64_t best = eplb_p_by_fall(eplb_p_cuda_pair_of(p, heavy, light), swap);

    for (start = eplb_p_warp() * kWarp; start < p.m * p.m; start += eplb_p_threads())
        best = eplb_p_l2_of_pairs(p, start, best);
    best = eplb_p_block_min(best, p.reduce);
    return best != kLast && eplb_p_fall_counts(eplb_p_key_worth(best), *p.tiny) ? best : kLast;
}

/* The next swap, the same in all threads of the block. */
static __device__ uint64_t eplb_p_find_swap_by_block(const eplb_p_cuda_candidate &p, const eplb_packing *how)
{
    switch (how->refine) {
    case EPLB_REFINE_MAX_MIN: return eplb_p_max_min_by_warps(p);
    case EPLB_REFINE_PAIR_SCAN: return eplb_p_pair_scan_by_block(p, how->heavy_packs);
    case EPLB_REFINE_MAX_TO_ANY: return eplb_p_max_to_any_by_block(p);
    case EPLB_REFINE_L2: return eplb_p_l2_by_block(p);
    default: return kLast;
    }
}

/* What stands at a place gives way to another position: the pack's list stays ascending, and its load is
   summed afresh. By one thread. */
static __device__ void eplb_p_exchange_at(const eplb_p_cuda_candidate &p, int32_t at, int32_t position)
{
    int32_t pack = at / p.room, first = pack * p.room, last = first + p.room - 1, step;

    for (;; at += step) { /* the neighbour moves up until the position fits in */
        if (at > first && p.held[at - 1] > position)
            step = -1;
        else if (at < last && p.held[at + 1] < position)
            step = 1;
        else
            break;
        p.held[at]          = p.held[at + step];
        p.held_load[at]     = p.held_load[at + step];
        p.place[p.held[at]] = (uint16_t)at;
    }
    p.held[at]        = (uint16_t)position;
    p.held_load[at]   = p.load[position];
    p.place[position] = (uint16_t)at;
    p.pack_load[pack] = eplb_p_sum_pack(p, pack);
}

static __device__ void eplb_p_refine_by_block(const eplb_p_cuda_candidate &p, const eplb_packing *how)
{
    int32_t swaps;

    for (swaps = 0; swaps < how->max_swaps; swaps++) {
        uint64_t swap = eplb_p_find_swap_by_block(p, how);
        int32_t u_position, v_position, u, v;
        if (swap == kLast) return;
        u_position = eplb_p_index(swap) >> 16;
        v_position = eplb_p_index(swap) & 0xFFFF;
        u = p.place[u_position];
        v = p.place[v_position];
        __syncthreads(); /* all have read */
        if (eplb_p_thread() == 0) eplb_p_exchange_at(p, u, v_position);
        if (eplb_p_thread() == 1) eplb_p_exchange_at(p, v, u_position);
        __syncthreads();
    }
}

/* One candidate from loads to packs, of two items or more each; after it, barrier included, held says
   which positions are in which pack. */
template <int32_t kPerLane>
static __device__ void eplb_p_pack_candidate(const eplb_p_cuda_call &c, const eplb_p_cuda_candidate &p,
                                             int32_t row, int32_t candidate)
{
    const eplb_p_cuda_packing &packing = c.packing;
    const float *item_load = packing.load + eplb_p_at(row, packing.n, 0);

    eplb_p_make_keys(p, &packing.how, item_load, c.shape.options.seed, row, packing.stage, candidate);
    __syncthreads();
    eplb_p_order_candidate(p, item_load);
    __syncthreads();
    if (packing.how.init == EPLB_INIT_ZIGZAG)
        eplb_p_zigzag_by_block(p);
    else if (eplb_p_warp() == 0)
        eplb_p_lpt_by_warp<kPerLane>(p);
    __syncthreads();
    if (packing.how.refine == EPLB_REFINE_NONE && packing.candidates == 1) return;
    eplb_p_index_places(p, packing.how.init);
    if (packing.how.refine != EPLB_REFINE_NONE) eplb_p_refine_by_block(p, &packing.how);
}

/* Block b does candidate b % candidates of row b / candidates. */
template <int32_t kPerLane>
static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_pack_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    const eplb_p_cuda_packing &packing = c.packing;
    int32_t row = (int32_t)blockIdx.x / packing.candidates, i;
    int32_t candidate = (int32_t)blockIdx.x % packing.candidates;
    eplb_p_cuda_candidate p;

    eplb_p_carve_candidate(eplb_p_shared, packing.n, packing.m, &p);
    if (p.room > 1) eplb_p_pack_candidate<kPerLane>(c, p, row, candidate);
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        int32_t item = p.room > 1 ? p.order[p.held[i]] : i;
        if (packing.candidates > 1)
            packing.placed[eplb_p_at((int32_t)blockIdx.x, packing.n, i)] = (uint16_t)item;
        else
            eplb_p_finish_item(c, row, i, item); /* the candidate's order is the true one */
    }
    if (packing.candidates > 1 && eplb_p_thread() == 0) {
        int is_even;
        eplb_p_standing *standing = &packing.standing[blockIdx.x];
        standing->score   = eplb_p_candidate_score(p.pack_load, p.m, packing.how.select, *p.tiny, &is_even);
        standing->is_even = is_even;
    }
}

/* pack: select */

/* The candidate that stays: the first with the smallest score, of those up to the first even one, with
   which the search would have ended. */
static __device__ int32_t eplb_p_select_by_block(const eplb_p_cuda_packing &packing, int32_t row,
                                                 uint64_t *reduce)
{
    const eplb_p_standing *standing = packing.standing + eplb_p_at(row, packing.candidates, 0);
    uint64_t even = kLast, best = kLast;
    int32_t i;

    for (i = eplb_p_thread(); i < packing.candidates; i += eplb_p_threads())
        if (standing[i].is_even) even = eplb_p_smaller(even, (uint64_t)i);
    even = eplb_p_block_min(even, reduce);
    for (i = eplb_p_thread(); i < packing.candidates && (uint64_t)i <= even; i += eplb_p_threads())
        best = eplb_p_smaller(best, eplb_p_light_first(standing[i].score, i));
    return eplb_p_index(eplb_p_block_min(best, reduce));
}

struct eplb_p_cuda_selection { /* the packs of the chosen candidate, in shared memory */
    uint64_t *reduce; /* [kMaxWarps] */
    float    *load;   /* [n] true load at each place */
    uint16_t *item;   /* [n] item at each place */
};

EPLB_P_HD size_t eplb_p_carve_selection(unsigned char *base, int32_t n, eplb_p_cuda_selection *s)
{
    size_t used = 0;
    s->reduce = (uint64_t *)eplb_p_take_shared(base, &used, kMaxWarps, sizeof(uint64_t));
    s->load   = (float *)eplb_p_take_shared(base, &used, n, sizeof(float));
    s->item   = (uint16_t *)eplb_p_take_shared(base, &used, n, sizeof(uint16_t));
    return used;
}

/* Block b does row b. Within a pack, an item's place is the number of heavier ones. */
static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_select_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    const eplb_p_cuda_packing &packing = c.packing;
    int32_t row = (int32_t)blockIdx.x, candidate, i, other;
    const float *item_load = packing.load + eplb_p_at(row, packing.n, 0);
    const uint16_t *placed;
    eplb_p_cuda_selection s;

    eplb_p_carve_selection(eplb_p_shared, packing.n, &s);
    candidate = eplb_p_select_by_block(packing, row, s.reduce);
    placed = packing.placed + eplb_p_at(row, packing.candidates, candidate) * (size_t)packing.n;
    for (i = eplb_p_thread(); i < packing.n; i += eplb_p_threads()) {
        s.item[i] = placed[i];
        s.load[i] = item_load[placed[i]];
    }
    __syncthreads();
    for (i = eplb_p_thread(); i < packing.n; i += eplb_p_threads()) {
        int32_t first = i / packing.room * packing.room, place = first;
        uint64_t key = eplb_p_heavy_first(s.load[i], s.item[i]);
        for (other = first; other < first + packing.room; other++)
            place += eplb_p_heavy_first(s.load[other], s.item[other]) < key;
        eplb_p_finish_item(c, row, place, s.item[i]);
    }
}

/* --------------------------------------------------------------------------------------- calls */

/* A call as its launches need it. */
struct eplb_p_cuda_plan {
    eplb_p_cuda_call    call;
    eplb_p_cuda_packing groups, gpus;
    int32_t             packs_groups; /* whether nodes have several groups each; else these stay in order */
};

/* Whether a packing is within the kernels' limits; also fills it in. */
static eplb_result eplb_p_plan_packing(eplb_p_cuda_packing *packing, const eplb_packing *how, int32_t stage,
                                       int64_t rows, int32_t n, int32_t m)
{
    packing->how        = *how;
    packing->stage      = stage;
    packing->n          = n;
    packing->m          = m;
    packing->room       = n / m;
    packing->rows       = (int32_t)rows;
    packing->candidates = how->num_candidates > 1 && n > m ? how->num_candidates : 1;
    if (n > EPLB_CUDA_MAX_ITEMS || m > EPLB_CUDA_MAX_PACKS) return EPLB_ERR_DEVICE_SHAPE;
    return rows > INT32_MAX / packing->candidates ? EPLB_ERR_DEVICE_SHAPE : EPLB_OK;
}

/* The arguments of the kernels but for the caller's pointers, and whether the call can be done at all. */
static eplb_result eplb_p_plan_call(const eplb_problem *problem, const eplb_options *options,
                                    eplb_p_cuda_plan *plan)
{
    eplb_p_cuda_call *c = &plan->call;
    eplb_p_shape *shape = &c->shape;
    eplb_options host_options = EPLB_ZERO_INIT;
    eplb_result r;

    if (options) host_options = *options;
    host_options.sample_weight = NULL; /* on the device, where it is checked */
    r = eplb_p_resolve(problem, options ? &host_options : NULL, shape, NULL);
    if (r != EPLB_OK) return r;
    if (shape->options.effort > 0 || shape->options.shares != EPLB_PLAN_FOR_EQUAL) return EPLB_ERR_OPTION;
    if (shape->options.previous_phy2log) return EPLB_ERR_OPTION;
    if (options) shape->options.sample_weight = options->sample_weight;
    if (shape->options.replication != EPLB_REPLICATE_HYBRID) shape->options.fixup_steps = 0;

    c->by_dhondt = shape->node_slots;
    c->by_dhondt -= eplb_p_last_tenth(shape->node_slots - shape->node_experts, shape->options.replication);
    c->replicate_at_once = shape->num_groups == 1 && shape->num_nodes == 1;
    plan->packs_groups   = shape->node_groups > 1;
    if (plan->packs_groups)
        r = eplb_p_plan_packing(&plan->groups, &shape->options.group_packing, EPLB_P_DRAW_GROUPS,
                                shape->num_layers, shape->num_groups, shape->num_nodes);
    if (r != EPLB_OK) return r;
    return eplb_p_plan_packing(&plan->gpus, &shape->options.gpu_packing, EPLB_P_DRAW_GPUS,
                               (int64_t)shape->num_layers * shape->num_nodes, shape->node_slots,
                               shape->node_gpus);
}

static void eplb_p_carve_cuda_packing(eplb_p_arena *a, eplb_p_cuda_packing *packing)
{
    if (packing->candidates == 1) return;
    packing->placed = (uint16_t *)eplb_p_take(a, packing->rows * packing->candidates,
                                              sizeof(uint16_t) * (size_t)packing->n);
    packing->standing = (eplb_p_standing *)eplb_p_take(a, packing->rows * packing->candidates,
                                                       sizeof(eplb_p_standing));
}

/* The only place that knows how scratch is laid out. */
static void eplb_p_carve_call(eplb_p_arena *a, eplb_p_cuda_plan *plan)
{
    eplb_p_cuda_call *c = &plan->call;
    const eplb_p_shape *shape = &c->shape;
    size_t experts = (size_t)shape->num_experts, slots = (size_t)shape->num_replicas;
    size_t groups = (size_t)shape->num_groups;

    c->load        = (float *)eplb_p_take(a, shape->num_layers, sizeof(float) * experts);
    c->slot_load   = (float *)eplb_p_take(a, shape->num_layers, sizeof(float) * slots);
    c->slot_expert = (int32_t *)eplb_p_take(a, shape->num_layers, sizeof(int32_t) * slots);
    c->slot_rank   = (int32_t *)eplb_p_take(a, shape->num_layers, sizeof(int32_t) * slots);
    plan->gpus.load = c->slot_load;
    eplb_p_carve_cuda_packing(a, &plan->gpus);
    if (!plan->packs_groups) return;
    c->group_load  = (float *)eplb_p_take(a, shape->num_layers, sizeof(float) * groups);
    c->group_order = (uint16_t *)eplb_p_take(a, shape->num_layers, sizeof(uint16_t) * groups);
    plan->groups.load = c->group_load;
    eplb_p_carve_cuda_packing(a, &plan->groups);
}

/* Threads for a block that has so many things to do at once. */
static int32_t eplb_p_threads_for(int32_t things, int32_t most)
{
    return things < most ? eplb_p_whole_warps(things) : most;
}

typedef void (*eplb_p_cuda_kernel)(eplb_p_cuda_call);

static eplb_result eplb_p_launch(eplb_p_cuda_kernel kernel, int32_t blocks, int32_t threads,
                                 size_t shared_bytes, const eplb_p_cuda_call *call, cudaStream_t stream)
{
    eplb_p_cuda_call copy = *call;
    void *arguments[1] = {&copy};

    if (cudaLaunchKernel(kernel, dim3((unsigned)blocks), dim3((unsigned)threads), arguments, shared_bytes,
                         stream) == cudaSuccess)
        return EPLB_OK;
    cudaGetLastError(); /* reported here, so it need not be found a second time */
    return EPLB_ERR_CUDA;
}

static eplb_result eplb_p_launch_layers(const eplb_p_cuda_plan *plan, cudaStream_t stream)
{
    const eplb_p_cuda_call *c = &plan->call;
    eplb_p_cuda_replicas replicas;
    size_t shared = sizeof(uint64_t) * kMaxWarps, replicating;

    replicating = eplb_p_carve_cuda_replicas(NULL, c->shape.node_experts, c->shape.node_slots, &replicas);
    if (c->replicate_at_once && replicating > shared) shared = replicating;
    return eplb_p_launch(eplb_p_layers_kernel, c->shape.num_layers,
                         eplb_p_threads_for(c->shape.num_experts, kMaxThreads), shared, c, stream);
}

static eplb_result eplb_p_launch_replicate(const eplb_p_cuda_plan *plan, cudaStream_t stream)
{
    const eplb_p_cuda_call *c = &plan->call;
    eplb_p_cuda_replicas replicas;
    size_t shared = eplb_p_carve_cuda_replicas(NULL, c->shape.node_experts, c->shape.node_slots, &replicas);

    if (c->replicate_at_once) return EPLB_OK;
    return eplb_p_launch(eplb_p_replicate_kernel, plan->gpus.rows,
                         eplb_p_threads_for(c->shape.node_slots, kMaxThreads), shared, c, stream);
}

/* The kernel whose lanes hold as few packs as will do. */
static eplb_p_cuda_kernel eplb_p_pack_kernel_for(const eplb_p_cuda_packing *packing)
{
    if (packing->m <= kWarp || packing->room == 1 || packing->how.init != EPLB_INIT_LPT)
        return eplb_p_pack_kernel<1>;
    if (packing->m <= 4 * kWarp) return eplb_p_pack_kernel<4>;
    if (packing->m <= 12 * kWarp) return eplb_p_pack_kernel<12>;
    return eplb_p_pack_kernel<EPLB_CUDA_MAX_PACKS / kWarp>;
}

/* All candidates of one of the two packings, and the choice among them. */
static eplb_result eplb_p_launch_packing(const eplb_p_cuda_plan *plan, const eplb_p_cuda_packing *packing,
                                         cudaStream_t stream)
{
    int32_t blocks = packing->rows * packing->candidates;
    int32_t threads = eplb_p_threads_for(packing->n, blocks < kManyBlocks ? kMaxThreads : kFewThreads);
    eplb_p_cuda_call c = plan->call;
    eplb_p_cuda_candidate candidate;
    eplb_p_cuda_selection selection;
    eplb_result r;

    c.packing = *packing;
    r = eplb_p_launch(eplb_p_pack_kernel_for(packing), blocks, threads,
                      eplb_p_carve_candidate(NULL, packing->n, packing->m, &candidate), &c, stream);
    if (r != EPLB_OK || packing->candidates == 1) return r;
    return eplb_p_launch(eplb_p_select_kernel, packing->rows, eplb_p_threads_for(packing->n, kMaxThreads),
                         eplb_p_carve_selection(NULL, packing->n, &selection), &c, stream);
}

extern "C" eplb_result eplb_cuda_scratch_size(const eplb_problem *problem, const eplb_options *options,
                                              size_t *bytes)
{
    eplb_p_cuda_plan plan = EPLB_ZERO_INIT;
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_result r = eplb_p_plan_call(problem, options, &plan);

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    eplb_p_carve_call(&a, &plan);
    if (a.overflowed) return EPLB_ERR_OVERFLOW;
    *bytes = eplb_p_arena_bytes(&a);
    return EPLB_OK;
}

/* The caller's pointers, checked as eplb_rebalance does and in its order. */
static eplb_result eplb_p_attach(eplb_p_cuda_plan *p, const float *weight, const eplb_plan *plan,
                                 void *scratch, size_t scratch_bytes)
{
    eplb_p_cuda_call *c = &p->call;
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_result r;

    eplb_p_carve_call(&a, p);
    r = eplb_p_check_scratch(&a, scratch, scratch_bytes, NULL);
    if (r != EPLB_OK) return r;
    if (!weight || !plan || !plan->phy2log) return EPLB_ERR_NULL;
    if (plan->log2phy && plan->log2phy_width > 0 &&
        !eplb_p_array_fits(c->shape.num_layers, c->shape.num_experts, plan->log2phy_width))
        return EPLB_ERR_OVERFLOW;
    a = eplb_p_arena_at(scratch);
    eplb_p_carve_call(&a, p);
    c->weight = weight;
    c->plan   = *plan;
    return EPLB_OK;
}

extern "C" eplb_result eplb_cuda_rebalance(const eplb_problem *problem, const eplb_options *options,
                                           const float *weight, const eplb_plan *plan, void *scratch,
                                           size_t scratch_bytes, cudaStream_t stream)
{
    eplb_p_cuda_plan p = EPLB_ZERO_INIT;
    eplb_result r = eplb_p_plan_call(problem, options, &p);

    if (r == EPLB_OK) r = eplb_p_attach(&p, weight, plan, scratch, scratch_bytes);
    if (r == EPLB_OK) r = eplb_p_launch_layers(&p, stream);
    if (r == EPLB_OK && p.packs_groups) r = eplb_p_launch_packing(&p, &p.groups, stream);
    if (r == EPLB_OK) r = eplb_p_launch_replicate(&p, stream);
    if (r == EPLB_OK) r = eplb_p_launch_packing(&p, &p.gpus, stream);
    return r;
}
