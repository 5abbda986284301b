/* moves.c - from a plan in force to another: the transfers, or the steps in place; and whether a plan may be put in
   force. Both come as files that map.c reads. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* -------------------------------------------------------------------------------------- plans */

static int32_t highest_id(const plan_map *m)
{
    int32_t highest = 0;
    for (size_t i = 0; i < (size_t)m->num_layers * (size_t)m->num_replicas; i++) {
        if (m->phy2log[i] > highest) highest = m->phy2log[i];
    }
    return highest;
}

/* As --experts has it, or a file says; else the largest id + 1. */
static int32_t num_experts_of(const settings *s, const plan_map *before, const plan_map *after)
{
    int32_t a = before ? highest_id(before) : 0, b = highest_id(after), most = a > b ? a : b;
    if (s->reading.num_experts) return s->reading.num_experts;
    if (after->num_experts || (before && before->num_experts))
        return after->num_experts ? after->num_experts : before->num_experts;
    return most < INT32_MAX ? most + 1 : most;
}

/* Ends the program unless the plan before is of the same slots, and of the layers of the one after. */
static void check_same_shape(const plan_map *before, const plan_map *after)
{
    if (before->num_replicas != after->num_replicas)
        fail(STATUS_INPUT, "%s: %d slots in a layer, but %s has %d", after->name, (int)after->num_replicas,
             before->name, (int)before->num_replicas);
    bool same = before->num_layers == after->num_layers && !before->layer == !after->layer;
    for (int32_t i = 0; same && before->layer && i < before->num_layers; i++)
        same = before->layer[i] == after->layer[i];
    if (same) return;
    if (before->layer && after->layer)
        fail(STATUS_INPUT, "%s: layers %s, but %s has %s", after->name,
             list_numbers(after->layer, after->num_layers).text, before->name,
             list_numbers(before->layer, before->num_layers).text);
    if (before->num_layers != after->num_layers)
        fail(STATUS_INPUT, "%s: plans of %d layer%s, but %s has %d", after->name, (int)after->num_layers,
             after->num_layers == 1 ? "" : "s", before->name, (int)before->num_layers);
}

static int32_t *take_slots(const plan_map *m)
{
    size_t count = (size_t)m->num_layers * (size_t)m->num_replicas;
    int32_t *slots = (int32_t *)allocate(count, sizeof *slots);
    memcpy(slots, m->phy2log, count * sizeof *slots);
    return slots;
}

/* Before is NULL where there is none. */
static two_plans plans_of(const settings *s, const plan_map *before, const plan_map *after)
{
    two_plans p;
    memset(&p, 0, sizeof p);
    p.problem.num_layers = after->num_layers;
    p.problem.num_experts = num_experts_of(s, before, after);
    p.problem.num_replicas = after->num_replicas;
    p.problem.num_groups = s->groups;
    p.problem.num_nodes = s->nodes;
    p.problem.num_gpus = s->gpus;
    p.problem.num_samples = 1;
    check_slots(s, after, p.problem.num_experts);
    take_cluster(s, &p.problem);
    p.after_file = after->name;
    p.after_name = plain_name(after->name);
    p.after = take_slots(after);
    p.layer = (int64_t *)allocate((size_t)after->num_layers, sizeof *p.layer);
    for (int32_t i = 0; i < after->num_layers; i++) p.layer[i] = after->layer ? after->layer[i] : i;
    if (before) {
        check_same_shape(before, after);
        p.before_file = before->name;
        p.before_name = plain_name(before->name);
        p.before = take_slots(before);
    }
    return p;
}

static two_plans read_plans(const settings *s, const char *before_path, const char *after_path)
{
    plan_map before, after = map_read(after_path, &s->reading);
    memset(&before, 0, sizeof before);
    if (before_path) before = map_read(before_path, &s->reading);
    two_plans p = plans_of(s, before_path ? &before : NULL, &after);
    map_free(&before);
    map_free(&after);
    return p;
}

static void free_plans(two_plans *p)
{
    free(p->layer);
    free(p->before);
    free(p->after);
}

static void *scratch_for(const eplb_problem *q, size_t *bytes)
{
    *bytes = 0;
    (void)eplb_transfers_scratch_size(q, bytes);
    return allocate(*bytes ? *bytes : 1, 1);
}

/* ---------------------------------------------------------------------------------- transfers */

