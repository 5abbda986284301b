/* plan.c - planning: the library called layer by layer, and what scores and replays need of it, too. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A load as a part of a larger one: 1 when there is no load, NaN when sums have left float32. */
double load_share(double load, double larger)
{
    if (!isfinite(load) || !isfinite(larger)) return (double)NAN;
    return larger > 0 ? load / larger : 1;
}

float weight_of_age(const settings *s, int32_t newer) { return (float)half_to_the(newer / s->half_life); }

/* What each sample counts for, the newest with load 1; NULL when all count alike. Only samples with load
   age others, so that more of those without leave all weights as they are. */
static float *make_sample_weight(const settings *s, const loads *table)
{
    if (s->half_life <= 0) return NULL;
    float *weight = (float *)allocate((size_t)table->num_samples, sizeof(float));
    size_t count = (size_t)table->num_layers * (size_t)table->num_experts;
    int32_t newer = 0;
    for (int32_t t = table->num_samples - 1; t >= 0; t--) {
        weight[t] = weight_of_age(s, newer);
        newer += holds_load(table->weight + (size_t)t * count, count);
    }
    return weight;
}

/* first_layer, num_layers and layer, as asked for. */
static void select_layers(planning *p, const settings *s, const feed *from)
{
    int32_t L = from->num_layers, first = 0, end = L;
    if (s->layers) {
        while (first < L && from->layer[first] < s->first_layer) first++;
        for (end = first; end < L && from->layer[end] <= s->last_layer;) end++;
        if (first == end || s->first_layer < from->layer[0] || s->last_layer > from->layer[L - 1])
            fail(STATUS_INPUT, "--layers %s, but the layers are %s", s->layers, list_numbers(from->layer, L).text);
    }
    p->first_layer = first;
    p->num_layers = end - first;
    p->layer = from->layer + first;
    if (s->show >= 0 && find_number(p->layer, p->num_layers, s->show) < 0)
        fail(STATUS_INPUT, "--show %lld, but the layers planned are %s", (long long)s->show,
             list_numbers(p->layer, p->num_layers).text);
}

/* What there is without a planner: the slots that may be used hold the experts in order, the spare ones the first
   experts again. */
void plan_in_order(const eplb_problem *q, int32_t *phy2log)
{
    int32_t n = 0;
    for (int32_t slot = 0; slot < q->num_replicas; slot++) phy2log[slot] = may_use(q, slot) ? n++ % q->num_experts : -1;
}

/* Sets previous. Layers that are not planned are empty. */
static void take_previous(planning *p, const feed *from, const plan_map *map)
{
    size_t L = (size_t)from->num_layers, R = (size_t)p->problem.num_replicas;
    if (map->num_replicas != p->problem.num_replicas)
        fail(STATUS_INPUT, "%s: %d slots in a layer, but --replicas is %d", map->name, (int)map->num_replicas,
             (int)p->problem.num_replicas);
    p->previous = (int32_t *)allocate(L, R * sizeof(int32_t));
    memset(p->previous, 0xff, L * R * sizeof(int32_t));
    for (int32_t i = p->first_layer; i < p->first_layer + p->num_layers; i++)
        memcpy(p->previous + (size_t)i * R,
               map_known_slots_of(map, from->layer, from->num_layers, i, from->num_experts), R * sizeof(int32_t));
    p->options.previous_phy2log = p->previous;
    p->previous_name = plain_name(map->name);
}

planning begin_planning(const settings *s, const feed *from, const plan_map *previous)
{
    planning p;
    memset(&p, 0, sizeof p);
    p.problem = make_problem(s, from);
    p.options = make_options(s, s->preset[0]);
    take_limits(s, s->preset[0], &p.options);
    select_layers(&p, s, from);
    if (previous) take_previous(&p, from, previous);
    check_result(&p.problem, &p.options, NULL, eplb_scratch_size(&p.problem, &p.options, &p.scratch_bytes));

    /* eplb_scratch_size has found that L * R and T * L * E fit. */
    size_t G = (size_t)s->gpus, n = (size_t)p.num_layers;
    p.result = (layer_result *)allocate(n, sizeof(layer_result));
    p.gpu_before = (float *)allocate(n * G, sizeof(float));
    p.gpu_after = (float *)allocate(n * G, sizeof(float));
    p.weight = (float *)allocate((size_t)from->num_samples * (size_t)from->num_experts, sizeof(float));
    p.scratch = allocate(p.scratch_bytes, 1);
    return p;
}

