/* eplb_cuda.cu - the kernels behind eplb_cuda.h, and their launches.

   The order is that of eplb.h, in which a layer's load flows: loads, replicate, finish, pack (initial, refine,
   candidates), a node in one block, shares, a layer by a warp or a thread, calls. What decides where an expert goes is
   computed by functions of eplb.h.

     kernel     a block does                  from                     to
     plan       one node of one layer         weight                   the plan; or as replicate
     layers     one layer                     weight                   load, group_load
     pack       one candidate of a packing    group_load or slot_load  its packs; the last one: the packing
     replicate  one node of one layer         load, group_order        slot_load, slot_expert, slot_rank
     share      one layer                     phy2log, count           slot_count
     sources    one layer                     phy2log, source_count    quota
     alone      one layer, by a warp or       weight                   the plan, of all that the others do not know
                by one thread
     evaluate   one layer, by a warp          weight, phy2log          the report
     .._alone   one layer, by one thread      as share, and sources    as these, where GPUs are not alike
     cluster    what is in its argument       the host                 scratch

   Where a node of a layer fits a block, plan does it all, or, where several candidates pack its slots, all but
   that. Else layers, pack of groups onto nodes, which writes group_order, replicate, and pack of slots onto GPUs, which
   writes the plan. Shares are calls of their own, of one kernel each where GPUs are alike. Each kernel takes one struct
   by value. Loops are not unrolled but where many trips do not wait for one another: most have few, which nvcc would
   divide to count, and a GPU waits for code that it has not run yet.
   Functions are named by who works: _by_block is called by all threads of a block, _by_warp by those of a warp, all
   others by each thread for itself. */

#define EPLB_STATIC
#define EPLB_IMPLEMENTATION
#define EPLB_NO_SIMD           /* nvcc has none, and so the emulation runs what a GPU does */
#define EPLB_SCRATCH_ALIGN 256 /* of blocks in scratch, for coalesced access */
#include <cuda_runtime.h>

/* The team of eplb.h is a warp, or the only thread of a block that plans a layer by one, which then is the only lane of
   a mask: a branch would take longer than to ask it. On the host nobody calls these. */
