/* test_properties.c - what holds of every plan, on random problems: it is complete and consistent,
   refining and fixing up never make it worse, and it depends on neither the partition of the
   layers, nor the scratch, nor which outputs are asked for, nor the unit of the load.

   usage: test_properties [SEED [COUNT]]: problem i has seed SEED + i */
#include "eplb.h"
#include "test.h"
#include "oracle.h"
#include "planning.h"
#include "random_problem.h"

/* --------------------------------------------------------------------- complete and consistent */

static void check_counts_and_maps(const random_problem *r, const eplb_plan *plan, size_t layer)
{
    size_t E = (size_t)r->problem.num_experts, R = (size_t)r->problem.num_replicas;
    size_t W = (size_t)plan->log2phy_width;
    const int32_t *phy2log = plan->phy2log + layer * R, *phyrank = plan->phyrank + layer * R;
    const int32_t *logcnt = plan->logcnt + layer * E, *log2phy = plan->log2phy + layer * E * W;
    int32_t cap = r->options.max_replicas;
    size_t slots = 0;
    for (size_t e = 0; e < E; e++) {
        CHECK(logcnt[e] >= 1 && (size_t)logcnt[e] <= W && (cap == 0 || logcnt[e] <= cap),
              RANDOM_FORMAT ": expert %d has %d", RANDOM_ARGS(r), (int)e, (int)logcnt[e]);
        for (size_t i = 0; i < W; i++) {
            int32_t slot = log2phy[e * W + i];
            if (i >= (size_t)logcnt[e]) {
                CHECK(slot == -1, RANDOM_FORMAT ": padding %d", RANDOM_ARGS(r), (int)slot);
            } else {
                int inside = slot >= 0 && (size_t)slot < R;
                CHECK(inside && phy2log[slot] == (int32_t)e && phyrank[slot] == (int32_t)i, RANDOM_FORMAT ": slot %d",
                      RANDOM_ARGS(r), (int)slot);
                slots++;
            }
        }
    }
    /* The slots that log2phy names are distinct, as each holds its own expert and rank, so when there
       are R of them every slot is filled and counted once. */
    CHECK(slots == R, RANDOM_FORMAT ": %d slots", RANDOM_ARGS(r), (int)slots);
}

/* The node of each group's first replica is that of all of its replicas, and nodes hold equally many
   groups. */
static void check_groups(const random_problem *r, const eplb_plan *plan, size_t layer)
{
    int32_t E = r->problem.num_experts, R = r->problem.num_replicas, K, N;
    const int32_t *phy2log = plan->phy2log + layer * (size_t)R;
    oracle_resolve_policy(&r->problem, r->options.policy, &K, &N);
    int32_t *node = plan_ints((size_t)K), *groups = (int32_t *)oracle_ints(N);
    for (int32_t i = 0; i < R; i++) {
        int32_t g = phy2log[i] / (E / K), n = i / (R / N);
        if (node[g] == PLAN_UNWRITTEN) {
            node[g] = n;
            groups[n]++;
        }
        CHECK(node[g] == n, RANDOM_FORMAT ": group %d on nodes %d and %d", RANDOM_ARGS(r), (int)g, (int)node[g],
              (int)n);
    }
    for (int32_t n = 0; n < N; n++)
        CHECK(groups[n] == K / N, RANDOM_FORMAT ": node %d has %d groups", RANDOM_ARGS(r), (int)n, (int)groups[n]);
    free(node);
    free(groups);
}

/* Within a GPU the slots stand by load, heaviest first. */
static void check_order_in_gpu(const random_problem *r, const eplb_plan *plan, size_t layer)
{
    int32_t R = r->problem.num_replicas, S = R / r->problem.num_gpus;
    const int32_t *phy2log = plan->phy2log + layer * (size_t)R;
    const int32_t *logcnt = plan->logcnt + layer * (size_t)r->problem.num_experts;
    float *load = oracle_floats(r->problem.num_experts);
    oracle_layer_load(&r->problem, r->weight, (int32_t)layer, load);
    for (int32_t e = 0; e < r->problem.num_experts; e++) load[e] = oracle_div(load[e], (float)logcnt[e]);
    for (int32_t i = 1; i < R; i++)
        if (i % S != 0)
            CHECK(load[phy2log[i - 1]] >= load[phy2log[i]], RANDOM_FORMAT ": slot %d", RANDOM_ARGS(r), (int)i);
    free(load);
}

