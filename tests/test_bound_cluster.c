/* test_bound_cluster.c - eplb_evaluate on clusters as they are: lower_bound against the exact optimum of small layers, on
   GPUs of unlike room and speed and nodes of any size, and all of a report against a naive program.

   usage: test_bound_cluster [FIRST COUNT]   small layers by their seeds */
#include "eplb.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test.h"
#include "exact_cluster.h"

enum {
    SMALL_CASES = 4000,
    REPORT_CASES = 1500,
    MOST_GPUS = 12,
    MOST_EXPERTS = 48,
    MOST_SLOTS = 96,
    MOST_LAYERS = 2,
    MOST_SAMPLES = 3
};

/* What a small layer has that makes it odd; each is one row of the table of gaps. */
enum { ROOMS = 1, SPEEDS = 2, NODES = 4, CAP = 8, LOCKED = 16, SURVIVE = 32 };

typedef struct small_case {
    eplb_problem p;
    eplb_options o;
    cluster_problem exact;
    int odd;
    int32_t slots[CLUSTER_GPUS], node[CLUSTER_GPUS], previous[CLUSTER_GPUS * CLUSTER_ROOM];
    float speed[CLUSTER_GPUS], load[CLUSTER_EXPERTS];
    uint8_t locked[CLUSTER_GPUS * CLUSTER_ROOM];
} small_case;

static int32_t draw_load(uint64_t *rng, double steepness)
{
    double normal = -6;
    for (int i = 0; i < 12; i++) normal += (double)(test_next(rng) >> 11) * 0x1p-53;
    double load = 100 * exp(steepness * normal);
    return load < 20000 ? (int32_t)load : 20000;
}

/* --------------------------------------------------------------------------- small layers */

/* Hardly more slots than experts, so that groups may have to be split. */
static void draw_few_slots(small_case *c, uint64_t *rng)
{
    int32_t usable = 0, most = c->p.num_experts + test_range(rng, 0, 2);
    for (int g = 0; g < c->p.num_gpus; g++) usable += c->slots[g];
    while (usable > most) {
        int g = test_range(rng, 0, c->p.num_gpus - 1);
        if (c->slots[g] == 0) continue;
        c->exact.room[g] = --c->slots[g];
        usable--;
    }
}

static void draw_gpus(small_case *c, uint64_t *rng)
{
    static const int few[2] = {5, 4}, many[5] = {8, 5, 4, 2, 1};
    int32_t S = c->p.num_replicas / c->p.num_gpus, mixed = test_range(rng, 0, 1), dead = test_range(rng, 0, 1);
    for (int g = 0; g < c->p.num_gpus; g++) {
        c->slots[g] = test_range(rng, 0, 2) ? S : dead ? 0 : test_range(rng, 0, S);
        c->exact.room[g] = c->odd & ROOMS ? c->slots[g] : S;
        c->exact.speed[g] = !(c->odd & SPEEDS) ? 1 : mixed ? many[test_range(rng, 0, 4)] : few[test_range(rng, 0, 1)];
        c->speed[g] = (float)c->exact.speed[g];
    }
    if (c->odd & ROOMS) c->p.gpu_slots = c->slots;
    if ((c->odd & ROOMS) && c->p.num_gpus == 3 && c->p.num_replicas == 12 && c->p.num_experts == 8)
        for (int g = 0; g < 3; g++) c->exact.room[g] = c->slots[g] = 3;
    else if ((c->odd & ROOMS) && test_range(rng, 0, 1)) draw_few_slots(c, rng);
    if (c->odd & SPEEDS) c->p.gpu_speed = c->speed;
}

/* Where all that live are as fast, loads are not divided. */
static int even_speeds(small_case *c)
{
    int first = 0;
    for (int g = 0; g < c->p.num_gpus; g++) {
        if (c->exact.room[g] == 0) continue;
        if (first && c->exact.speed[g] != first) return 0;
        first = c->exact.speed[g];
    }
    for (int g = 0; g < c->p.num_gpus; g++) c->exact.speed[g] = 1;
    return 1;
}

