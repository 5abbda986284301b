/* convert.c - plans and loads from the format they are in to those that are asked for, and the writers of loads that no
   engine has a layout of its own for. What a format cannot hold is refused before anything is written. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* --------------------------------------------------------------------------- writers of loads */

/* As much of a number as float32 has. */
static void write_load(FILE *out, float load)
{
    fprintf(out, "%.9g", (double)load);
}

void write_rows(FILE *out, const float *load, int32_t num_rows, int32_t num_columns)
{
    for (int32_t row = 0; row < num_rows; row++) {
        fprintf(out, "%s", row ? ",[" : "[[");
        for (int32_t i = 0; i < num_columns; i++) {
            fprintf(out, "%s", i ? "," : "");
            write_load(out, load[(size_t)row * (size_t)num_columns + (size_t)i]);
        }
        fprintf(out, "]");
    }
    fprintf(out, "]");
}

void loads_write_csv(FILE *out, feed *from)
{
    size_t E    = (size_t)from->num_experts;
    float *load = (float *)allocate((size_t)from->num_layers, E * sizeof *load);
    fprintf(out, "step,layer");
    for (size_t e = 0; e < E; e++)
        fprintf(out, ",e%zu", e);
    for (int32_t t = 0; t < from->num_samples; t++) {
        feed_read(from, t, load);
        for (size_t i = 0; i < (size_t)from->num_layers * E; i++) {
            if (i % E == 0)
                fprintf(out, "\n%lld,%lld", (long long)from->step[t], (long long)from->layer[i / E]);
            fprintf(out, ",");
            write_load(out, load[i]);
        }
    }
    fprintf(out, "\n");
    free(load);
}

void loads_write_npy(FILE *out, feed *from)
{
    int64_t dim[3] = {from->num_samples, from->num_layers, from->num_experts};
    size_t  count  = (size_t)from->num_layers * (size_t)from->num_experts;
    float  *load   = (float *)allocate(count, sizeof *load);
    npy_write_header(out, "<f4", dim, 3);
    for (int32_t t = 0; t < from->num_samples; t++) {
        feed_read(from, t, load);
        for (size_t i = 0; i < count; i++) {
            uint32_t bits;
            memcpy(&bits, &load[i], sizeof bits);
            npy_write_item(out, bits);
        }
    }
    free(load);
}

/* ------------------------------------------------------------------------------------ convert */

static void convert_plan(const settings *s)
{
    if (s->num_inputs != 1)
        fail(STATUS_INPUT, "convert takes one plan, not %d files", (int)s->num_inputs);
    plan_map map = map_read(s->inputs[0], &s->reading);
    if (!map.num_gpus)
        map.num_gpus = s->gpus;
    if (s->reading.num_experts) {
        if (map_count_experts(&map) > s->reading.num_experts)
            fail(STATUS_INPUT, "%s has %d experts, but --experts is %d", map.name, (int)map_count_experts(&map),
                 (int)s->reading.num_experts);
        map.num_experts = s->reading.num_experts;
    }
    write_map(&map, s);
    map_free(&map);
}

void convert(settings *s)
{
    if (s->write[0].as->kind == FORMAT_PLAN) {
        convert_plan(s);
        return;
    }
    feed from = feed_open(s);
    doubt_map(&from, NULL);
    write_feed(&from, s);
    feed_close(&from);
}