static void check_complete(const random_problem *r, const eplb_plan *plan)
{
    for (size_t layer = 0; layer < (size_t)r->problem.num_layers; layer++) {
        check_counts_and_maps(r, plan, layer);
        check_groups(r, plan, layer);
        check_order_in_gpu(r, plan, layer);
    }
}

/* ------------------------------------------------------------------ what a plan depends on */

static void check_same(const random_problem *r, const eplb_plan *plan, const eplb_plan *other, eplb_result result,
                       const char *what)
{
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s: %s", RANDOM_ARGS(r), what, eplb_result_name(result));
    const char *difference = plan_difference(&r->problem, plan, other);
    CHECK(difference == NULL, RANDOM_FORMAT ": %s: %s", RANDOM_ARGS(r), what, difference);
}

/* Whether a plan is unwritten outside layers first .. last - 1. */
static int unwritten_outside(const eplb_problem *problem, const eplb_plan *plan, size_t first, size_t last)
{
    size_t L = (size_t)problem->num_layers, E = (size_t)problem->num_experts;
    size_t R = (size_t)problem->num_replicas, W = (size_t)plan->log2phy_width;
    return plan_is_unwritten(plan->phy2log, first * R) && plan_is_unwritten(plan->phy2log + last * R, (L - last) * R)
           && plan_is_unwritten(plan->phyrank, first * R) && plan_is_unwritten(plan->phyrank + last * R, (L - last) * R)
           && plan_is_unwritten(plan->logcnt, first * E) && plan_is_unwritten(plan->logcnt + last * E, (L - last) * E)
           && plan_is_unwritten(plan->log2phy, first * E * W)
           && plan_is_unwritten(plan->log2phy + last * E * W, (L - last) * E * W);
}

static eplb_result rebalance_range(const random_problem *r, const float *weight, const eplb_plan *plan, int32_t first,
                                   int32_t last)
{
    size_t bytes = 0;
    eplb_result result = eplb_scratch_size(&r->problem, &r->options, &bytes);
    void *scratch = test_alloc(bytes);
    if (result == EPLB_OK)
        result = eplb_rebalance_layers(&r->problem, &r->options, weight, plan, scratch, bytes, first, last - first);
    free(scratch);
    return result;
}

/* The layers in two or three ranges, the later ones first, give the plan of one call. */
static void check_partition(const random_problem *r, const eplb_plan *plan, uint64_t *state)
{
    int32_t L = r->problem.num_layers;
    int32_t a = test_range(state, 0, L), b = test_range(state, a, L);
    eplb_plan other = plan_alloc(&r->problem, plan->log2phy_width);
    eplb_result result = rebalance_range(r, r->weight, &other, b, L);
    CHECK(result == EPLB_OK && unwritten_outside(&r->problem, &other, (size_t)b, (size_t)L),
          RANDOM_FORMAT ": layers %d .. %d", RANDOM_ARGS(r), (int)b, (int)L);
    result = rebalance_range(r, r->weight, &other, 0, a);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": layers 0 .. %d", RANDOM_ARGS(r), (int)a);
    result = rebalance_range(r, r->weight, &other, a, b);
    check_same(r, plan, &other, result, "partition");
    plan_free(&other);
}