/* Nodes of the cluster, and by the policy. */
static void draw_nodes(small_case *c, uint64_t *rng)
{
    int32_t G = c->p.num_gpus, N = c->p.num_nodes, hierarchical;
    for (int g = 0, n = 0; g < G; g++) {
        if (c->odd & NODES) {
            while (n < N - 1 && test_range(rng, 0, 1)) n++;
            c->node[g] = n;
        } else {
            c->node[g] = g / (G / N);
        }
    }
    if (c->odd & NODES) c->p.gpu_node = c->node;
    hierarchical = c->o.policy == EPLB_POLICY_HIERARCHICAL;
    c->exact.nodes = hierarchical ? N : 1;
    c->exact.groups = hierarchical ? c->p.num_groups : 1;
    for (int g = 0; g < G; g++) {
        c->exact.node[g] = hierarchical ? c->node[g] : 0;
        c->exact.lost_with[g] = c->p.survive == EPLB_SURVIVE_NODE ? c->node[g] : g;
    }
}

/* Some slots that may be used keep what the plan in force has there: its experts anywhere, some twice on a GPU. */
static void draw_locks(small_case *c, uint64_t *rng)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus;
    for (int i = 0; i < c->p.num_replicas; i++) {
        c->previous[i] = test_range(rng, 0, 5) ? test_range(rng, 0, c->p.num_experts - 1) : -1;
        c->locked[i] = test_range(rng, 0, 3) == 0;
        if (!c->locked[i] || i % S >= c->exact.room[i / S]) continue;
        if (c->previous[i] >= 0) c->exact.locked[c->previous[i]][i / S]++;
    }
    for (int i = 0; i < c->p.num_replicas; i++) /* rooms are as they were until all of these are known */
        if (c->locked[i] && c->previous[i] < 0 && i % S < (c->p.gpu_slots ? c->slots[i / S] : S))
            c->exact.room[i / S]--;
    c->p.locked = c->locked;
    c->o.previous_phy2log = c->previous;
}

/* Where all is alike, each node has as many groups, which is for others to test; where nodes are, groups are to divide by
   them. */
static int may_be_hierarchical(const small_case *c, int32_t usable)
{
    int odd = usable < c->p.num_replicas;
    for (int g = 0; g < c->p.num_gpus; g++)
        odd |= c->p.num_gpus % c->p.num_nodes || c->node[g] != g / (c->p.num_gpus / c->p.num_nodes);
    return odd || (c->p.num_groups % c->p.num_nodes == 0 && (c->odd & (SPEEDS | LOCKED) || c->p.survive));
}

/* Any layer; or one on nodes where groups are large, and slots few, so that some must be split. */
static void draw_counts(small_case *c, uint64_t *rng)
{
    int32_t split = test_range(rng, 0, 4) == 0;
    c->odd = split ? ROOMS | NODES : test_range(rng, 1, 7);
    if (test_range(rng, 0, split ? 3 : 1) == 0) c->odd |= CAP << test_range(rng, 0, 2);
    if (split && test_range(rng, 0, 2) == 0) c->odd |= SPEEDS;
    c->p.num_layers = 1;
    c->p.num_gpus = test_range(rng, 2 + split, CLUSTER_GPUS);
    c->p.num_replicas = c->p.num_gpus * test_range(rng, 1 + split, CLUSTER_ROOM);
    c->p.num_nodes = test_range(rng, 1 + split, CLUSTER_NODES);
    c->p.num_groups = split ? 2 : test_range(rng, 1, 4);
    c->p.num_experts = c->p.num_groups * test_range(rng, 1 + 2 * split, 4);
    if (split && test_range(rng, 0, 3) == 0) { /* two groups of four on three GPUs of three slots, each a node */
        c->odd &= ~NODES;
        c->p.num_gpus = c->p.num_nodes = 3;
        c->p.num_replicas = 12;
        c->p.num_experts = 8;
    }
    c->o.policy =
        c->p.num_nodes > 1 && (split || test_range(rng, 0, 3)) ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
}

