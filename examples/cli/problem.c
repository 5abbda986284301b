/* problem.c - the problem and the options that the settings ask for, what is odd about them, and what is
   wrong with them, in the words of the command line and with what would do instead. */
#include "cli.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

eplb_problem make_problem(const settings *s, const feed *from)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    problem.num_layers = from->num_layers;
    problem.num_experts = from->num_experts;
    problem.num_replicas = s->replicas;
    problem.num_groups = s->groups;
    problem.num_nodes = s->nodes;
    problem.num_gpus = s->gpus;
    problem.num_samples = from->num_samples;
    take_cluster(s, &problem);
    return problem;
}

eplb_options make_options(const settings *s, int32_t preset)
{
    eplb_options options = EPLB_ZERO_INIT;
    (void)eplb_options_preset(preset, &options); /* arguments name only presets that there are */
    options.policy = s->policy;
    options.max_replicas = s->max_replicas;
    options.seed = s->seed;
    options.shares = s->plan_for;
    options.effort = s->effort < 0 ? options.effort : s->effort;
    return options;
}

/* clang-format off */
const struct limit_field LIMITS[NUM_LIMITS] = {
    {"--max-moves",      "max moves",      "max_moves",      offsetof(eplb_options, max_moves),      -1},
    {"--max-gpu-moves",  "max GPU moves",  "max_gpu_moves",  offsetof(eplb_options, max_gpu_moves),  0},
    {"--max-pair-moves", "max pair moves", "max_pair_moves", offsetof(eplb_options, max_pair_moves), 0},
    {"--max-node-moves", "max node moves", "max_node_moves", offsetof(eplb_options, max_node_moves), 0}};
/* clang-format on */

const char *limit_named(const settings *s)
{
    for (int i = 0; i < NUM_LIMITS; i++)
        if (s->limits.most[i]) return LIMITS[i].option;
    return s->limits.cost > 0 ? "--move-cost" : NULL;
}

void take_limits(const settings *s, int32_t preset, eplb_options *options)
{
    const char *name = limit_named(s);
    if (name && s->effort == 0) fail(STATUS_INPUT, "%s needs effort, and --effort is 0; 1 would do", name);
    if (name && options->effort == 0)
        fail(STATUS_INPUT, "%s needs effort, and preset '%s' makes none; with --effort 1 %s would", name,
             eplb_preset_name(preset), options->engine == EPLB_ENGINE_NONE ? "it" : "'deepseek'");
    for (int i = 0; i < NUM_LIMITS; i++)
        memcpy((char *)options + LIMITS[i].offset, &s->limits.most[i], sizeof s->limits.most[i]);
    options->move_cost = s->limits.cost;
}

/* The policy that EPLB_POLICY_AUTO comes to. */
static int32_t policy_of(const eplb_problem *problem, int32_t policy)
{
    if (policy != EPLB_POLICY_AUTO) return policy;
    return problem->num_groups % problem->num_nodes == 0 ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
}

const char *policy_used(const eplb_problem *problem, int32_t policy) { return policy_name(policy_of(problem, policy)); }

/* ------------------------------------------------------------------------------------- doubts */

/* More layers than any model has: what was meant for layers may be something else. */
enum { MANY_LAYERS = 256 };

void doubt_shape(const settings *s, const feed *from)
{
    long long L = from->num_layers, E = from->num_experts, R = s->replicas, G = s->gpus;
    if (s->reading.axes || s->reading.map) return;
    if (E == R && G > 1)
        note("%lld experts on as many replicas, so that none is spare: if these are counts of slots, say so "
             "with --axes (such as LP or TLP) and --map PLAN",
             E);
    if (R >= E * G && G > 1 && E > 1)
        note("%lld experts have room on each of the %lld GPUs: if this is [layers, GPUs, slots of a GPU], say so "
             "with --axes LGS and --map PLAN",
             E, G);
    if (L > MANY_LAYERS)
        note("%lld layers of loads: if these are samples, or [layers, samples, experts], say so with --axes (TE, "
             "LTE)",
             L);
}

/* ------------------------------------------------------------------------------------- errors */

typedef struct hint {
    char text[64];
} hint;

/* Of the numbers `times` d, where d divides n, those next to `near`: "4 or 8". */
static hint divisors_near(int64_t n, int64_t times, int64_t near)
{
    int64_t below = 0, above = 0;
    hint h = {""};
    for (int64_t i = 1; i <= n / i; i++) {
        for (int k = 0; k < 2 && n % i == 0; k++) {
            int64_t number = (k ? n / i : i) * times;
            if (number < near && number > below) below = number;
            if (number > near && (!above || number < above)) above = number;
        }
    }
    if (below && above) snprintf(h.text, sizeof h.text, "%lld or %lld", (long long)below, (long long)above);
    else snprintf(h.text, sizeof h.text, "%lld", (long long)(below + above));
    return h;
}

