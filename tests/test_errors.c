/* test_errors.c - bad input: every error of every public function, that it is the right one, that
   eplb_diagnose names its place, and that nothing was written: all outputs and the scratch lie with
   guards around them in one block of memory (the world), which is compared as a whole. */
#include "eplb.h"
#include "test.h"

enum {
    L = 3,
    E = 12,
    R = 16,
    K = 4,
    N = 2,
    G = 8,
    T = 2,
    WIDTH = R - E + 1, /* the problem of most tests */
    GUARD = 64,
    SCRATCH = 16384,
    SIZE_IS_64_BITS = sizeof(size_t) > 4
};

typedef struct world {
    unsigned char guard0[GUARD];
    int32_t phy2log[L * R];
    unsigned char guard1[GUARD];
    int32_t phyrank[L * R];
    unsigned char guard2[GUARD];
    int32_t logcnt[L * E];
    unsigned char guard3[GUARD];
    int32_t log2phy[L * E * WIDTH];
    unsigned char guard9[GUARD];
    int32_t layer_status[L];
    unsigned char guard4[GUARD];
    eplb_layer_report report[L];
    unsigned char guard5[GUARD];
    float gpu_load[L * G];
    unsigned char guard6[GUARD];
    size_t bytes;
    unsigned char guard7[GUARD];
    eplb_options preset;
    unsigned char guard8[GUARD];
    unsigned char scratch[SCRATCH + GUARD];
} world;

static world now, before;

/* The pattern differs from byte to byte, so that copies within the world show too. */
static void renew_world(void)
{
    unsigned char *bytes = (unsigned char *)&now;
    for (size_t i = 0; i < sizeof now; i++) bytes[i] = (unsigned char)(i * 37 + (i >> 8) * 11 + 5);
    memcpy(&before, &now, sizeof now);
}

static int world_unchanged(void) { return memcmp(&now, &before, sizeof now) == 0; }

static int all_but_scratch_unchanged(size_t scratch_bytes)
{
    memcpy(now.scratch, before.scratch, scratch_bytes);
    return world_unchanged();
}

/* --------------------------------------------------------------------------------- the arguments */

typedef struct arguments { /* of all functions that take a problem */
    const eplb_problem *problem;
    const eplb_options *options;
    const float *weight;
    const eplb_plan *plan;
    void *scratch;
    size_t scratch_bytes;
} arguments;

/* What the pointers of good_arguments point to; a test spoils one thing in it. */
static eplb_problem problem;
static eplb_options options;
static eplb_plan plan;
static float weight[T * L * E];
static int32_t valid_phy2log[L * R]; /* for eplb_evaluate, which reads it */

static float next_load(uint64_t *rng) { return (float)test_range(rng, 0, 1000) / 8; }

static arguments good_arguments(void)
{
    uint64_t rng = 1;
    arguments good = {&problem, &options, weight, &plan, now.scratch, SCRATCH};

    memset(&problem, 0, sizeof problem);
    problem.num_layers = L;
    problem.num_experts = E;
    problem.num_replicas = R;
    problem.num_groups = K;
    problem.num_nodes = N;
    problem.num_gpus = G;
    problem.num_samples = T;
    CHECK(eplb_options_preset(EPLB_PRESET_MULTI_START, &options) == EPLB_OK, "good arguments");
    plan.phy2log = now.phy2log;
    plan.phyrank = now.phyrank;
    plan.logcnt = now.logcnt;
    plan.log2phy = now.log2phy;
    plan.log2phy_width = WIDTH;
    plan.layer_status = now.layer_status;
    for (int i = 0; i < T * L * E; i++) weight[i] = next_load(&rng);
    for (int i = 0; i < L * R; i++) valid_phy2log[i] = i % R % E;
    CHECK(eplb_scratch_size(&problem, &options, &good.scratch_bytes) == EPLB_OK, "good arguments");
    CHECK(good.scratch_bytes <= SCRATCH, "%lu bytes", (unsigned long)good.scratch_bytes);
    renew_world();
    return good;
}

static eplb_result rebalance(const arguments *a)
{
    return eplb_rebalance(a->problem, a->options, a->weight, a->plan, a->scratch, a->scratch_bytes);
}

static eplb_result rebalance_layers(const arguments *a, int32_t first, int32_t num)
{
    return eplb_rebalance_layers(a->problem, a->options, a->weight, a->plan, a->scratch, a->scratch_bytes, first, num);
}

static eplb_result diagnose(const arguments *a, eplb_diagnosis *d)
{
    return eplb_diagnose(a->problem, a->options, a->weight, a->plan, a->scratch, a->scratch_bytes, d);
}

/* The plan it reads is a valid one, unless the plan at hand has no phy2log. */
static eplb_result evaluate(const arguments *a)
{
    eplb_plan read = EPLB_ZERO_INIT;
    read.phy2log = a->plan && a->plan->phy2log ? valid_phy2log : NULL;
    return eplb_evaluate(a->problem, a->options, a->weight, a->plan ? &read : NULL, now.report, now.gpu_load,
                         a->scratch, a->scratch_bytes);
}

/* The place of an error, as in eplb_diagnosis; -1 where it does not apply. */
typedef struct place {
    const char *field;
    int32_t layer, sample, item;
} place;

static place at_field(const char *field)
{
    place where = {field, -1, -1, -1};
    return where;
}

/* eplb_diagnose says this of the arguments. */
static void expect_diagnosis(const arguments *a, eplb_result want, place where, int32_t width_needed, const char *what)
{
    size_t bytes_needed = 0;
    eplb_diagnosis d;
    if (eplb_scratch_size(a->problem, a->options, &bytes_needed) != EPLB_OK) bytes_needed = 0;
    memset(&d, 0x55, sizeof d);
    eplb_result r = diagnose(a, &d);
    CHECK(all_but_scratch_unchanged(a->scratch == now.scratch ? a->scratch_bytes : 0), "%s", what);
    CHECK(r == want && d.result == want, "%s: %s, not %s", what, eplb_result_name(r), eplb_result_name(want));
    CHECK(strcmp(d.field, where.field) == 0, "%s: \"%s\", not \"%s\"", what, d.field, where.field);
    CHECK(d.layer == where.layer && d.sample == where.sample && d.item == where.item,
          "%s: layer %d, sample %d, item %d, not %d, %d, %d", what, d.layer, d.sample, d.item, where.layer,
          where.sample, where.item);
    CHECK(d.width_needed == width_needed, "%s: %d, not %d", what, d.width_needed, width_needed);
    CHECK(d.bytes_needed == bytes_needed, "%s: %lu, not %lu", what, (unsigned long)d.bytes_needed,
          (unsigned long)bytes_needed);
}

/* Every function that plans all layers refuses the arguments, and writes nothing. */
static void expect_refusal(const arguments *a, eplb_result want, place where, const char *what)
{
    eplb_result r = rebalance(a);
    CHECK(r == want, "%s: %s, not %s", what, eplb_result_name(r), eplb_result_name(want));
    CHECK(world_unchanged(), "%s: eplb_rebalance", what);
    renew_world();
    r = rebalance_layers(a, 0, L);
    CHECK(r == want, "%s: %s, not %s", what, eplb_result_name(r), eplb_result_name(want));
    CHECK(world_unchanged(), "%s: eplb_rebalance_layers", what);
    renew_world();
    expect_diagnosis(a, want, where, 0, what);
}

/* eplb_evaluate refuses what it has in common with eplb_rebalance. */
static void expect_evaluate_refuses(const arguments *a, eplb_result want, const char *what)
{
    renew_world();
    eplb_result r = evaluate(a);
    CHECK(r == want, "%s: %s, not %s", what, eplb_result_name(r), eplb_result_name(want));
    CHECK(world_unchanged(), "%s: eplb_evaluate", what);
}

/* What is wrong with the problem or the options alone. */
static void expect_unplannable(const arguments *a, eplb_result want, const char *field, const char *what)
{
    expect_refusal(a, want, at_field(field), what);
    expect_evaluate_refuses(a, want, what);
    renew_world();
    eplb_result r = eplb_scratch_size(a->problem, a->options, &now.bytes);
    CHECK(r == want, "%s: %s, not %s", what, eplb_result_name(r), eplb_result_name(want));
    CHECK(world_unchanged(), "%s: eplb_scratch_size", what);
}

static void expect_accepted(const arguments *a, const char *what)
{
    eplb_result r;
    renew_world();
    expect_diagnosis(a, EPLB_OK, at_field(""), 0, what);
    r = rebalance(a);
    CHECK(r == EPLB_OK, "%s: %s", what, eplb_result_name(r));
    r = rebalance_layers(a, 0, a->problem->num_layers);
    CHECK(r == EPLB_OK, "%s: %s", what, eplb_result_name(r));
    r = evaluate(a);
    CHECK(r == EPLB_OK, "%s: %s", what, eplb_result_name(r));
}

/* ------------------------------------------------------------------------------------ NULL pointers */

