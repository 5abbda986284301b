/* eplb_cuda.h - eplb.h on the GPU: all layers and all candidates at once, in one stream.

   Loads in device memory, plan in device memory, and the plan is the CPU's in every number: the same as
   eplb_rebalance gives for the same problem, options and loads. Exact shares of a step's tokens likewise: counts
   in device memory, shares in device memory, and they are eplb_share's. MIT licence, as eplb.h.

   HOW TO USE
     Compile eplb_cuda.cu with nvcc (compute capability 8.0 or later) and link it, with the CUDA
     runtime. It holds its own private copy of eplb.h; a host program includes this header, which is
     plain C, and may have its own EPLB_IMPLEMENTATION beside it or none.

       eplb_cuda_scratch_size(&problem, &options, &bytes);
       cudaMalloc(&scratch, bytes);
       eplb_cuda_rebalance(&problem, &options, weight, &plan, scratch, bytes, stream);

   GUARANTEES
     Memory        Nothing is allocated or copied, on either side. Scratch is the caller's device memory;
                   its size follows from problem and options alone, not from the current device, and its
                   contents mean nothing before and after. Shared memory stays within 48 KiB.
     Stream        One kernel for a plan where one candidate packs and there are 16 nodes at most, two where several
                   candidates pack slots, else up to four; one for shares, one for their sources, one for what a thread
                   does for each layer (see below), and before that one for what a warp does, or one for every 298 GPUs
                   where they are not alike; all in the given stream. No other stream, no event, no synchronisation, no
                   attribute of a function or the device is touched.
     Graphs        A call may be captured; a replay works on whatever loads or counts are there by then.
                   Shapes, options and pointers are those of the capture.
     Determinism   The CPU's: no atomic sums but of whole numbers, no fused or approximate arithmetic where
                   something is decided.
     Threads       Reentrant, with a scratch for each call in flight.

   A LAYER BY A WARP, OR BY ONE THREAD
     The published presets are planned by blocks of threads. All else is done by the CPU's own functions, up to 256
     layers at once. Effort (presets DEFAULT and BEST, and so options NULL), clusters whose GPUs are not alike (gpu_slots,
     gpu_speed, gpu_node, locked, survive), plans from a plan in force, with limits on moves or a price or without, preset
     VLLM, and reports by a warp for a layer, whose lanes go through experts, slots and GPUs together; where its plan
     might not be one thread's, as a search has run out of steps, a thread makes it anew.
     Each layer by one thread: plans for exact shares, and shares and sources where GPUs are not alike. That takes much
     longer than on a CPU's core for a layer, and is there so that nothing has to leave the device.

   NOT ON THE GPU
     eplb_diagnose, eplb_share_proof, eplb_evaluate_shares, eplb_transfers and what else reads host memory. */

#ifndef EPLB_CUDA_H
#define EPLB_CUDA_H

#include <cuda_runtime_api.h>

#include "eplb.h"

/* The largest packings by blocks of threads: slots of a node onto its GPUs, groups onto nodes. Experts have no limit of
   their own, since a node has a slot for each of its experts. */
#define EPLB_CUDA_MAX_ITEMS 2048 /* slots of a node; groups */
#define EPLB_CUDA_MAX_PACKS 1024 /* GPUs of a node; nodes */

