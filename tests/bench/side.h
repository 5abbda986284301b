/* side.h - what a copy of the header is asked for when it is measured against another one, in terms that
   no copy defines. side.c has it; against.c compiles that and calls it. */
#ifndef SIDE_H
#define SIDE_H

#include "baseline.h"

#include <stddef.h>

/* side_plan - plan the first num_layers layers.
   in      preset         EPLB_PRESET_*
           shape          of the problem, which has num_samples, T
           weight         [T, L, E]
   out     plan           every array is filled in; NULL where only scratch_bytes is wanted
           scratch_bytes  in: of scratch; out, where plan is NULL: what it takes
   returns an eplb_result */
typedef int32_t side_function(int32_t preset, const baseline_shape *shape, int32_t num_samples, int32_t num_layers,
                              const float *weight, const baseline_arrays *plan, void *scratch, size_t *scratch_bytes);
side_function side_plan;

#endif
