/* follow_cases.h - random problems with a plan in force: another preset's, one that was changed by chance, one of which
   GPUs are lost or groups are split, or anything; and how the tests plan from it. Include after random_problem.h and
   follow_oracle.h. */
#ifndef FOLLOW_CASES_H
#define FOLLOW_CASES_H

typedef struct follow_case {
    random_problem r;  /* its options are those that tests plan with */
    int32_t *previous; /* [L, R] which options name */
    float *sample_weight;
} follow_case;

enum { FOLLOW_FREE, FOLLOW_LIMITED }; /* what moves cost: nothing, or options have effort and limits or a price */

enum {
    FOLLOW_OTHER,   /* another preset's plan, with a few slots changed */
    FOLLOW_SAME,    /* another preset's plan, its GPUs in another order within their nodes */
    FOLLOW_DEALT,   /* whole groups on each node, each expert in a slot; spare slots for any of the node, or empty */
    FOLLOW_LOST,    /* the same, and then slots or whole GPUs are empty, or a group is nearly lost */
    FOLLOW_ANY,     /* anything that ids may be */
    FOLLOW_NOTHING, /* all slots are empty */
    FOLLOW_NUM_KINDS
};

#define FOLLOW_FORMAT RANDOM_FORMAT ", effort %d shares %d limits %d %d %d %d price %g"
#define FOLLOW_ARGS(c)                                                                                             \
    RANDOM_ARGS(&(c)->r), (int)(c)->r.options.effort, (int)(c)->r.options.shares, (int)(c)->r.options.max_moves,   \
        (int)(c)->r.options.max_gpu_moves, (int)(c)->r.options.max_pair_moves, (int)(c)->r.options.max_node_moves, \
        (double)(c)->r.options.move_cost

/* ------------------------------------------------------------------------------- the plan in force */

static inline void follow_shuffle(uint64_t *state, int32_t *a, int32_t count)
{
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t other = test_range(state, 0, i), held = a[i];
        a[i] = a[other];
        a[other] = held;
    }
}

static inline void follow_deal(uint64_t *state, const follow_layer *l, int32_t *slots)
{
    int32_t R = l->p->num_replicas / l->N, E = l->p->num_experts / l->N, size = l->p->num_experts / l->K;
    int32_t empty = test_range(state, 0, 2), *group = plan_ints((size_t)l->K);
    for (int32_t k = 0; k < l->K; k++) group[k] = k;
    follow_shuffle(state, group, l->K);
    for (int32_t node = 0; node < l->N; node++) {
        for (int32_t i = 0; i < R; i++) {
            int32_t e = i < E ? i : test_range(state, 0, E - 1);
            int spare = i >= E && empty == 0 && test_range(state, 0, 1);
            slots[node * R + i] = spare ? -1 : group[node * (l->K / l->N) + e / size] * size + e % size;
        }
        follow_shuffle(state, slots + node * R, R);
    }
    free(group);
}

static inline void follow_lose(uint64_t *state, const eplb_problem *p, int32_t *slots)
{
    int32_t S = follow_gpu_slots(p), whole = test_range(state, 0, 1);
    for (int32_t times = test_range(state, 1, 3); times > 0; times--) {
        int32_t slot = test_range(state, 0, p->num_replicas - 1);
        for (int32_t i = whole ? slot / S * S : slot; i < (whole ? slot / S * S + S : slot + 1); i++) slots[i] = -1;
    }
}

/* A group is lost on its node but for an expert or two, which are on another one. */
static inline void follow_crowd(uint64_t *state, const follow_layer *l, int32_t *slots)
{
    int32_t R = l->p->num_replicas / l->N, size = l->p->num_experts / l->K, k = test_range(state, 0, l->K - 1);
    int32_t node = test_range(state, 0, l->N - 1);
    for (int32_t i = 0; i < l->p->num_replicas; i++)
        if (slots[i] >= 0 && slots[i] / size == k) slots[i] = -1;
    for (int32_t times = test_range(state, 0, 2); times > 0; times--) {
        int32_t e =
            k * size + test_range(state, 0, size - 1); /* drawn first: C leaves the order open in one statement */
        slots[node * R + test_range(state, 0, R - 1)] = e;
    }
}

