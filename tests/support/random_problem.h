/* random_problem.h - random shapes, options and loads for the tests, each from one seed so that a
   failure can be repeated. Include after eplb.h and test.h. */
#ifndef RANDOM_PROBLEM_H
#define RANDOM_PROBLEM_H

/* ------------------------------------------------------------------------------------- loads */

enum {
    LOAD_LOGNORMAL,  /* what routers give: a few experts carry most */
    LOAD_TOKENS,     /* the same in whole tokens */
    LOAD_FEW_VALUES, /* 0 .. 3: ties everywhere */
    LOAD_SMALL_INTS, /* 1 .. 20: exact sums and ties */
    LOAD_TENTHS,     /* sums that are equal but for rounding */
    LOAD_NEAR_EQUAL, /* packs that differ by about a millionth */
    LOAD_EQUAL,
    LOAD_ALL_ZERO,
    LOAD_SINGLE, /* one expert has it all */
    LOAD_SPARSE, /* half zeros, some of them -0 */
    LOAD_HUGE,   /* around 2^34 */
    LOAD_TINY,   /* around 2^-34 */
    LOAD_WIDE,   /* each of its own magnitude, so that sums lose bits */
    LOAD_NUM_KINDS
};

/* Uniform in [0, 1), 24 bits. */
static inline float random_unit(uint64_t *state) { return (float)(test_next(state) >> 40) / 16777216.0f; }

/* 2^x with straight lines between the whole powers: near enough for a load, and without libm. */
static inline float random_power(float x)
{
    int whole = (int)(x + 64.0f) - 64; /* floor for x > -64 */
    float value = 1.0f + (x - (float)whole);
    for (; whole > 0; whole--) value *= 2.0f;
    for (; whole < 0; whole++) value *= 0.5f;
    return value;
}

/* About lognormal with median 1: a sum of four uniform numbers stands for the normal one. */
static inline float random_lognormal(uint64_t *state)
{
    float x = -2.0f;
    for (int i = 0; i < 4; i++) x += random_unit(state);
    return random_power(2.5f * x);
}

static inline float random_load(uint64_t *state, int kind)
{
    float exponent;
    switch (kind) {
    case LOAD_TOKENS: return (float)(int32_t)(400.0f * random_lognormal(state));
    case LOAD_FEW_VALUES: return (float)test_range(state, 0, 3);
    case LOAD_SMALL_INTS: return (float)test_range(state, 1, 20);
    case LOAD_TENTHS: return 0.1f * (float)test_range(state, 1, 20);
    case LOAD_NEAR_EQUAL: return 1000000.0f - (float)test_range(state, 0, 3);
    case LOAD_EQUAL: return 0.1f;
    case LOAD_ALL_ZERO:
    case LOAD_SINGLE: return 0.0f;
    case LOAD_SPARSE:
        if (test_range(state, 0, 1)) return test_range(state, 0, 1) ? 0.0f : -0.0f;
        return random_lognormal(state);
    case LOAD_HUGE: return 17179869184.0f * random_lognormal(state);
    case LOAD_TINY: return random_lognormal(state) / 17179869184.0f;
    case LOAD_WIDE:
        exponent = 60.0f * random_unit(state); /* apart, lest it be fused with what follows */
        return random_power(exponent - 30.0f);
    default: return random_lognormal(state);
    }
}

/* num_rows rows of n loads, each row of a kind of its own. */
static inline float *random_loads(uint64_t *state, int32_t num_rows, int32_t n)
{
    float *weight = (float *)test_alloc((size_t)num_rows * (size_t)n * sizeof(float));
    for (int32_t r = 0; r < num_rows; r++) {
        float *row = weight + (size_t)r * (size_t)n;
        int kind = test_range(state, 0, LOAD_NUM_KINDS - 1);
        for (int32_t i = 0; i < n; i++) row[i] = random_load(state, kind);
        if (kind == LOAD_SINGLE) {
            int32_t loaded = test_range(state, 0, n - 1);
            row[loaded] = random_lognormal(state);
        }
    }
    return weight;
}

/* ----------------------------------------------------------------------------------- options */

static inline eplb_packing random_packing(uint64_t *state, int large)
{
    eplb_packing how = EPLB_ZERO_INIT;
    how.init = test_range(state, 0, EPLB_NUM_INITS - 1);
    how.refine = test_range(state, 0, EPLB_NUM_REFINEMENTS - 1);
    how.max_swaps = test_range(state, 0, large ? 10 : 60);
    how.heavy_packs = test_range(state, 0, 4);
    how.num_candidates = test_range(state, 0, large ? 2 : 6);
    how.noise = test_range(state, 0, EPLB_NUM_NOISES - 1);
    how.noise_scale = test_range(state, 0, 3) ? random_unit(state) : 2.0f;
    how.select = test_range(state, 0, EPLB_NUM_SELECTIONS - 1);
    return how;
}

/* ---------------------------------------------------------------------------------- problems */

typedef struct random_problem {
    uint64_t seed;
    eplb_problem problem;
    eplb_options options;
    int32_t preset; /* what options started from, or -1 */
    float *weight;  /* [T, L, E] */
} random_problem;

