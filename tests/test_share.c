/* test_share.c - exact shares against what is simple: all ways to split tokens, where they are few; the bound over
   all sets of GPUs, where those are few; and the exchange of one token, which no fair shares leave to be wished
   for. Quotas by GPU of origin against all ways to send tokens. Evaluation against shares of loads that were made tokens
   plainly. Errors, scratch and layers. */
#include <math.h>

#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "share_cases.h"

enum { MOST_GPUS = SHARE_MOST_GPUS };

#define CASE_FORMAT "seed %llu, layer %d: E %d R %d G %d"
#define CASE_ARGS(c, l)                                                                                     \
    (unsigned long long)(c)->seed, (int)(l), (int)(c)->problem.num_experts, (int)(c)->problem.num_replicas, \
        (int)(c)->problem.num_gpus

/* ------------------------------------------------------------------- all ways to split tokens */

typedef struct all_splits { /* of one layer: loads so far, and the best ones seen, heaviest first */
    const eplb_problem *problem;
    const int32_t *phy2log, *count;
    int64_t load[MOST_GPUS], best[MOST_GPUS];
    int any;
} all_splits;

static int heavier_first(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static void keep_best(all_splits *s)
{
    int64_t sorted[MOST_GPUS];
    int32_t G = s->problem->num_gpus, gpu = 0;
    memcpy(sorted, s->load, sizeof sorted);
    qsort(sorted, (size_t)G, sizeof *sorted, heavier_first);
    while (s->any && gpu < G && sorted[gpu] == s->best[gpu]) gpu++;
    if (s->any && (gpu == G || sorted[gpu] > s->best[gpu])) return;
    memcpy(s->best, sorted, sizeof sorted);
    s->any = 1;
}

static int lives_behind(const all_splits *s, int32_t e, int32_t gpu)
{
    int any = 0;
    while (++gpu < s->problem->num_gpus) any |= share_lives_on(s->problem, s->phy2log, e, gpu);
    return any;
}

/* The tokens of expert e that are left go to GPUs from this one on, and those of later experts anywhere. */
static void try_splits(all_splits *s, int32_t e, int32_t gpu, int32_t left)
{
    if (e == s->problem->num_experts) {
        keep_best(s);
    } else if (gpu == s->problem->num_gpus) {
        if (left == 0) try_splits(s, e + 1, 0, e + 1 < s->problem->num_experts ? s->count[e + 1] : 0);
    } else {
        int32_t most = share_lives_on(s->problem, s->phy2log, e, gpu) ? left : 0;
        for (int32_t here = lives_behind(s, e, gpu) ? 0 : most; here <= most; here++) {
            s->load[gpu] += here;
            try_splits(s, e, gpu + 1, left - here);
            s->load[gpu] -= here;
        }
    }
}

/* How many ways there are, or more than enough. */
static double num_splits(const eplb_problem *p, const int32_t *phy2log, const int32_t *count)
{
    double ways = 1;
    for (int32_t e = 0; e < p->num_experts; e++) {
        int32_t homes = 0;
        for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) homes += share_lives_on(p, phy2log, e, gpu);
        for (int32_t i = 1; i < homes; i++) ways *= ((double)count[e] + i) / i;
    }
    return ways;
}

static void sorted_loads(const eplb_problem *p, const int32_t *slot_count, int64_t *sorted)
{
    for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) sorted[gpu] = share_load(p, slot_count, gpu);
    qsort(sorted, (size_t)p->num_gpus, sizeof *sorted, heavier_first);
}

/* Returns whether the layer was small enough. */
static int check_by_splits(const share_case *c, int32_t layer, int32_t least_max, const int32_t *fair)
{
    const eplb_problem *p = &c->problem;
    all_splits s = {p, c->phy2log + layer * p->num_replicas, c->count + layer * p->num_experts, {0}, {0}, 0};
    int64_t sorted[MOST_GPUS];

    if (num_splits(p, s.phy2log, s.count) > 2000) return 0;
    try_splits(&s, 0, 0, s.count[0]);
    CHECK(least_max == s.best[0], CASE_FORMAT ", least maximum %d instead of %lld", CASE_ARGS(c, layer), (int)least_max,
          (long long)s.best[0]);
    sorted_loads(p, fair, sorted);
    CHECK(memcmp(sorted, s.best, (size_t)p->num_gpus * sizeof *sorted) == 0, CASE_FORMAT ", not the fairest",
          CASE_ARGS(c, layer));
    return 1;
}

/* ----------------------------------------------------------------------- the bound over all sets */

static int64_t mean_up(int64_t sum, int64_t n) { return (sum + n - 1) / n; }

static int64_t bound_over_sets(const eplb_problem *p, const int32_t *phy2log, const int32_t *count)
{
    int64_t bound = 0;
    for (uint32_t set = 1; set < (uint32_t)1 << p->num_gpus; set++) {
        uint8_t marked[MOST_GPUS];
        int64_t size = 0, mean;
        for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) size += marked[gpu] = set >> gpu & 1;
        mean = mean_up(share_only_on(p, phy2log, count, marked), size);
        bound = mean > bound ? mean : bound;
    }
    return bound;
}

static void check_proof(const share_case *c, const int32_t *most)
{
    const eplb_problem *p = &c->problem;
    size_t bytes = 0, L = (size_t)p->num_layers;
    uint8_t *proving = (uint8_t *)test_alloc(L * (size_t)p->num_gpus);
    int32_t *num = plan_ints(L), *tokens = plan_ints(L);
    eplb_result result;
    void *scratch = share_scratch(p, &bytes, &result);

    CHECK(result == EPLB_OK, "seed %llu", (unsigned long long)c->seed);
    CHECK(eplb_share_proof(p, c->phy2log, c->count, proving, num, tokens, scratch, bytes) == EPLB_OK, "seed %llu",
          (unsigned long long)c->seed);
    for (int32_t l = 0; l < p->num_layers; l++) {
        const uint8_t *set = proving + l * p->num_gpus;
        int64_t size = 0, only = share_only_on(p, c->phy2log + l * p->num_replicas, c->count + l * p->num_experts, set);
        for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) size += set[gpu];
        CHECK(size == num[l] && size > 0 && only == tokens[l], CASE_FORMAT ", a set of %d with %d", CASE_ARGS(c, l),
              (int)num[l], (int)tokens[l]);
        CHECK(size > 0 && mean_up(only, size) == most[l], CASE_FORMAT ", %lld on %lld do not prove %d", CASE_ARGS(c, l),
              (long long)only, (long long)size, (int)most[l]);
    }
    free(scratch);
    free(proving);
    free(num);
    free(tokens);
}