void take_layer(planning *p, const loads *table, int32_t layer)
{
    size_t T = (size_t)table->num_samples, L = (size_t)table->num_layers, E = (size_t)table->num_experts;
    for (size_t t = 0; t < T; t++)
        memcpy(p->weight + t * E, table->weight + (t * L + (size_t)layer) * E, E * sizeof(float));
}

eplb_layer_report evaluate_layer(const planning *p, int32_t *phy2log, float *gpu_load)
{
    eplb_problem one = p->problem;
    eplb_options options = p->options;
    eplb_plan plan = {phy2log, NULL, NULL, NULL, 0, NULL};
    eplb_layer_report report;
    one.num_layers = 1;
    options.previous_phy2log = NULL; /* it has the layers of the whole problem, and scores need none */
    check_result(&one, &options, p->weight,
                 eplb_evaluate(&one, &options, p->weight, &plan, &report, gpu_load, p->scratch, p->scratch_bytes));
    return report;
}

/* The first slot that may be used with this slot's expert. */
static int32_t slot_of_expert(const planning *p, const int32_t *phy2log, int32_t slot)
{
    int32_t each = p->problem.num_replicas / p->problem.num_gpus, first = 0;
    while (phy2log[first] != phy2log[slot] || first % each >= usable_slots(&p->problem, first / each)) first++;
    return first;
}

/* Ends the program unless the layer could be planned. Ids are checked by now: the only plan in force that is still
   wrong does not keep to the policy. */
static void check_planned(const planning *p, const float *weight, eplb_result result)
{
    eplb_diagnosis why = {EPLB_OK, "", -1, -1, -1, 0, 0};
    if (result == EPLB_ERR_PLAN)
        (void)eplb_diagnose(&p->problem, &p->options, weight, &p->plan, p->scratch, p->scratch_bytes, &why);
    if (why.layer < 0 || why.item < 0 || !p->previous) {
        check_result(&p->problem, &p->options, weight, result);
        return;
    }
    const int32_t *phy2log = p->previous + (size_t)why.layer * (size_t)p->problem.num_replicas;
    fail(STATUS_INPUT,
         "%s: layer %lld, slot %d: expert %d is on another node than in slot %d; with --policy global, or without "
         "limits, that may be",
         p->previous_name.text, (long long)p->layer[why.layer - p->first_layer], (int)why.item, (int)phy2log[why.item],
         (int)slot_of_expert(p, phy2log, why.item));
}

/* Plans one layer, and scores it before and after. */
static void plan_layer(planning *p, const loads *table, int32_t i, int32_t *before)
{
    size_t G = (size_t)p->problem.num_gpus, R = (size_t)p->problem.num_replicas;
    int32_t layer = p->first_layer + i;
    layer_result *r = &p->result[i];
    double begun = seconds_now();
    eplb_result result;
    result = eplb_rebalance_layers(&p->problem, &p->options, table->weight, &p->plan, p->scratch, p->scratch_bytes,
                                   layer, 1);
    r->microseconds = 1e6 * (seconds_now() - begun);
    check_planned(p, table->weight, result);
    take_layer(p, table, layer);
    r->before = evaluate_layer(p, before, p->gpu_before + (size_t)i * G);
    r->after = evaluate_layer(p, p->plan.phy2log + (size_t)layer * R, p->gpu_after + (size_t)i * G);
    for (size_t slot = 0; slot < R; slot++) r->num_empty += p->plan.phy2log[(size_t)layer * R + slot] < 0;
}

static int32_t *copy_slots(const planning *p, const int32_t *phy2log)
{
    size_t R = (size_t)p->problem.num_replicas, count = (size_t)p->num_layers * R;
    int32_t *slots = (int32_t *)allocate(count, sizeof *slots);
    memcpy(slots, phy2log + (size_t)p->first_layer * R, count * sizeof *slots);
    return slots;
}

/* Sets moving, and of each layer's result what is of it. */
static void find_moves(planning *p, const settings *s)
{
    two_plans plans;
    memset(&plans, 0, sizeof plans);
    plans.problem = p->problem;
    plans.problem.num_layers = p->num_layers;
    plans.problem.num_groups = 1; /* transfers have no groups and no samples */
    plans.problem.num_samples = 1;
    plans.before_name = p->previous_name;
    plans.after_name = plain_name(s->json && !to_stdout(s->json) ? s->json : "plan");
    plans.layer = (int64_t *)allocate((size_t)p->num_layers, sizeof *plans.layer);
    plans.before = copy_slots(p, p->previous);
    plans.after = copy_slots(p, p->plan.phy2log);
    memcpy(plans.layer, p->layer, (size_t)p->num_layers * sizeof *plans.layer);
    p->moving = moving_between(plans, &s->how, s->in_place);
    for (int32_t i = 0; i < p->num_layers; i++) {
        move_totals t = total_of_moves(&p->moving, i);
        p->result[i].changed = t.changed;
        p->result[i].moves = t.moves;
    }
}

