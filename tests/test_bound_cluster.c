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

enum { SMALL_CASES = 7000, REPORT_CASES = 1500, MOST_GPUS = 12, MOST_EXPERTS = 48, MOST_SLOTS = 96, MOST_LAYERS = 2, MOST_SAMPLES = 3 };

/* What a small layer has that makes it odd; each is one row of the table of gaps. */
enum { ROOMS = 1, SPEEDS = 2, NODES = 4, CAP = 8, LOCKED = 16, SURVIVE = 32 };

typedef struct small_case {
    eplb_problem    p;
    eplb_options    o;
    cluster_problem exact;
    int             odd;
    int32_t         slots[CLUSTER_GPUS], node[CLUSTER_GPUS], previous[CLUSTER_GPUS * CLUSTER_ROOM];
    float           speed[CLUSTER_GPUS], load[CLUSTER_EXPERTS];
    uint8_t         locked[CLUSTER_GPUS * CLUSTER_ROOM];
} small_case;

static int32_t draw_load(uint64_t *rng, double steepness)
{
    double normal = -6;
    for (int i = 0; i < 12; i++)
        normal += (double)(test_next(rng) >> 11) * 0x1p-53;
    double load = 100 * exp(steepness * normal);
    return load < 20000 ? (int32_t)load : 20000;
}

/* --------------------------------------------------------------------------- small layers */

/* Hardly more slots than experts, so that groups may have to be split. */
static void draw_few_slots(small_case *c, uint64_t *rng)
{
    int32_t usable = 0, most = c->p.num_experts + test_range(rng, 0, 2);
    for (int g = 0; g < c->p.num_gpus; g++)
        usable += c->slots[g];
    while (usable > most) {
        int g = test_range(rng, 0, c->p.num_gpus - 1);
        if (c->slots[g] == 0)
            continue;
        c->exact.room[g] = --c->slots[g];
        usable--;
    }
}

static void draw_gpus(small_case *c, uint64_t *rng)
{
    static const int few[2] = {5, 4}, many[5] = {8, 5, 4, 2, 1};
    int32_t          S = c->p.num_replicas / c->p.num_gpus, mixed = test_range(rng, 0, 1), dead = test_range(rng, 0, 1);
    for (int g = 0; g < c->p.num_gpus; g++) {
        c->slots[g] = test_range(rng, 0, 2) ? S : dead ? 0 : test_range(rng, 0, S);
        c->exact.room[g] = c->odd & ROOMS ? c->slots[g] : S;
        c->exact.speed[g] = !(c->odd & SPEEDS) ? 1 : mixed ? many[test_range(rng, 0, 4)] : few[test_range(rng, 0, 1)];
        c->speed[g] = (float)c->exact.speed[g];
    }
    if (c->odd & ROOMS)
        c->p.gpu_slots = c->slots;
    if ((c->odd & ROOMS) && test_range(rng, 0, 1))
        draw_few_slots(c, rng);
    if (c->odd & SPEEDS)
        c->p.gpu_speed = c->speed;
}

/* Where all that live are as fast, loads are not divided. */
static int even_speeds(small_case *c)
{
    int first = 0;
    for (int g = 0; g < c->p.num_gpus; g++) {
        if (c->exact.room[g] == 0)
            continue;
        if (first && c->exact.speed[g] != first)
            return 0;
        first = c->exact.speed[g];
    }
    for (int g = 0; g < c->p.num_gpus; g++)
        c->exact.speed[g] = 1;
    return 1;
}

/* Nodes of the cluster, and by the policy. */
static void draw_nodes(small_case *c, uint64_t *rng)
{
    int32_t G = c->p.num_gpus, N = c->p.num_nodes, hierarchical;
    for (int g = 0, n = 0; g < G; g++) {
        if (c->odd & NODES) {
            while (n < N - 1 && test_range(rng, 0, 1))
                n++;
            c->node[g] = n;
        } else {
            c->node[g] = g / (G / N);
        }
    }
    if (c->odd & NODES)
        c->p.gpu_node = c->node;
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
        if (!c->locked[i] || i % S >= c->exact.room[i / S])
            continue;
        if (c->previous[i] >= 0)
            c->exact.locked[c->previous[i]][i / S]++;
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

static int draw_small(small_case *c, uint64_t seed)
{
    uint64_t state = seed * 7919, *rng = &state;
    int32_t  usable = 0;
    memset(c, 0, sizeof *c);
    eplb_options_preset(EPLB_PRESET_DEFAULT, &c->o);
    c->odd = test_range(rng, 1, 7);
    if (test_range(rng, 0, 1))
        c->odd |= CAP << test_range(rng, 0, 2);
    c->p.num_layers = 1;
    c->p.num_gpus = test_range(rng, 2, CLUSTER_GPUS);
    c->p.num_replicas = c->p.num_gpus * test_range(rng, 1, CLUSTER_ROOM);
    c->p.num_nodes = test_range(rng, 1, CLUSTER_NODES);
    c->p.num_groups = test_range(rng, 1, 4);
    c->p.num_experts = c->p.num_groups * test_range(rng, 1, 4);
    if (c->p.num_experts < 2 || c->p.num_experts > CLUSTER_EXPERTS || c->p.num_replicas < c->p.num_experts ||
        (!(c->odd & NODES) && c->p.num_gpus % c->p.num_nodes) || c->p.num_replicas - c->p.num_experts > 5)
        return 0;
    c->o.policy = c->p.num_nodes > 1 && test_range(rng, 0, 3) ? EPLB_POLICY_HIERARCHICAL : EPLB_POLICY_GLOBAL;
    if ((c->odd & SURVIVE) && !(c->odd & LOCKED))
        c->p.survive = c->o.policy == EPLB_POLICY_GLOBAL ? test_range(rng, 1, 2) : EPLB_SURVIVE_GPU;
    draw_gpus(c, rng);
    draw_nodes(c, rng);
    if (even_speeds(c))
        c->odd &= ~SPEEDS;
    for (int g = 0; g < c->p.num_gpus; g++)
        usable += c->exact.room[g];
    if (usable < c->p.num_experts || (c->exact.nodes > 1 && !may_be_hierarchical(c, usable)))
        return 0;
    if (c->odd & CAP)
        c->o.max_replicas = (usable - 1) / c->p.num_experts + test_range(rng, 1, 2);
    if (c->odd & LOCKED)
        draw_locks(c, rng);
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
            for (int h = 0; h < best->held[e][g]; h++)
                phy2log[slot++] = e;
        for (; slot < end; slot++)
            phy2log[slot] = -1;
        for (; slot < (g + 1) * S; slot++)
            phy2log[slot] = slot % 3 ? 0 : 1000000;
    }
}