#define EPLB_P_TEAM  eplb_p_team()
#define EPLB_P_PARTS 8 /* of a warp */
#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__CUDA_ARCH__) || !defined(__CUDACC__)
#define EPLB_P_BY_WARP(by_warp, by_one) by_warp
#else
#define EPLB_P_BY_WARP(by_warp, by_one) by_one
#endif
#define EPLB_P_TEAM_FUNCTION static __host__ __device__ __forceinline__
EPLB_P_TEAM_FUNCTION int eplb_p_team() { return EPLB_P_BY_WARP(blockDim.x == 1 ? 1 : 32, 1); }
EPLB_P_TEAM_FUNCTION int eplb_p_team_lane() { return EPLB_P_BY_WARP((int)threadIdx.x % 32, 0); }
EPLB_P_TEAM_FUNCTION unsigned eplb_p_team_mask() { return 0xFFFFFFFFu >> (32 - eplb_p_team()); }
EPLB_P_TEAM_FUNCTION void eplb_p_team_wait() { EPLB_P_BY_WARP(__syncwarp(eplb_p_team_mask()), (void)0); }
EPLB_P_TEAM_FUNCTION int eplb_p_team_from(int x, int lane)
{
    (void)lane;
    return EPLB_P_BY_WARP((int)__shfl_sync(eplb_p_team_mask(), (unsigned)x, lane), x);
}
EPLB_P_TEAM_FUNCTION int64_t eplb_p_team_from64(int64_t x, int lane)
{
    unsigned high = (unsigned)eplb_p_team_from((int)(x >> 32), lane);
    return (int64_t)((uint64_t)high << 32 | (unsigned)eplb_p_team_from((int)x, lane));
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_first(int x) { return eplb_p_team_from(x, 0); }
EPLB_P_TEAM_FUNCTION int eplb_p_team_sum(int x)
{
    return EPLB_P_BY_WARP((int)__reduce_add_sync(eplb_p_team_mask(), (unsigned)x), x);
}
EPLB_P_TEAM_FUNCTION int64_t eplb_p_team_sum64(int64_t x) /* by 27 bits, of which 32 times as many fit a word */
{
    uint64_t low = (unsigned)eplb_p_team_sum((int)(x & 0x7FFFFFF)), high = (unsigned)eplb_p_team_sum((int)(x >> 54));
    uint64_t middle = (unsigned)eplb_p_team_sum((int)(x >> 27 & 0x7FFFFFF));
    return (int64_t)(low + (middle << 27) + (high << 54));
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_most(int x) /* by unsigned numbers in the order of signed ones */
{
    return EPLB_P_BY_WARP((int)(__reduce_max_sync(eplb_p_team_mask(), (unsigned)x ^ 0x80000000u) ^ 0x80000000u), x);
}
EPLB_P_TEAM_FUNCTION int64_t eplb_p_team_most64(int64_t x)
{
    int high = eplb_p_team_most((int)(x >> 32)), low = (int)((unsigned)x ^ 0x80000000u);
    low = eplb_p_team_most(high == (int)(x >> 32) ? low : INT32_MIN);
    return (int64_t)((uint64_t)(unsigned)high << 32 | ((unsigned)low ^ 0x80000000u));
}
EPLB_P_TEAM_FUNCTION double eplb_p_team_most_double(double x)
{
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = eplb_p_team_most64(bits);
    memcpy(&x, &bits, sizeof x);
    return x;
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_first_most(int x, int order)
{
    int most = eplb_p_team_most(x);
    return ~eplb_p_team_most(x == most ? ~order : INT32_MIN);
}
EPLB_P_TEAM_FUNCTION unsigned eplb_p_team_all(int is_true) /* a bit for each lane in which it is */
{
    return EPLB_P_BY_WARP(__ballot_sync(eplb_p_team_mask(), is_true), (unsigned)is_true);
}
EPLB_P_TEAM_FUNCTION unsigned eplb_p_team_before() { return (1u << eplb_p_team_lane()) - 1; }
EPLB_P_TEAM_FUNCTION int eplb_p_team_rank(int is_true, int *num)
{
    unsigned all = eplb_p_team_all(is_true);
    *num = EPLB_P_BY_WARP(__popc(all), (int)all);
    return EPLB_P_BY_WARP(__popc(all & eplb_p_team_before()), 0);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_equal(int x, int *is_last)
{
    unsigned all = EPLB_P_BY_WARP(__match_any_sync(eplb_p_team_mask(), (unsigned)x), 1);
    (void)x; /* which the host does not ask */
    *is_last = all >> eplb_p_team_lane() == 1;
    return EPLB_P_BY_WARP(__popc(all & eplb_p_team_before()), 0);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_any(int is_true)
{
    const int lanes = 32 / EPLB_P_PARTS, first = eplb_p_team_lane() / lanes * lanes;
    return (eplb_p_team_all(is_true) >> first & ((1u << lanes) - 1)) != 0;
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_lead(int is_true)
{
    unsigned all = eplb_p_team_all(is_true);
    unsigned first = EPLB_P_BY_WARP((unsigned)__ffs((int)all), all) - 1, none = (unsigned)eplb_p_team();
    return (int)(first < none ? first : none);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_least(int64_t x, int order)
{
    const int words[3] = {(int)(x >> 32), (int)((unsigned)x ^ 0x80000000u), order};
    int is_least = 1, i;
    for (i = 0; i < 3; i++) {
        int most = eplb_p_team_most(is_least ? ~words[i] : INT32_MIN);
        is_least = is_least && ~words[i] == most;
    }
    return eplb_p_team_lead(is_least);
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_each(int n) { return eplb_p_team() > n ? eplb_p_team() / n : 1; }
EPLB_P_TEAM_FUNCTION void eplb_p_team_add(int64_t *to, int64_t x)
{
    EPLB_P_BY_WARP((void)atomicAdd((unsigned long long *)to, (unsigned long long)x), (void)(*to += x));
}
EPLB_P_TEAM_FUNCTION int eplb_p_team_count(int *to, int x) { return EPLB_P_BY_WARP(atomicAdd(to, x), (*to += x) - x); }
EPLB_P_TEAM_FUNCTION void eplb_p_team_copy(int *to, const int *from, int n)
{
    int i;
    for (i = eplb_p_team_lane(); i < n; i += eplb_p_team()) to[i] = from[i];
}
EPLB_P_TEAM_FUNCTION void eplb_p_team_copy_loads(float *to, const float *from, int n)
{
    int i;
    for (i = eplb_p_team_lane(); i < n; i += eplb_p_team()) to[i] = from[i];
}
EPLB_P_TEAM_FUNCTION void eplb_p_team_fill(int *to, int first, int step, int n)
{
    int i;
    for (i = eplb_p_team_lane(); i < n; i += eplb_p_team()) to[i] = first + i * step;
}
static __host__ __device__ void *eplb_p_team_room(void *own);
static __host__ __device__ void eplb_p_team_sort(uint64_t *key, uint64_t *spare, int n);
#define EPLB_P_TEAM_PACKS
struct eplb_p_packer;
static __host__ __device__ int eplb_p_team_packs(eplb_p_packer *p);

#include "eplb_cuda.h"

enum : int32_t {
    kWarp = 32,
    kMaxThreads = 768, /* of a block that plans */
    kMaxWarps = kMaxThreads / kWarp,
    kPackThreads = 512,  /* of one that packs a candidate, at most: two fit an SM, */
    kFewThreads = 64,    /* and at least, where it has so much to do */
    kThreadsOnSm = 1024, /* that fit one if each keeps to 64 registers, */
    kSms = 128,          /* of about as many */
    kShareThreads = 256, /* of one that shares */
    kShareWarps = kShareThreads / kWarp,
    kRun = 64,          /* keys that are sorted by counting, before runs of them are merged */
    kMostTooMany = 256, /* bids of an auction beyond the slots there are */
    kGuesses = 4,       /* of its floor, before it is bisected */
    kShortRound = 3,    /* items: a round of LPT that gives fewer is worth less than single steps, */
    kSteps = 16,        /* of which there are so many then */
    kAtOnce = 10,       /* loads of a pack that are read before the first is added: most packs have no more */
    kHalf = kWarp / 2,  /* lanes that exchange an item of one of two packs */
    kFewHeavy = 4,      /* packs that PAIR_SCAN tries, as far as which they need not be in order */
    kWarpItems = 128,   /* among which a warp finds a swap sooner than all warps tell one another theirs */
    kMaxIds = 65535,    /* positions that 16 bits tell apart */
    kPackBits = 10,     /* of a pack's number, */
    kPackMask = (1 << kPackBits) - 1,
    kTurnShift = 32 + kPackBits, /* behind which, and behind the bits of its load, is whose turn it is */
    kMostNodes = 16,             /* that pack all groups of their layer, each for itself */
    kInFlight = 256, /* layers that are done at once by a thread each, at most; others wait for their scratch */
    kWords = 896     /* that a kernel's argument, of 4 KiB at most, holds beside a few others */
};

static constexpr uint32_t kAllLanes = 0xFFFFFFFFu;
static constexpr uint32_t kNone = 0xFFFFFFFFu;     /* behind every load's bits and every index */
static constexpr uint32_t kInfinite = 0x7F800000u; /* the bits above those of all finite loads */
static constexpr uint32_t kMinusZero = 0x80000000u;
static constexpr uint64_t kLast = ~(uint64_t)0; /* a key behind every other */

static_assert(EPLB_NUM_REFINEMENTS == EPLB_REFINE_L2 + 1 && EPLB_NUM_INITS == EPLB_INIT_ZIGZAG + 1,
              "the kernels know every way to pack");

/* What a block may have without asking for more. An item takes 14 bytes in a candidate, a pack 18 at most; 2048 cover
   what does not grow. Where the experts of a node do not fit beside that, packing is a kernel of its own. */
static constexpr uint32_t kMaxShared = 48 * 1024;
static_assert(EPLB_CUDA_MAX_PACKS <= 1 << kPackBits, "packs have numbers");

/* What plans a layer by itself, and behind it three rows of a warp, for LPT; or what follows the plan in force. */
static constexpr uint32_t kPlanningBytes = (sizeof(eplb_p_planning) + 15) / 16 * 16;
static constexpr uint32_t kRowsBytes = 3 * kWarp * sizeof(uint32_t);
static constexpr uint32_t kRoomBytes = sizeof(eplb_p_follower) > kRowsBytes ? sizeof(eplb_p_follower) : kRowsBytes;
static constexpr uint32_t kAloneBytes = kPlanningBytes + kRoomBytes;
static_assert(sizeof(eplb_p_keeper) <= kRoomBytes, "what keeps slots has room where what follows has");
static_assert(sizeof(eplb_p_mixed) <= kRoomBytes, "so has what packs GPUs that are not alike");
static_assert(kAloneBytes <= kMaxShared, "so does what plans a layer by itself");
static_assert(14 * EPLB_CUDA_MAX_ITEMS + 18 * EPLB_CUDA_MAX_PACKS + 2048 <= kMaxShared, "shapes fit shared memory");

/* How a candidate came out. */
struct eplb_p_standing {
    float score;
    int32_t is_even;
};

/* One of the two packings, over all rows: a row is a layer (groups) or a node of a layer (GPUs). */
struct eplb_p_cuda_packing {
    eplb_packing how;
    int32_t stage; /* EPLB_P_DRAW_* */
    int32_t n, m, rows, candidates;
    int32_t room;              /* n / m */
    uint32_t of_room;          /* 2^32 / room, rounded up; room being more than 1 */
    const float *load;         /* [rows, n] of the items */
    uint16_t *placed;          /* [rows, candidates, n] item at each place, pack by pack */
    eplb_p_standing *standing; /* [rows, candidates] */
    int32_t *done;             /* [rows] candidates */
};

/* The argument of every kernel that plans. */
struct eplb_p_cuda_call {
    eplb_p_shape shape;
    int32_t by_dhondt;    /* slots of a node up to this one are given by D'Hondt, later ones by Sainte-Lague */
    int32_t packs_groups; /* whether nodes have several groups each; else these stay in order */
    int32_t at_groups;    /* which packing a kernel of packings does */
    const float *weight;
    eplb_plan plan;
    eplb_p_cuda_packing groups, gpus;

    /* in scratch, for a plan by several kernels */
    float *load;           /* [L, E] mean over the samples, scaled */
    float *group_load;     /* [L, K] */
    uint16_t *group_order; /* [L, K] groups in the order of mlog; NULL: as they are */
    float *slot_load;      /* [L, R] of each slot, node by node, in the order in which slots are given */
    int32_t *slot_expert;  /* [L, R] */
    int32_t *slot_rank;    /* [L, R] which replica of its expert */
};

/* ----------------------------------------------------------------------------- warps and blocks */

extern __shared__ __align__(16) unsigned char eplb_p_shared[];

static __device__ __forceinline__ int32_t eplb_p_thread() { return (int32_t)threadIdx.x; }
static __device__ __forceinline__ int32_t eplb_p_threads() { return (int32_t)blockDim.x; }
static __device__ __forceinline__ int32_t eplb_p_lane() { return (int32_t)(threadIdx.x % kWarp); }
static __device__ __forceinline__ int32_t eplb_p_warp() { return (int32_t)(threadIdx.x / kWarp); }
static __device__ __forceinline__ int32_t eplb_p_warps() { return (int32_t)(blockDim.x / kWarp); }

EPLB_P_HD int32_t eplb_p_least(int32_t a, int32_t b) { return a < b ? a : b; }
EPLB_P_HD int32_t eplb_p_whole_warps(int32_t n) { return (n + kWarp - 1) / kWarp * kWarp; }

/* The smallest key of a warp, in all its lanes. */
static __device__ __forceinline__ uint64_t eplb_p_warp_min(uint64_t key)
{
    uint32_t high = (uint32_t)(key >> 32);
    uint32_t least_high = __reduce_min_sync(kAllLanes, high);
    uint32_t least_low = __reduce_min_sync(kAllLanes, high == least_high ? (uint32_t)key : kNone);
    return ((uint64_t)least_high << 32) | least_low;
}

/* Lanes before this one in which it holds, and those in all. */
static __device__ __forceinline__ int32_t eplb_p_lanes_before(uint32_t vote)
{
    return __popc(vote & ((1u << eplb_p_lane()) - 1));
}

/* Where each warp of a block tells the others a number, in shared memory: in two rows by turns, since a warp may
   tell its next one while others still read. Whatever is told is also a barrier. */
struct eplb_p_board {
    uint64_t *told; /* [2, kMaxWarps] */
    int32_t turn;   /* the same in all threads */
};

static __device__ __forceinline__ eplb_p_board eplb_p_board_at(uint64_t *told)
{
    eplb_p_board b = {told, 0};
    return b;
}

/* Lane l gets what warp l tells, or, where there is no such warp, `otherwise`. */
static __device__ __forceinline__ uint64_t eplb_p_tell(eplb_p_board &b, uint64_t number, uint64_t otherwise)
{
    uint64_t *row = b.told + b.turn * kMaxWarps;

    b.turn ^= 1;
    if (eplb_p_lane() == 0) row[eplb_p_warp()] = number;
    __syncthreads();
    return eplb_p_lane() < eplb_p_warps() ? row[eplb_p_lane()] : otherwise;
}

/* The smallest key of a block, in all its threads. */
static __device__ uint64_t eplb_p_least_of_block(eplb_p_board &b, uint64_t key)
{
    return eplb_p_warp_min(eplb_p_tell(b, eplb_p_warp_min(key), kLast));
}

static __device__ uint32_t eplb_p_most_of_block(eplb_p_board &b, uint32_t x)
{
    return __reduce_max_sync(kAllLanes, (uint32_t)eplb_p_tell(b, __reduce_max_sync(kAllLanes, x), 0));
}

static __device__ int32_t eplb_p_sum_of_block(eplb_p_board &b, int32_t x)
{
    return (int32_t)__reduce_add_sync(kAllLanes,
                                      (uint32_t)eplb_p_tell(b, __reduce_add_sync(kAllLanes, (uint32_t)x), 0));
}

/* Of loads, roughly: of what is told by a float its bits. The same in all threads. */
static __device__ float eplb_p_total_of_warp(float x)
{
    int32_t step;
#pragma unroll
    for (step = 1; step < kWarp; step *= 2)
        x = eplb_p_add(x, eplb_p_from_bits(__shfl_sync(kAllLanes, eplb_p_bits(x), eplb_p_lane() ^ step)));
    return x;
}

static __device__ float eplb_p_total_of_block(eplb_p_board &b, float x)
{
    return eplb_p_total_of_warp(eplb_p_from_bits((uint32_t)eplb_p_tell(b, eplb_p_bits(eplb_p_total_of_warp(x)), 0)));
}

struct eplb_p_scan {            /* of a number in each thread */
    int32_t own, before, total; /* it, the sum over the threads before this one, and over all */
};

/* Of numbers that are not negative; a vote for each binary digit. */
static __device__ eplb_p_scan eplb_p_scan_of_block(eplb_p_board &b, int32_t x)
{
    uint32_t told, most = __reduce_max_sync(kAllLanes, (uint32_t)x);
    eplb_p_scan s = {x, 0, 0};
    int32_t digit;

#pragma unroll 1
    for (digit = 0; most >> digit > 0; digit++) {
        uint32_t vote = __ballot_sync(kAllLanes, x >> digit & 1);
        s.before += eplb_p_lanes_before(vote) << digit;
        s.total += __popc(vote) << digit;
    }
    told = (uint32_t)eplb_p_tell(b, (uint64_t)s.total, 0);
    s.total = (int32_t)__reduce_add_sync(kAllLanes, told);
    s.before += (int32_t)__reduce_add_sync(kAllLanes, eplb_p_lane() < eplb_p_warp() ? told : 0);
    return s;
}

/* This thread's part of n things. */
static __device__ eplb_p_run eplb_p_part_of(int32_t n) { return eplb_p_run_of(n, eplb_p_threads(), eplb_p_thread()); }

/* The next block of shared memory, for count elements of the given size, aligned to 16; used is in bytes. On the host
   it only counts. */
EPLB_P_HD void *eplb_p_take_shared(uint32_t *used, int32_t count, uint32_t size)
{
    uint32_t at = *used;
    *used += ((uint32_t)count * size + 15) & ~15u;
    (void)at;
    return EPLB_P_BY_WARP(eplb_p_shared + at, NULL);
}

EPLB_P_HD uint64_t *eplb_p_take_board(uint32_t *used)
{
    return (uint64_t *)eplb_p_take_shared(used, 2 * kMaxWarps, sizeof(uint64_t));
}

/* --------------------------------------------------------------------------------------- order */

/* Keys, the largest first, equal ones by lower index, and the index of each. */
struct eplb_p_sorted {
    uint32_t *key;
    uint16_t *index;
};

/* How many of as many keys as a warp has lanes, all below 2^31, are larger than one, or, of the first fours of them, not
   smaller. All are read four at a time, in the same order by all lanes; the sign of a difference tells it, and sums do
   not wait for one another. */
static __device__ __forceinline__ int32_t eplb_p_count_larger(const uint32_t *key, uint32_t than, int32_t first_fours)
{
    const uint4 *fours = (const uint4 *)key;
    uint32_t larger[4] = {0, 0, 0, 0};
    int32_t j;

#pragma unroll
    for (j = 0; j < kWarp / 4; j++) {
        uint4 four = fours[j];
        uint32_t most = than - (uint32_t)(j < first_fours);
        larger[0] += (most - four.x) >> 31;
        larger[1] += (most - four.y) >> 31;
        larger[2] += (most - four.z) >> 31;
        larger[3] += (most - four.w) >> 31;
    }
    return (int32_t)(larger[0] + larger[1] + (larger[2] + larger[3]));
}

/* How many of them go before the one of this lane: those that are larger, and equal ones before it. */
static __device__ __forceinline__ int32_t eplb_p_count_before(const uint32_t *key, uint32_t mine, int32_t lane)
{
    uint4 own = ((const uint4 *)key)[lane / 4];
    int32_t equal = lane % 4 > 0 && own.x == mine;

    equal += lane % 4 > 1 && own.y == mine;
    equal += lane % 4 > 2 && own.z == mine;
    return eplb_p_count_larger(key, mine, lane / 4) + equal;
}

/* How many of keys first .. end - 1, whole warps of them, go before key i; zeros fill up the last, and go behind. */
static __device__ int32_t eplb_p_rank_in_run(const uint32_t *key, int32_t first, int32_t end, int32_t i)
{
    int32_t own = i / kWarp * kWarp, rank, j;
    uint32_t mine = key[i];

    rank = eplb_p_count_before(key + own, mine, i - own);
#pragma unroll 1
    for (j = first; j < end; j += kWarp)
        if (j != own) rank += eplb_p_count_larger(key + j, mine - (uint32_t)(j < own), 0);
    return rank;
}

/* How many of n sorted keys are at least so large; behind another key, if there are none, and no more than a power of
   two, which is halved without waiting for what was read. */
static __device__ int32_t eplb_p_num_at_least(const uint32_t *key, int32_t n, int32_t most, uint32_t least)
{
    int32_t found = 0, step;
#pragma unroll 1
    for (step = most; step > 0; step >>= 1) {
        int32_t tried = found + step;
        bool all = key[eplb_p_least(tried, n) - 1] >= least;
        found = all && tried <= n ? tried : found;
    }
    return found;
}

/* Where a key that has been sorted goes: among others. */
struct eplb_p_put_sorted {
    eplb_p_sorted to;
    __device__ void operator()(int32_t place, uint32_t key, int32_t index) const
    {
        to.key[place] = key;
        to.index[place] = (uint16_t)index;
    }
};

/* Each two neighbouring runs become one: a key goes behind as many more as go before it in the other. */
template <class Put>
static __device__ void eplb_p_merge_runs(const eplb_p_sorted &from, int32_t run, int32_t n, const Put &put)
{
    int32_t i;

#pragma unroll 1
    for (i = eplb_p_thread(); i < n; i += eplb_p_threads()) {
        int32_t first = i & ~(2 * run - 1), second = eplb_p_least(first + run, n), place;
        int32_t end = eplb_p_least(second + run, n);
        uint32_t key = from.key[i];
        if (i < second) place = i + eplb_p_num_at_least(from.key + second, end - second, run, key + 1);
        else place = i - run + eplb_p_num_at_least(from.key + first, run, run, key);
        put(place, key, from.index[i]);
    }
}

/* Runs of keys are sorted by counting. */
template <class Put>
static __device__ void eplb_p_sort_runs(const uint32_t *key, int32_t run, int32_t n, const Put &put)
{
    int32_t i;
#pragma unroll 1
    for (i = eplb_p_thread(); i < n; i += eplb_p_threads()) {
        int32_t first = i & -run, end = eplb_p_least(first + run, eplb_p_whole_warps(n));
        put(first + eplb_p_rank_in_run(key, first, end, i), key[i], i);
    }
}

/* n keys below 2^31, as far as whole warps zeros behind them. Runs are sorted, then merged, twice or four times, by way
   of `sorted` and `between`, whose keys may be those that come in; each key is put where it belongs in the end. */
template <class Put>
static __device__ void eplb_p_sort_by_block(const uint32_t *key, int32_t n, const eplb_p_sorted &sorted,
                                            const eplb_p_sorted &between, const Put &put)
{
    int32_t run = kRun, merges = 0;

#pragma unroll 1
    while (run << merges < n) merges++;
    run <<= merges % 2;
    if (run >= n) {
        eplb_p_sort_runs(key, run, n, put);
        return;
    }
    eplb_p_sort_runs(key, run, n, eplb_p_put_sorted{sorted});
    __syncthreads();
#pragma unroll 1
    for (;; run *= 4) {
        eplb_p_merge_runs(sorted, run, n, eplb_p_put_sorted{between});
        __syncthreads();
        if (4 * run >= n) break;
        eplb_p_merge_runs(between, 2 * run, n, eplb_p_put_sorted{sorted});
        __syncthreads();
    }
    eplb_p_merge_runs(between, 2 * run, n, put);
}

/* --------------------------------------------------------------------------------------- loads */

static __device__ eplb_p_samples eplb_p_samples_of(const eplb_p_cuda_call &c, int32_t layer)
{
    eplb_p_samples s;
    s.load = c.weight + eplb_p_at(layer, c.shape.num_experts, 0);
    s.stride = (size_t)c.shape.num_layers * (size_t)c.shape.num_experts;
    s.num = c.shape.num_samples;
    s.weight = c.shape.options.sample_weight;
    s.heaviest = 0.0f;
    return s;
}

/* The bits of the largest load of the samples that count, or of all: kInfinite or more when one of them is bad. */
static __device__ uint32_t eplb_p_largest_load_by_block(const eplb_p_cuda_call &c, const eplb_p_samples &s, bool of_all,
                                                        eplb_p_board &board)
{
    uint32_t largest = 0;
    int32_t t, e;

#pragma unroll 1
    for (t = 0; t < s.num; t++) {
        if (!of_all && !(eplb_p_sample_share(&s, t) > 0.0f)) continue;
#pragma unroll 4
        for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads()) {
            uint32_t bits = eplb_p_bits_at(&s.load[(size_t)t * s.stride + (size_t)e]);
            if (bits > largest && bits != kMinusZero) largest = bits;
        }
    }
    return eplb_p_most_of_block(board, largest);
}

/* What is wrong with the first bad load of a layer, by sample, then expert. */
static __device__ eplb_result eplb_p_first_bad_load_by_block(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                                             eplb_p_board &board)
{
    uint64_t experts = (uint64_t)c.shape.num_experts, first = kLast, i;

#pragma unroll 1
    for (i = (uint64_t)eplb_p_thread(); i < (uint64_t)s.num * experts; i += (uint64_t)eplb_p_threads()) {
        eplb_result r = eplb_p_check_load(&s.load[i / experts * s.stride + i % experts]);
        if (r == EPLB_OK) continue;
        first = i << 8 | (uint64_t)-r; /* the thread's first one; its code rides along */
        break;
    }
    return -(eplb_result)(eplb_p_least_of_block(board, first) & 255);
}

/* Whether sample weights are wrong: one bad one spoils all, one that counts is enough. */
static __device__ bool eplb_p_weights_are_bad_by_block(const eplb_p_samples &s, eplb_p_board &board)
{
    enum { ZERO, COUNTING, BAD };
    uint32_t found = ZERO;
    int32_t t;

#pragma unroll 1
    for (t = eplb_p_thread(); t < s.num; t += eplb_p_threads()) {
        if (eplb_p_check_load(&s.weight[t]) != EPLB_OK) found = BAD;
        else if (s.weight[t] > 0.0f && found == ZERO) found = COUNTING;
    }
    return eplb_p_most_of_block(board, found) != COUNTING;
}

/* The heaviest weight of a sample that holds load: eplb_p_samples.heaviest. */
static __device__ float eplb_p_heaviest_sample_by_block(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                                        eplb_p_board &board)
{
    uint32_t heaviest = 0;
    int32_t t, e;

#pragma unroll 1
    for (t = 0; t < s.num; t++)
#pragma unroll 1
        for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads())
            if (s.weight[t] > eplb_p_from_bits(heaviest) && eplb_p_sample_load(&s, t, e) > 0.0f)
                heaviest = eplb_p_bits_at(&s.weight[t]);
    return eplb_p_from_bits(eplb_p_most_of_block(board, heaviest));
}

/* What the samples that count do so for together, in their order. */
static __device__ float eplb_p_count_samples_by_block(const eplb_p_cuda_call &c, const eplb_p_samples &s,
                                                      eplb_p_board &board)
{
    float count = 0.0f;
    int32_t t, e;

#pragma unroll 1
    for (t = 0; t < s.num; t++) {
        uint32_t holds_load = 0;
#pragma unroll 1
        for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads())
            holds_load |= eplb_p_sample_load(&s, t, e) > 0.0f;
        if (eplb_p_most_of_block(board, holds_load)) count = eplb_p_add(count, eplb_p_sample_share(&s, t));
    }
    return count;
}

/* How a layer's samples become one load for each expert. */
struct eplb_p_cuda_mean {
    eplb_result result; /* what is wrong with them, as eplb_rebalance would say */
    float scale;        /* 0: every load is 1, as they hold none, or bad ones */
    float count;        /* of samples */
};

static __device__ eplb_p_cuda_mean eplb_p_judge_layer_by_block(const eplb_p_cuda_call &c, eplb_p_samples *s,
                                                               eplb_p_board &board)
{
    eplb_p_cuda_mean mean = {EPLB_OK, 0.0f, 1.0f};
    uint32_t largest;

    if (s->weight && eplb_p_weights_are_bad_by_block(*s, board)) {
        mean.result = EPLB_ERR_OPTION;
        return mean;
    }
    largest = eplb_p_largest_load_by_block(c, *s, true, board);
    if (largest >= kInfinite) {
        mean.result = eplb_p_first_bad_load_by_block(c, *s, board);
        return mean;
    }
    if (s->weight) {
        s->heaviest = eplb_p_heaviest_sample_by_block(c, *s, board);
        largest = eplb_p_largest_load_by_block(c, *s, false, board);
    }
    if (s->num > 1) mean.count = eplb_p_count_samples_by_block(c, *s, board);
    mean.scale = largest ? eplb_p_scale(largest) : 0.0f;
    return mean;
}

/* The loads of a layer's experts: told by the samples, once these are judged; or somewhere. */
struct eplb_p_cuda_loads {
    const float *load; /* [E] NULL: by the samples */
    eplb_p_samples samples;
    eplb_p_cuda_mean mean;
};

static __device__ eplb_p_cuda_loads eplb_p_judge_loads_by_block(const eplb_p_cuda_call &c, int32_t layer,
                                                                eplb_p_board &board)
{
    eplb_p_cuda_loads l = {NULL, eplb_p_samples_of(c, layer), {EPLB_OK, 0.0f, 1.0f}};
    l.mean = eplb_p_judge_layer_by_block(c, &l.samples, board);
    return l;
}

/* By the samples the weighted mean over them, scaled, in the order of eplb_p_mean_load. */
static __device__ float eplb_p_load_of_expert(const eplb_p_cuda_loads &l, int32_t e)
{
    float load = 0.0f;
    int32_t t;

    if (l.load) return l.load[e];
    if (!(l.mean.scale > 0.0f)) return 1.0f;
#pragma unroll 1
    for (t = 0; t < l.samples.num; t++) {
        float factor = eplb_p_mul(eplb_p_sample_share(&l.samples, t), l.mean.scale);
        load = eplb_p_add(load, eplb_p_mul(eplb_p_sample_load(&l.samples, t, e), factor));
    }
    return l.samples.num > 1 ? eplb_p_div(load, l.mean.count) : load;
}

/* All of them are stored. Ends with a barrier. */
static __device__ void eplb_p_store_loads_by_block(const eplb_p_cuda_call &c, eplb_p_cuda_loads *l, float *load)
{
    int32_t e;

#pragma unroll 1
    for (e = eplb_p_thread(); e < c.shape.num_experts; e += eplb_p_threads()) load[e] = eplb_p_load_of_expert(*l, e);
    __syncthreads();
    l->load = load;
}

static __device__ float eplb_p_load_of_group(const eplb_p_cuda_call &c, const float *load, int32_t group)
{
    float sum = 0.0f;
    int32_t i;
#pragma unroll 4
    for (i = 0; i < c.shape.group_size; i++) sum = eplb_p_add(sum, load[group * c.shape.group_size + i]);
    return sum;
}

/* ----------------------------------------------------------------------------------- replicate

   An expert of a node is known by its place in mlog. Slots given beyond one for each expert are the node's spare
   ones. */

/* The replicas of a node's experts, in shared memory. */
struct eplb_p_cuda_replicas {
    int32_t num_log, num_phy;
    float *load;      /* [num_log] */
    uint16_t *count;  /* [num_log] */
    uint16_t *expert; /* [num_phy - num_log] of each spare slot */
    uint16_t *rank;   /* [num_phy - num_log] which replica of its expert it is */
};

EPLB_P_HD void eplb_p_carve_cuda_replicas(uint32_t *used, int32_t num_log, int32_t num_phy, eplb_p_cuda_replicas *r)
{
    int32_t spare = num_phy - num_log;
    r->num_log = num_log;
    r->num_phy = num_phy;
    r->load = (float *)eplb_p_take_shared(used, num_log, sizeof(float));
    r->count = (uint16_t *)eplb_p_take_shared(used, num_log, sizeof(uint16_t));
    r->expert = (uint16_t *)eplb_p_take_shared(used, spare, sizeof(uint16_t));
    r->rank = (uint16_t *)eplb_p_take_shared(used, spare, sizeof(uint16_t));
}

/* Spare slots go to the highest bids. An expert's bids fall with each slot that it gets, so those above any floor go
   before all others: where they are as many as the slots to be given, or some more, sorting tells which these are. The
   floor is guessed by what all load divided by it comes to, and moved where bids above it are too few or too many. A
   thread bids for its part of the experts. */
struct eplb_p_cuda_auction {
    int32_t method, max_replicas;
    int32_t given, slots;       /* spare slots that were given before, and that are now */
    int32_t room;               /* for bids that are taken: some more */
    int32_t taken;              /* the same in all threads */
    eplb_p_run own;             /* experts that this thread bids for */
    uint16_t *above;            /* [num_log] bids of each expert above the floor */
    uint16_t *expert;           /* [room] of each bid taken */
    uint16_t *rank;             /* [room] */
    eplb_p_sorted bids, sorted; /* [room, up to a whole warp] */
};

EPLB_P_HD void eplb_p_carve_sorted(uint32_t *used, int32_t n, eplb_p_sorted *s)
{
    s->key = (uint32_t *)eplb_p_take_shared(used, eplb_p_whole_warps(n), sizeof(uint32_t));
    s->index = (uint16_t *)eplb_p_take_shared(used, n, sizeof(uint16_t));
}

EPLB_P_HD void eplb_p_carve_auction(uint32_t *used, int32_t num_log, int32_t num_phy, eplb_p_cuda_auction *a)
{
    a->room = num_phy - num_log + eplb_p_least(num_log, kMostTooMany);
    a->above = (uint16_t *)eplb_p_take_shared(used, num_log, sizeof(uint16_t));
    a->expert = (uint16_t *)eplb_p_take_shared(used, a->room, sizeof(uint16_t));
    a->rank = (uint16_t *)eplb_p_take_shared(used, a->room, sizeof(uint16_t));
    eplb_p_carve_sorted(used, a->room, &a->bids);
    eplb_p_carve_sorted(used, a->room, &a->sorted);
}

static __device__ uint32_t eplb_p_bits_of_bid(float bid) { return eplb_p_bits(bid) + 1; }

/* What an expert bids once it has so many slots more, as an integer of the same order: 0 at its cap. */
static __device__ uint32_t eplb_p_bid_bits(const eplb_p_cuda_replicas &r, const eplb_p_cuda_auction &a, int32_t e,
                                           int32_t more)
{
    int32_t count = r.count[e] + more;
    if (eplb_p_at_cap(count, a.max_replicas)) return 0;
    return eplb_p_bits_of_bid(eplb_p_bid(r.load[e], count, a.method));
}

static __device__ void eplb_p_open_auction(eplb_p_cuda_auction *a, int32_t first, int32_t last, int method,
                                           int32_t max_replicas)
{
    int32_t i;

    a->method = method;
    a->max_replicas = max_replicas;
    a->given = first;
    a->slots = last - first;
    a->taken = 0;
#pragma unroll 1
    for (i = eplb_p_thread(); i < eplb_p_whole_warps(a->room); i += eplb_p_threads()) a->bids.key[i] = 0;
}

/* All load divided by a floor comes to about as many as there are bids above it, and to so many more: those that were
   taken before, and by D'Hondt half a bid for each expert. By Sainte-Lague it comes to twice that, as bids are so much
   smaller. */
static __device__ float eplb_p_bids_missed(const eplb_p_cuda_replicas &r, const eplb_p_cuda_auction &a)
{
    return (float)(2 * a.given + (a.method == EPLB_P_DHONDT ? r.num_log : 0)) * 0.5f;
}

/* So many are sought that a quarter of the room beyond the slots is used. */
static __device__ float eplb_p_bids_sought(const eplb_p_cuda_auction &a)
{
    return (float)(a.slots + (a.room - a.slots) / 4);
}

static __device__ uint32_t eplb_p_guess_floor_by_block(const eplb_p_cuda_replicas &r, const eplb_p_cuda_auction &a,
                                                       eplb_p_board &board)
{
    float sum = 0.0f, num = eplb_p_add(eplb_p_bids_sought(a), eplb_p_bids_missed(r, a));
    int32_t e;

#pragma unroll 1
    for (e = a.own.first; e < a.own.end; e++) sum = eplb_p_add(sum, r.load[e]);
    sum = eplb_p_total_of_block(board, sum);
    return eplb_p_bits_of_bid(eplb_p_div(sum, a.method == EPLB_P_DHONDT ? num : eplb_p_add(num, num)));
}

/* How many of an expert's next bids are above a floor, as far as there are slots: about as often as its load holds the
   floor, which is put right by the bids themselves. */
static __device__ int32_t eplb_p_num_above(const eplb_p_cuda_replicas &r, const eplb_p_cuda_auction &a, int32_t e,
                                           uint32_t floor)
{
    int32_t count = r.count[e], most = a.slots, above;
    float divisor = eplb_p_div(r.load[e], eplb_p_from_bits(floor > 0 ? floor - 1 : 0));

    if (a.max_replicas > 0) most = eplb_p_least(most, a.max_replicas - count);
    if (a.method != EPLB_P_DHONDT) divisor = eplb_p_mul(0.5f, eplb_p_add(divisor, 1.0f));
    divisor = eplb_p_sub(divisor, (float)(count - 1));
    above = divisor > 0.0f ? (int32_t)(divisor < (float)most ? divisor : (float)most) : 0;
#pragma unroll 1
    while (above < most && eplb_p_bid_bits(r, a, e, above) > floor) above++;
#pragma unroll 1
    while (above > 0 && eplb_p_bid_bits(r, a, e, above - 1) <= floor) above--;
    return above;
}

/* Of the bids above a floor. */
static __device__ eplb_p_scan eplb_p_scan_bids_by_block(const eplb_p_cuda_replicas &r, const eplb_p_cuda_auction &a,
                                                        uint32_t floor, eplb_p_board &board)
{
    int32_t above = 0, e;

#pragma unroll 1
    for (e = a.own.first; e < a.own.end; e++) {
        a.above[e] = (uint16_t)eplb_p_num_above(r, a, e, floor);
        above += a.above[e];
    }
    return eplb_p_scan_of_block(board, above);
}

/* The lane whose run holds the i-th of a warp's things, given where each lane's run begins. */
static __device__ int32_t eplb_p_lane_with(int32_t begin, int32_t i)
{
    int32_t lane = 0, step;
#pragma unroll
    for (step = kWarp / 2; step > 0; step /= 2)
        if ((int32_t)__shfl_sync(kAllLanes, (uint32_t)begin, lane + step) <= i) lane += step;
    return lane;
}

/* The first `limit` of those that were scanned last, by expert, are taken: those of a warp's experts, as they come, by its
   lanes in turn. */
static __device__ void eplb_p_take_bids(const eplb_p_cuda_replicas &r, eplb_p_cuda_auction *a, const eplb_p_scan &scan,
                                        int32_t limit)
{
    int32_t begin = a->taken + scan.before, end = a->taken + limit, e, at, lane, more;
    int32_t first = (int32_t)__shfl_sync(kAllLanes, (uint32_t)begin, 0);
    int32_t last = (int32_t)__shfl_sync(kAllLanes, (uint32_t)(begin + scan.own), kWarp - 1);

#pragma unroll 1
    for (; first < last && first < end; first += kWarp) {
        at = first + eplb_p_lane();
        lane = eplb_p_lane_with(begin, at);
        e = a->own.each * (eplb_p_thread() - eplb_p_lane() + lane);
        more = at - (int32_t)__shfl_sync(kAllLanes, (uint32_t)begin, lane);
        if (at >= last || at >= end) continue;
#pragma unroll 1
        for (; more >= a->above[e]; e++) more -= a->above[e];
        a->bids.key[at] = eplb_p_bid_bits(r, *a, e, more);
        a->expert[at] = (uint16_t)e;
        a->rank[at] = (uint16_t)(r.count[e] + more);
    }
    __syncwarp(); /* all have read */
#pragma unroll 1
    for (e = a->own.first; e < a->own.end && begin < end; e++) {
        int32_t bids = eplb_p_least(a->above[e], end - begin);
        r.count[e] = (uint16_t)(r.count[e] + bids);
        begin += bids;
    }
    a->taken = end;
}

/* The next floor to be tried between one that is too low and one that is too high, when so many bids are above the last.
   After a few tries the one in the middle. */
static __device__ uint32_t eplb_p_move_floor(const eplb_p_cuda_replicas &r, const eplb_p_cuda_auction &a,
                                             uint32_t floor, int32_t above, uint32_t low, uint32_t high, int32_t tries)
{
    float missed = eplb_p_bids_missed(r, a), counted = eplb_p_add((float)above, missed);
    float ratio = eplb_p_div(counted, eplb_p_add(eplb_p_bids_sought(a), missed));
    uint32_t next = eplb_p_bits_of_bid(eplb_p_mul(eplb_p_from_bits(floor - 1), ratio));

    return tries < kGuesses && next > low && next < high ? next : low + (high - low) / 2;
}

/* As many bids as there are slots, or some more. Where so many are equal that there is no floor, those above are taken,
   and of the equal ones, which go by expert, as many as there are slots left. */
static __device__ void eplb_p_auction_by_block(const eplb_p_cuda_replicas &r, eplb_p_cuda_auction *a,
                                               eplb_p_board &board)
{
    uint32_t low = 0, high = kInfinite + 1, floor = eplb_p_guess_floor_by_block(r, *a, board);
    eplb_p_scan scan;
    int32_t tries;

#pragma unroll 1
    for (tries = 0; high - low > 1; tries++) {
        if (floor <= low || floor >= high) floor = low + (high - low) / 2;
        scan = eplb_p_scan_bids_by_block(r, *a, floor, board);
        if (scan.total >= a->slots && scan.total <= a->room) {
            eplb_p_take_bids(r, a, scan, scan.total);
            return;
        }
        if (scan.total < a->slots) high = floor;
        else low = floor;
        floor = eplb_p_move_floor(r, *a, floor, scan.total, low, high, tries);
    }
    scan = eplb_p_scan_bids_by_block(r, *a, high, board);
    eplb_p_take_bids(r, a, scan, scan.total);
    scan = eplb_p_scan_bids_by_block(r, *a, low, board);
    eplb_p_take_bids(r, a, scan, eplb_p_least(scan.total, a->slots - a->taken));
}

/* Where a bid that was taken belongs, the highest first: in a slot that is to be given, or it is given back. */
struct eplb_p_put_bid {
    const eplb_p_cuda_replicas &r;
    const eplb_p_cuda_auction &a;
    __device__ void operator()(int32_t place, uint32_t, int32_t bid) const
    {
        int32_t e = a.expert[bid];
        if (place < a.slots) {
            r.expert[a.given + place] = (uint16_t)e;
            r.rank[a.given + place] = a.rank[bid];
        } else { /* two counts share a word, and none falls below 1 */
            atomicAdd((uint32_t *)(void *)r.count + e / 2, 0u - (1u << 16 * (e % 2)));
        }
    }
};

/* Spare slots first .. last-1 are given. Ends with a barrier. */
static __device__ void eplb_p_give_slots_by_block(const eplb_p_cuda_replicas &r, eplb_p_cuda_auction *a, int32_t first,
                                                  int32_t last, int method, int32_t max_replicas, eplb_p_board &board)
{
    eplb_p_put_bid put = {r, *a};

    if (first >= last) return;
    eplb_p_open_auction(a, first, last, method, max_replicas);
    eplb_p_auction_by_block(r, a, board);
    __syncthreads();
    eplb_p_sort_by_block(a->bids.key, a->taken, a->sorted, a->bids, put);
    __syncthreads();
}

/* The expert with the heaviest replicas, were there `extra` more replicas of expert `changed`, as
   eplb_p_heavy_first would have it. By one warp. */
static __device__ uint64_t eplb_p_heaviest_by_warp(const eplb_p_cuda_replicas &r, int32_t changed, int32_t extra)
{
    uint64_t heaviest = kLast;
    int32_t e;

#pragma unroll 1
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
#pragma unroll 1
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
    if (after >> 32 <= before >> 32) {            /* no lighter: heavier loads have smaller keys */
        if (eplb_p_lane() == 0) r.count[donor]++; /* and there is no further step */
        return false;
    }
#pragma unroll 1
    for (slot = eplb_p_lane(); slot < r.num_phy - r.num_log; slot += kWarp) {
        if (r.expert[slot] != donor || r.rank[slot] != r.count[donor]) continue;
        r.expert[slot] = (uint16_t)receiver; /* there is one such slot, a spare one as its rank is not 0 */
        r.rank[slot] = r.count[receiver];
    }
    __syncwarp();
    if (eplb_p_lane() == 0) r.count[receiver]++;
    __syncwarp();
    return true;
}

/* The replicas of a node, from the loads of its experts. Ends with a barrier. */
static __device__ void eplb_p_replicate_by_block(const eplb_p_cuda_call &c, const eplb_p_cuda_replicas &r,
                                                 eplb_p_cuda_auction *a, eplb_p_board &board)
{
    const eplb_options &o = c.shape.options;
    int32_t spare = r.num_phy - r.num_log, by_dhondt = c.by_dhondt - r.num_log, later, step;

    if (spare == 0) __syncthreads();
#pragma unroll 1
    for (later = 0; later < 2; later++)
        eplb_p_give_slots_by_block(r, a, later ? by_dhondt : 0, later ? spare : by_dhondt,
                                   later ? EPLB_P_SAINTE_LAGUE : EPLB_P_DHONDT, o.max_replicas, board);
    if (o.fixup_steps == 0) return;
    if (eplb_p_warp() == 0)
#pragma unroll 1
        for (step = 0; step < o.fixup_steps && eplb_p_fixup_by_warp(r, o.max_replicas); step++) {}
    __syncthreads();
}

static __device__ int32_t eplb_p_expert_of_slot(const eplb_p_cuda_replicas &r, int32_t slot)
{
    return slot < r.num_log ? slot : r.expert[slot - r.num_log];
}

static __device__ int32_t eplb_p_rank_of_slot(const eplb_p_cuda_replicas &r, int32_t slot)
{
    return slot < r.num_log ? 0 : r.rank[slot - r.num_log];
}

static __device__ float eplb_p_load_of_slot(const eplb_p_cuda_replicas &r, int32_t slot)
{
    int32_t e = eplb_p_expert_of_slot(r, slot);
    return eplb_p_bid(r.load[e], r.count[e], EPLB_P_DHONDT);
}

/* --------------------------------------------------------------------------------------- finish

   A row of log2phy is opened with -1 in all places before anything is known of it, so that this costs no time, and a
   slot is stored where it belongs by whoever places it. */

static __device__ size_t eplb_p_row_width(const eplb_p_cuda_call &c)
{
    return c.plan.log2phy && c.plan.log2phy_width > 0 ? (size_t)c.plan.log2phy_width : 0;
}

/* n times -1, four at a time where that is aligned. */
static __device__ void eplb_p_blank_by_block(int32_t *to, size_t n)
{
    const uint4 blank = {kNone, kNone, kNone, kNone};
    size_t head = (16 - (size_t)((uintptr_t)to % 16)) % 16 / sizeof(int32_t), i;

    if (head > n) head = n;
#pragma unroll 1
    for (i = (size_t)eplb_p_thread(); i < (n - head) / 4; i += (size_t)eplb_p_threads())
        ((uint4 *)(to + head))[i] = blank;
    i = (size_t)eplb_p_thread(); /* at most three at each end */
    if (i < head) to[i] = -1;
    if (i < (n - head) % 4) to[n - 1 - i] = -1;
}

/* The rows of neighbouring experts. */
static __device__ void eplb_p_open_rows_by_block(const eplb_p_cuda_call &c, int32_t layer, int32_t first_expert,
                                                 int32_t num_experts)
{
    size_t width = eplb_p_row_width(c);
    if (width == 0) return;
    eplb_p_blank_by_block(c.plan.log2phy + eplb_p_at(layer, c.shape.num_experts, first_expert) * width,
                          (size_t)num_experts * width);
}

static __device__ void eplb_p_store_count(const eplb_p_cuda_call &c, int32_t layer, int32_t expert, int32_t count)
{
    if (c.plan.logcnt) c.plan.logcnt[eplb_p_at(layer, c.shape.num_experts, expert)] = count;
    if (c.plan.log2phy && count > c.plan.log2phy_width && c.plan.layer_status)
        atomicCAS(&c.plan.layer_status[layer], EPLB_OK, EPLB_ERR_WIDTH);
}

static __device__ void eplb_p_store_slot(const eplb_p_cuda_call &c, int32_t layer, int32_t slot, int32_t expert,
                                         int32_t rank)
{
    size_t at = eplb_p_at(layer, c.shape.num_replicas, slot), width = eplb_p_row_width(c);

    c.plan.phy2log[at] = expert;
    if (c.plan.phyrank) c.plan.phyrank[at] = rank;
    if ((size_t)rank < width)
        c.plan.log2phy[eplb_p_at(layer, c.shape.num_experts, expert) * width + (size_t)rank] = slot;
}

/* ---------------------------------------------------------------------------------------- pack

   One candidate, in shared memory. An item is known by its position in the candidate's order; place
   pack * room + r is the r-th of a pack, which lists its positions in ascending order. */

struct eplb_p_cuda_candidate {
    int32_t n, m, room;
    uint32_t of_room;  /* as in the packing */
    uint32_t *key;     /* [n, up to a whole warp, and one more] bits of what the items are ordered by */
    float *held_load;  /* [m, room] true load at each place; where key was */
    float *load;       /* [n, up to a whole warp] true load at each position */
    float *pack_load;  /* [m, up to a whole warp] sum of held_load in its order */
    float *tiny;       /* [1] a difference of pack loads below it counts as none */
    uint16_t *swapped; /* [2] packs of the last swap */
    uint16_t *order;   /* [n] item at each position */
    uint16_t *held;    /* [m, room] position at each place */
    uint16_t *place;   /* [n] place of each position */
    uint16_t *fill;    /* [m] LPT: items in each pack */
    uint16_t *by_load; /* [m] PAIR_SCAN: packs, heaviest first; where fill was */
    uint16_t *partner; /* [m] L2: the lighter pack of each one's best_of; where fill was */
    uint64_t *best_of; /* [m] L2 without best: the best swap of each pack with a lighter one */
    float *rest;       /* [m] with it: what a swap with other packs than the partner falls at most */
    uint64_t *best;    /* [m, m] PAIR_SCAN, L2: the best swap of each pair a < b; NULL where there is no room */
};

/* By PAIR_SCAN. */
EPLB_P_HD int32_t eplb_p_packs_tried(int32_t m, int32_t heavy_packs)
{
    return heavy_packs > 0 && heavy_packs < m ? heavy_packs : m;
}

/* Whether refining looks at most pairs of packs again and again. */
EPLB_P_HD bool eplb_p_looks_at_pairs(const eplb_packing &how, int32_t m)
{
    return how.refine == EPLB_REFINE_L2
           || (how.refine == EPLB_REFINE_PAIR_SCAN && eplb_p_packs_tried(m, how.heavy_packs) > kFewHeavy);
}

EPLB_P_HD void eplb_p_carve_candidate(uint32_t *used, const eplb_p_cuda_packing &packing, eplb_p_cuda_candidate *p)
{
    int32_t n = packing.n, m = packing.m;
    bool keeps_best;

    p->n = n;
    p->m = m;
    p->room = packing.room;
    p->of_room = packing.of_room;
    p->key = (uint32_t *)eplb_p_take_shared(used, eplb_p_whole_warps(n) + kWarp, sizeof(uint32_t));
    p->held_load = (float *)p->key;
    p->load = (float *)eplb_p_take_shared(used, eplb_p_whole_warps(n), sizeof(float));
    p->pack_load = (float *)eplb_p_take_shared(used, eplb_p_whole_warps(m), sizeof(float));
    p->tiny = (float *)eplb_p_take_shared(used, 1, sizeof(float));
    p->swapped = (uint16_t *)eplb_p_take_shared(used, 2, sizeof(uint16_t));
    p->order = (uint16_t *)eplb_p_take_shared(used, n, sizeof(uint16_t));
    p->held = (uint16_t *)eplb_p_take_shared(used, n, sizeof(uint16_t));
    p->place = (uint16_t *)eplb_p_take_shared(used, n, sizeof(uint16_t));
    p->fill = (uint16_t *)eplb_p_take_shared(used, m, sizeof(uint16_t));
    p->by_load = p->partner = p->fill;
    keeps_best = eplb_p_looks_at_pairs(packing.how, m) && *used + sizeof(uint64_t) * (uint32_t)(m * m) <= kMaxShared;
    p->best = keeps_best ? (uint64_t *)eplb_p_take_shared(used, m * m, sizeof(uint64_t)) : NULL;
    keeps_best = packing.how.refine == EPLB_REFINE_L2 && !keeps_best;
    p->best_of = keeps_best ? (uint64_t *)eplb_p_take_shared(used, m, sizeof(uint64_t)) : NULL;
    p->rest = keeps_best ? (float *)eplb_p_take_shared(used, m, sizeof(float)) : NULL;
}

/* The pack of a place, by a product: place / 2^32 of what of_room is rounded up by is below a half. */
static __device__ __forceinline__ int32_t eplb_p_pack_of(const eplb_p_cuda_candidate &p, int32_t place)
{
    return (int32_t)((uint64_t)(uint32_t)place * p.of_room >> 32);
}

/* pack: initial */

/* Zeros behind the keys, up to a whole warp. */
static __device__ void eplb_p_end_keys(uint32_t *key, int32_t n)
{
    int32_t i = n + eplb_p_thread();
    if (i < eplb_p_whole_warps(n)) key[i] = 0;
}

/* What candidate c orders each item by. A thread draws the random words of four items at once. */
static __device__ void eplb_p_make_keys_by_block(const eplb_p_cuda_candidate &p, const eplb_packing *how,
                                                 const float *item_load, uint64_t seed, int32_t row, int32_t stage,
                                                 int32_t candidate)
{
    float scale = candidate > 0 ? eplb_p_noise_of(how, candidate) : 0.0f;
    uint32_t word[4] = {0, 0, 0, 0};
    int32_t quad, i;

#pragma unroll 1
    for (quad = eplb_p_thread(); 4 * quad < p.n; quad += eplb_p_threads()) {
        if (candidate > 0) eplb_p_draw(seed, stage, (uint32_t)row, candidate, (uint32_t)quad, word);
#pragma unroll
        for (i = 0; i < 4; i++) { /* of registers */
            int32_t item = 4 * quad + i;
            if (item >= p.n) break;
            p.key[item] = eplb_p_bits(candidate > 0 ? eplb_p_perturbed(item_load[item], word[i], how->noise, scale)
                                                    : item_load[item]);
        }
    }
    eplb_p_end_keys(p.key, p.n);
    __syncthreads();
}

/* Items in the order of eplb_p_heavy_first by their keys. Ends with a barrier. */
static __device__ void eplb_p_order_by_block(const eplb_p_cuda_candidate &p)
{
    eplb_p_sorted sorted = {(uint32_t *)p.load, p.order}, between = {p.key, p.held};
    eplb_p_sort_by_block(p.key, p.n, sorted, between, eplb_p_put_sorted{sorted});
    __syncthreads();
}

/* LPT in rounds. In order of load, the lightest pack takes the next item, the second the one after it, and so on, as
   long as each is lighter than any that has taken one: so a round needs the packs' order alone. Where rounds get short,
   a while of single steps costs less. */

/* A pack of a warp, as its lane fills it. */
struct eplb_p_cuda_pack {
    uint32_t bits;     /* of its load; kInfinite once it has no room */
    int32_t next, end; /* places */
};

/* The load is the pack's with it. */
static __device__ void eplb_p_take_item(const eplb_p_cuda_candidate &p, eplb_p_cuda_pack *pack, int32_t position,
                                        float load)
{
    p.held[pack->next++] = (uint16_t)position;
    pack->bits = pack->next < pack->end ? eplb_p_bits(load) : (uint32_t)kInfinite;
    if (pack->next == pack->end) p.pack_load[eplb_p_lane()] = load;
}

/* Returns how many items were taken. The row is where the warp tells its loads, the lightest as the largest key. */
static __device__ int32_t eplb_p_lpt_round_by_warp(const eplb_p_cuda_candidate &p, eplb_p_cuda_pack *pack,
                                                   int32_t position, uint32_t *row)
{
    uint32_t key = kInfinite - pack->bits, least = kInfinite;
    int32_t place, mine;
    float load = 0.0f;
    bool takes;

    row[eplb_p_lane()] = key;
    __syncwarp();
    place = eplb_p_count_before(row, key, eplb_p_lane());
    mine = position + place;
    takes = pack->next < pack->end && mine < p.n;
    if (takes) load = eplb_p_add(eplb_p_from_bits(pack->bits), p.load[mine]);
    if (takes && pack->next + 1 < pack->end) least = eplb_p_bits(load);
    least = __reduce_min_sync(kAllLanes, least);
    takes = takes && (place == 0 || pack->bits < least);
    if (takes) eplb_p_take_item(p, pack, mine, load);
    return __popc(__ballot_sync(kAllLanes, takes));
}

/* The lightest pack, the lower one on ties, takes the item. */
static __device__ void eplb_p_lpt_step_by_warp(const eplb_p_cuda_candidate &p, eplb_p_cuda_pack *pack, int32_t position)
{
    float load = eplb_p_add(eplb_p_from_bits(pack->bits), p.load[position]);
    uint32_t least = __reduce_min_sync(kAllLanes, pack->bits);
    uint32_t lightest = __ballot_sync(kAllLanes, pack->bits == least);
    if (eplb_p_lane() == __ffs((int)lightest) - 1) eplb_p_take_item(p, pack, position, load);
}

/* Of up to kWarp packs, a lane each. */
static __device__ void eplb_p_lpt_by_warp(const eplb_p_cuda_candidate &p)
{
    int32_t lane = eplb_p_lane(), row = 0, position = 0, end;
    bool is_pack = lane < p.m;
    eplb_p_cuda_pack pack = {is_pack ? 0 : (uint32_t)kInfinite, lane * p.room, is_pack ? (lane + 1) * p.room : 0};

#pragma unroll 1
    while (position < p.n) {
        int32_t taken = eplb_p_lpt_round_by_warp(p, &pack, position, p.key + row);
        row ^= kWarp; /* by turns, as others may still read */
        position += taken;
        if (taken >= kShortRound) continue;
#pragma unroll 1
        for (end = eplb_p_least(position + kSteps, p.n); position < end; position++)
            eplb_p_lpt_step_by_warp(p, &pack, position);
    }
}

/* A packing of eplb.h by plain LPT onto that many packs: its items by position, and where they are held, lie in spare;
   what else is asked for, behind what plans a layer. Returns whether it suits. */
static __host__ __device__ int eplb_p_team_packs(eplb_p_packer *packer)
{
#if defined(__CUDA_ARCH__) || !defined(__CUDACC__)
    const eplb_p_packs &from = packer->packs;
    eplb_p_cuda_candidate p = {};
    int32_t i;

    if (eplb_p_team() == 1 || from.m > kWarp || from.room == 1 || from.n > kMaxIds) return 0;
    if (!eplb_p_is_plain_lpt(packer->how)) return 0;
    p.n = from.n;
    p.m = from.m;
    p.room = from.room;
    p.key = (uint32_t *)(void *)(eplb_p_shared + kPlanningBytes);
    p.load = (float *)(void *)packer->spare;
    p.held = (uint16_t *)(void *)(p.load + p.n);
    p.pack_load = (float *)(void *)(p.key + 2 * kWarp);
    for (i = eplb_p_lane(); i < p.n; i += kWarp) p.load[i] = packer->weight[eplb_p_index(packer->true_order[i])];
    __syncwarp();
    eplb_p_lpt_by_warp(p);
    __syncwarp();
    for (i = eplb_p_lane(); i < p.n; i += kWarp) {
        int32_t item = eplb_p_index(packer->true_order[p.held[i]]);
        packer->pack_index[item] = i / p.room;
        packer->rank_in_pack[item] = i % p.room;
    }
    __syncwarp();
    return 1;
#else
    return (void)packer, 0;
#endif
}

/* Of any number of packs. Thread t owns packs t, t + threads, .. */
static __device__ uint32_t eplb_p_bits_of_pack(const eplb_p_cuda_candidate &p, int32_t pack)
{
    return p.fill[pack] < p.room ? eplb_p_bits(p.pack_load[pack]) : (uint32_t)kInfinite;
}

/* The bits of a pack's load once it has the item at a position. */
static __device__ uint32_t eplb_p_bits_with(const eplb_p_cuda_candidate &p, uint32_t bits, int32_t left,
                                            int32_t position)
{
    if (left <= 1 || position >= p.n) return kInfinite;
    return eplb_p_bits(eplb_p_add(eplb_p_from_bits(bits), p.load[position]));
}

static __device__ void eplb_p_put_item(const eplb_p_cuda_candidate &p, int32_t pack, int32_t position)
{
    p.held[pack * p.room + p.fill[pack]++] = (uint16_t)position;
    p.pack_load[pack] = eplb_p_add(p.pack_load[pack], p.load[position]);
}

/* Packs in order of load, the lightest first. Ends with a barrier. */
static __device__ eplb_p_sorted eplb_p_order_lightest_by_block(const eplb_p_cuda_candidate &p)
{
    uint32_t *keys = p.key; /* free while items are given, as place is, and there are two items to a pack */
    eplb_p_sorted sorted = {keys + eplb_p_whole_warps(p.m), p.place + p.m}, between = {keys, p.place};
    int32_t pack;

#pragma unroll 1
    for (pack = eplb_p_thread(); pack < p.m; pack += eplb_p_threads())
        keys[pack] = kInfinite - eplb_p_bits_of_pack(p, pack);
    eplb_p_end_keys(keys, p.m);
    __syncthreads();
    eplb_p_sort_by_block(keys, p.m, sorted, between, eplb_p_put_sorted{sorted});
    __syncthreads();
    return sorted;
}

static __device__ int32_t eplb_p_lpt_round_by_block(const eplb_p_cuda_candidate &p, int32_t position,
                                                    eplb_p_board &board)
{
    eplb_p_sorted packs = eplb_p_order_lightest_by_block(p);
    int32_t num = eplb_p_least(p.m, p.n - position), taken = 0, place;
    uint32_t least = kInfinite;

#pragma unroll 1
    for (place = eplb_p_thread(); place < num; place += eplb_p_threads()) {
        int32_t pack = packs.index[place];
        uint32_t bits = eplb_p_bits_with(p, eplb_p_bits_of_pack(p, pack), p.room - p.fill[pack], position + place);
        least = bits < least ? bits : least;
    }
    least = ~eplb_p_most_of_block(board, ~least);
#pragma unroll 1
    for (place = eplb_p_thread(); place < num; place += eplb_p_threads()) {
        int32_t pack = packs.index[place];
        uint32_t bits = eplb_p_bits_of_pack(p, pack);
        if (bits == kInfinite || (place > 0 && bits >= least)) continue;
        eplb_p_put_item(p, pack, position + place);
        taken++;
    }
    return eplb_p_sum_of_block(board, taken);
}

static __device__ void eplb_p_lpt_step_by_block(const eplb_p_cuda_candidate &p, int32_t position, eplb_p_board &board)
{
    uint64_t lightest = kLast;
    int32_t pack;

#pragma unroll 1
    for (pack = eplb_p_thread(); pack < p.m; pack += eplb_p_threads())
        if (p.fill[pack] < p.room) lightest = eplb_p_smaller(lightest, eplb_p_light_first(p.pack_load[pack], pack));
    pack = eplb_p_index(eplb_p_least_of_block(board, lightest));
    if (pack % eplb_p_threads() == eplb_p_thread()) eplb_p_put_item(p, pack, position);
}

static __device__ void eplb_p_lpt_by_block(const eplb_p_cuda_candidate &p, eplb_p_board &board)
{
    int32_t position = 0, pack, end;

#pragma unroll 1
    for (pack = eplb_p_thread(); pack < p.m; pack += eplb_p_threads()) {
        p.pack_load[pack] = 0.0f;
        p.fill[pack] = 0;
    }
#pragma unroll 1
    while (position < p.n) {
        int32_t taken = eplb_p_lpt_round_by_block(p, position, board);
        position += taken;
        if (taken >= kShortRound) continue;
#pragma unroll 1
        for (end = eplb_p_least(position + kSteps, p.n); position < end; position++)
            eplb_p_lpt_step_by_block(p, position, board);
    }
}

/* In their order, some at once. Zeros behind the last change nothing; there is room to read what they stand for. */
static __device__ float eplb_p_sum_pack(const eplb_p_cuda_candidate &p, int32_t pack)
{
    const float *load = p.held_load + pack * p.room;
    float sum = 0.0f;
    int32_t r, i;

#pragma unroll 1
    for (r = 0; r < p.room; r += kAtOnce)
#pragma unroll
        for (i = r; i < r + kAtOnce; i++) {
            float next = load[i];
            sum = eplb_p_add(sum, i < p.room ? next : 0.0f);
        }
    return sum;
}

/* Every turn gives each pack one item. */
static __device__ void eplb_p_zigzag_by_block(const eplb_p_cuda_candidate &p)
{
    int32_t position;
#pragma unroll 1
    for (position = eplb_p_thread(); position < p.n; position += eplb_p_threads())
        p.held[eplb_p_zigzag(position, p.m) * p.room + position / p.m] = (uint16_t)position;
}

/* What goes with held: the loads at places, the place of each position; pack loads after zigzag. */
static __device__ void eplb_p_index_places_by_block(const eplb_p_cuda_candidate &p, int32_t init)
{
    int32_t i;

#pragma unroll 1
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        p.held_load[i] = p.load[p.held[i]];
        p.place[p.held[i]] = (uint16_t)i;
    }
    eplb_p_end_keys((uint32_t *)p.pack_load, p.m);
    if (init == EPLB_INIT_ZIGZAG) {
        __syncthreads();
#pragma unroll 1
        for (i = eplb_p_thread(); i < p.m; i += eplb_p_threads()) p.pack_load[i] = eplb_p_sum_pack(p, i);
        __syncthreads();
    }
    if (eplb_p_thread() == 0) *p.tiny = eplb_p_tiny(p.pack_load, p.m);
    __syncthreads();
}

/* pack: refine

   A swap is a key, eplb_p_heavy_first of what it is worth and its two positions: so the smallest key is
   the swap that goes before all others, kLast is none, and any way to find the smallest will do. All warps look for
   it; warp 0 alone, once all have told what they found, makes it, while the others wait and read nothing of it. */

static __device__ uint64_t eplb_p_swap_key(const eplb_p_cuda_candidate &p, float worth, int32_t u, int32_t v)
{
    return eplb_p_heavy_first(worth, (int32_t)p.held[u] << 16 | (int32_t)p.held[v]);
}

static __device__ float eplb_p_key_worth(uint64_t swap) { return eplb_p_from_bits(~(uint32_t)(swap >> 32)); }

static __device__ float eplb_p_heavier_by(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light)
{
    return eplb_p_sub(p.pack_load[heavy], p.pack_load[light]);
}

/* A pack's place in the order of packs, the heaviest first. */
static __device__ uint64_t eplb_p_pack_key(const eplb_p_cuda_candidate &p, int32_t pack)
{
    return eplb_p_heavy_first(p.pack_load[pack], pack);
}

/* By how much a pack is heavier than that of a place, and the most that any of its items gains there. */
struct eplb_p_cuda_exchange {
    float most; /* 0: none gains */
    int32_t u;  /* the first place in the pack that gains so much */
};

static __device__ __forceinline__ void eplb_p_try_exchange(eplb_p_cuda_exchange *best, float gain, int32_t u)
{
    best->u = gain > best->most ? u : best->u;
    best->most = fmaxf(best->most, gain);
}

static __device__ uint64_t eplb_p_exchange_key(const eplb_p_cuda_candidate &p, const eplb_p_cuda_exchange &best,
                                               int32_t v)
{
    return best.most > 0.0f ? eplb_p_swap_key(p, best.most, best.u, v) : kLast;
}

/* It goes through a pack's positions in ascending order, so the first of equal ones stays; without a branch, and what
   waits for the gain before is a maximum alone. */
static __device__ __forceinline__ eplb_p_cuda_exchange eplb_p_best_for_place(const eplb_p_cuda_candidate &p,
                                                                             int32_t heavy, int32_t v, float D)
{
    eplb_p_cuda_exchange best = {0.0f, heavy * p.room};
    int32_t end = (heavy + 1) * p.room, u;
    float load = p.held_load[v];

#pragma unroll 4
    for (u = heavy * p.room; u < end; u++)
        eplb_p_try_exchange(&best, eplb_p_swap_gain(eplb_p_sub(p.held_load[u], load), D), u);
    return best;
}

static __device__ uint64_t eplb_p_key_for_place(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t v, float D)
{
    return eplb_p_exchange_key(p, eplb_p_best_for_place(p, heavy, v, D), v);
}

/* The best of some of the swaps of two packs: those with places first, first + step, .. of the lighter. */
static __device__ uint64_t eplb_p_best_swap_of(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light,
                                               int32_t first, int32_t step)
{
    float D = eplb_p_heavier_by(p, heavy, light);
    uint64_t best = kLast;
    int32_t v;

#pragma unroll 1
    for (v = first; v < p.room; v += step)
        best = eplb_p_smaller(best, eplb_p_key_for_place(p, heavy, light * p.room + v, D));
    return best;
}

/* The best swap of two packs, by one warp: of a place of the lighter with some places of the heavier, as many lanes as
   there are for it. Four are looked at at once, the first of them again where there are no four. */
static __device__ uint64_t eplb_p_best_swap_by_warp(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light)
{
    int32_t lanes = p.room < kWarp ? eplb_p_pack_of(p, kWarp) : 1, lane = eplb_p_pack_of(p, eplb_p_lane()), r, u, i;
    int32_t v = light * p.room + eplb_p_lane() - lane * p.room, end = (light + 1) * p.room;
    float D = eplb_p_heavier_by(p, heavy, light);
    uint64_t best = kLast;

    if (lane >= lanes) v = end;
#pragma unroll 1
    for (; v < end; v += kWarp) {
        eplb_p_cuda_exchange of_place = {0.0f, 0};
        float load = p.held_load[v];
#pragma unroll 1
        for (r = lane; r < p.room; r += 4 * lanes)
#pragma unroll
            for (i = 0; i < 4; i++) {
                u = heavy * p.room + (r + i * lanes < p.room ? r + i * lanes : r);
                eplb_p_try_exchange(&of_place, eplb_p_swap_gain(eplb_p_sub(p.held_load[u], load), D), u);
            }
        best = eplb_p_smaller(best, eplb_p_exchange_key(p, of_place, v));
    }
    return eplb_p_warp_min(best);
}

/* The first pack in order whose key is not below `from`, and its key. */
static __device__ uint64_t eplb_p_heaviest_pack_by_warp(const eplb_p_cuda_candidate &p, uint64_t from)
{
    uint64_t first = kLast;
    int32_t pack;

#pragma unroll 1
    for (pack = eplb_p_lane(); pack < p.m; pack += kWarp) {
        uint64_t key = eplb_p_pack_key(p, pack);
        if (key >= from) first = eplb_p_smaller(first, key);
    }
    return eplb_p_warp_min(first);
}

struct eplb_p_cuda_ends { /* of the order of packs */
    int32_t heaviest, lightest;
};

static __device__ eplb_p_cuda_ends eplb_p_ends_by_warp(const eplb_p_cuda_candidate &p)
{
    uint64_t heaviest = kLast, lightest = kLast;
    eplb_p_cuda_ends ends;
    int32_t pack;

#pragma unroll 1
    for (pack = eplb_p_lane(); pack < p.m; pack += kWarp) {
        float load = p.pack_load[pack];
        heaviest = eplb_p_smaller(heaviest, eplb_p_heavy_first(load, pack));
        lightest = eplb_p_smaller(lightest, eplb_p_light_first(load, pack));
    }
    ends.heaviest = eplb_p_index(eplb_p_warp_min(heaviest));
    ends.lightest = eplb_p_index(eplb_p_warp_min(lightest));
    return ends;
}

static __device__ uint64_t eplb_p_max_min_by_warp(const eplb_p_cuda_candidate &p, float tiny)
{
    eplb_p_cuda_ends ends = eplb_p_ends_by_warp(p);
    if (eplb_p_heavier_by(p, ends.heaviest, ends.lightest) < tiny) return kLast;
    return eplb_p_best_swap_by_warp(p, ends.heaviest, ends.lightest);
}

/* by_load, after the next barrier: by counting for each pack those before it. */
static __device__ void eplb_p_order_packs_by_block(const eplb_p_cuda_candidate &p)
{
    const uint32_t *bits = (const uint32_t *)p.pack_load;
    int32_t pack;

#pragma unroll 1
    for (pack = eplb_p_thread(); pack < p.m; pack += eplb_p_threads())
        p.by_load[eplb_p_rank_in_run(bits, 0, eplb_p_whole_warps(p.m), pack)] = (uint16_t)pack;
}

/* The best swap of a pair whose packs differ by D, by the fall in squares that it is worth. */
static __device__ uint64_t eplb_p_by_fall(float D, uint64_t swap)
{
    if (swap == kLast) return kLast;
    return eplb_p_heavy_first(eplb_p_swap_fall(eplb_p_key_worth(swap), D), eplb_p_index(swap));
}

/* Where there is room for it, the best swap of every pair is kept: a swap changes those of two packs only. A pair is
   looked at by as many lanes as a pack has places, of which the first gets what all find. */

/* The lanes of a warp in teams of that many, which all take part in whatever warps do. */
struct eplb_p_cuda_team {
    int32_t number, teams; /* of the block; number is -1 for lanes left over */
    int32_t lane, lanes;   /* within the team */
};

static __device__ eplb_p_cuda_team eplb_p_team_of(int32_t lanes)
{
    eplb_p_cuda_team team;
    int32_t per_warp, in_warp;

    team.lanes = eplb_p_least(lanes, kWarp);
    per_warp = kWarp / team.lanes;
    in_warp = eplb_p_lane() / team.lanes;
    team.lane = eplb_p_lane() % team.lanes;
    team.number = in_warp < per_warp ? eplb_p_warp() * per_warp + in_warp : -1;
    team.teams = eplb_p_warps() * per_warp;
    return team;
}

/* The smallest key of a team, in its first lane. Mostly none has any, or each lane has. */
static __device__ uint64_t eplb_p_team_min(const eplb_p_cuda_team &team, uint64_t key)
{
    int32_t step;

    if (__ballot_sync(kAllLanes, key != kLast) == 0) return kLast;
#pragma unroll 1
    for (step = 1; step < team.lanes; step *= 2) {
        uint32_t high = __shfl_sync(kAllLanes, (uint32_t)(key >> 32), eplb_p_lane() + step);
        uint32_t low = __shfl_sync(kAllLanes, (uint32_t)key, eplb_p_lane() + step);
        if (team.lane + step < team.lanes) key = eplb_p_smaller(key, (uint64_t)high << 32 | low);
    }
    return key;
}

/* How a block looks for swaps. */
struct eplb_p_cuda_search {
    int32_t threads; /* that do: the block's, or those of its first warp */
    eplb_p_cuda_team team;
    int32_t heavy, light; /* packs that the swap before this one was of; -1: there was none */
    float tiny;           /* as the candidate has it */
};

static __device__ uint64_t eplb_p_least_of_search(const eplb_p_cuda_search &search, eplb_p_board &board, uint64_t key)
{
    return search.threads > kWarp ? eplb_p_least_of_block(board, key) : eplb_p_warp_min(key);
}

static __device__ int32_t eplb_p_pair_number(const eplb_p_cuda_candidate &p, int32_t a, int32_t b)
{
    return a < b ? a * p.m + b : b * p.m + a;
}

/* What goes before all others among pairs with a swap: by what it falls the swap itself, else the heavier pack. */
static __device__ uint64_t eplb_p_pair_key(const eplb_p_cuda_candidate &p, int32_t a, int32_t b, uint64_t swap,
                                           bool by_fall)
{
    if (by_fall || swap == kLast) return swap;
    return eplb_p_smaller(eplb_p_pack_key(p, a), eplb_p_pack_key(p, b));
}

/* By a team, whose first lane keeps the swap that gains most, where `by_fall` with what the squares fall by it, and
   gets the pair's key. All lanes of a warp call it at once; a == b is no pair. */
static __device__ uint64_t eplb_p_renew_pair(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                             int32_t a, int32_t b, bool by_fall)
{
    const eplb_p_cuda_team &team = search.team;
    bool a_is_light = p.pack_load[b] > p.pack_load[a];
    int32_t heavy = a_is_light ? b : a, light = a_is_light ? a : b;
    float D = eplb_p_heavier_by(p, heavy, light);
    bool counts = a != b && (by_fall || D >= search.tiny);
    uint64_t swap = counts ? eplb_p_best_swap_of(p, heavy, light, team.lane, team.lanes) : kLast;

    swap = eplb_p_team_min(team, swap);
    if (team.lane > 0 || a == b) return kLast;
    if (by_fall) swap = eplb_p_by_fall(D, swap);
    p.best[eplb_p_pair_number(p, a, b)] = swap;
    return eplb_p_pair_key(p, a, b, swap, by_fall);
}

/* Those that the last swap changed, or, before any, all: each pack with those that follow it, as if in a ring, up to half
   way round. Returns the smallest key of those that the thread renews. */
static __device__ uint64_t eplb_p_renew_pairs_by_block(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                                       bool by_fall)
{
    bool is_first = search.heavy < 0;
    int32_t pairs = is_first ? p.m * (p.m - 1) / 2 : 2 * p.m, start, number, a, b;
    uint64_t key = kLast;

#pragma unroll 1
    for (start = 0; start < pairs; start += search.team.teams) {
        number = search.team.number < 0 ? pairs : start + search.team.number;
        a = b = 0;
        if (number < pairs && is_first) {
            a = number % p.m;
            b = a + 1 + number / p.m;
            b -= b < p.m ? 0 : p.m;
        } else if (number < pairs) {
            a = number < p.m ? search.heavy : search.light;
            b = number < p.m ? number : number - p.m;
            if (number >= p.m && b == search.heavy) b = a;
        }
        key = eplb_p_smaller(key, eplb_p_renew_pair(p, search, a, b, by_fall));
    }
    return key;
}

/* The smallest key of all pairs, those that the last swap changed being renewed. */
static __device__ uint64_t eplb_p_first_pair_by_block(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                                      bool by_fall, eplb_p_board &board)
{
    uint64_t key = eplb_p_renew_pairs_by_block(p, search, by_fall);
    int32_t a, b;

    if (search.heavy >= 0)
#pragma unroll 1
        for (a = eplb_p_warp(); a < p.m; a += eplb_p_warps())
#pragma unroll 1
            for (b = eplb_p_lane(); b < p.m; b += kWarp) {
                if (b <= a || a == search.heavy || a == search.light || b == search.heavy || b == search.light)
                    continue;
                key = eplb_p_smaller(key, eplb_p_pair_key(p, a, b, p.best[a * p.m + b], by_fall));
            }
    return eplb_p_least_of_block(board, key);
}

/* How many packs are before one in order. */
static __device__ int32_t eplb_p_packs_before_by_warp(const eplb_p_cuda_candidate &p, uint64_t key)
{
    int32_t before = 0, pack;
#pragma unroll 1
    for (pack = eplb_p_lane(); pack < p.m; pack += kWarp) before += eplb_p_pack_key(p, pack) < key;
    return (int32_t)__reduce_add_sync(kAllLanes, (uint32_t)before);
}

/* The kept swap of a pack with the last in order of those behind it that have one with it; there is one. */
static __device__ uint64_t eplb_p_kept_with_lightest_by_warp(const eplb_p_cuda_candidate &p, uint64_t heavy_key)
{
    int32_t heavy = eplb_p_index(heavy_key), b;
    uint64_t last = kLast;

#pragma unroll 1
    for (b = eplb_p_lane(); b < p.m; b += kWarp) {
        uint64_t key = eplb_p_pack_key(p, b);
        if (key > heavy_key && p.best[eplb_p_pair_number(p, heavy, b)] != kLast) last = eplb_p_smaller(last, ~key);
    }
    return p.best[eplb_p_pair_number(p, heavy, eplb_p_index(~eplb_p_warp_min(last)))];
}

/* PAIR_SCAN tries the heaviest pack with the lightest first, then with heavier ones, then the next heaviest. */

/* Where the best swaps of all pairs are kept. In warps other than the first, any key for some swap. */
static __device__ uint64_t eplb_p_kept_pair_scan_by_block(const eplb_p_cuda_candidate &p,
                                                          const eplb_p_cuda_search &search, int32_t heavy_packs,
                                                          eplb_p_board &board)
{
    uint64_t found = eplb_p_first_pair_by_block(p, search, false, board);
    int32_t tried = eplb_p_packs_tried(p.m, heavy_packs);

    if (found == kLast) return kLast;
    if (tried < p.m) {
        bool is_tried = eplb_p_packs_before_by_warp(p, found) < tried;
        __syncthreads(); /* all have read */
        if (!is_tried) return kLast;
    }
    return eplb_p_warp() == 0 ? eplb_p_kept_with_lightest_by_warp(p, found) : 0;
}

/* Of the swaps with a pack that help, the key of the lightest pack; those before it in order are not looked at. Thread
   t tries places t, t + threads, .. */
static __device__ uint64_t eplb_p_lightest_that_helps(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                                      uint64_t heavy_key, uint64_t turn)
{
    int32_t heavy = eplb_p_index(heavy_key), v;
    uint64_t first = kLast;

#pragma unroll 1
    for (v = eplb_p_thread(); v < p.n; v += search.threads) {
        int32_t light = eplb_p_pack_of(p, v);
        float D = eplb_p_heavier_by(p, heavy, light);
        if (eplb_p_pack_key(p, light) <= heavy_key || D < search.tiny) continue;
        if (eplb_p_best_for_place(p, heavy, v, D).most > 0.0f)
            first = eplb_p_smaller(first, turn << kTurnShift | (uint64_t)eplb_p_bits(p.pack_load[light]) << kPackBits
                                              | (uint64_t)(kPackMask - light));
    }
    return first;
}

/* The heaviest pack alone first, and as long as there is none then twice as many as before: mostly one of the first has
   a swap, else likely none. In warps other than the first, any key for some swap. */
static __device__ uint64_t eplb_p_pair_scan_by_block(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                                     int32_t heavy_packs, eplb_p_board &board)
{
    int32_t tried = eplb_p_packs_tried(p.m, heavy_packs), first = 0, num = 1, i;
    bool is_ordered = tried > kFewHeavy;
    uint64_t heavy_key = 0, found;

    if (is_ordered) {
        eplb_p_order_packs_by_block(p);
        __syncthreads();
    }
#pragma unroll 1
    for (; first < tried; first += num, num *= is_ordered ? 2 : 1) {
        found = kLast;
#pragma unroll 1
        for (i = first; i < first + num && i < tried; i++) {
            heavy_key = is_ordered ? eplb_p_pack_key(p, p.by_load[i])
                                   : eplb_p_heaviest_pack_by_warp(p, i > 0 ? heavy_key + 1 : 0);
            found = eplb_p_smaller(found, eplb_p_lightest_that_helps(p, search, heavy_key, (uint64_t)i));
        }
        found = eplb_p_least_of_search(search, board, found);
        if (found == kLast) continue;
        if (eplb_p_warp() > 0) return 0;
        if (is_ordered) heavy_key = eplb_p_pack_key(p, p.by_load[found >> kTurnShift]);
        return eplb_p_best_swap_by_warp(p, eplb_p_index(heavy_key), kPackMask - (int32_t)(found & kPackMask));
    }
    return kLast;
}

/* Thread t tries places t, t + threads, .. of other packs with every item of the heaviest. */
static __device__ uint64_t eplb_p_max_to_any_by_block(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                                      eplb_p_board &board)
{
    int32_t heavy = eplb_p_index(eplb_p_heaviest_pack_by_warp(p, 0)), v;
    uint64_t best = kLast;

#pragma unroll 1
    for (v = eplb_p_thread(); v < p.n; v += search.threads) {
        float D = eplb_p_heavier_by(p, heavy, eplb_p_pack_of(p, v)); /* not above 0: itself, or as heavy */
        if (D > 0.0f) best = eplb_p_smaller(best, eplb_p_key_for_place(p, heavy, v, D));
    }
    best = eplb_p_least_of_search(search, board, best);
    return best != kLast && eplb_p_key_worth(best) > search.tiny ? best : kLast;
}

static __device__ uint64_t eplb_p_if_it_counts(float tiny, uint64_t by_fall)
{
    return by_fall != kLast && eplb_p_fall_counts(eplb_p_key_worth(by_fall), tiny) ? by_fall : kLast;
}

/* Elsewhere the best swap of each pack with a lighter one is kept, its partner in it, and how far it may fall at most
   with any other. A pack whose partner changes has no swap any more; it is its own partner then, and is looked at again
   once it may have the best of all. A warp looks after packs here and there, since those that lose their swaps are often
   neighbours. */

/* The best swap of a pack with a lighter one, by its fall; the best of a pair is the one that gains most, also where
   others fall as far. kLast where it cannot fall as far as would count, or the other is no lighter. */
static __device__ uint64_t eplb_p_fall_with(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t light, float enough)
{
    float D = eplb_p_heavier_by(p, heavy, light);
    if (!(D > 0.0f) || eplb_p_largest_fall(D) < enough) return kLast;
    return eplb_p_by_fall(D, eplb_p_best_swap_of(p, heavy, light, 0, 1));
}

static __device__ float eplb_p_larger(float a, float b) { return a > b ? a : b; }

static __device__ int32_t eplb_p_own_pack(int32_t first, int32_t lane)
{
    return first + lane * eplb_p_warps() + eplb_p_warp();
}

/* What a pack keeps once two have changed, or, at first, so that these two are looked at. Returns the best swap that is
   known of it. */
static __device__ uint64_t eplb_p_keep_fall(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &changed,
                                            bool is_first, int32_t own)
{
    int32_t partner = is_first || own == changed.heavy || own == changed.light ? own : p.partner[own];
    float rest = is_first ? eplb_p_largest_fall(eplb_p_heavier_by(p, own, changed.light)) : eplb_p_from_bits(kInfinite);
    uint64_t kept = kLast, with_heavy, with_light, best, second;

    if (!is_first && own != changed.heavy && own != changed.light) rest = p.rest[own];
    if (partner == changed.heavy || partner == changed.light) partner = own;
    if (partner != own) kept = p.best_of[own];
    with_heavy = eplb_p_fall_with(p, own, changed.heavy, rest);
    with_light = eplb_p_fall_with(p, own, changed.light, rest);
    best = eplb_p_smaller(with_heavy, with_light);
    second = with_heavy < with_light ? with_light : with_heavy;
    if (best < kept && (partner != own || eplb_p_key_worth(best) > rest)) {
        partner = with_heavy < with_light ? changed.heavy : changed.light;
        second = eplb_p_smaller(second, kept);
        kept = best;
    } else second = best;
    p.best_of[own] = kept;
    p.partner[own] = (uint16_t)partner;
    p.rest[own] = eplb_p_larger(rest, eplb_p_key_worth(second));
    return eplb_p_smaller(kept, best);
}

/* Those of all packs; and, as they promise most, of all with the lightest, and of the heaviest with all. */
static __device__ uint64_t eplb_p_keep_falls(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &changed,
                                             const eplb_p_cuda_ends &ends, bool is_first)
{
    uint64_t best = kLast;
    int32_t first;

#pragma unroll 1
    for (first = 0; first < p.m; first += eplb_p_threads()) {
        int32_t own = eplb_p_own_pack(first, eplb_p_lane());
        if (own >= p.m) continue;
        best = eplb_p_smaller(best, eplb_p_keep_fall(p, changed, is_first, own));
        best = eplb_p_smaller(best, eplb_p_fall_with(p, own, ends.lightest, eplb_p_key_worth(best)));
        best = eplb_p_smaller(best, eplb_p_fall_with(p, ends.heaviest, own, eplb_p_key_worth(best)));
    }
    return best;
}

/* The best swap of a pack with any lighter one, a lane to each, where it falls as far as is enough. */
static __device__ uint64_t eplb_p_renew_fall_by_warp(const eplb_p_cuda_candidate &p, int32_t heavy, float enough)
{
    uint64_t best = kLast, least;
    int32_t partner = heavy, light;
    float rest = enough;

#pragma unroll 1
    for (light = eplb_p_lane(); light < p.m; light += kWarp) {
        uint64_t swap = eplb_p_fall_with(p, heavy, light, rest);
        rest = eplb_p_larger(rest, eplb_p_key_worth(swap < best ? best : swap));
        partner = swap < best ? light : partner;
        best = eplb_p_smaller(best, swap);
    }
    least = eplb_p_warp_min(best);
    if (best != least) rest = eplb_p_larger(rest, eplb_p_key_worth(best));
    rest = eplb_p_from_bits(__reduce_max_sync(kAllLanes, eplb_p_bits(rest)));
    if (eplb_p_key_worth(least) < enough) partner = heavy;
    if (best == least && (least != kLast || eplb_p_lane() == 0)) {
        p.best_of[heavy] = least;
        p.partner[heavy] = (uint16_t)partner;
        p.rest[heavy] = rest;
    }
    return least;
}

/* What a pack's swaps may fall at most. */
static __device__ float eplb_p_reach(const eplb_p_cuda_candidate &p, int32_t heavy, int32_t lightest)
{
    return eplb_p_largest_fall(eplb_p_heavier_by(p, heavy, lightest));
}

/* Those of packs that have none and may have the best of all. Where the lightest pack promises not much more than
   that, few others promise as much, and only they are looked at; else it pays to know the best of all of them. */
static __device__ uint64_t eplb_p_renew_falls_by_warps(const eplb_p_cuda_candidate &p, int32_t lightest, uint64_t best)
{
    uint32_t vote;
    int32_t first;

#pragma unroll 1
    for (first = 0; first < p.m; first += eplb_p_threads()) {
        int32_t own = eplb_p_own_pack(first, eplb_p_lane());
        float most = eplb_p_key_worth(best);
        bool may = own < p.m && p.partner[own] == own && p.rest[own] > 0.0f && !(p.rest[own] < most)
                   && !(eplb_p_reach(p, own, lightest) < most);
        __syncwarp(); /* all have read */
#pragma unroll 1
        for (vote = __ballot_sync(kAllLanes, may); vote; vote &= vote - 1) {
            own = eplb_p_own_pack(first, __ffs((int)vote) - 1);
            most = eplb_p_key_worth(best);
            if (eplb_p_reach(p, own, lightest) > 4.0f * most) most = 0.0f;
            best = eplb_p_smaller(best, eplb_p_renew_fall_by_warp(p, own, most));
        }
    }
    return best;
}

static __device__ uint64_t eplb_p_l2_by_block(const eplb_p_cuda_candidate &p, const eplb_p_cuda_search &search,
                                              eplb_p_board &board)
{
    eplb_p_cuda_ends ends = eplb_p_ends_by_warp(p);
    eplb_p_cuda_search changed = search;
    bool is_first = search.heavy < 0;
    uint64_t best;

    if (is_first) {
        changed.heavy = ends.heaviest;
        changed.light = ends.lightest;
    }
    best = eplb_p_least_of_block(board, eplb_p_keep_falls(p, changed, ends, is_first));
    return eplb_p_least_of_block(board, eplb_p_renew_falls_by_warps(p, ends.lightest, best));
}

/* The next swap, the same in all warps, or in warp 0 alone and any key in the others; the block's last barrier is
   behind whatever others than warp 0 read. */
static __device__ uint64_t eplb_p_find_swap_by_block(const eplb_p_cuda_candidate &p, const eplb_packing *how,
                                                     const eplb_p_cuda_search &search, eplb_p_board &board)
{
    switch (how->refine) {
    case EPLB_REFINE_MAX_MIN: return eplb_p_max_min_by_warp(p, search.tiny);
    case EPLB_REFINE_PAIR_SCAN:
        if (p.best) return eplb_p_kept_pair_scan_by_block(p, search, how->heavy_packs, board);
        return eplb_p_pair_scan_by_block(p, search, how->heavy_packs, board);
    case EPLB_REFINE_MAX_TO_ANY: return eplb_p_max_to_any_by_block(p, search, board);
    case EPLB_REFINE_L2:
        return eplb_p_if_it_counts(search.tiny, p.best ? eplb_p_first_pair_by_block(p, search, true, board)
                                                       : eplb_p_l2_by_block(p, search, board));
    default: return kLast;
    }
}

/* Both halves of a warp exchange an item at once, each in a pack of its own. */

/* How many of a pack's items but the one at a place go before a position. */
static __device__ int32_t eplb_p_before_position_by_halves(const eplb_p_cuda_candidate &p, int32_t first, int32_t at,
                                                           int32_t position)
{
    int32_t half = eplb_p_lane() / kHalf, before = 0, done;

#pragma unroll 1
    for (done = 0; done < p.room; done += kHalf) {
        int32_t r = done + eplb_p_lane() % kHalf, i = first + r;
        uint32_t vote = __ballot_sync(kAllLanes, r < p.room && i != at && p.held[i] < position);
        before += __popc(vote >> kHalf * half & ((1u << kHalf) - 1));
    }
    return before;
}

/* What stands between two places of a pack, the latter included, moves up by one towards the former. */
static __device__ void eplb_p_move_up_by_halves(const eplb_p_cuda_candidate &p, int32_t at, int32_t to)
{
    int32_t step = to < at ? -1 : 1, left = (to - at) * step, done;

#pragma unroll 1
    for (done = 0; done < p.room - 1; done += kHalf) {
        int32_t moved = done + eplb_p_lane() % kHalf, into = at + step * moved;
        bool moves = moved < left;
        int32_t position = moves ? p.held[into + step] : 0;
        float load = moves ? p.held_load[into + step] : 0.0f;
        __syncwarp(); /* all have read, also what they read before */
        if (moves) {
            p.held[into] = (uint16_t)position;
            p.held_load[into] = load;
            p.place[position] = (uint16_t)into;
        }
    }
}

/* What stands at a place gives way to another position: the pack's list stays ascending, and its load is summed
   afresh. */
static __device__ void eplb_p_exchange_by_halves(const eplb_p_cuda_candidate &p, int32_t at, int32_t position)
{
    int32_t pack = eplb_p_pack_of(p, at), first = pack * p.room;
    int32_t to = first + eplb_p_before_position_by_halves(p, first, at, position);
    float load = p.load[position];

    eplb_p_move_up_by_halves(p, at, to);
    __syncwarp();
    if (eplb_p_lane() % kHalf > 0) return;
    p.held[to] = (uint16_t)position;
    p.held_load[to] = load;
    p.place[position] = (uint16_t)to;
    p.pack_load[pack] = eplb_p_sum_pack(p, pack);
    p.swapped[eplb_p_lane() / kHalf] = (uint16_t)pack;
}

static __device__ void eplb_p_swap_by_warp(const eplb_p_cuda_candidate &p, uint64_t swap)
{
    int32_t u_position = eplb_p_index(swap) >> 16, v_position = eplb_p_index(swap) & 0xFFFF;
    bool of_u = eplb_p_lane() < kHalf;

    eplb_p_exchange_by_halves(p, p.place[of_u ? u_position : v_position], of_u ? v_position : u_position);
}

/* MAX_MIN looks at two packs only; others at a few items each time, or many. */
static __device__ bool eplb_p_suits_a_warp(const eplb_p_cuda_candidate &p, const eplb_packing *how)
{
    if (how->refine == EPLB_REFINE_MAX_MIN) return true;
    return p.n <= kWarpItems && how->refine != EPLB_REFINE_L2 && !eplb_p_looks_at_pairs(*how, p.m);
}

/* Ends with a barrier. */
static __device__ void eplb_p_refine_by_block(const eplb_p_cuda_candidate &p, const eplb_packing *how,
                                              eplb_p_board &board)
{
    eplb_p_cuda_search search = {eplb_p_threads(), eplb_p_team_of(p.room), -1, -1, *p.tiny};
    int32_t swaps;

    if (eplb_p_suits_a_warp(p, how)) search.threads = kWarp;
#pragma unroll 1
    for (swaps = 0; swaps < how->max_swaps && eplb_p_thread() < search.threads; swaps++) {
        uint64_t swap = eplb_p_find_swap_by_block(p, how, search, board);
        if (swap == kLast) break;
        if (eplb_p_warp() == 0) eplb_p_swap_by_warp(p, swap);
        if (search.threads > kWarp) __syncthreads();
        else __syncwarp();
        search.heavy = p.swapped[0];
        search.light = p.swapped[1];
    }
    __syncthreads();
}

/* From keys to packs, of two items or more each; after it, barrier included, held says which positions are in which
   pack. Where keys are not loads, item_load has these. */
static __device__ void eplb_p_pack_by_block(const eplb_p_cuda_candidate &p, const eplb_p_cuda_packing &packing,
                                            const float *item_load, eplb_p_board &board)
{
    const eplb_packing *how = &packing.how;
    int32_t i;

    eplb_p_order_by_block(p);
    if (item_load) {
#pragma unroll 1
        for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) p.load[i] = item_load[p.order[i]];
        __syncthreads();
    }
    if (how->init == EPLB_INIT_ZIGZAG) eplb_p_zigzag_by_block(p);
    else if (p.m > kWarp) eplb_p_lpt_by_block(p, board);
    else if (eplb_p_warp() == 0) eplb_p_lpt_by_warp(p);
    __syncthreads();
    if (how->refine == EPLB_REFINE_NONE && packing.candidates == 1) return;
    eplb_p_index_places_by_block(p, how->init);
    if (how->refine != EPLB_REFINE_NONE) eplb_p_refine_by_block(p, how, board);
}

/* The item at each place: those of packs of one item stay as they are. */
static __device__ int32_t eplb_p_item_at_place(const eplb_p_cuda_candidate &p, int32_t place)
{
    return p.room > 1 ? p.order[p.held[place]] : place;
}

/* pack: candidates

   Block b does candidate b % candidates of row b / candidates. The last one of a row to end looks at all and
   finishes the row. */

/* An item of a packing has its place for good. */
static __device__ void eplb_p_finish_item(const eplb_p_cuda_call &c, int32_t row, int32_t place, int32_t item)
{
    int32_t layer = row / c.shape.num_nodes, first_slot = row % c.shape.num_nodes * c.shape.node_slots;
    size_t at;

    if (c.at_groups) {
        c.group_order[eplb_p_at(row, c.shape.num_groups, place)] = (uint16_t)item;
        return;
    }
    at = eplb_p_at(row, c.shape.node_slots, item);
    eplb_p_store_slot(c, layer, first_slot + place, c.slot_expert[at], c.slot_rank[at]);
}

/* What there is of a candidate when it is done, for the one that selects. */
static __device__ void eplb_p_leave_candidate_by_block(const eplb_p_cuda_packing &packing,
                                                       const eplb_p_cuda_candidate &p)
{
    eplb_p_standing *standing = &packing.standing[blockIdx.x];
    int32_t i;

#pragma unroll 1
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads())
        packing.placed[eplb_p_at((int32_t)blockIdx.x, packing.n, i)] = (uint16_t)eplb_p_item_at_place(p, i);
    if (eplb_p_thread() == 0) {
        int is_even;
        standing->score = eplb_p_candidate_score(p.pack_load, p.m, packing.how.select, *p.tiny, &is_even);
        standing->is_even = is_even;
    }
}

/* Whether all other candidates of the row are done, and seen by all threads. */
static __device__ bool eplb_p_is_last_by_block(const eplb_p_cuda_packing &packing, int32_t row, eplb_p_board &board)
{
    uint32_t done = 0;

    __threadfence();
    __syncthreads();
    if (eplb_p_thread() == 0) done = (uint32_t)atomicAdd(&packing.done[row], 1) + 1;
    done = eplb_p_most_of_block(board, done);
    __threadfence();
    return done == (uint32_t)packing.candidates;
}

/* The candidate that stays: the first with the smallest score, of those up to the first even one, with
   which the search would have ended. */
static __device__ int32_t eplb_p_select_by_block(const eplb_p_cuda_packing &packing, int32_t row, eplb_p_board &board)
{
    const eplb_p_standing *standing = packing.standing + eplb_p_at(row, packing.candidates, 0);
    uint64_t even = kLast, best = kLast;
    int32_t i;

#pragma unroll 1
    for (i = eplb_p_thread(); i < packing.candidates; i += eplb_p_threads())
        if (standing[i].is_even) even = eplb_p_smaller(even, (uint64_t)i);
    even = eplb_p_least_of_block(board, even);
#pragma unroll 1
    for (i = eplb_p_thread(); i < packing.candidates && (uint64_t)i <= even; i += eplb_p_threads())
        best = eplb_p_smaller(best, eplb_p_light_first(standing[i].score, i));
    return eplb_p_index(eplb_p_least_of_block(board, best));
}

/* The packs of the one that stays; within a pack, an item's place is the number of heavier ones. The block's own
   candidate gives way to them. */
static __device__ void eplb_p_finish_row_by_block(const eplb_p_cuda_call &c, const eplb_p_cuda_packing &packing,
                                                  const eplb_p_cuda_candidate &p, int32_t row, const float *item_load,
                                                  eplb_p_board &board)
{
    int32_t candidate = eplb_p_select_by_block(packing, row, board), i, other;
    const uint16_t *placed = packing.placed + eplb_p_at(row, packing.candidates, candidate) * (size_t)p.n;

#pragma unroll 1
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        p.held[i] = placed[i];
        p.held_load[i] = item_load[placed[i]];
    }
    __syncthreads();
#pragma unroll 1
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        int32_t first = i / p.room * p.room, place = first;
        uint64_t key = eplb_p_heavy_first(p.held_load[i], p.held[i]);
#pragma unroll 1
        for (other = first; other < first + p.room; other++)
            place += eplb_p_heavy_first(p.held_load[other], p.held[other]) < key;
        eplb_p_finish_item(c, row, place, p.held[i]);
    }
}

