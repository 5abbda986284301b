/* test_cuda_chain.cpp - how long threads wait for one another while DEEPSEEK plans and others swap: the chain of barriers
   and functions of warps, as tests/emulated counts it, is held to what a proof allows.

   One kernel; N = 1, E experts, R slots, k = R - E of them spare, G GPUs, S = R / G, T = threads. With
     merges(n)  of a sort of n keys: runs of 64 or 128 are merged in pairs, an even number of times: so 0 up to 128
                keys, and 2 more for each four times as many;
     most = 3, total = 11, scan = 4 + d   what a block agrees on: a function, a barrier, a function; five, a barrier,
                five; the most of a warp, a vote for each of the d binary digits of the bids that a thread has above
                the floor, a barrier, two sums
   the functions below add up, along the kernel:
     loads        most                                           3
     replicate    a floor is guessed: total                      11
       tried: scan                                               4 + d
       bids are taken, 32 of a warp's experts at once: six    6
                  and where they begin and end, and a __syncwarp 3
       the end    a barrier, the sort                            2 + merges(bids taken)
       no slot is spare   a barrier                              1
     keys         a barrier                                      1
     order        the sort                                       1 + merges(R)
     LPT, a round by a warp: its own barrier, a minimum, a vote  3
       by a block: a barrier, the sort of packs, most, a sum     8 + merges(G)
       a step     by a warp: a minimum, a vote: 2; by a block: two minima of two words each, a barrier: 5
     the end      a barrier                                      1

   Rounds, where the loads are nearly even and R = (c + 1) E, as the heaviest is less than 1 / (4 c + 3) heavier than the
   lightest, and so than the mean:
     replicate    one floor is tried. It is the mean divided by c + 1/2 + b / (4 E), b being the bids for which there
                  is room beyond the slots: E, or 256 if that is less. So it is no more than the mean divided by c + 1/2,
                  which is below the c-th bid of all, load / c; and no less than the mean divided by c + 3/4, which is
                  above the (c + 1)-th bid of all. So c E bids are above it, c times 32 in a warp for each expert of
                  a thread.
     LPT          S rounds. Let d be how far packs are apart, and a round's items w_0 >= .. >= w_(G-1). The lightest
                  pack takes w_0 and so on; two packs a <= b that take w >= v are then |(b - a) - (w - v)| apart, which
                  is no more than the larger of d and w_0 - w_(G-1). So packs are never further apart than the heaviest
                  and the lightest slot, which is less than the lightest slot weighs: each pack is lighter than any that
                  has taken one, and every round serves all packs.

   Rounds, whatever the loads:
     replicate    after 4 floors that were guessed the difference of two, of 32 bits at most, is halved each time; then
                  two more, where bids are equal, and are taken apart from those above.
     LPT          a round that gives fewer than 3 items gives 1 or more, and 16 steps follow.

   A swap, of 32 packs of 9 places, whatever the loads: a warp's minimum of keys takes 2 functions; all warps' 5, with a
   barrier. To make a swap takes 3 functions, and the barrier or __syncwarp after it.
     MAX_MIN      the heaviest, the lightest, the best swap      6 + 4
     MAX_TO_ANY   the heaviest, the best swap of all warps       7 + 4
     PAIR_SCAN of the heaviest pack: that one, all warps' lightest partner, the best swap of these two   9 + 4
     where the best swap of each pair is kept: a vote and 4 steps of 2 shuffles for those of two packs, which the block
                  looks at at once, all warps' best              14 + 4
     PAIR_SCAN of all packs, too, and the lightest partner of the first   16 + 4 */
#include "test.h"

#include "eplb_cuda.h"

#include <math.h>

static int32_t merges(int32_t n)
{
    int32_t num = 0;
    while (64 << num < n) num++;
    return num / 2 * 2;
}

static int32_t threads_of(int32_t slots) { return slots < 768 ? (slots + 31) / 32 * 32 : 768; }

static int32_t digits(int32_t n)
{
    int32_t num = 0;
    while (n >> num > 0) num++;
    return num;
}

