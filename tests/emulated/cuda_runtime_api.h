/* cuda_runtime_api.h - stands in for CUDA's own in the tests, so that eplb_cuda.cu runs without a GPU.
   This folder is put first on the include path and nothing in eplb_cuda.cu knows of it. Only what
   eplb_cuda.cu, its tests and its example use is here: any other CUDA name does not compile.

   Device memory is the host's. Streams run what they are given at once, or record it while captured.
   Kernels and what they call are in cuda_runtime.h. */
#ifndef EMULATED_CUDA_RUNTIME_API_H
#define EMULATED_CUDA_RUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

#define EMULATED_CUDA 1

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureUnsupported = 900
} cudaError_t;

typedef struct emulated_stream *cudaStream_t;
typedef struct emulated_graph *cudaGraph_t;
typedef struct emulated_graph *cudaGraphExec_t;

enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal = 0 };

cudaError_t cudaMalloc(void **pointer, size_t bytes);
cudaError_t cudaFree(void *pointer);
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind);
cudaError_t cudaMemset(void *to, int value, size_t bytes);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);

cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

/* What a test may ask of the emulation itself. */
typedef struct emulated_counts {
    long launches; /* kernels run or recorded */
    long others;   /* calls of any other function above but cudaGetLastError and cudaGetErrorString */
} emulated_counts;

/* What a block's threads wait for one after the other, as each thread's program orders it: a barrier is after all that
   any thread of the block has done, a function of a warp after all that its lanes have. */
typedef struct emulated_chain {
    long barriers;       /* __syncthreads */
    long warp_functions; /* shuffles, votes, reductions, __syncwarp */
    long steps;          /* on the way that has the most of them: what emulated_step has counted */
} emulated_chain;

enum { EMULATED_MAX_CHAINS = 16 };

emulated_counts emulated_calls(void);
int emulated_chains(emulated_chain *longest); /* [EMULATED_MAX_CHAINS] the longest chain of a block, for each launch
                                                 since the last call of this; returns how many */
void emulated_step(void);                     /* one more step of the thread that runs */
cudaStream_t emulated_last_stream(void);      /* that of the last launch */
void emulated_seed(uint64_t seed);            /* another order of threads and blocks from here on */
void emulated_fail_launch(int after);         /* that many launches succeed, the next one fails; -1: none */
const char *emulated_complaint(void);         /* what the last kernel that failed did wrong; "" if none did */

#ifdef __cplusplus
}
#endif

#endif
