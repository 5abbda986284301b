/* test_oracle.c - the library and the naive oracle agree in every number, on random problems of
   every policy, preset, packing and kind of load.

   usage: test_oracle [SEED [COUNT]]: problem i has seed SEED + i, so that one that failed is
   repeated alone with COUNT 1. */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "oracle.h"
#include "planning.h"
#include "random_problem.h"

#include <math.h>

static void check_rebalance(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    r.options.effort = 0; /* the oracle does not improve */
    eplb_plan expected = plan_alloc(&r.problem, plan_full_width(&r.problem));
    eplb_plan plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
    eplb_result result = plan_with_library(&r.problem, &r.options, r.weight, &plan);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), eplb_result_name(result));
    if (result == EPLB_OK) {
        oracle_rebalance(&r.problem, &r.options, r.weight, &expected);
        const char *difference = plan_difference(&r.problem, &plan, &expected);
        CHECK(difference == NULL, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), difference);
    }
    plan_free(&expected);
    plan_free(&plan);
    random_problem_free(&r);
}

/* The key that a candidate sorts by, in every bit: a last bit seldom shows in an order. */
static void check_noise(uint64_t seed)
{
    uint64_t state = ~seed;
    eplb_packing how = random_packing(&state, 0);
    int32_t candidate = test_range(&state, 1, 5), item = test_range(&state, 0, 400);
    oracle_place place = {seed, test_range(&state, 0, 60), test_range(&state, 0, 1)};
    float w = random_load(&state, test_range(&state, 0, LOAD_NUM_KINDS - 1));
    uint32_t counter[4], word[4];
    counter[0] = (uint32_t)item / 4;
    counter[1] = (uint32_t)candidate;
    counter[2] = (uint32_t)place.row;
    counter[3] = (uint32_t)place.stage;
    how.num_candidates = test_range(&state, candidate + 1, 70);
    oracle_philox(seed, counter, word);
    float key = eplb_p_perturbed(w, word[item % 4], how.noise, eplb_p_noise_of(&how, candidate));
    float expected = oracle_key(&how, &place, candidate, item, w);
    CHECK(memcmp(&key, &expected, sizeof key) == 0, "noise seed %llu: %.9g for %.9g", (unsigned long long)seed,
          (double)key, (double)expected);
}

/* Loads that lie close together but for one far off leave most of the work to the last step. */
static void crowd(uint64_t *state, float *load, int32_t n)
{
    for (int32_t i = 0; i < n; i++) load[i] = 1.0f + (float)test_range(state, 0, 5000) / 8388608.0f;
    load[test_range(state, 0, n - 1)] = 1000000.0f;
}

/* Each item once, and none before one that is heavier, or as heavy with a lower index. */
static void check_order(uint64_t seed, int32_t n)
{
    uint64_t state = ~seed;
    float *load = random_loads(&state, 1, n);
    uint8_t *seen = (uint8_t *)test_alloc((size_t)n);
    uint64_t *key = (uint64_t *)test_alloc((size_t)n * sizeof *key);
    uint64_t *spare = (uint64_t *)test_alloc((size_t)n * sizeof *spare);
    int32_t wrong = 0, before = -1;
    if (seed % 5 == 0) crowd(&state, load, n);
    for (int32_t i = 0; i < n; i++) load[i] = fabsf(load[i]); /* the sort is given loads without signs */
    eplb_p_sort_loads(load, key, spare, n);
    memset(seen, 0, (size_t)n);
    for (int32_t i = 0; i < n && wrong == 0; i++) {
        uint32_t item = (uint32_t)key[i];
        wrong = item >= (uint32_t)n || seen[item] || key[i] != eplb_p_heavy_first(load[item], (int32_t)item);
        if (!wrong && before >= 0)
            wrong = load[before] < load[item] || (load[before] == load[item] && before > (int32_t)item);
        if (!wrong) seen[item] = 1;
        before = (int32_t)item;
    }
    CHECK(wrong == 0, "order seed %llu: item %d of %d", (unsigned long long)seed, (int)before, (int)n);
    free(load);
    free(seen);
    free(key);
    free(spare);
}