static int draw_small(small_case *c, uint64_t seed)
{
    uint64_t state = seed * 7919, *rng = &state;
    int32_t usable = 0;
    memset(c, 0, sizeof *c);
    eplb_options_preset(EPLB_PRESET_DEFAULT, &c->o);
    draw_counts(c, rng);
    if (c->p.num_experts < 2 || c->p.num_experts > CLUSTER_EXPERTS || c->p.num_replicas < c->p.num_experts
        || (!(c->odd & NODES) && c->p.num_gpus % c->p.num_nodes) || c->p.num_replicas - c->p.num_experts > 5)
        return 0;
    if ((c->odd & SURVIVE) && !(c->odd & LOCKED))
        c->p.survive = c->o.policy == EPLB_POLICY_GLOBAL ? test_range(rng, 1, 2) : EPLB_SURVIVE_GPU;
    draw_gpus(c, rng);
    draw_nodes(c, rng);
    if (even_speeds(c)) c->odd &= ~SPEEDS;
    for (int g = 0; g < c->p.num_gpus; g++) usable += c->exact.room[g];
    if (usable < c->p.num_experts || (c->exact.nodes > 1 && !may_be_hierarchical(c, usable))) return 0;
    if (c->odd & CAP) c->o.max_replicas = (usable - 1) / c->p.num_experts + test_range(rng, 1, 2);
    if (c->odd & LOCKED) draw_locks(c, rng);
    double steepness = 0.5 * test_range(rng, 0, 4);
    c->exact.gpus = c->p.num_gpus;
    c->exact.experts = c->p.num_experts;
    c->exact.survive = c->p.survive;
    c->exact.max_replicas = c->o.max_replicas;
    for (int e = 0; e < c->p.num_experts; e++) {
        c->exact.load[e] = draw_load(rng, steepness) + (e == 0);
        c->load[e] = (float)c->exact.load[e];
    }
    return 1;
}

/* The best plan, in slots; anything stands in those that may not be used. */
static void write_plan(const small_case *c, const cluster_optimum *best, int32_t *phy2log)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus;
    for (int g = 0; g < c->p.num_gpus; g++) {
        int32_t slot = g * S, end = slot + (c->p.gpu_slots ? c->slots[g] : S);
        for (int e = 0; e < c->p.num_experts; e++)
            for (int h = 0; h < best->held[e][g]; h++) phy2log[slot++] = e;
        for (; slot < end; slot++) phy2log[slot] = -1;
        for (; slot < (g + 1) * S; slot++) phy2log[slot] = slot % 3 ? 0 : 1000000;
    }
}

static eplb_result evaluate_small(const small_case *c, const int32_t *phy2log, eplb_layer_report *report)
{
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes = 0;
    eplb_result r = eplb_scratch_size(&c->p, &c->o, &bytes);
    if (r != EPLB_OK) return r;
    unsigned char *scratch = (unsigned char *)test_alloc(bytes + 2) + 1;
    int32_t *slots = (int32_t *)test_alloc((size_t)c->p.num_replicas * sizeof(int32_t));
    memcpy(slots, phy2log, (size_t)c->p.num_replicas * sizeof(int32_t));
    scratch[bytes] = 0x5A;
    test_forget(scratch, bytes);
    plan.phy2log = slots;
    r = eplb_evaluate(&c->p, &c->o, c->load, &plan, report, NULL, scratch, bytes);
    CHECK(scratch[bytes] == 0x5A, "beyond scratch");
    free(scratch - 1);
    free(slots);
    return r;
}

typedef struct gap {
    const char *what;
    double most; /* what the mean may be, in percent */
    double sum;
    int cases;
} gap;

static void add_gap(gap *g, double percent)
{
    g->sum += percent;
    g->cases++;
}

enum {
    GAP_ROOMS,
    GAP_SPEEDS,
    GAP_BOTH,
    GAP_WHOLE,
    GAP_ONE_SPLIT,
    GAP_MORE_SPLIT,
    GAP_CAP,
    GAP_SURVIVE,
    GAP_LOCKED,
    NUM_GAPS
};