struct shape {
    int32_t E, R, G;
};

static int32_t experts_of_thread(const shape &s) { return (s.E + threads_of(s.R) - 1) / threads_of(s.R); }

/* Of bids, so many of an expert. */
static int32_t scan_of(const shape &s, int32_t bids) { return 4 + digits(experts_of_thread(s) * bids); }

static long round_of_lpt(const shape &s) { return s.G <= 32 ? 3 : 8 + merges(s.G); }

static int32_t room_for_bids(const shape &s) { return s.R - s.E + (s.E < 256 ? s.E : 256); }

/* All but floors and rounds. */
static long rest_of_chain(const shape &s)
{
    long bids = 11 + 3 + 2 + merges(room_for_bids(s));
    return 3 + (s.R > s.E ? bids : 1) + 1 + 1 + merges(s.R) + 1;
}

static long chain_of_even_loads(const shape &s)
{
    int32_t bids = s.R / s.E - 1;
    long even = bids > 0 ? scan_of(s, bids) + 6 * bids * experts_of_thread(s) : 0;
    return rest_of_chain(s) + even + s.R / s.G * round_of_lpt(s);
}

static long chain_of_any_loads(const shape &s)
{
    long step = s.G <= 32 ? 2 : 5, steps = round_of_lpt(s) + 16 * step;
    long bids = (4 + 32 + 2) * scan_of(s, s.R - s.E) + 3 + 6 * (room_for_bids(s) / 32 + 2);
    return rest_of_chain(s) + bids + (s.R / 17 + 1) * steps;
}

/* The chain for these loads of one layer. */
static long chain_of_packing(const shape &s, const float *load, const eplb_packing &packing)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = EPLB_ZERO_INIT;
    eplb_plan plan = EPLB_ZERO_INIT;
    emulated_chain chains[EMULATED_MAX_CHAINS] = {{0, 0, 0}};
    size_t bytes = 0;
    problem.num_layers = problem.num_groups = problem.num_nodes = 1;
    problem.num_experts = s.E;
    problem.num_replicas = s.R;
    problem.num_gpus = s.G;
    CHECK(eplb_options_preset(EPLB_PRESET_DEEPSEEK, &options) == EPLB_OK, "preset");
    options.gpu_packing = packing;
    CHECK(eplb_cuda_scratch_size(&problem, &options, &bytes) == EPLB_OK, "scratch");
    void *scratch = test_alloc(bytes);
    plan.phy2log = static_cast<int32_t *>(test_alloc(static_cast<size_t>(s.R) * sizeof(int32_t)));
    emulated_chains(chains);
    CHECK(eplb_cuda_rebalance(&problem, &options, load, &plan, scratch, bytes, NULL) == EPLB_OK, "%s",
          emulated_complaint());
    CHECK(emulated_chains(chains) == 1, "one kernel");
    free(plan.phy2log);
    free(scratch);
    return chains[0].barriers + chains[0].warp_functions;
}

static long chain_of(const shape &s, const float *load)
{
    eplb_packing deepseek = EPLB_ZERO_INIT;
    return chain_of_packing(s, load, deepseek);
}

static float next_unit(uint64_t *state) { return static_cast<float>(test_next(state) >> 40) / 16777216.0f; }

static const shape shapes[] = {{256, 512, 32},   {256, 256, 32},    {64, 128, 16},  {64, 256, 32},
                               {32, 256, 16},    {48, 96, 8},       {256, 768, 64}, {512, 1024, 128},
                               {512, 2048, 512}, {1024, 2048, 512}, {40, 200, 20},  {1024, 1024, 64}};

static void test_even_loads(void)
{
    static float load[2048];
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const shape &s = shapes[i];
        uint64_t state = i;
        float spread = 1.0f / static_cast<float>(4 * s.R / s.E - 1) - 0.001f;
        for (int32_t e = 0; e < s.E; e++) load[e] = 1.0f + spread * next_unit(&state);
        long chain = chain_of(s, load), bound = chain_of_even_loads(s);
        CHECK(chain <= bound, "%d on %d slots of %d GPUs: %ld, not %ld", (int)s.E, (int)s.R, (int)s.G, chain, bound);
        CHECK(s.R > 2 * s.E || chain >= bound - 6, "%d on %d slots of %d GPUs: %ld, though %ld is proved", (int)s.E,
              (int)s.R, (int)s.G, chain, bound);
    }
}