/* A range reads the loads of its own layers alone: it does not see that the others are not numbers. */
static void check_other_layers_unread(const random_problem *r, const eplb_plan *plan, uint64_t *state)
{
    size_t L = (size_t)r->problem.num_layers, E = (size_t)r->problem.num_experts;
    size_t T = r->problem.num_samples ? (size_t)r->problem.num_samples : 1;
    size_t R = (size_t)r->problem.num_replicas;
    size_t layer = (size_t)test_range(state, 0, (int32_t)L - 1);
    uint32_t nan_bits = 0x7fc00000u;
    float *weight = (float *)test_alloc(T * L * E * sizeof(float));
    eplb_plan other = plan_alloc(&r->problem, plan->log2phy_width);
    for (size_t i = 0; i < T * L * E; i++) {
        if (i / E % L == layer) weight[i] = r->weight[i];
        else memcpy(&weight[i], &nan_bits, sizeof nan_bits);
    }
    eplb_result result = rebalance_range(r, weight, &other, (int32_t)layer, (int32_t)layer + 1);
    CHECK(result == EPLB_OK && plan_same_ints(plan->phy2log + layer * R, other.phy2log + layer * R, R),
          RANDOM_FORMAT ": layer %d: %s", RANDOM_ARGS(r), (int)layer, eplb_result_name(result));
    CHECK(unwritten_outside(&r->problem, &other, layer, layer + 1), RANDOM_FORMAT ": layer %d", RANDOM_ARGS(r),
          (int)layer);
    plan_free(&other);
    free(weight);
}

enum { FILL_ZERO, FILL_ONES, FILL_RANDOM, NUM_FILLS };

enum { GUARD_BYTES = 64 }; /* on either side of the scratch, besides its offset */

static void fill_bytes(unsigned char *bytes, size_t count, int fill, uint64_t *state)
{
    for (size_t i = 0; i < count; i++)
        bytes[i] = (unsigned char)(fill == FILL_ZERO ? 0 : fill == FILL_ONES ? 255 : test_next(state));
}

/* Scratch at any address, of any content, and not a byte beside it written. */
static void check_scratch(const random_problem *r, const eplb_plan *plan, size_t offset, int fill, uint64_t *state)
{
    size_t bytes = 0;
    CHECK(eplb_scratch_size(&r->problem, &r->options, &bytes) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(r));
    size_t total = bytes + offset + 2 * GUARD_BYTES, first = GUARD_BYTES + offset;
    unsigned char *block = (unsigned char *)test_alloc(total), *before = (unsigned char *)test_alloc(total);
    eplb_plan other = plan_alloc(&r->problem, plan->log2phy_width);
    fill_bytes(block, total, FILL_RANDOM, state);
    fill_bytes(block + first, bytes, fill, state);
    memcpy(before, block, total);
    eplb_result result = eplb_rebalance(&r->problem, &r->options, r->weight, &other, block + first, bytes);
    check_same(r, plan, &other, result, "scratch");
    CHECK(memcmp(block, before, first) == 0 && memcmp(block + first + bytes, before + first + bytes, GUARD_BYTES) == 0,
          RANDOM_FORMAT ": wrote outside its scratch, offset %d", RANDOM_ARGS(r), (int)offset);
    plan_free(&other);
    free(block);
    free(before);
}

/* Any of the optional outputs may be left out; the others are the same. */
static void check_optional_outputs(const random_problem *r, const eplb_plan *plan)
{
    for (int wanted = 0; wanted < 8; wanted++) {
        eplb_plan full = plan_alloc(&r->problem, plan->log2phy_width), part = full;
        part.phyrank = wanted & 1 ? full.phyrank : NULL;
        part.logcnt = wanted & 2 ? full.logcnt : NULL;
        part.log2phy = wanted & 4 ? full.log2phy : NULL;
        part.log2phy_width = wanted & 4 ? full.log2phy_width : 0;
        CHECK(plan_with_library(&r->problem, &r->options, r->weight, &part) == EPLB_OK, RANDOM_FORMAT ": outputs %d",
              RANDOM_ARGS(r), wanted);
        if (!part.phyrank) memcpy(full.phyrank, plan->phyrank, plan_slots(&r->problem) * sizeof(int32_t));
        if (!part.logcnt) memcpy(full.logcnt, plan->logcnt, plan_experts(&r->problem) * sizeof(int32_t));
        if (!part.log2phy)
            memcpy(full.log2phy, plan->log2phy,
                   plan_experts(&r->problem) * (size_t)plan->log2phy_width * sizeof(int32_t));
        check_same(r, plan, &full, EPLB_OK, "optional outputs");
        plan_free(&full);
    }
}