static int gap_of(const small_case *c, const cluster_optimum *best)
{
    if (c->p.locked) return GAP_LOCKED;
    if (c->p.survive) return GAP_SURVIVE;
    if (c->o.max_replicas) return GAP_CAP;
    if (c->exact.nodes > 1) return best->split > 1 ? GAP_MORE_SPLIT : best->split == 1 ? GAP_ONE_SPLIT : GAP_WHOLE;
    return !(c->odd & SPEEDS) ? GAP_ROOMS : c->odd & ROOMS ? GAP_BOTH : GAP_SPEEDS;
}

static void check_small(const small_case *c, uint64_t seed, gap *gaps)
{
    int32_t phy2log[CLUSTER_GPUS * CLUSTER_ROOM];
    eplb_layer_report report;
    cluster_optimum best = cluster_solve(&c->exact);
    if (best.best == CLUSTER_NEVER) return; /* the locks leave no plan */
    double optimum = (double)best.best / ((double)CLUSTER_UNIT * CLUSTER_SPEEDS);
    write_plan(c, &best, phy2log);
    eplb_result r = evaluate_small(c, phy2log, &report);
    CHECK(r == EPLB_OK, "seed %llu: %s", (unsigned long long)seed, eplb_result_name(r));
    if (r != EPLB_OK) return;
    CHECK((double)report.lower_bound <= optimum, "seed %llu: bound %.9g, optimum %.17g", (unsigned long long)seed,
          (double)report.lower_bound, optimum);
    CHECK(fabs((double)report.max_load / optimum - 1) < 1e-6, "seed %llu: plan %.9g, optimum %.17g",
          (unsigned long long)seed, (double)report.max_load, optimum);
    CHECK(report.lower_bound >= report.mean_load, "seed %llu: bound %.9g, mean %.9g", (unsigned long long)seed,
          (double)report.lower_bound, (double)report.mean_load);
    CHECK(report.num_split_groups == (c->exact.nodes > 1 ? best.split : 0), "seed %llu: %d groups split, not %d",
          (unsigned long long)seed, (int)report.num_split_groups, best.split);
    add_gap(&gaps[gap_of(c, &best)], 100 * (optimum / (double)report.lower_bound - 1));
}

static void test_small(uint64_t first, uint64_t count)
{
    static small_case c;
    gap gaps[NUM_GAPS] = {
        {"rooms", 0.51, 0, 0},        {"speeds", 2.05, 0, 0},          {"rooms and speeds", 8.24, 0, 0},
        {"nodes", 1.76, 0, 0},        {"one group split", 4.80, 0, 0}, {"more split", 19.91, 0, 0},
        {"max_replicas", 4.59, 0, 0}, {"survive", 9.61, 0, 0},         {"locked", 14.86, 0, 0}};
    for (uint64_t seed = first; seed < first + count; seed++)
        if (draw_small(&c, seed)) check_small(&c, seed, gaps);
    for (int i = 0; i < NUM_GAPS; i++) {
        if (gaps[i].cases == 0) continue;
        printf("bound, %s: %d layers, optimum %.3f %% above it on average\n", gaps[i].what, gaps[i].cases,
               gaps[i].sum / gaps[i].cases);
        CHECK(first != 1 || count != SMALL_CASES || gaps[i].sum / gaps[i].cases <= gaps[i].most, "%s: %.3f %%",
              gaps[i].what, gaps[i].sum / gaps[i].cases);
    }
}

/* ------------------------------------------------------------------------------- reports */

typedef struct report_case {
    eplb_problem p;
    eplb_options o;
    int32_t slots[MOST_GPUS], node[MOST_GPUS];
    float speed[MOST_GPUS], load[MOST_SAMPLES * MOST_LAYERS * MOST_EXPERTS];
    int32_t phy2log[MOST_LAYERS * MOST_SLOTS];
} report_case;

static int32_t usable(const report_case *c, int32_t g)
{
    return c->p.gpu_slots ? c->p.gpu_slots[g] : c->p.num_replicas / c->p.num_gpus;
}

