/* test_evaluate.c - eplb_evaluate: its figures against a plain computation in double precision, and
   its lower_bound against the exact optimum of small problems, found by looking at every plan. */
#include "eplb.h"
#include "test.h"

#include <float.h>

enum {
    MAX_EXPERTS = 48,
    MAX_SLOTS = 96,
    MAX_GPUS = 24,
    MAX_SAMPLES = 4,
    MAX_LAYERS = 3,
    NUM_FIGURE_CASES = 2000,
    NUM_EXACT_CASES = 3000
};

/* Figures are float32 sums of at most MAX_SLOTS quotients and means over MAX_SAMPLES of them: each
   operation is off by 2^-24 at most, relatively, and no term is negative. */
#define FIGURE_TOLERANCE ((MAX_SLOTS + MAX_SAMPLES + 3) / 16777216.0)

static double larger(double a, double b) { return a > b ? a : b; }

static int close_to(double got, double want, double tolerance)
{
    return got >= want * (1 - tolerance) && got <= want * (1 + tolerance);
}

static int32_t num_samples(const eplb_problem *p) { return p->num_samples > 0 ? p->num_samples : 1; }

static double load_of(const eplb_problem *p, const float *weight, int32_t t, int32_t l, int32_t e)
{
    return weight[(t * p->num_layers + l) * p->num_experts + e];
}

static int holds_load(const eplb_problem *p, const float *weight, int32_t t, int32_t l)
{
    for (int32_t e = 0; e < p->num_experts; e++)
        if (load_of(p, weight, t, l, e) > 0) return 1;
    return 0;
}

/* --------------------------------------------------------------------------------------- loads */

typedef enum load_kind { SMALL_WHOLE, WHOLE, SKEWED, ONE_HOT, EVEN, NUM_LOAD_KINDS } load_kind;

/* Of the first kinds many are equal, or zero. */
static float draw_load(uint64_t *rng, load_kind kind, int32_t e)
{
    double u = (double)(test_next(rng) >> 11) * 0x1p-53;
    switch (kind) {
    case SMALL_WHOLE: return (float)test_range(rng, 0, 4);
    case WHOLE: return (float)test_range(rng, 0, 100);
    case SKEWED: return (float)(u * u * u * u * 1000 + 0.1);
    case ONE_HOT: return e == 1 ? 1000.0f : (float)test_range(rng, 0, 3);
    default: return 7.0f;
    }
}

static void draw_loads(uint64_t *rng, const eplb_problem *p, float *weight)
{
    for (int32_t row = 0; row < num_samples(p) * p->num_layers; row++) {
        load_kind kind = (load_kind)test_range(rng, 0, NUM_LOAD_KINDS - 1);
        int idle = test_range(rng, 0, 19) == 0;
        for (int32_t e = 0; e < p->num_experts; e++)
            weight[row * p->num_experts + e] = idle ? 0.0f : draw_load(rng, kind, e);
    }
}

/* Any plan that leaves no expert out, whatever the policy, now and then with empty slots. */
static void draw_plan(uint64_t *rng, const eplb_problem *p, int32_t *phy2log)
{
    int32_t lowest = test_range(rng, -1, 0);
    for (int32_t i = 0; i < p->num_layers * p->num_replicas; i++) {
        int32_t s = i % p->num_replicas;
        phy2log[i] = s < p->num_experts ? s : test_range(rng, lowest, p->num_experts - 1);
        int32_t other = i - s + test_range(rng, 0, s);
        int32_t moved = phy2log[other];
        phy2log[other] = phy2log[i];
        phy2log[i] = moved;
    }
}

/* ------------------------------------------------------------------------------ the library's side */

typedef struct planned {
    eplb_layer_report report[MAX_LAYERS];
    float gpu_load[MAX_LAYERS * MAX_GPUS];
    int32_t phy2log[MAX_LAYERS * MAX_SLOTS];
} planned;