/* Slots of a node exchange experts, one takes another's expert, or is empty. */
static inline void follow_change(uint64_t *state, const follow_layer *l, int32_t *slots)
{
    int32_t R = l->p->num_replicas / l->N;
    for (int32_t times = test_range(state, 0, 4); times > 0; times--) {
        int32_t node = test_range(state, 0, l->N - 1), a = node * R + test_range(state, 0, R - 1);
        int32_t b = node * R + test_range(state, 0, R - 1), held = slots[a], how = test_range(state, 0, 4);
        slots[a] = how == 0 ? -1 : slots[b];
        if (how > 1) slots[b] = held;
    }
}

static inline void follow_reorder(uint64_t *state, const follow_layer *l, int32_t *slots)
{
    int32_t S = follow_gpu_slots(l->p), gpus = l->p->num_gpus / l->N;
    for (int32_t times = test_range(state, 1, 6); times > 0; times--) {
        int32_t first = test_range(state, 0, l->N - 1) * gpus;
        int32_t a = first + test_range(state, 0, gpus - 1), b = first + test_range(state, 0, gpus - 1);
        for (int32_t i = 0; i < S; i++) {
            int32_t held = slots[a * S + i];
            slots[a * S + i] = slots[b * S + i];
            slots[b * S + i] = held;
        }
        follow_shuffle(state, slots + a * S, S);
    }
}

/* Experts change places with others, all replicas of the one with all of the other's, so that groups are on several nodes,
   but no expert is. */
static inline void follow_split(uint64_t *state, const follow_layer *l, int32_t *slots)
{
    for (int32_t times = test_range(state, 1, 6); times > 0; times--) {
        int32_t a = test_range(state, 0, l->p->num_experts - 1), b = test_range(state, 0, l->p->num_experts - 1);
        for (int32_t i = 0; i < l->p->num_replicas; i++) slots[i] = slots[i] == a ? b : slots[i] == b ? a : slots[i];
    }
}

/* slots hold another preset's plan. */
static inline void follow_draw_layer(uint64_t *state, const follow_layer *l, int moves_matter, int32_t *slots)
{
    int32_t kind = test_range(state, 0, FOLLOW_NUM_KINDS - 1);
    if (kind >= FOLLOW_ANY && (moves_matter || test_range(state, 0, 1)) && test_range(state, 0, 9)) kind = FOLLOW_DEALT;
    if (kind == FOLLOW_OTHER) follow_change(state, l, slots);
    if (kind == FOLLOW_SAME) follow_reorder(state, l, slots);
    if (kind == FOLLOW_DEALT || kind == FOLLOW_LOST) follow_deal(state, l, slots);
    if (kind == FOLLOW_LOST) follow_lose(state, l->p, slots);
    if (kind == FOLLOW_LOST && test_range(state, 0, 3) == 0) follow_crowd(state, l, slots);
    if (kind < FOLLOW_ANY && test_range(state, 0, 4) == 0) follow_split(state, l, slots);
    for (int32_t i = 0; i < l->p->num_replicas && kind >= FOLLOW_ANY; i++)
        slots[i] = kind == FOLLOW_NOTHING ? -1 : test_range(state, -1, l->p->num_experts - 1);
}

/* ----------------------------------------------------------------------------------------- limits */

static inline int32_t follow_limit(uint64_t *state, int32_t most)
{
    return test_range(state, 0, 2) ? 0 : test_range(state, 1, test_range(state, 0, 2) ? 3 : most);
}

/* Some limits or a price, or both; at least one of them. */
static inline void follow_draw_limits(uint64_t *state, const eplb_problem *p, eplb_options *o)
{
    do {
        o->max_moves = test_range(state, 0, 11) ? follow_limit(state, p->num_replicas) : -1;
        o->max_gpu_moves = follow_limit(state, p->num_replicas);
        o->max_pair_moves = follow_limit(state, follow_gpu_slots(p));
        o->max_node_moves = follow_limit(state, p->num_replicas);
        o->move_cost = test_range(state, 0, 2) ? 0.0f : (float)test_range(state, 1, 64) / 1024.0f;
        if (test_range(state, 0, 30) == 0) o->move_cost = (float)test_range(state, 1, 1000);
    } while (!(o->move_cost > 0.0f) && o->max_moves == 0 && o->max_gpu_moves == 0 && o->max_pair_moves == 0
             && o->max_node_moves == 0);
}