static void test_null(void)
{
    arguments a = good_arguments();
    expect_accepted(&a, "good arguments");

    a = good_arguments();
    a.problem = NULL;
    expect_unplannable(&a, EPLB_ERR_NULL, "problem", "problem");
    a = good_arguments();
    a.weight = NULL;
    expect_refusal(&a, EPLB_ERR_NULL, at_field("weight"), "weight");
    expect_evaluate_refuses(&a, EPLB_ERR_NULL, "weight");
    a = good_arguments();
    a.plan = NULL;
    expect_refusal(&a, EPLB_ERR_NULL, at_field("plan"), "plan");
    expect_evaluate_refuses(&a, EPLB_ERR_NULL, "plan");
    a = good_arguments();
    plan.phy2log = NULL;
    expect_refusal(&a, EPLB_ERR_NULL, at_field("plan.phy2log"), "phy2log");
    expect_evaluate_refuses(&a, EPLB_ERR_NULL, "phy2log");
    a = good_arguments();
    a.scratch = NULL;
    expect_refusal(&a, EPLB_ERR_NULL, at_field("scratch"), "scratch");
    expect_evaluate_refuses(&a, EPLB_ERR_NULL, "scratch");
    a.scratch_bytes = 0;
    expect_refusal(&a, EPLB_ERR_NULL, at_field("scratch"), "scratch of no bytes");
    expect_evaluate_refuses(&a, EPLB_ERR_NULL, "scratch of no bytes");

    a = good_arguments();
    CHECK(eplb_scratch_size(&problem, &options, NULL) == EPLB_ERR_NULL, "bytes");
    CHECK(diagnose(&a, NULL) == EPLB_ERR_NULL, "diagnosis");
    CHECK(all_but_scratch_unchanged(a.scratch_bytes), "diagnosis");
    eplb_plan valid = EPLB_ZERO_INIT;
    valid.phy2log = valid_phy2log;
    CHECK(eplb_evaluate(a.problem, a.options, a.weight, &valid, NULL, now.gpu_load, a.scratch, a.scratch_bytes)
              == EPLB_ERR_NULL,
          "report");
    CHECK(world_unchanged(), "report");
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, NULL) == EPLB_ERR_NULL, "options of a preset");
}

/* Pointers that may be NULL: what is still written is the same, the rest is not. */
static void test_null_allowed(void)
{
    static world full;
    arguments a = good_arguments();
    CHECK(rebalance(&a) == EPLB_OK, "all arrays");
    for (int l = 0; l < L; l++) CHECK(now.layer_status[l] == EPLB_OK, "layer %d", l);
    memcpy(&full, &now, sizeof now);
    for (int with = 0; with < 16; with++) {
        a = good_arguments();
        plan.phyrank = with & 1 ? now.phyrank : NULL;
        plan.logcnt = with & 2 ? now.logcnt : NULL;
        plan.log2phy = with & 4 ? now.log2phy : NULL;
        plan.log2phy_width = with & 4 ? WIDTH : -1; /* means nothing without log2phy */
        plan.layer_status = with & 8 ? now.layer_status : NULL;
        const world *rank = with & 1 ? &full : &before, *count = with & 2 ? &full : &before;
        const world *inverse = with & 4 ? &full : &before, *status = with & 8 ? &full : &before;
        CHECK(rebalance(&a) == EPLB_OK, "arrays %d", with);
        CHECK(memcmp(now.phy2log, full.phy2log, sizeof now.phy2log) == 0, "arrays %d", with);
        CHECK(memcmp(now.phyrank, rank->phyrank, sizeof now.phyrank) == 0, "arrays %d", with);
        CHECK(memcmp(now.logcnt, count->logcnt, sizeof now.logcnt) == 0, "arrays %d", with);
        CHECK(memcmp(now.log2phy, inverse->log2phy, sizeof now.log2phy) == 0, "arrays %d", with);
        CHECK(memcmp(now.layer_status, status->layer_status, sizeof now.layer_status) == 0, "arrays %d", with);
        renew_world();
        expect_diagnosis(&a, EPLB_OK, at_field(""), 0, "without some arrays");
    }
}

/* -------------------------------------------------------------------------------- problem and options */

typedef struct bad_field {
    const char *name;
    size_t offset; /* of an int32_t in the problem or the options */
    int32_t value;
    eplb_result want;
} bad_field;

static void set_int32(void *object, size_t offset, int32_t value)
{
    memcpy((unsigned char *)object + offset, &value, sizeof value);
}

#define PROBLEM(field) "problem." #field, offsetof(eplb_problem, field)
#define OPTION(field)  "options." #field, offsetof(eplb_options, field)

static const bad_field bad_problems[] = {
    /* each breaks one thing, whatever the policy */
    {PROBLEM(num_layers), 0, EPLB_ERR_COUNT},
    {PROBLEM(num_layers), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_layers), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_experts), 0, EPLB_ERR_COUNT},
    {PROBLEM(num_experts), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_experts), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_replicas), 0, EPLB_ERR_COUNT},
    {PROBLEM(num_replicas), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_replicas), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_groups), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_groups), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_nodes), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_nodes), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_gpus), 0, EPLB_ERR_COUNT},
    {PROBLEM(num_gpus), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_gpus), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_samples), -1, EPLB_ERR_COUNT},
    {PROBLEM(num_samples), INT32_MIN, EPLB_ERR_COUNT},
    {PROBLEM(num_replicas), 17, EPLB_ERR_DIVIDE},
    {PROBLEM(num_replicas), 15, EPLB_ERR_DIVIDE},
    {PROBLEM(num_replicas), 8, EPLB_ERR_TOO_FEW},
    {"problem.num_replicas", offsetof(eplb_problem, num_experts), 20, EPLB_ERR_TOO_FEW},
};

static const bad_field bad_options[] = {
    {OPTION(policy), -1, EPLB_ERR_OPTION},
    {OPTION(policy), 3, EPLB_ERR_OPTION},
    {OPTION(policy), INT32_MAX, EPLB_ERR_OPTION},
    {OPTION(replication), -1, EPLB_ERR_OPTION},
    {OPTION(replication), 2, EPLB_ERR_OPTION},
    {OPTION(replication), INT32_MIN, EPLB_ERR_OPTION},
    {OPTION(fixup_steps), -1, EPLB_ERR_OPTION},
    {OPTION(fixup_steps), INT32_MIN, EPLB_ERR_OPTION},
    {OPTION(max_replicas), -1, EPLB_ERR_OPTION},
    {OPTION(max_replicas), INT32_MIN, EPLB_ERR_OPTION},
    {OPTION(max_replicas), 1, EPLB_ERR_MAX_REPLICAS},
#define BAD_PACKING(packing)                                                                                           \
    {OPTION(packing.init), -1, EPLB_ERR_OPTION}, {OPTION(packing.init), 2, EPLB_ERR_OPTION},                           \
        {OPTION(packing.init), INT32_MAX, EPLB_ERR_OPTION}, {OPTION(packing.refine), -1, EPLB_ERR_OPTION},             \
        {OPTION(packing.refine), 5, EPLB_ERR_OPTION}, {OPTION(packing.refine), INT32_MIN, EPLB_ERR_OPTION},            \
        {OPTION(packing.max_swaps), -1, EPLB_ERR_OPTION}, {OPTION(packing.max_swaps), INT32_MIN, EPLB_ERR_OPTION},     \
        {OPTION(packing.heavy_packs), -1, EPLB_ERR_OPTION}, {OPTION(packing.heavy_packs), INT32_MIN, EPLB_ERR_OPTION}, \
        {OPTION(packing.num_candidates), -1, EPLB_ERR_OPTION},                                                         \
        {OPTION(packing.num_candidates), INT32_MIN, EPLB_ERR_OPTION}, {OPTION(packing.noise), -1, EPLB_ERR_OPTION},    \
        {OPTION(packing.noise), 2, EPLB_ERR_OPTION}, {OPTION(packing.noise), INT32_MAX, EPLB_ERR_OPTION},              \
        {OPTION(packing.select), -1, EPLB_ERR_OPTION}, {OPTION(packing.select), 3, EPLB_ERR_OPTION},                   \
    {                                                                                                                  \
        OPTION(packing.select), INT32_MIN, EPLB_ERR_OPTION                                                             \
    }
    BAD_PACKING(group_packing),
    BAD_PACKING(gpu_packing),
    {OPTION(max_moves), -2, EPLB_ERR_OPTION},
    {OPTION(max_moves), INT32_MIN, EPLB_ERR_OPTION},
    {OPTION(max_gpu_moves), -1, EPLB_ERR_OPTION},
    {OPTION(max_gpu_moves), INT32_MIN, EPLB_ERR_OPTION},
    {OPTION(max_pair_moves), -1, EPLB_ERR_OPTION},
    {OPTION(max_pair_moves), INT32_MIN, EPLB_ERR_OPTION},
    {OPTION(max_node_moves), -1, EPLB_ERR_OPTION},
    {OPTION(max_node_moves), INT32_MIN, EPLB_ERR_OPTION},
#define WITHOUT_EFFORT(field) "options.effort", offsetof(eplb_options, field)
    {WITHOUT_EFFORT(max_moves), -1, EPLB_ERR_OPTION},
    {WITHOUT_EFFORT(max_moves), 1, EPLB_ERR_OPTION},
    {WITHOUT_EFFORT(max_gpu_moves), 1, EPLB_ERR_OPTION},
    {WITHOUT_EFFORT(max_pair_moves), 1, EPLB_ERR_OPTION},
    {WITHOUT_EFFORT(max_node_moves), INT32_MAX, EPLB_ERR_OPTION},
    {WITHOUT_EFFORT(move_cost), 0x3f800000, EPLB_ERR_OPTION}, /* 1 */
    {WITHOUT_EFFORT(move_cost), 1, EPLB_ERR_OPTION},
    {OPTION(engine), -1, EPLB_ERR_OPTION},
    {OPTION(engine), 2, EPLB_ERR_OPTION},
    {OPTION(engine), INT32_MAX, EPLB_ERR_OPTION},
};