static unsigned char scratch[EPLB_SCRATCH_BOUND(MAX_EXPERTS, MAX_SLOTS, MAX_GPUS)];

static eplb_plan plan_of(planned *out)
{
    eplb_plan plan = EPLB_ZERO_INIT;
    plan.phy2log = out->phy2log;
    return plan;
}

static eplb_result rebalance(const eplb_problem *p, const eplb_options *o, const float *weight, planned *out)
{
    eplb_plan plan = plan_of(out);
    return eplb_rebalance(p, o, weight, &plan, scratch, sizeof scratch);
}

static eplb_result evaluate(const eplb_problem *p, const eplb_options *o, const float *weight, planned *out)
{
    eplb_plan plan = plan_of(out);
    return eplb_evaluate(p, o, weight, &plan, out->report, out->gpu_load, scratch, sizeof scratch);
}

/* --------------------------------------------------------------------- figures in double precision */

static void check_figures(const eplb_problem *p, const float *weight, const planned *got, int32_t l)
{
    const int32_t *phy2log = got->phy2log + l * p->num_replicas;
    const eplb_layer_report *r = &got->report[l];
    int32_t slots = p->num_replicas / p->num_gpus, samples = 0, held = 0;
    int32_t count[MAX_EXPERTS] = {0}, max_count = 0;
    double gpu_mean[MAX_GPUS] = {0}, slot_mean[MAX_EXPERTS] = {0};
    double max_load = 0, mean_load = 0, max_slot = 0, sum_slots = 0;

    for (int32_t s = 0; s < p->num_replicas; s++) {
        count[phy2log[s] < 0 ? 0 : phy2log[s]] += phy2log[s] >= 0;
        held += phy2log[s] >= 0;
    }
    for (int32_t t = 0; t < num_samples(p); t++) samples += holds_load(p, weight, t, l);
    for (int32_t t = 0; t < num_samples(p); t++) {
        double sample_max = 0;
        if (!holds_load(p, weight, t, l)) continue;
        for (int32_t g = 0; g < p->num_gpus; g++) {
            double sum = 0;
            for (int32_t s = g * slots; s < (g + 1) * slots; s++)
                sum += phy2log[s] < 0 ? 0 : load_of(p, weight, t, l, phy2log[s]) / count[phy2log[s]];
            gpu_mean[g] += sum / samples;
            mean_load += sum / samples / p->num_gpus;
            sample_max = larger(sample_max, sum);
        }
        max_load += sample_max / samples;
        for (int32_t e = 0; e < p->num_experts; e++) slot_mean[e] += load_of(p, weight, t, l, e) / count[e] / samples;
    }
    for (int32_t e = 0; e < p->num_experts; e++) {
        max_slot = larger(max_slot, slot_mean[e]);
        sum_slots += slot_mean[e] * count[e];
        max_count = count[e] > max_count ? count[e] : max_count;
    }
    double balancedness = max_load > 0 ? mean_load / max_load : 1;
    double replica_balancedness = max_slot > 0 ? sum_slots / held / max_slot : 1;

    CHECK(close_to(r->max_load, max_load, FIGURE_TOLERANCE), "%g, not %g", r->max_load, max_load);
    CHECK(close_to(r->mean_load, mean_load, FIGURE_TOLERANCE), "%g, not %g", r->mean_load, mean_load);
    CHECK(close_to(r->balancedness, balancedness, 2 * FIGURE_TOLERANCE), "%g, not %g", r->balancedness, balancedness);
    CHECK(r->balancedness > 0 && r->balancedness <= 1, "%g", r->balancedness);
    CHECK(close_to(r->replica_balancedness, replica_balancedness, 2 * FIGURE_TOLERANCE), "%g, not %g",
          r->replica_balancedness, replica_balancedness);
    CHECK(r->lower_bound >= r->mean_load, "bound %.9g, mean %.9g", r->lower_bound, r->mean_load);
    CHECK(r->max_load >= r->mean_load, "maximum %.9g, mean %.9g", r->max_load, r->mean_load);
    CHECK(r->max_logcnt == max_count, "%d, not %d", r->max_logcnt, max_count);
    for (int32_t g = 0; g < p->num_gpus; g++) {
        double load = got->gpu_load[l * p->num_gpus + g];
        CHECK(close_to(load, gpu_mean[g], FIGURE_TOLERANCE), "GPU %d: %g, not %g", g, load, gpu_mean[g]);
    }
}

