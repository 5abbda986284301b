/* tally.c - samples of an array while its elements are added to them: one sample at a time where the file has
   them one after the other, else as many as there is room for, since the file is gone through for each. */
#include "cli.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

enum {
    TALLY_BYTES = 1 << 25,  /* for samples that are held */
    TALLY_EXPERTS = 1 << 16 /* of which ids tell; --experts may say that there are more */
};

tally tally_open(const char *name, const axes *shape, const reading *how)
{
    tally b;
    size_t bytes;
    memset(&b, 0, sizeof b);
    if (!multiply_fits((size_t)shape->num_layers, (size_t)shape->width, &b.sample_size)
        || !multiply_fits(b.sample_size, sizeof *b.sum, &bytes))
        fail(STATUS_OUTPUT, "out of memory");
    b.name = name;
    b.shape = *shape;
    b.num_wanted = how->last_step < 0                        ? 0
                   : how->last_step < shape->num_samples - 1 ? (int32_t)(how->last_step + 1)
                                                             : shape->num_samples;
    b.room = 1;
    if (!shape->in_order && bytes < TALLY_BYTES) b.room = (int32_t)(TALLY_BYTES / bytes);
    b.room = b.room < shape->num_samples ? b.room : shape->num_samples;
    b.sum = (double *)allocate((size_t)b.room * b.sample_size, sizeof *b.sum);
    return b;
}

void tally_close(tally *b) { free(b->sum); }

bool tally_begin(tally *b, int32_t sample)
{
    if (tally_holds(b, sample)) return false;
    int32_t left = b->num_wanted > sample ? b->num_wanted - sample : 1;
    b->first = sample;
    b->count = left < b->room ? left : b->room;
    memset(b->sum, 0, (size_t)b->count * b->sample_size * sizeof *b->sum);
    return true;
}

tally_run tally_next_run(const tally *b, size_t element)
{
    const axes *a = &b->shape;
    int fast = a->fortran ? 0 : a->num_dims - 1;
    int64_t index[MAX_AXES] = {0};
    axes_index(a, element, index);
    tally_run r = {(size_t)(a->dim[fast] - index[fast]), axes_sample(a, index), fast == a->sample_axis,
                   axes_place(a, index), a->stride[fast]};
    return r;
}

void tally_give(const tally *b, int32_t sample, float *load)
{
    const double *sum = b->sum + (size_t)(sample - b->first) * b->sample_size;
    for (size_t i = 0; i < b->sample_size; i++) {
        if (sum[i] > (double)FLT_MAX)
            fail(STATUS_INPUT, "%s: sample %d, layer %zu, column %zu adds up to more than float32 has", b->name,
                 (int)sample, i / (size_t)b->shape.width, i % (size_t)b->shape.width);
        load[i] = (float)sum[i];
    }
}

const char *id_wrong(int64_t id, int32_t num_experts)
{
    return id < -1                               ? "is no id of an expert: they start at 0, and -1 is none"
           : num_experts && id >= num_experts    ? "is beyond the last expert by --experts"
           : id >= TALLY_EXPERTS && !num_experts ? "is beyond 65535, more than ids of experts are without --experts"
                                                 : NULL;
}
