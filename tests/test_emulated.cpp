/* test_emulated.cpp - the emulation that the CUDA tests stand on: functions of a warp give what the
   device gives, what kernels do wrong is found, and another seed runs threads in another order. */
#include <cuda_runtime.h>

#include "test.h"

struct job {
    unsigned *out;
    int what;
};

static unsigned *shared_words() { return reinterpret_cast<unsigned *>(eplb_p_shared); }

/* --------------------------------------------------------------------------------- what is right */

enum { NUM_RESULTS = 7 };

__global__ void functions_of_a_warp(job j)
{
    unsigned thread = threadIdx.x, lane = thread % 32;
    unsigned *out = j.out + (blockIdx.x * blockDim.x + thread) * NUM_RESULTS;
    unsigned odd_lanes = 0xAAAAAAAAu, mine = lane % 2 ? odd_lanes : ~odd_lanes;

    out[0] = __ballot_sync(0xFFFFFFFFu, lane % 3 == 0);
    out[1] = __reduce_min_sync(0xFFFFFFFFu, 100 + (lane * 7) % 32);
    out[2] = __reduce_max_sync(mine, lane);
    out[3] = __reduce_add_sync(0xFFFFFFFFu, lane);
    out[4] = __shfl_sync(0xFFFFFFFFu, lane * lane, static_cast<int>(lane) + 1);
    shared_words()[thread] = thread;
    __syncthreads();
    out[5] = shared_words()[blockDim.x - 1 - thread];
    out[6] = __match_any_sync(mine, lane / 2 % 4);
}

static cudaError_t run(void (*kernel)(job), unsigned *out, int what, unsigned grid, unsigned block, cudaStream_t stream)
{
    job j = {out, what};
    void *arguments[1] = {&j};
    return cudaLaunchKernel(kernel, dim3(grid), dim3(block), arguments, 4096, stream);
}

static void test_functions_of_a_warp(void)
{
    enum { GRID = 3, BLOCK = 96 };
    unsigned out[GRID * BLOCK * NUM_RESULTS], thirds = 0;
    for (unsigned lane = 0; lane < 32; lane += 3) thirds |= 1u << lane;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        emulated_seed(seed);
        memset(out, 0, sizeof out);
        CHECK(run(functions_of_a_warp, out, 0, GRID, BLOCK, NULL) == cudaSuccess, "%s", emulated_complaint());
        for (unsigned i = 0; i < GRID * BLOCK; i++) {
            const unsigned *o = out + i * NUM_RESULTS;
            unsigned lane = i % 32, next = (lane + 1) % 32;
            CHECK(o[0] == thirds && o[1] == 100 && o[2] == 30 + lane % 2 && o[3] == 31 * 16, "thread %u", i);
            CHECK(o[4] == next * next && o[5] == BLOCK - 1 - i % BLOCK, "thread %u", i);
            CHECK(o[6] == 0x01010101u << lane % 8, "thread %u", i);
        }
    }
}

/* --------------------------------------------------------------------------------- what is wrong */

/* Thread 0 gets the sum of what all threads wrote; without a barrier only if it happens to run last. */
__global__ void sum_of_all(job j)
{
    shared_words()[threadIdx.x] = 1;
    if (j.what) __syncthreads();
    if (threadIdx.x == 0) {
        *j.out = 0;
        for (unsigned i = 0; i < blockDim.x; i++) *j.out += shared_words()[i] == 1;
    }
}

/* Each lane overwrites what its neighbour may not have read yet. */
__global__ void shift_in_a_warp(job j)
{
    unsigned lane = threadIdx.x, next;
    shared_words()[lane] = lane;
    __syncwarp();
    next = shared_words()[(lane + 1) % 32];
    if (j.what) __syncwarp();
    shared_words()[lane] = next;
    __syncwarp();
    if (shared_words()[lane] != (lane + 1) % 32) *j.out = 0;
}

