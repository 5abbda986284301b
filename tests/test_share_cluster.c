/* test_share_cluster.c - exact shares on clusters as they are: dead GPUs, slots that may not be used, GPUs of different
   speed, nodes of any size. Against all ways to split tokens, where they are few; a plain flow that tries to be done any
   sooner; and the exchange of one token. Times are compared exactly, by products of doubles and what was rounded off.

   usage: test_share_cluster [COUNT]   random clusters by their seeds */
#define EPLB_IMPLEMENTATION
#include <math.h>

#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "share_cases.h"

enum { MOST_GPUS = 12, MOST_EXPERTS = 48, MOST_NODES = 5 };

typedef struct cluster { /* one layer of a plan on a cluster */
    share_case c;        /* phy2log has anything in slots that may not be used */
    int32_t *seen;       /* [R] the plan with nothing there */
    int32_t slots[MOST_GPUS], node[MOST_GPUS];
    float speed[MOST_GPUS];
} cluster;

#define CASE_FORMAT "seed %llu: E %d R %d G %d"
#define CASE_ARGS(of)                                                                                      \
    (unsigned long long)(of)->c.seed, (int)(of)->c.problem.num_experts, (int)(of)->c.problem.num_replicas, \
        (int)(of)->c.problem.num_gpus

/* -------------------------------------------------------------------------------------- times */

/* -1, 0, 1 as a * b is less than, equal to or more than c * d. */
static int compare_products(double a, double b, double c, double d)
{
    volatile double ab = a * b, cd = c * d;                     /* rounded to doubles, whatever registers hold */
    double x = ab - cd, more = fma(a, b, -ab) - fma(c, d, -cd); /* where the products differ, they tell */
    return x > 0 ? 1 : x < 0 ? -1 : (more > 0) - (more < 0);
}

static float speed_of(const cluster *c, int32_t gpu) { return c->c.problem.gpu_speed ? c->speed[gpu] : 1; }

static int32_t slots_of(const cluster *c, int32_t gpu)
{
    return c->c.problem.gpu_slots ? c->slots[gpu] : c->c.problem.num_replicas / c->c.problem.num_gpus;
}

/* By time: tokens x on GPU g, and y on h. */
static int compare_times(const cluster *c, int64_t x, int32_t g, int64_t y, int32_t h)
{
    return compare_products((double)x, (double)speed_of(c, h), (double)y, (double)speed_of(c, g));
}

/* The most tokens that GPU g is done with before h is with so many. */
static int64_t done_before(const cluster *c, int32_t g, int64_t tokens, int32_t h)
{
    int64_t low = -1, high = INT64_C(1) << 31;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (compare_times(c, middle, g, tokens, h) < 0) low = middle;
        else high = middle;
    }
    return low;
}

/* The GPU that takes longest, the first of several. */
static int32_t last_gpu(const cluster *c, const int32_t *shares)
{
    int32_t last = -1;
    for (int32_t g = 0; g < c->c.problem.num_gpus; g++) {
        if (slots_of(c, g) == 0) continue;
        if (last < 0
            || compare_times(c, share_load(&c->c.problem, shares, g), g, share_load(&c->c.problem, shares, last), last)
                   > 0)
            last = g;
    }
    return last;
}

/* -------------------------------------------------------------------------------------- cases */

static float draw_speed(uint64_t *state, int kind)
{
    static const float few[6] = {1, 0.8f, 2, 3.5f, 0.1f, 1.2f};
    switch (kind) {
    case 0: return few[test_range(state, 0, 1)];
    case 1: return few[test_range(state, 0, 3)];
    case 2: return (float)test_range(state, 1, 4);
    case 3: return 0.25f + (float)test_range(state, 0, 1 << 24) / (float)(1 << 24); /* any digits */
    default:
        return (float)test_range(state, 1 << 22, (1 << 25) - 1)
               * few[test_range(state, 4, 5)]; /* up to 96 times others */
    }
}

/* Usable slots of each GPU, none now and then, but some in all. Returns how many. */
static int32_t draw_slots(uint64_t *state, int32_t *slots, int32_t G, int32_t S)
{
    int32_t sum = 0, how = test_range(state, 0, 2);
    for (int32_t g = 0; g < G; g++) {
        slots[g] = how == 0 ? S : test_range(state, 0, 4) == 0 ? 0 : how == 1 ? S : test_range(state, 0, S);
        sum += slots[g];
    }
    if (sum == 0) sum = slots[test_range(state, 0, G - 1)] = S;
    return sum;
}

static void draw_nodes(uint64_t *state, cluster *c)
{
    int32_t G = c->c.problem.num_gpus, N = test_range(state, 1, MOST_NODES);
    for (int32_t g = 0, n = 0; g < G; g++) {
        while (n < N - 1 && test_range(state, 0, 2) == 0) n++;
        c->node[g] = n;
    }
    c->c.problem.num_nodes = N;
}

