/* sglang.c - SGLang 0.5.23's files. A plan is what --init-expert-location takes (srt/eplb/expert_location.py,
   compute_initial_expert_location_metadata): {"physical_to_logical_map": [[..], ..]}, a row for each layer of the model,
   those without experts too. Each other name in it becomes an argument of init_by_mapping, which has none of that name:
   the server does not start. Ids are taken as indices of a list, so that -1 would be the last expert.

   Loads are what its recorder dumps (srt/eplb/expert_distribution.py, mode stat), {"logical_count": [T, L, E], ..}, and
   what --init-expert-location takes, too, as [T, L, E] or [L, E]; torch.save's form goes through NumPy or JSON first. Its
   ring of steps is set to zero by a dump, but goes on at the place where it was: rows without load are anywhere, and
   once it has been filled the oldest one follows the newest. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------------------- plans */

static void sglang_check_name(map_reader *r)
{
    if (!map_has(r, "physical_to_logical_map"))
        text_fail(r->scan.at,
                  "'%s' beside physical_to_logical_map: SGLang 0.5.23 takes each other name for an argument "
                  "that it does not have",
                  quoted(r->scan.token, r->scan.token + r->scan.length).text);
    if (r->map.num_layers > 0) text_fail(r->scan.at, "physical_to_logical_map stands there twice");
}

plan_map sglang_read(source from)
{
    map_reader r = map_begin(from);
    (void)map_next(&r);
    text_place place = r.scan.at;
    while (map_next(&r) == JSON_NAME) {
        sglang_check_name(&r);
        if (map_next(&r) != JSON_ARRAY) text_fail(r.scan.at, "an array should begin here: [layers, slots]");
        map_add_arrays(&r, 2);
    }
    if (r.map.num_layers == 0) text_fail(place, "a plan without physical_to_logical_map");
    for (size_t i = 0; i < r.num_slots; i++) {
        size_t R = (size_t)r.map.num_replicas;
        if (r.map.phy2log[i] < 0)
            fail(STATUS_INPUT,
                 "%s: layer %zu, slot %zu: -1, but SGLang has no empty slots: it would take it for the last "
                 "expert",
                 from.name, i / R, i % R);
    }
    return map_end(&r);
}

/* Layers that the plan does not have are as SGLang's "trivial" has them: slot i holds expert i mod E. */
static void sglang_write_layer(FILE *out, const int32_t *phy2log, int32_t num_replicas, int32_t num_experts)
{
    for (int32_t slot = 0; slot < num_replicas; slot++)
        fprintf(out, "%s%d", slot ? "," : "[", (int)(phy2log ? phy2log[slot] : slot % num_experts));
    fprintf(out, "]");
}

void sglang_write(FILE *out, const plan_map *m)
{
    int64_t last = m->layer ? m->layer[m->num_layers - 1] : m->num_layers - 1;
    int32_t row = 0;
    fprintf(out, "{\"physical_to_logical_map\":[\n");
    for (int64_t layer = 0; layer <= last; layer++) {
        bool there = !m->layer || m->layer[row] == layer;
        sglang_write_layer(out, there ? m->phy2log + (size_t)row * (size_t)m->num_replicas : NULL, m->num_replicas,
                           map_count_experts(m));
        row += there;
        fprintf(out, "%s\n", layer < last ? "," : "");
    }
    fprintf(out, "]}\n");
}

/* --------------------------------------------------------------------------------------- loads */

typedef struct ring_reader { /* the rows of another reader that hold load */
    reader base;
    reader *all;
    int32_t *row; /* [num_samples] */
} ring_reader;

static void ring_read(reader *base, int32_t sample, float *load)
{
    const ring_reader *r = (const ring_reader *)base;
    r->all->read(r->all, r->row[sample], load);
}

static void ring_close(reader *base)
{
    ring_reader *r = (ring_reader *)base;
    r->all->close(r->all);
    free(base->step);
    free(r->row);
    free(r);
}

/* Finds the rows with load; and whether one without stands before one of them. */
static bool ring_find_rows(ring_reader *r)
{
    size_t count = (size_t)r->all->num_layers * (size_t)r->all->width;
    float *load = (float *)allocate(count, sizeof *load);
    bool gap = false;
    r->base.num_samples = 0;
    for (int32_t t = 0; t < r->all->num_samples; t++) {
        r->all->read(r->all, t, load);
        if (!holds_load(load, count)) continue;
        gap = gap || r->base.num_samples < t;
        r->base.step[r->base.num_samples] = r->all->step ? r->all->step[t] : t;
        r->row[r->base.num_samples++] = t;
    }
    free(load);
    return gap;
}

reader *sglang_open(source from, const reading *how)
{
    ring_reader *r = (ring_reader *)allocate(1, sizeof *r);
    reading own = *how;
    int first = source_peek(&from);
    if (!how->key && (first == '{' || npz_begins(&from))) own.key = "logical_count";
    r->all = reader_open_any(from, &own);
    r->base = *r->all;
    r->row = (int32_t *)allocate((size_t)r->all->num_samples, sizeof *r->row);
    r->base.step = (int64_t *)allocate((size_t)r->all->num_samples, sizeof *r->base.step);
    bool gap = ring_find_rows(r);
    if (r->base.num_samples == 0) fail(STATUS_INPUT, "%s: no row holds load", r->base.name);
    if (r->base.num_samples < r->all->num_samples)
        note("%s: %d of %d rows hold no load and are left out%s", r->base.name,
             (int)(r->all->num_samples - r->base.num_samples), (int)r->all->num_samples,
             gap ? "; as some stand before others that do, the order of the rows in time is not known" : "");
    r->base.read = ring_read;
    r->base.close = ring_close;
    return &r->base;
}

void sglang_write_counts(FILE *out, feed *from)
{
    float *load = (float *)allocate((size_t)from->num_layers, (size_t)from->num_experts * sizeof *load);
    fprintf(out, "{\"logical_count\":[\n");
    for (int32_t t = 0; t < from->num_samples; t++) {
        feed_read(from, t, load);
        write_rows(out, load, from->num_layers, from->num_experts);
        fprintf(out, "%s\n", t + 1 < from->num_samples ? "," : "");
    }
    fprintf(out, "]}\n");
    free(load);
}