/* A plan from anywhere: each expert somewhere, then anything; in slots that may not be used, things that are none. */
static void draw_plan(report_case *c, int32_t *phy2log, uint64_t *rng)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus, free_slot[MOST_SLOTS], n = 0;
    for (int i = 0; i < c->p.num_replicas; i++) {
        int may = i % S < usable(c, i / S);
        phy2log[i] = may ? -1 : test_range(rng, -3, c->p.num_experts + 3);
        if (may) free_slot[n++] = i;
    }
    for (int i = 0; i < n; i++) {
        int at = test_range(rng, i, n - 1);
        int32_t slot = free_slot[at];
        free_slot[at] = free_slot[i];
        phy2log[slot] = i < c->p.num_experts ? i : test_range(rng, -1, c->p.num_experts - 1);
    }
}

static int draw_report_case(report_case *c, uint64_t seed)
{
    uint64_t state = seed * 6007, *rng = &state;
    int32_t sum = 0, S, alike = test_range(rng, 0, 3) == 0;
    memset(c, 0, sizeof *c);
    eplb_options_preset(EPLB_PRESET_DEFAULT, &c->o);
    c->p.num_layers = test_range(rng, 1, MOST_LAYERS);
    c->p.num_samples = test_range(rng, 1, MOST_SAMPLES);
    c->p.num_gpus = test_range(rng, 1, MOST_GPUS);
    c->p.num_nodes = test_range(rng, 1, 4);
    c->p.num_groups = test_range(rng, 1, 8);
    c->p.num_experts = c->p.num_groups * test_range(rng, 1, 6);
    S = test_range(rng, 1, MOST_SLOTS / MOST_GPUS);
    c->p.num_replicas = c->p.num_gpus * S;
    c->o.policy = test_range(rng, 0, 2);
    for (int g = 0, n = 0; g < c->p.num_gpus; g++) {
        while (n < c->p.num_nodes - 1 && test_range(rng, 0, 2) == 0) n++;
        c->node[g] = n;
        c->slots[g] = test_range(rng, 0, 3) ? S : test_range(rng, 0, S);
        c->speed[g] = alike ? 0.5f : 0.25f + (float)test_range(rng, 1, 1000) / 500;
    }
    if (test_range(rng, 0, 1)) c->p.gpu_slots = c->slots;
    if (test_range(rng, 0, 1)) c->p.gpu_speed = c->speed;
    if (c->p.num_gpus % c->p.num_nodes || test_range(rng, 0, 1)) c->p.gpu_node = c->node;
    for (int g = 0; g < c->p.num_gpus; g++) sum += usable(c, g);
    if (sum < c->p.num_experts) return 0;
    for (int i = 0; i < MOST_SAMPLES * MOST_LAYERS * MOST_EXPERTS; i++) c->load[i] = (float)draw_load(rng, 1) * 0.37f;
    for (int i = 0; i < c->p.num_layers * c->p.num_experts && c->p.num_samples > 1; i++)
        c->load[i] = 0; /* the first sample holds none */
    for (int l = 0; l < c->p.num_layers; l++) draw_plan(c, c->phy2log + l * c->p.num_replicas, rng);
    return 1;
}

static double naive_speed(const report_case *c, int32_t gpu)
{
    float first = 0, same = 1;
    for (int g = 0; g < c->p.num_gpus; g++) {
        if (!c->p.gpu_speed || usable(c, g) == 0) continue;
        if (first > 0 && (c->speed[g] < first || c->speed[g] > first)) same = 0;
        first = c->speed[g];
    }
    return same > 0 ? 1 : (double)c->speed[gpu];
}

/* What of a plan's layer is there, and on which GPU. */
static int32_t naive_slot(const report_case *c, int32_t layer, int32_t slot)
{
    int32_t S = c->p.num_replicas / c->p.num_gpus;
    return slot % S < usable(c, slot / S) ? c->phy2log[layer * c->p.num_replicas + slot] : -1;
}

