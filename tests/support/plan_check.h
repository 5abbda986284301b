/* plan_check.h - plans that may be put in force, or not, from integers alone, and the conditions of eplb_check_plan read
   naively. Include after transfer_cases.h. */
#ifndef PLAN_CHECK_H
#define PLAN_CHECK_H

typedef struct check_case {
    uint64_t seed;
    eplb_problem problem;
    eplb_options options; /* with the plan in force and the limits */
    int32_t *previous;    /* [L, R] or NULL */
    int32_t *plan;        /* [L, R] */
} check_case;

/* ------------------------------------------------------------------------------------- cases */

/* Whole groups on each node, each expert in a slot, spare slots for experts of the node, or empty. */
static inline void check_draw_plan(uint64_t *state, const eplb_problem *p, int32_t *plan)
{
    int32_t N = p->num_nodes, R = p->num_replicas / N, E = p->num_experts / N, empty = test_range(state, 0, 3) == 0;
    for (int32_t node = 0; node < N; node++) {
        for (int32_t i = 0; i < R; i++) plan[node * R + i] = node * E + (i < E ? i : test_range(state, 0, E - 1));
        for (int32_t i = E; i < R && empty; i++)
            if (test_range(state, 0, 2) == 0) plan[node * R + i] = -1;
        transfer_shuffle(state, plan + node * R, R);
    }
}

/* A few slots exchange experts, within a GPU now and then, over nodes where groups need not stay on theirs; or take one
   that another slot has, too. */
static inline void check_change_plan(uint64_t *state, const check_case *c, int32_t *plan)
{
    int32_t N = c->options.policy == EPLB_POLICY_GLOBAL ? 1 : c->problem.num_nodes, R = c->problem.num_replicas / N;
    for (int32_t times = test_range(state, 0, 5); times > 0; times--) {
        int32_t node = test_range(state, 0, N - 1), a = node * R + test_range(state, 0, R - 1);
        int32_t b = node * R + test_range(state, 0, R - 1), held = plan[a];
        if (transfer_gpu(&c->problem, a) == transfer_gpu(&c->problem, b) && test_range(state, 0, 2)) continue;
        plan[a] = plan[b];
        if (test_range(state, 0, 1) || plan_copies(plan, c->problem.num_replicas, held) == 0) plan[b] = held;
    }
}

/* Two experts change places in all slots of both plans, so that groups are split. */
static inline void check_split(uint64_t *state, const check_case *c, int32_t *previous, int32_t *plan)
{
    int32_t E = c->problem.num_experts, a = test_range(state, 0, E - 1), b = test_range(state, 0, E - 1);
    for (int32_t i = 0; i < c->problem.num_replicas; i++) {
        previous[i] = previous[i] == a ? b : previous[i] == b ? a : previous[i];
        plan[i] = plan[i] == a ? b : plan[i] == b ? a : plan[i];
    }
}

static inline void check_spoil(uint64_t *state, const check_case *c, int32_t *plan)
{
    int32_t slot = test_range(state, 0, c->problem.num_replicas - 1), E = c->problem.num_experts;
    switch (test_range(state, 0, 9)) {
    case 0: plan[slot] = test_range(state, 0, 1) ? E : -2; break;
    case 1:
    case 2: plan[slot] = test_range(state, -1, E - 1); break;
    default: break;
    }
}

/* One limit, or any of them, or none. */
static inline void check_draw_limits(uint64_t *state, eplb_options *limits)
{
    int32_t only = test_range(state, 0, 7);
    if (only == 0 || (only > 3 && test_range(state, 0, 1))) limits->max_moves = test_range(state, -1, 3);
    if (only == 1 || (only > 3 && test_range(state, 0, 1))) limits->max_gpu_moves = test_range(state, 1, 2);
    if (only == 2 || (only > 3 && test_range(state, 0, 1))) limits->max_pair_moves = test_range(state, 1, 2);
    if (only == 3 || (only > 3 && test_range(state, 0, 1))) limits->max_node_moves = test_range(state, 1, 2);
}

