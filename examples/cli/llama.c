/* llama.c - events of routing as llama.cpp's moe-trace writes them (ggml-org/llama.cpp#28544, 2026-09): a row
   `layer,expert` of CSV for each expert that a token went to, with or without a header. It is one sample: the rows do not
   say which token they are of. */
#include "cli.h"

#include <stdlib.h>

reader *llama_open(source from, const reading *how)
{
    reading own = *how;
    own.unnamed_ids = true;
    if (how->axes) fail(STATUS_INPUT, "--axes %s: format llama has a layer and an expert in each row", how->axes);
    return csv_open(from, &own);
}

/* As many rows as an expert's load. */
void llama_write(FILE *out, feed *from)
{
    size_t count = (size_t)from->num_layers * (size_t)from->num_experts;
    float *load = (float *)allocate(count, sizeof *load);
    feed_read(from, 0, load);
    fprintf(out, "layer,expert\n");
    for (size_t i = 0; i < count; i++) {
        for (int32_t n = 0; n < (int32_t)load[i]; n++)
            fprintf(out, "%lld,%zu\n", (long long)from->layer[i / (size_t)from->num_experts],
                    i % (size_t)from->num_experts);
    }
    free(load);
}
