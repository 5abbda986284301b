/* cuda_runtime.cpp - the emulation behind cuda_runtime.h: fibres, streams and graphs. */

/* Its longjmp would take a jump to another stack for an error. */
#undef _FORTIFY_SOURCE

#include "cuda_runtime.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define EMULATED_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EMULATED_ASAN
#endif
#endif
#if defined(EMULATED_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

alignas(256) unsigned char eplb_p_shared[EMULATED_SHARED_BYTES];
emulated_indices emulated_now;

namespace
{

enum { WARP = 32, MAX_WARPS = EMULATED_MAX_THREADS / WARP };
const size_t kStackBytes = 128 * 1024; /* the sanitizers' frames are large */

enum fibre_state { READY, AT_BARRIER, IN_WARP, FINISHED };

/* To mark a place and to jump to it without asking the system for anything. AddressSanitizer makes a
   system call of each longjmp, but not of gcc's own; clang's loses registers between stacks. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
typedef void *jump_mark[5];
#define MARK(mark) __builtin_setjmp(mark)
#define JUMP(mark) __builtin_longjmp(mark, 1)
#else
typedef jmp_buf jump_mark;
#define MARK(mark) _setjmp(mark)
#define JUMP(mark) _longjmp(mark, 1)
#endif

struct fibre {        /* a thread of a block; it outlives the block and serves the next */
    jump_mark at;     /* where it waits */
    ucontext_t first; /* how it is entered for the first time */
    void *stack;
    bool entered;
    void *fake_stack; /* AddressSanitizer's */
};

struct lane_state { /* what other threads look at, apart from the bulk of a fibre */
    fibre_state state;
    unsigned value, from, result; /* of the function of its warp */
    long waited;                  /* barriers and functions of warps, one after the other, on the longest way here */
    long steps;                   /* the same of steps */
};

/* Lanes that wait for one another. Lanes of one warp may be in several, such as its two halves. */
struct gathering {
    emulated_operation operation;
    unsigned mask, arrived;
};

struct engine {
    fibre thread[EMULATED_MAX_THREADS];
    lane_state lane[EMULATED_MAX_THREADS];
    fibre host; /* the launch itself */
    gathering warp[MAX_WARPS][WARP];
    int num_gathering[MAX_WARPS];
    unsigned ready[MAX_WARPS]; /* lanes that can run */
    int num_ready, num_threads, num_at_barrier, num_finished;
    bool starves; /* see next_fibre */
    unsigned first_choice;
    int current; /* thread that runs */
    long barriers;
    unsigned block_x;
    uint64_t random;
    std::function<void()> *kernel;
    bool failed;
};

engine e;
char complaint[256];
emulated_counts calls;
emulated_chain chains[EMULATED_MAX_CHAINS]; /* of the last launches that ran */
int num_chains;
uint64_t seed = 1;
int launches_until_failure = -1;
cudaError_t last_error = cudaSuccess;
cudaStream_t last_stream;