/* Experts in shuffled usable slots, each once and then at random, or nobody; in other slots whatever there is. */
static void draw_plan(uint64_t *state, cluster *c, int32_t usable)
{
    int32_t E = c->c.problem.num_experts, S = c->c.problem.num_replicas / c->c.problem.num_gpus, n = 0;
    int32_t held[MOST_GPUS * 8];
    for (int32_t i = 0; i < usable; i++) {
        int32_t other = test_range(state, 0, i);
        held[i] = held[other];
        held[other] = i < E ? i : test_range(state, -1, E - 1);
    }
    for (int32_t slot = 0; slot < c->c.problem.num_replicas; slot++) {
        int is_usable = slot % S < c->slots[slot / S];
        c->seen[slot] = is_usable ? held[n++] : -1;
        c->c.phy2log[slot] = is_usable                 ? c->seen[slot]
                             : test_range(state, 0, 1) ? test_range(state, 0, E - 1)
                                                       : 7654321;
    }
}

/* With at most so many GPUs and slots on each, as eplb_problem says where what is random about them differs at all. */
static cluster cluster_make(uint64_t seed, int32_t most_gpus, int32_t most_slots, int kind)
{
    uint64_t state = seed + 4242;
    int32_t G = test_range(&state, 1, most_gpus), S = test_range(&state, 1, most_slots), slots[MOST_GPUS];
    int32_t usable = draw_slots(&state, slots, G, S), speeds = test_range(&state, 0, 5);
    int32_t E = test_range(&state, usable < 3 ? 1 : usable / 3, usable);
    cluster c;
    memset(&c, 0, sizeof c);
    c.c = share_case_alloc(seed, 1, E, G * S, 1, G);
    c.seen = plan_ints((size_t)(G * S));
    memcpy(c.slots, slots, sizeof slots);
    draw_nodes(&state, &c);
    for (int32_t g = 0; g < G; g++) c.speed[g] = speeds < 5 ? draw_speed(&state, speeds) : 1;
    draw_plan(&state, &c, usable);
    for (int32_t e = 0; e < E; e++) c.c.count[e] = share_random_count(&state, kind, E);
    return c;
}

/* Pointers into the case itself: once it stands where it stays. */
static void cluster_point(cluster *c)
{
    c->c.problem.gpu_slots = c->slots;
    c->c.problem.gpu_speed = c->speed;
    c->c.problem.gpu_node = c->node;
}

static void cluster_free(cluster *c)
{
    share_case_free(&c->c);
    free(c->seen);
}

/* ---------------------------------------------------------------------- all ways to split tokens */

typedef struct time_of { /* one GPU's */
    int64_t tokens;
    int32_t gpu;
} time_of;

typedef struct all_splits {
    const cluster *c;
    int64_t load[MOST_GPUS];
    time_of best[MOST_GPUS]; /* latest first */
    int any;
} all_splits;

static void sort_times(const cluster *c, const int64_t *load, time_of *sorted)
{
    for (int32_t g = 0; g < c->c.problem.num_gpus; g++) {
        int32_t i = g;
        for (; i > 0 && compare_times(c, load[g], g, sorted[i - 1].tokens, sorted[i - 1].gpu) > 0; i--)
            sorted[i] = sorted[i - 1];
        sorted[i].tokens = load[g];
        sorted[i].gpu = g;
    }
}

/* As the first differing times do. */
static int compare_sorted(const cluster *c, const time_of *a, const time_of *b)
{
    int order = 0;
    for (int32_t i = 0; i < c->c.problem.num_gpus && order == 0; i++)
        order = compare_times(c, a[i].tokens, a[i].gpu, b[i].tokens, b[i].gpu);
    return order;
}

static void try_splits(all_splits *s, int32_t e, int32_t gpu, int32_t left)
{
    const eplb_problem *p = &s->c->c.problem;
    if (e == p->num_experts) {
        time_of sorted[MOST_GPUS];
        sort_times(s->c, s->load, sorted);
        if (!s->any || compare_sorted(s->c, sorted, s->best) < 0) memcpy(s->best, sorted, sizeof sorted);
        s->any = 1;
    } else if (gpu == p->num_gpus) {
        if (left == 0) try_splits(s, e + 1, 0, e + 1 < p->num_experts ? s->c->c.count[e + 1] : 0);
    } else {
        int32_t most = share_lives_on(p, s->c->seen, e, gpu) ? left : 0, behind = 0;
        for (int32_t other = gpu + 1; other < p->num_gpus; other++) behind |= share_lives_on(p, s->c->seen, e, other);
        for (int32_t here = behind ? 0 : most; here <= most; here++) {
            s->load[gpu] += here;
            try_splits(s, e, gpu + 1, left - here);
            s->load[gpu] -= here;
        }
    }
}

static double num_splits(const cluster *c)
{
    double ways = 1;
    for (int32_t e = 0; e < c->c.problem.num_experts; e++) {
        int32_t homes = 0;
        for (int32_t g = 0; g < c->c.problem.num_gpus; g++) homes += share_lives_on(&c->c.problem, c->seen, e, g);
        for (int32_t i = 1; i < homes; i++) ways *= ((double)c->c.count[e] + i) / i;
    }
    return ways;
}

/* Returns whether the ways were few enough. */
static int check_by_splits(const cluster *c, const int32_t *least, const int32_t *fair)
{
    all_splits s = {c, {0}, {{0, 0}}, 0};
    time_of sorted[MOST_GPUS];
    int64_t load[MOST_GPUS];
    int32_t last = last_gpu(c, least);
    if (num_splits(c) > 1500) return 0;
    try_splits(&s, 0, 0, c->c.count[0]);
    CHECK(compare_times(c, share_load(&c->c.problem, least, last), last, s.best[0].tokens, s.best[0].gpu) == 0,
          CASE_FORMAT ", GPU %d could be done sooner", CASE_ARGS(c), (int)last);
    for (int32_t g = 0; g < c->c.problem.num_gpus; g++) load[g] = share_load(&c->c.problem, fair, g);
    sort_times(c, load, sorted);
    CHECK(compare_sorted(c, sorted, s.best) == 0, CASE_FORMAT ", not the fairest", CASE_ARGS(c));
    return 1;
}