void check_scored(const settings *s, const feed *from, const plan_map *map)
{
    int P = (int)map->num_replicas, E = (int)from->num_experts;
    if (P < E) fail(STATUS_INPUT, "%s: %d slots in a layer, fewer than the %d experts of the loads", map->name, P, E);
    check_slots(s, map, E);
}

void check_slots(const settings *s, const plan_map *map, int32_t num_experts)
{
    int P = (int)map->num_replicas, E = (int)num_experts, G = (int)s->gpus;
    if (P < E) fail(STATUS_INPUT, "%s: %d slots in a layer, fewer than the %d experts", map->name, P, E);
    if (P % G != 0)
        fail(STATUS_INPUT, "%s: %d slots in a layer are not a multiple of --gpus %d; %s GPUs would divide them",
             map->name, P, G, divisors_near(P, 1, G).text);
}

/* The smallest multiple of `of` that is no less than n, or if that is beyond all counts the largest. */
static int32_t multiple_from(int32_t n, int32_t of)
{
    int64_t least = ((int64_t)n + of - 1) / of * of;
    return least <= INT32_MAX ? (int32_t)least : INT32_MAX / of * of;
}

/* Which numbers of groups the nodes divide, and divide the experts. */
static hint groups_near(const eplb_problem *q)
{
    hint none = {"none"};
    if (q->num_experts % q->num_nodes != 0) return none;
    return divisors_near(q->num_experts / q->num_nodes, q->num_nodes, q->num_groups);
}

static void fail_division(const eplb_problem *q, const char *field)
{
    int R = (int)q->num_replicas, G = (int)q->num_gpus, N = (int)q->num_nodes, K = (int)q->num_groups;
    int E = (int)q->num_experts;
    if (strcmp(field, "problem.num_replicas") == 0)
        fail(STATUS_INPUT, "--replicas %d is not a multiple of --gpus %d; %d slots would divide", R, G,
             (int)multiple_from(R, G));
    if (strcmp(field, "problem.num_nodes") == 0)
        fail(STATUS_INPUT, "--gpus %d is not a multiple of --nodes %d; %s nodes would divide them", G, N,
             divisors_near(G, 1, N).text);
    if (K % N != 0)
        fail(STATUS_INPUT,
             "--groups %d is not a multiple of --nodes %d; %s would do, and --policy global "
             "needs no multiple",
             K, N, groups_near(q).text);
    fail(STATUS_INPUT, "--groups %d does not divide the %d experts of a layer; with %d node%s %s would", K, E, N,
         N == 1 ? "" : "s", groups_near(q).text);
}

/* What is wrong with the problem, in the words of the command line. */
static void fail_problem(const eplb_problem *q, const eplb_options *options, const float *weight, eplb_result result)
{
    eplb_diagnosis why;
    int32_t slot = 0;
    eplb_plan plan = {&slot, NULL, NULL, NULL, 0, NULL}; /* never written: the scratch is too small */
    (void)eplb_diagnose(q, options, weight, &plan, &slot, 0, &why);
    const char *field = why.result == result ? why.field : "";
    if (result == EPLB_ERR_DIVIDE) fail_division(q, field);
    if (result == EPLB_ERR_TOO_FEW)
        fail(STATUS_INPUT, "--replicas %d is less than the %d experts of a layer; %d would do", (int)q->num_replicas,
             (int)q->num_experts, (int)multiple_from(q->num_experts, q->num_gpus));
    if (result == EPLB_ERR_MAX_REPLICAS) { /* as many experts on each node as on the others */
        bool nodes = policy_of(q, options->policy) == EPLB_POLICY_HIERARCHICAL;
        int E = (int)(nodes ? q->num_experts / q->num_nodes : q->num_experts);
        int R = (int)(nodes ? q->num_replicas / q->num_nodes : q->num_replicas);
        fail(STATUS_INPUT, "--max-replicas %d leaves some of the %d slots empty with %d experts; %d would do",
             (int)options->max_replicas, (int)q->num_replicas, (int)q->num_experts, (R - 1) / E + 1);
    }
    if (options->engine != EPLB_ENGINE_NONE && options->effort > 0)
        fail(STATUS_INPUT, "--effort %d: preset 'vllm' makes none, as vLLM does; 'deepseek' would",
             (int)options->effort);
    fail(STATUS_INPUT, "%s%s%s", field, *field ? ": " : "", eplb_result_name(result));
}

void check_result(const eplb_problem *problem, const eplb_options *options, const float *weight, eplb_result result)
{
    if (result != EPLB_OK) fail_problem(problem, options, weight, result);
}