typedef struct naive_report {
    double max_load, mean_load, replica_balancedness, gpu_load[MOST_GPUS];
    int32_t max_logcnt, num_duplicates, num_split_groups;
} naive_report;

static void naive_count(const report_case *c, int32_t layer, int hierarchical, naive_report *r, int32_t *count)
{
    int32_t R = c->p.num_replicas, S = R / c->p.num_gpus, size = c->p.num_experts / c->p.num_groups;
    int at[8] = {0};
    for (int i = 0; i < R; i++) {
        int32_t e = naive_slot(c, layer, i), g = i / S, twice = 0;
        if (e < 0) continue;
        count[e]++;
        for (int j = g * S; j < i; j++) twice |= naive_slot(c, layer, j) == e;
        r->num_duplicates += twice;
        at[e / size] |= 1 << (c->p.gpu_node ? c->node[g] : g / (c->p.num_gpus / c->p.num_nodes));
    }
    for (int k = 0; k < c->p.num_groups && hierarchical; k++) r->num_split_groups += (at[k] & (at[k] - 1)) != 0;
    for (int e = 0; e < c->p.num_experts; e++) r->max_logcnt = count[e] > r->max_logcnt ? count[e] : r->max_logcnt;
}

static naive_report naive_evaluate(const report_case *c, int32_t layer, int hierarchical)
{
    naive_report r;
    int32_t E = c->p.num_experts, S = c->p.num_replicas / c->p.num_gpus, count[MOST_EXPERTS] = {0}, held = 0, T = 0;
    double speeds = 0, replica = 0, mean[MOST_EXPERTS] = {0}, all_loads = 0;
    memset(&r, 0, sizeof r);
    naive_count(c, layer, hierarchical, &r, count);
    for (int g = 0; g < c->p.num_gpus; g++) speeds += usable(c, g) > 0 ? naive_speed(c, g) : 0;
    for (int t = 0; t < c->p.num_samples; t++) {
        const float *load = c->load + (t * c->p.num_layers + layer) * E;
        double all = 0, most = 0;
        for (int e = 0; e < E; e++) all += (double)load[e];
        if (all <= 0) continue;
        T++;
        for (int g = 0; g < c->p.num_gpus; g++) {
            double sum = 0;
            for (int i = g * S; i < (g + 1) * S; i++)
                if (naive_slot(c, layer, i) >= 0)
                    sum += (double)load[naive_slot(c, layer, i)] / count[naive_slot(c, layer, i)];
            r.gpu_load[g] += sum;
            most = sum / naive_speed(c, g) > most ? sum / naive_speed(c, g) : most;
        }
        for (int e = 0; e < E; e++) mean[e] += (double)load[e];
        r.mean_load += all / speeds;
        all_loads += all;
        r.max_load += most;
    }
    for (int e = 0; e < E; e++) {
        replica = mean[e] / count[e] > replica ? mean[e] / count[e] : replica;
        held += count[e];
    }
    r.replica_balancedness = all_loads / held / replica;
    r.max_load /= T;
    r.mean_load /= T;
    for (int g = 0; g < c->p.num_gpus; g++) r.gpu_load[g] /= T;
    return r;
}

static int is_near(double a, double b) { return fabs(a - b) <= 1e-6 * fabs(b); }