static eplb_result evaluate_small(const small_case *c, const int32_t *phy2log, eplb_layer_report *report)
{
    eplb_plan   plan = EPLB_ZERO_INIT;
    size_t      bytes = 0;
    eplb_result r = eplb_scratch_size(&c->p, &c->o, &bytes);
    if (r != EPLB_OK)
        return r;
    unsigned char *scratch = (unsigned char *)test_alloc(bytes + 2) + 1;
    int32_t       *slots = (int32_t *)test_alloc((size_t)c->p.num_replicas * sizeof(int32_t));
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
    double      most; /* what the mean may be, in percent */
    double      sum;
    int         cases;
} gap;

static void add_gap(gap *g, double percent)
{
    g->sum += percent;
    g->cases++;
}

enum { GAP_ROOMS, GAP_SPEEDS, GAP_BOTH, GAP_WHOLE, GAP_ONE_SPLIT, GAP_MORE_SPLIT, GAP_CAP, GAP_SURVIVE, GAP_LOCKED, NUM_GAPS };

static int gap_of(const small_case *c, const cluster_optimum *best)
{
    if (c->p.locked)
        return GAP_LOCKED;
    if (c->p.survive)
        return GAP_SURVIVE;
    if (c->o.max_replicas)
        return GAP_CAP;
    if (c->exact.nodes > 1)
        return best->split > 1 ? GAP_MORE_SPLIT : best->split == 1 ? GAP_ONE_SPLIT : GAP_WHOLE;
    return !(c->odd & SPEEDS) ? GAP_ROOMS : c->odd & ROOMS ? GAP_BOTH : GAP_SPEEDS;
}

static void check_small(const small_case *c, uint64_t seed, gap *gaps)
{
    int32_t           phy2log[CLUSTER_GPUS * CLUSTER_ROOM];
    eplb_layer_report report;
    cluster_optimum   best = cluster_solve(&c->exact);
    if (best.best == CLUSTER_NEVER)
        return; /* the locks leave no plan */
    double optimum = (double)best.best / ((double)CLUSTER_UNIT * CLUSTER_SPEEDS);
    write_plan(c, &best, phy2log);
    eplb_result r = evaluate_small(c, phy2log, &report);
    CHECK(r == EPLB_OK, "seed %llu: %s", (unsigned long long)seed, eplb_result_name(r));
    if (r != EPLB_OK)
        return;
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
    gap gaps[NUM_GAPS] = {{"rooms", 100, 0, 0},        {"speeds", 100, 0, 0},     {"rooms and speeds", 100, 0, 0},
                          {"nodes", 100, 0, 0},        {"one group split", 100, 0, 0}, {"more split", 100, 0, 0},
                          {"max_replicas", 100, 0, 0}, {"survive", 100, 0, 0},    {"locked", 100, 0, 0}};
    for (uint64_t seed = first; seed < first + count; seed++)
        if (draw_small(&c, seed))
            check_small(&c, seed, gaps);
    for (int i = 0; i < NUM_GAPS; i++) {
        if (gaps[i].cases == 0)
            continue;
        printf("bound, %s: %d layers, optimum %.3f %% above it on average\n", gaps[i].what, gaps[i].cases,
               gaps[i].sum / gaps[i].cases);
        CHECK(count < SMALL_CASES || gaps[i].sum / gaps[i].cases <= gaps[i].most, "%s: %.3f %%", gaps[i].what,
              gaps[i].sum / gaps[i].cases);
    }
}

int main(int argc, char **argv)
{
    test_small(argc > 2 ? strtoull(argv[1], NULL, 0) : 1, argc > 2 ? strtoull(argv[2], NULL, 0) : SMALL_CASES);
    return test_report("test_bound_cluster");
}