static void check_packing_of(uint64_t seed, const float *weight, int32_t rows, int32_t n, int32_t m,
                             const eplb_packing *how)
{
    size_t count = (size_t)rows * (size_t)n, bytes = 0;
    int32_t *pack = plan_ints(count), *rank = plan_ints(count);
    int32_t *expected_pack = plan_ints(count), *expected_rank = plan_ints(count);

    CHECK(eplb_packing_scratch_size(n, m, how, &bytes) == EPLB_OK, "packing seed %llu", (unsigned long long)seed);
    void *scratch = test_alloc(bytes);
    eplb_result result = eplb_balanced_packing(weight, rows, n, m, how, seed, pack, rank, scratch, bytes);
    CHECK(result == EPLB_OK, "packing seed %llu: %s", (unsigned long long)seed, eplb_result_name(result));
    oracle_packing(weight, rows, n, m, how, seed, expected_pack, expected_rank);
    CHECK(plan_same_ints(pack, expected_pack, count) && plan_same_ints(rank, expected_rank, count),
          "packing seed %llu: %d rows of %d in %d", (unsigned long long)seed, (int)rows, (int)n, (int)m);
    free(scratch);
    free(pack);
    free(rank);
    free(expected_pack);
    free(expected_rank);
}

static void check_packing(uint64_t seed)
{
    uint64_t state = ~seed;
    int32_t large = seed % 64 == 0; /* packs of several vectors, and more of them than bits in a word */
    int32_t rows = test_range(&state, 1, 3), m = test_range(&state, 1, large ? 40 : 9);
    int32_t n = m * test_range(&state, 1, large ? 40 : 8);
    eplb_packing how = random_packing(&state, 0);
    float *weight = random_loads(&state, rows, n);
    check_packing_of(seed, weight, rows, n, m, &how);
    free(weight);
}

/* Loads under which rounds of LPT are whole, short, of one item, or end in a tie. */
enum {
    ROUND_STEEP,
    ROUND_ONE_HUGE,
    ROUND_POWERS,
    ROUND_EQUAL,
    ROUND_TWO_LEVELS,
    ROUND_FADING,
    ROUND_DENORMAL,
    ROUND_NUM_KINDS
};

static float round_load(uint64_t *state, int kind, int32_t i, int32_t n)
{
    switch (kind) {
    case ROUND_STEEP: return random_power(12.0f * (random_unit(state) + random_unit(state)) - 12.0f);
    case ROUND_ONE_HUGE: return i == n / 2 ? 1000000.0f : random_lognormal(state);
    case ROUND_POWERS: return random_power((float)(i % 60) - 30.0f);
    case ROUND_EQUAL: return 3.0f;
    case ROUND_TWO_LEVELS: return i % 5 == 0 ? 7.0f : 1.0f;
    case ROUND_FADING: return i % 3 ? random_lognormal(state) : -0.0f;
    default: return (float)test_range(state, 0, 50) * 1.401298464e-45f; /* -> 1, or 0 */
    }
}

/* The first of the largest, where many are alike; and nothing behind the last is looked at. */
static void check_first_largest(uint64_t seed)
{
    uint64_t state = ~seed;
    int32_t n = test_range(&state, 0, 40), first = 0, kinds = test_range(&state, 1, 12);
    float *x = (float *)test_alloc((size_t)(n + 1) * sizeof *x);
    for (int32_t i = 0; i < n; i++) x[i] = (float)test_range(&state, 0, kinds);
    x[n] = 100.0f;
    for (int32_t i = 0; i < n; i++) first = x[i] > x[first] ? i : first;
    CHECK(eplb_p_first_largest(x, n) == first, "largest seed %llu: of %d", (unsigned long long)seed, (int)n);
    free(x);
}

/* LPT by itself, with as many packs as are ranked in each way: few, in vectors and not, many, too many. */
static void check_rounds(uint64_t seed)
{
    static const int32_t packs[] = {1, 2, 4, 7, 8, 12, 32, 60, 64, 68, 128, 512};
    uint64_t state = ~seed;
    int32_t m = packs[seed % 12], n = m * test_range(&state, 2, m > 100 ? 5 : 9);
    float *weight = (float *)test_alloc((size_t)n * sizeof *weight);
    eplb_packing how = EPLB_ZERO_INIT; /* LPT, and nothing else */
    for (int kind = 0; kind < ROUND_NUM_KINDS; kind++) {
        for (int32_t i = 0; i < n; i++) weight[i] = round_load(&state, kind, i, n);
        check_packing_of(seed, weight, 1, n, m, &how);
    }
    free(weight);
}

