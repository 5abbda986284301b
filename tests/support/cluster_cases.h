/* cluster_cases.h - random problems of clusters as they are: GPUs that are dead, have fewer slots, or are slower, nodes
   of any size, slots that are locked, and a plan in force. Include after eplb.h, test.h, planning.h and
   random_problem.h. */
#ifndef CLUSTER_CASES_H
#define CLUSTER_CASES_H

enum { MOST_GPUS = 12, MOST_SLOTS = 8, MOST_EXPERTS = 48, MOST_NODES = 4, MOST_LAYERS = 2 };

typedef struct cluster_case {
    eplb_problem p;
    eplb_options o;
    int32_t preset, slots[MOST_GPUS], node[MOST_GPUS];
    float speed[MOST_GPUS];
    uint8_t locked[MOST_LAYERS * MOST_GPUS * MOST_SLOTS];
    float load[3 * MOST_LAYERS * MOST_EXPERTS];
    int32_t phy2log[MOST_LAYERS * MOST_GPUS * MOST_SLOTS], phyrank[MOST_LAYERS * MOST_GPUS * MOST_SLOTS];
    int32_t logcnt[MOST_LAYERS * MOST_EXPERTS], log2phy[MOST_LAYERS * MOST_EXPERTS * MOST_GPUS * MOST_SLOTS];
    eplb_plan plan;
    int32_t before[MOST_LAYERS * MOST_GPUS * MOST_SLOTS]; /* the plan in force, of all slots */
    int32_t there[MOST_LAYERS * MOST_GPUS * MOST_SLOTS];  /* what of it is in slots that may be used */
} cluster_case;

/* ------------------------------------------------------------------------------------- cases */

static inline int32_t usable(const cluster_case *c, int32_t gpu)
{
    return c->p.gpu_slots ? c->p.gpu_slots[gpu] : c->p.num_replicas / c->p.num_gpus;
}

static inline float speed_of(const cluster_case *c, int32_t gpu) { return c->p.gpu_speed ? c->p.gpu_speed[gpu] : 1.0f; }

static inline int32_t node_of(const cluster_case *c, int32_t gpu)
{
    int32_t nodes = c->p.num_nodes ? c->p.num_nodes : 1;
    return c->p.gpu_node ? c->p.gpu_node[gpu] : gpu / (c->p.num_gpus / nodes);
}

static inline int32_t all_usable(const cluster_case *c)
{
    int32_t sum = 0;
    for (int32_t g = 0; g < c->p.num_gpus; g++) sum += usable(c, g);
    return sum;
}

static inline float draw_speed(uint64_t *state, int kind)
{
    static const float few[4] = {1.0f, 0.8f, 2.0f, 0.5f};
    if (kind == 0) return few[test_range(state, 0, 1)];
    if (kind == 1) return few[test_range(state, 0, 3)];
    return 0.25f + random_unit(state);
}

static inline void draw_cluster(cluster_case *c, uint64_t *state)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus, what = test_range(state, 1, 7);
    if (what & 1) {
        int32_t partly = test_range(state, 0, 1);
        for (int32_t g = 0; g < c->p.num_gpus; g++)
            c->slots[g] = test_range(state, 0, 3) ? S : partly ? test_range(state, 0, S) : 0;
        c->p.gpu_slots = c->slots;
    }
    if (what & 2) {
        int kind = test_range(state, 0, 2);
        for (int32_t g = 0; g < c->p.num_gpus; g++) c->speed[g] = draw_speed(state, kind);
        c->p.gpu_speed = c->speed;
    }
    if (((what & 4) && c->p.num_nodes > 1) || c->p.num_gpus % c->p.num_nodes != 0) { /* some nodes may have no GPU */
        for (int32_t g = 0, n = 0; g < c->p.num_gpus; g++) {
            if (g > 0 && n < c->p.num_nodes - 1 && test_range(state, 0, c->p.num_gpus / c->p.num_nodes) == 0)
                n += test_range(state, 1, c->p.num_nodes - 1 - n);
            c->node[g] = n;
        }
        c->p.gpu_node = c->node;
    }
}

/* A plan in force: of the whole cluster, when it was so, for other loads, whole numbers that are the same from every
   compiler; some slots are empty. */