enum { NUM_BAD_OPTIONS = sizeof bad_options / sizeof *bad_options };

typedef struct scale_bits { /* of noise_scale */
    uint32_t bits;
    int good;
} scale_bits;

static const scale_bits noise_scales[] = {
    {0x80000000u, 1},                                                                     /* -0 */
    {0x00000000, 1},  {0x00000001, 1}, {0x3f800000, 1}, {0x40000000, 1},                  /* 0 .. 2 */
    {0x40000001, 0},  {0x7f7fffff, 0},                                                    /* over 2 */
    {0x7f800000, 0},  {0xff800000, 0}, {0x7fc00000, 0}, {0xffc00000, 0}, {0x7f800001, 0}, /* inf, NaN */
    {0x80000001, 0},  {0xbe19999a, 0}, {0xff7fffff, 0},                                   /* negative */
};

enum { NUM_NOISE_SCALES = sizeof noise_scales / sizeof *noise_scales };

static void test_fields(void)
{
    for (size_t i = 0; i < sizeof bad_problems / sizeof *bad_problems; i++) {
        for (int32_t policy = 0; policy < EPLB_NUM_POLICIES; policy++) {
            const bad_field *bad = &bad_problems[i];
            arguments a = good_arguments();
            options.policy = policy;
            set_int32(&problem, bad->offset, bad->value);
            expect_unplannable(&a, bad->want, bad->name, bad->name);
        }
    }
    for (size_t i = 0; i < NUM_BAD_OPTIONS; i++) {
        const bad_field *bad = &bad_options[i];
        arguments a = good_arguments();
        set_int32(&options, bad->offset, bad->value);
        expect_unplannable(&a, bad->want, bad->name, bad->name);
    }
    for (size_t i = 0; i < NUM_NOISE_SCALES; i++) {
        for (int groups = 0; groups <= 1; groups++) {
            static const char *names[] = {"options.gpu_packing.noise_scale", "options.group_packing.noise_scale"};
            const char *name = names[groups];
            arguments a = good_arguments();
            memcpy(groups ? &options.group_packing.noise_scale : &options.gpu_packing.noise_scale,
                   &noise_scales[i].bits, sizeof(float));
            if (noise_scales[i].good) expect_accepted(&a, name);
            else expect_unplannable(&a, EPLB_ERR_OPTION, name, name);
        }
    }
}

typedef struct shape_case {
    const char *what;
    eplb_problem problem; /* L, E, R, K, N, G, T */
    int32_t policy, max_replicas;
    eplb_result want;
    const char *field; /* at fault; "" when the problem is good */
} shape_case;

static const shape_case shape_cases[] = {
    {"nodes must divide GPUs", {L, E, R, 6, 3, G, T, ALIKE}, EPLB_POLICY_AUTO, 0, EPLB_ERR_DIVIDE, "problem.num_nodes"},
    {"also when global", {L, E, R, 1, 3, G, T, ALIKE}, EPLB_POLICY_GLOBAL, 0, EPLB_ERR_DIVIDE, "problem.num_nodes"},
    {"groups must divide experts",
     {L, E, R, 8, 2, G, T, ALIKE},
     EPLB_POLICY_AUTO,
     0,
     EPLB_ERR_DIVIDE,
     "problem.num_groups"},
    {"also when explicit",
     {L, E, R, 8, 2, G, T, ALIKE},
     EPLB_POLICY_HIERARCHICAL,
     0,
     EPLB_ERR_DIVIDE,
     "problem.num_groups"},
    {"but not when global", {L, E, R, 8, 2, G, T, ALIKE}, EPLB_POLICY_GLOBAL, 0, EPLB_OK, ""},
    {"nodes must divide groups",
     {L, E, R, 3, 2, G, T, ALIKE},
     EPLB_POLICY_HIERARCHICAL,
     0,
     EPLB_ERR_DIVIDE,
     "problem.num_groups"},
    {"no groups are one",
     {L, E, R, 0, 2, G, T, ALIKE},
     EPLB_POLICY_HIERARCHICAL,
     0,
     EPLB_ERR_DIVIDE,
     "problem.num_groups"},
    {"but not when automatic", {L, E, R, 3, 2, G, T, ALIKE}, EPLB_POLICY_AUTO, 0, EPLB_OK, ""},
    {"nor the experts then", {L, E, R, 5, 2, G, T, ALIKE}, EPLB_POLICY_AUTO, 0, EPLB_OK, ""},
    {"zeros where they are allowed", {L, E, R, 0, 0, G, 0, ALIKE}, EPLB_POLICY_HIERARCHICAL, 0, EPLB_OK, ""},
    {"cap too small",
     {L, E, 2 * R, K, N, G, T, ALIKE},
     EPLB_POLICY_GLOBAL,
     2,
     EPLB_ERR_MAX_REPLICAS,
     "options.max_replicas"},
    {"cap too small within a node",
     {L, E, 2 * R, K, N, G, T, ALIKE},
     EPLB_POLICY_AUTO,
     2,
     EPLB_ERR_MAX_REPLICAS,
     "options.max_replicas"},
    {"cap just large enough", {L, E, R, K, N, G, T, ALIKE}, EPLB_POLICY_AUTO, 2, EPLB_OK, ""},
    {"cap just large enough, global", {L, E, R, K, N, G, T, ALIKE}, EPLB_POLICY_GLOBAL, 2, EPLB_OK, ""},
    {"cap larger than any need", {L, E, R, K, N, G, T, ALIKE}, EPLB_POLICY_AUTO, INT32_MAX, EPLB_OK, ""},
    {"cap not needed", {1, E, E, 1, 1, E, 1, ALIKE}, EPLB_POLICY_AUTO, 1, EPLB_OK, ""},
};

static void test_shapes(void)
{
    for (size_t i = 0; i < sizeof shape_cases / sizeof *shape_cases; i++) {
        const shape_case *c = &shape_cases[i];
        arguments a = good_arguments();
        problem = c->problem;
        options.policy = c->policy;
        options.max_replicas = c->max_replicas;
        a.scratch_bytes = SCRATCH;
        for (int slot = 0; slot < problem.num_layers * problem.num_replicas && slot < L * R; slot++)
            valid_phy2log[slot] = slot % problem.num_replicas % E;
        if (c->want == EPLB_OK) expect_accepted(&a, c->what);
        else expect_unplannable(&a, c->want, c->field, c->what);
    }
}

/* Sizes that do not fit size_t, whatever its width, are found before any load is read. */
static const eplb_problem huge_problems[] = {
    /* L, E, R, K, N, G, T */
    {INT32_MAX, INT32_MAX, INT32_MAX, 1, 1, 1, INT32_MAX, ALIKE},
    {1 << 22, 1 << 20, 1 << 20, 1, 1, 1, 1 << 22, ALIKE},
    {INT32_MAX, 3, INT32_MAX, 1, 1, 1, INT32_MAX, ALIKE},
};

static void test_overflow(void)
{
    for (size_t i = 0; i < sizeof huge_problems / sizeof *huge_problems; i++) {
        arguments a = good_arguments();
        problem = huge_problems[i];
        expect_unplannable(&a, EPLB_ERR_OVERFLOW, "problem", "huge");
    }
    arguments a = good_arguments();
    problem.num_layers = SIZE_IS_64_BITS ? INT32_MAX : L; /* the loads themselves must fit */
    problem.num_samples = 1;
    plan.log2phy_width = INT32_MAX;
    expect_refusal(&a, EPLB_ERR_OVERFLOW, at_field("plan.log2phy_width"), "log2phy");
}

/* ---------------------------------------------------------------------------------------------- loads */

typedef struct load_bits {
    uint32_t bits;
    eplb_result want;
} load_bits;

static const load_bits bad_loads[] = {
    {0x7fc00000, EPLB_ERR_NAN},      {0xffc00000, EPLB_ERR_NAN}, /* quiet */
    {0x7f800001, EPLB_ERR_NAN},      {0xff800001, EPLB_ERR_NAN}, /* signalling */
    {0x7fffffff, EPLB_ERR_NAN},      {0xffffffff, EPLB_ERR_NAN}, /* all payload bits */
    {0x7fc0abcd, EPLB_ERR_NAN},      {0xff812345, EPLB_ERR_NAN},      {0x7f800000, EPLB_ERR_INFINITE},
    {0xff800000, EPLB_ERR_INFINITE},                                  /* -inf is infinite first */
    {0xbf800000, EPLB_ERR_NEGATIVE}, {0x80000001, EPLB_ERR_NEGATIVE}, /* -1, largest denormal under 0 */
    {0x807fffff, EPLB_ERR_NEGATIVE}, {0x80800000, EPLB_ERR_NEGATIVE}, {0xff7fffff, EPLB_ERR_NEGATIVE},
};

enum { NUM_BAD_LOADS = sizeof bad_loads / sizeof *bad_loads };