static size_t num_loads(const random_problem *r)
{
    size_t T = r->problem.num_samples ? (size_t)r->problem.num_samples : 1;
    return T * plan_experts(&r->problem);
}

/* Whether all loads but zeros lie within a factor of 2^20 of each other. A unit is a matter of a
   whole layer: where a node carries a millionth of a millionth of the layer's largest load, products
   of such loads may vanish in one unit and not in another. */
static int loads_are_alike(const random_problem *r)
{
    float smallest = 0.0f, largest = 0.0f;
    for (size_t i = 0; i < num_loads(r); i++) {
        float w = r->weight[i];
        largest = w > largest ? w : largest;
        smallest = w > 0.0f && (smallest <= 0.0f || w < smallest) ? w : smallest;
    }
    return largest <= 1048576.0f * smallest;
}

/* Loads in another unit, where the units differ by a power of two. */
static void check_scale(const random_problem *r, const eplb_plan *plan, float scale)
{
    size_t count = num_loads(r);
    float *weight = (float *)test_alloc(count * sizeof(float));
    eplb_plan other = plan_alloc(&r->problem, plan->log2phy_width);
    for (size_t i = 0; i < count; i++) weight[i] = r->weight[i] * scale;
    eplb_result result = plan_with_library(&r->problem, &r->options, weight, &other);
    check_same(r, plan, &other, result, scale > 1 ? "larger unit" : "smaller unit");
    plan_free(&other);
    free(weight);
}

/* AUTO is the policy it resolves to, and the global policy is that of one group and one node. */
static void check_policy(const random_problem *r, const eplb_plan *plan)
{
    random_problem same = *r;
    int32_t K = r->problem.num_groups ? r->problem.num_groups : 1;
    eplb_plan other = plan_alloc(&r->problem, plan->log2phy_width);
    if (r->options.policy == EPLB_POLICY_GLOBAL || K % r->problem.num_nodes != 0) {
        same.options.policy = EPLB_POLICY_AUTO;
        same.problem.num_groups = 0;
        same.problem.num_nodes = 0;
    } else {
        same.options.policy = r->options.policy == EPLB_POLICY_AUTO ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_AUTO;
    }
    eplb_result result = plan_with_library(&same.problem, &same.options, same.weight, &other);
    check_same(r, plan, &other, result, "policy");
    plan_free(&other);
}

/* NULL is the default preset, and zeroed options are the reference. */
static void check_default_options(const random_problem *r)
{
    eplb_options options, zeroed = EPLB_ZERO_INIT;
    eplb_plan a = plan_alloc(&r->problem, plan_full_width(&r->problem));
    eplb_plan b = plan_alloc(&r->problem, plan_full_width(&r->problem));
    int32_t K = r->problem.num_groups ? r->problem.num_groups : 1;
    if (K % r->problem.num_nodes != 0 || r->problem.num_experts % K == 0) {
        CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &options) == EPLB_OK, "default");
        CHECK(plan_with_library(&r->problem, &options, r->weight, &a) == EPLB_OK, "default");
        check_same(r, &a, &b, plan_with_library(&r->problem, NULL, r->weight, &b), "options NULL");

        CHECK(eplb_options_preset(EPLB_PRESET_DEEPSEEK, &options) == EPLB_OK, "deepseek");
        CHECK(plan_with_library(&r->problem, &options, r->weight, &a) == EPLB_OK, "deepseek");
        check_same(r, &a, &b, plan_with_library(&r->problem, &zeroed, r->weight, &b), "options 0");
    }
    plan_free(&a);
    plan_free(&b);
}

/* options.max_replicas columns of log2phy suffice. */
static void check_capped_width(const random_problem *r)
{
    if (r->options.max_replicas) {
        eplb_plan narrow = plan_alloc(&r->problem, r->options.max_replicas);
        CHECK(plan_with_library(&r->problem, &r->options, r->weight, &narrow) == EPLB_OK, RANDOM_FORMAT,
              RANDOM_ARGS(r));
        check_complete(r, &narrow);
        plan_free(&narrow);
    }
}