static eplb_problem draw_problem(uint64_t *rng)
{
    eplb_problem p = EPLB_ZERO_INIT;
    p.num_layers = test_range(rng, 1, MAX_LAYERS);
    p.num_nodes = test_range(rng, 1, 3);
    p.num_groups = p.num_nodes * test_range(rng, 1, 4);
    p.num_experts = p.num_groups * test_range(rng, 1, MAX_EXPERTS / p.num_groups);
    p.num_gpus = p.num_nodes * test_range(rng, 1, MAX_GPUS / p.num_nodes);
    int32_t least = (p.num_experts + p.num_gpus - 1) / p.num_gpus;
    p.num_replicas = p.num_gpus * test_range(rng, least, MAX_SLOTS / p.num_gpus);
    p.num_samples = test_range(rng, 0, MAX_SAMPLES);
    return p;
}

static void test_figures(void)
{
    uint64_t rng = 1;
    for (int i = 0; i < NUM_FIGURE_CASES; i++) {
        static float weight[MAX_SAMPLES * MAX_LAYERS * MAX_EXPERTS];
        planned got;
        eplb_problem p = draw_problem(&rng);
        eplb_options o;
        eplb_options_preset(i % EPLB_NUM_PRESETS, &o);
        draw_loads(&rng, &p, weight);
        draw_plan(&rng, &p, got.phy2log);
        int planned_here = test_range(&rng, 0, 1);
        if (planned_here) CHECK(rebalance(&p, &o, weight, &got) == EPLB_OK, "case %d", i);
        CHECK(evaluate(&p, &o, weight, &got) == EPLB_OK, "case %d", i);

        eplb_layer_report alone[MAX_LAYERS];
        eplb_plan plan = plan_of(&got);
        CHECK(eplb_evaluate(&p, &o, weight, &plan, alone, NULL, scratch, sizeof scratch) == EPLB_OK, "case %d", i);
        for (int32_t l = 0; l < p.num_layers; l++) {
            check_figures(&p, weight, &got, l);
            CHECK(memcmp(&alone[l], &got.report[l], sizeof alone[l]) == 0, "without gpu_load, case %d", i);
            if (planned_here) CHECK(got.report[l].lower_bound <= got.report[l].max_load, "case %d, layer %d", i, l);
        }
    }
}

static void test_idle(void)
{
    eplb_problem p = EPLB_ZERO_INIT;
    p.num_layers = 1;
    p.num_experts = 6;
    p.num_replicas = 8;
    p.num_gpus = 4;
    for (p.num_samples = 0; p.num_samples <= 3; p.num_samples++) {
        static const float weight[3 * 6];
        planned got;
        CHECK(rebalance(&p, NULL, weight, &got) == EPLB_OK, "T %d", p.num_samples);
        CHECK(evaluate(&p, NULL, weight, &got) == EPLB_OK, "T %d", p.num_samples);
        const eplb_layer_report *r = &got.report[0];
        CHECK(r->max_load == 0 && r->mean_load == 0 && r->lower_bound == 0, "%g %g %g", r->max_load, r->mean_load,
              r->lower_bound);
        CHECK(r->balancedness == 1 && r->replica_balancedness == 1, "%g %g", r->balancedness, r->replica_balancedness);
        CHECK(r->max_logcnt == 2, "%d", r->max_logcnt);
        for (int32_t g = 0; g < p.num_gpus; g++) CHECK(got.gpu_load[g] == 0, "GPU %d: %g", g, got.gpu_load[g]);
    }
}

