/* eplb_cuda.cu - the kernels behind eplb_cuda.h, and their launches.

   The order is that of eplb.h, in which a layer's load flows: loads, replicate, pack (initial, refine,
   select), finish, shares, calls. What decides where an expert goes is computed by functions of eplb.h.

     kernel     a block does                  from                     to
     layers     one layer                     weight                   load, group_load
     pack       one candidate of a packing    group_load or slot_load  its packs, or the finished packing
     select     one packing                   its candidates' packs    the finished packing
     replicate  one node of one layer         load, group_order        slot_load, slot_expert, slot_rank
     share      one layer                     phy2log, count           slot_count
     sources    one layer                     phy2log, source_count    quota

   Groups are packed onto nodes by pack and select first, slots onto GPUs last. Finishing the former
   writes group_order, finishing the latter the plan. Shares are calls of their own, of one kernel each. Each
   kernel takes one struct by value. */

#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#define EPLB_SCRATCH_ALIGN 256 /* of blocks in scratch, for coalesced access */
#include <cuda_runtime.h>

/* The team that levels a layer's shares in eplb.h is a warp; on the host nobody calls these. */
#define EPLB_P_TEAM 32
#if defined(__CUDA_ARCH__) || !defined(__CUDACC__)
#define EPLB_P_BY_WARP(by_warp, by_one) by_warp
#else
#define EPLB_P_BY_WARP(by_warp, by_one) by_one
#endif
#define EPLB_P_TEAM_FUNCTION static __host__ __device__ __forceinline__
EPLB_P_TEAM_FUNCTION int eplb_p_team_lane() { return EPLB_P_BY_WARP((int)threadIdx.x % 32, 0); }
EPLB_P_TEAM_FUNCTION void eplb_p_team_wait() { EPLB_P_BY_WARP(__syncwarp(), (void)0); }
EPLB_P_TEAM_FUNCTION int eplb_p_team_first(int x)
{
    return EPLB_P_BY_WARP((int)__shfl_sync(0xFFFFFFFFu, (unsigned)x, 0), x);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_sum(int x)
{
    return EPLB_P_BY_WARP((int)__reduce_add_sync(0xFFFFFFFFu, (unsigned)x), x);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_most(int x) /* by unsigned numbers in the order of signed ones */
{
    return EPLB_P_BY_WARP((int)(__reduce_max_sync(0xFFFFFFFFu, (unsigned)x ^ 0x80000000u) ^ 0x80000000u), x);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_rank(int is_true, int *num)
{
    unsigned all = EPLB_P_BY_WARP(__ballot_sync(0xFFFFFFFFu, is_true), (unsigned)is_true);
    *num = EPLB_P_BY_WARP(__popc(all), (int)all);
    return EPLB_P_BY_WARP(__popc(all & ((1u << eplb_p_team_lane()) - 1)), 0);
}

#include "eplb_cuda.h"

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

/* -------------------------------------------------------------------------------------- shares

   Block b does layer b. Its plan is read, and tokens are counted and linked, by all threads; experts pour by one
   warp, each when those before it on its GPUs have; levelling is the CPU's own code, by the same warp, of which one
   lane searches and pushes. Sums of whole numbers are the same in any order, so atomic ones are. */

/* The argument of both kernels of shares. */
struct eplb_p_cuda_shares {
    eplb_problem   problem;
    int32_t        how;
    const int32_t *phy2log, *count, *source_count; /* count or source_count */
    int32_t       *slot_count, *most, *quota, *layer_status;
    const int32_t *given;       /* [L, R] shares, for their sources */
    unsigned char *scratch;     /* NULL: a layer's state is in shared memory */
    size_t         layer_bytes; /* of its state */
    int32_t        workers;     /* experts whose tokens are sent at the same time */
};

static constexpr int64_t kTooMany = (int64_t)INT32_MAX + 1;
static constexpr size_t kReduceBytes = sizeof(uint64_t) * kMaxWarps;

/* The sum of numbers >= 0 over a block, in all its threads. What is above INT32_MAX is only known to be that. */
static __device__ int64_t eplb_p_block_sum(int64_t x, uint64_t *reduce)
{
    uint32_t part = (uint32_t)(x < kTooMany ? x : kTooMany);
    uint32_t low = __reduce_add_sync(kAllLanes, part & 0xFFFFFF), high = __reduce_add_sync(kAllLanes, part >> 24);
    int64_t sum = 0;
    int32_t warp;

    if (eplb_p_lane() == 0) reduce[eplb_p_warp()] = ((uint64_t)high << 24) + low;
    __syncthreads();
    for (warp = 0; warp < eplb_p_threads() / kWarp; warp++) sum += (int64_t)reduce[warp];
    __syncthreads();
    return sum;
}

/* The sum of x over the threads before this one; total is that over all. */
static __device__ int32_t eplb_p_block_scan(int32_t x, int32_t *total, uint64_t *reduce)
{
    int32_t upto = x, before = 0, step, warp;

    for (step = 1; step < kWarp; step *= 2) {
        int32_t other = (int32_t)__shfl_sync(kAllLanes, (uint32_t)upto, eplb_p_lane() - step);
        if (eplb_p_lane() >= step) upto += other;
    }
    if (eplb_p_lane() == kWarp - 1) reduce[eplb_p_warp()] = (uint64_t)upto;
    __syncthreads();
    *total = 0;
    for (warp = 0; warp < eplb_p_threads() / kWarp; warp++) {
        if (warp < eplb_p_warp()) before += (int32_t)reduce[warp];
        *total += (int32_t)reduce[warp];
    }
    __syncthreads();
    return before + upto - x;
}

/* This thread's part of n things, which stand together and in the order of the threads. */
struct eplb_p_part {
    int32_t first, end;
};

static __device__ eplb_p_part eplb_p_part_of(int32_t n)
{
    int32_t each = n / eplb_p_threads() + (n % eplb_p_threads() > 0);
    int64_t first = (int64_t)each * eplb_p_thread();
    eplb_p_part part;
    part.first = first < n ? (int32_t)first : n;
    part.end   = each < n - part.first ? part.first + each : n;
    return part;
}

/* Whether no slot before this one on its GPU holds its expert. */
static __device__ bool eplb_p_is_first_on_gpu(const int32_t *phy2log, int32_t slot, int32_t gpu_slots)
{
    int32_t other = slot / gpu_slots * gpu_slots;
    while (phy2log[other] != phy2log[slot]) other++;
    return other == slot;
}

static __device__ void eplb_p_find_homes_by_block(const eplb_p_sharer &s, const int32_t *phy2log)
{
    int32_t num_slots = s.num_gpus * s.gpu_slots, i;

    for (i = eplb_p_thread(); i < s.num_experts; i += eplb_p_threads()) {
        s.num_homes[i] = 0;
        s.home[i]      = -1;
    }
    for (i = eplb_p_thread(); i < s.num_gpus; i += eplb_p_threads()) s.load[i] = 0;
    __syncthreads();
    for (i = eplb_p_thread(); i < num_slots; i += eplb_p_threads()) {
        int32_t e = phy2log[i];
        if (!eplb_p_within(e, 0, s.num_experts - 1) || !eplb_p_is_first_on_gpu(phy2log, i, s.gpu_slots)) continue;
        atomicAdd(&s.num_homes[e], 1);
        atomicMax(&s.home[e], i / s.gpu_slots);
    }
    __syncthreads();
}

/* eplb_p_check_layer_counts, once homes are found; the same in all threads. */
static __device__ eplb_result eplb_p_check_counts_by_block(const eplb_p_sharer &s, const int32_t *phy2log,
                                                           const int32_t *count, int64_t *sum, uint64_t *reduce)
{
    enum { NO_EXPERT, NEGATIVE, HOMELESS, NOTHING }; /* the first of them is told */
    uint64_t wrong = NOTHING;
    int64_t tokens = 0;
    int32_t i;

    for (i = eplb_p_thread(); i < s.num_gpus * s.gpu_slots; i += eplb_p_threads())
        if (!eplb_p_within(phy2log[i], EPLB_P_EMPTY, s.num_experts - 1)) wrong = NO_EXPERT;
    for (i = eplb_p_thread(); i < s.num_experts; i += eplb_p_threads()) {
        if (count[i] < 0)
            wrong = eplb_p_smaller(wrong, NEGATIVE);
        else if (count[i] > 0 && s.num_homes[i] == 0)
            wrong = eplb_p_smaller(wrong, HOMELESS);
        else
            tokens += count[i];
    }
    wrong = eplb_p_block_min(wrong, reduce);
    *sum  = eplb_p_block_sum(tokens, reduce);
    if (wrong != NOTHING) return wrong == NEGATIVE ? EPLB_ERR_NEGATIVE : EPLB_ERR_PLAN;
    return *sum <= INT32_MAX ? EPLB_OK : EPLB_ERR_OVERFLOW;
}

/* eplb_p_spread_experts: home is then where the next link of a spread expert goes, before they are sorted. */
static __device__ void eplb_p_spread_by_block(eplb_p_sharer &s, const int32_t *count, int32_t sum, uint64_t *reduce)
{
    eplb_p_part mine = eplb_p_part_of(s.num_experts);
    int32_t links = 0, spreads = 0, num_links, e, i;
    uint32_t full = 0;

    for (e = mine.first; e < mine.end; e++) {
        bool is_spread = count[e] > 0 && s.num_homes[e] > 1;
        s.next_link[e] = is_spread ? 0 : EPLB_P_NO_LINK;
        links += is_spread ? s.num_homes[e] : 0;
        spreads += is_spread;
    }
    links   = eplb_p_block_scan(links, &num_links, reduce);
    spreads = eplb_p_block_scan(spreads, &s.num_spread, reduce);
    for (e = mine.first; e < mine.end; e++) {
        if (s.next_link[e] == EPLB_P_NO_LINK) {
            if (count[e] > 0) atomicAdd(&s.load[s.home[e]], count[e]);
            continue;
        }
        s.next_link[e] = s.home[e] = s.first_link[spreads] = links;
        s.spread_level[spreads]    = EPLB_P_UNSEEN;
        for (i = 0; i < s.num_homes[e]; i++, links++) {
            s.link_spread[links] = spreads;
            s.tokens[links]      = eplb_p_even_share(count[e], s.num_homes[e], i);
        }
        spreads++;
    }
    if (eplb_p_thread() == 0 && s.num_spread > 0) s.first_link[s.num_spread] = num_links;
    __syncthreads();
    for (i = eplb_p_thread(); i < s.num_gpus; i += eplb_p_threads())
        if ((uint32_t)s.load[i] > full) full = (uint32_t)s.load[i];
    s.least_most = (int32_t)eplb_p_block_max_bits(full, reduce);
    if (s.least_most < eplb_p_mean_up(sum, s.num_gpus)) s.least_most = eplb_p_mean_up(sum, s.num_gpus);
}

/* The place of a GPU or slot among those of an expert, which stand in any order. */
static __device__ int32_t eplb_p_rank_among(const int32_t *all, int32_t n, int32_t one)
{
    int32_t rank = 0, i;
    for (i = 0; i < n; i++) rank += all[i] < one;
    return rank;
}

/* eplb_p_link_gpus. Until they are sorted, the GPUs of links are in spread_at. */
static __device__ void eplb_p_link_by_block(const eplb_p_sharer &s, const int32_t *phy2log, uint64_t *reduce)
{
    eplb_p_part mine = eplb_p_part_of(s.num_gpus * s.gpu_slots);
    int32_t at = 0, num_links, slot, e;

    for (slot = mine.first; slot < mine.end; slot++) {
        e = phy2log[slot];
        s.slot_link[slot] = EPLB_P_NO_LINK;
        if (e == EPLB_P_EMPTY || s.next_link[e] == EPLB_P_NO_LINK) continue;
        if (!eplb_p_is_first_on_gpu(phy2log, slot, s.gpu_slots)) continue;
        s.slot_link[slot] = 0; /* one is wanted */
        s.spread_at[atomicAdd(&s.home[e], 1)] = slot / s.gpu_slots;
        at++;
    }
    at = eplb_p_block_scan(at, &num_links, reduce);
    for (slot = mine.first; slot < mine.end; slot++) {
        int32_t gpu = slot / s.gpu_slots, link;
        bool is_first = s.slot_link[slot] != EPLB_P_NO_LINK;
        e = phy2log[slot];
        if (slot % s.gpu_slots == 0) s.gpu_first[gpu] = at;
        if (e != EPLB_P_EMPTY && s.next_link[e] != EPLB_P_NO_LINK) {
            link = s.next_link[e] + eplb_p_rank_among(s.spread_at + s.next_link[e], s.num_homes[e], gpu);
            s.slot_link[slot] = link;
            if (is_first) {
                s.link_gpu[link] = gpu;
                s.gpu_link[at++] = link;
                atomicAdd(&s.load[gpu], s.tokens[link]);
            }
        }
        if ((slot + 1) % s.gpu_slots == 0) s.gpu_end[gpu] = at;
    }
    __syncthreads();
}

/* Fill by a warp. On each GPU the experts take turns in their order, sweep by sweep; an expert whose turn it is on
   all of its GPUs pours, and others do so at the same time elsewhere. */
struct eplb_p_turns {
    int32_t *turn;     /* [R] of each link on its GPU */
    int32_t *poured;   /* [G] turns that are over */
    int32_t *sweep;    /* [R] of each spread expert, the next one */
};

static __device__ eplb_p_turns eplb_p_find_turns(const eplb_p_sharer &s)
{
    eplb_p_turns t = {s.reached_spread, s.reached, s.spread_at};
    int32_t gpu, spread, i, other;

    for (spread = eplb_p_thread(); spread < s.num_spread; spread += eplb_p_threads()) t.sweep[spread] = 0;
    for (gpu = eplb_p_thread(); gpu < s.num_gpus; gpu += eplb_p_threads()) {
        t.poured[gpu] = 0;
        for (i = s.gpu_first[gpu]; i < s.gpu_end[gpu]; i++) {
            int32_t before = 0, link = s.gpu_link[i];
            for (other = s.gpu_first[gpu]; other < s.gpu_end[gpu]; other++)
                before += s.link_spread[s.gpu_link[other]] < s.link_spread[link];
            t.turn[link] = before;
        }
    }
    return t;
}

static __device__ bool eplb_p_is_its_turn(const eplb_p_sharer &s, const eplb_p_turns &t, int32_t spread)
{
    bool is_it = true;
    int32_t i;

    for (i = s.first_link[spread]; i < s.first_link[spread + 1]; i++) {
        int32_t gpu = s.link_gpu[i];
        is_it &= t.poured[gpu] == t.sweep[spread] * (s.gpu_end[gpu] - s.gpu_first[gpu]) + t.turn[i];
    }
    return is_it;
}

static __device__ void eplb_p_take_turn(eplb_p_sharer *s, const eplb_p_turns &t, int32_t spread)
{
    int32_t i;

    eplb_p_pour_anew(s, spread);
    t.sweep[spread]++;
    for (i = s->first_link[spread]; i < s->first_link[spread + 1]; i++) t.poured[s->link_gpu[i]]++;
}

static __device__ void eplb_p_fill_by_warp(eplb_p_sharer *s, const eplb_p_turns &t, int32_t num_sweeps)
{
    bool waits = true;
    int32_t first;

    while (__ballot_sync(kAllLanes, waits)) {
        waits = false;
        for (first = 0; first < s->num_spread; first += kWarp) {
            int32_t spread = first + eplb_p_lane();
            bool goes_on = spread < s->num_spread && t.sweep[spread] < num_sweeps;
            bool pours = goes_on && eplb_p_is_its_turn(*s, t, spread);
            __syncwarp();
            if (pours) eplb_p_take_turn(s, t, spread);
            __syncwarp();
            waits |= goes_on;
        }
    }
}

/* A slot's part of what its expert has on its GPU. */
static __device__ int32_t eplb_p_share_of_slot(const eplb_p_sharer &s, const int32_t *phy2log, const int32_t *count,
                                               int32_t slot)
{
    int32_t first = slot / s.gpu_slots * s.gpu_slots, copies = 0, rank = 0, other;
    int32_t served = s.slot_link[slot] != EPLB_P_NO_LINK ? s.tokens[s.slot_link[slot]] : count[phy2log[slot]];

    for (other = first; other < first + s.gpu_slots; other++) {
        copies += phy2log[other] == phy2log[slot];
        rank += phy2log[other] == phy2log[slot] && other < slot;
    }
    return copies == 1 ? served : eplb_p_even_share(served, copies, rank);
}

/* A layer that cannot be done. */
static __device__ void eplb_p_refuse_layer(int32_t *out, size_t n)
{
    size_t i;
    for (i = (size_t)eplb_p_thread(); i < n; i += (size_t)eplb_p_threads()) out[i] = 0;
}

static __device__ void eplb_p_solve_layer(eplb_p_sharer *s, int32_t how)
{
    if (how == EPLB_SHARE_FAIR)
        eplb_p_share_fairly(s);
    else
        eplb_p_share_least_max(s);
}

/* Where a layer's state is, 256 bytes aligned or not: the arena sees to that. */
static __device__ eplb_p_arena eplb_p_layer_arena(const eplb_p_cuda_shares &c, int32_t layer)
{
    if (c.scratch) return eplb_p_arena_at(c.scratch + (size_t)layer * c.layer_bytes);
    return eplb_p_arena_at(eplb_p_shared + kReduceBytes);
}

static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_share_kernel(const __grid_constant__ eplb_p_cuda_shares c)
{
    uint64_t *reduce = (uint64_t *)eplb_p_shared;
    int32_t layer = (int32_t)blockIdx.x, slot, num_slots = c.problem.num_replicas, most;
    const int32_t *phy2log = c.phy2log + eplb_p_at(layer, num_slots, 0);
    const int32_t *count = c.count + eplb_p_at(layer, c.problem.num_experts, 0);
    int32_t *slot_count = c.slot_count + eplb_p_at(layer, num_slots, 0);
    eplb_p_arena a = eplb_p_layer_arena(c, layer);
    eplb_p_sharer s = eplb_p_carve_sharer(&a, &c.problem);
    eplb_p_turns turns;
    eplb_result result;
    int64_t sum;

    eplb_p_find_homes_by_block(s, phy2log);
    result = eplb_p_check_counts_by_block(s, phy2log, count, &sum, reduce);
    if (c.layer_status && eplb_p_thread() == 0) c.layer_status[layer] = result;
    if (result != EPLB_OK) {
        eplb_p_refuse_layer(slot_count, (size_t)num_slots);
        if (c.most && eplb_p_thread() == 0) c.most[layer] = 0;
        return;
    }
    eplb_p_spread_by_block(s, count, (int32_t)sum, reduce);
    eplb_p_link_by_block(s, phy2log, reduce);
    turns = eplb_p_find_turns(s);
    __syncthreads();
    if (eplb_p_warp() == 0) {
        eplb_p_fill_by_warp(&s, turns, eplb_p_num_sweeps(c.how));
        eplb_p_solve_layer(&s, c.how);
        most = eplb_p_most_tokens(&s);
        if (eplb_p_lane() == 0 && c.most) c.most[layer] = most;
    }
    __syncthreads();
    for (slot = eplb_p_thread(); slot < num_slots; slot += eplb_p_threads())
        slot_count[slot] = phy2log[slot] == EPLB_P_EMPTY ? 0 : eplb_p_share_of_slot(s, phy2log, count, slot);
}

/* shares: sources */

/* A dealer, and for each worker what waits of one expert. */
struct eplb_p_cuda_dealer {
    eplb_p_dealer of_layer;
    int32_t *spread;  /* [E] experts in several slots */
    int32_t *waiting; /* [workers, row] */
    int32_t  row;     /* odd, so that workers look at different banks of shared memory */
    int32_t  num_spread;
};

EPLB_P_HD eplb_p_cuda_dealer eplb_p_carve_cuda_dealer(eplb_p_arena *a, const eplb_problem *problem, int32_t workers)
{
    eplb_p_cuda_dealer d = EPLB_ZERO_INIT;
    d.of_layer = eplb_p_carve_dealer(a, problem);
    d.row      = problem->num_gpus | 1;
    d.spread   = (int32_t *)eplb_p_take(a, problem->num_experts, sizeof(int32_t));
    d.waiting  = (int32_t *)eplb_p_take(a, workers, sizeof(int32_t) * (size_t)d.row);
    return d;
}

/* What waits, in order: the code of what is found wrong first. The sum is of all that waits. */
static __device__ eplb_result eplb_p_check_waiting_by_block(const eplb_p_dealer &d, const int32_t *source_count,
                                                            int64_t *sum, uint64_t *reduce)
{
    uint64_t n = (uint64_t)d.num_gpus * (uint64_t)d.num_experts, negative = kLast, i;
    int64_t tokens = 0;
    int32_t gpu, e;

    for (e = eplb_p_thread(); e < d.num_experts; e += eplb_p_threads()) d.num_copies[e] = d.first_slot[e] = 0;
    for (i = (uint64_t)eplb_p_thread(); i < n && negative == kLast; i += (uint64_t)eplb_p_threads())
        if (source_count[i] < 0) negative = i;
    negative = eplb_p_block_min(negative, reduce);
    for (i = (uint64_t)eplb_p_thread(); i < n && i < negative; i += (uint64_t)eplb_p_threads())
        tokens += source_count[i];
    *sum = eplb_p_block_sum(tokens, reduce);
    if (*sum > INT32_MAX) return EPLB_ERR_OVERFLOW;
    if (negative != kLast) return EPLB_ERR_NEGATIVE;
    for (e = eplb_p_thread(); e < d.num_experts; e += eplb_p_threads())
        for (gpu = 0; gpu < d.num_gpus; gpu++) d.num_copies[e] += source_count[eplb_p_at(gpu, d.num_experts, e)];
    __syncthreads();
    return EPLB_OK;
}

/* What is shared out, slot by slot. */
static __device__ eplb_result eplb_p_check_given_by_block(const eplb_p_dealer &d, const int32_t *phy2log,
                                                          const int32_t *given, int64_t waiting, uint64_t *reduce)
{
    uint64_t first = kLast;
    int64_t shared = 0, end = d.num_slots;
    int32_t slot;

    for (slot = eplb_p_thread(); slot < d.num_slots && first == kLast; slot += eplb_p_threads()) {
        if (!eplb_p_within(phy2log[slot], EPLB_P_EMPTY, d.num_experts - 1))
            first = (uint64_t)slot << 8 | (uint64_t)-EPLB_ERR_PLAN;
        else if (given[slot] < 0)
            first = (uint64_t)slot << 8 | (uint64_t)-EPLB_ERR_NEGATIVE;
    }
    first = eplb_p_block_min(first, reduce);
    if (first != kLast) end = (int64_t)(first >> 8);
    for (slot = eplb_p_thread(); slot < end; slot += eplb_p_threads()) {
        shared += given[slot];
        if (phy2log[slot] == EPLB_P_EMPTY) continue;
        atomicAdd(&d.first_slot[phy2log[slot]], 1);
    }
    if (eplb_p_block_sum(shared, reduce) > waiting) return EPLB_ERR_SHARES;
    return first == kLast ? EPLB_OK : -(eplb_result)(first & 255);
}

/* eplb_p_check_layer_sources; the same in all threads. first_slot then counts slots. */
static __device__ eplb_result eplb_p_check_sources_by_block(const eplb_p_dealer &d, const int32_t *phy2log,
                                                            const int32_t *source_count, const int32_t *given,
                                                            uint64_t *reduce)
{
    uint64_t first = kLast;
    int64_t waiting;
    int32_t e, slot;
    eplb_result r = eplb_p_check_waiting_by_block(d, source_count, &waiting, reduce);

    if (r == EPLB_OK) r = eplb_p_check_given_by_block(d, phy2log, given, waiting, reduce);
    if (r != EPLB_OK) return r;
    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads())
        if (phy2log[slot] != EPLB_P_EMPTY) atomicAdd(&d.num_copies[phy2log[slot]], -given[slot]);
    __syncthreads();
    for (e = eplb_p_thread(); e < d.num_experts && first == kLast; e += eplb_p_threads()) {
        if (d.num_copies[e] == 0) continue;
        r = d.num_copies[e] > 0 && d.first_slot[e] == 0 ? EPLB_ERR_PLAN : EPLB_ERR_SHARES;
        first = (uint64_t)e << 8 | (uint64_t)-r;
    }
    first = eplb_p_block_min(first, reduce);
    return first == kLast ? EPLB_OK : -(eplb_result)(first & 255);
}

/* eplb_p_sort_slots, where first_slot counts slots. Until they are sorted, slots stand in room. */
static __device__ void eplb_p_sort_slots_by_block(eplb_p_cuda_dealer *all, const int32_t *phy2log, uint64_t *reduce)
{
    const eplb_p_dealer &d = all->of_layer;
    eplb_p_part mine = eplb_p_part_of(d.num_experts);
    int32_t slots = 0, spreads = 0, num_slots, e, slot, i;

    for (e = mine.first; e < mine.end; e++) {
        slots += d.first_slot[e];
        spreads += d.first_slot[e] > 1;
    }
    slots   = eplb_p_block_scan(slots, &num_slots, reduce);
    spreads = eplb_p_block_scan(spreads, &all->num_spread, reduce);
    for (e = mine.first; e < mine.end; e++) {
        int32_t copies = d.first_slot[e];
        if (copies > 1) all->spread[spreads++] = e;
        d.num_copies[e] = 0;
        d.first_slot[e] = slots;
        slots += copies;
    }
    __syncthreads();
    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads())
        if (phy2log[slot] != EPLB_P_EMPTY)
            d.room[d.first_slot[phy2log[slot]] + atomicAdd(&d.num_copies[phy2log[slot]], 1)] = slot;
    __syncthreads();
    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads()) {
        e = phy2log[slot];
        if (e == EPLB_P_EMPTY) continue;
        i = eplb_p_rank_among(d.room + d.first_slot[e], d.num_copies[e], slot);
        d.expert_slot[d.first_slot[e] + i] = slot;
    }
    __syncthreads();
}