/* ------------------------------------------------------------------------------------- exchange */

static void check_exchanges(const share_case *c, int32_t layer, const int32_t *fair)
{
    int32_t gpu = share_unfair_gpu(&c->problem, c->phy2log + layer * c->problem.num_replicas, fair);
    CHECK(gpu == -1, CASE_FORMAT ", a token should move from GPU %d", CASE_ARGS(c, layer), (int)gpu);
}

/* -------------------------------------------------------------------------------------- shares */

static int64_t heaviest(const eplb_problem *p, const int32_t *slot_count)
{
    int64_t most = 0;
    for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) {
        int64_t load = share_load(p, slot_count, gpu);
        most = load > most ? load : most;
    }
    return most;
}

/* Both ways to share, on every layer. Returns how many layers were held against all splits. */
static int check_case(const share_case *c)
{
    const eplb_problem *p = &c->problem;
    size_t slots = plan_slots(p), L = (size_t)p->num_layers;
    int32_t *least = plan_ints(slots), *fair = plan_ints(slots);
    int32_t *most = plan_ints(L), *fair_most = plan_ints(L);
    int enumerated = 0;

    CHECK(share_with_library(c, EPLB_SHARE_LEAST_MAX, least, most) == EPLB_OK, "seed %llu",
          (unsigned long long)c->seed);
    CHECK(share_with_library(c, EPLB_SHARE_FAIR, fair, fair_most) == EPLB_OK, "seed %llu", (unsigned long long)c->seed);
    for (int32_t l = 0; l < p->num_layers; l++) {
        const int32_t *phy2log = c->phy2log + l * p->num_replicas, *count = c->count + l * p->num_experts;
        const int32_t *shares[2] = {least + l * p->num_replicas, fair + l * p->num_replicas};
        for (int how = 0; how < 2; how++) {
            const char *fault = share_fault(p, phy2log, count, shares[how]);
            CHECK(fault == NULL, CASE_FORMAT ", way %d: %s", CASE_ARGS(c, l), how, fault);
        }
        CHECK(heaviest(p, shares[0]) == most[l], CASE_FORMAT ", heaviest", CASE_ARGS(c, l));
        CHECK(heaviest(p, shares[1]) == fair_most[l] && fair_most[l] == most[l], CASE_FORMAT ", fair has %d, not %d",
              CASE_ARGS(c, l), (int)fair_most[l], (int)most[l]);
        if (p->num_gpus <= 8 || (p->num_gpus <= 12 && c->seed % 16 == 0)) {
            int64_t bound = bound_over_sets(p, phy2log, count);
            CHECK(most[l] == bound, CASE_FORMAT ", %d above the bound %lld", CASE_ARGS(c, l), (int)most[l],
                  (long long)bound);
        }
        check_exchanges(c, l, shares[1]);
        enumerated += check_by_splits(c, l, most[l], shares[1]);
    }
    check_proof(c, most);
    free(least);
    free(fair);
    free(most);
    free(fair_most);
    return enumerated;
}

static void test_small(uint64_t num_cases)
{
    int enumerated = 0;
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        share_case c = share_case_make(seed, seed % 2 ? 4 : 12, seed % 2 ? 3 : 5);
        enumerated += check_case(&c);
        share_case_free(&c);
    }
    CHECK(enumerated > (int)num_cases / 4, "only %d layers were held against all splits", enumerated);
    printf("  %d layers held against all splits\n", enumerated);
}

/* More GPUs and slots than can be enumerated: the proof and the exchanges are what holds them. */
static void test_large(void)
{
    for (uint64_t seed = 1; seed <= 24; seed++) {
        share_case c = share_case_make(seed + 1000000, MOST_GPUS, 10);
        check_case(&c);
        share_case_free(&c);
    }
}

/* A chain of GPUs, each of which shares an expert with the next: tokens have to go all the way, and each chain is
   as long as there are GPUs. */
static void test_chain(void)
{
    enum { G = MOST_GPUS };
    for (int32_t heavy = 0; heavy < 3; heavy++) {
        share_case c = share_case_alloc(0, 1, G, 2 * G, 1, G);
        for (int32_t gpu = 0; gpu < G; gpu++) {
            c.phy2log[2 * gpu] = gpu;
            c.phy2log[2 * gpu + 1] = gpu == 0 ? 0 : gpu - 1;
            c.count[gpu] = heavy == 0 ? gpu == 0 ? 1000 : 0 : heavy == 1 ? gpu * gpu : 70 * (G - gpu);
        }
        check_case(&c);
        share_case_free(&c);
    }
}

/* Up to the most tokens that a layer may have, and one more. */
static void test_many_tokens(void)
{
    share_case c = share_case_alloc(0, 2, 3, 8, 1, 4);
    int32_t plan[2 * 8] = {0, 1, 0, 1, 0, 2, 0, -1, 0, 0, 0, 0, 1, 1, 2, -1};
    int32_t out[2 * 8], most[2];

    memcpy(c.phy2log, plan, sizeof plan);
    for (int32_t kind = 0; kind < 3; kind++) {
        for (int32_t l = 0; l < 2; l++) {
            c.count[3 * l] = kind == 0 ? INT32_MAX : kind == 1 ? INT32_MAX - 2 : 7;
            c.count[3 * l + 1] = kind == 0 ? 0 : 1;
            c.count[3 * l + 2] = kind == 0 ? 0 : kind == 1 ? 1 : INT32_MAX - 8;
        }
        check_case(&c);
    }
    c.count[5] += 1;
    for (int i = 0; i < 16; i++) out[i] = PLAN_UNWRITTEN;
    most[0] = most[1] = PLAN_UNWRITTEN;
    CHECK(share_with_library(&c, EPLB_SHARE_FAIR, out, most) == EPLB_ERR_OVERFLOW, "2^31 tokens");
    CHECK(plan_is_unwritten(out, 16) && plan_is_unwritten(most, 2), "2^31 tokens: written");
    share_case_free(&c);
}

