/* transfer_cases.h - pairs of plans for the tests of transfers, from integers alone, and what has to hold of their
   transfers and steps when they are read naively. Include after eplb.h, test.h and planning.h. */
#ifndef TRANSFER_CASES_H
#define TRANSFER_CASES_H

typedef struct transfer_case {
    uint64_t seed;
    eplb_problem problem;
    int32_t *before, *after; /* [L, R]: anything a plan may be */
    eplb_transfer_options how;
} transfer_case;

enum { TRANSFER_MOST_GPUS = 64, TRANSFER_MOST_SLOTS = 512 };

#define TRANSFER_FORMAT "seed %llu, layer %d: E %d R %d N %d G %d, how %d %d %d"
#define TRANSFER_ARGS(c, l)                                                                                   \
    (unsigned long long)(c)->seed, (int)(l), (int)(c)->problem.num_experts, (int)(c)->problem.num_replicas,   \
        (int)(c)->problem.num_nodes, (int)(c)->problem.num_gpus, (int)(c)->how.sources, (int)(c)->how.rounds, \
        (int)(c)->how.max_per_round

/* ------------------------------------------------------------------------------------- cases */

enum { PLANS_UNRELATED, PLANS_SHUFFLED, PLANS_ROTATED, PLANS_NEAR, PLANS_OF_FEW, PLANS_NUM_KINDS };

static inline void transfer_shuffle(uint64_t *state, int32_t *slots, int32_t count)
{
    for (int32_t i = count - 1; i > 0; i--) {
        int32_t other = test_range(state, 0, i), held = slots[i];
        slots[i] = slots[other];
        slots[other] = held;
    }
}

static inline void transfer_draw_slots(uint64_t *state, int32_t *slots, int32_t count, int32_t lowest, int32_t highest)
{
    for (int32_t i = 0; i < count; i++) slots[i] = test_range(state, lowest, highest);
}

/* One layer of both plans: with duplicates, empty slots, rings, and experts that nobody holds, or has to. */
static inline void transfer_draw_layer(uint64_t *state, const eplb_problem *p, int32_t *before, int32_t *after)
{
    int32_t R = p->num_replicas, E = p->num_experts, kind = test_range(state, 0, PLANS_NUM_KINDS - 1);
    int32_t lowest = test_range(state, -1, 0), few = test_range(state, 0, E < 4 ? E - 1 : 3), shift;
    transfer_draw_slots(state, before, R, lowest, kind == PLANS_OF_FEW ? few : E - 1);
    if (kind == PLANS_SHUFFLED || kind == PLANS_ROTATED)
        for (int32_t i = 0; i < R; i++) before[i] = i % E;
    shift = test_range(state, 0, R - 1);
    for (int32_t i = 0; i < R; i++) after[i] = before[(i + (kind == PLANS_ROTATED ? shift : 0)) % R];
    if (kind == PLANS_UNRELATED || kind == PLANS_OF_FEW)
        transfer_draw_slots(state, after, R, test_range(state, -1, 0), E - 1);
    if (kind == PLANS_SHUFFLED) transfer_shuffle(state, after, R);
    if (kind == PLANS_NEAR) transfer_draw_slots(state, after + test_range(state, 0, R - 1), 1, lowest, E - 1);
}

static inline transfer_case transfer_case_alloc(uint64_t seed, int32_t L, int32_t E, int32_t R, int32_t N, int32_t G)
{
    transfer_case c = {seed, EPLB_ZERO_INIT, NULL, NULL, EPLB_ZERO_INIT};
    c.problem.num_layers = L;
    c.problem.num_experts = E;
    c.problem.num_replicas = R;
    c.problem.num_nodes = N;
    c.problem.num_gpus = G;
    c.before = plan_ints(plan_slots(&c.problem));
    c.after = plan_ints(plan_slots(&c.problem));
    return c;
}

static inline transfer_case transfer_case_make(uint64_t seed, int32_t most_gpus, int32_t most_slots)
{
    uint64_t state = seed;
    int32_t N = test_range(&state, 1, most_gpus < 4 ? most_gpus : 4), G = N * test_range(&state, 1, most_gpus / N);
    int32_t R = G * test_range(&state, 1, most_slots), E = test_range(&state, 1, R);
    if (test_range(&state, 0, 1)) E = test_range(&state, (R + 1) / 2, R);
    transfer_case c = transfer_case_alloc(seed, test_range(&state, 1, 3), E, R, N, G);
    c.how.sources = test_range(&state, 0, EPLB_NUM_SOURCES - 1);
    c.how.rounds = test_range(&state, 0, EPLB_NUM_ROUNDS - 1);
    c.how.max_per_round = test_range(&state, 0, 2) ? 0 : test_range(&state, 1, G);
    for (ptrdiff_t l = 0; l < c.problem.num_layers; l++)
        transfer_draw_layer(&state, &c.problem, c.before + l * R, c.after + l * R);
    return c;
}

