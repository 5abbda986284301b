/* feed.c - the samples of all input files, as loads of experts: one at a time, or all of them. Files that
   are given together, such as those of the ranks, must agree and are summed; what counts slots becomes counts
   of experts by the plan that was in force. */
#include "cli.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

static int64_t step_of(const reader *r, int32_t sample) { return r->step ? r->step[sample] : sample; }

static int64_t layer_of(const reader *r, int32_t layer) { return r->layer ? r->layer[layer] : layer; }

/* --------------------------------------------------------------------------- what is asked for */

/* The samples of --steps: *first, and how many. */
static int32_t select_steps(const reader *r, const reading *how, int32_t *first)
{
    int32_t begin = 0, end = r->num_samples;
    while (begin < end && step_of(r, begin) < how->first_step) begin++;
    while (begin < end && step_of(r, end - 1) > how->last_step) end--;
    if (begin == end)
        fail(STATUS_INPUT, "%s: --steps %lld-%lld has none of its steps, which are %lld to %lld", r->name,
             (long long)how->first_step, (long long)how->last_step, (long long)step_of(r, 0),
             (long long)step_of(r, r->num_samples - 1));
    *first = begin;
    return end - begin;
}

/* Ends the program unless the file has what the first one has. */
static void check_agreement(const feed *f, const reader *r, int32_t first, int32_t num_samples)
{
    const reader *other = f->reader[0];
    if (r->by_slot != other->by_slot)
        fail(STATUS_INPUT, "%s counts slots, but %s experts", r->by_slot ? r->name : other->name,
             r->by_slot ? other->name : r->name);
    if (num_samples != f->num_samples)
        fail(STATUS_INPUT, "%s has %d samples, but %s has %d", r->name, (int)num_samples, other->name,
             (int)f->num_samples);
    for (int32_t t = 0; t < num_samples; t++) {
        if (step_of(r, first + t) != f->step[t])
            fail(STATUS_INPUT, "%s has step %lld where %s has step %lld", r->name, (long long)step_of(r, first + t),
                 other->name, (long long)f->step[t]);
    }
    if (r->num_layers != f->num_layers)
        fail(STATUS_INPUT, "%s has %d layers, but %s has %d", r->name, (int)r->num_layers, other->name,
             (int)f->num_layers);
    for (int32_t layer = 0; layer < r->num_layers; layer++) {
        if (layer_of(r, layer) != f->layer[layer])
            fail(STATUS_INPUT, "%s has layer %lld where %s has layer %lld", r->name, (long long)layer_of(r, layer),
                 other->name, (long long)f->layer[layer]);
    }
}

/* The width of all files. Where ids only tell of the largest, another file may tell more. */
static int32_t common_width(const feed *f)
{
    const reader *widest = f->reader[0];
    for (int32_t i = 1; i < f->num_readers; i++) {
        const reader *r = f->reader[i];
        if ((widest->by_ids && !r->by_ids) || (widest->by_ids == r->by_ids && r->width > widest->width)) widest = r;
    }
    for (int32_t i = 0; i < f->num_readers; i++) {
        const reader *r = f->reader[i];
        if (r->by_ids ? r->width > widest->width : r->width != widest->width)
            fail(STATUS_INPUT, "%s has %d %s in a layer, but %s has %d", r->name, (int)r->width,
                 r->by_slot ? "slots" : "experts", widest->name, (int)widest->width);
    }
    return widest->width;
}

/* ---------------------------------------------------------------------------------------- map */

/* Ends the program unless the map has a plan for all samples, or one for each sample of each file. */
static void check_map_steps(const feed *f, const reading *how)
{
    for (int32_t i = 0; i < f->num_readers && f->map.num_steps > 1; i++) {
        const reader *r = f->reader[i];
        if (r->num_samples != f->map.num_steps)
            fail(STATUS_INPUT, "%s has %d samples, but --map %s has plans of %d steps", r->name, (int)r->num_samples,
                 how->map, (int)f->map.num_steps);
    }
}

