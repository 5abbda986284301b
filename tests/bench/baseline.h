/* baseline.h - the planner that the benchmark measures the library against: the reference pipeline
   (replicate, then pack, without refinement) in straightforward C++, on the standard containers and
   in double precision. Its plans are valid; on ties they may differ from the library's. */
#ifndef BASELINE_H
#define BASELINE_H

#include <stdint.h>

/* What compiles this. */
#if defined(__clang__)
#define COMPILER __VERSION__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "unknown"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct baseline_shape {
    int32_t num_layers, num_experts, num_replicas, num_groups, num_nodes, num_gpus;
} baseline_shape;

typedef struct baseline_arrays { /* as in eplb_plan; none may be NULL */
    int32_t *phy2log;            /* [L, R] */
    int32_t *phyrank;            /* [L, R] */
    int32_t *logcnt;             /* [L, E] */
    int32_t *log2phy;            /* [L, E, log2phy_width] */
    int32_t log2phy_width;       /* at least R - E + 1 */
} baseline_arrays;

/* baseline_plan - plan all layers, with one group and one node for the global policy.
   in      shape   every count divides what it must; this is not checked
           weight  [L, E], finite, >= 0
   out     plan    every array is filled in
   returns 0, or -1 when memory ran out */
int baseline_plan(const baseline_shape *shape, const float *weight, const baseline_arrays *plan);

extern const char baseline_compiler[]; /* and its flags */

#ifdef __cplusplus
}
#endif

#endif