/* The other warps have much to do before they read what thread 0 wrote at once. */
__global__ void late_readers(job j)
{
    if (threadIdx.x == 0) shared_words()[0] = 4711;
    if (j.what) __syncthreads();
    for (int i = 0; threadIdx.x >= 32 && i < 20; i++) __syncwarp();
    if (shared_words()[0] != 4711) *j.out = 0;
}

static void test_races_show(void (*kernel)(job), unsigned block, unsigned right)
{
    int wrong = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        unsigned out = 32;
        emulated_seed(seed);
        CHECK(run(kernel, &out, 1, 1, block, NULL) == cudaSuccess && out == right, "seed %d: %u", (int)seed, out);
        out = 32;
        emulated_seed(seed);
        CHECK(run(kernel, &out, 0, 1, block, NULL) == cudaSuccess, "%s", emulated_complaint());
        wrong += out != right;
    }
    CHECK(wrong >= 10, "a missing barrier shows in %d of 50 orders", wrong);
}

enum {
    HALF_AT_BARRIER,
    ONE_RETURNS,
    OUTSIDE_ITS_MASK,
    TWO_MASKS,
    TWO_FUNCTIONS,
    BARRIER_AND_WARP,
    LANES_THAT_ARE_NOT,
    FROM_OUTSIDE,
    NUM_MISUSES
};

__global__ void misuse(job j)
{
    unsigned lane = threadIdx.x % 32;
    switch (j.what) {
    case HALF_AT_BARRIER:
        if (threadIdx.x < blockDim.x / 2) __syncthreads();
        break;
    case ONE_RETURNS:
        if (lane == 5) return;
        __syncwarp();
        break;
    case OUTSIDE_ITS_MASK: __ballot_sync(0xFFFFFFFEu, 1); break;
    case TWO_MASKS: __reduce_min_sync(lane < 16 ? 0xFFFFFFFFu : 0x7FFFFFFFu, lane); break;
    case TWO_FUNCTIONS:
        if (lane == 3) __reduce_min_sync(0xFFFFFFFFu, lane);
        else __reduce_max_sync(0xFFFFFFFFu, lane);
        break;
    case BARRIER_AND_WARP:
        if (lane == 3) __syncthreads();
        else __syncwarp();
        break;
    case LANES_THAT_ARE_NOT: __syncwarp(); break;
    case FROM_OUTSIDE:
        if (lane < 16) __shfl_sync(0xFFFFu, lane, 20);
        break;
    default: break;
    }
    *j.out = 1;
}

static void test_misuse_is_found(void)
{
    for (int what = 0; what < NUM_MISUSES; what++) {
        for (uint64_t seed = 1; seed <= 10; seed++) {
            unsigned out = 0;
            emulated_seed(seed);
            CHECK(run(misuse, &out, what, 2, what == LANES_THAT_ARE_NOT ? 40 : 64, NULL) == cudaErrorLaunchFailure,
                  "misuse %d", what);
            CHECK(cudaGetLastError() == cudaErrorLaunchFailure && cudaGetLastError() == cudaSuccess, "%d", what);
            CHECK(emulated_complaint()[0] != 0, "misuse %d", what);
        }
    }
    unsigned out = 0;
    CHECK(run(misuse, &out, NUM_MISUSES, 2, 64, NULL) == cudaSuccess && out == 1, "the next launch is well again");
}

/* Writes the order in which the threads ran. */
__global__ void order_of_threads(job j) { j.out[1 + atomicAdd(j.out, 1u)] = threadIdx.x; }

static void test_orders(void)
{
    unsigned first[65] = {0}, again[65] = {0}, other[65] = {0};
    emulated_seed(7);
    run(order_of_threads, first, 0, 1, 64, NULL);
    emulated_seed(7);
    run(order_of_threads, again, 0, 1, 64, NULL);
    run(order_of_threads, other, 0, 1, 64, NULL);
    CHECK(memcmp(first, again, sizeof first) == 0, "a seed gives its order");
    CHECK(memcmp(first, other, sizeof first) != 0, "the next launch has another");
}