static void test_no_tokens(void)
{
    share_case c = share_case_alloc(0, 1, 5, 6, 1, 3);
    for (int i = 0; i < 6; i++) c.phy2log[i] = i < 2 ? i : -1;
    for (int i = 0; i < 5; i++) c.count[i] = 0;
    check_case(&c);
    share_case_free(&c);
}

/* Each layer by itself is as in one call, and most need not be asked for. */
static void test_layers(void)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        share_case c = share_case_make(seed, 12, 5);
        size_t slots = plan_slots(&c.problem);
        int32_t *whole = plan_ints(slots), *parts = plan_ints(slots), how = (int32_t)(seed % 2);
        share_case part = c;
        CHECK(share_with_library(&c, how, whole, NULL) == EPLB_OK, "seed %llu", (unsigned long long)seed);
        part.problem.num_layers = 1;
        for (int32_t l = 0; l < c.problem.num_layers; l++) {
            part.phy2log = c.phy2log + l * c.problem.num_replicas;
            part.count = c.count + l * c.problem.num_experts;
            CHECK(share_with_library(&part, how, parts + l * c.problem.num_replicas, NULL) == EPLB_OK, "seed %llu",
                  (unsigned long long)seed);
        }
        CHECK(plan_same_ints(whole, parts, slots), "seed %llu: layers by themselves", (unsigned long long)seed);
        free(whole);
        free(parts);
        share_case_free(&c);
    }
}

/* ------------------------------------------------------------------------------------- sources */

typedef struct all_quotas { /* of one expert: what is left to send and to take, and the most kept, seen so far */
    int32_t G, N, num, slot_gpu[8], left[8], room[8];
    int64_t best_own, best_node;
} all_quotas;

/* Each number of tokens from this GPU to this slot, and from later ones to any. */
static void try_quotas(all_quotas *q, int32_t gpu, int32_t i, int64_t own, int64_t node)
{
    if (gpu == q->G) {
        if (own > q->best_own || (own == q->best_own && node > q->best_node)) {
            q->best_own = own;
            q->best_node = node;
        }
    } else if (i == q->num) {
        if (q->left[gpu] == 0) try_quotas(q, gpu + 1, 0, own, node);
    } else {
        int32_t most = q->left[gpu] < q->room[i] ? q->left[gpu] : q->room[i], to = q->slot_gpu[i], width = q->G / q->N;
        for (int32_t sent = 0; sent <= most; sent++) {
            q->left[gpu] -= sent;
            q->room[i] -= sent;
            try_quotas(q, gpu, i + 1, own + (to == gpu ? sent : 0), node + (to / width == gpu / width ? sent : 0));
            q->left[gpu] += sent;
            q->room[i] += sent;
        }
    }
}

/* Rows and columns of one layer, exact. */
static void check_quota_sums(const share_case *c, int32_t layer, const int32_t *source, const int32_t *shares,
                             const int32_t *quota)
{
    int32_t G = c->problem.num_gpus, R = c->problem.num_replicas, E = c->problem.num_experts;
    const int32_t *phy2log = c->phy2log + layer * R;
    for (int32_t slot = 0; slot < R; slot++) {
        int64_t sum = 0;
        for (int32_t gpu = 0; gpu < G; gpu++) {
            sum += quota[gpu * R + slot];
            CHECK(quota[gpu * R + slot] >= 0, CASE_FORMAT ", GPU %d slot %d", CASE_ARGS(c, layer), (int)gpu, (int)slot);
        }
        CHECK(sum == shares[slot], CASE_FORMAT ", slot %d gets %lld", CASE_ARGS(c, layer), (int)slot, (long long)sum);
    }
    for (int32_t gpu = 0; gpu < G; gpu++) {
        for (int32_t e = 0; e < E; e++) {
            int64_t sum = 0;
            for (int32_t slot = 0; slot < R; slot++) sum += phy2log[slot] == e ? quota[gpu * R + slot] : 0;
            CHECK(sum == source[gpu * E + e], CASE_FORMAT ", GPU %d sends %lld of expert %d", CASE_ARGS(c, layer),
                  (int)gpu, (long long)sum, (int)e);
        }
    }
}

/* What is kept, against all ways to send few tokens, or what bounds it: on a GPU, and on a node, no more can stay
   than wait there, and than there is room for. Returns whether all ways were tried. */
static int check_kept(const share_case *c, int32_t layer, int32_t e, const int32_t *source, const int32_t *shares,
                      const int32_t *quota)
{
    int32_t G = c->problem.num_gpus, R = c->problem.num_replicas, E = c->problem.num_experts, N = c->problem.num_nodes;
    int32_t S = R / G, width = G / N, tokens = c->count[layer * E + e];
    int64_t own = 0, node = 0, most_own = 0, most_node = 0;
    all_quotas q = {G, N, 0, {0}, {0}, {0}, -1, -1};

    for (int32_t gpu = 0; gpu < G; gpu++) {
        int64_t room = 0;
        for (int32_t slot = 0; slot < R; slot++) {
            if (c->phy2log[layer * R + slot] != e) continue;
            own += slot / S == gpu ? quota[gpu * R + slot] : 0;
            node += slot / S / width == gpu / width ? quota[gpu * R + slot] : 0;
            room += slot / S == gpu ? shares[slot] : 0;
            if (gpu == 0 && q.num < 8) {
                q.slot_gpu[q.num] = slot / S;
                q.room[q.num++] = shares[slot];
            }
        }
        most_own += source[gpu * E + e] < room ? source[gpu * E + e] : room;
        if (gpu < 8) q.left[gpu] = source[gpu * E + e];
    }
    for (int32_t n = 0; n < N; n++) {
        int64_t waiting = 0, room = 0;
        for (int32_t gpu = n * width; gpu < (n + 1) * width; gpu++) waiting += source[gpu * E + e];
        for (int32_t slot = n * width * S; slot < (n + 1) * width * S; slot++)
            room += c->phy2log[layer * R + slot] == e ? shares[slot] : 0;
        most_node += waiting < room ? waiting : room;
    }
    CHECK(own == most_own && node == most_node, CASE_FORMAT ", expert %d keeps %lld and %lld", CASE_ARGS(c, layer),
          (int)e, (long long)own, (long long)node);
    if (tokens > 5 || G > 4 || q.num > 4) return 0;
    try_quotas(&q, 0, 0, 0, 0);
    CHECK(own == q.best_own && node == q.best_node, CASE_FORMAT ", expert %d keeps %lld and %lld, not %lld and %lld",
          CASE_ARGS(c, layer), (int)e, (long long)own, (long long)node, (long long)q.best_own, (long long)q.best_node);
    return q.num > 1;
}