/* --------------------------------------------------------------------------------- every plan there is */

/* One layer, searched in three steps: which groups go to which node, how many replicas each expert
   gets, which GPU each slot is on. What is the same but for the names of nodes, GPUs or replicas is
   looked at once. A part of a plan whose maximum is not under the best plan's is not completed. */
typedef struct search {
    int experts, groups, nodes, gpus, samples, cap; /* one group and one node: the global policy */
    int slots_per_node, slots_per_gpu;
    double load[MAX_SAMPLES][MAX_EXPERTS], mean[MAX_EXPERTS];               /* mean: over the samples */
    int node_of[MAX_EXPERTS], groups_on[MAX_GPUS];                          /* of an expert; on a node */
    int count[MAX_EXPERTS], spare[MAX_GPUS];                                /* of an expert; slots left on a node */
    int num_slots, expert_in[MAX_SLOTS], gpu_of[MAX_SLOTS], used[MAX_GPUS]; /* used: slots of a GPU */
    double gpu_load[MAX_SAMPLES][MAX_GPUS];
    double best; /* smallest maximum: of a sample, mean over the samples */
    int32_t best_phy2log[MAX_SLOTS];
    double bound; /* smallest, over splits of the groups, of split_bound */
} search;

static double mean_maximum(const search *s)
{
    double sum = 0;
    for (int t = 0; t < s->samples; t++) {
        double most = 0;
        for (int g = 0; g < s->gpus; g++) most = larger(most, s->gpu_load[t][g]);
        sum += most;
    }
    return sum / s->samples;
}

static void keep_best(search *s, double value)
{
    int next[MAX_GPUS] = {0};
    s->best = value;
    for (int i = 0; i < s->num_slots; i++) {
        int g = s->gpu_of[i];
        s->best_phy2log[g * s->slots_per_gpu + next[g]++] = s->expert_in[i];
    }
}

static void place_slots(search *s, int slot)
{
    double value = mean_maximum(s);
    if (value >= s->best) return;
    if (slot == s->num_slots) {
        keep_best(s, value);
        return;
    }
    int e = s->expert_in[slot], per_node = s->gpus / s->nodes;
    int first = s->node_of[e] * per_node, last = first + per_node;
    if (slot > 0 && s->expert_in[slot - 1] == e) first = s->gpu_of[slot - 1]; /* replicas are alike, so theirs rise */
    for (int g = first, empty_seen = 0; g < last && !empty_seen; g++) {
        if (s->used[g] == s->slots_per_gpu) continue;
        empty_seen = s->used[g] == 0; /* empty GPUs are alike */
        double before[MAX_SAMPLES];
        for (int t = 0; t < s->samples; t++) {
            before[t] = s->gpu_load[t][g];
            s->gpu_load[t][g] += s->load[t][e] / s->count[e];
        }
        s->used[g]++;
        s->gpu_of[slot] = g;
        place_slots(s, slot + 1);
        s->used[g]--;
        for (int t = 0; t < s->samples; t++) s->gpu_load[t][g] = before[t];
    }
}

static void choose_counts(search *s, int e)
{
    if (e == s->experts) {
        for (int n = 0; n < s->nodes; n++) {
            if (s->spare[n] > 0) return;
        }
        s->num_slots = 0;
        for (int i = 0; i < s->experts; i++) {
            for (int c = 0; c < s->count[i]; c++) s->expert_in[s->num_slots++] = i;
        }
        place_slots(s, 0);
        return;
    }
    int n = s->node_of[e], spare = s->spare[n];
    for (int extra = 0; extra <= spare && extra < s->cap; extra++) {
        s->count[e] = 1 + extra;
        s->spare[n] = spare - extra;
        if (s->mean[e] / s->count[e] < s->best) choose_counts(s, e + 1);
    }
    s->spare[n] = spare;
}