static inline void draw_plan_in_force(cluster_case *c, uint64_t *state)
{
    eplb_problem p = c->p;
    eplb_options o;
    eplb_plan plan = EPLB_ZERO_INIT;
    int32_t S = p.num_replicas / p.num_gpus, n = p.num_layers * p.num_replicas;
    size_t bytes = 0;
    float load[MOST_LAYERS * MOST_EXPERTS];
    p.gpu_slots = NULL;
    p.gpu_speed = NULL;
    p.num_samples = 1;
    eplb_options_preset(EPLB_PRESET_DEEPSEEK, &o);
    o.policy = c->o.policy;
    o.max_replicas = 0;
    for (int32_t i = 0; i < p.num_layers * p.num_experts; i++) {
        int32_t size = test_range(state, 0, 8);
        load[i] = (float)test_range(state, 1, 1 << 2 * size);
    }
    plan.phy2log = c->before;
    CHECK(eplb_scratch_size(&p, &o, &bytes) == EPLB_OK, "the whole cluster");
    void *scratch = test_alloc(bytes);
    CHECK(eplb_rebalance(&p, &o, load, &plan, scratch, bytes) == EPLB_OK, "the whole cluster");
    free(scratch);
    for (int32_t i = 0, some = test_range(state, 0, 2); i < n; i++) {
        if (some == 0 && test_range(state, 0, 9) == 0) c->before[i] = -1;
        c->there[i] = i % S < usable(c, i % p.num_replicas / S) ? c->before[i] : -1;
    }
    c->o.previous_phy2log = c->before;
    if (test_range(state, 0, 2) == 0) {
        for (int32_t i = 0, few = test_range(state, 1, 9); i < n; i++)
            c->locked[i] = test_range(state, 0, few) == 0 ? (uint8_t)test_range(state, 1, 255) : 0;
        c->p.locked = c->locked;
    }
    if (c->o.effort == 0 || test_range(state, 0, 1)) return;
    if (test_range(state, 0, 1)) c->o.max_moves = test_range(state, -1, 12);
    if (test_range(state, 0, 3) == 0) c->o.max_gpu_moves = test_range(state, 1, 3);
    if (test_range(state, 0, 3) == 0) c->o.max_pair_moves = test_range(state, 1, 2);
    if (test_range(state, 0, 3) == 0) c->o.max_node_moves = test_range(state, 1, 4);
    if (test_range(state, 0, 2) == 0) c->o.move_cost = 0.1f * random_unit(state);
}

static inline int draw_case(cluster_case *c, uint64_t seed)
{
    uint64_t state = seed * 977;
    memset(c, 0, sizeof *c);
    int32_t K = 1, gs;
    c->p.num_layers = test_range(&state, 1, MOST_LAYERS);
    c->p.num_gpus = test_range(&state, 1, MOST_GPUS);
    c->p.num_nodes = test_range(&state, 1, MOST_NODES);
    if (c->p.num_gpus % c->p.num_nodes != 0 && test_range(&state, 0, 1)) c->p.num_nodes = 1;
    K = c->p.num_nodes * test_range(&state, 1, 3);
    gs = test_range(&state, 1, 4);
    c->p.num_groups = K;
    c->p.num_experts = K * gs;
    int32_t S = (c->p.num_experts + c->p.num_gpus - 1) / c->p.num_gpus + test_range(&state, 0, 2);
    if (S > MOST_SLOTS) return 0;
    c->p.num_replicas = S * c->p.num_gpus;
    c->p.num_samples = test_range(&state, 0, 2) ? 1 : test_range(&state, 2, 3);
    draw_cluster(c, &state);
    if (all_usable(c) < c->p.num_experts) return 0;
    c->preset = test_range(&state, 0, EPLB_NUM_PRESETS - 1);
    if (test_range(&state, 0, 1)) c->preset = EPLB_PRESET_DEFAULT;
    eplb_options_preset(c->preset, &c->o);
    if (c->preset == EPLB_PRESET_BEST) c->o.effort = 40;
    c->o.policy = test_range(&state, 0, 2);
    if (test_range(&state, 0, 7) == 0)
        c->o.max_replicas = (all_usable(c) - 1) / c->p.num_experts + test_range(&state, 1, 3);
    if (test_range(&state, 0, 5) == 0) c->o.allow_duplicates = 1;
    if (c->o.effort > 0 && test_range(&state, 0, 5) == 0) c->o.shares = EPLB_PLAN_FOR_EXACT;
    int kind = test_range(&state, 0, LOAD_NUM_KINDS - 1);
    for (int32_t i = 0; i < c->p.num_samples * c->p.num_layers * c->p.num_experts; i++)
        c->load[i] = random_load(&state, kind);
    c->plan.phy2log = c->phy2log;
    c->plan.phyrank = c->phyrank;
    c->plan.logcnt = c->logcnt;
    c->plan.log2phy = c->log2phy;
    c->plan.log2phy_width = c->p.num_replicas - c->p.num_experts + 1;
    if (c->plan.log2phy_width > MOST_GPUS * MOST_SLOTS) return 0;
    if (test_range(&state, 0, 3) == 0) c->p.survive = test_range(&state, 1, 2);
    if (c->p.survive == EPLB_SURVIVE_NODE && c->o.policy == EPLB_POLICY_HIERARCHICAL) c->o.policy = EPLB_POLICY_AUTO;
    if (test_range(&state, 0, 1)) draw_plan_in_force(c, &state);
    return 1;
}

#endif