static const uint32_t odd_good_loads[] = {0x80000000, 0x00000000, 0x00000001, 0x007fffff, 0x7f7fffff};

enum { NUM_ODD_GOOD_LOADS = sizeof odd_good_loads / sizeof *odd_good_loads };

/* First, last and some place between, in a row of n. */
static int32_t nth_place(uint64_t *rng, int which, int32_t n)
{
    return which == 0 ? 0 : which == 1 ? n - 1 : test_range(rng, 1, n - 2);
}

static void test_bad_loads(void)
{
    uint64_t rng = 2;
    for (int row = 0; row < T * L; row++) {
        for (int which = 0; which < 3; which++) {
            place where = {"weight", row % L, row / L, nth_place(&rng, which, E)};
            for (int i = 0; i < NUM_BAD_LOADS; i++) {
                arguments a = good_arguments();
                memcpy(&weight[row * E + where.item], &bad_loads[i].bits, sizeof(float));
                expect_refusal(&a, bad_loads[i].want, where, "bad load");
                expect_evaluate_refuses(&a, bad_loads[i].want, "bad load");
            }
            for (int i = 0; i < NUM_ODD_GOOD_LOADS; i++) {
                arguments a = good_arguments();
                memcpy(&weight[row * E + where.item], &odd_good_loads[i], sizeof(float));
                expect_accepted(&a, "odd load");
            }
        }
    }
}

/* -0 is planned as 0. */
static void test_minus_zero(void)
{
    static world plus;
    arguments a = good_arguments();
    for (int i = 0; i < T * L * E; i += 2) weight[i] = 0.0f;
    CHECK(rebalance(&a) == EPLB_OK, "0");
    memcpy(&plus, &now, sizeof now);
    renew_world();
    for (int i = 0; i < T * L * E; i += 2) weight[i] = -0.0f;
    CHECK(rebalance(&a) == EPLB_OK, "-0");
    CHECK(memcmp(now.phy2log, plus.phy2log, sizeof now.phy2log) == 0, "plans");
    CHECK(memcmp(now.log2phy, plus.log2phy, sizeof now.log2phy) == 0, "plans");
}

/* With several bad loads one of them is named, with its own error, and both functions agree. */
static void test_many_bad_loads(void)
{
    uint64_t rng = 3;
    for (int round = 0; round < 300; round++) {
        eplb_result want[T * L * E] = {0};
        arguments a = good_arguments();
        for (int n = test_range(&rng, 2, 6); n > 0; n--) {
            const load_bits *bad = &bad_loads[test_range(&rng, 0, NUM_BAD_LOADS - 1)];
            int32_t at = test_range(&rng, 0, T * L * E - 1);
            memcpy(&weight[at], &bad->bits, sizeof(float));
            want[at] = bad->want;
        }
        eplb_diagnosis d;
        eplb_result r = diagnose(&a, &d);
        CHECK(d.layer >= 0 && d.layer < L && d.sample >= 0 && d.sample < T && d.item >= 0 && d.item < E,
              "round %d: %d, %d, %d", round, d.layer, d.sample, d.item);
        CHECK(r != EPLB_OK && r == want[(d.sample * L + d.layer) * E + d.item], "round %d: %s", round,
              eplb_result_name(r));
        place where = {"weight", d.layer, d.sample, d.item};
        renew_world();
        expect_refusal(&a, r, where, "several bad loads");
    }
}

/* ----------------------------------------------------------------------------------------- layer range */

static void test_layer_range(void)
{
    static const struct {
        int32_t first, num;
    } outside[] = {
        {-1, 1},
        {-1, 0},
        {0, L + 1},
        {1, L},
        {L, 1},
        {L + 1, 0},
        {0, -1},
        {L, -1},
        {INT32_MAX, 1},
        {1, INT32_MAX},
        {INT32_MAX, INT32_MAX},
        {INT32_MIN, 1},
        {0, INT32_MIN},
        {INT32_MIN, INT32_MIN},
    };
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        arguments a = good_arguments();
        eplb_result r = rebalance_layers(&a, outside[i].first, outside[i].num);
        CHECK(r == EPLB_ERR_LAYER_RANGE, "%d, %d: %s", outside[i].first, outside[i].num, eplb_result_name(r));
        CHECK(world_unchanged(), "%d, %d", outside[i].first, outside[i].num);
    }
    for (int32_t first = 0; first <= L; first++) {
        arguments a = good_arguments();
        CHECK(rebalance_layers(&a, first, 0) == EPLB_OK, "no layers from %d", first);
        CHECK(all_but_scratch_unchanged(a.scratch_bytes), "no layers from %d", first);
    }
}

/* Are these layers of all arrays those of want? */
static int layers_match(const world *want, int32_t first, int32_t num)
{
    size_t a = (size_t)first, n = (size_t)num * sizeof(int32_t), inverse = (size_t)(E * plan.log2phy_width);
    return memcmp(now.phy2log + a * R, want->phy2log + a * R, n * R) == 0
           && memcmp(now.phyrank + a * R, want->phyrank + a * R, n * R) == 0
           && memcmp(now.logcnt + a * E, want->logcnt + a * E, n * E) == 0
           && memcmp(now.log2phy + a * inverse, want->log2phy + a * inverse, n * inverse) == 0
           && memcmp(now.layer_status + a, want->layer_status + a, n) == 0;
}

/* Layers first .. first + num - 1 are as wanted, and nothing else was written but scratch. */
static void expect_layers(const world *want, int32_t first, int32_t num, size_t scratch_bytes, const char *what)
{
    CHECK(layers_match(want, first, num), "%s: layers %d, %d", what, first, num);
    CHECK(layers_match(&before, 0, first), "%s: layers before %d", what, first);
    CHECK(layers_match(&before, first + num, L - first - num), "%s: layers from %d", what, first + num);
    memcpy(now.phy2log, before.phy2log, sizeof now.phy2log);
    memcpy(now.phyrank, before.phyrank, sizeof now.phyrank);
    memcpy(now.logcnt, before.logcnt, sizeof now.logcnt);
    memcpy(now.log2phy, before.log2phy, sizeof now.log2phy);
    memcpy(now.layer_status, before.layer_status, sizeof now.layer_status);
    CHECK(all_but_scratch_unchanged(scratch_bytes), "%s: layers %d, %d", what, first, num);
}

/* A bad load outside the range does not matter; one inside does. */
static void test_unread_layers(void)
{
    static world full;
    const uint32_t nan_bits = 0x7fc00000;
    arguments a = good_arguments();
    CHECK(rebalance(&a) == EPLB_OK, "all layers");
    memcpy(&full, &now, sizeof now);
    for (int32_t first = 0; first < L; first++) {
        for (int32_t num = 1; num <= L - first; num++) {
            a = good_arguments();
            for (int32_t i = 0; i < T * L * E; i++) {
                int32_t layer = i / E % L;
                if (layer < first || layer >= first + num) memcpy(&weight[i], &nan_bits, sizeof nan_bits);
            }
            CHECK(rebalance_layers(&a, first, num) == EPLB_OK, "layers %d, %d", first, num);
            expect_layers(&full, first, num, a.scratch_bytes, "others unread");

            renew_world();
            memcpy(&weight[((T - 1) * L + first + num - 1) * E + E / 2], &nan_bits, sizeof nan_bits);
            CHECK(rebalance_layers(&a, first, num) == EPLB_ERR_NAN, "layers %d, %d", first, num);
            CHECK(world_unchanged(), "layers %d, %d", first, num);
        }
    }
}

/* --------------------------------------------------------------------------------- the plan in force */

static const int32_t good_limits[] = {0, 1, 2, INT32_MAX};

/* A plan whose groups stay on their nodes. */
static const int32_t *in_force(void)
{
    static int32_t plan_in_force[L * R];
    for (int32_t i = 0; i < L * R; i++) plan_in_force[i] = i % R / (R / N) * (E / N) + i % (R / N) % (E / N);
    return plan_in_force;
}

/* With effort, with a plan in force and without, each limit and each price by itself. */
static void test_limits(void)
{
    static const struct {
        const char *name;
        size_t offset;
        int32_t lowest;
    } limits[] = {
        {OPTION(max_moves), -1}, {OPTION(max_gpu_moves), 0}, {OPTION(max_pair_moves), 0}, {OPTION(max_node_moves), 0}};
    for (int effort = 0; effort < 4; effort++) {
        for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
            for (int32_t value = -2; value < 4; value++) {
                arguments a = good_arguments();
                options.effort = effort;
                options.previous_phy2log = effort % 2 ? in_force() : NULL;
                a.scratch_bytes = SCRATCH;
                int32_t limit = value < 0 ? value : good_limits[value];
                set_int32(&options, limits[i].offset, limit);
                if (limit < limits[i].lowest) expect_unplannable(&a, EPLB_ERR_OPTION, limits[i].name, limits[i].name);
                else if (effort == 0 && limit != 0)
                    expect_unplannable(&a, EPLB_ERR_OPTION, "options.effort", limits[i].name);
                else expect_accepted(&a, limits[i].name);
            }
        }
    }
}

