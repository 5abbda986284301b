/* switch_cases.h - a plan in force, a new one and loads, for the tests of what a switch gains. Include after eplb.h, test.h,
   planning.h, random_problem.h and transfer_cases.h. */
#ifndef SWITCH_CASES_H
#define SWITCH_CASES_H

enum { SWITCH_MOST_LAYERS = 150 };

typedef struct switch_case {
    uint64_t seed;
    eplb_problem problem;
    float *weight, score[SWITCH_MOST_LAYERS];
    int32_t *before, *after;
    eplb_switch_options how;
} switch_case;

#define SWITCH_FORMAT \
    "seed %llu: L %d E %d R %d N %d G %d T %d, shares %d threshold %g hysteresis %g scores %d moves %lld"
#define SWITCH_ARGS(c)                                                                                                \
    (unsigned long long)(c)->seed, (int)(c)->problem.num_layers, (int)(c)->problem.num_experts,                       \
        (int)(c)->problem.num_replicas, (int)(c)->problem.num_nodes, (int)(c)->problem.num_gpus,                      \
        (int)(c)->problem.num_samples, (int)(c)->how.shares, (double)(c)->how.threshold, (double)(c)->how.hysteresis, \
        (c)->how.in_force_score != NULL, (long long)(c)->how.max_moves

/* Every expert once, other slots by chance; some of them empty. */
static inline void switch_draw_plan(uint64_t *state, const eplb_problem *p, int32_t *slots)
{
    int32_t empty = test_range(state, 0, 2) == 0;
    for (int32_t i = 0; i < p->num_replicas; i++)
        slots[i] = i < p->num_experts                 ? i
                   : empty && test_range(state, 0, 1) ? -1
                                                      : test_range(state, 0, p->num_experts - 1);
    transfer_shuffle(state, slots, p->num_replicas);
}

/* The plan in force is another, the new one but for a few slots, what it would be with other GPUs, the same, or holds
   copies that are given up. */
static inline void switch_draw_layer(uint64_t *state, const eplb_problem *p, int32_t *before, int32_t *after)
{
    int32_t R = p->num_replicas, S = R / p->num_gpus, kind = test_range(state, 0, 4);
    switch_draw_plan(state, p, after);
    if (kind == 0) switch_draw_plan(state, p, before);
    else
        for (int32_t i = 0; i < R; i++) before[i] = after[(i + (kind == 2 ? S : 0)) % R];
    for (int32_t changes = kind == 1 ? test_range(state, 1, 3) : 0; changes > 0; changes--) {
        int32_t slot = test_range(state, 0, R - 1);
        before[slot] = test_range(state, -1, p->num_experts - 1); /* some are lost by that */
    }
    for (int32_t i = 0; i < R && kind == 4; i++)
        if (after[i] >= 0 && plan_copies(after, R, after[i]) > 1 && test_range(state, 0, 1)) after[i] = -1;
}

/* Whole numbers, or as many of another unit, so that they are the same from every compiler: a few values, tokens, or of
   all magnitudes; one row in eight holds no load. */
static inline void switch_draw_loads(uint64_t *state, float *load, int32_t count)
{
    int32_t kind = test_range(state, 0, 7), power = test_range(state, -40, 40);
    float unit = test_range(state, 0, 1) ? random_power((float)power) : 1.0f;
    for (int32_t e = 0; e < count; e++) {
        int32_t value = test_range(state, 0, kind < 3 ? 3 : 4095);
        load[e] = unit * (float)(kind == 0 ? 0 : kind > 5 ? 1 << value % 21 : value);
    }
}

static inline switch_case switch_case_make(uint64_t seed)
{
    uint64_t state = seed;
    switch_case c;
    eplb_problem *p = &c.problem;
    memset(&c, 0, sizeof c);
    c.seed = seed;
    p->num_layers = test_range(&state, 0, 40) ? test_range(&state, 1, 7) : test_range(&state, 8, SWITCH_MOST_LAYERS);
    p->num_nodes = test_range(&state, 1, 3);
    p->num_gpus = p->num_nodes * test_range(&state, 1, 4);
    p->num_replicas = p->num_gpus * test_range(&state, 1, 5);
    p->num_experts = test_range(&state, test_range(&state, 0, 1) ? 1 : (p->num_replicas + 1) / 2, p->num_replicas);
    p->num_samples = test_range(&state, 0, 4);
    ptrdiff_t rows = (ptrdiff_t)p->num_layers * (p->num_samples ? p->num_samples : 1);
    c.weight = (float *)test_alloc((size_t)rows * (size_t)p->num_experts * sizeof(float));
    for (ptrdiff_t row = 0; row < rows; row++)
        switch_draw_loads(&state, c.weight + row * p->num_experts, p->num_experts);
    c.before = plan_ints(plan_slots(p));
    c.after = plan_ints(plan_slots(p));
    for (ptrdiff_t l = 0; l < p->num_layers; l++)
        switch_draw_layer(&state, p, c.before + l * p->num_replicas, c.after + l * p->num_replicas);
    c.how.shares = test_range(&state, 0, 1) ? EPLB_PLAN_FOR_EXACT : EPLB_PLAN_FOR_EQUAL;
    c.how.threshold = test_range(&state, 0, 1) ? 0.0f : 0.5f * random_unit(&state);
    c.how.hysteresis = test_range(&state, 0, 1) ? 0.0f : 0.5f * random_unit(&state);
    for (int32_t l = 0; l < p->num_layers; l++) c.score[l] = random_unit(&state);
    c.how.max_moves = test_range(&state, 0, 2) ? test_range(&state, -1, 2 * p->num_replicas) : 0;
    return c;
}

static inline void switch_case_free(switch_case *c)
{
    free(c->weight);
    free(c->before);
    free(c->after);
}

static inline eplb_result switch_with_library(const switch_case *c, eplb_switch *layers)
{
    size_t bytes = 0;
    eplb_result result = eplb_weigh_switch_scratch_size(&c->problem, &bytes);
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    if (result == EPLB_OK)
        result = eplb_weigh_switch(&c->problem, c->weight, c->before, c->after, &c->how, layers, scratch, bytes);
    free(scratch);
    return result;
}

#endif