static inline check_case check_case_make(uint64_t seed)
{
    check_case c = {seed, EPLB_ZERO_INIT, EPLB_ZERO_INIT, NULL, NULL};
    uint64_t state = seed;
    int32_t N = test_range(&state, 1, 3), G = N * test_range(&state, 1, 4), S = test_range(&state, 1, 4);
    int32_t K = N * test_range(&state, 1, G / N * S < 3 ? G / N * S : 3), R = G * S;
    c.problem.num_layers = test_range(&state, 1, 2);
    c.problem.num_gpus = G;
    c.problem.num_nodes = N;
    c.problem.num_replicas = R;
    c.problem.num_groups = K;
    c.problem.num_experts = K * test_range(&state, (R / K + 1) / 2, R / K);
    c.options.policy = test_range(&state, 0, EPLB_NUM_POLICIES - 1);
    c.options.effort = test_range(&state, 0, 7) ? 1 : 0;
    c.options.allow_duplicates = test_range(&state, 0, 3) == 0;
    if (test_range(&state, 0, 2) == 0)
        c.options.max_replicas = (R + c.problem.num_experts - 1) / c.problem.num_experts + test_range(&state, 0, 1);
    if (c.options.effort > 0) check_draw_limits(&state, &c.options);
    c.plan = plan_ints(plan_slots(&c.problem));
    c.previous = test_range(&state, 0, 4) ? plan_ints(plan_slots(&c.problem)) : NULL;
    c.options.previous_phy2log = c.previous;
    for (int32_t l = 0; l < c.problem.num_layers; l++) {
        int32_t *plan = c.plan + l * R, spoil = test_range(&state, 0, 2) == 0;
        check_draw_plan(&state, &c.problem, plan);
        if (c.previous) {
            memcpy(c.previous + l * R, plan, (size_t)R * sizeof *plan);
            if (spoil && test_range(&state, 0, 9) == 0) check_spoil(&state, &c, c.previous + l * R);
            if (test_range(&state, 0, 7) == 0) check_draw_plan(&state, &c.problem, plan);
            check_change_plan(&state, &c, plan);
            for (int32_t times = test_range(&state, -5, 2); times > 0; times--)
                check_split(&state, &c, c.previous + l * R, plan);
        }
        if (spoil) check_spoil(&state, &c, plan);
    }
    return c;
}

static inline void check_case_free(check_case *c)
{
    free(c->plan);
    free(c->previous);
}

/* -------------------------------------------------------------------------------- conditions */

typedef struct check_layer {
    const check_case *c;
    const int32_t *before, *after; /* of the layer */
    int32_t N, K;                  /* as the policy has them */
} check_layer;

static inline eplb_plan_fault check_fault(int32_t reason, int32_t slot, int32_t expert, int32_t other)
{
    eplb_plan_fault f = {reason, -1, slot, expert, other, -1, -1};
    return f;
}

static inline eplb_plan_fault check_none(void) { return check_fault(EPLB_FAULT_NONE, -1, -1, -1); }

static inline eplb_plan_fault check_ids(const check_layer *l, const int32_t *slots, int32_t reason)
{
    for (int32_t i = 0; i < l->c->problem.num_replicas; i++)
        if (slots[i] < -1 || slots[i] >= l->c->problem.num_experts) return check_fault(reason, i, slots[i], -1);
    return check_none();
}

static inline eplb_plan_fault check_missing(const check_layer *l)
{
    for (int32_t e = 0; e < l->c->problem.num_experts; e++)
        if (plan_copies(l->after, l->c->problem.num_replicas, e) == 0)
            return check_fault(EPLB_FAULT_MISSING, -1, e, -1);
    return check_none();
}

static inline eplb_plan_fault check_max_replicas(const check_layer *l)
{
    int32_t most = l->c->options.max_replicas;
    for (int32_t i = 0; i < l->c->problem.num_replicas && most > 0; i++) {
        if (l->after[i] < 0 || plan_copies(l->after, i + 1, l->after[i]) <= most) continue;
        eplb_plan_fault f = check_fault(EPLB_FAULT_MAX_REPLICAS, i, l->after[i], -1);
        f.count = plan_copies(l->after, l->c->problem.num_replicas, l->after[i]);
        f.allowed = most;
        return f;
    }
    return check_none();
}

static inline eplb_plan_fault check_twice(const check_layer *l)
{
    const eplb_problem *p = &l->c->problem;
    int32_t S = p->num_replicas / p->num_gpus, node_gpus = p->num_gpus / l->N;
    if (l->c->options.effort == 0 || l->c->options.allow_duplicates || S > p->num_experts / l->N) return check_none();
    for (int32_t i = 0; i < p->num_replicas; i++) {
        int32_t gpu = i / S, node = gpu / node_gpus, other = i - 1, free = 0;
        if (l->after[i] < 0) continue;
        while (other >= gpu * S && l->after[other] != l->after[i]) other--;
        for (int32_t g = node * node_gpus; g < (node + 1) * node_gpus; g++)
            free += plan_copies(l->after + g * S, S, l->after[i]) == 0;
        if (other >= gpu * S && free > 0) return check_fault(EPLB_FAULT_TWICE, i, l->after[i], other);
    }
    return check_none();
}