static __global__ void __launch_bounds__(kPackThreads, kThreadsOnSm / kPackThreads)
    eplb_p_pack_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    const eplb_p_cuda_packing &packing = c.at_groups ? c.groups : c.gpus;
    int32_t row = (int32_t)blockIdx.x / packing.candidates, candidate = (int32_t)blockIdx.x % packing.candidates, i;
    const float *item_load = packing.load + eplb_p_at(row, packing.n, 0);
    eplb_p_cuda_candidate p;
    eplb_p_board board;
    uint32_t used = 0;

    board = eplb_p_board_at(eplb_p_take_board(&used));
    eplb_p_carve_candidate(&used, packing, &p);
    if (p.room > 1) {
        eplb_p_make_keys_by_block(p, &packing.how, item_load, c.shape.options.seed, row, packing.stage, candidate);
        eplb_p_pack_by_block(p, packing, candidate > 0 ? item_load : NULL, board);
    }
    if (packing.candidates == 1) {
#pragma unroll 1
        for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads())
            eplb_p_finish_item(c, row, i, eplb_p_item_at_place(p, i)); /* the candidate's order is the true one */
        return;
    }
    eplb_p_leave_candidate_by_block(packing, p);
    if (eplb_p_is_last_by_block(packing, row, board)) eplb_p_finish_row_by_block(c, packing, p, row, item_load, board);
}