/* --------------------------------------------------------------------------------------- flow */

typedef struct flow {
    const cluster *c;
    int64_t served[MOST_EXPERTS][MOST_GPUS], room[MOST_GPUS];
    int visited[MOST_GPUS];
} flow;

/* Tokens of e, at most so many, for a GPU with room, whatever others have to make place. Returns how many. */
static int64_t push_tokens(flow *f, int32_t e, int64_t tokens)
{
    for (int32_t g = 0; g < f->c->c.problem.num_gpus; g++) {
        int64_t pushed = 0;
        if (f->visited[g] || !share_lives_on(&f->c->c.problem, f->c->seen, e, g)) continue;
        f->visited[g] = 1;
        if (f->room[g] > 0) {
            pushed = tokens < f->room[g] ? tokens : f->room[g];
            f->room[g] -= pushed;
        }
        for (int32_t other = 0; other < f->c->c.problem.num_experts && pushed == 0; other++) {
            if (other == e || f->served[other][g] == 0) continue;
            pushed = push_tokens(f, other, tokens < f->served[other][g] ? tokens : f->served[other][g]);
            f->served[other][g] -= pushed;
        }
        f->served[e][g] += pushed;
        if (pushed > 0) return pushed;
    }
    return 0;
}

/* Whether all tokens find a place where each GPU has so much room. */
static int all_fit(const cluster *c, const int64_t *room)
{
    static flow f;
    memset(&f, 0, sizeof f);
    f.c = c;
    memcpy(f.room, room, sizeof f.room);
    for (int32_t e = 0; e < c->c.problem.num_experts; e++) {
        int64_t left = c->c.count[e], pushed = 1;
        while (left > 0 && pushed > 0) {
            memset(f.visited, 0, sizeof f.visited);
            pushed = push_tokens(&f, e, left);
            left -= pushed;
        }
        if (left > 0) return 0;
    }
    return 1;
}

/* No shares are done before the last GPU of these is. */
static void check_least(const cluster *c, const int32_t *shares)
{
    int32_t last = last_gpu(c, shares);
    int64_t room[MOST_GPUS] = {0}, tokens = share_load(&c->c.problem, shares, last);
    if (tokens == 0) return;
    for (int32_t g = 0; g < c->c.problem.num_gpus; g++) room[g] = done_before(c, g, tokens, last);
    CHECK(!all_fit(c, room), CASE_FORMAT ", all can be done before GPU %d is with %lld", CASE_ARGS(c), (int)last,
          (long long)tokens);
}

static void check_proof(const cluster *c, const int32_t *shares)
{
    const eplb_problem *p = &c->c.problem;
    size_t bytes = 0;
    uint8_t proving[MOST_GPUS];
    int32_t num, tokens, last = last_gpu(c, shares), size = 0;
    int64_t done = 0, most = share_load(p, shares, last);
    eplb_result result;
    void *scratch = share_scratch(p, &bytes, &result);
    CHECK(result == EPLB_OK
              && eplb_share_proof(p, c->c.phy2log, c->c.count, proving, &num, &tokens, scratch, bytes) == EPLB_OK,
          CASE_FORMAT, CASE_ARGS(c));
    for (int32_t g = 0; g < p->num_gpus; g++) {
        CHECK(!proving[g] || slots_of(c, g) > 0, CASE_FORMAT ", GPU %d proves nothing", CASE_ARGS(c), (int)g);
        size += proving[g];
        if (proving[g] && most > 0) done += done_before(c, g, most, last);
    }
    CHECK(size == num && size > 0 && share_only_on(p, c->seen, c->c.count, proving) == tokens,
          CASE_FORMAT ", a set of %d with %d", CASE_ARGS(c), (int)num, (int)tokens);
    CHECK(done < tokens || (most == 0 && tokens == 0), CASE_FORMAT ", %d are done with %lld of %d before GPU %d",
          CASE_ARGS(c), (int)num, (long long)done, (int)tokens, (int)last);
    free(scratch);
}

/* ----------------------------------------------------------------------------------- exchanges */

/* Whether one token less on g and one more on h lets the later of the two be done sooner; or as late, and the other one
   sooner. */
static int is_fairer(const cluster *c, int64_t x, int32_t g, int64_t y, int32_t h)
{
    int later = compare_times(c, x, g, y, h) >= 0, then = compare_times(c, x - 1, g, y + 1, h) >= 0;
    int order = compare_times(c, then ? x - 1 : y + 1, then ? g : h, later ? x : y, later ? g : h);
    if (order == 0) order = compare_times(c, then ? y + 1 : x - 1, then ? h : g, later ? y : x, later ? h : g);
    return order < 0;
}