/* The experts of the map that was in force while slots were counted. */
static void open_map(feed *f, const reading *how)
{
    const char *name = f->reader[0]->name;
    int32_t most = -1;
    bool by_ids = true;
    if (!how->map) fail(STATUS_INPUT, "%s: counts of slots need --map PLAN, the plan they were counted under", name);
    f->map = map_read(how->map, how);
    size_t R = (size_t)f->map.num_replicas;
    for (int32_t i = 0; i < f->num_readers; i++) by_ids = by_ids && f->reader[i]->by_ids;
    if (by_ids ? f->width > f->map.num_replicas : f->width != f->map.num_replicas)
        fail(STATUS_INPUT, "%s has %d slots in a layer, but --map %s has %d", name, (int)f->width, how->map,
             (int)f->map.num_replicas);
    check_map_steps(f, how);
    for (int32_t layer = 0; layer < f->num_layers; layer++) (void)map_slots_of(&f->map, f->layer, f->num_layers, layer);
    for (size_t i = 0; i < (size_t)f->map.num_steps * (size_t)f->map.num_layers * R; i++)
        most = f->map.phy2log[i] > most ? f->map.phy2log[i] : most;
    if (most < 0 || most == INT32_MAX) fail(STATUS_INPUT, "--map %s has no slot with an expert", how->map);
    if (how->num_experts && most >= how->num_experts)
        fail(STATUS_INPUT, "--map %s has expert %d, but --experts is %d", how->map, (int)most, (int)how->num_experts);
    f->num_experts = how->num_experts ? how->num_experts : f->map.num_experts > most ? f->map.num_experts : most + 1;
    f->expert = (double *)allocate((size_t)f->num_experts, sizeof *f->expert);
}

/* Counts of a layer's slots, as those of their experts in the plan of that sample; what an empty slot counted is
   nobody's. */
static void add_by_map(const feed *f, int32_t sample, int32_t layer)
{
    int32_t step = f->map.num_steps > 1 ? f->first[0] + sample : 0;
    const int32_t *expert = map_slots_at(&f->map, step, f->layer, f->num_layers, layer);
    const double *slot = f->sum + (size_t)layer * (size_t)f->width;
    memset(f->expert, 0, (size_t)f->num_experts * sizeof *f->expert);
    for (int32_t i = 0; i < f->width; i++) {
        if (expert[i] >= 0) f->expert[expert[i]] += slot[i];
    }
}

/* --------------------------------------------------------------------------------------- feed */

static void open_readers(feed *f, const settings *s)
{
    f->num_readers = s->num_inputs;
    f->reader = (reader **)allocate((size_t)f->num_readers, sizeof(reader *));
    f->first = (int32_t *)allocate((size_t)f->num_readers, sizeof *f->first);
    for (int32_t i = 0; i < f->num_readers; i++) {
        reader *r = reader_open(source_open(s->inputs[i]), &s->reading);
        f->reader[i] = r;
        int32_t num_samples = select_steps(r, &s->reading, &f->first[i]);
        if (i > 0) {
            check_agreement(f, r, f->first[i], num_samples);
            continue;
        }
        f->num_samples = num_samples;
        f->num_layers = r->num_layers;
        f->step = (int64_t *)allocate((size_t)f->num_samples, sizeof *f->step);
        f->layer = (int64_t *)allocate((size_t)f->num_layers, sizeof *f->layer);
        for (int32_t t = 0; t < f->num_samples; t++) f->step[t] = step_of(r, f->first[0] + t);
        for (int32_t layer = 0; layer < f->num_layers; layer++) f->layer[layer] = layer_of(r, layer);
    }
}