/* Loads of any steepness, many equal ones, geometric ones. */
static void test_any_loads(void)
{
    static const shape few[] = {{256, 288, 32}, {256, 320, 64}, {64, 80, 8}, {128, 384, 16}, {100, 300, 100}};
    static float load[256];
    for (size_t i = 0; i < sizeof few / sizeof *few; i++)
        for (uint64_t kind = 0; kind < 8; kind++) {
            const shape &s = few[i];
            uint64_t state = kind;
            for (int32_t e = 0; e < s.E; e++) {
                double u = static_cast<double>(next_unit(&state));
                load[e] = static_cast<float>(kind == 0   ? 1.0
                                             : kind == 1 ? floor(3.0 * u)
                                             : kind == 2 ? pow(0.5, e % 60)
                                             : kind == 3 ? e == 7
                                                         : exp(static_cast<double>(kind) * 4.0 * u));
            }
            long chain = chain_of(s, load), bound = chain_of_any_loads(s);
            CHECK(chain <= bound, "%d on %d slots of %d GPUs, kind %d: %ld, not %ld", (int)s.E, (int)s.R, (int)s.G,
                  (int)kind, chain, bound);
        }
}

/* Loads as they are found, lognormal with sd 1: not proved, but so it stays. Version 0.1 took 704 and 896. */
static void test_usual_loads(void)
{
    static const shape usual[] = {{256, 288, 32}, {256, 320, 64}};
    static const long most[] = {85, 130};
    static float load[256];
    for (size_t i = 0; i < 2; i++)
        for (uint64_t seed = 0; seed < 10; seed++) {
            uint64_t state = seed;
            for (int32_t e = 0; e < usual[i].E; e++) {
                double sum = 0.0;
                for (int j = 0; j < 12; j++) sum += static_cast<double>(next_unit(&state));
                load[e] = static_cast<float>(exp(sum - 6.0));
            }
            long chain = chain_of(usual[i], load);
            CHECK(chain <= most[i], "%ld, not %ld", chain, most[i]);
        }
}

/* What more swaps take; MAX_MIN soon has no more. */
static void test_swaps(void)
{
    static const struct {
        int32_t refine, heavy_packs;
        long most;
    } ways[] = {{EPLB_REFINE_MAX_MIN, 0, 10},
                {EPLB_REFINE_MAX_TO_ANY, 0, 11},
                {EPLB_REFINE_PAIR_SCAN, 1, 13},
                {EPLB_REFINE_L2, 0, 18},
                {EPLB_REFINE_PAIR_SCAN, 0, 20}};
    static const shape s = {256, 288, 32};
    static float load[256];
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        int swapped = 0;
        for (uint64_t seed = 0; seed < 3; seed++) {
            eplb_packing packing = EPLB_ZERO_INIT;
            uint64_t state = seed;
            for (int32_t e = 0; e < s.E; e++) load[e] = static_cast<float>(exp(4.0 * (double)next_unit(&state)));
            packing.refine = ways[i].refine;
            packing.heavy_packs = ways[i].heavy_packs;
            packing.max_swaps = 1;
            long few = chain_of_packing(s, load, packing);
            packing.max_swaps = ways[i].refine == EPLB_REFINE_MAX_MIN ? 2 : 11;
            long more = chain_of_packing(s, load, packing);
            long bound = (packing.max_swaps - 1) * ways[i].most;
            CHECK(more <= few + bound, "way %d: %ld, not %ld", (int)i, more - few, bound);
            swapped += more > few;
        }
        CHECK(swapped > 0, "way %d: no more swaps", (int)i);
    }
}

int main(void)
{
    test_swaps();
    test_even_loads();
    test_any_loads();
    test_usual_loads();
    return test_report("test_cuda_chain");
}