static void test_sources(uint64_t num_cases)
{
    int enumerated = 0;
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        share_case c = share_case_make(seed, seed % 2 ? 4 : 12, 4);
        uint64_t state = seed;
        ptrdiff_t R = c.problem.num_replicas, E = c.problem.num_experts, G = c.problem.num_gpus;
        int32_t *source = share_random_sources(&state, &c), *shares = plan_ints(plan_slots(&c.problem));
        int32_t *quota = plan_ints(plan_slots(&c.problem) * (size_t)G);
        CHECK(share_with_library(&c, EPLB_SHARE_LEAST_MAX, shares, NULL) == EPLB_OK, "seed %llu",
              (unsigned long long)seed);
        CHECK(share_sources_with_library(&c, source, shares, quota) == EPLB_OK, "seed %llu", (unsigned long long)seed);
        for (int32_t l = 0; l < c.problem.num_layers; l++) {
            check_quota_sums(&c, l, source + l * G * E, shares + l * R, quota + l * G * R);
            for (int32_t e = 0; e < E; e++)
                enumerated += check_kept(&c, l, e, source + l * G * E, shares + l * R, quota + l * G * R);
        }
        free(source);
        free(shares);
        free(quota);
        share_case_free(&c);
    }
    CHECK(enumerated > (int)num_cases / 2, "only %d experts were held against all ways to send tokens", enumerated);
    printf("  %d experts held against all ways to send tokens\n", enumerated);
}

/* ------------------------------------------------------------------------------------ evaluate */

typedef struct loads_case { /* a plan with every expert in a slot, and samples of load for it */
    share_case plan;
    float *weight;                  /* [T, L, E] */
    float *balancedness, *max_load; /* [L] */
} loads_case;

/* A load: some digits of any length, at one of many scales. */
static float random_load(uint64_t *state)
{
    int32_t digits = test_range(state, 0, 7) ? test_range(state, 0, (1 << test_range(state, 1, 24)) - 1) : 0;
    return (float)ldexp(digits, test_range(state, -30, 0));
}

static loads_case loads_case_make(uint64_t seed, int32_t num_samples)
{
    uint64_t state = seed + 77;
    loads_case c = {share_case_make(seed, 12, 5), NULL, NULL, NULL};
    size_t L = (size_t)c.plan.problem.num_layers, E = (size_t)c.plan.problem.num_experts;
    for (size_t l = 0; l < L; l++) /* what the plan left out is put into slots of those that have several */
        for (int32_t e = 0, R = c.plan.problem.num_replicas; e < (int32_t)E; e++) {
            int32_t *phy2log = c.plan.phy2log + l * (size_t)R, slot = 0;
            if (plan_copies(phy2log, R, e) > 0) continue;
            while (phy2log[slot] >= 0 && plan_copies(phy2log, R, phy2log[slot]) == 1) slot++;
            phy2log[slot] = e;
        }
    c.plan.problem.num_samples = num_samples;
    c.weight = (float *)test_alloc((size_t)num_samples * L * E * sizeof(float));
    c.balancedness = (float *)test_alloc(L * sizeof(float));
    c.max_load = (float *)test_alloc(L * sizeof(float));
    for (size_t i = 0; i < (size_t)num_samples * L * E; i++)
        c.weight[i] = i / E % 7 == 6 ? 0 : random_load(&state); /* now and then a layer of a sample holds none */
    return c;
}

static void loads_case_free(loads_case *c)
{
    share_case_free(&c->plan);
    free(c->weight);
    free(c->balancedness);
    free(c->max_load);
}

static eplb_result evaluate_loads(loads_case *c)
{
    size_t bytes = 0;
    eplb_result result;
    void *scratch = share_scratch(&c->plan.problem, &bytes, &result);
    if (scratch)
        result = eplb_evaluate_shares(&c->plan.problem, c->plan.phy2log, c->weight, c->balancedness, c->max_load,
                                      scratch, bytes);
    free(scratch);
    return result;
}

/* The factor that makes tokens of loads: a power of two, as large as leaves their sum under 2^31. */
static double token_factor(const float *load, int32_t E)
{
    double sum = 0, factor = 1;
    for (int32_t e = 0; e < E; e++) sum += (double)load[e];
    while (sum * factor >= 2147483648.0) factor /= 2;
    while (sum > 0 && sum * factor * 2 < 2147483648.0) factor *= 2;
    return factor;
}

/* One layer naively. */
static void evaluate_plainly(const loads_case *c, int32_t layer, double *mean, double *most)
{
    eplb_problem p = c->plan.problem;
    ptrdiff_t L = p.num_layers, E = p.num_experts, loaded = 0;
    share_case one = share_case_alloc(0, 1, p.num_experts, p.num_replicas, 1, p.num_gpus);
    int32_t *shares = plan_ints((size_t)p.num_replicas), heaviest_gpu = 0;
    memcpy(one.phy2log, c->plan.phy2log + layer * p.num_replicas, (size_t)p.num_replicas * sizeof(int32_t));
    *mean = *most = 0;
    for (ptrdiff_t t = 0; t < p.num_samples; t++) {
        const float *load = c->weight + (t * L + layer) * E;
        double factor = token_factor(load, p.num_experts), sum = 0;
        for (ptrdiff_t e = 0; e < E; e++) {
            one.count[e] = (int32_t)floor((double)load[e] * factor);
            sum += (double)load[e];
        }
        CHECK(share_with_library(&one, EPLB_SHARE_LEAST_MAX, shares, &heaviest_gpu) == EPLB_OK, "tokens");
        *mean += sum / p.num_gpus;
        *most += heaviest_gpu / factor;
        loaded += sum > 0;
    }
    if (loaded > 0) {
        *mean /= (double)loaded;
        *most /= (double)loaded;
    }
    share_case_free(&one);
    free(shares);
}