#ifdef __cplusplus
extern "C" {
#endif

/* eplb_cuda_scratch_size - bytes of device memory for eplb_cuda_rebalance.
   in      problem, options  as there
   out     bytes             at least 1; grows with the layers and, with more than one, the candidates; where a warp or a
                             thread plans a layer, what the CPU plans one in, aligned to 256, for each layer up to 256
   returns EPLB_OK, or what is wrong with problem or options as eplb_cuda_rebalance
   device  not asked: no kernel, and no other call of the runtime */
eplb_result eplb_cuda_scratch_size(const eplb_problem *problem, const eplb_options *options, size_t *bytes);

/* eplb_cuda_rebalance - plan all layers, on the device.
   in      problem  host memory, read during the call only, and so are gpu_slots, gpu_speed and gpu_node; locked is a
                    device pointer [L, R] or NULL
           options  host memory, likewise; NULL = EPLB_PRESET_DEFAULT; sample_weight [T] and previous_phy2log [L, R]
                    are device pointers or NULL; the latter may be plan.phy2log itself
           weight   device [T, L, E], as for eplb_rebalance
   out     plan     the struct in host memory, its pointers in device memory; any but phy2log may be NULL
           plan.layer_status  [L] EPLB_OK, or what the device found:
             EPLB_ERR_NAN, _INFINITE, _NEGATIVE  the layer's first bad load, by sample, then expert;
             EPLB_ERR_OPTION  a bad options.sample_weight, in all layers: each of these layers is planned
                              as if its load were even, so that what follows reads a valid plan;
             EPLB_ERR_PLAN    what eplb_rebalance says of the plan in force, or of what is locked: the layer is
                              planned as if there were neither, nor limits;
             EPLB_ERR_WIDTH   log2phy_width is too narrow for the layer: log2phy holds the slots that fit,
                              the rest of the plan is complete
   scratch device memory, bytes from eplb_cuda_scratch_size, any address; overlaps neither input nor output
   stream  all work is ordered in it
   returns EPLB_OK: the work is enqueued. EPLB_ERR_NULL, _OPTION, _COUNT, _DIVIDE, _TOO_FEW, _MAX_REPLICAS,
           _OVERFLOW, _SCRATCH_SIZE, of problem.gpu_speed _NAN, _INFINITE, _NEGATIVE, and where blocks of threads
           plan EPLB_ERR_DEVICE_SHAPE (beyond EPLB_CUDA_MAX_ITEMS or _PACKS, or more than 2^31 - 1 blocks): nothing was
           enqueued.
           EPLB_ERR_CUDA: a launch failed; its error was taken off the runtime's record. It may stem from
           earlier work, as faults of this call's kernels show at a later call
   capturable  yes: kernels with arguments by value, nothing else
   cost    by blocks of threads the dependent chain of a layer: rounds of LPT that give each GPU a slot, R / G of them
           unless loads are very uneven, and rounds that give spare slots, as many as an expert has replicas; by a
           warp the moves of a search, one after the other; by one thread all that eplb_rebalance does for a layer, one
           step after the other */
eplb_result eplb_cuda_rebalance(const eplb_problem *problem, const eplb_options *options, const float *weight,
                                const eplb_plan *plan, void *scratch, size_t scratch_bytes, cudaStream_t stream);

/* eplb_cuda_evaluate_scratch_size - bytes of device memory for eplb_cuda_evaluate.
   in      problem, options  as there
   out     bytes             at least 1; grows with the layers, up to 256 of them
   returns EPLB_OK, or what is wrong with problem or options as eplb_cuda_evaluate
   device  not asked: no kernel, and no other call of the runtime */
eplb_result eplb_cuda_evaluate_scratch_size(const eplb_problem *problem, const eplb_options *options, size_t *bytes);

/* eplb_cuda_evaluate - eplb_evaluate on the device: the same report of any plan, so that a graph can decide by it.
   in      problem   host memory, read during the call only, its arrays but locked too; locked [L, R] device memory
           options   host memory, likewise; sample_weight and previous_phy2log are device pointers; NULL =
                     EPLB_PRESET_DEFAULT
           weight    device [T, L, E]
           plan      the struct in host memory; only phy2log is read, device [L, R]
   out     report    device [L]; all 0 in a layer that is refused
           gpu_load  device [L, G] or NULL; likewise
           layer_status  device [L] or NULL: EPLB_OK, or why the layer is refused: EPLB_ERR_OPTION (a bad
                     options.sample_weight, in all layers), _NAN, _INFINITE, _NEGATIVE (its first bad load), _PLAN
   scratch device memory, bytes from eplb_cuda_evaluate_scratch_size, any address; overlaps neither input nor output
   stream  all work is ordered in it
   returns EPLB_OK: the work is enqueued. EPLB_ERR_NULL, _OPTION, _COUNT, _DIVIDE, _TOO_FEW, _MAX_REPLICAS, _OVERFLOW,
           _SCRATCH_SIZE, and of problem.gpu_speed _NAN, _INFINITE, _NEGATIVE: nothing was enqueued.
           EPLB_ERR_CUDA as for eplb_cuda_rebalance
   capturable  yes: one kernel with its argument by value, and before it, where GPUs are not alike, one for every 298
   cost    a layer as eplb_evaluate, by a warp; up to 256 layers at once
   threads reentrant, with a scratch for each call in flight
   source  as eplb_evaluate: its own functions */
eplb_result eplb_cuda_evaluate(const eplb_problem *problem, const eplb_options *options, const float *weight,
                               const eplb_plan *plan, eplb_layer_report *report, float *gpu_load, int32_t *layer_status,
                               void *scratch, size_t scratch_bytes, cudaStream_t stream);

/* eplb_cuda_share_scratch_size - bytes of device memory for eplb_cuda_share and eplb_cuda_share_sources.
   in      problem  as for eplb_share_scratch_size
   out     bytes    1 where GPUs and nodes are alike and the state of a layer fits shared memory; otherwise it grows with
                    the layers, where they are not alike up to 256
   returns as eplb_share_scratch_size
   device  not asked: no kernel, and no other call of the runtime */
eplb_result eplb_cuda_share_scratch_size(const eplb_problem *problem, size_t *bytes);

/* eplb_cuda_share - eplb_share on the device: the same shares, of any number of layers, by one kernel.
   in      problem       host memory, read during the call only, and so are gpu_slots, gpu_speed and gpu_node
           phy2log       device [L, R] the plan in force, -1 = empty, as for eplb_share
           count         device [L, E] tokens of each expert, as there
           how           EPLB_SHARE_*
   out     slot_count    device [L, R] tokens of each slot; all 0 in a layer that is refused
           most          device [L] or NULL: tokens of the heaviest GPU; 0 in such a layer
           layer_status  device [L] or NULL: EPLB_OK, or why the layer is refused, as eplb_share of it alone
                         would be: EPLB_ERR_PLAN, _NEGATIVE, _OVERFLOW (more tokens than int32_t counts)
   scratch device memory, bytes from eplb_cuda_share_scratch_size, any address; overlaps neither input nor output
   stream  all work is ordered in it
   returns EPLB_OK: the work is enqueued. EPLB_ERR_NULL, _OPTION, _COUNT, _TOO_FEW, _DIVIDE, _OVERFLOW,
           _SCRATCH_SIZE, and of speeds _NAN, _INFINITE, _NEGATIVE: nothing was enqueued. EPLB_ERR_CUDA as for
           eplb_cuda_rebalance
   capturable  yes: one kernel with its argument by value, and before it, where GPUs are not alike, one for every 298 of
           them; a replay reads the plan and the counts that are there by then
   ties    eplb_share's: all searches go in its order
   cost    a block a layer. Reading, linking and storing by all its threads; the chain is that of a layer's pours
           and searches, by a warp and by a lane. Where GPUs are not alike a layer is done by one thread
   threads reentrant, with a scratch for each call in flight
   source  as eplb_share; its own code levels, by a warp */
eplb_result eplb_cuda_share(const eplb_problem *problem, const int32_t *phy2log, const int32_t *count, int32_t how,
                            int32_t *slot_count, int32_t *most, int32_t *layer_status, void *scratch,
                            size_t scratch_bytes, cudaStream_t stream);

/* eplb_cuda_share_sources - eplb_share_sources on the device: the same quotas, by one kernel.
   in      problem       host memory, as there
           phy2log       device [L, R] the plan in force, -1 = empty
           source_count  device [L, G, E] tokens for each expert that wait on each GPU, as for eplb_share_sources
           slot_count    device [L, R] shares, such as eplb_cuda_share's before it in the stream
   out     quota         device [L, G, R] tokens from each GPU to each slot; all 0 in a layer that is refused
           layer_status  device [L] or NULL: EPLB_OK, or why the layer is refused, as eplb_share_sources of it alone
                         would be: EPLB_ERR_PLAN, _NEGATIVE, _OVERFLOW, _SHARES. Where eplb_cuda_share refused it,
                         its shares are 0, and so it is refused here unless no tokens wait
   scratch, stream, returns, capturable, threads  as eplb_cuda_share
   ties    eplb_share_sources': lower GPUs to lower slots
   cost    a block a layer, O(G (E + R)) by all its threads; the chain is that of an expert's GPUs and slots, for every
           256 experts in several slots */
eplb_result eplb_cuda_share_sources(const eplb_problem *problem, const int32_t *phy2log, const int32_t *source_count,
                                    const int32_t *slot_count, int32_t *quota, int32_t *layer_status, void *scratch,
                                    size_t scratch_bytes, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