/* The plan to compare with: that in force, if it holds all experts of the layers planned; NULL: the experts in
   order. */
static const plan_map *plan_before(const planning *p, const plan_map *map, const plan_map *previous)
{
    if (map || !previous) return map;
    for (int32_t i = 0; i < p->num_layers; i++) {
        const int32_t *phy2log = p->previous + (size_t)(p->first_layer + i) * (size_t)p->problem.num_replicas;
        int32_t missing = first_missing(&p->problem, phy2log);
        if (missing < 0) continue;
        note("%s: layer %lld: no slot holds expert %d, so that the plan is compared with the experts in order",
             previous->name, (long long)p->layer[i], (int)missing);
        return NULL;
    }
    return previous;
}

static void allocate_plan(planning *p)
{
    size_t L = (size_t)p->problem.num_layers, E = (size_t)p->problem.num_experts, R = (size_t)p->problem.num_replicas;
    p->plan.phy2log = (int32_t *)allocate(L * R, sizeof(int32_t));
    p->plan.phyrank = (int32_t *)allocate(L * R, sizeof(int32_t));
    p->plan.logcnt = (int32_t *)allocate(L * E, sizeof(int32_t));
    p->list_start = (int32_t *)allocate(E, sizeof(int32_t));
    p->list = (int32_t *)allocate(R, sizeof(int32_t));
}

planning make_plan(const settings *s, feed *from, const plan_map *map)
{
    plan_map previous = s->previous ? map_read(s->previous, &s->reading) : (plan_map){0};
    planning p = begin_planning(s, from, s->previous ? &previous : NULL);
    int32_t L = from->num_layers;
    map = plan_before(&p, map, s->previous ? &previous : NULL);
    p.name = plain_name(map ? map->name : "experts in order");
    for (int32_t i = 0; map && i < p.num_layers; i++)
        (void)map_whole_slots_of(map, from->layer, L, p.first_layer + i, &p.problem);
    loads table = read_all(from);
    p.sample_weight = make_sample_weight(s, &table);
    p.options.sample_weight = p.sample_weight;

    int32_t *in_order = (int32_t *)allocate((size_t)s->replicas, sizeof(int32_t));
    allocate_plan(&p);
    plan_in_order(&p.problem, in_order);
    for (int32_t i = 0; i < p.num_layers; i++) {
        plan_layer(&p, &table, i, map ? map_slots_of(map, from->layer, L, p.first_layer + i) : in_order);
        progress_show("layer", (size_t)i + 1, (size_t)p.num_layers);
    }
    progress_clear();
    if (p.previous) find_moves(&p, s);
    free(in_order);
    free_loads(&table);
    map_free(&previous);
    return p;
}

void free_planning(planning *p)
{
    free(p->sample_weight);
    free(p->previous);
    free_moving(&p->moving);
    free(p->plan.phy2log);
    free(p->plan.phyrank);
    free(p->plan.logcnt);
    free(p->result);
    free(p->gpu_before);
    free(p->gpu_after);
    free(p->list_start);
    free(p->list);
    free(p->weight);
    free(p->scratch);
}

plan_totals total_of_plan(const planning *p, int32_t first, int32_t end)
{
    plan_totals total;
    memset(&total, 0, sizeof total);
    for (int32_t i = first; i < end; i++) {
        const layer_result *r = &p->result[i];
        total.mean += (double)r->after.mean_load;
        total.before += (double)r->before.max_load;
        total.after += (double)r->after.max_load;
        for (int way = 0; way < NUM_SHARES; way++)
            total.most[way] += r->most[way] < (double)r->after.mean_load ? (double)r->after.mean_load : r->most[way];
        total.bound += (double)r->after.lower_bound;
        total.microseconds += r->microseconds;
        total.duplicates += r->after.num_duplicates;
        total.split_groups += r->after.num_split_groups;
        total.num_split += r->after.num_split_groups > 0;
        total.empty += r->num_empty;
        total.changed += r->changed;
        total.moves += r->moves;
        if (total.max_replicas < r->after.max_logcnt) total.max_replicas = r->after.max_logcnt;
    }
    return total;
}