/* An expert of either plan that there is none of. */
static void check_experts(const two_plans *p, const int32_t *slots, const char *name)
{
    for (size_t i = 0; i < (size_t)p->problem.num_layers * (size_t)p->problem.num_replicas; i++) {
        size_t R = (size_t)p->problem.num_replicas;
        if (slots[i] >= p->problem.num_experts)
            fail(STATUS_INPUT, "%s: layer %lld, slot %d: expert %d, but there are %d experts", name,
                 (long long)p->layer[i / R], (int)(i % R), (int)slots[i], (int)p->problem.num_experts);
    }
}

moving make_moving(const settings *s)
{
    two_plans plans = read_plans(s, s->inputs[0], s->inputs[1]);
    check_experts(&plans, plans.before, plans.before_file);
    check_experts(&plans, plans.after, plans.after_file);
    return moving_between(plans, &s->how, s->in_place);
}

moving moving_between(two_plans plans, const eplb_transfer_options *how, bool in_place)
{
    moving m;
    size_t bytes, room;
    memset(&m, 0, sizeof m);
    m.plans = plans;
    const eplb_problem *q = &m.plans.problem;
    eplb_options any = EPLB_ZERO_INIT;
    any.policy = EPLB_POLICY_GLOBAL;
    void *scratch = scratch_for(q, &bytes);
    room = (size_t)q->num_layers * (size_t)q->num_replicas * (in_place ? 2 : 1); /* a ring has two slots */
    m.transfer = (eplb_transfer *)allocate(room, sizeof *m.transfer);
    m.num_staging = (int32_t *)allocate((size_t)q->num_layers, sizeof *m.num_staging);
    check_result(q, &any, NULL,
                 in_place
                     ? eplb_transfers_in_place(q, m.plans.before, m.plans.after, how, m.transfer, room, &m.num,
                                               m.num_staging, scratch, bytes)
                     : eplb_transfers(q, m.plans.before, m.plans.after, how, m.transfer, room, &m.num, scratch, bytes));
    free(scratch);
    return m;
}

void free_moving(moving *m)
{
    free_plans(&m->plans);
    free(m->transfer);
    free(m->num_staging);
}

const char *transfer_kind_name(int32_t kind)
{
    static const char *const NAMES[EPLB_NUM_TRANSFERS] = {"same_gpu", "same_node", "other_node", "lost"};
    return NAMES[kind];
}

int32_t gpu_of_slot(const eplb_problem *q, int32_t slot)
{
    return slot < q->num_replicas ? slot / (q->num_replicas / q->num_gpus) : slot - q->num_replicas;
}

bool is_move(const eplb_transfer *t)
{
    return t->kind == EPLB_TRANSFER_SAME_NODE || t->kind == EPLB_TRANSFER_OTHER_NODE;
}

move_totals total_of_moves(const moving *m, int32_t layer)
{
    int32_t *sends = (int32_t *)allocate((size_t)m->plans.problem.num_gpus * 2, sizeof *sends);
    int32_t *gets = sends + m->plans.problem.num_gpus;
    size_t R = (size_t)m->plans.problem.num_replicas, first = (size_t)layer * R;
    move_totals t;
    memset(&t, 0, sizeof t);
    for (size_t slot = first; slot < first + R; slot++) t.changed += m->plans.before[slot] != m->plans.after[slot];
    t.num_staging = m->num_staging[layer];
    for (size_t i = 0; i < m->num; i++) {
        const eplb_transfer *one = &m->transfer[i];
        if (one->layer != layer) continue;
        t.kind[one->kind]++;
        t.rounds = one->round >= t.rounds ? one->round + 1 : t.rounds;
        if (!is_move(one)) continue;
        t.moves++;
        int32_t sent = ++sends[gpu_of_slot(&m->plans.problem, one->from_slot)];
        int32_t got = ++gets[gpu_of_slot(&m->plans.problem, one->to_slot)];
        t.most_sends = sent > t.most_sends ? sent : t.most_sends;
        t.most_gets = got > t.most_gets ? got : t.most_gets;
    }
    free(sends);
    return t;
}

/* -------------------------------------------------------------------------------------- check */

checking make_checking(const settings *s)
{
    checking c;
    size_t bytes;
    eplb_options options = make_options(s, s->preset[0]);
    memset(&c, 0, sizeof c);
    take_limits(s, s->preset[0], &options);
    c.plans = read_plans(s, s->previous, s->inputs[0]);
    options.previous_phy2log = c.plans.before;
    void *scratch = scratch_for(&c.plans.problem, &bytes);
    eplb_result result = eplb_check_plan(&c.plans.problem, &options, c.plans.after, &c.fault, scratch, bytes);
    if (result != EPLB_ERR_PLAN) check_result(&c.plans.problem, &options, NULL, result);
    free(scratch);
    return c;
}

void free_checking(checking *c) { free_plans(&c->plans); }
