/* loads.c - loads that are written where no engine has a layout of its own: CSV and NumPy. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* As much of a number as float32 has. */
static void write_load(FILE *out, float load) { fprintf(out, "%.9g", (double)load); }

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
    size_t E = (size_t)from->num_experts;
    float *load = (float *)allocate((size_t)from->num_layers, E * sizeof *load);
    fprintf(out, "step,layer");
    for (size_t e = 0; e < E; e++) fprintf(out, ",e%zu", e);
    for (int32_t t = 0; t < from->num_samples; t++) {
        feed_read(from, t, load);
        for (size_t i = 0; i < (size_t)from->num_layers * E; i++) {
            if (i % E == 0) fprintf(out, "\n%lld,%lld", (long long)from->step[t], (long long)from->layer[i / E]);
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
    size_t count = (size_t)from->num_layers * (size_t)from->num_experts;
    float *load = (float *)allocate(count, sizeof *load);
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