/* The smallest possible largest replica on node n, by giving each slot where it is needed most. */
static double largest_replica(const search *s, int n)
{
    int count[MAX_EXPERTS];
    for (int e = 0; e < s->experts; e++) count[e] = 1;
    for (int slot = s->experts / s->nodes; slot < s->slots_per_node; slot++) {
        int neediest = -1;
        for (int e = 0; e < s->experts; e++) {
            if (s->node_of[e] == n && count[e] < s->cap
                && (neediest < 0 || s->mean[e] / count[e] > s->mean[neediest] / count[neediest]))
                neediest = e;
        }
        count[neediest]++;
    }
    double most = 0;
    for (int e = 0; e < s->experts; e++) {
        if (s->node_of[e] == n) most = larger(most, s->mean[e] / count[e]);
    }
    return most;
}

/* What no plan with this split of the groups over the nodes can be under. */
static double split_bound(const search *s)
{
    double bound = 0;
    for (int n = 0; n < s->nodes; n++) {
        double sum = 0;
        for (int e = 0; e < s->experts; e++) sum += s->node_of[e] == n ? s->mean[e] : 0;
        bound = larger(bound, larger(sum / (s->gpus / s->nodes), largest_replica(s, n)));
    }
    return bound;
}

static void choose_nodes(search *s, int group)
{
    if (group == s->groups) {
        double bound = split_bound(s);
        s->bound = bound < s->bound ? bound : s->bound;
        choose_counts(s, 0);
        return;
    }
    int size = s->experts / s->groups;
    for (int n = 0, empty_seen = 0; n < s->nodes && !empty_seen; n++) {
        if (s->groups_on[n] == s->groups / s->nodes) continue;
        empty_seen = s->groups_on[n] == 0; /* empty nodes are alike */
        s->groups_on[n]++;
        for (int e = group * size; e < (group + 1) * size; e++) s->node_of[e] = n;
        choose_nodes(s, group + 1);
        s->groups_on[n]--;
    }
}

static void find_optimum(const eplb_problem *p, const eplb_options *o, const float *weight, search *s)
{
    memset(s, 0, sizeof *s);
    int global = o->policy == EPLB_POLICY_GLOBAL || p->num_groups % p->num_nodes != 0;
    s->experts = p->num_experts;
    s->groups = global ? 1 : p->num_groups;
    s->nodes = global ? 1 : p->num_nodes;
    s->gpus = p->num_gpus;
    s->samples = 0;
    for (int t = 0; t < num_samples(p); t++) { /* those without load count for nothing */
        for (int e = 0; e < s->experts; e++) s->load[s->samples][e] = load_of(p, weight, t, 0, e);
        s->samples += holds_load(p, weight, t, 0);
    }
    s->samples = s->samples > 0 ? s->samples : 1;
    s->cap = o->max_replicas > 0 ? o->max_replicas : p->num_replicas;
    s->slots_per_node = p->num_replicas / s->nodes;
    s->slots_per_gpu = p->num_replicas / p->num_gpus;
    for (int n = 0; n < s->nodes; n++) s->spare[n] = (p->num_replicas - p->num_experts) / s->nodes;
    for (int e = 0; e < s->experts; e++)
        for (int t = 0; t < s->samples; t++) s->mean[e] += s->load[t][e] / s->samples;
    s->best = s->bound = 1e300;
    choose_nodes(s, 0);
}

/* ---------------------------------------------------------------------------- optimum and bound */