/* Many packs, and enough swaps that what was found out about pairs of them is used again and again. */
static void check_many_packs(uint64_t seed)
{
    static const int32_t packs[] = {100, 70, 48, 32, 16}, room[] = {3, 2, 5, 9, 16};
    uint64_t state = ~seed;
    int32_t m = packs[seed % 5], n = m * room[seed % 5];
    int32_t kind = test_range(&state, 0, LOAD_NUM_KINDS - 1);
    float *weight = (float *)test_alloc((size_t)n * sizeof *weight);
    eplb_packing how = random_packing(&state, 0);
    how.refine = seed % 4 ? EPLB_REFINE_L2 : EPLB_REFINE_PAIR_SCAN;
    how.heavy_packs = 0;
    how.max_swaps = 400;
    how.num_candidates = test_range(&state, 1, 2);
    if (seed % 3 == 0) kind = LOAD_LOGNORMAL;
    for (int32_t i = 0; i < n; i++) weight[i] = random_load(&state, kind);
    check_packing_of(seed, weight, 1, n, m, &how);
    free(weight);
}

/* L2, where the best swap of a pack is gone but what it was worth still bounds the others, and another that is worth
   just as much, and stands later, comes before the one that is due. One random packing in some 10^5 is such a case. */
static void check_worth_as_much(void)
{
    static const float weight[63] = {35, 33, 33, 20, 35, 29, 14, 8,  5,  18, 0,  16, 22, 14, 16, 24, 28, 36, 26, 20, 5,
                                     29, 34, 35, 24, 3,  13, 31, 24, 14, 0,  33, 27, 1,  11, 11, 5,  0,  9,  0,  34, 16,
                                     9,  0,  26, 12, 35, 9,  15, 23, 10, 36, 18, 33, 2,  34, 8,  9,  14, 24, 5,  24, 8};
    eplb_packing how = EPLB_ZERO_INIT;
    how.init = EPLB_INIT_ZIGZAG;
    how.refine = EPLB_REFINE_L2;
    how.max_swaps = 1000;
    check_packing_of(0, weight, 1, 63, 21, &how);
}

static void check_replication(uint64_t seed)
{
    uint64_t state = ~seed;
    int32_t rows = test_range(&state, 1, 3), num_log = test_range(&state, 1, seed % 4 ? 20 : 200);
    int32_t num_phy = num_log + test_range(&state, 0, 40);
    int32_t replication = test_range(&state, 0, EPLB_NUM_REPLICATIONS - 1);
    int32_t fixup_steps = test_range(&state, 0, 4);
    size_t phys = (size_t)rows * (size_t)num_phy, logs = (size_t)rows * (size_t)num_log, bytes = 0;
    float *weight = random_loads(&state, rows, num_log);
    int32_t *phy2log = plan_ints(phys), *rank = plan_ints(phys), *cnt = plan_ints(logs);
    int32_t *expected_phy2log = plan_ints(phys), *expected_rank = plan_ints(phys);
    int32_t *expected_cnt = plan_ints(logs);

    CHECK(eplb_replicate_scratch_size(num_log, num_phy, &bytes) == EPLB_OK, "replication seed %llu",
          (unsigned long long)seed);
    void *scratch = test_alloc(bytes);
    eplb_result result = eplb_replicate_experts(weight, rows, num_log, num_phy, replication, fixup_steps, phy2log, rank,
                                                cnt, scratch, bytes);
    CHECK(result == EPLB_OK, "replication seed %llu: %s", (unsigned long long)seed, eplb_result_name(result));
    oracle_replicate(weight, rows, num_log, num_phy, replication, fixup_steps, expected_phy2log, expected_rank,
                     expected_cnt);
    CHECK(plan_same_ints(phy2log, expected_phy2log, phys) && plan_same_ints(rank, expected_rank, phys)
              && plan_same_ints(cnt, expected_cnt, logs),
          "replication seed %llu: %d rows of %d on %d, rule %d", (unsigned long long)seed, (int)rows, (int)num_log,
          (int)num_phy, (int)replication);
    free(scratch);
    free(weight);
    free(phy2log);
    free(rank);
    free(cnt);
    free(expected_phy2log);
    free(expected_rank);
    free(expected_cnt);
}

/* Fields that cannot show in a plan are left out. */
static void check_same_packing(int32_t preset, const char *field, const eplb_packing *a, const eplb_packing *b)
{
    int32_t a_candidates = a->num_candidates ? a->num_candidates : 1;
    int32_t b_candidates = b->num_candidates ? b->num_candidates : 1;
    CHECK(a->init == b->init && a->refine == b->refine && a_candidates == b_candidates, "preset %d: %s", (int)preset,
          field);
    if (b->refine != EPLB_REFINE_NONE) CHECK(a->max_swaps == b->max_swaps, "preset %d: %s", (int)preset, field);
    if (b->refine == EPLB_REFINE_PAIR_SCAN)
        CHECK(a->heavy_packs == b->heavy_packs, "preset %d: %s", (int)preset, field);
    if (b_candidates > 1)
        CHECK(a->noise == b->noise && memcmp(&a->noise_scale, &b->noise_scale, sizeof(float)) == 0
                  && a->select == b->select,
              "preset %d: %s", (int)preset, field);
}