/* ------------------------------------------------------------------------------ a node in one block

   What a block holds of a node, in shared memory: what is needed until the end, and behind it one after the other the
   packing of groups, the auction of slots, and the packing onto GPUs. */

struct eplb_p_cuda_node {
    uint64_t *told;  /* the board */
    uint16_t *group; /* [node_groups] in the order of mlog */
    eplb_p_cuda_replicas replicas;
    float *load; /* [E] of the layer, where groups are packed */
    eplb_p_cuda_auction auction;
    uint32_t behind; /* bytes: what comes one after the other begins there */
};

EPLB_P_HD uint32_t eplb_p_most_bytes(uint32_t a, uint32_t b) { return a > b ? a : b; }

/* Without what packs. */
EPLB_P_HD uint32_t eplb_p_carve_cuda_node(const eplb_p_shape &shape, eplb_p_cuda_node *node)
{
    uint32_t used = 0;

    node->told = eplb_p_take_board(&used);
    node->group = (uint16_t *)eplb_p_take_shared(&used, shape.node_groups, sizeof(uint16_t));
    eplb_p_carve_cuda_replicas(&used, shape.node_experts, shape.node_slots, &node->replicas);
    node->load = (float *)eplb_p_take_shared(&used, shape.node_groups > 1 ? shape.num_experts : 0, sizeof(float));
    node->behind = used;
    eplb_p_carve_auction(&used, shape.node_experts, shape.node_slots, &node->auction);
    return used;
}