/* Problems of one layer that are small enough for the search. */
static eplb_problem draw_small_problem(uint64_t *rng, eplb_options *o)
{
    eplb_problem p = EPLB_ZERO_INIT;
    memset(o, 0, sizeof *o);
    p.num_layers = 1;
    for (;;) {
        p.num_nodes = test_range(rng, 1, 3);
        p.num_groups = test_range(rng, 1, 6);
        p.num_experts = p.num_groups * test_range(rng, 1, 3);
        p.num_gpus = p.num_nodes * test_range(rng, 1, 4);
        p.num_replicas = p.num_gpus * test_range(rng, 1, 4);
        o->policy = test_range(rng, 0, EPLB_NUM_POLICIES - 1);
        int nodes_fit = p.num_groups % p.num_nodes == 0;
        if (o->policy == EPLB_POLICY_HIERARCHICAL && !nodes_fit) continue;
        int hierarchical = o->policy != EPLB_POLICY_GLOBAL && nodes_fit && p.num_nodes > 1;
        int32_t most_slots = hierarchical ? 16 : 12;
        if (p.num_experts >= 2 && p.num_experts <= 8 && p.num_replicas >= p.num_experts && p.num_replicas <= most_slots)
            break;
    }
    p.num_samples = test_range(rng, 0, 3) > 0 ? 1 : test_range(rng, 2, 3);
    int32_t least = (p.num_replicas + p.num_experts - 1) / p.num_experts;
    if (test_range(rng, 0, 1)) o->max_replicas = test_range(rng, least, least + 1);
    return p;
}

static void test_optimum(uint64_t rng, int cases)
{
    int tight = 0, hierarchical = 0, reached = 0;
    for (int i = 0; i < cases; i++) {
        float weight[MAX_SAMPLES * MAX_EXPERTS];
        planned got;
        static search s;
        eplb_options o;
        eplb_problem p = draw_small_problem(&rng, &o);
        draw_loads(&rng, &p, weight);
        find_optimum(&p, &o, weight, &s);
        CHECK(s.best < 1e300, "case %d: no plan found", i);

        /* The optimum is exact but for 2^-52 or so; a float32 maximum may be under it by the rounding
           of its quotients and sums. The bound must be under both, but for the optimum's own rounding. */
        double rounding = (s.slots_per_gpu + s.samples + 2) / 16777216.0;
        memcpy(got.phy2log, s.best_phy2log, sizeof s.best_phy2log);
        CHECK(evaluate(&p, &o, weight, &got) == EPLB_OK, "case %d", i);
        float bound = got.report[0].lower_bound, of_optimum = got.report[0].max_load;
        CHECK(close_to(of_optimum, s.best, rounding), "case %d: %.9g, not %.9g", i, of_optimum, s.best);
        CHECK(bound <= of_optimum, "case %d: bound %.9g, best plan %.9g", i, bound, of_optimum);
        CHECK(bound <= s.best * (1 + 0x1p-50), "case %d: bound %.9g, optimum %.9g", i, bound, s.best);
        CHECK(bound >= s.bound * (1 - 1e-6 * (1 + s.samples)), "case %d: bound %.9g, provable %.9g", i, bound, s.bound);
        tight += bound >= s.best * (1 - 1e-6);
        hierarchical += s.nodes > 1;

        int at_optimum = 0;
        for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
            eplb_options with;
            eplb_options_preset(preset, &with);
            with.policy = o.policy;
            with.max_replicas = o.max_replicas;
            with.seed = (uint64_t)i;
            CHECK(rebalance(&p, &with, weight, &got) == EPLB_OK, "case %d, %s", i, eplb_preset_name(preset));
            CHECK(evaluate(&p, &with, weight, &got) == EPLB_OK, "case %d, %s", i, eplb_preset_name(preset));
            float max_load = got.report[0].max_load;
            CHECK(max_load >= s.best * (1 - rounding), "case %d, %s: %.9g, optimum %.9g", i, eplb_preset_name(preset),
                  max_load, s.best);
            CHECK(bound <= max_load, "case %d, %s", i, eplb_preset_name(preset));
            CHECK(got.report[0].lower_bound == bound, "case %d, %s", i, eplb_preset_name(preset));
            if (preset == EPLB_PRESET_DEFAULT) at_optimum = close_to(max_load, s.best, 1e-6);
        }
        reached += at_optimum;
    }
    printf("small problems: %d, %d hierarchical; bound == optimum in %d, default plan == optimum in %d\n", cases,
           hierarchical, tight, reached);
}