/* Experts that fit the slots; whole groups of them where the policy may keep groups together. */
static inline void random_shape(uint64_t *state, int large, eplb_problem *problem)
{
    int32_t N = test_range(state, 1, 4);
    int32_t gpus_per_node = test_range(state, 1, large ? 16 : 4);
    int32_t S = test_range(state, 1, large ? 8 : 6);
    int32_t R = N * gpus_per_node * S;
    int32_t K = N * test_range(state, 1, gpus_per_node * S < 4 ? gpus_per_node * S : 4);
    int32_t kind = test_range(state, 0, 5);
    problem->num_layers = large ? 1 : test_range(state, 1, 5);
    problem->num_nodes = N;
    problem->num_gpus = N * gpus_per_node;
    problem->num_replicas = R;
    problem->num_samples = test_range(state, 0, 2) ? test_range(state, 0, 1) : test_range(state, 2, 4);
    problem->num_groups = K;
    problem->num_experts = K * test_range(state, (R / K + 1) / 2, R / K);  /* at least half of the slots */
    if (kind == 0) problem->num_experts = K * test_range(state, 1, R / K); /* few experts, many replicas */
    if (kind == 1) { /* groups that nodes may not divide, and need not divide the experts */
        problem->num_groups = test_range(state, 0, 7);
        problem->num_experts = test_range(state, 1, R);
    }
}

/* The shape of a large model. */
static inline void random_model_shape(uint64_t *state, eplb_problem *problem)
{
    problem->num_layers = 1;
    problem->num_experts = 256;
    problem->num_replicas = 288 + 32 * test_range(state, 0, 1);
    problem->num_groups = 8;
    problem->num_nodes = 4;
    problem->num_gpus = 32;
}

/* A policy that the shape allows. Where nodes divide the groups but the groups not the experts, only
   GLOBAL is; where nodes do not divide the groups, HIERARCHICAL is not. */
static inline int32_t random_policy(uint64_t *state, const eplb_problem *problem)
{
    int32_t K = problem->num_groups ? problem->num_groups : 1;
    int nodes_divide = K % problem->num_nodes == 0, groups_divide = problem->num_experts % K == 0;
    int32_t policy = test_range(state, 0, EPLB_NUM_POLICIES - 1);
    if (nodes_divide && !groups_divide) return EPLB_POLICY_GLOBAL;
    return !nodes_divide && policy == EPLB_POLICY_HIERARCHICAL ? EPLB_POLICY_AUTO : policy;
}

/* A preset's options one time in three, else any combination; a cap on replicas one time in three. */
static inline void random_options(uint64_t *state, int large, random_problem *r)
{
    r->preset = -1;
    if (test_range(state, 0, 2) == 0) {
        r->preset = test_range(state, 0, EPLB_PRESET_BEST); /* VLLM has a test of its own */
        CHECK(eplb_options_preset(r->preset, &r->options) == EPLB_OK, "preset %d", (int)r->preset);
    } else {
        r->options.replication = test_range(state, 0, EPLB_NUM_REPLICATIONS - 1);
        r->options.fixup_steps = test_range(state, 0, 3);
        r->options.effort = test_range(state, 0, 2) ? 0 : test_range(state, 1, 6);
        r->options.allow_duplicates = test_range(state, 0, 3) == 0;
        r->options.group_packing = random_packing(state, large);
        r->options.gpu_packing = random_packing(state, large);
    }
    r->options.seed = test_next(state);
    r->options.policy = random_policy(state, &r->problem);
    if (test_range(state, 0, 2) == 0) {
        int32_t E = r->problem.num_experts, R = r->problem.num_replicas;
        r->options.max_replicas = (R + E - 1) / E + test_range(state, 0, 2);
    }
}

static inline random_problem random_problem_make(uint64_t seed)
{
    random_problem r = {0, EPLB_ZERO_INIT, EPLB_ZERO_INIT, -1, NULL};
    uint64_t state = seed;
    int size = test_range(&state, 0, 399); /* 0: model, 1 .. 7: large, else small */
    r.seed = seed;
    if (size == 0) random_model_shape(&state, &r.problem);
    else random_shape(&state, size < 8, &r.problem);
    random_options(&state, size < 8, &r);
    int32_t T = r.problem.num_samples ? r.problem.num_samples : 1;
    r.weight = random_loads(&state, T * r.problem.num_layers, r.problem.num_experts);
    return r;
}

static inline void random_problem_free(random_problem *r) { free(r->weight); }

/* What CHECK says of a problem: RANDOM_FORMAT, RANDOM_ARGS(r). */
#define RANDOM_FORMAT "seed %llu: L %d E %d R %d K %d N %d G %d T %d, policy %d preset %d replication %d refine %d"
#define RANDOM_ARGS(r)                                                                                         \
    (unsigned long long)(r)->seed, (int)(r)->problem.num_layers, (int)(r)->problem.num_experts,                \
        (int)(r)->problem.num_replicas, (int)(r)->problem.num_groups, (int)(r)->problem.num_nodes,             \
        (int)(r)->problem.num_gpus, (int)(r)->problem.num_samples, (int)(r)->options.policy, (int)(r)->preset, \
        (int)(r)->options.replication, (int)(r)->options.gpu_packing.refine

#endif