static void check_problem(uint64_t seed)
{
    random_problem r = random_problem_make(seed);
    uint64_t state = ~seed;
    eplb_plan plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
    eplb_result result = plan_with_library(&r.problem, &r.options, r.weight, &plan);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), eplb_result_name(result));
    if (result == EPLB_OK) {
        check_complete(&r, &plan);
        check_capped_width(&r);
        check_partition(&r, &plan, &state);
        check_other_layers_unread(&r, &plan, &state);
        check_scratch(&r, &plan, (size_t)(seed % 64), (int)(seed % NUM_FILLS), &state);
        check_optional_outputs(&r, &plan);
        if (loads_are_alike(&r)) {
            check_scale(&r, &plan, 1048576.0f);
            check_scale(&r, &plan, 1152921504606846976.0f);        /* 2^60 */
            check_scale(&r, &plan, 1.0f / 1152921504606846976.0f); /* 2^-60 */
        }
        check_policy(&r, &plan);
        check_default_options(&r);
    }
    plan_free(&plan);
    random_problem_free(&r);
}

/* One problem at every offset with every content. */
static void test_scratch_address(void)
{
    random_problem r = random_problem_make(2);
    uint64_t state = 2;
    eplb_plan plan = plan_alloc(&r.problem, plan_full_width(&r.problem));
    CHECK(plan_with_library(&r.problem, &r.options, r.weight, &plan) == EPLB_OK, RANDOM_FORMAT, RANDOM_ARGS(&r));
    for (size_t offset = 0; offset < 64; offset++)
        for (int fill = 0; fill < NUM_FILLS; fill++) check_scratch(&r, &plan, offset, fill, &state);
    plan_free(&plan);
    random_problem_free(&r);
}

/* ------------------------------------------------------------------------------- never worse */

typedef struct pack_stats {
    double largest, spread, squares;
} pack_stats;

/* Packs and returns how even the packs are, in double; holds capacity and ranks on the way. */
static pack_stats pack_and_measure(const float *weight, int32_t n, int32_t m, const eplb_packing *how, uint64_t seed)
{
    size_t bytes = 0;
    int32_t *pack = plan_ints((size_t)n), *rank = plan_ints((size_t)n), *item_at = plan_ints((size_t)n);
    double *load = (double *)oracle_alloc(m, sizeof(double));
    pack_stats stats = {0, 0, 0};
    CHECK(eplb_packing_scratch_size(n, m, how, &bytes) == EPLB_OK, "%d in %d", (int)n, (int)m);
    void *scratch = test_alloc(bytes);
    CHECK(eplb_balanced_packing(weight, 1, n, m, how, seed, pack, rank, scratch, bytes) == EPLB_OK, "%d in %d", (int)n,
          (int)m);
    for (int32_t i = 0; i < n; i++) {
        int inside = pack[i] >= 0 && pack[i] < m && rank[i] >= 0 && rank[i] < n / m;
        CHECK(inside, "item %d: pack %d, rank %d", (int)i, (int)pack[i], (int)rank[i]);
        if (!inside) continue;
        int32_t *at = &item_at[pack[i] * (n / m) + rank[i]];
        CHECK(*at == PLAN_UNWRITTEN, "items %d and %d share a place", (int)*at, (int)i);
        *at = i;
        load[pack[i]] += (double)weight[i];
    }
    double smallest = load[0];
    for (int32_t p = 0; p < m; p++) {
        stats.largest = load[p] > stats.largest ? load[p] : stats.largest;
        smallest = load[p] < smallest ? load[p] : smallest;
        stats.squares += load[p] * load[p];
    }
    stats.spread = stats.largest - smallest;
    free(scratch);
    free(pack);
    free(rank);
    free(item_at);
    free(load);
    return stats;
}