feed feed_open(const settings *s)
{
    feed f;
    memset(&f, 0, sizeof f);
    open_readers(&f, s);
    f.width = common_width(&f);
    f.num_experts = f.width;
    if (f.reader[0]->by_slot) open_map(&f, &s->reading);
    else if (s->reading.num_experts && s->reading.num_experts != f.num_experts)
        fail(STATUS_INPUT, "%s has %d experts in a layer, but --experts is %d", f.reader[0]->name, (int)f.num_experts,
             (int)s->reading.num_experts);
    size_t count;
    if (!multiply_fits((size_t)f.num_layers, (size_t)f.width, &count)) fail(STATUS_OUTPUT, "out of memory");
    if (f.num_readers > 1 || f.reader[0]->by_slot) {
        f.one = (float *)allocate(count, sizeof *f.one);
        f.sum = (double *)allocate(count, sizeof *f.sum);
    }
    return f;
}

/* Adds a sample of a file, whose layers may be narrower. */
static void add_sample(feed *f, reader *r, int32_t sample)
{
    size_t width = (size_t)r->width;
    r->read(r, sample, f->one);
    for (size_t layer = 0; layer < (size_t)f->num_layers; layer++) {
        double *sum = f->sum + layer * (size_t)f->width;
        const float *one = f->one + layer * width;
        for (size_t i = 0; i < width; i++) sum[i] += (double)one[i];
    }
}

void feed_read(feed *f, int32_t sample, float *load)
{
    if (!f->sum) {
        f->reader[0]->read(f->reader[0], f->first[0] + sample, load);
        return;
    }
    memset(f->sum, 0, (size_t)f->num_layers * (size_t)f->width * sizeof *f->sum);
    for (int32_t i = 0; i < f->num_readers; i++) add_sample(f, f->reader[i], f->first[i] + sample);
    for (int32_t layer = 0; layer < f->num_layers; layer++) {
        const double *sum = f->sum + (size_t)layer * (size_t)f->width;
        if (f->expert) {
            add_by_map(f, sample, layer);
            sum = f->expert;
        }
        for (int32_t e = 0; e < f->num_experts; e++) {
            if (sum[e] > (double)FLT_MAX)
                fail(STATUS_INPUT, "step %lld: the sum for layer %lld, expert %d is beyond the range of float32",
                     (long long)f->step[sample], (long long)f->layer[layer], (int)e);
            load[(size_t)layer * (size_t)f->num_experts + (size_t)e] = (float)sum[e];
        }
    }
}

/* vLLM 0.33 counts its window by slot, keeps it when a plan takes over, and reads all of it by the newest plan: experts
   are then credited with each other's tokens. */
void doubt_map(const feed *f, const plan_map *in_force)
{
    if (in_force && in_force->num_steps > 1)
        note("%s: of its %d plans, one for each step, the last is the one in force", in_force->name,
             (int)in_force->num_steps);
    if (f->reader[0]->by_slot && f->num_samples > 1 && f->map.num_steps == 1)
        note("one plan is assumed for all %d samples of slots; where it changed between them, --map should have one "
             "for each "
             "sample, [samples, layers, slots]",
             (int)f->num_samples);
}

void feed_close(feed *f)
{
    for (int32_t i = 0; i < f->num_readers; i++) f->reader[i]->close(f->reader[i]);
    free(f->reader);
    free(f->first);
    free(f->step);
    free(f->layer);
    free(f->one);
    free(f->sum);
    free(f->expert);
    map_free(&f->map);
}

loads read_all(feed *f)
{
    loads table = {f->num_samples, f->num_layers, f->num_experts, NULL, NULL, NULL};
    size_t T = (size_t)f->num_samples, L = (size_t)f->num_layers, count;
    if (!multiply_fits(L, (size_t)f->num_experts, &count) || count > SIZE_MAX / T) fail(STATUS_OUTPUT, "out of memory");
    table.weight = (float *)allocate(T * count, sizeof *table.weight);
    table.step = (int64_t *)allocate(T, sizeof *table.step);
    table.layer = (int64_t *)allocate(L, sizeof *table.layer);
    memcpy(table.step, f->step, T * sizeof *table.step);
    memcpy(table.layer, f->layer, L * sizeof *table.layer);
    for (int32_t t = 0; t < f->num_samples; t++) feed_read(f, t, table.weight + (size_t)t * count);
    return table;
}

void free_loads(loads *table)
{
    free(table->weight);
    free(table->step);
    free(table->layer);
}