static int is_near(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b); }

/* Beside what is plain, and beside equal shares, which are never better. */
static void check_loads(loads_case *c)
{
    eplb_problem *p = &c->plan.problem;
    size_t bytes = 0;
    eplb_plan plan = {c->plan.phy2log, NULL, NULL, NULL, 0, NULL};
    eplb_layer_report *equal = (eplb_layer_report *)test_alloc((size_t)p->num_layers * sizeof *equal);
    CHECK(evaluate_loads(c) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c->plan, 0));
    CHECK(eplb_scratch_size(p, NULL, &bytes) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c->plan, 0));
    void *scratch = test_alloc(bytes);
    CHECK(eplb_evaluate(p, NULL, c->weight, &plan, equal, NULL, scratch, bytes) == EPLB_OK, CASE_FORMAT,
          CASE_ARGS(&c->plan, 0));
    for (int32_t l = 0; l < p->num_layers; l++) {
        double mean, most, balancedness;
        evaluate_plainly(c, l, &mean, &most);
        balancedness = most > 0 ? mean / most : 1;
        CHECK(is_near((double)c->max_load[l], most), CASE_FORMAT ", %.9g, not %.9g", CASE_ARGS(&c->plan, l),
              (double)c->max_load[l], most);
        CHECK(is_near((double)c->balancedness[l], balancedness) && c->balancedness[l] <= 1,
              CASE_FORMAT ", %.9g, not %.9g", CASE_ARGS(&c->plan, l), (double)c->balancedness[l], balancedness);
        CHECK((double)c->balancedness[l] >= (double)equal[l].balancedness * (1 - 1e-6),
              CASE_FORMAT ", equal shares are better", CASE_ARGS(&c->plan, l));
    }
    free(scratch);
    free(equal);
}

/* The same loads in another unit: the same balancedness in every bit, and the same load. */
static void check_units(loads_case *c)
{
    static const int powers[] = {-119, -70, -1, 1, 30, 90};
    size_t L = (size_t)c->plan.problem.num_layers,
           n = (size_t)c->plan.problem.num_samples * plan_experts(&c->plan.problem);
    float *balancedness = (float *)test_alloc(L * sizeof(float)), *max_load = (float *)test_alloc(L * sizeof(float));
    memcpy(balancedness, c->balancedness, L * sizeof(float));
    memcpy(max_load, c->max_load, L * sizeof(float));
    for (size_t i = 0; i < sizeof powers / sizeof *powers; i++) {
        float factor = (float)ldexp(1, powers[i]);
        for (size_t k = 0; k < n; k++) c->weight[k] *= factor;
        CHECK(evaluate_loads(c) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c->plan, 0));
        CHECK(memcmp(c->balancedness, balancedness, L * sizeof(float)) == 0, CASE_FORMAT ", times 2^%d",
              CASE_ARGS(&c->plan, 0), powers[i]);
        for (size_t l = 0; l < L; l++)
            CHECK((double)c->max_load[l] == (double)(max_load[l] * factor), CASE_FORMAT ", times 2^%d: %.9g",
                  CASE_ARGS(&c->plan, l), powers[i], (double)c->max_load[l]);
        for (size_t k = 0; k < n; k++)
            c->weight[k] /= factor; /* exact: 30 places below 1 are the least, and 2^-149 is a load still */
    }
    free(balancedness);
    free(max_load);
}

static void test_evaluate(uint64_t num_cases)
{
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        loads_case c = loads_case_make(seed, 1 + (int32_t)(seed % 4));
        check_loads(&c);
        check_units(&c);
        loads_case_free(&c);
    }
}

/* Whole tokens may be parted here: the heaviest GPU has up to one less than by eplb_share. */
static void test_evaluate_tokens(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        loads_case c = loads_case_make(seed, 1);
        size_t L = (size_t)c.plan.problem.num_layers, n = plan_experts(&c.plan.problem);
        int32_t *shares = plan_ints(plan_slots(&c.plan.problem)), *most = plan_ints(L);
        for (size_t i = 0; i < n; i++) {
            c.plan.count[i] %= 1 << 14;
            c.weight[i] = (float)c.plan.count[i];
        }
        CHECK(share_with_library(&c.plan, EPLB_SHARE_LEAST_MAX, shares, most) == EPLB_OK, "seed %d", (int)seed);
        CHECK(evaluate_loads(&c) == EPLB_OK, "seed %d", (int)seed);
        for (size_t l = 0; l < L; l++)
            CHECK(c.max_load[l] <= (float)most[l] && (double)c.max_load[l] > most[l] - 1 - 1e-5 * most[l],
                  CASE_FORMAT ", %.9g of %d tokens", CASE_ARGS(&c.plan, l), (double)c.max_load[l], (int)most[l]);
        free(shares);
        free(most);
        loads_case_free(&c);
    }
}

/* Two experts on three GPUs, the first on two of them: 3 and 1 make 1.5, 1.5 and 1. */
static const int32_t by_hand_plan[3] = {0, 0, 1};

