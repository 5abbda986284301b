/* test_homes.c - groups on nodes that are not alike, where some have to be split: all ways that the library leaves out are
   tried here, one after the other, and none of them is more even than the one it finds. How even a way is the library says.

   usage: test_homes [first seed [count]] */
#define EPLB_IMPLEMENTATION
#include "eplb.h"
#include "test.h"
#include "planning.h"
#include "random_problem.h"

enum { HOMES_NODES = 4, HOMES_GROUPS = 7, HOMES_GPUS = 12, HOMES_EXPERTS = 42, HOMES_SLOTS = 120 };

typedef struct homes_case {
    uint64_t seed;
    eplb_problem problem;
    eplb_options options;
    int32_t slots[HOMES_GPUS], before[HOMES_SLOTS];
    float speed[HOMES_GPUS], load[HOMES_EXPERTS];
    uint8_t locked[HOMES_SLOTS];
} homes_case;

static long homes_tried, homes_left_out, homes_bound;

/* Some experts are in a slot that is locked. */
static void homes_lock(homes_case *c, uint64_t *state)
{
    int32_t S = c->problem.num_replicas / c->problem.num_gpus;
    for (int32_t i = 0; i < c->problem.num_replicas; i++) c->before[i] = -1;
    for (int32_t e = 0; e < c->problem.num_experts; e++) {
        int32_t i = test_range(state, 0, c->problem.num_replicas - 1);
        if (c->before[i] >= 0 || i % S >= c->slots[i / S] || test_range(state, 0, 3)) continue;
        c->before[i] = e;
        c->locked[i] = 1;
    }
    c->options.previous_phy2log = c->before;
    c->problem.locked = c->locked;
}

/* Slots for the experts and few more, so that groups mostly have to be split. */
static void homes_draw(homes_case *c, uint64_t seed)
{
    uint64_t state = seed;
    eplb_problem *p = &c->problem;
    memset(c, 0, sizeof *c);
    c->seed = seed;
    p->num_layers = 1;
    p->num_nodes = test_range(&state, 2, HOMES_NODES);
    p->num_groups = test_range(&state, 2, HOMES_GROUPS);
    p->num_experts = p->num_groups * test_range(&state, 1, HOMES_EXPERTS / HOMES_GROUPS);
    p->num_gpus = p->num_nodes * test_range(&state, 1, HOMES_GPUS / HOMES_NODES);
    int32_t each = (p->num_experts + p->num_gpus - 1) / p->num_gpus + test_range(&state, 0, 3), sum = 0;
    p->num_replicas = each * p->num_gpus;
    for (int32_t g = 0; g < p->num_gpus; g++) {
        c->slots[g] = each - (test_range(&state, 0, 4) == 0);
        c->speed[g] = 0.5f * (float)test_range(&state, 1, 3);
        sum += c->slots[g];
    }
    for (int32_t g; sum >= p->num_experts + each; sum -= c->slots[g], c->slots[g] = 0)
        g = test_range(&state, 0, p->num_gpus - 1);
    p->gpu_slots = c->slots;
    p->gpu_speed = test_range(&state, 0, 2) ? NULL : c->speed;
    CHECK(eplb_options_preset(EPLB_PRESET_DEFAULT, &c->options) == EPLB_OK, "options");
    c->options.policy = EPLB_POLICY_HIERARCHICAL;
    int kind = test_range(&state, 0, 3);
    for (int32_t e = 0; e < p->num_experts; e++)
        c->load[e] = kind ? random_load(&state, LOAD_LOGNORMAL) : (float)test_range(&state, 1, 4);
    if (test_range(&state, 0, 2) == 0) homes_lock(c, &state);
}

/* What the slowest node takes in the most even of all ways of groups key[at] .. key[num - 1]. */
static float homes_least(eplb_p_homes *h, const uint64_t *key, int32_t at, int32_t num, int32_t num_split)
{
    int32_t N = h->layer->shape->num_nodes, group = at < num ? eplb_p_index(key[at]) : 0;
    float least = FLT_MAX;
    if (at == num) return eplb_p_weigh_evenness(h, FLT_MAX).slowest;
    for (int32_t node = 0; node <= N; node++) {
        if (node < N ? h->left[node] < h->layer->shape->group_size : h->fill[N] == num_split) continue;
        eplb_p_put_home(h, group, node, 1);
        float slowest = homes_least(h, key, at + 1, num, num_split);
        least = slowest < least ? slowest : least;
        eplb_p_put_home(h, group, node, -1);
    }
    return least;
}