static void test_move_cost(void)
{
    static const uint32_t good[] = {0x80000000, 0x00000000, 0x00000001, 0x3a83126f, 0x3f800000, 0x7f7fffff};
    for (int32_t effort = 0; effort <= 1; effort++) {
        for (int i = 0; i < NUM_BAD_LOADS; i++) {
            arguments a = good_arguments();
            options.effort = effort;
            a.scratch_bytes = SCRATCH;
            memcpy(&options.move_cost, &bad_loads[i].bits, sizeof(float));
            expect_unplannable(&a, EPLB_ERR_OPTION, "options.move_cost", "move_cost");
        }
        for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
            arguments a = good_arguments();
            options.effort = effort;
            options.previous_phy2log = in_force();
            a.scratch_bytes = SCRATCH;
            memcpy(&options.move_cost, &good[i], sizeof(float));
            if (effort > 0 || (good[i] & 0x7fffffff) == 0) expect_accepted(&a, "move_cost");
            else expect_unplannable(&a, EPLB_ERR_OPTION, "options.effort", "move_cost");
        }
    }
}

/* Any slot of the plan in force that names no such expert is refused, with its layer and slot; the plan in force is
   for planning alone. */
static void test_bad_previous(void)
{
    static const int32_t bad_ids[] = {-2, E, E + 1, INT32_MIN, INT32_MAX};
    for (int32_t at = 0; at < L * R; at++) {
        for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
            static int32_t previous[L * R];
            arguments a = good_arguments();
            place where = {"options.previous_phy2log", at / R, -1, at % R};
            size_t bytes = 0;
            memcpy(previous, valid_phy2log, sizeof previous);
            previous[at] = bad_ids[i];
            options.previous_phy2log = previous;
            options.effort = (int32_t)(i % 2);
            options.policy = EPLB_POLICY_GLOBAL; /* for groups may be anywhere then */
            options.max_moves = (int32_t)(i % 2);
            CHECK(eplb_scratch_size(&problem, &options, &bytes) == EPLB_OK && bytes <= SCRATCH, "%zu bytes", bytes);
            a.scratch_bytes = bytes;
            CHECK(rebalance(&a) == EPLB_ERR_PLAN, "slot %d", (int)at);
            CHECK(all_but_scratch_unchanged(bytes), "slot %d", (int)at);
            expect_diagnosis(&a, EPLB_ERR_PLAN, where, 0, "plan in force");
            CHECK(evaluate(&a) == EPLB_OK, "slot %d", (int)at);
            renew_world();
            for (int32_t l = 0; l < L; l++) { /* layers by themselves read theirs alone */
                eplb_result want = l == where.layer ? EPLB_ERR_PLAN : EPLB_OK, r = rebalance_layers(&a, l, 1);
                CHECK(r == want, "slot %d, layer %d: %s", (int)at, (int)l, eplb_result_name(r));
                CHECK(r == EPLB_OK || all_but_scratch_unchanged(bytes), "slot %d, layer %d", (int)at, (int)l);
                renew_world();
            }
        }
    }
    for (int32_t at = 0; at < L * R; at++) { /* while an empty slot, and experts that nobody holds, are none */
        static int32_t previous[L * R];
        arguments a = good_arguments();
        options.previous_phy2log = previous;
        for (int32_t slot = 0; slot < L * R; slot++) previous[slot] = slot < at ? -1 : valid_phy2log[slot];
        a.scratch_bytes = SCRATCH;
        expect_accepted(&a, "empty slots");
    }
}

/* ------------------------------------------------------------------------------------------- scratch */

static void test_scratch_size(void)
{
    static const size_t shorter_by[] = {1, 2, 8, 64};
    arguments a = good_arguments();
    size_t exact = a.scratch_bytes;
    for (size_t i = 0; i < sizeof shorter_by / sizeof *shorter_by; i++) {
        a = good_arguments();
        a.scratch_bytes = exact - shorter_by[i];
        expect_refusal(&a, EPLB_ERR_SCRATCH_SIZE, at_field("scratch_bytes"), "too small");
        expect_evaluate_refuses(&a, EPLB_ERR_SCRATCH_SIZE, "too small");
    }
    a = good_arguments();
    a.scratch_bytes = 0;
    expect_refusal(&a, EPLB_ERR_SCRATCH_SIZE, at_field("scratch_bytes"), "no bytes");
    expect_evaluate_refuses(&a, EPLB_ERR_SCRATCH_SIZE, "no bytes");
}

/* --------------------------------------------------------------------------------------------- width */

/* Layers whose largest expert takes the share of the load that leads to the wanted replicas or so:
   all others have load 1. */
static void make_peaked(const float *peak)
{
    for (int32_t i = 0; i < T * L * E; i++) weight[i] = i % E == 3 ? peak[i / E % L] : 1.0f;
}

static int32_t most_replicas(const world *of, int32_t layer)
{
    int32_t most = 0;
    for (int32_t e = 0; e < E; e++) most = of->logcnt[layer * E + e] > most ? of->logcnt[layer * E + e] : most;
    return most;
}

static void test_width(void)
{
    static world full, narrow;
    static const float peaks[][L] = {{1, 1, 1},   {1, 1, 100}, {1, 100, 1}, {100, 1, 1},
                                     {1, 3, 100}, {1, 100, 3}, {3, 3, 3},   {100, 100, 100}};
    int stopped[L + 1] = {0};
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++) {
        for (int32_t width = -1; width <= WIDTH; width++) {
            arguments a = good_arguments();
            make_peaked(peaks[i]);
            CHECK(rebalance(&a) == EPLB_OK, "peaks %d", (int)i);
            memcpy(&full, &now, sizeof now);
            int32_t fit = 0; /* layers that this width suffices for */
            while (fit < L && most_replicas(&full, fit) <= width) fit++;
            stopped[fit]++;

            plan.log2phy_width = width;
            renew_world();
            if (fit > 0) CHECK(rebalance_layers(&a, 0, fit) == EPLB_OK, "peaks %d, width %d", (int)i, width);
            memcpy(&narrow, &now, sizeof now);

            renew_world();
            eplb_result r = rebalance(&a), want = fit < L ? EPLB_ERR_WIDTH : EPLB_OK;
            CHECK(r == want, "peaks %d, width %d: %s", (int)i, width, eplb_result_name(r));
            if (width > 0) expect_layers(&narrow, 0, fit, a.scratch_bytes, "width");
            else CHECK(all_but_scratch_unchanged(a.scratch_bytes), "peaks %d, width %d", (int)i, width);

            renew_world();
            place where = {fit < L ? "plan.log2phy_width" : "", fit < L ? fit : -1, -1, -1};
            int32_t needed = fit < L ? most_replicas(&full, fit) : 0;
            expect_diagnosis(&a, want, where, needed, "width");
            if (fit < L) { /* with what the layer needs, it and those before succeed */
                plan.log2phy_width = needed;
                renew_world();
                CHECK(rebalance_layers(&a, 0, fit + 1) == EPLB_OK, "peaks %d, width %d", (int)i, needed);
            }
        }
    }
    for (int fit = 0; fit <= L; fit++) CHECK(stopped[fit] > 0, "no case stopped at layer %d", fit);
}

/* ---------------------------------------------------------------------------- plans to be evaluated */

static void expect_bad_plan(const arguments *a, const char *what)
{
    eplb_result r = evaluate(a);
    CHECK(r == EPLB_ERR_PLAN, "%s: %s", what, eplb_result_name(r));
    CHECK(all_but_scratch_unchanged(a->scratch_bytes), "%s", what);
}

static void test_bad_plans(void)
{
    static const int32_t bad_ids[] = {-2, E, E + 1, INT32_MIN, INT32_MAX};
    uint64_t rng = 4;
    for (int32_t layer = 0; layer < L; layer++) {
        for (int which = 0; which < 3; which++) {
            for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
                arguments a = good_arguments();
                valid_phy2log[layer * R + nth_place(&rng, which, R)] = bad_ids[i];
                expect_bad_plan(&a, "no such expert");
            }
        }
        for (int32_t e = 0; e < E; e++) {
            arguments a = good_arguments();
            for (int32_t s = layer * R; s < (layer + 1) * R; s++)
                valid_phy2log[s] = valid_phy2log[s] == e ? (e + 1) % E : valid_phy2log[s];
            expect_bad_plan(&a, "expert left out");
        }
    }
}

/* ------------------------------------------------------------------------- packing and replication */

/* The outputs share the world with those of the whole pipeline. */
enum {
    ROWS = L,
    ITEMS = E,
    PACKS = 4,
    LOG = E,
    PHY = R,
    /* No array of 2^62 numbers fits a size_t of 32 bits; one of 64 bits leaves the scratch too small. */
    TOO_HUGE = SIZE_IS_64_BITS ? EPLB_ERR_SCRATCH_SIZE : EPLB_ERR_OVERFLOW
};

/* Of both steps: items into packs, experts onto slots. */
typedef struct step_arguments {
    const float *weight;
    int32_t rows;
    int32_t items, into;
    eplb_packing how;                 /* of packing alone */
    int32_t replication, fixup_steps; /* of replication alone */
    int32_t *to, *rank;
    int32_t *count; /* of replication alone */
    void *scratch;
    size_t scratch_bytes;
} step_arguments;

static eplb_result pack(const step_arguments *a)
{
    return eplb_balanced_packing(a->weight, a->rows, a->items, a->into, &a->how, 1, a->to, a->rank, a->scratch,
                                 a->scratch_bytes);
}

