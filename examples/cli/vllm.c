/* vllm.c - vLLM 0.33.0: the experts that tokens were routed to, and which replica of one it sends a token to. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

/* ------------------------------------------------------------------------------ routed experts */

/* Whether all of a layer's tokens went to expert 0 and to no other. */
static bool layer_is_dense(const float *load, int32_t width)
{
    for (int32_t e = 1; e < width; e++) {
        if (load[e] > 0) return false;
    }
    return width > 1 && load[0] > 0;
}

/* [tokens, layers, K] of u1 or u2, as routed_experts of a request's output has them
   (model_executor/layers/fused_moe/routed_experts_capturer.py). The buffer has a row for each layer of the model; those of
   layers without experts keep the zeros that it began with, which would be expert 0, K times for each token. */
reader *vllm_open_routed(source from, const reading *how)
{
    reading own = *how;
    own.axes = how->axes ? how->axes : "NLK";
    reader *in = reader_open_any(from, &own);
    reader held = *in;
    size_t size = (size_t)in->num_layers * (size_t)in->width;
    if (in->num_samples != 1)
        fail(STATUS_INPUT, "%s: %d samples, but routed experts of vLLM are of tokens: --axes NLK", in->name,
             (int)in->num_samples);
    float *load = (float *)allocate(size, sizeof *load);
    int64_t *dense = (int64_t *)allocate((size_t)in->num_layers, sizeof *dense);
    int32_t count = 0;
    in->read(in, 0, load);
    for (int32_t layer = 0; layer < in->num_layers; layer++) {
        float *own_load = load + (size_t)layer * (size_t)in->width;
        if (!layer_is_dense(own_load, in->width)) continue;
        dense[count++] = layer;
        own_load[0] = 0;
    }
    if (count > 0)
        note("%s: all tokens of layers %s went to expert 0 alone, as in layers that have no experts: counted as none",
             in->name, list_numbers(dense, count).text);
    held.step = held.layer = NULL;
    free(dense);
    in->close(in);
    return held_open(held, load);
}
