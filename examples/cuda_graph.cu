/* cuda_graph.cu - loads counted on the device, planned there, and the plan used there, in one graph: no
   step of it waits for the host. Each replay plans for the tokens that were routed meanwhile. */
#include "eplb_cuda.h"

#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>

enum { EXPERTS = 16, SLOTS = 24, GPUS = 8, WIDTH = SLOTS - EXPERTS + 1, TOKENS = 4096, THREADS = 128 };

struct tokens { /* what the kernels of this program work on; they take it by value */
    int32_t *expert; /* [TOKENS] that the router picked */
    float   *load;   /* [EXPERTS] tokens of each expert */
    int32_t *slot;   /* [TOKENS] where each token goes */
    int32_t *served; /* [GPUS] tokens */
    int32_t *logcnt, *log2phy; /* of the plan */
};

static void must(cudaError_t error)
{
    if (error != cudaSuccess) printf("CUDA: %s\n", cudaGetErrorString(error)), exit(1);
}

template <class T> static T *device(int count)
{
    void *p;
    must(cudaMalloc(&p, (size_t)count * sizeof(T)));
    return (T *)p;
}

/* One thread for each expert counts its tokens: no atomics, and a sum of ones is exact in any order. */
static __global__ void count_tokens(tokens t)
{
    int expert = (int)threadIdx.x, n = 0;
    if (expert >= EXPERTS) return;
    for (int i = 0; i < TOKENS; i++) n += t.expert[i] == expert;
    t.load[expert] = (float)n;
    if (expert < GPUS) t.served[expert] = 0;
}

/* A token goes to a replica of its expert, in turn. */
static __global__ void send_tokens(tokens t)
{
    int token = (int)(blockIdx.x * blockDim.x + threadIdx.x), expert = t.expert[token];
    t.slot[token] = t.log2phy[expert * WIDTH + token % t.logcnt[expert]];
    atomicAdd(&t.served[t.slot[token] / (SLOTS / GPUS)], 1);
}

static void launch(void (*kernel)(tokens), int blocks, tokens t, cudaStream_t stream)
{
    void *arguments[1] = {&t};
    must(cudaLaunchKernel(kernel, dim3((unsigned)blocks), dim3(THREADS), arguments, 0, stream));
}

int main(void)
{
    eplb_problem problem = EPLB_ZERO_INIT;
    eplb_options options = EPLB_ZERO_INIT; /* the reference: preset DEEPSEEK */
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t bytes;
    tokens t = {device<int32_t>(TOKENS), device<float>(EXPERTS),   device<int32_t>(TOKENS),
                device<int32_t>(GPUS),   device<int32_t>(EXPERTS), device<int32_t>(EXPERTS * WIDTH)};
    problem = {1, EXPERTS, SLOTS, 1, 1, GPUS, 1};
    plan.phy2log = device<int32_t>(SLOTS);
    plan.logcnt = t.logcnt;
    plan.log2phy = t.log2phy;
    plan.log2phy_width = WIDTH;
    if (eplb_cuda_scratch_size(&problem, &options, &bytes) != EPLB_OK) return 1;
    void *scratch = device<char>((int)bytes);

    cudaStream_t stream; cudaGraph_t graph; cudaGraphExec_t exec;
    must(cudaStreamCreate(&stream));
    must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    launch(count_tokens, 1, t, stream);
    eplb_result r = eplb_cuda_rebalance(&problem, &options, t.load, &plan, scratch, bytes, stream);
    launch(send_tokens, TOKENS / THREADS, t, stream);
    must(cudaStreamEndCapture(stream, &graph));
    if (r != EPLB_OK) return printf("eplb_cuda_rebalance: %d\n", (int)r), 1;
    must(cudaGraphInstantiate(&exec, graph, 0));

    for (int step = 0; step < 3; step++) { /* each step favours other experts */
        static int32_t expert[TOKENS], served[GPUS];
        for (int i = 0; i < TOKENS; i++) {
            uint32_t random = (uint32_t)(i + 1) * 2654435761u;
            expert[i] = (int32_t)(random % 3 ? (random >> 24) % 5 + (uint32_t)step * 4 : random >> 28);
        }
        must(cudaMemcpy(t.expert, expert, sizeof expert, cudaMemcpyHostToDevice));
        must(cudaGraphLaunch(exec, stream));
        must(cudaStreamSynchronize(stream));
        must(cudaMemcpy(served, t.served, sizeof served, cudaMemcpyDeviceToHost));
        for (int gpu = 0; gpu < GPUS; gpu++)
            printf("%s%5d", gpu ? "" : "tokens of each GPU:", (int)served[gpu]);
        printf("\n");
    }
    void *all[] = {t.expert, t.load, t.slot, t.served, t.logcnt, t.log2phy, plan.phy2log, scratch};
    for (void *p : all) must(cudaFree(p));
    must(cudaGraphExecDestroy(exec)), must(cudaGraphDestroy(graph)), must(cudaStreamDestroy(stream));
    return 0;
}