/* An expert's only slot gets all that waits for it, and other slots nothing yet. */
static __device__ void eplb_p_deal_single_slots(const eplb_p_dealer &d, const int32_t *phy2log,
                                                const int32_t *source_count, const int32_t *given, int32_t *quota)
{
    int32_t gpu, slot;

    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads()) d.room[slot] = given[slot];
    for (gpu = eplb_p_warp(); gpu < d.num_gpus; gpu += eplb_p_threads() / kWarp) {
        const int32_t *waits = source_count + eplb_p_at(gpu, d.num_experts, 0);
        for (slot = eplb_p_lane(); slot < d.num_slots; slot += kWarp) {
            int32_t e = phy2log[slot];
            bool is_single = e != EPLB_P_EMPTY && d.num_copies[e] == 1;
            quota[eplb_p_at(gpu, d.num_slots, slot)] = is_single ? waits[e] : 0;
        }
    }
}

/* So many experts at once, a thread each. */
static __device__ void eplb_p_deal_by_block(const eplb_p_cuda_dealer &all, int32_t workers,
                                            const int32_t *source_count, int32_t *quota)
{
    eplb_p_dealer d = all.of_layer;
    int32_t first, worker, gpu;

    for (first = 0; first < all.num_spread; first += workers) {
        int32_t num = all.num_spread - first < workers ? all.num_spread - first : workers;
        for (gpu = eplb_p_warp(); gpu < d.num_gpus; gpu += eplb_p_threads() / kWarp)
            for (worker = eplb_p_lane(); worker < num; worker += kWarp)
                all.waiting[eplb_p_at(worker, all.row, gpu)] =
                    source_count[eplb_p_at(gpu, d.num_experts, all.spread[first + worker])];
        __syncthreads();
        if (eplb_p_thread() < num) {
            d.waiting = all.waiting + eplb_p_at(eplb_p_thread(), all.row, 0);
            eplb_p_deal_expert(&d, all.spread[first + eplb_p_thread()], quota);
        }
        __syncthreads();
    }
}