static void test_evaluate_by_hand(void)
{
    float balancedness = 9, max_load = 9;
    float weight[3 * 2] = {3, 1, -0.0f, 0, 2, 4}; /* an idle sample between two others */
    uint64_t scratch[256];
    eplb_problem p = {1, 2, 3, 0, 0, 3, 1, ALIKE};
    CHECK(eplb_evaluate_shares(&p, by_hand_plan, weight, &balancedness, &max_load, scratch, sizeof scratch) == EPLB_OK,
          "one");
    CHECK(is_near((double)max_load, 1.5) && is_near((double)balancedness, 4 / 4.5), "one: %.9g, %.9g", (double)max_load,
          (double)balancedness);
    p.num_samples = 3;
    CHECK(eplb_evaluate_shares(&p, by_hand_plan, weight, &balancedness, &max_load, scratch, sizeof scratch) == EPLB_OK,
          "three");
    CHECK(is_near((double)max_load, 2.75) && is_near((double)balancedness, 10 / 16.5), "three: %.9g, %.9g",
          (double)max_load, (double)balancedness);
    p.num_samples = 0;
    CHECK(eplb_evaluate_shares(&p, by_hand_plan, weight + 2, &balancedness, &max_load, scratch, sizeof scratch)
              == EPLB_OK,
          "none");
    CHECK(max_load == 0.0f && balancedness == 1.0f, "no load: %.9g, %.9g", (double)max_load, (double)balancedness);
    weight[0] = weight[1] = 3.4e38f;
    CHECK(eplb_evaluate_shares(&p, by_hand_plan, weight, &balancedness, NULL, scratch, sizeof scratch) == EPLB_OK,
          "most");
    CHECK(is_near((double)balancedness, 2.0 / 3), "the largest loads: %.9g", (double)balancedness);
    weight[0] = weight[1] = 1.4e-45f;
    CHECK(eplb_evaluate_shares(&p, by_hand_plan, weight, &balancedness, &max_load, scratch, sizeof scratch) == EPLB_OK,
          "least");
    CHECK(is_near((double)balancedness, 2.0 / 3) && max_load == weight[1], "the least loads: %.9g",
          (double)balancedness);
}

/* -------------------------------------------------------------------------------------- errors */

typedef struct call { /* of any of the three functions, with nothing wrong until something is made so */
    eplb_problem problem;
    int32_t phy2log[2 * 8], count[2 * 5], source[2 * 4 * 5], shares[2 * 8];
    const int32_t *phy2log_given, *count_given, *source_given, *shares_given;
    int32_t how;
    int32_t slot_count[2 * 8], most[2], quota[2 * 4 * 8], num[2], tokens[2];
    uint8_t proving[2 * 4];
    int without_output;
    uint64_t scratch[1024];
    void *scratch_given;
    size_t bytes;
} call;

static call good_call(void)
{
    static const int32_t plan[8] = {0, 1, 2, 0, 3, 1, 0, -1}; /* expert 4 is in no slot */
    static const int32_t tokens[5] = {9, 4, 3, 2, 0}, shares[8] = {3, 2, 3, 3, 2, 2, 3, 0};
    call c;
    memset(&c, 0, sizeof c);
    c.problem.num_layers = 2;
    c.problem.num_experts = 5;
    c.problem.num_replicas = 8;
    c.problem.num_gpus = 4;
    c.problem.num_nodes = 2;
    for (int l = 0; l < 2; l++) {
        memcpy(c.phy2log + 8 * l, plan, sizeof plan);
        memcpy(c.count + 5 * l, tokens, sizeof tokens);
        memcpy(c.shares + 8 * l, shares, sizeof shares);
        for (int e = 0; e < 5; e++) c.source[20 * l + 5 * (e % 4) + e] = tokens[e];
    }
    CHECK(eplb_share_scratch_size(&c.problem, &c.bytes) == EPLB_OK && c.bytes <= sizeof c.scratch, "scratch");
    return c;
}

enum { CALL_SHARE, CALL_PROOF, CALL_SOURCES, NUM_CALLS };

static eplb_result run_call(call *c, int which)
{
    memset(c->slot_count, 0x5a, sizeof c->slot_count);
    memset(c->most, 0x5a, sizeof c->most);
    memset(c->quota, 0x5a, sizeof c->quota);
    memset(c->num, 0x5a, sizeof c->num);
    memset(c->tokens, 0x5a, sizeof c->tokens);
    memset(c->proving, 0x5a, sizeof c->proving);
    if (which == CALL_SHARE)
        return eplb_share(&c->problem, c->phy2log_given, c->count_given, c->how,
                          c->without_output ? NULL : c->slot_count, c->most, c->scratch_given, c->bytes);
    if (which == CALL_PROOF)
        return eplb_share_proof(&c->problem, c->phy2log_given, c->count_given, c->without_output ? NULL : c->proving,
                                c->num, c->tokens, c->scratch_given, c->bytes);
    return eplb_share_sources(&c->problem, c->phy2log_given, c->source_given, c->shares_given,
                              c->without_output ? NULL : c->quota, c->scratch_given, c->bytes);
}

static int all_bytes(const void *at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (((const unsigned char *)at)[i] != 0x5a) return 0;
    return 1;
}

static void expect(call *c, int which, eplb_result expected, const char *what)
{
    eplb_result r = run_call(c, which);
    CHECK(r == expected, "%s, call %d: %s", what, which, eplb_result_name(r));
    CHECK(r == EPLB_OK
              || (all_bytes(c->slot_count, sizeof c->slot_count) && all_bytes(c->most, sizeof c->most)
                  && all_bytes(c->quota, sizeof c->quota) && all_bytes(c->num, sizeof c->num)
                  && all_bytes(c->tokens, sizeof c->tokens) && all_bytes(c->proving, sizeof c->proving)),
          "%s, call %d: something was written", what, which);
}

/* The arguments as they are now, in some of the calls (1 << CALL_*). */
static void expect_in(call *c, int calls, eplb_result expected, const char *what)
{
    c->phy2log_given = c->phy2log;
    c->count_given = c->count;
    c->source_given = c->source;
    c->shares_given = c->shares;
    c->scratch_given = c->scratch;
    for (int which = 0; which < NUM_CALLS; which++)
        if (calls >> which & 1) expect(c, which, expected, what);
}

enum {
    IN_SHARE = 1 << CALL_SHARE,
    IN_COUNTS = IN_SHARE | 1 << CALL_PROOF,
    IN_SOURCES = 1 << CALL_SOURCES,
    IN_ALL = IN_COUNTS | IN_SOURCES
};