static inline void transfer_case_free(transfer_case *c)
{
    free(c->before);
    free(c->after);
}

typedef struct transfer_list {
    eplb_transfer *at;
    size_t count;
} transfer_list;

/* With an array and scratch of exactly the size; ends the program where that is refused. */
static inline transfer_list transfer_with_library(const transfer_case *c)
{
    transfer_list list = {NULL, 0};
    size_t bytes = 0, again = 0;
    int fine = eplb_transfers_scratch_size(&c->problem, &bytes) == EPLB_OK
               && eplb_transfers(&c->problem, c->before, c->after, &c->how, NULL, 0, &list.count, NULL, 0) == EPLB_OK;
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    list.at = (eplb_transfer *)test_alloc(list.count * sizeof *list.at);
    fine = fine
           && eplb_transfers(&c->problem, c->before, c->after, &c->how, list.at, list.count, &again, scratch, bytes)
                  == EPLB_OK
           && again == list.count;
    free(scratch);
    if (!fine) exit(99);
    return list;
}

static inline transfer_list steps_with_library(const transfer_case *c, int32_t *num_staging)
{
    transfer_list list = {NULL, 0};
    size_t bytes = 0, again = 0;
    int fine = eplb_transfers_scratch_size(&c->problem, &bytes) == EPLB_OK;
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    fine = fine
           && eplb_transfers_in_place(&c->problem, c->before, c->after, &c->how, NULL, 0, &list.count, NULL, scratch,
                                      bytes)
                  == EPLB_OK;
    list.at = (eplb_transfer *)test_alloc(list.count * sizeof *list.at);
    fine = fine
           && eplb_transfers_in_place(&c->problem, c->before, c->after, &c->how, list.at, list.count, &again,
                                      num_staging, scratch, bytes)
                  == EPLB_OK
           && again == list.count;
    free(scratch);
    if (!fine) exit(99);
    return list;
}

static inline int32_t transfer_gpu(const eplb_problem *p, int32_t slot)
{
    return slot / (p->num_replicas / p->num_gpus);
}

static inline int32_t transfer_node(const eplb_problem *p, int32_t gpu)
{
    return gpu / (p->num_gpus / (p->num_nodes ? p->num_nodes : 1));
}

static inline int transfer_is_link(const eplb_transfer *t)
{
    return t->kind == EPLB_TRANSFER_SAME_NODE || t->kind == EPLB_TRANSFER_OTHER_NODE;
}

/* ------------------------------------------------------------------- where an expert comes from */

/* The slot of a GPU with an expert that is to be read: one that keeps it, else the lowest; -1: it holds it not. */
static inline int32_t transfer_held_in(const eplb_problem *p, const int32_t *before, const int32_t *after, int32_t gpu,
                                       int32_t expert)
{
    int32_t S = p->num_replicas / p->num_gpus, lowest = -1;
    for (int32_t slot = (gpu + 1) * S - 1; slot >= gpu * S; slot--)
        if (before[slot] == expert) lowest = slot;
    for (int32_t slot = gpu * S; slot < (gpu + 1) * S; slot++)
        if (before[slot] == expert && after[slot] == expert) return slot;
    return lowest;
}