static eplb_result pack_size(const step_arguments *a, size_t *bytes)
{
    return eplb_packing_scratch_size(a->items, a->into, &a->how, bytes);
}

static eplb_result replicate(const step_arguments *a)
{
    return eplb_replicate_experts(a->weight, a->rows, a->items, a->into, a->replication, a->fixup_steps, a->to, a->rank,
                                  a->count, a->scratch, a->scratch_bytes);
}

static eplb_result replicate_size(const step_arguments *a, size_t *bytes)
{
    return eplb_replicate_scratch_size(a->items, a->into, bytes);
}

#define STEP(field) #field, offsetof(step_arguments, field)

static const bad_field bad_steps[] = {
    /* of both */
    {STEP(weight), 0, EPLB_ERR_NULL}, {STEP(to), 0, EPLB_ERR_NULL},     {STEP(scratch), 0, EPLB_ERR_NULL},
    {STEP(rows), 0, EPLB_ERR_COUNT},  {STEP(rows), -1, EPLB_ERR_COUNT}, {STEP(rows), INT32_MIN, EPLB_ERR_COUNT},
};

static const bad_field bad_replications[] = {
    {STEP(replication), -1, EPLB_ERR_OPTION},        {STEP(replication), 2, EPLB_ERR_OPTION},
    {STEP(replication), INT32_MIN, EPLB_ERR_OPTION}, {STEP(replication), INT32_MAX, EPLB_ERR_OPTION},
    {STEP(fixup_steps), -1, EPLB_ERR_OPTION},        {STEP(fixup_steps), INT32_MIN, EPLB_ERR_OPTION},
};

typedef struct bad_counts {
    int32_t items, into;
    eplb_result want;
} bad_counts;

static const bad_counts bad_packs[] = {
    {0, PACKS, EPLB_ERR_COUNT},  {-1, PACKS, EPLB_ERR_COUNT},  {INT32_MIN, PACKS, EPLB_ERR_COUNT},
    {ITEMS, 0, EPLB_ERR_COUNT},  {ITEMS, -1, EPLB_ERR_COUNT},  {ITEMS, INT32_MIN, EPLB_ERR_COUNT},
    {ITEMS, 5, EPLB_ERR_DIVIDE}, {ITEMS, 24, EPLB_ERR_DIVIDE}, {ITEMS, INT32_MAX, EPLB_ERR_DIVIDE},
};

static const bad_counts bad_slots[] = {
    {0, PHY, EPLB_ERR_COUNT},         {-1, PHY, EPLB_ERR_COUNT},          {INT32_MIN, PHY, EPLB_ERR_COUNT},
    {LOG, 0, EPLB_ERR_COUNT},         {LOG, -1, EPLB_ERR_COUNT},          {LOG, INT32_MIN, EPLB_ERR_COUNT},
    {LOG, LOG - 1, EPLB_ERR_TOO_FEW}, {INT32_MAX, PHY, EPLB_ERR_TOO_FEW}, {2, 1, EPLB_ERR_TOO_FEW},
};

/* Packing and replication by themselves, and what each refuses, one thing at a time. */
typedef struct lone_step {
    const char *name;
    int32_t items, into;
    eplb_result (*run)(const step_arguments *a);
    eplb_result (*size)(const step_arguments *a, size_t *bytes);
    const bad_field *fields; /* beside bad_steps */
    size_t num_fields;
    const bad_counts *counts;
    size_t num_counts;
} lone_step;

#define TABLE(rows) rows, sizeof rows / sizeof *rows

static const lone_step packing = {"eplb_balanced_packing", ITEMS, PACKS, pack, pack_size, NULL, 0, TABLE(bad_packs)};
static const lone_step replication = {
    "eplb_replicate_experts", LOG, PHY, replicate, replicate_size, TABLE(bad_replications), TABLE(bad_slots)};

static step_arguments good_step(const lone_step *s)
{
    step_arguments a;
    good_arguments();
    memset(&a, 0, sizeof a);
    a.weight = weight;
    a.rows = ROWS;
    a.items = s->items;
    a.into = s->into;
    a.how = options.gpu_packing;
    a.replication = EPLB_REPLICATE_HYBRID;
    a.fixup_steps = 2;
    a.to = now.phy2log;
    a.rank = now.phyrank;
    a.count = now.logcnt;
    a.scratch = now.scratch;
    CHECK(s->size(&a, &a.scratch_bytes) == EPLB_OK, "%s: good arguments", s->name);
    CHECK(a.scratch_bytes <= SCRATCH, "%s: %lu bytes", s->name, (unsigned long)a.scratch_bytes);
    return a;
}

static void expect_no_step(const lone_step *s, const step_arguments *a, eplb_result want, const char *what)
{
    eplb_result r = s->run(a);
    CHECK(r == want, "%s, %s: %s, not %s", s->name, what, eplb_result_name(r), eplb_result_name(want));
    CHECK(world_unchanged(), "%s, %s", s->name, what);
}

/* What is wrong with the counts or the options, which the function for the size of scratch sees too. */
static void expect_no_size(const lone_step *s, const step_arguments *a, eplb_result want, const char *what)
{
    expect_no_step(s, a, want, what);
    eplb_result r = s->size(a, &now.bytes);
    CHECK(r == want, "%s, %s: size: %s, not %s", s->name, what, eplb_result_name(r), eplb_result_name(want));
    CHECK(world_unchanged(), "%s, %s: size", s->name, what);
}

/* A number that is bad, or a pointer that is NULL. */
static void check_step_fields(const lone_step *s, const bad_field *fields, size_t num_fields)
{
    static const void *const null = NULL;
    for (size_t i = 0; i < num_fields; i++) {
        const bad_field *bad = &fields[i];
        step_arguments a = good_step(s);
        if (bad->want == EPLB_ERR_NULL) memcpy((unsigned char *)&a + bad->offset, &null, sizeof null);
        else set_int32(&a, bad->offset, bad->value);
        expect_no_step(s, &a, bad->want, bad->name);
    }
}

static void check_step_arguments(const lone_step *s)
{
    step_arguments a = good_step(s);
    CHECK(s->run(&a) == EPLB_OK, "%s: good arguments", s->name);
    CHECK(s->size(&a, NULL) == EPLB_ERR_NULL, "%s: bytes", s->name);
    check_step_fields(s, TABLE(bad_steps));
    check_step_fields(s, s->fields, s->num_fields);
    for (size_t i = 0; i < s->num_counts; i++) {
        a = good_step(s);
        a.items = s->counts[i].items;
        a.into = s->counts[i].into;
        expect_no_size(s, &a, s->counts[i].want, "counts");
    }
    a = good_step(s);
    a.rows = a.items = a.into = INT32_MAX;
    expect_no_step(s, &a, TOO_HUGE, "huge");
}

static void test_step_arguments(void)
{
    check_step_arguments(&packing);
    check_step_arguments(&replication);
}

static void test_packing_options(void)
{
    step_arguments a;
    for (size_t i = 0; i < NUM_BAD_OPTIONS; i++) {
        size_t start = offsetof(eplb_options, gpu_packing);
        if (bad_options[i].offset < start || bad_options[i].offset >= start + sizeof(eplb_packing)) continue;
        a = good_step(&packing);
        set_int32(&a.how, bad_options[i].offset - start, bad_options[i].value);
        expect_no_size(&packing, &a, EPLB_ERR_OPTION, bad_options[i].name);
    }
    for (size_t i = 0; i < NUM_NOISE_SCALES; i++) {
        a = good_step(&packing);
        memcpy(&a.how.noise_scale, &noise_scales[i].bits, sizeof(float));
        if (noise_scales[i].good) CHECK(pack(&a) == EPLB_OK, "scale %08lx", (unsigned long)noise_scales[i].bits);
        else expect_no_size(&packing, &a, EPLB_ERR_OPTION, "noise_scale");
    }
}

/* The ranks and the counts may be NULL. */
static void check_null_allowed(const lone_step *s, step_arguments a)
{
    static world want;
    CHECK(s->run(&a) == EPLB_OK, "%s: all arrays", s->name);
    memcpy(&want, &now, sizeof now);
    renew_world();
    a.rank = a.count = NULL;
    CHECK(s->run(&a) == EPLB_OK, "%s: one array", s->name);
    CHECK(memcmp(now.phy2log, want.phy2log, sizeof now.phy2log) == 0, "%s: one array", s->name);
    memcpy(now.phy2log, before.phy2log, sizeof now.phy2log);
    CHECK(all_but_scratch_unchanged(a.scratch_bytes), "%s: one array", s->name);
}

static void test_step_null_allowed(void)
{
    check_null_allowed(&packing, good_step(&packing));
    check_null_allowed(&replication, good_step(&replication));
}

/* NULL options of a packing are the default's. */
static void test_packing_null_options(void)
{
    static world want;
    size_t bytes = 0;
    step_arguments a = good_step(&packing);
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &options) == EPLB_OK, "default");
    a.how = options.gpu_packing;
    check_null_allowed(&packing, a);
    renew_world();
    CHECK(pack(&a) == EPLB_OK, "default");
    memcpy(&want, &now, sizeof now);
    renew_world();
    CHECK(eplb_packing_scratch_size(ITEMS, PACKS, NULL, &bytes) == EPLB_OK, "no options");
    CHECK(bytes <= SCRATCH, "%lu bytes", (unsigned long)bytes);
    CHECK(eplb_balanced_packing(weight, ROWS, ITEMS, PACKS, NULL, 1, now.phy2log, now.phyrank, now.scratch, bytes)
              == EPLB_OK,
          "no options");
    CHECK(memcmp(now.phy2log, want.phy2log, sizeof now.phy2log) == 0, "no options");
    CHECK(memcmp(now.phyrank, want.phyrank, sizeof now.phyrank) == 0, "no options");
}