/* So many groups that their splits over the nodes cannot all be tried: the bound must still hold,
   and must see that a node has the heaviest group and as many others as there is room for. */
static void test_many_groups(void)
{
    uint64_t rng = 3;
    eplb_problem p = EPLB_ZERO_INIT;
    p.num_layers = 1;
    p.num_experts = 48;
    p.num_replicas = 64;
    p.num_groups = 48;
    p.num_nodes = 4;
    p.num_gpus = 8;
    for (int i = 0; i < 200; i++) {
        float weight[48], provable = 0;
        if (i == 0) {
            for (int32_t e = 0; e < 48; e++) weight[e] = e == 20 ? 100.0f : 1.0f;
            provable = (100 + 11) / 2.0f; /* 12 groups on two GPUs */
        } else {
            draw_loads(&rng, &p, weight);
        }
        for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
            planned got;
            eplb_options o;
            eplb_options_preset(preset, &o);
            CHECK(rebalance(&p, &o, weight, &got) == EPLB_OK, "case %d, %s", i, eplb_preset_name(preset));
            CHECK(evaluate(&p, &o, weight, &got) == EPLB_OK, "case %d, %s", i, eplb_preset_name(preset));
            const eplb_layer_report *r = &got.report[0];
            CHECK(r->lower_bound <= r->max_load, "case %d, %s", i, eplb_preset_name(preset));
            CHECK(r->lower_bound >= r->mean_load, "case %d, %s", i, eplb_preset_name(preset));
            CHECK(r->lower_bound >= provable * 0.999999f, "case %d: %g", i, r->lower_bound);
        }
    }
}

/* --------------------------------------------------------------------------------- known and extreme */

/* Exact, where it is not too small for float32. */
static double times_power_of_two(double x, int power)
{
    for (; power > 0; power--) x *= 2;
    for (; power < 0; power++) x /= 2;
    return x;
}

static const float hard_case[8] = {600, 560, 120, 120, 20, 10, 10, 10};

static eplb_problem hard_problem(void)
{
    eplb_problem p = EPLB_ZERO_INIT;
    p.num_layers = 1;
    p.num_experts = 8;
    p.num_replicas = 16;
    p.num_gpus = 8;
    return p;
}

static void test_hard_case(void)
{
    eplb_problem p = hard_problem();
    for (int32_t preset = 0; preset < EPLB_NUM_PRESETS; preset++) {
        planned got;
        eplb_options o;
        eplb_options_preset(preset, &o);
        CHECK(rebalance(&p, &o, hard_case, &got) == EPLB_OK, "%s", eplb_preset_name(preset));
        CHECK(evaluate(&p, &o, hard_case, &got) == EPLB_OK, "%s", eplb_preset_name(preset));
        const eplb_layer_report *r = &got.report[0];
        CHECK(r->mean_load == 181.25f, "%s: %g", eplb_preset_name(preset), r->mean_load);
        CHECK(r->lower_bound >= 181.25f, "%s: %.9g", eplb_preset_name(preset), r->lower_bound);
        CHECK(r->lower_bound <= r->max_load, "%s: %.9g", eplb_preset_name(preset), r->lower_bound);
        CHECK(preset != EPLB_PRESET_DEEPSEEK || r->max_load == 232, "%g", r->max_load);
    }
}

/* Below the smallest normal number `got` was rounded to a step of 2^-149, from more digits than
   `want` has. */
static int is_scaled(float got, float want, int power)
{
    double exact = times_power_of_two(want, power), off = got - exact;
    double step = exact < FLT_MIN ? times_power_of_two(1, -149) : 0;
    return off >= -step && off <= step;
}