#if defined(EMULATED_ASAN)
const void *host_bottom; /* the host's own stack */
size_t host_bytes;
#endif

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t next_random()
{
    uint64_t z = (e.random += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* ------------------------------------------------------------------------------------- fibres */

void fibre_main();

__attribute__((noinline, no_sanitize_address)) void enter_fibre(fibre *to)
{
    if (to->entered) JUMP(to->at);
    to->entered = true;
    setcontext(&to->first);
}

/* From one fibre to another. */
__attribute__((no_sanitize_address)) void switch_fibre(fibre *from, fibre *to)
{
    if (from == to) return;
#if defined(EMULATED_ASAN)
    __sanitizer_start_switch_fiber(&from->fake_stack, to == &e.host ? host_bottom : to->stack,
                                   to == &e.host ? host_bytes : kStackBytes);
#endif
    if (MARK(from->at) == 0) enter_fibre(to);
#if defined(EMULATED_ASAN)
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

void make_ready(int thread)
{
    e.lane[thread].state = READY;
    e.ready[thread / WARP] |= 1u << thread % WARP;
    e.num_ready++;
}

/* The thread that goes on next; the host when there is none. In some blocks any may be it; in others the
   same warp and lane have their way whenever they can, so that some threads are as late as can be. */
fibre *next_fibre()
{
    unsigned choice = e.starves ? e.first_choice : static_cast<unsigned>(next_random() >> 33);
    unsigned num_warps = static_cast<unsigned>(e.num_threads + WARP - 1) / WARP, warp = choice / WARP % num_warps;
    unsigned lane = choice % WARP;

    if (e.num_ready == 0 || e.failed) return &e.host;
    while (!e.ready[warp]) warp = warp + 1 < num_warps ? warp + 1 : 0;
    unsigned from_lane = e.ready[warp] >> lane;
    lane = from_lane ? lane + static_cast<unsigned>(__builtin_ctz(from_lane))
                     : static_cast<unsigned>(__builtin_ctz(e.ready[warp]));
    e.ready[warp] &= ~(1u << lane);
    e.num_ready--;
    e.current = static_cast<int>(warp * WARP + lane);
    emulated_now.thread = dim3(static_cast<unsigned>(e.current));
    return &e.thread[e.current];
}

/* The running thread cannot go on; returns when it can. */
void wait()
{
    fibre *self = &e.thread[e.current];
    switch_fibre(self, next_fibre());
}

void fail(const char *what, int thread)
{
    e.failed = true;
    snprintf(complaint, sizeof complaint, "block %u, thread %d: %s", e.block_x, thread, what);
}

void fibre_main()
{
#if defined(EMULATED_ASAN)
    const void *from_bottom;
    size_t from_bytes;
    __sanitizer_finish_switch_fiber(NULL, &from_bottom, &from_bytes);
    if (!host_bottom) { /* the first fibre ever is entered from the host */
        host_bottom = from_bottom;
        host_bytes = from_bytes;
    }
#endif
    for (;;) {
        (*e.kernel)();
        e.lane[e.current].state = FINISHED;
        e.num_finished++;
        wait(); /* for the next block */
    }
}

void prepare_fibre(int thread)
{
    fibre *f = &e.thread[thread];
    /* Stacks that start at the same place of a page would meet in the same few lines of the cache. */
    size_t shift = static_cast<size_t>(thread % 64) * 64;
    if (!f->stack) {
        f->stack = mmap(NULL, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (f->stack == MAP_FAILED) abort();
    }
    if (!f->entered) {
        getcontext(&f->first);
        f->first.uc_stack.ss_sp = f->stack;
        f->first.uc_stack.ss_size = kStackBytes - shift;
        f->first.uc_link = NULL;
        makecontext(&f->first, fibre_main, 0);
    }
}

/* --------------------------------------------------------------------------------------- block */

const char *why_stuck(fibre_state state)
{
    switch (state) {
    case AT_BARRIER: return "waits at a barrier that not all threads reach";
    case IN_WARP: return "waits in a function of its warp for lanes that do not come";
    default: return "cannot go on";
    }
}

/* Garbage, other in each block, in the shared memory asked for; none beyond it. */
void poison_shared(size_t bytes)
{
#if defined(EMULATED_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(eplb_p_shared, sizeof eplb_p_shared);
#endif
    memset(eplb_p_shared, static_cast<int>(next_random() & 255), bytes);
#if defined(EMULATED_ASAN)
    ASAN_POISON_MEMORY_REGION(eplb_p_shared + bytes, sizeof eplb_p_shared - bytes);
#endif
}

/* Whether the block ran to its end. */
bool run_block(unsigned block, size_t shared_bytes)
{
    e.block_x = block;
    emulated_now.block = dim3(block);
    e.num_ready = e.num_at_barrier = e.num_finished = 0;
    e.failed = false;
    e.barriers = 0;
    e.host.entered = true;
    e.starves = next_random() % 2;
    e.first_choice = static_cast<unsigned>(next_random() >> 33);
    memset(e.ready, 0, sizeof e.ready);
    memset(e.num_gathering, 0, sizeof e.num_gathering);
    poison_shared(shared_bytes);
    for (int i = 0; i < e.num_threads; i++) {
        prepare_fibre(i);
        make_ready(i);
        e.lane[i].waited = e.lane[i].steps = 0;
    }
    switch_fibre(&e.host, next_fibre());
    if (!e.failed && e.num_finished == e.num_threads) return true;
    for (int i = 0; i < e.num_threads && !e.failed; i++)
        if (e.lane[i].state != FINISHED) fail(why_stuck(e.lane[i].state), i);
    for (int i = 0; i < e.num_threads; i++) /* what they were at is given up */
        e.thread[i].entered = false;
    return false;
}

/* The longest chain of the block that has run, if it is longer. All threads meet at all barriers, so there
   are as many in every chain. */
void keep_longer(emulated_chain *longest)
{
    for (int i = 0; i < e.num_threads; i++) {
        if (e.lane[i].steps > longest->steps) longest->steps = e.lane[i].steps;
        if (e.lane[i].waited <= longest->barriers + longest->warp_functions) continue;
        longest->barriers = e.barriers;
        longest->warp_functions = e.lane[i].waited - e.barriers;
    }
}

bool run_kernel(std::function<void()> kernel, dim3 grid, dim3 block, size_t shared_bytes)
{
    unsigned start, step;
    emulated_chain longest = {0, 0, 0};

    e.random = seed++ * UINT64_C(0x9E3779B97F4A7C15);
    e.kernel = &kernel;
    e.num_threads = static_cast<int>(block.x);
    emulated_now.grid_dim = grid;
    emulated_now.block_dim = block;
    /* Blocks may come in any order: forward or backward, from anywhere. */
    start = static_cast<unsigned>(next_random() % grid.x);
    step = next_random() % 2 ? 1 : grid.x - 1;
    for (unsigned i = 0, at = start; i < grid.x;
         i++, at = static_cast<unsigned>((static_cast<uint64_t>(at) + step) % grid.x)) {
        if (!run_block(at, shared_bytes)) return false;
        keep_longer(&longest);
    }
    if (num_chains < EMULATED_MAX_CHAINS) chains[num_chains++] = longest;
    return true;
}

unsigned combined(emulated_operation operation, unsigned a, unsigned b)
{
    switch (operation) {
    case EMULATED_MIN: return a < b ? a : b;
    case EMULATED_MAX: return a > b ? a : b;
    default: return a + b;
    }
}

unsigned lanes_with(unsigned mask, const lane_state *lanes, unsigned value)
{
    unsigned with = 0;
    for (unsigned left = mask; left; left &= left - 1)
        if (lanes[__builtin_ctz(left)].value == value) with |= left & -left;
    return with;
}

/* All lanes are there: each gets its result, and all but the running one become ready. */
void complete(const gathering &g, int first_thread)
{
    lane_state *lanes = e.lane + first_thread;
    unsigned result = 0;
    long waited = 0, steps = 0;

    for (unsigned left = g.mask; left; left &= left - 1) {
        int lane = __builtin_ctz(left);
        waited = lanes[lane].waited > waited ? lanes[lane].waited : waited;
        steps = lanes[lane].steps > steps ? lanes[lane].steps : steps;
        if (g.operation == EMULATED_BALLOT) result |= lanes[lane].value << lane;
        else result = left == g.mask ? lanes[lane].value : combined(g.operation, result, lanes[lane].value);
    }
    for (unsigned left = g.mask; left; left &= left - 1) {
        int lane = __builtin_ctz(left);
        lanes[lane].waited = waited + ((g.mask & (g.mask - 1)) != 0); /* a lane by itself waits for none */
        lanes[lane].steps = steps;
        lanes[lane].result = g.operation == EMULATED_SHUFFLE ? lanes[lanes[lane].from].value : result;
        if (g.operation == EMULATED_MATCH) lanes[lane].result = lanes_with(g.mask, lanes, lanes[lane].value);
        if (first_thread + lane != e.current) make_ready(first_thread + lane);
    }
}

/* Where lanes with this mask wait for this function; a new place when there are none yet. */
gathering *find_gathering(int warp, emulated_operation operation, unsigned mask)
{
    for (int i = 0; i < e.num_gathering[warp]; i++)
        if (e.warp[warp][i].mask == mask && e.warp[warp][i].operation == operation) return &e.warp[warp][i];
    gathering *g = &e.warp[warp][e.num_gathering[warp]++];
    g->operation = operation;
    g->mask = mask;
    g->arrived = 0;
    return g;
}

} // namespace

unsigned emulated_warp(emulated_operation operation, unsigned mask, unsigned value, unsigned from)
{
    int self = e.current, lane = self % WARP, first_thread = self - lane;
    lane_state &f = e.lane[self];

    f.value = value;
    f.from = from;
    f.state = IN_WARP;
    if (!(mask >> lane & 1)) fail("calls a function of its warp with a mask that leaves it out", self);
    else if (e.num_threads - first_thread < WARP && mask >> (e.num_threads - first_thread) != 0)
        fail("names lanes that the block does not have", self);
    else if (operation == EMULATED_SHUFFLE && !(mask >> from & 1))
        fail("reads from a lane that its mask leaves out", self);
    if (e.failed) wait(); /* for ever */
    gathering *g = find_gathering(self / WARP, operation, mask);
    g->arrived |= 1u << lane;
    if (g->arrived == mask) {
        f.state = READY;
        complete(*g, first_thread);
        *g = e.warp[self / WARP][--e.num_gathering[self / WARP]];
    } else {
        wait();
    }
    return f.result;
}

void __syncthreads()
{
    e.lane[e.current].state = AT_BARRIER;
    if (++e.num_at_barrier < e.num_threads) {
        wait();
        return;
    }
    long waited = 0, steps = 0;
    for (int i = 0; i < e.num_threads; i++) {
        waited = e.lane[i].waited > waited ? e.lane[i].waited : waited;
        steps = e.lane[i].steps > steps ? e.lane[i].steps : steps;
    }
    e.barriers++;
    e.num_at_barrier = 0;
    e.lane[e.current].state = READY;
    for (int i = 0; i < e.num_threads; i++) {
        e.lane[i].waited = waited + 1;
        e.lane[i].steps = steps;
        if (i != e.current) make_ready(i);
    }
}

/* --------------------------------------------------------------------------- streams and graphs */

struct launch {
    std::function<void()> kernel;
    dim3 grid, block;
    size_t shared_bytes;
};

struct emulated_graph {
    std::vector<launch> launches;
};

struct emulated_stream {
    bool capturing;
    std::vector<launch> captured;
};

static cudaError_t failed(cudaError_t error)
{
    last_error = error;
    return error;
}

static cudaError_t run(const launch &l)
{
    return run_kernel(l.kernel, l.grid, l.block, l.shared_bytes) ? cudaSuccess : failed(cudaErrorLaunchFailure);
}

cudaError_t emulated_launch(std::function<void()> kernel, dim3 grid, dim3 block, size_t shared_bytes,
                            cudaStream_t stream)
{
    launch l = {kernel, grid, block, shared_bytes};

    calls.launches++;
    last_stream = stream;
    if (grid.x < 1 || grid.x > 0x7FFFFFFFu || grid.y != 1 || grid.z != 1 || block.y != 1 || block.z != 1 || block.x < 1
        || block.x > EMULATED_MAX_THREADS || shared_bytes > EMULATED_SHARED_BYTES)
        return failed(cudaErrorInvalidValue);
    if (launches_until_failure >= 0 && launches_until_failure-- == 0) return failed(cudaErrorLaunchFailure);
    if (!stream || !stream->capturing) return run(l);
    stream->captured.push_back(l);
    return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    calls.others++;
    *stream = new emulated_stream();
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    calls.others++;
    delete stream;
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    calls.others++;
    return stream && stream->capturing ? failed(cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    calls.others++;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode)
{
    calls.others++;
    if (!stream || stream->capturing) return failed(cudaErrorStreamCaptureUnsupported);
    stream->capturing = true;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    calls.others++;
    if (!stream || !stream->capturing) return failed(cudaErrorStreamCaptureUnsupported);
    *graph = new emulated_graph();
    (*graph)->launches.swap(stream->captured);
    stream->capturing = false;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    calls.others++;
    *exec = new emulated_graph(*graph);
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    calls.others++;
    if (stream && stream->capturing) return failed(cudaErrorStreamCaptureUnsupported);
    for (size_t i = 0; i < exec->launches.size(); i++) {
        cudaError_t error = run(exec->launches[i]);
        if (error != cudaSuccess) return error;
    }
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    calls.others++;
    delete graph;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    calls.others++;
    delete exec;
    return cudaSuccess;
}

/* -------------------------------------------------------------------------------------- memory */

cudaError_t cudaMalloc(void **pointer, size_t bytes)
{
    calls.others++;
    *pointer = malloc(bytes ? bytes : 1);
    if (!*pointer) abort();
    memset(*pointer, 0xA5, bytes);
    return cudaSuccess;
}

cudaError_t cudaFree(void *pointer)
{
    calls.others++;
    free(pointer);
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind)
{
    calls.others++;
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    calls.others++;
    memset(to, value, bytes);
    return cudaSuccess;
}

/* -------------------------------------------------------------------------------------- errors */

cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid value";
    case cudaErrorLaunchFailure: return complaint;
    default: return "not while a stream is captured";
    }
}

emulated_counts emulated_calls(void) { return calls; }
int emulated_chains(emulated_chain *longest)
{
    int num = num_chains;
    memcpy(longest, chains, static_cast<size_t>(num) * sizeof *chains);
    num_chains = 0;
    return num;
}
void emulated_step(void) { e.lane[e.current].steps++; }
cudaStream_t emulated_last_stream(void) { return last_stream; }
void emulated_seed(uint64_t s) { seed = s; }
void emulated_fail_launch(int after) { launches_until_failure = after; }
const char *emulated_complaint(void) { return complaint; }