static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_sources_kernel(const __grid_constant__ eplb_p_cuda_shares c)
{
    uint64_t *reduce = (uint64_t *)eplb_p_shared;
    int32_t layer = (int32_t)blockIdx.x;
    size_t slots = (size_t)c.problem.num_replicas;
    const int32_t *phy2log = c.phy2log + (size_t)layer * slots, *given = c.given + (size_t)layer * slots;
    size_t sources = eplb_p_at(c.problem.num_gpus, c.problem.num_experts, 0);
    size_t quotas = eplb_p_at(c.problem.num_gpus, c.problem.num_replicas, 0);
    const int32_t *source_count = c.source_count + (size_t)layer * sources;
    int32_t *quota = c.quota + (size_t)layer * quotas;
    eplb_p_arena a = eplb_p_layer_arena(c, layer);
    eplb_p_cuda_dealer d = eplb_p_carve_cuda_dealer(&a, &c.problem, c.workers);
    eplb_result result = eplb_p_check_sources_by_block(d.of_layer, phy2log, source_count, given, reduce);

    if (c.layer_status && eplb_p_thread() == 0) c.layer_status[layer] = result;
    if (result != EPLB_OK) {
        eplb_p_refuse_layer(quota, quotas);
        return;
    }
    eplb_p_sort_slots_by_block(&d, phy2log, reduce);
    eplb_p_deal_single_slots(d.of_layer, phy2log, source_count, given, quota);
    __syncthreads();
    eplb_p_deal_by_block(d, c.workers, source_count, quota);
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

template <class Call>
static eplb_result eplb_p_launch(void (*kernel)(Call), int32_t blocks, int32_t threads, size_t shared_bytes,
                                 const Call *call, cudaStream_t stream)
{
    Call copy = *call;
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

/* calls: shares */

/* Threads for experts in several slots, of which each has room for what waits for its expert. */
static int32_t eplb_p_num_workers(const eplb_problem *problem)
{
    int32_t most = problem->num_replicas / 2;
    if (most > problem->num_experts) most = problem->num_experts;
    return eplb_p_threads_for(most > 1 ? most : 1, kMaxThreads);
}

/* Bytes of a layer's state: of a sharer, or of a dealer. 0: they overflow. */
static size_t eplb_p_share_bytes(const eplb_problem *problem, int32_t workers)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    if (workers > 0)
        eplb_p_carve_cuda_dealer(&a, problem, workers);
    else
        eplb_p_carve_sharer(&a, problem);
    return a.overflowed ? 0 : eplb_p_arena_bytes(&a);
}

static size_t eplb_p_layer_in_scratch(size_t bytes) { return kReduceBytes + bytes <= kMaxShared ? 0 : bytes; }

extern "C" eplb_result eplb_cuda_share_scratch_size(const eplb_problem *problem, size_t *bytes)
{
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_result r = eplb_p_resolve_sharing(problem, &shape);
    size_t sharer, dealer, layer;

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    if (shape.usable_slots || shape.speed || shape.node_of) return EPLB_ERR_OPTION; /* GPUs are not alike */
    sharer = eplb_p_share_bytes(problem, 0);
    dealer = eplb_p_share_bytes(problem, eplb_p_num_workers(problem));
    if (sharer == 0 || dealer == 0) return EPLB_ERR_OVERFLOW;
    layer = eplb_p_layer_in_scratch(sharer > dealer ? sharer : dealer);
    if (layer > 0 && (size_t)problem->num_layers > SIZE_MAX / layer) return EPLB_ERR_OVERFLOW;
    *bytes = layer > 0 ? layer * (size_t)problem->num_layers : 1;
    return EPLB_OK;
}

/* What both calls check, and where the state of their layers is to be. */
static eplb_result eplb_p_open_shares(eplb_p_cuda_shares *c, const eplb_problem *problem, int32_t workers,
                                      void *scratch, size_t scratch_bytes, size_t *shared)
{
    size_t needed = 0, bytes;
    eplb_result r = eplb_cuda_share_scratch_size(problem, &needed);

    if (r != EPLB_OK) return r;
    if (!scratch) return EPLB_ERR_NULL;
    if (scratch_bytes < needed) return EPLB_ERR_SCRATCH_SIZE;
    bytes = eplb_p_share_bytes(problem, workers);
    c->problem     = *problem;
    c->workers     = workers;
    c->layer_bytes = eplb_p_layer_in_scratch(bytes);
    c->scratch     = c->layer_bytes > 0 ? (unsigned char *)scratch : NULL;
    *shared        = kReduceBytes + (c->scratch ? 0 : bytes);
    return EPLB_OK;
}

extern "C" eplb_result eplb_cuda_share(const eplb_problem *problem, const int32_t *phy2log, const int32_t *count,
                                       int32_t how, int32_t *slot_count, int32_t *most, int32_t *layer_status,
                                       void *scratch, size_t scratch_bytes, cudaStream_t stream)
{
    eplb_p_cuda_shares c = EPLB_ZERO_INIT;
    size_t shared;
    eplb_result r;

    if (!problem || !phy2log || !count || !slot_count) return EPLB_ERR_NULL;
    if (!eplb_p_is_one_of(how, EPLB_NUM_SHARES)) return EPLB_ERR_OPTION;
    r = eplb_p_open_shares(&c, problem, 0, scratch, scratch_bytes, &shared);
    if (r != EPLB_OK) return r;
    c.how          = how;
    c.phy2log      = phy2log;
    c.count        = count;
    c.slot_count   = slot_count;
    c.most         = most;
    c.layer_status = layer_status;
    return eplb_p_launch(eplb_p_share_kernel, problem->num_layers,
                         eplb_p_threads_for(problem->num_replicas, kMaxThreads), shared, &c, stream);
}

extern "C" eplb_result eplb_cuda_share_sources(const eplb_problem *problem, const int32_t *phy2log,
                                               const int32_t *source_count, const int32_t *slot_count, int32_t *quota,
                                               int32_t *layer_status, void *scratch, size_t scratch_bytes,
                                               cudaStream_t stream)
{
    eplb_p_cuda_shares c = EPLB_ZERO_INIT;
    size_t shared;
    eplb_result r;

    if (!problem || !phy2log || !source_count || !slot_count || !quota) return EPLB_ERR_NULL;
    r = eplb_p_open_shares(&c, problem, eplb_p_num_workers(problem), scratch, scratch_bytes, &shared);
    if (r != EPLB_OK) return r;
    c.phy2log      = phy2log;
    c.source_count = source_count;
    c.given        = slot_count;
    c.quota        = quota;
    c.layer_status = layer_status;
    return eplb_p_launch(eplb_p_sources_kernel, problem->num_layers, kMaxThreads, shared, &c, stream);
}
