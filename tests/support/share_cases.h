/* share_cases.h - plans and counts for the tests of exact shares, from integers alone, and what a plan says about
   them when it is read naively. Include after eplb.h, test.h and planning.h. */
#ifndef SHARE_CASES_H
#define SHARE_CASES_H

typedef struct share_case {
    uint64_t seed;
    eplb_problem problem;
    int32_t *phy2log; /* [L, R]: anything a plan may be, with empty slots and experts twice on a GPU */
    int32_t *count;   /* [L, E] */
} share_case;

enum { SHARE_FEW_TOKENS, SHARE_SOME_TOKENS, SHARE_MANY_TOKENS, SHARE_NUM_KINDS };

/* An expert's tokens: mostly of one magnitude, now and then none or many more. */
static inline int32_t share_random_count(uint64_t *state, int kind, int32_t num_experts)
{
    int32_t most = kind == SHARE_FEW_TOKENS ? 4 : kind == SHARE_SOME_TOKENS ? 1000 : (INT32_MAX - 1) / num_experts;
    int32_t odd = test_range(state, 0, 7);
    if (odd == 0) return 0;
    return test_range(state, 0, odd == 1 ? most : most / 3);
}

/* A slot of an expert that has one already, where every expert has one; or for anybody, or for nobody. */
static inline void share_fill_plan(uint64_t *state, const eplb_problem *p, int32_t *phy2log)
{
    int32_t R = p->num_replicas, E = p->num_experts, empty = test_range(state, 0, 2);
    for (int32_t slot = 0; slot < R; slot++) phy2log[slot] = slot < E ? slot : test_range(state, 0, E - 1);
    for (int32_t slot = R - 1; slot > 0; slot--) {
        int32_t other = test_range(state, 0, slot), held = phy2log[slot];
        phy2log[slot] = phy2log[other];
        phy2log[other] = held;
    }
    for (int32_t slot = 0; slot < R; slot++) {
        if (empty == 0 && plan_copies(phy2log, R, phy2log[slot]) > 1 && test_range(state, 0, 5) == 0)
            phy2log[slot] = -1;
    }
}

static inline share_case share_case_alloc(uint64_t seed, int32_t L, int32_t E, int32_t R, int32_t N, int32_t G)
{
    share_case c = {seed, EPLB_ZERO_INIT, NULL, NULL};
    c.problem.num_layers = L;
    c.problem.num_experts = E;
    c.problem.num_replicas = R;
    c.problem.num_nodes = N;
    c.problem.num_gpus = G;
    c.phy2log = plan_ints(plan_slots(&c.problem));
    c.count = plan_ints(plan_experts(&c.problem));
    return c;
}

/* Random, with at most so many GPUs (four or more) and slots on each. Of three nodes or more not every order of
   dealing keeps the most on its node. */
static inline share_case share_case_make(uint64_t seed, int32_t most_gpus, int32_t most_slots)
{
    uint64_t state = seed;
    int32_t N = test_range(&state, 1, 4), G = N * test_range(&state, 1, most_gpus / N);
    int32_t R = G * test_range(&state, 1, most_slots), kind = test_range(&state, 0, SHARE_NUM_KINDS - 1);
    int32_t E = test_range(&state, R < 3 ? 1 : R / 3, R);
    share_case c = share_case_alloc(seed, test_range(&state, 1, 3), E, R, N, G);
    for (ptrdiff_t l = 0; l < c.problem.num_layers; l++) {
        share_fill_plan(&state, &c.problem, c.phy2log + l * R);
        for (ptrdiff_t e = 0; e < E; e++) {
            c.count[l * E + e] = share_random_count(&state, kind, E);
            if (plan_copies(c.phy2log + l * R, R, (int32_t)e) == 0) c.count[l * E + e] = 0;
        }
    }
    return c;
}

static inline void share_case_free(share_case *c)
{
    free(c->phy2log);
    free(c->count);
}

/* Scratch for a problem, not a byte more than asked for; NULL, with why, where there is none to be had. */
static inline void *share_scratch(const eplb_problem *problem, size_t *bytes, eplb_result *result)
{
    *result = eplb_share_scratch_size(problem, bytes);
    if (*result != EPLB_OK) return NULL;
    void *scratch = test_alloc(*bytes);
    test_forget(scratch, *bytes);
    return scratch;
}

static inline eplb_result share_with_library(const share_case *c, int32_t how, int32_t *slot_count, int32_t *most)
{
    size_t bytes = 0;
    eplb_result result;
    void *scratch = share_scratch(&c->problem, &bytes, &result);
    if (scratch) result = eplb_share(&c->problem, c->phy2log, c->count, how, slot_count, most, scratch, bytes);
    free(scratch);
    return result;
}

static inline eplb_result share_sources_with_library(const share_case *c, const int32_t *source_count,
                                                     const int32_t *slot_count, int32_t *quota)
{
    size_t bytes = 0;
    eplb_result result;
    void *scratch = share_scratch(&c->problem, &bytes, &result);
    if (scratch) result = eplb_share_sources(&c->problem, c->phy2log, source_count, slot_count, quota, scratch, bytes);
    free(scratch);
    return result;
}