static void test_counts_and_plans(void)
{
    call c = good_call();
    expect_in(&c, IN_ALL, EPLB_OK, "nothing wrong");
    c = good_call(), c.how = EPLB_NUM_SHARES, expect_in(&c, IN_SHARE, EPLB_ERR_OPTION, "how 2");
    c = good_call(), c.how = -1, expect_in(&c, IN_SHARE, EPLB_ERR_OPTION, "how -1");
    c = good_call(), c.phy2log[15] = 5, expect_in(&c, IN_ALL, EPLB_ERR_PLAN, "an expert beyond the last");
    c = good_call(), c.phy2log[15] = -2, expect_in(&c, IN_ALL, EPLB_ERR_PLAN, "an expert before the first");
    c = good_call(), c.count[9] = 1, expect_in(&c, IN_COUNTS, EPLB_ERR_PLAN, "tokens of an expert without a slot");
    c = good_call(), c.source[24] = 1, expect_in(&c, IN_SOURCES, EPLB_ERR_PLAN, "waiting for an expert without a slot");
    c = good_call(), c.count[8] = -1, expect_in(&c, IN_COUNTS, EPLB_ERR_NEGATIVE, "a negative count");
    c = good_call(), c.source[39] = -1, expect_in(&c, IN_SOURCES, EPLB_ERR_NEGATIVE, "fewer than none waiting");
    c = good_call(), c.shares[12] = -1, expect_in(&c, IN_SOURCES, EPLB_ERR_NEGATIVE, "a negative share");
    c = good_call(), c.shares[12] = 1, expect_in(&c, IN_SOURCES, EPLB_ERR_SHARES, "a share too small");
    c = good_call(), c.shares[12] = 3, expect_in(&c, IN_SOURCES, EPLB_ERR_SHARES, "a share too large");
    c = good_call(), c.shares[12] = 1, c.shares[8] = 4, expect_in(&c, IN_SOURCES, EPLB_ERR_SHARES, "another's tokens");
    c = good_call(), c.shares[12] = 1, c.shares[15] = 1,
    expect_in(&c, IN_SOURCES, EPLB_ERR_SHARES, "an empty slot's share");
    c = good_call(), c.shares[15] = 1, expect_in(&c, IN_SOURCES, EPLB_ERR_SHARES, "an empty slot's share besides");
    c = good_call(), c.count[5] = INT32_MAX - 8, expect_in(&c, IN_COUNTS, EPLB_ERR_OVERFLOW, "2^31 tokens");
    c = good_call(), c.source[21] = INT32_MAX, expect_in(&c, IN_SOURCES, EPLB_ERR_OVERFLOW, "more than 2^31 waiting");
}

static void test_shapes(void)
{
    call c = good_call();
    size_t bytes = 77;
    c = good_call(), c.problem.num_layers = 0, expect_in(&c, IN_ALL, EPLB_ERR_COUNT, "no layers");
    c = good_call(), c.problem.num_experts = 0, expect_in(&c, IN_ALL, EPLB_ERR_COUNT, "no experts");
    c = good_call(), c.problem.num_replicas = 0, expect_in(&c, IN_ALL, EPLB_ERR_COUNT, "no slots");
    c = good_call(), c.problem.num_gpus = -4, expect_in(&c, IN_ALL, EPLB_ERR_COUNT, "fewer than no GPUs");
    c = good_call(), c.problem.num_nodes = -1, expect_in(&c, IN_ALL, EPLB_ERR_COUNT, "fewer than no nodes");
    c = good_call(), c.problem.num_nodes = 0, expect_in(&c, IN_ALL, EPLB_OK, "nodes left out");
    c = good_call(), c.problem.num_groups = c.problem.num_samples = -1,
    expect_in(&c, IN_ALL, EPLB_OK, "fields not read");
    c = good_call(), c.problem.num_experts = 9, expect_in(&c, IN_ALL, EPLB_ERR_TOO_FEW, "more experts than slots");
    c = good_call(), c.problem.num_gpus = 3, c.problem.num_nodes = 1, expect_in(&c, IN_ALL, EPLB_ERR_DIVIDE, "3 GPUs");
    c = good_call(), c.problem.num_nodes = 3, expect_in(&c, IN_ALL, EPLB_ERR_DIVIDE, "3 nodes");
    c = good_call(), c.problem.num_layers = c.problem.num_experts = c.problem.num_replicas = INT32_MAX;
    c.problem.num_gpus = INT32_MAX, c.problem.num_nodes = 1;
    expect_in(&c, IN_ALL, EPLB_ERR_OVERFLOW, "beyond size_t");
    CHECK(eplb_share_scratch_size(&c.problem, &bytes) == EPLB_ERR_OVERFLOW && bytes == 77, "its size");
    CHECK(eplb_share_scratch_size(NULL, &bytes) == EPLB_ERR_NULL && bytes == 77, "size of no problem");
    c = good_call();
    CHECK(eplb_share_scratch_size(&c.problem, NULL) == EPLB_ERR_NULL, "no bytes");
    c.problem.num_layers = 1000;
    CHECK(eplb_share_scratch_size(&c.problem, &bytes) == EPLB_OK && bytes == c.bytes, "the same for any layers");
}

static void test_pointers(void)
{
    call c = good_call();
    expect_in(&c, IN_ALL, EPLB_OK, "to begin with");
    for (int which = 0; which < NUM_CALLS; which++) {
        c.phy2log_given = NULL, expect(&c, which, EPLB_ERR_NULL, "no plan"), c.phy2log_given = c.phy2log;
        c.without_output = 1, expect(&c, which, EPLB_ERR_NULL, "no output"), c.without_output = 0;
        c.scratch_given = NULL, expect(&c, which, EPLB_ERR_NULL, "no scratch"), c.scratch_given = c.scratch;
        c.bytes--, expect(&c, which, EPLB_ERR_SCRATCH_SIZE, "a byte too few"), c.bytes++;
        expect(&c, which, EPLB_OK, "as before");
    }
    c.count_given = NULL;
    expect(&c, CALL_SHARE, EPLB_ERR_NULL, "no counts");
    expect(&c, CALL_PROOF, EPLB_ERR_NULL, "no counts");
    c.source_given = NULL;
    expect(&c, CALL_SOURCES, EPLB_ERR_NULL, "no sources");
    c.source_given = c.source, c.shares_given = NULL;
    expect(&c, CALL_SOURCES, EPLB_ERR_NULL, "no shares");
    CHECK(eplb_share(NULL, c.phy2log, c.count, 0, c.slot_count, NULL, c.scratch, c.bytes) == EPLB_ERR_NULL,
          "no problem");
    CHECK(eplb_share_proof(NULL, c.phy2log, c.count, c.proving, NULL, NULL, c.scratch, c.bytes) == EPLB_ERR_NULL,
          "none");
    CHECK(eplb_share_sources(NULL, c.phy2log, c.source, c.shares, c.quota, c.scratch, c.bytes) == EPLB_ERR_NULL,
          "none");
    CHECK(eplb_share_proof(&c.problem, c.phy2log, c.count, c.proving, NULL, NULL, c.scratch, c.bytes) == EPLB_OK,
          "only the set is wanted");
}