/* With it, and its layer. */
static uint32_t eplb_p_plan_bytes(const eplb_p_cuda_call &c)
{
    eplb_p_cuda_candidate candidate;
    eplb_p_cuda_node node;
    uint32_t most = eplb_p_carve_cuda_node(c.shape, &node), used = node.behind;

    eplb_p_carve_candidate(&used, c.gpus, &candidate);
    most = eplb_p_most_bytes(most, used);
    used = node.behind;
    if (c.packs_groups) eplb_p_carve_candidate(&used, c.groups, &candidate);
    return eplb_p_most_bytes(most, used);
}

/* The expert at a place of a node's mlog. */
static __device__ int32_t eplb_p_expert_at(const eplb_p_cuda_call &c, const uint16_t *group, int32_t place)
{
    if (c.shape.node_groups == 1) return group[0] * c.shape.group_size + place;
    return group[place / c.shape.group_size] * c.shape.group_size + place % c.shape.group_size;
}

/* A node's experts in the order of mlog, one slot each; and what the plan says of them. Each thread has the load of the
   experts that it bids for. */
static __device__ void eplb_p_replicate_groups_by_block(const eplb_p_cuda_call &c, int32_t layer, const uint16_t *group,
                                                        const eplb_p_cuda_loads &loads, const eplb_p_cuda_replicas &r,
                                                        eplb_p_cuda_auction *a, eplb_p_board &board)
{
    int32_t i;

    a->own = eplb_p_part_of(r.num_log);
#pragma unroll 1
    for (i = a->own.first; i < a->own.end; i++) {
        r.load[i] = eplb_p_load_of_expert(loads, eplb_p_expert_at(c, group, i));
        r.count[i] = 1;
    }
    eplb_p_replicate_by_block(c, r, a, board);
#pragma unroll 1
    for (i = eplb_p_thread(); i < r.num_log; i += eplb_p_threads())
        eplb_p_store_count(c, layer, eplb_p_expert_at(c, group, i), r.count[i]);
}

/* Before the candidates of some rows are packed. */
static __device__ void eplb_p_none_is_done_by_block(const eplb_p_cuda_packing &packing, int32_t first_row,
                                                    int32_t num_rows)
{
    int32_t i;
    if (packing.candidates <= 1) return;
#pragma unroll 1
    for (i = eplb_p_thread(); i < num_rows; i += eplb_p_threads()) packing.done[first_row + i] = 0;
}

/* A node's slots, for the candidates that pack them. */
static __device__ void eplb_p_leave_slots_by_block(const eplb_p_cuda_call &c, const eplb_p_cuda_node &node)
{
    size_t first = eplb_p_at((int32_t)blockIdx.x, c.shape.node_slots, 0);
    int32_t i;

#pragma unroll 1
    for (i = eplb_p_thread(); i < node.replicas.num_phy; i += eplb_p_threads()) {
        int32_t place = eplb_p_expert_of_slot(node.replicas, i);
        c.slot_load[first + (size_t)i] = eplb_p_load_of_slot(node.replicas, i);
        c.slot_expert[first + (size_t)i] = eplb_p_expert_at(c, node.group, place);
        c.slot_rank[first + (size_t)i] = eplb_p_rank_of_slot(node.replicas, i);
    }
}

/* The loads of what is packed next, and all that is planned before. Ends with a barrier. */
static __device__ void eplb_p_open_packing_by_block(const eplb_p_cuda_call &c, int32_t layer, bool at_groups,
                                                    const eplb_p_cuda_candidate &p, eplb_p_cuda_node *node,
                                                    eplb_p_cuda_loads *loads, eplb_p_board &board)
{
    int32_t i;

    if (at_groups) {
        eplb_p_store_loads_by_block(c, loads, node->load);
#pragma unroll 1
        for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads())
            p.key[i] = eplb_p_bits(eplb_p_load_of_group(c, node->load, i));
    } else {
#pragma unroll 1
        for (i = 0; i < c.shape.node_groups; i++)
            eplb_p_open_rows_by_block(c, layer, node->group[i] * c.shape.group_size, c.shape.group_size);
        eplb_p_replicate_groups_by_block(c, layer, node->group, *loads, node->replicas, &node->auction, board);
        if (c.gpus.candidates > 1) return;
#pragma unroll 1
        for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads())
            p.key[i] = eplb_p_bits(eplb_p_load_of_slot(node->replicas, i));
    }
    eplb_p_end_keys(p.key, p.n);
    __syncthreads();
}