/* The library's presets are those of the published table. */
static void check_presets(void)
{
    int found = 0;
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        eplb_options a, b;
        if (!oracle_preset(preset, &b)) continue;
        found++;
        CHECK(eplb_options_preset(preset, &a) == EPLB_OK, "preset %d", (int)preset);
        CHECK(a.policy == b.policy && a.replication == b.replication && a.fixup_steps == b.fixup_steps
                  && a.max_replicas == b.max_replicas && a.seed == b.seed,
              "preset %d", (int)preset);
        check_same_packing(preset, "group_packing", &a.group_packing, &b.group_packing);
        check_same_packing(preset, "gpu_packing", &a.gpu_packing, &b.gpu_packing);
    }
    CHECK(found == 10, "%d published presets", found);
}

/* The zero vector is in the design; the other two are the known answers of Random123. */
static void check_philox(void)
{
    static const struct {
        uint64_t key;
        uint32_t counter[4], answer[4];
    } known[3] = {
        {0, {0, 0, 0, 0}, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
        {UINT64_MAX,
         {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
         {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
        {UINT64_C(0x299f31d0a4093822),
         {0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
         {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        oracle_philox(known[i].key, known[i].counter, out);
        CHECK(memcmp(out, known[i].answer, sizeof out) == 0, "oracle, vector %d", i);
        eplb_p_philox(known[i].key, known[i].counter, out);
        CHECK(memcmp(out, known[i].answer, sizeof out) == 0, "library, vector %d", i);
    }
}

/* GPU i of the new plan, of 4 with 5 slots, has the expert i in three of them, as GPU i of the plan in force does, and
   the expert 4 + i, which is on the next GPU; GPU 0 has 8 as well, and so has GPU 1 in force. To stay keeps eight slots
   more, over the four of them, than to move on, but takes one move more: more than any one GPU could keep. */
static void check_moves_before_copies(void)
{
    static const int32_t before[20] = {0, 0, 0, 7, -1, 1, 1, 1, 4, 8, 2, 2, 2, 5, -1, 3, 3, 3, 6, -1};
    static const int32_t fresh[20] = {0, 0, 0, 4, 8, 1, 1, 1, 5, 9, 2, 2, 2, 6, 10, 3, 3, 3, 7, 11};
    int32_t after[20];
    eplb_p_shape shape = EPLB_ZERO_INIT;
    eplb_p_layer l = EPLB_ZERO_INIT;
    eplb_p_arena a = eplb_p_arena_at(NULL);
    shape.num_experts = 12;
    shape.num_replicas = shape.num_usable = 20;
    shape.num_gpus = shape.num_living = shape.node_gpus = 4;
    shape.num_nodes = 1;
    shape.gpus.room = 5;
    memcpy(after, fresh, sizeof after);
    l.shape = &shape;
    l.cluster.gpus = shape.gpus;
    l.phy2log = after;
    a = eplb_p_arena_at(NULL);
    (void)eplb_p_carve_keeper(&a, &shape);
    void *scratch = test_alloc(eplb_p_arena_bytes(&a));
    a = eplb_p_arena_at(scratch);
    eplb_p_keeper k = eplb_p_carve_keeper(&a, &shape);
    eplb_p_keep_slots(&k, &l, before);
    for (int32_t i = 0; i < 4; i++) CHECK(after[(i + 1) % 4 * 5 + 3] == 4 + i, "GPU %d", (int)i);
    free(scratch);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000;
    check_presets();
    check_philox();
    check_moves_before_copies();
    check_worth_as_much();
    check_order(first, UINT16_MAX);
    check_order(first, 70000);
    for (uint64_t i = 0; i < count; i++) {
        check_rebalance(first + i);
        check_noise(first + i);
        if ((first + i) % 4 == 0) check_order(first + i, 1 + (int32_t)(i % 700));
        check_packing(first + i);
        if ((first + i) % 40 == 0) check_rounds((first + i) / 40);
        if ((first + i) % 400 == 0) /* the oracle is slow with these */
            check_many_packs((first + i) / 400);
        check_first_largest(first + i);
        check_replication(first + i);
    }
    return test_report("test_oracle");
}