/* The first slot with an expert of a group, or with a certain one. */
static inline int32_t check_first(const check_layer *l, const int32_t *slots, int32_t group, int32_t expert)
{
    int32_t size = l->c->problem.num_experts / l->K, first = 0;
    while (slots[first] < 0 || (expert < 0 ? slots[first] / size != group : slots[first] != expert)) first++;
    return first;
}

/* Whether a group has experts on another node than its first slot, in slots up to this one. */
static inline int check_is_split(const check_layer *l, int32_t group, int32_t slot)
{
    int32_t size = l->c->problem.num_experts / l->K, node_slots = l->c->problem.num_replicas / l->N;
    for (int32_t i = 0; i <= slot; i++)
        if (l->after[i] >= 0 && l->after[i] / size == group
            && check_first(l, l->after, group, -1) / node_slots != i / node_slots)
            return 1;
    return 0;
}

/* With limits as many groups may be split as are not whole on a node in the plan in force. */
static inline int32_t check_excused(const check_layer *l)
{
    const eplb_options *o = &l->c->options;
    const eplb_problem *p = &l->c->problem;
    int32_t size = p->num_experts / l->K, node_slots = p->num_replicas / l->N, broken = 0;
    if (!l->before || (o->max_moves | o->max_gpu_moves | o->max_pair_moves | o->max_node_moves) == 0) return 0;
    for (int32_t k = 0; k < l->K; k++) {
        int32_t whole = 0;
        for (int32_t node = 0; node < l->N; node++) {
            int32_t all = 1;
            for (int32_t e = k * size; e < (k + 1) * size; e++)
                all &= plan_copies(l->before + node * node_slots, node_slots, e) > 0;
            for (int32_t i = 0; i < p->num_replicas; i++)
                all &= l->before[i] < 0 || l->before[i] / size != k || i / node_slots == node;
            whole |= all;
        }
        broken += !whole;
    }
    return broken;
}

static inline eplb_plan_fault check_group(const check_layer *l)
{
    const eplb_problem *p = &l->c->problem;
    int32_t size = p->num_experts / l->K, node_slots = p->num_replicas / l->N, excused = check_excused(l);
    for (int32_t i = 0; i < p->num_replicas; i++) {
        int32_t e = l->after[i], split = 0;
        if (e < 0) continue;
        for (int32_t k = 0; k < l->K; k++) split += check_is_split(l, k, i);
        if (split > excused) return check_fault(EPLB_FAULT_GROUP, i, e, check_first(l, l->after, e / size, -1));
        if (check_first(l, l->after, -1, e) / node_slots != i / node_slots)
            return check_fault(EPLB_FAULT_GROUP, i, e, check_first(l, l->after, -1, e));
    }
    return check_none();
}

static inline eplb_plan_fault check_not_kept(const check_layer *l)
{
    const eplb_problem *p = &l->c->problem;
    int32_t S = p->num_replicas / p->num_gpus;
    for (int32_t i = 0; i < p->num_replicas; i++) {
        if (l->after[i] < 0 || l->after[i] == l->before[i]) continue;
        for (int32_t old = i / S * S; old < i / S * S + S; old++)
            if (l->before[old] == l->after[i] && l->after[old] != l->after[i])
                return check_fault(EPLB_FAULT_NOT_KEPT, i, l->after[i], old);
    }
    return check_none();
}

/* Whether two moves are counted together under a limit, and the second at all. */
static inline int check_together(const eplb_problem *p, int32_t reason, const eplb_transfer *a, const eplb_transfer *b)
{
    int32_t a_from = transfer_gpu(p, a->from_slot), a_to = transfer_gpu(p, a->to_slot);
    int32_t b_from = transfer_gpu(p, b->from_slot), b_to = transfer_gpu(p, b->to_slot);
    int crosses = a->kind == EPLB_TRANSFER_OTHER_NODE && b->kind == EPLB_TRANSFER_OTHER_NODE;
    switch (reason) {
    case EPLB_FAULT_MOVES: return 1;
    case EPLB_FAULT_GPU_MOVES_IN: return a_to == b_to;
    case EPLB_FAULT_GPU_MOVES_OUT: return a_from == b_from;
    case EPLB_FAULT_PAIR_MOVES: return a_to == b_to && a_from == b_from;
    case EPLB_FAULT_NODE_MOVES_IN: return crosses && transfer_node(p, a_to) == transfer_node(p, b_to);
    default: return crosses && transfer_node(p, a_from) == transfer_node(p, b_from);
    }
}