/* Samples that count differently, or exact shares, where there is effort. */
static inline void follow_draw_effort(uint64_t *state, int what, follow_case *c)
{
    eplb_options *o = &c->r.options;
    int32_t T = c->r.problem.num_samples ? c->r.problem.num_samples : 1;
    if (what == FOLLOW_LIMITED && o->effort == 0) o->effort = test_range(state, 1, 4);
    if (what == FOLLOW_LIMITED) follow_draw_limits(state, &c->r.problem, o);
    if (o->effort > 0 && test_range(state, 0, 5) == 0) o->shares = EPLB_PLAN_FOR_EXACT;
    if (o->shares != EPLB_PLAN_FOR_EXACT && test_range(state, 0, 1)) {
        c->sample_weight = (float *)test_alloc((size_t)T * sizeof(float));
        for (int32_t t = 0; t < T; t++) c->sample_weight[t] = (float)test_range(state, 1, 8);
        o->sample_weight = c->sample_weight;
    }
}

/* The problem of a seed; loads may have been filled anew. */
static inline follow_case follow_case_of(random_problem r, int what)
{
    follow_case c = {r, plan_ints(plan_slots(&r.problem)), NULL};
    uint64_t state = r.seed ^ UINT64_C(0x666f6c6c6f77);
    eplb_options other;
    eplb_plan plan = EPLB_ZERO_INIT;
    int32_t preset = test_range(&state, 0, 7) ? test_range(&state, 1, EPLB_PRESET_L2) : EPLB_PRESET_DEFAULT;
    CHECK(eplb_options_preset(preset, &other) == EPLB_OK, "preset %d", (int)preset);
    other.policy = r.options.policy;
    other.max_replicas = test_range(&state, 0, 3) ? r.options.max_replicas : 0;
    plan.phy2log = c.previous;
    eplb_result result = plan_with_library(&r.problem, &other, r.weight, &plan);
    CHECK(result == EPLB_OK, RANDOM_FORMAT ": %s", RANDOM_ARGS(&r), eplb_result_name(result));
    for (int32_t layer = 0; layer < r.problem.num_layers; layer++) {
        follow_layer l = follow_layer_of(&r.problem, &r.options, layer, c.previous, c.previous);
        follow_draw_layer(&state, &l, what == FOLLOW_LIMITED, c.previous + (ptrdiff_t)layer * r.problem.num_replicas);
    }
    follow_draw_effort(&state, what, &c);
    c.r.options.previous_phy2log = c.previous;
    return c;
}

static inline follow_case follow_case_make(uint64_t seed, int what)
{
    return follow_case_of(random_problem_make(seed), what);
}

static inline void follow_case_free(follow_case *c)
{
    free(c->previous);
    free(c->sample_weight);
    random_problem_free(&c->r);
}

/* Whether options limit moves, or have a price for them. */
static inline int follow_minds_moves(const eplb_options *o)
{
    return o->max_moves != 0 || o->max_gpu_moves != 0 || o->max_pair_moves != 0 || o->max_node_moves != 0
           || o->move_cost > 0.0f;
}

/* What is wrong with the plan in force in a layer: a slot that names no such expert; or, where moves matter, an expert that
   is on another node in a lower slot. */
static inline int follow_is_wrong(const follow_case *c, int32_t layer, int32_t *slot)
{
    follow_layer l = follow_layer_of(&c->r.problem, &c->r.options, layer, c->previous, c->previous);
    for (*slot = 0; *slot < c->r.problem.num_replicas; ++*slot)
        if (l.before[*slot] < -1 || l.before[*slot] >= c->r.problem.num_experts) return 1;
    *slot = follow_minds_moves(&c->r.options) ? follow_torn_slot(&l, l.before) : -1;
    return *slot >= 0;
}

/* The first layer with a plan in force that is refused. */
static inline int follow_is_refused(const follow_case *c, int32_t *layer, int32_t *slot)
{
    for (*layer = 0; *layer < c->r.problem.num_layers; ++*layer)
        if (follow_is_wrong(c, *layer, slot)) return 1;
    return 0;
}

#endif