/* ------------------------------------------------------------------------- loads and scratch of all */

/* Each function that takes loads and scratch, with good arguments otherwise. */
typedef struct step {
    const char *name;
    eplb_result (*size)(size_t *bytes);
    eplb_result (*run)(void *scratch, size_t scratch_bytes);
} step;

static eplb_result size_rebalance(size_t *bytes) { return eplb_scratch_size(&problem, &options, bytes); }

static eplb_result run_rebalance(void *scratch, size_t scratch_bytes)
{
    return eplb_rebalance(&problem, &options, weight, &plan, scratch, scratch_bytes);
}

static eplb_result run_evaluate(void *scratch, size_t scratch_bytes)
{
    arguments a = {&problem, &options, weight, &plan, scratch, scratch_bytes};
    return evaluate(&a);
}

static eplb_result size_packing(size_t *bytes)
{
    return eplb_packing_scratch_size(ITEMS, PACKS, &options.gpu_packing, bytes);
}

static eplb_result run_packing(void *scratch, size_t scratch_bytes)
{
    return eplb_balanced_packing(weight, ROWS, ITEMS, PACKS, &options.gpu_packing, 1, now.phy2log, now.phyrank, scratch,
                                 scratch_bytes);
}

static eplb_result size_replicate(size_t *bytes) { return eplb_replicate_scratch_size(LOG, PHY, bytes); }

static eplb_result run_replicate(void *scratch, size_t scratch_bytes)
{
    return eplb_replicate_experts(weight, ROWS, LOG, PHY, options.replication, options.fixup_steps, now.phy2log,
                                  now.phyrank, now.logcnt, scratch, scratch_bytes);
}

static const step steps[] = {
    {"eplb_rebalance", size_rebalance, run_rebalance},
    {"eplb_evaluate", size_rebalance, run_evaluate},
    {"eplb_balanced_packing", size_packing, run_packing},
    {"eplb_replicate_experts", size_replicate, run_replicate},
};

enum { NUM_STEPS = sizeof steps / sizeof *steps };

static void test_step_loads(void)
{
    uint64_t rng = 5;
    for (int i = 0; i < NUM_STEPS * ROWS * 3; i++) {
        const step *s = &steps[i % NUM_STEPS];
        int32_t at = i / NUM_STEPS % ROWS * E + nth_place(&rng, i / NUM_STEPS / ROWS, E);
        for (int b = 0; b < NUM_BAD_LOADS; b++) {
            good_arguments();
            memcpy(&weight[at], &bad_loads[b].bits, sizeof(float));
            eplb_result r = s->run(now.scratch, SCRATCH);
            CHECK(r == bad_loads[b].want, "%s: %s", s->name, eplb_result_name(r));
            CHECK(world_unchanged(), "%s", s->name);
        }
        for (int g = 0; g < NUM_ODD_GOOD_LOADS; g++) {
            good_arguments();
            memcpy(&weight[at], &odd_good_loads[g], sizeof(float));
            CHECK(s->run(now.scratch, SCRATCH) == EPLB_OK, "%s", s->name);
        }
    }
}

/* Scratch of exactly the size, at any address: the same results, and no byte written beside it; a
   byte less is too small at any address. */
static void check_scratch(const step *s)
{
    static world want;
    size_t exact = 0;
    renew_world();
    CHECK(s->size(&exact) == EPLB_OK && exact > 0 && exact <= SCRATCH, "%s: %lu bytes", s->name, (unsigned long)exact);
    CHECK(s->run(now.scratch, exact) == EPLB_OK, "%s", s->name);
    memcpy(now.scratch, before.scratch, exact);
    memcpy(&want, &now, sizeof now);
    CHECK(!world_unchanged(), "%s wrote nothing", s->name);
    for (size_t offset = 0; offset < 64; offset++) {
        renew_world();
        CHECK(s->run(now.scratch + offset, exact) == EPLB_OK, "%s, offset %d", s->name, (int)offset);
        memcpy(now.scratch + offset, before.scratch + offset, exact);
        CHECK(memcmp(&now, &want, sizeof now) == 0, "%s, offset %d", s->name, (int)offset);
        renew_world();
        CHECK(s->run(now.scratch + offset, exact - 1) == EPLB_ERR_SCRATCH_SIZE, "%s, offset %d", s->name, (int)offset);
        CHECK(world_unchanged(), "%s, offset %d", s->name, (int)offset);
    }
    CHECK(s->run(now.scratch, 0) == EPLB_ERR_SCRATCH_SIZE, "%s: no bytes", s->name);
    CHECK(s->run(NULL, exact) == EPLB_ERR_NULL, "%s: no scratch", s->name);
    CHECK(world_unchanged(), "%s", s->name);
}

static void test_step_scratch(void)
{
    for (int i = 0; i < NUM_STEPS * EPLB_NUM_PRESETS; i++) {
        good_arguments();
        CHECK(eplb_options_preset(i / NUM_STEPS, &options) == EPLB_OK, "%d", i);
        check_scratch(&steps[i % NUM_STEPS]);
        options.policy = EPLB_POLICY_GLOBAL; /* blocks of 16 slots, without a gap behind them */
        check_scratch(&steps[i % NUM_STEPS]);
    }
}

/* --------------------------------------------------------------------------------- names and presets */

static void test_result_names(void)
{
#define NAMED(code) \
    {               \
        code, #code \
    }
    static const struct {
        eplb_result code;
        const char *name;
    } named[] = {
        NAMED(EPLB_OK),
        NAMED(EPLB_ERR_NULL),
        NAMED(EPLB_ERR_OPTION),
        NAMED(EPLB_ERR_COUNT),
        NAMED(EPLB_ERR_LAYER_RANGE),
        NAMED(EPLB_ERR_DIVIDE),
        NAMED(EPLB_ERR_TOO_FEW),
        NAMED(EPLB_ERR_MAX_REPLICAS),
        NAMED(EPLB_ERR_OVERFLOW),
        NAMED(EPLB_ERR_SCRATCH_SIZE),
        NAMED(EPLB_ERR_WIDTH),
        NAMED(EPLB_ERR_CAPACITY),
        NAMED(EPLB_ERR_NAN),
        NAMED(EPLB_ERR_INFINITE),
        NAMED(EPLB_ERR_NEGATIVE),
        NAMED(EPLB_ERR_PLAN),
        NAMED(EPLB_ERR_SHARES),
        NAMED(EPLB_ERR_CUDA),
        NAMED(EPLB_ERR_DEVICE_SHAPE),
    };
#undef NAMED
    const char *unknown = "unknown eplb_result";
    for (eplb_result r = -1000; r <= 1000; r++) {
        const char *want = unknown;
        for (size_t i = 0; i < sizeof named / sizeof *named; i++) want = named[i].code == r ? named[i].name : want;
        CHECK(strcmp(eplb_result_name(r), want) == 0, "%d: %s, not %s", r, eplb_result_name(r), want);
    }
    CHECK(strcmp(eplb_result_name(INT32_MIN), unknown) == 0, "INT32_MIN");
    CHECK(strcmp(eplb_result_name(INT32_MAX), unknown) == 0, "INT32_MAX");
}

typedef struct preset_row {
    int32_t preset;
    const char *name;
    int32_t replication, fixup_steps, group_swaps;
    eplb_packing gpus; /* and that of the groups, but for group_swaps, and L2 where there is effort */
    int32_t effort;
} preset_row;