/* [L, G, E] tokens that wait somewhere, which sum to the counts. */
static inline int32_t *share_random_sources(uint64_t *state, const share_case *c)
{
    ptrdiff_t G = c->problem.num_gpus, E = c->problem.num_experts;
    int32_t *source = plan_ints(plan_experts(&c->problem) * (size_t)G);
    for (ptrdiff_t i = 0; i < c->problem.num_layers * E; i++) {
        ptrdiff_t layer = i / E, e = i % E;
        int32_t left = c->count[i];
        for (ptrdiff_t gpu = 0; gpu < G; gpu++) {
            int32_t most = left / (int32_t)(G - gpu) < left / 2 ? 2 * (left / (int32_t)(G - gpu)) : left;
            int32_t here = gpu == G - 1 ? left : test_range(state, 0, 3) ? test_range(state, 0, most) : 0;
            source[(layer * G + gpu) * E + e] = here;
            left -= here;
        }
    }
    return source;
}

/* ---------------------------------------------------------------------------- read naively */

/* Whether an expert is in a slot of a GPU. */
static inline int share_lives_on(const eplb_problem *p, const int32_t *phy2log, int32_t e, int32_t gpu)
{
    int32_t S = p->num_replicas / p->num_gpus;
    return plan_copies(phy2log + (ptrdiff_t)gpu * S, S, e) > 0;
}

/* Tokens of a GPU. */
static inline int64_t share_load(const eplb_problem *p, const int32_t *slot_count, int32_t gpu)
{
    int32_t S = p->num_replicas / p->num_gpus;
    int64_t load = 0;
    for (ptrdiff_t slot = (ptrdiff_t)gpu * S; slot < (ptrdiff_t)(gpu + 1) * S; slot++) load += slot_count[slot];
    return load;
}

/* Tokens of an expert on a GPU. */
static inline int64_t share_served(const eplb_problem *p, const int32_t *phy2log, const int32_t *slot_count, int32_t e,
                                   int32_t gpu)
{
    int32_t S = p->num_replicas / p->num_gpus;
    int64_t served = 0;
    for (ptrdiff_t slot = (ptrdiff_t)gpu * S; slot < (ptrdiff_t)(gpu + 1) * S; slot++)
        served += phy2log[slot] == e ? slot_count[slot] : 0;
    return served;
}

/* Tokens of experts that live on no GPU but those marked. */
static inline int64_t share_only_on(const eplb_problem *p, const int32_t *phy2log, const int32_t *count,
                                    const uint8_t *marked)
{
    int64_t tokens = 0;
    for (int32_t e = 0; e < p->num_experts; e++) {
        int elsewhere = 0;
        for (int32_t gpu = 0; gpu < p->num_gpus; gpu++) elsewhere |= !marked[gpu] && share_lives_on(p, phy2log, e, gpu);
        tokens += elsewhere ? 0 : count[e];
    }
    return tokens;
}

enum { SHARE_MOST_GPUS = 64 };

/* can [g, h]: whether one token can move from GPU g to GPU h, by any chain of experts. */
static inline void share_find_moves(const eplb_problem *p, const int32_t *phy2log, const int32_t *slot_count,
                                    uint8_t *can)
{
    int32_t G = p->num_gpus;
    for (int32_t g = 0; g < G; g++) {
        for (int32_t h = 0; h < G; h++) {
            can[g * G + h] = g == h;
            for (int32_t e = 0; e < p->num_experts && !can[g * G + h]; e++)
                can[g * G + h] = share_lives_on(p, phy2log, e, h) && share_served(p, phy2log, slot_count, e, g) > 0;
        }
    }
    for (int32_t via = 0; via < G; via++) {
        for (int32_t g = 0; g < G; g++)
            for (int32_t h = 0; h < G; h++) can[g * G + h] |= can[g * G + via] & can[via * G + h];
    }
}

/* A GPU of which one token could move to one that would still have fewer; -1 when there is none, which is when the
   loads are fair. At most SHARE_MOST_GPUS. */
static inline int32_t share_unfair_gpu(const eplb_problem *p, const int32_t *phy2log, const int32_t *slot_count)
{
    static uint8_t can[SHARE_MOST_GPUS * SHARE_MOST_GPUS];
    int32_t G = p->num_gpus;
    share_find_moves(p, phy2log, slot_count, can);
    for (int32_t g = 0; g < G; g++) {
        for (int32_t h = 0; h < G; h++)
            if (can[g * G + h] && share_load(p, slot_count, g) > share_load(p, slot_count, h) + 1) return g;
    }
    return -1;
}

/* Whether a layer's shares are some: of the experts' tokens all, on slots that hold them, and even on a GPU. Returns
   what is wrong, or NULL. */
static inline const char *share_fault(const eplb_problem *p, const int32_t *phy2log, const int32_t *count,
                                      const int32_t *slot_count)
{
    int32_t S = p->num_replicas / p->num_gpus;
    for (int32_t e = 0; e < p->num_experts; e++) {
        int64_t sum = 0;
        for (int32_t slot = 0; slot < p->num_replicas; slot++) sum += phy2log[slot] == e ? slot_count[slot] : 0;
        if (sum != count[e]) return "an expert's shares do not sum to its tokens";
    }
    for (int32_t slot = 0; slot < p->num_replicas; slot++) {
        if (slot_count[slot] < 0) return "a share is negative";
        if (phy2log[slot] == -1 && slot_count[slot] != 0) return "an empty slot has a share";
        for (int32_t other = slot + 1; phy2log[slot] != -1 && other < (slot / S + 1) * S; other++) {
            int32_t more = slot_count[slot] - slot_count[other];
            if (phy2log[other] == phy2log[slot] && more != 0 && more != 1)
                return "slots of an expert on a GPU are not even";
        }
    }
    return NULL;
}

#endif
