/* reader.c - which reader a file goes to, and a reader of what is in memory. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* The format is told by the first bytes, so that a file may come from standard input and under any name:
   no text starts with those of .npy or .npz, and no CSV with a bracket after white space. */
reader *reader_open_any(source from, const reading *how)
{
    if (npy_begins(&from)) return npy_open(from, how);
    if (npz_begins(&from)) return npz_open(from, how);
    foreign_refuse(&from);
    text_skip_mark(&from);
    int first = source_peek(&from);
    while (first >= 0 && is_space((char)first)) {
        (void)source_get(&from);
        first = source_peek(&from);
    }
    source_seek(&from, 0);
    return first == '[' || first == '{' ? json_open(from, how) : csv_open(from, how);
}

/* A format that has its own layout goes first, unless it is said that the file has none. */
reader *reader_open(source from, const reading *how)
{
    const file_format *f = how->format;
    if (!f && !how->axes && !how->key && !npy_begins(&from) && !npz_begins(&from)) f = format_of_loads(&from);
    return f ? f->open(from, how) : reader_open_any(from, how);
}

bool holds_load(const float *sample, size_t count)
{
    size_t i = 0;
    while (i < count && !(sample[i] > 0)) i++;
    return i < count;
}

typedef struct held_reader {
    reader base;
    float *load; /* [num_samples, num_layers, width] */
} held_reader;

static void held_read(reader *base, int32_t sample, float *load)
{
    const held_reader *r = (const held_reader *)base;
    size_t count = (size_t)base->num_layers * (size_t)base->width;
    memcpy(load, r->load + (size_t)sample * count, count * sizeof *load);
}

static void held_close(reader *base)
{
    held_reader *r = (held_reader *)base;
    free(r->base.step);
    free(r->base.layer);
    free(r->load);
    free(r);
}

reader *held_open(reader as, float *load)
{
    held_reader *r = (held_reader *)allocate(1, sizeof *r);
    r->base = as;
    r->base.read = held_read;
    r->base.close = held_close;
    r->load = load;
    return &r->base;
}

reader *held_table(const char *name, loads table)
{
    reader as;
    memset(&as, 0, sizeof as);
    as.name = name;
    as.num_samples = table.num_samples;
    as.num_layers = table.num_layers;
    as.width = table.num_experts;
    as.step = table.step;
    return held_open(as, table.weight);
}