static const preset_row preset_table[] = {
#define PLAIN  0, 1, 0, 0.0f, 0 /* all packs, one candidate */
#define DHONDT EPLB_REPLICATE_DHONDT, 0
    {EPLB_PRESET_DEFAULT, "default", DHONDT, 50, {EPLB_INIT_LPT, EPLB_REFINE_NONE, 0, PLAIN}, 33},
    {EPLB_PRESET_DEEPSEEK, "deepseek", DHONDT, 0, {EPLB_INIT_LPT, EPLB_REFINE_NONE, 0, PLAIN}, 0},
    {EPLB_PRESET_ZIGZAG, "zigzag", DHONDT, 20, {EPLB_INIT_ZIGZAG, EPLB_REFINE_MAX_MIN, 20, PLAIN}, 0},
    {EPLB_PRESET_SWAP_MAX_MIN, "swap_max_min", DHONDT, 20, {EPLB_INIT_LPT, EPLB_REFINE_MAX_MIN, 20, PLAIN}, 0},
    {EPLB_PRESET_HILL_CLIMB, "hill_climb", DHONDT, 100, {EPLB_INIT_LPT, EPLB_REFINE_PAIR_SCAN, 100, PLAIN}, 0},
    {EPLB_PRESET_SWAP_MAX_ANY, "swap_max_any", DHONDT, 50, {EPLB_INIT_LPT, EPLB_REFINE_MAX_TO_ANY, 50, PLAIN}, 0},
    {EPLB_PRESET_MULTI_START,
     "multi_start",
     DHONDT,
     30,
     {EPLB_INIT_LPT, EPLB_REFINE_PAIR_SCAN, 30, 3, 2, EPLB_NOISE_CENTRED, 0.15f, EPLB_SELECT_SPREAD},
     0},
    {EPLB_PRESET_RESTARTS,
     "restarts",
     DHONDT,
     100,
     {EPLB_INIT_LPT, EPLB_REFINE_PAIR_SCAN, 100, 1, 5, EPLB_NOISE_CENTRED, 0.1f, EPLB_SELECT_VARIANCE},
     0},
    {EPLB_PRESET_ENSEMBLE,
     "ensemble",
     DHONDT,
     20,
     {EPLB_INIT_LPT, EPLB_REFINE_MAX_MIN, 20, 0, 64, EPLB_NOISE_RAMP, 0.2f, EPLB_SELECT_MAX_LOAD},
     0},
    {EPLB_PRESET_HYBRID, "hybrid", EPLB_REPLICATE_HYBRID, 1, 1, {EPLB_INIT_LPT, EPLB_REFINE_MAX_MIN, 2, PLAIN}, 0},
    {EPLB_PRESET_L2, "l2", DHONDT, 50, {EPLB_INIT_LPT, EPLB_REFINE_L2, 50, PLAIN}, 0},
    {EPLB_PRESET_BEST, "best", DHONDT, 50, {EPLB_INIT_LPT, EPLB_REFINE_NONE, 0, PLAIN}, 257},
    {EPLB_PRESET_VLLM, "vllm", DHONDT, 0, {EPLB_INIT_LPT, EPLB_REFINE_NONE, 0, PLAIN}, 0},
#undef PLAIN
#undef DHONDT
};

static int same_packing(const eplb_packing *a, const eplb_packing *b, int32_t max_swaps)
{
    int32_t a_candidates = a->num_candidates > 0 ? a->num_candidates : 1;
    int32_t b_candidates = b->num_candidates > 0 ? b->num_candidates : 1;
    return a->init == b->init && a->refine == b->refine && a->max_swaps == max_swaps && a->heavy_packs == b->heavy_packs
           && a_candidates == b_candidates && a->noise == b->noise && a->noise_scale >= b->noise_scale
           && a->noise_scale <= b->noise_scale && a->select == b->select;
}

static void test_presets(void)
{
    static const int32_t no_presets[] = {-1, EPLB_NUM_PRESETS, INT32_MIN, INT32_MAX};
    CHECK(sizeof preset_table / sizeof *preset_table == EPLB_NUM_PRESETS, "a preset is not in the table");
    for (int i = 0; i < EPLB_NUM_PRESETS; i++) {
        const preset_row *row = &preset_table[i];
        CHECK(row->preset == i, "row %d", i);
        CHECK(strcmp(eplb_preset_name(row->preset), row->name) == 0, "%s", row->name);
        renew_world();
        CHECK(eplb_options_preset(row->preset, &now.preset) == EPLB_OK, "%s", row->name);
        const eplb_options *got = &now.preset;
        CHECK(got->policy == EPLB_POLICY_AUTO && got->max_replicas == 0 && got->seed == 0, "%s", row->name);
        CHECK(got->replication == row->replication && got->fixup_steps == row->fixup_steps, "%s", row->name);
        CHECK(same_packing(&got->gpu_packing, &row->gpus, row->gpus.max_swaps), "%s", row->name);
        eplb_packing groups = row->gpus;
        groups.refine = row->effort > 0 ? EPLB_REFINE_L2 : groups.refine;
        CHECK(same_packing(&got->group_packing, &groups, row->group_swaps), "%s", row->name);
        CHECK(got->effort == row->effort && got->allow_duplicates == 0 && !got->sample_weight, "%s", row->name);
        CHECK(!got->previous_phy2log && got->max_moves == 0 && got->max_gpu_moves == 0 && got->max_pair_moves == 0
                  && got->max_node_moves == 0 && got->move_cost <= 0.0f,
              "%s", row->name);
        CHECK(got->engine == (i == EPLB_PRESET_VLLM ? EPLB_ENGINE_VLLM : EPLB_ENGINE_NONE), "%s", row->name);
        memcpy(&now.preset, &before.preset, sizeof now.preset);
        CHECK(world_unchanged(), "%s", row->name);
    }
    for (size_t i = 0; i < sizeof no_presets / sizeof *no_presets; i++) {
        renew_world();
        CHECK(eplb_preset_name(no_presets[i]) == NULL, "%d", no_presets[i]);
        CHECK(eplb_options_preset(no_presets[i], &now.preset) == EPLB_ERR_OPTION, "%d", no_presets[i]);
        CHECK(world_unchanged(), "%d", no_presets[i]);
    }
}

/* NULL options are those of the default preset, zeroed ones those of the reference. */
static void test_default_options(void)
{
    static const eplb_options zeroed = EPLB_ZERO_INIT;
    static const struct {
        const eplb_options *options;
        int32_t preset;
    } same[] = {{NULL, EPLB_PRESET_DEFAULT}, {&zeroed, EPLB_PRESET_DEEPSEEK}};
    static world plans[2], want;
    for (int i = 0; i < 2; i++) {
        arguments a = good_arguments();
        CHECK(eplb_options_preset(same[i].preset, &options) == EPLB_OK, "%d", i);
        problem.num_nodes = 1;
        problem.num_gpus = 4; /* of 4 slots, so that there is something to refine */
        a.scratch_bytes = SCRATCH;
        CHECK(rebalance(&a) == EPLB_OK && evaluate(&a) == EPLB_OK, "%d", i);
        memcpy(&want, &now, sizeof now);
        renew_world();
        a.options = same[i].options;
        CHECK(eplb_scratch_size(&problem, a.options, &a.scratch_bytes) == EPLB_OK, "%d", i);
        CHECK(rebalance(&a) == EPLB_OK && evaluate(&a) == EPLB_OK, "%d", i);
        memcpy(&plans[i], &now, sizeof now);
        memset(now.scratch, 0, sizeof now.scratch); /* what a call leaves there means nothing */
        memset(want.scratch, 0, sizeof want.scratch);
        CHECK(memcmp(&now, &want, sizeof now) == 0, "%s", eplb_preset_name(same[i].preset));
    }
    CHECK(memcmp(plans[0].phy2log, plans[1].phy2log, sizeof plans[0].phy2log) != 0,
          "the loads do not tell the two presets apart");
}

/* -------------------------------------------------------------------------------- several at once */

/* Whatever is wrong, and however much, eplb_diagnose and eplb_rebalance agree on it, and what is
   refused was not begun. */
static void test_agreement(void)
{
    uint64_t rng = 7;
    long good = 0, bad = 0;
    for (int round = 0; round < 8000; round++) {
        arguments a = good_arguments();
        for (int spoiled = test_range(&rng, 0, 2); spoiled > 0; spoiled--) {
            const bad_field *option = &bad_options[test_range(&rng, 0, NUM_BAD_OPTIONS - 1)];
            size_t field = (size_t)test_range(&rng, 0, 6) * sizeof(int32_t);
            int32_t at = test_range(&rng, 0, T * L * E - 1);
            switch (test_range(&rng, 0, 7)) {
            case 0: set_int32(&options, option->offset, option->value); break;
            case 1: a.scratch_bytes -= (size_t)test_range(&rng, 0, 1); break;
            case 2: a.weight = NULL; break;
            case 3: a.scratch = NULL; break;
            case 4: memcpy(&weight[at], &bad_loads[at % NUM_BAD_LOADS].bits, sizeof(float)); break;
            case 5: plan.phy2log = NULL; break;
            case 6: plan.log2phy_width = test_range(&rng, -1, WIDTH); break;
            default: /* no count grows, so that the arrays still suffice */
                set_int32(&problem, field, test_range(&rng, -1, field < 2 * sizeof(int32_t) ? 3 : 2));
                break;
            }
        }
        eplb_diagnosis d;
        eplb_result said = diagnose(&a, &d);
        CHECK(said == d.result && (said == EPLB_OK) == (d.field[0] == '\0'), "round %d: %s, \"%s\"", round,
              eplb_result_name(said), d.field);
        renew_world();
        eplb_result r = rebalance(&a);
        CHECK(r == said, "round %d: %s, not %s", round, eplb_result_name(r), eplb_result_name(said));
        CHECK(r == EPLB_OK || r == EPLB_ERR_WIDTH || world_unchanged(), "round %d: %s", round, eplb_result_name(r));
        *(r == EPLB_OK ? &good : &bad) += 1;
    }
    CHECK(good > 500 && bad > 500, "%ld good, %ld bad", good, bad);
}

int main(void)
{
    test_null();
    test_null_allowed();
    test_fields();
    test_shapes();
    test_overflow();
    test_bad_loads();
    test_minus_zero();
    test_many_bad_loads();
    test_layer_range();
    test_unread_layers();
    test_limits();
    test_move_cost();
    test_bad_previous();
    test_scratch_size();
    test_width();
    test_bad_plans();
    test_step_arguments();
    test_packing_options();
    test_step_null_allowed();
    test_packing_null_options();
    test_step_loads();
    test_step_scratch();
    test_result_names();
    test_presets();
    test_default_options();
    test_agreement();
    return test_report("test_errors");
}