/* What is wrong with one transfer by itself; NULL: nothing. */
static inline const char *transfer_fault(const eplb_problem *p, const int32_t *before, const int32_t *after,
                                         const transfer_case *c, const eplb_transfer *t)
{
    int32_t S = p->num_replicas / p->num_gpus, gpu = transfer_gpu(p, t->to_slot), first = gpu * S, near = 0, any = 0;
    int32_t here = transfer_held_in(p, before, after, gpu, t->expert), from;
    if (t->expert != after[t->to_slot]) return "another expert than the plan's";
    if (here >= 0)
        return t->kind == EPLB_TRANSFER_SAME_GPU && t->from_slot == here && t->round == -1 ? NULL
                                                                                           : "not from its own GPU";
    while (after[first] != t->expert) first++;
    if (first < t->to_slot)
        return t->kind == EPLB_TRANSFER_SAME_GPU && t->from_slot == first && t->round == -1 ? NULL : "comes twice";
    for (int32_t other = 0; other < p->num_gpus; other++) {
        int held = transfer_held_in(p, before, after, other, t->expert) >= 0;
        any |= held;
        near |= held && transfer_node(p, other) == transfer_node(p, gpu);
    }
    if (!any) return t->kind == EPLB_TRANSFER_LOST && t->from_slot == -1 && t->round == -1 ? NULL : "lost, but comes";
    if (!transfer_is_link(t) || t->from_slot < 0 || t->round < 0) return "no link, though it is held";
    from = transfer_gpu(p, t->from_slot);
    if (t->from_slot != transfer_held_in(p, before, after, from, t->expert)) return "read from the wrong slot";
    if ((t->kind == EPLB_TRANSFER_SAME_NODE) != (transfer_node(p, from) == transfer_node(p, gpu)))
        return "the wrong kind of link";
    if (c->how.sources == EPLB_SOURCES_EVEN && near && t->kind != EPLB_TRANSFER_SAME_NODE)
        return "from another node, though its own has it";
    return NULL;
}

/* A layer's transfers one by one: each slot that needs one has one, in order. */
static inline const char *transfers_fault(const transfer_case *c, int32_t layer, const eplb_transfer *t, size_t count)
{
    int32_t R = c->problem.num_replicas;
    const int32_t *before = c->before + (ptrdiff_t)layer * R, *after = c->after + (ptrdiff_t)layer * R;
    size_t needed = 0;
    for (int32_t slot = 0; slot < R; slot++) needed += after[slot] != -1 && after[slot] != before[slot];
    if (needed != count) return "not as many as slots that need one";
    for (size_t i = 0; i < count; i++) {
        if (t[i].to_slot < 0 || t[i].to_slot >= R || after[t[i].to_slot] == -1
            || after[t[i].to_slot] == before[t[i].to_slot])
            return "for a slot that needs none";
        if (i > 0
            && (t[i].round < t[i - 1].round || (t[i].round == t[i - 1].round && t[i].to_slot <= t[i - 1].to_slot)))
            return "out of order";
        const char *fault = transfer_fault(&c->problem, before, after, c, &t[i]);
        if (fault) return fault;
    }
    return NULL; /* in order within rounds: and a slot has its expert from one place, so none is there twice */
}

/* ------------------------------------------------------------------------------------- rounds */

typedef struct round_use {                                         /* of one round */
    int32_t to[TRANSFER_MOST_GPUS], by[TRANSFER_MOST_GPUS], count; /* GPU sent to, got from; -1: none */
} round_use;

static inline round_use round_use_none(void)
{
    round_use use;
    for (int32_t gpu = 0; gpu < TRANSFER_MOST_GPUS; gpu++) use.to[gpu] = use.by[gpu] = -1;
    use.count = 0;
    return use;
}

/* Adds a send; what rule of its round it breaks, or NULL. */
static inline const char *round_use_fault(round_use *use, const eplb_transfer_options *how, int32_t from, int32_t to)
{
    int flow = use->to[from] == to && use->by[to] == from;
    if (how->rounds == EPLB_ROUNDS_DUPLEX && (use->to[from] != -1 || use->by[to] != -1))
        return "a GPU sends or gets twice in a round";
    if (how->rounds == EPLB_ROUNDS_ONE_PEER && !flow
        && (use->to[from] != -1 || use->by[from] != -1 || use->to[to] != -1 || use->by[to] != -1))
        return "a GPU talks with two in a round";
    if (++use->count > how->max_per_round && how->max_per_round > 0) return "too many in a round";
    use->to[from] = to;
    use->by[to] = from;
    return NULL;
}

/* The rounds of a layer's transfers, which are in order; with DUPLEX there are exactly as many as the busiest GPU and
   max_per_round need. */