/* Any address, whatever the scratch holds before, and not a byte beyond it. */
static void test_scratch(void)
{
    share_case c = share_case_make(7, 12, 5);
    size_t bytes = 0, slots = plan_slots(&c.problem);
    int32_t *expected = plan_ints(slots), *shares = plan_ints(slots);

    CHECK(share_with_library(&c, EPLB_SHARE_FAIR, expected, NULL) == EPLB_OK, "scratch");
    CHECK(eplb_share_scratch_size(&c.problem, &bytes) == EPLB_OK && bytes > 0, "scratch");
    for (size_t offset = 0; offset < 64; offset++) {
        unsigned char *memory = (unsigned char *)test_alloc(bytes + 128);
        int kept = 1;
        memset(memory, (int)(offset * 37 & 255), bytes + 128);
        CHECK(eplb_share(&c.problem, c.phy2log, c.count, EPLB_SHARE_FAIR, shares, NULL, memory + offset, bytes)
                  == EPLB_OK,
              "offset %d", (int)offset);
        CHECK(plan_same_ints(shares, expected, slots), "offset %d: other shares", (int)offset);
        for (size_t i = 0; i < bytes + 128; i++)
            kept &= (i >= offset && i < offset + bytes) || memory[i] == (offset * 37 & 255);
        CHECK(kept, "offset %d: written beyond", (int)offset);
        free(memory);
    }
    free(expected);
    free(shares);
    share_case_free(&c);
}

/* What eplb_evaluate_shares is given, with one thing wrong. */
static void test_evaluate_errors(void)
{
    enum { NOTHING, NO_PROBLEM, NO_PLAN, NO_WEIGHT, NO_OUTPUT, NO_SCRATCH };
    static const struct {
        int missing;
        eplb_problem problem;
        int32_t slot; /* of the last one */
        float load;   /* of the last expert in the last sample */
        size_t short_of;
        eplb_result expected;
    } wrong[] = {{NOTHING, {1, 2, 3, -1, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_OK},
                 {NO_PROBLEM, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_NULL},
                 {NO_PLAN, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_NULL},
                 {NO_WEIGHT, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_NULL},
                 {NO_OUTPUT, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_NULL},
                 {NO_SCRATCH, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_NULL},
                 {NOTHING, {0, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_COUNT},
                 {NOTHING, {1, 2, 3, 0, 0, 3, -1, ALIKE}, 1, 1, 0, EPLB_ERR_COUNT},
                 {NOTHING, {1, 4, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 0, EPLB_ERR_TOO_FEW},
                 {NOTHING, {1, 2, 3, 0, 0, 2, 2, ALIKE}, 1, 1, 0, EPLB_ERR_DIVIDE},
                 {NOTHING, {INT32_MAX, 2, 3, 0, 0, 3, INT32_MAX, ALIKE}, 1, 1, 0, EPLB_ERR_OVERFLOW},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, 1, 1, EPLB_ERR_SCRATCH_SIZE},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, -1, 0, EPLB_ERR_NEGATIVE},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, (float)INFINITY, 0, EPLB_ERR_INFINITE},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 1, (float)NAN, 0, EPLB_ERR_NAN},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, 2, 1, 0, EPLB_ERR_PLAN},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, -2, 1, 0, EPLB_ERR_PLAN},
                 {NOTHING, {1, 2, 3, 0, 0, 3, 2, ALIKE}, -1, 0, 0, EPLB_ERR_PLAN}}; /* no slot, though no load either */
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        eplb_problem good = wrong[0].problem;
        int32_t plan[3] = {0, 0, wrong[i].slot};
        float weight[4] = {3, 1, 2, wrong[i].load}, balancedness, max_load;
        uint64_t scratch[256];
        size_t bytes = 0;
        int m = wrong[i].missing;
        CHECK(eplb_share_scratch_size(&good, &bytes) == EPLB_OK && bytes <= sizeof scratch, "scratch");
        memset(&balancedness, 0x5a, sizeof balancedness);
        memset(&max_load, 0x5a, sizeof max_load);
        eplb_result r = eplb_evaluate_shares(m == NO_PROBLEM ? NULL : &wrong[i].problem, m == NO_PLAN ? NULL : plan,
                                             m == NO_WEIGHT ? NULL : weight, m == NO_OUTPUT ? NULL : &balancedness,
                                             &max_load, m == NO_SCRATCH ? NULL : scratch, bytes - wrong[i].short_of);
        CHECK(r == wrong[i].expected, "case %d: %s", (int)i, eplb_result_name(r));
        CHECK(r == EPLB_OK || (all_bytes(&balancedness, sizeof balancedness) && all_bytes(&max_load, sizeof max_load)),
              "case %d: something was written", (int)i);
    }
}

int main(int argc, char **argv)
{
    uint64_t num_cases = argc > 1 ? (uint64_t)strtoul(argv[1], NULL, 10) : 1200;
    test_small(num_cases);
    test_large();
    test_chain();
    test_many_tokens();
    test_no_tokens();
    test_layers();
    test_sources(num_cases);
    test_evaluate(num_cases / 4);
    test_evaluate_tokens();
    test_evaluate_by_hand();
    test_evaluate_errors();
    test_counts_and_plans();
    test_shapes();
    test_pointers();
    test_scratch();
    return test_report("test_share");
}