/* The groups of a node, or its slots on their GPUs. */
static __device__ void eplb_p_close_packing_by_block(const eplb_p_cuda_call &c, int32_t layer, int32_t number,
                                                     bool at_groups, const eplb_p_cuda_candidate &p,
                                                     const eplb_p_cuda_node &node)
{
    int32_t first_group = number * c.shape.node_groups, first_slot = number * c.shape.node_slots, i;

    if (at_groups) {
#pragma unroll 1
        for (i = eplb_p_thread(); i < c.shape.node_groups; i += eplb_p_threads())
            node.group[i] = (uint16_t)eplb_p_item_at_place(p, first_group + i);
        __syncthreads();
        return;
    }
#pragma unroll 1
    for (i = eplb_p_thread(); i < p.n; i += eplb_p_threads()) {
        int32_t slot = eplb_p_item_at_place(p, i);
        eplb_p_store_slot(c, layer, first_slot + i,
                          eplb_p_expert_at(c, node.group, eplb_p_expert_of_slot(node.replicas, slot)),
                          eplb_p_rank_of_slot(node.replicas, slot));
    }
}

/* From weight to plan, or, where several candidates pack, to slots: block b does node b % N of layer b / N. Each of a
   layer's blocks packs all its groups, for that is sooner done than told; by the code that then packs its slots, as a
   GPU waits for code that it has not run yet. */
static __global__ void __launch_bounds__(kMaxThreads, 1) eplb_p_plan_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    int32_t layer = (int32_t)blockIdx.x / c.shape.num_nodes, number = (int32_t)blockIdx.x % c.shape.num_nodes;
    int32_t at_groups, i;
    eplb_p_cuda_loads loads;
    eplb_p_cuda_node node;
    eplb_p_board board;

    eplb_p_carve_cuda_node(c.shape, &node);
    board = eplb_p_board_at(node.told);
#pragma unroll 1
    for (i = eplb_p_thread(); i < c.shape.node_groups; i += eplb_p_threads())
        node.group[i] = (uint16_t)(number * c.shape.node_groups + i); /* unless they are packed */
    loads = eplb_p_judge_loads_by_block(c, layer, board); /* a barrier, behind which the node's groups are known */
    if (c.plan.layer_status && number == 0 && eplb_p_thread() == 0) c.plan.layer_status[layer] = loads.mean.result;
    eplb_p_none_is_done_by_block(c.gpus, (int32_t)blockIdx.x, 1);
#pragma unroll 1
    for (at_groups = c.packs_groups; at_groups >= 0; at_groups--) {
        const eplb_p_cuda_packing &packing = at_groups ? c.groups : c.gpus;
        uint32_t used = node.behind;
        eplb_p_cuda_candidate p;
        eplb_p_carve_candidate(&used, packing, &p);
        eplb_p_open_packing_by_block(c, layer, at_groups, p, &node, &loads, board);
        if (!at_groups && packing.candidates > 1) break;
        if (p.room > 1) eplb_p_pack_by_block(p, packing, NULL, board);
        eplb_p_close_packing_by_block(c, layer, number, at_groups, p, node);
    }
    if (c.gpus.candidates > 1) eplb_p_leave_slots_by_block(c, node);
}

/* The first of several kernels. Block b does layer b. */
static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_layers_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    int32_t layer = (int32_t)blockIdx.x, group;
    float *load = c.load + eplb_p_at(layer, c.shape.num_experts, 0);
    eplb_p_board board = eplb_p_board_at((uint64_t *)eplb_p_shared);
    eplb_p_cuda_loads loads = eplb_p_judge_loads_by_block(c, layer, board);

    eplb_p_store_loads_by_block(c, &loads, load);
    if (c.plan.layer_status && eplb_p_thread() == 0) c.plan.layer_status[layer] = loads.mean.result;
#pragma unroll 1
    for (group = eplb_p_thread(); group < c.shape.num_groups && c.packs_groups; group += eplb_p_threads())
        c.group_load[eplb_p_at(layer, c.shape.num_groups, group)] = eplb_p_load_of_group(c, load, group);
    eplb_p_open_rows_by_block(c, layer, 0, c.shape.num_experts);
    eplb_p_none_is_done_by_block(c.groups, layer, 1);
    eplb_p_none_is_done_by_block(c.gpus, layer * c.shape.num_nodes, c.shape.num_nodes);
}

/* A node's replicas, for the packing of its slots. Block b does node b % N of layer b / N. */
static __global__ void __launch_bounds__(kMaxThreads, 1)
    eplb_p_replicate_kernel(const __grid_constant__ eplb_p_cuda_call c)
{
    int32_t layer = (int32_t)blockIdx.x / c.shape.num_nodes, number = (int32_t)blockIdx.x % c.shape.num_nodes, i;
    eplb_p_cuda_loads loads = {};
    eplb_p_cuda_node node;
    eplb_p_board board;

    eplb_p_carve_cuda_node(c.shape, &node);
    board = eplb_p_board_at(node.told);
#pragma unroll 1
    for (i = eplb_p_thread(); i < c.shape.node_groups; i += eplb_p_threads()) {
        int32_t at = number * c.shape.node_groups + i;
        node.group[i] = c.packs_groups ? c.group_order[eplb_p_at(layer, c.shape.num_groups, at)] : (uint16_t)at;
    }
    __syncthreads();
    loads.load = c.load + eplb_p_at(layer, c.shape.num_experts, 0);
    eplb_p_replicate_groups_by_block(c, layer, node.group, loads, node.replicas, &node.auction, board);
    eplb_p_leave_slots_by_block(c, node);
}

/* -------------------------------------------------------------------------------------- shares

   Block b does layer b. Its plan is read, and tokens are counted and linked, by all threads; experts pour by one
   warp, each when those before it on its GPUs have; levelling is the CPU's own code, by the same warp, of which one
   lane searches and pushes. Sums of whole numbers are the same in any order, so atomic ones are. */

/* The argument of the kernels of shares. */
struct eplb_p_cuda_shares {
    eplb_p_shape shape; /* what it points at is in device memory */
    uint32_t *cluster;  /* as in eplb_p_cuda_alone */
    int32_t in_flight;  /* 0: GPUs are alike */
    int32_t how;
    const int32_t *phy2log, *count, *source_count; /* count or source_count */
    int32_t *slot_count, *most, *quota, *layer_status;
    const int32_t *given;   /* [L, R] shares, for their sources */
    unsigned char *scratch; /* [L or in_flight, layer_bytes]; NULL: a layer's state is in shared memory */
    size_t layer_bytes;     /* of its state */
    int32_t workers;        /* experts whose tokens are sent at the same time */
};

static constexpr int64_t kTooMany = (int64_t)INT32_MAX + 1;
static constexpr size_t kReduceBytes = sizeof(uint64_t) * kShareWarps;

/* The smallest key of a block, in all its threads; reduce [kShareWarps] is shared. */
static __device__ uint64_t eplb_p_block_min(uint64_t key, uint64_t *reduce)
{
    int32_t warp;

    key = eplb_p_warp_min(key);
    if (eplb_p_threads() == kWarp) return key;
    if (eplb_p_lane() == 0) reduce[eplb_p_warp()] = key;
    __syncthreads();
#pragma unroll 1
    for (warp = 0; warp < eplb_p_threads() / kWarp; warp++) key = eplb_p_smaller(key, reduce[warp]);
    __syncthreads();
    return key;
}

/* The largest of the bits of non-negative floats. */
static __device__ uint32_t eplb_p_block_max_bits(uint32_t bits, uint64_t *reduce)
{
    return ~(uint32_t)eplb_p_block_min(~bits, reduce);
}

/* The sum of numbers >= 0 over a block, in all its threads. What is above INT32_MAX is only known to be that. */
static __device__ int64_t eplb_p_block_sum(int64_t x, uint64_t *reduce)
{
    uint32_t part = (uint32_t)(x < kTooMany ? x : kTooMany);
    uint32_t low = __reduce_add_sync(kAllLanes, part & 0xFFFFFF), high = __reduce_add_sync(kAllLanes, part >> 24);
    int64_t sum = 0;
    int32_t warp;

    if (eplb_p_lane() == 0) reduce[eplb_p_warp()] = ((uint64_t)high << 24) + low;
    __syncthreads();
#pragma unroll 1
    for (warp = 0; warp < eplb_p_threads() / kWarp; warp++) sum += (int64_t)reduce[warp];
    __syncthreads();
    return sum;
}

/* The sum of x over the threads before this one; total is that over all. */
static __device__ int32_t eplb_p_block_scan(int32_t x, int32_t *total, uint64_t *reduce)
{
    int32_t upto = x, before = 0, step, warp;

#pragma unroll 1
    for (step = 1; step < kWarp; step *= 2) {
        int32_t other = (int32_t)__shfl_sync(kAllLanes, (uint32_t)upto, eplb_p_lane() - step);
        if (eplb_p_lane() >= step) upto += other;
    }
    if (eplb_p_lane() == kWarp - 1) reduce[eplb_p_warp()] = (uint64_t)upto;
    __syncthreads();
    *total = 0;
#pragma unroll 1
    for (warp = 0; warp < eplb_p_threads() / kWarp; warp++) {
        if (warp < eplb_p_warp()) before += (int32_t)reduce[warp];
        *total += (int32_t)reduce[warp];
    }
    __syncthreads();
    return before + upto - x;
}

/* Whether no slot before this one on its GPU holds its expert. */
static __device__ bool eplb_p_is_first_on_gpu(const eplb_p_gpus &gpus, const int32_t *phy2log, int32_t slot)
{
    int32_t other = eplb_p_begin_of(&gpus, eplb_p_gpu_with(&gpus, slot));
#pragma unroll 1
    while (phy2log[other] != phy2log[slot]) other++;
    return other == slot;
}