/* By the transfers of the layer alone. */
static inline eplb_plan_fault check_moves(const check_layer *l, int32_t reason, int32_t allowed)
{
    transfer_case one = {0, l->c->problem, NULL, NULL, EPLB_ZERO_INIT};
    size_t bytes = plan_slots(&one.problem) / (size_t)one.problem.num_layers * sizeof(int32_t);
    one.problem.num_layers = 1;
    one.before = (int32_t *)test_alloc(bytes);
    one.after = (int32_t *)test_alloc(bytes);
    memcpy(one.before, l->before, bytes);
    memcpy(one.after, l->after, bytes);
    transfer_list list = transfer_with_library(&one);
    const eplb_transfer *over = NULL;
    eplb_plan_fault f = check_none();
    int32_t total = 0;
    for (size_t i = 0; i < list.count; i++) {
        const eplb_transfer *t = &list.at[i];
        int32_t before = 0, all = 0;
        for (size_t j = 0; j < list.count && transfer_is_link(t); j++) {
            int together = transfer_is_link(&list.at[j]) && check_together(&one.problem, reason, t, &list.at[j]);
            all += together;
            before += together && list.at[j].to_slot < t->to_slot;
        }
        if (all > allowed && before >= allowed && (!over || t->to_slot < over->to_slot)) {
            over = t;
            total = all;
        }
    }
    if (over) {
        f = check_fault(reason, over->to_slot, over->expert, -1);
        f.count = total;
        f.allowed = allowed;
    }
    free(list.at);
    transfer_case_free(&one);
    return f;
}

static inline eplb_plan_fault check_limits(const check_layer *l, int32_t reason)
{
    const eplb_options *m = &l->c->options;
    int32_t limit = reason == EPLB_FAULT_MOVES                                                ? m->max_moves
                    : reason == EPLB_FAULT_GPU_MOVES_IN || reason == EPLB_FAULT_GPU_MOVES_OUT ? m->max_gpu_moves
                    : reason == EPLB_FAULT_PAIR_MOVES                                         ? m->max_pair_moves
                                                                                              : m->max_node_moves;
    return limit == 0 ? check_none() : check_moves(l, reason, limit < 0 ? 0 : limit);
}

static inline eplb_plan_fault check_condition(const check_layer *l, int32_t reason)
{
    if (!l->before && (reason == EPLB_FAULT_PREVIOUS_ID || reason >= EPLB_FAULT_NOT_KEPT)) return check_none();
    switch (reason) {
    case EPLB_FAULT_PREVIOUS_ID: return check_ids(l, l->before, reason);
    case EPLB_FAULT_ID: return check_ids(l, l->after, reason);
    case EPLB_FAULT_MISSING: return check_missing(l);
    case EPLB_FAULT_MAX_REPLICAS: return check_max_replicas(l);
    case EPLB_FAULT_TWICE: return check_twice(l);
    case EPLB_FAULT_GROUP: return check_group(l);
    case EPLB_FAULT_NOT_KEPT: return check_not_kept(l);
    default: return check_limits(l, reason);
    }
}

/* The problem and the options have been found right. */
static inline eplb_plan_fault check_expected(const check_case *c)
{
    int32_t N = c->problem.num_nodes ? c->problem.num_nodes : 1, K = c->problem.num_groups ? c->problem.num_groups : 1;
    int hierarchical = c->options.policy != EPLB_POLICY_GLOBAL && K % N == 0;
    for (int32_t layer = 0; layer < c->problem.num_layers; layer++) {
        ptrdiff_t at = (ptrdiff_t)layer * c->problem.num_replicas;
        check_layer l = {c, c->previous ? c->previous + at : NULL, c->plan + at, hierarchical ? N : 1,
                         hierarchical ? K : 1};
        for (int32_t reason = EPLB_FAULT_NONE + 1; reason < EPLB_NUM_FAULTS; reason++) {
            eplb_plan_fault f = check_condition(&l, reason);
            if (f.reason == EPLB_FAULT_NONE) continue;
            f.layer = layer;
            return f;
        }
    }
    return check_none();
}

#endif