/* Shared memory holds garbage before a block, not what the block before left. */
__global__ void look_at_shared(job j)
{
    if (shared_words()[threadIdx.x] == 4711) *j.out = 1;
    shared_words()[threadIdx.x] = 4711;
}

__global__ void add_one(job j)
{
    if (threadIdx.x == 0) *j.out += static_cast<unsigned>(j.what);
}

/* Chains are counted along what waits for what: here that of the second warp, then, after the barrier, the first's. */
__global__ void wait_in_turns(job j)
{
    bool first = threadIdx.x < 32;
    for (int i = 0; i < (first ? 3 : 5); i++) __syncwarp();
    if (threadIdx.x % 32 < 16) __syncwarp(0xFFFFu); /* half of each warp */
    __syncthreads();
    for (unsigned i = 0; first && i < 7 + blockIdx.x; i++) __ballot_sync(0xFFFFFFFFu, 1);
    *j.out = 1;
}

static void test_chains(void)
{
    emulated_chain chains[EMULATED_MAX_CHAINS];
    unsigned out = 0;
    emulated_chains(chains);
    CHECK(emulated_chains(chains) == 0, "none since");
    for (uint64_t seed = 1; seed <= 20; seed++) {
        emulated_seed(seed);
        run(wait_in_turns, &out, 0, 3, 64, NULL);
        run(add_one, &out, 0, 2, 64, NULL);
        CHECK(emulated_chains(chains) == 2, "two launches");
        CHECK(chains[0].barriers == 1 && chains[0].warp_functions == 5 + 1 + 9, "%ld barriers, %ld functions",
              chains[0].barriers, chains[0].warp_functions);
        CHECK(chains[1].barriers == 0 && chains[1].warp_functions == 0, "nothing to wait for");
    }
}

/* ------------------------------------------------------------------------------------- streams */

static void test_capture(void)
{
    unsigned out = 0;
    cudaStream_t stream;
    cudaGraph_t graph;
    cudaGraphExec_t exec;
    cudaStreamCreate(&stream);
    CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess, "begin");
    for (int what = 1; what <= 3; what++) CHECK(run(add_one, &out, what, 1, 32, stream) == cudaSuccess, "capture");
    CHECK(cudaStreamSynchronize(stream) != cudaSuccess, "no waiting for what is captured");
    CHECK(cudaStreamEndCapture(stream, &graph) == cudaSuccess && out == 0, "captured, not run");
    CHECK(cudaGraphInstantiate(&exec, graph, 0) == cudaSuccess, "instantiate");
    cudaGraphDestroy(graph);
    CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess && out == 6, "%u", out);
    CHECK(cudaGraphLaunch(exec, stream) == cudaSuccess && out == 12, "%u", out);
    cudaGraphExecDestroy(exec);
    CHECK(run(add_one, &out, 1, 1, 32, stream) == cudaSuccess && out == 13, "%u", out);
    emulated_fail_launch(1);
    CHECK(run(add_one, &out, 1, 1, 32, stream) == cudaSuccess && out == 14, "%u", out);
    CHECK(run(add_one, &out, 1, 1, 32, stream) != cudaSuccess && out == 14, "%u", out);
    CHECK(run(add_one, &out, 1, 1, 32, stream) == cudaSuccess && out == 15, "%u", out);
    cudaStreamDestroy(stream);
}

int main(void)
{
    unsigned found = 0;
    test_functions_of_a_warp();
    test_races_show(sum_of_all, 32, 32);
    test_races_show(shift_in_a_warp, 32, 32);
    test_races_show(late_readers, 128, 32);
    test_misuse_is_found();
    test_orders();
    CHECK(run(look_at_shared, &found, 0, 5, 64, NULL) == cudaSuccess && !found, "shared memory is garbage");
    test_chains();
    test_capture();
    return test_report("test_emulated");
}