static void check_report(const report_case *c, int32_t layer, int hierarchical, const eplb_layer_report *r,
                         const float *gpu_load, uint64_t seed)
{
    naive_report n = naive_evaluate(c, layer, hierarchical);
    CHECK(is_near((double)r->max_load, n.max_load) && is_near((double)r->mean_load, n.mean_load)
              && is_near((double)r->balancedness, n.mean_load / n.max_load)
              && is_near((double)r->replica_balancedness, n.replica_balancedness),
          "seed %llu: max %.9g, mean %.9g, balanced %.9g, replicas %.9g, not %.9g, %.9g, %.9g, %.9g",
          (unsigned long long)seed, (double)r->max_load, (double)r->mean_load, (double)r->balancedness,
          (double)r->replica_balancedness, n.max_load, n.mean_load, n.mean_load / n.max_load, n.replica_balancedness);
    CHECK(r->max_logcnt == n.max_logcnt && r->num_duplicates == n.num_duplicates
              && r->num_split_groups == n.num_split_groups,
          "seed %llu: %d replicas, %d duplicates, %d split, not %d, %d, %d", (unsigned long long)seed,
          (int)r->max_logcnt, (int)r->num_duplicates, (int)r->num_split_groups, (int)n.max_logcnt,
          (int)n.num_duplicates, (int)n.num_split_groups);
    for (int g = 0; g < c->p.num_gpus; g++)
        CHECK(is_near((double)gpu_load[layer * c->p.num_gpus + g], n.gpu_load[g]),
              "seed %llu: GPU %d has %.9g, not %.9g", (unsigned long long)seed, g,
              (double)gpu_load[layer * c->p.num_gpus + g], n.gpu_load[g]);
    CHECK(r->lower_bound >= r->mean_load && r->mean_load <= r->max_load, "seed %llu: bound %.9g, mean %.9g, max %.9g",
          (unsigned long long)seed, (double)r->lower_bound, (double)r->mean_load, (double)r->max_load);
    CHECK(hierarchical || r->lower_bound <= r->max_load || c->p.num_samples > 1, "seed %llu: bound %.9g, max %.9g",
          (unsigned long long)seed, (double)r->lower_bound, (double)r->max_load);
}

static eplb_result evaluate(report_case *c, eplb_layer_report *report, float *gpu_load)
{
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes = 0;
    eplb_result r = eplb_scratch_size(&c->p, &c->o, &bytes);
    if (r != EPLB_OK) return r;
    void *scratch = test_alloc(bytes);
    test_forget(scratch, bytes);
    plan.phy2log = c->phy2log;
    r = eplb_evaluate(&c->p, &c->o, c->load, &plan, report, gpu_load, scratch, bytes);
    free(scratch);
    return r;
}

static void test_reports(void)
{
    static report_case c;
    eplb_layer_report report[MOST_LAYERS];
    float gpu_load[MOST_LAYERS * MOST_GPUS];
    int cases = 0, split = 0;
    for (uint64_t seed = 1; seed <= REPORT_CASES; seed++) {
        if (!draw_report_case(&c, seed)) continue;
        eplb_result r = evaluate(&c, report, gpu_load);
        if (r == EPLB_ERR_DIVIDE && c.o.policy == EPLB_POLICY_HIERARCHICAL && c.p.num_groups % c.p.num_nodes)
            continue; /* nodes turned out to be alike */
        CHECK(r == EPLB_OK, "seed %llu: %s", (unsigned long long)seed, eplb_result_name(r));
        int hierarchical = c.p.num_nodes > 1
                           && (c.o.policy == EPLB_POLICY_HIERARCHICAL
                               || (c.o.policy == EPLB_POLICY_AUTO && c.p.num_groups % c.p.num_nodes == 0));
        for (int l = 0; l < c.p.num_layers && r == EPLB_OK; l++) {
            check_report(&c, l, hierarchical, &report[l], gpu_load, seed);
            split += report[l].num_split_groups > 0;
        }
        cases++;
    }
    printf("reports: %d problems, groups split in %d layers\n", cases, split);
    CHECK(cases > REPORT_CASES / 3 && split > 100, "%d, %d", cases, split);
}

/* ---------------------------------------------------------------------------- by themselves */

/* 4 experts on 2 nodes of 2 GPUs of 2 slots. */
static report_case make_known(void)
{
    static const float load[4] = {8, 4, 2, 2};
    static const int32_t phy2log[8] = {0, 1, 0, 2, 3, 0, 2, 3};
    report_case c;
    memset(&c, 0, sizeof c);
    eplb_options_preset(EPLB_PRESET_DEFAULT, &c.o);
    c.p.num_layers = 1;
    c.p.num_experts = 4;
    c.p.num_replicas = 8;
    c.p.num_gpus = 4;
    c.p.num_nodes = 2;
    c.p.num_groups = 2;
    memcpy(c.load, load, sizeof load);
    memcpy(c.phy2log, phy2log, sizeof phy2log);
    return c;
}