/* Whole numbers add exactly in float32, so here "never worse" holds without a tolerance: each swap
   leaves two packs nearer to each other than they were, and a candidate is taken only if it scores
   better than the unperturbed one. */
static void check_refinement(uint64_t seed)
{
    uint64_t state = ~seed;
    int32_t m = test_range(&state, 1, 9), n = m * test_range(&state, 1, 8);
    int32_t most = test_range(&state, 0, 1) ? 12 : 2000;
    eplb_packing start = EPLB_ZERO_INIT, how = random_packing(&state, 0);
    float *weight = oracle_floats(n);
    for (int32_t i = 0; i < n; i++) weight[i] = (float)test_range(&state, 0, most);
    weight[0] += 1.0f; /* a row of zeros would be packed as ones */
    how.num_candidates = 1;
    start.init = how.init;
    pack_stats before = pack_and_measure(weight, n, m, &start, seed);
    pack_stats after = pack_and_measure(weight, n, m, &how, seed);
    CHECK(after.largest <= before.largest && after.squares <= before.squares, "packing seed %llu: largest %g to %g",
          (unsigned long long)seed, before.largest, after.largest);

    eplb_packing several = how;
    several.num_candidates = 5;
    pack_stats best = pack_and_measure(weight, n, m, &several, seed);
    if (how.select == EPLB_SELECT_MAX_LOAD)
        CHECK(best.largest <= after.largest, "packing seed %llu", (unsigned long long)seed);
    if (how.select == EPLB_SELECT_SPREAD)
        CHECK(best.spread <= after.spread, "packing seed %llu", (unsigned long long)seed);
    if (how.select == EPLB_SELECT_VARIANCE) /* the score itself is rounded */
        CHECK(best.squares <= after.squares * 1.00001, "packing seed %llu", (unsigned long long)seed);
    free(weight);
}

/* Also for any loads, but for what rounding of the packs' sums may hide. */
static void check_refinement_of_floats(uint64_t seed)
{
    uint64_t state = ~seed;
    int32_t m = test_range(&state, 1, 9), n = m * test_range(&state, 1, 8);
    eplb_packing start = EPLB_ZERO_INIT, how = random_packing(&state, 0);
    float *weight = random_loads(&state, 1, n);
    how.num_candidates = 1;
    start.init = how.init;
    pack_stats before = pack_and_measure(weight, n, m, &start, seed);
    pack_stats after = pack_and_measure(weight, n, m, &how, seed);
    CHECK(after.largest <= before.largest * 1.00001, "packing seed %llu: largest %g to %g", (unsigned long long)seed,
          before.largest, after.largest);
    free(weight);
}

static float largest_replica(const float *load, int32_t num_log, int32_t num_phy, int32_t fixup_steps)
{
    size_t bytes = 0;
    int32_t *phy2log = plan_ints((size_t)num_phy), *cnt = plan_ints((size_t)num_log);
    CHECK(eplb_replicate_scratch_size(num_log, num_phy, &bytes) == EPLB_OK, "%d", (int)num_log);
    void *scratch = test_alloc(bytes);
    CHECK(eplb_replicate_experts(load, 1, num_log, num_phy, EPLB_REPLICATE_HYBRID, fixup_steps, phy2log, NULL, cnt,
                                 scratch, bytes)
              == EPLB_OK,
          "%d on %d", (int)num_log, (int)num_phy);
    float largest = 0.0f;
    for (int32_t e = 0; e < num_log; e++) {
        CHECK(cnt[e] >= 1 && plan_copies(phy2log, num_phy, e) == cnt[e], "expert %d", (int)e);
        float share = oracle_div(load[e], (float)cnt[e]);
        largest = share > largest ? share : largest;
    }
    free(scratch);
    free(phy2log);
    free(cnt);
    return largest;
}