static void check_exchanges(const cluster *c, const int32_t *fair)
{
    static uint8_t can[MOST_GPUS * MOST_GPUS];
    const eplb_problem *p = &c->c.problem;
    int32_t G = p->num_gpus;
    share_find_moves(p, c->seen, fair, can);
    for (int32_t g = 0; g < G; g++) {
        for (int32_t h = 0; h < G; h++) {
            int64_t x = share_load(p, fair, g), y = share_load(p, fair, h);
            CHECK(g == h || !can[g * G + h] || x == 0 || !is_fairer(c, x, g, y, h),
                  CASE_FORMAT ", a token should move from GPU %d to %d", CASE_ARGS(c), (int)g, (int)h);
        }
    }
}

/* -------------------------------------------------------------------------------------- shares */

static int check_case(const cluster *c)
{
    const eplb_problem *p = &c->c.problem;
    int32_t *shares[2] = {plan_ints(plan_slots(p)), plan_ints(plan_slots(p))}, most[2], few;
    for (int32_t how = 0; how < 2; how++) {
        eplb_result result = share_with_library(&c->c, how, shares[how], &most[how]);
        CHECK(result == EPLB_OK, CASE_FORMAT ": %s", CASE_ARGS(c), eplb_result_name(result));
        const char *fault = share_fault(p, c->seen, c->c.count, shares[how]);
        CHECK(fault == NULL, CASE_FORMAT ", way %d: %s", CASE_ARGS(c), (int)how, fault);
        CHECK(share_load(p, shares[how], last_gpu(c, shares[how])) == most[how], CASE_FORMAT ", most %d", CASE_ARGS(c),
              (int)most[how]);
        check_least(c, shares[how]);
    }
    check_proof(c, shares[0]);
    check_exchanges(c, shares[1]);
    few = check_by_splits(c, shares[0], shares[1]);
    free(shares[0]);
    free(shares[1]);
    return few;
}

static void test_random(uint64_t num_cases)
{
    int enumerated = 0;
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        cluster c = cluster_make(seed, seed % 2 ? 4 : MOST_GPUS, seed % 2 ? 3 : 4, (int)(seed % 3));
        cluster_point(&c);
        enumerated += check_case(&c);
        cluster_free(&c);
    }
    CHECK(enumerated > (int)num_cases / 4, "only %d were held against all splits", enumerated);
    printf("  %d of %d clusters held against all splits\n", enumerated, (int)num_cases);
}

/* Tokens that tie between GPUs of different speed: with speeds 1, 2 and 4 nearly all do. */
static void test_ties(uint64_t num_cases)
{
    int enumerated = 0;
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        cluster c = cluster_make(seed + 900000, 4, 3, SHARE_FEW_TOKENS);
        uint64_t state = seed;
        for (int32_t g = 0; g < c.c.problem.num_gpus; g++) c.speed[g] = (float)(1 << test_range(&state, 0, 2));
        cluster_point(&c);
        enumerated += check_case(&c);
        cluster_free(&c);
    }
    CHECK(enumerated > (int)num_cases / 2, "only %d were held against all splits", enumerated);
}

/* As many tokens as a layer may have. */
static void test_many_tokens(void)
{
    static const float speeds[][3] = {{1, 0.8f, 3.3f}, {100, 1, 1.1f}, {1, 2, 1}, {0.7f, 64.1f, 8}};
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++) {
        for (int32_t kind = 0; kind < 3; kind++) {
            static const int32_t plan[6] = {0, 1, 0, 2, 0, 1};
            cluster c = {share_case_alloc(0, 1, 3, 6, 1, 3), plan_ints(6), {2, 2, 2}, {0, 0, 0}, {0}};
            memcpy(c.speed, speeds[i], sizeof speeds[i]);
            memcpy(c.seen, plan, sizeof plan);
            memcpy(c.c.phy2log, plan, sizeof plan);
            c.c.count[0] = kind == 0 ? INT32_MAX : kind == 1 ? INT32_MAX - 10 : 0;
            c.c.count[1] = kind == 0 ? 0 : kind == 1 ? 9 : INT32_MAX - 1;
            c.c.count[2] = kind == 0 ? 0 : 1;
            c.c.problem.gpu_speed = c.speed;
            check_case(&c);
            cluster_free(&c);
        }
    }
}