static inline const char *rounds_fault(const transfer_case *c, const eplb_transfer *t, size_t count)
{
    int32_t sends[TRANSFER_MOST_GPUS] = {0}, gets[TRANSFER_MOST_GPUS] = {0}, links = 0, needed = 0, round = -1;
    round_use use = round_use_none();
    for (size_t i = 0; i < count; i++) {
        if (!transfer_is_link(&t[i])) continue;
        int32_t from = transfer_gpu(&c->problem, t[i].from_slot), to = transfer_gpu(&c->problem, t[i].to_slot);
        if (t[i].round > round + 1) return "a round is empty";
        if (t[i].round > round) use = round_use_none();
        round = t[i].round;
        const char *fault = round_use_fault(&use, &c->how, from, to);
        if (fault) return fault;
        links++;
        needed = ++sends[from] > needed ? sends[from] : needed;
        needed = ++gets[to] > needed ? gets[to] : needed;
    }
    if (c->how.max_per_round > 0 && needed < (links + c->how.max_per_round - 1) / c->how.max_per_round)
        needed = (links + c->how.max_per_round - 1) / c->how.max_per_round;
    if (c->how.rounds == EPLB_ROUNDS_DUPLEX && round + 1 != needed) return "not as many rounds as are needed";
    return NULL;
}

/* ------------------------------------------------------------------------------------ in place */

/* Does the steps of a layer to what its slots, and behind them the GPUs' staging slots, hold; a round's links all at
   once. NULL when the plan is there in the end and nothing was lost on the way. */
static inline const char *steps_fault(const transfer_case *c, int32_t layer, const eplb_transfer *t, size_t count,
                                      int32_t num_staging, size_t *num_aside)
{
    int32_t R = c->problem.num_replicas, G = c->problem.num_gpus, used = 0, last = -1;
    const int32_t *before = c->before + (ptrdiff_t)layer * R, *after = c->after + (ptrdiff_t)layer * R;
    int32_t *held = plan_ints((size_t)(R + G)), *next = plan_ints((size_t)(R + G));
    unsigned char staged[TRANSFER_MOST_GPUS] = {0}, waits[TRANSFER_MOST_GPUS] = {0};
    const char *fault = NULL;
    memcpy(held, before, (size_t)R * sizeof *held);
    *num_aside = 0;
    for (size_t i = 0, end; i < count && !fault; i = end) {
        round_use use = round_use_none();
        if (t[i].round < last || t[i].round > last + 1) fault = "rounds do not follow each other";
        last = t[i].round;
        for (end = i; end < count && t[end].round == last && !transfer_is_link(&t[end]); end++) {
            const eplb_transfer *s = &t[end];
            if (s->to_slot >= R) {
                int32_t gpu = s->to_slot - R;
                if (waits[gpu] || gpu != transfer_gpu(&c->problem, s->from_slot))
                    fault = "a staging slot is not free, or not the GPU's";
                staged[gpu] = waits[gpu] = 1;
                ++*num_aside;
            }
            if (s->from_slot >= R) waits[s->from_slot - R] = 0;
            if (s->kind == EPLB_TRANSFER_SAME_GPU && held[s->from_slot] != s->expert)
                fault = "a copy finds another expert";
            held[s->to_slot] = s->expert;
        }
        memcpy(next, held, (size_t)(R + G) * sizeof *held);
        for (; end < count && t[end].round == last && !fault; end++) {
            const eplb_transfer *s = &t[end];
            int32_t from = s->from_slot >= R ? s->from_slot - R : transfer_gpu(&c->problem, s->from_slot);
            if (!transfer_is_link(s) || s->to_slot >= R) fault = "copies come before links";
            else if (held[s->from_slot] != s->expert) fault = "a link finds another expert";
            else fault = round_use_fault(&use, &c->how, from, transfer_gpu(&c->problem, s->to_slot));
            if (s->from_slot >= R) waits[s->from_slot - R] = 0;
            next[s->to_slot] = s->expert;
            for (size_t j = i; j < count && t[j].round == last; j++)
                if (transfer_is_link(&t[j]) && t[j].from_slot == s->to_slot)
                    fault = "a slot is written and read in one round";
        }
        memcpy(held, next, (size_t)(R + G) * sizeof *held);
    }
    for (int32_t slot = 0; slot < R && !fault; slot++)
        if (held[slot] != (after[slot] == -1 ? before[slot] : after[slot])) fault = "not the plan's expert in the end";
    for (int32_t gpu = 0; gpu < G; gpu++) used += staged[gpu];
    if (!fault && used != num_staging) fault = "num_staging is not the GPUs that stage";
    free(held);
    free(next);
    return fault;
}

/* Where a list's layer begins; count where there is no such layer any more. */
static inline size_t transfer_layer(const transfer_list *list, int32_t layer)
{
    size_t i = 0;
    while (i < list->count && list->at[i].layer < layer) i++;
    return i;
}

#endif