/* A plan in force just after a GPU has died: what was there is gone, and an expert that was there alone is nowhere. */
static void test_dead_gpu(void)
{
    static const int32_t dead_last[4] = {2, 2, 2, 0}, dead_first[4] = {0, 2, 2, 2};
    report_case c = make_known();
    eplb_layer_report r;
    float gpu_load[4];
    c.p.gpu_slots = dead_last;
    CHECK(evaluate(&c, &r, gpu_load) == EPLB_OK, "the last GPU is dead");
    CHECK(gpu_load[3] == 0 && gpu_load[1] > 4.66f && gpu_load[1] < 4.67f && is_near((double)r.mean_load, 16.0 / 3)
              && is_near((double)r.max_load, 20.0 / 3),
          "%.9g, %.9g, mean %.9g, max %.9g", (double)gpu_load[3], (double)gpu_load[1], (double)r.mean_load,
          (double)r.max_load);
    c.phy2log[7] = 99;
    CHECK(evaluate(&c, &r, gpu_load) == EPLB_OK, "no expert's number in a dead GPU's slot");
    c.phy2log[5] = 99;
    CHECK(evaluate(&c, &r, gpu_load) == EPLB_ERR_PLAN, "no expert's number in a slot");
    c = make_known();
    c.p.gpu_slots = dead_first;
    CHECK(evaluate(&c, &r, gpu_load) == EPLB_ERR_PLAN, "expert 1 was on the GPU that is dead");
}

/* A cluster of equal GPUs may say so; then nothing is divided by their speed, and reports are what they were. */
static void test_all_alike(void)
{
    static const int32_t slots[4] = {2, 2, 2, 2}, node[4] = {0, 0, 1, 1};
    static const float speed[4] = {0.3f, 0.3f, 0.3f, 0.3f};
    report_case c = make_known();
    eplb_layer_report plain, said;
    memset(&plain, 0, sizeof plain);
    memset(&said, 0, sizeof said);
    CHECK(evaluate(&c, &plain, NULL) == EPLB_OK, "nothing said");
    c.p.gpu_slots = slots;
    c.p.gpu_speed = speed;
    c.p.gpu_node = node;
    CHECK(evaluate(&c, &said, NULL) == EPLB_OK, "all said");
    CHECK(memcmp(&plain, &said, sizeof plain) == 0, "max %.9g and %.9g", (double)plain.max_load, (double)said.max_load);
    CHECK(plain.num_split_groups == 2, "%d groups split", (int)plain.num_split_groups);
}

/* Speeds near the ends of float: no overflow, and no bound above what is reached. */
static void test_extreme_speeds(void)
{
    static const float speed[3][4] = {
        {1e-37f, 1e38f, 1, 2}, {1e38f, 1e-37f, 1e38f, 3}, {1e-37f, 2e-37f, 1e-37f, 3e-37f}};
    for (int i = 0; i < 3; i++) {
        report_case c = make_known();
        eplb_layer_report r;
        c.p.gpu_speed = speed[i];
        c.o.policy = EPLB_POLICY_GLOBAL;
        CHECK(evaluate(&c, &r, NULL) == EPLB_OK, "speeds %d", i);
        CHECK(r.lower_bound <= r.max_load && r.lower_bound >= r.mean_load && r.mean_load >= 0 && r.balancedness >= 0
                  && r.balancedness <= 1,
              "speeds %d: mean %.9g, bound %.9g, max %.9g", i, (double)r.mean_load, (double)r.lower_bound,
              (double)r.max_load);
    }
}

int main(int argc, char **argv)
{
    test_small(argc > 2 ? strtoull(argv[1], NULL, 0) : 1, argc > 2 ? strtoull(argv[2], NULL, 0) : SMALL_CASES);
    test_reports();
    test_dead_gpu();
    test_all_alike();
    test_extreme_speeds();
    return test_report("test_bound_cluster");
}