/* Each fix-up step lowers the largest load of a replica, or is not done. */
static void check_fixups(uint64_t seed)
{
    uint64_t state = ~seed;
    int32_t num_log = test_range(&state, 1, 20), num_phy = num_log + test_range(&state, 0, 40);
    float *load = random_loads(&state, 1, num_log);
    float before = largest_replica(load, num_log, num_phy, 0);
    for (int32_t steps = 1; steps <= 4; steps++) {
        float after = largest_replica(load, num_log, num_phy, steps);
        CHECK(after <= before, "replication seed %llu: step %d: %g to %g", (unsigned long long)seed, (int)steps,
              (double)before, (double)after);
        before = after;
    }
    free(load);
}

/* ------------------------------------------------------------------------------ scratch sizes */

static size_t scratch_of(const eplb_problem *problem, const eplb_options *options)
{
    size_t bytes = 0;
    eplb_result result = eplb_scratch_size(problem, options, &bytes);
    CHECK(result == EPLB_OK && bytes >= 1, "E %d R %d K %d N %d G %d policy %d: %s", (int)problem->num_experts,
          (int)problem->num_replicas, (int)problem->num_groups, (int)problem->num_nodes, (int)problem->num_gpus,
          (int)options->policy, eplb_result_name(result));
    return bytes;
}

/* The size of one shape: within the bound, of one layer only, and not less than that of a problem
   smaller in one dimension. */
static void check_scratch_of(const eplb_problem *problem, const eplb_options *options)
{
    size_t bytes = scratch_of(problem, options);
    eplb_problem other = *problem;
    CHECK(bytes <= EPLB_SCRATCH_BOUND(problem->num_experts, problem->num_replicas, problem->num_gpus),
          "E %d R %d K %d N %d G %d policy %d: %d bytes", (int)problem->num_experts, (int)problem->num_replicas,
          (int)problem->num_groups, (int)problem->num_nodes, (int)problem->num_gpus, (int)options->policy, (int)bytes);
    other.num_layers = 1000;
    CHECK(scratch_of(&other, options) == bytes, "of 1000 layers");
    other = *problem;
    other.num_experts /= 2; /* still whole groups, as the grid has powers of two of them in each */
    if (problem->num_experts / problem->num_groups % 2 == 0)
        CHECK(scratch_of(&other, options) <= bytes, "half of %d experts", (int)problem->num_experts);
    other = *problem;
    other.num_replicas += problem->num_gpus;
    CHECK(scratch_of(&other, options) >= bytes, "one slot more on each of %d GPUs", (int)problem->num_gpus);
    other = *problem;
    other.num_gpus *= 2;
    if (problem->num_replicas % other.num_gpus == 0)
        CHECK(scratch_of(&other, options) >= bytes, "twice %d GPUs", (int)problem->num_gpus);
}

static void test_scratch_sizes(void)
{
    static const int32_t group_sizes[] = {1, 2, 3, 32}, groups_per_node[] = {1, 2, 8};
    static const int32_t nodes[] = {1, 2, 5}, gpus_per_node[] = {1, 4, 8}, spare[] = {0, 1, 4};
    for (int i = 0; i < 4 * 3 * 3 * 3 * 3; i++) {
        int32_t N = nodes[i / 12 % 3], K = N * groups_per_node[i / 4 % 3];
        eplb_problem problem = EPLB_ZERO_INIT;
        problem.num_layers = 1;
        problem.num_nodes = N;
        problem.num_groups = K;
        problem.num_gpus = N * gpus_per_node[i / 36 % 3];
        problem.num_experts = K * group_sizes[i % 4];
        int32_t slots = (problem.num_experts + problem.num_gpus - 1) / problem.num_gpus;
        problem.num_replicas = problem.num_gpus * (slots + spare[i / 108 % 3]);
        for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
            eplb_options options;
            CHECK(eplb_options_preset(preset, &options) == EPLB_OK, "preset %d", (int)preset);
            for (options.policy = 0; options.policy < EPLB_NUM_POLICIES; options.policy++)
                check_scratch_of(&problem, &options);
        }
    }
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1500;
    test_scratch_sizes();
    test_scratch_address();
    for (uint64_t i = 0; i < count; i++) {
        check_problem(first + i);
        check_refinement(first + i);
        check_refinement_of_floats(first + i);
        check_fixups(first + i);
    }
    return test_report("test_properties");
}