static __device__ void eplb_p_find_homes_by_block(const eplb_p_sharer &s, const int32_t *phy2log)
{
    int32_t i;

#pragma unroll 1
    for (i = eplb_p_thread(); i < s.num_experts; i += eplb_p_threads()) {
        s.num_homes[i] = 0;
        s.home[i] = -1;
    }
#pragma unroll 1
    for (i = eplb_p_thread(); i < s.num_gpus; i += eplb_p_threads()) s.load[i] = 0;
    __syncthreads();
#pragma unroll 1
    for (i = eplb_p_thread(); i < s.num_slots; i += eplb_p_threads()) {
        int32_t e = phy2log[i];
        if (!eplb_p_within(e, 0, s.num_experts - 1) || !eplb_p_is_first_on_gpu(s.gpus, phy2log, i)) continue;
        atomicAdd(&s.num_homes[e], 1);
        atomicMax(&s.home[e], eplb_p_gpu_with(&s.gpus, i));
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

#pragma unroll 1
    for (i = eplb_p_thread(); i < s.num_slots; i += eplb_p_threads())
        if (!eplb_p_within(phy2log[i], EPLB_P_EMPTY, s.num_experts - 1)) wrong = NO_EXPERT;
#pragma unroll 1
    for (i = eplb_p_thread(); i < s.num_experts; i += eplb_p_threads()) {
        if (count[i] < 0) wrong = eplb_p_smaller(wrong, NEGATIVE);
        else if (count[i] > 0 && s.num_homes[i] == 0) wrong = eplb_p_smaller(wrong, HOMELESS);
        else tokens += count[i];
    }
    wrong = eplb_p_block_min(wrong, reduce);
    *sum = eplb_p_block_sum(tokens, reduce);
    if (wrong != NOTHING) return wrong == NEGATIVE ? EPLB_ERR_NEGATIVE : EPLB_ERR_PLAN;
    return *sum <= INT32_MAX ? EPLB_OK : EPLB_ERR_OVERFLOW;
}

/* eplb_p_spread_experts: home is then where the next link of a spread expert goes, before they are sorted. */
static __device__ void eplb_p_spread_by_block(eplb_p_sharer &s, const int32_t *count, int32_t sum, uint64_t *reduce)
{
    eplb_p_run mine = eplb_p_part_of(s.num_experts);
    int32_t links = 0, spreads = 0, num_links, e, i;
    uint32_t full = 0;

#pragma unroll 1
    for (e = mine.first; e < mine.end; e++) {
        bool is_spread = count[e] > 0 && s.num_homes[e] > 1;
        s.next_link[e] = is_spread ? 0 : EPLB_P_NO_LINK;
        links += is_spread ? s.num_homes[e] : 0;
        spreads += is_spread;
    }
    links = eplb_p_block_scan(links, &num_links, reduce);
    spreads = eplb_p_block_scan(spreads, &s.num_spread, reduce);
#pragma unroll 1
    for (e = mine.first; e < mine.end; e++) {
        if (s.next_link[e] == EPLB_P_NO_LINK) {
            if (count[e] > 0) atomicAdd(&s.load[s.home[e]], count[e]);
            continue;
        }
        s.next_link[e] = s.home[e] = s.first_link[spreads] = links;
        s.spread_level[spreads] = EPLB_P_UNSEEN;
#pragma unroll 1
        for (i = 0; i < s.num_homes[e]; i++, links++) {
            s.link_spread[links] = spreads;
            s.tokens[links] = eplb_p_even_share(count[e], s.num_homes[e], i);
        }
        spreads++;
    }
    if (eplb_p_thread() == 0 && s.num_spread > 0) s.first_link[s.num_spread] = num_links;
    __syncthreads();
#pragma unroll 1
    for (i = eplb_p_thread(); i < s.num_gpus; i += eplb_p_threads())
        if ((uint32_t)s.load[i] > full) full = (uint32_t)s.load[i];
    s.least_most = (int32_t)eplb_p_block_max_bits(full, reduce);
    if (s.least_most < eplb_p_mean_up(sum, s.num_gpus)) s.least_most = eplb_p_mean_up(sum, s.num_gpus);
}

/* The place of a GPU or slot among those of an expert, which stand in any order. */
static __device__ int32_t eplb_p_rank_among(const int32_t *all, int32_t n, int32_t one)
{
    int32_t rank = 0, i;
#pragma unroll 1
    for (i = 0; i < n; i++) rank += all[i] < one;
    return rank;
}

/* eplb_p_link_gpus. Until they are sorted, the GPUs of links are in spread_at. */
static __device__ void eplb_p_link_by_block(const eplb_p_sharer &s, const int32_t *phy2log, uint64_t *reduce)
{
    eplb_p_run mine = eplb_p_part_of(s.num_slots);
    int32_t at = 0, num_links, slot, e;

#pragma unroll 1
    for (slot = mine.first; slot < mine.end; slot++) {
        e = phy2log[slot];
        s.slot_link[slot] = EPLB_P_NO_LINK;
        if (e == EPLB_P_EMPTY || s.next_link[e] == EPLB_P_NO_LINK) continue;
        if (!eplb_p_is_first_on_gpu(s.gpus, phy2log, slot)) continue;
        s.slot_link[slot] = 0; /* one is wanted */
        s.spread_at[atomicAdd(&s.home[e], 1)] = eplb_p_gpu_with(&s.gpus, slot);
        at++;
    }
    at = eplb_p_block_scan(at, &num_links, reduce);
#pragma unroll 1
    for (slot = mine.first; slot < mine.end; slot++) {
        int32_t gpu = eplb_p_gpu_with(&s.gpus, slot), link;
        bool is_first = s.slot_link[slot] != EPLB_P_NO_LINK;
        e = phy2log[slot];
        if (slot == eplb_p_begin_of(&s.gpus, gpu)) s.gpu_first[gpu] = at;
        if (e != EPLB_P_EMPTY && s.next_link[e] != EPLB_P_NO_LINK) {
            link = s.next_link[e] + eplb_p_rank_among(s.spread_at + s.next_link[e], s.num_homes[e], gpu);
            s.slot_link[slot] = link;
            if (is_first) {
                s.link_gpu[link] = gpu;
                s.gpu_link[at++] = link;
                atomicAdd(&s.load[gpu], s.tokens[link]);
            }
        }
        if (slot + 1 == eplb_p_end_of(&s.gpus, gpu)) s.gpu_end[gpu] = at;
    }
    __syncthreads();
}

/* Fill by a warp. On each GPU the experts take turns in their order, sweep by sweep; an expert whose turn it is on
   all of its GPUs pours, and others do so at the same time elsewhere. */
struct eplb_p_turns {
    int32_t *turn;   /* [R] of each link on its GPU */
    int32_t *poured; /* [G] turns that are over */
    int32_t *sweep;  /* [R] of each spread expert, the next one */
};

static __device__ eplb_p_turns eplb_p_find_turns(const eplb_p_sharer &s)
{
    eplb_p_turns t = {s.reached_spread, s.reached, s.spread_at};
    int32_t gpu, spread, i, other;

#pragma unroll 1
    for (spread = eplb_p_thread(); spread < s.num_spread; spread += eplb_p_threads()) t.sweep[spread] = 0;
#pragma unroll 1
    for (gpu = eplb_p_thread(); gpu < s.num_gpus; gpu += eplb_p_threads()) {
        t.poured[gpu] = 0;
#pragma unroll 1
        for (i = s.gpu_first[gpu]; i < s.gpu_end[gpu]; i++) {
            int32_t before = 0, link = s.gpu_link[i];
#pragma unroll 1
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

#pragma unroll 1
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
#pragma unroll 1
    for (i = s->first_link[spread]; i < s->first_link[spread + 1]; i++) t.poured[s->link_gpu[i]]++;
}

static __device__ void eplb_p_fill_by_warp(eplb_p_sharer *s, const eplb_p_turns &t, int32_t num_sweeps)
{
    bool waits = true;
    int32_t first;

#pragma unroll 1
    while (__ballot_sync(kAllLanes, waits)) {
        waits = false;
#pragma unroll 1
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
    int32_t gpu = eplb_p_gpu_with(&s.gpus, slot), copies = 0, rank = 0, other;
    int32_t served = s.slot_link[slot] != EPLB_P_NO_LINK ? s.tokens[s.slot_link[slot]] : count[phy2log[slot]];

#pragma unroll 1
    for (other = eplb_p_begin_of(&s.gpus, gpu); other < eplb_p_end_of(&s.gpus, gpu); other++) {
        copies += phy2log[other] == phy2log[slot];
        rank += phy2log[other] == phy2log[slot] && other < slot;
    }
    return copies == 1 ? served : eplb_p_even_share(served, copies, rank);
}

/* A layer that cannot be done. */
static __device__ void eplb_p_refuse_layer(int32_t *out, size_t n)
{
    size_t i;
#pragma unroll 1
    for (i = (size_t)eplb_p_thread(); i < n; i += (size_t)eplb_p_threads()) out[i] = 0;
}

static __device__ void eplb_p_solve_layer(eplb_p_sharer *s, int32_t how)
{
    if (how == EPLB_SHARE_FAIR) eplb_p_share_fairly(s);
    else eplb_p_share_least_max(s);
}

/* Where a layer's state is, 256 bytes aligned or not: the arena sees to that. */
static __device__ eplb_p_arena eplb_p_layer_arena(const eplb_p_cuda_shares &c, int32_t layer)
{
    if (c.scratch) return eplb_p_arena_at(c.scratch + (size_t)layer * c.layer_bytes);
    return eplb_p_arena_at(eplb_p_shared + kReduceBytes);
}

static __global__ void __launch_bounds__(kShareThreads, 1)
    eplb_p_share_kernel(const __grid_constant__ eplb_p_cuda_shares c)
{
    uint64_t *reduce = (uint64_t *)eplb_p_shared;
    int32_t layer = (int32_t)blockIdx.x, slot, num_slots = c.shape.num_replicas, most;
    const int32_t *phy2log = c.phy2log + eplb_p_at(layer, num_slots, 0);
    const int32_t *count = c.count + eplb_p_at(layer, c.shape.num_experts, 0);
    int32_t *slot_count = c.slot_count + eplb_p_at(layer, num_slots, 0);
    eplb_p_arena a = eplb_p_layer_arena(c, layer);
    eplb_p_sharer s = eplb_p_carve_sharer(&a, &c.shape);
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
#pragma unroll 1
    for (slot = eplb_p_thread(); slot < num_slots; slot += eplb_p_threads())
        slot_count[slot] = phy2log[slot] == EPLB_P_EMPTY ? 0 : eplb_p_share_of_slot(s, phy2log, count, slot);
}

/* shares: sources */

/* A dealer, and for each worker what waits of one expert. */
struct eplb_p_cuda_dealer {
    eplb_p_dealer of_layer;
    int32_t *spread;  /* [E] experts in several slots */
    int32_t *waiting; /* [workers, row] */
    int32_t row;      /* odd, so that workers look at different banks of shared memory */
    int32_t num_spread;
};

EPLB_P_HD eplb_p_cuda_dealer eplb_p_carve_cuda_dealer(eplb_p_arena *a, const eplb_p_shape *shape, int32_t workers)
{
    eplb_p_cuda_dealer d = EPLB_ZERO_INIT;
    d.of_layer = eplb_p_carve_dealer(a, shape);
    d.row = shape->num_gpus | 1;
    d.spread = (int32_t *)eplb_p_take(a, shape->num_experts, sizeof(int32_t));
    d.waiting = (int32_t *)eplb_p_take(a, workers, sizeof(int32_t) * (size_t)d.row);
    return d;
}

/* What waits, in order: the code of what is found wrong first. The sum is of all that waits. */
static __device__ eplb_result eplb_p_check_waiting_by_block(const eplb_p_dealer &d, const int32_t *source_count,
                                                            int64_t *sum, uint64_t *reduce)
{
    uint64_t n = (uint64_t)d.num_gpus * (uint64_t)d.num_experts, negative = kLast, i;
    int64_t tokens = 0;
    int32_t gpu, e;

#pragma unroll 1
    for (e = eplb_p_thread(); e < d.num_experts; e += eplb_p_threads()) d.num_copies[e] = d.first_slot[e] = 0;
#pragma unroll 1
    for (i = (uint64_t)eplb_p_thread(); i < n && negative == kLast; i += (uint64_t)eplb_p_threads())
        if (source_count[i] < 0) negative = i;
    negative = eplb_p_block_min(negative, reduce);
#pragma unroll 1
    for (i = (uint64_t)eplb_p_thread(); i < n && i < negative; i += (uint64_t)eplb_p_threads())
        tokens += source_count[i];
    *sum = eplb_p_block_sum(tokens, reduce);
    if (*sum > INT32_MAX) return EPLB_ERR_OVERFLOW;
    if (negative != kLast) return EPLB_ERR_NEGATIVE;
#pragma unroll 1
    for (e = eplb_p_thread(); e < d.num_experts; e += eplb_p_threads())
#pragma unroll 1
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

#pragma unroll 1
    for (slot = eplb_p_thread(); slot < d.num_slots && first == kLast; slot += eplb_p_threads()) {
        if (!eplb_p_within(phy2log[slot], EPLB_P_EMPTY, d.num_experts - 1))
            first = (uint64_t)slot << 8 | (uint64_t)-EPLB_ERR_PLAN;
        else if (given[slot] < 0) first = (uint64_t)slot << 8 | (uint64_t)-EPLB_ERR_NEGATIVE;
    }
    first = eplb_p_block_min(first, reduce);
    if (first != kLast) end = (int64_t)(first >> 8);
#pragma unroll 1
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
#pragma unroll 1
    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads())
        if (phy2log[slot] != EPLB_P_EMPTY) atomicAdd(&d.num_copies[phy2log[slot]], -given[slot]);
    __syncthreads();
#pragma unroll 1
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
    eplb_p_run mine = eplb_p_part_of(d.num_experts);
    int32_t slots = 0, spreads = 0, num_slots, e, slot, i;

#pragma unroll 1
    for (e = mine.first; e < mine.end; e++) {
        slots += d.first_slot[e];
        spreads += d.first_slot[e] > 1;
    }
    slots = eplb_p_block_scan(slots, &num_slots, reduce);
    spreads = eplb_p_block_scan(spreads, &all->num_spread, reduce);
#pragma unroll 1
    for (e = mine.first; e < mine.end; e++) {
        int32_t copies = d.first_slot[e];
        if (copies > 1) all->spread[spreads++] = e;
        d.num_copies[e] = 0;
        d.first_slot[e] = slots;
        slots += copies;
    }
    __syncthreads();
#pragma unroll 1
    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads())
        if (phy2log[slot] != EPLB_P_EMPTY)
            d.room[d.first_slot[phy2log[slot]] + atomicAdd(&d.num_copies[phy2log[slot]], 1)] = slot;
    __syncthreads();
#pragma unroll 1
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

#pragma unroll 1
    for (slot = eplb_p_thread(); slot < d.num_slots; slot += eplb_p_threads()) d.room[slot] = given[slot];
#pragma unroll 1
    for (gpu = eplb_p_warp(); gpu < d.num_gpus; gpu += eplb_p_threads() / kWarp) {
        const int32_t *waits = source_count + eplb_p_at(gpu, d.num_experts, 0);
#pragma unroll 1
        for (slot = eplb_p_lane(); slot < d.num_slots; slot += kWarp) {
            int32_t e = phy2log[slot];
            bool is_single = e != EPLB_P_EMPTY && d.num_copies[e] == 1;
            quota[eplb_p_at(gpu, d.num_slots, slot)] = is_single ? waits[e] : 0;
        }
    }
}

/* So many experts at once, a thread each. */
static __device__ void eplb_p_deal_by_block(const eplb_p_cuda_dealer &all, int32_t workers, const int32_t *source_count,
                                            int32_t *quota)
{
    eplb_p_dealer d = all.of_layer;
    int32_t first, worker, gpu;

#pragma unroll 1
    for (first = 0; first < all.num_spread; first += workers) {
        int32_t num = all.num_spread - first < workers ? all.num_spread - first : workers;
#pragma unroll 1
        for (gpu = eplb_p_warp(); gpu < d.num_gpus; gpu += eplb_p_threads() / kWarp)
#pragma unroll 1
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

static __global__ void __launch_bounds__(kShareThreads, 1)
    eplb_p_sources_kernel(const __grid_constant__ eplb_p_cuda_shares c)
{
    uint64_t *reduce = (uint64_t *)eplb_p_shared;
    int32_t layer = (int32_t)blockIdx.x;
    size_t slots = (size_t)c.shape.num_replicas;
    const int32_t *phy2log = c.phy2log + (size_t)layer * slots, *given = c.given + (size_t)layer * slots;
    size_t sources = eplb_p_at(c.shape.num_gpus, c.shape.num_experts, 0);
    size_t quotas = eplb_p_at(c.shape.num_gpus, c.shape.num_replicas, 0);
    const int32_t *source_count = c.source_count + (size_t)layer * sources;
    int32_t *quota = c.quota + (size_t)layer * quotas;
    eplb_p_arena a = eplb_p_layer_arena(c, layer);
    eplb_p_cuda_dealer d = eplb_p_carve_cuda_dealer(&a, &c.shape, c.workers);
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

/* ----------------------------------------------------------------- a layer by a warp or a thread

   What the kernels above do not know (effort, a plan in force, GPUs that are not alike, reports) is done by the CPU's
   own functions, which nvcc makes for the GPU too: each layer by the only warp of a block, or by its only thread, in
   scratch of its own. So there is one function for each decision. Layers beyond those in flight take their turn in the
   same scratch.
   The warp is the team of eplb.h, whose struct of what is planned is in shared memory. Where one thread counts its steps
   and ends when it has taken so many, a warp takes some more, and knows no better than that it has taken enough: where
   steps run out it leaves the layer to a thread. Where the order in which one thread looks may decide, lane 0 looks once
   more by itself. */

/* The argument of those that plan and report. What a shape points at is in device memory. */
struct eplb_p_cuda_alone {
    eplb_p_shape shape;
    eplb_p_shape fresh; /* the same with no plan in force, and so nothing locked */
    const float *weight;
    eplb_plan plan;
    eplb_layer_report *report;
    float *gpu_load;
    int32_t *layer_status;
    uint32_t *cluster;      /* [3, G] slots that may be used, speed, node of each GPU; NULL where GPUs are alike */
    int32_t *left;          /* [in_flight] the first layer that a block's warp has left to a thread; NULL: all are */
    unsigned char *scratch; /* [in_flight, layer_bytes] */
    size_t layer_bytes;
    int32_t in_flight;
    int32_t by_team; /* whether a warp plans a layer, first */
};

/* Behind what plans a layer. */
static __host__ __device__ void *eplb_p_team_room(void *own)
{
    (void)own;
    return EPLB_P_BY_WARP(eplb_p_shared + kPlanningBytes, own);
}

/* Keys in ascending order: runs of a lane's, then two of them merged to one that is twice as long, by the lanes that
   they are of. Each makes the part of it that stands where its own keys did, and finds by bisection how many of both runs go
   before. */
static __host__ __device__ void eplb_p_team_sort(uint64_t *key, uint64_t *spare, int n)
{
    eplb_p_run own = eplb_p_run_of_lane(n);
    int first = own.first, end = own.end, run;
    uint64_t *from = key, *to = spare, *swap;

    eplb_p_sort(key + first, spare + first, end - first);
    eplb_p_team_wait();
    for (run = own.each; run < n; run *= 2) {
        int left = first / (2 * run) * (2 * run), right = eplb_p_least(n, left + run);
        int last = eplb_p_least(n, left + 2 * run), before = first - left, i, j, low, high, at;
        low = before > last - right ? before - (last - right) : 0;
        high = eplb_p_least(before, right - left);
        while (low < high) { /* of the keys before, so many are of the left run */
            int middle = (low + high) / 2;
            if (from[left + middle] < from[right + before - middle - 1]) low = middle + 1;
            else high = middle;
        }
        for (at = first, i = left + low, j = right + before - low; at < end; at++) {
            int is_left = j >= last || (i < right && from[i] < from[j]);
            to[at] = from[is_left ? i : j];
            i += is_left;
            j += !is_left;
        }
        eplb_p_team_wait();
        swap = from;
        from = to;
        to = swap;
    }
    if (from == key) return;
    for (run = first; run < end; run++) key[run] = from[run];
    eplb_p_team_wait();
}

/* What is wrong with the samples of a layer, as eplb_rebalance would say. */
static __device__ eplb_result eplb_p_check_samples_alone(const eplb_p_cuda_alone &c, int32_t layer)
{
    eplb_result r = eplb_p_check_sample_weight(&c.shape, NULL);
    if (r != EPLB_OK) return r;
    return eplb_p_check_loads(c.weight, c.shape.num_samples, c.shape.num_layers, c.shape.num_experts, layer, 1, NULL);
}

/* The same of its plan in force, and of what is locked in it. */
static __device__ eplb_result eplb_p_check_in_force_alone(eplb_p_planner *p, int32_t layer)
{
    const eplb_p_shape *shape = p->layer.shape;
    const int32_t *old_slot = shape->options.previous_phy2log;

    if (!old_slot) return EPLB_OK;
    if (eplb_p_find_fault_in_force(p, old_slot + eplb_p_at(layer, shape->num_replicas, 0), layer) >= 0)
        return EPLB_ERR_PLAN;
    if (!p->layer.locked) return EPLB_OK;
    eplb_p_number_locked(&p->layer, layer);
    return eplb_p_find_locked_fault(&p->layer) >= 0 ? EPLB_ERR_PLAN : EPLB_OK;
}

static __device__ void eplb_p_open_alone(const eplb_p_shape &shape, unsigned char *scratch, eplb_p_planning *all)
{
    eplb_p_arena a = eplb_p_arena_at(scratch);
    eplb_p_planning none = EPLB_ZERO_INIT;

    *all = none;
    eplb_p_carve_planning(&a, &shape, all);
    eplb_p_number_cluster(&all->planner.layer.cluster, &shape);
}

/* Loads that are none are taken for even ones, and a plan in force that is none for none. By the team. Returns
   whether the plan is stored: not one that may not be what one thread makes. */
static __device__ bool eplb_p_plan_alone(const eplb_p_cuda_alone &c, unsigned char *scratch, int32_t layer)
{
    eplb_p_planning &all = *(eplb_p_planning *)(void *)eplb_p_shared;
    eplb_result samples = EPLB_OK, in_force = EPLB_OK, width;

    samples = eplb_p_check_samples_alone(c, layer);
    if (eplb_p_team_lane() == 0) {
        eplb_p_open_alone(c.shape, scratch, &all);
        in_force = eplb_p_check_in_force_alone(&all.planner, layer);
        if (in_force != EPLB_OK) eplb_p_open_alone(c.fresh, scratch, &all);
    }
    eplb_p_team_wait();
    eplb_p_plan_in_hand(&all, samples == EPLB_OK ? c.weight : NULL, layer);
    if (eplb_p_team_first(eplb_p_team_lane() == 0 && all.search.is_unsure)) return false;
    width = eplb_p_check_width(&all.planner.layer, &c.plan, NULL);
    eplb_p_store_layer(&all.planner.layer, &c.plan);
    if (c.plan.layer_status && eplb_p_team_lane() == 0)
        c.plan.layer_status[layer] = samples != EPLB_OK ? samples : in_force != EPLB_OK ? in_force : width;
    return true;
}

/* Where block b works. */
template <class Call> static __device__ unsigned char *eplb_p_scratch_of_block(const Call &c)
{
    return c.scratch + (size_t)blockIdx.x * c.layer_bytes;
}

/* Block b does layer b, and each that is a multiple of in_flight on, up to the first whose plan is not stored: a thread
   goes on there. Told that a block has one thread, ptxas gives it fewer registers than it can use. */
static __global__ void eplb_p_alone_kernel(const __grid_constant__ eplb_p_cuda_alone c)
{
    int32_t layer = (int32_t)blockIdx.x;
    if (eplb_p_team() == 1 && c.left) layer = c.left[blockIdx.x];
#pragma unroll 1
    while (layer < c.shape.num_layers && eplb_p_plan_alone(c, eplb_p_scratch_of_block(c), layer)) {
        eplb_p_team_wait();
        layer += c.in_flight;
    }
    if (eplb_p_team() > 1 && eplb_p_team_lane() == 0) c.left[blockIdx.x] = layer;
}

static __device__ void eplb_p_store_gpu_loads(const eplb_p_cuda_alone &c, const eplb_p_evaluator &v, int32_t layer,
                                              int is_none)
{
    int32_t gpu;
    if (!c.gpu_load) return;
#pragma unroll 1
    for (gpu = eplb_p_lane(); gpu < c.shape.num_gpus; gpu += kWarp)
        c.gpu_load[eplb_p_at(layer, c.shape.num_gpus, gpu)] = is_none ? 0.0f : eplb_p_reported(v.gpu_sum[gpu]);
}

static __device__ void eplb_p_evaluate_alone(const eplb_p_cuda_alone &c, unsigned char *scratch, int32_t layer)
{
    eplb_p_evaluator &v = *(eplb_p_evaluator *)(void *)eplb_p_shared;
    const int32_t *phy2log = eplb_p_layer_slots(&c.shape, &c.plan, layer);
    eplb_p_arena a = eplb_p_arena_at(scratch);
    eplb_layer_report report = EPLB_ZERO_INIT;
    eplb_result result = eplb_p_check_samples_alone(c, layer);

    if (eplb_p_lane() == 0) {
        v = eplb_p_carve_evaluator(&a, &c.shape);
        eplb_p_list_places(&v.bounder);
    }
    __syncwarp();
    if (result == EPLB_OK) result = eplb_p_count_replicas(&v, phy2log);
    if (result == EPLB_OK) eplb_p_report_layer(&v, c.weight, layer, phy2log, &report);
    eplb_p_store_gpu_loads(c, v, layer, result != EPLB_OK);
    if (eplb_p_lane() == 0) c.report[layer] = report;
    if (eplb_p_lane() == 0 && c.layer_status) c.layer_status[layer] = result;
    __syncwarp();
}

static __global__ void eplb_p_evaluate_kernel(const __grid_constant__ eplb_p_cuda_alone c)
{
    int32_t layer;
#pragma unroll 1
    for (layer = (int32_t)blockIdx.x; layer < c.shape.num_layers; layer += c.in_flight)
        eplb_p_evaluate_alone(c, eplb_p_scratch_of_block(c), layer);
}

static __device__ void eplb_p_share_alone(const eplb_p_cuda_shares &c, unsigned char *scratch, int32_t layer)
{
    const int32_t *phy2log = c.phy2log + eplb_p_at(layer, c.shape.num_replicas, 0);
    const int32_t *count = c.count + eplb_p_at(layer, c.shape.num_experts, 0);
    int32_t *slot_count = c.slot_count + eplb_p_at(layer, c.shape.num_replicas, 0);
    eplb_p_arena a = eplb_p_arena_at(scratch);
    eplb_p_sharer s = eplb_p_carve_sharer(&a, &c.shape);
    eplb_result result;

    eplb_p_ready_gpus(&s);
    result = eplb_p_check_layer_counts(&s, phy2log, count);
    if (c.layer_status) c.layer_status[layer] = result;
    if (result == EPLB_OK) {
        eplb_p_link_layer(&s, phy2log, count, c.how);
        eplb_p_solve_shares(&s, c.how);
        eplb_p_store_shares(&s, phy2log, count, slot_count);
    } else {
        eplb_p_refuse_layer(slot_count, (size_t)c.shape.num_replicas);
    }
    if (c.most) c.most[layer] = result == EPLB_OK ? eplb_p_tokens_of_last(&s) : 0;
}

static __global__ void eplb_p_share_alone_kernel(const __grid_constant__ eplb_p_cuda_shares c)
{
    int32_t layer;
    for (layer = (int32_t)blockIdx.x; layer < c.shape.num_layers; layer += c.in_flight)
        eplb_p_share_alone(c, eplb_p_scratch_of_block(c), layer);
}

static __device__ void eplb_p_deal_alone(const eplb_p_cuda_shares &c, unsigned char *scratch, int32_t layer)
{
    size_t sources = eplb_p_at(c.shape.num_gpus, c.shape.num_experts, 0);
    size_t quotas = eplb_p_at(c.shape.num_gpus, c.shape.num_replicas, 0);
    const int32_t *phy2log = c.phy2log + eplb_p_at(layer, c.shape.num_replicas, 0);
    const int32_t *source_count = c.source_count + (size_t)layer * sources;
    const int32_t *given = c.given + eplb_p_at(layer, c.shape.num_replicas, 0);
    int32_t *quota = c.quota + (size_t)layer * quotas;
    eplb_p_arena a = eplb_p_arena_at(scratch);
    eplb_p_dealer d = eplb_p_carve_dealer(&a, &c.shape);
    eplb_result result = eplb_p_check_layer_sources(&d, phy2log, source_count, given);

    if (c.layer_status) c.layer_status[layer] = result;
    if (result == EPLB_OK) eplb_p_deal_layer(&d, phy2log, source_count, given, quota);
    else eplb_p_refuse_layer(quota, quotas);
}

static __global__ void eplb_p_sources_alone_kernel(const __grid_constant__ eplb_p_cuda_shares c)
{
    int32_t layer;
    for (layer = (int32_t)blockIdx.x; layer < c.shape.num_layers; layer += c.in_flight)
        eplb_p_deal_alone(c, eplb_p_scratch_of_block(c), layer);
}

/* Words of the caller's host memory on their way to the device's, without a copy: as a kernel's argument. */
struct eplb_p_cuda_words {
    uint32_t *to;
    int32_t num;
    uint32_t word[kWords];
};

static __global__ void __launch_bounds__(kShareThreads)
    eplb_p_cluster_kernel(const __grid_constant__ eplb_p_cuda_words c)
{
    int32_t i;
#pragma unroll 1
    for (i = eplb_p_thread(); i < c.num; i += eplb_p_threads()) c.to[i] = c.word[i];
}

/* --------------------------------------------------------------------------------------- calls */

/* Whether a packing is within the kernels' limits; also fills it in. */
static eplb_result eplb_p_plan_packing(eplb_p_cuda_packing *packing, const eplb_packing *how, int32_t stage,
                                       int64_t rows, int32_t n, int32_t m)
{
    packing->how = *how;
    packing->stage = stage;
    packing->n = n;
    packing->m = m;
    packing->room = n / m;
    packing->of_room = kNone / (uint32_t)packing->room + 1;
    packing->rows = (int32_t)rows;
    packing->candidates = how->num_candidates > 1 && n > m ? how->num_candidates : 1;
    if (n > EPLB_CUDA_MAX_ITEMS || m > EPLB_CUDA_MAX_PACKS) return EPLB_ERR_DEVICE_SHAPE;
    return rows > INT32_MAX / packing->candidates ? EPLB_ERR_DEVICE_SHAPE : EPLB_OK;
}

/* All but the sample_weight, which is on the device and checked there. */
static eplb_result eplb_p_resolve_for_device(const eplb_problem *problem, const eplb_options *options,
                                             eplb_p_shape *shape)
{
    eplb_options host_options = EPLB_ZERO_INIT;
    eplb_result r;

    if (options) host_options = *options;
    host_options.sample_weight = NULL;
    r = eplb_p_resolve(problem, options ? &host_options : NULL, shape, NULL);
    if (options) shape->options.sample_weight = options->sample_weight;
    return r;
}

/* Whether it takes what only the CPU's own functions know. */
static bool eplb_p_is_alone(const eplb_p_shape *shape)
{
    const eplb_options *o = &shape->options;
    return o->effort > 0 || o->previous_phy2log || o->engine != EPLB_ENGINE_NONE || shape->odd;
}

/* The arguments of the kernels but for the caller's pointers, and whether the call can be done at all. */
static eplb_result eplb_p_plan_call(const eplb_problem *problem, const eplb_options *options, eplb_p_cuda_call *c)
{
    eplb_p_shape *shape = &c->shape;
    eplb_result r = eplb_p_resolve_for_device(problem, options, shape);

    if (r != EPLB_OK || eplb_p_is_alone(shape)) return r;
    if (shape->options.replication != EPLB_REPLICATE_HYBRID) shape->options.fixup_steps = 0;

    c->by_dhondt = shape->node_slots;
    c->by_dhondt -= eplb_p_last_tenth(shape->node_slots - shape->node_experts, shape->options.replication);
    c->packs_groups = shape->node_groups > 1;
    if (c->packs_groups)
        r = eplb_p_plan_packing(&c->groups, &shape->options.group_packing, EPLB_P_DRAW_GROUPS, shape->num_layers,
                                shape->num_groups, shape->num_nodes);
    if (r != EPLB_OK) return r;
    return eplb_p_plan_packing(&c->gpus, &shape->options.gpu_packing, EPLB_P_DRAW_GPUS,
                               (int64_t)shape->num_layers * shape->num_nodes, shape->node_slots, shape->node_gpus);
}

static void eplb_p_carve_cuda_packing(eplb_p_arena *a, eplb_p_cuda_packing *packing)
{
    if (packing->candidates == 1) return;
    packing->placed =
        (uint16_t *)eplb_p_take(a, packing->rows * packing->candidates, sizeof(uint16_t) * (size_t)packing->n);
    packing->standing = (eplb_p_standing *)eplb_p_take(a, packing->rows * packing->candidates, sizeof(eplb_p_standing));
    packing->done = (int32_t *)eplb_p_take(a, packing->rows, sizeof(int32_t));
}

/* The only place that knows how scratch is laid out. */
static void eplb_p_carve_call(eplb_p_arena *a, eplb_p_cuda_call *c)
{
    const eplb_p_shape *shape = &c->shape;
    size_t experts = (size_t)shape->num_experts, slots = (size_t)shape->num_replicas;
    size_t groups = (size_t)shape->num_groups;

    c->load = (float *)eplb_p_take(a, shape->num_layers, sizeof(float) * experts);
    c->slot_load = (float *)eplb_p_take(a, shape->num_layers, sizeof(float) * slots);
    c->slot_expert = (int32_t *)eplb_p_take(a, shape->num_layers, sizeof(int32_t) * slots);
    c->slot_rank = (int32_t *)eplb_p_take(a, shape->num_layers, sizeof(int32_t) * slots);
    c->gpus.load = c->slot_load;
    eplb_p_carve_cuda_packing(a, &c->gpus);
    if (!c->packs_groups) return;
    c->group_load = (float *)eplb_p_take(a, shape->num_layers, sizeof(float) * groups);
    c->group_order = (uint16_t *)eplb_p_take(a, shape->num_layers, sizeof(uint16_t) * groups);
    c->groups.load = c->group_load;
    eplb_p_carve_cuda_packing(a, &c->groups);
}

/* Threads for a block that has so many things to do at once. */
static int32_t eplb_p_threads_for(int32_t things, int32_t most)
{
    return things < most ? eplb_p_whole_warps(things) : most;
}

template <class Call>
static eplb_result eplb_p_launch(void (*kernel)(Call), int32_t blocks, int32_t threads, size_t shared_bytes,
                                 const Call *call, cudaStream_t stream)
{
    Call copy = *call;
    void *arguments[1] = {&copy};

    if (cudaLaunchKernel(kernel, dim3((unsigned)blocks), dim3((unsigned)threads), arguments, shared_bytes, stream)
        == cudaSuccess)
        return EPLB_OK;
    cudaGetLastError(); /* reported here, so it need not be found a second time */
    return EPLB_ERR_CUDA;
}

/* Whether each node of a layer is done by one block, at least up to its slots. Blocks of a layer do not wait for one
   another, so none of several may find that log2phy is too narrow, which would be told over what another says of the
   loads. */
static bool eplb_p_fits_blocks(const eplb_p_cuda_call *c)
{
    const eplb_p_shape *shape = &c->shape;
    int32_t widest = shape->node_slots - shape->node_experts + 1, cap = shape->options.max_replicas;

    if (cap > 0 && widest > cap) widest = cap;
    if (c->packs_groups && c->groups.candidates > 1) return false;
    if (shape->num_nodes > kMostNodes) return false;
    if (shape->num_nodes > 1 && c->plan.log2phy && c->plan.log2phy_width < widest) return false;
    return eplb_p_plan_bytes(*c) <= kMaxShared;
}

/* Threads that have something to do with a packing: for its items, or for the pairs of packs that are looked at for
   each swap: those of two packs where the best swaps are kept, else, by L2, any number. */
static int32_t eplb_p_threads_for_packing(const eplb_p_cuda_packing *packing)
{
    const eplb_packing *how = &packing->how;
    int32_t items = eplb_p_threads_for(packing->n, kMaxThreads), per_warp, pairs;

    if (!eplb_p_looks_at_pairs(*how, packing->m)) return items;
    per_warp = kWarp / eplb_p_least(packing->n / packing->m, kWarp);
    if (packing->m > kMaxThreads / kWarp * per_warp) return kMaxThreads;
    pairs = eplb_p_threads_for((2 * packing->m + per_warp - 1) / per_warp * kWarp, kMaxThreads);
    return pairs > items ? pairs : items;
}

static eplb_result eplb_p_launch_plan(const eplb_p_cuda_call *c, cudaStream_t stream)
{
    int32_t threads = c->gpus.candidates == 1 ? eplb_p_threads_for_packing(&c->gpus)
                                              : eplb_p_threads_for(c->shape.node_slots, kMaxThreads);
    return eplb_p_launch(eplb_p_plan_kernel, c->gpus.rows, threads, eplb_p_plan_bytes(*c), c, stream);
}

static eplb_result eplb_p_launch_layers(const eplb_p_cuda_call *c, cudaStream_t stream)
{
    uint32_t shared = 0;
    eplb_p_take_board(&shared);
    return eplb_p_launch(eplb_p_layers_kernel, c->shape.num_layers,
                         eplb_p_threads_for(c->shape.num_experts, kMaxThreads), shared, c, stream);
}

static eplb_result eplb_p_launch_replicate(const eplb_p_cuda_call *c, cudaStream_t stream)
{
    eplb_p_cuda_node node;
    uint32_t shared = eplb_p_carve_cuda_node(c->shape, &node);
    return eplb_p_launch(eplb_p_replicate_kernel, c->gpus.rows, eplb_p_threads_for(c->shape.node_slots, kMaxThreads),
                         shared, c, stream);
}

/* Threads for one of so many blocks, that few of them need wait until others are done. */
static int32_t eplb_p_threads_on_sm(int32_t blocks)
{
    int32_t threads = kThreadsOnSm / ((blocks - 1) / kSms + 1) / kWarp * kWarp;
    if (threads < kFewThreads) return kFewThreads;
    return eplb_p_least(threads, kPackThreads);
}

/* All candidates of one of the two packings, and the choice among them. */
static eplb_result eplb_p_launch_packing(const eplb_p_cuda_call *call, int32_t at_groups, cudaStream_t stream)
{
    const eplb_p_cuda_packing *packing = at_groups ? &call->groups : &call->gpus;
    int32_t blocks = packing->rows * packing->candidates;
    int32_t threads = eplb_p_least(eplb_p_threads_for_packing(packing), eplb_p_threads_on_sm(blocks));
    eplb_p_cuda_call c = *call;
    eplb_p_cuda_candidate candidate;
    uint32_t shared = 0;

    c.at_groups = at_groups;
    eplb_p_take_board(&shared);
    eplb_p_carve_candidate(&shared, *packing, &candidate);
    return eplb_p_launch(eplb_p_pack_kernel, blocks, threads, shared, &c, stream);
}

/* The caller's pointers, checked as eplb_rebalance does and in its order. */
static eplb_result eplb_p_check_attached(const eplb_p_arena *measured, const eplb_p_shape *shape, const float *weight,
                                         const eplb_plan *plan, void *scratch, size_t scratch_bytes)
{
    eplb_result r = eplb_p_check_scratch(measured, scratch, scratch_bytes, NULL);
    if (r != EPLB_OK) return r;
    if (!weight || !plan || !plan->phy2log) return EPLB_ERR_NULL;
    if (plan->log2phy && plan->log2phy_width > 0
        && !eplb_p_array_fits(shape->num_layers, shape->num_experts, plan->log2phy_width))
        return EPLB_ERR_OVERFLOW;
    return EPLB_OK;
}

/* calls: a layer by one thread */

static size_t eplb_p_planning_bytes(const eplb_p_shape *shape)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_p_planning all = EPLB_ZERO_INIT;
    eplb_p_carve_planning(&a, shape, &all);
    return a.overflowed ? 0 : a.peak;
}

static size_t eplb_p_evaluating_bytes(const eplb_p_shape *shape)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_p_carve_evaluator(&a, shape);
    return a.overflowed ? 0 : a.peak;
}

/* Whether a warp plans a layer: shares are equal, and what numbers pairs of slots has 31 bits. */
static bool eplb_p_suits_team(const eplb_p_shape *s)
{
    return !s->exact && (int64_t)s->num_replicas * (s->gpus.room + 1) < INT32_MAX;
}

/* The shapes, and how much each layer needs; its shape is known. */
static eplb_result eplb_p_open_alone_call(const eplb_problem *problem, const eplb_options *options,
                                          eplb_p_cuda_alone *c)
{
    eplb_problem free_problem = *problem;
    eplb_options free_options = c->shape.options;
    size_t fresh_bytes;
    eplb_result r;

    free_problem.locked = NULL;
    free_options.previous_phy2log = NULL;
    r = eplb_p_resolve_for_device(&free_problem, options ? &free_options : NULL, &c->fresh);
    if (r != EPLB_OK) return r;
    c->layer_bytes = eplb_p_planning_bytes(&c->shape);
    fresh_bytes = eplb_p_planning_bytes(&c->fresh);
    if (c->layer_bytes == 0 || fresh_bytes == 0) return EPLB_ERR_OVERFLOW;
    if (fresh_bytes > c->layer_bytes) c->layer_bytes = fresh_bytes;
    c->by_team = eplb_p_suits_team(&c->shape);
    c->in_flight = eplb_p_least(c->shape.num_layers, kInFlight);
    return EPLB_OK;
}

static eplb_result eplb_p_open_evaluating_call(const eplb_problem *problem, const eplb_options *options,
                                               eplb_p_cuda_alone *c)
{
    eplb_result r = eplb_p_resolve_for_device(problem, options, &c->shape);
    if (r != EPLB_OK) return r;
    c->layer_bytes = eplb_p_evaluating_bytes(&c->shape);
    c->in_flight = eplb_p_least(c->shape.num_layers, kInFlight);
    return c->layer_bytes == 0 ? EPLB_ERR_OVERFLOW : EPLB_OK;
}

/* The only place that knows how its scratch is laid out. */
static void eplb_p_carve_call(eplb_p_arena *a, eplb_p_cuda_alone *c)
{
    const eplb_p_shape *s = &c->shape;

    c->left = c->by_team ? (int32_t *)eplb_p_take(a, c->in_flight, sizeof(int32_t)) : NULL;
    c->cluster = NULL;
    if (s->gpus.usable_slots || s->speed || s->node_of)
        c->cluster = (uint32_t *)eplb_p_take(a, s->num_gpus, 3 * sizeof(uint32_t));
    c->scratch = (unsigned char *)eplb_p_take(a, c->in_flight, c->layer_bytes);
}

/* Of either kind of call. */
template <typename Call>
static eplb_result eplb_p_attach(Call *c, const float *weight, const eplb_plan *plan, void *scratch,
                                 size_t scratch_bytes)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_result r;

    eplb_p_carve_call(&a, c);
    r = eplb_p_check_attached(&a, &c->shape, weight, plan, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    a = eplb_p_arena_at(scratch);
    eplb_p_carve_call(&a, c);
    c->weight = weight;
    c->plan = *plan;
    return EPLB_OK;
}

/* Word i of what eplb_p_cuda_alone.cluster is on the device. */
static uint32_t eplb_p_cluster_word(const eplb_p_shape *s, int32_t i)
{
    int32_t gpu = i % s->num_gpus;
    float speed = s->speed ? s->speed[gpu] : 1.0f;

    if (i / s->num_gpus == 0) return (uint32_t)eplb_p_num_on(&s->gpus, gpu);
    if (i / s->num_gpus == 1) return eplb_p_bits(speed);
    return s->node_of ? (uint32_t)s->node_of[gpu] : 0; /* without it nobody asks */
}

static void eplb_p_point_at_cluster(eplb_p_shape *s, uint32_t *cluster)
{
    if (s->gpus.usable_slots) s->gpus.usable_slots = (const int32_t *)cluster;
    if (s->speed) s->speed = (const float *)(cluster + s->num_gpus);
    if (s->node_of) s->node_of = (const int32_t *)(cluster + 2 * (size_t)s->num_gpus);
}

/* What the shape of a call points at goes to its scratch. */
template <class Call> static eplb_result eplb_p_send_cluster(Call *c, cudaStream_t stream)
{
    int32_t all = 3 * c->shape.num_gpus, first, i;
    eplb_result r = EPLB_OK;

    if (!c->cluster) return EPLB_OK;
    for (first = 0; first < all && r == EPLB_OK; first += kWords) {
        eplb_p_cuda_words w = EPLB_ZERO_INIT;
        w.to = c->cluster + first;
        w.num = eplb_p_least(all - first, kWords);
        for (i = 0; i < w.num; i++) w.word[i] = eplb_p_cluster_word(&c->shape, first + i);
        r = eplb_p_launch(eplb_p_cluster_kernel, 1, kShareThreads, 0, &w, stream);
    }
    eplb_p_point_at_cluster(&c->shape, c->cluster);
    return r;
}

static eplb_result eplb_p_rebalance_alone(const eplb_problem *problem, const eplb_options *options,
                                          const eplb_p_shape *shape, const float *weight, const eplb_plan *plan,
                                          void *scratch, size_t scratch_bytes, cudaStream_t stream)
{
    eplb_p_cuda_alone c = EPLB_ZERO_INIT;
    eplb_result r;

    c.shape = *shape;
    r = eplb_p_open_alone_call(problem, options, &c);
    if (r == EPLB_OK) r = eplb_p_attach(&c, weight, plan, scratch, scratch_bytes);
    if (c.plan.log2phy_width < 0) c.plan.log2phy_width = 0; /* as narrow as can be */
    if (r == EPLB_OK) r = eplb_p_send_cluster(&c, stream);
    if (c.cluster) eplb_p_point_at_cluster(&c.fresh, c.cluster);
    if (r == EPLB_OK && c.left) r = eplb_p_launch(eplb_p_alone_kernel, c.in_flight, kWarp, kAloneBytes, &c, stream);
    return r == EPLB_OK ? eplb_p_launch(eplb_p_alone_kernel, c.in_flight, 1, kAloneBytes, &c, stream) : r;
}

/* Bytes of such a call's scratch. */
static eplb_result eplb_p_tell_alone(eplb_p_cuda_alone *c, size_t *bytes)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_p_carve_call(&a, c);
    return eplb_p_tell_bytes(&a, bytes);
}

extern "C" eplb_result eplb_cuda_evaluate_scratch_size(const eplb_problem *problem, const eplb_options *options,
                                                       size_t *bytes)
{
    eplb_p_cuda_alone c = EPLB_ZERO_INIT;
    eplb_result r = eplb_p_open_evaluating_call(problem, options, &c);

    if (!bytes) return EPLB_ERR_NULL;
    return r == EPLB_OK ? eplb_p_tell_alone(&c, bytes) : r;
}

extern "C" eplb_result eplb_cuda_evaluate(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                          const eplb_plan *plan, eplb_layer_report *report, float *gpu_load,
                                          int32_t *layer_status, void *scratch, size_t scratch_bytes,
                                          cudaStream_t stream)
{
    eplb_p_cuda_alone c = EPLB_ZERO_INIT;
    eplb_plan slots = EPLB_ZERO_INIT;
    eplb_result r = eplb_p_open_evaluating_call(problem, options, &c);

    if (plan) slots.phy2log = plan->phy2log;
    if (r == EPLB_OK) r = eplb_p_attach(&c, weight, &slots, scratch, scratch_bytes);
    if (r == EPLB_OK && !report) r = EPLB_ERR_NULL;
    if (r == EPLB_OK) r = eplb_p_send_cluster(&c, stream);
    if (r != EPLB_OK) return r;
    c.report = report;
    c.gpu_load = gpu_load;
    c.layer_status = layer_status;
    return eplb_p_launch(eplb_p_evaluate_kernel, c.in_flight, kWarp, sizeof(eplb_p_evaluator), &c, stream);
}

/* calls: a plan */

static eplb_result eplb_p_alone_scratch_size(const eplb_problem *problem, const eplb_options *options,
                                             const eplb_p_shape *shape, size_t *bytes)
{
    eplb_p_cuda_alone c = EPLB_ZERO_INIT;
    eplb_result r;

    c.shape = *shape;
    r = eplb_p_open_alone_call(problem, options, &c);
    return r == EPLB_OK ? eplb_p_tell_alone(&c, bytes) : r;
}

extern "C" eplb_result eplb_cuda_scratch_size(const eplb_problem *problem, const eplb_options *options, size_t *bytes)
{
    eplb_p_cuda_call c = EPLB_ZERO_INIT;
    eplb_p_arena a = eplb_p_arena_at(NULL);
    eplb_result r = eplb_p_plan_call(problem, options, &c);

    if (!bytes) return EPLB_ERR_NULL;
    if (r != EPLB_OK) return r;
    if (eplb_p_is_alone(&c.shape)) return eplb_p_alone_scratch_size(problem, options, &c.shape, bytes);
    eplb_p_carve_call(&a, &c);
    return eplb_p_tell_bytes(&a, bytes);
}

extern "C" eplb_result eplb_cuda_rebalance(const eplb_problem *problem, const eplb_options *options,
                                           const float *weight, const eplb_plan *plan, void *scratch,
                                           size_t scratch_bytes, cudaStream_t stream)
{
    eplb_p_cuda_call c = EPLB_ZERO_INIT;
    eplb_result r = eplb_p_plan_call(problem, options, &c);

    if (r == EPLB_OK && eplb_p_is_alone(&c.shape))
        return eplb_p_rebalance_alone(problem, options, &c.shape, weight, plan, scratch, scratch_bytes, stream);
    if (r == EPLB_OK) r = eplb_p_attach(&c, weight, plan, scratch, scratch_bytes);
    if (r != EPLB_OK) return r;
    if (eplb_p_fits_blocks(&c)) {
        r = eplb_p_launch_plan(&c, stream);
        return r == EPLB_OK && c.gpus.candidates > 1 ? eplb_p_launch_packing(&c, 0, stream) : r;
    }
    r = eplb_p_launch_layers(&c, stream);
    if (r == EPLB_OK && c.packs_groups) r = eplb_p_launch_packing(&c, 1, stream);
    if (r == EPLB_OK) r = eplb_p_launch_replicate(&c, stream);
    if (r == EPLB_OK) r = eplb_p_launch_packing(&c, 0, stream);
    return r;
}

/* calls: shares */

/* Threads for experts in several slots, of which each has room for what waits for its expert. */
static int32_t eplb_p_num_workers(const eplb_p_shape *shape)
{
    int32_t most = shape->num_replicas / 2;
    if (most > shape->num_experts) most = shape->num_experts;
    return eplb_p_threads_for(most > 1 ? most : 1, kShareThreads);
}

/* Bytes of a layer's state: of a sharer, or of a dealer. 0: they overflow. */
static size_t eplb_p_share_bytes(const eplb_p_shape *shape, int32_t workers)
{
    eplb_p_arena a = eplb_p_arena_at(NULL);

    if (workers > 0) eplb_p_carve_cuda_dealer(&a, shape, workers);
    else eplb_p_carve_sharer(&a, shape);
    return a.overflowed ? 0 : eplb_p_arena_bytes(&a);
}

static size_t eplb_p_layer_in_scratch(size_t bytes) { return kReduceBytes + bytes <= kMaxShared ? 0 : bytes; }

/* Where GPUs are not alike: the only place that knows how scratch is laid out. */
static void eplb_p_carve_call(eplb_p_arena *a, eplb_p_cuda_shares *c)
{
    c->cluster = (uint32_t *)eplb_p_take(a, c->shape.num_gpus, 3 * sizeof(uint32_t));
    c->scratch = (unsigned char *)eplb_p_take(a, c->in_flight, c->layer_bytes);
}

/* How much a layer needs, which is then one thread's and what eplb_share needs; and all in flight. */
static eplb_result eplb_p_measure_shares_alone(eplb_p_cuda_shares *c, size_t *bytes)
{
    eplb_p_arena a = eplb_p_measure_sharing(&c->shape);
    eplb_result r = eplb_p_tell_bytes(&a, &c->layer_bytes);

    if (r != EPLB_OK) return r;
    c->in_flight = eplb_p_least(c->shape.num_layers, kInFlight);
    a = eplb_p_arena_at(NULL);
    eplb_p_carve_call(&a, c);
    return eplb_p_tell_bytes(&a, bytes);
}

static eplb_result eplb_p_measure_shares(eplb_p_cuda_shares *c, const eplb_problem *problem, size_t *bytes)
{
    const eplb_p_shape *shape = &c->shape;
    eplb_result r = eplb_p_resolve_sharing(problem, &c->shape);
    size_t sharer, dealer, layer;

    if (r != EPLB_OK) return r;
    if (shape->gpus.usable_slots || shape->speed || shape->node_of) return eplb_p_measure_shares_alone(c, bytes);
    sharer = eplb_p_share_bytes(shape, 0);
    dealer = eplb_p_share_bytes(shape, eplb_p_num_workers(shape));
    if (sharer == 0 || dealer == 0) return EPLB_ERR_OVERFLOW;
    layer = eplb_p_layer_in_scratch(sharer > dealer ? sharer : dealer);
    if (layer > 0 && (size_t)shape->num_layers > SIZE_MAX / layer) return EPLB_ERR_OVERFLOW;
    *bytes = layer > 0 ? layer * (size_t)shape->num_layers : 1;
    return EPLB_OK;
}

extern "C" eplb_result eplb_cuda_share_scratch_size(const eplb_problem *problem, size_t *bytes)
{
    eplb_p_cuda_shares c = EPLB_ZERO_INIT;
    size_t needed;
    eplb_result r = eplb_p_measure_shares(&c, problem, &needed);

    if (!bytes) return EPLB_ERR_NULL;
    if (r == EPLB_OK) *bytes = needed;
    return r;
}

/* What both calls check, and where the state of their layers is to be: of sharers, or of dealers. */
static eplb_result eplb_p_open_shares(eplb_p_cuda_shares *c, const eplb_problem *problem, int deals, void *scratch,
                                      size_t scratch_bytes, size_t *shared)
{
    size_t needed = 0, bytes;
    eplb_p_arena a = eplb_p_arena_at(scratch);
    eplb_result r = eplb_p_measure_shares(c, problem, &needed);

    if (r != EPLB_OK) return r;
    if (!scratch) return EPLB_ERR_NULL;
    if (scratch_bytes < needed) return EPLB_ERR_SCRATCH_SIZE;
    c->workers = deals ? eplb_p_num_workers(&c->shape) : 0;
    if (c->in_flight > 0) { /* GPUs are not alike */
        eplb_p_carve_call(&a, c);
        return EPLB_OK;
    }
    bytes = eplb_p_share_bytes(&c->shape, c->workers);
    c->layer_bytes = eplb_p_layer_in_scratch(bytes);
    c->scratch = c->layer_bytes > 0 ? (unsigned char *)scratch : NULL;
    *shared = kReduceBytes + (c->scratch ? 0 : bytes);
    return EPLB_OK;
}

/* Each layer by one thread. */
static eplb_result eplb_p_launch_shares_alone(eplb_p_cuda_shares *c, void (*kernel)(eplb_p_cuda_shares),
                                              cudaStream_t stream)
{
    eplb_result r = eplb_p_send_cluster(c, stream);
    return r == EPLB_OK ? eplb_p_launch(kernel, c->in_flight, 1, 0, c, stream) : r;
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
    c.how = how;
    c.phy2log = phy2log;
    c.count = count;
    c.slot_count = slot_count;
    c.most = most;
    c.layer_status = layer_status;
    if (c.in_flight > 0) return eplb_p_launch_shares_alone(&c, eplb_p_share_alone_kernel, stream);
    return eplb_p_launch(eplb_p_share_kernel, problem->num_layers,
                         eplb_p_threads_for(problem->num_replicas, kShareThreads), shared, &c, stream);
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
    r = eplb_p_open_shares(&c, problem, 1, scratch, scratch_bytes, &shared);
    if (r != EPLB_OK) return r;
    c.phy2log = phy2log;
    c.source_count = source_count;
    c.given = slot_count;
    c.quota = quota;
    c.layer_status = layer_status;
    if (c.in_flight > 0) return eplb_p_launch_shares_alone(&c, eplb_p_sources_alone_kernel, stream);
    return eplb_p_launch(eplb_p_sources_kernel, problem->num_layers, kShareThreads, shared, &c, stream);
}