static void check_scaled(const eplb_problem *p, const float *load, const planned *plain, int power)
{
    planned got;
    float weight[8];
    for (int e = 0; e < 8; e++) weight[e] = (float)times_power_of_two(load[e], power);
    CHECK(rebalance(p, NULL, weight, &got) == EPLB_OK, "2^%d", power);
    CHECK(evaluate(p, NULL, weight, &got) == EPLB_OK, "2^%d", power);
    CHECK(memcmp(got.phy2log, plain->phy2log, 16 * sizeof(int32_t)) == 0, "2^%d", power);

    const eplb_layer_report *r = &got.report[0], *want = &plain->report[0];
    CHECK(r->balancedness == want->balancedness, "2^%d: %.9g", power, r->balancedness);
    CHECK(r->replica_balancedness == want->replica_balancedness, "2^%d: %.9g", power, r->replica_balancedness);
    CHECK(is_scaled(r->max_load, want->max_load, power), "2^%d: %g", power, r->max_load);
    CHECK(is_scaled(r->mean_load, want->mean_load, power), "2^%d: %g", power, r->mean_load);
    CHECK(r->lower_bound <= r->max_load, "2^%d: %.9g", power, r->lower_bound);
    CHECK(is_scaled(r->lower_bound, want->lower_bound, power), "2^%d: %.9g", power, r->lower_bound);
}

/* Loads times a power of two give the same plan and the same ratios, from the smallest number that is
   not zero up to where a GPU's load is still a number (the sum of all is not, at 2^118). */
static void test_scales(void)
{
    static const float refinable[8] = {503, 461, 397, 283, 211, 97, 53, 29};
    static const eplb_options reference = EPLB_ZERO_INIT;
    eplb_problem p = hard_problem();
    int refined = 0;
    for (p.num_gpus = 2; p.num_gpus <= 8; p.num_gpus *= 2) {
        for (int which = 0; which < 2; which++) {
            const float *load = which ? refinable : hard_case;
            planned plain, unrefined;
            CHECK(rebalance(&p, &reference, load, &unrefined) == EPLB_OK, "%d GPUs", p.num_gpus);
            CHECK(rebalance(&p, NULL, load, &plain) == EPLB_OK, "%d GPUs", p.num_gpus);
            CHECK(evaluate(&p, NULL, load, &plain) == EPLB_OK, "%d GPUs", p.num_gpus);
            refined += memcmp(plain.phy2log, unrefined.phy2log, 16 * sizeof(int32_t)) != 0;
            for (int power = -149; power <= 118; power++) check_scaled(&p, load, &plain, power);
        }
    }
    CHECK(refined > 0, "the loads leave nothing to refine");
}

/* The largest loads there are: a GPU's does not fit float32, the ratios do. */
static void test_largest(void)
{
    eplb_problem p = hard_problem();
    planned got;
    float weight[8];
    for (int e = 0; e < 8; e++) weight[e] = FLT_MAX;
    p.num_replicas = 8;
    p.num_gpus = 2;
    CHECK(rebalance(&p, NULL, weight, &got) == EPLB_OK, "largest");
    CHECK(evaluate(&p, NULL, weight, &got) == EPLB_OK, "largest");
    const eplb_layer_report *r = &got.report[0];
    CHECK(r->balancedness == 1 && r->replica_balancedness == 1, "%g %g", r->balancedness, r->replica_balancedness);
    CHECK(r->max_load >= FLT_MAX && r->lower_bound <= r->max_load, "%g %g", r->max_load, r->lower_bound);
}

/* test_evaluate [SEED COUNT]: so many of the small problems whose optimum is found by trying all plans */
int main(int argc, char **argv)
{
    int by_seed = argc > 2;
    test_figures();
    test_idle();
    test_optimum(by_seed ? strtoull(argv[1], NULL, 10) : 2, by_seed ? atoi(argv[2]) : NUM_EXACT_CASES);
    test_many_groups();
    test_hard_case();
    test_scales();
    test_largest();
    return test_report("test_evaluate");
}
