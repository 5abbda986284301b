/* cuda_graph.cu - tokens counted on the device, a plan made there, exact shares solved, and every token sent to a
   slot, in one graph: no step of it waits for the host. Each replay is for the tokens that were routed meanwhile. */
#include "eplb_cuda.h"

#include <cuda_runtime.h>
#include <cstdio>
#include <cstdlib>

enum { EXPERTS = 16, SLOTS = 24, GPUS = 8, WIDTH = SLOTS - EXPERTS + 1, TOKENS = 4096, THREADS = 128 };
enum { WAITING = TOKENS / GPUS, GPU_SLOTS = SLOTS / GPUS }; /* on each GPU, tokens and slots */

struct tokens {                    /* what the kernels of this program work on; they take it by value */
    int32_t *expert;               /* [TOKENS] that the router picked; GPU by GPU */
    float *load;                   /* [EXPERTS] tokens of each expert, for the plan */
    int32_t *count, *source_count; /* [EXPERTS], [GPUS, EXPERTS] the same, for shares */
    int32_t *slot_count, *quota;   /* [SLOTS], [GPUS, SLOTS] */
    int32_t *served;               /* [SLOTS] tokens that were sent there */
    int32_t *logcnt, *log2phy;     /* of the plan */
};

static void must(cudaError_t error)
{
    if (error != cudaSuccess) printf("CUDA: %s\n", cudaGetErrorString(error)), exit(1);
}

static void must(eplb_result r)
{
    if (r != EPLB_OK) printf("eplb: %d\n", (int)r), exit(1);
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
    int expert = (int)threadIdx.x, all = 0;
    if (expert < SLOTS) t.served[expert] = 0;
    if (expert >= EXPERTS) return;
    for (int gpu = 0; gpu < GPUS; gpu++) {
        int n = 0;
        for (int i = 0; i < WAITING; i++) n += t.expert[gpu * WAITING + i] == expert;
        t.source_count[gpu * EXPERTS + expert] = n;
        all += n;
    }
    t.count[expert] = all;
    t.load[expert] = (float)all;
}

/* The k-th token for an expert on its GPU goes to the first of the expert's slots up to which quotas sum to more. */
static __global__ void send_tokens(tokens t)
{
    int token = (int)(blockIdx.x * blockDim.x + threadIdx.x), gpu = token / WAITING, expert = t.expert[token], k = 0;
    for (int i = gpu * WAITING; i < token; i++) k += t.expert[i] == expert;
    const int32_t *slot = t.log2phy + expert * WIDTH, *last = slot + t.logcnt[expert] - 1;
    for (; slot < last && k >= t.quota[gpu * SLOTS + *slot]; slot++) k -= t.quota[gpu * SLOTS + *slot];
    atomicAdd(&t.served[*slot], 1);
}

static void launch(void (*kernel)(tokens), int blocks, tokens t, cudaStream_t stream)
{
    void *arguments[1] = {&t};
    must(cudaLaunchKernel(kernel, dim3((unsigned)blocks), dim3(THREADS), arguments, 0, stream));
}

int main(void)
{
    eplb_problem problem = {1, EXPERTS, SLOTS, 1, 1, GPUS, 1, nullptr, nullptr, nullptr, nullptr, 0};
    eplb_options options = EPLB_ZERO_INIT; /* the reference: preset DEEPSEEK */
    eplb_plan plan = EPLB_ZERO_INIT;
    size_t for_plan, for_shares;
    tokens t = {device<int32_t>(TOKENS),         device<float>(EXPERTS),   device<int32_t>(EXPERTS),
                device<int32_t>(GPUS * EXPERTS), device<int32_t>(SLOTS),   device<int32_t>(GPUS * SLOTS),
                device<int32_t>(SLOTS),          device<int32_t>(EXPERTS), device<int32_t>(EXPERTS * WIDTH)};
    plan.phy2log = device<int32_t>(SLOTS), plan.logcnt = t.logcnt;
    plan.log2phy = t.log2phy, plan.log2phy_width = WIDTH;
    must(eplb_cuda_scratch_size(&problem, &options, &for_plan));
    must(eplb_cuda_share_scratch_size(&problem, &for_shares));
    void *scratch = device<char>((int)for_plan), *share_scratch = device<char>((int)for_shares);

    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    must(cudaStreamCreate(&stream)), must(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    launch(count_tokens, 1, t, stream);
    must(eplb_cuda_rebalance(&problem, &options, t.load, &plan, scratch, for_plan, stream));
    must(eplb_cuda_share(&problem, plan.phy2log, t.count, EPLB_SHARE_FAIR, t.slot_count, NULL, NULL, share_scratch,
                         for_shares, stream));
    must(eplb_cuda_share_sources(&problem, plan.phy2log, t.source_count, t.slot_count, t.quota, NULL, share_scratch,
                                 for_shares, stream));
    launch(send_tokens, TOKENS / THREADS, t, stream);
    must(cudaStreamEndCapture(stream, &graph)), must(cudaGraphInstantiate(&exec, graph, 0));

    int wrong = 0;
    for (int step = 0; step < 3; step++) { /* each step favours other experts */
        static int32_t expert[TOKENS], served[SLOTS], share[SLOTS];
        for (int i = 0; i < TOKENS; i++) {
            uint32_t random = (uint32_t)(i + 1) * 2654435761u;
            expert[i] = (int32_t)(random % 3 ? (random >> 24) % 5 + (uint32_t)step * 4 : random >> 28);
        }
        must(cudaMemcpy(t.expert, expert, sizeof expert, cudaMemcpyHostToDevice));
        must(cudaGraphLaunch(exec, stream)), must(cudaStreamSynchronize(stream));
        must(cudaMemcpy(served, t.served, sizeof served, cudaMemcpyDeviceToHost));
        must(cudaMemcpy(share, t.slot_count, sizeof share, cudaMemcpyDeviceToHost));
        for (int gpu = 0, slot = 0; gpu < GPUS; gpu++) {
            int sum = 0;
            for (; slot < (gpu + 1) * GPU_SLOTS; slot++) sum += served[slot], wrong += served[slot] != share[slot];
            printf("%s%5d%s", gpu ? "" : "tokens of each GPU:", sum, gpu == GPUS - 1 ? "\n" : "");
        }
    }
    printf("every slot got %s\n", wrong ? "SOMETHING ELSE than its share" : "its share");
    void *all[] = {t.expert, t.load,   t.count,   t.source_count, t.slot_count, t.quota,
                   t.served, t.logcnt, t.log2phy, plan.phy2log,   scratch,      share_scratch};
    for (void *p : all) must(cudaFree(p));
    must(cudaGraphExecDestroy(exec)), must(cudaGraphDestroy(graph)), must(cudaStreamDestroy(stream));
    return wrong != 0;
}