/* Loads and room of the nodes are those of the groups that are there. */
static void homes_check_sums(const eplb_p_homes *h, const int32_t *left, uint64_t seed)
{
    for (int32_t node = 0; node <= h->layer->shape->num_nodes; node++) {
        int64_t load = 0;
        int32_t fill = 0;
        for (int32_t k = 0; k < h->layer->shape->num_groups; k++) {
            load += h->node[k] == node ? h->load[k] : 0;
            fill += h->node[k] == node;
        }
        CHECK(load == h->node_load[node] && fill == h->fill[node], "seed %llu: node %d", (unsigned long long)seed,
              (int)node);
        if (node < h->layer->shape->num_nodes)
            CHECK(h->left[node] == left[node] - fill * h->layer->shape->group_size, "seed %llu: room of node %d",
                  (unsigned long long)seed, (int)node);
    }
}

static void homes_check_ways(eplb_p_homes *h, uint64_t seed)
{
    int32_t N = h->layer->shape->num_nodes, num = 0, num_split, left[HOMES_NODES], node[HOMES_GROUPS];
    uint64_t key[HOMES_GROUPS];
    eplb_p_evenness e, now;
    eplb_p_bind_homes(h);
    memcpy(left, h->left, (size_t)N * sizeof *left);
    eplb_p_place_homes(h, (int32_t)(seed % 4) - 1);
    num_split = h->fill[N];
    if (num_split == 0) return;
    e = seed % 2 ? eplb_p_even_homes(h) : eplb_p_weigh_evenness(h, FLT_MAX);
    float before = e.slowest;
    int all = eplb_p_try_all_ways(h, &e);
    homes_check_sums(h, left, seed);
    now = eplb_p_weigh_evenness(h, FLT_MAX);
    CHECK(!(now.slowest < e.slowest) && !(now.slowest > e.slowest) && !(e.slowest > before),
          "seed %llu: %g, told %g, was %g", (unsigned long long)seed, (double)now.slowest, (double)e.slowest,
          (double)before);
    memcpy(node, h->node, (size_t)h->layer->shape->num_groups * sizeof *node);
    for (int32_t k = 0; k < h->layer->shape->num_groups; k++) {
        homes_bound += h->bound[k] >= 0;
        if (h->bound[k] >= 0) continue;
        key[num++] = eplb_p_heavy_first(eplb_p_float_of(h->load[k]), k);
        eplb_p_put_home(h, k, node[k], -1);
    }
    eplb_p_sort(key, h->spare, num);
    homes_tried += all;
    homes_left_out += !all;
    float least = homes_least(h, key, 0, num, num_split);
    CHECK(!all || e.slowest <= least * 1.0005f, "seed %llu: %g, and could be %g", (unsigned long long)seed,
          (double)e.slowest, (double)least);
}

static void homes_check_case(uint64_t seed)
{
    homes_case c;
    int32_t phy2log[HOMES_SLOTS];
    eplb_plan plan = EPLB_ZERO_INIT;
    eplb_p_planning all;
    size_t bytes = 0;
    homes_draw(&c, seed);
    plan.phy2log = phy2log;
    eplb_result r = eplb_scratch_size(&c.problem, &c.options, &bytes);
    CHECK(r == EPLB_OK || r == EPLB_ERR_DIVIDE || r == EPLB_ERR_TOO_FEW, "seed %llu: %s", (unsigned long long)seed,
          eplb_result_name(r));
    if (r != EPLB_OK) /* nodes are alike, and do not divide the groups; or slots are too few */
        return;
    void *scratch = test_alloc(bytes);
    eplb_p_call call = eplb_p_call_of(&c.problem, &c.options, c.load, &plan, scratch, bytes);
    r = eplb_p_prepare(&call, &all);
    CHECK(r == EPLB_OK || (r == EPLB_ERR_PLAN && c.problem.locked), "seed %llu: %s", (unsigned long long)seed,
          eplb_result_name(r));
    if (r == EPLB_OK && call.shape.odd) {
        eplb_p_arena a = all.planner.room;
        eplb_p_homes h = eplb_p_carve_homes(&a, &all.planner.layer);
        eplb_p_weigh_layer(&all.planner.layer, c.load, 0);
        eplb_p_number_locked(&all.planner.layer, 0);
        eplb_p_enter_phase(&all.planner.shared, all.planner.groups_bytes);
        eplb_p_rank_homes(&h);
        eplb_p_weigh_nodes(&h);
        eplb_p_list_bids(&h);
        homes_check_ways(&h, seed);
        eplb_p_leave_phases(&all.planner.shared);
    }
    free(scratch);
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 8000;
    for (uint64_t seed = first; seed < first + count; seed++) homes_check_case(seed);
    printf("%ld times all ways were tried, %ld times not; %ld groups were bound\n", homes_tried, homes_left_out,
           homes_bound);
    CHECK(argc > 1 || (homes_tried > 800 && homes_left_out > 100 && homes_bound > 100), "too few cases");
    return test_report("test_homes");
}