/* A GPU that takes up to a thousand times as long: speeds are rounded, and times with them, by a millionth at most. */
static void test_far_apart(void)
{
    for (uint64_t seed = 1; seed <= 500; seed++) {
        cluster c = cluster_make(seed, 6, 4, SHARE_MANY_TOKENS);
        uint64_t state = seed;
        int32_t *shares = plan_ints(plan_slots(&c.c.problem)), last;
        int64_t room[MOST_GPUS] = {0}, tokens;
        for (int32_t g = 0; g < c.c.problem.num_gpus; g++)
            c.speed[g] = draw_speed(&state, 3) * (test_range(&state, 0, 1) ? 800 : 1);
        cluster_point(&c);
        for (int32_t how = 0; how < 2; how++) {
            CHECK(share_with_library(&c.c, how, shares, NULL) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
            CHECK(share_fault(&c.c.problem, c.seen, c.c.count, shares) == NULL, CASE_FORMAT, CASE_ARGS(&c));
            last = last_gpu(&c, shares);
            tokens = share_load(&c.c.problem, shares, last);
            for (int32_t g = 0; g < c.c.problem.num_gpus; g++)
                room[g] = (int64_t)((double)(tokens - 1) * (1 - 1e-6) * (double)c.speed[g] / (double)c.speed[last]);
            CHECK(tokens < 2 || !all_fit(&c, room), CASE_FORMAT ", far from the least", CASE_ARGS(&c));
        }
        free(shares);
        cluster_free(&c);
    }
}

/* Whatever a float can hold: nothing overflows, and what takes next to for ever serves next to nothing. */
static void test_extreme_speeds(void)
{
    static const float speeds[4] = {1.2e-38f, 1, 3.4e38f, 2.5f};
    cluster c = {share_case_alloc(0, 1, 2, 8, 1, 4), plan_ints(8), {2, 2, 2, 2}, {0, 0, 0, 0}, {0}};
    int32_t shares[8], most;
    for (int32_t slot = 0; slot < 8; slot++) c.seen[slot] = c.c.phy2log[slot] = slot % 2;
    memcpy(c.speed, speeds, sizeof speeds);
    c.c.problem.gpu_speed = c.speed;
    c.c.count[0] = INT32_MAX - 5;
    c.c.count[1] = 5;
    for (int32_t how = 0; how < 2; how++) {
        CHECK(share_with_library(&c.c, how, shares, &most) == EPLB_OK, "way %d", (int)how);
        CHECK(share_fault(&c.c.problem, c.seen, c.c.count, shares) == NULL, "way %d", (int)how);
        CHECK(shares[4] + shares[5] >= INT32_MAX - 4 && shares[0] + shares[1] <= 1, "way %d: %d and %d", (int)how,
              (int)(shares[4] + shares[5]), (int)(shares[0] + shares[1]));
    }
    cluster_free(&c);
}

/* ------------------------------------------------------------------------------------- the same */

/* What makes no difference: the unit of speeds, the speed of GPUs without slots, and what stands in their slots. */
static void test_what_does_not_count(void)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        cluster c = cluster_make(seed, MOST_GPUS, 4, (int)(seed % 3));
        size_t slots = plan_slots(&c.c.problem);
        int32_t *shares = plan_ints(slots), *again = plan_ints(slots), most, most_again, how = (int32_t)(seed / 3 % 2);
        cluster_point(&c);
        CHECK(share_with_library(&c.c, how, shares, &most) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
        memcpy(c.c.phy2log, c.seen, slots * sizeof *c.seen);
        for (int32_t g = 0; g < c.c.problem.num_gpus; g++) c.speed[g] = c.slots[g] ? c.speed[g] * 0.125f : 77.7f;
        CHECK(share_with_library(&c.c, how, again, &most_again) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
        CHECK(most == most_again && plan_same_ints(shares, again, slots), CASE_FORMAT ", not the same", CASE_ARGS(&c));
        free(shares);
        free(again);
        cluster_free(&c);
    }
}

/* All GPUs and nodes alike, in so many words: every number as without. */
static void test_alike(void)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        share_case plain = share_case_make(seed, MOST_GPUS, 5), told = plain;
        size_t slots = plan_slots(&plain.problem), L = (size_t)plain.problem.num_layers, bytes = 0, more = 0;
        int32_t G = plain.problem.num_gpus, usable[MOST_GPUS], node[MOST_GPUS], how = (int32_t)(seed % 2);
        float speed[MOST_GPUS];
        int32_t *shares[2] = {plan_ints(slots), plan_ints(slots)}, *most[2] = {plan_ints(L), plan_ints(L)};
        for (int32_t g = 0; g < G; g++) {
            usable[g] = plain.problem.num_replicas / G;
            node[g] = g / (G / plain.problem.num_nodes);
            speed[g] = 0.3f;
        }
        told.problem.gpu_slots = usable;
        told.problem.gpu_node = node;
        told.problem.gpu_speed = speed;
        CHECK(share_with_library(&plain, how, shares[0], most[0]) == EPLB_OK, "seed %llu", (unsigned long long)seed);
        CHECK(share_with_library(&told, how, shares[1], most[1]) == EPLB_OK, "seed %llu", (unsigned long long)seed);
        CHECK(plan_same_ints(shares[0], shares[1], slots) && plan_same_ints(most[0], most[1], L),
              "seed %llu: not the same", (unsigned long long)seed);
        eplb_share_scratch_size(&plain.problem, &bytes);
        eplb_share_scratch_size(&told.problem, &more);
        CHECK(bytes == more && bytes > 0, "seed %llu: %d bytes, not %d", (unsigned long long)seed, (int)more,
              (int)bytes);
        speed[0] = 0.4f; /* where there are others: at most a number more for each GPU */
        eplb_share_scratch_size(&told.problem, &more);
        CHECK(more >= bytes && more - bytes < 4 * (size_t)G + EPLB_SCRATCH_ALIGN, "seed %llu: %d bytes more",
              (unsigned long long)seed, (int)(more - bytes));
        for (int i = 0; i < 2; i++) {
            free(shares[i]);
            free(most[i]);
        }
        share_case_free(&plain);
    }
}

