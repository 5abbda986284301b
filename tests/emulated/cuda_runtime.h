/* cuda_runtime.h - what kernels are made of, for running them without a GPU: see cuda_runtime_api.h.

   The threads of a block are fibres of one host thread. A fibre runs until it has to wait for others,
   at a barrier or in a function of its warp; which one runs next is drawn from the seed. So what is
   not ordered by a barrier happens in another order with another seed, and a kernel that misses one
   gives other results. A block that can never go on (a barrier that not all reach, lanes that name one
   another in masks but call different functions) makes the launch fail, with a complaint.

   Shared memory is that which the launch asks for, all under one name, and is filled with garbage
   before each block; static shared variables are not to be had. */
#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H

#include "cuda_runtime_api.h"

#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

enum { EMULATED_SHARED_BYTES = 48 * 1024, EMULATED_MAX_THREADS = 1024 };

/* The one name of shared memory. */
extern unsigned char eplb_p_shared[EMULATED_SHARED_BYTES];

struct emulated_indices {
    dim3 thread, block, block_dim, grid_dim;
};

extern emulated_indices emulated_now; /* of the thread that runs */

#define threadIdx (emulated_now.thread)
#define blockIdx  (emulated_now.block)
#define blockDim  (emulated_now.block_dim)
#define gridDim   (emulated_now.grid_dim)

enum emulated_operation {
    EMULATED_SYNC,
    EMULATED_BALLOT,
    EMULATED_MIN,
    EMULATED_MAX,
    EMULATED_ADD,
    EMULATED_SHUFFLE,
    EMULATED_MATCH
};

/* One function of a warp: waits for all lanes of the mask; from is the lane that a shuffle reads. */
unsigned emulated_warp(emulated_operation operation, unsigned mask, unsigned value, unsigned from);

void __syncthreads();
inline void __threadfence() {} /* one block runs after the other, and all see the same memory */

inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { emulated_warp(EMULATED_SYNC, mask, 0, 0); }

inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return emulated_warp(EMULATED_BALLOT, mask, predicate != 0, 0);
}

inline unsigned __reduce_min_sync(unsigned mask, unsigned value) { return emulated_warp(EMULATED_MIN, mask, value, 0); }

inline unsigned __reduce_max_sync(unsigned mask, unsigned value) { return emulated_warp(EMULATED_MAX, mask, value, 0); }

inline unsigned __reduce_add_sync(unsigned mask, unsigned value) { return emulated_warp(EMULATED_ADD, mask, value, 0); }

inline unsigned __shfl_sync(unsigned mask, unsigned value, int from)
{
    return emulated_warp(EMULATED_SHUFFLE, mask, value, static_cast<unsigned>(from) % 32);
}

inline unsigned __match_any_sync(unsigned mask, unsigned value)
{
    return emulated_warp(EMULATED_MATCH, mask, value, 0);
}

inline int __ffs(int bits) { return __builtin_ffs(bits); }
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

/* Nothing else runs while a fibre does, so these need no more. */
inline int atomicCAS(int *at, int expected, int desired)
{
    int old = *at;
    if (old == expected) *at = desired;
    return old;
}

template <class T> T atomicAdd(T *at, T more)
{
    T old = *at;
    *at = old + more;
    return old;
}

template <class T> T atomicMax(T *at, T other)
{
    T old = *at;
    if (other > old) *at = other;
    return old;
}

cudaError_t emulated_launch(std::function<void()> kernel, dim3 grid, dim3 block, size_t shared_bytes,
                            cudaStream_t stream);

/* A kernel takes one struct by value, of which the launch keeps a copy. */
template <class Arguments>
cudaError_t cudaLaunchKernel(void (*kernel)(Arguments), dim3 grid, dim3 block, void **arguments, size_t shared_bytes,
                             cudaStream_t stream)
{
    Arguments copy = *static_cast<const Arguments *>(arguments[0]);
    return emulated_launch([kernel, copy] { kernel(copy); }, grid, block, shared_bytes, stream);
}

#endif
