/* plan.c - planning: the library called layer by layer, and what scores and replays need of it, too. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A load as a part of a larger one: 1 when there is no load, NaN when sums have left float32. */
double load_share(double load, double larger)
{
    if (!isfinite(load) || !isfinite(larger))
        return (double)NAN;
    return larger > 0 ? load / larger : 1;
}

bool holds_load(const float *sample, size_t count)
{
    size_t i = 0;
    while (i < count && !(sample[i] > 0))
        i++;
    return i < count;
}

float weight_of_age(const settings *s, int32_t newer)
{
    return (float)half_to_the(newer / s->half_life);
}

/* What each sample counts for, the newest with load 1; NULL when all count alike. Only samples with load
   age others, so that more of those without leave all weights as they are. */
static float *make_sample_weight(const settings *s, const loads *table)
{
    if (s->half_life <= 0)
        return NULL;
    float  *weight = (float *)allocate((size_t)table->num_samples, sizeof(float));
    size_t  count  = (size_t)table->num_layers * (size_t)table->num_experts;
    int32_t newer  = 0;
    for (int32_t t = table->num_samples - 1; t >= 0; t--) {
        weight[t] = weight_of_age(s, newer);
        newer += holds_load(table->weight + (size_t)t * count, count);
    }
    return weight;
}

/* The last part of a path, in letters that stand for themselves in text, JSON and SVG. */
quote plain_name(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    quote       q     = quoted(name, name + strlen(name));
    for (char *c = q.text; *c; c++) {
        if (strchr("<>&\"\\", *c))
            *c = '?';
    }
    return q;
}

/* first_layer, num_layers and layer, as asked for. */
static void select_layers(planning *p, const settings *s, const feed *from)
{
    int32_t L = from->num_layers, first = 0, end = L;
    if (s->layers) {
        while (first < L && from->layer[first] < s->first_layer)
            first++;
        for (end = first; end < L && from->layer[end] <= s->last_layer;)
            end++;
        if (first == end || s->first_layer < from->layer[0] || s->last_layer > from->layer[L - 1])
            fail(STATUS_INPUT, "--layers %s, but the layers are %s", s->layers,
                 list_numbers(from->layer, L).text);
    }
    p->first_layer = first;
    p->num_layers  = end - first;
    p->layer       = from->layer + first;
    if (s->show >= 0 && find_number(p->layer, p->num_layers, s->show) < 0)
        fail(STATUS_INPUT, "--show %lld, but the layers planned are %s", (long long)s->show,
             list_numbers(p->layer, p->num_layers).text);
}

/* What there is without a planner: slot i holds expert i, the spare slots the first experts again. */
void plan_in_order(int32_t *phy2log, int32_t num_replicas, int32_t num_experts)
{
    for (int32_t slot = 0; slot < num_replicas; slot++)
        phy2log[slot] = slot % num_experts;
}

planning begin_planning(const settings *s, const feed *from)
{
    planning p;
    memset(&p, 0, sizeof p);
    p.problem = make_problem(s, from);
    p.options = make_options(s, s->preset[0]);
    select_layers(&p, s, from);
    check_result(&p.problem, &p.options, NULL,
                 eplb_scratch_size(&p.problem, &p.options, &p.scratch_bytes));

    /* eplb_scratch_size has found that L * R and T * L * E fit. */
    size_t G = (size_t)s->gpus, n = (size_t)p.num_layers;
    p.result     = (layer_result *)allocate(n, sizeof(layer_result));
    p.gpu_before = (float *)allocate(n * G, sizeof(float));
    p.gpu_after  = (float *)allocate(n * G, sizeof(float));
    p.weight     = (float *)allocate((size_t)from->num_samples * (size_t)from->num_experts, sizeof(float));
    p.scratch    = allocate(p.scratch_bytes, 1);
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
    eplb_problem      one  = p->problem;
    eplb_plan         plan = {phy2log, NULL, NULL, NULL, 0, NULL};
    eplb_layer_report report;
    one.num_layers = 1;
    check_result(&one, &p->options, p->weight,
                 eplb_evaluate(&one, &p->options, p->weight, &plan, &report, gpu_load, p->scratch,
                               p->scratch_bytes));
    return report;
}

/* Plans one layer, and scores it before and after. */
static void plan_layer(planning *p, const loads *table, int32_t i, int32_t *before)
{
    size_t        G = (size_t)p->problem.num_gpus, R = (size_t)p->problem.num_replicas;
    int32_t       layer = p->first_layer + i;
    layer_result *r     = &p->result[i];
    double        begun = seconds_now();
    check_result(&p->problem, &p->options, table->weight,
                 eplb_rebalance_layers(&p->problem, &p->options, table->weight, &p->plan, p->scratch,
                                       p->scratch_bytes, layer, 1));
    r->microseconds = 1e6 * (seconds_now() - begun);
    take_layer(p, table, layer);
    r->before = evaluate_layer(p, before, p->gpu_before + (size_t)i * G);
    r->after  = evaluate_layer(p, p->plan.phy2log + (size_t)layer * R, p->gpu_after + (size_t)i * G);
}

planning make_plan(const settings *s, feed *from, const plan_map *map)
{
    planning p = begin_planning(s, from);
    int32_t  L = from->num_layers, E = from->num_experts;
    p.name     = plain_name(map ? map->name : "experts in order");
    for (int32_t i = 0; map && i < p.num_layers; i++)
        (void)map_whole_slots_of(map, from->layer, L, p.first_layer + i, E);
    loads table             = read_all(from);
    p.sample_weight         = make_sample_weight(s, &table);
    p.options.sample_weight = p.sample_weight;

    size_t   R        = (size_t)s->replicas;
    int32_t *in_order = (int32_t *)allocate(R, sizeof(int32_t));
    p.plan.phy2log    = (int32_t *)allocate((size_t)L * R, sizeof(int32_t));
    p.plan.phyrank    = (int32_t *)allocate((size_t)L * R, sizeof(int32_t));
    p.plan.logcnt     = (int32_t *)allocate((size_t)L * (size_t)E, sizeof(int32_t));
    p.list_start      = (int32_t *)allocate((size_t)E, sizeof(int32_t));
    p.list            = (int32_t *)allocate(R, sizeof(int32_t));
    plan_in_order(in_order, s->replicas, E);
    for (int32_t i = 0; i < p.num_layers; i++) {
        plan_layer(&p, &table, i, map ? map_slots_of(map, from->layer, L, p.first_layer + i) : in_order);
        progress_show("layer", (size_t)i + 1, (size_t)p.num_layers);
    }
    progress_clear();
    free(in_order);
    free_loads(&table);
    return p;
}

void free_planning(planning *p)
{
    free(p->sample_weight);
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
        total.exact += r->exact < (double)r->after.mean_load ? (double)r->after.mean_load : r->exact;
        total.bound += (double)r->after.lower_bound;
        total.microseconds += r->microseconds;
        total.duplicates += r->after.num_duplicates;
        total.empty += r->num_empty;
        if (total.max_replicas < r->after.max_logcnt)
            total.max_replicas = r->after.max_logcnt;
    }
    return total;
}
