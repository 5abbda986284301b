/* feed.c - the samples of all input files, as loads of experts: one at a time, or all of them. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

feed feed_open(const settings *s)
{
    feed f;
    memset(&f, 0, sizeof f);
    f.num_readers = 1;
    f.reader      = (reader **)allocate(1, sizeof *f.reader);
    f.reader[0]   = reader_open(source_open(s->inputs[0]), &s->reading);
    f.num_samples = f.reader[0]->num_samples;
    f.num_layers  = f.reader[0]->num_layers;
    f.num_experts = f.reader[0]->width;
    f.step        = (int64_t *)allocate((size_t)f.num_samples, sizeof *f.step);
    f.layer       = (int64_t *)allocate((size_t)f.num_layers, sizeof *f.layer);
    for (int32_t t = 0; t < f.num_samples; t++)
        f.step[t] = f.reader[0]->step ? f.reader[0]->step[t] : t;
    for (int32_t layer = 0; layer < f.num_layers; layer++)
        f.layer[layer] = f.reader[0]->layer ? f.reader[0]->layer[layer] : layer;
    return f;
}

void feed_read(feed *f, int32_t sample, float *load)
{
    f->reader[0]->read(f->reader[0], sample, load);
}

void feed_close(feed *f)
{
    for (int32_t i = 0; i < f->num_readers; i++)
        f->reader[i]->close(f->reader[i]);
    free(f->reader);
    free(f->step);
    free(f->layer);
    free(f->one);
    free(f->sum);
    map_free(&f->map);
}

loads read_all(feed *f)
{
    loads  table = {f->num_samples, f->num_layers, f->num_experts, NULL, NULL, NULL};
    size_t T = (size_t)f->num_samples, L = (size_t)f->num_layers, count;
    if (!multiply_fits(L, (size_t)f->num_experts, &count) || count > SIZE_MAX / T)
        fail(STATUS_OUTPUT, "out of memory");
    table.weight = (float *)allocate(T * count, sizeof *table.weight);
    table.step   = (int64_t *)allocate(T, sizeof *table.step);
    table.layer  = (int64_t *)allocate(L, sizeof *table.layer);
    memcpy(table.step, f->step, T * sizeof *table.step);
    memcpy(table.layer, f->layer, L * sizeof *table.layer);
    for (int32_t t = 0; t < f->num_samples; t++)
        feed_read(f, t, table.weight + (size_t)t * count);
    return table;
}

void free_loads(loads *table)
{
    free(table->weight);
    free(table->step);
    free(table->layer);
}