/* As the planner numbers them: GPUs that have slots, theirs one after the other. Times are exact to what they count by. */
static void test_compact(void)
{
    for (uint64_t seed = 1; seed <= 400; seed++) {
        cluster c = cluster_make(seed, MOST_GPUS, 4, (int)(seed % 3));
        int32_t R = c.c.problem.num_replicas, G = c.c.problem.num_gpus, first[MOST_GPUS + 1] = {0}, n = 0;
        int32_t *plan = plan_ints((size_t)R), *shares = plan_ints((size_t)R), *full = plan_ints((size_t)R), most, last;
        float speed[MOST_GPUS], slowest = FLT_MAX;
        eplb_p_shape shape = EPLB_ZERO_INIT;
        eplb_p_arena a = eplb_p_arena_at(NULL);
        cluster_point(&c);
        CHECK(share_with_library(&c.c, EPLB_SHARE_LEAST_MAX, full, &most) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
        last = last_gpu(&c, full);
        for (int32_t g = 0; g < G; g++) {
            if (c.slots[g] == 0) continue;
            memcpy(plan + first[n], c.seen + g * (R / G), (size_t)c.slots[g] * sizeof *plan);
            slowest = c.speed[g] < slowest ? c.speed[g] : slowest;
            speed[n] = c.speed[g];
            first[n + 1] = first[n] + c.slots[g];
            n++;
        }
        CHECK(eplb_p_resolve_sharing(&c.c.problem, &shape) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
        eplb_p_carve_sharer(&a, &shape);
        void *scratch = test_alloc(eplb_p_arena_bytes(&a));
        eplb_p_sharer s;
        a = eplb_p_arena_at(scratch);
        s = eplb_p_carve_sharer(&a, &shape);
        s.num_gpus = s.num_living = n;
        s.gpus.first_slot = first;
        s.gpus.usable_slots = NULL;
        s.num_slots = first[n];
        s.gpu_speed = shape.speed ? speed : NULL;
        eplb_p_ready_gpus(&s);
        eplb_p_link_layer(&s, plan, c.c.count, EPLB_SHARE_LEAST_MAX);
        eplb_p_solve_shares(&s, EPLB_SHARE_LEAST_MAX);
        eplb_p_store_shares(&s, plan, c.c.count, shares);
        CHECK(eplb_p_tokens_of_last(&s) == most, CASE_FORMAT ", most %d", CASE_ARGS(&c), (int)most);
        n = 0;
        for (int32_t slot = 0; slot < R; slot++)
            CHECK(slot % (R / G) >= c.slots[slot / (R / G)] || shares[n++] == full[slot], CASE_FORMAT ", slot %d",
                  CASE_ARGS(&c), (int)slot);
        if (shape.speed) {
            double time = (double)eplb_p_longest(&s), units = (double)most * 8192;
            CHECK(compare_products(time, (double)c.speed[last], units, (double)slowest) <= 0
                      && compare_products(time + 1, (double)c.speed[last], units, (double)slowest) > 0,
                  CASE_FORMAT ", a time of %.17g", CASE_ARGS(&c), time);
        } else {
            CHECK(eplb_p_longest(&s) == most, CASE_FORMAT ", %d tokens", CASE_ARGS(&c), (int)most);
        }
        free(scratch);
        free(plan);
        free(shares);
        free(full);
        cluster_free(&c);
    }
}

/* ------------------------------------------------------------------------------------- sources */

static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/* An expert's tokens, all sent to where it is and none elsewhere; as many as can stay on their GPU, and on their node. */
static void check_quota(const cluster *c, int32_t e, const int32_t *source, const int32_t *shares, const int32_t *quota)
{
    int32_t G = c->c.problem.num_gpus, R = c->c.problem.num_replicas, E = c->c.problem.num_experts, S = R / G;
    int64_t own = 0, near = 0, most_own = 0, most_near = 0, waiting[MOST_NODES] = {0}, room[MOST_NODES] = {0};
    for (int32_t g = 0; g < G; g++) {
        int64_t sent = 0, served = share_served(&c->c.problem, c->seen, shares, e, g);
        for (int32_t slot = 0; slot < R; slot++) {
            if (c->seen[slot] != e) continue;
            sent += quota[g * R + slot];
            own += slot / S == g ? quota[g * R + slot] : 0;
            near += c->node[slot / S] == c->node[g] ? quota[g * R + slot] : 0;
        }
        CHECK(sent == source[g * E + e], CASE_FORMAT ", expert %d: %lld leave GPU %d", CASE_ARGS(c), (int)e,
              (long long)sent, (int)g);
        most_own += smaller(source[g * E + e], served);
        waiting[c->node[g]] += source[g * E + e];
        room[c->node[g]] += served;
    }
    for (int32_t n = 0; n < MOST_NODES; n++) most_near += smaller(waiting[n], room[n]);
    CHECK(own == most_own && near == most_near, CASE_FORMAT ", expert %d keeps %lld and %lld, not %lld and %lld",
          CASE_ARGS(c), (int)e, (long long)own, (long long)near, (long long)most_own, (long long)most_near);
}

static void test_sources(uint64_t num_cases)
{
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        cluster c = cluster_make(seed, seed % 2 ? 4 : MOST_GPUS, 4, (int)(seed % 3));
        int32_t G = c.c.problem.num_gpus, R = c.c.problem.num_replicas, S = R / G;
        uint64_t state = seed;
        cluster_point(&c);
        int32_t *source = share_random_sources(&state, &c.c), *shares = plan_ints((size_t)R),
                *quota = plan_ints((size_t)(G * R));
        CHECK(share_with_library(&c.c, EPLB_SHARE_LEAST_MAX, shares, NULL) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
        CHECK(share_sources_with_library(&c.c, source, shares, quota) == EPLB_OK, CASE_FORMAT, CASE_ARGS(&c));
        for (int32_t e = 0; e < c.c.problem.num_experts; e++) check_quota(&c, e, source, shares, quota);
        for (int32_t slot = 0; slot < R; slot++) {
            int64_t sum = 0;
            for (int32_t g = 0; g < G; g++) {
                sum += quota[g * R + slot];
                CHECK(quota[g * R + slot] >= 0, CASE_FORMAT ", slot %d", CASE_ARGS(&c), (int)slot);
            }
            CHECK(sum == shares[slot] && (sum == 0 || slot % S < c.slots[slot / S]), CASE_FORMAT ", slot %d gets %lld",
                  CASE_ARGS(&c), (int)slot, (long long)sum);
        }
        free(source);
        free(shares);
        free(quota);
        cluster_free(&c);
    }
}

/* ------------------------------------------------------------------------------------ evaluate */

static int is_near(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b); }

/* Whether all GPUs that have slots are as fast: then each counts 1. */
static int are_alike(const cluster *c)
{
    float slowest = FLT_MAX, fastest = 0;
    for (int32_t g = 0; g < c->c.problem.num_gpus; g++) {
        slowest = slots_of(c, g) > 0 && c->speed[g] < slowest ? c->speed[g] : slowest;
        fastest = slots_of(c, g) > 0 && c->speed[g] > fastest ? c->speed[g] : fastest;
    }
    return !(slowest < fastest);
}

static double all_speeds(const cluster *c)
{
    double speeds = 0;
    for (int32_t g = 0; g < c->c.problem.num_gpus; g++)
        speeds += slots_of(c, g) == 0 ? 0 : are_alike(c) ? 1 : (double)c->speed[g];
    return speeds;
}

/* One sample: loads in whole tokens just under 2^31, shared by the library. */
static double plain_most(const cluster *c, share_case *tokens, const float *load)
{
    int32_t *shares = plan_ints(plan_slots(&c->c.problem)), most, E = c->c.problem.num_experts;
    double sum = 0, factor = 1, time;
    for (int32_t e = 0; e < E; e++) sum += (double)load[e];
    while (sum * factor >= 2147483648.0) factor /= 2;
    while (sum > 0 && sum * factor * 2 < 2147483648.0) factor *= 2;
    for (int32_t e = 0; e < E; e++) tokens->count[e] = (int32_t)floor((double)load[e] * factor);
    CHECK(share_with_library(tokens, EPLB_SHARE_LEAST_MAX, shares, &most) == EPLB_OK, CASE_FORMAT, CASE_ARGS(c));
    time = most / factor / (are_alike(c) ? 1 : (double)c->speed[last_gpu(c, shares)]);
    free(shares);
    return time;
}

static void test_evaluate(uint64_t num_cases)
{
    for (uint64_t seed = 1; seed <= num_cases; seed++) {
        cluster c = cluster_make(seed, MOST_GPUS, 4, SHARE_SOME_TOKENS);
        int32_t E = c.c.problem.num_experts, T = 1 + (int32_t)(seed % 3), loaded = 0;
        share_case tokens = share_case_alloc(0, 1, E, c.c.problem.num_replicas, 1, c.c.problem.num_gpus);
        float weight[3 * MOST_EXPERTS], balancedness, max_load;
        double mean = 0, most = 0;
        uint64_t state = seed;
        size_t bytes = 0;
        eplb_result result;
        cluster_point(&c);
        c.c.problem.num_samples = T;
        tokens.problem = c.c.problem;
        memcpy(tokens.phy2log, c.c.phy2log, plan_slots(&c.c.problem) * sizeof(int32_t));
        for (int32_t t = 0; t < T; t++) {
            double sum = 0;
            for (int32_t e = 0; e < E; e++) {
                weight[t * E + e] = t == 1 ? 0 : (float)test_range(&state, 0, 1 << 20) / 1000;
                sum += (double)weight[t * E + e];
            }
            mean += sum / all_speeds(&c);
            most += sum > 0 ? plain_most(&c, &tokens, weight + t * E) : 0;
            loaded += sum > 0;
        }
        void *scratch = share_scratch(&c.c.problem, &bytes, &result);
        CHECK(result == EPLB_OK
                  && eplb_evaluate_shares(&c.c.problem, c.c.phy2log, weight, &balancedness, &max_load, scratch, bytes)
                         == EPLB_OK,
              CASE_FORMAT, CASE_ARGS(&c));
        CHECK(loaded == 0 || is_near((double)max_load, most / loaded), CASE_FORMAT ", %.9g, not %.9g", CASE_ARGS(&c),
              (double)max_load, most / loaded);
        CHECK(loaded == 0 || (is_near((double)balancedness, mean / most) && balancedness <= 1),
              CASE_FORMAT ", %.9g, not %.9g", CASE_ARGS(&c), (double)balancedness, mean / most);
        free(scratch);
        share_case_free(&tokens);
        cluster_free(&c);
    }
}

/* -------------------------------------------------------------------------------------- errors */

/* Every call on a cluster, of which one thing is wrong. Nothing may be written. */
static void expect(const eplb_problem *p, const int32_t *plan, const int32_t *count, eplb_result expected,
                   const char *what)
{
    static const int32_t source[4 * 3] = {4, 0, 0, 0, 5, 0, 0, 0, 6}, shares[8] = {4, 0, 0, 5, 6, 0, 0, 0};
    static const float weight[3] = {4, 5, 6};
    int32_t out[4 * 8], most = PLAN_UNWRITTEN, unwritten = 1;
    uint8_t proving[4] = {77, 77, 77, 77};
    float balancedness = 77;
    uint64_t scratch[256];
    size_t bytes = 77;
    eplb_result size = eplb_share_scratch_size(p, &bytes), result[4];

    CHECK(expected == EPLB_ERR_PLAN || expected == EPLB_ERR_SHARES || size == expected, "%s: size: %s", what,
          eplb_result_name(size));
    for (int i = 0; i < 4 * 8; i++) out[i] = PLAN_UNWRITTEN;
    bytes = sizeof scratch;
    result[0] = eplb_share(p, plan, count, EPLB_SHARE_FAIR, out, &most, scratch, bytes);
    unwritten &= result[0] == EPLB_OK || plan_is_unwritten(out, 4 * 8);
    result[1] = eplb_share_proof(p, plan, count, proving, &most, NULL, scratch, bytes);
    unwritten &= result[1] == EPLB_OK || (proving[0] == 77 && most == PLAN_UNWRITTEN);
    result[2] = eplb_share_sources(p, plan, source, shares, out, scratch, bytes);
    unwritten &= result[2] == EPLB_OK || result[0] == EPLB_OK || plan_is_unwritten(out, 4 * 8);
    result[3] = eplb_evaluate_shares(p, plan, weight, &balancedness, NULL, scratch, bytes);
    unwritten &= result[3] == EPLB_OK || (balancedness > 76 && balancedness < 78);
    for (int i = 0; i < 4; i++)
        CHECK(result[i] == expected || (expected == EPLB_ERR_SHARES && i != 2), "%s: call %d: %s", what, i,
              eplb_result_name(result[i]));
    CHECK(unwritten, "%s: something was written", what);
}

static void test_errors(void)
{
    static const float denormal = 1e-40f, bad[] = {0, -1, (float)NAN, (float)INFINITY};
    static const int32_t whys[] = {EPLB_ERR_COUNT, EPLB_ERR_NEGATIVE, EPLB_ERR_NAN, EPLB_ERR_INFINITE};
    int32_t plan[8] = {0, 2, 1, 1, 2, -1, 99, -5}, count[3] = {4, 5, 6}, slots[4] = {1, 2, 2, 0},
            node[4] = {0, 0, 2, 2};
    float speed[4] = {1, 2, 1, 3};
    eplb_problem p = EPLB_ZERO_INIT, good;
    p.num_layers = 1, p.num_experts = 3, p.num_replicas = 8, p.num_gpus = 4, p.num_nodes = 3;
    p.gpu_slots = slots, p.gpu_speed = speed, p.gpu_node = node;
    good = p;
    expect(&p, plan, count, EPLB_OK, "nothing wrong");
    p.survive = 99;
    expect(&p, plan, count, EPLB_OK, "a field not read");
    p = good;
    slots[3] = 3, expect(&p, plan, count, EPLB_ERR_COUNT, "more slots than there are"), slots[3] = 0;
    slots[0] = -1, expect(&p, plan, count, EPLB_ERR_COUNT, "fewer than none"), slots[0] = 1;
    slots[0] = slots[1] = 0, expect(&p, plan, count, EPLB_ERR_TOO_FEW, "two slots for three experts"), slots[0] = 1,
    slots[1] = 2;
    node[1] = 3, expect(&p, plan, count, EPLB_ERR_COUNT, "a node beyond the last"), node[1] = 0;
    node[3] = 1, expect(&p, plan, count, EPLB_ERR_COUNT, "nodes out of order"), node[3] = 2;
    p.gpu_node = NULL, expect(&p, plan, count, EPLB_ERR_DIVIDE, "three nodes of four GPUs"), p.gpu_node = node;
    for (int i = 0; i < 4; i++) {
        speed[3] = bad[i], expect(&p, plan, count, whys[i], "a speed, though of a GPU without slots");
        speed[3] = 3;
    }
    speed[0] = denormal, expect(&p, plan, count, EPLB_ERR_COUNT, "a speed too small"), speed[0] = 1;
    slots[2] = 0, expect(&p, plan, count, EPLB_ERR_PLAN, "an expert on a dead GPU alone"), slots[2] = 2;
    plan[2] = 99, expect(&p, plan, count, EPLB_ERR_PLAN, "no such expert"), plan[2] = 1;
    plan[1] = plan[4], plan[4] = -1, expect(&p, plan, count, EPLB_ERR_PLAN, "an expert in a slot not in use alone");
    plan[4] = plan[1];
    slots[1] = 1, slots[3] = 1, plan[6] = 0;
    expect(&p, plan, count, EPLB_ERR_SHARES, "a share of a slot that may not be used");
}

int main(int argc, char **argv)
{
    uint64_t num_cases = argc > 1 ? (uint64_t)strtoul(argv[1], NULL, 10) : 8000;
    test_random(num_cases);
    test_ties(num_cases / 4);
    test_many_tokens();
    test_far_apart();
    test_extreme_speeds();
    test_what_does_not_count();
    test_alike();
    test_compact();
    test_sources(num_cases / 2);
    test_evaluate(num_cases / 4);
    test_errors();
    return test_report("test_share_cluster");
}
